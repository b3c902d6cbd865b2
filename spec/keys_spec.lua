local keys = require "openrouter.keys"
local shell = require "spec.support.shell"

describe("keys.find", function()
  local directory, environment
  local getenv = os.getenv

  before_each(function()
    directory, environment = shell.directory(), {}
    os.getenv = function(name) return environment[name] end -- luacheck: ignore 122
  end)
  after_each(function()
    os.getenv = getenv -- luacheck: ignore 122
    shell.clean()
  end)

  local function file(name, text, mode)
    local path = shell.write(directory .. "/" .. name, text)
    assert.equal(0, (shell.run(("chmod %s '%s'"):format(mode or "600", path))))
    return path
  end

  local function refused(name)
    local value, why = keys.find(name, directory)
    assert.is_nil(value)
    return why
  end

  it("has the default key from two variables, the one with its name first", function()
    environment.OPENROUTER_API_KEY = "sk-plain"
    assert.equal("sk-plain", keys.find("default", directory))
    environment.OPENROUTER_API_KEY_DEFAULT = "sk-named"
    assert.equal("sk-named", keys.find("default", directory))
  end)

  it("says how to set the default key", function()
    assert.equal("set OPENROUTER_API_KEY", refused "default")
    environment.OPENROUTER_API_KEY, environment.OPENROUTER_API_KEY_DEFAULT = "", " \n"
    assert.equal("set OPENROUTER_API_KEY", refused "default")
  end)

  it("has other keys from the variable of their name, in capitals and without dashes", function()
    environment["OPENROUTER_API_KEY_TEAM_1B"] = " sk-team\n"
    assert.equal("sk-team", keys.find("team-1b", directory))
    environment.OPENROUTER_API_KEY = "sk-plain"
    assert.matches("set OPENROUTER_API_KEY_TENANT1, or put it in .*/tenant1 %(mode 0600%)$", refused "tenant1")
  end)

  it("has them from a file's first line, where there is no variable", function()
    file("tenant1", "sk-file\r\nsecond line\n")
    assert.equal("sk-file", keys.find("tenant1", directory))
    file("tenant2", "  sk-file-2 ", "400")
    assert.equal("sk-file-2", keys.find("tenant2", directory))
    environment.OPENROUTER_API_KEY_TENANT1 = "sk-variable"
    assert.equal("sk-variable", keys.find("tenant1", directory))
  end)

  it("refuses a file that others may read or write, and says what to type", function()
    for _, mode in ipairs { "640", "604", "620", "602", "610", "601", "644", "666", "777" } do
      local path = file("open", "sk-secret\n", mode)
      local why = refused "open"
      assert.matches("mode 0" .. mode, why)
      assert.is_truthy(why:find("chmod 600 " .. path, 1, true))
      assert.not_matches("sk%-secret", why)
    end
    assert.equal(0, (shell.run("chmod 600 " .. directory .. "/open")))
    assert.equal("sk-secret", keys.find("open", directory))
  end)

  it("quotes the path in what is to be typed", function()
    local inner = directory .. "/it's a $(touch x)"
    assert.equal(0, (shell.run("mkdir " .. shell.quote(inner))))
    shell.write(inner .. "/one", "sk-secret\n")
    assert.equal(0, (shell.run("chmod 644 " .. shell.quote(inner .. "/one"))))
    local _, why = keys.find("one", inner)
    assert.equal(0, (shell.run(why:match "chmod 600 .*")))
    assert.equal("sk-secret", keys.find("one", inner))
  end)

  it("refuses what is no regular file, without waiting for it", function()
    assert.equal(0, (shell.run(("mkfifo -m 600 %s/pipe && mkdir -m 700 %s/folder"):format(directory, directory))))
    assert.matches("/pipe is no regular file", refused "pipe")
    assert.matches("/folder is no regular file", refused "folder")
  end)

  it("refuses a file without a key in its first line", function()
    file("empty", "")
    file("later", "\nsk-secret\n")
    assert.matches("/empty has no key in its first line", refused "empty")
    assert.matches("/later has no key in its first line", refused "later")
    assert.not_matches("sk%-secret", refused "later")
  end)

  it("says why a file cannot be looked at", function()
    file("folder", "x")
    local value, why = keys.find("one", directory .. "/folder")
    assert.is_nil(value)
    assert.matches("/folder/one: Not a directory", why)
  end)

  it("says what a text has that is no key, and where it is", function()
    environment.OPENROUTER_API_KEY = "sk-or-\226\128\166"
    assert.equal("the key in OPENROUTER_API_KEY has a character that is not ASCII, such as an example's ellipsis",
      refused "default")
    environment.OPENROUTER_API_KEY_DEFAULT = "two words"
    assert.equal("the key in OPENROUTER_API_KEY_DEFAULT has a space in it", refused "default")
    environment.OPENROUTER_API_KEY_TEAM = "sk\tor"
    assert.equal("the key in OPENROUTER_API_KEY_TEAM has a control character in it", refused "team")
    local path = file("tenant", "two words\n")
    assert.equal("the key in " .. path .. " has a space in it", refused "tenant")
  end)

  it("takes names for what they are", function()
    file("secret", "sk-secret\n")
    assert.equal(0, (shell.run("mkdir " .. directory .. "/inner")))
    for _, name in ipairs { "../secret", "inner/../secret", directory .. "/secret", ".", "..", "", "secret\0", "a b", "a\n", "é",
      ("x"):rep(65), "%s", 7, true } do
      local value, why = keys.find(name, directory .. "/inner")
      assert.is_nil(value)
      assert.matches("^no name for a key", why)
    end
    file("x", "sk-short\n")
    assert.equal("sk-short", keys.find("x", directory))
    file(("x"):rep(64), "sk-long\n")
    assert.equal("sk-long", keys.find(("x"):rep(64), directory))
  end)
end)

local options = require "openrouter.nginx.options"

describe("nginx.options", function()
  -- read() blames the caller of its caller
  local function read(given)
    local function start(o) return options.read(o) end
    return (start(given))
  end

  it("have defaults, and need a directory alone", function()
    local o = read { dir = "/var/log/nginx/openrouter/" }
    assert.equal("/var/log/nginx/openrouter", o.dir)
    assert.same({ 8, 10000, 10, 5, 0.8, 10, 1048576, "openrouter", "default" },
      { o.consumers, o.window, o.timeout, o.connect_timeout, o.first, o.drain, o.max_body, o.dict, o.key })
    assert.equal("openrouter.ai", o.origin.connect)
    assert.same({}, o.keys)
  end)

  it("name keys, without the white space around them", function()
    local o = read { dir = "/d", api_key = " sk-1\n", keys = { ["tenant-2"] = "sk-2" }, key = "tenant-2" }
    assert.same({ default = "sk-1", ["tenant-2"] = "sk-2" }, o.keys)
    assert.equal("tenant-2", o.key)
    assert.is_nil(o.api_key)
  end)

  it("take a function or \"request\" for the key", function()
    local function key() end
    assert.equal(key, read { dir = "/d", key = key }.key)
    assert.equal("request", read { dir = "/d", key = "request" }.key)
  end)

  it("take what cannot be a key in the environment for none, and say so", function()
    local getenv = os.getenv
    os.getenv = function(name) return name == "OPENROUTER_API_KEY" and "sk-or-\226\128\166" or nil end -- luacheck: ignore 122
    local ok, o = pcall(read, { dir = "/d" })
    os.getenv = getenv -- luacheck: ignore 122
    assert.is_true(ok, o)
    assert.same({}, o.keys)
    assert.equal("the key in OPENROUTER_API_KEY has a character that is not ASCII, such as an example's ellipsis", o.key_trouble)
    assert.is_nil(read { dir = "/d" }.key_trouble)
  end)

  it("raise for what is wrong, with a hint", function()
    local cases = {
      { 5, "options must be a table, not a number" },
      { nil, "option 'dir' must be the absolute path" },
      { {}, "option 'dir' must be the absolute path" },
      { { dir = "logs" }, "option 'dir' must be the absolute path" },
      { { dir = "/d", windw = 1 }, "did you mean 'window'" },
      { { dir = "/d", window = "1" }, "option 'window' must be a number" },
      { { dir = "/d", window = 0 }, "option 'window' must be from 1" },
      { { dir = "/d", consumers = 0.5 }, "option 'consumers' must be from 1" },
      { { dir = "/d", window = 1.5 }, "option 'window' must be a whole number" },
      { setmetatable({}, { __index = { dir = "/d" } }), "option 'dir' must be the absolute path" },
      { { dir = "/d", first = -1 }, "must not be negative" },
      { { dir = "/d", key = 1 }, "option 'key' must be a name or a function" },
      { { dir = "/d", key = "tenant" }, "'keys' has no such name" },
      { { dir = "/d", keys = { request = "x" } }, "no name for a key" },
      { { dir = "/d", keys = { ["../x"] = "x" } }, "no name for a key" },
      { { dir = "/d", keys = { "x" } }, "no name for a key" },
      { { dir = "/d", keys = { a = 1 } }, "keys: a must be a string" },
      { { directory = "/d" }, "unknown option 'directory'; did you mean 'dir'?" },
      { { dir = "/d", keys = { a = "sk x" } }, "start: the key 'a' of the option 'keys' has a space in it" },
      { { dir = "/d", keys = { a = " " } }, "start: the key 'a' of the option 'keys' is empty" },
      { { dir = "/d", api_key = "sk\rX" }, "start: the key in the option 'api_key' has a control character in it" },
      { { dir = "/d", api_key = "sk\226\128\166" }, "start: the key in the option 'api_key' has a character that is not ASCII" },
      { { dir = "/d", base_url = "http://api.test" }, "show the key to the network" },
    }
    for _, case in ipairs(cases) do
      local ok, why = pcall(read, case[1])
      assert.is_false(ok)
      assert.matches(case[2], why, 1, true)
      assert.is_nil(why:find("sk", 1, true), "a key in a message")
    end
  end)
end)

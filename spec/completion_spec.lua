-- What the command writes about itself: completion for shells, and the manual page.
local shell = require "spec.support.shell"

local COMMANDS = { "get", "fetch", "report", "diff", "check", "reconcile", "settle", "completion", "man" }

local unpack = table.unpack or unpack -- luacheck: ignore 113 143

local function has(program) return (os.execute(("command -v %s >/dev/null 2>&1"):format(program))) end
local function there(program)
  local ok = has(program)
  return ok == true or ok == 0
end

-- The long options of a command ("": of all commands), from its help.
local function options_of(command)
  local _, help = shell.run(shell.cost(command .. " --help"))
  local options = {}
  for option in help:match "\nOptions:\n(.-)\n\n":gmatch "%f[%-]%-%-[%w-]+" do options[#options + 1] = option end
  return options
end

describe("openrouter-cost completion", function()
  local directory
  before_each(function() directory = shell.directory() end)
  after_each(shell.clean)

  local function script(name)
    local status, out, err = shell.run(shell.cost("completion " .. name))
    assert.same({ 0, "" }, { status, err })
    return shell.write(directory .. "/" .. name, out)
  end

  -- What bash offers for the last of these words.
  local function offered(...)
    local words, n = {}, select("#", ...)
    for i, word in ipairs { ... } do words[i] = shell.quote(word) end
    local program = ("source %s; COMP_WORDS=(openrouter-cost %s); COMP_CWORD=%d; _openrouter-cost; "
      .. "printf '%%s\\n' \"${COMPREPLY[@]}\""):format(
        script "bash", table.concat(words, " "), n)
    local status, out, err = shell.run("cd /; bash -c " .. shell.quote(program))
    assert.same({ 0, "" }, { status, err })
    return out
  end

  it("completes commands, options and what they take in bash", function()
    assert.equal("report\n", offered "rep")
    for _, command in ipairs(COMMANDS) do assert.is_truthy(("\n" .. offered ""):find("\n" .. command .. "\n", 1, true)) end
    assert.equal("--since\n", offered("report", "--si"))
    assert.equal("text\njson\n", offered("diff", "--format", ""))
    assert.equal("provider_name\n", offered("report", "--by", "prov"))
    assert.equal("latency_p95\n", offered("diff", "--measures", "latency_p95"))
    assert.is_falsy(offered("report", "--by", ""):find "bin\n") -- which is a file where this runs
    for _, option in ipairs(options_of "check") do
      assert.is_truthy(("\n" .. offered("check", "--")):find("\n" .. option .. "\n", 1, true), option)
    end
  end)

  it("leaves names of files to bash, which knows how to quote them", function()
    local path = script "bash"
    assert.is_falsy(shell.read(path):find("compgen -f", 1, true))
    for _, words in ipairs { { "report", "-o", "" }, { "fetch", "--ledger", "b" }, { "report", "" } } do
      assert.equal("\n", offered(unpack(words)))
    end
    local _, out = shell.run(("bash -c 'source %s; complete -p openrouter-cost'"):format(path))
    assert.matches(" %-o default ", out)
  end)

  it("is loaded by zsh as a file, and as the help says", function()
    if not there "zsh" then return pending "zsh is not installed" end
    local path = shell.write(directory .. "/_openrouter-cost", shell.read(script "zsh"))
    local as_help = ("eval \"$(cat %s)\""):format(path)
    for _, load in ipairs { "", as_help } do
      local fpath = load == "" and ("fpath=(%s $fpath); "):format(directory) or ""
      local status, out, err = shell.run("zsh -f -c " .. shell.quote(fpath .. "autoload -U compinit; compinit -u -D; " .. load
        .. "; print $_comps[openrouter-cost]"))
      assert.same({ 0, "_openrouter-cost\n", "" }, { status, out, err })
    end
  end)

  it("is a script that zsh and fish can read", function()
    local missing = {}
    for _, name in ipairs { "zsh", "fish" } do
      local path = script(name)
      local text = shell.read(path)
      for _, command in ipairs(COMMANDS) do
        assert.is_truthy(text:find(command, 1, true))
        for _, option in ipairs(options_of(command)) do assert.is_truthy(text:find(option:sub(3), 1, true), option) end
      end
      if there(name) then assert.same({ 0, "", "" }, { shell.run(name .. " -n " .. path) })
      else missing[#missing + 1] = name end
    end
    if #missing > 0 then pending(table.concat(missing, " and ") .. " not installed, so only words were looked for") end
  end)

  it("suggests the near shell", function()
    local status, out, err = shell.run(shell.cost "completion zhs")
    assert.same({ 2, "" }, { status, out })
    assert.matches("unknown shell 'zhs'; did you mean 'zsh'?", err, 1, true)
  end)
end)

describe("openrouter-cost man", function()
  local directory
  before_each(function() directory = shell.directory() end)
  after_each(shell.clean)

  local function page()
    local status, out, err = shell.run(shell.cost "man")
    assert.same({ 0, "" }, { status, err })
    return shell.write(directory .. "/openrouter-cost.1", out), out
  end

  it("is a page that renders without a warning", function()
    local path, source = page()
    assert.is_nil(source:find "[\128-\255]") -- which would depend on the locale
    assert.is_truthy(source:find("\\fB\\-\\-since\\fR", 1, true)) -- what can be copied, not a hyphen
    local tried = {}
    for program, command in pairs { groff = "groff -man -Tascii -ww -z", man = "man -l --warnings=all -Tascii >/dev/null",
      mandoc = "mandoc -Tlint -W warning" } do
      if there(program) then
        local status, out, err = shell.run(command .. " " .. path)
        assert.same({ program, 0, "", "" }, { program, status, out, err })
        tried[#tried + 1] = program
      end
    end
    if #tried == 0 then pending "neither groff, man nor mandoc is installed" end
  end)

  it("has every command, option, exit status and example of the help", function()
    local _, source = page()
    local text = source:gsub("\\%-", "-"):gsub("\\f[BRI]", ""):gsub("\\&", ""):gsub("\\e", "\\")
    for _, command in ipairs(COMMANDS) do
      local section = text:match("\n%.SS " .. command .. "\n(.-)\n%.S[SH]")
      assert.is_truthy(section, command)
      for _, option in ipairs(options_of(command)) do
        if option ~= "--help" then assert.is_truthy(section:find("\n.TP\n[^\n]*" .. option:gsub("%-", "%%-")), option) end
      end
      local _, help = shell.run(shell.cost(command .. " --help"))
      for example in help:match "\nExamples:\n(.*)$":gmatch "  ([^\n]+)" do
        assert.is_truthy(section:find("\n" .. example .. "\n", 1, true), example)
      end
    end
    local report, names = require "openrouter.report", text:match "\n.SH DIMENSIONS\n.-\n.SH EXIT STATUS\n"
    for _, name in ipairs(report.dimensions) do assert.is_truthy(names:find("%f[%w_]" .. name .. "%f[^%w_]"), name) end
    for _, name in ipairs(report.measures) do
      assert.is_truthy(names:find("%f[%w_]" .. name:gsub("_p9%d$", "_p50") .. "%f[^%w_]"), name)
    end
    for _, option in ipairs { "--version", "--help" } do assert.is_truthy(text:find(option, 1, true)) end
    for _, status in ipairs { 0, 1, 2, 3, 4, 8, 130 } do
      assert.is_truthy(text:find("\n.TP\n" .. status .. "\n", 1, true), status)
    end
  end)
end)

describe("help", function()
  after_each(shell.clean)

  it("has examples that the command takes", function()
    local directory, count = shell.directory(), 0
    for _, command in ipairs(COMMANDS) do
      local _, help = shell.run(shell.cost(command .. " --help"))
      for example in help:match "\nExamples:\n(.*)$":gmatch "  ([^\n]+)" do
        local arguments = example:match "openrouter%-cost ([^|<>\")]+)"
        local status, _, err = shell.run(
          ("top=$PWD; cd %s; env -u OPENROUTER_API_KEY -u LUA_PATH -u LUA_CPATH %s $top/bin/openrouter-cost %s"):format(
            directory, os.getenv "LUA", arguments))
        assert.is_truthy(status and status ~= 2, example .. ": " .. err)
        count = count + 1
      end
    end
    assert.is_true(count >= 20)
  end)

  it("fits 80 columns", function()
    for _, command in ipairs { "", unpack(COMMANDS) } do
      local _, help = shell.run(shell.cost(command .. " --help"))
      for line in help:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
    end
  end)
end)

describe("a wrong command line", function()
  after_each(shell.clean)

  it("is told with what was probably meant, and where to look", function()
    local function says(arguments, words)
      local status, out, err = shell.run(shell.cost(arguments))
      assert.same({ 2, "", "openrouter-cost: " .. words .. "\n" }, { status, out, err })
    end
    says("reprot", "unknown command 'reprot'; did you mean 'report'? (openrouter-cost --help)")
    says("frobnicate", "unknown command 'frobnicate' (openrouter-cost --help)")
    says("report --fromat json x", "unknown option '--fromat'; did you mean '--format'? (openrouter-cost report --help)")
    says("check --max-dirft 5 x", "unknown option '--max-dirft'; did you mean '--max-drift'? (openrouter-cost check --help)")
    says("settle --retry_failed x",
      "unknown option '--retry_failed'; did you mean '--retry-failed'? (openrouter-cost settle --help)")
    says("report --format jsno x", "unknown format 'jsno'; did you mean 'json'? (openrouter-cost report --help)")
    says("report --format yaml x", ("unknown format 'yaml'; there are %s (openrouter-cost report --help)"):format(
      table.concat(require("openrouter.report").formats, ", ")))
    says("reconcile --format jsno x", "unknown format 'jsno'; did you mean 'json'? (openrouter-cost reconcile --help)")
    says("get --wait -3 x", "unknown option '-3' (openrouter-cost get --help)") -- one letter says nothing of another
    says("check -x x", "unknown option '-x' (openrouter-cost check --help)")
    says("'x\27[31m'", "unknown command 'x\\x1B[31m' (openrouter-cost --help)")
  end)
end)

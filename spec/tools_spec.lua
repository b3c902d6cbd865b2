-- What commands do on a terminal and not elsewhere.
local shell = require "spec.support.shell"

describe("on a terminal", function()
  local directory
  before_each(function() directory = shell.directory() end)
  after_each(shell.clean)

  local TERMINAL = "python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' "

  -- What a program writes when stdout and stderr are a terminal, or with `elsewhere` put behind its command.
  local function run(program, env, elsewhere)
    local path = shell.write(directory .. "/program.lua", program)
    local command = ("env -u NO_COLOR -u COLUMNS TERM=xterm %s %s %s %s"):format(
      env or "", os.getenv "LUA", path, elsewhere or "")
    local _, out, err = shell.run(TERMINAL .. "sh -c " .. shell.quote(command))
    assert.equal("", err)
    return (out:gsub("\r\n", "\n"))
  end

  describe("text", function()
    local function look(env, elsewhere)
      return run([[
        require("openrouter.core").terminal_width = function() return 97 end
        local look = require("openrouter.commands.tools").look(arg[1])
        print(look.width, look.color)]], env, elsewhere)
    end

    it("is as wide as it, and has colors where they are wanted", function()
      assert.equal("97\ttrue\n", look())
      assert.equal("60\ttrue\n", look "COLUMNS=60")
      assert.equal("97\ttrue\n", look "COLUMNS=0 NO_COLOR=")
      assert.equal("97\tfalse\n", look "NO_COLOR=1 COLUMNS=wide")
      assert.equal("97\ttrue\n", look "COLUMNS=1000000000000000000000")
      assert.equal("97\tfalse\n", look "TERM=dumb")
    end)

    it("is as it comes in a file or a pipe", function()
      assert.equal("nil\tfalse\n", look("COLUMNS=60", "| cat"))
      assert.equal("nil\tfalse\n", look("COLUMNS=60", directory .. "/report.txt"))
    end)

    it("of reports and differences is told so", function()
      local ledger = shell.write(directory .. "/costs.jsonl", '{"id":"1","model":"' .. ("m"):rep(70) .. '","total_cost":1}\n')
      local program = 'os.exit(require("openrouter.cli").main(arg))'
      local out = run(program, "COLUMNS=50", ("diff %s %s --measures spend"):format(ledger, ledger))
      assert.matches("\nm+…m+ +spend USD +1%.00 +1%.00 ", out)
      out = run(program, "COLUMNS=50", ("diff %s %s --measures spend | cat"):format(ledger, ledger))
      assert.matches("\n" .. ("m"):rep(29), out)
    end)
  end)

  describe("a bar", function()
    -- A report whose files have `size` bytes, a quarter of which is read after two seconds and then all of them.
    local function read(size, elsewhere)
      return run(([[
        local core, clock, size = require "openrouter.core", 100, %s
        core.now = function() return clock end
        require("openrouter.report").new = function()
          return { add_file = function(_, path, options)
            clock = clock + 2
            options.progress(5e7, size)
            options.progress(size or 2e8, size)
            require("openrouter.commands.tools").say("read " .. path)
            return 1
          end }
        end
        assert(require("openrouter.commands.ledgers").report({}, { "a", "b" }))]]):format(size), nil, elsewhere)
    end

    it("shows how far long files are read, with rate and time left, and makes way for messages", function()
      local out = read(2e8)
      assert.matches("\r%[######%-+%]  25%%  50/200 MB  25 MB/s  0:06 left", out)
      assert.matches("\r%[#+%] 100%%  200/200 MB  100 MB/s  0:00 left\27%[K\r\27%[Kopenrouter%-cost: read a\n", out)
      assert.matches("openrouter%-cost: read b\n\r?\27?%[?K?$", out)
    end)

    it("is not there for short files, for what nobody knows the length of, or elsewhere", function()
      assert.equal("openrouter-cost: read a\nopenrouter-cost: read b\n", read(9e6))
      assert.equal("openrouter-cost: read a\nopenrouter-cost: read b\n", read "nil")
      assert.equal("openrouter-cost: read a\nopenrouter-cost: read b\n", read(2e8, "2>&1 | cat"))
    end)
  end)
end)

describe("a file of -o", function()
  after_each(shell.clean)

  it("stays as it was after Ctrl-C, and nothing is beside it", function()
    local directory = shell.directory()
    local path = shell.write(directory .. "/report.txt", "what was there\n")
    local program = shell.write(directory .. "/program.lua", [[
      os.rename = function() error("interrupted!", 0) end
      os.exit(require("openrouter.cli").main(arg))]])
    local status, out, err = shell.run(("%s %s report /dev/null -o %s"):format(os.getenv "LUA", program, path))
    assert.same({ 130, "", "openrouter-cost: interrupted\n" }, { status, out, err })
    assert.equal("what was there\n", shell.read(path))
    assert.equal("program.lua\nreport.txt\n", select(2, shell.run("ls " .. directory)))
  end)
end)

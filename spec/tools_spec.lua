-- What commands do on a terminal and not elsewhere.
local shell = require "spec.support.shell"

describe("on a terminal", function()
  local directory
  before_each(function() directory = shell.directory() end)
  after_each(shell.clean)

  -- What a program writes when stdout and stderr are a terminal, or with `elsewhere` put behind its command.
  local function run(program, env, elsewhere, columns)
    local path = shell.write(directory .. "/program.lua", program)
    return (select(2, shell.terminal(("env %s %s %s %s"):format(env or "", os.getenv "LUA", path, elsewhere or ""), columns)))
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
      assert.equal("20\ttrue\n", look "COLUMNS=3") -- where no word fits, nothing does
    end)

    it("is as it comes in a file or a pipe", function()
      assert.equal("nil\tfalse\n", look("COLUMNS=60", "| cat"))
      assert.equal("nil\tfalse\n", look("COLUMNS=60", directory .. "/report.txt"))
    end)

    it("of reports and differences is told so", function()
      local ledger = shell.write(directory .. "/costs.jsonl", '{"id":"1","model":"' .. ("m"):rep(70) .. '","total_cost":1}\n')
      local program = 'os.exit(require("openrouter.cli").main(arg))'
      local out = run(program, "COLUMNS=50", ("diff %s %s --measures spend"):format(ledger, ledger))
      assert.matches("^m+…m+\n  m+\n  spend USD: 1%.00 ", out) -- too narrow for a table
      out = run(program, "COLUMNS=50", ("diff %s %s --measures spend | cat"):format(ledger, ledger))
      assert.matches("\n" .. ("m"):rep(29), out)
    end)
  end)

  describe("a bar", function()
    -- A report over "a" and "b", of `size` bytes each, a quarter of which is read after two seconds and then all of them. As a
    -- terminal shows it in the end, with \27[K as |: each drawing and message is a line.
    local function read(size, elsewhere, known, env)
      local out = run(([[
        local core, clock, size = require "openrouter.core", 100, %s
        core.now = function() return clock end
        require("openrouter.files").size = function() return %s end
        require("openrouter.report").new = function()
          return { add_file = function(_, path, options)
            options.progress(0, size)
            clock = clock + 2
            options.progress((size or 2e8) / 4, size)
            clock = clock + 2
            options.progress(size or 2e8, size)
            require("openrouter.commands.tools").say("read " .. path)
            return 1
          end }
        end
        assert(require("openrouter.commands.ledgers").report({}, { "a", "b" }))]]):format(size, known or size), env, elsewhere)
      return (out:gsub("\27%[K", "|"))
    end

    it("shows how far all long files are read, with rate and time left, and makes way for messages", function()
      local out = read(2e8)
      assert.matches("\r%[###%-+%]  12%%  50/400 MB  25 MB/s  0:14 left|", out)
      assert.matches("\r%[#+%-+%]  50%%  200/400 MB  50 MB/s  0:04 left|\r|openrouter%-cost: read a\n"
        .. "\r%[#+%-+%]  50%%  200/400 MB  50 MB/s  0:04 left|", out)
      assert.matches("\r%[#+%-+%]  62%%  250/400 MB  42 MB/s  0:03 left|", out)
      assert.matches("\r%[#+%] 100%%  400/400 MB  50 MB/s  0:00 left|\r|openrouter%-cost: read b\n"
        .. "\r%[#+%] 100%%  400/400 MB  50 MB/s  0:00 left|\r|$", out)
    end)

    it("shows it of many short files, too", function()
      assert.matches("\r%[#+%] 100%%  12/12 MB  2 MB/s  0:00 left|\r|$", read(6e6))
    end)

    it("shows how much it was, and no time left, where nobody knows how much there is", function()
      for _, known in ipairs { "nil", "2e8" } do -- a pipe, and a compressed file
        local out = read("nil", nil, known)
        assert.matches("\r50 MB  25 MB/s|.*\r200 MB  50 MB/s|\r|openrouter%-cost: read a\n.*\r400 MB  50 MB/s|\r|$", out)
      end
    end)

    -- What a bar draws at half of its way, on terminals as wide as the columns of `widths` say.
    local function drawn(widths, elsewhere, columns)
      local out = run(([[
        local core, clock = require "openrouter.core", 100
        core.now = function() return clock end
        local ask = core.terminal_width
        for width = %s do
          core.terminal_width = width > 0 and function() return width end or ask
          local bar = require("openrouter.progress").new(2e8, "MB", 1e6)
          clock = clock + 2
          bar:show(1e8, "3 failed")
        end]]):format(widths), nil, elsewhere, columns)
      local lines = {}
      for line in out:gmatch "\r([^\r]-)\27%[K" do lines[#lines + 1] = line end
      return lines
    end

    it("is narrower than its terminal: first the bar gets shorter, then words go", function()
      local lines = drawn "1, 120"
      assert.equal(120, #lines)
      for columns, line in ipairs(lines) do
        assert.is_true(#line < columns, line)
        local has = { line:find "50%%" ~= nil, line:find "100/200 MB" ~= nil, line:find " 50 MB/s  0:02 left  3 failed" ~= nil }
        assert.same({ columns >= 5, columns >= 17, columns >= 47 }, has)
        assert.is_true(columns < 54 or line:find "%[##+%-%-+%]" ~= nil) -- where words went, there may be room for one again
      end
      assert.equal("[######------]  50%  100/200 MB  50 MB/s  0:02 left  3 failed", lines[62])
    end)

    it("asks the terminal of stderr how wide it is, and takes one that does not say for a usual one", function()
      assert.equal("[##--]  50%  100/200 MB  50 MB/s  0:02 left  3 failed", drawn("0, 0", ">/dev/null", 54)[1])
      assert.equal(("#"):rep(12) .. ("-"):rep(12), drawn("0, 0", ">/dev/null", 0)[1]:match "[#-]+")
    end)

    it("is not there for short files, where nothing can be drawn over, or elsewhere", function()
      local plain = "openrouter-cost: read a\nopenrouter-cost: read b\n"
      assert.equal(plain, read(4.9e6))
      assert.equal(plain, read(2e8, "2>&1 | cat"))
      assert.equal(plain, read(2e8, nil, nil, "TERM=dumb"))
    end)
  end)
end)

describe("a message", function()
  after_each(shell.clean)

  it("has nothing in it that a terminal would obey, whatever files are called", function()
    local name = shell.directory() .. "/n\27[31m\n\194\155\226\128\174\255ü"
    local seen = "/n\\x1B[31m\\x0A\\u{9B}\\u{202E}\\xFFü"
    local quoted = shell.quote(name)
    for _, command in ipairs { "report ", "check ", "reconcile ", "fetch ", "settle ", "diff 2026-10 2026-11 ",
      "report /dev/null -o " } do
      local where = command:find "-o" and quoted .. "/x" or quoted
      local status, out, err = shell.run("OPENROUTER_API_KEY=k " .. shell.cost(command .. where))
      assert.same({ command, 1, "" }, { command, status, out })
      assert.is_truthy(err:find(seen, 1, true), err)
      assert.not_matches("[%z\1-\9\11-\31]", err)
      assert.equal(1, select(2, err:gsub("\n", "")))
    end
    os.execute("mkdir " .. quoted)
    shell.write(name .. "/ids", "nothing")
    local _, _, err = shell.run(shell.cost("fetch " .. quoted .. "/ids"))
    assert.is_truthy(err:find(seen, 1, true), err)
  end)

  it("is on several lines where it is about a bug", function()
    local program = shell.write(shell.directory() .. "/program.lua", [[
      require("openrouter.commands.report").run = function() error("out of \27 order") end
      os.exit(require("openrouter.cli").main(arg))]])
    local status, _, err = shell.run(("%s %s report /dev/null"):format(os.getenv "LUA", program))
    assert.equal(1, status)
    assert.matches("^openrouter%-cost: this is a bug, please report it:\nopenrouter%-cost: [^\n]*out of \\x1B order\n", err)
    assert.matches("\nopenrouter%-cost: stack traceback:\nopenrouter%-cost:   [^\n]+\n", err)
  end)
end)

describe("a bug", function()
  after_each(shell.clean)

  -- Where there is something to clean up before it is told.
  it("is told with the place where it is, and what is done before is safe", function()
    local directory = shell.directory()
    local ids = shell.write(directory .. "/ids", "gen-1792120000-a")
    shell.run(("mkdir -p %s/nginx/pending"):format(directory))
    for command, bug in pairs {
      [("fetch %s --ledger %s/l.jsonl"):format(ids, directory)] = 'require("openrouter.batch").fetch = culprit',
      [("settle %s/nginx"):format(directory)] = [[
        local settle = require "openrouter.settle"
        local adopt = settle.adopt
        settle.adopt = function(...)
          local run = adopt(...)
          run.plan = culprit
          return run
        end]],
      [("report /dev/null -o %s/r.txt"):format(directory)] = "os.rename = culprit",
    } do
      local program = shell.write(directory .. "/program.lua", ([[local function culprit() error "out of order" end
        %s
        os.exit(require("openrouter.cli").main(arg))]]):format(bug))
      local status, out, err = shell.run(("OPENROUTER_API_KEY=k %s %s %s"):format(os.getenv "LUA", program, command))
      assert.same({ 1, "" }, { status, out })
      assert.matches("\nopenrouter%-cost:   [^\n]*program%.lua:1: in ", err)
      assert.equal(1, select(2, err:gsub("stack traceback", "")))
      assert.equal(1, select(2, err:gsub("please report it", "")))
      assert.equal(command:find "^fetch" ~= nil, err:find "0 records of this run are safe in " ~= nil)
      assert.equal(command:find "^settle" ~= nil, err:find "0 records of this run are in " ~= nil)
    end
    assert.not_matches("tmp", select(2, shell.run("ls " .. directory)))
  end)
end)

describe("Ctrl-C", function()
  after_each(shell.clean)

  it("is no bug while the command looks for its modules, nor while it ends", function()
    for name, words in pairs { ["io.open"] = "", ["os.exit"] = "openrouter-cost" } do
      local status, out, err = shell.run(([[%s -e '
        local before = %s
        %s = function() %s = before error("interrupted!", 0) end' bin/openrouter-cost completion bash]]):format(
        os.getenv "LUA", name, name, name))
      assert.same({ 130, "openrouter-cost: interrupted\n" }, { status, err })
      assert.equal(words, out:match "openrouter%-cost" or "")
    end
  end)

  it("is no bug while the command line is read", function()
    local program = shell.write(shell.directory() .. "/program.lua", [[
      local argparse = require "argparse"
      local make = getmetatable(argparse).__call
      getmetatable(argparse).__call = function(...)
        local parser = make(...)
        parser._parse = function() error("interrupted!", 0) end
        return parser
      end
      os.exit(require("openrouter.cli").main(arg))]])
    local status, out, err = shell.run(("%s %s report /dev/null"):format(os.getenv "LUA", program))
    assert.same({ 130, "", "openrouter-cost: interrupted\n" }, { status, out, err })
  end)
end)

describe("memory that runs out", function()
  after_each(shell.clean)

  it("is told, and is no bug", function()
    local program = shell.write(shell.directory() .. "/program.lua", [[
      local cli = require "openrouter.cli"
      xpcall = function() return false, "not enough memory" end -- as it does then, and calls no handler
      os.exit(cli.main(arg))]])
    local status, out, err = shell.run(("%s %s man"):format(os.getenv "LUA", program))
    assert.same({ 1, "", "openrouter-cost: not enough memory\n" }, { status, out, err })
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

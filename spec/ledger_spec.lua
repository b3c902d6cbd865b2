local core = require "openrouter.core"
local ledger = require "openrouter.ledger"
local errors = require "openrouter.errors"
local openrouter = require "openrouter"
local generation = require "openrouter.generation"
local report = require "openrouter.report"
local shell = require "spec.support.shell"

describe("ledger", function()
  local path
  before_each(function() path = shell.directory() .. "/costs.jsonl" end)
  after_each(shell.clean)

  local function record(text) return assert(openrouter.decode(text)) end

  local function read_all()
    local all = {}
    for number, id, gen, err in assert(ledger.read(path)) do
      all[#all + 1] = { number = number, id = id, gen = gen, err = err }
    end
    return all
  end

  -- Misuse is told in a line of ours.
  local function wrong(message, call)
    local ok, raised = pcall(call)
    assert.is_false(ok, message)
    assert.equal(message, (raised:match "ledger_spec.lua:%d+: (.*)$"), raised)
  end

  it("keeps the server's answer, less the white space between its tokens", function()
    local writer = assert(ledger.open(path))
    local gen = record '{ "data": { "id": "gen-1", "x": "a  b", "total_cost": 4.20e-7 } , "more": [ 1 ] }'
    assert.is_true(writer:settled("gen-1", gen))
    assert.is_true(writer:close())
    local at, answer = shell.read(path):match '^{"settled":"gen%-1","at":"([^"]+)","answer":(.*)}\n$'
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", at)
    assert.equal('{"data":{"id":"gen-1","x":"a  b","total_cost":4.20e-7},"more":[1]}', answer)
  end)

  it("gives back records, with their context, and failures", function()
    local writer = assert(ledger.open(path))
    assert(writer:settled("gen-1", record '{"id":"gen-1","usage":0.5}', { user = "zo\255e\n", tries = 2, ok = true }))
    local failure = errors.new("server", "bad\ngateway", { status = 502, attempts = 4, id = "gen-2" })
    assert(writer:failed("gen-2", failure))
    assert(writer:close())
    local all = read_all()
    assert.equal(2, #all)
    assert.equal("gen-1", all[1].id)
    assert.equal(0.5, all[1].gen.usage)
    assert.same({ user = "zo\239\191\189e\n", tries = 2, ok = true }, generation.context(all[1].gen))
    local err = all[2].err
    assert.same({ "gen-2", "server", true, 502, 4, "bad\\x0Agateway" },
      { all[2].id, err.kind, err.retryable, err.status, err.attempts, err.message })
  end)

  it("writes numbers of a context so that they read back the same", function()
    local writer = assert(ledger.open(path))
    local context = { a = 0.1, b = 1e300, c = -5, d = 2 ^ 53, e = 1 / 3 }
    assert(writer:settled("gen-1", record '{"id":"gen-1"}', context))
    assert(writer:close())
    assert.same(context, generation.context(read_all()[1].gen))
  end)

  it("refuses a context that is not flat, too long or has too many names", function()
    local writer = assert(ledger.open(path))
    local gen = record '{"id":"gen-1"}'
    assert.error_matches(function() writer:settled("gen-1", gen, { a = {} }) end, "a must be a string, boolean or number")
    local _, message = pcall(function() writer:settled("gen-1", gen, { a = {} }) end)
    assert.matches("ledger_spec.lua:%d+: context: a must", message)
    assert.error_matches(function() writer:settled("gen-1", gen, { "x" }) end, "1 must be")
    assert.error_matches(function() writer:settled("gen-1", gen, { a = ("x"):rep(1100) }) end, "does not fit, 1024 bytes")
    assert.has_error(function() writer:settled("gen-1", gen, { a = 0 / 0 }) end)
    local many = {}
    for i = 1, 17 do many["n" .. i] = i end
    assert.error_matches(function() writer:settled("gen-1", gen, many) end, "17 names, 16 at most")
    assert(writer:close())
    assert.equal("", shell.read(path))
  end)

  it("ends a line that was cut short, so that it spoils no other", function()
    shell.write(path, '{"settled":"gen-1","at":"2026-11-01T00:00:00.000Z","answer":{"da')
    local writer = assert(ledger.open(path))
    assert(writer:settled("gen-2", record '{"id":"gen-2"}'))
    assert(writer:close())
    local all = read_all()
    assert.equal(2, #all)
    assert.is_nil(all[1].id)
    assert.matches("too early", all[1].err.message)
    assert.equal("gen-2", all[2].id)
  end)

  it("goes on behind a line that a full disk cut in two, with the same writer", function()
    -- a process that may write 100 bytes and no more, until it may again
    local program = shell.write(shell.directory() .. "/program.lua", [[
      local path, decode = arg[1], require("openrouter").decode
      local function limit(bytes) os.execute("prlimit --pid $PPID --fsize=" .. bytes .. ":unlimited") end
      local writer = assert(require("openrouter.ledger").open(path))
      assert(writer:settled("gen-1", decode '{"id":"gen-1"}'))
      limit "100"
      local ok, err = writer:settled("gen-2", decode(('{"id":"gen-2","origin":"%s"}'):format(("x"):rep(200))))
      limit "unlimited"
      print(ok, err)
      assert(writer:settled("gen-3", decode '{"id":"gen-3"}'))
      assert(writer:close())]])
    local status, out, err = shell.run(("trap '' XFSZ; %s %s %s"):format(os.getenv "LUA", program, path))
    assert.same({ 0, "" }, { status, err })
    assert.matches("^nil\t.*: File too large\n$", out)
    local seen = {}
    for i, line in ipairs(read_all()) do seen[i] = line.id or "?" end
    assert.same({ "gen-1", "?", "gen-3" }, seen)
  end)

  it("gives back whatever was decoded, however deeply nested", function()
    local writer, count = assert(ledger.open(path)), 0
    for depth = 120, 130 do
      local gen = openrouter.decode(('{"data":{"id":"gen-1","x":%s%s}}'):format(("["):rep(depth), ("]"):rep(depth)))
        or openrouter.decode(('{"id":"gen-1","x":%s%s}'):format(("["):rep(depth), ("]"):rep(depth)))
      if gen then
        count = count + 1
        assert(writer:settled("gen-1", gen))
      end
    end
    assert(writer:close())
    assert.is_true(count >= 7)
    for _, line in ipairs(read_all()) do assert.equal("gen-1", line.gen and line.gen.id) end
  end)

  it("says which lines it cannot read and goes on behind them", function()
    shell.write(path, 'x\n\n  \n{"settled":"gen-1","at":"t","answer":{"data":{"id":"gen-1"}}}\n[1]\n\0\0\0\n'
      .. '{"failed":"gen-3","at":"t"}\n{"settled":"gen-4","answer":{"id":"gen-4"}')
    local all = read_all()
    local seen = {}
    for i, line in ipairs(all) do seen[i] = { line.number, line.id or "?", line.gen and "record" or line.err.kind } end
    assert.same({ { 1, "?", "bad_answer" }, { 4, "gen-1", "record" }, { 5, "?", "bad_answer" }, { 6, "?", "bad_answer" },
      { 7, "gen-3", "unresolved" }, { 8, "?", "bad_answer" } }, seen)
    assert.matches("cut short", all[6].err.message)
  end)

  it("reads a last line without an end when it is whole", function()
    shell.write(path, '{"settled":"gen-4","answer":{"data":{"id":"gen-4"}}}')
    assert.equal("gen-4", read_all()[1].gen.id)
  end)

  it("reads a line of several megabytes", function()
    shell.write(path, ('{"settled":"gen-1","answer":{"data":{"id":"gen-1","x":"%s"}}}\n{"id":"gen-2"}\n')
      :format(("y"):rep(5000000)))
    local all = read_all()
    assert.equal(5000000, #all[1].gen.x)
    assert.equal("gen-2", all[2].id)
  end)

  it("is not taken for one when its first line is none of a ledger", function()
    for _, text in ipairs { "2026-11-20 INFO generation=gen-1\n", '{"generation":"gen-1"}\n', ("x"):rep(5000) } do
      shell.write(path, text)
      local writer, err = ledger.open(path)
      assert.is_nil(writer)
      assert.equal("io", err.kind)
      assert.matches("not a ledger", err.message)
      assert.equal(text, shell.read(path))
    end
  end)

  it("is one though its first lines were cut short by a disk that was full from the start", function()
    for _, text in ipairs { '{', '{"sett', '{"settled":"', '{"failed":"gen-' .. ("1"):rep(100) } do
      shell.write(path, text)
      for i = 1, 2 do -- what opens it ends the torn line, which must not keep the next one out
        local writer = assert(ledger.open(path))
        assert(writer:settled("gen-" .. i, record '{"id":"gen-1"}'))
        assert(writer:close())
      end
      shell.write(path, text .. "\n" .. text)
      assert(assert(ledger.open_shared(path)):close())
      shell.write(path, " \n\n" .. text)
      assert(assert(ledger.open(path)):close())
      shell.write(path, text .. "\n" .. "2026-11-20 INFO\n")
      assert.is_nil((ledger.open(path)))
    end
  end)

  it("is no other file than its path says, as C would take it for with a NUL byte", function()
    assert.equal(0, (shell.run("touch " .. path)))
    for _, name in ipairs { "lines", "append_file", "shared_file", "modified", "file_status", "set_mode", "real_path",
      "act_as_owner", "new_segment", "adopt_segment", "list_directory", "make_directory", "remove_stale" } do
      assert.error_matches(function() core[name](path .. "\0x", 384) end, "a path must not have a NUL byte in it")
    end
    local tally = core.tally { dimensions = {}, sums = {}, spreads = {}, dearest = 0 }
    assert.error_matches(function() tally:read(path .. "\0x", 1) end, "a path must not have a NUL byte in it")
  end)

  it("is written by one at a time", function()
    local writer = assert(ledger.open(path))
    local other, err = ledger.open(path)
    assert.is_nil(other)
    assert.equal("io", err.kind)
    assert.matches("another process is writing", err.message)
    assert(writer:close())
    assert(assert(ledger.open(path)):close())
  end)

  it("is made readable for its owner alone", function()
    assert(assert(ledger.open(path)):close())
    local _, mode = shell.run("stat -c %a " .. path)
    assert.equal("600\n", mode)
  end)

  it("says why it cannot be opened or read", function()
    local writer, err = ledger.open "/nonexistent/costs.jsonl"
    assert.is_nil(writer)
    assert.equal("/nonexistent/costs.jsonl: No such file or directory", err.message)
    local lines, read_err = ledger.read "/nonexistent/costs.jsonl"
    assert.is_nil(lines)
    assert.equal("io", read_err.kind)
    assert.matches("Is a directory", select(2, ledger.read "/tmp").message)
  end)

  it("says that the disk is full", function()
    local writer = assert(ledger.open "/dev/full")
    assert.is_true(writer:empty())
    local ok, err = writer:settled("gen-1", record '{"id":"gen-1"}')
    assert.is_nil(ok)
    assert.equal("/dev/full: No space left on device", err.message)
    assert(writer:close())
  end)

  it("cannot be used after it is closed", function()
    local writer = assert(ledger.open(path))
    assert(writer:close())
    for method, arguments in pairs { settled = { "gen-1", record '{"id":"gen-1"}' }, failed = { "gen-1", errors.new("io", "x") },
      empty = {}, close = {} } do
      wrong(method .. ": the ledger is closed", function()
        local result = writer[method](writer, arguments[1], arguments[2])
        return result
      end)
    end
  end)

  it("says what is wrong with arguments, and in which line of the caller's", function()
    for message, path_or_not in pairs { ["path must be a string, not a nil"] = false,
      ["a path must not have a NUL byte in it: a\\x00b"] = "a\0b" } do
      for _, name in ipairs { "open", "open_shared", "read", "has_records", "settled_among" } do
        wrong(name .. ": " .. message, function()
          local result = ledger[name](path_or_not or nil, {}, 0)
          return result
        end)
      end
    end
    for message, arguments in pairs { ["ids must be a table, not a nil"] = {},
      ["since must be a number, not a string"] = { {}, "0" },
      ["since must be in the years 0 to 9999"] = { {}, 1e12 }, ["pause must be a function, not a boolean"] = { {}, 0, true } } do
      wrong("settled_among: " .. message, function()
        local result = ledger.settled_among("/", arguments[1], arguments[2], arguments[3])
        return result
      end)
    end
    local writer, gen = assert(ledger.open(path)), record '{"id":"gen-1"}'
    local err, odd = errors.new("io", "x"), { kind = "io", message = "x", status = "x" }
    for message, arguments in pairs {
      ["settled: id must be a string, not a nil"] = { nil, gen },
      ["settled: 'gen-1 gen-2' is no id"] = { "gen-1 gen-2", gen },
      ["settled: a generation record expected, got a nil"] = { "gen-1" },
      ["settled: context must be a string, not a number"] = { "gen-1", gen, 5 },
      ["settled: instant must be a string, not a table"] = { "gen-1", gen, nil, {} },
      ["failed: id must be a string, not a number"] = { 5, err },
      ["failed: the error must be a table, not a number"] = { "gen-1", 5 },
      ["failed: the message of the error must be a string, not a nil"] = { "gen-1", { kind = "io" } },
      ["failed: the error is of no kind of docs/errors.md: 'oi'"] = { "gen-1", { kind = "oi", message = "x" } },
      ["failed: the status of the error must be a number, not a string"] = { "gen-1", odd },
    } do
      wrong(message, function()
        local result = writer[message:match "^%a+"](writer, arguments[1], arguments[2], arguments[3], arguments[4])
        return result
      end)
    end
    assert.is_true(writer:empty())
  end)

  -- ---- what a line may say besides ----------------------------------------------------------------------------------

  local function written(write)
    local writer = assert(ledger.open(path))
    assert(write(writer))
    assert(writer:close())
    local text = shell.read(path)
    os.remove(path)
    return (text:gsub('"at":"[^"]*"', '"at":T'))
  end

  it("takes a context as text too, as journals have it", function()
    local gen, failure = record '{"id":"gen-1"}', errors.new("server", "x")
    local text = '{"ok":true,"tries":2,"user":"zo\\né"}'
    local line = written(function(w) return w:settled("gen-1", gen, text) end)
    assert.equal('{"settled":"gen-1","at":T,"context":' .. text .. ',"answer":{"data":{"id":"gen-1"}}}\n', line)
    assert.equal(line, written(function(w) return w:settled("gen-1", gen, { tries = 2, ok = true, user = "zo\né" }) end))
    line = written(function(w) return w:failed("gen-1", failure, text) end)
    assert.equal('{"failed":"gen-1","at":T,"context":' .. text .. ',"error":{"kind":"server","message":"x"}}\n', line)
    for _, none in ipairs { "", "{}", "[1]", '{"a":', '{"a":1},"x":{"y":1}', "null", "\n" } do
      line = written(function(w) return w:settled("gen-1", gen, none) end)
      assert.equal('{"settled":"gen-1","at":T,"answer":{"data":{"id":"gen-1"}}}\n', line)
    end
    assert.has_error(function() written(function(w) return w:settled("gen-1", gen, 5) end) end)
  end)

  it("keeps what the response itself said", function()
    local gen, failure = record '{"id":"gen-1","total_cost":1}', errors.new("server", "x")
    local line = written(function(w) return w:settled("gen-1", gen, { a = 1 }, '{"cost":1,"tokens":7}') end)
    assert.equal('{"settled":"gen-1","at":T,"context":{"a":1},"instant":{"cost":1,"tokens":7},'
      .. '"answer":{"data":{"id":"gen-1","total_cost":1}}}\n', line)
    line = written(function(w) return w:failed("gen-1", failure, nil, '{"cost":2}') end)
    assert.equal('{"failed":"gen-1","at":T,"instant":{"cost":2},"error":{"kind":"server","message":"x"}}\n', line)
    line = written(function(w) return w:settled("gen-1", gen, nil, '{\n"cost"\r\n:\t1}') end)
    assert.equal('{"settled":"gen-1","at":T,"instant":{ "cost"  :\t1},"answer":{"data":{"id":"gen-1","total_cost":1}}}\n', line)
  end)

  it("leaves out an instant that would spoil the line", function()
    local gen = record '{"id":"gen-1","total_cost":1}'
    for _, text in ipairs { "", "5", "[1]", '{"cost":2', '{"cost":2}}', '{"cost":2},"x":{"y":1}', '{"cost":2}},"z":{"a":{}',
      "\0" } do
      local line = written(function(w) return w:settled("gen-1", gen, nil, text) end)
      assert.equal('{"settled":"gen-1","at":T,"answer":{"data":{"id":"gen-1","total_cost":1}}}\n', line)
    end
    assert.has_error(function() written(function(w) return w:settled("gen-1", gen, nil, {}) end) end)
  end)

  it("says by how much the bill differs from what the response said, exactly", function()
    local function drift(cost, instant)
      local gen = record('{"id":"gen-1"' .. (cost and ',"total_cost":' .. cost or "") .. "}")
      local line = written(function(w) return w:settled("gen-1", gen, nil, instant) end)
      assert.truthy(openrouter.decode((line:gsub('"at":T', '"at":"T"'))))
      local found = line:match ',"drift":([^,]*),"answer"'
      return found or line:find("drift", 1, true) and line or nil
    end
    assert.equal("0.0005", drift("0.0015", '{"cost":0.001}'))
    assert.equal("-0.0005", drift("0.001", '{"cost":1.5e-3}'))
    assert.equal("1", drift("1", '{"cost":0}'))
    assert.equal("0.000000000000000000000000001", drift("0.300000000000000000000000001", '{"cost":0.3}'))
    assert.equal("-0.000000000000000000000000001", drift("1e-27", '{"x":{"cost":5},"cost":2e-27}'))
    assert.is_nil(drift("0.001", '{"cost":1.0e-3}'))
    assert.is_nil(drift("0", '{"cost":0.0}'))
    for _, text in ipairs { '{}', '{"cost":null}', '{"cost":"2"}', '{"cost":true}', '{"cost":{"cost":2}}', '{"x":{"cost":2}}',
      '{"cost":1e99}' } do
      assert.is_nil(drift("1", text))
    end
    for _, cost in ipairs { "null", '"1"', "true", "{}", "1e99" } do assert.is_nil(drift(cost, '{"cost":2}')) end
    assert.is_nil(drift(nil, '{"cost":2}'))
    assert.is_nil(drift("1", nil))
  end)

  it("reads lines with members of all kinds", function()
    shell.write(path, table.concat({
      '{"settled":"gen-1","at":"2026-11-21T06:26:57.123Z","context":{"user":"zoe"},"instant":{"cost":2,"error":"x",'
        .. '"data":{"id":"y"}},"drift":-1,"answer":{"data":{"id":"gen-1","total_cost":1}}}',
      '{"failed":"gen-2","at":"2026-11-21T06:26:57.123Z","context":{"a":1},"instant":{"cost":2},"error":{"kind":"not_found",'
        .. '"message":"no","attempts":3}}',
      '{"pending":"gen-3","open":true ,"at":"2026-11-21T06:26:57.123Z","key":"default","context":{"a":1}}',
      '{"pending":"gen-4","open":false,"at":"2026-11-21T06:26:57.123Z"}',
      '{"note":"gen-5","open":true ,"at":"2026-11-21T06:26:57.123Z","interrupted":true,"context":{"a":1},"instant":{"cost":1}}',
    }, "\n") .. "\n")
    local all, seen = read_all(), {}
    for i, line in ipairs(all) do seen[i] = { line.number, line.id or "?", line.gen and "record" or line.err.kind } end
    assert.same({ { 1, "gen-1", "record" }, { 2, "gen-2", "not_found" }, { 3, "gen-3", "unresolved" },
      { 4, "gen-4", "unresolved" }, { 5, "gen-5", "unresolved" } }, seen)
    assert.same({ user = "zoe" }, generation.context(all[1].gen))
    assert.equal(1, all[1].gen.total_cost)
    assert.equal(3, all[2].err.attempts)
    local r = report.new { by = { "context.user" } }
    assert(r:add_file(path))
    assert.same({ "zoe", 1, "1" }, { r:rows()[1]["context.user"], r:total().generations, r:total().exact.spend })
    local omitted = r:omitted()
    assert.same({ 1, 2, 0 }, { omitted.failed, omitted.pending, omitted.skipped }) -- gen-4 has come to its end elsewhere
  end)

  -- ---- several writers ----------------------------------------------------------------------------------------------

  describe("shared", function()
    local function bare(id) return record('{"id":"' .. id .. '"}') end

    local function append(writer, ...)
      for _, id in ipairs { ... } do assert.is_true(writer:settled(id, bare(id))) end
    end

    -- the ids of a file's lines, "?" for one that cannot be read
    local function ids_in(file)
      local seen = {}
      for _, id in assert(ledger.read(file)) do seen[#seen + 1] = id or "?" end
      return seen
    end

    local PATIENCE = 1000 -- times 10 ms

    local function wait_until_synced(writer)
      for _ = 1, PATIENCE do
        local done, why = writer.file:synced()
        if done ~= false then return done, why end
        os.execute "sleep 0.01"
      end
      error "the sync does not end"
    end

    -- Run a program in a process of its own, `path` being its ledger.
    local function child(text, before)
      local program = shell.write(shell.directory() .. "/program.lua", [[
        local path, decode = arg[1], require("openrouter").decode
        local function bare(id) return decode('{"id":"' .. id .. '"}') end
        local function shared() return assert(require("openrouter.ledger").open_shared(path)) end
        local function append(writer, id) assert(writer:settled(id, bare(id))) end
      ]] .. text)
      return shell.run(("%s %s %s %s"):format(before or "", os.getenv "LUA", program, path))
    end

    it("takes lines from several writers, and is made readable for its owner alone", function()
      local one, other = assert(ledger.open_shared(path)), assert(ledger.open_shared(path))
      assert.is_true(other:empty())
      append(one, "gen-1")
      assert.is_false(other:empty())
      append(other, "gen-2")
      append(one, "gen-3")
      assert.is_true(one:close())
      append(other, "gen-4")
      assert.is_true(other:close())
      assert.same({ "gen-1", "gen-2", "gen-3", "gen-4" }, ids_in(path))
      local _, mode = shell.run("stat -c %a " .. path)
      assert.equal("600\n", mode)
    end)

    local WRITERS, LINES = 4, 2000

    -- Several processes write lines of up to 10 kB at once; the files they went to together have each id once.
    local function write_at_once(besides)
      local program = shell.write(shell.directory() .. "/program.lua", [[
        local path, name, count = arg[1], arg[2], tonumber(arg[3])
        local writer = assert(require("openrouter.ledger").open_shared(path))
        local decode = require("openrouter").decode
        for i = 1, count do
          local id = ("gen-%s-%d"):format(name, i)
          local size = i % 50 == 0 and 10000 or i * 7 % 300
          assert(writer:settled(id, decode(('{"id":"%s","origin":"%s"}'):format(id, name:rep(size)))))
        end]])
      local commands = {}
      for i = 1, WRITERS do commands[i] = ("%s %s %s %d %d & p%d=$!"):format(os.getenv "LUA", program, path, i, LINES, i) end
      for i = 1, WRITERS do commands[#commands + 1] = (i == 1 and besides or "") .. "\nwait $p" .. i .. " || exit 1" end
      assert.same({ 0, "", "" }, { shell.run(table.concat(commands, "\n")) })
    end

    local function expect_all(files)
      local times, lines = {}, 0
      for _, file in ipairs(files) do
        for number, id, gen in assert(ledger.read(file)) do
          assert(gen, number)
          times[id], lines = (times[id] or 0) + 1, lines + 1
        end
      end
      assert.equal(WRITERS * LINES, lines)
      for writer = 1, WRITERS do
        for i = 1, LINES do assert.equal(1, times[("gen-%d-%d"):format(writer, i)]) end
      end
    end

    it("loses and glues nothing that several processes write at once", function()
      write_at_once()
      expect_all { path }
    end)

    it("loses nothing while it is rotated under several processes", function()
      write_at_once(([[

        for i in 1 2 3 4 5 6 7 8; do
          sleep 0.1 # not more often than disks keep up with, which is an error: a writer has four files at a time
          until mv %s %s.$i 2>/dev/null; do kill -0 $p1 2>/dev/null || break 2; sleep 0.02; done
        done
        touch %s]]):format(path, path, path))
      local _, list = shell.run("ls -d " .. path .. "*")
      local files = {}
      for file in list:gmatch "[^\n]+" do files[#files + 1] = file end
      assert.is_true(#files > 1)
      expect_all(files)
    end)

    it("says what is wrong with a path that is much too long, and all of it", function()
      local long = path .. ("/x"):rep(5000)
      for _, open in ipairs { ledger.open, ledger.open_shared, ledger.read } do
        local writer, err = open(long)
        assert.is_nil(writer)
        assert.same({ "io", long .. ": File name too long" }, { err.kind, err.message })
      end
    end)

    it("goes on in a new file when it was rotated away", function()
      local writer = assert(ledger.open_shared(path))
      append(writer, "gen-1")
      assert(os.rename(path, path .. ".1"))
      append(writer, "gen-2", "gen-3")
      assert.is_false(writer:empty())
      local _, mode = shell.run("stat -c %a " .. path)
      assert.equal("600\n", mode)
      assert(os.rename(path, path .. ".2"))
      shell.write(path, '{"settled":"gen-4","answer":{"data":{"id":"gen-4"}}}\n{"torn')
      append(writer, "gen-5")
      assert(os.remove(path .. ".1"))
      append(writer, "gen-6")
      assert(writer:close())
      assert.same({ "gen-2", "gen-3" }, ids_in(path .. ".2"))
      assert.same({ "gen-4", "?", "gen-5", "gen-6" }, ids_in(path))
    end)

    it("fails while the folder is away, and goes on when it is back", function()
      local directory = path:match "^(.*)/"
      local writer = assert(ledger.open_shared(path))
      append(writer, "gen-1")
      assert(os.rename(directory, directory .. ".away"))
      local ok, err = writer:settled("gen-2", bare "gen-2")
      assert(os.rename(directory .. ".away", directory))
      assert.is_nil(ok)
      assert.equal(path .. ": No such file or directory", tostring(err.message))
      append(writer, "gen-3")
      assert.same({ "gen-1", "gen-3" }, ids_in(path))
    end)

    it("ends a line that somebody else left torn, in the same write", function()
      local writer = assert(ledger.open_shared(path))
      append(writer, "gen-1")
      for _, torn in ipairs { "{", '{"settled":"gen-2","at":"2026-11-01T00:00:00.000Z","answer":{"da' } do
        local file = assert(io.open(path, "ab"))
        file:write(torn)
        file:close()
        append(writer, "gen-3", "gen-4")
      end
      assert(writer:close())
      assert.same({ "gen-1", "?", "gen-3", "gen-4", "?", "gen-3", "gen-4" }, ids_in(path))
      assert.is_nil(shell.read(path):find("\n\n", 1, true))
    end)

    it("goes on behind a line that a full disk cut in two", function()
      local status, out, err = child([[
        local function limit(bytes) os.execute("prlimit --pid $PPID --fsize=" .. bytes .. ":unlimited") end
        local writer = shared()
        append(writer, "gen-1")
        limit "150"
        for _ = 1, 2 do print(writer:settled("gen-2", decode(('{"id":"gen-2","origin":"%s"}'):format(("x"):rep(200))))) end
        limit "unlimited"
        append(writer, "gen-3")]], "trap '' XFSZ;")
      assert.same({ 0, "" }, { status, err })
      assert.matches("^nil\t[^\n]*: No space left on device\nnil\t[^\n]*: File too large\n$", out)
      assert.same({ "gen-1", "?", "gen-3" }, ids_in(path))
    end)

    it("ends what another process could write only in part", function()
      child([[
        os.execute("prlimit --pid $PPID --fsize=60:unlimited")
        assert(not shared():settled("gen-1", bare "gen-1"))]], "trap '' XFSZ;")
      assert.equal(60, #shell.read(path))
      local writer = assert(ledger.open_shared(path))
      append(writer, "gen-2")
      assert.same({ "?", "gen-2" }, ids_in(path))
    end)

    it("says why it cannot be opened or written", function()
      local writer, err = ledger.open_shared "/nonexistent/costs.jsonl"
      assert.is_nil(writer)
      assert.same({ "io", "/nonexistent/costs.jsonl: No such file or directory" }, { err.kind, err.message })
      writer, err = ledger.open_shared "/sys/costs.jsonl" -- where nobody may make files
      assert.is_nil(writer)
      assert.matches("^/sys/costs.jsonl: %u", err.message)
      assert.matches("Is a directory", select(2, ledger.open_shared "/tmp").message)
      writer = assert(ledger.open_shared "/dev/full")
      assert.is_true(writer:empty())
      local ok
      ok, err = writer:settled("gen-1", bare "gen-1")
      assert.is_nil(ok)
      assert.equal("/dev/full: No space left on device", err.message)
      assert.is_true(writer.file:sync())
      assert.is_true(wait_until_synced(writer))
      assert(writer:close())
    end)

    it("is not taken for one when its first line is none of a ledger", function()
      shell.write(path, "2026-11-20 INFO generation=gen-1\n")
      local writer, err = ledger.open_shared(path)
      assert.is_nil(writer)
      assert.matches("not a ledger", err.message)
    end)

    it("cannot be used after it is closed", function()
      local writer = assert(ledger.open_shared(path))
      assert(writer.file:sync())
      assert.is_true(writer:close())
      for _, name in ipairs { "append", "size", "sync", "synced", "close" } do
        assert.error_matches(function() writer.file[name](writer.file, "x") end, "closed file")
      end
      local file = assert(core.shared_file(path))
      local exclusive = assert(core.append_file(path))
      assert.has_error(function() file.append(exclusive, "x") end)
      assert.has_error(function() exclusive.append(file, "x") end)
      assert.has_error(function() file.sync(path) end)
      assert.has_error(function() file:append() end)
      assert.has_error(function() file:append(5) end)
      assert.equal("", shell.read(path))
    end)

    it("comes to the disk in the background", function()
      local writer = assert(ledger.open_shared(path))
      assert.is_true(writer.file:synced())
      append(writer, "gen-1")
      for i = 2, 5 do
        assert.is_true(writer.file:sync())
        append(writer, "gen-" .. i)
      end
      assert.is_true(wait_until_synced(writer))
      assert.is_true(writer.file:synced())
      assert(writer.file:sync())
      assert(os.rename(path, path .. ".1"))
      append(writer, "gen-6")
      assert.is_true(wait_until_synced(writer))
      assert.same({ "gen-6" }, ids_in(path))
    end)

    it("may be dropped while it is on its way to the disk", function()
      for i = 1, 50 do
        local writer = assert(ledger.open_shared(path))
        append(writer, "gen-" .. i)
        assert.is_true(writer.file:sync())
        if i % 5 == 0 then collectgarbage() end
      end
      collectgarbage()
      assert.equal(50, #ids_in(path))
    end)

    -- ---- with a disk that does what it is told -----------------------------------------------------------------------

    -- Stands in for libc's asynchronous fsync: nothing ends while the file `held` is there, and all that ends fails while
    -- `broken` is. What it was told stands in `told`. A read for the last byte makes somebody else's torn line of `torn`; all
    -- reads but that one fail while `unreadable` is there.
    local DISK = [[
      #define _GNU_SOURCE
      #include <aio.h>
      #include <dlfcn.h>
      #include <errno.h>
      #include <fcntl.h>
      #include <stdio.h>
      #include <stdlib.h>
      #include <string.h>
      #include <unistd.h>
      static int is_there (const char *name) { return access(name, F_OK) == 0; }
      static void tell (const char *what, int fd) {
        char link[64], path[4096] = "";
        FILE *told = fopen("told", "a");
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, path, sizeof path - 1) < 0) strcpy(path, "/closed");
        fprintf(told, "%s %s\n", what, strrchr(path, '/') + 1);
        fclose(told);
      }
      int aio_fsync (int op, struct aiocb *b) {
        (void)op;
        tell("begin", b->aio_fildes);
        return 0;
      }
      int aio_error (const struct aiocb *b) {
        if (is_there("held")) return EINPROGRESS;
        tell("end", b->aio_fildes);
        return is_there("broken") ? EIO : 0;
      }
      ssize_t aio_return (struct aiocb *b) { return b->aio_fildes < 0; }
      int aio_suspend (const struct aiocb *const list[], int n, const struct timespec *t) {
        (void)n;
        (void)t;
        tell("wait", list[0]->aio_fildes);
        unlink("held");
        return 0;
      }
      ssize_t pread (int fd, void *to, size_t size, off_t at) {
        char text[100];
        ssize_t n = ((ssize_t (*) (int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread"))(fd, to, size, at);
        FILE *torn = fopen("torn", "r");
        errno = EIO;
        if (torn == NULL) return is_there("unreadable") ? -1 : n;
        size_t length = fread(text, 1, sizeof text, torn);
        fclose(torn);
        unlink("torn");
        if (write(fd, text, length) < 0) abort();
        return n;
      }]]

    local TOLD = [[
      local function put(name) io.open(name, "w"):close() end
      local function told()
        local file, lines = io.open "told", {}
        if not file then return "" end
        for line in file:lines() do lines[#lines + 1] = line end
        file:close()
        os.remove "told"
        return table.concat(lines, ",")
      end
      local function expect(wanted, got) if wanted ~= got then error(tostring(got) .. " and not " .. tostring(wanted), 2) end end
    ]]

    -- Run a program in a process that has this disk; it must say nothing.
    local function with_disk(text)
      local directory = path:match "^(.*)/"
      local source, library = shell.write(directory .. "/disk.c", DISK), directory .. "/disk.so"
      local status, _, complaints = shell.run(("cc -shared -fPIC -o %s %s -ldl"):format(library, source))
      assert.equal(0, status, complaints)
      local top = shell.run "pwd" == 0 and select(2, shell.run "pwd"):match "[^\n]+"
      assert.same({ 0, "", "" }, { child(TOLD .. text, ("cd %s; LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' LD_PRELOAD=%s")
        :format(directory, top, top, library)) })
    end

    it("syncs again where that was asked for while a sync was under way", function()
      with_disk [[
        local writer = shared()
        append(writer, "gen-1")
        put "held"
        expect(true, writer.file:sync())
        expect(false, writer.file:synced())
        append(writer, "gen-2")
        expect(true, writer.file:sync())
        expect(true, writer.file:sync())
        expect("begin costs.jsonl", told())
        expect(false, writer.file:synced())
        os.remove "held"
        expect(false, writer.file:synced())
        expect("end costs.jsonl,begin costs.jsonl", told())
        expect(true, writer.file:synced())
        expect("end costs.jsonl", told())
        expect(true, writer.file:synced())
        expect("", told())]]
    end)

    it("brings the file that was rotated away to the disk, too", function()
      with_disk [[
        local writer = shared()
        append(writer, "gen-1")
        put "held"
        writer.file:sync()
        append(writer, "gen-2") -- which the sync under way may miss
        os.rename(path, path .. ".1")
        append(writer, "gen-3")
        expect("begin costs.jsonl", told())
        writer.file:sync()
        expect("begin costs.jsonl", told())
        expect(false, writer.file:synced())
        os.remove "held"
        expect(false, writer.file:synced())
        expect("end costs.jsonl.1,begin costs.jsonl.1,end costs.jsonl", told())
        expect(true, writer.file:synced())
        expect("end costs.jsonl.1", told())
        -- nobody asked for this one: it owes the disk something when it goes, and only then
        os.rename(path, path .. ".2")
        append(writer, "gen-4")
        expect("", told())
        os.rename(path, path .. ".3")
        append(writer, "gen-5")
        expect("begin costs.jsonl.3", told())
        append(writer, "gen-6")
        expect("end costs.jsonl.3", told())
        local fds = io.popen("ls -l /proc/$PPID/fd")
        expect(nil, fds:read("*a"):match "costs.jsonl%.%d")
        fds:close()]]
    end)

    it("says once that a sync failed", function()
      with_disk [[
        local writer = shared()
        append(writer, "gen-1")
        put "broken"
        expect(true, writer.file:sync())
        local done, why = writer.file:synced()
        expect(nil, done)
        expect("Input/output error", why)
        expect(true, writer.file:synced())
        os.rename(path, path .. ".1")
        append(writer, "gen-2")
        os.rename(path, path .. ".2")
        append(writer, "gen-3") -- begins the sync of the one before, which fails without anybody waiting for it
        append(writer, "gen-4")
        os.remove "broken"
        expect(nil, (writer.file:synced()))
        expect(true, writer.file:synced())
        put "broken"
        put "held"
        expect(true, writer.file:sync())
        local ok, err = writer:close()
        expect(nil, ok)
        expect(path .. ": Input/output error", err.message)]]
    end)

    it("refuses lines when one file after the other is rotated away and the disk takes none", function()
      with_disk [[
        local writer = shared()
        put "held"
        for i = 1, 4 do
          append(writer, "gen-" .. i)
          os.rename(path, path .. "." .. i)
        end
        local ok, err = writer:settled("gen-5", bare "gen-5")
        expect(nil, ok)
        expect(path .. ": Device or resource busy", err.message)
        os.remove "held"
        append(writer, "gen-5")
        append(writer, "gen-6")
        expect(true, writer:close())]]
      for i = 1, 4 do assert.same({ "gen-" .. i }, ids_in(path .. "." .. i)) end
      assert.same({ "gen-5", "gen-6" }, ids_in(path))
    end)

    it("is not freed while it is on its way to the disk", function()
      with_disk [[
        local writer = shared()
        append(writer, "gen-1")
        put "held"
        writer.file:sync()
        os.rename(path, path .. ".1")
        append(writer, "gen-2")
        writer.file:sync()
        told()
        writer = nil
        collectgarbage()
        collectgarbage()
        expect("wait costs.jsonl.1,end costs.jsonl.1,end costs.jsonl", told())
        writer = shared()
        put "held"
        writer.file:sync()
        told()
        expect(true, writer:close())
        expect("wait costs.jsonl,end costs.jsonl", told())]]
    end)

    it("writes its line again where another process died in its own just before", function()
      with_disk [[
        local writer = shared()
        append(writer, "gen-1")
        local file = io.open("torn", "w")
        file:write '{"settled":"gen-2","at":"2026-11-01'
        file:close()
        append(writer, "gen-3")
        append(writer, "gen-4")
        file = io.open("torn", "w")
        file:write '{"settled":"gen-5","answer":{"data":{"id":"gen-5"}}}\n' -- this one came through
        file:close()
        append(writer, "gen-6")]]
      assert.same({ "gen-1", "?", "gen-3", "gen-4", "gen-5", "gen-6" }, ids_in(path))
    end)

    it("does not say that a line is there where that cannot be read", function()
      with_disk [[
        local writer = shared()
        append(writer, "gen-1")
        local file = io.open("torn", "w")
        file:write '{"settled":"gen-2","at":"2026-11-01'
        file:close()
        put "unreadable"
        local ok, err = writer:settled("gen-3", bare "gen-3")
        expect(nil, ok)
        expect(path .. ": Input/output error", err.message)
        file = io.open(path, "a")
        file:write '{"settled":"gen-4","at":"2026-11-01'
        file:close()
        append(writer, "gen-5") -- behind an end of line, as there may be none
        append(writer, "gen-6")]]
      assert.same({ "gen-1", "?", "?", "gen-5", "gen-6" }, ids_in(path))
    end)
  end)

  it("says at its end that the file is no longer the one of that name", function()
    for _, how in ipairs { "mv %s %s.1", "rm %s", "cp %s %s.2 && mv %s.2 %s" } do
      local writer = assert(ledger.open(path))
      assert(writer:settled("gen-1", assert(openrouter.decode '{"id":"gen-1"}')))
      assert.equal(0, (shell.run((how:gsub("%%s", path)))))
      local ok, err = writer:close()
      assert.is_nil(ok)
      assert.same({ "io", path .. ": it was renamed, removed or replaced meanwhile, and lines went with it" },
        { err.kind, err.message })
      os.remove(path)
    end
    os.rename(path .. ".1", path)
    assert.equal(0, (shell.run(("ln -s %s %s.link"):format(path, path))))
    assert(assert(ledger.open(path .. ".link")):close()) -- a link is no other file
  end)

  -- ---- what has been written lately ---------------------------------------------------------------------------------

  describe("lately", function()
    local START = 1700000000 -- 2023
    local directory
    before_each(function()
      directory = path:match "^(.*)/"
      path = directory .. "/ledger.jsonl"
    end)

    local function settled_line(id, at, more)
      return ('{"settled":"%s","at":"%s","answer":{"data":{"id":"%s"%s}}}'):format(id, core.timestamp(at), id, more or "")
    end

    local function failed_line(id, at)
      return ('{"failed":"%s","at":"%s","error":{"kind":"not_found","message":"no"}}'):format(id, core.timestamp(at))
    end

    local function put(file, lines, modified)
      shell.write(file, table.concat(lines, "\n") .. (#lines > 0 and "\n" or ""))
      if modified then assert(shell.run(("touch -d @%d %s"):format(modified, file)) == 0) end
    end

    local function set(...)
      local ids = {}
      for _, id in ipairs { ... } do ids[id] = true end
      return ids
    end

    local COUNT = 10002

    local function name(n) return ("gen-%05d"):format(n) end

    -- A ledger of one line a second, of which every third is a failure: lines, ids and times, by number.
    local function long_ledger(order)
      local lines, ids, times = {}, {}, {}
      for i = 1, COUNT do
        local n = order and order(i) or i
        ids[i], times[i] = name(n), START + n
        if n % 3 == 0 then lines[i] = failed_line(ids[i], times[i]) else lines[i] = settled_line(ids[i], times[i]) end
      end
      return lines, ids, times
    end

    -- What must be found, by looking at each line.
    local function model(ids, times, wanted, since)
      local found = {}
      for i, id in pairs(ids) do
        if wanted[id] and times[i] >= since then found[id] = tonumber(id:match "%d+") % 3 == 0 and "failed" or "settled" end
      end
      return found
    end

    local function expect_as_model(ids, times, wanted)
      for _, since in ipairs { 0, START, START + 1, START + 1.001, START + 2, START + 100.5, START + COUNT / 2,
        START + COUNT - 400, START + COUNT - 5, START + COUNT - 1, START + COUNT, START + COUNT + 0.001, START + 2 * COUNT } do
        local found, problem = ledger.settled_among(directory, wanted, since)
        assert.is_nil(problem)
        assert.same(model(ids, times, wanted, since), found)
      end
    end

    it("finds what was settled or failed since, and nothing else", function()
      local lines, ids, times = long_ledger()
      put(path, lines)
      local wanted = set("gen-00000", "gen-20000", "gen-x")
      for i = 1, COUNT, 97 do wanted[name(i)] = true end
      for _, i in ipairs { 2, 3, COUNT - 2, COUNT - 1, COUNT } do wanted[name(i)] = true end
      expect_as_model(ids, times, wanted)
    end)

    it("finds each line wherever since is", function()
      local lines, ids, times = long_ledger()
      put(path, lines)
      for i = 2, COUNT, 61 do
        local found = ledger.settled_among(directory, set(ids[i], ids[i - 1], ids[COUNT]), times[i])
        assert.truthy(found[ids[i]])
        assert.truthy(found[ids[COUNT]])
        assert.is_nil(found[ids[i - 1]])
      end
    end)

    it("finds lines that are out of order by five seconds", function()
      local lines, ids, times = long_ledger(function(i) return i - 1 - (i - 1) % 6 + 6 - (i - 1) % 6 end) -- 6 5 4 3 2 1 12 11 …
      put(path, lines)
      local wanted = {}
      for i = 1, COUNT, 7 do wanted[name(i)] = true end
      expect_as_model(ids, times, wanted)
      local middle = COUNT / 2 -- where it looks first
      wanted = {}
      for i = middle - 50, middle + 50 do wanted[name(i)] = true end
      for since = START + middle - 30, START + middle + 30 do
        assert.same(model(ids, times, wanted, since), (ledger.settled_among(directory, wanted, since)))
      end
    end)

    it("reads no more than the place needs", function()
      local lines = long_ledger()
      put(path, lines)
      local pauses = 0
      local function pause() pauses = pauses + 1 end
      assert.same({}, (ledger.settled_among(directory, set "gen-x", START + COUNT - 10, pause)))
      assert.is_true(pauses > 1 and pauses < 30, pauses)
      pauses = 0
      assert.same({}, (ledger.settled_among(directory, set "gen-x", 0, pause)))
      assert.is_true(pauses >= COUNT / 50, pauses)
      pauses = 0
      assert.same({}, (ledger.settled_among(directory, {}, 0, pause)))
      assert.equal(0, pauses)
    end)

    it("may be stopped at each pause by a coroutine", function()
      local lines = long_ledger()
      put(path, lines)
      local found, pauses = nil, 0
      local thread = coroutine.create(function()
        found = ledger.settled_among(directory, set(name(1), name(2), name(3)), START, coroutine.yield)
      end)
      repeat
        assert(coroutine.resume(thread))
        pauses = pauses + 1
      until coroutine.status(thread) == "dead"
      assert.is_true(pauses > COUNT / 50)
      assert.same({ [name(1)] = "settled", [name(2)] = "settled", [name(3)] = "failed" }, found)
    end)

    it("passes over lines that are torn, or somebody else's", function()
      local torn = settled_line("gen-2", START + 2)
      local failed = failed_line("gen-3", START + 3)
      put(path, {
        settled_line("gen-1", START + 1), "", "INFO gen-9", '{"settled":"gen-9"}',
        '{"settled":"gen-9","at":"yesterday","answer":{}}',
        torn:sub(1, -2), -- only its last bracket is missing
        torn:sub(1, 30), torn:sub(1, 60), failed:sub(1, -2), failed:sub(1, -12),
        '{"pending":"gen-9","at":"' .. core.timestamp(START + 5) .. '"}',
        '{"note":"gen-9","at":"' .. core.timestamp(START + 5) .. '"}',
        '{"settled":"gen-9","at":"', '"}', "\0\0\0", ("x"):rep(200000),
        ' { "failed" : "gen-4" , "at" : "' .. core.timestamp(START + 4) .. '" , "error":{} } ',
        settled_line("gen-5", START + 5),
      })
      local file = assert(io.open(path, "ab"))
      file:write(settled_line("gen-6", START + 6)) -- whole but for its line end
      file:close()
      local wanted = set("gen-1", "gen-2", "gen-3", "gen-4", "gen-5", "gen-6", "gen-9")
      assert.same({ ["gen-1"] = "settled", ["gen-4"] = "failed", ["gen-5"] = "settled", ["gen-6"] = "settled" },
        (ledger.settled_among(directory, wanted, START)))
      file = assert(io.open(path, "ab"))
      file:write("\n" .. torn:sub(1, -3))
      file:close()
      assert.is_nil(ledger.settled_among(directory, wanted, START)["gen-2"])
    end)

    it("takes a record rather than a failure, whichever came first", function()
      put(path, { failed_line("gen-1", START), settled_line("gen-1", START + 1), settled_line("gen-2", START + 2),
        failed_line("gen-2", START + 3), failed_line("gen-3", START + 4), failed_line("gen-3", START + 5) })
      local wanted = set("gen-1", "gen-2", "gen-3")
      assert.same({ ["gen-1"] = "settled", ["gen-2"] = "settled", ["gen-3"] = "failed" },
        (ledger.settled_among(directory, wanted, START)))
      assert.same({ ["gen-2"] = "failed", ["gen-3"] = "failed" }, (ledger.settled_among(directory, wanted, START + 3)))
    end)

    it("finds lines wherever they lie in what is read at a time", function()
      -- heads that straddle the border, by every offset of the first one
      local line = settled_line("gen-2", START + 2)
      for size = 65536 - #line - 120, 65536 - 80 do
        local first = settled_line("gen-1", START + 1, ',"x":"' .. ("y"):rep(size - 100) .. '"')
        put(path, { first, line, line:gsub("gen%-2", "gen-3") .. "" })
        assert.same({ ["gen-1"] = "settled", ["gen-2"] = "settled", ["gen-3"] = "settled" },
          (ledger.settled_among(directory, set("gen-1", "gen-2", "gen-3"), START)))
      end
    end)

    it("holds no more than a piece of a long line", function()
      local long = settled_line("gen-1", START + 1, ',"x":"' .. ("y"):rep(5000000) .. '"')
      put(path, { settled_line("gen-0", START), long, settled_line("gen-2", START + 2), long, settled_line("gen-3", START + 3) })
      local wanted, most = set("gen-0", "gen-2", "gen-3"), 0
      collectgarbage()
      collectgarbage()
      local before = collectgarbage "count"
      local found = ledger.settled_among(directory, wanted, START, function()
        collectgarbage()
        most = math.max(most, collectgarbage "count" - before)
      end)
      assert.same({ ["gen-0"] = "settled", ["gen-2"] = "settled", ["gen-3"] = "settled" }, found)
      assert.is_true(most < 1000, most)
      assert.same({ ["gen-1"] = "settled" }, (ledger.settled_among(directory, set "gen-1", START)))
    end)

    it("looks at what was rotated, but not at what is older than since", function()
      put(path, { settled_line("gen-1", START + 1000) }, START + 1000)
      put(path .. ".1", { settled_line("gen-2", START + 500), failed_line("gen-3", START + 600) }, START + 600)
      put(path .. "-20261120", { settled_line("gen-4", START + 400) }, START + 400)
      put(directory .. "/ledger-20261119.jsonl", { settled_line("gen-5", START + 300) }, START + 300)
      for _, kind in ipairs { "gz", "xz", "zst", "bz2" } do
        put(path .. ".2." .. kind, { settled_line("gen-6", START + 500) }, START + 500)
      end
      put(directory .. "/other.jsonl", { settled_line("gen-6", START + 500) }, START + 500)
      put(path .. ".3", { settled_line("gen-7", START + 700) }, START + 100) -- by its name a ledger, and last written long ago
      local wanted = set("gen-1", "gen-2", "gen-3", "gen-4", "gen-5", "gen-6", "gen-7")
      local function found(since)
        local list = {}
        local ids, problem = ledger.settled_among(directory, wanted, since)
        assert.is_nil(problem)
        for id in pairs(ids) do list[#list + 1] = id end
        table.sort(list)
        return table.concat(list, " ")
      end
      assert.equal("gen-1 gen-2 gen-3 gen-4 gen-5", found(START + 200))
      assert.equal("gen-1 gen-2 gen-3 gen-4", found(START + 301))
      assert.equal("gen-1 gen-3", found(START + 501))
      assert.equal("gen-1", found(START + 601))
      assert.equal("", found(START + 1001))
    end)

    it("misses nothing that is rotated on while it reads", function()
      put(path, { settled_line("gen-1", START + 3) })
      put(path .. ".1", { settled_line("gen-2", START + 2) })
      put(path .. ".2", { settled_line("gen-3", START + 1) })
      put(path .. ".9", {})
      local rotated = false
      local found, problem = ledger.settled_among(directory, set("gen-1", "gen-2", "gen-3"), START, function()
        if rotated then return end
        rotated = true
        assert(os.remove(path .. ".9"))
        for i = 2, 1, -1 do assert(os.rename(path .. "." .. i, path .. "." .. i + 1)) end
        assert(os.rename(path, path .. ".1"))
      end)
      assert.is_nil(problem)
      assert.same({ ["gen-1"] = "settled", ["gen-2"] = "settled", ["gen-3"] = "settled" }, found)
    end)

    it("finds nothing in a ledger that is empty or not there", function()
      local found, problem = ledger.settled_among(directory, set "gen-1", 0)
      assert.same({}, found)
      assert.is_nil(problem)
      put(path, {})
      found, problem = ledger.settled_among(directory, set "gen-1", 0)
      assert.same({}, found)
      assert.is_nil(problem)
    end)

    it("says what it could not read, and reads the rest", function()
      local found, problem = ledger.settled_among("/nonexistent", set "gen-1", 0)
      assert.same({}, found)
      assert.matches("/nonexistent", problem)
      assert(shell.run("mkdir " .. path) == 0)
      put(path .. ".1", { settled_line("gen-1", START) })
      found, problem = ledger.settled_among(directory, set "gen-1", 0)
      assert.same({ ["gen-1"] = "settled" }, found)
      assert.matches("/ledger.jsonl: Is a directory", problem)
    end)

    it("is told when a file was changed", function()
      put(path, {}, START)
      assert.equal(START, core.modified(path))
      assert.is_nil(core.modified(path .. ".x"))
    end)
  end)
end)

local ledger = require "openrouter.ledger"
local errors = require "openrouter.errors"
local openrouter = require "openrouter"
local generation = require "openrouter.generation"
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
    assert.error_matches(function() writer:settled("gen-1", gen, { "x" }) end, "1 must be")
    assert.error_matches(function() writer:settled("gen-1", gen, { a = ("x"):rep(1100) }) end, "1108 bytes, 1024 at most")
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
    shell.write(path, '{"sett') -- a disk that was full from the start
    assert(assert(ledger.open(path)):close())
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
    assert.error_matches(function() writer:settled("gen-1", record '{"id":"gen-1"}') end, "closed file")
    assert.error_matches(function() writer:close() end, "closed file")
  end)
end)

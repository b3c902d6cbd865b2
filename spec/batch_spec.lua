local batch = require "openrouter.batch"
local errors = require "openrouter.errors"
local ledger = require "openrouter.ledger"
local openrouter = require "openrouter"
local shell = require "spec.support.shell"

local function ids_in(text)
  local ids = {}
  for id in batch.ids_in(text) do ids[#ids + 1] = id end
  return ids
end

-- Gives the answers of a table instead of a server's: id -> record text or error kind.
local function stand_in(answers)
  return {
    each = function(_, ids)
      local i = 0
      return function()
        i = i + 1
        local id = ids[i]
        local answer = id and answers[id]
        if not id then return nil end
        if answer:find "^{" then return id, assert(openrouter.decode(answer)) end
        return id, nil, errors.new(answer, "as told", { id = id })
      end
    end,
  }
end

describe("batch", function()
  local directory
  before_each(function() directory = shell.directory() end)
  after_each(shell.clean)

  it("finds ids in any text", function()
    assert.same({ "gen-1771967973-0hZ8J5kY7qLMOKbPx0u3", "gen-nNPYi0ZB6GOK5TNCUMHJGgXo", "gen-batch-1782097200-a1b2", "gen-1" },
      ids_in 'x="gen-1771967973-0hZ8J5kY7qLMOKbPx0u3",gen-nNPYi0ZB6GOK5TNCUMHJGgXo;id=gen-batch-1782097200-a1b2\n/gen-1?')
    assert.same({ "gen-aBcDeFgHiJkLmNoPqRsTuVwX" }, ids_in "gen-aBcDeFgHiJkLmNoPqRsTuVwX")
  end)

  it("finds ids behind colour codes, escaped line ends and names, if they have a time in them", function()
    assert.same({ "gen-1771967973-a", "gen-1771967974-b", "gen-1771967975-c" },
      ids_in '\27[32mgen-1771967973-a\27[0m {"m":"x\\ngen-1771967974-b"} foo_gen-1771967975-c')
  end)

  it("takes no words for ids", function()
    assert.same({}, ids_in "next-gen-2 regen-5 gen-ai gen- gen gen-x-y my_gen-7 GEN-9")
  end)

  it("collects each id once and says what it could not use", function()
    local long = "gen-" .. ("9"):rep(130)
    local a = shell.write(directory .. "/a.log", "gen-1 gen-2\nnothing here\n\ngen-1\n" .. long .. "\n")
    local b = shell.write(directory .. "/b.log", "gen-3\0gen-4\r\nid gen-5")
    local found = assert(batch.collect { a, b })
    assert.same({ "gen-1", "gen-2", "gen-3", "gen-4", "gen-5" }, found.ids)
    assert.same({ 7, 7, 1, 1 }, { found.lines, found.found, found.unusable, found.without })
    assert.same({ 1, 1 }, { #found.problems, #found.remarks })
    assert.matches("a%.log:5: gen%-9+… is no id: it has 134 bytes, 128 at most", found.problems[1])
    assert.matches("b%.log:2: the last line has no line end", found.remarks[1])
  end)

  it("says how far it has read", function()
    local here, told = shell.directory(), {}
    local function tell(done, size) told[#told + 1] = ("%d/%s"):format(done, size and ("%d"):format(size) or "?") end
    local short = shell.write(here .. "/short", "gen-1\n")
    local long = shell.write(here .. "/long", ("x"):rep(999999) .. "\n" .. ("y"):rep(499999) .. "\nz\n")
    assert.equal(0, (shell.run("gzip -k " .. long)))
    assert(batch.collect({ short, long, long .. ".gz" }, tell))
    assert.same({ "0/6", "6/6", "0/1500002", "1000000/1500002", "1500002/1500002", "0/?", "1000000/?", "1500002/?" }, told)

    told = {}
    local path = shell.write(here .. "/ledger.jsonl", '{"failed":"gen-1","at":"t","error":{"kind":"server"}}\n')
    assert.same({ "gen-1" }, (batch.remaining({ "gen-1" }, { path = path, empty = function() return false end }, tell)))
    for _ in assert(ledger.read(path, tell)) do tell(1, 1) end
    assert.same({ "0/54", "54/54", "0/54", "1/1", "54/54" }, told)
  end)

  it("says what is wrong with arguments, and in which line of the caller's", function()
    local client, writer = stand_in {}, {}
    for message, call in pairs {
      ["ids_in: text must be a string, not a nil"] = { "ids_in" },
      ["collect: paths must be a list, not a string"] = { "collect", "/etc/passwd" },
      ["collect: paths must be a list without gaps, and has 'a'"] = { "collect", { a = "x" } },
      ["collect: path must be a string, not a boolean"] = { "collect", { true } },
      ["collect: a path must not have a NUL byte in it: /etc/passwd\\x00x"] = { "collect", { "/etc/passwd\0x" } },
      ["remaining: ids must be a list, not a nil"] = { "remaining", nil, writer },
      ["remaining: writer must be a table, not a nil"] = { "remaining", {} },
      ["fetch: client must be a table, not a nil"] = { "fetch", nil, {}, writer },
      ["fetch: ids must be a list without gaps, and has '2'"] = { "fetch", client, { nil, "gen-2" }, writer },
      ["fetch: writer must be a table, not a nil"] = { "fetch", client, { "gen-1" } },
      ["fetch: on_progress must be a function, not a string"] = { "fetch", client, { "gen-1" }, writer, "x" },
    } do
      local ok, raised = pcall(function()
        local result = batch[call[1]](call[2], call[3], call[4], call[5])
        return result
      end)
      assert.is_false(ok)
      assert.equal(message, (raised:match "batch_spec.lua:%d+: (.*)$"), raised)
    end
  end)

  it("says which file cannot be read", function()
    local found, err = batch.collect { directory .. "/none" }
    assert.is_nil(found)
    assert.equal("io", err.kind)
    assert.matches("/none: No such file", err.message)
  end)

  it("asks again for whatever has no record", function()
    local path = directory .. "/costs.jsonl"
    local writer = assert(ledger.open(path))
    assert(writer:settled("gen-1", assert(openrouter.decode '{"id":"gen-1"}')))
    assert(writer:failed("gen-2", errors.new("network", "refused")))
    assert(writer:failed("gen-3", errors.new("forbidden", "not yours")))
    assert(writer:failed("gen-4", errors.new("not_found", "not there")))
    local open, skipped = batch.remaining({ "gen-1", "gen-2", "gen-3", "gen-4", "gen-5" }, writer)
    assert.same({ "gen-2", "gen-3", "gen-4", "gen-5" }, open)
    assert.same({}, skipped)
    assert(writer:close())
  end)

  it("asks for nothing where the ledger cannot be read to its end", function()
    local unreadable = { path = "/proc/self/mem", empty = function() return false end } -- may be opened, and gives EIO
    local open, err = batch.remaining({ "gen-1" }, unreadable)
    assert.is_nil(open)
    assert.same({ "io", "/proc/self/mem: Input/output error" }, { err.kind, err.message })
  end)

  it("takes no line without a record for a fetched one", function()
    local path = directory .. "/costs.jsonl"
    local writer = assert(ledger.open(path))
    assert(writer:settled("gen-1", assert(openrouter.decode '{"id":"gen-1"}')))
    assert(writer:close())
    shell.write(path, shell.read(path) .. '{"generation":"gen-2"}\n{"note":"gen-3"}\n')
    writer = assert(ledger.open(path))
    assert.same({ "gen-2", "gen-3" }, (batch.remaining({ "gen-1", "gen-2", "gen-3" }, writer)))
    assert(writer:close())
  end)

  it("does not take a half-written line for a fetched record", function()
    local path = shell.write(directory .. "/costs.jsonl", '{"settled":"gen-1","at":"t","answer":{"data":{"id":"gen-1"')
    local writer = assert(ledger.open(path))
    local open, skipped = batch.remaining({ "gen-1" }, writer)
    assert.same({ "gen-1" }, open)
    assert.equal(1, #skipped)
    assert.matches("costs%.jsonl:1: skipped: .*too early", skipped[1])
    assert(writer:close())
  end)

  it("writes every result as it comes and counts it", function()
    local writer = assert(ledger.open(directory .. "/costs.jsonl"))
    local progress = {}
    local outcome, trouble = batch.fetch(
      stand_in { ["gen-1"] = '{"id":"gen-1"}', ["gen-2"] = "not_found", ["gen-3"] = "unresolved", ["gen-4"] = "auth" },
      { "gen-1", "gen-2", "gen-3", "gen-4" }, writer, function(so_far) progress[#progress + 1] = so_far.done end)
    assert.is_nil(trouble)
    assert.same({ 4, 4, 1, 1, 2 }, { outcome.total, outcome.done, outcome.settled, outcome.failed, outcome.unresolved })
    assert.same({ not_found = 1, unresolved = 1, auth = 1 }, outcome.kinds)
    assert.same({ 1, 2, 3, 4 }, progress)
    assert(writer:close())
    local lines = {}
    for _, id, gen in ledger.read(writer.path) do lines[#lines + 1] = id .. (gen and " record" or " failed") end
    assert.same({ "gen-1 record", "gen-2 failed" }, lines)
  end)

  it("counts refusals since the last record", function()
    local answers, list, refused = {}, {}, {}
    for i = 1, 6 do
      list[i] = "gen-" .. i
      answers[list[i]] = i == 3 and '{"id":"gen-3"}' or i == 5 and "not_found" or "forbidden"
    end
    local writer = assert(ledger.open(directory .. "/costs.jsonl"))
    batch.fetch(stand_in(answers), list, writer, function(so_far) refused[#refused + 1] = so_far.refused end)
    assert.same({ 1, 2, 0, 1, 1, 2 }, refused)
    assert(writer:close())
  end)

  it("stops when the ledger cannot be written, and counts only what is in it", function()
    local writer = assert(ledger.open "/dev/full")
    local outcome, trouble = batch.fetch(stand_in { ["gen-1"] = '{"id":"gen-1"}', ["gen-2"] = '{"id":"gen-2"}' },
      { "gen-1", "gen-2" }, writer)
    assert.equal("io", trouble.kind)
    assert.same({ 0, 0 }, { outcome.settled, outcome.done })
    assert(writer:close())
  end)
end)

local cjson = require "cjson"
local core = require "openrouter.core"
local openrouter = require "openrouter"
local reconcile = require "openrouter.reconcile"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

describe("reconcile", function()
  after_each(shell.clean)

  local function usage(changes)
    local row = { day = "2026-11-01", model = "a/b", requests = 3, usage = "0.3", byok = "0", prompt = 10, completion = 20,
      reasoning = 5 }
    for name, value in pairs(changes or {}) do row[name] = value end
    return row
  end

  local function ours(changes)
    local row = usage(changes)
    row.unpriced, row.other = row.unpriced or 0, row.other or { prompt = 8, completion = 18 }
    return row
  end

  local function compare(left, right)
    local rows = reconcile.compare(left, right)
    return rows[1], rows
  end

  describe("compare", function()
    it("adds up what is of the same day and model, exactly", function()
      local tenth = usage { requests = 1, usage = "0.1", prompt = 1, completion = 2, reasoning = 3 }
      local row, rows = compare({ ours { usage = "0.300000000000000000000000001", prompt = 3, completion = 6, reasoning = 9 } },
        { tenth, tenth, tenth })
      assert.equal(1, #rows)
      assert.same({ ledger = "0.300000000000000000000000001", theirs = "0.3", difference = "0.000000000000000000000000001",
        status = "rounding" }, row.usage)
      assert.same({ ledger = 9, theirs = 9, difference = 0, status = "same" }, row.reasoning)
      assert.equal("rounding", row.status)
      assert.is_true(reconcile.agrees(rows))
    end)

    it("says what is the same, and what differs", function()
      assert.equal("same", compare({ ours() }, { usage() }).status)
      for _, field in ipairs { "requests", "prompt", "completion", "reasoning" } do
        local row, rows = compare({ ours() }, { usage { [field] = 6 } })
        assert.same({ "differs", "differs", "same" }, { row.status, row[field].status, row.usage.status })
        assert.is_false(reconcile.agrees(rows))
      end
      for _, field in ipairs { "usage", "byok" } do
        local row = compare({ ours() }, { usage { [field] = "0.7" } })
        assert.same({ "differs", "differs", "same" }, { row.status, row[field].status, row.requests.status })
      end
    end)

    it("takes for rounding what is less than a billionth, and counts never", function()
      local function status(left, right) return compare({ ours { usage = left } }, { usage { usage = right } }).status end
      assert.equal("rounding", status("1", "1.000000000999"))
      assert.equal("rounding", status("1", "0.999999999001"))
      assert.equal("differs", status("1", "1.0000000011"))
      assert.equal("differs", status("0", "0.000000000000000000000000001"))
      assert.equal("differs", status("0.000000000000000000000000001", "0"))
      assert.equal("differs", status("1", "-1"))
      assert.equal("differs", compare({ ours { requests = 1e10 } }, { usage { requests = 1e10 + 1 } }).status)
    end)

    it("says whether two sources find the same, but for rounding", function()
      local function alike(a, b)
        return reconcile.alike(compare({ ours() }, { usage(a) }), (compare({ ours() }, { usage(b) })))
      end
      assert.is_true(alike({ usage = "0.7", requests = 7 }, { usage = "0.7000000000000001", requests = 7 }))
      for field, value in pairs { requests = 8, prompt = 8, completion = 8, reasoning = 8, usage = "0.71", byok = "0.1" } do
        local other = { usage = "0.7", requests = 7 }
        other[field] = value
        assert.is_false(alike({ usage = "0.7", requests = 7 }, other))
      end
      assert.is_true(alike({ usage = "0.3" }, { usage = "0.3000000000000001" })) -- the same, and rounding
    end)

    it("tells what one side alone has", function()
      local _, rows = compare({ ours { model = "z/only-here", requests = 2 } },
        { usage { requests = 7 }, usage { day = "2026-11-02" } })
      local told = {}
      for i, row in ipairs(rows) do told[i] = { row.day, row.model, row.status, row.requests.difference } end
      assert.same({ { "2026-11-01", "a/b", "missing", -7 }, { "2026-11-01", "z/only-here", "extra", 2 },
        { "2026-11-02", "a/b", "missing", -3 } }, told)
      assert.equal("same", compare({}, { usage { requests = 0, usage = "0", prompt = 0, completion = 0, reasoning = 0 } }).status)
      assert.is_true(reconcile.agrees {})
    end)

    it("knows a model by its permanent name and by another one, where that is of one model", function()
      local theirs = usage { model = "a/b-2026-01-02", alias = "a/b" }
      assert.same({ "same", "a/b-2026-01-02" }, { compare({ ours() }, { theirs }).status, compare({ ours() }, { theirs }).model })
      assert.equal("same", compare({ ours { model = "a/b-2026-01-02" } }, { theirs }).status)
      local _, rows = compare({ ours(), ours { model = "a/b-2026-01-02" } }, { theirs, theirs })
      assert.same({ 1, "same" }, { #rows, rows[1].status })
      -- a permanent name is never taken for another one
      _, rows = compare({ ours() }, { usage(), usage { model = "a/b-2026-01-02", alias = "a/b" } })
      assert.same({ "same", "missing" }, { rows[1].status, rows[2].status })
      -- of two models it is neither's
      _, rows = compare({ ours() }, { theirs, usage { model = "a/b-2026-03-04", alias = "a/b" } })
      assert.same({ "extra", "missing", "missing" }, { rows[1].status, rows[2].status, rows[3].status })
      -- and on another day it is a name like any other
      _, rows = compare({ ours { day = "2026-11-02" } }, { theirs })
      assert.same({ "missing", "extra" }, { rows[1].status, rows[2].status })
    end)

    it("hints at names that may be of the same model", function()
      local function hints(here, there, left, right)
        left.model, right.model = here, there
        local _, rows = compare({ ours(left) }, { usage(right) })
        return { rows[1].hint, rows[2].hint }
      end
      assert.same({ "x/y", "a/b" }, hints("a/b", "x/y", {}, {}))
      assert.same({}, hints("a/b", "x/y", {}, { requests = 4 }))
      assert.same({ "a/b:free", "a/b" }, hints("a/b:free", "a/b", {}, { requests = 4 }))
      assert.same({ "a/b-20260102", "a/b" }, hints("a/b", "a/b-20260102", {}, { requests = 4 }))
      -- as many generations alone are none, nor that both cost nothing
      assert.same({}, hints("a/b", "x/y", {}, { usage = "0.26" }))
      assert.same({}, hints("a/b", "x/y", {}, { byok = "1" }))
      local free, other = { usage = "0", byok = "0" }, { usage = "0", byok = "0", prompt = 11 }
      assert.same({ "x/y", "a/b" }, hints("a/b", "x/y", free, { usage = "0", byok = "0" }))
      assert.same({}, hints("a/b", "x/y", free, other))
      -- tokens may be counted in another way
      assert.same({ "x/y", "a/b" }, hints("a/b", "x/y", {}, { prompt = 11 }))
    end)

    it("compares tokens as each model counts them, or else as OpenRouter does for all of them", function()
      local row = compare({ ours() }, { usage { prompt = 8, completion = 18 } })
      assert.same({ "same", 8, 18 }, { row.status, row.prompt.ledger, row.completion.ledger })
      row = compare({ ours() }, { usage { prompt = 8 } })
      assert.same({ "differs", 10 }, { row.status, row.prompt.ledger })
    end)

    it("survives amounts beyond all money", function()
      local huge = usage { usage = "160000000000" }
      assert.equal("differs", compare({ ours { usage = "-160000000000" } }, { huge, huge, huge }).status)
    end)
  end)

  -- ---- ledgers ------------------------------------------------------------------------------------------------------

  local function line(id, record)
    record.id = id
    return ('{"settled":%s,"at":"2026-11-03T00:00:00.000Z","answer":{"data":%s}}\n'):format(core.quote(id), record.json
      or (cjson.encode(record):gsub('"@([^"]*)"', "%1")))
  end

  local function record(changes)
    local r = { created_at = "2026-11-01T12:00:00.000Z", model = "a/b", usage = "@0.10", total_cost = "@0.10", is_byok = false,
      native_tokens_prompt = 10, native_tokens_completion = 20, native_tokens_reasoning = 5, tokens_prompt = 8,
      tokens_completion = 18 }
    for name, value in pairs(changes or {}) do r[name] = value end
    return r
  end

  local function ledger_of(text)
    local r = reconcile.report("2026-11-01", "2026-11-02")
    assert(r:add_file(shell.write(shell.directory() .. "/ledger.jsonl", text)))
    return reconcile.ledger(r)
  end

  describe("a ledger", function()
    it("has what OpenRouter charged, and what providers charged for the caller's own keys", function()
      local rows = reconcile.compare(ledger_of(
        line("gen-1", record { upstream_inference_cost = "@0.09" }) -- not added: it is no own key
        .. line("gen-2", record { total_cost = cjson.null, usage = "@0.2" })
        .. line("gen-3", record { is_byok = true, usage = "@0.005", total_cost = "@0.005", upstream_inference_cost = "@0.1" })
        .. line("gen-4", record { is_byok = true, usage = "@0.005", total_cost = "@0.005" }) -- what the provider took is unknown
        .. line("gen-6", record { is_byok = true, usage = "@0.07", total_cost = cjson.null, upstream_inference_cost = "@0.2" })
        .. line("gen-7", record { is_byok = cjson.null, usage = "@0.09", total_cost = "@0.01" })
        .. line("gen-1", record()) -- the same once more
        .. line("gen-5", record { created_at = "2026-11-03T00:00:00Z" })),
        { usage { requests = 6, usage = "0.39", byok = "0.3", prompt = 60, completion = 120, reasoning = 30 } })
      assert.same({ 1, "same", 2 }, { #rows, rows[1].status, rows[1].unpriced })
    end)

    it("does not know an amount that no record says, which is not 0", function()
      local own_key = record { is_byok = true, total_cost = "@0", usage = "@0", upstream_inference_cost = cjson.null }
      local function compared(text, changes)
        local theirs = usage { requests = 1, usage = "0.1", byok = "0.2" }
        for name, value in pairs(changes or {}) do theirs[name] = value end
        local row = reconcile.compare(ledger_of(text), { theirs })[1]
        return { row.usage.ledger or "unknown", row.usage.difference or "unknown", row.byok.ledger or "unknown", row.byok.status }
      end
      assert.same({ "0", "-0.1", "unknown", "differs" }, compared(line("gen-1", own_key)))
      assert.same({ "0", "-0.1", "unknown", "same" }, compared(line("gen-1", own_key), { byok = "0" }))
      local unpriced = line("gen-2", record { total_cost = cjson.null, usage = cjson.null })
      assert.same({ "unknown", "unknown", "0", "differs" }, compared(unpriced))
      assert.same({ "0", "-0.1", "unknown", "differs" }, compared(unpriced .. line("gen-1", own_key))) -- gen-1 says it
      assert.same({ "0", "-0.1", "0", "differs" },
        compared(unpriced .. line("gen-4", record { total_cost = "@0", is_byok = cjson.null })))
      assert.same({ "0.1", "0", "0", "differs" }, compared(unpriced .. line("gen-3", record())))
    end)

    it("is compared one id after the other", function()
      local r = reconcile.id_report { "2026-11-01" }
      assert(r:add_file(shell.write(shell.directory() .. "/l", line("gen-1", record()) .. line("gen-2", record())
        .. line("gen-3", record { is_byok = true, total_cost = "@0.005", upstream_inference_cost = "@0.1" })
        .. line("gen-4", record { created_at = "2026-11-02T00:00:00Z" })
        .. line("gen-5", record { total_cost = cjson.null, usage = cjson.null })
        .. line("gen-6", record { is_byok = true, total_cost = "@0.1", upstream_inference_cost = cjson.null }))))
      local function theirs(id, changes)
        local row = usage { requests = 1, usage = "0.1" }
        for name, value in pairs(changes or {}) do row[name] = value end
        row.id = id
        return row
      end
      local list = reconcile.differing_ids(r, { theirs "gen-9", theirs("gen-1", { usage = "0.10000000000000000001" }),
        theirs("gen-3", { usage = "0.005", byok = "0.2" }), theirs "gen-5", theirs "gen-6" })
      local told = {}
      for i, row in ipairs(list) do told[i] = { row.id, row.status, row.usage.difference, row.byok.difference } end
      assert.same({ { "gen-2", "extra", "0.1", "0" }, { "gen-3", "differs", "0", "-0.1" }, { "gen-5", "differs", nil, "0" },
        { "gen-9", "missing", "-0.1", "0" } }, told) -- of gen-6, OpenRouter does not say that a provider took anything
      assert.is_nil(list[3].usage.ledger) -- which is not 0
    end)

    it("tells ids that are of another day there", function()
      local r = reconcile.id_report { "2026-11-01", "2026-11-02" }
      assert(r:add_file(shell.write(shell.directory() .. "/l", line("gen-1", record { created_at = "2026-11-02T00:00:00Z" })
        .. line("gen-2", record()))))
      local first, second = usage { requests = 1, usage = "0.1" }, usage { requests = 1, usage = "0.1" }
      first.id, second.id = "gen-1", "gen-2"
      local list = reconcile.differing_ids(r, { first, second })
      assert.same({ 1, "gen-1", "differs", "2026-11-01", "2026-11-02", "same" },
        { #list, list[1].id, list[1].status, list[1].day, list[1].ledger_day, list[1].usage.status })
    end)
  end)

  -- ---- the command --------------------------------------------------------------------------------------------------

  local DAY = 86400

  local function day_of(seconds) return os.date("!%Y-%m-%d", seconds) end

  describe("the command", function()
    local sandbox, directory, now, ids, whole

    local function run(arguments, environment)
      return shell.run(("%s OPENROUTER_BASE_URL=%s OPENROUTER_API_KEY=sk-or-sandbox %s %s"):format(
        "env", sandbox.url, environment or "", shell.cost("reconcile " .. arguments)))
    end

    -- Another sandbox until the test is over, which has made nothing yet.
    local function own_sandbox()
      local shared = sandbox
      sandbox = servers.sandbox()
      finally(function()
        sandbox:stop()
        sandbox = shared
      end)
    end

    local function file(name, text) return shell.write(directory .. "/" .. name, text) end

    --- The lines of the whole ledger for which keep(number) is true.
    local function part(name, keep)
      local lines, n = {}, 0
      for text in whole:gmatch "[^\n]+\n" do
        n = n + 1
        if keep(n) then lines[#lines + 1] = text end
      end
      return file(name, table.concat(lines))
    end

    setup(function()
      sandbox, now, ids = servers.sandbox(), os.time(), {}
      for i = 1, 120 do ids[i] = ("gen-%d-%d"):format(now - (1 + i % 4) * DAY, i * i) end
      servers.made(sandbox, ids)
      local path = shell.directory()
      shell.write(path .. "/ids", table.concat(ids, "\n") .. "\n")
      local status = shell.run(("OPENROUTER_BASE_URL=%s OPENROUTER_API_KEY=k %s"):format(sandbox.url,
        shell.cost(("fetch %s/ids --ledger %s/ledger.jsonl"):format(path, path))))
      assert.equal(0, status)
      whole = shell.read(path .. "/ledger.jsonl")
    end)
    teardown(function() if sandbox then sandbox:stop() end end)
    before_each(function() directory = shell.directory() end)

    it("says that a complete ledger is", function()
      local status, out, err = run(file("whole.jsonl", whole))
      assert.same({ 0, "" }, { status, err })
      assert.matches("complete, the ledger has the 120 generations that /activity and /analytics report%.\n", out)
      assert.not_matches("INCOMPLETE", out)
      assert.matches("\nNot compared: %d%d%d%d%-%d%d%-%d%d, which is not over %(UTC%)%.\n", out)
    end)

    it("takes files together, and a directory of openrouter.nginx", function()
      local first = part("first.jsonl", function(n) return n <= 70 end)
      local rest = part("rest.jsonl", function(n) return n > 50 end)
      assert.equal(3, (run(first)))
      assert.equal(0, (run(first .. " " .. rest)))
      os.execute("mkdir -p " .. directory .. "/nginx/pending")
      part("nginx/ledger.jsonl", function() return true end)
      assert.equal(0, (run(directory .. "/nginx")))
    end)

    it("names exactly the ids that are missing, and fetches them", function()
      local gone = { [7] = true, [8] = true, [55] = true }
      local path = part("part.jsonl", function(n) return not gone[n] end)
      local missing, n = {}, 0
      for id in whole:gmatch '{"settled":"([^"]+)"' do
        n = n + 1
        if gone[n] then missing[id] = true end
      end
      local before = shell.read(path)
      local status, out, err = run(path)
      assert.same({ 3, "" }, { status, err })
      assert.matches("^day +model +says", out)
      assert.matches("INCOMPLETE, the ledger has %d+ generations and /activity and /analytics report %d+%.", out)
      assert.matches(": complete, the ledger has the %d+ generations that ", out) -- on other days
      local named, count = out:match "The ledger lacks (3 ids:\n.-\n)\n", 0
      for id in named:gmatch "gen%-[%w-]+" do
        assert.is_true(missing[id], id)
        count = count + 1
      end
      assert.equal(3, count)
      assert.equal(before, shell.read(path)) -- nothing is written unasked

      local other = directory .. "/more.jsonl"
      status, out, err = run(("%s --fetch --ledger %s"):format(path, other))
      assert.same({ 0, "openrouter-cost: 3 of 3 missing records fetched, now in " .. other .. "\n" }, { status, err })
      assert.matches("complete, the ledger has the 120 generations", out)
      for id in shell.read(other):gmatch '{"settled":"([^"]+)"' do assert.is_true(missing[id]) end
      assert.equal(before, shell.read(path))
      assert.equal(3, (run(path)))
      status, out, err = run(("%s --fetch --ledger %s"):format(path, path))
      assert.equal(0, status, err)
      assert.matches("complete, the ledger has the 120 generations", out)
      assert.equal(0, (run(path)))
    end)

    it("can be interrupted while it fetches, and says what is safe", function()
      own_sandbox()
      local made = { ("gen-%d-a"):format(now - 5 * DAY) }
      for i = 1, 20 do made[i + 1] = ("gen-%d-slow-%d"):format(now - 5 * DAY, i) end
      servers.made(sandbox, made)
      local more = directory .. "/more.jsonl"
      local status, _, err = shell.run(("env OPENROUTER_BASE_URL=%s OPENROUTER_API_KEY=sk-or-sandbox python3 "
        .. "spec/support/interrupt.py %s 1 %s"):format(sandbox.url, more,
        shell.cost(("reconcile %s --since %s --fetch --ledger %s"):format(file("empty", ""), day_of(now - 5 * DAY), more))))
      assert.equal(130, status)
      assert.matches("openrouter%-cost: %d+ of 21 missing records are safe in .*/more%.jsonl; run the same command again\n"
        .. "openrouter%-cost: interrupted\n$", err)
    end)

    it("says what could not be fetched", function()
      own_sandbox()
      local lost = ("gen-%d-status-403-x"):format(now - 5 * DAY)
      servers.made(sandbox, ids)
      servers.made(sandbox, { lost })
      local path, since = file("whole.jsonl", whole), " --since " .. day_of(now - 5 * DAY)
      local status, out, err = run(path .. since .. " --fetch --ledger " .. path)
      assert.equal(3, status)
      assert.matches("0 of 1 missing records fetched", err)
      assert.matches("1 forbidden, such as " .. lost:gsub("%-", "%%-"), err)
      assert.matches("The ledger lacks 1 id:\n" .. lost:gsub("%-", "%%-"), out)
      assert.matches("\nINCOMPLETE: in the ledger 1 id failed%.\n", out)
      assert.equal(3, (run(path .. " --since " .. day_of(now - 4 * DAY)))) -- it still says that an id failed
      status, out, err = run(path .. since .. " --fetch --ledger " .. path,
        "OPENROUTER_API_KEY=sk-or-sandbox-bad OPENROUTER_MANAGEMENT_KEY=k")
      assert.equal(4, status)
      assert.matches("auth", err)
      assert.matches("The ledger lacks 1 id", out)
    end)

    it("tells a cost that differs, by the id", function()
      local id, cost
      local text = whole:gsub("[^\n]+", function(settled)
        local head, amount = settled:match '^(.*"total_cost":)(0%.[%d]+)'
        if id or not amount then return nil end
        id, cost = settled:match '"settled":"([^"]+)"', amount
        return head .. "9" .. settled:sub(#head + 1)
      end)
      local status, out = run(file("other.jsonl", text) .. " --since " .. day_of(now - 4 * DAY))
      assert.equal(3, status)
      assert.matches("DIFFERENT, the ledger has (%d+) generations and /activity and /analytics report %1%.", out)
      assert.matches("The ledger has another amount or day for 1 id:\n" .. id:gsub("%-", "%%-") .. " ", out)
      assert.is_truthy(out:find(("9%s in the ledger"):format(cost), 1, true))
    end)

    it("does not say 0 of a cost that the ledger does not know", function()
      local paid -- which of the records have a price, and own keys, changes from day to day
      for settled in whole:gmatch "[^\n]+\n" do
        paid = settled:find('"total_cost":0%.%d*[1-9]') and settled:find('"is_byok":false', 1, true) and settled or paid
      end
      local text = paid:gsub('"total_cost":[%d.e-]+', '"total_cost":null')
        :gsub('"usage":[%d.e-]+', '"usage":null')
      local arguments = file("unknown.jsonl", text) .. " --since " .. day_of(now - 4 * DAY)
      local status, out = run(arguments)
      assert.equal(3, status)
      assert.matches("charged, USD +unknown +[%d.]+ +unknown\n", out)
      assert.matches("The ledger has another amount or day for 1 id:\n[^\n]+ USD  unknown in the ledger\n", out)
      status, out = run(arguments .. " --format json")
      assert.equal(3, status)
      local told = {}
      for _, row in ipairs(cjson.decode(out).ids) do
        if row.status == "differs" then told[#told + 1] = { row.usage.ledger, row.usage.difference } end
      end
      assert.same({ { cjson.null, cjson.null } }, told)
    end)

    it("tells a generation that is of another day there, by the id", function()
      local day, next_day, id = day_of(now - 3 * DAY), day_of(now - 2 * DAY), nil
      local text = whole:gsub("[^\n]+", function(settled)
        local moved, count = settled:gsub('"created_at":"' .. day:gsub("%-", "%%-"), '"created_at":"' .. next_day)
        if id or count == 0 then return nil end
        id = settled:match '"settled":"([^"]+)"'
        return moved
      end)
      local status, out = run(file("late.jsonl", text) .. " --since " .. day_of(now - 4 * DAY))
      assert.equal(3, status)
      assert.not_matches("No id is missing", out)
      assert.is_truthy(out:find("The ledger has another amount or day for 1 id:\n" .. id .. "  " .. day .. "  ", 1, true))
      assert.is_truthy(out:find(" USD  " .. next_day .. " in the ledger\n", 1, true))
    end)

    it("takes an empty pipe for an empty ledger", function()
      local status, out, err = run("/dev/null - --with activity --since " .. day_of(now - DAY))
      assert.same({ 3, "" }, { status, err })
      assert.matches("INCOMPLETE, the ledger has 0 generations", out)
    end)

    -- On a terminal of so many columns.
    local function show(arguments, columns)
      return shell.terminal(("env OPENROUTER_BASE_URL=%s OPENROUTER_API_KEY=sk-or-sandbox %s"):format(sandbox.url,
        shell.cost("reconcile " .. arguments)), columns)
    end

    it("shows how far it has fetched", function()
      local path = part("part.jsonl", function(n) return n ~= 7 end)
      local _, out = show(("%s --fetch --ledger %s/more.jsonl"):format(path, directory), 100)
      assert.matches("\r%[%-+%]   0%%  0/1 ids  0/s  %? left\27%[K.*\r%[#+%] 100%%  1/1 ids ", out)
      assert.matches("\r\27%[Kopenrouter%-cost: 1 of 1 missing records fetched", out)
    end)

    it("fits its terminal, and cuts no figure", function()
      local path = part("part.jsonl", function(n) return n ~= 2 and n ~= 7 and n ~= 8 end)
      shell.write(path, shell.read(path) .. ("a line that says nothing"):rep(9) .. "\n")
      local _, plain = run(path)
      local missing = {}
      for id, day, amount in plain:gmatch "\n(gen%S+) +(%S+) +%S+ +(%S+ USD)\n" do
        missing[#missing + 1] = { id, day, (amount:gsub(" ", "")) }
      end
      for _, columns in ipairs { 20, 40, 80, 110, 300 } do
        local status, out = show(path, columns)
        assert.equal(3, status)
        for seen in out:gmatch "[^\n]+" do assert.is_true(#seen:gsub("…", "-") <= columns, seen) end
        assert.equal(columns == 300, out == plain)
        local squeezed = out:gsub("%s+", "")
        for _, id in ipairs(missing) do
          for _, text in ipairs(id) do assert.is_truthy(squeezed:find(text, 1, true), text) end
        end
        assert.is_truthy(columns > 40 or squeezed:find "generations:%d+intheledger,%d+atOpenRouter,difference%-%d", out)
      end
    end)

    it("shows how far it is in long ledgers", function()
      local record_text = line("gen-1-long", record { created_at = "2026-01-01T00:00:00Z", x = ("x"):rep(11e6) })
      local status, out = show(file("long.jsonl", record_text) .. " --with activity --since " .. day_of(now - DAY), 80)
      assert.equal(3, status)
      assert.matches("\r%[#+%] 100%%  11/11 MB  %d+ MB/s  0:00 left\27%[K\r\27%[K", out)
    end)

    it("goes into a file, and never over records", function()
      local path, into = part("costs.jsonl", function(n) return n ~= 2 end), directory .. "/found"
      local _, plain = run(path)
      assert.same({ 3, "", "" }, { run(path .. " -o " .. into) })
      assert.equal(plain, shell.read(into))
      for _ = 1, 2 do assert.equal(3, (run(path .. " --format json -o " .. into))) end -- over reports, of any format
      local before = shell.read(path)
      assert.same({ 1, "", ("openrouter-cost: %s: has records, which would be lost; nothing was written to it\n"):format(path) },
        { run(path .. " -o " .. path) })
      assert.equal(before, shell.read(path))
    end)

    it("does what docs/reconcile.md has in Lua", function()
      part("costs.jsonl", function(n) return n ~= 2 end)
      local yesterday = day_of(now - DAY)
      local program = shell.read("docs/reconcile.md"):match "```lua\n(.-)```":gsub("2026%-11%-28", yesterday)
      local status, out = shell.run(("cd %s && OPENROUTER_BASE_URL=%s OPENROUTER_MANAGEMENT_KEY=k %s %s"):format(directory,
        sandbox.url, os.getenv "LUA", file("program.lua", program)))
      assert.equal(0, status)
      local requests = 0
      for difference in out:gmatch("\t(%-?%d+)[.0]*\t") do requests = requests + difference end
      local gone = whole:match "\n.-\"created_at\":\"([%d-]+)"
      assert.equal(gone == yesterday and -1 or 0, requests)
      assert.matches("^" .. yesterday:gsub("%-", "%%-") .. "\t", out)
    end)

    it("tells what the account does not have", function()
      local text = whole .. line("gen-1-strange", record { created_at = day_of(now - DAY) .. "T01:00:00Z",
        model = "\27[2J\226\128\174evil <script>\n" })
      local status, out = run(file("more.jsonl", text))
      assert.equal(3, status)
      assert.matches("\\x1B%[2J\\u{202E}evil <script>\\x0A +both +extra +generations +1 +0 +%+1\n", out)
      assert.matches("Only the ledger has 1 id:\ngen%-1%-strange", out)
      assert.not_matches("\27", out)
      status, out = run(file("more.jsonl", text) .. " --format json")
      assert.equal(3, status)
      local view = cjson.decode(out)
      assert.same({ "gen-1-strange", "extra" }, { view.ids[1].id, view.ids[1].status })
    end)

    it("says what of the ledger it did not compare", function()
      local text = whole .. line("gen-1-undated", record { created_at = cjson.null })
        .. line("gen-1-early", record { created_at = "2026-01-01T00:00:00Z" }) .. "no JSON\27[2J\n"
        .. '{"pending":"gen-1-open","at":"2026-11-03T00:00:00.000Z"}\n'
      local status, out = run(file("more.jsonl", text))
      assert.equal(3, status)
      assert.matches("\nNot compared: 1 generation of the ledger, which is of another day%.\n"
        .. "Not compared: 1 generation of the ledger without a time%.\n", out)
      assert.matches("\nINCOMPLETE: in the ledger 1 id is open and 1 line was skipped:\n"
        .. "  [^\n]+more%.jsonl:123: not a JSON[^\n]+\n\n", out)
      assert.not_matches("\27", out)
      assert.same({ 1, 1 }, { select(2, out:gsub(" open", "")), select(2, out:gsub("skipped", "")) }) -- each is said once
      local _, json = run(file("more.jsonl", text) .. " --format json")
      local omitted = cjson.decode(json).omitted
      assert.same({ 1, 1, 1, 0, 1 }, { omitted.filtered, omitted.undated, omitted.pending, omitted.failed, omitted.skipped })
      assert.same({ directory .. "/more.jsonl", 123 }, { omitted.lines[1].file, omitted.lines[1].line })
    end)

    it("is not complete where ids are open or failed, or lines skipped, and says why", function()
      local open = '{"pending":"gen-1-open","at":"2026-11-03T00:00:00.000Z"}\n'
      local failed = '{"failed":"gen-1-f%d","at":"2026-11-03T00:00:00.000Z","error":{"kind":"forbidden"}}\n'
      for text, why in pairs { [open] = "1 id is open.", [failed:format(1)] = "1 id failed.", ["x\n"] = "1 line was skipped:",
        ["x\ny\n" .. open .. failed:format(1) .. failed:format(2)]
          = "1 id is open, 2 ids failed and 2 lines were skipped:", [("x\n"):rep(12)] = "12 lines were skipped:" } do
        local path = file("more.jsonl", whole .. text)
        local status, out, err = run(path)
        assert.same({ 3, "" }, { status, err })
        assert.is_truthy(out:find(("%%d: the ledger has the 120 generations that /activity and /analytics report%%.\n"
          .. "INCOMPLETE: in the ledger %s\n"):format((why:gsub("%.", "%%.")))), out)
        assert.equal(why:find "^12" ~= nil, out:find "\n  and 2 more\n" ~= nil)
        assert.not_matches("complete", out)
        local json
        status, json = run(path .. " --format json")
        assert.same({ 3, false }, { status, cjson.decode(json).complete })
      end
      local _, json = run(file("whole.jsonl", whole) .. " --format json")
      assert.is_true(cjson.decode(json).complete)
    end)

    it("has it all as JSON, amounts to the last digit", function()
      local path = part("part.jsonl", function(n) return n ~= 3 end)
      local status, out = run(path .. " --format json")
      local view = cjson.decode(out)
      assert.same({ 3, false, 2, cjson.null }, { status, view.complete, #view.sources, view.ids_unknown })
      local last = core.parse_time(view["until"] .. "T00:00:00Z") -- 30 days
      assert.same({ "activity", day_of(last - 29 * DAY), view["until"] },
        { view.sources[1].name, view.sources[1].since, view.sources[1]["until"] })
      assert.equal("missing", view.ids[1].status)
      for _, source in ipairs(view.sources) do
        local requests, missing = 0, "0"
        for _, row in ipairs(source.rows) do
          requests = requests + row.requests.difference
          if row.status ~= "same" and row.status ~= "rounding" then missing = row.usage.difference end
        end
        assert.equal(-1, requests)
        assert.is_true(math.abs(tonumber(missing) - tonumber(view.ids[1].usage.difference)) < 1e-12)
      end
    end)

    it("asks one of the two where it is told to", function()
      local path = part("part.jsonl", function(n) return n ~= 3 end)
      local status, out = run(path .. " --with activity")
      assert.equal(3, status)
      assert.matches("/analytics would tell which ids these are%.", out)
      status, out = run(path .. " --with analytics")
      assert.equal(3, status)
      assert.matches("The ledger lacks 1 id", out)
      assert.not_matches("/activity", out)
    end)

    it("goes back beyond 30 days with analytics alone", function()
      local old = ("gen-%d-old"):format(now - 40 * DAY)
      servers.made(sandbox, { old })
      local path = file("whole.jsonl", whole)
      local status, out = run(path .. " --since " .. day_of(now - 41 * DAY))
      assert.equal(3, status)
      assert.matches("INCOMPLETE, the ledger has 0 generations and /analytics reports 1%.", out)
      assert.matches("The ledger lacks 1 id:\n" .. old:gsub("%-", "%%-"), out)
      assert.matches("Not compared with /activity, which has the last 30 days: ", out)
      local before = ("--since %s --until %s"):format(day_of(now - 42 * DAY), day_of(now - 41 * DAY))
      status, out = run(path .. " " .. before)
      assert.equal(0, status)
      assert.matches("the ledger has nothing, and /analytics reports nothing%.", out)
      assert.equal(2, (run(path .. " --with activity " .. before)))
      assert.equal(2, (run(path .. " --with activity --since " .. day_of(now - 32 * DAY))))
    end)

    it("wants a management key, and says so without showing it", function()
      local path = file("whole.jsonl", whole)
      local status, out, err = run(path, "OPENROUTER_API_KEY=sk-or-sandbox-plain")
      assert.same({ 4, "" }, { status, out })
      assert.matches("forbidden %(HTTP 403%): Only management keys can perform this operation", err)
      assert.matches("a management key is needed: set OPENROUTER_MANAGEMENT_KEY", err)
      assert.not_matches("sk%-or", err)
      assert.equal(0, (run(path, "OPENROUTER_API_KEY=sk-or-sandbox-plain OPENROUTER_MANAGEMENT_KEY=k")))
      assert.equal(4, (run(path, "OPENROUTER_MANAGEMENT_KEY=sk-or-sandbox-plain")))
      status, out, err = run(path, "OPENROUTER_MANAGEMENT_KEY=sk-or-sandbox-bad")
      assert.same({ 4, "" }, { status, out })
      assert.matches("auth %(HTTP 401%)", err)
      status, out, err = run(path, "OPENROUTER_API_KEY= OPENROUTER_MANAGEMENT_KEY=")
      assert.same({ 4, "" }, { status, out })
      assert.not_matches("bug", err)
    end)

    it("fails where the endpoints are gone", function()
      local status, out, err = run(file("whole.jsonl", whole), ("OPENROUTER_BASE_URL=%s"):format(
        sandbox.url:gsub("/api/v1", "/bare/api/v1")))
      assert.same({ 1, "" }, { status, out })
      assert.matches("not_found %(HTTP 404%)", err)
      assert.not_matches("bug", err)
    end)

    -- ---- answers that nobody can compare ----------------------------------------------------------------------------

    local function canned(answers)
      local place = shell.directory()
      for path, text in pairs(answers) do shell.write(place .. "/" .. path, text) end
      local server = servers.start(("python3 spec/support/canned.py %s \"$READY\""):format(place))
      server.url = server.ready:match "%S+"
      function server.asked() return shell.read(place .. "/asked") end
      return server
    end

    local EMPTY = '200\n{"data":{"data":[],"metadata":{"row_count":0,"truncated":false}}}'

    it("fails over garbage, other forms and half of it, rather than call it complete", function()
      local nothing = file("nothing.jsonl", "")
      for _, case in ipairs {
        { '200\n{"data":[]}', EMPTY, 0, "" },
        { "200\n<html>", EMPTY, 1, "bad_answer" },
        { "200\n", EMPTY, 1, "bad_answer" },
        { '200\n{"data":{}}', EMPTY, 1, "its data is no list" },
        { '200\n{"data":[{"date":"2026-11-01"}]}', EMPTY, 1, "it is not compared" },
        { '200\n{"data":[],"has_more":true}', EMPTY, 1, "may say that there is more" },
        { '200\n{"data":[]}', "200\n<html>", 1, "bad_answer" },
        { '200\n{"data":[]}', '200\n{"data":[]}', 1, "does not say whether it is truncated" },
        { '200\n{"data":[]}', '200\n{"data":{"data":[],"metadata":{"row_count":9,"truncated":false}}}', 1, "says it has 9 rows" },
        { '200\n{"data":[]}', '200\n{"data":{"data":[],"metadata":{"row_count":0,"truncated":true}}}', 1,
          "more than one answer" },
        { "400\n{\"error\":{\"code\":400,\"message\":\"Bad \\u001b[2J\"}}", EMPTY, 1, "bad_request %(HTTP 400%): Bad \\x1B" },
      } do
        local server = canned { activity = case[1], ["analytics-query"] = case[2] }
        finally(function() server:stop() end)
        local status, out, err = run(nothing .. " --since " .. day_of(now - 3 * DAY), "OPENROUTER_BASE_URL=" .. server.url)
        assert.equal(case[3], status, case[1] .. case[2] .. err)
        assert.matches(case[4], err)
        assert.equal(case[3] == 0, out ~= "")
        assert.not_matches("bug", err)
        server:stop()
      end
    end)

    it("asks for one key alone, where it is given its hash", function()
      local server = canned { activity = '200\n{"data":[]}', ["analytics-query"] = EMPTY }
      finally(function() server:stop() end)
      local day, hash = day_of(now - DAY), ("ab12"):rep(16)
      assert.equal(0, (run(("%s --since %s --key-hash %s"):format(file("nothing", ""), day, hash),
        "OPENROUTER_BASE_URL=" .. server.url)))
      local asked = server.asked()
      assert.is_truthy(asked:find(("GET /activity?date=%s&api_key_hash=%s \n"):format(day, hash), 1, true))
      assert.is_truthy(asked:find('"filters":[{"field":"api_key_id","operator":"eq","value":"' .. hash .. '"}]', 1, true))
    end)
  end)

  it("says what is wrong with its options", function()
    local path = shell.write(shell.directory() .. "/l", "")
    local tomorrow = os.date("!%Y-%m-%d", os.time() + DAY)
    for arguments, why in pairs {
      ["- <spec/reconcile_spec.lua"] = "reconcile reads its ledgers twice", [path .. " --fetch"] = "wants %-%-ledger",
      [path .. " --ledger x"] = "without %-%-fetch",
      [path .. " --since yesterday"] = "takes UTC days", [path .. " --until 2026-13-01"] = "takes UTC days",
      [path .. " --until 2026-13"] = "takes UTC days", [path .. " --since 2024-02"] = "OpenRouter reports 365 days",
      [path .. " --until 1999"] = "OpenRouter reports 365 days",
      [path .. " --since 2026-W12 --until 2026-02"] = "since '2026%-W12' is not before until '2026%-02'",
      [path .. " --since yesterday --until 2026-02"] = "a month, week or year %(2026%-11, 2026%-W44, 2026%), not",
      [path .. " --since " .. tomorrow] = "no day from " .. tomorrow:gsub("%-", "%%-") .. " on is over",
      [path .. " --since " .. tomorrow .. " --until 2099-02"] = "is over",
      [path .. " --since 2020-01-01"] = "OpenRouter reports 365 days",
      [path .. " --key-hash sk-or-v1-x"] = "never the key itself",
      [path .. " --with both-of-them"] = "there are activity, analytics, both",
    } do
      local status, out, err = shell.run(shell.cost("reconcile " .. arguments))
      assert.same({ 2, "" }, { status, out }, arguments)
      assert.matches(why, err)
      assert.not_matches("sk%-or", err)
    end
  end)

  it("says which key it wants", function()
    local path = shell.write(shell.directory() .. "/l", "")
    local without = "env -u OPENROUTER_API_KEY -u OPENROUTER_MANAGEMENT_KEY "
    local status, out, err = shell.run(without .. shell.cost("reconcile " .. path))
    assert.same({ 4, "", "openrouter-cost: no management key: set OPENROUTER_MANAGEMENT_KEY to one of "
      .. "https://openrouter.ai/settings/management-keys\n" }, { status, out, err })
    status, out, err = shell.run(without .. shell.cost "reconcile /nonexistent/l") -- which comes first
    assert.same({ 1, "", "openrouter-cost: /nonexistent/l: No such file or directory\n" }, { status, out, err })
  end)

  it("says which file cannot be read, as other commands do, and asks nobody", function()
    local status, out, err = shell.run("env OPENROUTER_BASE_URL=http://127.0.0.1:1/api/v1 OPENROUTER_API_KEY=k timeout 30 "
      .. shell.cost "reconcile /nonexistent/l")
    assert.same({ 1, "", "openrouter-cost: /nonexistent/l: No such file or directory\n" }, { status, out, err })
  end)

  it("says that it asks again, and for how long", function()
    local told = shell.quote(shell.directory() .. "/told")
    local _, out = shell.run(("env OPENROUTER_BASE_URL=http://127.0.0.1:1/api/v1 OPENROUTER_API_KEY=k %s 2>%s & "
      .. "until [ -s %s ] || ! kill -0 $!; do sleep 0.05; done; kill $!; wait $!; cat %s"):format(
      shell.cost "reconcile /dev/null", told, told, told))
    assert.matches("^openrouter%-cost: %d+%-%d+%-%d+: network: [^\n]+; trying again, up to two minutes for each question\n", out)
  end)

  it("is part of the client", function()
    local client = assert(openrouter.client { api_key = "k" })
    assert.has_error(function() client:activity(20261101) end, "activity: the day must be a string, not a number")
    for _, day in ipairs { "", "yesterday", "2026-1-1", "2026-02-30", "2026-11-01 " } do
      assert.has_error(function() client:activity(day) end,
        ("activity: the day must be a date such as 2026-11-01, not '%s'"):format(day))
    end
    assert.has_error(function() client:activity("2026-11-01", "") end, "activity: the hash of the key must not be empty")
    assert.has_error(function() client:activity("2026-11-01", false) end,
      "activity: the hash of the key must be a string, not a boolean")
    assert.has_error(function() client:analytics {} end, "analytics: the query must be JSON text, not a table")
    client:close()
  end)
end)

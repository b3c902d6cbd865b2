local check = require "openrouter.check"
local cjson = require "cjson"
local report = require "openrouter.report"
local shell = require "spec.support.shell"

local all = table.unpack or unpack

describe("check", function()
  local directory
  before_each(function() directory = shell.directory() end)
  after_each(shell.clean)

  local function file(name, ...) return shell.write(directory .. "/" .. name, table.concat({ ... }, "\n") .. "\n") end

  -- A settled line.
  local function settled(id, second, members, instant, drift)
    return ('{"settled":"%s","at":"2026-11-01T10:00:%02d.000Z"%s%s,"answer":{"data":{"id":"%s"%s}}}'):format(id, second,
      instant and ',"instant":' .. instant or "", drift and ',"drift":' .. drift or "", id, members)
  end
  local function ledgers(path, options) return assert(check.ledgers({ path }, options)) end
  local function ids(findings)
    local list = {}
    for i, finding in ipairs(findings.examples) do list[i] = finding.id end
    return list
  end

  describe("of ledgers", function()
    it("finds nothing in what is as it should be", function()
      local result = ledgers(file("a", settled("1", 0, ',"total_cost":0.5,"is_byok":false', '{"cost":0.50}'),
        '{"total_cost":0}', settled("2", 0, ',"total_cost":1,"is_byok":true,"upstream_inference_cost":0')))
      assert.same({ false, 3, 0, 0, 0, 0 }, { result.tripped, result.generations, result.unpriced.count, result.drift.count,
        result.byok.count, result.hours.count })
    end)

    it("names what has no known price, and why", function()
      local path = file("a", '{"id":"1","total_cost":null}', '{"id":"2","total_cost":1}', '{"total_cost":"1"}')
      local result = ledgers(path)
      assert.same({ true, 2 }, { result.tripped, result.unpriced.count })
      assert.same({ id = "1", file = path, line = 1, why = "neither total_cost nor usage has a figure" },
        result.unpriced.examples[1])
      assert.same({ nil, 3 }, { result.unpriced.examples[2].id, result.unpriced.examples[2].line })
    end)

    it("names own provider keys whose bill is unknown", function()
      local path = file("a", '{"id":"1","total_cost":0,"is_byok":true}',
        '{"id":"2","total_cost":0,"is_byok":true,"upstream_inference_cost":null}',
        '{"id":"3","total_cost":0,"is_byok":true,"upstream_inference_cost":0}',
        '{"id":"4","total_cost":0,"is_byok":false}', '{"id":"5","total_cost":0,"is_byok":null}',
        '{"id":"6","total_cost":0}')
      local result = ledgers(path)
      assert.same({ { "1", "2" }, 2 }, { ids(result.byok), result.byok.count })
      -- that is why they have no price: they are not told once more
      assert.same({ { "5" }, 1, 3 }, { ids(result.unpriced), result.unpriced.count, result.omitted.unpriced })
      result = ledgers(file("b", settled("1", 0, ',"total_cost":2,"is_byok":true', '{"cost":1}')))
      assert.same({ 0, 1, 1 }, { result.unpriced.count, result.byok.count, result.drift.count }) -- two different troubles
    end)

    it("tells by how much the cost is not what the response said", function()
      local path = file("a", settled("1", 0, ',"total_cost":0.3', '{"cost":0.1}', "0.2"),
        settled("2", 0, ',"total_cost":0.100000000000000000000000001', '{"cost":1e-1}'),
        settled("3", 0, ',"total_cost":1', '{"cost":0}'), settled("4", 0, ',"total_cost":0.5', '{"cost":1}'),
        settled("5", 0, ',"total_cost":0.5', '{"cost":null}'), settled("6", 0, ',"total_cost":null,"usage":0', '{"cost":1}'),
        settled("7", 0, ',"total_cost":0.5', '{"cost":"1"}', "0.25"), settled("8", 0, ',"total_cost":0.5'))
      local found = ledgers(path).drift
      assert.same({ "1", "2", "3", "4", "7" }, ids(found))
      local function amounts(i)
        local of = found.examples[i]
        return { of.instant, of.drift, of.percent and math.floor(of.percent * 1e6 + 0.5) / 1e6 }
      end
      assert.same({ "0.1", "0.2", 200 }, amounts(1))
      assert.same({ "0.1", "0.000000000000000000000000001", 0 }, amounts(2))
      assert.same({ "0", "1" }, amounts(3))
      assert.same({ "1", "-0.5", -50 }, amounts(4))
      assert.same({ nil, "0.25" }, amounts(5)) -- only the line says so
      assert.same({ "1", "3", "7" }, ids(ledgers(path, { max_drift = 50 }).drift)) -- 50 % pass
      assert.same({ "1", "3", "4", "7" }, ids(ledgers(path, { max_drift = 49.9 }).drift))
      assert.same({ "3", "7" }, ids(ledgers(path, { max_drift = 200 }).drift))
    end)

    it("counts of how many it knows whether they drift", function()
      local known = settled("1", 0, ',"total_cost":1', '{"cost":1}')
      local function compared(lines, options) return ledgers(file("a", all(lines)), options).compared end
      assert.equal(0, compared {})
      assert.equal(0, compared { '{"id":"1","total_cost":1}', settled("2", 0, ',"total_cost":1'),
        settled("3", 0, ',"total_cost":null', '{"cost":1}'), settled("4", 0, ',"total_cost":1', '{"cost":null}') })
      assert.equal(2, compared { known, settled("2", 0, ',"total_cost":1', '{"cost":3}'), '{"id":"3","total_cost":1}' })
      assert.equal(1, compared { settled("1", 0, ',"total_cost":1', nil, "0.5") }) -- the line alone says so
      assert.equal(1, compared({ known, known, settled("2", 0, ',"model":"b","total_cost":1', '{"cost":1}') },
        { where = { model = "unknown" } }))
      -- of those asked for, however many there are, and of an id that comes again
      local lines, filters = {}, { where = { model = "a" } }
      for i = 1, 300 do
        lines[i] = settled(i, 0, (',"total_cost":2,"model":"%s"'):format(i % 3 == 0 and "a" or "b"), '{"cost":1}')
      end
      for second = 1, 3 do lines[#lines + 1] = settled("3", second, ',"total_cost":1,"model":"a"', '{"cost":1}') end
      assert.same({ 100, 99 }, { compared(lines, filters), ledgers(directory .. "/a", filters).drift.count })
      -- of an id the record settled last
      assert.equal(0, compared { settled("1", 5, ',"total_cost":1'), known })
      assert.equal(0, compared { known, settled("1", 5, ',"total_cost":1') })
    end)

    it("says how far it is", function()
      local lines, told = {}, {}
      for i = 1, 250 do lines[i] = ('{"id":"%d","total_cost":1}'):format(i) end
      local path = file("a", all(lines))
      local size = #shell.read(path)
      ledgers(path, { progress = function(done, total, what) told[#told + 1] = { done, total, what } end })
      assert.same({ { 0, size, "bytes" }, { size, size, "bytes" },
        { 0, 250, "records" }, { 100, 250, "records" }, { 200, 250, "records" } }, told)
    end)

    it("counts each id once, as it was settled last", function()
      local bad, good = settled("1", 5, ',"total_cost":null'), settled("1", 6, ',"total_cost":1')
      local old = settled("2", 1, ',"total_cost":1')
      local new = settled("2", 2, ',"total_cost":1', '{"cost":2}')
      local bare = '{"id":"2","total_cost":null}'
      for _, lines in ipairs { { bad, good, old, new, bare }, { good, bad, bare, new, old },
        { new, bare, old, new, good, bad, bad } } do
        local result = ledgers(file("a", all(lines)))
        assert.same({ 2, 0, {}, 1, { "2" } },
          { result.generations, result.unpriced.count, ids(result.unpriced), result.drift.count, ids(result.drift) })
      end
      local one, other = settled("3", 1, ',"total_cost":1', '{"cost":2}'), settled("3", 1, ',"total_cost":1', '{"cost":4}')
      assert.equal("-1", ledgers(file("a", one, other)).drift.examples[1].drift) -- at the same time: the first
      -- by the id of the line, where its record has none
      local empty = '{"settled":"4","at":"2026-11-01T10:00:00.000Z","answer":{"data":{"id":"","total_cost":null}}}'
      assert.same({ "4" }, ids(ledgers(file("a", empty, empty)).unpriced))
      -- across files, too, and named where the record is that counts
      local a, b = file("a", "", bad), file("b", settled("1", 7, ',"usage":null'))
      local result = assert(check.ledgers({ b, a }))
      assert.same({ 1, b, 1 }, { result.unpriced.count, result.unpriced.examples[1].file, result.unpriced.examples[1].line })
    end)

    it("looks at the record that a report counts, where several of an id were settled at the same time", function()
      for id = 1, 8 do
        local path = file("a", settled(id, 0, ',"total_cost":1', '{"cost":1}'), settled(id, 0, ',"total_cost":2', '{"cost":1}'))
        local r = report.new { by = "", measures = "spend" }
        r:add_file(path)
        local counts = r:total().exact.spend
        assert.equal(counts == "2" and 1 or 0, ledgers(path).drift.count, id)
      end
      -- and once, where they are the same
      local path = file("a", settled("1", 0, ""), settled("1", 0, ""))
      assert.same({ 1, 1 }, { ledgers(path).unpriced.count, ledgers(path).unpriced.examples[1].line })
      -- by the id of the line, where the record has none
      local nameless = '{"settled":"1","at":"2026-11-01T10:00:00.000Z","answer":{"data":{"model":"m"}}}'
      path = file("a", nameless, nameless)
      for _, options in ipairs { {}, { where = { model = "m" } } } do
        assert.same({ 1, { "1" } }, { ledgers(path, options).unpriced.count, ids(ledgers(path, options).unpriced) })
      end
    end)

    it("finds hours that cost more than the limit, exactly, in a zone", function()
      local path = file("a", '{"id":"1","created_at":"2026-11-01T10:00:00Z","total_cost":0.1}',
        '{"id":"2","created_at":"2026-11-01T10:59:59Z","total_cost":0.2}',
        '{"id":"3","created_at":"2026-11-01T11:00:00Z","total_cost":0.300000000000000000000000001}', '{"total_cost":9}')
      local hours = ledgers(path, { max_per_hour = "0.3", tz = "Europe/Berlin" }).hours
      assert.same({ count = 1, examples = {
        { hour = "2026-11-01 12:00+01:00", spend = "0.300000000000000000000000001" } } }, hours)
      hours = ledgers(path, { max_per_hour = "0.2999" }).hours
      assert.same({ 2, "2026-11-01 11:00+00:00", "0.3" }, { hours.count, hours.examples[1].hour, hours.examples[2].spend })
      assert.equal(0, ledgers(path).hours.count)
      assert.equal(2, ledgers(path, { max_per_hour = "0" }).hours.count)
    end)

    it("tells what is of no hour, and finds it where it costs more than an hour may", function()
      local path = file("a", '{"id":"1","created_at":"2026-11-01 05:00:00","total_cost":1000.5}', '{"id":"2","total_cost":0.1}',
        '{"id":"3","created_at":"2026-11-01T10:00:00Z","total_cost":1}')
      local result = ledgers(path, { max_per_hour = "5" })
      assert.same({ true, 0, { generations = 2, spend = "1000.6", over = true } },
        { result.tripped, result.hours.count, result.no_hour })
      result = ledgers(path, { max_per_hour = "1000.6" })
      assert.same({ false, { generations = 2, spend = "1000.6", over = false } }, { result.tripped, result.no_hour })
      result = ledgers(path)
      assert.same({ false }, { result.tripped, result.no_hour })
      assert.is_nil(ledgers(file("b", '{"created_at":"2026-11-01T10:00:00Z","total_cost":1}'), { max_per_hour = "5" }).no_hour)
      assert.same({ generations = 1, over = false }, ledgers(file("c", '{"id":"1"}'), { max_per_hour = "0" }).no_hour)
    end)

    it("finds hours that cost more than the core has digits for", function()
      local path = file("a", '{"id":"1","created_at":"2026-11-01T10:00:00Z","total_cost":1e11}',
        '{"id":"2","created_at":"2026-11-01T10:59:59Z","total_cost":1e11}',
        '{"id":"3","created_at":"2026-11-01T11:00:00Z","total_cost":1e11}')
      local function found(limit)
        local list = {}
        for i, hour in ipairs(ledgers(path, { max_per_hour = limit }).hours.examples) do list[i] = hour.spend end
        return list
      end
      assert.same({ "200000000000", "100000000000" }, found "5")
      assert.same({ "200000000000" }, found "199999999999.99")
      assert.same({}, found "200000000000")
      assert.equal(8, (shell.run(shell.cost(("check %s --max-per-hour 5"):format(path)))))
    end)

    it("looks only at what it is asked to", function()
      local path = file("a", '{"id":"1","model":"a","created_at":"2026-11-01T10:00:00Z"}',
        '{"id":"2","model":"b","created_at":"2026-11-02T10:00:00Z"}',
        '{"id":"3","model":"a","created_at":"2026-11-03T10:00:00Z"}')
      local function found(options)
        local result = ledgers(path, options)
        assert.equal(result.unpriced.count, #result.unpriced.examples)
        return ids(result.unpriced)
      end
      assert.same({ "1", "2", "3" }, found {})
      assert.same({ "2", "3" }, found { since = "2026-11-02" })
      assert.same({ "1" }, found { ["until"] = "2026-11-01", tz = "Asia/Tokyo" })
      assert.same({ "1", "3" }, found { where = { model = "a" } })
    end)

    it("names ten of a kind, and counts all", function()
      local lines = {}
      for i = 1, 25 do
        local time = ("2026-11-01T%02d:00:00Z"):format(i % 24)
        lines[#lines + 1] = ('{"id":"gen-%d","is_byok":true,"created_at":"%s","usage":%d}'):format(i, time, i)
        lines[#lines + 1] = ('{"id":"gen-u%d"}'):format(i)
      end
      local result = ledgers(file("a", all(lines)), { max_per_hour = "0" })
      assert.same({ 25, 10, 25, 10 }, { result.byok.count, #result.byok.examples, result.unpriced.count,
        #result.unpriced.examples })
      assert.same({ "gen-1", "gen-10" }, { result.byok.examples[1].id, result.byok.examples[10].id })
    end)

    it("looks into compressed files", function()
      local path = directory .. "/a.gz"
      assert.equal(0, (shell.run(("echo '{\"id\":\"gen-1\",\"model\":\"m\"}' | gzip >%s"):format(path))))
      local result = ledgers(path)
      assert.same({ 0, 1, "gen-1" }, { result.omitted.skipped, result.unpriced.count, result.unpriced.examples[1].id })
      -- one that is damaged, or that logrotate still writes, costs its own rest: what comes after it is looked at
      shell.write(directory .. "/cut.gz", "\31\139")
      result = assert(check.ledgers { directory .. "/cut.gz", path })
      assert.same({ 1, 1, "gen-1" }, { result.omitted.skipped, result.unpriced.count, result.unpriced.examples[1].id })
    end)

    it("says what is wrong with options and files", function()
      local function wrong(options, words) assert.error_matches(function() check.ledgers({}, options) end, words, 1, true) end
      wrong({ max_drfit = 1 }, "unknown option 'max_drfit'; did you mean 'max_drift'?")
      wrong({ max_drift = -1 }, "max_drift must be a number of percent")
      wrong({ progress = true }, "progress must be a function, not a boolean")
      wrong({ max_per_hour = 5 }, "max_per_hour must be an amount of USD as text")
      wrong({ max_per_hour = "-1" }, "max_per_hour must be an amount of USD as text")
      wrong({ where = { modle = "a" } }, "unknown dimension 'modle'")
      wrong(5, "options must be a table, not a number")
      wrong(false, "options must be a table, not a boolean")
      assert.same({ nil, "options must be a table, not a string" }, { check.check "tz" })
      for message, paths in pairs {
        ["ledgers: paths must be a list, not a string"] = "costs.jsonl",
        ["ledgers: paths must be a list, not a nil"] = false,
        ["ledgers: paths must be a list without gaps, and has '2'"] = { nil, "costs.jsonl" },
        ["ledgers: path must be a string, not a table"] = { {} },
        ["ledgers: a path must not have a NUL byte in it: a\\x00b"] = { "a\0b" },
      } do
        local ok, raised = pcall(function() local result = check.ledgers(paths or nil) return result end)
        assert.is_false(ok)
        assert.equal(message, (raised:match "check_spec.lua:%d+: (.*)$"), raised)
      end
      assert.same({ true }, { check.check { max_drift = 1 } })
      assert.is_nil(check.check { tz = "Mars" })
      local result, err = check.ledgers { directory .. "/none" }
      assert.is_nil(result)
      assert.same({ "io", directory .. "/none: No such file or directory" }, { err.kind, err.message })
    end)
  end)

  describe("from the command line", function()
    local function run(arguments) return shell.run(shell.cost("check " .. arguments)) end

    it("ends with 8 when there is something, with 3 when lines are missing, else with 0", function()
      local clean, open = file("clean", '{"total_cost":1}'), file("open", '{"pending":"gen-1","open":true }', '{"total_cost":1}')
      local unpriced = file("unpriced", '{"id":"gen-9"}', "torn")
      assert.equal(0, (run(clean)))
      assert.equal(3, (run(open)))
      assert.equal(3, (run(file("torn", '{"total_cost":1}', "x"))))
      assert.equal(8, (run(unpriced)))
      assert.equal(8, (run(open .. " " .. unpriced)))
    end)

    it("tells each kind with id, file, line and amount", function()
      local path = file("a", '{"id":"gen-1","created_at":"2026-11-01T10:00:00Z","total_cost":null}',
        settled("gen-2", 0, ',"created_at":"2026-11-01T10:00:00Z","total_cost":0.12', '{"cost":0.1}'),
        '{"id":"gen-3","created_at":"2026-11-01T11:00:00Z","total_cost":2,"is_byok":true}', "x")
      local status, out, err = run(path .. " --max-per-hour 0.1 --max-drift 19%")
      assert.same({ 8, "" }, { status, err })
      assert.equal(([[
1 generation has no known price:
  FILE:1: gen-1: neither total_cost nor usage has a figure
1 generation did not cost what the response said:
  FILE:2: gen-2: +0.02 USD on 0.1 USD (+20.00 %)
1 generation by a provider key of yours has no upstream_inference_cost, so that its price is not known:
  FILE:3: gen-3
1 hour costs more than the limit:
  2026-11-01 10:00+00:00: 0.12 USD
3 generations checked.
]]):gsub("FILE", function() return path end), (out:match "^(.*checked%.\n)"))
      assert.matches("1 line or record was skipped:\n  .*/a:4: not a JSON object", out)
    end)

    it("says of how many it knows whether they drift", function()
      local one, other = settled("1", 0, ',"total_cost":1', '{"cost":1}'), '{"id":"2","total_cost":1}'
      for text, lines in pairs { ["1 of 1."] = { one }, ["0 of 1; of the rest, the cost or what"] = { other },
        ["1 of 2; of the rest, the cost or what the response said (instant) is not known."] = { one, other } } do
        local _, out = run(file("a", all(lines)))
        assert.is_truthy(out:find("; there is nothing to look at.\nChecked for drift: " .. text, 1, true), out)
        local _, json = run(directory .. "/a --format json")
        assert.equal(lines[1] == one and 1 or 0, cjson.decode(json).compared)
      end
      assert.not_matches("drift", (select(2, run(file("b", "")))))
    end)

    it("fits its terminal", function()
      local path = file("a", settled("gen-2", 0, ',"total_cost":null,"is_byok":true', '{"cost":0.1}'), "x", '{"id":"1"}')
      local plain = select(2, run(path .. " --max-per-hour 0.1"))
      local function words(text) return (text:gsub("%s+", "")) end
      for _, columns in ipairs { 20, 45, 300 } do
        local status, out = shell.terminal(shell.cost("check --max-per-hour 0.1 " .. path), columns)
        assert.same({ 8, words(plain) }, { status, words(out) })
        for line in out:gmatch "[^\n]+" do assert.is_true(#line <= columns, line) end
        if columns == 300 then assert.equal(plain, out) end
      end
      local into = directory .. "/found"
      assert.equal(8, (shell.terminal(shell.cost(("check --max-per-hour 0.1 %s -o %s"):format(path, into)), 20)))
      assert.equal(plain, shell.read(into))
    end)

    it("shows how far it is in long ledgers", function()
      local lines = {}
      for i = 1, 10500 do lines[i] = ('{"id":"gen-%d","total_cost":1,"x":"%s"}'):format(i, ("x"):rep(1000)) end
      local status, out = shell.terminal(shell.cost("check " .. file("a", table.concat(lines, "\n"))), 80)
      assert.equal(0, status)
      assert.matches("\r%[#+%-*%] [ %d]+%%  11/11 MB  %d+ MB/s  %d:%d%d left\27%[K", out)
      assert.matches("\r%[%-+%]   0%%  0/10500 records  0/s  %? left\27%[K", out)
      assert.matches("\r\27%[K10,500 generations checked; there is nothing to look at%.\n", out)
    end)

    it("rounds what hours cost to what people read, and JSON does not", function()
      local path = file("a", '{"id":"1","created_at":"2026-11-01T10:00:00Z","total_cost":1234.10000000000000001}',
        '{"id":"2","created_at":"2026-11-01T11:00:00Z","total_cost":0.0123456789}',
        '{"id":"3","created_at":"2026-11-01T12:00:00Z","total_cost":3e-9}')
      local _, out = run(path .. " --max-per-hour 0")
      assert.matches("10:00%+00:00: 1,234%.10 USD\n.*11:00%+00:00: 0%.012346 USD\n.*12:00%+00:00: <0%.000001 USD\n", out)
      _, out = run(path .. " --max-per-hour 0 --format json")
      assert.equal("1234.10000000000000001", cjson.decode(out).hours.examples[1].spend)
    end)

    it("says what is of no hour", function()
      local path = file("a", '{"id":"1","total_cost":1000.5}', '{"id":"2","total_cost":0.1}')
      local text = "2 generations have no created_at that can be read, so that they are of no hour: 1,000.60 USD"
      local drift = "Checked for drift: 0 of 2; of the rest, the cost or what the response said (instant) is not known.\n"
      local status, out = run(path .. " --max-per-hour 5")
      assert.same({ 8, text .. ", more than the limit.\n2 generations checked.\n" .. drift
        .. "Nothing is left out.\n" }, { status, out })
      status, out = run(path .. " --max-per-hour 2000")
      assert.equal(0, status)
      assert.equal(text .. ".\n2 generations checked; there is nothing to look at.\n" .. drift .. "Nothing is left out.\n", out)
      out = select(2, run(file("b", '{"id":"1"}') .. " --max-per-hour 5"))
      assert.matches("\n1 generation has no created_at that can be read, so that it is of no hour: no known price%.\n", out)
      local function json(options) return cjson.decode((select(2, run(path .. " --format json" .. options)))).no_hour end
      assert.same({ generations = 2, spend = "1000.6", over = true }, json " --max-per-hour 5")
      assert.equal(cjson.null, json "")
    end)

    it("has the same as JSON", function()
      local path = file("a", '{"id":"gen-1"}', settled("gen-2", 0, ',"total_cost":0.12', '{"cost":0.1}'))
      local status, out = run(path .. " --format json")
      local result = cjson.decode(out)
      assert.same({ 8, true, 2, 1, 0 }, { status, result.tripped, result.generations, result.omitted.unpriced,
        result.omitted.skipped })
      assert.same({ count = 1, examples = { { id = "gen-1", file = path, line = 1,
        why = "neither total_cost nor usage has a figure" } } }, result.unpriced)
      local drift = result.drift.examples[1]
      assert.same({ "gen-2", 2, "0.1", "0.02" }, { drift.id, drift.line, drift.instant, drift.drift })
    end)

    it("goes into a file, whole, and never over records", function()
      local path, into = file("a", '{"id":"gen-1"}'), directory .. "/found"
      for _, format in ipairs { "text", "json" } do
        local options = path .. " --format " .. format
        local _, plain = run(options)
        assert.same({ 8, "", "" }, { run(options .. " -o " .. into) })
        assert.equal(plain, shell.read(into))
      end
      assert.same({ 1, "", ("openrouter-cost: %s: has records, which would be lost; nothing was written to it\n"):format(path) },
        { run(path .. " --output " .. path) })
      assert.equal('{"id":"gen-1"}\n', shell.read(path))
      assert.equal(1, (run(path .. " -o " .. directory .. "/none/found")))
    end)

    it("takes a directory of openrouter.nginx", function()
      assert.equal(0, (shell.run("mkdir " .. directory .. "/pending")))
      file("ledger.jsonl", settled("gen-1", 0, ',"total_cost":1', '{"cost":2}'))
      file("ledger.jsonl.1", settled("gen-2", 0, ',"total_cost":null'))
      file("pending/1-1.jsonl", '{"pending":"gen-3","open":true }')
      local status, out = run(directory)
      assert.equal(8, status)
      assert.matches("/ledger%.jsonl%.1:1: gen%-2", out)
      assert.matches("/ledger%.jsonl:1: gen%-1: %-1 USD on 2 USD", out)
      assert.matches("1 generation is still open", out)
    end)

    it("shows nothing that a terminal would obey", function()
      local _, out = run(file("a", '{"id":"gen-\\u001b[31m\\u0007"}'))
      assert.matches("gen%-\\x1B%[31m\\x07", out)
    end)

    it("takes an empty pipe, and /dev/null, for an empty ledger, and no other that it cannot read twice", function()
      local path = file("a", '{"total_cost":1}')
      assert.equal(0, (shell.run("mkfifo " .. directory .. "/pipe")))
      local command = shell.cost "check "
      for line, generations in pairs { [command .. "/dev/null"] = 0, [command .. "-"] = 0, [": | " .. command .. "-"] = 0,
        [": | " .. command .. path .. " -"] = 1, [(": >%s/pipe & "):format(directory) .. command .. directory .. "/pipe"] = 0,
        [command .. file("empty")] = 0 } do
        local status, out, err = shell.run(line)
        assert.same({ line, 0, "" }, { line, status, err })
        assert.matches(("^%d generations? checked; there is nothing to look at"):format(generations), out)
      end
      for line, name in pairs { ["echo '{}' | " .. command .. "-"] = "standard input",
        ["echo '{}' | " .. command .. "/dev/stdin"] = "/dev/stdin" } do
        assert.same({ 2, "", ("openrouter-cost: check reads its ledgers twice, which a pipe does not allow: write it to a file "
          .. "first (%s)\n"):format(name) }, { shell.run(line) })
      end
    end)

    it("says what is wrong with its arguments", function()
      local path = file("a", "{}")
      for arguments, words in pairs {
        ["--max-drift x"] = "'x' is no percentage, such as 0.5", ["--max-drift=-1"] = "'-1' is no percentage",
        ["--max-per-hour 5USD"] = "'5USD' is no amount of USD, such as 2.50", ["--max-per-hour=-1"] = "'-1' is no amount",
        ["--since x"] = "since must be a date", ["--where model"] = "--where takes NAME=VALUE",
        ["--format jon"] = "unknown format 'jon'; did you mean 'json'?", ["--tz Mars"] = "unknown time zone 'Mars'",
      } do
        local status, out, err = run(arguments .. " " .. path)
        assert.same({ arguments, 2, "" }, { arguments, status, out })
        assert.is_truthy(err:find(words, 1, true), err)
      end
      local status, _, err = run(directory .. "/none")
      assert.equal(1, status)
      assert.matches("/none: No such file or directory", err)
    end)
  end)
end)

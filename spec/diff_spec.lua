local cjson = require "cjson"
local core = require "openrouter.core"
local diff = require "openrouter.diff"
local period = require "openrouter.period"
local report = require "openrouter.report"
local shell = require "spec.support.shell"
local views = require "spec.support.views"

local unpack = table.unpack or unpack

local SPEND, COUNT = { name = "spend", unit = "USD" }, { name = "generations", unit = "count" }
local TIME = { name = "latency_p50", unit = "ms" }

local function row(model, generations, spend, latency)
  return { model = model, generations = generations, spend = spend and tonumber(spend), latency_p50 = latency,
    exact = { spend = spend } }
end

describe("diff.compare", function()
  local function compare(a, b, measures) return diff.compare(a, b, { "model" }, measures or { COUNT, SPEND, TIME }) end
  local function models(rows)
    local names = {}
    for i, of in ipairs(rows) do names[i] = of.key.model end
    return names
  end

  it("matches rows and subtracts exactly", function()
    local rows = compare({ row("a", 2, "0.300000000000000000000000001", 1000) }, { row("a", 5, "0.1", 750) })
    assert.equal(1, #rows)
    local of = rows[1]
    assert.same({ model = "a" }, of.key)
    assert.same({ spend = "-0.200000000000000000000000001" }, of.exact)
    assert.same({ generations = 3, spend = -0.2, latency_p50 = -250 }, of.change)
    assert.same({ 150, -25 }, { of.percent.generations, of.percent.latency_p50 })
    assert.is_true(math.abs(of.percent.spend + 66.6667) < 1e-3)
  end)

  it("has no change from or to what is unknown, and no percentage of nothing", function()
    local rows = compare({ row("a", 1, nil, nil), row("b", 0, "0", 0), row("c", 1, "1", 5) },
      { row("a", 1, "1", 5), row("b", 1, "1", 5), row("c", 1, nil, nil) })
    local of = {}
    for _, r in ipairs(rows) do of[r.key.model] = r end
    assert.same({ { generations = 0 }, {} }, { of.a.change, of.a.exact })
    assert.same({ { generations = 1, spend = 1, latency_p50 = 5 }, {} }, { of.b.change, of.b.percent })
    assert.same({ { generations = 0 }, { generations = 0 } }, { of.c.change, of.c.percent })
  end)

  it("takes percent of what is negative by its size", function()
    local saved = { name = "cache_discount", unit = "USD" }
    local function of(amount)
      return { { model = "a", cache_discount = tonumber(amount), exact = { cache_discount = amount } } }
    end
    local rows = diff.compare(of "-2", of "-1", { "model" }, { saved })
    assert.same({ 1, 50 }, { rows[1].change.cache_discount, rows[1].percent.cache_discount })
  end)

  it("keeps rows of one side alone, without a change", function()
    local rows = compare({ row("a", 1, "1", 5) }, { row("b", 1, "2", 5) })
    assert.same({ "b", "a" }, models(rows))
    assert.same({ nil, {}, {}, {} }, { rows[1].a, rows[1].change, rows[1].exact, rows[1].percent })
    assert.equal(2, rows[1].b.spend)
    assert.is_nil(rows[2].b)
  end)

  it("puts the greatest change of spend first, exactly, and what has none last", function()
    local a = { row("small", 1, "1", 5), row("fall", 1, "10", 5), row("unknown", 1, nil, 5), row("gone", 1, "4", 5),
      row("tiny", 1, "5.000000000000000000000000000", 5), row("same", 1, "3", 5), row("tie", 1, "3", 5) }
    local b = { row("tiny", 1, "6.000000000000000000000000001", 5), row("unknown", 1, "9", 5), row("small", 1, "2", 5),
      row("fall", 1, "1", 5), row("new", 1, "4.5", 5), row("tie", 1, "3", 5), row("same", 1, "3", 5) }
    assert.same({ "fall", "new", "gone", "tiny", "small", "same", "tie", "unknown" }, models(compare(a, b)))
  end)

  it("has no change between two reports that are the same, also where numbers are close together", function()
    local function rows_of(...)
      local r = report.new { by = "app_id", measures = "spend" }
      for _, last in ipairs { ... } do
        r:add(core.decode(('{"id":"%d","app_id":900719925474099%d,"usage":%d}'):format(last, last, last)))
      end
      return r:rows()
    end
    for _, of in ipairs(diff.compare(rows_of(1, 2, 3), rows_of(1, 2, 3), { "app_id" }, { SPEND })) do
      assert.equal("0", of.exact.spend)
    end
    local rows = diff.compare(rows_of(3), rows_of(3, 2), { "app_id" }, { SPEND })
    if rawget(math, "tointeger") then
      assert.same({ "2", nil, "3", "3" }, { rows[1].b.exact.spend, rows[1].a, rows[2].b.exact.spend, rows[2].a.exact.spend })
    end
    assert.equal(2, #rows)
  end)

  it("sorts by the first measure where spend is none of them", function()
    assert.same({ "b", "a" }, models(compare({ row("a", 1), row("b", 9) }, { row("a", 2), row("b", 1) }, { COUNT })))
    assert.equal(1, #compare({ row("a", 1) }, { row("a", 2) }, {}))
  end)

  it("has no change of times", function()
    local function of(time) return { { model = "a", first = time, exact = {} } } end
    local first = { name = "first", unit = "time" }
    local rows = diff.compare(of "2026-10-01T00:00:00Z", of "2026-11-01T00:00:00Z", { "model" }, { first })
    assert.same({ {}, "2026-11-01T00:00:00Z" }, { rows[1].change, rows[1].b.first })
  end)

  it("says what is wrong with arguments, and in which line of the caller's", function()
    local function wrong(message, ...)
      local arguments = { ... }
      local ok, raised = pcall(function() local rows = diff.compare(unpack(arguments, 1, 4)) return rows end)
      assert.is_false(ok)
      assert.equal("compare: " .. message, (raised:match "diff_spec.lua:%d+: (.*)$"), raised)
    end
    wrong("rows_a must be the rows of a report, not a nil", nil)
    wrong("rows_b must be the rows of a report, not a number", {}, 1, {}, {})
    wrong("rows_b must be the rows of a report, and has a string", {}, { "a" }, {}, {})
    wrong("dimensions must be a list of names, not a string", {}, {}, "model", {})
    wrong("measures must be those of a report (r.measures), not a nil", {}, {}, { "model" })
    wrong("measures must be those of a report (r.measures), and has a string", {}, {}, { "model" }, { "spend" })
  end)

  it("tells values of different types apart", function()
    local dimensions = { "app_id", "user" }
    local function of(app, user) return { app_id = app, user = user, generations = 1, exact = {} } end
    local function count(a, b) return #diff.compare({ a }, { b }, dimensions, { COUNT }) end
    assert.equal(1, count(of(10, true), of(10, true)))
    assert.equal(2, count(of(10, true), of("10", true)))
    assert.equal(2, count(of(1, true), of(1, "true")))
    assert.equal(2, count(of("a", "bc"), of("ab", "c")))
  end)
end)

describe("diff as text", function()
  it("takes no options but how it looks", function()
    local text = require "openrouter.format.diff_text"
    for message, options in pairs { ["unknown option 'widht'; did you mean 'width'?"] = { widht = 80 },
      ["option 'width' must be a number, not a string"] = { width = "80" },
      ["option 'width' must be from 1 to 1000000"] = { width = 0 } } do
      local ok, raised = pcall(function() local shown = text({}, options) return shown end)
      assert.is_false(ok)
      assert.equal("diff: " .. message, (raised:match "diff_spec.lua:%d+: (.*)$"), raised)
    end
  end)
end)

describe("period.span", function()
  local cases = {
    { "2026-11-01", "2026-11-01", "2026-11-01" }, { "2026-11", "2026-11-01", "2026-11-30" },
    { "2026-12", "2026-12-01", "2026-12-31" }, { "2028-02", "2028-02-01", "2028-02-29" },
    { "2026-02", "2026-02-01", "2026-02-28" },
    { "2026", "2026-01-01", "2026-12-31" }, { "2026-10..2026", "2026-10", "2026" },
    { "2026-W44", "2026-10-26", "2026-11-01" }, { "2026-W53", "2026-12-28", "2027-01-03" },
    { "2026-W01", "2025-12-29", "2026-01-04" }, { "1970-W02", "1970-01-05", "1970-01-11" },
    { "9999-W51", "9999-12-20", "9999-12-26" }, { "9999-W52", "9999-12-27", "9999-12-31" },
    { "9999-12", "9999-12-01", "9999-12-31" }, { "9999", "9999-01-01", "9999-12-31" },
    { "7d..2026-11-01T14:00", "7d", "2026-11-01T14:00" }, { "2026-11-01..", "2026-11-01", nil }, { "..36h", nil, "36h" },
  }
  for _, case in ipairs(cases) do
    it("of " .. case[1], function() assert.same({ case[2], case[3] }, { period.span(case[1]) }) end)
  end

  it("knows no other words", function()
    for _, wrong in ipairs { "", "1969", "0000", "26", "2026-13", "2026-00", "2026-11-31", "2027-W53", "2026-W00", "2026-W54",
      "2026-1", "7d",
      "1969-W01", "1970-W01", "1969-12", "costs.jsonl", "0000-01" } do
      assert.same({}, { period.span(wrong) }, wrong)
    end
  end)

  it("of every week and month is as Python has it", function()
    local path = shell.write(shell.directory() .. "/weeks.py", [[
from datetime import date, timedelta
day = date(2019, 12, 30)
while day.year < 2033:
    y, w, _ = day.isocalendar()
    print(f"{y}-W{w:02}", day, day + timedelta(6))
    day += timedelta(7)
for m in range(2020 * 12, 2033 * 12):
    first, after = date(m // 12, m % 12 + 1, 1), date((m + 1) // 12, (m + 1) % 12 + 1, 1)
    print(first.strftime("%Y-%m"), first, after - timedelta(1))
]])
    local pipe, count = io.popen("python3 " .. path), 0
    for line in pipe:lines() do
      local text, from, to = line:match "^(%S+) (%S+) (%S+)$"
      assert.same({ text, from, to }, { text, period.span(text) })
      count = count + 1
    end
    pipe:close()
    shell.clean()
    assert.is_true(count > 800)
  end)
end)

describe("openrouter-cost diff", function()
  local directory, ledger
  before_each(function()
    directory = shell.directory()
    ledger = shell.write(directory .. "/costs.jsonl", table.concat({
      '{"id":"1","model":"a","created_at":"2026-10-01T10:00:00Z","total_cost":0.5}',
      '{"id":"2","model":"a","created_at":"2026-11-01T10:00:00Z","total_cost":0.75}',
      '{"id":"3","model":"b","created_at":"2026-10-31T23:30:00Z","total_cost":0.1}',
      '{"id":"4","model":"c","created_at":"2026-11-30T10:00:00Z","total_cost":2.5}',
      '{"id":"5","model":"d","created_at":"2026-11-30T10:00:00Z"}',
      '{"id":"6","model":"d","created_at":"2026-10-30T10:00:00Z","total_cost":1e-9}', "" }, "\n"))
  end)
  after_each(shell.clean)

  local function run(arguments) return shell.run(shell.cost("diff " .. arguments)) end
  local function json(arguments)
    local status, out, err = run(arguments .. " --format json")
    assert.equal("", err)
    return cjson.decode(out), status
  end

  it("shows two months side by side, and what is in neither", function()
    local status, out, err = run("2026-10 2026-11 --measures generations,spend " .. ledger)
    assert.same({ 0, "" }, { status, err })
    assert.equal([[
model                 2026-10  2026-11  change
-----  -----------  ---------  -------  ------  -------
c      generations          -        1       -      new
       spend USD            -     2.50       -      new

a      generations          1        1       =
       spend USD         0.50     0.75   +0.25   +50.0%

b      generations          1        -       -     gone
       spend USD         0.10        -       -     gone

d      generations          1        1       =
       spend USD    <0.000001        -       -        -
-----  -----------  ---------  -------  ------  -------
total  generations          3        3       =
       spend USD         0.60     3.25   +2.65  +441.7%
]], out:match "^(.-\n)\n2026%-10:")
  end)

  it("takes the last week that has a date", function()
    shell.write(directory .. "/end.jsonl", '{"id":"w","total_cost":1,"created_at":"9999-12-31T23:59:59Z","model":"m"}\n')
    local result, status = json(("9999-W52 2026 %s/end.jsonl"):format(directory))
    assert.same({ 0, "9999-12-27", "9999-12-31", "m" },
      { status, result.a.period.since, result.a.period["until"], result.rows[1].key.model })
  end)

  it("says = of what is the same, whatever its unit, and of nothing else", function()
    local function ledger_of(name, latency, cost)
      return shell.write(directory .. "/" .. name, ('{"id":"1","latency":%s,"total_cost":%s,"tokens_prompt":0}\n'):format(latency,
        cost))
    end
    local a, b = ledger_of("a", 100, "1"), ledger_of("b", 100, "1.0000000001")
    local function changes(other, measures)
      local _, out = run(("%s %s --measures %s"):format(a, other, measures))
      local list = {}
      for change in out:match("\ntotal .-\n\n"):gmatch " [%d.]+ +[%d.]+ +([^\n]+)\n" do
        list[#list + 1] = change:gsub(" +", " ")
      end
      return list
    end
    assert.same({ "=", "=", "=", "=" }, changes(ledger_of("c", 100, "1.0"), "generations,spend,latency_p50,tokens_prompt"))
    assert.same({ "<0.000001 +0.0%", "=" }, changes(b, "spend,latency_p50"))
    local view = json(("%s %s --measures latency_p50"):format(a, b))
    local latency = view.total.measures.latency_p50
    assert.same({ 0, 0 }, { latency.change, latency.percent }) -- numbers for programs
  end)

  it("ends with what each is of, for a month may not be over, and what is left out of it", function()
    local _, out = run("2026-10 2026-11 " .. ledger)
    assert.equal([[

2026-10:
  Period: since 2026-10-01, until 2026-10-31, records from 2026-10-01T10:00:00Z to 2026-10-31T23:30:00Z, zone UTC.
  3 generations are excluded by since, until or where.

2026-11:
  Period: since 2026-11-01, until 2026-11-30, records from 2026-11-01T10:00:00Z to 2026-11-30T10:00:00Z, zone UTC.
  1 generation has no known price: counted, but in no sum of spend.
  3 generations are excluded by since, until or where.
]], out:match "\n\n2026%-10:.*$":sub(2))
    local view = json("2026-10 2026-11 " .. ledger)
    assert.same({ "2026-10-01", "2026-10-31T23:30:00Z" }, { view.a.period.since, view.a.period.last })
  end)

  it("says what is left out of what has no dates, and that of nothing nothing is", function()
    local bad = shell.write(directory .. "/bad.jsonl", table.concat({
      '{"failed":"gen-1-f","at":"2026-11-01T10:00:00.000Z","error":{"kind":"not_found","status":404,"attempts":3}}',
      '{"pending":"gen-1-p","at":"2026-11-01T10:00:00.000Z"}',
      '{"note":"gen-1-p","at":"2026-11-01T10:00:01.000Z","instant":{"cost":0.25}}',
      "garbage", '{"id":"gen-1-q","model":"m","total_cost":null}', "" }, "\n"))
    local empty = shell.write(directory .. "/empty.jsonl", "")
    local status, out = run(bad .. " " .. ledger)
    assert.equal(3, status)
    assert.equal(([[

%s:
  1 generation is still open, without a record; by its response it cost 0.25 USD.
  1 generation has no record, because the lookup failed.
  1 generation has no known price: counted, but in no sum of spend.
  1 line or record was skipped:
    %s:4: not a JSON object: a value must stand here, at byte 1

]]):format(bad, bad), out:match "\n\n[^\n]*bad%.jsonl:.-\n\n":sub(2))
    status, out = run(ledger .. " " .. empty)
    assert.equal(0, status)
    assert.matches("\n\n" .. empty .. ":\n  Nothing is left out.\n", out, 1, true)
  end)

  it("has a line of its own for each figure where the terminal is too narrow for the table", function()
    local function lines_of(text)
      local r = report.new { by = "model,app_id", measures = "generations,spend" }
      for line in text:gmatch "[^\n]+" do r:add(assert(require("openrouter").decode(line))) end
      return r
    end
    local a = lines_of '{"model":"openai/gpt-5","app_id":7,"usage":1.5}'
    local b = lines_of '{"model":"openai/gpt-5","app_id":7,"usage":3}\n{"model":"x","usage":1}'
    local view = { a = { name = "2026-10", omitted = a:omitted() }, b = { name = "2026-11", omitted = b:omitted() },
      dimensions = a.dimensions, measures = a.measures, rows = diff.compare(a:rows(), b:rows(), a.dimensions, a.measures),
      total = diff.row(a:total(), b:total(), {}, a.measures) }
    local text = require "openrouter.format.diff_text"(view, { width = 60 })
    for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 60, line) end
    assert.equal("openai/gpt-5, 7\n"
      .. "  generations: 1 in 2026-10, 1 in 2026-11, change =\n"
      .. "  spend USD: 1.50 in 2026-10, 3.00 in 2026-11, change +1.50\n    +100.0%\n"
      .. "x, unknown\n"
      .. "  generations: - in 2026-10, 1 in 2026-11, new\n"
      .. "  spend USD: - in 2026-10, 1.00 in 2026-11, new\n"
      .. "total\n"
      .. "  generations: 1 in 2026-10, 2 in 2026-11, change +1 +100.0%\n"
      .. "  spend USD: 1.50 in 2026-10, 4.00 in 2026-11, change +2.50\n    +166.7%\n\n2026-10:", text:match "^(.-2026%-10:)\n")
  end)

  it("fits its sentences to the terminal, too", function()
    local view = { dimensions = {}, measures = {}, rows = {}, total = { change = {}, percent = {} },
      a = { name = "a", omitted = views.EVERYTHING, period = { tz = "UTC", first = "2026-10-01T10:00:00Z",
        last = "2026-10-31T23:30:00Z" } }, b = { name = "b", omitted = views.NOTHING } }
    for line in require "openrouter.format.diff_text"(view, { width = 40 }):gmatch "[^\n]+" do
      assert.is_true(#line <= 40 + 2 * select(2, line:gsub("…", "")), line)
    end
  end)

  it("has changes of more than the core has digits for", function()
    local path = shell.write(directory .. "/big.jsonl",
      '{"id":"1","model":"m","total_cost":1e10,"created_at":"2026-10-01T00:00:00Z"}\n'
        .. '{"id":"2","model":"m","total_cost":1e11,"created_at":"2026-11-01T00:00:00Z"}\n'
        .. '{"id":"3","model":"m","total_cost":1e11,"created_at":"2026-11-01T00:00:00Z"}\n')
    local _, out = run("2026-10 2026-11 --measures spend " .. path)
    assert.matches("200,000,000,000%.00 +%+190,000,000,000%.00 +%+1900 ?%%", out)
    assert.equal("190000000000", json("2026-10 2026-11 --measures spend " .. path).total.measures.spend.exact.change)
  end)

  it("has the same as JSON, where amounts are exact and unknown is null", function()
    local view, status = json("2026-10 2026-11 --measures generations,spend " .. ledger)
    assert.same({ 0, "2026-10", "2026-11", 3, 1 },
      { status, view.a.name, view.b.name, view.a.omitted.filtered, view.b.omitted.unpriced })
    assert.same({ key = { model = "c" }, only = "b", measures = {
      generations = { a = cjson.null, b = 1, change = cjson.null, percent = cjson.null },
      spend = { a = cjson.null, b = 2.5, change = cjson.null, percent = cjson.null,
        exact = { a = cjson.null, b = "2.5", change = cjson.null } } } }, view.rows[1])
    assert.same({ a = 0.5, b = 0.75, change = 0.25, percent = 50, exact = { a = "0.5", b = "0.75", change = "0.25" } },
      view.rows[2].measures.spend)
    assert.same({ a = "0.600000001", b = "3.25", change = "2.649999999" }, view.total.measures.spend.exact)
  end)

  it("takes periods in a zone, and conditions", function()
    local function generations(arguments)
      local view = json(arguments .. " --measures generations " .. ledger)
      return { view.total.measures.generations.a, view.total.measures.generations.b }
    end
    assert.same({ 3, 3 }, generations "2026-10 2026-11")
    assert.same({ 2, 4 }, generations "2026-10 2026-11 --tz Europe/Berlin") -- half past midnight on the first there
    assert.same({ 1, 2 }, generations "2026-10 2026-11 --where model=a --where model=c")
    assert.same({ 0, 2 }, generations "2026-10-02 2026-11-30")
    assert.same({ 3, 1 }, generations "2026-W44 ..2026-10-01") -- 26 October to 1 November
    assert.same({ 6, 3 }, generations "2026 2026-11..2027")
  end)

  it("compares two ledgers", function()
    local other = shell.write(directory .. "/other.jsonl", '{"id":"9","model":"a","total_cost":1.5}\n{"pending":"x"}\n')
    local view, status = json(("%s %s --measures spend --where model=a"):format(ledger, other))
    assert.same({ 3, ledger, other, 1 }, { status, view.a.name, view.b.name, view.b.omitted.pending })
    assert.same({ a = "1.25", b = "1.5", change = "0.25" }, view.rows[1].measures.spend.exact)
    view = json("2026-10 2026-11 /dev/null " .. ledger .. " -")
    assert.equal("0.600000001", view.total.measures.spend.exact.a)
    view = json(("- %s <%s"):format(other, ledger))
    assert.equal("3.850000001", view.total.measures.spend.exact.a)
  end)

  it("says what is wrong with its arguments", function()
    local function says(arguments, words)
      local status, out, err = run(arguments)
      assert.same({ 2, "" }, { status, out })
      assert.is_truthy(err:find(words, 1, true), err)
    end
    says("2026-13 2026-11 " .. ledger, "'2026-13' is no period; a period is a day (2026-11-01), a month")
    says("2026-10 .. " .. ledger, "'..' is no period")
    says("2026-10 2026-11", "name the ledgers to read both periods from: openrouter-cost diff 2026-10 2026-11 FILE…")
    says("2026-10 2026-11 - <" .. ledger, "diff reads its ledgers twice, which a pipe does not allow")
    says("- -", "standard input cannot be both ledgers")
    says("2026-10 2026-11 --by modle " .. ledger, "unknown dimension 'modle'; did you mean 'model'?")
    says("2026-10 2026-11 --measures spent " .. ledger, "unknown measure 'spent'; did you mean 'spend'?")
    says("2026-10 2026-11 --format jsn " .. ledger, "unknown format 'jsn'; did you mean 'json'?")
    says("tomorrow..7d 2026-11 " .. ledger, "since must be a date")
    local status, _, err = run("2026-10 2026-11 " .. directory .. "/none")
    assert.equal(1, status)
    assert.matches("/none: No such file or directory", err)
  end)
end)

local cjson = require "cjson"
local csv = require "openrouter.format.csv"
local shell = require "spec.support.shell"
local views = require "spec.support.views"

local READ = [[import csv, json, sys
with open(sys.argv[1], encoding="utf-8", newline="") as file:
    json.dump(list(csv.reader(file, strict=True)), sys.stdout)]]

-- The rows as Python's csv module reads them.
local function read(view)
  local directory = shell.directory()
  local text = csv(view)
  local status, out, err = shell.run(("python3 -c %s %s"):format(shell.quote(READ),
    shell.write(directory .. "/report.csv", text)))
  assert.same({ 0, "" }, { status, err })
  return cjson.decode(out), text
end

local function view_of(values)
  local rows = {}
  for i, value in ipairs(values) do
    rows[i] = { model = value, generations = i, spend = i, latency_p50 = i / 2,
      exact = { spend = i .. ".000000000000000000000000001" } }
  end
  return { dimensions = { "model" }, measures = { { name = "generations", unit = "count" }, { name = "spend", unit = "USD" },
    { name = "latency_p50", unit = "ms" } }, rows = rows, omitted = views.NOTHING,
    total = { generations = 9, spend = -0.5, exact = { spend = "-0.5" } } }
end

describe("CSV format", function()
  after_each(shell.clean)

  it("has a header, groups, a total, the period and what is omitted, all as long as each other", function()
    local view = view_of { "a", 7, true }
    view.omitted = views.EVERYTHING
    view.period = { since = "7d", tz = "UTC", first = "2026-11-01T00:00:03Z", last = "2026-11-02T00:00:00Z" }
    assert.same({
      { "row", "model", "generations", "spend", "latency_p50", "name", "value" },
      { "group", "a", "1", "1.000000000000000000000000001", "0.5", "", "" },
      { "group", "7", "2", "2.000000000000000000000000001", "1", "", "" },
      { "group", "true", "3", "3.000000000000000000000000001", "1.5", "", "" },
      { "total", "", "9", "-0.5", "", "", "" },
      { "period", "", "", "", "", "since", "7d" },
      { "period", "", "", "", "", "tz", "UTC" },
      { "period", "", "", "", "", "first", "2026-11-01T00:00:03Z" },
      { "period", "", "", "", "", "last", "2026-11-02T00:00:00Z" },
      { "omitted", "", "", "", "", "pending", "1234" },
      { "omitted", "", "", "", "", "failed", "2" },
      { "omitted", "", "", "", "", "unpriced", "31" },
      { "omitted", "", "", "", "", "skipped", "12" },
      { "omitted", "", "", "", "", "duplicates", "3" },
      { "omitted", "", "", "", "", "conflicts", "1" },
      { "omitted", "", "", "", "", "filtered", "5" },
      { "omitted", "", "", "", "", "undated", "1" },
      { "omitted", "", "", "", "", "changed", "2" },
      { "omitted", "", "", "", "", "instant_cost", "1.2500001" },
      { "omitted", "", "", "", "", "instant_unknown", "7" },
      { "omitted", "", "", "", "", "skipped_line", "costs.jsonl:8: not a JSON object: not an object, at byte 1" },
      { "omitted", "", "", "", "", "skipped_line", "a sum would leave the range of money" },
    }, (read(view)))
  end)

  it("keeps every text apart from formulas, and numbers numbers", function()
    local values = { "=1+1", "+1", "-1", "@SUM(A1)", "'quoted", "\t=1", "\r=1", "＝1", "＠x", "plain", "a=b", -5, "1e5" }
    local rows = read(view_of(values))
    local shown = {}
    for i = 1, #values do shown[i] = rows[i + 1][2] end
    assert.same({ "'=1+1", "'+1", "'-1", "'@SUM(A1)", "''quoted", "\\x09=1", "\\x0D=1", "'＝1", "'＠x", "plain", "a=b", "-5",
      "1e5" }, shown)
  end)

  it("is RFC 4180: lines end with CRLF, quotes are doubled, controls are spelt out", function()
    local values = { 'a,"b"', "a;b", " lead", "trail ", "", "a\nb", "a\0b", "é\226\128\168x", "bad\255" }
    local rows, text = read(view_of(values))
    local shown = {}
    for i = 1, #values do shown[i] = rows[i + 1][2] end
    assert.same({ 'a,"b"', "a;b", " lead", "trail ", "", "a\\x0Ab", "a\\x00b", "é\\u{2028}x", "bad\\xFF" }, shown)
    assert.equal("\r\n", text:sub(-2))
    assert.is_nil(text:gsub("\r\n", ""):find "[%z\1-\31]")
    assert.matches('\r\ngroup,"a,""b""",1,', text, 1, true)
  end)

  it("needs neither dimensions nor rows", function()
    local view = view_of {}
    assert.equal("total", read(view)[2][1])
    view.dimensions = {}
    view.rows = { view.total }
    assert.same({ "total", "9", "-0.5", "", "", "" }, read(view)[2])
  end)
end)

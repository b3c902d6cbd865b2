local core = require "openrouter.core"
local openrouter = require "openrouter"
local report = require "openrouter.report"
local shell = require "spec.support.shell"

local unpack = table.unpack or unpack

local function record(text) return assert(openrouter.decode(text)) end

local function filled(options, ...)
  local r = report.new(options)
  for _, text in ipairs { ... } do assert(r:add(record(text))) end
  return r
end

local function file_of(...)
  return shell.write(shell.directory() .. "/costs.jsonl", table.concat({ ... }, "\n"))
end

-- The values of some columns of every row.
local function columns(rows, ...)
  local out = {}
  for i, row in ipairs(rows) do
    out[i] = {}
    for j, name in ipairs { ... } do out[i][j] = row[name] == nil and "nil" or row[name] end
  end
  return out
end

describe("report", function()
  after_each(shell.clean)

  it("adds up records by what they are grouped by", function()
    local r = filled({ by = { "model", "day" } },
      '{"model":"a","created_at":"2026-11-20T23:30:00.5-01:00","total_cost":0.1,"latency":100,"native_tokens_prompt":3}',
      '{"model":"a","created_at":"2026-11-21T08:00:00Z","total_cost":12.000345200000000001,"latency":300,"cancelled":true}',
      '{"model":"b","created_at":"2026-11-20T08:00:00Z","usage":4e-7,"provider_responses":[{"status":500},{"status":200}]}',
      '{"model":"b"}')
    local rows = r:rows()
    assert.same({ { "a", "2026-11-21", 2, 1, 0 }, { "b", "2026-11-20", 1, 0, 1 }, { "b", "unknown", 1, 0, 0 } },
      columns(rows, "model", "day", "generations", "cancelled", "failed_attempts"))
    assert.same({ "12.100345200000000001", 12.100345200000000001 }, { rows[1].exact.spend, rows[1].spend })
    assert.same({ "0.0000004", 3 }, { rows[2].exact.spend, rows[1].native_tokens_prompt })
    assert.is_true(math.abs(rows[1].latency_p50 - 100) <= 100 / 128 and math.abs(rows[1].latency_p95 - 300) <= 300 / 128)
    assert.same({ 4, "12.100345600000000001", 1, 1 },
      { r:total().generations, r:total().exact.spend, r:total().unpriced, r:total().failed_attempts })
  end)

  it("has nil, not 0, where no record has a value", function()
    local r = filled({ by = "model" },
      '{"model":"a","native_tokens_prompt":0,"total_cost":0}', '{"model":"b","cancelled":null}')
    local rows = r:rows()
    assert.same({ { "a", 0, 0, "nil", 0, 0, 0 }, { "b", "nil", "nil", "nil", 0, 0, 1 } },
      columns(rows, "model", "spend", "native_tokens_prompt", "latency_p50", "cancelled", "failed_attempts", "unpriced"))
    assert.same({ { spend = "0" }, {} }, { rows[1].exact, rows[2].exact })
  end)

  it("has one row without dimensions, with or without records", function()
    local r = report.new()
    assert.same({ { 0, "nil", 0, 0 } }, columns(r:rows(), "generations", "spend", "cancelled", "unpriced"))
    r:add(record '{"usage":1}')
    assert.same({ { 1, 1 } }, columns(r:rows(), "generations", "spend"))
    assert.same(r:total(), r:rows()[1])
    assert.same({}, report.new({ by = "model" }):rows())
    assert.equal(1, #report.new({ by = "" }):rows())
  end)

  it("groups by any field, as the type it has", function()
    local r = filled({ by = "app_id,streamed,external_user", measures = "generations" },
      '{"app_id":10,"streamed":true,"external_user":"é\\n"}', '{"app_id":10.0,"streamed":true,"external_user":"\\u00e9\\u000a"}',
      '{"app_id":1e1,"streamed":false,"external_user":""}', '{"app_id":"10","streamed":null}')
    assert.same({ { 10, false, "", 1 }, { 10, true, "é\n", 2 }, { "unknown", "unknown", "unknown", 1 } },
      columns(r:rows(), "app_id", "streamed", "external_user", "generations"))
    assert.equal("10", tostring(r:rows()[1].app_id)) -- an integer, where Lua has them
  end)

  it("puts what is null, absent or of the wrong type with the string unknown", function()
    local r = filled({ by = "model" }, '{"model":null}', '{"id":"a"}', '{"model":7}', '{"model":"unknown"}')
    assert.same({ { "unknown", 4 } }, columns(r:rows(), "model", "generations"))
  end)

  it("groups by the context of ledger lines", function()
    local r = report.new { by = "context.user", measures = "generations,spend" }
    assert.equal(3, r:add_file(file_of(
      '{"settled":"a","at":"2026-11-20T10:00:00.000Z","context":{"user":"zo\\u00eb"},"answer":{"data":{"id":"a","usage":1}}}',
      '{"settled":"b","at":"2026-11-20T10:00:00.000Z","context":{"user":true},"answer":{"data":{"id":"b","usage":2}}}',
      '{"data":{"id":"c","usage":3}}')))
    assert.same({ { "unknown", 3 }, { true, 2 }, { "zoë", 1 } }, columns(r:rows(), "context.user", "spend"))
  end)

  it("orders rows by day where there is one, else by spend", function()
    local lines = {
      '{"model":"a","created_at":"2026-11-21T00:00:00Z","usage":1}',
      '{"model":"b","created_at":"2026-11-20T00:00:00Z","usage":3}',
      '{"model":"c","usage":2}', '{"model":"d"}', '{"model":"e","usage":2}',
    }
    local function models(by)
      local out = {}
      for _, row in ipairs(filled({ by = by }, unpack(lines)):rows()) do out[#out + 1] = row.model end
      return table.concat(out)
    end
    assert.equal("bcead", models "model")
    assert.equal("bacde", models "day,model")
    assert.equal("abcde", models "model,day")
  end)

  it("orders by spend to the last digit", function()
    local r = filled({ by = "model", measures = "spend" }, '{"model":"a","usage":100}', '{"model":"d"}',
      '{"model":"b","usage":100}', '{"model":"b","usage":0.00000000000000000001}', '{"model":"c","usage":100}')
    assert.same({ { "b", 100 }, { "a", 100 }, { "c", 100 }, { "d", "nil" } }, columns(r:rows(), "model", "spend"))
    r:add(record '{"model":"c","usage":3e-20}')
    assert.same({ { "c", 100 }, { "b", 100 }, { "a", 100 }, { "d", "nil" } }, columns(r:rows(), "model", "spend"))
  end)

  it("groups by the hours, days, weeks and months of a zone", function()
    local lines = {
      '{"created_at":"2026-10-24T22:59:59.999Z","usage":1}', '{"created_at":"2026-10-25T00:30:00Z","usage":2}',
      '{"created_at":"2026-10-25T01:30:00Z","usage":4}', '{"created_at":"2026-10-31T23:00:00Z","usage":8}', '{"usage":16}',
    }
    local function shown(by, tz)
      local r = filled({ by = by, tz = tz, measures = "spend" }, unpack(lines))
      return columns(r:rows(), by, "spend")
    end
    assert.same({ { "2026-10-25 00:00+02:00", 1 }, { "2026-10-25 02:00+02:00", 2 }, { "2026-10-25 02:00+01:00", 4 },
      { "2026-11-01 00:00+01:00", 8 }, { "unknown", 16 } }, shown("hour", "Europe/Berlin"))
    assert.same({ { "2026-10-25", 7 }, { "2026-11-01", 8 }, { "unknown", 16 } }, shown("day", "Europe/Berlin"))
    assert.same({ { "2026-W43", 7 }, { "2026-W44", 8 }, { "unknown", 16 } }, shown("week", "Europe/Berlin"))
    assert.same({ { "2026-10", 7 }, { "2026-11", 8 }, { "unknown", 16 } }, shown("month", "Europe/Berlin"))
    assert.same({ { "2026-10", 15 }, { "unknown", 16 } }, shown "month")
    assert.same({ { "2026-10-24 22:00+00:00", 1 }, { "2026-10-25 00:00+00:00", 2 }, { "2026-10-25 01:00+00:00", 4 },
      { "2026-10-31 23:00+00:00", 8 }, { "unknown", 16 } }, shown("hour", "UTC"))
  end)

  it("reads times that are spelt with escapes, as libraries that escape more than JSON asks for do", function()
    local r = filled({ by = "day", measures = "spend" },
      '{"id":"1","created_at":"2026-11-01T10:00:00.249238\\u002B00:00","usage":1}',
      '{"id":"2","created_at":"\\u0032026-11-01T10:00:00Z","usage":2}',
      '{"settled":"3","at":"2026-11-20T10:00:0\\u0030.000Z","answer":{"data":{"id":"3","usage":8}}}',
      '{"id":"3","created_at":"2026-11-01T10:00:00Z","usage":4}',
      '{"id":"4","created_at":"' .. ("\\u0032"):rep(1000) .. '","usage":16}')
    assert.same({ { "2026-11-01", 3 }, { "unknown", 24 } }, columns(r:rows(), "day", "spend"))
  end)

  it("has the two hours that are called the same in the order they came", function()
    local function hours(tz, ...)
      local out = {}
      for _, row in ipairs(filled({ by = "hour", tz = tz }, ...):rows()) do out[#out + 1] = row.hour:sub(12) end
      return table.concat(out, " ")
    end
    local function at(...)
      local lines = {}
      for i, time in ipairs { ... } do lines[i] = ('{"created_at":"%s"}'):format(time) end
      return unpack(lines)
    end
    assert.equal("01:00-04:00 01:00-05:00 02:00-05:00",
      hours("America/New_York", at("2026-11-01T07:00:00Z", "2026-11-01T06:30:00Z", "2026-11-01T05:30:00Z")))
    assert.equal("01:00+01:00 01:00+00:00 02:00+00:00",
      hours("Europe/London", at("2026-10-25T02:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z")))
    assert.equal("00:00+00:00 00:00-01:00",
      hours("Atlantic/Azores", at("2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z")))
  end)

  it("counts what was made in a period, in days of the zone", function()
    local lines = {
      '{"created_at":"2026-10-31T22:59:59Z","usage":1}', '{"created_at":"2026-10-31T23:00:00Z","usage":2}',
      '{"created_at":"2026-11-02T22:59:59.999Z","usage":4}', '{"created_at":"2026-11-02T23:00:00Z","usage":8}', '{"usage":16}',
    }
    local function spent(options)
      options.measures = "spend"
      local r = filled(options, unpack(lines))
      return { r:total().spend, r:omitted().filtered, r:omitted().undated }
    end
    assert.same({ 6, 2, 1 }, spent { since = "2026-11-01", ["until"] = "2026-11-02", tz = "Europe/Berlin" })
    assert.same({ 12, 2, 1 }, spent { since = "2026-11-01", ["until"] = "2026-11-02" })
    assert.same({ 14, 1, 1 }, spent { since = "2026-10-31T23:00Z" })
    assert.same({ 1, 3, 1 }, spent { ["until"] = "2026-11-01T00:00", tz = "Europe/Berlin" })
    assert.same({ 14, 1, 1 }, spent { since = "2026-11", ["until"] = "2026-11", tz = "Europe/Berlin" })
    assert.same({ 3, 2, 1 }, spent { ["until"] = "2026-10" })
    assert.same({ 1, 3, 1 }, spent { ["until"] = "2026-10", tz = "Europe/Berlin" })
    assert.same({ 15, 0, 1 }, spent { since = "2026", ["until"] = "2026-W45", tz = "Asia/Kathmandu" })
    assert.same({ 31, 0, 0 }, spent {})
    local now = os.time()
    local function ago(seconds) return ('{"created_at":"%s"}'):format(os.date("!%Y-%m-%dT%H:%M:%SZ", now - seconds)) end
    local r = filled({ since = "2d", ["until"] = "1h" }, ago(172000), ago(173000), ago(3700), ago(3500))
    assert.same({ 2, 2 }, { r:total().generations, r:omitted().filtered })
  end)

  it("counts what has certain values", function()
    local lines = {
      '{"model":"a","app_id":1,"streamed":true,"created_at":"2026-11-01T10:00:00Z","usage":1}',
      '{"model":"b","app_id":1.0,"streamed":false,"created_at":"2026-11-02T10:00:00Z","usage":2}',
      '{"model":"a","app_id":2,"created_at":"2026-11-08T10:00:00Z","usage":4}', '{"model":"1","usage":8}',
    }
    local function spent(where)
      local r = filled({ where = where, measures = "spend" }, unpack(lines))
      assert.equal(0, r:omitted().undated)
      return (r:total().spend or 0), r:total().exact.spend and 15 - r:total().spend == 0 or r:omitted().filtered > 0
    end
    for expected, where in pairs {
      [5] = { model = "a" }, [7] = { model = { "a", "b" } }, [4] = { model = "a", app_id = 2 }, [3] = { app_id = 1 },
      [8] = { model = "1" }, [12] = { streamed = "unknown" }, [2] = { streamed = false }, [1] = { streamed = "true" },
      [0] = { model = 1 }, [6] = { day = { "2026-11-02", "2026-11-08" } }, [11] = { app_id = { "1", "unknown" } },
      [15] = {}, [9] = { week = { "2026-W44", "unknown" } }, [13] = { hour = { "2026-11-01 10:00+00:00", "2026-11-08 10:00+00:00",
        "unknown" } },
    } do
      local got, said = spent(where)
      assert.equal(expected, got)
      assert.is_true(said)
    end
    local r = report.new { by = "context.user", where = { ["context.user"] = { "a", "5" } }, measures = "spend" }
    r:add_file(file_of(
      '{"settled":"a","at":"2026-11-20T10:00:00.000Z","context":{"user":"a"},"answer":{"data":{"id":"a","usage":1}}}',
      '{"settled":"b","at":"2026-11-20T10:00:00.000Z","context":{"user":5},"answer":{"data":{"id":"b","usage":2}}}',
      '{"settled":"c","at":"2026-11-20T10:00:00.000Z","context":{"user":"5"},"answer":{"data":{"id":"c","usage":4}}}',
      '{"settled":"d","at":"2026-11-20T10:00:00.000Z","context":{"user":"b"},"answer":{"data":{"id":"d","usage":8}}}'))
    assert.same({ { "5", 4 }, { 5, 2 }, { "a", 1 } }, columns(r:rows(), "context.user", "spend"))
  end)

  it("tells numbers apart that floating point cannot, where it counts what has certain values", function()
    local function ids(app_id)
      local r = filled({ by = "id", where = { app_id = app_id } }, '{"id":"even","app_id":9007199254740992}',
        '{"id":"odd","app_id":9007199254740993}', '{"id":"last","app_id":9223372036854775807}')
      return columns(r:rows(), "id")
    end
    for text, id in pairs { ["9007199254740992"] = "even", ["9007199254740993"] = "odd", ["09007199254740993.0"] = "odd",
      ["9007199254740.993e3"] = "odd", ["9223372036854775807"] = "last" } do
      assert.same({ { id } }, ids(text))
      if tostring(tonumber(text)) == text then assert.same({ { id } }, ids(tonumber(text))) end -- where Lua has integers
    end
    assert.same({ { "even" }, { "odd" } }, ids { "9007199254740993", 2 ^ 53 })
    assert.same({}, ids "9007199254740994")
  end)

  it("has the measures asked for, and no others", function()
    local r = filled({ measures = { "total_cost", "tokens_prompt_p99", "cache_discount" } },
      '{"total_cost":1,"cache_discount":-0.25,"tokens_prompt":5}', '{"total_cost":2,"cache_discount":0.5,"is_byok":true}')
    local exact = { total_cost = "3", cache_discount = "0.25" }
    assert.same({ total_cost = 3, cache_discount = 0.25, tokens_prompt_p99 = 5, exact = exact }, r:total())
    assert.equal(1, r:omitted().unpriced)
  end)

  it("knows all measures of the field table", function()
    local names = { "generations", "spend", "unpriced", "cancelled", "failed_attempts" }
    for _, field in ipairs(openrouter.fields) do
      if field.unit ~= "" and field.unit ~= "ms" then names[#names + 1] = field.name end
      for _, percent in ipairs { "_p50", "_p90", "_p95", "_p99" } do
        if field.unit == "ms" or field.unit == "tokens" then names[#names + 1] = field.name .. percent end
      end
    end
    assert.is_true(#names > 50)
    local row = filled({ measures = names }, '{"native_tokens_reasoning":4}'):total()
    assert.same({ 4, 4 }, { row.native_tokens_reasoning, row.native_tokens_reasoning_p90 })
  end)

  it("leaves a default measure out that is a dimension", function()
    local rows = filled({ by = "cancelled" }, '{"cancelled":true,"usage":1}'):rows()
    assert.same({ { true, 1, 1 } }, columns(rows, "cancelled", "generations", "spend"))
  end)

  it("counts one id once, as the record settled last", function()
    local path = file_of(
      '{"settled":"a","at":"2026-11-20T10:00:00.001Z","answer":{"data":{"id":"a","model":"new","usage":2}}}',
      '{"settled":"a","at":"2026-11-20T10:00:00.000Z","answer":{"data":{"id":"a","model":"old","usage":1}}}')
    local r = report.new { by = "model" }
    assert.equal(2, r:add_file(path))
    assert.equal(2, r:add_file(path))
    r:add(record '{"id":"a","model":"older","usage":4}')
    assert.same({ { "new", 1, 2 } }, columns(r:rows(), "model", "generations", "spend"))
    assert.same({ 4, 1 }, { r:omitted().duplicates, r:omitted().conflicts })
  end)

  it("says which lines it counts", function()
    local function settled(id, second, model)
      return ('{"settled":"%s","at":"2026-11-20T10:00:0%d.000Z","answer":{"data":{"id":"%s","model":"%s"}}}'):format(id, second,
        id, model)
    end
    local lines = { settled("a", 1, "m"), settled("a", 2, "m"), settled("b", 1, "m"), settled("b", 2, "other"), '{"model":"m"}',
      '{"model":"other"}', '{"failed":"c","error":{}}', settled("c", 1, "m"), '{"pending":"d","open":true }', "x", "" }
    local counted = {}
    for _, add in ipairs {
      function(r) assert(r:add_file(file_of(unpack(lines)))) end,
      -- where it keeps no more than the places of lines
      function(r) assert(r:add_file(file_of(table.concat(lines, "\n"), (" "):rep(1e5)))) end,
      function(r) for _, line in ipairs(lines) do r:add(openrouter.decode(line) or record "{}") end end,
    } do
      local r = report.new { by = "model", where = { model = "m" } }
      add(r)
      counted[#counted + 1] = {}
      for i, line in ipairs(lines) do if r:is_counted(line) then table.insert(counted[#counted], i) end end
    end
    local which = { 2, 5, 8 } -- of b the one that counts is of another model
    assert.same({ which, which, which }, counted)
    assert.is_false(report.new():is_counted(settled("a", 1, "m"))) -- it was not added
  end)

  it("reads what a ledger and other files hold, and names what it skips", function()
    local path = file_of('{"settled":"a","at":"2026-11-20T10:00:00.000Z","answer":{"data":{"id":"a","usage":1}}}', "",
      '{"data":{"id":"b","usage":2}}\r', '{"id":"c"}', '{"failed":"d","at":"2026-11-20T10:00:00.000Z","error":{"kind":"server"}}',
      '{"pending":"e","at":"2026-11-20T10:00:00.000Z"}', '{"note":"a"}', '{"error":{"code":401,"message":"no"}}', "plain text",
      '{"level":"info"}', '{"id":"f","usage":')
    local r = report.new()
    assert.equal(3, r:add_file(path))
    local omitted = r:omitted()
    assert.same({
      { file = path, line = 8, reason = "an API error, no record" },
      { file = path, line = 9, reason = "not a JSON object: a value must stand here, at byte 1" },
      { file = path, line = 10, reason = "a JSON object, but no generation record" },
      { file = path, line = 11, reason = "torn: the file ends within this line" },
    }, omitted.lines)
    omitted.lines = nil
    assert.same({ pending = 1, failed = 1, unpriced = 1, skipped = 4, duplicates = 0, conflicts = 0,
      filtered = 0, undated = 0, changed = 0, instant_unknown = 1, exact = {} }, omitted)
    assert.same({ { 3, 3 } }, columns(r:rows(), "generations", "spend"))
  end)

  it("counts a last line without an end when it is whole", function()
    assert.equal(2, report.new():add_file(file_of('{"id":"a"}', '{"id":"b"}')))
  end)

  it("names ten skipped lines and counts all", function()
    local lines = {}
    for i = 1, 25 do lines[i] = "x" .. i end
    local r = report.new()
    assert.equal(0, r:add_file(file_of(unpack(lines))))
    local omitted = r:omitted()
    assert.same({ 25, 10, 10 }, { omitted.skipped, #omitted.lines, omitted.lines[10].line })
    omitted.lines[1] = nil
    assert.equal(10, #r:omitted().lines)
  end)

  it("says which file cannot be read", function()
    local count, err = report.new():add_file "/no/such/file"
    assert.is_nil(count)
    assert.same({ "io", "/no/such/file: No such file or directory" }, { err.kind, err.message })
    local directory = shell.directory()
    count, err = report.new():add_file(directory)
    assert.is_nil(count)
    assert.equal("io", err.kind)
    assert.matches(directory, err.message, 1, true)
  end)

  it("counts a record that cannot be added as skipped", function()
    local r = filled(nil, '{"usage":1}')
    local tally = r.tally
    r.tally = { add = function() return nil, "not enough memory" end }
    local ok, err = r:add(record '{"usage":1}')
    assert.is_nil(ok)
    assert.same({ "too_large", "not enough memory" }, { err.kind, err.message })
    r.tally = tally
    assert.same({ 1, { { reason = err.message } } }, { r:omitted().skipped, r:omitted().lines })
  end)

  it("tells who charged what, what failed attempts took, when the first and last were made, and distinct requests", function()
    local r = filled({ by = "model", tz = "Europe/Berlin", measures = "spend,spend_openrouter,spend_upstream,charged,"
      .. "byok,requests,failed_attempts_latency,first,last" },
      '{"id":"1","model":"a","total_cost":0.1,"created_at":"2026-07-01T10:00:00Z","request_id":"x"}',
      '{"id":"2","model":"a","total_cost":0.2,"is_byok":true,"upstream_inference_cost":0.7,"request_id":"x",'
        .. '"created_at":"2026-12-01T10:00:00.5Z","provider_responses":[{"status":500,"latency":12.5},{"status":200,"latency":9},'
        .. '{"status":null,"latency":2}]}',
      '{"id":"3","model":"a","total_cost":0.4,"is_byok":true}',
      '{"id":"4","model":"b"}')
    local a, b = r:rows()[1], r:rows()[2]
    assert.same({ "1", "0.3", "0.7", "0.7" },
      { a.exact.spend, a.exact.spend_openrouter, a.exact.spend_upstream, a.exact.charged })
    assert.same({ 2, 2, 14.5 }, { a.byok, a.requests, a.failed_attempts_latency })
    assert.same({ "2026-07-01T12:00:00+02:00", "2026-12-01T11:00:00.500+01:00" }, { a.first, a.last })
    assert.same({ exact = {}, model = "b", byok = 0, requests = 1 }, b)
    assert.equal(3, r:total().requests)
    local period = r:view().period
    assert.same({ tz = "Europe/Berlin", first = a.first, last = a.last, today = period.today }, period)
  end)

  it("has no first or last time that cannot be written with a year of four digits", function()
    local made, early, late = '{"created_at":"2026-06-01T10:00:00Z"}', '{"created_at":"0000-01-01T00:00:00+23:00"}',
      '{"created_at":"9999-12-31T23:59:59-05:00"}'
    local function times(...)
      local r = filled({ measures = "first,last" }, ...)
      local period, total = r:view().period, r:total()
      assert.same({ total.first, total.last }, { period.first, period.last })
      return { period.first or "nil", period.last or "nil" }, r:render "text", r:render "markdown", r:render "html"
    end
    local found, text, markdown, page = times(made, early)
    assert.same({ "nil", "2026-06-01T10:00:00Z" }, found)
    assert.matches("\nPeriod: records up to 2026-06-01T10:00:00Z, zone UTC.\n", text, 1, true)
    assert.matches("Period: records up to 2026-06-01T10:00:00Z, zone UTC.", markdown:gsub("&#(%d+);", string.char), 1, true)
    assert.matches("<p>Up to <time>2026-06-01</time>. Time zone: UTC.", page, 1, true)
    found, text, markdown, page = times(made, late)
    assert.same({ "2026-06-01T10:00:00Z", "nil" }, found)
    assert.matches("\nPeriod: records from 2026-06-01T10:00:00Z on, zone UTC.\n", text, 1, true)
    assert.matches("Period: records from 2026-06-01T10:00:00Z on, zone UTC.", markdown:gsub("&#(%d+);", string.char), 1, true)
    assert.matches("<p>From <time>2026-06-01</time> on. Time zone: UTC.", page, 1, true)
    found, text, markdown, page = times(early, late)
    assert.same({ "nil", "nil" }, found)
    assert.is_nil((text .. markdown):find "Period")
    assert.matches("<p>No dated records. Time zone: UTC.", page, 1, true)
  end)

  it("has the first hours, days, weeks and months of four digits, and the last, in any format and zone", function()
    for _, tz in ipairs { "UTC", "Asia/Tokyo", "America/New_York" } do
      for _, by in ipairs { "hour", "day", "week", "month" } do
        for _, at in ipairs { "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-27T00:00:00Z", "9999-12-31T23:59:59Z" } do
          local r = filled({ by = by, tz = tz, page = true }, ('{"created_at":"%s","usage":1}'):format(at))
          for _, format in ipairs(report.formats) do
            local text = r:render(format)
            assert.is_truthy(format == "html" or text:find(r:rows()[1][by], 1, true), text)
          end
        end
      end
    end
    local text = filled({ by = "week", measures = "spend" }, '{"created_at":"9999-12-29T10:00:00Z","usage":1}'):render "text"
    assert.matches("9999-W52 (on 9999-12-29)", (text:gsub("%s+", " ")), 1, true)
  end)

  it("says when the dearest were made as clocks of the zone show it", function()
    local function made(tz, ...)
      local out = {}
      for i, one in ipairs(filled({ page = true, tz = tz }, ...):view().page.dearest) do out[i] = one.made or "nil" end
      return out
    end
    local lines = { '{"total_cost":5,"created_at":"2026-10-24T22:30:00.5Z"}',
      '{"total_cost":4,"created_at":"2026-10-25T03:00:00+02:00"}', '{"total_cost":3,"created_at":"yesterday"}',
      '{"total_cost":2}', '{"total_cost":1,"created_at":"1969-12-31T23:59:59Z"}' }
    assert.same({ "2026-10-25 00:30:00", "2026-10-25 02:00:00", "nil", "nil", "1970-01-01 00:59:59" },
      made("Europe/Berlin", unpack(lines)))
    assert.same({ "2026-10-24 22:30:00", "2026-10-25 01:00:00", "nil", "nil", "nil" },
      made("UTC", unpack(lines)))
  end)

  it("forgets the first, the last and the dearest when another record of their id counts", function()
    local r = report.new { measures = "first,last", page = true }
    for day = 1, 70 do
      r:add(record(('{"settled":"%d","at":"2026-01-01T00:00:00Z","answer":{"data":{"id":"%d","total_cost":%d,'
        .. '"created_at":"2026-02-01T00:%02d:00Z"}}}'):format(day, day, day, day % 60)))
    end
    assert.equal("2026-02-01T00:00:00Z", r:total().first) -- of 60
    for _, day in ipairs { 60, 70, 69, 1 } do
      r:add(record(('{"settled":"%d","at":"2026-01-02T00:00:00Z","answer":{"data":{"id":"%d","total_cost":0,'
        .. '"created_at":"2026-02-01T00:30:00Z"}}}'):format(day, day)))
    end
    assert.same({ first = "2026-02-01T00:01:00Z", last = "2026-02-01T00:59:00Z", exact = {} }, r:total())
    local dearest = {}
    for i, one in ipairs(r:view().page.dearest) do dearest[i] = one.exact.spend end
    assert.equal("68 67 66 65 64 63 62 61 59 58", table.concat(dearest, " "))
    for day = 2, 64 do -- so that those which there was no room for come up
      r:add(record(('{"settled":"%d","at":"2026-01-03T00:00:00Z","answer":{"data":{"id":"%d","total_cost":0.%02d}}}'):format(
        day, day, day)))
    end
    dearest = {}
    for i, one in ipairs(r:view().page.dearest) do dearest[i] = one.exact.spend end
    assert.equal("68 67 66 65 0.64 0.63 0.62 0.61 0.6 0.59", table.concat(dearest, " "))
  end)

  it("has on its page the same as reports of their own", function()
    local lines, measures = {}, {}
    for i = 1, 40 do
      lines[i] = ('{"id":"%d","model":"m%d","provider_name":"p%d","total_cost":0.%d,"created_at":"2026-11-%02dT10:00:00Z",'
        .. '"external_user":"u","latency":%d,"native_tokens_prompt":%d,"provider_responses":[{"provider_name":"q%d","status":%d,'
        .. '"latency":5}]}'):format(i, i % 3, i % 4, i, 1 + i % 5, i, i, i % 2, i % 5 == 0 and 500 or 200)
    end
    local page = filled({ by = "external_user", page = true }, unpack(lines)):view().page
    for name in pairs(page.total) do
      if name ~= "exact" then measures[#measures + 1] = name end
    end
    for set, by in pairs { days = "day", models = "model", providers = "provider_name" } do
      local r = filled({ by = by, measures = measures }, unpack(lines))
      assert.same(r:rows(), page[set])
      assert.same(r:total(), page.total)
    end
    assert.same({
      { provider_name = "q0", attempts = 20, failed_attempts = 4, failed_attempts_latency = 20 },
      { provider_name = "q1", attempts = 20, failed_attempts = 4, failed_attempts_latency = 20 },
    }, page.health)
    assert.equal(10, #page.dearest)
    assert.same({
      id = "9", created_at = "2026-11-05T10:00:00Z", made = "2026-11-05 10:00:00", model = "m0",
      provider_name = "p1", user = "u", native_tokens_prompt = 9, spend = 0.9, exact = { spend = "0.9" },
    }, page.dearest[1])
    local count = 0
    for _, bucket in ipairs(page.latency) do
      assert.is_true(bucket.from < bucket.to)
      count = count + bucket.count
    end
    assert.equal(40, count)
  end)

  it("tells what open ids cost according to the responses", function()
    local directory = shell.directory()
    local path = shell.write(directory .. "/ledger.jsonl", table.concat({
      '{"pending":"gen-1","at":"2026-11-01T00:00:00Z"}',
      '{"note":"gen-1","at":"2026-11-01T00:00:01Z","instant":{"cost":0.25}}',
      '{"note":"gen-2","at":"2026-11-01T00:00:01Z","instant":{"cost":1e-9}}',
      '{"note":"gen-3","at":"2026-11-01T00:00:01Z","instant":{"cost":5}}', '{"failed":"gen-3","at":"2026-11-01T00:00:02Z"}',
      '{"pending":"gen-4","at":"2026-11-01T00:00:00Z"}', '' }, "\n"))
    local r = report.new()
    assert.equal(0, r:add_file(path))
    local omitted = r:omitted()
    assert.same({ 3, 1, 1, 0.250000001, "0.250000001" }, { omitted.pending, omitted.failed, omitted.instant_unknown,
      omitted.instant_cost, omitted.exact.instant_cost })
    assert.same({ instant_cost = nil }, report.new():omitted().exact)
  end)

  it("looks into no directory of a directory, whose name may lead to it again", function()
    local directory = shell.directory()
    shell.write(directory .. "/ledger.jsonl", '{"id":"a"}\n')
    assert.equal(0, (shell.run(("cd %s; ln -s . ledger.1.jsonl; ln -s . ledger.2.jsonl"):format(directory))))
    local status, out, err = shell.run("timeout 20 " .. shell.cost("report " .. directory))
    assert.same({ 1, "" }, { status, out })
    assert.matches("ledger%.1%.jsonl: Is a directory\n$", err)
  end)

  it("says how far it has read, and takes a number of threads", function()
    local path = shell.write(shell.directory() .. "/ledger.jsonl", ('{"model":"a","usage":1}\n'):rep(10000))
    local seen = {}
    local records = report.new():add_file(path, { threads = 3, progress = function(done, size)
      seen[#seen + 1] = ("%d/%d"):format(done, size)
    end })
    assert.equal(10000, records)
    assert.equal("240000/240000", seen[#seen])
    assert.has_error(function() report.new { page = 1 } end, "page must be a boolean, not a number")
  end)

  it("reads by as many threads as there are processors", function()
    local processors, asked_for = core.processors, {}
    finally(function() core.processors = processors end)
    function core.processors() return 7 end
    local r = report.new()
    r.tally = { read = function(_, path, threads)
      asked_for[#asked_for + 1] = ("%s %d"):format(path, threads)
      return nil, "not today"
    end }
    r:add_file "a"
    r:add_file("b", { threads = 2 })
    assert.same({ "a 7", "b 2" }, asked_for)
  end)

  it("passes over files that are gone before they are read, as those are rotated that come up elsewhere", function()
    local directory = shell.directory()
    assert.equal(0, (shell.run(("mkdir %s/pending && ln -s gone %s/ledger.jsonl.1 && ln -s gone %s/pending/1-2.jsonl"):format(
      directory, directory, directory))))
    shell.write(directory .. "/ledger.jsonl", '{"id":"a","usage":1}\n')
    shell.write(directory .. "/pending/2-3.jsonl", '{"pending":"b","open":true ,"at":"2026-11-20T10:00:00.000Z"}\n')
    local r = report.new()
    assert.same({ 1 }, { r:add_directory(directory) })
    assert.same({ 1, 1, 0 }, { r:total().generations, r:omitted().pending, r:omitted().skipped })
    local count, err = r:add_file(directory .. "/ledger.jsonl.1") -- which somebody named
    assert.is_nil(count)
    assert.equal("io", err.kind)
  end)

  it("is of what it was asked for, whatever becomes of the table that said so", function()
    local options = { tz = "UTC", since = "2026-11-01" }
    local r = report.new(options)
    options.tz, options.since, options["until"], options.page = "Europe/Berlin", "2025", "2025", true
    local view = r:view()
    assert.same({ "UTC", "2026-11-01" }, { view.period.tz, view.period.since })
    assert.is_nil(view.period["until"])
    assert.is_nil(view.page)
  end)

  it("is of use after an error in what it told how far it has read", function()
    local path = shell.write(shell.directory() .. "/long.jsonl", ('{"usage":1,"model":"%s"}\n'):format(("m"):rep(9975)):rep(1700))
    local r = report.new()
    local problem = {}
    local ok, raised = pcall(r.add_file, r, path, { threads = 1, progress = function(done)
      if done > 0 then error(problem) end
    end })
    assert.is_false(ok)
    assert.equal(problem, raised)
    local before = r:total().generations
    assert.is_true(before < 1700)
    assert.equal(1700, r:add_file(path))
    assert.equal(before + 1700, r:total().generations)
  end)

  describe("options", function()
    local function refused(message, options)
      assert.same({ nil, message }, { report.check(options) })
      local ok, raised = pcall(function() report.new(options) end)
      assert.is_false(ok)
      assert.matches("report_spec.lua:%d+: ", raised) -- the caller's line
      assert.equal(message, (raised:gsub("^.-:%d+: ", "")))
    end

    it("that are unknown raise, with the near name", function()
      local dimensions = "; there are model, provider_name, external_user and other members of a record; "
        .. "hour, day, week, month; context.<name>"
      local measures = "; there are generations, spend, native_tokens_prompt, latency_p95 and more; docs/reports.md "
        .. "and the manual page list them"
      refused("unknown dimension 'modle'; did you mean 'model'?", { by = "modle" })
      refused("unknown dimension 'weeks'; did you mean 'week'?", { by = { "weeks" } })
      refused("unknown dimension 'fortnight'" .. dimensions, { by = "fortnight" })
      refused("unknown dimension 'context.'; did you mean 'context.<name>'?", { by = "context." })
      refused("unknown dimension 'provider_responses'" .. dimensions, { by = "provider_responses" })
      refused("unknown dimension ''" .. dimensions, { by = "model,,day" })
      refused("unknown measure 'spent'; did you mean 'spend'?", { measures = "spent" })
      refused("unknown measure 'latency'; did you mean 'latency_p50'?", { measures = "latency" })
      refused("unknown measure 'model\\x0A'" .. measures, { measures = { "model\n" } })
      refused("unknown option 'mesures'; did you mean 'measures'?", { mesures = {} })
      refused("unknown option 'sinec'; did you mean 'since'?", { sinec = "2026-11-01" })
      refused("unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?", { tz = "Europe/Berln" })
      refused("unknown time zone 'berlin'; did you mean 'Europe/Berlin'?", { tz = "berlin" })
      refused("unknown time zone 'Germany/Berlin'; did you mean 'Europe/Berlin'?", { tz = "Germany/Berlin" })
      refused("unknown time zone 'CEST'; zones have names such as Europe/Berlin or UTC", { tz = "CEST" })
      refused("unknown time zone '/etc/localtime'; zones have names such as Europe/Berlin or UTC", { tz = "/etc/localtime" })
      refused("since must be a string, not a number", { since = 7 })
      refused("since '2026-11-02' is not before until '2026-11-01'", { since = "2026-11-02", ["until"] = "2026-11-01" })
      refused("where: unknown dimension 'modle'; did you mean 'model'?", { where = { modle = "a" } })
      refused("where: the value of 'day' is like '2026-11-01', not '1.11.'", { where = { day = { "2026-11-02", "1.11." } } })
      refused("where: the value of 'month' is like '2026-11', not '11'", { where = { month = 11 } })
      refused("where: the value of 'hour' is like '2026-11-01 14:00+01:00', not '14'", { where = { hour = "14" } })
      for name, values in pairs {
        day = { "2026-11-99", "2026-02-29", "2026-00-01" }, month = { "2026-13", "2026-00" },
        week = { "2026-W54", "2025-W53", "1969-W53", "2026-W00" },
        hour = { "2026-11-01 25:00+01:00", "2026-11-31 14:00+01:00", "2026-11-01 14:00+99:00" },
      } do
        for _, value in ipairs(values) do
          local fine, why = report.check { where = { [name] = value } }
          assert.is_nil(fine, value)
          assert.is_truthy(why:find(("not '%s'"):format(value), 1, true), why)
        end
      end
      refused("where: the value of 'is_byok' is true, false or unknown, not 'yes'", { where = { is_byok = { "true", "yes" } } })
      refused("where: the value of 'streamed' is true, false or unknown, not '1'", { where = { streamed = 1 } })
      refused("where: the value of 'app_id' is a whole number or unknown, not '12x'", { where = { app_id = { 1, "12x" } } })
      refused("where: the value of 'app_id' is a whole number or unknown, not '1.5'", { where = { app_id = 1.5 } })
      refused("where: the value of 'app_id' is a whole number or unknown, not 'true'", { where = { app_id = true } })
      refused("where: the value of 'latency' is a number or unknown, not '1e'", { where = { latency = "1e" } })
      refused("where: the value of 'latency' is a number or unknown, not 'inf'", { where = { latency = math.huge } })
      refused("tz must be the name of a zone, not a boolean", { tz = false })
      refused("unknown time zone 'utc'; did you mean 'UTC'?", { tz = "utc" })
      refused("'generations' is no dimension but one of the measures", { by = "model,generations" })
      refused("where: 'spend' is no dimension but one of the measures", { where = { spend = 1 } })
      refused("'model' is no measure but one of the dimensions (by)", { measures = "model" })
      refused("'day' is no measure but one of the dimensions (by)", { measures = "day" })
    end)

    it("of the wrong type raise", function()
      refused("options must be a table, not a string", "model")
      refused("by must be a list of names or a string, not a number", { by = 7 })
      refused("by must be a list without gaps, and has 'model'", { by = { model = true } })
      refused("by must be a list without gaps, and has '3'", { by = { [3] = "model" } })
      refused("measures must be a list without gaps, and has '0.5'", { measures = { "spend", [0.5] = "generations" } })
      refused("by: a name must be a string, not a number", { by = { 7 } })
      refused("by: 'model' is there twice", { by = "model, model" })
      refused("where must be a table by the names of dimensions, not a string", { where = "model=a" })
      refused("where must be a table by the names of dimensions", { where = { "model=a" } })
      refused("where: 'model' has no value", { where = { model = {} } })
      refused("where: the values of 'model' must be a list without gaps, which has 'a'", { where = { model = { 1, a = 2 } } })
      refused("where: the values of 'model' must be a list without gaps, which has '2'", { where = { model = { [2] = "a" } } })
      refused("where: a value of 'model' must be a string, number or boolean, not a table", { where = { model = { {} } } })
      local where, values = {}, {}
      for i = 1, 17 do where["context." .. i] = 1 end
      for i = 1, 1001 do values[i] = "x" .. i end
      refused("where: 17 dimensions, 16 at most", { where = where })
      refused("where: 1001 values, 1000 at most", { where = { model = values } })
      refused("'cancelled' cannot be a dimension and a measure of the same report", { by = "cancelled", measures = "cancelled" })
      local many = {}
      for i = 1, 17 do many[i] = "context." .. i end
      refused("by: 17 dimensions, 16 at most", { by = many })
    end)

    it("that are fine pass", function()
      local fine = {
        { where = { day = { "2028-02-29", "1969-12-31", "unknown" }, week = { "2026-W53", "1969-W22", "1970-W53" },
          month = "2026-12",
          hour = { "2026-11-01 23:00-04:30", "2026-11-01 00:00+00:00" }, is_byok = { true, "false", "unknown" } } },
        { where = { app_id = { "12", 7, "1e3", "unknown" }, latency = { "1.5", -2, "unknown" }, ["context.x"] = "12x" } },
        {}, { by = "day" }, { by = { "context.a b", "model" }, tz = "UTC" },
        { by = { "hour", "week", "month" }, tz = "America/New_York" }, { measures = {} }, { by = " model , day " },
      }
      local by, where = {}, {} -- as many as csrc/tally.h takes
      for i = 1, 16 do by[i], where["context." .. i] = "context." .. i, "x" end
      where["context.1"] = {}
      for i = 1, 1000 - 15 do where["context.1"][i] = "x" .. i end
      fine[#fine + 1] = { by = by, where = where }
      for _, options in ipairs(fine) do
        assert.is_true(report.check(options))
        report.new(options)
      end
      assert.is_true(report.check())
    end)
  end)

  it("is of no use in the midst of a file, and says so in the caller's line", function()
    local path = file_of(('{"model":"m","usage":1}\n'):rep(100000))
    local arguments = { add = record "{}", add_file = path, add_directory = path, is_counted = "{}", render = "text" }
    for _, method in ipairs { "add", "add_file", "add_directory", "is_counted", "rows", "total", "omitted", "view", "render" } do
      local r = report.new()
      local ok, raised = pcall(r.add_file, r, path, { progress = function()
        local result = r[method](r, arguments[method])
        return result
      end })
      assert.is_false(ok)
      assert.matches("report_spec.lua:%d+: a file is being read into this report: use it when that is done$", raised)
      assert.equal(1, #r:rows()) -- and of use afterwards
    end
  end)

  it("raises for what is no record and for a format it does not know", function()
    local r = report.new()
    assert.has_error(function() r:add "gen-1" end, "add: a generation record expected, got a string")
    assert.has_error(function() r:render "jsno" end, "unknown format 'jsno'; did you mean 'json'?")
    assert.has_error(function() r:render() end, "unknown format 'nil'")
  end)

  it("says what is wrong with arguments, and in which line of the caller's", function()
    local r = report.new()
    local function wrong(message, method, ...)
      local arguments, count = { ... }, select("#", ...)
      local ok, raised = pcall(function()
        local result = r[method](r, unpack(arguments, 1, count))
        return result
      end)
      assert.is_false(ok)
      assert.equal(message, (raised:match "report_spec.lua:%d+: (.*)$"), raised)
    end
    wrong("add: a generation record expected, got a file", "add", io.stdout)
    wrong("add: a generation record expected, got a userdata", "add", r.tally)
    wrong("add: a generation record expected, got a nil", "add")
    wrong("is_counted: line must be a string, not a nil", "is_counted", nil)
    for _, method in ipairs { "add_file", "add_directory" } do
      wrong(method .. ": path must be a string, not a nil", method, nil)
      wrong(method .. ": path must be a string, not a table", method, {})
      wrong(method .. ": a path must not have a NUL byte in it: x\\x00y", method, "x\0y")
      wrong(method .. ": options must be a table, not a number", method, "x", 1)
      wrong(method .. ": options must be a table, not a boolean", method, "x", false)
      wrong(method .. ": unknown option 'thread'; did you mean 'threads'?", method, "x", { thread = 1 })
      wrong(method .. ": option 'progress' must be a function, not a number", method, "x", { progress = 1 })
      wrong(method .. ": option 'threads' must be a number, not a string", method, "x", { threads = "2" })
      wrong(method .. ": option 'threads' must be from 1 to 64", method, "x", { threads = 0 })
      wrong(method .. ": option 'threads' must be from 1 to 64", method, "x", { threads = 65 })
      wrong(method .. ": option 'threads' must be a whole number", method, "x", { threads = 1.5 })
    end
    for _, format in ipairs(report.formats) do
      wrong("render: unknown option 'widht'; did you mean 'width'?", "render", format, { widht = 80 })
      wrong("render: unknown option 'non\\x0Asense'", "render", format, { ["non\nsense"] = 1 })
      wrong("render: options must be a table, not a number", "render", format, 5)
      wrong("render: options must be a table, not a boolean", "render", format, false)
      wrong("render: option 'width' must be a number, not a string", "render", format, { width = "80" })
      wrong("render: option 'width' must not be negative or infinite", "render", format, { width = -5 })
      wrong("render: option 'width' must not be negative or infinite", "render", format, { width = 0 / 0 })
      wrong("render: option 'width' must be from 1 to 1000000", "render", format, { width = 0 })
      wrong("render: option 'width' must be a whole number", "render", format, { width = 80.5 })
      wrong("render: option 'color' must be a boolean, not a string", "render", format, { color = "no" })
      assert.is_string(r:render(format, { width = 80, color = false }))
    end
  end)
end)

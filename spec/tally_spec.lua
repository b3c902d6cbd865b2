local core = require "openrouter.core"
local cjson = require "cjson"
local generation = require "openrouter.generation"
local openrouter = require "openrouter"
local period = require "openrouter.period"
local shell = require "spec.support.shell"
local zone = require "openrouter.zone"

local unpack = table.unpack or unpack

local MONEY = { "total_cost", "usage", "cache_discount", "upstream_inference_cost" }
local SUMS, SPREADS = {
  "spend", "spend_openrouter", "spend_upstream", "charged", "cancelled", "byok", "failed_attempts", "failed_attempts_latency",
  "requests", "first", "last",
}, {}
for _, field in ipairs(core.fields) do
  if field.unit == "USD" or field.unit == "tokens" or field.unit == "count" then SUMS[#SUMS + 1] = field.name end
  if field.unit == "ms" or field.unit == "tokens" then SPREADS[#SPREADS + 1] = field.name end
end

local function tally(by, sums, spreads)
  return core.tally { dimensions = by or {}, sums = sums or { "spend" }, spreads = spreads or {} }
end

local function add(t, ...)
  for _, line in ipairs { ... } do
    local what, why = t:add_line(line)
    if not what then error(why, 2) end
  end
  return t
end

local function settled(id, at, record, context)
  return ('{"settled":"%s","at":"%s",%s"answer":{"data":%s}}'):format(
    id, at, context and '"context":' .. context .. "," or "", record)
end

-- ---- a random ledger ------------------------------------------------------------------------------------------------

local function random_source(seed)
  return function(n) -- 0 … n - 1; the same on every Lua
    seed = seed * 16807 % 2147483647
    return math.floor(seed / 1024) % n
  end
end

local function one_of(random, ...)
  return (select(random(select("#", ...)) + 1, ...))
end

local function digits(random, n)
  local out = { tostring(1 + random(9)) }
  for i = 2, n do out[i] = tostring(random(10)) end
  return table.concat(out)
end

local function random_money(random)
  return one_of(random, "0", "null", '"0.5"', "0." .. digits(random, 6), "0.0000" .. digits(random, 17),
    digits(random, 2) .. "e-7", digits(random, 3) .. "." .. digits(random, 30), "0." .. ("0"):rep(26) .. "25",
    digits(random, 9) .. ".5E+0", "1." .. digits(random, 5) .. "e-12", "-0." .. digits(random, 4))
end

local function random_integer(random)
  return one_of(random, "0", "null", "10.0", "1.5e1", "1.5", '"7"', digits(random, 1), digits(random, 2), digits(random, 3),
    digits(random, 4), digits(random, 7), "-" .. digits(random, 2), "9223372036854775807")
end

local function random_ms(random)
  return one_of(random, "0", "null", "false", digits(random, 2), digits(random, 3), digits(random, 4), digits(random, 5),
    digits(random, 3) .. "." .. digits(random, 3), "0.00" .. digits(random, 3), "-5", digits(random, 3) .. "e3")
end

local function random_responses(random)
  local parts = {}
  for i = 1, random(4) do
    parts[i] = one_of(random, '{"status":200}', '{"status":204.0,"x":[]}', '{"status":429}', '{"status":null}', '{}',
      '{"status":"500"}', "null", '{"status":1.1}', '{"status":299.5}', "[500]",
      ('{"provider_name":"%s","status":%d,"latency":%s}'):format(one_of(random, "a", "b", "c\\u0041"),
        one_of(random, 200, 429, 503), random_ms(random)))
  end
  return one_of(random, "null", "[" .. table.concat(parts, ",") .. "]", '{"status":500}')
end

local function random_created_at(random)
  return one_of(random, '"2026-11-20T00:30:00+02:00"', '"2026-11-20T23:59:59.999Z"', '"2026-11-20T23:30:00.123456-01:30"',
    '"2024-02-29T12:00:00Z"', '"yesterday"', "null", "20261120")
end

local ZONES = {
  "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "Pacific/Apia",
  "America/St_Johns", "Antarctica/Troll",
}

-- Days around the change of clocks in one of them, at the ends of years and months among them.
local DAYS = {
  "2026-10-25", "2026-03-29", "2026-11-01", "2026-03-08", "2026-04-04", "2026-10-03", "1985-12-31", "2026-02-15", "2026-03-22",
  "2011-12-30", "2010-11-07", "2011-03-13", "2026-12-31", "2027-01-03", "2028-02-29",
}

local function random_change(random)
  local minute, second = one_of(random, 0, 29, 30, 59, random(60)), one_of(random, 0, 59, random(60))
  local offset = one_of(random, "Z", "Z", "Z", "+14:00", "-12:00", "+05:45")
  return ('"%sT%02d:%02d:%02d.%03d%s"'):format(DAYS[random(#DAYS) + 1], random(24), minute, second, random(1000), offset)
end

local function random_member(random, field, created_at)
  if field.unit == "USD" then return random_money(random) end
  if field.unit == "tokens" or field.unit == "count" then return random_integer(random) end
  if field.unit == "ms" then return random_ms(random) end
  if field.type == "boolean" then return one_of(random, "true", "false", "false", "null", "1") end
  if field.type == "array" then return random_responses(random) end
  if field.name == "created_at" then return created_at(random) end
  if field.type == "integer" then return one_of(random, "12", "12.0", "1.2e1", "null", '"12"', "-3") end
  return one_of(random, '"a/b"', '"a\\/b"', '"\\u0061/b"', '"ü€𝄞"', '"\\ud834\\udd1e"', '""', '"unknown"', "null", "7")
end

local function random_record(random, created_at, id)
  local members = {}
  if id then members[1] = '"id":"' .. id .. '"' end
  for _, field in ipairs(core.fields) do
    if field.name ~= "id" and random(8) > 0 then
      local colon, value = one_of(random, ":", " : "), random_member(random, field, created_at)
      members[#members + 1] = ('"%s"%s%s'):format(field.name, colon, value)
    end
  end
  return "{" .. table.concat(members, ",") .. "}"
end

local function random_context(random)
  return ('{"user":%s,"tries":%s}'):format(one_of(random, '"zoë"', '"ben"', "true", "null", "5", "5.0", "{}"),
    one_of(random, "1", "1.25", "12.5e-1", "true", '"1"'))
end

local function random_open(random, n)
  return ('{"%s":"gen-%d","open":true ,"at":"2026-11-%02dT00:00:00.%06dZ"%s}'):format(one_of(random, "pending", "note"),
    random(2000), 1 + n % 28, n, one_of(random, "", "", ',"instant":{"cost":0.00%s}', ',"instant":{"cost":null}',
    ',"instant":[0.5]', ',"instant":{"is_byok":false,"cost":0.3%s,"cost_details":{"upstream_inference_cost":0.3}}',
    ',"instant":{"cost_details":{"upstream_inference_cost":0.04%s},"cost":0.001,"is_byok":true}',
    ',"instant":{"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":null}}',
    ',"instant":{"cost":0.5,"is_byok":null}'):format(digits(random, 5)))
end

-- Every line of one id has its own time, so that which one counts needs no look at the text.
local function random_line(random, n, created_at)
  local id = "gen-" .. random(900)
  local kind = random(10)
  if kind == 0 then return ('{"failed":"gen-%d","error":{"kind":"server"}}'):format(random(2000)) end
  if kind == 1 then return random_open(random, n) end
  if kind == 2 then return random_record(random, created_at) end
  if kind == 3 then return ('{"data":%s}'):format(random_record(random, created_at, "bare-" .. n)) end
  local at = ("2026-11-%02dT%02d:%02d:%02d.%03d%s"):format(1 + n % 28, n % 24, n % 60, random(60), n % 1000,
    one_of(random, "Z", "+05:30", "-08:00"))
  return settled(id, at, random_record(random, created_at, one_of(random, id, id, id, nil)), random_context(random))
end

local function random_lines(count, seed, created_at)
  local random, lines = random_source(seed), {}
  for n = 1, count do lines[n] = random_line(random, n, created_at or random_created_at) end
  return lines
end

local function shuffled(lines, seed)
  local random, out = random_source(seed), {}
  for i, line in ipairs(lines) do out[i] = line end
  for i = #out, 2, -1 do
    local j = random(i) + 1
    out[i], out[j] = out[j], out[i]
  end
  return out
end

-- ---- reading a tally ------------------------------------------------------------------------------------------------

local function shown(value)
  if type(value) == "number" then return ("n:%.17g"):format(value) end
  if type(value) == "boolean" then return "b:" .. tostring(value) end
  return "s:" .. value
end

local function key_of(t, group)
  local parts = { t:key(group) }
  for i, value in ipairs(parts) do parts[i] = shown(value) end
  return table.concat(parts, "\0")
end

-- Everything a group has, under names that the model uses too.
local function read_group(t, group)
  local out = { generations = t:generations(group) }
  for i, name in ipairs(SUMS) do
    local values, sum, exact = t:sum(group, i)
    if name == "first" or name == "last" then exact = ("%.6f"):format(sum or 0) end
    out[name] = { values = values, sum = exact or ("%.17g"):format(sum) }
  end
  for i, name in ipairs(SPREADS) do
    local quantiles = {}
    for _, percent in ipairs { 1, 50, 90, 95, 99, 100 } do quantiles[percent] = t:quantile(group, i, percent) end
    out[name .. " spread"] = quantiles[50] and quantiles
  end
  return out
end

local function read_all(t, set)
  local groups, count, before = {}, t:groups(set or 1)
  for group = before + 1, before + count do
    if t:generations(group) > 0 then
      local key = key_of(t, group)
      assert(groups[key] == nil, "a key is there twice")
      groups[key] = read_group(t, group)
    end
  end
  local providers, dearest = {}, {}
  for _, p in ipairs(t:providers()) do
    providers[p.provider_name] = { p.attempts, p.failed_attempts, p.failed_attempts_latency }
  end
  for i, text in ipairs(t:dearest()) do dearest[i] = select(2, generation.spend(openrouter.decode(text))) end
  return { groups = groups, total = read_group(t, 0), counts = t:counts(), providers = providers, dearest = dearest }
end

-- A job is what the model takes: { by = { "day" }, tz = "Europe/Berlin" }.
local function tally_for(job)
  local of_tz = zone.open(job.tz or "UTC")
  local declaration = assert(period.read(job.since, job["until"], of_tz, 0))
  declaration.dimensions, declaration.sums, declaration.spreads = job.by, SUMS, SPREADS
  declaration.zone, declaration.where, declaration.more = of_tz or nil, job.where, job.more
  declaration.dearest, declaration.health = 10, true
  return core.tally(declaration)
end

local function full_tally(by, lines)
  return add(tally_for { by = by }, unpack(lines))
end

-- ---- the model ------------------------------------------------------------------------------------------------------

-- What the model has for each job.
local function model(path, jobs)
  local pipe = assert(io.popen(("python3 spec/support/tally_model.py %s %s"):format(path, shell.quote(cjson.encode(jobs)))))
  local text, tallies = pipe:read "*a", {}
  pipe:close()
  for chunk in text:gmatch "(.-)\n%-%-\n" do tallies[#tallies + 1] = assert((rawget(_G, "loadstring") or load)(chunk))() end
  return tallies
end

local function model_key(key)
  for i, part in ipairs(key) do
    if part:sub(1, 2) == "n:" then key[i] = shown(tonumber(part:sub(3))) end
  end
  return table.concat(key, "\0")
end

local function is_money(name)
  for _, money in ipairs(MONEY) do
    if name == money then return true end
  end
  return name == "charged" or name:find "^spend" ~= nil
end

local function compare_quantiles(name, expected, got)
  for percent, value in pairs(expected) do
    local exact = value == 0 or name:find "tokens" and value < 128
    local slack = exact and 0 or value / 128 * (1 + 1e-12)
    assert.is_true(math.abs(got[percent] - value) <= slack,
      ("%s p%d: %.17g, not %.17g"):format(name, percent, got[percent], value))
  end
end

local function compare_group(expected, got)
  assert.equal(expected.generations, got.generations)
  for _, name in ipairs(SUMS) do
    local sum = expected[name].sum
    if name == "first" or name == "last" then sum = ("%.6f"):format(tonumber(sum))
    elseif not is_money(name) then sum = ("%.17g"):format(tonumber(sum)) end
    assert.equal(expected[name].values, got[name].values, name)
    assert.equal(sum, got[name].sum, name)
  end
  for _, field in ipairs(SPREADS) do
    local name = field .. " spread"
    assert.equal(expected[name] == nil, not got[name], name)
    if expected[name] then compare_quantiles(name, expected[name], got[name]) end
  end
end

local function compare(expected, got)
  assert.same(expected.counts, got.counts)
  assert.same(expected.providers, got.providers)
  assert.same(expected.dearest, got.dearest)
  compare_group(expected.total, got.total)
  local count = 0
  for _, group in ipairs(expected.groups) do
    local key = model_key(group.key)
    assert.is_not_nil(got.groups[key], key)
    compare_group(group, got.groups[key])
    count = count + 1
  end
  for _ in pairs(got.groups) do count = count - 1 end
  assert.equal(0, count)
end

-- Returns what the tallies have, for a look at whether it says anything.
local function compare_with_model(lines, jobs)
  local path = shell.write(shell.directory() .. "/lines.jsonl", table.concat(lines, "\n") .. "\n")
  local expected, all = model(path, jobs), {}
  for i, job in ipairs(jobs) do
    all[i] = read_all(add(tally_for(job), unpack(lines)))
    compare(expected[i], all[i])
  end
  return all
end

describe("tally", function()
  after_each(shell.clean)

  it("agrees with a model in Python, cell by cell", function()
    local jobs = {
      { by = {} }, { by = { "model" } }, { by = { "day", "provider_name" } }, { by = { "context.user", "context.tries" } },
      { by = { "app_id", "streamed" } },
    }
    for _, got in ipairs(compare_with_model(random_lines(2000, 7), jobs)) do
      assert.is_true(got.total.generations > 700 and got.counts.conflicts > 100)
    end
  end)

  it("agrees with it about the hours, days, weeks and months of zones whose clocks are changed", function()
    local jobs = {}
    for _, tz in ipairs(ZONES) do
      for _, by in ipairs { { "hour" }, { "day" }, { "week" }, { "month", "context.user" } } do
        jobs[#jobs + 1] = { by = by, tz = tz }
      end
    end
    compare_with_model(random_lines(800, 13, random_change), jobs)
  end)

  local FILTERS = {
    { by = { "model" }, where = { { "model", "a/b", "ü€𝄞", 7 } } },
    { by = {}, where = { { "app_id", 12 }, { "streamed", false, "unknown" } } },
    { by = {}, where = { { "app_id", "unknown", "12" } } },
    { by = { "context.tries" }, where = { { "context.user", "zoë", true, 5 }, { "context.tries", 1.25, "1" } } },
    { by = { "hour" }, tz = "Europe/Berlin", where = { { "hour", "2026-10-25 02:00+02:00", "2026-10-25 03:00+01:00" } } },
    { by = { "day" }, tz = "Africa/Casablanca", where = { { "week", "2026-W08", "2026-W07" }, { "month", "2026-02" } } },
    { by = {}, tz = "Asia/Kathmandu", where = { { "day", "2026-10-25", "unknown" } } },
    { by = { "day" }, tz = "Europe/Berlin", since = "2026-10-25", ["until"] = "2026-11-01" },
    { by = { "hour" }, tz = "Australia/Lord_Howe", since = "2026-04-04T13:45", ["until"] = "2026-10-04" },
    { by = {}, tz = "America/New_York", since = "2026-11-01T01:30", ["until"] = "2026-11-01T01:59:00-05:00" },
    { by = { "hour" }, tz = "Europe/Berlin", since = "2026-03-29T02:30", ["until"] = "2026-03-29T12:00:00+00:00" },
    { by = { "day" }, tz = "Pacific/Apia", since = "2011-12-30", ["until"] = "2011-12-31" },
    { by = { "day" }, tz = "Pacific/Apia", since = "2011-12-30T12:00" },
    { by = { "hour" }, tz = "America/St_Johns", since = "2010-11-06T23:30", ["until"] = "2010-11-07" },
    { by = { "day" }, tz = "America/St_Johns", since = "2010-11-07", ["until"] = "2010-11-07" },
    { by = { "month" }, tz = "Antarctica/Troll", ["until"] = "2026-03-29" },
    { by = { "day" }, since = "2026-12-31", where = { { "context.user", "ben", "unknown" } } },
    { by = {}, since = "2026-10-25T00:00:00+00:00", ["until"] = "2026-10-25T08:00:00+00:00" },
    { by = { "model" }, where = { { "model", "nobody" } } },
  }

  it("agrees with it about filters", function()
    local lines = random_lines(1500, 17, random_change)
    for i, got in ipairs(compare_with_model(lines, FILTERS)) do
      assert.is_true(i == #FILTERS or got.total.generations > 0, "nothing counts with filter " .. i)
      assert.is_true(got.counts.filtered > 0)
      assert.is_true(got.counts.undated > 0 or not FILTERS[i].since)
    end
    for _, i in ipairs { 1, 4, 8 } do
      local once = read_all(add(tally_for(FILTERS[i]), unpack(lines)))
      assert.same(once, read_all(add(tally_for(FILTERS[i]), unpack(shuffled(lines, i)))))
    end
  end)

  it("gives the same whatever the order, and however often a line is there", function()
    local lines = random_lines(1500, 11)
    local once = read_all(full_tally({ "model", "context.user" }, lines))
    for seed = 1, 3 do
      assert.same(once, read_all(full_tally({ "model", "context.user" }, shuffled(lines, seed))))
    end
    local with_id = {}
    for _, line in ipairs(lines) do
      if line:find '"id"' or not line:find "^{\"[^sfpn]" then with_id[#with_id + 1] = line end
    end
    local single = read_all(full_tally({ "model" }, with_id))
    local doubled = {}
    for _, line in ipairs(with_id) do doubled[#doubled + 1], doubled[#doubled + 2] = line, line end
    local double = read_all(full_tally({ "model" }, shuffled(doubled, 5)))
    assert.equal(single.counts.conflicts, double.counts.conflicts)
    assert.is_true(double.counts.duplicates > single.counts.duplicates)
    single.counts, double.counts = nil, nil
    assert.same(single, double)
  end)

  it("has the same in further sets as in a tally of their own", function()
    local lines = random_lines(600, 23)
    local t = add(tally_for { by = { "model" }, more = { { "day", "context.user" }, {}, { "provider_name" } } }, unpack(lines))
    for set, by in ipairs { { "model" }, { "day", "context.user" }, {}, { "provider_name" } } do
      assert.same(read_all(full_tally(by, lines)), read_all(t, set))
    end
  end)

  describe("of files", function()
    -- Files of these lines, so long that several threads have work, with the lines spread over `count` of them.
    local function spread(lines, count, seed)
      local random, parts, paths = random_source(seed), {}, {}
      local directory = shell.directory()
      for i = 1, count do parts[i] = {} end
      for _, line in ipairs(shuffled(lines, seed)) do
        local part = parts[random(count) + 1]
        part[#part + 1] = line:gsub("^{", "{" .. (" "):rep(random(9000)), 1)
      end
      for i, part in ipairs(parts) do
        local text = table.concat(part, "\n") .. (#part > 0 and "\n" or "")
        paths[i] = shell.write(("%s/%d-%d.jsonl"):format(directory, seed, i), text)
      end
      return paths
    end

    local function read(t, path, threads)
      local reading = assert(t:read(path, threads))
      local more, why
      repeat more, why = reading:step() until not more
      return more == false, why, reading:result()
    end

    it("is the same for any split of the lines into files, in any order, by any number of threads", function()
      local lines = random_lines(2500, 29)
      local once = read_all(full_tally({ "model", "context.user" }, lines))
      for threads = 1, 3 do
        local t, records = tally_for { by = { "model", "context.user" } }, 0
        for _, path in ipairs(spread(lines, ({ 1, 2, 40 })[threads], threads)) do
          local ok, why, result = read(t, path, threads)
          assert.is_true(ok, why)
          records = records + result.records
          assert.equal(result.size, result.done)
        end
        assert.same(once, read_all(t))
        assert.equal(records, t:generations(0) + t:counts().duplicates)
      end
    end)

    it("is the same when files come one after the other with a look in between, and records and lines besides", function()
      local lines = random_lines(1200, 31)
      local once = read_all(full_tally({ "day" }, lines))
      local t = tally_for { by = { "day" } }
      for i, path in ipairs(spread(lines, 3, 5)) do
        assert.is_true(read(t, path, 2))
        assert.is_true(t:generations(0) > 100 * i)
      end
      assert.same(once, read_all(t))
      for _, line in ipairs(shuffled(lines, 3)) do assert(t:add_line(line)) end
      local again = read_all(t)
      assert.equal(once.counts.conflicts, again.counts.conflicts)
      assert.is_true(again.counts.duplicates > once.counts.duplicates)
      assert.is_true(again.total.generations > once.total.generations) -- records without an id count each time
    end)

    -- The whole file once more would not do: what has no id is in it.
    it("agrees with the model about files that are given twice", function()
      local lines = random_lines(1500, 37)
      local path = shell.write(shell.directory() .. "/lines.jsonl", table.concat(lines, "\n") .. "\n")
      local double = shell.write(shell.directory() .. "/double.jsonl", (table.concat(lines, "\n") .. "\n"):rep(2))
      local t = tally_for { by = { "model" } }
      assert.is_true(read(t, path, 2))
      assert.is_true(read(t, path, 1))
      compare(model(double, { { by = { "model" } } })[1], read_all(t))
    end)

    it("names the lines that are skipped by their number, also behind the first stretch of a file", function()
      local good = '{"id":"%d","usage":1,"model":"' .. ("m"):rep(1000) .. '"}'
      local lines = {}
      for i = 1, 12000 do lines[i] = good:format(i) end
      for i = 500, 11500, 500 do lines[i] = "line " .. i end
      lines[12001] = '{"id":"torn'
      local path = shell.write(shell.directory() .. "/long.jsonl", table.concat(lines, "\n"))
      for threads = 1, 4 do
        local ok, _, result = read(tally(), path, threads)
        assert.is_true(ok)
        assert.same({ 11977, 24, 10 }, { result.records, result.skipped, #result.notes })
        for i, note in ipairs(result.notes) do
          assert.same({ line = 500 * i, reason = "not a JSON object: a value must stand here, at byte 1" }, note)
        end
      end
      shell.write(path, table.concat({ lines[1], "", "\r", lines[12001] }, "\n"))
      local _, _, result = read(tally(), path, 2)
      assert.same({ { line = 4, reason = "torn: the file ends within this line" } }, result.notes)
    end)

    it("reads what is compressed through the program that unpacks it, and of what is damaged what is there", function()
      local lines = random_lines(400, 41)
      local once = read_all(full_tally({ "model" }, lines))
      for _, program in ipairs { "gzip", "xz", "zstd", "bzip2" } do
        local path = shell.write(shell.directory() .. "/lines", table.concat(lines, "\n") .. "\n")
        if shell.run("command -v " .. program) == 0 then
          assert.equal(0, (shell.run(("%s -c %s >%s.packed"):format(program, path, path))))
          local t = tally_for { by = { "model" } }
          assert.is_true(read(t, path .. ".packed", 2))
          assert.same(once, read_all(t))
          assert.equal(0, (shell.run(("head -c 9000 %s.packed >%s.cut"):format(path, path))))
          local ok, why, result = read(tally(), path .. ".cut", 2)
          assert.is_nil(why)
          assert.is_true(ok and result.records < 400 and result.skipped > 0)
          assert.equal("it cannot be unpacked, or not to the end: it is damaged or cut short",
            result.notes[#result.notes].reason)
        end
      end
    end)

    it("says that a program is missing, which is no missing file", function()
      local path = shell.write(shell.directory() .. "/packed", "\31\139 and so on")
      local script = [[
        local core = require "openrouter.core"
        print(core.tally { dimensions = {}, sums = {}, spreads = {} }:read(arg[1], 1))
        print(core.lines(arg[1]))
      ]]
      local lua = select(2, shell.run("command -v " .. (rawget(_G, "jit") and "luajit" or "lua5.4"))):match "%S+"
      local _, out = shell.run(("PATH=/nowhere %s %s %s"):format(lua, shell.write(shell.directory() .. "/it.lua", script), path))
      local why = "it is compressed, and the program that unpacks it (gzip, xz, zstd or bzip2) is not there\tnil\n"
      assert.equal(("nil\t%snil\t%s: %s"):format(why, path, why), out)
    end)

    -- Longer than any line may be, so that no line begins in many of the stretches that threads take.
    it("finds lines that end where a stretch ends, and passes over one that is longer than many", function()
      local stretch, line = 4 * 1024 * 1024, '{"id":"%06d","usage":1,"model":"%s"}\r\n'
      line = line .. (" "):rep(1022 - #line:format(0, "")) .. "\r\n"
      local lines = {}
      for i = 1, 2 * stretch / 1024 do lines[i] = line:format(i, "") end
      local long = ("x"):rep(stretch)
      local path = shell.directory() .. "/borders.jsonl"
      local file = assert(io.open(path, "wb"))
      file:write(table.concat(lines))
      for _ = 1, 17 do file:write(long) end
      file:write("\n", '{"id":"last","usage":1}')
      file:close()
      for threads = 1, 3 do
        local t = tally()
        local ok, _, result = read(t, path, threads)
        assert.is_true(ok)
        assert.same({ 8193, 1 }, { result.records, result.skipped })
        assert.same({ { line = 16385, reason = "longer than 64 MiB" } }, result.notes)
        assert.equal(8193, t:generations(0))
      end
    end)

    it("finds a record behind a byte order mark again", function()
      local bom, old = "\239\187\191", '{"id":"a","usage":1}\n'
      local text = bom .. old .. old .. bom .. old .. '{"id":"b","usage":1}\n' .. (" "):rep(99999) .. "\n"
      local t = tally()
      local ok, _, result = read(t, shell.write(shell.directory() .. "/bom.jsonl", text), 1)
      assert.is_true(ok)
      assert.same({ 4, 0 }, { result.records, result.skipped })
      local counts = t:counts()
      assert.same({ 2, 2, 0, 0 }, { t:generations(0), counts.duplicates, counts.conflicts, counts.changed })
    end)

    it("reads more files than a process may have open", function()
      local path = shell.write(shell.directory() .. "/long.jsonl", ('{"usage":1,"model":"%s"}\n'):format(("m"):rep(99)):rep(700))
      local script = [[
        local t = require "openrouter.core".tally { dimensions = {}, sums = {}, spreads = {} }
        for _ = 1, 120 do
          local reading = assert(t:read(arg[1], 2))
          repeat until not reading:step()
        end
        print(t:generations(0))
      ]]
      local command = ("ulimit -n 100; exec %s %s %s"):format(rawget(_G, "jit") and "luajit" or "lua5.4",
        shell.write(shell.directory() .. "/it.lua", script), path)
      -- without what this process has open, such as the sockets of clients that are garbage, of which there may be a hundred
      local alone = "python3 -c 'import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))' sh -c "
      local status, out, errors = shell.run(alone .. shell.quote(command))
      assert.same({ 0, "84000\n" }, { status, out }, errors)
    end)

    it("ends a reading once, and closes what it does not need any more", function()
      local path = shell.write(shell.directory() .. "/small.jsonl", '{"id":"a","usage":1}\n')
      local t = tally()
      local first = assert(t:read(path, 1))
      repeat until not first:step()
      assert.has_error(function() first:step() end)
      local second = assert(t:read(path, 1))
      first = first:result() and nil
      collectgarbage()
      collectgarbage()
      assert.has_error(function() t:counts() end) -- the second one is still under way
      repeat until not second:step()
      assert.same({ 1, 1 }, { t:generations(0), t:counts().duplicates })
      assert.same({ 1, 21 }, { second:result().records, second:result().done })
    end)

    it("says what cannot be read, and of files that were changed meanwhile how many records may count twice", function()
      assert.same({ nil, "No such file or directory", "missing" }, { tally():read("/does/not/exist", 1) })
      assert.same({ nil, "Is a directory", nil }, { tally():read("spec", 1) })
      local line = '{"id":"%d","usage":1,"model":"' .. ("m"):rep(100) .. '"}\n'
      local text = {}
      for i = 1, 2000 do text[i] = line:format(i % 1990) end
      local path = shell.write(shell.directory() .. "/changing.jsonl", table.concat(text))
      local t = tally()
      assert.is_true(read(t, path, 2))
      shell.write(path, "")
      assert.equal(10, t:counts().changed)
      assert.equal(2000, t:generations(0))
      add(t, '{"id":"1","usage":1}', '{"id":"of its own","usage":1}')
      assert.equal(11, t:counts().changed)
      assert.equal(2002, t:generations(0))
    end)

    it("takes back nothing that it never added, where other records have come to stand in their places", function()
      local function text(first, cost, letter)
        local lines = {}
        for i = 1, 2000 do
          lines[i] = ('{"id":"%d","usage":%d,"model":"%s"}\n'):format(first + i % 1998, cost, letter:rep(100))
        end
        return table.concat(lines)
      end
      local path = shell.write(shell.directory() .. "/rewritten.jsonl", text(1000, 1, "m"))
      local t = tally { "model" }
      assert.is_true(read(t, path, 1))
      shell.write(path, text(5000, 7, "n"))
      assert.same({ 2000, 2000, "2000" }, { t:sum(0, 1) })
      assert.same({ 2, 0 }, { t:counts().changed, t:counts().duplicates })
      for group = 2, t:groups() do assert.equal(0, t:generations(group)) end
    end)
  end)

  it("has groups that add up to the total", function()
    local t = full_tally({ "model", "day" }, random_lines(1000, 3))
    local generations, values = 0, {}
    local sum = tally({}, { "spend" })
    for group = 1, t:groups() do
      generations = generations + t:generations(group)
      for i in ipairs(SUMS) do values[i] = (values[i] or 0) + (t:sum(group, i)) end
      if t:sum(group, 1) > 0 then add(sum, ('{"usage":%s}'):format((select(3, t:sum(group, 1))))) end
    end
    assert.equal(t:generations(0), generations)
    for i in ipairs(SUMS) do assert.equal((t:sum(0, i)), values[i]) end
    assert.equal((select(3, t:sum(0, 1))), (select(3, sum:sum(0, 1))))
  end)

  describe("with one id several times", function()
    local old, new = "2026-11-20T10:00:00.000Z", "2026-11-20T10:00:00.001Z"

    local function both_ways(expected, by, ...)
      local lines = { ... }
      for seed = 1, 6 do
        local t = add(tally(by), unpack(shuffled(lines, seed)))
        local rows = {}
        for group = 1, t:groups() do
          if t:generations(group) > 0 then rows[#rows + 1] = key_of(t, group) .. "=" .. select(3, t:sum(group, 1)) end
        end
        table.sort(rows)
        assert.same(expected, { table.concat(rows, " "), t:counts().duplicates, t:counts().conflicts })
      end
    end

    it("counts the record settled last, and nothing of the others", function()
      both_ways({ "s:b=2", 1, 1 }, { "model" }, settled("g", old, '{"id":"g","model":"a","usage":1}'),
        settled("g", new, '{"id":"g","model":"b","usage":2}'))
      both_ways({ "s:a=2", 2, 1 }, { "model" }, settled("g", old, '{"id":"g","model":"a","usage":1}'),
        settled("g", new, '{"id":"g","model":"a","usage":2}'), settled("g", old, '{"id":"g","model":"a","usage":1}'))
    end)

    it("compares the time, not its spelling", function()
      both_ways({ "s:b=2", 1, 1 }, { "model" }, settled("g", "2026-11-20T11:00:00+02:00", '{"id":"g","model":"a","usage":1}'),
        settled("g", "2026-11-20T10:00:00Z", '{"id":"g","model":"b","usage":2}'))
    end)

    it("takes a record without a time for the oldest", function()
      both_ways({ "s:b=2", 1, 1 }, { "model" }, '{"id":"g","model":"a","usage":1}',
        settled("g", old, '{"id":"g","model":"b","usage":2}'))
      both_ways({ "s:b=2", 1, 1 }, { "model" }, settled("g", "soon", '{"id":"g","model":"a","usage":1}'),
        settled("g", old, '{"id":"g","model":"b","usage":2}'))
    end)

    it("takes the one with the greater SipHash-1-3 where the times are equal", function()
      local kept = {}
      for usage = 1, 8 do
        local lines = { settled("g", old, '{"id":"g","usage":0}'), settled("g", old, ('{"id":"g","usage":%d}'):format(usage)) }
        local one, other = add(tally(), lines[1], lines[2]), add(tally(), lines[2], lines[1])
        assert.equal((select(3, one:sum(0, 1))), (select(3, other:sum(0, 1))))
        kept[usage] = select(3, one:sum(0, 1))
      end
      assert.equal("00000078", table.concat(kept)) -- worked out with another implementation of the hash
    end)

    it("takes white space between tokens for nothing, and all else for a difference", function()
      both_ways({ "=1", 2, 0 }, {}, '{"id":"g","usage":1,"x":"a b"}', ' { "id" :\t"g" , "usage":1,"x":"a b"}\r',
        '{"data":{"id":"g","usage":1,"x":"a b"},"y":[]}')
      both_ways({ "=1", 1, 1 }, {}, '{"id":"g","usage":1,"x":"a b"}', '{"id":"g","usage":1,"x":"ab"}')
      both_ways({ "=1", 1, 1 }, {}, '{"id":"g","usage":1}', '{"id":"g","usage":1.0}')
    end)

    it("minds the context where groups come from it", function()
      both_ways({ "s:y=1", 1, 1 }, { "context.u" }, settled("g", old, '{"id":"g","usage":1}', '{"u":"x"}'),
        settled("g", new, '{"id":"g","usage":1}', '{"u":"y"}'))
      both_ways({ "=1", 1, 0 }, {}, settled("g", old, '{"id":"g","usage":1}', '{"u":"x"}'),
        settled("g", new, '{"id":"g","usage":1}', '{"u":"y"}'))
    end)

    it("filters the record that counts, whatever the others were", function()
      local function filtered(expected, ...)
        for seed = 1, 4 do
          local t = core.tally { dimensions = { "model" }, sums = { "spend" }, spreads = { "tokens_prompt" }, first_day = 20000,
            where = { { "model", "a" } } }
          add(t, unpack(shuffled({ ... }, seed)))
          local counts = t:counts()
          assert.same(expected, { t:generations(0), select(3, t:sum(0, 1)), t:quantile(0, 1, 50) or "-", counts.filtered,
            counts.undated, counts.duplicates, counts.conflicts, counts.failed })
        end
      end
      local function line(at, name, day, n)
        return settled("g", at, ('{"id":"g","model":"%s","created_at":%s,"usage":%d,"tokens_prompt":%d}'):format(name, day, n, n))
      end
      local inside, outside = '"2026-11-01T00:00:00Z"', '"2020-11-01T00:00:00Z"'
      filtered({ 0, "0", "-", 1, 0, 1, 1, 0 }, line(old, "a", inside, 1), line(new, "b", inside, 2))
      filtered({ 1, "2", 2, 0, 0, 1, 1, 0 }, line(old, "b", inside, 1), line(new, "a", inside, 2))
      filtered({ 0, "0", "-", 1, 0, 1, 1, 0 }, line(old, "a", inside, 1), line(new, "a", outside, 1))
      filtered({ 0, "0", "-", 0, 1, 1, 1, 0 }, line(old, "a", inside, 1), line(new, "a", "null", 1))
      filtered({ 1, "1", 1, 0, 0, 1, 1, 0 }, line(old, "a", "null", 1), line(new, "a", inside, 1))
      filtered({ 0, "0", "-", 1, 0, 1, 1, 0 }, line(old, "a", "null", 1), line(new, "b", "null", 1))
      filtered({ 0, "0", "-", 1, 0, 1, 0, 0 }, line(old, "b", inside, 1), line(new, "b", inside, 1))
      filtered({ 0, "0", "-", 1, 0, 0, 0, 0 }, line(old, "b", inside, 1), '{"failed":"g","error":{"kind":"server"}}')
    end)

    it("knows an id whose spelling has escapes, and takes it from the line where the record has none", function()
      both_ways({ "=1", 1, 1 }, {}, '{"id":"gen-1","usage":1}', '{"usage":1,"id":"\\u0067en-1"}')
      both_ways({ "=2", 1, 1 }, {}, '{"id":"gen-1","usage":1}', settled("gen-1", old, '{"usage":2}'))
      both_ways({ "=2", 1, 1 }, {}, settled("gen-1", old, '{"usage":1,"id":null}'), settled("gen-1", new, '{"usage":2,"id":""}'))
    end)

    it("counts records without an id each for itself", function()
      both_ways({ "=4", 0, 0 }, {}, '{"usage":1}', '{"usage":1}', '{"usage":1,"id":7}', '{"usage":1,"id":""}')
    end)
  end)

  it("counts failed and open ids only where nothing better is known", function()
    local lines = {
      '{"failed":"a","error":{"kind":"server"}}', '{"failed":"a"}', '{"failed":"b","error":{}}', '{"pending":"b"}',
      '{"pending":"c"}', '{"note":"c"}', '{"pending":"d"}',
      '{"pending":"g","open":false}', '{"note":"h","open":false,"at":1}', '{"id":"d","usage":1}', '{"failed":"e","error":{}}',
      settled("e", "2026-11-20T10:00:00Z", "{}"), '{"note":"f"}',
    }
    for seed = 1, 8 do
      local t = add(tally(), unpack(shuffled(lines, seed)))
      assert.same({ failed = 2, pending = 2, duplicates = 0, conflicts = 0, filtered = 0, undated = 0, changed = 0,
        instant_cost = "0", instant_unknown = 2 }, t:counts())
      assert.equal(2, t:generations(0))
    end
  end)

  it("says what each line is, and why one is none", function()
    local t = tally()
    assert.equal("blank", t:add_line " \t\r")
    assert.equal("blank", t:add_line "")
    assert.equal("generation", t:add_line '{"id":"a"}')
    assert.equal("generation", t:add_line '{"data":{"model":null}}')
    assert.equal("failed", t:add_line '{"failed":"b","error":{"kind":"server"}}')
    assert.equal("open", t:add_line '{"note":"c"}')
    assert.same({ nil, "an API error, no record", false }, { t:add_line '{"error":{"code":404}}' })
    assert.same({ nil, "a JSON object, but no generation record", false }, { t:add_line '{"level":"info"}' })
    assert.same({ nil, "a JSON object, but no generation record", false }, { t:add_line '{}' })
    assert.same({ nil, "a ledger line without an id", false }, { t:add_line '{"failed":7}' })
    assert.same({ nil, "a ledger line without an id", false }, { t:add_line '{"pending":""}' })
    assert.same({ nil, "not a JSON object: the text ends too early, at byte 10", true }, { t:add_line '{"id":"a"' })
    assert.same({ nil, "not a JSON object: not an object, at byte 1", true }, { t:add_line "[1]" })
    assert.same({ nil, true }, { (t:add_line "{}\0"), (select(3, t:add_line "{}\0")) })
    assert.equal(2, t:generations(0))
  end)

  it("has no limit for sums, though each amount has one", function()
    local t = tally({ "model" }, { "spend" })
    for i = 1, 5 do
      add(t, ('{"id":"%d","model":"m","usage":170000000000.5}'):format(i), ('{"id":"-%d","usage":-170000000000}'):format(i))
    end
    assert.same({ 5, 850000000002.5, "850000000002.5" }, { t:sum(1, 1) })
    assert.same({ 5, -850000000000, "-850000000000" }, { t:sum(2, 1) })
    assert.same({ 10, 2.5, "2.5" }, { t:sum(0, 1) })
  end)

  it("has no value for an amount beyond the range of money", function()
    local t = add(tally({}, { "spend", "total_cost" }), '{"total_cost":1e15,"usage":1}', '{"total_cost":0.5}')
    assert.same({ 1, 0.5, "0.5" }, { t:sum(0, 1) })
    assert.same({ 1, 0.5, "0.5" }, { t:sum(0, 2) })
  end)

  it("sums up integers beyond 64 bits", function()
    local t = tally({}, { "tokens_prompt" })
    for _ = 1, 3 do add(t, '{"tokens_prompt":9223372036854775807}') end
    assert.same({ 3, 3 * 2 ^ 63 }, { t:sum(0, 1) })
    for _ = 1, 4 do add(t, '{"tokens_prompt":-9223372036854775808}') end
    assert.equal(-2 ^ 63 - 3, (select(2, t:sum(0, 1))))
    for _ = 1, 4 do add(t, '{"tokens_prompt":-9223372036854775808}') end
    assert.equal(-5 * 2 ^ 63, (select(2, t:sum(0, 1))))
  end)

  describe("quantiles", function()
    local function of(field, values, ...)
      local t, out = tally({}, { "spend" }, { field }), {}
      for _, value in ipairs(values) do add(t, ('{"%s":%s}'):format(field, value)) end
      for i, percent in ipairs { ... } do out[i] = t:quantile(0, 1, percent) end
      return out
    end

    it("are by nearest rank", function()
      local values = {}
      for i = 1, 20 do values[i] = i end
      assert.same({ 1, 1, 2, 10, 11, 19, 20, 20 }, of("tokens_prompt", values, 0, 5, 6, 50, 51, 95, 96, 100))
      assert.same({ 7, 7, 7 }, of("tokens_prompt", { 7 }, 0, 50, 100))
      assert.same({}, of("tokens_prompt", {}, 50))
    end)

    it("are exact for small integers, and within 1/128 for all", function()
      for n = 0, 127 do assert.equal(n, of("tokens_prompt", { n }, 50)[1]) end
      for _, field in ipairs { "tokens_prompt", "latency" } do
        for exponent = 7, 61 do
          for _, factor in ipairs { 1, 1.015, 1.0157, 1.3, 1.999 } do
            local value = math.floor(2 ^ exponent * factor)
            local got = of(field, { ("%.0f"):format(value) }, 50)[1]
            assert.is_true(math.abs(got - value) <= value / 128, ("%s %.0f: %.17g"):format(field, value, got))
          end
        end
      end
    end)

    it("take fractions, and call nothing but a millionth 0", function()
      for _, value in ipairs { 0.001, 0.1, 0.75, 1.5, 3.25, 1e-5 } do
        local got = of("latency", { value }, 50)[1]
        assert.is_true(math.abs(got - value) <= value / 128)
      end
      assert.same({ 0, 0 }, of("latency", { "0", "1e-300", "-0.0" }, 1, 100))
    end)

    it("leave out what is negative or beyond reason", function()
      assert.same({ 1, 1 }, of("tokens_prompt", { -1, 1, -100 }, 1, 100))
      assert.same({}, of("latency", { "1e300", "-5" }, 50))
    end)

    it("forget records that were replaced", function()
      local t = tally({}, { "spend" }, { "tokens_prompt" })
      add(t, '{"id":"a","tokens_prompt":100}', '{"id":"b","tokens_prompt":1}',
        settled("a", "2026-11-20T10:00:00Z", '{"id":"a","tokens_prompt":2}'))
      assert.same({ 1, 2 }, { t:quantile(0, 1, 1), t:quantile(0, 1, 100) })
    end)
  end)

  -- More are kept than are asked for, and most of those are replaced here, so that some which were left out belong there.
  it("lists the dearest that are left, whenever it is looked at", function()
    local function listed(look)
      local t = core.tally { dimensions = {}, sums = { "spend" }, spreads = {}, dearest = 10 }
      for i = 1, 64 do add(t, settled("a" .. i, "2026-11-20T10:00:00Z", ('{"usage":%d}'):format(100 + i))) end
      add(t, '{"id":"left out","usage":50}')
      for i = 1, 55 do
        add(t, settled("a" .. i, "2026-11-20T10:00:01Z", '{"usage":0}'))
        if look and i == 1 then t:counts() end
        if i == 1 then add(t, '{"id":"b","usage":1}') end
      end
      local costs = {}
      for i, text in ipairs(t:dearest()) do costs[i] = generation.spend(openrouter.decode(text)) end
      return costs
    end
    local expected = { 164, 163, 162, 161, 160, 159, 158, 157, 156, 50 }
    assert.same(expected, listed(false))
    assert.same(expected, listed(true))
  end)

  it("adds records as it adds lines", function()
    local t = tally({ "context.user" })
    assert.is_true(t:add(assert(core.decode(settled("g", "2026-11-20T10:00:01Z", '{"id":"g","usage":2}', '{"user":"a"}')))))
    assert.is_true(t:add(assert(core.decode '{"id":"g","usage":1}')))
    assert.is_true(t:add(assert(core.decode "{}")))
    assert.same({ 1, 2, "2" }, { t:sum(0, 1) })
    assert.same({ "a", "unknown" }, { t:key(1), t:key(2) })
    assert.has_error(function() t:add {} end)
    assert.has_error(function() t:add(t) end)
  end)

  it("counts as the instant cost of open ids what they cost their owner, and what is not known as unknown", function()
    local function costs(instant)
      local counts = add(tally(), ('{"note":"a","instant":%s}'):format(instant)):counts()
      return counts.instant_cost .. " " .. counts.instant_unknown
    end
    assert.equal("0.25 0", costs '{"cost":0.25}')
    assert.equal("0.25 0", costs '{"cost":0.25,"is_byok":false,"cost_details":{"upstream_inference_cost":0.25}}')
    assert.equal("2.5 0", costs '{"cost":0.5,"is_byok":true,"cost_details":{"upstream_inference_cost":2}}')
    assert.equal("0 0", costs '{"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":0}}')
    for _, unknown in ipairs { '{"cost":0,"is_byok":true,"cost_details":{"upstream_inference_cost":null}}', '{"cost":null}',
      '{"cost":0.5,"is_byok":true,"cost_details":{}}', '{"cost":0.5,"is_byok":true,"cost_details":3}', "[]", "{}",
      '{"cost":0.5,"is_byok":true}', '{"cost":0.5,"is_byok":null}', '{"cost":0.5,"is_byok":1}',
      '{"cost":1,"is_byok":true,"cost_details":{"upstream_inference_cost":1.8e11}}' } do
      assert.equal("0 1", costs(unknown))
    end
  end)

  it("refuses a group beyond a million, and goes on with the others", function()
    local t = tally { "model" }
    for i = 1, 1000000 do t:add_line(('{"model":"%d"}'):format(i)) end
    assert.equal(1000000, t:groups())
    assert.same({ nil, "there are 1000000 groups already, and no room for another", false }, { t:add_line '{"model":"new"}' })
    assert.equal("generation", t:add_line '{"model":"77"}')
    assert.equal(1000001, t:generations(0))
  end)

  -- Which million that would be depends on the order of lines, and on threads.
  it("reads no file with more groups than that, by one thread or two", function()
    local lines = {}
    for i = 1, 1000001 do lines[i] = ('{"model":"%d","usage":1}'):format(i) end
    local path = shell.write(shell.directory() .. "/groups", table.concat(lines, "\n"))
    for threads = 1, 2 do
      local reading, more, why = tally({ "model" }):read(path, threads), true, nil
      while more do more, why = reading:step() end
      assert.same({ nil, "there are 1000000 groups already, and no room for another" }, { more, why })
      assert.equal(0, reading:result().skipped)
    end
    shell.clean()
  end)

  it("raises for misuse", function()
    local function declared(declaration)
      return function() return core.tally(declaration) end
    end
    assert.has_error(declared(nil))
    assert.has_error(declared { dimensions = {}, sums = {} })
    assert.has_error(declared { dimensions = { "modle" }, sums = {}, spreads = {} })
    assert.has_error(declared { dimensions = { "provider_responses" }, sums = {}, spreads = {} })
    assert.has_error(declared { dimensions = { "context." }, sums = {}, spreads = {} })
    assert.has_error(declared { dimensions = { 7 }, sums = {}, spreads = {} })
    assert.has_error(declared { dimensions = {}, sums = { "latency" }, spreads = {} })
    assert.has_error(declared { dimensions = {}, sums = {}, spreads = { "usage" } })
    for _, where in ipairs { { { "modle", "a" } }, { { "model", {} } }, { {} }, { "model" }, "model", { { 7, "a" } } } do
      assert.has_error(declared { dimensions = {}, sums = {}, spreads = {}, where = where })
    end
    for name, value in pairs { zone = "UTC", since = "x", first_day = 0 / 0, last_day = {}, ["until"] = false } do
      assert.has_error(declared { dimensions = {}, sums = {}, spreads = {}, [name] = value })
    end
    local conditions, values = {}, { "model" }
    for i = 1, 17 do conditions[i] = { "model", "a" } end
    for i = 2, 1002 do values[i] = "a" end
    assert.has_error(declared { dimensions = {}, sums = {}, spreads = {}, where = conditions })
    assert.has_error(declared { dimensions = {}, sums = {}, spreads = {}, where = { values } })
    local many = {}
    for i = 1, 65 do many[i] = "spend" end
    assert.has_error(declared { dimensions = {}, sums = many, spreads = {} })
    local t = tally()
    assert.has_error(function() t:generations(1) end)
    assert.has_error(function() t:generations(-1) end)
    assert.has_error(function() t:sum(0, 2) end)
    assert.has_error(function() t:sum(0, 0) end)
    assert.has_error(function() t:quantile(0, 1, 50) end)
    assert.has_error(function() t:groups(2) end)
    assert.has_error(function() t:histogram(0, 1) end)
    assert.has_error(function() t:read("spec", 0) end)
    assert.has_error(declared { dimensions = {}, sums = {}, spreads = {}, dearest = 3 })
    assert.has_error(declared { dimensions = {}, sums = { "spend" }, spreads = {}, dearest = 33 })
    assert.has_error(declared { dimensions = {}, sums = { "requests", "requests" }, spreads = {} })
    assert.has_error(declared { dimensions = {}, more = { {}, {}, {}, {}, {} }, sums = {}, spreads = {} })
    assert.has_error(function() t:add_line() end)
    assert.has_error(function() t.add_line(io.stdout, "") end)
  end)

  if rawget(_G, "jit") then return end -- what follows is the same under every Lua

  -- The program of spec/support, and what it is made of.
  local function sources_of(program, ...)
    local sources = ("spec/support/%s.c"):format(program)
    for _, name in ipairs { "tally", "tally_dearest", "tally_group", "tally_key", "tally_merge", "tally_part", "tally_resolve",
      "sightings", "hash", "histogram", "record", "json", "money", "spend", "utc", "fields", "zone", "zone_file", ... } do
      sources = ("%s csrc/%s.c"):format(sources, name)
    end
    return sources
  end

  it("has threads that get by without each other's memory", function()
    local directory = shell.directory()
    local build = "cc -std=c99 -O1 -g -fsanitize=thread -pthread -I csrc -o " .. directory .. "/"
    shell.write(directory .. "/probe.c", "int main (void) { return 0; }")
    if shell.run(("%sprobe %s/probe.c && %s/probe"):format(build, directory, directory)) ~= 0 then
      pending("no ThreadSanitizer here")
      return
    end
    local lines = {}
    for i = 1, 10000 do
      lines[i] = ('{"id":"%d","usage":0.%d,"model":"m%d","external_user":"%s","latency":%d,"created_at":"2026-10-25T0%d:30:00Z",'
        .. '"provider_responses":[{"provider_name":"p%d","status":500,"latency":3}],"request_id":"%s"}'):format(i % 9000, i,
        i % 7, i % 3 == 0 and "b" or "a", i, i % 5, i % 11, ("r"):rep(2000))
    end
    local path = shell.write(directory .. "/lines.jsonl", table.concat(lines, "\n") .. "\n")
    local sources = sources_of("tally_threads", "tally_file", "file_reader", "unpack")
    local status, _, errors = shell.run(build .. "threads " .. sources .. " -lm")
    assert.equal(0, status, errors)
    local out
    status, out, errors = shell.run(("%s/threads %s /usr/share/zoneinfo Europe/Berlin"):format(directory, path))
    assert.equal("", errors)
    assert.equal(0, status)
    assert.equal("6000 records in 7 models, 1000 of them repeated\n", out)
  end)

  it("comes through every failing allocation unharmed", function()
    local program = shell.directory() .. "/torture"
    local sources = sources_of("tally_torture", "tally_file", "file_reader", "unpack")
    local status, _, errors = shell.run("cc -std=c99 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -I csrc"
      .. " -Dmalloc=failing_malloc -Dcalloc=failing_calloc -Drealloc=failing_realloc -pthread -o "
      .. program .. " " .. sources .. " -lm")
    assert.equal(0, status, errors)
    local out
    status, out, errors = shell.run(program .. " /usr/share/zoneinfo/Europe/Berlin")
    assert.equal(0, status, errors)
    assert.matches("^%d+ allocations failed in turn\n$", out)
  end)
end)

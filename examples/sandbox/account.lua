-- luacheck: std ngx_lua
-- What the account has used: generations it is told of or hands out itself, added up as GET /activity and POST /analytics/query
-- do. Amounts are sums of doubles, in the order in which the generations came, as a service might have them.

local records = require "records"

local floor, format, concat, match = math.floor, string.format, table.concat, string.match
local md5 = ngx.md5_bin

local account = {}

local MOST = 200000    -- ids; more are not taken
local DAYS = 30        -- completed ones that /activity has

-- In the memory of the worker, of which there is one.
local days, known, count = {}, {}, 0    -- "2026-11-01" -> list of ids

function account.record (id)
  local r = records.record(id, md5)
  if id:find("-failed-", 1, true) then records.fail(r) end
  return r
end

-- False when there is no room; an id counts once.
function account.add (id)
  if known[id] then return true end
  if count == MOST then return false end
  local day = account.record(id).created_at:sub(1, 10)
  days[day] = days[day] or {}
  days[day][#days[day] + 1], known[id], count = id, true, count + 1
  return true
end

-- ---- sums -------------------------------------------------------------------------------------------------------------

local SUMS = { "requests", "usage", "byok", "byok_requests", "prompt", "completion", "reasoning" }

-- A day's generations in groups of key(record), each in the order in which it first came.
local function add_up (ids, key, wanted)
  local groups, list = {}, {}
  for _, id in ipairs(ids or {}) do
    local r = account.record(id)
    if not wanted or wanted(r) then
      local name = key(r)
      local group = groups[name]
      if not group then
        group = { record = r }
        for _, sum in ipairs(SUMS) do group[sum] = 0 end
        groups[name], list[#list + 1] = group, group
      end
      group.requests = group.requests + 1
      group.usage = group.usage + r.usage
      group.prompt = group.prompt + r.native_tokens_prompt
      group.completion = group.completion + r.native_tokens_completion
      group.reasoning = group.reasoning + (r.native_tokens_reasoning or 0)
      if r.is_byok then
        group.byok, group.byok_requests = group.byok + (r.upstream_inference_cost or 0), group.byok_requests + 1
      end
    end
  end
  return list
end

local function day_of (seconds) return os.date("!%Y-%m-%d", seconds) end

-- ---- /activity --------------------------------------------------------------------------------------------------------

local function activity_of (day, list)
  local function endpoint (r) return r.model .. " " .. r.provider_name end
  for _, group in ipairs(add_up(days[day], endpoint)) do
    local r = group.record
    list[#list + 1] = format('{"date":"%s","model":"%s","model_permaslug":"%s","endpoint_id":"%s","provider_name":"%s",'
      .. '"usage":%s,"byok_usage_inference":%s,"requests":%d,"prompt_tokens":%d,"completion_tokens":%d,"reasoning_tokens":%d}',
      day, r.offer.undated, r.model, records.endpoint_id(r.offer, r.provider_name, md5), r.provider_name,
      records.decimal(group.usage), records.decimal(group.byok), group.requests, group.prompt, group.completion,
      group.reasoning)
  end
end

-- The last 30 completed days, or that one of them; nil for another day.
function account.activity_json (now, date)
  local list, found = {}, false
  for back = 1, DAYS do
    local day = day_of(now - back * 86400)
    if not date or date == day then
      found = true
      activity_of(day, list)
    end
  end
  return found and '{"data":[' .. concat(list, ",") .. "]}" or nil
end

-- ---- /analytics/query -------------------------------------------------------------------------------------------------

-- Counts come as strings, amounts as numbers.
local function text (n) return format('"%d"', n) end
local METRICS = {
  request_count = function (g) return text(g.requests) end,
  byok_request_count = function (g) return text(g.byok_requests) end,
  tokens_prompt = function (g) return text(g.prompt) end,
  tokens_completion = function (g) return text(g.completion) end,
  tokens_total = function (g) return text(g.prompt + g.completion) end,
  reasoning_tokens = function (g) return text(g.reasoning) end,
  credits_usage = function (g) return records.decimal(g.usage) end,
  byok_usage = function (g) return g.byok_requests > 0 and records.decimal(g.byok) or "null" end,    -- null: none of that
  total_usage = function (g) return records.decimal(g.usage + g.byok) end,
}
local DIMENSIONS = {
  model = function (r) return r.model end,
  provider = function (r) return r.provider_name end,
  generation_id = function (r) return r.id end,
}
local MOST_DIMENSIONS, MOST_ROWS, FINE_RANGE, LONGEST_RANGE = 2, 10000, 31 * 86400, 365 * 86400

-- A member that is a list of names, if all of them are in `known_names`; {} where there is none. No JSON library for that.
local function names_of (body, member, known_names)
  local list, inside = {}, match(body, '"' .. member .. '"%s*:%s*%[([^%]]*)%]') or ""
  for name in inside:gmatch '"([^"]*)"' do
    if not known_names[name] then return nil end
    list[#list + 1] = name
  end
  return list
end

-- "2026-11-01T00:00:00Z", with or without milliseconds -> seconds since 1970, and without them and the Z
local function time_of (body, member)
  local day, clock = match(body, '"' .. member .. '"%s*:%s*"(%d%d%d%d%-%d%d%-%d%d)T(%d%d:%d%d:%d%d)[%d.]*Z"')
  if not day then return nil end
  local year, month, date = match(day, "(%d+)-(%d+)-(%d+)")
  local hour, minute, second = match(clock, "(%d+):(%d+):(%d+)")
  return records.unix_day(tonumber(year), tonumber(month), tonumber(date)) * 86400 + hour * 3600 + minute * 60 + second,
    day .. "T" .. clock
end

-- What the body asks for; nil and what is wrong with it.
local function query_of (body)
  local q = { metrics = names_of(body, "metrics", METRICS), dimensions = names_of(body, "dimensions", DIMENSIONS) }
  local start, stop
  start, q.from = time_of(body, "start")
  stop, q.to = time_of(body, "end")
  q.daily = match(body, '"granularity"%s*:%s*"([^"]*)"')
  q.limit = tonumber(match(body, '"limit"%s*:%s*(%d+)') or 1000)
  if not q.metrics or #q.metrics == 0 then return nil, "Unknown or no metrics" end
  if not q.dimensions then return nil, "Unknown dimension" end
  if #q.dimensions > MOST_DIMENSIONS then return nil, "dimensions: Too big: expected array to have <=2 items" end
  if q.daily and q.daily ~= "day" then return nil, "Unknown granularity" end
  if q.limit < 1 or q.limit > MOST_ROWS then return nil, "limit must be from 1 to 10000" end
  if not start or not stop or start >= stop then return nil, "time_range must have a start before its end" end
  q.by_id = q.dimensions[1] == "generation_id" or q.dimensions[2] == "generation_id"
  if stop - start > (q.by_id and FINE_RANGE or LONGEST_RANGE) then return nil, "time_range is too long" end
  q.start, q.stop = start, stop
  return q
end

local function row_json (q, group, day)
  local members = {}
  -- the two spellings that the service's documents have of it
  if q.daily then members[1] = format('"%s":"%s"', q.by_id and "created_at__day" or "date__day", day) end
  for _, name in ipairs(q.dimensions) do
    members[#members + 1] = format('"%s":"%s"', name, DIMENSIONS[name](group.record))
  end
  for _, name in ipairs(q.metrics) do members[#members + 1] = format('"%s":%s', name, METRICS[name](group)) end
  return "{" .. concat(members, ",") .. "}"
end

-- Newest day first. Without granularity there is one row for all days, which this has no need of: it is one for each day.
function account.analytics_json (body)
  local q, why = query_of(body)
  if not q then return nil, why end
  local function key (r)
    local names = {}
    for i, name in ipairs(q.dimensions) do names[i] = DIMENSIONS[name](r) end
    return concat(names, " ")
  end
  local function wanted (r)
    local time = r.created_at:sub(1, 19)
    return time >= q.from and time < q.to
  end
  local rows, all = {}, 0
  for day = floor((q.stop - 1) / 86400), floor(q.start / 86400), -1 do
    local name = day_of(day * 86400)
    for _, group in ipairs(add_up(days[name], key, wanted)) do
      all = all + 1
      if all <= q.limit then rows[all] = row_json(q, group, name) end
    end
  end
  return format('{"data":{"data":[%s],"metadata":{"query_time_ms":1,"row_count":%d,"truncated":%s}}}',
    concat(rows, ","), #rows, tostring(all > q.limit))
end

return account

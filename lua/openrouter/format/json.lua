--- A report as JSON: {"period":{…},"page":{…},"rows":[…],"total":{…},"omitted":{…}}, the first two where the report has them.
--- Rows have their dimensions, then their measures in the order declared, null where there is no value, and "exact": every
--- amount of money as a string.
local encode = require "openrouter.format.encode"

local list, object, scalar = encode.lines, encode.object, encode.scalar

local function row_json(row, dimensions, measures)
  local members, exact = {}, {}
  for _, name in ipairs(dimensions) do members[#members + 1] = { name, scalar(row[name]) } end
  for _, measure in ipairs(measures) do
    members[#members + 1] = { measure.name, scalar(row[measure.name]) }
    if measure.unit == "USD" then exact[#exact + 1] = { measure.name, scalar(row.exact[measure.name]) } end
  end
  members[#members + 1] = { "exact", object(exact) }
  return object(members)
end

-- A function that makes an object of these members.
local function record(names, money)
  return function(item)
    local members = {}
    for i, name in ipairs(names) do members[i] = { name, scalar(item[name]) } end
    if money then members[#members + 1] = { "exact", encode.record(item.exact, money) } end
    return object(members)
  end
end

-- ---- what the HTML page shows besides -------------------------------------------------------------------------------

local MONEY = { "spend", "spend_openrouter", "spend_upstream", "cache_discount" }
local MEASURES = { "generations", "spend", "spend_openrouter", "spend_upstream", "byok", "cache_discount", "native_tokens_prompt",
  "native_tokens_cached", "native_tokens_completion", "native_tokens_reasoning", "cancelled", "failed_attempts",
  "failed_attempts_latency", "unpriced", "latency_p50", "latency_p95", "generation_time_p50" }
local DEAREST = { "id", "created_at", "made", "model", "provider_name", "user", "spend", "native_tokens_prompt",
  "native_tokens_completion" }

local function measured(dimension)
  local names = { dimension }
  for _, name in ipairs(MEASURES) do names[#names + 1] = name end
  return record(names, MONEY)
end

local function page_json(page)
  return object {
    { "days", list(page.days, measured "day") },
    { "models", list(page.models, measured "model") },
    { "providers", list(page.providers, measured "provider_name") },
    { "keys", list(page.keys, measured "is_byok") },
    { "health", list(page.health, record { "provider_name", "attempts", "failed_attempts", "failed_attempts_latency" }) },
    { "latency", list(page.latency, record { "from", "to", "count" }) },
    { "dearest", list(page.dearest, record(DEAREST, { "spend" })) },
    { "total", measured()(page.total) },
    { "told", encode.record(page.told, { "native_tokens_prompt", "native_tokens_cached" }) },
  }
end

-- ---- the whole ------------------------------------------------------------------------------------------------------

---@param view openrouter.ReportView
---@return string JSON, a line for each row
return function(view)
  local function row(item) return row_json(item, view.dimensions, view.measures) end
  return ('{%s%s"rows":%s,\n"total":%s,\n"omitted":%s}\n'):format(
    view.period and '"period":' .. encode.period(view.period) .. ",\n" or "",
    view.page and '"page":' .. page_json(view.page) .. ",\n" or "",
    list(view.rows, row), row_json(view.total, {}, view.measures), encode.omitted(view.omitted))
end

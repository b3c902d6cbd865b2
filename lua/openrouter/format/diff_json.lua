--- Two reports side by side as JSON: {"a":{"name":…,"period":{…},"omitted":{…}},"b":{…},"rows":[…],"total":{…}}. A row has
--- its "key", "only" ("a" or "b") where one report has none such, and for each measure a, b, change and percent, null where
--- there is no value; "exact" has amounts of money as strings.
local encode = require "openrouter.format.encode"

local function exact_json(row, name)
  return encode.record({ a = row.a and row.a.exact[name], b = row.b and row.b.exact[name], change = row.exact[name] },
    { "a", "b", "change" })
end

local function measure_json(row, measure)
  local name = measure.name
  local members = {
    { "a", encode.scalar(row.a and row.a[name]) }, { "b", encode.scalar(row.b and row.b[name]) },
    { "change", encode.scalar(row.change[name]) }, { "percent", encode.scalar(row.percent[name]) },
  }
  if measure.unit == "USD" then members[5] = { "exact", exact_json(row, name) } end
  return { name, encode.object(members) }
end

local function row_json(row, dimensions, measures)
  local members = {}
  for i, measure in ipairs(measures) do members[i] = measure_json(row, measure) end
  local only = not row.b and "a" or not row.a and "b" or nil
  return encode.object { { "key", encode.record(row.key, dimensions) }, { "only", encode.scalar(only) },
    { "measures", encode.object(members) } }
end

local function side_json(side)
  return encode.object { { "name", encode.scalar(side.name) }, { "period", encode.period(side.period) },
    { "omitted", encode.omitted(side.omitted) } }
end

---@param view openrouter.DiffView
---@return string
return function(view)
  local function row(item) return row_json(item, view.dimensions, view.measures) end
  return ('{"a":%s,\n"b":%s,\n"rows":%s,\n"total":%s}\n'):format(side_json(view.a), side_json(view.b),
    encode.list(view.rows, row, ",\n"), row(view.total))
end

--- JSON text, from values and from other JSON text, with members in the order given.
local core = require "openrouter.core"
local scope = require "openrouter.format.scope"

local encode = {}

--- A string, number, boolean or nil (null).
---@param value string|number|boolean|nil
---@return string
function encode.scalar(value)
  if value == nil then return "null" end
  if type(value) == "number" then return core.number_text(value) end
  if type(value) == "string" then return core.quote(value) end
  return tostring(value)
end

---@param members { [1]: string, [2]: string }[] names, and JSON text
---@return string
function encode.object(members)
  local parts = {}
  for i, member in ipairs(members) do parts[i] = core.quote(member[1]) .. ":" .. member[2] end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- An object of scalars.
---@param values table
---@param names string[] of the members
---@return string
function encode.record(values, names)
  local members = {}
  for i, name in ipairs(names) do members[i] = { name, encode.scalar(values[name]) } end
  return encode.object(members)
end

---@generic T
---@param items T[]
---@param text_of fun(item: T): string
---@param separator? string what stands between two of them; by default ","
---@return string
function encode.list(items, text_of, separator)
  local parts = {}
  for i, item in ipairs(items) do parts[i] = text_of(item) end
  return "[" .. table.concat(parts, separator or ",") .. "]"
end

--- A list with a line for each item.
---@generic T
---@param items T[]
---@param text_of fun(item: T): string
---@return string
function encode.lines(items, text_of)
  local parts = {}
  for i, item in ipairs(items) do parts[i] = text_of(item) end
  return "[" .. (#parts > 0 and "\n" or "") .. table.concat(parts, ",\n") .. "]"
end

--- What time a report is about.
---@param period openrouter.ReportPeriod
---@return string
function encode.period(period)
  return encode.record(period, { "since", "until", "tz", "first", "last" })
end

--- What a report leaves out.
---@param omitted openrouter.Omitted
---@return string
function encode.omitted(omitted)
  local members = {}
  for i, name in ipairs(scope.omitted_counts) do members[i] = { name, encode.scalar(omitted[name]) } end
  if omitted.instant_unknown then
    members[#members + 1] = { "instant_cost", encode.scalar(omitted.instant_cost) }
    members[#members + 1] = { "instant_unknown", encode.scalar(omitted.instant_unknown) }
    members[#members + 1] = { "exact", encode.record(omitted.exact or {}, { "instant_cost" }) }
  end
  members[#members + 1] = { "lines",
    encode.list(omitted.lines, function(note) return encode.record(note, { "file", "line", "reason" }) end) }
  return encode.object(members)
end

return encode

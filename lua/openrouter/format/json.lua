--- A report as JSON: {"rows":[…],"total":{…},"omitted":{…}}. Rows have their dimensions, then their measures in the order
--- declared, null where there is no value, and "exact": every amount of money as a string.
local core = require "openrouter.core"

local function scalar(value)
  if value == nil then return "null" end
  if type(value) == "number" then return core.number_text(value) end
  if type(value) == "string" then return core.quote(value) end
  return tostring(value)
end

-- Members: a list of { name, JSON }.
local function object(members)
  local parts = {}
  for i, member in ipairs(members) do parts[i] = core.quote(member[1]) .. ":" .. member[2] end
  return "{" .. table.concat(parts, ",") .. "}"
end

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

local function omitted_json(omitted)
  local members, lines = {}, {}
  for _, name in ipairs { "pending", "failed", "unpriced", "skipped", "duplicates", "conflicts", "filtered", "undated" } do
    members[#members + 1] = { name, scalar(omitted[name]) }
  end
  for i, line in ipairs(omitted.lines) do
    lines[i] = object { { "file", scalar(line.file) }, { "line", scalar(line.line) }, { "reason", scalar(line.reason) } }
  end
  members[#members + 1] = { "lines", "[" .. table.concat(lines, ",") .. "]" }
  return object(members)
end

---@param view openrouter.ReportView
---@return string JSON, a line for each row
return function(view)
  local rows = {}
  for i, row in ipairs(view.rows) do rows[i] = row_json(row, view.dimensions, view.measures) end
  return ('{"rows":[%s],\n"total":%s,\n"omitted":%s}\n'):format(
    #rows > 0 and "\n" .. table.concat(rows, ",\n") or "", row_json(view.total, {}, view.measures), omitted_json(view.omitted))
end

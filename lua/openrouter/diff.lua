--- Two reports side by side: what changed from one period to another.
local decimal = require "openrouter.decimal"

local diff = {}

---@class openrouter.DiffRow
---@field key table<string, string|number|boolean> its value in each dimension
---@field a? openrouter.Row nil: this is only in the second report
---@field b? openrouter.Row nil: this is only in the first one
---@field change table<string, number> by measure, b less a; nil where either has no value, as unknown is not 0, or is a time
---@field exact table<string, string> the same of measures in USD, to the last digit
---@field percent table<string, number> the change in percent of a; nil where a is 0 or unknown, too

local to_integer = rawget(math, "tointeger") or function() end -- 5.3 on

-- The same for values that are the same, whatever their type is: 10 and "10" are not.
local function text_of(value)
  if type(value) == "number" then value = (to_integer(value) and "%d#" or "%.17g#"):format(value) end
  value = tostring(value) .. (type(value) == "boolean" and "?" or "")
  return #value .. ":" .. value
end

local function key_text(row, dimensions)
  local parts = {}
  for i, name in ipairs(dimensions) do parts[i] = text_of(row[name]) end
  return table.concat(parts)
end

-- By row. What the Lua at hand cannot tell apart, such as 2^53 and 2^53 + 1 where all numbers are floating point, is numbered.
local function key_texts(rows, dimensions)
  local texts, count = {}, {}
  for i, row in ipairs(rows) do
    local text = key_text(row, dimensions)
    count[text] = (count[text] or 0) + 1
    texts[i] = text .. count[text]
  end
  return texts
end

local function key_of(row, dimensions)
  local key = {}
  for _, name in ipairs(dimensions) do key[name] = row[name] end
  return key
end

local function compare_measure(row, measure)
  local name = measure.name
  local a, b = row.a[name], row.b[name]
  if type(a) ~= "number" or type(b) ~= "number" then return end -- unknown, or a time
  local change = b - a
  if measure.unit == "USD" then
    row.exact[name] = decimal.subtract(row.b.exact[name], row.a.exact[name])
    change = tonumber(row.exact[name])
  end
  row.change[name] = change
  if change and a ~= 0 then row.percent[name] = change / math.abs(a) * 100 end
end

--- What changed from one row to the other.
---@param a? openrouter.Row
---@param b? openrouter.Row
---@param dimensions string[]
---@param measures openrouter.Measure[]
---@return openrouter.DiffRow
function diff.row(a, b, dimensions, measures)
  local row = { key = key_of(a or b, dimensions), a = a, b = b, change = {}, exact = {}, percent = {} }
  if a and b then
    for _, measure in ipairs(measures) do compare_measure(row, measure) end
  end
  return row
end

-- How much a row matters: the change of the measure, or all of it where one side has no such row; as exact text.
local function weight_of(row, measure)
  local side, name = row.a or row.b, measure.name
  local whole = not (row.a and row.b)
  if measure.unit == "USD" then
    local amount = whole and side.exact[name] or row.exact[name]
    return amount and decimal.absolute(amount)
  end
  local value = whole and side[name] or row.change[name]
  return type(value) == "number" and math.abs(value) or nil
end

-- The greatest first, and what has none last.
local function outweighs(x, y)
  if not x or not y then return x ~= nil and y == nil end
  if type(x) == "number" then return x > y end
  return decimal.compare(x, y) > 0
end

-- Spend where it is there.
local function first_measure(measures)
  for _, measure in ipairs(measures) do
    if measure.name == "spend" then return measure end
  end
  return measures[1]
end

local function sort(rows, measure)
  local weight, place = {}, {}
  for i, row in ipairs(rows) do weight[row], place[row] = measure and weight_of(row, measure), i end
  table.sort(rows, function(x, y)
    if outweighs(weight[x], weight[y]) then return true end
    return not outweighs(weight[y], weight[x]) and place[x] < place[y]
  end)
  return rows
end

-- Misuse is the fault of the caller's caller.
local function check_list(name, list, item_type, what)
  if type(list) ~= "table" then error(("compare: %s must be %s, not a %s"):format(name, what, type(list)), 3) end
  for _, item in ipairs(list) do
    if type(item) ~= item_type then error(("compare: %s must be %s, and has a %s"):format(name, what, type(item)), 3) end
  end
end

--- The rows of two reports with the same dimensions and measures, matched by their values in the dimensions: the greatest
--- change of spend first, or of the first measure where spend is none of them; what is only in one report counts with all
--- that it has. Rows that matter as much stay in the order of the reports.
---
---     local by = { "model" }
---     for _, row in ipairs(diff.compare(october:rows(), november:rows(), by, october.measures)) do
---       print(row.key.model, row.a and row.a.spend, row.b and row.b.spend, row.exact.spend, row.percent.spend)
---     end
---@param rows_a openrouter.Row[]
---@param rows_b openrouter.Row[]
---@param dimensions string[]
---@param measures openrouter.Measure[]
---@return openrouter.DiffRow[]
function diff.compare(rows_a, rows_b, dimensions, measures)
  check_list("rows_a", rows_a, "table", "the rows of a report")
  check_list("rows_b", rows_b, "table", "the rows of a report")
  check_list("dimensions", dimensions, "string", "a list of names")
  check_list("measures", measures, "table", "those of a report (r.measures)")
  local of_b, rows, keys_a, keys_b = {}, {}, key_texts(rows_a, dimensions), key_texts(rows_b, dimensions)
  for i, b in ipairs(rows_b) do of_b[keys_b[i]] = b end
  for i, a in ipairs(rows_a) do
    rows[#rows + 1] = diff.row(a, of_b[keys_a[i]], dimensions, measures)
    of_b[keys_a[i]] = nil
  end
  for i, b in ipairs(rows_b) do
    if of_b[keys_b[i]] then rows[#rows + 1] = diff.row(nil, b, dimensions, measures) end
  end
  return sort(rows, first_measure(measures))
end

return diff

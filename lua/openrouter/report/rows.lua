--- Rows of reports, read from their tallies.
local TIMES = require("openrouter.report.vocabulary").times
local decimal = require "openrouter.decimal"

local rows = {}

---@class openrouter.Row
---@field exact table<string, string> every money measure, to the last digit
---@field generations? integer
---@field first? string RFC 3339, as `last`
---@field spend? number USD; nil where no record of the row has a known price, which is not the same as free
---@field [string] string|number|boolean|nil each dimension: its value, or "unknown" where the record has none; each
---  measure: nil where no record of the row has a value

--- A time without needless milliseconds; nil where the core cannot write it.
---@param text string
---@return string?
function rows.shown_time(text)
  return text ~= "" and (text:gsub("%.000", "", 1)) or nil
end

local function read_measure(self, group, measure, row)
  local tally, place = self.tally, self.place[measure.name]
  if measure.spread then return tally:quantile(group, place, measure.percent) end
  if measure.name == "generations" then return tally:generations(group) end
  if measure.name == "unpriced" then return tally:generations(group) - (tally:sum(group, 1)) end
  local values, sum, exact = tally:sum(group, place)
  if values == 0 and not measure.counted then return nil end
  if measure.unit == "time" then return rows.shown_time(exact) end
  row.exact[measure.name] = exact
  return sum
end

--- The row of one group, 0 for the total.
---@param self openrouter.Report
---@param group integer
---@param dimensions string[]
---@param measures openrouter.Measure[]
---@return openrouter.Row
function rows.read_one(self, group, dimensions, measures)
  local row, key = { exact = {} }, { self.tally:key(group) }
  for i, name in ipairs(dimensions) do row[name] = key[i] end
  for _, measure in ipairs(measures) do row[measure.name] = read_measure(self, group, measure, row) end
  return row
end

local TYPE_ORDER = { number = 1, boolean = 2, string = 3 }

local function value_less(a, b)
  if type(a) ~= type(b) then return TYPE_ORDER[type(a)] < TYPE_ORDER[type(b)] end
  if type(a) == "boolean" then return b and not a end
  return a < b
end

-- Of two hours with the same name the one with the greater offset was first: then the clocks were put back.
local function hour_less(a, b)
  if a:sub(1, 16) ~= b:sub(1, 16) then return a < b end -- "2026-10-25 02:00"
  local east, other_east = a:sub(17, 17) == "+", b:sub(17, 17) == "+"
  if east ~= other_east then return east end
  return (a > b) == east
end

local function key_less(dimensions, a, b)
  for _, name in ipairs(dimensions) do
    if a[name] ~= b[name] then return (name == "hour" and hour_less or value_less)(a[name], b[name]) end
  end
  return false
end

-- With times, in the order of the dimensions; else the greatest spend first, to the last digit, and an unknown one last.
local function sort(list, spend, exact, dimensions)
  local by_time = false
  for _, name in ipairs(dimensions) do by_time = by_time or TIMES[name] end
  table.sort(list, function(a, b)
    local x, y = spend[a], spend[b]
    if by_time or exact[a] == exact[b] then return key_less(dimensions, a, b) end
    if x == y then return decimal.compare(exact[a], exact[b]) > 0 end
    return y == nil or x ~= nil and x > y
  end)
  return list
end

--- The rows of a set of groups.
---@param self openrouter.Report
---@param set integer 1 for the report's own
---@param dimensions string[]
---@param measures openrouter.Measure[]
---@return openrouter.Row[]
function rows.read(self, set, dimensions, measures)
  local list, spend, exact = {}, {}, {}
  local count, before = self.tally:groups(set)
  for group = before + 1, before + count do
    if self.tally:generations(group) > 0 then -- else all of them were replaced by later ones of another group
      local row, values, sum, digits = rows.read_one(self, group, dimensions, measures), self.tally:sum(group, 1)
      list[#list + 1] = row
      if values > 0 then spend[row], exact[row] = sum, digits end
    end
  end
  return sort(list, spend, exact, dimensions)
end

return rows

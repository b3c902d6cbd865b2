--- The hours, days, weeks and months that the records cover only in part, which may be the first and the last of a report: for
--- that reason alone they show less spend.
local span = require("openrouter.period").span

local partial = {}

--- The dimensions whose values are times.
---@type table<string, boolean>
partial.times = require("openrouter.report.vocabulary").times

-- Where the records begin or end (`edge`) within the days `from` to `to`; nil where that is not inside of them. A day is whole if
-- all of it was asked for, or if the records reach into its outermost hour.
local function inside(edge, from, to, outermost, whole)
  local day, hour, minute = (edge or ""):match "^(%d+%-%d+%-%d+)T(%d%d):(%d%d)"
  if not day or day < from or day > to then return nil end
  if from ~= to then return day ~= (outermost == "00" and from or to) and day or nil end
  return hour ~= outermost and not whole and hour .. ":" .. minute or nil
end

-- "from 2026-11-10", "to 17:30", or both; "at 12:00" where they are the same
local function joined(from, to)
  if from and from == to then return (from:find ":" and "at " or "on ") .. from end
  local start, stop = from and "from " .. from, to and "to " .. to
  return start and stop and start .. " " .. stop or start or stop
end

--- What part of these days the records are of; nil where that is all.
---@param period? openrouter.ReportPeriod
---@param from string the first day, "2026-11-01"
---@param to string the last day
---@return string? part "from 2026-11-10", "to 17:30", both, or "at 12:00"
function partial.days(period, from, to)
  if not period then return nil end
  local since, last = span(period.since or ""), select(2, span(period["until"] or ""))
  local over = period.today and period.today > to
  return joined(inside(period.first, from, to, "00", since == from), inside(period.last, from, to, "23", over and last == to))
end

-- The hour is "2026-10-25 02:00+02:00".
local function hour(period, value)
  local function minute(edge, outermost)
    local day, at, zone = (edge or ""):match "^(%d+%-%d+%-%d+)T(%d%d:%d%d)[%d:.]*(.+)$"
    local same = day and value == ("%s %s:00%s"):format(day, at:sub(1, 2), zone == "Z" and "+00:00" or zone)
    return same and at:sub(4) ~= outermost and at or nil
  end
  return joined(minute(period.first, "00"), minute(period.last, "59"))
end

--- The same of a value of the dimensions hour, day, week and month.
---@param period? openrouter.ReportPeriod
---@param dimension string
---@param value any
---@return string? part
function partial.value(period, dimension, value)
  if not period or type(value) ~= "string" then return nil end
  if dimension == "hour" then return hour(period, value) end
  local from, to = nil, nil
  if partial.times[dimension] then from, to = span(value) end
  return from and partial.days(period, from, to)
end

--- How rows of a report show that: a star behind the value, and a sentence that tells what it means.
---@param view openrouter.ReportView
---@return fun(dimension: string, row: openrouter.Row): string star "*", or "" for what is whole
---@return string? sentence nil where all is
function partial.stars(view)
  local stars, told = {}, {}
  for _, dimension in ipairs(view.dimensions) do
    stars[dimension] = {}
    for _, row in ipairs(view.rows) do
      local value = row[dimension]
      local part = stars[dimension][value] == nil and partial.value(view.period, dimension, value)
      stars[dimension][value] = stars[dimension][value] or part and "*" or ""
      if part then told[#told + 1] = ("%s (%s)"):format(value, part) end
    end
  end
  local function star(dimension, row) return stars[dimension][row[dimension]] or "" end
  return star, told[1] and "* Records cover only part of " .. table.concat(told, ", ") .. "."
end

return partial

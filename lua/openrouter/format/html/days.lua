--- Rows by day as a series without holes for a chart: of days, or of weeks, months or years where those would be too many.
local partial = require "openrouter.format.partial"
local words = require "openrouter.format.words"

local MOST = 62 -- bars
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }

-- Days since 0000-03-01, by which leap days come last, of a date of the Gregorian calendar.
local function number_of(year, month, day)
  if month < 3 then year, month = year - 1, month + 12 end
  return 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + day - 1
end

local function date_of(number)
  local year = math.floor((number + 1) / 365.2425)
  while number_of(year, 3, 1) > number do year = year - 1 end
  while number_of(year + 1, 3, 1) <= number do year = year + 1 end
  local rest = number - number_of(year, 3, 1)
  local month = math.floor((5 * rest + 2) / 153)
  local day = rest - math.floor((153 * month + 2) / 5) + 1
  if month >= 10 then return year + 1, month - 9, day end
  return year, month + 3, day
end

-- What a bar may stand for. Each has the place of a day's bar, and the first day of a bar.
local function years(count, name)
  return { name = name, place = function(number) return math.floor((date_of(number)) / count) end,
    first = function(place) return number_of(place * count, 1, 1) end,
    label = function(first) return ("%d"):format((date_of(first))) end }
end

local function day_label(first)
  local _, month, day = date_of(first)
  return ("%d %s"):format(day, MONTHS[month])
end

local UNITS = {
  { name = "day", place = function(number) return number end, first = function(place) return place end, label = day_label },
  -- 0000-03-01 was a Wednesday
  { name = "week", place = function(number) return math.floor((number + 2) / 7) end,
    first = function(place) return place * 7 - 2 end,
    label = function(first) return day_label(first) .. (" %d"):format((date_of(first))) end },
  { name = "month", place = function(number)
      local year, month = date_of(number)
      return year * 12 + month - 1
    end,
    first = function(place) return number_of(math.floor(place / 12), place % 12 + 1, 1) end,
    label = function(first)
      local year, month = date_of(first)
      return ("%s %d"):format(MONTHS[month], year)
    end },
  years(1, "year"), years(10, "decade"), years(200, "two centuries"),
}

local function read_day(row)
  local year, month, day = tostring(row.day):match "^(%d%d%d%d)%-(%d%d)%-(%d%d)$"
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if not day or month < 1 or month > 12 or day < 1 or day > 31 then return nil end
  return number_of(year, month, day)
end

local function iso(number)
  return ("%04d-%02d-%02d"):format(date_of(number))
end

local function choose(first, last)
  for _, unit in ipairs(UNITS) do
    if unit.place(last) - unit.place(first) < MOST then return unit end
  end
end

-- The days of a bar, of which the first and last may stand for less than a whole unit.
local function span(first, last)
  return first == last and iso(first) or iso(first) .. " to " .. iso(last)
end

local function empty_bars(unit, first, last, period)
  local bars, start = {}, unit.place(first)
  for place = start, unit.place(last) do
    local begin, stop = unit.first(place), unit.first(place + 1) - 1
    local from, to = math.max(begin, first), math.min(stop, last)
    bars[place - start + 1] = { label = unit.label(from), span = span(from, to), generations = 0, priced = 0,
      part = partial.days(period, iso(begin), iso(stop)) }
  end
  return bars, start
end

local function add(bar, row)
  bar.generations = bar.generations + (row.generations or 0)
  bar.priced = bar.priced + (row.generations or 0) - (row.unpriced or 0)
  bar.exact = words.sum(bar.exact, row.exact.spend)
end

---@class openrouter.DaySeries
---@field unit string what a bar stands for: "day", "week", …
---@field bars { label: string, span: string, generations: integer, priced: integer, exact: string?, part: string? }[] `exact`
---  is spend in USD; nil where nothing has a known price, or nothing was made. `part` is what part of it the records are of, nil
---  where that is all
---@field aside openrouter.Row[] rows that are of no day

---@param rows openrouter.Row[] by day, in any order
---@param period? openrouter.ReportPeriod
---@return openrouter.DaySeries
return function(rows, period)
  local numbers, aside, first, last = {}, {}, math.huge, -math.huge
  for _, row in ipairs(rows) do
    local number = read_day(row)
    if number then first, last = math.min(first, number), math.max(last, number)
    else aside[#aside + 1] = row end
    numbers[row] = number
  end
  if first > last then return { unit = "day", bars = {}, aside = aside } end
  local unit = choose(first, last)
  local bars, start = empty_bars(unit, first, last, period)
  for _, row in ipairs(rows) do
    if numbers[row] then add(bars[unit.place(numbers[row]) - start + 1], row) end
  end
  return { unit = unit.name, bars = bars, aside = aside }
end

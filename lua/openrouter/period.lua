--- What `since` and `until` of a report mean: dates, times and spans of time become the bounds that a tally takes.
local core = require "openrouter.core"
local errors = require "openrouter.errors"

local period = {}

local SECONDS = { h = 3600, d = 86400, w = 7 * 86400 }
local FORMS = "a date (2026-11-01), a month, week or year (2026-11, 2026-W44, 2026), a time (2026-11-01T14:00, of the zone, "
  .. "or with an offset) or how long ago (36h, 7d, 4w)"

-- When clocks of the zone (false: UTC) show that, for the first time.
local function utc_of(of_tz, local_seconds)
  return of_tz and of_tz:utc(local_seconds) or local_seconds
end

-- "7d"
local function read_ago(text, now)
  local count, unit = text:match "^(%d%d?%d?%d?%d?)([hdw])$"
  return count and now - tonumber(count) * SECONDS[unit]
end

-- "2026-11-01", as days since 1970
local function read_day(text)
  local seconds = text:find "^%d%d%d%d%-%d%d%-%d%d$" and core.parse_time(text .. "T00:00:00Z")
  return seconds and seconds / 86400
end

--- "2026-11-01"
---@param day number days since 1970
---@return string
function period.day_text(day)
  return core.timestamp(day * 86400):sub(1, 10)
end

-- "2026"
local function read_year(text)
  local first = text:find "^%d%d%d%d$" and read_day(text .. "-01-01")
  if first and first >= 0 then return first, read_day(text .. "-12-31") end
end

-- "2026-11"
local function read_month(text)
  local year, month = text:match "^(%d%d%d%d)%-(%d%d)$"
  local first = year and read_day(text .. "-01")
  if not first or first < 0 then return nil end
  return first, month == "12" and read_day(year .. "-12-31") or read_day(("%s-%02d-01"):format(year, month + 1)) - 1
end

-- "2026-W44", from Monday; week 1 is that of 4 January, and a year without a week 53 has its Thursday in the next one.
local function read_week(text)
  local year, week = text:match "^(%d%d%d%d)%-W(%d%d)$"
  local fourth = year and read_day(year .. "-01-04")
  if not fourth then return nil end
  local monday = fourth - (fourth + 3) % 7 + (tonumber(week) - 1) * 7 -- 1970-01-01 was a Thursday
  if monday < 0 or period.day_text(monday + 3):sub(1, 4) ~= year then return nil end
  return monday, monday + 6
end

--- The first and the last day of a day "2026-11-01", a month "2026-11", a week "2026-W44" or a year "2026": days since 1970. nil
--- for what is none of these.
---@param text string
---@return number? first
---@return number? last
function period.days(text)
  local day = read_day(text)
  if day then return day, day end
  local first, last = read_month(text)
  if not first then first, last = read_week(text) end
  if not first then first, last = read_year(text) end
  return first, last
end

-- "2026-11-01T14:00", with or without seconds and an offset
local function read_time(text, of_tz)
  local minute, rest = text:match "^(%d%d%d%d%-%d%d%-%d%d[Tt ]%d%d:%d%d)(.*)$"
  if not minute then return nil end
  if rest:sub(1, 1) ~= ":" then rest = ":00" .. rest end
  local time = core.parse_time(minute .. rest)
  if time then return time end
  local shown = core.parse_time(minute .. rest .. "Z")
  return shown and utc_of(of_tz, shown)
end

-- { day = } or { time = }; nil and what is wrong.
local function read_bound(option, text, of_tz, now)
  if type(text) ~= "string" then return nil, ("%s must be a string, not a %s"):format(option, type(text)) end
  local first, last = period.days(text)
  if first then return { day = option == "since" and first or last } end
  local time = read_ago(text, now) or read_time(text, of_tz)
  if time then return { time = time } end
  return nil, ("%s must be %s, not '%s'"):format(option, FORMS, errors.printable(text))
end

---@class openrouter.Period seconds since 1970, from `since` to before `until`; days since 1970, both of them in it
---@field since? number
---@field until? number
---@field first_day? number
---@field last_day? number

--- Both are local days and hours of the zone where they do not say more. A date, month, week or year as `until` includes
--- its days.
---@param since? string
---@param until_ string?
---@param of_tz userdata|false as zone.open returns it
---@param now number seconds since 1970
---@return openrouter.Period?
---@return string? message
function period.read(since, until_, of_tz, now)
  local from, to, why = {}, {}, nil
  if since ~= nil then from, why = read_bound("since", since, of_tz, now) end
  if why == nil and until_ ~= nil then to, why = read_bound("until", until_, of_tz, now) end
  if why then return nil, why end
  local start = from.day and utc_of(of_tz, from.day * 86400) or from.time
  local stop = to.day and utc_of(of_tz, (to.day + 1) * 86400) or to.time
  if start and stop and start >= stop then
    return nil, ("since '%s' is not before until '%s'"):format(since, until_)
  end
  return { since = from.time, ["until"] = to.time, first_day = from.day, last_day = to.day }
end

-- ---- a period in one word -------------------------------------------------------------------------------------------

local LAST_DAY = read_day "9999-12-31" -- on which 9999-W52 ends, as no date comes after it

--- What `since` and `until` are for a period in one word: what period.days knows, or "FROM..TO" with what `since` and `until`
--- take (either may be left out). nil for what is none of these.
---@param text string
---@return string? since
---@return string? until
function period.span(text)
  local from, to = text:match "^(.-)%.%.(.*)$"
  if from then return from ~= "" and from or nil, to ~= "" and to or nil end
  if read_day(text) then return text, text end
  local first, last = period.days(text)
  if first then return period.day_text(first), period.day_text(math.min(last, LAST_DAY)) end
end

return period

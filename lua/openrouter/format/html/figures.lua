--- Figures of the HTML page, as short as they can be read: the exact value is beside each of them, for machines.
local core = require "openrouter.core"
local markup = require "openrouter.format.html.markup"
local words = require "openrouter.format.words"

local element = markup.element
local figures = {}

--- No value, which is not 0.
figures.NONE = { element("span", { ["aria-hidden"] = "true" }, "–"), element("span", { class = "unseen" }, "no value") }

local function larger(largest, exact)
  return exact and math.max(largest, math.abs(tonumber(exact))) or largest
end

--- How many places amounts of this size need, for all of a column: cents, or more where cents would say little.
---@param amounts (string|false|nil)[] exact; with n where there are holes
---@return integer
function figures.places(amounts)
  local largest = 0
  for i = 1, amounts.n or #amounts do largest = larger(largest, amounts[i]) end
  return (largest >= 1 or largest == 0) and 2 or largest >= 0.01 and 4 or 6
end

--- An amount, "$1,234.50"; a minus comes before the sign.
---@param exact string
---@param places integer
---@return string
function figures.money_text(exact, places)
  return (words.money(exact, places):gsub("^([<>]?)(%-?)", "%1%2$"):gsub("^(.*)%-", "%1−"))
end

--- An amount, with the exact one for machines; no value where it is nil.
---@param exact string?
---@param places? integer
function figures.money(exact, places)
  if not exact then return figures.NONE end
  return element("data", { value = exact }, figures.money_text(exact, places or figures.places { exact }))
end

--- A count; no value where it is nil.
---@param value number?
function figures.count(value)
  if not value then return figures.NONE end
  return words.count(value)
end

-- With a digit after the point. What a format does with halves depends on the Lua.
local function tenths(value)
  return ("%.1f"):format(math.floor(value * 10 + 0.5) / 10)
end

--- A count that may be great, for a headline: "12,345", "12.3 million".
---@param value number
---@return string
function figures.round_count(value)
  for _, unit in ipairs { { 1e12, "trillion" }, { 1e9, "billion" }, { 1e6, "million" } } do
    if value >= unit[1] then
      local scaled = value / unit[1]
      return ("%s %s"):format(scaled >= 99.95 and words.count(scaled) or tenths(scaled), unit[2])
    end
  end
  return words.count(value)
end

--- A time: "850 ms", "1.3 s", "12 min 5 s", "3 h 12 min". Latencies are known within 1/128, so two or three digits tell all.
---@param ms number
---@return string
function figures.duration(ms)
  if ms < 9.95 then return (tenths(ms):gsub("%.0", "")) .. " ms" end
  if ms < 999.5 then return ("%d ms"):format(math.floor(ms + 0.5)) end
  if ms < 59950 then return tenths(ms / 1000) .. " s" end
  local seconds = math.floor(ms / 1000 + 0.5)
  local minutes = math.floor(seconds / 60)
  if minutes < 60 then return ("%d min %d s"):format(minutes, seconds % 60) end
  return ("%s h %d min"):format(words.count(math.floor(minutes / 60)), minutes % 60)
end

--- A number of things for a headline.
---@param value number
function figures.headline(value)
  return element("data", { value = core.number_text(value) }, figures.round_count(value))
end

--- A quantile or a sum of times; no value where it is nil.
---@param ms number?
function figures.time(ms)
  if not ms then return figures.NONE end
  return element("data", { value = core.number_text(ms) }, figures.duration(ms))
end

--- A part of a whole: "38.2%", "<0.1%", ">99.9%"; nil where there is none.
---@param part number?
---@param whole number?
---@return string?
function figures.percent(part, whole)
  if not part or not whole or whole <= 0 then return nil end
  local percent = 100 * (part / whole)
  if percent > 0 and percent < 0.05 then return "<0.1%" end
  if percent < 100 and percent >= 99.95 then return ">99.9%" end
  if percent == 100 or percent == 0 then return ("%.0f%%"):format(percent) end
  return (tenths(percent):gsub("^%-", "−")) .. "%"
end

--- A part that may be greater, and the rest of the whole: "at least 27.2%", "at most 72.8%", never rounded to more than is known;
--- nil where that says nothing.
---@param part number
---@param whole number
---@return string? part, string? rest
function figures.bounds(part, whole)
  local thousandths = whole > 0 and math.floor(1000 * (part / whole)) or 0
  if thousandths < 1 then return nil end
  return "at least " .. figures.percent(thousandths, 1000), "at most " .. figures.percent(1000 - thousandths, 1000)
end

return figures

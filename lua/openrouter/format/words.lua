--- What the formats share: figures and names as people read them.
local core = require "openrouter.core"
local printable = require "openrouter.printable"

local words = {}

-- ---- names ----------------------------------------------------------------------------------------------------------

-- What leaves no ink: spaces of any width, and what joins, parts, fills, or chooses a variant.
local BLANKS = { " ", "\194[\160\173]", "\205\143", "\225\133[\159\160]", "\225\154\128", "\225\160\142",
  "\226\128[\128-\143\175]", "\226\129[\159-\164]", "\226\160\128", "\227\128\128", "\227\133\164", "\239\184[\128-\143]",
  "\239\187\191", "\239\190\160", "\243\160[\128-\135][\128-\191]" }

local function has_ink(text)
  if text:find "[%w%p]" then return true end
  for _, blank in ipairs(BLANKS) do text = text:gsub(blank, "") end
  return text ~= ""
end

--- A value of a dimension, between quotes where nothing of it would be seen, or where it has spaces at an end.
---@param value string|number|boolean
---@return string
function words.name(value)
  if type(value) == "number" then return core.number_text(value) end
  local text = printable.line(tostring(value))
  if not has_ink(text) then return '"' .. text:gsub("[\194-\243][\128-\191]+", printable.spell_out) .. '"' end
  return (text:find "^ " or text:find " $") and '"' .. text .. '"' or text
end

-- ---- figures --------------------------------------------------------------------------------------------------------

local function separated(digits)
  repeat
    local changed
    digits, changed = digits:gsub("^(-?%d+)(%d%d%d)", "%1,%2")
  until changed == 0
  return digits
end

---@param value number
---@return string
function words.count(value)
  return separated(("%.0f"):format(value))
end

--- "1 line", "2 lines"
---@param n number
---@param one string
---@param many string
---@return string
function words.plural(n, one, many)
  return words.count(n) .. " " .. (n == 1 and one or many)
end

-- The error of a quantile is up to 1/128, so more digits would say nothing.
---@param value number
---@return string
function words.ms(value)
  return value >= 10 and words.count(value) or ("%.1f"):format(value)
end

-- The number after the one in these digits.
local function successor(digits)
  local head, nines = digits:match "^(.-)(9*)$"
  if head == "" then return "1" .. ("0"):rep(#nines) end
  return head:sub(1, -2) .. string.char(head:byte(-1) + 1) .. ("0"):rep(#nines)
end

local function rounds_up(dropped, last_kept)
  if dropped == "5" then return last_kept % 2 == 1 end -- exact amounts have no needless zeros
  return dropped:find "^[5-9]" ~= nil
end

-- An exact amount, rounded half-even: sign, digits before the point, as many as `places` after it.
local function rounded(exact, places)
  local sign, whole, fraction = exact:match "^(-?)(%d+)%.?(%d*)$"
  local digits = whole .. (fraction .. ("0"):rep(places)):sub(1, places)
  if rounds_up(fraction:sub(places + 1), digits:byte(-1)) then digits = successor(digits) end
  return sign, digits:sub(1, -places - 1), digits:sub(-places)
end

local FINEST = 6 -- places of an amount that are shown

--- As many places for all amounts of a column as the one that needs most, two at least and six at most.
---@param rows openrouter.Row[]
---@param name string
---@return integer
function words.places(rows, name)
  local most = 2
  for _, row in ipairs(rows) do
    if row.exact[name] then
      local _, _, fraction = rounded(row.exact[name], FINEST)
      most = math.max(most, #fraction:gsub("0+$", ""))
    end
  end
  return most
end

--- An amount, rounded half-even; "<0.01" is too small to be shown, but not nothing.
---@param exact string
---@param shown integer places
---@param finest? integer places it is rounded to, and the others are known to be zeros; by default those that are shown
---@return string
function words.money(exact, shown, finest)
  finest = finest or shown
  local sign, whole, fraction = rounded(exact, finest)
  if exact:find "[1-9]" and not (whole .. fraction):find "[1-9]" then
    return (sign == "" and "<0." or ">-0.") .. ("0"):rep(finest - 1) .. "1"
  end
  return sign .. separated(whole) .. "." .. fraction:sub(1, shown)
end

--- An amount that stands alone, with as many of six places as it needs, and two at least.
---@param exact string
---@return string
function words.amount(exact)
  return (words.money(exact, FINEST):gsub("(%.%d%d%d-)0+$", "%1"))
end

--- a + b, exactly; nil out of the range of money (1.7e11 USD). Where one is nil, the other one.
---@param a string?
---@param b string?
---@return string?
function words.sum(a, b)
  if not a or not b then return a or b end
  return core.difference(a, core.difference("0", b))
end

-- The cells of a report's measures by their unit.
local CELLS = { count = words.count, tokens = words.count, ms = words.ms, time = tostring }

--- What to show of a measure: a function of a row; "-" where there is no value.
---@param measure openrouter.Measure
---@param rows openrouter.Row[] of the whole column: all its amounts have as many places
---@return fun(row: openrouter.Row): string
function words.cells(measure, rows)
  local name = measure.name
  local places = measure.unit == "USD" and words.places(rows, name)
  return function(row)
    if row[name] == nil then return "-" end
    if places then return words.money(row.exact[name], places, FINEST) end
    return CELLS[measure.unit](row[name])
  end
end

--- The rows of a report and its total; without dimensions the only row is the total.
---@param view openrouter.ReportView
---@return openrouter.Row[]
function words.all_rows(view)
  local rows = {}
  if #view.dimensions > 0 then
    for i, row in ipairs(view.rows) do rows[i] = row end
  end
  rows[#rows + 1] = view.total
  return rows
end

return words

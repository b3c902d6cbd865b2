--- Arithmetic with amounts of money, which are decimal text: exact, in the fixed point of the core (27 places, 1.7e11 USD).
local core = require "openrouter.core"

local decimal = {}

--- a - b; nil where either is no amount, or the result is out of range.
---@type fun(a: string, b: string): string?
decimal.subtract = core.difference

-- -1, 0 or 1; nil of what is no amount.
local function sign(amount)
  local text = core.difference(amount, "0")
  return text and (text == "0" and 0 or text:find "^%-" and -1 or 1)
end

--- -1, 0 or 1, as `a` is less than, equal to or more than `b`.
---@param a string
---@param b string
---@return integer? nil where either is no amount
function decimal.compare(a, b)
  local x, y = sign(a), sign(b)
  if not x or not y then return nil end
  if x ~= y then return x < y and -1 or 1 end
  return sign(core.difference(a, b)) -- of the same sign, so it is in range
end

--- The amount without its sign.
---@param amount string
---@return string
function decimal.absolute(amount)
  return (amount:gsub("^%-", ""))
end

return decimal

--- Arithmetic with amounts of money, which are decimal text: exact, by the fixed point of the core (27 places, 1.7e11 USD), and
--- digit by digit where sums are beyond that.
local core = require "openrouter.core"

local decimal = {}

-- Sign, digits before the point and behind it; nil of what is no amount.
local function read(amount)
  if type(amount) ~= "string" then return nil end
  local minus, whole, rest = (core.difference(amount, "0") or amount):match "^(%-?)(%d+)(.*)$"
  if not whole or whole:find "^0%d" or not (rest == "" or rest:find "^%.%d+$") then return nil end
  return minus == "-" and -1 or 1, whole, rest:sub(2)
end

-- x + factor * y, as many digits of each, where x is the greater.
local function add_digits(x, y, factor)
  local digits, carry = {}, 0
  for i = #x, 1, -1 do
    local sum = x:byte(i) - 48 + factor * (y:byte(i) - 48) + carry
    digits[i], carry = sum % 10, math.floor(sum / 10)
  end
  return carry .. table.concat(digits)
end

local function subtract_digits(a, b)
  local sign_a, whole_a, fraction_a = read(a)
  local sign_b, whole_b, fraction_b = read(b)
  if not sign_a or not sign_b then return nil end
  local places, wide = math.max(#fraction_a, #fraction_b), math.max(#whole_a, #whole_b)
  local x = ("0"):rep(wide - #whole_a) .. whole_a .. fraction_a .. ("0"):rep(places - #fraction_a)
  local y = ("0"):rep(wide - #whole_b) .. whole_b .. fraction_b .. ("0"):rep(places - #fraction_b)
  local sign = sign_a
  if x < y then x, y, sign = y, x, -sign_b end
  local digits = add_digits(x, y, sign_a == sign_b and -1 or 1)
  local whole = digits:sub(1, #digits - places):gsub("^0+(%d)", "%1")
  local fraction = digits:sub(#digits - places + 1):gsub("0+$", "")
  local text = whole .. (fraction ~= "" and "." .. fraction or "")
  return (sign < 0 and text ~= "0" and "-" or "") .. text
end

--- a - b; nil where either is no amount.
---@param a string
---@param b string
---@return string?
function decimal.subtract(a, b)
  return core.difference(a, b) or subtract_digits(a, b)
end

--- -1, 0 or 1, as `a` is less than, equal to or more than `b`.
---@param a string
---@param b string
---@return integer? nil where either is no amount
function decimal.compare(a, b)
  local difference = decimal.subtract(a, b)
  return difference and (difference == "0" and 0 or difference:find "^%-" and -1 or 1)
end

--- The amount without its sign.
---@param amount string
---@return string
function decimal.absolute(amount)
  return (amount:gsub("^%-", ""))
end

return decimal

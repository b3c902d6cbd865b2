--- What can go wrong in the world, as values: functions return `nil, err`. Misuse (a wrong type, an unknown option) raises.
local core = require "openrouter.core"
local printable = require "openrouter.printable"

---@class openrouter.Error
---@field kind string what happened; see docs/errors.md for all of them
---@field message string in words: the API's own where it gave any
---@field retryable boolean whether asking for the same id later may succeed
---@field id? string the id asked for
---@field status? integer HTTP status
---@field code? integer|string the `code` of an API error body
---@field metadata? table the `metadata` of an API error body
---@field attempts? integer requests sent
---@field elapsed? number seconds since the id was submitted
---@field byte? integer where a text stops being JSON, counted from 1
---@field record? openrouter.Generation with kind "wrong_id": the record that came

local errors = {}

--- The kinds after which no other id is asked for with the same key.
---@type table<string, boolean>
errors.stops = {}

local retryable, unwritten = {}, nil
for _, kind in ipairs(core.kinds) do
  retryable[kind.name] = kind.retryable
  if kind.retry == "stop" then errors.stops[kind.name] = true end
  if kind.name == "not_found" then unwritten = kind.meaning end
end

local LONGEST = 300 -- bytes of a server's words that are shown

-- The first LONGEST bytes at most, without half a UTF-8 character at the end.
local function shortened(text)
  if #text <= LONGEST then return text end
  local last = LONGEST
  while last > LONGEST - 4 and text:byte(last + 1) >= 128 and text:byte(last + 1) < 192 do last = last - 1 end
  return text:sub(1, last) .. "…"
end

--- One printable line of any text, cut to a length that fits one.
---@param text any
---@return string
function errors.printable(text)
  return printable.line(shortened(tostring(text)))
end

function core.error_metatable.__tostring(err)
  local parts = {}
  if err.id then parts[1] = errors.printable(err.id) .. ": " end
  parts[#parts + 1] = err.kind
  if err.status then parts[#parts + 1] = (" (HTTP %.0f)"):format(err.status) end
  parts[#parts + 1] = ": " .. errors.printable(err.message)
  if (err.attempts or 0) > 1 then
    parts[#parts + 1] = (" (%.0f attempts in %.1f s)"):format(err.attempts, err.elapsed or 0)
  end
  return table.concat(parts)
end

--- A new error value.
---@param kind string
---@param message string
---@param fields? table more fields
---@return openrouter.Error
function errors.new(kind, message, fields)
  local err = { kind = kind, message = message, retryable = retryable[kind] or false }
  for name, value in pairs(fields or {}) do err[name] = value end
  return setmetatable(err, core.error_metatable)
end

--- Say of a 404 that it may come from elsewhere: it has none of the words that the API's own have.
---@param err openrouter.Error
function errors.explain(err)
  if err.status == 404 and err.message == unwritten and not err.code then
    err.message = err.message .. "; the answer is not one of the API's: is the base URL right, which ends in /api/v1?"
  end
end

return errors

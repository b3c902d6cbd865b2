--- How a line of a ledger begins: {"settled":"gen-…", with what it is and the id it is about.
local line_head = {}

local KINDS = { settled = true, failed = true, pending = true, note = true }
local KIND = '{%s*"(%a+)"%s*:%s*"'

--- Gives the kind, which may be any word, and the id.
line_head.PATTERN = "^%s*" .. KIND .. '([^"\\%c]*)"'

--- What a line says it is, and its id; nil for what is no line of a ledger.
---@param text string
---@return "settled"|"failed"|"pending"|"note"|nil kind
---@return string? id
function line_head.read(text)
  local kind, id = text:match(line_head.PATTERN)
  if KINDS[kind] then return kind, id end
end

--- Whether the first line of a file was cut short before its id was whole: the disk was full from the start.
---@param text string
---@return boolean
function line_head.is_torn(text)
  if KINDS[text:match '^{"(%a+)":"[^"\\]*$'] then return true end
  for name in pairs(KINDS) do
    if text == ('{"' .. name .. '":"'):sub(1, #text) then return true end
  end
  return false
end

--- Whether a line of a ledger begins anywhere in the text.
---@param text string
---@return boolean
function line_head.is_in(text)
  return KINDS[text:match(KIND)] == true
end

return line_head

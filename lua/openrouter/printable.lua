--- Text from outside, as it may be shown: one line of valid UTF-8 with nothing in it that a terminal or a page would obey.
local printable = {}

local LEAST = { 0, 0x80, 0x800, 0x10000 } -- code points that need as many bytes

--- The code point of a whole, valid UTF-8 character; nil of anything else.
---@param character string
---@return integer?
function printable.code_point(character)
  local lead, size = character:byte(), #character
  if size == 1 then return lead < 0x80 and lead or nil end
  if size > 4 or lead < 0xC0 or size ~= (lead < 0xE0 and 2 or lead < 0xF0 and 3 or lead < 0xF8 and 4 or 0) then return nil end
  local point = lead - (size == 2 and 0xC0 or size == 3 and 0xE0 or 0xF0)
  if character:find("[^\128-\191]", 2) then return nil end
  for i = 2, size do point = point * 64 + character:byte(i) - 0x80 end
  local valid = point >= LEAST[size] and point < 0x110000 and not (point >= 0xD800 and point < 0xE000)
  return valid and point or nil
end

--- "\x1B" of a byte, "\u{202E}" of a longer character.
---@param character string
---@return string
function printable.spell_out(character)
  if #character == 1 then return ("\\x%02X"):format(character:byte()) end
  return ("\\u{%X}"):format(printable.code_point(character))
end

-- Bytes that are not UTF-8, which names of files and arguments may have, but no record.
local function spell_invalid(bytes)
  return (bytes:gsub("[\192-\255]?[\128-\191]*", function(character)
    if character ~= "" and not printable.code_point(character) then return (character:gsub(".", printable.spell_out)) end
  end))
end

-- All characters of more than one byte, as table 3-7 of the Unicode standard has them.
local TAIL = "[\128-\191]"
local VALID = {
  "[\194-\223]" .. TAIL,
  "\224[\160-\191]" .. TAIL, "[\225-\236\238\239]" .. TAIL .. TAIL, "\237[\128-\159]" .. TAIL,
  "\240[\144-\191]" .. TAIL .. TAIL, "[\241-\243]" .. TAIL .. TAIL .. TAIL, "\244[\128-\143]" .. TAIL .. TAIL,
}

-- Records are always valid, and may be long: a function call for each of their characters would take many times as long.
local function is_valid(text)
  for _, pattern in ipairs(VALID) do
    if text:find(pattern) then text = text:gsub(pattern, "x") end
  end
  return not text:find "[\128-\255]"
end

-- C1, and what breaks lines or turns the direction of text (Unicode's Bidi_Control).
local OBEYED = { "\194[\128-\159]", "\216\156", "\226\128[\142\143\168-\174]", "\226\129[\166-\169]" }

---@param text string
---@return string
function printable.line(text)
  text = text:gsub("%c", printable.spell_out)
  if not text:find "[\128-\255]" then return text end
  if not is_valid(text) then text = text:gsub("[\128-\255]+", spell_invalid) end
  for _, pattern in ipairs(OBEYED) do
    if text:find(pattern) then text = text:gsub(pattern, printable.spell_out) end
  end
  return text
end

return printable

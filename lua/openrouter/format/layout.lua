--- Text in the columns of a terminal: how wide it is, cut to a width, beside each other, and broken into lines.
local printable = require "openrouter.printable"

local layout = {}

-- Ranges of characters, rising: those that take two columns of a terminal (East Asian scripts and pictures), and those that take
-- none (marks upon the letter before, of the scripts that models and people are named in).
local WIDE = { 0x1100, 0x115F, 0x231A, 0x231B, 0x2329, 0x232A, 0x23E9, 0x23EC, 0x23F0, 0x23F0, 0x23F3, 0x23F3, 0x25FD, 0x25FE,
  0x2614, 0x2615, 0x2648, 0x2653, 0x267F, 0x267F, 0x2693, 0x2693, 0x26A1, 0x26A1, 0x26AA, 0x26AB, 0x26BD, 0x26BE,
  0x26C4, 0x26C5, 0x26CE, 0x26CE, 0x26D4, 0x26D4, 0x26EA, 0x26EA, 0x26F2, 0x26F3, 0x26F5, 0x26F5, 0x26FA, 0x26FA,
  0x26FD, 0x26FD, 0x2705, 0x2705, 0x270A, 0x270B, 0x2728, 0x2728, 0x274C, 0x274C, 0x274E, 0x274E, 0x2753, 0x2755,
  0x2757, 0x2757, 0x2795, 0x2797, 0x27B0, 0x27B0, 0x27BF, 0x27BF, 0x2B1B, 0x2B1C, 0x2B50, 0x2B50, 0x2B55, 0x2B55,
  0x2E80, 0x303E, 0x3041, 0x3247, 0x3250, 0x4DBF, 0x4E00, 0xA4CF, 0xA960, 0xA97C, 0xAC00, 0xD7A3, 0xF900, 0xFAFF,
  0xFE10, 0xFE19, 0xFE30, 0xFE6F, 0xFF01, 0xFF60, 0xFFE0, 0xFFE6, 0x16FE0, 0x1B2FB, 0x1F004, 0x1F004, 0x1F0CF, 0x1F0CF,
  0x1F18E, 0x1F18E, 0x1F191, 0x1F19A, 0x1F200, 0x1F320, 0x1F32D, 0x1F335, 0x1F337, 0x1F37C, 0x1F37E, 0x1F393,
  0x1F3A0, 0x1F3CA, 0x1F3CF, 0x1F3D3, 0x1F3E0, 0x1F3F0, 0x1F3F4, 0x1F3F4, 0x1F3F8, 0x1F43E, 0x1F440, 0x1F440,
  0x1F442, 0x1F4FC, 0x1F4FF, 0x1F53D, 0x1F54B, 0x1F54E, 0x1F550, 0x1F567, 0x1F57A, 0x1F57A, 0x1F595, 0x1F596,
  0x1F5A4, 0x1F5A4, 0x1F5FB, 0x1F64F, 0x1F680, 0x1F6C5, 0x1F6CC, 0x1F6CC, 0x1F6D0, 0x1F6D2, 0x1F6D5, 0x1F6DF,
  0x1F6EB, 0x1F6EF, 0x1F6F4, 0x1F6FF, 0x1F7E0, 0x1F7F0, 0x1F90C, 0x1F93A, 0x1F93C, 0x1F945, 0x1F947, 0x1F9FF,
  0x1FA70, 0x1FAFF, 0x20000, 0x3FFFD }
local NARROW = { 0x300, 0x36F, 0x483, 0x489, 0x591, 0x5BD, 0x5BF, 0x5BF, 0x5C1, 0x5C2, 0x5C4, 0x5C5, 0x5C7, 0x5C7,
  0x610, 0x61A, 0x64B, 0x65F, 0x670, 0x670, 0x6D6, 0x6DC, 0x6DF, 0x6E4, 0x6E7, 0x6E8, 0x6EA, 0x6ED, 0x900, 0x902,
  0x93A, 0x93A, 0x93C, 0x93C, 0x941, 0x948, 0x94D, 0x94D, 0x951, 0x957, 0x962, 0x963, 0x981, 0x981, 0x9BC, 0x9BC,
  0x9C1, 0x9C4, 0x9CD, 0x9CD, 0xA01, 0xA02, 0xA3C, 0xA3C, 0xA41, 0xA4D, 0xA70, 0xA71, 0xA81, 0xA82, 0xABC, 0xABC,
  0xAC1, 0xAC8, 0xACD, 0xACD, 0xB01, 0xB01, 0xB3C, 0xB3C, 0xB3F, 0xB3F, 0xB41, 0xB44, 0xB4D, 0xB4D, 0xB82, 0xB82,
  0xBC0, 0xBC0, 0xBCD, 0xBCD, 0xC00, 0xC00, 0xC3E, 0xC40, 0xC46, 0xC4D, 0xCBC, 0xCBC, 0xCBF, 0xCBF, 0xCC6, 0xCC6,
  0xCCC, 0xCCD, 0xD41, 0xD44, 0xD4D, 0xD4D, 0xDCA, 0xDCA, 0xDD2, 0xDD6, 0xE31, 0xE31, 0xE34, 0xE3A, 0xE47, 0xE4E,
  0xEB1, 0xEB1, 0xEB4, 0xEBC, 0xEC8, 0xECD, 0x102D, 0x1030, 0x1032, 0x1037, 0x1039, 0x103A, 0x103D, 0x103E, 0x1160, 0x11FF,
  0x17B7, 0x17BD, 0x17C6, 0x17C6, 0x17C9, 0x17D3, 0x1AB0, 0x1AFF, 0x1DC0, 0x1DFF, 0x200B, 0x200F, 0x2060, 0x2064,
  0x20D0, 0x20FF, 0x302A, 0x302D, 0x3099, 0x309A, 0xFE00, 0xFE0F, 0xFE20, 0xFE2F, 0xFEFF, 0xFEFF, 0xE0001, 0xE01EF }

local function is_among(point, ranges)
  local low, high = 1, #ranges / 2 -- pairs
  while low < high do
    local middle = math.floor((low + high) / 2)
    if point > ranges[2 * middle] then low = middle + 1 else high = middle end
  end
  return point >= ranges[2 * low - 1] and point <= ranges[2 * low]
end

local function columns_of(character)
  local point = #character > 1 and printable.code_point(character)
  if not point then return 1 end
  return is_among(point, NARROW) and 0 or is_among(point, WIDE) and 2 or 1
end

local CHARACTER = "[^\128-\191][\128-\191]*"

--- Columns of a terminal that a text takes.
---@param text string
---@return integer
function layout.width(text)
  if not text:find "[\128-\255]" then return #text end
  local width = 0
  for character in text:gmatch(CHARACTER) do width = width + columns_of(character) end
  return width
end

--- The longest head of a text that is no wider than that, and what comes behind it.
---@param text string
---@param most integer columns
---@return string head, string tail
function layout.split(text, most)
  local width, at = 0, 1
  for character in text:gmatch(CHARACTER) do
    width = width + columns_of(character)
    if width > most then break end
    at = at + #character
  end
  return text:sub(1, at - 1), text:sub(at)
end

-- The longest tail of a text that is no wider than that.
local function tail(text, most)
  local _, rest = layout.split(text, layout.width(text) - most)
  while layout.width(rest) > most do rest = rest:gsub("^" .. CHARACTER, "") end -- half of a wide character is in the way
  return rest
end

local LONG = 8192 -- bytes, of which no terminal shows more

-- The bytes at both ends of a text that is much too long, by whole characters.
local function ends(text)
  local head, rest = text:sub(1, LONG / 2), text:sub(-LONG / 2)
  return (head:gsub("[\192-\255][\128-\191]*$", "")), (rest:gsub("^[\128-\191]+", ""))
end

--- A text that is too wide with something cut out of its middle: beginnings and ends are what tells names apart.
---@param text string
---@param most integer columns
---@return string
function layout.shorten(text, most)
  if #text <= LONG and layout.width(text) <= most then return text end
  local behind, head, rest = math.floor((most - 1) / 2), text, text
  if #text > LONG then head, rest = ends(text) end
  return (layout.split(head, most - 1 - behind)) .. "…" .. tail(rest, behind)
end

--- How wide the columns of these lines are; the first `left` of them are set to the left.
---@param lines string[][] their cells
---@param left integer
---@return { width: integer, left: boolean }[]
function layout.columns(lines, left)
  local columns = {}
  for _, cells in ipairs(lines) do
    for i, cell in ipairs(cells) do
      columns[i] = columns[i] or { width = 0, left = i <= left }
      columns[i].width = math.max(columns[i].width, layout.width(cell))
    end
  end
  return columns
end

--- A line of cells in their columns, those that are too wide with something cut out.
---@param cells string[]
---@param columns { width: integer, left: boolean? }[]
---@return string
function layout.line(cells, columns)
  local padded = {}
  for i, column in ipairs(columns) do
    local cell = layout.shorten(cells[i], column.width)
    local space = (" "):rep(column.width - layout.width(cell))
    padded[i] = column.left and cell .. space or space .. cell
  end
  return (table.concat(padded, "  "):gsub(" +$", ""))
end

--- Add a sentence in lines no wider than `most`, broken at spaces where there are any; those after the first are indented.
---@param lines string[]
---@param text string
---@param most number columns
---@param indent? string
function layout.add_wrapped(lines, text, most, indent)
  indent = indent or ""
  while layout.width(text) > most do
    local head = layout.split(text, most)
    local space = head:match "^.*%S() +%S*$"
    if space and space > most / 3 then head = text:sub(1, space - 1) end
    lines[#lines + 1] = head
    text = indent .. text:sub(#head + 1):gsub("^ +", "")
  end
  lines[#lines + 1] = text
end

return layout

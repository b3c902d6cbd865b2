--- What the formats share: figures and names as people read them, and in plain sentences what a report leaves out.
local core = require "openrouter.core"

local words = {}

-- ---- text -----------------------------------------------------------------------------------------------------------

local LEAST = { 0, 0x80, 0x800, 0x10000 } -- code points that need as many bytes

-- The code point of a whole, valid UTF-8 character; nil of anything else.
local function code_point(character)
  local lead, size = character:byte(), #character
  if size == 1 then return lead < 0x80 and lead or nil end
  if size > 4 or lead < 0xC0 or size ~= (lead < 0xE0 and 2 or lead < 0xF0 and 3 or lead < 0xF8 and 4 or 0) then return nil end
  local point = lead - (size == 2 and 0xC0 or size == 3 and 0xE0 or 0xF0)
  for i = 2, size do point = point * 64 + character:byte(i) - 0x80 end
  local valid = point >= LEAST[size] and point < 0x110000 and not (point >= 0xD800 and point < 0xE000)
  return valid and point or nil
end

-- A terminal obeys some characters; they are spelt out: control characters, C1 among them, and those that turn the
-- direction of the text or break the line.
local function spell_out(character)
  if #character == 1 then return ("\\x%02X"):format(character:byte()) end
  return ("\\u{%X}"):format(code_point(character))
end

-- Bytes that are not UTF-8, which only names of files may have.
local function spell_invalid(bytes)
  return (bytes:gsub("[\192-\255]?[\128-\191]*", function(character)
    if character ~= "" and not code_point(character) then return (character:gsub(".", spell_out)) end
  end))
end

-- What a terminal would obey is spelt out in valid UTF-8, as all text of a record is.
local function obedient(text)
  return (text:gsub("%c", spell_out):gsub("\194[\128-\159]", spell_out):gsub("\226\128[\168-\174]", spell_out)
    :gsub("\226\129[\166-\169]", spell_out))
end

--- Valid UTF-8 on one line, and nothing in it that a terminal would obey.
---@param text string
---@return string
function words.printable(text)
  return obedient((text:gsub("[\128-\255]+", spell_invalid)))
end

-- Ranges, rising, of what takes two columns of a terminal: East Asian scripts and pictures; and none: marks upon the letter
-- before, of the scripts that models and people are named in.
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
  local point = #character > 1 and code_point(character)
  if not point then return 1 end
  return is_among(point, NARROW) and 0 or is_among(point, WIDE) and 2 or 1
end

local CHARACTER = "[^\128-\191][\128-\191]*"

--- Columns of a terminal that a text takes.
---@param text string
---@return integer
function words.width(text)
  if not text:find "[\128-\255]" then return #text end
  local width = 0
  for character in text:gmatch(CHARACTER) do width = width + columns_of(character) end
  return width
end

--- The longest head of a text that is no wider than that, and what comes behind it.
---@param text string
---@param most integer columns
---@return string head, string tail
function words.split(text, most)
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
  local _, rest = words.split(text, words.width(text) - most)
  while words.width(rest) > most do rest = rest:gsub("^" .. CHARACTER, "") end -- half of a wide character is in the way
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
function words.shorten(text, most)
  if #text <= LONG and words.width(text) <= most then return text end
  local behind, head, rest = math.floor((most - 1) / 2), text, text
  if #text > LONG then head, rest = ends(text) end
  return (words.split(head, most - 1 - behind)) .. "…" .. tail(rest, behind)
end

-- What leaves no ink: spaces of any width, and what joins, parts, fills, or chooses a variant.
local BLANKS = { " ", "\194[\160\173]", "\205\143", "\216\156", "\225\133[\159\160]", "\225\154\128", "\225\160\142",
  "\226\128[\128-\143\175]", "\226\129[\159-\164]", "\226\160\128", "\227\128\128", "\227\133\164", "\239\184[\128-\143]",
  "\239\187\191", "\239\190\160", "\243\160[\128-\135][\128-\191]" }

local function has_ink(text)
  if text:find "[%w%p]" then return true end
  for _, blank in ipairs(BLANKS) do text = text:gsub(blank, "") end
  return text ~= ""
end

-- ---- columns --------------------------------------------------------------------------------------------------------

--- How wide the columns of these lines are; the first `left` of them are set to the left.
---@param lines string[][] their cells
---@param left integer
---@return { width: integer, left: boolean }[]
function words.columns(lines, left)
  local columns = {}
  for _, cells in ipairs(lines) do
    for i, cell in ipairs(cells) do
      columns[i] = columns[i] or { width = 0, left = i <= left }
      columns[i].width = math.max(columns[i].width, words.width(cell))
    end
  end
  return columns
end

--- A line of cells in their columns, those that are too wide with something cut out.
---@param cells string[]
---@param columns { width: integer, left: boolean? }[]
---@return string
function words.line(cells, columns)
  local padded = {}
  for i, column in ipairs(columns) do
    local cell = words.shorten(cells[i], column.width)
    local space = (" "):rep(column.width - words.width(cell))
    padded[i] = column.left and cell .. space or space .. cell
  end
  return (table.concat(padded, "  "):gsub(" +$", ""))
end

--- A value of a dimension. One of nothing to be seen is between quotes, and so is one with spaces at an end.
---@param value string|number|boolean
---@return string
function words.name(value)
  if type(value) == "number" then return core.number_text(value) end
  local text = obedient(tostring(value))
  if not has_ink(text) then return '"' .. text:gsub("[\194-\243][\128-\191]+", spell_out) .. '"' end
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

--- Add a sentence in lines no wider than `most`, broken at spaces where there are any; those after the first are indented.
---@param lines string[]
---@param text string
---@param most number columns
---@param indent? string
function words.add_wrapped(lines, text, most, indent)
  indent = indent or ""
  while words.width(text) > most do
    local head = words.split(text, most)
    local space = head:match "^.*%S() +%S*$"
    if space and space > most / 3 then head = text:sub(1, space - 1) end
    lines[#lines + 1] = head
    text = indent .. text:sub(#head + 1):gsub("^ +", "")
  end
  lines[#lines + 1] = text
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

-- ---- sentences ------------------------------------------------------------------------------------------------------

-- A time to the second.
local function moment(text)
  return (words.printable(text):gsub("%.%d+", "", 1))
end

--- "from 2026-11-01 to 2026-11-30", also where only one of them is known; nil where none is.
---@param first string?
---@param last string?
---@return string?
function words.covered(first, last)
  if first and last then return ("from %s to %s"):format(first, last) end
  return first and "from " .. first .. " on" or last and "up to " .. last or nil
end

--- What time a report is about; nil where it does not say.
---@param period? { since: string?, until: string?, tz: string, first: string?, last: string? }
---@return string?
function words.period(period)
  if not period then return nil end
  local parts, since, upto = {}, period.since, period["until"]
  local covered = words.covered(period.first and moment(period.first), period.last and moment(period.last))
  if not (covered or since or upto) then return nil end
  if since then parts[#parts + 1] = "since " .. words.printable(since) end
  if upto then parts[#parts + 1] = "until " .. words.printable(upto) end
  if covered then parts[#parts + 1] = "records " .. covered end
  parts[#parts + 1] = "zone " .. words.printable(period.tz)
  return "Period: " .. table.concat(parts, ", ") .. "."
end

local function conflict_text(conflicts)
  if conflicts == 0 then return "." end
  return ("; those of %s differ, and the one settled last counts."):format(words.plural(conflicts, "id", "ids"))
end

-- What the open ones cost, as far as the responses themselves said so.
local function open_text(omitted)
  local text = words.plural(omitted.pending, "generation is", "generations are") .. " still open, without a record"
  local exact = omitted.exact and omitted.exact.instant_cost
  local unknown = omitted.instant_unknown or 0
  local one = omitted.pending == 1
  if not exact then
    return text .. (omitted.instant_unknown and ("; what %s is not known."):format(one and "it cost" or "they cost") or ".")
  end
  text = ("%s; by %s cost %s USD"):format(text, one and "its response it" or "their responses they", words.amount(exact))
  if unknown == 0 then return text .. "." end
  return ("%s, but %s not say."):format(text, words.plural(unknown, "of them does", "of them do"))
end

--- What of it is counted, by name.
---@type string[]
words.omitted_counts = { "pending", "failed", "unpriced", "skipped", "duplicates", "conflicts", "filtered", "undated", "changed" }

--- What is not in the figures: sentences, of which there is always one; and the first of the skipped lines, which belong
--- to the last sentence.
---@param omitted openrouter.Omitted
---@return string[] sentences, string[] notes
function words.omitted(omitted)
  local lines, notes, plural = {}, {}, words.plural
  local function say(n, text)
    if n > 0 then lines[#lines + 1] = text end
  end
  say(omitted.pending, open_text(omitted))
  say(omitted.failed, plural(omitted.failed, "generation has", "generations have") .. " no record, because the lookup failed.")
  say(omitted.unpriced, plural(omitted.unpriced, "generation has", "generations have")
    .. " no known price: counted, but in no sum of spend.")
  say(omitted.duplicates, plural(omitted.duplicates, "repeated record is", "repeated records are") .. " not counted again"
    .. conflict_text(omitted.conflicts))
  say(omitted.filtered, plural(omitted.filtered, "generation is", "generations are")
    .. " not of those asked for (since, until, where).")
  say(omitted.changed or 0, plural(omitted.changed or 0, "record", "records")
    .. " may count twice, as a file was changed while it was read.")
  say(omitted.undated, plural(omitted.undated, "generation has", "generations have")
    .. " no time of creation, and may be outside of since and until: not counted.")
  say(omitted.skipped, plural(omitted.skipped, "line or record was", "lines or records were") .. " skipped:")
  if #lines == 0 then lines[1] = "Nothing is left out." end
  for i, note in ipairs(omitted.lines) do
    local place = note.file and ("%s:%d: "):format(words.printable(note.file), note.line) or ""
    notes[i] = place .. words.printable(note.reason)
  end
  if omitted.skipped > #notes then notes[#notes + 1] = ("and %s more"):format(words.count(omitted.skipped - #notes)) end
  return lines, notes
end

return words

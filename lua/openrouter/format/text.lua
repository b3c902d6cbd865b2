--- A report as a table for people, and what it leaves out in plain sentences.
local core = require "openrouter.core"

-- ---- cells ----------------------------------------------------------------------------------------------------------

local LONGEST = 80 -- characters of a name that are shown

-- A terminal obeys some characters; they are spelt out: control characters, C1 among them, and those that turn the
-- direction of the text or break the line.
local function spell_out(character)
  local a, b, c = character:byte(1, 3)
  if not b then return ("\\x%02X"):format(a) end
  if not c then return ("\\u{%X}"):format((a - 0xC0) * 64 + b - 0x80) end
  return ("\\u{%X}"):format((a - 0xE0) * 4096 + (b - 0x80) * 64 + c - 0x80)
end

local function printable(text)
  return (text:gsub("%c", spell_out):gsub("\194[\128-\159]", spell_out)
    :gsub("\226\128[\168-\174]", spell_out):gsub("\226\129[\166-\169]", spell_out))
end

-- Characters, which is columns for all but wide and combining ones.
local function width(text)
  local _, continuing = text:gsub("[\128-\191]", "")
  return #text - continuing
end

local function shorten(text)
  if width(text) <= LONGEST then return text end
  local kept = {}
  for character in text:gmatch "[^\128-\191][\128-\191]*" do
    kept[#kept + 1] = character
    if #kept == LONGEST - 1 then return table.concat(kept) .. "…" end
  end
end

local function name_cell(value)
  if type(value) == "number" then return core.number_text(value) end
  if value == "" then return '""' end
  return shorten(printable(tostring(value)))
end

local function separated(digits)
  repeat
    local changed
    digits, changed = digits:gsub("^(-?%d+)(%d%d%d)", "%1,%2")
  until changed == 0
  return digits
end

local function count_cell(value)
  return separated(("%.0f"):format(value))
end

-- The error of a quantile is up to 1/128, so more digits would say nothing.
local function ms_cell(value)
  return value >= 10 and count_cell(value) or ("%.1f"):format(value)
end

-- ---- money ----------------------------------------------------------------------------------------------------------

local PLACES = 6

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

-- An exact amount, rounded half-even: sign, digits before the point, PLACES digits after it.
local function rounded(exact)
  local sign, whole, fraction = exact:match "^(-?)(%d+)%.?(%d*)$"
  local digits = whole .. (fraction .. ("0"):rep(PLACES)):sub(1, PLACES)
  if rounds_up(fraction:sub(PLACES + 1), digits:byte(-1)) then digits = successor(digits) end
  return sign, digits:sub(1, -PLACES - 1), digits:sub(-PLACES)
end

-- As many places for all amounts of a column as the one that needs most, two at least.
local function places_needed(rows, name)
  local most = 2
  for _, row in ipairs(rows) do
    if row.exact[name] then
      local _, _, fraction = rounded(row.exact[name])
      most = math.max(most, #fraction:gsub("0+$", ""))
    end
  end
  return most
end

local function money_cell(exact, places)
  local sign, whole, fraction = rounded(exact)
  if exact:find "[1-9]" and not (whole .. fraction):find "[1-9]" then -- too small to be shown, but not nothing
    return sign == "" and "<0.000001" or ">-0.000001"
  end
  return sign .. separated(whole) .. "." .. fraction:sub(1, places)
end

-- ---- the table ------------------------------------------------------------------------------------------------------

local CELLS = { count = count_cell, tokens = count_cell, ms = ms_cell }
local UNITS = { USD = "USD", ms = "ms" }
local LINE = 11 -- characters of a header's line

-- A long name over narrow figures is broken behind its underscores, so that tables fit more screens.
local function break_name(name)
  local lines = {}
  for part in (name .. "_"):gmatch "(.-_)" do
    if lines[1] and #lines[#lines] + #part <= LINE then lines[#lines] = lines[#lines] .. part
    else lines[#lines + 1] = part end
  end
  lines[#lines] = lines[#lines]:sub(1, -2)
  return lines
end

-- The column of a measure: its header, a cell for each row.
local function measure_column(measure, rows)
  local column = { header = break_name(measure.name) }
  if UNITS[measure.unit] then column.header[#column.header + 1] = UNITS[measure.unit] end
  local places = measure.unit == "USD" and places_needed(rows, measure.name)
  for i, row in ipairs(rows) do
    local value = row[measure.name]
    if value == nil then column[i] = "-"
    elseif places then column[i] = money_cell(row.exact[measure.name], places)
    else column[i] = CELLS[measure.unit](value) end
  end
  return column
end

local function dimension_column(name, rows, first)
  local column = { header = { printable(name) }, left = true }
  for i = 1, #rows - 1 do column[i] = name_cell(rows[i][name]) end
  column[#rows] = first and "total" or ""
  return column
end

local function make_columns(view, rows)
  local columns = {}
  for i, name in ipairs(view.dimensions) do columns[i] = dimension_column(name, rows, i == 1) end
  for _, measure in ipairs(view.measures) do columns[#columns + 1] = measure_column(measure, rows) end
  return columns
end

local function set_width(column)
  column.width = 0
  for _, part in ipairs(column.header) do column.width = math.max(column.width, width(part)) end
  for _, cell in ipairs(column) do column.width = math.max(column.width, width(cell)) end
end

local function line(columns, cell_of)
  local cells = {}
  for i, column in ipairs(columns) do
    local cell = cell_of(column)
    local space = (" "):rep(column.width - width(cell))
    cells[i] = column.left and cell .. space or space .. cell
  end
  return (table.concat(cells, "  "):gsub(" +$", ""))
end

-- The headers' lines, the last one next to the figures.
local function header_lines(columns)
  local height, lines = 0, {}
  for _, column in ipairs(columns) do height = math.max(height, #column.header) end
  for i = 1, height do
    lines[i] = line(columns, function(column) return column.header[#column.header - height + i] or "" end)
  end
  return lines
end

local function table_lines(view)
  local rows = {}
  if #view.dimensions > 0 then -- else the only row is the total
    for i, row in ipairs(view.rows) do rows[i] = row end
  end
  rows[#rows + 1] = view.total
  local columns = make_columns(view, rows)
  for _, column in ipairs(columns) do set_width(column) end
  local rule = line(columns, function(column) return ("-"):rep(column.width) end)
  local lines = header_lines(columns)
  lines[#lines + 1] = rule
  for i in ipairs(rows) do
    if i == #rows and i > 1 then lines[#lines + 1] = rule end
    lines[#lines + 1] = line(columns, function(column) return column[i] end)
  end
  return lines
end

-- ---- what is omitted ------------------------------------------------------------------------------------------------

local function plural(n, one, many)
  return count_cell(n) .. " " .. (n == 1 and one or many)
end

local function note_text(note)
  local place = note.file and ("%s:%d: "):format(printable(note.file), note.line) or ""
  return "  " .. place .. printable(note.reason)
end

local function skipped_lines(lines, omitted)
  lines[#lines + 1] = plural(omitted.skipped, "line or record was", "lines or records were") .. " skipped:"
  for _, note in ipairs(omitted.lines) do lines[#lines + 1] = note_text(note) end
  if omitted.skipped > #omitted.lines then
    lines[#lines + 1] = ("  and %s more"):format(count_cell(omitted.skipped - #omitted.lines))
  end
end

local function conflict_text(conflicts)
  if conflicts == 0 then return "." end
  return ("; those of %s differ, and the one settled last counts."):format(plural(conflicts, "id", "ids"))
end

local function omitted_lines(omitted)
  local lines = {}
  local function say(n, text)
    if n > 0 then lines[#lines + 1] = text end
  end
  say(omitted.pending, plural(omitted.pending, "generation is", "generations are") .. " still open, without a record.")
  say(omitted.failed, plural(omitted.failed, "generation has", "generations have") .. " no record, because the lookup failed.")
  say(omitted.unpriced, plural(omitted.unpriced, "generation has", "generations have")
    .. " no known price: counted, but in no sum of spend.")
  say(omitted.duplicates, plural(omitted.duplicates, "repeated record is", "repeated records are") .. " not counted again"
    .. conflict_text(omitted.conflicts))
  say(omitted.filtered, plural(omitted.filtered, "generation is", "generations are")
    .. " not of those asked for (since, until, where).")
  say(omitted.undated, plural(omitted.undated, "generation has", "generations have")
    .. " no time of creation, and may be outside of since and until: not counted.")
  if omitted.skipped > 0 then skipped_lines(lines, omitted) end
  if #lines == 0 then lines[1] = "Nothing is left out." end
  return lines
end

---@param view openrouter.ReportView
---@return string
return function(view)
  local lines = table_lines(view)
  lines[#lines + 1] = ""
  for _, text in ipairs(omitted_lines(view.omitted)) do lines[#lines + 1] = text end
  return table.concat(lines, "\n") .. "\n"
end

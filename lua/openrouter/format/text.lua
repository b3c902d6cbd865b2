--- A report as a table for people, fitted to their terminal, and what it leaves out in plain sentences.
local layout = require "openrouter.format.layout"
local partial = require "openrouter.format.partial"
local printable = require "openrouter.printable"
local scope = require "openrouter.format.scope"
local words = require "openrouter.format.words"

local width = layout.width

-- ---- columns --------------------------------------------------------------------------------------------------------

local LONGEST = 80      -- columns of a name that are shown
local SHORT, LEAST = 24, 8 -- columns that names may be narrowed to: before measures are left out, and after
local HEADER = 11       -- characters of a header's line
local GAP = 2           -- which layout.line leaves between columns
local NARROWEST = 20    -- terminals are taken to be that wide
local UNITS = { USD = "USD", ms = "ms" }

-- A long name over narrow figures is broken behind its underscores, so that tables fit more screens.
local function break_name(name)
  local lines = {}
  for part in (name .. "_"):gmatch "(.-_)" do
    if lines[1] and #lines[#lines] + #part <= HEADER then lines[#lines] = lines[#lines] .. part
    else lines[#lines + 1] = part end
  end
  lines[#lines] = lines[#lines]:sub(1, -2)
  return lines
end

local function set_width(column)
  column.width = 0
  for _, part in ipairs(column.header) do column.width = math.max(column.width, width(part)) end
  for _, cell in ipairs(column) do column.width = math.max(column.width, width(cell)) end
  column.natural = column.width
  return column
end

-- The column of a measure: its header, a cell for each row.
local function measure_column(measure, rows)
  local column = { header = break_name(measure.name), measure = measure }
  if UNITS[measure.unit] then column.header[#column.header + 1] = UNITS[measure.unit] end
  local cell_of = words.cells(measure, rows)
  for i, row in ipairs(rows) do column[i] = cell_of(row) end
  return set_width(column)
end

local function dimension_column(name, rows, star, first)
  local column = { header = { printable.line(name) }, left = true, fixed = partial.times[name] } -- a cut time says nothing
  for i = 1, #rows - 1 do column[i] = words.name(rows[i][name]) .. star(name, rows[i]) end
  column[#rows] = first and "total" or ""
  set_width(column)
  column.width = math.min(column.width, LONGEST) -- wherever it goes, a line of a thousand letters helps nobody
  column.natural = column.width
  return column
end

local function make_columns(view, rows, star)
  local columns = {}
  for i, name in ipairs(view.dimensions) do columns[i] = dimension_column(name, rows, star, i == 1) end
  for _, measure in ipairs(view.measures) do columns[#columns + 1] = measure_column(measure, rows) end
  return columns
end

-- ---- fitting --------------------------------------------------------------------------------------------------------

local function total_width(columns)
  local total = -GAP
  for _, column in ipairs(columns) do total = total + GAP + column.width end
  return total
end

local function widest_name(columns)
  local widest
  for _, column in ipairs(columns) do
    if column.left and not column.fixed and (not widest or column.width > widest.width) then widest = column end
  end
  return widest
end

-- Make names narrower, the widest first, until it all fits; whether it does.
local function narrow(columns, most, least)
  local over = total_width(columns) - most
  while over > 0 do
    local column = widest_name(columns)
    if not column or column.width <= least then return false end
    column.width, over = column.width - 1, over - 1
  end
  return true
end

local function restore(columns)
  for _, column in ipairs(columns) do column.width = column.natural end
end

-- The place of the measure to leave out next: the last that is no money, then the last of all; never spend, nor the only one.
local function least_important(columns)
  local money
  if not (columns[#columns - 1] or {}).measure then return nil end
  for i = #columns, 1, -1 do
    local measure = columns[i].measure
    if measure and measure.unit ~= "USD" then return i end
    if measure and measure.name ~= "spend" then money = money or i end
  end
  return money
end

-- Columns that fit into `most`, and the names of those that do not; nil where not even the names and spend do.
local function fit(columns, most)
  local left_out = {}
  while not narrow(columns, most, SHORT) do
    restore(columns)
    local place = least_important(columns)
    if not place then return narrow(columns, most, LEAST) and columns or nil, left_out end
    table.insert(left_out, 1, table.remove(columns, place).measure.name)
  end
  return columns, left_out
end

-- ---- shares ---------------------------------------------------------------------------------------------------------

local EIGHTHS = { "▏", "▎", "▍", "▌", "▋", "▊", "▉" }
local PERCENT, SHORTEST_BAR, LONGEST_BAR = 4, 8, 24

local function bar(share, length)
  local eighths = math.floor(share * length * 8 + 0.5)
  if share > 0 and eighths == 0 then eighths = 1 end
  local full = math.floor(eighths / 8)
  return ("█"):rep(full) .. (EIGHTHS[eighths - full * 8] or "")
end

local function percent(share)
  if share > 0 and share < 0.01 then return " <1%" end
  return ("%3d%%"):format(math.floor(share * 100 + 0.5)) -- what %.0f does with halves depends on the Lua
end

-- How spend is spread over the rows; nil where there is no room, or no such thing.
local function share_column(rows, room)
  local total = rows[#rows].spend
  if #rows < 3 or not total or total <= 0 or room < GAP + PERCENT + 1 + SHORTEST_BAR then return nil end
  local column = { header = { "share" }, left = true, fixed = true }
  local length = math.min(room - GAP - PERCENT - 1, LONGEST_BAR)
  for i = 1, #rows - 1 do
    local share = (rows[i].spend or 0) / total
    if share < 0 or share > 1 then return nil end -- of sums with negative amounts
    column[i] = rows[i].spend and percent(share) .. " " .. bar(share, length) or ""
  end
  column[#rows] = ""
  return set_width(column)
end

-- ---- the table ------------------------------------------------------------------------------------------------------

local function line(columns, cell_of)
  local cells = {}
  for i, column in ipairs(columns) do cells[i] = cell_of(column) end
  return layout.line(cells, columns)
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

local function table_lines(columns, rows, paint)
  local rule = paint("dim", line(columns, function(column) return ("-"):rep(column.width) end))
  local lines = header_lines(columns)
  lines[#lines + 1] = rule
  for i in ipairs(rows) do
    local text = line(columns, function(column) return column[i] end)
    if i == #rows and i > 1 then
      lines[#lines + 1] = rule
      text = paint("bold", text)
    end
    lines[#lines + 1] = text
  end
  return lines
end

-- ---- text in lines --------------------------------------------------------------------------------------------------

local function add_listed(lines, view, row, star, cells_of, most)
  for _, name in ipairs(row == view.total and {} or view.dimensions) do
    local value = layout.shorten(words.name(row[name]), LONGEST) .. star(name, row)
    layout.add_wrapped(lines, printable.line(name) .. ": " .. value, most, "  ")
  end
  for i, measure in ipairs(view.measures) do
    local unit = UNITS[measure.unit] and " " .. UNITS[measure.unit] or ""
    layout.add_wrapped(lines, ("%s: %s%s"):format(measure.name, cells_of[i](row), unit), most, "  ")
  end
end

-- Where a terminal is too narrow for any table: a line for each figure.
local function listed_lines(view, rows, star, most)
  local lines, cells_of = {}, {}
  for i, measure in ipairs(view.measures) do cells_of[i] = words.cells(measure, rows) end
  for i, row in ipairs(rows) do
    if i > 1 then lines[#lines + 1] = ("-"):rep(math.min(most, SHORT)) end
    if i == #rows then lines[#lines + 1] = "total" end
    add_listed(lines, view, row, star, cells_of, most)
  end
  return lines
end

local function closing_lines(lines, view, in_part, left_out, most)
  local period = scope.period(view.period)
  if in_part then layout.add_wrapped(lines, in_part, most, "  ") end
  if period then layout.add_wrapped(lines, period, most) end
  if #left_out > 0 then
    layout.add_wrapped(lines, ("Not shown for want of room: %s (a wider terminal has them, and --measures chooses)."):format(
      table.concat(left_out, ", ")), most)
  end
  local sentences, notes = scope.omitted(view.omitted)
  for _, text in ipairs(sentences) do layout.add_wrapped(lines, text, most) end
  for _, text in ipairs(notes) do layout.add_wrapped(lines, "  " .. text, most, "    ") end
end

-- ---- the whole ------------------------------------------------------------------------------------------------------

local CODES = { bold = "\27[1m%s\27[22m", dim = "\27[2m%s\27[22m" }

local function painter(color)
  return function(style, text) return color and CODES[style]:format(text) or text end
end

---@class openrouter.TextOptions
---@field width? integer columns of the terminal; nil: as wide as the table is, without bars, as for a file
---@field color? boolean a bold total and dim rules, by escape sequences of ISO 6429; default false

---@param view openrouter.ReportView
---@param options? openrouter.TextOptions
---@return string
return function(view, options)
  options = options or {}
  local most, paint = math.max(options.width or math.huge, NARROWEST), painter(options.color)
  local rows = words.all_rows(view)
  local star, in_part = partial.stars(view)
  local columns, left_out = fit(make_columns(view, rows, star), most)
  local lines
  if columns then
    if options.width then columns[#columns + 1] = share_column(rows, most - total_width(columns)) end
    lines = table_lines(columns, rows, paint)
  else
    lines, left_out = listed_lines(view, rows, star, most), {}
  end
  lines[#lines + 1] = ""
  closing_lines(lines, view, in_part, left_out, most)
  return table.concat(lines, "\n") .. "\n"
end

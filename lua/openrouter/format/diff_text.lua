--- Two reports side by side as a table for people: a line for each measure of a row.
local decimal = require "openrouter.decimal"
local layout = require "openrouter.format.layout"
local option = require "openrouter.options"
local printable = require "openrouter.printable"
local scope = require "openrouter.format.scope"
local words = require "openrouter.format.words"

local LONGEST, SHORTEST = 60, 12 -- columns of a name that are shown, at most and in a narrow terminal
local unpack = table.unpack or unpack
local UNITS = { USD = " USD", ms = " ms" }

-- ---- cells ----------------------------------------------------------------------------------------------------------

-- The change as a row of a report, without its sign.
local function change_row(row, name)
  local change, exact = row.change[name], row.exact[name]
  return { [name] = change and math.abs(change), exact = { [name] = exact and decimal.absolute(exact) } }
end

-- What to show of a measure: a function of a row of a report.
local function cells_of(measure, rows)
  local all = {}
  for _, row in ipairs(rows) do
    all[#all + 1] = row.a
    all[#all + 1] = row.b
    all[#all + 1] = change_row(row, measure.name)
  end
  return words.cells(measure, all)
end

local function change_cell(row, name, cell_of)
  local change, cell = row.change[name], cell_of(change_row(row, name))
  if not change then return cell end
  if change == 0 then return "=" end
  if cell:find "^<" then return change > 0 and cell or cell:gsub("^<", ">-") end -- too small to be shown
  return (change > 0 and "+" or "-") .. cell
end

local function percent_cell(row, name)
  if not row.a then return "new" end
  if not row.b then return "gone" end
  if row.change[name] == 0 then return "" end -- = says it all
  local percent = row.percent[name]
  if not percent then return "-" end
  return (math.abs(percent) < 1000 and "%+.1f%%" or "%+.0f%%"):format(percent)
end

-- ---- the table ------------------------------------------------------------------------------------------------------

-- The lines of a row: names, measure, a, b, change, percent.
local function add_row(lines, names, row, measures, cells)
  for i, measure in ipairs(measures) do
    local line, cell_of = {}, cells[i]
    for j, name in ipairs(names) do line[j] = i == 1 and name or "" end
    line[#line + 1] = measure.name .. (UNITS[measure.unit] or "")
    line[#line + 1] = row.a and cell_of(row.a) or "-"
    line[#line + 1] = row.b and cell_of(row.b) or "-"
    line[#line + 1] = change_cell(row, measure.name, cell_of)
    line[#line + 1] = percent_cell(row, measure.name)
    lines[#lines + 1] = line
  end
end

local function names_of(row, dimensions)
  local names = {}
  for i, name in ipairs(dimensions) do names[i] = layout.shorten(words.name(row.key[name]), LONGEST) end
  return names
end

local function heads(view)
  local head = {}
  for i, name in ipairs(view.dimensions) do head[i] = printable.line(name) end
  head[#head + 1] = ""
  for _, side in ipairs { view.a, view.b } do head[#head + 1] = layout.shorten(printable.line(side.name), 24) end
  head[#head + 1] = "change"
  head[#head + 1] = ""
  return head
end

-- Lists of cells, and "-" for a rule, "" for space.
local function table_rows(view)
  local lines, cells, every = { heads(view), "-" }, {}, { view.total }
  for i, row in ipairs(view.rows) do every[i + 1] = row end
  for i, measure in ipairs(view.measures) do cells[i] = cells_of(measure, every) end
  local rows = #view.dimensions > 0 and view.rows or {} -- else the only row is the total
  for i, row in ipairs(rows) do
    if i > 1 and #view.measures > 1 then lines[#lines + 1] = "" end
    add_row(lines, names_of(row, view.dimensions), row, view.measures, cells)
  end
  if #rows > 0 then lines[#lines + 1] = "-" end
  local names = {}
  for i in ipairs(view.dimensions) do names[i] = i == 1 and "total" or "" end
  add_row(lines, names, view.total, view.measures, cells)
  return lines
end

-- Columns as wide as their cells, but the names narrower where the terminal is; nil where that is not enough.
local function fitted_columns(lines, dimensions, most)
  local cells, total = {}, -2
  for _, line in ipairs(lines) do cells[#cells + 1] = type(line) == "table" and line or nil end
  local columns = layout.columns(cells, dimensions + 1)
  for _, column in ipairs(columns) do total = total + column.width + 2 end
  for i = 1, dimensions do
    local less = math.max(math.min(total - most, columns[i].width - SHORTEST), 0)
    columns[i].width, total = columns[i].width - less, total - less
  end
  return total <= most and columns or nil
end

local function line_text(line, columns)
  if line == "" then return "" end
  if line ~= "-" then return layout.line(line, columns) end
  local rules = {}
  for i, column in ipairs(columns) do rules[i] = ("-"):rep(column.width) end
  return layout.line(rules, columns)
end

-- What fits any terminal: below its names, a line for each figure.
local function add_listed(texts, lines, dimensions, most)
  local a, b = lines[1][dimensions + 2], lines[1][dimensions + 3]
  for _, line in ipairs(lines) do
    if type(line) == "table" and line ~= lines[1] then
      local names = {}
      for i = 1, dimensions do names[#names + 1] = line[i] ~= "" and line[i] or nil end
      if #names > 0 then layout.add_wrapped(texts, table.concat(names, ", "), most, "  ") end
      local measure, before, after, change, percent = unpack(line, dimensions + 1)
      change = (percent == "new" or percent == "gone") and percent or ("change %s %s"):format(change, percent):gsub(" $", "")
      layout.add_wrapped(texts, ("  %s: %s in %s, %s in %s, %s"):format(measure, before, a, after, b, change), most, "    ")
    end
  end
end

local function add_side(lines, side, most)
  local sentences, notes = scope.omitted(side.omitted)
  local period = scope.period(side.period) -- nil where no record says when it was made
  lines[#lines + 1] = ""
  lines[#lines + 1] = printable.line(side.name) .. ":"
  if period then layout.add_wrapped(lines, "  " .. period, most, "    ") end
  for _, text in ipairs(sentences) do layout.add_wrapped(lines, "  " .. text, most, "    ") end
  for _, text in ipairs(notes) do layout.add_wrapped(lines, "    " .. text, most, "      ") end
end

---@class openrouter.DiffSide
---@field name string
---@field omitted openrouter.Omitted
---@field period openrouter.ReportPeriod

---@class openrouter.DiffView what a format gets
---@field a openrouter.DiffSide
---@field b openrouter.DiffSide
---@field dimensions string[]
---@field measures openrouter.Measure[]
---@field rows openrouter.DiffRow[]
---@field total openrouter.DiffRow

---@param view openrouter.DiffView
---@param options? openrouter.TextOptions only its width
---@return string
return function(view, options)
  options = option.check(options, option.LOOK, "diff", 2)
  local lines, texts, most = table_rows(view), {}, options and options.width or math.huge
  local columns = fitted_columns(lines, #view.dimensions, most)
  if columns then
    for i, line in ipairs(lines) do texts[i] = line_text(line, columns) end
  else
    add_listed(texts, lines, #view.dimensions, most)
  end
  add_side(texts, view.a, most)
  add_side(texts, view.b, most)
  return table.concat(texts, "\n") .. "\n"
end

--- A report as CSV (RFC 4180) for programs and spreadsheets. The first cell says what a line is: "group", "total", "period"
--- or "omitted"; the last two are the name and value of the latter two.
local core = require "openrouter.core"
local printable = require "openrouter.printable"
local scope = require "openrouter.format.scope"

-- Spreadsheets take text that begins with one of these for a formula, which an apostrophe in front prevents; a text that has one
-- of its own gets another. The last ones are = + - @ in full width.
local FORMULA = { "^[=+%-@']", "^\239\188[\157\139\141\160]" }

local function text_cell(text)
  text = printable.line(text)
  for _, pattern in ipairs(FORMULA) do
    if text:find(pattern) then text = "'" .. text break end
  end
  if text:find '[",;]' or text:find "^%s" or text:find "%s$" or text == "" then return '"' .. text:gsub('"', '""') .. '"' end
  return text
end

local function cell(value)
  if value == nil then return "" end
  if type(value) == "number" then return core.number_text(value) end
  return text_cell(tostring(value))
end

local function line(cells)
  return table.concat(cells, ",") .. "\r\n"
end

local function header(view)
  local cells = { "row" }
  for _, name in ipairs(view.dimensions) do cells[#cells + 1] = text_cell(name) end
  for _, measure in ipairs(view.measures) do cells[#cells + 1] = measure.name end
  cells[#cells + 1], cells[#cells + 2] = "name", "value"
  return line(cells)
end

local function row_line(kind, view, row)
  local cells = { kind }
  for _, name in ipairs(view.dimensions) do cells[#cells + 1] = cell(row[name]) end
  for _, measure in ipairs(view.measures) do
    cells[#cells + 1] = measure.unit == "USD" and (row.exact[measure.name] or "") or cell(row[measure.name])
  end
  cells[#cells + 1], cells[#cells + 2] = "", ""
  return line(cells)
end

-- Lines with nothing but a name and a value.
local function adder(lines, kind, view)
  local head = kind .. (","):rep(#view.dimensions + #view.measures)
  return function(name, value)
    if value ~= nil then lines[#lines + 1] = ("%s,%s,%s\r\n"):format(head, name, value) end
  end
end

local function add_period(lines, view)
  local add = adder(lines, "period", view)
  for _, name in ipairs { "since", "until", "tz", "first", "last" } do
    if view.period[name] then add(name, text_cell(view.period[name])) end
  end
end

local function add_omitted(lines, view)
  local omitted, add = view.omitted, adder(lines, "omitted", view)
  for _, name in ipairs(scope.omitted_counts) do add(name, cell(omitted[name])) end
  add("instant_cost", omitted.exact and omitted.exact.instant_cost)
  if omitted.instant_unknown then add("instant_unknown", cell(omitted.instant_unknown)) end
  for _, note in ipairs(omitted.lines) do
    local place = note.file and ("%s:%d: "):format(note.file, note.line) or ""
    add("skipped_line", text_cell(place .. note.reason))
  end
end

---@param view openrouter.ReportView
---@return string
return function(view)
  local lines = { header(view) }
  if #view.dimensions > 0 then
    for _, row in ipairs(view.rows) do lines[#lines + 1] = row_line("group", view, row) end
  end
  lines[#lines + 1] = row_line("total", view, view.total)
  if view.period then add_period(lines, view) end
  add_omitted(lines, view)
  return table.concat(lines)
end

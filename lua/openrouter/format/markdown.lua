--- A report as a table of GitHub's Markdown, for a pull request or an issue.
local partial = require "openrouter.format.partial"
local printable = require "openrouter.printable"
local scope = require "openrouter.format.scope"
local words = require "openrouter.format.words"

local UNITS = { USD = " USD", ms = " ms" }

local function entity(character)
  return ("&#%d;"):format(character:byte())
end

-- Text from outside is code: there nothing is emphasis, a link, an @mention or #1. Code between backticks is what people would
-- write; where it cannot hold a text, for a backtick or a bar of the table, all that may mean something is an entity.
local function code(text)
  if text:find "^[^%s`|\\][^`|\\]*$" and not text:find "%s$" then return "`" .. text .. "`" end
  return "<code>" .. text:gsub("[^%w\128-\255]", entity) .. "</code>"
end

-- Names of measures and fields are words; others are from outside.
local function header(name)
  return name:find "^%l[%l%d_]*%l$" and name or name:find "^%l[%l%d_]*%d$" and name or code(printable.line(name))
end

local function figure(text)
  return (text:gsub("[<>]", { ["<"] = "&lt;", [">"] = "&gt;" }))
end

local function line(cells)
  return "| " .. table.concat(cells, " | ") .. " |"
end

local function head_lines(view)
  local names, rules = {}, {}
  for i, name in ipairs(view.dimensions) do names[i], rules[i] = header(name), ":--" end
  for _, measure in ipairs(view.measures) do
    names[#names + 1] = header(measure.name) .. (UNITS[measure.unit] or "")
    rules[#rules + 1] = "--:"
  end
  return { line(names), line(rules) }
end

local function row_line(view, row, star, cells_of, is_total)
  local cells, mark = {}, is_total and "**" or ""
  for i, name in ipairs(view.dimensions) do
    cells[i] = is_total and (i == 1 and "**total**" or "") or code(words.name(row[name])) .. star(name, row):gsub("%*", "\\*")
  end
  for _, cell_of in ipairs(cells_of) do cells[#cells + 1] = mark .. figure(cell_of(row)) .. mark end
  return line(cells)
end

local function add_table(lines, view, star)
  local rows, cells_of = words.all_rows(view), {}
  for i, measure in ipairs(view.measures) do cells_of[i] = words.cells(measure, rows) end
  for _, text in ipairs(head_lines(view)) do lines[#lines + 1] = text end
  for i, row in ipairs(rows) do lines[#lines + 1] = row_line(view, row, star, cells_of, i == #rows and #view.dimensions > 0) end
  lines[#lines + 1] = ""
end

local function add_omitted(lines, omitted)
  local sentences, notes = scope.omitted(omitted)
  for _, text in ipairs(sentences) do lines[#lines + 1] = "- " .. text:gsub("[<>]", { ["<"] = "&lt;", [">"] = "&gt;" }) end
  for _, text in ipairs(notes) do lines[#lines + 1] = "  - " .. (text:find "^and [%d,]+ more$" and text or code(text)) end
end

---@param view openrouter.ReportView
---@return string
return function(view)
  local lines, star, in_part = {}, partial.stars(view)
  if #view.dimensions + #view.measures > 0 then add_table(lines, view, star) end
  if in_part then
    lines[#lines + 1] = "\\" .. in_part
    lines[#lines + 1] = ""
  end
  local period = scope.period(view.period)
  if period then
    lines[#lines + 1] = code(period)
    lines[#lines + 1] = ""
  end
  add_omitted(lines, view.omitted)
  return table.concat(lines, "\n") .. "\n"
end

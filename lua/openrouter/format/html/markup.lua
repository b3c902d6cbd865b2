--- HTML as values: what is no element is text and is escaped, so nothing from outside can be markup.
local printable = require "openrouter.printable"

local markup = {}

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }
local VOID = { meta = true, wbr = true }

local function escape(value)
  return (printable.line(tostring(value)):gsub("[&<>\"']", ENTITIES))
end

local function attributes_text(attributes)
  local names, parts = {}, {}
  for name in pairs(attributes) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do parts[i] = (' %s="%s"'):format(name, escape(attributes[name])) end
  return table.concat(parts)
end

-- Content is text, an element, a list of contents, or nil and false for nothing.
local function content_text(content)
  if not content then return "" end
  if type(content) ~= "table" then return escape(content) end
  if content.html then return content.html end
  local parts = {}
  for i = 1, #content do parts[i] = content_text(content[i]) end
  return table.concat(parts)
end

--- Contents in a row, of which some may be nil or false.
---@return { html: string }
function markup.join(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = content_text((select(i, ...))) end
  return { html = table.concat(parts) }
end

--- An element.
---@param name string
---@param attributes table<string, string|number>
---@param ... any contents: text, elements, lists of them; nil and false are nothing
---@return { html: string }
function markup.element(name, attributes, ...)
  local start = "<" .. name .. attributes_text(attributes) .. ">"
  if VOID[name] then return { html = start } end
  return { html = start .. markup.join(...).html .. "</" .. name .. ">" }
end

--- Text with something after each part that ends with one of these characters, such as a place to break a line.
---@param text string
---@param ending string a pattern
---@param between any
---@return any[]
function markup.parts(text, ending, between)
  local parts = {}
  for part, stop in text:gmatch("([^" .. ending .. "]*)([" .. ending .. "]?)") do
    parts[#parts + 1] = part .. stop
    parts[#parts + 1] = stop ~= "" and between or nil
  end
  return parts
end

--- Text as it stands. For what is the page's own alone.
---@param html string
---@return { html: string }
function markup.raw(html)
  return { html = html }
end

return markup

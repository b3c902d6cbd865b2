--- Tables of the HTML page: the ranking of a dimension by spend, and any other.
local chart = require "openrouter.format.html.chart"
local figures = require "openrouter.format.html.figures"
local layout = require "openrouter.format.layout"
local markup = require "openrouter.format.html.markup"
local words = require "openrouter.format.words"

local element = markup.element
local tables = {}

local LONGEST = 80 -- characters of a name that are shown
local MANY = 10    -- columns, which stand closer to each other

-- A name that may go on in the next line behind these.
local function breakable(text)
  return markup.parts(text, "/_", element("wbr", {}))
end

--- A value from outside, whatever the direction of its script.
---@param value any
function tables.name(value)
  if value == nil then return figures.NONE end
  return element("bdi", {}, breakable(layout.shorten(words.name(value), LONGEST)))
end

-- What the page calls the measures and dimensions that it shows itself.
local HEADS = {
  generations = "Generations", spend = "Spend", spend_openrouter = "Charged by OpenRouter",
  spend_upstream = "Billed by providers", cache_discount = "Saved by caching", unpriced = "Unpriced", cancelled = "Cancelled",
  native_tokens_prompt = "Tokens in", native_tokens_completion = "Tokens out", latency_p50 = "Median latency",
  latency_p95 = "95% within", attempts = "Attempts", failed_attempts = "Failed attempts", failed_attempts_latency = "Time lost",
  model = "Model", provider_name = "Provider", external_user = "User", user = "User",
  hour = "Hour", day = "Day", week = "Week", month = "Month",
}

--- What a measure or dimension is called at the head of a column or tile: others have the names they were asked for by.
---@param name string
---@return string
function tables.head(name)
  return HEADS[name] or name
end

--- The same within a text.
---@param name string
---@return string
function tables.called(name)
  return HEADS[name] and HEADS[name]:gsub("^%u", string.lower) or name
end

---@class openrouter.Column
---@field head string
---@field class? string "figure" is aligned to the right, "wide" is a bar
---@field cell fun(row: table): any the cell's content
---@field names? boolean it says what the row is about

local function row_element(columns, row)
  local cells = {}
  for i, column in ipairs(columns) do
    if column.names then cells[i] = element("th", { scope = "row", class = column.class or "name" }, column.cell(row))
    else cells[i] = element("td", { class = column.class or "text" }, column.cell(row)) end
  end
  return element("tr", {}, cells)
end

--- A table in a region that scrolls sideways where it does not fit.
---@param of { id: string, caption: string, columns: openrouter.Column[], rows: table[], total: table? }
function tables.make(of)
  local heads, body = {}, {}
  for i, column in ipairs(of.columns) do
    heads[i] = element("th", { scope = "col", class = column.class or column.names and "name" or "text" },
      breakable(column.head))
  end
  for i, row in ipairs(of.rows) do body[i] = row_element(of.columns, row) end
  return element("div", { class = "scroll", role = "region", tabindex = 0, ["aria-labelledby"] = of.id .. "-caption" },
    element("table", { class = #of.columns >= MANY and "dense" or nil },
      element("caption", { id = of.id .. "-caption" }, of.caption),
      element("thead", {}, element("tr", {}, heads)), element("tbody", {}, body),
      of.total and element("tfoot", {}, row_element(of.columns, of.total))))
end

--- The same, folded until a reader opens it.
---@param summary string
---@param of table as `make` takes it
function tables.folded(summary, of)
  return element("details", {}, element("summary", {}, summary), tables.make(of))
end

-- ---- many rows ------------------------------------------------------------------------------------------------------

local function add(into, row, measures)
  for _, measure in ipairs(measures) do
    local name = measure.name
    if measure.unit == "USD" then
      into.exact[name] = words.sum(into.exact[name], row.exact[name])
      into[name] = tonumber(into.exact[name])
    elseif not measure.spread and not measure.distinct and measure.unit ~= "time" then
      into[name] = row[name] and (into[name] or 0) + row[name] or into[name]
    end
  end
end

--- The first rows as they are, and the others as one, of their exact sums: { others = how many, … }; it has no quantiles.
---@param rows openrouter.Row[]
---@param most integer
---@param measures { name: string, unit: string, spread: any }[] what is summed up
---@return openrouter.Row[]
function tables.top(rows, most, measures)
  if #rows <= most + 1 then return rows end -- one row says as much itself
  local shown, others = {}, { exact = {}, others = #rows - most }
  for i, row in ipairs(rows) do
    if i <= most then shown[i] = row else add(others, row, measures) end
  end
  shown[#shown + 1] = others
  return shown
end

--- A column with the names of a dimension.
---@param dimension string
---@return openrouter.Column
function tables.names(dimension)
  return { head = tables.head(dimension), names = true, cell = function(row)
    if row.is_total then return "Total" end
    if row.others then return element("i", {}, ("and %s others"):format(words.count(row.others))) end
    return tables.name(row[dimension])
  end }
end

--- A column with another dimension, or a member of what a row is about.
---@param name string
---@return openrouter.Column
function tables.text(name)
  return { head = tables.head(name), class = "short", cell = function(row)
    return not row.others and not row.is_total and tables.name(row[name])
  end }
end

--- A row to stand below the others.
---@param total openrouter.Row
function tables.total(total)
  return setmetatable({ is_total = true }, { __index = total })
end

-- ---- columns --------------------------------------------------------------------------------------------------------

---@return openrouter.Column
function tables.money(name, rows)
  local amounts = { n = #rows }
  for i, row in ipairs(rows) do amounts[i] = row.exact[name] end
  local places = figures.places(amounts)
  return { head = tables.head(name), class = "figure", cell = function(row) return figures.money(row.exact[name], places) end }
end

---@return openrouter.Column
function tables.count(name)
  return { head = tables.head(name), class = "figure", cell = function(row) return figures.count(row[name]) end }
end

---@return openrouter.Column
function tables.time(name)
  return { head = tables.head(name), class = "figure", cell = function(row) return figures.time(row[name]) end }
end

--- A bar and the figure it stands for.
---@param share number 0 to 1
---@param percent string
---@param class? string
---@param rest? string class of what is not the share
function tables.bar(share, percent, class, rest)
  return element("span", { class = "bars" }, chart.bar(share, class, rest), element("span", { class = "percent" }, percent))
end

--- What part of the total a measure of the row is, as a bar and a figure.
---@return openrouter.Column
function tables.share(name, total)
  return { head = "Share of " .. tables.called(name), class = "wide", cell = function(row)
    local percent = figures.percent(row[name], total[name])
    if not percent then return figures.NONE end
    if row.is_total then return element("span", { class = "percent" }, percent) end
    return tables.bar(row[name] / total[name], percent)
  end }
end

return tables

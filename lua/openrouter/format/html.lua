--- A report as one HTML page that needs nothing else: no script, no font, nothing from anywhere; for screens and paper.
local figures = require "openrouter.format.html.figures"
local markup = require "openrouter.format.html.markup"
local partial = require "openrouter.format.partial"
local scope = require "openrouter.format.scope"
local sections = require "openrouter.format.html.sections"
local style = require "openrouter.format.html.style"
local tables = require "openrouter.format.html.tables"
local words = require "openrouter.format.words"

local element, section, plural = markup.element, sections.section, words.plural

local MOST_ROWS = 1000

-- ---- headline figures -----------------------------------------------------------------------------------------------

local function tile(name, value, more, class)
  return element("div", { class = class or "tile" }, element("dt", {}, name), element("dd", { class = "value" }, value),
    more and element("dd", { class = "more" }, more))
end

-- What each measure of any report is called, and its value.
local function measure_tile(measure, total)
  local name, value = measure.name, total[measure.name]
  local shown = figures.NONE
  if measure.unit == "USD" then shown = figures.money(total.exact[name])
  elseif value and measure.unit == "ms" then shown = figures.time(value)
  elseif value and measure.unit == "time" then shown = value
  elseif value then shown = figures.headline(value) end
  return tile(tables.head(name), shown, nil, name == "spend" and "main" or nil)
end

local function each_cost(total)
  local priced = (total.generations or 0) - (total.unpriced or 0)
  if not total.spend or priced < 1 then return nil end
  local each = ("%.40f"):format(total.spend / priced) -- not 0 even for one unit of money (1e-27) over all that can be counted
  return figures.money_text(each, figures.places { each }) .. " per generation"
end

-- Where providers bill some of it, it is not what OpenRouter's invoice says.
local function billed(total)
  local own = total.exact.spend_upstream
  if not own or not own:find "[1-9]" then return nil end
  return ("%s charged by OpenRouter, %s billed by providers"):format(figures.money_text(total.exact.spend_openrouter, 2),
    figures.money_text(own, 2))
end

-- What the spend is without.
local function missing(total, omitted)
  local parts, lost = {}, omitted.pending + omitted.failed
  if (total.unpriced or 0) > 0 then parts[1] = plural(total.unpriced, "generation", "generations") .. " of no known price" end
  if lost > 0 then parts[#parts + 1] = plural(lost, "generation", "generations") .. " without a record" end
  return parts[1] and "not in it: " .. table.concat(parts, " and ")
end

local function spend_tile(total, omitted)
  local more, without = { billed(total) }, missing(total, omitted)
  more[#more + 1] = each_cost(total)
  more[#more + 1] = without
  local value = not total.spend and without and "not known" or figures.money(total.exact.spend)
  return tile("Spend (USD)", value, #more > 0 and table.concat(more, "; "), "main")
end

local function tokens_tile(total)
  local into, out = total.native_tokens_prompt, total.native_tokens_completion
  if not into and not out then return nil end
  local reasoning = total.native_tokens_reasoning or 0
  return tile("Tokens in", into and figures.headline(into) or figures.NONE, out and { figures.headline(out), " out",
    reasoning > 0 and { ", ", figures.headline(reasoning), " of them for reasoning" } })
end

local function saved_tile(page)
  local share, exact = sections.cached_share(page), page.total.exact.cache_discount
  if not exact and not share then return nil end
  return tile("Saved by caching", figures.money(exact), share and share .. " of prompt tokens from the cache")
end

local function page_tiles(page, omitted)
  local total = page.total
  local made = total.generations or 0
  return markup.join(spend_tile(total, omitted),
    tile("Generations", figures.headline(made), (total.cancelled or 0) > 0 and words.count(total.cancelled) .. " cancelled"),
    tokens_tile(total),
    total.latency_p50 and tile("Median latency", figures.time(total.latency_p50),
      total.latency_p95 and "95% within " .. figures.duration(total.latency_p95)),
    saved_tile(page),
    tile("Failed attempts", figures.headline(total.failed_attempts or 0), (total.failed_attempts_latency or 0) > 0
      and figures.duration(total.failed_attempts_latency) .. " lost in them"))
end

local function headline(view)
  local tiles = {}
  if view.page then tiles = page_tiles(view.page, view.omitted)
  else
    for _, measure in ipairs(view.measures) do
      table.insert(tiles, measure.name == "spend" and 1 or #tiles + 1, measure_tile(measure, view.total))
    end
  end
  return element("dl", { class = "tiles" }, tiles)
end

-- ---- the rows that were asked for -----------------------------------------------------------------------------------

local function measure_column(measure, rows)
  local name = measure.name
  if measure.unit == "USD" then return tables.money(name, rows) end
  if measure.unit == "ms" then return tables.time(name) end
  if measure.unit == "time" then return tables.text(name) end
  return tables.count(name)
end

-- Its bars are those of spend, or else of the first measure that can be a part of a whole.
local function measure_of_share(view)
  local first
  for _, measure in ipairs(view.measures) do
    if measure.name == "spend" then return measure end
    local no_part = measure.spread or measure.distinct or measure.unit == "ms" or measure.unit == "time"
    if not no_part then first = first or measure end
  end
  return first
end

local function starred(column, name, star)
  local cell = column.cell
  function column.cell(row) return { cell(row), star(name, row) } end
  return column
end

local function row_columns(view, rows, star)
  local columns = {}
  for i, name in ipairs(view.dimensions) do
    columns[i] = starred((i == 1 and tables.names or tables.text)(name), name, star)
    columns[i].class = partial.times[name] and "nowrap" or "name"
  end
  local of_share = measure_of_share(view)
  for _, measure in ipairs(view.measures) do
    columns[#columns + 1] = measure_column(measure, rows)
    if measure == of_share then
      columns[#columns + 1] = tables.share(measure.name, view.total)
    end
  end
  return columns
end

-- The page shows models, providers and days of its own; only with other measures are they asked for besides.
local OWN = { model = true, provider_name = true, day = true }

local function is_shown_already(view)
  if not view.page then return false end
  if #view.dimensions ~= 1 or not OWN[view.dimensions[1]] then return false end
  for _, measure in ipairs(view.measures) do
    if view.page.total[measure.name] == nil and view.total[measure.name] ~= nil then return false end
  end
  return true
end

local function rows_section(view)
  if #view.dimensions == 0 or is_shown_already(view) then return nil end
  local rows, star, in_part = tables.top(view.rows, MOST_ROWS, view.measures), partial.stars(view)
  local called = {}
  for i, name in ipairs(view.dimensions) do called[i] = tables.called(name) end
  local title = "By " .. table.concat(called, ", ")
  return section("rows", title, tables.make { id = "rows-table", caption = title, columns = row_columns(view, rows, star),
    rows = rows, total = tables.total(view.total) }, in_part and sections.note(sections.dated(in_part)))
end

-- ---- what is omitted ------------------------------------------------------------------------------------------------

local function list(items)
  local elements = {}
  for i, item in ipairs(items) do elements[i] = element("li", {}, item) end
  return element("ul", { class = "plain" }, elements)
end

local function omitted_section(omitted)
  local sentences, notes = scope.omitted(omitted)
  if #notes > 0 then sentences[#sentences] = { sentences[#sentences], list(notes) } end
  return section("omitted", "Not in these figures", list(sentences))
end

-- ---- the page -------------------------------------------------------------------------------------------------------

local POLICY = "default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'"

local function head(title)
  return element("head", {}, element("meta", { charset = "utf-8" }),
    element("meta", { ["http-equiv"] = "Content-Security-Policy", content = POLICY:format(style.sha256) }),
    element("meta", { name = "viewport", content = "width=device-width, initial-scale=1" }),
    element("meta", { name = "color-scheme", content = "light dark" }),
    element("meta", { name = "referrer", content = "no-referrer" }),
    element("title", {}, title), element("style", {}, markup.raw(style.text)))
end

local function day_of(text)
  return text and (text:match "^%d+%-%d+%-%d+" or text)
end

-- "2026-11-01 to 2026-11-30"; nil where no time is known.
local function days_covered(period)
  local first, last = day_of(period and period.first), day_of(period and period.last)
  if not first or not last then return scope.covered(first, last) end
  return first == last and first or first .. " to " .. last
end

local function about(period)
  if not period then return nil end
  local asked = {}
  if period.since then asked[#asked + 1] = "since " .. period.since end
  if period["until"] then asked[#asked + 1] = "until " .. period["until"] end
  local wish = #asked > 0 and (" (asked for: %s)"):format(table.concat(asked, ", ")) or ""
  local days = (days_covered(period) or "no dated records"):gsub("^%l", string.upper)
  return element("p", {}, sections.dated(days .. wish), ". Time zone: ", period.tz,
    ". A generation is one request that a model answered.")
end

-- Rows by day alone make a chart of their own, where they have what it shows.
local function days_of(view)
  local has = {}
  for _, measure in ipairs(view.measures) do has[measure.name] = true end
  if #view.dimensions ~= 1 or view.dimensions[1] ~= "day" or not (has.spend and has.generations) then return nil end
  return sections.days({ days = view.rows }, view.period)
end

local function page_sections(view)
  local page = view.page
  if not page then return days_of(view) end
  return markup.join(sections.days(page, view.period), sections.models(page), sections.providers(page), sections.latency(page),
    sections.cache(page), sections.health(page), sections.dearest(page))
end

---@param view openrouter.ReportView
---@return string
return function(view)
  local days = days_covered(view.period)
  local title = "What requests through OpenRouter cost"
  local html = element("html", { lang = "en" }, head(days and title .. ", " .. days or title),
    element("body", {}, element("header", {}, element("h1", {}, title), about(view.period)),
      element("main", {}, headline(view), page_sections(view), rows_section(view), omitted_section(view.omitted))))
  return "<!DOCTYPE html>\n" .. html.html .. "\n"
end

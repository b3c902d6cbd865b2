--- Sections of the HTML page that show `view.page`: over time, by model and provider, latency, cache and keys, health, the
--- dearest. Each is a function of the page, and nothing where there is nothing to show.
local chart = require "openrouter.format.html.chart"
local day_series = require "openrouter.format.html.days"
local figures = require "openrouter.format.html.figures"
local markup = require "openrouter.format.html.markup"
local tables = require "openrouter.format.html.tables"
local words = require "openrouter.format.words"

local element, plural = markup.element, words.plural
local sections = {}

local TOP = 15 -- models and providers that are shown one by one

local function section(id, title, ...)
  return element("section", { ["aria-labelledby"] = id }, element("h2", { id = id }, title), ...)
end
sections.section = section

local function paragraph(...)
  return element("p", { class = "note" }, ...)
end
sections.note = paragraph

--- Text whose dates are not broken over lines.
---@param text string
---@return any[]
function sections.dated(text)
  local parts, at = {}, 1
  for first, date, behind in text:gmatch "()(%d%d%d%d%-%d%d%-%d%d)()" do
    parts[#parts + 1], parts[#parts + 2] = text:sub(at, first - 1), element("time", {}, date)
    at = behind
  end
  parts[#parts + 1] = text:sub(at)
  return parts
end

-- ---- over time ------------------------------------------------------------------------------------------------------

-- All amounts of an axis have the decimals that its steps need, two at least if any.
local function axis_money(value, step)
  local decimals = #("%.12f"):format(step):match "%.(%d-)0*$"
  local text = figures.money_text(("%.12f"):format(value), math.max(decimals, 2))
  return decimals > 0 and text or (text:gsub("%.00$", ""))
end

local function bar_tip(bar, unit, places)
  local made = plural(bar.generations, "generation", "generations")
  local spent = bar.exact and figures.money_text(bar.exact, places) or bar.generations > 0 and "price not known" or "nothing made"
  local part = bar.part and ("; only part of the %s, %s"):format(unit, bar.part) or ""
  return ("%s: %s, %s%s"):format(bar.span, spent, made, part)
end

-- Labels for at most seven bars.
local function day_labels(bars)
  local labels = {}
  for i = 1, #bars, math.ceil(#bars / 7) do labels[#labels + 1] = { at = (i - 0.5) / #bars, text = bars[i].label } end
  return labels
end

local function placed_bars(series, places)
  local bars = series.bars
  local placed, margin = {}, #bars == 1 and 0.4 or #bars < 4 and 0.25 or 0.12
  for i, bar in ipairs(bars) do
    local value = bar.exact and tonumber(bar.exact) or bar.generations == 0 and 0 or nil
    placed[i] = { from = (i - 1 + margin) / #bars, to = (i - margin) / #bars, value = value, part = bar.part,
      tip = bar_tip(bar, series.unit, places) }
  end
  return placed
end

local function greatest(bars)
  local most
  for _, bar in ipairs(bars) do
    if bar.exact and (not most or tonumber(bar.exact) > tonumber(most.exact)) then most = bar end
  end
  return most
end

local function describe_days(series, places)
  local most = greatest(series.bars)
  local text = "USD per " .. series.unit
  if not most or tonumber(most.exact) <= 0 or #series.bars == 1 then return text .. "." end
  return ("%s; the most is %s, %s %s."):format(text, figures.money_text(most.exact, places),
    series.unit == "day" and "on" or "from", most.span)
end

-- Says which bars are fainter than the others, and lower because they stand for less time; nil where all are whole.
local function partial_text(series)
  local told = {}
  for _, bar in ipairs(series.bars) do
    if bar.part then told[#told + 1] = ("%s (%s)"):format(bar.label, bar.part) end
  end
  return told[1] and ("A faint bar with a dashed edge is of less than a whole %s: %s."):format(series.unit,
    table.concat(told, ", "))
end

local function aside_notes(series, places)
  local notes = {}
  for i, row in ipairs(series.aside) do
    notes[i] = paragraph(("Not in the chart: %s without a time of creation, "):format(
      plural(row.generations, "generation", "generations")), row.exact.spend
      and figures.money(row.exact.spend, places) or "of no known price", ".")
  end
  return notes
end

local function unpriced_note(bars, unit)
  local n = 0
  for _, bar in ipairs(bars) do
    if bar.generations > 0 and not bar.exact then n = n + 1 end
  end
  return n > 0 and paragraph(("Shaded: %s of which no price is known."):format(plural(n, unit, unit .. "s")))
end

---@param page table
---@param period? openrouter.ReportPeriod
function sections.days(page, period)
  if #page.days == 0 then return nil end
  local series, amounts = day_series(page.days, period), {}
  local bars = series.bars
  for i, bar in ipairs(bars) do amounts[i] = bar.exact or false end
  local places = figures.places(amounts)
  if #bars == 0 then return section("days", "Spend over time", aside_notes(series, places)) end
  local text, in_part = describe_days(series, places), partial_text(series)
  return section("days", "Spend over time",
    paragraph(sections.dated(text)),
    chart.columns { id = "days-chart", title = "Spend per " .. series.unit,
      description = in_part and text .. " " .. in_part or text, bars = placed_bars(series, places),
      labels = day_labels(bars), axis = axis_money },
    in_part and paragraph(sections.dated(in_part)), unpriced_note(bars, series.unit), aside_notes(series, places),
    tables.folded("Figures of the chart", { id = "days-table", caption = "Spend per " .. series.unit, rows = bars, columns = {
      { head = series.unit:gsub("^%l", string.upper), names = true, cell = function(bar)
          return sections.dated(bar.span .. (bar.part and (" (only %s)"):format(bar.part) or ""))
        end },
      { head = "Spend", class = "figure", cell = function(bar) return figures.money(bar.exact, places) end },
      { head = "Generations", class = "figure", cell = function(bar) return figures.count(bar.generations) end },
    } }))
end

-- ---- by model and provider ------------------------------------------------------------------------------------------

local SUMMED = {
  { name = "generations", unit = "count" }, { name = "spend", unit = "USD" }, { name = "unpriced", unit = "count" },
  { name = "native_tokens_prompt", unit = "tokens" }, { name = "native_tokens_completion", unit = "tokens" },
}

local function ranking(id, title, dimension, rows, total)
  if #rows == 0 then return nil end
  local shown = tables.top(rows, TOP, SUMMED)
  local columns = { tables.names(dimension), tables.money("spend", shown), tables.share("spend", total),
    tables.count "generations", tables.count "native_tokens_prompt", tables.count "native_tokens_completion",
    tables.time "latency_p50", tables.time "latency_p95" }
  if (total.unpriced or 0) > 0 then table.insert(columns, 5, tables.count "unpriced") end
  return section(id, title, tables.make { id = id .. "-table", caption = title, columns = columns, rows = shown,
    total = tables.total(total) })
end

function sections.models(page)
  return ranking("models", "Spend by model", "model", page.models, page.total)
end

function sections.providers(page)
  return ranking("providers", "Spend by provider", "provider_name", page.providers, page.total)
end

-- ---- latency --------------------------------------------------------------------------------------------------------

local FEWEST, FINEST = 20, 16 -- bars, and how many of them a tenfold has at most

local function log10(value)
  return math.log(value) / math.log(10)
end

-- How many tenfolds the buckets from 1 ms on begin and end above it; nothing where there are none.
local function logarithms(buckets)
  for _, bucket in ipairs(buckets) do
    if bucket.from >= 1 then return log10(bucket.from), log10(buckets[#buckets].to) end
  end
end

-- Places of bars on a scale of logarithms, as wide as each other there: `first` of them lie between 1 ms and its beginning.
-- Before them is one (`under`) for what took less than 1 ms, 0 among it, where there is such a thing.
local function latency_scale(buckets)
  local under, lowest, highest = buckets[1].from < 1 and 1 or 0, logarithms(buckets)
  local first, last, per = 0, 0, FINEST
  if lowest then
    per = math.max(2, math.min(FINEST, math.ceil(FEWEST / math.max(highest - lowest, 0.01))))
    first, last = math.floor(lowest * per + 1e-9), math.ceil(highest * per - 1e-9)
    if last - first < 4 then first, last = math.max(first - 2, 0), last + 2 end -- a lone bar has neighbours
  end
  local count = under + last - first
  return { under = under, count = count,
    place = function(ms) return (ms < 1 and 0.5 or under + log10(ms) * per - first) / count end,
    edge = function(i) return 10 ^ ((first + i - under) / per) end }
end

-- What the bar for less than 1 ms is of. The first of a histogram's buckets is for 0.
local function under_name(buckets)
  for _, bucket in ipairs(buckets) do
    if bucket.from > 0 and bucket.from < 1 then return "less than 1 ms" end
  end
  return "0 ms"
end

local function latency_bars(buckets, scale)
  local bars, margin = {}, scale.count == 1 and 0.4 or 0.04
  for i = 1, scale.count do
    bars[i] = { from = (i - 1 + margin) / scale.count, to = (i - margin) / scale.count, value = 0,
      span = i <= scale.under and under_name(buckets)
        or figures.duration(scale.edge(i - 1)) .. " to " .. figures.duration(scale.edge(i)) }
  end
  for _, bucket in ipairs(buckets) do
    local place = math.floor(scale.place((bucket.from + bucket.to) / 2) * scale.count) + 1
    local bar = bars[math.max(1, math.min(scale.count, place))]
    bar.value = bar.value + bucket.count
  end
  for _, bar in ipairs(bars) do bar.tip = ("%s: %s"):format(bar.span, plural(bar.value, "generation", "generations")) end
  return bars
end

local function axis_time(ms)
  if ms < 1000 then return ("%d ms"):format(ms) end
  if ms < 60000 then return ("%d s"):format(ms / 1000) end
  if ms < 3600000 then return ("%d min"):format(ms / 60000) end
  return ("%s h"):format(words.count(ms / 3600000))
end

local TIMES = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 6e4, 12e4, 3e5, 6e5, 12e5, 36e5, 72e5, 18e6, 36e6 }

local function add_label(labels, at, text)
  labels[#labels + 1] = { at = at, text = text }
  return at
end

-- Where bars begin and end.
local function edge_labels(scale, labels)
  local step = math.ceil(scale.count / 6)
  for i = scale.under * step, scale.count, step do add_label(labels, i / scale.count, figures.duration(scale.edge(i))) end
  return labels
end

-- Round times that lie on the scale; fewer of them where there would be a crowd.
local function round_labels(scale, labels)
  local latest = labels[1] and labels[1].at or -1
  for _, ms in ipairs(TIMES) do
    local at = scale.place(ms)
    if at >= scale.under / scale.count and at <= 1 and at - latest > 0.085 then
      latest = add_label(labels, at, axis_time(ms))
    end
  end
end

-- Of the bar for less than 1 ms, where there is one.
local function first_labels(bars, scale)
  local labels = {}
  if scale.under > 0 then add_label(labels, 0.5 / scale.count, (bars[1].span:gsub("less than ", "<"))) end
  return labels
end

local function latency_labels(bars, scale)
  local labels = first_labels(bars, scale)
  if scale.count == scale.under then return labels end
  round_labels(scale, labels)
  return #labels < 3 and edge_labels(scale, first_labels(bars, scale)) or labels
end

local function latency_marks(total, scale)
  local marks = {}
  for _, mark in ipairs { { total.latency_p95, "95% within " }, { total.latency_p50, "half within " } } do
    local at = mark[1] and scale.place(mark[1])
    if at and at >= 0 and at <= 1 then marks[#marks + 1] = { at = at, text = mark[2] .. figures.duration(mark[1]) } end
  end
  return marks
end

---@param page table
function sections.latency(page)
  local buckets, total = page.latency, page.total
  if #buckets == 0 then return nil end
  local scale = latency_scale(buckets)
  local bars, n = latency_bars(buckets, scale), 0
  for _, bucket in ipairs(buckets) do n = n + bucket.count end
  local summary = "Latency of " .. plural(n, "generation", "generations")
  if total.latency_p50 and total.latency_p95 and n > 1 then
    summary = ("Half of %s took about %s or less, and 95%% of them about %s or less"):format(
      plural(n, "generation", "generations"), figures.duration(total.latency_p50), figures.duration(total.latency_p95))
  end
  return section("latency", "Latency", paragraph(summary, ". Times are within 1%; the scale is logarithmic."),
    chart.columns { id = "latency-chart", title = "Distribution of latency", description = summary .. ".", bars = bars,
      labels = latency_labels(bars, scale), marks = latency_marks(total, scale), axis = words.count, whole = true },
    tables.folded("Figures of the chart", { id = "latency-table", caption = "Generations by latency", rows = bars, columns = {
      { head = "Latency", names = true, cell = function(bar) return bar.span end },
      { head = "Generations", class = "figure", cell = function(bar) return figures.count(bar.value) end },
    } }))
end

-- ---- cache and keys -------------------------------------------------------------------------------------------------

local function discount_text(exact)
  if not exact then return "No record says what caching saved." end
  if exact:find "^%-" then
    return { "Caching cost ", figures.money(exact:sub(2)), " more than it saved, for writing to the cache." }
  end
  if not exact:find "[1-9]" then return "Caching saved nothing." end
  return { "Caching saved ", figures.money(exact), "; the spend above is what was left to pay." }
end

-- What is not known to be from the cache is not known to be from elsewhere either.
local function all_told(page)
  return page.told.native_tokens_prompt == page.told.native_tokens_cached
end

-- Whether all prompt tokens are known, of which those from the cache that are told are a part at least.
local function whole_told(page)
  return page.told.native_tokens_prompt == page.total.generations
end

-- Whether more came from the cache than there was, or less than nothing.
local function is_impossible(total)
  local prompt, cached = total.native_tokens_prompt, total.native_tokens_cached
  return prompt and cached and (cached > prompt or cached < 0)
end

--- The part of prompt tokens that came from a cache, "38.2%", or "at least 27.2%" where some records do not say how many did;
--- then the part of the others comes with it, "at most 72.8%". Nil where some records only say how many came from the cache, or
--- none does, and where it would be no part.
---@param page openrouter.ReportPage
---@return string? share, string? others
function sections.cached_share(page)
  local prompt, cached = page.total.native_tokens_prompt, page.total.native_tokens_cached
  if is_impossible(page.total) then return nil end
  if all_told(page) then return figures.percent(cached, prompt) end
  if whole_told(page) and cached then return figures.bounds(cached, prompt) end
end

local function cache_chart(total, share, others)
  local prompt, cached = total.native_tokens_prompt, total.native_tokens_cached
  return chart.parts("cache-chart", "Prompt tokens from the cache", {
    { name = "From the cache", value = cached, share = share, text = words.count(cached) .. " tokens" },
    { name = others and "Not from the cache, or not told" or "Not from the cache", value = prompt - cached, share = others,
      text = words.count(prompt - cached) .. " tokens" },
  })
end

-- How many records do not say it; nothing where all do.
local function silence(told, total, what)
  local silent = total.generations - told
  return silent > 0 and ("%s of %s %s not say %s."):format(words.count(silent),
    plural(total.generations, "generation", "generations"), silent == 1 and "does" or "do", what) or nil
end

-- Of what no share is known.
local function cached_text(page)
  local prompt, cached = page.total.native_tokens_prompt, page.total.native_tokens_cached
  if (all_told(page) or whole_told(page)) and is_impossible(page.total) then
    return ("By the records %s of %s came from the cache, which is no part of them."):format(words.count(cached),
      plural(prompt, "prompt token", "prompt tokens"))
  end
  return plural(cached, "prompt token", "prompt tokens") .. " came from the cache."
end

local function cache_text(page, share)
  local told, total = page.told, page.total
  local cached, said = total.native_tokens_cached, {}
  if not cached then return "No record says how many prompt tokens came from a cache." end
  if not share then said[1] = cached_text(page) end
  said[#said + 1] = silence(told.native_tokens_cached, total, "how many came from it")
  if not share then said[#said + 1] = silence(told.native_tokens_prompt, total, "how many prompt tokens there were") end
  return said[1] and table.concat(said, " ")
end

local function cache_panel(page)
  local share, others = sections.cached_share(page)
  local text = cache_text(page, share)
  return element("div", { class = "panel" }, element("h3", {}, "Prompt cache"), share and cache_chart(page.total, share, others),
    text and paragraph(text), paragraph(discount_text(page.total.exact.cache_discount)))
end

-- What ran on keys of the reader's own, and what OpenRouter charged for the rest.
local function by_keys(page)
  local own, charged = nil, nil
  for _, row in ipairs(page.keys) do
    if row.is_byok == true then own = row
    else charged = words.sum(charged, row.exact.spend_openrouter) end
  end
  return own, charged
end

-- Whose invoices the spend is on.
local function billing_parts(own, charged)
  local fee, theirs = own.exact.spend_openrouter or "0", own.exact.spend_upstream or "0"
  local function part(name, exact) return { name = name, value = tonumber(exact), text = figures.money(exact) } end
  local parts = { part("OpenRouter's fee for your keys", fee), part("Billed to you by providers", theirs) }
  if charged then table.insert(parts, 1, part("Charged by OpenRouter, without keys of yours", charged)) end
  if (fee .. theirs .. (charged or "")):find "%-" then return nil end
  return chart.parts("byok-chart", "Whose invoices the spend is on", parts)
end

local function byok_notes(own, total)
  return paragraph(("%s, %s of all, ran on keys of your own at providers. Those bill you for them directly; OpenRouter charges "
      .. "only its fee for them, or nothing within a free allowance."):format(
      plural(own.generations, "generation", "generations"), figures.percent(own.generations, total.generations))),
    own.unpriced > 0 and paragraph(("The price of %s of them is not known, and nothing of it is in any amount: the record does "
      .. "not say what the provider billed."):format(words.count(own.unpriced)))
end

local function byok_panel(page)
  local own, charged = by_keys(page)
  local heading = element("h3", {}, "Own keys at providers (BYOK)")
  if not own then
    return element("div", { class = "panel" }, heading,
      paragraph "No generation ran on a key of your own, so all of the spend was charged by OpenRouter.")
  end
  return element("div", { class = "panel" }, heading, billing_parts(own, charged), byok_notes(own, page.total))
end

---@param page table
function sections.cache(page)
  if (page.total.generations or 0) == 0 then return nil end
  return section("cache", "Cache and own keys",
    element("div", { class = "panels" }, cache_panel(page), byok_panel(page)))
end

-- ---- health ---------------------------------------------------------------------------------------------------------

local function succeeded(row)
  return figures.percent(row.attempts - row.failed_attempts, row.attempts)
end

local function health_total(rows)
  local total = { is_total = true, attempts = 0, failed_attempts = 0, failed_attempts_latency = 0 }
  for _, row in ipairs(rows) do
    for _, name in ipairs { "attempts", "failed_attempts", "failed_attempts_latency" } do
      total[name] = total[name] + (row[name] or 0)
    end
  end
  return total
end

-- Those that fail most come first.
local function by_failures(rows)
  local sorted = {}
  for i, row in ipairs(rows) do sorted[i] = row end
  table.sort(sorted, function(a, b)
    if a.failed_attempts ~= b.failed_attempts then return a.failed_attempts > b.failed_attempts end
    if a.attempts ~= b.attempts then return a.attempts > b.attempts end
    return tostring(a.provider_name) < tostring(b.provider_name)
  end)
  return sorted
end

local HEALTH = { { name = "attempts", unit = "count" }, { name = "failed_attempts", unit = "count" },
  { name = "failed_attempts_latency", unit = "ms" } }

local UNKNOWN = " Attempts without a status are not counted as failed."

---@param page table
function sections.health(page)
  if #page.health == 0 then return nil end
  local total = health_total(page.health)
  local summary = total.failed_attempts == 0 and "No attempt is known to have failed."
    or ("%s of %s failed, and %s were lost in them. OpenRouter went on to another provider, or gave up."):format(
      words.count(total.failed_attempts), plural(total.attempts, "attempt", "attempts"),
      figures.duration(total.failed_attempts_latency))
  return section("health", "Provider health", paragraph(summary, UNKNOWN), tables.make { id = "health-table",
    caption = "Attempts by provider, those with most failures first", rows = tables.top(by_failures(page.health), TOP, HEALTH),
    total = total, columns = {
      tables.names "provider_name",
      { head = "Success rate", class = "wide", cell = function(row)
          local percent = succeeded(row)
          if not percent then return figures.NONE end
          return tables.bar((row.attempts - row.failed_attempts) / row.attempts, percent, "good", "bad")
        end },
      tables.count "attempts", tables.count "failed_attempts", tables.time "failed_attempts_latency" } })
end

-- ---- the dearest ----------------------------------------------------------------------------------------------------

---@param page table
function sections.dearest(page)
  local rows = page.dearest
  if #rows == 0 then return nil end
  local title = #rows == 1 and "The most expensive generation" or ("The %d most expensive generations"):format(#rows)
  return section("dearest", title, tables.make { id = "dearest-table", caption = title, rows = rows, columns = {
    { head = "Generation", names = true, class = "id", cell = function(row) return tables.name(row.id) end },
    tables.money("spend", rows), tables.text "model", tables.text "provider_name",
    { head = "Made", class = "nowrap", cell = function(row)
        return row.made and element("time", { datetime = row.created_at }, row.made) or tables.name(row.created_at)
      end },
    tables.text "user", tables.count "native_tokens_prompt", tables.count "native_tokens_completion" } })
end

return sections

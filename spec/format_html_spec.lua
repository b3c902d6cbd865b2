local cjson = require "cjson"
local day_series = require "openrouter.format.html.days"
local figures = require "openrouter.format.html.figures"
local html = require "openrouter.format.html"
local openrouter = require "openrouter"
local report = require "openrouter.report"
local scope = require "openrouter.format.scope"
local shell = require "spec.support.shell"
local style = require "openrouter.format.html.style"
local tables = require "openrouter.format.html.tables"
local views = require "spec.support.views"
local words = require "openrouter.format.words"

local unpack = table.unpack or unpack

local LONG = ("very-long-vendor-name/"):rep(30)

local function full()
  return views.by_model { page = true, days = 30, models = 12, providers = 7, buckets = 300, omitted = views.EVERYTHING }
end

-- Whatever may come from outside, and figures that are rare.
local function awkward()
  local view = views.by_model { page = true, days = 5, models = 20, providers = 5, buckets = 40, omitted = views.EVERYTHING }
  local models, days, dearest = view.page.models, view.page.days, view.page.dearest
  for i, name in ipairs { "<script>document.title='ran'</script>", LONG, "</style><script>document.title='ran'</script>",
    '"><img src=http://asked.invalid/a onerror=document.title="ran">', "", "a\27[31mb%zc\226\128\174d", "日本語/モデル" } do
    models[i].model = name
  end
  models[8].spend, models[8].exact.spend = nil, nil
  models[9].spend, models[9].exact.spend = 1e-10, "0.0000000001"
  days[3].spend, days[3].exact.spend, days[3].unpriced = nil, nil, days[3].generations
  days[6] = { day = "unknown", generations = 12, unpriced = 2, spend = 0.001, exact = { spend = "0.001" } }
  view.page.total.cache_discount, view.page.total.exact.cache_discount = -3.25, "-3.25"
  dearest[1].model, dearest[2].user, dearest[3].id = LONG, LONG, "<b>" .. ("g"):rep(200)
  view.dimensions, view.measures = { "model", "context.<team>" }, { view.measures[1], view.measures[2] }
  for i, row in ipairs(view.rows) do row["context.<team>"] = i % 2 == 0 and "unknown" or ("team"):rep(i) end
  view.period.since = "<i>7d"
  return view
end

local function page_of(view)
  return shell.write(shell.directory() .. "/page.html", html(view))
end

-- What spec/support/html_check.py reads from a page.
local function read(path)
  local status, out, err = shell.run("python3 spec/support/html_check.py " .. shell.quote(path))
  assert.same({ 0, "" }, { status, err })
  return cjson.decode(out)
end

-- A row of a table, by its first cell.
local function row_of(page, name, first)
  for _, row in ipairs(page.tables[name]) do
    if row[1].text == first then return row end
  end
end

local function tile_of(page, name)
  for _, tile in ipairs(page.tiles) do
    if tile.name == name then return tile end
  end
end

-- The page of these records.
local function page_about(...)
  local r = report.new { by = "model", page = true }
  for _, text in ipairs { ... } do assert(r:add(assert(openrouter.decode(text)))) end
  return r:render "html"
end

-- What is to be read in a section, or any other part of a page.
local function words_of(text, first, last)
  return (text:match(first .. ".-" .. last):gsub("<title.-</title>", ""):gsub("<desc.-</desc>", ""):gsub("<[^>]+>", " ")
    :gsub(" +", " "))
end

describe("HTML format", function()
  after_each(shell.clean)

  it("is HTML of balanced tags, distinct ids, headings in order, named regions, and asks for nothing", function()
    for _, view in ipairs { full(), awkward(), views.by_model { models = 20, omitted = views.EVERYTHING },
      views.by_model { page = true, days = 0, models = 0, providers = 0, buckets = 0 },
      views.by_model { page = true, days = 1, models = 1, providers = 1, buckets = 1 },
      { dimensions = {}, measures = {}, rows = {}, total = { exact = {} }, omitted = views.NOTHING } } do
      assert.same({}, read(page_of(view)).wrong)
    end
  end)

  it("allows its own style alone", function()
    local page = read(page_of(full()))
    local path = shell.write(shell.directory() .. "/style", page.style)
    local _, hash = shell.run("openssl dgst -sha256 -binary " .. path .. " | base64")
    assert.equal(hash:gsub("\n", ""), style.sha256)
    assert.equal("default-src 'none'; style-src 'sha256-" .. style.sha256 .. "'; base-uri 'none'; form-action 'none'",
      page.meta["Content-Security-Policy"])
  end)

  it("has the headline figures, exact ones beside them", function()
    local view = full()
    local page, total = read(page_of(view)), view.page.total
    local spend = tile_of(page, "Spend (USD)")
    assert.equal("$" .. words.money(total.exact.spend, 2), spend.value)
    assert.equal(total.exact.spend, spend.exact)
    assert.matches("per generation; not in it: 30 generations of no known price", spend.more, 1, true)
    assert.equal(words.count(total.generations), tile_of(page, "Generations").value)
    assert.equal("58.7 million", tile_of(page, "Tokens in").value)
    assert.equal("1.5 s", tile_of(page, "Median latency").value)
    assert.equal(total.exact.cache_discount, tile_of(page, "Saved by caching").exact)
    assert.equal("18 min 22 s lost in them", tile_of(page, "Failed attempts").more)
    assert.equal("What requests through OpenRouter cost, 2026-11-01 to 2026-11-30", page.title)
  end)

  it("has spend by day, model and provider, health and the dearest", function()
    local view = full()
    local page = read(page_of(view))
    for _, what in ipairs { { "days", "day" }, { "models", "model" }, { "providers", "provider_name" } } do
      for _, row in ipairs(view.page[what[1]]) do
        local cells = row_of(page, what[1] .. "-table", row[what[2]])
        assert.equal(row.exact.spend, cells[2].value)
        assert.equal("$" .. words.money(row.exact.spend, 2), cells[2].text)
      end
    end
    assert.equal(view.page.total.exact.spend, row_of(page, "models-table", "Total")[2].value)
    assert.equal("30.9%", row_of(page, "models-table", "anthropic/claude-sonnet-4.5")[3].text)
    local health = page.tables["health-table"]
    assert.equal("DeepInfra", health[2][1].text) -- most failures first
    assert.same({ "89.7%", "1,432", "147", "5 min 38 s" },
      { health[2][2].text, health[2][3].text, health[2][4].text, health[2][5].text })
    assert.equal("98.2%", row_of(page, "health-table", "Total")[2].text)
    local dearest = page.tables["dearest-table"]
    assert.equal(11, #dearest)
    assert.same({ view.page.dearest[1].id, "4.200000", "2026-11-01 14:03:21", "–" },
      { dearest[2][1].text, dearest[2][2].value, dearest[2][5].text, dearest[4][6].text })
  end)

  it("has a bar for each day, as high as its spend", function()
    local view = views.by_model { page = true, days = 4, models = 1, providers = 1, buckets = 0 }
    for i, exact in ipairs { "40", "20", "0", "-10" } do
      view.page.days[i].exact.spend, view.page.days[i].spend = exact, tonumber(exact)
    end
    local bars = read(page_of(view)).bars
    assert.same({ 160, 80, 0, 40 }, { bars[1].height, bars[2].height, bars[3].height, bars[4].height })
    assert.equal("bar below", bars[4].class)
    assert.matches("2026-11-30: −$10.00, ", bars[4].tip, 1, true)
  end)

  it("shows and says which times the records do not cover", function()
    local view = views.by_model { page = true, days = 100, models = 1, providers = 1, buckets = 0 }
    view.period.first, view.period.last = "2026-08-23T10:00:00+02:00", "2026-11-27T09:00:00+01:00"
    local text, page = html(view), read(page_of(view))
    local said = "A faint bar with a dashed edge is of less than a whole week: 23 Aug 2026 (from 2026-08-23), "
      .. "23 Nov 2026 (to 2026-11-27)."
    assert.matches(said, text:match "<desc.->([^<]*)</desc>", 1, true)
    assert.matches("<p class=\"note\">" .. said, text:gsub("</?time>", ""), 1, true)
    assert.same({ "bar partial", "bar" }, { page.bars[1].class, page.bars[2].class })
    assert.matches("generations; only part of the week, from 2026%-08%-23$", page.bars[1].tip)
    assert.equal("2026-08-23 (only from 2026-08-23)", page.tables["days-table"][2][1].text)
    view = full()
    assert.is_nil(html(view):find("faint bar", 1, true))
    view.dimensions, view.rows, view.page = { "model", "day" }, view.page.days, nil
    view.period.since, view.period.first = nil, "2026-11-01T10:00:00+01:00"
    for _, row in ipairs(view.rows) do row.model = "m" end
    assert.matches('<td class="nowrap"><bdi>2026-11-01</bdi>*</td>', html(view), 1, true) -- a date is not broken, a name may be
    assert.matches('<th class="name" scope="row"><bdi>m</bdi></th>', html(view), 1, true)
    page = read(page_of(view))
    assert.same({ "2026-11-01*", "2026-11-02" }, { page.tables["rows-table"][2][2].text, page.tables["rows-table"][3][2].text })
    assert.matches("* Records cover only part of 2026-11-01 (from 10:00).</p></section>",
      html(view):gsub("</?time>", ""), 1, true)
  end)

  it("has an axis whose labels differ, also of amounts that are hardly any", function()
    for spend, labels in pairs {
      ["0.0000004"] = { "$0.0000000", "$0.0000001", "$0.0000002", "$0.0000003", "$0.0000004" },
      ["0.4"] = { "$0.00", "$0.10", "$0.20", "$0.30", "$0.40" }, ["1"] = { "$0.00", "$0.20", "$0.40", "$0.60", "$0.80", "$1.00" },
      ["12"] = { "$0.00", "$2.50", "$5.00", "$7.50", "$10.00", "$12.50" },
      ["4000"] = { "$0", "$1,000", "$2,000", "$3,000", "$4,000" },
      [false] = { "$0" } } do
      local view = views.by_model { page = true, days = 1, models = 1, providers = 1, buckets = 0 }
      local day = view.page.days[1]
      day.exact.spend, day.spend = spend or nil, spend and tonumber(spend) or nil
      local axis, shown = shell.read(page_of(view)):match "<svg[^>]- class=\"axis\".-</svg>", {}
      for label in axis:gmatch ">([^<]+)</text>" do shown[#shown + 1] = label end
      assert.same(labels, shown)
    end
  end)

  it("keeps the buckets of latency in bars that are as wide as each other", function()
    local view = full()
    local page, n = read(page_of(view)), 0
    for _, bucket in ipairs(view.page.latency) do n = n + bucket.count end
    for i = 2, #page.tables["latency-table"] do n = n - page.tables["latency-table"][i][2].text:gsub(",", "") end
    assert.equal(0, n)
  end)

  it("has a bar of their own for latencies of 0, or of less than 1 ms, which a scale of logarithms has no place for", function()
    local function about(...)
      local records = {}
      for i, ms in ipairs { ... } do records[i] = ('{"latency":%s}'):format(ms) end
      local text, found = page_about(unpack(records)), {}
      local page = read(shell.write(shell.directory() .. "/page.html", text))
      assert.same({}, page.wrong)
      for i = 2, #page.tables["latency-table"] do
        local row = page.tables["latency-table"][i]
        found[i - 1] = row[1].text .. ": " .. row[2].text
      end
      return found, text:match 'id="latency".-</section>', page.bars
    end
    local bars, text, rects = about(0, 0)
    assert.same({ "0 ms: 2" }, bars)
    assert.equal("0 ms: 2 generations", rects[1].tip)
    assert.matches(">half within 0 ms</text>", text, 1, true)
    assert.same({ "less than 1 ms: 3" }, (about(0, 0.5, 0.999)))
    bars, text, rects = about(0, 1, 100, 100)
    assert.same({ "0 ms: 1", "1 ms to 1.3 ms: 1", "79 ms to 100 ms: 0", "100 ms to 126 ms: 2" },
      { bars[1], bars[2], bars[#bars - 1], bars[#bars] })
    assert.same({ #bars, 200 }, { #rects, rects[#rects].height })
    local shown = {}
    for at, label in text:gmatch 'x="([%d.]+)%%" y="%d+">(%d+ ms)</text>' do shown[#shown + 1] = label .. " " .. at end
    assert.equal("0 ms 2.273, 2 ms 18.229, 5 ms 36.317, 10 ms 50.000, 20 ms 63.683, 50 ms 81.771, 100 ms 95.455",
      table.concat(shown, ", "))
    bars = about(1, 1)
    assert.matches("^1 ms to ", bars[1])
  end)

  it("says what has no price, is of no day, and cost more than it saved", function()
    local path = page_of(awkward())
    local text, page = shell.read(path), read(path)
    assert.equal("gap", page.bars[3].class)
    assert.matches("2026-11-28: price not known, ", page.bars[3].tip, 1, true)
    assert.matches("Shaded: 1 day of which no price is known.", text, 1, true)
    assert.matches('Not in the chart: 12 generations without a time of creation, <data value="0.001">$0.0010</data>', text
      :gsub("&lt;", "<"):gsub("%$0%.00</data>", ""):gsub("<%$0%.01", "$0.0010"), 1, true)
    assert.equal("−$3.25", tile_of(page, "Saved by caching").value)
    assert.matches('Caching cost <data value="3.25">$3.25</data> more than it saved', text, 1, true)
    local row = page.tables["models-table"][9]
    assert.same({ "–", "–" }, { row[2].text, row[3].text })
    row = page.tables["models-table"][10]
    assert.same({ "<$0.01", "<0.1%" }, { row[2].text, row[3].text })
  end)

  it("says whose invoices the spend is on: OpenRouter's, its fee among it, and providers'; and what is not known", function()
    local function page_with(byok, theirs, own, unpriced, fee)
      local view = views.by_model { page = true, days = 1, models = 1, providers = 1, buckets = 0 }
      local total = view.page.total
      total.generations, total.byok, total.unpriced = 200, byok, unpriced
      local spend = own and words.sum(theirs, own)
      total.exact.spend, total.exact.spend_openrouter, total.exact.spend_upstream = spend, theirs, own
      total.spend = spend and tonumber(spend)
      view.page.keys = views.keys(total, fee)
      local text = html(view)
      local panel = text:match "Own keys at providers.-</section>":gsub("<[^>]+>", " "):gsub(" +", " ")
      return tile_of(read(page_of(view)), "Spend (USD)"), panel
    end
    local tile, panel = page_with(50, "30", "10", 7, "0.5")
    assert.equal("$30.00 charged by OpenRouter, $10.00 billed by providers; $0.2073 per generation; "
      .. "not in it: 7 generations of no known price", tile.more)
    assert.matches("Charged by OpenRouter, without keys of yours 73.8% $29.50 OpenRouter&#39;s fee for your keys 1.3% $0.5000 "
      .. "Billed to you by providers 25.0% $10.00 50 generations, 25.0% of all, ran on keys of your own at providers. Those "
      .. "bill you for them directly; OpenRouter charges only its fee for them, or nothing within a free allowance. The price "
      .. "of 7 of them is not known, and nothing of it is in any amount: the record does not say what the provider billed.",
      panel, 1, true)
    tile, panel = page_with(200, "0.5", "9.5", 0, "0.5")
    assert.equal("$0.50 charged by OpenRouter, $9.50 billed by providers; $0.0500 per generation", tile.more)
    assert.matches("OpenRouter&#39;s fee for your keys 5.0% $0.5000 Billed to you by providers 95.0% $9.50 200 generations, "
      .. "100% of all", panel, 1, true)
    assert.is_nil(panel:find("not known", 1, true))
    tile, panel = page_with(200, nil, nil, 200)
    assert.same({ "not known", "not in it: 200 generations of no known price" }, { tile.value, tile.more })
    assert.matches("The price of 200 of them is not known", panel, 1, true)
    assert.is_nil(panel:find "%$")
    tile, panel = page_with(0, "40", "0", 0)
    assert.equal("$0.2000 per generation", tile.more)
    assert.matches("No generation ran on a key of your own, so all of the spend was charged by OpenRouter.", panel, 1, true)
  end)

  it("says in its headline what has no record, and that nothing is known of nothing", function()
    local view = views.by_model { page = true, days = 0, models = 0, providers = 0, buckets = 0 }
    assert.same({ "–", "" }, (function(tile) return { tile.value, tile.more } end)(tile_of(read(page_of(view)), "Spend (USD)")))
    view.omitted = views.EVERYTHING
    local tile = tile_of(read(page_of(view)), "Spend (USD)")
    assert.same({ "not known", "not in it: 1,236 generations without a record" }, { tile.value, tile.more })
  end)

  it("shows nothing as nothing, not with six places, and tells of a lone generation what it took", function()
    local view = views.by_model { page = true, days = 3, models = 1, providers = 1, buckets = 1 }
    for _, row in ipairs { view.page.days[1], view.page.days[2], view.page.days[3], view.page.models[1], view.page.total } do
      row.exact.spend, row.spend, row.exact.spend_upstream = "0", 0, "0"
    end
    view.page.latency[1].count = 1
    local page, text = read(page_of(view)), html(view)
    local tile = tile_of(page, "Spend (USD)")
    assert.same({ "$0.00", "$0.00 per generation" }, { tile.value, tile.more:match "^[^;]*" })
    assert.equal("$0.00", page.tables["models-table"][2][2].text)
    assert.matches('<p class="note">USD per day.</p>', text, 1, true)
    assert.matches("Latency of 1 generation. Times are", text, 1, true)
  end)

  it("has a share from the cache, where some records do not say it a bound, or says what is known", function()
    local function about(...)
      local text = page_about(...)
      local tile = words_of(text, "Saved by caching", "</div>")
      local panel = words_of(text, "Prompt cache", "Caching saved")
      return tile:match "%$0%.00 (.-) of prompt tokens" or "nil", panel:match "Prompt cache (.*) Caching"
    end
    local function tokens(prompt, cached)
      return ('{"native_tokens_prompt":%s,"native_tokens_cached":%s,"cache_discount":0}'):format(prompt, cached)
    end
    local share = "From the cache 90.0% 900 tokens Not from the cache 10.0% 100 tokens"
    assert.same({ "90.0%", share }, { about(tokens(1000, 900)) })
    assert.same({ "90.0%", share .. " 1 of 2 generations does not say how many came from it." },
      { about(tokens(1000, 900), tokens("null", "null")) })
    -- never more than is known: 54.59%
    assert.same({ "at least 54.5%", "From the cache at least 54.5% 54,590 tokens Not from the cache, or not told at most 45.5% "
      .. "45,410 tokens 1 of 2 generations does not say how many came from it." },
      { about(tokens(60000, 54590), tokens(40000, "null")) })
    assert.same({ "nil", "9 prompt tokens came from the cache. 1 of 2 generations does not say how many came from it." },
      { about(tokens(10000, 9), tokens(90000, "null")) })
    assert.same({ "nil", "By the records 50 of 20 prompt tokens came from the cache, which is no part of them. "
      .. "1 of 2 generations does not say how many came from it." }, { about(tokens(10, 50), tokens(10, "null")) })
    assert.same({ "nil", "900 prompt tokens came from the cache. 2 of 3 generations do not say how many came from it. "
      .. "1 of 3 generations does not say how many prompt tokens there were." },
      { about(tokens(1000, 900), tokens(9000, "null"), tokens("null", "null")) })
    assert.same({ "nil", "1 prompt token came from the cache. 2 of 3 generations do not say how many prompt tokens there were." },
      { about(tokens(1000, 1), tokens("null", 0), tokens("null", 0)) })
    assert.same({ "nil", "0 prompt tokens came from the cache." }, { about(tokens(0, 0)) })
    assert.same({ "nil", "By the records 50 of 10 prompt tokens came from the cache, which is no part of them." },
      { about(tokens(10, 50)) })
    assert.same({ "nil", "By the records -5 of 10 prompt tokens came from the cache, which is no part of them." },
      { about(tokens(10, -5)) })
    assert.same({ "100%", "From the cache 100% 10 tokens Not from the cache 0% 0 tokens" }, { about(tokens(10, 10)) })
    assert.same({ "nil", "No record says how many prompt tokens came from a cache." }, { about(tokens(5, "null")) })
    local text = page_about('{"native_tokens_prompt":10,"native_tokens_cached":5}', '{"native_tokens_prompt":10}')
    assert.matches("– no value at least 25.0% of prompt tokens from the cache",
      words_of(text, "Saved by caching", "</div>"), 1, true)
  end)

  it("shows no amount as nothing that is more", function()
    local function spend(...)
      local records = {}
      for i, cost in ipairs { ... } do records[i] = ('{"total_cost":%s}'):format(cost) end
      local tile = tile_of(read(shell.write(shell.directory() .. "/page.html", page_about(unpack(records)))), "Spend (USD)")
      return { tile.value, tile.more }
    end
    assert.same({ "<$0.000001", "<$0.000001 per generation" }, spend("1e-27", "1e-27", "1e-27"))
    assert.same({ "<$0.000001", "<$0.000001 per generation" }, spend("1e-27", "0", "0"))
    assert.same({ ">−$0.000001", ">−$0.000001 per generation" }, spend("-1e-27", "0", "0"))
    assert.same({ "$0.0200", "$0.006667 per generation" }, spend("0.01", "0.01", "0"))
    assert.same({ "$0.00", "$0.00 per generation" }, spend("0", "0", "0"))
    assert.same({ "$150,000,000,000.00", "$150,000,000,000.00 per generation" }, spend("1.5e11"))
  end)

  it("does not say that an attempt of no status succeeded", function()
    local unknown = "Attempts without a status are not counted as failed."
    for said, attempts in pairs {
      ["No attempt is known to have failed. " .. unknown] = '[{"status":200},{"latency":5},{"status":"x"}]',
      ["2 of 4 attempts failed, and 7 ms were lost in them. OpenRouter went on to another provider, or gave up. " .. unknown] =
        '[{"status":429,"latency":7},{"status":null},{"latency":5},{"status":200}]',
    } do
      local text = words_of(page_about('{"provider_responses":' .. attempts .. "}"), "Provider health", "</p>")
      assert.equal("Provider health " .. said, (text:gsub(" +$", "")))
    end
  end)

  it("escapes every value", function()
    local page = read(page_of(awkward()))
    local names = page.tables["models-table"]
    assert.equal("<script>document.title='ran'</script>", names[2][1].text)
    assert.equal("</style><script>document.title='ran'</script>", names[4][1].text)
    assert.equal('"><img src=http://asked.invalid/a onerror=document.title="ran">', names[5][1].text)
    assert.equal('""', names[6][1].text)
    assert.equal("a\\x1B[31mb%zc\\u{202E}d", names[7][1].text)
    assert.equal("context.<team>", page.tables["rows-table"][1][2].text)
  end)

  it("sums up those that are too many, exactly", function()
    local view = views.by_model { page = true, days = 400, models = 1000, providers = 40, buckets = 600 }
    local page, others, generations = read(page_of(view)), nil, 0
    for i = 16, 1000 do
      others = words.sum(others, view.page.models[i].exact.spend)
      generations = generations + view.page.models[i].generations
    end
    local row = row_of(page, "models-table", "and 985 others")
    assert.same({ others, words.count(generations), "–" }, { row[2].value, row[4].text, row[#row].text })
    assert.equal(18, #page.tables["models-table"]) -- header, 15, others, total
    local weeks, spent, made = page.tables["days-table"], nil, nil
    for i = 2, #weeks do spent = words.sum(spent, weeks[i][2].value) end
    for _, day in ipairs(view.page.days) do made = words.sum(made, day.exact.spend) end
    assert.equal(made, spent)
    assert.equal("Week", weeks[1][1].text)
    assert.equal("2025-10-27 to 2025-11-02", weeks[2][1].text)
  end)

  it("shows the report's own rows where the page does not already", function()
    local view = full()
    assert.is_nil(read(page_of(view)).tables["rows-table"])
    view.measures[#view.measures + 1] = { name = "tokens_prompt", unit = "tokens" }
    view.total.tokens_prompt = nil
    assert.is_nil(read(page_of(view)).tables["rows-table"])
    view.total = setmetatable({ tokens_prompt = 7 }, { __index = view.page.total })
    view.measures[#view.measures], view.measures[1] = nil, view.measures[#view.measures]
    assert.is_not_nil(read(page_of(view)).tables["rows-table"])
    view.page = nil
    local page = read(page_of(view))
    assert.equal(view.rows[1].exact.spend, row_of(page, "rows-table", view.rows[1].model)[3].value)
    assert.equal(view.total.exact.spend, tile_of(page, "Spend").exact)
  end)

  it("has one name for what it shows in several places, and for other measures those they were asked for by", function()
    local view = full()
    view.dimensions = { "provider_name", "context.team" }
    for i, row in ipairs(view.rows) do row.provider_name, row["context.team"] = "p" .. i, "t" end
    view.measures[#view.measures + 1] = { name = "spend_upstream", unit = "USD" }
    view.measures[#view.measures + 1] = { name = "tokens_prompt_p50", unit = "tokens" }
    local page, heads = read(page_of(view)), {}
    for i, cell in ipairs(page.tables["rows-table"][1]) do heads[i] = cell.text end
    assert.equal("Provider, context.team, Generations, Spend, Share of spend, Tokens in, Tokens out, Median latency, 95% within, "
      .. "Cancelled, Failed attempts, Unpriced, Billed by providers, tokens_prompt_p50", table.concat(heads, ", "))
    assert.matches(">By provider, context.team</h2>", html(view), 1, true)
    heads = {}
    for i, cell in ipairs(page.tables["models-table"][1]) do heads[i] = cell.text end
    assert.equal("Model, Spend, Share of spend, Generations, Unpriced, Tokens in, Tokens out, Median latency, 95% within",
      table.concat(heads, ", "))
    view.measures = { { name = "generations", unit = "count" } }
    assert.matches("Share of generations", html(view), 1, true)
    view.page = nil
    assert.equal("Generations", read(page_of(view)).tiles[1].name)
  end)

  it("has a chart of days without the rest of the page too", function()
    local view = full()
    view.dimensions, view.rows, view.page = { "day" }, view.page.days, nil
    local page = read(page_of(view))
    assert.equal(30, #page.bars)
    assert.is_not_nil(row_of(page, "rows-table", "2026-11-01"))
    view.measures = { view.measures[2] }
    assert.equal(0, #read(page_of(view)).bars)
  end)

  it("ends with what is omitted", function()
    local view = full()
    local text, items = html(view), read(page_of(view)).items
    local sentences, notes = scope.omitted(view.omitted)
    local last = {}
    for i = #items - #sentences - #notes + 1, #items do last[#last + 1] = items[i] end
    for _, note in ipairs(notes) do sentences[#sentences + 1] = note end
    assert.same(sentences, last)
    assert.matches("Not in these figures</h2><ul.-</ul></section></main></body></html>\n$", text)
  end)
end)

describe("days of a chart", function()
  local function row(day, exact)
    return { day = day, generations = 1, unpriced = 0, exact = { spend = exact }, spend = tonumber(exact) }
  end

  local function spans(...)
    local series = day_series { ... }
    local bars = series.bars
    return series.unit, #bars, bars[1].span, bars[1].label, bars[#bars].span
  end

  it("has those without records too", function()
    assert.same({ "day", 3, "2024-02-28", "28 Feb", "2024-03-01" }, { spans(row("2024-03-01", "1"), row("2024-02-28", "2")) })
    local bars = day_series({ row("2024-03-01", "1"), row("2024-02-28", "2") }).bars
    assert.same({ label = "29 Feb", span = "2024-02-29", generations = 0, priced = 0 }, bars[2])
  end)

  it("become weeks, months, years and more where they would be too many", function()
    for _, case in ipairs {
      { "2026-01-01", "2026-03-03", "day", 62 },
      { "2026-01-01", "2026-03-04", "week", 10, "2026-01-01 to 2026-01-04", "1 Jan 2026" },
      { "2025-12-01", "2027-02-28", "month", 15, "2025-12-01 to 2025-12-31", "Dec 2025", "2027-02-01 to 2027-02-28" },
      { "1970-01-01", "2026-11-30", "year", 57, "1970-01-01 to 1970-12-31", "1970", "2026-01-01 to 2026-11-30" },
      { "0001-01-01", "9999-12-31", "two centuries", 50 },
    } do
      local found = { spans(row(case[1], "1"), row(case[2], "2")) }
      assert.same({ case[3], case[4] }, { found[1], found[2] })
      for i = 5, #case do assert.equal(case[i], found[i - 2]) end
    end
  end)

  it("sets aside what is no day", function()
    local series = day_series { row("unknown", "1"), row("2026-13-01", "2"), row(7, "3") }
    assert.same({ 0, 3 }, { #series.bars, #series.aside })
  end)
end)

describe("figures of a page", function()
  it("have as many places as say something", function()
    assert.equal("$1,234.50", figures.money_text("1234.5", 2))
    assert.equal("−$0.01", figures.money_text("-0.005000001", 2))
    assert.equal("<$0.01", figures.money_text("0.005", 2))
    assert.equal(">−$0.01", figures.money_text("-0.0001", 2))
    assert.equal("$0.00", figures.money_text("0", 2))
    assert.same({ 2, 4, 6, 2 }, { figures.places { "0.5", "1" }, figures.places { "0.01" }, figures.places { "0.0099" },
      figures.places { n = 3, nil, "-2", nil } })
    assert.same({ "0 ms", "1.5 ms", "12 ms", "999 ms", "1.0 s", "59.9 s", "1 min 0 s", "59 min 59 s", "1 h 0 min",
      "1,000 h 1 min" }, { figures.duration(0), figures.duration(1.5), figures.duration(12.3), figures.duration(999.4),
        figures.duration(999.6),
        figures.duration(59900), figures.duration(59960), figures.duration(3599400), figures.duration(3599600),
        figures.duration(3600060000) })
    assert.same({ "999,999", "1.0 million", "100 million", "2.5 billion" }, { figures.round_count(999999),
      figures.round_count(1000000), figures.round_count(99960000), figures.round_count(2.5e9) })
  end)

  it("never round to all or to nothing", function()
    assert.same({ "0%", "<0.1%", "0.1%", "50.0%", "99.9%", ">99.9%", "100%", "−5.0%" }, { figures.percent(0, 7),
      figures.percent(1, 2001), figures.percent(1, 1999), figures.percent(1, 2), figures.percent(9994, 10000),
      figures.percent(9999, 10000), figures.percent(3, 3), figures.percent(-1, 20) })
    assert.is_nil(figures.percent(1, 0))
    assert.is_nil(figures.percent(nil, 1))
    assert.same({ "at least 0.1%", "at most 99.9%" }, { figures.bounds(199, 100000) })
    assert.same({ "at least 99.9%", "at most 0.1%" }, { figures.bounds(99999, 100000) })
    assert.same({ "at least 100%", "at most 0%" }, { figures.bounds(3, 3) })
    assert.same({}, { figures.bounds(99, 100000) })
    assert.same({}, { figures.bounds(0, 0) })
  end)

  it("leave a lone row as it is", function()
    local rows = { { exact = {} }, { exact = {} }, { exact = {} } }
    assert.equal(rows, tables.top(rows, 2, {}))
    assert.equal(2, tables.top(rows, 1, {})[2].others)
  end)
end)

-- ---- in a browser ---------------------------------------------------------------------------------------------------

if rawget(_G, "jit") then return end -- the same page, of which the specs above have read all; a browser takes its time

local chromium = os.execute "command -v chromium >/dev/null 2>&1"
local browsed = (chromium == true or chromium == 0) and it or function(name)
  pending(name .. ": there is no chromium here (Debian's package of that name)")
end

local pdftotext = os.execute "command -v pdftotext >/dev/null 2>&1"
local printing = (pdftotext == true or pdftotext == 0) and browsed or function(name)
  pending(name .. ": there is no pdftotext here (Debian's package poppler-utils)")
end

-- No name has an address, so that neither a page nor the browser itself reaches anything.
local BROWSER = "timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
  .. "--hide-scrollbars --disable-background-networking --disable-component-update --host-resolver-rules='MAP * ~NOTFOUND' "

-- The document as it is once loaded, and what the browser said, its network log included.
local function load(path)
  local directory = shell.directory()
  local log = directory .. "/net.json"
  local status, out, err = shell.run((BROWSER
    .. "--enable-logging=stderr --user-data-dir=%s/profile --log-net-log=%s --dump-dom file://%s"):format(directory, log, path))
  assert.equal(0, status, err)
  return out, err .. shell.read(log)
end

local SCRIPT = '<script>document.title="ran"</script><img src="http://asked.invalid/image.png">'

-- Says in the title what does not fit in each of the frames: a page wider than its window, letters of charts that overlap, are
-- cut off or leave their plot (but for 4 pixels, and below the axis), figures that leave their tile or go on in another line, a
-- table by hour that scrolls. For that each has been seen to have letters, and two labels below several bars.
local MEASURE = [[<script>addEventListener("load", () => {
  document.title = [...document.querySelectorAll("iframe")].map((frame, place) => {
    const page = frame.contentDocument, width = page.documentElement.clientWidth, wrong = []
    if (width != frame.width) wrong.push("not " + width)
    if (page.documentElement.scrollWidth > width) wrong.push("wide " + page.documentElement.scrollWidth)
    let letters = 0
    for (const plot of page.querySelectorAll(".plot")) {
      const room = plot.getBoundingClientRect()
      const boxes = [...plot.querySelectorAll("text")].map(e => [e.getBoundingClientRect(), e.textContent])
        .filter(([box]) => box.width > 0)
      letters += boxes.length
      boxes.forEach(([a, text], i) => {
        if (a.left < room.left || a.right > room.right + 4.5) wrong.push("cut " + text)
        for (const [b, other] of boxes.slice(i + 1))
          if (a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
            wrong.push(text + " on " + other)
      })
      const labels = [...plot.querySelectorAll(".tick")].filter(e => e.getBoundingClientRect().height > 0)
      if (labels.length < 2 && plot.querySelectorAll(".chart > rect").length > 1) wrong.push("few labels")
    }
    if (letters < 8) wrong.push("no charts")
    for (const figure of page.querySelectorAll(".tiles .value")) {
      if (figure.scrollWidth > figure.clientWidth) wrong.push("wide " + figure.textContent)
      if (figure.textContent.length < 14 && figure.clientHeight > 2 * parseFloat(getComputedStyle(figure).fontSize))
        wrong.push("high " + figure.textContent)
    }
    for (const table of page.querySelectorAll(".scroll"))
      if (frame.title == "hours at 1280" && table.scrollWidth > table.clientWidth) wrong.push("scrolls")
    return wrong.length ? frame.title + ": " + wrong.join("; ") : ""
  }).filter(said => said).join("\n") || "fits"
})</script>]]

local function without_policy(text)
  return (text:gsub('<meta content="default%-src.->', ""))
end

describe("HTML page in a browser", function()
  after_each(shell.clean)

  browsed("has the same figures, asks for nothing, and is not refused its style", function()
    local view = awkward()
    local dom, said = load(page_of(view))
    local page = read(shell.write(shell.directory() .. "/dom.html", dom))
    assert.same({}, page.wrong)
    assert.equal(view.page.total.exact.spend, tile_of(page, "Spend (USD)").exact)
    assert.equal("$" .. words.money(view.page.total.exact.spend, 2), tile_of(page, "Spend (USD)").value)
    assert.equal("<script>document.title='ran'</script>", page.tables["models-table"][2][1].text)
    assert.equal(view.page.days[5].exact.spend, row_of(page, "days-table", "2026-11-30")[2].value)
    assert.matches("^What requests", page.title)
    assert.is_nil(said:find("Refused", 1, true))
    assert.is_nil(said:find("asked.invalid", 1, true))
  end)

  browsed("is let do nothing by its policy, had something got into it", function()
    local text = html(full()):gsub("<main>", function(found) return found .. SCRIPT end)
    local dom, said = load(shell.write(shell.directory() .. "/page.html", text))
    assert.matches("<title>What requests", dom, 1, true)
    assert.is_nil(said:find('"url":"http://asked.invalid', 1, true))
    dom, said = load(shell.write(shell.directory() .. "/page.html", without_policy(text))) -- it would, without
    assert.matches("<title>ran</title>", dom, 1, true)
    assert.is_not_nil(said:find('"url":"http://asked.invalid', 1, true))
  end)

  -- A page whose days cost as much each, and all of it too.
  local function costing(exact, days)
    local view = views.by_model { page = true, days = days, models = 3, providers = 2, buckets = 100 }
    for i = 0, days do
      local row = view.page.days[i] or view.total
      row.exact.spend, row.spend = exact, tonumber(exact)
    end
    return view
  end

  -- With all measures by hour, of millions.
  local function hours()
    local view = full()
    view.dimensions, view.rows = { "hour" }, {}
    for i, day in ipairs(view.page.days) do
      view.rows[i] = setmetatable({ hour = day.day .. " 02:00+01:00", exact = { spend = "1234.56" }, spend = 1234.56,
        native_tokens_prompt = 123456789, native_tokens_completion = 12345678 }, { __index = day })
    end
    view.total.native_tokens_prompt = 1234567890
    return view
  end

  browsed("fits phones and desks, and no letters of charts are upon each other", function()
    local many = views.by_model { page = true, days = 400, models = 1000, providers = 40, buckets = 600 }
    for _, bucket in ipairs(many.page.latency) do bucket.count = bucket.count * 1000000 end
    local one = views.by_model { page = true, days = 1, models = 1, providers = 1, buckets = 1 }
    local years = costing("0.000025", 900)
    table.insert(years.page.latency, 1, { from = 0, to = 2 ^ -20, count = 9 })
    local frames = {}
    for name, view in pairs { full = full(), awkward = awkward(), many = many, one = one, years = years,
      week = costing("3", 7), weeks = costing("3", 365), tiny = costing("0.0000004", 365),
      hours = hours(), huge = costing("4000000000", 365) } do
      local page = without_policy(html(view)):gsub("&", "&amp;"):gsub('"', "&quot;")
      for _, width in ipairs { 320, 360, 390, 761, 1280 } do
        frames[#frames + 1] = ('<iframe title="%s at %d" width="%d" height="900" srcdoc="%s"></iframe>'):format(name, width,
          width, page)
      end
    end
    local dom = load(shell.write(shell.directory() .. "/frames.html", "<!DOCTYPE html><meta charset=utf-8><title>-</title><style>"
      .. "iframe { border: 0 }</style>" .. table.concat(frames) .. MEASURE))
    assert.equal("fits", dom:match "<title>(.-)</title>")
  end)

  -- A printed page's text, page by page.
  local function printed(path)
    local directory, pages = shell.directory(), {}
    local status, out, err = shell.run((BROWSER .. "--user-data-dir=%s/profile --print-to-pdf=%s/page.pdf file://%s >/dev/null "
      .. "&& pdftotext -layout %s/page.pdf -"):format(directory, directory, path, directory))
    assert.equal(0, status, err)
    for page in out:gmatch "[^\f]+" do pages[#pages + 1] = page end
    return pages
  end

  -- The pages with the heading are those with the words that its section has at its end, wherever on a page it comes.
  local function stays_whole(text, id, heading, words_at_end)
    local part, copies, seen = text:match('<section aria%-labelledby="' .. id .. '">.-</section>'), {}, 0
    for height = 400, 950, 50 do
      copies[#copies + 1] = ('<main style="break-before: page"><div style="height: %dpx"></div>%s</main>'):format(height, part)
    end
    text = without_policy(text):gsub("<main>.*</main>", function() return table.concat(copies) end)
    for _, page in ipairs(printed(shell.write(shell.directory() .. "/page.html", text))) do
      local found = page:find(heading, 1, true) ~= nil
      assert.equal(found, page:find(words_at_end, 1, true) ~= nil)
      seen = seen + (found and 1 or 0)
    end
    assert.equal(#copies, seen)
  end

  printing("prints, each of its short sections on one page", function()
    local text = html(full())
    local pages = printed(shell.write(shell.directory() .. "/page.html", text))
    assert.is_true(#pages >= 2 and #pages <= 6)
    assert.matches("What requests through OpenRouter cost", pages[1], 1, true)
    stays_whole(text, "omitted", "Not in these figures", "and 10 more")
    stays_whole(text, "cache", "Cache and own keys", "free allowance")
  end)
end)

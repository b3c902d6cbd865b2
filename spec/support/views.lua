--- Views as formats get them, made by hand: of any size, and the same ones each time.
local core = require "openrouter.core"
local words = require "openrouter.format.words"

local views = {}

local MONEY = { "spend", "spend_openrouter", "spend_upstream", "cache_discount" }
local COUNTS = { "generations", "byok", "native_tokens_prompt", "native_tokens_cached", "native_tokens_completion",
  "native_tokens_reasoning", "cancelled", "failed_attempts", "failed_attempts_latency", "unpriced" }

local state
-- 0 to 1
local function random()
  state = (state * 16807) % 2147483647
  return state / 2147483647
end

local function amount(size)
  return ("%.9f"):format(size * (0.2 + random()))
end

local function row(dimension, value, size)
  local made = math.floor(size * 40 * (0.5 + random())) + 1
  local prompt = made * 1800
  local of = { exact = {}, generations = made, byok = math.floor(made * 0.2), native_tokens_prompt = prompt,
    native_tokens_cached = math.floor(prompt * 0.38), native_tokens_completion = made * 350,
    native_tokens_reasoning = made * 90, cancelled = math.floor(made / 200), failed_attempts = math.floor(made / 70),
    failed_attempts_latency = math.floor(made / 70) * 2400, unpriced = math.floor(made / 900),
    latency_p50 = math.floor(700 + 900 * random()), latency_p95 = math.floor(3000 + 5000 * random()), generation_time_p50 = 2100 }
  of.exact.spend_openrouter, of.exact.spend_upstream = amount(size), amount(size / 8)
  of.exact.spend = words.sum(of.exact.spend_openrouter, of.exact.spend_upstream)
  of.exact.cache_discount = amount(size / 5)
  for _, name in ipairs(MONEY) do of[name] = tonumber(of.exact[name]) end
  of[dimension] = value
  return of
end

--- The exact sum of rows; quantiles are those of the first one.
function views.total(rows)
  local total = { exact = {} }
  for _, of in ipairs(rows) do
    for _, name in ipairs(COUNTS) do total[name] = (total[name] or 0) + of[name] end
    for _, name in ipairs(MONEY) do total.exact[name] = words.sum(total.exact[name], of.exact[name]) end
  end
  for _, name in ipairs(MONEY) do total[name] = total.exact[name] and tonumber(total.exact[name]) end
  if rows[1] then
    for _, name in ipairs { "latency_p50", "latency_p95", "generation_time_p50" } do total[name] = rows[1][name] end
  else
    for _, name in ipairs(COUNTS) do total[name] = 0 end
  end
  return total
end

local function by_spend(rows)
  table.sort(rows, function(a, b) return a.spend > b.spend end)
  return rows
end

local MODELS = { "anthropic/claude-sonnet-4.5", "openai/gpt-5", "google/gemini-2.5-pro", "deepseek/deepseek-chat-v3.1",
  "openai/gpt-5-mini", "x-ai/grok-4", "qwen/qwen3-235b-a22b-instruct-2507", "meta-llama/llama-4-maverick" }
local PROVIDERS = { "Anthropic", "OpenAI", "Google", "Azure", "Amazon Bedrock", "Fireworks", "DeepInfra" }

local function named(dimension, names, n)
  local rows = {}
  for i = 1, n do rows[i] = row(dimension, names[i] or ("vendor-%d/model-%d"):format(i, i * 7), 420 / i ^ 1.3) end
  return by_spend(rows)
end

local function days(n)
  local rows, at = {}, os.time { year = 2026, month = 11, day = 30, hour = 12 }
  for i = 1, n do
    local day = os.date("*t", at - (n - i) * 86400)
    local weekend = day.wday == 1 or day.wday == 7
    local name = ("%04d-%02d-%02d"):format(day.year, day.month, day.day)
    rows[i] = row("day", name, (weekend and 8 or 30) * (1 + i / n))
  end
  return rows
end

-- Log-normal, more or less.
local function latency(n)
  local buckets, from = {}, 180
  for _ = 1, n do
    local x = (math.log(from) - math.log(1100)) / 0.75
    local count = math.floor(900 * math.exp(-x * x / 2))
    if count > 0 then buckets[#buckets + 1] = { from = from, to = from * 65 / 64, count = count } end
    from = from * 65 / 64
  end
  return buckets
end

local function health(n)
  local rows = {}
  for i = 1, n do
    local failed = i * i * 3 % 170
    rows[i] = { provider_name = PROVIDERS[i] or "provider " .. i, attempts = math.floor(9000 / i) + failed,
      failed_attempts = failed, failed_attempts_latency = failed * 2300 }
  end
  return rows
end

local function dearest(n)
  local rows = {}
  for i = 1, n do
    local exact = ("%.6f"):format(4.2 / i)
    rows[i] = { id = ("gen-17719679%02d-0hZ8J5kY7qLMOKbPx0u%d"):format(i, i),
      created_at = ("2026-11-%02dT13:03:2%d.123Z"):format(i, i % 10), made = ("2026-11-%02d 14:03:2%d"):format(i, i % 10),
      model = MODELS[i % 8 + 1], provider_name = PROVIDERS[i % 7 + 1], user = i % 3 > 0 and "user-" .. i or nil,
      spend = tonumber(exact), exact = { spend = exact }, native_tokens_prompt = 180000 + i, native_tokens_completion = 9000 + i }
  end
  return rows
end

-- Every so many models are one provider's.
local function providers_of(models, n)
  local rows = {}
  for i = 1, n do
    local theirs = {}
    for place = i, #models, n do theirs[#theirs + 1] = models[place] end
    if #theirs > 0 then
      rows[#rows + 1] = views.total(theirs)
      rows[#rows].provider_name = PROVIDERS[i] or "provider " .. i
    end
  end
  return by_spend(rows)
end

--- The rows by `is_byok`: what providers billed, with a fee of OpenRouter's for it, and all the rest.
function views.keys(total, fee)
  local exact, rows = total.exact, {}
  if total.byok < total.generations then
    rows[1] = { is_byok = false, generations = total.generations - total.byok, unpriced = 0,
      exact = { spend_openrouter = exact.spend_openrouter and core.difference(exact.spend_openrouter, fee or "0") } }
  end
  if total.byok > 0 then
    rows[#rows + 1] = { is_byok = true, generations = total.byok, unpriced = total.unpriced,
      exact = { spend_openrouter = exact.spend_upstream and (fee or "0"), spend_upstream = exact.spend_upstream } }
  end
  return rows
end

--- What the HTML page shows besides: so many days, models, providers and buckets of latency.
function views.page(options)
  state = 7
  local models = named("model", MODELS, options.models)
  local page = { days = days(options.days), models = models, providers = providers_of(models, options.providers),
    health = health(options.providers),
    latency = latency(options.buckets), dearest = dearest(math.min(10, options.models)) }
  page.total = views.total(page.models)
  page.told = { native_tokens_prompt = page.total.generations, native_tokens_cached = page.total.generations }
  page.keys = views.keys(page.total)
  return page
end

views.NOTHING = { pending = 0, failed = 0, unpriced = 0, skipped = 0, duplicates = 0, conflicts = 0, filtered = 0, undated = 0,
  lines = {} }

views.EVERYTHING = { pending = 1234, failed = 2, unpriced = 31, skipped = 12, duplicates = 3, conflicts = 1, filtered = 5,
  undated = 1, changed = 2, lines = { { file = "costs.jsonl", line = 8, reason = "not a JSON object: not an object, at byte 1" },
    { reason = "a sum would leave the range of money" } },
  instant_cost = 1.25, exact = { instant_cost = "1.2500001" }, instant_unknown = 7 }

local MEASURES = { { name = "generations", unit = "count" }, { name = "spend", unit = "USD" },
  { name = "native_tokens_prompt", unit = "tokens" }, { name = "native_tokens_completion", unit = "tokens" },
  { name = "latency_p50", unit = "ms", spread = "latency", percent = 50 },
  { name = "latency_p95", unit = "ms", spread = "latency", percent = 95 },
  { name = "cancelled", unit = "count" }, { name = "failed_attempts", unit = "count" }, { name = "unpriced", unit = "count" } }

--- By model: the rows of a page, or without one only they.
function views.by_model(options)
  local page = views.page { days = options.days or 0, models = options.models, providers = options.providers or 0,
    buckets = options.buckets or 0 }
  local measures = {}
  for i, measure in ipairs(MEASURES) do measures[i] = measure end
  return { dimensions = { "model" }, measures = measures, rows = page.models, total = page.total,
    omitted = options.omitted or views.NOTHING, page = options.page and page or nil,
    period = { since = "2026-11-01", tz = "Europe/Berlin", first = "2026-11-01T00:00:03+01:00",
      last = "2026-11-30T23:59:41+01:00" } }
end

return views

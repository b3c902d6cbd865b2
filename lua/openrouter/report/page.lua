--- What the HTML page of a report shows besides its rows.
local MEASURES = require("openrouter.report.vocabulary").measures
local core = require "openrouter.core"
local generation = require "openrouter.generation"
local rows = require "openrouter.report.rows"

local page = {}

--- What its rows have.
---@type openrouter.Measure[]
page.measures = {}
for _, name in ipairs {
  "generations", "spend", "spend_openrouter", "spend_upstream", "byok", "cache_discount", "native_tokens_prompt",
  "native_tokens_cached", "native_tokens_completion", "native_tokens_reasoning", "cancelled", "failed_attempts",
  "failed_attempts_latency", "unpriced", "latency_p50", "latency_p95", "generation_time_p50",
} do
  page.measures[#page.measures + 1] = MEASURES[name]
end

-- The sets of groups behind the report's own.
local SETS = { days = { 2, "day" }, models = { 3, "model" }, providers = { 4, "provider_name" }, keys = { 5, "is_byok" } }
local DEAREST = 10

--- Have the tally gather it.
---@param declaration table of the tally
function page.declare(declaration)
  declaration.more, declaration.dearest, declaration.health = {}, DEAREST, true
  for _, set in pairs(SETS) do declaration.more[set[1] - 1] = { set[2] } end
end

---@class openrouter.Dearest
---@field id? string
---@field created_at? string
---@field made? string the same as clocks of the zone show it, "2026-11-01 14:03:21"; nil where it is not of the years 1970 to
---  9999
---@field model? string
---@field provider_name? string
---@field user? string external_user
---@field spend number USD
---@field exact { spend: string }
---@field native_tokens_prompt? integer
---@field native_tokens_completion? integer

local YEAR_10000 = 253402300800 -- seconds since 1970

local function clock_time(of_tz, created_at)
  local at = created_at and core.parse_time(created_at)
  local shown = at and at + (of_tz and of_tz:offset(at) or 0)
  if not shown or shown < 0 or shown >= YEAR_10000 then return nil end
  return (core.timestamp(shown):sub(1, 19):gsub("T", " "))
end

local function read_dearest(text, of_tz)
  local gen = core.decode(text)
  local spend, exact = generation.spend(gen)
  return {
    id = gen.id, created_at = gen.created_at, made = clock_time(of_tz, gen.created_at),
    model = gen.model, provider_name = gen.provider_name, user = gen.external_user,
    native_tokens_prompt = gen.native_tokens_prompt, native_tokens_completion = gen.native_tokens_completion,
    spend = spend, exact = { spend = exact },
  }
end

---@class openrouter.ReportPage what the HTML page shows besides; rows have all of its measures
---@field days openrouter.Row[]
---@field models openrouter.Row[]
---@field providers openrouter.Row[]
---@field keys openrouter.Row[] by `is_byok`
---@field total openrouter.Row
---@field told { native_tokens_prompt: integer, native_tokens_cached: integer } how many generations say it
---@field health { provider_name: string, attempts: integer, failed_attempts: integer, failed_attempts_latency: number }[] by
---  the provider of each attempt in provider_responses, most attempts first; ms
---@field latency { from: number, to: number, count: integer }[] ms, rising, those with records
---@field dearest openrouter.Dearest[] the ten with the greatest spend, falling

--- Read it from a report that was made with `page`.
---@param self openrouter.Report
---@return openrouter.ReportPage
function page.read(self)
  local view = { total = rows.read_one(self, 0, {}, page.measures), dearest = {}, health = self.tally:providers() }
  view.told = { native_tokens_prompt = (self.tally:sum(0, self.place.native_tokens_prompt)),
    native_tokens_cached = (self.tally:sum(0, self.place.native_tokens_cached)) }
  for name, set in pairs(SETS) do view[name] = rows.read(self, set[1], { set[2] }, page.measures) end
  for i, text in ipairs(self.tally:dearest()) do view.dearest[i] = read_dearest(text, self.zone) end
  view.latency = self.tally:histogram(0, self.place.latency_p50)
  table.sort(view.health, function(a, b)
    if a.attempts ~= b.attempts then return a.attempts > b.attempts end
    return a.provider_name < b.provider_name
  end)
  return view
end

return page

-- luacheck: std ngx_lua
--- Figures of all workers together, for Prometheus. Each worker counts for itself and adds what is new to the shared
--- dictionary once a second, so that a request pays for no lock.
local core = require "openrouter.core"

local metrics = {}

-- Prometheus keeps a series for each pair of model and provider for ever: those beyond the first MAX_SERIES are "other".
local MAX_SERIES = 100
local LONGEST_NAME = 200 -- bytes of a model or provider: records may say anything
local GAUGE_SECONDS = 90 -- how long the gauges of a worker that says nothing more are believed

-- Upper bounds of the settle lag in seconds.
local BUCKETS = { 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60 }

-- name, type, help; in the order of the page
local FAMILIES = {
  { "captured_total", "counter", "Generation ids seen in responses." },
  { "generations_total", "counter", "Generations whose record is in the ledger." },
  { "spend_usd_total", "counter", "What they cost, in US dollars." },
  { "unpriced_total", "counter", "Generations whose record does not say what they cost." },
  { "failed_total", "counter", "Generations that have no record for good, by the kind of error." },
  { "retries_total", "counter", "Lookups that are asked again, by the kind of error." },
  { "requests_total", "counter", "Requests sent for records." },
  { "connections_total", "counter", "Connections made for them." },
  { "overflow_total", "counter", "How often an id was put off to a later turn, because the window was full or its key refused." },
  { "journal_errors_total", "counter", "Lines that could not be written at first." },
  { "lost_total", "counter", "Ids of which no line could be written before they had to be given up." },
  { "open_ids", "gauge", "Ids seen whose record is not in the ledger yet." },
  { "oldest_open_age_seconds", "gauge", "Age of the oldest of them." },
  { "settle_lag_seconds", "histogram", "From the moment a record was due to be asked for to its line in the ledger." },
}
local GAUGES = { open_ids = "sum", oldest_open_age_seconds = "max" }
-- those without labels are there from the start, at 0
local ALWAYS = { "captured_total", "unpriced_total", "requests_total", "connections_total", "overflow_total",
  "journal_errors_total", "lost_total" }

---@class openrouter.Metrics
---@field total table<string, number> counts of this worker since it started, by name and labels
local Metrics = {}
Metrics.__index = Metrics

---@param dict? table a shared dictionary of nginx; nil: this worker alone is counted
---@return openrouter.Metrics
function metrics.new(dict)
  return setmetatable({ dict = dict, total = {}, fresh = {}, known = {}, pid = ngx.worker.pid(), names = {} }, Metrics)
end

local function escape(text)
  return (text:gsub('[\\"\n]', { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }))
end

--- Add to a counter.
---@param name string with its labels as they stand in the exposition
---@param count? number default 1
function Metrics:add(name, count)
  count = count or 1
  self.total[name] = (self.total[name] or 0) + count
  self.fresh[name] = (self.fresh[name] or 0) + count
end

--- Add one to the counter of this name and kind of error.
---@param name string
---@param label string
---@param kind string
function Metrics:add_kind(name, label, kind)
  local by_kind = self.names[name]
  if not by_kind then
    by_kind = {}
    self.names[name] = by_kind
  end
  if not by_kind[kind] then by_kind[kind] = ('%s{%s="%s"}'):format(name, label, kind) end
  self:add(by_kind[kind])
end

-- Whether this series may be used: it is known, or there is room for one more.
local function admit(self, labels)
  local dict = self.dict
  if not dict then return false end
  if dict:get("series " .. labels) then return true end
  if dict:incr("series", 1, 0) <= MAX_SERIES then
    local ok, why = dict:safe_add("series " .. labels, true)
    if ok then return true end
    dict:incr("series", -1)
    return why == "exists" -- another worker was quicker
  end
  dict:incr("series", -1)
  return false
end

local function series_of(labels)
  return { generations = "generations_total{" .. labels .. "}", spend = "spend_usd_total{" .. labels .. "}" }
end

local OTHER = series_of 'model="other",provider="other"'

-- The names of the counters of a model and provider.
local function series(self, model, provider)
  model, provider = model or "unknown", provider or "unknown"
  if #model > LONGEST_NAME or #provider > LONGEST_NAME then return OTHER end
  local of_model = self.known[model]
  if of_model and of_model[provider] then return of_model[provider] end
  local labels = ('model="%s",provider="%s"'):format(escape(model), escape(provider))
  if not admit(self, labels) then return OTHER end -- not remembered, so that names cannot fill memory
  of_model = of_model or {}
  self.known[model], of_model[provider] = of_model, series_of(labels)
  return of_model[provider]
end

local BUCKET_NAMES = {}
for i, bound in ipairs(BUCKETS) do BUCKET_NAMES[i] = ('settle_lag_seconds_bucket{le="%g"}'):format(bound) end
BUCKET_NAMES[#BUCKETS + 1] = 'settle_lag_seconds_bucket{le="+Inf"}'

--- A generation is settled.
---@param gen openrouter.Generation
---@param spend? number USD
---@param lag number seconds
function Metrics:settled(gen, spend, lag)
  local names = series(self, gen.model, gen.provider_name)
  self:add(names.generations)
  self:add(names.spend, spend or 0)
  if not spend then self:add "unpriced_total" end
  self:add("settle_lag_seconds_sum", lag)
  local i = 1
  while BUCKETS[i] and lag > BUCKETS[i] do i = i + 1 end
  self:add(BUCKET_NAMES[i])
end

--- Tell the others.
---@param gauges table<string, number>
---@return boolean all false: the dictionary has no room; what is left is told the next time
function Metrics:flush(gauges)
  local dict, all = self.dict, true
  if not dict then return true end
  for name, count in pairs(self.fresh) do
    local told, _, evicted = dict:incr("count " .. name, count, 0)
    if told then self.fresh[name] = nil end
    all = all and told ~= nil and not evicted
  end
  for name, value in pairs(gauges) do
    local set, _, evicted = dict:set(("gauge %s %d"):format(name, self.pid), value, GAUGE_SECONDS)
    all = all and set and not evicted
  end
  return all
end

--- A worker is gone: its gauges count no more.
---@param pid integer
function Metrics:forget(pid)
  for name in pairs(self.dict and GAUGES or {}) do self.dict:delete(("gauge %s %d"):format(name, pid)) end
end

-- ---- the page -------------------------------------------------------------------------------------------------------

local function read(self)
  local counts, gauges = {}, {}
  for _, key in ipairs(self.dict:get_keys(0)) do
    local what, name = key:match "^(%a+) (.*)$"
    local value = what and self.dict:get(key)
    if what == "count" and value then
      counts[name] = value
    elseif what == "gauge" and value then
      name = name:match "^%S+"
      gauges[name] = GAUGES[name] == "max" and math.max(gauges[name] or 0, value) or (gauges[name] or 0) + value
    end
  end
  return counts, gauges
end

-- One family's lines: { labels or "", value } of what is counted under its name.
local function samples(counts, name)
  local list = {}
  for key, value in pairs(counts) do
    local base, labels = key:match "^([^{]+)(.*)$"
    if base == name then list[#list + 1] = { labels, value } end
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

local number = core.number_text

local function put_histogram(out, counts, name)
  local sum = 0
  for _, bound in ipairs(BUCKETS) do
    local le = ("%g"):format(bound)
    sum = sum + (counts[('%s_bucket{le="%s"}'):format(name, le)] or 0)
    out[#out + 1] = ('openrouter_%s_bucket{le="%s"} %s'):format(name, le, number(sum))
  end
  sum = sum + (counts[name .. '_bucket{le="+Inf"}'] or 0)
  out[#out + 1] = ('openrouter_%s_bucket{le="+Inf"} %s'):format(name, number(sum))
  out[#out + 1] = ("openrouter_%s_sum %s"):format(name, number(counts[name .. "_sum"] or 0))
  out[#out + 1] = ("openrouter_%s_count %s"):format(name, number(sum))
end

--- The page, in Prometheus' text format.
---@return string
function Metrics:render()
  if not self.dict then return "# nothing is counted: the shared dictionary is missing\n" end -- zeros would be a lie
  local counts, gauges = read(self)
  local out = {}
  for _, name in ipairs(ALWAYS) do
    if #samples(counts, name) == 0 then counts[name] = 0 end
  end
  for _, family in ipairs(FAMILIES) do
    local name, kind = family[1], family[2]
    out[#out + 1] = ("# HELP openrouter_%s %s"):format(name, family[3])
    out[#out + 1] = ("# TYPE openrouter_%s %s"):format(name, kind)
    if kind == "histogram" then
      put_histogram(out, counts, name)
    elseif kind == "gauge" then
      out[#out + 1] = ("openrouter_%s %s"):format(name, number(gauges[name] or 0))
    else
      for _, sample in ipairs(samples(counts, name)) do
        out[#out + 1] = ("openrouter_%s%s %s"):format(name, sample[1], number(sample[2]))
      end
    end
  end
  out[#out + 1] = ""
  return table.concat(out, "\n")
end

return metrics

--- What a report is to add up, read from its options and checked.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local nearest = require "openrouter.nearest"
local option = require "openrouter.options"
local period = require "openrouter.period"
local vocabulary = require "openrouter.report.vocabulary"
local zone = require "openrouter.zone"

local declaration = {}

local DIMENSIONS, MEASURES = vocabulary.dimensions, vocabulary.measures
local MAX_DIMENSIONS, MAX_CONDITIONS, MAX_VALUES = 16, 16, 1000 -- csrc/tally.h
local OPTIONS = { by = true, measures = true, tz = true, since = true, ["until"] = true, where = true, page = true }
local DEFAULT_MEASURES = {
  "generations", "spend", "native_tokens_prompt", "native_tokens_completion", "latency_p50", "latency_p95", "cancelled",
  "failed_attempts", "unpriced",
}

---@class openrouter.ReportOptions
---@field by? string|string[] dimensions, as a list or "model,day": known fields, "hour", "day", "week" and "month" (of
---  created_at, in the zone of `tz`), "context.<name>" (what the ledger line says about the request); none gives one row
---  over everything
---@field measures? string|string[] columns: "generations", "spend" (USD) and its parts "spend_openrouter" and
---  "spend_upstream" (BYOK), "charged" (by OpenRouter, also where the spend is unknown), "unpriced", "cancelled", "byok",
---  "failed_attempts", "failed_attempts_latency" (ms), "requests" (distinct), "first" and "last" (created_at, RFC 3339 in
---  the zone);
---  sums of amounts, tokens and counts under the fields' names; "_p50", "_p90", "_p95" and "_p99" behind the name of a
---  time (ms) or token count, by nearest rank and within 1/128. By default generations, spend, native_tokens_prompt,
---  native_tokens_completion, latency_p50, latency_p95, cancelled, failed_attempts and unpriced
---@field tz? string a zone of the IANA database, such as "Europe/Berlin"; by default "UTC"
---@field since? string only what was made at that time or later: a date, month, week or year, a time,
---  or how long ago ("7d")
---@field until? string only what was made before that time; with all of it where it is a day, month,
---  week or year
---@field where? table<string, string|number|boolean|(string|number|boolean)[]> only what has one of these values in each of
---  these dimensions; a string is also the number or boolean that it spells, and "unknown" is none
---@field page? boolean gather what the HTML page shows besides: days, models, providers, the dearest generations

local KNOWN = {
  dimension = "model, provider_name, external_user and other members of a record; hour, day, week, month; context.<name>",
  measure = "generations, spend, native_tokens_prompt, latency_p95 and more; docs/reports.md and the manual page list them",
}

-- What somebody may have taken them for.
local OTHER = { dimension = { MEASURES, "one of the measures" }, measure = { DIMENSIONS, "one of the dimensions (by)" } }

--- What is wrong with a name, and the near one or those there are.
---@param what "dimension"|"measure"|"format"
---@param name string
---@param candidates string[]
---@param meant? string the near one, where that is known
---@return string
function declaration.unknown(what, name, candidates, meant)
  local other, near = OTHER[what], meant or nearest(name, candidates)
  if other and other[1][name] and not meant then return ("'%s' is no %s but %s"):format(name, what, other[2]) end
  local hint = near and ("; did you mean '%s'?"):format(near) or KNOWN[what] and "; there are " .. KNOWN[what] or ""
  return ("unknown %s '%s'%s"):format(what, errors.printable(name), hint)
end

-- A list of names from one, or from "a,b"; nil and what is wrong.
local function read_names(what, value)
  local names, seen = {}, {}
  if type(value) == "string" then
    if value:find "%S" then
      for name in (value .. ","):gmatch "%s*(.-)%s*," do names[#names + 1] = name end
    end
  elseif type(value) == "table" then
    for i, name in ipairs(value) do names[i] = name end
    local stray = option.stray_key(value)
    if stray then return nil, ("%s must be a list without gaps, and has '%s'"):format(what, stray) end
  else
    return nil, ("%s must be a list of names or a string, not a %s"):format(what, type(value))
  end
  for _, name in ipairs(names) do
    if type(name) ~= "string" then return nil, ("%s: a name must be a string, not a %s"):format(what, type(name)) end
    if seen[name] then return nil, ("%s: '%s' is there twice"):format(what, errors.printable(name)) end
    seen[name] = true
  end
  return names, seen
end

local function check_dimension(name)
  if DIMENSIONS[name] or name:find "^context%.." then return true end
  return nil, declaration.unknown("dimension", name, DIMENSIONS, name:find "^context" and "context.<name>")
end

local function check_dimensions(names)
  if #names > MAX_DIMENSIONS then return nil, ("by: %d dimensions, %d at most"):format(#names, MAX_DIMENSIONS) end
  for _, name in ipairs(names) do
    local fine, why = check_dimension(name)
    if not fine then return nil, why end
  end
  return true
end

-- What values of times look like.
local TIMES = {
  hour = { "^%d%d%d%d%-%d%d%-%d%d %d%d:00[+-]%d%d:%d%d$", "2026-11-01 14:00+01:00" },
  day = { "^%d%d%d%d%-%d%d%-%d%d$", "2026-11-01" },
  week = { "^%d%d%d%d%-W%d%d$", "2026-W44" },
  month = { "^%d%d%d%d%-%d%d$", "2026-11" },
}

-- Whether there is such an hour, day, week or month.
local function is_time(name, value)
  if not value:find(TIMES[name][1]) then return false end
  if name == "week" then -- weeks are the same every 400 years, and period.days knows none before 1970
    return period.days((value:gsub("^%d+", function(year) return 2000 + tonumber(year) % 400 end))) ~= nil
  end
  local texts = { hour = value:gsub(" ", "T"):gsub(":00", ":00:00", 1), day = value .. "T00:00:00Z",
    month = value .. "-01T00:00:00Z" }
  return core.parse_time(texts[name]) ~= nil
end

-- The number that it is, or that text from a command line may mean; nil of what is none.
local function number_of(value)
  if type(value) == "string" then value = value:find "^%-?%d+%.?%d*[eE]?[+-]?%d*$" and tonumber(value) end
  return type(value) == "number" and value - value == 0 and value or nil
end

local TYPES = {} -- of fields
for _, field in ipairs(core.fields) do TYPES[field.name] = field.type end

-- What values of fields of these types are, and whether this is one.
local OF_TYPE = {
  boolean = { "true, false", function(value) return tostring(value) == "true" or tostring(value) == "false" end },
  number = { "a number", function(value) return number_of(value) ~= nil end },
  integer = { "a whole number", function(value) return (number_of(value) or 0.5) % 1 == 0 end },
}

local VALUES = { string = true, number = true, boolean = true }

local function check_value(name, value)
  if not VALUES[type(value)] then
    return nil, ("where: a value of '%s' must be a string, number or boolean, not a %s"):format(
      errors.printable(name), type(value))
  end
  local text = tostring(value)
  if text == "unknown" then return true end
  if TIMES[name] and not is_time(name, text) then
    return nil, ("where: the value of '%s' is like '%s', not '%s'"):format(name, TIMES[name][2], errors.printable(text))
  end
  local wanted = OF_TYPE[TYPES[name]]
  if wanted and not wanted[2](value) then
    return nil, ("where: the value of '%s' is %s or unknown, not '%s'"):format(name, wanted[1], errors.printable(text))
  end
  return true
end

-- The value as a record may have it: text from a command line may mean a number or boolean.
local function add_value(condition, value)
  condition[#condition + 1] = value
  if value == "true" or value == "false" then condition[#condition + 1] = value == "true" end
  if type(value) == "string" and number_of(value) then condition[#condition + 1] = { value } end -- to the last digit
end

-- { name, value, … }; nil and what is wrong.
local function read_condition(name, values)
  local condition = { name }
  if type(name) ~= "string" then return nil, "where must be a table by the names of dimensions" end
  local fine, why = check_dimension(name)
  if not fine then return nil, "where: " .. why end
  if type(values) ~= "table" then values = { values } end
  local stray = option.stray_key(values)
  if stray then
    return nil, ("where: the values of '%s' must be a list without gaps, which has '%s'"):format(errors.printable(name), stray)
  end
  if #values == 0 then return nil, ("where: '%s' has no value"):format(errors.printable(name)) end
  for _, value in ipairs(values) do
    fine, why = check_value(name, value)
    if not fine then return nil, why end
    add_value(condition, value)
  end
  return condition
end

local function read_where(where)
  local conditions, values = {}, 0
  if type(where) ~= "table" then
    return nil, ("where must be a table by the names of dimensions, not a %s"):format(type(where))
  end
  for name, wanted in pairs(where) do
    local condition, why = read_condition(name, wanted)
    if not condition then return nil, why end
    conditions[#conditions + 1] = condition
    values = values + #condition - 1
  end
  if #conditions > MAX_CONDITIONS then return nil, ("where: %d dimensions, %d at most"):format(#conditions, MAX_CONDITIONS) end
  if values > MAX_VALUES then return nil, ("where: %d values, %d at most"):format(values, MAX_VALUES) end
  return conditions
end

-- Where a field has quantiles and no sum, they are what is meant by its bare name.
local function unknown_measure(name)
  local quantile = name .. "_p50"
  return declaration.unknown("measure", name, MEASURES, MEASURES[quantile] and quantile)
end

local function default_measures(is_dimension)
  local names = {}
  for _, name in ipairs(DEFAULT_MEASURES) do
    if not is_dimension[name] then names[#names + 1] = name end
  end
  return names
end

local function read_measures(value, is_dimension)
  local names, why
  if value == nil then
    names = default_measures(is_dimension)
  else
    names, why = read_names("measures", value)
    if not names then return nil, why end
  end
  local measures = {}
  for i, name in ipairs(names) do
    if not MEASURES[name] then return nil, unknown_measure(name) end
    if is_dimension[name] then return nil, ("'%s' cannot be a dimension and a measure of the same report"):format(name) end
    measures[i] = MEASURES[name]
  end
  return measures
end

-- Options of the tally that choose records; nil and what is wrong.
local function read_filters(options)
  local of_tz, why = zone.open(options.tz == nil and "UTC" or options.tz)
  if of_tz == nil then return nil, why end
  local filters, conditions
  filters, why = period.read(options.since, options["until"], of_tz, core.unix_time())
  if not filters then return nil, why end
  conditions, why = read_where(options.where == nil and {} or options.where)
  if not conditions then return nil, why end
  filters.zone, filters.where = of_tz or nil, conditions
  return filters
end

--- Read the options, as report.new takes them.
---@param options? openrouter.ReportOptions
---@return string[]? dimensions
---@return openrouter.Measure[]|string measures or what is wrong
---@return table filters of the declaration of a tally, and its zone
---@return openrouter.ReportOptions options
function declaration.read(options)
  local problem
  options, problem = option.read(options, OPTIONS)
  if not options then return nil, problem end
  if options.page ~= nil and type(options.page) ~= "boolean" then
    return nil, ("page must be a boolean, not a %s"):format(type(options.page))
  end
  local filters, why = read_filters(options)
  if not filters then return nil, why end
  local dimensions, seen = read_names("by", options.by or {})
  if not dimensions then return nil, seen end
  local fine
  fine, why = check_dimensions(dimensions)
  if not fine then return nil, why end
  local measures
  measures, why = read_measures(options.measures, seen)
  if not measures then return nil, why end
  return dimensions, measures, filters, options
end

return declaration

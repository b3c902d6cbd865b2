--- Reports: declare what to group by and what to add up, hand over records or files, read rows.
local core = require "openrouter.core"
local decimal = require "openrouter.decimal"
local errors = require "openrouter.errors"
local files = require "openrouter.files"
local generation = require "openrouter.generation"
local nearest = require "openrouter.nearest"
local option = require "openrouter.options"
local period = require "openrouter.period"
local zone = require "openrouter.zone"

local report = {}

-- ---- the names a report knows ---------------------------------------------------------------------------------------

local PERCENTS = { 50, 90, 95, 99 }
local MAX_DIMENSIONS, MAX_CONDITIONS, MAX_VALUES = 16, 16, 1000 -- csrc/tally.h
local FORMATS = { "text", "markdown", "csv", "json", "html" }
local OPTIONS = { by = true, measures = true, tz = true, since = true, ["until"] = true, where = true, page = true }
local DEFAULT_MEASURES = {
  "generations", "spend", "native_tokens_prompt", "native_tokens_completion", "latency_p50", "latency_p95", "cancelled",
  "failed_attempts", "unpriced",
}

---@class openrouter.Measure
---@field name string
---@field unit string "USD", "ms", "tokens", "count" or "time"
---@field sum? string what is summed up
---@field spread? string the field a quantile is of
---@field percent? integer which quantile
---@field distinct? boolean a number of different things: those of two rows do not add up
---@field counted? boolean a sum to which every record adds, so that none is 0 and not nil

local DIMENSIONS, MEASURES = {}, {} -- names in order, and by name

local function add_measure(measure)
  MEASURES[#MEASURES + 1] = measure.name
  MEASURES[measure.name] = measure
end

local function add_field(field)
  local unit = field.unit
  if field.type ~= "array" then
    DIMENSIONS[#DIMENSIONS + 1] = field.name
    DIMENSIONS[field.name] = true
  end
  if unit == "USD" or unit == "tokens" or unit == "count" then
    add_measure { name = field.name, unit = unit, sum = field.name }
  end
  if unit == "ms" or unit == "tokens" then
    for _, percent in ipairs(PERCENTS) do
      add_measure { name = ("%s_p%d"):format(field.name, percent), unit = unit, spread = field.name, percent = percent }
    end
  end
end

add_measure { name = "generations", unit = "count" }
add_measure { name = "spend", unit = "USD", sum = "spend" }
add_measure { name = "spend_openrouter", unit = "USD", sum = "spend_openrouter" }
add_measure { name = "spend_upstream", unit = "USD", sum = "spend_upstream" }
add_measure { name = "charged", unit = "USD", sum = "charged" }
add_measure { name = "unpriced", unit = "count" }
add_measure { name = "cancelled", unit = "count", sum = "cancelled", counted = true }
add_measure { name = "failed_attempts", unit = "count", sum = "failed_attempts", counted = true }
add_measure { name = "failed_attempts_latency", unit = "ms", sum = "failed_attempts_latency" }
add_measure { name = "byok", unit = "count", sum = "byok", counted = true }
add_measure { name = "requests", unit = "count", sum = "requests", counted = true, distinct = true }
add_measure { name = "first", unit = "time", sum = "first" }
add_measure { name = "last", unit = "time", sum = "last" }
for _, field in ipairs(core.fields) do add_field(field) end

local TYPES = {} -- of fields
for _, field in ipairs(core.fields) do TYPES[field.name] = field.type end

-- What values of these look like.
local TIMES = {
  hour = { "^%d%d%d%d%-%d%d%-%d%d %d%d:00[+-]%d%d:%d%d$", "2026-11-01 14:00+01:00" },
  day = { "^%d%d%d%d%-%d%d%-%d%d$", "2026-11-01" },
  week = { "^%d%d%d%d%-W%d%d$", "2026-W44" },
  month = { "^%d%d%d%d%-%d%d$", "2026-11" },
}
for _, name in ipairs { "hour", "day", "week", "month" } do
  DIMENSIONS[#DIMENSIONS + 1] = name
  DIMENSIONS[name] = true
end

-- ---- declarations ---------------------------------------------------------------------------------------------------

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
  measure = "generations, spend, native_tokens_prompt, latency_p95 and more; docs/reports.md lists them",
}

-- What somebody may have taken them for.
local OTHER = { dimension = { MEASURES, "one of the measures" }, measure = { DIMENSIONS, "one of the dimensions (by)" } }

local function unknown(what, name, candidates, meant)
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
  return nil, unknown("dimension", name, DIMENSIONS, name:find "^context" and "context.<name>")
end

local function check_dimensions(names)
  if #names > MAX_DIMENSIONS then return nil, ("by: %d dimensions, %d at most"):format(#names, MAX_DIMENSIONS) end
  for _, name in ipairs(names) do
    local fine, why = check_dimension(name)
    if not fine then return nil, why end
  end
  return true
end

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
  return unknown("measure", name, MEASURES, MEASURES[quantile] and quantile)
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

-- Dimensions, measures, what the tally needs besides, and the options; nil and what is wrong.
local function read_options(options)
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

-- What the HTML page shows, and the sets of groups behind the report's own.
local PAGE_MEASURES = {}
for _, name in ipairs {
  "generations", "spend", "spend_openrouter", "spend_upstream", "byok", "cache_discount", "native_tokens_prompt",
  "native_tokens_cached", "native_tokens_completion", "native_tokens_reasoning", "cancelled", "failed_attempts",
  "failed_attempts_latency", "unpriced", "latency_p50", "latency_p95", "generation_time_p50",
} do
  PAGE_MEASURES[#PAGE_MEASURES + 1] = MEASURES[name]
end
local PAGE_SETS = { days = { 2, "day" }, models = { 3, "model" }, providers = { 4, "provider_name" }, keys = { 5, "is_byok" } }
local DEAREST = 10

-- What the tally must add up for these measures, and where each finds its value in it. Spend always comes first: what
-- has no known price is part of every report. So are the first time and the last.
local function plan(...)
  local sums, spreads, place = { "spend", "first", "last" }, {}, { spend = 1, first = 2, last = 3 }
  for _, measures in ipairs { ... } do
    for _, measure in ipairs(measures) do
      local list, what = measure.spread and spreads or sums, measure.spread or measure.sum
      local key = measure.spread and what .. " spread" or what
      if what and not place[key] then
        list[#list + 1] = what
        place[key] = #list
      end
      place[measure.name] = place[key]
    end
  end
  return sums, spreads, place
end

-- ---- rows -----------------------------------------------------------------------------------------------------------

---@class openrouter.Row
---@field exact table<string, string> every money measure, to the last digit
---@field generations? integer
---@field first? string RFC 3339, as `last`
---@field spend? number USD; nil where no record of the row has a known price, which is not the same as free
---@field [string] string|number|boolean|nil each dimension: its value, or "unknown" where the record has none; each
---  measure: nil where no record of the row has a value

-- A time without needless milliseconds; nil where the core cannot write it.
local function shown_time(text)
  return text ~= "" and (text:gsub("%.000", "", 1)) or nil
end

local function read_measure(self, group, measure, row)
  local tally, place = self.tally, self.place[measure.name]
  if measure.spread then return tally:quantile(group, place, measure.percent) end
  if measure.name == "generations" then return tally:generations(group) end
  if measure.name == "unpriced" then return tally:generations(group) - (tally:sum(group, 1)) end
  local values, sum, exact = tally:sum(group, place)
  if values == 0 and not measure.counted then return nil end
  if measure.unit == "time" then return shown_time(exact) end
  row.exact[measure.name] = exact
  return sum
end

-- Group 0 is the total.
local function read_row(self, group, dimensions, measures)
  local row, key = { exact = {} }, { self.tally:key(group) }
  for i, name in ipairs(dimensions) do row[name] = key[i] end
  for _, measure in ipairs(measures) do row[measure.name] = read_measure(self, group, measure, row) end
  return row
end

local TYPE_ORDER = { number = 1, boolean = 2, string = 3 }

local function value_less(a, b)
  if type(a) ~= type(b) then return TYPE_ORDER[type(a)] < TYPE_ORDER[type(b)] end
  if type(a) == "boolean" then return b and not a end
  return a < b
end

-- Of two hours with the same name the one with the greater offset was first: then the clocks were put back.
local function hour_less(a, b)
  if a:sub(1, 16) ~= b:sub(1, 16) then return a < b end -- "2026-10-25 02:00"
  local east, other_east = a:sub(17, 17) == "+", b:sub(17, 17) == "+"
  if east ~= other_east then return east end
  return (a > b) == east
end

local function key_less(dimensions, a, b)
  for _, name in ipairs(dimensions) do
    if a[name] ~= b[name] then return (name == "hour" and hour_less or value_less)(a[name], b[name]) end
  end
  return false
end

-- With times, in the order of the dimensions; else the greatest spend first, to the last digit, and an unknown one last.
local function sort_rows(rows, spend, exact, dimensions)
  local by_time = false
  for _, name in ipairs(dimensions) do by_time = by_time or TIMES[name] ~= nil end
  table.sort(rows, function(a, b)
    local x, y = spend[a], spend[b]
    if by_time or exact[a] == exact[b] then return key_less(dimensions, a, b) end
    if x == y then return decimal.compare(exact[a], exact[b]) > 0 end
    return y == nil or x ~= nil and x > y
  end)
  return rows
end

-- The rows of a set of groups.
local function read_rows(self, set, dimensions, measures)
  local rows, spend, exact = {}, {}, {}
  local count, before = self.tally:groups(set)
  for group = before + 1, before + count do
    if self.tally:generations(group) > 0 then -- else all of them were replaced by later ones of another group
      local row, values, sum, digits = read_row(self, group, dimensions, measures), self.tally:sum(group, 1)
      rows[#rows + 1] = row
      if values > 0 then spend[row], exact[row] = sum, digits end
    end
  end
  return sort_rows(rows, spend, exact, dimensions)
end

-- ---- the report -----------------------------------------------------------------------------------------------------

---@class openrouter.Report
local Report = {}
Report.__index = Report

local MAX_NOTES = 10 -- skipped lines that are told one by one; all are counted

local function skip(self, reason, file, line)
  self.skipped = self.skipped + 1
  if #self.notes < MAX_NOTES then self.notes[#self.notes + 1] = { file = file, line = line, reason = reason } end
end

-- Misuse is the fault of the caller's caller.
local function check_idle(self, level)
  if self.telling then error("a file is being read into this report: use it when that is done", (level or 2) + 1) end
end

--- Add a record. The same id counts once, as the one settled last (`at` of its ledger line). One that cannot be added,
--- because there is no memory for it or there are a million groups already, is counted as skipped.
---@param gen openrouter.Generation
---@return true?, openrouter.Error? kind "too_large"
function Report:add(gen)
  option.record("add", gen, 2)
  check_idle(self)
  local ok, why = self.tally:add(gen)
  if ok then return true end
  skip(self, why)
  return nil, errors.new("too_large", why)
end

-- An error of the caller's goes on to the caller, who may go on with the report.
local function tell(self, reading, progress, done, size)
  self.telling = true
  local fine, problem = pcall(progress, done, size)
  self.telling = false
  if fine then return end
  reading:close()
  error(problem, 0)
end

-- Add a file; returns how many records that was. `progress` is called with bytes read so far, and of the file where that is
-- known.
local function add_whole_file(self, path, options)
  local threads = options and options.threads or core.processors()
  local reading, why, what = self.tally:read(path, threads)
  if not reading then return nil, errors.new("io", ("%s: %s"):format(path, why)), what end
  local more, trouble
  repeat
    more, trouble = reading:step()
    local so_far = reading:result()
    local size = so_far.size > 0 and so_far.size or nil
    if options and options.progress then tell(self, reading, options.progress, so_far.done, size) end
  until not more
  local result = reading:result()
  for _, note in ipairs(result.notes) do skip(self, note.reason, path, note.line) end
  self.skipped = self.skipped + result.skipped - #result.notes
  if more == nil then return nil, errors.new("io", ("%s: %s"):format(path, trouble)) end
  return result.records
end

---@class openrouter.ReadOptions
---@field threads? integer how many read at the same time, 64 at most; by default as many as there are processors
---@field progress? fun(done: integer, size: integer?) called now and then with the bytes read so far, and those of the file
---  where they are known

local READ_OPTIONS = { threads = "number", progress = "function" }

-- Misuse is the fault of the caller's caller.
local function check_reading(self, what, path, options)
  check_idle(self, 3)
  option.path(what, path, 3)
  options = option.check(options, READ_OPTIONS, what, 3) -- no tail call, which would take a level away
  return options
end

--- Add a file of one JSON object a line: ledger lines, API answers, bare records. Other lines are skipped, counted and
--- named in `omitted`. What is compressed (gzip, xz, zstd, bzip2) is unpacked by the program of that name. After an error what
--- was read before it is in the report.
---@param path string "-" is standard input
---@param options? openrouter.ReadOptions
---@return integer? records in it, repeated ones included
---@return openrouter.Error? err kind "io"
function Report:add_file(path, options)
  local records, err = add_whole_file(self, path, check_reading(self, "add_file", path, options))
  return records, err
end

-- ---- the directory of openrouter.nginx --------------------------------------------------------------------------------

-- A line of a journal. One that was cut short has its id; one that is closed says nothing any more.
local function add_open_line(self, path, line, number)
  local kind, id, at, _, _, instant, _, open = core.open_line(line or "")
  if kind and open then
    self.tally:add_line(('{"%s":%s%s%s}'):format(kind, core.quote(id), at and ',"at":' .. core.quote(core.timestamp(at)) or "",
      instant and ',"instant":' .. instant or ""))
  elseif not kind and not (line or ""):find '^ "%a+":"' then -- how one that was cut short is closed
    local what, why = self.tally:add_line(line or "")
    if what == nil then skip(self, line and why or "longer than 64 MiB", path, number) end
  end
end

local function add_journal(self, path)
  local lines, why, what = core.lines(path)
  if not lines then return nil, errors.new("io", why), what end
  while true do
    local line, number = lines()
    if line == nil then
      if number then return nil, errors.new("io", number) end
      return 0
    end
    add_open_line(self, path, line, number)
  end
end

-- Add the files of this kind; returns how many records and files that was. They may be removed meanwhile, or renamed, and come
-- up under another name then.
local function add_files(self, directory, is_one, add, options)
  local seen, records, count = {}, 0, 0
  while true do
    local names, err = files.fresh_names(directory, is_one, seen)
    if not names then return nil, err end
    if #names == 0 then return records, count end
    count = count + #names
    for _, name in ipairs(names) do
      local added, trouble, what = add(self, directory .. "/" .. name, options)
      if not added and what ~= "missing" then return nil, trouble end
      records = records + (added or 0)
    end
  end
end

--- Add what openrouter.nginx has written to its directory: the ledger, also where it was rotated to (and compressed), and what
--- is open in `pending`.
---@param path string
---@param options? openrouter.ReadOptions
---@return integer? records in it, repeated ones included
---@return openrouter.Error? err kind "io"
function Report:add_directory(path, options)
  options = check_reading(self, "add_directory", path, options)
  -- what is open comes first: what is settled meanwhile is in the ledger by then
  local open, journals = add_files(self, path .. "/pending", files.is_journal, add_journal)
  if not open then return nil, journals end
  local records, ledgers = add_files(self, path, files.is_ledger, add_whole_file, options)
  if not records then return nil, ledgers end
  local err = journals + ledgers == 0 and files.complaint(path)
  if err then return nil, err end
  return records
end

--- Whether the record of a line that was added is in the figures: it passes `since`, `until` and `where`, and no other line of
--- its id counts instead. Lines that say the same of an id are all counted, as one; one without an id is, for itself.
---@param line string
---@return boolean
function Report:is_counted(line)
  option.argument("is_counted", "line", line, "string", 2)
  check_idle(self)
  return self.tally:is_counted(line)
end

--- One row for each group, in an order that depends on nothing but the rows: by dimensions where one of them is a time,
--- else by falling spend (unknown last), then by dimensions. Numbers come before booleans and those before strings.
---@return openrouter.Row[]
function Report:rows()
  check_idle(self)
  if #self.dimensions == 0 then return { self:total() } end
  return read_rows(self, 1, self.dimensions, self.measures)
end

--- One row over everything. Sums are those of all rows, to the last digit.
---@return openrouter.Row
function Report:total()
  check_idle(self)
  return read_row(self, 0, {}, self.measures)
end

---@class openrouter.Omitted
---@field pending integer ids with nothing but a pending or note line
---@field instant_cost? number USD; what open ids cost according to the responses themselves; nil where no response said so
---@field instant_unknown integer open ids of which that is not known
---@field exact table<string, string> instant_cost, to the last digit
---@field failed integer ids with a failed line and no record
---@field unpriced integer generations whose spend is unknown: counted, and in no sum of spend
---@field skipped integer lines (and records given to `add`) that could not be used
---@field duplicates integer records beyond the first of their id
---@field conflicts integer ids whose records differ (in what the report uses); the one settled last counts
---@field filtered integer generations that `where`, `since` or `until` leave out: nothing of them is in the other figures,
---  but that they may be repeated
---@field undated integer generations without a time of creation, left out by `since` or `until`
---@field changed integer records that may count twice, as their file was changed while it was read
---@field lines { file: string?, line: integer?, reason: string }[] the first ten of the skipped ones

--- What is not in the rows.
---@return openrouter.Omitted
function Report:omitted()
  check_idle(self)
  local omitted = self.tally:counts()
  local exact = omitted.pending > omitted.instant_unknown and omitted.instant_cost or nil
  omitted.instant_cost, omitted.exact = tonumber(exact), { instant_cost = exact }
  omitted.unpriced = self.tally:generations(0) - (self.tally:sum(0, 1))
  omitted.skipped = self.skipped
  omitted.lines = {}
  for i, note in ipairs(self.notes) do omitted.lines[i] = note end
  return omitted
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

local function read_page(self)
  local page = { total = read_row(self, 0, {}, PAGE_MEASURES), dearest = {}, health = self.tally:providers() }
  page.told = { native_tokens_prompt = (self.tally:sum(0, self.place.native_tokens_prompt)),
    native_tokens_cached = (self.tally:sum(0, self.place.native_tokens_cached)) }
  for name, set in pairs(PAGE_SETS) do page[name] = read_rows(self, set[1], { set[2] }, PAGE_MEASURES) end
  for i, text in ipairs(self.tally:dearest()) do page.dearest[i] = read_dearest(text, self.zone) end
  page.latency = self.tally:histogram(0, self.place.latency_p50)
  table.sort(page.health, function(a, b)
    if a.attempts ~= b.attempts then return a.attempts > b.attempts end
    return a.provider_name < b.provider_name
  end)
  return page
end

---@class openrouter.ReportPeriod
---@field tz string
---@field since? string as it was asked for
---@field until? string
---@field first? string created_at of the first generation, RFC 3339 in the zone; nil also where it cannot be written so
---@field last? string
---@field today? string the date in the zone when it was asked for

local function today(of_tz)
  local now = core.unix_time()
  if of_tz then return (select(2, of_tz:show(now))) end
  return core.timestamp(now):sub(1, 10)
end

local function read_period(self)
  local first, last = select(3, self.tally:sum(0, 2)), select(3, self.tally:sum(0, 3))
  return {
    tz = self.asked.tz or "UTC", since = self.asked.since, ["until"] = self.asked["until"],
    first = first and shown_time(first), last = last and shown_time(last),
    today = today(self.zone),
  }
end

--- All that a format needs.
---@return openrouter.ReportView
function Report:view()
  check_idle(self)
  return {
    dimensions = self.dimensions,
    measures = self.measures,
    rows = self:rows(),
    total = self:total(),
    omitted = self:omitted(),
    period = read_period(self),
    page = self.asked.page and read_page(self) or nil,
  }
end

--- The report as text. Ends with what is omitted.
---@param format "text"|"markdown"|"csv"|"json"|"html"
---@param options? openrouter.TextOptions how text looks; the other formats look the same with any
---@return string
function Report:render(format, options)
  local known = false
  for _, name in ipairs(FORMATS) do known = known or name == format end
  if not known then error(unknown("format", tostring(format), FORMATS), 2) end
  check_idle(self)
  return require("openrouter.format." .. format)(self:view(), option.check(options, option.LOOK, "render", 2))
end

---@class openrouter.ReportView what a format gets
---@field dimensions string[]
---@field measures openrouter.Measure[]
---@field rows openrouter.Row[]
---@field total openrouter.Row
---@field omitted openrouter.Omitted
---@field period openrouter.ReportPeriod
---@field page? openrouter.ReportPage where the report was made with `page`

--- The formats of `render`.
---@type string[]
report.formats = FORMATS
report.dimensions, report.measures = DIMENSIONS, MEASURES -- also by name

--- Whether `report.new` would take the options, for callers who got them from a user.
---@param options? openrouter.ReportOptions
---@return true?, string? message
function report.check(options)
  local dimensions, why = read_options(options)
  if not dimensions then return nil, why end
  return true
end

--- A new, empty report. Raises for options it does not know.
---@param options? openrouter.ReportOptions
---@return openrouter.Report
function report.new(options)
  local dimensions, measures, declaration, asked = read_options(options)
  if not dimensions then error(measures, 2) end
  local page = asked.page
  local sums, spreads, place = plan(measures, page and PAGE_MEASURES or {})
  declaration.dimensions, declaration.sums, declaration.spreads = dimensions, sums, spreads
  if page then
    declaration.more, declaration.dearest, declaration.health = {}, DEAREST, true
    for _, set in pairs(PAGE_SETS) do declaration.more[set[1] - 1] = { set[2] } end
  end
  return setmetatable({
    tally = core.tally(declaration), zone = declaration.zone, asked = asked,
    dimensions = dimensions, measures = measures, place = place, skipped = 0, notes = {},
  }, Report)
end

return report

--- Reports: declare what to group by and what to add up, hand over records or files, read rows.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local files = require "openrouter.files"
local nearest = require "openrouter.nearest"
local period = require "openrouter.period"
local zone = require "openrouter.zone"

local report = {}

-- ---- the names a report knows ---------------------------------------------------------------------------------------

local PERCENTS = { 50, 90, 95, 99 }
local MAX_DIMENSIONS, MAX_CONDITIONS, MAX_VALUES = 16, 16, 1000 -- csrc/tally.h
local FORMATS = { "text", "json" }
local OPTIONS = { "by", "measures", "tz", "since", "until", "where" }
local DEFAULT_MEASURES = {
  "generations", "spend", "native_tokens_prompt", "native_tokens_completion", "latency_p50", "latency_p95", "cancelled",
  "failed_attempts", "unpriced",
}

---@class openrouter.Measure
---@field name string
---@field unit string "USD", "ms", "tokens" or "count"
---@field sum? string what is summed up
---@field spread? string the field a quantile is of
---@field percent? integer which quantile
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
add_measure { name = "unpriced", unit = "count" }
add_measure { name = "cancelled", unit = "count", sum = "cancelled", counted = true }
add_measure { name = "failed_attempts", unit = "count", sum = "failed_attempts", counted = true }
for _, field in ipairs(core.fields) do add_field(field) end

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
---@field measures? string|string[] columns: "generations", "spend" (USD), "unpriced", "cancelled", "failed_attempts";
---  sums of amounts, tokens and counts under the fields' names; "_p50", "_p90", "_p95" and "_p99" behind the name of a
---  time (ms) or token count, by nearest rank and within 1/128. By default generations, spend, native_tokens_prompt,
---  native_tokens_completion, latency_p50, latency_p95, cancelled, failed_attempts and unpriced
---@field tz? string a zone of the IANA database, such as "Europe/Berlin"; by default "UTC"
---@field since? string only what was made at that time or later: a date, a time, or how long ago ("7d")
---@field until? string only what was made before that time; the whole day where it is a date
---@field where? table<string, string|number|boolean|(string|number|boolean)[]> only what has one of these values in each of
---  these dimensions; a string is also the number or boolean that it spells, and "unknown" is none

local KNOWN = {
  dimension = "model, provider_name, external_user and other members of a record; hour, day, week, month; context.<name>",
  measure = "generations, spend, native_tokens_prompt, latency_p95 and more; docs/reports.md lists them",
}

local function unknown(what, name, candidates, meant)
  local near = meant or nearest(name, candidates)
  local hint = near and ("; did you mean '%s'?"):format(near) or KNOWN[what] and "; there are " .. KNOWN[what] or ""
  return ("unknown %s '%s'%s"):format(what, errors.printable(name), hint)
end

-- A list of names from one, or from "a,b"; nil and what is wrong.
local function read_names(option, value)
  local names, seen = {}, {}
  if type(value) == "string" then
    if value:find "%S" then
      for name in (value .. ","):gmatch "%s*(.-)%s*," do names[#names + 1] = name end
    end
  elseif type(value) == "table" then
    for i, name in ipairs(value) do names[i] = name end
    for key in pairs(value) do
      if type(key) ~= "number" then return nil, ("%s must be a list, and has '%s'"):format(option, errors.printable(key)) end
    end
  else
    return nil, ("%s must be a list of names or a string, not a %s"):format(option, type(value))
  end
  for _, name in ipairs(names) do
    if type(name) ~= "string" then return nil, ("%s: a name must be a string, not a %s"):format(option, type(name)) end
    if seen[name] then return nil, ("%s: '%s' is there twice"):format(option, errors.printable(name)) end
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

local VALUES = { string = true, number = true, boolean = true }

local function check_value(name, value)
  if not VALUES[type(value)] then
    return nil, ("where: a value of '%s' must be a string, number or boolean, not a %s"):format(
      errors.printable(name), type(value))
  end
  local form = TIMES[name]
  if form and value ~= "unknown" and not tostring(value):find(form[1]) then
    return nil, ("where: the value of '%s' is like '%s', not '%s'"):format(name, form[2], errors.printable(tostring(value)))
  end
  return true
end

-- The value as a record may have it: text from a command line may mean a number or boolean.
local function add_value(condition, value)
  condition[#condition + 1] = value
  if value == "true" or value == "false" then condition[#condition + 1] = value == "true" end
  if type(value) == "string" and value:find "^%-?%d+%.?%d*[eE]?[+-]?%d*$" then condition[#condition + 1] = tonumber(value) end
end

-- { name, value, … }; nil and what is wrong.
local function read_condition(name, values)
  local condition = { name }
  if type(name) ~= "string" then return nil, "where must be a table by the names of dimensions" end
  local fine, why = check_dimension(name)
  if not fine then return nil, "where: " .. why end
  if type(values) ~= "table" then values = { values } end
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

-- Dimensions, measures and what the tally needs besides; nil and what is wrong.
local function read_options(options)
  if options ~= nil and type(options) ~= "table" then
    return nil, ("options must be a table, not a %s"):format(type(options))
  end
  options = options or {}
  local known = {}
  for _, name in ipairs(OPTIONS) do known[name] = true end
  for name in pairs(options) do
    if not known[name] then return nil, unknown("option", tostring(name), OPTIONS) end
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
  return dimensions, measures, filters
end

-- What the tally must add up for these measures, and where each finds its value in it. Spend always comes first: what
-- has no known price is part of every report.
local function plan(measures)
  local sums, spreads, place = { "spend" }, {}, { spend = 1 }
  for _, measure in ipairs(measures) do
    local list, what = measure.spread and spreads or sums, measure.spread or measure.sum
    local key = measure.spread and what .. " spread" or what
    if what and not place[key] then
      list[#list + 1] = what
      place[key] = #list
    end
    place[measure.name] = place[key]
  end
  return sums, spreads, place
end

-- ---- rows -----------------------------------------------------------------------------------------------------------

---@class openrouter.Row
---@field exact table<string, string> every money measure, to the last digit
---@field generations? integer
---@field spend? number USD; nil where no record of the row has a known price, which is not the same as free
---@field [string] string|number|boolean|nil each dimension: its value, or "unknown" where the record has none; each
---  measure: nil where no record of the row has a value

local function read_measure(self, group, measure, row)
  local tally, place = self.tally, self.place[measure.name]
  if measure.spread then return tally:quantile(group, place, measure.percent) end
  if measure.name == "generations" then return tally:generations(group) end
  if measure.name == "unpriced" then return tally:generations(group) - (tally:sum(group, 1)) end
  local values, sum, exact = tally:sum(group, place)
  if values == 0 and not measure.counted then return nil end
  row.exact[measure.name] = exact
  return sum
end

-- Group 0 is the total.
local function read_row(self, group)
  local row, key = { exact = {} }, { self.tally:key(group) }
  for i, name in ipairs(self.dimensions) do row[name] = key[i] end
  for _, measure in ipairs(self.measures) do row[measure.name] = read_measure(self, group, measure, row) end
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

-- With times, in the order of the dimensions; else the greatest spend first and an unknown one last.
local function sort_rows(self, rows, spend)
  table.sort(rows, function(a, b)
    local x, y = spend[a], spend[b]
    if self.by_time or x == y then return key_less(self.dimensions, a, b) end
    return y == nil or x ~= nil and x > y
  end)
  return rows
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

--- Add a record. The same id counts once, as the one settled last (`at` of its ledger line). One that cannot be added,
--- because a sum would leave the range of money (1.7e11 USD) or there are a million groups, is counted as skipped.
---@param gen openrouter.Generation
---@return true?, openrouter.Error? kind "too_large"
function Report:add(gen)
  if type(gen) ~= "userdata" then error(("add: a generation record expected, got a %s"):format(type(gen)), 2) end
  local ok, why = self.tally:add(gen)
  if ok then return true end
  skip(self, why)
  return nil, errors.new("too_large", why)
end

-- 1 for a generation, else 0
local function add_line(self, path, line, number, whole)
  if line == false then
    skip(self, "longer than 64 MiB", path, number)
    return 0
  end
  local what, why, malformed = self.tally:add_line(line)
  if what == nil then
    skip(self, malformed and not whole and "torn: the file ends within this line" or why, path, number)
  end
  return what == "generation" and 1 or 0
end

-- Add each line by add(self, path, line, number, whole), which returns how many records that was.
local function add_lines(self, path, add)
  local lines, why, what = core.lines(path)
  if not lines then return nil, errors.new("io", why), what end
  local records = 0
  while true do
    local line, number, whole = lines()
    if line == nil then
      if number then return nil, errors.new("io", number) end
      return records
    end
    records = records + add(self, path, line, number, whole)
  end
end

--- Add a file of one JSON object a line: ledger lines, API answers, bare records. Other lines are skipped, counted and
--- named in `omitted`. After an error what was read before it is in the report.
---@param path string "-" is standard input
---@return integer? records in it, repeated ones included
---@return openrouter.Error? err kind "io"
function Report:add_file(path)
  local records, err = add_lines(self, path, add_line)
  return records, err
end

-- ---- the directory of openrouter.nginx --------------------------------------------------------------------------------

-- A line of a journal. One that was cut short has its id; one that is closed says nothing any more.
local function add_open_line(self, path, line, number, whole)
  local kind, id, _, _, _, _, _, open = core.open_line(line or "")
  if kind and open then
    self.tally:add_line(('{"%s":%s}'):format(kind, core.quote(id)))
  elseif not kind and not (line or ""):find '^ "%a+":"' then -- how one that was cut short is closed
    add_line(self, path, line, number, whole)
  end
  return 0
end

local function is_ledger(name)
  return files.is_ledger(name) and not files.is_compressed(name)
end

local function is_compressed_ledger(name)
  return files.is_ledger(name) and files.is_compressed(name)
end

-- Add the files of this kind; returns how many records and files that was. They may be removed meanwhile, or renamed, and come
-- up under another name then.
local function add_files(self, directory, is_one, add)
  local seen, records, count = {}, 0, 0
  while true do
    local names, err = files.fresh_names(directory, is_one, seen)
    if not names then return nil, err end
    if #names == 0 then return records, count end
    count = count + #names
    for _, name in ipairs(names) do
      local added, trouble, what = add_lines(self, directory .. "/" .. name, add)
      if not added and what ~= "missing" then return nil, trouble end
      records = records + (added or 0)
    end
  end
end

--- Add what openrouter.nginx has written to its directory: the ledger, also where it was rotated to, and what is open in
--- `pending`. Files that are compressed count as skipped.
---@param path string
---@return integer? records in it, repeated ones included
---@return openrouter.Error|string[] left_out names of the compressed files; or an error of kind "io"
function Report:add_directory(path)
  -- what is open comes first: what is settled meanwhile is in the ledger by then
  local open, journals = add_files(self, path .. "/pending", files.is_journal, add_open_line)
  if not open then return nil, journals end
  local records, ledgers = add_files(self, path, is_ledger, add_line)
  if not records then return nil, ledgers end
  local left_out, err = files.fresh_names(path, is_compressed_ledger, {})
  if not left_out then return nil, err end
  for _, name in ipairs(left_out) do skip(self, ("%s/%s: compressed"):format(path, name)) end
  if journals + ledgers + #left_out == 0 and not core.file_status(path .. "/pending") then
    return nil, errors.new("io", path .. ": there is neither ledger.jsonl nor pending/ in it")
  end
  return records, left_out
end

--- One row for each group, in an order that depends on nothing but the rows: by dimensions where one of them is a time,
--- else by falling spend (unknown last), then by dimensions. Numbers come before booleans and those before strings.
---@return openrouter.Row[]
function Report:rows()
  if #self.dimensions == 0 then return { self:total() } end
  local rows, spend = {}, {}
  for group = 1, self.tally:groups() do
    if self.tally:generations(group) > 0 then -- else all of them were replaced by later ones of another group
      local row, values, sum = read_row(self, group), self.tally:sum(group, 1)
      rows[#rows + 1] = row
      spend[row] = values > 0 and sum or nil
    end
  end
  return sort_rows(self, rows, spend)
end

--- One row over everything. Sums are those of all rows, to the last digit.
---@return openrouter.Row
function Report:total()
  return read_row(self, 0)
end

---@class openrouter.Omitted
---@field pending integer ids with nothing but a pending or note line
---@field failed integer ids with a failed line and no record
---@field unpriced integer generations whose spend is unknown: counted, and in no sum of spend
---@field skipped integer lines (and records given to `add`) that could not be used
---@field duplicates integer records beyond the first of their id
---@field conflicts integer ids whose records differ (in what the report uses); the one settled last counts
---@field filtered integer generations that `where`, `since` or `until` leave out: nothing of them is in the other figures,
---  but that they may be repeated
---@field undated integer generations without a time of creation, left out by `since` or `until`
---@field lines { file: string?, line: integer?, reason: string }[] the first ten of the skipped ones

--- What is not in the rows.
---@return openrouter.Omitted
function Report:omitted()
  local omitted = self.tally:counts()
  omitted.unpriced = self.tally:generations(0) - (self.tally:sum(0, 1))
  omitted.skipped = self.skipped
  omitted.lines = {}
  for i, note in ipairs(self.notes) do omitted.lines[i] = note end
  return omitted
end

--- The report as text. Ends with what is omitted.
---@param format "text"|"json"
---@return string
function Report:render(format)
  local known = false
  for _, name in ipairs(FORMATS) do known = known or name == format end
  if not known then error(unknown("format", tostring(format), FORMATS), 2) end
  return require("openrouter.format." .. format) {
    dimensions = self.dimensions,
    measures = self.measures,
    rows = self:rows(),
    total = self:total(),
    omitted = self:omitted(),
  }
end

---@class openrouter.ReportView what a format gets
---@field dimensions string[]
---@field measures openrouter.Measure[]
---@field rows openrouter.Row[]
---@field total openrouter.Row
---@field omitted openrouter.Omitted

--- The formats of `render`.
---@type string[]
report.formats = FORMATS

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
  local dimensions, measures, declaration = read_options(options)
  if not dimensions then error(measures, 2) end
  local sums, spreads, place = plan(measures)
  local by_time = false
  for _, name in ipairs(dimensions) do by_time = by_time or TIMES[name] ~= nil end
  declaration.dimensions, declaration.sums, declaration.spreads = dimensions, sums, spreads
  return setmetatable({
    tally = core.tally(declaration),
    dimensions = dimensions, measures = measures, place = place, by_time = by_time, skipped = 0, notes = {},
  }, Report)
end

return report

--- Reports: declare what to group by and what to add up, hand over records or files, read rows.
local core = require "openrouter.core"
local declaration = require "openrouter.report.declaration"
local each_line = require "openrouter.each_line"
local errors = require "openrouter.errors"
local files = require "openrouter.files"
local option = require "openrouter.options"
local page = require "openrouter.report.page"
local rows = require "openrouter.report.rows"
local vocabulary = require "openrouter.report.vocabulary"

local report = {}

local FORMATS = { "text", "markdown", "csv", "json", "html" }

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
local function tell(self, reading, progress)
  local so_far = reading:result()
  self.telling = true
  local fine, problem = pcall(progress, so_far.done, so_far.size > 0 and so_far.size or nil)
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
  local progress = options and options.progress
  local more, trouble
  if progress then tell(self, reading, progress) end
  repeat
    more, trouble = reading:step()
    if progress then tell(self, reading, progress) end
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
---  where they are known; at the beginning of each file with 0

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
  local ok, why, what = each_line(path, function(line, number) add_open_line(self, path, line, number) end)
  if not ok then return nil, errors.new("io", why), what end
  return 0
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
  local err = journals + ledgers == 0 and files.complaint(path, files.NAME_THEM)
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
  return rows.read(self, 1, self.dimensions, self.measures)
end

--- One row over everything. Sums are those of all rows, to the last digit.
---@return openrouter.Row
function Report:total()
  check_idle(self)
  return rows.read_one(self, 0, {}, self.measures)
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
    first = first and rows.shown_time(first), last = last and rows.shown_time(last),
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
    page = self.asked.page and page.read(self) or nil,
  }
end

--- The report as text. Ends with what is omitted.
---@param format "text"|"markdown"|"csv"|"json"|"html"
---@param options? openrouter.TextOptions how text looks; the other formats look the same with any
---@return string
function Report:render(format, options)
  local known = false
  for _, name in ipairs(FORMATS) do known = known or name == format end
  if not known then error(declaration.unknown("format", tostring(format), FORMATS), 2) end
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
report.dimensions, report.measures = vocabulary.dimensions, vocabulary.measures -- also by name

--- Whether `report.new` would take the options, for callers who got them from a user.
---@param options? openrouter.ReportOptions
---@return true?, string? message
function report.check(options)
  local dimensions, why = declaration.read(options)
  if not dimensions then return nil, why end
  return true
end

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

--- A new, empty report. Raises for options it does not know.
---@param options? openrouter.ReportOptions
---@return openrouter.Report
function report.new(options)
  local dimensions, measures, wanted, asked = declaration.read(options)
  if not dimensions then error(measures, 2) end
  local sums, spreads, place = plan(measures, asked.page and page.measures or {})
  wanted.dimensions, wanted.sums, wanted.spreads = dimensions, sums, spreads
  if asked.page then page.declare(wanted) end
  return setmetatable({
    tally = core.tally(wanted), zone = wanted.zone, asked = asked,
    dimensions = dimensions, measures = measures, place = place, skipped = 0, notes = {},
  }, Report)
end

return report

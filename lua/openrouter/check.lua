--- What somebody should look at in ledgers: records without a price, costs that are not what the response said, own provider
--- keys whose bill is unknown, hours that cost too much.
local core = require "openrouter.core"
local decimal = require "openrouter.decimal"
local generation = require "openrouter.generation"
local option = require "openrouter.options"
local records = require "openrouter.records"
local report = require "openrouter.report"

local check = {}

local SHOWN = 10 -- findings of a kind that are named; all are counted

---@class openrouter.Finding
---@field id? string of the generation; nil: its record has none
---@field file? string where its record is
---@field line? integer
---@field why? string of an unpriced one
---@field instant? string USD that the response said, to the last digit; nil where that is not known
---@field drift? string USD that it cost more (negative: less)
---@field percent? number the drift in percent of `instant`; nil where that is 0 or unknown
---@field hour? string
---@field spend? string USD in this hour

---@class openrouter.Findings
---@field count integer
---@field examples openrouter.Finding[] the first ten: of hours the dearest, of others by file and line

---@class openrouter.NoHour generations that no limit of an hour can find, as their created_at cannot be read
---@field generations integer
---@field spend? string USD of all of them; nil where none has a known price
---@field over boolean whether that is more than an hour may cost

---@class openrouter.CheckOptions: openrouter.ReportOptions only since, until, tz and where
---@field max_drift? number percent of what the response said that the cost may differ by; default 0
---@field max_per_hour? string USD, as decimal text; default no limit
---@field progress? fun(done: integer, total: integer?, what: "bytes"|"records") called now and then: with the bytes of a file
---  as openrouter.ReadOptions has it, and with records when all of them are looked at once more

---@class openrouter.CheckResult
---@field unpriced openrouter.Findings generations whose spend is unknown, but those of byok
---@field drift openrouter.Findings generations whose total_cost is not what their response said
---@field byok openrouter.Findings generations by the caller's own provider key without an upstream_inference_cost; their
---  spend is unknown, too
---@field hours openrouter.Findings
---@field no_hour? openrouter.NoHour nil: there is none, or no limit of an hour
---@field tripped boolean whether there is any of these, or those of no hour are over the limit
---@field generations integer that were looked at
---@field compared integer of them, those of which the cost and what the response said are known: only they can have a drift
---@field omitted openrouter.Omitted

-- ---- one record -----------------------------------------------------------------------------------------------------

-- By how much it cost more than the response said, and what the response said, where that is known; nil where there is nothing to
-- compare.
local function compare(gen, line)
  local cost = line and generation.exact(line, "instant", "cost")
  local billed = generation.state(gen, "total_cost") == "value" and generation.exact(gen, "total_cost")
  cost = cost and decimal.subtract(cost, "0") -- nil of what is no number
  local drift = billed and cost and decimal.subtract(billed, cost)
  return drift or line and decimal.subtract(generation.exact(line, "drift"), "0") or nil, cost
end

-- nil where that is within the limit.
local function find_drift(drift, cost, most)
  if not drift or drift == "0" then return nil end
  local percent = cost and cost ~= "0" and tonumber(drift) / math.abs(tonumber(cost)) * 100 or nil
  if percent and math.abs(percent) <= most * (1 + 1e-12) then return nil end -- a limit of 10 lets 10 % pass
  return { instant = cost, drift = drift, percent = percent }
end

local function lacks_upstream(gen)
  return gen.is_byok == true and generation.state(gen, "upstream_inference_cost") ~= "value"
end

-- Its findings by kind, nil where there is none; and whether a drift could be found.
local function judge(gen, line, most)
  local spend, why = generation.spend(gen)
  local byok = lacks_upstream(gen) and {} or nil
  local unpriced = not spend and not byok and { why = why } or nil -- once, with what says more
  local difference, cost = compare(gen, line)
  local drift = find_drift(difference, cost, most)
  return (unpriced or drift or byok) and { unpriced = unpriced, drift = drift, byok = byok } or nil, difference ~= nil
end

-- ---- all of them ----------------------------------------------------------------------------------------------------

-- The members of a ledger line around an answer, as a record: what stands there reads as unknown members. One is used for all.
local function line_reader()
  local holder
  return function(text)
    if not text:find('"settled"', 1, true) then return nil end
    local line = core.decode('{"data":' .. text .. "}", holder)
    holder = line or holder
    return line and generation.state(line, "settled") ~= "absent" and line or nil
  end
end

local function id_of(gen, line)
  local id = gen.id ~= "" and gen.id or line and line.settled
  return type(id) == "string" and id ~= "" and id or nil
end

local EVERY = 100 -- records between two calls of `progress`

-- The findings of each generation that the report counts, as { id, file, line, findings by kind }, and how many could have a
-- drift. Nil and an error.
local function find_all(r, paths, most, progress)
  local all, err = records(paths)
  if not all then return nil, err end
  local found, seen, looked, compared, read_line = {}, {}, 0, 0, line_reader()
  for gen, file, number, text in all do
    looked = looked + 1
    if looked % EVERY == 0 then progress(looked) end
    if r:is_counted(text) then
      local line = read_line(text)
      local id = id_of(gen, line)
      local kinds, comparable = judge(gen, line, most)
      local is_first = not (id and seen[id]) -- of those that say the same
      if id then seen[id] = true end
      if is_first and kinds then found[#found + 1] = { id = id, file = file, line = number, kinds = kinds } end
      if is_first and comparable then compared = compared + 1 end
    end
  end
  if all.err then return nil, all.err end
  return found, compared
end

local function pick(list, kind)
  local findings = { count = 0, examples = {} }
  for _, of in ipairs(list) do
    local finding = of.kinds[kind]
    if finding then
      findings.count = findings.count + 1
      if findings.count <= SHOWN then
        finding.id, finding.file, finding.line = of.id, of.file, of.line
        findings.examples[findings.count] = finding
      end
    end
  end
  return findings
end

-- ---- hours ----------------------------------------------------------------------------------------------------------

-- The hours over the limit, and what is of no hour, or nil.
local function find_hours(r, limit)
  local over, no_hour = {}, nil
  for _, row in ipairs(limit and r:rows() or {}) do
    local spend = row.exact.spend
    local is_over = spend ~= nil and decimal.compare(spend, limit) > 0
    if row.hour == "unknown" then no_hour = { generations = row.generations, spend = spend, over = is_over }
    elseif is_over then over[#over + 1] = { hour = row.hour, spend = spend } end
  end
  table.sort(over, function(a, b)
    local order = decimal.compare(a.spend, b.spend)
    return order > 0 or order == 0 and a.hour < b.hour
  end)
  local findings = { count = #over, examples = {} }
  for i = 1, math.min(#over, SHOWN) do findings.examples[i] = over[i] end
  return findings, no_hour
end

-- ---- the whole ------------------------------------------------------------------------------------------------------

local OPTIONS = { since = true, ["until"] = true, tz = true, where = true, max_drift = true, max_per_hour = true,
  progress = true }

-- The options of the report that is made, and those given; nil and what is wrong.
local function read_options(options)
  local problem
  options, problem = option.read(options, OPTIONS)
  if not options then return nil, problem end
  local drift, limit = options.max_drift, options.max_per_hour
  if drift ~= nil and not (type(drift) == "number" and drift >= 0 and drift < math.huge) then
    return nil, "max_drift must be a number of percent, and not negative"
  end
  local compared = limit == nil or type(limit) == "string" and decimal.compare(limit, "0")
  if not compared or compared == -1 then
    return nil, 'max_per_hour must be an amount of USD as text, such as "2.50", and not negative'
  end
  if options.progress ~= nil and type(options.progress) ~= "function" then
    return nil, ("progress must be a function, not a %s"):format(type(options.progress))
  end
  local filters = { since = options.since, ["until"] = options["until"], tz = options.tz, where = options.where,
    by = limit and "hour" or "", measures = "generations,spend" }
  local fine, why = report.check(filters)
  if not fine then return nil, why end
  return filters, options
end

--- Whether `check.ledgers` would take the options, for callers who got them from a user.
---@param options? openrouter.CheckOptions
---@return true?, string? message
function check.check(options)
  local filters, why = read_options(options)
  if not filters then return nil, why end
  return true
end

-- Into the report: how many records they have, or nil and an error.
local function add_all(r, paths, progress)
  local reading, total = { progress = function(done, size) progress(done, size, "bytes") end }, 0
  for _, path in ipairs(paths) do
    local added, err = r[core.file_status(path) == "directory" and "add_directory" or "add_file"](r, path, reading)
    if not added then return nil, err end
    total = total + added
  end
  return total
end

local function nothing() end

--- Look through ledgers, each of which is read twice. Raises for options it does not know.
---@param paths string[] files, and directories of openrouter.nginx
---@param options? openrouter.CheckOptions
---@return openrouter.CheckResult?
---@return openrouter.Error? err kind "io"
function check.ledgers(paths, options)
  option.paths("ledgers", paths, 2)
  local filters
  filters, options = read_options(options)
  if not filters then error(options, 2) end
  local r, progress = report.new(filters), options.progress or nothing
  local total, err = add_all(r, paths, progress)
  if not total then return nil, err end
  local function look(done) progress(done, total, "records") end
  look(0)
  local found, compared = find_all(r, paths, options.max_drift or 0, look)
  if not found then return nil, compared end
  local result = { omitted = r:omitted(), generations = r:total().generations, compared = compared }
  for _, kind in ipairs { "unpriced", "drift", "byok" } do result[kind] = pick(found, kind) end
  result.hours, result.no_hour = find_hours(r, options.max_per_hour)
  result.tripped = result.no_hour ~= nil and result.no_hour.over
  for _, kind in ipairs { "unpriced", "drift", "byok", "hours" } do result.tripped = result.tripped or result[kind].count > 0 end
  return result
end

return check

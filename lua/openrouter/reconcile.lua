--- Comparing what a ledger has with what OpenRouter says was used (openrouter.witness), per UTC day and model, to the last
--- digit. Nothing here talks to a server: docs/reconcile.md says what is compared with what.
local decimal = require "openrouter.decimal"
local report = require "openrouter.report"
local witness = require "openrouter.witness"

local reconcile = {}

--- The figures that are compared, in the order in which they are shown: members of openrouter.ReconciledRow.
---@type string[]
reconcile.figures = { "requests", "usage", "byok", "prompt", "completion", "reasoning" }

-- ---- exact amounts --------------------------------------------------------------------------------------------------

local ZERO = "0"

local minus = decimal.subtract

-- nil is an amount that no record says.
local function plus(a, b)
  if a == nil or b == nil then return a or b end
  return minus(a, minus(ZERO, b))
end

-- ---- the ledger's side ----------------------------------------------------------------------------------------------

local COUNTS, AMOUNTS = witness.counts, witness.amounts
local MEASURES = { "generations", "unpriced", "charged", "upstream_inference_cost", "tokens_prompt",
  "tokens_completion", "native_tokens_prompt", "native_tokens_completion", "native_tokens_reasoning" }

--- `usage` and `byok` are nil where no record says them.
---@class openrouter.LedgerUsage: openrouter.Usage
---@field own_key boolean whether any of the requests was made with the caller's own key at a provider
---@field unpriced integer of the requests, those whose spend is unknown
---@field other { prompt: integer, completion: integer } tokens as OpenRouter counts them for all models alike

-- What OpenRouter charged, and what providers did where the key was the caller's own.
local function amounts_of(row)
  local own_key = row.is_byok == true
  return { day = row.day, model = tostring(row.model), usage = row.exact.charged, own_key = own_key,
    byok = own_key and row.exact.upstream_inference_cost or nil }
end

-- Without an own key, providers charged nothing.
local function amount_in(usage, field)
  if field == "byok" and not usage.own_key then return usage.byok or ZERO end
  return usage[field]
end

local function of_row(row)
  local usage = amounts_of(row)
  usage.requests, usage.unpriced = row.generations, row.unpriced
  usage.prompt, usage.completion = row.native_tokens_prompt or 0, row.native_tokens_completion or 0
  usage.reasoning = row.native_tokens_reasoning or 0
  usage.other = { prompt = row.tokens_prompt or 0, completion = row.tokens_completion or 0 }
  return usage
end

-- Add the second one's figures to the first one.
local function add(sum, usage)
  for _, name in ipairs(COUNTS) do sum[name] = sum[name] + usage[name] end
  for _, name in ipairs(AMOUNTS) do sum[name] = plus(sum[name], usage[name]) end
  if usage.unpriced then sum.unpriced, sum.own_key = sum.unpriced + usage.unpriced, sum.own_key or usage.own_key end
  for name, tokens in pairs(usage.other or {}) do sum.other[name] = sum.other[name] + tokens end
end

local function copy(usage)
  local new = {}
  for name, value in pairs(usage) do new[name] = value end
  if usage.other then new.other = { prompt = usage.other.prompt, completion = usage.other.completion } end
  return new
end

-- One row for each day and name: { [day] = { [name] = usage } }.
local function add_up(rows, name_of)
  local days = {}
  for _, usage in ipairs(rows) do
    local day, name = days[usage.day] or {}, name_of(usage)
    days[usage.day] = day
    if day[name] then
      add(day[name], usage)
    else
      day[name] = copy(usage)
      day[name].model = name
    end
  end
  return days
end

--- An empty report that `reconcile.ledger` reads: hand it files and directories.
---@param since string first UTC day
---@param until_ string last one
---@return openrouter.Report
function reconcile.report(since, until_)
  return report.new { by = { "day", "model", "is_byok" }, measures = MEASURES, since = since, ["until"] = until_ }
end

--- What a ledger has, by day and model.
---@param r openrouter.Report from reconcile.report
---@return openrouter.LedgerUsage[]
function reconcile.ledger(r)
  local rows = {}
  for i, row in ipairs(r:rows()) do rows[i] = of_row(row) end
  return rows
end

-- ---- names of models ------------------------------------------------------------------------------------------------

-- Records have a model's permanent name as a rule. A ledger's name that is no permanent one of that day, but another name of
-- just one of them, is taken for it.
local function names_of(theirs)
  local days = {}
  for _, usage in ipairs(theirs) do
    local day = days[usage.day] or { known = {}, alias = {} }
    days[usage.day] = day
    day.known[usage.model] = true
    if usage.alias then
      local other = day.alias[usage.alias]
      day.alias[usage.alias] = (other == nil or other == usage.model) and usage.model -- false: of several
    end
  end
  return function(usage)
    local day = days[usage.day]
    if not day or day.known[usage.model] then return usage.model end
    return day.alias[usage.model] or usage.model
  end
end

-- Without its date and variant: names that have this in common may be of the same model.
local function stem(name)
  return (name:gsub(":[^:/]*$", ""):gsub("%-%d%d%d%d[%d-]*$", ""))
end

-- ---- comparing ------------------------------------------------------------------------------------------------------

local ROUNDING = 1e-9 -- of the sum: what adding up doubles may have cost, with much to spare
local RANK = { same = 1, rounding = 2, differs = 3 }

local function compare_counts(ours, theirs)
  return { ledger = ours, theirs = theirs, difference = ours - theirs, status = ours == theirs and "same" or "differs" }
end

-- Whether two amounts differ by no more than that.
local function is_rounding(difference, amount)
  return math.abs(tonumber(difference)) <= ROUNDING * math.abs(tonumber(amount))
end

-- What is not known differs from every amount, but for none.
local function compare_amounts(ours, theirs)
  if ours == nil then return { theirs = theirs, status = theirs == ZERO and "same" or "differs" } end
  local difference = minus(ours, theirs)
  local status = "differs"
  if difference == ZERO then
    status = "same"
  elseif is_rounding(difference, theirs) then
    status = "rounding"
  end
  return { ledger = ours, theirs = theirs, difference = difference, status = status }
end

-- Whether both have as many generations, at the same cost, however small: two different models hardly do. Where nothing was
-- charged, they must have as many tokens, too.
local function same_figures(missing, extra)
  local cost_nothing = true
  for _, field in ipairs(AMOUNTS) do
    local compared = compare_amounts(extra[field].ledger, missing[field].theirs)
    if compared.status == "differs" then return false end
    cost_nothing = cost_nothing and compared.theirs == ZERO
  end
  local function same(field) return missing[field].theirs == extra[field].ledger end
  return same "requests" and (not cost_nothing or same "prompt" and same "completion")
end

-- For a model that only one side has, a name that only the other one has.
local function add_hints(rows)
  for _, row in ipairs(rows) do
    for _, other in ipairs(row.status == "missing" and rows or {}) do
      if other.status == "extra" and other.day == row.day and not row.hint and not other.hint
        and (stem(row.model) == stem(other.model) or same_figures(row, other)) then
        row.hint, other.hint = other.model, row.model
      end
    end
  end
end

-- Which tokens OpenRouter counts is documented for analytics alone, which has those of each model's own tokenizer. Where only the
-- tokens that are counted for all models alike are the same as theirs, these are what is compared.
local function choose_tokens(ours, theirs)
  local other = ours.other
  local own = ours.prompt == theirs.prompt and ours.completion == theirs.completion
  if own or not other or other.prompt ~= theirs.prompt or other.completion ~= theirs.completion then return ours end
  local chosen = copy(ours)
  chosen.prompt, chosen.completion = other.prompt, other.completion
  return chosen
end

local NOTHING = { requests = 0, prompt = 0, completion = 0, reasoning = 0, usage = ZERO, byok = ZERO }

---@class openrouter.Compared
---@field ledger? integer|string nil for an amount that no record says
---@field theirs integer|string
---@field difference? integer|string ledger - theirs, where both are known
---@field status "same"|"rounding"|"differs"

---@class openrouter.ReconciledRow
---@field day string
---@field model string
---@field status "same"|"rounding"|"differs"|"missing"|"extra" missing: the ledger has none of that; extra: OpenRouter has none.
---  rounding: amounts differ by less than 1e-9 of themselves, all counts are the same
---@field requests openrouter.Compared
---@field usage openrouter.Compared
---@field byok openrouter.Compared
---@field prompt openrouter.Compared
---@field completion openrouter.Compared
---@field reasoning openrouter.Compared
---@field unpriced integer of the ledger's, those whose spend is unknown
---@field hint? string a model that only the other side has and that may be the same

local function compare_row(day, name, ours, theirs)
  local row, worst = { day = day, model = name, unpriced = ours and ours.unpriced or 0 }, "same"
  local left, right = ours or NOTHING, theirs or NOTHING
  left = choose_tokens(left, right)
  for _, field in ipairs(COUNTS) do row[field] = compare_counts(left[field], right[field]) end
  for _, field in ipairs(AMOUNTS) do row[field] = compare_amounts(amount_in(left, field), right[field]) end
  for _, field in ipairs(reconcile.figures) do
    if RANK[row[field].status] > RANK[worst] then worst = row[field].status end
  end
  row.status = worst == "differs" and (not ours and "missing" or not theirs and "extra") or worst
  return row
end

--- Compare. Rows of the same day and model are added up; the result is in the order of days and names.
---@param ledger openrouter.LedgerUsage[]
---@param theirs openrouter.Usage[]
---@return openrouter.ReconciledRow[]
function reconcile.compare(ledger, theirs)
  local left = add_up(ledger, names_of(theirs))
  local right = add_up(theirs, function(usage) return usage.model end)
  local rows = {}
  for day, models in pairs(right) do
    for name, usage in pairs(models) do rows[#rows + 1] = compare_row(day, name, (left[day] or {})[name], usage) end
  end
  for day, models in pairs(left) do
    for name, usage in pairs(models) do
      if not (right[day] or {})[name] then rows[#rows + 1] = compare_row(day, name, usage, nil) end
    end
  end
  table.sort(rows, function(a, b)
    if a.day ~= b.day then return a.day < b.day end
    return a.model < b.model
  end)
  add_hints(rows)
  return rows
end

--- Whether the sides agree about a day and model, but for rounding.
---@param row openrouter.ReconciledRow
---@return boolean
function reconcile.is_fine(row)
  return row.status == "same" or row.status == "rounding"
end

--- Whether they agree about all.
---@param rows openrouter.ReconciledRow[]
---@return boolean
function reconcile.agrees(rows)
  for _, row in ipairs(rows) do
    if not reconcile.is_fine(row) then return false end
  end
  return true
end

--- Whether two rows of the same day and model, each compared with another source, find the same, but for rounding.
---@param a openrouter.ReconciledRow
---@param b openrouter.ReconciledRow
---@return boolean
function reconcile.alike(a, b)
  for _, field in ipairs(reconcile.figures) do
    local theirs, other = tonumber(a[field].theirs), tonumber(b[field].theirs)
    local same_verdict = (a[field].status == "differs") == (b[field].status == "differs")
    if not same_verdict or not is_rounding(theirs - other, theirs) then return false end
  end
  return true
end

-- ---- one generation after the other ---------------------------------------------------------------------------------

--- An empty report that `reconcile.differing_ids` reads.
---@param days string[] UTC days, in order
---@return openrouter.Report
function reconcile.id_report(days)
  return report.new { by = { "id", "day", "model", "is_byok" }, where = { day = days }, since = days[1],
    ["until"] = days[#days], measures = { "generations", "charged", "upstream_inference_cost" } }
end

---@class openrouter.DifferingId
---@field id string
---@field day string as OpenRouter has it, where it does
---@field ledger_day? string
---@field model string
---@field status "missing"|"extra"|"differs"
---@field usage openrouter.Compared
---@field byok openrouter.Compared

local function compare_id(day, ours, theirs)
  local row = { id = (ours or theirs).id, day = day, ledger_day = ours and ours.day, model = (ours or theirs).model }
  local left, right = ours or NOTHING, theirs or NOTHING
  for _, field in ipairs(AMOUNTS) do row[field] = compare_amounts(amount_in(left, field), right[field]) end
  local differs = row.usage.status == "differs" or row.byok.status == "differs" or row.ledger_day ~= day
  row.status = not ours and "missing" or not theirs and "extra" or differs and "differs" or "same"
  return row
end

--- The ids that make the difference, in the order of days and ids.
---@param r openrouter.Report from reconcile.id_report
---@param theirs openrouter.Usage[] from witness.generations, of the same days
---@return openrouter.DifferingId[]
function reconcile.differing_ids(r, theirs)
  local ours, list = {}, {}
  for _, row in ipairs(r:rows()) do
    local id = tostring(row.id)
    local usage = amounts_of(row)
    usage.id = id
    ours[id] = usage
  end
  for _, usage in ipairs(theirs) do
    list[#list + 1] = compare_id(usage.day, ours[usage.id], usage)
    ours[usage.id] = nil
  end
  for _, usage in pairs(ours) do list[#list + 1] = compare_id(usage.day, usage, nil) end
  local differing = {}
  for _, row in ipairs(list) do
    if row.status ~= "same" then differing[#differing + 1] = row end
  end
  table.sort(differing, function(a, b)
    if a.day ~= b.day then return a.day < b.day end
    return a.id < b.id
  end)
  return differing
end

return reconcile

--- What `openrouter-cost reconcile` found, as JSON: every row, amounts as strings to the last digit.
local encode = require "openrouter.format.encode"
local period = require "openrouter.period"
local reconcile = require "openrouter.reconcile"
local witness = require "openrouter.witness"

local lines, object, scalar = encode.lines, encode.object, encode.scalar

local function day(number)
  return scalar(period.day_text(number))
end

-- An object of these members of the row, and then of what is compared.
local function row_json(row, names, figures)
  local members = {}
  for i, name in ipairs(names) do members[i] = { name, scalar(row[name]) } end
  for _, name in ipairs(figures) do
    members[#members + 1] = { name, encode.record(row[name], { "ledger", "theirs", "difference", "status" }) }
  end
  return object(members)
end

local function model_json(row)
  return row_json(row, { "day", "model", "status", "hint", "unpriced" }, reconcile.figures)
end

local function id_json(row)
  return row_json(row, { "id", "day", "ledger_day", "model", "status" }, witness.amounts)
end

local function source_json(source)
  return object { { "name", scalar(source.name) }, { "since", day(source.first) }, { "until", day(source.last) },
    { "rows", lines(source.rows, model_json) } }
end

---@param view table see commands/reconcile.lua
---@return string
return function(view)
  return object {
    { "since", day(view.period.first) }, { "until", day(view.period.last) }, { "complete", scalar(view.complete) },
    { "sources", lines(view.sources, source_json) },
    { "ids", view.ids and lines(view.ids, id_json) or "null" },
    { "ids_unknown", scalar(view.ids_trouble and tostring(view.ids_trouble)) },
    { "omitted", encode.omitted(view.omitted) },
  } .. "\n"
end

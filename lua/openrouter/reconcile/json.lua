--- What `openrouter-cost reconcile` found, as JSON: every row, amounts as strings to the last digit.
local core = require "openrouter.core"
local encode = require "openrouter.format.encode"

local DAY = 86400
local list, scalar = encode.lines, encode.scalar

-- Members: a list of name, JSON, name, JSON, …
local function object(members)
  local parts = {}
  for i = 1, #members, 2 do parts[#parts + 1] = core.quote(members[i]) .. ":" .. members[i + 1] end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function day(number)
  return scalar(os.date("!%Y-%m-%d", number * DAY))
end

local function compared(figure)
  return object { "ledger", scalar(figure.ledger), "theirs", scalar(figure.theirs), "difference", scalar(figure.difference),
    "status", scalar(figure.status) }
end

local function add_figures(members, row, names)
  for _, name in ipairs(names) do
    members[#members + 1] = name
    members[#members + 1] = compared(row[name])
  end
  return object(members)
end

local function row_json(row)
  return add_figures({ "day", scalar(row.day), "model", scalar(row.model), "status", scalar(row.status), "hint",
    scalar(row.hint), "unpriced", scalar(row.unpriced) }, row,
    { "requests", "usage", "byok", "prompt", "completion", "reasoning" })
end

local function id_json(row)
  return add_figures({ "id", scalar(row.id), "day", scalar(row.day), "model", scalar(row.model), "status", scalar(row.status) },
    row, { "usage", "byok" })
end

local function source_json(source)
  return object { "name", scalar(source.name), "since", day(source.first), "until", day(source.last),
    "rows", list(source.rows, row_json) }
end

local function omitted_json(omitted)
  local members = {}
  for _, name in ipairs { "filtered", "undated", "pending", "failed", "skipped", "unpriced" } do
    members[#members + 1] = name
    members[#members + 1] = scalar(omitted[name])
  end
  return object(members)
end

---@param view table see commands/reconcile.lua
---@return string
return function(view)
  return object {
    "since", day(view.period.first), "until", day(view.period.last), "complete", scalar(view.complete),
    "sources", list(view.sources, source_json),
    "ids", view.ids and list(view.ids, id_json) or "null",
    "ids_unknown", scalar(view.ids_trouble and tostring(view.ids_trouble)),
    "omitted", omitted_json(view.omitted),
  } .. "\n"
end

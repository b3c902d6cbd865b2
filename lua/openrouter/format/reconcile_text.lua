--- What `openrouter-cost reconcile` found, for people: what differs first, then a sentence for each run of days, then what was
--- not compared, and the ids.
local layout = require "openrouter.format.layout"
local period = require "openrouter.period"
local reconcile = require "openrouter.reconcile"
local scope = require "openrouter.format.scope"
local witness = require "openrouter.witness"
local words = require "openrouter.format.words"

local count, plural, day_name = words.count, words.plural, period.day_text
local unpack = table.unpack or unpack

local LONGEST, SHORTEST = 80, 12 -- columns of a model's name, at most and in a narrow terminal

local function model_name(text)
  return layout.shorten(words.name(text), LONGEST)
end

-- A line for each of them, or several where they are wider than the terminal.
local function wrapped(texts, most)
  local lines = {}
  for _, text in ipairs(texts) do layout.add_wrapped(lines, text, most, text:match "^ *" .. "  ") end
  return table.concat(lines, "\n") .. "\n"
end

-- In columns, of which the first `left` are set to the left and number `name` may be narrower; nil where they do not fit.
local function aligned(lines, left, name, most)
  local columns, total, text = layout.columns(lines, left), -2, {}
  for _, column in ipairs(columns) do total = total + column.width + 2 end
  local least = math.min(columns[name].width, SHORTEST)
  columns[name].width = math.max(columns[name].width - math.max(total - most, 0), least)
  for i, line in ipairs(lines) do
    text[i] = layout.line(line, columns)
    if layout.width(text[i]) > most then return nil end
  end
  return table.concat(text, "\n") .. "\n"
end

-- ---- the table ------------------------------------------------------------------------------------------------------

local CALLED = { requests = "generations", usage = "charged, USD", byok = "own keys, USD", prompt = "prompt tokens",
  completion = "completion tokens", reasoning = "reasoning tokens" }
local HEAD = { "day", "model", "says", "", "", "ledger", "OpenRouter", "difference" }
local LEFT, MODEL = 5, 2 -- how many of the columns are set to the left, and which is the name

local function shown(value)
  return type(value) == "number" and count(value) or value
end

local function signed(value)
  local text = shown(value)
  return (text:find "^%-" or text == "0") and text or "+" .. text
end

-- A line for each figure that differs; of what one side has not at all, how many and how much.
local function add_lines(lines, row, source)
  local whole = row.status == "missing" or row.status == "extra"
  local first = true
  for i, field in ipairs(reconcile.figures) do
    local compared = row[field]
    if compared.status == "differs" and (not whole or i <= 3) then
      local ours, difference = "unknown", "unknown"
      if compared.ledger then ours, difference = shown(compared.ledger), signed(compared.difference) end
      lines[#lines + 1] = { first and row.day or "", first and model_name(row.model) or "", first and source or "",
        first and row.status or "", CALLED[field], ours, shown(compared.theirs), difference }
      first = false
    end
  end
end

-- Where a terminal is too narrow for the table.
local function listed(lines, most)
  local texts = {}
  for i = 2, #lines do
    local day, model, says, status, figure, ours, theirs, difference = unpack(lines[i])
    if day ~= "" then texts[#texts + 1] = ("%s, %s: %s (%s)"):format(day, model, status, says) end
    texts[#texts + 1] = ("  %s: %s in the ledger, %s at OpenRouter, difference %s"):format(figure, ours, theirs, difference)
  end
  return wrapped(texts, most)
end

-- The differing rows with who says so, in the order of days and models: { row =, says = }.
local function differing_rows(view)
  local list, place = {}, {}
  for _, source in ipairs(view.sources) do
    for _, row in ipairs(source.rows) do
      local key = row.day .. row.model
      local entry = place[key]
      if not reconcile.is_fine(row) then
        if entry and reconcile.alike(entry.row, row) then
          entry.says = "both"
        else
          place[key] = { row = row, says = source.name, order = #list }
          list[#list + 1] = place[key]
        end
      end
    end
  end
  table.sort(list, function(a, b)
    if a.row.day ~= b.row.day then return a.row.day < b.row.day end
    if a.row.model ~= b.row.model then return a.row.model < b.row.model end
    return a.order < b.order
  end)
  return list
end

local function table_of(view, most)
  local lines = { HEAD }
  for _, entry in ipairs(differing_rows(view)) do add_lines(lines, entry.row, entry.says) end
  if #lines > 1 then return aligned(lines, LEFT, MODEL, most) or listed(lines, most) end
end

-- ---- sentences ------------------------------------------------------------------------------------------------------

-- What the sources say of a day: { agrees =, ours =, theirs =, names = }, generations of the first that reports it.
local function judge_day(view, name)
  local day = { agrees = true, ours = 0, theirs = 0, names = {} }
  for n, source in ipairs(view.sources) do
    if name >= day_name(source.first) and name <= day_name(source.last) then
      day.names[#day.names + 1] = "/" .. source.name
      for _, row in ipairs(view.by_day[n][name] or {}) do
        day.agrees = day.agrees and reconcile.is_fine(row)
        if #day.names == 1 then
          day.ours, day.theirs = day.ours + row.requests.ledger, day.theirs + row.requests.theirs
        end
      end
    end
  end
  day.say = table.concat(day.names, " and ") .. (#day.names == 1 and " reports" or " report")
  return day
end

-- Where something of the ledger could not be compared, days are not called complete.
local function sentence(first, last, run, complete)
  local days = first == last and first or ("%s to %s"):format(first, last)
  if run.agrees and run.theirs == 0 then return ("%s: the ledger has nothing, and %s nothing."):format(days, run.say) end
  if run.agrees then
    return ("%s: %sthe ledger has the %s that %s."):format(days, complete and "complete, " or "",
      plural(run.theirs, "generation", "generations"), run.say)
  end
  return ("%s: %s, the ledger has %s and %s %s."):format(days, run.ours < run.theirs and "INCOMPLETE" or "DIFFERENT",
    plural(run.ours, "generation", "generations"), run.say, count(run.theirs))
end

-- Why the ledger is not complete whatever its figures are, and the first of the lines that were skipped.
local function add_incomplete(list, omitted)
  local parts, _, notes = scope.incomplete(omitted), scope.omitted(omitted)
  if #parts == 0 then return end
  local text = table.concat(parts, ", "):gsub(", ([^,]*)$", " and %1")
  list[#list + 1] = ("INCOMPLETE: in the ledger %s%s"):format(text, #notes > 0 and ":" or ".")
  for _, note in ipairs(notes) do list[#list + 1] = "  " .. note end
end

-- One for each run of days that are alike, and one for what the ledger lacks of any day.
local function sentences(view)
  local list, start, run = {}, nil, nil
  local complete = #scope.incomplete(view.omitted) == 0
  view.by_day = {}
  for n, source in ipairs(view.sources) do
    view.by_day[n] = {}
    for _, row in ipairs(source.rows) do
      view.by_day[n][row.day] = view.by_day[n][row.day] or {}
      table.insert(view.by_day[n][row.day], row)
    end
  end
  for day = view.period.first, view.period.last do
    local next_day = judge_day(view, day_name(day))
    if run and run.agrees == next_day.agrees and run.say == next_day.say then
      run.ours, run.theirs = run.ours + next_day.ours, run.theirs + next_day.theirs
    else
      if run then list[#list + 1] = sentence(start, day_name(day - 1), run, complete) end
      start, run = day_name(day), next_day
    end
  end
  list[#list + 1] = sentence(start, day_name(view.period.last), run, complete)
  add_incomplete(list, view.omitted)
  return list
end

local function add_rounding(notes, view)
  local most, sums = 0, 0
  for _, source in ipairs(view.sources) do
    for _, row in ipairs(source.rows) do
      for _, field in ipairs(witness.amounts) do
        if row[field].status == "rounding" then
          sums, most = sums + 1, math.max(most, math.abs(tonumber(row[field].difference)))
        end
      end
    end
  end
  if sums > 0 then
    notes[#notes + 1] = ("%s of OpenRouter's %s from the exact one, as adding up doubles does, by %.1e USD at most."):format(
      plural(sums, "sum", "sums"), sums == 1 and "differs" or "differ", most)
  end
end

local function add_hints(notes, view)
  for _, source in ipairs(view.sources) do
    for _, row in ipairs(source.rows) do
      if row.status == "missing" and row.hint then
        notes[#notes + 1] = ("%s: %s (/%s) and %s (the ledger) may be the same model under two names."):format(
          row.day, model_name(row.model), source.name, model_name(row.hint))
      end
    end
  end
end

-- What is in no figure above.
local function add_omitted(notes, view)
  local omitted, unpriced = view.omitted, 0
  for _, row in ipairs(view.sources[#view.sources].rows) do unpriced = unpriced + row.unpriced end
  local function note(n, one, many)
    if n > 0 then notes[#notes + 1] = "Not compared: " .. plural(n, one, many) end
  end
  note(omitted.filtered, "generation of the ledger, which is of another day.",
    "generations of the ledger, which are of other days.")
  note(omitted.undated, "generation of the ledger without a time.", "generations of the ledger without a time.")
  if unpriced > 0 then
    notes[#notes + 1] = ("The ledger does not know in full what %s cost."):format(plural(unpriced, "generation", "generations"))
  end
end

local function notes_of(view)
  local notes, days = {}, view.period
  add_hints(notes, view)
  add_rounding(notes, view)
  notes[#notes + 1] = ("Not compared: %s, which is not over (UTC)."):format(day_name(days.today))
  for _, source in ipairs(view.sources) do
    if source.first > days.first then
      notes[#notes + 1] = ("Not compared with /%s, which has the last 30 days: %s to %s."):format(
        source.name, day_name(days.first), day_name(source.first - 1))
    end
  end
  add_omitted(notes, view)
  return notes
end

-- ---- ids ------------------------------------------------------------------------------------------------------------

local TITLES = { missing = "The ledger lacks", extra = "Only the ledger has",
  differs = "The ledger has another amount or day for" }

-- What else there is to say of an id: the ledger's day and amount, and what was charged to the caller's own key.
local function rest_of(row)
  local parts = {}
  if row.status == "differs" and row.ledger_day ~= row.day then parts[1] = row.ledger_day .. " in the ledger" end
  for _, field in ipairs(witness.amounts) do
    local figure = row[field]
    if field == "byok" and figure.status == "differs" then
      parts[#parts + 1] = ("own key: %s here, %s there"):format(figure.ledger or "unknown", figure.theirs)
    elseif row.status == "differs" and figure.status == "differs" then
      parts[#parts + 1] = ("%s in the ledger"):format(figure.ledger or "unknown")
    end
  end
  return table.concat(parts, ", ")
end

local function add_ids(parts, ids, status, most)
  local lines = {}
  for _, row in ipairs(ids) do
    if row.status == status then
      local amount = row.usage.theirs
      if status == "extra" then amount = row.usage.ledger end
      lines[#lines + 1] = { words.name(row.id), row.day, model_name(row.model), amount and amount .. " USD" or "unknown",
        rest_of(row) }
    end
  end
  if #lines == 0 then return end
  local text = aligned(lines, 3, 3, most)
  if not text then
    for i, cells in ipairs(lines) do lines[i] = table.concat(cells, "  "):gsub(" +$", "") end
    text = wrapped(lines, most)
  end
  parts[#parts + 1] = wrapped({ ("%s %s:"):format(TITLES[status], plural(#lines, "id", "ids")) }, most) .. text
end

local function ids_of(view, most)
  local parts = {}
  if view.ids_trouble then
    return { wrapped({ ("Which ids these are is not known: %s"):format(tostring(view.ids_trouble)) }, most) }
  end
  for _, status in ipairs { "missing", "differs", "extra" } do add_ids(parts, view.ids or {}, status, most) end
  if not view.agrees and view.ids and #view.ids == 0 then
    parts[1] = wrapped({ "No id is missing on these days: it is names of models, or tokens, that differ." }, most)
  elseif not view.agrees and not view.ids then
    parts[1] = wrapped({ "/analytics would tell which ids these are." }, most)
  end
  return parts
end

---@param view table see commands/reconcile.lua
---@param options? openrouter.TextOptions only its width
---@return string
return function(view, options)
  local most = options and options.width or math.huge
  local parts = { table_of(view, most) }
  parts[#parts + 1] = wrapped(sentences(view), most)
  for _, part in ipairs(ids_of(view, most)) do parts[#parts + 1] = part end
  parts[#parts + 1] = wrapped(notes_of(view), most)
  return table.concat(parts, "\n")
end

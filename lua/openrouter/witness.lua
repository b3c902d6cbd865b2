--- What OpenRouter itself says was used: GET /activity and POST /analytics/query, read into rows that reconcile.lua compares.
--- docs/reconcile.md says where their forms are known from. What is not understood is an error: no row is ever left out.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local generation = require "openrouter.generation"

local witness = {}

---@class openrouter.Usage what one side says
---@field day string "2026-11-01", of UTC
---@field model string
---@field requests integer
---@field usage string USD that OpenRouter charged, exactly
---@field byok string USD that providers charged for generations with the caller's own key, exactly
---@field prompt integer tokens
---@field completion integer tokens
---@field reasoning integer tokens
---@field alias? string another name of the model

--- Which of these are counts.
---@type string[]
witness.counts = { "requests", "prompt", "completion", "reasoning" }

--- And which are amounts.
---@type string[]
witness.amounts = { "usage", "byok" }

local ACTIVITY = { requests = "requests", usage = "usage", byok = "byok_usage_inference", prompt = "prompt_tokens",
  completion = "completion_tokens", reasoning = "reasoning_tokens" }
local ANALYTICS = { requests = "request_count", usage = "credits_usage", byok = "byok_usage", prompt = "tokens_prompt",
  completion = "tokens_completion", reasoning = "reasoning_tokens" }

-- ---- reading answers ------------------------------------------------------------------------------------------------

local function not_understood(what, format, ...)
  return nil, errors.new("bad_answer", ("%s: %s; it is not compared, since its form is not the one this knows"):format(
    what, errors.printable(format:format(...))))
end

-- What a sum is spelt as: JSON text; analytics has counts as strings.
local function unquoted(text)
  return text and (text:match '^"([^"\\]*)"$' or text)
end

local function read_count(text)
  local digits = unquoted(text)
  digits = digits and (digits:match "^(%d+)$" or digits:match "^(%d+)%.0+$")
  return digits and #digits <= 15 and tonumber(digits) or nil
end

-- The exact amount without superfluous digits.
local function read_amount(text)
  local digits = unquoted(text)
  return digits and digits:find "^%-?%d" and core.difference(digits, "0") or nil
end

local HINTS = { "next", "more", "cursor", "truncated", "page" }

-- A member that may say that there is more than this answer has: beside the data, or in an object there but `known`.
local function says_more(members, known)
  for name, value in pairs(members) do
    if type(value) == "table" and name ~= "data" and name ~= known then
      local more = says_more(value)
      if more then return more end
    end
    for _, hint in ipairs(HINTS) do
      if type(name) == "string" and name:find(hint) and value and value ~= "" and value ~= core.null then return name end
    end
  end
end

-- The rows in `data`, without which nothing can be said: their members, and as records, which have them to the last digit.
local function rows_of(gen, what, known)
  local texts = generation.items(gen, "data")
  if not texts then return not_understood(what, "its data is no list") end
  local members = generation.totable(gen)
  local more = says_more(members, known)
  if more then return not_understood(what, "'%s' may say that there is more", more) end
  local total = members.total_count -- as other lists of OpenRouter's have it, which come in pages
  if total ~= nil and total ~= #texts then return not_understood(what, "of %s rows it has %d", tostring(total), #texts) end
  local rows = {}
  for i, text in ipairs(texts) do
    local record = core.decode(text)
    if not record then return not_understood(what, "row %d is no object", i) end
    rows[i] = { members = members.data[i], record = record }
  end
  return rows
end

local function name_in(value)
  return type(value) == "string" and value ~= "" and value or nil
end

-- The sums of a row; nil and an error.
local function read_row(what, i, row, names, unused)
  local usage = {}
  local function exactly(name) return generation.exact(row.record, name) end
  for _, field in ipairs(witness.counts) do
    usage[field] = read_count(exactly(names[field]))
  end
  for _, field in ipairs(witness.amounts) do
    local text = exactly(names[field])
    usage[field] = read_amount(text == "null" and unused or text)
  end
  for field, name in pairs(names) do
    if usage[field] == nil then
      return not_understood(what, "row %d: %s is %s", i, name, exactly(name) or "not there")
    end
  end
  return usage
end

-- ---- /activity ------------------------------------------------------------------------------------------------------

local function activity_row(what, i, row, day)
  local usage, err = read_row(what, i, row, ACTIVITY)
  if not usage then return nil, err end
  local members = row.members
  local model = name_in(members.model)
  if not model then return not_understood(what, "row %d has no model", i) end
  if type(members.date) ~= "string" or members.date:sub(1, 10) ~= day then
    return not_understood(what, "row %d is of the day %s", i, tostring(members.date))
  end
  usage.day, usage.model, usage.alias = day, name_in(members.model_permaslug) or model, model
  return usage
end

--- What /activity says of a UTC day: a row for each model and provider.
---@param client openrouter.Client with a management key
---@param day string
---@param key_hash? string
---@return openrouter.Usage[]? rows
---@return openrouter.Error? err of kind "bad_answer" where the answer has another form than is known
function witness.activity(client, day, key_hash)
  local gen, err = client:activity(day, key_hash)
  if not gen then return nil, err end
  local what = "/activity of " .. day
  local list, trouble = rows_of(gen, what)
  if not list then return nil, trouble end
  local rows = {}
  for i = 1, #list do
    rows[i], err = activity_row(what, i, list[i], day)
    if not rows[i] then return nil, err end
  end
  return rows
end

-- ---- /analytics/query -----------------------------------------------------------------------------------------------

local QUERY = '{"metrics":["request_count","credits_usage","byok_usage","tokens_prompt","tokens_completion","reasoning_tokens"],'
  .. '"dimensions":[%s],"granularity":"day","time_range":{"start":"%s","end":"%s"},%s"limit":%d}'

local FILTER = '"filters":[{"field":"api_key_id","operator":"eq","value":%s}],'

local function time_text(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", seconds)
end

local function query_of(dimensions, from, to, key_hash, limit)
  local filter = key_hash and FILTER:format(core.quote(key_hash)) or ""
  return QUERY:format(dimensions, time_text(from), time_text(to), filter, limit)
end

-- The list of rows and whether it is only a part; nil and an error.
local function read_answer(gen, what)
  local metadata = gen.metadata
  local list, err = rows_of(gen, what, "metadata")
  if not list then return nil, err end
  if type(metadata) ~= "table" or type(metadata.truncated) ~= "boolean" then
    return not_understood(what, "its metadata does not say whether it is truncated")
  end
  local warning = generation.exact(gen, "warnings")
  if warning and warning ~= "null" and not warning:find "^%[%s*%]$" then -- of filters that found nothing to filter by
    return nil, errors.new("bad_answer", ("%s: OpenRouter warns: %s"):format(what, errors.printable(warning)))
  end
  local count = read_count(generation.exact(gen, "metadata", "row_count"))
  if count ~= #list then return not_understood(what, "it says it has %s rows, and has %d", tostring(count), #list) end
  return list, metadata.truncated
end

-- The day of a row: date__day or created_at__day, depending on where OpenRouter takes it from.
local function day_of(members)
  local text = members.date__day or members.created_at__day
  return type(text) == "string" and text:match "^(%d%d%d%d%-%d%d%-%d%d)" or nil
end

local NONE = "0" -- what null stands for: none of that was used

local function analytics_row(what, i, row)
  local usage, err = read_row(what, i, row, ANALYTICS, NONE)
  if not usage then return nil, err end
  usage.day, usage.model = day_of(row.members), name_in(row.members.model)
  if not usage.day then return not_understood(what, "row %d has no day", i) end
  if not usage.model then return not_understood(what, "row %d has no model", i) end
  return usage
end

local DAY, SECOND = 86400, 1

-- All rows between two times, in seconds, by halving the time where there are too many for one answer; `least` is the shortest.
-- What is of the day `to`, where that day is not asked for, is left out: whether `end` is in the range is not documented.
local function ask(client, query, read, from, to, least, rows)
  local what = ("/analytics/query from %s"):format(time_text(from))
  local gen, err = client:analytics(query(from, to))
  if not gen then return nil, err end
  local list, truncated = read_answer(gen, what)
  if not list then return nil, truncated end
  if truncated then
    local middle = from + math.floor((to - from) / 2 / least) * least
    if middle == from then return not_understood(what, "there is more than one answer can have") end
    local ok, why = ask(client, query, read, from, middle, least, rows)
    if not ok then return nil, why end
    return ask(client, query, read, middle, to, least, rows)
  end
  local first, beyond = time_text(from):sub(1, 10), time_text(to):sub(1, 10)
  for i = 1, #list do
    local row, trouble = read(what, i, list[i])
    if not row then return nil, trouble end
    local outside = row.day < first or row.day > beyond
    if outside then return not_understood(what, "row %d is of the day %s", i, row.day) end
    if to % DAY ~= 0 or row.day ~= beyond then rows[#rows + 1] = row end
  end
  return rows
end

local MOST_ROWS = 10000 -- in one answer, which is as many as the API allows

--- What /analytics/query says of some UTC days, by model.
---@param client openrouter.Client
---@param from number seconds since 1970: the start of the first day
---@param to number the end of the last
---@param key_hash? string
---@return openrouter.Usage[]? rows
---@return openrouter.Error? err
function witness.analytics(client, from, to, key_hash)
  local function query(start, stop) return query_of('"model"', start, stop, key_hash, MOST_ROWS) end
  return ask(client, query, analytics_row, from, to, DAY, {})
end

--- The generations of a UTC day, each once: rows as above with an `id`.
---@param client openrouter.Client
---@param from number seconds since 1970: the start of the day
---@param key_hash? string
---@return openrouter.Usage[]? rows
---@return openrouter.Error? err
function witness.generations(client, from, key_hash)
  local function query(start, stop) return query_of('"generation_id","model"', start, stop, key_hash, MOST_ROWS) end
  local function read(what, i, row)
    local usage, err = analytics_row(what, i, row)
    local id = name_in(row.members.generation_id)
    if usage and not id then return not_understood(what, "row %d has no generation_id", i) end
    if usage then usage.id = id end
    return usage, err
  end
  local rows, err = ask(client, query, read, from, from + DAY, SECOND, {})
  if not rows then return nil, err end
  local seen, each = {}, {}
  for _, row in ipairs(rows) do
    if not seen[row.id] then
      seen[row.id] = true
      each[#each + 1] = row
    end
  end
  return each
end

return witness

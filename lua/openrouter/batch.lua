--- Batches: ids in from anywhere, records out to a ledger.
local core = require "openrouter.core"
local each_line = require "openrouter.each_line"
local errors = require "openrouter.errors"
local ledger = require "openrouter.ledger"
local option = require "openrouter.options"

local batch = {}

-- ---- ids found in text ----------------------------------------------------------------------------------------------

-- Words such as "gen-ai" are no ids: every form of id has a digit in it, or 20 random letters.
local function looks_like_id(id)
  return id:find "%d" ~= nil or #id >= 24
end

-- With a Unix time in it, an id is one wherever it stands: behind the colour code of a terminal, an escaped line end, a name.
local function is_timed(id)
  return id:find "^gen%-%d%d%d%d%d%d%d%d%d%d%-" ~= nil
end

--- The ids in a piece of text, in order: whatever starts with gen- where a word can start, or has a time in it.
---@param text string
---@return fun(): string?
function batch.ids_in(text)
  option.argument("ids_in", "text", text, "string", 2)
  local from = 1
  return function()
    repeat
      local at = text:find("gen-", from, true) -- which takes a tenth of the time of a pattern
      local id = at and text:match("^gen%-[%w_%-]+", at)
      if at then from = at + #(id or "gen-") end
      local starts = id and (at == 1 or not text:find("^[%w_%-]", at - 1))
      if id and (starts and looks_like_id(id) or is_timed(id)) then return id end
    until not at
  end
end

---@class openrouter.Ids
---@field ids string[] each once, in the order found
---@field lines integer lines read
---@field found integer ids found, repeated ones included
---@field unusable integer of these, the ones that are no id after all
---@field without integer lines that are not empty and have no id in them
---@field problems string[] what could not be used, by file and line
---@field remarks string[] what was used, but may be wrong

local function scan_line(result, seen, path, number, text)
  local any = false
  for id in batch.ids_in(text) do
    any = true
    result.found = result.found + 1
    if not core.id_valid(id) then
      result.unusable = result.unusable + 1
      result.problems[#result.problems + 1] =
        ("%s:%d: %s… is no id: it has %d bytes, 128 at most"):format(path, number, id:sub(1, 24), #id)
    elseif not seen[id] then
      seen[id] = true
      result.ids[#result.ids + 1] = id
    end
  end
  if not any and text:find "%S" then result.without = result.without + 1 end
end

local function scan_file(result, seen, path, progress)
  local ok, why = each_line(path, function(text, number, whole)
    result.lines = result.lines + 1
    if text == false then
      result.problems[#result.problems + 1] = ("%s:%d: the line is longer than 64 MiB"):format(path, number)
    else
      scan_line(result, seen, path, number, text)
      if not whole and text:find "gen%-[%w_%-]+$" then
        result.remarks[#result.remarks + 1] =
          ("%s:%d: the last line has no line end; if it is still being written, its id may be cut short"):format(path, number)
      end
    end
  end, progress)
  if not ok then return nil, errors.new("io", why) end
  return true
end

--- The ids in files of any kind: logs, lists, JSON.
---@param paths string[] "-" is standard input
---@param progress? fun(done: integer, size: number?) called now and then, with bytes read so far and of the file if known
---@return openrouter.Ids?, openrouter.Error? kind "io" for a file that cannot be read
function batch.collect(paths, progress)
  option.paths("collect", paths, 2)
  if progress ~= nil then option.argument("collect", "progress", progress, "function", 2) end
  local result, seen = { ids = {}, lines = 0, found = 0, unusable = 0, without = 0, problems = {}, remarks = {} }, {}
  for _, path in ipairs(paths) do
    local ok, err = scan_file(result, seen, path, progress)
    if not ok then return nil, err end
  end
  return result
end

-- ---- what a ledger has already --------------------------------------------------------------------------------------

local function settled_ids(path, progress)
  local settled, skipped = {}, {}
  local lines, err = ledger.read(path, progress)
  if not lines then return nil, err end
  for number, id, gen, line_error in lines do
    if number == 0 then return nil, line_error end -- what cannot be read may have any of them
    if id and gen then
      settled[id] = true
    elseif not id and line_error then
      skipped[#skipped + 1] = ("%s:%d: skipped: %s"):format(path, number, errors.printable(line_error.message))
    end
  end
  return settled, skipped
end

-- Misuse is the fault of the caller's caller.
local function check_arguments(who, ids, writer)
  option.list(who, "ids", ids, 3)
  option.argument(who, "writer", writer, "table", 3)
end

--- The ids a ledger has no record of yet. What failed before is asked for again: the next run may have another key.
---@param ids string[]
---@param writer openrouter.LedgerWriter of the ledger
---@param progress? fun(done: integer, size: number?) called now and then, with bytes of the ledger read so far, and all of it
---@return string[]? open, string[]|openrouter.Error skipped lines of the ledger that cannot be read
function batch.remaining(ids, writer, progress)
  check_arguments("remaining", ids, writer)
  if progress ~= nil then option.argument("remaining", "progress", progress, "function", 2) end
  if writer:empty() then return ids, {} end
  local settled, skipped = settled_ids(writer.path, progress)
  if not settled then return nil, skipped end
  local open = {}
  for _, id in ipairs(ids) do
    if not settled[id] then open[#open + 1] = id end
  end
  return open, skipped
end

-- ---- fetching -------------------------------------------------------------------------------------------------------

---@class openrouter.Outcome
---@field total integer ids
---@field done integer ids that came back, one way or another
---@field settled integer records in the ledger
---@field failed integer failures in the ledger
---@field unresolved integer ids not asked, or to be asked again another time; they are in no line
---@field kinds table<string, integer> how many of each kind of error
---@field errors table<string, openrouter.Error> the first error of each kind
---@field refused integer "forbidden" ones since the last record: many in a row say that the key is another account's

local NOT_ASKED = { unresolved = true, closed = true, cancelled = true }

-- Errors that say nothing about the id itself leave no line: the id is simply still to be fetched.
local function is_about_id(err)
  return not (errors.stops[err.kind] or NOT_ASKED[err.kind])
end

local function note_error(outcome, err)
  outcome.kinds[err.kind] = (outcome.kinds[err.kind] or 0) + 1
  outcome.errors[err.kind] = outcome.errors[err.kind] or err
  if err.kind == "forbidden" then outcome.refused = outcome.refused + 1 end
end

--- Fetch the ids and write each result to the ledger as it comes.
---@param client openrouter.Client
---@param ids string[]
---@param writer openrouter.LedgerWriter
---@param on_progress? fun(outcome: openrouter.Outcome) after every result
---@return openrouter.Outcome outcome as far as it got
---@return openrouter.Error? err kind "io": the ledger cannot be written; what `outcome` counts is in it, whole
function batch.fetch(client, ids, writer, on_progress)
  option.argument("fetch", "client", client, "table", 2)
  check_arguments("fetch", ids, writer)
  if on_progress ~= nil then option.argument("fetch", "on_progress", on_progress, "function", 2) end
  local outcome = { total = #ids, done = 0, settled = 0, failed = 0, unresolved = 0, kinds = {}, errors = {}, refused = 0 }
  for id, gen, err in client:each(ids) do
    local ok, trouble, count = true, nil, "unresolved"
    if gen then
      ok, trouble = writer:settled(id, gen)
      count, outcome.refused = "settled", 0
    elseif is_about_id(err) then
      ok, trouble = writer:failed(id, err)
      count = "failed"
    end
    if not ok then return outcome, trouble end
    if err then note_error(outcome, err) end
    outcome[count] = outcome[count] + 1
    outcome.done = outcome.done + 1
    if on_progress then on_progress(outcome) end
  end
  return outcome
end

return batch

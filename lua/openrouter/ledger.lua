--- The ledger: records and final failures as lines of JSON in a local file, one append each. docs/ledger.md has the form.
local core = require "openrouter.core"
local each_line = require "openrouter.each_line"
local errors = require "openrouter.errors"
local generation = require "openrouter.generation"
local line_head = require "openrouter.line_head"
local lines_of = require "openrouter.lines_of"
local option = require "openrouter.options"

local ledger = {}

-- ---- writing --------------------------------------------------------------------------------------------------------

-- The text of a context: a table's, which raises for what a context cannot hold, or one that is text already, of which what is
-- no context is left out. nil for none.
local function context_text(context)
  if type(context) ~= "table" then return core.merge_contexts(context) end
  local text, problem = core.context_text(context)
  if problem then error(problem, 4) end
  return text
end

-- By how much the record differs from what the response itself said, where both say something and it is not the same.
local function drift(gen, cost)
  local billed = cost and generation.exact(gen, "total_cost")
  local difference = billed and core.difference(billed, cost)
  if difference ~= "0" then return difference end
end

-- {"<kind>":ID,"at":T,"context":{…},"instant":{…},"drift":D,"<name>":<value>}
local function line(kind, id, context, instant, gen, name, value)
  local about, said, cost, differs = context_text(context), nil, nil, nil
  if instant ~= nil then said, cost = core.instant(instant) end -- what is no object would spoil the line
  if gen then differs = drift(gen, cost) end
  return table.concat {
    '{"', kind, '":', core.quote(id), ',"at":"', core.timestamp(core.unix_time()), '"',
    about and ',"context":' .. about or "", said and ',"instant":' .. said or "", differs and ',"drift":' .. differs or "",
    ',"', name, '":', value, "}",
  }
end

---@class openrouter.LedgerWriter
local Writer = {}
Writer.__index = Writer

local function io_error(self, why)
  return errors.new("io", ("%s: %s"):format(self.path, why))
end

local function append(self, text)
  local ok, why = self.file:append(text)
  if not ok then return nil, io_error(self, why) end
  return true
end

local KINDS_OF_ERROR = {}
for _, kind in ipairs(core.kinds) do KINDS_OF_ERROR[kind.name] = true end

-- What both kinds of line have. Misuse is the fault of the caller's caller.
local function check_line(self, who, id, context, instant)
  if self.closed then error(who .. ": the ledger is closed", 3) end
  option.argument(who, "id", id, "string", 3)
  if context ~= nil and type(context) ~= "table" then option.argument(who, "context", context, "string", 3) end
  if instant ~= nil then option.argument(who, "instant", instant, "string", 3) end
end

--- Append a record. When this returns true the line is in the file, whole. Raises for an id that is none.
---@param id string the id asked for
---@param gen openrouter.Generation
---@param context? table<string, string|boolean|number>|string about the request: up to 16 names, 1 kB; or the same as JSON text
---@param instant? string what the response itself said, the JSON text of an object; left out where it is none
---@return true?, openrouter.Error? kind "io"
function Writer:settled(id, gen, context, instant)
  check_line(self, "settled", id, context, instant)
  if not core.id_valid(id) then error(("settled: '%s' is no id"):format(errors.printable(id)), 2) end
  option.record("settled", gen, 2)
  return append(self, line("settled", id, context, instant, gen, "answer", generation.answer(gen)))
end

--- Append a failure. Raises for an error without a message, or of a kind that docs/errors.md does not have.
---@param id string
---@param err openrouter.Error
---@param context? table<string, string|boolean|number>|string
---@param instant? string
---@return true?, openrouter.Error? kind "io"
function Writer:failed(id, err, context, instant)
  check_line(self, "failed", id, context, instant)
  option.argument("failed", "the error", err, "table", 2)
  option.argument("failed", "the message of the error", err.message, "string", 2)
  option.argument("failed", "the status of the error", err.status or 0, "number", 2)
  option.argument("failed", "the attempts of the error", err.attempts or 0, "number", 2)
  if not KINDS_OF_ERROR[err.kind] then
    error(("failed: the error is of no kind of docs/errors.md: '%s'"):format(errors.printable(err.kind)), 2)
  end
  local parts = { '"kind":' .. core.quote(err.kind) }
  if err.status then parts[#parts + 1] = '"status":' .. core.number_text(err.status) end
  parts[#parts + 1] = '"message":' .. core.quote(errors.printable(err.message))
  if err.attempts then parts[#parts + 1] = '"attempts":' .. core.number_text(err.attempts) end
  return append(self, line("failed", id, context, instant, nil, "error", "{" .. table.concat(parts, ",") .. "}"))
end

--- Whether nothing is in it yet.
---@return boolean
function Writer:empty()
  if self.closed then error("empty: the ledger is closed", 2) end
  return self.file:size() == 0
end

--- Close the file; when this returns true, everything appended is on the disk, and in the file that the path names.
---@return true?, openrouter.Error? kind "io"
function Writer:close()
  if self.closed then error("close: the ledger is closed", 2) end
  self.closed = true
  local moved = self.file.is_named and not self.file:is_named(self.path) -- one that is shared looks before each line
  local ok, why = self.file:close()
  if not ok then return nil, io_error(self, why) end
  if moved then return nil, io_error(self, "it was renamed, removed or replaced meanwhile, and lines went with it") end
  return true
end

-- Somebody's log given as the ledger by mistake must not be written to.
local function check_first_line(path)
  local file = core.file_status(path) == "file" and io.open(path, "rb") -- to open a pipe would wait for its other end
  local size = file and file:seek "end" -- 0 or nil for what is no file on a disk
  local head = size and size > 0 and file:seek "set" and file:read(1024)
  if file then file:close() end
  for text in (head or ""):gmatch "[^\n]+" do
    if line_head.read(text) then break end
    if text:find "%S" and not line_head.is_torn(text) then
      return nil, errors.new("io", path .. ": not a ledger, since its first line is none of a ledger; nothing was written to it")
    end
  end
  return true
end

--- Open a ledger for appending, made with mode 0600 where there is none. One process at a time.
---@param path string
---@return openrouter.LedgerWriter?, openrouter.Error? kind "io"
function ledger.open(path)
  option.path("open", path, 2)
  local fine, err = check_first_line(path)
  if not fine then return nil, err end
  local file, why, what = core.append_file(path)
  if what == "locked" then why = path .. ": another process is writing to it" end
  if not file then return nil, errors.new("io", why) end
  return setmetatable({ path = path, file = file }, Writer)
end

--- Open a ledger for appending together with other processes, each by a writer made by this. It may be rotated by renaming
--- it; what cannot be written in whole is ended by whoever writes next. No call but `close` waits for the disk.
---@param path string
---@return openrouter.LedgerWriter?, openrouter.Error? kind "io"
function ledger.open_shared(path)
  option.path("open_shared", path, 2)
  local fine, err = check_first_line(path)
  if not fine then return nil, err end
  local file, why = core.shared_file(path)
  if not file then return nil, errors.new("io", why) end
  return setmetatable({ path = path, file = file }, Writer)
end

-- ---- reading --------------------------------------------------------------------------------------------------------

--- Every line: `for number, id, gen, err in ledger.read(path)`. A settled line gives its record; a failed one gives its
--- error; one that cannot be read gives no id, and an error that says why (kind "io" and number 0: reading the file failed).
--- Empty lines are passed over.
---@param path string
---@param progress? fun(done: integer, size: number?) called now and then, with bytes read so far and of the file if known
---@return (fun(): integer?, string?, openrouter.Generation?, openrouter.Error?)? iterator
---@return openrouter.Error? err kind "io"
function ledger.read(path, progress)
  option.path("read", path, 2)
  if progress ~= nil then option.argument("read", "progress", progress, "function", 2) end
  local lines, why = lines_of(path, progress)
  if not lines then return nil, errors.new("io", why) end
  return function()
    while true do
      local text, number, whole = lines()
      if text == nil then
        if not number then return nil end
        return 0, nil, nil, errors.new("io", number) -- a read error, once; then the end
      end
      if text == false then
        return number, nil, nil, errors.new("too_large", "the line is longer than 64 MiB")
      end
      if text:find "%S" then
        local gen, err = core.decode(text)
        local _, id = line_head.read(text)
        if gen then return number, id or gen.id, gen end
        if err.byte then
          if not whole then err.message = "the line is cut short: " .. err.message end
          return number, nil, nil, err
        end
        return number, id, nil, err
      end
    end
  end
end

--- Whether a record, or a line of a ledger, whole or not, is anywhere in the file, whatever else is.
---@param path string
---@return boolean? found nil where not all of it can be read, and nothing was found
function ledger.has_records(path)
  option.path("has_records", path, 2)
  local found, unread = false, false
  local ok = each_line(path, function(text)
    found = text and (core.decode(text) ~= nil or line_head.is_in(text))
    unread = unread or not text
    return found
  end)
  if not found and (unread or not ok) then return nil end
  return found
end

--- Which ids have a line in a ledger: see settled_among.lua.
ledger.settled_among = require "openrouter.settled_among"

return ledger

--- The ledger: records and final failures as lines of JSON in a local file, one append each. docs/ledger.md has the form.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local generation = require "openrouter.generation"
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

local KINDS = { settled = true, failed = true, pending = true, note = true }

-- What a line says it is, and the id it is about: the first member of our lines.
local function line_head(text)
  local kind, id = text:match '^%s*{%s*"(%a+)"%s*:%s*"([^"\\]*)"'
  if KINDS[kind] then return kind, id end
end

-- A first line cut short before its id was whole: the disk was full from the start.
local function is_torn_head(text)
  local kind = text:match '^{"(%a+)":"[^"\\]*$'
  if KINDS[kind] then return true end
  for name in pairs(KINDS) do
    if text == ('{"' .. name .. '":"'):sub(1, #text) then return true end
  end
  return false
end

-- Somebody's log given as the ledger by mistake must not be written to.
local function check_first_line(path)
  local file = core.file_status(path) == "file" and io.open(path, "rb") -- to open a pipe would wait for its other end
  local size = file and file:seek "end" -- 0 or nil for what is no file on a disk
  local head = size and size > 0 and file:seek "set" and file:read(1024)
  if file then file:close() end
  for text in (head or ""):gmatch "[^\n]+" do
    if line_head(text) then break end
    if text:find "%S" and not is_torn_head(text) then
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
---@return (fun(): integer?, string?, openrouter.Generation?, openrouter.Error?)? iterator
---@return openrouter.Error? err kind "io"
function ledger.read(path)
  option.path("read", path, 2)
  local lines, why = core.lines(path)
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
        local _, id = line_head(text)
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
  local lines = core.lines(path)
  if not lines then return nil end
  local unread = false
  while true do
    local text, trouble = lines()
    if text == nil then
      if trouble or unread then return nil end
      return false
    end
    if text and (core.decode(text) or KINDS[text:match '{%s*"(%a+)"%s*:%s*"']) then return true end
    unread = unread or not text -- longer than 64 MiB
  end
end

-- ---- what has been written lately -----------------------------------------------------------------------------------

local CHUNK, HEAD = 65536, 1024 -- bytes: read at a time; of a line's beginning, which has its id and its time
local LINES = 50 -- from one pause to the next
local DISORDER = 5 -- seconds by which the lines of several writers may be out of order
local LONGEST = 8 * 1024 * 1024 -- bytes of a line; what is longer is not taken for whole

local HEAD_PATTERN = '^%s*{%s*"(%a+)"%s*:%s*"([^"\\%c]*)"%s*,%s*"at"%s*:%s*'
  .. '"(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ)"'

-- Up to CHUNK of the bytes in [from, to), "" where the file has none; or nil and why.
local function read_at(file, from, to)
  if from >= to then return "" end
  local ok, text, why = file:seek("set", from), nil, nil
  if ok then text, why = file:read(math.min(to - from, CHUNK)) end
  return text or not why and "" or nil, why
end

-- The heads of the lines that start in [from, to), at most a chunk and a head in memory, however long a line is. `from` is
-- the start of a line, or with `inside` somewhere in one, which is passed over.
local Heads = {}
Heads.__index = Heads

local function heads(file, from, to, inside, pause)
  -- `text` is what stands in the file from `base` on; the next line starts at its byte `at`, nil: somewhere behind it
  return setmetatable({ file = file, to = to, pause = pause, text = "", base = from, at = not inside and 1 or nil }, Heads)
end

-- Read on, keeping the head that has been read in part. True, or nil and why not; a file that was cut ends where it ends.
function Heads:more()
  local rest = self.at and self.text:sub(self.at) or ""
  local from = self.base + #self.text
  self.pause()
  local text, why = read_at(self.file, from, self.to)
  if not text then return nil, why end
  if text == "" then self.to = from end
  self.base, self.text = from - #rest, rest .. text
  if self.at then
    self.at = 1
  else
    local line_end = text:find("\n", 1, true)
    self.at = line_end and line_end + 1
  end
  return true
end

-- Offset, kind, id and time of the next line, the offset alone for one that is none of a ledger; nil at the end, or nil and why.
function Heads:next()
  while true do
    local at, text = self.at, self.text
    local line_end = at and text:find("\n", at, true)
    local ended = self.base + #text >= self.to
    if at and at <= #text and (line_end or ended or #text - at >= HEAD) then
      self.at = line_end and line_end + 1
      return self.base + at - 1, text:match(HEAD_PATTERN, at)
    end
    if ended then return nil end
    local ok, why = self:more()
    if not ok then return nil, why end
  end
end

-- Offset and time of the first line that starts in (from, to) and has a time; nil where none has, or nil and why.
local function next_time(file, from, to, pause)
  local lines = heads(file, from, to, true, pause)
  while true do
    local offset, kind, _, at = lines:next()
    if at or not offset then return offset, at or kind end
  end
end

-- Where a line starts before which none was written at `time` or later. Each step looks at a line in the middle, and starts
-- there when even the lines in front of it, which may be out of order, are too old. Nil and why when it cannot be read.
local function find_start(file, size, time, pause)
  local from, to = 0, size
  while to - from > CHUNK do
    local middle = math.floor((from + to) / 2)
    local offset, at = next_time(file, middle, to, pause)
    if at and not offset then return nil, at end
    if offset and at < time then from = offset else to = middle end
  end
  return from
end

-- A head may be all there is of a line, so the line is read: true when it is there, whole.
local function is_whole(file, from, kind, pause)
  local parts, to, at = {}, from + LONGEST, from
  while at < to do
    pause()
    local part = read_at(file, at, to) or ""
    local line_end = part:find("\n", 1, true)
    if line_end or part == "" then to = at end
    parts[#parts + 1] = line_end and part:sub(1, line_end - 1) or part
    at = at + #part
  end
  local gen, err = core.decode(table.concat(parts))
  if kind == "settled" then return gen ~= nil end
  return kind == "failed" and not gen and not err.byte
end

-- Note in `found` which of the ids have a line in this file. What is written from now on is not looked at.
local function search(file, ids, since, pause, found)
  local size, why = file:seek "end"
  local from = nil
  if size then from, why = find_start(file, size, core.timestamp(math.max(since - DISORDER, 0)), pause) end
  if not from then return why end
  local lines, time, count = heads(file, from, size, false, pause), core.timestamp(since), 0
  while true do
    local offset, kind, id, at = lines:next()
    if not offset then return kind end
    if id and ids[id] and at >= time and found[id] ~= "settled" and is_whole(file, offset, kind, pause) then found[id] = kind end
    count = count + 1
    if count % LINES == 0 then pause() end
  end
end

local YEAR_0, YEAR_10000 = -62167219200, 253402300800 -- Unix seconds

local COMPRESSED = { gz = true, xz = true, zst = true, bz2 = true }

-- The ledger and what it was rotated to, unless that was before `since`. In the order in which rotating renames them, so that
-- what moves on while they are read comes up again under its next name.
local function ledger_files(directory, since, seen)
  local names, why = core.list_directory(directory)
  if not names then return nil, why end
  local files = {}
  for _, name in ipairs(names) do
    local path = directory .. "/" .. name
    if name:find "^ledger[.-]" and name:find("jsonl", 1, true) and not COMPRESSED[name:match "%.(%w+)$"] and not seen[path]
      and (core.modified(path) or 0) >= since - DISORDER then
      files[#files + 1] = path
    end
  end
  table.sort(files, function(a, b)
    if #a ~= #b then return #a < #b end
    return a < b
  end)
  return files
end

--- Which of these ids have a settled or failed line that was written at `since` or later, in the directory's ledger.jsonl or
--- what it was rotated to: for taking over the journal of a process whose last lines may have got here and no further.
---@param directory string
---@param ids table<string, any> the ids are its keys
---@param since number Unix seconds
---@param pause? fun() called every 64 KiB or 50 lines, so that an event loop can go on
---@return table<string, "settled"|"failed"> found
---@return string? problem what could not be read, the first of it
function ledger.settled_among(directory, ids, since, pause)
  option.path("settled_among", directory, 2)
  option.argument("settled_among", "ids", ids, "table", 2)
  option.argument("settled_among", "since", since, "number", 2)
  if not (since >= YEAR_0 and since < YEAR_10000) then error("settled_among: since must be in the years 0 to 9999", 2) end
  if pause ~= nil then option.argument("settled_among", "pause", pause, "function", 2) end
  local found, seen, problem = {}, {}, nil
  while next(ids) ~= nil do
    local files, why = ledger_files(directory, since, seen)
    if not files then return found, why end
    if #files == 0 then break end
    for _, path in ipairs(files) do
      seen[path] = true
      local file, reason, code = nil, path .. ": no regular file", nil
      if core.file_status(path) ~= "other" then file, reason, code = io.open(path, "rb") end
      if file then
        reason = search(file, ids, since, pause or function() end, found)
        reason = reason and path .. ": " .. reason
        file:close()
      elseif code == 2 then -- ENOENT: rotated away since it was listed
        reason = nil
      end
      problem = problem or reason
    end
  end
  return found, problem
end

return ledger

--- Which ids a ledger has a line of already, of those that were written lately: its end is read, and not all of it.
local core = require "openrouter.core"
local files = require "openrouter.files"
local line_head = require "openrouter.line_head"
local option = require "openrouter.options"

local CHUNK, HEAD = 65536, 1024 -- bytes: read at a time; of a line's beginning, which has its id and its time
local LINES = 50 -- from one pause to the next
local DISORDER = 5 -- seconds by which the lines of several writers may be out of order
local LONGEST = 8 * 1024 * 1024 -- bytes of a line; what is longer is not taken for whole

local HEAD_PATTERN = line_head.PATTERN .. '%s*,%s*"at"%s*:%s*"(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ)"'

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
  local paths = {}
  for _, name in ipairs(names) do
    local path = directory .. "/" .. name
    if files.is_ledger(name) and not COMPRESSED[name:match "%.(%w+)$"] and not seen[path]
      and (core.modified(path) or 0) >= since - DISORDER then
      paths[#paths + 1] = path
    end
  end
  table.sort(paths, function(a, b)
    if #a ~= #b then return #a < #b end
    return a < b
  end)
  return paths
end

--- Which of these ids have a settled or failed line that was written at `since` or later, in the directory's ledger.jsonl or
--- what it was rotated to: for taking over the journal of a process whose last lines may have got here and no further.
---@param directory string
---@param ids table<string, any> the ids are its keys
---@param since number Unix seconds
---@param pause? fun() called every 64 KiB or 50 lines, so that an event loop can go on
---@return table<string, "settled"|"failed"> found
---@return string? problem what could not be read, the first of it
local function settled_among(directory, ids, since, pause)
  option.path("settled_among", directory, 2)
  option.argument("settled_among", "ids", ids, "table", 2)
  option.argument("settled_among", "since", since, "number", 2)
  if not (since >= YEAR_0 and since < YEAR_10000) then error("settled_among: since must be in the years 0 to 9999", 2) end
  if pause ~= nil then option.argument("settled_among", "pause", pause, "function", 2) end
  local found, seen, problem = {}, {}, nil
  while next(ids) ~= nil do
    local paths, why = ledger_files(directory, since, seen)
    if not paths then return found, why end
    if #paths == 0 then break end
    for _, path in ipairs(paths) do
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

return settled_among

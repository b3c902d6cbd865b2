--- The records of ledgers, one after the other.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local files = require "openrouter.files"
local option = require "openrouter.options"

local MAX_NOTES = 10 -- skipped lines that are told one by one; all are counted

---@class openrouter.Records an iterator, and what it had to leave out so far
---@field skipped integer lines that could not be used
---@field lines { file: string?, line: integer?, reason: string }[] the first ten of them
---@field err? openrouter.Error why it ended before everything was read
local Records = {}
Records.__index = Records

local function skip(self, reason, file, line)
  self.skipped = self.skipped + 1
  if #self.lines < MAX_NOTES then self.lines[#self.lines + 1] = { file = file, line = line, reason = reason } end
end

-- ---- which files ----------------------------------------------------------------------------------------------------

-- Ledgers may be rotated meanwhile, so what is gone comes up under another name.
local function directory_paths(self, directory)
  local seen, count = {}, 0
  local names, err
  repeat
    names, err = files.fresh_names(directory, files.is_ledger, seen)
    for _, name in ipairs(names or {}) do coroutine.yield(directory .. "/" .. name, true) end
    count = count + #(names or {})
  until not names or #names == 0
  self.err = err or count == 0 and files.complaint(directory, files.NAME_THEM) or nil
end

-- An iterator of paths, each with whether it may be missing.
local function each_path(self, paths)
  return coroutine.wrap(function()
    for _, path in ipairs(paths) do
      if core.file_status(path) == "directory" then directory_paths(self, path)
      else coroutine.yield(path) end
      if self.err then break end
    end
    while true do coroutine.yield() end
  end)
end

-- Open the next file; false when there is none.
local function next_file(self)
  while not self.err do
    local path, may_miss = self.next_path()
    if not path then return false end
    local lines, why, what = core.lines(path)
    if lines then
      self.read, self.file = lines, path
      return true
    end
    if why and not (may_miss and what == "missing") then self.err = errors.new("io", why) end
  end
  return false
end

-- ---- which lines ----------------------------------------------------------------------------------------------------

function Records:__call()
  while true do
    local text, number, whole, last = self.read()
    if text ~= nil then
      local gen, reason = core.read_record(text, whole, self.gen)
      if gen then
        self.gen = gen
        return gen, self.file, number, text
      end
      if reason then skip(self, reason, self.file, number) end
    elseif whole == "damaged" then -- of what was compressed, what could be unpacked counts, as in a report
      skip(self, number:sub(#self.file + 3), self.file, last)
    elseif number then -- what went wrong
      self.err = errors.new("io", number)
      return nil
    elseif not next_file(self) then
      return nil
    end
  end
end

local function nothing() end

--- The records of files, or of one: ledger lines, API answers, bare records; of a directory of openrouter.nginx those of its
--- ledger, also where it was rotated to. Ids with several records come several times. Lines that hold no record are passed
--- over: those of ids that are open or failed, and, counted and named, those that cannot be read. A compressed file that is
--- damaged has the records that can be unpacked, and counts as one more such line.
---
---     local all = assert(openrouter.records { "costs.jsonl", "/var/log/nginx/openrouter" })
---     for gen, file, line, text in all do print(file, line, gen.id) end
---     if all.err then error(all.err.message) end
---     print(all.skipped)
---
--- There is one record for all of them, as decoding goes faster so: what you keep of it are values.
---@param paths string|string[] "-" is standard input
---@return (openrouter.Records|fun(): openrouter.Generation?, string, integer, string)? records
---@return openrouter.Error? err kind "io": one of the paths names nothing
local function records(paths)
  if type(paths) == "string" then paths = { paths } end
  option.paths("records", paths, 2)
  for _, path in ipairs(paths) do
    local status, why = core.file_status(path)
    if path ~= "-" and not status then return nil, errors.new("io", why) end
  end
  local self = setmetatable({ skipped = 0, lines = {}, read = nothing }, Records)
  self.next_path = each_path(self, paths)
  return self
end

return records

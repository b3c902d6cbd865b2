-- luacheck: std ngx_lua
--- The ids on disk: lines written ahead to this worker's segment, open lines of segments read back, orphans of dead workers
--- adopted. docs/ledger.md has the form of the files. A line is closed in place when its id is settled; segments with many
--- closed lines are compacted, and removed when nothing in them is open.
local core = require "openrouter.core"

local journal = {}

local SLICE = 256 * 1024         -- bytes of a segment read between two turns of the event loop
local FULL_SEGMENT = 16 * 1024 * 1024
local MUCH_CLOSED = 1024 * 1024  -- bytes of closed lines in a segment that are worth a compaction
local LINE = 160                 -- bytes of a line, about

---@class openrouter.Source a segment that this worker has the lock of
---@field segment userdata
---@field path string
---@field closed integer bytes of lines closed since it was opened or compacted, about
---@field parked integer open ids in it that wait for a later turn
---@field oldest? number Unix time at which the oldest of these was seen
---@field empty? boolean nothing in it was open when it was last read

---@class openrouter.Journal
---@field directory string
---@field own? openrouter.Source where this worker writes; nil when that could not be made
---@field sources table<openrouter.Source, true> all that are locked, `own` too
---@field unwritten table<string, string[]> id -> its pending and note line, where the disk would not take them
local Journal = {}
Journal.__index = Journal

--- Over DIR/pending. Makes the directory, if it may.
---@param directory string DIR
---@return openrouter.Journal
function journal.new(directory)
  return setmetatable({ directory = directory .. "/pending", sources = {}, unwritten = {}, unwritten_count = 0,
    errors = 0, segments = 0 }, Journal)
end

local function add_source(self, segment, path)
  local source = { segment = segment, path = path, closed = 0, parked = 0 }
  self.sources[source] = true
  return source
end

--- Make this worker's segment, unless there is one.
---@return true?, string? why not
function Journal:open()
  if self.own then return true end
  local made, make_why = core.make_directory(self.directory)
  if not made then return nil, make_why end
  local path, segment, why, what
  for _ = 1, 5 do -- another worker's look for orphans may get the lock of a new file before we do
    self.segments = self.segments + 1
    path = ("%s/%.0f-%d.jsonl"):format(self.directory, core.unix_time() * 1000 + self.segments, ngx.worker.pid())
    segment, why, what = core.new_segment(path)
    if segment or what ~= "locked" and what ~= "exists" then break end
  end
  if not segment then return nil, why end
  self.own = add_source(self, segment, path)
  return true
end

-- ---- writing --------------------------------------------------------------------------------------------------------

local TRY_AGAIN = 0.5 -- seconds

-- The offset, or nil and why not.
local function append(self, line)
  if not self.own then -- a worker that leaves has let go of it, or it could not be made
    local now = core.now()
    if now < (self.open_again or 0) then return nil, self.trouble end
    local ok, why = self:open()
    if not ok then
      self.open_again = now + TRY_AGAIN
      return nil, why
    end
  end
  return self.own.segment:append(line)
end

local function keep(self, id, place, line, why)
  local lines = self.unwritten[id]
  if not lines then
    lines = {}
    self.unwritten[id] = lines
    self.unwritten_count = self.unwritten_count + 1
  end
  lines[place] = line
  self.errors = self.errors + 1
  self.trouble = why
end

--- Write the line of an id just seen. What the disk does not take is kept in memory, and `unwritten`.
---@return openrouter.Source|false source
---@return integer offset -1 when it is not written
function Journal:pending(id, line)
  local offset, why = append(self, line)
  if offset then return self.own, offset end
  keep(self, id, 1, line, why)
  return false, -1
end

--- Write what the end of the request added, to the segment that has the id.
---@param source openrouter.Source|false
---@return integer offset
function Journal:note(source, id, line)
  if source then
    local offset, why = source.segment:append(line)
    if offset then return offset end
    keep(self, id, 2, line, why)
  else
    keep(self, id, 2, line, self.trouble)
  end
  return -1
end

--- Try again to write the lines of an id that the disk would not take. `place` has its source and offsets, and gets the new
--- ones.
---@return boolean written
function Journal:rewrite(id, lines, place)
  local source = place.source
  if lines[1] then
    local offset = append(self, lines[1])
    if not offset then return false end
    source, lines[1] = self.own, nil
    place.source, place.pending = source, offset
  end
  if lines[2] then
    local offset = source.segment:append(lines[2])
    if not offset then return false end
    place.note = offset
  end
  self:forget(id)
  return true
end

--- Forget the lines in memory of an id that is settled.
function Journal:forget(id)
  if not self.unwritten[id] then return end
  self.unwritten[id] = nil
  self.unwritten_count = self.unwritten_count - 1
end

--- The pending and the note line of an id.
---@return string? pending, string? note
function Journal:lines(source, id, pending, note)
  local kept = self.unwritten[id]
  local first, second = kept and kept[1], kept and kept[2]
  if source and pending >= 0 then first = source.segment:read(pending) or first end
  if source and note >= 0 then second = source.segment:read(note) or second end
  return first, second
end

local function close_line(source, offset)
  if offset < 0 then return true end
  source.closed = source.closed + LINE
  return source.segment:close_line(offset)
end

--- The id is settled: nobody shall ask for it again.
---@return true?, string? why
function Journal:close(source, id, pending, note)
  self:forget(id)
  if not source then return true end
  local ok, why = close_line(source, pending)
  local note_ok, note_why = close_line(source, note)
  return ok and note_ok, why or note_why
end

-- ---- reading back ---------------------------------------------------------------------------------------------------

-- Give the event loop a turn. A worker that leaves has none to give.
local function breathe()
  if not ngx.worker.exiting() then ngx.sleep(0) end
end

--- All open lines of a source, in slices: visit(id, kind, offset, line) for each.
---@param source openrouter.Source
---@param visit fun(line: string, offset: integer)
function journal.each_open(source, visit)
  local from = 0
  while from and source.segment do
    local list, next_from = source.segment:open_lines(from, SLICE)
    for i = 1, #list, 2 do visit(list[i + 1], list[i]) end
    from = next_from
    if from then breathe() end
  end
end

-- ---- segments -------------------------------------------------------------------------------------------------------

--- Take over the segments nobody holds any more.
---@return openrouter.Source[] adopted
---@return string? why the directory could not be read
function Journal:adopt()
  local names, why = core.list_directory(self.directory)
  if not names then return {}, why end
  local held, adopted = {}, {}
  for source in pairs(self.sources) do held[source.path] = true end
  for _, name in ipairs(names) do
    local path = self.directory .. "/" .. name
    if name:find "%.jsonl$" and not held[path] then
      local segment = core.adopt_segment(path)
      if segment then adopted[#adopted + 1] = add_source(self, segment, path) end
    elseif name:find "%.tmp$" then
      core.remove_stale(path) -- of a worker that died while it compacted: the segment itself is whole
    end
  end
  return adopted
end

--- An id of this source waits for a later turn.
---@param since number Unix time at which it was seen
function journal.park(source, since)
  source.parked = source.parked + 1
  source.oldest = math.min(source.oldest or since, since)
end

--- Remove a source in which nothing is open.
---@return true?, string? why not
function Journal:remove(source)
  self.sources[source] = nil
  if self.own == source then self.own = nil end
  local ok, why = source.segment:remove()
  source.segment = nil
  return ok, why
end

--- Let go of everything: what is open is for whoever gets the lock.
function Journal:leave()
  for source in pairs(self.sources) do
    source.segment:close()
    source.segment = nil
  end
  self.sources, self.own = {}, nil
end

--- Go on in a new segment when this one is full.
function Journal:roll()
  local own = self.own
  if not own or own.segment:size() < FULL_SEGMENT then return end
  self.own = nil
  local ok = self:open()
  if not ok then self.own = own end
end

--- Whether a source has many closed lines.
function journal.is_sparse(source)
  return source.closed > MUCH_CLOSED and source.closed > source.segment:size() / 2
end

--- Drop the closed lines of a source. Who remembers offsets has to translate them.
---@return table<integer, integer>? moved old offset -> new one, for every open line
---@return string? why not
function journal.compact(source)
  local moved, why = source.segment:compact()
  if moved then source.closed = 0 end
  return moved, why
end

return journal

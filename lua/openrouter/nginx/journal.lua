-- luacheck: std ngx_lua
--- The ids on disk: lines written ahead to this worker's segment, open lines of segments read back, orphans of dead workers
--- adopted. docs/ledger.md has the form of the files. A line is closed in place when its id is settled; segments with many
--- closed lines are compacted, and removed when nothing in them is open.
local core = require "openrouter.core"
local files = require "openrouter.files"
local unsettled = require "openrouter.unsettled"

local journal = {}

local SLICE = 64 * 1024          -- bytes of a segment read between two turns of the event loop
local FULL_SEGMENT = 8 * 1024 * 1024 -- bytes: then a new one; what is much larger is not compacted either, since that is one go
local MUCH_CLOSED = 1024 * 1024  -- bytes of closed lines in a segment that are worth a compaction

---@class openrouter.Source a segment that this worker has the lock of
---@field segment userdata
---@field path string
---@field modified? number Unix time of the last change before it was adopted
---@field lines integer written by this worker
---@field closed number bytes of closed lines, about
---@field parked integer open ids in it that wait for a later turn
---@field oldest? number Unix time at which the oldest of these was seen
---@field full? boolean some wait for nothing but room in the window
---@field empty? boolean nothing in it was open when it was last read

---@class openrouter.Journal
---@field directory string
---@field own? openrouter.Source where this worker writes; nil when that could not be made
---@field sources table<openrouter.Source, true> all that are locked, `own` too
---@field unwritten table<string, openrouter.Unwritten> id -> what the disk would not take of it
local Journal = {}
Journal.__index = Journal

--- Over DIR/pending. Makes the directory, if it may.
---@param directory string DIR
---@param on_trouble fun(why: string) called for every line that could not be written
---@return openrouter.Journal
function journal.new(directory, on_trouble)
  return setmetatable({ directory = directory .. "/pending", on_trouble = on_trouble, sources = {}, unwritten = {},
    unwritten_count = 0, segments = 0 }, Journal)
end

local function add_source(self, segment, path)
  local source = { segment = segment, path = path, lines = 0, closed = 0, parked = 0 }
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

-- The segment to write to; nil and why not.
local function segment_of(self)
  if self.own then return self.own.segment end
  -- a worker that leaves has let go of it, or it could not be made
  local now = core.now()
  if now < (self.open_again or 0) then return nil, self.trouble end
  local ok, why = self:open()
  if ok then return self.own.segment end
  self.open_again = now + TRY_AGAIN
  return nil, why
end

---@class openrouter.Unwritten
---@field [1]? string the pending line
---@field [2]? string the note line
---@field entry openrouter.Entry of the id, which learns where they are when they can be written
---@field parked? boolean nobody has the id but this

-- What the disk would not take is kept in memory.
local function keep(self, id, entry, which, line, why)
  local lines = self.unwritten[id]
  if not lines then
    lines = { entry = entry }
    self.unwritten[id] = lines
    self.unwritten_count = self.unwritten_count + 1
  end
  lines[which] = line
  self.trouble = why
  self.on_trouble(why)
end

--- Write the line of an id just seen, and say in the entry where it is. What the disk does not take is `unwritten`.
---@param id string a valid one
---@param entry openrouter.Entry gets source (false: not written), pending and note (-1: not written)
---@param key? string its name
---@param context? table
---@return string? problem with the context
function Journal:pending(id, entry, key, context)
  entry.source, entry.pending, entry.note = false, -1, -1
  local segment, why = segment_of(self)
  if segment then
    local offset, said = segment:pending(id, key, context)
    if offset then
      self.own.lines = self.own.lines + 1
      entry.source, entry.pending = self.own, offset
      return said
    end
    why = said
  end
  local line, problem = core.pending_line(id, key, context)
  keep(self, id, entry, 1, line, why)
  return problem
end

--- Write what the end of the request added, to the segment that has the id.
---@param id string
---@param entry openrouter.Entry
---@param interrupted boolean
---@param context? table
---@param instant? userdata|string a scanner, or the text
---@return string? problem with the context
function Journal:note(id, entry, interrupted, context, instant)
  local why = self.trouble
  if entry.source then
    local offset, said = entry.source.segment:note(id, interrupted, context, instant)
    if offset then
      entry.source.lines = entry.source.lines + 1
      entry.note = offset
      return said
    end
    why = said
  end
  local line, problem = core.note_line(id, interrupted, context, instant)
  keep(self, id, entry, 2, line, why)
  return problem
end

--- Try again to write what the disk would not take of an id.
---@param id string
---@return boolean written
function Journal:rewrite(id)
  local lines = self.unwritten[id]
  local entry = lines.entry
  if lines[1] then
    local segment = segment_of(self)
    local offset = segment and segment:append(lines[1])
    if not offset then return false end
    entry.source, entry.pending, lines[1] = self.own, offset, nil
  end
  if lines[2] then
    local offset = entry.source.segment:append(lines[2])
    if not offset then return false end
    entry.note = offset
  end
  if lines.parked then
    entry.source.full = true -- or refused: it is looked at soon
    journal.park(entry.source, entry.since)
  end
  self:forget(id)
  return true
end

--- Forget the lines in memory of an id that is settled.
---@param id string
function Journal:forget(id)
  if not self.unwritten[id] then return end
  self.unwritten[id] = nil
  self.unwritten_count = self.unwritten_count - 1
end

--- The pending and the note line of an id.
---@param source openrouter.Source|false false: no line of it is written
---@param id string
---@param pending integer offset of its line, -1 when it is not written
---@param note integer
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
  -- as long as lines are on average; of an orphan's, those who read it keep count
  if source.lines > 0 then source.closed = source.closed + source.segment:size() / source.lines end
  return source.segment:close_line(offset)
end

--- The id is settled: nobody shall ask for it again.
---@param source openrouter.Source|false false: no line of it is written
---@param id string
---@param pending integer offset of its line, -1 when it is not written
---@param note integer
---@return true?, string? why
function Journal:close(source, id, pending, note)
  self:forget(id)
  if not source then return true end
  local ok, why = close_line(source, pending)
  local note_ok, note_why = close_line(source, note)
  return ok and note_ok, why or note_why
end

-- ---- reading back ---------------------------------------------------------------------------------------------------

--- Give the event loop a turn.
function journal.breathe()
  ngx.sleep(0.001)
end

--- All open lines of a source, in slices. Raises when it cannot be read.
---@param source openrouter.Source
---@param visit fun(line: string, offset: integer)
function journal.each_open(source, visit)
  local open = 0
  local ok, why = unsettled.each_open(source, SLICE, function(line, offset)
    open = open + #line + 1
    visit(line, offset)
  end, journal.breathe)
  if not ok then error(why, 0) end
  if source.segment then source.closed = source.segment:size() - open end
end

-- ---- segments -------------------------------------------------------------------------------------------------------

--- Take over the segments nobody holds any more.
---@return openrouter.Source[] adopted
---@return string? why something could not be read, the first of it
function Journal:adopt()
  local names, why = core.list_directory(self.directory)
  if not names then return {}, why end
  local held, adopted = {}, {}
  for source in pairs(self.sources) do held[source.path] = true end
  for _, name in ipairs(names) do
    local path = self.directory .. "/" .. name
    if files.is_journal(name) and not held[path] then
      local segment, reason, what = core.adopt_segment(path)
      if segment then
        local source = add_source(self, segment, path)
        source.modified = core.modified(path)
        adopted[#adopted + 1] = source
      elseif what ~= "locked" and what ~= "missing" then
        why = why or reason
      end
    elseif name:find "%.tmp$" then
      core.remove_stale(path) -- of a worker that died while it compacted: the segment itself is whole
    end
  end
  return adopted, why
end

--- An id of this source waits for a later turn.
---@param source openrouter.Source
---@param since number Unix time at which it was seen
function journal.park(source, since)
  source.parked = source.parked + 1
  source.oldest = math.min(source.oldest or since, since)
end

--- Remove a source in which nothing is open.
---@param source openrouter.Source
---@return true?, string? why not
function Journal:remove(source)
  self.sources[source] = nil
  local ok, why = source.segment:remove()
  source.segment = nil
  return ok, why
end

--- Let go of a source: what is open in it is for whoever gets the lock.
---@param source openrouter.Source
function Journal:release(source)
  self.sources[source] = nil
  source.segment:close()
  source.segment = nil
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
---@param source openrouter.Source
---@return boolean
function journal.is_sparse(source)
  local size = source.segment:size()
  return source.closed > MUCH_CLOSED and source.closed > size / 2 and size < 2 * FULL_SEGMENT
end

--- The lines of a source have moved: put it right in an entry.
---@param entry openrouter.Entry
---@param source openrouter.Source
---@param moved table<integer, integer> old offset -> new one
function journal.translate(entry, source, moved)
  if entry.source ~= source then return end
  entry.pending, entry.note = moved[entry.pending] or -1, moved[entry.note] or -1
end

--- Drop the closed lines of a source. Who remembers offsets has to translate them.
---@param source openrouter.Source
---@return table<integer, integer>? moved old offset -> new one, for every open line
---@return string? why not
function journal.compact(source)
  local moved, why = source.segment:compact()
  if not moved then return nil, why end
  source.closed, source.lines = 0, 0
  for _ in pairs(moved) do source.lines = source.lines + 1 end
  return moved
end

return journal

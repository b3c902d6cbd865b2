--- Settling what nginx's workers left open: their orphaned segments are adopted, and the records of the ids in them fetched
--- into the ledger. docs/ledger.md has the form of the files.
---
--- Several processes may do this at once, beside a serving nginx: who has the lock of a segment settles what is open in it.
--- A line is closed as soon as the ledger has its id, and whoever comes after a crash in between looks there first.
local core = require "openrouter.core"
local each_line = require "openrouter.each_line"
local errors = require "openrouter.errors"
local files = require "openrouter.files"
local generation = require "openrouter.generation"
local keys = require "openrouter.keys"
local ledger = require "openrouter.ledger"
local line_head = require "openrouter.line_head"
local openrouter = require "openrouter"
local unsettled = require "openrouter.unsettled"

local settle = {}

local SLICE = 1024 * 1024    -- bytes of a segment read at a time
local MOST_SEGMENTS = 200    -- held at a time, since each takes a descriptor; the next run has the others
local RETRY = "retry.jsonl"  -- in pending/: the ids that failed and are asked for once more

---@class openrouter.SettleEntry: openrouter.OpenId In its array part: a source and an offset for each of its lines
---@field key? string the name of its key
---@field old boolean it failed for good before: the next failure of such a kind is final at once

---@class openrouter.SettleSource a segment that this process has the lock of
---@field segment userdata
---@field path string
---@field modified? number Unix time of the last change before it was adopted
---@field is_retry boolean

---@class openrouter.SettleRun
---@field ids string[] what is open, in the order found
---@field entries table<string, openrouter.SettleEntry>
---@field sources openrouter.SettleSource[]
---@field locked integer segments that a living worker holds, or another run
---@field later integer segments beyond what one run holds
---@field problems string[] what could not be read or written
---@field outcome openrouter.SettleOutcome
local Run = {}
Run.__index = Run

---@class openrouter.SettleOutcome
---@field total integer ids to be settled
---@field done integer of these, the ones that came back one way or another
---@field settled integer records in the ledger
---@field failed table<string, { ids: integer, err: openrouter.Error }> failures in the ledger by kind, with the first one
---@field left table<string, { ids: integer, err: openrouter.Error }> what was asked for and stays open, in the same way
---@field missing { name: string, ids: integer, why: string }[] keys that are not there
---@field refused { name: string, ids: integer, err: openrouter.Error }[] keys that are, and what they leave

local SHAPE = "one that openrouter.nginx writes to, its option `dir`, has ledger.jsonl and pending/ in it"
local IS_IT_DIR = "; is it what start() of openrouter.nginx has as `dir`?"

-- nil, or what is wrong with it.
local function complaint(directory)
  local kind, why, what = core.file_status(directory)
  if kind == "directory" then return files.complaint(directory, IS_IT_DIR) end
  if kind then why = directory .. ": not a directory" end
  if what == "missing" then why = directory .. ": no such directory" end
  if kind or what == "missing" then why = why .. "; " .. SHAPE end
  return errors.new("io", why)
end

-- ---- open lines ---------------------------------------------------------------------------------------------------------

local function note_problem(self, why)
  self.problems[#self.problems + 1] = why
end

local function add_line(self, source, offset, text)
  local kind, id, at, key, _, _, interrupted = core.open_line(text)
  if not kind then return end
  local entry = self.entries[id]
  if not entry then
    entry = { old = false }
    self.entries[id] = entry
    self.ids[#self.ids + 1] = id
  end
  entry.key = entry.key or key
  entry.old = entry.old or source.is_retry
  unsettled.learn(entry, kind, at, interrupted, source.modified or core.unix_time())
  entry[#entry + 1] = source
  entry[#entry + 1] = offset
end

local function collect(self, source)
  local ok, why = unsettled.each_open(source, SLICE, function(text, offset) add_line(self, source, offset, text) end)
  if not ok then note_problem(self, why) end
end

local function add_source(self, segment, path, is_retry)
  local source = { segment = segment, path = path, modified = core.modified(path), is_retry = is_retry }
  self.sources[#self.sources + 1] = source
  self.retry = self.retry or is_retry and source or nil
  return source
end

local function adopt(self, name)
  if #self.sources >= MOST_SEGMENTS then
    self.later = self.later + 1
    return
  end
  local path = self.pending .. "/" .. name
  local segment, why, what = core.adopt_segment(path)
  if segment then
    collect(self, add_source(self, segment, path, name == RETRY))
  elseif what == "locked" then
    self.locked = self.locked + 1
  elseif what ~= "missing" then -- else another run has just removed it
    note_problem(self, files.with_owner(path, why))
  end
end

--- Take every segment that nobody holds. Its open ids are in `ids` then. Without a directory `pending` there are none.
---@param directory string what openrouter.nginx was given as `dir`
---@return openrouter.SettleRun?, openrouter.Error? kind "io"
function settle.adopt(directory)
  local path = directory:gsub("(.)/+$", "%1")
  local err = complaint(path)
  if err then return nil, err end
  local self = setmetatable({
    directory = path, pending = path .. "/pending", ledger = path .. "/ledger.jsonl",
    ids = {}, entries = {}, sources = {}, locked = 0, later = 0, problems = {},
    outcome = { total = 0, done = 0, settled = 0, failed = {}, left = {}, missing = {}, refused = {} },
  }, Run)
  local names, why, what = core.list_directory(self.pending)
  if not names and what ~= "missing" then return nil, errors.new("io", files.with_owner(self.pending, why)) end
  for _, name in ipairs(names or {}) do
    if files.is_journal(name) then adopt(self, name) end
  end
  return self
end

--- Go on as the user whose files these are, if this is root.
---@return string? user who that is, where it is another one
---@return string? why it cannot be done
function Run:act_as_owner()
  local path = core.file_status(self.pending) and self.pending or self.ledger
  local kind, _, owner = core.file_status(path)
  if not kind then return nil end -- there is nothing of anybody's
  local changed, why = core.act_as_owner(path)
  if changed then return owner end
  return nil, why
end

-- ---- what is settled already --------------------------------------------------------------------------------------------

local function close_lines(self, entry)
  for i = 1, #entry, 2 do
    local ok, why = entry[i].segment:close_line(entry[i + 1])
    if not ok then note_problem(self, why) end
  end
end

-- Ids that have left, taken from the list.
local function forget(self, is_gone)
  local ids = {}
  for _, id in ipairs(self.ids) do
    if is_gone[id] then self.entries[id] = nil else ids[#ids + 1] = id end
  end
  self.ids = ids
end

--- Close the lines of ids that are in the ledger, where their worker came no further than that.
---@return integer? count
---@return openrouter.Error? err kind "io": it cannot be told, and no id may be asked for twice
function Run:close_settled()
  local since, gone, count = math.huge, {}, 0
  for _, source in ipairs(self.sources) do since = math.min(since, (source.modified or 0) - 1) end
  if #self.ids == 0 then return 0 end
  local found, why = ledger.settled_among(self.directory, self.entries, since)
  if why then return nil, errors.new("io", files.with_owner(self.ledger, why)) end
  for id, what in pairs(found) do
    local entry = self.entries[id]
    if what == "settled" or not entry.old then -- the failure of one that is asked for once more is the one before
      close_lines(self, entry)
      gone[id], count = true, count + 1
    end
  end
  forget(self, gone)
  return count
end

-- ---- what failed before -------------------------------------------------------------------------------------------------

-- id -> its last failed line, of those without a settled one behind it; and the ids in order.
local function failed_lines(path)
  local failed, order = {}, {}
  local ok, why, what = each_line(path, function(text)
    local kind, id = line_head.read(text or "")
    if kind == "failed" and core.id_valid(id) then
      if failed[id] == nil then order[#order + 1] = id end
      failed[id] = text
    elseif kind == "settled" and failed[id] then
      failed[id] = false
    end
  end)
  if not ok and what ~= "missing" then return nil, why end
  return failed, order
end

-- A segment of that name, which one process at a time has. Only then is the ledger looked at: what is failed there stays so.
local function open_retry(self)
  local path = self.pending .. "/" .. RETRY
  local made, make_why = core.make_directory(self.pending)
  if not made then return nil, make_why end
  local segment, why, what
  for _ = 1, 5 do -- another run may remove its own between the two
    segment, why, what = core.new_segment(path)
    if segment then return add_source(self, segment, path, true) end
    if what == "exists" then
      segment, why, what = core.adopt_segment(path)
      if segment then
        local source = add_source(self, segment, path, true)
        collect(self, source)
        return source
      end
    end
    if what ~= "missing" then break end
  end
  return nil, files.with_owner(path, why), what
end

-- The lines of a journal for an id that failed, from its failed line; nil where that cannot be read.
local function retry_lines(id, text)
  local holder = core.decode('{"data":' .. text .. "}")
  if not holder then return nil end
  local head = ('"%s","open":true ,"at":"%s"'):format(id, core.timestamp(core.unix_time()))
  -- it may be that of two lines in one, which is more than core.pending_line takes
  local context = core.merge_contexts(generation.exact(holder, "context"))
  local instant = generation.exact(holder, "instant")
  local pending = ('{"pending":%s,"key":"default"%s}'):format(head, context and ',"context":' .. context or "")
  if not instant or instant:sub(1, 1) ~= "{" then return pending end
  return pending, (core.note_line(id, false, nil, instant))
end

local function reopen(self, source, id, text)
  local pending, note = retry_lines(id, text)
  for _, line in ipairs { pending, note } do
    local offset, why = source.segment:append(line)
    if not offset then return nil, why end
    add_line(self, source, offset, line)
  end
  return pending ~= nil
end

--- Open once more what failed, with the context and instant of its failed line.
---@return integer? count of ids
---@return openrouter.Error? err kind "io"
---@return "locked"? what another run is at it
function Run:retry_failed()
  if not core.file_status(self.ledger) then return 0 end
  local source, trouble, what = self.retry, nil, nil
  if not source then source, trouble, what = open_retry(self) end
  if not source then return nil, errors.new("io", trouble), what end
  local failed, order = failed_lines(self.ledger)
  if not failed then return nil, errors.new("io", files.with_owner(self.ledger, order)) end
  local settled, problem = ledger.settled_among(self.directory, failed, 0)
  if problem then return nil, errors.new("io", problem) end
  local count = 0
  for _, id in ipairs(order) do
    if failed[id] and settled[id] ~= "settled" and not self.entries[id] then
      local ok, why = reopen(self, source, id, failed[id])
      if ok == nil then return nil, errors.new("io", why) end
      count = count + (ok and 1 or 0)
    end
  end
  return count
end

-- ---- keys ---------------------------------------------------------------------------------------------------------------

--- Look up the keys of all open ids: once, before the user changes who may be allowed to read fewer files.
---@param directory string of files with keys
function Run:find_keys(directory)
  self.keys, self.why_no_key = self.keys or {}, self.why_no_key or {}
  local function find(name)
    if name == "request" or self.keys[name] or self.why_no_key[name] then return end
    self.keys[name], self.why_no_key[name] = keys.find(name, directory)
  end
  find "default"
  for _, id in ipairs(self.ids) do find(self.entries[id].key or "default") end
end

-- The open ids by the names of their keys, in order.
local function by_key(self)
  local groups, list = {}, {}
  for _, id in ipairs(self.ids) do
    local name = self.entries[id].key or "default"
    if not groups[name] then
      groups[name] = { name = name, ids = {} }
      list[#list + 1] = groups[name]
    end
    table.insert(groups[name].ids, id)
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- ---- results ------------------------------------------------------------------------------------------------------------

local function is_final(entry, kind)
  return unsettled.is_final(kind, entry, entry.old and math.huge or core.unix_time())
end

-- Context and instant of an id, from its lines, so that they need not be in memory.
local function described(entry)
  local context, instant
  for i = 1, #entry, 2 do
    context, instant = unsettled.add(context, instant, (entry[i].segment:read(entry[i + 1])))
  end
  return context, instant
end

-- The ledger, opened when there is something to write: an empty one says nothing.
local function writer_of(self)
  if self.writer then return self.writer end
  local writer, err = ledger.open_shared(self.ledger)
  if not writer then
    err.message = files.with_owner(self.ledger, err.message)
    return nil, err
  end
  self.writer = writer
  return writer
end

-- Write the record or the failure to the ledger. True, or nil and an error after which nothing can be written.
local function write(self, id, gen, failure)
  local entry = self.entries[id]
  local writer, err = writer_of(self)
  if not writer then return nil, err end
  local put = gen and writer.settled or writer.failed
  local ok, trouble = put(writer, id, gen or failure, described(entry))
  if not ok then return nil, trouble end
  close_lines(self, entry)
  self.entries[id] = nil
  return true
end

local function count_kind(kinds, err)
  kinds[err.kind] = kinds[err.kind] or { ids = 0, err = err }
  kinds[err.kind].ids = kinds[err.kind].ids + 1
end

-- What came back for an id. True, or nil and an error that ends the run.
local function on_result(self, id, gen, err)
  local outcome = self.outcome
  if gen or is_final(self.entries[id], err.kind) then
    local ok, trouble = write(self, id, gen, err)
    if not ok then return nil, trouble end
    if gen then outcome.settled = outcome.settled + 1 else count_kind(outcome.failed, err) end
  else
    count_kind(outcome.left, err)
  end
  outcome.done = outcome.done + 1
  return true
end

-- ---- fetching -----------------------------------------------------------------------------------------------------------

local function fail_keyless(self, group, on_progress)
  for _, id in ipairs(group.ids) do
    local ok, trouble = on_result(self, id, nil, unsettled.no_key(id))
    if not ok then return nil, trouble end
    on_progress(self.outcome)
  end
  return true
end

-- All ids of a key. A refused key ends these alone.
local function fetch_group(self, client, group, on_progress)
  local refusal
  for id, gen, err in client:each(group.ids) do
    if err and errors.stops[err.kind] and not refusal then
      refusal = { name = group.name, ids = 0, err = err }
      table.insert(self.outcome.refused, refusal)
    end
    local ok, trouble = on_result(self, id, gen, err)
    if not ok then return nil, trouble end
    if refusal and self.entries[id] then refusal.ids = refusal.ids + 1 end
    on_progress(self.outcome)
  end
  return true
end

local function note_missing(self, group, why)
  table.insert(self.outcome.missing, { name = group.name, ids = #group.ids, why = why })
end

local function settle_group(self, group, on_event, on_progress)
  if group.name == "request" then return fail_keyless(self, group, on_progress) end
  local client, err = openrouter.client { api_key = self.keys[group.name], on_event = on_event }
  if not client then return nil, err end
  local ok, trouble = fetch_group(self, client, group, on_progress)
  client:close()
  return ok, trouble
end

--- Sort the open ids by their keys. Those without one are in outcome.missing.
---@return integer count of ids that fetch() will see to
function Run:plan()
  self.groups = {}
  for _, group in ipairs(by_key(self)) do
    if group.name == "request" or self.keys[group.name] then
      self.groups[#self.groups + 1] = group
      self.outcome.total = self.outcome.total + #group.ids
    else
      note_missing(self, group, self.why_no_key[group.name])
    end
  end
  return self.outcome.total
end

--- Fetch what is open, key by key, and write each result to the ledger as it comes. What `outcome` counts is done also when
--- this raises, or returns an error.
---@param on_event? fun(event: openrouter.Event)
---@param on_progress? fun(outcome: openrouter.SettleOutcome)
---@return true?, openrouter.Error? why it could not go on
function Run:fetch(on_event, on_progress)
  for _, group in ipairs(self.groups) do
    local ok, err = settle_group(self, group, on_event, on_progress or function() end)
    if not ok then return nil, err end
  end
  return true
end

--- How many ids are open.
---@return integer
function Run:open()
  local count = 0
  for _ in pairs(self.entries) do count = count + 1 end
  return count
end

-- ---- the end ------------------------------------------------------------------------------------------------------------

local function is_empty(source)
  local empty = true
  local ok, why = unsettled.each_open(source, SLICE, function()
    empty = false
    return true
  end)
  return ok and empty, why
end

-- Closed lines may go when the ledger, which has their ids, is on the disk.
local function sync(self)
  local writer, err = self.writer, nil
  self.writer = nil
  if not writer and not core.file_status(self.ledger) then return true end
  if not writer then writer, err = ledger.open_shared(self.ledger) end
  if not writer then return nil, err end
  return writer:close()
end

local function remove_stale(self)
  for _, name in ipairs(core.list_directory(self.pending) or {}) do
    if name:find "%.tmp$" then core.remove_stale(self.pending .. "/" .. name) end
  end
end

-- The sources in which nothing is open, and whether there are any.
local function empty_sources(self)
  local empty = {}
  for _, source in ipairs(self.sources) do
    local nothing, why = is_empty(source)
    if why then note_problem(self, why) end
    if nothing then empty[source] = true end
  end
  return empty, next(empty) ~= nil
end

--- Bring the ledger to the disk, remove the segments in which nothing is open, let go of the others.
---@return integer removed
function Run:close()
  local empty, any = empty_sources(self)
  local removed, synced, err = 0, true, nil
  if self.writer or any then synced, err = sync(self) end
  if not synced then note_problem(self, err.message) end
  for _, source in ipairs(self.sources) do
    local gone, why = false, nil
    if synced and empty[source] then gone, why = source.segment:remove() end
    if gone then removed = removed + 1 else source.segment:close() end
    if why then note_problem(self, files.with_owner(self.pending, why)) end
  end
  self.sources = {}
  remove_stale(self)
  return removed
end

return settle

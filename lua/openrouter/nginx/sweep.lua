-- luacheck: std ngx_lua
--- What a worker does besides requests and lookups, in one timer: lines that the disk would not take are written, segments kept
--- small, orphans adopted, ids that wait on disk taken up, figures told to the others.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local journal = require "openrouter.nginx.journal"
local ledger = require "openrouter.ledger"

local sweep = {}

local TICK = 0.5            -- seconds; the most that a worker's exit is held up
local ADOPT_EVERY = 30      -- … between looks for orphans
local ROOM_EVERY = 2        -- … between looks for room for ids that wait for it
local LOG_LATE = 600        -- … after which a response that ended long ago is taken to have no log phase
local STREAM_MAX = 6 * 3600 -- … and any other one

-- ---- ids that are only on disk --------------------------------------------------------------------------------------

-- An id whose key came with its request, and is not there any more.
local function fail_keyless(worker, id, entry)
  local held = worker.settle.held
  held[id] = entry
  worker.settle:fail(id, entry, errors.new("no_key", "the key came with the request, and is not kept beyond it"))
  held[id] = nil
end

-- It can be kept neither in memory nor on disk: then at least in the error log.
local function lose(worker, id, why)
  worker.journal:forget(id)
  worker.metrics:add "lost_total"
  ngx.log(ngx.ALERT, "openrouter: lost ", id, ": the disk does not take it (", why, ")")
end

--- An id that settle would not take at the end of its request: it waits on disk, or has nothing to wait for.
---@param why string what settle said
function sweep.not_taken(worker, id, entry, why)
  if why == "gone" then
    -- in a timer, because the disk may make us wait
    worker.settle.held[id] = entry
    if not ngx.timer.at(0, function() fail_keyless(worker, id, entry) end) then worker.settle.held[id] = nil end
  elseif entry.source or worker.journal.unwritten_count <= worker.options.window then
    if why == "full" and entry.source then entry.source.full = true end
    worker.settle:park(id, entry)
  else
    lose(worker, id, why)
  end
end

-- Hand the open ids of a source to settle, as far as there is room. What `settled` has is closed instead. Returns how many
-- lines are open.
local function feed(worker, source, settled)
  local places, keyless, open = {}, {}, 0
  source.parked, source.oldest, source.full = 0, nil, false
  journal.each_open(source, function(line, offset)
    local kind, id, at, key = core.open_line(line)
    open = open + 1
    if settled and settled[id] then
      source.segment:close_line(offset)
    elseif kind == "note" then
      local place = places[id]
      if keyless[id] then keyless[id].note = offset
      elseif place then worker.settle.set_note(place, source, offset) end
    elseif not worker.streaming[id] then
      local entry = { source = source, pending = offset, note = -1, since = at or core.unix_time() }
      local outcome, engine, slot = worker.settle:submit(id, entry, key or "default", nil, true)
      if outcome == "taken" then places[id] = { engine = engine, slot = slot, pending = offset }
      elseif outcome == "gone" then keyless[id] = entry
      elseif outcome ~= "there" then
        source.full = source.full or outcome == "full"
        journal.park(source, entry.since)
      end
    end
  end)
  for id, entry in pairs(keyless) do fail_keyless(worker, id, entry) end
  return open
end

-- Which ids of an orphan are in the ledger already: its worker may have died between the two.
local function settled_before(worker, source)
  local ids, modified = {}, core.modified(source.path)
  journal.each_open(source, function(line)
    local _, id = core.open_line(line)
    ids[id] = true
  end)
  if not next(ids) then return nil end
  local found, why = ledger.settled_among(worker.options.dir, ids, (modified or 0) - 1, journal.breathe)
  if why then worker.log(ngx.ERR, "adopting", why) end
  return found
end

local function adopt(worker)
  local adopted, why = worker.journal:adopt()
  if why then worker.log(ngx.ALERT, "journal", why) end
  for _, source in ipairs(adopted) do
    local pid = tonumber(source.path:match "%-(%d+)%.jsonl$")
    if pid and pid ~= ngx.worker.pid() then worker.metrics:forget(pid) end
    local open = feed(worker, source, settled_before(worker, source))
    if open > 0 then worker.log(ngx.NOTICE, source.path, ("taking over %d open lines of %s"):format(open, source.path)) end
    source.empty = open == 0
  end
end

local function copy_of(set)
  local list = {}
  for member in pairs(set) do list[#list + 1] = member end
  return list
end

-- Ids that wait on disk get their turn. `only_full`: those that waited for room alone.
local function take_up(worker, only_full)
  for _, source in ipairs(copy_of(worker.journal.sources)) do -- there may be new ones before this is over
    local is_own = source == worker.journal.own
    local wanted = source.full or not only_full and (source.parked > 0 or not is_own and not source.empty)
    if wanted and source.segment and worker.settle:has_room() then
      source.empty = feed(worker, source) == 0 and not is_own
    end
  end
end

-- ---- what the disk would not take -----------------------------------------------------------------------------------

local function rewrite(worker)
  local j = worker.journal
  if not j:open() then return end
  for id in pairs(j.unwritten) do
    if not j:rewrite(id) then return end
  end
end

-- ---- small segments -------------------------------------------------------------------------------------------------

local function drop(worker, source)
  if not source.segment then return end
  if source.empty then
    local ok, why = worker.journal:remove(source)
    if not ok then worker.log(ngx.ALERT, "journal", source.path .. ": " .. tostring(why)) end
    return
  end
  local moved, why = journal.compact(source)
  if not moved then return worker.log(ngx.ALERT, "journal", source.path .. ": " .. tostring(why)) end
  worker.settle:translate(source, moved)
  for _, request in pairs(worker.streaming) do journal.translate(request, source, moved) end
end

-- Closed lines may go when the ledger, which has their ids now, is on the disk. That takes time, and is not waited for.
local function tidy(worker)
  local syncing = worker.syncing
  if syncing then
    local done, why = worker.ledger:synced()
    if done == false then return end
    worker.syncing = nil
    if not done then return worker.log(ngx.ALERT, "ledger", tostring(why)) end
    for _, source in ipairs(syncing) do drop(worker, source) end
  end
  local list = {}
  for source in pairs(worker.journal.sources) do
    if source.empty or journal.is_sparse(source) then list[#list + 1] = source end
  end
  if #list > 0 and worker.ledger:sync() then worker.syncing = list end
end

-- ---- requests without a log phase -----------------------------------------------------------------------------------

local function give_up_streams(worker)
  local now = core.unix_time()
  for _, request in pairs(worker.streaming) do
    local age = now - request.since
    if age > STREAM_MAX or request.whole and age > LOG_LATE then
      worker.log(ngx.ERR, "log phase", request.id .. " was seen, and its request never came to log(): is there a "
        .. "log_by_lua_block with it in the same location?")
      worker.hand_over(request)
    end
  end
end

-- ---- figures --------------------------------------------------------------------------------------------------------

local function parked_count(worker)
  local count = 0
  for source in pairs(worker.journal.sources) do count = count + source.parked end
  return count
end

local function gauges(worker)
  local now = core.unix_time()
  local oldest = worker.settle:oldest() or now
  for _, request in pairs(worker.streaming) do oldest = math.min(oldest, request.since) end
  for source in pairs(worker.journal.sources) do oldest = math.min(oldest, source.oldest or now) end
  return { open_ids = worker.settle.open + worker.streams + parked_count(worker), oldest_open_age_seconds = now - oldest }
end

--- Figures of this worker.
---@return table<string, number>
function sweep.stats(worker)
  local stats = { open = worker.settle.open, streaming = worker.streams, parked = parked_count(worker),
    unwritten = worker.journal.unwritten_count, consumers = worker.settle.consumers,
    connections = worker.settle.fetcher.opened, reused = worker.settle.fetcher.reused }
  for name, value in pairs(worker.metrics.total) do stats[name] = value end
  return stats
end

-- ---- the timer ------------------------------------------------------------------------------------------------------

local function step(worker, what, ...)
  local ok, why = pcall(what, ...)
  if not ok then worker.log(ngx.ERR, "bug", "this is a bug, please report it: " .. tostring(why)) end
end

local function tick(worker)
  local now = core.now()
  worker.beat = now
  if worker.journal.unwritten_count > 0 then step(worker, rewrite, worker) end
  if not ngx.worker.exiting() then
    step(worker, worker.journal.roll, worker.journal)
    if now >= worker.adopt_at then
      worker.adopt_at = now + ADOPT_EVERY
      step(worker, adopt, worker)
      step(worker, take_up, worker)
      step(worker, give_up_streams, worker)
    elseif now >= worker.take_up_at then
      worker.take_up_at = now + ROOM_EVERY
      step(worker, take_up, worker, true)
    end
    worker.settle:start_consumers()
  end
  step(worker, tidy, worker)
  worker.metrics:add("connections_total", worker.settle.fetcher.opened - worker.counted)
  worker.counted = worker.settle.fetcher.opened
  step(worker, worker.metrics.flush, worker.metrics, gauges(worker))
end

local function has_open(source)
  local any = false
  journal.each_open(source, function() any = true end)
  return any
end

-- To the disk, a second at most.
local function sync(worker)
  if not worker.ledger:sync() then return false end
  for _ = 1, 100 do
    local done = worker.ledger:synced()
    if done ~= false then return done end
    ngx.sleep(0.01)
  end
  return false
end

-- Leave the locks of what is open to others; a segment in which nothing is open leaves with us. Requests that are still waiting
-- for their answers get a new one.
local function leave(worker)
  local j = worker.journal
  step(worker, rewrite, worker)
  for id in pairs(j.unwritten) do lose(worker, id, "the worker leaves") end
  local sources, any_empty = copy_of(j.sources), false
  j.own = nil
  for _, source in ipairs(sources) do any_empty = not has_open(source) or any_empty end
  local synced = any_empty and sync(worker)
  for _, source in ipairs(sources) do
    if synced and not has_open(source) then j:remove(source) else j:release(source) end
  end
  worker.metrics:flush {}
  worker.metrics:forget(ngx.worker.pid())
end

local function run(premature, worker)
  worker.sweeping = true
  while not premature and not (worker.settle:should_end() and worker.settle.consumers == 0 and worker.streams == 0) do
    tick(worker)
    ngx.sleep(TICK)
  end
  step(worker, leave, worker)
  worker.sweeping, worker.beat = false, nil
end

--- Start the timer, unless it is there.
function sweep.start(worker)
  local now = core.now()
  if worker.beat and now - worker.beat < 30 then return end
  worker.beat = now
  worker.adopt_at, worker.take_up_at, worker.counted = worker.adopt_at or now, now, worker.counted or 0
  local ok, why = ngx.timer.at(0, run, worker)
  if not ok and not ngx.worker.exiting() then worker.log(ngx.ERR, "timers", "starting a timer: " .. tostring(why)) end
end

return sweep

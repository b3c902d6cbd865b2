-- luacheck: std ngx_lua
--- What a worker does besides requests and lookups, in one timer: lines that the disk would not take are written, segments kept
--- small, orphans adopted, ids that wait on disk taken up, figures told to the others.
local core = require "openrouter.core"
local journal = require "openrouter.nginx.journal"
local ledger = require "openrouter.ledger"
local unsettled = require "openrouter.unsettled"

local sweep = {}

local TICK = 0.5            -- seconds between looks, which a worker's exit may be held up by
local ADOPT_EVERY = 30      -- … between looks for orphans
local ROOM_EVERY = 2        -- … between looks for room for ids that wait for it
local LOG_LATE = 600        -- … after which a response that ended long ago is taken to have no log phase
local STREAM_MAX = 6 * 3600 -- … and any other one

local function members(set)
  local list = {}
  for member in pairs(set) do list[#list + 1] = member end
  return list
end

local function values(map)
  local list = {}
  for _, value in pairs(map) do list[#list + 1] = value end
  return list
end

-- ---- ids that are only on disk --------------------------------------------------------------------------------------

-- It can be kept neither in memory nor on disk: then at least in the error log.
local function lose(worker, id, why)
  worker.journal:forget(id)
  worker.metrics:add "lost_total"
  ngx.log(ngx.ALERT, "openrouter: lost ", id, ": the disk does not take it (", why, ")")
end

-- An id that settle would not take at the end of its request: it waits on disk, or has nothing to wait for.
local function not_taken(worker, id, entry, why)
  if entry.source or worker.journal.unwritten_count <= worker.options.window then
    if (why == "full" or why == "gone") and entry.source then entry.source.full = true end
    worker.settle:park(id, entry)
  else
    lose(worker, id, why)
  end
end

--- Where a request ends: from now on its record can be asked for.
---@param worker openrouter.Worker
---@param request table see new_request() in nginx.lua
function sweep.hand_over(worker, request)
  local id = request.id
  worker.streaming[id] = nil
  request.logged = true
  local outcome = worker.settle:submit(id, request, request.key_name, request.key)
  if outcome == "there" then -- the same id came twice, and is asked for once
    worker.journal:close(request.source, id, request.pending, request.note)
  elseif outcome ~= "taken" then
    not_taken(worker, id, request, outcome)
  end
  worker.settle:start_consumers()
  if not worker.sweeping then sweep.start(worker) end
end

-- With all members it will ever have.
local function new_entry(source, id)
  return { source = source, id = id, pending = -1, note = -1, key = false, since = math.huge, ended = false, interrupted = false }
end

-- The open ids of a source in order, with what all of their lines say, and how many lines are open. What `settled` has is
-- closed instead. An id whose pending line is damaged is taken from its note.
local function read_ids(worker, source, settled)
  local list, by_id, passed_over, open = {}, {}, {}, 0
  journal.each_open(source, function(line, offset)
    local kind, id, at, key, _, _, interrupted = core.open_line(line)
    open = open + 1
    local entry = by_id[id]
    if settled and settled[id] or entry and entry[kind] >= 0 then -- it came twice, and is asked for once
      source.segment:close_line(offset)
    elseif worker.streaming[id] or passed_over[id] then
      passed_over[id] = true -- its request is under way, and will see to it
    else
      if not entry then
        entry = new_entry(source, id)
        list[#list + 1], by_id[id] = entry, entry
      end
      entry[kind], entry.key = offset, entry.key or key
      unsettled.learn(entry, kind, at, interrupted, source.modified or core.unix_time())
    end
  end)
  return list, open
end

-- Whether an id still waits on disk: reading the others took time, and it may have been settled.
local function is_open(entry)
  local line = entry.source.segment:read(math.max(entry.pending, entry.note))
  return line ~= nil and select(8, core.open_line(line)) == true
end

-- Hand an id that was open on disk to settle, or see what else becomes of it.
local function take_from_disk(worker, entry)
  local source, outcome = entry.source, worker.settle:submit(entry.id, entry, entry.key or "default")
  if outcome == "taken" or outcome == "there" then return end
  if outcome == "gone" and worker.settle:fail_keyless(entry.id, entry) then return end
  source.full = source.full or outcome == "full" or outcome == "gone" -- so that it is tried again soon
  journal.park(source, entry.since)
end

local MANY = 200 -- ids handed over between two turns of the event loop

-- Take up the open ids of a source, as far as there is room. Returns how many lines are open.
local function feed(worker, source, settled)
  source.parked, source.oldest, source.full = 0, nil, false
  local entries, open = read_ids(worker, source, settled)
  for i, entry in ipairs(entries) do
    if i % MANY == 0 then journal.breathe() end
    if is_open(entry) then take_from_disk(worker, entry) end
  end
  return open
end

local LEAVING = "the worker leaves"

-- Which ids of an orphan are in the ledger already: its worker may have died between the two.
local function settled_before(worker, source)
  if ngx.worker.exiting() then error(LEAVING, 0) end
  local ids = {}
  journal.each_open(source, function(line)
    local _, id = core.open_line(line)
    ids[id] = true
  end)
  if not next(ids) then return nil end
  local found, why = ledger.settled_among(worker.options.dir, ids, (source.modified or 0) - 1, function()
    if ngx.worker.exiting() then error(LEAVING, 0) end
    journal.breathe()
  end)
  if why then worker.log(ngx.ERR, "adopting", why) end
  return found
end

local function adopt(worker)
  local adopted, why = worker.journal:adopt()
  if why then worker.log(ngx.ALERT, "journal", why) end
  local total = 0
  for _, source in ipairs(adopted) do
    local pid = tonumber(source.path:match "%-(%d+)%.jsonl$")
    if pid and pid ~= ngx.worker.pid() then worker.metrics:forget(pid) end
    local ok, settled = pcall(settled_before, worker, source)
    if not ok then -- leaving, as a rule: somebody else takes it over
      worker.journal:release(source)
      if settled ~= LEAVING then worker.log(ngx.ERR, "adopting", tostring(settled)) end
    else
      local open = feed(worker, source, settled)
      source.empty = open == 0
      total = total + open
    end
  end
  if total > 0 then worker.log(ngx.NOTICE, "adopting", ("taking over %d open lines of workers that are gone"):format(total)) end
end

-- Ids that wait on disk get their turn. `only_full`: those that waited for room alone.
local function take_up(worker, only_full)
  for _, source in ipairs(members(worker.journal.sources)) do -- there may be new ones before this is over
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
  for _, request in ipairs(values(worker.streaming)) do
    local age = now - request.since
    if age > STREAM_MAX or request.whole and age > LOG_LATE then
      worker.log(ngx.ERR, "log phase", request.id .. " was seen, and its request never came to log(): is there a "
        .. "log_by_lua_block with it in the same location?")
      request.ended, request.interrupted = core.unix_time(), not request.whole
      sweep.hand_over(worker, request)
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
  local open = worker.settle.open + #values(worker.streaming) + parked_count(worker) + #values(worker.settle.held)
  return { open_ids = open, oldest_open_age_seconds = now - oldest }
end

--- Figures of this worker.
---@param worker openrouter.Worker
---@return table<string, number>
function sweep.stats(worker)
  local stats = { open = worker.settle.open, streaming = #values(worker.streaming), parked = parked_count(worker),
    unwritten = worker.journal.unwritten_count, consumers = worker.settle.consumers,
    connections = worker.settle.fetcher.opened, reused = worker.settle.fetcher.reused }
  for name, value in pairs(worker.metrics.total) do stats[name] = value end
  return stats
end

local function tell(worker)
  if worker.metrics:flush(gauges(worker)) then return end
  worker.log(ngx.ERR, "dict", ("the shared dictionary is too small, and figures are missing: `lua_shared_dict %s 1m;`")
    :format(worker.options.dict))
end

-- ---- the timer ------------------------------------------------------------------------------------------------------

local function step(worker, what, ...)
  local ok, why = pcall(what, ...)
  if not ok then worker.log(ngx.ERR, "bug", "this is a bug, please report it: " .. tostring(why)) end
end

local function any_full(worker)
  for source in pairs(worker.journal.sources) do
    if source.full then return true end
  end
  return false
end

-- What reads segments from end to end, and perhaps the ledger, takes its time, and has a timer of its own: nothing else has to
-- wait for it.
local function read(premature, worker, is_whole)
  if premature or worker.reading or ngx.worker.exiting() then return end
  worker.reading = true
  if is_whole then step(worker, adopt, worker) end
  step(worker, take_up, worker, not is_whole)
  worker.reading = false
end

local function tick(worker)
  local now = core.now()
  worker.beat = now
  if worker.journal.unwritten_count > 0 then step(worker, rewrite, worker) end
  if not ngx.worker.exiting() then
    step(worker, worker.journal.roll, worker.journal)
    if now >= worker.take_up_at and not worker.reading then
      worker.take_up_at = now + ROOM_EVERY
      local is_whole = now >= worker.adopt_at
      if is_whole then worker.adopt_at = now + ADOPT_EVERY end
      if is_whole or any_full(worker) then ngx.timer.at(0, read, worker, is_whole) end
    end
    worker.settle:start_consumers()
  end
  step(worker, give_up_streams, worker)
  if not worker.reading then step(worker, tidy, worker) end -- which would move lines from under a reader
  worker.metrics:add("connections_total", worker.settle.fetcher.opened - worker.counted)
  worker.counted = worker.settle.fetcher.opened
  step(worker, tell, worker)
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

-- Leave the locks of what is open to others; a segment in which nothing is open leaves with us. What requests under way have
-- written stays ours; those that are still waiting for their answers get a new segment.
local function leave(worker)
  local j, in_use = worker.journal, {}
  while worker.reading do ngx.sleep(0.01) end
  step(worker, rewrite, worker)
  for id in pairs(j.unwritten) do lose(worker, id, "the worker leaves") end
  local sources, any_empty = members(j.sources), false
  j.own = nil
  for _, request in pairs(worker.streaming) do in_use[request.source] = true end
  for _, source in ipairs(sources) do any_empty = not has_open(source) or any_empty end
  local synced = any_empty and sync(worker)
  for _, source in ipairs(sources) do
    if not in_use[source] then
      if synced and not has_open(source) then j:remove(source) else j:release(source) end
    end
  end
  worker.settle:abandon()
  worker.metrics:flush {}
  worker.metrics:forget(ngx.worker.pid())
end

local function run(premature, worker)
  worker.sweeping = true
  while not premature and not (worker.settle:should_end() and worker.settle.consumers == 0) do
    tick(worker)
    ngx.sleep(TICK)
  end
  step(worker, leave, worker)
  worker.sweeping, worker.beat = false, nil
end

--- Start the timer, unless it is there.
---@param worker openrouter.Worker
function sweep.start(worker)
  local now = core.now()
  if worker.beat and now - worker.beat < 30 then return end
  worker.beat = now
  worker.adopt_at, worker.take_up_at, worker.counted = worker.adopt_at or now, now, worker.counted or 0
  local ok, why = ngx.timer.at(0, run, worker)
  if not ok and not ngx.worker.exiting() then worker.log(ngx.ERR, "timers", "starting a timer: " .. tostring(why)) end
end

return sweep

-- luacheck: std ngx_lua
--- Settling: a bounded window of ids, and a fixed set of timers ("consumers") that ask for their records over cosockets. What
--- is asked when, and what an answer means, is the engine's business; there is one for each key, so that a bad key stops its
--- own ids.
---
--- What is known about an id in the window: its slot in the engine, where its lines are on disk and how old it is (five
--- numbers), so that memory does not depend on what the context holds.
local core = require "openrouter.core"
local cosocket = require "openrouter.nginx.cosocket"
local errors = require "openrouter.errors"
local generation = require "openrouter.generation"
local journal = require "openrouter.nginx.journal"
local options = require "openrouter.options"
local semaphore = require "ngx.semaphore"
local unsettled = require "openrouter.unsettled"

local settle = {}

local FOREVER = 1e9            -- deadline: an id is never given up because a server is away
local IDLE_LOOK = 0.5          -- seconds: the longest sleep, and so the most that a worker's exit is held up by it
local RECYCLE = 500            -- fetches after which a consumer starts anew, which gives its memory back
local PAUSE, LONGEST_PAUSE = 30, 600 -- seconds for which nothing is asked when a key is refused, or the server not trusted
local MAX_REQUEST_KEYS = 256   -- engines for keys of requests at a time

---@class openrouter.Settle
local Settle = {}
Settle.__index = Settle

---@param o table options of start()
---@param the_journal openrouter.Journal
---@param ledger openrouter.NginxLedger
---@param metrics openrouter.Metrics
---@param log fun(level: integer, topic: string, message: string)
---@return openrouter.Settle
function settle.new(o, the_journal, ledger, metrics, log)
  local self = setmetatable({
    options = o, journal = the_journal, ledger = ledger, metrics = metrics, log = log,
    engines = {}, by_name = {}, request_keys = 0, turn = 0,
    open = 0,           -- ids in the windows
    held = {},          -- id -> entry: answered, but not in the ledger yet
    consumers = 0, starting = 0, started_at = 0,
    bell = semaphore.new(), work = semaphore.new(), leading_until = nil, following = 0,
    epoch = core.unix_time() - core.now(),
  }, Settle)
  self.fetcher = cosocket.new(o.origin, o.consumers, o.connect_timeout, function() return self:should_end() end)
  return self
end

-- ---- engines --------------------------------------------------------------------------------------------------------

local function new_engine(self, name, key, is_request)
  local o = self.options
  local engine = {
    name = name, is_request = is_request, tail = cosocket.tail(o.origin, key), conceal = options.concealer { key },
    paused_until = 0, pause = PAUSE,
    core = core.engine {
      window = o.window, concurrency = o.consumers, rate = o.rate, timeout = o.timeout, deadline = FOREVER, wait = 0,
      retry = { base = 0.5, factor = 2, cap = 30 },
      epoch = self.epoch,
      seed = math.floor(core.unix_time() * 1e6 + ngx.worker.pid()) % 2 ^ 52, -- workers are not to retry in step
    },
    source = {}, pending = {}, note = {}, since = {}, ended = {}, -- of the id in each slot
    entry = {}, -- … or all of it, where the disk would not take its lines yet
  }
  self.engines[#self.engines + 1] = engine
  self.by_name[name] = engine
  return engine
end

-- The engine of a key; nil: there is no such key.
local function engine_of(self, name, request_key)
  if request_key then name = "request " .. request_key end -- no configured key has a space in its name
  local engine = self.by_name[name]
  if engine then return engine end
  if request_key then
    if self.request_keys >= MAX_REQUEST_KEYS then return nil end
    self.request_keys = self.request_keys + 1
    return new_engine(self, name, request_key, true)
  end
  local key = self.options.keys[name]
  return key and new_engine(self, name, key, false)
end

-- ---- ids in ---------------------------------------------------------------------------------------------------------

---@class openrouter.Entry: openrouter.OpenId and where the id is on disk
---@field source openrouter.Source|false
---@field pending integer offset of its line, -1 when it is not written
---@field note integer

local function put_in(self, engine, slot, id, entry)
  engine.source[slot], engine.pending[slot], engine.note[slot], engine.since[slot] =
    entry.source, entry.pending, entry.note, entry.since
  engine.ended[slot] = not entry.interrupted and entry.ended
  if self.journal.unwritten[id] then engine.entry[slot] = entry end
  self.open = self.open + 1
end

--- Take an id into the window.
---@param id string
---@param entry openrouter.Entry
---@param key_name string
---@param request_key? string the key itself, where it came with the request
---@return string outcome "taken", "there" (it is in the window), or why not: "full", "paused", "no_key", "gone" (a request's key)
function Settle:submit(id, entry, key_name, request_key)
  if self.held[id] then return "there" end
  if key_name == "request" and not request_key then return "gone" end
  if self.open >= self.options.window then return "full" end -- before an engine is made that nobody would forget
  local engine = engine_of(self, key_name, request_key)
  if not engine and request_key then return "gone" end
  if not engine then
    if next(self.options.keys) then -- else start() has said so
      self.log(ngx.ERR, "unknown key", ("there is no key named '%s' in start()'s `keys`; its ids stay on disk")
        :format(key_name))
    end
    return "no_key"
  end
  local now = core.now()
  if now < engine.paused_until then return "paused" end
  local wait = unsettled.wait_of(entry, core.unix_time())
  local new, slot = engine.core:submit(id, now, wait, FOREVER, nil, self.options.first)
  if not new then return new == false and "there" or "full" end
  put_in(self, engine, slot, id, entry)
  self.last_submit = now
  self:wake(now + self.options.first)
  return "taken"
end

--- Forget all ids in the windows: this worker asks for none of them any more, and others have them from disk.
function Settle:abandon()
  self.engines, self.by_name, self.request_keys, self.open = {}, {}, 0, 0
end

--- Whether ids that wait on disk should be handed over.
---@return boolean
function Settle:has_room()
  return self.open < self.options.window / 2
end

--- The offsets of a compacted segment's lines are others now.
---@param source openrouter.Source
---@param moved table<integer, integer> old offset -> new one
function Settle:translate(source, moved)
  for _, engine in ipairs(self.engines) do
    for slot, at in pairs(engine.source) do
      if at == source then
        engine.pending[slot] = moved[engine.pending[slot]] or -1
        engine.note[slot] = moved[engine.note[slot]] or -1
      end
    end
    for _, entry in pairs(engine.entry) do journal.translate(entry, source, moved) end
  end
  for _, entry in pairs(self.held) do journal.translate(entry, source, moved) end
end

--- Unix time at which the oldest open id was seen.
---@return number?
function Settle:oldest()
  local oldest
  for _, engine in ipairs(self.engines) do
    for _, since in pairs(engine.since) do
      if since and (not oldest or since < oldest) then oldest = since end
    end
  end
  return oldest
end

-- The id in this slot has left the window.
local function take_out(self, engine, slot)
  local entry = engine.entry[slot] or { source = engine.source[slot], pending = engine.pending[slot],
    note = engine.note[slot], since = engine.since[slot], ended = engine.ended[slot] }
  engine.source[slot], engine.since[slot], engine.entry[slot] = false, false, nil
  self.open = self.open - 1
  return entry
end

-- The key of a request is forgotten with its last id.
local function forget_key(self, engine)
  if not engine.is_request or engine.core:open() > 0 or self.by_name[engine.name] ~= engine then return end
  for i = #self.engines, 1, -1 do
    if self.engines[i] == engine then table.remove(self.engines, i) end
  end
  self.by_name[engine.name] = nil
  self.request_keys = self.request_keys - 1
end

-- ---- results --------------------------------------------------------------------------------------------------------

-- Context and instant cost of an id, from its lines.
local function described(self, id, entry)
  local first, second = self.journal:lines(entry.source, id, entry.pending, entry.note)
  local context, instant = unsettled.add(nil, nil, first)
  return unsettled.add(context, instant, second)
end

local function refused_by_disk(self, err)
  local where = self.journal.unwritten_count > 0 and "some are in memory alone" or "they are in pending/"
  self.log(ngx.ALERT, "ledger", err.message .. "; the proxy goes on, and ids stay open: " .. where)
  self.metrics:add "journal_errors_total"
end

-- Write a line to the ledger, however long the disk refuses it; false: this worker leaves, and the id stays open.
local function write(self, id, entry, put)
  local context, instant = described(self, id, entry)
  local ok, err = put(context, instant)
  if ok then return true end
  self.held[id] = entry
  repeat
    refused_by_disk(self, err)
    ngx.sleep(IDLE_LOOK)
    ok, err = put(context, instant)
  until ok or self:should_end()
  self.held[id] = nil
  return ok
end

local function close_lines(self, id, entry)
  local ok, why = self.journal:close(entry.source, id, entry.pending, entry.note)
  if not ok then self.log(ngx.ALERT, "journal", entry.source.path .. ": " .. tostring(why)) end
end

local function on_record(self, engine, slot, id, gen, due)
  local entry = take_out(self, engine, slot)
  forget_key(self, engine)
  engine.pause = PAUSE
  local written = write(self, id, entry, function(context, instant)
    return self.ledger:settled(id, gen, context, instant)
  end)
  if not written then return end
  close_lines(self, id, entry)
  self.metrics:settled(gen, (generation.spend(gen)), core.now() - due)
end

--- An id has no record, for good: into the ledger with it.
---@param id string
---@param entry openrouter.Entry
---@param err openrouter.Error
function Settle:fail(id, entry, err)
  local written = write(self, id, entry, function(context, instant)
    return self.ledger:failed(id, err, context, instant)
  end)
  if not written then return end
  close_lines(self, id, entry)
  self.metrics:add_kind("failed_total", "kind", err.kind)
end

--- An id has no key, and will have none. False: the disk does not take that for now, and the id stays open.
---@param id string
---@param entry openrouter.Entry
---@return boolean written
function Settle:fail_keyless(id, entry)
  local context, instant = described(self, id, entry)
  local ok, err = self.ledger:failed(id, unsettled.no_key(id), context, instant)
  if ok then
    close_lines(self, id, entry)
    self.metrics:add_kind("failed_total", "kind", "no_key")
  else
    refused_by_disk(self, err)
  end
  return ok == true
end

--- It stays open on disk, and is taken up again later.
---@param id string
---@param entry openrouter.Entry
function Settle:park(id, entry)
  self.metrics:add "overflow_total"
  if entry.source then
    journal.park(entry.source, entry.since)
  elseif self.journal.unwritten[id] then
    self.journal.unwritten[id].parked = true -- as soon as it is on disk
  end
end

-- Ask nothing with this key for a while.
local function pause(engine)
  local now = core.now()
  if now < engine.paused_until then return nil end -- by a request that was under way at the same time
  local seconds = engine.pause
  engine.paused_until, engine.pause = now + seconds, math.min(LONGEST_PAUSE, seconds * 2)
  return seconds
end

local function on_refused(self, engine, err)
  local seconds = pause(engine)
  if not seconds then return end
  self.log(ngx.ERR, "key " .. (engine.is_request and "" or engine.name), ("the key %s is refused: %s; %s"):format(
    engine.is_request and "of a request" or "'" .. engine.name .. "'", tostring(err),
    engine.is_request and "ids that came with it fail" or ("its ids stay open, next try in %d s"):format(seconds)))
end

-- Everything that waited for a key that is refused.
local function give_back(self, engine)
  for id, _, slot in function() return engine.core:ended(core.now()) end do
    local entry = take_out(self, engine, slot)
    if engine.is_request then
      self:fail(id, entry, errors.new("no_key", "the key of the request is refused"))
    else
      self:park(id, entry)
    end
  end
  forget_key(self, engine)
end

-- What may be otherwise in a while. An id whose key is in memory alone stays in the window; others wait on disk.
local function put_off(self, engine, id, entry)
  if not engine.is_request then return self:park(id, entry) end
  local wait = unsettled.wait_of(entry, core.unix_time())
  local new, slot = engine.core:submit(id, core.now(), wait, FOREVER, nil, PAUSE)
  if new then put_in(self, engine, slot, id, entry) end
end

local UNTRUSTED = "lua_ssl_trusted_certificate does not name the file with the certificates to trust"
local ADVICE = {
  { "no resolver defined", "the directive `resolver` is missing in the http block" },
  { "unable to get local issuer", UNTRUSTED },
  { "unable to get issuer", UNTRUSTED },
  { "unable to verify the first certificate", UNTRUSTED },
  { "self.signed certificate", UNTRUSTED },
  { "chain too long", "lua_ssl_verify_depth is too small; 3 is enough" },
}

local function advise(self, err)
  for _, advice in ipairs(ADVICE) do
    if err.message:find(advice[1]) then return self.log(ngx.ERR, advice[2], advice[2] .. ": " .. tostring(err)) end
  end
  self.log(ngx.WARN, "asking " .. err.kind, "asking for records: " .. tostring(err) .. "; it is tried again")
end

local function on_failure(self, engine, slot, id, err, delay)
  if delay then self.metrics:add_kind("retries_total", "reason", err.kind) end
  if delay and err.kind == "not_found" then return end
  errors.explain(err)
  engine.conceal(err) -- what follows is written somewhere
  if delay then return advise(self, err) end
  local entry = take_out(self, engine, slot)
  local refused = errors.stops[err.kind]
  if err.kind == "tls" then -- as likely as not for all ids, and a handshake is dear
    pause(engine)
    advise(self, err)
  end
  local waited_out = err.kind == "not_found" -- by the engine, which knows for how long
  if waited_out or unsettled.is_final(err.kind, entry, core.unix_time()) or engine.is_request and refused then
    self:fail(id, entry, err)
  elseif refused then
    self:park(id, entry)
  else
    put_off(self, engine, id, entry)
  end
  if refused then
    on_refused(self, engine, err)
    give_back(self, engine)
  end
  forget_key(self, engine)
end

-- ---- consumers ------------------------------------------------------------------------------------------------------

local function fetch(self, hands, engine, id, target, timeout, slot, due)
  local parser = hands.parser
  -- whatever happens, the engine has to hear of it: sslhandshake, for one, may raise
  local ran, ok, kind, message = pcall(self.fetcher.get, self.fetcher, hands, target, engine.tail, timeout, parser)
  if not ran then ok, kind, message = nil, "network", tostring(ok) end
  local gen, err, delay
  if ok then
    local status, headers, body = parser:answer()
    gen, err, delay = engine.core:answer(id, status, headers, body, core.now())
  else
    gen, err, delay = engine.core:fault(id, kind, message, core.now())
  end
  if gen then return on_record(self, engine, slot, id, gen, due) end
  if delay then self:wake(engine.core:due()) end
  on_failure(self, engine, slot, id, err, delay)
end

-- The next id that is due: engine, id, target, timeout, slot, due. Or nil, and when to look again.
local function next_request(self, now)
  local soonest, engines = math.huge, self.engines
  for i = 1, #engines do
    local engine = engines[(self.turn + i - 1) % #engines + 1]
    local due = math.max(engine.core:due(), engine.paused_until)
    if due <= now then
      local id, target, timeout, slot = engine.core:next(now)
      if id then
        self.turn = (self.turn + i) % #engines
        return engine, id, target, timeout, slot, due
      end
      due = engine.core:due()
      if due == -math.huge then -- refused, and an answer that came late put one more id in line
        give_back(self, engine)
        return nil, now
      end
    end
    if due < soonest then soonest = due end
  end
  return nil, soonest
end

--- Whether consumers have to leave: the worker exits, and there is nothing left to do, or no time.
---@return boolean
function Settle:should_end()
  if not ngx.worker.exiting() then return false end
  self.exit_at = self.exit_at or core.now()
  if self.open == 0 and not next(self.held) then return true end
  return core.now() > math.max(self.exit_at, self.last_submit or 0) + self.options.drain
end

--- Something is due at `due`: see that somebody is awake then.
---@param due number on the clock of core.now
function Settle:wake(due)
  if self.leading_until and due < self.leading_until then
    self.leading_until = due
    self.bell:post()
  end
end

-- One of the idle consumers (the leader) sleeps until the next id is due, the others until they are told to take its place: so
-- that one wakes up for one id.
local function idle(self, due)
  if self.leading_until then
    self.following = self.following + 1
    self.work:wait(IDLE_LOOK)
    self.following = self.following - 1
    return
  end
  local now = core.now()
  self.leading_until = math.min(due, now + IDLE_LOOK)
  self.bell:wait(math.max(0.001, self.leading_until - now))
  self.leading_until = nil
end

-- `hands`: what a consumer works with, its parser and its connection
local function work(self, hands)
  local fetches = 0
  while fetches < RECYCLE do
    if self:should_end() then return "ended" end
    local engine, id, target, timeout, slot, due = next_request(self, core.now())
    if engine then
      if self.following > 0 and not self.leading_until then self.work:post() end
      fetches = fetches + 1
      self.metrics:add "requests_total"
      fetch(self, hands, engine, id, target, timeout, slot, due)
    else
      self.fetcher.put_back(hands, not ngx.worker.exiting())
      idle(self, id)
    end
  end
end

local function consume(premature, self)
  self.starting = self.starting - 1
  self.consumers = self.consumers + 1
  local ok, result = true, "ended"
  local hands = { parser = core.http1(self.options.max_body) }
  if not premature then ok, result = pcall(work, self, hands) end
  self.fetcher.put_back(hands, ok and not ngx.worker.exiting())
  self.consumers = self.consumers - 1
  if not ok then self.log(ngx.ERR, "bug", "this is a bug, please report it: " .. tostring(result)) end
  if result ~= "ended" then self:start_consumers() end
end

--- See that all consumers are there. A timer that nginx has no connection for is lost without a word: its place is taken
--- after a while.
function Settle:start_consumers()
  if self.consumers == self.options.consumers then return end
  local now = core.now()
  if now - self.started_at > 5 then self.starting = 0 end
  while self.consumers + self.starting < self.options.consumers do
    local ok, why = ngx.timer.at(0, consume, self)
    if not ok then
      if not ngx.worker.exiting() then self.log(ngx.ERR, "timers", "starting a timer: " .. tostring(why)) end
      return
    end
    self.starting, self.started_at = self.starting + 1, now
  end
end

return settle

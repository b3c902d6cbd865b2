--- The engine on a simulated clock, for specs.
local core = require "openrouter.core"

local engine = {}

--- An engine; `overrides` replace these settings.
function engine.new(overrides)
  local settings = { window = 64, concurrency = 16, timeout = 30, deadline = 120, wait = 10, epoch = 0, seed = 1,
    retry = { base = 0.5, factor = 2, cap = 30 } }
  for name, value in pairs(overrides or {}) do settings[name] = value end
  return core.engine(settings)
end

--- An engine with this id on the wire since `now` (default 0).
function engine.asking(id, overrides, now)
  local e = engine.new(overrides)
  assert(e:submit(id, now or 0))
  assert(e:next(now or 0) == id)
  return e
end

--- The kind of error that an answer of this status, which is not 200, is to the engine.
function engine.kind_of(status)
  local _, err = engine.asking "gen-x":answer("gen-x", status, nil, "", 0)
  return err.kind
end

--- Answer the id, which is on the wire, until the verdict is final: the error, the delays in between, and the time.
---   answer(e, now, attempt) -> what engine:answer or engine:fault return
function engine.run(e, id, answer, now)
  local delays, attempt = {}, 1
  now = now or 0
  while true do
    local gen, err, delay = answer(e, now, attempt)
    if not delay then return err or gen, delays, now end
    delays[#delays + 1] = delay
    assert(e:due() == now + delay, "due when the verdict said")
    assert(e:next(now + delay - 1e-9) == nil or delay < 1e-9, "not before")
    if e:on_wire() == 0 then assert(e:next(now + delay) == id) end
    now, attempt = now + delay, attempt + 1
  end
end

--- A server behind the engine, on one simulated clock, until every id has its end.
---   serve(id, now) -> seconds until the answer, status or kind of fault [, headers]
--- Ids wait outside while the window is full. Returns what happened:
---   starts: when each request began;  wire: the most that were ever on the wire
---   counts: answers by status or kind;  ends: id -> "settled" or the kind of its error;  finished: when the last id ended
--- No id is ever asked for again before it was told to be.
function engine.simulate(e, ids, serve, now)
  local log = { starts = {}, wire = 0, counts = {}, ends = {}, finished = now or 0 }
  local wire, told, fed = {}, {}, 0
  now = log.finished

  local function feed()
    while ids[fed + 1] and e:submit(ids[fed + 1], now) ~= nil do fed = fed + 1 end
  end

  local function start()
    local limit = e:limit()
    for id in function() return (e:next(now)) end do
      assert(now >= (told[id] or now), "asked for earlier than told")
      local seconds, answer, headers = serve(id, now)
      wire[#wire + 1] = { id = id, at = now + seconds, answer = answer, headers = headers }
      log.starts[#log.starts + 1] = now
      log.wire = math.max(log.wire, e:on_wire())
      assert(e:on_wire() <= limit, "more on the wire than the limit")
    end
  end

  local function finish(one)
    local gen, err, delay
    if type(one.answer) == "string" then gen, err, delay = e:fault(one.id, one.answer, nil, now)
    else gen, err, delay = e:answer(one.id, one.answer, one.headers, '{"data":{"total_cost":1}}', now) end
    log.counts[one.answer] = (log.counts[one.answer] or 0) + 1
    told[one.id] = delay and now + delay
    if not delay then log.ends[one.id], log.finished = gen and "settled" or err.kind, now end
  end

  while true do
    feed()
    for id, err in function() return e:ended(now) end do log.ends[id], log.finished = err.kind, now end
    feed()
    start()
    local at, next_answer = e:due(), nil
    for i, one in ipairs(wire) do
      if one.at < at then at, next_answer = one.at, i end
    end
    if at == math.huge then break end
    assert(at > now or next_answer or e:ended(now) == nil and e:next(now) == nil, "nothing is due that is not given")
    now = math.max(now, at)
    if next_answer then finish(table.remove(wire, next_answer)) end
  end
  assert(e:open() == 0 and fed == #ids, "nothing is left")
  return log
end

--- An answer function for run(): always this status.
function engine.status(id, status, headers)
  return function(e, now) return e:answer(id, status, headers, "", now) end
end

--- An answer function for run(): always this fault.
function engine.fault(id, kind)
  return function(e, now) return e:fault(id, kind, nil, now) end
end

-- ---- what the engine does, said another way ------------------------------------------------------------------------

local BURST, GROWTH, LONGEST_HOLD = 0.1, 0.3, 3600
local ONCE = { base = 0.5, factor = 2, cap = 30 } -- the pauses of a client that does not retry
local SLACK = 1e-9 -- tokens are not counted as the engine does it
local ACCEPTED = {} -- the server was there, and did not say that it was too much
for kind in ("settled auth payment forbidden not_found bad_request server bad_answer wrong_id too_large"):gmatch "%S+" do
  ACCEPTED[kind] = true
end

local Model = {}
Model.__index = Model

--- The engine as simple as can be: ids in a table that is searched from end to end, and a bucket of tokens. Only the jitter is
--- not foretold: a delay is taken from the engine, if it is one that may be. A pause that was told to nobody, as its id has no
--- other attempt, is between two bounds (`hold` and `hold_most`), until due() tells.
function engine.model(settings)
  local rules = {}
  for _, kind in ipairs(core.kinds) do rules[kind.name] = kind.retry end
  local full = settings.rate and math.max(1, settings.rate * BURST)
  return setmetatable({ settings = settings, rules = rules, ids = {}, open = 0, on_wire = 0, order = 0, stopped = false,
    limit = settings.concurrency, strikes = 0, starts = 0, slowed_at = 0, hold = -math.huge, hold_most = -math.huge,
    full = full, tokens = full, counted = -math.huge, -- so many tokens at the time `counted`
    submitted = 0, settled = 0, failed = 0, retried = 0, attempts = 0, kinds = {},
    late = 0 }, Model) -- answers of "not there" to ids that go on being asked for after their first minute
end

--- The waiting id with the least `by` ("due" or "deadline"); of several the one that has waited longest.
function Model:first(by)
  local best
  for _, entry in pairs(self.ids) do
    if not entry.wire and (not best or entry[by] < best[by] or (entry[by] == best[by] and entry.order < best.order)) then
      best = entry
    end
  end
  return best
end

function Model:waits(entry, due)
  self.order = self.order + 1
  entry.wire, entry.due, entry.order = false, due, self.order
end

function Model:leave(entry, how)
  if entry.wire then self.on_wire = self.on_wire - 1 end
  self.ids[entry.key] = nil
  self.open = self.open - 1
  self[how] = self[how] + 1
  if self.open == 0 then self.stopped = false end
end

function Model:submit(key, now, wait, deadline, first)
  local settings, entry = self.settings, self.ids[key]
  local wait_until, ends = now + (wait or settings.wait), now + (deadline or settings.deadline)
  if entry then
    entry.wait_until, entry.deadline = math.max(entry.wait_until, wait_until), math.max(entry.deadline, ends)
    return false
  end
  if self.open == settings.window then return "full" end
  entry = { key = key, submitted = now, wait_until = wait_until, deadline = ends, attempts = 0, brief = 0 }
  self.ids[key], self.open, self.submitted = entry, self.open + 1, self.submitted + 1
  self:waits(entry, now + (first or 0))
  return true
end

--- When the next request may start, at the least and at the most, if that is what the hold is.
function Model:next_start(hold, hold_most)
  local first = self:first "due"
  if self.stopped or not first or self.on_wire >= math.floor(self.limit) then return math.huge, math.huge end
  local least, most = math.max(first.due, hold), math.max(first.due, hold_most)
  if not self.full then return least, most end
  local ready = self.counted + (1 - self.tokens) / self.settings.rate
  return math.max(least, ready - SLACK), math.max(most, ready + SLACK)
end

--- Compare with next(), whether it gave something.
function Model:check_next(given, now)
  local least, most = self:next_start(self.hold, self.hold_most)
  if given then return assert(least <= now, "too early") end
  assert(most > now, "nothing, though it was due")
end

--- Compare with due(), and learn from it how long the hold lasts. What is past is now.
function Model:check_due(due, now)
  local late = self:first "deadline"
  if not late then return assert(due == math.huge, "nothing waits") end
  if self.stopped then return assert(due == -math.huge, "what waits is given back") end
  if due == -math.huge then
    assert(self.hold_most >= late.deadline, "nothing to give back")
    self.hold = math.max(self.hold, late.deadline)
    return
  end
  assert(self.hold < late.deadline, "held too long")
  self.hold_most = math.min(self.hold_most, late.deadline)
  local least, most = self:next_start(self.hold, self.hold_most)
  least, most = math.min(least, late.deadline), math.min(most, late.deadline)
  assert(math.max(due, now) >= math.max(least, now) and math.max(due, now) <= math.max(most, now), "when it is due")
  if due >= late.deadline or self.hold == self.hold_most then return end
  local _, without = self:next_start(-math.huge, -math.huge)
  self.hold_most = math.min(self.hold_most, due)
  if due > without then self.hold = due end -- so it is the hold that ends then
end

function Model:start(now)
  local entry = self:first "due"
  entry.wire, entry.started, entry.start, entry.attempts = true, now, self.starts, entry.attempts + 1
  self.on_wire, self.starts = self.on_wire + 1, self.starts + 1
  if self.full then
    self.tokens, self.counted = math.min(self.full, self.tokens + (now - self.counted) * self.settings.rate) - 1, now
  end
  return entry
end

--- What ended() says: the entry, its kind.
function Model:ended(now)
  local entry = self:first(self.stopped and "due" or "deadline")
  if not entry then return nil end
  if self.stopped then return entry, "unresolved" end
  local held = self.hold >= entry.deadline
  if held or entry.deadline <= now then return entry, entry.kind or (held and "rate_limited" or "timeout") end
end

--- The least and the most that a delay may be, but for Retry-After, and when the next attempt starts at the latest; nil: there
--- is no next one.
function Model:delays(entry, kind, failures)
  local retry, rule = self.settings.retry, self.rules[kind]
  if not retry or (entry.key:find "^feedback" and kind ~= "rate_limited") then return nil end
  if rule == "briefly" and entry.brief >= 3 or rule == "later" or rule == "never" or rule == "stop" then return nil end
  local latest = entry.deadline - math.min(1, (entry.deadline - entry.submitted) / 8)
  local least, most = 0, math.min(retry.cap, retry.base * retry.factor ^ (failures - 1))
  if rule == "wait" then
    latest = math.min(latest, entry.wait_until)
    least, most = 0.2, 0.2 + math.min(8, 0.4 * 1.6 ^ (failures - 1))
  end
  return least, most, latest
end

--- Where a record is missing for more than a minute: from 7/8 of a quarter of the time up to now to all of it, unless that
--- is more than an hour.
local function or_later(least, most, waited)
  if waited < 64 then return least, most end
  local quarter = math.min(waited, 4 * 3600) / 4
  return math.max(least, quarter - quarter / 8), math.max(most, quarter)
end

--- With what the server asks for.
local function at_least(retry_after, least, most)
  if not retry_after then return least, most end
  return retry_after + least / 4, retry_after + most / 4
end

--- Whether the engine may say so: this delay, or nil, after that failure.
function Model:may_delay(entry, kind, failures, retry_after, delay, now)
  local least, most, latest = self:delays(entry, kind, failures)
  if not least or now >= latest then return delay == nil end
  least, most = at_least(retry_after, least, most)
  if self.rules[kind] == "wait" then
    least, most = or_later(least, most, now - entry.submitted)
    least, most = math.min(least, latest - now), math.min(most, latest - now)
  end
  if not delay then return now + most > latest end
  return delay >= least - 1e-9 and delay <= most + 1e-9 and now + delay <= latest + 1e-6
end

--- Everybody waits, whatever becomes of the id that was refused.
function Model:refuse(failures, retry_after, delay, now)
  local retry = self.settings.retry or ONCE
  local least, most = at_least(retry_after, 0, math.min(retry.cap, retry.base * retry.factor ^ (failures - 1)))
  if delay then least, most = delay, delay end
  self.hold = math.max(self.hold, now + math.min(LONGEST_HOLD, least))
  self.hold_most = math.max(self.hold_most, now + math.min(LONGEST_HOLD, most))
end

--- An answer or a fault; `delay` is what the engine made of it.
function Model:answer(entry, kind, retry_after, delay, now)
  self.attempts, self.kinds[kind] = self.attempts + 1, (self.kinds[kind] or 0) + 1
  entry.kind = kind
  if self.rules[kind] == "stop" then self.stopped = true end
  if kind == "rate_limited" and entry.start >= self.slowed_at then
    self.slowed_at, self.strikes, self.limit = self.starts, self.strikes + 1, math.max(1, self.limit / 2)
  elseif ACCEPTED[kind] then
    self.strikes, self.limit = 0, math.min(self.settings.concurrency, self.limit + GROWTH / self.limit)
  end
  if kind == "settled" then return self:leave(entry, "settled") end
  local failures = entry.attempts
  if self.rules[kind] == "briefly" then
    entry.brief = entry.brief + 1
    failures = entry.brief
  elseif kind == "rate_limited" then
    failures = math.max(failures, self.strikes)
  end
  assert(self:may_delay(entry, kind, failures, retry_after, delay, now), "a delay that may be")
  if kind == "rate_limited" then self:refuse(failures, retry_after, delay, now) end
  if not delay then return self:leave(entry, "failed") end
  if kind == "not_found" and now - entry.submitted >= 64 then self.late = self.late + 1 end
  self.on_wire, self.retried = self.on_wire - 1, self.retried + 1
  self:waits(entry, kind == "rate_limited" and entry.due or now + delay) -- who was refused keeps the place: all wait
end

return engine

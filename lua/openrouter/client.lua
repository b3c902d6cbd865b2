--- The client: pairs the engine (which decides) with libcurl (which moves bytes). All times are in seconds.
local core = require "openrouter.core"
local curl = require "openrouter.curl"
local errors = require "openrouter.errors"
local keys = require "openrouter.keys"
local option = require "openrouter.options"

---@class openrouter.Client
local Client = {}
Client.__index = Client

-- ---- queues of results: get, each and poll have their own, so that none sees another's ------------------------------

local WIDTH = 4 -- id, gen, err and context of a result, one after the other: a table for each would cost more than all the rest

-- waiting: results that are still to come
local function new_queue()
  return { first = 1, last = 0, waiting = 0 }
end

local function is_empty(queue)
  return queue.first > queue.last
end

local NONE = {} -- stands for a context of nil, since storing nil would give the place in a table away

-- All or nothing, should memory run out.
local function push(queue, id, gen, err, context)
  local last = queue.last
  queue[last + 1], queue[last + 2], queue[last + 3], queue[last + 4] = id, gen or false, err or false, context
  queue.last = last + WIDTH
end

-- id, gen, err, context; nil when the queue is empty
local function pop(queue)
  local first = queue.first
  if first > queue.last then return nil end
  local id, gen, err, context = queue[first], queue[first + 1], queue[first + 2], queue[first + 3]
  queue[first], queue[first + 1], queue[first + 2], queue[first + 3] = nil, nil, nil, nil
  if first + WIDTH > queue.last then
    queue.first, queue.last = 1, 0 -- so that the table does not wander through memory
  else
    queue.first = first + WIDTH
  end
  if context == NONE then context = nil end
  return id, gen or nil, err or nil, context
end

-- client -> what takes the key out of errors; no member of the client, so that a dump of it does not show the key
local concealers = setmetatable({}, { __mode = "k" })

-- ---- making one -----------------------------------------------------------------------------------------------------

-- Where a key came from: a program may have got it from a variable itself.
local function key_source(key)
  for _, name in ipairs { "OPENROUTER_API_KEY", "OPENROUTER_MANAGEMENT_KEY" } do
    if keys.read(os.getenv(name)) == key then return name end
  end
  return "the option 'api_key'"
end

-- A text that C would take for another one: true, or nil and an error.
local function check_no_nul(o)
  for _, name in ipairs { "base_url", "proxy" } do
    if (o[name] or ""):find("\0", 1, true) then
      return nil, errors.new("bad_request", ("the option '%s' has a NUL byte in it"):format(name))
    end
  end
  return true
end

local function new_engine(o)
  local now, unix_time = core.now(), core.unix_time()
  return core.engine {
    window = o.window,
    concurrency = o.concurrency,
    rate = o.rate,
    timeout = o.timeout,
    deadline = o.deadline,
    wait = o.wait,
    retry = o.retry,
    epoch = unix_time - now,
    seed = math.floor(unix_time * 1e6) % 2 ^ 52,
  }
end

local function new_transport(o, key)
  return curl.transport {
    base_url = o.base_url,
    api_key = key,
    ca_file = o.ca_file,
    proxy = o.proxy,
    insecure = o.insecure,
    http2 = o.http_version == "2",
    connect_timeout = o.connect_timeout,
    max_body = o.max_body,
    slots = o.concurrency,
  }
end

--- A new client. Raises for unknown options and wrong types.
---@param options? openrouter.ClientOptions
---@return openrouter.Client?
---@return openrouter.Error? err without a key, or with what is none (kind "no_key"), with a bad base URL or proxy ("bad_request")
function Client.new(options)
  local o = option.client(options)
  local key, flaw = keys.read(o.api_key)
  if not key then return nil, errors.new("no_key", "no API key: set OPENROUTER_API_KEY, or give the client an api_key") end
  if flaw then return nil, errors.new("no_key", ("the key in %s %s"):format(key_source(key), flaw)) end
  local fine, err = check_no_nul(o)
  if not fine then return nil, err end
  if o.ca_file then option.path("client: option 'ca_file'", o.ca_file, 2) end
  local engine = new_engine(o)
  local transport, why = new_transport(o, key)
  if not transport then return nil, errors.new("bad_request", why) end
  local secrets = option.secrets(key, o.proxy)
  o.api_key, o.proxy = nil, nil -- a dump of the client has no secret in it
  local client = setmetatable({
    transport = transport,
    engine = engine,
    options = o,
    -- what is open, by the engine's slots
    size = 0, -- of the next five
    keys = {}, -- as the engine knows it: see lua_lookup.h
    ids = {},
    queues = {}, -- whose result it is, or false
    contexts = {},
    bodies = {}, -- what to POST, or false
    more = {}, -- who else wants it: { given = how many have it already, { queue =, context = }, … }
    over = { slot = false, gen = false, err = false }, -- ended, and not handed over yet
    accepted = 0, -- of all ids; the same id given twice counts twice
    changes = 0, -- how often an id was handed over or given up: who has found nothing and is about to wait looks again
    abandoned = {}, -- queues of loops that were left: see guard()
    results = new_queue(), -- what poll() gives out
    connections = 0,
    event_errors = 0,
  }, Client)
  concealers[client] = option.concealer(secrets)
  return client
end

-- ---- moving bytes ---------------------------------------------------------------------------------------------------

-- Memory may run out wherever a function is called or a table grows, and then an error is raised. So that no result gets lost
-- by that, it is in client.over from the moment the engine has forgotten its id until every queue has it; what is counted
-- here is counted without calls.
--
-- And wherever a function is called or a table made, a finalizer may run that calls this very client, and comes back with all
-- it has begun done. So what belongs together is done without either; what was found out before is looked at again behind it.
local function hand_over(client)
  local over = client.over
  local slot, gen, err = over.slot, over.gen, over.err
  if not slot then return end
  if err then
    errors.explain(err)
    concealers[client](err)
    if over.err ~= err then return hand_over(client) end -- a finalizer has handed it over
  end
  local id, queue, more = client.ids[slot], client.queues[slot], client.more[slot]
  if queue then
    local last = queue.last -- as push() does, without a call
    queue[last + 1], queue[last + 2], queue[last + 3], queue[last + 4] = id, gen, err, client.contexts[slot]
    queue.last, client.queues[slot], client.contexts[slot], client.bodies[slot], client.accepted, queue.waiting =
      last + WIDTH, false, NONE, false, client.accepted - 1, queue.waiting - 1 -- at one go, for Ctrl-C may come between two lines
  end
  while more and more.given < #more do
    local other = more[more.given + 1]
    queue = other.queue
    local last = queue.last
    queue[last + 1], queue[last + 2], queue[last + 3], queue[last + 4] = id, gen, err, other.context
    queue.last, more.given, client.accepted, queue.waiting =
      last + WIDTH, more.given + 1, client.accepted - 1, queue.waiting - 1
  end
  if more then client.more[slot] = nil end
  client.keys[slot] = false
  client.changes = client.changes + 1
  over.slot, over.gen, over.err = false, false, false
end

-- In a coroutine of its own: neither an error nor a yield of the caller's function can get between us and the transfers.
local function notify(client, event)
  local run = coroutine.create(client.options.on_event)
  local ok, why = coroutine.resume(run, event)
  if ok and coroutine.status(run) == "dead" then return end
  client.event_errors = client.event_errors + 1
  client.event_error = ok and "on_event must not yield" or type(why) == "string" and why or "a " .. type(why)
  -- Ctrl-C, as LuaJIT's command tells it
  if client.event_error:find ":%d+: interrupted!$" or why == "interrupted!" then error(why, 0) end
end

-- Pick up what has come. on_event may do anything: call the client, close it.
local function collect(client)
  local over = client.over
  while not client.closed do
    hand_over(client)
    local slot, status, reused, gen, err, delay, attempt, seconds = client.transport:receive(client.engine)
    if not slot then return end
    if not delay then over.slot, over.gen, over.err = slot, gen or false, err or false end
    local id = client.ids[slot]
    if not reused then client.connections = client.connections + 1 end
    hand_over(client)
    if client.options.on_event then
      if err and delay then
        errors.explain(err)
        concealers[client](err)
      end
      notify(client, { id = id, attempt = attempt, kind = err and err.kind or "settled", status = status,
        seconds = seconds, delay = delay, reused = reused, err = err })
    end
  end
end

-- What gets no other attempt: after a 401 or 402, or after its deadline.
local function deliver_ended(client)
  local over = client.over
  while not client.closed do
    hand_over(client)
    local id, err, slot = client.engine:ended(core.now())
    if not id then return end
    over.slot, over.err = slot, err
  end
end

-- Take an id out of the engine and off the wire; false when it was not there.
local function withdraw(client, key)
  local over = client.over
  hand_over(client)
  local err, slot = client.transport:cancel(client.engine, key)
  if not err then return false end
  over.slot, over.err = slot, err
  hand_over(client)
  return true
end

-- Let a queue wait no longer for the result of a slot: true when it was waiting, and nobody else is. Makes no calls.
local function unsubscribe(client, slot, queue)
  local mine, more = client.queues[slot] == queue, client.more[slot]
  if mine then
    client.queues[slot], client.contexts[slot] = false, NONE
    client.accepted, queue.waiting = client.accepted - 1, queue.waiting - 1
  end
  for i = more and #more or 0, 1, -1 do
    if more[i].queue == queue then
      more[i] = more[#more]
      more[#more] = nil
      client.accepted, queue.waiting = client.accepted - 1, queue.waiting - 1
      mine = true
    end
  end
  if mine then client.changes = client.changes + 1 end
  return mine and not client.queues[slot] and not (more and #more > 0)
end

-- Withdraw the ids that nobody wants but loops that were left.
local function forget_abandoned(client)
  local abandoned = client.abandoned
  while #abandoned > 0 do
    local queue = abandoned[1] -- more may come to be garbage meanwhile, and stand behind it
    for slot = 1, queue.waiting > 0 and client.size or 0 do
      if unsubscribe(client, slot, queue) then withdraw(client, client.keys[slot]) end
    end
    if abandoned[1] == queue then
      abandoned[1] = abandoned[#abandoned]
      abandoned[#abandoned] = nil
    end
  end
end

-- Send what is due, then wait up to `seconds` for answers; not at all where client.changes is not `seen` any more.
local function pump(client, seconds, seen)
  if client.closed then return end
  if client.over.slot then hand_over(client) end -- left from a call that raised: now there is something to see to
  if #client.abandoned > 0 then forget_abandoned(client) end -- what this makes room for need not wait
  local open = client.engine:open()
  if client.closed then return end -- by a finalizer
  if client.changes ~= seen then
    seconds = 0
  elseif seconds == math.huge and open == 0 then
    -- Nothing will ever come. An error raised between two instructions of ours leaves this behind, as Ctrl-C may.
    error("a call to this client was broken off from outside, and a result of it is lost: use another client", 0)
  end
  local ended = client.transport:drive(client.engine, seconds, client.bodies)
  collect(client)
  if ended then deliver_ended(client) end
end

-- ---- ids in ---------------------------------------------------------------------------------------------------------

local function closed_error(id)
  return errors.new("closed", "the client is closed", { id = id })
end

local function has_room(client)
  forget_abandoned(client)
  return client.closed or client.accepted < client.options.window
end

-- `level` is the caller's whose caller gets the blame, as error() counts from here.
local function check_id(id, level)
  if type(id) ~= "string" then error("an id must be a string, not a " .. type(id), level + 1) end
end

-- `resource`: nil for records, "content", "activity"; "feedback" and "analytics", which have a body. Returns true, or nil and an
-- error.
local function add(client, queue, id, context, options, resource, body)
  if client.closed then return nil, closed_error(id) end
  hand_over(client) -- before its slot may be another id's
  if not has_room(client) then
    return nil, errors.new("full", "the window of unanswered ids is full: poll() first", { id = id })
  end
  local wait, deadline
  if options then
    wait, deadline = options.wait, options.deadline
    local usual = client.options
    if wait and not deadline then deadline = math.max(usual.deadline, wait + math.min(usual.timeout, usual.deadline)) end
  end
  local key, now = resource and resource .. " " .. id or id, core.now()
  if context == nil then context = NONE end
  if client.size <= client.accepted then -- room first: once the engine has the id, nothing must go wrong
    local n = client.size + 1
    client.keys[n], client.ids[n], client.queues[n], client.contexts[n], client.bodies[n] = false, false, false, NONE, false
    client.size = n
  end
  local new, slot = client.engine:submit(id, now, wait, deadline, resource)
  if new == nil then return nil, slot end
  if new then
    client.keys[slot], client.ids[slot], client.contexts[slot], client.bodies[slot] = key, id, context, body or false
    client.queues[slot] = queue
    if slot > client.size then client.size = slot end -- a finalizer has taken the room
  else
    local more, other = { given = 0 }, { queue = queue, context = context }
    if client.keys[slot] ~= key then return add(client, queue, id, context, options, resource, body) end -- answered meanwhile
    more = client.more[slot] or more
    more[#more + 1] = other
    client.more[slot] = more
  end
  client.accepted = client.accepted + 1
  queue.waiting = queue.waiting + 1
  if client.closed then client:close() end -- a finalizer has closed it before the id was there
  return true
end

-- As add(), but as soon as there is room.
local function add_waiting(client, ...)
  repeat
    local seen = client.changes
    if has_room(client) then
      local ok, err = add(client, ...)
      if ok or err.kind ~= "full" then return ok, err end -- else a finalizer has used the client
    end
    pump(client, math.huge, seen)
  until false
end

local function wait_for(client, id, options, resource, body)
  local queue = new_queue()
  local ok, err = add_waiting(client, queue, id, nil, options, resource, body)
  if not ok then return nil, err end
  repeat
    local seen = client.changes
    if not is_empty(queue) then break end
    pump(client, math.huge, seen)
  until false
  local _, gen, failure = pop(queue)
  return gen, failure
end

local GET_OPTIONS = { wait = "number", deadline = "number" }

--- Fetch one record, waiting for it.
---@param id string
---@param options? {wait: number?, deadline: number?} for this id alone
---@return openrouter.Generation?, openrouter.Error?
function Client:get(id, options)
  check_id(id, 2)
  return wait_for(self, id, option.check(options, GET_OPTIONS, "get", 2))
end

--- Fetch what was asked and answered, where the account keeps it (input and output logging is on, no zero data retention).
--- The result reads like a record: `content.input`, `content.output`, `content.error`.
---@param id string
---@param options? {wait: number?, deadline: number?}
---@return openrouter.Generation? content
---@return openrouter.Error? err kind "forbidden" where only management keys may, "not_found" where it is not kept
function Client:content(id, options)
  check_id(id, 2)
  return wait_for(self, id, option.check(options, GET_OPTIONS, "content", 2), "content")
end

local function is_open(client, key)
  for slot = 1, client.size do
    if client.keys[slot] == key and client.queues[slot] then return true end
  end
  return false
end

local FEEDBACK = { generation_id = "string", category = "string", comment = "string" }

--- Tell OpenRouter what was wrong with a generation. It is sent once, and again only after a 429, since nobody knows what
--- else the server has taken; `err.retryable` says whether it makes sense to try again.
---@param feedback {generation_id: string, category: string, comment: string?} category: latency, incoherence,
--- incorrect_response, formatting, billing, api_error or other; comment: 1000 characters at most
---@return true?, openrouter.Error? kind "forbidden" without a management key, "bad_request"
function Client:feedback(feedback)
  feedback = option.check(feedback, FEEDBACK, "feedback", 2)
  local id, category, comment = feedback.generation_id, feedback.category, feedback.comment
  if not (id and category) then error("feedback: generation_id and category are needed", 2) end
  repeat
    local seen = self.changes
    local open = is_open(self, "feedback " .. id)
    if open then pump(self, math.huge, seen) end
  until not open
  local body = ('{"generation_id":%s,"category":%s%s}'):format(core.quote(id), core.quote(category),
    comment and ',"comment":' .. core.quote(comment) or "")
  local answer, err = wait_for(self, id, nil, "feedback", body)
  return answer and true, err
end

local AT_ONCE = { wait = 0 } -- a 404 does not mean "not written yet"

--- What the account used on a UTC day, by model and provider: the answer of GET /activity, whose `data` is a list. See
--- openrouter.witness, which reads it.
---@param day string "2026-11-01", one of the last 30 that are over
---@param key_hash? string of one API key, as GET /keys has it: what that key used
---@return openrouter.Generation? answer
---@return openrouter.Error? err kind "forbidden" without a management key; its `id` is the day
function Client:activity(day, key_hash)
  option.argument("activity", "the day", day, "string", 2)
  if not day:find "^%d%d%d%d%-%d%d%-%d%d$" or not core.parse_time(day .. "T00:00:00Z") then
    error(("activity: the day must be a date such as 2026-11-01, not '%s'"):format(errors.printable(day)), 2)
  end
  if key_hash ~= nil then
    option.argument("activity", "the hash of the key", key_hash, "string", 2)
    if key_hash == "" then error("activity: the hash of the key must not be empty", 2) end
  end
  return wait_for(self, key_hash and day .. ":" .. key_hash or day, AT_ONCE, "activity")
end

--- Ask POST /analytics/query. Asking changes nothing, so it is asked again as records are.
---@param query string JSON
---@return openrouter.Generation? answer with the members `data`, a list, and `metadata`
---@return openrouter.Error? err kind "forbidden" without a management key
function Client:analytics(query)
  if type(query) ~= "string" then error("analytics: the query must be JSON text, not a " .. type(query), 2) end
  self.queries = (self.queries or 0) + 1
  return wait_for(self, ("query-%d"):format(self.queries), AT_ONCE, "analytics", query)
end

-- A function that gives id, context: from an array, or an iterator as generic `for` takes it.
local function source_of(ids, state, control)
  local meta = type(ids) == "table" and getmetatable(ids)
  if type(ids) == "function" or type(meta) == "table" and meta.__call then
    return function()
      local context
      control, context = ids(state, control)
      return control, context
    end
  end
  if type(ids) ~= "table" then error("ids must be an array or an iterator, not a " .. type(ids), 3) end
  option.list("each", "ids", ids, 3)
  local i = 0
  return function()
    i = i + 1
    return ids[i]
  end
end

-- A value that calls `left` when the loop it guards is left: at once where the language tells (5.4), else, as for a coroutine
-- that nobody resumes, when it is garbage. Then anything may be under way, so `left` only makes a note.
local function guard(left)
  if rawget(_G, "newproxy") then
    local proxy = newproxy(true) -- luacheck: ignore 113
    getmetatable(proxy).__gc = left
    return proxy
  end
  return setmetatable({}, { __gc = left, __close = left })
end

-- What to say about the ids that are not asked for after this error; nil: they are.
local function why_stopped(err)
  if not err then return nil end
  if err.kind == "unresolved" then return err.message end
  if errors.stops[err.kind] then return "not asked, because of: " .. err.message end
end

--- Fetch many: `for id, gen, err, context in client:each(ids)`. Results come as they complete, one for
--- each id given.
--- After an error of kind auth or payment (errors.stops) the rest comes back as "unresolved", without being asked.
---@param ids string[]|fun(): string?, any an array of ids without gaps, or an iterator of id [, context], which may be endless
---@param state? any of a three-part iterator
---@param control? any
---@return fun(): string?, openrouter.Generation?, openrouter.Error?, any
function Client:each(ids, state, control)
  local source = source_of(ids, state, control)
  local queue, exhausted, stopped = new_queue(), false, nil

  local held, held_context -- taken from the source, and in nobody's hands yet
  local function feed()
    if held == nil then held, held_context = source() end
    if held == nil then
      exhausted = true
      return
    end
    local id = held
    if type(id) ~= "string" then held = nil end
    check_id(id, 3)
    if stopped then
      push(queue, id, nil, errors.new("unresolved", stopped, { id = id }), held_context)
    else
      local ok, err = add(self, queue, id, held_context)
      if not ok and err.kind == "full" then return end -- the source itself has used the client, or a finalizer
      if not ok then push(queue, id, nil, err, held_context) end
    end
    held = nil
  end

  local left = guard(function() self.abandoned[#self.abandoned + 1] = queue end)
  return function()
    while is_empty(queue) do
      local seen = self.changes
      local hungry = self.closed or self.engine:hungry(core.now())
      for _ = 1, hungry and self.options.concurrency or 0 do -- not a whole window at once: a slow source must hold up no request
        if exhausted or not has_room(self) or not is_empty(queue) then break end
        feed()
      end
      if not is_empty(queue) then break end
      if exhausted and queue.waiting == 0 then
        left = nil -- it has nothing to guard any more
        return nil
      end
      pump(self, hungry and not exhausted and has_room(self) and 0 or math.huge, seen)
    end
    local err = queue[queue.first + 2]
    if err then stopped = stopped or why_stopped(err) end
    return pop(queue)
  end, nil, nil, left
end

--- Hand over an id whose result poll() will give.
---@param id string
---@param context? any comes back with the result
---@return true?, openrouter.Error? nil and kind "full" when the window is full, "bad_id", "closed"
function Client:submit(id, context)
  check_id(id, 2)
  if not self.closed then self.transport:check() end
  return add(self, self.results, id, context)
end

--- Results of submitted ids: `for id, gen, err, context in client:poll(seconds)` waits up to `seconds` for the first one
--- (0 or less: not at all) and gives all that are there.
---@param seconds? number default: until there is one
---@return fun(): string?, openrouter.Generation?, openrouter.Error?, any
function Client:poll(seconds)
  if seconds == nil then seconds = math.huge end
  if type(seconds) ~= "number" or seconds ~= seconds then error("poll: the time must be a number of seconds", 2) end
  local queue, give_up = self.results, core.now() + seconds
  repeat
    local seen, left = self.changes, give_up - core.now()
    local waiting = is_empty(queue) and queue.waiting > 0
    pump(self, waiting and math.max(0, left) or 0, seen)
  until not is_empty(queue) or queue.waiting == 0 or left <= 0
  return function() return pop(queue) end
end

--- Give up an id: whoever wants its record gets an error of kind "cancelled".
---@param id string
---@return boolean whether it was open
function Client:cancel(id)
  check_id(id, 2)
  if self.closed or not core.id_valid(id) then return false end
  return withdraw(self, id)
end

-- ---- other event loops ----------------------------------------------------------------------------------------------

--- A descriptor that is readable when poll(0) has work to do; it stays the same until close(). Wait for it, but no longer than
--- timeout() says, which changes with every call to the client.
---@return integer? fd nil where there is no epoll, and after close()
function Client:fd()
  return not self.closed and self.transport:fd() or nil
end

--- Seconds after which poll(0) has work to do whatever fd() says.
---@return number? seconds nil: it has none
function Client:timeout()
  if not self.closed then self.transport:check() end
  if not is_empty(self.results) then return 0 end
  if self.closed then return nil end
  local due = math.min(self.engine:due() - core.now(), self.transport:timeout() or math.huge)
  return due < math.huge and math.max(0, due) or nil
end

-- ---- figures --------------------------------------------------------------------------------------------------------

---@class openrouter.Stats
---@field attempts integer requests that ended
---@field settled integer ids with a record
---@field failed integer ids with an error
---@field retried integer attempts after which there was another one
---@field open integer ids handed over and without a result
---@field on_wire integer of these, asked for and not answered
---@field limit integer most requests on the wire for now: `concurrency`, or less after a 429
---@field kinds table<string, integer> attempts by what they led to: "settled", or a kind of error
---@field latency openrouter.Latency seconds that attempts took
---@field connections integer made
---@field event_errors integer errors of on_event
---@field event_error? string the last of them

---@class openrouter.Latency one { from, to, count } for each power of two there are values in
---@field count integer
---@field p50? number within 1/128; the others likewise
---@field p90? number
---@field p95? number
---@field p99? number

--- What happened since the client was made.
---@return openrouter.Stats
function Client:stats()
  local stats = self.engine:stats()
  stats.connections, stats.event_errors, stats.event_error = self.connections, self.event_errors, self.event_error
  return stats
end

--- Give up what is under way (such ids end as "closed") and free everything. The client cannot be used afterwards.
function Client:close()
  if self.closed and self.accepted == 0 then return end
  self.closed = true
  self.transport:close()
  hand_over(self)
  for slot = 1, self.size do
    local key = self.keys[slot]
    if key and (self.queues[slot] or self.more[slot]) then
      local err = closed_error(self.ids[slot])
      self.engine:cancel(key, core.now())
      self.over.slot, self.over.err = slot, err
      hand_over(self)
    end
  end
end

return Client

--- The client: pairs the engine (which decides) with libcurl (which moves bytes). All times are in seconds.
local core = require "openrouter.core"
local curl = require "openrouter.curl"
local errors = require "openrouter.errors"
local nearest = require "openrouter.nearest"

---@class openrouter.ClientOptions
---@field api_key? string default $OPENROUTER_API_KEY
---@field base_url? string default $OPENROUTER_BASE_URL, else https://openrouter.ai/api/v1; http:// only to loopback
---@field concurrency? integer requests on the wire, 16
---@field window? integer ids accepted and unanswered, 1024
---@field connect_timeout? number 5
---@field timeout? number for one attempt, 30
---@field deadline? number for one id over everything, 120
---@field wait? number how long a 404 means "not written yet", 10 (0 for ids more than an hour old)
---@field retry? false|{base: number?, factor: number?, cap: number?} backoff { 0.5, 2, 30 }; false: one attempt
---@field max_body? integer bytes of an answer, 1 MiB
---@field ca_file? string certificates to trust instead of the system's
---@field on_retry? fun(err: openrouter.Error, delay: number) called when an id will be asked again after `delay` seconds

---@class openrouter.Client
local Client = {}
Client.__index = Client

local DEFAULTS = {
  base_url = "https://openrouter.ai/api/v1",
  concurrency = 16,
  window = 1024,
  connect_timeout = 5,
  timeout = 30,
  deadline = 120,
  wait = 10,
  max_body = 1024 * 1024,
}
local RETRY = { base = 0.5, factor = 2, cap = 30 }
local TYPES = { api_key = "string", ca_file = "string", retry = "table", on_retry = "function" }
for name, value in pairs(DEFAULTS) do TYPES[name] = type(value) end

-- ---- queues of results: get, each and poll have their own, so that none sees another's ------------------------------

-- waiting: results that are still to come
local function new_queue()
  return { first = 1, last = 0, waiting = 0 }
end

local function push(queue, item)
  queue.last = queue.last + 1
  queue[queue.last] = item
end

local function pop(queue)
  if queue.first > queue.last then return nil end
  local item = queue[queue.first]
  queue[queue.first] = nil
  queue.first = queue.first + 1
  return item
end

-- ---- options --------------------------------------------------------------------------------------------------------

local function unknown_option(name, types)
  local names = {}
  for known in pairs(types) do names[#names + 1] = known end
  table.sort(names)
  local near = nearest(tostring(name), names)
  return ("unknown option '%s'%s"):format(tostring(name), near and ("; did you mean '%s'?"):format(near) or "")
end

-- `level` is the caller's whose caller gets the blame, as error() counts from here.
local function check_options(options, types, what, level)
  if type(options) ~= "table" then error(what .. ": options must be a table, not a " .. type(options), level + 1) end
  for name, value in pairs(options) do
    local wanted = types[name]
    if not wanted then error(what .. ": " .. unknown_option(name, types), level + 1) end
    if type(value) ~= wanted and not (name == "retry" and value == false) then
      error(("%s: option '%s' must be a %s, not a %s"):format(what, name, wanted, type(value)), level + 1)
    end
    if wanted == "number" and not (value >= 0 and value < math.huge) then
      error(("%s: option '%s' must not be negative or infinite"):format(what, name), level + 1)
    end
  end
end

local SHORTEST_SECRET = 8 -- bytes; to look for less would tear other words apart

-- A function that takes the key out of an error: servers may repeat what they were sent.
local function concealer(key)
  if #key < SHORTEST_SECRET then return function() end end
  local pattern = key:gsub("%W", "%%%0")
  local function conceal(value)
    if type(value) == "string" then return (value:gsub(pattern, "(the key)")) end
    if type(value) == "table" then
      for name, member in pairs(value) do value[name] = conceal(member) end
    end
    return value
  end
  return conceal
end

local function with_defaults(options)
  local o = { api_key = os.getenv "OPENROUTER_API_KEY" }
  for name, value in pairs(DEFAULTS) do o[name] = value end
  local base_url = os.getenv "OPENROUTER_BASE_URL"
  if base_url and base_url ~= "" then o.base_url = base_url end
  for name, value in pairs(options) do o[name] = value end
  if o.retry ~= false then
    check_options(o.retry or {}, { base = "number", factor = "number", cap = "number" }, "client: retry", 3)
    o.retry = setmetatable({}, { __index = RETRY })
    for name, value in pairs(options.retry or {}) do o.retry[name] = value end
    o.retry = { base = o.retry.base, factor = o.retry.factor, cap = o.retry.cap }
  end
  return o
end

--- A new client. Raises for unknown options and wrong types.
---@param options? openrouter.ClientOptions
---@return openrouter.Client?, openrouter.Error? without a key (kind "no_key") or with a bad base URL ("bad_request")
function Client.new(options)
  options = options or {}
  check_options(options, TYPES, "client", 2)
  local o = with_defaults(options)
  local key = (o.api_key or ""):match "^%s*(.-)%s*$"
  if key == "" then
    return nil, errors.new("no_key", "no API key: set OPENROUTER_API_KEY, or give the client an api_key")
  end
  o.concurrency = math.max(1, math.floor(math.min(o.concurrency, o.window)))
  o.window = math.max(1, math.floor(o.window))
  local now, unix_time = core.now(), core.unix_time()
  local engine = core.engine {
    window = o.window,
    concurrency = o.concurrency,
    timeout = o.timeout,
    deadline = o.deadline,
    wait = o.wait,
    retry = o.retry,
    epoch = unix_time - now,
    seed = math.floor(unix_time * 1e6) % 2 ^ 52,
  }
  local transport, why = curl.transport {
    base_url = o.base_url,
    api_key = key,
    user_agent = "lua-openrouter",
    ca_file = o.ca_file,
    connect_timeout = o.connect_timeout,
    max_body = o.max_body,
    slots = o.concurrency,
  }
  if not transport then return nil, errors.new(why:find "^the key" and "no_key" or "bad_request", why) end
  o.api_key = nil -- a dump of the client has no key in it
  return setmetatable({
    transport = transport,
    engine = engine,
    options = o,
    conceal = concealer(key),
    on_wire = {}, -- slot -> id
    waiters = {}, -- id -> who wants it: { { queue, context }, … }
    accepted = 0, -- of all ids; the same id given twice counts twice
    results = new_queue(), -- what poll() gives out
  }, Client)
end

-- ---- moving bytes ---------------------------------------------------------------------------------------------------

local function deliver(client, id, gen, err)
  local waiters = client.waiters[id]
  client.waiters[id] = nil
  for _, waiter in ipairs(waiters or {}) do
    client.accepted = client.accepted - 1
    waiter.queue.waiting = waiter.queue.waiting - 1
    push(waiter.queue, { id = id, gen = gen, err = err, context = waiter.context })
  end
end

local function conclude(client, id, gen, err, delay)
  if err then client.conceal(err) end
  if not delay then return deliver(client, id, gen, err) end
  local on_retry = client.options.on_retry
  if on_retry then on_retry(err, delay) end
end

local function start_due(client)
  local engine, transport = client.engine, client.transport
  local now = core.now()
  while not client.closed do
    local id, target, timeout = engine:next(now)
    if not id then return end
    local slot = transport:start(target, timeout)
    if slot then
      client.on_wire[slot] = id
    else
      conclude(client, id, engine:fault(id, "network", "libcurl has no memory for the request", now))
    end
  end
end

-- on_retry may do anything: call the client, close it, raise.
local function collect(client)
  local engine, transport = client.engine, client.transport
  while not client.closed do
    local slot, status, headers, body = transport:finished()
    if not slot then break end
    local id = client.on_wire[slot]
    client.on_wire[slot] = nil
    if status then
      conclude(client, id, engine:answer(id, status, headers, body, core.now()))
    else
      conclude(client, id, engine:fault(id, headers, body, core.now())) -- kind and message
    end
  end
end

-- After a 401 or 402: what will not be asked any more. True when there was anything.
local function deliver_unresolved(client)
  local any = false
  while not client.closed do
    local id, err = client.engine:unresolved(core.now())
    if not id then break end
    deliver(client, id, nil, err)
    any = true
  end
  return any
end

-- Send what is due, then wait up to `seconds` for answers.
local function pump(client, seconds)
  if not client.closed then start_due(client) end
  -- before the wait too: an error raised by on_retry may have cut the last round short
  if client.closed or deliver_unresolved(client) then return end
  local due = client.engine:due() - core.now()
  client.transport:wait(math.max(0, math.min(seconds, due)))
  collect(client)
  deliver_unresolved(client)
end

-- ---- ids in ---------------------------------------------------------------------------------------------------------

local function closed_error(id)
  return errors.new("closed", "the client is closed", { id = id })
end

local function has_room(client)
  return client.closed or client.accepted < client.options.window
end

-- `level` is the caller's whose caller gets the blame, as error() counts from here.
local function check_id(id, level)
  if type(id) ~= "string" then error("an id must be a string, not a " .. type(id), level + 1) end
end

-- true, or nil and an error
local function add(client, queue, id, context, options)
  if client.closed then return nil, closed_error(id) end
  if not has_room(client) then
    return nil, errors.new("full", "the window of unanswered ids is full: poll() first", { id = id })
  end
  options = options or {}
  local wait, deadline = options.wait, options.deadline
  if wait and not deadline then deadline = math.max(client.options.deadline, wait + client.options.timeout) end
  local accepted, err = client.engine:submit(id, core.now(), wait, deadline)
  if accepted == nil then return nil, err end
  local waiters = client.waiters[id] or {}
  client.waiters[id] = waiters
  waiters[#waiters + 1] = { queue = queue, context = context }
  client.accepted = client.accepted + 1
  queue.waiting = queue.waiting + 1
  return true
end

--- Fetch one record, waiting for it.
---@param id string
---@param options? {wait: number?, deadline: number?} for this id alone
---@return openrouter.Generation?, openrouter.Error?
function Client:get(id, options)
  check_id(id, 2)
  check_options(options or {}, { wait = "number", deadline = "number" }, "get", 2)
  while not has_room(self) do pump(self, math.huge) end
  local queue = new_queue()
  local ok, err = add(self, queue, id, nil, options)
  if not ok then return nil, err end
  while true do
    local item = pop(queue)
    if item then return item.gen, item.err end
    pump(self, math.huge)
  end
end

-- A function that gives id, context: from an array, or an iterator as generic `for` takes it.
local function source_of(ids, state, control)
  if type(ids) == "function" then
    return function()
      local context
      control, context = ids(state, control)
      return control, context
    end
  end
  if type(ids) ~= "table" then error("ids must be an array or an iterator, not a " .. type(ids), 3) end
  local i = 0
  return function()
    i = i + 1
    return ids[i]
  end
end

-- What to say about the ids that are not asked for after this error; nil: they are.
local function why_stopped(err)
  if not err then return nil end
  if err.kind == "unresolved" then return err.message end
  if err.kind == "auth" or err.kind == "payment" then return "not asked, because of: " .. err.message end
end

--- Fetch many: `for id, gen, err, context in client:each(ids)`. Results come as they complete, one for
--- each id given.
--- After an error of kind auth or payment the rest comes back as "unresolved", without being asked.
---@param ids string[]|fun(): string?, any an array of ids, or an iterator of id [, context]; it may be endless
---@param state? any of a three-part iterator
---@param control? any
---@return fun(): string?, openrouter.Generation?, openrouter.Error?, any
function Client:each(ids, state, control)
  local source = source_of(ids, state, control)
  local queue, exhausted, stopped = new_queue(), false, nil

  local function feed()
    local id, context = source()
    if id == nil then
      exhausted = true
      return
    end
    check_id(id, 3)
    local ok, err
    if stopped then
      err = errors.new("unresolved", stopped, { id = id })
    else
      ok, err = add(self, queue, id, context)
    end
    if not ok then push(queue, { id = id, err = err, context = context }) end
  end

  return function()
    while true do
      for _ = 1, self.options.concurrency do -- not a whole window at once: a slow source must hold up no request
        if exhausted or not has_room(self) or queue.first <= queue.last then break end
        feed()
      end
      local item = pop(queue)
      if item then
        stopped = stopped or why_stopped(item.err)
        return item.id, item.gen, item.err, item.context
      end
      if exhausted and queue.waiting == 0 then return nil end
      pump(self, not exhausted and has_room(self) and 0 or math.huge)
    end
  end
end

--- Hand over an id whose result poll() will give.
---@param id string
---@param context? any comes back with the result
---@return true?, openrouter.Error? nil and kind "full" when the window is full, "bad_id", "closed"
function Client:submit(id, context)
  check_id(id, 2)
  return add(self, self.results, id, context)
end

--- Results of submitted ids: `for id, gen, err, context in client:poll(seconds)` waits up to `seconds` for the first one
--- (0: not at all) and gives all that are there.
---@param seconds? number default: until there is one
---@return fun(): string?, openrouter.Generation?, openrouter.Error?, any
function Client:poll(seconds)
  seconds = seconds or math.huge
  if type(seconds) ~= "number" or seconds ~= seconds then error("poll: the time must be a number of seconds", 2) end
  local queue, give_up = self.results, core.now() + seconds
  repeat
    local left = give_up - core.now()
    local waiting = queue.first > queue.last and queue.waiting > 0
    pump(self, waiting and math.max(0, left) or 0)
  until queue.first <= queue.last or queue.waiting == 0 or left <= 0
  return function()
    local item = pop(queue)
    if item then return item.id, item.gen, item.err, item.context end
  end
end

--- Give up what is under way (such ids end as "closed") and free everything. The client cannot be used afterwards.
function Client:close()
  if self.closed then return end
  self.closed = true
  self.transport:close()
  for id in pairs(self.waiters) do deliver(self, id, nil, closed_error(id)) end
end

return Client

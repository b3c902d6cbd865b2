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

-- ---- options --------------------------------------------------------------------------------------------------------

local function check_options(options, types, what, level)
  for name, value in pairs(options) do
    local wanted = types[name]
    if not wanted then
      local near = nearest(tostring(name), types)
      error(("%s: unknown option '%s'%s"):format(what, tostring(name), near and ("; did you mean '%s'?"):format(near) or ""),
        level + 1)
    end
    if type(value) ~= wanted and not (name == "retry" and value == false) then
      error(("%s: option '%s' must be a %s, not a %s"):format(what, name, wanted, type(value)), level + 1)
    end
    if wanted == "number" and not (value >= 0 and value < math.huge) then
      error(("%s: option '%s' must not be negative or infinite"):format(what, name), level + 1)
    end
  end
end

local function with_defaults(options)
  local o = { api_key = os.getenv "OPENROUTER_API_KEY" }
  for name, value in pairs(DEFAULTS) do o[name] = value end
  local base_url = os.getenv "OPENROUTER_BASE_URL"
  if base_url and base_url ~= "" then o.base_url = base_url end
  for name, value in pairs(options) do o[name] = value end
  if o.retry ~= false then
    check_options(o.retry or {}, { base = "number", factor = "number", cap = "number" }, "client: retry", 4)
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
  if type(options) ~= "table" then error("client: options must be a table, not a " .. type(options), 3) end
  check_options(options, TYPES, "client", 3)
  local o = with_defaults(options)
  local key = (o.api_key or ""):match "^%s*(.-)%s*$"
  if key == "" then
    return nil, errors.new("no_key", "no API key: set OPENROUTER_API_KEY, or give the client an api_key")
  end
  o.concurrency = math.max(1, math.floor(math.min(o.concurrency, o.window)))
  o.window = math.max(1, math.floor(o.window))
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
  return setmetatable({
    transport = transport,
    engine = engine,
    options = o,
    on_wire = {}, -- slot -> id
    waiters = {}, -- id -> who wants it: { { queue, context }, … }
    results = { first = 1, last = 0 }, -- what poll() gives out
  }, Client)
end

-- ---- queues of results: get, each and poll have their own, so that none sees another's ------------------------------

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

local function deliver(client, id, gen, err)
  local waiters = client.waiters[id]
  client.waiters[id] = nil
  for _, waiter in ipairs(waiters or {}) do
    push(waiter.queue, { id = id, gen = gen, err = err, context = waiter.context })
  end
end

-- ---- moving bytes ---------------------------------------------------------------------------------------------------

local function conclude(client, id, gen, err, delay)
  if not delay then return deliver(client, id, gen, err) end
  local on_retry = client.options.on_retry
  if on_retry then on_retry(err, delay) end
end

local function start_due(client)
  local engine, transport = client.engine, client.transport
  local now = core.now()
  while true do
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

local function collect(client)
  local engine, transport = client.engine, client.transport
  while true do
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
  while true do
    local id, err = engine:unresolved(core.now())
    if not id then return end
    deliver(client, id, nil, err)
  end
end

-- Send what is due, then wait up to `seconds` for answers.
local function pump(client, seconds)
  start_due(client)
  local due = client.engine:due() - core.now()
  client.transport:wait(math.max(0, math.min(seconds, due)))
  collect(client)
end

-- ---- ids in ---------------------------------------------------------------------------------------------------------

local function closed_error(id)
  return errors.new("closed", "the client is closed", { id = id })
end

-- true, or nil and an error
local function add(client, queue, id, context, options)
  if type(id) ~= "string" then error("an id must be a string, not a " .. type(id), 4) end
  if client.closed then return nil, closed_error(id) end
  options = options or {}
  local wait, deadline = options.wait, options.deadline
  if wait and not deadline then deadline = math.max(client.options.deadline, wait) end
  local accepted, err = client.engine:submit(id, core.now(), wait, deadline)
  if accepted == nil then return nil, err end
  local waiters = client.waiters[id] or {}
  client.waiters[id] = waiters
  waiters[#waiters + 1] = { queue = queue, context = context }
  return true
end

local function has_room(client)
  return client.closed or client.engine:open() < client.options.window
end

--- Fetch one record, waiting for it.
---@param id string
---@param options? {wait: number?, deadline: number?} for this id alone
---@return openrouter.Generation?, openrouter.Error?
function Client:get(id, options)
  check_options(options or {}, { wait = "number", deadline = "number" }, "get", 2)
  while not has_room(self) do pump(self, math.huge) end
  local queue = { first = 1, last = 0 }
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

--- Fetch many: `for id, gen, err, context in client:each(ids)`. Results come as they complete, each id given once.
--- After an error of kind auth or payment the rest comes back as "unresolved", without being asked.
---@param ids string[]|fun(): string?, any an array of ids, or an iterator of id [, context]; it may be endless
---@param state? any of a three-part iterator
---@param control? any
---@return fun(): string?, openrouter.Generation?, openrouter.Error?, any
function Client:each(ids, state, control)
  local source = source_of(ids, state, control)
  local queue, outstanding, exhausted, stopped = { first = 1, last = 0 }, 0, false, nil

  local function feed()
    local id, context = source()
    if id == nil then
      exhausted = true
      return
    end
    outstanding = outstanding + 1
    local ok, err
    if stopped then
      err = errors.new("unresolved", "not asked, because of: " .. stopped.message, { id = id })
    else
      ok, err = add(self, queue, id, context)
    end
    if not ok then push(queue, { id = id, err = err, context = context }) end
  end

  return function()
    while true do
      while not exhausted and has_room(self) and queue.first > queue.last do
        feed()
      end
      local item = pop(queue)
      if item then
        outstanding = outstanding - 1
        if item.err and (item.err.kind == "auth" or item.err.kind == "payment") then stopped = item.err end
        return item.id, item.gen, item.err, item.context
      end
      if exhausted and outstanding == 0 then return nil end
      pump(self, math.huge)
    end
  end
end

--- Hand over an id whose result poll() will give.
---@param id string
---@param context? any comes back with the result
---@return true?, openrouter.Error? nil and kind "full" when the window is full, "bad_id", "closed"
function Client:submit(id, context)
  return add(self, self.results, id, context)
end

--- Results of submitted ids: `for id, gen, err, context in client:poll(seconds)` waits up to `seconds` for the first one
--- (0: not at all) and gives all that are there.
---@param seconds? number default: until there is one
---@return fun(): string?, openrouter.Generation?, openrouter.Error?, any
function Client:poll(seconds)
  local give_up = core.now() + (seconds or math.huge)
  if not self.closed then
    repeat
      local left = give_up - core.now()
      local waiting = self.results.first > self.results.last and self.engine:open() > 0
      pump(self, waiting and math.max(0, left) or 0)
    until self.results.first <= self.results.last or self.engine:open() == 0 or left <= 0
  end
  return function()
    local item = pop(self.results)
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

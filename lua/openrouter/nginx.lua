-- luacheck: std ngx_lua
--- What each request through OpenRouter cost, logged inside nginx and OpenResty. README.md has the configuration.
---
--- capture() and scan() see the generation id pass by and write it ahead to this worker's segment on disk; log() adds what
--- was known at the end. Timers fetch the records over cosockets and write them to DIR/ledger.jsonl: nginx/settle.lua.
--- Nothing here throws into a request, yields in one, or changes a byte of it.
local chunk = require "openrouter.nginx.chunk"
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local journal = require "openrouter.nginx.journal"
local ledger = require "openrouter.nginx.ledger"
local metrics = require "openrouter.nginx.metrics"
local options = require "openrouter.nginx.options"
local settle = require "openrouter.nginx.settle"
local sweep = require "openrouter.nginx.sweep"

local nginx = {}

local sub, find = string.sub, string.find

---@type openrouter.Worker?
local worker -- what start() made; nil before
local start_raised = false

-- ---- the error log --------------------------------------------------------------------------------------------------

local REPEAT = 60 -- seconds until the same topic is told again
local told = {}

-- One line for each topic a minute, however often it happens.
local function log(level, topic, message)
  local now = core.now()
  if told[topic] and now - told[topic] < REPEAT then return end
  told[topic] = now
  ngx.log(level, "openrouter: ", errors.printable(message))
end

-- ---- starting -------------------------------------------------------------------------------------------------------

local function note_missing(o, dict)
  if o.origin.prefix == "" then
    log(ngx.WARN, "base_url", "the base URL has no path; the API's ends in /api/v1, and elsewhere every id is a 404")
  end
  if not dict then
    log(ngx.ERR, "dict", ("the shared dictionary is missing: add `lua_shared_dict %s 1m;` to the http block; metrics() has "
      .. "nothing without it"):format(o.dict))
  end
  if o.key_trouble then
    log(ngx.ERR, "key", o.key_trouble .. "; ids are kept on disk until there is one that can be sent")
  elseif not next(o.keys) and not o.request_keys then
    log(ngx.ERR, "key", "there is no API key: add `env OPENROUTER_API_KEY;` to the main block (nginx clears its environment), "
      .. "and start nginx with this variable, or give start() the option `keys`; ids are kept on disk until there is one")
  end
end

---@class openrouter.Worker
---@field options table what start() was given, complete
---@field metrics openrouter.Metrics
---@field journal openrouter.Journal
---@field ledger openrouter.NginxLedger
---@field settle openrouter.Settle
---@field streaming table<string, table> id -> request, see new_request: seen, and its request is not over
---@field free userdata[] scanners to use again
---@field free_count integer
---@field log fun(level: integer, topic: string, message: string) one line for each topic a minute

local function new_worker(o, dict)
  local counts = metrics.new(dict)
  local made = {
    options = o,
    metrics = counts,
    journal = journal.new(o.dir, function(why)
      counts:add "journal_errors_total"
      log(ngx.ALERT, "journal", ("%s; the proxy goes on, and ids are kept in memory until it can be written"):format(why))
    end),
    ledger = ledger.new(o.dir .. "/ledger.jsonl"),
    streaming = {}, free = {}, free_count = 0,
    log = log,
  }
  made.settle = settle.new(o, made.journal, made.ledger, made.metrics, log)
  local ok, why = made.journal:open()
  if not ok then
    log(ngx.ALERT, "journal", ("%s; ids are in memory only until it can be written: install -d -o USER -m 0700 %s, "
      .. "where USER is the workers' (`user` in nginx.conf)"):format(why, o.dir))
  end
  return made
end

--- Start in this worker, from init_worker_by_lua.
---@param given openrouter.NginxOptions
---@return true?, string? why not
function nginx.start(given)
  local phase = ngx.get_phase()
  if phase ~= "init_worker" then
    local why = ("start() belongs into init_worker_by_lua_block, this is %s: nothing is logged"):format(phase)
    log(ngx.ERR, "phase", why)
    return nil, why
  end
  if worker then
    local why = "start() has run in this worker before; what it is given now counts for nothing"
    log(ngx.ERR, "phase", why)
    return nil, why
  end
  if not ngx.worker.id() then return nil, "a process that serves no requests has nothing to log" end
  start_raised = true -- unless it gets to its end
  local o = options.read(given)
  local dict = ngx.shared[o.dict]
  if dict then dict:set("started " .. ngx.worker.pid(), true) end
  note_missing(o, dict)
  worker = new_worker(o, dict)
  sweep.start(worker)
  worker.settle:start_consumers()
  start_raised = false
  return true
end

-- Once for each worker; where the code cache is off, each request has a state of its own that knows of nothing.
local function not_started()
  if told.start then return end
  told.start = core.now()
  local pid = ngx.worker.pid()
  for _, dict in pairs(ngx.shared) do
    if dict:get("started " .. pid) then
      if dict:add("warned " .. pid, true) then ngx.log(ngx.WARN, "openrouter: nothing is logged while lua_code_cache is off") end
      return
    end
  end
  ngx.log(ngx.WARN, "openrouter: ", start_raised
    and "nothing is logged: start() failed, and this log says why where the worker started"
    or "nothing is logged: add start() to init_worker_by_lua_block")
end

-- ---- in a request ---------------------------------------------------------------------------------------------------

-- Variables that log_format may use. They exist where the configuration declares them, and can be set where it uses them.
local unsettable = {}

local function assign(name, value)
  ngx.var[name] = value
end

local function set_variable(name, value)
  if unsettable[name] then return end
  if not pcall(assign, name, value) then unsettable[name] = true end
end

local function complain(problem)
  log(ngx.ERR, "context", problem .. "; it is left out")
end

local function checked(context)
  if context == nginx then return complain "context: call capture and log with a dot, not with a colon" end
  if context == nil or type(context) == "table" then return context end
  complain("context: it must be a table, not a " .. type(context))
end

-- The name of the key that the request's account has, and the key itself where it came with the request.
local function key_of(name)
  if type(name) == "function" then
    name = name()
    if name ~= nil and type(name) ~= "string" then error("it must return a name, not a " .. type(name), 0) end
  end
  if name ~= "request" then return name end
  local key = (ngx.var.http_authorization or ""):match "^[Bb]earer +([!-~]+) *$"
  return name, key and #key <= 512 and key or nil
end

-- An id is seen: onto the disk with it, before anything else happens.
local function take(request, id)
  local w = worker
  set_variable("openrouter_id", id)
  if w.streaming[id] then return end -- a response from a cache comes with the id it had
  local ok, name, key = true, w.options.key, nil
  if not w.options.keys[name] then ok, name, key = pcall(key_of, name) end
  if not ok then
    log(ngx.ERR, "key function", "the function `key` failed: " .. tostring(name) .. "; the key 'default' is taken")
    name, key = nil, nil
  end
  local problem = w.journal:pending(id, request, name, request.context)
  if problem then complain(problem) end
  request.id, request.key_name, request.key, request.since = id, name or "default", key, ngx.now()
  w.streaming[id] = request
  w.metrics:add "captured_total"
end

local function header_id()
  local id = ngx.header["X-Generation-Id"]
  if type(id) == "table" then id = id[1] end
  if id == nil then id = ngx.var.upstream_http_x_generation_id end -- proxy_hide_header hides it from the client alone
  return type(id) == "string" and sub(id, 1, 4) == "gen-" and core.id_valid(id) and id or nil
end

-- Whether the body may have an id or a usage that can be read.
local function is_scannable(id)
  local type_of = ngx.header["Content-Type"]
  if type(type_of) ~= "string" then return false end
  if not (find(type_of, "json", 1, true) or find(type_of, "event-stream", 1, true)) then return false end
  if ngx.header["Content-Encoding"] then
    log(ngx.WARN, "gzip", ("the upstream compresses, so that the cost%s cannot be read from its answers: add "
      .. "`proxy_set_header Accept-Encoding \"\";`"):format(id and "" or " and the id"))
    return false
  end
  return true
end

local function scanner_of(w)
  local count = w.free_count
  if count == 0 then return core.scanner() end
  local scanner = w.free[count]
  w.free[count], w.free_count = nil, count - 1
  scanner:reset()
  return scanner
end

local MAX_FREE = 1000

local function release(request)
  local w, scanner = worker, request.scanner
  request.scanner = false
  if scanner and w.free_count < MAX_FREE then
    w.free_count = w.free_count + 1
    w.free[w.free_count] = scanner
  end
end

-- With all members it will ever have: a table that grows by one at a time is made anew four times on the way.
local function new_request(context, scanner)
  return { context = context, scanner = scanner, id = false, key_name = false, key = false, since = 0, source = false,
    pending = -1, note = -1, scanned = false, whole = false, logged = false, ended = false, interrupted = false }
end

local FROM_CACHE = { HIT = true, STALE = true, UPDATING = true, REVALIDATED = true }

local function capture(context)
  local ctx = ngx.ctx
  if ctx.openrouter then return end
  if FROM_CACHE[ngx.var.upstream_cache_status] then return end -- paid for when it was made
  local id = header_id()
  local scannable = is_scannable(id)
  if not id and not scannable then return end
  local request = new_request(checked(context), scannable and scanner_of(worker))
  ctx.openrouter = request
  if id then take(request, id) end
end

local log_request

local function scan()
  local request = ngx.ctx.openrouter
  if not request then return end
  if ngx.arg[2] then request.whole = true end
  request.scanned = true
  local scanner = request.scanner
  if scanner then
    chunk.feed(scanner)
    local id = not request.id and scanner:id()
    if id then take(request, id) end
  end
  if request.whole and ngx.is_subrequest then log_request() end -- it has no log phase
end

function log_request(context)
  local w, request = worker, ngx.ctx.openrouter
  if not request then return end
  local scanner = request.scanner
  local cost = scanner and scanner:cost()
  if cost then set_variable("openrouter_cost", cost) end
  if request.id and not request.logged then
    request.interrupted = request.scanned and not request.whole or ngx.status == 499
    request.ended = core.unix_time()
    local _, problem = pcall(w.journal.note, w.journal, request.id, request, request.interrupted, checked(context),
      scanner or nil)
    sweep.hand_over(w, request) -- whatever happens
    if problem then complain(tostring(problem)) end
  end
  if scanner then release(request) end
end

-- What goes wrong here is for the error log, and never for the request.
local function guarded(body)
  return function(argument)
    if not worker then return not_started() end
    local ok, why = pcall(body, argument)
    if not ok then log(ngx.ERR, "bug", "this is a bug, please report it: " .. tostring(why)) end
  end
end

--- In header_filter_by_lua: take the generation id from the response's headers, and remember the context for it.
---@type fun(context?: table<string, string|boolean|number>)
nginx.capture = guarded(capture)

--- In body_filter_by_lua: take the id from the body where no header has it, and the cost from `usage`.
---@type fun()
nginx.scan = guarded(scan)

--- In log_by_lua: add what was known at the end, and have the record fetched.
---@type fun(context?: table<string, string|boolean|number>)
nginx.log = guarded(log_request)

-- ---- figures --------------------------------------------------------------------------------------------------------

--- Figures of this worker since it started.
---@return table<string, number>
function nginx.stats()
  if not worker then return {} end
  return sweep.stats(worker)
end

--- Figures of all workers, in Prometheus' text format.
---@return string
function nginx.metrics()
  if not worker then
    not_started()
    return ""
  end
  return worker.metrics:render()
end

return nginx

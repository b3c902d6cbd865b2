--- Options of the client: their types, limits and defaults. An unknown name is answered with the nearest one. Options of other
--- functions are checked in the same way, and so are arguments.
local errors = require "openrouter.errors"
local nearest = require "openrouter.nearest"

---@class openrouter.ClientOptions
---@field api_key? string default $OPENROUTER_API_KEY
---@field base_url? string default $OPENROUTER_BASE_URL, else https://openrouter.ai/api/v1; http:// only to loopback and to
--- unix sockets, as in http://unix:/run/api.sock:/api/v1
---@field concurrency? integer requests on the wire, 16
---@field window? integer ids accepted and unanswered, 1024
---@field rate? number requests per second, at most; default: no limit but the server's
---@field connect_timeout? number 5
---@field timeout? number for one attempt, 30
---@field deadline? number for one id over everything, 120
---@field wait? number how long a 404 means "not written yet", 10 (0 for ids more than an hour old)
---@field retry? false|{base: number?, factor: number?, cap: number?} backoff { 0.5, 2, 30 }; false: one attempt
---@field max_body? integer bytes of an answer, unpacked, 1 MiB
---@field http_version? "1.1"|"2" "2" (where an https server has it, else 1.1)
---@field proxy? string URL of a proxy, "" for none; default: that of the environment, unless the base URL is on this machine
---@field ca_file? string certificates to trust instead of the system's
---@field insecure? boolean allow http:// to any host, where everybody on the way can read the key
---@field on_event? fun(event: openrouter.Event) called after every attempt; what it raises is counted in stats()

---@class openrouter.Event an attempt that is over
---@field id string
---@field attempt integer 1 for the first
---@field kind string "settled", or the kind of error
---@field status? integer HTTP status; nil when there was no complete answer
---@field seconds number that it took
---@field delay? number seconds until the next attempt; nil: there is none
---@field reused boolean over a connection that was there before
---@field err? openrouter.Error

local options = {}

local BASE_URL = "https://openrouter.ai/api/v1"

local DEFAULTS = {
  base_url = BASE_URL,
  concurrency = 16,
  window = 1024,
  connect_timeout = 5,
  timeout = 30,
  deadline = 120,
  wait = 10,
  max_body = 1024 * 1024,
  http_version = "2",
}
local RETRY = { base = 0.5, factor = 2, cap = 30 }
local TYPES = { api_key = "string", ca_file = "string", proxy = "string", insecure = "boolean", rate = "number",
  retry = "table", on_event = "function" }
for name, value in pairs(DEFAULTS) do TYPES[name] = type(value) end

-- Numbers, from and to; times are in seconds. What is not here may be anything from 0.
local LIMITS = { concurrency = { 1, 10000 }, consumers = { 1, 200 }, window = { 1, 1e6 }, rate = { 1e-6, 1e12 },
  max_body = { 0, 32 * 1024 * 1024 }, factor = { 1, 1e6 }, threads = { 1, 64 }, width = { 1, 1e6 } }
local WHOLE = { threads = true, width = true, concurrency = true, consumers = true, window = true, max_body = true }
local LONGEST_TIME = 1e12

--- The options given, in a table that has no others by way of a metatable; nil and what is wrong.
---@param given? table
---@param known table<string, any> those there are
---@return table?
---@return string? message
function options.read(given, known)
  if given ~= nil and type(given) ~= "table" then return nil, "options must be a table, not a " .. type(given) end
  local plain = {}
  for name, value in pairs(given or {}) do
    if known[name] == nil then
      local names = {}
      for one in pairs(known) do names[#names + 1] = one end
      table.sort(names)
      local near = nearest(tostring(name), names)
      return nil, ("unknown option '%s'%s"):format(errors.printable(name), near and ("; did you mean '%s'?"):format(near) or "")
    end
    plain[name] = value
  end
  return plain
end

local function check_number(name, value, what, level)
  if not (value >= 0 and value < math.huge) then
    error(("%s: option '%s' must not be negative or infinite"):format(what, name), level + 1)
  end
  local least, most = 0, LONGEST_TIME
  if LIMITS[name] then least, most = LIMITS[name][1], LIMITS[name][2] end
  if value < least or value > most then
    error(("%s: option '%s' must be from %.9g to %.9g"):format(what, name, least, most), level + 1)
  end
  if WHOLE[name] and value % 1 ~= 0 then
    error(("%s: option '%s' must be a whole number"):format(what, name), level + 1)
  end
end

--- What formats for people take (openrouter.TextOptions).
options.LOOK = { width = "number", color = "boolean" }

--- Where the API is when nobody says: $OPENROUTER_BASE_URL, else OpenRouter.
---@return string
function options.base_url()
  local base_url = os.getenv "OPENROUTER_BASE_URL"
  return base_url and base_url ~= "" and base_url or BASE_URL
end

--- The options given, as `read` has them. Raises unless they are known and of their type. `level` is the caller's whose caller
--- gets the blame, as error() counts.
---@param given? table
---@param types table<string, string>
---@param what string who wants them
---@param level integer
---@return table
function options.check(given, types, what, level)
  local plain, problem = options.read(given, types)
  if not plain then error(what .. ": " .. problem, level + 1) end
  for name, value in pairs(plain) do
    local wanted = types[name]
    if type(value) ~= wanted and not (name == "retry" and value == false) then
      error(("%s: option '%s' must be a %s, not a %s"):format(what, name, wanted, type(value)), level + 1)
    end
    if wanted == "number" then check_number(name, value, what, level + 1) end
  end
  return plain
end

-- ---- arguments: of these and the options, `level` means the same ----------------------------------------------------

--- Raise unless an argument is of its type: "ids_in: text must be a string, not a nil".
---@param who string the function
---@param name string the argument
---@param value any
---@param wanted string
---@param level integer
function options.argument(who, name, value, wanted, level)
  if type(value) ~= wanted then error(("%s: %s must be a %s, not a %s"):format(who, name, wanted, type(value)), level + 1) end
end

--- Raise unless it is a record.
---@param who string
---@param gen any
---@param level integer
function options.record(who, gen, level)
  if type(gen) ~= "userdata" or getmetatable(gen) ~= false then -- which records alone have
    error(("%s: a generation record expected, got a %s"):format(who, io.type(gen) or type(gen)), level + 1)
  end
end

--- Raise unless it is a path.
---@param who string
---@param path any
---@param level integer
function options.path(who, path, level)
  options.argument(who, "path", path, "string", level + 1)
  if path:find("\0", 1, true) then
    error(("%s: a path must not have a NUL byte in it: %s"):format(who, errors.printable(path)), level + 1)
  end
end

--- A key of a table that makes it no list, as text; nil where there is none.
---@param list table
---@return string?
function options.stray_key(list)
  local last = 0
  for i in ipairs(list) do last = i end
  for key in pairs(list) do
    if type(key) ~= "number" or key < 1 or key > last or key % 1 ~= 0 then return errors.printable(key) end
  end
end

--- Raise unless it is a list without gaps.
---@param who string
---@param name string
---@param list any
---@param level integer
function options.list(who, name, list, level)
  if type(list) ~= "table" then error(("%s: %s must be a list, not a %s"):format(who, name, type(list)), level + 1) end
  local stray = options.stray_key(list)
  if stray then error(("%s: %s must be a list without gaps, and has '%s'"):format(who, name, stray), level + 1) end
end

--- Raise unless it is a list of paths.
---@param who string
---@param paths any
---@param level integer
function options.paths(who, paths, level)
  options.list(who, "paths", paths, level + 1)
  for _, path in ipairs(paths) do options.path(who, path, level + 1) end
end

local function retry_options(given)
  if given == false then return false end
  local retry = options.check(given, { base = "number", factor = "number", cap = "number" }, "client: retry", 4)
  for name, value in pairs(RETRY) do retry[name] = retry[name] or value end
  return retry
end

--- A client's options, complete. Raises for what is unknown or of a wrong type, in the name of its caller's caller.
---@param given? table
---@return table
function options.client(given)
  given = options.check(given, TYPES, "client", 3)
  if given.http_version and given.http_version ~= "1.1" and given.http_version ~= "2" then
    error("client: option 'http_version' must be '1.1' or '2'", 3)
  end
  local o = { api_key = os.getenv "OPENROUTER_API_KEY" }
  for name, value in pairs(DEFAULTS) do o[name] = value end
  o.base_url = options.base_url()
  for name, value in pairs(given) do o[name] = value end
  o.retry = retry_options(given.retry)
  o.window = math.floor(o.window)
  o.concurrency = math.floor(math.min(o.concurrency, o.window))
  return o
end

local PROXIES = { "https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY" }

--- The key, and the logins of proxies, with their passwords alone.
---@param key string
---@param proxy? string
---@return string[]
function options.secrets(key, proxy)
  local secrets, urls = { key }, { proxy }
  for _, name in ipairs(PROXIES) do urls[#urls + 1] = os.getenv(name) end
  for _, url in ipairs(urls) do
    local login = url:gsub("^%a[%w+.-]*://", ""):match "^([^/]*)@" or ""
    secrets[#secrets + 1], secrets[#secrets + 2] = login, login:match ":(.*)" or ""
  end
  return secrets
end

local SHORTEST_SECRET = 8 -- bytes; to look for less would tear other words apart

--- A function that takes secrets out of any value: servers may repeat what they were sent.
---@param secrets string[]
---@return fun(value: any): any
function options.concealer(secrets)
  local patterns = {}
  for _, secret in ipairs(secrets) do
    if #secret >= SHORTEST_SECRET then patterns[#patterns + 1] = secret:gsub("%W", "%%%0") end
  end
  local function conceal(value)
    if type(value) == "string" then
      for _, pattern in ipairs(patterns) do value = value:gsub(pattern, "(the key)") end
    elseif type(value) == "table" then
      local names = {}
      for name in pairs(value) do names[#names + 1] = name end
      for _, name in ipairs(names) do
        local shown, member = conceal(name), conceal(value[name])
        if shown ~= name then value[name] = nil end
        value[shown] = member
      end
    end
    return value
  end
  return conceal
end

return options

-- luacheck: std ngx_lua
--- Options of openrouter.nginx's start(): their types and defaults.
local read_key = require("openrouter.keys").read
local options = require "openrouter.options"
local origin = require "openrouter.nginx.origin"

---@class openrouter.NginxOptions
---@field dir string a directory that the workers may write to, for ledger.jsonl and pending/
---@field api_key? string default $OPENROUTER_API_KEY, which nginx hides unless told `env OPENROUTER_API_KEY;`; the key "default"
---@field keys? table<string, string> name -> key. Names are on disk, keys are not
---@field key? string|fun(): string? the name of the key to use, or a function that tells it for the request it is called in;
--- "request": the bearer token that the request itself came with
---@field base_url? string default $OPENROUTER_BASE_URL, else https://openrouter.ai/api/v1
---@field consumers? integer requests for records at a time, for each worker: 8
---@field window? integer ids in memory for each worker, 10000; more wait on disk
---@field rate? number requests for records per second and key, at most
---@field timeout? number seconds for one attempt, 10
---@field connect_timeout? number 5
---@field first? number seconds from the end of a request to the first attempt, 0.8
---@field drain? number seconds a worker that leaves goes on settling, 10
---@field max_body? integer bytes of an answer, 1 MiB
---@field dict? string the shared dictionary's name, "openrouter"
---@field insecure? boolean allow http:// to any host

local nginx_options = {}

local DEFAULTS = {
  consumers = 8, window = 10000, timeout = 10, connect_timeout = 5, first = 0.8, drain = 10, max_body = 1024 * 1024,
  dict = "openrouter",
}
local TYPES = { dir = "string", api_key = "string", base_url = "string", keys = "table", rate = "number", insecure = "boolean" }
for name, value in pairs(DEFAULTS) do TYPES[name] = type(value) end

local function check_key(name, key)
  if type(name) ~= "string" or not name:find "^[%w_-]+$" or #name > 64 or name == "request" then
    error(("start: keys: '%s' is no name for a key: letters, digits, _ and - (and not \"request\")"):format(tostring(name)), 4)
  end
  if type(key) ~= "string" then error(("start: keys: %s must be a string, not a %s"):format(name, type(key)), 4) end
  local read, flaw = read_key(key)
  if not read then flaw = "is empty" end
  if flaw then error(("start: the key '%s' of the option 'keys' %s"):format(name, flaw), 4) end
  return read
end

-- The keys, and what is wrong with the one in the environment, which is no reason to log nothing: ids wait on disk for a key.
local function read_keys(given)
  local keys, trouble = {}, nil
  local key, flaw = read_key(given.api_key or os.getenv "OPENROUTER_API_KEY")
  if flaw and given.api_key then error("start: the key in the option 'api_key' " .. flaw, 4) end
  if flaw then
    trouble = "the key in OPENROUTER_API_KEY " .. flaw
  else
    keys.default = key
  end
  for name, of_name in pairs(given.keys or {}) do keys[name] = check_key(name, of_name) end
  return keys, trouble
end

--- Read what start() was given. Raises for what is unknown or of a wrong type, in the name of its caller's caller.
---@param given openrouter.NginxOptions
---@return table
function nginx_options.read(given)
  local key, plain = nil, {}
  for name, value in pairs(type(given) == "table" and given or {}) do
    if name == "key" then key = value else plain[name] = value end
  end
  if key ~= nil and type(key) ~= "string" and type(key) ~= "function" then
    error("start: option 'key' must be a name or a function, not a " .. type(key), 3)
  end
  given = options.check(type(given) == "table" and plain or given, TYPES, "start", 3)
  if not given.dir or given.dir:sub(1, 1) ~= "/" then
    error("start: option 'dir' must be the absolute path of a directory that the workers may write to", 3)
  end
  local o = { base_url = options.base_url() }
  for name, value in pairs(DEFAULTS) do o[name] = value end
  for name, value in pairs(given) do o[name] = value end
  o.dir = given.dir:gsub("(.)/+$", "%1")
  o.consumers, o.window, o.max_body = math.floor(o.consumers), math.floor(o.window), math.floor(o.max_body)
  o.keys, o.key_trouble = read_keys(given)
  o.key = key or "default"
  o.api_key = nil
  o.request_keys = o.key == "request" or type(key) == "function"
  if type(key) == "string" and key ~= "request" and key ~= "default" and not o.keys[key] then
    error(("start: option 'key' is '%s', and 'keys' has no such name"):format(key), 3)
  end
  local where, why = origin.parse(o.base_url, o.insecure)
  if not where then error("start: " .. why, 3) end
  o.origin = where
  return o
end

return nginx_options

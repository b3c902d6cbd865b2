--- Where the key may go, for cosockets: a base URL, taken apart and judged. openrouter.curl has the same rules in curl_origin.c.
local origin = {}

local function is_loopback(host)
  return host == "localhost" or host == "[::1]" or host:find "^127%.%d+%.%d+%.%d+$" ~= nil
end

local DEFAULT_PORT = { https = 443, http = 80 }

local function path_of(text)
  if text ~= "" and text:sub(1, 1) ~= "/" then return nil end
  return (text:gsub("/+$", ""))
end

-- http://unix:/run/api.sock:/api/v1
local function unix_origin(rest)
  local socket, path = rest:match "^(/[^:]*):?(.*)$"
  path = socket and path_of(path)
  if not path then return nil, "the base URL of a unix socket looks like http://unix:/run/api.sock:/api/v1" end
  return { connect = "unix:" .. socket, tls = false, host = "localhost", prefix = path }
end

---@class openrouter.Origin
---@field connect string what to connect to: a host, or unix:PATH
---@field port? integer
---@field tls boolean
---@field host string for the Host header
---@field name? string the name in the certificate
---@field prefix string the path of the base URL, without a slash at its end

--- Take a base URL apart.
---@param url string https://…, or http:// to a loopback address or a unix socket
---@param insecure? boolean allow http:// to any host
---@return openrouter.Origin?, string? why not
function origin.parse(url, insecure)
  if url:find "[%c%s]" or not url:find "^%a+://" then
    return nil, "the base URL is not a URL such as https://openrouter.ai/api/v1"
  end
  if url:find "[?#]" then return nil, "the base URL must not have a query or fragment" end
  local scheme, authority, rest = url:match "^(%a+)://([^/]*)(.*)$"
  scheme = scheme:lower()
  if not DEFAULT_PORT[scheme] then return nil, "the base URL must be https://" end
  if scheme == "http" and authority == "unix:" then return unix_origin(rest) end
  if authority:find "@" then return nil, "the base URL must not have a user name or password in it" end
  local host, port = authority:match "^(%[[%x:.]+%]):?(%d*)$"
  if not host then host, port = authority:match "^([%w.-]+):?(%d*)$" end
  if not host then return nil, "the base URL has no host" end
  host = host:lower()
  if scheme == "http" and not insecure and not is_loopback(host) then
    return nil, "plain http:// would show the key to the network; it is for loopback addresses only, use https://"
  end
  if scheme == "https" and (host:find "^%[" or host:find "^%d+%.%d+%.%d+%.%d+$") then
    return nil, "nginx compares certificates with names, not with addresses: the base URL needs a host name"
  end
  local number = port == "" and DEFAULT_PORT[scheme] or tonumber(port)
  if number < 1 or number > 65535 then return nil, "the base URL has no such port" end
  return {
    connect = host == "localhost" and "127.0.0.1" or host, -- nginx's resolver does not know it
    port = number,
    tls = scheme == "https",
    host = number == DEFAULT_PORT[scheme] and host or host .. ":" .. number,
    name = host,
    prefix = path_of(rest),
  }
end

return origin

--- Where the key may go, for cosockets: a base URL, taken apart and judged. Nothing is taken here that openrouter.curl would
--- not take: curl_origin.c, with libcurl to read URLs, knows more spellings of the same places.
local origin = {}

local PREFIX_MAX_LENGTH = 512 -- bytes
local SOCKET_MAX_LENGTH = 107 -- what fits into a sockaddr_un

-- An address, not a name that a resolver might know better: of 127.999.1.1, nginx asks one.
local function is_loopback(host)
  if host == "localhost" or host == "[::1]" then return true end
  if not host:find "^127%.%d+%.%d+%.%d+$" then return false end
  for octet in host:gmatch "%d+" do
    if tonumber(octet) > 255 or octet:find "^0%d" then return false end
  end
  return true
end

local DEFAULT_PORT = { https = 443, http = 80 }

local function path_of(text)
  if text:find "[%c%s]" or text ~= "" and text:sub(1, 1) ~= "/" then return nil end
  return (text:gsub("/+$", ""))
end

local UNIX = "http://unix:"

-- http://unix:/run/api.sock:/api/v1
local function unix_origin(rest)
  local socket, path = rest:match "^(/[^:%c]*):?(.*)$"
  path = socket and path_of(path)
  if not path or #socket > SOCKET_MAX_LENGTH then
    return nil, "the base URL of a unix socket has a short path, and looks like http://unix:/run/api.sock:/api/v1"
  end
  return { connect = "unix:" .. socket, tls = false, host = "localhost", prefix = path }
end

---@class openrouter.Origin
---@field connect string what to connect to: a host, or unix:PATH
---@field port? integer
---@field tls boolean
---@field host string for the Host header
---@field name? string the name in the certificate
---@field prefix string the path of the base URL, without a slash at its end

local function parse(url, insecure)
  if url:find "[?#]" then return nil, "the base URL must not have a query or fragment" end
  if url:sub(1, #UNIX):lower() == UNIX then return unix_origin(url:sub(#UNIX + 1)) end
  if url:find "[%c%s]" or not url:find "^%a+://" then
    return nil, "the base URL is not a URL such as https://openrouter.ai/api/v1"
  end
  local scheme, authority, rest = url:match "^(%a+)://([^/]*)(.*)$"
  scheme = scheme:lower()
  if not DEFAULT_PORT[scheme] then return nil, "the base URL must be https://" end
  if authority:find "@" then return nil, "the base URL must not have a user name or password in it" end
  local name, port = authority:match "^(.*):(%d*)$"
  name, port = name or authority, port or ""
  local host = name:match "^%[[%x:.]+%]$" or name:match "^[%w._-]+$"
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

--- Take a base URL apart.
---@param url string https://…, or http:// to a loopback address or a unix socket
---@param insecure? boolean allow http:// to any host
---@return openrouter.Origin?, string? why not
function origin.parse(url, insecure)
  local parsed, why = parse(url, insecure)
  if parsed and #parsed.prefix > PREFIX_MAX_LENGTH then return nil, "the base URL is too long" end
  return parsed, why
end

return origin

-- luacheck: std ngx_lua
--- Requests over nginx's cosockets, which never block its event loop: one GET, its answer parsed as it comes, the connection
--- kept for the next one wherever the answer allows it, which is after a 404 too.
local core = require "openrouter.core"

local cosocket = {}

local IDLE = 60  -- seconds that a connection is kept without a request
local LOOK = 0.5 -- seconds: the longest wait for bytes before another look whether there is still time
local CHUNK = 16384

---@class openrouter.Fetcher
---@field origin openrouter.Origin
---@field pool {pool: string, pool_size: integer} of our own: others may not have verified whom they talk to
---@field connect_timeout number seconds
---@field in_a_hurry fun(): boolean whether to give up what is under way
---@field opened integer connections made
---@field reused integer requests over a connection that was there
local Fetcher = {}
Fetcher.__index = Fetcher

--- For one origin.
---@param origin openrouter.Origin
---@param size integer connections to keep
---@param connect_timeout number seconds
---@param in_a_hurry fun(): boolean
---@return openrouter.Fetcher
function cosocket.new(origin, size, connect_timeout, in_a_hurry)
  local pool = { pool = "openrouter " .. origin.host .. " " .. origin.connect, pool_size = size }
  return setmetatable({ origin = origin, pool = pool, connect_timeout = connect_timeout, in_a_hurry = in_a_hurry,
    opened = 0, reused = 0 }, Fetcher)
end

--- What every request of a key has behind its target.
---@param origin openrouter.Origin
---@param key string
---@return string
function cosocket.tail(origin, key)
  return " HTTP/1.1\r\nHost: " .. origin.host .. "\r\nAuthorization: Bearer " .. key
    .. "\r\nAccept: application/json\r\nUser-Agent: lua-openrouter\r\n\r\n"
end

local function milliseconds(seconds)
  return math.max(1, math.ceil(seconds * 1000))
end

-- nil, kind and message of what a cosocket says
local function trouble(what, why)
  why = tostring(why)
  return nil, why == "timeout" and "timeout" or "network", what .. ": " .. why
end

-- What a certificate is refused for has its number or the word in it; the rest is a peer that is away, or speaks no TLS.
local function untrusted(why, what)
  why = tostring(why)
  if why:find "^%d+:" or why:find "certificate" then return nil, "tls", what .. ": " .. why end
  return trouble(what, why)
end

local function connect(self, sock, limit)
  local origin = self.origin
  sock:settimeout(milliseconds(math.min(self.connect_timeout, limit - core.now())))
  local ok, why
  if origin.port then
    ok, why = sock:connect(origin.connect, origin.port, self.pool)
  else
    ok, why = sock:connect(origin.connect, self.pool)
  end
  if not ok then return trouble("connecting to " .. origin.host, why) end
  local reused = sock:getreusedtimes() > 0
  if reused then return true, true end
  self.opened = self.opened + 1
  if origin.tls then
    -- true: verify, which is not the default. Resuming a session saves most of a handshake. lua-resty-core may raise where
    -- it should return the error; another handshake tells it.
    local ran, session, tls_why = pcall(sock.sslhandshake, sock, self.session, origin.name, true)
    if not ran then return nil, "again", "TLS handshake with " .. origin.host .. ": " .. tostring(session) end
    if not session then
      self.session = nil
      return untrusted(tls_why, "TLS handshake with " .. origin.host)
    end
    self.session = session
  end
  return true, false
end

-- true, or nil, kind and message
local function exchange(self, sock, target, tail, limit, parser)
  sock:settimeout(milliseconds(limit - core.now()))
  local sent, why = sock:send { "GET ", self.origin.prefix, target, tail }
  if not sent then return trouble("sending the request", why) end
  while true do
    local left = limit - core.now()
    if left <= 0 or self.in_a_hurry() then return nil, "timeout", "no complete answer in time" end
    sock:settimeout(milliseconds(math.min(left, LOOK)))
    local bytes, read_why = sock:receiveany(CHUNK)
    if bytes then
      local done, kind, message = parser:feed(bytes)
      if done then return true end
      if kind then return nil, kind, message end
    elseif read_why == "closed" then
      return parser:finish()
    elseif read_why ~= "timeout" then
      return trouble("reading the answer", read_why)
    end
  end
end

-- A connection: the one that the holder has in hand, a kept one, or a new one. Returns it, whether it was there before, or nil,
-- kind and message.
local function take(self, holder, limit)
  local sock = holder.sock
  if sock then
    holder.sock = nil
    return sock, true
  end
  local ok, reused, message
  for _ = 1, 2 do
    sock = ngx.socket.tcp()
    ok, reused, message = connect(self, sock, limit)
    if ok then return sock, reused end
    sock:close()
    if reused ~= "again" then return nil, reused, message end
  end
  return nil, "network", message
end

--- Ask, and wait for the answer. A kept connection that turns out to be closed is no failure: another one is taken.
---@param holder { sock: table? } keeps the connection for the next call
---@param target string path and query behind the base URL
---@param tail string see cosocket.tail
---@param timeout number seconds for everything
---@param parser userdata core.http1; has the answer when this returns true
---@return true?, string? kind, string? message
function Fetcher:get(holder, target, tail, timeout, parser)
  local limit = core.now() + timeout
  while true do
    local sock, reused, why = take(self, holder, limit)
    if not sock then return nil, reused, why end
    parser:reset()
    local ok, kind, message = exchange(self, sock, target, tail, limit, parser)
    if ok then
      if reused then self.reused = self.reused + 1 end
      if parser:reusable() then holder.sock = sock else sock:close() end
      return true
    end
    sock:close()
    if not reused or parser:started() or kind == "timeout" then return nil, kind, message end
  end
end

--- The holder does not need its connection now: others may have it, if anybody will.
---@param wanted boolean
function Fetcher.put_back(holder, wanted)
  local sock = holder.sock
  if not sock then return end
  holder.sock = nil
  if wanted then sock:setkeepalive(IDLE * 1000) else sock:close() end
end

return cosocket

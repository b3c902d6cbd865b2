-- What there was before: LuaSocket and lua-cjson, one request after the other on one connection.
-- luasocket.lua HOST PORT REQUESTS
local cjson = require "cjson"
local socket = require "socket"

local host, port, requests = ...
local connection = assert(socket.connect(host, tonumber(port)))
connection:setoption("tcp-nodelay", true)

local form = "GET /api/v1/generation?id=%s HTTP/1.1\r\nHost: %s:%s\r\nAuthorization: Bearer %s\r\n\r\n"
local key = os.getenv "OPENROUTER_API_KEY"

local function fetch(id)
  assert(connection:send(form:format(id, host, port, key)))
  local status = assert(connection:receive "*l")
  if not status:find "^HTTP/1.1 200 " then error(id .. ": " .. status) end
  local length
  repeat
    local line = assert(connection:receive "*l")
    length = length or line:lower():match "^content%-length: *(%d+)"
  until line == ""
  local body = assert(connection:receive(tonumber(length)))
  return cjson.decode(body).data
end

local records, total = 0, 0
for i = 1, tonumber(requests) do
  local id = ("gen-1792000000-%020d"):format(i)
  local data = fetch(id)
  if data.id ~= id then error(("asked for %s, got %s"):format(id, data.id)) end
  records = records + 1
  total = total + data.total_cost
end
assert(total > 0, "the records cost nothing")
print(records, "records")

--- Real servers for specs: started, awaited, stopped. None outlives the process that runs the specs, however that ends.
---
---   local server = servers.start("some-server --port-file \"$READY\"")   -- READY names a file it makes when it is ready
---   server.pid, server.directory, server.ready (what is in that file), server:log(), server:running()
---   server:stop()                                                        -- returns when the process is gone
---   servers.sandbox().url                                                -- the API's stand-in, examples/sandbox
---   servers.made(sandbox, ids)                                           -- generations that its account has made as well
---   servers.hostile()                                                    -- see hostile.py
---   servers.front()                                                      -- see front.sh
---   servers.dns().port                                                   -- see dns.py
---   servers.proxy()                                                      -- nginx as examples/nginx has it, see proxy.lua
local shell = require "spec.support.shell"

local servers = {}

local PATIENCE = 20 -- seconds a server may take to get ready

local Server = {}
Server.__index = Server

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a"
  if file then file:close() end
  return text ~= "" and text or nil
end

--- Wait until condition() is true, `seconds` at most: what it returned.
function servers.wait_for(condition, seconds)
  for _ = 1, (seconds or PATIENCE) * 50 do
    local result = condition()
    if result then return result end
    os.execute "sleep 0.02"
  end
  return condition()
end

function Server:log()
  return read(self.directory .. "/log") or ""
end

function Server:running()
  return self.pipe ~= nil and not read(self.directory .. "/exit")
end

function Server:stop()
  if not self.pipe then return end
  if self.pid and self:running() then os.execute("kill " .. self.pid .. " 2>/dev/null") end
  self.pipe:close() -- waits for `serve`, which waits for the server
  self.pipe = nil
  os.execute("rm -rf " .. shell.quote(self.directory))
end

--- Start a server and wait until it is ready. Raises with what it said when it does not get ready.
function servers.start(command)
  local pipe = assert(io.popen "mktemp -d")
  local server = setmetatable({ directory = pipe:read "*l" }, Server)
  pipe:close()
  -- The pipe is the leash: `serve` ends the server when our end of it is closed, by us or by our death.
  server.pipe = assert(io.popen(("exec spec/support/serve %s %s"):format(server.directory, shell.quote(command)), "w"))
  server.ready = servers.wait_for(function()
    server.pid = tonumber(read(server.directory .. "/pid"))
    local ready = read(server.directory .. "/ready")
    if not server.pid then return nil end -- a quick server is ready before `serve` has told its number
    return ready and ready:find "\n$" and ready or not server:running() and "" or nil
  end)
  if server.ready and server.ready ~= "" then return server end
  local log = server:log()
  server:stop()
  error(("server %s: %s\n%s"):format(server.ready and "ended" or "not ready in time", command, log), 2)
end

local Hostile = setmetatable({}, Server)
Hostile.__index = Hostile

--- What happened since mark(), in order: { { what, port, connection, id, more }, … }.
function Hostile:events()
  local events, number = {}, 0
  for line in (read(self.directory .. "/events") or ""):gmatch "([^\n]*)\n" do
    number = number + 1
    if number > (self.seen or 0) then
      local what, port, connection, id, more = line:match "^(%S+) (%S+) (%d+) ?(%S*) ?(.*)$"
      events[#events + 1] = { what = what, port = port, connection = tonumber(connection), id = id, more = more }
    end
  end
  return events, number
end

function Hostile:mark()
  local _, number = self:events()
  self.seen = number
end

-- Whether a client has closed a connection of which the server does not know yet: there may be a request on it still.
local function is_behind(server)
  local file = io.open "/proc/net/tcp"
  if not file then return false end
  local sockets, is_ours = file:read "*a", {}
  file:close()
  for _, port in pairs(server.port) do is_ours[("%04X"):format(port)] = true end
  for at in sockets:gmatch "() 08 " do -- CLOSE_WAIT, behind HOST:PORT of both ends, ours first
    if is_ours[sockets:sub(at - 18, at - 15)] then return true end
  end
  return false
end

--- Whether every connection since mark() is closed, or has its answers: no event of one can come in the midst of the next test.
function Hostile:is_over()
  local busy = {}
  for _, event in ipairs((self:events())) do
    busy[event.connection] = event.what == "accept" or event.what == "ask" or nil
  end
  return not next(busy) and not is_behind(self)
end

--- How many events of this kind there were since mark(), at this port (default: any).
function Hostile:count(what, port)
  local count = 0
  for _, event in ipairs((self:events())) do
    if event.what == what and (not port or event.port == port) then count = count + 1 end
  end
  return count
end

--- The most requests that were being answered at once since mark().
function Hostile:most_at_once()
  local now, most = 0, 0
  for _, event in ipairs((self:events())) do
    if event.what == "ask" then now = now + 1 elseif event.what == "answer" then now = now - 1 end
    most = math.max(most, now)
  end
  return most
end

--- What this port as a proxy was asked for since mark(): { "HOST:PORT HOW", … }, see hostile.py.
function Hostile:relayed(port)
  local relayed = {}
  for _, event in ipairs((self:events())) do
    if event.what == "relay" and event.port == port then relayed[#relayed + 1] = event.id .. " " .. event.more end
  end
  return relayed
end

--- Every byte that the proxies ever got from their clients.
function Hostile:proxied()
  return read(self.directory .. "/proxied") or ""
end

local Front = setmetatable({}, Server)
Front.__index = Front

-- The names of a line's parts, see front.conf.in.
local EXCHANGE = { "connection", "number", "port", "protocol", "id", "accepts", "encoding", "size", "host" }

local function exchanges(front)
  local list = {}
  for line in (read(front.directory .. "/requests") or ""):gmatch "([^\n]*)\n" do
    local exchange, i = {}, 0
    for part in line:gmatch "[^\t]+" do
      i = i + 1
      exchange[EXCHANGE[i]] = part ~= "-" and part or nil
    end
    list[#list + 1] = exchange
  end
  return list
end

--- The `count` requests since the last ones that were asked for here, when they are in the log (which has them only after the
--- client), and how many connections they came over.
function Front:requests(count)
  local list = servers.wait_for(function()
    local all = exchanges(self)
    return #all >= self.seen + count and all
  end) or exchanges(self)
  local new, connections, number = {}, {}, 0
  for i = self.seen + 1, #list do
    new[#new + 1] = list[i]
    if not connections[list[i].connection] then number = number + 1 end
    connections[list[i].connection] = true
  end
  self.seen = #list
  return new, number
end

--- The stand-in of the API: `url` is its base URL. Its README says which ids ask for which faults. With a `tls` in the options
--- it serves https under that name, and `certificate` is its certificate's path.
function servers.sandbox(options)
  local tls = options and options.tls and "--tls " .. shell.quote(options.tls) or ""
  local server = servers.start(("examples/sandbox/run %s --ready \"$READY\""):format(tls))
  server.url, server.certificate = server.ready:match "%S+", server.ready:match " ([^\n]+)"
  server.port = tonumber(server.url:match ":(%d+)/")
  return server
end

--- Tell the sandbox of generations that its account has made.
function servers.made(sandbox, ids)
  local list = shell.write(shell.directory() .. "/made", table.concat(ids, "\n") .. "\n")
  local status, out = shell.run(("curl -s -m 10 --data-binary @%s %s/made"):format(list, sandbox.url:match "^%a+://[^/]+"))
  assert(status == 0 and out == ('{"data":{"added":%d}}'):format(#ids), out)
end

--- hostile.py, see there. port.NAME are its ports, `certificate` and `other_certificate` its certificate files.
function servers.hostile()
  local server = servers.start "python3 spec/support/hostile.py \"$READY\""
  server.port = {}
  for name, port in server.ready:gmatch "port (%S+) (%d+)" do server.port[name] = tonumber(port) end
  server.url = ("http://127.0.0.1:%d/api/v1"):format(server.port.http)
  server.certificate = server.directory .. "/right.pem"
  server.other_certificate = server.directory .. "/wrong.pem"
  return setmetatable(server, Hostile)
end

--- front.sh, see there. port.NAME are its ports, `socket` and `certificate` its paths.
function servers.front()
  local server = servers.start "spec/support/front.sh \"$READY\""
  server.port, server.seen = {}, 0
  for name, value in server.ready:gmatch "(%S+) (%S+)\n" do
    if tonumber(value) then server.port[name] = tonumber(value) else server[name] = value end
  end
  return setmetatable(server, Front)
end

--- A name server of 127.0.0.1, at `port`.
function servers.dns()
  local server = servers.start "python3 spec/support/dns.py \"$READY\""
  server.port = tonumber(server.ready)
  return server
end

--- nginx as a proxy in front of an API: see proxy.lua, which has its options.
function servers.proxy(options)
  return require("spec.support.proxy").start(options)
end

return servers

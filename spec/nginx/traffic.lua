--- Clients of the proxy in these specs, and what has to be in the ledger afterwards.
---
---   local p = traffic.proxy(api, { start = "first = 0.05" })     -- servers.proxy with an API of upstream.lua behind it
---   local clients = traffic.start(p, { count = 20 })             -- at the same time, each with a user and a route of its own
---   clients:seen(), clients:finish()
---   traffic.settled_once(p, clients:seen())
local cjson = require "cjson"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

local traffic = {}

-- ---- the proxy ------------------------------------------------------------------------------------------------------

-- The text with `from` replaced, which is there once.
local function replaced(text, from, to)
  local first, last = text:find(from, 1, true)
  assert(first and not text:find(from, last + 1, true), ("%q is not there once"):format(from))
  return text:sub(1, first - 1) .. to .. text:sub(last + 1)
end

-- The line `local NAME = …` with another value.
local function with_constant(text, name, value)
  local from, line, to = text:match("\n()(local " .. name .. " = [^\n]*)()")
  assert(line, name .. " is no constant")
  return text:sub(1, from - 1) .. "local " .. name .. " = " .. value .. text:sub(to)
end

-- Change the proxy's own copy of the Lua files: constants, or any text. @DIR@ is the directory of the ledger.
local function tune(work, changes)
  for _, change in ipairs(changes) do
    local path = ("%s/lua/openrouter/%s.lua"):format(work, change[1])
    local wanted = change[3]:gsub("@DIR@", function() return work .. "/openrouter" end)
    local put = change[2]:find "^[%u_, ]+$" and with_constant or replaced
    shell.write(path, put(shell.read(path), change[2], wanted))
  end
end

--- A proxy in front of `api`.
---@param api { url: string, port: integer, certificate?: string } or another one's url and port
---@param options? table { start = more options of start(), more = more of the server block, workers =, env =,
--- changes = { { file of openrouter, name of a constant or text that is there once, what is wanted }, … } in a copy of the files,
--- prepare = function(dir, work), called when the directory is there and nginx is not }
function traffic.proxy(api, options)
  options = options or {}
  return servers.proxy {
    upstream = api, workers = options.workers, env = options.env,
    edit = function(text)
      local work = text:match "pid (%S+)/nginx.pid;"
      tune(work, options.changes or {})
      if options.start then text = text:gsub("start { (.-) }", "start { %1, " .. options.start .. " }") end
      text = replaced(text, "proxy_pass https:", "proxy_pass http:")
      text = replaced(text, "location = /metrics", (options.more or "") .. "\n    location = /metrics")
      if options.prepare then options.prepare(work .. "/openrouter", work) end
      return text
    end,
  }
end

-- ---- clients --------------------------------------------------------------------------------------------------------

local Clients = {}
Clients.__index = Clients

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text
end

local REQUEST = [[
url = "%s/api/v1/chat/%s-%d"
user = "user-%s-%d:"
output = "%s/%d"
dump-header = "%s/%d.head"
write-out = "%%{http_code} %%{exitcode}\n"
%s
]]

local series = 0

--- Requests at the same time. Each asks for a route of its own, in the name of a user of its own.
---@param options { count: integer, stream?: boolean, patience?: integer seconds for one, ids?: string[], at_once?: integer }
function traffic.start(p, options)
  series = series + 1
  local directory, parts = shell.directory(), {}
  for i = 1, options.count do
    local more = ("no-buffer\nsilent\nmax-time = %d\n"):format(options.patience or 60)
    if options.stream then more = more .. 'header = "X-Stream: 1"\n' end
    if options.ids then more = more .. ('header = "X-Id: %s"\n'):format(options.ids[i]) end
    parts[i] = REQUEST:format(p.url, series, i, series, i, directory, i, directory, i, more)
  end
  local file = shell.write(directory .. "/requests", table.concat(parts, "next\n"))
  local pipe = assert(io.popen(("exec curl --parallel --parallel-immediate --parallel-max %d --config %s 2>&1")
    :format(options.at_once or 300, shell.quote(file))))
  return setmetatable({ directory = directory, count = options.count, series = series, pipe = pipe }, Clients)
end

--- What the clients have seen so far: id -> { user =, route =, text = the body }, and how many have.
function Clients:seen()
  local ids, count = {}, 0
  for i = 1, self.count do
    local text = read(("%s/%d"):format(self.directory, i))
    local id = text:match '"id":"(gen%-[^"]+)"'
      or read(("%s/%d.head"):format(self.directory, i)):match "\r\n[Xx]%-[Gg]eneration%-[Ii]d: *([^\r\n]+)"
    if id then
      count = count + 1
      ids[id] = { user = ("user-%d-%d"):format(self.series, i), route = ("/api/v1/chat/%d-%d"):format(self.series, i),
        text = text }
    end
  end
  return ids, count
end

--- Wait until as many clients have seen an id.
function Clients:wait_for(count)
  local seen
  if servers.wait_for(function()
    local _, now = self:seen()
    seen = now
    return now >= count
  end) then return end
  error(("%d of %d clients have seen an id"):format(seen, count), 2)
end

--- Wait for the end of all requests: how many of them were answered in full with status 200.
function Clients:finish()
  local fine = 0
  for status, code in self.pipe:read("*a"):gmatch "(%d+) (%d+)\n" do
    if status == "200" and code == "0" then fine = fine + 1 end
  end
  self.pipe:close()
  return fine
end

--- All of it: requests, and their ends. Raises when one of them was not answered.
function traffic.run(p, options)
  local clients = traffic.start(p, options)
  local fine = clients:finish()
  if fine ~= options.count then error(("%d of %d requests were answered"):format(fine, options.count), 2) end
  return (clients:seen())
end

-- ---- the ledger -----------------------------------------------------------------------------------------------------

-- id -> { kind = count, … }, and the context of its last line
local function outcomes(p)
  local ids = {}
  for text in read(p.dir .. "/ledger.jsonl"):gmatch "([^\n]*)\n" do
    local kind, id = text:match '^{"(%a+)":"([^"]+)"'
    if kind and text:find "^%b{}$" then -- not one that was cut short by a full disk
      local outcome = ids[id] or {}
      ids[id] = outcome
      outcome[kind] = (outcome[kind] or 0) + 1
      outcome.text = text
    end
  end
  return ids
end
traffic.outcomes = outcomes

-- What is wrong with an id that is to be settled once, in words.
local function complaint(id, outcome, expected)
  if not outcome then return id .. " is not in the ledger" end
  if outcome.settled ~= 1 or outcome.failed then
    return ("%s is settled %d times, and failed %d times"):format(id, outcome.settled or 0, outcome.failed or 0)
  end
  if not expected then return nil end
  local ok, line = pcall(cjson.decode, outcome.text)
  if not ok then return id .. ": not JSON: " .. outcome.text end
  local context = line.context or {}
  if context.user ~= expected.user or context.route ~= expected.route then
    return ("%s has the context of %s, %s"):format(id, tostring(context.user), tostring(context.route))
  end
end

-- Whether these ids are in the ledger, and no line is open.
local function is_over(p, expected)
  local found = outcomes(p)
  for id in pairs(expected) do
    if not found[id] then return false end
  end
  return #p:pending() == 0
end

--- Wait until nothing is open and each of these ids is in the ledger, at most `seconds` (60); raise unless each of them, and any
--- other id in the ledger, is settled exactly once, with its own user and route. Returns how many ids the ledger has.
---@param expected table<string, { user?: string, route?: string }>
function traffic.settled_once(p, expected, seconds)
  for _ = 1, (seconds or 60) * 5 do
    if is_over(p, expected) then break end
    os.execute "sleep 0.2"
  end
  local found, complaints, count = outcomes(p), {}, 0
  for id, about in pairs(expected) do complaints[#complaints + 1] = complaint(id, found[id], about.user and about) end
  for id, outcome in pairs(found) do
    count = count + 1
    if not expected[id] then complaints[#complaints + 1] = complaint(id, outcome) end
  end
  for _, entry in ipairs((p:pending())) do complaints[#complaints + 1] = ("%s is open: %s"):format(entry.id, entry.kind) end
  if #complaints == 0 then return count end
  local total = #complaints
  complaints[11] = nil -- enough to see
  error(("%d complaints:\n  %s\nerror.log:\n%s"):format(total, table.concat(complaints, "\n  ", 1, math.min(10, total)),
    p:errors()), 2)
end

-- ---- segments -------------------------------------------------------------------------------------------------------

--- The paths of what is in DIR/pending.
---@return string[]
function traffic.segments(p)
  local list, _, names = {}, shell.run("ls -d " .. shell.quote(p.dir) .. "/pending/*")
  for path in names:gmatch "[^\n]+" do list[#list + 1] = path end
  return list
end

--- Whether a file is there.
function traffic.exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- Lines of an id that was seen `age` (0) seconds ago, as openrouter.nginx writes them.
---@return string
function traffic.pending_line(id, about, age)
  return ('{"pending":"%s","open":true ,"at":"%s","key":"default","context":{"route":"%s","user":"%s"}}\n'):format(id,
    os.date("!%Y-%m-%dT%H:%M:%S.000Z", os.time() - (age or 0)), about.route, about.user)
end

--- What a worker left behind that is dead: files in DIR/pending, before nginx starts.
---@param files table<string, string> name -> content
function traffic.orphans(dir, files)
  local pending = dir .. "/pending"
  shell.run("mkdir -m 0700 " .. shell.quote(pending))
  for name, text in pairs(files) do shell.write(pending .. "/" .. name, text) end
  shell.run(("chown -R --reference=%s %s"):format(shell.quote(dir), shell.quote(pending)))
end

--- Lines of the error log that are ours.
---@return string[]
function traffic.said(p)
  local lines = {}
  for line in p:errors():gmatch "[^\n]+" do
    if line:find("openrouter: ", 1, true) then lines[#lines + 1] = line end
  end
  return lines
end

return traffic

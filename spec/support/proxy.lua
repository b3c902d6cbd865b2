--- A real nginx with the configuration of examples/nginx, as it is printed there but for what has to be another one here: paths,
--- addresses, the account. Behind it an API, beside it a name server.
---
---   local proxy = servers.proxy()      -- before it answers, each worker has run
---   proxy.url, proxy.dir (where openrouter.nginx writes), proxy.pid (the master's), proxy.upstream
---   proxy:chat '{"messages":[]}'       -- status, body, headers; proxy:curl(path, arguments) asks for anything else
---   proxy:ledger(), proxy:pending(), proxy:metrics(), proxy:errors(), proxy:access()
---   proxy:workers(), proxy:signal("KILL", pid), proxy:restart(), proxy:stop()
---
--- Options: edit(configuration) -> configuration, which comes last and sees @PORT@ for the port; upstream, a server with url,
--- port and certificate; env, names and values for nginx's environment; workers, 2.
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

local proxy = {}

local Proxy = {}
Proxy.__index = Proxy

-- ---- the configuration ----------------------------------------------------------------------------------------------

local PRINTED = "examples/nginx/nginx.conf"

local function is_root()
  local _, uid = shell.run "id -u"
  return tonumber(uid) == 0
end

-- What is printed, what is wanted instead, and how often it is there when not once.
local function substitutions(p, options)
  local modules = os.getenv "NGINX_MODULES" or "/usr/lib/nginx/modules"
  local list = {
    { "load_module modules/ndk_http_module.so;", ("load_module %s/ndk_http_module.so;"):format(modules) },
    { "load_module modules/ngx_http_lua_module.so;", ("load_module %s/ngx_http_lua_module.so;"):format(modules) },
    { "user www-data;", p.root and "user www-data;" or "" },
    { "worker_processes auto;", ("worker_processes %d;"):format(options.workers or 2) },
    { "pid /run/nginx.pid;", ("pid %s/nginx.pid;"):format(p.work) },
    { "error_log /var/log/nginx/error.log warn;", ("error_log %s/error.log warn;"):format(p.work) },
    { "access_log /var/log/nginx/access.log openrouter;", ("access_log %s/access.log openrouter;"):format(p.work) },
    { "env OPENROUTER_API_KEY;", "env OPENROUTER_API_KEY; env OPENROUTER_BASE_URL;" },
    { "\nhttp {\n", ([[

http {
  lua_package_path "%s/lua/?.lua;%s/lua/?/init.lua;;";
  lua_package_cpath "%s/lua/?.so;;";
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
]]):format(p.work, p.work, p.work) },
    { "resolver 127.0.0.53 valid=60s ipv6=off;", ("resolver 127.0.0.1:%d valid=60s ipv6=off;"):format(p.dns.port) },
    { [[dir = "/var/log/nginx/openrouter"]], ("dir = %q"):format(p.dir) },
    { "server openrouter.ai:443;", ("server 127.0.0.1:%d;"):format(p.upstream.port) },
    { "listen 127.0.0.1:8080;", "listen 127.0.0.1:@PORT@;" },
  }
  local certificates = "certificate /etc/ssl/certs/ca-certificates.crt;"
  list[#list + 1] = { certificates, ("certificate %s;"):format(p.upstream.certificate or certificates:match "/.*[^;]"), 2 }
  return list
end

-- What a configuration must not have left after that: it would be the machine's own.
local FOREIGN = { "/var/", "/run/", "/etc/", "/usr/", "listen" }

local function split(text, separator)
  local pieces, from = {}, 1
  for before, after in function() return text:find(separator, from, true) end do
    pieces[#pieces + 1] = text:sub(from, before - 1)
    from = after + 1
  end
  pieces[#pieces + 1] = text:sub(from)
  return pieces
end

--- The configuration as it is printed, with each of these in its place. Raises where they do not fit it any more.
---@param printed string
---@param list table[] { what is printed, what is wanted, how often it is there }
function proxy.configuration(printed, list)
  local text, rest = printed, printed:gsub("#[^\n]*", "")
  for _, substitution in ipairs(list) do
    local from, to, times = substitution[1], substitution[2], substitution[3] or 1
    local pieces = split(text, from)
    if #pieces - 1 ~= times then
      error(("%s has %q %d times, and not %d: proxy.lua knows another one"):format(PRINTED, from, #pieces - 1, times), 0)
    end
    text, rest = table.concat(pieces, to), table.concat(split(rest, from))
  end
  for _, foreign in ipairs(FOREIGN) do
    local line = rest:match("[^\n]*" .. foreign .. "[^\n]*")
    if line then error(("%s has %q, of which proxy.lua does not know what to make"):format(PRINTED, line), 0) end
  end
  return text
end

-- ---- starting -------------------------------------------------------------------------------------------------------

local function run(command)
  local status, _, complaint = shell.run(command)
  if status ~= 0 then error(("%s: %s"):format(command, complaint), 0) end
end

-- What nginx's account reads: the Lua files, and the module that needs libc alone.
local function install(p)
  local work = shell.quote(p.work)
  local built = (os.getenv "OPENROUTER_BUILD" or "build/5.1"):gsub("5%.4$", "5.1") -- nginx has LuaJIT, whatever runs this
  run(("chmod 711 %s && mkdir %s/lua && cp -R lua/openrouter %s/lua && cp %s/openrouter/core.so %s/lua/openrouter")
    :format(work, work, work, built, work))
  run(("chmod -R a+rX %s/lua"):format(work))
  run(("install -d %s -m 0700 %s"):format(p.root and "-o www-data" or "", shell.quote(p.dir)))
end

local function launch(p)
  local variables = {}
  for name, value in pairs(p.env) do variables[#variables + 1] = shell.quote(name .. "=" .. value) end
  p.supervisor = servers.start(("env %s spec/support/proxy.sh %s '%s' \"$READY\""):format(
    table.concat(variables, " "), shell.quote(p.work), p.port or ""))
  p.pid, p.port = p.supervisor.ready:match "^(%d+) (%d+)"
  p.pid, p.port = tonumber(p.pid), tonumber(p.port)
  local count = tonumber(shell.read(p.work .. "/nginx.conf"):match "worker_processes (%d+)")
  if not servers.wait_for(function() return #p:workers() == count end) then
    error(("nginx has no %d workers:\n%s"):format(count, p:errors()), 0)
  end
end

local function prepare(p, options)
  p.root = is_root()
  p.dns = servers.dns()
  p.upstream = options.upstream
  if not p.upstream then
    p.own_upstream = servers.sandbox { tls = "openrouter.ai" }
    p.upstream = p.own_upstream
  end
  p.env = { OPENROUTER_BASE_URL = p.upstream.url, OPENROUTER_API_KEY = "sk-or-sandbox" }
  for name, value in pairs(options.env or {}) do p.env[name] = value end
  install(p)
  local text = proxy.configuration(shell.read(PRINTED), substitutions(p, options))
  shell.write(p.work .. "/nginx.conf.in", options.edit and options.edit(text) or text)
  launch(p)
  p.url = "http://127.0.0.1:" .. p.port
end

--- See servers.proxy. Raises with what nginx said when it does not start.
function proxy.start(options)
  local pipe = assert(io.popen "mktemp -d")
  local p = setmetatable({ work = pipe:read "*l" }, Proxy)
  pipe:close()
  p.dir = p.work .. "/openrouter"
  local ok, why = pcall(prepare, p, options or {})
  if ok then return p end
  p:stop()
  error(why, 3)
end

-- ---- its processes --------------------------------------------------------------------------------------------------

local function title(pid)
  local file = io.open(("/proc/%d/cmdline"):format(pid), "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return (text:gsub("%z.*", ""))
end

--- The numbers of the workers that are not shutting down, smallest first. A dead master's are among them.
function Proxy:workers()
  local pipe, pids = assert(io.popen "cat /proc/[0-9]*/stat 2>/dev/null"), {}
  for line in pipe:lines() do
    local pid, group = line:match "^(%d+) %(.*%) [^ZX] %d+ (%d+) "
    if tonumber(group) == self.pid and title(pid) == "nginx: worker process" then pids[#pids + 1] = tonumber(pid) end
  end
  pipe:close()
  table.sort(pids)
  return pids
end

--- Send a signal, to the master when no process is named.
function Proxy:signal(name, pid)
  os.execute(("kill -s %s %d"):format(name, pid or self.pid))
end

--- Whether any process of it is left.
function Proxy:running()
  return self.supervisor ~= nil and self.supervisor:running()
end

--- Start it again where it was, when all of its processes are gone.
function Proxy:restart()
  if not servers.wait_for(function() return not self:running() end) then error("nginx is still running", 2) end
  self.supervisor:stop()
  local ok, why = pcall(launch, self)
  if not ok then error(why, 2) end
end

--- End it, whatever has become of it, and remove all that it had.
function Proxy:stop()
  for _, name in ipairs { "supervisor", "own_upstream", "dns" } do
    if self[name] then self[name]:stop() end
  end
  os.execute("rm -rf " .. shell.quote(self.work))
end

-- ---- asking ---------------------------------------------------------------------------------------------------------

local function headers_of(text)
  local headers = {}
  for name, value in text:gsub("^.*\r\n\r\n(.)", "%1"):gmatch "\n([^:\r\n]+): *([^\r\n]*)" do headers[name:lower()] = value end
  return headers
end

--- Ask for a path, with more arguments for curl: status (0 where no answer came), body, headers by their names in lower case.
function Proxy:curl(path, arguments)
  local head, body = self.work .. "/head", self.work .. "/answer"
  shell.write(head, "")
  shell.write(body, "")
  local _, status = shell.run(("curl -s -m 20 -w '%%{http_code}' -D %s -o %s %s %s"):format(
    shell.quote(head), shell.quote(body), arguments or "", shell.quote(self.url .. path)))
  return tonumber(status), shell.read(body), headers_of(shell.read(head))
end

--- A chat completion. `arguments` may have another Authorization header.
function Proxy:chat(body, arguments)
  arguments = arguments or ""
  if not arguments:find "Authorization" then arguments = "-H 'Authorization: Bearer sk-or-user' " .. arguments end
  return self:curl("/api/v1/chat/completions", "--data-binary " .. shell.quote(body) .. " " .. arguments)
end

--- The figures of /metrics: NAME or NAME{LABELS} -> number.
function Proxy:metrics()
  local _, text = self:curl "/metrics"
  local figures = {}
  for name, value in text:gmatch "([^#\n][^\n]*) (%S+)\n" do figures[name] = tonumber(value) end
  return figures
end

-- ---- its files ------------------------------------------------------------------------------------------------------

local function text_of(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text
end

function Proxy:errors()
  return text_of(self.work .. "/error.log")
end

--- The lines of the access log.
function Proxy:access()
  local lines = {}
  for line in text_of(self.work .. "/access.log"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

local KINDS = { "settled", "failed", "pending", "note" }

-- Adds the whole lines of a file to the list; returns how many are none.
local function add_lines(list, path, wanted)
  local cjson = require "cjson"
  local skipped = 0
  for text in text_of(path):gmatch "([^\n]*)\n" do
    local ok, line = pcall(cjson.decode, text)
    if not ok or type(line) ~= "table" then
      skipped = skipped + 1
    elseif not wanted or wanted(line) then
      local entry = { line = line }
      for _, kind in ipairs(KINDS) do
        if line[kind] then entry.kind, entry.id = kind, line[kind] end
      end
      list[#list + 1] = entry
    end
  end
  return skipped
end

--- The lines of the ledger: { { kind = "settled", id = …, line = all of it, decoded }, … }, and how many could not be read.
function Proxy:ledger()
  local list = {}
  return list, add_lines(list, self.dir .. "/ledger.jsonl")
end

local function is_open(line) return line.open == true end

--- The open lines of the segments, in the form of ledger(), and how many could not be read.
function Proxy:pending()
  local list, skipped = {}, 0
  local _, names = shell.run("ls -d " .. shell.quote(self.dir) .. "/pending/*.jsonl")
  for path in names:gmatch "[^\n]+" do skipped = skipped + add_lines(list, path, is_open) end
  return list, skipped
end

return proxy

--- The API behind the proxy in these specs: chats and generation records, which do as they are told. It is an nginx of its own,
--- so that whatever is done to the proxy's does not touch it.
---
---   local api = upstream.start()            -- api.url is its base URL, api.port; start { port = N } has it where it was before
---   api:set { generation = "hold" }         -- until the next api:set; see below
---   api:asked()                             -- id -> how often its record was asked for, and how many requests that were
---   api:chats()                             -- how many chats have begun
---   api:stop()
---
--- A chat is any path below /api/v1/chat. Its id is the request's X-Id, or a new one. With an X-Stream it comes as events, of
--- which the first one is sent at once. `chat` is "on", "hold" (events after the first wait), or "think" (the headers wait, too).
---
--- `generation` is "record"; "hold", no answer until it is set to something else; "html"; or a status such as "404". Ids with
--- -late- in them have their own, `late`.
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

local upstream = {}

local Upstream = {}
Upstream.__index = Upstream

local CONFIGURATION = [[
load_module @MODULES@/ndk_http_module.so;
load_module @MODULES@/ngx_http_lua_module.so;
@USER@
worker_processes 1;
worker_rlimit_nofile 8192;
pid nginx.pid;
error_log error.log;
events { worker_connections 4096; }
http {
  access_log off;
  default_type application/json;
  keepalive_requests 1000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  lua_shared_dict mode 1m;
  lua_shared_dict asked 16m;

  init_by_lua_block {
    local mode, asked = ngx.shared.mode, ngx.shared.asked
    local made = 0

    local function wait_while(name, value)
      while mode:get(name) == value do ngx.sleep(0.01) end
    end

    local function answer(status, body)
      ngx.status = status
      ngx.header["Content-Length"] = #body
      ngx.print(body)
    end

    local function new_id()
      made = made + 1
      return ("gen-%d-%d-%d"):format(ngx.time(), ngx.worker.pid(), made)
    end

    function chat()
      mode:incr("chats", 1, 0)
      local id = ngx.var.http_x_id or new_id()
      wait_while("chat", "think")
      ngx.header["X-Generation-Id"] = id
      local usage = ',"usage":{"cost":0.0015}}'
      if not ngx.var.http_x_stream then return answer(200, '{"id":"' .. id .. '"' .. usage) end
      ngx.header["Content-Type"] = "text/event-stream"
      ngx.print('data: {"id":"', id, '"}\n\n')
      ngx.flush(true)
      wait_while("chat", "hold")
      ngx.print('data: {"id":"', id, '"', usage, "\n\ndata: [DONE]\n\n")
    end

    function generation()
      local id = ngx.var.arg_id
      asked:incr(id, 1, 0)
      local kind = id:find("-late-", 1, true) and "late" or "generation"
      wait_while(kind, "hold")
      local what = mode:get(kind)
      if tonumber(what) then return answer(tonumber(what), '{"error":{"message":"told so","code":' .. what .. "}}") end
      if what == "html" then return answer(200, "<!DOCTYPE html><title>One moment</title>") end
      answer(200, '{"data":{"id":"' .. id .. '","total_cost":0.0015,"model":"test/model"}}')
    end
  }

  server {
    listen 127.0.0.1:@PORT@;
    location /api/v1/chat { content_by_lua_block { chat() } }
    location = /api/v1/generation { content_by_lua_block { generation() } }
    location = /set {
      content_by_lua_block {
        for name, value in pairs(ngx.req.get_uri_args()) do ngx.shared.mode:set(name, value) end
      }
    }
    location = /chats { content_by_lua_block { ngx.say(ngx.shared.mode:get "chats" or 0) } }
    location = /asked {
      content_by_lua_block {
        for _, id in ipairs(ngx.shared.asked:get_keys(0)) do ngx.say(id, " ", ngx.shared.asked:get(id)) end
      }
    }
  }
}
]]

local function get(api, path)
  local status, text = shell.run(("curl -s -f -m 20 'http://127.0.0.1:%d%s'"):format(api.port, path))
  if status ~= 0 then error("the API of the spec does not answer", 0) end
  return text
end

--- Do as told from now on.
---@param modes table<string, string> "chat", "generation" or "late" -> see above
function Upstream:set(modes)
  local arguments = {}
  for name, value in pairs(modes) do arguments[#arguments + 1] = name .. "=" .. value end
  get(self, "/set?" .. table.concat(arguments, "&"))
end

--- How often each record was asked for, and how many requests that were.
---@return table<string, integer> count, integer all
function Upstream:asked()
  local count, all = {}, 0
  for id, number in get(self, "/asked"):gmatch "(%S+) (%d+)\n" do
    count[id] = tonumber(number)
    all = all + number
  end
  return count, all
end

--- How many chats have begun.
---@return integer
function Upstream:chats()
  return tonumber(get(self, "/chats"))
end

function Upstream:stop()
  if self.supervisor then self.supervisor:stop() end
  os.execute("rm -rf " .. shell.quote(self.work))
end

--- Start it, with everything on.
---@param options? { port: integer }
function upstream.start(options)
  local pipe = assert(io.popen "mktemp -d")
  local api = setmetatable({ work = pipe:read "*l" }, Upstream)
  pipe:close()
  os.execute("chmod 711 " .. shell.quote(api.work))
  local _, uid = shell.run "id -u"
  local text = CONFIGURATION:gsub("@MODULES@", os.getenv "NGINX_MODULES" or "/usr/lib/nginx/modules")
  shell.write(api.work .. "/nginx.conf.in", (text:gsub("@USER@", tonumber(uid) == 0 and "user www-data;" or "")))
  local ok, why = pcall(function()
    api.supervisor = servers.start(("spec/support/proxy.sh %s '%s' \"$READY\""):format(
      shell.quote(api.work), options and options.port or ""))
  end)
  if not ok then
    api:stop()
    error(why, 2)
  end
  api.pid, api.port = api.supervisor.ready:match "^(%d+) (%d+)"
  api.pid, api.port = tonumber(api.pid), tonumber(api.port)
  api.url = ("http://127.0.0.1:%d/api/v1"):format(api.port)
  return api
end

return upstream

--- The configuration of examples/nginx with what specs of the embedding need beside it, for `edit` of servers.proxy:
---
---   servers.proxy { edit = configuration.edit { start = "first = 0.05", server = "location /more/ { … }" } }
---
--- start: more options of start(), as they stand there; http, server: directives for these blocks;
--- printed: { { path, more directives, a directive less }, … }, the printed location again, at a path of which the upstream does
--- not see the first part; change: what else is to be done with the text. WORK is the proxy's directory.
---
--- Every proxy made with it also serves, below /upstream/, what an upstream may answer; see UPSTREAM. And it has the location
--- /lookups/ in front of the API, which notes who asks: start = "base_url = LOOKUPS" sends lookups there.
local shell = require "spec.support.shell"

local configuration = {}

-- Below /upstream/: an answer in one piece with the id and the cost that the query names; a stream of events which goes on
-- when the file `gate` is there, and meanwhile says something every so often, or an event each time the file `taken` has
-- the number of the last one; files.
local UPSTREAM = [[
    location = /upstream/json {
      access_log off;
      default_type application/json;
      add_header X-Generation-Id $arg_id;
      return 200 '{"id":"$arg_id","model":"test/model","usage":{"cost":$arg_cost}}';
    }
    location = /upstream/events {
      access_log off;
      content_by_lua_block {
        local id = ngx.var.arg_id
        local function is_open()
          local file = io.open "WORK/gate"
          return file and file:close()
        end
        ngx.header["Content-Type"] = "text/event-stream"
        ngx.header["X-Generation-Id"] = id
        ngx.print('data: {"id":"', id, '"}\n\n')
        ngx.flush(true)
        while not is_open() do
          ngx.sleep(tonumber(ngx.var.arg_pause) or 0.2)
          if ngx.var.arg_pause and not (ngx.print ": still there\n\n" and ngx.flush(true)) then return end
        end
        ngx.print('data: {"id":"', id, '","choices":[],"usage":{"cost":0.25}}\n\ndata: [DONE]\n\n')
      }
    }
    location = /upstream/steps {
      access_log off;
      content_by_lua_block {
        ngx.header["Content-Type"] = "text/event-stream"
        for i = 1, tonumber(ngx.var.arg_count) do
          ngx.print('data: {"id":"', ngx.var.arg_id, '","choices":[', i, ']}\n\n')
          ngx.flush(true)
          local taken
          repeat
            ngx.sleep(0.002)
            local file = io.open "WORK/taken"
            taken = file and tonumber(file:read "*a")
            if file then file:close() end
          until taken and taken >= i
        end
      }
    }
    location /upstream/files/ {
      access_log off;
      types { application/json json; text/event-stream events; text/html html; }
      add_header X-Generation-Id $arg_id;
      alias WORK/files/;
      log_not_found off;
    }
    location /upstream/ {
      access_log off;
      default_type application/json;
      return 500 '{"error":{"code":500,"message":"no such path"}}';
    }
]]

local BLOCK = "[ \t]*[%w_]+_by_lua_block%s*%b{}\n"
-- id, key, status and connection of each lookup
local LOOKUPS = "log_format lookups '$arg_id|$http_authorization|$status|$connection';"

--- Put `to` where `from` is, once, as plain text. Raises where it is not.
function configuration.substitute(text, from, to)
  local first, last = text:find(from, 1, true)
  if not first or text:find(from, last + 1, true) then error(("not once in the configuration: %s"):format(from), 0) end
  return text:sub(1, first - 1) .. to .. text:sub(last + 1)
end
local substitute = configuration.substitute

-- The printed location at another path.
local function again(text, path, more, upstream_path, less)
  local body = text:match "location /api/ (%b{})"
  body = substitute(body, "proxy_pass https://openrouter;", "proxy_pass https://openrouter" .. upstream_path .. ";")
  if less then body = substitute(body, less, "") end
  return ("    location %s %s%s\n    }\n"):format(path, body:sub(1, -2), more)
end

---@param changes table
---@return fun(text: string): string
function configuration.edit(changes)
  return function(text)
    local work = text:match "pid (%S+)/nginx.pid;"
    local server, http = UPSTREAM .. (changes.server or ""), LOOKUPS .. (changes.http or "")
    for _, printed in ipairs(changes.printed or {}) do server = server .. again(text, printed[1], printed[2], "/", printed[3]) end
    server = server .. again(text, "/lookups/", "access_log WORK/lookups lookups;", "/api/v1/"):gsub(BLOCK, "")
    text = substitute(text, "start {", "start { " .. (changes.start and changes.start .. ", " or ""))
    if changes.change then text = changes.change(text) end
    text = substitute(text, "    location = /metrics {", server .. "    location = /metrics {")
    text = substitute(text, "  server {\n", "  " .. http .. "\n  server {\n")
    return (text:gsub("base_url = LOOKUPS", 'base_url = "http://127.0.0.1:@PORT@/lookups"'):gsub("WORK", work))
  end
end

--- Start a proxy again with another configuration, in which ids of before are open.
---@param change fun(text: string): string
function configuration.restart(proxy, change)
  local path = proxy.work .. "/nginx.conf.in"
  shell.write(path, change(shell.read(path)))
  proxy:signal "TERM"
  proxy:restart()
end

--- The three calls as they are printed, but for the contexts: for a location that hands on to one below /upstream/.
---@param capture? string the context, as Lua
---@param log? string
function configuration.logged(capture, log)
  return ([[
      header_filter_by_lua_block { require("openrouter.nginx").capture(%s) }
      body_filter_by_lua_block   { require("openrouter.nginx").scan() }
      log_by_lua_block           { require("openrouter.nginx").log(%s) }
      add_header X-Worker $pid;
]]):format(capture or "", log or "")
end

return configuration

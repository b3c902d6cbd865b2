-- luacheck: std ngx_lua, read globals kong
--- What each request through OpenRouter cost, by consumer and route, as a plugin for Kong. ../../../../README.md says how to
--- enable it. All of it is done by openrouter.nginx; this tells Kong's phases apart and says who asked.
local openrouter = require "openrouter.nginx"

local plugin = {
  VERSION = "1.0.0",
  PRIORITY = 850, -- before response-transformer (800) and the AI plugins, to see what OpenRouter sent and not what became of it
}

function plugin:init_worker() -- luacheck: no self
  if not ngx.worker.id() then return end -- Kong's privileged process may be another user's, and proxies nothing
  openrouter.start { dir = kong.configuration.prefix .. "/openrouter" }
end

function plugin:access() -- luacheck: no self
  kong.service.request.clear_header "Accept-Encoding" -- or the cost cannot be read from what passes
end

local function name_of(entity, name)
  return entity and (entity[name] or entity.id)
end

function plugin:header_filter() -- luacheck: no self
  openrouter.capture {
    consumer = name_of(kong.client.get_consumer(), "username"),
    route = name_of(kong.router.get_route(), "name"),
  }
end

function plugin:body_filter() -- luacheck: no self
  openrouter.scan()
end

function plugin:log() -- luacheck: no self
  openrouter.log { status = ngx.status }
end

return plugin

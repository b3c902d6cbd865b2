-- luacheck: std ngx_lua
--- What each request through OpenRouter cost, by consumer and route, as a plugin for Apache APISIX. ../../../README.md says how
--- to enable it. All of it is done by openrouter.nginx; this tells APISIX's phases apart and says who asked.
local core = require "apisix.core"
local openrouter = require "openrouter.nginx"
local plugin = require "apisix.plugin"

local NAME = "openrouter-cost"
local SCHEMA = { type = "object", properties = {} } -- nothing to configure for a route

local _M = {
  version = 0.1,
  priority = 1090, -- before body-transformer (1080) and the AI plugins, to see what OpenRouter sent and not what became of it
  name = NAME,
  schema = SCHEMA,
}

function _M.check_schema(conf)
  return core.schema.check(SCHEMA, conf)
end

-- When plugins are reloaded, APISIX calls this once more in a worker that has started already. Its privileged process is
-- another user, and proxies nothing.
function _M.init()
  if ngx.get_phase() ~= "init_worker" or not ngx.worker.id() then return end
  local options = { dir = ngx.config.prefix() .. "logs/openrouter" }
  for name, value in pairs(plugin.plugin_attr(NAME) or {}) do options[name] = value end
  local ok, why = pcall(openrouter.start, options)
  if not ok then core.log.error(NAME, ": nothing is logged: ", why) end
end

function _M.access(_, ctx)
  core.request.set_header(ctx, "Accept-Encoding", nil) -- or the cost cannot be read from what passes
end

function _M.header_filter(_, ctx)
  openrouter.capture { consumer = ctx.consumer_name, route = ctx.route_name or ctx.route_id }
end

function _M.body_filter()
  openrouter.scan()
end

function _M.log()
  openrouter.log { status = ngx.status }
end

-- GET /v1/plugin/openrouter-cost/metrics of the control API: the figures of all workers for Prometheus
function _M.control_api()
  local function metrics()
    core.response.set_header("Content-Type", "text/plain; charset=utf-8")
    return 200, openrouter.metrics()
  end
  return { { methods = { "GET" }, uris = { "/v1/plugin/" .. NAME .. "/metrics" }, handler = metrics } }
end

return _M

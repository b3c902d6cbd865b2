-- luacheck: read globals kong
--- The figures of all workers for Prometheus, at /openrouter-cost/metrics of Kong's Status API.
local openrouter = require "openrouter.nginx"

return {
  ["/openrouter-cost/metrics"] = {
    GET = function()
      return kong.response.exit(200, openrouter.metrics(), { ["Content-Type"] = "text/plain; charset=utf-8" })
    end,
  },
}

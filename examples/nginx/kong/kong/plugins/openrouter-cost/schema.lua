--- Nothing to configure for a route: openrouter.nginx starts with the worker, before Kong knows of any configuration.
local typedefs = require "kong.db.schema.typedefs"

return {
  name = "openrouter-cost",
  fields = {
    { protocols = typedefs.protocols_http },
    { config = { type = "record", fields = {} } },
  },
}

local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

describe("example", function()
  local sandbox
  setup(function() sandbox = servers.sandbox() end)
  teardown(function() sandbox:stop() end)
  after_each(shell.clean)

  for _, name in ipairs { "cqueues", "luv" } do
    it(name .. " prints what every id cost, those asked twice too", function()
      local fresh = ("gen-once-404-%s-%s"):format(name, os.getenv "LUA" or "")
      local status, out, err = shell.run(("OPENROUTER_BASE_URL=%s OPENROUTER_API_KEY=sk-or-sandbox %s examples/%s.lua %s"):format(
        sandbox.url, os.getenv "LUA" or "lua5.4", name, "gen-1 gen-2 gen-1790000000-status-403-a " .. fresh))
      assert.same({ 0, "" }, { status, err })
      local costs = {}
      for id, rest in out:gmatch "([^\t\n]+)\t([^\n]+)" do costs[id] = rest end
      assert.is_number(tonumber(costs["gen-1"]))
      assert.is_number(tonumber(costs["gen-2"]))
      assert.is_number(tonumber(costs[fresh]))
      assert.matches("forbidden %(HTTP 403%)", costs["gen-1790000000-status-403-a"])
    end)
  end
end)

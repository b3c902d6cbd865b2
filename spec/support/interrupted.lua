--- A loop over records that is broken off by an error at its n-th instruction, for n = 1, 2, 3, …, as Ctrl-C does it:
---
---   interrupted.lua BASE_URL N
---
--- What the client is good for afterwards must be told: a record, or an error. Prints how often it was what.
local openrouter = require "openrouter"

local jit = rawget(_G, "jit")
if jit then jit.off() end -- compiled code calls no hooks

local outcomes = {}
for n = 1, tonumber(arg[2]) do
  local client = openrouter.client { api_key = "sk-or-sandbox", base_url = arg[1], deadline = 5, window = n % 3 == 0 and 1 or 8 }
  pcall(function()
    debug.sethook(function()
      debug.sethook()
      error("interrupted!", 0)
    end, "", n)
    for _ in client:each { "gen-1", "gen-2", "gen-3" } do end -- luacheck: ignore 542
    debug.sethook()
  end)
  debug.sethook()
  collectgarbage() -- the loop is left
  local ok, gen, err = pcall(client.get, client, "gen-4")
  local outcome = ok and (gen and "record" or err.kind) or gen
  outcomes[outcome] = (outcomes[outcome] or 0) + 1
  client:close()
end
for outcome, times in pairs(outcomes) do print(times, outcome) end

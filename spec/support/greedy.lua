--- A busted helper for spec/support/sanitize: a garbage collector that is as eager as it can be.
---
--- In bursts that begin within specs and our own Lua, each allocation comes with a whole collection: also within a C function,
--- between two values that it makes. What it does not hold on to is gone then, and its memory is given back.
local sethook, getinfo, collect, clock = debug.sethook, debug.getinfo, collectgarbage, os.clock
if rawget(_G, "jit") then jit.off() end -- luacheck: ignore 113  what is compiled calls no hook

local CALM, BURST = 97, 40 -- VM instructions until the hook is called again
local SHARE = 4            -- this much time goes into the bursts, in proportion to what is between them
local PUC54 = _VERSION == "Lua 5.4"

local function be_eager()
  if PUC54 then
    collect("incremental", 1, 1000, 63) -- 1 % is rounded to none; a step of 2^63 bytes is one without an end
  else
    collect("setpause", 0)
    collect("setstepmul", 1e8)
  end
  collect("step", 0)
end

local function be_calm()
  if PUC54 then
    collect("incremental", 200, 100, 13)
  else
    collect("setpause", 200)
    collect("setstepmul", 200)
  end
  collect()
end

local function is_ours()
  local source = getinfo(3, "S").source
  return source:find "_spec%.lua$" or source:find "lua/openrouter/"
end

local eager, since, next_time, bursts, spent = false, 0, 0, 0, 0

local function hook()
  local now = clock()
  if eager then
    eager = false
    be_calm()
    now = clock()
    spent = spent + (now - since)
    next_time = now + (now - since) / SHARE
    sethook(hook, "", CALM)
  elseif now >= next_time and is_ours() then
    eager, since, bursts = true, now, bursts + 1
    sethook(hook, "", BURST)
    be_eager()
  end
end

local busted = require "busted"
busted.subscribe({ "suite", "end" }, function()
  sethook()
  be_calm()
  io.write(("%d bursts of collections, %.1f s\n"):format(bursts, spent))
  return nil, true
end)
sethook(hook, "", CALM)

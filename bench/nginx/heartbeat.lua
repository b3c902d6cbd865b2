-- luacheck: std ngx_lua
-- How long a worker's event loop keeps its timers waiting: one that wants to be woken every millisecond notes the gaps.
local clock = require "clock"

local heartbeat = {}

local gaps, count = {}, 0

local function beat(premature)
  local last = clock()
  while not premature and not ngx.worker.exiting() do
    ngx.sleep(0.001)
    local now = clock()
    count = count + 1
    gaps[count] = now - last
    last = now
  end
end

function heartbeat.start()
  assert(ngx.timer.at(0, beat))
end

-- The gaps since the last call, in microseconds.
function heartbeat.report()
  local list, length = gaps, count
  gaps, count = {}, 0
  for i = 1, length do list[i] = ("%.0f"):format(list[i]) end
  return table.concat(list, " ", 1, length)
end

return heartbeat

-- Records in a libuv loop, beside whatever else runs there:   lua examples/luv.lua ID…
local uv = require "luv"
local openrouter = require "openrouter"

local client = assert(openrouter.client())
local ready, timer = uv.new_poll(client:fd()), uv.new_timer()
local left = #arg

local function go_on()
  for id, gen, err in client:poll(0) do
    left = left - 1
    print(id, gen and gen.total_cost or err)
  end
  timer:stop()
  local seconds = client:timeout()
  if left == 0 then
    ready:close()
    timer:close()
    client:close()
  elseif seconds then
    timer:start(math.ceil(seconds * 1000), 0, go_on)
  end
end

for _, id in ipairs(arg) do assert(client:submit(id)) end
ready:start("r", go_on)
timer:start(0, 0, go_on)
uv.run()

-- Records in a cqueues loop, beside whatever else runs there:   lua examples/cqueues.lua ID…
local cqueues = require "cqueues"
local openrouter = require "openrouter"

local client = assert(openrouter.client())
local loop = cqueues.new()

loop:wrap(function()
  for _, id in ipairs(arg) do assert(client:submit(id)) end
  local left, ready = #arg, { pollfd = client:fd(), events = "r" }
  while left > 0 do
    ready.timeout = client:timeout()
    cqueues.poll(ready)
    for id, gen, err in client:poll(0) do
      left = left - 1
      print(id, gen and gen.total_cost or err)
    end
  end
  cqueues.cancel(ready.pollfd) -- before it is closed
  client:close()
end)

assert(loop:loop())

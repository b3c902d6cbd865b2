-- Reading a member of a record, in turn with reading the same from a table:  LUA access.lua FILE
-- Prints for each the nanoseconds of one access, the loop's own taken off; the least of many short turns.
local generation = require "openrouter.generation"
local openrouter = require "openrouter"

local line = assert(io.open(arg[1])):read "*l"
local gen = assert(openrouter.decode(line))
local plain = require("cjson").decode(line).data
local cost = generation.select "total_cost"
local nothing = setmetatable({}, { __index = debug.getregistry })  -- a function in C that looks at nothing, and pushes one value
local COUNT, TURNS = 200000, 40

local ways = {
  { "the loop alone", function() for _ = 1, COUNT do end end },
  { "a member of a table", function() local x for _ = 1, COUNT do x = plain.total_cost end return x end },
  { "a C function alone", function() local x for _ = 1, COUNT do x = nothing.total_cost end return x end },
  { "an integer", function() local x for _ = 1, COUNT do x = gen.native_tokens_prompt end return x end },
  { "an amount", function() local x for _ = 1, COUNT do x = gen.total_cost end return x end },
  { "a boolean", function() local x for _ = 1, COUNT do x = gen.is_byok end return x end },
  { "a null", function() local x for _ = 1, COUNT do x = gen.router end return x end },
  { "a string", function() local x for _ = 1, COUNT do x = gen.model end return x end },
  { "an amount by select", function() local x for _ = 1, COUNT do x = cost(gen) end return x end },
}
local best = {}
for _ = 1, TURNS do
  for i, way in ipairs(ways) do
    local start = os.clock()
    way[2]()
    best[i] = math.min(best[i] or math.huge, (os.clock() - start) / COUNT * 1e9)
  end
end
for i = 2, #ways do print(("%-22s %5.1f ns"):format(ways[i][1], best[i] - best[1])) end

-- lua5.4 loop.lua records|cjson FILE: the same by a loop in Lua, with doubles for money and exact quantiles
local how, path = arg[1], arg[2]
local groups = {}

local function add(model, day, spend, prompt, completion, latency)
  local key = model .. "\t" .. day
  local group = groups[key]
  if not group then
    group = { generations = 0, spend = 0, prompt = 0, completion = 0, latencies = {} }
    groups[key] = group
  end
  group.generations = group.generations + 1
  group.spend = group.spend + spend
  group.prompt = group.prompt + prompt
  group.completion = group.completion + completion
  group.latencies[group.generations] = latency
end

if how == "records" then
  local openrouter, generation = require "openrouter", require "openrouter.generation"
  local members = generation.select("model", "created_at", "total_cost", "native_tokens_prompt", "native_tokens_completion",
    "latency")
  for gen in openrouter.records(path) do
    local model, created_at, spend, prompt, completion, latency = members(gen)
    add(model, created_at:sub(1, 10), spend, prompt, completion, latency)
  end
else
  local cjson = require "cjson"
  for line in io.lines(path) do
    local gen = cjson.decode(line).data
    add(gen.model, gen.created_at:sub(1, 10), gen.total_cost, gen.native_tokens_prompt, gen.native_tokens_completion, gen.latency)
  end
end

for key, group in pairs(groups) do
  local latencies = group.latencies
  table.sort(latencies)
  local function quantile(percent) return latencies[math.max(math.ceil(#latencies * percent / 100), 1)] end
  print(key, group.generations, ("%.12g"):format(group.spend), group.prompt, group.completion, quantile(50), quantile(95))
end

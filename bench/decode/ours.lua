-- One way of decoding, in a process of its own:  LUA ours.lua MODE FILE PASSES
-- Prints nanoseconds of CPU time for each record, of the fastest pass over the lines, which are in memory before; and with the
-- mode "memory" bytes of memory for each record held.
local mode, file, passes = arg[1], arg[2], tonumber(arg[3])
local unpack = rawget(table, "unpack") or rawget(_G, "unpack")

local TEN = { "model", "total_cost", "provider_name", "latency", "native_tokens_prompt", "native_tokens_completion", "is_byok",
  "finish_reason", "created_at", "id" }
local FOUR = { "total_cost", "latency", "native_tokens_prompt", "native_tokens_completion" }

local function cjson_decode() return require("cjson").decode end
local function decode() return require("openrouter").decode end
local function select(names) return require("openrouter.generation").select(unpack(names)) end

local last -- what was read, so that it is read

-- The members of the newest schema
local function all_names()
  local names = {}
  for _, field in ipairs(require("openrouter").fields) do
    if field.presence ~= "retired" then names[#names + 1] = field.name end
  end
  return names
end

-- What is done with a line; the ten members one by one, as programs have them.
local modes = {
  none = function() return function() end end,
  cjson = function() return cjson_decode() end,
  ["cjson+10"] = function()
    local parse = cjson_decode()
    return function(line)
      local g = parse(line).data
      return g.model, g.total_cost, g.provider_name, g.latency, g.native_tokens_prompt, g.native_tokens_completion, g.is_byok,
        g.finish_reason, g.created_at, g.id
    end
  end,
  ["cjson+4"] = function()
    local parse = cjson_decode()
    return function(line)
      local g = parse(line).data
      return g.total_cost, g.latency, g.native_tokens_prompt, g.native_tokens_completion
    end
  end,
  decode = function() return decode() end,
  ["decode+10"] = function()
    local parse = decode()
    return function(line)
      local g = parse(line)
      return g.model, g.total_cost, g.provider_name, g.latency, g.native_tokens_prompt, g.native_tokens_completion, g.is_byok,
        g.finish_reason, g.created_at, g.id
    end
  end,
  ["select+10"] = function()
    local parse, ten = decode(), select(TEN)
    return function(line) return ten(parse(line)) end
  end,
  ["cjson+45"] = function()
    local parse, names = cjson_decode(), all_names()
    return function(line)
      local g = parse(line).data
      for i = 1, #names do last = g[names[i]] end
    end
  end,
  ["decode+45"] = function()
    local parse, names = decode(), all_names()
    return function(line)
      local g = parse(line)
      for i = 1, #names do last = g[names[i]] end
    end
  end,
  ["reuse+4"] = function()
    local parse, four = decode(), select(FOUR)
    local gen
    return function(line)
      gen = parse(line, gen)
      return four(gen)
    end
  end,
}

local lines = {}
for line in io.lines(file) do lines[#lines + 1] = line end

-- The heap's growth while all records are held, the lines apart (the records' text is their own copy).
local function memory(parse)
  local held = {}
  for i = 1, #lines do held[i] = true end
  collectgarbage() collectgarbage()
  local before = collectgarbage "count"
  for i, line in ipairs(lines) do held[i] = parse(line) end
  collectgarbage() collectgarbage()
  return (collectgarbage "count" - before) * 1024 / #held
end

if mode == "memory" then
  local text = 0
  for _, line in ipairs(lines) do text = text + #line end
  print(("%.0f bytes a record with lua-cjson, %.0f with ours, of which %.0f are the text"):format(
    memory(cjson_decode()), memory(decode()), text / #lines))
  return
end

local work, best = modes[mode](), math.huge
for _ = 1, passes do
  local start = os.clock()
  for i = 1, #lines do work(lines[i]) end
  best = math.min(best, os.clock() - start)
end
print(("%.1f ns a record"):format(best / #lines * 1e9), last ~= nil and "" or nil)

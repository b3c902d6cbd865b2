--- What spec/support/decode_oom.c lets run out of memory: decoding, all that is asked of records, tallies.
---
---   local prepare = chunk()
---   local call, whole, between, show, name = prepare(number of the case)   -- nothing: there is none of that number
---
--- `call` is what is swept. It makes as little as it can besides; `show` turns what it returns into a string. It can be
--- called again, whether it raised or not. `whole` returns all that can then be seen of what `call` had in its hands, as a
--- string. `between`, where there is one, is called after a call that raised and returns what is wrong by then.
local core = require "openrouter.core"
local generation = core.generation

local unpack = table.unpack or unpack
local NO_MEMORY = "not enough memory" -- as each Lua says it, and as we do

-- ---- showing values ---------------------------------------------------------------------------------------------------

local show

local function show_table(value)
  local parts = {}
  for key, inner in pairs(value) do parts[#parts + 1] = show(key) .. "=" .. show(inner) end
  table.sort(parts)
  return "{" .. table.concat(parts, " ") .. "}"
end

function show(value)
  if type(value) == "table" then return show_table(value) end
  if type(value) == "number" then return ("%.17g"):format(value) end
  if type(value) == "string" then return (value:gsub("%c", "?")) end -- a NUL would end it for C
  return type(value) == "userdata" and value ~= core.null and generation.json(value) or tostring(value)
end

local function show_all(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = show((select(i, ...))) end
  return table.concat(parts, "\n")
end

-- ---- texts ------------------------------------------------------------------------------------------------------------

local function fixture(name)
  local file = assert(io.open("spec/fixtures/" .. name, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local ODD = [[ { "id" : "gen-\u00e9\n\"1\"", "model": "caf\u00e9/\ud83d\ude00",
  "mod\u0065l_b": {"a": [1, 2.5, {"\u0041": null}], "b": "x\ty"},
  "list": [true, [], {}, "\\", 12345678901234567890, -0.0, 1e400], "total_cost": 1e-7, "total_cost": 0.25, "usage": "free",
  "is_byok": null, "tokens_prompt": 10.0, "latency": {"not": "a number"}, "finish_reason": "of a kind that nobody knows",
  "provider_responses": [ null, {"status": 200, "latency": "slow", "new": {"x": [1]}, "provider_\u006eame": "A\u0000B"}, 7,
    {"status": null, "id": "\u20ac"} ], "cache_discount": 0.00000000000000000000000000000000001,
  "upstream_inference_cost": 1e300, "": 1, "long": "0123456789012345678901234567890123456789012345678901234567890123456789" } ]]

local RECORDS = {
  { "the newest", fixture "newest_45fields.json" },
  { "a ledger line", '{"settled":"gen-2","at":"2026-11-02T08:15:31.000Z","context":{"user":"J\\u00fcrgen","paid":true,"n":1.5},'
    .. '"instant":{"cost":0.1},"answer":' .. fixture "ok_docs_2026-02_provider_response_float_status.json" .. "}" },
  { "an odd one", ODD },
  { "an empty one", "{}" },
}

local REFUSED = {
  { "an empty text", "" },
  { "half a text", fixture("newest_45fields.json"):sub(1, 700) },
  { "no object", "[1,2]" },
  { "a bad string", '{"id":"\\ud800"}' },
  { "nested too deeply", ("["):rep(2000) },
  { "an API error", fixture "error_429_with_error_type_metadata.json" },
  { "a content error", fixture "content_error_schema_example.json" },
  { "a gateway's error", '{"error":"upstream \\"gone\\""}' },
  { "a failed line", '{"failed":"gen-3","at":"2026-11-02T08:15:31.000Z","error":{"kind":"rate_limited","status":429,'
    .. '"message":"slow \\u0064own","attempts":3}}' },
  { "a failed line without a reason", '{"failed":"gen-3"}' },
  { "a pending line", '{"pending":"gen-4","at":"2026-11-02T08:15:31.000Z","key":"a","context":{"user":"x"}}' },
  { "a note line", '{"note":"gen-4","at":"2026-11-02T08:15:31.000Z","context":{"user":"x"}}' },
}

-- ---- what is asked of a record -------------------------------------------------------------------------------------------

local NAMES = { "a member that is not there" }
for _, field in ipairs(core.fields) do NAMES[#NAMES + 1] = field.name end
for _, name in ipairs { "model_b", "list", "", "long" } do NAMES[#NAMES + 1] = name end

local PATHS = { { "provider_responses", 1, "status" }, { "provider_responses", 2, "latency" }, { "provider_responses", 1 },
  { "model_b", "a", 3, "A" }, { "list", 5 }, { "list", 5, "x" }, { "gone", 1 }, { "model" }, { "model_b" }, { "list" }, { "id" },
  { "total_cost" }, { "usage" }, { "is_byok" }, { "cache_discount" }, { "provider_responses" } }

-- What was got goes to the places of a table that has them already.
local seen, SEEN = {}, 2 * #NAMES
for i = 1, SEEN do seen[i] = false end

local function seen_up_to(last)
  for i = last + 1, SEEN do seen[i] = false end
  return seen
end

local function members(gen)
  for i = 1, #NAMES do
    local value = gen[NAMES[i]]
    seen[i] = value == nil and "nil" or value
  end
  return seen_up_to(#NAMES)
end

local function responses(gen)
  local list = gen.provider_responses
  return list, list == gen.provider_responses
end

local function unknown_objects(gen)
  local object, list = gen.model_b, gen.list
  return object, list, object == gen.model_b, list == gen.list
end

-- Where 5.1 and LuaJIT have no __pairs, pairs(record) raises.
local function step_through(f, gen)
  local ok, step, state, name = pcall(f, gen)
  if not ok then
    if step == NO_MEMORY then error(step, 0) end
    return "no pairs"
  end
  local i = 0
  while true do
    local value
    name, value = step(state, name)
    if name == nil then break end
    seen[i + 1], seen[i + 2] = name, value == nil and "nil" or value
    i = i + 2
  end
  return seen_up_to(i)
end

local function at_paths(f, gen)
  for i, path in ipairs(PATHS) do seen[i] = f(gen, unpack(path)) or false end
  return seen_up_to(#PATHS)
end

local first_five

-- What a function that misuses something raises: an orderly want of memory is to come through.
local function misuse(f, ...)
  local ok, why = pcall(f, ...)
  if ok then return "no error" end
  if why == NO_MEMORY then error(why, 0) end
  return why
end

local function change(gen) gen.model = "another" end

local function misused(gen)
  return misuse(change, gen), misuse(generation.exact, gen), misuse(generation.exact, gen, seen), misuse(generation.spend, "x"),
    misuse(generation.select), misuse(core.decode, 1)
end

local ASKED = {
  { "members", members },
  { "provider_responses", responses },
  { "unknown objects", unknown_objects },
  { "generation.pairs", function(gen) return step_through(generation.pairs, gen) end },
  { "pairs", function(gen) return step_through(pairs, gen) end },
  { "exact", function(gen) return at_paths(generation.exact, gen) end },
  { "state", function(gen) return at_paths(generation.state, gen) end },
  { "violations", generation.violations },
  { "totable", generation.totable },
  { "json", generation.json },
  { "answer", generation.answer },
  { "select", function(gen) return generation.select("model", "total_cost", "provider_responses", "model_b", "gone")(gen) end },
  { "selected", function(gen) return first_five(gen) end },
  { "context", generation.context },
  { "spend", generation.spend },
  { "tostring", tostring },
  { "misuse", misused },
}

first_five = generation.select("model", "total_cost", "provider_responses", "list", "tokens_prompt")

local WHOLE = { members, generation.violations, generation.totable, generation.answer, generation.context, generation.spend }

local function whole_record(gen)
  local parts = {}
  for i, f in ipairs(WHOLE) do parts[i] = show_all(f(gen)) end
  return table.concat(parts, "\n\n")
end

-- ---- the cases --------------------------------------------------------------------------------------------------------

local cases = {} -- { name, function that returns call, whole, between }

local function case(name, prepare) cases[#cases + 1] = { name, prepare } end

local function decoded(text) return assert(core.decode(text)) end

for _, record in ipairs(RECORDS) do
  local text = record[2]
  case("decode " .. record[1], function()
    local gen
    return function()
      gen = core.decode(text)
      return gen
    end, function() return whole_record(gen) end
  end)
  for _, asked in ipairs(ASKED) do
    case(asked[1] .. " of " .. record[1], function()
      local gen, f = decoded(text), asked[2]
      return function() return f(gen) end, function() return whole_record(gen) end
    end)
  end
end

-- Where there was no memory for a step, iterating goes on: it gives no member twice, and none another's value.
for _, record in ipairs(RECORDS) do
  local text = record[2]
  case("a step of pairs over " .. record[1], function()
    local gen = decoded(text)
    local wanted, times = {}, {}
    for name, value in generation.pairs(gen) do wanted[name], times[name] = show(value), 0 end
    local step, wrong = generation.pairs(gen), nil
    local function go_on()
      while true do
        local name, value = step()
        if name == nil then return wrong or "through" end
        times[name] = times[name] + 1
        if times[name] > 1 then wrong = name end
        if type(value) ~= "table" and show(value) ~= wanted[name] then wrong = name end
      end
    end
    return go_on, function() return whole_record(gen) end
  end)
end

-- ---- decoding into a record: core.decode(text, record)
-- Whatever failed, the record is the old one or the new one and nothing between; a text that is refused leaves it as it was.
-- As long as decode makes a new one every time, the old one simply stays.

for i, record in ipairs(RECORDS) do
  local before = RECORDS[i % #RECORDS + 1]
  case(("decode %s into %s"):format(record[1], before[1]), function()
    local kept, gen = decoded(before[2]), nil
    local old, new = whole_record(kept), whole_record(decoded(record[2]))
    return function()
      gen = core.decode(record[2], kept)
      return gen
    end, function() return whole_record(gen) .. whole_record(kept) end, function()
      local now = whole_record(kept)
      if now ~= old and now ~= new then return "a record that is neither the old one nor the new one: " .. now end
    end
  end)
end

for _, refused in ipairs(REFUSED) do
  local text = refused[2]
  case("decode " .. refused[1], function()
    local function call() return core.decode(text) end
    return call, function() return show_all(call()) end
  end)
  case(("decode %s into a record"):format(refused[1]), function()
    local kept = decoded(RECORDS[3][2])
    local old = generation.json(kept)
    local function call() return core.decode(text, kept) end
    return call, function() return show_all(call()) .. whole_record(kept) end, function()
      if generation.json(kept) ~= old then return "a text that is refused has changed the record" end
    end
  end)
end

local too_long -- made once, since that takes its time
case("decode what is too long", function()
  too_long = too_long or ("x"):rep(64 * 1024 * 1024 + 1)
  local function call() return core.decode(too_long) end
  return call, function() return show_all(call()) end
end)

case("tostring of an error", function()
  require "openrouter.errors"
  local _, err = core.decode(REFUSED[6][2])
  return function() return tostring(err) end, function() return show(err) end
end)

-- ---- tallies

local DIMENSIONS = { "model", "day", "context.user", "is_byok", "app_id" }
local SUMS, SPREADS = { "spend", "cancelled", "failed_attempts", "total_cost", "tokens_prompt" }, { "latency", "tokens_prompt" }

local function new_tally()
  return core.tally { dimensions = DIMENSIONS, sums = SUMS, spreads = SPREADS }
end

local function whole_tally(t)
  local parts = { show(t:counts()) }
  local function put(...) parts[#parts + 1] = show_all(...) end
  for group = 0, t:groups() do
    if t:generations(group) > 0 then -- groups that have lost their last record are none to a report
      put(group, t:generations(group), t:key(group))
      for place in ipairs(SUMS) do put(t:sum(group, place)) end
      for place in ipairs(SPREADS) do
        put(t:quantile(group, place, 0), t:quantile(group, place, 50), t:quantile(group, place, 100))
      end
    end
  end
  return table.concat(parts, "\n")
end

-- Records and lines that fit, replace one another and do not fit, twenty groups among them.
local LINES = {}
for _, list in ipairs { RECORDS, REFUSED } do
  for _, entry in ipairs(list) do LINES[#LINES + 1] = (entry[2]:gsub("\n", " ")) end
end
for i = 1, 20 do
  LINES[#LINES + 1] = ('{"settled":"gen-%d","at":"2026-11-02T08:15:%02d.000Z","context":{"user":"%d"},'
    .. '"answer":{"data":{"id":"gen-%d","total_cost":0.%d,"latency":%d}}}'):format(i % 7, i, i, i % 7, i, i * i * 100)
end
LINES[#LINES + 1] = '{"failed":"gen-1","error":{"kind":"not_found"}}'
LINES[#LINES + 1] = " "

-- A refusal for want of memory, raised like Lua's own.
local function remembered(what, why, ...)
  if why == NO_MEMORY then error(why, 0) end
  return what, why, ...
end

case("make a tally", function()
  local t
  return function()
    t = new_tally()
    return "made"
  end, function() return whole_tally(t) end
end)

-- One line or record more for a tally. What failed is not in it: it is as it was before, and takes it afterwards.
local function add_one(name, i, prepare)
  case(("%s, line %d"):format(name, i), function()
    local t, added = new_tally(), nil
    for j = 1, i - 1 do t:add_line(LINES[j]) end
    local before, add = whole_tally(t), prepare(t, LINES[i])
    return function()
      if added == nil then added = remembered(add()) or "refused" end
      return added
    end, function() return whole_tally(t) end, function()
      if whole_tally(t) ~= before then return "the tally has changed:\n" .. before .. "\nto\n" .. whole_tally(t) end
    end
  end)
end

for i in ipairs(LINES) do
  add_one("tally:add_line", i, function(t, line) return function() return t:add_line(line) end end)
  if i % 5 == 1 then
    add_one("tally:add", i, function(t, line)
      local gen = core.decode(line) or decoded(ODD)
      return function() return t:add(gen) end
    end)
  end
end

case("what a tally says", function()
  local t = new_tally()
  for _, line in ipairs(LINES) do t:add_line(line) end
  local groups = t:groups()
  return function()
    for i = 1, groups do seen[i] = t:key(i) end
    local counts = t:counts()
    return counts, t:sum(0, 1), t:sum(groups, 2), t:quantile(0, 1, 50), seen_up_to(groups)
  end, function() return whole_tally(t) end
end)

-- Reports are Lua; of what they need, nothing is loaded within the call: after a failure in it, PUC 5.1 never loads it again.
local function new_report(options)
  local r = assert(require "openrouter.report".new(options))
  require "openrouter.format.text"
  require "openrouter.format.json"
  for _, line in ipairs(LINES) do
    local gen = core.decode(line)
    if gen then r:add(gen) end
  end
  return r
end

case("a report's rows", function()
  local r = new_report { by = "model", measures = "generations,spend,latency_p95,cancelled" }
  return function() return r:rows(), r:total(), r:omitted() end, function() return show_all(r:rows()) end
end)

case("a report as text", function()
  local r = new_report { by = "is_byok", measures = "spend" }
  return function() return r:render "text" end, function() return r:render "json" end
end)

-- ---- the module itself: what is there stays whole while it is loaded again

case("load the module", function()
  local gen, again = decoded(ODD), nil
  return function()
    package.loaded["openrouter.core"] = nil
    again = require "openrouter.core"
    return again.decode(ODD)
  end, function() return whole_record(gen) .. whole_record(again.decode(RECORDS[2][2])) end, function()
    local ok, why = pcall(whole_record, gen)
    if not ok then return "a record made before: " .. why end
  end
end)

return function(number)
  if not cases[number] then return end
  local call, whole, between = cases[number][2]()
  return call, whole, between or false, show_all, cases[number][1]
end

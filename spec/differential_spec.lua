-- Records as openrouter.decode reads them, against what Python's json and decimals say of the same texts: every value, its
-- state and exact text, the order, the tables, the spend. Where the two are to differ, and why, is RULES in
-- spec/support/differential.py. COUNT says how many texts and SEED which ones.
local cjson = require "cjson"
local generation = require "openrouter.generation"
local openrouter = require "openrouter"

local unpack = table.unpack or unpack
local math_type = rawget(math, "type") -- 5.3 on

local COUNT = tonumber(os.getenv "COUNT" or 20000)
local SEED = tonumber(os.getenv "SEED" or 20261122)

local names, plain_names = {}, {}
for i, field in ipairs(openrouter.fields) do
  names[i] = field.name
  if field.name ~= "provider_responses" then plain_names[#plain_names + 1] = field.name end
end
local select_all, select_plain = generation.select(unpack(names)), generation.select(unpack(plain_names))

-- ---- a record as text, as differential.py writes it -------------------------------------------------------------------

local format, null = string.format, openrouter.null

local function key_before(a, b)
  if type(a) == type(b) then return a < b end
  return type(a) == "number"
end

-- All the digits that tell it from other doubles. LuaJIT's own %.17g rounds what is halfway up, so C's is asked there.
local digits = function(number) return format("%.17g", number) end
if rawget(_G, "jit") then
  local ffi = require "ffi"
  ffi.cdef "int snprintf (char *, size_t, const char *, ...);"
  local buffer = ffi.new "char[32]"
  digits = function(number) return ffi.string(buffer, ffi.C.snprintf(buffer, 32, "%.17g", ffi.cast("double", number))) end
end

local function show(value)
  local kind = type(value)
  if kind == "string" then return "s" .. #value .. ":" .. value end
  if kind == "number" then
    if math_type and math_type(value) == "integer" then return format("i%d", value) end
    return "d" .. digits(value)
  end
  if kind ~= "table" then return value == null and "null" or tostring(value) end
  local keys, parts = {}, { "{" }
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, key_before)
  for _, key in ipairs(keys) do parts[#parts + 1] = show(key) .. "=" .. show(value[key]) .. ";" end
  parts[#parts + 1] = "}"
  return table.concat(parts)
end

-- Add all values, which have to be the same whatever white space there is; return them as one string too.
local function add_values(lines, gen)
  local first = #lines + 1
  for name, value in generation.pairs(gen) do lines[#lines + 1] = show(name) .. " " .. show(value) end
  lines[#lines + 1] = show(generation.totable(gen))
  return table.concat(lines, "\n", first)
end

-- Luassert's assert is slow.
local function check(good, what)
  if not good then error("not " .. what) end
end

-- A record that serves for all texts, as nothing is asked of it but what does not keep it.
local reused = assert(openrouter.decode('{"room":"' .. ("x"):rep(2 ^ 20) .. '"}'))

local function check_reused(text, gen)
  check(rawequal(openrouter.decode(text, reused), reused), "used again")
  local values, expected = { select_plain(reused) }, { select_plain(gen) }
  for i, name in ipairs(plain_names) do check(rawequal(values[i], expected[i]), "the same when used again: " .. name) end
  for _, name in ipairs { "id", "usage", "total_cost", "provider_responses" } do
    check(generation.exact(reused, name) == generation.exact(gen, name), "the same when used again: " .. name)
  end
  check(select(2, generation.spend(reused)) == select(2, generation.spend(gen)), "spent the same")
end

local function read(text, paths, thorough)
  local gen, err = openrouter.decode(text)
  if not gen then
    if not err.byte then return "none" end
    if thorough then check(not openrouter.decode(text, reused), "taken now") end
    check(err.kind == "bad_answer" and err.byte >= 1 and err.byte <= #text + 1, "where it is wrong")
    return "refused"
  end
  check_reused(text, gen)
  local lines = {}
  local selected = { select_all(gen) }
  for i, name in ipairs(names) do
    local value, state, exact = gen[name], generation.state(gen, name), generation.exact(gen, name) or "nil"
    check(rawequal(value, selected[i]), "the same every time")
    if value == nil then lines[i] = name .. " nil " .. state .. " " .. exact
    else lines[i] = name .. " " .. show(value) .. " " .. state .. " " .. exact end
  end
  local values = add_values(lines, gen)
  for _, path in ipairs(paths) do
    lines[#lines + 1] = generation.state(gen, unpack(path)) .. " " .. (generation.exact(gen, unpack(path)) or "nil")
    if #path == 1 then check(rawequal(gen[path[1]], gen[path[1]]), "the same every time") end
  end
  local json, answer = generation.json(gen), generation.answer(gen)
  lines[#lines + 1] = json
  lines[#lines + 1] = answer
  lines[#lines + 1] = tostring(gen)
  lines[#lines + 1] = show(generation.context(gen))
  local number, exact = generation.spend(gen)
  lines[#lines + 1] = show(number) .. " " .. exact
  check(type(generation.violations(gen)) == "table")

  local settled = openrouter.decode('{"settled":"a","answer":' .. answer .. "}")
  local by_itself = openrouter.decode(json)
  by_itself = by_itself and generation.json(by_itself) == json
  lines[#lines + 1] = tostring(settled ~= nil) .. " " .. tostring(by_itself or false)
  if settled and thorough then check(values == add_values({}, settled), "the same from a ledger") end
  return table.concat(lines, "\n")
end

-- ---- the comparison ---------------------------------------------------------------------------------------------------

-- The first lines that differ.
local function difference(expected, found)
  local theirs, ours = (expected .. "\n"):gmatch "(.-)\n", (found .. "\n"):gmatch "(.-)\n"
  for i = 1, math.huge do
    local a, b = theirs(), ours()
    if a ~= b then return ("line %d\n  expected %s\n  found    %s"):format(i, tostring(a), tostring(b)) end
  end
end

describe("a record", function()
  it("is what Python makes of the same text, but where a rule says otherwise", function()
    local mode = math_type and "integers" or "doubles"
    local pipe = assert(io.popen(("python3 spec/support/differential.py %d %d %s"):format(COUNT, SEED, mode)))
    local kinds, outcomes, count = {}, { refused = 0, none = 0, record = 0 }, 0
    local rules
    while true do
      local header = pipe:read "*l"
      rules = header and header:match "^end (.*)$"
      if rules or not header then break end
      local lengths = { header:match "^(%d+) (%d+) (%d+) (.*)$" }
      local text, paths = pipe:read(tonumber(lengths[1])) or "", pipe:read(tonumber(lengths[2]))
      local expected = pipe:read(tonumber(lengths[3]))
      pipe:read "*l"
      count = count + 1
      local good, found = pcall(read, text, cjson.decode(paths), count % 4 == 0)
      if not good or found ~= expected then
        error(("text %d with seed %d, %s: %s\n%s"):format(count, SEED, lengths[4], text,
          good and difference(expected, found) or found))
      end
      local outcome = outcomes[expected] and expected or "record"
      outcomes[outcome] = outcomes[outcome] + 1
      kinds[lengths[4]] = (kinds[lengths[4]] or 0) + 1
    end
    pipe:close()
    assert.is_truthy(rules, "differential.py came to its end")
    assert.equal(COUNT, count)

    -- nothing was left out: every kind of text, outcome and rule came up
    for _, kind in ipairs { "record", "offsets", "bad space", "bad string", "bad number", "bad value", "deep", "other",
      "damaged" } do
      assert.is_true((kinds[kind] or 0) >= math.floor(COUNT / 100), kind)
    end
    for outcome, number in pairs(outcomes) do assert.is_true(number >= COUNT / 100, outcome) end
    for rule, times in pairs(cjson.decode(rules)) do assert.is_true(times > 0 or COUNT < 20000, rule) end
  end)
end)

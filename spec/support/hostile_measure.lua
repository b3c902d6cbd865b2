--- What hostile shapes cost, counted and not timed:  LUA hostile_measure.lua instructions|memory BYTES DIRECTORY
--- meter.c must be found as a module. Instructions are marked for callgrind as SHAPE/ENTRY/OPERATION/BYTES, where BYTES is 0 for
--- the smallest text there is; memory is printed as that, the text's length, and the peaks.
local openrouter = require "openrouter"
local meter = require "meter"
local operations = require "spec.support.hostile_operations"
local shapes = require "spec.support.hostile_shapes"

local what, bytes, directory = arg[1], tonumber(arg[2]), arg[3]
local path = directory .. "/text"

local function write(text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function is_in(names, operation)
  return (" " .. names .. " "):find(" " .. operation.name .. " ", 1, true) ~= nil
end

-- The operations with these names.
local function pick(names)
  local chosen = {}
  for _, operation in ipairs(operations.list) do
    if is_in(names, operation) then chosen[#chosen + 1] = operation end
  end
  return chosen
end

-- All others as one.
local function add_rest(name, chosen, but)
  local others = {}
  for _, operation in ipairs(operations.list) do
    local single = false
    for _, one in ipairs(chosen) do single = single or one == operation end
    if not single and not is_in(but, operation) then others[#others + 1] = operation end
  end
  chosen[#chosen + 1] = { name = name, run = function(...)
    for _, operation in ipairs(others) do operation.run(...) end
  end }
  return chosen
end

-- What makes a difference where. The operations that walk through the text stand alone, so that each is judged alone; what
-- they have in common with another is not measured twice, and under LuaJIT only what depends on Lua.
local jit = rawget(_G, "jit")
local the_error = { operations.of_texts[2] }
local lists = {
  ["an answer"] = pick "decode pairs violations totable tally:add",
  ["beside an answer"] = pick "answer",
  ["a ledger line"] = pick "answer tally:add",
  ["a provider's response"] = pick "provider_responses violations tally:add",
  ["a context"] = pick "context tally:add report",
  ["an API's error"] = the_error,
}
if not jit then
  local walking = pick "decode pairs exact violations totable json tally:add tally:add_line ledger.read"
  lists["an answer"] = add_rest("the rest", walking, "state answer report render report:add_file")
end
local of_numbers = add_rest("what reads numbers", pick "violations",
  "decode pairs exact state totable json answer tally:add_line ledger.read report render report:add_file")

-- What a number costs is the same wherever it stands.
local function list_for(shape, entry)
  if not shape.number then return lists[entry.name] end
  if entry.name ~= "an answer" then return {} end
  return shape.number == "x" and lists[entry.name] or shape.number ~= "latency" and of_numbers or {}
end

-- With no collection on the way, so that it is the same every time.
local function count_instructions(label, list, text)
  write(text)
  local gen = openrouter.decode(text)
  collectgarbage()
  collectgarbage "stop"
  for _, operation in ipairs(list) do
    meter.zero()
    local _ = operation.run(gen, text, path)
    meter.mark(label:format(operation.name))
  end
  collectgarbage "restart"
end

local function in_two_sizes(shape, entry, list)
  for i = 1, #list > 0 and 2 or 0 do
    local label = ("%s/%s/%%s/%d"):format(shape.name, entry.name, i * bytes)
    count_instructions(label, list, (shapes.text(shape, entry, i * bytes)))
  end
end

local function measure_base(entry, list)
  for _ = 1, 2 do -- the first time loads modules
    count_instructions(("/%s/%%s/0"):format(entry.name), list, entry.before .. '"x":1' .. entry.after)
  end
end

local function instructions()
  local answer = shapes.entries[2]
  measure_base(answer, of_numbers)
  measure_base(answer, the_error)
  for _, entry in ipairs(jit and { answer } or shapes.entries) do
    if lists[entry.name] then
      measure_base(entry, lists[entry.name])
      for _, shape in ipairs(shapes.good) do in_two_sizes(shape, entry, list_for(shape, entry)) end
    end
  end
  for _, shape in ipairs(jit and {} or shapes.bad) do in_two_sizes(shape, answer, the_error) end
end

-- The most that an operation has allocated at once, with no collection before its end: by Lua, and what it keeps beside that.
local function memory()
  for _, i in ipairs { 2, 5, 6, 7 } do
    local entry = shapes.entries[i]
    for _, shape in ipairs(shapes.good) do
      local text = shapes.text(shape, entry, bytes)
      write((text:gsub("\n", " "))) -- one line, as in a ledger
      for _, operation in ipairs(entry.reads and operations.of_texts or operations.list) do
        local gen = openrouter.decode(text)
        collectgarbage()
        collectgarbage()
        collectgarbage "stop"
        local before, heap = meter.start(), meter.heap()
        local result = operation.run(gen, text, path)
        local kept = meter.heap() - heap
        if not jit then kept = kept - (meter.used() - before) end
        local peak = meter.peak() - before
        print(("%s/%s/%s\t%d\t%d\t%d"):format(shape.name, entry.name, operation.name, #text, peak, result ~= nil and kept or 0))
        collectgarbage "restart"
      end
    end
  end
end

if what == "instructions" then instructions() else memory() end

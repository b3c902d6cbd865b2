--- What spec/support/closing.c closes a state with: an object of each kind and what belongs to it, made in any order.
---
---   local kinds, make = chunk(directory, port, say)
---   make(kind)               -- from 1 to kinds
---
--- port: of 127.0.0.1, where everything is taken and nothing answered. say("answered") and say("refused") count the calls
--- that finalizers make, say(text) tells what is wrong.
---
--- With each object come two witnesses, which use it when they are finalized: one before the object is, and one after it.
local directory, port, say = ...
local openrouter = require "openrouter"
local core = require "openrouter.core"
local generation = require "openrouter.generation"

local unpack = table.unpack or unpack

local kept = {} -- alive when the state is closed

local function expect(wanted, got, what)
  if wanted ~= got then say(("%s is %s and not %s"):format(what, tostring(got), tostring(wanted))) end
end

-- Call this function when the object it returns is finalized.
local function finally(f)
  if rawget(_G, "newproxy") then
    local proxy = newproxy(true) -- luacheck: ignore 113
    getmetatable(proxy).__gc = f
    return proxy
  end
  return setmetatable({}, { __gc = f })
end

-- How an object says that it has been finalized, or is not that far yet.
local ORDERLY = { "closed", "a tally that was never made", "engine expected, got userdata", "the answer is not complete" }

local function is_orderly(why)
  for _, words in ipairs(ORDERLY) do
    if tostring(why):find(words, 1, true) then return true end
  end
  return false
end

local function use(object, calls)
  for _, call in ipairs(calls) do
    local ok, why = pcall(object[call[1]], object, unpack(call, 2))
    say(ok and "answered" or is_orderly(why) and "refused" or call[1] .. ": " .. tostring(why))
  end
end

local function fixture(name)
  local file = assert(io.open("spec/fixtures/" .. name, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end
local NEWEST = fixture "newest_45fields.json"
local LINE = '{"settled":"gen-1","at":"2026-11-02T08:15:31.000Z","answer":' .. NEWEST:gsub("\n", " ") .. "}"

-- A record is as it was until the very end.
local function make_record()
  local gen = assert(openrouter.decode(NEWEST))
  local responses, step = gen.provider_responses, generation.pairs(gen)
  local first = step()
  local select_cost = generation.select "total_cost"
  return { gen, responses, step, select_cost }, function()
    expect("anthropic/claude-sonnet-4.5-20250929", gen.model, "model")
    expect(responses, gen.provider_responses, "provider_responses")
    expect(200, responses[2].status, "status")
    expect(first, (generation.pairs(gen)()), "the first member")
    for name, value in step do expect(value, gen[name], name) end
    expect(3.45e-5, select_cost(gen), "total_cost")
    expect("{", generation.json(gen):sub(1, 1), "JSON")
  end
end

local function new_client(its_port)
  return assert(openrouter.client { base_url = ("http://127.0.0.1:%d/api/v1"):format(its_port), api_key = "sk-or-x",
    retry = false, deadline = 5, connect_timeout = 5 })
end

-- Two clients: one has got an error and has an iterator that was left, the other has two requests on the wire.
local function make_clients()
  local refused, waiting = new_client(1), new_client(port)
  local _, err = refused:get "gen-1"
  local each = refused:each { "gen-2", "gen-3" }
  each()
  waiting:fd()
  assert(waiting:submit "gen-4" and waiting:submit("gen-5", "context"))
  for _ = 1, 3 do waiting:poll(0.001) end
  return { refused, waiting, err, each }, function()
    expect("gen-1", err.id, "the error's id")
    pcall(each)
    use(refused, { { "get", "gen-6" }, { "stats" }, { "close" }, { "get", "gen-7" } })
    use(waiting, { { "fd" }, { "timeout" }, { "stats" }, { "submit", "gen-8" }, { "poll", 0 }, { "each", { "gen-9" } },
      { "cancel", "gen-4" }, { "close" }, { "poll", 0 } })
  end
end

local function make_tally()
  local tally = core.tally { dimensions = { "model", "context.user" }, sums = { "spend" }, spreads = { "latency" } }
  assert(tally:add_line(LINE))
  local gen = assert(core.decode(LINE))
  return { tally }, function()
    use(tally, { { "add_line", LINE }, { "add", gen }, { "groups" }, { "generations", 0 }, { "key", 1 }, { "sum", 0, 1 },
      { "quantile", 0, 1, 50 }, { "counts" } })
  end
end

local function make_scanner()
  local scanner = core.scanner()
  scanner:feed 'data: {"id":"gen-1","usage":{"cost":0.'
  return { scanner }, function()
    use(scanner, { { "feed", '5}}\n\n' }, { "id" }, { "usage" }, { "cost" }, { "finished" }, { "reset" } })
  end
end

local function make_parser()
  local parser = core.http1(1000)
  parser:feed "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"
  return { parser }, function()
    use(parser, { { "started" }, { "feed", "67890" }, { "finish" }, { "reusable" }, { "answer" }, { "reset" } })
  end
end

local function make_files()
  assert(core.make_directory(directory))
  local writer = assert(core.append_file(directory .. "/ledger.jsonl"))
  assert(writer:append(LINE))
  local lines = assert(core.lines(directory .. "/ledger.jsonl"))
  lines()
  local shared = assert(core.shared_file(directory .. "/shared.jsonl"))
  assert(shared:append(LINE))
  local segment = assert(core.new_segment(directory .. "/1.jsonl"))
  assert(segment:append(LINE))
  return { writer, lines, shared, segment }, function()
    use(writer, { { "append", LINE }, { "size" }, { "close" } })
    use(shared, { { "append", LINE }, { "size" }, { "sync" }, { "synced" }, { "close" } })
    use(segment, { { "append", LINE }, { "size" }, { "read", 0 }, { "open_lines", 0, 100 }, { "compact" }, { "remove" },
      { "close" } })
    pcall(lines)
  end
end

local KINDS = { make_record, make_clients, make_tally, make_scanner, make_parser, make_files }

local function make(kind)
  local objects, use_it
  local function witness() return finally(function() use_it() end) end
  local early = witness() -- what was made last goes first
  objects, use_it = KINDS[kind]()
  kept[#kept + 1] = { early, objects, witness() }
end

return #KINDS, make

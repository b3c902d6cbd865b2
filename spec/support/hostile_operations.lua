--- Every public way to touch a record, for specs that go through all of them.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local generation = require "openrouter.generation"
local ledger = require "openrouter.ledger"
local openrouter = require "openrouter"
local report = require "openrouter.report"

local operations = {}

local PATHS = {
  { "x" }, { "x", 1000000 }, { "provider_responses", 1, "status" }, { "provider_responses", 1000000 }, { "total_cost" },
  { "no such name" },
}
local unpack = table.unpack or unpack

local function new_tally()
  return core.tally {
    dimensions = { "model", "day", "context.user", "context.x", "api_type" },
    sums = { "spend", "cancelled", "failed_attempts", "tokens_prompt", "total_cost" }, spreads = { "latency", "tokens_prompt" },
  }
end

local function read_tally(tally)
  for group = 0, tally:groups() do
    tally:key(group)
    for place = 1, 5 do tally:sum(group, place) end
    tally:quantile(group, 1, 50)
    tally:quantile(group, 2, 95)
  end
end

local select_some = generation.select("id", "total_cost", "provider_responses", "x", "no such name")

--- A list of { name =, run = function(gen, text, path) }: the record, the text it was decoded from, and a file with that text.
--- Those with `of_texts` need no record.
operations.list = {
  { name = "decode", of_texts = true, run = function(_, text) return openrouter.decode(text) end },
  { name = "known members", run = function(gen)
    for _, field in ipairs(openrouter.fields) do
      if field.type ~= "array" then local _ = gen[field.name] end
    end
  end },
  { name = "unknown members", run = function(gen) return gen.x, gen.k0000001, gen["no such name"], gen[""] end },
  { name = "provider_responses", run = function(gen) return gen.provider_responses end },
  { name = "pairs", run = function(gen)
    local count = 0
    for _ in generation.pairs(gen) do count = count + 1 end
    return count
  end },
  { name = "exact", run = function(gen)
    for _, path in ipairs(PATHS) do generation.exact(gen, unpack(path)) end
  end },
  { name = "state", run = function(gen)
    for _, path in ipairs(PATHS) do generation.state(gen, unpack(path)) end
  end },
  { name = "violations", run = generation.violations },
  { name = "totable", run = generation.totable },
  { name = "json", run = generation.json },
  { name = "answer", run = generation.answer },
  { name = "context", run = generation.context },
  { name = "spend", run = generation.spend },
  { name = "select", run = select_some },
  { name = "tostring", run = tostring },
  { name = "tally:add", run = function(gen)
    local tally = new_tally()
    tally:add(gen)
    read_tally(tally)
    return tally
  end },
  { name = "tally:add_line", of_texts = true, run = function(_, text)
    local tally = new_tally()
    tally:add_line(text)
    read_tally(tally)
    return tally
  end },
  { name = "report", run = function(gen)
    local r = report.new { by = { "model", "day", "context.x" } }
    r:add(gen)
    return r:rows()
  end },
  { name = "render", run = function(gen)
    local r = report.new { by = { "model", "day", "context.x" } }
    r:add(gen)
    return { r:render "text", r:render "json" }
  end },
  { name = "ledger.read", of_texts = true, run = function(_, _, path)
    local count = 0
    for _ in assert(ledger.read(path)) do count = count + 1 end
    return count
  end },
  { name = "report:add_file", of_texts = true, run = function(_, _, path)
    local r = report.new {}
    r:add_file(path)
    return r
  end },
}

--- What can be done with a text that is no record.
operations.of_texts = {}
for _, operation in ipairs(operations.list) do
  if operation.of_texts then operations.of_texts[#operations.of_texts + 1] = operation end
end
table.insert(operations.of_texts, 2, { name = "the error", run = function(_, text)
  local _, err = openrouter.decode(text)
  return err and errors.printable(tostring(err))
end })

return operations

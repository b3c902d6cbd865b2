-- decode(text, record): a loop over many records with one userdata, and what keeps a record from being written over.
local core = require "openrouter.core"
local generation = require "openrouter.generation"
local openrouter = require "openrouter"

local FIRST = '{"data":{"id":"gen-1","model":"openai/gpt-5","total_cost":0.5,"latency":7,"is_byok":false,"origin":"o\\n",'
  .. '"provider_responses":[{"status":200}],"x":{"y":[1]},"z":9}}'
local OTHER = '{"data":{"id":"gen-2","total_cost":0.25}}'

local function fresh() return assert(openrouter.decode(FIRST)) end

describe("decode(text, record)", function()
  it("gives the record it was given, with what the text has and nothing else", function()
    local gen = fresh()
    assert.is_true(rawequal(gen, openrouter.decode(OTHER, gen)))
    assert.equal("gen-2", gen.id)
    assert.equal(0.25, gen.total_cost)
    for _, name in ipairs { "model", "latency", "is_byok", "origin", "provider_responses", "x", "z" } do
      assert.is_nil(gen[name])
      assert.equal("absent", generation.state(gen, name))
    end
    assert.equal('{"id":"gen-2","total_cost":0.25}', generation.json(gen))
  end)

  it("goes on with the same one however long a loop is", function()
    local gen
    local sum, select = 0, generation.select("total_cost", "id", "model")
    local first
    for i = 1, 1000 do
      gen = assert(openrouter.decode(('{"total_cost":%d.5,"id":"%d","model":null}'):format(i % 10, i % 10), gen))
      first = first or gen
      assert.is_true(rawequal(first, gen))
      local cost, id, model = select(gen)
      assert.equal(tostring(i % 10), id)
      assert.is_nil(model)
      sum = sum + cost + generation.spend(gen) + #generation.exact(gen, "total_cost")
    end
    assert.equal(2 * 5000 + 3000, sum)
  end)

  it("gives another one where the text does not fit, and leaves the first as it is", function()
    local small = assert(openrouter.decode(OTHER))
    local large = assert(openrouter.decode(FIRST, small))
    assert.is_false(rawequal(small, large))
    assert.equal("gen-2", small.id)
    assert.equal("gen-1", large.id)
    assert.is_true(rawequal(large, openrouter.decode(OTHER, large)))
    assert.is_true(rawequal(large, openrouter.decode(FIRST, large))) -- there is room for the first text still
    assert.equal("openai/gpt-5", large.model)
  end)

  it("takes nil for no record", function()
    assert.equal("gen-2", openrouter.decode(OTHER, nil).id)
  end)

  for name, text in pairs { ["no JSON"] = '{"id":"gen-3"', ["an API error"] = '{"error":{"code":404,"message":"gone"}}',
    ["a ledger line"] = '{"pending":"gen-3"}' } do
    it("empties the record when the text is " .. name, function()
      local gen = fresh()
      local none, err = openrouter.decode(text, gen)
      local plain_none, plain_err = openrouter.decode(text)
      assert.is_nil(none)
      assert.is_nil(plain_none)
      assert.same(plain_err, err)
      assert.equal("{}", generation.json(gen))
      assert.is_nil(gen.id)
      assert.equal("generation without id", tostring(gen))
      assert.same({}, generation.totable(gen))
    end)

    it("empties the record when the text is too long for it and " .. name, function()
      local gen = assert(openrouter.decode(OTHER))
      assert.is_nil((openrouter.decode(text .. (" "):rep(100), gen)))
      assert.is_nil(gen.id)
    end)

    it("leaves a record that something relies on when the text is " .. name, function()
      local gen = fresh()
      local responses = gen.provider_responses
      assert.is_nil((openrouter.decode(text, gen)))
      assert.equal("gen-1", gen.id)
      assert.equal(200, responses[1].status)
    end)
  end

  it("raises for what is no record", function()
    for _, wrong in ipairs { 1, "x", {}, true, io.stdout, core.scanner and core.scanner() or io.stdout } do
      assert.error_matches(function() openrouter.decode(OTHER, wrong) end, "generation record expected, got")
    end
  end)
end)

describe("a record is not written over", function()
  local ways = {
    ["pairs"] = function(gen) return generation.pairs(gen) end,
    ["totable"] = generation.totable, ["json"] = generation.json, ["answer"] = generation.answer,
    ["violations"] = generation.violations, ["context"] = generation.context, ["tostring"] = tostring,
    ["provider_responses"] = function(gen) return gen.provider_responses end,
    ["an unknown member"] = function(gen) return gen.z end,
    ["select of an unknown member"] = function(gen) return generation.select("id", "x")(gen) end,
  }
  for name, read in pairs(ways) do
    it("once something relies on its text: " .. name, function()
      local gen = fresh()
      read(gen)
      local next_gen = assert(openrouter.decode(OTHER, gen))
      assert.is_false(rawequal(gen, next_gen))
      assert.equal("gen-1", gen.id)
      assert.equal("gen-2", next_gen.id)
    end)
  end

  it("while its members are gone through, whoever does what in between", function()
    local gen = fresh()
    local names = {}
    for name, value in generation.pairs(gen) do
      openrouter.decode(OTHER, gen)
      names[#names + 1] = name
      if name == "x" then assert.same({ y = { 1 } }, value) end
    end
    assert.equal("id model total_cost latency is_byok origin provider_responses x z", table.concat(names, " "))
  end)

  it("under a table that came from it", function()
    local gen = fresh()
    local responses = gen.provider_responses
    local next_gen = openrouter.decode(FIRST, gen)
    assert.is_true(rawequal(responses, gen.provider_responses))
    assert.is_false(rawequal(responses, next_gen.provider_responses))
  end)

  -- Garbage whose finalizer decodes into the record that `current` gives.
  local function garbage(current)
    local function finalize() openrouter.decode(OTHER, current()) end
    local newproxy = rawget(_G, "newproxy") -- where tables have no finalizers
    if not newproxy then return setmetatable({}, { __gc = finalize }) end
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = finalize
    return proxy
  end

  local function never_rest()
    collectgarbage("setpause", 0)
    collectgarbage("setstepmul", 1000)
    finally(function()
      collectgarbage("setpause", 200)
      collectgarbage("setstepmul", 200)
    end)
  end

  it("by a finalizer that runs while a member is read", function()
    local long = ("m"):rep(300)
    local text = ('{"id":"gen-1","pad":"%s","model":"%s","origin":"\\n%s","latency":7}'):format(("p"):rep(50), long, long)
    local gen
    never_rest()
    local select = generation.select("id", "model", "origin", "latency")
    local function is_whole(id, model, origin, latency)
      return id == "gen-1" and model == long and origin == "\n" .. long and latency == 7
        or id == "gen-2" and model == nil and origin == nil and latency == nil
    end
    for i = 1, 20000 do
      gen = assert(openrouter.decode(text, gen))
      garbage(function() return gen end)
      local model, origin, exact = gen.model, gen.origin, generation.exact(gen, "model")
      assert(model == nil or model == long, model)
      assert(origin == nil or origin == "\n" .. long, origin)
      assert(exact == nil or exact == '"' .. long .. '"', exact)
      gen = assert(openrouter.decode(text, gen))
      garbage(function() return gen end)
      assert(is_whole(select(gen)), i)
    end
  end)

  it("by a finalizer that runs in the middle of reading it", function()
    local gen
    never_rest()
    local expected, other = generation.json(fresh()), generation.json(openrouter.decode(OTHER))
    for _ = 1, 2000 do
      gen = fresh()
      garbage(function() return gen end)
      for name in pairs(ways) do
        local read = ways[name]
        read(gen)
      end
      local json = generation.json(gen) -- written over before the first of them, or never
      assert.is_true(json == expected or json == other, json)
    end
  end)
end)

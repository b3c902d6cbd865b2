-- openrouter.generation: functions over records.
local cjson = require "cjson"
local fixtures = require "spec.support.fixtures"
local generation = require "openrouter.generation"
local openrouter = require "openrouter"

local unpack = table.unpack or unpack
local math_type = rawget(math, "type") -- 5.3 on

local NEWEST = fixtures.read "newest_45fields.json"

local function record(text)
  return assert(openrouter.decode(text))
end

-- What generation.pairs gives, as a list of { name, value }.
local function listed(gen)
  local list = {}
  for name, value in generation.pairs(gen) do list[#list + 1] = { name, value } end
  return list
end

local function names_of(gen)
  local names = {}
  for _, item in ipairs(listed(gen)) do names[#names + 1] = item[1] end
  return names
end

-- ---- against an independent reading -----------------------------------------------------------------------------------

local readings = fixtures.exact(fixtures.records())

-- The readings inside the record (not the envelope around it), with paths that start there.
local function inside_record(name)
  local enveloped = type(cjson.decode(fixtures.read(name)).data) == "table"
  local list = {}
  for _, reading in ipairs(readings[name]) do
    local path = { unpack(reading.path) }
    if not enveloped or table.remove(path, 1) == "data" then
      list[#list + 1] = { path = path, text = reading.text }
    end
  end
  return list
end

for _, name in ipairs(fixtures.records()) do
  describe("of " .. name .. ",", function()
    local gen = record(fixtures.read(name))
    local list = inside_record(name)

    it("exact is the text of every value at every depth", function()
      for _, reading in ipairs(list) do
        if #reading.path > 0 then assert.equal(reading.text, generation.exact(gen, unpack(reading.path))) end
      end
    end)

    it("state is null where Python reads null", function()
      for _, reading in ipairs(list) do
        if #reading.path > 0 then
          assert.equal(reading.text == "null", generation.state(gen, unpack(reading.path)) == "null")
          assert.not_equal("absent", generation.state(gen, unpack(reading.path)))
        end
      end
    end)

    it("pairs has every member in the order of the text", function()
      local expected = {}
      for _, reading in ipairs(list) do
        if #reading.path == 1 then expected[#expected + 1] = reading.path[1] end
      end
      assert.same(expected, names_of(gen))
      for _, item in ipairs(listed(gen)) do assert.equal(gen[item[1]], item[2]) end
    end)

    it("totable, json and answer are all of it", function()
      local text = fixtures.read(name)
      local whole = cjson.decode(text)
      local expected = type(whole.data) == "table" and whole.data or whole
      assert.same(expected, generation.totable(gen))
      assert.same(expected, cjson.decode(generation.json(gen)))
      assert.same(type(whole.data) == "table" and whole or { data = whole }, cjson.decode(generation.answer(gen)))
      -- nothing but white space is gone: what is left is the same bytes
      local function squeezed(json) return (json:gsub("%s", "")) end
      assert.equal(squeezed(list[1].text), squeezed(generation.json(gen)))
      -- and decoding that gives the same record
      for _, again in ipairs { record(generation.json(gen)), record(generation.answer(gen)) } do
        assert.same(names_of(gen), names_of(again))
        assert.equal(generation.json(gen), generation.json(again))
        assert.equal(generation.answer(gen), generation.answer(again))
        assert.same(generation.violations(gen), generation.violations(again))
      end
    end)
  end)
end

-- ---- pairs ------------------------------------------------------------------------------------------------------------

describe("pairs", function()
  it("has null and mismatched members as name, nil", function()
    local gen = record '{"data":{"model":null,"usage":"x","new":null,"id":"a","provider_responses":{}}}'
    assert.same({ { "model" }, { "usage" }, { "new" }, { "id", "a" }, { "provider_responses" } }, listed(gen))
  end)

  it("has a name that comes twice once, in its first place with its last value", function()
    local gen = record [[{"id":"a","model":"m","i\u0064":"b","new":1,"model":null,"new":2}]]
    assert.same({ { "id", "b" }, { "model" }, { "new", 2 } }, listed(gen))
  end)

  it("has an empty name too, and ends where there is nothing", function()
    assert.same({ { "", 1 } }, listed(record '{"":1}'))
    assert.same({}, listed(record "{}"))
    local iterate = generation.pairs(record '{"id":"a"}')
    assert.equal("id", (iterate()))
    assert.is_nil(iterate())
    assert.is_nil(iterate())
  end)

  it("is what pairs does where Lua asks the metatable", function()
    local gen = record(NEWEST)
    local asks = pcall(pairs, setmetatable({}, { __pairs = error })) == false
    if not asks then
      assert.has_error(function() pairs(gen) end)
      return
    end
    local names = {}
    for name in pairs(gen) do names[#names + 1] = name end
    assert.same(names_of(gen), names)
  end)

  it("may run twice at a time", function()
    local gen, count = record '{"a":1,"b":2,"c":3}', 0
    for first in generation.pairs(gen) do
      for second in generation.pairs(gen) do
        if first == second then count = count + 1 end
      end
    end
    assert.equal(3, count)
  end)
end)

-- ---- exact and state --------------------------------------------------------------------------------------------------

describe("exact", function()
  it("is the value as spelt", function()
    local gen = record [[{"data": { "total_cost" : 3.4520e-05 , "usage":1E+2,"model":"a\u0062\/c","is_byok":true,
      "x":[ 1, {"y" : null } ],"n":-0.0 ,"id" :null}}]]
    local expected = {
      { "3.4520e-05", "total_cost" }, { "1E+2", "usage" }, { [["a\u0062\/c"]], "model" }, { "true", "is_byok" },
      { "-0.0", "n" }, { "null", "id" }, { '[ 1, {"y" : null } ]', "x" }, { "1", "x", 1 }, { '{"y" : null }', "x", 2 },
      { "null", "x", 2, "y" },
    }
    for _, case in ipairs(expected) do assert.equal(case[1], generation.exact(gen, unpack(case, 2))) end
  end)

  it("is nil where the path leads nowhere", function()
    local gen = record '{"a":[1,[2]],"o":{"1":"one"},"s":"text","n":null}'
    local nowhere = {
      { "b" }, { "a", 0 }, { "a", 3 }, { "a", -1 }, { "a", 1.5 }, { "a", 1, 1 }, { "a", "1" }, { "a", 2 ^ 60 },
      { "a", 0 / 0 }, { "a", math.huge }, { "o", 1 }, { "o", "2" }, { "s", 1 }, { "s", "x" }, { "n", "x" }, { "n", 1 },
      { "b", "c", "d" }, { "" }, { "a", 2, 1, 1 },
    }
    for _, path in ipairs(nowhere) do
      assert.is_nil(generation.exact(gen, unpack(path)))
      assert.equal("absent", generation.state(gen, unpack(path)))
    end
    assert.equal("2", generation.exact(gen, "a", 2, 1))
    assert.equal('"one"', generation.exact(gen, "o", "1"))
  end)

  it("goes by the last of a name that comes twice, on the way too", function()
    local gen = record '{"a":{"b":1},"a":{"b":2,"b":3}}'
    assert.equal("3", generation.exact(gen, "a", "b"))
  end)
end)

describe("items", function()
  it("are the values of a list as spelt", function()
    local gen = record [=[{"provider_responses":[ {"status" : 200} ,null],
      "a":[[1, "]" ],0.10,"\"",[]],"o":{},"n":null,"s":"[1]"}]=]
    assert.same({ '{"status" : 200}', "null" }, generation.items(gen, "provider_responses"))
    assert.same({ '[1, "]" ]', "0.10", [["\""]], "[]" }, generation.items(gen, "a"))
    assert.same({ "1", '"]"' }, generation.items(gen, "a", 1))
    assert.same({}, generation.items(gen, "a", 4))
    for _, name in ipairs { "o", "n", "s", "x" } do assert.is_nil((generation.items(gen, name))) end
  end)
end)

describe("state", function()
  it("knows the types of provider_responses", function()
    local gen = record [[{"provider_responses":
      [{"status":200,"latency":"1","id":null,"new":{}},5,null,{"status":1.1,"is_byok":1}]}]]
    local states = {
      { "value", "provider_responses" }, { "value", "provider_responses", 1 }, { "value", "provider_responses", 1, "status" },
      { "mismatch", "provider_responses", 1, "latency" }, { "null", "provider_responses", 1, "id" },
      { "absent", "provider_responses", 1, "endpoint_id" }, { "value", "provider_responses", 1, "new" },
      { "absent", "provider_responses", 1, "new", "x" }, { "mismatch", "provider_responses", 2 },
      { "null", "provider_responses", 3 }, { "mismatch", "provider_responses", 4, "status" },
      { "mismatch", "provider_responses", 4, "is_byok" }, { "absent", "provider_responses", 5 },
      { "absent", "provider_responses", 2, "status" }, { "absent", "provider_responses", "status" },
    }
    for _, case in ipairs(states) do assert.equal(case[1], generation.state(gen, unpack(case, 2))) end
    gen = record '{"provider_responses":{"id":"x","status":"y"},"other":[{"status":"y"}]}'
    assert.equal("mismatch", generation.state(gen, "provider_responses"))
    assert.equal("value", generation.state(gen, "provider_responses", "status"))
    assert.equal("value", generation.state(gen, "other", 1, "status"))
    gen = assert(openrouter.decode '{"provider_responses":{"first":{"status":"200"}}}') -- no list, so that is no entry
    assert.equal("value", generation.state(gen, "provider_responses", "first", "status"))
  end)
end)

-- ---- violations -------------------------------------------------------------------------------------------------------

describe("violations", function()
  -- a body of all members, changed
  local function changed(changes)
    local gen = record(NEWEST)
    local members = {}
    for _, name in ipairs(names_of(gen)) do
      local text = changes[name]
      if text == nil then text = generation.exact(gen, name) end
      if text then members[#members + 1] = ('"%s":%s'):format(name, text) end
    end
    members[#members + 1] = changes.more
    return record('{"data":{' .. table.concat(members, ",") .. "}}")
  end

  it("are none for a body of the newest schema", function()
    assert.same({}, generation.violations(record(NEWEST)))
    assert.equal(45, #names_of(record(NEWEST)))
    assert.same({}, generation.violations(changed {}))
  end)

  it("are none for null where the schema allows it, or without what is optional", function()
    local nulls = {}
    for _, field in ipairs(openrouter.fields) do
      if field.nullable and field.presence ~= "retired" then nulls[field.name] = "null" end
    end
    assert.same({}, generation.violations(changed(nulls)))
    assert.same({}, generation.violations(changed { request_id = false, session_id = false, response_cache_source_id = false }))
    assert.same({}, generation.violations(changed { more = '"num_video_prompt":0,"num_media_generations":null' }))
  end)

  local LONG = '"' .. ("x"):rep(58) .. "€€" .. '"'
  local cases = {
    -- what is wrong, the changes that make it so, then field, expected and got of each violation
    { "a member is missing", { total_cost = false }, { "total_cost", "number", "absent" } },
    { "members are missing", { model = false, tokens_prompt = false, provider_responses = false, data_region = false },
      { "model", "string", "absent" }, { "tokens_prompt", "integer or null", "absent" },
      { "provider_responses", "array or null", "absent" }, { "data_region", "string", "absent" } },
    { "null is not allowed", { total_cost = "null", is_byok = "null", id = "null", data_region = "null" },
      { "is_byok", "boolean", "null" }, { "id", "string", "null" }, { "total_cost", "number", "null" },
      { "data_region", "string", "null" } },
    { "types are wrong", { total_cost = '"0.1"', tokens_prompt = "1.5", model = "5", streamed = "0", latency = "1e400",
        provider_responses = '{ "a" :\n[1 ]}' },
      { "model", "string", "5" }, { "streamed", "boolean or null", "0" }, { "latency", "number or null", "1e400" },
      { "tokens_prompt", "integer or null", "1.5" }, { "provider_responses", "array or null", '{"a":[1]}' },
      { "total_cost", "number", '"0.1"' } },
    { "a retired one has the wrong type", { more = '"num_video_prompt":"1","num_media_generations":0.5' },
      { "num_video_prompt", "integer or null", '"1"' }, { "num_media_generations", "integer or null", "0.5" } },
    { "members are unknown", { more = '"new":{"a":1},"cost":0.1,"x":null,"y":[],"z":"s","w":true' },
      { "new", "no such member", "object" }, { "cost", "no such member", "number" }, { "x", "no such member", "null" },
      { "y", "no such member", "array" }, { "z", "no such member", "string" }, { "w", "no such member", "boolean" } },
    { "names come twice", { more = [["model":"n","mod\u0065l":"o","usage":"x"]] },
      { "model", "each name once", "a second one" }, { "model", "each name once", "a second one" },
      { "usage", "each name once", "a second one" }, { "usage", "number", '"x"' } },
    { "an unknown name comes twice", { more = '"new":1,"new":2' },
      { "new", "no such member", "number" }, { "new", "each name once", "a second one" }, { "new", "no such member", "number" } },
    { "enumerations have unknown values", { api_type = '"toolsInvoke"', data_region = '"moon"' },
      { "api_type", "one of completions, embeddings, rerank, tts, stt, video, image, decisions", '"toolsInvoke"' },
      { "data_region", "one of global, europe, us", '"moon"' } },
    { "enumerations are spelt with escapes", { api_type = [["\u0074ts"]], data_region = [["\u0075s"]] } },
    { "an amount has more than 27 decimals",
      { total_cost = "0.0000000000000000000000000001", usage = "0.000000000000000000000000001" },
      { "total_cost", "at most 27 decimals", "0.0000000000000000000000000001" } },
    { "an amount is too large", { usage = "170141183460.4692317316873037158841057275", total_cost = "1e12" },
      { "usage", "an amount below 170 billion USD", "170141183460.4692317316873037158841057275" },
      { "total_cost", "an amount below 170 billion USD", "1e12" } },
    { "counts are spelt 10.0", { tokens_prompt = "10.0", app_id = "1e3", provider_responses = '[{"status":200.0}]' } },
    { "entries have faults",
      { provider_responses = '[{"status":"200"},{},{"status":null,"id":null,"new":1},7,{"status":200,"status":200}]' },
      { "provider_responses[1].status", "integer or null", '"200"' },
      { "provider_responses[2].status", "integer or null", "absent" }, { "provider_responses[3].id", "string", "null" },
      { "provider_responses[3].new", "no such member", "number" }, { "provider_responses[4]", "object", "7" },
      { "provider_responses[5].status", "each name once", "a second one" } },
    { "an entry's tier is unknown", { provider_responses = '[{"status":200,"routed_service_tier":"turbo"},null]' },
      { "provider_responses[1].routed_service_tier", "one of flex, priority", '"turbo"' },
      { "provider_responses[2]", "object", "null" } },
    { "what is shown is long", { total_cost = LONG, app_id = '"' .. ("y"):rep(58) .. '"' },
      { "app_id", "integer or null", '"' .. ("y"):rep(58) .. '"' }, { "total_cost", "number", '"' .. ("x"):rep(58) .. "…" } },
  }
  for _, case in ipairs(cases) do
    it("say where " .. case[1], function()
      local expected = {}
      for i = 3, #case do
        expected[#expected + 1] = { field = case[i][1], expected = case[i][2], got = case[i][3] }
      end
      assert.same(expected, generation.violations(changed(case[2])))
    end)
  end

  it("are 42 for an empty record", function()
    local gone = {}
    for _, violation in ipairs(generation.violations(record "{}")) do
      assert.equal("absent", violation.got)
      gone[violation.field] = true
    end
    for _, field in ipairs(openrouter.fields) do assert.equal(field.presence == "required" or nil, gone[field.name]) end
  end)
end)

-- ---- totable, json, answer ------------------------------------------------------------------------------------------

describe("totable", function()
  it("has everything, null as openrouter.null", function()
    local gen = record [[{"data":{"id":null,"total_cost":"x","new":[null,{"a":null}],
      "provider_responses":[{"status":null,"latency":"z"},null,7]}}]]
    local null = openrouter.null
    assert.same({ id = null, total_cost = "x", new = { null, { a = null } },
                  provider_responses = { { status = null, latency = "z" }, null, 7 } }, generation.totable(gen))
  end)

  it("is a copy that can be changed", function()
    local gen = record '{"id":"a","new":{"b":1}}'
    local copy = generation.totable(gen)
    copy.id, copy.new.b = "c", 2
    assert.equal("a", gen.id)
    assert.equal(1, gen.new.b)
    assert.same({ id = "a", new = { b = 1 } }, generation.totable(gen))
  end)

  if math_type then
    it("has integers where the schema has them", function()
      local copy = generation.totable(record '{"tokens_prompt":10.0,"app_id":9007199254740993,"latency":10}')
      assert.equal("integer", math_type(copy.tokens_prompt))
      assert.equal("9007199254740993", tostring(copy.app_id))
      assert.equal("float", math_type(copy.latency))
    end)
  end

  it("has the null of lua-cjson", function()
    assert.equal(cjson.null, openrouter.null)
  end)
end)

describe("json and answer", function()
  it("drop white space between tokens and nothing else", function()
    local gen = record('\n{ "data" : {\t"id" : "a  b\\n \\" \\\\" ,\r\n "x" : [ 1 , 2.50 , { } , [ ] , null , true ] , '
      .. '"total_cost" : 1e-7 } , "more" : { "a" : " " } }\n')
    local inner = [[{"id":"a  b\n \" \\","x":[1,2.50,{},[],null,true],"total_cost":1e-7}]]
    assert.equal(inner, generation.json(gen))
    assert.equal('{"data":' .. inner .. ',"more":{"a":" "}}', generation.answer(gen))
  end)

  it("put a bare record into an answer", function()
    assert.equal("{}", generation.json(record " { } "))
    assert.equal('{"data":{}}', generation.answer(record " { } "))
    assert.equal('{"data":{"id":"a"}}', generation.answer(record '{ "id" : "a" }'))
  end)

  it("of a ledger line are those of the server's answer", function()
    local gen = record '{"settled":"a", "at":"t", "context":{"u":1}, "answer": {"data": {"id":"a"}, "x": 1}}'
    assert.equal('{"id":"a"}', generation.json(gen))
    assert.equal('{"data":{"id":"a"},"x":1}', generation.answer(gen))
    assert.equal('{"data":{"id":"a"}}', generation.answer(record '{"settled":"a","answer":{"id":"a"}}'))
  end)
end)

-- ---- context ----------------------------------------------------------------------------------------------------------

describe("context", function()
  it("is what a settled line says about the request", function()
    local gen = record [[{"settled":"a","context":{"user":"u","n":1.5,"ok":true,"no":false,"é":"\u00e9"},
      "answer":{"data":{"id":"a","context":{"x":1}}}}]]
    assert.same({ user = "u", n = 1.5, ok = true, no = false, ["é"] = "é" }, generation.context(gen))
  end)

  it("is nil where nothing was said", function()
    local texts = {
      '{"data":{"id":"a"}}', '{"id":"a","context":{"x":1}}', '{"data":{"id":"a"},"context":{"x":1}}',
      '{"settled":"a","answer":{"id":"a"}}',
      '{"settled":"a","context":null,"answer":{"id":"a"}}', '{"settled":"a","context":[1],"answer":{"id":"a"}}',
    }
    for _, text in ipairs(texts) do assert.is_nil(generation.context(record(text))) end
    assert.same({}, generation.context(record '{"settled":"a","context":{},"answer":{"id":"a"}}'))
  end)
end)

-- ---- select -----------------------------------------------------------------------------------------------------------

describe("select", function()
  it("gives the members in the order asked for", function()
    local values = generation.select("total_cost", "id", "new", "nope", "id", "tokens_prompt", "provider_responses", "x")
    local gen = record [[{"id":"a","total_cost":0.5,"new":{"b":1},"tokens_prompt":null,"provider_responses":[],"x":null}]]
    assert.equal(8, select("#", values(gen)))
    assert.same({ 0.5, "a", { b = 1 }, nil, "a", nil, {}, nil }, { values(gen) })
    assert.equal(gen.new, (select(3, values(gen))))
    assert.equal(gen.provider_responses, (select(7, values(gen))))
    assert.same({ nil, "z", nil, nil, "z", 7, nil, nil }, { values(record '{"id":"z","tokens_prompt":7}') })
  end)

  it("takes up to 200 names", function()
    local names, members = {}, {}
    for i = 1, 199 do
      names[i] = i % 2 == 0 and "m" .. i or "total_cost"
      members[i] = ('"m%d":[%d]'):format(i, i)
    end
    names[200] = "provider_responses"
    members[200] = [=["total_cost":7,"provider_responses":[{"status":200,"a\n":[{"b":1}]}]]=]
    local gen = record("{" .. table.concat(members, ",") .. "}")
    local values = { generation.select(unpack(names))(gen) }
    assert.equal(200, #values)
    for i = 1, 199 do
      if i % 2 == 0 then assert.equal(i, values[i][1]) else assert.equal(7, values[i]) end
    end
    assert.equal(1, values[200][1]["a\n"][1].b)
  end)
end)

-- ---- misuse -----------------------------------------------------------------------------------------------------------

describe("misuse", function()
  local gen = record(NEWEST)
  local strangers = { {}, "gen-1", 7, true, print, io.stdout, openrouter.null, coroutine.create(function() end) }
  strangers[#strangers + 1] = setmetatable({}, { __index = gen })
  if rawget(_G, "newproxy") then strangers[#strangers + 1] = rawget(_G, "newproxy")(true) end

  local functions = {}
  for name, f in pairs(generation) do
    if name == "select" then f = f "id" end
    functions[#functions + 1] = { name, f }
  end
  table.sort(functions, function(a, b) return a[1] < b[1] end)

  it("is looked for in every function there is", function()
    local names = {}
    for i, item in ipairs(functions) do names[i] = item[1] end
    assert.same({ "answer", "context", "exact", "items", "json", "pairs", "select", "spend", "state", "totable", "violations" },
      names)
  end)

  for _, item in ipairs(functions) do
    it("of " .. item[1] .. " with what is no record raises", function()
      for _, stranger in ipairs(strangers) do
        assert.error_matches(function() item[2](stranger, "id") end,
          "bad argument #1 to .* %(generation record expected, got .+%)")
      end
      assert.error_matches(function() item[2](nil, "id") end, "bad argument #1 to .* %(generation record expected, got nil%)")
      assert.error_matches(function() item[2]() end, "bad argument #1 to .* %(generation record expected, got no value%)")
    end)
  end

  for _, name in ipairs { "exact", "items", "state" } do
    it("of the path of " .. name .. " raises", function()
      local f = generation[name]
      assert.error_matches(function() f(gen) end, "bad argument #2 to .* %(value expected%)")
      for _, wrong in ipairs { true, {}, print, io.stdout } do
        assert.error_matches(function() f(gen, wrong) end, "bad argument #2 to .* %(string expected, got .+%)")
        for _, path in ipairs { { "provider_responses" }, { "nope" }, { "id", "x", 1 } } do
          path[#path + 1] = wrong
          assert.error_matches(function() f(gen, unpack(path)) end,
            ("bad argument #%d to .* %%(string expected, got .+%%)"):format(#path + 1))
        end
      end
      assert.error_matches(function() f(gen, nil) end, "bad argument #2 to .* %(string expected, got nil%)")
    end)
  end

  it("of select raises", function()
    assert.error_matches(function() generation.select() end, "bad argument #1 to .* %(name of a member expected%)")
    assert.error_matches(function() generation.select("id", {}) end, "bad argument #2 to .* %(string expected, got table%)")
    assert.error_matches(function() generation.select(nil) end, "bad argument #1 to .* %(string expected, got nil%)")
    local names = {}
    for i = 1, 201 do names[i] = "m" .. i end
    assert.error_matches(function() generation.select(unpack(names)) end, "bad argument #201 to .* %(too many members%)")
  end)
end)

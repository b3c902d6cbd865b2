-- What a text turns out to be, and what the members of a record read as.
local cjson = require "cjson"
local fixtures = require "spec.support.fixtures"
local generation = require "openrouter.generation"
local openrouter = require "openrouter"
local shell = require "spec.support.shell"

local math_type = rawget(math, "type") -- 5.3 on

local function member(name, text)
  return assert(openrouter.decode('{"data":{"' .. name .. '":' .. text .. "}}"))
end

-- ---- which object is the record ---------------------------------------------------------------------------------------

describe("decode takes", function()
  local records = {
    { "an API answer", '{"data":{"id":"a"}}' },
    { "an API answer with more around it", '{"x":1,"data":{"id":"a"},"error":{"code":404},"pending":"p"}' },
    { "a bare record", '{"id":"a"}' }, { "a bare record with a null data", '{"data":null,"id":"a"}' },
    { "a bare record with a list as data", '{"data":[{"id":"b"}],"id":"a"}' },
    { "a bare record with a null error", '{"error":null,"id":"a"}' },
    { "the last data of several", '{"data":{"id":"b","model":"b"},"data":{"id":"a"}}' },
    { "the object itself if the last data is none", '{"data":{"id":"b","model":"b"},"data":1,"id":"a"}' },
    { "an escaped data", [[{"d\u0061ta":{"id":"a"}}]] },
    { "a settled line", '{"settled":"a","at":"2026-11-21T00:00:00.000Z","context":{"user":"u"},"answer":{"data":{"id":"a"}}}' },
    { "a settled line before a data object", '{"data":{"id":"b","model":"b"},"settled":"a","answer":{"data":{"id":"a"}}}' },
    { "a settled line with a bare answer", '{"settled":"a","answer":{"id":"a"}}' },
    { "a settled line in any order", '{"answer":{"data":{"id":"a"}},"context":{},"settled":"a"}' },
    { "the last answer, although an earlier one had data",
      '{"settled":"a","answer":{"data":{"id":"b"}},"answer":{"id":"a"}}' },
    { "the last answer of a settled line",
      '{"settled":"a","answer":{"data":{"id":"b"}},"answer":{"data":{"id":"b"},"data":{"id":"a"}}}' },
    { "a settled line's answer, not the data after it",
      '{"settled":"a","answer":{"data":{"id":"a"}},"data":{"id":"b","model":"b"}}' },
    { "a settled line's last answer, a bare one",
      '{"settled":"a","answer":{"data":{"id":"b","model":"b"}},"answer":{"id":"a"}}' },
    { "a settled line's answer whose last data is none",
      '{"settled":"a","answer":{"data":{"id":"b","model":"b"},"data":null,"id":"a"}}' },
    { "data where the last answer is none",
      '{"settled":"a","answer":{"data":{"id":"b","model":"b"}},"answer":null,"data":{"id":"a"}}' },
    { "data, not an answer before it", '{"answer":{"data":{"id":"b","model":"b"}},"data":{"id":"a"}}' },
    { "data, not an answer behind it", '{"data":{"id":"a"},"answer":{"data":{"id":"b","model":"b"}}}' },
    { "an answer alone as a member like others", '{"answer":{"data":{"id":"b"}},"id":"a"}' },
  }
  for _, case in ipairs(records) do
    it(case[1], function()
      local gen, err = openrouter.decode(case[2])
      assert.is_truthy(gen, tostring(err))
      assert.equal("userdata", type(gen))
      assert.equal("a", gen.id)
      assert.is_nil(gen.model)
      assert.equal("generation a", tostring(gen))
    end)
  end

  it("even an empty object", function()
    for _, text in ipairs { "{}", '{"data":{}}', " { } ", '{"data":{"x":1}}' } do
      local gen = assert(openrouter.decode(text))
      assert.is_nil(gen.id)
      assert.is_nil((generation.spend(gen)))
      assert.equal("generation without id", tostring(gen))
    end
  end)

  it("a body of another endpoint for what it is: a record with violations", function()
    for _, name in ipairs(fixtures.names "content_ok|content_error|other_|usage_") do
      assert.is_true(#generation.violations(assert(openrouter.decode(fixtures.read(name)))) > 40, name)
    end
  end)
end)

describe("decode gives nil and an error for", function()
  local errors = {
    -- fixture or text, kind, message, code
    { "error_400_invalid_generation_id.json", "bad_request", "Invalid generation id", 400 },
    { "error_401_spec_example.json", "auth", "Missing Authentication header", 401 },
    { "error_401_user_not_found_real.json", "auth", "User not found.", 401 },
    { "error_402_spec_example.json", "payment", "Insufficient credits. Add more using https://openrouter.ai/credits", 402 },
    { "error_403_content_management_key_spec_example.json", "forbidden", "Only management keys can perform this operation", 403 },
    { "error_404_spec_example.json", "not_found", "Resource not found", 404 },
    { "error_404_code_only.json", "not_found", nil, 404 },
    { "error_429_spec_example.json", "rate_limited", "Rate limit exceeded", 429 },
    { "error_429_with_error_type_metadata.json", "rate_limited", "Rate limit exceeded", 429 },
    { "error_500_spec_example.json", "server", "Internal Server Error", 500 },
    { "error_502_spec_example.json", "server", "Provider returned error", 502 },
    { "error_524_spec_example.json", "server", "Request timed out. Please try again later.", 524 },
    { "error_529_spec_example.json", "server", "Provider returned error", 529 },
  }
  for _, case in ipairs(errors) do
    it(case[1], function()
      local gen, err = openrouter.decode(fixtures.read(case[1]))
      assert.is_nil(gen)
      assert.equal(case[2], err.kind)
      assert.equal(case[4], err.code)
      if case[3] then assert.equal(case[3], err.message) end
      assert.is_true(#err.message > 0)
      assert.is_nil(err.byte)
    end)
  end

  it("an API error, with its metadata", function()
    local _, err = openrouter.decode(fixtures.read "error_429_with_error_type_metadata.json")
    assert.same({ error_type = "rate_limit_exceeded" }, err.metadata)
  end)

  it("an error that is a text, as gateways write it", function()
    local gen, err = openrouter.decode '{"error":"No route\\u001b"}'
    assert.is_nil(gen)
    assert.same({ "bad_answer", "No route\27" }, { err.kind, err.message })
    assert.equal("bad_answer: No route\\x1B", tostring(err))
  end)

  it("an API error without a usable code", function()
    for _, code in ipairs { "", '"code":null', '"code":"x"', '"code":200', '"code":404.5', '"code":-404', '"code":1e400' } do
      local gen, err = openrouter.decode('{"error":{' .. code .. "}}")
      assert.is_nil(gen)
      assert.is_true(#err.kind > 0 and #err.message > 0)
    end
  end)

  it("the lines of a ledger that have no record", function()
    local lines = {
      { '{"pending":"a","at":"2026-11-21T00:00:00.000Z","key":"k","context":{"user":"u"}}', "still open" },
      { '{"note":"a","at":"2026-11-21T00:00:00.000Z","context":{}}', "still open" },
      { '{"failed":"a","error":null}', "failed" },
      { '{"failed":"a"}', "failed" },
    }
    for _, line in ipairs(lines) do
      local gen, err = openrouter.decode(line[1])
      assert.is_nil(gen)
      assert.equal("unresolved", err.kind)
      assert.is_truthy(err.message:find(line[2], 1, true))
    end
  end)

  it("a failed line, saying what failed", function()
    local gen, err = openrouter.decode(
      '{"failed":"a","error":{"kind":"auth","status":401,"message":"User not found.","attempts":3,"retryable":false,"x":1}}')
    assert.is_nil(gen)
    assert.same({ "auth", 401, "User not found.", 3, false }, { err.kind, err.status, err.message, err.attempts, err.retryable })
    assert.is_nil(rawget(err, "x"))
  end)

  it("what is no object", function()
    local _, err = openrouter.decode(fixtures.read "error_500_html_body.html")
    assert.equal("bad_answer", err.kind)
    assert.equal(1, err.byte)
    _, err = openrouter.decode(fixtures.read "error_sse_mid_stream_429.txt")
    assert.equal(1, err.byte)
  end)

  it("a text beyond 64 MiB", function()
    local spaces = (" "):rep(64 * 2 ^ 20 - 2)
    assert.is_truthy(openrouter.decode(spaces .. "{}"))
    local gen, err = openrouter.decode(spaces .. " {}")
    assert.is_nil(gen)
    assert.equal("too_large", err.kind)
  end)
end)

-- ---- against an independent reading --------------------------------------------------------------------------------

-- What a JSON text is, by its first character.
local function kind_of(text)
  local first = text:sub(1, 1)
  return ({ ['"'] = "string", ["{"] = "object", ["["] = "array", t = "boolean", f = "boolean", n = "null" })[first] or "number"
end

local KINDS = { float = "number", int = "number", bool = "boolean", string = "string", enum = "string", array = "array" }

local function types_of(fields)
  local types = {}
  for _, field in ipairs(fields) do types[field.name] = field.type end
  return types
end
local TYPES = types_of(fixtures.schema.generation_fields)
local RESPONSE_TYPES = types_of(fixtures.schema.provider_response_fields)

-- What a member must read as: the value, or nil where it is null or not what the schema says.
local function expected_value(type_name, text)
  local value = fixtures.without_null(fixtures.cjson(text))
  if type_name == nil then return value end
  if kind_of(text) ~= KINDS[type_name] then return nil end
  if type_name == "int" and value ~= math.floor(value) then return nil end
  return value
end

local function expected_responses(text)
  local list = fixtures.cjson(text)
  for i, response in ipairs(list) do
    local entry = {}
    for name, value in pairs(response) do
      entry[name] = expected_value(RESPONSE_TYPES[name], cjson.encode(value))
    end
    list[i] = entry
  end
  return list
end

local readings = fixtures.exact(fixtures.records())

describe("every member reads as in Python and lua-cjson:", function()
  for _, name in ipairs(fixtures.records()) do
    it(name, function()
      local text = fixtures.read(name)
      local gen = assert(openrouter.decode(text))
      local enveloped = cjson.decode(text).data ~= nil
      local seen = 0
      for _, reading in ipairs(readings[name]) do
        local path = reading.path
        local field = enveloped and path[1] == "data" and path[2] or not enveloped and path[1]
        if field and #path == (enveloped and 2 or 1) then
          seen = seen + 1
          local expected = expected_value(TYPES[field], reading.text)
          if field == "provider_responses" and expected then expected = expected_responses(reading.text) end
          if type(expected) == "table" then assert.same(expected, gen[field])
          else assert.equal(expected, gen[field]) end
          if TYPES[field] == "int" and expected and math_type then assert.equal("integer", math_type(gen[field])) end
        end
      end
      local members = 0
      for _ in pairs(enveloped and cjson.decode(text).data or cjson.decode(text)) do members = members + 1 end
      assert.equal(members, seen)
      for field in pairs(TYPES) do
        if not text:find('"' .. field .. '"', 1, true) then assert.is_nil(gen[field]) end
      end
    end)
  end
end)

-- ---- the eras -----------------------------------------------------------------------------------------------------------

describe("a body of the era of", function()
  local eras = {
    { "typescript-2025-09", 31 }, { "go-2026-01", 33 }, { "go-2026-04", 38 }, { "python-2026-06", 44 },
    { "typescript-2026-06", 44 },
  }
  local REQUIRED = {}
  for _, field in ipairs(fixtures.schema.generation_fields) do
    if field.required == true then REQUIRED[#REQUIRED + 1] = field.name end
  end

  for _, era in ipairs(eras) do
    it(era[1] .. " decodes, and lacks nothing but what came later", function()
      local name = "eras/" .. era[1] .. ".json"
      local gen = assert(openrouter.decode(fixtures.read(name)))
      local there, count = {}, 0
      for _, reading in ipairs(readings[name]) do
        local field = #reading.path == 2 and reading.path[2]
        if field then
          there[field], count = true, count + 1
          assert.equal("value", generation.state(gen, field), field)
          local kind = kind_of(reading.text)
          assert.equal(kind == "array" and "table" or kind, type(gen[field]), field)
        end
      end
      assert.equal(era[2], count)

      local missing, reported = {}, {}
      for _, field in ipairs(REQUIRED) do
        if not there[field] then missing[field] = "absent" end
      end
      for _, violation in ipairs(generation.violations(gen)) do reported[violation.field] = violation.got end
      assert.same(missing, reported)
    end)
  end

  it("go-2026-01 has counts spelt 10.0, which are the integer 10", function()
    local gen = openrouter.decode(fixtures.read "eras/go-2026-01.json")
    assert.equal("10.0", generation.exact(gen, "tokens_prompt"))
    assert.equal("10", ("%d"):format(gen.tokens_prompt))
    if math_type then assert.equal("integer", math_type(gen.tokens_prompt)) end
  end)
end)

-- ---- one value ------------------------------------------------------------------------------------------------------

describe("a member of type", function()
  local STRING, ENUM, BOOLEAN, INTEGER, NUMBER, MONEY = "model", "api_type", "is_byok", "tokens_prompt", "latency", "total_cost"
  local LIST, UNKNOWN = "provider_responses", "brand_new"
  local texts = { '"stop"', '""', "true", "false", "7", "7.5", "0", "[]", "[7]", "{}", '{"a":1}' }
  -- which of the texts each type takes
  local takes = {
    { STRING, '"stop" ""' }, { ENUM, '"stop" ""' }, { BOOLEAN, "true false" }, { INTEGER, "7 0" }, { NUMBER, "7 7.5 0" },
    { MONEY, "7 7.5 0" }, { LIST, "[] [7]" }, { UNKNOWN, table.concat(texts, " ") },
  }
  for _, case in ipairs(takes) do
    local name = case[1]
    it(name .. " tells value, null, absent and mismatch apart", function()
      local taken = {}
      for text in case[2]:gmatch "%S+" do taken[text] = true end
      for _, text in ipairs(texts) do
        local gen = member(name, text)
        assert.equal(taken[text] and "value" or "mismatch", generation.state(gen, name), text)
        if taken[text] then assert.not_nil(gen[name], text) else assert.is_nil(gen[name], text) end
        assert.equal(text, generation.exact(gen, name))
      end
      local gen = member(name, "null")
      assert.equal("null", generation.state(gen, name))
      assert.is_nil(gen[name])
      assert.equal("null", generation.exact(gen, name))
      gen = member("other", "1")
      assert.equal("absent", generation.state(gen, name))
      assert.is_nil(gen[name])
      assert.is_nil(generation.exact(gen, name))
    end)
  end

  -- text, what it reads as where Lua has integers (as text), and where it has not; nil: mismatch
  local integers = {
    { "10", 10 }, { "10.0", 10 }, { "1e1", 10 }, { "1E+1", 10 }, { "0.1e2", 10 }, { "1000e-2", 10 },
    { "10.000000000000000000000", 10 }, { "-7", -7 }, { "0", 0 }, { "-0", 0 }, { "0.0", 0 }, { "-0.0e5", 0 },
    { "0e99999999999999999999", 0 }, { "1e18", 1e18 }, { "9007199254740993", 9007199254740992, "9007199254740993" },
    { "-9007199254740993.0", -9007199254740992, "-9007199254740993" },
    { "9223372036854775807", 2 ^ 63, "9223372036854775807" }, { "922337203685477580.7e1", 2 ^ 63, "9223372036854775807" },
    { "9223372036854775807000e-3", 2 ^ 63, "9223372036854775807" },
    { "-9223372036854775808", -2 ^ 63, "-9223372036854775808" }, { "9223372036854775808" }, { "-9223372036854775809" },
    { "10000000000000000000" }, { "1e19" }, { "1e400" }, { "-1e999999999999999999" }, { "1.1" }, { "0.5" }, { "1e-1" },
    { "1e-400" }, { "10.00000000000000000000000000000001" }, { "9007199254740992.5" }, { "92233720368547758070" },
  }
  for _, case in ipairs(integers) do
    it("integer: " .. case[1] .. (case[2] and " is one" or " is none"), function()
      local gen = member(INTEGER, case[1])
      assert.equal(case[2] and "value" or "mismatch", generation.state(gen, INTEGER))
      local value = gen[INTEGER]
      if math_type and case[2] then
        assert.equal("integer", math_type(value))
        assert.equal(case[3] or ("%d"):format(case[2]), tostring(value))
      else
        assert.equal(case[2], value)
      end
      if value == 0 then assert.equal(math.huge, 1 / value) end -- never -0
      local status = member(LIST, '[{"status":' .. case[1] .. "}]")[LIST][1].status
      assert.equal(value, status)
    end)
  end

  local numbers = {
    { "0", 0 }, { "-0.0", 0, -math.huge }, { "-0", 0, -math.huge }, { "1250", 1250 }, { "4.2e-7", 4.2e-7 },
    { "1e-400", 0, math.huge }, { "-1e-400", 0, -math.huge }, { "1.7976931348623157e308", 1.7976931348623157e308 },
    { "1.7976931348623158e308", 1.7976931348623157e308 }, { "1e400" }, { "-1e400" }, { "1.7976931348623159e308" },
    { "1e999999999999999999999" }, { "9007199254740993", 9007199254740992 }, { "18446744073709551616", 18446744073709551616 },
    { "0.1", 0.1 }, { ("1"):rep(400) }, { ("1"):rep(300), tonumber(("1"):rep(300) .. ".0") },
  }
  for _, case in ipairs(numbers) do
    it("number: " .. case[1]:sub(1, 30) .. (case[2] and " is one" or " is none"), function()
      for _, name in ipairs { NUMBER, MONEY } do
        local gen = member(name, case[1])
        assert.equal(case[2] and "value" or "mismatch", generation.state(gen, name))
        assert.equal(case[2], gen[name])
        if case[3] then assert.equal(case[3], 1 / gen[name]) end
        assert.equal(case[1], generation.exact(gen, name))
      end
    end)
  end

  it("enum reads a value nobody has listed", function()
    local gen = member("api_type", '"toolsInvoke"')
    assert.equal("toolsInvoke", gen.api_type)
    assert.equal("value", generation.state(gen, "api_type"))
  end)

  it("boolean is never another truth", function()
    for _, text in ipairs { "0", "1", '"true"', '"false"', "[]", "null" } do assert.is_nil(member("streamed", text).streamed) end
    assert.is_true(member("streamed", "true").streamed)
    assert.is_false(member("streamed", "false").streamed)
  end)
end)

describe("provider_responses", function()
  it("is a table of tables whose members have their types or are nil", function()
    local gen = member("provider_responses", [=[[
      {"status":200,"latency":1.5,"is_byok":false,"id":"x","new":{"a":[null,1]}},
      {"status":"200","latency":"1","is_byok":0,"id":7,"endpoint_id":null,"routed_service_tier":"turbo"},
      {"status":null,"latency":1e400},
      {}]]=])
    assert.same({
      { status = 200, latency = 1.5, is_byok = false, id = "x", new = { a = { nil, 1 } } },
      { routed_service_tier = "turbo" },
      {},
      {},
    }, gen.provider_responses)
  end)

  it("keeps the places of its entries where one is no object", function()
    local responses = member("provider_responses", '[null,{"status":1},5,"x",[],{"status":2}]').provider_responses
    assert.same({ [2] = { status = 1 }, [6] = { status = 2 } }, responses)
  end)

  it("is the same table every time, and may be changed", function()
    local gen = member("provider_responses", '[{"status":200}]')
    local responses = gen.provider_responses
    responses[1].status = 500
    responses.note = "mine"
    assert.equal(responses, gen.provider_responses)
    assert.equal(500, gen.provider_responses[1].status)
    assert.equal(responses, generation.select "provider_responses" (gen))
    assert.equal(200, generation.totable(gen).provider_responses[1].status)
  end)

  it("of one record is not another's", function()
    local one, other = member("provider_responses", '[{"status":1}]'), member("provider_responses", '[{"status":2}]')
    assert.equal(1, one.provider_responses[1].status)
    assert.equal(2, other.provider_responses[1].status)
  end)

  if debug.getfenv then -- luacheck: ignore 143
    it("of one record is not another's, even where they start with a common environment", function()
      -- before 5.2 a userdata starts with the environment of the function that makes it
      local getfenv = debug.getfenv -- luacheck: ignore 143
      local common = getfenv(member("model", '"m"'))
      common.decoded = {}
      local one, other = member("provider_responses", '[{"status":1}]'), member("provider_responses", '[{"status":2}]')
      local first, second = one.provider_responses[1].status, other.provider_responses[1].status
      common.decoded = nil
      assert.equal(1, first)
      assert.equal(2, second)
    end)
  end

  it("takes the last of a name that comes twice", function()
    assert.equal(2, member("provider_responses", '[{"status":1,"status":2}]').provider_responses[1].status)
    assert.is_nil(member("provider_responses", '[{"status":1,"status":null}]').provider_responses[1].status)
    assert.is_nil(member("provider_responses", '[{"status":1,"status":"2"}]').provider_responses[1].status)
    assert.equal(3, member("provider_responses", [=[[{"status":1,"st\u0061tus":3}]]=]).provider_responses[1].status)
  end)
end)

describe("an unknown member", function()
  it("reads as what it is", function()
    local gen = openrouter.decode [[
      {"s":"x","n":1.5,"i":3,"t":true,"f":false,"z":null,"o":{"a":{"b":null,"c":[1]}},"l":[1,null,3],"":"empty"}]]
    assert.same({ "x", 1.5, 3, true, false, nil }, { gen.s, gen.n, gen.i, gen.t, gen.f, gen.z })
    assert.same({ a = { c = { 1 } } }, gen.o)
    assert.same({ 1, nil, 3 }, gen.l)
    assert.equal("empty", gen[""])
  end)

  it("that is a table is the same table every time", function()
    local gen = openrouter.decode '{"o":{"a":1},"l":[],"o2":{}}'
    gen.o.a = 2
    assert.equal(2, gen.o.a)
    assert.equal(gen.l, gen.l)
    assert.not_equal(gen.o, gen.o2)
  end)

  it("may have any name", function()
    local gen = openrouter.decode [[{"a\u0000b":1,"\u20ac":2,"__index":3,"decoded":{"x":4},"x\"y":5,"length":6}]]
    assert.same({ 1, 2, 3, 4, 5, 6 }, { gen["a\0b"], gen["\226\130\172"], gen.__index, gen.decoded.x, gen['x"y'], gen.length })
  end)

  it("is nil where there is none, and by what is no name", function()
    local gen = openrouter.decode '{"1":"one","true":"yes"}'
    assert.equal("one", gen["1"])
    assert.is_nil(gen[1])
    assert.is_nil(gen[true])
    assert.is_nil(gen[{}])
    assert.is_nil(gen[0.5])
    assert.is_nil(gen["one\0"])
    assert.is_nil(gen.nope)
  end)
end)

describe("a name", function()
  it("spelt with escapes is the same name", function()
    for _, field in ipairs(fixtures.schema.generation_fields) do
      local escaped = field.name:gsub(".", function(c) return ("\\u%04x"):format(c:byte()) end)
      for _, spelling in ipairs { escaped, (field.name:gsub(".$", function(c) return ("\\u%04X"):format(c:byte()) end)) } do
        local value = field.type == "array" and "[]" or field.type == "bool" and "true"
          or (field.type == "int" or field.type == "float") and "7" or '"x"'
        local gen = member(spelling, value)
        assert.equal("value", generation.state(gen, field.name))
        assert.not_nil(gen[field.name], spelling)
        assert.equal(value, generation.exact(gen, field.name))
        assert.is_nil(gen[spelling])
      end
    end
    assert.equal("0.5", select(2, generation.spend(openrouter.decode [[{"tot\u0061l_cost":0.5}]])))
  end)

  it("that comes twice has its last value", function()
    local texts = {
      '{"total_cost":1,"total_cost":2,"new":1,"new":2}',
      [[{"total_cost":1,"tot\u0061l_cost":2,"n\u0065w":1,"new":2}]],
      [[{"tot\u0061l_cost":1,"total_cost":2,"new":1,"\u006eew":2}]],
      '{"total_cost":1,"model":"m","total_cost":2,"new":1,"id":"x","new":2}',
    }
    for _, text in ipairs(texts) do
      local gen = openrouter.decode(text)
      assert.same({ 2, 2 }, { gen.total_cost, gen.new })
      assert.equal("2", generation.exact(gen, "total_cost"))
      assert.equal("2", generation.exact(gen, "new"))
    end
    local gen = openrouter.decode '{"total_cost":1,"total_cost":null,"new":{"a":1},"new":null,"usage":1,"usage":"x"}'
    assert.equal("null", generation.state(gen, "total_cost"))
    assert.equal("null", generation.state(gen, "new"))
    assert.equal("mismatch", generation.state(gen, "usage"))
    assert.is_nil(gen.total_cost)
    assert.is_nil(gen.new)
  end)

  it("that only begins or ends like a known one is unknown", function()
    local gen = openrouter.decode '{"total_cos":1,"total_costs":2,"otal_cost":3,"Total_cost":4,"total_cost\\u0000":5,"id ":6}'
    assert.is_nil(gen.total_cost)
    assert.equal("absent", generation.state(gen, "total_cost"))
    assert.same({ 1, 2, 3, 4, 6 }, { gen.total_cos, gen.total_costs, gen.otal_cost, gen.Total_cost, gen["id "] })
  end)

  it("that differs from a known one in any byte is unknown, where that one is expected, and where it is not", function()
    local names = {}
    for i, field in ipairs(fixtures.schema.generation_fields) do names[i] = field.name end
    for i, name in ipairs(names) do
      local before = names[i - 1] and ('"%s":null,'):format(names[i - 1]) or ""
      for at = 1, #name do
        local other = name:sub(1, at - 1) .. (name:sub(at, at) == "x" and "y" or "x") .. name:sub(at + 1)
        for _, text in ipairs { '{%s"%s":7,"user":1}', '{"user":1,%s"%s":7}', '{"user":1,%s "%s" : 7}' } do
          local gen = openrouter.decode(text:format(before, other))
          assert.same({ other, "absent", 7 }, { other, generation.state(gen, name), gen[other] })
        end
      end
    end
  end)

  it("is found whatever the order of the members", function()
    local names = {}
    for _, field in ipairs(fixtures.schema.generation_fields) do names[#names + 1] = field.name end
    math.randomseed(11)
    for _ = 1, 50 do
      for i = #names, 2, -1 do
        local j = math.random(1, i)
        names[i], names[j] = names[j], names[i]
      end
      local members = {}
      for i, name in ipairs(names) do members[i] = ('"%s":null'):format(name) end
      local gen = openrouter.decode("{" .. table.concat(members, ",") .. "}")
      for _, name in ipairs(names) do assert.equal("null", generation.state(gen, name)) end
    end
  end)
end)

-- ---- misuse ---------------------------------------------------------------------------------------------------------

describe("misuse", function()
  local function argument(words)
    return "bad argument #1 to .* %(" .. words .. "%)"
  end

  it("of decode raises", function()
    for _, value in ipairs { 1, true, {}, print, io.stdout, openrouter.null, coroutine.create(function() end) } do
      assert.error_matches(function() openrouter.decode(value) end, argument("string expected, got .+"))
    end
    assert.error_matches(function() openrouter.decode(nil) end, argument("string expected, got n.*"))
    assert.error_matches(function() openrouter.decode() end, argument("string expected, got no value"))
  end)

  it("of a record raises", function()
    local gen = member("model", '"m"')
    assert.error_matches(function() gen.model = "x" end, "a generation record cannot be changed")
    assert.error_matches(function() gen.new = 1 end, "a generation record cannot be changed")
    assert.error_matches(function() gen[1] = nil end, "a generation record cannot be changed")
    assert.has_error(function() return gen() end)
    assert.has_error(function() return gen + 1 end)
    assert.has_error(function() return gen < gen end)
    assert.equal("m", gen.model)
  end)

  it("finds no metatable", function()
    local gen = member("model", '"m"')
    assert.is_false(getmetatable(gen))
    assert.has_error(function() setmetatable(gen, {}) end)
  end)

  it("of its metamethods raises", function()
    local meta = debug.getmetatable(member("model", '"m"'))
    for _, value in ipairs { io.stdout, {}, "x", openrouter.null, coroutine.create(function() end) } do
      for _, event in ipairs { "__index", "__newindex", "__tostring" } do
        assert.error_matches(function() meta[event](value, "id", 1) end, argument("generation record expected, got .+"))
      end
    end
  end)
end)

-- A userdata of another module that has not been written to yet holds what was there before.
describe("memory that a record has left", function()
  after_each(shell.clean)

  it("is no record, whoever gets it", function()
    local include = rawget(_G, "jit") and "/usr/include/luajit-2.1" or "/usr/include/lua5.4"
    local directory = shell.directory()
    shell.write(directory .. "/buffer.c", [[
      #include <lauxlib.h>
      #include <lua.h>
      static int buffer (lua_State *L) { return lua_newuserdata(L, (size_t)luaL_checkinteger(L, 1)), 1; }
      int luaopen_buffer (lua_State *L);
      int luaopen_buffer (lua_State *L) { return lua_pushcfunction(L, buffer), 1; }
    ]])
    local command = "cc -shared -fPIC -I %s -o %s/buffer.so %s/buffer.c"
    local status, _, errors = shell.run(command:format(include, directory, directory))
    assert.equal(0, status, errors)
    local buffer = assert(package.loadlib(directory .. "/buffer.so", "luaopen_buffer"))()
    local text = ('{"id":"gen-1","pad":"%s"}'):format(("x"):rep(4000))
    for size = 3000, 5000, 100 do
      for _ = 1, 5 do
        local gen = openrouter.decode(text)
        assert.equal("gen-1", gen.id)
        gen = nil -- luacheck: ignore 311
        collectgarbage()
        assert.has_error(function() generation.exact(buffer(size), "id") end)
      end
    end
  end)
end)

-- ---- lifetimes ------------------------------------------------------------------------------------------------------

describe("lifetimes:", function()
  local BODY = fixtures.read "newest_45fields.json"

  local function collect()
    collectgarbage()
    collectgarbage()
  end

  it("a record keeps its own copy of the text and no hold on the string", function()
    local text = '{"id":"a","x":"' .. ("x"):rep(8 * 2 ^ 20) .. '"}'
    collect()
    local before = collectgarbage "count"
    local gen = openrouter.decode(text)
    text = nil -- luacheck: ignore 311
    collect()
    assert.is_true(collectgarbage "count" - before < 1024)
    assert.equal("a", gen.id)
  end)

  it("tables outlive their record", function()
    local responses, new
    do
      local gen = openrouter.decode('{"provider_responses":[{"status":200,"id":"x"}],"new":{"a":["b"]}}')
      responses, new = gen.provider_responses, gen.new
    end
    collect()
    for _ = 1, 1000 do openrouter.decode(BODY) end
    collect()
    assert.same({ { status = 200, id = "x" } }, responses)
    assert.same({ a = { "b" } }, new)
  end)

  it("a record goes when nobody has it, its tables with it", function()
    local weak = setmetatable({}, { __mode = "v" })
    local keys = setmetatable({}, { __mode = "k" })
    do
      local gen = openrouter.decode(BODY)
      weak[1], weak[2] = gen, gen.provider_responses
      keys[gen] = true
    end
    collect()
    assert.same({}, weak)
    assert.is_nil(next(keys))
  end)

  it("a record is kept by what needs it", function()
    local iterate = generation.pairs(openrouter.decode(BODY))
    collect()
    local count, last = 0, nil
    for name, value in iterate do
      count = count + 1
      if name == "provider_responses" then last = value[2].status end
      collectgarbage()
    end
    assert.equal(45, count)
    assert.equal(200, last)
  end)

  it("memory comes back", function()
    local function work()
      for _ = 1, 300 do
        local gen = openrouter.decode(BODY)
        assert(gen.provider_responses[1].status == 429)
        generation.totable(gen)
        generation.violations(gen)
        openrouter.decode(BODY:sub(1, -3))
      end
    end
    work()
    collect()
    local before = collectgarbage "count"
    for _ = 1, 5 do work() end
    collect()
    assert.is_true(collectgarbage "count" - before < 64)
  end)

  it("a collector that never rests finds nothing to break", function()
    local pause, step = collectgarbage("setpause", 0), collectgarbage("setstepmul", 1000)
    local ok, why = pcall(function()
      local kept = {}
      for i = 1, 60 do
        local gen = openrouter.decode(BODY)
        kept[i % 7 + 1] = gen
        for name, value in generation.pairs(gen) do
          assert(generation.exact(gen, name))
          assert(value == gen[name])
        end
        assert(generation.select("id", "provider_responses", "nope")(gen) == gen.id)
        assert(#generation.violations(gen) == 0)
        assert(generation.totable(gen).id == gen.id)
        assert(openrouter.decode(generation.answer(gen)).id == gen.id)
        assert(select(2, generation.spend(gen)) == "0.0007245")
        assert(openrouter.decode(BODY:sub(1, i * 20)) == nil)
        for _, old in pairs(kept) do assert(old.provider_responses[2].status == 200) end
      end
    end)
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", step)
    assert.is_true(ok, why)
  end)

  it("a megabyte is read as it is", function()
    local long = ("€x"):rep(250000)
    local escaped = ([[\u20ac\n]]):rep(130000)
    local gen = openrouter.decode('{"data":{"id":"' .. long .. '","model":"' .. escaped .. '","new":["' .. long .. '"]}}')
    assert.is_true(gen.id == long)
    assert.is_true(gen.model == ("€\n"):rep(130000))
    assert.is_true(gen.new[1] == long)
    assert.is_true(generation.exact(gen, "model") == '"' .. escaped .. '"')
    assert.is_true(generation.answer(gen):find(long, 1, true) ~= nil)
    local many = {}
    for i = 1, 50000 do many[i] = ('"m%d":%d'):format(i, i) end
    gen = openrouter.decode("{" .. table.concat(many, ",") .. "}")
    assert.equal(50000, gen.m50000)
    assert.equal(25000, generation.totable(gen).m25000)
    assert.equal(50042, #generation.violations(gen))
  end)

  it("coroutines may share a record", function()
    local gen = openrouter.decode(BODY)
    local reader = coroutine.wrap(function()
      for name, value in generation.pairs(gen) do coroutine.yield(name, value) end
    end)
    for name, value in generation.pairs(gen) do
      local other_name, other_value = reader()
      assert.equal(name, other_name)
      assert.equal(value, other_value)
    end
    local made = coroutine.wrap(function() coroutine.yield(openrouter.decode(BODY).provider_responses) end)()
    collect()
    assert.equal(429, made[1].status)
  end)
end)

-- ---- locale ---------------------------------------------------------------------------------------------------------

describe("a locale with a decimal comma", function()
  -- The locale is made here where the system has its sources but not the thing itself; a child process gets it, since
  -- LOCPATH and setlocale are of a process.
  local SCRIPT = [[
    if not os.setlocale("de_DE.UTF-8", "numeric") then os.exit(9) end
    assert(jit or tostring(1 / 2) == "0,5") -- LuaJIT has its own way with numbers
    local openrouter, generation, core = require "openrouter", require "openrouter.generation", require "openrouter.core"
    local gen = assert(openrouter.decode [=[
      {"total_cost":0.1000000000000000055511151231257827,"latency":1.5,"x":[2.5e-3,12345678901234567890.5]}]=])
    print(gen.total_cost == 1 / 10, gen.latency == 3 / 2, gen.x[1] == 1 / 400, gen.x[2] == 2469135780246913578 * 5.0 + 0)
    print(select(2, generation.spend(gen)), generation.spend(gen) == 1 / 10, core.number_text(5 / 2), core.number_text(1e300 / 7))
    print(openrouter.decode '{"x":1,5}')
  ]]

  it("changes nothing", function()
    local directory = shell.directory()
    shell.write(directory .. "/script.lua", SCRIPT)
    os.execute("localedef -i de_DE -f UTF-8 " .. directory .. "/de_DE.UTF-8 >/dev/null 2>&1")
    local lua = os.getenv "LUA" or rawget(_G, "jit") and "luajit" or "lua5.4"
    local code, out, err = shell.run(("LOCPATH=%s %s %s/script.lua"):format(directory, lua, directory))
    shell.clean()
    if code == 9 then return pending "no locale de_DE.UTF-8 here, nor what localedef needs to make it (Debian: locales)" end
    assert.equal("", err)
    assert.equal(0, code)
    assert.equal(table.concat({
      "true\ttrue\ttrue\ttrue",
      "0.100000000000000005551115123\ttrue\t2.5\t1.4285714285714286e+299",
      "nil\tbad_answer: not a JSON object: a member must start with its name in quotes, at byte 8",
      "",
    }, "\n"), out)
  end)
end)

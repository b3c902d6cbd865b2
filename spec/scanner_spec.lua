-- The id and the usage out of a body that comes in pieces. Each case is fed whole, byte by byte and in random pieces: the
-- result may not depend on where a body happens to be split.
local core = require "openrouter.core"
local shell = require "spec.support.shell"

local ID, OTHER_ID = "gen-1772036036-03sYeRNNFhHlQjQZpj70", "gen-2"
local USAGE = '{"cost":0.5,"prompt_tokens":2}'

local function fixture(name) return shell.read("spec/fixtures/" .. name) end

local function random_source(seed)
  return function(n) -- 1 … n; the same on every Lua
    seed = seed * 16807 % 2147483647
    return math.floor(seed / 1024) % n + 1
  end
end

-- ---- one scan -------------------------------------------------------------------------------------------------------

local function result(scanner, more)
  local usage, why = scanner:usage()
  return { more = more, id = scanner:id(), usage = usage, why = why, cost = scanner:cost(), finished = scanner:finished() }
end

-- Feed the body in pieces; size() says how long the next one is.
local function scan(body, size)
  local scanner, more, at = core.scanner(), true, 1
  while at <= #body do
    local n = size()
    more = scanner:feed(body:sub(at, at + n - 1))
    at = at + n
  end
  return result(scanner, more)
end

local random = random_source(20261121)
local function whole() return 2 ^ 30 end
local function byte() return 1 end
local function pieces() return random(9) end

-- What was expected has `more` too where it matters: by default that of a body that did not finish is true.
local function expect(body, want)
  local got = scan(body, whole)
  if want.finished == nil then want.finished = false end
  if want.more == nil then want.more = not want.finished end
  assert.same(want, got)
  assert.same(want, scan(body, byte))
  assert.same(want, scan(body, pieces))
end

local function data(...)
  local out = {}
  for i, object in ipairs { ... } do out[i] = "data: " .. object .. "\n\n" end
  return table.concat(out)
end

local function found(id, usage, cost, finished)
  return { id = id, usage = usage, cost = cost, finished = finished or false }
end

-- A whole body with a usage that cannot be had.
local function refused(why, id) return { id = id, why = why, finished = true } end

-- ---- a JSON body ----------------------------------------------------------------------------------------------------

describe("a scanner, of a JSON body,", function()
  it("finds id, usage and cost of a real answer", function()
    local got = scan(fixture "usage_real_2026-02_chat_full_response.json", pieces)
    assert.same({ ID, "0.0009056", true, false }, { got.id, got.cost, got.finished, got.more })
    assert.equal(core.decode('{"x":' .. got.usage .. "}").x.cost_details.upstream_inference_prompt_cost, 6e-7)
    assert.matches('^{"prompt_tokens":2,"completion_tokens":362,.*"image_tokens":0}}$', got.usage)
    assert.is_nil(got.usage:find "%s")
  end)

  it("finds the usage where there is no id, and nothing in a usage alone", function()
    local got = scan(fixture "usage_docs_final_chunk.json", pieces)
    assert.same({ nil, "0.95", true }, { got.id, got.cost, got.finished })
    expect(fixture "usage_real_2026-08_embeddings.json", found(nil, nil, nil, true))
  end)

  it("takes the members in any order, with any white space", function()
    expect('{"usage":' .. USAGE .. ',"x":[1,{"y":2}],"id":"gen-2"}', found("gen-2", USAGE, "0.5", true))
    expect('\r\n\t { "x" : -1.5e3 , "id"\n:\t"gen-2"\r,"t":true,"usage" : { "cost" :\n0.5 , "prompt_tokens"\t: 2 }\n}\n',
      found("gen-2", USAGE, "0.5", true))
    expect("{}", found(nil, nil, nil, true))
    expect(" { } ", found(nil, nil, nil, true))
  end)

  it("skips a byte order mark", function()
    expect('\239\187\191 {"id":"gen-2"}', found("gen-2", nil, nil, true))
    expect("\239\187\191", {})
    expect("\239\187", {})
    expect('\239\187{"id":"gen-2"}', { more = false })
    expect(' \239\187\191{"id":"gen-2"}', { more = false })
  end)

  it("is not taken in by what is quoted", function()
    local said = [[\"id\":\"gen-evil\",\"usage\":{\"cost\":666}}]]
    for _, text in ipairs { said, said .. [[\\]], [[\\]] .. said, [[\\\\\"]] .. said, "}]}," .. said, [[\u0022]] .. said } do
      expect('{"a":"' .. text .. '","b":{"c":["' .. text .. '"]},"' .. text .. '":1}', found(nil, nil, nil, true))
      expect('{"a":"' .. text .. '","id":"gen-2","usage":' .. USAGE .. "}", found("gen-2", USAGE, "0.5", true))
    end
    expect([[{"a":"\\","id":"gen-2","b":"\\\\\"","usage":]] .. USAGE .. "}", found("gen-2", USAGE, "0.5", true))
  end)

  it("is not taken in by what is nested", function()
    local inner = '{"id":"gen-evil","usage":{"cost":666}}'
    expect('{"choices":[{"message":' .. inner .. ',"id":"gen-evil"},' .. inner .. ']}', found(nil, nil, nil, true))
    expect('{"usage":{"usage":{"cost":1},"id":"gen-evil"},"id":{"id":"gen-evil"}}',
      found(nil, '{"usage":{"cost":1},"id":"gen-evil"}', nil, true))
    expect('{"usage":[{"cost":1}],"id":["gen-evil"]}', found(nil, nil, nil, true))
    expect('[' .. inner .. ']', { more = false })
  end)

  it("knows a name and an id however they are spelt", function()
    expect([[{"\u0069\u0064":"\u0067en\u002D2\/\u0061","\u0075\u0073\u0061\u0067\u0065":]] .. USAGE .. "}",
      found("gen-2/a", USAGE, "0.5", true))
    expect([[{"\\u0069d":"gen-2","i\u0064\u0000":"gen-2","\u0069":"gen-2","ids":"gen-2","Id":"gen-2","":"gen-2"}]],
      found(nil, nil, nil, true))
    expect([[{"\u006":1,"\i\d":"gen-2","i\x64":"gen-2","\ud800id":"gen-2","usage\u":{}}]], found(nil, nil, nil, true))
    local spelt = ("x"):rep(124):gsub(".", [[\u0078]])
    expect('{"id":"\\u0067\\u0065\\u006e\\u002d' .. spelt .. '"}', found("gen-" .. ("x"):rep(124), nil, nil, true))
  end)

  it("takes no id but that of a generation", function()
    for _, id in ipairs {
      '"chatcmpl-1"', '"gen"', '"GEN-1"', '"xgen-1"', '"gen-a b"', '"gen-a&b"', [["gen-\n"]], [["gen-\u00e9"]], [["gen-\x"]],
      '"gen-\195\169"', '"gen-\1"', '"gen-' .. ("x"):rep(125) .. '"', '"gen-' .. ("x"):rep(5000) .. '"', '""', "null", "1", "{}",
    } do
      expect('{"id":' .. id .. "}", found(nil, nil, nil, true))
    end
    expect('{"id":"gen-' .. ("x"):rep(124) .. '"}', found("gen-" .. ("x"):rep(124), nil, nil, true))
    expect('{"id":"gen-"}', found("gen-", nil, nil, true))
  end)

  it("does not take the beginning of a long name or id for all of it", function()
    local long = ("x"):rep(5000)
    for _, parts in ipairs { { '{"id', '":"gen-2"}' }, { '{"usage', '":{}}' }, { '{"id":"gen-2', '"}' } } do
      local scanner = core.scanner()
      for _, part in ipairs { parts[1], long, parts[2] } do scanner:feed(part) end
      assert.same(found(nil, nil, nil, true), result(scanner))
    end
  end)

  it("lets the last of several members count", function()
    expect('{"id":"gen-1","usage":{"cost":1},"id":"gen-2","usage":' .. USAGE .. "}", found("gen-2", USAGE, "0.5", true))
    expect('{"id":"gen-1","usage":{"cost":1},"id":"x","usage":null}', found(nil, nil, nil, true))
    expect('{"id":"gen-1","usage":{"cost":1},"id":[],"usage":"x"}', found(nil, nil, nil, true))
    expect('{"id":null,"usage":null,"id":"gen-2","usage":{"cost":1}}', found("gen-2", '{"cost":1}', "1", true))
  end)

  it("does not change an id that was told", function()
    local scanner = core.scanner()
    scanner:feed '{"id":"gen-1","id":"gen-2",'
    assert.equal("gen-2", scanner:id())
    scanner:feed '"id":"gen-3","id":null}'
    assert.equal("gen-2", scanner:id())

    -- neither to one whose name or beginning was there when the other one was told
    for _, parts in ipairs { { ',"id":', '"gen-3"}' }, { ',"id":"gen-', '3"}' }, { ',"id":', "null}" }, { ',"id":nul', "l}" } } do
      scanner = core.scanner()
      scanner:feed('{"id":"gen-2"' .. parts[1])
      assert.equal("gen-2", scanner:id())
      scanner:feed(parts[2])
      assert.same(found("gen-2", nil, nil, true), result(scanner))
    end
  end)

  it("has what was complete when the body is cut short anywhere", function()
    local body = '{"id":"gen-2","usage":{"cost":1},"x":"y","usage":{"cost":[2]},"id":"gen-3","z":1}'
    local _, id = body:find('"gen-2"', 1, true)
    local _, first = body:find('{"cost":1}', 1, true)
    local _, second = body:find('{"cost":[2]}', 1, true)
    local _, last = body:find('"gen-3"', 1, true)
    for n = 0, #body do
      expect(body:sub(1, n), {
        id = n >= last and "gen-3" or n >= id and "gen-2" or nil,
        usage = n >= second and '{"cost":[2]}' or n >= first and '{"cost":1}' or nil,
        cost = n >= first and n < second and "1" or nil,
        finished = n == #body,
      })
    end
  end)

  it("ends with the object, or with a fault", function()
    expect('{"id":"gen-2"} {"id":"gen-3","usage":{}}', found("gen-2", nil, nil, true))
    for _, fault in ipairs { "]", "x", '"a" "b"', '"a":]', '"a":1]', '"a":[}', '"a":{]', '"a":[{]}]', '"a"}', "1:2",
      ',"a":1', '"a":(' } do
      local body = '{"id":"gen-2","usage":{},' .. fault .. ',"id":"gen-3","usage":{"cost":1}}'
      expect(body, { more = false, id = "gen-2", usage = "{}" })
    end
    expect('{"id":"gen-2",}', { more = false, id = "gen-2" })
    expect('{,"id":"gen-2"}', { more = false })
    expect('{"a":1 "id":"gen-2"}', { more = false })
    expect('{"a":1 2,"id":"gen-2"}', { more = false })
  end)

  it("follows deep nesting, and what comes after it", function()
    local open, close = ("["):rep(100000), ("]"):rep(100000)
    local after = ',"id":"gen-2","usage":' .. USAGE .. "}"
    assert.same({ more = true, finished = false }, scan('{"a":' .. open, whole))
    assert.same({ more = true, finished = false }, scan('{"usage":' .. open, whole))
    local want = { more = false, id = "gen-2", usage = USAGE, cost = "0.5", finished = true }
    assert.same(want, scan('{"a":' .. open .. close .. after, whole))
    assert.same(want, scan('{"a":' .. open .. close .. after, function() return 4093 end))
    assert.same(want, scan('{"usage":' .. open .. close .. after, byte))
    local nested = ('{"a":'):rep(50000) .. '"id"' .. ("}"):rep(50000)
    assert.same(want, scan('{"a":' .. nested .. after, pieces))
    for depth = 60, 70 do -- where the kinds of brackets cease to be compared
      expect('{"a":' .. ("["):rep(depth) .. ("]"):rep(depth) .. after, found("gen-2", USAGE, "0.5", true))
    end
  end)

  it("skips huge strings", function()
    local text = ([[a line, \"quoted\" and {\\\n]]):rep(40000)
    assert.is_true(#text > 2 ^ 20)
    local body = '{"x":"' .. text .. '","id":"gen-2","y":["' .. text .. '"],"usage":' .. USAGE .. "}"
    local want = { more = false, id = "gen-2", usage = USAGE, cost = "0.5", finished = true }
    for _, size in ipairs { 1, 2, 7, 1460, 65536, #body } do
      assert.same(want, scan(body, function() return size end))
    end
    body = '{"' .. text .. '":1,"id":"' .. text .. '","usage":"' .. text .. '"}'
    assert.same({ more = false, finished = true }, scan(body, function() return 997 end))
  end)
end)

-- ---- usage and cost -------------------------------------------------------------------------------------------------

describe("a scanner's usage", function()
  it("has no white space between its tokens, and all that is in them", function()
    expect('{"usage":{ "a b" : " \\" \t" , "c":[ 1 ,\r\n2 , [ ] , true ] , "cost"\n: { } } }',
      refused "not JSON") -- a tab in a string
    expect('{"usage":{ "a b" : " \\" { , \\\\" , "c":[ 1 ,\r\n2 , [ ] , true ] , "d"\n: { } } }',
      found(nil, '{"a b":" \\" { , \\\\","c":[1,2,[],true],"d":{}}', nil, true))
  end)

  it("may have 2048 bytes, white space not counted", function()
    local function usage(n) return '{"a":"' .. ("x"):rep(n - 8) .. '"}' end
    expect('{"usage":' .. usage(2048) .. "}", found(nil, usage(2048), nil, true))
    expect('{"usage":' .. usage(2049) .. "}", refused "too large")
    local spaced = '{"usage":{' .. (" "):rep(5000) .. usage(2048):sub(2, -2) .. ("\n"):rep(5000) .. "}}"
    expect(spaced, found(nil, usage(2048), nil, true))
    expect('{"usage":' .. usage(5000):sub(1, -2), {})
    expect('{"usage":{},"usage":' .. usage(5000) .. "}", refused "too large")
    expect('{"usage":' .. usage(5000) .. ',"usage":{}}', found(nil, "{}", nil, true))
    expect('{"usage":{"a":[' .. ("1,"):rep(1500) .. '1]},"id":"gen-2"}', refused("too large", "gen-2"))
  end)

  it("is JSON", function()
    for _, usage in ipairs {
      '{"a":1 2}', '{"a":tr ue}', '{"a":- 1}', '{"a":01}', '{"a":}', '{"a"}', "{,}", '{"a":[1,]}', '{"a":1,}', "{a:1}",
      '{"a":"\\x"}', '{"a":"\255"}', '{"a":"\0"}', '{"a":\0}', "{\0}", '{"a":"\n"}', '{"a":"\\ud800"}', '{"a" "b"}', '{"a":NaN}',
      '{"a":' .. ("["):rep(200) .. ("]"):rep(200) .. "}",
    } do
      expect('{"usage":' .. usage .. ',"id":"gen-2"}', refused("not JSON", "gen-2"))
    end
  end)

  local costs = {
    ["4.2e-7"] = "0.00000042", ["0.00000042"] = "0.00000042", ["0"] = "0", ["0.0"] = "0", ["1E3"] = "1000", ["-1.50"] = "-1.5",
    ["0.000000000000000000000000001"] = "0.000000000000000000000000001", ["12.345678901234567890"] = "12.34567890123456789",
  }
  for text, cost in pairs(costs) do
    it("costs " .. cost .. ", spelt " .. text, function()
      expect('{"usage":{"cost":' .. text .. "}}", found(nil, '{"cost":' .. text .. "}", cost, true))
    end)
  end

  it("costs nothing known where the cost is absent, null or no number", function()
    for _, usage in ipairs {
      "{}", '{"cost":null}', '{"cost":"0.5"}', '{"cost":{"cost":1}}', '{"cost":[1]}', '{"cost":true}',
      '{"cost_details":{"cost":1}}', '{"cost":1e40}', '{"cost":1,"cost":null}',
    } do
      expect('{"usage":' .. usage .. "}", found(nil, usage, nil, true))
    end
    expect([[{"usage":{"cost":1,"\u0063ost":2}}]], found(nil, [[{"cost":1,"\u0063ost":2}]], "2", true))
  end)
end)

-- ---- events ---------------------------------------------------------------------------------------------------------

describe("a scanner, of an event stream,", function()
  local first = '{"id":"' .. ID .. '","choices":[{"delta":{"content":"\\"id\\":\\"gen-evil\\""}}],"usage":null}'
  local last = '{"id":"' .. ID .. '","choices":[],"usage":' .. USAGE .. "}"

  it("finds the id in the first event and the usage in the last", function()
    expect(": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" .. data(first, first, last, "[DONE]"),
      found(ID, USAGE, "0.5", true))
    expect(data(first), found(ID))
    expect(data(first, last), found(ID, USAGE, "0.5"))
    expect(fixture "error_sse_mid_stream_429.txt", {}) -- one line, and no empty one after it
    expect(fixture "error_sse_mid_stream_429.txt" .. "\n\n", found "gen-abc123")
  end)

  it("ends lines as the standard does, wherever chunks end", function()
    local body = ": c\n\n" .. data(first, last, "[DONE]")
    expect(body:gsub("\n", "\r\n"), found(ID, USAGE, "0.5", true))
    expect(body:gsub("\n", "\r"), found(ID, USAGE, "0.5", true))
    local ends, i = { "\n", "\n", "\r\n", "\r", "\r\n" }, 0
    expect(body:gsub("\n", function()
      i = i % #ends + 1
      return ends[i]
    end), found(ID, USAGE, "0.5", true))
    -- CR LF is one line end: were it two, it would end the event between its lines
    expect('data: {"id":\r\ndata: "gen-2"}\r\n\r\n', found "gen-2")
  end)

  it("skips comments and other fields, also in the middle of an event", function()
    expect('event: message\nid: gen-evil\nretry: 10\ndata:{"id":\n: "gen-evil"}\nid: gen-evil\n'
      .. 'foo\nfoo: bar\ndata\ndata:"gen-2"}\n\n', found "gen-2")
    expect('datax: {"id":"gen-1"}\n\n', { more = false })
    expect(':\n data: {"id":"gen-1"}\nDATA: {"id":"gen-1"}\ndatax: {"id":"gen-1"}\ndat: {"id":"gen-1"}\n\n', {})
    expect('data\0: {"id":"gen-1"}\n\n', { more = false })
    expect(':\ndata\0: {"id":"gen-1"}\nid\0: 1\n\n', {})
  end)

  it("joins the data lines of an event by a line feed", function()
    expect('data: {"id":"gen-2",\ndata:"usage"\ndata\ndata: :{"cost":\ndata:1\ndata\n\ndata: }}\n\n', {})
    expect('data: {"id":"gen-2",\ndata:"usage"\ndata\ndata: :{"cost":\ndata:1\ndata: }}\n\n', found("gen-2", '{"cost":1}', "1"))
    expect('data: {"usage":{"cost":1\ndata: 2}}\n\n', { why = "not JSON" })
    expect('data: {"id":"gen-\ndata: 2"}\n\n', {})
    expect('data: {"x":"\ndata: ","id":"gen-2"}\n\n', {})
    expect('data: {"a":1\ndata: 2,"id":"gen-2"}\n\n', {})
    expect('data:{"a":1\ndata:2,"id":"gen-2"}\n\n', {})
    expect('data:{"usage":{"cost":1\ndata:2}}\n\n', { why = "not JSON" })
    expect('data:   {"id":"gen-2"}  \n\n', found "gen-2")
  end)

  it("gives nothing of an event that is no object, and goes on", function()
    for _, event in ipairs {
      "[1]", '[{"id":"gen-1"}]', "1", '"gen-1"', "null", "", "x", '{"id":"gen-1"', '{"id":"gen-1"}}', '{"id":"gen-1"} x',
      '{"id":"gen-1"}{"id":"gen-1"}', '{"id":"gen-1",}', '{"usage":{"cost":9},"id":"gen-1","x":[}', '{"usage":{"cost":9}',
      "[DONE", "[DONE]]", "[DONE]x", "[ DONE]", '{"usage":{"cost":', '{"id":"gen-1","x":"', '{"usage":{"x":"\\',
    } do
      expect(data(event), {})
      expect(data(event, "]", "{}"), {})
      expect(data('{"usage":{"cost":1}}', event), found(nil, '{"cost":1}', "1"))
      expect(data(event, last), found(ID, USAGE, "0.5"))
    end
  end)

  it("keeps the first id, foreign ones passed over, and the last usage", function()
    expect(data('{"id":"chatcmpl-1"}', '{"id":null}', '{"id":"gen-2","usage":{"cost":1}}', '{"id":"gen-3","usage":{"cost":2}}'),
      found("gen-2", '{"cost":2}', "2"))
    expect(data('{"id":"gen-1","id":"chatcmpl-1"}', '{"id":"gen-2","id":"gen-3"}', '{"id":"gen-4"}'), found "gen-3")
    expect(data('{"usage":{"cost":1}}', '{"usage":null}', "{}", '{"usage":{"cost":2},"usage":null}'),
      found(nil, '{"cost":1}', "1"))
    expect(data('{"usage":{"cost":1},"usage":{"cost":2}}'), found(nil, '{"cost":2}', "2"))
    local large = '{"usage":{"a":"' .. ("x"):rep(3000) .. '"}}'
    expect(data('{"usage":{"cost":1}}', large), { why = "too large" })
    expect(data(large, '{"usage":{"cost":1}}'), found(nil, '{"cost":1}', "1"))
    expect(data('{"usage":{"cost":1}}', '{"usage":{"cost":x}}'), { why = "not JSON" })
  end)

  it("gives nothing of an event cut short, and all of those before it", function()
    local body = data('{"usage":{"cost":1}}', '{"id":"gen-2","usage":{"cost":2}}')
    local after = #data '{"usage":{"cost":1}}'
    for n = 0, #body do
      local want = n == #body and found("gen-2", '{"cost":2}', "2") or n >= after and found(nil, '{"cost":1}', "1") or {}
      expect(body:sub(1, n), want)
    end
  end)

  it("is finished when [DONE] came, not when it is quoted", function()
    expect(data "[DONE]", found(nil, nil, nil, true))
    expect("data: [DONE]\n", { finished = true, more = true }) -- all that can follow is more of the same event
    expect("data:[DONE]", { finished = true, more = true })
    expect("data:[DONE]\ndata: x\n\n", {})
    expect("data: [DON", {})
    expect("data: [D\ndata: ONE]\n\n", {})
    expect(data "[DONE]" .. data(last), found(nil, nil, nil, true))
    expect(": [DONE]\n\nevent: [DONE]\n\n" .. data('"[DONE]"', '{"x":"[DONE]"}'), {})
  end)

  it("reads a stream of 1 MiB events", function()
    local event = '{"x":"' .. ([[a line, \"quoted\" and {\\\n]]):rep(40000) .. '"}'
    local body = data(event, last, event, "[DONE]")
    for _, size in ipairs { 3, 1460, #body } do
      local got = scan(body, function() return size end)
      assert.same({ more = false, id = ID, usage = USAGE, cost = "0.5", finished = true }, got)
    end
  end)
end)

-- ---- other bodies ---------------------------------------------------------------------------------------------------

describe("a scanner, of another body,", function()
  local bodies = {
    gzip = "\31\139\8\0\0\0\0\0\0\3" .. ("\171"):rep(50), HTML = '<!DOCTYPE html><p>"id":"gen-1"', text = 'iden: "gen-1"',
    prose = 'data {"id":"gen-1"}\n\n', list = '[{"id":"gen-1"}]', string = '"gen-1"', number = "1", NUL = '\0{"id":"gen-1"}',
    ["a form feed"] = '\f{"id":"gen-1"}', event = 'events: {"id":"gen-1"}', name = 'd: {"id":"gen-1"}',
  }
  for what, body in pairs(bodies) do
    it("sees nothing: " .. what, function() expect(body, { more = false }) end)
  end

  it("still sees nothing when one that it knows comes behind it", function()
    expect("<p>\n\n" .. data '{"id":"gen-1"}' .. '{"id":"gen-1"}', { more = false })
  end)

  it("has found nothing where there is nothing", function()
    for _, body in ipairs { "", " ", "\r\n\r\n", "d", "data", "retr", ":", ": x", ":\n\n" } do expect(body, {}) end
  end)

  it("knows an event stream by any field, and white space before it does no harm", function()
    for _, line in ipairs { ":", ": c", "data", "data:", "event: x", "event", "id:1", "id", "retry", "retry: 1" } do
      for _, line_end in ipairs { "\n", "\r", "\r\n" } do
        expect("\n\n" .. line .. line_end .. line_end .. data '{"id":"gen-2"}', found "gen-2")
      end
    end
    expect('\239\187\191\r\n  data: {"id":"gen-2"}\n\n', found "gen-2")
  end)
end)

-- ---- any body -------------------------------------------------------------------------------------------------------

describe("a scanner, of anything,", function()
  local parts = {
    '{"id":', '"usage":', '"gen-1"', '"gen-2"', '{"cost":1}', "{", "}", "[", "]", ",", ":", '"', "\\", "\\u0069d", "data:",
    "data: ", "\n", "\n\n", "\r", "\r\n", " ", "null", "1e-7", "[DONE]", ": c\n", '"x":"', '",', '"}',
    '{"id":"gen-3","usage":{"cost":2}}', 'data: {"id":"gen-4","usage":{"a":[1,"]}"]}}\n\n', "\0", "\255",
    "\239\187\191", '{"usage":{',
  }
  local starts = { "", "", "{", '{"id":"gen-5",', ":\n", "data: {", "\239\187\191{", 'data: {"id":"gen-5",' }

  it("finds the same wherever it is split", function()
    for _ = 1, 3000 do
      local body = { starts[random(#starts)] }
      for i = 2, random(25) do body[i] = parts[random(#parts)] end
      body = table.concat(body)
      if body ~= "" then
        local want = scan(body, whole)
        for _, size in ipairs { byte, pieces, pieces } do
          local got = scan(body, size)
          for _, name in ipairs { "more", "id", "usage", "why", "cost", "finished" } do
            if got[name] ~= want[name] then error(("%s of %q"):format(name, body)) end
          end
        end
      end
    end
  end)
end)

-- ---- the object -----------------------------------------------------------------------------------------------------

describe("a scanner", function()
  it("can be used again after reset, whatever it was in the middle of", function()
    local scanner = core.scanner()
    for _, body in ipairs {
      '{"id":"gen-1","usage":{"a":"' .. ("x"):rep(3000) .. '"},"b', data("{}", "[DONE]"), "<p>",
      'data: {"id":"gen-1"}\n\ndata: {"\\', '{"usage":{"a":[{"b', "data: {}\r", "\239", "da",
    } do
      scanner:feed(body)
      scanner:id()
      assert.is_nil(scanner:reset())
      assert.same({ more = true, finished = false }, result(scanner, scanner:feed ""))
      assert.is_false(scanner:feed '\n{"id":"gen-2","usage":{"cost":1}}')
      local want = { more = false, id = "gen-2", usage = '{"cost":1}', cost = "1", finished = true }
      assert.same(want, result(scanner, scanner:feed "x"))
      scanner:reset()
    end
  end)

  it("returns just nil for no usage, and nil with a reason for one that cannot be had", function()
    local scanner = core.scanner()
    assert.equal(1, select("#", scanner:usage()))
    scanner:feed '{"usage":{x}}'
    assert.same({ nil, "not JSON" }, { scanner:usage() })
  end)

  it("is independent of others", function()
    local one, other = core.scanner(), core.scanner()
    one:feed '{"id":"gen-1'
    other:feed('data: {"id":"' .. OTHER_ID .. '"}\n')
    one:feed '"}'
    other:feed "\n"
    assert.same({ "gen-1", OTHER_ID }, { one:id(), other:id() })
  end)

  it("raises on misuse", function()
    local scanner = core.scanner()
    for _, name in ipairs { "feed", "id", "usage", "cost", "finished", "reset" } do
      for _, self in ipairs { false, 1, "x", {}, io.stdout, core.null, core.decode "{}" } do
        assert.error_matches(function() scanner[name](self, "x") end, "scanner expected, got")
      end
      assert.error_matches(function() scanner[name]() end, "scanner expected, got")
    end
    for _, chunk in ipairs { false, 1, {} } do
      assert.error_matches(function() scanner:feed(chunk) end, "string expected")
    end
    assert.error_matches(function() scanner:feed() end, "string expected")
  end)

  -- LuaJIT alone can call an address.
  local has_ffi, ffi = pcall(require, "ffi")
  if has_ffi then
    it("takes bytes through LuaJIT's FFI as it takes strings", function()
      local feed = ffi.cast("int (*)(void *, const char *, size_t)", core.scanner_feed())
      local scanner, body = core.scanner(), fixture "usage_docs_final_chunk.json"
      local bytes, more = ffi.cast("const char *", body), nil
      for i = 0, #body - 1 do more = feed(scanner, bytes + i, 1) end
      assert.same(scan(body, whole), result(scanner, more ~= 0))
    end)
  end
end)

-- The text of journal lines: what is written, and what is read back of it, whole or cut short.
local cjson = require "cjson"
local core = require "openrouter.core"

local ID = "gen-1763705000-AbCdEfGhIjKlMnOpQrSt"
local TIME = "%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ"
local HEAD = '{"%s":"' .. ID .. '","open":true ,"at":"'

-- The line without its beginning up to the time, which must be as it should.
local function behind_time(kind, line)
  local head = HEAD:format(kind)
  assert.equal(head, line:sub(1, #head))
  return assert(line:match("^" .. TIME .. '"(.*)}$', #head + 1))
end

local function pack(...)
  return { n = select("#", ...), ... }
end

-- ---- a context ------------------------------------------------------------------------------------------------------

describe("a context", function()
  local function text_of(context)
    local text, problem = core.context_text(context)
    return text or "none", problem or "no problem"
  end

  local function is(text, problem, context)
    assert.same({ text, problem }, { text_of(context) })
  end

  it("is a flat object, names in order", function()
    is('{"a":"x","b":true,"c":false,"d":7,"e":0.1}', "no problem", { e = 0.1, d = 7, c = false, b = true, a = "x" })
    is('{"":1,"B":2,"a":3,"a\\u0000":4,"ab":5}', "no problem", { ab = 5, a = 3, B = 2, [""] = 1, ["a\0"] = 4 })
  end)

  it("is none where there is nothing in it", function()
    is("none", "no problem", {})
    is("none", "no problem", nil)
  end)

  it("has U+FFFD for what is no UTF-8, in names and in strings", function()
    is('{"\239\191\189n":"zo\239\191\189\\n\\""}', "no problem", { ["\255n"] = 'zo\255\n"' })
  end)

  it("has no name twice", function()
    is('{"a\239\191\189":2}', "context: a\239\191\189 is there twice", { ["a\255"] = 1, ["a\254"] = 2 })
    is('{"\239\191\189":1}', "context: \239\191\189 is there twice", { ["\239\191\189"] = 1, ["\255"] = 2 })
    is('{"long name \239\191\189":2,"long name \239\191\189b":1}', "no problem",
      { ["long name \254b"] = 1, ["long name \253"] = 2 })
  end)

  it("leaves out what it cannot hold, and names the first", function()
    local words = "context: %s must be a string, boolean or number, not a %s"
    is('{"z":1}', words:format("b", "table"), { z = 1, b = {}, c = print })
    is("none", words:format("b", "function"), { c = {}, b = print })
    is("none", words:format("a\\nb", "table"), { ["a\nb"] = {} })
    local context = {}
    for i = 50, 10, -1 do
      context["n" .. i], context["n" .. i .. "x"] = {}, {}
      is("none", words:format("n" .. i, "table"), context)
    end
    is('{"z":1}', "context: b must be a finite number", { z = 1, b = 0 / 0, c = {} })
    is("none", "context: b must be a finite number", { b = math.huge })
    is("none", "context: b must be a finite number", { b = -math.huge })
  end)

  it("shows a name of any length in a few characters", function()
    local text, problem = core.context_text { [("x"):rep(100000)] = {}, y = 1 }
    assert.equal('{"y":1}', text)
    assert.equal("context: " .. ("x"):rep(64) .. " must be a string, boolean or number, not a table", problem)
  end)

  it("leaves out names that are no strings, and does not lose its way by them", function()
    is("none", "context: 1 must be a string, as every name", { "x" })
    is("none", "context: 1.5 must be a string, as every name", { [1.5] = "x" })
    is("none", "context: boolean must be a string, as every name", { [true] = "x" })
    local context = { a = 1, b = 2 }
    for i = 1, 1000 do context[i * 1.5] = i end
    assert.equal('{"a":1,"b":2}', (core.context_text(context)))
    local count = 0
    for name in pairs(context) do count = count + (type(name) == "number" and 1 or 0) end
    assert.equal(1000, count)
  end)

  it("has the first 16 names", function()
    local context, all = {}, {}
    for i = 1, 16 do
      context[("n%02d"):format(i)] = i
      all[i] = ('"n%02d":%d'):format(i, i)
    end
    local text = "{" .. table.concat(all, ",") .. "}"
    is(text, "no problem", context)
    context.n17 = 17
    is(text, "context: n17 is one too many: 17 names, 16 at most", context)
    for i = 18, 500 do context["o" .. i] = i end
    is(text, "context: n17 is one too many: 500 names, 16 at most", context)
    context.n03 = nil
    text = text:gsub('"n03":3,', ""):gsub("}", ',"n17":17}')
    is(text, "context: o100 is one too many: 499 names, 16 at most", context)
  end)

  it("has 1024 bytes, and what does not fit in them is not there at all", function()
    local most = ("x"):rep(1024 - #'{"a":""}')
    is('{"a":"' .. most .. '"}', "no problem", { a = most })
    is('{"b":1}', "context: a does not fit, 1024 bytes at most", { a = most .. "x", b = 1 })
    is('{"a":"' .. most:sub(7) .. '","b":1}', "no problem", { a = most:sub(7), b = 1 })
    is('{"a":"' .. most:sub(6) .. '"}', "context: b does not fit, 1024 bytes at most", { a = most:sub(6), b = 1 })
    is('{"b":2}', "context: a does not fit, 1024 bytes at most", { a = ("\1"):rep(171), b = 2 })
    is('{"b":2}', "context: a does not fit, 1024 bytes at most", { a = ("\255"):rep(340), b = 2 })
    is("none", "context: " .. ("y"):rep(64) .. " does not fit, 1024 bytes at most", { [("y"):rep(1 + 1024)] = 1 })
  end)

  it("raises for what is no table", function()
    for _, wrong in ipairs { "{}", 7, true, print } do
      assert.error_matches(function() core.context_text(wrong) end, "table expected, got " .. type(wrong))
    end
  end)

  -- The same rules another way.
  local function model(context)
    local names, parts, size = {}, {}, 2
    for name, value in pairs(context) do
      local fits = type(value) == "string" or type(value) == "boolean"
        or type(value) == "number" and value - value == 0
      if type(name) == "string" and fits then names[#names + 1] = name end
    end
    table.sort(names)
    for i = 1, math.min(16, #names) do
      local value = context[names[i]]
      local part = core.quote(names[i]) .. ":" .. (type(value) == "string" and core.quote(value)
        or type(value) == "number" and core.number_text(value) or tostring(value))
      local more = #part + (#parts > 0 and 1 or 0)
      if size + more <= 1024 then
        parts[#parts + 1], size = part, size + more
      end
    end
    return #parts > 0 and "{" .. table.concat(parts, ",") .. "}" or nil
  end

  it("is as the rules say, whatever is in it", function()
    math.randomseed(11)
    local letters, full = "abcdefgh", 0
    local function word(most)
      local part = {}
      for i = 1, math.random(0, most) do
        local at = math.random(#letters)
        part[i] = math.random(30) == 1 and string.char(math.random(0, 127)) or letters:sub(at, at)
      end
      return table.concat(part)
    end
    local values = {
      function() return word(10) end, function() return word(math.random(12) == 1 and 1100 or 90) end,
      function() return math.random(-1000, 1000) end, function() return math.random() end,
      function() return math.random(2) == 1 end, function() return {} end, function() return 0 / 0 end,
      function() return (math.random(2) == 1 and -1 or 1) * 10 ^ math.random(-300, 300) end,
    }
    for _ = 1, 1000 do
      local context = {}
      for _ = 1, math.random(0, 24) do
        local name = math.random(20) == 1 and math.random(5) or word(4)
        context[name] = values[math.random(#values)]()
      end
      local expected = model(context)
      local text, problem = core.context_text(context)
      assert.equal(expected, text)
      local names = 0
      for _ in pairs(context) do names = names + 1 end
      local kept = 0
      for _ in pairs(text and cjson.decode(text) or {}) do kept = kept + 1 end
      assert.equal(kept < names, problem ~= nil)
      full = full + (problem and 1 or 0)
    end
    assert.is_true(full > 200 and full < 950)
  end)
end)

describe("two contexts in one", function()
  it("are the members of both, the second's where both have one", function()
    assert.equal('{"a":1,"b":3,"c":"x"}', core.merge_contexts('{"a":1,"b":2}', '{"c":"x","b":3}'))
    assert.equal('{"a":1}', core.merge_contexts('{"a":1}', nil))
    assert.equal('{"a":1}', core.merge_contexts(nil, '{"a":1}'))
    assert.equal('{"a":1,"b":true}', core.merge_contexts('{"a" : 1}', '{ "b":true }'))
  end)

  it("are none where neither has a member", function()
    assert.is_nil(core.merge_contexts(nil, nil))
    assert.is_nil(core.merge_contexts("{}", "{}"))
  end)

  it("have no name twice, however it is spelt; the last value counts", function()
    assert.equal('{"a":3}', core.merge_contexts('{"a":1,"a":2}', '{"\\u0061":3}'))
    assert.equal('{"a":2}', core.merge_contexts('{"a":1,"\\u0061":2}', nil))
    assert.equal('{"\\u0061":2}', core.merge_contexts(nil, '{"\\u0061":1,"a":2}'))
  end)

  it("keep the spelling of values", function()
    assert.equal('{"a":1.50e0,"b":"\\u00e9\\/"}', core.merge_contexts('{"a":1.50e0}', '{"b":"\\u00e9\\/"}'))
  end)

  it("have nothing that is not flat, and nothing of what is no object", function()
    assert.equal('{"a":1,"e":2}', core.merge_contexts('{"a":1,"b":{},"c":[],"d":null}', '{"a":null,"b":[1],"e":2}'))
    for _, wrong in ipairs { "", "x", "[]", '"a"', '{"a":1', '{"a":1}x', '{"a":\1}', "{\0}", '{"a":"\255"}' } do
      assert.equal('{"b":2}', core.merge_contexts(wrong, '{"b":2}'))
      assert.equal('{"b":2}', core.merge_contexts('{"b":2}', wrong))
    end
  end)

  it("have at most 4096 bytes, of whole members", function()
    local function of(name, count, size)
      local parts = {}
      for i = 1, count do parts[i] = ('"%s%d":"%s"'):format(name, i, ("x"):rep(size)) end
      return "{" .. table.concat(parts, ",") .. "}"
    end
    local a, b = of("a", 16, 245), of("b", 16, 245)
    assert.is_true(#a > 3900 and #a <= 4096)
    local merged = core.merge_contexts(a, b)
    assert.is_true(#merged <= 4096)
    assert.equal(a:sub(1, -2), merged:sub(1, #a - 1))
    assert.equal("string", type(cjson.decode(merged).a16))
    assert.is_nil(cjson.decode(merged).b1)
    assert.equal('{"c":1}', core.merge_contexts(of("a", 16, 250), '{"c":1}')) -- no context is as long
    local small = of("a", 300, 0)
    assert.equal(64, select(2, core.merge_contexts(small, nil):gsub('"a', "")))
  end)

  it("are what tables would be", function()
    math.randomseed(12)
    for _ = 1, 1000 do
      local tables, expected = { {}, {} }, {}
      for side = 1, 2 do
        for _ = 1, math.random(0, 8) do
          local name, value = "n\233" .. math.random(12), math.random(3) == 1 and math.random() < 0.5 or math.random(99)
          tables[side][name] = value
          expected["n\239\191\189" .. name:sub(3)] = value
        end
      end
      local text = core.merge_contexts(core.context_text(tables[1]) or nil, (core.context_text(tables[2])))
      assert.same(expected, text and cjson.decode(text) or {})
    end
  end)

  it("raise for what is no text", function()
    assert.error_matches(function() core.merge_contexts({}, nil) end, "string expected, got table")
    assert.error_matches(function() core.merge_contexts(nil, 1) end, "string expected, got number")
  end)
end)

-- ---- lines ----------------------------------------------------------------------------------------------------------

describe("a pending line", function()
  it("says the id, when, with what key and for whom", function()
    local line, problem = core.pending_line(ID, "team a", { user = "zoe", n = 1 })
    assert.is_nil(problem)
    assert.equal(',"key":"team a","context":{"n":1,"user":"zoe"}', behind_time("pending", line))
  end)

  it("leaves out what there is not", function()
    assert.equal("", behind_time("pending", core.pending_line(ID)))
    assert.equal("", behind_time("pending", core.pending_line(ID, nil, {})))
    assert.equal(',"key":""', behind_time("pending", core.pending_line(ID, "")))
  end)

  it("is written without what cannot be kept of the context", function()
    local line, problem = core.pending_line(ID, "k", { a = {}, b = 1 })
    assert.equal(',"key":"k","context":{"b":1}', behind_time("pending", line))
    assert.equal("context: a must be a string, boolean or number, not a table", problem)
    line, problem = core.pending_line(ID, "k", { a = {} })
    assert.equal(',"key":"k"', behind_time("pending", line))
    assert.is_string(problem)
  end)

  it("is written without a name of the key that is too long", function()
    local key = ("\1"):rep(256)
    local line, problem = core.pending_line(ID, key)
    assert.equal(key, cjson.decode(line).key)
    assert.is_nil(problem)
    line, problem = core.pending_line(ID, key .. "x", { a = 1 })
    assert.equal(',"context":{"a":1}', behind_time("pending", line))
    assert.equal("key: longer than 256 bytes", problem)
  end)

  it("is none for what is no id", function()
    for _, id in ipairs { "", "a b", 'a"', "a\n", "a\0", "\255", ("x"):rep(129) } do
      assert.same({ n = 2, nil, "no valid id" }, pack(core.pending_line(id)))
      assert.same({ n = 2, nil, "no valid id" }, pack(core.note_line(id)))
    end
    assert.is_string(core.pending_line(("x"):rep(128)))
  end)

  it("raises for what is of the wrong type", function()
    assert.has_error(function() core.pending_line() end)
    assert.has_error(function() core.pending_line {} end)
    assert.error_matches(function() core.pending_line(ID, 7) end, "string expected, got number")
    assert.error_matches(function() core.pending_line(ID, nil, "{}") end, "table expected, got string")
  end)
end)

describe("a note line", function()
  it("says what the end of the request added", function()
    local line, problem = core.note_line(ID, true, { status = 200 }, '{"cost":4.20e-7}')
    assert.is_nil(problem)
    assert.equal(',"interrupted":true,"context":{"status":200},"instant":{"cost":4.20e-7}', behind_time("note", line))
  end)

  it("leaves out what there is not", function()
    assert.equal("", behind_time("note", core.note_line(ID)))
    assert.equal("", behind_time("note", core.note_line(ID, false, {})))
    assert.equal(',"instant":{}', behind_time("note", core.note_line(ID, nil, nil, "{}")))
  end)

  it("is one line whatever stands between the tokens of the instant cost", function()
    local line = core.note_line(ID, false, nil, '{\n\t"cost":\r\n1}')
    assert.equal(',"instant":{  "cost":  1}', behind_time("note", line))
  end)

  it("is written without an instant cost that is too long", function()
    local instant = '{"x":"' .. ("x"):rep(4096 - 8) .. '"}'
    assert.equal(',"instant":' .. instant, behind_time("note", core.note_line(ID, false, nil, instant)))
    local line, problem = core.note_line(ID, false, { a = 1 }, instant .. " ")
    assert.equal(',"context":{"a":1}', behind_time("note", line))
    assert.equal("instant: longer than 4096 bytes", problem)
    problem = select(2, core.note_line(ID, false, { a = {} }, instant .. " "))
    assert.matches("^context: a", problem) -- the first
  end)

  it("raises for what is of the wrong type", function()
    assert.error_matches(function() core.note_line(ID, true, "{}") end, "table expected, got string")
    assert.error_matches(function() core.note_line(ID, true, nil, {}) end, "string expected, got table")
  end)
end)

it("the longest line is one, and whole", function()
  local long = ("x"):rep(128)
  local line = core.note_line(long, true, { a = ("\1"):rep(169) }, '{"x":"' .. ("y"):rep(4088) .. '"}')
  assert.equal(4088, #cjson.decode(line).instant.x)
  local parts = pack(core.open_line(line))
  assert.equal(long, parts[2])
  assert.same({ a = ("\1"):rep(169) }, cjson.decode(parts[5]))
  line = core.pending_line(long, ("\1"):rep(256), { a = ("\1"):rep(169) })
  assert.equal(("\1"):rep(256), cjson.decode(line).key)
end)

-- ---- reading --------------------------------------------------------------------------------------------------------

local PENDING = '{"pending":"gen-1","open":true ,"at":"2026-11-21T06:26:57.123Z","key":"de\\"f","context":{"user":"zo\\u00eb"}}'
local NOTE = '{"note":"gen-1","open":true ,"at":"2026-11-21T06:26:57.123Z","interrupted":true,"context":{"a":1},'
  .. '"instant":{"cost":1e-7}}'
local AT = 1795242417.123

local function reads(expected, text)
  expected.n = 8
  local got = pack(core.open_line(text))
  if got[3] and expected[3] then -- to the microsecond
    assert.is_true(math.abs(got[3] - expected[3]) < 1e-6)
    got[3] = expected[3]
  end
  assert.same(expected, got)
end

describe("reading a line", function()
  it("gives all that is in it", function()
    reads({ "pending", "gen-1", AT, 'de"f', '{"user":"zo\\u00eb"}', nil, false, true }, PENDING)
    reads({ "note", "gen-1", AT, nil, '{"a":1}', '{"cost":1e-7}', true, true }, NOTE)
    reads({ "pending", "gen-1", nil, nil, nil, nil, false, true }, '{"pending":"gen-1","open":true }')
  end)

  it("says whether it is open", function()
    assert.is_true((select(8, core.open_line(PENDING))))
    assert.is_false((select(8, core.open_line((PENDING:gsub("true ", "false", 1))))))
    assert.is_true((select(8, core.open_line '{"note":"gen-1"}')))
  end)

  it("gives back what was written", function()
    local before = core.unix_time()
    local line = core.pending_line(ID, "\255k\n", { a = "b" })
    local got = pack(core.open_line(line))
    assert.same({ "pending", ID, "\239\191\189k\n", '{"a":"b"}' }, { got[1], got[2], got[4], got[5] })
    assert.is_true(got[3] > before - 0.002 and got[3] <= core.unix_time() + 0.0001)
    got = pack(core.open_line(core.note_line(ID, false, nil, '{"cost":0}')))
    assert.same({ n = 8, "note", ID, got[3], nil, nil, '{"cost":0}', false, true }, got)
  end)

  it("gives nothing for what is no such line", function()
    for _, text in ipairs {
      "", "{", "x", "[]", "{}", '{"settled":"gen-1","at":"t"}', '{"pending":"gen-1', '{"pending":""}', '{"pending":1}',
      '{"pending":"a b"}', '{"note":"a\nb"}', '{"note":"gen\0"}', '{"pending":"' .. ("x"):rep(129) .. '"}',
      '{ "pending":"gen-1"}', ' {"pending":"gen-1"}', '{"at":"t","pending":"gen-1"}', "\0" .. PENDING,
    } do
      assert.same({ n = 1 }, pack(core.open_line(text)))
    end
  end)

  it("gives the id of a line that was cut anywhere behind it", function()
    for _, line in ipairs { PENDING, NOTE } do
      local kind = line:match "%a+"
      local from = assert(line:find('gen-1"', 1, true)) + 5
      for length = 0, #line - 1 do
        local cut = line:sub(1, length)
        if length < from then
          assert.is_nil((core.open_line(cut)))
        else
          reads({ kind, "gen-1", nil, nil, nil, nil, false, true }, cut)
          reads({ kind, "gen-1", nil, nil, nil, nil, false, true }, cut .. ("\0"):rep(20))
        end
      end
    end
  end)

  it("knows that a line which was cut short is closed", function()
    local cut = PENDING:gsub("true ", "false", 1):sub(1, 50)
    reads({ "pending", "gen-1", nil, nil, nil, nil, false, false }, cut)
  end)

  it("takes what goes on behind its end for cut short", function()
    reads({ "pending", "gen-1", nil, nil, nil, nil, false, true }, PENDING .. "x")
    reads({ "pending", "gen-1", nil, nil, nil, nil, false, true }, PENDING .. PENDING)
    reads({ "pending", "gen-1", AT, 'de"f', '{"user":"zo\\u00eb"}', nil, false, true }, PENDING .. " \r")
  end)

  it("takes nothing that is of another kind than it should be", function()
    reads({ "note", "gen-1", nil, nil, nil, nil, false, true },
      '{"note":"gen-1","open":true ,"at":1,"key":null,"context":[],"instant":"x","interrupted":1}')
    reads({ "note", "gen-1", nil, "", "{}", "{}", false, true },
      '{"note":"gen-1","open":true ,"at":"soon","key":"","context":{},"instant":{},"interrupted":false}')
  end)

  it("never does harm, whichever bytes are others", function()
    math.randomseed(13)
    local kinds = { pending = 0, note = 0, none = 0 }
    for _ = 1, 20000 do
      local line = math.random(2) == 1 and PENDING or NOTE
      for _ = 1, math.random(3) do
        local at = math.random(#line)
        local byte = ('\0"\\{}[],:0e-u \255\194\n'):sub(math.random(17)):sub(1, 1)
        line = line:sub(1, at - 1) .. byte .. line:sub(at + math.random(0, 2))
      end
      local kind, id, _, key, context = core.open_line(line)
      kinds[kind or "none"] = kinds[kind or "none"] + 1
      if kind then assert.is_true(core.id_valid(id)) end
      if key then assert.is_string(key) end
      if context then cjson.decode(context) end
    end
    for _, count in pairs(kinds) do assert.is_true(count > 500) end
  end)
end)

-- ---- time and money -------------------------------------------------------------------------------------------------

describe("a timestamp", function()
  it("is in UTC, with milliseconds", function()
    local cases = {
      { 0, "1970-01-01T00:00:00.000Z" }, { AT, "2026-11-21T06:26:57.123Z" }, { 951782399.9, "2000-02-28T23:59:59.900Z" },
      { 951782400, "2000-02-29T00:00:00.000Z" }, { 4107542400, "2100-03-01T00:00:00.000Z" },
      { 0.0009, "1970-01-01T00:00:00.000Z" }, { 59.999, "1970-01-01T00:00:59.999Z" }, { 0.9999, "1970-01-01T00:00:00.999Z" },
      { -0.25, "1969-12-31T23:59:59.750Z" }, { -62167219200, "0000-01-01T00:00:00.000Z" },
      { 253402300799.999, "9999-12-31T23:59:59.999Z" }, { 253402300800 - 2 ^ -15, "9999-12-31T23:59:59.999Z" },
    }
    for _, case in ipairs(cases) do assert.equal(case[2], core.timestamp(case[1])) end
  end)

  it("is the calendar's", function()
    math.randomseed(14)
    for _ = 1, 5000 do
      local seconds = math.random(0, 2 ^ 31 - 1)
      assert.equal(os.date("!%Y-%m-%dT%H:%M:%S.000Z", seconds), core.timestamp(seconds))
    end
  end)

  it("reads back as the same one", function()
    for day = 0, 8029, 73 do
      for ms = 0, 999 do
        local text = core.timestamp(day * 365 * 86400 % 253402300000):gsub("%.000Z$", (".%03dZ"):format(ms))
        local at = select(3, core.open_line('{"note":"a","open":true ,"at":"' .. text .. '"}'))
        if core.timestamp(at) ~= text then error(text) end
      end
    end
  end)

  it("is never the next millisecond's, which has not begun", function()
    math.randomseed(15)
    for _, begin in ipairs { -86400 * 365, 0, 951782399, 1793923199, 4107542399 } do
      for _ = 1, 2000 do
        local micro = math.random(0, 999999)
        local at = core.parse_time(core.timestamp(begin):gsub("%.000Z$", (".%06dZ"):format(micro)), nil)
        assert.equal(("%03d"):format(math.floor(micro / 1000)), core.timestamp(at):match "%.(%d+)Z$")
        assert.equal(core.timestamp(begin):sub(1, 19), core.timestamp(at):sub(1, 19))
      end
    end
  end)

  it("is refused outside the years 0 to 9999", function()
    for _, seconds in ipairs { -62167219201, 253402300800, 1e300, math.huge, -math.huge, 0 / 0 } do
      assert.error_matches(function() core.timestamp(seconds) end, "not in the years 0 to 9999")
    end
  end)
end)

describe("a difference", function()
  local cases = {
    { "1", "1", "0" }, { "1.50", "15e-1", "0" }, { "0", "-0", "0" }, { "3", "1.5", "1.5" }, { "1.5", "3", "-1.5" },
    { "1e-27", "0", "0.000000000000000000000000001" }, { "0.1", "1e-27", "0.099999999999999999999999999" },
    { "4.2e-7", "0.00000042", "0" }, { "-1", "1", "-2" }, { "100000000000", "1e-27", "99999999999.999999999999999999999999999" },
    { "1e-40", "0", "0" },
  }
  for _, case in ipairs(cases) do
    it(case[1] .. " - " .. case[2], function() assert.equal(case[3], core.difference(case[1], case[2])) end)
  end

  it("is none where either is no number, or too large", function()
    for _, wrong in ipairs { "", "x", "1x", "1 ", " 1", "01", "+1", "1.", ".5", "null", '"1"', "[1]", "1\0", "1e30", "-" } do
      assert.is_nil(core.difference(wrong, "1"))
      assert.is_nil(core.difference("1", wrong))
    end
    assert.is_nil(core.difference("170000000000", "-170000000000"))
    assert.is_nil(core.difference(nil, "1"))
    assert.is_nil(core.difference("1", nil))
    assert.is_nil(core.difference(1, "1"))
  end)
end)

local core = require "openrouter.core"
local engine = require "spec.support.engine"
require "openrouter.errors"

local ID = "gen-x"
local RECORD = '{"data":{"id":"gen-x","total_cost":0.5}}'

local function record(id)
  return ('{"data":{"id":"%s","total_cost":0.5}}'):format(id)
end

describe("engine", function()
  -- the ids that next() gives now
  local function asked(e, now)
    local ids = {}
    for id in function() return (e:next(now)) end do ids[#ids + 1] = id end
    return ids
  end

  describe("ids", function()
    local long = ("a"):rep(128)

    it("are what an id can be", function()
      for _, id in ipairs { "a", "gen-1790000000-AbC", "a.b_c~d-e", "x:y/z", "...", long } do
        assert.is_true(core.id_valid(id))
        assert.is_true(engine.new():submit(id, 0))
      end
      for _, id in ipairs { "", " ", "a b", "a&b", "a\r", "a\n", "a\0", "\0", "a%41", "a?b", "a#b", "a=b", "a+b", "é", "a\127",
        "a\255", "a;b", 'a"b', "a\\b", long .. "a", ("a"):rep(10000) } do
        assert.is_false(core.id_valid(id))
        local e = engine.new()
        local ok, err = e:submit(id, 0)
        assert.is_nil(ok)
        assert.same({ "bad_id", id, false }, { err.kind, err.id, err.retryable })
        assert.matches("128", err.message)
        assert.equal(0, e:open())
        assert.equal(math.huge, e:due())
      end
    end)

    it("are encoded in the target", function()
      local function target_of(id)
        local e = engine.new()
        e:submit(id, 0)
        local same, target, timeout = e:next(0)
        assert.same({ id, 30 }, { same, timeout })
        return target
      end
      assert.equal("/generation?id=gen-1790000000-AbC._~", target_of "gen-1790000000-AbC._~")
      assert.equal("/generation?id=a%3Ab%2Fc%2F..%2F", target_of "a:b/c/../")
      assert.equal("/generation?id=" .. long, target_of(long))
      assert.equal("/generation?id=" .. ("%2F"):rep(128), target_of(("/"):rep(128)))
    end)

    it("are strings", function()
      local e = engine.new()
      for _, id in ipairs { 5, true, {}, print } do
        assert.has_error(function() e:submit(id, 0) end)
      end
      assert.has_error(function() e:submit(nil, 0) end)
      assert.equal(0, e:open())
    end)
  end)

  it("grows with its ids up to the window, and knows them all", function()
    local e = engine.new { window = 300 }
    local slots = {}
    for i = 1, 300 do
      local new, slot = e:submit("gen-" .. i, i)
      assert.same({ true, nil }, { new, slots[slot] })
      slots[slot] = i
    end
    assert.equal("full", select(2, e:submit("gen-301", 301)).kind)
    for slot, i in pairs(slots) do assert.same({ false, slot }, { e:submit("gen-" .. i, 301) }) end
    for i = 1, 16 do assert.equal("gen-" .. i, e:next(301)) end -- in the order they came
    for i = 17, 300 do assert.is_truthy(e:cancel("gen-" .. i, 301)) end
    assert.equal(16, e:open())
  end)

  describe("slots", function()
    it("are an id's own while it is in the window, from 1 to as many as there are ids", function()
      local e, owner = engine.new { window = 8 }, {}
      local function submit(id)
        local new, slot = e:submit(id, 0)
        assert.same({ true, nil }, { new, owner[slot] })
        assert.is_true(slot >= 1 and slot <= 8)
        owner[slot] = id
        return slot
      end
      local slots = {}
      for i = 1, 8 do slots[i] = submit("gen-" .. i) end
      assert.same({ 1, 2, 3, 4, 5, 6, 7, 8 }, slots)
      assert.same({ false, slots[3] }, { e:submit("gen-3", 0) })
      for i = 1, 2 do assert.equal(slots[i], select(4, e:next(0))) end
      for _, i in ipairs { 2, 5 } do
        assert.equal(slots[i], select(2, e:cancel("gen-" .. i, 0)))
        owner[slots[i]] = nil
      end
      submit "gen-9"
      submit "gen-10"
      assert.equal("full", select(2, e:submit("gen-11", 0)).kind)
      e = engine.new { deadline = 1 }
      e:submit("gen-1", 0)
      assert.equal(1, select(3, e:ended(2)))
    end)
  end)

  it("is hungry while few ids are due", function()
    local e = engine.new { window = 64, concurrency = 4 }
    assert.is_true(e:hungry(0))
    for i = 1, 7 do e:submit("gen-" .. i, 5) end
    assert.is_true(e:hungry(5))
    e:submit("gen-8", 5)
    assert.is_false(e:hungry(5))
    assert.is_true(e:hungry(4)) -- they wait, and others need not
    e:next(5)
    assert.is_true(e:hungry(5))
  end)

  describe("window", function()
    it("takes as many ids as it says", function()
      local e = engine.new { window = 3 }
      for i = 1, 3 do assert.is_true(e:submit("gen-" .. i, 0)) end
      local ok, err = e:submit("gen-4", 0)
      assert.is_nil(ok)
      assert.same({ "full", "gen-4", true }, { err.kind, err.id, err.retryable })
      assert.equal(3, e:open())
      e:next(0)
      assert.equal(3, e:open())
      assert.equal("full", select(2, e:submit("gen-4", 0)).kind)
      e:answer("gen-1", 403, nil, "", 0)
      assert.equal(2, e:open())
      assert.is_true(e:submit("gen-4", 0))
    end)

    it("has each id once", function()
      local e = engine.new { window = 2 }
      assert.is_true(e:submit("a", 0))
      assert.is_false(e:submit("a", 0))
      assert.is_true(e:submit("b", 0))
      assert.is_false(e:submit("a", 0)) -- not full for an id that is there
      assert.equal(2, e:open())
      assert.same({ "a", "b" }, asked(e, 0))
      assert.is_false(e:submit("a", 0)) -- on the wire
      assert.is_true(not e:next(0))
      assert.is_userdata(e:answer("a", 200, nil, record "a", 0))
      assert.is_true(e:submit("a", 0)) -- another time
      assert.equal("a", e:next(0))
    end)

    it("keeps the longer wait and deadline of an id given twice", function()
      for _, order in ipairs { { 2, 30 }, { 30, 2 } } do
        local e = engine.new { wait = 5, deadline = 6 }
        e:submit(ID, 0, order[1], order[1])
        e:submit(ID, 0, order[2], order[2])
        e:next(0)
        local err, _, now = engine.run(e, ID, engine.status(ID, 404))
        assert.equal("not_found", err.kind)
        assert.equal(29, now) -- the last attempt has a second
      end
    end)

    it("finds its ids among many", function()
      local e = engine.new { window = 5000, concurrency = 5000 }
      for i = 1, 5000 do assert.is_true(e:submit("gen-" .. i, 0)) end
      for i = 1, 5000 do assert.is_false(e:submit("gen-" .. i, 0)) end
      assert.equal(5000, #asked(e, 0))
      for i = 5000, 1, -1 do
        local gen = e:answer("gen-" .. i, 200, nil, record("gen-" .. i), 1)
        assert.equal("gen-" .. i, gen.id)
      end
      assert.same({ 0, 0 }, { e:open(), e:on_wire() })
    end)
  end)

  describe("order", function()
    it("is that of the due times, and among equals that of coming", function()
      local e = engine.new()
      for _, id in ipairs { "b", "a", "c" } do e:submit(id, 5) end
      e:submit("d", 4)
      assert.equal(4, e:due())
      assert.same({ "d" }, asked(e, 4))
      assert.equal(5, e:due())
      assert.same({}, asked(e, 4.999))
      assert.same({ "b", "a", "c" }, asked(e, 5))
      assert.equal(math.huge, e:due())
    end)

    it("puts those asked again where their delay says", function()
      local e, due = engine.new { concurrency = 64 }, {}
      for i = 1, 50 do e:submit("gen-" .. i, 0) end
      asked(e, 0)
      for i = 1, 50 do
        local id = "gen-" .. i
        local _, _, delay = e:fault(id, "server", nil, i / 100)
        due[#due + 1] = { at = i / 100 + delay, id = id }
      end
      table.sort(due, function(a, b) return a.at < b.at end)
      for _, one in ipairs(due) do
        assert.equal(one.at, e:due())
        assert.is_nil((e:next(one.at - 1e-6)))
        assert.equal(one.id, (e:next(one.at)))
      end
    end)
  end)

  describe("a first attempt later on", function()
    it("is when it was said, from when the id came", function()
      local e = engine.new()
      e:submit("a", 100, nil, nil, nil, 7.5)
      e:submit("b", 100, nil, nil, "content", 3)
      e:submit("c", 100, nil, nil, "record", 0)
      e:submit("d", 100)
      assert.same({ "c", "d" }, asked(e, 100))
      assert.equal(103, e:due())
      assert.same({}, asked(e, 102.999))
      assert.same({ "content b" }, asked(e, 103))
      assert.same({ "a" }, asked(e, 107.5))
    end)

    it("takes its turn among the others then", function()
      local e = engine.new()
      e:submit("a", 0, nil, nil, nil, 5)
      e:submit("b", 4)
      e:submit("c", 5)
      e:submit("d", 6)
      assert.same({ "b", "a", "c", "d" }, asked(e, 6))
    end)

    it("changes neither the wait nor the deadline, which count from when the id came", function()
      local e = engine.new { wait = 20, deadline = 50 }
      e:submit(ID, 0, nil, nil, nil, 15)
      assert.equal(ID, (e:next(15)))
      local err, _, now = engine.run(e, ID, engine.status(ID, 404), 15)
      assert.same({ "not_found", 20, 20 }, { err.kind, err.elapsed, now })
      e:submit(ID, 100, nil, nil, nil, 30)
      assert.equal(20, (select(3, e:next(130)))) -- what is left of 50
      assert.is_nil((select(3, e:answer(ID, 404, nil, "", 130)))) -- the wait is over
    end)

    it("does not come after the deadline", function()
      local e = engine.new()
      e:submit(ID, 0, nil, 5, nil, 6)
      assert.equal(5, e:due())
      assert.is_nil((e:next(5)))
      local id, err = e:ended(5)
      assert.same({ ID, "timeout", 0, 5 }, { id, err.kind, err.attempts, err.elapsed })
      assert.equal(0, e:open())
    end)

    it("is nothing that an id in the window is told", function()
      local e = engine.new()
      e:submit("a", 0, nil, nil, nil, 10)
      assert.is_false((e:submit("a", 0)))
      assert.is_false((e:submit("a", 0, nil, nil, nil, 2)))
      assert.is_false((e:submit("a", 0, nil, nil, nil, 20)))
      assert.equal(10, e:due())
      assert.equal("a", (e:next(10)))
      assert.is_false((e:submit("a", 10, nil, nil, nil, 20))) -- on the wire
      local _, _, delay = e:fault("a", "network", nil, 10)
      assert.is_false((e:submit("a", 10, nil, nil, nil, 20)))
      assert.equal(10 + delay, e:due())
    end)

    it("leaves the engine hungry until then", function()
      local e = engine.new { window = 64, concurrency = 4 }
      for i = 1, 20 do e:submit("gen-" .. i, 0, nil, nil, nil, 5) end
      assert.is_true(e:hungry(4))
      assert.is_false(e:hungry(5))
    end)

    it("may be very late", function()
      local e = engine.new()
      e:submit(ID, 1e12, nil, 2e12, nil, 1e12)
      assert.equal(2e12, e:due())
      assert.is_nil((e:next(1e12)))
      assert.equal(1, e:open())
    end)
  end)

  describe("concurrency", function()
    it("is the most on the wire", function()
      local e = engine.new { concurrency = 2 }
      for i = 1, 4 do e:submit("gen-" .. i, 0) end
      assert.equal(0, e:due())
      assert.same({ "gen-1", "gen-2" }, asked(e, 0))
      assert.equal(2, e:on_wire())
      assert.equal(120, e:due()) -- nothing but an answer or a deadline can change that
      assert.is_nil((e:next(1000)))
      e:answer("gen-2", 200, nil, record "gen-2", 1)
      assert.equal(0, e:due())
      assert.same({ "gen-3" }, asked(e, 1))
      e:answer("gen-1", 503, nil, "", 1)
      assert.same({ "gen-4" }, asked(e, 1)) -- came before gen-1's second turn
      assert.equal(2, e:on_wire())
    end)

    it("may be more than the window", function()
      local e = engine.new { window = 1, concurrency = 100 }
      e:submit("a", 0)
      assert.same({ "a" }, asked(e, 0))
      assert.equal("full", select(2, e:submit("b", 0)).kind)
    end)
  end)

  describe("timeout", function()
    it("is that of an attempt, or what is left of the deadline", function()
      local function timeout(settings, submitted, now, deadline)
        local e = engine.new(settings)
        e:submit(ID, submitted, nil, deadline)
        return (select(3, e:next(now)))
      end
      assert.equal(30, timeout({}, 0, 0))
      assert.equal(30, timeout({}, 0, 90))
      assert.equal(20, timeout({}, 0, 100))
      assert.equal(7, timeout({ deadline = 7 }, 50, 50))
      assert.equal(7, timeout({ deadline = 60, timeout = 7 }, 50, 50))
      assert.equal(3, timeout({}, 0, 0, 3))
      assert.is_true(timeout({}, 0, 500) > 0) -- too late: asked all the same, so that it gets a verdict of its own
      assert.is_true(timeout({}, 0, 500) < 0.1)
      assert.is_true(timeout({}, 0, 0, 0) < 0.1)
    end)

    it("shrinks from attempt to attempt", function()
      local e = engine.new { deadline = 40 }
      e:submit(ID, 0)
      e:next(0)
      local _, _, delay = e:fault(ID, "timeout", nil, 30)
      assert.equal(10 - delay, (select(3, e:next(30 + delay))))
    end)
  end)

  describe("when the key is no good", function()
    local function stopped(kind)
      local e = engine.new { concurrency = 3 }
      for i = 1, 6 do e:submit("gen-" .. i, 0) end
      asked(e, 0)
      local status = kind == "auth" and 401 or 402
      local gen, err, delay = e:answer("gen-2", status, nil, '{"error":{"message":"No.","code":' .. status .. "}}", 1)
      assert.is_nil(gen)
      assert.is_nil(delay)
      assert.same({ kind, "No.", status, false }, { err.kind, err.message, err.status, err.retryable })
      return e
    end
    local function unresolved(e, now)
      local ids = {}
      for id, err in function() return e:ended(now) end do
        assert.same({ "unresolved", id, true }, { err.kind, err.id, err.retryable })
        ids[#ids + 1] = { id, err.attempts, err.elapsed }
      end
      table.sort(ids, function(a, b) return a[1] < b[1] end)
      return ids
    end

    for _, kind in ipairs { "auth", "payment" } do
      it("gives back what waits: " .. kind, function()
        local e = stopped(kind)
        assert.equal(-math.huge, e:due()) -- ended() has them at once
        assert.is_nil((e:next(1000)))
        assert.same({ { "gen-4", 0, 2 }, { "gen-5", 0, 2 }, { "gen-6", 0, 2 } }, unresolved(e, 2))
        assert.same({ 2, 2, math.huge }, { e:open(), e:on_wire(), e:due() })
        assert.is_nil((e:ended(2)))
      end)

      it("lets those on the wire have their own end: " .. kind, function()
        local e = stopped(kind)
        unresolved(e, 2)
        assert.equal("gen-1", e:answer("gen-1", 200, nil, record "gen-1", 3).id)
        local _, err, delay = e:answer("gen-3", 500, nil, "", 3)
        assert.equal("server", err.kind)
        assert.is_number(delay) -- it would be asked again …
        assert.equal(-math.huge, e:due())
        assert.is_nil((e:next(1000))) -- … but is not
        assert.same({ { "gen-3", 1, 4 } }, unresolved(e, 4))
        assert.same({ 0, math.huge }, { e:open(), e:due() })
      end)

      it("asks for nothing more until the window is empty: " .. kind, function()
        local e = stopped(kind)
        unresolved(e, 2)
        assert.is_true(e:submit("gen-7", 2))
        assert.equal(-math.huge, e:due())
        assert.is_nil((e:next(2)))
        assert.same({ { "gen-7", 0, 1 } }, unresolved(e, 3))
        e:answer("gen-1", 200, nil, record "gen-1", 3)
        assert.is_true(e:submit("gen-8", 3)) -- gen-3 is still there
        assert.is_nil((e:next(3)))
        unresolved(e, 3)
        e:answer("gen-3", 403, nil, "", 3)
        assert.is_true(e:submit("gen-9", 3))
        assert.equal(3, e:due())
        assert.equal("gen-9", e:next(3))
        assert.is_nil((e:ended(3)))
      end)
    end

    it("does not think so of the key after a 403, or any other error", function()
      for _, status in ipairs { 400, 403, 404, 429, 500, 302 } do
        local e = engine.new { concurrency = 1 }
        e:submit("a", 0)
        e:submit("b", 0)
        e:next(0)
        e:answer("a", status, nil, "", 0)
        assert.is_nil((e:ended(0)))
        assert.equal("b", (e:next(status == 429 and e:due() or 0))) -- a 429 makes everybody wait a little
      end
    end)

    it("gives back nothing before", function()
      local e = engine.new()
      e:submit("a", 0)
      assert.is_nil((e:ended(0)))
      assert.equal(1, e:open())
    end)
  end)

  describe("answers", function()
    local function answer(status, body, headers)
      local e = engine.asking(ID)
      local gen, err, delay = e:answer(ID, status, headers, body, 2)
      if gen then assert.same({ 0, 0 }, { e:open(), e:on_wire() }) end
      return gen, err, delay
    end

    it("may be the record", function()
      for _, body in ipairs { RECORD, ' \r\n{"data" : {"id":"gen-x","total_cost":0.5} }\n', '{"id":"gen-x","total_cost":0.5}',
        '{"data":{"total_cost":0.5}}', '{"data":{"id":null,"total_cost":0.5}}',
        '{"data":{"id":"gen-x","id":"gen-x","total_cost":5e-1}}',
        '{"data":{"id":"g\\u0065n-x","total_cost":0.5}}' } do
        local gen, err = answer(200, body)
        assert.is_nil(err)
        assert.equal(0.5, gen.total_cost)
      end
    end)

    it("may be no record", function()
      for _, body in ipairs { "{}", "[]", "null", "5", '"x"', "", " ", '{"data":null}', '{"data":{}}', '{"data":[]}',
        '{"data":5}', '{"data":{"new_member":1}}', "<!DOCTYPE html><html></html>", RECORD:sub(1, -2), RECORD:sub(1, 20),
        RECORD .. "x", RECORD .. RECORD, "\239\187\191" .. RECORD, RECORD .. "\0", "\0",
        '{"data":{"id":"gen-x","total_cost":.5}}', '{"data":{"id":"gen-x\255"}}', ("["):rep(100000), '{"pending":"gen-x"}',
        '{"failed":"gen-x","error":{"kind":"auth"}}' } do
        local gen, err, delay = answer(200, body)
        assert.is_nil(gen)
        assert.same({ "bad_answer", true, ID, 1, 2 }, { err.kind, err.retryable, err.id, err.attempts, err.elapsed })
        assert.is_number(delay)
        assert.is_true(#err.message > 0 and #err.message < 200)
      end
    end)

    it("say what the server said about the error, in a 200 too", function()
      local _, err = answer(200, '{"error":{"message":"Overloaded","code":529,"metadata":{"provider_code":7}}}')
      assert.same({ "bad_answer", "Overloaded", 529, 7, true },
        { err.kind, err.message, err.code, err.metadata.provider_code, err.retryable })
      assert.is_nil(err.status)
    end)

    it("may be another record", function()
      for _, id in ipairs { '"gen-y"', '"gen-x "', '"gen-X"', '""', "5", "true", "{}", '"gen-x\\u0000"' } do
        local gen, err, delay = answer(200, '{"data":{"id":' .. id .. ',"total_cost":0.5}}')
        assert.is_nil(gen)
        assert.same({ "wrong_id", ID, 0.5 }, { err.kind, err.id, err.record.total_cost })
        assert.is_number(delay)
      end
      local e = engine.asking(ID)
      local err, delays = engine.run(e, ID, function(_, now) return e:answer(ID, 200, nil, record "gen-y", now) end)
      assert.same({ "wrong_id", 3, 2, "gen-y" }, { err.kind, err.attempts, #delays, err.record.id })
    end)

    it("may be refusals in the API's words", function()
      local _, err, delay = answer(403, '{"error":{"code":403,"message":"You don\'t have access",'
        .. '"metadata":{"a":[1,{"b":null}]}},"user_id":"u"}')
      assert.same({ "forbidden", 403, 403, "You don't have access", { a = { 1, {} } } },
        { err.kind, err.status, err.code, err.message, err.metadata })
      assert.is_nil(delay)
      assert.is_false(err.retryable)
      _, err = answer(502, '{"error":"upstream is down"}')
      assert.same({ "server", "upstream is down" }, { err.kind, err.message })
      _, err = answer(404, '{"error":{"code":"no_such","message":"caf\\u00e9\\n"}}')
      assert.same({ "not_found", "no_such", "café\n" }, { err.kind, err.code, err.message })
    end)

    it("may be refusals in half of them", function()
      for _, object in ipairs { "{}", '{"message":null,"code":null}', '{"message":""}', '{"message":5,"code":true,"metadata":[]}',
        '{"message":"only this"}' } do
        local _, err = answer(500, '{"error":' .. object .. "}")
        assert.same({ "server", object:match "only this" or "the server failed", 500 }, { err.kind, err.message, err.status })
        assert.is_nil(err.code)
        assert.is_nil(err.metadata)
      end
    end)

    it("may be refusals in nobody's words", function()
      for _, body in ipairs { "", "<html>Bad Gateway</html>", "no", "[]", "{}", '{"error":null}',
        '{"error":[]}', '{"message":"not here"}', RECORD, '{"error":{"message":"cut', '{"pending":"x"}',
        '{"failed":"x","error":{"kind":"auth","retryable":false}}' } do
        local gen, err = answer(502, body)
        assert.is_nil(gen)
        assert.same({ "server", "the server failed", 502, true }, { err.kind, err.message, err.status, err.retryable })
        assert.is_nil(err.code)
      end
    end)

    it("go by the status, not by what the body says", function()
      local _, err = answer(500, '{"error":{"code":401,"message":"x"}}')
      assert.same({ "server", 500, 401, true }, { err.kind, err.status, err.code, err.retryable })
    end)

    it("that redirect say what to look at", function()
      for _, status in ipairs { 301, 302, 307, 308 } do
        assert.matches("base URL", (select(2, answer(status, ""))).message)
      end
    end)

    it("may be long", function()
      local text = ("x"):rep(900000)
      local _, err = answer(400, '{"error":{"message":"' .. text .. '"}}')
      assert.equal(text, err.message)
      assert.is_true(#tostring(err) < 500)
    end)

    it("raise for an id that is not on the wire", function()
      local e = engine.new { concurrency = 1 }
      e:submit("a", 0)
      e:submit("b", 0)
      e:next(0)
      for _, id in ipairs { "b", "c", "", "A", "a\0" } do
        assert.error_matches(function() e:answer(id, 200, nil, RECORD, 0) end, "not on the wire")
        assert.error_matches(function() e:answer(id, 401, nil, "", 0) end, "not on the wire")
        assert.error_matches(function() e:fault(id, "network", "x", 0) end, "not on the wire")
      end
      assert.same({ 2, 1 }, { e:open(), e:on_wire() })
      assert.is_nil((e:ended(0))) -- that 401 was nobody's
      assert.is_userdata(e:answer("a", 200, nil, record "a", 0))
      assert.has_error(function() e:answer("a", 200, nil, record "a", 0) end)
      assert.equal("b", e:next(0))
    end)

    it("may be faults of the transport", function()
      for _, kind in ipairs { "network", "timeout", "tls", "too_large", "io", "cancelled", "closed" } do
        local e = engine.asking(ID)
        local gen, err = e:fault(ID, kind, "told so", 3)
        assert.is_nil(gen)
        assert.same({ kind, "told so", ID, 1, 3 }, { err.kind, err.message, err.id, err.attempts, err.elapsed })
        assert.is_nil(err.status)
        assert.matches("^gen%-x: " .. kind .. ": told so", tostring(err))
        _, err = engine.asking(ID):fault(ID, kind, nil, 3)
        assert.is_true(#err.message > 5)
      end
      local e = engine.asking(ID)
      for _, kind in ipairs { "settled", "", "Network", "nonsense" } do
        assert.has_error(function() e:fault(ID, kind, nil, 0) end)
      end
      assert.equal(1, e:on_wire())
    end)

    it("count the attempts and the time", function()
      local e = engine.asking(ID, nil, 100)
      local err = engine.run(e, ID, function(_, now, attempt)
        local gen, failure, delay = e:fault(ID, attempt < 4 and "network" or "tls", nil, now)
        assert.same({ attempt, now - 100 }, { failure.attempts, failure.elapsed })
        return gen, failure, delay
      end, 100)
      assert.same({ 4, "tls" }, { err.attempts, err.kind })
    end)
  end)

  describe("deadline", function()
    -- what ended() gives at this time: id -> { kind, attempts, elapsed, message }
    local function ended(e, now)
      local all, count = {}, 0
      for id, err in function() return e:ended(now) end do
        assert.equal(id, err.id)
        all[id], count = { err.kind, err.attempts, err.elapsed, err.message }, count + 1
      end
      return all, count
    end

    it("ends what waits behind others, in time", function()
      local e = engine.new { concurrency = 1, deadline = 100 }
      e:submit("slow", 0)
      e:next(0)
      for i = 1, 20 do e:submit("queued-" .. i, 1) end
      e:submit("short", 1, nil, 5)
      e:submit("shorter", 2, nil, 3)
      assert.equal(5, e:due())
      assert.is_nil((e:ended(4.999)))
      assert.same({ shorter = { "timeout", 0, 3, "its turn did not come before its deadline" } }, (ended(e, 5)))
      assert.equal(6, e:due())
      assert.same({ short = { "timeout", 0, 6, "its turn did not come before its deadline" } }, (ended(e, 7)))
      assert.same({ 21, 1 }, { e:open(), e:on_wire() })
      assert.equal(101, e:due())
      assert.same({ {}, 0 }, { ended(e, 100.9) })
      assert.equal(20, select(2, ended(e, 101)))
      assert.equal(math.huge, e:due()) -- the one on the wire has its timeout
      assert.is_nil((e:ended(1e6)))
      assert.equal(1, e:open())
    end)

    it("comes first, whatever the order of coming", function()
      for seed = 1, 20 do
        math.randomseed(seed)
        local e, deadlines = engine.new { window = 300, concurrency = 1 }, {}
        e:submit("slow", 0)
        e:next(0)
        for i = 1, 299 do
          local deadline = math.random(1, 100)
          deadlines[i] = { id = "gen-" .. i, at = deadline, order = i }
          e:submit("gen-" .. i, 0, nil, deadline)
        end
        table.sort(deadlines, function(a, b) return a.at < b.at or (a.at == b.at and a.order < b.order) end)
        for _, one in ipairs(deadlines) do
          assert.equal(one.at, e:due())
          assert.is_nil((e:ended(one.at - 1e-6)))
          assert.equal(one.id, (e:ended(one.at)))
        end
      end
    end)

    it("ends an id with what it was told last", function()
      local e = engine.new { concurrency = 1, deadline = 60 }
      e:submit(ID, 0, nil, 3)
      e:next(0)
      local _, _, delay = e:answer(ID, 503, nil, "", 0.5)
      assert.is_true(0.5 + delay < 3)
      e:submit("slow", 0)
      assert.equal("slow", (e:next(0.5)))
      assert.is_nil((e:ended(2.9)))
      local id, err = e:ended(3)
      assert.same({ ID, "server", 1, 3, true }, { id, err.kind, err.attempts, err.elapsed, err.retryable })
      assert.is_nil(err.status)
    end)

    it("is extended by who asks for the same, waiting or on the wire", function()
      local e = engine.new { concurrency = 1 }
      for _, id in ipairs { "slow", "a", "b", "c" } do e:submit(id, 0, nil, 10) end
      e:next(0)
      assert.is_false(e:submit("a", 5, nil, 20))
      assert.is_false(e:submit("c", 5, nil, 1)) -- no earlier than it was
      assert.is_false(e:submit("slow", 5, nil, 30))
      assert.equal(10, e:due())
      local all, count = ended(e, 10)
      assert.equal(2, count)
      assert.is_table(all.b and all.c)
      assert.equal(25, e:due())
      local _, _, delay = e:fault("slow", "timeout", nil, 12)
      assert.is_number(delay)
      assert.equal("a", (e:next(24)))
    end)

    it("is no reason to end what is on the wire", function()
      local e = engine.asking(ID, nil, 0)
      assert.is_nil((e:ended(1e9)))
      assert.is_userdata(e:answer(ID, 200, nil, RECORD, 1e9))
    end)

    it("may be decades away", function()
      local e = engine.new { wait = 1e9, deadline = 1e9 }
      e:submit(ID, 0)
      assert.equal(30, (select(3, e:next(0))))
      local now = 5e8
      for _, kind in ipairs { "not_found", "server", "network", "not_found" } do
        local _, _, delay = e:fault(ID, kind, nil, now)
        assert.is_true(delay > 0 and delay <= 3600)
        assert.equal(now + delay, e:due())
        now = now + delay
        assert.equal(ID, (e:next(now)))
      end
      local _, _, delay = e:answer(ID, 404, nil, "", 1e9 - 1000)
      assert.equal(999, delay)
      assert.same({ 1 }, { (select(3, e:next(1e9 - 1))) })
      local _, err, last = e:answer(ID, 404, nil, "", 1e9 - 0.5)
      assert.same({ "not_found", nil, 6 }, { err.kind, last, err.attempts })
      e:submit("gen-y", 0, nil, nil, nil, 2e9)
      assert.equal(1e9, e:due())
      assert.equal("timeout", select(2, e:ended(1e9)).kind)
    end)

    it("of no time at all is over at once", function()
      local e = engine.new()
      e:submit(ID, 7, nil, 0)
      assert.equal(7, e:due())
      assert.equal("timeout", select(2, e:ended(7)).kind)
      assert.equal(0, e:open())
    end)
  end)

  describe("cancel", function()
    local function assert_cancelled(err, id, attempts, elapsed)
      assert.same({ "cancelled", id, attempts, elapsed, true }, { err.kind, err.id, err.attempts, err.elapsed, err.retryable })
    end

    it("forgets what waits", function()
      local e = engine.new()
      for i = 1, 3 do e:submit("gen-" .. i, i) end
      assert_cancelled(e:cancel("gen-2", 10), "gen-2", 0, 8)
      assert.equal(2, e:open())
      assert.same({ "gen-1", "gen-3" }, asked(e, 10))
    end)

    it("forgets what is on the wire, and has room for another", function()
      local e = engine.new { concurrency = 1, window = 2 }
      e:submit("a", 0)
      e:submit("b", 0)
      e:next(0)
      assert_cancelled(e:cancel("a", 4), "a", 1, 4)
      assert.same({ 1, 0 }, { e:open(), e:on_wire() })
      assert.error_matches(function() e:answer("a", 200, nil, record "a", 5) end, "not on the wire")
      assert.error_matches(function() e:fault("a", "network", nil, 5) end, "not on the wire")
      assert.equal("b", (e:next(5)))
      assert.is_true(e:submit("a", 5)) -- as if it had never been there
      e:cancel("b", 6)
      assert.equal("a", (e:next(6)))
      local gen, err, delay, attempt, seconds = e:answer("a", 200, nil, record "a", 8)
      assert.same({ "a", nil, nil, 1, 2 }, { gen.id, err, delay, attempt, seconds })
    end)

    it("forgets what will be asked again", function()
      local e = engine.asking(ID)
      e:fault(ID, "network", nil, 1)
      assert_cancelled(e:cancel(ID, 2), ID, 1, 2)
      assert.same({ 0, 0, math.huge }, { e:open(), e:on_wire(), e:due() })
    end)

    it("of what is not there is nothing", function()
      local e = engine.new()
      e:submit("a", 0)
      for _, id in ipairs { "b", "", "A", "a ", "a\0", "content a", "feedback a" } do assert.is_nil((e:cancel(id, 0))) end
      assert.equal(1, e:open())
      assert.is_table(e:cancel("a", 0))
      assert.is_nil((e:cancel("a", 0)))
      e:submit("a", 0)
      e:next(0)
      e:answer("a", 200, nil, record "a", 0)
      assert.is_nil((e:cancel("a", 0)))
      assert.equal(1, e:stats().failed)
    end)

    it("of the last one lets a stopped client go on", function()
      local e = engine.new { concurrency = 2 }
      for _, id in ipairs { "a", "b", "c" } do e:submit(id, 0) end
      asked(e, 0)
      e:answer("a", 401, nil, "", 0)
      e:cancel("b", 0)
      assert.is_table(e:cancel("c", 0)) -- which ended() would have had
      assert.is_nil((e:ended(0)))
      e:submit("d", 0)
      assert.equal("d", (e:next(0)))
    end)

    it("keeps the others in order, of their due times and of their deadlines", function()
      for seed = 1, 30 do
        math.randomseed(seed)
        local e, all = engine.new { window = 200, concurrency = 200 }, {}
        for i = 1, 200 do
          all[i] = { id = "gen-" .. i, due = math.random(1, 50), deadline = math.random(60, 110), order = i }
          e:submit(all[i].id, all[i].due, nil, all[i].deadline - all[i].due)
        end
        for _ = 1, 100 do
          assert.is_table(e:cancel(table.remove(all, math.random(#all)).id, 0))
        end
        local late = seed % 2 == 0
        local by = late and "deadline" or "due"
        table.sort(all, function(a, b) return a[by] < b[by] or (a[by] == b[by] and a.order < b.order) end)
        for _, one in ipairs(all) do
          local id = late and e:ended(one.deadline) or not late and e:next(one.due)
          assert.equal(one.id, id)
        end
        assert.equal(late and 0 or 100, e:open())
      end
    end)
  end)

  describe("stats", function()
    local function count_of(list)
      local sum = 0
      for _, row in ipairs(list) do sum = sum + row.count end
      return sum
    end

    it("are nothing at first", function()
      assert.same({ attempts = 0, settled = 0, failed = 0, retried = 0, open = 0, on_wire = 0, limit = 16, kinds = {},
        latency = { count = 0 } }, engine.new():stats())
    end)

    it("count what became of ids, and what answers were", function()
      local e = engine.new { concurrency = 4 }
      for i = 1, 7 do e:submit("gen-" .. i, 0, nil, i == 7 and 9 or nil) end
      asked(e, 0)
      e:answer("gen-1", 200, nil, record "gen-1", 1)
      e:answer("gen-2", 403, nil, "", 1)
      e:answer("gen-3", 500, nil, "", 1)
      e:cancel("gen-4", 1)
      e:cancel("gen-6", 1)
      e:cancel("gen-6", 1)
      assert.same({ "gen-7", nil }, { (e:ended(9)), (e:ended(9)) })
      e:next(9)
      local s = e:stats()
      assert.same({ settled = 1, forbidden = 1, server = 1 }, s.kinds)
      assert.same({ 3, 1, 4, 1 }, { s.attempts, s.settled, s.failed, s.retried })
      assert.same({ 2, 1, 4, 3 }, { s.open, s.on_wire, s.limit, s.latency.count })
    end)

    it("count an id that is given twice once", function()
      local e = engine.asking(ID)
      e:submit(ID, 0)
      e:answer(ID, 200, nil, RECORD, 0)
      local s = e:stats()
      assert.same({ 1, 0, 0 }, { s.settled, s.failed, s.open })
    end)

    it("have the seconds that attempts took, not ids", function()
      local e = engine.asking(ID)
      local _, _, delay = e:fault(ID, "network", nil, 3)
      e:next(10 + delay)
      assert.same({ 2, 0.25 }, { select(4, e:answer(ID, 200, nil, RECORD, 10 + delay + 0.25)) })
      local latency = e:stats().latency
      assert.same({ { from = 0.25, to = 0.5, count = 1 }, { from = 2, to = 4, count = 1 } }, { latency[1], latency[2] })
      assert.same({ 2, 2 }, { #latency, latency.count })
    end)

    it("have a histogram that holds every value, and quantiles within a 128th", function()
      for seed = 1, 20 do
        math.randomseed(seed)
        local e, seconds, now = engine.new { deadline = 1e9, timeout = 1e9 }, {}, 0
        local count = math.random(1, 400)
        for i = 1, count do
          e:submit(ID, now)
          e:next(now)
          local later = now + (math.random(10) == 1 and 0 or 2 ^ (math.random() * 24 - 14))
          seconds[i] = select(5, e:answer(ID, 200, nil, RECORD, later))
          assert.equal(later - now, seconds[i])
          now = later
        end
        table.sort(seconds)
        local latency = e:stats().latency
        assert.same({ count, count }, { latency.count, count_of(latency) })
        local i = 1
        for n, row in ipairs(latency) do
          assert.is_true(row.count > 0 and row.from < row.to and (n == 1 or row.from >= latency[n - 1].to))
          for _ = 1, row.count do
            assert.is_true(seconds[i] >= row.from and seconds[i] < row.to)
            i = i + 1
          end
        end
        for name, share in pairs { p50 = 0.5, p90 = 0.9, p95 = 0.95, p99 = 0.99 } do
          local exact = seconds[math.ceil(share * count)]
          assert.is_true(math.abs(latency[name] - exact) <= exact / 128, name)
        end
      end
    end)

    it("are figures of that moment", function()
      local e = engine.asking(ID)
      local before = e:stats()
      e:answer(ID, 200, nil, RECORD, 1)
      assert.same({ 0, 1, {}, 0 }, { before.settled, before.on_wire, before.kinds, before.latency.count })
    end)
  end)

  describe("what belongs to a generation", function()
    local function asking(resource, id)
      local e = engine.new()
      assert(e:submit(id or ID, 0, nil, nil, resource))
      local key, target = e:next(0)
      return e, key, target
    end

    it("has targets of its own", function()
      local function key_and_target(resource, id) return { select(2, asking(resource, id)) } end
      assert.same({ ID, "/generation?id=gen-x" }, key_and_target(nil))
      assert.same({ "content gen-x", "/generation/content?id=gen-x" }, key_and_target "content")
      assert.same({ "content a:b/c", "/generation/content?id=a%3Ab%2Fc" }, key_and_target("content", "a:b/c"))
      assert.same({ "feedback gen-x", "/generation/feedback" }, key_and_target "feedback")
      local long = ("/"):rep(128)
      assert.same({ "content " .. long, "/generation/content?id=" .. ("%2F"):rep(128) }, key_and_target("content", long))
      assert.same({ "feedback " .. long, "/generation/feedback" }, key_and_target("feedback", long))
      for _, id in ipairs { "content", "feedback", "contentx", "content-x" } do
        assert.same({ id, "/generation?id=" .. id }, key_and_target(nil, id))
      end
    end)

    it("is none by its looks", function()
      for _, resource in ipairs { false, "content", "feedback" } do
        for _, id in ipairs { "content gen-x", "feedback gen-x", " gen-x", "content ", "" } do
          local e = engine.new()
          local ok, err = e:submit(id, 0, nil, nil, resource or nil)
          assert.is_nil(ok)
          assert.same({ "bad_id", 0 }, { err.kind, e:open() })
        end
      end
    end)

    it("is named in errors as it was given", function()
      local e = engine.new { window = 1 }
      assert.equal("content gen-x", select(2, e:submit("content gen-x", 0)).id) -- no id, and not short for one
      e:submit("a", 0)
      local _, err = e:submit(ID, 0, nil, nil, "content")
      assert.same({ "full", ID }, { err.kind, err.id })
      _, err = e:submit("gen x", 0, nil, nil, "feedback")
      assert.same({ "bad_id", "gen x" }, { err.kind, err.id })
    end)

    it("is content or feedback, or the record", function()
      local e = engine.new()
      for _, resource in ipairs { "", "Content", "generation", "content ", "records", 5, {}, true, false, print } do
        assert.has_error(function() e:submit(ID, 0, nil, nil, resource) end)
      end
      assert.equal(0, e:open())
      assert.is_true((e:submit(ID, 0, nil, nil, "record")))
      assert.is_false((e:submit(ID, 0)))
      local key, target = e:next(0)
      assert.same({ ID, "/generation?id=gen-x" }, { key, target })
    end)

    it("is apart from the record, and each is there once", function()
      local e = engine.new()
      for _ = 1, 2 do
        e:submit(ID, 0)
        e:submit(ID, 0, nil, nil, "content")
        e:submit(ID, 0, nil, nil, "feedback")
      end
      assert.equal(3, e:open())
      assert.is_false(e:submit(ID, 0, nil, nil, "content"))
      assert.same({ ID, "content gen-x", "feedback gen-x" }, asked(e, 0))
      assert.equal("cancelled", e:cancel("content gen-x", 0).kind)
      assert.error_matches(function() e:answer("content gen-x", 200, nil, "{}", 0) end, "not on the wire")
      assert.same({ 2, 2 }, { e:open(), e:on_wire() })
    end)

    local function assert_taken(resource, body)
      local e, key = asking(resource)
      local gen, err = e:answer(key, 200, nil, body, 1)
      assert.is_nil(err)
      assert.is_userdata(gen)
    end
    local function assert_not_taken(resource, body)
      local e, key = asking(resource)
      local gen, err, delay = e:answer(key, 200, nil, body, 1)
      assert.is_nil(gen)
      assert.same({ "bad_answer", ID }, { err.kind, err.id }) -- the id, without what it was asked for
      assert.equal(resource == "content", delay ~= nil)
      return err
    end

    it("is an object in data, with any id in it: content", function()
      for _, body in ipairs { '{"data":{"success":true}}', '{"data":{}}', '{"data":{"id":"gen-y"}}', '{"more":1,"data":{}}',
        '{"data":{"input":{"prompt":"p"},"output":{"completion":"c","reasoning":null}}}' } do
        assert_taken("content", body)
      end
      for _, body in ipairs { "{}", '{"success":true}', '{"data":null}', '{"data":[]}', '{"data":5}', '{"data":"{}"}',
        '{"input":{"prompt":"p"}}', '{"Data":{}}' } do
        assert.equal("an object without data", assert_not_taken("content", body).message)
      end
    end)

    it("is any object, with any id in it: feedback", function()
      for _, body in ipairs { '{"data":{"success":true}}', '{"success":true}', "{}", '{"data":{}}', '{"data":null}',
        '{"data":{"id":"gen-y"}}' } do
        assert_taken("feedback", body)
      end
    end)

    it("is never anything else", function()
      for _, resource in ipairs { "content", "feedback" } do
        for _, body in ipairs { "", "[]", "null", '"x"', "<html>", "{", '{"data":{}', '{"error":{"message":"no","code":500}}' } do
          assert_not_taken(resource, body)
        end
      end
    end)

    it("is asked for again as a record is: content", function()
      for _, status in ipairs { 404, 408, 429, 500 } do
        local e, key = asking "content"
        local _, err, delay = e:answer(key, status, nil, "", 1)
        assert.same({ ID, status }, { err.id, err.status })
        assert.is_number(delay)
        assert.equal(key, (e:next(1 + delay)))
      end
      local e = engine.new { epoch = 1790000000 }
      e:submit("gen-1780000000-a", 0, nil, nil, "content") -- its age is that of the id, behind the prefix
      local key = e:next(0)
      assert.is_nil((select(3, e:answer(key, 404, nil, "", 0))))
    end)

    it("is sent again after a 429 alone: feedback", function()
      for _, status in ipairs { 404, 408, 500, 503, 400, 200 } do
        local e, key = asking "feedback"
        local gen, err, delay, attempt = e:answer(key, status, { ["retry-after"] = "1" }, "", 1)
        assert.same({ nil, ID, nil, 1 }, { gen, err.id, delay, attempt })
        assert.equal(0, e:open())
      end
      for _, kind in ipairs { "network", "timeout", "server" } do
        local e, key = asking "feedback"
        assert.is_nil((select(3, e:fault(key, kind, nil, 1))))
      end
      local e, key = asking "feedback"
      for attempt = 1, 3 do
        local _, err, delay = e:answer(key, 429, { ["retry-after"] = "2" }, "", attempt * 10)
        assert.same({ "rate_limited", attempt }, { err.kind, err.attempts })
        assert.is_true(delay >= 2)
        assert.equal(key, (e:next(attempt * 10 + delay)))
      end
      assert.is_userdata(e:answer(key, 200, nil, '{"data":{"success":true}}', 50))
    end)

    it("ends as everything else: under its key, with its id", function()
      local e = engine.new { concurrency = 1 }
      e:submit("a", 0)
      e:next(0)
      e:submit(ID, 0, nil, 5, "content")
      local key, err = e:ended(5)
      assert.same({ "content gen-x", ID, "timeout" }, { key, err.id, err.kind })
      e:submit(ID, 6, nil, nil, "feedback")
      e:answer("a", 401, nil, "", 6)
      key, err = e:ended(6)
      assert.same({ "feedback gen-x", ID, "unresolved" }, { key, err.id, err.kind })
    end)
  end)

  describe("what the account used", function()
    local function asking(resource, id)
      local e = engine.new()
      assert(e:submit(id, 0, 0, nil, resource))
      local key, target = e:next(0)
      return e, key, target
    end

    it("has targets of its own, of a day and perhaps of one key", function()
      local function key_and_target(resource, id) return { select(2, asking(resource, id)) } end
      assert.same({ "activity 2026-11-01", "/activity?date=2026-11-01" }, key_and_target("activity", "2026-11-01"))
      assert.same({ "activity 2026-11-01:ab12", "/activity?date=2026-11-01&api_key_hash=ab12" },
        key_and_target("activity", "2026-11-01:ab12"))
      assert.same({ "analytics query-1", "/analytics/query" }, key_and_target("analytics", "query-1"))
      -- of the longest id the target fits, too
      local colons = (":"):rep(128)
      assert.equal("/activity?date=&api_key_hash=" .. ("%3A"):rep(127), key_and_target("activity", colons)[2])
      assert.equal("/activity?date=" .. ("%2F"):rep(128), key_and_target("activity", ("/"):rep(128))[2])
      for _, resource in ipairs { "activity", "analytics" } do
        assert.equal("bad_id", select(2, engine.new():submit("a&b", 0, 0, nil, resource)).kind)
        assert.is_nil((engine.new():submit(resource .. " a", 0)))
      end
    end)

    it("is any object; what is in it is somebody else's matter", function()
      for _, resource in ipairs { "activity", "analytics" } do
        for _, body in ipairs { '{"data":[{"usage":0.1}]}', '{"data":{"data":[]}}', "{}", '{"data":{"id":"gen-y"}}' } do
          local e, key = asking(resource, "a")
          assert.is_userdata((e:answer(key, 200, nil, body, 1)))
        end
        for _, body in ipairs { "", "[]", "<html>", '{"data":[', '{"error":{"message":"no","code":500}}' } do
          local e, key = asking(resource, "a")
          local gen, err = e:answer(key, 200, nil, body, 1)
          assert.same({ nil, "bad_answer", "a" }, { gen, err.kind, err.id })
        end
      end
    end)

    it("is asked for again where that may help: asking changes nothing", function()
      for _, resource in ipairs { "activity", "analytics" } do
        for _, status in ipairs { 429, 500, 503 } do
          local e, key = asking(resource, "a")
          local delay = select(3, e:answer(key, status, nil, "", 1))
          assert.is_number(delay)
          assert.equal(key, (e:next(1 + delay)))
        end
        for _, status in ipairs { 400, 401, 403, 404 } do
          local e, key = asking(resource, "a")
          assert.is_nil((select(3, e:answer(key, status, nil, "", 1))))
        end
        local e, key = asking(resource, "a")
        assert.is_number((select(3, e:fault(key, "network", nil, 1))))
      end
    end)
  end)

  describe("misuse", function()
    it("raises", function()
      for name, value in pairs { window = 0, concurrency = 0, timeout = -1, deadline = "1", wait = 0 / 0, epoch = math.huge,
        seed = -1, retry = { base = 1, factor = 0.5, cap = 1 } } do
        assert.error_matches(function() engine.new { [name] = value } end, name == "retry" and "factor" or name)
      end
      assert.error_matches(function() engine.new { window = 1e9 } end, "window")
      assert.error_matches(function() engine.new { seed = 2 ^ 64 } end, "seed")
      assert.has_error(function() core.engine() end)
      local e = engine.new()
      for _, method in ipairs { "submit", "next", "due", "answer", "fault", "ended", "cancel", "open", "on_wire",
        "limit", "stats", "hungry" } do
        assert.has_error(function() e[method](nil, ID, 0) end)
        assert.has_error(function() e[method](io.stdout, ID, 0) end)
        assert.has_error(function() e[method](core.decode(RECORD), ID, 0) end)
      end
    end)

    it("with times that are none raises, and changes nothing", function()
      local e = engine.new()
      e:submit("a", 0)
      for _, now in ipairs { 0 / 0, math.huge, -math.huge } do
        assert.has_error(function() e:submit("b", now) end)
        assert.has_error(function() e:next(now) end)
        assert.has_error(function() e:ended(now) end)
        assert.has_error(function() e:cancel("a", now) end)
        assert.has_error(function() engine.new():next(now) end)
      end
      assert.error_matches(function() e:submit("b", 0, 0 / 0) end, "no time")
      assert.error_matches(function() e:submit("b", 0, nil, 0 / 0) end, "no time")
      assert.has_error(function() e:submit("a", 0, 0 / 0, 0 / 0) end)
      assert.has_error(function() e:submit("b", 0, "soon") end)
      for _, first in ipairs { 0 / 0, -1, -1e-300, math.huge, -math.huge, 1.000001e12, "soon", {}, true } do
        for _, id in ipairs { "a", "b" } do
          assert.error_matches(function() e:submit(id, 0, nil, nil, nil, first) end, "bad argument #6")
        end
      end
      assert.equal(1, e:open())
      assert.equal("a", e:next(0))
      for _, now in ipairs { 0 / 0, math.huge, -math.huge } do
        assert.has_error(function() e:answer("a", 200, nil, record "a", now) end)
        assert.has_error(function() e:fault("a", "network", nil, now) end)
      end
      assert.same({ 1, 1 }, { e:open(), e:on_wire() })
    end)

    it("of an engine that is gone raises", function()
      local e = engine.new()
      local gc = debug.getmetatable(e).__gc
      gc(e)
      gc(e)
      assert.has_error(function() e:open() end)
      assert.has_error(function() gc(io.stdout) end)
    end)
  end)

  -- Everything at random against a model that is as simple as can be: see engine.model.
  describe("after any calls", function()
    local STATUS = { 200, 200, 200, 200, 200, 404, 404, 403, 429, 429, 500, 503, 400, 302, 408 }
    local FAULTS = { "network", "network", "timeout", "tls", "too_large", "io", "cancelled", "closed" }
    local RESOURCES = { false, false, "record", "content", "feedback" }

    local function one_of(list) return list[math.random(#list)] end
    local function chance(n) return math.random(n) == 1 end

    local function random_settings(seed)
      local patience = seed % 2 == 0 and 1000 or 1
      return { window = math.random(1, 40), concurrency = math.random(1, 12), timeout = one_of { 5, 30 },
        deadline = 20 * patience, wait = 3 * patience, epoch = 0, seed = seed,
        rate = one_of { 0.5, 7, 20, 300, false } or nil,
        retry = not chance(8) and { base = 0.5, factor = 2, cap = 6 } }
    end

    -- One step each: the engine and the model do it, and agree. Returns these, and the model.
    local function steps_of(e, settings)
      local model, now = engine.model(settings), 0
      local steps = {}

      local function random_entry(on_wire)
        local keys = {}
        for key, entry in pairs(model.ids) do
          if on_wire == nil or entry.wire == on_wire then keys[#keys + 1] = key end
        end
        table.sort(keys)
        return #keys > 0 and model.ids[one_of(keys)]
      end

      local function check_error(err, key, kind, entry)
        assert(err.kind == kind and err.id == key:match "%S+$")
        assert(err.attempts == entry.attempts and err.elapsed == now - entry.submitted)
      end

      function steps.submit()
        if model.stopped and not chance(20) then return end -- or the window would never be empty again
        local id, resource = "gen-" .. math.random(1, 2 * settings.window), one_of(RESOURCES)
        if chance(20) then
          local ok, err = e:submit(id .. "&", now)
          return assert(ok == nil and err.kind == "bad_id")
        end
        local wait = chance(4) and math.random(0, 3 * settings.wait) or nil
        local deadline = chance(3) and math.random(0, 1.5 * settings.deadline) or nil
        local first = chance(4) and math.random() * 25 or nil
        local ok, err = e:submit(id, now, wait, deadline, resource or nil, first)
        if ok == nil then ok = err.kind end
        local prefix = resource and resource ~= "record" and resource .. " " or ""
        assert(ok == model:submit(prefix .. id, now, wait, deadline, first))
      end

      function steps.next()
        local key, target, timeout = e:next(now)
        model:check_next(key, now)
        if not key then return end
        local entry = model:start(now)
        assert(key == entry.key and target:find "^/generation")
        assert(timeout == math.max(0.001, math.min(settings.timeout, entry.deadline - now)))
      end

      local function answered(entry, kind, retry_after, gen, err, delay, attempt, seconds)
        assert(attempt == entry.attempts and seconds == now - entry.started)
        assert((gen == nil) == (kind ~= "settled") and (err == nil) == (kind == "settled"))
        if err then check_error(err, entry.key, kind, entry) end
        model:answer(entry, kind, retry_after, delay, now)
      end

      function steps.answer()
        local entry = random_entry(true)
        if not entry then return assert(not pcall(e.answer, e, "gen-1", 200, nil, "{}", now)) end
        if chance(5) then
          local kind = one_of(FAULTS)
          return answered(entry, kind, nil, e:fault(entry.key, kind, nil, now))
        end
        local missing = settings.wait > 3 and chance(2) and 404
        local status, body = chance(80) and 401 or missing or one_of(STATUS), record(entry.key:match "%S+$")
        local retry_after = status ~= 200 and chance(4) and (chance(20) and 1e300 or math.random(0, 8)) or nil
        local kind = status == 200 and "settled" or engine.kind_of(status)
        if kind == "settled" and chance(10) then
          body = one_of { "oops", "{}" }
          if body == "oops" or not entry.key:find "^feedback" then kind = "bad_answer" end
        end
        local headers = retry_after and { ["retry-after"] = ("%.0f"):format(retry_after) }
        answered(entry, kind, retry_after, e:answer(entry.key, status, headers, body, now))
      end

      function steps.ended()
        local entry, kind = model:ended(now)
        local key, err = e:ended(now)
        if not entry then return assert(key == nil) end
        assert(key == entry.key)
        check_error(err, key, kind, entry)
        model:leave(entry, "failed")
      end

      function steps.cancel()
        local entry = random_entry()
        if not entry or chance(4) then return assert(e:cancel("gen-0", now) == nil) end
        check_error(e:cancel(entry.key, now), entry.key, "cancelled", entry)
        model:leave(entry, "failed")
      end

      function steps.wait() now = now + math.random() ^ 4 * 2 end

      function steps.wait_until_due()
        local due = math.min(e:due(), now + settings.deadline / 20)
        if chance(20) then due = now + math.random(30) end
        if model.hold > now + 60 then due = model.hold_most end -- or nearly every id would end by that
        now = math.max(now, due)
      end

      function steps.check()
        assert(e:open() == model.open and e:on_wire() == model.on_wire and e:limit() == math.floor(model.limit))
        model:check_due(e:due(), now)
      end

      function steps.check_stats()
        local stats = e:stats()
        for _, name in ipairs { "attempts", "settled", "failed", "retried", "open", "on_wire" } do
          assert(stats[name] == model[name], name)
        end
        assert(stats.limit == math.floor(model.limit) and stats.latency.count == model.attempts)
        for kind, count in pairs(model.kinds) do assert(stats.kinds[kind] == count, kind) end
        assert(stats.settled + stats.failed + stats.open == model.submitted)
      end

      return steps, model
    end

    local function model_test(seed, operations)
      math.randomseed(seed)
      local settings = random_settings(seed)
      local e = core.engine(settings)
      local step, model = steps_of(e, settings)
      local any = { step.submit, step.submit, step.submit, step.next, step.next, step.next, step.answer, step.answer, step.answer,
        step.answer, step.ended, step.wait, step.wait_until_due }
      for i = 1, operations do
        if chance(60) then step.cancel() else one_of(any)() end
        step.check()
        if i % 50 == 0 then step.check_stats() end
      end
      while model.open > 0 do
        step.wait_until_due()
        step.ended()
        step.next()
        if model.on_wire > 0 then step.answer() end
        step.check()
      end
      step.check_stats()
      assert(e:due() == math.huge)
      return model
    end

    it("has every id once, in its place, and lets it go once", function()
      local kinds, late = {}, 0
      for seed = 1, 20 do
        local model = model_test(seed, 5000)
        assert.equal(model.submitted, model.settled + model.failed)
        assert.is_true(model.submitted > 100)
        for kind, count in pairs(model.kinds) do kinds[kind] = (kinds[kind] or 0) + count end
        late = late + model.late
      end
      for _, kind in ipairs { "settled", "rate_limited", "not_found", "network", "bad_answer" } do
        assert.is_true(kinds[kind] > 100, kind) -- else this would prove little
      end
      assert.is_true(kinds.auth > 20 and late > 100)
    end)
  end)
end)

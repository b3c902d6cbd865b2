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

  describe("concurrency", function()
    it("is the most on the wire", function()
      local e = engine.new { concurrency = 2 }
      for i = 1, 4 do e:submit("gen-" .. i, 0) end
      assert.equal(0, e:due())
      assert.same({ "gen-1", "gen-2" }, asked(e, 0))
      assert.equal(2, e:on_wire())
      assert.equal(math.huge, e:due()) -- only an answer can change that
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
      for id, err in function() return e:unresolved(now) end do
        assert.same({ "unresolved", id, true }, { err.kind, err.id, err.retryable })
        ids[#ids + 1] = { id, err.attempts, err.elapsed }
      end
      table.sort(ids, function(a, b) return a[1] < b[1] end)
      return ids
    end

    for _, kind in ipairs { "auth", "payment" } do
      it("gives back what waits: " .. kind, function()
        local e = stopped(kind)
        assert.equal(math.huge, e:due())
        assert.is_nil((e:next(1000)))
        assert.same({ { "gen-4", 0, 2 }, { "gen-5", 0, 2 }, { "gen-6", 0, 2 } }, unresolved(e, 2))
        assert.same({ 2, 2 }, { e:open(), e:on_wire() })
        assert.is_nil((e:unresolved(2)))
      end)

      it("lets those on the wire have their own end: " .. kind, function()
        local e = stopped(kind)
        unresolved(e, 2)
        assert.equal("gen-1", e:answer("gen-1", 200, nil, record "gen-1", 3).id)
        local _, err, delay = e:answer("gen-3", 500, nil, "", 3)
        assert.equal("server", err.kind)
        assert.is_number(delay) -- it would be asked again …
        assert.equal(math.huge, e:due())
        assert.is_nil((e:next(1000))) -- … but is not
        assert.same({ { "gen-3", 1, 4 } }, unresolved(e, 4))
        assert.equal(0, e:open())
      end)

      it("asks for nothing more until the window is empty: " .. kind, function()
        local e = stopped(kind)
        unresolved(e, 2)
        assert.is_true(e:submit("gen-7", 2))
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
        assert.is_nil((e:unresolved(3)))
      end)
    end

    it("does not think so of the key after a 403, or any other error", function()
      for _, status in ipairs { 400, 403, 404, 429, 500, 302 } do
        local e = engine.new { concurrency = 1 }
        e:submit("a", 0)
        e:submit("b", 0)
        e:next(0)
        e:answer("a", status, nil, "", 0)
        assert.is_nil((e:unresolved(0)))
        assert.equal("b", e:next(0))
      end
    end)

    it("gives back nothing before", function()
      local e = engine.new()
      e:submit("a", 0)
      assert.is_nil((e:unresolved(0)))
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
      assert.is_nil((e:unresolved(0))) -- that 401 was nobody's
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
      for _, method in ipairs { "submit", "next", "due", "answer", "fault", "unresolved", "open", "on_wire" } do
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
        assert.has_error(function() e:unresolved(now) end)
        assert.has_error(function() engine.new():next(now) end)
      end
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

  -- Everything at random against a model that is as simple as can be: a list of ids with their due times.
  describe("after any calls", function()
    local STATUS = { 200, 200, 200, 200, 404, 404, 403, 429, 500, 503, 400, 302, 401 }

    local function model_test(seed, operations)
      math.randomseed(seed)
      local window, concurrency = math.random(1, 40), math.random(1, 12)
      local e = engine.new { window = window, concurrency = concurrency, seed = seed, deadline = 20, wait = 3 }
      local now, order, stopped = 0, 0, false
      local ids, open, on_wire = {}, 0, 0 -- ids: id -> { due =, order =, wire = }
      local entered, left = 0, 0

      local function first_due()
        local best
        for _, entry in pairs(ids) do
          if not entry.wire and (not best or entry.due < best.due or (entry.due == best.due and entry.order < best.order)) then
            best = entry
          end
        end
        return best
      end

      local function leave(id)
        ids[id] = nil
        open, left = open - 1, left + 1
        if open == 0 then stopped = false end
      end

      local function submit()
        local id = "gen-" .. math.random(1, 3 * window)
        if math.random(20) == 1 then id = id .. "&" end
        local ok, err = e:submit(id, now)
        if id:find "&" then return assert(err.kind == "bad_id") end
        if ids[id] then return assert(ok == false) end
        if open == window then return assert(err.kind == "full") end
        assert(ok == true)
        order = order + 1
        ids[id] = { id = id, due = now, order = order }
        open, entered = open + 1, entered + 1
      end

      local function next_id()
        local best = first_due()
        local id = e:next(now)
        if stopped or on_wire == concurrency or not best or best.due > now then return assert(id == nil) end
        assert(id == best.id)
        best.wire, on_wire = true, on_wire + 1
      end

      local function verdict(id, gen, err, delay)
        on_wire = on_wire - 1
        if err and (err.kind == "auth" or err.kind == "payment") then stopped = true end
        if delay then
          assert(err and not gen and delay >= 0 and err.retryable)
          order = order + 1
          local entry = ids[id]
          entry.wire, entry.due, entry.order = false, now + delay, order
        else
          assert((gen == nil) ~= (err == nil))
          leave(id)
        end
      end

      local function answer()
        local wire = {}
        for id, entry in pairs(ids) do
          if entry.wire then wire[#wire + 1] = id end
        end
        if #wire == 0 then return assert(not pcall(e.answer, e, "gen-1", 200, nil, "{}", now)) end
        table.sort(wire)
        local id = wire[math.random(#wire)]
        if math.random(5) == 1 then return verdict(id, e:fault(id, "network", nil, now)) end
        local status = STATUS[math.random(#STATUS)]
        local headers = math.random(4) == 1 and { ["retry-after"] = tostring(math.random(0, 4)) } or nil
        local body = math.random(10) == 1 and "oops" or record(id)
        verdict(id, e:answer(id, status, headers, body, now))
      end

      local function unresolved()
        local id, err = e:unresolved(now)
        if not stopped or not first_due() then return assert(id == nil) end
        assert(err.kind == "unresolved" and ids[id] and not ids[id].wire)
        leave(id)
      end

      local step = { submit, submit, next_id, next_id, answer, answer, unresolved,
        function() now = now + math.random() ^ 4 * 2 end }
      for _ = 1, operations do
        step[math.random(#step)]()
        assert(e:open() == open and e:on_wire() == on_wire)
        local best = first_due()
        assert(e:due() == ((stopped or on_wire == concurrency or not best) and math.huge or best.due))
      end
      while open > 0 do
        now = now + 1
        next_id()
        answer()
        unresolved()
      end
      assert(e:open() == 0 and e:due() == math.huge)
      return entered, left
    end

    it("has every id once, in its place, and lets it go once", function()
      for seed = 1, 20 do
        local entered, left = model_test(seed, 5000)
        assert.equal(entered, left)
        assert.is_true(entered > 100)
      end
    end)
  end)
end)

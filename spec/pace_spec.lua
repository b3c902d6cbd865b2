local core = require "openrouter.core"
local engine = require "spec.support.engine"
require "openrouter.errors"

local BURST = 0.1 -- seconds' worth of requests that may come at once
local RECORD = '{"data":{"total_cost":0.5}}'

describe("pace", function()
  local function ids_of(count, name)
    local ids = {}
    for i = 1, count do ids[i] = (name or "gen-") .. i end
    return ids
  end

  -- An engine with ids waiting since 0.
  local function with_ids(count, settings)
    settings.window = math.max(count, settings.window or 1)
    local e = engine.new(settings)
    for _, id in ipairs(ids_of(count)) do assert(e:submit(id, 0)) end
    return e
  end

  -- The ids that next() gives now.
  local function start(e, now)
    local ids = {}
    for id in function() return (e:next(now)) end do ids[#ids + 1] = id end
    return ids
  end

  local function answer(e, id, status, now, retry_after)
    return e:answer(id, status, retry_after and { ["retry-after"] = retry_after }, RECORD, now)
  end

  describe("rate", function()
    -- The most that any stretch of time [starts[i], starts[j]] has above rate * its length.
    local function excess(starts, rate)
      local most, above = 0, -math.huge
      for j, at in ipairs(starts) do
        above = math.max(above, rate * at - (j - 1)) -- of the best i so far
        most = math.max(most, j - rate * at + above)
      end
      return most
    end

    it("is kept over any stretch of time, whenever somebody comes to ask", function()
      for seed = 1, 60 do
        math.randomseed(seed)
        local rate = 10 ^ (math.random() * 5 - 1)
        local e, now, starts = with_ids(600, { rate = rate, concurrency = 1000, deadline = 1e9, seed = seed }), 0, {}
        while #starts < 600 do
          local way = math.random(4) -- exactly when it may, a little later, after a pause, too early
          if way == 1 then now = math.max(now, e:due())
          elseif way == 2 then now = math.max(now, e:due()) + math.random() / rate
          elseif way == 3 then now = now + math.random() * 30 / rate
          else now = now + math.random() * 0.5 / rate end
          for _ = 1, #start(e, now) do starts[#starts + 1] = now end
        end
        local allowed = math.max(1, rate * BURST)
        assert.is_true(excess(starts, rate) <= allowed + 1e-6, ("%g per second"):format(rate))
      end
    end)

    it("is reached in the mean by who comes when it is due", function()
      for _, rate in ipairs { 0.5, 3, 10, 50, 333, 12345 } do
        local e, now = with_ids(2000, { rate = rate, concurrency = 2000, deadline = 1e9 }), 0
        for _ = 1, 2000 do
          now = math.max(now, e:due())
          assert.is_string((e:next(now)))
        end
        local least = 2000 - math.max(1, rate * BURST) -- these had to wait for one another
        assert.is_true(math.abs(now * rate - least) <= 1.001, ("%g per second"):format(rate))
      end
    end)

    it("may be less than one per second", function()
      local e = with_ids(4, { rate = 0.5 })
      for now = 0, 6, 2 do
        assert.equal(now, e:due())
        assert.is_nil((e:next(now - 1e-6)))
        assert.equal(1, #start(e, now))
      end
    end)

    it("lets a tenth of a second's worth come at once, and no more after a long pause", function()
      for _, rate in ipairs { 50, 200, 1000 } do
        local e = with_ids(2500, { rate = rate, concurrency = 5000, deadline = 1e9 })
        for _, now in ipairs { 0, 0.5, 1000, 1e6 } do
          local count = #start(e, now)
          -- rounding may hold back the last one
          assert.is_true(count == rate * BURST or count == rate * BURST - 1, ("%d at %g"):format(count, rate))
        end
      end
      for _, rate in ipairs { 0.5, 1, 9.9 } do
        local e = with_ids(3, { rate = rate, deadline = 1e9 })
        assert.same({ 1, 1, 1 }, { #start(e, 0), #start(e, 100), #start(e, 1e6) })
      end
    end)

    it("is met by due() exactly", function()
      for seed = 1, 20 do
        math.randomseed(seed)
        local rate = 10 ^ (math.random() * 3)
        local e, now = with_ids(300, { rate = rate, concurrency = 300, deadline = 1e9 }), 0
        for _ = 1, 300 do
          local due = e:due()
          if due > now then assert.is_nil((e:next(due - 1e-9 * math.max(1, due)))) end
          now = math.max(now, due)
          assert.is_string((e:next(now)))
          if math.random(10) == 1 then now = now + math.random() * 10 / rate end
        end
      end
    end)

    it("counts every request, not every id", function()
      local e = engine.new { rate = 2, retry = { base = 0, factor = 1, cap = 0 } }
      e:submit("a", 0)
      for attempt = 0, 9 do -- asked again at once, if it were for the retries alone
        local now = attempt / 2
        assert.is_nil((e:next(now - 1e-6)))
        assert.equal("a", (e:next(now)))
        e:fault("a", "network", nil, now)
      end
    end)

    it("goes with the number on the wire: whichever is less", function()
      local function run(rate, concurrency, seconds)
        local e = engine.new { rate = rate, concurrency = concurrency, window = 400, deadline = 1e6 }
        local log = engine.simulate(e, ids_of(400), function() return seconds, 200 end)
        assert.is_true(log.wire <= concurrency)
        return 400 / log.finished
      end
      assert.is_true(math.abs(run(50, 4, 1) - 4) < 0.1) -- 4 at a time, a second each
      assert.is_true(math.abs(run(3, 4, 1) - 3) < 0.1)
      assert.is_true(math.abs(run(50, 100, 1) - 50) < 6) -- 8 s, and the last answer a second later
    end)

    it("waits for a full wire, and asks at once then", function()
      local e = with_ids(3, { rate = 10, concurrency = 1 })
      e:next(0)
      assert.equal(120, e:due()) -- the deadline of those who wait
      answer(e, "gen-1", 200, 7)
      assert.is_true(e:due() <= 7)
      assert.equal("gen-2", (e:next(7)))
    end)

    it("is not there where none is set", function()
      local e = with_ids(5000, { concurrency = 5000 })
      assert.equal(5000, #start(e, 0))
    end)

    it("is a number that makes sense", function()
      for _, rate in ipairs { 0, -1, 0 / 0, math.huge, -math.huge, 1e-7, 1e13, "5", {}, true, false } do
        assert.error_matches(function() engine.new { rate = rate } end, "rate")
      end
      for _, rate in ipairs { 1e-6, 1e12 } do
        local e = with_ids(2, { rate = rate })
        assert.equal("gen-1", (e:next(0)))
        assert.equal(rate == 1e12 and "gen-2" or nil, (e:next(0)))
      end
    end)
  end)

  describe("a 429", function()
    -- An engine that got one 429 at the time 0, for gen-1, and the delay of that id.
    local function slowed(settings, retry_after)
      local e = with_ids(40, settings)
      start(e, 0)
      local _, err, delay = answer(e, "gen-1", 429, 0, retry_after)
      assert.equal("rate_limited", err.kind)
      return e, delay
    end

    it("halves the number on the wire, once for all that were sent before", function()
      local e, now = with_ids(200, { deadline = 1e6, retry = { base = 0.1, factor = 2, cap = 1 } }), 0
      for _, limit in ipairs { 16, 8, 4, 2, 1, 1, 1 } do
        local ids = start(e, now)
        assert.same({ limit, limit }, { #ids, e:limit() })
        for i, id in ipairs(ids) do
          now = now + 0.001
          answer(e, id, 429, now)
          if i == 1 then assert.equal(math.max(1, math.floor(limit / 2)), e:limit()) end
        end
        now = math.max(now, e:due())
      end
    end)

    it("of those sent since counts again", function()
      local e = with_ids(40, { concurrency = 4 })
      start(e, 0)
      answer(e, "gen-1", 429, 0, "0")
      assert.equal(2, e:limit())
      for i = 2, 4 do answer(e, "gen-" .. i, 500, 0) end -- each lets it grow a little: 2.15, 2.29, 2.42
      assert.equal(2, e:limit())
      local id = start(e, e:due())[1]
      answer(e, id, 429, e:due())
      assert.equal(1, e:limit())
    end)

    it("leaves what is not even: 5, 2, 1", function()
      local e, now = with_ids(40, { concurrency = 5 }), 0
      for _, limit in ipairs { 5, 2, 1, 1 } do
        local ids = start(e, now)
        assert.equal(limit, #ids)
        for _, id in ipairs(ids) do answer(e, id, 429, now) end
        now = e:due()
      end
    end)

    it("is made up for by one more on the wire for three rounds of other answers", function()
      local e, now, limit = with_ids(1000, { concurrency = 20, deadline = 1e6 }), 0, 20
      local wire = start(e, 0)
      while limit > 1 do -- down to one
        for _, id in ipairs(wire) do answer(e, id, 429, now) end
        limit = math.max(1, limit / 2)
        now = e:due()
        wire = start(e, now)
      end
      assert.equal(1, e:limit())
      local answers, kinds = 0, { 200, 404, 403, 500, 400, 302 }
      while e:limit() < 20 do
        local id = table.remove(wire, 1)
        answers = answers + 1
        answer(e, id, kinds[answers % #kinds + 1], now)
        limit = math.min(20, limit + 0.3 / limit)
        assert.equal(math.floor(limit), e:limit())
        for _, more in ipairs(start(e, now)) do wire[#wire + 1] = more end
        assert.equal(e:limit(), e:on_wire())
      end
      assert.is_true(answers > 620 and answers < 680) -- the sum of 1 … 20, over 0.3
      for _ = 1, 50 do
        answer(e, table.remove(wire, 1), 403, now)
        wire[#wire + 1] = (e:next(now))
      end
      assert.same({ 20, 20 }, { e:limit(), e:on_wire() })
    end)

    local ACCEPTED = { auth = true, payment = true, forbidden = true, not_found = true, bad_request = true, server = true,
      bad_answer = true, wrong_id = true, too_large = true }

    it("is made up for by any answer, and by nothing that is none", function()
      for _, kind in ipairs(core.kinds) do
        if kind.name ~= "rate_limited" then
          local e = slowed { concurrency = 13 }
          assert.equal(6, e:limit()) -- and a half: 12 answers make that 7
          for i = 2, 13 do e:fault("gen-" .. i, kind.name, nil, 0) end
          assert.equal(ACCEPTED[kind.name] and 7 or 6, e:limit(), kind.name)
        end
      end
    end)

    it("holds up everybody until its own next attempt", function()
      for seed = 1, 50 do
        local e, delay = slowed { seed = seed, concurrency = 8 }
        for i = 2, 8 do answer(e, "gen-" .. i, 200, 0) end
        assert.equal(delay, e:due())
        assert.is_true(e:submit("another", delay / 2))
        assert.is_nil((e:next(delay * 0.999)))
        assert.is_true(#start(e, delay) >= 4)
      end
    end)

    it("holds up everybody for as long as the server asks", function()
      local epoch = 1790000000
      for _, headers in ipairs { { ["retry-after"] = "20" }, { ["retry-after-ms"] = "20000" },
        { ["retry-after"] = os.date("!%a, %d %b %Y %H:%M:%S GMT", epoch + 20) } } do
        local e = with_ids(3, { epoch = epoch, concurrency = 1 })
        e:next(0)
        local _, _, delay = e:answer("gen-1", 429, headers, "", 0)
        assert.is_true(delay >= 20 and delay < 20.2)
        assert.equal(delay, e:due()) -- the id's own little more spreads clients, too
        assert.is_nil((e:next(19.99)))
        assert.equal("gen-2", (e:next(delay)))
      end
    end)

    it("of those sent before halves nothing again, and holds up everybody all the same", function()
      local e, delay = slowed({ concurrency = 8 }, "10")
      for i = 4, 6 do e:cancel("gen-" .. i, 0) end -- room on the wire, so that due() tells the hold
      answer(e, "gen-2", 429, 0.5, "1") -- the longest counts
      assert.same({ 4, delay }, { e:limit(), e:due() })
      local _, _, longer = answer(e, "gen-3", 429, 0.5, "30")
      assert.is_true(longer >= 30 and longer <= 30.126) -- of the first step: it is no strike either
      assert.same({ 4, 0.5 + longer }, { e:limit(), e:due() })
      for i = 7, 8 do answer(e, "gen-" .. i, 429, 1) end
      assert.same({ 4, 0.5 + longer }, { e:limit(), e:due() })
    end)

    it("leaves those refused their places", function()
      for seed = 1, 20 do
        math.randomseed(seed)
        local e, told, refused = engine.new { seed = seed, concurrency = 16 }, {}, {}
        for i = 1, 8 do
          e:submit("gen-" .. i, i)
          refused[i] = "gen-" .. i
        end
        assert.equal(8, #start(e, 8))
        for i = 1, 8 do
          local id = table.remove(refused, math.random(#refused))
          local _, _, delay = answer(e, id, 429, 8 + i / 10, tostring(math.random(0, 5)))
          told[id] = 8 + i / 10 + delay
        end
        for i = 9, 12 do e:submit("gen-" .. i, i / 4 + 7) end
        assert.same(ids_of(8), start(e, e:due())) -- 8 at a time, since they were refused
        for id, at in pairs(told) do assert.is_true(e:due() >= at, id) end
      end
    end)

    it("leaves its id the place that an earlier failure gave it", function()
      local e = engine.new { concurrency = 4 }
      e:submit("a", 0)
      e:submit("b", 0)
      start(e, 0)
      local _, _, delay = answer(e, "a", 503, 0)
      assert.equal("a", (e:next(delay)))
      e:submit("c", delay / 2)
      answer(e, "b", 200, delay)
      answer(e, "a", 429, delay, "9")
      assert.same({ "c", "a" }, start(e, e:due()))
    end)

    -- The longest of many pauses after `count` 429s in a row, each of them another id's only one: between(e, id, now) answers
    -- one more before the last.
    local function pause_after(count, between)
      local longest = 0
      for seed = 1, 200 do
        local e, now = with_ids(20, { concurrency = 1, deadline = 1e6, seed = seed * 7919, retry = false }), 0
        for strike = 1, count do
          if between and strike == count then between(e, (e:next(now)), now) end
          answer(e, (e:next(now)), 429, now)
          if strike < count then now = e:due() end
        end
        longest = math.max(longest, e:due() - now)
      end
      return longest
    end

    it("after another makes a longer pause, though it is not the same id", function()
      for strike, step in ipairs { 0.5, 1, 2, 4, 8, 16, 30, 30 } do
        local longest = pause_after(strike)
        assert.is_true(longest <= step and longest > 0.9 * step, ("%g, not %g"):format(longest, step))
      end
    end)

    it("makes a short pause again after any answer, and a long one still after anything else", function()
      for _, status in ipairs { 200, 403, 404, 500, 302 } do
        assert.is_true(pause_after(6, function(e, id, now) answer(e, id, status, now) end) <= 0.5)
      end
      for _, kind in ipairs(core.kinds) do
        if kind.name ~= "rate_limited" and kind.retry ~= "stop" then
          local longest = pause_after(6, function(e, id, now) e:fault(id, kind.name, nil, now) end)
          if ACCEPTED[kind.name] then assert.is_true(longest <= 0.5, kind.name)
          else assert.is_true(longest > 14, kind.name) end
        end
      end
    end)

    it("makes a pause by the id's own failures where they are more", function()
      local longest = 0
      for seed = 1, 100 do
        local e = engine.new { seed = seed * 7919, concurrency = 1, deadline = 1e6 }
        e:submit("a", 0)
        e:next(0)
        for _ = 1, 4 do
          e:fault("a", "network", nil, e:on_wire() == 1 and 0 or e:due())
          e:next(e:due())
        end
        local _, _, delay = answer(e, "a", 429, 100)
        longest = math.max(longest, delay)
      end
      assert.is_true(longest > 7 and longest <= 8)
    end)

    it("is nothing that a fault of the network is: these neither slow down nor speed up", function()
      local e, now = with_ids(60, { concurrency = 8, deadline = 1e6, retry = { base = 0, factor = 1, cap = 0 } }), 0
      start(e, now)
      for i = 1, 3 do e:fault("gen-" .. i, "network", nil, now) end
      assert.same({ 8, 3 }, { e:limit(), #start(e, now) })
      answer(e, "gen-4", 429, now, "1")
      assert.equal(4, e:limit())
      for i = 5, 8 do e:fault("gen-" .. i, i % 2 == 0 and "timeout" or "network", nil, now) end
      assert.equal(4, e:limit())
      now = e:due()
      for _, id in ipairs(start(e, now)) do e:fault(id, "timeout", nil, now) end
      for _, id in ipairs(start(e, now)) do e:fault(id, "tls", nil, now) end
      for _, id in ipairs(start(e, now)) do answer(e, id, 408, now) end
      start(e, now)
      assert.same({ 4, 4 }, { e:limit(), e:on_wire() })
    end)

    it("ends its id without retrying, and slows down all the same", function()
      local e = with_ids(10, { concurrency = 4, retry = false })
      start(e, 0)
      local _, err, delay = answer(e, "gen-1", 429, 0, "7")
      assert.same({ "rate_limited", true, nil }, { err.kind, err.retryable, delay })
      for i = 2, 4 do answer(e, "gen-" .. i, 429, 0, "7") end
      assert.same({ 2, 6 }, { e:limit(), e:open() })
      local due = e:due()
      assert.is_true(due > 7 and due <= 7.125) -- the little more spreads clients that do not retry, too
      assert.is_nil((e:next(7)))
      assert.same({ "gen-5", "gen-6" }, start(e, due))
    end)

    it("whose id has no time for another attempt holds up the others as it would have held up that id", function()
      for _, case in ipairs { { "5", 5, 5.5 }, { nil, 0, 2 } } do
        local longest, shortest = 0, math.huge
        for seed = 1, 200 do
          local e = engine.new { concurrency = 1, seed = seed * 7919, retry = { base = 2, factor = 2, cap = 30 } }
          e:submit("short", 0, nil, 0.001)
          e:submit("long", 0)
          assert.equal("short", (e:next(0)))
          local _, err, delay = answer(e, "short", 429, 0.001, case[1])
          assert.same({ "rate_limited", nil }, { err.kind, delay })
          local due = e:due() - 0.001
          shortest, longest = math.min(shortest, due), math.max(longest, due)
          assert.equal("long", (e:next(e:due())))
        end
        local spread = case[3] - case[2]
        assert.is_true(shortest >= case[2] and shortest < case[2] + 0.1 * spread)
        assert.is_true(longest <= case[3] and longest > case[3] - 0.1 * spread)
      end
    end)
  end)

  describe("an unreasonable Retry-After", function()
    local EPOCH = 1790000000
    -- after a 429 with these headers, at 0, for one of two ids: when the other one, with much time, may be asked
    local function held_until(headers)
      local e = engine.new { concurrency = 1, deadline = 1e6, epoch = EPOCH }
      e:submit("a", 0, nil, 0.1)
      e:submit("b", 0)
      e:next(0)
      e:answer("a", 429, headers, "", 0.01)
      return e:due() - 0.01, e
    end

    it("stops the client for an hour at most", function()
      for _, headers in ipairs { { ["retry-after"] = "1e300" }, { ["retry-after"] = "3601" },
        { ["retry-after"] = ("9"):rep(300) }, { ["retry-after-ms"] = "1e308" },
        { ["retry-after"] = "Fri, 31 Dec 9999 23:59:59 GMT" } } do
        local due, e = held_until(headers)
        assert.equal(3600, due)
        assert.is_nil((e:ended(1)))
        assert.equal("b", (e:next(3600.01)))
      end
      local due = held_until { ["retry-after"] = "3500" }
      assert.is_true(due >= 3500 and due < 3500.126)
    end)

    it("stops it for an hour from then when it comes again, and never for less than before", function()
      local e = with_ids(5, { concurrency = 4, deadline = 1e6, retry = false })
      start(e, 0)
      for i, retry_after in ipairs { "1e300", "1e6", "5", "3000" } do answer(e, "gen-" .. i, 429, 100 * i, retry_after) end
      assert.equal(3800, e:due())
    end)

    it("is none", function()
      for _, text in ipairs { "-5", "-1e300", "nan", "NaN", "-nan", "inf", "-inf", "Infinity", "1e999", "", "0x7fffffff",
        ("9"):rep(400), "Fri, 31 Dec 99999 23:59:59 GMT" } do
        local due = held_until { ["retry-after"] = text, ["retry-after-ms"] = text }
        assert.is_true(due >= 0 and due <= 0.5, text)
      end
    end)

    it("ends at once those that it leaves no time, and says so", function()
      local e = with_ids(5, { concurrency = 2, window = 6 })
      e:submit("patient", 0, nil, 4000)
      start(e, 0)
      local _, err, delay = answer(e, "gen-1", 429, 1, "1e300")
      assert.same({ "rate_limited", nil }, { err.kind, delay })
      local all = {}
      assert.equal(-math.huge, e:due())
      for id, ended in function() return e:ended(1) end do
        assert.same({ "rate_limited", 0, 1, true }, { ended.kind, ended.attempts, ended.elapsed, ended.retryable })
        assert.equal("the server wants no request before this one's deadline", ended.message)
        assert.equal(id, ended.id)
        all[#all + 1] = id
      end
      assert.same({ "gen-3", "gen-4", "gen-5" }, all) -- neither the one on the wire nor the one with time enough
      assert.same({ 2, 1 }, { e:open(), e:on_wire() })
      answer(e, "gen-2", 200, 2)
      assert.equal(3601, e:due())
      e:submit("new", 3, nil, 60)
      assert.equal(-math.huge, e:due())
      assert.equal("new", (e:ended(3)))
      assert.equal(3601, e:due())
      assert.equal("patient", (e:next(3601)))
    end)

    it("ends what it leaves no time, but not what has just enough", function()
      for _, case in ipairs { { 99.9, true }, { 100, true }, { 100.126, false } } do
        local e = engine.new { concurrency = 1, retry = false }
        e:submit("a", 0)
        e:submit("b", 0, nil, case[1])
        e:next(0)
        answer(e, "a", 429, 0, "100")
        assert.equal(case[2], e:due() == -math.huge)
        assert.equal(case[2], (e:ended(0)) == "b")
      end
    end)

    it("does not change what an id was told before", function()
      local e = engine.new { concurrency = 2 }
      e:submit("a", 0)
      e:submit("b", 0)
      start(e, 0)
      answer(e, "a", 503, 0)
      answer(e, "b", 429, 0, "1e9")
      local id, err = e:ended(0)
      assert.same({ "a", "server", 1 }, { id, err.kind, err.attempts })
    end)
  end)

  describe("a server with a limit", function()
    local SECONDS, REFUSAL = 0.1, 0.02 -- what an answer takes, in the mean, and a refusal

    -- It has a bucket of `burst` tokens. retry_after(seconds until there is a token) -> headers or nil
    -- steady: all answers take equally long
    local function limited(rate, burst, retry_after, steady)
      local tokens, counted = burst, 0
      return function(_, now)
        tokens, counted = math.min(burst, tokens + (now - counted) * rate), now
        if tokens < 1 then return REFUSAL, 429, retry_after((1 - tokens) / rate) end
        tokens = tokens - 1
        return steady and SECONDS or SECONDS * (0.5 + math.random()), 200
      end
    end

    local says = {
      nothing = function() end,
      milliseconds = function(seconds) return { ["retry-after-ms"] = tostring(math.ceil(seconds * 1000)) } end,
      seconds = function(seconds) return { ["retry-after"] = tostring(math.ceil(seconds)) } end,
    }

    -- With the client's own settings, where `settings` do not say otherwise. Also returns how many settled.
    local function simulate(seed, count, serve, settings)
      math.randomseed(seed)
      local all = { seed = seed, concurrency = 16, window = 1024, deadline = 120 }
      for name, value in pairs(settings or {}) do all[name] = value end
      local e, settled = engine.new(all), 0
      local log = engine.simulate(e, ids_of(count), serve)
      for _, how in pairs(log.ends) do
        if how == "settled" then settled = settled + 1 else assert(how == "rate_limited" or how == "timeout") end
      end
      return log, settled, e
    end

    for name, retry_after in pairs(says) do
      it("is asked for no more than it gives, and everything settles: it says " .. name, function()
        for seed = 1, 6 do
          local log, settled, e = simulate(seed, 5000, limited(50, 5, retry_after, seed % 2 == 0))
          assert.equal(5000, settled)
          -- The limit swings between half of what is too much, m, and m, in steps of 0.3/limit for each answer: that is 5/4 m^2
          -- answers from one 429 to the next. m is at least what the server can have in hand: 50 * 0.1, and some of its
          -- 5 tokens, so 7 or so: 60 answers. One or two requests are on their way when the first refusal comes back.
          assert.is_true(log.counts[429] / #log.starts < 0.04, "share of refusals")
          assert.is_true(log.counts[429] > 50, "or the server refused hardly anything")
          -- Pauses cost some of what the server would have given: most where it speaks in whole seconds. At less than 9 per
          -- second (1024 in 120 s), the last of a window would not have their turn before their deadline.
          assert.is_true(5000 / log.finished > (name == "seconds" and 18 or 30))

          -- and when it allows anything, all 16 are on the wire again within the sum of 1 … 16 answers, over 0.3
          log = engine.simulate(e, ids_of(470, "more-"), function() return SECONDS, 200 end, log.finished)
          assert.same({ 16, 16, 470 }, { e:limit(), log.wire, log.counts[200] })
        end
      end)
    end

    -- The server gives 1 and 40 more within the two minutes that the ids have. Nothing but refusals says how much that is.
    it("of 20 requests in a minute gives nearly all that it can before the deadline where it says when", function()
      for seed = 1, 5 do
        local log, settled = simulate(seed, 1000, limited(1 / 3, 1, function() return { ["retry-after"] = "3" } end))
        assert.is_true(settled >= 37 and settled <= 41, settled)
        assert.is_true(log.finished <= 120)
        assert.is_true(log.counts[429] < 2 * settled)
      end
    end)

    it("of 20 requests in a minute gives half of what it can before the deadline where it does not say", function()
      for seed = 1, 5 do
        local log, settled = simulate(seed, 1000, limited(1 / 3, 1, says.nothing))
        assert.is_true(settled >= 20 and settled <= 41, settled)
        assert.is_true(log.counts[429] < 7 * settled) -- each pause is twice the last, in the mean, until there is an answer
      end
    end)

    it("is never refused where the client's rate is its own", function()
      math.randomseed(1)
      local e = engine.new { rate = 49, concurrency = 64, window = 256 }
      local log = engine.simulate(e, ids_of(2000), limited(50, 5, says.nothing))
      assert.is_nil(log.counts[429])
      assert.is_true(math.abs(2000 / log.finished - 49) < 0.5)
    end)

    it("that counts what is on the wire is not asked for more", function()
      local on_wire, ends_at = 0, {}
      local e = engine.new { concurrency = 64, window = 256 }
      local log = engine.simulate(e, ids_of(3000), function(_, now)
        for i = #ends_at, 1, -1 do
          if ends_at[i] <= now then table.remove(ends_at, i) end
        end
        on_wire = #ends_at
        if on_wire >= 8 then return REFUSAL, 429 end
        ends_at[#ends_at + 1] = now + SECONDS
        return SECONDS, 200
      end)
      for _, how in pairs(log.ends) do assert.equal("settled", how) end
      assert.is_true(log.counts[429] / #log.starts < 0.04) -- 5/4 * 8^2 = 80 answers for one or two refusals
    end)
  end)

  describe("a thousand ids due at once", function()
    -- the most requests that start within any tenth of a second, and on the wire
    local function busiest(starts)
      local most, i = 0, 1
      for j = 1, #starts do
        while starts[j] - starts[i] > 0.1 do i = i + 1 end
        most = math.max(most, j - i + 1)
      end
      return most
    end

    it("are never more on the wire than the limit", function()
      for _, failure in ipairs { 503, 429, "network" } do
        local e = engine.new { window = 1000, concurrency = 32 }
        local log = engine.simulate(e, ids_of(1000), function(_, now) return 0.05, now < 1 and failure or 200 end)
        assert.equal(32, log.wire) -- which engine.simulate has compared with the limit at each start
        assert.equal(1000, log.counts[200])
        if failure ~= 429 then assert.equal(32, e:limit())
        else assert.is_true(math.abs(e:limit() - 24.5) < 1.5) end -- from 1: the root of 2 * 0.3 * 1000
      end
    end)

    it("come back spread after a failure that they had in common", function()
      local asked = {}
      local e = engine.new { window = 1000, concurrency = 1000, retry = { base = 2, factor = 2, cap = 30 } }
      local log = engine.simulate(e, ids_of(1000), function(id)
        local again = asked[id]
        asked[id] = true
        return 0.01, again and 200 or 503
      end)
      local again = {}
      for _, at in ipairs(log.starts) do
        if at > 0 then again[#again + 1] = at end
      end
      assert.equal(1000, #again)
      assert.is_true(busiest(again) < 100) -- 50 in the mean, over two seconds
    end)

    it("come back slowly after a 429 that they had in common", function()
      local asked = {}
      local e = engine.new { window = 1000, concurrency = 1000 }
      local log = engine.simulate(e, ids_of(1000), function(id)
        local again = asked[id]
        asked[id] = true
        return 0.2, again and 200 or 429, { ["retry-after"] = "5" }
      end)
      local again = {}
      for _, at in ipairs(log.starts) do
        if at > 0 then again[#again + 1] = at end
      end
      assert.is_true(again[1] >= 5)
      assert.equal(500, busiest(again)) -- half of them, and not before these are answered the next
      assert.equal(1000, log.counts[200])
    end)
  end)

  it("is the same from the same seed", function()
    local function starts()
      local e, flip = engine.new { rate = 40, concurrency = 8, seed = 5 }, 0
      return engine.simulate(e, ids_of(300), function()
        flip = flip + 1
        return 0.1, flip % 7 == 0 and 429 or flip % 5 == 0 and "network" or 200
      end).starts
    end
    assert.same(starts(), starts())
  end)
end)

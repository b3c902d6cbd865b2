local core = require "openrouter.core"
local engine = require "spec.support.engine"

local ID = "gen-x"

describe("retry", function()
  local rules = {}
  for _, kind in ipairs(core.kinds) do rules[kind.name] = kind.retry end

  describe("what a status means", function()
    local function expected(status)
      local own = { [401] = "auth", [402] = "payment", [403] = "forbidden", [404] = "not_found", [408] = "timeout",
        [429] = "rate_limited" }
      if own[status] then return own[status] end
      if status >= 500 and status < 600 then return "server" end
      if status >= 400 and status < 500 then return "bad_request" end
      return "bad_answer"
    end

    it("is one kind for each, and that says whether it is asked again", function()
      for status = 201, 999 do
        local e = engine.asking(ID)
        local gen, err, delay = e:answer(ID, status, nil, "", 0)
        local kind = expected(status)
        local again = kind == "not_found" or kind == "rate_limited" or kind == "server" or kind == "timeout"
          or kind == "bad_answer"
        assert.is_nil(gen)
        assert.same({ kind, status, again, again }, { err.kind, err.status, err.retryable, delay ~= nil })
        assert.same({ 1, 0, ID }, { err.attempts, err.elapsed, err.id })
        assert.equal(again and 1 or 0, e:open())
      end
    end)

    it("is no accident outside the usual ones", function()
      for _, status in ipairs { 100, 199, 204, 999, 1000, -1, 2 ^ 31 - 1 } do
        assert.equal("bad_answer", engine.kind_of(status))
      end
    end)
  end)

  describe("how often", function()
    it("depends on the kind", function()
      for name, rule in pairs(rules) do
        local err, delays, now = engine.run(engine.asking(ID), ID, engine.fault(ID, name))
        assert.equal(name, err.kind)
        assert.equal(#delays + 1, err.attempts)
        assert.equal(now, err.elapsed)
        if rule == "always" then
          assert.is_true(now > 119 - 30 and now <= 119, name)
        elseif rule == "wait" then
          assert.equal(10, now)
        else
          assert.equal(rule == "briefly" and 3 or 1, err.attempts, name)
        end
      end
    end)

    it("is once without retrying", function()
      for name in pairs(rules) do
        local _, delays = engine.run(engine.asking(ID, { retry = false }), ID, engine.fault(ID, name))
        assert.equal(0, #delays)
      end
    end)

    it("counts the answers that are no records by themselves", function()
      local kinds = { "network", "server", "not_found", "timeout", "bad_answer", "wrong_id", "network", "bad_answer" }
      local err, delays = engine.run(engine.asking(ID, { wait = 100 }), ID, function(e, now, attempt)
        return e:fault(ID, kinds[attempt], nil, now)
      end)
      assert.same({ "bad_answer", 8, 7 }, { err.kind, err.attempts, #delays })
    end)
  end)

  describe("backoff", function()
    -- the n-th delays of many ids
    local function delays_of(count, settings)
      local all = {}
      for seed = 1, count do
        settings.seed = seed * 7919
        local _, delays = engine.run(engine.asking(ID, settings), ID, engine.fault(ID, "server"))
        for n, delay in ipairs(delays) do
          all[n] = all[n] or {}
          table.insert(all[n], delay)
        end
      end
      return all
    end

    it("is anything from nothing to a step that grows up to the cap", function()
      local all = delays_of(400, { deadline = 1000, retry = { base = 0.5, factor = 3, cap = 20 } })
      for n, step in ipairs { 0.5, 1.5, 4.5, 13.5, 20, 20, 20, 20 } do
        local least, most, sum = math.huge, 0, 0
        for _, delay in ipairs(all[n]) do
          least, most, sum = math.min(least, delay), math.max(most, delay), sum + delay
        end
        assert.is_true(least >= 0 and least < 0.05 * step, "least")
        assert.is_true(most <= step and most > 0.95 * step, "most")
        assert.is_true(math.abs(sum / #all[n] / step - 0.5) < 0.1, "mean")
      end
    end)

    it("spreads ids that failed at the same time", function()
      for seed = 0, 20 do
        local e, tenths, filled = engine.new { window = 1000, concurrency = 1000, seed = seed }, {}, 0
        for i = 1, 1000 do e:submit("gen-" .. i, 0) end
        for _ = 1, 1000 do e:next(0) end
        for i = 1, 1000 do
          local _, _, delay = e:fault("gen-" .. i, "server", nil, 5)
          local tenth = math.floor(delay / 0.05)
          tenths[tenth] = (tenths[tenth] or 0) + 1
        end
        for _, count in pairs(tenths) do
          assert.is_true(count > 50 and count < 150)
          filled = filled + 1
        end
        assert.equal(10, filled)
      end
    end)

    it("is the same from the same seed, and another one from its neighbour", function()
      local function schedule(seed)
        local _, delays = engine.run(engine.asking(ID, { seed = seed }), ID, engine.fault(ID, "server"))
        return delays
      end
      local first, distinct = {}, 0
      for seed = 0, 50 do
        assert.same(schedule(seed), schedule(seed))
        local delay = schedule(seed)[1]
        assert.is_nil(first[delay])
        first[delay] = true
        if delay > 0.05 then distinct = distinct + 1 end
      end
      assert.is_true(distinct > 35) -- not all next to nothing
    end)

    it("may be none at all", function()
      local e = engine.asking(ID, { retry = { base = 0, factor = 2, cap = 30 } })
      for attempt = 1, 1200 do -- 2^1199 is infinite
        local _, _, delay = e:fault(ID, "server", nil, attempt / 1000)
        assert.equal(0, delay)
        assert.equal(ID, e:next(attempt / 1000))
      end
    end)

    it("never passes the deadline", function()
      for seed = 1, 200 do
        local e = engine.new { seed = seed, deadline = 3, retry = { base = 2, factor = 2, cap = 30 } }
        e:submit(ID, 100)
        e:next(100)
        local err, _, now = engine.run(e, ID, engine.fault(ID, "network"), 100)
        assert.is_true(now <= 103 - 3 / 8) -- the last attempt has some time, too
        assert.equal(now - 100, err.elapsed)
      end
    end)
  end)

  describe("what the server asks for", function()
    local EPOCH = 1790000000
    local function date(seconds) return os.date("!%a, %d %b %Y %H:%M:%S GMT", seconds) end

    -- the delay after a 429 with these headers at the time `now`, or nil
    local function delay_for(headers, settings, now)
      local e = engine.asking(ID, settings, now)
      local _, err, delay = e:answer(ID, 429, headers, "", now or 0)
      assert.equal("rate_limited", err.kind)
      return delay
    end
    -- the jitter on top is a quarter of the step (0.5 s) at most
    local function assert_about(seconds, headers, settings, now)
      local delay = delay_for(headers, settings, now)
      assert.is_true(delay >= seconds and delay <= seconds + 0.126, ("%s for %s"):format(delay, seconds))
    end

    it("is seconds", function()
      assert_about(7, { ["retry-after"] = "7" })
      assert_about(7, { ["retry-after"] = " 7 " })
      assert_about(0.25, { ["retry-after"] = "0.25" })
      assert_about(0, { ["retry-after"] = "0" })
      assert_about(7, { ["retry-after"] = 7 })
      assert_about(118, { ["retry-after"] = "118" })
    end)

    it("is a day at most", function()
      assert_about(86400, { ["retry-after"] = "400000000" }, { deadline = 1e9 })
      assert_about(86400, { ["retry-after-ms"] = "1e300" }, { deadline = 1e9 })
      assert_about(86400, { ["retry-after"] = date(EPOCH + 1e8) }, { deadline = 1e9, epoch = EPOCH })
    end)

    it("is milliseconds, which win", function()
      assert_about(0.4, { ["retry-after-ms"] = "400" })
      assert_about(0.4, { ["retry-after-ms"] = "400", ["retry-after"] = "1" })
      assert_about(3, { ["retry-after-ms"] = "soon", ["retry-after"] = "3" })
    end)

    it("is a date, by the epoch of the clock", function()
      assert_about(30, { ["retry-after"] = date(EPOCH + 30) }, { epoch = EPOCH })
      assert_about(30, { ["retry-after"] = date(EPOCH + 1030) }, { epoch = EPOCH }, 1000)
      assert_about(30, { ["retry-after"] = date(EPOCH - 970) }, { epoch = EPOCH }, -1000)
    end)

    it("is nothing when the date is past", function()
      assert_about(0, { ["retry-after"] = date(EPOCH - 1) }, { epoch = EPOCH })
      assert_about(0, { ["retry-after"] = "Sun, 06 Nov 1994 08:49:37 GMT" }, { epoch = EPOCH })
    end)

    it("does not count when it cannot be read", function()
      local many = {}
      for _, text in ipairs { "", "soon", "-5", "5 seconds", "5, 6", "5;", "1e999", "0x10", "nan", "inf", "٣", "05", {}, true,
        "Sun, 06 No 2036 08:49:37 GMT", "Sun, 06 anF 2036 08:49:37 GMT",
        "Sun, 32 Nov 2026 08:49:37 GMT", "Sun, 06 Nov 2026 24:49:37 GMT", "06 Nov 2026 08:49:37", ("9"):rep(400) } do
        for seed = 1, 20 do
          local delay = delay_for({ ["retry-after"] = text }, { epoch = EPOCH, seed = seed })
          assert.is_true(delay <= 0.5, tostring(text))
          many[#many + 1] = delay
          local ms = type(text) == "string" and text:gsub("5", "5000") or text
          assert.is_true(delay_for({ ["retry-after-ms"] = ms }, { epoch = EPOCH, seed = seed }) <= 0.5, tostring(text))
        end
      end
      assert.is_true(math.max((unpack or table.unpack)(many)) > 0.3) -- the usual backoff, not that after Retry-After: 0
    end)

    it("ends the id when it would pass the deadline", function()
      assert.is_nil(delay_for({ ["retry-after"] = "121" }))
      assert.is_nil(delay_for({ ["retry-after"] = "1e300" }))
      assert.is_nil(delay_for({ ["retry-after-ms"] = "120001" }))
      assert.is_nil(delay_for({ ["retry-after"] = date(EPOCH + 121) }, { epoch = EPOCH }))
    end)

    it("holds for every kind that is asked again", function()
      for status, kind in pairs { [404] = "not_found", [503] = "server", [408] = "timeout", [204] = "bad_answer" } do
        local e = engine.asking(ID)
        local _, err, delay = e:answer(ID, status, { ["retry-after"] = "5" }, "", 0)
        assert.equal(kind, err.kind)
        assert.is_true(delay >= 5 and delay < 5.3)
      end
      for _, status in ipairs { 400, 401, 402, 403 } do
        local e = engine.asking(ID)
        local _, _, delay = e:answer(ID, status, { ["retry-after"] = "5" }, "", 0)
        assert.is_nil(delay)
      end
    end)

    it("spreads those it asked at the same time", function()
      local seen = {}
      for seed = 1, 100 do
        local delay = delay_for({ ["retry-after"] = "5" }, { seed = seed })
        assert.is_nil(seen[delay])
        seen[delay] = true
      end
    end)
  end)

  describe("a record that is not there", function()
    local function times(id, settings, now, wait)
      local e, seen = engine.new(settings), {}
      e:submit(id, now, wait)
      e:next(now)
      local err = engine.run(e, id, function(_, at)
        seen[#seen + 1] = at - now
        return e:answer(id, 404, nil, "", at)
      end, now)
      assert.equal("not_found", err.kind)
      return seen
    end

    it("is asked for again while the wait lasts, the last time at its very end", function()
      for seed = 1, 100 do
        local seen = times(ID, { seed = seed }, 0)
        assert.equal(10, seen[#seen])
        assert.is_true(#seen >= 4 and #seen <= 30)
        for i = 2, #seen do assert.is_true(seen[i] > seen[i - 1]) end
        assert.is_true(seen[2] >= 0.2 and seen[2] <= 0.6) -- most are written within a second
      end
    end)

    it("is not waited for beyond the deadline", function()
      for seed = 1, 100 do
        local seen = times(ID, { seed = seed, wait = 60, deadline = 5 }, 0)
        assert.equal(5 - 5 / 8, seen[#seen])
      end
    end)

    it("is not waited for when there is no wait", function()
      assert.same({ 0 }, times(ID, { wait = 0 }, 0))
      assert.same({ 0 }, times(ID, {}, 0, 0))
    end)

    it("is not waited for when its id is more than an hour old", function()
      local settings = { epoch = 1790000000 }
      local function last(id, now, wait)
        local seen = times(id, settings, now, wait)
        return seen[#seen]
      end
      assert.equal(10, last("gen-1790000000-abc", 3600))
      assert.equal(0, last("gen-1790000000-abc", 3600.5))
      assert.equal(10, last("gen-1790000000-abc", -5000)) -- not written yet, by a clock that is slow
      assert.equal(10, last("gen-1790003600-abc", 3601))
      assert.equal(4, last("gen-1790000000-abc", 1e6, 4)) -- said explicitly
    end)

    it("is waited for however old its id is when a wait is said for it, at first or later", function()
      local settings = { epoch = 1790000000, deadline = 1e9 }
      for _, id in ipairs { "gen-1790000000-abc", "gen-1000000000-abc" } do
        local seen = times(id, settings, 1e6, 86400)
        assert.equal(86400, seen[#seen])
        local e = engine.new(settings)
        e:submit(id, 1e6)
        e:submit(id, 1e6, 60)
        e:next(1e6)
        assert.equal(1e6 + 60, (select(3, engine.run(e, id, engine.status(id, 404), 1e6))))
      end
    end)

    it("is waited for when its id does not say how old it is", function()
      for _, id in ipairs { "gen-1000000000", "gen-100000000-a", "gen-10000000000-a", "gen-1000o00000-a", "xen-1000000000-a",
        "gen_1000000000-a", "gen-1000000000_a", "abc" } do
        local seen = times(id, { epoch = 1790000000 }, 0)
        assert.equal(10, seen[#seen])
      end
    end)

    -- the least and the most delay after an attempt so many seconds after the id came, over many seeds
    local function delays_at(seconds, headers, kind)
      local least, most, seen = math.huge, 0, {}
      for seed = 1, 300 do
        local e = engine.asking(ID, { seed = seed * 7919, wait = 1e6, deadline = 2e6 }, 5000)
        local _, err, delay = e:answer(ID, kind or 404, headers, "", 5000 + seconds)
        assert.equal(seconds, err.elapsed)
        assert.is_nil(seen[delay])
        seen[delay], least, most = true, math.min(least, delay), math.max(most, delay)
      end
      return least, most
    end
    local function assert_between(from, to, least, most)
      assert.is_true(least >= from and least < from + 0.05 * (to - from), ("%g, not %g"):format(least, from))
      assert.is_true(most <= to and most > to - 0.05 * (to - from), ("%g, not %g"):format(most, to))
    end

    it("is asked for more seldom the longer it has waited, after its first minute", function()
      for _, case in ipairs { { 0, 0.2, 0.6 }, { 63.875, 0.2, 0.6 }, { 64, 14, 16 }, { 100, 21.875, 25 },
        { 1000, 218.75, 250 }, { 8000, 1750, 2000 }, { 14400, 3150, 3600 }, { 900000, 3150, 3600 } } do
        assert_between(case[2], case[3], delays_at(case[1]))
      end
      assert_between(0, 0.5, delays_at(1000, nil, 503)) -- other failures are not
    end)

    it("is asked for no earlier than that, and no earlier than the server says, after its first minute", function()
      assert_between(218.75, 250, delays_at(1000, { ["retry-after"] = "1" }))
      assert_between(7200.05, 7200.15, delays_at(1000, { ["retry-after"] = "7200" }))
    end)

    it("counts its minute from when its id came, not from its first attempt, nor from when it came again", function()
      local e = engine.new { wait = 1e4, deadline = 1e6 }
      e:submit(ID, 0, nil, nil, nil, 1000)
      e:submit(ID, 990)
      e:next(1000)
      local _, _, delay = e:answer(ID, 404, nil, "", 1000)
      assert.is_true(delay > 218 and delay <= 250)
    end)

    it("costs few requests however long the wait is, and the last of them is at its very end", function()
      for _, case in ipairs { { 60, 16, 31 }, { 64, 16, 31 }, { 80, 16, 35 }, { 600, 25, 46 }, { 3600, 32, 55 },
        { 86400, 58, 84 } } do
        for seed = 1, 100 do
          local seen = times(ID, { seed = seed, wait = case[1], deadline = 1e9 }, 0)
          assert.equal(case[1], seen[#seen])
          assert.is_true(#seen >= case[2] and #seen <= case[3], ("%d in %d s"):format(#seen, case[1]))
        end
      end
    end)

    it("may fail in between", function()
      local e = engine.asking(ID)
      local err, delays = engine.run(e, ID, function(_, now, attempt)
        return e:answer(ID, attempt % 2 == 0 and 500 or 404, nil, "", now)
      end)
      assert.equal("not_found", err.kind) -- the wait is over, a failing server would be asked on
      assert.is_true(#delays >= 3)
    end)
  end)
end)

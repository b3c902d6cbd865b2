local core = require "openrouter.core"
local generation = require "openrouter.generation"
local openrouter = require "openrouter"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local assert_without = require "spec.support.without"

local KEY = "sk-or-v1-0123456789abcdef"
local BACKOFF = 0.02 -- seconds, at most

local unpack = table.unpack or unpack -- luacheck: ignore 113 143

describe("client", function()
  local server
  setup(function() server = servers.hostile() end)
  teardown(function() server:stop() end)
  after_each(shell.clean)

  before_each(function()
    collectgarbage() -- clients that nobody closed
    collectgarbage()
    servers.wait_for(function() return server:is_over() end, 5)
    server:mark()
  end)

  -- Patient with a busy machine: where time running out is not what is expected, it should not run out.
  local function new(options)
    local all = { base_url = server.url, api_key = KEY, timeout = 20, deadline = 60, wait = 20,
      retry = { base = BACKOFF, factor = 1, cap = BACKOFF } }
    for name, value in pairs(options or {}) do all[name] = value end
    return assert(openrouter.client(all))
  end

  local function url(port, scheme)
    return ("%s://127.0.0.1:%d/api/v1"):format(scheme or "http", server.port[port])
  end

  -- How long the call takes, and what it returns. It must be over while a request that is answered after 30 seconds still waits:
  -- no other bound is put on measured time, for this machine may be busy.
  local function timed(call, ...)
    local other, seen = new { timeout = 100, deadline = 100 }, nil
    other:submit "slow.timed"
    servers.wait_for(function()
      other:poll(0)
      for _, event in ipairs((server:events())) do seen = seen or event.id == "slow.timed" end
      return seen
    end)
    local start = core.now()
    local a, b = call(...)
    local seconds = core.now() - start
    assert.is_nil((other:poll(0)()))
    other:close()
    return seconds, a, b
  end

  -- A client, and the list into which its events go.
  local function watched(options)
    local events = {}
    options = options or {}
    options.on_event = function(event)
      events[#events + 1] = event
      -- of when it was asked: the attempt that follows changes nothing in what was told
      event.after = event.err and event.err.elapsed + (event.delay or 0)
    end
    return new(options), events
  end

  -- Every attempt for this id but the last is followed by another one, none later than `seconds` after it was handed over: this
  -- is what was decided, so no slowness of ours changes it. Returns the number of attempts.
  local function assert_schedule(events, id, seconds)
    local attempts, last = 0, nil
    for _, event in ipairs(events) do
      if event.id == id then
        assert.is_truthy(not last or last.delay)
        attempts, last = attempts + 1, event
        assert.equal(attempts, event.attempt)
        assert.is_true(not event.delay or event.after <= seconds + 0.001)
      end
    end
    assert.is_nil(last.delay)
    return attempts
  end

  local function ids(name, count)
    local list = {}
    for i = 1, count do list[i] = name .. "." .. i end
    return list
  end

  -- what a loop over each or poll gives: id -> { gen =, err =, context =, order = }, and how many
  local function gather(...)
    local results, count = {}, 0
    for id, gen, err, context in ... do
      count = count + 1
      assert.is_nil(results[id])
      assert.is_true((gen == nil) ~= (err == nil))
      if gen then assert.equal(id, gen.id) else assert.equal(id, err.id) end
      results[id] = { gen = gen, err = err, context = context, order = count }
    end
    return results, count
  end

  local function assert_no_key(value) assert_without(KEY, value) end

  -- As many connections have asked since mark(), and all of them are closed, or will be any moment.
  local function assert_closed(number)
    assert.is_truthy(servers.wait_for(function()
      local asked, closed = {}, 0
      for _, event in ipairs((server:events())) do
        if event.what == "ask" then asked[event.connection] = true end
        if event.what == "close" and asked[event.connection] then closed = closed + 1 end
      end
      return closed == number
    end, 2))
  end

  it("sends loopback requests past any proxy", function()
    local script = shell.write(shell.directory() .. "/script.lua", ([[
local openrouter = require "openrouter"
      print((assert(openrouter.client { api_key = "%s", base_url = "%s" }):get "good.1"))
      print(openrouter.client { api_key = "%s", base_url = "http://192.0.2.1/api/v1" })
    ]]):format(KEY, server.url, KEY))
    local proxy = url "elsewhere"
    local status, out = shell.run(("http_proxy=%s HTTP_PROXY=%s all_proxy=%s %s %s")
      :format(proxy, proxy, proxy, os.getenv "LUA" or "lua5.4", script))
    assert.equal(0, status)
    assert.matches("^generation good.1\nnil\tbad_request: plain http://", out)
    assert.equal(0, server:count("accept", "elsewhere"))
    assert.equal(1, server:count("ask", "http"))
  end)

  describe("get", function()
    it("returns the record", function()
      local gen, err = new():get "good.1"
      assert.is_nil(err)
      assert.same({ "good.1", 0.0015 }, { gen.id, gen.total_cost })
    end)

    it("asks as it should", function()
      local heard = assert(new():get "heard.a:b/c~_-").heard
      assert.matches("^GET /api/v1/generation%?id=heard%.a%%3[Aa]b%%2[Ff]c~_%- HTTP/1%.1\r\n", heard)
      assert.matches("\r\nHost: 127.0.0.1:%d+\r\n", heard)
      assert.matches("\r\nUser%-Agent: lua%-openrouter", heard)
      assert.equal(1, select(2, heard:gsub("Authorization:", "")))
    end)

    it("does not ask for what is no id", function()
      local client = new()
      for _, id in ipairs { "", "a b", "a&b=c", "a\r\nX: y", ("x"):rep(129) } do
        local gen, err = client:get(id)
        assert.is_nil(gen)
        assert.same({ "bad_id", id }, { err.kind, err.id })
      end
      for _, id in ipairs { 5, true, {} } do
        assert.error_matches(function() client:get(id) end, "an id must be a string, not a ")
      end
      assert.error_matches(function() client:get() end, "an id must be a string, not a nil")
      assert.equal(0, server:count "ask")
    end)

    it("understands odd but good answers", function()
      local client = new()
      for _, id in ipairs { "chunked.1", "bytewise.1", "oldstyle.1", "hints.1", "excess.1", "good.1", "excess.2", "good.2" } do
        local gen, err = client:get(id)
        assert.is_nil(err)
        assert.equal(id, gen.id)
      end
    end)

    it("takes answers of max_body bytes", function()
      local client = new { max_body = 500, retry = false }
      assert.equal("exactly.500", client:get("exactly.500").id)
      local gen, err = client:get "exactly.501"
      assert.is_nil(gen)
      assert.same({ "too_large", false }, { err.kind, err.retryable })
      assert.equal("exactly.499", client:get("exactly.499").id)
      assert.equal("too_large", select(2, client:get "endless.1").kind)
    end)

    it("waits for a window that is full", function()
      local client = new { window = 2, concurrency = 2 }
      client:submit "nap.1"
      client:submit "nap.2"
      assert.equal("good.1", client:get("good.1").id)
      local results = gather(client:poll())
      assert.is_truthy(results["nap.1"] or results["nap.2"])
    end)
  end)

  describe("after", function()
    local client
    setup(function() client = new { retry = false } end)

    for id, kinds in pairs {
      close = "network", reset = "network", cut = "network", cutchunk = "network", badchunk = "network", cuthead = "network",
      hintcut = "network", garbage = "network", headless = "network",
      html = "bad_answer", empty = "bad_answer", nothing = "bad_answer", truncated = "bad_answer", gzip = "bad_answer",
      redirect = "bad_answer", ["status.204"] = "bad_answer", other = "wrong_id",
      huge = "too_large", endless = "too_large", flood = "too_large", hintflood = "too_large", longline = "too_large network",
      slow = "timeout", stalled = "timeout", drip = "timeout", ["status.408"] = "timeout",
      ["status.400"] = "bad_request", ["status.401"] = "auth", ["status.402"] = "payment", ["status.403"] = "forbidden",
      ["status.404"] = "not_found", ["status.418"] = "bad_request", ["status.429"] = "rate_limited", ["status.500"] = "server",
      ["status.503"] = "server", ["status.599"] = "server",
    } do
      it(("%s (%s) the next one works"):format(id, kinds), function()
        local never = kinds == "timeout" and not id:find "%d"
        local seconds, gen, err = timed(client.get, client, id, { deadline = never and 0.25 or 20 })
        assert.is_nil(gen)
        assert.is_truthy((" " .. kinds .. " "):find(" " .. err.kind .. " ", 1, true))
        assert.same({ id, 1 }, { err.id, err.attempts })
        assert.is_true(err.elapsed <= seconds)
        if never then assert.is_true(err.elapsed > 0.2) end
        assert.equal(tonumber(id:match "%d+") or id == "redirect" and 302 or nil, err.status)
        assert.is_nil(tostring(err):find "%c")
        assert_no_key(err)
        assert.equal("good.1", client:get("good.1").id)
        assert.equal(0, server:count("accept", "elsewhere")) -- where the redirect points
      end)
    end

    it("a connection that was closed meanwhile the next one works", function()
      assert.equal("oldstyle.1", client:get("oldstyle.1").id)
      assert.equal("good.1", client:get("good.1").id)
    end)
  end)

  describe("server that is not there", function()
    for _, port in ipairs { "closed", "slammed" } do
      it("is asked until the deadline: " .. port, function()
        local client, events = watched { base_url = url(port), deadline = 0.3 }
        local _, gen, err = timed(client.get, client, "good.1")
        assert.is_nil(gen)
        assert.equal("network", err.kind)
        assert.equal(assert_schedule(events, "good.1", 0.3), err.attempts)
        assert.is_true(err.elapsed > 0.2)
        assert_no_key(err)
      end)
    end

    it("gets the time it may take to connect", function()
      local client = new { base_url = url("silent", "https"), connect_timeout = 0.2, timeout = 60, retry = false }
      local seconds, _, err = timed(client.get, client, "good.1")
      assert.equal("timeout", err.kind)
      assert.is_true(seconds > 0.15)
    end)
  end)

  describe("TLS", function()
    local function kind_of(options)
      options.retry = false
      local client = new(options)
      local gen, err = client:get "good.1"
      if err then assert_no_key(err) end
      return gen and gen.id or err.kind
    end

    it("must be trusted", function()
      assert.equal("tls", kind_of { base_url = url("tls", "https") })
      assert.equal(0, server:count("ask", "tls"))
    end)

    it("is trusted by the file of certificates", function()
      assert.equal("good.1", kind_of { base_url = url("tls", "https"), ca_file = server.certificate })
    end)

    it("must be for this host", function()
      assert.equal("tls", kind_of { base_url = url("tls_wrong", "https"), ca_file = server.other_certificate })
      assert.equal("tls", kind_of { base_url = url("tls", "https"), ca_file = server.other_certificate })
      assert.equal("tls", kind_of { base_url = url("tls", "https"), ca_file = "/nonexistent" })
      assert.equal(0, server:count "ask")
    end)

    it("must be TLS", function()
      assert.equal("tls", kind_of { base_url = url("http", "https") })
      for _ = 1, 20 do -- before or after it has heard something
        assert.equal("network", kind_of { base_url = url("slammed", "https"), ca_file = server.certificate })
      end
      assert.equal("network", kind_of { base_url = url("closed", "https") })
    end)

    it("fails at once, not again and again", function()
      local client = new { base_url = url("tls", "https") }
      local _, err = client:get "good.1"
      assert.same({ "tls", 1, false }, { err.kind, err.attempts, err.retryable })
    end)

    it("keeps its connection", function()
      local client = new { base_url = url("tls", "https"), ca_file = server.certificate, concurrency = 2 }
      local _, count = gather(client:each(ids("good", 50)))
      assert.equal(50, count)
      assert.is_true(server:count("accept", "tls") <= 2)
    end)
  end)

  describe("asks again", function()
    it("when the server fails", function()
      assert.equal("flaky.503", new():get("flaky.503").id)
      assert.equal("flaky.529", new():get("flaky.529").id)
      assert.equal(6, server:count "ask")
    end)

    it("for a record that is not written yet", function()
      local client, events = watched()
      assert.equal("fresh.1", client:get("fresh.1").id)
      assert.equal(2, server:count "ask")
      local _, err = client:get("fresh.2", { wait = 0 })
      assert.same({ "not_found", 1 }, { err.kind, err.attempts })
      local seconds
      seconds, _, err = timed(client.get, client, "status.404.1", { wait = 0.4 })
      assert.equal("not_found", err.kind)
      assert.is_true(seconds >= 0.4)
      assert.equal(assert_schedule(events, "status.404.1", 0.4), err.attempts)
    end)

    it("a long time where the wait is long", function()
      local client, events = watched { deadline = 0.1 }
      local seconds, _, err = timed(client.get, client, "status.404.2", { wait = 0.3 })
      assert.equal("not_found", err.kind) -- and not "timeout"
      assert.is_true(seconds >= 0.3)
      assert_schedule(events, "status.404.2", 0.3)
    end)

    it("no longer than the deadline where no wait needs more", function()
      for id, ask in pairs {
        ["good.1"] = function(client) return client:get("good.1", { wait = 0 }) end,
        ["good.2"] = function(client) return client:content("good.2", { wait = 0.1 }) end,
        ["2026-11-01"] = function(client) return client:activity "2026-11-01" end,
        ["query-1"] = function(client) return client:analytics "{}" end,
      } do
        local client, events = watched { base_url = url "closed", deadline = 0.3, timeout = 1 }
        local answer, err = ask(client)
        assert.same({ nil, "network" }, { answer, err.kind })
        assert_schedule(events, id, 0.1 + 0.3)
      end
    end)

    it("when the server wants it to", function()
      -- what is added to it spreads those who were asked the same
      for id, least in pairs { ["again.Retry-After.1"] = 1, ["again.retry-after-ms.300"] = 0.3,
        ["again.Retry-After.soon"] = 0 } do
        local client, events = watched()
        local seconds, gen, err = timed(client.get, client, id)
        assert.same({ id, nil }, { gen and gen.id, err })
        assert.is_true(seconds >= least)
        assert.same({ 429, "rate_limited", 200, "settled" },
          { events[1].status, events[1].kind, events[2].status, events[2].kind })
        assert.is_true(events[1].delay >= least and events[1].delay <= least + BACKOFF)
      end
      local client, events = watched()
      assert.equal("dated.1", client:get("dated.1").id)
      -- The answer names the full second that is one to two seconds away when the server writes it.
      assert.is_true(events[1].after >= 0.99 and events[1].delay <= 2 + BACKOFF)
    end)

    it("together with all others when the server has too many of them", function()
      local told, answered = nil, {}
      local client = new { concurrency = 1, on_event = function(event)
        if event.kind == "rate_limited" then told = core.now() else answered[event.id] = core.now() end
      end }
      local _, count = gather(client:each { "again.Retry-After.0.4", "good.1", "good.2" })
      assert.equal(3, count)
      assert.is_true(answered["good.1"] - told >= 0.39 and answered["good.2"] - told >= 0.39)
    end)

    it("not beyond the deadline", function()
      local client, events = watched { deadline = 0.4, timeout = 0.1 }
      local _, _, err = timed(client.get, client, "slow.1")
      assert.equal("timeout", err.kind)
      assert.is_true(err.elapsed > 0.2)
      assert.equal(assert_schedule(events, "slow.1", 0.4), err.attempts)
      _, _, err = timed(client.get, client, "status.503.1")
      assert.equal("server", err.kind)
      assert.is_true(err.elapsed > 0.3)
      assert.equal(assert_schedule(events, "status.503.1", 0.4), err.attempts)
      client = new { timeout = 60 }
      _, _, err = timed(client.get, client, "slow.2", { deadline = 0.1 })
      assert.same({ "timeout", 1 }, { err.kind, err.attempts })
      client, events = watched { deadline = 6 }
      _, _, err = timed(client.get, client, "again.Retry-After.7")
      assert.same({ "rate_limited", 429, 1 }, { err.kind, err.status, err.attempts })
      assert.is_nil(events[1].delay)
      -- and nobody else may ask before that either
      _, _, err = timed(client.get, client, "good.1")
      assert.same({ "rate_limited", 0 }, { err.kind, err.attempts })
      assert.equal(1, #events)
    end)

    it("not at all without retrying", function()
      local _, err = new { retry = false }:get "flaky.506"
      assert.same({ "server", 1 }, { err.kind, err.attempts })
      assert.equal(1, server:count "ask")
    end)
  end)

  describe("each", function()
    it("gives every id of an array once, as they complete", function()
      local list = ids("good", 200)
      table.insert(list, 1, "nap.1")
      local results, count = gather(new():each(list))
      assert.equal(201, count)
      assert.is_true(results["nap.1"].order > 1)
    end)

    it("lets its source use the client", function()
      local client, n = new { window = 4, concurrency = 2 }, 0
      local _, count = gather(client:each(function()
        n = n + 1
        for i = 1, 4 do client:submit(("good.submitted-%d-%d"):format(n, i)) end -- as many as there is room for
        return n <= 6 and "good.given-" .. n or nil
      end))
      assert.equal(6, count)
      for _, _, err in client:poll() do assert.is_nil(err) end
      client:close()
    end)

    it("takes an iterator, with context", function()
      local i, context = 0, {}
      local results, count = gather(new():each(function()
        i = i + 1
        if i <= 50 then return "good." .. i, i % 2 == 0 and context or i end
      end))
      assert.equal(50, count)
      assert.equal(context, results["good.2"].context)
      assert.equal(3, results["good.3"].context)
      assert.equal(51, i) -- not called again after its end
    end)

    it("takes an iterator in three parts", function()
      local results, count = gather(new():each(pairs { ["good.1"] = "a", ["good.2"] = "b", ["a b"] = "c" }))
      assert.equal(3, count)
      assert.same({ "a", "b", "c", "bad_id" },
        { results["good.1"].context, results["good.2"].context, results["a b"].context, results["a b"].err.kind })
    end)

    it("ends at once without ids", function()
      local _, results = timed(gather, new():each {})
      assert.same({}, results)
    end)

    it("asks while its source is still at work", function()
      local client, given = new { concurrency = 4 }, 0
      local function source()
        given = given + 1
        -- long before a whole window of 1,024 is full
        if given == 300 then assert.is_true(servers.wait_for(function() return server:count "ask" > 0 end, 5)) end
        return given <= 400 and "good.slow-source." .. given or nil
      end
      local _, count = gather(client:each(source))
      assert.equal(400, count)
      client:close()
    end)

    it("gives a result for each time an id is given", function()
      local seen = {}
      for id, gen, _, context in new():each(function(_, last)
        local n = last and tonumber((last:match "%d+")) or 0
        if n < 9 then return "good." .. n + 1, n end
      end) do
        seen[id] = context
        assert.equal(id, gen.id)
      end
      assert.equal(8, seen["good.9"])
      local contexts, i = {}, 0
      for id, _, _, context in new():each(function()
        i = i + 1
        if i <= 5 then return "good.1", i end
      end) do
        assert.equal("good.1", id)
        contexts[context] = true
      end
      assert.same({ true, true, true, true, true }, contexts)
    end)

    it("takes no more of an endless input than the window", function()
      local client, taken, given = new { window = 20, concurrency = 4 }, 0, 0
      for _, gen in client:each(function()
        taken = taken + 1
        return "good." .. taken
      end) do
        assert.is_truthy(gen)
        given = given + 1
        assert.is_true(taken - given <= 20)
        if given == 300 then break end
      end
      taken, given = 0, 0
      for _, gen in client:each(function()
        taken = taken + 1
        return "good.same"
      end) do
        assert.is_truthy(gen)
        given = given + 1
        assert.is_true(taken - given <= 20)
        if given == 100 then break end
      end
    end)

    it("keeps to the concurrency, and to its connections", function()
      local _, count = gather(new { concurrency = 4 }:each(ids("held", 24)))
      assert.equal(24, count)
      assert.equal(4, server:most_at_once())
      assert.equal(4, server:count "accept")
      assert.equal(24, server:count "ask")
    end)

    it("holds no connection for an id that waits", function()
      local results = gather(new { concurrency = 1 }:each { "flaky.508", "good.1", "good.2" })
      assert.equal(3, results["flaky.508"].order)
    end)

    it("goes on after any error", function()
      local list = { "close.1", "good.1", "html.1", "a b", "other.1", "status.403.1", "status.400.2", "good.2", "cut.1", "" }
      local results, count = gather(new { retry = false }:each(list))
      assert.equal(#list, count)
      local kinds = {}
      for i, id in ipairs(list) do kinds[i] = results[id].err and results[id].err.kind or "good" end
      assert.same({ "network", "good", "bad_answer", "bad_id", "wrong_id", "forbidden", "bad_request", "good", "network",
        "bad_id" }, kinds)
    end)

    it("stops at a key that is no good", function()
      for status, kind in pairs { [401] = "auth", [402] = "payment" } do
        server:mark()
        local list = ids("good", 50)
        table.insert(list, 3, "status." .. status)
        local client = new { concurrency = 1, window = 10 }
        local results, count = gather(client:each(list))
        assert.equal(51, count)
        assert.equal(3, server:count "ask")
        for id, result in pairs(results) do
          if id == "status." .. status then
            assert.equal(kind, result.err.kind)
          elseif id == "good.1" or id == "good.2" then
            assert.is_truthy(result.gen)
          else
            assert.equal("unresolved", result.err.kind)
            assert.is_true(result.err.retryable)
          end
        end
        assert.equal("good.1", client:get("good.1").id) -- perhaps it is better now
      end
    end)

    it("stops where another call finds that the key is no good", function()
      local for_ages = { base = 1e9, factor = 1, cap = 1e9 }
      local client, list = new { window = 10, deadline = 1e11, retry = for_ages }, ids("good", 50)
      for i = 2, 10 do list[i] = "status.503." .. i end
      local unresolved, first = 0, true
      for _, _, err in client:each(list) do
        if err then
          assert.equal("unresolved", err.kind)
          unresolved = unresolved + 1
        end
        if first then
          assert.equal("nap.1", client:get("nap.1").id) -- until the others have been told to come again
          assert.equal("auth", select(2, client:get "status.401.other").kind)
        end
        first = false
      end
      assert.equal(49, unresolved)
      assert.equal(12, server:count "ask")
    end)

    describe("that is left", function()
      -- luacheck: ignore 512 (a loop that is executed once is what this is about)
      -- The language tells at once that a loop is over, or the collector does when nobody can go on with it.
      local tells = _VERSION == "Lua 5.4"
      local function collect(always)
        if always or not tells then
          collectgarbage()
          collectgarbage()
        end
      end

      local function leave_by_break(...)
        for _ in ... do break end
      end

      local ways = {
        ["break"] = leave_by_break,
        ["return"] = function(...)
          for id in ... do return id end
        end,
        ["an error"] = function(...)
          local loop = { ... }
          assert.error_matches(function()
            for _ in loop[1], loop[2], loop[3], loop[4] do error "mine" end
          end, "mine")
        end,
        ["a coroutine that nobody resumes"] = function(...)
          local go_on = coroutine.wrap(function(...)
            for id in ... do coroutine.yield(id) end
          end)
          assert.is_string(go_on(...))
          return "later"
        end,
        ["an iterator that nobody calls"] = function(iterate)
          assert.is_string((iterate()))
          return "later"
        end,
      }

      for way, leave in pairs(ways) do
        it("by " .. way .. " wants nothing any more", function()
          local client, list = new { concurrency = 4, timeout = 60 }, ids("slow", 20)
          table.insert(list, 1, "good.0")
          if tells then collectgarbage "stop" end
          local function loop(iterate, ...)
            return function()
              local id = iterate()
              servers.wait_for(function() return server:count "ask" >= 4 end)
              return id
            end, ...
          end
          local later = leave(loop(client:each(list))) == "later"
          collectgarbage "restart"
          collect(later)
          assert.is_nil((client:poll(0)()))
          local stats = client:stats()
          assert.same({ 0, 0 }, { stats.open, stats.on_wire })
          local asked = {}
          for _, event in ipairs((server:events())) do
            if event.what == "ask" and event.id:find "^slow" then asked[event.connection] = true end
          end
          assert.is_truthy(next(asked))
          servers.wait_for(function() -- as the server sees it
            for _, event in ipairs((server:events())) do
              if event.what == "close" then asked[event.connection] = nil end
            end
            return not next(asked)
          end)
          assert.is_nil(next(asked))
          local _, gen = timed(client.get, client, "good.1") -- there is a slot for it
          assert.equal("good.1", gen.id)
          local _, count = gather(client:each(ids("good", 50)))
          assert.equal(50, count)
        end)
      end

      it("makes room in the window", function()
        for what, call in pairs {
          submit = function(client)
            assert.is_true(client:submit "good.1")
            return gather(client:poll())["good.1"].gen
          end,
          get = function(client) return client:get "good.1" end,
          each = function(client) return select(2, client:each { "good.1" }()) end,
        } do
          local client = new { window = 10, concurrency = 10, timeout = 60, connect_timeout = 60 }
          assert.is_true(client:submit "slow.other") -- or waiting without a reason would have no end
          client:get "nap.1" -- long enough for libcurl to have no timers of its own left
          for _ in client:each { "nap.0", unpack(ids("slow", 8)) } do
            assert.is_true(client:submit "slow.more" and not client:submit "slow.most")
            break
          end
          collect()
          local _, gen = timed(call, client)
          assert.same({ what, "good.1" }, { what, gen and gen.id })
          assert.is_nil((client:poll(0)())) -- it did not wait for that one
          client:close()
        end
      end)

      it("takes nothing from others", function()
        local client = new { concurrency = 8, timeout = 60 }
        for i = 1, 4 do client:submit("held." .. i, "submitted") end
        local outer, inner = 0, 0
        for _ in client:each { "held.5", "held.6", "held.7", "held.1" } do
          outer = outer + 1
          -- all of what others want is wanted here as well
          for _ in client:each { "good.1", "held.1", "held.2", "held.5", "held.6", "held.7", "slow.1" } do
            inner = inner + 1
            break
          end
          collect()
          assert.equal("good.2", client:get("good.2").id)
        end
        assert.same({ 4, 4 }, { outer, inner })
        local polled = 0
        while polled < 4 do
          for id, gen, _, context in client:poll() do
            assert.same({ id, "submitted" }, { gen.id, context })
            polled = polled + 1
          end
        end
        assert.equal(0, client:stats().open)
      end)

      it("leaves an id to who else wants it", function()
        for _, first in ipairs { "loop", "submit" } do
          local client = new { timeout = 60 }
          if first == "submit" then assert.is_true(client:submit("nap.1", "mine")) end
          for _ in client:each { "good.1", "nap.1", "slow.1", "nap.1" } do
            if first == "loop" then assert.is_true(client:submit("nap.1", "mine")) end
            break
          end
          collect()
          local _, results = timed(function() return gather(client:poll()) end)
          assert.same({ "nap.1", "mine" }, { results["nap.1"].gen.id, results["nap.1"].context })
          local stats = client:stats()
          assert.same({ 0, 2 }, { stats.open, stats.settled })
        end
      end)

      it("is not the last one to want an id, or is it", function()
        for _, order in ipairs { { 1, 2 }, { 2, 1 } } do
          local client, loops = new { concurrency = 8, timeout = 60 }, {}
          for i = 1, 2 do
            loops[i] = coroutine.wrap(function()
              for id in client:each { "good." .. i, "slow.1", "slow." .. i + 1 } do coroutine.yield(id) end
            end)
            assert.equal("good." .. i, loops[i]())
          end
          for _, i in ipairs(order) do
            loops[i] = nil
            collect(true)
            client:poll(0)
          end
          local stats = client:stats()
          assert.same({ 0, 0, 0 }, { stats.open, stats.on_wire, client.accepted })
        end
      end)

      it("can be started again, any number of times", function()
        local client = new { concurrency = 4, window = 50 }
        for _ = 1, 100 do leave_by_break(client:each(ids("held", 30))) end
        collect()
        local _, count = gather(client:each(ids("good", 20)))
        assert.equal(20, count)
        assert.equal(0, client:stats().open)
      end)

      it("by an error of its source goes on when it is called again", function()
        local client = new()
        assert.error_matches(function()
          for _ in client:each(function() error "source" end) do error "never" end
        end, "source")
        assert.equal("good.1", client:get("good.1").id)
      end)

      it("after its end costs nobody anything", function()
        local client = new()
        client:submit "nap.1"
        for _ = 1, 3 do gather(client:each { "good.1", "good.2" }) end
        collect(true)
        assert.is_truthy(gather(client:poll())["nap.1"].gen)
      end)
    end)

    it("goes on after an error of the source", function()
      local i = 0
      local nextone = new():each(function()
        i = i + 1
        if i == 2 then error "source" end
        return i == 3 and 7 or ({ "good.1", nil, nil, "good.4" })[i]
      end)
      assert.error_matches(nextone, "source")
      assert.error_matches(nextone, "an id must be a string")
      local seen = { (nextone()), (nextone()) }
      table.sort(seen)
      assert.same({ "good.1", "good.4" }, seen)
      assert.is_nil((nextone()))
      assert.is_nil((nextone()))
    end)

    it("wants an array or an iterator", function()
      for _, wrong in ipairs { "gen-1", 5, true } do
        assert.error_matches(function() new():each(wrong) end, "ids must be an array or an iterator")
      end
      assert.has_error(function() new():each() end)
      for stray, wrong in pairs { a = { a = "gen-1" }, ["3"] = { "gen-1", nil, "gen-3" }, ["2"] = { nil, "gen-2" } } do
        local _, raised = pcall(function() for _ in new():each(wrong) do error "an id" end end)
        assert.equal(("each: ids must be a list without gaps, and has '%s'"):format(stray),
          (raised:match "client_spec.lua:%d+: (.*)$"), raised)
      end
    end)

    it("takes whatever can be called as an iterator", function()
      local i = 0
      local source = setmetatable({}, { __call = function(_, state)
        i = i + 1
        if i <= state then return "good." .. i, i end
      end })
      local results, count = gather(new():each(source, 2))
      assert.same({ 2, 1, 2 }, { count, results["good.1"].context, results["good.2"].context })
    end)
  end)

  describe("submit and poll", function()
    it("hand over and give back", function()
      local client, context = new(), {}
      assert.is_true(client:submit("good.1", context))
      assert.is_true(client:submit "good.2")
      local results, rest = {}, 2
      while rest > 0 do
        for id, gen, err, back in client:poll() do
          assert.is_nil(err)
          results[id] = { gen.id, back }
          rest = rest - 1
        end
      end
      assert.same({ ["good.1"] = { "good.1", context }, ["good.2"] = { "good.2" } }, results)
      assert.equal(context, results["good.1"][2])
    end)

    it("wait as long as they are told", function()
      local client = new { timeout = 60 }
      local function poll(...)
        local seconds, results = timed(function(...) return gather(client:poll(...)) end, ...)
        return results, seconds
      end
      client:submit "slow.1"
      local results = poll(0)
      assert.same({}, results)
      assert.same({}, (poll(-1))) -- as what is left until a time that is past
      local seconds
      results, seconds = poll(0.1)
      assert.same({}, results)
      assert.is_true(seconds >= 0.1)
      client:submit "nap.1"
      results = poll(60) -- until the first one
      assert.is_truthy(results["nap.1"])
      client = new()
      results = poll() -- nothing to wait for
      assert.same({}, results)
      results = poll(60)
      assert.same({}, results)
    end)

    it("get on without ever waiting", function()
      local client, calls = new(), 0
      client:submit "flaky.521"
      local gen
      servers.wait_for(function()
        calls = calls + 1
        for _, record in client:poll(0) do gen = record end
        return gen
      end)
      assert.equal("flaky.521", gen.id)
      assert.is_true(calls > 1)
    end)

    it("wait for the first result only", function()
      local client = new()
      client:submit "nap.1"
      client:submit "good.1"
      local results, count = gather(client:poll())
      assert.same({ 1, true }, { count, results["good.1"] ~= nil })
    end)

    it("do not wait for the ids of others", function()
      local client = new { timeout = 60 }
      local rest = client:each { "good.1", "slow.1" }
      assert.equal("good.1", (rest()))
      assert.equal("nap.1", client:get("nap.1").id) -- long enough for libcurl to have no timers of its own left
      local _, results = timed(function() return gather(client:poll()) end)
      assert.same({}, results)
      client:close()
      assert.equal("slow.1", (rest()))
    end)

    it("refuse what the window does not hold", function()
      local client = new { window = 2 }
      assert.is_true(client:submit "nap.1")
      assert.is_true(client:submit "nap.2")
      for _, id in ipairs { "nap.3", "nap.1" } do
        local ok, err = client:submit(id)
        assert.is_nil(ok)
        assert.same({ "full", id, true }, { err.kind, err.id, err.retryable })
      end
      gather(client:poll())
      assert.is_true(client:submit "good.1")
    end)

    it("refuse what is no id", function()
      local ok, err = new():submit "a b"
      assert.is_nil(ok)
      assert.equal("bad_id", err.kind)
      for _, wrong in ipairs { 5, true, {} } do
        assert.error_matches(function() new():submit(wrong) end, "an id must be a string")
      end
      for _, wrong in ipairs { "x", {}, 0 / 0, false } do
        assert.error_matches(function() new():poll(wrong) end, "number of seconds")
      end
    end)

    it("answer an id for everyone who gave it", function()
      local client = new()
      client:submit("held.1", "a")
      client:submit("held.1", "b")
      local contexts = {}
      while not (contexts.a and contexts.b) do
        for id, gen, _, context in client:poll() do
          assert.same({ "held.1", "held.1" }, { id, gen.id })
          contexts[context] = true
        end
      end
      assert.equal(1, server:count "ask")
    end)
  end)

  it("gives get, each and poll their own results alone", function()
    local client = new { concurrency = 3 }
    for i = 1, 20 do assert(client:submit("held." .. i, "submitted")) end
    local outer, polled = 0, {}
    for id, gen, err, context in client:each(pairs { ["held.1"] = 1, ["held.31"] = 1, ["good.32"] = 1, ["status.403"] = 1 }) do
      outer = outer + 1
      assert.equal(1, context)
      assert.is_true((err and err.id or gen.id) == id)
      assert.equal("held.2", client:get("held.2").id) -- somebody else waits for that one too
      local _, inner = gather(client:each { "held.1", "held.40", "good.41" })
      assert.equal(3, inner)
      for other, record, _, what in client:poll(0) do
        assert.same({ other, "submitted" }, { record.id, what })
        assert.is_nil(polled[other])
        polled[other] = true
      end
    end
    assert.equal(4, outer)
    local function missing()
      for i = 1, 20 do
        if not polled["held." .. i] then return true end
      end
    end
    while missing() do
      for other in client:poll(1) do
        assert.is_nil(polled[other])
        polled[other] = true
      end
    end
    assert.is_nil((client:poll(0)()))
  end)

  describe("close", function()
    it("ends what a loop wanted that was left, and somebody else still wants", function()
      local client = new { concurrency = 4, timeout = 60 }
      do
        local one = client:each { "good.1", "slow.1" }
        assert.equal("good.1", (one()))
        client:submit("slow.1", "mine")
      end
      collectgarbage()
      collectgarbage()
      client:poll(0)
      client:close()
      local results, count = gather(client:poll())
      assert.same({ 1, "closed", "mine" }, { count, results["slow.1"].err.kind, results["slow.1"].context })
      local stats = client:stats()
      assert.same({ 0, 0 }, { stats.open, stats.on_wire })
    end)

    it("ends what is under way", function()
      local client = new { concurrency = 2 }
      for i = 1, 5 do client:submit("slow." .. i, i) end
      gather(client:poll(0.05))
      client:close()
      local results, count = gather(client:poll())
      assert.equal(5, count)
      for i = 1, 5 do
        local result = results["slow." .. i]
        assert.same({ i, "closed", false }, { result.context, result.err.kind, result.err.retryable })
      end
      assert_closed(2)
    end)

    it("inside each ends the rest", function()
      local client, kinds = new { concurrency = 2 }, {}
      for _, gen, err in client:each(ids("held", 20)) do
        local kind = gen and "good" or err.kind
        kinds[kind] = (kinds[kind] or 0) + 1
        client:close()
      end
      assert.equal(20, (kinds.good or 0) + kinds.closed)
      assert.is_true(kinds.good <= 2)
    end)

    it("leaves nothing to do", function()
      local client = new()
      client:close()
      client:close()
      for _, call in ipairs { client.get, client.submit } do
        local ok, err = call(client, "good.1")
        assert.is_nil(ok)
        assert.same({ "closed", "good.1" }, { err.kind, err.id })
      end
      local results, count = gather(client:each { "good.1", "good.2" })
      assert.same({ 2, "closed" }, { count, results["good.2"].err.kind })
      assert.is_nil((client:poll()()))
      assert.is_nil((client:poll(0)()))
      assert.equal(0, server:count "ask")
    end)
  end)

  it("shares no connection with what the program starts", function()
    local client = new()
    assert.equal("good.1", client:get("good.1").id)
    local child = io.popen("cat", "w")
    client:close()
    assert_closed(1)
    child:close()
  end)

  it("may be garbage while it is busy", function()
    do
      local client = new { concurrency = 3 }
      for i = 1, 10 do client:submit("slow." .. i) end
      gather(client:poll(0.1))
    end
    collectgarbage()
    collectgarbage()
    assert_closed(3)
  end)

  it("can be many", function()
    for i = 1, 100 do assert.equal("good." .. i, new():get("good." .. i).id) end
    collectgarbage()
    collectgarbage()
    assert_closed(100)
  end)

  it("lets nobody see the key in an error, whatever the server says", function()
    local client, events = watched()
    local _, err = client:get "echo.1"
    assert.equal("bad_request", err.kind)
    assert.matches("bad header: Bearer %(the key%)", err.message)
    assert.equal("Bearer (the key)", err.code)
    assert.same({ "Bearer (the key)" }, err.metadata.sent)
    assert.equal(1, err.metadata["Bearer (the key)"])
    assert_no_key(err)
    _, err = client:get(KEY, { wait = 0.2 })
    assert.equal("(the key)", err.id)
    assert_no_key(err)
    assert.is_true(#events > 2)
    for _, event in ipairs(events) do assert_no_key(event.err) end
  end)

  describe("on_event", function()
    -- what is told of an id, without the figures
    local function told(events, id)
      local list = {}
      for _, event in ipairs(events) do
        if event.id == id then
          list[#list + 1] = { event.attempt, event.kind, event.status, event.delay and "again" or "over", event.reused }
        end
      end
      return list
    end

    it("is told every attempt", function()
      local client, events = watched { concurrency = 1, wait = 0 }
      local list = { "flaky.507", "good.1", "status.403", "close.1", "status.404", "good.2", "other", "nap.1", "a b" }
      local results, count = {}, 0
      for _, id in ipairs(list) do
        local gen, err = client:get(id, { deadline = id == "close.1" and 0.2 or nil })
        results[id], count = { gen = gen, err = err }, count + 1
      end
      assert.equal(#list, count)
      assert.same({ { 1, "server", 507, "again", false }, { 2, "server", 507, "again", true },
        { 3, "settled", 200, "over", true } }, told(events, "flaky.507"))
      assert.same({ { 1, "settled", 200, "over", true } }, told(events, "good.1"))
      assert.same({ { 1, "forbidden", 403, "over", true } }, told(events, "status.403"))
      assert.same({ { 1, "not_found", 404, "over", false } }, told(events, "status.404"))
      assert.same({ { 1, "settled", 200, "over", true } }, told(events, "good.2"))
      local stolen = { 1, "wrong_id", 200, "again", true }
      assert.same({ stolen, { 2, select(2, unpack(stolen)) }, { 3, "wrong_id", 200, "over", true } }, told(events, "other"))
      assert.same({}, told(events, "a b"))
      local closed = told(events, "close.1")
      for i, event in ipairs(closed) do
        -- no answer, no status
        assert.same({ i, "network", nil, i < #closed and "again" or "over", false },
          { event[1], event[2], event[3], event[4], event[5] })
      end
      assert.equal(results["close.1"].err.attempts, #closed)
      for _, event in ipairs(events) do
        assert.equal(event.kind == "settled", event.err == nil)
        if event.err then
          assert.same({ event.id, event.kind, event.attempt }, { event.err.id, event.err.kind, event.err.attempts })
        end
        assert.is_true(event.seconds >= 0 and (event.delay or 0) >= 0)
        if event.id == "nap.1" then assert.is_true(event.seconds >= 0.24) end
        if not event.delay and event.err then assert.equal(results[event.id].err, event.err) end
      end
      assert.equal(0, client:stats().event_errors)
    end)

    it("is told of those that time out, and of those whom nobody listens to", function()
      local client, events = watched { timeout = 0.1, retry = false }
      client:get "slow.1"
      assert.same({ { 1, "timeout", nil, "over", false } }, told(events, "slow.1"))
      assert.is_true(events[1].seconds > 0.05)
      client, events = watched { base_url = url "closed", retry = false }
      client:get "good.1"
      assert.equal("network", events[1].kind)
    end)

    it("is told of as many attempts as there are requests", function()
      local client, events = watched { concurrency = 8 }
      local list = ids("good", 100)
      for i = 1, 40 do list[#list + 1] = ("flaky.%d"):format(540 + i) end
      for id, gen, err in client:each(list) do
        assert.is_nil(err)
        assert.equal(id, gen.id)
      end
      assert.equal(220, #events)
      assert.equal(220, server:count "ask")
      local attempts = {}
      for _, event in ipairs(events) do
        assert.equal((attempts[event.id] or 0) + 1, event.attempt)
        attempts[event.id] = event.attempt
      end
    end)

    it("hears no more than it gets results when nothing was asked", function()
      local client, events = watched { concurrency = 1 }
      local _, count = gather(client:each { "status.401", "good.1", "good.2", "good.3" })
      assert.equal(4, count)
      assert.equal(1, #events)
    end)

    it("may fail in any way without harm", function()
      local unprintable = setmetatable({}, { __tostring = function() error "again" end, __name = 5 })
      for _, case in ipairs {
        { "client_spec.lua:%d+: mine$", function() error "mine" end },
        { "^a table$", function() error(unprintable) end },
        { "^a nil$", function() error() end },
        { "attempt to ", function(event) return event.id.x.y end },
        { "must not yield", function() coroutine.yield() end },
        { "must not yield", function() coroutine.yield(unprintable, unprintable) end },
        { "stack overflow", function() local function f() return 1 + f() end f() end },
        { "^a userdata$", function() error(io.stdout) end },
      } do
        local client = new { concurrency = 2, on_event = case[2] }
        local _, count = gather(client:each { "good.1", "flaky.511", "good.2", "status.401", "good.3" })
        assert.equal(5, count)
        assert.equal("good.4", client:get("good.4").id)
        client:submit "good.5"
        assert.is_truthy(gather(client:poll())["good.5"].gen)
        local stats = client:stats()
        assert.equal(stats.attempts, stats.event_errors)
        assert.matches(case[1], stats.event_error)
      end
    end)

    it("lets Ctrl-C through, which LuaJIT's command tells as an error", function()
      local interrupted = true
      local client = new { on_event = function()
        if interrupted then error("interrupted!", 0) end
      end }
      client:submit "nap.1"
      assert.error_matches(function() client:get "good.1" end, "^interrupted!$")
      interrupted = false
      assert.equal("good.2", client:get("good.2").id)
      assert.is_truthy(gather(client:poll())["nap.1"].gen)
    end)

    it("may get, submit, poll and loop", function()
      local client, got = nil, {}
      client = new { concurrency = 2, on_event = function(event)
        if not event.id:find "^flaky" then return end
        local id = client:get("good." .. #got).id -- meanwhile there may be another event, on a slow machine
        got[#got + 1] = id
        assert(client:submit("good.submitted." .. #got))
        for held in client:each { "held.1", "held.2" } do got[held] = true end
        for polled in client:poll(0) do got[polled] = true end
      end }
      assert.equal("flaky.512", client:get("flaky.512").id)
      repeat
        local before = client:stats().open
        for id in client:poll() do got[id] = true end
      until before == 0
      local stats = client:stats()
      assert.same({ 3, true, true, 0, nil, 0 },
        { #got, got["held.1"], got["held.2"], stats.event_errors, stats.event_error, stats.open })
    end)

    it("may ask again for what it is told of", function()
      local client, asked = nil, 0
      client = new { on_event = function(event)
        if event.attempt == 1 and asked == 0 then
          asked = asked + 1
          assert(client:get("flaky.513").id == "flaky.513")
        end
      end }
      assert.equal("flaky.513", client:get("flaky.513").id)
      local stats = client:stats()
      assert.same({ 1, 0, 3 }, { asked, stats.event_errors, stats.attempts })
    end)

    it("may cancel what it is told of", function()
      local client
      client = new { on_event = function(event) client:cancel(event.id) end }
      local _, err = client:get "status.503"
      assert.same({ "cancelled", 1 }, { err.kind, err.attempts })
      assert.equal("good.1", client:get("good.1").id) -- too late
      local results, count = gather(client:each { "status.503.1", "good.2", "flaky.514" })
      assert.same({ 3, "cancelled", "cancelled" },
        { count, results["status.503.1"].err.kind, results["flaky.514"].err.kind })
      assert.equal(0, client:stats().event_errors)
    end)

    it("may close the client", function()
      for _, id in ipairs { "flaky.515", "good.1" } do
        local client
        client = new { concurrency = 2, on_event = function() client:close() end }
        client:submit "slow.1"
        local gen, err = client:get(id)
        if id == "good.1" then assert.equal(id, gen.id) else assert.equal("closed", err.kind) end
        assert.equal("closed", gather(client:poll())["slow.1"].err.kind)

        client = new { concurrency = 2, on_event = function() client:close() end }
        local results, count = gather(client:each { id, "slow.1", "slow.2", "slow.3" })
        assert.same({ 4, "closed" }, { count, results["slow.3"].err.kind })
      end
    end)

    it("may be garbage's business", function()
      local client = new { on_event = function()
        collectgarbage()
        collectgarbage()
      end }
      local _, count = gather(client:each(ids("good", 30)))
      assert.equal(30, count)
    end)
  end)

  describe("stats", function()
    it("start from nothing", function()
      local stats = new { concurrency = 7 }:stats()
      assert.same({ attempts = 0, settled = 0, failed = 0, retried = 0, open = 0, on_wire = 0, limit = 7, kinds = {},
        latency = { count = 0 }, connections = 0, event_errors = 0 }, stats)
    end)

    it("add up", function()
      local client = new { concurrency = 3, wait = 0, retry = { base = 0, factor = 1, cap = 0 } }
      local list = ids("good", 20)
      for i = 1, 10 do list[#list + 1] = ("flaky.%d"):format(580 + i) end
      for _, id in ipairs { "status.403", "status.404", "other", "html", "status.400", "a b" } do list[#list + 1] = id end
      for _ in client:each(list) do
        local stats = client:stats()
        assert.is_true(stats.on_wire <= 3 and stats.on_wire <= stats.open)
        assert.is_true(stats.attempts <= stats.settled + stats.failed + stats.retried) -- failed without being asked
      end
      local stats = client:stats()
      assert.same({ settled = 30, server = 20, forbidden = 1, not_found = 1, wrong_id = 3, bad_answer = 3, bad_request = 1 },
        stats.kinds)
      assert.same({ 59, 30, 5, 24, 0, 0, 3 },
        { stats.attempts, stats.settled, stats.failed, stats.retried, stats.open, stats.on_wire, stats.limit })
      assert.same({ server:count "accept", server:count "ask" }, { stats.connections, stats.attempts })
      assert.is_true(stats.connections <= 3)
      local latency, sum, last = stats.latency, 0, 0
      assert.equal(59, latency.count)
      assert.is_true(0 < latency.p50 and latency.p50 <= latency.p90 and latency.p90 <= latency.p95 and latency.p95 <= latency.p99)
      for _, octave in ipairs(latency) do
        assert.is_true(last <= octave.from and octave.from < octave.to and octave.count > 0)
        sum, last = sum + octave.count, octave.to
      end
      assert.equal(59, sum)
      assert.same(stats, client:stats())
    end)

    it("tell what is under way", function()
      local client = new { concurrency = 2, timeout = 60 }
      for i = 1, 5 do client:submit("slow." .. i) end
      client:submit "slow.1" -- the same
      local stats = client:stats()
      assert.same({ 5, 0, 0 }, { stats.open, stats.on_wire, stats.attempts })
      client:poll(0)
      stats = client:stats()
      assert.same({ 5, 2, 0 }, { stats.open, stats.on_wire, stats.attempts })
      client:cancel "slow.1"
      client:cancel "slow.5"
      stats = client:stats()
      assert.same({ 3, 1, 2, 0 }, { stats.open, stats.on_wire, stats.failed, stats.attempts })
    end)

    it("tell how long it took", function()
      local client = new()
      client:get "nap.1"
      local latency = client:stats().latency
      assert.same({ 1, 1 }, { latency.count, #latency })
      assert.is_true(latency.p50 >= 0.24 and latency.p50 == latency.p99)
      assert.is_true(latency[1].from <= latency.p50 and latency.p50 <= latency[1].to)
    end)

    it("tell of connections that were not reused", function()
      local client = new { concurrency = 1 }
      for i = 1, 5 do client:get("good." .. i) end
      assert.equal(1, client:stats().connections)
      for i = 1, 3 do client:get("oldstyle." .. i) end
      assert.same({ server:count "accept", 3 }, { client:stats().connections, server:count "accept" })
    end)

    it("count those that were never asked as failed", function()
      local client = new { concurrency = 1 }
      for _, id in ipairs { "status.401", "good.1", "good.2" } do assert.is_true(client:submit(id)) end
      local _, count = gather(client:poll())
      while count < 3 do count = count + select(2, gather(client:poll())) end
      local stats = client:stats()
      assert.same({ 1, 3, { auth = 1 }, 1 }, { stats.attempts, stats.failed, stats.kinds, stats.latency.count })
    end)

    it("tell that the client holds back after a 429", function()
      local client = new { concurrency = 8 }
      assert.is_truthy(client:get "again.retry-after-ms.1")
      assert.equal(4, client:stats().limit)
      gather(client:each(ids("good", 100)))
      assert.equal(8, client:stats().limit)
    end)
  end)

  describe("cancel", function()
    it("takes back what waits", function()
      local client = new { concurrency = 1, timeout = 60 }
      client:submit "slow.1"
      client:submit("good.1", "mine")
      client:poll(0)
      assert.is_true(client:cancel "good.1")
      local id, gen, err, context = client:poll()()
      assert.same({ "good.1", nil, "mine" }, { id, gen, context })
      assert.same({ "cancelled", 0, true, "good.1" }, { err.kind, err.attempts, err.retryable, err.id })
      client:cancel "slow.1"
      assert.equal("good.2", client:get("good.2").id)
      for _, event in ipairs((server:events())) do assert.not_equal("good.1", event.id) end
    end)

    it("breaks off what is on the wire", function()
      local client = new { concurrency = 1, timeout = 60 }
      client:submit "slow.1"
      client:submit "good.1"
      client:poll(0)
      assert.is_truthy(servers.wait_for(function()
        client:poll(0)
        return server:count "ask" == 1
      end))
      assert.is_true(client:cancel "slow.1")
      local id, _, err = client:poll(0)()
      assert.same({ "slow.1", "cancelled", 1 }, { id, err.kind, err.attempts })
      assert_closed(1)
      local _, results = timed(function() return gather(client:poll()) end)
      assert.is_truthy(results["good.1"].gen)
    end)

    it("tells everybody who waits for it", function()
      local client = new { timeout = 60 }
      client:submit("slow.1", 1)
      client:submit("slow.1", 2)
      local loop = client:each { "slow.1", "good.1", "slow.1" }
      assert.equal("good.1", (loop()))
      assert.is_true(client:cancel "slow.1")
      local contexts = {}
      for id, _, err, context in client:poll(0) do
        assert.same({ "slow.1", "cancelled" }, { id, err.kind })
        contexts[context] = true
      end
      assert.same({ true, true }, contexts)
      for _ = 1, 2 do
        local id, _, err = loop()
        assert.same({ "slow.1", "cancelled" }, { id, err.kind })
      end
      assert.is_nil((loop()))
      assert.equal(0, client:stats().open)
    end)

    it("knows what it cannot take back", function()
      local client = new()
      for _, id in ipairs { "good.1", "a b", "", ("x"):rep(1000), "content good.1", "\0" } do
        assert.is_false(client:cancel(id))
      end
      client:get "good.1"
      assert.is_false(client:cancel "good.1")
      client:submit "good.2"
      while client:stats().open > 0 do client:poll(0.1) end
      assert.is_false(client:cancel "good.2")
      client:submit "slow.1"
      assert.is_true(client:cancel "slow.1")
      assert.is_false(client:cancel "slow.1")
      for _, wrong in ipairs { 5, true, {} } do
        assert.error_matches(function() client:cancel(wrong) end, "an id must be a string")
      end
      assert.error_matches(function() client:cancel() end, "an id must be a string")
      client:submit "slow.2"
      client:close()
      assert.is_false(client:cancel "slow.2")
    end)

    it("may be called within a loop", function()
      local client, list = new { concurrency = 32, timeout = 60 }, ids("slow", 20) -- so many are taken from the list at once
      table.insert(list, 1, "good.1")
      local first = true
      local results = {}
      for id, gen, err in client:each(list) do
        results[#results + 1] = gen and "good" or err.kind
        if first then
          for i = 1, 20 do assert.is_true(client:cancel("slow." .. i)) end
        end
        first = false
        assert.is_nil(results[id])
      end
      assert.same({ 21, "good", "cancelled", "cancelled" }, { #results, results[1], results[2], results[21] })
      assert.equal("good.2", client:get("good.2").id)
    end)

    it("makes room in the window", function()
      local client = new { window = 2, concurrency = 1, timeout = 60 }
      client:submit "slow.1"
      client:submit "slow.2"
      client:poll(0)
      client:cancel "slow.1"
      assert.is_true(client:submit "slow.3")
      client:cancel "slow.2"
      assert.is_true(client:submit "slow.4")
      assert.equal("full", select(2, client:submit "slow.5").kind)
    end)

    it("loses no slot and no id, however often", function()
      local client = new { concurrency = 2, window = 4, timeout = 60 }
      for i = 1, 1000 do
        local id = "slow." .. i
        assert.is_true(client:submit(id))
        if i % 3 > 0 then client:poll(0) end -- on the wire, or not yet
        assert.is_true(client:cancel(id))
        local cancelled, _, err = client:poll(0)()
        assert.same({ id, "cancelled" }, { cancelled, err.kind })
      end
      local stats = client:stats()
      assert.same({ 0, 0, 1000, 0 }, { stats.open, stats.on_wire, stats.failed, stats.attempts })
      local _, first, second = timed(function()
        client:submit "held.1"
        client:submit "held.2"
        local results = gather(client:poll())
        while not (results["held.1"] and results["held.2"]) do
          for id, gen in client:poll() do results[id] = { gen = gen } end
        end
        return results["held.1"].gen.id, results["held.2"].gen.id
      end)
      assert.same({ "held.1", "held.2" }, { first, second })
    end)

    it("and asking again at once gets the record", function()
      local client = new { concurrency = 2 }
      for i = 1, 50 do
        client:submit "held.1"
        if i % 2 == 0 then client:poll(0) end
        client:cancel "held.1"
      end
      for _, _, err in client:poll(0) do assert.equal("cancelled", err.kind) end
      assert.equal("held.1", client:get("held.1").id)
    end)
  end)

  it("never waits in poll(0)", function()
    for name, options in pairs { answers = {}, connects = { base_url = url("silent", "https"), connect_timeout = 60 },
      ["comes back"] = { base_url = url "closed", retry = { base = 1e9, factor = 1, cap = 1e9 }, deadline = 1e11 } } do
      options.timeout = 60
      local client = new(options)
      client:submit "slow.1"
      timed(function()
        for _ = 1, 1000 do assert.is_nil((client:poll(0)())) end
      end)
      assert.same({ name, 1 }, { name, client:stats().open })
      client:close()
    end
  end)

  describe("rate", function()
    it("is kept to, whatever the concurrency", function()
      local start = core.now()
      -- The first tenth of a second's worth may come at once.
      local _, count = gather(new { rate = 50, concurrency = 16 }:each(ids("good", 30)))
      assert.equal(30, count)
      assert.is_true(core.now() - start >= (30 - 5 - 1) / 50)
    end)

    it("is one of requests, with those that are asked again", function()
      local start = core.now()
      local _, count = gather(new { rate = 50, retry = { base = 0, factor = 1, cap = 0 } }:each { "flaky.591", "flaky.592",
        "flaky.593", "flaky.594", "flaky.595", "flaky.596", "flaky.597", "flaky.598" })
      assert.same({ 8, 24 }, { count, server:count "ask" })
      assert.is_true(core.now() - start >= (24 - 5 - 1) / 50)
    end)

    it("may be slow", function()
      local start = core.now()
      gather(new { rate = 4 }:each(ids("good", 3)))
      assert.is_true(core.now() - start >= 2 / 4)
    end)

    it("may be more than there is to ask", function()
      local _, count = gather(new { rate = 1e9 }:each(ids("good", 100)))
      assert.equal(100, count)
    end)
  end)
  describe("with the sandbox", function()
    local sandbox
    setup(function() sandbox = servers.sandbox() end)
    teardown(function() sandbox:stop() end)

    it("fetches many records", function()
      local list = {}
      for i = 1, 500 do list[i] = ("gen-1790000%03d-example"):format(i) end
      local results, count = gather(new { base_url = sandbox.url }:each(list))
      assert.equal(500, count)
      for _, id in ipairs(list) do
        assert.is_nil(results[id].err)
        assert.is_string(results[id].gen.model)
      end
    end)

    local function id_of(fault) return "gen-" .. fault .. "-a" end

    it("can be asked after an error from outside, wherever that came", function()
      local status, out = shell.run(("timeout 100 %s spec/support/interrupted.lua %s 900"):format(os.getenv "LUA" or "lua5.4",
        sandbox.url))
      assert.equal(0, status)
      local sum, records = 0, 0
      for times, outcome in out:gmatch "(%d+)\t([^\n]+)\n" do
        sum = sum + times
        if outcome == "record" then records = records + times
        elseif outcome ~= "full" then assert.matches("was broken off from outside", outcome) end
      end
      assert.equal(900, sum)
      assert.is_true(records > 850)
    end)

    it("gets what every fault leads to", function()
      local kinds = { ["status-400"] = "bad_request", ["status-403"] = "forbidden", ["status-404"] = "not_found",
        ["status-524"] = "server", html = "bad_answer", cut = "network", other = "wrong_id", ["once-500"] = "server" }
      local list = {}
      for fault in pairs(kinds) do list[#list + 1] = id_of(fault) end
      local results, count = gather(new { base_url = sandbox.url, retry = false }:each(list))
      assert.equal(#list, count)
      for fault, kind in pairs(kinds) do
        local err = results[id_of(fault)].err
        assert.same({ fault, kind, 1 }, { fault, err.kind, err.attempts })
        assert.equal(tonumber(fault:match "(%d+)$"), err.status)
        if err.status and kind ~= "not_found" then assert.is_true(#err.message > 10) end
      end
    end)

    it("gets what helps against faults", function()
      local list, known = {}, {}
      for i, fault in ipairs { "fresh", "once-503", "once-502", "slow", "once-503-slow" } do
        list[i] = id_of(fault)
        known[id_of(fault)] = true
      end
      local client = new { base_url = sandbox.url }
      for id, gen, err in client:each(list) do
        assert.is_nil(err)
        assert.is_true(known[id] and gen.id == id)
        known[id] = nil
      end
      assert.is_nil(next(known))
      local _, err = client:get(id_of "html")
      assert.same({ "bad_answer", 3 }, { err.kind, err.attempts })
      _, err = client:get("gen-1600000000-status-404-a", { deadline = 60 }) -- so old that waiting is vain
      assert.same({ "not_found", 1 }, { err.kind, err.attempts })
      _, err = client:get(id_of "status-404", { wait = 0.5 })
      assert.equal("not_found", err.kind)
      assert.is_true(err.elapsed >= 0.5)
      _, err = client:get(id_of "slow", { deadline = 0.3 })
      assert.equal("timeout", err.kind)
    end)

    it("keeps to what a 429 says", function()
      local client, events = watched { base_url = sandbox.url }
      assert.equal(id_of "once-429", client:get(id_of "once-429").id)
      assert.same({ "rate_limited", "settled" }, { events[1].kind, events[2].kind })
      assert.is_true(events[1].delay >= 1 and events[1].after >= 1)
      local _, err = new { base_url = sandbox.url, deadline = 0.9 }:get(id_of "status-429")
      assert.same({ "rate_limited", 429, 1 }, { err.kind, err.status, err.attempts })
    end)

    it("gets what every key leads to", function()
      for key, kind in pairs { ["sk-or-sandbox-bad"] = "auth", ["sk-or-sandbox-broke"] = "payment",
        ["sk-or-sandbox-other"] = "forbidden" } do
        local kinds = {}
        for _, _, err in new { base_url = sandbox.url, api_key = key, concurrency = 4 }:each(ids("gen-1", 40)) do
          kinds[err.kind] = (kinds[err.kind] or 0) + 1
        end
        if kind == "forbidden" then
          assert.same({ forbidden = 40 }, kinds)
        else
          assert.is_true(kinds[kind] >= 1 and kinds[kind] <= 4)
          assert.equal(40, kinds[kind] + kinds.unresolved)
        end
      end
    end)

    it("fetches content", function()
      local client, id = new { base_url = sandbox.url }, "gen-1790000001-example"
      local content = assert(client:content(id))
      assert.is_table(content.input)
      assert.is_table(content.output)
      assert.is_nil(content.total_cost)
      assert.matches('^{"data":{', (generation.json(content):gsub("^{", '{"data":{', 1)))
      -- the record of the same id is another thing
      assert.equal(id, client:get(id).id)
      local failed = assert(client:content "gen-failed-a")
      assert.is_truthy(failed.error or failed.output)
      assert.equal(3, client:stats().settled)
    end)

    it("fetches content as it fetches records", function()
      local client, events = watched { base_url = sandbox.url, wait = 0 }
      for id, kind in pairs { ["gen-status-400-b"] = "bad_request", ["gen-status-404-b"] = "not_found",
        ["who-knows"] = "not_found", ["gen-html-b"] = "bad_answer" } do
        local content, err = client:content(id)
        assert.is_nil(content)
        assert.same({ kind, id }, { err.kind, err.id })
      end
      assert.is_truthy(client:content "gen-once-503-content")
      assert.is_truthy(client:content("gen-fresh-content", { wait = 20 }))
      local _, err = client:content("gen-slow-content", { deadline = 0.2 })
      assert.equal("timeout", err.kind)
      for _, event in ipairs(events) do assert.equal(event.err and event.err.id or event.id, event.id) end
      _, err = new { base_url = sandbox.url, api_key = "sk-or-sandbox-plain" }:content "gen-1"
      assert.same({ "forbidden", 403, "gen-1" }, { err.kind, err.status, err.id })
      assert.matches("management key", err.message)
    end)

    it("takes feedback", function()
      local client = new { base_url = sandbox.url }
      for _, category in ipairs { "latency", "incoherence", "incorrect_response", "formatting", "billing", "api_error",
        "other" } do
        assert.is_true(client:feedback { generation_id = "gen-1", category = category })
      end
      local ok, err = client:feedback { generation_id = "gen-1", category = "praise" }
      assert.is_nil(ok)
      assert.same({ "bad_request", 400, "gen-1", 1 }, { err.kind, err.status, err.id, err.attempts })
      assert.is_true(client:feedback { generation_id = "gen-1", category = "other", comment = ("é"):rep(1000) })
      assert.equal("bad_request", select(2, client:feedback { generation_id = "gen-1", category = "other",
        comment = ("é"):rep(1001) }).kind)
      ok, err = client:feedback { generation_id = "who-knows", category = "other" }
      assert.same({ nil, "not_found", 1 }, { ok, err.kind, err.attempts })
      ok, err = new { base_url = sandbox.url, api_key = "sk-or-sandbox-plain" }:feedback { generation_id = "gen-1",
        category = "other" }
      assert.same({ nil, "forbidden", 403 }, { ok, err.kind, err.status })
      assert.equal("gen-1", client:get("gen-1").id) -- a GET again
    end)
  end)

  it("wants ids for everything", function()
    local client = new()
    for _, id in ipairs { "", "a b", "a\nb", "content good.1", "feedback good.1", "content ", " good.1", ("x"):rep(129) } do
      for _, err in ipairs { select(2, client:get(id)), select(2, client:content(id)), select(2, client:submit(id)),
        select(3, client:each { id }()), select(2, client:feedback { generation_id = id, category = "other" }) } do
        assert.same({ "bad_id", id }, { err.kind, err.id })
      end
    end
    assert.equal(0, client:stats().open)
    client:close()
    for _, err in ipairs { select(2, client:content "good.1"),
      select(2, client:feedback { generation_id = "good.1", category = "other" }) } do
      assert.same({ "closed", "good.1" }, { err.kind, err.id })
    end
    assert.equal(0, server:count "ask")
  end)

  describe("feedback", function()
    -- A server that writes down every request, and does with feedback what its generation's id says.
    local SERVER = [[
import http.server, json, os, sys

log = open(os.path.join(os.path.dirname(sys.argv[1]), "requests"), "ab", buffering=0)
seen = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", len(body))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        log.write(("GET %s %s\n" % (self.path, self.headers["Content-Type"])).encode())
        self.answer(200, b'{"data":{"id":"%s"}}' % self.path.split("id=")[1].encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        id, comment = asked["generation_id"], asked.get("comment")
        said = "-" if comment is None else comment.encode().hex() or "empty"
        log.write(("POST %s %s %s %s %s %d\n" % (self.path, self.headers["Content-Type"], id, asked["category"], said,
                                                 len(asked))).encode())
        again = id in seen
        seen.add(id)
        if id.startswith("cut"):
            self.connection.shutdown(2)
            self.close_connection = True
        elif id.startswith("half"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            self.close_connection = True
        elif id.startswith("slow"):
            self.connection.recv(1)
            self.close_connection = True
        elif id.startswith("once.429") and not again:
            self.answer(429, b"", ("Retry-After", "0.1"))
        elif id.startswith("status"):
            self.answer(int(id.split(".")[1]), b'{"error":{"code":500,"message":"told so"}}')
        else:
            self.answer(200, b'{"data":{"success":true}}')


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".new", "w") as ready:
    ready.write("%d\n" % server.server_port)
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
]]
    local listener, base_url
    setup(function()
      local script = shell.write(os.tmpname(), SERVER)
      listener = servers.start(("python3 %s \"$READY\""):format(script))
      os.remove(script)
      base_url = ("http://127.0.0.1:%s/api/v1"):format(listener.ready:match "%d+")
    end)
    teardown(function() listener:stop() end)

    -- the requests for this id
    local function requests(id)
      local list = {}
      for line in shell.read(listener.directory .. "/requests"):gmatch "[^\n]+" do
        if (line .. " "):find("[ =]" .. id:gsub("%p", "%%%0") .. " ") then list[#list + 1] = line end
      end
      return list
    end

    it("may be as long as anybody wants it", function()
      local client = new { base_url = base_url, concurrency = 1 }
      assert.is_true(client:feedback { generation_id = "long.1", category = "other", comment = ("x"):rep(9e6) })
      assert.is_true(client:feedback { generation_id = "long.2", category = "other", comment = "" })
      assert.equal("long.3", client:get("long.3").id)
      local first, second = requests("long.1"), requests("long.2")
      assert.same({ 1, 1 }, { #first, #second })
      assert.is_true(first[1]:find(" " .. ("78"):rep(9e6) .. " ", 1, true) ~= nil)
      assert.matches(" other empty 3$", second[1])
    end)

    it("is a POST of JSON, and what follows is a GET again", function()
      local client = new { base_url = base_url, concurrency = 1 }
      assert.equal("a.1", client:get("a.1").id)
      assert.is_true(client:feedback { generation_id = "a.1", category = "billing" })
      assert.equal("a.2", client:get("a.2").id)
      assert.is_true(client:feedback { generation_id = "a.1", category = "other", comment = "" })
      assert.same({ "GET /api/v1/generation?id=a.1 None",
        "POST /api/v1/generation/feedback application/json a.1 billing - 2",
        "POST /api/v1/generation/feedback application/json a.1 other empty 3" }, requests "a.1")
      assert.same({ "GET /api/v1/generation?id=a.2 None" }, requests "a.2")
    end)

    it("says exactly what it was given", function()
      local client = new { base_url = base_url }
      local every = {}
      for byte = 0, 127 do every[byte + 1] = string.char(byte) end
      for i, comment in ipairs { table.concat(every), [=["quoted" \back\ /slash/ \u0041]=], "é ü — 漢字 \240\159\152\128",
        "\226\128\168\226\128\169\127\194\128", '","category":"other"}' } do
        assert.is_true(client:feedback { generation_id = "said." .. i, category = "other", comment = comment })
        local hex = comment:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
        assert.same({ "POST /api/v1/generation/feedback application/json said." .. i .. " other " .. hex .. " 3" },
          requests("said." .. i))
      end
      assert.is_true(client:feedback { generation_id = "said.9", category = "other", comment = "no \255 UTF-8 \237\160\128" })
      assert.equal(1, #requests "said.9")
      assert.is_true(client:feedback { generation_id = "said.10", category = [=["}{"]=] })
      assert.matches(' "}{" %- 2$', requests("said.10")[1])
    end)

    it("is sent once, whatever becomes of it", function()
      for id, kind in pairs { ["status.500"] = "server", ["status.503"] = "server", ["status.404"] = "not_found",
        ["status.408"] = "timeout", cut = "network", half = "network", slow = "timeout" } do
        for _, before in ipairs { "fresh", "kept" } do -- over a connection of its own, or one that was there before
          local client, name = new { base_url = base_url, concurrency = 1, timeout = 0.5 }, id .. "." .. before
          if before == "kept" then client:get "good.1" end
          local ok, err = client:feedback { generation_id = name, category = "other" }
          assert.is_nil(ok)
          assert.same({ kind, 1, name }, { err.kind, err.attempts, err.id })
          assert.same({ name, 1 }, { name, #requests(name) })
        end
      end
    end)

    it("is sent again after a 429", function()
      local client, events = watched { base_url = base_url }
      assert.is_true(client:feedback { generation_id = "once.429.1", category = "other", comment = "x" })
      local sent = requests "once.429.1"
      assert.same({ 2, sent[1] }, { #sent, sent[2] })
      assert.same({ "rate_limited", "settled" }, { events[1].kind, events[2].kind })
    end)

    it("may be given within others, also twice for the same id", function()
      -- In a process that can be ended: each could wait for the other.
      local script = shell.write(shell.directory() .. "/script.lua", ([[
        local client
        client = assert(require "openrouter".client { api_key = "%s", base_url = "%s", on_event = function(event)
          if event.kind == "rate_limited" then
            print(client:feedback { generation_id = "once.429.2", category = "latency" })
          end
        end })
        print(client:feedback { generation_id = "once.429.2", category = "other" })
        print(client:stats().event_errors, client:stats().open)
      ]]):format(KEY, base_url))
      local status, out, err = shell.run(("timeout 20 %s %s"):format(os.getenv "LUA" or "lua5.4", script))
      assert.same({ 0, "true\ntrue\n0\t0\n", "" }, { status, (out:gsub("true\tnil", "true")), err })
      local sent = requests "once.429.2"
      assert.equal(3, #sent)
      assert.matches(" latency ", sent[3])
    end)

    it("ends with the client, under the generation's id", function()
      for _, what in ipairs { "content", "feedback" } do
        local client
        client = new { base_url = base_url, on_event = function() client:close() end }
        client:submit "good.1"
        local err
        if what == "content" then
          _, err = client:content "slow.closed" -- a GET, which this server always answers
        else
          _, err = client:feedback { generation_id = "slow.closed", category = "other" }
        end
        if err then assert.same({ "closed", "slow.closed" }, { err.kind, err.id }) end
      end
    end)
  end)
end)

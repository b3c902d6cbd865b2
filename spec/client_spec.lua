local core = require "openrouter.core"
local openrouter = require "openrouter"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

local KEY = "sk-or-v1-0123456789abcdef"

describe("client", function()
  local server
  setup(function() server = servers.hostile() end)
  teardown(function() server:stop() end)
  before_each(function() server:mark() end)
  after_each(shell.clean)

  local function new(options)
    local all = { base_url = server.url, api_key = KEY, timeout = 1, deadline = 2, wait = 1,
      retry = { base = 0.02, factor = 1, cap = 0.02 } }
    for name, value in pairs(options or {}) do all[name] = value end
    return assert(openrouter.client(all))
  end

  local function url(port, scheme)
    return ("%s://127.0.0.1:%d/api/v1"):format(scheme or "http", server.port[port])
  end

  -- how long the call takes, and what it returns
  local function timed(call, ...)
    local start = core.now()
    local a, b = call(...)
    return core.now() - start, a, b
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

  -- No part of the value has the key in it.
  local function assert_no_key(value)
    if type(value) == "table" then
      for name, member in pairs(value) do
        assert_no_key(name)
        assert_no_key(member)
      end
    end
    assert.is_nil(tostring(value):find(KEY, 1, true))
  end

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

  describe("options", function()
    it("must be known, and the near one is suggested", function()
      local function assert_said(words, options)
        assert.error_matches(function() openrouter.client(options) end, words)
      end
      assert_said("unknown option 'time_out'; did you mean 'timeout'?", { time_out = 5 })
      assert_said("did you mean 'api_key'", { apikey = KEY })
      assert_said("retry: unknown option 'caps'; did you mean 'cap'", { retry = { caps = 1 } })
      assert_said("unknown option '1'$", { KEY })
      assert.error_matches(function() new():get("good.1", { dead = 1 }) end, "get: unknown option 'dead'")
      assert.error_matches(function() new():get("good.1", { weit = 1 }) end, "did you mean 'wait'")
    end)

    it("must have their type", function()
      for name, wrong in pairs { api_key = 5, base_url = true, concurrency = "16", window = {}, connect_timeout = "5",
        timeout = -1, deadline = 0 / 0, wait = math.huge, retry = true, max_body = -1, ca_file = 5, on_retry = "f" } do
        local _, message = pcall(openrouter.client, { [name] = wrong })
        assert.matches("option '" .. name .. "' must ", message)
      end
      assert.error_matches(function() openrouter.client { retry = { base = "1" } } end, "option 'base' must be a number")
      assert.error_matches(function() openrouter.client(5) end, "options must be a table, not a number")
      assert.error_matches(function() new():get("good.1", 5) end, "options must be a table")
      assert.error_matches(function() new():get("good.1", { wait = "1" }) end, "'wait' must be a number")
      assert.error_matches(function() new { window = 1e9 } end, "window")
      assert.error_matches(function() new { max_body = 1e12 } end, "max_body")
    end)

    it("that are wrong are the caller's fault, who is named", function()
      local client = new()
      local calls = {
        function() local _ = openrouter.client { bad = 1 } end,
        function() local _ = openrouter.client(5) end,
        function() local _ = openrouter.client { retry = { bad = 1 } } end,
        function() local _ = client:get("good.1", { bad = 1 }) end,
        function() local _ = client:get(5) end,
        function() local _ = client:submit(5) end,
        function() local _ = client:poll "soon" end,
        function() local _ = client:each(5) end,
        function() for _ in client:each { 5 } do error() end end,
      }
      for _, call in ipairs(calls) do
        local _, message = pcall(call)
        local line = debug.getinfo(call, "S").linedefined
        assert.matches("client_spec.lua:" .. line .. ": ", message)
      end
    end)

    it("need a key", function()
      for _, key in ipairs { "", " ", "\n\t " } do
        local client, err = openrouter.client { api_key = key, base_url = server.url }
        assert.is_nil(client)
        assert.equal("no_key", err.kind)
        assert.matches("OPENROUTER_API_KEY", err.message)
      end
    end)

    it("need a key that can be sent", function()
      for _, bad in ipairs { "\n", "\r\nX-Evil: 1", "\0", "\1", "\127", " ", "\t", "é", "\200" } do
        local client, err = openrouter.client { api_key = KEY .. bad .. KEY, base_url = server.url }
        assert.is_nil(client)
        assert.equal("no_key", err.kind)
        assert_no_key(err)
      end
      assert.equal(0, server:count "accept")
    end)

    it("may have space around the key", function()
      local gen = assert(new { api_key = " \t" .. KEY .. "\r\n" }:get "heard.1")
      assert.matches("\nAuthorization: Bearer " .. KEY:gsub("%-", "%%-") .. "\r\n", gen.heard)
    end)

    it("need a base URL that the key may go to", function()
      for _, bad in ipairs { "", "openrouter.ai/api/v1", "//openrouter.ai", "ftp://127.0.0.1", "file:///etc/passwd", "https://",
        "https://user:secret@openrouter.ai", "https://user@openrouter.ai", "https://openrouter.ai/api?key=1", "https://a b/",
        "https://openrouter.ai/api#x", "http://openrouter.ai/api/v1", "http://127.0.0.1.example.org",
        "http://example.org/127.0.0.1", "http://localhost.example.org", "http://127.0.0.1@example.org",
        "http://example.org#@127.0.0.1", "http://127.0.0.1.5",
        "http://0.0.0.0", "http://192.168.0.1", "http://[::2]", "http://[::ffff:10.0.0.1]", "http://localhost@example.org",
        "https://openrouter.ai/\n", "https://openrouter.ai/" .. ("x"):rep(5000), "javascript:x" } do
        local client, err = openrouter.client { api_key = KEY, base_url = bad }
        assert.is_nil(client)
        assert.equal("bad_request", err.kind)
        assert_no_key(err)
      end
      assert.error_matches(function() openrouter.client { api_key = KEY, base_url = server.url .. "\0evil" } end, "NUL")
    end)

    it("may have any base URL that is on this machine", function()
      for _, good in ipairs { server.url, server.url .. "/", server.url .. "//", (server.url:gsub("127.0.0.1", "localhost")),
        (server.url:gsub("http", "HTTP")), (server.url:gsub("127.0.0.1", "127.1")), (server.url:gsub("127.0.0.1", "LOCALHOST")),
        ("http://127.0.0.1:%d"):format(server.port.http), (server.url:gsub("127.0.0.1", "127.0.0.2")) } do
        local gen, err = new { base_url = good, retry = false }:get "good.1"
        if good:find("127.0.0.2", 1, true) then assert.equal("network", err.kind) else assert.equal("good.1", gen.id) end
      end
      local err = select(2, new { base_url = "http://[::1]:" .. server.port.http, retry = false }:get "good.1")
      assert.equal("network", err.kind) -- nobody listens there
    end)

    it("come from the environment too", function()
      local script = shell.write(shell.directory() .. "/script.lua", [[
        local client = assert(require "openrouter".client())
        local gen, err = client:get "heard.1"
        print(gen and gen.heard:match "Bearer (%S+)" or err)]])
      local status, out, err = shell.run(("OPENROUTER_API_KEY=' sk-from-there ' OPENROUTER_BASE_URL=%s %s %s")
        :format(server.url, os.getenv "LUA" or "lua5.4", script))
      assert.same({ 0, "sk-from-there\n", "" }, { status, out, err })
    end)

    it("keep the key out of the client's own fields", function()
      local client = new()
      assert_no_key(client)
      client:submit "good.1"
      for _ in client:poll() do assert_no_key(client) end
    end)
  end)

  it("sends loopback requests past any proxy", function()
    local script = shell.write(shell.directory() .. "/script.lua", ([[
local openrouter = require "openrouter"
      print(assert(openrouter.client { api_key = "%s", base_url = "%s" }):get "good.1")
      print(openrouter.client { api_key = "%s", base_url = "http://192.0.2.1/api/v1" })
    ]]):format(KEY, server.url, KEY))
    local proxy = url "elsewhere"
    local status, out = shell.run(("http_proxy=%s HTTP_PROXY=%s all_proxy=%s %s %s")
      :format(proxy, proxy, proxy, os.getenv "LUA" or "lua5.4", script))
    assert.equal(0, status)
    assert.matches("^generation good.1\tnil\nnil\tbad_request: plain http://", out)
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
    setup(function() client = new { retry = false, timeout = 0.25 } end)

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
        local seconds, gen, err = timed(client.get, client, id)
        assert.is_nil(gen)
        assert.is_truthy((" " .. kinds .. " "):find(" " .. err.kind .. " ", 1, true))
        assert.same({ id, 1 }, { err.id, err.attempts })
        assert.is_true(err.elapsed <= seconds and seconds < 1.5)
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
        local client = new { base_url = url(port), deadline = 0.3 }
        local seconds, gen, err = timed(client.get, client, "good.1")
        assert.is_nil(gen)
        assert.equal("network", err.kind)
        assert.is_true(err.attempts > 3)
        assert.is_true(seconds > 0.2 and seconds < 1)
        assert_no_key(err)
      end)
    end

    it("gets the time it may take to connect", function()
      local client = new { base_url = url("silent", "https"), connect_timeout = 0.2, timeout = 5, retry = false }
      local seconds, _, err = timed(client.get, client, "good.1")
      assert.equal("timeout", err.kind)
      assert.is_true(seconds > 0.15 and seconds < 1.5)
    end)
  end)

  describe("TLS", function()
    local function kind_of(options)
      options.retry, options.timeout = false, 5
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
      local client = new { base_url = url("tls", "https"), timeout = 5, deadline = 5 }
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
      local client = new()
      assert.equal("fresh.1", client:get("fresh.1", { wait = 5 }).id)
      assert.equal(2, server:count "ask")
      local _, err = client:get("fresh.2", { wait = 0 })
      assert.same({ "not_found", 1 }, { err.kind, err.attempts })
      local seconds
      seconds, _, err = timed(client.get, client, "status.404.1", { wait = 0.4 })
      assert.equal("not_found", err.kind)
      assert.is_true(seconds >= 0.4 and seconds < 1 and err.attempts >= 2)
    end)

    it("a long time where the wait is long", function()
      local client = new { deadline = 0.1 }
      local seconds, _, err = timed(client.get, client, "status.404.2", { wait = 0.3 })
      assert.equal("not_found", err.kind) -- and not "timeout"
      assert.is_true(seconds >= 0.3 and seconds < 0.9)
    end)

    it("when the server wants it to", function()
      local client, start, after = new { deadline = 5 }, core.now(), {}
      for id, gen, err in client:each { "dated.now", "again.Retry-After.1", "again.retry-after-ms.300",
        "again.Retry-After.soon" } do
        assert.is_nil(err)
        after[gen.id:match "[^.]+%.(.*)"] = core.now() - start
        assert.equal(id, gen.id)
      end
      assert.is_true(after["Retry-After.1"] >= 1 and after["Retry-After.1"] < 1.8)
      assert.is_true(after["retry-after-ms.300"] >= 0.3 and after["retry-after-ms.300"] < 0.9)
      assert.is_true(after["Retry-After.soon"] < 0.9)
      assert.is_true(after.now >= 0.9 and after.now < 2.9) -- dates have no fractions
    end)

    it("not beyond the deadline", function()
      local client = new { deadline = 0.3, timeout = 0.1 }
      local seconds, _, err = timed(client.get, client, "slow.1")
      assert.equal("timeout", err.kind)
      assert.is_true(err.attempts >= 2 and seconds < 0.9)
      seconds, _, err = timed(client.get, client, "again.Retry-After.7")
      assert.same({ "rate_limited", 1 }, { err.kind, err.attempts })
      assert.is_true(seconds < 0.9)
      seconds, _, err = timed(client.get, client, "slow.2", { deadline = 0.1 })
      assert.equal("timeout", err.kind)
      assert.is_true(seconds < 0.9)
      seconds, _, err = timed(client.get, client, "status.503.1")
      assert.equal("server", err.kind)
      assert.is_true(seconds < 0.9 and err.attempts > 5)
    end)

    it("and tells so", function()
      local told = {}
      local client = new { on_retry = function(err, delay) told[#told + 1] = { err.kind, err.id, err.attempts, type(delay) } end }
      assert.equal("flaky.502", client:get("flaky.502").id)
      assert.same({ { "server", "flaky.502", 1, "number" }, { "server", "flaky.502", 2, "number" } }, told)
    end)

    it("also when told not to care", function()
      local client
      client = new { on_retry = function() error "stop" end }
      assert.error_matches(function() client:get "flaky.501" end, "stop")
      assert.equal("good.1", client:get("good.1").id)

      client = new { on_retry = function(err) assert.equal("good.1", client:get("good.1").id, err.id) end }
      assert.equal("flaky.504", client:get("flaky.504").id)

      client = new { on_retry = function() client:close() end }
      local _, err = client:get "flaky.505"
      assert.equal("closed", err.kind)
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
      local seconds, results = timed(gather, new():each {})
      assert.same({}, results)
      assert.is_true(seconds < 0.1)
    end)

    it("ends the rest after a 401, also where on_retry raises meanwhile", function()
      local client = new { concurrency = 2, on_retry = function() error("a user's mistake", 0) end }
      local iterate, ends, raised = client:each { "status.401", "latefail.1", "good.1", "good.2" }, 0, 0
      repeat
        local ok, id = pcall(iterate)
        if not ok then raised = raised + 1 elseif id then ends = ends + 1 end
      until ok and not id
      assert.same({ 4, 1 }, { ends, raised })
      client:close()
    end)

    it("asks while its source is still at work", function()
      local client, given = new { concurrency = 4 }, 0
      local function source()
        given = given + 1
        -- long before a whole window of 1,024 is full
        if given == 300 then assert.is_true(servers.wait_for(function() return server:count "ask" > 0 end, 5)) end
        return given <= 400 and "gen-slow-source." .. given or nil
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
      local client = new { concurrency = 1, deadline = 5 }
      local results = gather(client:each { "again.Retry-After.0.4", "good.1", "good.2" })
      assert.equal(3, results["again.Retry-After.0.4"].order)
    end)

    it("goes on after any error", function()
      local list = { "close.1", "good.1", "html.1", "a b", "other.1", "status.403.1", "status.400.2", "good.2", "cut.1", "" }
      local results, count = gather(new { deadline = 0.2 }:each(list))
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
      local client, list = new { window = 10, deadline = 20 }, ids("good", 50)
      for i = 2, 10 do list[i] = "again.Retry-After.1." .. i end
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

    it("can be left, and started again", function()
      local client = new { concurrency = 4 }
      for _ = 1, 3 do
        assert.is_string((client:each(ids("held", 12))())) -- as a loop that is left by break
        assert.equal("good.1", client:get("good.1").id)
        assert.is_nil((client:poll(0)()))
      end
      local _, count = gather(client:each(ids("good", 20)))
      assert.equal(20, count)
    end)

    it("can be left by an error", function()
      local client = new()
      assert.error_matches(function()
        for _ in client:each(ids("held", 30)) do error "mine" end
      end, "mine")
      assert.error_matches(function()
        client:each(function() error "source" end)()
      end, "source")
      assert.equal("good.1", client:get("good.1").id)
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
      local client = new { timeout = 5, deadline = 5 }
      local function poll(...) return timed(function(...) return gather(client:poll(...)) end, ...) end
      client:submit "slow.1"
      local seconds, results = poll(0)
      assert.same({}, results)
      assert.is_true(seconds < 0.9)
      seconds, results = poll(0.1)
      assert.same({}, results)
      assert.is_true(seconds >= 0.1 and seconds < 0.9)
      client:submit "nap.1"
      seconds, results = poll(4)
      assert.is_truthy(results["nap.1"])
      assert.is_true(seconds < 2)
      client = new()
      seconds, results = poll() -- nothing to wait for
      assert.same({}, results)
      assert.is_true(seconds < 0.9)
    end)

    it("get on without ever waiting", function()
      local client, calls = new(), 0
      client:submit "flaky.521"
      local gen
      servers.wait_for(function()
        calls = calls + 1
        for _, record in client:poll(0) do gen = record end
        return gen
      end, 2)
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
      local client = new { timeout = 5, deadline = 5 }
      assert.equal("good.1", (client:each { "good.1", "slow.1" }()))
      assert.equal("nap.1", client:get("nap.1").id) -- long enough for libcurl to have no timers of its own left
      local seconds, results = timed(function() return gather(client:poll()) end)
      assert.same({}, results)
      assert.is_true(seconds < 0.9)
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
      for _, wrong in ipairs { "x", {}, 0 / 0 } do
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
    local client = new { concurrency = 3, deadline = 0.5 }
    for i = 1, 20 do assert(client:submit("held." .. i, "submitted")) end
    local outer, polled = 0, {}
    for id, gen, err, context in client:each(pairs { ["held.1"] = 1, ["held.31"] = 1, ["good.32"] = 1, ["close"] = 1 }) do
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
    local seen = 0
    local client = new { on_retry = function(err)
      seen = seen + 1
      assert_no_key(err)
    end }
    local _, err = client:get "echo.1"
    assert.equal("bad_request", err.kind)
    assert.matches("bad header: Bearer %(the key%)", err.message)
    assert.equal("Bearer (the key)", err.code)
    assert.same({ "Bearer (the key)" }, err.metadata.sent)
    assert_no_key(err)
    _, err = client:get(KEY, { wait = 0.2 })
    assert.equal("(the key)", err.id)
    assert_no_key(err)
    assert.is_true(seen > 0)
  end)

  describe("with the sandbox", function()
    local sandbox
    setup(function() sandbox = servers.sandbox() end)
    teardown(function() sandbox:stop() end)

    it("fetches many records", function()
      local list = {}
      for i = 1, 500 do list[i] = ("gen-1790000%03d-example"):format(i) end
      local results, count = gather(new { base_url = sandbox.url, timeout = 10, deadline = 10 }:each(list))
      assert.equal(500, count)
      for _, id in ipairs(list) do
        assert.is_nil(results[id].err)
        assert.is_string(results[id].gen.model)
      end
    end)

    it("gets what every fault leads to", function()
      local expected = { ["status-400"] = "bad_request", ["status-403"] = "forbidden", ["status-404"] = "not_found",
        ["status-524"] = "server", ["status-429"] = "rate_limited", html = "bad_answer", cut = "network", other = "wrong_id",
        slow = "timeout", fresh = "good", ["once-429"] = "good", ["once-503"] = "good", ["once-500"] = "good" }
      local list, old = {}, "gen-1790000000-status-404-a" -- not waited for
      for fault in pairs(expected) do list[#list + 1] = "gen-" .. fault .. "-a" end
      list[#list + 1] = old
      local results, count = gather(new { base_url = sandbox.url, timeout = 0.5, deadline = 1.6, wait = 1.3 }:each(list))
      assert.equal(#list, count)
      for fault, kind in pairs(expected) do
        local result = results["gen-" .. fault .. "-a"]
        assert.same({ fault, kind }, { fault, result.gen and "good" or result.err.kind })
        assert.equal(tonumber(fault:match "status%-(%d+)"), result.err and result.err.status)
        if result.err and result.err.status and kind ~= "not_found" then assert.is_true(#result.err.message > 10) end
      end
      assert.equal(3, results["gen-html-a"].err.attempts)
      assert.is_true(results["gen-status-404-a"].err.attempts > 2)
      assert.equal(1, results[old].err.attempts)
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
  end)
end)

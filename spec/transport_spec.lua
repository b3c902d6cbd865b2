-- What goes over the wire: HTTP/1.1 and HTTP/2, TLS, compression, sockets and proxies, and everything a server can do wrong.
-- client_spec.lua has what the client makes of answers.
local openrouter = require "openrouter"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local assert_without = require "spec.support.without"

local KEY = "sk-or-v1-0123456789abcdef"

describe("transport", function()
  local server, front
  setup(function()
    server = servers.hostile()
    front = servers.front()
  end)
  teardown(function()
    server:stop()
    front:stop()
  end)
  before_each(function()
    server:mark()
    front:requests(0) -- those of a spec that failed
  end)
  after_each(shell.clean)

  -- Patient with a busy machine: where a timeout is not what is expected, none should come.
  local function new(options)
    local all = { base_url = ("http://127.0.0.1:%d/api/v1"):format(server.port.http), api_key = KEY, timeout = 10, deadline = 20,
      wait = 0, retry = false }
    for name, value in pairs(options) do all[name] = value end
    return assert(openrouter.client(all))
  end

  local function url(port, scheme, host)
    return ("%s://%s:%d/api/v1"):format(scheme or "http", host or "127.0.0.1", server.port[port])
  end

  -- A client of the front.
  local function to_front(port, options)
    options.base_url = ("%s://%s:%d%s"):format((port == "http" or port == "ipv6") and "http" or "https",
      port == "ipv6" and "[::1]" or "127.0.0.1", front.port[port], options.path or "/api/v1")
    options.path, options.ca_file = nil, front.certificate
    return new(options)
  end

  local function ids(count)
    local list = {}
    for i = 1, count do list[i] = "gen-front-" .. i end
    return list
  end

  -- "record", or the kind of error, as which it looks right.
  local function outcome(client, id, options)
    local gen, err = client:get(id, options)
    if gen then
      assert.same({ id, nil }, { gen.id, gen.stray })
      return "record"
    end
    assert.same({ id, 1 }, { err.id, err.attempts })
    assert.is_nil(tostring(err):find "%c")
    assert_without(KEY, err)
    return err.kind, err
  end

  local function assert_one_of(kinds, kind)
    if not (" " .. kinds .. " "):find(" " .. kind .. " ", 1, true) then assert.equal(kinds, kind) end
  end

  -- Every id gets its record.
  local function assert_all_answered(client, list)
    local answered = 0
    for id, gen, err in client:each(list) do
      assert.is_nil(err)
      assert.equal(id, gen.id)
      answered = answered + 1
    end
    assert.equal(#list, answered)
  end

  -- What each of the requests that the front has answered says of `name`; they must agree.
  local function common(requests, name)
    for _, request in ipairs(requests) do assert.equal(requests[1][name], request[name]) end
    return requests[1][name]
  end

  -- A Lua program with `new` and `get` (which gives an outcome), under an environment: what it prints.
  local function child(environment, program)
    local script = shell.write(shell.directory() .. "/script.lua", ([[
      local openrouter = require "openrouter"
      local function new(options)
        options.api_key, options.retry, options.timeout = %q, options.retry or false, 10
        return assert(openrouter.client(options))
      end
      local function get(options, id)
        local gen, err = new(options):get(id or "good.1")
        if err then io.stderr:write(tostring(err), "\n") end
        return gen and "record" or err.kind
      end
      %s]]):format(KEY, program))
    local status, out, err = shell.run(("%s %s %s"):format(environment, os.getenv "LUA" or "lua5.4", script))
    if status ~= 0 then error(err, 2) end
    return out, err
  end

  -- ---- servers that do wrong ---------------------------------------------------------------------------------------------

  -- The behaviours of hostile.py, and what has to come of them: kinds of errors, or "record".
  local BEHAVIOURS = {
    -- cut short
    ["resethead.1"] = "network", ["resetbody.1"] = "network", ["resetchunked.1"] = "network", ["overchunk.1"] = "network",
    ["minuschunk.1"] = "network", ["zipcut.1"] = "network",
    -- no HTTP/1.1
    ["preface.1"] = "network", ["frames.1"] = "network", ["upgrade.1"] = "network bad_answer", ["future.1"] = "network",
    -- lengths
    ["minus.1"] = "network", ["overlength.1"] = "timeout", ["wordlength.1"] = "network",
    ["nul.1"] = "network", ["foldedlength.1"] = "network record", ["lengths.1"] = "network record",
    ["lengthstoo.1"] = "network bad_answer", ["twice.1"] = "network record", ["both.1"] = "record", ["folded.1"] = "record",
    -- too much
    ["mass.1"] = "too_large", ["masschunked.1"] = "too_large", ["massunlimited.1"] = "too_large", ["bomb.1"] = "too_large",
    ["bombchunked.1"] = "too_large", ["bombtwice.1"] = "too_large",
    -- compressed
    ["zipped.1"] = "record", ["xzipped.1"] = "record", ["zippedchunked.1"] = "record", ["deflated.1"] = "record",
    ["rawdeflated.1"] = "record", ["identity.1"] = "record", ["stacked.2"] = "record", ["layered.2"] = "record",
    ["stacked.30"] = "bad_answer", ["layered.30"] = "bad_answer", ["zipcrc.1"] = "bad_answer", ["ziphalf.1"] = "bad_answer",
    ["zipnever.1"] = "bad_answer", ["zipempty.1"] = "bad_answer", ["ziperror.1"] = "bad_answer server",
    ["zippederror.1"] = "bad_request", ["unheardof.1"] = "bad_answer",
    -- bodies where there are none, which look like the next answer
    ["bodyless.204.1"] = "bad_answer", ["bodyless.205.1"] = "bad_answer", ["bodyless.304.1"] = "bad_answer",
    -- elsewhere
    ["redirect.300"] = "bad_answer", ["redirect.301"] = "bad_answer", ["redirect.303"] = "bad_answer",
    ["redirect.307"] = "bad_answer", ["redirect.308"] = "bad_answer", ["redirectown.1"] = "bad_answer",
    -- more than was asked for
    ["poison.1"] = "record", ["poisonchunked.1"] = "record",
    -- connections that end where nothing said so
    ["hangup.1"] = "record", ["lastword.1"] = "record", ["lastreset.1"] = "record", ["oldkept.1"] = "record",
    ["notified.1"] = "record", ["unlimitedhalf.1"] = "network bad_answer", ["driphead.1"] = "timeout",
  }

  -- The same over plain HTTP is in client_spec.lua.
  local ALSO_OVER_TLS = {
    ["close.1"] = "network", ["reset.1"] = "network", ["cut.1"] = "network", ["cutchunk.1"] = "network",
    ["badchunk.1"] = "network", ["cuthead.1"] = "network", ["hintcut.1"] = "network", ["garbage.1"] = "network",
    ["headless.1"] = "network", ["html.1"] = "bad_answer", ["empty.1"] = "bad_answer", ["truncated.1"] = "bad_answer",
    ["gzip.1"] = "bad_answer", ["redirect.302"] = "bad_answer", ["huge.1"] = "too_large", ["endless.1"] = "too_large",
    ["flood.1"] = "too_large", ["hintflood.1"] = "too_large", ["longline.1"] = "too_large network",
    ["slow.1"] = "timeout", ["stalled.1"] = "timeout", ["drip.1"] = "timeout", ["chunked.1"] = "record",
    ["bytewise.1"] = "record", ["hints.1"] = "record", ["excess.1"] = "record",
    -- nothing but its own text tells that a body is whole which a mere FIN ends; not all TLS libraries trust that
    ["unlimited.1"] = "network record", ["oldstyle.1"] = "network record", ["nothing.1"] = "network bad_answer",
    ["alert.1"] = "network", ["spoilt.1"] = "network",
  }

  local function misbehaves(get_options, ...)
    local behaviours = {}
    for _, some in ipairs { ... } do
      for id, kinds in pairs(some) do behaviours[#behaviours + 1] = { id, kinds } end
    end
    table.sort(behaviours, function(a, b) return a[1] < b[1] end)

    local client
    setup(function() client = new(get_options()) end)
    teardown(function() client:close() end)

    for _, behaviour in ipairs(behaviours) do
      local id, kinds = behaviour[1], behaviour[2]
      it(("%s gives %s, and the next ones work"):format(id, kinds), function()
        local kind, err = outcome(client, id, kinds == "timeout" and { deadline = 0.2 } or nil)
        assert_one_of(kinds, kind)
        if err and id:find "^redirect%." then assert.equal(tonumber(id:match "%d+"), err.status) end
        for _ = 1, 2 do assert.equal("record", (outcome(client, "good." .. id:match "%.(.*)"))) end
        assert.equal(0, server:count("accept", "elsewhere")) -- not a byte, not even a connection
      end)
    end
  end

  describe("over HTTP:", function() misbehaves(function() return {} end, BEHAVIOURS, { ["unlimited.1"] = "record" }) end)

  describe("over TLS:", function()
    misbehaves(function() return { base_url = url("tls", "https"), ca_file = server.certificate } end, BEHAVIOURS, ALSO_OVER_TLS)
  end)

  -- From a hundred slots on, and once somebody wants a descriptor, sockets are watched in another way.
  describe("watched by epoll:", function() misbehaves(function() return { concurrency = 200 } end, BEHAVIOURS) end)

  describe("over HTTP/2", function()
    -- Each spoils its first answer only.
    for port, kinds in pairs {
      h2_reset = "network", h2_refused = "record network", h2_cut = "network", h2_short = "network", h2_long = "network",
      h2_goaway = "record network", h2_farewell = "record", h2_text = "network", h2_junk = "network", h2_endless = "too_large",
      h2_bomb = "too_large", h2_zipped = "record", h2_flood = "network too_large", h2_pushed = "network record",
      h2_strange = "network", h2_hints = "record", h2_pings = "record", h2_stalled = "timeout",
    } do
      it(("%s gives %s, and the next ones work"):format(port, kinds), function()
        local client = new { base_url = url(port, "https"), ca_file = server.certificate }
        assert_one_of(kinds, (outcome(client, "good.1", kinds == "timeout" and { deadline = 0.2 } or nil)))
        for _ = 1, 2 do assert.equal("record", (outcome(client, "good.1"))) end
        client:close()
      end)
    end

    it("what was never looked at is asked again", function()
      local client = new { base_url = url("h2_goaway", "https"), ca_file = server.certificate, retry = { base = 0.01 } }
      for _ = 1, 3 do assert.equal("good.1", client:get("good.1").id) end
      client:close()
    end)
  end)

  -- ---- answers that nobody waits for -------------------------------------------------------------------------------------

  for scheme, port in pairs { http = "http", https = "tls" } do
    describe("between two requests, over " .. scheme .. ",", function()
      local client, other
      before_each(function()
        client = new { base_url = url(port, scheme), ca_file = server.certificate }
        other = new {}
      end)
      after_each(function()
        client:close()
        other:close()
      end)

      -- libcurl takes what waits on an idle connection for the next answer. That it has the right id is all one can know.
      it("an answer that nobody asked for ends no id wrongly", function()
        client:close()
        client = new { base_url = url(port, scheme), ca_file = server.certificate, retry = { base = 0.01 } }
        assert.equal("record", (outcome(client, "unasked." .. scheme)))
        assert.equal("record", (outcome(other, "now." .. scheme))) -- it is on its way
        for i, id in ipairs { "good." .. scheme, "good.2", "good.3", "good.4" } do
          local gen, err = client:get(id)
          assert.same({ i, id, nil }, { i, gen and gen.id, err })
        end
      end)

      it("a connection may end", function()
        assert.equal("record", (outcome(client, "parting." .. scheme .. "-2")))
        assert.equal("record", (outcome(other, "now." .. scheme .. "-2")))
        assert.equal("record", (outcome(client, "good.1")))
      end)
    end)
  end

  it("is not led astray by an answer that comes before the question", function()
    local client = new { base_url = url "hasty" }
    client:get "good.hasty" -- nobody can tell whose answer this is
    assert.equal("record", (outcome(new {}, "now.hasty"))) -- the real one is on its way
    for i = 2, 6 do -- all that is said on this connection may be one answer behind: no record, rather than another's
      local gen, err = client:get("good." .. i)
      assert.equal(gen and "good." .. i or "wrong_id", gen and gen.id or err.kind)
    end
    client:close()
  end)

  it("lets no other answer into the place of one that was given up", function()
    for _, where in ipairs { { url "http" }, { url("tls", "https"), server.certificate } } do
      local client = new { base_url = where[1], ca_file = where[2], concurrency = 1 }
      server:mark()
      client:submit "stalled.1"
      assert.is_truthy(servers.wait_for(function()
        for _ in client:poll(0) do error "an answer" end
        return server:count "ask" == 1
      end))
      assert.is_true(client:cancel "stalled.1")
      for id, gen, err in client:poll() do assert.same({ "stalled.1", nil, "cancelled" }, { id, gen, err.kind }) end
      assert.equal("record", (outcome(client, "good.1")))
      assert.is_false(client:cancel "stalled.1" or false)
      client:close()
    end
  end)

  it("takes no more memory than an answer may have", function()
    local status = io.open "/proc/self/status"
    if not status then return pending "no /proc" end
    status:close()
    local out = child("", ([[
      local kinds = {}
      for _, where in ipairs { { %q, "mass.1" }, { %q, "masschunked.1" }, { %q, "massunlimited.1" }, { %q, "bomb.1" },
        { %q, "bombtwice.1" }, { %q, "bombchunked.1" } } do
        kinds[#kinds + 1] = get({ base_url = where[1], ca_file = %q }, where[2])
      end
      local most = 0
      for line in io.lines "/proc/self/status" do most = tonumber(line:match "^VmHWM:%%s*(%%d+)") or most end
      print(table.concat(kinds, " "), most > 0 and most < 60000 or most)
    ]]):format(url "http", url "http", url("tls", "https"), url "http", url("tls", "https"), url "http", server.certificate))
    assert.equal(("too_large "):rep(6):sub(1, -2) .. "\ttrue\n", out)
  end)

  -- ---- protocols ---------------------------------------------------------------------------------------------------------

  describe("speaks", function()
    for _, concurrency in ipairs { 32, 120 } do -- the server takes 128 at once
      it("HTTP/2 over one connection: " .. concurrency, function()
        local client = to_front("h2", { concurrency = concurrency })
        assert_all_answered(client, ids(1)) -- until the server has said how many, libcurl asks for 100 at once of a connection
        for _ = 1, 3 do assert_all_answered(client, ids(concurrency)) end
        local requests, connections = front:requests(1 + 3 * concurrency)
        assert.same({ 1 + 3 * concurrency, 1, "HTTP/2.0" }, { #requests, connections, common(requests, "protocol") })
        client:close()
      end)
    end

    it("HTTP/2 with more at once than the server takes", function()
      local client = to_front("h2", { concurrency = 300, window = 1000 })
      assert_all_answered(client, ids(900))
      local requests = front:requests(900)
      assert.same({ 900, "HTTP/2.0" }, { #requests, common(requests, "protocol") })
      client:close()
    end)

    it("HTTP/2 until the server has had enough, and then again", function()
      for _, concurrency in ipairs { 1, 8, 32, 120 } do
        local client = to_front("goaway", { concurrency = concurrency, retry = { base = 0.01 } })
        assert_all_answered(client, ids(200))
        local requests, connections = front:requests(200)
        assert.is_true(#requests >= 200 and connections >= 200 / 5)
        assert.equal("HTTP/2.0", common(requests, "protocol"))
        client:close()
      end
    end)

    it("HTTP/1.1 where it shall", function()
      local client = to_front("h2", { concurrency = 4, http_version = "1.1" })
      assert_all_answered(client, ids(40))
      local requests, connections = front:requests(40)
      assert.same({ 40, "HTTP/1.1" }, { #requests, common(requests, "protocol") })
      assert.is_true(connections <= 4)
      client:close()
    end)

    it("HTTP/1.1 where the server has nothing else", function()
      for _, port in ipairs { "h1", "http" } do
        local client = to_front(port, { concurrency = 4, http_version = "2" })
        assert_all_answered(client, ids(40))
        local requests, connections = front:requests(40)
        assert.same({ 40, "HTTP/1.1" }, { #requests, common(requests, "protocol") })
        assert.is_true(connections <= 4)
        client:close()
      end
    end)

    it("no version that there is not", function()
      for _, version in ipairs { "1.0", "3", "", "2.0" } do
        assert.error_matches(function() openrouter.client { http_version = version } end, "http_version")
      end
      assert.error_matches(function() openrouter.client { http_version = 2 } end, "http_version")
    end)

    it("and tells whether a connection was there before", function()
      for _, port in ipairs { "h2", "h1", "http" } do
        local reused = {}
        local client = to_front(port, { on_event = function(event) reused[#reused + 1] = event.reused end })
        for _ = 1, 3 do assert_all_answered(client, { "gen-1" }) end
        assert.same({ false, true, true }, reused)
        front:requests(3)
        client:close()
      end
    end)
  end)

  describe("compressed answers", function()
    it("are asked for, and unpacked", function()
      for _, port in ipairs { "h2", "h1", "http" } do
        local client = to_front(port, { path = "/zipped/api/v1" })
        assert_all_answered(client, ids(10))
        local requests = front:requests(10)
        assert.same({ 10, "gzip" }, { #requests, common(requests, "encoding") })
        assert.matches("gzip", common(requests, "accepts"))
        client:close()
      end
    end)

    it("count as what they are unpacked", function()
      for _, id in ipairs { "zippedexactly.%d", "exactly.%d" } do
        local client = new { max_body = 500 }
        assert.equal("record", (outcome(client, id:format(500))))
        assert.equal("too_large", (outcome(client, id:format(501))))
        assert.equal("record", (outcome(client, id:format(499))))
        client:close()
      end
    end)
  end)

  -- ---- where to ----------------------------------------------------------------------------------------------------------

  describe("unix socket", function()
    it("is asked like a host", function()
      for _, path in ipairs { ":/api/v1", ":/api/v1/", ":/zipped/api/v1" } do
        local client = new { base_url = "http://unix:" .. front.socket .. path, concurrency = 4 }
        assert_all_answered(client, ids(20))
        local requests, connections = front:requests(20)
        assert.same({ 20, "unix", "HTTP/1.1", "localhost" },
          { #requests, common(requests, "port"), common(requests, "protocol"), common(requests, "host") })
        assert.is_true(connections <= 4)
        client:close()
      end
    end)

    it("may have no path", function()
      for _, path in ipairs { "", ":", ":/" } do
        local client = new { base_url = "http://unix:" .. front.socket .. path }
        assert.equal("not_found", (outcome(client, "gen-1"))) -- /generation is not there
        front:requests(1)
        client:close()
      end
    end)

    it("may be missing", function()
      assert.equal("network", (outcome(new { base_url = "http://unix:" .. front.directory .. "/none:/api/v1" }, "gen-1")))
      assert.equal("network", (outcome(new { base_url = "http://unix:" .. front.certificate .. ":/api/v1" }, "gen-1")))
    end)

    it("must be one", function()
      for _, bad in ipairs { "", ":/api/v1", "socket:/api/v1", "/" .. ("x"):rep(200) .. ":/api/v1", "/a:api/v1", "/a:/api?x=1",
        "/a:/api#x", "/a://example.org/api", "/a:http://example.org/api" } do
        local client, err = openrouter.client { api_key = KEY, base_url = "http://unix:" .. bad }
        assert.is_nil(client)
        assert.equal("bad_request", err.kind)
      end
    end)

    it("is behind no proxy", function()
      local client, err = openrouter.client { api_key = KEY, base_url = "http://unix:" .. front.socket .. ":/api/v1",
        proxy = url("proxy"):gsub("/api/v1", "") }
      assert.same({ nil, "bad_request" }, { client, err.kind })
      local proxy = url("proxy"):gsub("/api/v1", "")
      assert.equal("record\n", child(("http_proxy=%s all_proxy=%s"):format(proxy, proxy),
        ("print(get { base_url = 'http://unix:%s:/api/v1' })"):format(front.socket)))
      assert.equal("unix", front:requests(1)[1].port)
      assert.equal(0, server:count("accept", "proxy"))
    end)
  end)

  it("asks IPv6 addresses", function()
    if not front.port.ipv6 then return pending "no IPv6 on this machine" end
    local client = to_front("ipv6", { concurrency = 4 })
    assert_all_answered(client, ids(20))
    local requests, connections = front:requests(20)
    assert.same({ 20, tostring(front.port.ipv6), "[::1]:" .. front.port.ipv6 },
      { #requests, common(requests, "port"), common(requests, "host") })
    assert.is_true(connections <= 4)
    client:close()
  end)

  describe("plain HTTP", function()
    -- 0.0.0.0 is this machine too, but not an address that says so
    it("goes anywhere only when it may", function()
      local where = url("http", "http", "0.0.0.0")
      for _, insecure in ipairs { false, "unset" } do
        local options = { api_key = KEY, base_url = where }
        if insecure ~= "unset" then options.insecure = insecure end
        local client, err = openrouter.client(options)
        assert.same({ nil, "bad_request" }, { client, err.kind })
      end
      local client = new { base_url = where, insecure = true }
      assert.equal("record", (outcome(client, "good.1")))
      assert.equal(1, server:count("accept", "http"))
      client:close()
      assert.error_matches(function() openrouter.client { insecure = "yes" } end, "insecure")
    end)

    it("goes through a proxy elsewhere only when it may", function()
      for _, proxy in ipairs { "http://192.0.2.1:3128", "socks5h://192.0.2.1", "http://visitor:let-me-in@proxy.test:1" } do
        local client, err = openrouter.client { api_key = KEY, base_url = server.url, proxy = proxy }
        assert.same({ nil, "bad_request" }, { client, err.kind })
        assert_without("let-me-in", err)
        for _, options in ipairs { { insecure = true }, { base_url = "https://openrouter.ai/api/v1" } } do
          new { base_url = options.base_url, insecure = options.insecure, proxy = proxy }:close()
        end
      end
    end)
  end)

  -- ---- TLS ---------------------------------------------------------------------------------------------------------------

  describe("TLS", function()
    local function kind_of(port, certificate, options)
      options = options or {}
      options.base_url, options.ca_file = options.base_url or url(port, "https"), certificate and server.directory .. certificate
      local client = new(options)
      local kind, err = outcome(client, "good.1")
      if kind == "tls" then
        assert.equal(0, server:count("ask", port))
        assert.is_false(err.retryable)
      end
      client:close()
      return kind, err and err.message
    end

    it("must not have expired", function()
      local kind, message = kind_of("tls_expired", "/expired.pem")
      assert.equal("tls", kind)
      assert.matches("expired", message)
    end)

    it("must be of a known CA", function()
      assert.equal("tls", (kind_of("tls_unknown")))
      assert.equal("tls", (kind_of("tls_unknown", "/right.pem")))
      assert.equal("record", (kind_of("tls_unknown", "/unknown_ca.pem")))
    end)

    it("must be of the name that is asked", function()
      assert.equal("record", (kind_of("tls", "/right.pem", { base_url = url("tls", "https", "localhost") })))
      for name, kind in pairs { ["api.test"] = "record", ["another.test"] = "tls", ["api.test.example.org"] = "tls" } do
        server:mark()
        assert.equal(kind, (kind_of("tls", "/right.pem", { base_url = url("tls", "https", name),
          proxy = "socks5h://127.0.0.1:" .. server.port.socks })))
      end
    end)

    it("is verified where plain HTTP may go anywhere, too", function()
      for _, port in ipairs { "tls_unknown", "tls_expired", "tls_wrong" } do
        assert.equal("tls", (kind_of(port, nil, { insecure = true })))
        assert.equal("tls", (kind_of(port, "/right.pem", { insecure = true })))
        assert.equal("tls", (kind_of(port, "/wrong.pem", { insecure = true })))
      end
    end)

    it("is verified behind proxies", function()
      for _, proxy in ipairs { "http://127.0.0.1:" .. server.port.proxy, "socks5h://127.0.0.1:" .. server.port.socks } do
        for _, insecure in ipairs { false, true } do
          assert.equal("tls", (kind_of("tls_unknown", "/right.pem", { proxy = proxy, insecure = insecure })))
          assert.equal("tls", (kind_of("tls_wrong", "/wrong.pem", { proxy = proxy, insecure = insecure })))
        end
      end
      assert.equal(4, #server:relayed "proxy")
      assert.equal(4, #server:relayed "socks")
    end)
  end)

  -- ---- proxies -----------------------------------------------------------------------------------------------------------

  describe("proxy", function()
    local function proxy_url(port, login)
      return ("%s://%s127.0.0.1:%d"):format(port == "socks" and "socks5h" or "http", login or "", server.port[port])
    end

    it("forwards plain HTTP, to this machine too", function()
      local client = new { proxy = proxy_url "proxy" }
      for i = 1, 3 do assert.equal("record", (outcome(client, "good." .. i))) end
      local asked = ("127.0.0.1:%d get key"):format(server.port.http)
      assert.same({ asked, asked, asked }, server:relayed "proxy")
      assert.same({ 1, 3, 1 }, { server:count("accept", "proxy"), server:count("ask", "http"), server:count("accept", "http") })
      client:close()
    end)

    it("tunnels TLS, and never sees the key", function()
      local bytes = #server:proxied()
      for port, proxy in pairs { tls = "proxy", h2 = "proxy_login", h1 = "socks" } do
        server:mark()
        local login = proxy == "proxy_login" and "visitor:let-me-in@" or nil
        local options = { base_url = url("tls", "https"), proxy = proxy_url(proxy, login), ca_file = server.certificate }
        local client = port == "tls" and new(options) or to_front(port, options)
        for i = 1, 3 do assert.equal("record", (outcome(client, "good." .. i))) end
        assert.equal(("127.0.0.1:%d %s"):format(server.port[port] or front.port[port],
          ({ proxy = "connect", proxy_login = "connect login", socks = "socks" })[proxy]), server:relayed(proxy)[1])
        assert.equal(1, #server:relayed(proxy))
        if port ~= "tls" then
          local requests, connections = front:requests(3)
          assert.same({ 3, 1, port == "h2" and "HTTP/2.0" or "HTTP/1.1" },
            { #requests, connections, common(requests, "protocol") })
        end
        client:close()
      end
      local seen = server:proxied():sub(bytes + 1)
      assert.is_true(#seen > 1000)
      assert_without(KEY, seen)
      assert.is_nil(seen:lower():find("\nauthorization:", 1, true))
    end)

    it("may be SOCKS, which resolves names itself", function()
      local client = new { base_url = url("tls", "https", "api.test"), proxy = proxy_url "socks", ca_file = server.certificate }
      assert.equal("record", (outcome(client, "good.1")))
      assert.same({ ("api.test:%d socks"):format(server.port.tls) }, server:relayed "socks")
      client:close()
      client = new { base_url = url("tls", "https", "api.test"), proxy = proxy_url "proxy", ca_file = server.certificate }
      assert.equal("record", (outcome(client, "good.1")))
      assert.same({ ("api.test:%d connect"):format(server.port.tls) }, server:relayed "proxy")
      client:close()
    end)

    it("gets its own login, and the server does not", function()
      for _, where in ipairs { server.url, url("tls", "https") } do
        server:mark()
        local client = new { base_url = where, ca_file = server.certificate,
          proxy = proxy_url("proxy_login", "visitor:let-me-in@") }
        local heard = assert(client:get "heard.1").heard
        assert.is_nil(heard:lower():find("proxy-", 1, true))
        assert.matches("\nAuthorization: Bearer " .. KEY:gsub("%-", "%%-"), heard)
        assert.is_truthy(server:relayed "proxy_login"[1]:find "login$")
        assert.equal(0, server:count("refuse", "proxy_login"))
        assert_without("let-me-in", client)
        client:close()
      end
    end)

    local LOGINS = { "wrong-password", "let-me-in", "wrong-visitor", "wrong%2Dpassword",
      "dmlzaXRvcjp3cm9uZy1wYXNzd29yZA", "d3JvbmctdmlzaXRvcjpsZXQtbWUtaW4" } -- as they are sent

    it("keeps its login out of every error", function()
      for _, login in ipairs { "visitor:wrong-password@", "wrong-visitor:let-me-in@", "visitor:wrong%2Dpassword@", "" } do
        for _, where in ipairs { server.url, url("tls", "https"), url("closed", "https"), url "closed" } do
          for _, proxy in ipairs { "proxy_login", "closed", "slammed", "http", "socks" } do
            if login ~= "" or proxy == "proxy_login" then
              local client = new { base_url = where, proxy = proxy_url(proxy, login), connect_timeout = 5 }
              local _, err = client:get "good.1"
              assert_without(KEY, err or "")
              for _, secret in ipairs(LOGINS) do
                assert_without(secret, err or "")
                assert_without(secret, client)
              end
              client:close()
            end
          end
        end
      end
    end)

    it("that refuses, or is none, is a failure of the network", function()
      for _, proxy in ipairs { "proxy_login", "closed", "slammed", "http", "tls" } do
        local client = new { base_url = url("tls", "https"), ca_file = server.certificate, proxy = proxy_url(proxy) }
        assert.equal("network", (outcome(client, "good.1"))) -- and no 4xx of the API
        client:close()
      end
      assert.equal(0, server:count("ask", "tls"))
      local client = new { base_url = url("closed", "https"), proxy = proxy_url "proxy" }
      assert.equal("network", (outcome(client, "good.1")))
      client:close()
      client = new { base_url = url("tls", "https"), ca_file = server.certificate, proxy = proxy_url "proxy" }
      assert.equal("network", (outcome(client, "cuthead.1"))) -- the proxy's 200 is not the server's
      assert.equal("record", (outcome(client, "good.1")))
      client:close()
    end)

    it("must be a URL", function()
      for _, bad in ipairs { "http://", "http://visitor:let-me-in@", "http://a b/", "::::", "http://127.0.0.1:99999" } do
        local client, err = openrouter.client { api_key = KEY, base_url = url("tls", "https"), proxy = bad }
        assert.same({ nil, "bad_request" }, { client, err and err.kind })
        assert_without("let-me-in", err)
      end
      assert.error_matches(function() openrouter.client { proxy = false } end, "proxy")
    end)

    describe("of the environment", function()
      -- Where requests go under this environment: "direct", "proxy …", or what is printed instead.
      local function way(environment, options)
        server:mark()
        local out = child(environment, ("print(get { insecure = true, ca_file = %q, %s })"):format(server.certificate, options))
        if out ~= "record\n" then return out end
        for _, port in ipairs { "proxy", "socks", "elsewhere" } do
          local relayed = server:relayed(port)
          if #relayed > 0 then return port .. " " .. relayed[1]:gsub(":%d+", "") end
        end
        return "direct"
      end

      local proxy, socks, plain, tls, here
      setup(function()
        proxy, socks = proxy_url "proxy", proxy_url "socks"
        plain = ("base_url = %q"):format(url("http", "http", "0.0.0.0"))
        tls = ("base_url = %q"):format(url("tls", "https", "0.0.0.0"))
        here = ("base_url = %q"):format(url("tls", "https"))
      end)

      it("is used", function()
        assert.equal("direct", way("", plain))
        assert.equal("direct", way("", tls))
        assert.equal("proxy 0.0.0.0 get key", way("http_proxy=" .. proxy, plain))
        assert.equal("direct", way("http_proxy=" .. proxy, tls))
        assert.equal("proxy 0.0.0.0 connect", way("https_proxy=" .. proxy, tls))
        assert.equal("proxy 0.0.0.0 connect", way("HTTPS_PROXY=" .. proxy, tls))
        assert.equal("direct", way("https_proxy=" .. proxy, plain))
        assert.equal("direct", way("HTTP_PROXY=" .. proxy, plain)) -- which CGI makes of a header `Proxy`
        for _, name in ipairs { "all_proxy=", "ALL_PROXY=" } do
          assert.equal("proxy 0.0.0.0 get key", way(name .. proxy, plain))
          assert.equal("proxy 0.0.0.0 connect", way(name .. proxy, tls))
          assert.equal("socks 0.0.0.0 socks", way(name .. socks, tls))
        end
      end)

      it("has its exceptions", function()
        for _, name in ipairs { "no_proxy=", "NO_PROXY=" } do
          for _, hosts in ipairs { "0.0.0.0", "'*'", "example.org,0.0.0.0" } do
            assert.equal("direct", way(("%s%s http_proxy=%s"):format(name, hosts, proxy), plain))
            assert.equal("direct", way(("%s%s https_proxy=%s"):format(name, hosts, proxy), tls))
          end
        end
        assert.equal("proxy 0.0.0.0 connect", way("no_proxy=example.org https_proxy=" .. proxy, tls))
      end)

      it("is not for this machine", function()
        for _, name in ipairs { "https_proxy=", "HTTPS_PROXY=", "all_proxy=", "ALL_PROXY=" } do
          assert.equal("direct", way(name .. proxy, here))
        end
      end)

      it("yields to what is asked for", function()
        local both = ("https_proxy=%s all_proxy=%s "):format(proxy, proxy)
        assert.equal("direct", way(both, tls .. ", proxy = ''"))
        assert.equal("socks 0.0.0.0 socks", way(both, tls .. (", proxy = %q"):format(socks)))
        assert.equal("socks 0.0.0.0 socks", way(both .. "no_proxy='*'", tls .. (", proxy = %q"):format(socks)))
        assert.equal("socks 127.0.0.1 socks", way("no_proxy='*'", here .. (", proxy = %q"):format(socks)))
      end)

      it("keeps its login out of every error", function()
        for _, port in ipairs { "proxy_login", "closed", "slammed" } do
          local address = proxy_url(port, "visitor:wrong-password@")
          local out, err = child(("https_proxy=%s http_proxy=%s"):format(address, address),
            ("print(get { %s }) print(get { %s, insecure = true })"):format(tls, plain))
          assert.matches("^network\n[%w_]+\n$", out)
          for _, secret in ipairs(LOGINS) do assert_without(secret, err) end
          assert_without(KEY, err)
        end
      end)
    end)
  end)
end)

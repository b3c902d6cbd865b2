if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end -- nginx brings its own Lua, whichever runs this

local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traffic = require "spec.nginx.traffic"
local upstream = require "spec.nginx.upstream"
local assert_without = require "spec.support.without"

local KEY = "sk-or-v1-0123456789abcdef"

-- What the ids ask for, as hostile.py has it, and how they end. `again`: open, and asked for more than once. `later`: open, and
-- left alone for a while, because the answer would not be another one.
local ENDS = {
  settled = [[good held nap chunked bytewise oldstyle hints excess poison poisonchunked hangup lastword lastreset unlimited
    notified oldkept exactly.500 exactly.1048576 identity flaky.503 flaky.529 fresh twice]],
  again = [[unlimitedhalf folded zipped xzipped zippedchunked deflated rawdeflated stacked.2 layered.2 zippedexactly.500 bomb
    bombchunked bombtwice zipcrc ziphalf zipcut zipnever zipempty ziperror unheardof status.404 status.408 status.500 status.599
    status.204 status.301 status.304 latefail unknown redirect redirect.301 redirect.307 redirectown html empty nothing truncated
    other gzip bodyless.204.a bodyless.304.b flood longline hintflood close reset resethead resetbody resetchunked alert spoilt
    cut cutchunk badchunk minuschunk cuthead hintcut garbage preface frames upgrade future headless lengths lengthstoo minus
    wordlength foldedlength nul both slow stalled drip driphead]],
  later = "exactly.1048577 mass masschunked massunlimited huge endless overchunk overlength",
  bad_request = "status.400 status.418 status.451 zippederror echo",
  forbidden = "status.403",
}

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

describe("nginx, whatever the API answers:", function()
  local api, hostile
  setup(function()
    api, hostile = upstream.start(), servers.hostile()
    os.execute("chmod 711 " .. hostile.directory) -- for nginx's account, which reads the certificate
  end)
  teardown(function()
    api:stop()
    hostile:stop()
  end)
  before_each(function() api:set { chat = "on" } end)
  after_each(shell.clean)

  local function url(port, scheme)
    if scheme == "http" then return ("http://127.0.0.1:%d/api/v1"):format(hostile.port[port]) end
    return ("https://api.test:%d/api/v1"):format(hostile.port[port])
  end

  local function proxy(port, scheme, options)
    options.env = { OPENROUTER_API_KEY = KEY }
    options.workers = 1
    return traffic.proxy({ url = url(port, scheme), port = api.port, certificate = options.certificate or hostile.certificate },
      options)
  end

  local function wait_for(condition, seconds)
    assert.is_truthy(servers.wait_for(condition, seconds))
  end

  local function times_asked(id)
    local times = 0
    for _, event in ipairs((hostile:events())) do
      if event.what == "ask" and event.id == id then times = times + 1 end
    end
    return times
  end

  local function is_open(p, id)
    for _, entry in ipairs((p:pending())) do
      if entry.id == id then return true end
    end
    return false
  end

  local function assert_no_key(p)
    assert_without(KEY, { p:errors(), p:access() })
    local status, found = shell.run(("grep -rlF %s %s"):format(KEY, shell.quote(p.dir)))
    assert.same({ 1, "" }, { status, found })
  end

  -- The ids failed with that kind of error, once.
  local function assert_failed(p, ids, kind)
    for _, id in ipairs(ids) do
      local outcome
      wait_for(function()
        outcome = traffic.outcomes(p)[id]
        return outcome
      end)
      assert.same({ 1, nil, kind }, { outcome.failed, outcome.settled, outcome.text:match '"error":{"kind":"([^"]+)"' })
      wait_for(function() return not is_open(p, id) end)
    end
  end

  for _, port in ipairs { "http", "tls" } do
    describe(port, function()
      local p, worker
      setup(function()
        hostile:mark()
        p = proxy(port, port == "http" and "http" or "https", { start = "first = 0.05, timeout = 1, consumers = 64" })
        worker = p:workers()
        local ids = {}
        for _, text in pairs(ENDS) do
          for _, name in ipairs(words(text)) do ids[#ids + 1] = "gen-" .. name end
        end
        traffic.run(p, { count = #ids, ids = ids })
      end)
      teardown(function() p:stop() end)

      it("settles others meanwhile", function()
        local ids = {}
        for i = 1, 20 do ids[i] = "gen-good.later-" .. i end
        traffic.run(p, { count = #ids, ids = ids })
        for _, id in ipairs(ids) do wait_for(function() return traffic.outcomes(p)[id] end) end
      end)

      for _, name in ipairs(words(ENDS.settled)) do
        it("settles " .. name, function()
          local id, outcome = "gen-" .. name, nil
          wait_for(function()
            outcome = traffic.outcomes(p)[id]
            return outcome and not is_open(p, id)
          end)
          assert.same({ 1, nil }, { outcome.settled, outcome.failed })
          assert.not_matches("stray", outcome.text)
          assert.matches('"user":"user-', outcome.text)
        end)
      end

      for _, kind in ipairs { "bad_request", "forbidden" } do
        for _, name in ipairs(words(ENDS[kind])) do
          it(("fails %s with %s"):format(name, kind), function() assert_failed(p, { "gen-" .. name }, kind) end)
        end
      end

      for ending, least in pairs { again = 2, later = 1 } do
        for _, name in ipairs(words(ENDS[ending])) do
          it(("has %s asked for %s"):format(name, ending), function()
            local id = "gen-" .. name
            wait_for(function() return times_asked(id) >= least end)
            assert.is_nil(traffic.outcomes(p)[id])
            assert.is_true(is_open(p, id))
          end)
        end
      end

      it("keeps its worker, its key, and its composure", function()
        assert.same(worker, p:workers())
        assert.equal(200, (p:curl("/api/v1/chat/last")))
        assert.equal(0, hostile:count("accept", "elsewhere")) -- where the redirects point
        assert_no_key(p)
        assert.not_matches("this is a bug", p:errors())
        assert.is_true(#traffic.said(p) <= 10, p:errors()) -- one for each kind of trouble
      end)
    end)
  end

  it("waits as long as it is told to", function()
    local p = proxy("http", "http", { start = "first = 0.05" })
    finally(function() p:stop() end)
    local ids = { "gen-again.Retry-After.1", "gen-again.retry-after-ms.300", "gen-dated.1" }
    traffic.settled_once(p, traffic.run(p, { count = #ids, ids = ids }))
    for _, id in ipairs(ids) do assert.equal(2, times_asked(id)) end
  end)

  it("takes no answer that it has not asked for from a connection it keeps, nor minds when that is closed", function()
    for _, name in ipairs { "unasked", "parting" } do
      for _, port in ipairs { "http", "tls" } do
        local p = proxy(port, port == "http" and "http" or "https", { start = "first = 0.05" })
        finally(function() p:stop() end)
        local mark = name .. port
        local ids = traffic.run(p, { count = 1, ids = { ("gen-%s.%s"):format(name, mark) } })
        traffic.settled_once(p, ids)
        -- it happens when somebody asks for this
        assert.equal(0, (shell.run(("curl -sf -m 20 '%s/generation?id=now.%s'"):format(hostile.url, mark))))
        for id, about in pairs(traffic.run(p, { count = 1, ids = { "gen-good." .. mark } })) do ids[id] = about end
        traffic.settled_once(p, ids)
        assert.not_matches("stray", shell.read(p.dir .. "/ledger.jsonl"))
        assert.equal("", p:errors())
        p:stop()
      end
    end
  end)

  it("believes at last what it has heard for a day, or that a record is missing", function()
    local old, files = { other = "wrong_id", html = "bad_answer", huge = "too_large", ["status.404"] = "not_found" }, {}
    local lines = {}
    for name in pairs(old) do
      lines[#lines + 1] = traffic.pending_line(("gen-%s.old"):format(name), { user = "u", route = "/" }, 25 * 3600)
    end
    files["1790000000000-4000000.jsonl"] = table.concat(lines)
    local p = proxy("http", "http", { start = "first = 0.05", prepare = function(dir) traffic.orphans(dir, files) end,
      changes = { { "unsettled", "WHOLE_AGE = 600", "WHOLE_AGE = 1" } } })
    finally(function() p:stop() end)
    for name, kind in pairs(old) do assert_failed(p, { ("gen-%s.old"):format(name) }, kind) end

    -- An answer that was cut short has its record much later, one that came whole has it at once or never.
    api:set { chat = "hold" }
    local cut = traffic.start(p, { count = 1, ids = { "gen-status.404.cut" }, stream = true, patience = 1 })
    assert.equal(0, cut:finish())
    api:set { chat = "on" }
    traffic.run(p, { count = 2, ids = { "gen-status.404.whole", "gen-elsewhere" } })
    assert_failed(p, { "gen-status.404.whole", "gen-elsewhere" }, "not_found")
    assert.matches("is the base URL right, which ends in /api/v1", traffic.outcomes(p)["gen-elsewhere"].text, 1, true)
    local times = times_asked "gen-status.404.cut"
    wait_for(function() return times_asked "gen-status.404.cut" > times end)
    assert.is_nil(traffic.outcomes(p)["gen-status.404.cut"])
    assert.not_matches("this is a bug", p:errors())
  end)

  -- Whom it cannot trust, or cannot talk to, it tells nothing.
  for _, case in ipairs {
    { "tls_wrong", "other_certificate", "tls" }, { "tls_expired", "certificate", "tls" }, { "tls_unknown", "certificate", "tls" },
    { "http", "certificate", "network" }, { "slammed", "certificate", "network" }, { "silent", "certificate", "timeout" },
    { "closed", "certificate", "network" },
  } do
    local port, certificate, kind = case[1], case[2], case[3]
    it("tells nothing to whom it cannot trust: " .. port, function()
      hostile:mark()
      local p = proxy(port, "https", { start = "first = 0.05, timeout = 1", certificate = hostile[certificate] })
      finally(function() p:stop() end)
      local ids = traffic.run(p, { count = 5 })
      wait_for(function() return p:errors():find(": " .. kind .. ": ", 1, true) end)
      for id in pairs(ids) do assert.is_true(is_open(p, id)) end
      assert.equal(0, hostile:count "ask")
      assert.is_nil(next(traffic.outcomes(p)))
      assert_no_key(p)
      assert.not_matches("this is a bug", p:errors())
    end)
  end
end)

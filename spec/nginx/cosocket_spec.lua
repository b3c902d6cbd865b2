-- Lookups over nginx's cosockets, in a real nginx: whom they trust, how often they connect, and what it takes to make them.
local configuration = require "spec.nginx.configuration"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traces = require "spec.nginx.traces"

if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end

local wait_for = servers.wait_for
local FAKE = "    location /fake/ {\n" .. configuration.logged() .. "      proxy_pass http://127.0.0.1:@PORT@/upstream/;\n    }\n"

local function ask(p, ids)
  local status, out, complaint = shell.run(("curl -sS --no-progress-meter -m 20 -Z -w '%%{http_code}\\n' -o /dev/null %s")
    :format(shell.quote(p.url .. "/fake/json?cost=0.5&id=" .. ids)))
  assert.same({ 0, "" }, { status, complaint })
  assert.equal("", (out:gsub("200\n", "")))
end

describe("cosockets", function()
  local p
  after_each(function()
    if p then p:stop() end
    p = nil
    shell.clean()
  end)

  -- Connections to a port of this machine, those that have been closed a while ago as well.
  local function connections(port)
    local seen, count, hex = {}, 0, (":%04X"):format(port)
    for line in shell.read("/proc/net/tcp"):gmatch "[^\n]+" do
      local here, there, state = line:match "^ *%d+: (%S+) (%S+) (%x%x)"
      if state and state ~= "0A" and (here:sub(-5) == hex or there:sub(-5) == hex) then
        local pair = here < there and here .. there or there .. here
        if not seen[pair] then seen[pair], count = true, count + 1 end
      end
    end
    return count
  end

  local CONSUMERS = 2 * 8 -- of both workers
  local IDS = {} -- of which each has no record when it is first asked for
  for i = 1, 200 do IDS[i] = "gen-1790000000-fresh-" .. i end

  -- The figures when all ids are settled: most requests took a connection that was there.
  local function looked_up(proxy)
    traces.all_settled(proxy, IDS)
    local figures
    wait_for(function()
      figures = proxy:metrics()
      return figures.openrouter_open_ids == 0 and figures.openrouter_settle_lag_seconds_count == #IDS
    end)
    local retries = figures['openrouter_retries_total{reason="not_found"}']
    assert.is_true(retries >= #IDS)
    assert.equal(#IDS + retries, figures.openrouter_requests_total)
    assert.is_true(figures.openrouter_connections_total <= CONSUMERS)
    assert.is_true(figures.openrouter_connections_total <= 0.05 * figures.openrouter_requests_total)
    assert.equal("", proxy:errors())
    return figures
  end

  -- Both at the same time, because records take a second to be there.
  it("keep their connections, after a 404 too, over TLS and without", function()
    local sandbox = servers.sandbox { tls = "openrouter.ai" }
    finally(function() sandbox:stop() end)
    p = servers.proxy { edit = configuration.edit { start = "first = 0.05", server = FAKE } }
    local plain = servers.proxy {
      upstream = sandbox, edit = configuration.edit { start = "first = 0.05, base_url = LOOKUPS", server = FAKE },
    }
    finally(function()
      plain:stop()
      sandbox:stop()
    end)
    assert.equal(0, connections(p.upstream.port))
    ask(p, "gen-1790000000-fresh-[1-200]")
    ask(plain, "gen-1790000000-fresh-[1-200]")

    local figures = looked_up(p)
    assert.equal(connections(p.upstream.port), figures.openrouter_connections_total)

    figures = looked_up(plain)
    local _, lookups = traces.lookups(plain)
    local seen, count = {}, 0
    for _, lookup in ipairs(lookups) do
      if not seen[lookup.connection] then seen[lookup.connection], count = true, count + 1 end
    end
    assert.same({ #lookups, count }, { figures.openrouter_requests_total, figures.openrouter_connections_total })
  end)

  it("need no libcurl, and nothing else that nginx has not", function()
    p = servers.proxy { edit = configuration.edit {
      start = "first = 0.05", server = FAKE,
      change = function(text) -- beside the other one, so that it could be loaded
        local folder = text:match 'lua_package_cpath "([^?]*)?.so' .. "openrouter"
        assert.equal(0, (shell.run(("cp %s/openrouter/curl.so %s"):format(os.getenv "OPENROUTER_BUILD", shell.quote(folder)))))
        return text
      end,
    } }
    ask(p, "gen-1790000000-maps[1-10]")
    for i = 1, 10 do traces.settled(p, "gen-1790000000-maps" .. i) end
    for _, pid in ipairs(p:workers()) do
      local maps = shell.read(("/proc/%d/maps"):format(pid))
      assert.matches("/openrouter/core%.so", maps)
      assert.not_matches("/[^\n]*curl", maps)
    end
    local _, text = shell.run("readelf -d " .. shell.quote(os.getenv "OPENROUTER_BUILD" .. "/openrouter/core.so"))
    local libraries = 0
    for name in text:gmatch "%(NEEDED%)[^\n]*%[(.-)%.so[^\n]*%]" do
      assert.is_true(name == "libc" or name == "libm" or name == "libpthread", name)
      libraries = libraries + 1
    end
    assert.is_true(libraries > 0)
  end)
end)

describe("cosockets trust", function()
  local p, hostile
  setup(function()
    hostile = servers.hostile()
    os.execute("chmod 711 " .. hostile.directory) -- certificates are read by the workers, which are not root
  end)
  teardown(function() if hostile then hostile:stop() end end)
  before_each(function() hostile:mark() end)
  after_each(function()
    if p then p:stop() end
    p = nil
    shell.clean()
  end)

  -- Lookups go to a port of the hostile server; chats do not. Of authorities there is this one.
  local function start(port, host, certificate)
    p = servers.proxy {
      upstream = { url = ("https://%s:%d/api/v1"):format(host, hostile.port[port]), port = hostile.port[port],
        certificate = hostile.directory .. "/" .. certificate },
      edit = configuration.edit { start = "first = 0.05", server = FAKE },
    }
  end

  it("a server that has the name which was asked for", function()
    for _, host in ipairs { "api.test", "localhost" } do
      hostile:mark()
      start("tls", host, "right.pem")
      ask(p, "gen-1790000000-known")
      assert.is_truthy(wait_for(function() return hostile:count("ask", "tls") > 0 end), host)
      p:stop()
    end
  end)

  local STRANGERS = {
    { "with another name", "tls_wrong", "wrong.pem", "certificate host mismatch" },
    { "of an unknown authority", "tls_unknown", "right.pem", "unable to verify the first certificate" },
    { "that is no longer valid", "tls_expired", "expired.pem", "certificate has expired" },
  }
  for _, case in ipairs(STRANGERS) do
    it("no server with a certificate " .. case[1] .. ", and send it nothing", function()
      start(case[2], "localhost", case[3])
      ask(p, "gen-1790000000-stranger[1-3]")
      assert.is_truthy(wait_for(function()
        local figures = p:metrics()
        return figures.openrouter_overflow_total >= 1 and figures.openrouter_open_ids == 3
      end))
      assert.equal(0, hostile:count("ask", case[2]))
      assert.is_true(hostile:count("accept", case[2]) >= 1)
      assert.same({ 6, {} }, { #p:pending(), (p:ledger()) })
      assert.matches("tls: TLS handshake with localhost:%d+: .*" .. case[4], p:errors())
    end)
  end
end)

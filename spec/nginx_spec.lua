-- The embedding in nginx, from the request to the ledger, in a real one. What nginx runs does not depend on the Lua that runs
-- this file, so that once is enough.
local cjson = require "cjson"
local configuration = require "spec.nginx.configuration"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traces = require "spec.nginx.traces"

if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end

local wait_for, logged, settled = servers.wait_for, configuration.logged, traces.settled
local EVERY_SPEC = "-H 'Authorization: Bearer sk-or-user'"

-- Status, body and headers that the proxy's upstream gives, without the proxy.
local function ask_api(p, path, arguments)
  local port = p.upstream.port
  local trust = ("--cacert %s --resolve openrouter.ai:%d:127.0.0.1"):format(p.upstream.certificate, port)
  local direct = setmetatable({ url = "https://openrouter.ai:" .. port }, { __index = p })
  return direct:curl(path, ("%s %s %s"):format(trust, EVERY_SPEC, arguments or ""))
end

local function record_of(p, id)
  local status, body = ask_api(p, "/api/v1/generation?id=" .. id)
  assert.equal(200, status)
  return body
end

-- ---- requests, one at a time ----------------------------------------------------------------------------------------

describe("the proxy", function()
  local p

  local CONTEXT = "{ user = ngx.var.remote_user, route = ngx.var.uri, by = 'capture' }"
  local CACHE = [[
      proxy_cache cache; proxy_cache_key $request_uri; proxy_cache_valid 200 1s; proxy_cache_use_stale http_500;
      add_header X-Cache $upstream_cache_status;
]]
  local SERVER = [[
    gzip_types application/json text/event-stream;
    gzip_proxied any;
    gzip_min_length 0;
    location /fake/ {
      ]] .. logged(CONTEXT, "{ status = ngx.status, by = 'log' }") .. [[
      proxy_pass http://127.0.0.1:@PORT@/upstream/; proxy_http_version 1.1; proxy_buffering off;
    }
    location /twice/ {
      header_filter_by_lua_block {
        local nginx = require "openrouter.nginx"
        nginx.capture { by = "first" }
        nginx.capture { by = "second" }
      }
      log_by_lua_block {
        local nginx = require "openrouter.nginx"
        nginx.log { status = 1 }
        nginx.log { status = 2 }
      }
      proxy_pass http://127.0.0.1:@PORT@/upstream/;
    }
    location /cached/ {
      ]] .. logged() .. CACHE .. [[
      set $to json;
      if (-f WORK/broken) { set $to broken; }
      proxy_pass http://127.0.0.1:@PORT@/upstream/$to?$args;
    }
]]

  setup(function()
    p = servers.proxy { edit = configuration.edit {
      start = "first = 0.05", server = SERVER, printed = { { "/site/", "" }, { "/gzipped/", "gzip on;" } },
      http = "proxy_cache_path WORK/cache keys_zone=cache:1m;",
      change = function(text) return configuration.substitute(text, "events {", "worker_rlimit_nofile 8192; events {") end,
    } }
    os.execute("mkdir " .. p.work .. "/files")
  end)
  teardown(function() if p then p:stop() end end)

  after_each(function()
    shell.clean()
    for _, name in ipairs { "gate", "taken", "broken" } do os.remove(p.work .. "/" .. name) end
    assert.equal("", p:errors())
  end)

  local FORMS = { { "an answer in one piece", "{}" }, { "a stream", '{"stream":true}' } }
  local WAYS = {
    { "", "/api/v1/chat/completions" },
    { " where no header has the id", "/site/bare/api/v1/chat/completions" },
    { " to a client that takes gzip", "/api/v1/chat/completions", "-H 'Accept-Encoding: gzip'" },
    { " where it compresses itself", "/gzipped/api/v1/chat/completions", "--compressed" },
    { " where it compresses itself, and no header has the id", "/gzipped/bare/api/v1/chat/completions", "--compressed" },
  }

  -- All are asked before the first one is looked at, because records take a second to be there.
  local asked
  local function ask_all()
    asked = {}
    for _, form in ipairs(FORMS) do
      for _, way in ipairs(WAYS) do
        local status, answer, headers = p:curl(way[2], ("%s %s --data-binary '%s'"):format(EVERY_SPEC, way[3] or "", form[2]))
        asked[form[1] .. way[1]] = { status = status, answer = answer, headers = headers, path = way[2] }
      end
    end
  end

  for _, form in ipairs(FORMS) do
    for _, way in ipairs(WAYS) do
      it("logs what " .. form[1] .. " cost" .. way[1], function()
        if not asked then ask_all() end
        local seen = asked[form[1] .. way[1]]
        assert.equal(200, seen.status)
        local id = seen.answer:match '"id":"(gen%-[^"]*)"'
        local usage = seen.answer:match '"usage":(%b{})'
        local cost = usage:match '"cost":([^,}]*)'
        assert.equal(not seen.path:find "bare" and id or nil, seen.headers["x-generation-id"])
        assert.equal(seen.path:find "gzipped" and "gzip" or nil, seen.headers["content-encoding"])

        local line = settled(p, id)
        assert.equal(usage, line:match '"instant":(%b{})')
        assert.equal(record_of(p, id), line:match '"answer":(.*)}$')
        assert.is_nil(line:find('"drift"', 1, true))
        assert.same({ route = seen.path, status = 200 }, cjson.decode(line).context)
        local logged_id, logged_cost = traces.access_end(p, id):match "^(%S+) (%S+)$"
        assert.same({ id, tonumber(cost) }, { logged_id, tonumber(logged_cost) })
        assert.is_nil(logged_cost:find "[eE]")
      end)
    end
  end

  it("does nothing with other traffic", function()
    local before = traces.seen(p)
    for _, path in ipairs { "/api/v1/models", "/page", "/api/v1/none" } do
      local status, body = p:curl("/site" .. path)
      local direct_status, direct_body = ask_api(p, path)
      assert.same({ direct_status, direct_body }, { status, body })
      assert.equal(" ", traces.access_end(p, "/site" .. path))
    end
    shell.write(p.work .. "/files/other.json", '{"id":"chatcmpl-1","usage":{"cost":"much"}}')
    shell.write(p.work .. "/files/page.html", '{"id":"gen-1790000000-page","usage":{"cost":1}}')
    assert.equal(200, (p:curl "/fake/files/other.json"))
    assert.equal(200, (p:curl "/fake/files/page.html"))
    for _, id in ipairs { "chatcmpl-1", "gen-%20", "gen-" .. ("x"):rep(200) } do
      assert.equal(200, (p:curl("/fake/json?cost=0.5&id=" .. id)))
      assert.equal(" 0.5", traces.access_end(p, id))
    end
    assert.equal(" ", traces.access_end(p, "page.html"))
    assert.equal(before, traces.seen(p))
  end)

  it("logs once what comes out of a cache", function()
    local id = "gen-1790000000-cached"
    local function ask()
      local status, body, headers = p:curl(("/cached/?id=%s&cost=0.5"):format(id))
      assert.equal(200, status)
      return headers["x-cache"], body
    end
    local how, body = ask()
    assert.equal("MISS", how)
    settled(p, id)
    shell.write(p.work .. "/broken", "")
    local again, again_body
    wait_for(function()
      again, again_body = ask()
      assert.equal(body, again_body)
      return again ~= "HIT"
    end)
    assert.equal("STALE", again)
    assert.equal(1, #traces.journal_lines(p, "pending", id))
    local count = 0
    for _, line in ipairs(p:access()) do
      if line:find(id .. " 0.5", 1, true) then count = count + 1 end
    end
    assert.equal(1, count)
  end)

  local SPELLINGS = { ["0.00000042"] = "4.2e-7", ["0"] = "0", ["12"] = "1.2E1", ["0.1234567890123456789012345"] =
    "0.1234567890123456789012345", [""] = '"1"', ["0.5"] = "0.50" }
  for plain, spelt in pairs(SPELLINGS) do
    it(("has %s as $openrouter_cost for a cost of %s"):format(plain, spelt), function()
      local id = "gen-1790000000-spelt-" .. spelt:gsub("[^%w.]", "")
      assert.equal(200, (p:curl(("/fake/json?id=%s&cost=%s"):format(id, spelt:gsub('"', "%%22")))))
      assert.equal(id .. " " .. plain, traces.access_end(p, id .. "&"))
    end)
  end

  it("merges what was known at the beginning and at the end", function()
    local id = "gen-1790000000-merged"
    assert.equal(200, (p:curl("/fake/json?cost=0.5&id=" .. id, "-u rosa:secret")))
    assert.same({ user = "rosa", route = "/fake/json", status = 200, by = "log" }, cjson.decode(settled(p, id)).context)
  end)

  it("takes the first call of each kind, where there are more", function()
    local id = "gen-1790000000-twice"
    assert.equal(200, (p:curl("/twice/json?cost=0.5&id=" .. id)))
    assert.same({ by = "first", status = 1 }, cjson.decode(settled(p, id)).context)
    assert.same({ 1, 1 }, { #traces.journal_lines(p, "pending", id), #traces.journal_lines(p, "note", id) })
  end)

  it("tells by how much the bill differs from what the answer said", function()
    local id = "gen-1790000000-drift"
    local billed = record_of(p, id):match '"total_cost":(0%.%d+)'
    assert.equal(200, (p:curl(("/fake/json?id=%s&cost=1%s"):format(id, billed:sub(2)))))
    assert.equal("-1", settled(p, id):match '"drift":"?([^,"]*)')
    id = "gen-1790000000-none"
    billed = record_of(p, id):match '"total_cost":(0%.%d+)'
    assert.equal(200, (p:curl(("/fake/json?id=%s&cost=%s"):format(id, billed))))
    assert.is_nil(settled(p, id):find '"drift"')
  end)

  -- ---- the client -----------------------------------------------------------------------------------------------------

  local CHANGING = { date = true, connection = true, ["x-worker"] = true }
  local function unchanged(path, arguments)
    local status, body, headers = p:curl("/upstream/" .. path, arguments)
    local seen_status, seen_body, seen_headers = p:curl("/fake/" .. path, arguments)
    for name in pairs(CHANGING) do headers[name], seen_headers[name] = nil, nil end
    assert.same({ status, headers }, { seen_status, seen_headers })
    if arguments ~= "-I" then assert.is_true(body == seen_body) end -- with -I, curl gives the headers for it
    return status, body
  end

  it("hands on every byte", function()
    local bytes = {}
    for i = 1, 400000 do bytes[i] = string.char(i * i % 251, i % 256, math.floor(i / 256) % 256) end
    local text = '{"choices":[' .. table.concat(bytes)
    for _, name in ipairs { "bytes.json", "bytes.events", "bytes.html" } do
      local path = "files/" .. name
      shell.write(p.work .. "/" .. path, text)
      local status, body = unchanged(path .. "?id=gen-1790000000-" .. name)
      assert.same({ 200, #text }, { status, #body })
      assert.equal(206, (unchanged(path, "-r 5-100")))
      assert.equal(200, (unchanged(path, "-I")))
      settled(p, "gen-1790000000-" .. name)
    end
    shell.write(p.work .. "/files/empty.json", "")
    assert.equal(200, (unchanged "files/empty.json"))
    assert.equal(404, (unchanged "files/none.json"))
    assert.equal(500, (unchanged "broken?id=gen-1790000000-broken"))
    for _, cost in ipairs { "1", "{", "]]]]", "\\" } do
      assert.equal(200, (unchanged(("json?id=gen-1790000000-odd&cost=%s"):format(cost), "-g")))
    end
  end)

  it("hands on each event when it comes", function()
    local id = "gen-1790000000-steps"
    local pipe = io.popen(("curl -sN -m 20 '%s/fake/steps?count=30&id=%s'"):format(p.url, id))
    for i = 1, 30 do
      assert.equal(('data: {"id":"%s","choices":[%d]}'):format(id, i), pipe:read "*l")
      assert.equal("", pipe:read "*l")
      if i == 1 then assert.equal(1, #traces.journal_lines(p, "pending", id)) end -- the disk had it first
      shell.write(p.work .. "/taken.new", tostring(i))
      os.rename(p.work .. "/taken.new", p.work .. "/taken")
    end
    assert.is_nil(pipe:read "*l")
    pipe:close()
    settled(p, id)
  end)

  it("logs a stream whose client has gone", function()
    local id = "gen-1790000000-gone"
    shell.run(("curl -sN -m 20 '%s/fake/events?pause=0.01&id=%s' | head -n 1"):format(p.url, id))
    local line = settled(p, id)
    local notes = traces.journal_lines(p, "note", id)
    assert.equal(1, #notes)
    assert.is_true(cjson.decode(notes[1]).interrupted)
    assert.same({ nil, "/fake/events" }, { cjson.decode(line).instant, cjson.decode(line).context.route })
    assert.equal(id .. " ", traces.access_end(p, id))

    id = "gen-1790000000-stayed"
    shell.write(p.work .. "/gate", "")
    p:curl("/fake/events?id=" .. id)
    settled(p, id)
    notes = traces.journal_lines(p, "note", id)
    assert.is_nil(cjson.decode(notes[1]).interrupted)
  end)

  it("logs each of 500 streams at once, once", function()
    local ids, list, before = {}, {}, traces.seen(p)
    for i = 1, 500 do ids[i] = "gen-1790000000-many" .. i end
    -- curl has at most 300 transfers at once
    for half = 0, 1 do
      local range = ("[%d-%d]"):format(half * 250 + 1, half * 250 + 250)
      list[#list + 1] = ("curl -sN -m 60 --no-progress-meter -Z --parallel-max 250 --parallel-immediate -o %s/stream#1 %s&")
        :format(p.work, shell.quote(p.url .. "/fake/events?id=gen-1790000000-many" .. range))
    end
    local pipe = io.popen(table.concat(list, " ") .. " wait")
    local held = wait_for(function()
      local now = p:metrics()
      return now.openrouter_captured_total == before + 500 and now.openrouter_open_ids == 500
    end)
    shell.write(p.work .. "/gate", "")
    pipe:close()
    assert.is_true(held)
    for i, id in ipairs(ids) do
      assert.matches(('^data: {"id":"%s"}\n\n.*data: %%[DONE%%]\n\n$'):format(id:gsub("%-", "%%-")),
        shell.read(p.work .. "/stream" .. i))
    end
    traces.all_settled(p, ids)
    for _, id in ipairs(ids) do assert.equal(0.25, cjson.decode(settled(p, id)).instant.cost) end
    assert.is_truthy(wait_for(function() return p:metrics().openrouter_open_ids == 0 end))
    assert.equal(0, #p:pending())
    local after = p:metrics()
    assert.same({ before + 500, 0 }, { after.openrouter_captured_total, after.openrouter_lost_total })
  end)
end)

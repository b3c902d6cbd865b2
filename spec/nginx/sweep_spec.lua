-- What the sweep does about requests without a log phase, and about segments that are not as they should be.
if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end -- nginx brings its own Lua, whichever runs this

local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traces = require "spec.nginx.traces"
local traffic = require "spec.nginx.traffic"
local upstream = require "spec.nginx.upstream"

local PATIENCE = 10 -- seconds
-- Looks for what is on disk alone: for all of it, and how often there is one at all.
local OFTEN, ROOM = { "nginx/sweep", "ADOPT_EVERY", "0.5" }, { "nginx/sweep", "ROOM_EVERY", "0.5" }
local ORPHAN = "1790000000000-4000000.jsonl"

describe("the sweep", function()
  local api
  setup(function() api = upstream.start() end)
  teardown(function() api:stop() end)
  before_each(function() api:set { chat = "on", generation = "record", late = "record" } end)
  after_each(shell.clean)

  local function wait_for(condition)
    assert.is_truthy(servers.wait_for(condition, PATIENCE))
  end

  -- One worker, which is gone with the test.
  local function start(options)
    options.workers, options.start = 1, "first = 0.05, drain = 1"
    local p = traffic.proxy(api, options)
    finally(function() p:stop() end)
    return p
  end

  local function ask(p, id, path)
    assert.equal(200, (p:curl(path or "/api/v1/chat/sweep", ("-H 'X-Id: %s'"):format(id))))
  end

  local function settled(p, id)
    assert.equal(1, traffic.settled_once(p, { [id] = {} }, PATIENCE))
  end

  -- The worker is told to leave, and does.
  local function reload(p)
    local before = p:workers()[1]
    p:signal "HUP"
    wait_for(function() return shell.run("kill -0 " .. before) ~= 0 end)
  end

  -- ---- requests without a log phase ----

  it("lets a worker leave whose request never came to log(), and its id is settled by the next one", function()
    local p = start { changes = { OFTEN, ROOM }, more = [[location /nolog/ {
      header_filter_by_lua_block { require("openrouter.nginx").capture() }
      body_filter_by_lua_block   { require("openrouter.nginx").scan() }
      proxy_pass http://openrouter/api/v1/chat/;
    }]] }
    ask(p, "gen-nolog", "/nolog/x")
    reload(p)
    settled(p, "gen-nolog")
  end)

  it("has no subrequest to wait for: its id is settled at its end", function()
    local p = start { more = [[location = /main {
      content_by_lua_block { ngx.print(ngx.location.capture("/api/v1/chat/sub").body) }
    }]] }
    ask(p, "gen-sub", "/main")
    settled(p, "gen-sub")
    reload(p)
  end)

  -- ---- segments ----

  local function size(path)
    local file = assert(io.open(path, "rb"))
    local bytes = file:seek "end"
    file:close()
    return bytes
  end

  it("compacts a segment of which much is closed when its lines are long, too", function()
    local p = start { changes = { { "nginx/journal", "MUCH_CLOSED", "2000" } } }
    api:set { late = "404" }
    ask(p, "gen-late-open")
    local url = ("%s/api/v1/chat/%s?n=[1-40]"):format(p.url, ("x"):rep(700))
    assert.equal(0, (shell.run("curl -s -f -m 20 -o /dev/null " .. shell.quote(url))))
    local path = traffic.segments(p)[1]
    wait_for(function() return #p:pending() == 2 and size(path) < 8000 end) -- all lines are about 40,000 bytes
    api:set { late = "record" }
    wait_for(function() return traffic.outcomes(p)["gen-late-open"] end)
    assert.not_matches("this is a bug", p:errors())
  end)

  it("settles an id of which there is the note alone, and its segment goes", function()
    local note = '{"note":"gen-noted","open":true ,"at":"%s","context":{"user":"rosa"},"instant":{"cost":0.25}}\n'
    local p = start { changes = { OFTEN, ROOM }, prepare = function(dir)
      traffic.orphans(dir, { [ORPHAN] = note:format(os.date "!%Y-%m-%dT%H:%M:%S.000Z") })
    end }
    settled(p, "gen-noted")
    assert.matches('"context":{"user":"rosa"}.*"cost":0%.25', traces.settled(p, "gen-noted"))
    wait_for(function() return not traffic.exists(p.dir .. "/pending/" .. ORPHAN) end)
  end)

  -- Lines of what another worker saw so many seconds ago, and heard the end of.
  local function seen(id, age)
    return traffic.pending_line(id, { user = "u", route = "/" }, age)
  end

  local function note(id, age, more)
    local at = os.date("!%Y-%m-%dT%H:%M:%S.000Z", os.time() - age)
    return ('{"note":"%s","open":true ,"at":"%s"%s}\n'):format(id, at, more or "")
  end

  local HOUR = 3600

  it("settles an id once that was seen twice", function()
    local lines = seen("gen-twice", 5) .. note("gen-twice", 4)
    local p = start { changes = { OFTEN, ROOM }, prepare = function(dir)
      traffic.orphans(dir, { [ORPHAN] = lines .. lines })
    end }
    wait_for(function() return not traffic.exists(p.dir .. "/pending/" .. ORPHAN) end)
    settled(p, "gen-twice")
  end)

  it("asks for no id before it has read how its request ended, however long a segment takes", function()
    local lines = { seen("gen-end", 9) }
    for i = 1, 8 do lines[#lines + 1] = seen("gen-between-" .. i, 8) end
    lines[#lines + 1] = note("gen-end", 7, ',"instant":{"cost":0.25}')
    local p = start {
      changes = { OFTEN, ROOM, { "nginx/journal", "SLICE", "200" }, { "nginx/journal", "ngx.sleep(0.001)", "ngx.sleep(0.2)" } },
      prepare = function(dir) traffic.orphans(dir, { [ORPHAN] = table.concat(lines) }) end,
    }
    wait_for(function() return not traffic.exists(p.dir .. "/pending/" .. ORPHAN) end)
    assert.equal(9, traffic.settled_once(p, { ["gen-end"] = {} }, PATIENCE))
    assert.matches('"instant":{"cost":0.25}', traces.settled(p, "gen-end"), 1, true)
  end)

  it("ends a 404 where settle does: after a day, and ten minutes after a whole answer", function()
    api:set { late = "404" }
    local over = {
      ["gen-late-whole"] = { 660, 650 }, ["gen-late-stream"] = { 3 * HOUR, HOUR },
      ["gen-late-old"] = { 25 * HOUR }, ["gen-late-cut-old"] = { 25 * HOUR, 24 * HOUR, ',"interrupted":true' },
    }
    local open = {
      ["gen-late-whole-young"] = { 500, 490 }, ["gen-late-stream-young"] = { 3 * HOUR, 500 },
      ["gen-late-cut"] = { 23 * HOUR, 23 * HOUR, ',"interrupted":true' }, ["gen-late-unknown"] = { 23 * HOUR },
    }
    local lines, notes = {}, {} -- the end of each request comes long after all have begun
    for _, cases in ipairs { over, open } do
      for id, case in pairs(cases) do
        lines[#lines + 1] = seen(id, case[1])
        notes[#notes + 1] = case[2] and note(id, case[2], case[3])
      end
    end
    local p = start { changes = { OFTEN, ROOM }, prepare = function(dir)
      traffic.orphans(dir, { [ORPHAN] = table.concat(lines) .. table.concat(notes) })
    end }
    for id in pairs(over) do assert.matches('"error":{"kind":"not_found"', traces.settled(p, id, "failed"), 1, true) end
    for id in pairs(open) do assert.is_nil(traffic.outcomes(p)[id]) end
    api:set { late = "record" }
    for id in pairs(open) do traces.settled(p, id) end
    for id in pairs(over) do assert.is_nil(traffic.outcomes(p)[id].settled) end
  end)

  it("says once that a segment cannot be opened, and goes on with the others", function()
    local p = start { changes = { OFTEN, ROOM }, prepare = function(dir)
      traffic.orphans(dir, { [ORPHAN] = traffic.pending_line("gen-locked", { user = "u", route = "/" }) })
      shell.run("chmod 0 " .. shell.quote(dir .. "/pending/" .. ORPHAN))
    end }
    wait_for(function() return #traces.complaints(p, ORPHAN) > 0 end)
    local name = "1790000000001-4000001.jsonl"
    traffic.orphans(p.dir, { [name] = traffic.pending_line("gen-next", { user = "u", route = "/" }) })
    wait_for(function() return traffic.outcomes(p)["gen-next"] end) -- by a later look
    assert.equal(1, #traces.complaints(p, ORPHAN))
    assert.matches("%[alert%].*openrouter: .*Permission denied", traces.complaints(p, ORPHAN)[1])
  end)
end)

-- What becomes of ids whose key is refused, unknown, or came with the request, and of those for which a call goes wrong.
if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end -- nginx brings its own Lua, whichever runs this

local configuration = require "spec.nginx.configuration"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traces = require "spec.nginx.traces"
local traffic = require "spec.nginx.traffic"
local upstream = require "spec.nginx.upstream"

local PATIENCE = 10 -- seconds
local SOON = { "nginx/settle", "PAUSE, LONGEST_PAUSE", "1, 2" }
-- Looks for what is on disk alone: for all of it, and how often there is one at all.
local OFTEN, ROOM = { "nginx/sweep", "ADOPT_EVERY", "0.5" }, { "nginx/sweep", "ROOM_EVERY", "0.5" }

describe("nginx settles", function()
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
    options.workers = 1
    local p = traffic.proxy(api, options)
    finally(function() p:stop() end)
    return p
  end

  local function ask(p, id, token, query)
    local header = token and shell.quote("Authorization: Bearer " .. token)
    local arguments = ("-H 'X-Id: %s' %s"):format(id, header and "-H " .. header or "")
    assert.equal(200, (p:curl("/api/v1/chat/settle" .. (query or ""), arguments)))
    return id
  end

  -- "settled" or "failed", once the ledger has the id.
  local function ending(p, id)
    local outcome
    wait_for(function()
      outcome = traffic.outcomes(p)[id]
      return outcome
    end)
    return outcome.settled and "settled" or "failed"
  end

  local function has(p, name, value)
    return function() return (p:metrics()["openrouter_" .. name] or 0) >= value end
  end

  it("what was on the wire when its key was refused, and all that comes after", function()
    local p = start { start = "first = 0.05", changes = { SOON, OFTEN, ROOM } }
    api:set { late = "hold", generation = "401" }
    ask(p, "gen-late-wire")
    wait_for(function() return api:asked()["gen-late-wire"] end)
    ask(p, "gen-refused")
    wait_for(function() return #traces.complaints(p, "is refused") > 0 end)
    api:set { late = "404" }
    wait_for(has(p, 'retries_total{reason="not_found"}', 1))
    api:set { late = "record", generation = "record" }
    ask(p, "gen-after")
    assert.equal(3, traffic.settled_once(p, { ["gen-late-wire"] = {}, ["gen-refused"] = {}, ["gen-after"] = {} }, PATIENCE))
    assert.not_matches("this is a bug", p:errors())
  end)

  it("ids with new tokens after there were more tokens than room", function()
    local p = start { start = "first = 0.05, key = 'request', window = 3",
      changes = { ROOM, { "nginx/settle", "MAX_REQUEST_KEYS", "3" } } }
    api:set { generation = "hold", late = "hold" }
    for i = 1, 3 do ask(p, "gen-fits-" .. i, "one") end
    for i = 1, 4 do ask(p, "gen-over-" .. i, "over-" .. i) end
    api:set { generation = "record" }
    wait_for(function() return #p:pending() == 0 end)
    for i = 1, 3 do ask(p, "gen-late-new-" .. i, "new-" .. i) end
    api:set { late = "record" }
    for i = 1, 3 do assert.equal("settled", ending(p, "gen-late-new-" .. i)) end
  end)

  it("what has a request's key once the API answers sense again", function()
    local p = start { start = "first = 0.05, key = 'request'", changes = { SOON, OFTEN, ROOM } }
    api:set { generation = "html" }
    ask(p, "gen-html", "sk-or-client")
    wait_for(function() return (api:asked()["gen-html"] or 0) > 3 end) -- three is what an engine puts up with
    api:set { generation = "record" }
    assert.equal("settled", ending(p, "gen-html"))
  end)

  it("nothing with keys that nobody knows, and says so once", function()
    local p = start { start = "first = 0.05, key = function() return ngx.var.arg_key end" }
    assert.equal(0, (shell.run("curl -s -f -m 20 -o /dev/null " .. shell.quote(p.url .. "/api/v1/chat/x?key=name[1-50]"))))
    wait_for(has(p, "overflow_total", 50))
    assert.equal(100, #p:pending())
    assert.equal(1, #traces.complaints(p, "there is no key named 'name1' "))
    assert.equal(1, #traffic.said(p), p:errors())
  end)

  it("what has no key as failed when the ledger can be written, without a timer for each", function()
    local p = start { start = "first = 0.05, key = 'request'", changes = { OFTEN, ROOM },
      prepare = function(dir) shell.run("mkdir " .. shell.quote(dir .. "/ledger.jsonl")) end,
      more = [[location = /timers {
        content_by_lua_block { ngx.print(ngx.timer.running_count() + ngx.timer.pending_count()) }
      }]] }
    local function timers() return tonumber((select(2, p:curl "/timers"))) end
    wait_for(function() return timers() == 9 end) -- 8 consumers, and the sweep
    local ids = {}
    for i = 1, 20 do ids[i] = ask(p, "gen-keyless-" .. i) end
    wait_for(has(p, "journal_errors_total", 1))
    wait_for(has(p, "open_ids", 20))
    assert.is_true(timers() <= 10) -- segments may be read just then
    assert(os.remove(p.dir .. "/ledger.jsonl"))
    for _, id in ipairs(ids) do assert.equal("failed", ending(p, id)) end
    wait_for(function() return #p:pending() == 0 end)
  end)

  it("an id whose note cannot be made", function()
    local line = "  local why = self.trouble\n  if entry.source then"
    local p = start { start = "first = 0.05",
      changes = { { "nginx/journal", line, "  do error 'out of order' end\n" .. line } } }
    assert.equal("settled", ending(p, ask(p, "gen-noteless")))
    assert.equal(1, #traces.complaints(p, "out of order"))
    assert.equal(1, #traffic.said(p), p:errors())
  end)

  -- ---- with the configuration changed further, and a note of who asks ----

  local function configured(changes)
    local p = servers.proxy { upstream = api, workers = 1, edit = function(text)
      return (configuration.edit(changes)(text):gsub("proxy_pass https:", "proxy_pass http:"))
    end }
    finally(function() p:stop() end)
    return p
  end

  for _, case in ipairs { { "", "?key=request" }, { "?key=request", "" } } do
    it(("each id with its own key, though a token is the name of one: %s first"):format(
      case[1] == "" and "the name" or "the token"), function()
      local p = configured { start = "first = 0.05, base_url = LOOKUPS, key = function() return ngx.var.arg_key end" }
      api:set { late = "404" }
      ask(p, "gen-late-first", "default", case[1])
      wait_for(function() return api:asked()["gen-late-first"] end)
      ask(p, "gen-second", "default", case[2])
      assert.equal("settled", ending(p, "gen-second"))
      local lookups = traces.lookups(p)
      assert.same({ case[2] == "" and "sk-or-sandbox" or "default" }, lookups["gen-second"])
      assert.equal(case[1] == "" and "sk-or-sandbox" or "default", lookups["gen-late-first"][1])
    end)
  end

  it("as it was told first: start() refuses to be called again", function()
    local p = configured {
      start = "first = 0.05",
      server = "location = /starts { content_by_lua_block { ngx.print(package.loaded.starts) } }",
      change = function(text)
        return (text:gsub('require%("openrouter.nginx"%)%.start %b{}', function(call)
          return ([[
            local first, second, why = %s, require("openrouter.nginx").start { dir = "WORK/elsewhere" }
            package.loaded.starts = table.concat({ tostring(first), tostring(second), tostring(why) }, " ")]]):format(call)
        end))
      end,
    }
    local status, said = p:curl "/starts"
    assert.equal(200, status)
    assert.matches("^true nil start%(%) has run in this worker before", said)
    assert.equal(1, #traces.complaints(p, "start() has run in this worker before"))
    assert.equal("settled", ending(p, ask(p, "gen-started")))
    assert.is_false(traffic.exists(p.work .. "/elsewhere"))
  end)
end)

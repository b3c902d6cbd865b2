if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end -- nginx brings its own Lua, whichever runs this

local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traffic = require "spec.nginx.traffic"
local upstream = require "spec.nginx.upstream"

local COUNT = 20 -- requests each time
local OFTEN = { "nginx/sweep", "ADOPT_EVERY", "1" }

describe("nginx, however it ends:", function()
  local api
  setup(function() api = upstream.start() end)
  teardown(function() api:stop() end)
  before_each(function() api:set { chat = "on", generation = "record" } end)
  after_each(shell.clean)

  local function wait_for(condition, seconds)
    assert.is_truthy(servers.wait_for(condition, seconds))
  end

  local function all_dead(pids)
    return function()
      for _, pid in ipairs(pids) do
        if shell.run("kill -0 " .. pid) == 0 then return false end
      end
      return true
    end
  end

  -- ---- the ends ----

  -- The worker with the most open lines.
  local function busiest(p)
    local most, busy = 0, nil
    for _, path in ipairs(traffic.segments(p)) do
      local _, count = shell.read(path):gsub('"open":true ', "")
      if count > most then most, busy = count, tonumber(path:match "%-(%d+)%.jsonl$") end
    end
    return busy
  end

  -- As many workers as before, and none of these.
  local function replaced(p, count, old)
    return function()
      local now = p:workers()
      for _, pid in ipairs(now) do
        for _, gone in ipairs(old) do
          if pid == gone then return false end
        end
      end
      return #now == count
    end
  end

  local ENDS = {
    reload = function(p)
      local before = p:workers()
      p:signal "HUP"
      wait_for(replaced(p, 2, before))
    end,
    QUIT = function(p) p:signal "QUIT" end,
    TERM = function(p) p:signal "TERM" end,
    ["kill -9 of a worker"] = function(p)
      local victim = busiest(p)
      p:signal("KILL", victim)
      wait_for(replaced(p, 2, { victim }))
    end,
    ["kill -9 of all"] = function(p)
      local workers = p:workers()
      p:signal "KILL"
      for _, pid in ipairs(workers) do p:signal("KILL", pid) end
    end,
  }
  local STARTED_AGAIN = { QUIT = true, TERM = true, ["kill -9 of all"] = true }
  local GRACEFUL = { reload = true, QUIT = true } -- requests are served to their end

  -- ---- the moments ----

  local function assert_unasked(ids)
    local asked = api:asked()
    for id in pairs(ids) do assert.is_nil(asked[id]) end
  end

  local MOMENTS = {
    ["before the first lookup"] = function(p)
      local clients = traffic.start(p, { count = COUNT })
      clients:wait_for(COUNT)
      assert_unasked(clients:seen())
      return clients
    end,
    ["with lookups in flight"] = function(p)
      api:set { generation = "hold" }
      local _, before = api:asked()
      local clients = traffic.start(p, { count = COUNT })
      clients:wait_for(COUNT)
      wait_for(function()
        local _, now = api:asked()
        return now >= before + 8
      end)
      return clients
    end,
    ["in the middle of streams"] = function(p)
      api:set { chat = "hold" }
      local clients = traffic.start(p, { count = COUNT, stream = true })
      clients:wait_for(COUNT)
      return clients
    end,
  }

  for _, moment in ipairs { "before the first lookup", "with lookups in flight", "in the middle of streams" } do
    for _, ending in ipairs { "reload", "QUIT", "TERM", "kill -9 of a worker", "kill -9 of all" } do
      it(("%s %s loses nothing"):format(ending, moment), function()
        local p = traffic.proxy(api, { start = moment:find "first" and "first = 1" or "first = 0.05" })
        finally(function() p:stop() end)
        local clients = MOMENTS[moment](p)
        ENDS[ending](p)
        api:set { chat = "on", generation = "record" }
        local fine = clients:finish()
        if not moment:find "stream" or GRACEFUL[ending] then
          assert.equal(COUNT, fine)
        else
          assert.is_true(fine < COUNT) -- or it came too late
        end
        if STARTED_AGAIN[ending] then p:restart() end
        assert.equal(COUNT, traffic.settled_once(p, (clients:seen())))
        assert.not_matches("this is a bug", p:errors())
      end)
    end
  end

  -- ---- leaving ----

  -- A worker leaves when nothing is open any more, but not while it waits for the disk: that is when the headers of requests
  -- come of which it could not know anything.
  for _, signal in ipairs { "HUP", "QUIT" } do
    it("requests whose answers come while the worker is about to leave are not lost: " .. signal, function()
      local p = traffic.proxy(api, { start = "first = 1", workers = 1, changes = { { "nginx/ledger",
        "return self.writer.file:synced()",
        [[local slow = io.open "@DIR@/slow"
          if not slow then return self.writer.file:synced() end
          slow:close()
          io.open("@DIR@/waits", "w"):close()
          return false]] } } })
      finally(function() p:stop() end)
      api:set { chat = "think" }
      local before, worker = api:chats(), p:workers()
      local clients = traffic.start(p, { count = COUNT })
      wait_for(function() return api:chats() == before + COUNT end)
      shell.write(p.dir .. "/slow", "")
      p:signal(signal)
      wait_for(function() return traffic.exists(p.dir .. "/waits") end)
      api:set { chat = "on" }
      assert.equal(COUNT, clients:finish())
      os.remove(p.dir .. "/slow")
      wait_for(all_dead(worker))
      if signal == "QUIT" then p:restart() end
      assert.equal(COUNT, traffic.settled_once(p, (clients:seen())))
      assert.not_matches("this is a bug", p:errors())
    end)
  end

  it("a worker that leaves open ids has them taken over by the others", function()
    local p = traffic.proxy(api, { start = "first = 0.05, drain = 1, timeout = 1", changes = { OFTEN } })
    finally(function() p:stop() end)
    api:set { generation = "hold" }
    local ids, before = traffic.run(p, { count = COUNT }), p:workers()
    ENDS.reload(p)
    wait_for(all_dead(before))
    assert.equal(2 * COUNT, #p:pending())
    api:set { generation = "record" }
    assert.equal(COUNT, traffic.settled_once(p, ids))
  end)

  it("it is gone in time when the API hangs", function()
    local p = traffic.proxy(api, { start = "first = 0.05, drain = 1" })
    finally(function() p:stop() end)
    api:set { generation = "hold" }
    local ids = traffic.run(p, { count = COUNT })
    p:signal "QUIT"
    wait_for(function() return not p:running() end, 3) -- the attempts would have gone on for 10 seconds
    api:set { generation = "record" }
    p:restart()
    assert.equal(COUNT, traffic.settled_once(p, ids))
  end)

  it("ten reloads in a row lose nothing", function()
    local p = traffic.proxy(api, { start = "first = 0.05" })
    finally(function() p:stop() end)
    local all, pids = {}, {}
    for _ = 1, 10 do
      for _, pid in ipairs(p:workers()) do pids[#pids + 1] = pid end
      local clients = traffic.start(p, { count = COUNT })
      ENDS.reload(p)
      assert.equal(COUNT, clients:finish())
      for id, about in pairs((clients:seen())) do all[id] = about end
    end
    assert.equal(10 * COUNT, traffic.settled_once(p, all))
    wait_for(all_dead(pids))
    assert.equal(10 * COUNT, traffic.settled_once(p, all))
    wait_for(function() return #traffic.segments(p) == 2 end) -- those who left have taken theirs with them
    assert.not_matches("this is a bug", p:errors())
  end)

  -- ---- what the dead have left ----

  -- Ids in the order of their lines in the ledger.
  local function in_order(p)
    local ids = {}
    for _, entry in ipairs((p:ledger())) do ids[#ids + 1] = entry.id end
    return ids
  end

  -- Open the lines of the id in this segment that was settled last. Its time of change is what it was.
  local function reopen_last(p, path)
    local text, last = shell.read(path), nil
    for _, id in ipairs(in_order(p)) do
      if text:find('"' .. id .. '"', 1, true) then last = id end
    end
    if not last then return nil end
    local reopened = text:gsub('("%a+":"' .. last:gsub("%p", "%%%0") .. '","open":)false', "%1true ")
    local copy = shell.directory() .. "/copy"
    shell.run(("cp -p %s %s"):format(shell.quote(path), copy))
    shell.write(path, reopened)
    shell.run(("touch -r %s %s"):format(copy, shell.quote(path)))
    return last
  end

  it("an id that is in the ledger and still open on disk is not settled again", function()
    local p = traffic.proxy(api, { start = "first = 0.05", changes = { OFTEN } })
    finally(function() p:stop() end)
    local ids, reopened = traffic.run(p, { count = COUNT }), 0
    traffic.settled_once(p, ids)
    ENDS["kill -9 of all"](p)
    wait_for(function() return not p:running() end)
    local left = traffic.segments(p)
    for _, path in ipairs(left) do reopened = reopened + (reopen_last(p, path) and 2 or 0) end
    assert.is_true(reopened > 0)
    assert.equal(reopened, #p:pending())
    p:restart()
    assert.equal(COUNT, traffic.settled_once(p, ids))
    for _, path in ipairs(left) do wait_for(function() return not traffic.exists(path) end) end
    assert.equal(COUNT, traffic.settled_once(p, ids))
  end)

  -- 100 open ids in 20 segments, which nobody holds, with closed ones and torn ones between them.
  local function orphans()
    local files, ids = {}, {}
    for i = 1, 20 do
      local name, lines = ("%d-%d"):format(1790000000000 + i, 4000000 + i), {}
      for k = 1, 5 do
        local id, about = ("gen-orphan-%d-%d"):format(i, k), { user = "user " .. k, route = "/" .. i }
        ids[id] = about
        lines[2 * k - 1] = traffic.pending_line(id, about)
        lines[2 * k] = traffic.pending_line(id .. "-closed", about):gsub("true ", "false")
      end
      files[name .. ".jsonl"] = table.concat(lines)
    end
    local torn = traffic.pending_line("gen-orphan-torn", { user = "u", route = "/" })
    files["1790000000001-4000001.jsonl"] = files["1790000000001-4000001.jsonl"] .. torn:sub(1, 50)
    files["1790000000002-4000002.jsonl.tmp"] = files["1790000000002-4000002.jsonl"]
    ids["gen-orphan-torn"] = {}
    return files, ids
  end

  it("two workers take over each orphan once", function()
    local files, ids = orphans()
    local p = traffic.proxy(api, { start = "first = 0.05", changes = { OFTEN },
      prepare = function(dir) traffic.orphans(dir, files) end })
    finally(function() p:stop() end)
    assert.equal(101, traffic.settled_once(p, ids))
    local asked = api:asked()
    for id in pairs(ids) do assert.equal(1, asked[id]) end
    wait_for(function() return #traffic.segments(p) == 2 end)
    for name in pairs(files) do assert.is_false(traffic.exists(p.dir .. "/pending/" .. name)) end
    assert.not_matches("this is a bug", p:errors())
  end)

  -- ---- without nginx, and beside it ----

  local function settle(p)
    return ("OPENROUTER_BASE_URL=%s OPENROUTER_API_KEY=sk-or-sandbox %s"):format(api.url, shell.cost("settle " .. p.dir))
  end

  it("openrouter-cost settles what it left", function()
    local p = traffic.proxy(api, { start = "first = 0.05" })
    finally(function() p:stop() end)
    api:set { generation = "hold" }
    local ids = traffic.run(p, { count = COUNT })
    p:signal "TERM"
    wait_for(function() return not p:running() end)
    assert.equal(2 * COUNT, #p:pending())
    api:set { generation = "record" }
    local status, _, said = shell.run(settle(p))
    assert.equal(0, status, said)
    assert.equal(COUNT, traffic.settled_once(p, ids))
    assert.same({}, traffic.segments(p))
  end)

  it("openrouter-cost may settle orphans twice at once, while nginx serves and does so, too", function()
    local p = traffic.proxy(api, { start = "first = 0.05", changes = { OFTEN } })
    finally(function() p:stop() end)
    local files, ids = orphans()
    traffic.orphans(p.dir, files)
    local runs, all = {}, 101
    for i = 1, 2 do runs[i] = assert(io.popen(settle(p) .. " 2>&1; echo status $?")) end
    for _ = 1, 5 do
      for id, about in pairs(traffic.run(p, { count = COUNT })) do ids[id], all = about, all + 1 end
    end
    for i = 1, 2 do
      local said = runs[i]:read "*a"
      runs[i]:close()
      assert.matches("status 0\n$", said)
    end
    assert.equal(all, traffic.settled_once(p, ids))
    wait_for(function() return #traffic.segments(p) == 2 end)
    assert.equal(all, traffic.settled_once(p, ids))
    assert.not_matches("this is a bug", p:errors())
  end)
end)

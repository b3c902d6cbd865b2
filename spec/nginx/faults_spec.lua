if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end -- nginx brings its own Lua, whichever runs this

local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traffic = require "spec.nginx.traffic"
local upstream = require "spec.nginx.upstream"

local COUNT = 20   -- requests each time
local PATIENCE = 5 -- seconds for a request; whoever waits for what is broken waits longer

describe("nginx goes on, and loses nothing,", function()
  local api, is_root
  setup(function()
    local _, uid = shell.run "id -u"
    is_root = tonumber(uid) == 0
    api = upstream.start()
  end)
  teardown(function() api:stop() end)
  before_each(function() api:set { chat = "on", generation = "record" } end)
  after_each(shell.clean)

  local function wait_for(condition, seconds)
    assert.is_truthy(servers.wait_for(condition, seconds))
  end

  local function run(command)
    local status, _, complaint = shell.run(command)
    assert.equal(0, status, complaint)
  end

  -- ---- a disk of its own for the directory ----

  local function mount(dir)
    run(("mount -t tmpfs -o size=256k tmpfs %s && chown www-data %s"):format(dir, dir))
  end

  local function unmount(p)
    if p then shell.run("umount -l " .. shell.quote(p.dir)) end
  end

  local function fill(p)
    shell.run(("head -c 1000000 /dev/zero >%s/ballast"):format(p.dir))
  end

  local function empty(p)
    assert(os.remove(p.dir .. "/ballast"))
  end

  -- Nothing can be made in the directory from now on; what is open stays so.
  local function lock(dir)
    run(("chmod 555 %s"):format(dir))
    if is_root then run(("chown root %s"):format(dir)) end
  end

  local function unlock(dir)
    if is_root then run(("chown www-data %s"):format(dir)) end
    run(("chmod 750 %s"):format(dir))
  end

  -- ---- requests ----

  -- Requests while something is broken: they must not notice.
  local function serve(p, count)
    local ids = traffic.run(p, { count = count or COUNT, patience = PATIENCE })
    for id, about in pairs(ids) do assert.equal(('{"id":"%s","usage":{"cost":0.0015}}'):format(id), about.text) end
    return ids
  end

  -- What the error log has: a line at most for each worker and trouble, and nothing but ours.
  local function assert_few_words(p, troubles)
    local said = traffic.said(p)
    local _, lines = p:errors():gsub("\n", "")
    assert.equal(lines, #said, p:errors())
    assert.is_true(#said <= 2 * troubles, p:errors())
    assert.not_matches("this is a bug", p:errors())
  end

  local function figure(p, name)
    return p:metrics()["openrouter_" .. name] or 0
  end

  local function asked_again(before, times)
    return function()
      local _, now = api:asked()
      return now >= before + times
    end
  end

  -- ---- what can break ----

  local function answers(what, times)
    return {
      start = function()
        local _, before = api:asked()
        api:set { generation = what }
        return before
      end,
      wait = function(_, before) wait_for(asked_again(before, times)) end,
      mend = function() api:set { generation = "record" } end,
    }
  end

  local SOON = { "nginx/settle", "PAUSE, LONGEST_PAUSE", "1, 2" }
  local OFTEN = { "nginx/sweep", "ADOPT_EVERY", "1" }

  -- start, wait and mend get the proxy and what start returned; `prepare` comes before nginx starts.
  local FAULTS = {
    { "while the API hangs", answers("hold", 2 * COUNT) },
    { "while the API has too many requests", answers("429", 6) },
    { "while the API fails", answers("503", 2 * COUNT) },
    { "while there is something else in the API's place", answers("html", 2 * COUNT) },
    { "while the API refuses the key", answers("401", 4) },
    { "while the account is empty", answers("402", 4) },
    { "while nobody can tell where the API is", {
      silent = true, -- who is asked may still answer
      environment = function() return { OPENROUTER_BASE_URL = ("http://api.test:%d/api/v1"):format(api.port) } end,
      start = function(p) p:signal("STOP", p.dns.pid) end,
      wait = function(p) wait_for(function() return figure(p, "requests_total") >= 8 end) end,
      mend = function(p) p:signal("CONT", p.dns.pid) end,
    } },
    { "while the disk is full", {
      disk = true, troubles = 2, start = fill, mend = empty,
      wait = function(p) wait_for(function() return p:errors():find("ledger.jsonl: No space left", 1, true) end) end,
    } },
    { "while a new ledger cannot be made", {
      mend = function(p) unlock(p.dir) end,
      start = function(p)
        run(("mv %s/ledger.jsonl %s/ledger.jsonl.1"):format(p.dir, p.dir))
        lock(p.dir)
      end,
      wait = function(p) wait_for(function() return p:errors():find("ledger.jsonl: Permission denied", 1, true) end) end,
    } },
    { "before it may write to its directory", {
      troubles = 2, prepare = lock, mend = function(p) unlock(p.dir) end,
      wait = function(p) wait_for(function() return p:errors():find("ledger.jsonl: Permission denied", 1, true) end) end,
    } },
    { "before its directory is there", {
      troubles = 2,
      prepare = function(dir) run(("mv %s %s.away"):format(dir, dir)) end,
      wait = function(p) wait_for(function() return p:errors():find("ledger.jsonl: No such file", 1, true) end) end,
      mend = function(p) run(("mv %s.away %s"):format(p.dir, p.dir)) end,
    } },
  }

  for _, case in ipairs(FAULTS) do
    local name, fault = case[1], case[2]
    it(name, function()
      if fault.disk and not is_root then return pending "mounting a file system takes root" end
      local p = traffic.proxy(api, { start = "first = 0.05, timeout = 1, insecure = true", changes = { SOON, OFTEN },
        env = fault.environment and fault.environment(), prepare = fault.disk and mount or fault.prepare })
      finally(function()
        p:signal("CONT", p.dns.pid)
        if fault.disk then unmount(p) end
        p:stop()
      end)
      local before = not (fault.prepare or fault.environment) and serve(p, 2) or {}
      traffic.settled_once(p, before)
      local state = fault.start and fault.start(p)
      local ids = serve(p)
      fault.wait(p, state)
      local more = serve(p)
      fault.mend(p)
      for id, about in pairs(more) do ids[id] = about end
      traffic.settled_once(p, ids)
      wait_for(function() return figure(p, "open_ids") == 0 end)
      assert.equal(0, figure(p, "lost_total"))
      traffic.settled_once(p, ids)
      assert.is_true(fault.silent or #traffic.said(p) > 0)
      assert_few_words(p, fault.troubles or 1)
    end)
  end

  it("while nobody listens where the API was", function()
    local other = upstream.start()
    finally(function() other:stop() end)
    local p = traffic.proxy({ url = other.url, port = api.port }, { start = "first = 0.05" })
    finally(function()
      p:stop()
      other:stop()
    end)
    other:stop()
    local ids = serve(p)
    wait_for(function() return figure(p, 'retries_total{reason="network"}') >= 2 * COUNT end)
    other = upstream.start { port = other.port }
    traffic.settled_once(p, ids)
    assert.equal(0, figure(p, "lost_total"))
    assert_few_words(p, 1)
  end)

  -- ---- one thing after the other ----

  -- Ids that the error log says are lost.
  local function named(p)
    local ids, count = {}, 0
    for id in p:errors():gmatch "openrouter: lost (gen%-[^:]+):" do
      assert.is_nil(ids[id])
      ids[id], count = true, count + 1
    end
    return ids, count
  end

  local function without(ids, others)
    local left = {}
    for id, about in pairs(ids) do
      if not others[id] then left[id] = about end
    end
    return left
  end

  -- A key that is refused is asked with once and no more, where one worker has all the ids: that is in the log.
  local seen = {
    html = function(_, before) return select(2, api:asked()) > before + 2 * COUNT end,
    ["401"] = function(p) return p:errors():find("is refused", 1, true) end,
  }
  for what, is_seen in pairs(seen) do
    it("when the disk is full, and then the API answers " .. what, function()
      if not is_root then return pending "mounting a file system takes root" end
      local p = traffic.proxy(api, { start = "first = 0.05", prepare = mount, changes = { SOON, OFTEN } })
      finally(function()
        unmount(p)
        p:stop()
      end)
      api:set { generation = what }
      fill(p)
      local _, before = api:asked()
      local ids = serve(p)
      wait_for(function() return is_seen(p, before) end)
      empty(p)
      wait_for(function() return #p:pending() == 2 * COUNT end)
      api:set { generation = "record" }
      traffic.settled_once(p, ids)
      assert.equal(0, figure(p, "lost_total"))
      assert.not_matches("this is a bug", p:errors())
    end)
  end

  it("but what neither the disk nor the window has room for, which it names", function()
    if not is_root then return pending "mounting a file system takes root" end
    local p = traffic.proxy(api, { start = "first = 0.05, window = 5", workers = 1, prepare = mount })
    finally(function()
      unmount(p)
      p:stop()
    end)
    api:set { generation = "hold" }
    fill(p)
    local ids = serve(p)
    wait_for(function() return select(2, named(p)) == COUNT - 5 end)
    wait_for(function() return figure(p, "lost_total") == COUNT - 5 end)
    empty(p)
    api:set { generation = "record" }
    assert.equal(5, traffic.settled_once(p, without(ids, named(p))))
  end)

  it("but what the disk has no room for when it ends, which it names", function()
    if not is_root then return pending "mounting a file system takes root" end
    local p = traffic.proxy(api, { start = "first = 0.05, drain = 1", prepare = mount })
    finally(function()
      unmount(p)
      p:stop()
    end)
    fill(p)
    local ids = serve(p)
    p:signal "QUIT"
    wait_for(function() return not p:running() end)
    empty(p)
    p:restart()
    local lost, count = named(p)
    assert.is_true(count > 0)
    assert.equal(COUNT - count, traffic.settled_once(p, without(ids, lost)))
  end)

  it("and is gone in time when nobody can tell where the API is", function()
    local p = traffic.proxy(api, { start = "first = 0.05, drain = 1, insecure = true",
      env = { OPENROUTER_BASE_URL = ("http://api.test:%d/api/v1"):format(api.port) } })
    finally(function()
      p:signal("CONT", p.dns.pid)
      p:stop()
    end)
    p:signal("STOP", p.dns.pid)
    local ids = serve(p)
    wait_for(function() return figure(p, "requests_total") >= 8 end)
    p:signal "QUIT"
    wait_for(function() return not p:running() end, 10)
    p:signal("CONT", p.dns.pid)
    p:restart()
    traffic.settled_once(p, ids)
  end)
end)

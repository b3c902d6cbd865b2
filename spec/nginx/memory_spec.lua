if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end -- nginx brings its own Lua, whichever runs this

local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traffic = require "spec.nginx.traffic"
local upstream = require "spec.nginx.upstream"

local OFTEN = { "nginx/sweep", "ADOPT_EVERY", "1" }
local COMPACTED_SOON = { "nginx/journal", "MUCH_CLOSED", "2000" } -- bytes
local SMALL_SEGMENTS = { "nginx/journal", "FULL_SEGMENT", "2000" }

describe("nginx keeps no more", function()
  local api
  setup(function() api = upstream.start() end)
  teardown(function() api:stop() end)
  before_each(function() api:set { chat = "on", generation = "record", late = "404" } end)
  after_each(shell.clean)

  local function wait_for(condition, seconds)
    assert.is_truthy(servers.wait_for(condition, seconds))
  end

  local function figure(p, name)
    return p:metrics()["openrouter_" .. name] or 0
  end

  -- Sends requests one behind the other, a thousand over each connection, and wants as many answers of status 200.
  local CROWD = [[
import socket, sys, threading

def thousand(port, count):
    sock = socket.create_connection(("127.0.0.1", port), 60)
    request = "GET /api/v1/chat/crowd HTTP/1.1\r\nHost: x\r\nConnection: %s\r\n\r\n"
    sender = threading.Thread(target=sock.sendall, args=((request % "keep-alive" * (count - 1) + request % "close").encode(),))
    sender.start()
    data = b""
    while more := sock.recv(1 << 20):
        data += more
    sender.join()
    assert data.count(b"HTTP/1.1 200 ") == count

for _ in range(int(sys.argv[2]) // 1000):
    thousand(int(sys.argv[1]), 1000)
]]

  local function crowd(p, count)
    local script = shell.write(shell.directory() .. "/crowd.py", CROWD)
    local status, _, complaint = shell.run(("python3 %s %d %d"):format(script, p.port, count))
    assert.equal(0, status, complaint)
  end

  local COLLECT = "location = /collect { content_by_lua_block { collectgarbage() collectgarbage() } }"

  -- Bytes of memory that the worker has, when it has cleaned up.
  local function resident(p)
    assert.equal(200, (p:curl "/collect"))
    local text = shell.read(("/proc/%d/status"):format(p:workers()[1]))
    return tonumber(text:match "VmRSS:%s*(%d+) kB") * 1024
  end

  local function add(ids, more)
    for id, about in pairs(more) do ids[id] = about end
  end

  local function size(path)
    local file = io.open(path, "rb")
    local bytes = file and file:seek "end"
    if file then file:close() end
    return bytes
  end

  it("than half a kilobyte of an open id, and none of its lines once it is settled", function()
    local p = traffic.proxy(api, { start = "window = 30000", workers = 1, more = COLLECT })
    finally(function() p:stop() end)
    crowd(p, 5000)
    wait_for(function() return figure(p, "captured_total") == 5000 and figure(p, "open_ids") == 0 end, 60)
    local segments = traffic.segments(p)
    assert.equal(1, #segments)
    wait_for(function() return size(segments[1]) < 512 * 1024 end) -- 5000 ids had much more

    local before = resident(p)
    api:set { generation = "404" }
    crowd(p, 20000)
    wait_for(function() return figure(p, "open_ids") == 20000 end, 60)
    local bytes = (resident(p) - before) / 15000 -- the first ones may be where those before were
    io.write(("\n%.0f bytes for each open id\n"):format(bytes)) -- worth seeing
    assert.is_true(bytes <= 512, ("%.0f bytes"):format(bytes))
    assert.equal(0, figure(p, "lost_total"))
    assert.equal("", p:errors())
  end)

  it("than its window in memory, and settles what waits on disk when there is room", function()
    local p = traffic.proxy(api, { start = "first = 0.05, window = 5",
      changes = { { "nginx/sweep", "ROOM_EVERY", "0.5" } } })
    finally(function() p:stop() end)
    api:set { generation = "hold" }
    local ids = traffic.run(p, { count = 60 })
    wait_for(function() return figure(p, "open_ids") == 60 end)
    assert.equal(120, #p:pending())
    assert.is_true(figure(p, "overflow_total") >= 50)
    api:set { generation = "record" }
    assert.equal(60, traffic.settled_once(p, ids))
    wait_for(function() return figure(p, "open_ids") == 0 end)
    assert.equal(60, traffic.settled_once(p, ids))
    assert.equal(0, figure(p, "lost_total"))
    assert.equal("", p:errors())
  end)

  it("than the open ones of ten thousand ids that a worker left", function()
    local lines, ids, late = {}, {}, {}
    for i = 1, 10000 do
      local id, about = ("gen-left-%s-%d"):format(i % 3000 == 0 and "late" or "now", i), { user = "user " .. i, route = "/left" }
      lines[i] = traffic.pending_line(id, about)
      if i % 3000 == 0 then late[id] = about else ids[id] = about end
    end
    local name = "1790000000000-4000000.jsonl"
    local p = traffic.proxy(api, { start = "first = 0.05", workers = 1, changes = { OFTEN },
      prepare = function(dir) traffic.orphans(dir, { [name] = table.concat(lines) }) end })
    finally(function() p:stop() end)
    local path = p.dir .. "/pending/" .. name
    wait_for(function() return size(path) < 1000 end, 180)
    assert.equal(3, #p:pending())
    api:set { late = "record" }
    for id, about in pairs(late) do ids[id] = about end
    assert.equal(10000, traffic.settled_once(p, ids))
    wait_for(function() return not traffic.exists(path) end)
    assert.not_matches("this is a bug", p:errors())
  end)

  -- Offsets of lines are others after each compaction, also those of streams that go on and of ids that are asked for.
  it("than the open lines of its own segment, and loses none on the way", function()
    local p = traffic.proxy(api, { start = "first = 0.05", workers = 1, changes = { COMPACTED_SOON } })
    finally(function() p:stop() end)
    local all, late = traffic.run(p, { count = 20 }), {} -- lines in front of all others
    api:set { chat = "hold" }
    local streams = traffic.start(p, { count = 20, stream = true })
    streams:wait_for(20)
    for i = 1, 20 do late[i] = "gen-late-" .. i end
    add(all, traffic.run(p, { count = 20, ids = late }))
    for _ = 1, 8 do
      add(all, traffic.run(p, { count = 20 }))
      wait_for(function() return #p:pending() == 60 end)
    end
    wait_for(function() return size(traffic.segments(p)[1]) < 30000 end) -- all 420 lines are twice as much
    api:set { chat = "on" }
    assert.equal(20, streams:finish())
    add(all, (streams:seen()))
    api:set { late = "record" }
    assert.equal(220, traffic.settled_once(p, all))
    assert.equal("", p:errors())
  end)

  it("in one segment than fits in, and loses none when it begins another one", function()
    local p = traffic.proxy(api, { start = "first = 0.05", workers = 1, changes = { OFTEN, SMALL_SEGMENTS } })
    finally(function() p:stop() end)
    local all = {}
    for i = 1, 5 do
      add(all, traffic.run(p, { count = 1, ids = { "gen-late-" .. i } }))
      add(all, traffic.run(p, { count = 20 }))
      wait_for(function() return #traffic.segments(p) == i + 1 end)
    end
    api:set { late = "record" }
    assert.equal(105, traffic.settled_once(p, all))
    wait_for(function() return #traffic.segments(p) == 1 end)
    assert.equal("", p:errors())
  end)
end)

-- Finalizers that call the very object that a function of ours is at work with. Each program is a process of its own: what is
-- wrong here takes it along, at the latest with spec/support/sanitize.
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

local LUA = os.getenv "LUA" or "lua5.4"

-- finalizer(f): garbage that calls f, once. collector(true): from here on every value comes with a whole collection.
local PRELUDE = [[
if jit then jit.off() end -- compiled code runs no finalizers, and does not get on when there is one at each value
local core = require "openrouter.core"
local function finalizer(f)
  if not newproxy then return setmetatable({}, { __gc = f }) end
  local proxy = newproxy(true)
  getmetatable(proxy).__gc = f
  return proxy
end
local function collector(is_eager)
  if _VERSION == "Lua 5.4" then
    collectgarbage("incremental", is_eager and 1 or 200, is_eager and 1000 or 100, is_eager and 63 or 13)
  else
    collectgarbage("setpause", is_eager and 0 or 200)
    collectgarbage("setstepmul", is_eager and 1e8 or 200)
  end
  if is_eager then collectgarbage("step", 0) end
end
-- Let `step` run with `act` called at the first, second, … value that is made meanwhile, until there are no more of them.
local function everywhere(prepare, step, act)
  local reached, place = true, 0
  while reached do
    place, reached = place + 1, false
    local left, done = place, false
    local subject = prepare()
    local function plant()
      finalizer(function()
        if done then return end
        left = left - 1
        if left > 0 then return plant() end
        reached = true
        act(subject, place)
      end)
    end
    plant()
    collector(true)
    step(subject, place)
    collector(false)
    done = true
    collectgarbage()
  end
  return place
end
]]

describe("a finalizer", function()
  local sandbox
  lazy_setup(function() sandbox = servers.sandbox() end)
  lazy_teardown(function() sandbox:stop() end)
  after_each(shell.clean)

  local function run(program)
    local path = shell.write(shell.directory() .. "/program.lua", PRELUDE .. program)
    local status, out, err = shell.run(("OPENROUTER_API_KEY=sk-or-sandbox OPENROUTER_BASE_URL=%s %s %s")
      :format(sandbox.url, LUA, path))
    assert.same({ 0, "", "done" }, { status, err, out:match "(%S*)\n$" }, out)
  end

  local ENGINE = [[
    local function engine()
      local e = core.engine { window = 100, concurrency = 100, timeout = 5, deadline = 20, wait = 2, epoch = 0, seed = 5,
        retry = { base = 0.1, factor = 2, cap = 3 } }
      for i = 1, 9 do e:submit(("gen-%d"):format(i), 0) end
      return e
    end
    -- by its last digit: a string that is there already needs no memory
    local function is_number(text, n) return tonumber(text:sub(-1)) == n end
    local function cancel_all(e) for i = 1, 9 do e:cancel(("gen-%d"):format(i), 0) end end
    local function cancel_some(e) for i = 1, 8 do e:cancel(("gen-%d"):format(i), 0) end end
  ]]

  it("may cancel the id that the engine is about to give out", function()
    run(ENGINE .. [[
      local places = everywhere(engine, function(e)
        local id, target = e:next(0)
        assert(id == nil and e:open() == 0 or is_number(id, 1) and is_number(target, 1))
      end, cancel_all)
      everywhere(engine, function(e)
        local id, target, _, slot = e:next(0)
        assert(is_number(id, slot) and is_number(target, slot) and (slot == 9 or slot == 1))
      end, cancel_some)
      print(places > 2 and "done")
    ]])
  end)

  it("may cancel the id whose end the engine is about to tell", function()
    run(ENGINE .. [[
      local places = everywhere(engine, function(e)
        local id, err, slot = e:ended(30)
        assert(id == nil and e:open() == 0 or id == "gen-1" and err.id == id and slot == 1 and err.kind == "timeout")
      end, cancel_all)
      everywhere(engine, function(e)
        local id, err, slot = e:ended(30)
        assert(id == "gen-9" and slot == 9 or id == "gen-1" and slot == 1)
        assert(err.id == id and err.elapsed == 30)
      end, cancel_some)
      everywhere(engine, function(e)
        local id, err = e:ended(30)
        assert(id == "gen-2" and e:open() == 8 or id == "gen-1")
        assert(err.id == id)
      end, function(e) e:submit("gen-1", 30) end) -- again, with more time
      print(places > 4 and "done")
    ]])
  end)

  it("may close the client that is at work", function()
    run [[
      local openrouter = require "openrouter"
      local closed = 0
      local places = everywhere(openrouter.client, function(client, place)
        local id = "gen-1790000000-" .. place
        local gen, err = client:get(id)
        if err and err.kind == "closed" and err.id == id then closed = closed + 1
        else assert(gen, err) assert(gen.id == id) end
        assert(client.accepted == 0)
      end, function(client) client:close() end)
      assert(closed > 3 and places > 5)
      print "done"
    ]]
  end)

  it("may cancel its request while the client is at work with another, or with that one", function()
    run [[
      local openrouter = require "openrouter"
      local client = openrouter.client { deadline = 0.05, concurrency = 1, rate = 1 }
      local back, accepted = 0, 0
      for i = 1, 200 do
        local id = "gen-1790000000-" .. i
        assert(client:submit(id))
        finalizer(function() client:cancel(id) end)
      end
      repeat
        local any = false
        for id, gen, err in client:poll(0.5) do
          any, back = true, back + 1
          assert(gen or err.kind == "timeout" or err.kind == "cancelled")
        end
      until not any
      assert(back == 200 and client.accepted == 0, back)
      print "done"
    ]]
  end)

  -- Each way to use a client, with each thing a finalizer may do to it at each place: every id handed over comes back once, in
  -- the right hands, and nobody waits for what is not there.
  local CLIENT = [[
    local openrouter = require "openrouter"
    local serial, options = 0, {}
    local submitted, polled

    local function new()
      submitted, polled = 0, 0
      return (assert(openrouter.client(options)))
    end
    local function new_id()
      serial = serial + 1
      return ("gen-1790000000-%d"):format(serial)
    end
    local function check(id, gen, err)
      if gen then return assert(gen.id == id, "another one's record") end
      assert(err and err.id == id, "another one's error")
      assert(err.kind == "cancelled" or err.kind == "closed" or err.kind == "network" or err.kind == "timeout", tostring(err))
    end
    local function get(client, id) check(id, client:get(id)) end
    local function submit(client, id)
      local ok, err = client:submit(id, { id })
      if ok then submitted = submitted + 1 else assert(err.kind == "closed" or err.kind == "full", tostring(err)) end
    end
    local function poll(client, seconds)
      local before = polled
      for id, gen, err, context in client:poll(seconds) do
        assert(context[1] == id, "another one's context")
        check(id, gen, err)
        polled = polled + 1
      end
      return polled > before
    end
    local function each(client, ids, most)
      local open, count = {}, 0
      for _, id in ipairs(ids) do open[id] = (open[id] or 0) + 1 end
      local i = 0
      for id, gen, err, context in client:each(function() i = i + 1 return ids[i], i end) do
        assert(ids[context] == id, "another one's context")
        check(id, gen, err)
        open[id] = assert(open[id] > 0 and open[id] - 1, "twice")
        count = count + 1
        if count == most then return end
      end
      assert(count == #ids, "not all came back")
    end
    local function drain(client)
      collectgarbage()
      collectgarbage()
      repeat until not poll(client, 20)
      assert(submitted == polled, submitted .. " submitted, " .. polled .. " came back")
      if client.accepted > 0 then poll(client, 0) end -- who was left in a loop
      assert(client.accepted == 0, "open: " .. client.accepted)
    end

    local ids
    local USES = {
      get = function(client) get(client, ids[1]) end,
      submit = function(client) for i = 1, 3 do submit(client, ids[i]) end poll(client, 20) end,
      shared = function(client) submit(client, ids[1]) get(client, ids[1]) end,
      each = function(client) each(client, { ids[1], ids[2], ids[3], ids[1] }) end,
      left = function(client)
        each(client, ids, 1)
        collectgarbage()
        get(client, ids[9])
      end,
      cancel = function(client)
        submit(client, ids[1])
        client:cancel(ids[1])
      end,
    }
    local ACTS = {
      cancel = function(client) for _, id in ipairs(ids) do client:cancel(id) end end,
      get = function(client) get(client, ids[9]) end,
      same = function(client) get(client, ids[1]) end,
      submit = function(client) submit(client, ids[2]) submit(client, ids[8]) end,
      again = function(client)
        client:cancel(ids[1])
        submit(client, ids[1])
      end,
      poll = function(client) submit(client, ids[7]) poll(client, 20) end,
      each = function(client) each(client, ids) end,
      close = function(client) client:close() end,
    }
    local function try(...)
      options = ...
      local places = 0
      for use, call in pairs(USES) do
        for act, f in pairs(ACTS) do
          places = places + everywhere(function()
            ids = {}
            for i = 1, 9 do ids[i] = new_id() end
            return new()
          end, function(client, place)
            local ok, why = pcall(call, client)
            collector(false)
            if ok then ok, why = pcall(drain, client) end
            if not ok then error(("%s, %s at place %d: %s"):format(use, act, place, tostring(why)), 0) end
            client:close()
          end, f)
        end
      end
      return places
    end
  ]]

  for name, options in pairs {
    ["answers come, and the window is small"] = "{ window = 2 }",
    ["nothing listens"] = "{ base_url = 'http://127.0.0.1:1/api/v1', retry = false }",
    ["the time is over"] = "{ deadline = 0, wait = 0, concurrency = 1, rate = 1 }",
  } do
    it("may do anything to a client that is at work, where " .. name, function()
      run(CLIENT .. ("print(try(%s) > 200 and 'done')"):format(options))
    end)
  end

  local PARSER = [[
    local length
    local function text(n, c) return ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nRetry-After: 5\r\n\r\n"):format(n) .. c:rep(n) end
    local function parser()
      local p = core.http1(32 * 1024 * 1024)
      p:feed(text(length, "y"))
      return p
    end
    -- The whole answer, or none
    local function is_whole(p)
      local ok, status, headers, body = pcall(p.answer, p)
      if not ok then return assert(status:find "not complete", status) end
      assert(status == 200 and headers["retry-after"] == "5" and #body == length and not body:find "[^y]", #body)
    end
  ]]

  it("may reset the parser whose answer is taken, or bring it another", function()
    run(PARSER .. [[
      for _, n in ipairs { 1000, 10000, 100000 } do
        length = n
        local places = everywhere(parser, is_whole, function(p) p:reset() end)
        everywhere(parser, is_whole, function(p)
          p:reset()
          p:feed(text(200000, "z"):sub(1, -2))
        end)
        assert(places > 2)
      end
      print "done"
    ]])
  end)

  it("may add to the tally whose dearest are listed", function()
    run [[
      local count
      local function add(t, most)
        for _ = 1, most do
          count = count + 1
          t:add_line(('{"id":"g%d","total_cost":%d,"external_user":"%s"}'):format(count, count, ("u"):rep(count)))
        end
      end
      local function tally()
        local t = core.tally { dimensions = {}, sums = { "spend" }, spreads = {}, dearest = 10 }
        count = 0
        add(t, 10)
        return t
      end
      local places = everywhere(tally, function(t)
        local list = t:dearest()
        assert(#list >= 10)
        for _, text in ipairs(list) do
          local id, user = text:match '^{"id":"g(%d+)","external_user":"(u+)","total_cost":%d+}$'
          assert(tonumber(id) == #user, text)
        end
      end, function(t) add(t, 100) end)
      print(places > 10 and "done")
    ]]
  end)

  it("may bring another answer to the scanner that is asked", function()
    run [[
      local function scanner()
        local s = core.scanner()
        s:feed('{"id":"gen-' .. ("a"):rep(100) .. '"}')
        return s
      end
      local function ask(s)
        local id = s:id()
        assert(id:find "^gen%-a+$" or id == "gen-zz", id)
      end
      local places = everywhere(scanner, ask, function(s)
        s:reset()
        s:feed '{"id":"gen-zz"}'
      end)
      print(places > 2 and "done")
    ]]
  end)

  it("may read on in the file of which a line is taken", function()
    local lines = {}
    for i = 1, 60 do lines[i] = ("%04d"):format(i):rep(i % 2 == 0 and 700 or 3000) end
    local path = shell.write(shell.directory() .. "/lines", table.concat(lines, "\n") .. "\n")
    run(("local path = %q\n"):format(path) .. [[
      for first = 1, 2 do
        local refused = 0
        local places = everywhere(function()
          local lines = assert(core.lines(path))
          for _ = 1, first - 1 do lines() end
          return lines
        end, function(lines)
          local ok, line, number = pcall(lines)
          if not ok then
            refused = refused + 1
            assert(line:find "read on while its next line was taken")
          else
            assert(line == ("%04d"):format(number):rep(number % 2 == 0 and 700 or 3000))
          end
        end, function(lines) for _ = 1, 50 do lines() end end)
        assert(places > 1 and refused <= 1)
      end
      print "done"
    ]])
  end)

  it("may close the segment whose trouble is told", function()
    local path = shell.directory() .. "/1-1.jsonl"
    run(("local path = %q\n"):format(path) .. [[
      local places = everywhere(function()
        os.remove(path)
        return assert(core.new_segment(path))
      end, function(s)
        local ok, fine, why = pcall(s.close_line, s, 5)
        assert(ok and not fine and why:sub(1, #path) == path or not ok, tostring(why))
      end, function(s)
        s:close()
        for i = 1, 20 do io.open(path .. i) end
      end)
      print(places > 1 and "done")
    ]])
  end)
end)

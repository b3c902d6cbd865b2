-- The client in somebody else's event loop: fd(), timeout() and poll(0); and in a process that forks.
local openrouter = require "openrouter"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

local KEY = "sk-or-v1-0123456789abcdef"
local PATIENCE = 30 -- seconds without any event after which one was lost

-- What Lua has no words for. Of Lua's API it uses what all versions have, and declares that itself: no headers are needed, and it
-- loads under each of them.
local UNIX = [[
#include <poll.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>
typedef struct lua_State lua_State;
typedef int (*function) (lua_State *);
extern double luaL_checknumber (lua_State *, int);
extern void lua_pushnumber (lua_State *, double), lua_pushboolean (lua_State *, int), lua_createtable (lua_State *, int, int);
extern void lua_pushcclosure (lua_State *, function, int), lua_setfield (lua_State *, int, const char *);

static int l_fork (lua_State *L) {
  lua_pushnumber(L, (double)fork());
  return 1;
}

/* wait(pid): the exit status, or -1 */
static int l_wait (lua_State *L) {
  int status;
  pid_t pid = (pid_t)luaL_checknumber(L, 1);
  lua_pushnumber(L, waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  return 1;
}

/* readable(fd, seconds): whether it is, before they are over */
static int l_readable (lua_State *L) {
  struct pollfd p = { (int)luaL_checknumber(L, 1), POLLIN, 0 };
  lua_pushboolean(L, poll(&p, 1, (int)(luaL_checknumber(L, 2) * 1000 + 0.999)) > 0);
  return 1;
}

int luaopen_unix (lua_State *L) {
  static const struct { const char *name; function f; } functions[] = { { "fork", l_fork }, { "wait", l_wait },
                                                                         { "readable", l_readable } };
  lua_createtable(L, 0, 3);
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    lua_pushcclosure(L, functions[i].f, 0);
    lua_setfield(L, -2, functions[i].name);
  }
  return 1;
}
]]

describe("client", function()
  local server, unix, directory
  setup(function()
    server = servers.hostile()
    local pipe = assert(io.popen "mktemp -d")
    directory = pipe:read "*l"
    pipe:close()
    local source = shell.write(directory .. "/unix.c", UNIX)
    local command = ("${CC:-cc} -shared -fPIC -o %s/unix.so %s"):format(directory, source)
    local status, _, err = shell.run(command)
    assert.same({ 0, "" }, { status, err })
    unix = assert(package.loadlib(directory .. "/unix.so", "luaopen_unix"))()
  end)
  teardown(function()
    server:stop()
    os.execute("rm -rf " .. shell.quote(directory))
  end)
  before_each(function() server:mark() end)
  after_each(shell.clean)

  local function new(options)
    local all = { base_url = server.url, api_key = KEY, timeout = 60, deadline = 120, connect_timeout = 60,
      retry = { base = 0.02, factor = 1, cap = 0.02 } }
    for name, value in pairs(options or {}) do all[name] = value end
    return assert(openrouter.client(all))
  end

  local function ids(name, count)
    local list = {}
    for i = 1, count do list[i] = name .. "." .. i end
    return list
  end

  -- As an event loop does it: wait for the descriptor, no longer than timeout() says. False when nothing happened that should
  -- have.
  local function wait(client)
    local seconds = client:timeout()
    return unix.readable(assert(client:fd()), seconds or PATIENCE) or seconds ~= nil
  end

  -- Go on like this until there are `count` results; they go to results[id].
  local function loop(client, count, results)
    while count > 0 do
      assert.is_true(wait(client))
      for id, gen, err in client:poll(0) do
        assert.is_nil(results[id])
        results[id] = gen or err
        count = count - 1
      end
    end
  end

  -- Until nothing is to be done but wait for the server.
  local function settle(client)
    servers.wait_for(function()
      client:poll(0)
      return client:timeout() ~= 0 and not unix.readable(client:fd(), 0)
    end)
  end

  describe("in an event loop", function()
    it("gets everything, led by fd() and timeout() alone", function()
      for _, concurrency in ipairs { 1, 16, 150 } do
        local client, list, results = new { concurrency = concurrency }, ids("good", 440), {}
        for i = 1, 20 do list[#list + 1] = "held." .. i end
        for i = 1, 20 do list[#list + 1] = "nap." .. i end
        if concurrency == 1 then list = ids("good", 100) end
        for i = 1, 20 do list[#list + 1] = ("flaky.%d.%d"):format(500 + i, concurrency) end
        for _, id in ipairs(list) do assert(client:submit(id)) end
        loop(client, #list, results)
        for _, id in ipairs(list) do assert.equal(id, results[id].id) end
        assert.same({ #list + 40, #list }, { client:stats().attempts, client:stats().settled })
        client:close()
      end
    end)

    it("has nothing to do when it has nothing to do", function()
      local client = new()
      local fd = client:fd()
      assert.is_number(fd)
      assert.is_nil(client:timeout())
      assert.is_false(unix.readable(fd, 0))
      client:get "good.1"
      settle(client)
      assert.is_nil(client:timeout())
      assert.is_false(unix.readable(fd, 0))
    end)

    it("lets others work while the server does", function()
      for _, options in ipairs { {}, { base_url = ("https://127.0.0.1:%d"):format(server.port.silent) } } do
        local client = new(options)
        client:fd()
        client:submit "slow.1"
        assert.equal(0, client:timeout()) -- to be sent
        settle(client)
        assert.is_false(unix.readable(client:fd(), 0))
        local seconds = client:timeout()
        assert.is_true(seconds > 0 and seconds <= 60)
      end
    end)

    it("is readable when an answer is there", function()
      local client = new()
      client:submit "nap.1"
      settle(client)
      assert.is_true(unix.readable(client:fd(), PATIENCE))
      local result
      servers.wait_for(function()
        result = result or client:poll(0)()
        return result
      end)
      assert.equal("nap.1", result)
    end)

    it("is told to come back at once while there are results", function()
      local client = new()
      for i = 1, 3 do client:submit("slow." .. i) end
      settle(client)
      client:cancel "slow.1"
      client:cancel "slow.2"
      assert.equal(0, client:timeout())
      assert.is_string((client:poll(0)()))
      assert.equal(0, client:timeout())
      assert.is_string((client:poll(0)()))
      settle(client)
      assert.is_true(client:timeout() > 0)
      client:close()
      assert.equal(0, client:timeout())
      assert.equal("slow.3", (client:poll(0)()))
      assert.is_nil(client:timeout())
    end)

    it("is told when an id is due again", function()
      local core, told, before = require "openrouter.core", nil, nil
      local client = new { on_event = function(event) told = event.delay end }
      client:submit "again.Retry-After.20"
      client:fd()
      servers.wait_for(function()
        before = core.now()
        client:poll(0)
        return told
      end)
      settle(client)
      local seconds = client:timeout()
      assert.is_true(seconds <= told and seconds + (core.now() - before) >= told)
    end)

    it("is told when the rate or a deadline wants it", function()
      local client = new { rate = 0.01 }
      client:submit "good.1"
      client:submit "good.2"
      client:fd()
      loop(client, 1, {})
      settle(client)
      local seconds = client:timeout()
      assert.is_true(seconds > 0 and seconds <= 100)
      client = new { rate = 0.01, deadline = 0.3 }
      client:submit "slow.1"
      client:submit "good.2"
      local results = {}
      loop(client, 2, results) -- which nothing but timeout() can end
      assert.same({ "timeout", 1, "timeout", 0 }, { results["slow.1"].kind, results["slow.1"].attempts, results["good.2"].kind,
        results["good.2"].attempts })
    end)

    it("may ask for the descriptor while requests are under way", function()
      for _, phase in ipairs { "submitted", "connecting", "asked", "answered" } do
        server:mark()
        local client, list, results = new { concurrency = 32 }, ids("nap", 32), {}
        for _, id in ipairs(list) do client:submit(id) end
        if phase ~= "submitted" then client:poll(0) end
        if phase == "asked" or phase == "answered" then
          servers.wait_for(function()
            for id in client:poll(0) do results[id] = true end
            return server:count(phase == "asked" and "ask" or "answer") == 32
          end)
        end
        for id in pairs(results) do results[id] = nil end
        local stats = client:stats()
        assert.is_number(client:fd())
        loop(client, 32 - stats.settled, results)
        assert.same({ phase, 32, 0 }, { phase, client:stats().settled, client:stats().open })
        client:close()
      end
    end)

    it("is told of what came to its end while the descriptor was made", function()
      local client = new()
      client:submit "nap.1"
      servers.wait_for(function()
        client:poll(0)
        return server:count "ask" == 1
      end)
      servers.wait_for(function() return server:count "answer" == 1 end) -- which is on its way, or here and not read yet
      local results = {}
      client:fd()
      loop(client, 1, results)
      assert.equal("nap.1", results["nap.1"].id)
    end)

    it("can still wait by itself", function()
      for _, concurrency in ipairs { 4, 120 } do
        local client, count = new { concurrency = concurrency }, 0
        client:fd()
        assert.equal("good.1", client:get("good.1").id)
        assert.equal("nap.1", client:get("nap.1").id)
        for id, gen, err in client:each(ids("held", 200)) do
          assert.same({ id, nil }, { gen and gen.id, err })
          count = count + 1
        end
        assert.equal(200, count)
        assert.is_nil(select(2, client:get("slow.1", { deadline = 0.1 })).status)
        client:submit "nap.2"
        assert.equal("nap.2", (client:poll()()))
      end
    end)

    it("keeps its descriptor until it is closed", function()
      local client = new { concurrency = 4 }
      local fd = client:fd()
      for i = 1, 20 do
        client:get("good." .. i)
        client:get("oldstyle." .. i)
        assert.equal(fd, client:fd())
      end
      client:close()
      assert.is_nil(client:fd())
      assert.is_nil(client:timeout())
      client = new { concurrency = 200 }
      assert.equal(client:fd(), client:fd())
      client:close()
      assert.is_nil(client:fd())
    end)

    it("hears of cancelling, and of what is given meanwhile", function()
      local client, results = new { concurrency = 2 }, {}
      client:fd()
      for i = 1, 4 do client:submit("slow." .. i) end
      settle(client)
      client:submit "good.1"
      for i = 1, 4 do client:cancel("slow." .. i) end
      loop(client, 5, results)
      assert.equal("good.1", results["good.1"].id)
    end)
  end)

  -- What a script prints, in a process of its own. It has `client(options)`, `unix`, and `url` and `certificate` of the server.
  local function run(script, prefix)
    local path = shell.write(shell.directory() .. "/script.lua", ([[
      local url, certificate, port, tls = "%s", "%s", %d, %d
      package.cpath = "%s/?.so;" .. package.cpath
      local unix, openrouter = require "unix", require "openrouter"
      io.stdout:setvbuf "no"
      local function client(options)
        local all = { base_url = url, api_key = "%s", timeout = 60, deadline = 60, retry = false }
        for name, value in pairs(options) do all[name] = value end
        return assert(openrouter.client(all))
      end
      %s]]):format(server.url, server.certificate, server.port.http, server.port.tls, directory, KEY, script))
    return shell.run(("(%stimeout 60 %s %s)"):format(prefix or "", os.getenv "LUA" or "lua5.4", path))
  end

  it("works where there are more descriptors than select() has", function()
    for _, options in ipairs { "{}", "{ concurrency = 100 }", '{ base_url = ("https://127.0.0.1:%d/api/v1"):format(tls), '
      .. 'ca_file = certificate }' } do
      local status, out, err = run([[
        local files = {}
        for i = 1, 1100 do files[i] = assert(io.open "/dev/null") end
        local c = client(]] .. options .. [[)
        print((c:get "good.1"), (c:get "nap.1"))
        local count = 0
        for _, gen in c:each { "good.1", "good.2", "held.3", "close" } do count = count + (gen and 1 or 0) end
        print(count, c:fd() > 1024)
        c:submit "nap.2"
        while true do
          assert(unix.readable(c:fd(), c:timeout() or 30) or c:timeout())
          local id, gen = c:poll(0)()
          if id then print(gen) break end
        end
        c:close()]], "ulimit -n 4096 && ")
      assert.same({ 0, "generation good.1\tgeneration nap.1\n3\ttrue\ngeneration nap.2\n", "" }, { status, out, err })
    end
  end)

  describe("in a process that forks", function()
    for name, options in pairs { ["over HTTP"] = "{ concurrency = 1 }", ["watched by epoll"] = "{ concurrency = 100 }",
      ["over TLS"] = '{ concurrency = 1, base_url = ("https://127.0.0.1:%d/api/v1"):format(tls), ca_file = certificate }',
      ["over TLS, watched by epoll"] = '{ concurrency = 100, base_url = ("https://127.0.0.1:%d/api/v1"):format(tls), '
        .. 'ca_file = certificate }' } do
      it("belongs to the parent alone, " .. name, function()
        local status, out, err = run([[
          local c = client(]] .. options .. [[)
          assert(c:get "good.1")
          assert(c:submit "nap.2") -- is on its way meanwhile
          c:poll(0)
          for _, ending in ipairs { "exit", "collect", "close" } do
            local pid = unix.fork()
            if pid == 0 then
              for method, call in pairs {
                get = function() return c:get "good.3" end,
                content = function() return c:content "good.3" end,
                feedback = function() return c:feedback { generation_id = "good.3", category = "other" } end,
                each = function() return c:each { "good.3" }() end,
                poll = function() return c:poll() end,
                ["poll(0)"] = function() return c:poll(0) end,
                cancel = function() return c:cancel "nap.2" end,
                submit = function() return c:submit "good.4" end,
                fd = function() return c:fd() end,
                timeout = function() return c:timeout() end,
              } do
                local ok, why = pcall(call)
                if ok or not tostring(why):find("made before the process forked", 1, true) then print(method, ok, why) end
              end
              if ending == "close" then pcall(c.close, c) end
              if ending == "collect" then
                c = nil
                collectgarbage()
                collectgarbage()
                print("of its own", (client(]] .. options .. [[):get "good.5"))
              end
              os.exit(0, true)
            end
            assert(unix.wait(pid) == 0)
          end
          local id, gen, err = c:poll()()
          print(id, gen, err)
          for i = 6, 9 do print((c:get("good." .. i))) end
          print(c:stats().connections)]])
        assert.same({ 0, "of its own\tgeneration good.5\nnap.2\tgeneration nap.2\tnil\ngeneration good.6\n"
          .. "generation good.7\ngeneration good.8\ngeneration good.9\n1\n", "" }, { status, out, err })
        local port = name:find "TLS" and "tls" or "http"
        assert.equal(2, server:count("accept", port)) -- the parent's, and that of the child's own client
      end)
    end
  end)
end)

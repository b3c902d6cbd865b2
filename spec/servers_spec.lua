-- The servers that other specs need: that they start and stop, and never stay behind.
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

describe("servers", function()
  after_each(shell.clean)

  local function alive(pid)
    local status = shell.run("kill -0 " .. pid)
    return status == 0
  end

  local function dead(pid)
    return servers.wait_for(function() return not alive(pid) end, 5)
  end

  it("stop when they are told", function()
    local server = servers.start [[sh -c 'echo "it is up" >"$READY"; echo said; exec sleep 1000']]
    assert.same({ "it is up\n", true, true }, { server.ready, server:running(), alive(server.pid) })
    assert.is_truthy(servers.wait_for(function() return server:log() == "said\n" end, 5))
    server:stop()
    assert.is_false(alive(server.pid))
    assert.is_false(server:running())
    assert.is_nil(io.open(server.directory .. "/log"))
    server:stop()
  end)

  it("may end by themselves", function()
    local server = servers.start [[sh -c 'echo up >"$READY"']]
    assert.is_truthy(servers.wait_for(function() return not server:running() end, 5))
    server:stop()
  end)

  it("say why they do not start", function()
    assert.error_matches(function() servers.start "sh -c 'echo no such luck >&2; exit 3'" end, "no such luck")
    assert.error_matches(function() servers.start "/no/such/server" end, "/no/such/server")
  end)

  -- Another process starts a server, and ends in this way.
  local function orphan(ending)
    local pid_file = shell.directory() .. "/pid"
    local script = shell.write(shell.directory() .. "/script.lua", ([[
      local server = require "spec.support.servers".start "sh -c 'echo up >\"$READY\"; exec sleep 1000'"
      local file = io.open("%s", "w")
      file:write(server.pid)
      file:close()
      %s]]):format(pid_file, ending))
    shell.run((os.getenv "LUA" or "lua5.4") .. " " .. script)
    return tonumber(shell.read(pid_file))
  end

  it("do not outlive the process that started them", function()
    for _, ending in ipairs { "", "error 'x'", "os.exit(1)", "os.execute 'kill -KILL $PPID'" } do
      assert.is_truthy(dead(orphan(ending)))
    end
  end)
end)

-- The servers that other specs need: that they start and stop, and never stay behind.
local cjson = require "cjson"
local proxy = require "spec.support.proxy"
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

  -- Another process starts a server with this code, which makes a list of process numbers, and ends in this way.
  local function orphans(code, ending)
    local pid_file = shell.directory() .. "/pid"
    local script = shell.write(shell.directory() .. "/script.lua", ([[
      local servers = require "spec.support.servers"
      local pids
      %s
      local file = io.open("%s", "w")
      file:write(table.concat(pids, " "))
      file:close()
      %s]]):format(code, pid_file, ending))
    shell.run((os.getenv "LUA" or "lua5.4") .. " " .. script)
    local pids = {}
    for pid in shell.read(pid_file):gmatch "%d+" do pids[#pids + 1] = tonumber(pid) end
    return pids
  end

  local KILLED = "os.execute 'kill -KILL $PPID'"

  it("do not outlive the process that started them", function()
    local start = [[pids = { servers.start("sh -c 'echo up >\"$READY\"; exec sleep 1000'").pid }]]
    for _, ending in ipairs { "", "error 'x'", "os.exit(1)", KILLED } do
      assert.is_truthy(dead(orphans(start, ending)[1]))
    end
  end)

  -- Asks for each "NAME TYPE" over UDP and over TCP: the response's code and its addresses, or "silence" where the next question
  -- is answered first.
  local ASK = [[
import socket, struct, sys

def query(name, kind):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    return struct.pack(">HHHHHH", 4711, 0x100, 1, 0, 0, 0) + labels + struct.pack(">HH", {"A": 1, "AAAA": 28}[kind], 1)

def over_udp(port, queries):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(10)
    for each in queries:
        sock.sendto(each, ("127.0.0.1", port))
    return sock.recv(512)

def over_tcp(port, queries):
    stream = socket.create_connection(("127.0.0.1", port), 10).makefile("rwb")
    for each in queries:
        stream.write(struct.pack(">H", len(each)) + each)
    stream.flush()
    return stream.read(*struct.unpack(">H", stream.read(2)))

def told(response, asked):
    if not response[12:].startswith(asked[12:]):
        return "silence"
    number, flags, _, answers, _, _ = struct.unpack(">HHHHHH", response[:12])
    assert number == 4711 and flags & 0x8000 and len(response) == len(asked) + 16 * answers
    addresses = [socket.inet_ntoa(response[len(asked) + 16 * i + 12:][:4]) for i in range(answers)]
    return " ".join([str(flags & 15), *addresses])

for question in sys.argv[2:]:
    asked = query(*question.split())
    for over in over_udp, over_tcp:
        print(told(over(int(sys.argv[1]), [b"\0" * 5, asked, query("next.test", "A")]), asked))
]]

  it("answer for names", function()
    local dns = servers.dns()
    finally(function() dns:stop() end)
    local script = shell.write(shell.directory() .. "/ask.py", ASK)
    local status, out, complaint = shell.run(("python3 %s %d %s"):format(script, dns.port,
      "'openrouter.ai A' 'OpenRouter.AI A' 'a.b.test A' 'a.test AAAA' 'openrouter.com A' 'silent.test A' 'silent.x AAAA'"))
    assert.same({ 0, "" }, { status, complaint })
    local known, none, unknown, silent = "0 127.0.0.1\n", "0\n", "3\n", "silence\n"
    local expected = ""
    for _, line in ipairs { known, known, known, none, unknown, silent, silent } do expected = expected .. line .. line end
    assert.equal(expected, out)
  end)

  describe("a proxy", function()
    -- Without openrouter.nginx: nginx alone.
    local function plain(text)
      return (text:gsub("%s*[%w_]+_by_lua_block%s*%b{}", ""))
    end

    local function all_dead(pids)
      return servers.wait_for(function()
        for _, pid in ipairs(pids) do
          if alive(pid) then return false end
        end
        return true
      end, 10)
    end

    it("is configured as printed, or not at all", function()
      local printed = "a 1; # /etc/x\nb 2;\nb 2;\nlisten 80;\n"
      local list = { { "a 1;", "a %1;" }, { "b 2;", "c;", 2 }, { "listen 80;", "listen 81;" } }
      assert.equal("a %1; # /etc/x\nc;\nc;\nlisten 81;\n", proxy.configuration(printed, list))
      local function refuses(text, why)
        assert.error_matches(function() proxy.configuration(text, list) end, why)
      end
      refuses(printed:gsub("a 1;", "a 2;"), '"a 1;" 0 times, and not 1')
      refuses(printed .. "a 1;", '"a 1;" 2 times, and not 1')
      refuses(printed:gsub("b 2;", "", 1), '"b 2;" 1 times, and not 2')
      refuses(printed .. "  include /etc/nginx/more;\n", '"  include /etc/nginx/more;"')
      refuses(printed .. "listen 443;", '"listen 443;"')
    end)

    it("has workers, and is started again where it was", function()
      local p = servers.proxy { edit = plain }
      finally(function() p:stop() end)
      local before, url, master = p:workers(), p.url, p.pid
      assert.equal(2, #before)

      p:signal("KILL", before[1])
      assert.is_truthy(servers.wait_for(function()
        local now = p:workers()
        return #now == 2 and now[1] == before[2] and now[2] ~= before[1]
      end))
      assert.matches("worker process " .. before[1] .. " exited on signal 9", p:errors())

      before = p:workers()
      p:signal "HUP"
      assert.is_truthy(servers.wait_for(function()
        local now = p:workers()
        return #now == 2 and now[1] > before[2]
      end))
      local left = p:workers()
      p:signal "KILL"
      assert.is_truthy(dead(master))
      assert.same({ true, left }, { p:running(), p:workers() })
      for _, pid in ipairs(left) do p:signal("KILL", pid) end
      shell.write(p.dir .. "/kept", "")
      p:restart()
      assert.equal(url, p.url)
      assert.not_equal(master, p.pid)
      assert.is_truthy(io.open(p.dir .. "/kept"))
      assert.equal(200, (p:curl "/api/v1/models"))

      left = p:workers()
      left[3] = p.pid
      p:signal("STOP", left[1]) -- hears nothing but SIGKILL
      p:signal "KILL"
      p:stop()
      assert.is_truthy(all_dead(left))
      assert.is_false(p:running())
      assert.is_nil(io.open(p.work .. "/nginx.conf"))
      assert.is_false(p.upstream:running())
      assert.is_false(p.dns:running())
    end)

    it("ends with the process that started it, even when its master is dead", function()
      local pids = orphans([[
        local p = servers.proxy { edit = function(text) return (text:gsub("%s*[%w_]+_by_lua_block%s*%b{}", "")) end }
        pids = p:workers()
        pids[3], pids[4], pids[5], pids[6] = p.pid, p.supervisor.pid, p.dns.pid, p.upstream.pid
        p:signal "KILL"]], KILLED)
      assert.equal(6, #pids)
      assert.is_truthy(all_dead(pids))
    end)

    it("says why it does not start", function()
      assert.error_matches(function()
        servers.proxy { edit = function(text) return text:gsub("keepalive 32;", "no_such_directive;") end }
      end, 'unknown directive "no_such_directive"')
      assert.error_matches(function() servers.proxy { edit = function() error "the edit's own" end } end, "the edit's own")
    end)

    it("has another upstream and environment where it is told so", function()
      local upstream = servers.sandbox()
      finally(function() upstream:stop() end)
      local p = servers.proxy {
        upstream = upstream, workers = 1, env = { OPENROUTER_API_KEY = "other key", OPENROUTER_BASE_URL = "http://x" },
        edit = function(text)
          text = plain(text):gsub("proxy_pass https:", "proxy_pass http:")
          return (text:gsub("location = /metrics", [[
            location = /environment {
              content_by_lua_block {
                ngx.say(os.getenv "OPENROUTER_API_KEY", " ", os.getenv "OPENROUTER_BASE_URL", " ", package.cpath)
              }
            }
            %0]]))
        end,
      }
      finally(function()
        p:stop()
        upstream:stop()
      end)
      assert.equal(1, #p:workers())
      local _, said = p:curl "/environment"
      assert.matches("^other key http://x " .. p.work:gsub("%p", "%%%0") .. "/lua/%?.so;", said)
      assert.not_matches("build/5", said)
      assert.equal(200, (p:chat "{}"))
      p:stop()
      assert.is_true(upstream:running())
    end)

    it("logs what a chat cost, as printed", function()
      local p = servers.proxy()
      finally(function() p:stop() end)
      local status, body, headers = p:chat '{"messages":[]}'
      local answer = cjson.decode(body)
      assert.same({ 200, answer.id }, { status, headers["x-generation-id"] })
      local open = servers.wait_for(function() -- the note comes when the client has its answer
        local lines = p:pending()
        return #lines == 2 and lines
      end)
      assert.same({ { "pending", answer.id }, { "note", answer.id } },
        { { open[1].kind, open[1].id }, { open[2].kind, open[2].id } })
      local ledger = servers.wait_for(function()
        local lines = p:ledger()
        return #lines == 1 and lines
      end)
      assert.same({ "settled", answer.id }, { ledger[1].kind, ledger[1].id })
      assert.equal(answer.usage.cost, ledger[1].line.answer.data.usage)
      assert.is_truthy(servers.wait_for(function() return #p:pending() == 0 end))
      assert.is_truthy(servers.wait_for(function()
        local figures = p:metrics()
        local labels = ('{model="%s",provider="%s"}'):format(answer.model, answer.provider)
        return figures.openrouter_captured_total == 1 and figures["openrouter_generations_total" .. labels] == 1
      end))
      assert.matches('^127%.0%.0%.1 .*"POST /api/v1/chat/completions HTTP/1.1" 200 .* ' .. answer.id:gsub("%p", "%%%0") .. " ",
        p:access()[1])
      assert.equal("", p:errors())
      assert.equal(401, (p:chat("{}", "-H 'Authorization: Bearer sk-or-sandbox-bad'")))
      local _, stream = p:chat '{"stream":true}'
      assert.matches("^: OPENROUTER PROCESSING\n\ndata: .*data: %[DONE%]\n\n$", stream)
    end)

    -- A server that says the next event only when the client has the last one: the file `taken` says which that is.
    local STEPS = [[
  server {
    listen unix:WORK/steps;
    location / {
      content_by_lua_block {
        ngx.header["Content-Type"] = "text/event-stream"
        ngx.header["X-Generation-Id"] = "gen-1790000000-steps"
        for i = 1, 30 do
          ngx.print("data: ", i, "\n\n")
          ngx.flush(true)
          local taken
          repeat
            ngx.sleep(0.002)
            local file = io.open "WORK/taken"
            taken = file and tonumber(file:read "*a")
            if file then file:close() end
          until taken and taken >= i
        end
      }
    }
  }
}
]]

    it("hands on each event when it comes, as printed", function()
      local p = servers.proxy {
        edit = function(text)
          local work = text:match "pid (%S+)/nginx.pid;"
          text = text:gsub("server 127%.0%.0%.1:%d+;", "server unix:" .. work .. "/steps;")
          text = text:gsub("proxy_pass https:", "proxy_pass http:")
          return (text:gsub("}%s*$", function() return (STEPS:gsub("WORK", work)) end))
        end,
      }
      finally(function() p:stop() end)
      local pipe = io.popen(("curl -sN -m 20 -d '{}' %s/api/v1/chat/completions"):format(p.url))
      for i = 1, 30 do
        assert.equal("data: " .. i, pipe:read "*l")
        assert.equal("", pipe:read "*l")
        shell.write(p.work .. "/taken", tostring(i))
      end
      assert.is_nil(pipe:read "*l")
      pipe:close()
      assert.is_truthy(servers.wait_for(function() return #p:ledger() == 1 end))
    end)
  end)
end)

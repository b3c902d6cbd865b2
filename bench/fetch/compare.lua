-- Runs each job's programs in turn, round by round, and prints what a request costs each of them. `run` starts it, with the
-- server up and all it needs to know in the environment.
local env = os.getenv

local QUICK = env "QUICK" ~= ""
local ROUNDS = QUICK and 3 or 5
local WARM_UP = 0.05 -- of a round's requests, at first and not counted
local WIDTH = 110

local PORT = math.floor(env "PORT")
local PLAIN = ("http://127.0.0.1:%d/api/v1"):format(PORT)
local SLOW = ("http://127.0.0.1:%d/slow/api/v1"):format(PORT)
local TLS = ("https://127.0.0.1:%d/api/v1"):format(PORT + 1)
local HTTP2 = ("https://127.0.0.1:%d/api/v1"):format(PORT + 2)
local LATENCIES = env "WORK" .. "/latencies"

-- ---- what others say ------------------------------------------------------------------------------------------------

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text
end

local function output_of(command)
  local pipe = io.popen(command .. " 2>&1 </dev/null")
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function first_line(text)
  return (text:match "%S[^\n]*" or "it says nothing"):sub(1, 200)
end

local function succeeds(command)
  return os.execute(command .. " >/dev/null 2>&1 </dev/null") == true
end

-- nil, or what to say where one of the commands is not there
local function missing(commands, packages)
  for _, command in ipairs(commands) do
    if not succeeds("command -v " .. quote(command)) then return ("%s is not installed (%s)"):format(command, packages) end
  end
end

-- ---- the programs: each has a label, a command with %d for the number of requests, perhaps what it lacks ------------

local function ours(label, lua, abi, url, concurrency, more)
  local lacks = missing({ lua }, abi == "5.4" and "lua5.4" or "luajit")
  if not succeeds(("test -f build/%s/openrouter/curl.so"):format(abi)) then lacks = "not built: make" end
  return {
    label = "ours, " .. label,
    missing = lacks,
    environment = ("export LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='build/%s/?.so;;'; "):format(abi),
    command = ("%s bench/fetch/ours.lua %s %%d %d %s"):format(lua, url, concurrency, more or ""),
  }
end

local function both(...)
  return { ours("Lua 5.4", env "LUA", "5.4", ...), ours("LuaJIT", env "LUAJIT", "5.1", ...) }
end

-- It asks for the same id again and again, as its URLs would have to come from a file: if anything, less work than ours.
local function h2load(url, options)
  local form = "h2load -t1 -n%%d %s -H 'Authorization: Bearer %s' '%s/generation?id=gen-1792000000-%020d'"
  return {
    label = "h2load " .. options,
    missing = missing({ "h2load" }, "nghttp2-client"),
    command = form:format(options, env "OPENROUTER_API_KEY", url, 1),
    -- its status tells nothing
    check = function(output, requests)
      local done, failed = output:match "(%d+) succeeded, (%d+) failed"
      local good = output:match "status codes: (%d+) 2xx"
      if tonumber(done) == requests and failed == "0" and tonumber(good) == requests then return nil end
      return output:match "requests: [^\n]*" or first_line(output)
    end,
  }
end

local curl_form = "curl -q --no-progress-meter --fail --fail-early -o /dev/null --parallel --parallel-max 32 "
  .. "-H 'Authorization: Bearer %s' '%s/generation?id=gen-1792000000-[00000000000000000001-%%020d]'"
local curl = {
  label = "curl --parallel",
  command = curl_form:format(env "OPENROUTER_API_KEY", PLAIN),
}

local function missing_sdk()
  local why = env "SDK_MISSING"
  return why ~= "" and why or nil
end
local sdk = {
  label = "@openrouter/sdk",
  missing = missing_sdk(),
  command = ("node %s/sdk.mjs %s %%d 32"):format(env "SDK", PLAIN),
}

local function missing_luasocket()
  if succeeds(env "LUA" .. " -e 'require [[socket]] require [[cjson]]'") then return nil end
  return "not installed (lua-socket, lua-cjson)"
end
local luasocket = {
  label = "LuaSocket + lua-cjson",
  missing = missing_luasocket(),
  command = ("%s bench/fetch/luasocket.lua 127.0.0.1 %d %%d"):format(env "LUA", PORT),
}

-- ---- running them ---------------------------------------------------------------------------------------------------

-- What the server counted so far: connections and requests.
local function served()
  local text = output_of("curl -q -s " .. env "STATUS_URL")
  local connections, requests = text:match "\n *(%d+) +%d+ +(%d+)"
  if not connections then error("the server is gone: " .. first_line(text), 0) end
  return math.floor(connections), math.floor(requests)
end

-- Run one to its end: CPU (user and system, of everything it started) and wall time per request in us, from the kernel's
-- account of the finished process by way of bash's `time`; start-up is in it. nil and why where a single request failed.
local function measure(program, requests)
  local path = env "WORK"
  local script = ("%sTIMEFORMAT='%%3R %%3U %%3S'; { time taskset -c %s %s </dev/null >%s/out 2>%s/err; } 2>%s/time")
    :format(program.environment or "", env "CLIENT_CPU", program.command:format(requests), path, path, path)
  local connections_before, requests_before = served()
  local ok, how, code = os.execute("exec bash -c " .. quote(script))
  local connections, all = served()
  local output = read(path .. "/out")
  if not ok then
    local said = read(path .. "/err")
    return nil, ("%s %d: %s"):format(how, code, first_line(said ~= "" and said or output))
  end
  local why = program.check and program.check(output, requests)
  if why then return nil, why end
  local asked = all - requests_before - 1 -- the question itself is one, on a connection of its own
  if asked ~= requests then return nil, ("%d requests instead of %d came to the server"):format(asked, requests) end
  local real, user, system = read(path .. "/time"):match "([%d.]+) ([%d.]+) ([%d.]+)"
  return {
    wall = real / requests * 1e6,
    cpu = (user + system) / requests * 1e6,
    connections = connections - connections_before - 1,
  }
end

local function numbers(rounds, number_of)
  local list = {}
  for i, round in ipairs(rounds) do list[i] = number_of(round, i) end
  table.sort(list)
  local middle = (#list + 1) / 2
  return (list[math.floor(middle)] + list[math.ceil(middle)]) / 2, list[1], list[#list]
end

local function spread(median, least, most)
  local digit = median < 0.1 and "%.3f" or median < 10 and "%.2f" or "%.1f"
  return ("%s [%s-%s]"):format(digit, digit, digit):format(median, least, most)
end

-- ---- the table ------------------------------------------------------------------------------------------------------

local ROW = "  %-22s%8s%9s%7s   %-20s%-20s%s"

local function print_row(...)
  local line = ROW:format(...):gsub(" +$", "")
  print(line)
end

local function verdict(sign, goal, met)
  return ("%s %g  %s"):format(sign, goal, met and "met" or "NOT MET")
end

-- A job's two ways to look at ours: by the ratio to theirs, or by the rate that the server's latency allows.
local function print_program(job, program, rounds, their_rounds)
  local columns = {}
  if job.latency then
    local function percent(round, i)
      return 100 * 1e6 / round.wall / (job.concurrency / job.latencies[i])
    end
    local median, least, most = numbers(rounds, percent)
    columns[2] = spread(median, least, most) .. " %"
    columns[3] = program.is_ours and verdict(">=", job.goal, median >= job.goal)
  elseif program.is_ours then
    local median, least, most = numbers(rounds, function(round, i) return round.cpu / their_rounds[i].cpu end)
    columns[1] = spread(median, least, most)
    columns[2] = spread(numbers(rounds, function(round, i) return round.wall / their_rounds[i].wall end))
    columns[3] = job.goal and verdict("<=", job.goal, median <= job.goal)
  end
  print_row(
    program.label,
    ("%.1f"):format(numbers(rounds, function(round) return round.cpu end)),
    ("%.1f"):format(numbers(rounds, function(round) return round.wall end)),
    ("%d"):format(numbers(rounds, function(round) return round.connections end)),
    columns[1] or "",
    columns[2] or "",
    columns[3] or ""
  )
end

-- Seconds that one request takes when it is alone: the median of what h2load, which is not ours to err in our favour, writes
-- down of 50: when each started, its status, its microseconds.
local function single_latency(job)
  os.remove(LATENCIES)
  local round, why = measure(job.single, 50)
  if not round then return nil, why end
  local times = {}
  for time in read(LATENCIES):gmatch "%d+\t200\t(%d+)" do times[#times + 1] = tonumber(time) end
  if #times ~= 50 then return nil, ("it wrote down %d requests instead of 50"):format(#times) end
  return (numbers(times, function(time) return time end)) / 1e6
end

local all_good = true

local function run_job(job)
  local requests = QUICK and job.quick or job.requests
  print(("\n%s: %s; %d requests"):format(job.name, job.title, requests))
  local programs = {}
  for i, program in ipairs(job.ours) do
    program.is_ours = true
    programs[i] = program
  end
  programs[#programs + 1] = job.theirs
  if job.missing or job.theirs.missing then
    print("  skipped: " .. (job.missing or job.theirs.label .. ": " .. job.theirs.missing))
    return
  end

  local rounds, failed = {}, {}
  local function try(program, number)
    if program.missing or failed[program] or failed[job.theirs] then return end
    local round, why = measure(program, number)
    if not round then failed[program] = why end
    return round
  end
  for _, program in ipairs(programs) do
    rounds[program] = {}
    try(program, math.floor(requests * WARM_UP))
  end
  for i = 1, ROUNDS do
    if job.latency then
      local seconds, why = single_latency(job)
      if not seconds then failed[job.theirs] = why end
      job.latencies[i] = seconds
    end
    for _, program in ipairs(programs) do rounds[program][i] = try(program, requests) end
  end

  for _, program in ipairs(programs) do
    if program.missing then
      print(("  %s: skipped: %s"):format(program.label, program.missing))
    elseif failed[program] then
      all_good = false
      print(("  %s: FAILED: %s"):format(program.label, failed[program]))
    elseif not failed[job.theirs] then
      print_program(job, program, rounds[program], rounds[job.theirs])
    end
  end
  if job.latency and not failed[job.theirs] then
    print(("  a request alone takes %.2f ms"):format(1e3 * numbers(job.latencies, function(seconds) return seconds end)))
  end
end

-- ---- the jobs -------------------------------------------------------------------------------------------------------

local CERTIFICATE = env "WORK" .. "/cert.pem"

local JOBS = {
  {
    name = "h1",
    title = "HTTP/1.1, 32 at once",
    requests = 40000,
    quick = 8000,
    ours = both(PLAIN, 32),
    theirs = h2load(PLAIN, "--h1 -c32"),
    goal = 2.5,
  },
  {
    name = "tls",
    title = "HTTP/1.1 in TLS, 32 at once (ours verifies the certificate, h2load does not)",
    requests = 40000,
    quick = 8000,
    ours = both(TLS, 32, "- " .. CERTIFICATE),
    theirs = h2load(TLS, "--h1 -c32"),
    goal = 2.6,
  },
  {
    name = "h2",
    title = "HTTP/2 in TLS, 32 at once (ours verifies the certificate, h2load does not)",
    requests = 40000,
    quick = 8000,
    ours = both(HTTP2, 32, "2 " .. CERTIFICATE),
    theirs = h2load(HTTP2, "-c1 -m32"),
    goal = 3.2,
  },
  {
    name = "curl",
    title = "HTTP/1.1, 32 at once",
    requests = 20000,
    quick = 4000,
    ours = both(PLAIN, 32),
    theirs = curl,
    goal = 0.5,
  },
  {
    name = "sdk",
    title = "HTTP/1.1, 32 at once",
    requests = 5000,
    quick = 2000,
    ours = both(PLAIN, 32),
    theirs = sdk,
    goal = 0.04,
  },
  {
    name = "luasocket",
    title = "HTTP/1.1, one after the other",
    requests = 10000,
    quick = 2000,
    ours = both(PLAIN, 1),
    theirs = luasocket,
  },
  {
    name = "latency",
    title = "HTTP/1.1, 128 at once, the server takes 20 ms; % of what 128 / latency allows",
    requests = 25600,
    quick = 6400,
    concurrency = 128,
    ours = both(SLOW, 128),
    theirs = h2load(SLOW, "--h1 -c128"),
    single = h2load(SLOW, "--h1 -c1 --log-file=" .. LATENCIES),
    missing = env "SLOW" == "" and "nginx has no Lua module (libnginx-mod-http-lua)" or nil,
    latency = true,
    latencies = {},
    goal = 95,
  },
}

-- ---- what it is all measured with -----------------------------------------------------------------------------------

local function version(command, pattern, form)
  local found = output_of(command):match(pattern)
  return found and (form or "%s"):format(found)
end

local function print_versions()
  local client, server = env "CLIENT_CPU", env "SERVER_CPU"
  local ours_says = "LUA_CPATH='build/5.4/?.so' " .. env "LUA" .. " -e 'print(require "
  local facts = {
    os.date "!%Y-%m-%d %H:%M UTC",
    read("/proc/cpuinfo"):match "model name%s*: ([^\n]*)" or version("uname -m", "%S+"),
    client == server and "one core for client and server, so that wall times say little"
      or ("client on core %s, server on core %s"):format(client, server),
    version("git describe --always --dirty", "^[%w.-]+\n$", "lua-openrouter %s"),
    version(env "LUA" .. " -v", "Lua [%d.]+"),
    version(env "LUAJIT" .. " -v", "LuaJIT [%d.]+%S*"),
    version(ours_says .. '"openrouter.curl".VERSION)\'', "libcurl/[^\n]*"),
    version(env "NGINX" .. " -v", "nginx/%S+"),
    version("h2load --version", "nghttp2/%S+", "h2load %s"),
    version("curl -q -V", "^curl [%d.]+"),
    version("node -v", "v[%d.]+", "node %s"),
    version("cat " .. env "SDK" .. "/node_modules/@openrouter/sdk/package.json", '"version": "([^"]+)"', "@openrouter/sdk %s"),
    version(env "LUA" .. " -e 'print(require [[socket]]._VERSION)'", "LuaSocket [^\n]*"),
    version(env "LUA" .. " -e 'print(require [[cjson]]._VERSION)'", "^%d[^\n]*", "lua-cjson %s"),
  }
  local line
  for i = 1, 14 do
    local fact = facts[i]
    if fact then
      fact = fact:gsub("[%s%c]+", " "):gsub(" $", "")
      if line and #line + 3 + #fact > WIDTH then
        print(line)
        line = nil
      end
      line = line and line .. " | " .. fact or fact
    end
  end
  print(line)
end

print_versions()
print(("%d rounds in turn after a warm-up; whole processes with their start-up; medians; ratios in a round"):format(ROUNDS))
print ""
print_row("", "CPU", "wall", "con-", "ours / theirs, median [min-max] of rounds", "", "")
print_row("per request", "us", "us", "nects", "CPU", "wall", "goal")
io.stdout:setvbuf "line"
for _, job in ipairs(JOBS) do
  if env "ONLY" == "" or ("," .. env "ONLY" .. ","):find("," .. job.name .. ",", 1, true) then run_job(job) end
end
os.exit(all_good)

--- A long run: many ids through one client, one in seven of them trouble, and what must hold at its end and all along.
---
---   lua5.4 spec/support/soak.lua [--ids N] [--seed N] [--deadline SECONDS] [--without-rss]
---
--- Against examples/sandbox, which it starts; from the top of the tree, with the environment of spec/support/run.
--- Every id given must end once, as the table below says. The memory of the process and the Lua heap must not grow once
--- things are under way, and no descriptor may stay open. Prints samples on the way and what came out; status 1 where
--- anything is wrong. --without-rss is for valgrind, whose own memory is what the process would show.
local core = require "openrouter.core"
local openrouter = require "openrouter"
local servers = require "spec.support.servers"
local read = require "spec.support.shell".read

local MIB = 1024 -- kB
-- How much more than a quarter of the way through, or than at the start where that was more. What the process has depends on
-- how the C heap happens to be cut up; what Lua has does not, but for how full the window is.
local RSS_MAY_GROW = 3 * MIB
local HEAP_MAY_GROW = 1 * MIB
local HEAP_MAY_KEEP = 64 -- at the end, without the client, more than at the start

local options = { ids = 200000, seed = 1, deadline = 8 }

-- { of 100000 ids, the id, what it must end as }: "record", or the kind of the error. The rest is plain. What names the time is
-- old: a 404 is final there. A 429 holds up all that wait, so there are few; LAST_MOMENT is what else becomes of those that
-- are asked for until their deadline, when that is near just then.
local LAST_MOMENT = "rate_limited"
local MARKERS = {
  { 10000, "gen-soak-fresh-%d-%d", "record" },
  { 2, "gen-soak-once-429-%d-%d", "record" },
  { 200, "gen-soak-once-503-%d-%d", "record" },
  { 800, "gen-soak-once-500-%d-%d", "record" },
  { 398, "gen-soak-once-502-fresh-%d-%d", "record" },
  { 400, "gen-1790000000-once-500-other-%d-%d", "wrong_id" },
  { 500, "gen-1790000000-other-%d-%d", "wrong_id" },
  { 600, "gen-1790000000-html-%d-%d", "bad_answer" },
  { 300, "gen-1790000000-cut-%d-%d", "network", LAST_MOMENT },
  { 400, "gen-1790000000-status-400-%d-%d", "bad_request" },
  { 400, "gen-1790000000-status-403-%d-%d", "forbidden" },
  { 500, "gen-1790000000-status-404-%d-%d", "not_found" },
  { 100, "gen-soak-status-404-%d-%d", "not_found" },
  { 100, "gen-1790000000-status-408-%d-%d", "timeout", LAST_MOMENT },
  { 300, "gen-1790000000-status-500-%d-%d", "server", LAST_MOMENT },
}
local PLAIN = #MARKERS + 1
MARKERS[PLAIN] = { 0, "gen-1790000000-%d-%d", "record" }

-- ---- what the process has -------------------------------------------------------------------------------------------

local function resident_kb()
  return tonumber(read("/proc/self/status"):match "VmRSS:%s*(%d+)")
end

-- Listed into a file, as a pipe to here would have ends that are descriptors too.
local function open_descriptors()
  local path, count = os.tmpname(), 0
  os.execute(("ls /proc/%d/fd >%s"):format(read("/proc/self/stat"):match "^%d+", path))
  for _ in read(path):gmatch "%d+" do count = count + 1 end
  os.remove(path)
  return count
end

local samples, jit = {}, rawget(_G, "jit")

local function sample(name)
  if jit then jit.flush() end -- the machine code it has made is in its heap
  collectgarbage()
  collectgarbage() -- what a finalizer kept alive goes in the second round
  local s = { rss = resident_kb(), heap = collectgarbage "count" }
  samples[#samples + 1] = s
  print(("%-6s rss %7d kB, Lua heap %8.1f kB"):format(name, s.rss, s.heap))
end

local wrong = 0

local function complain(...)
  wrong = wrong + 1
  if wrong <= 20 then print("WRONG: " .. string.format(...)) end
end

-- samples[1] is before the client was made, samples[2] a quarter of the way through
local function check_growth(what, most)
  local before = math.max(samples[1][what], samples[2][what])
  for i = 3, #samples - 1 do
    local growth = samples[i][what] - before
    if growth > most then complain("%s grew by %d kB, and %d are allowed", what, growth, most) end
  end
end

-- ---- the run --------------------------------------------------------------------------------------------------------

-- The same on every Lua: 0 … n - 1.
local function random_source(seed)
  seed = seed % 2147483646 + 1
  return function(n)
    seed = seed * 16807 % 2147483647
    return math.floor(seed / 1024) % n
  end
end

-- given[i]: 0 not yet, the marker's number, or minus that once it has ended. All of it is there before the first sample.
local function new_ledger(count)
  local given = {}
  for i = 1, count do given[i] = 0 end
  return given
end

local function id_of(i, marker)
  return MARKERS[marker][2]:format(options.seed, i)
end

-- Each of them once, then by chance.
local function marker_of(i, random)
  local at = random(100000)
  if i <= PLAIN then return i end
  for number, marker in ipairs(MARKERS) do
    at = at - marker[1]
    if at < 0 then return number end
  end
  return PLAIN
end

-- Gives out id, number of the id.
local function source(given)
  local random, i = random_source(options.seed), 0
  return function()
    if i == options.ids then return nil end
    i = i + 1
    given[i] = marker_of(i, random)
    return id_of(i, given[i]), i
  end
end

local function check(given, id, gen, err, i)
  local marker = given[i] or 0
  if marker <= 0 then return complain("%s ended without being open", id) end
  given[i] = -marker
  local came = gen and "record" or err.kind
  if id ~= id_of(i, marker) then complain("%s came for the id given as %s", id, id_of(i, marker)) end
  local ends, or_else = MARKERS[marker][3], MARKERS[marker][4]
  if came ~= ends and came ~= or_else then complain("%s must end as %s: %s", id, ends, tostring(err)) end
  if (gen or err).id ~= id then complain("%s came with the id %s", id, tostring((gen or err).id)) end
  if came == "wrong_id" and (err.record or {}).id ~= id .. "x" then complain("%s came without its record", id) end
  return came
end

local function new_client(url)
  return assert(openrouter.client { base_url = url, api_key = "sk-or-sandbox", concurrency = 64, window = 4096,
    deadline = options.deadline, timeout = options.deadline, wait = options.deadline * 3 / 4,
    retry = { base = 0.2, factor = 2, cap = 2 } })
end

-- How many results came, and how many of each kind.
local function fetch(url, given)
  local client, ended, counts = new_client(url), 0, {}
  local quarter = math.ceil(options.ids / 4)
  for id, gen, err, i in client:each(source(given)) do
    local came = check(given, id, gen, err, i)
    if came then counts[came] = (counts[came] or 0) + 1 end
    ended = ended + 1
    if ended % quarter == 0 and ended < options.ids then sample(("%d %%"):format(ended / quarter * 25)) end
  end
  sample "end"
  client:close()
  return ended, counts
end

local function run(url)
  local given = new_ledger(options.ids)
  new_client(url):close() -- what is loaded for the first one stays
  local descriptors = open_descriptors()
  sample "start"
  local ended, counts = fetch(url, given)
  sample "closed"
  for i = 1, options.ids do
    if given[i] >= 0 then complain("id %d never ended", i) end
  end
  local left = open_descriptors() - descriptors
  if left ~= 0 then complain("%d more descriptors are open than before", left) end
  if not options.without_rss then check_growth("rss", RSS_MAY_GROW) end
  check_growth("heap", HEAP_MAY_GROW)
  local kept = samples[#samples].heap - samples[1].heap
  if kept > HEAP_MAY_KEEP then complain("%d kB of the Lua heap are still in use", kept) end
  return ended, counts
end

local function usage()
  io.stderr:write "usage: soak.lua [--ids N] [--seed N] [--deadline SECONDS] [--without-rss]\n"
  os.exit(2)
end

local function read_options()
  local i = 1
  while arg[i] do
    local name = arg[i]:match "^%-%-(%l+)$"
    if arg[i] == "--without-rss" then
      options.without_rss = true
    elseif options[name] and tonumber(arg[i + 1]) then
      i = i + 1
      options[name] = tonumber(arg[i])
    else
      usage()
    end
    i = i + 1
  end
  if options.ids < 100 or options.ids % 1 ~= 0 then usage() end
end

local function counts_line(counts)
  local parts = {}
  for kind, count in pairs(counts) do parts[#parts + 1] = ("%d %s"):format(count, kind) end
  table.sort(parts, function(a, b) return a:match "%a.*" < b:match "%a.*" end)
  return table.concat(parts, ", ")
end

read_options()
io.stdout:setvbuf "line"
local server, started = servers.sandbox(), core.now()
local ok, ended, counts = pcall(run, server.url)
server:stop()
if not ok then error(ended, 0) end
print(counts_line(counts))
print(("%d ids, %d ended, %d wrong, in %.1f s"):format(options.ids, ended, wrong, core.now() - started))
os.exit(wrong == 0 and 0 or 1, true)

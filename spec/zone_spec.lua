local core = require "openrouter.core"
local shell = require "spec.support.shell"

local SYSTEM = os.getenv "TZDIR" or "/usr/share/zoneinfo"
local unpack = table.unpack or unpack

local function zone(name)
  return assert(core.zone(SYSTEM, name))
end

local function seconds(text)
  return assert(core.parse_time(text))
end

-- ---- a file of our own ----------------------------------------------------------------------------------------------

local function big_endian(number, size)
  local bytes = {}
  for i = size, 1, -1 do
    bytes[i] = string.char(number % 256)
    number = math.floor(number / 256) -- stays at -1, which is all ones
  end
  return table.concat(bytes)
end

-- A block with its header. `o` has times, indexes (from 0) and types ({ offset, is_summer, name }), and what the header says
-- in place of the truth.
local function block(o, version, size)
  local times, types = {}, {}
  for i, t in ipairs(o.times) do times[i] = big_endian(t, size) end
  for i, t in ipairs(o.types) do types[i] = big_endian(t[1], 4) .. string.char(t[2] or 0, t[3] or 0) end
  local names = o.names or "LMT\0CET\0"
  local head = "TZif" .. version .. ("\0"):rep(15)
  for _, count in ipairs { o.uts or 0, o.standards or 0, o.leaps or 0, o.timecnt or #times, o.typecnt or #types, #names } do
    head = head .. big_endian(count, 4)
  end
  return head .. table.concat(times) .. string.char(unpack(o.indexes)) .. table.concat(types) .. names .. (o.more or "")
end

local function file_text(o)
  local version = o.version or "2"
  if version == "\0" then return block(o, version, 4) end
  local empty = { times = {}, indexes = {}, types = {}, names = "" }
  return block(empty, version, 4) .. block(o, o.second or version, 8) .. "\n" .. (o.rule or "<+0030>-0:30") .. (o.last or "\n")
end

local function changed(changes)
  local o = { times = { -1000, 2000 }, indexes = { 1, 0 }, types = { { 1800 }, { 3600, 0, 4 } } }
  for name, value in pairs(changes or {}) do o[name] = value end
  return o
end

local directory

local function open(text)
  shell.write(directory .. "/Some", text)
  return core.zone(directory, "Some")
end

local function opened(changes)
  return assert(open(file_text(changed(changes))))
end

-- ---- the specs ------------------------------------------------------------------------------------------------------

describe("zone", function()
  before_each(function() directory = shell.directory() end)
  after_each(shell.clean)

  -- Every line of the model but for the zones in `left_out`; returns how many there were.
  local function compare(where, model, left_out)
    local z, name
    local count, wrong = 0, {}
    for line in io.lines(model) do
      local t, rest = line:match "^(-?%d+)|(.*)$"
      if not t then
        name = line:match "^= (.*)$"
        z = assert(core.zone(where, name))
      elseif not left_out[name] then
        local got = table.concat({ z:show(tonumber(t)) }, "|")
        count = count + 1
        if got ~= rest and #wrong < 10 then wrong[#wrong + 1] = ("%s %s: %s, not %s"):format(name, t, got, rest) end
      end
    end
    assert.same({}, wrong)
    return count
  end

  it("agrees with Python's zoneinfo about every zone, around every change and at random", function()
    local model = directory .. "/model"
    assert.equal(0, (shell.run(("python3 spec/support/zone_model.py %s >%s"):format(SYSTEM, model))))
    local count = compare(SYSTEM, model, {})
    assert.is_true(count > 150000, count)
    -- Files that have rules in place of most transitions. Of the two that change with the moon, Debian 12's zic does not write
    -- as many as there are in the system's files.
    local status, _, why = shell.run(("zic -b slim -d %s/slim %s/tzdata.zi"):format(directory, SYSTEM))
    assert.equal(0, status, why)
    assert.is_true(compare(directory .. "/slim", model, { ["Asia/Gaza"] = true, ["Asia/Hebron"] = true }) > 150000)
  end)

  it("shows the hours of a change of clocks", function()
    local function hours(name, first, step, count)
      local out = {}
      for i = 0, count - 1 do out[#out + 1] = (zone(name):show(seconds(first) + i * step)) end
      return table.concat(out, ", ")
    end
    assert.equal("2026-10-25 02:00+02:00, 2026-10-25 02:00+01:00, 2026-10-25 03:00+01:00",
      hours("Europe/Berlin", "2026-10-25T00:00:00Z", 3600, 3))
    assert.equal("2026-03-08 01:00-05:00, 2026-03-08 03:00-04:00", hours("America/New_York", "2026-03-08T06:00:00Z", 3600, 2))
    assert.equal("2026-04-05 01:00+11:00, 2026-04-05 01:00+10:30, 2026-04-05 02:00+10:30", -- half an hour
      hours("Australia/Lord_Howe", "2026-04-04T14:30:00Z", 1800, 3))
    assert.equal("2026-11-01 05:00+05:45", hours("Asia/Kathmandu", "2026-11-01T00:00:00Z", 1, 1))
    assert.equal("2011-12-29 23:00-10:00, 2011-12-31 00:00+14:00", hours("Pacific/Apia", "2011-12-30T09:00:00Z", 3600, 2))
  end)

  it("shows the first second of 1970 in all units", function()
    assert.same({ "1970-01-01 00:00+00:00", "1970-01-01", "1970-W01", "1970-01" }, { zone "UTC":show(0) })
    assert.same({ "1969-12-31 23:00+00:00", "1969-12-31", "1970-W01", "1969-12" }, { zone "UTC":show(-1) })
    assert.same({ "1969-12-31 16:00-08:00", "1969-12-31", "1970-W01", "1969-12" }, { zone "America/Los_Angeles":show(0) })
  end)

  it("stays within the calendar where the years end", function()
    assert.same({ "-0001-12-31 12:00-12:00", "-0001-12-31", "-0001-W52", "-0001-12" },
      { zone "Etc/GMT+12":show(seconds "0000-01-01T00:00:00Z") })
    assert.equal("10000-01-01", (select(2, zone "Etc/GMT-14":show(seconds "9999-12-31T23:59:59Z"))))
    assert.has_error(function() zone "UTC":show(1e300) end)
    assert.has_error(function() zone "UTC":show(0 / 0) end)
  end)

  it("finds when a local time is: the first, or the next where clocks skip it", function()
    local function utc(name, text)
      return zone(name):utc(seconds(text .. "Z"))
    end
    assert.equal(seconds "2026-11-01T00:00:00+01:00", utc("Europe/Berlin", "2026-11-01T00:00:00"))
    assert.equal(seconds "2026-10-25T02:30:00+02:00", utc("Europe/Berlin", "2026-10-25T02:30:00"))
    assert.equal(seconds "2026-10-25T03:00:00+01:00", utc("Europe/Berlin", "2026-10-25T03:00:00"))
    assert.equal(seconds "2026-03-29T03:00:00+02:00", utc("Europe/Berlin", "2026-03-29T02:30:00"))
    assert.equal(seconds "2011-12-31T00:00:00+14:00", utc("Pacific/Apia", "2011-12-30T12:00:00"))
    assert.equal(seconds "2090-07-01T12:00:00+02:00", utc("Europe/Berlin", "2090-07-01T12:00:00"))
    assert.equal(0, zone "UTC":utc(0))
    for _, name in ipairs { "Europe/Berlin", "Africa/Casablanca", "America/St_Johns", "Antarctica/Troll" } do
      local z = zone(name)
      for t = 1.7e9, 1.9e9, 1234567 do -- none of these is in the second of two equal hours
        assert.equal(t, z:utc(t + z:offset(t)))
      end
    end
  end)

  it("never makes a path of what is no name", function()
    shell.write(directory .. "/secret", file_text(changed()))
    shell.run(("mkdir %s/sub %s/sub/.hid; cp %s/secret %s/sub/.hid/; cp %s/secret %s/sub/a.b"):format(directory, directory,
      directory, directory, directory, directory))
    for _, name in ipairs { "", "/", "/secret", "../secret", "sub/../../secret", "..", ".", "./secret", "secret/", "x//y",
      ".hid/secret", "a.b", "secret\0", "sec ret", "secret\n", "$HOME", "-secret", "a/-b", "é", "a\\b", "C:", ("a"):rep(65),
      directory .. "/secret", ("a/"):rep(31) .. "bcd" } do
      local z, why = core.zone(directory .. "/sub", name)
      assert.same({}, { z, why }, name)
    end
    for _, name in ipairs { "/secret", "//secret", "sub/.hid/secret", "sub//../secret", "secret/", "./secret", "sub/a.b" } do
      assert.same({}, { core.zone(directory, name) }, name) -- though there is such a file
    end
    assert.same({}, { core.zone(directory .. "/sub", "/.hid/secret") })
    shell.run(("cp %s/secret %s/sub/plain"):format(directory, directory))
    assert.same({}, { core.zone(directory, "sub//plain") })
    assert.is_truthy(core.zone(directory, "secret") and core.zone(directory, "sub/plain"))
    assert.is_truthy(zone "Etc/GMT-14" and zone "America/Port-au-Prince" and zone "America/Argentina/Buenos_Aires")
  end)

  it("knows no zone where there is none, and says what is wrong with one it cannot read", function()
    assert.same({}, { core.zone(SYSTEM, "Europe/Nowhere") })
    assert.same({}, { core.zone(SYSTEM, "Europe") })
    assert.same({}, { core.zone(SYSTEM, "Europe/Berlin/Mitte") })
    assert.same({}, { core.zone("/nonexistent", "UTC") })
    shell.run("mkfifo " .. directory .. "/Pipe")
    assert.same({}, { core.zone(directory, "Pipe") }) -- and does not wait for who writes to it
    assert.same({ nil, "it is no time zone file" }, { open "" })
    assert.same({ nil, "it is no time zone file" }, { open(("x"):rep(300000)) })
  end)

  it("reads files of every version", function()
    for _, version in ipairs { "2", "3", "4", "5" } do
      local z = opened { version = version, rule = "<+0030>-0:30XXX,M3.5.0,M10.5.0" }
      assert.same({ 1800, 3600, 1800, 5400 },
        { (z:offset(-1001)), (z:offset(-1000)), (z:offset(2000)), (z:offset(seconds "2026-07-01T00:00:00Z")) })
    end
    assert.equal(1800, (opened { rule = "" }:offset(5e9)))
    local first = opened { version = "\0" }
    assert.same({ 1800, 3600, 1800 }, { (first:offset(-1001)), (first:offset(0)), (first:offset(5e9)) })
    local always = opened { times = {}, indexes = {}, rule = "CET-1" }
    assert.same({ 3600, 3600 }, { (always:offset(-5e10)), (always:offset(5e10)) })
  end)

  it("refuses files that contradict themselves", function()
    local function refused(why, changes)
      assert.same({ nil, why }, { open(file_text(changed(changes))) })
    end
    refused("its version does not exist", { version = "1" })
    refused("it is of two versions", { second = "3" })
    refused("it has no local time", { types = {}, times = {}, indexes = {} })
    refused("it has no local time", { typecnt = 257 })
    refused("it has no local time", { names = "" })
    refused("it ends too early", { timecnt = 4294967295 })
    refused("it ends too early", { timecnt = 50 })
    refused("its counts do not match", { uts = 1 })
    refused("its counts do not match", { standards = 4294967295 })
    refused("it counts leap seconds, which no time here does", { leaps = 1, more = ("\0"):rep(12) })
    refused("an offset from UTC is more than a day", { types = { { 93600 }, { 0 } } })
    refused("an offset from UTC is more than a day", { types = { { -2147483648 }, { 0 } } })
    refused("a local time is broken", { types = { { 0, 2 }, { 0 } } })
    refused("a local time is broken", { types = { { 0, 0, 8 }, { 0 } } })
    refused("a name is broken", { names = "LMT\0CETX" })
    refused("its transitions are out of order", { times = { 5, 5 } })
    refused("its transitions are out of order", { times = { 5, -5 } })
    refused("a transition leads to no local time", { indexes = { 1, 2 } })
  end)

  it("begins with the rule at its first change after the last transition", function()
    local z = opened { rule = "AAA0BBB,M3.5.0,M10.5.0", times = { 0, 1e9 } } -- 2001-09-09: summer, by the rule
    assert.same({ 3600, 1800, 1800, 0, 3600 }, { (z:offset(1e9 - 1)), (z:offset(1e9)), (z:offset(seconds "2001-10-28T00:59:59Z")),
      (z:offset(seconds "2001-10-28T01:00:00Z")), (z:offset(seconds "2002-07-01T00:00:00Z")) })
  end)

  it("reads the rule for times to come, and refuses a broken one", function()
    for _, rule in ipairs { "CET", "CE-1", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-25", "CET-1:60", "CET-1CEST,M13.1.0,M10.5.0",
      "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.0.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,J0,J365", "CET-1CEST,J1,366",
      "CET-1CEST,M3.5.0/168,M10.5.0", "CET-1CEST,M3.5.0,M10.5.0/3x", "CET-1 ", "<CET-1", "<C>-1", "CET-1CEST,M3,M10", "CET-1\0",
      "CET-99999999999999999999", "CET--1", "1", "-1", "CET-1CEST,,", ("A"):rep(200) .. "-1" } do
      assert.same({ nil, "its rule for times to come is broken" }, { open(file_text(changed { rule = rule })) }, rule)
    end
    assert.same({ nil, "its rule for times to come is broken" }, { open(file_text(changed { last = "" })) })
    local function offsets(rule, ...)
      local z, out = opened { rule = rule }, {}
      for i, text in ipairs { ... } do out[i] = z:offset(seconds(text)) / 3600 end
      return out
    end
    -- summer time all year, as RFC 8536 has it
    assert.same({ -4, -4, -4 }, offsets("XXX3EDT4,0/0,J365/23", "2026-01-01T02:59:59Z", "2026-01-01T03:00:00Z",
      "2026-07-01T00:00:00Z"))
    -- J59 is February 28 in every year and J60 March 1, 59 is so in ordinary ones
    assert.same({ 0, 1, 0, 1 }, offsets("AAA0BBB,J59/0,J300/0", "2026-02-27T23:59:59Z", "2026-02-28T00:00:00Z",
      "2028-02-27T23:59:59Z", "2028-02-28T00:00:00Z"))
    assert.same({ 0, 1, 0, 1 }, offsets("AAA0BBB,J60/0,J300/0", "2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z",
      "2028-02-29T23:59:59Z", "2028-03-01T00:00:00Z"))
    assert.same({ 0, 1, 0, 1 }, offsets("AAA0BBB,59/0,300/0", "2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z",
      "2028-02-28T23:59:59Z", "2028-02-29T00:00:00Z"))
    -- a week before and after the day that is said
    assert.same({ 1, 0, 0, 1 }, offsets("AAA0BBB,J1/-167,J7/-1", "2026-01-06T21:59:59Z", "2026-01-06T22:00:00Z",
      "2026-12-25T00:59:59Z", "2026-12-25T01:00:00Z"))
    assert.same({ 1, 0, 0, 1 }, offsets("AAA0BBB,J359/1,J365/167", "2027-01-06T21:59:59Z", "2027-01-06T22:00:00Z",
      "2026-12-25T00:59:59Z", "2026-12-25T01:00:00Z"))
    -- winter time that is less than the standard, as in Ireland; an offset of its own for the summer
    assert.same({ 0, 1 }, offsets("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z"))
    assert.same({ 0, 2.5 }, offsets("<+00>0<+0230>-2:30,J100,J200", "2026-01-01T00:00:00Z", "2026-05-01T00:00:00Z"))
  end)

  it("raises for misuse", function()
    assert.has_error(function() core.zone() end)
    assert.has_error(function() core.zone(SYSTEM, {}) end)
    assert.has_error(function() zone "UTC".show(io.stdout, 0) end)
    assert.has_error(function() zone "UTC":show "x" end)
  end)

  if rawget(_G, "jit") then return end -- what follows is the same under every Lua

  it("takes hostile files without a fault", function()
    local program = directory .. "/hostile"
    local status, _, errors = shell.run("cc -std=c99 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -I csrc -o "
      .. program .. " spec/support/zone_hostile.c csrc/zone.c csrc/utc.c -lm")
    assert.equal(0, status, errors)
    assert.equal(0, (shell.run(("zic -b slim -d %s/slim %s/tzdata.zi"):format(directory, SYSTEM))))
    local files = {}
    for i, name in ipairs { "Europe/Berlin", "Africa/Casablanca", "Antarctica/Troll", "America/New_York", "UTC" } do
      files[i] = ("%s/%s %s/slim/%s"):format(SYSTEM, name, directory, name)
    end
    local out
    status, out, errors = shell.run(program .. " 10000 " .. table.concat(files, " "))
    assert.equal(0, status, errors)
    local taken, refused = out:match "^(%d+) taken, (%d+) refused\n$"
    assert.is_true(tonumber(taken) > 10000 and tonumber(refused) > 10000, out)
  end)
end)

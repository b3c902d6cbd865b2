-- Segments of a journal: no line of one may be lost or come back to life, whatever its process, the disk or others do.
local core = require "openrouter.core"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

local LUA = os.getenv "LUA"
local FULL = "File too large" -- what a limit on the size of files gives; a full disk is handled alike

describe("a segment", function()
  local path
  before_each(function() path = shell.directory() .. "/1763705000-17.jsonl" end)
  after_each(shell.clean)

  local function line(id, rest)
    return ('{"pending":"%s","open":true ,"at":"2026-11-21T06:26:57.123Z"%s}'):format(id, rest or "")
  end

  local function closed(id, rest)
    return (line(id, rest):gsub("true ", "false", 1))
  end

  local function exists(name)
    local file = io.open(name)
    if file then file:close() end
    return file ~= nil
  end

  -- The ids that are open, read in parts of that many bytes.
  local function open_ids(segment, most)
    local ids, offsets, from, parts = {}, {}, 0, 0
    repeat
      local list, next = segment:open_lines(from, most or 2 ^ 20)
      assert.is_table(list, next)
      for i = 1, #list, 2 do
        offsets[#offsets + 1] = list[i]
        ids[#ids + 1] = select(2, core.open_line(list[i + 1]))
      end
      assert.is_true(next == nil or next > from)
      from, parts = next, parts + 1
      assert.is_true(parts < 1000000)
    until not from
    return ids, offsets, parts
  end

  local function adopt(name)
    return assert(core.adopt_segment(name or path))
  end

  -- Run a Lua program in a process of its own; it finds the path in `path`, and `line`.
  local function child(program, before)
    local file = shell.write(shell.directory() .. "/program.lua", [[
      local core, path = require "openrouter.core", arg[1]
      local function line(id) return ('{"pending":"%s","open":true ,"at":"2026-11-21T06:26:57.123Z"}'):format(id) end
      local function limit(bytes) os.execute("prlimit --pid $PPID --fsize=" .. bytes .. ":unlimited") end
      local function die() os.execute "kill -9 $PPID" end
    ]] .. "io.stdout:setvbuf 'no'\n" .. program)
    return shell.run(("%s %s %s %s"):format(before or "", LUA, file, shell.quote(path)))
  end

  -- ---- lines ------------------------------------------------------------------------------------------------------

  describe("with lines made on the way to it", function()
    local function without_time(text) return (text:gsub('"at":"[^"]*"', '"at":T')) end

    it("has what pending_line() and note_line() make", function()
      local segment, scanner = assert(core.new_segment(path)), core.scanner()
      scanner:feed '{"id":"gen-1","usage":{"cost": 0.5}}'
      local first = assert(segment:pending("gen-1", "lab", { user = "rosa" }))
      local second = assert(segment:note("gen-1", true, { status = 200 }, scanner))
      local third = assert(segment:note("gen-2", false, nil, '{"cost":1}'))
      local function has(offset, text) assert.equal(without_time(text), without_time(segment:read(offset))) end
      has(first, core.pending_line("gen-1", "lab", { user = "rosa" }))
      has(second, core.note_line("gen-1", true, { status = 200 }, '{"cost":0.5}'))
      has(third, core.note_line("gen-2", false, nil, '{"cost":1}'))
    end)

    it("tells what of a context it could not keep, and refuses what is no id", function()
      local segment = assert(core.new_segment(path))
      local offset, problem = segment:pending("gen-1", nil, { bad = {} })
      assert.equal(0, offset)
      assert.matches("bad", problem)
      assert.same({ nil, "no valid id" }, { segment:pending("gen 1", nil, nil) })
      assert.same({ nil, "no valid id" }, { segment:note("", false, nil, nil) })
      assert.error_matches(function() segment:note("gen-1", false, nil, io.stdout) end, "scanner expected")
      assert.error_matches(function() segment:note("gen-1", false, nil, true) end, "string expected")
    end)
  end)

  it("has the lines that were added, and says where", function()
    local segment = assert(core.new_segment(path))
    assert.equal(0, segment:size())
    local first, second = line "gen-1", line("gen-2", ',"key":"k"')
    assert.equal(0, segment:append(first))
    assert.equal(#first + 1, segment:append(second))
    assert.equal(#first + #second + 2, segment:size())
    assert.equal(first .. "\n" .. second .. "\n", shell.read(path))
    assert.same({ first, second }, { segment:read(0), (segment:read(#first + 1)) })
    segment:close()
  end)

  it("closes a line where it stands", function()
    local segment = assert(core.new_segment(path))
    local places = {}
    for i, id in ipairs { "gen-1", ("x"):rep(128), "gen-3" } do places[i] = segment:append(line(id)) end
    local size = segment:size()
    assert.is_true(segment:close_line(places[2]))
    assert.equal(size, segment:size())
    assert.equal(line "gen-1" .. "\n" .. closed(("x"):rep(128)) .. "\n" .. line "gen-3" .. "\n", shell.read(path))
    assert.is_true(segment:close_line(places[2])) -- again: no harm
    assert.same({ "gen-1", "gen-3" }, (open_ids(segment)))
    assert.is_true(segment:close_line(places[3]))
    local note = segment:append '{"note":"gen-1","open":true ,"at":"t"}'
    assert.is_true(segment:close_line(note))
    assert.equal('{"note":"gen-1","open":false,"at":"t"}', segment:read(note))
    assert.same({ "gen-1" }, (open_ids(segment)))
    assert.equal(places[3] + #line "gen-3" + 1, note)
    segment:close()
  end)

  it("reads and closes nothing where no line starts", function()
    shell.write(path, line "gen-1" .. "\nforeign\n" .. line("gen-2", ',"x":' .. line "gen-3") .. "\n")
    local text = shell.read(path)
    local segment = adopt()
    local inner = text:find('{"pending":"gen-3"', 1, true) - 1
    for _, place in ipairs { 1, inner, #text, #text + 1, 2 ^ 53 } do
      local got, why, what = segment:read(place)
      assert.same({ nil, path .. ": no line of a journal starts there", nil }, { got, why, what })
      assert.same({ nil, why }, { segment:close_line(place) })
    end
    for i = 0, 1 do assert.same({ {} }, { segment:open_lines(inner + i, 2 ^ 20) }) end
    assert.equal("foreign", segment:read(#line "gen-1" + 1))
    assert.is_nil((segment:close_line(#line "gen-1" + 1)))
    for _, wrong in ipairs { -1, 0.5, 0 / 0, math.huge, 2 ^ 54 } do
      assert.error_matches(function() segment:read(wrong) end, "no place in a file")
      assert.error_matches(function() segment:close_line(wrong) end, "no place in a file")
      assert.error_matches(function() segment:open_lines(wrong, 1) end, "no place in a file")
    end
    segment:close()
    assert.equal(text, shell.read(path))
  end)

  it("takes one line at a time, of 16 KiB at most", function()
    local segment = assert(core.new_segment(path))
    assert.error_matches(function() segment:append "a\nb" end, "more than one line")
    assert.error_matches(function() segment:append(7) end, "string expected, got number")
    local longest = line("gen-1", ',"x":"' .. ("y"):rep(16384 - #line("gen-1", ',"x":""')) .. '"')
    assert.equal(16384, #longest)
    assert.equal(0, segment:append(longest))
    assert.equal(longest, segment:read(0))
    assert.same({ nil, path .. ": Message too long" }, { segment:append(longest .. " ") })
    assert.equal(16385, segment:append(line "gen-2"))
    assert.same({ { 0, longest, 16385, line "gen-2" } }, { segment:open_lines(0, 2 ^ 20) })
    segment:close()
  end)

  it("gives its open lines part by part, each once", function()
    math.randomseed(21)
    local segment, expected, places, all = assert(core.new_segment(path)), {}, {}, {}
    for i = 1, 1000 do
      local id = ("gen-%d"):format(i)
      local place = assert(segment:append(line(id, ',"context":{"x":"' .. ("y"):rep(math.random(0, 400)) .. '"}')))
      all[i] = place
      if math.random(4) > 1 then assert(segment:close_line(place))
      else expected[#expected + 1], places[#places + 1] = id, place end
    end
    for _, most in ipairs { 1, 100, 1000, 4096, 32768, 65536, 2 ^ 20, 2 ^ 53 } do
      local ids, offsets = open_ids(segment, most)
      assert.same(expected, ids)
      assert.same(places, offsets)
    end
    for _ = 1, 300 do -- from anywhere, also the middle of a line
      local from, most = math.random(0, segment:size() + 5), math.random(1, 20000)
      local list, next = segment:open_lines(from, most)
      local wanted, after = {}, nil
      for i, place in ipairs(places) do
        if place >= from and place < from + most then
          wanted[#wanted + 1] = place
          wanted[#wanted + 1] = segment:read(places[i])
        end
      end
      for _, place in ipairs(all) do after = after or place >= from + most and place or nil end
      assert.same(wanted, list)
      assert.equal(after, next)
    end
    assert.error_matches(function() segment:open_lines(0, 0) end, "no bytes")
    segment:close()
  end)

  it("is of no use any more when it is closed", function()
    local segment = assert(core.new_segment(path))
    segment:close()
    segment:close()
    for _, call in ipairs { "append", "read", "close_line", "open_lines", "size", "compact", "remove" } do
      assert.error_matches(function() segment[call](segment, 0, 1) end, "attempt to use a closed segment")
      assert.error_matches(function() segment[call](io.stdout) end, "segment expected, got userdata")
      assert.error_matches(function() segment[call]() end, "segment expected")
    end
    assert.is_true(exists(path))
  end)

  -- ---- the lock ---------------------------------------------------------------------------------------------------

  it("is a new file of its owner alone", function()
    local segment = assert(core.new_segment(path))
    local status, out = shell.run("stat -c '%a %s' " .. path)
    assert.same({ 0, "600 0\n" }, { status, out })
    local got, why, what = core.new_segment(path)
    assert.same({ nil, path .. ": File exists", "exists" }, { got, why, what })
    segment:close()
    what = select(3, core.new_segment(path))
    assert.equal("exists", what)
    got, why, what = core.new_segment(path .. "/x")
    assert.same({ nil, path .. "/x: Not a directory" }, { got, why, what })
    what = select(3, core.new_segment(path .. "-missing/x"))
    assert.equal("missing", what)
  end)

  it("cannot be adopted while its process lives, and can once it does not", function()
    local segment = assert(core.new_segment(path))
    assert(segment:append(line "gen-1"))
    local TRY = "print(select(3, core.adopt_segment(path)))"
    assert.same({ 0, "locked\n", "" }, { child(TRY) })
    assert.equal("locked", (select(3, core.adopt_segment(path))))
    segment:close()
    assert.same({ 0, "\n", "" }, { child(TRY) })
    local adopted = { adopt() }
    assert.same({ 0, "locked\n", "" }, { child(TRY) })
    assert.equal(#line "gen-1" + 1, table.remove(adopted):size())
    collectgarbage()
    collectgarbage()
    assert.same({ 0, "\n", "" }, { child(TRY) })
  end)

  it("is not inherited by what its process starts", function()
    local segment = assert(core.new_segment(path))
    local started = path .. ".started"
    local pipe = assert(io.popen("touch " .. started .. "; cat >/dev/null", "w")) -- lives on
    -- Until it is the shell, it is a copy of this process.
    assert.is_truthy(servers.wait_for(function() return io.open(started) end))
    segment:close()
    adopt():close()
    pipe:close()
  end)

  it("says what is not there, or is no file", function()
    assert.same({ nil, path .. ": No such file or directory", "missing" }, { core.adopt_segment(path) })
    local directory = path:match "^(.*)/"
    assert.same({ nil, directory .. ": Is a directory" }, { core.adopt_segment(directory) })
    os.execute("mkfifo " .. path)
    assert.same({ nil, path .. ": Invalid argument" }, { core.adopt_segment(path) })
    shell.write(path .. "-other", "")
    os.execute(("ln -s %s-other %s-link"):format(path, path))
    assert.is_nil((core.adopt_segment(path .. "-link")))
  end)

  -- ---- the end of a process ---------------------------------------------------------------------------------------

  it("keeps every line of a process that is killed", function()
    local status = child [[
      local segment = assert(core.new_segment(path))
      for i = 1, 500 do
        local place = assert(segment:append(line("gen-" .. i)))
        if i % 5 == 0 then assert(segment:close_line(place)) end
      end
      die()]]
    assert.equal(137, status)
    local segment, wanted = adopt(), {}
    for i = 1, 500 do wanted[#wanted + 1] = i % 5 ~= 0 and "gen-" .. i or nil end
    assert.same(wanted, (open_ids(segment)))
    local place = assert(segment:append(line "gen-501"))
    assert.equal(line "gen-501", segment:read(place))
    segment:close()
  end)

  it("keeps the id of a line that was cut short anywhere behind it, and goes on behind that", function()
    local whole, first = line("gen-2", ',"key":"k"'), line "gen-1" .. "\n"
    for length = 1, #whole do
      shell.write(path, first .. whole:sub(1, length))
      local segment = adopt()
      local wanted = length >= #'{"pending":"gen-2"' and { "gen-1", "gen-2" } or { "gen-1" }
      assert.same(wanted, (open_ids(segment)))
      local place = assert(segment:append(line "gen-3"))
      assert(segment:append(line "gen-4"))
      wanted[#wanted + 1], wanted[#wanted + 2] = "gen-3", "gen-4"
      local ids, offsets = open_ids(segment)
      assert.same(wanted, ids)
      assert.equal(place, offsets[#offsets - 1])
      local after = line "gen-3" .. "\n" .. line "gen-4" .. "\n"
      assert.equal(first .. whole:sub(1, length) .. "\n" .. after, shell.read(path))
      for _, at in ipairs(offsets) do assert.is_true(segment:close_line(at)) end
      assert.same({}, (open_ids(segment)))
      assert.equal(#first + length + 1 + #after, segment:size())
      segment:close()
      segment = adopt()
      assert.same({}, (open_ids(segment)))
      segment:close()
    end
  end)

  it("has the lines behind blocks that were lost", function()
    local lost = ("\0"):rep(50000)
    shell.write(path, line "gen-1" .. "\n" .. lost .. line "gen-2" .. "\n\0" .. line "gen-3" .. "\n" .. lost)
    local segment = adopt()
    for _, most in ipairs { 1, 64, 16384, 2 ^ 20 } do
      assert.same({ "gen-1", "gen-2", "gen-3" }, (open_ids(segment, most)))
    end
    local _, offsets = open_ids(segment)
    assert.equal(line "gen-2", segment:read(offsets[2]))
    assert.is_true(segment:close_line(offsets[2]))
    assert(segment:append(line "gen-4"))
    assert.same({ "gen-1", "gen-3", "gen-4" }, (open_ids(segment)))
    segment:close()
    shell.write(path, line("gen-1"):sub(1, 40) .. lost .. line "gen-2")
    segment = adopt()
    _, offsets = open_ids(segment)
    assert.same({ 0, 50040 }, offsets)
    assert.equal(line("gen-1"):sub(1, 40), segment:read(0))
    assert.same({ [0] = 0, [50040] = 41 }, segment:compact())
    segment:close()
  end)

  it("passes over what is no line of a journal, whatever its length", function()
    local lines = { line "gen-1", ("z"):rep(100000), "", '{"settled":"gen-9"}', line "gen-2", ("\0"):rep(70000), line "gen-3" }
    lines[#lines + 1] = line("gen-4", ',"x":"' .. ("y"):rep(40000) .. '"') -- longer than lines are: its beginning is kept
    for i = 0, 2 do lines[#lines + 1] = ("z"):rep(16383 + i) .. line "gen-9" end -- a line within a line is none
    lines[#lines + 1] = line "gen-5"
    shell.write(path, table.concat(lines, "\n"))
    local segment = adopt()
    local wanted = { "gen-1", "gen-2", "gen-3", "gen-4", "gen-5" }
    for _, most in ipairs { 1000, 16384, 65536, 2 ^ 20 } do assert.same(wanted, (open_ids(segment, most))) end
    assert(segment:compact())
    assert.same(wanted, (open_ids(segment)))
    segment:close()

    for length = 16382, 32770, 8194 do -- long ones one behind the other
      local long = line("gen-1", ',"x":"' .. ("y"):rep(length) .. '"')
      shell.write(path, (long .. "\n"):rep(5))
      segment = adopt()
      local list = segment:open_lines(0, 2 ^ 20)
      assert.equal(10, #list)
      for i = 2, 10, 2 do assert.equal(long:sub(1, 16384), list[i]) end
      assert(segment:compact())
      assert.equal((long:sub(1, 16384) .. "\n"):rep(5), shell.read(path))
      segment:close()
    end
  end)

  it("never does harm, whatever is in the file", function()
    math.randomseed(22)
    local good = line "gen-1" .. "\n" .. closed "gen-2" .. "\n" .. '{"note":"gen-3","open":true ,"at":"t","context":{}}\n'
    for round = 1, 400 do
      local parts = {}
      for i = 1, math.random(1, 40) do
        local from = math.random(#good)
        parts[i] = math.random(3) == 1 and good:sub(from, math.random(from, #good))
          or math.random(3) == 1 and ("\0\n{\"x"):sub(math.random(5)):rep(math.random(2000)) or good
      end
      shell.write(path, table.concat(parts))
      local segment = adopt()
      local ids, offsets = open_ids(segment, math.random(round % 2 == 0 and 100 or 5000))
      local at_once, their_offsets = open_ids(segment, 2 ^ 30)
      assert.same({ ids, offsets }, { at_once, their_offsets })
      if math.random(2) == 1 then
        assert(segment:append(line "gen-4"))
        ids[#ids + 1] = "gen-4"
      end
      local moved = assert(segment:compact())
      local compacted, places = open_ids(segment)
      assert.same(ids, compacted)
      for i, offset in ipairs(offsets) do assert.equal(places[i], moved[offset]) end
      for _, place in ipairs(places) do assert.is_true(segment:close_line(place)) end
      assert.same({}, (open_ids(segment)))
      segment:close()
    end
  end)

  it("ends when others cut it while it is read", function()
    local segment = assert(core.new_segment(path))
    for i = 1, 3000 do assert(segment:append(line("gen-" .. i))) end
    local _, next = segment:open_lines(0, 1000)
    shell.write(path, "")
    assert.same({ {} }, { segment:open_lines(next, 1000) })
    assert.same({}, (open_ids(segment, 1000)))
    assert.is_nil((segment:read(0)))
    assert.is_nil((segment:close_line(next)))
    segment:close()
  end)

  -- ---- a full disk ------------------------------------------------------------------------------------------------

  it("has a line whole or not at all when the disk is full, and goes on when it is not", function()
    local status, out = child([[
      local segment = assert(core.new_segment(path))
      assert(segment:append(line "gen-1"))
      local size, long = segment:size(), line("gen-2" .. ("x"):rep(100))
      for _, room in ipairs { 0, 1, 30, #long } do
        limit(size + room)
        local place, why = segment:append(long)
        limit "unlimited"
        local file = assert(io.open(path))
        print(place, why:match "[^:]*$", segment:size() - size, file:seek "end" - size)
        file:close()
      end
      assert(segment:append(line "gen-3"))
      limit(segment:size())
      assert(segment:close_line(0)) -- which needs no room
      die()]], "trap '' XFSZ;")
    assert.equal(137, status)
    assert.equal(("nil\t " .. FULL .. "\t0\t0\n"):rep(4), out)
    assert.equal(closed "gen-1" .. "\n" .. line "gen-3" .. "\n", shell.read(path))
  end)

  it("is as it was when there is no room for its compaction", function()
    local status, out = child([[
      local segment = assert(core.new_segment(path))
      for i = 1, 3000 do
        local place = segment:append(line("gen-" .. i))
        if i % 2 == 0 then assert(segment:close_line(place)) end
      end
      for _, room in ipairs { 0, 1, 50000 } do
        limit(room)
        local moved, why = segment:compact()
        limit "unlimited"
        print(moved, why:match "[^:]*$", (io.open(path .. ".tmp")))
      end
      assert(segment:append(line "last"))
      die()]], "trap '' XFSZ;")
    assert.equal(137, status)
    assert.equal(("nil\t " .. FULL .. "\tnil\n"):rep(3), out)
    local segment = adopt()
    local ids = open_ids(segment)
    assert.same({ 1501, "gen-1", "gen-2999", "last" }, { #ids, ids[1], ids[1500], ids[1501] })
    segment:close()
  end)

  -- ---- compaction -------------------------------------------------------------------------------------------------

  it("keeps its open lines byte for byte, and says where they are now", function()
    math.randomseed(23)
    local segment, open, first = assert(core.new_segment(path)), {}, nil
    for i = 1, 2000 do
      local text = line("gen-" .. i, ',"context":{"x":"' .. ("\195\169\\n"):rep(math.random(0, 100)) .. '"}')
      local place = assert(segment:append(text))
      if math.random(10) > 1 then assert(segment:close_line(place))
      else open[#open + 1] = { place = place, text = text } end
    end
    local moved, count = assert(segment:compact()), 0
    for _ in pairs(moved) do count = count + 1 end
    assert.equal(#open, count)
    local texts, place = {}, 0
    for i, was in ipairs(open) do
      first = first or was.place
      texts[i] = was.text .. "\n"
      assert.equal(place, moved[was.place])
      assert.equal(was.text, segment:read(place))
      place = place + #texts[i]
    end
    assert.is_true(first > 0)
    assert.equal(place, segment:size())
    assert.equal(table.concat(texts), shell.read(path))
    assert.is_false(exists(path .. ".tmp"))
    assert.equal("600\n", (select(2, shell.run("stat -c %a " .. path))))

    assert.equal("locked", (select(3, core.adopt_segment(path)))) -- the new file is ours as the old one was
    assert.equal(place, segment:append(line "more"))
    assert.is_true(segment:close_line(moved[open[1].place]))
    segment:close()
    segment = adopt()
    assert.equal(#open, #open_ids(segment))
    segment:close()
  end)

  it("may be compacted to nothing, again and again", function()
    local segment = assert(core.new_segment(path))
    local descriptors = #core.list_directory "/proc/self/fd"
    assert.same({}, segment:compact())
    for _ = 1, 3 do
      assert(segment:close_line(assert(segment:append(line "gen-1"))))
      assert.same({}, segment:compact())
      assert.equal(0, segment:size())
    end
    assert.equal(0, segment:append(line "gen-2"))
    assert.same({ [0] = 0 }, segment:compact())
    assert.equal(descriptors, #core.list_directory "/proc/self/fd")
    segment:close()
    assert.equal(line "gen-2" .. "\n", shell.read(path))
  end)

  it("ends a line that was cut short when it is compacted", function()
    shell.write(path, closed "gen-1" .. "\n" .. line("gen-2"):sub(1, 40))
    local segment = adopt()
    assert.same({ [#closed "gen-1" + 1] = 0 }, segment:compact())
    assert.equal(line("gen-2"):sub(1, 40) .. "\n", shell.read(path))
    assert.equal(41, segment:append(line "gen-3"))
    segment:close()
  end)

  it("is compacted over what an earlier compaction left, not over what another process is writing", function()
    local segment = assert(core.new_segment(path))
    assert(segment:append(line "gen-1"))
    shell.write(path .. ".tmp", "half")
    assert.same({ [0] = 0 }, segment:compact())
    local other = assert(core.new_segment(path .. ".tmp"))
    assert.same({ nil, path .. ": File exists", "exists" }, { segment:compact() })
    assert.is_true(exists(path .. ".tmp"))
    assert.equal(0, other:append "theirs")
    other:close()
    segment:close()
    assert.equal(line "gen-1" .. "\n", shell.read(path))
  end)

  it("is written anew when its file was removed, and not over a file that is another's", function()
    local segment = assert(core.new_segment(path))
    assert(segment:append(line "gen-1"))
    os.remove(path)
    assert.same({ [0] = 0 }, segment:compact())
    assert.equal(line "gen-1" .. "\n", shell.read(path))
    os.rename(path, path .. "-moved")
    shell.write(path, "theirs")
    assert.is_nil((segment:compact()))
    assert.equal("theirs", shell.read(path))
    assert.is_true(segment:remove())
    assert.equal("theirs", shell.read(path))
  end)

  -- ---- one system call after the other ----------------------------------------------------------------------------

  -- A program in C around segment.c, which fails or dies at the n-th call of one kind, or does something there.
  local HARNESS = [[
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
static const char *kind = "", *how = "", *script;
static int left, full, truncations;
/* Whether this call is the one, and must fail. */
static int hit (const char *name) {
  if (strcmp(kind, name) != 0 || left-- != 0) return 0;
  if (strcmp(how, "die") == 0) _exit(9);
  if (strcmp(how, "run") == 0) return system(script) == -1;
  errno = ENOSPC;
  return 1;
}
static int our_flock (int fd, int operation) { return hit("flock") ? -1 : flock(fd, operation); }
static int our_rename (const char *from, const char *to) { return hit("rename") ? -1 : rename(from, to); }
static int our_unlink (const char *path) { return hit("unlink") ? -1 : unlink(path); }
static int our_ftruncate (int fd, off_t size) {
  return strcmp(how, "torn") == 0 && truncations++ == 0 ? -1 : ftruncate(fd, size);
}
static ssize_t our_pread (int fd, void *p, size_t n, off_t at) { return hit("pread") ? -1 : pread(fd, p, n, at); }
static ssize_t our_pwrite (int fd, const void *p, size_t n, off_t at) {
  if (full) { errno = ENOSPC; return -1; }
  if (!hit("pwrite")) return pwrite(fd, p, n, at);
  if (strcmp(how, "fail") == 0) return -1;
  full = 1;
  return pwrite(fd, p, n / 2, at);
}
#define flock our_flock
#define rename our_rename
#define unlink our_unlink
#define ftruncate our_ftruncate
#define pread our_pread
#define pwrite our_pwrite
#include "segment.c"
/* ACTION PATH KIND N HOW SCRIPT */
int main (int argc, char **argv) {
  struct segment s;
  int64_t at = 0, rest = 0;
  const char *action = argv[1];
  int status;
  if (argc != 7) return 2;
  if (strcmp(action, "create") != 0 && strcmp(action, "adopt") != 0 && segment_adopt(&s, argv[2]) != 0) return 3;
  struct segment_scan scan;
  struct segment_line line;
  if (strcmp(action, "compact") == 0)
    for (segment_scan(&scan, &s, 0, s.end); segment_scan_next(&scan, &line) == 1;) rest += (int64_t)line.length + 1;
  kind = argv[3];
  left = atoi(argv[4]);
  how = argv[5];
  if (strcmp(how, "other") == 0) rest += left;
  script = argv[6];
  if (strcmp(action, "create") == 0) status = segment_create(&s, argv[2]);
  else if (strcmp(action, "adopt") == 0) status = segment_adopt(&s, argv[2]);
  else if (strcmp(action, "compact") == 0) status = segment_compact(&s, rest);
  else if (strcmp(action, "append") == 0) status = segment_append(&s, "long line that fails", 20, &at);
  else status = segment_remove(&s);
  if (status == 0 && strcmp(action, "adopt") == 0) printf("%ld bytes", (long)s.end);
  else printf("%s%s", status == 0 ? "fine" : strerror(errno), left < 0 ? "" : ", never came to it");
  kind = "";
  full = 0;
  if (strcmp(action, "append") == 0) printf(" %d", segment_append(&s, "short", 5, &at));
  fflush(stdout);
  _exit(0);
}
]]

  describe("step by step", function()
    local program
    setup(function()
      local pipe = assert(io.popen "mktemp -d")
      local directory = pipe:read "*l"
      pipe:close()
      program = directory .. "/harness"
      shell.write(program .. ".c", HARNESS)
      local status, _, complaints = shell.run("cc -std=c99 -Wall -Wextra -Werror -O1 -g -fsanitize=address,undefined -I csrc -o "
        .. program .. " " .. program .. ".c $(ls csrc/*.c | grep -v -e /lua_ -e /curl_ -e /segment.c) -lm -lpthread")
      assert.equal(0, status, complaints)
    end)
    teardown(function() os.execute("rm -r " .. program:match "^(.*)/") end)

    -- What the program says of itself, doing `how` at the n-th call (from 0) of this kind.
    local function try(action, kind, n, how, script)
      local status, out, complaints = shell.run(("ASAN_OPTIONS=detect_leaks=0 %s %s %s %s %d %s %s"):format(program, action,
        path, kind, n, how, shell.quote(script or "")))
      assert.equal("", complaints)
      return status == 0 and out or status
    end

    -- Some open lines, more than one write of them.
    local function fill_file()
      local parts = {}
      for i = 1, 2000 do parts[i] = (i % 3 == 0 and line or closed)("gen-" .. i) end
      return shell.write(path, table.concat(parts, "\n") .. "\n") and shell.read(path)
    end

    local function wanted_ids()
      local ids = {}
      for i = 3, 2000, 3 do ids[#ids + 1] = "gen-" .. i end
      return ids
    end

    it("a compaction leaves the old file or the new one, whichever call fails or is the last", function()
      for _, how in ipairs { "fail", "short", "die" } do
        for _, kind in ipairs { "flock", "pread", "pwrite", "rename" } do
          local n, came = 0, true
          while came do
            local before = fill_file()
            os.remove(path .. ".tmp")
            local out = try("compact", kind, n, how)
            came = not tostring(out):find "never came"
            if came then
              assert.equal(how == "die" and 9 or "No space left on device", out)
              assert.equal(before, shell.read(path))
              assert.equal(how == "die", exists(path .. ".tmp"))
            end
            local segment = adopt()
            assert.same(wanted_ids(), (open_ids(segment)))
            segment:close()
            n = n + 1
          end
          assert.is_true(n > (kind == "pwrite" and 2 or 1))
        end
      end
    end)

    it("a compaction leaves the old file when that is no longer what was looked at", function()
      local before = fill_file()
      for _, more in ipairs { 1, -1 } do
        assert.equal("Input/output error", (try("compact", "none", more, "other"):gsub(",.*", "")))
        assert.equal(before, shell.read(path))
        assert.is_false(exists(path .. ".tmp"))
      end
    end)

    it("a compaction keeps both locks until the new file has the name", function()
      fill_file()
      local ask = "for f in PATH PATH.tmp; do flock -n $f echo free >>PATH.log; done"
      assert.equal("fine", try("compact", "rename", 0, "run", (ask:gsub("PATH", path))))
      assert.equal("", shell.read(path .. ".log"))
    end)

    it("a compaction notices that its file was taken for a leftover", function()
      local before = fill_file()
      assert.equal("fine", try("compact", "flock", 0, "run", ("rm %s.tmp"):format(path)))
      local segment = adopt()
      assert.same(wanted_ids(), (open_ids(segment)))
      segment:close()
      shell.write(path, before)
      assert.equal("File exists", try("compact", "flock", 0, "run", ("rm %s.tmp; touch %s.tmp"):format(path, path)))
      assert.equal(before, shell.read(path))
      assert.is_true(exists(path .. ".tmp"))
    end)

    it("an adopter takes the file that has the name, not the one that had it", function()
      shell.write(path, line "gen-1" .. "\n")
      shell.write(path .. ".new", "newer")
      assert.equal("5 bytes", try("adopt", "flock", 0, "run", ("mv %s.new %s"):format(path, path)))
      assert.equal("newer", shell.read(path))
      assert.equal("No such file or directory", try("adopt", "flock", 0, "run", "rm " .. path))
      assert.is_false(exists(path))
    end)

    it("a new segment is one that has its name", function()
      assert.equal("fine", try("create", "flock", 0, "run", "rm " .. path))
      assert.is_true(exists(path))
      os.remove(path)
      assert.equal("File exists", try("create", "flock", 0, "run", ("rm %s; echo theirs >%s"):format(path, path)))
      assert.equal("theirs\n", shell.read(path))
      os.remove(path)
      assert.equal("No space left on device", try("create", "flock", 0, "fail"))
      assert.is_false(exists(path))
    end)

    it("a line that is in the file in part is gone before the next one", function()
      for _, how in ipairs { "fail", "short", "torn" } do
        for _, ending in ipairs { "\n", "" } do
          shell.write(path, "before" .. ending)
          assert.equal("No space left on device 0", try("append", "pwrite", 0, how))
          assert.equal("before\nshort\n", shell.read(path))
        end
      end
      shell.write(path, "before")
      assert.equal(9, try("append", "pwrite", 0, "die"))
      assert.equal("before", shell.read(path))
    end)

    it("a segment that cannot be removed is still there", function()
      shell.write(path, line "gen-1" .. "\n")
      assert.equal("No space left on device", try("remove", "unlink", 0, "fail"))
      assert.is_true(exists(path))
      assert.equal("fine, never came to it", try("remove", "unlink", 1, "fail"))
      assert.is_false(exists(path))
    end)
  end)

  -- ---- the directory ----------------------------------------------------------------------------------------------

  it("is removed with its lock", function()
    local segment = assert(core.new_segment(path))
    assert(segment:append(line "gen-1"))
    assert.is_true(segment:remove())
    assert.is_false(exists(path))
    assert.error_matches(function() segment:size() end, "closed segment")
    segment = assert(core.new_segment(path))
    os.remove(path)
    assert.is_true(segment:remove())
  end)

  it("a leftover of a compaction is removed once nobody has it", function()
    assert.is_false(core.remove_stale(path .. ".tmp"))
    local other = assert(core.new_segment(path .. ".tmp"))
    assert.is_false(core.remove_stale(path .. ".tmp"))
    assert.is_true(exists(path .. ".tmp"))
    other:close()
    assert.is_true(core.remove_stale(path .. ".tmp"))
    assert.is_false(exists(path .. ".tmp"))
    shell.write(path, "")
    for _, wrong in ipairs { path, ".tmp", "" } do
      assert.error_matches(function() core.remove_stale(wrong) end, "must end in .tmp")
    end
    assert.is_true(exists(path))
  end)

  it("a directory is listed in order", function()
    local directory = shell.directory()
    assert.same({}, core.list_directory(directory))
    local names = { ".hidden", "A", "a", "a.tmp", "b", "\195\169" }
    for _, name in ipairs { "b", "\195\169", "a.tmp", ".hidden", "A", "a" } do shell.write(directory .. "/" .. name, "") end
    assert.same(names, core.list_directory(directory))
    assert.same({ nil, path .. ": No such file or directory", "missing" }, { core.list_directory(path) })
    assert.same({ nil, directory .. "/a: Not a directory" }, { core.list_directory(directory .. "/a") })
    collectgarbage "stop"
    local descriptors = #core.list_directory "/proc/self/fd"
    core.list_directory(directory)
    core.list_directory(path)
    assert.equal(descriptors, #core.list_directory "/proc/self/fd")
    collectgarbage "restart"
  end)

  it("a directory is made, once", function()
    local directory = shell.directory() .. "/pending"
    assert.is_true(core.make_directory(directory))
    assert.equal("700\n", (select(2, shell.run("stat -c %a " .. directory))))
    assert.is_true(core.make_directory(directory))
    shell.write(path, "")
    assert.same({ nil, path .. ": Not a directory" }, { core.make_directory(path) })
    assert.equal("missing", (select(3, core.make_directory(directory .. "/c/d"))))
  end)
end)

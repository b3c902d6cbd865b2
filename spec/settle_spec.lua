local core = require "openrouter.core"
local errors = require "openrouter.errors"
local generation = require "openrouter.generation"
local ledger = require "openrouter.ledger"
local openrouter = require "openrouter"
local servers = require "spec.support.servers"
local settle_module = require "openrouter.settle"
local shell = require "spec.support.shell"

local HOUR = 3600
local _, user_id = shell.run "id -u"
local is_root = tonumber(user_id) == 0
shell.clean()

describe("openrouter-cost settle", function()
  local sandbox, base, dir, env, held

  setup(function() sandbox = servers.sandbox() end)
  teardown(function() sandbox:stop() end)

  before_each(function()
    base, held = shell.directory(), {}
    dir = base .. "/openrouter"
    assert(core.make_directory(dir))
    assert(core.make_directory(dir .. "/pending"))
    env = ("OPENROUTER_BASE_URL=%s OPENROUTER_API_KEY=sk-or-sandbox "):format(sandbox.url)
  end)
  after_each(function()
    for _, segment in ipairs(held) do segment:close() end
    shell.clean()
  end)

  -- ---- what is there before -----------------------------------------------------------------------------------------

  local function time(age) return core.timestamp(core.unix_time() - (age or 0)) end

  local function seen(id, more, age)
    return ('{"pending":"%s","open":true ,"at":"%s"%s}'):format(id, time(age), more and "," .. more or "")
  end

  local function note(id, more, age)
    return ('{"note":"%s","open":true ,"at":"%s"%s}'):format(id, time(age), more and "," .. more or "")
  end

  local function failed(id, more, age)
    return ('{"failed":"%s","at":"%s"%s,"error":{"kind":"not_found","status":404,"message":"no","attempts":3}}'):format(
      id, time(age), more and "," .. more or "")
  end

  local function settled(id, age)
    return ('{"settled":"%s","at":"%s","answer":{"data":{"id":"%s","total_cost":1}}}'):format(id, time(age), id)
  end

  local function write(path, lines)
    return shell.write(dir .. "/" .. path, #lines > 0 and table.concat(lines, "\n") .. "\n" or "")
  end

  local function segment(lines, name) return write("pending/" .. (name or "1-1") .. ".jsonl", lines) end

  local function hold(name)
    held[#held + 1] = assert(core.adopt_segment(dir .. "/pending/" .. name .. ".jsonl"))
  end

  -- ---- what is there afterwards -------------------------------------------------------------------------------------

  local function command(options) return shell.cost(("settle %s %s"):format(shell.quote(dir), options or "")) end

  -- Exit status and messages.
  local function settle(options, more)
    local status, out, err = shell.run(env .. (more or "") .. " " .. command(options))
    assert.equal("", out)
    assert.not_matches("sk%-or", err)
    assert.not_matches("traceback", err)
    return status, err
  end

  local function lines_of(path)
    local list = {}
    local file = io.open(dir .. "/" .. path)
    for line in file and file:lines() or function() end do list[#list + 1] = line end
    if file then file:close() end
    return list
  end

  -- id -> how many settled lines, how many failed ones, the last record or error, the last line
  local function results()
    local all = {}
    for number, id, gen, err in assert(ledger.read(dir .. "/ledger.jsonl")) do
      if id then
        local of = all[id] or { settled = 0, failed = 0 }
        all[id] = of
        if gen then of.settled, of.gen = of.settled + 1, gen else of.failed, of.err = of.failed + 1, err end
        of.line = lines_of "ledger.jsonl"[number]
      end
    end
    return all
  end

  local function segments() return (assert(core.list_directory(dir .. "/pending"))) end

  local function is_there(path) return core.file_status(dir .. "/" .. path) ~= nil end

  -- Every id has exactly one settled line and no failed one.
  local function assert_settled_once(ids)
    local all, count = results(), 0
    for _, id in ipairs(ids) do
      assert.same({ id, 1, 0 }, { id, all[id] and all[id].settled, all[id] and all[id].failed })
    end
    for _ in pairs(all) do count = count + 1 end
    assert.equal(#ids, count)
  end

  local function ids_of(count, word)
    local ids = {}
    for i = 1, count do ids[i] = ("gen-1792120000-%s%d"):format(word or "a", i) end
    return ids
  end

  local function pending_lines(ids, more)
    local lines = {}
    for i, id in ipairs(ids) do lines[i] = seen(id, more) end
    return lines
  end

  -- ---- orphans ------------------------------------------------------------------------------------------------------

  it("fetches what is open, with what its lines say, and removes the segments", function()
    segment({
      seen("gen-1792120000-a", '"key":"default","context":{"user":"u1","route":"/a"}'),
      seen("gen-1792120000-b"),
      note("gen-1792120000-a", '"context":{"status":200,"route":"/b"},"instant":{"cost":0.25}'),
    })
    segment({ seen("gen-1792120000-c", '"context":{"user":"u3"}') }, "2-2")
    local status, err = settle()
    assert.equal(0, status)
    assert.matches("3 open ids in 2 orphaned segments of ", err)
    assert.matches("3 records fetched in [%d.]+ s, now in .*/ledger%.jsonl\n$", err)
    assert_settled_once { "gen-1792120000-a", "gen-1792120000-b", "gen-1792120000-c" }
    local all = results()
    assert.same({ user = "u1", route = "/b", status = 200 }, generation.context(all["gen-1792120000-a"].gen))
    assert.matches('"instant":{"cost":0.25}', all["gen-1792120000-a"].line, 1, true)
    assert.is_nil(generation.context(all["gen-1792120000-b"].gen))
    assert.same({ user = "u3" }, generation.context(all["gen-1792120000-c"].gen))
    assert.same({}, segments())
  end)

  it("has nothing to do twice", function()
    segment(pending_lines(ids_of(3)))
    assert.equal(0, (settle()))
    local before = shell.read(dir .. "/ledger.jsonl")
    local status, err = settle()
    assert.equal(0, status)
    assert.matches("no open id in ", err)
    assert.equal(before, shell.read(dir .. "/ledger.jsonl"))
  end)

  it("leaves closed lines closed, and removes segments that have no others, or none at all", function()
    segment { (seen("gen-1792120000-a"):gsub("true ", "false")), (note("gen-1792120000-a"):gsub("true ", "false")) }
    segment({}, "2-2")
    assert.equal(0, (settle()))
    assert.same({}, segments())
    assert.is_false(is_there "ledger.jsonl")
  end)

  it("takes a segment made by another process that is gone", function()
    local status = shell.run(("%s -e %s"):format(os.getenv "LUA", shell.quote(([[
      local core = require "openrouter.core"
      local s = assert(core.new_segment(%q))
      for _, id in ipairs { "gen-1792120000-a", "gen-1792120000-b" } do
        assert(s:append(core.pending_line(id, "default", { user = "zoë" })))
        assert(s:append(core.note_line(id, true, { status = 499 }, '{"cost":1e-7}')))
      end
      assert(s:close_line(0))]]):format(dir .. "/pending/1-1.jsonl"))))
    assert.equal(0, status)
    assert.equal(0, (settle()))
    local all = results()
    assert.same({ user = "zoë", status = 499 }, generation.context(all["gen-1792120000-b"].gen))
    -- a's pending line was closed, its note was not
    assert.same({ status = 499 }, generation.context(all["gen-1792120000-a"].gen))
    assert.same({}, segments())
  end)

  it("leaves alone what a living worker holds, and counts it", function()
    segment { seen "gen-1792120000-a" }
    segment({ seen "gen-1792120000-b" }, "2-2")
    hold "2-2"
    local status, err = settle()
    assert.equal(0, status)
    assert.matches("1 open id in 1 orphaned segment of [^\n]*; 1 segment is not touched: a running worker, or another settle, "
      .. "has it\n", err)
    assert_settled_once { "gen-1792120000-a" }
    assert.same({ "2-2.jsonl" }, segments())
    assert.equal(1, #held[1]:open_lines(0, 1000) / 2)
  end)

  it("does not ask for what is in the ledger already", function()
    write("ledger.jsonl", { settled "gen-1792120000-a", failed "gen-1792120000-b" })
    segment { seen "gen-1792120000-a", seen "gen-1792120000-b", note "gen-1792120000-b", seen "gen-1792120000-c" }
    local status, err = settle()
    assert.equal(0, status)
    assert.matches("2 of them are in .*/ledger%.jsonl already\n", err)
    local all = results()
    assert.same({ 1, 0 }, { all["gen-1792120000-a"].settled, all["gen-1792120000-a"].failed })
    assert.same({ 0, 1 }, { all["gen-1792120000-b"].settled, all["gen-1792120000-b"].failed })
    assert.equal(1, all["gen-1792120000-c"].settled)
    assert.same({}, segments())
  end)

  it("finds them also where the ledger was rotated to", function()
    write("ledger.jsonl.1", { settled "gen-1792120000-a" })
    write("ledger.jsonl-20261121", { settled "gen-1792120000-b" })
    segment { seen "gen-1792120000-a", seen "gen-1792120000-b" }
    assert.equal(0, (settle()))
    assert.same({}, segments())
    assert.is_truthy(not is_there "ledger.jsonl" or #lines_of "ledger.jsonl" == 0)
  end)

  it("asks for nothing where it cannot tell what is settled", function()
    assert(core.make_directory(dir .. "/ledger.jsonl.1")) -- which cannot be read
    segment { seen "gen-1792120000-a" }
    local before = shell.read(dir .. "/pending/1-1.jsonl")
    local status, err = settle()
    assert.equal(1, status)
    assert.matches("/ledger%.jsonl%.1: Is a directory", err)
    assert.equal(before, shell.read(dir .. "/pending/1-1.jsonl"))
    assert.equal(0, (shell.run(("rmdir %s/ledger.jsonl.1 && mkfifo %s/ledger.jsonl.1"):format(dir, dir))))
    assert.matches("/ledger%.jsonl%.1: no regular file\n", select(2, settle()))
    assert.equal(before, shell.read(dir .. "/pending/1-1.jsonl"))
  end)

  it("writes what it says into no segment where standard output or error is closed", function()
    for i, closed in ipairs { "2>&-", ">&-", "<&-", "<&- >&- 2>&-" } do
      local id, kept = "gen-1792120000-a" .. i, "gen-1792120000-b" .. i
      local lines = { seen(id), seen(kept, '"key":"none"') }
      segment(lines)
      assert.equal(3, (shell.run(("%s sh -c %s"):format(env, shell.quote(command(closed))))))
      assert.equal(1, results()[id].settled)
      assert.same({ (lines[1]:gsub("true ", "false")), lines[2] }, lines_of "pending/1-1.jsonl")
    end
  end)

  it("passes over torn lines, and settles ids that are whole in them", function()
    local torn = seen("gen-1792120000-b", '"context":{"user":"u"}')
    segment { seen "gen-1792120000-a", '{"pending":"gen-17921200', torn:sub(1, 60), "\0\0\0" .. seen "gen-1792120000-c",
      "nonsense", ("x"):rep(40000), note "gen-1792120000-d" }
    shell.write(dir .. "/pending/2-2.jsonl", '{"note":"gen-1792120000-e"')
    assert.equal(0, (settle()))
    assert_settled_once { "gen-1792120000-a", "gen-1792120000-b", "gen-1792120000-c", "gen-1792120000-d", "gen-1792120000-e" }
    assert.same({}, segments())
  end)

  it("asks once for an id that is open in two segments", function()
    segment { seen("gen-1792120000-a", '"context":{"one":1}') }
    segment({ seen("gen-1792120000-a", '"context":{"two":2}') }, "2-2")
    assert.equal(0, (settle()))
    assert_settled_once { "gen-1792120000-a" }
    assert.same({ one = 1, two = 2 }, generation.context(results()["gen-1792120000-a"].gen))
    assert.same({}, segments())
  end)

  it("removes what a compaction left behind, but none that is under way", function()
    segment({}, "1-1")
    shell.write(dir .. "/pending/1-1.jsonl.tmp", "{}\n")
    shell.write(dir .. "/pending/2-2.jsonl.tmp", "{}\n")
    held[1] = assert(core.adopt_segment(dir .. "/pending/2-2.jsonl.tmp"))
    shell.write(dir .. "/pending/notes.txt", "mine\n")
    assert.equal(0, (settle()))
    assert.same({ "2-2.jsonl.tmp", "notes.txt" }, segments())
  end)

  it("takes no file for a segment that is none, and goes on with the others", function()
    local outside = shell.write(base .. "/outside.jsonl", seen "gen-1792120000-x" .. "\n")
    assert.equal(0, (shell.run(("ln -s %s %s/pending/link.jsonl; mkdir %s/pending/folder.jsonl"):format(outside, dir, dir))))
    segment({ seen "gen-1792120000-a" }, "it's \27[31m$(touch x)\n-1")
    local status, err = settle()
    assert.equal(1, status)
    assert.matches("pending/folder%.jsonl: ", err)
    assert.matches("pending/link%.jsonl: ", err)
    assert.not_matches("\27", err)
    assert_settled_once { "gen-1792120000-a" }
    assert.same({ "folder.jsonl", "link.jsonl" }, segments())
    assert.matches('"open":true ', shell.read(outside))
  end)

  it("holds 200 segments at a time, and says that there are more", function()
    for i = 1, 203 do segment({ seen("gen-1792120000-a" .. i) }, ("1-%03d"):format(i)) end
    local status, err = settle()
    assert.equal(3, status)
    assert.matches("200 open ids in 200 orphaned segments", err)
    assert.matches("3 segments are left for the next run", err)
    assert.equal(0, (settle()))
    assert_settled_once(ids_of(203))
    assert.same({}, segments())
  end)

  -- ---- the directory ------------------------------------------------------------------------------------------------

  it("has nothing to do where no journal is left", function()
    local status, err = settle()
    assert.equal(0, status)
    assert.matches("^openrouter%-cost: nothing to fetch: no open id in [^\n]+ was left behind\n$", err)
    for _, name in ipairs { "ledger.jsonl", "ledger.jsonl-20261001" } do
      assert.equal(0, (shell.run(("rm -rf %s && mkdir %s"):format(dir, dir))))
      write(name, { settled "gen-1792120000-a" })
      assert.same({ 0, err }, { settle() })
    end
  end)

  it("fails in a directory that nginx never wrote to: its name is a wrong one", function()
    assert.equal(0, (shell.run("rmdir " .. dir .. "/pending")))
    write("app.log", { "gen-1792120000-a" })
    for _, options in ipairs { "", "--retry-failed" } do
      local status, err = settle(options)
      assert.equal(1, status)
      assert.matches("^openrouter%-cost: [^\n]+/openrouter: there is neither ledger%.jsonl nor pending/ in it; "
        .. "is it what start%(%) of openrouter%.nginx has as `dir`%?\n$", err)
      assert.is_false(is_there "pending")
      assert.is_false(is_there "ledger.jsonl")
    end
  end)

  it("says what a directory of nginx looks like, where there is none", function()
    local file = shell.write(base .. "/file", "")
    for path, why in pairs { [base .. "/none"] = "no such directory", [file] = "not a directory" } do
      local status, _, err = shell.run(env .. shell.cost("settle " .. path))
      assert.equal(1, status)
      assert.matches("^openrouter%-cost: " .. path:gsub("%p", "%%%0") .. ": " .. why
        .. "; one that openrouter%.nginx writes to, its option `dir`, has ledger%.jsonl and pending/ in it\n$", err)
    end
  end)

  it("does not write to a file that is no ledger", function()
    write("ledger.jsonl", { "2026-11-21 somebody's log" })
    segment { seen "gen-1792120000-a" }
    local status, err = settle()
    assert.equal(1, status)
    assert.matches("ledger%.jsonl: not a ledger", err)
    assert.matches("1 id is still open", err)
    assert.same({ "2026-11-21 somebody's log" }, lines_of "ledger.jsonl")
  end)

  it("stops when the disk is full, leaves the rest open, and goes on later", function()
    local ids = ids_of(12)
    segment(pending_lines(ids))
    -- 8 blocks of 512 bytes: room for two records and a piece
    local status, _, err = shell.run("trap '' XFSZ; ulimit -f 8; " .. env .. command())
    assert.equal(1, status)
    assert.matches("ledger%.jsonl: ", err)
    local left = tonumber(err:match "(%d+) ids are still open")
    assert.is_true(left > 0 and left < 12)
    assert.equal(0, (settle()))
    assert_settled_once(ids)
    assert.same({}, segments())
  end)

  -- As a user who may do less: root becomes another one.
  local function as_nobody(line)
    if not is_root then return shell.run(line) end
    local copy = base .. "/copy"
    local made = shell.run(([[
      mkdir -p %s && cp -R bin lua %s && mkdir -p %s/build && cp -R "$OPENROUTER_BUILD/openrouter" %s/build &&
      chmod -R a+rX %s && chmod 711 %s]]):format(copy, copy, copy, copy, copy, base))
    assert.equal(0, made)
    local paths = ("LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' LUA_CPATH='%s/build/?.so;;'"):format(copy, copy, copy)
    return shell.run(("cd %s && setpriv --reuid=65534 --regid=65534 --clear-groups env %s %s"):format(copy, paths, line))
  end

  it("says which user may, where this one may not", function()
    segment { seen "gen-1792120000-a" }
    local _, _, owner = core.file_status(dir)
    assert.equal(0, (shell.run(("chmod %s %s/pending"):format(is_root and "700" or "000", dir) .. " && chmod 755 " .. dir)))
    local status, _, err = as_nobody(env .. command())
    shell.run("chmod 700 " .. dir .. "/pending")
    assert.equal(1, status)
    assert.is_truthy(err:find(("%s/pending: Permission denied; it belongs to %s: run this as %s"):format(dir, owner, owner), 1,
      true))
  end)

  it("is not alone in saying so: report and check do, too", function()
    if not is_root then return pending "root alone can make files of others" end
    write("ledger.jsonl", {})
    assert.equal(0, (shell.run(("cd %s && chown 1 . ledger.jsonl && chmod 700 ."):format(dir))))
    local _, _, owner = core.file_status(dir)
    for _, name in ipairs { "report", "check" } do
      for _, path in ipairs { dir, dir .. "/ledger.jsonl" } do
        local status, _, err = as_nobody(shell.cost(name .. " " .. path))
        assert.equal(1, status)
        assert.is_truthy(err:find((": Permission denied; it belongs to %s: run this as %s, or as root\n"):format(owner, owner), 1,
          true), err)
      end
    end
  end)

  it("says so of the ledger, and of a single segment", function()
    if not is_root then return pending "root alone can make files of others" end
    segment { seen "gen-1792120000-a" }
    segment({ seen "gen-1792120000-b" }, "2-2")
    write("ledger.jsonl", {})
    assert.equal(0, (shell.run(("cd %s && chmod 755 . && chown -R 65534 pending && chown 0 pending/2-2.jsonl"):format(dir))))
    local status, _, err = as_nobody(env .. command())
    assert.equal(1, status)
    assert.matches("pending/2%-2%.jsonl: Permission denied; it belongs to root", err)
    assert.matches("/ledger%.jsonl: Permission denied; it belongs to root", err)
    assert.equal(2, #segments())
  end)

  it("works as the owner of the files when it is root, so that workers can write to what it makes", function()
    if not is_root then return pending "needs root" end
    segment { seen("gen-1792120000-a", '"key":"tenant1"') }
    assert.equal(0, (shell.run(("mkdir %s/keys && echo sk-or-sandbox >%s/keys/tenant1 && chmod 600 %s/keys/tenant1"):format(
      dir, dir, dir))))
    assert.equal(0, (shell.run(("chmod 711 %s && chown 65534:65534 %s %s/pending %s/pending/*"):format(base, dir, dir, dir))))
    write("ledger.jsonl.1", { failed "gen-1792120000-f" })
    local status, err = settle "--retry-failed"
    assert.equal(0, status)
    local kind, mode, owner = core.file_status(dir .. "/ledger.jsonl")
    local _, _, wanted = core.file_status(dir .. "/pending")
    assert.same({ "file", 384, wanted }, { kind, mode, owner })
    assert.is_truthy(err:find("working as " .. wanted .. ", whose files these are", 1, true))
    assert_settled_once { "gen-1792120000-a" }
  end)

  -- ---- what is final ------------------------------------------------------------------------------------------------

  describe("of what fails", function()
    local function outcome(lines)
      segment(lines)
      local status, err = settle()
      local id = lines[1]:match '"(gen[^"]+)"'
      local of = is_there "ledger.jsonl" and results()[id] or nil
      return status, of and of.err, err, of and of.line
    end

    local MISSING = "gen-1792120000-status-404-x"

    it("keeps a 404 open while its record may come", function()
      for _, lines in ipairs {
        { seen(MISSING, nil, 23.9 * HOUR) },
        { seen(MISSING, nil, 23.9 * HOUR), note(MISSING, '"interrupted":true', 23 * HOUR) },
        { seen(MISSING, nil, 560), note(MISSING, '"context":{"status":200}', 550) },
        { seen(MISSING, nil, 3 * HOUR), note(MISSING, nil, 550) }, -- a long stream: its record comes at the end
        { seen(MISSING, nil, 2 * HOUR), note(MISSING, nil, 2 * HOUR):sub(1, 55) }, -- a torn note says nothing of the end
      } do
        local status, err, message = outcome(lines)
        assert.equal(3, status)
        assert.is_nil(err)
        assert.matches("1 not_found, such as [^\n]*; still open\n", message)
        assert.matches("1 id is still open; run the same command again\n$", message)
        assert.same({ "1-1.jsonl" }, segments())
        assert.same(lines, lines_of "pending/1-1.jsonl")
      end
    end)

    it("ends a 404 after a day, and after ten minutes where the answer came whole", function()
      for _, lines in ipairs {
        { seen(MISSING, '"context":{"user":"u"}', 24.1 * HOUR) },
        { seen(MISSING, '"context":{"user":"u"}', 24.1 * HOUR), note(MISSING, '"interrupted":true', 24 * HOUR) },
        { seen(MISSING, '"context":{"user":"u"}', 620), note(MISSING, '"instant":{"cost":0.5}', 610) },
      } do
        local status, err, message, line = outcome(lines)
        assert.equal(0, status)
        assert.same({ "not_found", 404 }, { err.kind, err.status })
        assert.matches('"context":{"user":"u"}', line, 1, true)
        assert.equal(lines[2] ~= nil and lines[2]:find "instant" ~= nil, line:find('"instant":{"cost":0.5}', 1, true) ~= nil)
        assert.matches("1 not_found, such as [^\n]*; failed, until %-%-retry%-failed\n", message)
        assert.same({}, segments())
        os.remove(dir .. "/ledger.jsonl")
      end
    end)

    it("ends a refusal at once", function()
      for status, kind in pairs { [403] = "forbidden", [400] = "bad_request" } do
        local id = ("gen-1792120000-status-%d-x"):format(status)
        local code, err = outcome { seen(id) }
        assert.equal(kind == "forbidden" and 3 or 0, code) -- another key may well get it
        assert.same({ kind, status }, { err.kind, err.status })
        assert.same({}, segments())
      end
    end)

    it("ends nonsense after a day", function()
      for word, kind in pairs { html = "bad_answer", other = "wrong_id" } do
        local id = ("gen-1792120000-%s-x"):format(word)
        local status, err = outcome { seen(id, nil, 23.9 * HOUR), note(id, nil, 23.9 * HOUR) }
        assert.same({ 3, nil }, { status, err })
        status, err = outcome { seen(id, nil, 24.1 * HOUR) }
        assert.same({ 0, kind }, { status, err and err.kind })
      end
    end)

    it("keeps open what says nothing about the id, however old", function()
      local kinds = { "network", "timeout", "server", "rate_limited", "tls", "auth", "payment", "unresolved", "closed",
        "cancelled" }
      local lines, make = {}, openrouter.client
      for i, kind in ipairs(kinds) do lines[i] = seen("gen-" .. kind, nil, 1000 * HOUR) end
      segment(lines)
      local run = assert(settle_module.adopt(dir))
      run.keys, run.why_no_key = { default = "k" }, {}
      run:plan()
      openrouter.client = function()
        local i = 0
        return { close = function() end, each = function(_, ids)
          return function()
            i = i + 1
            if ids[i] then return ids[i], nil, errors.new(ids[i]:match "gen%-(.*)", "no") end
          end
        end }
      end
      local ok, err = pcall(run.fetch, run)
      openrouter.client = make
      assert.is_true(ok, err)
      assert.equal(#kinds, run:open())
      run:close()
      for _, kind in ipairs(kinds) do assert.equal(1, run.outcome.left[kind].ids) end
      assert.same(lines, lines_of "pending/1-1.jsonl")
      assert.is_false(is_there "ledger.jsonl")
    end)

    it("ends what came with its own key, as that is not kept", function()
      local status, err, _, line = outcome { seen("gen-1792120000-a", '"key":"request","context":{"user":"u"}'),
        note("gen-1792120000-a", '"instant":{"cost":0.5}') }
      assert.equal(0, status)
      assert.same({ "no_key", "the key came with the request, and is not kept beyond it" }, { err.kind, err.message })
      assert.matches('"context":{"user":"u"},"instant":{"cost":0.5}', line, 1, true)
      assert.same({}, segments())
    end)
  end)

  -- ---- keys ---------------------------------------------------------------------------------------------------------

  describe("with keys by name", function()
    local function key_file(name, mode)
      assert(core.make_directory(dir .. "/keys"))
      shell.write(dir .. "/keys/" .. name, "sk-or-sandbox\n")
      assert.equal(0, (shell.run(("chmod %s %s/keys/%s"):format(mode or "600", dir, name))))
    end

    it("asks for each id with its own", function()
      segment { seen("gen-1792120000-a", '"key":"default"'), seen("gen-1792120000-b", '"key":"from-env"'),
        seen("gen-1792120000-c", '"key":"from_file"') }
      key_file "from_file"
      local status = settle("", "OPENROUTER_API_KEY_FROM_ENV=sk-or-sandbox-other")
      assert.equal(3, status)
      local all = results()
      assert.equal("forbidden", all["gen-1792120000-b"].err.kind)
      assert.same({ 1, 1 }, { all["gen-1792120000-a"].settled, all["gen-1792120000-c"].settled })
    end)

    it("has them from the directory it is told", function()
      key_file "tenant1"
      assert.equal(0, (shell.run(("mv %s/keys %s/elsewhere"):format(dir, base))))
      segment { seen("gen-1792120000-a", '"key":"tenant1"') }
      assert.equal(3, (settle()))
      assert.equal(0, (settle("--keys " .. base .. "/elsewhere")))
      assert_settled_once { "gen-1792120000-a" }
    end)

    it("leaves open what has none, says what to do, and goes on with the others", function()
      segment { seen("gen-1792120000-a", '"key":"tenant1"'), seen("gen-1792120000-b", '"key":"tenant1"'),
        seen("gen-1792120000-c", '"key":"tenant2"'), seen("gen-1792120000-d") }
      key_file("tenant2", "644")
      local status, err = settle()
      assert.equal(3, status)
      assert.is_truthy(err:find(("2 ids need the key 'tenant1': set OPENROUTER_API_KEY_TENANT1, or put it in %s/keys/tenant1 "
        .. "(mode 0600)\n"):format(dir), 1, true))
      assert.matches("1 id needs the key 'tenant2': [^\n]*/keys/tenant2 has mode 0644, [^\n]*: chmod 600 /", err)
      assert.matches("3 ids are still open; run the same command again", err)
      assert_settled_once { "gen-1792120000-d" }
      key_file "tenant1"
      key_file "tenant2"
      assert.equal(0, (settle()))
      assert_settled_once { "gen-1792120000-a", "gen-1792120000-b", "gen-1792120000-c", "gen-1792120000-d" }
    end)

    it("says that the default one is missing", function()
      segment { seen "gen-1792120000-a" }
      local status, _, err = shell.run("env -u OPENROUTER_API_KEY " .. command())
      assert.equal(3, status)
      assert.matches("1 id needs the key 'default': set OPENROUTER_API_KEY\n", err)
    end)

    it("lets one that is refused stop its own ids alone", function()
      segment { seen("gen-1792120000-a", '"key":"a-broke"'), seen("gen-1792120000-b", '"key":"a-broke"'),
        seen("gen-1792120000-c", '"key":"b-bad"'), seen("gen-1792120000-d") }
      local status, err = settle("",
        "OPENROUTER_API_KEY_A_BROKE=sk-or-sandbox-broke OPENROUTER_API_KEY_B_BAD=sk-or-sandbox-bad")
      assert.equal(4, status)
      assert.matches("the key 'a%-broke' is refused, and 2 ids stay open: [^\n]*payment %(HTTP 402%)", err)
      assert.matches("the key 'b%-bad' is refused, and 1 id stays open: [^\n]*auth %(HTTP 401%)", err)
      assert.matches("3 ids are still open", err)
      assert_settled_once { "gen-1792120000-d" }
    end)

    it("takes what cannot be a key for none", function()
      segment { seen("gen-1792120000-a", '"key":"odd"'), seen("gen-1792120000-d") }
      local status, err = settle("", "OPENROUTER_API_KEY_ODD='two words'")
      assert.equal(3, status)
      assert.matches("1 id needs the key 'odd': the key in OPENROUTER_API_KEY_ODD has a space in it", err)
      assert.not_matches("two words", err)
      assert_settled_once { "gen-1792120000-d" }
    end)

    it("makes no path of a hostile name, and prints no control characters", function()
      shell.write(base .. "/secret", "sk-or-sandbox\n")
      assert.equal(0, (shell.run("chmod 600 " .. base .. "/secret")))
      assert(core.make_directory(dir .. "/keys"))
      segment { seen("gen-1792120000-a", '"key":"../../secret"'), seen("gen-1792120000-b", '"key":"x\\u001b[31m\\n"'),
        seen("gen-1792120000-c", '"key":""'), seen("gen-1792120000-d", ('"key":"%s"'):format(("x"):rep(200))) }
      local status, err = settle()
      assert.equal(3, status)
      assert.matches("1 id needs the key '%.%./%.%./secret': no name for a key", err)
      assert.is_truthy(err:find("the key 'x\\x1B[31m\\x0A': no name for a key", 1, true))
      assert.matches("4 ids are still open", err)
      assert.is_false(is_there "ledger.jsonl")
    end)

    it("names ten keys that are missing, and counts the others", function()
      local lines = {}
      for i = 1, 13 do lines[i] = seen("gen-1792120000-a" .. i, ('"key":"k%02d"'):format(i)) end
      segment(lines)
      local _, err = settle()
      local _, named = err:gsub("needs the key", "")
      assert.equal(10, named)
      assert.matches("and 3 more like these\n", err)
    end)

    it("does not go to a server that must not get one", function()
      segment { seen "gen-1792120000-a" }
      local status, err = settle("", "OPENROUTER_BASE_URL=http://192.0.2.1/api/v1")
      assert.equal(1, status)
      assert.matches("loopback addresses only, use https", err)
      assert.matches("1 id is still open", err)
    end)
  end)

  -- ---- with others, and broken off ----------------------------------------------------------------------------------

  it("settles each id once when two run", function()
    local first, second = ids_of(16, "slow-a"), ids_of(16, "slow-b")
    segment(pending_lines(first))
    segment(pending_lines(second), "2-2")
    -- the second one finds what the first one does not hold: nothing, or what comes later
    local status = shell.run(("%s\n{ %s & first=$!; %s; wait $first; }"):format("export " .. env, command(), command()))
    assert.equal(0, status)
    for _, id in ipairs(second) do first[#first + 1] = id end
    assert_settled_once(first)
    assert.same({}, segments())
  end)

  it("settles each id once when one comes upon what another holds", function()
    segment(pending_lines(ids_of(16, "slow-a")))
    hold "1-1"
    segment(pending_lines(ids_of(5)), "2-2")
    local status, err = settle()
    assert.equal(0, status)
    assert.matches("5 records fetched", err)
    held[1]:close()
    assert.equal(0, (settle()))
    local all = ids_of(16, "slow-a")
    for _, id in ipairs(ids_of(5)) do all[#all + 1] = id end
    assert_settled_once(all)
  end)

  -- Start it, kill it when the ledger has this many lines, wait until it is gone.
  local function kill_at(lines)
    local script = ("%s exec %s"):format(env, command())
    local pipe = assert(io.popen(("sh -c 'echo $$; %s' 2>/dev/null"):format(script:gsub("'", "'\\''"))))
    local pid = pipe:read "*l"
    assert.is_truthy(servers.wait_for(function() return #lines_of "ledger.jsonl" >= lines end))
    os.execute("kill -9 " .. pid)
    pipe:close()
  end

  it("goes on where it was killed", function()
    local ids = ids_of(40)
    for _, id in ipairs(ids_of(16, "slow-a")) do ids[#ids + 1] = id end
    segment(pending_lines(ids, '"context":{"user":"u"}'))
    kill_at(3)
    -- whole ones: the kernel may leave a line that crosses a page at that
    local _, done = shell.read(dir .. "/ledger.jsonl"):gsub("\n", "")
    assert.is_true(done < #ids)
    local status, err = settle()
    assert.equal(0, status)
    assert.matches(("%d records fetched"):format(#ids - done), err)
    assert_settled_once(ids)
    assert.same({}, segments())
  end)

  it("goes on where it was killed between a line in the ledger and closing the line in the journal", function()
    local ids = ids_of(3)
    segment(pending_lines(ids))
    local lines = { settled(ids[1]), settled(ids[2]) }
    write("ledger.jsonl", lines)
    assert.equal(0, (settle()))
    assert_settled_once(ids)
  end)

  it("can be interrupted and run again", function()
    local ids = ids_of(10)
    for _, id in ipairs(ids_of(16, "slow-a")) do ids[#ids + 1] = id end
    segment(pending_lines(ids))
    local status, _, err = shell.run(("%s python3 spec/support/interrupt.py %s/ledger.jsonl 3 %s"):format(env, dir, command()))
    assert.equal(130, status)
    local done = #lines_of "ledger.jsonl"
    assert.is_true(done >= 3 and done < #ids)
    -- a signal during the write of a line is raised when that returns, and the line's id is not counted yet
    local open = tonumber(err:match "\nopenrouter%-cost: (%d+) ids are still open; run the same command again\n")
    assert.is_true(open == #ids - done or open == #ids - done + 1, err)
    assert.matches("records of this run are in .*/ledger%.jsonl\n", err)
    assert.matches("openrouter%-cost: interrupted\n$", err)
    assert.not_matches("traceback", err)
    assert.equal(0, (settle()))
    assert_settled_once(ids)
    assert.same({}, segments())
  end)

  it("removes a segment only when its lines are on the disk", function()
    segment(pending_lines(ids_of(2)))
    local log = base .. "/strace"
    if shell.run "strace -o /dev/null true" ~= 0 then return pending "strace is not here, or may not be used" end
    assert.equal(0, (shell.run(("%s strace -f -e trace=fsync,unlink,unlinkat -o %s %s"):format(env, log, command()))))
    local calls = shell.read(log)
    assert.is_true(calls:find("fsync(", 1, true) < calls:find("1-1.jsonl", 1, true))
  end)

  -- ---- --retry-failed -----------------------------------------------------------------------------------------------

  describe("--retry-failed", function()
    it("asks once more for what failed and has no record, with what its failed line says", function()
      write("ledger.jsonl", {
        failed("gen-1792120000-a", '"context":{"user":"u1","n":1.5,"ok":true},"instant":{"cost": 0.25, "more":[1]}', 5 * HOUR),
        failed("gen-1792120000-b", nil, 4 * HOUR), settled("gen-1792120000-b", 3 * HOUR),
        settled("gen-1792120000-c", 3 * HOUR), failed("gen-1792120000-c", nil, 2 * HOUR),
        failed("gen-1792120000-d", '"context":{"old":1}', 2 * HOUR), failed("gen-1792120000-d", '"context":{"new":2}', HOUR),
        failed("gen-1792120000-f", nil, HOUR), '{"settled":"gen-1792120000-f","answer":{"id":"gen-1792120000-f"}}', -- no time
        '{"failed":"gen-1792120000-e","at":"2026-11-2', -- torn
      })
      local status, err = settle "--retry-failed"
      assert.equal(0, status)
      assert.matches("2 failed ids are asked for once more\n", err)
      local all = results()
      assert.same({ 1, 1 }, { all["gen-1792120000-a"].settled, all["gen-1792120000-d"].settled })
      assert.same({ 1, 1 }, { all["gen-1792120000-b"].settled, all["gen-1792120000-c"].settled })
      assert.same({ user = "u1", n = 1.5, ok = true }, generation.context(all["gen-1792120000-a"].gen))
      assert.matches('"instant":{"cost": 0.25, "more":[1]}', all["gen-1792120000-a"].line, 1, true)
      assert.same({ new = 2 }, generation.context(all["gen-1792120000-d"].gen))
      assert.same({ 1, 1 }, { all["gen-1792120000-f"].settled, all["gen-1792120000-f"].failed })
      assert.is_nil(all["gen-1792120000-e"])
      assert.same({}, segments())
      status, err = settle "--retry-failed"
      assert.equal(0, status)
      assert.matches("0 failed ids are asked for once more\n", err)
    end)

    it("is not done without being asked for", function()
      write("ledger.jsonl", { failed("gen-1792120000-a", nil, HOUR) })
      assert.equal(0, (settle()))
      assert.equal(1, #lines_of "ledger.jsonl")
    end)

    it("does not ask for what was settled after the ledger was rotated", function()
      write("ledger.jsonl", { failed("gen-1792120000-a", nil, 2 * HOUR) })
      write("ledger.jsonl.1", { settled("gen-1792120000-a", HOUR) })
      local _, err = settle "--retry-failed"
      assert.matches("0 failed ids", err)
      assert.equal(1, #lines_of "ledger.jsonl")
    end)

    it("keeps as much of the context as two lines may have", function()
      local context, wanted = {}, {}
      for i = 1, 30 do
        local name, value = ("n%02d"):format(i), ("v"):rep(100)
        context[i], wanted[name] = ('"%s":"%s"'):format(name, value), value
      end
      write("ledger.jsonl", { failed("gen-1792120000-a", ('"context":{%s}'):format(table.concat(context, ",")), HOUR) })
      assert.equal(0, (settle "--retry-failed"))
      assert.same(wanted, generation.context(results()["gen-1792120000-a"].gen))
    end)

    it("is about no id that is open anyway", function()
      segment { seen("gen-1792120000-a", '"context":{"one":1}') }
      write("ledger.jsonl", { failed("gen-1792120000-a", '"context":{"two":2}', HOUR) })
      local status, err = settle "--retry-failed"
      assert.equal(0, status)
      assert.matches("0 failed ids are asked for once more\n", err)
      local of = results()["gen-1792120000-a"]
      assert.same({ 1, 1 }, { of.settled, of.failed })
      assert.same({ one = 1 }, generation.context(of.gen))
    end)

    it("leaves out an instant that no journal has room for", function()
      write("ledger.jsonl", { failed("gen-1792120000-a", ('"instant":{"x":"%s"}'):format(("x"):rep(20000)), HOUR) })
      assert.equal(0, (settle "--retry-failed"))
      assert.equal(1, results()["gen-1792120000-a"].settled)
    end)

    it("says so when it fails again", function()
      write("ledger.jsonl", { failed("gen-1792120000-status-404-x", '"context":{"user":"u"}', HOUR) })
      local status, err = settle "--retry-failed"
      assert.equal(0, status)
      assert.matches("1 not_found, such as [^\n]*; failed, until %-%-retry%-failed", err)
      local of = results()["gen-1792120000-status-404-x"]
      assert.equal(2, of.failed)
      assert.matches('"context":{"user":"u"}', of.line, 1, true)
      assert.same({}, segments())
    end)

    it("fetches what had lost its key, with the default one", function()
      segment { seen("gen-1792120000-a", '"key":"request","context":{"user":"u"}') }
      assert.equal(0, (settle()))
      assert.equal("no_key", results()["gen-1792120000-a"].err.kind)
      assert.equal(0, (settle "--retry-failed"))
      local of = results()["gen-1792120000-a"]
      assert.same({ 1, 1 }, { of.settled, of.failed })
      assert.same({ user = "u" }, generation.context(of.gen))
    end)

    it("settles what is open as well, and makes what is not there", function()
      segment { seen "gen-1792120000-a" }
      write("ledger.jsonl", { failed("gen-1792120000-b", nil, HOUR) })
      assert.equal(0, (settle "--retry-failed"))
      local all = results()
      assert.same({ 1, 1 }, { all["gen-1792120000-a"].settled, all["gen-1792120000-b"].settled })
      assert.equal(0, (shell.run("rmdir " .. dir .. "/pending")))
      write("ledger.jsonl", { failed("gen-1792120000-c", nil, HOUR) })
      assert.equal(0, (settle "--retry-failed"))
      assert.equal(1, results()["gen-1792120000-c"].settled)
    end)

    it("leaves it to another run that is at it", function()
      segment({ seen("gen-1792120000-a") }, "retry")
      hold "retry"
      write("ledger.jsonl", { failed("gen-1792120000-a", nil, HOUR), failed("gen-1792120000-b", nil, HOUR) })
      local status, err = settle "--retry-failed"
      assert.equal(0, status)
      assert.matches("another run, or a worker, is at what failed just now: it has [^\n]*/pending/retry%.jsonl\n", err)
      assert.equal(2, #lines_of "ledger.jsonl")
    end)

    it("settles each id once when two run", function()
      local ids, lines = ids_of(16, "slow-a"), {}
      for i, id in ipairs(ids) do lines[i] = failed(id, nil, HOUR) end
      write("ledger.jsonl", lines)
      local retry = command "--retry-failed"
      local status = shell.run(("export %s\n{ %s & first=$!; %s; wait $first; }"):format(env, retry, retry))
      assert.equal(0, status)
      local all = results()
      for _, id in ipairs(ids) do assert.same({ id, 1 }, { id, all[id].settled }) end
      assert.same({}, segments())
    end)

    it("goes on where it was killed, without being told again", function()
      local ids, lines = ids_of(20), {}
      for _, id in ipairs(ids_of(16, "slow-a")) do ids[#ids + 1] = id end
      for i, id in ipairs(ids) do lines[i] = failed(id, '"context":{"user":"u"},"instant":{"cost":1}') end
      write("ledger.jsonl", lines)
      local plain = command
      command = function() return plain "--retry-failed" end
      kill_at(#ids + 3)
      command = plain
      assert.same({ "retry.jsonl" }, segments())
      assert.equal(0, (settle()))
      local all = results()
      for _, id in ipairs(ids) do
        assert.same({ id, 1, 1 }, { id, all[id].settled, all[id].failed })
        assert.same({ user = "u" }, generation.context(all[id].gen))
        assert.matches('"instant":{"cost":1}', all[id].line, 1, true)
      end
      assert.same({}, segments())
    end)

    it("leaves open what cannot be asked for just now", function()
      write("ledger.jsonl", { failed("gen-1792120000-a", nil, HOUR) })
      assert.equal(4, (settle("--retry-failed", "OPENROUTER_API_KEY=sk-or-sandbox-broke")))
      assert.same({ "retry.jsonl" }, segments())
      assert.equal(0, (settle "--retry-failed"))
      assert.equal(1, results()["gen-1792120000-a"].settled)
    end)
  end)
end)

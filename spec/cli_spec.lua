local shell = require "spec.support.shell"
local servers = require "spec.support.servers"

local cost = shell.cost

describe("openrouter-cost", function()
  local sandbox, directory, env

  setup(function() sandbox = servers.sandbox() end)
  teardown(function() sandbox:stop() end)

  before_each(function()
    directory = shell.directory()
    env = ("OPENROUTER_BASE_URL=%s OPENROUTER_API_KEY=sk-or-sandbox "):format(sandbox.url)
  end)
  after_each(shell.clean)

  local function file(name, text) return shell.write(directory .. "/" .. name, text) end
  local function run(arguments) return shell.run(env .. cost(arguments)) end

  local function lines_of(path)
    local n = 0
    for _ in io.lines(path) do n = n + 1 end
    return n
  end

  describe("get", function()
    it("shows a record with its units", function()
      local status, out, err = run "get gen-1792120000-example"
      assert.same({ 0, "" }, { status, err })
      assert.matches("^spend +[%d.]+ USD\n", out)
      assert.matches("\n  total_cost +[%d.e-]+ USD\n", out)
      assert.matches("\n  latency +%d+ ms\n", out)
      assert.matches("\n  native_tokens_prompt +%d+ tokens\n", out)
      assert.matches("\n  provider_responses +1%. [^\n]+ 200 after %d+ ms", out)
      assert.matches("\n  id +gen%-1792120000%-example\n", out)
      assert.matches("\n  session_id +", out)
    end)

    it("gives JSON as the server spelt it", function()
      local status, out = run "get --json gen-1792120000-a gen-1792120000-b"
      assert.equal(0, status)
      local first, second = out:match "^({[^\n]+})\n({[^\n]+})\n$"
      assert.matches('"id":"gen%-1792120000%-a"', first)
      assert.matches('"id":"gen%-1792120000%-b"', second)
    end)

    it("waits for a record that is not written yet, and says so", function()
      local status, out, err = run(("get gen-%d-fresh-%d"):format(os.time(), math.random(1e9)))
      assert.equal(0, status)
      assert.matches("^spend", out)
      assert.matches("not written yet; asking again\n", err)
    end)

    it("says of a 404 that is none of the API's where to look", function()
      local url = sandbox.url:gsub("/api/v1$", "")
      local status, out, err = shell.run(("%s OPENROUTER_BASE_URL=%s %s"):format(env, url, cost "get --wait 2 gen-1"))
      assert.same({ 3, "" }, { status, out })
      local hint = "gen%-1: not_found %(HTTP 404%): no such record, or not written yet; the answer is not one of the API's: "
        .. "is the base URL right, which ends in /api/v1%?"
      assert.matches("^openrouter%-cost: " .. hint .. "; asking again\n"
        .. "openrouter%-cost: " .. hint .. " %([2-9] attempts in [%d.]+ s%)\n$", err)
      assert.not_matches("base URL", select(3, run "get --wait 0 gen-1790000000-status-404-x"))
    end)

    it("says why there is no record", function()
      local status, out, err = run "get gen-1792120000-status-403-x gen-1792120000-b"
      assert.equal(3, status)
      assert.matches("^spend", out)
      assert.matches("^openrouter%-cost: gen%-1792120000%-status%-403%-x: forbidden %(HTTP 403%): ", err)
    end)

    it("ends with 4 when the key is no good", function()
      local status, out, err = shell.run(env .. "OPENROUTER_API_KEY=sk-or-sandbox-bad " .. cost "get gen-1 gen-2")
      assert.same({ 4, "" }, { status, out })
      assert.matches("gen%-1: auth %(HTTP 401%)", err)
      assert.not_matches("gen%-2", err)
      assert.not_matches("sk%-or", err)
    end)

    it("ends with 3 whatever it is that keeps an id without its record, as fetch does", function()
      for _, id in ipairs { "gen-1792120000-status-404-x", "gen-1792120000-status-400-x" } do
        assert.same({ id, 3 }, { id, (run("get --wait 0 gen-1792120000-b " .. id)) })
        assert.same({ id, 3 }, { id, (run(("fetch %s --ledger %s/%s"):format(file("ids", id .. "\n"), directory, id))) })
      end
    end)

    it("says what takes files, when it is given one", function()
      for name, shown in pairs { [file("ids.txt", "gen-1\n")] = directory .. "/ids.txt", ["-"] = "-" } do
        local status, out, err = run("get -- " .. name)
        assert.same({ 2, "" }, { status, out })
        assert.equal("openrouter-cost: '" .. shown .. "' is a file; `openrouter-cost fetch` takes the ids in files "
          .. "(openrouter-cost get --help)\n", err)
      end
    end)

    it("refuses what is no id, and asks for none then", function()
      for id, shown in pairs { ["'gen-1&key=x'"] = "gen-1&key=x", ["'gen 1'"] = "gen 1",
        ["\"$(printf 'gen-1\\r\\nX: y')\""] = "gen-1\\x0D\\x0AX: y" } do
        local status, out, err = run("get gen-1792120000-b " .. id)
        assert.same({ 2, "" }, { status, out })
        assert.equal("openrouter-cost: '" .. shown .. "' is no id: one has 1 to 128 letters, digits and any of - _ . : ~ / "
          .. "(openrouter-cost get --help)\n", err)
      end
    end)
  end)

  it("says how to give it a key", function()
    for _, command in ipairs { "get gen-1", "fetch " .. file("ids", "gen-1\n") } do
      local status, _, err = shell.run("env -u OPENROUTER_API_KEY " .. cost(command))
      assert.equal(4, status)
      assert.matches("no API key: set OPENROUTER_API_KEY\n$", err)
    end
  end)

  it("says what is wrong with a key that is none, and not the key", function()
    local status, out, err = shell.run("OPENROUTER_API_KEY='sk-or-\226\128\166' " .. cost "get gen-1")
    assert.same({ 4, "" }, { status, out })
    assert.equal("openrouter-cost: the key in OPENROUTER_API_KEY has a character that is not ASCII, such as an example's "
      .. "ellipsis\n", err)
  end)

  it("does not send the key over plain http to another machine", function()
    local status, _, err = shell.run("OPENROUTER_BASE_URL=http://192.0.2.1/api/v1 OPENROUTER_API_KEY=k " .. cost "get gen-1")
    assert.equal(1, status)
    assert.matches("loopback addresses only, use https", err)
  end)

  it("ends with 2 and a hint for a wrong command line", function()
    for _, arguments in ipairs { "", "frobnicate", "get", "get --wait x gen-1", "get --nosuch gen-1", "report", "settle",
      "settle a b", "settle --keys" } do
      local status, out, err = shell.run(cost(arguments))
      assert.same({ arguments, 2, "" }, { arguments, status, out })
      assert.matches("^openrouter%-cost: .*%-%-help", err)
      assert.not_matches("traceback", err)
    end
  end)

  it("takes no empty value for one: it is that of a variable which is not set", function()
    local path = file("costs.jsonl", '{"id":"gen-1","total_cost":1}\n')
    local function refuses(arguments, command, name)
      local status, out, err = run(arguments)
      assert.same({ 2, "" }, { status, out })
      assert.equal(("openrouter-cost: %s must not be empty (openrouter-cost %s --help)\n"):format(name, command), err)
    end
    for _, name in ipairs { "--by", "--measures", "--format", "--output", "--since", "--until", "--tz", "--where" } do
      refuses(("report %s '' %s"):format(name, path), "report", name)
    end
    refuses(("report -o '' %s"):format(path), "report", "--output")
    assert.matches("%-%-measures must not be empty ", (select(3, run("report --measures ' ' " .. path))))
    refuses(("diff 2026-10 2026-11 --by '' %s"):format(path), "diff", "--by")
    refuses("check --max-per-hour= " .. path, "check", "--max-per-hour")
    refuses("fetch --ledger '' " .. path, "fetch", "--ledger")
    refuses("settle --keys '' " .. directory, "settle", "--keys")
    refuses("get gen-1 --wait ''", "get", "--wait")
    refuses(("report %s ''"):format(path), "report", "<file>")
    refuses("settle ''", "settle", "<dir>")
    refuses("get gen-1 ''", "get", "<id>")
  end)

  it("takes no - for a ledger to write to", function()
    for _, arguments in ipairs { "fetch examples/app.log --ledger -", "reconcile /dev/null --fetch --ledger=-" } do
      local status, out, err = run(arguments)
      assert.same({ 2, "" }, { status, out })
      assert.matches("^openrouter%-cost: %-%-ledger takes the name of a file, which is read and added to, and not %- ", err)
    end
    assert.is_nil(io.open "-")
  end)

  it("takes no second value for the one before", function()
    local path = file("costs.jsonl", '{"id":"gen-1","total_cost":1}\n')
    for arguments, name in pairs {
      ["report --by model --by day"] = "--by", ["report --measures spend --measures first"] = "--measures",
      ["report --since 2026-10 --since 2026-12"] = "--since", ["report --until 2026-10 --until 2026-12"] = "--until",
      ["report --tz UTC --tz Asia/Tokyo"] = "--tz", ["report --format json --format csv"] = "--format",
      ["report -o a --output b"] = "--output", ["diff --by model --by day a b"] = "--by",
      ["check --max-drift 1 --max-drift 2"] = "--max-drift",
      ["check --max-per-hour 1 --max-per-hour 2"] = "--max-per-hour", ["fetch --ledger a --ledger b"] = "--ledger",
      ["reconcile --with activity --with both"] = "--with", ["settle --keys a --keys b"] = "--keys",
    } do
      local status, out, err = run(arguments .. " " .. path)
      assert.same({ arguments, 2, "" }, { arguments, status, out })
      assert.is_truthy(err:find(("openrouter-cost: option '%s' must be used at most 1 time "):format(name), 1, true), err)
    end
    assert.equal(0, (run(("report %s --where model=a --where model=b"):format(path))))
    assert.equal(0, (run("get gen-1771967973-0hZ8J5kY7qLMOKbPx0u3 --json --json")))
  end)

  it("says that a file failed while it was read", function()
    for _, arguments in ipairs { "fetch /proc/self/mem --ledger " .. directory .. "/c", "report /proc/self/mem" } do
      local status, _, err = run(arguments)
      assert.equal(1, status)
      assert.matches("^openrouter%-cost: /proc/self/mem: Input/output error\n$", err)
    end
  end)

  it("runs through a symbolic link, and says its version", function()
    os.execute(("ln -s \"$PWD/bin/openrouter-cost\" %s/cost"):format(directory))
    local status, out, err = shell.run(("env -u LUA_PATH -u LUA_CPATH %s %s/cost --version"):format(os.getenv "LUA", directory))
    assert.same({ 0, "" }, { status, err })
    local version = shell.read("lua-openrouter-scm-1.rockspec"):match '\nversion = "([^"]+)"'
    local lua = package.loaded.jit and package.loaded.jit.version or _VERSION
    assert.equal(("openrouter-cost %s (lua-openrouter), %s, %s\n"):format(version, lua, require("openrouter.curl").VERSION), out)
    assert.matches("^openrouter%-cost [^ ]+ %(lua%-openrouter%), Lua[^,]+, libcurl/%d", out)
  end)

  it("explains itself", function()
    for _, command in ipairs { "", "get", "fetch", "report", "settle" } do
      local status, out = shell.run(cost(command .. " --help"))
      assert.equal(0, status)
      assert.matches("Usage: openrouter%-cost", out)
    end
  end)

  describe("fetch", function()
    it("asks whether the key is the right one when 20 ids in a row are refused", function()
      local function refused(count)
        local ids = {}
        for i = 1, count do ids[i] = ("gen-1792120000-status-403-%d\n"):format(i) end
        local path = file("ids", table.concat(ids))
        return select(3, run(("fetch %s --ledger %s/%d.jsonl"):format(path, directory, count)))
      end
      assert.is_nil(refused(19):find "in a row")
      local _, times = refused(45):gsub(
        "20 ids in a row are refused %(403%), such as gen%-1792120000%-status%-403%-%d+; is the key", "")
      assert.equal(1, times)
    end)

    it("fetches every id of a log into a ledger, once", function()
      local ledger = directory .. "/costs.jsonl"
      local _
      local status, out, err = run("fetch examples/app.log --ledger " .. ledger)
      assert.same({ 3, "" }, { status, out }) -- 3: one of the log's ids has no record
      assert.matches("13 ids in 15 lines of examples/app%.log %(1 repeated, 1 line has no id%)", err)
      assert.matches("12 records fetched in [%d.]+ s, now in ", err)
      assert.matches("1 not_found, such as gen%-%d+%-status%-404%-%w+: not_found %(HTTP 404%)", err)
      assert.equal(13, lines_of(ledger))

      status, _, err = run("fetch examples/app.log --ledger " .. ledger)
      assert.equal(3, status)
      assert.matches("12 of them are in .*costs%.jsonl already", err)
      assert.matches("0 records fetched", err)
      assert.equal(14, lines_of(ledger)) -- the missing one was asked for again
    end)

    it("asks again with the right key for what the wrong one was refused", function()
      local ledger, ids = directory .. "/costs.jsonl", file("ids", "gen-1\ngen-2\n")
      local command = cost(("fetch %s --ledger %s"):format(ids, ledger))
      local status, _, err = shell.run(env .. "OPENROUTER_API_KEY=sk-or-sandbox-other " .. command)
      assert.equal(3, status)
      assert.matches("2 ids are without a record; set OPENROUTER_API_KEY to the key of the account that made them and run the "
        .. "same command again\n$", err)
      assert.equal(0, (shell.run(env .. command)))
      assert.equal(0, (shell.run(cost("report " .. ledger))))
    end)

    it("gives no advice for what cannot be had, and does where something can", function()
      local function last_words(...)
        local ids = file("ids", table.concat({ ... }, "\n") .. "\n")
        local _, _, err = run(("fetch %s --ledger %s/c.jsonl"):format(ids, directory))
        return err:match "without a record([^\n]*)\n$"
      end
      assert.equal("", last_words("gen-1790000000-status-400-a", "gen-1790000000-status-422-b"))
      assert.equal("; run the same command again to ask once more",
        last_words("gen-1790000000-status-400-a", "gen-1790000000-status-403-b", "gen-1790000000-status-404-c"))
    end)

    it("does not write to a log that was given as the ledger by mistake", function()
      local log = file("app.log", shell.read "examples/app.log")
      local status, _, err = run(("fetch %s --ledger %s"):format(log, log))
      assert.equal(1, status)
      assert.matches("app%.log: not a ledger", err)
      assert.equal(shell.read "examples/app.log", shell.read(log))
    end)

    it("ends at the first Ctrl-C while it waits for standard input", function()
      local ready = file("ready", "")
      local status, _, err = shell.run(("%s python3 spec/support/interrupt.py %s 1 sh -c %s"):format(env, ready, shell.quote(
        -- more than a pipe holds: once that is written, it is being read
        ("mkfifo %s/pipe; (yes '' | head -c 200000; echo >%s; exec sleep 5) >%s/pipe & %s <%s/pipe"):format(
          directory, ready, directory, cost("fetch --ledger " .. directory .. "/c"), directory))))
      assert.equal(130, status)
      assert.matches("interrupted\n$", err)
    end)

    it("ends at the first Ctrl-C in a line that never ends, as report does", function()
      if not shell.read "/proc/self/io" then return pending "no /proc" end
      for command, words in pairs { ["fetch --ledger " .. directory .. "/c"] = "interrupted\n", report = "interrupted\n" } do
        local ready, pid = directory .. "/ready", directory .. "/pid"
        -- in the middle of a line that is too long already
        local watch = ("until [ -s %s ] && [ $(sed -n 's/^rchar: //p' /proc/$(cat %s)/io) -gt 100000000 ]; do sleep 0.02; done; "
          .. "echo >%s"):format(pid, pid, ready)
        local status, _, err = shell.run(("rm -f %s %s; { %s; } & %s python3 spec/support/interrupt.py %s 1 sh -c %s"):format(
          ready, pid, watch, env, ready, shell.quote(("echo $$ >%s; exec %s /dev/zero"):format(pid, cost(command)))))
        assert.same({ 130, words }, { status, err:match "interrupted\n$" }, command)
      end
    end)

    it("reads ids from a pipe", function()
      local ledger = directory .. "/costs.jsonl"
      local status = shell.run("printf 'gen-1 gen-2\\n' | " .. env .. cost("fetch --ledger " .. ledger))
      assert.equal(0, status)
      assert.equal(2, lines_of(ledger))
    end)

    it("is done when all records are there, though the last line has no end", function()
      local status, _, err = run(("fetch %s --ledger %s/c"):format(file("ids", "gen-1\ngen-2"), directory))
      assert.equal(0, status)
      assert.matches("ids:2: the last line has no line end; if it is still being written, its id may be cut short\n", err)
    end)

    it("shows how far long files and the ledger are read, and what is fetched, below what it says", function()
      local text = (("no id "):rep(17) .. "\n"):rep(120000)
      local line = '{"failed":"gen-0","at":"2026-11-01T00:00:00Z","error":{"kind":"not_found"}}'
      local ledger = file("c", (line .. (" "):rep(9000) .. "\n"):rep(1200))
      local status, out = shell.terminal(("env %s%s"):format(env, cost(("fetch %s --ledger %s"):format(
        file("log", text .. "gen-1790000000-once-503-a\ngen-1790000000-slow-b\n"), ledger))), 120)
      assert.equal(0, status, out)
      assert.matches("\r%[#+%] 100%%  12/12 MB  %d+ MB/s  0:00 left\27%[K", out)
      assert.matches("\r%[#+%] 100%%  11/11 MB  %d+ MB/s  0:00 left\27%[K", out)
      assert.matches("openrouter%-cost: [^\n]* server [^\n]*; trying again, up to two minutes for each id\n"
        .. "\r%[%-+%]   0%%  0/2 ids  0/s  %? left\27%[K", out)
    end)

    it("says that there is no id", function()
      local status, _, err = run(("fetch %s --ledger %s/c"):format(file("empty", ""), directory))
      assert.equal(1, status)
      assert.matches("no generation id in .*/empty %(0 lines read%)", err)
      status, _, err = run(("fetch %s/none --ledger %s/c"):format(directory, directory))
      assert.equal(1, status)
      assert.matches("/none: No such file or directory", err)
    end)

    it("names bad lines of the ids and of the ledger, and goes on", function()
      local ids = file("ids", "gen-1\ngen-" .. ("1"):rep(200) .. "\ngen-2")
      local ledger = file("costs.jsonl", '{"settled":"gen-1","at":"t","answer":{"data":{"i')
      local status, _, err = run(("fetch %s --ledger %s"):format(ids, ledger))
      assert.equal(3, status)
      assert.matches("ids:2: gen%-1+… is no id: it has 204 bytes", err)
      assert.matches("ids:3: the last line has no line end", err)
      assert.matches("costs%.jsonl:1: skipped: .*at byte 49", err)
      assert.matches("2 records fetched", err)
    end)

    it("stops when the key is no good, and leaves every id to be fetched", function()
      local ledger = directory .. "/costs.jsonl"
      local status, _, err = shell.run(env .. "OPENROUTER_API_KEY=sk-or-sandbox-broke "
        .. cost("fetch examples/app.log --ledger " .. ledger))
      assert.equal(4, status)
      assert.matches("payment, such as gen%-", err)
      assert.matches("13 ids are without a record; add credits and run the same command again", err)
      assert.equal(0, lines_of(ledger))
    end)

    it("stops when the disk is full, and says how much is safe", function()
      local status, _, err = run("fetch examples/app.log --ledger /dev/full")
      assert.equal(1, status)
      assert.matches("/dev/full: No space left on device", err)
      assert.matches("0 records of this run are safe in /dev/full, 13 ids are not fetched", err)
    end)

    it("does not say that records are in a ledger that was moved meanwhile", function()
      local ledger, log = directory .. "/costs.jsonl", file("ids", "gen-1792120000-a\ngen-1792120000-slow-b\n")
      local move = ("{ until [ -s %s ]; do sleep 0.02; done; mv %s %s.1; } & "):format(ledger, ledger, ledger)
      local status, _, err = shell.run(("(%s %s %s; status=$?; wait; exit $status)"):format(move, env,
        cost(("fetch %s --ledger %s"):format(log, ledger))))
      assert.equal(1, status)
      assert.matches("/costs%.jsonl: it was renamed, removed or replaced meanwhile, and lines went with it; "
        .. "run the same command again\n$", err)
      assert.not_matches("now in", err)
      assert.not_matches("safe in", err)
    end)

    it("goes on behind the line that a full disk cut in two", function()
      local ledger = directory .. "/costs.jsonl"
      -- 8 blocks of 512 bytes: room for two records and a piece
      local command = env .. cost("fetch examples/app.log --ledger " .. ledger)
      local status, _, err = shell.run("trap '' XFSZ; ulimit -f 8; " .. command)
      assert.equal(1, status)
      local safe = tonumber(err:match "(%d+) records of this run are safe")
      assert.is_true(safe >= 1 and safe < 12)
      assert.equal(4096, #shell.read(ledger))
      status, _, err = run("fetch examples/app.log --ledger " .. ledger)
      assert.equal(3, status)
      assert.matches(safe .. " of them are in ", err)
      assert.matches((12 - safe) .. " records fetched", err)
      assert.matches(("costs%%.jsonl:%d: skipped"):format(safe + 1), err)
    end)

    it("writes a ledger that nobody else is writing", function()
      local ledger = directory .. "/costs.jsonl"
      local writer = assert(require("openrouter.ledger").open(ledger))
      local status, _, err = run("fetch examples/app.log --ledger " .. ledger)
      assert.equal(1, status)
      assert.matches("another process is writing to it", err)
      assert(writer:close())
    end)

    it("leaves no bar on a terminal when it is interrupted", function()
      local ledger, command = directory .. "/costs.jsonl", "fetch %s --ledger %s"
      local ids = file("ids", "gen-1 gen-slow-1 gen-slow-2\n")
      local status, out = shell.terminal(("env %spython3 spec/support/interrupt.py %s 1 %s"):format(env, ledger,
        cost(command:format(ids, ledger))), 100)
      assert.equal(130, status)
      assert.matches("\r\27%[Kopenrouter%-cost: %d+ records? of this run [^\n]*\nopenrouter%-cost: interrupted\n$", out)
    end)

    it("can be interrupted and run again", function()
      local ledger = directory .. "/costs.jsonl"
      local ids = file("ids", "gen-1 gen-2 gen-3 gen-slow-1\n")
      for i = 1, 20 do file("ids", shell.read(ids) .. ("gen-%d-slow-x\n"):format(i)) end
      local command = cost(("fetch %s --ledger %s"):format(ids, ledger))
      local status, _, err = shell.run(("%s python3 spec/support/interrupt.py %s 3 %s"):format(env, ledger, command))
      assert.equal(130, status)
      assert.matches("records of this run are safe in .*costs%.jsonl, %d+ ids are not fetched; run the same command again", err)
      assert.matches("openrouter%-cost: interrupted\n$", err)
      assert.not_matches("traceback", err)
      local safe = lines_of(ledger)
      assert.is_true(safe >= 3)
      status, _, err = run(("fetch %s --ledger %s"):format(ids, ledger))
      assert.equal(0, status)
      assert.matches(safe .. " of them are in ", err)
      assert.equal(24, lines_of(ledger))
    end)
  end)

  describe("report", function()
    local ledger
    before_each(function()
      ledger = directory .. "/costs.jsonl"
      run("fetch examples/app.log --ledger " .. ledger)
    end)

    it("adds up, and says what is left out", function()
      local status, out = run("report " .. ledger .. " --by model,day")
      assert.equal(3, status) -- an id of the log has no record
      assert.matches("model", out)
      assert.matches("2026%-10%-16", out)
      assert.matches("failed", out)
    end)

    it("gives JSON, also into a file", function()
      local status, out = run(("report %s --format json"):format(ledger))
      assert.equal(3, status)
      local decoded = require("cjson").decode(out)
      assert.equal(12, decoded.total.generations)
      run(("report %s --format json -o %s/report.json"):format(ledger, directory))
      assert.equal(out, shell.read(directory .. "/report.json"))
    end)

    it("suggests the near dimension for an unknown one", function()
      local status, out, err = run("report " .. ledger .. " --by modle,day")
      assert.same({ 2, "" }, { status, out })
      assert.matches("unknown dimension 'modle'.*did you mean 'model'", err)
    end)

    it("has the columns that are asked for", function()
      local _, out = run("report " .. ledger .. " --measures generations,usage")
      assert.matches("^ +usage\nmodel +generations +USD\n", out)
      local status, _, err = run("report " .. ledger .. " --by user,nonsense")
      assert.equal(2, status)
      assert.matches("unknown dimension 'user'; did you mean 'external_user'", err)
      _, _, err = run("report " .. ledger .. " --by nonsense")
      assert.matches("unknown dimension 'nonsense'; there are model, provider_name", err)
    end)

    it("has the days of a zone", function()
      local _, out = run("report " .. ledger .. " --by day --measures generations --tz Pacific/Kiritimati")
      assert.matches("2026%-10%-18", out) -- in UTC all is on the 16th and 17th
      local status, _, err = run("report " .. ledger .. " --tz Europe/Berln")
      assert.equal(2, status)
      assert.matches("unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?", err, 1, true)
    end)

    it("finds zones in $TZDIR", function()
      local function said(tzdir, tz)
        local status, _, err = shell.run(("TZDIR=%s %s"):format(tzdir, cost(("report %s --tz %s"):format(ledger, tz))))
        assert.equal(2, status)
        return err
      end
      assert.equal("openrouter-cost: unknown time zone 'Europe/Berlin': there is no time zone database in /none; "
        .. "the package tzdata has it\n", said("/none", "Europe/Berlin"))
      assert.equal(3, (shell.run(("TZDIR=/none %s"):format(cost(("report %s --by day --tz UTC"):format(ledger)))))) -- needs none
      file("zone1970.tab", "# code\tplace\tname\nXX\t+0000+00000\tMars/Olympus_Mons\tcomment\nYY\t+00+00\tMars/Pavonis\n")
      assert.matches("did you mean 'Mars/Olympus_Mons'?", said(directory, "mars/olympus-mon"), 1, true)
      assert.matches("did you mean 'Mars/Pavonis'?", said(directory, "Pavonis"), 1, true)
      file("Broken", "TZif2")
      assert.equal("openrouter-cost: time zone 'Broken' cannot be used: it is no time zone file\n", said(directory, "Broken"))
    end)

    it("counts what was asked for", function()
      local function generations(arguments)
        local _, out, err = run("report --format json " .. arguments .. " " .. ledger)
        local decoded = require("cjson").decode(out)
        if decoded.total.generations > 0 then assert.equal("", err) end
        assert.equal(12, decoded.total.generations + decoded.omitted.filtered)
        return decoded.total.generations
      end
      assert.equal(7, generations "--until 2026-10-16")
      assert.equal(5, generations "--since 2026-10-17")
      assert.equal(12, generations "--since 2026-10-16 --until 2026-10-17")
      assert.equal(0, generations "--since 2026-10-18 --tz UTC")
      assert.same({ 12, 0, 0, 12 }, { generations "--since 2026-10 --until 2026-10", generations "--since 2026-11",
        generations "--until 2026-09 --tz Asia/Tokyo", generations "--since 2026 --until 2026" })
      local one, other = generations "--where streamed=true", generations "--where streamed=false"
      assert.is_true(one > 0 and other > 0)
      assert.equal(12, generations "--where streamed=true --where streamed=false --where streamed=unknown")
      assert.equal(7, generations "--where 'day=2026-10-16' --where model=x --where day=2026-10-17 --where model=y"
        + generations "--where day=2026-10-16")
      local status, _, err = run("report " .. ledger .. " --where model")
      assert.equal(2, status)
      assert.matches("--where takes NAME=VALUE, such as model=openai/gpt-5, not 'model'", err, 1, true)
      status, _, err = run("report " .. ledger .. " --where modle=x")
      assert.equal(2, status)
      assert.matches("where: unknown dimension 'modle'; did you mean 'model'?", err, 1, true)
      status, _, err = run("report " .. ledger .. " --since tomorrow")
      assert.equal(2, status)
      assert.matches("since must be a date", err, 1, true)
    end)

    it("says which file cannot be read or written", function()
      local status, _, err = run("report " .. directory .. "/none")
      assert.equal(1, status)
      assert.matches("/none: No such file or directory", err)
      status, _, err = run("report " .. ledger .. " -o /nonexistent/report")
      assert.equal(1, status)
      assert.matches("/nonexistent/report: No such file or directory", err)
      status, _, err = run("report " .. ledger .. " -o /dev/full")
      assert.equal(1, status)
      assert.matches("/dev/full: No space left on device", err)
    end)

    it("says that what comes through a pipe is compressed", function()
      local said = ": it is compressed, which is unpacked from a file and not from a pipe: put gunzip (or unxz, unzstd, bunzip2) "
        .. "before it\n"
      assert.equal(0, (shell.run("mkfifo " .. directory .. "/pipe")))
      for _, program in ipairs { "gzip", "xz", "zstd", "bzip2" } do
        if shell.run("command -v " .. program) == 0 then
          local packed = ("%s -c %s "):format(program, ledger)
          local into = ("%s >%s/pipe & "):format(packed, directory)
          assert.same({ 1, "", "openrouter-cost: -" .. said }, { shell.run(packed .. "| " .. cost "report -") })
          assert.same({ 1, "", "openrouter-cost: -" .. said }, { shell.run(packed .. "| " .. cost "fetch -") })
          assert.same({ 1, "", ("openrouter-cost: %s/pipe%s"):format(directory, said) },
            { shell.run(into .. cost("report " .. directory .. "/pipe")) })
        end
      end
    end)

    it("says what a ledger is, where most of what it read is none", function()
      local hint = "openrouter-cost: most lines are no records: a ledger has a JSON object in each line, as fetch writes them "
        .. "from any text with ids "
        .. "(jq -c '.[]' FILE makes that of an array, jq -c . FILE of objects over several lines)\n"
      local files = { file("a.csv", "date,model,cost\n2026-10-01,m,0.5\n"), file("a.png", "\137PNG\r\n\26\n\0\0\0\rIHDR"),
        file("a.json", '[\n  {"id":"gen-1"},\n  {"id":"gen-2","total_cost":1}\n]\n') }
      for _, path in ipairs(files) do
        for _, command in ipairs { "report ", "check ", "diff 2026-10 2026-11 " } do
          local status, _, err = run(command .. path)
          assert.equal(3, status)
          assert.equal(hint, err)
        end
      end
      for _, paths in ipairs { ledger .. " " .. files[1], file("none", ""), file("pending", '{"pending":"gen-1"}\n{\n'),
        file("other", '{"id":"gen-1","model":"m","total_cost":1}\n{\n') .. " --where model=x" } do
        assert.is_nil((select(3, run("report " .. paths))):find("most lines", 1, true))
        assert.equal("", (select(3, run("check " .. paths))))
      end
    end)

    it("says why it has no figures, and when nobody would see that some are missing", function()
      local function said(arguments)
        local status, _, err = run("report " .. arguments)
        return { status, (err:gsub("^openrouter%-cost: ", ""):gsub("\n$", "")) }
      end
      local empty = file("empty", "")
      local one = file("one", '{"id":"gen-1","model":"m","total_cost":1,"created_at":"2026-11-01T00:00:00Z"}\n')
      assert.same({ 0, "no records in " .. empty }, said(empty))
      assert.same({ 0, "no generation is of those asked for; --by model lists the values there are" },
        said(one .. " --where model=M"))
      assert.same({ 0, "" }, said(one .. " --until 2025"))
      assert.same({ 0, "" }, said(one .. " --where model=m --where model=M"))
      assert.same({ 1, "day: No such file or directory; several dimensions are given as --by model,day" },
        said("--by model day " .. one))
      local bad = file("bad", '{"pending":"gen-2"}\n{"failed":"gen-3","error":{}}\n{"failed":"gen-4","error":{}}\n{\n')
      local page = directory .. "/page.html"
      assert.same({ 3, page .. " is not complete: 1 id is open, 2 ids failed, 1 line was skipped" },
        said(("%s %s --format html -o %s"):format(one, bad, page)))
      assert.same({ 3, "" }, said(one .. " " .. bad .. " -o -"))
    end)

    it("writes its file whole or not at all", function()
      local path = file("report.txt", "what was there\n")
      local command = cost(("report %s -o %s"):format(ledger, path))
      -- a block of 512 bytes, which messages have room in
      local status, _, err = shell.run(("(trap '' XFSZ; ulimit -f 1; %s --by model,id)"):format(command))
      assert.equal(1, status)
      assert.matches("^openrouter%-cost: .*/report%.txt: File too large\n$", err)
      assert.equal("what was there\n", shell.read(path))
      assert.equal(3, (shell.run(command)))
      assert.matches("^ *native", shell.read(path))
      status, _, err = shell.run(cost(("report %s -o %s"):format(ledger, directory)))
      assert.equal(1, status)
      assert.matches(": Is a directory\n$", err)
      local _, names = shell.run("ls -A " .. directory)
      assert.equal("costs.jsonl\nreport.txt\n", names) -- nothing is left behind
      local _, beside = shell.run(("ls -d %s.*"):format(directory))
      assert.equal("", beside)
    end)

    it("does not write over records", function()
      for name, line in pairs { settled = '{"settled":"a","at":"2026-11-01T00:00:00.000Z","answer":{"data":{"id":"a"}}}',
        failed = '{"failed":"a","at":"2026-11-01T00:00:00.000Z","error":{"kind":"not_found"}}',
        bare = '{"id":"a","total_cost":1}' } do
        local path = file(name .. ".jsonl", line .. "\n")
        local _, link = assert(shell.run(("ln -s %s %s.link"):format(path, path))), path .. ".link"
        for _, command in ipairs { "report " .. path .. " -o " .. path, "report " .. ledger .. " -o " .. link,
          ("diff %s %s -o %s"):format(path, ledger, path) } do
          local status, out, err = run(command)
          assert.same({ 1, "" }, { status, out })
          assert.matches(": has records, which would be lost; nothing was written to it\n$", err)
          assert.equal(line .. "\n", shell.read(path))
        end
      end
    end)

    it("does not write over a file with a record anywhere in it", function()
      local record = '{"settled":"a","at":"2026-11-01T00:00:00.000Z","answer":{"data":{"id":"a"}}}\n'
      for name, text in pairs { torn = '{"settled":"b","at":"2026-1\n' .. record, bom = "\239\187\191" .. record,
        comments = ("# exported\n"):rep(1000) .. record, cut = '{"settled":"a","at":"2026-1', bare = "id\n\n" .. '{"id":"a"}' } do
        local path = file(name, text)
        for _, command in ipairs { "report " .. ledger, "check " .. path, "diff " .. path .. " " .. ledger } do
          local status, _, err = run(command .. " -o " .. path)
          assert.same({ name, 1 }, { name, status })
          assert.matches(": has records, which would be lost; nothing was written to it\n$", err)
          assert.equal(text, shell.read(path))
        end
      end
    end)

    it("does not write over what it read, whatever that is", function()
      local text = "\255\254{\0" -- UTF-16
      local path, link = file("it's", text), directory .. "/link"
      assert.equal(0, (shell.run(("ln -s %s %s"):format(shell.quote(path), link))))
      path = shell.quote(path)
      for _, command in ipairs { "report " .. path .. " -o " .. path, "report " .. path .. " -o " .. link,
        "check " .. link .. " -o " .. path, ("diff %s %s -o %s"):format(ledger, path, path),
        ("diff 2026-10 2026-11 %s -o %s"):format(path, link) } do
        local status, _, err = run(command)
        assert.same({ command, 1 }, { command, status })
        assert.matches(": is what was read, which would be lost; nothing was written to it\n$", err)
        assert.equal(text, shell.read(directory .. "/it's"))
      end
    end)

    it("does not write over what may have records, but cannot be read", function()
      local path = file("old.gz", "\31\139 no gzip")
      local status, _, err = run(("report %s -o %s"):format(ledger, path))
      assert.equal(1, status)
      assert.matches(": may have records, which would be lost; nothing was written to it\n$", err)
      assert.equal("\31\139 no gzip", shell.read(path))
    end)

    it("writes over reports of every format and command", function()
      local path = file("report", "")
      for _, format in ipairs { "text", "markdown", "csv", "json", "html" } do
        for _ = 1, 2 do assert.equal(3, (run(("report %s --format %s -o %s"):format(ledger, format, path)))) end
      end
      local bare = file("bare.jsonl", '{"id":"a","model":"m"}\n{"id":"b","model":"m","total_cost":1,"is_byok":true}\n')
      for _, format in ipairs { "text", "json" } do
        for _ = 1, 2 do
          assert.equal(8, (run(("check %s --format %s -o %s"):format(bare, format, path))))
          assert.equal(3, (run(("diff %s %s --format %s -o %s"):format(bare, ledger, format, path))))
        end
      end
    end)

    it("keeps the mode of the file that was there", function()
      local path = file("it's.txt", "old\n")
      for _, mode in ipairs { "600", "640", "604" } do
        assert.equal(0, (shell.run(("chmod %s %s"):format(mode, shell.quote(path)))))
        assert.equal(3, (shell.run("umask 022; " .. cost(("report %s -o %s"):format(ledger, shell.quote(path))))))
        assert.equal(mode .. "\n", select(2, shell.run("stat -c %a " .. shell.quote(path))))
        assert.matches("generations", shell.read(path))
      end
      local new = directory .. "/new.txt"
      assert.equal(3, (shell.run("umask 027; " .. cost(("report %s -o %s"):format(ledger, new)))))
      assert.equal("640\n", select(2, shell.run("stat -c %a " .. new)))
    end)

    it("writes where a link leads", function()
      local real, link, dangling = file("real.txt", "old\n"), directory .. "/link.txt", directory .. "/dangling.txt"
      local far = directory .. "/far.txt"
      assert.equal(0, (shell.run(("mkdir %s/deep; ln -s real.txt %s; ln -s deep/new.txt %s"):format(directory, link, dangling))))
      assert.equal(0, (shell.run(("ln -s deep/link.txt %s; ln -s ../far-away.txt %s/deep/link.txt"):format(far, directory))))
      for _, path in ipairs { link, dangling, far, directory .. "/deep/link.txt" } do
        assert.equal(3, (run(("report %s -o %s"):format(ledger, path))))
        assert.equal("symbolic link\n", select(2, shell.run("stat -c %F " .. path)))
      end
      assert.matches("generations", shell.read(real))
      assert.matches("generations", shell.read(directory .. "/deep/new.txt"))
      assert.matches("generations", shell.read(directory .. "/far-away.txt"))
      assert.equal("link.txt\nnew.txt\n", select(2, shell.run("ls -A " .. directory .. "/deep")))
    end)

    it("writes to what is no regular file as it is", function()
      local status, out = shell.run(cost(("report %s -o /dev/stdout"):format(ledger)) .. " | cat")
      assert.equal(0, status)
      assert.matches("generations", out)
    end)

    it("writes to standard output where the file is called -", function()
      local there = ("cd %s && %s$OLDPWD/bin/openrouter-cost report costs.jsonl"):format(directory,
        (os.getenv "LUA" or "lua5.4") .. " ")
      local plain = { shell.run(there) }
      assert.same({ 3, "" }, { plain[1], plain[3] })
      for _, option in ipairs { " -o -", " --output=-" } do
        assert.same(plain, { shell.run(there .. option) })
        assert.is_nil(io.open(directory .. "/-"))
      end
    end)

    it("says that standard output is full", function()
      local status, _, err = shell.run(env .. cost("report " .. ledger) .. " >/dev/full")
      assert.equal(1, status)
      assert.matches("No space left on device", err)
    end)
  end)

  describe("report of a directory", function()
    local function settled(id, seconds)
      return ('{"settled":"%s","at":"2026-11-21T00:00:%02d.000Z","answer":{"data":{"id":"%s","total_cost":1}}}\n'):format(
        id, seconds, id)
    end
    local function open(kind, id, mark)
      return ('{"%s":"%s","open":%s,"at":"2026-10-16T00:00:00.000Z"}\n'):format(kind, id, mark or "true ")
    end
    local function report()
      local status, out, err = run("report --format json " .. shell.quote(directory))
      local decoded = out ~= "" and require("cjson").decode(out)
      return status, decoded and decoded.total.generations, decoded and decoded.omitted, err
    end

    it("takes the ledger with what it was rotated to", function()
      file("ledger.jsonl", settled("gen-1", 1))
      file("ledger.jsonl.1", settled("gen-2", 2) .. settled("gen-1", 0))
      file("ledger.jsonl-20261121", settled("gen-3", 3))
      file("access.log", "no ledger\n")
      file("other.jsonl", settled("gen-4", 4))
      local status, generations, omitted = report()
      assert.same({ 0, 3, 0, 1 }, { status, generations, omitted.skipped, omitted.duplicates })
    end)

    it("counts what is open in its journals, and not what is closed there", function()
      assert.equal(0, (shell.run("mkdir " .. directory .. "/pending")))
      file("ledger.jsonl", settled("gen-1", 1) .. '{"failed":"gen-f","at":"t","error":{"kind":"not_found","message":"m"}}\n')
      file("pending/1-1.jsonl", open("pending", "gen-1") .. open("pending", "gen-2") .. open("note", "gen-2")
        .. open("pending", "gen-3", "false") .. open("note", "gen-3", "false") .. open("pending", "gen-f"))
      -- cut short: in its context, in its id, and one that was closed after it had been cut short
      file("pending/2-2.jsonl", '{"pending":"gen-4","open":true ,"context":{"a\n{"pending":"gen-5\n "pending":"gen-6"\n')
      file("pending/3-3.jsonl.tmp", open("pending", "gen-7"))
      local status, generations, omitted = report()
      assert.same({ 3, 1, 2, 1, 1 }, { status, generations, omitted.pending, omitted.failed, omitted.skipped })
    end)

    it("takes ledgers that were compressed, and of one that is damaged what is there, and says which", function()
      file("ledger.jsonl", settled("gen-1", 1))
      file("ledger.jsonl-20261001", settled("gen-2", 2) .. settled("gen-3", 3))
      assert.equal(0, (shell.run("gzip " .. directory .. "/ledger.jsonl-20261001")))
      local status, generations, omitted = report()
      assert.same({ 0, 3, 0 }, { status, generations, omitted.skipped })
      local reason = "it cannot be unpacked, or not to the end: it is damaged or cut short"
      file("ledger.jsonl-20261002.gz", "\31\139")
      status, generations, omitted = report()
      assert.same({ 3, 3, 1 }, { status, generations, omitted.skipped })
      assert.same({ { file = directory .. "/ledger.jsonl-20261002.gz", line = 1, reason = reason } }, omitted.lines)
      -- as logrotate leaves it while it works
      local lines = {}
      for i = 1, 2000 do lines[i] = settled("gen-1002-" .. i, i) end
      file("ledger.jsonl-20261002", table.concat(lines))
      assert.equal(0, (shell.run(("cd %s && gzip -c ledger.jsonl-20261002 >whole && "
        .. "head -c $(($(wc -c <whole) / 2)) whole >ledger.jsonl-20261002.gz && rm ledger.jsonl-20261002 whole"):format(
          directory))))
      status, generations, omitted = report()
      local read = generations - 3
      assert.same({ 3, true, true }, { status, read > 100, read < 2000 })
      local last = omitted.lines[#omitted.lines]
      assert.same({ reason, true }, { last.reason, last.line >= read and last.line <= read + 1 })
    end)

    it("is what was in it when all of it was renamed meanwhile", function()
      local core = require "openrouter.core"
      local list, lists = core.list_directory, 0
      file("ledger.jsonl", settled("gen-1", 1))
      core.list_directory = function(path)
        local names, why, what = list(path)
        lists = lists + 1
        if path == directory and lists == 2 then -- rotated after the names were read
          os.rename(directory .. "/ledger.jsonl", directory .. "/ledger.jsonl.1")
          file("ledger.jsonl", settled("gen-2", 2))
        end
        return names, why, what
      end
      local r = require("openrouter.report").new()
      local ok, records = pcall(r.add_directory, r, directory)
      core.list_directory = list
      assert.same({ true, 2 }, { ok, records })
      assert.equal(2, r:total().generations)
    end)

    it("says what is missing, or may not be read", function()
      local status, _, _, err = report()
      assert.equal(1, status)
      assert.matches(": there is neither ledger%.jsonl nor pending/ in it, as openrouter%.nginx makes them; "
        .. "other ledgers are to be named one by one\n$", err)
      assert.equal(0, (shell.run("mkdir " .. directory .. "/pending")))
      status = report()
      assert.equal(0, status)
      assert.equal(0, (shell.run("mkdir " .. directory .. "/ledger.jsonl")))
      status, _, _, err = report()
      assert.equal(1, status)
      assert.matches("/ledger%.jsonl: Is a directory", err)
    end)

    it("is what settle makes of it", function()
      assert.equal(0, (shell.run("mkdir " .. directory .. "/pending")))
      file("pending/1-1.jsonl", open("pending", "gen-1792120000-a") .. open("pending", "gen-1792120000-status-404-a"))
      assert.same({ 3, 0, 2 }, { (report()), (select(2, report())), (select(3, report())).pending })
      assert.equal(0, (run("settle " .. directory .. " --keys " .. directory .. "/keys")))
      local status, generations, omitted = report()
      assert.same({ 3, 1, 0, 1 }, { status, generations, omitted.pending, omitted.failed })
    end)
  end)
end)

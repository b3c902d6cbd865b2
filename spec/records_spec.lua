local openrouter = require "openrouter"
local shell = require "spec.support.shell"

describe("records", function()
  local directory
  before_each(function() directory = shell.directory() end)
  after_each(shell.clean)

  local function file(name, text) return shell.write(directory .. "/" .. name, text) end
  local function settled(id) return ('{"settled":"%s","at":"2026-11-01T00:00:00.000Z","answer":{"data":{"id":"%s"}}}\n')
    :format(id, id) end

  -- "id file:line" of each
  local function walk(paths)
    local all, places = assert(openrouter.records(paths)), {}
    for gen, path, line in all do places[#places + 1] = ("%s %s:%d"):format(gen.id or "?", path:match "[^/]*$", line) end
    return places, all
  end

  it("come in the order of files and lines, with where they are", function()
    local a = file("a", settled "gen-1" .. '{"data":{"id":"gen-2","total_cost":0.5}}\n\n{"id":"gen-3"}')
    local b = file("b", settled "gen-1")
    local places, all = walk { a, b }
    assert.same({ "gen-1 a:1", "gen-2 a:2", "gen-3 a:4", "gen-1 b:1" }, places)
    assert.same({ 0, {} }, { all.skipped, all.lines })
    assert.is_nil(all.err)
    assert.same({ "gen-1 b:1" }, (walk(b))) -- a path alone, too
    assert.same({}, (walk {}))
  end)

  it("are passed over in the same lines, and for the same reasons, as by a report", function()
    local path = file("a", table.concat({ settled("gen-1"):sub(1, -2),
      '{"at":"t","failed":"gen-2","error":{"code":404,"message":"m"}}', '{"error":{"code":404,"message":"m"}}', "{}",
      '{"pending":5}', '{"open":false ,"pending":"gen-3"}', " \t\r", "[]", '{"a":}',
      '{"answer":{},"settled":"gen-4"}', '{"settled":"gen-5"}', "x" }, "\n"))
    local r = require("openrouter.report").new {}
    local count = assert(r:add_file(path))
    local places, all = walk(path)
    assert.same({ count, r:omitted().skipped, r:omitted().lines }, { #places, all.skipped, all.lines })
    assert.same({ 2, 7 }, { count, all.skipped })
  end)

  it("have the text they are of", function()
    local line = settled("gen-1"):sub(1, -2)
    for _, _, _, text in openrouter.records(file("a", line .. "\n")) do assert.equal(line, text) end
  end)

  it("are one record, filled again", function()
    local seen, count = {}, 0
    for gen in openrouter.records(file("a", settled "gen-1" .. settled "gen-2" .. settled "gen-3")) do
      count = count + (seen[gen] and 0 or 1)
      seen[gen] = true
    end
    assert.equal(1, count)
  end)

  it("are there behind a byte order mark, as files from Windows have it, and those of two put together twice", function()
    local bom = "\239\187\191"
    local path = file("a", bom .. settled "gen-1" .. settled "gen-2" .. bom .. settled "gen-3")
    local places, all = walk(path)
    assert.same({ { "gen-1 a:1", "gen-2 a:2", "gen-3 a:3" }, 0 }, { places, all.skipped })
    for _, _, _, text in openrouter.records(path) do assert.equal("{", text:sub(1, 1)) end
    local _, lines = walk(file("b", "\255\254{\0}\0\n\0"))
    assert.matches("it is UTF%-16, and must be UTF%-8", lines.lines[1].reason)
  end)

  it("are passed over in what is open, failed or empty", function()
    local places, all = walk(file("a", '{"pending":"gen-1","open":true }\n{"note":"gen-1"}\n  \n'
      .. '{"failed":"gen-2","at":"t","error":{"kind":"not_found","message":"m"}}\n{"failed":"gen-3"}\n' .. settled "gen-4"))
    assert.same({ { "gen-4 a:6" }, 0 }, { places, all.skipped })
  end)

  it("are missing from lines that are counted and named", function()
    local path = file("a", '{"id":"gen-1",}\n{"error":{"code":404,"message":"m"}}\n{"other":1}\n' .. settled "gen-2"
      .. '{"id":"gen-')
    local places, all = walk(path)
    assert.same({ "gen-2 a:4" }, places)
    assert.equal(4, all.skipped)
    assert.matches("^not a JSON object: .* at byte 15$", all.lines[1].reason)
    assert.same({ file = path, line = 2, reason = "an API error, no record" }, all.lines[2])
    assert.same({ file = path, line = 3, reason = "a JSON object, but no generation record" }, all.lines[3])
    assert.same({ file = path, line = 5, reason = "torn: the file ends within this line" }, all.lines[4])
    local _, many = walk(file("b", ("x\n"):rep(12)))
    assert.same({ 12, 10 }, { many.skipped, #many.lines })
  end)

  -- which lines are records, and what is wrong with others, is the same to both
  it("are those that a report counts", function()
    local lines = { '{"id":null}', "{}", '{"data":{}}', '{"settled":"a","answer":{}}', '{"settled":"a"}', "[1]", "3", "", " ",
      '{"model":7}', '{"x":{"id":"a"}}', '{"error":"gateway"}', '{"pending":"a"}', '{"failed":"a"}', '{"data":{"error":1}}',
      '{"answer":{"data":{"id":"a"}}}', '{"settled":"a","answer":null}', '{"settled":"a","answer":{"x":1}}',
      '{"settled":"a","answer":{"error":1}}', '{"total_cost":0.5,"total_cost":1}' }
    for _, line in ipairs(lines) do
      local r = require("openrouter.report").new()
      local path = file("a", line .. "\n")
      local counted = r:add_file(path)
      local places, all = {}, openrouter.records(path)
      for _, _, number in all do places[#places + 1] = number end
      local omitted = r:omitted()
      assert.same({ line, counted, omitted.skipped, omitted.lines }, { line, #places, all.skipped, all.lines })
    end
  end)

  it("of a directory are those of its ledger, wherever it was rotated to", function()
    file("ledger.jsonl", settled "gen-1")
    file("ledger.jsonl.1", settled "gen-2")
    file("ledger.jsonl-20261001", settled "gen-5")
    assert.equal(0, (shell.run("gzip " .. directory .. "/ledger.jsonl-20261001")))
    file("access.log", "no ledger\n")
    assert.equal(0, (shell.run("mkdir " .. directory .. "/pending")))
    file("pending/1-1.jsonl", '{"pending":"gen-3","open":true }\n')
    local places, all = walk(directory)
    assert.same({ "gen-1 ledger.jsonl:1", "gen-5 ledger.jsonl-20261001.gz:1", "gen-2 ledger.jsonl.1:1" }, places)
    assert.equal(0, all.skipped)
  end)

  it("of a compressed file are those that are in it, and it is said when it is cut short", function()
    for _, program in ipairs { "gzip", "xz", "zstd", "bzip2" } do
      if shell.run("command -v " .. program) == 0 then
        local path = file("a", settled "gen-1" .. settled "gen-2")
        local pack = ("%s -c %s >%s.packed && head -c 50 %s.packed >%s.cut"):format(program, path, path, path, path)
        assert.equal(0, (shell.run(pack)))
        local places, all = walk(path .. ".packed")
        assert.same({ "gen-1 a.packed:1", "gen-2 a.packed:2" }, places)
        assert.is_nil(all.err)
        local last = file("b", settled "gen-3")
        places, all = walk { path .. ".cut", last }
        assert.same({ "gen-3 b:1" }, places)
        assert.is_nil(all.err)
        local reason = "it cannot be unpacked, or not to the end: it is damaged or cut short"
        assert.same({ file = path .. ".cut", line = 1, reason = reason }, all.lines[all.skipped])
        -- as a report has it: some programs give a part of the line that is cut, which is a torn one then
        local r = require("openrouter.report").new {}
        r:add_file(path .. ".cut")
        assert.same({ r:omitted().skipped, r:omitted().lines }, { all.skipped, all.lines })
      end
    end
  end)

  it("are not looked for in a directory that openrouter.nginx has not made", function()
    assert.equal(0, (shell.run("mkdir " .. directory .. "/other")))
    file("other/costs.jsonl", settled "gen-1")
    local places, all = walk(directory .. "/other")
    assert.same({}, places)
    assert.equal("io", all.err.kind)
    assert.matches("/other: there is neither ledger.jsonl nor pending/ in it", all.err.message)
    assert.equal(0, (shell.run("mkdir " .. directory .. "/other/pending"))) -- where nothing was settled yet
    assert.is_nil(select(2, walk(directory .. "/other")).err)
  end)

  it("of a directory are all there when the ledger is rotated meanwhile", function()
    file("ledger.jsonl", settled "gen-1")
    file("ledger.jsonl.1", settled "gen-2")
    local places = {}
    for gen in openrouter.records(directory) do
      places[#places + 1] = gen.id
      if gen.id == "gen-1" then
        os.rename(directory .. "/ledger.jsonl.1", directory .. "/ledger.jsonl.2")
        file("ledger.jsonl", settled "gen-4")
      end
    end
    assert.same({ "gen-1", "gen-2" }, places)
  end)

  it("of a directory are not waited for where somebody put a pipe, nor are a report's", function()
    local program = file("program.lua", [[
      local openrouter, report = require "openrouter", require "openrouter.report"
      local all = openrouter.records(arg[1])
      print(all(), all.err and all.err.message:match "[^/]*$")
      print(select(2, report.new():add_directory(arg[1])).message:match "[^/]*$")]])
    for _, name in ipairs { "ledger.jsonl", "ledger.jsonl.1", "pending/1-1.jsonl" } do
      local place, said = shell.directory(), name:match "[^/]*$" .. ": no regular file"
      assert.equal(0, (shell.run(("mkdir %s/pending && mkfifo %s/%s"):format(place, place, name))))
      local status, out = shell.run(("timeout 60 %s %s %s"):format(os.getenv "LUA", program, place))
      local of_records = name:find "pending" and "nil" or said -- nor are records looked for in there
      assert.same({ 0, ("nil\t%s\n%s\n"):format(of_records, said) }, { status, out })
    end
  end)

  it("come from standard input", function()
    local program = file("program.lua",
      'for gen, file, line in require("openrouter").records "-" do print(gen.id, file, line) end')
    local _, out = shell.run(("printf '%%s' %s | %s %s"):format(shell.quote(settled "gen-1"), os.getenv "LUA", program))
    assert.equal("gen-1\t-\t1\n", out)
  end)

  it("say what cannot be read", function()
    local all, err = openrouter.records { file("a", ""), directory .. "/none" }
    assert.is_nil(all)
    assert.same({ "io", directory .. "/none: No such file or directory" }, { err.kind, err.message })
    all = openrouter.records { "/proc/self/mem", file("a", settled "gen-1") }
    for _ in all do error "nothing can be read" end
    assert.equal("/proc/self/mem: Input/output error", all.err.message)
    assert.equal(0, (shell.run("mkdir " .. directory .. "/ledger.jsonl")))
    all = openrouter.records(directory)
    for _ in all do error "nothing can be read" end
    assert.matches("ledger.jsonl: Is a directory", all.err.message)
  end)

  it("says what is no list of paths, and in which line of the caller's", function()
    for message, paths in pairs {
      ["records: paths must be a list, not a number"] = 5,
      ["records: path must be a string, not a boolean"] = { true },
      ["records: paths must be a list without gaps, and has '2'"] = { nil, "x" },
      ["records: paths must be a list without gaps, and has 'file'"] = { file = "x" },
      ["records: a path must not have a NUL byte in it: /dev/null\\x00x"] = "/dev/null\0x",
    } do
      local ok, raised = pcall(function()
        local all = openrouter.records(paths)
        return all
      end)
      assert.is_false(ok)
      assert.equal(message, (raised:match "records_spec.lua:%d+: (.*)$"), raised)
    end
  end)
end)

-- Texts made to hurt (spec/support/hostile_shapes.lua): read in every way there is, or refused at the exact byte; in time and
-- memory that grow with the text and no faster.
local core = require "openrouter.core"
local generation = require "openrouter.generation"
local ledger = require "openrouter.ledger"
local openrouter = require "openrouter"
local operations = require "spec.support.hostile_operations"
local report = require "openrouter.report"
local shapes = require "spec.support.hostile_shapes"
local shell = require "spec.support.shell"

local LUA = os.getenv "LUA" or "lua5.4"
local jit = rawget(_G, "jit")
local TEN_MB, MILLION = 10 * 1000 * 1000, 1000 * 1000

-- The text is refused by everything that reads one, with this byte and these words. `path`: also from a file.
local function assert_refused(text, at, words, path)
  local gen, err = openrouter.decode(text)
  if at == #text + 1 then words = "the text ends too early" end
  local message = ("not a JSON object: %s, at byte %d"):format(words, at)
  assert.same({ nil, "bad_answer", at, message }, { gen, err and err.kind, err and err.byte, err and err.message })
  if not path then return end
  local what, why, malformed = core.tally({ dimensions = {}, sums = {}, spreads = {} }):add_line(text)
  assert.same({ nil, message, true }, { what, why, malformed })
  if text:find "\n" then return end -- two lines
  shell.write(path, text .. "\n")
  local number, id, none, cause = assert(ledger.read(path))()
  assert.same({ 1, nil, nil, at, message }, { number, id, none, cause.byte, cause.message })
  local r = report.new()
  assert.equal(0, r:add_file(path))
  assert.same({ { file = path, line = 1, reason = message } }, r:omitted().lines)
end

describe("a hostile text", function()
  local directory, path
  setup(function()
    directory = shell.directory()
    path = directory .. "/text"
  end)
  teardown(shell.clean)

  -- ---- small ones, everywhere and in every way ------------------------------------------------------------------------

  for _, entry in ipairs(shapes.entries) do
    it("is read in every way as " .. entry.name, function()
      for _, shape in ipairs(shapes.good) do
        for _, n in ipairs { 1, 1500 } do
          local text = shapes.text(shape, entry, n)
          local gen, err = openrouter.decode(text)
          if entry.reads == "error" and (gen or err.byte) or not entry.reads and not gen then error(shape.name, 0) end
          shell.write(path, text)
          for _, operation in ipairs(gen and operations.list or operations.of_texts) do
            local fine, why = pcall(operation.run, gen, text, path)
            if not fine then error(("%s, %s: %s"):format(shape.name, operation.name, why), 0) end
          end
        end
      end
    end)

    it("is refused at the exact byte as " .. entry.name, function()
      for _, shape in ipairs(shapes.bad) do
        local text, at, words = shapes.text(shape, entry, 1500)
        assert_refused(text, at, words, path)
        text, at, words = shapes.text(shape, entry, 1)
        assert_refused(text, at, words)
        if at > 1 then assert_refused(text:sub(1, at - 1), at, words) end -- nothing but what comes before
      end
    end)
  end

  -- Alone in a string, in a name and behind both, so that it falls on every byte of a word, at its edges and beyond.
  it("is refused at the exact byte wherever in a string it stops being JSON", function()
    for _, case in ipairs(shapes.in_strings) do
      for offset = 0, 40 do
        local before, after = ("a"):rep(offset), ("z"):rep(offset % 7)
        for _, start in ipairs { '{"x":"', '{"', '{"data":{"id":"', '{"data":{"x":"","', '{"data":{"x":["' } do
          local first = start .. before
          assert_refused(first .. case[3] .. after .. '"', #first + 1, case[2])
        end
      end
    end
  end)

  it("is refused where a string does not end", function()
    for offset = 0, 40 do
      for _, character in ipairs { "", "\195\169", "\\n", "\\u0041" } do
        local text = '{"x":"' .. ("a"):rep(offset) .. character
        assert_refused(text, #text + 1, "")
      end
    end
  end)

  -- ---- large ones -----------------------------------------------------------------------------------------------------

  local ANSWER = shapes.entries[2]

  it("of zeros that an exponent makes up for is the number it spells", function()
    local gen = openrouter.decode('{"total_cost":0.' .. ("0"):rep(12e6) .. "1e12000001}")
    assert.same({ 1, 1 }, { gen.total_cost, (generation.spend(gen)) })
  end)

  it("of 10 MB, or a number of 1 MB, is read", function()
    for _, shape in ipairs(shapes.good) do
      local gen, err = openrouter.decode((shapes.text(shape, ANSWER, shape.number and MILLION or TEN_MB)))
      if not gen then error(shape.name .. ": " .. tostring(err), 0) end
      collectgarbage()
    end
  end)

  it("of 1 MB is refused at the exact byte", function()
    for _, shape in ipairs(shapes.bad) do
      assert_refused(shapes.text(shape, ANSWER, MILLION))
      collectgarbage()
    end
  end)

  it("of 100,000 brackets is refused at the first that is too much", function()
    for opening, step in pairs { ["["] = 1, ['{"a":'] = 1, ['[{"a":'] = 2 } do
      for _, entry in ipairs(shapes.entries) do
        local text = entry.before .. '"x":' .. opening:rep(100000 / step)
        local left = 128 - entry.depth
        local at = #entry.before + 4 + math.floor(left / step) * #opening + left % step + 1
        assert_refused(text, at, "nested too deeply", path)
        local closing = opening:gsub("[^%[{]", ""):gsub(".", { ["["] = "]", ["{"] = "}" }):reverse()
        assert_refused(text .. closing:rep(100000 / step) .. entry.after, at, "nested too deeply", path)
      end
    end
    assert_refused(("["):rep(100000), 129, "nested too deeply", path)
    assert_refused(("]"):rep(100000), 1, "a value must stand here", path)
    assert_refused("{}" .. ("}"):rep(100000), 3, "text follows the end of the object", path)
  end)

  it("with 10 MB of white space between any two tokens is read, or refused behind it", function()
    local tokens = { "{", '"data"', ":", "{", '"x"', ":", "[", "1", ",", "true", "]", ",", '"id"', ":", '"a"', "}", "}" }
    for _, kind in ipairs { { " ", TEN_MB }, { "\t", 100000 }, { "\r\n", 100000 } } do
      local space = kind[1]:rep(kind[2])
      for i = 0, #tokens do
        local before, after = table.concat(tokens, "", 1, i), table.concat(tokens, "", i + 1)
        local gen = assert(openrouter.decode(before .. space .. after))
        assert.equal("a", gen.id)
        assert.equal("[1,true]", generation.json(gen):match "%[.*%]")
        local _, err = openrouter.decode(before .. space .. "\v" .. after)
        assert.equal(#before + #space + 1, err.byte)
        collectgarbage()
      end
    end
  end)

  it("with a million of the same member has the last one", function()
    for _, name in ipairs { "id", "x", [[\u0069d]], "provider_responses" } do
      local value, last, plain = '"a"', '"z"', name == "x" and "x" or "id"
      if name == "provider_responses" then value, last, plain = "[]", '[{"status":7}]', name end
      local member = ('"%s":%s,'):format(name, value)
      local gen = assert(openrouter.decode('{"data":{' .. member:rep(MILLION) .. ('"%s":%s}}'):format(name, last)))
      if plain == name then assert.equal(last, generation.exact(gen, plain)) end
      assert.equal("value", generation.state(gen, plain))
      local read, count = gen[plain], 0
      if type(read) == "table" then read = read[1].status == 7 and "z" end
      assert.equal("z", read)
      for found in generation.pairs(gen) do
        assert.equal(plain, found)
        count = count + 1
      end
      assert.equal(1, count)
      collectgarbage()
    end
  end)

  it("with a million providers has all of them", function()
    for _, item in ipairs { "{}", '{"status":500}', "1" } do
      local list = "[" .. (item .. ","):rep(MILLION - 1) .. item .. "]"
      local gen = assert(openrouter.decode(('{"data":{"id":"a","provider_responses":%s}}'):format(list)))
      assert.equal(item == "1" and 0 or MILLION, #gen.provider_responses)
      assert.equal(item == "1" and "mismatch" or "value", generation.state(gen, "provider_responses", MILLION))
      assert.equal("absent", generation.state(gen, "provider_responses", MILLION + 1))
      local tally = core.tally { dimensions = {}, sums = { "failed_attempts" }, spreads = {} }
      assert.is_true(tally:add(gen))
      assert.same({ 1, item:find "500" and MILLION or 0 }, { tally:sum(0, 1) })
      collectgarbage()
    end
  end)

  it("with a million members has all of them", function()
    local names = {}
    for i = 1, MILLION do names[i] = ('"k%07d":%d'):format(i, i) end
    local gen = assert(openrouter.decode('{"data":{' .. table.concat(names, ",") .. "}}"))
    local count = 0
    for name, value in generation.pairs(gen) do
      count = count + 1
      if value ~= count or name ~= ("k%07d"):format(count) then error(name) end
    end
    assert.equal(MILLION, count)
    assert.equal(MILLION, gen.k1000000)
    assert.equal(500000, generation.totable(gen).k0500000)
  end)

  it("of 64 MiB is read, and of one byte more is too large", function()
    local LIMIT = 64 * 1024 * 1024
    local start, finish = '{"data":{"id":"a","x":"', '"}}'
    local text = start .. ("s"):rep(LIMIT - #start - #finish) .. finish
    local gen = assert(openrouter.decode(text))
    assert.equal("a", gen.id)
    assert.equal(LIMIT - #start - #finish, #gen.x)
    gen = nil -- luacheck: ignore
    collectgarbage()
    local tally = core.tally { dimensions = {}, sums = {}, spreads = {} }
    assert.equal("generation", tally:add_line(text))
    shell.write(path, text .. "\n" .. text .. " \n" .. '{"id":"b"}\n')
    local _, err = openrouter.decode(text .. " ")
    assert.same({ "too_large", nil }, { err.kind, err.byte })
    assert.same({ nil, "longer than 64 MiB", false }, { tally:add_line(text .. " ") })
    text = nil -- luacheck: ignore
    collectgarbage()
    local lines = {}
    for number, id, record, why in assert(ledger.read(path)) do lines[number] = record and id or why.kind end
    assert.same({ "a", "too_large", "b" }, lines)
    local r = report.new()
    assert.equal(2, r:add_file(path))
    assert.same({ { file = path, line = 2, reason = "longer than 64 MiB" } }, r:omitted().lines)
    os.remove(path)
  end)

  it("of several times 64 MiB is passed over as one line", function()
    local LINES = [[ { echo '{"id":"a"}'; head -c 210000000 /dev/zero; echo; echo '{"id":"b"}'; head -c 210000000 /dev/zero; } ]]
    assert.equal(0, (shell.run(LINES .. ">" .. shell.quote(path))))
    local seen = {}
    for number, id, record, why in assert(ledger.read(path)) do seen[number] = record and id or why.kind end
    assert.same({ "a", "too_large", "b", "too_large" }, seen)
    for _, threads in ipairs { 1, 3 } do
      local r = report.new()
      assert.equal(2, r:add_file(path, { threads = threads }))
      local omitted = r:omitted()
      local reason = "longer than 64 MiB"
      assert.same({ { file = path, line = 2, reason = reason }, { file = path, line = 4, reason = reason } }, omitted.lines)
    end
    os.remove(path)
    local program = shell.write(directory .. "/pipe.lua", [[
      local r = require("openrouter.report").new()
      print(r:add_file "-", r:omitted().skipped, r:omitted().lines[2].line)]])
    local _, out = shell.run(("%s | %s %s"):format(LINES, LUA, program))
    assert.equal("2\t2\t4\n", out)
  end)

  -- ---- what it costs --------------------------------------------------------------------------------------------------

  -- The command line that runs the measuring under `before`, once meter.c is compiled.
  local function measuring(before, what, n)
    local includes = jit and (os.getenv "LUAJIT_INCDIR" or "/usr/include/luajit-2.1")
      or os.getenv "LUA_INCDIR" or "/usr/include/lua5.4"
    local status, _, errors = shell.run(("cc -std=c99 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -shared -fPIC -Wl,-z,nodelete "
      .. "-I%s -o %s/meter.so spec/support/meter.c"):format(includes, directory))
    assert.equal(0, status, errors)
    -- glibc collects freed memory in lists and merges it at some later malloc: not with this
    local settings = ("GLIBC_TUNABLES=glibc.malloc.mxfast=0 LUA_CPATH='%s/?.so;%s'"):format(directory, os.getenv "LUA_CPATH")
    return ("%s %s %s %s spec/support/hostile_measure.lua %s %d %s"):format(settings, before, LUA, jit and "-joff" or "", what, n,
      directory)
  end

  -- label -> instructions, from what callgrind has written
  local function read_counts(file)
    local counts, label = {}, nil
    for line in io.lines(file) do
      label = line:match "^desc: Trigger: Client Request: (.*)$" or label
      local total = line:match "^totals: (%d+)"
      if total and label then counts[label], label = tonumber(total), nil end
    end
    return counts
  end

  it("of twice the length takes twice the instructions", function()
    if shell.run "valgrind --version" ~= 0 then pending "needs package valgrind" end
    local n = 10000
    local valgrind = ("valgrind -q --tool=callgrind --combine-dumps=yes --callgrind-out-file=%s/counts"):format(directory)
    local status, _, errors = shell.run(measuring(valgrind, "instructions", n))
    assert.same({ 0, "" }, { status, errors })
    local counts, compared, steep = read_counts(directory .. "/counts"), 0, {}
    for label, twice in pairs(counts) do
      local shape, entry, operation = label:match(("^([^/]+)/(.*)/(.*)/%d$"):format(2 * n))
      if shape then
        local base = counts[("/%s/%s/0"):format(entry, operation)]
        local once = counts[("%s/%s/%s/%d"):format(shape, entry, operation, n)] - base
        twice, compared = twice - base, compared + 1
        -- below 5 instructions a byte nothing grows with the square of the length
        if twice > 2.2 * once and twice > 5 * 2 * n then
          steep[#steep + 1] = ("%s: %d, then %d"):format(label, once, twice)
        end
      end
    end
    assert.same({}, steep)
    assert.is_true(compared > 300)
  end)

  -- How often the length of the text Lua holds at once for it, and what else is kept, at most. The worst of values is a table for
  -- two bytes; of violations there may be one for two bytes, and each has three strings.
  local VALUES, VIOLATIONS = { 50, 0 }, { 230, 0 }
  local MULTIPLES = {
    decode = { 1.1, 0 }, ["the error"] = VALUES, ["known members"] = { 1.6, 0 }, ["unknown members"] = VALUES, select = VALUES,
    provider_responses = VALUES, context = VALUES, pairs = VALUES, totable = VALUES, violations = VIOLATIONS,
    exact = { 1.1, 0 }, state = { 0, 0 }, spend = { 0, 0 }, json = { 2.1, 0 }, answer = { 2.1, 0 }, tostring = { 4, 0 },
    ["tally:add"] = { 1.1, 10 }, ["tally:add_line"] = { 1.1, 11 }, report = { 1.1, 8 }, render = { 14, 8 },
    ["ledger.read"] = VALUES, ["report:add_file"] = { 1.1, 6 },
  }

  it("takes memory in proportion to its length", function()
    local status, out, errors = shell.run(measuring("", "memory", 60000))
    assert.same({ 0, "" }, { status, errors })
    local measured, over = 0, {}
    for label, operation, length, peak, kept in out:gmatch "([^\n]*/([^\n/]+))\t(%d+)\t(%S+)\t(%S+)\n" do
      -- an API's error is decoded to a table at once
      local multiple = operation == "decode" and label:find "error" and VALUES or MULTIPLES[operation]
      local text = ("%s: %d bytes, and %d beside Lua, for a text of %d"):format(label, peak, kept, length)
      if tonumber(peak) > multiple[1] * length + 16384 then over[#over + 1] = text end
      -- only LuaJIT's own memory is not malloc's
      if jit and tonumber(kept) > multiple[2] * length + 16384 then over[#over + 1] = text end
      measured = measured + 1
    end
    assert.same({}, over)
    assert.is_true(measured > 5000)
  end)
end)

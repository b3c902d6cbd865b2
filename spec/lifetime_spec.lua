-- What outlives what: records, what was got from them, the clients that fetched them, states that are closed.
local generation = require "openrouter.generation"
local openrouter = require "openrouter"
local fixtures = require "spec.support.fixtures"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

local TEXT = fixtures.read "newest_45fields.json"
local LUA = os.getenv "LUA" or "lua5.4"

local function decode(text) return assert(openrouter.decode(text or TEXT)) end

-- Everything that is garbage is gone afterwards: what has a finalizer goes the second time, what only that held the third.
local function collect()
  for _ = 1, 4 do collectgarbage() end
end

-- New garbage in the places of the old: a value that is read where another was is another.
local function litter()
  local heap = {}
  for i = 1, 2000 do heap[i] = { tostring(i), ("x"):rep(i % 300) } end
  assert(#heap == 2000)
  collect()
end

local function is_whole(gen)
  assert.equal("anthropic/claude-sonnet-4.5-20250929", gen.model)
  assert.equal(3.45e-5, gen.total_cost)
  assert.equal(2, #gen.provider_responses)
  assert.equal("Anthropic", gen.provider_responses[2].provider_name)
  assert.same({}, generation.violations(gen))
  assert.equal("0.0000345", generation.exact(gen, "usage"))
  assert.equal(TEXT:gsub('"[^"]*"', ""):gsub("%s", ""), (generation.answer(gen):gsub('"[^"]*"', "")))
end

describe("a record", function()
  it("is whole after its text, and all that was got from it, is gone", function()
    local gen = decode(TEXT .. (" "):rep(100))
    for _ = 1, 3 do
      is_whole(gen)
      litter()
    end
  end)

  describe("that was fetched", function()
    local sandbox
    lazy_setup(function() sandbox = servers.sandbox() end)
    lazy_teardown(function() sandbox:stop() end)

    -- Fetch by fetch(client), and give up the client, closed first or not. What was fetched, and whether the client is gone.
    local function fetched(fetch, close)
      local gone = setmetatable({}, { __mode = "v" })
      local function run()
        local client = assert(openrouter.client { base_url = sandbox.url, api_key = "sk-or-sandbox" })
        gone[1], gone[2], gone[3] = client, client.transport, client.engine
        local result = fetch(client)
        if close then client:close() end
        return result
      end
      local result = coroutine.wrap(run)() -- so that nothing is left of it on the stack
      if rawget(_G, "jit") then require("jit").flush() end -- nor in a trace, which keeps what it was compiled with
      litter()
      return result, gone
    end

    for _, close in ipairs { true, false } do
      local how = close and "that was closed" or "that is only gone"

      it("outlives the client " .. how, function()
        local gen, gone = fetched(function(client) return (client:get "gen-1") end, close)
        assert.is_nil(next(gone))
        assert.equal("gen-1", gen.id)
        assert.is_table(gen.provider_responses)
        assert.is_string(generation.json(gen))
      end)

      it("outlives the loop and the client " .. how, function()
        local gens, gone = fetched(function(client)
          local list = {}
          for id, gen in client:each { "gen-1", "gen-2", "gen-3" } do list[id] = gen end
          return list
        end, close)
        assert.is_nil(next(gone))
        for id, gen in pairs(gens) do assert.equal(id, gen.id) end
      end)

      it("is in an error that outlives the client " .. how, function()
        local err, gone = fetched(function(client) return (select(2, client:get "gen-other-1")) end, close)
        assert.is_nil(next(gone))
        assert.equal("wrong_id", err.kind)
        assert.is_string(err.record.id)
        assert.matches("wrong_id", tostring(err))
      end)
    end

    it("outlives a loop that was left, and the client with what it was still to give", function()
      local gen, gone = fetched(function(client)
        assert(client:submit "gen-9")
        local each = client:each { "gen-1", "gen-2", "gen-3", "gen-4" }
        return (select(2, each()))
      end, false)
      assert.is_nil(next(gone))
      assert.matches("^gen%-%d$", gen.id)
    end)
  end)

  it("goes when nothing refers to it, though its list does to it", function()
    local gone = setmetatable({}, { __mode = "v" })
    local function run()
      local gen = decode '{"provider_responses":[{"status":200}],"unknown":{"a":[1]}}'
      gen.provider_responses[1].record, gen.unknown.a[2], gen.unknown.list = gen, gen, gen.provider_responses
      gone.record, gone.list, gone.unknown = gen, gen.provider_responses, gen.unknown
    end
    run()
    collect()
    assert.same({}, gone)
  end)

  it("leaves nothing behind: ten thousand of them, each with its tables", function()
    local function kilobytes()
      collect()
      return collectgarbage "count"
    end
    local function make(count)
      for _ = 1, count do
        local gen = decode()
        gen.provider_responses.record = gen
      end
    end
    make(100)
    local before = kilobytes()
    make(10000)
    assert.is_true(kilobytes() - before < 100, "the heap has grown")
  end)
end)

describe("what was got from a record", function()
  -- f(record), whose results are all that is left of it. Whether the record is gone.
  local function only(f)
    local gone = setmetatable({}, { __mode = "v" })
    local function run()
      local gen = decode()
      gone[1] = gen
      return f(gen)
    end
    local result = run()
    litter()
    return result, gone[1] == nil
  end

  it("outlives it: the list", function()
    local list, gone = only(function(gen) return gen.provider_responses end)
    assert.is_true(gone)
    assert.equal(2, #list)
    assert.same({ "Amazon Bedrock", 429, "Anthropic", 200 },
      { list[1].provider_name, list[1].status, list[2].provider_name, list[2].status })
  end)

  it("outlives it: an entry of the list", function()
    local entry, gone = only(function(gen) return gen.provider_responses[2] end)
    assert.is_true(gone)
    assert.same({ "msg_01ABC", true, 1240.25 }, { entry.id, entry.is_byok, entry.latency })
  end)

  it("outlives it: plain tables and strings", function()
    local parts, gone = only(function(gen)
      return { generation.totable(gen), generation.violations(gen), generation.json(gen), gen.model, tostring(gen) }
    end)
    assert.is_true(gone)
    assert.equal("gen-1793607330-aBcDeFgHiJkLmNoPqRsT", parts[1].id)
    assert.equal(openrouter.null, parts[1].moderation_latency)
    assert.same({}, parts[2])
    assert.equal("generation gen-1793607330-aBcDeFgHiJkLmNoPqRsT", parts[5])
  end)

  it("keeps it where it needs it: iterators", function()
    local step = only(function(gen) return (generation.pairs(gen)) end)
    local seen = {}
    for name, value in step do
      seen[name] = value
      litter()
    end
    assert.equal("anthropic/claude-sonnet-4.5-20250929", seen.model)
    assert.equal("550e8400-e29b-41d4-a716-446655440000", seen.workspace_id)
    assert.equal("Anthropic", seen.provider_responses[2].provider_name)
    assert.is_nil(step())
    assert.is_nil(step())
  end)

  it("is the same table every time, across collections", function()
    local gen = decode '{"provider_responses":[{"status":200}],"unknown":{"a":1},"unknown_list":[[2]]}'
    local names = { "provider_responses", "unknown", "unknown_list" }
    local kept = {}
    for _, name in ipairs(names) do
      gen[name].mark = name -- nothing but the record refers to it
      kept[#kept + 1] = tostring(gen[name])
    end
    litter()
    for i, name in ipairs(names) do
      assert.equal(name, gen[name].mark)
      assert.equal(kept[i], tostring(gen[name]))
      assert.is_true(rawequal(gen[name], gen[name]))
    end
  end)

  -- The C file that keeps a record's tables is linked into both modules.
  it("is the same table whichever module decodes it, when openrouter.curl is loaded, too", function()
    require "openrouter.curl"
    local gen = decode '{"provider_responses":[{"status":200}],"unknown":{"a":1},"unknown_list":[[2]]}'
    local through = {}
    for name, value in generation.pairs(gen) do through[name] = value end
    for name, value in pairs(through) do assert.is_true(rawequal(gen[name], value)) end
    assert.is_true(rawequal(gen.provider_responses, generation.select("provider_responses")(gen)))
  end)

  it("is another table for another record, also of the same text", function()
    local a, b = decode(), decode()
    assert.are_not.equal(a.provider_responses, b.provider_responses)
    a.provider_responses.mark = true
    assert.is_nil(b.provider_responses.mark)
  end)
end)

describe("functions over records", function()
  it("outlive the modules they came from, and the first records they saw", function()
    local loaded = {}
    local select_two, step, gen = generation.select("model", "provider_responses"), generation.pairs(decode()), decode()
    select_two(decode())
    local exact = generation.exact
    for name in pairs(package.loaded) do
      if name:find "^openrouter" then loaded[name], package.loaded[name] = package.loaded[name], nil end
    end
    finally(function()
      for name, module in pairs(loaded) do package.loaded[name] = module end
    end)
    local again = require "openrouter.core" -- makes the metatables again, which are the ones that are there
    litter()
    local model, list = select_two(gen)
    assert.equal(gen.model, model)
    assert.equal(2, #list)
    assert.equal("created_at", (step()))
    assert.equal("0.0000345", exact(gen, "usage"))
    assert.equal("0.0000345", again.generation.exact(gen, "usage"))
    assert.equal(gen.model, select_two(again.decode(TEXT)))
    assert.equal(gen.model, (generation.select "model")(again.decode(TEXT)))
  end)
end)

describe("a weak table", function()
  for _, mode in ipairs { "k", "v", "kv" } do
    it(("of mode %s keeps the records that are in use, and no others"):format(mode), function()
      local weak, used = setmetatable({}, { __mode = mode }), {}
      local function fill()
        for i = 1, 20 do
          local gen = decode(('{"id":"gen-%d","provider_responses":[{"status":200}]}'):format(i))
          gen.provider_responses.record = gen
          if i % 4 == 0 then used[#used + 1] = gen end
          if mode == "v" then weak[i] = gen else weak[gen] = i end
        end
      end
      fill()
      litter()
      local count = 0
      for key, value in pairs(weak) do
        local gen, i = key, value
        if mode == "v" then gen, i = value, key end
        assert.equal("gen-" .. i, gen.id)
        assert.equal(0, i % 4)
        assert.equal(gen, gen.provider_responses.record)
        count = count + 1
      end
      assert.equal(5, count)
      for i, gen in ipairs(used) do assert.equal("gen-" .. 4 * i, gen.id) end
      used = nil -- luacheck: ignore 311
      collect()
      assert.is_nil(next(weak))
    end)
  end
end)

describe("a coroutine", function()
  it("may make a record that another reads when it is gone", function()
    local gone = setmetatable({}, { __mode = "v" })
    local function make()
      local maker = coroutine.create(function()
        local gen = decode()
        coroutine.yield(gen, gen.provider_responses, generation.pairs(gen))
      end)
      gone[1] = maker
      local _, gen, list, step = coroutine.resume(maker)
      return gen, list, step
    end
    local gen, list, step = make()
    litter()
    assert.is_nil(gone[1])
    local read = coroutine.wrap(function()
      is_whole(gen)
      coroutine.yield()
      return list[2].status, (step())
    end)
    read()
    litter()
    local code, first = read()
    assert.same({ 200, "created_at" }, { code, first })
  end)

  it("may be left, or end by an error, in the middle of anything", function()
    local gen = decode()
    local ends = {
      function() for name in generation.pairs(gen) do if name == "latency" then coroutine.yield() end end end,
      function() for name in generation.pairs(gen) do if name == "latency" then error "enough" end end end,
      function() gen.model = "another" end,
      function() return generation.exact(gen, "provider_responses", {}) end,
      function() return generation.exact(gen, coroutine.yield()) end,
      function() return generation.select("model", "provider_responses")(gen, error "before") end,
      function() return openrouter.decode(TEXT, coroutine.yield()) end,
      function() return generation.select("model")(1) end,
    }
    for _ = 1, 50 do
      for _, f in ipairs(ends) do
        local thread = coroutine.create(f)
        coroutine.resume(thread)
        if coroutine.status(thread) == "suspended" and collectgarbage "count" % 2 < 1 then coroutine.resume(thread) end
      end
    end
    litter()
    is_whole(gen)
  end)

  it("may use a record that the main thread made, while that collects", function()
    local gen = decode()
    local threads = {}
    for i = 1, 10 do
      threads[i] = coroutine.wrap(function()
        for name, value in generation.pairs(gen) do coroutine.yield(name, value) end
      end)
    end
    for _ = 1, 45 do
      local name, value = threads[1]()
      for i = 2, 10 do
        local other, its = threads[i]()
        assert.equal(name, other)
        assert.equal(value, its)
      end
      collectgarbage "step"
    end
  end)
end)

describe("a state that is closed", function()
  after_each(shell.clean)

  -- What a program says that runs in a process of its own: its status, stdout and stderr.
  local function run(text)
    local script = shell.write(shell.directory() .. "/script.lua", text)
    return shell.run(("%s %s"):format(LUA, script))
  end

  local MAKE = ([[
    local openrouter, generation = require "openrouter", require "openrouter.generation"
    local core, report = require "openrouter.core", require "openrouter.report"
    local file = io.open "spec/fixtures/newest_45fields.json"
    local text = file:read "*a"
    file:close()
    local function finally(f)
      if not newproxy then return setmetatable({}, { __gc = f }) end
      local proxy = newproxy(true)
      getmetatable(proxy).__gc = f
      return proxy
    end
    local client = openrouter.client { base_url = "http://127.0.0.1:1/api/v1", api_key = "sk-or-x", retry = false, deadline = 1 }
    local gen = openrouter.decode(text)
    local list, step = gen.provider_responses, generation.pairs(gen)
    local r = report.new { by = "model" }
    r:add(gen)
    client:submit "gen-1"
    local scanner, parser = core.scanner(), core.http1(100)
    scanner:feed "data: {"
    parser:feed "HTTP/1.1 200"
    kept = { client, gen, list, step, r, scanner, parser, client:each { "gen-2" } } -- global
  ]])

  for _, leave in ipairs { "", "os.exit(true, true)", "os.exit(0, true)", "os.exit(true)" } do
    it("takes records, clients and reports with it: " .. (leave == "" and "at the end" or leave), function()
      assert.same({ 0, "made\n", "" }, { run(MAKE .. 'io.write "made\\n" io.stdout:flush() ' .. leave) })
    end)
  end

  it("by os.exit within a coroutine, an iterator and a finalizer", function()
    assert.same({ 0, "", "" }, { run(MAKE .. [[
      coroutine.wrap(function() for _ in generation.pairs(gen) do os.exit(true, true) end end)()]]) })
    assert.same({ 0, "", "" }, { run(MAKE .. "finally(function() os.exit(true) end) collectgarbage() collectgarbage()") })
  end)

  it("by an error", function()
    local status, out, err = run(MAKE .. "error(setmetatable({}, { __tostring = function() return 'E ' .. gen.model end }))")
    assert.same({ 1, "" }, { status, out })
    assert.matches("anthropic/claude", err)
  end)

  it("lets finalizers use its records until the end", function()
    local status, out, err = run(MAKE .. [[
      local function tell(when)
        return finally(function()
          io.write(when, " ", gen.model, " ", list[2].status, " ", gen.provider_responses == list and "same" or "another", " ",
            generation.exact(gen, "usage"), " ", tostring((step())), "\n")
        end)
      end
      local early = tell "early"
      gen = openrouter.decode(text) -- made between the two
      list = gen.provider_responses
      step = generation.pairs(gen)
      kept[#kept + 1] = { early, tell "late" }
    ]])
    assert.same({ 0, "" }, { status, err })
    local model = "anthropic/claude%-sonnet%-4%.5%-20250929"
    assert.matches("early " .. model .. " 200 same 0.0000345 %a+", out)
    assert.matches("late " .. model .. " 200 same 0.0000345 %a+", out)
  end)

  local COMPILE = "cc -std=c99 -Wall -Wextra -Werror -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    .. " -I csrc -I %s $CURL_CFLAGS -Dmalloc=ours_malloc -Dcalloc=ours_calloc -Drealloc=ours_realloc -Dfree=ours_free"
    .. " -o %s spec/support/closing.c csrc/*.c -l%s ${CURL_LIBS:--lcurl} -lm"

  if rawget(_G, "jit") then return end -- the programs bring a Lua of their own, each its own kind

  local LUAS = {
    { "PUC Lua 5.4", "${LUA_INCDIR:-/usr/include/lua5.4}", "lua5.4" },
    { "PUC Lua 5.1", "/usr/include/lua5.1", "lua5.1" },
    { "LuaJIT", "${LUAJIT_INCDIR:-/usr/include/luajit-2.1}", "luajit-5.1" },
  }
  for _, lua in ipairs(LUAS) do
    it("leaves nothing, in whatever order all was made: " .. lua[1], function()
      local directory = shell.directory()
      local status, _, errors = shell.run(COMPILE:format(lua[2], directory .. "/closing", lua[3]))
      assert.equal(0, status, errors)
      local result, out, complaints = shell.run(("%s/closing spec/support/closing.lua %s"):format(directory, directory))
      io.write("\n", lua[1], ": ", out)
      assert.equal("", complaints)
      assert.equal(0, result)
      local states, answered, refused = out:match "^(%d+) states closed, finalizers' calls: (%d+) answered, (%d+) refused\n$"
      assert.equal("720", states)
      assert.is_true(tonumber(answered) > 0 and tonumber(refused) > 0)
    end)
  end
end)

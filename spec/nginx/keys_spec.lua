-- Whose key asks for which record, in a real nginx: keys by name, chosen for each request, or the one that a request came with.
local cjson = require "cjson"
local configuration = require "spec.nginx.configuration"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traces = require "spec.nginx.traces"

if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end

local settled, wait_for = traces.settled, servers.wait_for
local FAKE = "    location /fake/ {\n" .. configuration.logged "{ user = 'rosa' }"
  .. "      proxy_pass http://127.0.0.1:@PORT@/upstream/;\n    }\n"

local function ask(p, id, query, arguments)
  local status, body = p:curl(("/fake/json?cost=0.5&id=%s%s"):format(id, query or ""), arguments)
  assert.same({ 200, ('{"id":"%s","model":"test/model","usage":{"cost":0.5}}'):format(id) }, { status, body })
  return id
end

describe("keys by name", function()
  local p
  local CHOICE = [[
    keys = { lab = "sk-or-lab", shop = "sk-or-sandbox-bad" },
    key = function()
      local key = ngx.var.arg_key
      if key == "raise" then error "no such tenant" end
      if key == "number" then return 7 end
      if key == "table" then return {} end
      return key
    end,
    base_url = LOOKUPS, first = 0.05]]

  setup(function() p = servers.proxy { workers = 1, edit = configuration.edit { start = CHOICE, server = FAKE } } end)
  teardown(function() if p then p:stop() end end)
  after_each(shell.clean)

  local function asked_with(id)
    settled(p, id)
    return traces.lookups(p)[id]
  end

  it("ask for the records of their own requests", function()
    for _, case in ipairs { { "lab", "sk-or-lab" }, { "default", "sk-or-sandbox" } } do
      assert.same({ case[2] }, asked_with(ask(p, "gen-1790000000-of-" .. case[1], "&key=" .. case[1])))
    end
    assert.same({ "sk-or-sandbox" }, asked_with(ask(p, "gen-1790000000-of-nobody")))
    assert.equal("", p:errors())
  end)

  -- One that has told nothing yet.
  local function new_worker()
    local before = p:workers()[1]
    p:signal "HUP"
    assert.is_truthy(wait_for(function()
      local now = p:workers()
      return #now == 1 and now[1] ~= before
    end))
  end

  for _, case in ipairs { { "raise", "no such tenant" }, { "number", "a number" }, { "table", "a table" } } do
    it("are the default one where the function gives none (" .. case[1] .. ")", function()
      new_worker()
      local before = #traces.complaints(p, "openrouter: ")
      for i = 1, 2 do
        local id = ask(p, ("gen-1790000000-%s%d"):format(case[1], i), "&key=" .. case[1])
        assert.same({ "sk-or-sandbox" }, asked_with(id))
      end
      assert.equal(before + 1, #traces.complaints(p, "openrouter: "))
      assert.matches("the function `key`.*" .. case[2], p:errors())
    end)
  end

  it("that nobody has are told once, and their ids wait", function()
    for i = 1, 3 do ask(p, "gen-1790000000-stranger" .. i, "&key=stranger") end
    assert.is_truthy(wait_for(function() return #traces.complaints(p, "'stranger'") > 0 end))
    assert.equal(1, #traces.complaints(p, "'stranger'"))
    assert.is_nil(traces.lookups(p)["gen-1790000000-stranger1"])
    assert.equal(6, #p:pending())
  end)

  it("are not on the disk, and not in the error log", function()
    assert.not_matches("sk%-or", p:errors())
    assert.equal(1, (shell.run(("grep -r sk-or %s"):format(shell.quote(p.dir)))))
    assert.equal(0, (shell.run(("grep -r lab %s"):format(shell.quote(p.dir)))))
  end)

  it("that are refused stop their own ids alone, until they are right", function()
    local shop, lab = {}, {}
    for i = 1, 5 do
      shop[i] = ask(p, "gen-1790000000-shop" .. i, "&key=shop")
      lab[i] = ask(p, "gen-1790000000-lab" .. i, "&key=lab")
    end
    traces.all_settled(p, lab)
    assert.is_truthy(wait_for(function() return #traces.complaints(p, "the key 'shop' is refused") > 0 end))
    assert.equal(1, #traces.complaints(p, "the key 'shop' is refused"))
    for i = 6, 10 do shop[i] = ask(p, "gen-1790000000-shop" .. i, "&key=shop") end
    settled(p, ask(p, "gen-1790000000-lab6", "&key=lab"))
    local open = {}
    assert.is_truthy(wait_for(function()
      open = {}
      for _, line in ipairs(p:pending()) do
        if line.id:find "shop" then open[line.id] = true end
      end
      return p:metrics().openrouter_overflow_total >= 10
    end))
    for _, id in ipairs(shop) do assert.is_true(open[id]) end
    for _, line in ipairs((p:ledger())) do assert.is_nil(line.id:find "shop") end
    local _, lookups = traces.lookups(p)
    local refused = 0
    for _, lookup in ipairs(lookups) do
      if lookup.status == 401 then refused = refused + 1 end
    end
    assert.is_true(refused >= 1 and refused <= 5) -- none of those that came later

    configuration.restart(p, function(text) return configuration.substitute(text, "sk-or-sandbox-bad", "sk-or-shop") end)
    traces.all_settled(p, shop)
    for _, id in ipairs(shop) do
      local keys = traces.lookups(p)[id]
      assert.equal("sk-or-shop", keys[#keys])
    end
  end)
end)

describe("the key of a request", function()
  local p
  setup(function()
    p = servers.proxy { edit = configuration.edit {
      start = 'key = "request", first = 0.05, base_url = LOOKUPS', server = FAKE,
    } }
  end)
  teardown(function() if p then p:stop() end end)
  after_each(shell.clean)

  local function bearer(key) return "-H 'Authorization: Bearer " .. key .. "'" end

  local function failed(id, kind)
    local line = cjson.decode(traces.settled(p, id, "failed"))
    assert.equal(kind, line.error.kind)
    assert.same({ { user = "rosa" }, 0.5 }, { line.context, line.instant.cost })
  end

  it("asks for its record", function()
    for i, key in ipairs { "sk-or-client-1", "sk-or-client-2" } do
      local id = ask(p, "gen-1790000000-own" .. i, nil, bearer(key))
      settled(p, id)
      assert.same({ key }, servers.wait_for(function() return traces.lookups(p)[id] end)) -- logged once it is answered
    end
    assert.equal("", p:errors())
  end)

  it("may be missing", function()
    failed(ask(p, "gen-1790000000-keyless"), "no_key")
    failed(ask(p, "gen-1790000000-basic", nil, "-u rosa:secret"), "no_key")
  end)

  it("may be refused, which ends its ids alone", function()
    local good = ask(p, "gen-1790000000-beside", nil, bearer "sk-or-client-1")
    failed(ask(p, "gen-1790000000-refused", nil, bearer "sk-or-sandbox-bad"), "auth")
    settled(p, good)
  end)

  it("is in memory alone, and gone with the worker", function()
    local ids = {}
    for i = 1, 5 do
      ids[i] = ask(p, ("gen-1790000000-status-503-%d"):format(i), nil, bearer "sk-or-client-3")
    end
    assert.is_truthy(wait_for(function()
      local lookups = traces.lookups(p)
      for _, id in ipairs(ids) do
        if not lookups[id] then return false end
      end
      return true
    end))
    for _, path in ipairs { p.dir, p.work .. "/error.log" } do
      assert.equal(1, (shell.run(("grep -rE 'sk-or|cm9zYTpzZWNyZXQ' %s"):format(shell.quote(path)))))
    end
    assert.equal(10, #p:pending())

    local workers = p:workers()
    p:signal "KILL"
    for _, pid in ipairs(workers) do p:signal("KILL", pid) end
    local _, asked = traces.lookups(p)
    p:restart()
    for _, id in ipairs(ids) do failed(id, "no_key") end
    assert.equal(0, #p:pending())
    local _, asked_now = traces.lookups(p)
    assert.equal(#asked, #asked_now)
    assert.is_truthy(wait_for(function() return p:metrics()['openrouter_failed_total{kind="no_key"}'] == 5 end))
  end)
end)

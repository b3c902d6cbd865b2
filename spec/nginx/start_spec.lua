-- What start() and the calls in requests say about a configuration that is not right, in a real nginx: each trouble once, in
-- words that name what to do, and with no request the worse for it.
local cjson = require "cjson"
local configuration = require "spec.nginx.configuration"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traces = require "spec.nginx.traces"

if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end

local logged, substitute, wait_for = configuration.logged, configuration.substitute, servers.wait_for

local function location(path, capture, log)
  return ("    location %s {\n%s      proxy_pass http://127.0.0.1:@PORT@/upstream/;\n    }\n"):format(path, logged(capture, log))
end
local FAKE = location("/fake/", "{ user = 'rosa' }")

-- One worker, so that what each says once is there once. All have the same API behind them.
local sandbox
local function start(changes)
  changes.server = (changes.server or "") .. FAKE
  return servers.proxy { upstream = sandbox, edit = configuration.edit(changes), workers = changes.workers or 1,
    env = changes.env }
end

local function answer_of(id)
  return ('{"id":"%s","model":"test/model","usage":{"cost":0.5}}'):format(id)
end

-- Some requests, all of them answered as they have to be: their ids.
local made = 0
local function ask(p, count, path)
  local ids = {}
  for i = 1, count do
    made = made + 1
    ids[i] = ("gen-1790000000-start%d"):format(made)
    local status, body = p:curl(("%s?cost=0.5&id=%s"):format(path or "/fake/json", ids[i]))
    assert.same({ 200, answer_of(ids[i]) }, { status, body })
  end
  return ids
end

local function complains(p, times, text)
  wait_for(function() return #traces.complaints(p, text) >= times end, 10)
  local list = traces.complaints(p, text)
  if #list ~= times then error(("%d times, and not %d: %s\n%s"):format(#list, times, text, p:errors()), 2) end
  return list[1]
end

setup(function() sandbox = servers.sandbox { tls = "openrouter.ai" } end)
teardown(function() if sandbox then sandbox:stop() end end)

describe("a request whose", function()
  local p

  -- What capture() is given, and what of it is kept.
  local names, sixteen = {}, {}
  for i = 1, 20 do
    names[i] = ("n%02d = %d"):format(i, i)
    if i <= 16 then sixteen[("n%02d"):format(i)] = i end
  end
  local CONTEXTS = {
    kept = { [[{ user = 'zoë "q" \\', yes = true, no = false, tries = -3, share = 0.1, big = 1e300 }]],
      { user = 'zoë "q" \\', yes = true, no = false, tries = -3, share = 0.1, big = 1e300 } },
    none = { "", nil },
    ["nil"] = { "nil", nil },
    empty = { "{ user = nil }", nil },
    bytes = { "{ user = '\\255' }", { user = "\239\191\189" } },
    table = { "{ user = 'rosa', list = {}, call = print }", { user = "rosa" } },
    nan = { "{ user = 'rosa', nan = 0/0, inf = 1/0 }", { user = "rosa" } },
    names = { "{ " .. table.concat(names, ", ") .. " }", sixteen },
    long = { "{ a = 'rosa', b = ('x'):rep(2000), c = true }", { a = "rosa", c = true } },
    keys = { "{ user = 'rosa', 1, [true] = 2 }", { user = "rosa" } },
    string = { "'rosa'", nil },
  }

  local SERVER = [[
    location = /start {
      content_by_lua_block {
        local ok, why = require("openrouter.nginx").start { dir = "WORK/elsewhere" }
        ngx.say(tostring(ok), " ", why)
      }
    }
    location /broken/ {
      rewrite_by_lua_block {
        package.loaded.broken = function(name) -- what no call can do without raises
          rawset(ngx, "ctx", setmetatable({}, { __index = function() error "out of order" end }))
          require("openrouter.nginx")[name]()
          rawset(ngx, "ctx", nil)
        end
      }
      header_filter_by_lua_block { require "broken" "capture" }
      body_filter_by_lua_block { require "broken" "scan" }
      log_by_lua_block { require "broken" "log" }
      proxy_pass http://127.0.0.1:@PORT@/upstream/;
    }
]]
  for name, case in pairs(CONTEXTS) do
    SERVER = SERVER .. location("/capture/" .. name .. "/", case[1]) .. location("/log/" .. name .. "/", nil, case[1])
  end

  setup(function()
    p = start { start = "first = 0.05", server = SERVER,
      printed = { { "/zipped/", 'proxy_set_header Accept-Encoding gzip;', 'proxy_set_header Accept-Encoding "";' } } }
  end)
  teardown(function() if p then p:stop() end end)
  after_each(shell.clean)

  for name, case in pairs(CONTEXTS) do
    for _, call in ipairs { "capture", "log" } do
      it(("%s() is given a context (%s) keeps what fits"):format(call, name), function()
        local id = ask(p, 1, ("/%s/%s/json"):format(call, name))[1]
        assert.same(case[2], cjson.decode(traces.settled(p, id)).context)
      end)
    end
  end

  it("contexts do not fit is told once", function()
    complains(p, 1, "; it is left out")
    assert.equal(0, #traces.complaints(p, "bug"))
  end)

  it("calls fail is served all the same", function()
    ask(p, 3, "/broken/json")
    assert.matches("this is a bug, please report it: .*out of order", complains(p, 1, "this is a bug"))
    traces.all_settled(p, ask(p, 1))
  end)

  it("phase calls start() is told so, and changes nothing", function()
    local _, said = p:curl "/start"
    assert.matches("^nil start%(%) belongs into init_worker_by_lua_block, this is content", said)
    p:curl "/start"
    complains(p, 1, "start() belongs into init_worker_by_lua_block, this is content")
    traces.all_settled(p, ask(p, 1))
    assert.is_nil(io.open(p.work .. "/elsewhere"))
  end)

  it("upstream compresses has no cost, and the directive is named", function()
    local function chat(path)
      local status, body = p:curl(path, "-H 'Authorization: Bearer x' --compressed -d '{}'")
      assert.equal(200, status)
      return body:match '"id":"(gen%-[^"]*)"'
    end
    local id = chat "/zipped/api/v1/chat/completions"
    assert.equal(id .. " ", traces.access_end(p, id))
    assert.is_nil(cjson.decode(traces.settled(p, id)).instant)
    local seen = traces.seen(p)
    assert.is_truthy(chat "/zipped/bare/api/v1/chat/completions")
    assert.equal(seen, traces.seen(p))
    assert.matches("the upstream compresses, so that the cost cannot be read",
      complains(p, 1, 'add `proxy_set_header Accept-Encoding "";`'))
  end)
end)

describe("a configuration", function()
  local p
  after_each(function()
    if p then p:stop() end
    p = nil
    shell.clean()
  end)

  local function without(text, directive)
    return substitute(text, text:match("[^\n]*" .. directive .. "[^\n]*\n"), "\n")
  end

  it("without start() is told once by each worker", function()
    p = start { workers = 2, change = function(text)
      return (text:gsub("init_worker_by_lua_block %b{}", ""))
    end }
    -- in parallel, or one worker might get all of them
    local _, heads = shell.run(("curl -s -m 20 -Z --parallel-max 50 -D - -o %s/body#1 %s"):format(p.work,
      shell.quote(p.url .. "/fake/json?cost=0.5&id=gen-[1-100]")))
    for i = 1, 100 do assert.equal(answer_of("gen-" .. i), shell.read(p.work .. "/body" .. i)) end
    local workers = {}
    for pid in heads:gmatch "X%-Worker: (%d+)" do workers[pid] = true end
    assert.is_truthy(next(workers))
    for pid in pairs(workers) do complains(p, 1, ("[warn] %s#"):format(pid)) end
    local _, answers = heads:gsub("X%-Worker", "")
    assert.equal(100, answers)
    assert.matches("nothing is logged: add start%(%) to init_worker_by_lua_block", p:errors())
    assert.equal("", select(2, p:curl "/metrics"))
  end)

  it("with a wrong option is told so", function()
    p = start { start = "frist = 1" }
    ask(p, 5)
    complains(p, 1, "start: unknown option 'frist'; did you mean 'first'?")
    complains(p, 1, "openrouter: nothing is logged: start() failed, and this log says why where the worker started")
    complains(p, 1, "openrouter: ")
  end)

  it("with lua_code_cache off is told so", function()
    p = start { http = "lua_code_cache off;" }
    ask(p, 5)
    complains(p, 1, "openrouter: nothing is logged while lua_code_cache is off")
    complains(p, 1, "openrouter: ")
  end)

  it("without the variables and a log_format works", function()
    p = start { start = "first = 0.05", change = function(text)
      for _, directive in ipairs { "map \"\" $openrouter_id", "map \"\" $openrouter_cost" } do text = without(text, directive) end
      text = text:gsub("log_format openrouter [^;]*;", "")
      return substitute(text, "access.log openrouter;", "access.log;")
    end }
    traces.all_settled(p, ask(p, 3))
    assert.equal("", p:errors())
  end)

  -- Ids wait on disk, however often they are asked for, until the directive is there.
  local function lacks(directive, advice, asked)
    local line
    p = start { start = "first = 0.05", change = function(text)
      line = text:match("[^\n]*" .. directive .. "[^\n]*\n")
      return substitute(text, line, "#lacking\n")
    end }
    local ids = ask(p, 6)
    assert.is_truthy(wait_for(function() return asked(p:metrics()) end))
    complains(p, 1, advice)
    complains(p, 1, "openrouter: ")
    assert.same({}, p:ledger())
    assert.is_truthy(wait_for(function() return #p:pending() == 12 end))
    configuration.restart(p, function(text) return substitute(text, "#lacking\n", line) end)
    traces.all_settled(p, ids)
    complains(p, 1, "openrouter: ")
  end

  it("without a resolver is told so", function()
    lacks("  resolver ", "the directive `resolver` is missing in the http block", function(figures)
      return (figures['openrouter_retries_total{reason="network"}'] or 0) >= 10
    end)
  end)

  it("without trusted certificates is told so", function()
    lacks("  lua_ssl_trusted_certificate ", "lua_ssl_trusted_certificate does not name the file", function(figures)
      return figures.openrouter_overflow_total >= 1 and figures.openrouter_open_ids == 6
    end)
  end)

  it("without the key is told so", function()
    lacks("env OPENROUTER_API_KEY;", "add `env OPENROUTER_API_KEY;` to the main block", function(figures)
      return figures.openrouter_open_ids == 6
    end)
  end)

  it("without the key in nginx's own environment is told so", function()
    p = start { start = "first = 0.05", env = { OPENROUTER_API_KEY = "" } }
    complains(p, 1, "and start nginx with this variable")
  end)

  it("with a key that is none is told so, and keeps ids on disk", function()
    p = start { start = "first = 0.05", env = { OPENROUTER_API_KEY = "sk-or-\226\128\166" } }
    local ids = ask(p, 3)
    assert.is_truthy(wait_for(function() return #p:pending() == 6 end))
    complains(p, 1, "the key in OPENROUTER_API_KEY has a character that is not ASCII")
    complains(p, 1, "openrouter: ")
    p.env.OPENROUTER_API_KEY = "sk-or-sandbox"
    configuration.restart(p, function(text) return text end)
    traces.all_settled(p, ids)
  end)

  it("without the shared dictionary is told so", function()
    p = start { start = "first = 0.05", change = function(text) return without(text, "  lua_shared_dict openrouter ") end }
    traces.all_settled(p, ask(p, 6))
    complains(p, 1, "the shared dictionary is missing: add `lua_shared_dict openrouter 1m;` to the http block")
    complains(p, 1, "openrouter: ")
    local status, page = p:curl "/metrics"
    assert.same({ 200, "# nothing is counted: the shared dictionary is missing\n" }, { status, page })
  end)

  it("with too small a dictionary is told so", function()
    p = start { start = "first = 0.05", change = function(text) return substitute(text, "openrouter 1m;", "openrouter 12k;") end }
    traces.all_settled(p, ask(p, 6))
    complains(p, 1, "the shared dictionary is too small, and figures are missing: `lua_shared_dict openrouter 1m;`")
  end)

  it("whose base URL has no path is told so", function()
    p = start { start = 'base_url = "https://openrouter.ai"' }
    complains(p, 1, "the base URL has no path")
  end)

  it("whose module cannot be loaded does not start", function()
    local function change(text) return substitute(text, "lua_package_cpath", "# lua_package_cpath") end
    local ok, why = pcall(start, { change = change })
    assert.is_false(ok)
    assert.matches("module 'openrouter.core' not found", why, 1, true)
  end)

  it("without its directory is told so", function()
    p = start { start = "first = 0.05", change = function(text) return substitute(text, '/openrouter"', '/later"') end }
    p.dir = p.work .. "/later"
    local ids = ask(p, 6)
    complains(p, 1, "ids are in memory only until it can be written: install -d -o USER -m 0700 " .. p.dir)
    local status, _, complaint = shell.run(("install -d %s -m 0700 %s"):format(p.root and "-o www-data" or "", p.dir))
    assert.same({ 0, "" }, { status, complaint })
    traces.all_settled(p, ids)
    complains(p, 1, "install -d")
    assert.equal(0, p:metrics().openrouter_lost_total)
  end)
end)

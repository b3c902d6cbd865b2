-- What is said about the embedding in nginx, beside what it is: docs/nginx.md, examples/nginx and README.md.
local ledger = require "openrouter.ledger"
local metrics = require "openrouter.nginx.metrics"
local options = require "openrouter.nginx.options"
local shell = require "spec.support.shell"
local sweep = require "openrouter.nginx.sweep"

-- The globals that a module of Kong, APISIX or ours finds, for as long as `body` runs.
local function with_globals(globals, body)
  local before = {}
  for name, value in pairs(globals) do before[name], _G[name] = { _G[name] }, value end
  local ok, why = pcall(body)
  for name in pairs(globals) do _G[name] = before[name][1] end
  if not ok then error(why, 0) end
end

-- The text from one heading to the next of the same or a higher level.
local function section(path, heading)
  local text = shell.read(path) .. "\n## "
  local _, from = text:find("\n## " .. heading, 1, true)
  assert(from, path .. " has no section " .. heading)
  return text:sub(from + 1, text:find("\n## ", from, true))
end

-- The rows of a table whose first cell is a name in backticks: name -> the cells behind it.
local function rows_of(text)
  local rows = {}
  for name, rest in text:gmatch "\n| `([%w_$.]+)[^`]*` |([^\n]*)" do
    rows[name] = {}
    for cell in rest:gmatch " ([^|]*) |" do table.insert(rows[name], cell) end
  end
  return rows
end

local function names_of(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return list
end

local function trimmed(line)
  return (line:gsub("%s+#.*$", ""):match "^%s*(.-)%s*$")
end

describe("What is written about nginx", function()
  local README, EXAMPLE, REFERENCE = "README.md", "examples/nginx/README.md", "docs/nginx.md"
  after_each(shell.clean)

  for _, path in ipairs { README, EXAMPLE } do
    it("quotes the configuration as it is, in " .. path, function()
      local lines, count = {}, 0
      for line in shell.read("examples/nginx/nginx.conf"):gmatch "[^\n]+" do lines[trimmed(line)] = true end
      for block in shell.read(path):gmatch "\n```nginx\n(.-)\n```" do
        for line in block:gmatch "[^\n]+" do
          count = count + 1
          assert.is_true(lines[trimmed(line)], "not in nginx.conf: " .. line)
        end
      end
      assert.is_true(count > 3)
    end)
  end

  it("makes of the configuration one that asks the sandbox", function()
    local sed = section(EXAMPLE, "Without a key"):match "\n(sed .-)>sandbox"
    local printed = shell.read "examples/nginx/nginx.conf"
    local status, made = shell.run(sed)
    assert.equal(0, status)
    for _, change in ipairs { { "env OPENROUTER_API_KEY;", "env OPENROUTER_API_KEY; env OPENROUTER_BASE_URL;" },
      { "server openrouter.ai:443;", "server 127.0.0.1:23470;" }, { "proxy_pass https:", "proxy_pass http:" },
      { '"/var/log/nginx/openrouter"', '"/var/log/nginx/sandbox"' } } do
      local from, to = printed:find(change[1], 1, true)
      printed = printed:sub(1, from - 1) .. change[2] .. printed:sub(to + 1)
    end
    assert.equal(printed, made)
  end)

  it("links to files that exist", function()
    for _, path in ipairs { REFERENCE, EXAMPLE } do
      for target in shell.read(path):gmatch "%]%(([%w_./-]+)[^)]*%)" do
        local file = io.open(path:match "^.*/" .. target)
        assert.is_truthy(file, path .. ": " .. target .. " does not exist")
        file:close()
      end
    end
  end)

  it("has every option, with its default", function()
    local rows, known = rows_of(section(REFERENCE, "openrouter.start")), {}
    local defaults = options.read { dir = "/d" }
    for name in shell.read("lua/openrouter/nginx/options.lua"):gmatch "%-%-%-@field ([%w_]+)" do
      known[name] = true
      assert.is_truthy(rows[name], name .. " is not in " .. REFERENCE)
      local said, value = rows[name][1]:gsub('[`"]', ""), defaults[name]
      if name == "dir" then value = "none, required" end
      if name == "api_key" then value = "$OPENROUTER_API_KEY" end
      if name == "insecure" then value = "false" end
      if value == nil or type(value) == "table" then value = "none" end
      assert.equal(tostring(value), (said:gsub("^.*, else ", "")), name)
    end
    assert.same(names_of(known), names_of(rows))
  end)

  it("has every function", function()
    local functions = {}
    for name in shell.read("lua/openrouter/nginx.lua"):gmatch "\n[function ]*nginx%.([%w_]+)[( ]" do functions[name] = true end
    assert.same({ "capture", "log", "metrics", "scan", "start", "stats" }, names_of(functions))
    for name in pairs(functions) do
      assert.is_truthy(shell.read(REFERENCE):find("openrouter." .. name, 1, true), name)
    end
  end)

  it("has every figure of stats()", function()
    local worker = {
      settle = { open = 0, consumers = 0, fetcher = { opened = 0, reused = 0 } },
      streaming = {}, journal = { sources = {}, unwritten_count = 0 }, metrics = { total = {} },
    }
    assert.same(names_of(sweep.stats(worker)), names_of(rows_of(section(REFERENCE, "openrouter.stats"))))
  end)

  describe("of metrics", function()
    local families = {}
    setup(function()
      local page
      local dict = { get_keys = function() return {} end }
      with_globals({ ngx = { worker = { pid = function() return 1 end } } }, function() page = metrics.new(dict):render() end)
      for name, kind in page:gmatch "# TYPE (%S+) (%a+)" do families[name] = kind end
    end)

    it("has every family, with its type", function()
      local rows = rows_of(section(REFERENCE, "openrouter.metrics"))
      assert.same(names_of(families), names_of(rows))
      for name, cells in pairs(rows) do assert.equal(families[name], cells[1], name) end
    end)

    it("alerts on families that exist", function()
      local count = 0
      for name in section(EXAMPLE, "Metrics"):gmatch "expr:[^\n]-(openrouter_[%l_]+)" do
        count = count + 1
        assert.is_truthy(families[name], name)
      end
      assert.equal(3, count)
    end)
  end)

  it("quotes the words of error.log", function()
    local source, nginx_says = {}, { ['unknown "openrouter_id" variable'] = true, ["undefined symbol"] = true }
    for _, path in ipairs { "nginx.lua", "nginx/settle.lua", "nginx/sweep.lua", "options.lua" } do
      -- literals as they come out
      local text = shell.read("lua/openrouter/" .. path):gsub('"%s*%.%.%s*"', ""):gsub('\\"', '"')
      source[#source + 1] = text:gsub("lua_shared_dict %%s", "lua_shared_dict openrouter")
    end
    source = table.concat(source)
    local count = 0
    for cell in section(EXAMPLE, "Each directive once"):gmatch "\n|[^|\n]+|[^|\n]+|([^|\n]+)|" do
      cell = cell:gsub("``(.-)``", function(text) return "`" .. text:gsub("`", "\1") .. "`" end)
      for words in cell:gmatch "`([^`]+)`" do
        words = words:gsub("\1", "`") .. "…"
        for part in words:gmatch "%s*(.-)%s*…" do
          part = part:gsub("^Permission denied", "") -- the system's
          if part:find " " and not nginx_says[part] and not part:find "^lua tcp" then
            count = count + 1
            assert.is_truthy(source:find(part, 1, true), "nobody says: " .. part)
          end
        end
      end
    end
    assert.is_true(count >= 9)
  end)
end)

-- ---- the plugins ----------------------------------------------------------------------------------------------------

-- An openrouter.nginx that writes down how it is called.
local function recorder()
  local calls, module = {}, {}
  for _, name in ipairs { "start", "capture", "scan", "log" } do
    module[name] = function(argument) calls[#calls + 1] = { name, argument } end
  end
  function module.metrics() return "the page" end
  return module, calls
end

-- Load a file that finds these modules.
local function load_with(path, modules)
  local before = {}
  for name, module in pairs(modules) do before[name], package.loaded[name] = { package.loaded[name] }, module end
  local ok, result = pcall(assert(loadfile(path)))
  for name in pairs(modules) do package.loaded[name] = before[name][1] end
  return assert(ok and result, result)
end

local function nginx_of(phase, worker_id)
  return {
    status = 200,
    get_phase = function() return phase end,
    worker = { id = function() return worker_id end },
    config = { prefix = function() return "/usr/local/apisix/" end },
  }
end

describe("The plugin for Kong", function()
  local FOLDER = "examples/nginx/kong/kong/plugins/openrouter-cost/"
  local cleared, answered, consumer, route, plugin, module, calls
  local kong = {
    configuration = { prefix = "/usr/local/kong" },
    client = { get_consumer = function() return consumer end },
    router = { get_route = function() return route end },
    service = { request = { clear_header = function(name) cleared = name end } },
    response = { exit = function(...) answered = { ... } end },
  }

  before_each(function()
    module, calls = recorder()
    cleared, answered = nil, nil
    consumer, route = { id = "c1", username = "rosa" }, { id = "r1", name = "chat" }
    plugin = load_with(FOLDER .. "handler.lua", { ["openrouter.nginx"] = module })
  end)

  local function run(phase, worker_id)
    with_globals({ kong = kong, ngx = nginx_of(phase, worker_id) }, function() plugin[phase](plugin, {}) end)
  end

  it("starts in each worker, with options that start() takes", function()
    run("init_worker", 0)
    assert.same({ { "start", { dir = "/usr/local/kong/openrouter" } } }, calls)
    assert.equal("/usr/local/kong/openrouter", options.read(calls[1][2]).dir)
  end)

  it("does not start in the privileged process", function()
    run("init_worker", nil)
    assert.same({}, calls)
  end)

  it("calls capture, scan and log in their phases", function()
    run("access", 0)
    assert.equal("Accept-Encoding", cleared)
    run("header_filter", 0)
    run("body_filter", 0)
    run("body_filter", 0)
    run("log", 0)
    assert.same({ { "capture", { consumer = "rosa", route = "chat" } }, { "scan" }, { "scan" },
      { "log", { status = 200 } } }, calls)
  end)

  it("says what it knows of who asked", function()
    consumer, route = { id = "c1" }, { id = "r1" }
    run("header_filter", 0)
    consumer, route = nil, nil
    run("header_filter", 0)
    assert.same({ { "capture", { consumer = "c1", route = "r1" } }, { "capture", {} } }, calls)
  end)

  it("is what Kong takes for a plugin", function()
    assert.equal("number", type(plugin.PRIORITY))
    assert.equal("string", type(plugin.VERSION))
    assert.is_nil(plugin.response) -- Kong does not start with both it and a filter
    local schema = load_with(FOLDER .. "schema.lua", { ["kong.db.schema.typedefs"] = { protocols_http = { "http" } } })
    assert.equal("openrouter-cost", schema.name)
    assert.same({ { protocols = { "http" } }, { config = { type = "record", fields = {} } } }, schema.fields)
  end)

  it("shows the figures in the Status API", function()
    local api = load_with(FOLDER .. "status_api.lua", { ["openrouter.nginx"] = module })
    with_globals({ kong = kong }, function() api["/openrouter-cost/metrics"].GET() end)
    assert.same({ 200, "the page", { ["Content-Type"] = "text/plain; charset=utf-8" } }, answered)
  end)
end)

describe("The plugin for APISIX", function()
  local attributes, errors, headers, plugin, module, calls
  local modules = {
    ["apisix.core"] = {
      log = { error = function(...) errors[#errors + 1] = table.concat { ... } end },
      request = { set_header = function(ctx, name, value) headers[#headers + 1] = { ctx, name, value } end },
      response = { set_header = function(name, value) headers[#headers + 1] = { name, value } end },
      schema = { check = function(schema, conf) return schema.type == type(conf):gsub("table", "object") end },
    },
    ["apisix.plugin"] = { plugin_attr = function(name) return name == "openrouter-cost" and attributes or nil end },
  }

  before_each(function()
    attributes, errors, headers = nil, {}, {}
    module, calls = recorder()
    modules["openrouter.nginx"] = module
    plugin = load_with("examples/nginx/apisix/apisix/plugins/openrouter-cost.lua", modules)
  end)

  local function init(phase, worker_id)
    with_globals({ ngx = nginx_of(phase, worker_id) }, plugin.init)
  end

  it("starts in each worker, with options that start() takes", function()
    init("init_worker", 0)
    assert.same({ { "start", { dir = "/usr/local/apisix/logs/openrouter" } } }, calls)
    assert.equal("/usr/local/apisix/logs/openrouter", options.read(calls[1][2]).dir)
  end)

  it("takes options from plugin_attr, and leaves them as they are", function()
    attributes = { dir = "/srv/openrouter", window = 20 }
    init("init_worker", 0)
    attributes = { window = 20 }
    init("init_worker", 1)
    assert.same({ { "start", { dir = "/srv/openrouter", window = 20 } },
      { "start", { dir = "/usr/local/apisix/logs/openrouter", window = 20 } } }, calls)
    assert.same({ window = 20 }, attributes)
  end)

  it("starts neither in the privileged process nor when plugins are reloaded", function()
    init("init_worker", nil)
    init("timer", 0)
    init("init", nil)
    assert.same({}, calls)
  end)

  it("lets the other plugins start when an option is wrong", function()
    function module.start() error "start: unknown option 'dri'" end
    init("init_worker", 0)
    assert.equal(1, #errors)
    assert.is_truthy(errors[1]:find("unknown option 'dri'", 1, true))
  end)

  it("calls capture, scan and log in their phases", function()
    local ctx = { consumer_name = "rosa", route_id = "17", route_name = "chat" }
    with_globals({ ngx = nginx_of("log", 0) }, function()
      plugin.access({}, ctx)
      plugin.header_filter({}, ctx)
      plugin.body_filter({}, ctx)
      plugin.log({}, ctx)
      plugin.header_filter({}, { route_id = "17" })
    end)
    assert.same({ { ctx, "Accept-Encoding" } }, headers)
    assert.same({ { "capture", { consumer = "rosa", route = "chat" } }, { "scan" }, { "log", { status = 200 } },
      { "capture", { route = "17" } } }, calls)
  end)

  it("is what APISIX takes for a plugin", function()
    assert.equal("openrouter-cost", plugin.name)
    assert.equal("number", type(plugin.version))
    assert.equal("number", type(plugin.priority))
    assert.is_true(plugin.check_schema {})
  end)

  it("shows the figures in the control API", function()
    local route = plugin.control_api()[1]
    assert.same({ { "GET" }, { "/v1/plugin/openrouter-cost/metrics" } }, { route.methods, route.uris })
    assert.same({ 200, "the page" }, { route.handler() })
    assert.same({ { "Content-Type", "text/plain; charset=utf-8" } }, headers)
  end)
end)

-- ---- rotation -------------------------------------------------------------------------------------------------------

describe("The logrotate file", function()
  local text = shell.read("examples/nginx/logrotate"):gsub("#[^\n]*", "")
  after_each(shell.clean)

  it("renames the ledger, touches nothing else and keeps the last one readable", function()
    assert.equal("/var/log/nginx/openrouter/ledger.jsonl", text:match "%S+")
    assert.is_nil(text:find "copytruncate")
    assert.is_nil(text:find "postrotate")
    for _, directive in ipairs { "delaycompress", "nocreate", "missingok" } do
      assert.is_truthy(text:find("\n%s+" .. directive .. "\n"), directive)
    end
  end)

  -- The file for a directory of this user's.
  local function installed_in(directory)
    local user = io.popen "id -un":read "*l" .. " " .. io.popen "id -gn":read "*l"
    local path = shell.write(directory .. "/logrotate.conf",
      (text:gsub("/var/log/nginx/openrouter", directory):gsub("su [^\n]+", "su " .. user)))
    os.execute("chmod 644 " .. path)
    return path
  end

  local function logrotate(flags, directory)
    local found = shell.run "PATH=$PATH:/usr/sbin:/sbin; command -v logrotate"
    if found ~= 0 then pending "logrotate is not installed" end
    return shell.run(("PATH=$PATH:/usr/sbin:/sbin; logrotate %s -s %s/state %s")
      :format(flags, directory, installed_in(directory)))
  end

  it("is accepted by logrotate", function()
    local directory = shell.directory()
    local status, _, err = logrotate("-d", directory)
    assert.equal(0, status, err)
    assert.is_nil(err:find "error:", err)
  end)

  it("gives the ledger a name under which who takes over from a dead worker finds it", function()
    local directory = shell.directory()
    local writer = assert(ledger.open_shared(directory .. "/ledger.jsonl"))
    local function write(id)
      assert(writer:failed(id, { kind = "not_found", message = "Resource not found" }))
    end
    write "gen-1"
    local status, _, err = logrotate("-f", directory)
    assert.equal(0, status, err)
    assert.is_nil(io.open(directory .. "/ledger.jsonl"))
    assert.same({ ["gen-1"] = "failed" }, ledger.settled_among(directory, { ["gen-1"] = true, ["gen-2"] = true }, 0))
    write "gen-2"
    assert.same({ ["gen-1"] = "failed", ["gen-2"] = "failed" },
      ledger.settled_among(directory, { ["gen-1"] = true, ["gen-2"] = true }, 0))
    writer:close()
  end)
end)

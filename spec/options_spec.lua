-- Options: what the client takes, what it refuses, and whom it blames. client_spec.lua has what they do.
local check = require "openrouter.check"
local openrouter = require "openrouter"
local report = require "openrouter.report"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local assert_without = require "spec.support.without"

local KEY = "sk-or-v1-0123456789abcdef"

describe("options", function()
  local server
  setup(function() server = servers.hostile() end)
  teardown(function() server:stop() end)
  before_each(function() server:mark() end)
  after_each(shell.clean)

  local function new(options)
    local all = { base_url = server.url, api_key = KEY, timeout = 10, deadline = 20, retry = false }
    for name, value in pairs(options or {}) do all[name] = value end
    return assert(openrouter.client(all))
  end

  local function assert_no_key(value) assert_without(KEY, value) end

  it("must be known, and the near one is suggested", function()
    local function assert_said(words, options)
      assert.error_matches(function() openrouter.client(options) end, words)
    end
    assert_said("unknown option 'time_out'; did you mean 'timeout'?", { time_out = 5 })
    assert_said("did you mean 'api_key'", { apikey = KEY })
    assert_said("retry: unknown option 'caps'; did you mean 'cap'", { retry = { caps = 1 } })
    assert_said("unknown option '1'$", { KEY })
    for wrong, right in pairs { on_events = "on_event", onevent = "on_event", rates = "rate", http = "http_version",
      proxi = "proxy", in_secure = "insecure", ["max-body"] = "max_body" } do
      assert_said("unknown option '" .. wrong:gsub("%-", "%%-") .. "'; did you mean '" .. right .. "'?", { [wrong] = 1 })
    end
    assert.error_matches(function() new():get("good.1", { dead = 1 }) end, "get: unknown option 'dead'")
    assert.error_matches(function() new():get("good.1", { weit = 1 }) end, "did you mean 'wait'")
    assert.error_matches(function() new():content("good.1", { dedline = 1 }) end, "content: unknown .*did you mean 'deadline'")
    assert.error_matches(function()
      new():feedback { generation_id = "good.1", categorie = "other" }
    end, "feedback: unknown option 'categorie'; did you mean 'category'")
  end)

  it("must have their type", function()
    for name, wrong in pairs { api_key = 5, base_url = true, concurrency = "16", window = {}, connect_timeout = "5",
      timeout = -1, deadline = 0 / 0, wait = math.huge, retry = true, max_body = -1, ca_file = 5, on_event = "f",
      rate = "1", http_version = 2, proxy = false, insecure = "yes" } do
      local _, message = pcall(openrouter.client, { [name] = wrong })
      assert.matches("option '" .. name .. "' must ", message)
    end
    for _, rate in ipairs { 0, -1, 0 / 0, math.huge } do
      assert.error_matches(function() new { rate = rate } end, "option 'rate' must ")
    end
    for _, version in ipairs { "", "1", "2.0", "1.0", "3" } do
      assert.error_matches(function() new { http_version = version } end, "option 'http_version' must be '1.1' or '2'")
    end
    assert.error_matches(function() openrouter.client { retry = { base = "1" } } end, "option 'base' must be a number")
    assert.error_matches(function() openrouter.client(5) end, "options must be a table, not a number")
    assert.error_matches(function() new():get("good.1", 5) end, "options must be a table")
    assert.error_matches(function() new():get("good.1", { wait = "1" }) end, "'wait' must be a number")
    for name, wrong in pairs { generation_id = 5, category = true, comment = {} } do
      local feedback = { generation_id = "good.1", category = "other", comment = "" }
      feedback[name] = wrong
      assert.error_matches(function() new():feedback(feedback) end, "feedback: option '" .. name .. "' must be a string")
      feedback[name] = nil
      if name ~= "comment" then
        assert.error_matches(function() new():feedback(feedback) end, "generation_id and category are needed")
      end
    end
    assert.error_matches(function() new():feedback() end, "feedback: generation_id and category are needed")
    assert.error_matches(function() new():get("good.1", false) end, "get: options must be a table, not a boolean")
    for name, value in pairs { concurrency = 1.5, window = 1.5, max_body = 0.5 } do
      assert.error_matches(function() new { [name] = value } end, "option '" .. name .. "' must be .*whole number")
    end
    for name, wrong in pairs { window = { 0, 1e9 }, concurrency = { 0, 10001 }, rate = { 1e-9, 1e13 }, timeout = { 1e13 },
      max_body = { 2 ^ 26 } } do
      for _, value in ipairs(wrong) do
        assert.error_matches(function() new { [name] = value } end, "option '" .. name .. "' must be from [%d.e-]+ to [%d.e+]+$")
      end
    end
    assert.error_matches(function() new { retry = { factor = 0.5 } } end, "option 'factor' must be from 1 to")
    assert.error_matches(function() new { max_body = 1e12 } end, "max_body")
  end)

  it("show no login of a proxy, of whatever kind it is", function()
    for _, proxy in ipairs { "foo://u:pw123@127.0.0.1:1", "http://user:pw123@127.0.0.1:99999" } do
      local client, err = openrouter.client { api_key = KEY, base_url = "https://0.0.0.0:9", proxy = proxy }
      assert.is_nil(client)
      assert.is_nil(tostring(err):find("pw123", 1, true))
    end
    local script = ([[local options = { api_key = "%s", base_url = "https://0.0.0.0:9", retry = false }
      print(select(2, require "openrouter".client(options):get "gen-1"))]]):format(KEY)
    for _, proxy in ipairs { "foo://user:pw123@127.0.0.1:1", "http://user:pw123@127.0.0.1:99999" } do
      local status, out = shell.run(("https_proxy=%s %s -e %s"):format(proxy, os.getenv "LUA" or "lua5.4", shell.quote(script)))
      assert.equal(0, status)
      assert.matches("^gen%-1: network: Unsupported proxy\n$", out)
    end
    shell.clean()
  end)

  it("that are wrong are the caller's fault, who is named", function()
    local client = new()
    local calls = {
      function() local _ = openrouter.client { bad = 1 } end,
      function() local _ = openrouter.client(5) end,
      function() local _ = openrouter.client { retry = { bad = 1 } } end,
      function() local _ = client:get("good.1", { bad = 1 }) end,
      function() local _ = client:get(5) end,
      function() local _ = client:submit(5) end,
      function() local _ = client:poll "soon" end,
      function() local _ = client:each(5) end,
      function() for _ in client:each { 5 } do error() end end,
      function() local _ = openrouter.client { rate = 0 } end,
      function() local _ = openrouter.client { http_version = "4" } end,
      function() local _ = client:content(5) end,
      function() local _ = client:content("good.1", { bad = 1 }) end,
      function() local _ = client:cancel(5) end,
      function() local _ = client:feedback { bad = 1 } end,
      function() local _ = client:feedback {} end,
    }
    for _, call in ipairs(calls) do
      local _, message = pcall(call)
      local line = debug.getinfo(call, "S").linedefined
      assert.matches("options_spec.lua:" .. line .. ": ", message)
    end
  end)

  it("need a key", function()
    for _, key in ipairs { "", " ", "\n\t " } do
      local client, err = openrouter.client { api_key = key, base_url = server.url }
      assert.is_nil(client)
      assert.equal("no_key", err.kind)
      assert.matches("OPENROUTER_API_KEY", err.message)
    end
  end)

  it("need a key that can be sent", function()
    for _, bad in ipairs { "\n", "\r\nX-Evil: 1", "\0", "\1", "\127", " ", "\t", "é", "\200" } do
      local client, err = openrouter.client { api_key = KEY .. bad .. KEY, base_url = server.url }
      assert.is_nil(client)
      assert.equal("no_key", err.kind)
      assert.matches("^the key in the option 'api_key' has a", err.message)
      assert_no_key(err)
    end
    assert.equal(0, server:count "accept")
  end)

  it("say which variable has a key that cannot be sent, and why", function()
    local script = shell.write(shell.directory() .. "/script.lua", [[
      local openrouter = require "openrouter"
      print(select(2, openrouter.client()))
      print(select(2, openrouter.client { api_key = os.getenv "OPENROUTER_MANAGEMENT_KEY" }))]])
    local _, out = shell.run(("OPENROUTER_API_KEY='sk-or-\226\128\166' OPENROUTER_MANAGEMENT_KEY='sk or' %s %s")
      :format(os.getenv "LUA" or "lua5.4", script))
    assert.equal("no_key: the key in OPENROUTER_API_KEY has a character that is not ASCII, such as an example's ellipsis\n"
      .. "no_key: the key in OPENROUTER_MANAGEMENT_KEY has a space in it\n", out)
  end)

  it("may have space around the key", function()
    local gen = assert(new { api_key = " \t" .. KEY .. "\r\n" }:get "heard.1")
    assert.matches("\nAuthorization: Bearer " .. KEY:gsub("%-", "%%-") .. "\r\n", gen.heard)
  end)

  it("need a base URL that the key may go to", function()
    for _, bad in ipairs { "", "openrouter.ai/api/v1", "//openrouter.ai", "ftp://127.0.0.1", "file:///etc/passwd", "https://",
      "https://user:secret@openrouter.ai", "https://user@openrouter.ai", "https://openrouter.ai/api?key=1", "https://a b/",
      "https://openrouter.ai/api#x", "http://openrouter.ai/api/v1", "http://127.0.0.1.example.org",
      "http://example.org/127.0.0.1", "http://localhost.example.org", "http://127.0.0.1@example.org",
      "http://example.org#@127.0.0.1", "http://127.0.0.1.5",
      "http://0.0.0.0", "http://192.168.0.1", "http://[::2]", "http://[::ffff:10.0.0.1]", "http://localhost@example.org",
      "https://openrouter.ai/\n", "https://openrouter.ai/" .. ("x"):rep(5000), "javascript:x" } do
      local client, err = openrouter.client { api_key = KEY, base_url = bad }
      assert.is_nil(client)
      assert.equal("bad_request", err.kind)
      assert_no_key(err)
    end
  end)

  it("may have any base URL that is on this machine", function()
    for _, good in ipairs { server.url, server.url .. "/", server.url .. "//", (server.url:gsub("127.0.0.1", "localhost")),
      (server.url:gsub("http", "HTTP")), (server.url:gsub("127.0.0.1", "127.1")), (server.url:gsub("127.0.0.1", "LOCALHOST")),
      ("http://127.0.0.1:%d"):format(server.port.http), (server.url:gsub("127.0.0.1", "127.0.0.2")) } do
      local gen, err = new { base_url = good }:get "good.1"
      if good:find("127.0.0.2", 1, true) then assert.equal("network", err.kind) else assert.equal("good.1", gen.id) end
    end
    local err = select(2, new { base_url = "http://[::1]:" .. server.port.http }:get "good.1")
    assert.equal("network", err.kind) -- nobody listens there
  end)

  it("come from the environment too", function()
    local script = shell.write(shell.directory() .. "/script.lua", [[
      local client = assert(require "openrouter".client())
      local gen, err = client:get "heard.1"
      print(gen and gen.heard:match "Bearer (%S+)" or err)]])
    local status, out, err = shell.run(("OPENROUTER_API_KEY=' sk-from-there ' OPENROUTER_BASE_URL=%s %s %s")
      :format(server.url, os.getenv "LUA" or "lua5.4", script))
    assert.same({ 0, "sk-from-there\n", "" }, { status, out, err })
  end)

  it("are those of the table itself, and none that it inherits", function()
    local function inherits(what) return setmetatable({}, { __index = what }) end
    local client = assert(openrouter.client(setmetatable({ base_url = server.url, api_key = KEY },
      { __index = { http_version = "x", retry = "x", window = "x" } })))
    assert.equal(1024, client.options.window)
    assert.equal("good.1", client:get("good.1", inherits { wait = "x", deadline = {} }).id)
    assert.equal(0, #report.new(inherits { by = "nonsense", measures = 5, since = {} }).dimensions)
    assert.is_truthy(report.new():render("text", inherits { width = "x" }))
    assert.is_truthy(check.ledgers({}, inherits { progress = "x", max_drift = "x" }))
  end)

  it("with a NUL byte are refused", function()
    for _, name in ipairs { "base_url", "proxy" } do
      local client, err = openrouter.client { api_key = KEY, [name] = "http://127.0.0.1\0.example/" }
      assert.is_nil(client)
      assert.same({ "bad_request", ("the option '%s' has a NUL byte in it"):format(name) }, { err.kind, err.message })
    end
    local ok, raised = pcall(function()
      local client = openrouter.client { api_key = KEY, ca_file = "/a\0b" }
      return client
    end)
    assert.is_false(ok)
    assert.matches("options_spec.lua:%d+: client: option 'ca_file': a path must not have a NUL byte in it: /a", raised)
  end)

  it("keep the key out of the client's own fields", function()
    local client = new()
    assert_no_key(client)
    client:submit "good.1"
    for _ in client:poll() do assert_no_key(client) end
    client = new { proxy = "http://visitor:let-me-in@127.0.0.1:1" }
    assert_without("let-me-in", client)
  end)

  it("are the caller's own table, which stays as it was", function()
    local given = { base_url = server.url, api_key = KEY, proxy = "", retry = { base = 1 }, concurrency = 5000, window = 10 }
    assert(openrouter.client(given))
    assert.same({ base_url = server.url, api_key = KEY, proxy = "", retry = { base = 1 }, concurrency = 5000, window = 10 },
      given)
  end)
end)

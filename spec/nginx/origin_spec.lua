local openrouter = require "openrouter"
local origin = require "openrouter.nginx.origin"

describe("nginx.origin", function()
  it("takes a base URL apart", function()
    assert.same({ connect = "openrouter.ai", port = 443, tls = true, host = "openrouter.ai", name = "openrouter.ai",
      prefix = "/api/v1" }, origin.parse "https://OpenRouter.ai/api/v1/")
    assert.same({ connect = "api.test", port = 8443, tls = true, host = "api.test:8443", name = "api.test", prefix = "" },
      origin.parse "https://api.test:8443")
    assert.same({ connect = "127.0.0.1", port = 80, tls = false, host = "127.0.0.1", name = "127.0.0.1", prefix = "/v1" },
      origin.parse "http://127.0.0.1/v1")
    assert.same({ connect = "[::1]", port = 81, tls = false, host = "[::1]:81", name = "[::1]", prefix = "" },
      origin.parse "http://[::1]:81//")
  end)

  it("asks this machine by its address, for nginx's resolver has no hosts file", function()
    local o = origin.parse "http://localhost:8000/api/v1"
    assert.same({ "127.0.0.1", "localhost:8000" }, { o.connect, o.host })
  end)

  it("knows unix sockets", function()
    assert.same({ connect = "unix:/run/api.sock", tls = false, host = "localhost", prefix = "/api/v1" },
      origin.parse "http://unix:/run/api.sock:/api/v1")
    assert.same({ connect = "unix:/run/api.sock", tls = false, host = "localhost", prefix = "" },
      origin.parse "http://unix:/run/api.sock")
    assert.equal("unix:/run/my api.sock", origin.parse("HTTP://Unix:/run/my api.sock:/v1").connect)
    for _, url in ipairs { "http://unix:/run/a:b", "http://unix:", "http://unix:80/", "http://unix:/run/a:/v1/ x",
      "http://unix:/run/a\nb", "http://unix:/" .. ("x"):rep(107) } do
      local o, why = origin.parse(url)
      assert.is_nil(o)
      assert.matches("http://unix:/run/api.sock:/api/v1", why, 1, true)
    end
  end)

  it("sends no key in the clear, but within this machine", function()
    for _, url in ipairs { "http://api.test/", "http://128.0.0.1/", "http://127.0.0.1.evil.test/",
      "http://localhost.evil.test/", "http://127.999.1.1/", "http://127.0.0.256/", "http://127.0.0.08/", "http://127.0.0/",
      "http://127.0.0.99999999999999999999/" } do -- names, which a resolver may know
      local o, why = origin.parse(url)
      assert.is_nil(o)
      assert.matches("show the key to the network", why)
    end
    assert.equal("api.test", origin.parse("http://api.test/", true).connect)
  end)

  it("refuses what is no base URL, and says why", function()
    local cases = {
      ["openrouter.ai/api/v1"] = "not a URL",
      ["https://open router.ai"] = "not a URL",
      ["https://openrouter.ai\r\nX: y"] = "not a URL",
      ["https://key@openrouter.ai/"] = "user name or password",
      ["https://openrouter.ai/?a=b"] = "query or fragment",
      ["https://openrouter.ai/#a"] = "query or fragment",
      ["ftp://openrouter.ai/"] = "must be https",
      ["https:///api"] = "no host",
      ["https://a:b:c/"] = "no host",
      ["https://openrouter.ai:0/"] = "no such port",
      ["https://openrouter.ai:65536/"] = "no such port",
      ["https://[zz]/"] = "no host",
      ["https://127.0.0.1:8443/"] = "needs a host name",
      ["https://[::1]/"] = "needs a host name",
      ["https://openrouter.ai/" .. ("x"):rep(512)] = "too long",
    }
    for url, expected in pairs(cases) do
      local o, why = origin.parse(url)
      assert.is_nil(o, url)
      assert.matches(expected, why, 1, true)
    end
  end)

  -- ---- beside the client --------------------------------------------------------------------------------------------

  local function client_takes(url)
    local client, err = openrouter.client { api_key = "k", base_url = url }
    if client then client:close() else assert.equal("bad_request", err.kind) end
    return client ~= nil
  end

  local SAME = { "http://127.0.0.1", "http://127.255.0.9:8080/v1", "http://127.999.1.1/", "http://127.0.0.256/",
    "http://127.0.0.08/", "http://LOCALHOST:/", "http://localhost./", "http://127.0.0.1./", "http://[::1]:81/",
    "http://[::ffff:127.0.0.1]/", "http://127.0.0.1%2e/", "http://127.0.0.1\\@evil.test/", "http://127.0.0.1#@evil.test/",
    "http://127.0.0.1:80@evil.test/", "http://[::1].evil.test/", "http://127.0.0.1:80:80/", "http://128.0.0.1/",
    "http://exa_mple.com/", "https://exa_mple.com/", "https://a.test:/", "https://:80/", "https://a.test:65536/",
    "https://a.test:443x/", "HTTPS://A.test/", "https://a.test/ b", "https://a.test/%20", "https://a.test/\195\164",
    "https://@a.test/", "https://a.test?", "https://a.test/" .. ("x"):rep(511), "https://a.test/" .. ("x"):rep(512),
    "ftp://127.0.0.1/", "http://unix:", "http://unix:80/", "http://UNIX:/run/a", "http://unix:/run/a b:/v1",
    "http://unix:/run/a:b", "http://unix:/run/a:/v1?x", "http://unix:/run/a@b:/v1", "http://unix:/" .. ("x"):rep(106),
    "http://unix:/" .. ("x"):rep(107) }

  -- Here libcurl knows more spellings, and nginx none of addresses in certificates.
  local STRICTER = { "http://127.1/", "http://127.0.0.01/", "http://0x7f.0.0.1/", "http://2130706433/",
    "http://[0:0:0:0:0:0:0:1]/", "http:///127.0.0.1/", "http://127.0.0.1:0/", "http://unix:/run/a?x", "https://[::1]/",
    "https://127.0.0.1/", "https://a.test#" }

  it("takes what the client takes, and nothing else", function()
    for _, url in ipairs(SAME) do assert.same({ url, client_takes(url) }, { url, origin.parse(url) ~= nil }) end
    for _, url in ipairs(STRICTER) do assert.same({ url, nil }, { url, (origin.parse(url)) }) end
  end)

  it("sends the key in the clear to no host that the client would not", function()
    local parts = { "127", "0", "1", "255", "256", "08", "localhost", "[::1]", "[", "]", "::", "x", "_", "-", "@", "%2e", "\\",
      ":80", ".", ".", ".", "127.0.0.", "127.0." }
    local taken = 0
    for _ = 1, 20000 do
      local host = {}
      for i = 1, math.random(5) do host[i] = parts[math.random(#parts)] end
      local url = "http://" .. table.concat(host) .. "/"
      if origin.parse(url) then
        taken = taken + 1
        assert.is_true(client_takes(url), url)
      end
    end
    assert.is_true(taken > 50)
  end)
end)

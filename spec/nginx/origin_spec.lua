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
    for _, url in ipairs { "http://unix:/run/a:b", "http://unix:" } do
      local o, why = origin.parse(url)
      assert.is_nil(o)
      assert.matches("http://unix:/run/api.sock:/api/v1", why, 1, true)
    end
  end)

  it("sends no key in the clear, but within this machine", function()
    for _, url in ipairs { "http://api.test/", "http://128.0.0.1/", "http://127.0.0.1.evil.test/",
      "http://localhost.evil.test/" } do
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
    }
    for url, expected in pairs(cases) do
      local o, why = origin.parse(url)
      assert.is_nil(o, url)
      assert.matches(expected, why, 1, true)
    end
  end)
end)

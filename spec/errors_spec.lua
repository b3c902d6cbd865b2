local core = require "openrouter.core"
local engine = require "spec.support.engine"
local errors = require "openrouter.errors"
local openrouter = require "openrouter"
local shell = require "spec.support.shell"

describe("errors", function()
  -- The table in docs/errors.md, by kind, with the names in order.
  local function documented()
    local rows, names = {}, {}
    local text = shell.read("docs/errors.md"):match "\n## Kinds\n(.-)\n## "
    for name, when, again, retryable, meaning in text:gmatch "\n| `([%w_]+)` | ?([^|]*) | ([^|]*) | ([^|]*) | ([^|]*) |" do
      names[#names + 1] = name
      rows[name] = { when = when, again = again, retryable = retryable, meaning = meaning }
    end
    return rows, names
  end

  describe("documentation", function()
    local rows, names = documented()

    it("has the kinds as they are, with their meaning", function()
      local known = {}
      for i, kind in ipairs(core.kinds) do
        known[i] = kind.name
        assert.equal(kind.meaning, rows[kind.name] and rows[kind.name].meaning)
      end
      assert.same(known, names)
    end)

    it("says which are asked again", function()
      local words = { always = "until the deadline", wait = "while `wait` lasts", briefly = "twice at most", later = "no",
        never = "no", stop = "no, nor is any other id" }
      for _, kind in ipairs(core.kinds) do
        assert.equal(words[kind.retry], rows[kind.name].again)
        assert.equal(kind.retry == "stop" or nil, errors.stops[kind.name])
      end
    end)

    it("says which are retryable, as does every maker of errors", function()
      for name, row in pairs(rows) do
        local e = engine.asking "gen-x"
        local _, err = e:fault("gen-x", name, nil, 0)
        assert.same({ name, row.retryable == "yes" }, { err.kind, err.retryable })
        assert.equal(err.retryable, errors.new(name, "x").retryable)
        assert.matches("^[yn][eo]s?$", row.retryable)
      end
    end)

    it("says what each status means", function()
      local exact, other = {}, {}
      for name, row in pairs(rows) do
        local status = tonumber(row.when)
        if status and status ~= 200 then exact[status] = name end
        other[row.when:match "^other 4xx" or row.when:match "^5xx" or row.when:match "^other" or ""] = name
      end
      for status = 201, 999 do
        local range = status >= 400 and status < 500 and "other 4xx" or status >= 500 and status < 600 and "5xx" or "other"
        assert.equal(exact[status] or other[range], engine.kind_of(status))
      end
    end)
  end)

  describe("as text", function()
    it("are one line", function()
      assert.equal("gen-1: server (HTTP 502): bad gateway (4 attempts in 3.2 s)",
        tostring(errors.new("server", "bad gateway", { id = "gen-1", status = 502, attempts = 4, elapsed = 3.21 })))
      assert.equal("forbidden (HTTP 403): no",
        tostring(errors.new("forbidden", "no", { status = 403, attempts = 1, elapsed = 9 })))
      assert.equal("timeout: slow (2 attempts in 0.0 s)", tostring(errors.new("timeout", "slow", { attempts = 2 })))
      assert.equal("io: cannot open", tostring(errors.new("io", "cannot open")))
      assert.equal("bad_id: x", tostring(errors.new("bad_id", "x", { attempts = 0 })))
      assert.equal("x\\x0A: bad_id: a\\x0D\\x0Ab\\x1B[31m\\x00",
        tostring(errors.new("bad_id", "a\r\nb\27[31m\0", { id = "x\n" })))
    end)

    it("are cut between characters", function()
      assert.equal(("x"):rep(300), errors.printable(("x"):rep(300)))
      assert.equal(("x"):rep(300) .. "…", errors.printable(("x"):rep(301)))
      for shift = 0, 3 do
        for _, character in ipairs { "ä", "日", "😀" } do
          local text = ("x"):rep(shift) .. character:rep(400)
          local shown = errors.printable(text)
          local whole = shown:match "^(.*)…$"
          assert.equal(text:sub(1, #whole), whole)
          assert.is_true(#whole > 300 - #character and #whole <= 300)
          assert.equal(0, (#whole - shift) % #character)
        end
      end
      assert.is_true(#errors.printable(("\128"):rep(1000)) > 290) -- no UTF-8 at all
    end)

    it("take any number", function()
      local _, err = openrouter.decode '{"failed":"gen-1","error":{"kind":"server","message":"m","status":500.5,"attempts":2.5}}'
      assert.matches("^server %(HTTP 50[01]%): m %([23] attempts in 0.0 s%)$", tostring(err))
      _, err = openrouter.decode '{"failed":"gen-1","error":{"kind":"server","message":"m","status":1e300,"attempts":-1}}'
      assert.matches("^server", tostring(err))
    end)
  end)

  it("of an API's body keep its words and take the kind of its code", function()
    for code, kind in pairs { [401] = "auth", [404] = "not_found", [429] = "rate_limited", [502] = "server",
      [418] = "bad_request", [200] = "bad_answer", [7] = "bad_answer" } do
      local gen, err = openrouter.decode(('{"error":{"message":"words","code":%d}}'):format(code))
      assert.is_nil(gen)
      assert.same({ kind, "words", code }, { err.kind, err.message, err.code })
    end
  end)

  it("of unknown kinds are not retryable", function()
    assert.is_false(errors.new("nonsense", "x").retryable)
  end)
end)

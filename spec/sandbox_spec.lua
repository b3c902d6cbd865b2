local cjson = require "cjson"
local openrouter = require "openrouter"
local generation = require "openrouter.generation"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

describe("sandbox", function()
  local sandbox
  setup(function() sandbox = servers.sandbox() end)
  teardown(function() sandbox:stop() end)
  after_each(shell.clean)

  local function curl(arguments, path, key)
    local _, out = shell.run(("curl -s -i -m 10 -H 'Authorization: Bearer %s' %s '%s%s'"):format(
      key or "k", arguments, sandbox.url, path))
    return tonumber(out:match "HTTP/1.1 (%d+)"), out:match "\r\n\r\n(.*)$", out
  end

  local function content(id, key) return curl("", "/generation/content?id=" .. id, key) end

  local function feedback(body, key) return curl("--data-binary " .. shell.quote(body), "/generation/feedback", key) end

  --- Each line, decoded.
  local function decoded(text)
    local list = {}
    for line in text:gmatch "[^\n]+" do list[#list + 1] = cjson.decode(line) end
    return list
  end

  it("answers with the record that Python computes from the id", function()
    local ids = {}
    for i = 1, 300 do ids[i] = ("gen-%d-%d"):format(1790000000 + i * 7919, i * i) end
    for i = 301, 320 do ids[i] = "gen-old:" .. i .. "/x~" end
    for i = 321, 340 do ids[i] = "gen-failed-" .. i end
    local path = shell.write(shell.directory() .. "/ids", table.concat(ids, "\n") .. "\n")
    local _, model = shell.run("python3 spec/support/sandbox_model.py <" .. path)
    local expected = {}
    for line in model:gmatch "[^\n]+" do
      local row = cjson.decode(line)
      expected[row.id] = row
    end
    local client = assert(openrouter.client { api_key = "k", base_url = sandbox.url })
    local compared = 0
    for id, gen, err in client:each(ids) do
      local row = assert(expected[id])
      local _, spend = generation.spend(assert(gen, tostring(err)))
      if row.spend == cjson.null then spend = cjson.null end
      assert.same({ row.model, row.day, row.spend }, { gen.model, gen.created_at:sub(1, 10), spend })
      local violations = generation.violations(gen)
      if not gen.total_cost then table.remove(violations) end -- one in a hundred has usage alone
      assert.same({}, violations)
      compared = compared + 1
    end
    client:close()
    assert.equal(#ids, compared)
  end)

  it("answers with the content that Python computes from the id, and that fits the record", function()
    local ids, urls, seen = {}, {}, {}
    for i = 1, 200 do ids[i] = ("gen-%d-%d%s"):format(1790000000 + i * 7919, i * i, i % 2 == 0 and "-failed-x" or "") end
    for i, id in ipairs(ids) do
      urls[2 * i - 1] = ("url = %s/generation?id=%s"):format(sandbox.url, id)
      urls[2 * i] = ("url = %s/generation/content?id=%s"):format(sandbox.url, id)
    end
    local directory = shell.directory()
    local config = shell.write(directory .. "/urls", table.concat(urls, "\n") .. "\n")
    local _, model = shell.run("python3 spec/support/sandbox_model.py --content <"
      .. shell.write(directory .. "/ids", table.concat(ids, "\n")))
    local _, out = shell.run("curl -s -m 30 -H 'Authorization: Bearer k' -w '\\n' -K " .. config)
    local expected, answers = decoded(model), decoded(out)
    assert.equal(#ids, #expected)
    assert.equal(2 * #ids, #answers)
    for i = 1, #ids do
      local gen, data = answers[2 * i - 1].data, answers[2 * i].data
      assert.same({ data = expected[i] }, answers[2 * i])
      assert.equal(gen.finish_reason == "error", data.error ~= cjson.null)
      assert.equal(i % 2 == 0, data.error ~= cjson.null)
      if data.error ~= cjson.null then
        local calls = gen.provider_responses
        assert.same({ 0, 502, gen.provider_name }, { gen.usage, data.error.status, data.error.provider_name })
        assert.equal(calls == cjson.null and 0 or #calls - 1, #data.error.previous_errors)
        if calls ~= cjson.null then assert.equal(502, calls[#calls].status) end
        for j, before in ipairs(data.error.previous_errors) do
          local status = calls[j].status
          assert.same({ status == cjson.null and 524 or status, calls[j].provider_name }, { before.code, before.provider_name })
          assert.equal(status == cjson.null, before.raw == cjson.null)
          seen["earlier error"] = true
        end
      end
      seen[data.input.prompt and "prompt" or "messages"] = true
      seen[data.output.completion == cjson.null and "no completion" or "completion"] = true
      seen[data.output.reasoning == cjson.null and "no reasoning" or "reasoning"] = true
      local asked = data.input.prompt or data.input.messages[#data.input.messages].content
      seen[type(asked) == "table" and "parts" or "text"] = true
    end
    assert.same({ prompt = true, messages = true, completion = true, ["no completion"] = true, reasoning = true,
      ["no reasoning"] = true, parts = true, text = true, ["earlier error"] = true }, seen)
  end)

  it("gives content under the same rules as records", function()
    assert.equal(400, (curl("", "/generation/content")))
    assert.equal(404, (content "chatcmpl-1"))
    assert.equal(404, (curl("-X POST", "/generation/content?id=gen-1")))
    assert.equal(401, (content("gen-1", "sk-or-sandbox-bad")))
    assert.equal(402, (content("gen-1", "sk-or-sandbox-broke")))
    assert.equal(524, (content "gen-status-524-x"))
    assert.equal(502, (content "gen-once-502-content"))
    assert.equal(200, (content "gen-once-502-content"))
    assert.equal(404, (content "gen-1-fresh-content"))
    servers.wait_for(function() return content "gen-1-fresh-content" == 200 end, 5)
    assert.equal(200, (content "gen-1-fresh-content"))
    assert.matches("^<!DOCTYPE html>", (select(2, content "gen-html-x")))
    local _, other = shell.run "echo gen-other-xx | python3 spec/support/sandbox_model.py --content"
    assert.same({ data = cjson.decode(other) }, cjson.decode((select(2, content "gen-other-x"))))
    local status, half, all = content "gen-cut-x"
    assert.equal(200, status)
    assert.equal(math.floor(all:match "Content%-Length: (%d+)" / 2), #half)
  end)

  it("takes feedback as documented, and no other", function()
    local status, body = feedback [[{"generation_id":"gen-1","category":"other"}]]
    assert.equal(200, status)
    assert.same({ data = { success = true } }, cjson.decode(body))
    for _, category in ipairs { "latency", "incoherence", "incorrect_response", "formatting", "billing", "api_error", "other" } do
      assert.equal(200, (feedback(cjson.encode { generation_id = "gen-1", category = category, comment = "" })))
    end
    assert.equal(200, (feedback [[{"generation_id":"gen-old:1\/x~","category":"\u006fther"}]]))
    local with_comment = [[ {"comment":"%s","more":1e-3, "category":"other","generation_id":"gen-1"} ]]
    for _, character in ipairs { "c", "é", "🕰", [[\"]], [[\\]], [[\u00e9]], [[\ud83d\udd70]] } do
      assert.equal(200, (feedback(with_comment:format(character:rep(1000)))), character)
      assert.equal(400, (feedback(with_comment:format(character:rep(1001)))), character)
    end
    for _, wrong in ipairs {
      "", "[]", "{}", "null",
      [[{"generation_id":"gen-1"}]], [[{"category":"other"}]],
      [[{"generation_id":"","category":"other"}]], [[{"generation_id":1,"category":"other"}]],
      [[{"generation_id":"gen-1","category":"praise"}]], [[{"generation_id":"gen-1","category":null}]],
      [[{"generation_id":"gen-1","category":"other","comment":null}]],
      [[{"generation_id":"gen-1","category":"other","comment":"\x"}]],
      [[{"generation_id":"gen-1","category":"other"]], [[{"generation_id":"gen-1","category":"other"},]],
      [[{"generation_id":"gen-1" "category":"other"}]], [[{"generation_id":"gen-1","category":"other",}]],
    } do
      status, body = feedback(wrong)
      assert.equal(400, status, wrong)
      assert.same({ error = { code = 400, message = "Invalid request parameters" } }, cjson.decode(body))
    end
  end)

  it("gives feedback the rules of the other routes", function()
    local function on(id, key) return (feedback(([[{"generation_id":"%s","category":"other"}]]):format(id), key)) end
    assert.equal(404, (curl("", "/generation/feedback")))
    assert.equal(404, on "chatcmpl-1")
    assert.equal(401, on("gen-1", "sk-or-sandbox-bad"))
    assert.equal(529, on "gen-status-529-x")
    assert.equal(429, on "gen-once-429-feedback")
    assert.equal(200, on "gen-once-429-feedback")
  end)

  it("has a key that is no management key", function()
    local plain = "sk-or-sandbox-plain"
    assert.equal(200, (curl("", "/generation?id=gen-1", plain)))
    local refused = { error = { code = 403, message = "Only management keys can perform this operation" } }
    for _, ask in ipairs { content, feedback } do
      local status, body = ask("gen-1", plain)
      assert.equal(403, status)
      assert.same(refused, cjson.decode(body))
    end
    assert.equal(400, (curl("", "/generation/content", plain)))
  end)

  it("wants a key, an id and the right route", function()
    local _, out = shell.run(("curl -s -i '%s/generation?id=gen-1'"):format(sandbox.url))
    assert.matches("HTTP/1.1 401", out)
    _, out = shell.run(("curl -s -i '%s/generation/content?id=gen-1'"):format(sandbox.url))
    assert.matches("HTTP/1.1 401", out)
    _, out = shell.run(("curl -s -i -d '{}' '%s/generation/feedback'"):format(sandbox.url))
    assert.matches("HTTP/1.1 401", out)
    assert.equal(400, curl("", "/generation"))
    assert.equal(404, (curl("", "/generation?id=chatcmpl-1")))
    assert.equal(404, (curl("", "/nowhere")))
    assert.equal(200, (curl("", "/generation?id=gen-1")))
  end)

  it("fails as the id asks for", function()
    local status, _, all = curl("", "/generation?id=gen-status-429-x")
    assert.equal(429, status)
    assert.matches("Retry%-After: 1", all)
    assert.equal(503, (curl("", "/generation?id=gen-once-503-x")))
    assert.equal(200, (curl("", "/generation?id=gen-once-503-x")))
    assert.equal(404, (curl("", "/generation?id=gen-1-fresh-x")))
    servers.wait_for(function() return curl("", "/generation?id=gen-1-fresh-x") == 200 end, 5)
    assert.equal(200, (curl("", "/generation?id=gen-1-fresh-x")))
  end)

  it("hands out ids, whose records agree with the usage it reports", function()
    local status, body, all = curl("-d '{\"messages\":[]}'", "/chat/completions")
    assert.equal(200, status)
    local answer = cjson.decode(body)
    assert.matches("^gen%-%d+%-fresh%-", answer.id)
    assert.equal(answer.id, all:match "X%-Generation%-Id: (%S+)")
    assert.equal(404, (curl("", "/generation?id=" .. answer.id)))
    local client = assert(openrouter.client { api_key = "k", base_url = sandbox.url })
    local gen = assert(client:get(answer.id))
    client:close()
    assert.same({ gen.usage, gen.native_tokens_prompt, gen.native_tokens_completion, gen.model },
      { answer.usage.cost, answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.model })
  end)

  it("streams events that all have the id, with the usage at the end", function()
    local _, body, all = curl("-N -d '{\"stream\":true}'", "/chat/completions")
    assert.matches("Content%-Type: text/event%-stream", all)
    assert.matches("^: OPENROUTER PROCESSING\n", body)
    assert.matches("\ndata: %[DONE%]\n\n$", body)
    local id, events, last = all:match "X%-Generation%-Id: (%S+)", 0, nil
    for event in body:gmatch "\ndata: (%b{})" do
      events, last = events + 1, cjson.decode(event)
      assert.equal(id, last.id)
    end
    assert.is_true(events >= 3)
    assert.is_number(last.usage.cost)
  end)

  --- The answer's text: what a whole answer says, and what each event of a stream adds to it.
  local function words_of(request)
    local _, body = curl("-N -d " .. shell.quote(request), "/chat/completions")
    if not body:find "^:" then return cjson.decode(body).choices[1].message.content end
    local words = {}
    for event in body:gmatch "\ndata: (%b{})" do
      local word = cjson.decode(event).choices[1].delta.content
      if word ~= "" then words[#words + 1] = word end
    end
    return table.concat(words), #words
  end

  it("says as many words as it is asked for", function()
    local ten = "This answer comes from the sandbox: no model was asked."
    local texts = { [1] = "This ", [10] = ten, [12] = ten .. " This answer ", [20] = ten .. " " .. ten }
    for count, text in pairs(texts) do
      assert.equal(text, (words_of(('{"max_tokens":%d}'):format(count))))
      assert.same({ text, count }, { words_of(('{"stream":true,"max_tokens": %d}'):format(count)) })
    end
    for _, request in ipairs { "{}", '{"max_tokens":0}', '{"max_tokens":null}', '{"max_tokens":"x"}' } do
      assert.equal(ten, (words_of(request)))
    end
    for _, count in ipairs { "10000", "10001", ("9"):rep(400) } do
      assert.equal((ten .. " "):rep(1000):sub(1, -2), (words_of(('{"max_tokens":%s}'):format(count))))
    end
  end)

  it("compresses chat completions for who accepts it, and for nobody else", function()
    for _, request in ipairs { '{"max_tokens":100}', '{"stream":true}' } do
      local _, _, plain = curl("-N -d " .. shell.quote(request), "/chat/completions")
      local _, body, all = curl("-N --compressed -H 'Via: 1.1 proxy' -d " .. shell.quote(request), "/chat/completions")
      assert.not_matches("Content%-Encoding", plain)
      assert.matches("Content%-Encoding: gzip", all)
      assert.matches("sandbox: .*asked.*\"usage\":{", body)
      assert.matches(request:find "stream" and "data: %[DONE%]\n\n$" or "}}$", body)
    end
  end)

  it("sends each event when it is said, compressed as well", function()
    -- Five minutes of events: what waits for a buffer to fill does not come in time.
    local ask = "curl -sN -m 8 --compressed -H 'Authorization: Bearer k' -d '%s' %s/chat/completions | head -n 3"
    local status, out = shell.run(ask:format('{"stream":true,"max_tokens":10000}', sandbox.url))
    assert.equal(0, status)
    assert.matches('^: OPENROUTER PROCESSING\n\ndata: {.*"This "', out)
  end)

  it("leaves the id out of the headers where a gateway would", function()
    local url = sandbox.url:gsub("/api/v1", "/bare/api/v1/chat/completions")
    for _, request in ipairs { "{}", '{"stream":true}' } do
      local _, out = shell.run(("curl -s -i -N -m 10 -H 'Authorization: Bearer k' -d '%s' %s"):format(request, url))
      assert.matches("^HTTP/1.1 200", out)
      assert.not_matches("generation%-id", out:lower())
      local id = out:match '"id":"(gen%-[^"]+)"'
      servers.wait_for(function() return curl("", "/generation?id=" .. id) == 200 end, 5)
      assert.equal(200, (curl("", "/generation?id=" .. id)))
    end
  end)

  it("has answers without a generation", function()
    local status, body, all = curl("", "/models")
    assert.equal(200, status)
    assert.not_matches("gen%-", all)
    local list = cjson.decode(body)
    assert.is_nil(list.id)
    assert.equal(24, #list.data)
    assert.equal(404, (curl("-d x", "/models")))
    local _, page = shell.run(("curl -s -i %s/page"):format(sandbox.url:match "^http://[^/]+"))
    assert.matches("^HTTP/1.1 200", page)
    assert.matches("Content%-Type: text/html\r\n.*<title>", page)
  end)

  describe("account", function()
    local DAY = 86400
    local own, now
    setup(function()
      own, now = servers.sandbox(), os.time()
      servers.made(own, { "gen-1792120000-old", ("gen-%d-today"):format(now) })
    end)
    teardown(function() own:stop() end)

    local function ask(path, arguments, key)
      local _, out = shell.run(("curl -s -i -m 10 -H 'Authorization: Bearer %s' %s '%s%s'"):format(
        key or "k", arguments or "", own.url, path))
      return tonumber(out:match "HTTP/1.1 (%d+)"), cjson.decode((out:match "\r\n\r\n(.*)$"))
    end
    local function day_of(seconds) return os.date("!%Y-%m-%d", seconds) end
    local function query(fields)
      local body = { metrics = { "request_count" }, granularity = "day",
        time_range = { start = day_of(now - 3 * DAY) .. "T00:00:00Z", ["end"] = day_of(now) .. "T00:00:00Z" } }
      for name, value in pairs(fields) do body[name] = value end
      return ask("/analytics/query", "--data-binary " .. shell.quote(cjson.encode(body)))
    end

    it("adds up what the account was told of as Python does, in completed days alone", function()
      local ids = {}
      for i = 1, 200 do ids[i] = ("gen-%d-%d"):format(now - (1 + i % 3) * DAY, i * i) end
      servers.made(own, ids)
      servers.made(own, { ids[1] }) -- counts once
      local path = shell.write(shell.directory() .. "/ids", table.concat(ids, "\n") .. "\n")
      local _, model = shell.run("python3 spec/support/sandbox_model.py --activity <" .. path)
      local expected = cjson.decode(model)
      local status, answer = ask "/activity"
      assert.equal(200, status)
      local function by_key(rows)
        local keys = {}
        for _, row in ipairs(rows) do keys[row.date .. row.model_permaslug .. row.provider_name] = row end
        return keys
      end
      assert.equal(#expected, #answer.data)
      assert.same(by_key(expected), by_key(answer.data))
      local yesterday = day_of(now - DAY)
      status, answer = ask("/activity?date=" .. yesterday)
      assert.equal(200, status)
      for _, row in ipairs(answer.data) do assert.equal(yesterday, row.date) end
      for _, date in ipairs { day_of(now), day_of(now - 31 * DAY), "", "2026-11-1" } do
        assert.equal(400, (ask("/activity?date=" .. date)))
      end

      local sum, requests = 0, 0
      for _, row in ipairs(expected) do
        if row.date == yesterday then sum, requests = sum + row.usage, requests + row.requests end
      end
      status, answer = query { metrics = { "request_count", "credits_usage" }, dimensions = { "generation_id", "model" },
        limit = 10000, time_range = { start = yesterday .. "T00:00:00Z", ["end"] = day_of(now) .. "T00:00:00Z" } }
      assert.equal(200, status)
      assert.same({ requests, false }, { answer.data.metadata.row_count, answer.data.metadata.truncated })
      for _, row in ipairs(answer.data.data) do
        assert.same({ "1", yesterday }, { row.request_count, row.created_at__day })
        assert.matches("^gen%-", row.generation_id)
        sum = sum - row.credits_usage
      end
      assert.is_true(math.abs(sum) < 1e-9)
      status, answer = query { dimensions = { "model" }, limit = 2 }
      assert.same({ 200, 2, true }, { status, #answer.data.data, answer.data.metadata.truncated })
      assert.is_string(answer.data.data[1].date__day)
    end)

    it("knows what it handed out", function()
      local _, answer = ask("/chat/completions", "-d '{}'")
      local _, found = query { dimensions = { "generation_id" }, limit = 10000,
        time_range = { start = day_of(now) .. "T00:00:00Z", ["end"] = day_of(now + DAY) .. "T00:00:00Z" } }
      local ids = {}
      for _, row in ipairs(found.data.data) do ids[row.generation_id] = true end
      assert.is_true(ids[answer.id])
    end)

    it("refuses other queries, other keys and what is no id", function()
      for _, wrong in ipairs {
        { metrics = { "spend" } }, { metrics = {} }, { dimensions = { "colour" } }, { granularity = "hour" }, { limit = 10001 },
        { dimensions = { "model", "provider", "generation_id" } }, { time_range = {} },
        { time_range = { start = "2026-11-02T00:00:00Z", ["end"] = "2026-11-02T00:00:00Z" } },
        { dimensions = { "generation_id" }, time_range = { start = "2026-09-01T00:00:00Z", ["end"] = "2026-11-02T00:00:00Z" } },
      } do
        assert.equal(400, (query(wrong)))
      end
      for _, route in ipairs { { "/activity" }, { "/analytics/query", "-d '{}'" } } do
        local status, answer = ask(route[1], route[2], "sk-or-sandbox-plain")
        assert.same({ 403, "Only management keys can perform this operation" }, { status, answer.error.message })
        assert.equal(401, (ask(route[1], route[2], "sk-or-sandbox-bad")))
      end
      assert.equal(404, (ask("/activity", "-d x")))
      assert.equal(404, (ask("/analytics/query")))
      assert.equal(400, (ask("/../../made", "--path-as-is -d 'gen 1'")))
    end)
  end)

  it("serves https under a name, with a certificate for it", function()
    local secure = servers.sandbox { tls = "api.test" }
    finally(function() secure:stop() end)
    assert.equal(("https://api.test:%d/api/v1"):format(secure.port), secure.url)
    assert.is_truthy(servers.wait_for(function() return secure:log():find(secure.certificate, 1, true) end)) -- told last
    local function ask(name)
      local status, out = shell.run(("curl -s -m 10 --cacert %s --resolve %s:%d:127.0.0.1 -H 'Authorization: Bearer k' %s")
        :format(secure.certificate, name, secure.port, ("'https://%s:%d/api/v1/generation?id=gen-1'"):format(name, secure.port)))
      return status, out:match '"id":"(gen%-[^"]*)'
    end
    for _, name in ipairs { "api.test", "localhost", "127.0.0.1" } do assert.same({ 0, "gen-1" }, { ask(name) }) end
    assert.equal(60, (ask "other.test"))
    assert.not_equal(0, (shell.run(("curl -s http://127.0.0.1:%d/page | grep 'A page'"):format(secure.port))))
    secure:stop()
    assert.is_nil(io.open(secure.certificate))
    for _, name in ipairs { "''", "a/b", "'a b'", "'a,DNS:b'" } do
      assert.equal(2, (shell.run("examples/sandbox/run --tls " .. name)))
    end
  end)

  it("has workers that are not root", function()
    local _, users = shell.run(("ps -o user= --ppid $(pgrep -P %d nginx)"):format(sandbox.pid))
    assert.not_matches("root", users)
    assert.matches("%S", users)
  end)
end)

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

  local function curl(arguments, path)
    local _, out = shell.run(("curl -s -i -m 10 -H 'Authorization: Bearer k' %s '%s%s'"):format(arguments, sandbox.url, path))
    return tonumber(out:match "HTTP/1.1 (%d+)"), out:match "\r\n\r\n(.*)$", out
  end

  it("answers with the record that Python computes from the id", function()
    local ids = {}
    for i = 1, 300 do ids[i] = ("gen-%d-%d"):format(1790000000 + i * 7919, i * i) end
    for i = 301, 320 do ids[i] = "gen-old:" .. i .. "/x~" end
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

  it("wants a key, an id and the right route", function()
    local _, out = shell.run(("curl -s -i '%s/generation?id=gen-1'"):format(sandbox.url))
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

  it("has workers that are not root", function()
    local _, users = shell.run(("ps -o user= --ppid $(pgrep -P %d nginx)"):format(sandbox.pid))
    assert.not_matches("root", users)
    assert.matches("%S", users)
  end)
end)

local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

describe("docs", function()
  after_each(shell.clean)

  it("list the members of the field table", function()
    local status, out = shell.run((os.getenv "LUA") .. " docs/fields.lua")
    assert.equal(0, status)
    assert.equal(shell.read "docs/fields.md", out, "run: lua5.4 docs/fields.lua > docs/fields.md")
  end)

  it("show what decoding does", function()
    local blocks = {}
    for block in shell.read("docs/decoding.md"):gmatch "```lua\n(.-)```" do blocks[#blocks + 1] = block end
    assert.equal(4, #blocks)
    local directory = shell.directory()
    shell.write(directory .. "/costs.jsonl",
      '{"total_cost":0.5,"latency":7}\nno JSON\n{"total_cost":0.25,"latency":9,"id":"a"}\n')
    local function run(block)
      shell.write(directory .. "/program.lua", block)
      local _, out = shell.run(("cd %s && %s program.lua 2>&1"):format(shell.quote(directory), os.getenv "LUA"))
      return (out:gsub("[ \t]+", " "))
    end
    for i = 1, 2 do
      local promised = {}
      for words in blocks[i]:gmatch "%-%-> ([^\n]+)" do promised[#promised + 1] = words:gsub(" +", " ") .. "\n" end
      assert.equal(table.concat(promised), run(blocks[i]))
    end
    assert.equal("0.75 9\n", (run(blocks[3] .. "print(total, slowest)\n"):gsub("%.0", "")))
    assert.equal("costs.jsonl 1 0.5 30\ncosts.jsonl 3 0.25 40\n"
      .. "costs.jsonl 2 not a JSON object: a value must stand here, at byte 1\n", run(blocks[4]))
  end)

  it("show what a report says of itself", function()
    local block = shell.read("docs/reports.md"):match "```lua\n(print%(report.-)```"
    local promised = {}
    for words in block:gmatch "%-%-> ([^\n]+)" do promised[#promised + 1] = words .. "\n" end
    assert.equal(5, #promised)
    local file = shell.write(shell.directory() .. "/names.lua", 'local report = require "openrouter.report"\n' .. block)
    local _, out = shell.run(("%s %s 2>&1"):format(os.getenv "LUA", shell.quote(file)))
    assert.equal(table.concat(promised), (out:gsub("\t", " ")))
  end)

  it("show how reports are compared and checked", function()
    local blocks = {}
    for block in shell.read("docs/reports.md"):gmatch "```lua\n(local .-)```" do blocks[#blocks + 1] = block end
    assert.equal(4, #blocks)
    local directory = shell.directory()
    shell.write(directory .. "/costs.jsonl", '{"model":"a","created_at":"2026-10-03T00:00:00Z","total_cost":0.5}\n'
      .. '{"model":"a","created_at":"2026-11-03T00:00:00Z","total_cost":0.75}\n'
      .. '{"settled":"x","at":"2026-11-03T00:00:00Z","instant":{"cost":1},"answer":{"data":{"id":"x","total_cost":6}}}\n'
      .. '{"id":"y","is_byok":true,"total_cost":1}\n')
    local function run(block)
      shell.write(directory .. "/program.lua", block)
      local _, out = shell.run(("cd %s && %s program.lua 2>&1"):format(shell.quote(directory), os.getenv "LUA"))
      return (out:gsub("50%.0", "50"))
    end
    local rows = run(blocks[1])
    assert.matches("a\t2026%-10%-03\t0.5\t0.5\na\t2026%-11%-03\t0.75\t0.75\n", rows)
    assert.matches("\n7.25\t0\n.*\ntotal +4 +7%.25", rows)
    assert.equal("", run(blocks[2]))
    assert.equal("a\t0.5\t0.75\t0.25\t50\n", run(blocks[3]))
    assert.equal("true\t1\t0\t1\t1\t0\ncosts.jsonl\t3\tx\t5\n", run(blocks[4]))
  end)

  it("name only specs that exist", function()
    for _, path in ipairs { "CONTRIBUTING.md", "Makefile" } do
      for name in shell.read(path):gmatch "spec/[%w_/]+_spec%.lua" do
        local file = io.open(name)
        assert.is_truthy(file, path .. " names " .. name)
        file:close()
      end
    end
  end)

  it("show programs that run by themselves, of the client", function()
    local sandbox = servers.sandbox()
    finally(function() sandbox:stop() end)
    local outputs = {}
    for block in shell.read("docs/client.md"):gmatch "```lua\n(.-)```" do
      local program = shell.write(shell.directory() .. "/program.lua", block)
      local _, out = shell.run(("OPENROUTER_BASE_URL=%s OPENROUTER_API_KEY=sk-or-sandbox %s %s 2>&1"):format(
        sandbox.url, os.getenv "LUA", program))
      outputs[#outputs + 1] = out
    end
    assert.same({ "", "gen-1792154462-luyJxjmVJHEOMrp1acZJ\t0.0005538\n" }, outputs)
  end)

  it("show how a ledger is reconciled, all at once", function()
    local commands, directory = {}, shell.directory()
    for command in shell.read("docs/reconcile.md"):match("```console\n(.-)```"):gmatch "%$ ([^\n]+)" do
      commands[#commands + 1] = command
    end
    local top = io.popen("pwd"):read "*l"
    assert.equal(0, (shell.run(("ln -s %s/examples %s/examples"):format(top, directory))))
    shell.write(directory .. "/openrouter-cost", ('#!/bin/sh\nexec "$LUA" %s/bin/openrouter-cost "$@"\n'):format(top))
    shell.run("chmod +x " .. directory .. "/openrouter-cost")
    local script = shell.write(directory .. "/commands", table.concat(commands, "\n") .. "\nwait\n")
    local _, out, err = shell.run(("cd %s && PATH=.:$PATH timeout 60 sh %s"):format(directory, script))
    assert.matches('{"data":{"added":40}}', out, 1, true)
    assert.matches("38 records fetched", err)
    assert.matches("\ngen%-%d+%-16 .*\ngen%-%d+%-7 ", out)
    assert.matches("2 of 2 missing records fetched, now in account.jsonl", err)
    assert.matches("complete, the ledger has the 40 generations", out)
    assert.is_nil(io.open(directory .. "/ready")) -- the sandbox is gone
  end)
end)

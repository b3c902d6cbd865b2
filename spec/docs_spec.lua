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
    assert.equal(3, #blocks)
    local directory = shell.directory()
    shell.write(directory .. "/costs.jsonl",
      '{"total_cost":0.5,"latency":7}\nno JSON\n{"total_cost":0.25,"latency":9,"id":"a"}\n')
    shell.write(directory .. "/first.lua", blocks[1])
    shell.write(directory .. "/loop.lua", blocks[2] .. "print(total, slowest)\n")
    local function run(file)
      local _, out = shell.run(("cd %s && %s %s 2>&1"):format(shell.quote(directory), os.getenv "LUA", file))
      return (out:gsub("[ \t]+", " "))
    end
    local promised = {}
    for words in blocks[1]:gmatch "%-%-> ([^\n]+)" do promised[#promised + 1] = words:gsub(" +", " ") .. "\n" end
    assert.equal(table.concat(promised), run "first.lua")
    assert.equal("0.75 9\n", (run "loop.lua":gsub("%.0", "")))
    shell.write(directory .. "/records.lua", blocks[3])
    assert.equal("costs.jsonl 1 0.5 30\ncosts.jsonl 3 0.25 40\n"
      .. "costs.jsonl 2 not a JSON object: a value must stand here, at byte 1\n", run "records.lua")
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
    assert.equal(3, #blocks)
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
    assert.equal("a\t0.5\t0.75\t0.25\t50\n", run(blocks[2]))
    assert.equal("true\t1\t0\t1\t1\t0\ncosts.jsonl\t3\tx\t5\n", run(blocks[3]))
  end)
end)

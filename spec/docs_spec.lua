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
end)

-- What README.md shows is what happens: its commands and programs are run, and their output is compared.
-- README_UPDATE=1 writes what came out into README.md instead.
local shell = require "spec.support.shell"
local servers = require "spec.support.servers"

-- Blocks of README.md: { language, text, first line number }
local function blocks_of(text)
  local blocks, number, open = {}, 0, nil
  for line in text:gmatch "([^\n]*)\n" do
    number = number + 1
    local language = line:match "^```(.*)$"
    if open and line == "```" then
      blocks[#blocks + 1] = open
      open = nil
    elseif open then
      open.text = open.text .. line .. "\n"
    elseif language then
      open = { language = language, text = "", line = number }
    end
  end
  return blocks
end

local function timeless(text)
  return (text:gsub(" in %d+%.%d s", " in 0.0 s"))
end

describe("README.md", function()
  local readme = shell.read "README.md"
  local sandbox, directory, env

  setup(function()
    sandbox = servers.sandbox()
    directory = shell.directory()
    local top = io.popen("pwd"):read "*l"
    os.execute(("ln -s %s/examples %s/examples"):format(shell.quote(top), shell.quote(directory)))
    -- the command runs under the Lua that runs this spec
    local command = ("#!/bin/sh\nexec %s %s/bin/openrouter-cost \"$@\"\n"):format(os.getenv "LUA", top)
    shell.write(directory .. "/openrouter-cost", command)
    os.execute("chmod +x " .. directory .. "/openrouter-cost")
    local exports = {}
    for line in sandbox:log():gmatch "\n +(export [^\n]+)" do exports[#exports + 1] = line end
    assert.equal(2, #exports) -- as README says
    env = ("cd %s; PATH=.:$PATH; export PATH; %s; "):format(directory, table.concat(exports, "; "))
  end)
  teardown(function()
    sandbox:stop()
    shell.clean()
  end)

  local function output_of(command)
    local _, out = shell.run(("%s { %s ; } 2>&1"):format(env, command))
    return out
  end

  -- The console block as it comes out: each command, then what it wrote.
  local function replay(block)
    local parts = {}
    for command in ("\n" .. block.text):gmatch "\n%$ ([^\n]+)" do
      parts[#parts + 1] = "$ " .. command .. "\n" .. output_of(command)
    end
    return table.concat(parts)
  end

  local blocks = blocks_of(readme)
  for i, block in ipairs(blocks) do
    if block.language == "console" then
      it(("runs the commands of line %d"):format(block.line), function()
        local got = replay(block)
        if os.getenv "README_UPDATE" then
          local from, to = shell.read("README.md"):find(block.text, 1, true)
          local text = shell.read "README.md"
          shell.write("README.md", text:sub(1, from - 1) .. timeless(got) .. text:sub(to + 1))
        else
          assert.equal(timeless(block.text), timeless(got))
        end
      end)
    elseif block.language == "lua" then
      it(("runs the program of line %d"):format(block.line), function()
        local program = shell.write(directory .. "/program.lua", block.text)
        local got = output_of(os.getenv "LUA" .. " " .. program)
        local expected = blocks[i + 1]
        assert.equal("text", expected.language)
        if os.getenv "README_UPDATE" then
          local text = shell.read "README.md"
          local _, to = text:find(block.text .. "```\n", 1, true)
          local from = text:find("```text\n", to, true) + #"```text\n"
          local last = text:find("```", from, true)
          shell.write("README.md", text:sub(1, from - 1) .. got .. text:sub(last))
        else
          assert.equal(expected.text, got)
        end
      end)
    end
  end

  it("names only files that exist", function()
    for path in readme:gmatch "%]%(([%w_./-]+)%)" do
      local file = io.open(path)
      assert.is_truthy(file, path .. " is linked and does not exist")
      file:close()
    end
  end)
end)

-- What users install works where it was installed, with nothing of this tree on any path.
local shell = require "spec.support.shell"

local function without_tree(command)
  return "env -u LUA_PATH -u LUA_CPATH -u OPENROUTER_BUILD " .. command
end

-- Installing does not depend on the Lua that runs this spec, so it is enough to try it under one.
if os.getenv "LUA" ~= "luajit" then
  describe("installation", function()
    local directory
    setup(function() directory = shell.directory() end)
    teardown(shell.clean)

    it("with make puts a command that runs anywhere below a prefix, under both Luas", function()
      local status, _, err = shell.run(("make install PREFIX=%s/p"):format(directory))
      assert.equal(0, status, err)
      for _, lua in ipairs { "", "luajit " } do
        local out
        status, out, err = shell.run(without_tree(("sh -c 'cd / && %s%s/p/bin/openrouter-cost report /dev/null'")
          :format(lua, directory)))
        assert.same({ 0, "" }, { status, err })
        assert.matches("Nothing is left out", out)
      end
      for file, words in pairs {
        ["man/man1/openrouter-cost.1"] = "^%.TH OPENROUTER",
        ["bash-completion/completions/openrouter-cost"] = "complete %-F _openrouter%-cost",
        ["zsh/site-functions/_openrouter-cost"] = "^#compdef openrouter%-cost\n",
        ["fish/vendor_completions.d/openrouter-cost.fish"] = "complete %-c openrouter%-cost",
      } do
        assert.matches(words, shell.read(("%s/p/share/%s"):format(directory, file)))
      end
    end)

    it("with luarocks builds a rock that works", function()
      local copy = directory .. "/copy"
      os.execute(("mkdir %s && cp -r csrc lua bin *.rockspec Makefile README.md LICENSE %s"):format(copy, copy))
      local tree = directory .. "/tree"
      local make = "luarocks --lua-version 5.4 --tree %s make --deps-mode=none"
      local status, out, err = shell.run(without_tree(("sh -c 'cd %s && " .. make .. "'"):format(copy, tree)))
      assert.equal(0, status, out .. err)
      local program = [[require("openrouter").decode("{}") require("openrouter").client { api_key = "k" } print "works"]]
      status, out, err = shell.run(without_tree(("sh -c %s"):format(shell.quote(
        ("cd / && LUA_PATH='%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua' LUA_CPATH='%s/lib/lua/5.4/?.so' lua5.4 -e %s")
          :format(tree, tree, tree, shell.quote(program))))))
      assert.same({ 0, "works\n", "" }, { status, out, err })

      -- What it leaves behind in the tree hides the module of another Lua there, until it is removed as README says.
      local clean = shell.read("README.md"):match "sudo (rm %-r openrouter)"
      local seen = ("sh -c 'cd %s && luajit -e \"print(package.searchpath([[openrouter.core]], [[./?.so]]))\"'"):format(copy)
      assert.matches("^%./openrouter/core%.so\n", select(2, shell.run(seen)))
      assert.equal(0, (shell.run(("cd %s && %s"):format(copy, clean))))
      assert.matches("^nil", select(2, shell.run(seen)))
    end)
  end)
end

local shell = require "spec.support.shell"

-- The short form of what `make soak` does for long.
describe("a long run", function()
  after_each(shell.clean)

  -- What to run Lua with, and how.
  local function soak(before, ids, arguments)
    local command = ("%s %s spec/support/soak.lua --ids %d --deadline 6 %s"):format(before, os.getenv "LUA" or "lua5.4", ids,
      arguments)
    local status, out, errors = shell.run(command)
    io.write("\n", out) -- the figures are worth seeing
    assert.equal(0, status, out .. errors)
    assert.matches(("\n%d ids, %d ended, 0 wrong, in [%%d.]+ s\n$"):format(ids, ids), out)
  end

  it("answers every id once, and keeps nothing", function()
    soak("", 5000, "")
  end)

  if rawget(_G, "jit") then return end -- valgrind would have to be told what LuaJIT does with its stacks

  it("touches no memory that is not its own, and leaks none", function()
    soak("valgrind --quiet --child-silent-after-fork=yes --leak-check=full --errors-for-leak-kinds=definite"
      .. " --error-exitcode=99", 400, "--without-rss")
  end)
end)

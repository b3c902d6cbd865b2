local shell = require "spec.support.shell"

if rawget(_G, "jit") then return end -- the programs bring a Lua of their own, each its own kind

describe("decoding without memory", function()
  after_each(shell.clean)

  local COMPILE = "cc -std=c99 -Wall -Wextra -Werror -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    .. " -I csrc -I %s -Dmalloc=ours_malloc -Dcalloc=ours_calloc -Drealloc=ours_realloc -Dfree=ours_free %s"
    .. " -o %s spec/support/decode_oom.c $(ls csrc/*.c | grep -v curl) -l%s -lm"

  -- Thousands of states come and go: freed memory is kept from use for less long than usual, and fewer callers are noted.
  local FAST = "ASAN_OPTIONS=quarantine_size_mb=4:malloc_context_size=4 "

  local LUAS = {
    { "PUC Lua 5.4", "${LUA_INCDIR:-/usr/include/lua5.4}", "", "lua5.4" },
    { "PUC Lua 5.1", "/usr/include/lua5.1", "", "lua5.1" },
    { "LuaJIT", "${LUAJIT_INCDIR:-/usr/include/luajit-2.1}", "-DUSE_LUAJIT", "luajit-5.1" },
  }

  for _, lua in ipairs(LUAS) do
    it("leaves nothing half done in " .. lua[1], function()
      local program = shell.directory() .. "/decode_oom"
      local status, _, errors = shell.run(COMPILE:format(lua[2], lua[3], program, lua[4]))
      assert.equal(0, status, errors)
      local result, out, complaints = shell.run(FAST .. program .. " spec/support/decode_oom.lua")
      io.write("\n", lua[1], ": ", out) -- how many there were
      assert.equal("", complaints)
      assert.equal(0, result)
      local from_lua, ours = out:match "^%d+ failures injected into %d+ cases %(lua (%d+), ours (%d+)%)\n$"
      assert.is_true(tonumber(from_lua) > 3000 and tonumber(ours) > 100)
    end)
  end
end)

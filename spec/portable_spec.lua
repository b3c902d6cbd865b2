-- What decodes is the same without the fast paths: its specs pass for modules that are built so. (What adds up, too: see
-- variants_spec.lua.)
local shell = require "spec.support.shell"

describe("without fast paths", function()
  teardown(shell.clean)

  local LUA = os.getenv "LUA" or "lua5.4"
  local ABI = rawget(_G, "jit") and "portable-5.1" or "portable-5.4"

  setup(function()
    local status, out, errors = shell.run(("make -s -j2 build/%s/openrouter/core.so"):format(ABI))
    assert.equal(0, status, out .. errors)
  end)

  for _, name in ipairs { "json", "record", "generation", "spend", "differential" } do
    it(("spec/%s_spec.lua passes"):format(name), function()
      local command = "env COUNT=5000 LUA=%s LUAJIT=%s spec/support/run %s spec/%s_spec.lua"
      local status, out, errors = shell.run(command:format(LUA, LUA, ABI, name))
      if status ~= 0 then error(out .. errors, 0) end
      local passed, skipped = out:match "\n(%d+) passed, 0 failed, (%d+) skipped\n$"
      assert.is_true(tonumber(passed) > 0)
      if skipped ~= "0" then pending(skipped .. " skipped") end
    end)
  end
end)

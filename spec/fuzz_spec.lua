-- The fuzz targets without the fuzzer: what `make fuzz` found worth keeping, and every finding, given to the same programs
-- under AddressSanitizer and UndefinedBehaviorSanitizer.
local core = require "openrouter.core"
local shell = require "spec.support.shell"

if rawget(_G, "jit") then return end -- the programs bring a Lua of their own, 5.4

local FIXTURES = " spec/fixtures/*.json spec/fixtures/*.txt spec/fixtures/*.html spec/fixtures/eras/*"

describe("a fuzz target", function()
  after_each(shell.clean)

  setup(function()
    local status, _, errors = shell.run "make --no-print-directory -j2 replay"
    assert.equal(0, status, errors)
    shell.clean()
  end)

  local function replay(target, files)
    local status, out, errors = shell.run("build/replay/" .. target .. " " .. files)
    assert.equal(0, status, errors:sub(-3000)) -- with the file's name and what does not hold
    assert.is_true(tonumber(out:match "^(%d+) inputs\n$") > 50)
  end

  for target, more in pairs { decode = FIXTURES, scanner = FIXTURES, http1 = "" } do
    it(target .. " holds for its corpus", function() replay(target, "fuzz/corpus/" .. target .. "/*" .. more) end)
  end

  it("says which input fails", function()
    local status, _, errors = shell.run "build/replay/http1 README.md /"
    assert.is_true(status > 0)
    assert.matches("README.md\n/\n.*this does not hold", errors)
  end)

  it("has every name of the field table in its dictionary", function()
    local dictionary = shell.read "fuzz/json.dict"
    for _, list in ipairs { core.fields, core.response_fields } do
      for _, field in ipairs(list) do
        assert.truthy(dictionary:find(([["\"%s\":"]]):format(field.name), 1, true), field.name)
        for _, choice in ipairs(field.choices or {}) do
          assert.truthy(dictionary:find(([["\"%s\""]]):format(choice), 1, true), choice)
        end
      end
    end
  end)
end)

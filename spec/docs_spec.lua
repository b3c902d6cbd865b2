local shell = require "spec.support.shell"

describe("docs", function()
  after_each(shell.clean)

  it("list the members of the field table", function()
    local status, out = shell.run((os.getenv "LUA") .. " docs/fields.lua")
    assert.equal(0, status)
    assert.equal(shell.read "docs/fields.md", out, "run: lua5.4 docs/fields.lua > docs/fields.md")
  end)
end)

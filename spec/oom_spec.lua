local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

if rawget(_G, "jit") then return end -- the program brings a Lua of its own, 5.4

describe("without memory", function()
  after_each(shell.clean)

  local COMPILE = "cc -std=c99 -Wall -Wextra -Werror -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    .. " -I csrc -I ${LUA_INCDIR:-/usr/include/lua5.4} $CURL_CFLAGS"
    .. " -Dmalloc=ours_malloc -Dcalloc=ours_calloc -Drealloc=ours_realloc -Dfree=ours_free"
    .. " -o %s spec/support/oom.c csrc/*.c -llua5.4 ${CURL_LIBS:--lcurl} -lm"

  it("no id is lost, whichever allocation fails", function()
    local program = shell.directory() .. "/oom"
    local status, _, errors = shell.run(COMPILE:format(program))
    assert.equal(0, status, errors)
    local sandbox = servers.sandbox()
    local result, out, complaints = shell.run(program .. " " .. sandbox.url)
    sandbox:stop()
    io.write("\n", out) -- how many there were
    assert.equal("", complaints)
    assert.equal(0, result)
    local lua, libcurl, ours = out:match "^%d+ failures injected %(lua (%d+), libcurl (%d+), ours (%d+)%)\n$"
    assert.is_true(tonumber(lua) > 0 and tonumber(libcurl) > 0 and tonumber(ours) > 0)
  end)
end)

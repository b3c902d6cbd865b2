-- luacheck: std ngx_lua
--- The piece of a response's body that a body filter has at hand, fed to a scanner as the bytes it is. ngx.arg[1] would make a
--- string of it: LuaJIT looks at a few bytes of a long string for its hash, which in the events of a stream are often the
--- same, so that it compares each new one with hundreds of old ones.
local core = require "openrouter.core"
local ffi = require "ffi"

local chunk = {}

local feed = ffi.cast("int (*)(void *, const char *, size_t)", core.scanner_feed())
local data, length = ffi.new "unsigned char *[1]", ffi.new "size_t[1]"

-- What ngx.arg is made of: lua-resty-core declares and uses it the same way.
local function parts()
  local base = require "resty.core.base"
  require "resty.core.param"
  return { request = base.get_request, buffer = base.get_string_buf, AGAIN = base.FFI_AGAIN, OK = base.FFI_OK,
    get = ffi.C.ngx_http_lua_ffi_get_body_filter_param_body, copy = ffi.C.ngx_http_lua_ffi_copy_body_filter_param_body }
end
local found, nginx = pcall(parts) -- not there before lua-nginx-module 0.10.16

local function feed_string(scanner)
  scanner:feed(ngx.arg[1])
end

local function feed_bytes(scanner)
  local r = nginx.request()
  data[0] = nil
  if nginx.get(r, data, length) == nginx.AGAIN then -- several buffers
    local bytes = nginx.buffer(length[0])
    if nginx.copy(r, bytes) == nginx.OK then feed(scanner, ffi.cast("const char *", bytes), length[0]) end
  elseif length[0] > 0 then
    feed(scanner, ffi.cast("const char *", data[0]), length[0])
  end
end

--- Feed what is at hand.
---@type fun(scanner: userdata)
chunk.feed = found and feed_bytes or feed_string

return chunk

std = "min"                                     -- what Lua 5.1 to 5.4 and LuaJIT share
read_globals = { "unpack", table = { fields = { "unpack" } } }   -- for `table.unpack or unpack`
max_line_length = 130
files["lua/openrouter/nginx.lua"] = { std = "+ngx_lua" }
files["spec"] = { std = "+busted" }
files[".ci"] = { std = "lua54" }

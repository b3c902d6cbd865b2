-- Microseconds of the clock that nobody sets; all processes of a machine have the same one.
local ffi = require "ffi"

ffi.cdef [[
  struct openrouter_bench_time { long seconds, nanoseconds; };
  int clock_gettime(int, struct openrouter_bench_time *);
]]

local MONOTONIC = 1
local time = ffi.new "struct openrouter_bench_time"

return function()
  ffi.C.clock_gettime(MONOTONIC, time)
  return tonumber(time.seconds) * 1e6 + tonumber(time.nanoseconds) / 1e3
end

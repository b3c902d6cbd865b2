-- lua5.4 ours.lua THREADS FILE [peak]: by model and day, with the report's own sums and quantiles
local report = require "openrouter.report"

local r = report.new {
  by = "model,day",
  measures = "generations,spend,native_tokens_prompt,native_tokens_completion,latency_p50,latency_p95",
}
assert(r:add_file(arg[2], { threads = tonumber(arg[1]) }))
for _, row in ipairs(r:rows()) do
  print(row.model, row.day, row.generations, row.exact.spend, row.native_tokens_prompt, row.native_tokens_completion,
    row.latency_p50, row.latency_p95)
end
if arg[3] then io.stderr:write(io.open("/proc/self/status"):read "*a") end

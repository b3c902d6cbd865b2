-- luacheck: globals wrk done
-- What wrk sends, and how it says what came of it: one line, its times in microseconds.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"model":"anthropic/claude-sonnet-5","messages":[{"role":"user","content":"How long can a harbour seal dive?"}]}'

function done(summary, latency)
  local errors = summary.errors
  io.write(("RESULT requests=%d seconds=%.6f p50=%.1f p99=%.1f max=%.1f failed=%d\n"):format(
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

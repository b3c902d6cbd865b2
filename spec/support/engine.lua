--- The engine on a simulated clock, for specs.
local core = require "openrouter.core"

local engine = {}

--- An engine; `overrides` replace these settings.
function engine.new(overrides)
  local settings = { window = 64, concurrency = 16, timeout = 30, deadline = 120, wait = 10, epoch = 0, seed = 1,
    retry = { base = 0.5, factor = 2, cap = 30 } }
  for name, value in pairs(overrides or {}) do settings[name] = value end
  return core.engine(settings)
end

--- An engine with this id on the wire since `now` (default 0).
function engine.asking(id, overrides, now)
  local e = engine.new(overrides)
  assert(e:submit(id, now or 0))
  assert(e:next(now or 0) == id)
  return e
end

--- Answer the id, which is on the wire, until the verdict is final: the error, the delays in between, and the time.
---   answer(e, now, attempt) -> what engine:answer or engine:fault return
function engine.run(e, id, answer, now)
  local delays, attempt = {}, 1
  now = now or 0
  while true do
    local gen, err, delay = answer(e, now, attempt)
    if not delay then return err or gen, delays, now end
    delays[#delays + 1] = delay
    assert(e:due() == now + delay, "due when the verdict said")
    assert(e:next(now + delay - 1e-9) == nil or delay < 1e-9, "not before")
    if e:on_wire() == 0 then assert(e:next(now + delay) == id) end
    now, attempt = now + delay, attempt + 1
  end
end

--- An answer function for run(): always this status.
function engine.status(id, status, headers)
  return function(e, now) return e:answer(id, status, headers, "", now) end
end

--- An answer function for run(): always this fault.
function engine.fault(id, kind)
  return function(e, now) return e:fault(id, kind, nil, now) end
end

return engine

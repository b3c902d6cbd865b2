--- A progress bar on a terminal's last line, on stderr; silent where stderr is no terminal.
local core = require "openrouter.core"

local progress = {}
progress.__index = progress

local BAR, EVERY = 24, 0.1 -- characters; seconds between two drawings

---@param total integer
---@param unit string what is counted, in the plural
function progress.new(total, unit)
  return setmetatable({
    total = total,
    unit = unit,
    shown = core.is_terminal(2),
    start = core.now(),
    next_draw = 0,
  }, progress)
end

local function clock(seconds)
  return ("%d:%02d"):format(math.floor(seconds / 60), math.floor(seconds % 60))
end

--- Draw, when it is time to.
---@param done integer
---@param remark? string
function progress:show(done, remark)
  local now = core.now()
  if not self.shown or (now < self.next_draw and done < self.total) then return end
  self.next_draw = now + EVERY
  local share = done / math.max(self.total, 1)
  local full = math.floor(share * BAR)
  local rate = done / math.max(now - self.start, 0.001)
  io.stderr:write(("\r[%s%s] %3d%%  %d/%d %s  %.0f/s  %s left%s\27[K"):format(
    ("#"):rep(full), ("-"):rep(BAR - full), math.floor(share * 100), done, self.total, self.unit, rate,
    rate > 0 and clock((self.total - done) / rate) or "?", remark and "  " .. remark or ""))
  io.stderr:flush()
end

--- Take the bar away.
function progress:clear()
  if not self.shown then return end
  io.stderr:write "\r\27[K"
  io.stderr:flush()
end

return progress

--- A progress bar on a terminal's last line, on stderr; silent where stderr is no terminal.
local core = require "openrouter.core"

local progress = {}
progress.__index = progress

local BAR, EVERY = 24, 0.1 -- characters; seconds between two drawings

---@param total integer
---@param unit string what is counted, in the plural
---@param scale? number how many make one of `unit`, such as 1e6 for bytes in MB; 1 by default
---@param start? number when it began, by core.now(); now by default
function progress.new(total, unit, scale, start)
  return setmetatable({
    total = total,
    unit = unit,
    scale = scale,
    shown = core.is_terminal(2),
    start = start or core.now(),
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
  local scale, left = self.scale or 1, rate > 0 and clock((self.total - done) / rate) or "?"
  io.stderr:write(("\r[%s%s] %3d%%  %.0f/%.0f %s  %.0f%s/s  %s left%s\27[K"):format(
    ("#"):rep(full), ("-"):rep(BAR - full), math.floor(share * 100), done / scale, self.total / scale, self.unit,
    rate / scale, self.scale and " " .. self.unit or "", left, remark and "  " .. remark or ""))
  io.stderr:flush()
end

--- Take the bar away.
function progress:clear()
  if not self.shown then return end
  io.stderr:write "\r\27[K"
  io.stderr:flush()
end

return progress

--- A progress bar on a terminal's last line, on stderr; silent where stderr is no terminal.
local core = require "openrouter.core"
local terminal = require "openrouter.terminal"

local progress = {}
progress.__index = progress

local LONGEST, SHORTEST, EVERY = 24, 4, 0.1 -- characters of a bar; seconds between two drawings
local USUAL = 80 -- columns of a terminal that does not say how many it has

---@param total number? nil where nobody knows
---@param unit string what is counted, in the plural
---@param scale? number how many make one of `unit`, such as 1e6 for bytes in MB; 1 by default
---@param start? number when it began, by core.now(); now by default
function progress.new(total, unit, scale, start)
  return setmetatable({
    total = total,
    unit = unit,
    scale = scale,
    shown = core.is_terminal(2) and os.getenv "TERM" ~= "dumb",
    start = start or core.now(),
    next_draw = 0,
  }, progress)
end

local function clock(seconds)
  return ("%d:%02d"):format(math.floor(seconds / 60), math.floor(seconds % 60))
end

-- What there is to say, in words. `share` is nil where nobody knows how much there is.
local function words_of(self, share, rate)
  local scale = self.scale or 1
  local done, speed = self.done / scale, ("%.0f%s/s"):format(rate / scale, self.scale and " " .. self.unit or "")
  if not share then return { ("%.0f %s"):format(done, self.unit), speed, self.remark } end
  local left = rate > 0 and clock(math.max(self.total - self.done, 0) / rate) or "?"
  return { ("%3d%%"):format(math.floor(share * 100)), ("%.0f/%.0f %s"):format(done, self.total / scale, self.unit), speed,
    left .. " left", self.remark }
end

-- A line of at most so many characters, since one that is wider than the terminal could not be drawn over. The bar gets shorter
-- and goes first, then go the rate and the time left, then other words.
local function line_of(share, words, most)
  while #words > 1 and #table.concat(words, "  ") > most do table.remove(words, math.min(3, #words)) end
  local text = table.concat(words, "  ")
  local length = math.min(LONGEST, most - #text - #"[] ")
  if not share or length < SHORTEST then return text:sub(1, math.max(most, 0)) end
  local full = math.floor(share * length)
  return ("[%s%s] %s"):format(("#"):rep(full), ("-"):rep(length - full), text)
end

local function draw(self, now)
  self.next_draw = now + EVERY
  local share = self.total and math.min(self.done / math.max(self.total, 1), 1)
  local words = words_of(self, share, self.done / math.max(now - self.start, 0.001))
  io.stderr:write("\r", line_of(share, words, (terminal.width(2) or USUAL) - 1), "\27[K")
  io.stderr:flush()
end

--- Draw, when it is time to.
---@param done integer
---@param remark? string
function progress:show(done, remark)
  self.done, self.remark = done, remark
  local now = core.now()
  if self.shown and (now >= self.next_draw or self.total and done >= self.total) then draw(self, now) end
end

--- Draw once more, below what was said after clear().
function progress:again()
  if self.shown and self.done then draw(self, core.now()) end
end

--- Take the bar away.
function progress:clear()
  if not self.shown then return end
  io.stderr:write "\r\27[K"
  io.stderr:flush()
end

return progress

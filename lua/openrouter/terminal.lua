--- How wide terminals are.
local core = require "openrouter.core"

local terminal = {}

--- The columns of the terminal: $COLUMNS where that is set, else as many as it says it has.
---@param descriptor integer 1 is stdout, 2 stderr
---@return integer? columns nil where it does not say, or is no terminal
function terminal.width(descriptor)
  if not core.is_terminal(descriptor) then return nil end
  local columns = tonumber((os.getenv "COLUMNS" or ""):match "^%d%d?%d?%d?%d?%d?$")
  if columns and columns > 0 then return columns end
  return (core.terminal_width(descriptor))
end

return terminal

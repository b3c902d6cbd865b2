--- The lines of a file, as core.lines gives them, and how far they are read.
local core = require "openrouter.core"

local STEP = 1e6 -- bytes between two calls of `progress`

--- An iterator of text, number and whole; see each_line.lua.
---@param path string "-" is standard input
---@param progress? fun(done: integer, size: number?) called now and then with the bytes read so far, of lines as they are
---  unpacked, and those of the file where it is none that is unpacked, or a pipe; first with 0, and at the end with all
---@return (fun(): string|false|nil, integer|string|nil, boolean?)? lines
---@return string? why it cannot be read
---@return string? what "missing": there is no such file
local function lines_of(path, progress)
  local lines, size, what = core.lines(path)
  if not lines then return nil, size, what end
  if not progress then return lines end
  local done, next_call = 0, STEP
  progress(0, size)
  return function()
    local text, number, whole = lines()
    done = done + (text and #text + 1 or 0)
    if text == nil and not number then
      progress(size or done, size)
    elseif done >= next_call then
      next_call = done + STEP
      progress(done, size)
    end
    return text, number, whole
  end
end

return lines_of

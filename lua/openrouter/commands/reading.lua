--- A bar that shows how far files are read, where they are long: one for all files of a run.
local core = require "openrouter.core"
local files = require "openrouter.files"
local tools = require "openrouter.commands.tools"

local reading = {}

local LEAST, MB = 1e7, 1e6 -- bytes that take long enough for a bar

local function size_of(paths)
  local sum = 0
  for _, path in ipairs(paths) do
    local size = files.size(path)
    if not size then return nil end
    sum = sum + size
  end
  return sum
end

--- What is to be called with the bytes of a file that are read, and those it has, if that is known; with 0 at the beginning of
--- each. Without the time left where nobody knows how much there is to come, as of a pipe.
---@param paths string[]
---@return fun(done: integer, size: number?)
function reading.progress(paths)
  local before, of_file, start, bar = 0, 0, core.now(), nil -- bytes of files that are done, and of the one that is read
  local total, is_input = size_of(paths), #paths == 1 and paths[1] == "-"
  return function(done, size)
    if done == 0 then before = before + of_file end
    of_file = done
    if is_input then total = size
    elseif done > 0 and not size then total = nil end -- it is unpacked on the way
    if done == 0 and not size then return end
    if (total or before + done) < LEAST then return end
    bar = bar or tools.bar(total, "MB", MB, start)
    bar.total = total
    bar:show(before + done)
  end
end

return reading

--- The lines of a file, which other processes may be writing to. What is compressed (gzip, xz, zstd, bzip2) is unpacked.
local lines_of = require "openrouter.lines_of"

--- Call visit(text, number, whole) for every line, until it returns something that is true. `text` is false for a line longer
--- than 64 MiB; `whole` is false for the last one where it has no line end.
---@param path string "-" is standard input
---@param visit fun(text: string|false, number: integer, whole: boolean): any
---@param progress? fun(done: integer, size: number?) see lines_of.lua
---@return true?
---@return string? why it cannot be read, or not to its end
---@return string? what "missing": there is no such file
local function each_line(path, visit, progress)
  local lines, why, what = lines_of(path, progress)
  if not lines then return nil, why, what end
  repeat
    local text, number, whole = lines()
    if text == nil and number then return nil, number end
  until text == nil or visit(text, number, whole)
  return true
end

return each_line

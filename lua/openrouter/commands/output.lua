--- Where the results of a command go, stdout or the file of -o.
local core = require "openrouter.core"
local ledger = require "openrouter.ledger"
local tools = require "openrouter.commands.tools"

local output = {}

-- nil and why when the file is not there with all of the text.
local function write_file(path, text)
  local file, why = io.open(path, "w")
  if not file then return nil, why end
  local ok, trouble = file:write(text)
  local closed, close_trouble = file:close()
  return ok and closed, trouble or close_trouble
end

local MOST_LINKS = 40 -- as Linux has it

-- Where the path leads: `path` itself where there is nothing yet.
local function real_path(path)
  for _ = 1, MOST_LINKS do -- to other links, and nowhere in the end
    local real = core.real_path(path)
    if not real or real == path then break end
    path = real
  end
  return path
end

-- Write a new file of this mode, or where that is nil, of the one that new files have.
local function write_new(path, text, mode)
  if mode then
    local private, why = core.append_file(path) -- which makes it with 0600, before there is anything to read in it
    if not private then return nil, why end
    private:close()
  end
  local ok, why = write_file(path, text)
  if not ok or not mode then return ok, why end
  return core.set_mode(path, mode)
end

-- Beside the file first, so that a rename puts it in its place. What is no regular file (/dev/stdout, a pipe) is written to.
local function replace_file(path, text)
  local kind, mode = core.file_status(path)
  if kind == "other" then return write_file(path, text) end
  path = real_path(path)
  local temporary = ("%s.%06x.tmp"):format(path, math.floor(core.unix_time() * 1e6 % 2 ^ 24))
  local function clean_up() os.remove(temporary) end
  local ok, why = tools.guard(function()
    local written, trouble = write_new(temporary, text, kind == "file" and mode or nil)
    if written then written, trouble = os.rename(temporary, path) end
    return written, trouble
  end, clean_up)
  if not ok then clean_up() end
  return ok, why
end

local function is_one_of(path, inputs)
  local real = real_path(path)
  for _, input in ipairs(inputs) do
    if input == path or real_path(input) == real then return true end
  end
  return false
end

-- Why the file must stay as it is; nil where it need not. Records cannot be made again from a report, and may be gone from
-- the server; and what was read may be a ledger of which no line can be read.
local function reason_to_keep(path, inputs)
  if core.file_status(path) ~= "file" then return nil end
  local found = ledger.has_records(path)
  if found == nil then return "may have records" end
  return found and "has records" or is_one_of(path, inputs) and "is what was read" or nil
end

--- Put a text out: to stdout, or into a file, which is written whole or not at all. What was read stays as it is, and so does
--- a file with a record in it.
---@param path string? nil: stdout
---@param text string
---@param inputs string[] paths of what was read
---@return boolean? ok false or nil when it cannot be written, which has been said then
function output.write(path, text, inputs)
  if not path then
    tools.put(text)
    return true
  end
  local reason = reason_to_keep(path, inputs)
  if reason then
    tools.say("%s: %s, which would be lost; nothing was written to it", path, reason)
    return false
  end
  local ok, why = replace_file(path, text)
  if not ok then tools.say("%s: %s", path, (why:gsub("^.*: ", ""))) end
  return ok
end

--- Declare -o, which says where output.write writes.
---@param command table of argparse
function output.option(command)
  command:option("-o --output", "Write to this file; - is standard output."):argname "<file>"
end

return output

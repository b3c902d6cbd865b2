--- Keys by their names: journals have the name of the key that an id belongs to, and never the key itself.
local core = require "openrouter.core"
local errors = require "openrouter.errors"

local keys = {}

local LONGEST_NAME = 64
local LONGEST_LINE = 4096 -- bytes of a file that are looked at

-- A name becomes part of a path and of a variable's name.
local function is_name(name)
  return type(name) == "string" and #name <= LONGEST_NAME and not name:find "[^A-Za-z0-9_-]" and name ~= ""
end

local function trimmed(text)
  local value = (text or ""):match "^%s*(.-)%s*$"
  return value ~= "" and value or nil
end

local function variable(name)
  return "OPENROUTER_API_KEY_" .. name:gsub("%-", "_"):upper()
end

-- As an argument of a command that is to be typed.
local function quoted(path)
  if not path:find "[^%w_./-]" then return path end
  return "'" .. path:gsub("'", "'\\''") .. "'"
end

-- The first line of a file that is its owner's alone.
local function read(path, kind, mode)
  if kind ~= "file" then return nil, path .. " is no regular file" end
  if mode % 64 ~= 0 then -- the bits of the group and of all others
    return nil, ("%s has mode %04o, so that others may read it: chmod 600 %s"):format(path, mode, quoted(path))
  end
  local file, why = io.open(path, "rb")
  if not file then return nil, why end
  local text = file:read(LONGEST_LINE)
  file:close()
  local value = trimmed((text or ""):match "^[^\r\n]*")
  if value then return value end
  return nil, path .. " has no key in its first line"
end

local function from_file(name, directory)
  local path = directory .. "/" .. name
  local kind, mode, what = core.file_status(path)
  if kind then return read(path, kind, mode) end
  if what ~= "missing" then return nil, mode end
  return nil, ("set %s, or put it in %s (mode 0600)"):format(variable(name), path)
end

--- The key of this name: from $OPENROUTER_API_KEY_<NAME>, in capitals and with _ for -, else from the first line of the file
--- DIRECTORY/<name>, which nobody but its owner may read. The key named "default" is $OPENROUTER_API_KEY_DEFAULT, else
--- $OPENROUTER_API_KEY.
---@param name string
---@param directory string
---@return string? key
---@return string? why there is none, and what to do about it; no part of a key is in it
function keys.find(name, directory)
  if not is_name(name) then return nil, "no name for a key, which is 1 to 64 letters, digits, _ and -" end
  local value, why = trimmed(os.getenv(variable(name))), nil
  if name == "default" then
    value, why = value or trimmed(os.getenv "OPENROUTER_API_KEY"), "set OPENROUTER_API_KEY"
  elseif not value then
    value, why = from_file(name, directory)
  end
  if value then return value end
  return nil, errors.printable(why)
end

return keys

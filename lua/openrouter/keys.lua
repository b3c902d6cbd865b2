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

-- What a text has that no key has, which is printable ASCII without spaces; nil where it may be one.
local function flaw_of(key)
  if key:find "[\128-\255]" then return "has a character that is not ASCII, such as an example's ellipsis" end
  if key:find " " then return "has a space in it" end
  return key:find "[^!-~]" and "has a control character in it" or nil
end

--- A key without the white space around it.
---@param text? string
---@return string? key nil: there is nothing
---@return string? flaw why it cannot be one, to be put behind "the key"
function keys.read(text)
  local key = trimmed(text)
  return key, key and flaw_of(key)
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

-- The first of these variables with something in it: its value and its name.
local function from_environment(...)
  for _, name in ipairs { ... } do
    local value = trimmed(os.getenv(name))
    if value then return value, name end
  end
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
  local is_default, why = name == "default", "set OPENROUTER_API_KEY"
  local value, source = from_environment(variable(name), is_default and "OPENROUTER_API_KEY" or nil)
  if not value and not is_default then
    value, why = from_file(name, directory)
    source = directory .. "/" .. name
  end
  local flaw = value and flaw_of(value)
  if flaw then why = ("the key in %s %s"):format(source, flaw) end
  if value and not flaw then return value end
  return nil, errors.printable(why)
end

return keys

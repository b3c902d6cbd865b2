--- Which files of a directory of openrouter.nginx are what (docs/ledger.md).
local core = require "openrouter.core"
local errors = require "openrouter.errors"

local files = {}

--- `ledger.jsonl`, and what it was rotated to, compressed or not.
---@param name string
---@return any truth
function files.is_ledger(name)
  return name:find "^ledger[.-]" and name:find("jsonl", 1, true)
end

--- Of the directory `pending`.
---@param name string
---@return any truth
function files.is_journal(name)
  return name:find "%.jsonl$"
end

--- The names of this kind in a directory that are not in `seen`, in order; all of its names are in it afterwards. Files may
--- be removed at any time, or renamed, and come up under another name then: so ask until nothing is fresh.
---@param directory string
---@param is_one fun(name: string): any
---@param seen table<string, true>
---@return string[]? names none where there is no such directory
---@return openrouter.Error? kind "io"
function files.fresh_names(directory, is_one, seen)
  local names, why, what = core.list_directory(directory)
  if not names and what ~= "missing" then return nil, errors.new("io", why) end
  local fresh = {}
  for _, name in ipairs(names or {}) do
    if is_one(name) and not seen[name] then fresh[#fresh + 1] = name end
    seen[name] = true
  end
  return fresh
end

return files

--- Which files of a directory of openrouter.nginx are what (docs/ledger.md).
local core = require "openrouter.core"
local errors = require "openrouter.errors"

local files = {}

--- The advice for whoever wants to read a directory's ledgers.
files.NAME_THEM = ", as openrouter.nginx makes them; other ledgers are to be named one by one"

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
--- be removed at any time, or renamed, and come up under another name then: so ask until nothing is fresh. A pipe among them,
--- which to open may take for ever, is an error.
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
    if is_one(name) and not seen[name] then
      local path = directory .. "/" .. name
      if core.file_status(path) == "other" then return nil, errors.new("io", path .. ": no regular file") end
      fresh[#fresh + 1] = name
    end
    seen[name] = true
  end
  return fresh
end

local function size_of_file(path)
  local file = core.file_status(path) == "file" and io.open(path, "rb") -- to open a pipe would wait for its other end
  if not file then return nil end
  local size = file:seek "end"
  file:close()
  return size
end

--- How many bytes a file has, or all ledgers of a directory that can be read.
---@param path string
---@return number? size nil where it is neither, or a file that cannot be read
function files.size(path)
  if core.file_status(path) ~= "directory" then return size_of_file(path) end
  local sum = 0
  for _, name in ipairs(files.fresh_names(path, files.is_ledger, {}) or {}) do
    sum = sum + (size_of_file(path .. "/" .. name) or 0)
  end
  return sum
end

--- What to say of a directory that has nothing of what openrouter.nginx makes; nil where it has, or where nobody can tell.
---@param directory string
---@param advice string what to do about it
---@return openrouter.Error? err kind "io"
function files.complaint(directory, advice)
  if core.file_status(directory .. "/pending") then return nil end
  local ledgers = files.fresh_names(directory, files.is_ledger, {})
  if not ledgers or #ledgers > 0 then return nil end
  return errors.new("io", directory .. ": there is neither ledger.jsonl nor pending/ in it" .. advice)
end

--- What went wrong with a file, and where nobody else may do this, who may.
---@param path string
---@param why string
---@return string
function files.with_owner(path, why)
  if not why:find("Permission denied", 1, true) then return why end
  local kind, _, owner
  repeat -- where the file cannot be looked at, neither can those beside it
    kind, _, owner = core.file_status(path)
    path = path:match "^(.+)/"
  until kind or not path
  if not kind then return why end
  return ("%s; it belongs to %s: run this as %s"):format(why, owner, owner == "root" and owner or owner .. ", or as root")
end

return files

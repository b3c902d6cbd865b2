--- The bodies in spec/fixtures (SOURCES.md there says where each comes from), and an independent reading of them.
local cjson = require "cjson"
local shell = require "spec.support.shell"

local fixtures = {}

local DIRECTORY = "spec/fixtures/"

function fixtures.read(name)
  return shell.read(DIRECTORY .. name)
end

--- Names of the fixtures that start with one of the words: fixtures.names "ok_|real_", fixtures.names "eras/".
function fixtures.names(words)
  local names = {}
  local pipe = assert(io.popen("cd " .. DIRECTORY .. " && ls -d *.json eras/*.json"))
  for name in pipe:lines() do
    for word in words:gmatch "[^|]+" do
      if name:sub(1, #word) == word then names[#names + 1] = name end
    end
  end
  pipe:close()
  return names
end

--- Every body that is a record: old and new, real and made up.
function fixtures.records()
  return fixtures.names "ok_|real_|test_|newest_|eras/"
end

--- How Python reads them: name -> list of { path, exact text }, in the order of the file.
function fixtures.exact(names)
  local command = { "python3 spec/support/exact.py" }
  for _, name in ipairs(names) do command[#command + 1] = shell.quote(DIRECTORY .. name) end
  local readings = {}
  local pipe = assert(io.popen(table.concat(command, " ")))
  for line in pipe:lines() do
    local file, path, text = (table.unpack or unpack)(cjson.decode(line))
    local name = file:sub(#DIRECTORY + 1)
    readings[name] = readings[name] or {}
    table.insert(readings[name], { path = path, text = text })
  end
  pipe:close()
  return readings
end

--- One JSON value as lua-cjson reads it.
function fixtures.cjson(text)
  return cjson.decode("[" .. text .. "]")[1]
end

--- A copy of what lua-cjson made, without the nulls.
function fixtures.without_null(value)
  if value == cjson.null then return nil end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, inner in pairs(value) do copy[key] = fixtures.without_null(inner) end
  return copy
end

--- The published field table.
fixtures.schema = cjson.decode(fixtures.read "schema.json")

return fixtures

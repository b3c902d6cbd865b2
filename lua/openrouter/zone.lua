--- Zones by the names they have in the IANA time zone database, from the files of the system: those in $TZDIR, or in
--- /usr/share/zoneinfo.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local nearest = require "openrouter.nearest"

local zone = {}

local MOST = 2 ^ 20 -- bytes of a list of names that are read

local function directory()
  local path = os.getenv "TZDIR"
  return path and path ~= "" and path or "/usr/share/zoneinfo"
end

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read(MOST)
  if file then file:close() end
  return text or ""
end

-- The names that are made of a region and a place, as far as there is a list of them.
local function names()
  local list, source = {}, read(directory() .. "/tzdata.zi")
  for kind, first, second in source:gmatch "%f[^\n]([ZL]) (%S+) (%S+)" do
    list[#list + 1] = kind == "Z" and first or second
  end
  if not list[1] then
    source = "\n" .. read(directory() .. "/zone1970.tab")
    for name in source:gmatch "\n[^#\t]+\t[^\t]+\t([^\t\n]+)" do list[#list + 1] = name end
  end
  for i = #list, 1, -1 do
    if not list[i]:find "/" then table.remove(list, i) end
  end
  return list
end

-- "Europe/Berlin" for "europe/berln", "Berlin" and "Germany/Berlin".
local function near_name(name)
  if name:upper() == "UTC" then return "UTC" end
  local list, places, of_place = names(), {}, {}
  local near = name:find "/" and nearest(name, list)
  if near then return near end
  for i, full in ipairs(list) do
    places[i] = full:match "[^/]*$"
    of_place[places[i]] = of_place[places[i]] or full
  end
  local place = name:match "[^/]*$"
  near = nearest(place, places)
  if near and #place < 5 and near:lower() ~= place:lower() then return nil end -- CEST is not near to Australia/West
  return of_place[near]
end

local function describe_unknown(name)
  local shown = errors.printable(name)
  if core.file_status(directory()) ~= "directory" then
    return ("unknown time zone '%s': there is no time zone database in %s; the package tzdata has it"):format(
      shown, errors.printable(directory()))
  end
  local near = near_name(name)
  return ("unknown time zone '%s'; %s"):format(shown, near and ("did you mean '%s'?"):format(near)
    or "zones have names such as Europe/Berlin or UTC")
end

--- The zone of that name; false for UTC, which needs no file.
---@param name string
---@return userdata|false|nil zone
---@return string? message what is wrong with the name or the file
function zone.open(name)
  if type(name) ~= "string" then return nil, ("tz must be the name of a zone, not a %s"):format(type(name)) end
  if name == "UTC" then return false end
  local opened, why = core.zone(directory(), name)
  if opened then return opened end
  return nil, why and ("time zone '%s' cannot be used: %s"):format(errors.printable(name), why) or describe_unknown(name)
end

return zone

--- Makes csrc/slots.def, the perfect hash over the names of the field table:
---
---   lua5.4 spec/support/field_slots.lua csrc/slots.def
---
--- spec/fields_spec.lua compares the file with what this makes of the field table, and says when it has to be run again.
local field_slots = {}

local SLOTS = 128
local HEAD = [[
/*
** Where field_find looks for a name: SLOT(hash, name) for every member in fields.def, no two of them with the same hash.
** Made by spec/support/field_slots.lua; HASH_* are the first factors it found.
*/
]]

local function hash(name, factors)
  return (#name * factors.LENGTH + name:byte(1) * factors.FIRST + name:byte(math.floor(#name / 2) + 1) * factors.MIDDLE
    + name:byte(#name)) % SLOTS
end

-- name -> hash, or nil where two names have the same
local function slots(names, factors)
  local of, taken = {}, {}
  for _, name in ipairs(names) do
    of[name] = hash(name, factors)
    if taken[of[name]] then return nil end
    taken[of[name]] = true
  end
  return of
end

local function search(names)
  for length = 1, 63, 2 do
    for first = 1, 63, 2 do
      for middle = 0, 63 do
        local factors = { LENGTH = length, FIRST = first, MIDDLE = middle }
        local of = slots(names, factors)
        if of then return factors, of end
      end
    end
  end
  error("no factors below 64 do: look at more of a name's characters, here and in field_find")
end

--- The text of csrc/slots.def for these names.
---@param names string[]
---@return string
function field_slots.text(names)
  local factors, of = search(names)
  local lines = {}
  for _, factor in ipairs { "LENGTH", "FIRST", "MIDDLE" } do
    lines[#lines + 1] = ("#define HASH_%s %d\n"):format(factor, factors[factor])
  end
  for _, name in ipairs(names) do lines[#lines + 1] = ("SLOT(%d, %s)\n"):format(of[name], name) end
  return HEAD .. table.concat(lines)
end

--- The names of csrc/fields.def, in its order.
---@param path string
---@return string[]
function field_slots.names(path)
  local names = {}
  for line in io.lines(path) do names[#names + 1] = line:match "^FIELD%(([%w_]+)," end
  return names
end

if arg and arg[0] and arg[0]:find "field_slots%.lua$" then
  local file = assert(io.open(arg[1], "w"))
  file:write(field_slots.text(field_slots.names "csrc/fields.def"))
  file:close()
end

return field_slots

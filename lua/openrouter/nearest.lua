--- What somebody probably meant who wrote a name that does not exist.

-- Case and the kind of dash say nothing.
local function plain(name)
  return (name:lower():gsub("-", "_"))
end

-- How many letters must be put in, taken out, replaced or swapped with their neighbour to make one name of the other.
local function distance(a, b)
  local before, last
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    before, last, row = last, row, { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
  end
  return row[#b]
end

-- "user" for external_user
local function containing(name, candidates)
  if #name < 4 then return nil end
  for _, candidate in ipairs(candidates) do
    if ("_" .. candidate .. "_"):find("_" .. plain(name) .. "_", 1, true) then return candidate end
  end
end

-- "directory" for dir
local function abbreviation(name, candidates)
  for _, candidate in ipairs(candidates) do
    local rest = #candidate >= 3 and plain(name):sub(1, #candidate) == plain(candidate) and name:sub(#candidate + 1)
    if rest and rest:find "^%a+$" then return candidate end
  end
end

local LONGEST = 64 -- bytes; nobody mistypes a longer name

--- The candidate nearest to the name: at most one letter in three may be wrong, or the name is one of
--- its words, or it is the name's first letters. The first one where several are as near.
---@param name string
---@param candidates string[]
---@return string? candidate nil where none is near
local function nearest(name, candidates)
  if #name > LONGEST then return nil end
  local best, least = nil, math.max(1, math.floor(#name / 3)) + 1
  for _, candidate in ipairs(candidates) do
    local far = distance(plain(name), plain(candidate))
    if far < least then best, least = candidate, far end
  end
  return best or containing(name, candidates) or abbreviation(name, candidates)
end

return nearest

local report = require "openrouter.report"
local shell = require "spec.support.shell"

local NAMES = { "a", "B", "b", "", " ", "é", "日本", "0", "10", "9", "unknown", "a\\u0000a", "a\\u0000b", "10000000000000001" }

-- Lines of generations that all cost the same, by each of the names, some of them without an id, or by numbers.
local function make_lines()
  local lines = {}
  for i = 0, 799 do
    local name = NAMES[i % #NAMES + 1]
    local id = i % 50 > 0 and ('"id":"gen-%d",'):format(i) or ""
    lines[i + 1] = ('{%s"model":"%s","provider_name":"%s","external_user":"%s","app_id":%d,"streamed":%s,"total_cost":0.25,'
      .. '"created_at":"2026-11-%02dT10:00:00Z","latency":100,"provider_responses":[{"provider_name":"%s","status":%d}]}'):format(
      id, name, name, name, i % 3, i % 2 == 0, i % 7 + 1, name, i % 2 == 0 and 500 or 200)
  end
  return lines
end

-- The same lines in another order each time.
local function shuffled(lines, seed)
  local order = {}
  for i, line in ipairs(lines) do order[i] = line end
  for i = #order, 2, -1 do
    seed = seed * 16807 % 2147483647
    local j = seed % i + 1
    order[i], order[j] = order[j], order[i]
  end
  return order
end

describe("of what costs the same", function()
  after_each(shell.clean)

  it("the order is that of names, whatever that of the lines, files and threads", function()
    local lines, directory, first = make_lines(), shell.directory(), {}
    for seed = 1, 6 do
      local order = shuffled(lines, seed)
      local cut = seed * 120
      local a = shell.write(directory .. "/a.jsonl", table.concat(order, "\n", 1, cut) .. "\n")
      local b = shell.write(directory .. "/b.jsonl", table.concat(order, "\n", cut + 1) .. "\n")
      for _, by in ipairs { "model", "external_user,app_id", "app_id,streamed", "model,day" } do
        local r = report.new { by = by, page = true }
        for _, path in ipairs { a, b } do assert(r:add_file(path, { threads = seed % 3 + 1 })) end
        for _, format in ipairs(report.formats) do
          local key, text = by .. " " .. format, r:render(format)
          first[key] = first[key] or text
          if text ~= first[key] then assert.equal(first[key], text) end
        end
      end
    end
  end)
end)

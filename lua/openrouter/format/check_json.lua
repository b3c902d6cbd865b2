--- What a check found as JSON: {"unpriced":{"count":…,"examples":[…]},"drift":{…},"byok":{…},"hours":{…},
--- "no_hour":{"generations":…,"spend":…,"over":…},"generations":…,"compared":…,"tripped":…,"omitted":{…}}. Amounts are
--- strings, exact.
local encode = require "openrouter.format.encode"

local MEMBERS = {
  unpriced = { "id", "file", "line", "why" },
  drift = { "id", "file", "line", "instant", "drift", "percent" },
  byok = { "id", "file", "line" },
  hours = { "hour", "spend" },
}

local function findings_json(findings, names)
  local examples = encode.list(findings.examples, function(finding) return "\n" .. encode.record(finding, names) end)
  return ('{"count":%d,"examples":%s}'):format(findings.count, examples)
end

---@param result openrouter.CheckResult
---@return string
return function(result)
  local members = {}
  for _, kind in ipairs { "unpriced", "drift", "byok", "hours" } do
    members[#members + 1] = ('"%s":%s'):format(kind, findings_json(result[kind], MEMBERS[kind]))
  end
  local no_hour = result.no_hour and encode.record(result.no_hour, { "generations", "spend", "over" })
  members[#members + 1] = '"no_hour":' .. (no_hour or "null")
  return ('{%s,\n"generations":%d,"compared":%d,"tripped":%s,\n"omitted":%s}\n'):format(table.concat(members, ",\n"),
    result.generations, result.compared, tostring(result.tripped), encode.omitted(result.omitted))
end

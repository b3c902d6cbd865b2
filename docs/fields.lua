-- Prints docs/fields.md from the field table: lua5.4 docs/fields.lua > docs/fields.md
local core = require "openrouter.core"

local function row(field)
  local presence = field.presence
  if presence == "required" and field.nullable then presence = "required, may be null" end
  if presence == "optional" and field.nullable then presence = "optional, may be null" end
  local description = field.description
  if field.choices then description = description .. ": " .. table.concat(field.choices, ", ") end
  return ("| `%s` | %s | %s | %s | %s |"):format(field.name, field.type, field.unit, presence, description)
end

local function section(title, fields)
  print("\n## " .. title .. "\n")
  print "| member | type | unit | presence | what it says |"
  print "|---|---|---|---|---|"
  for _, field in ipairs(fields) do print(row(field)) end
end

print [[
# The members of a generation record

Made from `csrc/fields.def`, the one place where they are listed. A member of another type than stated reads as nil, and
`generation.state` says "mismatch"; lists of values are what the schema of 2026-08-03 names, and others read just as well.
Amounts are in USD, times in milliseconds. "retired": only in older records.]]
section("A record", core.fields)
section("An entry of `provider_responses`", core.response_fields)

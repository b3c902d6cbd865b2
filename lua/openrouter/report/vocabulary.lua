--- The dimensions and measures of reports.
local core = require "openrouter.core"

local PERCENTS = { 50, 90, 95, 99 }

---@class openrouter.Measure
---@field name string
---@field unit string "USD", "ms", "tokens", "count" or "time"
---@field sum? string what is summed up
---@field spread? string the field a quantile is of
---@field percent? integer which quantile
---@field distinct? boolean a number of different things: those of two rows do not add up
---@field counted? boolean a sum to which every record adds, so that none is 0 and not nil

local DIMENSIONS, MEASURES = {}, {}

local function add_measure(measure)
  MEASURES[#MEASURES + 1] = measure.name
  MEASURES[measure.name] = measure
end

local function add_field(field)
  local unit = field.unit
  if field.type ~= "array" then
    DIMENSIONS[#DIMENSIONS + 1] = field.name
    DIMENSIONS[field.name] = true
  end
  if unit == "USD" or unit == "tokens" or unit == "count" then
    add_measure { name = field.name, unit = unit, sum = field.name }
  end
  if unit == "ms" or unit == "tokens" then
    for _, percent in ipairs(PERCENTS) do
      add_measure { name = ("%s_p%d"):format(field.name, percent), unit = unit, spread = field.name, percent = percent }
    end
  end
end

add_measure { name = "generations", unit = "count" }
add_measure { name = "spend", unit = "USD", sum = "spend" }
add_measure { name = "spend_openrouter", unit = "USD", sum = "spend_openrouter" }
add_measure { name = "spend_upstream", unit = "USD", sum = "spend_upstream" }
add_measure { name = "charged", unit = "USD", sum = "charged" }
add_measure { name = "unpriced", unit = "count" }
add_measure { name = "cancelled", unit = "count", sum = "cancelled", counted = true }
add_measure { name = "failed_attempts", unit = "count", sum = "failed_attempts", counted = true }
add_measure { name = "failed_attempts_latency", unit = "ms", sum = "failed_attempts_latency" }
add_measure { name = "byok", unit = "count", sum = "byok", counted = true }
add_measure { name = "requests", unit = "count", sum = "requests", counted = true, distinct = true }
add_measure { name = "first", unit = "time", sum = "first" }
add_measure { name = "last", unit = "time", sum = "last" }
for _, field in ipairs(core.fields) do add_field(field) end

local TIMES = {}
for _, name in ipairs { "hour", "day", "week", "month" } do
  TIMES[name] = true
  DIMENSIONS[#DIMENSIONS + 1] = name
  DIMENSIONS[name] = true
end

return {
  --- Names in order, and as keys.
  ---@type string[]|table<string, true>
  dimensions = DIMENSIONS,

  --- Names in order, and what each of them is.
  ---@type string[]|table<string, openrouter.Measure>
  measures = MEASURES,

  --- The dimensions that are times.
  ---@type table<string, true>
  times = TIMES,
}

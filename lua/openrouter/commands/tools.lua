--- What the commands of openrouter-cost share: exit statuses, and ways to speak. stdout is data, stderr is messages.
local openrouter = require "openrouter"
local progress = require "openrouter.progress"

local tools = { OK = 0, FAILURE = 1, USAGE = 2, INCOMPLETE = 3, KEY_TROUBLE = 4, INTERRUPTED = 130 }

local KEY_KINDS = { auth = true, payment = true, no_key = true }

local bar -- on the terminal's last line, while something is going on

--- A progress bar, which makes way for what is said.
---@param total integer
---@param unit string what is counted, in the plural
function tools.bar(total, unit)
  bar = progress.new(total, unit)
  return bar
end

--- A message.
---@param format string
---@param ... any what goes into it, if anything
function tools.say(format, ...)
  if bar then bar:clear() end
  io.stderr:write("openrouter-cost: ", select("#", ...) > 0 and format:format(...) or format, "\n")
end

--- Messages, as they are.
---@param lines string[]
function tools.say_all(lines)
  for _, line in ipairs(lines) do tools.say("%s", line) end
end

--- Write to stdout. A write that fails is remembered as `tools.output_trouble`, and ends the run with a failure.
---@param ... string
function tools.put(...)
  local ok, why = io.stdout:write(...)
  if not ok then tools.output_trouble = tools.output_trouble or why end
end

--- The exit status of what went wrong.
---@param err openrouter.Error
---@return integer
function tools.status_of(err)
  return KEY_KINDS[err.kind] and tools.KEY_TROUBLE or tools.FAILURE
end

--- Say why nothing was done.
---@param trouble openrouter.Error
---@return integer status
function tools.fail(trouble)
  tools.say("%s", tostring(trouble.message))
  return tools.status_of(trouble)
end

--- 1234567 -> "1,234,567"
---@param n integer
---@return string
function tools.count(n)
  local text = ("%d"):format(n)
  repeat
    local changed
    text, changed = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until changed == 0
  return text
end

---@param n integer
---@param one string
---@param many string
---@return string
function tools.plural(n, one, many)
  return ("%s %s"):format(tools.count(n), n == 1 and one or many)
end

--- A client's on_event: tell why ids are asked again, once for each kind of trouble.
---@return fun(event: table)
function tools.retry_notice()
  local told = {}
  return function(event)
    local err = event.err
    if not event.delay or told[err.kind] then return end
    told[err.kind] = true
    if err.kind == "not_found" then
      tools.say("%s is not written yet; asking again, and for others like it", err.id)
    else
      tools.say("%s; trying again, up to two minutes for each id", tostring(err))
    end
  end
end

--- A client that tells why ids are asked again.
---@return openrouter.Client?, openrouter.Error?
function tools.client()
  return openrouter.client { on_event = tools.retry_notice() }
end

return tools

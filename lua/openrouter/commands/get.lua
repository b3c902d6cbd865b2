--- openrouter-cost get: records, for people or as JSON.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local generation = require "openrouter.generation"
local openrouter = require "openrouter"
local tools = require "openrouter.commands.tools"

local put, say = tools.put, tools.say
local command = {}

local UNITS = {}
for _, field in ipairs(openrouter.fields) do
  UNITS[field.name] = ({ USD = " USD", ms = " ms", tokens = " tokens" })[field.unit]
end

local function shown_response(gen, i, response)
  local status = generation.exact(gen, "provider_responses", i, "status") or "no status"
  local latency = generation.exact(gen, "provider_responses", i, "latency")
  return errors.printable(("%d. %s %s%s"):format(i, response.provider_name or "?", status,
    latency and (" after %s ms"):format(latency) or ""))
end

-- What a member reads like: strings without quotes, numbers as the server spelt them.
local function shown_value(gen, name, value)
  if name == "provider_responses" and type(value) == "table" then
    local parts = {}
    for i, response in ipairs(value) do parts[i] = shown_response(gen, i, response) end
    return table.concat(parts, "; ")
  end
  if type(value) == "string" then return errors.printable(value) end
  local text = errors.printable(generation.exact(gen, name))
  return generation.state(gen, name) == "value" and text .. (UNITS[name] or "") or text
end

local function print_record(gen)
  local spend, why = generation.spend(gen)
  put(("%-34s %s\n"):format("spend", spend and why .. " USD" or "unknown: " .. why))
  for name, value in generation.pairs(gen) do
    put(("  %-32s %s\n"):format(errors.printable(name), shown_value(gen, name, value)))
  end
  for _, violation in ipairs(generation.violations(gen)) do
    if violation.got ~= "absent" then -- members missing from older records are no news
      put(("  ! %s: %s expected, got %s\n"):format(
        errors.printable(violation.field), violation.expected, errors.printable(violation.got)))
    end
  end
end

local function non_negative(text)
  local number = tonumber(text)
  if number and number >= 0 and number < math.huge then return number end
  return nil, ("'%s' is not a number of seconds"):format(errors.printable(text))
end

local function valid_id(text)
  if text == "-" or not text:find "^gen%-" and core.file_status(text) == "file" then
    return nil, ("'%s' is a file; `openrouter-cost fetch` takes the ids in files"):format(errors.printable(text))
  end
  if core.id_valid(text) then return text end
  return nil, ("'%s' is no id: one has 1 to 128 letters, digits and any of - _ . : ~ /"):format(errors.printable(text))
end

function command.add(parser)
  local of_get = parser:command("get", "Show records.")
  of_get:argument("id", "Generation id."):args "+":convert(valid_id)
  of_get:option("--wait", "Seconds during which a missing record means \"not written yet\" (10; 0 for old ids).")
    :convert(non_negative)
  of_get:flag("--json", "As JSON, exactly as the server spelt it, one a line.")
  tools.epilog(of_get, nil, {
    "openrouter-cost get gen-1771967973-0hZ8J5kY7qLMOKbPx0u3",
    "openrouter-cost get --wait 60 gen-1771967973-0hZ8J5kY7qLMOKbPx0u3",
    "openrouter-cost get --json gen-1 gen-2 | jq .total_cost",
  })
end

function command.run(args)
  local client, trouble = tools.client()
  if not client then return tools.fail(trouble) end
  local status, shown = tools.OK, 0
  for _, id in ipairs(args.id) do
    local gen, err = client:get(id, { wait = args.wait })
    if gen and args.json then
      put(generation.json(gen), "\n")
    elseif gen then
      if shown > 0 then put "\n" end
      shown = shown + 1
      print_record(gen)
    else
      say("%s", tostring(err))
      status = tools.is_key_trouble(err) and tools.KEY_TROUBLE or tools.INCOMPLETE
      if status == tools.KEY_TROUBLE then break end
    end
  end
  client:close()
  return status
end

return command

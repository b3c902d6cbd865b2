--- openrouter-cost check: whether there is something in ledgers that somebody should look at.
local check = require "openrouter.check"
local decimal = require "openrouter.decimal"
local errors = require "openrouter.errors"
local ledgers = require "openrouter.commands.ledgers"
local output = require "openrouter.commands.output"
local reading = require "openrouter.commands.reading"
local tools = require "openrouter.commands.tools"

local command = {}

local function percent(text)
  local number = tonumber((text:gsub("%%$", "")))
  if number and number >= 0 and number < math.huge then return number end
  return nil, ("'%s' is no percentage, such as 0.5"):format(errors.printable(text))
end

local function amount(text)
  local order = decimal.compare(text, "0")
  if order and order >= 0 then return text end
  return nil, ("'%s' is no amount of USD, such as 2.50"):format(errors.printable(text))
end

function command.add(parser)
  local of_check = parser:command("check", "Find what somebody should look at: records without a price, costs that are not what "
    .. "the response said, bills of own provider keys that are unknown, hours that cost too much.")
    :summary "Find what somebody should look at, for jobs: exit status 8."
  of_check:argument("file", "Ledgers, or directories of openrouter.nginx."):args "+"
  of_check:option("--max-per-hour", "Most that one hour may cost, in USD."):argname "<usd>":convert(amount)
  of_check:option("--max-drift", "By how much the cost may differ from what the response said (0).")
    :argname "<percent>":convert(percent)
  ledgers.add_options(of_check, true)
  tools.choice(of_check:option("--format", "text or json.", "text"), "format", { "text", "json" })
  output.option(of_check)
  tools.epilog(of_check, "The exit status is 8 when there is something, 3 when ids have no record or lines were skipped.", {
    "openrouter-cost check costs.jsonl",
    "openrouter-cost check /var/log/nginx/openrouter --since 24h --max-per-hour 5",
    "openrouter-cost check costs.jsonl --max-drift 0.1 --format json",
  })
end

local MANY = 1e4 -- records that take long enough for a bar

-- A function that shows how far files are read, in bytes, and after that, how many records are looked at.
local function show_progress(paths)
  local show_bytes, bar = reading.progress(paths), nil
  return function(done, total, what)
    if what == "bytes" then return show_bytes(done, total) end
    if done == 0 then
      tools.clear()
      bar = total >= MANY and tools.bar(total, "records") or nil
    end
    if bar then bar:show(done) end
  end
end

function command.run(args)
  local filters = ledgers.options(args)
  local paths = filters and ledgers.rereadable(args.file, "check")
  if not paths then return tools.USAGE end
  local result, trouble = check.ledgers(paths, { since = filters.since, ["until"] = filters["until"], tz = filters.tz,
    where = filters.where, max_drift = args.max_drift, max_per_hour = args.max_per_hour,
    progress = show_progress(paths) })
  tools.clear()
  if not result then return tools.fail(trouble) end
  local omitted = result.omitted
  ledgers.explain_skipped(omitted, result.generations + omitted.filtered + omitted.undated)
  local text = require("openrouter.format.check_" .. args.format)(result, tools.look(args.output))
  if not output.write(args.output, text, args.file) then return tools.FAILURE end
  if result.tripped then return tools.TRIPPED end
  return ledgers.is_incomplete(omitted) and tools.INCOMPLETE or tools.OK
end

return command

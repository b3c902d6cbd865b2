--- The command openrouter-cost. stdout is data, stderr is messages and progress.
local argparse = require "argparse"
local core = require "openrouter.core"
local batch = require "openrouter.batch"
local errors = require "openrouter.errors"
local generation = require "openrouter.generation"
local ledger = require "openrouter.ledger"
local openrouter = require "openrouter"
local progress = require "openrouter.progress"
local report = require "openrouter.report"

local cli = {}

local OK, FAILURE, USAGE, INCOMPLETE, KEY_TROUBLE, INTERRUPTED = 0, 1, 2, 3, 4, 130
local KEY_KINDS = { auth = true, payment = true, no_key = true }

local bar -- on the terminal's last line, while fetching
local function say(format, ...)
  if bar then bar:clear() end
  io.stderr:write("openrouter-cost: ", select("#", ...) > 0 and format:format(...) or format, "\n")
end

-- To stdout. A write that fails is remembered, and ends the run with a failure.
local output_trouble
local function put(...)
  local ok, why = io.stdout:write(...)
  if not ok then output_trouble = output_trouble or why end
end

-- 1234567 -> "1,234,567"
local function count(n)
  local text = ("%d"):format(n)
  repeat
    local changed
    text, changed = text:gsub("^(%d+)(%d%d%d)", "%1,%2")
  until changed == 0
  return text
end

local function plural(n, one, many)
  return ("%s %s"):format(count(n), n == 1 and one or many)
end

-- ---- get ------------------------------------------------------------------------------------------------------------

local UNITS = {}
for _, field in ipairs(openrouter.fields) do
  UNITS[field.name] = ({ USD = " USD", ms = " ms", tokens = " tokens" })[field.unit]
end

local function shown_response(gen, i, response)
  local status = generation.exact(gen, "provider_responses", i, "status") or "no status"
  local latency = generation.exact(gen, "provider_responses", i, "latency")
  return ("%d. %s %s%s"):format(i, response.provider_name or "?", status, latency and (" after %s ms"):format(latency) or "")
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

-- Tell why ids are asked again, once for each kind of trouble.
local function retry_notice()
  local told = {}
  return function(event)
    local err = event.err
    if not event.delay or told[err.kind] then return end
    told[err.kind] = true
    if err.kind == "not_found" then
      say("%s is not written yet; asking again, and for others like it", err.id)
    else
      say("%s; trying again, up to two minutes for each id", tostring(err))
    end
  end
end

local function get(args)
  local client, trouble = openrouter.client { on_event = retry_notice() }
  if not client then
    say("%s", tostring(trouble.message))
    return KEY_KINDS[trouble.kind] and KEY_TROUBLE or FAILURE
  end
  local status, shown = OK, 0
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
      status = KEY_KINDS[err.kind] and KEY_TROUBLE or FAILURE
      if status == KEY_TROUBLE then break end
    end
  end
  client:close()
  return status
end

-- ---- fetch ----------------------------------------------------------------------------------------------------------

local function say_all(lines)
  for _, line in ipairs(lines) do say("%s", line) end
end

local function file_names(paths)
  local names = {}
  for i, path in ipairs(paths) do names[i] = path == "-" and "standard input" or path end
  return table.concat(names, ", ")
end

local function describe_ids(found, files)
  local notes = {}
  local repeated = found.found - #found.ids - found.unusable
  if repeated > 0 then notes[#notes + 1] = count(repeated) .. " repeated" end
  if found.without > 0 then notes[#notes + 1] = plural(found.without, "line has no id", "lines have no id") end
  say("%s in %s of %s%s", plural(#found.ids, "id", "ids"), plural(found.lines, "line", "lines"), file_names(files),
    #notes > 0 and (" (%s)"):format(table.concat(notes, ", ")) or "")
end

-- What to do before the same command can go on.
local function advice(outcome)
  if outcome.kinds.auth then return "; set OPENROUTER_API_KEY to a valid key and run the same command again" end
  if outcome.kinds.payment then return "; add credits and run the same command again" end
  return "; run the same command again to ask once more"
end

local function describe_outcome(outcome, path, seconds)
  say("%s fetched in %.1f s, now in %s", plural(outcome.settled, "record", "records"), seconds, path)
  local kinds = {}
  for kind in pairs(outcome.kinds) do kinds[#kinds + 1] = kind end
  table.sort(kinds)
  for _, kind in ipairs(kinds) do
    say("%s %s, such as %s", count(outcome.kinds[kind]), kind, tostring(outcome.errors[kind]))
  end
  local left = outcome.total - outcome.settled
  if left > 0 then say("%s without a record%s", plural(left, "id is", "ids are"), advice(outcome)) end
end

local function fetch_status(outcome, problems)
  if outcome.kinds.auth or outcome.kinds.payment then return KEY_TROUBLE end
  local complete = outcome.settled == outcome.total and #problems == 0
  return complete and OK or INCOMPLETE
end

-- What a run that stops half-way leaves behind.
local function say_safe(outcome, path)
  say("%s safe in %s, %s not fetched; run the same command again to go on",
    plural(outcome.settled, "record is", "records are"), path, plural(outcome.total - outcome.done, "id is", "ids are"))
end

local MANY_REFUSED = 20

-- Once, while there is still time to stop the run.
local function say_refused(outcome)
  if outcome.refused ~= MANY_REFUSED then return end
  say("%d ids in a row are refused (403), such as %s; is the key in OPENROUTER_API_KEY of the account that made them?",
    MANY_REFUSED, outcome.errors.forbidden.id)
end

local function run_fetch(client, ids, writer, path, problems)
  bar = progress.new(#ids, "ids")
  local start, latest = core.now(), { settled = 0, done = 0, total = #ids }
  bar:show(0)
  local ok, outcome, trouble = pcall(batch.fetch, client, ids, writer, function(so_far)
    latest = so_far
    say_refused(so_far)
    bar:show(so_far.done, so_far.failed > 0 and count(so_far.failed) .. " failed" or nil)
  end)
  bar:clear()
  local closed, close_trouble = writer:close()
  if not ok then
    say_safe(latest, path)
    error(outcome, 0)
  end
  trouble = trouble or not closed and close_trouble
  if trouble then
    say("%s", tostring(trouble.message))
    say_safe(outcome, path)
    return FAILURE
  end
  describe_outcome(outcome, path, core.now() - start)
  return fetch_status(outcome, problems)
end

local function fetch(args)
  local found, trouble = batch.collect(args.file)
  if not found then
    say("%s", trouble.message)
    return FAILURE
  end
  say_all(found.problems)
  if #found.ids == 0 then
    say("no generation id in %s (%s read); one looks like gen-1771967973-0hZ8J5kY7qLMOKbPx0u3",
      file_names(args.file), plural(found.lines, "line", "lines"))
    return FAILURE
  end
  describe_ids(found, args.file)
  local client, writer
  client, trouble = openrouter.client { on_event = retry_notice() }
  if client then writer, trouble = ledger.open(args.ledger) end
  if not writer then
    say("%s", trouble.message)
    return KEY_KINDS[trouble.kind] and KEY_TROUBLE or FAILURE
  end
  local open, skipped = batch.remaining(found.ids, writer)
  if not open then
    say("%s", skipped.message)
    return FAILURE
  end
  say_all(skipped)
  if #open < #found.ids then
    say("%s in %s already", plural(#found.ids - #open, "of them is", "of them are"), args.ledger)
  end
  return run_fetch(client, open, writer, args.ledger, found.problems)
end

-- ---- report ---------------------------------------------------------------------------------------------------------

local function write_output(path, text)
  if not path then
    put(text)
    return true
  end
  local file, why = io.open(path, "w")
  if not file then return nil, why end
  local ok, write_why = file:write(text)
  local closed, close_why = file:close()
  return ok and closed, ("%s: %s"):format(path, write_why or close_why)
end

local function run_report(args)
  local options = { by = args.by, measures = args.measures }
  local fine, why = report.check(options)
  if not fine then
    say("%s", why)
    return USAGE
  end
  local r = report.new(options)
  for _, path in ipairs(args.file) do
    local ok, err = r:add_file(path)
    if not ok then
      say("%s", err.message)
      return FAILURE
    end
  end
  local written, write_why = write_output(args.output, r:render(args.format))
  if not written then
    say("%s", write_why)
    return FAILURE
  end
  local omitted = r:omitted()
  return omitted.skipped + omitted.failed + omitted.pending > 0 and INCOMPLETE or OK
end

-- ---- the command line -----------------------------------------------------------------------------------------------

local function non_negative(text)
  local number = tonumber(text)
  if number and number >= 0 and number < math.huge then return number end
  return nil, ("'%s' is not a number of seconds"):format(text)
end

local function make_parser()
  local parser = argparse("openrouter-cost", "What requests through OpenRouter cost, from their generation records.",
    "The key is read from $OPENROUTER_API_KEY, the server from $OPENROUTER_BASE_URL where it is set.\n"
    .. "Exit status: 0 done, 1 failure, 2 usage, 3 incomplete, 4 key or credits, 130 interrupted.")
  parser:command_target "command"
  parser:require_command(true)
  parser:flag("--version", "Show the version."):action(function()
    put("openrouter-cost ", openrouter._VERSION, "\n")
    io.stdout:flush()
    os.exit(OK, true)
  end)

  local get_command = parser:command("get", "Show records.")
  get_command:argument("id", "Generation id."):args "+"
  get_command:option("--wait", "Seconds during which a missing record means \"not written yet\" (10; 0 for old ids).")
    :convert(non_negative)
  get_command:flag("--json", "As JSON, exactly as the server spelt it, one a line.")

  local fetch_command = parser:command("fetch", "Fetch the records of all ids found in files into a ledger.",
    "Run it again to go on where it stopped: ids in the ledger are not asked for again.")
  fetch_command:argument("file", "Any text with generation ids in it; - or nothing is standard input."):args "*"
  fetch_command:option("--ledger", "Where the records go.", "./openrouter.jsonl")

  local report_command = parser:command("report", "Add up ledgers.")
  report_command:argument("file", "Ledgers, or any JSON Lines of records; - is standard input."):args "+"
  report_command:option("--by", "Dimensions, such as model,day or external_user.", "model")
  report_command:option("--measures", "Columns, such as generations,spend,latency_p95 (docs/reports.md).")
  report_command:option("--format", "text or json.", "text"):choices { "text", "json" }
  report_command:option("-o --output", "Write to this file.")
  return parser
end

local COMMANDS = { get = get, fetch = fetch, report = run_report }

local function run(arguments)
  local ok, args = make_parser():pparse(arguments)
  if not ok then
    say("%s (openrouter-cost --help)", args)
    return USAGE
  end
  if args.file and #args.file == 0 then args.file = { "-" } end
  for _, path in ipairs(args.file or {}) do
    if path == "-" and core.is_terminal(0) then say "reading standard input, until its end (Ctrl-D)" end
  end
  return COMMANDS[args.command](args)
end

local function on_error(message)
  if tostring(message):find "interrupted!$" then return { interrupted = true } end
  return { trace = debug.traceback(tostring(message), 2) }
end

--- Run the command.
---@param arguments string[]
---@return integer status for os.exit
function cli.main(arguments)
  local ok, result = xpcall(run, on_error, arguments)
  local flushed, why = io.stdout:flush()
  output_trouble = output_trouble or not flushed and why
  if output_trouble then
    say("standard output: %s", output_trouble)
    return FAILURE
  end
  if ok then return result end
  if result.interrupted then
    say "interrupted"
    return INTERRUPTED
  end
  say("this is a bug, please report it: %s", result.trace)
  return FAILURE
end

return cli

--- The command openrouter-cost. stdout is data, stderr is messages and progress.
local argparse = require "argparse"
local core = require "openrouter.core"
local batch = require "openrouter.batch"
local errors = require "openrouter.errors"
local generation = require "openrouter.generation"
local ledger = require "openrouter.ledger"
local openrouter = require "openrouter"
local progress = require "openrouter.progress"
local reconcile = require "openrouter.commands.reconcile"
local report = require "openrouter.report"
local settle = require "openrouter.settle"

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

-- ---- settle ---------------------------------------------------------------------------------------------------------

local SHOWN = 10 -- of a list of things of the same kind

local function say_some(list, text_of)
  for i = 1, math.min(#list, SHOWN) do say("%s", text_of(list[i])) end
  if #list > SHOWN then say("and %s more like these", count(#list - SHOWN)) end
end

local function describe_adopted(run)
  if not settle.is_used(run.directory) then
    say("%s has neither pending/ nor ledger.jsonl in it: is it what start() of openrouter.nginx has as `dir`?", run.directory)
  end
  local held = run.locked > 0 and ("; %s with a living worker, or another run"):format(
    plural(run.locked, "segment is", "segments are")) or ""
  if #run.ids == 0 then
    say("no id in %s waits for this command%s", run.directory, held)
  else
    say("%s in %s of %s%s", plural(#run.ids, "open id", "open ids"), plural(#run.sources, "orphaned segment",
      "orphaned segments"), run.directory, held)
  end
end

-- Open what failed again; false when that cannot be done.
local function reopen_failed(run)
  local reopened, trouble, what = run:retry_failed()
  if reopened then
    say("%s asked for once more", plural(reopened, "failed id is", "failed ids are"))
    return true
  end
  if what ~= "locked" then return false, trouble end
  say("another run, or a worker, is at what failed just now: it has %s/retry.jsonl", run.pending)
  return true
end

local function close_settled(run)
  local closed, trouble = run:close_settled()
  if closed and closed > 0 then
    say("%s in %s already", plural(closed, "of them is", "of them are"), run.ledger)
  end
  return closed ~= nil, trouble
end

-- What comes before fetching. True, or false and an error.
local function prepare(run, args)
  run:find_keys(args.keys or run.directory .. "/keys")
  local user, why = run:act_as_owner()
  if why then return false, errors.new("io", why) end
  if user then say("working as %s, whose files these are", user) end
  local ok, trouble = close_settled(run)
  if ok and args.retry_failed then ok, trouble = reopen_failed(run) end
  return ok, trouble
end

local function sorted_kinds(kinds)
  local list = {}
  for kind, of in pairs(kinds) do list[#list + 1] = { kind = kind, ids = of.ids, err = of.err } end
  table.sort(list, function(a, b) return a.kind < b.kind end)
  return list
end

local TOLD = { auth = true, payment = true, unresolved = true } -- with the key that is refused

local function describe_settled(run, seconds)
  local outcome = run.outcome
  if outcome.done > 0 then
    say("%s fetched in %.1f s%s", plural(outcome.settled, "record", "records"), seconds,
      outcome.settled > 0 and ", now in " .. run.ledger or "")
  end
  for _, of in ipairs(sorted_kinds(outcome.failed)) do
    say("%s %s, such as %s; failed, until --retry-failed", count(of.ids), of.kind, tostring(of.err))
  end
  if outcome.failed.forbidden then
    say "is the key of the account that made these requests? With the right one, --retry-failed fetches them"
  end
  for _, of in ipairs(sorted_kinds(outcome.left)) do
    if not TOLD[of.kind] then say("%s %s, such as %s; still open", count(of.ids), of.kind, tostring(of.err)) end
  end
  say_some(outcome.refused, function(key)
    return ("the key '%s' is refused, and %s open: %s"):format(
      key.name, plural(key.ids, "id stays", "ids stay"), tostring(key.err))
  end)
  say_some(outcome.missing, function(key)
    return ("%s the key '%s': %s"):format(plural(key.ids, "id needs", "ids need"), errors.printable(key.name), key.why)
  end)
end

-- Bring everything to the disk, and tell what is left.
local function finish_settle(run)
  local left = run:open()
  run:close()
  say_some(run.problems, function(why) return errors.printable(why) end)
  if run.later > 0 then say("%s left for the next run", plural(run.later, "segment is", "segments are")) end
  if left > 0 then say("%s still open; run the same command again", plural(left, "id is", "ids are")) end
  return left
end

local function settle_status(run, left)
  if #run.problems > 0 then return FAILURE end
  if #run.outcome.refused > 0 then return KEY_TROUBLE end
  local complete = left + run.later == 0 and not run.outcome.failed.forbidden
  return complete and OK or INCOMPLETE
end

-- With a bar, and as far as it goes.
local function fetch_open(run)
  local total = run:plan()
  bar = progress.new(total, "ids")
  if total > 0 then bar:show(0) end
  local ok, trouble = run:fetch(retry_notice(), function(outcome) bar:show(outcome.done) end)
  bar:clear()
  return ok, trouble
end

local function settle_adopted(run, args)
  local start = core.now()
  local ok, trouble = prepare(run, args)
  if ok then ok, trouble = fetch_open(run) end
  describe_settled(run, core.now() - start)
  if not ok then say("%s", tostring(trouble.message)) end
  return ok
end

local function run_settle(args)
  local run, trouble = settle.adopt(args.dir)
  if not run then
    say("%s", trouble.message)
    return FAILURE
  end
  describe_adopted(run)
  local ok, result = pcall(settle_adopted, run, args)
  if not ok then
    say("%s in %s", plural(run.outcome.settled, "record is", "records are"), run.ledger)
    finish_settle(run)
    error(result, 0)
  end
  local left = finish_settle(run)
  return result and settle_status(run, left) or FAILURE
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

local function add_to_report(r, path)
  if core.file_status(path) == "directory" then return r:add_directory(path) end
  return r:add_file(path)
end

-- { "model=a", "model=b" } -> { model = { "a", "b" } }; nil and what is wrong.
local function read_where(conditions)
  local where = {}
  for _, text in ipairs(conditions) do
    local name, value = text:match "^([^=]+)=(.*)$"
    if not name then
      return nil, ("--where takes NAME=VALUE, such as model=openai/gpt-5, not '%s'"):format(errors.printable(text))
    end
    where[name] = where[name] or {}
    table.insert(where[name], value)
  end
  return where
end

local function report_options(args)
  local where, why = read_where(args.where)
  if not where then return nil, why end
  return { by = args.by, measures = args.measures, tz = args.tz, since = args.since, ["until"] = args["until"], where = where }
end

local function run_report(args)
  local options, fine, why
  options, why = report_options(args)
  if options then fine, why = report.check(options) end
  if not fine then
    say("%s", why)
    return USAGE
  end
  local r = report.new(options)
  for _, path in ipairs(args.file) do
    local ok, err = add_to_report(r, path)
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
  report_command:argument("file", "Ledgers, any JSON Lines of records, or the directory of openrouter.nginx; "
    .. "- is standard input."):args "+"
  report_command:option("--by", "Dimensions, such as model,day or external_user.", "model")
  report_command:option("--tz", "Whose hours, days, weeks and months: a zone such as Europe/Berlin.", "UTC")
  report_command:option("--since", "Only what was made then or later: 2026-11-01, 2026-11-01T14:00, or 7d for a week ago.")
  report_command:option("--until", "Only what was made before that time, or on that day and before.")
  report_command:option("--where", "Only what has this value, such as model=NAME; again for others of the same name, and for "
    .. "other names."):count "*":argname "<name=value>"
  report_command:option("--measures", "Columns, such as generations,spend,latency_p95 (docs/reports.md).")
  report_command:option("--format", "text or json.", "text"):choices { "text", "json" }
  report_command:option("-o --output", "Write to this file.")

  local settle_command = parser:command("settle", "Fetch what nginx's workers left open.",
    "The key NAME is $OPENROUTER_API_KEY_<NAME>, or the first line of the file NAME in the directory of --keys.\n"
    .. "It may run while nginx does: what a living worker holds is not touched.")
  settle_command:argument("dir", "What openrouter.nginx has as `dir`.")
  settle_command:flag("--retry-failed", "Ask once more for what failed.")
  settle_command:option("--keys", "Directory of files with a key each, of mode 0600 (DIR/keys).")

  reconcile.add(parser)
  return parser
end

local function run_reconcile(args)
  return reconcile.run(args, { say = say, put = put, on_event = retry_notice() })
end

local COMMANDS = { get = get, fetch = fetch, report = run_report, settle = run_settle, reconcile = run_reconcile }

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

--- openrouter-cost reconcile: what a ledger lacks of what OpenRouter says was used. docs/reconcile.md
local batch = require "openrouter.batch"
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local ledger = require "openrouter.ledger"
local ledgers = require "openrouter.commands.ledgers"
local openrouter = require "openrouter"
local output = require "openrouter.commands.output"
local period = require "openrouter.period"
local reconcile = require "openrouter.reconcile"
local tools = require "openrouter.commands.tools"
local witness = require "openrouter.witness"

local command = {}

local day_name, days_of = period.day_text, period.days

local DAY = 86400
local ACTIVITY_DAYS, ANALYTICS_DAYS = 30, 365 -- how far back they go
local LARGEST_ANSWER = 32 * 1024 * 1024 -- bytes

function command.add(parser)
  local it = parser:command("reconcile", "Compare ledgers with what OpenRouter says was used, per UTC day and model.")
  it:argument("file", "Ledgers, or the directory of openrouter.nginx."):args "+"
  it:option("--since", "First UTC day, such as 2026-11-01, or that of a month, week or year, such as 2026-11, 2026-W44 or "
    .. "2026. By default that of 30 days ago.")
  it:option("--until", "Last UTC day, or that of a month, week or year. By default yesterday, the last one that is over.")
  tools.choice(it:option("--with", "Whom to ask: activity, analytics or both.", "both"), "witness",
    { "activity", "analytics", "both" })
  it:option("--key-hash", "Only what this API key used: its hash, as GET /api/v1/keys has it.")
  it:flag("--fetch", "Fetch the records that are missing, and compare again.")
  tools.ledger_option(it, "Where --fetch writes them.")
  tools.choice(it:option("--format", "text or json.", "text"), "format", { "text", "json" })
  output.option(it)
  tools.epilog(it, "Asks GET /activity and POST /analytics/query, which want a management key: $OPENROUTER_MANAGEMENT_KEY, "
    .. "else $OPENROUTER_API_KEY. The exit status is 0 when the ledgers are complete, 3 when something is "
    .. "missing or differs, ids are open or failed in the ledgers, or lines were skipped.", {
    "openrouter-cost reconcile costs.jsonl",
    "openrouter-cost reconcile costs.jsonl --since 2026-11-01 --until 2026-11-15",
    "openrouter-cost reconcile costs.jsonl --fetch --ledger costs.jsonl",
    "openrouter-cost reconcile /var/log/nginx/openrouter --format json",
  })
end

-- ---- which days -----------------------------------------------------------------------------------------------------

-- Nil and what is wrong with the options.
local function read_days(args, today)
  local first, last = today - ACTIVITY_DAYS, today - 1
  for _, name in ipairs { "since", "until" } do
    if args[name] and not days_of(args[name]) then
      return nil, ("--%s takes UTC days, such as 2026-11-01, or all of a month, week or year (2026-11, 2026-W44, 2026), "
        .. "not '%s'"):format(name, errors.printable(args[name]))
    end
  end
  local _, why = period.read(args.since, args["until"], false, 0)
  if why then return nil, why end
  local asked = args["until"] and select(2, days_of(args["until"]))
  last = math.min(last, asked or last)
  if args.since then first = days_of(args.since) elseif args["until"] then first = math.min(first, last) end
  if first > last then
    return nil, ("no day from %s %s is over (UTC days, of which today is %s)"):format(
      day_name(first), asked and "to " .. day_name(asked) or "on", day_name(today))
  end
  if first < today - ANALYTICS_DAYS then
    return nil, ("--since: OpenRouter reports %d days, the first of which is %s"):format(
      ANALYTICS_DAYS, day_name(today - ANALYTICS_DAYS))
  end
  if args.with == "activity" and first < today - ACTIVITY_DAYS then -- days that nobody reports must not pass for complete
    return nil, ("/activity has %d days, the first of which is %s; --with analytics goes back further"):format(
      ACTIVITY_DAYS, day_name(today - ACTIVITY_DAYS))
  end
  return { first = first, last = last, today = today }
end

local function check(args)
  if args.fetch and not args.ledger then return nil, "--fetch wants --ledger FILE, which is where the records go" end
  if args.ledger and not args.fetch then return nil, "--ledger is where --fetch writes; without --fetch nothing is written" end
  if args.key_hash and not (#args.key_hash == 64 and args.key_hash:find "^%x+$") then
    return nil, "--key-hash takes the hash of a key, 64 hexadecimal digits, as GET /api/v1/keys has it; never the key itself"
  end
  return true
end

-- ---- the two sides --------------------------------------------------------------------------------------------------

local function management_client()
  local key = os.getenv "OPENROUTER_MANAGEMENT_KEY"
  return openrouter.client { api_key = key ~= "" and key or nil, max_body = LARGEST_ANSWER, on_event = tools.on_usage_event }
end

-- Rows of /activity, which is asked day by day: so that an answer stays small, and a day that is missing in it is noticed.
local function ask_activity(client, first, last, key_hash)
  local rows = {}
  for day = first, last do
    local list, err = witness.activity(client, day_name(day), key_hash)
    if not list then return nil, err end
    for _, row in ipairs(list) do rows[#rows + 1] = row end
  end
  return rows
end

-- What each source says, and of which days: a list of { name =, first =, last =, usage = }.
local function ask_sources(client, days, args)
  local sources = {}
  local first = math.max(days.first, days.today - ACTIVITY_DAYS)
  if args.with ~= "analytics" and first <= days.last then
    local usage, err = ask_activity(client, first, days.last, args.key_hash)
    if not usage then return nil, err end
    sources[1] = { name = "activity", first = first, last = days.last, usage = usage }
  end
  if args.with ~= "activity" then
    local usage, err = witness.analytics(client, days.first * DAY, (days.last + 1) * DAY, args.key_hash)
    if not usage then return nil, err end
    sources[#sources + 1] = { name = "analytics", first = days.first, last = days.last, usage = usage }
  end
  return sources
end

-- ---- comparing ------------------------------------------------------------------------------------------------------

local function within(usage, first, last)
  local list = {}
  for _, row in ipairs(usage) do
    if row.day >= day_name(first) and row.day <= day_name(last) then list[#list + 1] = row end
  end
  return list
end

-- Adds `rows` to each source, and returns what the ledger's report leaves out, or nil and an error.
local function compare(sources, days, paths)
  local r, err = ledgers.read(reconcile.report(day_name(days.first), day_name(days.last)), paths)
  if not r then return nil, err end
  local ours = reconcile.ledger(r)
  for _, source in ipairs(sources) do
    source.rows = reconcile.compare(within(ours, source.first, source.last), source.usage)
  end
  return r:omitted()
end

local function agree(sources)
  for _, source in ipairs(sources) do
    if not reconcile.agrees(source.rows) then return false end
  end
  return true
end

-- Days on which a source differs, in order.
local function differing_days(sources)
  local days, seen = {}, {}
  for _, source in ipairs(sources) do
    for _, row in ipairs(source.rows) do
      if not reconcile.is_fine(row) and not seen[row.day] then
        seen[row.day] = true
        days[#days + 1] = row.day
      end
    end
  end
  table.sort(days)
  return days
end

local function ask_generations(client, days, key_hash)
  local all = {}
  for _, day in ipairs(days) do
    local list, err = witness.generations(client, days_of(day) * DAY, key_hash)
    if not list then return nil, err end
    for _, usage in ipairs(list) do all[#all + 1] = usage end
  end
  return all
end

local function with_status(ids, status)
  local list = {}
  for _, row in ipairs(ids or {}) do
    if row.status == status then list[#list + 1] = row end
  end
  return list
end

-- ---- fetching what is missing ---------------------------------------------------------------------------------------

local function record_client()
  local key = tools.is_set "OPENROUTER_API_KEY" and "OPENROUTER_API_KEY" or "OPENROUTER_MANAGEMENT_KEY"
  return openrouter.client { api_key = os.getenv(key), on_event = tools.on_event }
end

-- Fetch these ids into a ledger: the outcome, or nil and an error.
local function fetch(ids, path)
  local client, err = record_client()
  if not client then return nil, err end
  local writer, trouble = ledger.open(path)
  if not writer then return nil, trouble end
  local bar, settled = tools.bar(#ids, "ids"), 0
  bar:show(0)
  local outcome, failed = tools.guard(function()
    return batch.fetch(client, ids, writer, function(so_far)
      settled = so_far.settled
      bar:show(so_far.done)
    end)
  end, function()
    local whole, why = writer:close()
    if not whole then return tools.say("%s; run the same command again", tostring(why.message)) end
    tools.say("%d of %d missing records are safe in %s; run the same command again", settled, #ids, path)
  end)
  tools.clear()
  client:close()
  local closed, why = writer:close()
  if failed or not closed then return nil, failed or why end
  return outcome
end

local function fetch_missing(view, args)
  local ids = {}
  for _, row in ipairs(with_status(view.ids, "missing")) do
    if core.id_valid(row.id) then ids[#ids + 1] = row.id end
  end
  if #ids == 0 then return true end
  local outcome, err = fetch(ids, args.ledger)
  if not outcome then return nil, err end
  tools.say("%d of %d missing records fetched, now in %s", outcome.settled, #ids, args.ledger)
  local kinds = {}
  for kind in pairs(outcome.errors) do kinds[#kinds + 1] = kind end
  table.sort(kinds)
  for _, kind in ipairs(kinds) do
    tools.say("%d %s, such as %s", outcome.kinds[kind], kind, tostring(outcome.errors[kind]))
    view.refused = view.refused or errors.stops[kind]
  end
  return true
end

-- The files, and the ledger that was written to if it is none of them.
local function with_ledger(paths, path)
  local list = {}
  for i, other in ipairs(paths) do
    if other == path then return paths end
    list[i] = other
  end
  list[#list + 1] = path
  return list
end

-- ---- the whole ------------------------------------------------------------------------------------------------------

-- Which ids make the difference, into view.ids; where analytics does not tell, view.ids_trouble says why.
local function find_ids(view, client, args, paths)
  local days = differing_days(view.sources)
  view.ids = nil
  if #days == 0 or args.with == "activity" then return true end
  if not view.generations then
    view.generations, view.ids_trouble = ask_generations(client, days, args.key_hash)
    if not view.generations then return true end
  end
  local r, err = ledgers.read(reconcile.id_report(days), paths)
  if not r then return nil, err end
  view.ids = reconcile.differing_ids(r, within(view.generations, (days_of(days[1])), (days_of(days[#days]))))
  return true
end

local function look(view, client, args, paths)
  local omitted, err = compare(view.sources, view.period, paths)
  if not omitted then return nil, err end
  view.omitted, view.agrees = omitted, agree(view.sources)
  view.complete = view.agrees and not ledgers.is_incomplete(omitted) -- nobody knows of which day those are
  return find_ids(view, client, args, paths)
end

-- Before a minute of questions, as a name is mistyped easily.
local function check_files(paths)
  for _, path in ipairs(paths) do
    local kind, why = core.file_status(path)
    if not kind then return nil, errors.new("io", why) end
  end
  return true
end

-- What there is to tell; nil and an error.
local function find_out(args, days, client)
  local sources, err = ask_sources(client, days, args)
  if not sources then return nil, err end
  local view = { period = days, sources = sources }
  local ok
  ok, err = look(view, client, args, args.file)
  if not ok then return nil, err end
  if args.fetch and #with_status(view.ids, "missing") > 0 then
    ok, err = fetch_missing(view, args)
    if not ok then return nil, err end
    ok, err = look(view, client, args, with_ledger(args.file, args.ledger))
    if not ok then return nil, err end
  end
  return view
end

local GET_KEY = "set OPENROUTER_MANAGEMENT_KEY to one of https://openrouter.ai/settings/management-keys"

-- Say why nothing was found out, and what may help.
local function fail(err)
  if err.kind == "no_key" and not (tools.is_set "OPENROUTER_MANAGEMENT_KEY" or tools.is_set "OPENROUTER_API_KEY") then
    tools.say("no management key: %s", GET_KEY)
    return tools.KEY_TROUBLE
  end
  local status = tools.fail(err)
  if err.kind == "forbidden" then
    tools.say("a management key is needed: %s", GET_KEY)
    return tools.KEY_TROUBLE
  elseif err.kind == "auth" then
    tools.say "is the key in OPENROUTER_MANAGEMENT_KEY, or without one in OPENROUTER_API_KEY, a valid one?"
  end
  return status
end

function command.run(args)
  local fine, why = check(args)
  local days
  if fine then days, why = read_days(args, math.floor(core.unix_time() / DAY)) end
  if not days then
    tools.say("%s", why)
    return tools.USAGE
  end
  args.file = ledgers.rereadable(args.file, "reconcile")
  if not args.file then return tools.USAGE end
  local there, err = check_files(args.file)
  local client
  if there then client, err = management_client() end
  if not client then return fail(err) end
  local view, trouble = find_out(args, days, client)
  client:close()
  if not view then return fail(trouble) end
  local text = require("openrouter.format.reconcile_" .. args.format)(view, tools.look(args.output))
  if not output.write(args.output, text, args.file) then return tools.FAILURE end
  if view.refused then return tools.KEY_TROUBLE end
  return view.complete and tools.OK or tools.INCOMPLETE
end

return command

--- openrouter-cost diff: two periods, or two ledgers, side by side.
local core = require "openrouter.core"
local diff = require "openrouter.diff"
local errors = require "openrouter.errors"
local ledgers = require "openrouter.commands.ledgers"
local output = require "openrouter.commands.output"
local period = require "openrouter.period"
local tools = require "openrouter.commands.tools"

local command = {}

local FORMATS = { "text", "json" }

function command.add(parser)
  local of_diff = parser:command("diff", "What changed from one period, or ledger, to another.")
  of_diff:argument("a", "A day 2026-11-01, month 2026-11, week 2026-W44, year 2026, or FROM..TO as --since and "
    .. "--until of report take them; or, without files, a ledger.")
  of_diff:argument("b", "The other one.")
  of_diff:argument("file", "Ledgers to read both periods from."):args "*"
  ledgers.add_columns(of_diff, "Dimensions whose values are compared, such as model or external_user.",
    "What is compared, such as spend,latency_p95. By default generations, spend, native tokens and latency_p50.")
    :default("generations,spend,native_tokens_prompt,native_tokens_completion,latency_p50"):show_default(false)
  ledgers.add_options(of_diff, false)
  tools.choice(of_diff:option("--format", "text or json.", "text"), "format", FORMATS)
  output.option(of_diff)
  tools.epilog(of_diff, "The greatest change of spend comes first. What is only in one of them is new or gone.", {
    "openrouter-cost diff 2026-10 2026-11 costs.jsonl",
    "openrouter-cost diff 2026-W44 2026-W45 costs.jsonl --by external_user",
    "openrouter-cost diff 14d..7d 7d.. costs.jsonl --measures spend,latency_p95",
    "openrouter-cost diff before.jsonl after.jsonl --format json",
  })
end

-- What each side is: { name =, paths =, options = }; nil when something is wrong, which has been said then.
local function period_side(args, text)
  if text == ".." or not text:find "%.%." and not period.span(text) then
    tools.say("'%s' is no period; a period is a day (2026-11-01), a month (2026-11), a week (2026-W44), a year (2026) "
      .. "or FROM..TO (2026-11-01..7d)",
      errors.printable(text))
    return nil
  end
  local since, upto = period.span(text)
  local options = ledgers.options(args, { since = since, ["until"] = upto })
  return options and { name = text, paths = args.file, options = options }
end

local function ledger_side(args, path)
  if period.span(path) and not core.file_status(path) then
    tools.say("name the ledgers to read both periods from: openrouter-cost diff %s %s FILE…", args.a, args.b)
    return nil
  end
  if path == "-" and args.a == args.b then
    tools.say "standard input cannot be both ledgers"
    return nil
  end
  local options = ledgers.options(args)
  return options and { name = path, paths = { path }, options = options }
end

local function sides_of(args)
  local side_of = #args.file > 0 and period_side or ledger_side
  args.file = ledgers.rereadable(args.file, "diff")
  if not args.file then return nil end
  local a = side_of(args, args.a)
  local b = a and side_of(args, args.b)
  if b then return a, b end
end

function command.run(args)
  local a, b = sides_of(args)
  if not a then return tools.USAGE end
  for _, side in ipairs { a, b } do
    local r, records = ledgers.report(side.options, side.paths)
    if not r then return tools.fail(records) end
    side.view = r:view()
    side.omitted, side.period = side.view.omitted, side.view.period
    if side == a or side.paths ~= a.paths then ledgers.explain_skipped(side.omitted, records) end
  end
  local dimensions, measures = a.view.dimensions, a.view.measures
  local view = {
    a = a, b = b, dimensions = dimensions, measures = measures,
    rows = diff.compare(a.view.rows, b.view.rows, dimensions, measures),
    total = diff.row(a.view.total, b.view.total, {}, measures),
  }
  local text = require("openrouter.format.diff_" .. args.format)(view, tools.look(args.output))
  if not output.write(args.output, text, #args.file > 0 and args.file or { args.a, args.b }) then return tools.FAILURE end
  local incomplete = ledgers.is_incomplete(a.omitted) or ledgers.is_incomplete(b.omitted)
  return incomplete and tools.INCOMPLETE or tools.OK
end

return command

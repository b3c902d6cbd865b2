--- openrouter-cost report: what ledgers add up to.
local ledgers = require "openrouter.commands.ledgers"
local output = require "openrouter.commands.output"
local report = require "openrouter.report"
local tools = require "openrouter.commands.tools"

local command = {}

function command.add(parser)
  local of_report = parser:command("report", "Add up ledgers.")
  of_report:argument("file", "Ledgers, any JSON Lines of records, or the directory of openrouter.nginx; "
    .. "- is standard input."):args "+"
  ledgers.add_columns(of_report, "Dimensions, such as model,day or external_user.",
    "Columns, such as generations,spend,latency_p95.")
  ledgers.add_options(of_report, true)
  local formats = table.concat(report.formats, ", "):gsub(", (%w+)$", " or %1.")
  tools.choice(of_report:option("--format", formats, "text"), "format", report.formats)
  output.option(of_report)
  tools.epilog(of_report, "It ends with what is not in the figures. The manual page, which `openrouter-cost man` writes, lists "
    .. "all dimensions and measures; docs/reports.md says what they are.", {
    "openrouter-cost report costs.jsonl",
    "openrouter-cost report costs.jsonl --by day --since 7d --tz Europe/Berlin",
    "openrouter-cost report /var/log/nginx/openrouter --by context.user,model",
    "openrouter-cost report costs.jsonl --where model=openai/gpt-5 -o gpt.txt",
    "zcat costs-2026.jsonl.gz | openrouter-cost report - --by month",
  })
end

function command.run(args)
  local options = ledgers.options(args, { page = args.format == "html" or nil })
  if not options then return tools.USAGE end
  local r, records = ledgers.report(options, args.file)
  if not r then return tools.fail(records) end
  local omitted = r:omitted()
  ledgers.explain_empty(omitted, records, args)
  local text = r:render(args.format, tools.look(args.output))
  if not output.write(args.output, text, args.file) then return tools.FAILURE end
  if not ledgers.is_incomplete(omitted) then return tools.OK end
  if args.output and args.output ~= "-" then ledgers.tell_incomplete(omitted, args.output) end
  return tools.INCOMPLETE
end

return command

--- openrouter-cost report: what ledgers add up to.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local report = require "openrouter.report"
local tools = require "openrouter.commands.tools"

local say = tools.say
local command = {}

local function write_output(path, text)
  if not path then
    tools.put(text)
    return true
  end
  local file, why = io.open(path, "w")
  if not file then return nil, why end
  local ok, write_why = file:write(text)
  local closed, close_why = file:close()
  return ok and closed, ("%s: %s"):format(path, write_why or close_why)
end

-- A directory of openrouter.nginx.
local function add_directory(r, path)
  local records, left_out = r:add_directory(path)
  if not records then return nil, left_out end
  if #left_out > 0 then
    say("left out, as they are compressed: %s; zcat hands them to `openrouter-cost report %s -` through a pipe",
      table.concat(left_out, ", "), path)
  end
  return records
end

local function add_to_report(r, path)
  if core.file_status(path) == "directory" then return add_directory(r, path) end
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

function command.add(parser)
  local of_report = parser:command("report", "Add up ledgers.")
  of_report:argument("file", "Ledgers, any JSON Lines of records, or the directory of openrouter.nginx; "
    .. "- is standard input."):args "+"
  of_report:option("--by", "Dimensions, such as model,day or external_user.", "model")
  of_report:option("--tz", "Whose hours, days, weeks and months: a zone such as Europe/Berlin.", "UTC")
  of_report:option("--since", "Only what was made then or later: 2026-11-01, 2026-11-01T14:00, or 7d for a week ago.")
  of_report:option("--until", "Only what was made before that time, or on that day and before.")
  of_report:option("--where", "Only what has this value, such as model=NAME; again for others of the same name, and for "
    .. "other names."):count "*":argname "<name=value>"
  of_report:option("--measures", "Columns, such as generations,spend,latency_p95 (docs/reports.md).")
  of_report:option("--format", "text or json.", "text"):choices { "text", "json" }
  of_report:option("-o --output", "Write to this file.")
end

function command.run(args)
  local options, fine, why
  options, why = report_options(args)
  if options then fine, why = report.check(options) end
  if not fine then
    say("%s", why)
    return tools.USAGE
  end
  local r = report.new(options)
  for _, path in ipairs(args.file) do
    local ok, err = add_to_report(r, path)
    if not ok then return tools.fail(err) end
  end
  local written, write_why = write_output(args.output, r:render(args.format))
  if not written then
    say("%s", write_why)
    return tools.FAILURE
  end
  local omitted = r:omitted()
  return omitted.skipped + omitted.failed + omitted.pending > 0 and tools.INCOMPLETE or tools.OK
end

return command

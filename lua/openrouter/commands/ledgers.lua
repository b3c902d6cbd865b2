--- What the commands that read ledgers share: the options that say what is counted, and reading.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local reading = require "openrouter.commands.reading"
local report = require "openrouter.report"
local scope = require "openrouter.format.scope"
local tools = require "openrouter.commands.tools"

local ledgers = {}

--- Declare --by and --measures.
---@param command table of argparse
---@param by string
---@param measures string
---@return table option of the measures
function ledgers.add_columns(command, by, measures)
  tools.choices[command:option("--by", by, "model")] = report.dimensions -- of a list the first, as completion goes by words
  local option = command:option("--measures", measures)
  tools.choices[option] = report.measures
  return option
end

--- Declare --tz and --where, and --since and --until where the command takes them.
---@param command table of argparse
---@param with_period boolean
function ledgers.add_options(command, with_period)
  command:option("--tz", "Time zone of hours, days, weeks and months, such as Europe/Berlin.", "UTC")
  if with_period then
    command:option("--since", "Only what was made then or later: 2026-11-01, 2026-11 (or 2026-W44, 2026), 2026-11-01T14:00, or "
      .. "7d for a week ago.")
    command:option("--until", "Only what was made before that time, or until the end of that day, month, week or year.")
  end
  command:option("--where", "Only what has this value, such as model=NAME; again for others of the same name, and for "
    .. "other names."):count "*":argname "<name=value>"
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

--- The options of a report; nil when they are wrong, which has been said then.
---@param args table
---@param more? openrouter.ReportOptions instead of those of `args`
---@return openrouter.ReportOptions?
function ledgers.options(args, more)
  local where, why = read_where(args.where)
  local fine
  if where then
    local options = { by = args.by, measures = args.measures, tz = args.tz, since = args.since, ["until"] = args["until"],
      where = where }
    for name, value in pairs(more or {}) do options[name] = value end
    fine, why = report.check(options)
    if fine then return options end
  end
  tools.say("%s", why)
end

local function add_path(r, path, options)
  if core.file_status(path) == "directory" then return r:add_directory(path, options) end
  return r:add_file(path, options)
end

--- Say what a ledger is, where most of what was read is none.
---@param omitted openrouter.Omitted
---@param records integer that were found
---@return boolean whether it was said
function ledgers.explain_skipped(omitted, records)
  if omitted.skipped <= records + omitted.pending + omitted.failed then return false end
  tools.say("most lines are no records: a ledger has a JSON object in each line, as fetch writes them from any text "
    .. "with ids (jq -c '.[]' FILE makes that of an array, jq -c . FILE of objects over several lines)")
  return true
end

--- Say why a report has no figures, where it has none.
---@param omitted openrouter.Omitted
---@param records integer that were found
---@param args table<string, any>
function ledgers.explain_empty(omitted, records, args)
  if ledgers.explain_skipped(omitted, records) then return end
  if records + omitted.pending + omitted.failed + omitted.skipped == 0 then
    local is_null = core.file_status(args.file[1]) == "other" -- /dev/null, which who names it knows
    if not is_null then tools.say("no records in %s", table.concat(args.file, ", ")) end
  elseif args.where[1] and records > 0 and omitted.filtered + omitted.undated == records - omitted.duplicates then
    tools.say("no generation is of those asked for; --by %s lists the values there are", args.where[1]:match "^[^=]+")
  end
end

--- Say what is missing from a report that went to a file, where nobody sees what it ends with.
---@param omitted openrouter.Omitted
---@param output string
function ledgers.tell_incomplete(omitted, output)
  tools.say("%s is not complete: %s", output, table.concat(scope.incomplete(omitted), ", "))
end

--- Add files and directories to a report, with a bar where they are long.
---@param r openrouter.Report
---@param paths string[]
---@return openrouter.Report? r nil and an error of kind "io"
---@return integer|openrouter.Error records in them, repeated ones included
function ledgers.read(r, paths)
  local records, options = 0, { progress = reading.progress(paths) }
  for _, path in ipairs(paths) do
    local added, err = add_path(r, path, options)
    if not added then
      tools.clear()
      if report.dimensions[path] and not core.file_status(path) then -- "--by model day"
        err.message = err.message .. ("; several dimensions are given as --by model,%s"):format(path)
      end
      return nil, err
    end
    records = records + added
  end
  tools.clear()
  return r, records
end

--- A report over files and directories, as `ledgers.read` gives it.
---@param options openrouter.ReportOptions
---@param paths string[]
---@return openrouter.Report?, integer|openrouter.Error
function ledgers.report(options, paths)
  return ledgers.read(report.new(options), paths)
end

--- Whether something is missing from a report, so that the exit status should say so.
---@param omitted openrouter.Omitted
---@return boolean
function ledgers.is_incomplete(omitted)
  return #scope.incomplete(omitted) > 0
end

-- Whether nothing comes out of it, as of /dev/null.
local function is_empty(path)
  local lines = core.lines(path)
  if not lines then return false end
  local line, trouble = lines()
  return line == nil and not trouble
end

--- The paths for a command that reads them more than once, without those that are empty and can be read but once; nil where
--- another one of these is there, which has been said then.
---@param paths string[]
---@param command string
---@return string[]?
function ledgers.rereadable(paths, command)
  local list = {}
  for _, path in ipairs(paths) do
    local once = path == "-" or core.file_status(path) == "other"
    if not once then
      list[#list + 1] = path
    elseif not is_empty(path) then
      tools.say("%s reads its ledgers twice, which a pipe does not allow: write it to a file first (%s)", command,
        path == "-" and "standard input" or path)
      return nil
    end
  end
  return list
end

return ledgers

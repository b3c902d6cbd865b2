--- The command openrouter-cost: its parser, and what becomes of errors. Each command is a file of commands/.
local argparse = require "argparse"
local core = require "openrouter.core"
local openrouter = require "openrouter"
local tools = require "openrouter.commands.tools"

local cli = {}

local NAMES = { "get", "fetch", "report", "diff", "check", "settle" } -- in the order of --help

local commands = {}
for _, name in ipairs(NAMES) do commands[name] = require("openrouter.commands." .. name) end

local function make_parser()
  local parser = argparse("openrouter-cost", "What requests through OpenRouter cost, from their generation records.",
    "The key is read from $OPENROUTER_API_KEY, the server from $OPENROUTER_BASE_URL where it is set.\n"
    .. "Exit status: 0 done, 1 failure, 2 usage, 3 incomplete, 4 key or credits, 8 a check found something,\n"
    .. "130 interrupted.")
  parser:command_target "command"
  parser:require_command(true)
  parser:flag("--version", "Show the version."):action(function()
    tools.put("openrouter-cost ", openrouter._VERSION, "\n")
    io.stdout:flush()
    os.exit(tools.OK, true)
  end)
  for _, name in ipairs(NAMES) do commands[name].add(parser) end
  return parser
end

local function run(arguments)
  local ok, args = make_parser():pparse(arguments)
  if not ok then
    tools.say("%s (openrouter-cost --help)", args)
    return tools.USAGE
  end
  local command = commands[args.command]
  if args.file and #args.file == 0 then args.file = command.default_files or {} end
  for _, path in ipairs(args.file or {}) do
    if path == "-" and core.is_terminal(0) then tools.say "reading standard input, until its end (Ctrl-D)" end
  end
  return command.run(args)
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
  local trouble = tools.output_trouble or not flushed and why
  if trouble then
    tools.say("standard output: %s", trouble)
    return tools.FAILURE
  end
  if ok then return result end
  if result.interrupted then
    tools.say "interrupted"
    return tools.INTERRUPTED
  end
  tools.say("this is a bug, please report it: %s", result.trace)
  return tools.FAILURE
end

return cli

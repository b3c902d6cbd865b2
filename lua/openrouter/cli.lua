--- The command openrouter-cost: its parser, and what becomes of errors. Each command is a file of commands/.
local argparse = require "argparse"
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local nearest = require "openrouter.nearest"
local openrouter = require "openrouter"
local tools = require "openrouter.commands.tools"

local cli = {}

local NAMES = { "get", "fetch", "report", "diff", "check", "reconcile", "settle", "completion", "man" } -- in the order of --help

local commands = {}
for _, name in ipairs(NAMES) do commands[name] = require("openrouter.commands." .. name) end

local function describe_statuses()
  local words = {}
  for i, status in ipairs(tools.STATUSES) do words[i] = ("  %-4d %s"):format(status[1], status[2]) end
  return "Exit status:\n" .. table.concat(words, "\n")
end

-- What somebody should tell who reports a bug.
local function describe_version()
  local jit, found, curl = package.loaded.jit, pcall(require, "openrouter.curl")
  return ("openrouter-cost %s (lua-openrouter), %s, %s"):format(openrouter._VERSION, jit and jit.version or _VERSION,
    found and curl.VERSION or "without libcurl")
end

-- No value is empty: that is a variable of a shell which is not set, and would quietly mean something else.
local function refuse_empty(element, label)
  local convert = element._convert
  element:convert(function(text)
    if not text:find "%S" then return nil, label .. " must not be empty" end
    if convert then return convert(text) end
    return text
  end)
end

-- Nor does a second value silently take the place of the first one.
local function check_values(command)
  for _, option in ipairs(command._options) do
    refuse_empty(option, option._aliases[#option._aliases])
    if option._maxargs > 0 then option:overwrite(false) end
  end
  for _, argument in ipairs(command._arguments) do refuse_empty(argument, ("<%s>"):format(argument._name)) end
end

local function make_parser()
  local parser = argparse("openrouter-cost", "What requests through OpenRouter cost, from their generation records.",
    "The key is read from $OPENROUTER_API_KEY, the server from $OPENROUTER_BASE_URL where it is set. `openrouter-cost COMMAND "
    .. "--help` has examples.\n\n" .. describe_statuses())
  parser:help_max_width(80)
  parser:command_target "command"
  parser:require_command(true)
  parser:flag("--version", "Show the version, and those of Lua and libcurl."):action(function()
    tools.put(describe_version(), "\n")
    io.stdout:flush()
    os.exit(tools.OK, true)
  end)
  for _, name in ipairs(NAMES) do commands[name].add(parser) end
  for _, command in ipairs(parser._commands) do check_values(command) end
  return parser
end

local function names_of(elements, names)
  for _, element in ipairs(elements) do
    for _, name in ipairs(element._aliases) do names[#names + 1] = name end
  end
  return names
end

-- The command that was meant, as far as it was told; else the whole.
local function command_of(parser, arguments)
  for _, argument in ipairs(arguments) do
    for _, of in ipairs(parser._commands) do
      if of._name == argument then return of end
    end
  end
  return parser
end

-- What is wrong with a command line, what was probably meant, and where to look.
local function explain(parser, message, arguments)
  local of = command_of(parser, arguments)
  local what, name = message:match "^unknown (%a+) '(.-)'"
  local help = of == parser and "openrouter-cost --help" or ("openrouter-cost %s --help"):format(of._name)
  if what ~= "option" and what ~= "command" then return ("%s (%s)"):format(errors.printable(message), help) end
  local known = what == "command" and names_of(parser._commands, {}) or names_of(of._options, names_of(parser._options, {}))
  local near = not name:find "^%-.?$" and nearest(name, known)
  return ("unknown %s '%s'%s (%s)"):format(what, errors.printable(name), near and ("; did you mean '%s'?"):format(near) or "",
    help)
end

local function run(arguments)
  local parser = make_parser()
  local ok, args = parser:pparse(arguments)
  if not ok then
    tools.say("%s", explain(parser, args, arguments))
    return tools.USAGE
  end
  local command = commands[args.command]
  if args.file and #args.file == 0 then args.file = command.default_files or {} end
  for _, path in ipairs(args.file or {}) do
    if path == "-" and core.is_terminal(0) then tools.say "reading standard input, until its end (Ctrl-D)" end
  end
  if args.output == "-" then args.output = nil end
  tools.parser = parser
  return command.run(args)
end

--- Run the command.
---@param arguments string[]
---@return integer status for os.exit
function cli.main(arguments)
  core.fill_standard_files()
  local ok, result = xpcall(run, tools.on_error, arguments)
  tools.clear()
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
  if not result.trace then -- there was no memory for tools.on_error either
    tools.say("%s", result)
    return tools.FAILURE
  end
  tools.say "this is a bug, please report it:"
  for line in result.trace:gmatch "[^\n]+" do tools.say("%s", (line:gsub("\t", "  "))) end
  return tools.FAILURE
end

return cli

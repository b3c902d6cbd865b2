--- What the commands of openrouter-cost share: exit statuses, and ways to speak. stdout is data, stderr is messages. Each command
--- is a table with add(parser), which declares it, and run(args), which returns its exit status.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local files = require "openrouter.files"
local nearest = require "openrouter.nearest"
local openrouter = require "openrouter"
local printable = require "openrouter.printable"
local progress = require "openrouter.progress"
local terminal = require "openrouter.terminal"

local tools = { OK = 0, FAILURE = 1, USAGE = 2, INCOMPLETE = 3, KEY_TROUBLE = 4, TRIPPED = 8, INTERRUPTED = 130 }

local bar -- on the terminal's last line, while something is going on

--- A progress bar, which makes way for what is said.
---@param total number? nil where nobody knows
---@param unit string what is counted, in the plural
---@param scale? number how many make one of `unit`; 1 by default
---@param start? number when it began, by core.now(); now by default
function tools.bar(total, unit, scale, start)
  bar = progress.new(total, unit, scale, start)
  return bar
end

--- Take the bar away, if there is one.
function tools.clear()
  if bar then bar:clear() end
  bar = nil
end

--- A message, on one line.
---@param format string
---@param ... any what goes into it, if anything
function tools.say(format, ...)
  if bar then bar:clear() end
  local text = select("#", ...) > 0 and format:format(...) or format
  io.stderr:write("openrouter-cost: ", printable.line(text), "\n") -- in it may be names that somebody else gave to files
  if bar then bar:again() end
end

--- Messages, as they are.
---@param lines string[]
function tools.say_all(lines)
  for _, line in ipairs(lines) do tools.say("%s", line) end
end

--- Write to stdout. A write that fails is remembered as `tools.output_trouble`, and ends the run with a failure.
---@param ... string
function tools.put(...)
  local ok, why = io.stdout:write(...)
  if not ok then tools.output_trouble = tools.output_trouble or why end
end

--- Whether the key is what is wrong, and not one id.
---@param err openrouter.Error
---@return boolean
function tools.is_key_trouble(err)
  return err.kind == "no_key" or errors.stops[err.kind] == true
end

--- Say why nothing was done.
---@param trouble openrouter.Error
---@return integer status
function tools.fail(trouble)
  local why = tostring(trouble.attempts and trouble or trouble.message) -- of what was asked, also what was tried
  local path = trouble.kind == "io" and why:match "^(.*): Permission denied$"
  tools.say("%s", path and files.with_owner(path, why) or why)
  return tools.is_key_trouble(trouble) and tools.KEY_TROUBLE or tools.FAILURE
end

--- For xpcall: what was raised, with the place, so that it can be told. What has been through it stays as it is.
---@param message any
---@return { interrupted: true? }|{ trace: string }
function tools.on_error(message)
  if type(message) == "table" then return message end
  local text = tostring(message) .. "\n" -- behind which argparse has a traceback of its own
  if text:find("interrupted!\n", 1, true) then return { interrupted = true } end
  return { trace = debug.traceback(tostring(message), 2) }
end

--- Do something that is not left half-done, whatever it raises: an error, Ctrl-C.
---@param work fun(): any
---@param clean_up fun() called when `work` raises, which goes on to tools.on_error then
---@return any ... what `work` returns
function tools.guard(work, clean_up)
  local function finish(ok, ...)
    if ok then return ... end
    tools.clear()
    clean_up()
    error((...), 0)
  end
  return finish(xpcall(work, tools.on_error))
end

local function ledger_name(path)
  if path ~= "-" then return path end
  return nil, "--ledger takes the name of a file, which is read and added to, and not -"
end

--- Declare --ledger, which says where records go.
---@param command table of argparse
---@param description string
---@param default? string
function tools.ledger_option(command, description, default)
  command:option("--ledger", description, default):argname "<file>":convert(ledger_name)
end

--- Whether a variable of the environment is there, and not empty.
---@param name string
---@return boolean
function tools.is_set(name)
  return (os.getenv(name) or "") ~= ""
end

local NARROWEST = 20 -- terminals are taken to be that wide

--- What text should look like: as wide as the terminal, and with colors where it has any and they are wanted (NO_COLOR). As it
--- comes where it goes into a file or a pipe.
---@param path string? the file it goes into
---@return { width: integer?, color: boolean }
function tools.look(path)
  if path or not core.is_terminal(1) then return { color = false } end
  local columns = terminal.width(1)
  return { width = columns and math.max(columns, NARROWEST), color = not tools.is_set "NO_COLOR" and os.getenv "TERM" ~= "dumb" }
end

-- ---- what commands say of themselves --------------------------------------------------------------------------------

tools.ABOUT = "What requests through OpenRouter cost is told by their generation records. This command fetches records, keeps "
  .. "them in ledgers, which are files of JSON Lines, and adds them up exactly. Results go to standard output, messages and "
  .. "progress to standard error. No key is ever printed, or taken as an argument."

tools.STATUSES = {
  { tools.OK, "Done." },
  { tools.FAILURE, "Failed; standard error says why." },
  { tools.USAGE, "The command line is wrong." },
  { tools.INCOMPLETE, "Done, but ids have no record, lines were skipped, or figures differ." },
  { tools.KEY_TROUBLE, "The key is missing or refused, or its account is out of credits." },
  { tools.TRIPPED, "A check found something." },
  { tools.INTERRUPTED, "Interrupted, by Ctrl-C. It is safe to run the command again." },
}

tools.ENVIRONMENT = {
  { "OPENROUTER_API_KEY", "The key that records are fetched with." },
  { "OPENROUTER_MANAGEMENT_KEY", "The key that reconcile asks with, if not $OPENROUTER_API_KEY." },
  { "OPENROUTER_API_KEY_<NAME>", "The key NAME of a ledger of openrouter.nginx, for settle; OPENROUTER_API_KEY_DEFAULT comes "
    .. "before OPENROUTER_API_KEY." },
  { "OPENROUTER_BASE_URL", "Where the API is, if not at https://openrouter.ai/api/v1." },
  { "COLUMNS", "How wide the terminal is, if it is not to be asked." },
  { "NO_COLOR", "If it is not empty, there are no colors." },
  { "TZDIR", "Where the time zone database is, if not in /usr/share/zoneinfo." },
}

--- What there is to say of a command behind its options, for its help and for the manual page.
---@type table<table, { text: string?, examples: string[] }>
tools.notes = setmetatable({}, { __mode = "k" })

---@param command table of argparse
---@param text string?
---@param examples string[] command lines
function tools.epilog(command, text, examples)
  tools.notes[command] = { text = text, examples = examples }
  command:epilog((text and text .. "\n\n" or "") .. "Examples:\n  " .. table.concat(examples, "\n  "))
end

-- What options and arguments take, for completion. argparse's own `choices` suggest nothing, and allow nothing else.
tools.choices = setmetatable({}, { __mode = "k" })

--- Let an option or argument be one of these.
---@param element table of argparse
---@param what string
---@param names string[]
function tools.choice(element, what, names)
  tools.choices[element] = names
  return element:convert(function(name)
    for _, known in ipairs(names) do
      if name == known then return name end
    end
    local near = nearest(name, names)
    return nil, ("unknown %s '%s'; %s"):format(what, errors.printable(name),
      near and ("did you mean '%s'?"):format(near) or "there are " .. table.concat(names, ", "))
  end)
end

local told = {}
local brief = {} -- kinds that are asked for again twice at most
for _, kind in ipairs(core.kinds) do brief[kind.name] = kind.retry == "briefly" end

-- Tell why something is asked again, once for each kind of trouble.
local function tell_again(event, what)
  local err = event.err
  if not event.delay or told[err.kind] then return end
  told[err.kind] = true
  if err.kind == "not_found" and err.code then -- the API's own
    tools.say("%s is not written yet; asking again%s", err.id, bar and ", and for others like it" or "")
  elseif err.kind == "not_found" then
    tools.say("%s; asking again", tostring(err))
  else
    tools.say("%s; trying again%s", tostring(err), brief[err.kind] and "" or ", up to two minutes for each " .. what)
  end
end

--- A client's on_event: tell why ids are asked again.
---@param event openrouter.Event
function tools.on_event(event) tell_again(event, "id") end

--- The same of a client that asks what was used, day by day or of a time.
---@param event openrouter.Event
function tools.on_usage_event(event) tell_again(event, "question") end

--- A client that tells why ids are asked again.
---@return openrouter.Client?, openrouter.Error?
function tools.client()
  local client, err = openrouter.client { on_event = tools.on_event }
  if err then err.message = err.message:gsub(", or give the client an api_key$", "") end -- which is Lua's way
  return client, err
end

return tools

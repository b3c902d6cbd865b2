--- openrouter-cost fetch: the records of all ids found in files, into a ledger.
local core = require "openrouter.core"
local batch = require "openrouter.batch"
local ledger = require "openrouter.ledger"
local reading = require "openrouter.commands.reading"
local tools = require "openrouter.commands.tools"
local words = require "openrouter.format.words"

local say, say_all, count, plural = tools.say, tools.say_all, words.count, words.plural
local command = { default_files = { "-" } }

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
  for kind in pairs(outcome.kinds) do
    if outcome.errors[kind].retryable then return "; run the same command again to ask once more" end
  end
  if not outcome.kinds.forbidden then return "" end
  return "; set OPENROUTER_API_KEY to the key of the account that made them and run the same command again"
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
  for _, err in pairs(outcome.errors) do
    if tools.is_key_trouble(err) then return tools.KEY_TROUBLE end
  end
  local complete = outcome.settled == outcome.total and #problems == 0
  return complete and tools.OK or tools.INCOMPLETE
end

-- Close the ledger, and say what a run that stops half-way leaves behind.
local function close_early(writer, outcome, path)
  local closed, trouble = writer:close()
  if not closed then return say("%s; run the same command again", tostring(trouble.message)) end
  say("%s safe in %s, %s not fetched; run the same command again to go on",
    plural(outcome.settled, "record of this run is", "records of this run are"), path,
    plural(outcome.total - outcome.done, "id is", "ids are"))
end

local MANY_REFUSED = 20

-- Once, while there is still time to stop the run.
local function say_refused(outcome)
  if outcome.refused ~= MANY_REFUSED then return end
  say("%d ids in a row are refused (403), such as %s; is the key in OPENROUTER_API_KEY of the account that made them?",
    MANY_REFUSED, outcome.errors.forbidden.id)
end

local function run_fetch(client, ids, writer, path, problems)
  local bar = tools.bar(#ids, "ids")
  local start, latest = core.now(), { settled = 0, done = 0, total = #ids }
  bar:show(0)
  local outcome, trouble = tools.guard(function()
    return batch.fetch(client, ids, writer, function(so_far)
      latest = so_far
      say_refused(so_far)
      bar:show(so_far.done, so_far.failed > 0 and count(so_far.failed) .. " failed" or nil)
    end)
  end, function() close_early(writer, latest, path) end)
  tools.clear()
  if trouble then
    say("%s", tostring(trouble.message))
    close_early(writer, outcome, path)
    return tools.FAILURE
  end
  local closed, close_trouble = writer:close()
  if not closed then
    say("%s; run the same command again", tostring(close_trouble.message))
    return tools.FAILURE
  end
  describe_outcome(outcome, path, core.now() - start)
  return fetch_status(outcome, problems)
end

function command.add(parser)
  local of_fetch = parser:command("fetch", "Fetch the records of all ids found in files into a ledger.")
  of_fetch:argument("file", "Any text with generation ids in it; - or nothing is standard input."):args "*"
  tools.ledger_option(of_fetch, "Where the records go.", "./openrouter.jsonl")
  tools.epilog(of_fetch, "Run it again to go on where it stopped: ids in the ledger are not asked for again.", {
    "openrouter-cost fetch app.log",
    "openrouter-cost fetch app.log --ledger costs.jsonl",
    "zcat app.log.*.gz | openrouter-cost fetch --ledger costs.jsonl",
  })
end

function command.run(args)
  local found, trouble = batch.collect(args.file, reading.progress(args.file))
  tools.clear()
  if not found then return tools.fail(trouble) end
  say_all(found.problems)
  say_all(found.remarks)
  if #found.ids == 0 then
    say("no generation id in %s (%s read); one looks like gen-1771967973-0hZ8J5kY7qLMOKbPx0u3",
      file_names(args.file), plural(found.lines, "line", "lines"))
    return tools.FAILURE
  end
  describe_ids(found, args.file)
  local client, writer
  client, trouble = tools.client()
  if client then writer, trouble = ledger.open(args.ledger) end
  if not writer then return tools.fail(trouble) end
  local open, skipped = batch.remaining(found.ids, writer, reading.progress { args.ledger })
  tools.clear()
  if not open then return tools.fail(skipped) end
  say_all(skipped)
  if #open < #found.ids then
    say("%s in %s already", plural(#found.ids - #open, "of them is", "of them are"), args.ledger)
  end
  return run_fetch(client, open, writer, args.ledger, found.problems)
end

return command

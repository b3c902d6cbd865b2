--- openrouter-cost settle: what nginx's workers left open.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local settle = require "openrouter.settle"
local tools = require "openrouter.commands.tools"
local words = require "openrouter.format.words"

local say, count, plural = tools.say, words.count, words.plural
local command = {}

local SHOWN = 10 -- of a list of things of the same kind

local function say_some(list, text_of)
  for i = 1, math.min(#list, SHOWN) do say("%s", text_of(list[i])) end
  if #list > SHOWN then say("and %s more like these", count(#list - SHOWN)) end
end

local function describe_adopted(run)
  local held = run.locked > 0 and ("; %s: a running worker, or another settle, has %s"):format(
    plural(run.locked, "segment is not touched", "segments are not touched"), run.locked == 1 and "it" or "them") or ""
  if #run.ids == 0 then
    say("nothing to fetch: no open id in %s was left behind%s", run.directory, held)
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
    local is_told = of.kind == "unresolved" or errors.stops[of.kind] -- with the key that is refused
    if not is_told then say("%s %s, such as %s; still open", count(of.ids), of.kind, tostring(of.err)) end
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
  if #run.problems > 0 then return tools.FAILURE end
  if #run.outcome.refused > 0 then return tools.KEY_TROUBLE end
  local complete = left + run.later == 0 and not run.outcome.failed.forbidden
  return complete and tools.OK or tools.INCOMPLETE
end

-- With a bar, and as far as it goes.
local function fetch_open(run)
  local total = run:plan()
  local bar = tools.bar(total, "ids")
  if total > 0 then bar:show(0) end
  local ok, trouble = run:fetch(tools.on_event, function(outcome) bar:show(outcome.done) end)
  tools.clear()
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

function command.add(parser)
  local of_settle = parser:command("settle", "Fetch what nginx's workers left open.")
  of_settle:argument("dir", "The directory given to openrouter.nginx as `dir`.")
  of_settle:flag("--retry-failed", "Ask once more for what failed.")
  of_settle:option("--keys", "Directory of files with a key each, of mode 0600 (DIR/keys).")
    :argname "<directory>"
  tools.epilog(of_settle, "The key NAME is $OPENROUTER_API_KEY_<NAME>, or the first line of the file NAME in the directory of "
    .. "--keys. It may run while nginx does: what a living worker holds is not touched. The exit status is 3 "
    .. "while ids are open, or were refused.", {
    "openrouter-cost settle /var/log/nginx/openrouter",
    "openrouter-cost settle /var/log/nginx/openrouter --retry-failed",
    "openrouter-cost settle /var/log/nginx/openrouter --keys /etc/openrouter",
  })
end

function command.run(args)
  local run, trouble = settle.adopt(args.dir)
  if not run then return tools.fail(trouble) end
  describe_adopted(run)
  local ok = tools.guard(function() return settle_adopted(run, args) end, function()
    say("%s in %s", plural(run.outcome.settled, "record of this run is", "records of this run are"), run.ledger)
    finish_settle(run)
  end)
  local left = finish_settle(run)
  return ok and settle_status(run, left) or tools.FAILURE
end

return command

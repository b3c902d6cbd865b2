--- What a proxy leaves behind of a request, for specs of the embedding in nginx: in the ledger, the journal, the logs.
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

local traces = {}

local function text_of(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text
end

local function lines_about(text, kind, id)
  local list, head = {}, ('{"%s":"%s",'):format(kind, id)
  for line in text:gmatch "([^\n]*)\n" do
    if line:sub(1, #head) == head then list[#list + 1] = line end
  end
  return list
end

--- Wait for the one line of the ledger with this id. Raises where there is none, or more than one.
---@param kind? string "failed", default "settled"
---@return string line as it stands there
function traces.settled(proxy, id, kind)
  kind = kind or "settled"
  local lines = servers.wait_for(function()
    local list = lines_about(text_of(proxy.dir .. "/ledger.jsonl"), kind, id)
    return #list > 0 and list
  end)
  if lines and #lines == 1 then return lines[1] end
  error(("%d %s lines of %s, and not 1; the error log says:\n%s"):format(lines and #lines or 0, kind, id, proxy:errors()), 2)
end

function traces.all_settled(proxy, ids)
  for _, id in ipairs(ids) do traces.settled(proxy, id) end
end

local function journal(proxy)
  local _, text = shell.run("cat " .. shell.quote(proxy.dir) .. "/pending/*.jsonl")
  return text
end

--- The lines of the segments with this id, open or closed: those of living workers have all there ever were.
---@param kind string "pending" or "note"
---@return string[]
function traces.journal_lines(proxy, kind, id)
  return lines_about(journal(proxy), kind, id)
end

--- How many ids were ever seen, as the segments have it.
---@return integer
function traces.seen(proxy)
  return select(2, journal(proxy):gsub('{"pending":', ""))
end

--- The end of the access log's last line with this text: id and cost, as far as there are any.
---@return string
function traces.access_end(proxy, text)
  local line = servers.wait_for(function()
    local list = proxy:access()
    for i = #list, 1, -1 do
      if list[i]:find(text, 1, true) then return list[i] end
    end
  end)
  return (assert(line, text .. " is not in the access log"):match '" %d+ %d+ [%d.]+ (.*)$')
end

--- What was asked at /lookups/: id -> { key of each time }, and { id, key, status, connection } of all in turn.
function traces.lookups(proxy)
  local by_id, list = {}, {}
  for line in text_of(proxy.work .. "/lookups"):gmatch "([^\n]*)\n" do
    local id, key, status, connection = line:match "^([^|]*)|Bearer ([^|]*)|([^|]*)|([^|]*)$"
    list[#list + 1] = { id = id, key = key, status = tonumber(status), connection = connection }
    by_id[id] = by_id[id] or {}
    table.insert(by_id[id], key)
  end
  return by_id, list
end

--- The lines of the error log that have this text.
---@return string[]
function traces.complaints(proxy, text)
  local list = {}
  for line in proxy:errors():gmatch "[^\n]+" do
    if line:find(text, 1, true) then list[#list + 1] = line end
  end
  return list
end

return traces

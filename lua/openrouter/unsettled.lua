--- Open ids, as nginx's workers and `openrouter-cost settle` both see them: lines read from segments, what they say about an
--- id, and which failures end it. docs/ledger.md says the same to users.
local core = require "openrouter.core"
local errors = require "openrouter.errors"

local unsettled = {}

local WHOLE_AGE = 600     -- seconds: how long a 404 means "not written yet" from the end of an answer that came whole
local MAX_AGE = 24 * 3600 -- … and from when the id was seen, where the answer was cut short, or nobody knows

-- Failures after which there is nothing to wait for; WHEN_OLD: where the id is old, for they may be a gateway's nonsense of
-- today. All others leave it open.
local FINAL = { forbidden = true, bad_request = true, bad_id = true, no_key = true }
local WHEN_OLD = { bad_answer = true, wrong_id = true, too_large = true }

---@class openrouter.OpenId what is known about the request of an id
---@field since number Unix time at which the id was seen
---@field ended? number|false … and at which the request ended, where somebody saw it
---@field interrupted? boolean the answer was cut short

--- Add what one more open line says of an id, as core.open_line has it.
---@param entry openrouter.OpenId of which all may be missing
---@param kind "pending"|"note"
---@param at? number nil: the line is damaged, and does not say how the request ended
---@param interrupted boolean
---@param last number Unix time before which the id was seen in any case
function unsettled.learn(entry, kind, at, interrupted, last)
  entry.since = math.min(entry.since or math.huge, at or last)
  if kind ~= "note" or not at then return end
  entry.ended = math.max(entry.ended or at, at)
  entry.interrupted = entry.interrupted or interrupted
end

--- How long a 404 still means "not written yet".
---@param entry openrouter.OpenId
---@param now number Unix time
---@return number seconds, 0 where it is final
function unsettled.wait_of(entry, now)
  local is_whole = entry.ended and not entry.interrupted
  return math.max(0, (is_whole and entry.ended + WHOLE_AGE or entry.since + MAX_AGE) - now)
end

--- Whether a failure ends an id for good.
---@param kind string
---@param entry openrouter.OpenId
---@param now number Unix time
---@return boolean
function unsettled.is_final(kind, entry, now)
  if kind == "not_found" then return unsettled.wait_of(entry, now) == 0 end
  return FINAL[kind] or WHEN_OLD[kind] and now - entry.since > MAX_AGE or false
end

--- What an id ends with whose key came with its request.
---@param id string
---@return openrouter.Error
function unsettled.no_key(id)
  return errors.new("no_key", "the key came with the request, and is not kept beyond it", { id = id })
end

--- What one more line of an id says: its context merged into what there is, and its instant cost.
---@param context? string JSON text
---@param instant? string
---@param line? string
---@return string? context, string? instant
function unsettled.add(context, instant, line)
  if not line then return context, instant end
  local _, _, _, _, more, said = core.open_line(line)
  if more then context = context and core.merge_contexts(context, more) or more end
  return context, said or instant
end

--- All open lines of a segment, in slices, until visit(line, offset) returns true.
---@param source { segment: userdata? } the segment may be let go of in between
---@param bytes integer of a slice
---@param visit fun(line: string, offset: integer): boolean?
---@param pause? fun() called between slices
---@return true?, string? why it cannot be read
function unsettled.each_open(source, bytes, visit, pause)
  local from = 0
  while from and source.segment do
    local list, next_from = source.segment:open_lines(from, bytes)
    if not list then return nil, next_from end
    for i = 1, #list, 2 do
      if visit(list[i + 1], list[i]) then return true end
    end
    from = next_from
    if from and pause then pause() end
  end
  return true
end

return unsettled

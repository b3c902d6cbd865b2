--- Open ids, as nginx's workers and `openrouter-cost settle` both see them: lines read from segments, what they say about an
--- id, and which failures end it. docs/ledger.md says the same to users.
local core = require "openrouter.core"
local errors = require "openrouter.errors"

local unsettled = {}

unsettled.WHOLE_AGE = 600     -- seconds: how long a 404 means "not written yet" where the answer came whole
unsettled.MAX_AGE = 24 * 3600 -- … where it was cut short, or nobody knows

-- Failures after which there is nothing to wait for; WHEN_OLD: where the id is old, for they may be a gateway's nonsense of
-- today. All others leave it open.
local FINAL = { forbidden = true, bad_request = true, bad_id = true, no_key = true }
local WHEN_OLD = { not_found = true, bad_answer = true, wrong_id = true, too_large = true }

--- Whether a failure ends an id that was seen so long ago.
---@param kind string
---@param age number seconds
---@return boolean
function unsettled.is_final(kind, age)
  return FINAL[kind] or WHEN_OLD[kind] and age > unsettled.MAX_AGE or false
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

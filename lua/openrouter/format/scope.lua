--- What a report is about, and what it leaves out, in plain sentences.
local printable = require "openrouter.printable"
local words = require "openrouter.format.words"

local scope = {}

-- A time to the second.
local function moment(text)
  return (printable.line(text):gsub("%.%d+", "", 1))
end

--- "from 2026-11-01 to 2026-11-30", also where only one of them is known; nil where none is.
---@param first string?
---@param last string?
---@return string?
function scope.covered(first, last)
  if first and last then return ("from %s to %s"):format(first, last) end
  return first and "from " .. first .. " on" or last and "up to " .. last or nil
end

--- What time a report is about; nil where it does not say.
---@param period? { since: string?, until: string?, tz: string, first: string?, last: string? }
---@return string?
function scope.period(period)
  if not period then return nil end
  local parts, since, upto = {}, period.since, period["until"]
  local covered = scope.covered(period.first and moment(period.first), period.last and moment(period.last))
  if not (covered or since or upto) then return nil end
  if since then parts[#parts + 1] = "since " .. printable.line(since) end
  if upto then parts[#parts + 1] = "until " .. printable.line(upto) end
  if covered then parts[#parts + 1] = "records " .. covered end
  parts[#parts + 1] = "zone " .. printable.line(period.tz)
  return "Period: " .. table.concat(parts, ", ") .. "."
end

local function conflict_text(conflicts)
  if conflicts == 0 then return "." end
  return ("; those of %s differ, and the one settled last counts."):format(words.plural(conflicts, "id", "ids"))
end

-- What the open ones cost, as far as the responses themselves said so.
local function open_text(omitted)
  local text = words.plural(omitted.pending, "generation is", "generations are") .. " still open, without a record"
  local exact = omitted.exact and omitted.exact.instant_cost
  local unknown = omitted.instant_unknown or 0
  local one = omitted.pending == 1
  if not exact then
    return text .. (omitted.instant_unknown and ("; what %s is not known."):format(one and "it cost" or "they cost") or ".")
  end
  text = ("%s; by %s cost %s USD"):format(text, one and "its response it" or "their responses they", words.amount(exact))
  if unknown == 0 then return text .. "." end
  return ("%s, but %s not say."):format(text, words.plural(unknown, "of them does", "of them do"))
end

--- What of it is counted, by name.
---@type string[]
scope.omitted_counts = { "pending", "failed", "unpriced", "skipped", "duplicates", "conflicts", "filtered", "undated", "changed" }

--- Why what was read is not all there is: "3 ids are open", "1 id failed", "2 lines were skipped". Empty where it is all.
---@param omitted openrouter.Omitted
---@return string[]
function scope.incomplete(omitted)
  local parts = {}
  local function part(n, one, many)
    if n > 0 then parts[#parts + 1] = words.plural(n, one, many) end
  end
  part(omitted.pending, "id is open", "ids are open")
  part(omitted.failed, "id failed", "ids failed")
  part(omitted.skipped, "line was skipped", "lines were skipped")
  return parts
end

--- What is not in the figures: sentences, of which there is always one; and the first of the skipped lines, which belong
--- to the last sentence.
---@param omitted openrouter.Omitted
---@return string[] sentences, string[] notes
function scope.omitted(omitted)
  local lines, notes, plural = {}, {}, words.plural
  local function say(n, text)
    if n > 0 then lines[#lines + 1] = text end
  end
  say(omitted.pending, open_text(omitted))
  say(omitted.failed, plural(omitted.failed, "generation has", "generations have") .. " no record, because the lookup failed.")
  say(omitted.unpriced, plural(omitted.unpriced, "generation has", "generations have")
    .. " no known price: counted, but in no sum of spend.")
  say(omitted.duplicates, plural(omitted.duplicates, "repeated record is", "repeated records are") .. " not counted again"
    .. conflict_text(omitted.conflicts))
  say(omitted.filtered, plural(omitted.filtered, "generation is", "generations are") .. " excluded by since, until or where.")
  say(omitted.changed or 0, plural(omitted.changed or 0, "record", "records")
    .. " may count twice, as a file was changed while it was read.")
  say(omitted.undated, plural(omitted.undated, "generation has", "generations have")
    .. " no created_at, so since and until could not be applied: not counted.")
  say(omitted.skipped, plural(omitted.skipped, "line or record was", "lines or records were") .. " skipped:")
  if #lines == 0 then lines[1] = "Nothing is left out." end
  for i, note in ipairs(omitted.lines) do
    local place = note.file and ("%s:%d: "):format(printable.line(note.file), note.line) or ""
    notes[i] = place .. printable.line(note.reason)
  end
  if omitted.skipped > #notes then notes[#notes + 1] = ("and %s more"):format(words.count(omitted.skipped - #notes)) end
  return lines, notes
end

return scope

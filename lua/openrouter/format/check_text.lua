--- What a check found, for people.
local layout = require "openrouter.format.layout"
local printable = require "openrouter.printable"
local scope = require "openrouter.format.scope"
local words = require "openrouter.format.words"

local plural = words.plural

local function place(finding)
  local id = finding.id and printable.line(finding.id) or "a record without an id"
  return ("%s:%d: %s"):format(printable.line(finding.file), finding.line, id)
end

local function drift_text(finding)
  local sign = finding.drift:find "^%-" and "" or "+"
  if not finding.instant then return ("%s: %s%s USD"):format(place(finding), sign, finding.drift) end
  return ("%s: %s%s USD on %s USD%s"):format(place(finding), sign, finding.drift, finding.instant,
    finding.percent and (" (%+.2f %%)"):format(finding.percent) or "")
end

-- What there is of a kind, and a line for each of them.
local KINDS = {
  { "unpriced", function(n) return plural(n, "generation has", "generations have") .. " no known price:" end,
    function(finding) return place(finding) .. ": " .. printable.line(finding.why) end },
  { "drift", function(n) return plural(n, "generation", "generations") .. " did not cost what the response said:" end,
    drift_text },
  { "byok", function(n)
    return plural(n, "generation", "generations") .. " by a provider key of yours "
      .. (n == 1 and "has no upstream_inference_cost, so that its price is not known:"
        or "have no upstream_inference_cost, so that their prices are not known:")
  end, place },
  { "hours", function(n) return plural(n, "hour costs", "hours cost") .. " more than the limit:" end,
    function(finding) return ("%s: %s USD"):format(finding.hour, words.amount(finding.spend)) end },
}

local function no_hour_text(of)
  local one = of.generations == 1
  return ("%s no created_at that can be read, so that %s of no hour: %s%s."):format(
    plural(of.generations, "generation has", "generations have"), one and "it is" or "they are",
    of.spend and words.amount(of.spend) .. " USD" or "no known price", of.over and ", more than the limit" or "")
end

-- Of how many a drift could be found at all.
local function compared_text(result)
  return ("Checked for drift: %s of %s%s."):format(words.count(result.compared), words.count(result.generations),
    result.compared < result.generations and "; of the rest, the cost or what the response said (instant) is not known" or "")
end

---@param result openrouter.CheckResult
---@param options? openrouter.TextOptions only its width
---@return string
return function(result, options)
  local lines, most = {}, options and options.width or math.huge
  local function say(text, indent) layout.add_wrapped(lines, (indent or "") .. text, most, indent and indent .. "  ") end
  for _, kind in ipairs(KINDS) do
    local name, heading, text_of = kind[1], kind[2], kind[3]
    local count, examples = result[name].count, result[name].examples
    if count > 0 then say(heading(count)) end
    for _, finding in ipairs(examples) do say(text_of(finding), "  ") end
    if count > #examples then say(("and %s more"):format(words.count(count - #examples)), "  ") end
  end
  if result.no_hour then say(no_hour_text(result.no_hour)) end
  local sentences, notes = scope.omitted(result.omitted)
  say(plural(result.generations, "generation", "generations") .. " checked"
    .. (result.tripped and "." or "; there is nothing to look at."))
  if result.generations > 0 then say(compared_text(result)) end
  for _, text in ipairs(sentences) do say(text) end
  for _, text in ipairs(notes) do say(text, "  ") end
  return table.concat(lines, "\n") .. "\n"
end

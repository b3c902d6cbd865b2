--- Texts made to hurt. A shape is the members of one object, in about `n` bytes, so that any number of them can be made; an
--- entry is where that object stands in a text.
local shapes = {}

-- ---- making them ----------------------------------------------------------------------------------------------------

-- As many of the text as make n bytes, at least one, with the separator in between.
local function many(text, n, separator)
  separator = separator or ","
  return (text .. separator):rep(math.max(1, math.floor(n / #(text .. separator))) - 1) .. text
end

-- The same with a number in each, that the pattern (of string.format) makes as long in all of them.
local function numbered(pattern, n)
  local parts = {}
  for i = 1, math.max(1, math.floor(n / (#pattern:format(1) + 1))) do parts[i] = pattern:format(i) end
  return table.concat(parts, ",")
end

-- Strings of 64 bytes that differ in a few places only: those that LuaJIT's quick hash (it looks at the first and last 4 bytes,
-- 4 in the middle and 4 after a quarter) and that of PUC Lua 5.1 (every third byte, from the last) both pass over.
local function alike(pattern, n)
  local parts = {}
  for i = 1, math.max(1, math.floor(n / (#pattern + 63))) do
    local digits = ("%08d"):format(i)
    local text = ("="):rep(34) .. digits:gsub("..", "%0=") .. ("="):rep(18)
    parts[i] = pattern:format(text)
  end
  return table.concat(parts, ",")
end

local function value(name, text)
  return ('"%s":%s'):format(name, text)
end

-- ---- what is JSON ---------------------------------------------------------------------------------------------------

local function good(name, make)
  shapes.good[#shapes.good + 1] = { name = name, make = make }
end

--- A list of { name =, make = function(n) -> members }; with `number` it is one long number, in the member of that name.
shapes.good = {}

good("distinct names", function(n) return numbered('"k%07d":0', n) end)
good("distinct names of 40 bytes", function(n) return numbered('"%040d":0', n) end)
good("distinct names with escapes", function(n) return numbered([["\u006b%07d":0]], n) end)
good("distinct names that look alike to a quick hash", function(n) return alike('"%s":0', n) end)
good("distinct strings that look alike to a quick hash", function(n) return value("x", "[" .. alike('"%s"', n) .. "]") end)
good("one unknown name", function(n) return many('"x":1', n) end)
good("one known name", function(n) return many('"id":1', n) end)
good("one known name with escapes", function(n) return many([["\u0069d":"a"]], n) end)
good("one name that is nearly known", function(n) return many('"total_cosT":1', n) end)
good("the names of a ledger line", function(n) return many('"settled":1,"answer":{},"data":1,"error":1,"pending":1', n) end)
good("one name of an object", function(n) return many('"x":{"y":{}}', n) end)
good("one long name", function(n) return '"' .. ("n"):rep(n) .. '":1' end)
good("one long name of escapes", function(n) return '"' .. many([[\u00e9]], n, "") .. '":1' end)
good("a long string", function(n) return value("x", '"' .. ("s"):rep(n) .. '"') end)
good("a long string, a quote at its end", function(n) return value("x", '"' .. ("s"):rep(n) .. [[\""]]) end)
good("a long id", function(n) return value("id", '"' .. ("s"):rep(n) .. '"') end)
good("a long id of escapes", function(n) return value("id", '"' .. many([[\n]], n, "") .. '"') end)
good("a long model of escapes", function(n) return value("model", '"' .. many([[\ud834\udd1e]], n, "") .. '"') end)
good("a long time", function(n) return value("created_at", '"2026-11-20T10:00:00.' .. ("0"):rep(n) .. 'Z"') end)
good("a long unknown value of an enumeration", function(n) return value("api_type", '"' .. many([[\u0061]], n, "") .. '"') end)
good("short escapes", function(n) return value("x", '"' .. many([[\\]], n, "") .. '"') end)
good("escapes by number", function(n) return value("x", '"' .. many([[\u0000]], n, "") .. '"') end)
good("surrogate pairs", function(n) return value("x", '"' .. many([[\uD834\uDD1E]], n, "") .. '"') end)
good("characters of two bytes", function(n) return value("x", '"' .. many("\195\169", n, "") .. '"') end)
good("characters of three bytes", function(n) return value("x", '"' .. many("\226\130\172", n, "") .. '"') end)
good("characters of four bytes", function(n) return value("x", '"' .. many("\240\157\132\158", n, "") .. '"') end)
good("characters of one byte and of two by turns", function(n) return value("x", '"' .. many("a\195\169", n, "") .. '"') end)
good("empty strings", function(n) return value("x", "[" .. many('""', n) .. "]") end)
good("distinct strings", function(n) return value("x", "[" .. numbered('"%08d"', n) .. "]") end)
good("numbers", function(n) return value("x", "[" .. many("1", n) .. "]") end)
good("numbers with a fraction", function(n) return value("x", "[" .. many("0.00003452", n) .. "]") end)
good("words", function(n) return value("x", "[" .. many("null", n) .. "]") end)
good("empty arrays", function(n) return value("x", "[" .. many("[]", n) .. "]") end)
good("empty objects", function(n) return value("x", "[" .. many("{}", n) .. "]") end)
good("arrays as deep as may be", function(n)
  return value("x", "[" .. many(("["):rep(120) .. ("]"):rep(120), n) .. "]")
end)
good("objects as deep as may be", function(n)
  return value("x", "[" .. many(('{"a":'):rep(120) .. "1" .. ("}"):rep(120), n) .. "]")
end)
good("a deep place with a long string", function(n)
  return value("x", ('[{"a":'):rep(60) .. '"' .. ("s"):rep(n) .. '"' .. ("}]"):rep(60))
end)
good("no provider at all, again and again", function(n) return many('"provider_responses":[]', n) end)
good("providers that are empty", function(n) return value("provider_responses", "[" .. many("{}", n) .. "]") end)
good("providers that are none", function(n) return value("provider_responses", "[" .. many("1", n) .. "]") end)
good("providers that failed", function(n) return value("provider_responses", "[" .. many('{"status":null}', n) .. "]") end)
good("a provider with distinct names", function(n)
  return value("provider_responses", "[{" .. numbered('"k%07d":0', n) .. "}]")
end)
good("a provider with one name", function(n) return value("provider_responses", "[{" .. many('"status":1', n) .. "}]") end)
local numbers = {
  { "a long integer", function(n) return ("9"):rep(n) end },
  { "a long fraction", function(n) return "0." .. ("3"):rep(n) end },
  { "a long exponent", function(n) return "1e-" .. ("9"):rep(n) end },
  { "zeros before a digit", function(n) return "0." .. ("0"):rep(n) .. "1e" .. n end },
  { "zeros before an exponent", function(n) return "1e" .. ("0"):rep(n) .. "1" end },
  { "zeros behind a digit", function(n) return "1" .. ("0"):rep(n) .. "e-" .. n end },
  { "zeros behind a point", function(n) return "1." .. ("0"):rep(n) end },
  { "zeros between digits", function(n) return "-1." .. ("0"):rep(n) .. "1" end },
  { "zeros alone", function(n) return "0." .. ("0"):rep(n) .. "e5" end },
}
for _, place in ipairs { "x", "total_cost", "latency", "tokens_prompt" } do
  for _, number in ipairs(numbers) do
    good(("%s as %s"):format(number[1], place), function(n) return value(place, number[2](n)) end)
    shapes.good[#shapes.good].number = place
  end
end
good("white space between tokens", function(n)
  local space = many(" \t\r\n", n / 8, "")
  return (' "x" : [ 1 , 2 ] '):gsub(" ", space)
end)
good("white space everywhere", function(n) return many(' "x"\t:\n[\r1 ,\t2\n]\r', n) end)

-- ---- what is none ---------------------------------------------------------------------------------------------------

local VALUE, MEMBER, ITEM = "a value must stand here", "',' or '}' must follow a member", "',' or ']' must follow an item"
local NAME, COLON = "a member must start with its name in quotes", "':' must follow a member's name"
local CONTROL, ESCAPE, HEX = "control character in a string", "unknown escape in a string", "\\u needs four hex digits"
local HIGH, LOW, UTF8, DEEP = "lone high surrogate", "lone low surrogate", "not UTF-8", "nested too deeply"

--- A list of { name =, make = function(n) -> members, at, words }: where the fault is in them, and what the error says. `at`
--- is a function of how many arrays and objects are open around the members, where that matters.
shapes.bad = {}

local function bad(name, words, make)
  shapes.bad[#shapes.bad + 1] = {
    name = name,
    make = function(n)
      local members, at = make(n)
      return members, at, words
    end,
  }
end

-- The fault is behind the first part.
local function fault(first, rest)
  return first .. rest, #first + 1
end

local function deep(opening, per_opening)
  return function(n)
    local start = '"x":'
    return start .. many(opening, math.max(n, 1000), ""), function(depth)
      local left = 128 - depth -- so many more may be opened
      local whole = math.floor(left / per_opening)
      return #start + whole * #opening + left % per_opening + 1
    end
  end
end

bad("open arrays", DEEP, deep("[", 1))
bad("open objects", DEEP, deep('{"a":', 1))
bad("open arrays and objects by turns", DEEP, deep('[{"a":', 2))
bad("closed arrays", VALUE, function(n) return fault('"x":', ("]"):rep(n)) end)
bad("closed objects", VALUE, function(n) return fault('"x":', ("}"):rep(n)) end)
bad("arrays too deep, closed again", DEEP, function(n)
  local text, at = deep("[", 1)(n / 2)
  return text .. ("]"):rep(#text - 4), at
end)
bad("commas", NAME, function(n) return fault('"x":1,', (","):rep(n)) end)
bad("colons", VALUE, function(n) return fault('"x":', (":"):rep(n)) end)
bad("distinct names, the last without a value", COLON, function(n) return fault(numbered('"k%07d":0', n) .. ',"x"', ",") end)
bad("a member behind many that is no member", NAME, function(n) return fault(many('"id":1', n) .. ",", "x") end)
bad("an item behind many that is no item", ITEM, function(n) return fault('"x":[' .. many("1", n), ":]") end)
bad("a long integer with a letter behind it", MEMBER, function(n) return fault(value("x", ("9"):rep(n)), "x") end)
bad("a long integer that starts with 0", "a number must not start with 0", function(n)
  return fault('"x":', "0" .. ("9"):rep(n))
end)
bad("a long integer with a bare point", "a digit must follow the point", function(n)
  return fault(value("x", ("9"):rep(n) .. "."), "e1")
end)
bad("a long fraction with a bare exponent", "the exponent has no digits", function(n)
  return fault(value("x", "1." .. ("9"):rep(n) .. "e"), ",")
end)
bad("minus signs", "a digit must follow the minus", function(n) return fault('"x":-', ("-"):rep(n)) end)

-- What may not stand in a string: at its end, however long it is, and then no more of it.
local in_strings = {
  { "a NUL", CONTROL, "\0" }, { "a control character", CONTROL, "\31" }, { "a line end", CONTROL, "\n" },
  { "an unknown escape", ESCAPE, "\\x" }, { "an escaped NUL", ESCAPE, "\\\0" }, { "an escape cut short", HEX, [[\u00e]] },
  { "a NUL in an escape", HEX, "\\u00\0" }, { "a lone high surrogate", HIGH, [[\ud834]] },
  { "two high surrogates", HIGH, [[\ud834\ud834]] }, { "a high surrogate and a NUL", HIGH, "\\ud834\\u\0" },
  { "a lone low surrogate", LOW, [[\udd1e]] }, { "a continuation byte", UTF8, "\128" },
  { "an overlong slash of two bytes", UTF8, "\192\175" }, { "an overlong slash of three bytes", UTF8, "\224\128\175" },
  { "an overlong slash of four bytes", UTF8, "\240\128\128\175" }, { "an overlong NUL", UTF8, "\192\128" },
  { "a surrogate in three bytes", UTF8, "\237\160\128" }, { "a character above U+10FFFF", UTF8, "\244\144\128\128" },
  { "a byte that is never UTF-8", UTF8, "\255" }, { "a character of two bytes cut short", UTF8, "\195" },
  { "a character of three bytes cut short", UTF8, "\226\130" }, { "a character of four bytes cut short", UTF8, "\240\157\132" },
}
--- The same alone, as { name, words, text }.
shapes.in_strings = in_strings
for _, case in ipairs(in_strings) do
  bad(case[1] .. " behind a long string", case[2], function(n)
    return fault('"x":"' .. ("s"):rep(n), case[3] .. '"')
  end)
  bad(case[1] .. " behind a long name", case[2], function(n)
    return fault('"' .. many("\195\169", n, ""), case[3] .. '":1')
  end)
end

-- A NUL ends every scan of the core, so it must not end any too early.
local nul = {
  { "before a name", NAME, "", '"x":1' }, { "behind a name", COLON, '"x"', ":1" },
  { "before a value", VALUE, '"x":', "1" }, { "behind a value", MEMBER, '"x":1', "" },
  { "in a number", MEMBER, '"x":1', "1" }, { "before a word", VALUE, '"x":', "null" },
  { "in an array", VALUE, '"x":[', "]" }, { "behind an item", ITEM, '"x":[1', "]" },
  { "in an object", NAME, '"x":{', "}" }, { "behind a comma", NAME, '"x":1,', '"y":1' },
}
for _, case in ipairs(nul) do
  bad("a NUL " .. case[1], case[2], function(n)
    return fault(many('"y":1', n) .. "," .. case[3], "\0" .. case[4])
  end)
end

-- ---- where they stand -----------------------------------------------------------------------------------------------

--- A list of { name =, before =, after =, depth =, reads = }: how many arrays and objects are open where the members stand, as
--- far as the limit counts them, and what such a text is.
shapes.entries = {
  { name = "a bare record", before = "{", after = "}", depth = 1 },
  { name = "an answer", before = '{"data":{', after = "}}", depth = 2 },
  { name = "beside an answer", before = '{"data":{"id":"gen-1"},', after = "}", depth = 1 },
  { name = "a ledger line", depth = 1,
    before = '{"settled":"gen-1","at":"2026-11-21T00:00:00.000Z","context":{"user":"a"},"answer":{"data":{', after = "}}}" },
  { name = "a provider's response", before = '{"data":{"provider_responses":[{', after = '}],"id":"gen-1"}}', depth = 4 },
  { name = "a context", before = '{"settled":"gen-1","context":{', after = '},"answer":{"data":{"id":"gen-1"}}}', depth = 2 },
  { name = "an API's error", before = '{"error":{"code":429,"message":"slow","metadata":{', after = "}}}", depth = 3,
    reads = "error" },
  { name = "a failed line", before = '{"failed":"gen-1","error":{"kind":"server",', after = "}}", depth = 2, reads = "error" },
}

--- The text of a shape in an entry; for a bad one also the byte that the error names, and its words.
function shapes.text(shape, entry, n)
  local members, at, words = shape.make(n)
  if type(at) == "function" then at = at(entry.depth) end
  return entry.before .. members .. entry.after, at and #entry.before + at, words
end

return shapes

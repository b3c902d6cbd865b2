-- What must hold for any text that is decoded. Returns the function that fuzz/decode.c calls with each one; an error in it is
-- a finding.
-- luacheck: std lua54
local core = require "openrouter.core"
local generation = core.generation

local KINDS, FIELDS = {}, {}
for _, kind in pairs(core.kinds) do KINDS[kind.name] = true end
for _, field in ipairs(core.fields) do FIELDS[field.name] = field end

-- ---- comparing ------------------------------------------------------------------------------------------------------

local function same_number(a, b)
  if math.type(a) ~= math.type(b) or a ~= b then return false end
  return a ~= 0 or math.type(a) == "integer" or 1 / a == 1 / b -- 0.0 and -0.0 are two
end

local function same(a, b)
  if type(a) == "number" and type(b) == "number" then return same_number(a, b) end
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in next, a do
    if not same(value, b[key]) then return false end
  end
  for key in next, b do
    if a[key] == nil then return false end
  end
  return true
end

local function must_be_same(a, b, what)
  if not same(a, b) then error(("%s: %s is not %s"):format(what, tostring(a), tostring(b)), 2) end
end

-- ---- a text that is refused -----------------------------------------------------------------------------------------

local LOOKAHEAD = 12 -- bytes: the longest token that is judged as a whole is a pair of escaped surrogates

local function refused(text)
  local gen, err = core.decode(text)
  assert(gen == nil and err.kind == "bad_answer", "a text that is none was not refused")
  assert(math.type(err.byte) == "integer" and err.byte >= 1 and err.byte <= #text + 1)
  return err
end

-- What is wrong does not depend on what comes further behind it.
local function check_refused(text, err)
  must_be_same(err.message, refused(text).message, "refused again")
  if err.byte + LOOKAHEAD > #text then return end
  must_be_same(err.message, refused(text .. "\0}").message, "refused with more behind it")
  if err.message:find "not an object" then return end -- which is known at the end of what is there instead
  must_be_same(err.message, refused(text:sub(1, err.byte + LOOKAHEAD)).message, "refused with less behind it")
end

local function check_error(text, err)
  assert(KINDS[err.kind] and type(err.message) == "string" and type(err.retryable) == "boolean")
  assert(err.metadata == nil or type(err.metadata) == "table")
  if err.byte then check_refused(text, err) end
end

-- ---- one record -----------------------------------------------------------------------------------------------------

local function has_type(field, value)
  if field.type == "integer" then return math.type(value) == "integer" end
  if field.type == "number" then return math.type(value) == "float" and value - value == 0 end -- finite
  return type(value) == (field.type == "array" and "table" or field.type)
end

local function check_field(gen, field)
  local name = field.name
  local value, state, exact = gen[name], generation.state(gen, name), generation.exact(gen, name)
  assert((value ~= nil) == (state == "value"), state)
  assert((exact == nil) == (state == "absent") and (exact == "null") == (state == "null"))
  if value ~= nil then assert(has_type(field, value), name) end
  assert(rawequal(value, gen[name]) or type(value) == "number")
end

-- Through paths the same as through the table of responses.
local function check_responses(gen)
  local list = gen.provider_responses or {}
  for i = 1, 3 do
    local entry, state = list[i], generation.state(gen, "provider_responses", i)
    assert((entry ~= nil) == (state == "value"), state)
    for _, field in ipairs(core.response_fields) do
      local name = field.name
      state = generation.state(gen, "provider_responses", i, name)
      local value = entry and entry[name]
      assert((value ~= nil) == (entry ~= nil and state == "value"), state)
      assert((generation.exact(gen, "provider_responses", i, name) == nil) == (state == "absent"))
      if value ~= nil then assert(has_type(field, value), name) end
    end
  end
end

local function check_members(gen)
  local all, seen = generation.totable(gen), {}
  for name, value in generation.pairs(gen) do
    assert(type(name) == "string" and not seen[name] and all[name] ~= nil)
    seen[name] = true
    must_be_same(value, gen[name], "in pairs")
    assert(type(value) ~= "table" or rawequal(value, gen[name]))
    if FIELDS[name] and type(value) ~= "table" and value ~= nil then must_be_same(all[name], value, name) end
  end
  for name in pairs(all) do assert(seen[name]) end
end

local NAMES = {}
for i, field in ipairs(core.fields) do NAMES[i] = field.name end
local select_all = generation.select(table.unpack(NAMES))

local function check_select(gen)
  local values = table.pack(select_all(gen))
  assert(values.n == #NAMES)
  for i, name in ipairs(NAMES) do must_be_same(values[i], gen[name], name) end
end

-- Also: which amounts money.h cannot hold as they are.
local function check_violations(gen)
  local inexact = {}
  for _, violation in ipairs(generation.violations(gen)) do
    assert(type(violation.field) == "string" and type(violation.expected) == "string" and type(violation.got) == "string")
    assert(#violation.got <= 63 and not violation.got:find "[%z\1-\31]")
    if violation.expected:find "decimals" or violation.expected:find "billion" then inexact[violation.field] = true end
  end
  return inexact
end

local function check_spend(gen, inexact)
  local number, text = generation.spend(gen)
  assert(type(text) == "string")
  if number == nil then return end
  assert(math.type(number) == "float" and text:match "^%-?%d+$" or #text:match "^%-?%d+%.(%d*[1-9])$" <= 27, text)
  must_be_same(number, tonumber(text) + 0.0, "the spend")
  local field = gen.total_cost and "total_cost" or "usage"
  if gen.is_byok or inexact[field] then return end
  assert(number == gen[field])
end

local function check_record(gen)
  for _, field in ipairs(core.fields) do check_field(gen, field) end
  check_responses(gen)
  check_members(gen)
  check_select(gen)
  check_spend(gen, check_violations(gen))
  assert(tostring(gen):find "^generation [^%z\1-\31]*$")
  local context = generation.context(gen)
  assert(context == nil or type(context) == "table")
end

-- ---- the same record once more --------------------------------------------------------------------------------------

-- What is read from a record, for comparing it with others.
local function portrait(gen)
  return {
    json = generation.json(gen), table = generation.totable(gen), context = generation.context(gen),
    members = { select_all(gen) }, spend = { generation.spend(gen) },
    violations = generation.violations(gen), responses = gen.provider_responses,
  }
end

local MARKS = { "settled", "data", "answer", "error", "pending", "note", "failed", "context", "at" }

local function is_plain(gen)
  for _, name in ipairs(MARKS) do
    if generation.state(gen, name) ~= "absent" then return false end
  end
  return true
end

local function ledger_line(answer) return '{"settled":"x","answer":' .. answer .. "}" end

-- A line of a ledger gives back whatever was decoded. So does the record's own text, but for records that have members which
-- say what a text is, and those at the limit of nesting.
local function check_round_trip(gen, picture)
  local answer = generation.answer(gen)
  local again = assert(core.decode(ledger_line(answer)))
  must_be_same(generation.answer(again), answer, "the answer")
  local around = core.decode('{"x":' .. answer .. "}")
  assert(around == nil or type(around.x.data) == "table") -- nil: nested too deeply
  again = portrait(again)
  again.context = picture.context -- which is not in the answer
  must_be_same(again, picture, "in a ledger")
  if not is_plain(gen) then return end
  local bare, err = core.decode(picture.json)
  if bare == nil then assert(err.message:find "nested too deeply", err.message)
  else must_be_same(generation.json(bare), picture.json, "bare") end
end

-- A string with every character as an escape.
local function escaped(text)
  local out = {}
  for _, code in utf8.codes(text) do
    local low = code - 0x10000
    out[#out + 1] = low < 0 and ("\\u%04x"):format(code)
      or ("\\uD%03X\\uD%03X"):format(0x800 + (low >> 10), 0xC00 + (low & 0x3FF))
  end
  return '"' .. table.concat(out) .. '"'
end

-- The known members in another order, with white space, names and strings spelt otherwise.
local function check_order(gen, picture)
  local members = {}
  for i = #NAMES, 1, -1 do
    local exact, value = generation.exact(gen, NAMES[i]), gen[NAMES[i]]
    if type(value) == "string" then exact = escaped(value) end
    if exact then members[#members + 1] = ('\t"%s"\r\n:  %s '):format(NAMES[i]:gsub("_", "\\u005f", i % 3), exact) end
  end
  local again = assert(core.decode(ledger_line("{" .. table.concat(members, ",") .. "}")))
  must_be_same({ select_all(again) }, picture.members, "in another order")
  must_be_same({ generation.spend(again) }, picture.spend, "in another order")
end

local function check_text(gen, text, json)
  must_be_same(generation.json(assert(core.decode(text .. " \r\n\t"))), generation.json(gen), "with white space")
  assert(refused(text .. "x").byte == #text + 1)
  for _, length in ipairs { 1, #json // 2, text:byte(-1) * 31 % #json, #json - 1 } do refused(json:sub(1, length)) end
end

-- decode(text, record) fills the record that is given; nothing of what that one held may be seen any more. One that something
-- relies on stays as it is.
local LONG = ('{"settled":"x","context":{"user":"a"},"at":1,"answer":{"data":{"id":"gen-0","model":"m","total_cost":1,'
  .. '"is_byok":true,"upstream_inference_cost":1,"provider_responses":[{"status":200}],"x":[1],"y":"%s"}}}')
  :format(("y"):rep(6000))

local function check_again(text, spare, gen, err, picture)
  local again, again_err = core.decode(text, spare)
  assert((again == nil) == (gen == nil))
  if gen == nil then
    must_be_same(again_err, err, "into a record")
    return nil
  end
  local is_same = rawequal(again, spare) -- before anything is read from it
  must_be_same(again.x, gen.x, "an unknown member")
  must_be_same(portrait(again), picture, "into a record")
  return is_same
end

local function check_reuse(text, gen, err, picture)
  local long = core.decode(LONG)
  local is_same = check_again(text, long, gen, err, picture)
  assert(is_same == nil or is_same == (#text <= #LONG))
  if gen == nil then assert(#text > #LONG or generation.json(long) == "{}") end
  long = core.decode(LONG)
  assert(long.x[1] == 1)
  assert(not check_again(text, long, gen, err, picture))
  assert(long.id == "gen-0" and long.provider_responses[1].status == 200)
  check_again(text, core.decode "{}", gen, err, picture)
end

-- ---- adding up ------------------------------------------------------------------------------------------------------

local DECLARATION = {
  dimensions = { "model", "day", "is_byok", "tokens_prompt", "context.user" },
  sums = { "spend", "total_cost", "tokens_prompt", "cancelled", "failed_attempts" },
  spreads = { "latency", "native_tokens_completion" },
}

local function key_text(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = (math.type(parts[i]) or type(parts[i])) .. ":" .. tostring(parts[i]) end
  return table.concat(parts, "\n")
end

-- Everything that can be read from a tally, by group.
local function dump(tally)
  local out = { counts = tally:counts() }
  for group = 0, tally:groups() do
    local row = { generations = tally:generations(group) }
    for i = 1, #DECLARATION.sums do row[i] = { tally:sum(group, i) } end
    for i = 1, #DECLARATION.spreads do row["q" .. i] = { tally:quantile(group, i, 50), tally:quantile(group, i, 99) } end
    local key = group == 0 and "total" or key_text(tally:key(group))
    assert(out[key] == nil)
    if row.generations > 0 then out[key] = row end -- all of the others' records were replaced
  end
  return out
end

local NOT_A_RECORD = "a JSON object, but no generation record"

local function check_one(tally, gen, inexact)
  assert(tally:groups() == 1 and tally:generations(0) == 1 and tally:generations(1) == 1)
  local values, number, exact = tally:sum(0, 1)
  local spend, spend_text = generation.spend(gen)
  assert(values == (spend and 1 or 0))
  if spend then assert(number == spend and exact == spend_text) end
  values, number = tally:sum(0, 2)
  if not inexact.total_cost then
    assert(values == (gen.total_cost and 1 or 0))
    assert(values == 0 or number == gen.total_cost)
  end
  values, number = tally:sum(0, 3)
  assert(values == (gen.tokens_prompt and 1 or 0) and number == (gen.tokens_prompt or 0))
  values, number = tally:sum(0, 4)
  assert(values == 1 and number == (gen.cancelled and 1 or 0))
  local latency, middle = gen.latency, tally:quantile(0, 1, 50)
  local counted = latency and latency >= 0 and latency < 2 ^ 64
  assert((middle ~= nil) == (counted or false))
  if counted then assert(math.abs(middle - latency) <= math.max(latency / 128, 2 ^ -19)) end
  local model, day, byok, tokens = tally:key(1)
  assert(model == (gen.model or "unknown") and byok == (gen.is_byok == nil and "unknown" or gen.is_byok))
  assert(tokens == (gen.tokens_prompt or "unknown"))
  assert(day == "unknown" or day:find "^%-?%d+%-%d%d%-%d%d$", day)
end

-- Once more it is a duplicate, if it has an id.
local function check_twice(tally, text)
  local once = dump(tally)
  local what, why = tally:add_line(text)
  if what == nil then
    assert(why:find "beyond the range", why)
    must_be_same(dump(tally), once, "refused the second time")
  elseif tally:counts().duplicates == 0 then
    assert(tally:generations(0) == 2)
  else
    once.counts.duplicates = 1
    must_be_same(dump(tally), once, "added twice")
  end
end

local function check_generation_line(by_line, text, gen, what, why)
  if what == nil then
    assert(why == NOT_A_RECORD, why)
    for _, name in ipairs(NAMES) do assert(generation.state(gen, name) == "absent") end
    return
  end
  assert(what == "generation")
  local tally = core.tally(DECLARATION)
  assert(tally:add(gen))
  must_be_same(dump(tally), dump(by_line), "a record and its line")
  check_one(tally, gen, check_violations(gen))
  check_twice(by_line, text)
end

local OTHER = '{"data":{"id":%s,"model":"m","total_cost":0.25,"tokens_prompt":5,"latency":7,"is_byok":false}}'
local OTHERS = { OTHER, '{"settled":"gen-1","at":"2026-08-03T10:00:00.000Z","context":{"user":"b"},"answer":' .. OTHER .. "}" }

-- With another record, of the same id if there is one, in both orders.
local function check_two(text, other)
  local one, two = core.tally(DECLARATION), core.tally(DECLARATION)
  local first, why = one:add_line(text)
  assert(two:add_line(other) == "generation")
  local last, last_why = two:add_line(text)
  if first ~= last then -- there is no room for both
    assert(last == nil and last_why:find "beyond the range", last_why)
    return
  end
  assert(why == last_why)
  if one:add_line(other) then must_be_same(dump(one), dump(two), "in another order") end
  if one:counts().duplicates == 1 then assert(one:is_counted(text) ~= one:is_counted(other)) end
end

local function check_tally(text, gen, err)
  local tally = core.tally(DECLARATION)
  local what, why, malformed = tally:add_line(text)
  local read, reason = core.read_record(text, true, core.decode "{}")
  assert((what == "generation") == (read ~= nil) and reason == why)
  assert(what ~= "generation" or tally:is_counted(text))
  if gen then
    check_generation_line(tally, text, gen, what, why)
  elseif err.byte then
    assert(what == "blank" and not text:find "[^ \t\r\n]" or malformed and why == err.message, why)
  else
    assert(what == "failed" or what == "open" or why == "a ledger line without an id" or why == "an API error, no record", why)
    assert(not malformed)
  end
  local id = gen and gen.id and generation.exact(gen, "id") or '"gen-1"'
  for _, other in ipairs(OTHERS) do check_two(text, (other:gsub("%%s", function() return id end))) end
end

-- ---- all of it ------------------------------------------------------------------------------------------------------

return function(text)
  local gen, err = core.decode(text)
  local picture
  if gen then
    assert(err == nil)
    check_record(gen)
    picture = portrait(gen)
    check_round_trip(gen, picture)
    check_order(gen, picture)
    check_text(gen, text, picture.json)
  else
    check_error(text, err)
  end
  check_reuse(text, gen, err, picture)
  check_tally(text, gen, err)
end

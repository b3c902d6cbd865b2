--- The texts of which every build of the core must make the same: what is in the fixtures, and what fast paths may trip over.
local core = require "openrouter.core"
local shapes = require "spec.support.hostile_shapes"
local shell = require "spec.support.shell"

-- The same numbers on every machine: a program that is wrong about one text of 50,000 must be so again tomorrow.
local function random_source(seed)
  local state = seed
  return function(n) -- an integer from 1 to n, at most 2^16
    state = (state * 16807) % 2147483647
    return math.floor(state / 32768) % n + 1
  end
end

local function files(add, pattern)
  local pipe = assert(io.popen("ls -d " .. pattern .. " 2>/dev/null"))
  for path in pipe:lines() do
    local text = shell.read(path)
    add(text)
    add('{"data":{"x":' .. text .. "}}")
    add('{"settled":"gen-1","at":"2026-11-21T00:00:00.000Z","context":{"user":"a"},"answer":' .. text .. "}")
  end
  pipe:close()
end

local function hostile_shapes(add)
  for _, entry in ipairs(shapes.entries) do
    for _, shape in ipairs(shapes.good) do
      add((shapes.text(shape, entry, 1)))
      add((shapes.text(shape, entry, 900)))
    end
    for _, shape in ipairs(shapes.bad) do add((shapes.text(shape, entry, 900))) end
  end
end

-- ---- strings --------------------------------------------------------------------------------------------------------

local specials = {
  "", '"', "\\", [[\"]], [[\\]], [[\/]], [[\n]], [[\u0041]], [[\u00e9]], [[\uFFFF]], [[\ud834\udd1e]], "\127", " ", "!", "[", "]",
  "\195\169", "\226\130\172", "\240\157\132\158", "\194\128", "\223\191", "\237\159\191", "\244\143\191\191",
}
for _, case in ipairs(shapes.in_strings) do specials[#specials + 1] = case[3] end

-- Each special byte at every place of a string and of 16 bytes in memory, also in names.
local function strings(add)
  for offset = 0, 70 do
    local before, after = ("a"):rep(offset), ("z"):rep(offset * 7 % 23)
    for i, special in ipairs(specials) do
      for _, alignment in ipairs { 0, (offset + i) % 16 } do
        add((" "):rep(alignment) .. '{"data":{"x":"' .. before .. special .. after .. '","y":"' .. special .. '"}}')
      end
      add('{"data":{"' .. before .. special .. after .. '":"' .. special .. '","id":"gen-' .. i .. '"}}')
      add('{"data":{"id":"' .. before .. special .. after .. '","model":"m"}}')
      add('{"' .. before .. special .. after .. '":1,"error":"' .. before .. special .. after .. '"}')
    end
  end
  for byte = 0, 255 do -- every byte at every place of a word
    for offset = 0, 16 do add('{"x":"' .. ("a"):rep(offset) .. string.char(byte) .. ("b"):rep(16 - offset) .. '"}') end
  end
end

-- White space of every length between all tokens, with a byte at its end that is none.
local function white_space(add)
  for length = 0, 40 do
    for _, kind in ipairs { " ", "\t", "\r", "\n", " \t", "\r\n", "\v", "\f", "\0", "\194\160", "!" } do
      local space = kind:rep(length)
      add((' { "data" : { "x" : [ 1 , true ] , "id" : "a" } } '):gsub(" ", space))
      for place = 1, 5 do
        local text = ('{1"data"2:3{"x":[1 4,2]}}5'):gsub("%d", { [tostring(place)] = (" "):rep(length) .. kind })
        add((text:gsub("[2-5]", "")))
      end
    end
  end
end

-- ---- members --------------------------------------------------------------------------------------------------------

local sample = {
  string = '"gen-1"', boolean = "true", integer = "12", number = "1.5e2",
  array = '[{"status":200,"latency":12.5},{"status":null,"provider_name":"\\u00e9"}]',
}
local wrong = { "null", "1.5", '"text"', "true", "[]", "{}", "1e400", "-0", "10.0", "1e-28", "12345678901234567890" }
local marks = { "settled", "data", "answer", "error", "pending", "note", "failed", "context", "at" }

local function escaped(name, at)
  return ("%s\\u%04x%s"):format(name:sub(1, at - 1), name:byte(at), name:sub(at + 1))
end

-- What is like a name, and what is that name however spelt.
local function near(name, random)
  local at = random(#name)
  local other = string.char(name:byte(at) % 2 == 0 and name:byte(at) + 1 or name:byte(at) - 1)
  return {
    name, name .. "_", name .. "s", name:sub(1, -2), name:sub(2), "_" .. name, name:upper(), name .. "\\u0000", name .. " ",
    name:sub(1, at - 1) .. other .. name:sub(at + 1), name:sub(1, at) .. name:sub(at), name .. '\\"', name .. ("x"):rep(300),
    escaped(name, at), escaped(name, 1), escaped(name, #name),
    (name:gsub(".", function(c) return ("\\u%04X"):format(c:byte()) end)),
  }
end

local function names(add)
  local random = random_source(11)
  for i, field in ipairs(core.fields) do
    local after = core.fields[i % #core.fields + 1].name
    for j, name in ipairs(near(field.name, random)) do
      local member = ('"%s":%s'):format(name, sample[field.type])
      add("{" .. member .. "}")
      add('{"data":{"' .. after .. '":1,' .. member .. ',"z":0,' .. member .. ',"' .. after .. '" : 2}}')
      add(('{"data":{"%s":null,%s,"id":"gen-%d","%s"\n:%s}}'):format(field.name, member, j, field.name, wrong[random(#wrong)]))
    end
  end
  for _, mark in ipairs(marks) do
    for _, name in ipairs(near(mark, random)) do
      for _, inner in ipairs { '{"id":"gen-1","data":{"usage":1}}', '"gen-2"', "null", '{"code":404,"message":"no"}' } do
        add('{"' .. name .. '":' .. inner .. "}")
        add('{"settled":"gen-3","answer":{"' .. name .. '":' .. inner .. '},"' .. name .. '":' .. inner .. "}")
        add('{"' .. name .. '":' .. inner .. ',"data":{"usage":2},"' .. name .. '":1}')
      end
    end
  end
  for _, field in ipairs(core.response_fields) do
    for _, name in ipairs(near(field.name, random)) do
      add('{"data":{"provider_responses":[{"' .. name .. '":1},{"' .. name .. '":null,"status":204}]}}')
    end
  end
end

-- Whole records with the members in the table's order, in any other, with some missing and some there twice.
local function orders(add)
  local random = random_source(23)
  for round = 1, 400 do
    local members = {}
    for i, field in ipairs(core.fields) do
      local text = random(8) == 1 and wrong[random(#wrong)] or sample[field.type]
      if field.name == "id" then text = '"gen-' .. random(150) .. '"' end
      if field.name == "created_at" then text = ('"2026-11-%02dT10:00:00Z"'):format(random(28)) end
      if field.unit == "USD" then text = ("%d.%06de-%d"):format(random(9), random(60000), random(12)) end
      members[i] = ('"%s":%s'):format(field.name, text)
    end
    local moves = round % 4 == 0 and 200 or round % 4
    for _ = 1, moves do -- one member to another place, or twice, or away
      local member = table.remove(members, random(#members))
      if random(4) > 1 then table.insert(members, random(#members + 1), member) end
      if random(4) == 1 then table.insert(members, random(#members + 1), member) end
      if random(4) == 1 then table.insert(members, random(#members + 1), '"new_member":{"total_cost":1}') end
    end
    local record = "{" .. table.concat(members, random(4) == 1 and ", " or ",") .. "}"
    if round % 3 == 0 then add(record) end
    if round % 3 == 1 then add('{"data":' .. record .. "}") end
    if round % 3 == 2 then
      add(('{"settled":"gen-%d","at":"2026-11-21T00:00:%02d.000Z","context":{"user":"%s"},"answer":{"data":%s}}')
        :format(random(150), random(59), ("abc"):sub(random(3)), record))
    end
  end
end

-- ---- damage ---------------------------------------------------------------------------------------------------------

local MIXED = [[{"settled":"gen-1","at":"2026-11-21T00:00:00.000Z","context":{"user":"\u00e9\ud834\udd1e","ok":true},]]
  .. [["answer":{"data":{"id":"gen-1","total_cost":-1.5e-7,"x":[null,false,{"y":""}],]]
  .. [["provider_responses":[{"status":200,"z":"€\n"}],"tot\u0061l_cost":2E+1}}}]]

local function damage(add)
  local newest = shell.read "spec/fixtures/newest_45fields.json"
  local compact = newest:gsub("\n%s*", ""):gsub('": ', '":')
  for _, body in ipairs { MIXED, newest, compact } do
    for length = 0, #body, body == newest and 5 or 1 do add(body:sub(1, length)) end
    for at = 1, #body, body == MIXED and 1 or body == compact and 11 or 97 do
      for byte in ('\0"\\{}[],:0e-u \255\194\237'):gmatch "." do add(body:sub(1, at - 1) .. byte .. body:sub(at + 1)) end
    end
  end
  for at = 1, #compact, 3 do
    add(compact:sub(1, at - 1) .. compact:sub(at + 1))
    add(compact:sub(1, at) .. compact:sub(at))
  end
end

-- ---- numbers --------------------------------------------------------------------------------------------------------

local hard = {
  "0", "-0", "0.0", "-0.000e5", "0e99999999999999999999", "1e400", "-1e400", "1e-400", "1e0000000000000000000001",
  "1e23", "8.5e22", "9007199254740993", "9007199254740993.0", "9007199254740995e0", "9007199254740992.5",
  "0.9007199254740993e16", "1e22", "1e-22", "123456789e22", "9007199254740991e22", "9007199254740991e-22",
  "9007199254740993e22", "2.2250738585072011e-308", "2.2250738585072012e-308", "2.2250738585072014e-308",
  "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "4.9e-324",
  "2.4703282292062327e-324", "2.4703282292062328e-324", "2.4703282292062327208e-324", "5e-324", "1e-323",
  "7.2057594037927933e16", "72057594037927945", "1.00000000000000011102230246251565404236316680908203125",
  "1.00000000000000011102230246251565404236316680908203126",
  "1.00000000000000011102230246251565404236316680908203124",
  "0.500000000000000166533453693773481063544750213623046875", "3.518437208883201171875e13", "62.5364939768271845828",
  "8.10109172351e-10", "1.50000000000000011102230246251565", "6.02214076e23", "1090544144181609348671888949248",
  "1.1125369292536007e-308", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
  "-9223372036854775809", "18446744073709551615", "18446744073709551616", "1844674407370955161.6e1",
  "922337203685477580.7e1", "10.0", "1e1", "0.1e1", "1000000000000000000e0", "1e18", "1e19",
  "0.000000000000000000000000001", "0.0000000000000000000000000005", "0.0000000000000000000000000015",
  "0.00000000000000000000000000050000000000001", "170141183460.469231731687303715884105727",
  "170141183460.469231731687303715884105728", "-170141183460.469231731687303715884105728",
  "-170141183460.469231731687303715884105729", "170141183460.4692317316873037158841057275",
  "99999999999.9999999999999999999999999995", "1e12", "1e11", "1e-27", "1e-28", "5e-28",
  "1e999999999999999999999999999", "-1e-999999999999999999999999999", "0.00003452", "4.2e-7", "1E5", "1E+5",
  "1.0E-5",
}

-- The digits of a whole number times a small one.
local function times(digits, factor)
  local out, carry = {}, 0
  for i = #digits, 1, -1 do
    carry = carry + (digits:byte(i) - 48) * factor
    out[i] = string.char(48 + carry % 10)
    carry = math.floor(carry / 10)
  end
  return (carry > 0 and ("%d"):format(carry) or "") .. table.concat(out)
end

-- The number half way between two doubles (2^53 + m and the half behind it, times a power of two), as a text, and the two texts
-- next to it.
local function halfway(m, power)
  local digits = times(("%.0f"):format(2 ^ 53 + m), 2)
  digits = digits:sub(1, -2) .. string.char(digits:byte(#digits) + 1) -- even, so that the half is one more
  for _ = 1, math.abs(power) do digits = times(digits, power > 0 and 2 or 5) end
  local exponent = power < 0 and "e" .. power or ""
  local point = digits:sub(1, 1) .. "." .. digits:sub(2) .. "e" .. (#digits - 1 + math.min(power, 0))
  local below = digits:sub(1, -2) .. string.char(digits:byte(#digits) - 1) .. "9" -- its last digit is never 0
  return { digits .. exponent, point, digits .. "1e" .. (math.min(power, 0) - 1), below .. "e" .. (math.min(power, 0) - 1) }
end

local function numbers(add)
  local random = random_source(5)
  local function digits(n)
    local list = { tostring(random(9)) }
    for i = 2, n do list[i] = tostring(random(10) - 1) end
    return table.concat(list)
  end
  local list = {}
  for _, text in ipairs(hard) do list[#list + 1] = text end
  for _ = 1, 3000 do
    local digits53 = random(65536) * 2 ^ 37 + random(65536) * 2 ^ 21 + random(65536)
    list[#list + 1] = ("%.0fe%d"):format(digits53, random(47) - 24)
  end
  for _ = 1, 3000 do list[#list + 1] = digits(random(20)) .. "e" .. (random(80) - 40) end
  for _ = 1, 2000 do list[#list + 1] = "0." .. ("0"):rep(random(30) - 1) .. digits(random(22)) end
  for _ = 1, 2000 do list[#list + 1] = digits(random(25)) .. "." .. digits(random(25)) .. "e" .. (random(640) - 330) end
  for _ = 1, 300 do
    for _, text in ipairs(halfway(random(65536) * 65536 + random(65536), random(140) - 70)) do list[#list + 1] = text end
  end
  for _, power in ipairs { -1074, -1000, -500, -300, 300, 900, 970 } do
    for _, text in ipairs(halfway(random(65536), power)) do list[#list + 1] = text end
  end
  for i = 1, #list, 40 do add('{"x":[' .. table.concat(list, ",", i, math.min(i + 39, #list)) .. "]}") end
  for i, text in ipairs(list) do
    if i <= #hard or i % 7 == 0 then
      add(('{"data":{"id":"n%d","total_cost":%s,"latency":-%s,"tokens_prompt":%s,"is_byok":true,"upstream_inference_cost":%s}}')
        :format(i, text, (text:gsub("^%-", "")), text, (text:gsub("^%-", ""))))
    end
  end
end

return function()
  local texts = {}
  local function add(text) texts[#texts + 1] = text end
  files(add, "spec/fixtures/* spec/fixtures/eras/* | grep '[.]'")
  files(add, "../shared/json-test-suite/*.json")
  hostile_shapes(add)
  strings(add)
  white_space(add)
  names(add)
  orders(add)
  damage(add)
  numbers(add)
  return texts
end

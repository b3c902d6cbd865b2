-- Numbers and amounts as csrc/json.c and csrc/money.c read them, against what others make of them: strtod, and Python's
-- decimals. What is compared are C programs, so this runs under one Lua. COUNT says how many decimals (10 million) and SEED
-- which ones; the amounts are a tenth of that.
local shell = require "spec.support.shell"

if rawget(_G, "jit") then return end

local COUNT = tonumber(os.getenv "COUNT" or 10000000)
local SEED = tonumber(os.getenv "SEED" or 20261122)

-- The program from these sources, or nil and what the compiler said.
local function compile(options, name, sources)
  local program = shell.directory() .. "/" .. name
  local command = "cc -std=c99 -Wall -Wextra -Wshadow -Werror -O2 -g %s -I csrc -o %s spec/support/%s.c %s -lm"
  local status, _, errors = shell.run(command:format(options, program, name, sources))
  if status ~= 0 then return nil, errors end
  return program
end

local COMMA = "no locale de_DE.UTF-8 here, nor what localedef needs to make it (Debian: locales)"

-- Run the command, which takes a locale as its last argument, in one with a decimal comma: what it printed. Where there is
-- none it is run in "C", and the second result is false.
local function run(command)
  local directory = shell.directory()
  os.execute("localedef -i de_DE -f UTF-8 " .. directory .. "/de_DE.UTF-8 >/dev/null 2>&1")
  command = ("export LOCPATH=%s; %s "):format(directory, command)
  local status, out, errors = shell.run(command .. "de_DE.UTF-8")
  local comma = status ~= 9
  if not comma then status, out, errors = shell.run(command .. "C") end
  if status ~= 0 then error(("seed %d: %s%s"):format(SEED, out, errors)) end
  return out, comma
end

describe("a number", function()
  after_each(shell.clean)

  local CLASSES = { "any bits, 17 digits", "any bits, shortest", "any 1 to 25 digits", "halfway, in full", "halfway, cut",
    "subnormal", "around the largest", "around the smallest", "2^53 and 10^22", "exponents around 27", "close products",
    "close quotients", "short ties", "19 digits and 64 bits", "zeros", "exponents", "costs", "integers" }

  -- Compare so many; false where there is no locale with a comma.
  local function compare(program, count)
    local out, comma = run(("%s %d %d"):format(program, count, SEED))
    assert.equal(comma and "," or ".", out:match "^decimal point: (.)\n")
    local total = 0
    for _, name in ipairs(CLASSES) do
      local compared = tonumber(out:match("\n(%d+) " .. name:gsub("%p", "%%%0") .. "\n"))
      assert.is_true(compared >= count / 100, name)
      total = total + compared
    end
    assert.equal(count, total)
    return comma
  end

  it("is the double strtod says, bit for bit, and the integer its digits say", function()
    if not compare(assert(compile("", "numbers", "csrc/json.c")), COUNT) then pending(COMMA) end
  end)

  it("is the same where no short cut is taken", function()
    if not compare(assert(compile("-DOPENROUTER_NO_FAST_NUMBERS", "numbers", "csrc/json.c")), COUNT / 20) then pending(COMMA) end
  end)

  it("is the same, and nothing else is read, says a sanitizer", function()
    local options = "-fsanitize=address,undefined -fno-sanitize-recover=all"
    if not compare(assert(compile(options, "numbers", "csrc/json.c")), COUNT / 50) then pending(COMMA) end
  end)

  it("is the same where a machine word has 32 bits", function()
    local program, errors = compile("-m32", "numbers", "csrc/json.c")
    if not program and (errors:find "cannot find" or errors:find "No such file") then
      pending "no C library for -m32 here (Debian: gcc-multilib)"
      return
    end
    if not compare(assert(program, errors), COUNT / 20) then pending(COMMA) end
  end)
end)

describe("an amount", function()
  after_each(shell.clean)

  -- Compare so many; false where there is no locale with a comma.
  local function compare(options, count)
    local program = assert(compile(options, "amounts", "csrc/money.c csrc/json.c"))
    local out, comma = run(("python3 spec/support/costs.py %d %d | %s"):format(count, SEED, program))
    local exact, rounded, overflow, refused = out:match "^(%d+) exact, (%d+) rounded, (%d+) overflow; (%d+) sums too large\n$"
    assert.equal(count, exact + rounded + overflow)
    for _, number in ipairs { exact, rounded, overflow, refused } do assert.is_true(tonumber(number) > count / 20) end
    return comma
  end

  it("is what Python's decimals say, and so are sums of them, to the 27th place", function()
    if not compare("", math.floor(COUNT / 10)) then pending(COMMA) end
  end)

  it("is the same, and nothing goes by luck, says a sanitizer", function()
    if not compare("-fsanitize=address,undefined -fno-sanitize-recover=all", math.floor(COUNT / 200)) then pending(COMMA) end
  end)
end)

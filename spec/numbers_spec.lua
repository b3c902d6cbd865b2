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

describe("a number", function()
  after_each(shell.clean)

  local COMMA = "no locale de_DE.UTF-8 here, nor what localedef needs to make it (Debian: locales)"
  local CLASSES = { "any bits, 17 digits", "any bits, shortest", "any 1 to 25 digits", "halfway, in full", "halfway, cut",
    "subnormal", "around the largest", "around the smallest", "2^53 and 10^22", "exponents around 27", "close products",
    "close quotients", "short ties", "19 digits and 64 bits", "zeros", "exponents", "costs", "integers" }

  -- Compare so many; false where there is no locale with a comma: it was done in "C" then.
  local function compare(program, count)
    local directory = shell.directory()
    os.execute("localedef -i de_DE -f UTF-8 " .. directory .. "/de_DE.UTF-8 >/dev/null 2>&1")
    local command = ("LOCPATH=%s %s %d %d "):format(directory, program, count, SEED)
    local status, out = shell.run(command .. "de_DE.UTF-8")
    local comma = status ~= 9
    if not comma then status, out = shell.run(command .. "C") end
    if status ~= 0 then error(("seed %d: %s"):format(SEED, out)) end
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

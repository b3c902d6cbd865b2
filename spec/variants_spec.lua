-- The core makes the same of every text however it is built: with the fast paths and without, by gcc and clang, on machines of
-- 32 and 64 bits, with the lowest byte of a word first or last, whether a char has a sign or not.
local corpus = require "spec.support.variants_corpus"
local shell = require "spec.support.shell"

if rawget(_G, "jit") then return end -- the programs have no Lua in them

local NO = {
  sse2 = "-DOPENROUTER_NO_SSE2", words = "-DOPENROUTER_NO_WORDS", prediction = "-DOPENROUTER_NO_PREDICTION",
  hash = "-DOPENROUTER_NO_FIELD_HASH", numbers = "-DOPENROUTER_NO_FAST_NUMBERS",
}
local SIMPLE = table.concat({ NO.sse2, NO.words, NO.prediction, NO.hash, NO.numbers }, " ")
local I386, S390X = "gcc -m32 -O2", "s390x-linux-gnu-gcc -O2 -static"
local BITS32 = "packages lib32gcc-12-dev and libc6-dev-i386"
local BIG_ENDIAN = "packages gcc-s390x-linux-gnu, libc6-dev-s390x-cross and qemu-user"

-- What each is called, how it is compiled, and what may be missing. The first is what the others are compared with.
local variants = {
  { "no fast path", "cc -O2 " .. SIMPLE },
  { "all fast paths", "cc -O2" },
  { "8 bytes at a time", "cc -O2 " .. NO.sse2 },
  { "byte by byte", "cc -O2 " .. NO.words },
  { "no prediction of members", "cc -O2 " .. NO.prediction },
  { "no hash of names", "cc -O2 " .. NO.hash },
  { "no fast numbers", "cc -O2 " .. NO.numbers },
  { "not optimized", "cc -O0" },
  { "optimized for this machine", "cc -O3 -march=native" },
  { "char with a sign", "cc -O2 -fsigned-char" },
  { "char without a sign", "cc -O2 -funsigned-char" },
  { "clang", "clang -O2", needs = "package clang" },
  { "32 bits", I386, needs = BITS32 },
  { "32 bits, no fast path", I386 .. " " .. SIMPLE, needs = BITS32 },
  { "32 bits, doubles with excess precision", I386 .. " -march=i686 -mno-sse -mfpmath=387", needs = BITS32 },
  { "32 bits, SSE2", I386 .. " -msse2 -mfpmath=sse", needs = BITS32 },
  { "highest byte first", S390X, needs = BIG_ENDIAN, runner = "qemu-s390x " },
  { "highest byte first, no fast path", S390X .. " " .. SIMPLE, needs = BIG_ENDIAN, runner = "qemu-s390x " },
}

local SOURCES = "spec/support/variants.c"
for _, name in ipairs { "fields", "hash", "histogram", "json", "money", "record", "sightings",
  "spend", "tally", "tally_dearest", "tally_group", "tally_key", "tally_merge", "tally_part", "tally_resolve", "utc",
  "zone" } do
  SOURCES = ("%s csrc/%s.c"):format(SOURCES, name)
end
local STRICT = " -std=c99 -Wall -Wextra -pedantic -Wshadow -Wundef -Werror -I csrc"

describe("the core", function()
  local directory

  -- The texts as variants.c reads them.
  local function write_corpus(texts)
    local parts = {}
    for _, text in ipairs(texts) do
      local n = #text
      parts[#parts + 1] = string.char(math.floor(n / 2 ^ 24), math.floor(n / 2 ^ 16) % 256, math.floor(n / 2 ^ 8) % 256, n % 256)
      parts[#parts + 1] = text
    end
    shell.write(directory .. "/corpus", table.concat(parts))
  end

  -- Whether there is all that it takes to build programs of this kind and run them. What is wrong with ours is no reason.
  local function has_tools(variant)
    local empty = shell.write(directory .. "/empty.c", "#include <stdint.h>\n#include <stdio.h>\nint main(void) { return 0; }\n")
    local command = "%s -o %s/empty %s -lm && %s%s/empty"
    return shell.run(command:format(variant[2], directory, empty, variant.runner or "", directory)) == 0
  end

  local function run_command(variant, numbers)
    return ("%s%s %s/corpus %s"):format(variant.runner or "", variant.program, directory, numbers or "")
  end

  -- Compile all of them and let them read the texts, two at a time; what each says is in files beside it.
  local function run_all()
    local commands = {}
    for i, variant in ipairs(variants) do
      variant.program = ("%s/variant%d"):format(directory, i)
      variant.there = not variant.needs or has_tools(variant)
      if variant.there then
        commands[#commands + 1] = ("{ %s%s -o %s %s -lm && %s >%s.out; } 2>%s.errors"):format(variant[2], STRICT, variant.program,
          SOURCES, run_command(variant), variant.program, variant.program)
      end
    end
    local path = shell.write(directory .. "/commands", table.concat(commands, "\0") .. "\0")
    shell.run(("xargs -0 -n 1 -P 2 sh -c <%s"):format(path))
  end

  setup(function()
    directory = shell.directory()
    write_corpus(corpus())
    run_all()
  end)
  teardown(shell.clean)

  local function output_of(variant)
    assert.equal("", shell.read(variant.program .. ".errors"))
    return shell.read(variant.program .. ".out")
  end

  -- The first line in which they differ, of each.
  local function first_difference(a, b)
    local lines = b:gmatch "[^\n]*"
    for line in a:gmatch "[^\n]*" do
      local other = lines()
      if line ~= other then return line, other end
    end
  end

  it("can be built without each of its fast paths", function()
    local _, known = shell.run "grep -hE '^#' csrc/*.[ch] | grep -oE 'OPENROUTER_NO_[A-Z0-9_]+' | LC_ALL=C sort -u"
    local _, portable = shell.run("make -s -f Makefile -f - print <<'END' | LC_ALL=C sort\n"
      .. "print:\n\t@printf '%s\\n' $(PORTABLE:-D%=%)\nEND")
    local switched_off = {}
    for macro in SIMPLE:gmatch "%-D(%S+)" do switched_off[#switched_off + 1] = macro .. "\n" end
    table.sort(switched_off)
    assert.same({ known, known }, { portable, table.concat(switched_off) })
  end)

  it("reads the texts", function()
    local _, lines = output_of(variants[1]):gsub("\n", "")
    assert.is_true(lines > 40000)
  end)

  for i = 2, #variants do
    local variant = variants[i]
    it("makes the same of them: " .. variant[1], function()
      if not variant.there then pending("needs " .. variant.needs) end
      local expected, got = output_of(variants[1]), output_of(variant)
      if got == expected then return end
      expected, got = first_difference(expected, got)
      local number = expected and expected:match "^(%d+) %x+$"
      if number then -- ask for all that is known of this text
        local _, simple = shell.run(run_command(variants[1], number))
        local _, other = shell.run(run_command(variant, number))
        expected, got = first_difference(simple, other)
      end
      error(("text %s: expected\n%s\ngot\n%s"):format(number or "none, the sums", expected, got), 0)
    end)
  end
end)

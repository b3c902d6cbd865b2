-- What a generation cost: the cases of csrc/spend.h, and money that is exact to 10^-27 USD (csrc/money.h).
local generation = require "openrouter.generation"
local openrouter = require "openrouter"

-- A record of these members; nil leaves one out.
local function record(total, usage, byok, upstream)
  local members = {}
  local function add(name, text)
    if text then members[#members + 1] = ('"%s":%s'):format(name, text) end
  end
  add("total_cost", total)
  add("usage", usage)
  add("is_byok", byok)
  add("upstream_inference_cost", upstream)
  return assert(openrouter.decode('{"data":{' .. table.concat(members, ",") .. "}}"))
end

-- spend as text, or nil and why
local function spend(...)
  local number, text = generation.spend(record(...))
  if number == nil then return nil, text end
  assert.equal("number", type(number))
  assert.equal(tonumber(text), number)
  return text
end

-- ---- which figures count ----------------------------------------------------------------------------------------------

local TOTAL, USAGE, UPSTREAM = "0.0015", "0.0027", "0.04"
local NO_COST = "neither total_cost nor usage has a figure"
local NO_UPSTREAM = "is_byok without an upstream_inference_cost"
local NO_BYOK = "is_byok is neither true nor false"
local COST_RANGE = "the cost is beyond the range of money"
local UPSTREAM_RANGE = "the upstream cost is beyond the range of money"

-- Every state a member can be in, spelt in every way that makes a difference.
local FIGURE = { figure = true }
local NONE = { null = true, absent = true, mismatch = true }
local ANY = { figure = true, zero = true, null = true, absent = true, mismatch = true, yes = true, no = true }
local function only(...)
  local set = {}
  for _, name in ipairs { ... } do set[name] = true end
  return set
end

local function cost_states(figure)
  return {
    { "figure", figure }, { "null", "null" }, { "absent", nil }, { "mismatch", '"0.1"' }, { "mismatch", "true" },
    { "mismatch", "[0.1]" }, { "mismatch", "{}" }, { "mismatch", "1e400" },
  }
end

local upstream_states = cost_states(UPSTREAM)
upstream_states[#upstream_states + 1] = { "zero", "0" }
upstream_states[#upstream_states + 1] = { "zero", "0.0" }

local byok_states = {
  { "yes", "true" }, { "no", "false" }, { "null", "null" }, { "absent", nil }, { "mismatch", "0" }, { "mismatch", "1" },
  { "mismatch", '"true"' }, { "mismatch", "{}" },
}

-- The table at the top of csrc/spend.h, line by line.
local cases = {
  -- number, total_cost, usage, is_byok, upstream_inference_cost, spend | nil, why
  { "1", FIGURE, ANY, only "no", ANY, "0.0015" },
  { "2", FIGURE, ANY, only "absent", ANY, "0.0015" },
  { "3", FIGURE, ANY, only "yes", FIGURE, "0.0415" },
  { "4", FIGURE, ANY, only "yes", only "zero", "0.0015" },
  { "5", FIGURE, ANY, only "yes", only "null", nil, NO_UPSTREAM },
  { "6", FIGURE, ANY, only "yes", only("absent", "mismatch"), nil, NO_UPSTREAM },
  { "7", FIGURE, ANY, only "null", ANY, nil, NO_BYOK },
  { "8", FIGURE, ANY, only "mismatch", ANY, nil, NO_BYOK },
  { "9", NONE, FIGURE, only("no", "absent"), ANY, "0.0027" },
  { "10", NONE, FIGURE, only "yes", FIGURE, "0.0427" },
  { "4 with usage", NONE, FIGURE, only "yes", only "zero", "0.0027" },
  { "5 and 6 with usage", NONE, FIGURE, only "yes", NONE, nil, NO_UPSTREAM },
  { "7 and 8 with usage", NONE, FIGURE, only("null", "mismatch"), ANY, nil, NO_BYOK },
  { "11", NONE, NONE, ANY, ANY, nil, NO_COST },
}

describe("the spend", function()
  -- every combination there is
  local combinations = {}
  for _, total in ipairs(cost_states(TOTAL)) do
    for _, usage in ipairs(cost_states(USAGE)) do
      for _, byok in ipairs(byok_states) do
        for _, upstream in ipairs(upstream_states) do
          combinations[#combinations + 1] = { total, usage, byok, upstream }
        end
      end
    end
  end

  local function belongs(combination, case)
    for i = 1, 4 do
      if not case[i + 1][combination[i][1]] then return false end
    end
    return true
  end

  for _, case in ipairs(cases) do
    it("is as said, case " .. case[1], function()
      local seen = 0
      for _, c in ipairs(combinations) do
        if belongs(c, case) then
          seen = seen + 1
          local text, why = spend(c[1][2], c[2][2], c[3][2], c[4][2])
          assert.equal(case[6], text)
          assert.equal(case[7], why)
        end
      end
      assert.is_true(seen > 0)
    end)
  end

  it("has one case for every combination", function()
    for _, c in ipairs(combinations) do
      local count = 0
      for _, case in ipairs(cases) do count = count + (belongs(c, case) and 1 or 0) end
      assert.equal(1, count)
    end
  end)

  -- case 12
  local LARGEST, TOO_LARGE = "170141183460.469231731687303715884105727", "170141183460.469231731687303715884105728"
  local ranges = {
    { "total_cost beyond the range", TOO_LARGE, nil, nil, nil, nil, COST_RANGE },
    { "total_cost beyond the range, usage not", "1e12", "1", nil, nil, nil, COST_RANGE },
    { "usage beyond the range", nil, "1e12", nil, nil, nil, COST_RANGE },
    { "usage beyond the range where it does not count", "1", "1e12", nil, nil, "1" },
    { "upstream beyond the range", "1", nil, "true", "1e12", nil, UPSTREAM_RANGE },
    { "upstream beyond the range where it does not count", "1", nil, "false", "1e12", "1" },
    { "a sum beyond the range", LARGEST, nil, "true", "1e-27", nil, UPSTREAM_RANGE },
    { "a sum below the range", "-1.7e11", nil, "true", "-1.7e11", nil, UPSTREAM_RANGE },
    { "the largest amount", LARGEST, nil, nil, nil, LARGEST },
    { "the smallest amount", "-" .. LARGEST, nil, nil, nil, "-" .. LARGEST },
    { "the largest sum", "170000000000", nil, "true", "141183460.469231731687303715884105727", LARGEST },
    { "sums with opposite signs", LARGEST, nil, "true", "-" .. LARGEST, "0" },
  }
  for _, case in ipairs(ranges) do
    it("is known or not, case 12: " .. case[1], function()
      local text, why = spend(case[2], case[3], case[4], case[5])
      assert.equal(case[6], text)
      assert.equal(case[7], why)
    end)
  end

  it("of free is 0, which is a figure", function()
    for _, zero in ipairs { "0", "0.0", "-0", "-0.0", "0e9", "0e-999999999999999999999999" } do
      assert.equal("0", spend(zero))
      assert.equal("0", spend(zero, nil, "true", zero))
      assert.equal(0, 1 / generation.spend(record(zero)) < 0 and -1 or 0) -- never -0
    end
  end)

  it("is what the last one says where a member comes twice", function()
    local gen = openrouter.decode '{"total_cost":1,"total_cost":2,"is_byok":true,"is_byok":false}'
    assert.equal("2", select(2, generation.spend(gen)))
    gen = openrouter.decode '{"total_cost":1,"total_cost":null}'
    assert.is_nil(generation.spend(gen))
  end)
end)

-- ---- amounts ----------------------------------------------------------------------------------------------------------

describe("an amount", function()
  local amounts = {
    { "0.00003452", "0.00003452" }, { "3.452e-05", "0.00003452" }, { "4.2e-7", "0.00000042" }, { "1E2", "100" },
    { "1.50", "1.5" }, { "42.0", "42" },
    { "-0.0000012", "-0.0000012" }, { "1e-27", "0.000000000000000000000000001" }, { "12345678901.000000000000000000000000001",
      "12345678901.000000000000000000000000001" }, { "0.1000000000000000055511151231257827", "0.100000000000000005551115123" },
    -- ties go to the even digit, anything more or less does not
    { "0.0000000000000000000000000005", "0" }, { "0.0000000000000000000000000015", "0.000000000000000000000000002" },
    { "0.0000000000000000000000000025", "0.000000000000000000000000002" },
    { "-0.0000000000000000000000000015", "-0.000000000000000000000000002" },
    { "0.00000000000000000000000000250000000000000000000000000000000001", "0.000000000000000000000000003" },
    { "0.00000000000000000000000000349999999999999999999999999999999999", "0.000000000000000000000000003" }, { "5e-28", "0" },
    { "5.0000000000000000000000000000000001e-28", "0.000000000000000000000000001" }, { "-5e-28", "0" },
    { "0.9999999999999999999999999995", "1" }, { "9.9999999999999999999999999995e0", "10" },
    { "1e-999999999999999999999999", "0" }, { "0." .. ("0"):rep(3000) .. "7", "0" },
    { ("9"):rep(11) .. ("0"):rep(3000) .. "e-3000", "99999999999" },
  }
  for _, case in ipairs(amounts) do
    it(case[1]:sub(1, 70) .. " is " .. case[2], function() assert.equal(case[2], spend(case[1])) end)
  end

  it("is not added up in doubles", function()
    assert.equal("0.3", spend("0.1", nil, "true", "0.2"))
    assert.equal(0.3, (generation.spend(record("0.1", nil, "true", "0.2"))))
    assert.equal("100000000000.000000000000000000000000001", spend("1e11", nil, "true", "1e-27"))
    assert.equal("0.000000000000000000000000001", spend("-1", nil, "true", "1.000000000000000000000000001"))
  end)

  it("rounds each figure by itself, then adds", function()
    assert.equal("0.000000000000000000000000004", spend("1.5e-27", nil, "true", "1.5e-27"))
    assert.equal("0", spend("5e-28", nil, "true", "5e-28"))
  end)

  it("comes out as Python's decimals say, twenty-five thousand times", function()
    local count, unknown, rounded = 0, 0, 0
    local pipe = assert(io.popen "python3 spec/support/costs.py 25000")
    for line in pipe:lines() do
      local total, upstream, one, both, lost = line:match "^(%S+)\t(%S+)\t(%S+)\t(%S+)\t(%S+)$"
      count = count + 1
      if (spend(total) or "-") ~= one then error(("%s is %s, not %s"):format(total, spend(total), one)) end
      local sum = spend(total, nil, "true", upstream) or "-"
      if sum ~= both then error(("%s + %s is %s, not %s"):format(total, upstream, sum, both)) end
      if one == "-" then unknown = unknown + 1 end

      -- what is rounded is a violation, what fits is none
      local found
      for _, violation in ipairs(generation.violations(record(total))) do
        if violation.field == "total_cost" then found = violation.expected end
      end
      local expected = one == "-" and "an amount below 170 billion USD" or lost == "1" and "at most 27 decimals" or nil
      if found ~= expected then error(("%s: %s, not %s"):format(total, found, expected)) end
      if lost == "1" then rounded = rounded + 1 end
    end
    pipe:close()
    assert.equal(25000, count)
    assert.is_true(unknown > 1000 and rounded > 5000)
  end)
end)

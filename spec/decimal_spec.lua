local decimal = require "openrouter.decimal"
local shell = require "spec.support.shell"

describe("decimal", function()
  after_each(shell.clean)

  it("subtracts and compares as Python's Decimal does", function()
    local path = shell.write(shell.directory() .. "/pairs.py", [[
import random
from decimal import Decimal, getcontext
getcontext().prec = 60
random.seed(20261101)

def amount():
    places = random.choice([0, 2, 9, 27, random.randint(1, 27)])
    whole = random.choice(["", str(random.randint(1, 9)), str(random.randint(1, 10 ** 10)), str(random.randint(1, 10 ** 24))])
    fraction = "".join(random.choice("0000001234567899") for _ in range(places))
    return random.choice(["", "", "-"]) + (whole or "0") + ("." + fraction if fraction else "")

def plain(d):
    text = format(d.normalize(), "f") if d else "0"
    return "0" if text == "-0" else text

for i in range(8000):
    a, b = amount(), amount()
    if i % 10 == 0:
        b = a + ("000" if "." in a else "")
    if i % 10 == 1 and "." in a and len(a.split(".")[1]) < 27:
        b = a + "1"
    x, y = Decimal(a), Decimal(b)
    print(a, b, plain(x - y), (x > y) - (x < y), (abs(x) > abs(y)) - (abs(x) < abs(y)))
]])
    local pipe = io.popen("python3 " .. path)
    local count, signs = 0, {}
    for line in pipe:lines() do
      local a, b, difference, order, absolute = line:match "^(%S+) (%S+) (%S+) (%S+) (%S+)$"
      local found = { decimal.subtract(a, b), decimal.compare(a, b), decimal.compare(decimal.absolute(a), decimal.absolute(b)) }
      assert.same({ line, difference, tonumber(order), tonumber(absolute) }, { line, found[1], found[2], found[3] })
      count, signs[order] = count + 1, true
    end
    pipe:close()
    assert.same({ 8000, { ["-1"] = true, ["0"] = true, ["1"] = true } }, { count, signs })
  end)

  it("goes on where the core has no more digits", function()
    assert.equal("340000000000", decimal.subtract("170000000000", "-170000000000"))
    assert.equal("-340000000000", decimal.subtract("-170000000000", "170000000000"))
    assert.equal("0.9", decimal.subtract("1000000000000", "999999999999.1"))
    assert.equal("0", decimal.subtract("-1000000000000", "-1000000000000.00"))
    assert.equal("999999999999.9", decimal.subtract("1000000000000", "1e-1"))
    assert.equal(1, decimal.compare("170000000000", "-170000000000"))
    assert.equal(-1, decimal.compare("-170000000000", "170000000000"))
    assert.equal(1, decimal.compare("200000000000", "5"))
  end)

  it("knows no amount in other text", function()
    for _, wrong in ipairs { "", "x", "1 ", "null", "1e30", "1000000000000.",
      "0001000000000000", "1000000000000x", "--1000000000000", ".5" } do
      assert.is_nil(decimal.compare(wrong, "1"))
      assert.is_nil(decimal.compare("1", wrong))
    end
  end)
end)

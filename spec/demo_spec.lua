-- `make demo` as a user sees it, and its total computed a second time: from the ids, in Python, with Decimal.
local cjson = require "cjson"
local shell = require "spec.support.shell"

describe("examples/demo", function()
  -- Two Luas may run this at the same time, so that not both can have build/demo.
  local DIRECTORY = os.getenv "OPENROUTER_BUILD" .. "/demo"
  local directory, environment
  before_each(function()
    directory = shell.directory()
    environment = ("TMPDIR=%s DEMO_DIR=%s"):format(directory, DIRECTORY)
  end)
  after_each(shell.clean)

  -- Nothing of the sandbox may be left: no directory, and nobody at its port.
  local function nothing_left(url)
    local _, left = shell.run("find " .. directory .. " -mindepth 1")
    assert.equal("", left)
    if url then
      local status = shell.run("curl -s -m 5 -o /dev/null " .. url)
      assert.equal(7, status) -- curl: could not connect
    end
  end

  it("fetches, reports and cleans up, twice in a row", function()
    for _ = 1, 2 do
      local status, out, err = shell.run(environment .. " examples/demo")
      assert.same({ 0, "3,997" }, { status, err:match "([%d,]+) records fetched" })
      assert.matches("\ntotal +3,997 ", out)
      assert.matches("3 generations have no record, because the lookup failed%.", out)
      assert.is_truthy(out:find("The ledger is " .. DIRECTORY .. "/costs.jsonl", 1, true))
      nothing_left(out:match "OPENROUTER_BASE_URL=(http://%S+)")
    end
  end)

  it("reports what Python computes from the ids, to the last digit", function()
    local status, out = shell.run(environment .. " examples/demo")
    assert.equal(0, status)
    local _, model = shell.run("grep -o 'generation=gen-[A-Za-z0-9-]*' " .. DIRECTORY .. "/app.log | cut -d= -f2 "
      .. "| grep -v status-404 | sort -u | python3 spec/support/sandbox_model.py --total")
    local count, _, unpriced, total = model:match "^(%d+) (%d+) (%d+) (%S+)\n$"
    local _, json = shell.run(shell.cost("report " .. DIRECTORY .. "/costs.jsonl --by model,day --format json"))
    local report = cjson.decode(json)
    local page = assert(io.open(DIRECTORY .. "/report.html")):read "*a"
    assert.is_truthy(page:find(('<data value="%s">'):format(total), 1, true))
    assert.same({ tonumber(count), tonumber(unpriced), total },
      { report.total.generations, report.total.unpriced, report.total.exact.spend })
    assert.is_true(report.total.unpriced > 0) -- the sandbox has such records, and they are not in the sum
    local shown = out:match "\ntotal +[%d,]+ +([%d.]+) "
    assert.equal(("%.6f"):format(tonumber(total)), shown)
  end)

  it("leaves nothing behind when it is interrupted, wherever it is", function()
    for _, lines in ipairs { 0, 1, 2, 4, 6, 13, 15, 16, 30 } do -- of what it has printed by then
      local log = directory .. ".log"
      shell.write(log, "")
      local status = shell.run(("%s python3 spec/support/interrupt.py %s %d sh -c 'exec examples/demo >%s 2>&1'")
        :format(environment, log, lines, log))
      local said = shell.read(log)
      os.remove(log)
      -- by its last lines it may have ended by itself before the signal came
      assert.same({ lines, 130 }, { lines, lines == 30 and status == 0 and 130 or status }, said)
      assert.not_matches("traceback", said)
      nothing_left(said:match "OPENROUTER_BASE_URL=(http://%S+)")
    end
  end)
end)

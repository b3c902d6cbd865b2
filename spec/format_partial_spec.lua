local openrouter = require "openrouter"
local partial = require "openrouter.format.partial"
local report = require "openrouter.report"

local function period(first, last, more)
  local made = more or {}
  made.first, made.last, made.tz = first, last, "UTC"
  return made
end

-- A report of a record at each of these times.
local function filled(options, ...)
  local r = report.new(options)
  for i, at in ipairs { ... } do
    r:add(assert(openrouter.decode(('{"id":"%d","created_at":"%s","usage":1,"model":"m"}'):format(i, at))))
  end
  return r
end

local function lines_with(text, what)
  local found = {}
  for line in text:gmatch "[^\n]+" do
    if line:find(what, 1, true) then found[#found + 1] = line end
  end
  return found
end

describe("a part of a period", function()
  local function of(dimension, value, ...) return partial.value(period(...), dimension, value) or "whole" end

  it("is what records do not reach over, to the day; of a day to the hour, of an hour to the minute", function()
    local first, last = "2026-10-01T09:12:00+02:00", "2026-11-29T22:59:59.5+01:00"
    for _, case in ipairs {
      { "whole", "month", "2026-10" }, { "to 2026-11-29", "month", "2026-11" }, { "whole", "month", "2026-12" },
      { "from 2026-10-01", "week", "2026-W40" }, { "whole", "week", "2026-W41" }, { "whole", "week", "2026-W48" },
      { "from 09:12", "day", "2026-10-01" }, { "whole", "day", "2026-10-02" }, { "to 22:59", "day", "2026-11-29" },
      { "from 09:12", "hour", "2026-10-01 09:00+02:00" }, { "whole", "hour", "2026-10-01 09:00+01:00" },
      { "whole", "hour", "2026-11-29 22:00+01:00" },
      { "whole", "day", "unknown" }, { "whole", "model", "2026-11-29" }, { "whole", "day", 7 },
    } do
      assert.equal(case[1], of(case[2], case[3], first, last), table.concat(case, " "))
    end
    assert.equal("from 12:00 to 13:30", of("day", "2026-11-29", "2026-11-29T12:00:00Z", "2026-11-29T13:30:00Z"))
    assert.equal("from 2026-11-03 to 2026-11-29", of("month", "2026-11", "2026-11-03T00:00:00Z", "2026-11-29T13:30:00Z"))
    assert.equal("from 12:01 to 12:30", of("hour", "2026-11-29 12:00+00:00", "2026-11-29T12:01:00Z", "2026-11-29T12:30:00Z"))
    assert.equal("whole", of("day", "2026-11-29"))
    assert.is_nil(partial.value(nil, "day", "2026-11-29"))
  end)

  it("is no day that was asked for and is over", function()
    local first, last = "2026-11-02T09:12:00Z", "2026-11-20T17:30:00Z"
    local function asked(since, upto, today)
      local of_it = period(first, last, { since = since, ["until"] = upto, today = today })
      return { partial.value(of_it, "day", "2026-11-02") or "whole", partial.value(of_it, "day", "2026-11-20") or "whole" }
    end
    assert.same({ "from 09:12", "to 17:30" }, asked(nil, nil, "2026-11-21"))
    assert.same({ "whole", "whole" }, asked("2026-11-02", "2026-11-20", "2026-11-21"))
    assert.same({ "whole", "to 17:30" }, asked("2026-11-02", "2026-11-20", "2026-11-20"))
    assert.same({ "whole", "to 17:30" }, asked("2026-W45", nil, "2026-11-21"))
    assert.same({ "from 09:12", "to 17:30" }, asked("7d", "2026-11-30", "2026-12-01"))
  end)
end)

describe("a report of times", function()
  local times = { "2026-09-10T10:00:00Z", "2026-10-10T10:00:00Z", "2026-11-30T10:00:00Z" }

  it("tells in text which are not whole", function()
    local text = filled({ by = "month", measures = "spend" }, times[1], times[2], times[3]):render "text"
    assert.same({ "2026-09*   1.00" }, lines_with(text, "2026-09* "))
    assert.same({ "2026-10    1.00" }, lines_with(text, "2026-10 "))
    assert.same({ "2026-11    1.00" }, lines_with(text, "2026-11 "))
    assert.same({ "* Records cover only part of 2026-09 (from 2026-09-10)." }, lines_with(text, "cover"))
    local narrow = filled({ by = "month,model", measures = "spend" }, times[1]):render("text", { width = 20 })
    assert.same({ "month: 2026-09*" }, lines_with(narrow, "month:"))
  end)

  it("tells in Markdown", function()
    local text = filled({ by = "model,day", measures = "spend" }, times[1], times[2]):render "markdown"
    assert.same({ "| `m` | `2026-09-10`\\* | 1.00 |", "| `m` | `2026-10-10`\\* | 1.00 |" }, lines_with(text, "`m`"))
    assert.same({ "\\* Records cover only part of 2026-09-10 (from 10:00), 2026-10-10 (to 10:00)." }, lines_with(text, "cover"))
  end)

  it("is as it is where all are whole, or there are none", function()
    for _, format in ipairs { "text", "markdown" } do
      for _, r in ipairs { filled({ by = "day" }, "2026-09-10T00:10:00Z", "2026-09-10T23:10:00Z"),
        filled({ by = "model" }, times[1]), filled { by = "day" } } do
        assert.same({}, lines_with(r:render(format), "cover"))
      end
    end
    assert.is_nil(filled({ by = "day" }, times[1]):render("csv"):find("*", 1, true))
    assert.is_nil(filled({ by = "day" }, times[1]):render("json"):find("*", 1, true))
  end)

  it("takes the last day that was asked for as a whole one, but for today", function()
    local now = require("openrouter.core").timestamp(require("openrouter.core").unix_time())
    local today = now:sub(1, 10)
    for _, tz in ipairs { "UTC", "Asia/Kathmandu" } do
      local r = filled({ by = "day", tz = tz, since = "2026-09-10", ["until"] = "2026-09-10" }, times[1])
      assert.same({}, lines_with(r:render "text", "cover"))
      local date = r:view().period.today
      assert.is_true(date == today or tz ~= "UTC" and date > today, date) -- it is never before UTC's there
    end
  end)
end)

local core = require "openrouter.core"
local period = require "openrouter.period"
local zone = require "openrouter.zone"

local NOW = core.parse_time "2026-11-21T12:00:00Z"

local function read(since, until_, tz)
  return period.read(since, until_, zone.open(tz or "UTC"), NOW)
end

local function seconds(text) return assert(core.parse_time(text)) end

describe("period", function()
  it("takes dates for whole days, of which until includes the last", function()
    assert.same({ first_day = 20758, last_day = 20787 }, read("2026-11-01", "2026-11-30"))
    assert.same({ first_day = 20758 }, read("2026-11-01", nil, "Europe/Berlin")) -- a day of the zone, whenever that begins
    assert.same({ last_day = 20758 }, read(nil, "2026-11-01"))
    assert.same({}, read())
    assert.same({ first_day = 20758, last_day = 20758 }, read("2026-11-01", "2026-11-01"))
  end)

  it("takes months, weeks and years for all of their days", function()
    local function day(text) return seconds(text .. "T00:00:00Z") / 86400 end
    for text, days in pairs { ["2026-10"] = { "2026-10-01", "2026-10-31" }, ["2026-12"] = { "2026-12-01", "2026-12-31" },
      ["2028-02"] = { "2028-02-01", "2028-02-29" }, ["2026-W44"] = { "2026-10-26", "2026-11-01" },
      ["2026"] = { "2026-01-01", "2026-12-31" }, ["1970"] = { "1970-01-01", "1970-12-31" } } do
      local first, last = day(days[1]), day(days[2])
      for _, tz in ipairs { "UTC", "Europe/Berlin", "Pacific/Kiritimati" } do
        assert.same({ first_day = first, last_day = last }, read(text, text, tz))
      end
      assert.same({ first_day = first }, read(text))
      assert.same({ last_day = last }, read(nil, text))
    end
    assert.same({ first_day = day "2026-10-01", last_day = day "2026-11-30" }, read("2026-10", "2026-11"))
    assert.same({ nil, "since '2026-11' is not before until '2026-10'" }, { read("2026-11", "2026-10") })
  end)

  it("takes times, as clocks of the zone show them or with an offset", function()
    assert.same({ since = seconds "2026-11-01T14:00:00Z", ["until"] = seconds "2026-11-01T15:30:05.5Z" },
      read("2026-11-01T14:00", "2026-11-01 15:30:05.5"))
    assert.same({ since = seconds "2026-11-01T14:00:00+01:00" }, read("2026-11-01 14:00", nil, "Europe/Berlin"))
    assert.same({ since = seconds "2026-11-01T14:00:00+05:30" }, read("2026-11-01T14:00+05:30", nil, "Europe/Berlin"))
    assert.same({ since = seconds "2026-11-01T14:00:00Z" }, read("2026-11-01T14:00:00Z", nil, "Europe/Berlin"))
    -- shown twice: the first time; never: when clocks go on
    assert.same({ since = seconds "2026-10-25T00:30:00Z" }, read("2026-10-25T02:30", nil, "Europe/Berlin"))
    assert.same({ since = seconds "2026-03-29T01:00:00Z" }, read("2026-03-29T02:30", nil, "Europe/Berlin"))
  end)

  it("takes how long ago", function()
    assert.same({ since = NOW - 7 * 86400, ["until"] = NOW - 36 * 3600 }, read("7d", "36h"))
    assert.same({ since = NOW - 4 * 7 * 86400 }, read("4w", nil, "Europe/Berlin"))
    assert.same({ since = NOW }, read "0d")
  end)

  it("says what is none of them", function()
    local forms = "a date (2026-11-01), a month, week or year (2026-11, 2026-W44, 2026), a time (2026-11-01T14:00, of the zone, "
      .. "or with an offset) or how long ago (36h, 7d, 4w)"
    for _, text in ipairs { "", "yesterday", "2026-13", "2026-1", "26", "20261", "2026-W54", "2026-02-29",
      "2026-13-01", "01.11.2026", "7", "d", "7 d", "-7d", "7m",
      "1.5d", "999999d", "2026-11-01T", "2026-11-01T14", "2026-11-01T24:00", "2026-11-01T14:60", "2026-11-01T14:00X",
      "2026-11-01T14:00+1", "20261101", " 2026-11-01", "2026-11-01\n" } do
      local shown = text:gsub("\n", "\\x0A")
      assert.same({ nil, ("since must be %s, not '%s'"):format(forms, shown) }, { read(text) })
      assert.same({ nil, ("until must be %s, not '%s'"):format(forms, shown) }, { read(nil, text) })
    end
    assert.same({ nil, "since must be a string, not a number" }, { read(20261101) })
    assert.same({ nil, "until must be a string, not a boolean" }, { read("7d", false) })
  end)

  it("says that nothing can be between the two", function()
    for _, pair in ipairs { { "2026-11-02", "2026-11-01" }, { "1d", "7d" }, { "7d", "7d" }, { "2026-11-22", "0d" },
      { "2026-11-01T14:00", "2026-11-01T14:00" }, { "2026-11-02T00:00", "2026-11-01" } } do
      assert.same({ nil, ("since '%s' is not before until '%s'"):format(pair[1], pair[2]) }, { read(pair[1], pair[2]) })
    end
    assert.is_truthy(read("2026-11-01T23:59", "2026-11-01"))
    assert.is_truthy(read("2026-11-01T23:30:00Z", "2026-11-02", "Europe/Berlin"))
    assert.is_nil((read("2026-11-01T23:30:00Z", "2026-11-01", "Europe/Berlin")))
    assert.is_truthy(read("0000-01-01", "9999-12-31", "Pacific/Kiritimati"))
  end)
end)

local core = require "openrouter.core"

describe("a time as text", function()
  local BEGUN = 1793863999 -- 2026-11-05T07:33:19Z

  it("is an RFC 3339 date and time, to the microsecond", function()
    for text, seconds in pairs {
      ["2026-11-05T07:33:19Z"] = BEGUN,
      ["2026-11-05t07:33:19z"] = BEGUN,
      ["2026-11-05 07:33:19Z"] = BEGUN,
      ["2026-11-05T07:33:19.5Z"] = BEGUN + 0.5,
      ["2026-11-05T07:33:19.760904+00:00"] = BEGUN + 0.760904,
      ["2026-11-05T07:33:19.7609049999999999999999999999999999999999Z"] = BEGUN + 0.760904,
      ["2026-11-05T07:33:19+05:30"] = BEGUN - 5.5 * 3600,
      ["2026-11-05T07:33:19.25-23:59"] = BEGUN + 0.25 + 86340,
      ["2024-02-29T23:59:60Z"] = 1709251200, -- a leap second is the next one's beginning
      ["2000-02-29T00:00:00Z"] = 951782400,
      ["1970-01-01T00:00:00Z"] = 0,
      ["1969-12-31T23:59:59.75Z"] = -0.25,
      ["0000-01-01T00:00:00Z"] = -62167219200,
      ["9999-12-31T23:59:59Z"] = 253402300799,
    } do
      assert.same({ text, seconds }, { text, core.parse_time(text) })
    end
  end)

  it("is refused where it is anything else", function()
    local whole = "2026-11-05T07:33:19.5+01:00"
    for cut = 1, #whole - 1 do assert.is_nil(core.parse_time(whole:sub(1, cut))) end
    for at = 1, #whole do
      local changed = whole:sub(1, at - 1) .. "x" .. whole:sub(at + 1)
      assert.same({ changed }, { changed, core.parse_time(changed) })
    end
    for _, text in ipairs {
      "", " 2026-11-05T07:33:19Z", "2026-11-05T07:33:19Z ", "2026-11-05T07:33:19ZZ", "2026-11-05T07:33:19\0Z",
      "2026-11-05T07:33:19",
      "2026-11-05T07:33:19.Z", "2026-11-05T07:33:19,5Z", "2026-11-05T07:33:19+0100", "2026-11-05T07:33:19+24:00",
      "2026-11-05T07:33:19+01:60", "2026-11-05T07:33:19+1:000", "2026-11-05T07:33:61Z", "2026-11-05T07:60:19Z",
      "2026-11-05T24:00:00Z",
      "2026-00-05T07:33:19Z", "2026-13-05T07:33:19Z", "2026-11-31T07:33:19Z", "2026-11-00T07:33:19Z", "2023-02-29T00:00:00Z",
      "1900-02-29T00:00:00Z", "+026-11-05T07:33:19Z", "-026-11-05T07:33:19Z", "2026-11-05T-7:33:19Z", "2026-11- 5T07:33:19Z",
    } do
      assert.same({ text }, { text, core.parse_time(text) })
    end
  end)
end)

local markdown = require "openrouter.format.markdown"
local views = require "spec.support.views"

local function view_of(values)
  local rows = {}
  for i, value in ipairs(values) do rows[i] = { model = value, spend = i, exact = { spend = i .. ".5" } } end
  return { dimensions = { "model" }, measures = { { name = "spend", unit = "USD" } }, rows = rows, omitted = views.NOTHING,
    total = { spend = 1e-9, exact = { spend = "0.000000001" } } }
end

-- The cell of the first column, as it is written.
local function cell(value)
  return markdown(view_of { value }):match "\n| ([^\n]*) | 1%.50 |\n"
end

-- What GitHub shows of such a cell: entities and bars are what they stand for, code has no other markup. Nil where the text is
-- not one whole piece of code.
local function shown(written)
  local code = written:match "^`([^`]+)`$"
  if code then return not code:find "[|\\]" and code or nil end
  code = written:match "^<code>(.*)</code>$"
  if not code or code:gsub("&#%d+;", ""):find "[^%w\128-\255]" then return nil end
  return (code:gsub("&#(%d+);", function(n) return string.char(tonumber(n)) end))
end

describe("Markdown format", function()
  it("is a table with figures to the right, a total, the period and what is omitted", function()
    local view = view_of { "openai/gpt-5", true }
    view.dimensions[2] = "context.team"
    view.rows[1]["context.team"], view.rows[2]["context.team"] = "a_b", "unknown"
    view.measures[2] = { name = "latency_p50", unit = "ms" }
    view.period = { tz = "UTC", first = "2026-11-01T00:00:03Z", last = "2026-11-02T00:00:00Z" }
    view.omitted = views.EVERYTHING
    local lines = {}
    for line in markdown(view):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
    assert.same({
      "| model | `context.team` | spend USD | latency_p50 ms |",
      "| :-- | :-- | --: | --: |",
      "| `openai/gpt-5` | `a_b` | 1.50 | - |",
      "| `true` | `unknown` | 2.50 | - |",
      "| **total** |  | **&lt;0.000001** | **-** |",
      "",
      "`Period: records from 2026-11-01T00:00:03Z to 2026-11-02T00:00:00Z, zone UTC.`",
      "",
      "- 1,234 generations are still open, without a record; by their responses they cost 1.25 USD, but 7 of them do not say.",
    }, { (table.unpack or unpack)(lines, 1, 9) })
    assert.equal("  - and 10 more", lines[#lines])
    assert.equal("  - `costs.jsonl:8: not a JSON object: not an object, at byte 1`", lines[#lines - 2])
  end)

  it("shows every text as it is", function()
    for _, text in ipairs { "<script>alert(1)</script>", "a|b", "*x*", "_x_", "@mention", "#1", "owner/repo#1", "`x`", "``",
      "a\\|b", "\\", "|", "a`b|c\\d*e*@f", "[a](http://b.c)", "https://a.b", "&amp;", "&#124;", ":smile:", "$x$", "~~x~~", "- a",
      "日本語|x",
      "a b", "`", "<!-- x", "x`<b>" } do
      assert.equal(text, shown(cell(text)), cell(text))
    end
    assert.equal("`a\\x0Ab`", cell("a\nb"):gsub("^<code>(.*)</code>$", "`%1`"):gsub("&#92;", "\\"))
    assert.equal('" x "', shown(cell " x "))
    assert.equal('`""`', cell "")
  end)

  it("is its closing words alone without dimensions and measures", function()
    assert.equal("- Nothing is left out.\n", markdown { dimensions = {}, measures = {}, rows = {}, total = { exact = {} },
      omitted = views.NOTHING })
  end)
end)

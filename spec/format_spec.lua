local cjson = require "cjson"
local json_format = require "openrouter.format.json"
local layout = require "openrouter.format.layout"
local openrouter = require "openrouter"
local report = require "openrouter.report"
local scope = require "openrouter.format.scope"
local shell = require "spec.support.shell"
local text_format = require "openrouter.format.text"
local views = require "spec.support.views"
local words = require "openrouter.format.words"

local unpack = table.unpack or unpack

local function filled(options, ...)
  local r = report.new(options)
  for _, text in ipairs { ... } do r:add(assert(openrouter.decode(text))) end
  return r
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

-- The cells of the last column of a text report, total included, header not.
local function last_column(r)
  local cells, in_table = {}, false
  for _, line in ipairs(lines_of(r:render "text")) do
    if line == "" then return cells end
    if line:find "^%-%-" then in_table = true
    elseif in_table then cells[#cells + 1] = line:match "(%S+)$" end
  end
end

local function ledger(...)
  local r = report.new { measures = "generations" }
  r:add_file(shell.write(shell.directory() .. "/costs\27.jsonl", table.concat({ ... }, "\n") .. "\n"))
  return r
end

describe("text format", function()
  after_each(shell.clean)

  it("is a table with a header, a total and what is left out", function()
    local r = filled({ by = "model,day", measures = "generations,spend,latency_p50,tokens_prompt" },
      '{"model":"vendor/a","created_at":"2026-11-20T00:00:00Z","usage":1234567.5,"latency":1000,"tokens_prompt":1234567}',
      '{"model":"b","created_at":"2026-11-21T23:00:00Z","usage":0.25,"latency":12}')
    assert.same({
      "                                                 latency_",
      "                                          spend       p50    tokens_",
      "model     day         generations           USD        ms     prompt",
      "--------  ----------  -----------  ------------  --------  ---------",
      "b         2026-11-21            1          0.25        12          -",
      "vendor/a  2026-11-20            1  1,234,567.50     1,004  1,234,567",
      "--------  ----------  -----------  ------------  --------  ---------",
      "total                           2  1,234,567.75        12  1,234,567",
      "",
      "Period: records from 2026-11-20T00:00:00Z to 2026-11-21T23:00:00Z, zone UTC.",
      "Nothing is left out.",
    }, lines_of(r:render "text"))
  end)

  it("is one line of numbers without dimensions, and a total of nothing without records", function()
    assert.same({ "             spend", "generations    USD", "-----------  -----", "          1   0.50", "",
      "Nothing is left out." },
      lines_of(filled({ measures = "generations,spend" }, '{"usage":0.5}'):render "text"))
    assert.same({ "       spend", "model    USD  cancelled", "-----  -----  ---------", "total      -          0", "",
      "Nothing is left out." },
      lines_of(report.new({ by = "model", measures = "spend,cancelled" }):render "text"))
  end)

  it("shows money with the places it needs, two to six, rounded half-even", function()
    local function shown(...)
      local records = { ... }
      for i, amount in ipairs(records) do records[i] = ('{"model":"m%d","total_cost":%s}'):format(i, amount) end
      local r = filled({ by = "model,day", measures = "total_cost" }, unpack(records))
      local cells = last_column(r)
      cells[#cells] = nil -- the total
      return table.concat(cells, " ")
    end
    assert.equal("1.00 2.50 3.25", shown("1", "2.5", "3.25"))
    assert.equal("1.000 0.125", shown("1", "0.125"))
    assert.equal("0.123456 0.123456 0.123458 0.123457",
      shown("0.1234561", "0.1234565", "0.1234575", "0.12345650000000000000001"))
    assert.equal("1.00", shown("0.9999995"))
    assert.equal("10.00", shown("9.9999999"))
    assert.equal("1,000,000,000.00", shown("999999999.9999999"))
    assert.equal("0.000001 0.000002", shown("0.0000009", "0.0000015"))
    assert.equal("<0.000001 >-0.000001 0.00 <0.000001", shown("1e-27", "-0.0000004", "0.0", "0.0000005"))
    assert.equal("-1,234.50 -0.000001", shown("-1234.5", "-0.0000012"):gsub("0000 ", " "))
  end)

  it("separates thousands", function()
    local cells = last_column(filled({ by = "model", measures = "tokens_prompt" }, '{"model":"a","tokens_prompt":999}',
      '{"model":"b","tokens_prompt":1000}', '{"model":"c","tokens_prompt":-1234567}'))
    assert.same({ "999", "1,000", "-1,234,567", "-1,232,568" }, cells)
  end)

  it("shows nothing a terminal would obey, and aligns what is not ASCII", function()
    local text = filled({ by = "model", measures = "generations" }, '{"model":"a\\u001b[31m\\n\\u0000\\u007f"}',
      '{"model":"\\u009b2J"}', '{"model":"\\u202egnp"}', '{"model":"\\u2066x\\u2028"}', '{"model":"日本é"}',
      '{"model":""}'):render "text"
    assert.is_nil(text:find "[%z\1-\9\11-\31\127]")
    for _, line in ipairs {
      '""                             1', "a\\x1B[31m\\x0A\\x00\\x7F           1", "\\u{9B}2J                       1",
      "\\u{202E}gnp                    1", "\\u{2066}x\\u{2028}              1", "日本é                          1",
    } do
      line = line:gsub(" +1$", "")
      assert.is_not_nil(text:find("\n" .. line, 1, true), line)
    end
    local ends = {}
    for _, line in ipairs(lines_of(text)) do
      local _, continuing = line:gsub("[\128-\191]", "")
      local _, wide = line:gsub("[日本]+", "") -- which takes a terminal four columns
      if line:find "  1$" then ends[#line - continuing + 2 * wide] = true end
    end
    assert.is_not_nil(next(ends))
    assert.is_nil(next(ends, next(ends)))
  end)

  it("cuts names that are too long for a table", function()
    local text = filled({ by = "model", measures = "generations" }, ('{"model":"%s"}'):format(("é"):rep(81)),
      ('{"model":"%s"}'):format(("x"):rep(80))):render "text"
    assert.is_not_nil(text:find("\n" .. ("é"):rep(40) .. "…" .. ("é"):rep(39) .. "  ", 1, true))
    assert.is_not_nil(text:find("\n" .. ("x"):rep(80) .. "  ", 1, true))
    local r = filled({ by = "model", measures = "generations" }, ('{"model":"%s"}'):format("begin" .. ("x"):rep(100) .. "end"))
    assert.matches("\nbeginx…xxxend            1\n", r:render("text", { width = 26 }), 1, true) -- in one place, however narrow
  end)

  it("shows numbers and booleans among the dimensions", function()
    local r = filled({ by = "app_id,streamed", measures = "generations" }, '{"app_id":12345678,"streamed":false}')
    local text = r:render "text"
    assert.is_not_nil(text:find("\n12345678  false               1\n", 1, true))
  end)

  it("ends with what is omitted", function()
    local r = ledger('{"id":"a"}', '{"id":"b"}', '{"id":"a","model":"x"}', '{"id":"b"}', '{"failed":"c"}', '{"pending":"d"}',
      '{"pending":"e"}', "nonsense", "[]")
    local lines = lines_of(r:render "text")
    local start = 5
    assert.equal("", lines[start - 1])
    assert.same({
      "2 generations are still open, without a record; what they cost is not known.",
      "1 generation has no record, because the lookup failed.",
      "2 generations have no known price: counted, but in no sum of spend.",
      "2 repeated records are not counted again; those of 1 id differ, and the one settled last counts.",
      "2 lines or records were skipped:",
    }, { unpack(lines, start, start + 4) })
    assert.matches("^  /[^\27]+/costs\\x1B%.jsonl:8: not a JSON object: .*$", lines[start + 5])
    assert.matches(":9: not a JSON object: not an object, at byte 1$", lines[start + 6])
    assert.is_nil(lines[start + 7])
  end)

  it("says what filters leave out", function()
    local function said(options, ...)
      local text = filled(options, ...):render "text"
      return (text:match "\n\n(.*)$":gsub("^Period: [^\n]*\n", ""))
    end
    local a = '{"model":"a","created_at":"2026-11-01T00:00:00Z","usage":1}'
    local b, c = '{"model":"b","usage":1}', '{"model":"a","usage":1}'
    assert.equal("2 generations are excluded by since, until or where.\n", said({ where = { model = "a" } }, a, b, b))
    assert.equal("1 generation is excluded by since, until or where.\n"
      .. "1 generation has no created_at, so since and until could not be applied: not counted.\n",
      said({ where = { model = "a" }, since = "2026-11-01" }, a, b, c))
    local text = filled({ where = { model = "a" }, since = "2026-11-01" }, a, b, c):render "json"
    assert.matches('"filtered":1,"undated":1,"changed":0', text, 1, true)
  end)

  it("names ten skipped lines and the number of the others", function()
    local lines = {}
    for i = 1, 1234 do lines[i] = "x" .. i end
    local text = ledger(unpack(lines)):render "text"
    assert.matches("\n1,234 lines or records were skipped:\n", text, 1, true)
    assert.matches(":10: [^\n]+\n  and 1,224 more\n$", text)
    assert.matches("\n1 line or record was skipped:\n  [^\n]+\n$", ledger("x"):render "text")
  end)
end)

-- ---- fitted to a terminal -------------------------------------------------------------------------------------------

-- What is hard to fit: many measures, wide scripts, long names, great amounts, a name of a file without a space in it.
local function awkward()
  local view = views.by_model { models = 9, omitted = views.EVERYTHING }
  for i, name in ipairs { ("日本語"):rep(20), ("x"):rep(300), "é\204\129\204\129/" .. ("ä"):rep(90), "", ("a b "):rep(30),
    "a\27[31m" .. ("\r"):rep(40), "\240\159\152\128\240\159\152\128" } do
    view.rows[i].model = name
  end
  view.rows[2].exact.spend, view.rows[2].spend = "-123456789.1234561", -123456789.1234561
  view.rows[3].exact.spend, view.rows[3].spend = nil, nil
  for i, row in ipairs(view.rows) do
    row.hour, row["context.department"], row.user = "2026-10-25 02:00+02:00", ("department "):rep(i), i
  end
  local omitted = {}
  for name, value in pairs(views.EVERYTHING) do omitted[name] = value end
  omitted.lines = { { file = ("directory/"):rep(30) .. "costs.jsonl", line = 7, reason = ("日"):rep(50) } }
  view.omitted = omitted
  return view
end

local function words_of(line)
  local found = {}
  for word in line:gmatch "%S+" do found[#found + 1] = word end
  return found
end

describe("text format for a terminal", function()
  local measures = views.by_model { models = 1 }.measures

  it("is never wider than it", function()
    for _, dimensions in ipairs { { "model" }, { "model", "context.department" }, { "hour", "user", "model" },
      { "hour", "model", "context.department", "user" }, {} } do
      for most = 40, 200 do
        local view = awkward()
        view.dimensions = dimensions
        if most % 2 == 0 then view.measures = { measures[2], measures[1] } end
        for _, line in ipairs(lines_of(text_format(view, { width = most }))) do
          if layout.width(line) > most then
            assert.equal(most, layout.width(line), ("%d columns, by %s: %s"):format(most, table.concat(dimensions, ","), line))
          end
        end
      end
    end
  end)

  it("leaves out the last measures for want of room, money never, and says so", function()
    local view = views.by_model { models = 8 }
    local function head(most)
      local lines = lines_of(text_format(view, { width = most }))
      return lines, table.concat(lines, " ")
    end
    local lines, text = head(60)
    assert.same({ "model", "generations", "USD" }, words_of(lines[2]))
    assert.matches("Not shown for want of room: native_tokens_prompt, native_tokens_completion, latency_p50, latency_p95, "
      .. "cancelled, failed_attempts, unpriced (a wider terminal has them, and --measures chooses).", text, 1, true)
    lines, text = head(40)
    assert.same({ "model", "USD" }, words_of(lines[2]))
    assert.matches("Not shown for want of room: generations, native", text, 1, true)
    for _, row in ipairs(view.rows) do assert.matches(words.money(row.exact.spend, 6), text, 1, true) end
    assert.is_nil(select(2, head(200)):find("Not shown", 1, true))
    assert.is_nil(text_format(view):find("Not shown", 1, true))
  end)

  it("cuts names in the middle, not times or figures", function()
    local view = views.by_model { models = 2 }
    view.measures, view.dimensions = { measures[2] }, { "hour", "model" }
    for _, row in ipairs(view.rows) do row.hour = "2026-10-25 02:00+02:00" end
    local text = text_format(view, { width = 50 })
    assert.matches("\n2026-10-25 02:00+02:00  anthrop…et-4.5  221.223348\n", text, 1, true)
  end)

  it("shows shares of spend as bars where there is room", function()
    local view = views.by_model { models = 3 }
    view.measures = { measures[2] }
    for i, exact in ipairs { "75", "24.5", "0.5" } do view.rows[i].exact.spend, view.rows[i].spend = exact, tonumber(exact) end
    view.total.exact.spend, view.total.spend = "100", 100
    local lines = lines_of(text_format(view, { width = 53 }))
    assert.same({ -- eleven columns are left for the longest bar
      "model                           USD  share",
      "---------------------------  ------  --------------",
      "anthropic/claude-sonnet-4.5   75.00   75% ████████▎",
      "openai/gpt-5                  24.50   25% ██▊",
      "google/gemini-2.5-pro          0.50   <1% ▏",
      "---------------------------  ------  --------------",
      "total                        100.00",
    }, { unpack(lines, 2, 8) })
    assert.is_nil(text_format(view):find("share", 1, true))
    assert.is_nil(text_format(view, { width = 46 }):find("share", 1, true))
    view.rows[3].exact.spend, view.rows[3].spend = "-1", -1
    assert.is_nil(text_format(view, { width = 80 }):find("share", 1, true))
  end)

  it("is a line for each figure where there is no room for a table", function()
    local view = views.by_model { models = 1 }
    view.measures = { measures[1], measures[2] }
    view.dimensions = { "model", "hour", "user", "context.team" }
    view.rows[1].hour, view.rows[1].user, view.rows[1]["context.team"] = "2026-10-25 02:00+02:00", "ann", "blue"
    local lines = lines_of(text_format(view, { width = 40 }))
    assert.same({ "model: anthropic/claude-sonnet-4.5", "hour: 2026-10-25 02:00+02:00", "user: ann", "context.team: blue",
      "generations: " .. words.count(view.rows[1].generations), "spend: " .. words.money(view.rows[1].exact.spend, 6) .. " USD",
      ("-"):rep(24), "total" }, { unpack(lines, 1, 8) })
  end)

  it("has colour where it is asked for alone, and takes no room for it", function()
    local view = awkward()
    local plain, painted = text_format(view, { width = 100 }), text_format(view, { width = 100, color = true })
    assert.is_nil(plain:find "\27")
    assert.matches("\n\27%[1mtotal[^\n]*\27%[22m\n", painted)
    assert.matches("\n\27%[2m%-%-[^\n]*%-\27%[22m\n", painted)
    assert.equal(plain, (painted:gsub("\27%[%d+m", "")))
  end)

  it("says what time it is about", function()
    local view = views.by_model { models = 1 }
    view.period["until"] = "2026-11-30"
    assert.matches("\n\nPeriod: since 2026-11-01, until 2026-11-30, records from 2026-11-01T00:00:03+01:00 "
      .. "to 2026-11-30T23:59:41+01:00, zone Europe/Berlin.\nNothing is left out.\n", text_format(view), 1, true)
    view.period = { tz = "UTC" }
    assert.matches("\n\nNothing is left out.\n", text_format(view), 1, true)
  end)
end)

describe("a report", function()
  it("comes in any format, which gets the options", function()
    local r = filled({ by = "model" }, '{"model":"a","usage":0.5,"latency":7}')
    for format, parts in pairs {
      text = { "\na  ", "\nNothing is left out.\n" },
      markdown = { "\n| `a` |", "\n- Nothing is left out.\n" },
      csv = { "\ngroup,a,1,0.5,", ",instant_unknown,0\r\n" },
      json = { '\n{"model":"a",', '"lines":[]}}\n' },
      html = { "<bdi>a</bdi>", "<li>Nothing is left out.</li></ul></section></main></body></html>\n" },
    } do
      local text = r:render(format)
      assert.matches(parts[1], text, 1, true)
      assert.equal(parts[2], text:sub(-#parts[2]))
    end
    for _, line in ipairs(lines_of(r:render("text", { width = 50 }))) do assert.is_true(#line <= 50, line) end
    assert.matches("\27[1mtotal", r:render("text", { color = true }), 1, true)
  end)
end)

describe("what is omitted", function()
  local function said(omitted)
    local all = {}
    for name, value in pairs(views.NOTHING) do all[name] = value end
    for name, value in pairs(omitted) do all[name] = value end
    return scope.omitted(all)[1]
  end

  it("says what open generations cost, as far as that is known", function()
    local open = "2 generations are still open, without a record"
    assert.equal(open .. ".", said { pending = 2 })
    assert.equal(open .. "; what they cost is not known.", said { pending = 2, instant_unknown = 2, exact = {} })
    assert.equal(open .. "; by their responses they cost 1.20 USD.",
      said { pending = 2, instant_unknown = 0, instant_cost = 1.2, exact = { instant_cost = "1.2" } })
    assert.equal(open .. "; by their responses they cost 0.000012 USD, but 1 of them does not say.",
      said { pending = 2, instant_unknown = 1, instant_cost = 1.2e-5, exact = { instant_cost = "0.000012" } })
    assert.equal("1 generation is still open, without a record; by its response it cost 1.20 USD.",
      said { pending = 1, instant_unknown = 0, exact = { instant_cost = "1.2" } })
    assert.equal("1 generation is still open, without a record; what it cost is not known.",
      said { pending = 1, instant_unknown = 1, exact = {} })
    assert.equal(open .. "; by their responses they cost <0.000001 USD, but 2 of them do not say.",
      said { pending = 2, instant_unknown = 2, instant_cost = 1e-9, exact = { instant_cost = "0.000000001" } })
  end)
end)

describe("words of formats", function()
  it("show names of which nothing would be seen, and where they begin and end", function()
    for name, shown in pairs { [""] = '""', ["  "] = '"  "', ["\194\160"] = '"\\u{A0}"', ["\227\128\128 "] = '"\\u{3000} "',
      ["\226\128\139"] = '"\\u{200B}"', ["\239\184\143"] = '"\\u{FE0F}"', ["\243\160\129\129"] = '"\\u{E0041}"',
      [" a"] = '" a"', ["a "] = '"a "', ["a  b"] = "a  b", ["é"] = "é", ["\240\159\152\128"] = "\240\159\152\128", ["."] = ".",
      ["\9"] = "\\x09", ["日"] = "日", ["\226\157\164\239\184\143"] = "\226\157\164\239\184\143" } do
      assert.equal(shown, words.name(name))
    end
    assert.same({ "7", "true" }, { words.name(7), words.name(true) })
    local r = filled({ by = "model", measures = "generations" }, '{"model":"  "}')
    assert.matches('\n"  " ', r:render "text", 1, true)
    assert.matches('\n| `"  "` |', r:render "markdown", 1, true)
    assert.matches('<bdi>&quot;  &quot;</bdi>', r:render "html", 1, true)
    assert.matches('\r\ngroup,"  ",1,', r:render "csv", 1, true)
    assert.matches('"model":"  "', r:render "json", 1, true)
  end)

  it("know how wide text is, and cut it to that", function()
    assert.same({ 1, 4, 1, 2, 0 }, { layout.width "é", layout.width "日本", layout.width "e\204\129",
      layout.width "\240\159\152\128", layout.width "" })
    -- as wcwidth of the C library has it
    for text, width in pairs { ["हिन्दी"] = 5, ["ไทยที่"] = 4, ["\227\129\139\227\130\153"] = 2, ["⚡✅"] = 4, ["❤✈"] = 2,
      ["\240\159\135\169\240\159\135\170"] = 2, ["\240\159\140\161"] = 1, ["\226\128\139"] = 0, ["한국어"] = 6, ["ｗ"] = 2,
      ["\225\132\146\225\133\161"] = 2, ["\243\160\129\129"] = 0, ["\240\160\128\128"] = 2, ["\244\128\128\128"] = 1 } do
      assert.equal(width, layout.width(text), text)
    end
    assert.same({ "ab", "cd" }, { layout.split("abcd", 2) })
    assert.same({ "日", "本" }, { layout.split("日本", 3) })
    assert.equal("abc…gh", layout.shorten("abcdefgh", 6))
    assert.equal("日…本", layout.shorten("日日日本", 6))
    assert.equal("abcdefgh", layout.shorten("abcdefgh", 8))
    for most = 2, 12 do assert.is_true(layout.width(layout.shorten("日本語日本語日本語", most)) <= most) end
  end)

  it("add amounts exactly", function()
    assert.equal("0.3", words.sum("0.1", "0.2"))
    assert.equal("-0.000000000000000000000000001", words.sum("1", "-1.000000000000000000000000001"))
    assert.equal("1", words.sum(nil, "1"))
    assert.equal("1", words.sum("1", nil))
    assert.is_nil(words.sum(nil, nil))
    assert.is_nil(words.sum("170000000000", "170000000000"))
  end)
end)

describe("JSON format", function()
  after_each(shell.clean)

  it("has everything, in the declaration's order", function()
    local r = filled({ by = "model,streamed,app_id", measures = "generations,spend,cache_discount,latency_p50" },
      '{"id":"a"}', '{"settled":"a","at":"2026-11-20T10:00:00Z","answer":{'
        .. '"id":"a","model":"a\\"\\u0007é","streamed":true,"app_id":7,"total_cost":0.1,"latency":0}}',
      '{"id":"b","model":"b","total_cost":0.20000000000000000001}')
    assert.equal(([[
{"period":{"since":null,"until":null,"tz":"UTC","first":null,"last":null},
"rows":[
{"model":"b","streamed":"unknown","app_id":"unknown","generations":1,"spend":0.2,"cache_discount":null,"latency_p50":null,
~"exact":{"spend":"0.20000000000000000001","cache_discount":null}},
{"model":"a\"\u0007é","streamed":true,"app_id":7,"generations":1,"spend":0.1,"cache_discount":null,"latency_p50":0,
~"exact":{"spend":"0.1","cache_discount":null}}],
"total":{"generations":2,"spend":0.3,"cache_discount":null,"latency_p50":0,
~"exact":{"spend":"0.30000000000000000001","cache_discount":null}},
"omitted":{"pending":0,"failed":0,"unpriced":0,"skipped":0,"duplicates":1,"conflicts":1,"filtered":0,"undated":0,
~"changed":0,"instant_cost":null,"instant_unknown":0,"exact":{"instant_cost":null},"lines":[]}}
]]):gsub("\n~", ""), r:render "json")
  end)

  it("is valid for any names and sums", function()
    local r = filled({ by = "model,context.a\"b", measures = "spend,tokens_prompt,latency_p99" },
      '{"model":"\\u2028\\\\\\u0000"}', '{"tokens_prompt":9223372036854775807}',
      '{"tokens_prompt":9223372036854775807}', '{"latency":0.001,"usage":1e-27}')
    r:add_file(shell.write(shell.directory() .. "/\255\n", "x\n"))
    local decoded = cjson.decode(r:render "json")
    assert.equal(2, #decoded.rows)
    assert.equal("1e-27", ("%.0e"):format(decoded.total.spend))
    assert.equal("0.000000000000000000000000001", decoded.total.exact.spend)
    assert.equal(2 * 2 ^ 63, decoded.total.tokens_prompt)
    assert.equal("unknown", decoded.rows[1]['context.a"b'])
    assert.matches("/\239\191\189\n$", decoded.omitted.lines[1].file)
    assert.same({ rows = {}, total = { exact = {} } }, (function()
      local empty = cjson.decode(report.new({ by = "day", measures = {} }):render "json")
      return { rows = empty.rows, total = empty.total }
    end)())
  end)

  it("has the period, what open ones cost, and what the page shows besides", function()
    local view = views.by_model { page = true, days = 2, models = 1, providers = 1, buckets = 1, omitted = views.EVERYTHING }
    view.page.days[1].exact.spend, view.page.days[1].spend = nil, nil
    local text = json_format(view)
    local decoded = cjson.decode(text)
    assert.same({ since = "2026-11-01", ["until"] = cjson.null, tz = "Europe/Berlin", first = "2026-11-01T00:00:03+01:00",
      last = "2026-11-30T23:59:41+01:00" }, decoded.period)
    assert.same({ 1.25, "1.2500001", 7 },
      { decoded.omitted.instant_cost, decoded.omitted.exact.instant_cost, decoded.omitted.instant_unknown })
    local page = decoded.page
    assert.same({ cjson.null, cjson.null, view.page.days[1].exact.cache_discount, view.page.days[1].generations },
      { page.days[1].spend, page.days[1].exact.spend, page.days[1].exact.cache_discount, page.days[1].generations })
    assert.same({ "2026-11-30", view.page.days[2].exact.spend }, { page.days[2].day, page.days[2].exact.spend })
    assert.same(view.page.models[1], page.models[1])
    assert.equal("Anthropic", page.providers[1].provider_name)
    assert.same(view.page.health, page.health)
    assert.same(view.page.latency[1].count, page.latency[1].count)
    assert.same(view.page.dearest[1].exact, page.dearest[1].exact)
    assert.same(view.page.total.exact, page.total.exact)
    assert.same(view.page.told, page.told)
    view.period, view.page, view.omitted = nil, nil, views.NOTHING
    assert.matches('^{"rows":', json_format(view))
    assert.is_nil(json_format(view):find("instant", 1, true))
  end)
end)

local cjson = require "cjson"
local openrouter = require "openrouter"
local report = require "openrouter.report"
local shell = require "spec.support.shell"

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
      '{"model":"b","created_at":"2026-11-21T00:00:00Z","usage":0.25,"latency":12}')
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
    assert.is_not_nil(text:find("\n" .. ("é"):rep(79) .. "…  ", 1, true))
    assert.is_not_nil(text:find("\n" .. ("x"):rep(80) .. "  ", 1, true))
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
      "2 generations are still open, without a record.",
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
      return text:match "\n\n(.*)$"
    end
    local a = '{"model":"a","created_at":"2026-11-01T00:00:00Z","usage":1}'
    local b, c = '{"model":"b","usage":1}', '{"model":"a","usage":1}'
    assert.equal("2 generations are not of those asked for (since, until, where).\n", said({ where = { model = "a" } }, a, b, b))
    assert.equal("1 generation is not of those asked for (since, until, where).\n"
      .. "1 generation has no time of creation, and may be outside of since and until: not counted.\n",
      said({ where = { model = "a" }, since = "2026-11-01" }, a, b, c))
    local text = filled({ where = { model = "a" }, since = "2026-11-01" }, a, b, c):render "json"
    assert.matches('"filtered":1,"undated":1,"lines"', text, 1, true)
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

describe("JSON format", function()
  after_each(shell.clean)

  it("has everything, in the declaration's order", function()
    local r = filled({ by = "model,streamed,app_id", measures = "generations,spend,cache_discount,latency_p50" },
      '{"id":"a"}', '{"settled":"a","at":"2026-11-20T10:00:00Z","answer":{'
        .. '"id":"a","model":"a\\"\\u0007é","streamed":true,"app_id":7,"total_cost":0.1,"latency":0}}',
      '{"id":"b","model":"b","total_cost":0.20000000000000000001}')
    assert.equal(([[
{"rows":[
{"model":"b","streamed":"unknown","app_id":"unknown","generations":1,"spend":0.2,"cache_discount":null,"latency_p50":null,
~"exact":{"spend":"0.20000000000000000001","cache_discount":null}},
{"model":"a\"\u0007é","streamed":true,"app_id":7,"generations":1,"spend":0.1,"cache_discount":null,"latency_p50":0,
~"exact":{"spend":"0.1","cache_discount":null}}],
"total":{"generations":2,"spend":0.3,"cache_discount":null,"latency_p50":0,
~"exact":{"spend":"0.30000000000000000001","cache_discount":null}},
"omitted":{"pending":0,"failed":0,"unpriced":0,"skipped":0,"duplicates":1,"conflicts":1,"filtered":0,"undated":0,"lines":[]}}
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
end)

local errors = require "openrouter.errors"
local openrouter = require "openrouter"
local printable = require "openrouter.printable"
local report = require "openrouter.report"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"

-- What a terminal or a page would obey, as bytes, as it is shown, and in JSON: Unicode's Bidi_Control, whole; its line ends; C0
-- and C1.
local OBEYED = {}
for _, point in ipairs { "61C", "200E", "200F", "202A", "202B", "202C", "202D", "202E", "2066", "2067", "2068", "2069", "2028",
  "2029", "1B", "0D", "7F", "9B" } do
  local shown = tonumber(point, 16) < 128 and "\\x" .. point or ("\\u{%s}"):format(point)
  local raw = openrouter.decode(('{"model":"\\u%04x"}'):format(tonumber(point, 16))).model
  OBEYED[#OBEYED + 1] = { raw = raw, shown = shown, json = raw:find "[%z\1-\31]" and "\\u00" .. point or raw }
end
local function all(form)
  local parts = {}
  for i, control in ipairs(OBEYED) do parts[i] = control[form] end
  return table.concat(parts)
end

local function times(text, part)
  local n, at = 0, 0
  repeat
    at = text:find(part, at + 1, true)
    n = n + (at and 1 or 0)
  until not at
  return n
end

local function assert_harmless(text)
  for _, control in ipairs(OBEYED) do assert.same({ control.shown, 0 }, { control.shown, times(text, control.raw) }) end
  assert.same({ "\255", 0 }, { "\255", times(text, "\255") })
end

describe("text from outside", function()
  after_each(shell.clean)

  it("keeps what is harmless", function()
    for _, text in ipairs { "", "a b", "é日本\240\159\152\128", "שלום", "\194\160", "\226\128\166" } do
      assert.equal(text, printable.line(text))
    end
  end)

  it("has all spelt out that a terminal would obey", function()
    assert.equal(all "shown" .. "\\x00\\x0A\\u{80}\\u{9F}", printable.line(all "raw" .. "\0\n\194\128\194\159"))
    assert_harmless(printable.line(all "raw"))
  end)

  it("has bytes spelt out that are not UTF-8, and no others", function()
    assert.equal("\\xFFa\\xC3", printable.line "\255a\195")
    assert.equal("\\xC0\\x80 \\xED\\xA0\\x80 \\xF4\\x90\\x80\\x80", printable.line "\192\128 \237\160\128 \244\144\128\128")
    assert.equal("\\x80é", printable.line "\128é")
  end)

  it("is valid where each of its characters is", function()
    local EDGES = { 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2, 0x41 }
    local texts = {}
    for lead = 0x80, 0xFF do
      for _, second in ipairs(EDGES) do
        for _, tail in ipairs { "", "\128", "\191", "\128\191", "\191\128\128" } do
          texts[#texts + 1] = string.char(lead, second) .. tail
        end
      end
    end
    texts[#texts + 1] = "\224\194\128\129\130" -- what is left when the middle is taken out is no character
    for _, text in ipairs(texts) do
      local rest, valid = text, true
      while rest ~= "" and valid do
        local size = 4
        while size > 0 and not printable.code_point(rest:sub(1, size)) do size = size - 1 end
        valid, rest = size > 0, rest:sub(size + 1)
      end
      assert.same({ text, valid }, { text, printable.line(text):find "\\x" == nil })
    end
  end)

  it("is harmless in errors", function()
    assert.equal(all "shown" .. "\\xFF", errors.printable(all "raw" .. "\255"))
    local text = tostring(errors.new("server", all "raw", { id = "\255" .. all "raw" }))
    assert.equal(2, times(text, all "shown"))
    assert_harmless(text)
  end)

  it("is harmless where get shows it: values, names, attempts and refusals", function()
    local directory = shell.directory()
    local server = servers.start(("python3 spec/support/canned.py %s \"$READY\""):format(directory))
    finally(function() server:stop() end)
    local function get(status, text)
      shell.write(directory .. "/generation", status .. "\n" .. text:gsub("@", all "json"))
      return shell.run(("OPENROUTER_API_KEY=k OPENROUTER_BASE_URL=%s %s"):format(server.ready:match "%S+",
        shell.cost "get gen-1"))
    end
    local status, out, err = get(200, '{"data":{"id":"gen-1","model":"@","@":1,"list":["@"],'
      .. '"provider_responses":[{"provider_name":"@","status":"@","latency":1}]}}')
    assert.same({ 0, "" }, { status, err })
    assert.equal(4, times(out, all "shown"), out) -- and in JSON texts, where escapes are shown as escapes
    assert_harmless(out)
    status, out, err = get(403, '{"error":{"code":403,"message":"@"}}')
    assert.same({ 3, "", 1 }, { status, out, times(err, all "shown") })
    assert_harmless(err)
  end)

  it("is harmless in reports", function()
    local r = report.new { by = "context.user", measures = "spend" }
    for i, control in ipairs(OBEYED) do
      r:add(assert(openrouter.decode(('{"settled":"gen-%d","at":"2026-11-20T10:00:00Z","context":{"user":"<%s>"},'
        .. '"answer":{"data":{"id":"gen-%d","total_cost":1}}}'):format(i, control.json, i))))
    end
    assert(r:add_file(shell.write(shell.directory() .. "/\255" .. all "raw" .. ".jsonl", "no record\n")))
    for _, format in ipairs { "text", "markdown", "html", "csv" } do
      local text = r:render(format):gsub("<wbr>", ""):gsub("&#(%d+);", string.char):gsub("&lt;", "<"):gsub("&gt;", ">")
        :gsub("\r\n", "\n")
      for _, control in ipairs(OBEYED) do assert.equal(1, times(text, ("<%s>"):format(control.shown)), format .. text) end
      assert.equal(1, times(text:gsub("\n +", ""), "/\\xFF" .. all "shown" .. ".jsonl:1"))
      assert_harmless(text)
    end
  end)
end)

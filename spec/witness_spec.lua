local cjson = require "cjson"
local openrouter = require "openrouter"
local errors = require "openrouter.errors"
local witness = require "openrouter.witness"

describe("witness", function()
  local DAY = 86400
  local FROM = 1793491200 -- 2026-11-01T00:00:00Z

  --- A client that gets these answers: texts, or functions of what is asked.
  local function client(answer)
    local asked = {}
    local function ask(_, what, more)
      asked[#asked + 1] = what
      local text = type(answer) == "function" and answer(what, more) or answer
      return openrouter.decode(text)
    end
    return { activity = ask, analytics = ask, asked = asked }
  end

  local function activity_row(changes)
    local row = { date = "2026-11-01", model = "openai/gpt-4.1", model_permaslug = "openai/gpt-4.1-2025-04-14",
      endpoint_id = "550e8400", provider_name = "OpenAI", usage = "@0.0150", byok_usage_inference = "@1.2e-7", requests = 5,
      prompt_tokens = 50, completion_tokens = 125, reasoning_tokens = 25 }
    for name, value in pairs(changes or {}) do row[name] = value end
    return (cjson.encode(row):gsub('"@([^"]*)"', "%1")) -- @: as spelt here
  end

  local function activity(text)
    return witness.activity(client(text), "2026-11-01")
  end

  local function analytics_row(changes)
    local row = { date__day = "2026-11-01", model = "openai/gpt-4.1", request_count = "1523", credits_usage = "@4.270",
      byok_usage = cjson.null, tokens_prompt = "10", tokens_completion = 20, reasoning_tokens = "0" }
    for name, value in pairs(changes or {}) do row[name] = value end
    return (cjson.encode(row):gsub('"@([^"]*)"', "%1"))
  end

  local function answer(rows, metadata)
    return ('{"data":{"data":[%s],"metadata":%s}}'):format(table.concat(rows, ","),
      metadata or ('{"query_time_ms":142,"row_count":%d,"truncated":false}'):format(#rows))
  end

  local function analytics(text)
    return witness.analytics(client(text), FROM, FROM + DAY)
  end

  describe("/activity", function()
    it("is read to the last digit", function()
      local rows = assert(activity('{"data":[' .. activity_row() .. "]}"))
      assert.same({ { day = "2026-11-01", model = "openai/gpt-4.1-2025-04-14", alias = "openai/gpt-4.1", requests = 5,
        usage = "0.015", byok = "0.00000012", prompt = 50, completion = 125, reasoning = 25 } }, rows)
      rows = assert(activity('{"data":[' .. activity_row { usage = "@0.1234567890123456789012345" } .. "]}"))
      assert.equal("0.1234567890123456789012345", rows[1].usage)
    end)

    it("may have nothing, members nobody knows, and no permanent name", function()
      assert.same({}, activity '{"data":[]}')
      assert.same({}, activity '{"data":[],"total_count":0}')
      local row = activity_row { colour = { "red" }, model_permaslug = cjson.null, requests = "@5.0" }
      local rows = assert(activity('{"data":[' .. row .. '],"colour":{"a":1}}'))
      assert.same({ "openai/gpt-4.1", 5 }, { rows[1].model, rows[1].requests })
    end)

    it("asks for one day, of one key", function()
      local asked
      witness.activity({ activity = function(_, day, key) asked = { day, key } end }, "2026-11-01", "ab12")
      assert.same({ "2026-11-01", "ab12" }, asked)
    end)

    it("is refused where it is not understood", function()
      local whole = activity_row()
      local wrong = {
        "{}", '{"data":null}', '{"data":{}}', '{"data":{"data":{}}}', '{"data":"x"}', '{"rows":[]}', '{"data":[1]}',
        '{"data":{"data":[],"metadata":{"truncated":true}}}', '{"data":[],"pagination":{"a":{"has_more":true}}}',
        '{"data":[null]}', ('{"data":[%s,null,%s]}'):format(whole, whole), '{"data":[[]]}', '{"data":[{}]}',
        '{"data":[' .. whole .. '],"has_more":true}', '{"data":[],"next":"abc"}', '{"data":[],"next_cursor":1}',
        '{"data":[' .. whole .. '],"total_count":2}', '{"data":[],"total_count":"0"}', '{"data":[],"truncated":true}',
        '{"error":{"code":500,"message":"no"}}', "[" .. whole .. "]", "<html>", "",
        '{"data":[' .. whole,
      }
      for _, changes in ipairs {
        { date = "2026-11-02" }, { date = cjson.null }, { date = 20261101 }, { model = "" }, { model = cjson.null },
        { usage = cjson.null }, { usage = "a lot" }, { usage = {} }, { usage = true }, { usage = "@1e99" }, { usage = "" },
        { byok_usage_inference = cjson.null }, { requests = cjson.null }, { requests = "@1.5" }, { requests = -1 },
        { requests = "@1e3" }, { requests = "@12345678901234567890" }, { prompt_tokens = "x" }, { completion_tokens = false },
        { reasoning_tokens = cjson.null },
      } do
        wrong[#wrong + 1] = '{"data":[' .. whole .. "," .. activity_row(changes) .. "]}"
      end
      for _, name in ipairs { "usage", "byok_usage_inference", "requests", "prompt_tokens", "date", "model" } do
        wrong[#wrong + 1] = '{"data":[' .. whole:gsub('"' .. name .. '":', '"was_' .. name .. '":') .. "]}"
      end
      for _, text in ipairs(wrong) do
        local rows, err = activity(text)
        assert.is_nil(rows, text)
        assert.is_string(err.message, text)
        assert.equal("bad_answer", text:find '"error"' and "bad_answer" or err.kind, text)
      end
      local _, err = activity('{"data":[' .. activity_row { usage = "\27[2J" } .. "]}")
      assert.equal("bad_answer: /activity of 2026-11-01: row 1: usage is \"\\u001b[2J\"; it is not compared, "
        .. "since its form is not the one this knows", tostring(err))
    end)

    it("gives the client's errors on", function()
      local trouble = errors.new("forbidden", "Only management keys can perform this operation")
      local rows, err = witness.activity({ activity = function() return nil, trouble end }, "2026-11-01")
      assert.same({ nil, trouble }, { rows, err })
    end)
  end)

  describe("/analytics/query", function()
    it("is read with counts as strings or numbers, and null as none of that", function()
      local rows = assert(analytics(answer { analytics_row(), analytics_row { model = "b", byok_usage = "@0.10" } }))
      assert.same({ day = "2026-11-01", model = "openai/gpt-4.1", requests = 1523, usage = "4.27", byok = "0", prompt = 10,
        completion = 20, reasoning = 0 }, rows[1])
      assert.same({ "b", "0.1" }, { rows[2].model, rows[2].byok })
    end)

    it("has the day under either name, as a date or a time", function()
      for _, time in ipairs { "2026-11-01", "2026-11-01 00:00:00", "2026-11-01T00:00:00Z" } do
        for _, name in ipairs { "date__day", "created_at__day" } do
          local row = analytics_row():gsub('"date__day":"[^"]*"', ('"%s":"%s"'):format(name, time))
          assert.equal("2026-11-01", assert(analytics(answer { row }))[1].day)
        end
      end
    end)

    it("is asked with the days, and the key", function()
      local asking = client(answer {})
      assert.same({}, witness.analytics(asking, FROM, FROM + 3 * DAY, "ab12"))
      local query = cjson.decode(asking.asked[1])
      assert.same({ start = "2026-11-01T00:00:00Z", ["end"] = "2026-11-04T00:00:00Z" }, query.time_range)
      assert.same({ { field = "api_key_id", operator = "eq", value = "ab12" } }, query.filters)
      assert.same({ "day", { "model" } }, { query.granularity, query.dimensions })
      assert.is_nil(cjson.decode((function()
        local other = client(answer {})
        witness.analytics(other, FROM, FROM + DAY)
        return other.asked[1]
      end)()).filters)
    end)

    it("leaves out the day after the last one, should the service have its midnight in the range", function()
      local rows = assert(analytics(answer { analytics_row(), analytics_row { date__day = "2026-11-02" } }))
      assert.equal(1, #rows)
    end)

    it("is refused where it is not understood", function()
      local whole = analytics_row()
      local wrong = {
        "{}", '{"data":[]}', '{"data":{"data":[]}}', '{"data":{"metadata":{"truncated":false,"row_count":0}}}',
        answer({}, "{}"), answer({}, "null"), answer({}, '{"row_count":0}'), answer({}, '{"truncated":"no","row_count":0}'),
        answer({ whole }, '{"truncated":false,"row_count":2}'), answer({ whole }, '{"truncated":false}'),
        answer({ whole }, '{"truncated":false,"row_count":null}'), answer { "null" }, answer { whole, "null" },
        '{"data":{"data":[],"warnings":["no such key"],"metadata":{"truncated":false,"row_count":0}}}',
        '{"data":{"data":[],"has_more":true,"metadata":{"truncated":false,"row_count":0}}}',
      }
      for _, changes in ipairs {
        { date__day = cjson.null }, { date__day = "yesterday" }, { date__day = "2026-10-31" }, { date__day = "2026-11-03" },
        { model = cjson.null }, { request_count = cjson.null }, { request_count = "many" }, { credits_usage = "x" },
        { tokens_prompt = cjson.null }, { tokens_completion = "-1" },
      } do
        wrong[#wrong + 1] = answer { analytics_row(changes) }
      end
      wrong[#wrong + 1] = answer { (whole:gsub("credits_usage", "credit_usage")) }
      for _, text in ipairs(wrong) do
        local rows, err = analytics(text)
        assert.is_nil(rows, text)
        assert.equal("bad_answer", err.kind, text)
      end
    end)

    it("is asked in parts where an answer has not all of it", function()
      local longest = 0
      local function in_days(text)
        local range = cjson.decode(text).time_range
        local rows = {}
        for day = 1, 9 do
          local date = ("2026-11-%02d"):format(day)
          if date >= range.start:sub(1, 10) and date < range["end"]:sub(1, 10) then
            rows[#rows + 1] = analytics_row { date__day = date, model = "m" .. day }
          end
        end
        longest = math.max(longest, #rows)
        if #rows > 2 then return answer({ rows[1], rows[2] }, '{"row_count":2,"truncated":true}') end
        return answer(rows)
      end
      local rows = assert(witness.analytics(client(in_days), FROM, FROM + 9 * DAY))
      local models = {}
      for i, row in ipairs(rows) do models[i] = row.model end
      assert.same({ "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9" }, models)
      assert.equal(9, longest)
    end)

    it("is refused where even a day has more than an answer", function()
      local asking = client(answer({ analytics_row() }, '{"row_count":1,"truncated":true}'))
      local rows, err = witness.analytics(asking, FROM, FROM + 4 * DAY)
      assert.same({ nil, "bad_answer" }, { rows, err.kind })
      assert.equal(3, #asking.asked)
    end)
  end)

  describe("generations", function()
    --- 1,000 of them in a day, with a server that has both ends in its ranges and 60 rows in an answer.
    local function server(text)
      local query = cjson.decode(text)
      local rows = {}
      for i = 0, 999 do
        local time = os.date("!%Y-%m-%dT%H:%M:%SZ", FROM + i * 60)
        if time >= query.time_range.start and time <= query.time_range["end"] and #rows <= 60 then
          rows[#rows + 1] = analytics_row { generation_id = "gen-" .. i, credits_usage = i / 1000, request_count = "1" }
        end
      end
      local truncated = #rows > 60
      if truncated then rows[#rows] = nil end
      return answer(rows, ('{"row_count":%d,"truncated":%s}'):format(#rows, tostring(truncated)))
    end

    it("come each once, however many answers they need", function()
      local rows = assert(witness.generations(client(server), FROM))
      local seen = {}
      for _, row in ipairs(rows) do seen[row.id] = row.usage end
      assert.equal(1000, #rows)
      for i = 0, 999 do assert.equal(i / 1000, tonumber(seen["gen-" .. i])) end
    end)

    it("are read to the last digit", function()
      local text = answer { analytics_row { generation_id = "gen-1", credits_usage = "@0.1234567890123456789012345" } }
      local rows = assert(witness.generations(client(text), FROM))
      assert.equal("0.1234567890123456789012345", rows[1].usage)
    end)

    it("need an id", function()
      local rows, err = witness.generations(client(answer { analytics_row() }), FROM)
      assert.same({ nil, "bad_answer" }, { rows, err.kind })
      for _, id in ipairs { "", cjson.null, 5 } do
        assert.is_nil((witness.generations(client(answer { analytics_row { generation_id = id } }), FROM)))
      end
    end)
  end)
end)

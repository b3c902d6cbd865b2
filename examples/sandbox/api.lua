-- luacheck: std ngx_lua
-- What the sandbox answers: generation records and contents, made of their ids, the faults an id can ask for, feedback, the
-- list of models, chat completions, and what the account has used.

local account = require "account"
local records = require "records"

local find, match, format = string.find, string.match, string.format
local md5 = ngx.md5_bin

local api = {}

local seen = ngx.shared.seen    -- "once ID" when asked, "fresh ID" -> when first seen; ordinary ids never come here

local MESSAGES = {
  [400] = "Bad Request",
  [401] = "User not found.",
  [402] = "Insufficient credits. This sandbox key has none left.",
  [403] = "You don't have access to this generation",
  [404] = "Resource not found",
  [408] = "Request Timeout",
  [429] = "Rate limit exceeded",
  [500] = "Internal Server Error",
  [502] = "Provider returned error",
  [503] = "No instances available",
  [524] = "Request timed out. Please try again later.",
  [529] = "Provider returned error",
}
local NO_ID = '{"success":false,"error":{"issues":[{"code":"invalid_type","expected":"string","received":"undefined",'
  .. '"path":["id"],"message":"Required"}],"name":"ZodError"}}'
local HTML = "<!DOCTYPE html><html><head><title>One moment</title></head><body>Checking your browser</body></html>\n"

local function answer (status, body)
  ngx.status = status
  ngx.header["Content-Length"] = #body
  ngx.print(body)
end

local function fail (status, message)
  if status == 429 or status == 503 then ngx.header["Retry-After"] = 1 end
  message = message or MESSAGES[status] or (status < 500 and MESSAGES[400] or MESSAGES[502])
  answer(status, format('{"error":{"message":"%s","code":%d}}', message, status))
end

local REFUSED = { ["sk-or-sandbox-bad"] = 401, ["sk-or-sandbox-broke"] = 402, ["sk-or-sandbox-other"] = 403 }

local function key_refused (management)
  local key = match(ngx.var.http_authorization or "", "^Bearer +(%S+)")
  if not key then
    fail(401, "Missing Authentication header")
    return true
  end
  if management and key == "sk-or-sandbox-plain" then
    fail(403, "Only management keys can perform this operation")
    return true
  end
  if not REFUSED[key] then return false end
  fail(REFUSED[key])
  return true
end

local function cut (body)
  ngx.header["Content-Length"] = #body
  ngx.print(body:sub(1, #body / 2))
  ngx.flush(true)
  return ngx.exit(ngx.ERROR)    -- with the header sent, this closes the connection
end

local function age (id)
  local key, now = "fresh " .. id, ngx.now()
  if seen:add(key, now) then return 0 end
  return now - (seen:get(key) or now)
end

-- The status with which this id wants to be refused now, or nil.
local function refusal (id)
  local status = match(id, "%-status%-([45]%d%d)%-")
  if status then return tonumber(status) end
  local once = match(id, "%-once%-([45]%d%d)%-")
  if once and seen:add("once " .. id, true) then return tonumber(once) end
  if find(id, "-fresh-", 1, true) and age(id) < 1 then return 404 end
end

local function faulty (id, json)
  local status = refusal(id)
  if status then return fail(status) end
  if find(id, "-slow-", 1, true) then ngx.sleep(2) end
  if find(id, "-html-", 1, true) then
    ngx.header["Content-Type"] = "text/html"
    return answer(200, HTML)
  end
  if find(id, "-cut-", 1, true) then return cut(json(account.record(id), md5)) end
  if find(id, "-other-", 1, true) then id = id .. "x" end
  answer(200, json(account.record(id), md5))
end

local ID = [[^gen-[A-Za-z0-9_.~:/-]+\z]]

-- Answers with json(record), unless the id asks for something else.
local function reply (id, json)
  if not ngx.re.find(id, ID, "jo") then return fail(404) end
  if ngx.re.find(id, "-(?:status|once|fresh|slow|html|cut|other|failed)-", "jo") then return faulty(id, json) end
  answer(200, json(records.record(id, md5), md5))
end

local function get (json, management)
  if ngx.req.get_method() ~= "GET" then return fail(404) end
  local id = ngx.req.get_uri_args().id
  if type(id) ~= "string" or id == "" then return answer(400, NO_ID) end    -- before the key, as the service does
  if key_refused(management) then return end
  reply(id, json)
end

function api.generation () get(records.json) end

function api.content () get(records.content_json, true) end

local CATEGORIES = { latency = true, incoherence = true, incorrect_response = true, formatting = true, billing = true,
  api_error = true, other = true }
local COMMENT_LENGTH = 1000
local RECORDED = '{"data":{"success":true}}'

-- Feedback is a flat object, and so much JSON is read without a library.
local STRING = [["((?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)"]]
local MEMBER = [[\s*]] .. STRING .. [[\s*:\s*(?:]] .. STRING .. [[|true|false|null|-?[0-9][-+.0-9eE]*+)\s*([,}])]]

-- name -> text, still escaped, or false for other values
local function flat_object (body)
  local start = match(body, "^%s*{()")
  if not start then return nil end
  local object, place = {}, { pos = start }
  repeat
    local member = ngx.re.match(body, MEMBER, "ajo", place)
    if not member then return nil end
    object[member[1]] = member[2]
  until member[3] == "}"
  return find(body, "^%s*$", place.pos) and object
end

-- Any character may come as \uXXXX, and encoders do write a slash as \/.
local function unescaped (text)
  return (text:gsub("\\/", "/"):gsub("\\u00(%x%x)", function (hex) return string.char(tonumber(hex, 16)) end))
end

-- In characters, as JSON Schema counts them, and not in bytes or in the UTF-16 units of an escaped pair.
local function length (text)
  text = text:gsub("\\\\", "x"):gsub("\\u[dD][89abAB]%x%x\\u[dD][c-fC-F]%x%x", "x"):gsub("\\u%x%x%x%x", "x")
  return select(2, text:gsub("\\?[^\128-\191]", ""))
end

-- The generation's id, if this is feedback as documented.
local function feedback_id (body)
  local object = flat_object(body)
  if not object or not object.generation_id or object.generation_id == "" then return nil end
  if not object.category or not CATEGORIES[unescaped(object.category)] then return nil end
  if object.comment == false or object.comment and length(object.comment) > COMMENT_LENGTH then return nil end
  return unescaped(object.generation_id)
end

function api.feedback ()
  if ngx.req.get_method() ~= "POST" then return fail(404) end
  if key_refused(true) then return end
  ngx.req.read_body()
  local id = feedback_id(ngx.req.get_body_data() or "")
  if not id then return fail(400, "Invalid request parameters") end
  reply(id, function () return RECORDED end)
end

function api.models ()
  if ngx.req.get_method() ~= "GET" then return fail(404) end
  answer(200, records.models_json())    -- whatever the key, and without one
end

local ANSWER = { "This ", "answer ", "comes ", "from ", "the ", "sandbox: ", "no ", "model ", "was ", "asked." }
local MAX_WORDS = 10000

-- As many words as were asked for; the answer is said again and again until there are enough.
local function words_of (body)
  local count = tonumber(match(body, '"max_tokens"%s*:%s*(%d+)') or 0)
  if count == 0 then return ANSWER end
  local words = {}
  for i = 1, math.min(count, MAX_WORDS) do
    local again = i > 1 and i % #ANSWER == 1
    words[i] = (again and " " or "") .. ANSWER[(i - 1) % #ANSWER + 1]
  end
  return words
end

local handed_out = 0

local function new_id ()
  handed_out = handed_out + 1
  local random = ngx.md5(format("%.3f %d %d", ngx.now(), ngx.worker.pid(), handed_out)):sub(1, 20)
  return format("gen-%d-fresh-%s", ngx.time(), random)
end

-- A record follows from its id, so an id is looked for whose record fits the request.
local function new_record (model, streamed)
  while true do
    local r = records.record(new_id(), md5)
    if r.finish_reason == "stop" and r.streamed == streamed and (not model or r.offer == model) then return r end
  end
end

local function usage_json (r)
  local decimal = records.decimal
  local upstream = r.list_cost
  if r.is_byok then upstream = r.upstream_inference_cost end
  return format('{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"cost":%s,"is_byok":%s,'
    .. '"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d,"audio_tokens":0,"video_tokens":0},'
    .. '"cost_details":{"upstream_inference_cost":%s,"upstream_inference_prompt_cost":%s,'
    .. '"upstream_inference_completions_cost":%s},'
    .. '"completion_tokens_details":{"reasoning_tokens":%d,"image_tokens":0}}',
    r.native_tokens_prompt, r.native_tokens_completion, r.native_tokens_prompt + r.native_tokens_completion,
    decimal(r.usage), tostring(r.is_byok), r.native_tokens_cached, r.cache_write_tokens,
    upstream and decimal(upstream) or "null", decimal(r.prompt_cost), decimal(r.completion_cost), r.native_tokens_reasoning)
end

local function head_json (r, object)
  return format('{"id":"%s","provider":"%s","model":"%s","object":"%s","created":%d',
    r.id, r.provider_name, r.model, object, ngx.time())
end

local function chat_whole (r, words)
  answer(200, format('%s,"choices":[{"logprobs":null,"finish_reason":"%s","native_finish_reason":"%s","index":0,'
    .. '"message":{"role":"assistant","content":"%s","refusal":null,"reasoning":null}}],"usage":%s}',
    head_json(r, "chat.completion"), r.finish_reason, r.native_finish_reason, table.concat(words), usage_json(r)))
end

local function chat_streamed (r, words)
  local head = head_json(r, "chat.completion.chunk")
  local function event (content, finish, native, usage)
    ngx.print("data: ", head, ',"choices":[{"index":0,"delta":{"role":"assistant","content":"', content,
      '"},"finish_reason":', finish, ',"native_finish_reason":', native, ',"logprobs":null}]', usage, "}\n\n")
    ngx.flush(true)
    ngx.sleep(0.02)
  end
  ngx.header["Content-Type"] = "text/event-stream"
  ngx.header["Cache-Control"] = "no-cache"
  ngx.print(": OPENROUTER PROCESSING\n\n")
  ngx.flush(true)
  for _, word in ipairs(words) do event(word, "null", "null", "") end
  event("", '"' .. r.finish_reason .. '"', '"' .. r.native_finish_reason .. '"', "")
  event("", "null", "null", ',"usage":' .. usage_json(r))
  ngx.print("data: [DONE]\n\n")
end

-- `bare`: as a gateway hands it on that knows nothing of the service's own headers.
function api.chat (bare)
  if ngx.req.get_method() ~= "POST" then return fail(404) end
  if key_refused() then return end
  ngx.req.read_body()
  local body = ngx.req.get_body_data() or ""
  if not find(body, "^%s*{") then return fail(400) end
  -- Looked for as text, so that no JSON library is needed; a prompt that holds the same text misleads it, and may.
  local streamed = find(body, '"stream"%s*:%s*true') ~= nil
  local model = records.chat_model(match(body, '"model"%s*:%s*"([^"]*)"'))
  local r = new_record(model, streamed)
  seen:set("fresh " .. r.id, ngx.now())
  account.add(r.id)
  if not bare then ngx.header["X-Generation-Id"] = r.id end
  local reply_with = streamed and chat_streamed or chat_whole
  reply_with(r, words_of(body))
end

-- ---- what the account has used ------------------------------------------------------------------------------------------

function api.activity ()
  if ngx.req.get_method() ~= "GET" then return fail(404) end
  if key_refused(true) then return end
  local date = ngx.req.get_uri_args().date
  local json = account.activity_json(ngx.time(), date)
  if not json then return fail(400, "Date must be within the last 30 (completed) UTC days") end
  answer(200, json)
end

function api.analytics ()
  if ngx.req.get_method() ~= "POST" then return fail(404) end
  if key_refused(true) then return end
  ngx.req.read_body()
  local json, why = account.analytics_json(ngx.req.get_body_data() or "")
  if not json then return fail(400, why) end
  answer(200, json)
end

-- No part of the API: ids, one a line, of generations that the account has made as well.
function api.made ()
  if ngx.req.get_method() ~= "POST" then return fail(404) end
  ngx.req.read_body()
  local added = 0
  for id in (ngx.req.get_body_data() or ""):gmatch "[^\r\n]+" do
    if not ngx.re.find(id, ID, "jo") or not account.add(id) then return fail(400, "No id, or no room for more") end
    added = added + 1
  end
  answer(200, format('{"data":{"added":%d}}', added))
end

return api

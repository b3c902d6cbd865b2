-- Id -> generation record and content, out of nothing but the id: every figure comes from MD5 digests of it, so whoever knows
-- an id knows its record. Plain Lua of any version; the caller brings md5(string) -> 16 bytes.

local floor, format, byte, find, match = math.floor, string.format, string.byte, string.find, string.match

local records = {}

-- USD per token
local function model (slug, prompt_price, completion_price, kind, ...)
  return { slug = slug, undated = slug:gsub("%-%d%d%d%d[%d-]*$", ""), vendor = match(slug, "^[^/]+"), kind = kind,
    prompt_price = prompt_price, completion_price = completion_price, providers = { ... }, endpoints = {} }
end

-- The first ones are asked for most.
local MODELS = {
  model("anthropic/claude-sonnet-5-20260511", 3e-6, 1.5e-5, "reasoning", "Anthropic", "Amazon Bedrock", "Google", "Azure"),
  model("google/gemini-3.5-flash", 3e-7, 2.5e-6, "reasoning", "Google", "Google AI Studio"),
  model("deepseek/deepseek-v4-0715", 2.7e-7, 4.1e-7, "reasoning", "DeepSeek", "DeepInfra", "Novita", "SiliconFlow"),
  model("openai/gpt-5.5-mini-2026-04-21", 2.5e-7, 2e-6, "reasoning", "OpenAI", "Azure"),
  model("qwen/qwen3.6-plus", 3.25e-7, 1.95e-6, "reasoning", "Alibaba"),
  model("openai/gpt-5.5-2026-04-21", 1.25e-6, 1e-5, "reasoning", "OpenAI", "Azure"),
  model("x-ai/grok-5-fast", 2e-7, 5e-7, "reasoning", "xAI"),
  model("anthropic/claude-haiku-5-20260618", 1e-6, 5e-6, "chat", "Anthropic", "Amazon Bedrock", "Google"),
  model("meta-llama/llama-4-scout-17b-16e-instruct", 8e-8, 3e-7, "chat", "DeepInfra", "Groq", "Together", "Cerebras"),
  model("openai/gpt-oss-120b", 4e-8, 1.9e-7, "reasoning", "Cerebras", "Groq", "Fireworks", "DeepInfra"),
  model("moonshotai/kimi-k3-0905", 3.8e-7, 1.52e-6, "chat", "Moonshot AI", "Fireworks", "Novita"),
  model("anthropic/claude-opus-5-20260723", 5e-6, 2.5e-5, "reasoning", "Anthropic", "Amazon Bedrock", "Azure"),
  model("google/gemini-3.5-pro", 1.25e-6, 1e-5, "reasoning", "Google", "Google AI Studio"),
  model("z-ai/glm-5.1-20260407", 6e-7, 2.2e-6, "reasoning", "Z.AI", "SiliconFlow", "GMICloud"),
  model("mistralai/mistral-medium-4", 4e-7, 2e-6, "chat", "Mistral"),
  model("openai/text-embedding-3-small", 2e-8, 0, "embedding", "OpenAI", "Azure"),
  model("minimax/minimax-m3", 2.55e-7, 1.02e-6, "reasoning", "Minimax", "Novita"),
  model("meta-llama/llama-3.3-70b-instruct:free", 0, 0, "chat", "Venice", "Crusoe"),
  model("amazon/nova-2-lite-v1", 6e-8, 2.4e-7, "chat", "Amazon Bedrock"),
  model("mistralai/mistral-small-3.2-24b-instruct", 5e-8, 1e-7, "chat", "Mistral", "Parasail", "DeepInfra"),
  model("qwen/qwen3-embedding-8b", 1e-8, 0, "embedding", "DeepInfra", "Nebius"),
  model("cohere/command-a-03-2025", 2.5e-6, 1e-5, "chat", "Cohere"),
  model("nousresearch/hermes-5-70b", 1.3e-7, 4e-7, "chat", "Nebius", "Together"),
  model("sao10k/l3.3-euryale-70b", 6.5e-7, 7.5e-7, "chat", "Infermatic", "DeepInfra"),
}

local NATIVE_FINISH = {
  anthropic = { stop = "end_turn", length = "max_tokens", tool_calls = "tool_use" },
  google = { stop = "STOP", length = "MAX_TOKENS", tool_calls = "STOP" },
}
local UPSTREAM_PREFIX = { anthropic = "msg_01", cohere = "", amazon = "" }

local function words (text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

local USERS = words [[ada amir anke ben bianca chen chloe dmitri elena emeka farid fiona goran greta hana hugo ines ivan
  jonas kaori lars leila mateo mina nadia noor olga oscar paolo priya quinn rosa samir sofia tariq tess uma viktor wanda yusuf]]

local NO_APP = { origin = "" }
local APPS = {
  { id = 2872617, origin = "https://helpdesk.example.com", referer = "https://helpdesk.example.com/" },
  { id = 1204418, origin = "https://shop.example.net", referer = "https://shop.example.net/search" },
  { id = 3390052, origin = "https://notebook.example.org", referer = "https://notebook.example.org/" },
  { id = 918830, origin = "https://codereview.example.dev", referer = "https://codereview.example.dev/" },
  { id = 4015577, origin = "https://translate.example.com", referer = "https://translate.example.com/batch" },
}
local AGENTS = {
  "lua-resty-http/0.17.2 (Lua) ngx_lua/10023", "OpenAI/Python 2.8.1", "OpenAI/JS 6.9.0", "python-httpx/0.28.1",
  "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "curl/8.14.1",
}
local WORKSPACES = {
  "550e8400-e29b-41d4-a716-446655440000", "0f8b1c52-7c1e-4d2a-9a57-3f1f6f0c2b11", "c2d9e7a4-5b36-4f80-8e0d-91aa3b7c6d42",
}
local PRESET = "a9e8d400-592a-494f-908c-375efa66cafd"
local ENGINES = { "exa", "firecrawl", "parallel" }
local FAILURES = { "429", "500", "502", "503", "null" }    -- as JSON

-- One 16-bit number each: eight from md5(id), eight from md5(id.."#1") and so on. Every use has its own, so that no choice
-- shifts another.
local DRAWS = words [[
  model provider day clock micro_high micro_low spelling ratio
  prompt_1 prompt_2 completion_1 completion_2 cached cached_share written written_share
  reasons reasoning byok fee upstream cancelled total attempts
  failed_1 failed_2 again wait_1 wait_2 latency_1 latency_2 moderation
  speed user_known user app agent router session finish
  streamed tier region workspace preset media search fetches
  hex_1 hex_2 hex_3 hex_4 hex_5 hex_6 hex_7 hex_8 ]]

local drawn = {}    -- one table for all calls: filling a new one costs more than the digests

local function draw (id, md5)
  for block = 0, #DRAWS / 8 - 1 do
    local digest = md5(block == 0 and id or format("%s#%d", id, block))
    local a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p = byte(digest, 1, 16)
    local at = block * 8
    drawn[DRAWS[at + 1]], drawn[DRAWS[at + 2]] = a * 256 + b, c * 256 + d
    drawn[DRAWS[at + 3]], drawn[DRAWS[at + 4]] = e * 256 + f, g * 256 + h
    drawn[DRAWS[at + 5]], drawn[DRAWS[at + 6]] = i * 256 + j, k * 256 + l
    drawn[DRAWS[at + 7]], drawn[DRAWS[at + 8]] = m * 256 + n, o * 256 + p
  end
  return drawn
end

-- All of these stay within integers and products that doubles hold exactly, so that any language gets the same.

local function pick (n, list) return list[floor(n * #list / 65536) + 1] end

local function skewed (n) return floor(n * n / 65536) end    -- the first of a list several times as often as the last

local function chance (n, permille) return n * 1000 < permille * 65536 end

-- lo .. lo*2^doublings, even over the doublings' scale; the middle is more frequent as two draws are averaged
local function size (n1, n2, lo, doublings)
  local scaled = (n1 + n2) * doublings
  local whole = floor(scaled / 131072)
  return floor(lo * 2 ^ whole * (131072 + scaled - whole * 131072) / 131072)
end

-- Days since 1970 -> year, month, day (Howard Hinnant's civil_from_days); os.date would cost more than the rest here.
local function civil (days)
  local z = days + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local march = floor((5 * doy + 2) / 153)    -- months since March
  local month = march < 10 and march + 3 or march - 9
  return yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - floor((153 * march + 2) / 5) + 1
end

-- The other way round.
function records.unix_day (year, month, day)
  local y = month <= 2 and year - 1 or year
  local era = floor(y / 400)
  local yoe = y - era * 400
  local doy = floor((153 * (month > 2 and month - 3 or month + 9) + 2) / 5) + day - 1
  return era * 146097 + yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + doy - 719468
end

local OCTOBER = 1790812800    -- 2026-10-01T00:00:00Z

local function creation_second (id, n)
  local digits = match(id, "^gen%-(%d%d%d%d%d%d%d%d%d%d)%-")
  return digits and tonumber(digits) or OCTOBER + (n.day * 65536 + n.clock) % (30 * 86400)
end

local function timestamp (second, n)
  local year, month, day = civil(floor(second / 86400))
  local clock = second % 86400
  local micro = (n.micro_high * 65536 + n.micro_low) % 1000000
  local fraction = n.spelling < 32768 and format("%03dZ", floor(micro / 1000)) or format("%06d+00:00", micro)
  return format("%04d-%02d-%02dT%02d:%02d:%02d.%s", year, month, day,
    floor(clock / 3600), floor(clock % 3600 / 60), clock % 60, fraction)
end

-- Doubles, in exactly this order; regrouped, the last digits change.
local function set_costs (r, m, n)
  local price, cached, written = m.prompt_price, r.native_tokens_cached or 0, 0
  if m.vendor == "anthropic" and cached == 0 and chance(n.written, 250) then
    written = floor(r.native_tokens_prompt * n.written_share / 65536)    -- into the cache, at 1.25 times the price
  end
  r.prompt_cost = (r.native_tokens_prompt - cached) * price + cached * price / 10 + written * price / 4
  r.completion_cost = r.native_tokens_completion * m.completion_price
  r.list_cost = r.prompt_cost + r.completion_cost
  r.cache_write_tokens = written
  if price > 0 and cached > 0 then r.cache_discount = cached * price - cached * price / 10 end
  if price > 0 and written > 0 then r.cache_discount = -(written * price / 4) end

  r.is_byok = chance(n.byok, 60)
  if r.is_byok then
    r.usage = chance(n.fee, 333) and 0 or r.list_cost / 20
    if not chance(n.upstream, 125) then r.upstream_inference_cost = r.list_cost end
    r.total_cost = r.usage
  else
    r.usage = r.list_cost
    if n.upstream < 32768 then r.upstream_inference_cost = 0 end
    if not chance(n.total, 10) then r.total_cost = r.usage end
  end
end

local function set_tokens (r, m, n)
  local prompt = size(n.prompt_1, n.prompt_2, 58, 10)
  local completion = m.kind == "embedding" and 0 or size(n.completion_1, n.completion_2, 4, 11)
  r.native_tokens_prompt, r.native_tokens_completion = prompt, completion
  r.tokens_prompt = floor(prompt * (70 + n.ratio % 61) / 100)
  r.tokens_completion = floor(completion * (70 + floor(n.ratio / 61) % 61) / 100)
  if m.kind == "embedding" then return end
  r.native_tokens_cached = chance(n.cached, 300) and floor(prompt * n.cached_share / 65536) or 0
  local reasons = m.kind == "reasoning" and chance(n.reasons, 700)
  r.native_tokens_reasoning = reasons and floor(completion * n.reasoning / 65536) or 0
  if m.vendor == "google" then r.native_tokens_completion_images = 0 end
end

local function set_ending (r, m, n)
  if m.kind == "embedding" then
    r.streamed, r.cancelled, r.api_type = false, false, "embeddings"
    return
  end
  r.api_type, r.num_media_completion = "completions", 0
  r.cancelled = chance(n.cancelled, 30)
  r.streamed = r.cancelled or chance(n.streamed, 650)
  if not r.cancelled then
    r.finish_reason = chance(n.finish, 720) and "stop" or chance(n.finish, 920) and "tool_calls" or "length"
    local native = NATIVE_FINISH[m.vendor]
    r.native_finish_reason = native and native[r.finish_reason] or r.finish_reason
  end
  r.upstream_id = (UPSTREAM_PREFIX[m.vendor] or "chatcmpl-")
    .. format("%04x%04x%04x%04x%04x%04x", n.hex_1, n.hex_2, n.hex_3, n.hex_4, n.hex_5, n.hex_6)
end

local function set_times (r, n)
  r.latency = size(n.latency_1, n.latency_2, 120, 6)
  r.generation_time = floor(r.native_tokens_completion * 1000 / (20 + n.speed % 131)) + 40
  if chance(n.moderation, 40) then r.moderation_latency = 20 + n.moderation % 181 end
end

local function set_caller (r, n)
  if not chance(n.user_known, 300) then r.external_user = pick(skewed(n.user), USERS) end
  local app = chance(n.app, 150) and NO_APP or pick(n.app, APPS)
  r.app_id, r.origin, r.http_referer = app.id, app.origin, app.referer
  r.user_agent = pick(n.agent, AGENTS)
  if chance(n.session, 200) then r.session_id = format("session-%04d", n.session % 500) end
  r.workspace_id = pick(n.workspace, WORKSPACES)
  if chance(n.preset, 20) then r.preset_id = PRESET end
end

local function set_extras (r, n)
  if chance(n.router, 50) then r.router = "openrouter/auto" end
  if chance(n.media, 50) then r.num_media_prompt = 1 + n.media % 3 end
  if chance(n.search, 30) then r.num_search_results, r.web_search_engine = 1 + n.search % 10, pick(n.fetches, ENGINES) end
  if chance(n.fetches, 100) then r.num_fetches = n.fetches % 4 end
  r.service_tier = chance(n.tier, 40) and "priority" or chance(n.tier, 80) and "flex" or chance(n.tier, 250) and "default" or nil
  r.data_region = chance(n.region, 800) and "global" or "europe"
end

local function set_attempts (r, n)
  if chance(n.attempts, 20) then return end
  r.attempts = {}
  if chance(n.attempts, 100) then
    r.attempts[1] = { status = pick(n.failed_1, FAILURES), latency = 50 + n.wait_1 % 4000, provider = n.wait_1 }
    if n.again < 32768 then
      r.attempts[2] = { status = pick(n.failed_2, FAILURES), latency = 50 + n.wait_2 % 4000, provider = n.wait_2 }
    end
  end
  r.attempts[#r.attempts + 1] = { status = "200", latency = r.latency, provider = n.provider, id = r.upstream_id }
end

-- The record as a table: its members under their wire names (false is null, and absent for total_cost), and beside them what
-- an inline `usage` needs: list_cost, prompt_cost, completion_cost, cache_write_tokens.
function records.record (id, md5)
  local n = draw(id, md5)
  local m = pick(skewed(n.model), MODELS)
  local second = creation_second(id, n)
  -- Every member has its place from the start: a table that grows is what would cost most here.
  local r = { id = id, offer = m, model = m.slug, provider_name = pick(n.provider, m.providers),
    created_at = timestamp(second, n),
    request_id = format("req-%d-%04x%04x%04x%04x%04x", second, n.hex_4, n.hex_5, n.hex_6, n.hex_7, n.hex_8),
    prompt_cost = 0, completion_cost = 0, list_cost = 0, cache_write_tokens = 0, attempts = false,
    app_id = false, external_user = false, streamed = false, cancelled = false,
    latency = 0, moderation_latency = false, generation_time = 0, tokens_prompt = 0, tokens_completion = 0,
    native_tokens_prompt = 0, native_tokens_completion = 0, native_tokens_completion_images = false,
    native_tokens_reasoning = false, native_tokens_cached = false, num_media_prompt = false, num_media_completion = false,
    num_search_results = false, origin = "", is_byok = false, finish_reason = false, native_finish_reason = false,
    usage = 0, router = false, api_type = "", upstream_id = false, total_cost = false, cache_discount = false,
    upstream_inference_cost = false, user_agent = "", http_referer = false, session_id = false, num_fetches = false,
    web_search_engine = false, service_tier = false, preset_id = false, data_region = "", workspace_id = false }
  set_tokens(r, m, n)
  set_costs(r, m, n)
  set_ending(r, m, n)
  set_times(r, n)
  set_caller(r, n)
  set_extras(r, n)
  set_attempts(r, n)
  return r
end

-- Makes it the record of a generation whose last attempt failed as well: there is no answer, and nothing is charged.
function records.fail (r)
  r.finish_reason, r.native_finish_reason, r.cancelled, r.upstream_id = "error", false, false, false
  r.tokens_completion, r.native_tokens_completion, r.generation_time = 0, 0, 40
  if r.native_tokens_reasoning then r.native_tokens_reasoning = 0 end
  r.usage, r.total_cost, r.cache_discount = 0, r.total_cost and 0, false
  if r.upstream_inference_cost then r.upstream_inference_cost = 0 end
  local last = r.attempts and r.attempts[#r.attempts]
  if last then last.status, last.id = "502", nil end
end

-- The model that answers a chat under this name, given with its date or without; nil for others.
function records.chat_model (name)
  for _, m in ipairs(MODELS) do
    if m.kind ~= "embedding" and (m.slug == name or m.undated == name) then return m end
  end
end

-- The list of models, in short. No text in it needs escaping.
local models_json
function records.models_json ()
  if not models_json then
    local list = {}
    for i, m in ipairs(MODELS) do list[i] = '{"id":"' .. m.undated .. '","canonical_slug":"' .. m.slug .. '"}' end
    models_json = '{"data":[' .. table.concat(list, ",") .. "]}"
  end
  return models_json
end

-- The decimal text a JavaScript server prints: the fewest digits that read back as the same double, no exponent down to 1e-6.
local function decimal (x)
  if x == floor(x) then return format("%d", x) end
  local text = format("%.15g", x)
  if tonumber(text) ~= x then text = format("%.16g", x) end
  if tonumber(text) ~= x then text = format("%.17g", x) end
  if not find(text, "e", 1, true) then return text end
  local sign, first, rest, exponent = match(text, "^(-?)(%d)%.?(%d*)e%-0*(%d+)$")
  exponent = tonumber(exponent)
  if exponent > 6 then return format("%s%s%s%se-%d", sign, first, rest ~= "" and "." or "", rest, exponent) end
  return sign .. "0." .. ("0"):rep(exponent - 1) .. first .. rest
end
records.decimal = decimal

-- No text here needs escaping: ids are letters, digits and _.~:/- and the rest stands above.
local function text (s) return s and '"' .. s .. '"' or "null" end
local function count (n) return n and format("%d", n) or "null" end
local function money (x) return x and decimal(x) or "null" end
local function boolean (b) return b and "true" or "false" end

local function uuid (bytes)
  local hex = bytes:gsub(".", function (c) return format("%02x", byte(c)) end)
  return (hex:gsub("^(........)(....)(....)(....)", "%1-%2-%3-%4-"))
end

local function endpoint_id (m, provider, md5)
  local known = m.endpoints[provider]
  if not known then
    known = uuid(md5(m.slug .. " " .. provider))
    m.endpoints[provider] = known
  end
  return known
end
records.endpoint_id = endpoint_id

local function attempt_json (attempt, r, md5)
  local provider = pick(attempt.provider, r.offer.providers)
  local tier = r.service_tier
  return '{"endpoint_id":"' .. endpoint_id(r.offer, provider, md5)
    .. (attempt.id and '","id":"' .. attempt.id or "")
    .. '","is_byok":' .. boolean(r.is_byok)
    .. ',"latency":' .. count(attempt.latency)
    .. ',"model_permaslug":"' .. r.model
    .. '","provider_name":"' .. provider
    .. ((tier == "priority" or tier == "flex") and '","routed_service_tier":"' .. tier or "")
    .. '","status":' .. attempt.status .. '}'
end

local function attempts_json (r, md5)
  if not r.attempts then return "null" end
  local json = attempt_json(r.attempts[1], r, md5)
  for i = 2, #r.attempts do json = json .. "," .. attempt_json(r.attempts[i], r, md5) end
  return "[" .. json .. "]"
end

-- The members in the order the service writes them, newer ones last. One straight expression, as it runs for every request.
function records.json (r, md5)
  local usage = money(r.usage)
  return '{"data":{"created_at":"' .. r.created_at .. '","model":"' .. r.model
    .. '","app_id":' .. count(r.app_id)
    .. ',"external_user":' .. text(r.external_user)
    .. ',"streamed":' .. boolean(r.streamed)
    .. ',"cancelled":' .. boolean(r.cancelled)
    .. ',"latency":' .. count(r.latency)
    .. ',"moderation_latency":' .. count(r.moderation_latency)
    .. ',"generation_time":' .. count(r.generation_time)
    .. ',"tokens_prompt":' .. count(r.tokens_prompt)
    .. ',"tokens_completion":' .. count(r.tokens_completion)
    .. ',"native_tokens_prompt":' .. count(r.native_tokens_prompt)
    .. ',"native_tokens_completion":' .. count(r.native_tokens_completion)
    .. ',"native_tokens_completion_images":' .. count(r.native_tokens_completion_images)
    .. ',"native_tokens_reasoning":' .. count(r.native_tokens_reasoning)
    .. ',"native_tokens_cached":' .. count(r.native_tokens_cached)
    .. ',"num_media_prompt":' .. count(r.num_media_prompt)
    .. ',"num_input_audio_prompt":null,"num_media_completion":' .. count(r.num_media_completion)
    .. ',"num_search_results":' .. count(r.num_search_results)
    .. ',"origin":"' .. r.origin
    .. '","is_byok":' .. boolean(r.is_byok)
    .. ',"finish_reason":' .. text(r.finish_reason)
    .. ',"native_finish_reason":' .. text(r.native_finish_reason)
    .. ',"usage":' .. usage
    .. ',"router":' .. text(r.router)
    .. ',"provider_responses":' .. attempts_json(r, md5)
    .. ',"api_type":"' .. r.api_type
    .. '","id":"' .. r.id
    .. '","upstream_id":' .. text(r.upstream_id)
    .. (r.total_cost and ',"total_cost":' .. usage or "")    -- they never differ
    .. ',"cache_discount":' .. money(r.cache_discount)
    .. ',"upstream_inference_cost":' .. money(r.upstream_inference_cost)
    .. ',"provider_name":"' .. r.provider_name
    .. '","user_agent":"' .. r.user_agent
    .. '","http_referer":' .. text(r.http_referer)
    .. ',"request_id":"' .. r.request_id
    .. '","session_id":' .. text(r.session_id)
    .. ',"num_fetches":' .. count(r.num_fetches)
    .. ',"web_search_engine":' .. text(r.web_search_engine)
    .. ',"response_cache_source_id":null,"service_tier":' .. text(r.service_tier)
    .. ',"preset_id":' .. text(r.preset_id)
    .. ',"data_region":"' .. r.data_region
    .. '","workspace_id":' .. text(r.workspace_id) .. "}}"
end

-- As JSON strings hold them: quotes, line ends and letters beyond ASCII are where clients go wrong.
local TALKS = {
  { ask = [[Why is the invoice for May twice the usual one?]], think = [[The plan changed in the middle of May.]],
    answer = [[It covers two plans: the old one until the 12th, and the new one from then on.]] },
  { ask = [[Translate \"good night\" into German.]], think = [[A set phrase.]],
    answer = [[\"Gute Nacht\". Schöne Träume!]] },
  { ask = [[Name three colours, one per line.]], think = [[Red,\ngreen,\nblue.]], answer = [[red\ngreen\nblue]] },
  { ask = [[A Lua function that adds two numbers, please.]], think = [[a + b]],
    answer = [[```lua\nlocal function add (a, b)\n\treturn a + b\nend\n```]] },
  { ask = [[Is 91 a prime?]], think = [[9 × 9 < 91 < 10 × 10, so trying 2, 3, 5 and 7 is enough.]],
    answer = [[No: 91 = 7 × 13.]] },
  { ask = [[¿Qué hora es en Tokio?]], think = [[No clock here \\ no tool for it.]], answer = [[No puedo ver ningún reloj 🕰.]] },
}

-- What the upstream said about a failed attempt; nothing where there was no answer.
local RAW = { ["429"] = "Too many requests", ["500"] = "Internal error", ["502"] = "Bad gateway", ["503"] = "Overloaded" }

local function failure_json (code_name, status, provider)
  local said = RAW[status]
  return format('"%s":%s,"message":"%s","provider_name":"%s","raw":%s', code_name, said and status or "524",
    said and "Provider returned error" or "Request timed out. Please try again later.", provider,
    said and format([["{\"error\":{\"code\":%s,\"message\":\"%s\"}}"]], status, said) or "null")
end

local function error_json (r)
  if r.finish_reason ~= "error" then return "null" end
  local before = {}
  for i = 1, (r.attempts and #r.attempts or 1) - 1 do
    local attempt = r.attempts[i]
    before[i] = "{" .. failure_json("code", attempt.status, pick(attempt.provider, r.offer.providers)) .. "}"
  end
  return "{" .. failure_json("status", "502", r.provider_name) .. ',"previous_errors":[' .. table.concat(before, ",") .. "]}"
end

local function user_json (r, ask)
  if not r.num_media_prompt then return '"' .. ask .. '"' end
  local parts = '[{"type":"text","text":"' .. ask .. '"}'
  for i = 1, r.num_media_prompt do
    parts = parts .. format(',{"type":"image_url","image_url":{"url":"https://images.example.com/%d.png"}}', i)
  end
  return parts .. "]"
end

-- What was asked and answered. The draws are its own, so that the record costs none more.
function records.content_json (r, md5)
  local a, b, c, d, e, f, g, h = byte(md5(r.id .. "#content"), 1, 8)
  local talk = pick(a * 256 + b, TALKS)
  local ask = format("Ticket %d: ", c * 256 + d) .. talk.ask
  local input
  if r.api_type == "embeddings" or chance(e * 256 + f, 100) then
    input = '{"prompt":"' .. ask .. '"}'
  else
    local system = chance(g * 256 + h, 400) and '{"role":"system","content":"You answer tickets."},' or ""
    input = '{"messages":[' .. system .. '{"role":"user","content":' .. user_json(r, ask) .. '}]}'
  end
  local completion = (r.cancelled or r.finish_reason == "length") and match(talk.answer, "^[^ ]+")
    or r.finish_reason == "stop" and talk.answer
  local reasoning = (r.native_tokens_reasoning or 0) > 0 and talk.think
  return '{"data":{"input":' .. input .. ',"output":{"completion":' .. text(completion) .. ',"reasoning":' .. text(reasoning)
    .. '},"error":' .. error_json(r) .. "}}"
end

-- Every record takes other branches: LuaJIT would compile thousands of paths, and is faster interpreting them. The draws
-- have one path.
local jit = rawget(_G, "jit")
if jit then
  jit.off(true, true)
  jit.on(draw)
end

return records

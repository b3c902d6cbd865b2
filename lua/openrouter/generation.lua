--- Functions over generation records. A record itself has no methods, so that no member of it is ever hidden.
---
--- A known member (docs/fields.md lists them with units) reads as its schema's type or as nil; what the server sent stays
--- within reach of `exact`, `state` and `totable` whatever it was.
local generation = require("openrouter.core").generation

---@class openrouter.Generation a record; index it with a member's wire name: gen.total_cost
---@field created_at? string
---@field model? string
---@field app_id? integer
---@field external_user? string
---@field streamed? boolean
---@field cancelled? boolean
---@field latency? number ms
---@field moderation_latency? number ms
---@field generation_time? number ms
---@field tokens_prompt? integer tokens
---@field tokens_completion? integer tokens
---@field native_tokens_prompt? integer tokens
---@field native_tokens_completion? integer tokens
---@field native_tokens_completion_images? integer tokens
---@field native_tokens_reasoning? integer tokens
---@field native_tokens_cached? integer tokens
---@field num_media_prompt? integer
---@field num_input_audio_prompt? integer
---@field num_media_completion? integer
---@field num_search_results? integer
---@field origin? string
---@field is_byok? boolean
---@field finish_reason? string
---@field native_finish_reason? string
---@field usage? number USD
---@field router? string
---@field provider_responses? openrouter.ProviderResponse[]
---@field api_type? string
---@field id? string
---@field upstream_id? string
---@field total_cost? number USD
---@field cache_discount? number USD
---@field upstream_inference_cost? number USD
---@field provider_name? string
---@field user_agent? string
---@field http_referer? string
---@field request_id? string
---@field session_id? string
---@field num_fetches? integer
---@field web_search_engine? string
---@field response_cache_source_id? string
---@field service_tier? string
---@field preset_id? string
---@field data_region? string
---@field workspace_id? string
---@field num_video_prompt? integer
---@field num_media_generations? integer

---@class openrouter.ProviderResponse one call to a provider
---@field endpoint_id? string
---@field id? string
---@field is_byok? boolean
---@field latency? number ms
---@field model_permaslug? string
---@field provider_name? string
---@field routed_service_tier? string
---@field status? integer HTTP status

---@class openrouter.Violation
---@field field string the member, such as "total_cost" or "provider_responses[1].status"
---@field expected string what the schema says
---@field got string what is there, as spelt but on one line and cut to 60 bytes, or "absent"

--- Every member in wire order, a name that comes twice once, with its last value. null and mismatched members come as
--- `name, nil`. Where Lua has __pairs (5.2 on), `pairs(gen)` is the same.
---@type fun(gen: openrouter.Generation): fun(): string?, any
generation.pairs = generation.pairs

--- A value exactly as the server spelt it (JSON text), or nil where there is none. Takes a path:
--- `exact(gen, "provider_responses", 1, "latency")`.
---@type fun(gen: openrouter.Generation, name: string, ...: string|integer): string?
generation.exact = generation.exact

--- What `exact` gives of each item of a list, of any length; nothing where there is no list at the path.
---@type fun(gen: openrouter.Generation, name: string, ...: string|integer): string[]?
generation.items = generation.items

--- What is at a path: "value", "null", "absent", or "mismatch" for a known member of the wrong type.
---@type fun(gen: openrouter.Generation, name: string, ...: string|integer): "value"|"null"|"absent"|"mismatch"
generation.state = generation.state

--- What the generation cost in USD, as a number and exactly as text; or nil and why it is unknown. total_cost, else
--- usage; with the caller's own provider key (is_byok) plus upstream_inference_cost. csrc/spend.h has the twelve cases.
---@type fun(gen: openrouter.Generation): number?, string
generation.spend = generation.spend

--- What a ledger line said about the request, or nil.
---@type fun(gen: openrouter.Generation): table<string, string|boolean|number>?
generation.context = generation.context

--- Departures from the newest schema (2026-08-03): missing, unknown and repeated members, wrong types, unknown values of
--- enumerations, amounts with more than 27 decimals. An empty list normally.
---@type fun(gen: openrouter.Generation): openrouter.Violation[]
generation.violations = generation.violations

--- A plain table with everything, null as `openrouter.null`.
---@type fun(gen: openrouter.Generation): table
generation.totable = generation.totable

--- The record's JSON as the server spelt it, without white space between tokens.
---@type fun(gen: openrouter.Generation): string
generation.json = generation.json

--- The server's whole answer, `{"data":{…}}`, in the same way; a bare record is put into one.
---@type fun(gen: openrouter.Generation): string
generation.answer = generation.answer

--- A function that returns these members of any record, faster than one index after the other.
---@type fun(name: string, ...: string): fun(gen: openrouter.Generation): ...
generation.select = generation.select

return generation

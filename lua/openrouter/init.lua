--- Generation records of OpenRouter: what each request really cost, who caused it, who served it and what failed.
local core = require "openrouter.core"
require "openrouter.errors"

local openrouter = { _VERSION = "scm-1" } -- as the rockspec has it

--- JSON null in the tables `generation.totable` makes; the same value as cjson.null.
openrouter.null = core.null

--- The members a record may have, from the one field table: a list of
--- { name, type, unit, nullable, presence = "required"|"optional"|"retired", description, choices }.
openrouter.fields = core.fields

--- A record from text: an API answer `{"data":{…}}`, a settled ledger line or a bare record. Any other JSON object is a
--- record too, with violations; nil and an error for text that is no JSON object (its `byte` says where), an API error
--- body, and ledger lines without a record.
---
--- A loop over many records is faster with one record for all of them: `gen = decode(text, gen)`. The record given is filled
--- anew and returned where the text fits into it, and another one is made where it does not, or where something relies on what
--- is there (docs/decoding.md says what). So give it up with the call: what you keep of it are values. After an error it is
--- empty, or as it was.
---@type fun(text: string, record: openrouter.Generation?): openrouter.Generation?, openrouter.Error?
openrouter.decode = core.decode

--- The records of files, one after the other; see openrouter.records. nil and an error where there is no such file.
---@param paths string|string[]
---@return openrouter.Records?, openrouter.Error?
function openrouter.records(paths)
  return require "openrouter.records"(paths)
end

--- A client that fetches records; see openrouter.client. nil and an error without a key or with a bad base URL.
---@param options? openrouter.ClientOptions
---@return openrouter.Client?, openrouter.Error?
function openrouter.client(options)
  return require("openrouter.client").new(options)
end

return openrouter

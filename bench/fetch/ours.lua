-- What a user of the library writes: ours.lua BASE_URL REQUESTS CONCURRENCY [HTTP_VERSION|- [CA_FILE]]
local openrouter = require "openrouter"

local base_url, requests, concurrency, http_version, ca_file = ...

local options = { base_url = base_url, concurrency = tonumber(concurrency), ca_file = ca_file, retry = false }
if http_version ~= "-" then options.http_version = http_version end
local client = assert(openrouter.client(options))

local i = 0
local function ids()
  i = i + 1
  return i <= tonumber(requests) and ("gen-1792000000-%020d"):format(i) or nil
end

local records, total = 0, 0
for id, gen, err in client:each(ids) do
  if not gen then error(id .. ": " .. tostring(err)) end
  records = records + 1
  total = total + gen.total_cost
end
assert(total > 0, "the records cost nothing")
print(records, "records")

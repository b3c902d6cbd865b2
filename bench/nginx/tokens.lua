-- luacheck: std ngx_lua
-- A model's answer as a stream: 200 events, 10 ms apart, each with the time at which it was made.
local clock = require "clock"

local EVENT = 'data: {"id":"%s","provider":"Anthropic","model":"anthropic/claude-sonnet-5","object":"chat.completion.chunk",'
  .. '"created":1792000000,"choices":[{"index":0,"delta":{"role":"assistant","content":"%s"},"finish_reason":null,'
  .. '"native_finish_reason":null,"logprobs":null}]%s}\n\n'
local USAGE = ',"usage":{"prompt_tokens":1465,"completion_tokens":200,"total_tokens":1665,"cost":0.0071082,"is_byok":false}'

return function(id)
  for _ = 1, 200 do
    ngx.print(EVENT:format(id, ("%.3f"):format(clock()), ""))
    ngx.flush(true)
    ngx.sleep(0.01)
  end
  ngx.print(EVENT:format(id, "", USAGE), "data: [DONE]\n\n")
end

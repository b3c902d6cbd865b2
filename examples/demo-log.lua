-- Prints an application's log for examples/demo: 4,000 generations of the last day, among other lines. A few are so new that
-- their record is not written yet, a few meet a server in trouble, three have no record at all.
local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
local now = os.time()
math.randomseed(20261121)

local function random_word(length)
  local word = {}
  for i = 1, length do
    local at = math.random(#letters)
    word[i] = letters:sub(at, at)
  end
  return table.concat(word)
end

-- What the sandbox makes of these marks is in examples/sandbox/README.md.
local marks = { [100] = "once-429-", [900] = "once-503-", [1700] = "once-500-", [1000] = "status-404-", [2000] = "status-404-",
  [3000] = "status-404-" }

local function write_log()
  for i = 1, 4000 do
    local made = now - 86400 + math.floor(i * 86400 / 4000)
    local mark = marks[i] or i > 3980 and "fresh-" or ""
    local id = ("gen-%d-%s%s"):format(made, mark, random_word(20 - #mark))
    local time = os.date("!%Y-%m-%dT%H:%M:%SZ", made)
    print(("%s INFO chat user=u%02d status=200 generation=%s"):format(time, math.random(40), id))
    if i % 40 == 0 then print(time .. " INFO health ok") end
    if i % 500 == 0 then print(("%s DEBUG retry logged for %s"):format(time, id)) end
  end
end

local ok, why = pcall(write_log)
if not ok then
  if not why:find "interrupted!$" then io.stderr:write(why, "\n") end
  os.exit(1)
end

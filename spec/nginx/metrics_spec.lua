-- The page for Prometheus, from a real nginx with two workers: its grammar, read strictly, and that its figures are true.
local configuration = require "spec.nginx.configuration"
local servers = require "spec.support.servers"
local shell = require "spec.support.shell"
local traces = require "spec.nginx.traces"

if not (os.getenv "OPENROUTER_BUILD" or ""):find "5%.1$" then return end

local wait_for = servers.wait_for

-- ---- reading a page -------------------------------------------------------------------------------------------------

local ESCAPES = { ["\\"] = "\\", ['"'] = '"', n = "\n" }

-- The labels of a sample, and where they end. Raises for what is not in the format's description.
local function read_labels(line, at)
  local labels = {}
  if line:sub(at, at) ~= "{" then return labels, at end
  repeat
    local name, value_at = line:match('^[{,]([%a_][%w_]*)="()', at)
    assert(name and not labels[name], line)
    local value, i = {}, value_at
    while line:sub(i, i) ~= '"' do
      local c = line:sub(i, i)
      assert(c ~= "", line)
      if c == "\\" then
        i = i + 1
        c = assert(ESCAPES[line:sub(i, i)], line)
      end
      value[#value + 1] = c
      i = i + 1
    end
    labels[name] = table.concat(value)
    at = i + 1
  until line:sub(at, at) ~= ","
  assert(line:sub(at, at) == "}", line)
  return labels, at + 1
end

local SUFFIXES = {
  counter = { [""] = true }, gauge = { [""] = true }, histogram = { _bucket = true, _sum = true, _count = true },
}

local function add_sample(families, family, line)
  local name, at = line:match "^([%a_:][%w_:]*)()"
  assert(family and name:sub(1, #family.name) == family.name, line)
  local suffix = name:sub(#family.name + 1)
  assert(SUFFIXES[family.type][suffix], line)
  local key = line:match "^(.*) "
  assert(not families.keys[key], "twice: " .. line)
  families.keys[key] = true
  local labels, value_at = read_labels(line, at)
  local value = line:match("^ (%-?[%d.]+e?[+-]?%d*)$", value_at)
  assert(tonumber(value), line)
  table.insert(family.samples, { suffix = suffix, labels = labels, value = tonumber(value) })
end

-- NAME -> { name, type, samples = { { suffix, labels, value }, … } }
local function parse(text)
  local families, family = { keys = {} }, nil
  assert.matches("\n$", text)
  for line in text:gmatch "([^\n]*)\n" do
    local help = line:match "^# HELP ([%a_:][%w_:]*) [^\\]+$"
    local name, kind = line:match "^# TYPE ([%a_:][%w_:]*) (%a+)$"
    if help then
      assert(not families[help], "twice: " .. line)
      family = { name = help, samples = {} }
      families[help] = family
    elseif name then
      assert(family and family.name == name and not family.type and SUFFIXES[kind], line)
      family.type = kind
    else
      add_sample(families, family, line)
    end
  end
  families.keys = nil
  return families
end

local function check_histogram(family)
  local count, sum, last, below
  for _, sample in ipairs(family.samples) do
    if sample.suffix == "_bucket" then
      local bound = sample.labels.le == "+Inf" and math.huge or tonumber(sample.labels.le)
      assert.is_true(not last or bound > last and sample.value >= below)
      last, below = bound, sample.value
    elseif sample.suffix == "_sum" then
      sum = sample.value
    else
      count = sample.value
    end
  end
  assert.equal(math.huge, last)
  assert.equal(below, count)
  assert.is_true(sum >= 0)
end

local TYPES = {
  captured_total = "counter", generations_total = "counter", spend_usd_total = "counter", unpriced_total = "counter",
  failed_total = "counter", retries_total = "counter", requests_total = "counter", connections_total = "counter",
  overflow_total = "counter", journal_errors_total = "counter", lost_total = "counter", open_ids = "gauge",
  oldest_open_age_seconds = "gauge", settle_lag_seconds = "histogram",
}

-- A page, checked: family -> { label values, sorted by the labels' names, and joined -> value }, without openrouter_.
local function read_page(text)
  local figures, types = {}, {}
  for name, family in pairs(parse(text)) do
    local short = name:match "^openrouter_(.*)$"
    types[short], figures[short] = family.type, {}
    if family.type == "histogram" then check_histogram(family) end
    for _, sample in ipairs(family.samples) do
      local names, values = {}, {}
      for label in pairs(sample.labels) do names[#names + 1] = label end
      table.sort(names)
      for i, label in ipairs(names) do values[i] = sample.labels[label] end
      figures[short][sample.suffix .. table.concat(values, "|")] = sample.value
    end
  end
  assert.same(TYPES, types)
  return figures
end

local function sum_of(samples)
  local sum, count = 0, 0
  for _, value in pairs(samples) do sum, count = sum + value, count + 1 end
  return sum, count
end

-- ---- a proxy whose API is told by ids what to answer ----------------------------------------------------------------

-- An id ends in what its record is about: a model's number, or a word. Without the file `gate` no record is written yet.
local SERVER = "    location /fake/ {\n" .. configuration.logged() .. [[
      proxy_pass http://127.0.0.1:@PORT@/upstream/;
    }
    location = /records/generation {
      access_log off;
      content_by_lua_block {
        local id, gate = ngx.var.arg_id, io.open "WORK/gate"
        local function answer(status, body)
          ngx.status = status
          ngx.print(body)
        end
        if not gate then return answer(404, '{"error":{"code":404,"message":"not yet"}}') end
        gate:close()
        local number, word = id:match "model(%d+)$", id:match "(%a+)$"
        local model = number and "test/model-" .. number or "test/model"
        if word == "odd" then model = 'a "b" \\\\ \\n {c="d"} \195\169' model = model:gsub('"', '\\"') end
        if word == "forbidden" then return answer(403, '{"error":{"code":403,"message":"not yours"}}') end
        local cost = word == "unpriced" and "null" or "0.25"
        if word == "long" or word == "huge" then model = ("x"):rep(word == "long" and 300 or 300000) .. id end
        answer(200, ('{"data":{"id":"%s","model":"%s","provider_name":"Test","total_cost":%s,"is_byok":false}}')
          :format(id, model, cost))
      }
    }
]]

describe("metrics", function()
  local p, asked = nil, 0

  setup(function()
    p = servers.proxy { edit = configuration.edit {
      start = 'first = 0.05, base_url = "http://127.0.0.1:@PORT@/records"', server = SERVER,
    } }
  end)
  teardown(function() if p then p:stop() end end)
  before_each(function() shell.write(p.work .. "/gate", "") end)
  after_each(shell.clean)

  local function page()
    local status, text = p:curl "/metrics"
    assert.equal(200, status)
    return read_page(text)
  end

  -- Wait until a figure is what it has to be: the page, where all others can be looked at.
  local function page_with(name, value, labels)
    local figures
    wait_for(function()
      figures = page()
      return figures[name][labels or ""] == value
    end)
    assert.equal(value, figures[name][labels or ""])
    return figures
  end

  -- Requests for a model each, in parallel so that both workers have some: which workers these were.
  local function ask_models(first, last)
    asked = asked + 1
    local ids = ("/fake/json?cost=0.5&id=gen-1790000000-%dmodel[%d-%d]"):format(asked, first, last)
    local _, heads, complaint = shell.run(("curl -sS --no-progress-meter -m 20 -Z --parallel-max 50 -D - -o %s/answer %s")
      :format(p.work, shell.quote(p.url .. ids)))
    assert.equal("", complaint)
    local workers = {}
    for pid in heads:gmatch "X%-Worker: (%d+)" do workers[tonumber(pid)] = true end
    return workers
  end

  local function ask(word)
    asked = asked + 1
    assert.equal(200, (p:curl(("/fake/json?cost=0.5&id=gen-1790000000-%d%s"):format(asked, word))))
  end

  -- All that is said about ids adds up.
  local function adds_up(figures)
    local captured = figures.captured_total[""]
    assert.equal(captured, sum_of(figures.generations_total) + sum_of(figures.failed_total))
    assert.equal((sum_of(figures.generations_total) - figures.unpriced_total[""]) * 0.25, (sum_of(figures.spend_usd_total)))
    assert.equal((sum_of(figures.generations_total)), figures.settle_lag_seconds._count)
    assert.is_true(figures.requests_total[""] >= captured)
    local connections = figures.connections_total[""]
    assert.is_true(connections >= 1 and connections <= figures.requests_total[""])
    assert.same({ 0, 0, 0 }, { figures.lost_total[""], figures.journal_errors_total[""], figures.overflow_total[""] })
  end

  it("are a page before anything has happened", function()
    local figures = page()
    for name, samples in pairs(figures) do
      if name ~= "settle_lag_seconds" then assert.equal(0, (sum_of(samples)), name) end
    end
    for _, name in ipairs { "captured_total", "lost_total", "open_ids", "oldest_open_age_seconds" } do
      assert.equal(0, figures[name][""])
    end
  end)

  it("add up over all workers", function()
    local served, total = {}, 0
    wait_for(function()
      for pid in pairs(ask_models(1, 20)) do served[pid] = true end
      total = total + 20
      return next(served, next(served))
    end)
    assert.is_truthy(next(served, next(served)))
    page_with("settle_lag_seconds", total, "_count")
    local figures = page_with("open_ids", 0)
    assert.equal(total, figures.captured_total[""])
    for i = 1, 20 do assert.equal(total / 20, figures.generations_total[("test/model-%d|Test"):format(i)]) end
    adds_up(figures)
  end)

  it("count what has no price, and what fails", function()
    local before = page()
    ask "unpriced"
    ask "forbidden"
    page_with("failed_total", 1, "forbidden")
    local figures = page_with("unpriced_total", 1)
    assert.equal((sum_of(before.generations_total)) + 1, (sum_of(figures.generations_total)))
    adds_up(figures)
  end)

  it("escape labels", function()
    ask "odd"
    adds_up(page_with("generations_total", 1, 'a "b" \\ \n {c="d"} \195\169|Test'))
  end)

  it("tell what is open, and how long, until it is not", function()
    os.remove(p.work .. "/gate")
    for _ = 1, 10 do ask "held" end
    page_with("open_ids", 10)
    local figures, age
    wait_for(function()
      figures = page()
      age = age or figures.oldest_open_age_seconds[""]
      return figures.oldest_open_age_seconds[""] > age
    end)
    assert.is_true(figures.oldest_open_age_seconds[""] > age and figures.oldest_open_age_seconds[""] < 60)
    assert.is_true(figures.retries_total.not_found >= 10)
    shell.write(p.work .. "/gate", "")
    page_with("open_ids", 0)
    adds_up(page_with("oldest_open_age_seconds", 0))
  end)

  it("are kept when a worker dies, and go on", function()
    local before = page()
    p:signal("KILL", p:workers()[1])
    assert.is_truthy(wait_for(function() return #p:workers() == 2 end))
    adds_up(page())
    ask_models(1, 20)
    local figures = page_with("settle_lag_seconds", before.settle_lag_seconds._count + 20, "_count")
    assert.equal(before.captured_total[""] + 20, figures.captured_total[""])
    adds_up(figures)
  end)

  it("tell of what a dead worker had open once, and no longer than it is", function()
    os.remove(p.work .. "/gate")
    local total = 0
    local served = {}
    wait_for(function()
      for pid in pairs(ask_models(1, 10)) do served[pid] = true end
      total = total + 10
      return next(served, next(served))
    end)
    page_with("open_ids", total)
    p:signal("KILL", (next(served)))
    assert.is_truthy(wait_for(function() return #p:workers() == 2 end))
    page_with("open_ids", total)
    shell.write(p.work .. "/gate", "")
    page_with("open_ids", 0)
    page_with("oldest_open_age_seconds", 0)
  end)

  it("are not short of what has a name without end", function()
    local before = sum_of(page().generations_total)
    for _ = 1, 5 do
      ask "long"
      ask "huge"
    end
    page_with("generations_total", 10, "other|other")
    wait_for(function() return sum_of(page().generations_total) == before + 10 end)
    adds_up(page())
    assert.is_true(#select(2, p:curl "/metrics") < 100000)
  end)

  it("have 100 series of models at most, and leave nothing out", function()
    local before = sum_of(page().generations_total)
    ask_models(1001, 1150)
    local figures
    wait_for(function()
      figures = page()
      return sum_of(figures.generations_total) == before + 150
    end)
    local other = figures.generations_total["other|other"]
    assert.is_true(other > 10)
    figures.generations_total["other|other"] = nil
    assert.equal(100, (select(2, sum_of(figures.generations_total))))
    assert.equal(before + 150, sum_of(figures.generations_total) + other)
    figures.generations_total["other|other"] = other
    local known = figures.generations_total["test/model-1|Test"]
    ask_models(1, 1)
    figures = page_with("generations_total", known + 1, "test/model-1|Test")
    assert.equal(other, figures.generations_total["other|other"])
    assert.equal((sum_of(figures.generations_total) - figures.unpriced_total[""]) * 0.25, (sum_of(figures.spend_usd_total)))
  end)

  it("had nothing to complain about", function()
    -- the API is this nginx, too: a lookup that a worker died with, unread, is a connection that was reset, and asked again
    local errors = p:errors():gsub("[^\n]*%[alert%] [^\n]* exited on signal 9\n", "")
      :gsub("[^\n]*%[error%] [^\n]* recv%(%) failed %(104: Connection reset by peer%), context: ngx%.timer\n", "")
    assert.equal("", errors)
    assert.equal(0, #traces.complaints(p, "openrouter"))
  end)
end)

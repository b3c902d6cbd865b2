--- The ledger: records and final failures as lines of JSON in a local file, one append each. docs/ledger.md has the form.
local core = require "openrouter.core"
local errors = require "openrouter.errors"
local generation = require "openrouter.generation"

local ledger = {}

-- ---- writing --------------------------------------------------------------------------------------------------------

-- RFC 3339, UTC, milliseconds
local function timestamp(seconds)
  local ms = math.floor(seconds * 1000)
  return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(ms / 1000)) .. (".%03dZ"):format(ms % 1000)
end

local CONTEXT_NAMES, CONTEXT_BYTES = 16, 1024

local function scalar(value)
  if type(value) == "string" then return core.quote(value) end
  if type(value) == "number" then return core.number_text(value) end
  return tostring(value)
end

-- A flat object, names in order; nil for none. Raises for what a context cannot hold.
local function context_json(context)
  if context == nil then return nil end
  local names, parts = {}, {}
  for name, value in pairs(context) do
    local kind = type(value)
    if type(name) ~= "string" or kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      error(("context: %s must be a string, boolean or number, not a %s"):format(tostring(name), kind), 4)
    end
    names[#names + 1] = name
  end
  if #names == 0 then return nil end
  if #names > CONTEXT_NAMES then error(("context: %d names, %d at most"):format(#names, CONTEXT_NAMES), 4) end
  table.sort(names)
  for i, name in ipairs(names) do parts[i] = core.quote(name) .. ":" .. scalar(context[name]) end
  local text = "{" .. table.concat(parts, ",") .. "}"
  if #text > CONTEXT_BYTES then error(("context: %d bytes, %d at most"):format(#text, CONTEXT_BYTES), 4) end
  return text
end

-- {"<kind>":ID,"at":T,"context":{…},"<name>":<value>}
local function line(kind, id, context, name, value)
  local context_text = context_json(context)
  return table.concat {
    '{"', kind, '":', core.quote(id), ',"at":"', timestamp(core.unix_time()), '"',
    context_text and ',"context":' .. context_text or "",
    ',"', name, '":', value, "}",
  }
end

---@class openrouter.LedgerWriter
local Writer = {}
Writer.__index = Writer

local function io_error(self, why)
  return errors.new("io", ("%s: %s"):format(self.path, why))
end

local function append(self, text)
  local ok, why = self.file:append(text)
  if not ok then return nil, io_error(self, why) end
  self.count = self.count + 1
  return true
end

--- Append a record. When this returns true the line is in the file, whole.
---@param id string the id asked for
---@param gen openrouter.Generation
---@param context? table<string, string|boolean|number> about the request: up to 16 names, 1 kB
---@return true?, openrouter.Error? kind "io"
function Writer:settled(id, gen, context)
  return append(self, line("settled", id, context, "answer", generation.answer(gen)))
end

--- Append a failure.
---@param id string
---@param err openrouter.Error
---@param context? table<string, string|boolean|number>
---@return true?, openrouter.Error? kind "io"
function Writer:failed(id, err, context)
  local parts = { '"kind":' .. core.quote(err.kind) }
  if err.status then parts[#parts + 1] = '"status":' .. core.number_text(err.status) end
  parts[#parts + 1] = '"message":' .. core.quote(errors.printable(err.message))
  if err.attempts then parts[#parts + 1] = '"attempts":' .. core.number_text(err.attempts) end
  return append(self, line("failed", id, context, "error", "{" .. table.concat(parts, ",") .. "}"))
end

--- Whether nothing is in it yet.
---@return boolean
function Writer:empty()
  return self.file:size() == 0
end

--- Close the file; when this returns true, everything appended is on the disk.
---@return true?, openrouter.Error? kind "io"
function Writer:close()
  local ok, why = self.file:close()
  if not ok then return nil, io_error(self, why) end
  return true
end

local KINDS = { settled = true, failed = true, pending = true, note = true }

-- What a line says it is, and the id it is about: the first member of our lines.
local function line_head(text)
  local kind, id = text:match '^%s*{%s*"(%a+)"%s*:%s*"([^"\\]*)"'
  if KINDS[kind] then return kind, id end
end

-- Somebody's log given as the ledger by mistake must not be written to.
local function check_first_line(path)
  local file = io.open(path, "rb")
  local size = file and file:seek "end" -- 0 or nil for what is no file on a disk
  local head = size and size > 0 and file:seek "set" and file:read(1024)
  if file then file:close() end
  local torn = size and size < 64 and head and head:find "^%s*{[^\n]*$" -- the very first write may have failed half-way
  if not head or torn or line_head(head) then return true end
  return nil, errors.new("io", path .. ": not a ledger, since its first line is none of a ledger; nothing was written to it")
end

--- Open a ledger for appending, made with mode 0600 where there is none. One process at a time.
---@param path string
---@return openrouter.LedgerWriter?, openrouter.Error? kind "io"
function ledger.open(path)
  local fine, err = check_first_line(path)
  if not fine then return nil, err end
  local file, why, what = core.append_file(path)
  if what == "locked" then why = path .. ": another process is writing to it" end
  if not file then return nil, errors.new("io", why) end
  return setmetatable({ path = path, file = file, count = 0 }, Writer)
end

-- ---- reading --------------------------------------------------------------------------------------------------------

--- Every line: `for number, id, gen, err in ledger.read(path)`. A settled line gives its record; a failed one gives its
--- error; one that cannot be read gives no id, and an error that says why (kind "io" and number 0: reading the file failed).
--- Empty lines are passed over.
---@param path string
---@return (fun(): integer?, string?, openrouter.Generation?, openrouter.Error?)? iterator
---@return openrouter.Error? err kind "io"
function ledger.read(path)
  local lines, why = core.lines(path)
  if not lines then return nil, errors.new("io", why) end
  return function()
    while true do
      local text, number, whole = lines()
      if text == nil then
        if not number then return nil end
        return 0, nil, nil, errors.new("io", number) -- a read error, once; then the end
      end
      if text == false then
        return number, nil, nil, errors.new("too_large", "the line is longer than 64 MiB")
      end
      if text:find "%S" then
        local gen, err = core.decode(text)
        local _, id = line_head(text)
        if gen then return number, id or gen.id, gen end
        if err.byte then
          if not whole then err.message = "the line is cut short: " .. err.message end
          return number, nil, nil, err
        end
        return number, id, nil, err
      end
    end
  end
end

return ledger

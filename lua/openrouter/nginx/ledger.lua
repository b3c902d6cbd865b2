--- The ledger that all workers write to, opened when it is first needed, and tried again while it cannot be.
local ledger = require "openrouter.ledger"

local nginx_ledger = {}

---@class openrouter.NginxLedger
local Ledger = {}
Ledger.__index = Ledger

---@param path string
---@return openrouter.NginxLedger
function nginx_ledger.new(path)
  return setmetatable({ path = path }, Ledger)
end

local function writer_of(self)
  if not self.writer then
    local writer, err = ledger.open_shared(self.path)
    if not writer then return nil, err end
    self.writer = writer
  end
  return self.writer
end

--- Have it written to the disk in the background: see core.shared_file.
---@return true?, openrouter.Error|string?
function Ledger:sync()
  local writer, err = writer_of(self)
  if not writer then return nil, err end
  return writer.file:sync()
end

--- After sync(): whether that is done.
---@return boolean?, string?
function Ledger:synced()
  return self.writer.file:synced()
end

--- As a writer's: see openrouter.ledger.
function Ledger:settled(...)
  local writer, err = writer_of(self)
  if not writer then return nil, err end
  return writer:settled(...)
end

--- As a writer's.
function Ledger:failed(...)
  local writer, err = writer_of(self)
  if not writer then return nil, err end
  return writer:failed(...)
end

return nginx_ledger

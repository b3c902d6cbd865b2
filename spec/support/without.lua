--- Fails when any part of a value, however deep, has this text in it.
local function assert_without(text, value)
  if type(value) == "table" then
    for name, member in pairs(value) do
      assert_without(text, name)
      assert_without(text, member)
    end
  end
  assert(not tostring(value):find(text, 1, true), "what must not be seen is in: " .. tostring(value))
end

return assert_without

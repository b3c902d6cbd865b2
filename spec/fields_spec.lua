-- The one field table (csrc/fields.def) against the published schema and the editor annotations.
local core = require "openrouter.core"
local field_slots = require "spec.support.field_slots"
local fixtures = require "spec.support.fixtures"
local generation = require "openrouter.generation"
local openrouter = require "openrouter"
local shell = require "spec.support.shell"

local TYPES = { float = "number", int = "integer", bool = "boolean", string = "string", enum = "string", array = "array" }
local UNITS = { USD = "USD", ["USD (credits)"] = "USD", ms = "ms", tokens = "tokens", count = "count" }

local function by_name(list)
  local map = {}
  for _, item in ipairs(list) do
    assert(map[item.name] == nil, item.name .. " is there twice")
    map[item.name] = item
  end
  return map
end

local function published_unit(field)
  return UNITS[field.unit] or "" -- null, and "ISO 8601 string", which is no unit
end

local function published_presence(field)
  if not field.in_newest then return "retired" end
  return field.required and "required" or "optional"
end

-- cjson gives null as a lightuserdata
local function flag(value)
  if type(value) == "boolean" then return value end
  return nil
end

local tables = {
  { title = "a record", ours = core.fields, published = fixtures.schema.generation_fields },
  { title = "an entry of provider_responses", ours = core.response_fields, published = fixtures.schema.provider_response_fields },
}

for _, case in ipairs(tables) do
  describe("the field table of " .. case.title, function()
    local ours, published = by_name(case.ours), by_name(case.published)

    it("lists the members of the schema and no others", function()
      for name in pairs(published) do assert.is_truthy(ours[name], name .. " is missing") end
      for name in pairs(ours) do assert.is_truthy(published[name], name .. " is in no schema") end
    end)

    for _, field in ipairs(case.published) do
      local name = field.name
      it("has " .. name .. " as the schema has it", function()
        local mine = ours[name]
        assert.equal(TYPES[field.type], mine.type)
        assert.equal(published_unit(field), mine.unit)
        assert.equal(published_presence(field), mine.presence)
        if flag(field.nullable) ~= nil then assert.equal(field.nullable, mine.nullable) end
      end)

      it("describes " .. name .. " in words of its own", function()
        local words = ours[name].description
        assert.is_truthy(words:find "%a%a")
        for _, theirs in ipairs { field.description, field.official_description } do
          assert.not_equal(theirs:lower(), words:lower())
          assert.is_nil(theirs:lower():find(words:lower(), 1, true))
          assert.is_nil(words:lower():find(theirs:lower(), 1, true))
        end
      end)
    end

    it("lists the values of its enumerations", function()
      for name, field in pairs(ours) do
        local enum = fixtures.schema.enums[name]
        if enum then
          local expected = {}
          for _, value in ipairs(enum.listed) do expected[#expected + 1] = value end
          for _, value in ipairs(enum.added) do expected[#expected + 1] = value end
          assert.same(expected, field.choices)
        else
          assert.is_nil(field.choices)
        end
      end
    end)
  end)
end

describe("the field table", function()
  it("has 45 members of the newest schema, 42 of them required, and 2 retired ones", function()
    local count = { required = 0, optional = 0, retired = 0 }
    for _, field in ipairs(core.fields) do count[field.presence] = count[field.presence] + 1 end
    assert.same({ required = 42, optional = 3, retired = 2 }, count)
    assert.equal(8, #core.response_fields)
  end)

  it("is public as openrouter.fields", function()
    assert.equal(core.fields, openrouter.fields)
  end)

  it("says USD of every amount and of nothing else", function()
    local amounts = {}
    for _, field in ipairs(core.fields) do
      if field.unit == "USD" then amounts[#amounts + 1] = field.name end
    end
    table.sort(amounts)
    assert.same({ "cache_discount", "total_cost", "upstream_inference_cost", "usage" }, amounts)
  end)
end)

-- ---@class openrouter.Generation … ---@field name? type unit, in the order they stand there
local function annotated(class)
  local list, inside = {}, false
  for line in (shell.read "lua/openrouter/generation.lua"):gmatch "[^\n]+" do
    local name = line:match "^%-%-%-@class (%S+)"
    if name then inside = name == class end
    local field, optional, kind, rest = line:match "^%-%-%-@field ([%w_]+)(%??) (%S+) ?(.*)$"
    if inside and field then
      list[#list + 1] = { name = field, optional = optional == "?", type = kind, unit = rest:match "^%a+$" or "" }
    end
  end
  return list
end

describe("the editor annotations", function()
  local classes = {
    { "openrouter.Generation", core.fields, "openrouter.ProviderResponse[]" },
    { "openrouter.ProviderResponse", core.response_fields },
  }
  for _, case in ipairs(classes) do
    it("of " .. case[1] .. " list the members with their types and units", function()
      local expected = {}
      for i, field in ipairs(case[2]) do
        local kind = field.type == "array" and case[3] or field.type
        local unit = field.unit == "count" and "" or field.unit -- a plain number of things needs no unit
        expected[i] = { name = field.name, optional = true, type = kind, unit = unit }
      end
      assert.same(expected, annotated(case[1]))
    end)
  end
end)

describe("the perfect hash of the field table", function()
  it("is the one that its script makes", function()
    assert.equal(field_slots.text(field_slots.names "csrc/fields.def"), shell.read "csrc/slots.def",
      "run: lua5.4 spec/support/field_slots.lua csrc/slots.def")
  end)

  it("has every member, and nothing that is like one", function()
    local names = field_slots.names "csrc/fields.def"
    assert.equal(#core.fields, #names)
    for i, name in ipairs(names) do
      assert.equal(core.fields[i].name, name)
      local gen = openrouter.decode(('{"%s":null,"%sx":1,"x%s":1,"%s":1}'):format(name, name, name, name:upper()))
      assert.equal("null", generation.state(gen, name))
      for _, other in ipairs(names) do
        if other ~= name then assert.equal("absent", generation.state(gen, other)) end
      end
    end
  end)
end)

local nearest = require "openrouter.nearest"

describe("nearest", function()
  local names = { "model", "day", "provider_name", "native_tokens_prompt", "tokens_prompt", "spend" }

  it("suggests a name with a letter missing, added, wrong or swapped", function()
    assert.equal("model", nearest("modl", names))
    assert.equal("model", nearest("modell", names))
    assert.equal("model", nearest("modal", names))
    assert.equal("model", nearest("modle", names))
    assert.equal("day", nearest("dya", names))
    assert.equal("day", nearest("days", names))
  end)

  it("takes case and dashes for nothing", function()
    assert.equal("provider_name", nearest("Provider-Name", names))
    assert.equal("--format", nearest("--FORMAT", { "--from", "--format" }))
  end)

  it("suggests a short form of the word", function()
    assert.equal("dir", nearest("directory", { "first", "dir" }))
    assert.equal("spend", nearest("spendings", names))
    assert.is_nil(nearest("spend-of-them", names))
    assert.is_nil(nearest("identity", { "id" }))
  end)

  it("takes the nearest, and the first of several", function()
    assert.equal("tokens_prompt", nearest("token_prompt", names))
    assert.equal("native_tokens_prompt", nearest("native_token_prompt", names))
    assert.equal("ab", nearest("aa", { "ab", "ac" }))
  end)

  it("suggests nothing for what is far from all", function()
    assert.is_nil(nearest("week", names))
    assert.is_nil(nearest("", names))
    assert.is_nil(nearest("model", {}))
    assert.is_nil(nearest(("model"):rep(20), names))
    assert.is_nil(nearest("mxdxl", names)) -- two of five
  end)
end)

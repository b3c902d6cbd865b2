-- Answers of an HTTP/1.1 server, byte by byte: where each one ends, and what is none. Every answer here is fed whole, one byte
-- at a time and in pieces of random size, and has to come out the same.
local core = require "openrouter.core"
local fixtures = require "spec.support.fixtures"
local shell = require "spec.support.shell"

local MAX = 65536
local KIB32 = 32768
local OK = "HTTP/1.1 200 OK\r\n"

-- ---- feeding --------------------------------------------------------------------------------------------------------

-- The same numbers in every run and under every Lua.
local seed = 1
local function random(n)
  seed = (seed * 16807) % 2147483647
  return seed % n + 1
end

local function outcome(parser, bytes, piece, ends)
  local done, kind, message = false, nil, nil
  local at = 1
  while at <= #bytes do
    local size = piece(#bytes)
    done, kind, message = parser:feed(bytes:sub(at, at + size - 1))
    at = at + size
  end
  if ends then done, kind, message = parser:finish() end
  if not done then return { done = done, kind = kind, message = message, reusable = parser:reusable() } end
  local status, headers, body = parser:answer()
  return { status = status, headers = headers, body = body, reusable = parser:reusable() }
end

local cuts = {
  function() return 1 end, function() return random(3) end, function() return random(50) end,
  function() return random(50) end, function() return random(2000) end,
}

-- What becomes of the bytes, then of the connection's end if `ends`, however they are cut.
local function parse(bytes, ends, max)
  local whole = outcome(core.http1(max or MAX), bytes, function(size) return size end, ends)
  for _, cut in ipairs(cuts) do
    assert.same(whole, outcome(core.http1(max or MAX), bytes, cut, ends))
  end
  return whole
end

-- What a test is called.
local function shown(text)
  local words = text:sub(1, 90):gsub("[^\33-\126]", function(c)
    if c == " " then return c end
    return c == "\n" and "\\n" or c == "\r" and "\\r" or ("<%02X>"):format(c:byte())
  end)
  return #text > 90 and words .. "..." or words
end

local function with_length(body, head)
  return ("%sContent-Length: %d\r\n\r\n%s"):format(head or OK, #body, body)
end

local function in_chunks(body, size, head)
  local parts = { head or OK, "Transfer-Encoding: chunked\r\n\r\n" }
  for at = 1, #body, size do
    local piece = body:sub(at, at + size - 1)
    parts[#parts + 1] = ("%x\r\n%s\r\n"):format(#piece, piece)
  end
  return table.concat(parts) .. "0\r\n\r\n"
end

local function until_closed(body, head)
  return (head or OK) .. "\r\n" .. body
end

-- ---- answers --------------------------------------------------------------------------------------------------------

describe("an HTTP answer", function()
  local bodies = { "", "x", "\0\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n", ("0123456789"):rep(6000) }
  for _, name in ipairs(fixtures.names "ok_|error_|newest_") do bodies[#bodies + 1] = fixtures.read(name) end
  bodies[#bodies + 1] = fixtures.read "error_500_html_body.html"

  it("has the body that its length says", function()
    for _, body in ipairs(bodies) do
      assert.same({ status = 200, body = body, reusable = true }, parse(with_length(body)))
    end
  end)

  it("has the body that its chunks make up", function()
    for i, body in ipairs(bodies) do
      assert.same({ status = 200, body = body, reusable = true }, parse(in_chunks(body, i * 7)))
      assert.same({ status = 200, body = body, reusable = true }, parse(in_chunks(body, 65536)))
    end
  end)

  it("has all that comes until the connection ends, where it says nothing", function()
    for _, body in ipairs(bodies) do
      assert.same({ status = 200, body = body, reusable = false }, parse(until_closed(body), true))
      assert.same({ done = false, reusable = false }, parse(until_closed(body)))
    end
  end)

  local chunked = OK .. "Transfer-Encoding: chunked\r\n"
  local answers = {
    -- status lines
    { "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", status = 404, body = "no" },
    { "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n" },
    { "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n" },
    { "HTTP/1.1 429 \195\156ber\tall\r\nContent-Length: 0\r\n\r\n", status = 429 },
    { "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", status = 999 },
    -- line ends, names and blanks
    { "HTTP/1.1 200 OK\nContent-Length: 2\n\nab", body = "ab" },
    { "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nab", body = "ab" },
    { OK .. "CONTENT-LENGTH: 2\r\n\r\nab", body = "ab" },
    { OK .. "content-length:2\r\n\r\nab", body = "ab" },
    { OK .. "Content-Length: \t 2 \t \r\n\r\nab", body = "ab" },
    { OK .. "!#$%&'*+-.^_`|~09azAZ: a: b\r\nX:\r\nContent-Length: 2\r\n\r\nab", body = "ab" },
    { OK .. "XContent-Length: 9\r\nContent-Lengths: 9\r\nContent-Length: 2\r\n\r\nab", body = "ab" },
    -- lengths
    { OK .. "Content-Length: 5, 5\r\n\r\nabcde", body = "abcde" },
    { OK .. "Content-Length: 5\r\nContent-Length: 005 ,5\r\n\r\nabcde", body = "abcde" },
    -- chunks
    { chunked .. "\r\n1\r\na\r\n00002\r\nbc\r\n0\r\n\r\n", body = "abc" },
    { chunked .. "\r\nA\r\n0123456789\r\na\r\n9876543210\r\n0\r\n\r\n", body = "01234567899876543210" },
    { chunked .. "\r\n2;a=\"b;c\"\r\nab\r\n1 \t; x\r\nc\r\n1 \r\nd\r\n0;last\r\n\r\n", body = "abcd" },
    { chunked .. "\r\n2\r\nab\r\n0\r\nX: y\r\nContent-Length: 7\nRetry-After: 3\r\n\r\n", body = "ab" },
    { OK .. "transfer-encoding:\tCHUNKED \r\n\r\n2\r\nab\r\n0\r\n\r\n", body = "ab" },
    -- bodies that must not be
    { "HTTP/1.1 204 No Content\r\n\r\n", status = 204 },
    { "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", status = 204 },
    { "HTTP/1.1 304 Not Modified\r\n\r\n", status = 304 },
    { "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", status = 304, reusable = false },
    { "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", status = 204, reusable = false },
    { "HTTP/1.1 204 No Content\r\nContent-Length: 99999999999\r\n\r\n", status = 204, reusable = false },
    -- answers before the answer
    { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" .. with_length "ab", body = "ab" },
    { "HTTP/1.1 102 Processing\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n"
      .. "Retry-After: 9\r\nContent-Encoding: br\r\n\r\n" .. with_length "ab", body = "ab" },
    { ("HTTP/1.1 100 Continue\r\n\r\n"):rep(16) .. with_length "ab", body = "ab" },
    -- encodings that are none, and one where the status says enough
    { OK .. "Content-Encoding: Identity\r\nContent-Length: 2\r\n\r\nab", body = "ab" },
    { OK .. "Content-Encoding:\r\nContent-Length: 2\r\n\r\nab", body = "ab" },
    { with_length("abc", "HTTP/1.1 429 Slow\r\nContent-Encoding: gzip\r\nRetry-After: 7\r\n"), status = 429,
      headers = { ["retry-after"] = "7" } },
    { in_chunks("abc", 2, "HTTP/1.1 401 No\r\nContent-Encoding: br\r\n"), status = 401 },
    { "HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n", status = 204 },
    -- headers that are kept
    { with_length("", OK .. "Retry-After: 120\r\n"), headers = { ["retry-after"] = "120" } },
    { with_length("", OK .. "RETRY-AFTER-MS:1500 \r\n"), headers = { ["retry-after-ms"] = "1500" } },
    { with_length("", OK .. "retry-after: Mon, 02 Nov 2026 10:00:00 GMT\r\nretry-after-ms: 1.5\r\nx-other: 1\r\n"),
      headers = { ["retry-after"] = "Mon, 02 Nov 2026 10:00:00 GMT", ["retry-after-ms"] = "1.5" } },
    { with_length("", OK .. "Retry-After: \r\nRetry-After-Msx: 5\r\n") },
    { with_length("", OK .. "Retry-After: " .. ("1"):rep(64) .. "2\r\n"), headers = { ["retry-after"] = ("1"):rep(64) } },
    { with_length("", OK .. "Retry-After-MS: " .. ("3"):rep(9000) .. "\r\n"),
      headers = { ["retry-after-ms"] = ("3"):rep(64) } },
    -- connections
    { with_length("", OK .. "Connection: close\r\n"), reusable = false },
    { with_length("", OK .. "Connection: Keep-Alive, \tCLOSE\r\n"), reusable = false },
    { with_length("", OK .. "Connection: x\r\nConnection: close\r\nConnection: keep-alive\r\n"), reusable = false },
    { in_chunks("ab", 2, OK .. "connection:close\r\n"), body = "ab", reusable = false },
    { with_length("", OK .. "Connection: closed, disclose\r\nX-Connection: close\r\n") },
    { with_length("", "HTTP/1.0 200 OK\r\n"), reusable = false },
    { with_length("", "HTTP/1.0 200 OK\r\nConnection: keep-alivex\r\n"), reusable = false },
    { with_length("", "HTTP/1.0 200 OK\r\nConnection: x, Keep-Alive\r\n") },
    { with_length("", "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n"), reusable = false },
    { in_chunks("ab", 1, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"), body = "ab", reusable = false },
  }
  for _, case in ipairs(answers) do
    it("is read: " .. shown(case[1]), function()
      local expected = { status = case.status or 200, headers = case.headers, body = case.body or "",
        reusable = case.reusable == nil }
      assert.same(expected, parse(case[1]))
    end)
  end

  it("is good with bytes behind it, but its connection is not", function()
    local good = { with_length "ab", in_chunks("ab", 2), "HTTP/1.1 204 No Content\r\n\r\n", with_length "" }
    for _, bytes in ipairs(good) do
      local expected = parse(bytes)
      assert.is_true(expected.reusable)
      expected.reusable = false
      for _, surplus in ipairs { "\n", "x", "\r\n", with_length "other", "\0" } do
        assert.same(expected, parse(bytes .. surplus))
      end
    end
  end)

  it("leaves nothing to reuse when the connection ends behind it", function()
    for _, bytes in ipairs { with_length "ab", in_chunks("ab", 2), "HTTP/1.1 204 No Content\r\n\r\n" } do
      local ended = parse(bytes, true)
      assert.same({ 204 == ended.status and "" or "ab", false }, { ended.body, ended.reusable })
    end
  end)

  -- ---- what is none ---------------------------------------------------------------------------------------------------

  local hostile = {
    -- not HTTP, or another one
    { "x", "no HTTP answer" },
    { "\r\n" .. with_length "", "no HTTP answer" },
    { "SSH-2.0-OpenSSH_9.2\r\n", "no HTTP answer" },
    { "\0\0\18\4\0\0\0\0\0", "no HTTP answer" },
    { "\21\3\3\0\2\2\70", "no HTTP answer" },
    { "HTTQ", "no HTTP answer" },
    { "http/1.1 200 OK\r\n", "no HTTP answer" },
    { "HTTP\n", "no HTTP answer" },
    { "HTTP/2", "an answer in another version of HTTP" },
    { "HTTP/0.9 200 OK\r\n", "an answer in another version of HTTP" },
    { "HTTP/11", "an answer in another version of HTTP" },
    { "HTTP/1.2 200 OK\r\n", "an answer in another version of HTTP" },
    -- status lines
    { "HTTP/1.\n", "a malformed status line" },
    { "HTTP/1.1 20\r\n", "a malformed status line" },
    { "HTTP/1.1 2000 OK\r\n", "a malformed status line" },
    { "HTTP/1.1 099 Early\r\n", "a malformed status line" },
    { "HTTP/1.1 000 \r\n", "a malformed status line" },
    { "HTTP/1.1 2x0 OK\r\n", "a malformed status line" },
    { "HTTP/1.1 -20 OK\r\n", "a malformed status line" },
    { "HTTP/1.1  200 OK\r\n", "a malformed status line" },
    { "HTTP/1.1\t200 OK\r\n", "a malformed status line" },
    { "HTTP/1.10 200 OK\r\n", "a malformed status line" },
    { "HTTP/1.1 200\tOK\r\n", "a malformed status line" },
    { "HTTP/1.1 200 O\rK\r\n", "a malformed status line" },
    { "HTTP/1.1 200 O\0K\r\n", "a malformed status line" },
    { "HTTP/1.1 200 OK\r\r\n", "a malformed status line" },
    { "HTTP/1.1 101 Switching Protocols\r\n", "the server switches to another protocol" },
    { ("HTTP/1.1 100 Continue\r\n\r\n"):rep(17), "more than 16 interim answers" },
    { "HTTP/1.1 100 Continue\r\n\r\nx", "no HTTP answer" },
    { "HTTP/1.1 100 Continue\r\n x\r\n", "a malformed header" },
    -- fields
    { OK .. " X: y\r\n", "a malformed header" },
    { OK .. "X: y\r\n z\r\n", "a malformed header" },
    { OK .. "X: y\r\n\tz: a\r\n", "a malformed header" },
    { OK .. "Content-Length : 2\r\n", "a malformed header" },
    { OK .. "Content-Length\t: 2\r\n", "a malformed header" },
    { OK .. "Content-Length\r\n", "a malformed header" },
    { OK .. ": 2\r\n", "a malformed header" },
    { OK .. "Content Length: 2\r\n", "a malformed header" },
    { OK .. "Content-Length\0: 2\r\n", "a malformed header" },
    { OK .. "X\200: 2\r\n", "a malformed header" },
    { OK .. "(X): 2\r\n", "a malformed header" },
    { OK .. "X: a\0b\r\n", "a malformed header" },
    { OK .. "X: a\rb\r\n", "a malformed header" },
    { OK .. "X: a\r\r\n", "a malformed header" },
    { OK .. "\r\r\n", "a malformed header" },
    { OK .. "X: a\rContent-Length: 2\r\n", "a malformed header" },
    -- lengths
    { OK .. "Content-Length:\r\n", "the Content-Length is no number" },
    { OK .. "Content-Length: -1\r\n", "the Content-Length is no number" },
    { OK .. "Content-Length: +1\r\n", "the Content-Length is no number" },
    { OK .. "Content-Length: 0x10\r\n", "the Content-Length is no number" },
    { OK .. "Content-Length: 5.0\r\n", "the Content-Length is no number" },
    { OK .. "Content-Length: 5 5\r\n", "the Content-Length is no number" },
    { OK .. "Content-Length: 5,\r\n", "the Content-Length is no number" },
    { OK .. "Content-Length: ,5\r\n", "the Content-Length is no number" },
    { OK .. "Content-Length: \"5\"\r\n", "the Content-Length is no number" },
    { OK .. "Content-Length: 5\11\r\n", "the Content-Length is no number" },
    { OK .. "Content-Length: 5, 6\r\n", "two different Content-Lengths" },
    { OK .. "Content-Length: 5\r\nContent-Length: 6\r\n", "two different Content-Lengths" },
    { OK .. "Content-Length: 5\r\nContent-Length: 5, 0\r\n", "two different Content-Lengths" },
    { OK .. "Content-Length: 0\r\nContent-Length: 18446744073709551616\r\n", "two different Content-Lengths" },
    -- codings
    { OK .. "Transfer-Encoding: gzip, chunked\r\n", "a Transfer-Encoding other than chunked" },
    { OK .. "Transfer-Encoding: chunked, chunked\r\n", "a Transfer-Encoding other than chunked" },
    { OK .. "Transfer-Encoding: chunked, identity\r\n", "a Transfer-Encoding other than chunked" },
    { OK .. "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "a Transfer-Encoding other than chunked" },
    { OK .. "Transfer-Encoding: identity\r\n", "a Transfer-Encoding other than chunked" },
    { OK .. "Transfer-Encoding:\r\n", "a Transfer-Encoding other than chunked" },
    { OK .. "Transfer-Encoding: \11chunked\r\n", "a Transfer-Encoding other than chunked" },
    { OK .. "Transfer-Encoding: chunked;q=1\r\n", "a Transfer-Encoding other than chunked" },
    { OK .. "Transfer-Encoding: chunke\r\n", "a Transfer-Encoding other than chunked" },
    { OK .. "Transfer-Encoding: xchunked\r\n", "a Transfer-Encoding other than chunked" },
    { OK .. "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both a Content-Length and a Transfer-Encoding" },
    { chunked .. "Content-Length: 5\r\n\r\n", "both a Content-Length and a Transfer-Encoding" },
    { "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
      "both a Content-Length and a Transfer-Encoding" },
    -- chunks
    { chunked .. "\r\n\r\n", "a malformed chunk" },
    { chunked .. "\r\nx\r\n", "a malformed chunk" },
    { chunked .. "\r\n;a\r\n", "a malformed chunk" },
    { chunked .. "\r\n 2\r\n", "a malformed chunk" },
    { chunked .. "\r\n-2\r\n", "a malformed chunk" },
    { chunked .. "\r\n0x2\r\n", "a malformed chunk" },
    { chunked .. "\r\n2g\r\n", "a malformed chunk" },
    { chunked .. "\r\n2 2\r\n", "a malformed chunk" },
    { chunked .. "\r\n2\n", "a malformed chunk" },
    { chunked .. "\r\n2\r\r\n", "a malformed chunk" },
    { chunked .. "\r\n2;a\rb\r\n", "a malformed chunk" },
    { chunked .. "\r\n2;a\0b\r\n", "a malformed chunk" },
    { chunked .. "\r\n2;a\n", "a malformed chunk" },
    { chunked .. "\r\n2\r\nabc", "a malformed chunk" },
    { chunked .. "\r\n2\r\nab\n", "a malformed chunk" },
    { chunked .. "\r\n2\r\nab\rc", "a malformed chunk" },
    { chunked .. "\r\n2\r\nab0\r\n", "a malformed chunk" },
    { chunked .. "\r\n0\n", "a malformed chunk" },
    { chunked .. "\r\n0\r\nX\r\n", "a malformed header" },
    { chunked .. "\r\n0\r\n x: y\r\n", "a malformed header" },
    { chunked .. "\r\n0\r\nX : y\r\n", "a malformed header" },
    { chunked .. "\r\n0\r\nHTTP/1.1 200 OK\r\n", "a malformed header" },
    -- a body nobody could read
    { OK .. "Content-Encoding: gzip\r\n\r\n", "the server compressed its answer without being asked", "bad_answer" },
    { OK .. "content-encoding: identity, BR\r\n\r\n", "the server compressed its answer without being asked", "bad_answer" },
    { OK .. "Content-Encoding: identity\r\nContent-Encoding: identityx\r\nContent-Length: 0\r\n\r\n",
      "the server compressed its answer without being asked", "bad_answer" },
  }
  for _, case in ipairs(hostile) do
    it("is none: " .. shown(case[1]), function()
      local expected = { kind = case[3] or "network", message = case[2], reusable = false }
      assert.same(expected, parse(case[1]))
      assert.same(expected, parse(case[1], true))
      assert.same(expected, parse(case[1] .. "\r\n\r\n" .. with_length "ab"))
    end)
  end

  -- ---- bounds ---------------------------------------------------------------------------------------------------------

  local function too_large(max)
    return { kind = "too_large", message = "the answer is larger than " .. max .. " bytes", reusable = false }
  end

  it("is too large as soon as its head says so", function()
    for _, number in ipairs { "11", "000000000000000000000000011", "4294967296", "18446744073709551615",
      "18446744073709551616", "18446744073709551626", ("9"):rep(400) } do
      assert.same(too_large(10), parse(OK .. "Content-Length: " .. number .. "\r\n\r\n", false, 10))
    end
    for _, size in ipairs { "b", "B", "0000000000000000000000000000b", "100000000", "10000000000000000", "1000000000000000A",
      "ffffffffffffffff", ("f"):rep(400) } do
      assert.same(too_large(10), parse(chunked .. "\r\n" .. size .. "\r\n", false, 10))
    end
    assert.same(too_large(10), parse(chunked .. "\r\n8\r\n12345678\r\n3\r\n", false, 10))
  end)

  it("is too large as soon as its bytes say so", function()
    assert.same(too_large(10), parse(until_closed "01234567890", false, 10))
    assert.same(too_large(0), parse(until_closed "0", false, 0))
  end)

  it("may be as large as allowed", function()
    for _, max in ipairs { 10, 0 } do
      local body = ("0123456789"):sub(1, max)
      assert.equal(body, parse(with_length(body), false, max).body)
      assert.equal(body, parse(in_chunks(body, 3), false, max).body)
      assert.equal(body, parse(in_chunks(body, 10), false, max).body)
      assert.equal(body, parse(until_closed(body), true, max).body)
    end
  end)

  it("may be 32 MiB large", function()
    local max, piece = 33554432, ("x"):rep(1048576)
    for _, head in ipairs { OK .. "Content-Length: " .. max .. "\r\n\r\n", OK .. "\r\n", chunked .. "\r\n2000000\r\n" } do
      local parser = core.http1(max)
      assert.is_false(parser:feed(head))
      for _ = 1, 31 do assert.is_false(parser:feed(piece)) end
      parser:feed(piece)
      local done = parser:feed(head == chunked .. "\r\n2000000\r\n" and "\r\n0\r\n\r\n" or "")
      if not done then done = parser:finish() end
      assert.is_true(done)
      assert.is_true(select(3, parser:answer()) == piece:rep(32))
    end
  end)

  local long = { kind = "network", message = "more than 32 KiB of headers", reusable = false }

  -- Field lines of `size` bytes in all.
  local function padding(size)
    local lines = {}
    while size > 1000 do
      local part = size > 2000 and 1000 or size - 500
      lines[#lines + 1] = "X: " .. ("y"):rep(part - 5) .. "\r\n"
      size = size - part
    end
    lines[#lines + 1] = "X: " .. ("y"):rep(size - 5) .. "\r\n"
    return table.concat(lines)
  end

  it("has a head of 32 KiB at most", function()
    local rest = "Content-Length: 2\r\n\r\n"
    local most = KIB32 - #OK - #rest
    for _, fill in ipairs { padding, function(size) return "X:" .. ("y"):rep(size - 4) .. "\r\n" end } do
      assert.equal("ab", parse(OK .. fill(most) .. rest .. "ab").body)
      assert.same(long, parse(OK .. fill(most + 1) .. rest .. "ab"))
    end
    assert.same(long, parse(OK .. ("y"):rep(KIB32)))
    assert.same(long, parse("HTTP/1.1 200 " .. ("y"):rep(KIB32)))
  end)

  it("has what comes before it counted too", function()
    local interim = "HTTP/1.1 103 Early Hints\r\n"
    local most = KIB32 - #interim - 2 - #with_length ""
    assert.equal(200, parse(interim .. padding(most) .. "\r\n" .. with_length "").status)
    assert.same(long, parse(interim .. padding(most + 1) .. "\r\n" .. with_length ""))
    -- with room for all, for some and for none of what a status line starts with
    for room = 0, 8 do
      local full = interim .. padding(KIB32 - #interim - 2 - room) .. "\r\n"
      assert.same(long, parse(full .. with_length ""))
      assert.equal(room > 3 and "no HTTP answer" or long.message, parse(full .. "HTTq/1.1").message)
    end
  end)

  it("has trailers and chunk extensions counted too", function()
    local head = chunked .. "\r\n"
    local most = KIB32 - #head
    assert.equal("", parse(head .. "0\r\n" .. padding(most - 2) .. "\r\n").body)
    assert.same(long, parse(head .. "0\r\n" .. padding(most - 1) .. "\r\n"))
    assert.same(long, parse(head .. "0\r\n" .. ("y"):rep(KIB32)))
    -- sixteen digits and the line end are free
    local function line(size) return "1;" .. ("y"):rep(size - 4) .. "\r\nx\r\n" end
    assert.equal("x", parse(head .. line(18 + most - 2) .. "0\r\n\r\n").body)
    assert.same(long, parse(head .. line(18 + most - 1) .. "0\r\n\r\n"))
    assert.same(long, parse(head .. line(18 + most + 1)))
    assert.same(long, parse(head .. ("0"):rep(KIB32)))
    assert.same(long, parse(head .. line(1018):rep(33)))
    assert.equal(("x"):rep(5000), parse(head .. line(18):rep(5000) .. "0\r\n\r\n").body)
  end)

  -- ---- an early end ---------------------------------------------------------------------------------------------------

  it("is cut short wherever the connection ends before its end", function()
    local body = fixtures.read "error_404_spec_example.json"
    local closed = "the connection was closed "
    local answers_cut = {
      with_length(body), in_chunks(body, 20), "HTTP/1.1 100 Continue\r\n\r\n" .. with_length(body),
      chunked .. "\r\n2;x=y\r\nab\r\n0\r\nX: y\r\n\r\n", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    }
    for _, bytes in ipairs(answers_cut) do
      local interim = select(2, bytes:find "^HTTP/1.1 100 Continue\r\n\r\n") or 0
      local head = select(2, bytes:find("\r\n\r\n", interim + 1, true))
      for n = 0, #bytes - 1 do
        local parser = core.http1(MAX)
        assert.is_false(parser:feed(bytes:sub(1, n)))
        assert.is_false(parser:reusable())
        local done, kind, message = parser:finish()
        assert.same({ nil, "network" }, { done, kind })
        local where = n == 0 and "before an answer came" or n < head and "in the middle of the headers, after " .. n .. " bytes"
          or "in the middle of the answer, after "
        assert.equal(closed .. where, message:sub(1, #closed + #where))
        assert.is_false(parser:reusable())
      end
    end
  end)

  it("says how much of it came", function()
    local cut = parse(with_length("0123456789"):sub(1, -4), true)
    assert.equal("the connection was closed in the middle of the answer, after 7 of 10 bytes", cut.message)
    cut = parse(in_chunks("0123456789", 4):sub(1, -9), true)
    assert.equal("the connection was closed in the middle of the answer, after 9 bytes in chunks", cut.message)
    cut = parse("HTTP/1.1 100 Continue\r\n\r\nHTTP", true)
    assert.equal("the connection was closed in the middle of the headers, after 29 bytes", cut.message)
  end)
end)

-- ---- the parser -----------------------------------------------------------------------------------------------------

describe("an HTTP parser", function()
  after_each(shell.clean)

  it("reads one answer after the other, whatever the one before was", function()
    local parser = core.http1(MAX)
    local body, large = fixtures.read "newest_45fields.json", ("y"):rep(MAX)
    local cases = {
      { with_length(body) }, { in_chunks(body, 100) }, { until_closed(body), true }, { "junk" }, { "" }, { "", true },
      { with_length("{}", "HTTP/1.0 503 Busy\r\nRetry-After: 1\r\nRetry-After-Ms: 5\r\nConnection: close\r\n") },
      { with_length(body):sub(1, -2), true }, { OK .. "Content-Length: 99999999\r\n\r\n" }, { OK .. "X: y" },
      { OK .. "Content-Encoding: gzip\r\n\r\n" }, { with_length(large) }, { in_chunks(large, 4000) },
      { with_length "a" .. "b" }, { ("HTTP/1.1 100 Continue\r\n\r\n"):rep(16) .. with_length "ab" },
      { "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" }, { in_chunks(body, 7):sub(1, -9) },
      { with_length("gone", "HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\n") }, { OK .. "X: " .. large },
    }
    for _, case in ipairs(cases) do case.expected = parse(case[1], case[2]) end
    for _ = 1, 500 do
      local case = cases[random(#cases)]
      parser:reset()
      assert.is_false(parser:started())
      assert.same(case.expected, outcome(parser, case[1], cuts[random(#cuts - 1) + 1], case[2]))
      assert.equal(#case[1] > 0, parser:started())
    end
  end)

  it("knows whether any byte has come", function()
    local parser = core.http1(MAX)
    assert.is_false(parser:started())
    assert.is_false(parser:feed "")
    assert.is_false(parser:started())
    assert.is_false(parser:feed "H")
    assert.is_true(parser:started())
    parser:reset()
    assert.is_nil((parser:finish()))
    assert.is_false(parser:started())
    parser:reset()
    assert.is_nil((parser:feed "x"))
    assert.is_true(parser:started())
  end)

  it("says the same again once it is through", function()
    local parser = core.http1(MAX)
    assert.is_true(parser:feed(with_length "ab"))
    assert.is_true(parser:feed "")
    assert.is_true(parser:reusable())
    assert.is_true(parser:feed "HTTP/1.1 500 Other\r\n\r\n")
    assert.is_true(parser:finish())
    assert.same({ 200, nil, "ab" }, { parser:answer() })
    assert.same({ 200, nil, "ab" }, { parser:answer() })
    parser:reset()
    for _, call in ipairs { "x", "", with_length "ab" } do
      assert.same({ nil, "network", "no HTTP answer" }, { parser:feed(call) })
      assert.same({ nil, "network", "no HTTP answer" }, { parser:finish() })
    end
    parser:reset()
    local ended = { parser:finish() }
    assert.same(ended, { parser:feed(with_length "ab") })
    assert.is_false(parser:reusable())
  end)

  it("gives no answer before it is complete", function()
    local parser = core.http1(MAX)
    local function refuse() assert.error_matches(function() parser:answer() end, "not complete") end
    refuse()
    parser:feed(with_length("ab"):sub(1, -2))
    refuse()
    parser:feed "b"
    assert.equal(200, (parser:answer()))
    parser:reset()
    refuse()
    parser:feed "x"
    refuse()
  end)

  it("refuses what is no number of bytes, no bytes and no parser", function()
    for _, max in ipairs { -1, 0.5, 33554433, 1e300, math.huge, -math.huge, 0 / 0, "x", {}, false } do
      assert.has_error(function() core.http1(max) end)
    end
    assert.has_error(function() core.http1() end)
    local parser = core.http1(MAX)
    for _, bytes in ipairs { 5, {}, false } do assert.has_error(function() parser:feed(bytes) end) end
    assert.has_error(function() parser:feed() end)
    assert.is_false(parser:started())
    local writer = core.append_file(shell.directory() .. "/file")
    for _, name in ipairs { "feed", "finish", "started", "answer", "reusable", "reset" } do
      for _, other in ipairs { writer, io.stdout, {}, "x", 5, core.null } do
        assert.error_matches(function() parser[name](other, "x") end, "http1 parser expected")
      end
      assert.error_matches(function() parser[name]() end, "http1 parser expected")
    end
    writer:close()
  end)

  it("may be collected twice and used again", function()
    local parser = core.http1(MAX)
    local collect = getmetatable(parser).__gc
    parser:feed(with_length "ab")
    collect(parser)
    assert.has_error(function() parser:answer() end)
    collect(parser)
    assert.is_true(parser:feed(with_length "cd"))
    assert.equal("cd", select(3, parser:answer()))
    assert.has_error(function() collect(io.stdout) end)
  end)

  -- A process of its own, with `limit` set before it starts: what it prints.
  local function alone(limit, program)
    local path = shell.write(shell.directory() .. "/program.lua", [[
      local core = require "openrouter.core"
      local function head(size) return "HTTP/1.1 200 OK\r\nContent-Length: " .. size .. "\r\n\r\n" end
    ]] .. program)
    local status, out, err = shell.run(limit .. os.getenv "LUA" .. " " .. shell.quote(path))
    assert.same({ 0, "" }, { status, err })
    return out
  end

  it("gives the memory of a large answer back", function()
    local out = alone("", [[
      local function mib() return io.open "/proc/self/status":read "*a":match "VmSize:%s*(%d+)" / 1024 end
      local function filled()
        local parser = core.http1(33554432)
        parser:feed(head(33554432))
        for _ = 1, 512 do parser:feed(("x"):rep(65536)) end
        assert(parser:reusable())
        return parser
      end
      local before = mib()
      local parser = filled()
      assert(mib() - before >= 32)
      parser:reset()
      assert(mib() - before < 16, "kept over a reset")
      filled()
      collectgarbage()
      collectgarbage()
      assert(mib() - before < 16, "kept over a collection")
      print "given back"
    ]])
    assert.equal("given back\n", out)
  end)

  it("raises an error where there is no memory, and works again when there is", function()
    local out = alone("ulimit -v 500000; ", [[
      local parsers, failed = {}, nil
      for i = 1, 100 do
        local parser = core.http1(33554432)
        local ok, why = pcall(parser.feed, parser, head(33554432))
        if not ok then
          assert(tostring(why):find "not enough memory", why)
          failed = parser
          break
        end
        parsers[i] = parser
      end
      assert(failed, "there was memory for all")
      assert(not pcall(failed.feed, failed, "x") and not pcall(failed.finish, failed) and not pcall(failed.answer, failed))
      assert(failed:started() and not failed:reusable())
      for i = 1, #parsers do parsers[i]:reset() end
      failed:reset()
      assert(failed:feed(head(33554432)) == false)
      failed:reset()
      assert(failed:feed(head(2) .. "ab"))
      print(failed:answer())
    ]])
    assert.equal("200\tnil\tab\n", out)
  end)
end)

#include "http1.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE ((size_t)2048)  /* most records fit */
#define CHUNK_LINE ((size_t)18)    /* 16 digits and the line end; what is longer counts against HTTP1_MAX_HEAD */

/* ---- life ------------------------------------------------------------------------------------------------------ */

void http1_init (struct http1 *p, size_t max_body) {
  memset(p, 0, sizeof *p);
  p->max_body = max_body;
}

void http1_free (struct http1 *p) {
  free(p->buffer);
  http1_init(p, p->max_body);
}

void http1_reset (struct http1 *p) {
  char *buffer = p->buffer;
  size_t capacity = p->capacity;
  if (capacity > HTTP1_MAX_KEPT) {
    http1_free(p);
    return;
  }
  http1_init(p, p->max_body);
  p->buffer = buffer;
  p->capacity = capacity;
}

/* ---- results --------------------------------------------------------------------------------------------------- */

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static void fail (struct http1 *p, enum kind kind, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(p->message, sizeof p->message, format, arguments);
  va_end(arguments);
  p->kind = kind;
  p->state = HTTP1_BROKEN;
}

static void fail_too_large (struct http1 *p) {
  fail(p, KIND_too_large, "the answer is larger than %lu bytes", (unsigned long)p->max_body);
}

static enum http1_result result (const struct http1 *p) {
  switch (p->state) {
    case HTTP1_COMPLETE: return HTTP1_DONE;
    case HTTP1_BROKEN: return HTTP1_FAILED;
    case HTTP1_OUT_OF_MEMORY: return HTTP1_NO_MEMORY;
    default: return HTTP1_MORE;
  }
}

bool http1_reusable (const struct http1 *p) {
  return p->state == HTTP1_COMPLETE && !p->closing && (p->minor > 0 || p->keep_alive);
}

/* ---- bytes in -------------------------------------------------------------------------------------------------- */

/* Have room for `size` bytes in all. On failure nothing more is read. */
static bool reserve (struct http1 *p, size_t size) {
  if (size <= p->capacity) return true;
  size_t capacity = p->capacity < FIRST_SIZE / 2 ? FIRST_SIZE : p->capacity * 2;
  if (capacity > p->max_body + HTTP1_MAX_HEAD) capacity = p->max_body + HTTP1_MAX_HEAD;
  if (capacity < size) capacity = size;
  char *buffer = (char *)realloc(p->buffer, capacity);
  if (buffer == NULL) {
    p->state = HTTP1_OUT_OF_MEMORY;
    return false;
  }
  p->buffer = buffer;
  p->capacity = capacity;
  return true;
}

struct line {
  const char *text;
  size_t length;  /* without the line end */
  size_t size;    /* with it */
};

/* The text ends with a line end: leave it out. */
static struct line without_end (const char *text, size_t size) {
  struct line line = { text, size - 1, size };
  if (size > 1 && text[size - 2] == '\r') line.length--;
  return line;
}

/*
** The next line, of `most` bytes at most; false when it is not all here yet, or too long. One that comes in pieces is put
** together behind the body, so it is gone when the buffer grows. Moves *at behind what was taken.
*/
static bool take_line (struct http1 *p, const char **at, const char *end, size_t most, struct line *line) {
  const char *start = *at, *line_end = (const char *)memchr(start, '\n', (size_t)(end - start));
  size_t n = (size_t)((line_end ? line_end + 1 : end) - start);
  *at += n;
  if (p->partial + n > most) {
    fail(p, KIND_network, "more than %d KiB of headers", (int)(HTTP1_MAX_HEAD >> 10));
    return false;
  }
  if (line_end == NULL || p->partial > 0) {
    if (!reserve(p, p->length + p->partial + n)) return false;
    memcpy(p->buffer + p->length + p->partial, start, n);
    p->partial += n;
    if (line_end == NULL) return false;
    start = p->buffer + p->length;
    n = p->partial;
    p->partial = 0;
  }
  *line = without_end(start, n);
  return true;
}

/* A line of a head or a trailer. */
static bool take_head_line (struct http1 *p, const char **at, const char *end, struct line *line) {
  if (!take_line(p, at, end, HTTP1_MAX_HEAD - p->head, line)) return false;
  p->head += line->size;
  return true;
}

/* Bytes of the body, up to `left`; returns how many. */
static size_t take_body (struct http1 *p, const char *at, const char *end) {
  size_t n = (size_t)(end - at);
  if (n > p->left) n = p->left;
  if (n == 0 || !reserve(p, p->length + n)) return n;
  memcpy(p->buffer + p->length, at, n);
  p->length += n;
  p->left -= n;
  return n;
}

static void complete (struct http1 *p) {
  if (p->encoded) p->length = 0;
  p->state = HTTP1_COMPLETE;
}

/* ---- words ----------------------------------------------------------------------------------------------------- */

static bool is_digit (char c) { return c >= '0' && c <= '9'; }

static char lower (char c) { return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c); }

/* Letters, digits and what else may stand in a field's name. */
static bool is_token (char c) {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_blank (char c) { return c == ' ' || c == '\t'; }

/* `word` is in lower case. */
static bool is_word (const char *text, size_t length, const char *word) {
  for (size_t i = 0; i < length; i++)
    if (word[i] == '\0' || lower(text[i]) != word[i]) return false;
  return word[length] == '\0';
}

static void trim (const char **text, size_t *length) {
  while (*length > 0 && is_blank((*text)[0])) {
    (*text)++;
    (*length)--;
  }
  while (*length > 0 && is_blank((*text)[*length - 1])) (*length)--;
}

/* What stands before the next comma, trimmed. *text is NULL at the end; a list has at least one item. */
static bool next_item (const char **text, size_t *length, const char **item, size_t *item_length) {
  if (*text == NULL) return false;
  const char *comma = (const char *)memchr(*text, ',', *length);
  *item = *text;
  *item_length = comma ? (size_t)(comma - *text) : *length;
  *length -= comma ? *item_length + 1 : *item_length;
  *text = comma ? comma + 1 : NULL;
  trim(item, item_length);
  return true;
}

/* ---- fields ---------------------------------------------------------------------------------------------------- */

static void take_connection (struct http1 *p, const char *value, size_t length) {
  const char *item;
  size_t n;
  while (next_item(&value, &length, &item, &n)) {
    if (is_word(item, n, "close")) p->closing = true;
    else if (is_word(item, n, "keep-alive")) p->keep_alive = true;
  }
}

/* Digits and nothing else; what is beyond 64 bits is the largest number. */
static bool read_length (const char *text, size_t n, uint64_t *value) {
  *value = 0;
  for (size_t i = 0; i < n; i++) {
    if (!is_digit(text[i])) return false;
    unsigned digit = (unsigned)(text[i] - '0');
    *value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *value * 10 + digit;
  }
  return n > 0;
}

/* The same length may be there several times, as lines or as items. */
static void take_content_length (struct http1 *p, const char *value, size_t length) {
  const char *item;
  size_t n;
  uint64_t number;
  while (next_item(&value, &length, &item, &n)) {
    if (!read_length(item, n, &number)) {
      fail(p, KIND_network, "the Content-Length is no number");
      return;
    }
    if (p->has_length && number != p->content_length) {
      fail(p, KIND_network, "two different Content-Lengths");
      return;
    }
    p->has_length = true;
    p->content_length = number;
  }
}

static void take_transfer_encoding (struct http1 *p, const char *value, size_t length) {
  if (p->chunked || !is_word(value, length, "chunked")) fail(p, KIND_network, "a Transfer-Encoding other than chunked");
  p->chunked = true;
}

static void take_content_encoding (struct http1 *p, const char *value, size_t length) {
  const char *item;
  size_t n;
  while (next_item(&value, &length, &item, &n))
    if (n > 0 && !is_word(item, n, "identity")) p->encoded = true;
}

static void keep (char *kept, const char *value, size_t length) {
  if (length > HTTP1_MAX_VALUE) length = HTTP1_MAX_VALUE;
  memcpy(kept, value, length);
  kept[length] = '\0';
}

static void take_retry_after (struct http1 *p, const char *value, size_t length) { keep(p->retry_after, value, length); }

static void take_retry_after_ms (struct http1 *p, const char *value, size_t length) {
  keep(p->retry_after_ms, value, length);
}

static const struct {
  const char *name;
  size_t length;
  void (*take) (struct http1 *p, const char *value, size_t length);
} fields[] = {
  { "connection", 10, take_connection },
  { "retry-after", 11, take_retry_after },
  { "content-length", 14, take_content_length },
  { "retry-after-ms", 14, take_retry_after_ms },
  { "content-encoding", 16, take_content_encoding },
  { "transfer-encoding", 17, take_transfer_encoding },
};

/* Where the field's name ends; 0 for what is no field. A line that goes on from the one before it starts with a blank. */
static size_t field_name (const struct line *line) {
  size_t n = 0;
  while (n < line->length && is_token(line->text[n])) n++;
  if (n == line->length || line->text[n] != ':') return 0;
  return memchr(line->text, '\r', line->length) || memchr(line->text, '\0', line->length) ? 0 : n;
}

/* Returns the length of the name; where there is none, the answer has failed. */
static size_t check_field (struct http1 *p, const struct line *line) {
  size_t n = field_name(line);
  if (n == 0) fail(p, KIND_network, "a malformed header");
  return n;
}

static void take_field (struct http1 *p, const struct line *line) {
  size_t name_length = check_field(p, line);
  if (name_length == 0 || p->status < 200) return;
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
    if (fields[i].length == name_length && is_word(line->text, name_length, fields[i].name)) {
      const char *value = line->text + name_length + 1;
      size_t length = line->length - name_length - 1;
      trim(&value, &length);
      fields[i].take(p, value, length);
      return;
    }
}

/* ---- heads ----------------------------------------------------------------------------------------------------- */

/* What is not HTTP may never send a line end: look at the first bytes as they come. */
static bool looks_like_http (struct http1 *p, const char *at, const char *end) {
  static const char start[] = "HTTP/1.";
  size_t most = HTTP1_MAX_HEAD - p->head < sizeof start - 1 ? HTTP1_MAX_HEAD - p->head : sizeof start - 1;
  for (size_t i = p->partial; i < most && at < end; i++)
    if (*at++ != start[i]) {
      fail(p, KIND_network, i < 5 ? "no HTTP answer" : "an answer in another version of HTTP");
      return false;
    }
  return true;
}

static void take_status (struct http1 *p, const struct line *line) {
  const char *text = line->text;
  size_t n = line->length;
  bool well = n >= 12 && text[8] == ' ' && is_digit(text[9]) && is_digit(text[10]) && is_digit(text[11])
              && (n == 12 || text[12] == ' ') && !memchr(text, '\r', n) && !memchr(text, '\0', n);
  p->status = well ? (text[9] - '0') * 100 + (text[10] - '0') * 10 + (text[11] - '0') : 0;
  if (p->status < 100) fail(p, KIND_network, "a malformed status line");
  else if (text[7] != '0' && text[7] != '1') fail(p, KIND_network, "an answer in another version of HTTP");
  else if (p->status == 101) fail(p, KIND_network, "the server switches to another protocol");
  else p->state = HTTP1_FIELDS;
  p->minor = text[7] - '0';
}

static void end_of_interim (struct http1 *p) {
  p->state = HTTP1_STATUS_LINE;
  if (++p->interim > HTTP1_MAX_INTERIM) fail(p, KIND_network, "more than %d interim answers", HTTP1_MAX_INTERIM);
}

/* Where a body is announced and none may come, the next answer could start with it. */
static void end_without_body (struct http1 *p) {
  if (p->chunked || p->content_length > 0) p->closing = true;
  complete(p);
}

static void start_body (struct http1 *p) {
  if (p->chunked) {
    if (p->minor == 0) p->closing = true;  /* RFC 9112, 6.1: 1.0 does not have it */
    p->state = HTTP1_CHUNK_SIZE;
  } else if (!p->has_length) {
    p->left = p->max_body;
    p->state = HTTP1_UNTIL_CLOSED;
  } else if (p->content_length > p->max_body) {
    fail_too_large(p);
  } else if (p->content_length == 0) {
    complete(p);
  } else {
    p->left = (size_t)p->content_length;
    p->state = HTTP1_LENGTH;
    reserve(p, p->left);
  }
}

/* Of an answer other than 200 the status is what counts: one that is compressed goes without its body. */
static void end_of_head (struct http1 *p) {
  if (p->status < 200) end_of_interim(p);
  else if (p->chunked && p->has_length) fail(p, KIND_network, "both a Content-Length and a Transfer-Encoding");
  else if (p->status == 204 || p->status == 304) end_without_body(p);
  else if (p->encoded && p->status == 200) fail(p, KIND_bad_answer, "the server compressed its answer without being asked");
  else start_body(p);
}

/* ---- chunks ---------------------------------------------------------------------------------------------------- */

static int hex_digit (char c) {
  if (is_digit(c)) return c - '0';
  return lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 'a' + 10 : -1;
}

/* A chunk's size, stopping to count beyond HTTP1_MAX_BODY; false for what is none. Behind it there may be extensions. */
static bool read_chunk_size (const struct line *line, size_t *size) {
  size_t i = 0;
  *size = 0;
  for (int digit; i < line->length && (digit = hex_digit(line->text[i])) >= 0; i++)
    if (*size <= HTTP1_MAX_BODY) *size = *size * 16 + (size_t)digit;
  if (i == 0 || line->size - line->length != 2) return false;
  while (i < line->length && is_blank(line->text[i])) i++;
  return (i == line->length || line->text[i] == ';') && !memchr(line->text, '\r', line->length)
         && !memchr(line->text, '\0', line->length);
}

static void take_chunk_size (struct http1 *p, const struct line *line) {
  size_t size;
  if (line->size > CHUNK_LINE) p->head += line->size - CHUNK_LINE;
  if (!read_chunk_size(line, &size)) fail(p, KIND_network, "a malformed chunk");
  else if (size > p->max_body - p->length) fail_too_large(p);
  else p->state = size > 0 ? HTTP1_CHUNK_DATA : HTTP1_TRAILERS;
  p->left = size;
}

static void take_chunk_end (struct http1 *p, char c) {
  bool first = p->state == HTTP1_CHUNK_CR;
  if (c != (first ? '\r' : '\n')) fail(p, KIND_network, "a malformed chunk");
  else p->state = first ? HTTP1_CHUNK_LF : HTTP1_CHUNK_SIZE;
}

/* ---- one thing after the other --------------------------------------------------------------------------------- */

static const char *step_line (struct http1 *p, const char *at, const char *end) {
  struct line line;
  if (p->state == HTTP1_CHUNK_SIZE) {
    if (take_line(p, &at, end, CHUNK_LINE + HTTP1_MAX_HEAD - p->head, &line)) take_chunk_size(p, &line);
  } else if (p->state == HTTP1_STATUS_LINE) {
    if (looks_like_http(p, at, end) && take_head_line(p, &at, end, &line)) take_status(p, &line);
  } else if (take_head_line(p, &at, end, &line)) {
    if (p->state == HTTP1_FIELDS && line.length > 0) take_field(p, &line);
    else if (p->state == HTTP1_FIELDS) end_of_head(p);
    else if (line.length > 0) check_field(p, &line);
    else complete(p);
  }
  return at;
}

static const char *step (struct http1 *p, const char *at, const char *end) {
  switch (p->state) {
    case HTTP1_LENGTH:
      at += take_body(p, at, end);
      if (p->left == 0) complete(p);
      return at;
    case HTTP1_CHUNK_DATA:
      at += take_body(p, at, end);
      if (p->left == 0) p->state = HTTP1_CHUNK_CR;
      return at;
    case HTTP1_UNTIL_CLOSED:
      if ((size_t)(end - at) <= p->left) return at + take_body(p, at, end);
      fail_too_large(p);
      return end;
    case HTTP1_CHUNK_CR: case HTTP1_CHUNK_LF:
      take_chunk_end(p, *at);
      return at + 1;
    default: return step_line(p, at, end);
  }
}

enum http1_result http1_feed (struct http1 *p, const char *bytes, size_t n) {
  const char *at = bytes, *end = bytes + n;
  if (n > 0) p->started = true;
  while (at < end && p->state < HTTP1_COMPLETE) at = step(p, at, end);
  if (at < end) p->closing = true;  /* surplus: nobody asked for it */
  return result(p);
}

/* ---- the end of the connection --------------------------------------------------------------------------------- */

static void fail_cut_short (struct http1 *p) {
  unsigned long length = (unsigned long)p->length, all = (unsigned long)p->content_length;
  unsigned long head = (unsigned long)(p->head + p->partial);
  if (!p->started) fail(p, KIND_network, "the connection was closed before an answer came");
  else if (p->state == HTTP1_STATUS_LINE || p->state == HTTP1_FIELDS)
    fail(p, KIND_network, "the connection was closed in the middle of the headers, after %lu bytes", head);
  else if (p->state == HTTP1_LENGTH)
    fail(p, KIND_network, "the connection was closed in the middle of the answer, after %lu of %lu bytes", length, all);
  else fail(p, KIND_network, "the connection was closed in the middle of the answer, after %lu bytes in chunks", length);
}

enum http1_result http1_end (struct http1 *p) {
  if (p->state == HTTP1_UNTIL_CLOSED) complete(p);
  else if (p->state < HTTP1_COMPLETE) fail_cut_short(p);
  p->closing = true;
  return result(p);
}

/*
** Fuzz target of csrc/http1.c: any bytes, cut in any way, then the connection's end. What comes out may not depend on the
** cuts, and no limit is passed. The limits are made small, so that short inputs reach them.
*/
#include "fuzz.h"
#include "http1.h"

#undef HTTP1_MAX_HEAD
#undef HTTP1_MAX_INTERIM
#undef HTTP1_MAX_KEPT
#define HTTP1_MAX_HEAD ((size_t)300)
#define HTTP1_MAX_INTERIM 3
#define HTTP1_MAX_KEPT ((size_t)2048)
#include "../csrc/http1.c"

/* What a caller gets to see. */
static void same (const struct http1 *a, const struct http1 *b) {
  CHECK(a->state == b->state && a->started == b->started && http1_reusable(a) == http1_reusable(b));
  if (a->state == HTTP1_BROKEN) CHECK(a->kind == b->kind && strcmp(a->message, b->message) == 0);
  if (a->state != HTTP1_COMPLETE) return;
  CHECK(a->status == b->status && a->length == b->length);
  CHECK(a->length == 0 || memcmp(a->buffer, b->buffer, a->length) == 0);
  CHECK(strcmp(a->retry_after, b->retry_after) == 0 && strcmp(a->retry_after_ms, b->retry_after_ms) == 0);
}

static void check_over (const struct http1 *p) {
  CHECK(strlen(p->retry_after) <= HTTP1_MAX_VALUE && strlen(p->retry_after_ms) <= HTTP1_MAX_VALUE);
  if (p->state == HTTP1_COMPLETE) {
    CHECK(p->status >= 200 && p->status <= 999 && p->kind == KIND_settled && *p->message == '\0');
    return;
  }
  CHECK(p->kind == KIND_network || p->kind == KIND_too_large || p->kind == KIND_bad_answer);
  CHECK(*p->message != '\0' && strlen(p->message) < sizeof p->message - 1 && strchr(p->message, '\n') == NULL);
  CHECK(!http1_reusable(p));
}

static void check (const struct http1 *p, enum http1_result result) {
  size_t most = p->max_body + HTTP1_MAX_HEAD + CHUNK_LINE;
  CHECK(result != HTTP1_NO_MEMORY && (result == HTTP1_DONE) == (p->state == HTTP1_COMPLETE));
  CHECK((result == HTTP1_FAILED) == (p->state == HTTP1_BROKEN));
  CHECK(p->length <= p->max_body && p->capacity <= (most > FIRST_SIZE ? most : FIRST_SIZE));
  CHECK(p->length + p->partial <= p->capacity);
  if (result != HTTP1_MORE) check_over(p);
}

/* Once it is over, nothing but the connection's use changes. */
static void feed_piece (struct http1 *p, const char *bytes, size_t size) {
  if (p->state < HTTP1_COMPLETE) {
    check(p, http1_feed(p, bytes, size));
    return;
  }
  struct http1 before = *p;
  check(p, http1_feed(p, bytes, size));
  CHECK(p->state == before.state && (size == 0 || !http1_reusable(p)));
  before.closing = p->closing;
  same(p, &before);
}

static void feed (struct http1 *p, const uint8_t *data, size_t size, enum cut cut) {
  char *block = block_new(size);
  size_t n;
  for (size_t at = 0; at < size; at += n) {
    n = cut_size(cut, data, size, at);
    feed_piece(p, block_put(block, size, data + at, n), n);
  }
  feed_piece(p, block + size, 0);
  free(block);
}

static void end (struct http1 *p) {
  check(p, http1_end(p));
  CHECK(p->state >= HTTP1_COMPLETE && !http1_reusable(p));
}

/* Each way of cutting, with a fresh parser and with one that has read the same answer before. */
static void try_all (const uint8_t *data, size_t size, size_t max_body) {
  struct http1 whole, cut;
  http1_init(&whole, max_body);
  http1_init(&cut, max_body);
  feed(&whole, data, size, CUT_NOT);
  for (int i = CUT_NOT; i < CUTS; i++) {
    feed(&cut, data, size, (enum cut)i);
    same(&whole, &cut);
    if (i == CUT_BYTES) end(&cut);
    http1_reset(&cut);
    CHECK(cut.capacity <= HTTP1_MAX_KEPT && cut.state == HTTP1_STATUS_LINE && !cut.started);
  }
  end(&whole);
  feed(&cut, data, size, CUT_FROM_END);
  end(&cut);
  same(&whole, &cut);
  http1_free(&whole);
  http1_free(&whole);
  http1_free(&cut);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size) {
  try_all(data, size, 0);
  try_all(data, size, 100);
  try_all(data, size, 3000);
  return 0;
}

/*
** Fuzz target of csrc/scanner.c: any body, cut in any way. What is found may not depend on the cuts; where the whole body is
** one JSON object, it is what the JSON reader finds there.
*/
#include "fuzz.h"
#include "json.h"
#include "scanner.h"

struct result {
  bool more, finished, has_id;
  enum scanner_usage state;
  size_t id_length, usage_length, cost_length;
  char id[LOOKUP_ID_MAX], usage[SCANNER_MAX_USAGE + 1], cost[MONEY_TEXT_SIZE];
};

/* ---- one scan ---------------------------------------------------------------------------------------------------- */

static void check_id (const struct result *r) {
  CHECK(r->id_length >= 4 && r->id_length <= LOOKUP_ID_MAX && memcmp(r->id, "gen-", 4) == 0);
  CHECK(lookup_id_valid(r->id, r->id_length));
}

/* A usage is an object, minified, and its cost is that of its last member of this name. */
static void check_usage (const struct result *r) {
  struct money money;
  char minified[SCANNER_MAX_USAGE], cost_text[MONEY_TEXT_SIZE];
  const char *text = r->usage, *end = text + r->usage_length, *cost;
  struct json_check check = { end, NULL, NULL };
  CHECK(r->usage_length <= SCANNER_MAX_USAGE && *text == '{' && *end == '\0');
  CHECK(json_check_value(text, 0, &check) == end);
  CHECK(json_minify(minified, text, end) == r->usage_length && memcmp(minified, text, r->usage_length) == 0);
  cost = json_member(text, "cost", 4);
  if (cost == NULL || !json_is_number(cost) || money_parse(&money, cost) == MONEY_OVERFLOW) {
    CHECK(r->cost_length == 0);
    return;
  }
  CHECK(r->cost_length == money_format(cost_text, &money) && memcmp(r->cost, cost_text, r->cost_length) == 0);
}

/* Asked twice, it says the same. */
static void read_result (struct scanner *s, struct result *r) {
  const char *text, *id;
  size_t length;
  char cost[MONEY_TEXT_SIZE];
  r->state = scanner_usage(s, &text, &r->usage_length);
  if (r->state != USAGE_FOUND) r->usage_length = 0;
  memcpy(r->usage, text, r->usage_length);
  r->usage[r->usage_length] = '\0';
  CHECK(r->state != USAGE_FOUND || text[r->usage_length] == '\0');
  r->cost_length = scanner_cost(s, r->cost);
  CHECK(scanner_cost(s, cost) == r->cost_length && scanner_usage(s, &text, &length) == r->state);
  r->finished = scanner_finished(s);
  id = scanner_id(s, &r->id_length);
  r->has_id = id != NULL;
  if (id != NULL) memcpy(r->id, id, r->id_length);
  if (r->has_id) check_id(r);
  if (r->state == USAGE_FOUND) check_usage(r);
  else CHECK(r->cost_length == 0);
}

static void same_id (const struct result *a, const struct result *b) {
  CHECK(a->has_id == b->has_id);
  CHECK(!a->has_id || (a->id_length == b->id_length && memcmp(a->id, b->id, a->id_length) == 0));
}

static void same (const struct result *a, const struct result *b) {
  same_id(a, b);
  CHECK(a->more == b->more && a->finished == b->finished && a->state == b->state);
  CHECK(a->usage_length == b->usage_length && memcmp(a->usage, b->usage, a->usage_length) == 0);
  CHECK(a->cost_length == b->cost_length && memcmp(a->cost, b->cost, a->cost_length) == 0);
}

/* With `asking` for the results after each piece: an id that was told stays, and what was final stays as well. */
static void scan (struct result *r, const uint8_t *data, size_t size, enum cut cut, bool asking) {
  struct scanner *s = (struct scanner *)malloc(sizeof *s);
  char *block = block_new(size);
  struct result before;
  size_t n;
  CHECK(s != NULL);
  memset(s, 0xAA, sizeof *s);
  scanner_init(s);
  r->more = scanner_feed(s, "", 0);
  read_result(s, r);
  CHECK(r->more && !r->has_id && r->state == USAGE_NONE && !r->finished);
  for (size_t at = 0; at < size; at += n) {
    n = cut_size(cut, data, size, at);
    before = *r;
    r->more = scanner_feed(s, block_put(block, size, data + at, n), n);
    CHECK(before.more || !r->more);
    if (!asking) continue;
    read_result(s, r);
    if (before.has_id) same_id(r, &before);
    if (!before.more) same(r, &before);
  }
  read_result(s, r);
  free(block);
  free(s);
}

/* ---- what a reader of the whole body finds ----------------------------------------------------------------------- */

static void expect_id (const struct result *r, const char *value) {
  char text[SCANNER_MAX_TOKEN];
  const char *raw = NULL;
  size_t length = 0;
  if (value != NULL && *value == '"') raw = json_string(value, &length);
  if (raw != NULL && length <= sizeof text) length = json_unescape(text, raw, length);
  else length = 0;
  bool valid = length >= 4 && memcmp(text, "gen-", 4) == 0 && lookup_id_valid(text, length);
  CHECK(r->has_id == valid);
  CHECK(!valid || (r->id_length == length && memcmp(r->id, text, length) == 0));
}

static void expect_usage (const struct result *r, const char *value) {
  if (value == NULL || *value != '{') {
    CHECK(r->state == USAGE_NONE);
    return;
  }
  const char *end = json_skip(value);
  char *minified = block_new((size_t)(end - value));
  size_t length = json_minify(minified, value, end);
  CHECK(r->state == (length > SCANNER_MAX_USAGE ? USAGE_TOO_LARGE : USAGE_FOUND));
  CHECK(r->state != USAGE_FOUND || (r->usage_length == length && memcmp(r->usage, minified, length) == 0));
  free(minified);
}

static void compare_with_reader (const struct result *r, const uint8_t *data, size_t size) {
  char *text = block_new(size + 1);
  struct json_check check = { text + size, NULL, NULL };
  if (size > 0) memcpy(text, data, size);
  text[size] = '\0';
  const char *start = json_space(text);
  if (*start == '{' && json_check_value(start, 0, &check) == text + size) {
    CHECK(r->finished && !r->more);
    expect_id(r, json_member(start, "id", 2));
    expect_usage(r, json_member(start, "usage", 5));
  }
  free(text);
}

/* ---- line ends --------------------------------------------------------------------------------------------------- */

/* Copy the bytes with every line end as one line feed; returns how many there are. */
static size_t put_line_feeds (uint8_t *out, const uint8_t *data, size_t size) {
  size_t length = 0;
  for (size_t i = 0; i < size; i++) {
    if (data[i] == '\n' && i > 0 && data[i - 1] == '\r') continue;
    out[length++] = data[i] == '\r' ? '\n' : data[i];
  }
  return length;
}

/* What lines end with makes no difference to an event stream. */
static void compare_line_ends (const struct result *r, const uint8_t *data, size_t size) {
  static struct result other;
  size_t start = 0;
  while (start < size && data[start] != '\0' && strchr(" \t\r\n\xEF\xBB\xBF", data[start]) != NULL) start++;
  if (start == size || data[start] == '{') return;
  uint8_t *copy = (uint8_t *)block_new(size);
  scan(&other, copy, put_line_feeds(copy, data, size), CUT_NOT, false);
  same(r, &other);
  free(copy);
}

#define ASKED_ALL 400  /* bytes of a body up to which the results are asked for after each: of a longer one it takes too long */

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size) {
  struct result whole, cut;
  scan(&whole, data, size, CUT_NOT, false);
  for (int i = CUT_BYTES; i < CUTS; i++) {
    scan(&cut, data, size, (enum cut)i, false);
    same(&whole, &cut);
    if (i != CUT_BYTES || size <= ASKED_ALL) scan(&cut, data, size, (enum cut)i, true);
  }
  compare_with_reader(&whole, data, size);
  compare_line_ends(&whole, data, size);
  return 0;
}

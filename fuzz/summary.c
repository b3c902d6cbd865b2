#include "summary.h"

#include "fuzz.h"
#include "spend.h"

#include <errno.h>
#include <math.h>

/* ---- a hash of all there is -------------------------------------------------------------------------------------- */

static void mix (struct summary *s, const void *bytes, size_t size) {
  const unsigned char *p = (const unsigned char *)bytes;
  for (size_t i = 0; i < size; i++) s->values = (s->values ^ p[i]) * 1099511628211u;
}

static void mix_size (struct summary *s, size_t n) { mix(s, &n, sizeof n); }

static void mix_string (struct summary *s, const char *raw, size_t length) {
  char *text = block_new(length);
  size_t n = json_unescape(text, raw, length);
  CHECK(n <= length && json_string_is(raw, length, text, n));
  CHECK(n == 0 || !json_string_is(raw, length, text, n - 1));
  mix(s, text, n);
  mix_size(s, n);
  free(text);
}

/* ---- numbers, beside what libc makes of them --------------------------------------------------------------------- */

static uint64_t bits_of (double number) {
  uint64_t bits;
  memcpy(&bits, &number, sizeof bits);
  return bits;
}

static void check_integer (const char *p, const struct number_summary *n) {
  const char *end = p + (*p == '-');
  while (*end >= '0' && *end <= '9') end++;
  if (*end == '.' || *end == 'e' || *end == 'E') return;
  errno = 0;
  long long value = strtoll(p, NULL, 10);
  CHECK(n->is_integer == (errno == 0) && (!n->is_integer || n->integer == value));
}

static void check_money (const struct money *money) {
  char text[MONEY_TEXT_SIZE];
  struct money again;
  size_t length = money_format(text, money);
  CHECK(length < MONEY_TEXT_SIZE && text[length] == '\0');
  CHECK(money_parse(&again, text) == MONEY_EXACT && again.low == money->low && again.high == money->high);
  CHECK(money_double(money) == strtod(text, NULL));
}

static struct number_summary summary_of_number (const char *p) {
  struct number_summary n;
  struct money money;
  double number, expected = strtod(p, NULL);
  memset(&n, 0, sizeof n);
  n.is_double = json_double(p, &number);
  CHECK(n.is_double == (isfinite(expected) != 0));
  if (n.is_double) n.bits = bits_of(number);
  CHECK(!n.is_double || n.bits == bits_of(expected));
  n.is_integer = json_integer(p, &n.integer);
  if (!n.is_integer) n.integer = 0;
  check_integer(p, &n);
  n.status = money_parse(&money, p);
  if (n.status == MONEY_OVERFLOW) return n;
  n.low = money.low;
  n.high = money.high;
  check_money(&money);
  if (n.status == MONEY_EXACT) CHECK(money_double(&money) == expected);
  else CHECK(fabs(money_double(&money) - expected) <= 0.5e-27 + fabs(expected) * 1e-15);
  return n;
}

static void mix_number (struct summary *s, const char *p) {
  struct number_summary n = summary_of_number(p);
  mix(s, &n.bits, sizeof n.bits);
  mix(s, &n.integer, sizeof n.integer);
  mix(s, &n.low, sizeof n.low);
  mix(s, &n.high, sizeof n.high);
  mix_size(s, (size_t)n.status * 4 + n.is_double * 2 + n.is_integer);
}

/* ---- a walk over checked text ------------------------------------------------------------------------------------ */

static void mix_value (struct summary *s, const char *text, const char *p);

#define LOOKED_UP 8  /* members of an object that are looked for by name too: for all of them it would take too long */

static void mix_object (struct summary *s, const char *text, const char *object) {
  const char *p = object, *name, *value, *found;
  size_t length;
  for (int i = 0; json_next_member(&p, &name, &length, &value); i++) {
    mix_string(s, name, length);
    mix_value(s, text, value);
    if (i >= LOOKED_UP) continue;
    char *plain = block_new(length);
    found = json_member(object, plain, json_unescape(plain, name, length));
    CHECK(found != NULL && found >= value);  /* the last one of this name */
    mix_size(s, (size_t)(found - text));
    free(plain);
  }
}

static void mix_value (struct summary *s, const char *text, const char *p) {
  const char *end = json_skip(p), *item;
  struct json_check check = { end, NULL, NULL };
  size_t length;
  CHECK(json_check_value(p, 0, &check) == end);
  mix_size(s, (size_t)(p - text));
  mix_size(s, (size_t)(end - text));
  mix(s, json_kind(p), strlen(json_kind(p)));
  switch (*p) {
    case '{': mix_object(s, text, p); break;
    case '[':
      while (json_next_item(&p, &item)) mix_value(s, text, item);
      break;
    case '"': p = json_string(p, &length); mix_string(s, p, length); break;
    default:
      if (json_is_number(p)) mix_number(s, p);
  }
}

/* Minified text has the same values, and nothing more to take out. */
static void mix_minified (struct summary *s, const char *p) {
  const char *end = json_skip(p);
  char *once = block_new((size_t)(end - p) + 1), *twice = block_new((size_t)(end - p));
  size_t length = json_minify(once, p, end);
  struct json_check check = { once + length, NULL, NULL };
  once[length] = '\0';
  CHECK(json_check_value(once, 0, &check) == once + length);
  CHECK(json_minify(twice, once, once + length) == length && memcmp(once, twice, length) == 0);
  mix(s, once, length);
  free(once);
  free(twice);
}

/* ---- the summary ------------------------------------------------------------------------------------------------- */

static void summarize_members (struct summary *s, const struct record *r) {
  struct money spend;
  s->object = r->object;
  s->answer = r->answer;
  s->context = r->context;
  s->at = r->at;
  for (int i = 0; i < FIELD_COUNT; i++) {
    const char *value = record_member(r, i);
    s->field[i].at = value ? (size_t)(value - r->text) : 0;
    s->field[i].state = record_state(r, i);
    if (value && json_is_number(value)) s->field[i].number = summary_of_number(value);
  }
  s->has_spend = record_spend(r, &spend) == NULL;
  s->spend_low = s->has_spend ? spend.low : 0;
  s->spend_high = s->has_spend ? spend.high : 0;
}

void summarize (struct summary *s, const char *text, size_t length) {
  struct record *r = (struct record *)(void *)block_new(sizeof *r + length);
  struct json_check check;
  const char *part = NULL, *start;
  memset(s, 0, sizeof *s);
  r->length = (uint32_t)length;
  memcpy(r->text, text, length + 1);
  s->kind = record_index(r, &part, &check);
  if (s->kind == RECORD_INVALID) {
    s->message = check.message;
    s->byte = (size_t)(check.at - r->text) + 1;
    CHECK(s->message != NULL && *s->message != '\0' && s->byte >= 1 && s->byte <= length + 1);
  } else {
    start = json_space(r->text);
    CHECK(json_space(json_skip(start)) == r->text + length);
    mix_value(s, r->text, start);
    mix_minified(s, start);
    if (s->kind == RECORD_GENERATION) summarize_members(s, r);
    else s->part = (size_t)(part - r->text);
  }
  free(r);
}

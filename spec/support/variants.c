/*
** Reads a file of texts and prints what the core makes of each: one line with a hash of all there is to know, or for the
** texts whose numbers follow, all of it. Every build of the core must print the same. Built by spec/variants_spec.lua.
**
** usage: variants FILE [NUMBER]...    the file: for each text its length in 4 bytes, highest first, and the text
*/
#define _DEFAULT_SOURCE  /* for MAP_ANONYMOUS */

#include "record.h"
#include "spend.h"
#include "tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)65536)  /* a multiple of any page size in use */

/* ---- output ----------------------------------------------------------------------------------------------------- */

static bool in_full;
static uint64_t hash;  /* FNV-1a of what there is to say of the text at hand */

static void hash_byte (unsigned byte) { hash = (hash ^ byte) * UINT64_C(0x100000001b3); }

static void put_bytes (const char *bytes, size_t length) {
  if (in_full) fwrite(bytes, 1, length, stdout);
  for (size_t i = 0; i < length; i++) hash_byte((unsigned char)bytes[i]);
}

static void put (const char *text) { put_bytes(text, strlen(text)); }

static void put_integer (const char *before, int64_t n) {
  put(before);
  if (in_full) printf("%" PRId64, n);
  for (int i = 0; i < 64; i += 8) hash_byte((unsigned)((uint64_t)n >> i & 0xFF));
}

static void put_double (const char *before, double number) {
  uint64_t bits;
  memcpy(&bits, &number, sizeof bits);
  put(before);
  if (in_full) printf("%016" PRIx64, bits);
  for (int i = 0; i < 64; i += 8) hash_byte((unsigned)(bits >> i & 0xFF));
}

static void put_money (const char *before, const struct money *money) {
  char text[MONEY_TEXT_SIZE];
  put(before);
  put_bytes(text, money_format(text, money));
}

static void put_sum (const char *before, const struct money_sum *sum) {
  char text[MONEY_SUM_TEXT_SIZE];
  put(before);
  put_bytes(text, money_sum_format(text, sum));
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static void put_number (const char *p) {
  static const char *const status[] = { " money ", " rounded ", " overflow" };
  double number = 0;
  int64_t integer = 0;
  struct money money = { 0, 0 };
  put(json_double(p, &number) ? " double " : " infinite ");
  put_double("", number);
  if (json_integer(p, &integer)) put_integer(" integer ", integer);
  enum money_status s = money_parse(&money, p);
  put(status[s]);
  if (s == MONEY_OVERFLOW) return;
  put_money("", &money);
  put_double(" ", money_double(&money));
}

static void put_string (const char *p) {
  size_t length;
  const char *raw = json_string(p, &length);
  char *plain = (char *)malloc(length + 1);
  size_t plain_length = json_unescape(plain, raw, length);
  plain[plain_length] = 'x';
  put_integer(" string ", (int64_t)plain_length);
  put(json_string_is(raw, length, plain, plain_length) ? " " : " is not ");
  if (json_string_is(raw, length, plain, plain_length + 1)) put(" with an x ");
  put_bytes(plain, plain_length);
  free(plain);
}

static void put_value (const char *base, const char *p);

static void put_members (const char *base, const char *object) {
  const char *p = object, *raw, *value;
  size_t length;
  for (int i = 0; json_next_member(&p, &raw, &length, &value); i++) {
    put("\n name");
    put_string(raw - 1);
    if (i < 4) {  /* each costs a walk through the object */
      char *name = (char *)malloc(length + 1);
      const char *found = json_member(object, name, json_unescape(name, raw, length));
      put_integer(" last at ", found ? found - base : 0);
      free(name);
    }
    put_value(base, value);
  }
}

static void put_value (const char *base, const char *p) {
  const char *cursor = p, *item;
  put("\n ");
  put(json_kind(p));
  put_integer(" from ", p - base);
  put_integer(" to ", json_skip(p) - base);
  if (json_is_number(p)) put_number(p);
  else if (*p == '"') put_string(p);
  else if (*p == '{') put_members(base, p);
  else if (*p == '[')
    while (json_next_item(&cursor, &item)) put_value(base, item);
}

static void put_minified (const char *p) {
  const char *end = json_skip(p);
  char *out = (char *)malloc((size_t)(end - p));
  put("\nminified ");
  put_bytes(out, json_minify(out, p, end));
  free(out);
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static const char *const states[] = { " value", " null", " absent", " mismatch" };

static void put_record (const struct record *r) {
  struct money spend;
  put_integer(" object ", r->object);
  put_integer(" answer ", r->answer);
  put_integer(" context ", r->context);
  put_integer(" at ", r->at);
  for (int i = 0; i < FIELD_COUNT; i++) {
    if (record_member(r, i) == NULL) continue;
    put("\n");
    put(field_info[i].name);
    put(states[record_state(r, i)]);
    put_value(r->text, record_member(r, i));
  }
  const char *why = record_spend(r, &spend);
  put("\nspend ");
  if (why == NULL) put_money("", &spend);
  else put(why);
  put_value(r->text, r->text + r->object);
  put_minified(r->text + r->answer);
  if (r->context) put_value(r->text, r->text + r->context);
}

static void put_text (struct record *r) {
  static const char *const kinds[] = { "generation", "invalid: ", "API error", "open", "failed" };
  const char *part = NULL;
  struct json_check check;
  enum record_kind kind = record_index(r, &part, &check);
  put(kinds[kind]);
  if (kind == RECORD_GENERATION) put_record(r);
  else if (kind == RECORD_INVALID) put_integer(check.message, check.at - r->text);
  else put_value(r->text, part);
}

/*
** The record is where a page ends behind which nothing may be read, so that its NUL is the last byte or, as the record has
** to be aligned, one of the last four.
*/
static struct record *place (const char *text, size_t length) {
  static char *start;
  static const size_t room = RECORD_MAX_TEXT + PAGE;
  if (start == NULL) {
    start = (char *)mmap(NULL, room + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + room, PAGE, PROT_NONE) != 0) exit(3);
  }
  size_t size = (offsetof(struct record, text) + length + 1 + 3) / 4 * 4;
  struct record *r = (struct record *)(void *)(start + room - size);
  r->length = (uint32_t)length;
  memcpy(r->text, text, length);
  r->text[length] = '\0';
  return r;
}

/* ---- sums of all of them ---------------------------------------------------------------------------------------- */

static struct tally *start_tally (void) {
  static const uint64_t secret[2] = { 1, 2 };
  struct tally_declaration d;
  memset(&d, 0, sizeof d);
  d.sets = 1;
  d.set[0].dimensions = 4;
  d.set[0].dimension[0].kind = TALLY_FIELD;
  d.set[0].dimension[0].field = FIELD_model;
  d.set[0].dimension[1].kind = TALLY_DAY;
  d.set[0].dimension[2].kind = TALLY_CONTEXT;
  d.set[0].dimension[2].name = "user";
  d.set[0].dimension[2].length = 4;
  d.set[0].dimension[3].kind = TALLY_FIELD;
  d.set[0].dimension[3].field = FIELD_tokens_prompt;
  d.measures = 4;
  d.measure[0].kind = TALLY_SPEND;
  d.measure[1].kind = TALLY_SUM;
  d.measure[1].field = FIELD_native_tokens_prompt;
  d.measure[2].kind = TALLY_FAILED_ATTEMPTS;
  d.measure[3].kind = TALLY_SPREAD;
  d.measure[3].field = FIELD_latency;
  return tally_new(&d, secret);
}

static void put_group (const struct tally *t, const struct tally_group *g, int dimensions) {
  const char *cursor = NULL;
  struct tally_key key;
  struct money_sum sum;
  double value = 0;
  for (int i = 0; i < dimensions; i++) {
    tally_next_key(g, &cursor, &key);
    if (key.type == TALLY_STRING) put_bytes(key.text, key.length);
    else if (key.type == TALLY_NUMBER) put_double("", key.number);
    else put_integer("", key.integer);
    put(", ");
  }
  put_integer("", tally_generations(g));
  for (int i = 0; i < 3; i++) {
    put_integer(" ", tally_sum(g, i, &sum));
    put_sum(" ", &sum);
  }
  for (int percent = 0; percent <= 100; percent += 50)
    if (tally_quantile(t, g, 3, percent, &value)) put_double(" ", value);
  put("\n");
}

static void put_tally (const struct tally *t) {
  struct tally_counts c = tally_counts(t);
  put_integer("failed ", (int64_t)c.failed);
  put_integer(" open ", (int64_t)c.open);
  put_integer(" duplicates ", (int64_t)c.duplicates);
  put_integer(" conflicts ", (int64_t)c.conflicts);
  put("\n");
  put_group(t, tally_total(t), 0);
  for (size_t i = 0; i < tally_groups(t, 0); i++) put_group(t, tally_group(t, 0, i), 4);
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static bool wanted (long number, int argc, char **argv) {
  for (int i = 2; i < argc; i++)
    if (atol(argv[i]) == number) return true;
  return false;
}

/* The next text, NULL at the end of the file. */
static char *next_text (FILE *file, size_t *length) {
  unsigned char head[4];
  if (fread(head, 1, 4, file) != 4) return NULL;
  *length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
  char *text = (char *)malloc(*length + 1);
  if (text == NULL || fread(text, 1, *length, file) != *length) exit(3);
  return text;
}

int main (int argc, char **argv) {
  static const char *const lines[] = { "blank", "generation", "failed", "open", "malformed ", "refused " };
  FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
  struct tally *t = start_tally();
  size_t length;
  char *text;
  long number = 0;
  if (file == NULL || t == NULL) return 2;
  for (; (text = next_text(file, &length)) != NULL; free(text)) {
    const char *why = "";
    hash = UINT64_C(0xcbf29ce484222325);
    in_full = wanted(++number, argc, argv);
    put_text(place(text, length));
    enum tally_line line = tally_add_line(t, text, length, TALLY_KEEP, &why);
    put("\nas a line: ");
    put(lines[line]);
    if (line >= TALLY_MALFORMED) put(why);
    put("\n");
    if (argc == 2) printf("%ld %016" PRIx64 "\n", number, hash);
  }
  in_full = argc == 2;
  if (!tally_resolve(t)) exit(1);
  put_tally(t);
  tally_free(t);
  return 0;
}

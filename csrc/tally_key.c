#include "tally_private.h"

#include "utc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool dimension_is_time (const struct tally_dimension *d) { return d->kind >= TALLY_HOUR && d->kind <= TALLY_MONTH; }

/* ---- the parts of a key ------------------------------------------------------------------------------------------ */

/*
** A key is made of one part for each dimension: a byte that says what it is, then 's' a length (4 bytes) and the
** characters, or 8 bytes: 'i' an integer, 'n' a double, 'b' a boolean, or (two numbers of 4 bytes) an hour, day, week or
** month since 1970 and an hour's offset.
*/
#define TIME_TAGS "hdwm"  /* in the order of enum zone_unit */

static char *put_plain (char *out, const char *text, size_t size) {
  const uint32_t length = (uint32_t)size;
  *out = 's';
  memcpy(out + 1, &length, 4);
  if (size > 0) memcpy(out + 5, text, size);
  return out + 5 + size;
}

static char *put_string (char *out, const char *raw, size_t raw_length) {
  if (memchr(raw, '\\', raw_length) == NULL) return put_plain(out, raw, raw_length);
  uint32_t length = (uint32_t)json_unescape(out + 5, raw, raw_length);
  *out = 's';
  memcpy(out + 1, &length, 4);
  return out + 5 + length;
}

static char *put_unknown (char *out) { return put_string(out, "unknown", 7); }

static char *put_word (char *out, char tag, const void *eight_bytes) {
  *out = tag;
  memcpy(out + 1, eight_bytes, 8);
  return out + 9;
}

static char *put_number (char *out, const char *json) {
  int64_t integer;
  double number;
  if (json_integer(json, &integer)) return put_word(out, 'i', &integer);
  return json_double(json, &number) ? put_word(out, 'n', &number) : put_unknown(out);
}

static size_t part_length (const char *part) {
  uint32_t length;
  memcpy(&length, part + 1, 4);
  return *part == 's' ? 5 + (size_t)length : 9;
}

char *key_of_value (char *out, const struct tally_key *k) {
  static const double limit = 9223372036854775808.0;
  const bool whole = k->type == TALLY_NUMBER && k->number >= -limit && k->number < limit && k->number == floor(k->number);
  const int64_t integer = whole ? (int64_t)k->number : k->integer;
  if (k->type == TALLY_STRING) return put_plain(out, k->text, k->length);
  if (k->type == TALLY_SPELT) return put_number(out, k->text);
  if (k->type == TALLY_BOOLEAN) return put_word(out, 'b', &k->integer);
  return whole || k->type == TALLY_INTEGER ? put_word(out, 'i', &integer) : put_word(out, 'n', &k->number);
}

static char *put_value (char *out, const char *json) {
  size_t length;
  int64_t truth = json && *json == 't';
  switch (json ? *json : 'n') {
    case '"': json = json_string(json, &length); return put_string(out, json, length);
    case 't': case 'f': return put_word(out, 'b', &truth);
    case 'n': case '{': case '[': return put_unknown(out);
    default: return put_number(out, json);
  }
}

bool key_utc (const char *json, double *seconds) {
  char plain[6 * 40];  /* no time is longer, with each of its characters escaped */
  size_t length;
  if (*json != '"') return false;
  json = json_string(json, &length);
  if (utc_parse(json, length, seconds)) return true;  /* nearly always, and one with an escape is none */
  return length <= sizeof plain && utc_parse(plain, json_unescape(plain, json, length), seconds);
}

/* ---- the key of a record ----------------------------------------------------------------------------------------- */

void key_read_moment (struct tally *t, const struct record *r) {
  double seconds;
  const char *created_at = record_member(r, FIELD_created_at);
  if (!t->uses_time) return;
  t->moment.known = created_at != NULL && key_utc(created_at, &seconds);
  if (!t->moment.known) return;
  t->moment.at = seconds;
  t->moment.local = (int64_t)floor(seconds);
  t->moment.offset = t->zone ? zone_offset(t->zone, &t->span, t->moment.local) : 0;
  t->moment.local += t->moment.offset;
}

static char *put_time (char *out, enum zone_unit unit, const struct moment *m) {
  if (!m->known) return put_unknown(out);
  const int32_t number = (int32_t)zone_number(unit, m->local), word[2] = { number, unit == ZONE_HOUR ? m->offset : 0 };
  return put_word(out, TIME_TAGS[unit], word);
}

static char *put_dimension (const struct tally *t, char *out, const struct tally_dimension *d, const struct record *r) {
  if (dimension_is_time(d)) return put_time(out, (enum zone_unit)(d->kind - TALLY_HOUR), &t->moment);
  switch (d->kind) {
    case TALLY_CONTEXT: return put_value(out, r->context ? json_member(r->text + r->context, d->name, d->length) : NULL);
    default: return put_value(out, record_state(r, d->field) == VALUE_PRESENT ? record_member(r, d->field) : NULL);
  }
}

bool key_reserve (struct tally *t, const struct record *r, int dimensions) {
  const size_t longest = (size_t)r->length + KEY_PART + ZONE_TEXT_SIZE;
  return buffer_reserve(&t->key, longest * (size_t)dimensions);
}

size_t key_of_record (const struct tally *t, const struct tally_set *set, const struct record *r) {
  char *end = t->key.bytes;
  for (int i = 0; i < set->dimensions; i++) end = put_dimension(t, end, &set->dimension[i], r);
  return (size_t)(end - t->key.bytes);
}

/* ---- filters ----------------------------------------------------------------------------------------------------- */

/* A time as it is shown: that is what a condition says. */
static char *put_shown (char *out, enum zone_unit unit, const struct moment *m) {
  char shown[ZONE_TEXT_SIZE];
  if (!m->known) return put_unknown(out);
  return put_plain(out, shown, zone_format(shown, unit, zone_number(unit, m->local), m->offset));
}

static bool holds (struct tally *t, int condition, const struct record *r) {
  const struct tally_dimension *d = &t->declaration.condition[condition].dimension;
  const struct buffer *wanted = &t->wanted[condition];
  const char *part = t->key.bytes;
  const char *end = dimension_is_time(d) ? put_shown(t->key.bytes, (enum zone_unit)(d->kind - TALLY_HOUR), &t->moment)
                               : put_dimension(t, t->key.bytes, d, r);
  const size_t length = (size_t)(end - part);
  for (size_t at = 0; at < wanted->size; at += part_length(wanted->bytes + at))
    if (part_length(wanted->bytes + at) == length && memcmp(wanted->bytes + at, part, length) == 0) return true;
  return false;
}

static bool is_in_period (const struct tally_period *p, const struct moment *m) {
  const int64_t day = zone_number(ZONE_DAY, m->local);
  return m->at >= p->since && m->at < p->until && day >= p->first_day && day <= p->last_day;
}

enum fate key_judge (struct tally *t, const struct record *r) {
  const struct tally_declaration *d = &t->declaration;
  for (int i = 0; i < d->conditions; i++)
    if (!holds(t, i, r)) return FATE_FILTERED;
  if (!d->period.limited) return FATE_COUNTED;
  if (!t->moment.known) return FATE_UNDATED;
  return is_in_period(&d->period, &t->moment) ? FATE_COUNTED : FATE_FILTERED;
}

/* ---- reading a key ----------------------------------------------------------------------------------------------- */

static void show_time (struct tally_key *key, enum zone_unit unit, const char *word) {
  int32_t number, offset;
  memcpy(&number, word, 4);
  memcpy(&offset, word + 4, 4);
  key->type = TALLY_STRING;
  key->text = key->shown;
  key->length = zone_format(key->shown, unit, number, offset);
}

void tally_next_key (const struct tally_group *g, const char **cursor, struct tally_key *key) {
  const char *p = *cursor ? *cursor : g->node.key;
  uint32_t length;
  memset(key, 0, sizeof *key);
  if (*p == 's') {
    memcpy(&length, p + 1, 4);
    key->text = p + 5;
    key->length = length;
    *cursor = p + 5 + length;
    return;
  }
  key->type = *p == 'i' ? TALLY_INTEGER : *p == 'n' ? TALLY_NUMBER : TALLY_BOOLEAN;
  memcpy(&key->integer, p + 1, 8);
  memcpy(&key->number, p + 1, 8);
  const char *unit = strchr(TIME_TAGS, *p);
  if (unit) show_time(key, (enum zone_unit)(unit - TIME_TAGS), p + 1);
  *cursor = p + 9;
}

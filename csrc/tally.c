#include "tally.h"

#include "hash.h"
#include "histogram.h"
#include "instant.h"
#include "spend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

/* One measure of one group. */
struct cell {
  uint32_t values;  /* how many records had one */
  union {
    struct money sum;
    struct histogram spread;
  } of;
};

struct tally_group {
  struct hash_node node;  /* first, so that a node found is the group */
  uint32_t generations;
  struct cell cell[1];    /* one for each measure; behind them the key's bytes */
};

/* Whether a record counts, and why not. */
enum fate { FATE_COUNTED, FATE_FILTERED, FATE_UNDATED, FATE_COUNT };

/* What one record adds to its group. */
struct part {
  struct tally_group *group;  /* NULL unless it counts */
  uint32_t fate;
  uint32_t present;  /* bit i: measure i has a value */
  uint64_t word[1];  /* the values one after the other: two words for money, one for an integer or a bucket */
};

enum state { STATE_NEW, STATE_OPEN, STATE_FAILED, STATE_SETTLED, STATE_COUNT };

/* What is known of an id. */
struct entry {
  struct hash_node node;  /* first */
  double at;              /* when it was settled, or -infinity */
  uint64_t text;          /* hash of the record that counts */
  enum state state;
  bool differs;           /* records with another text were there */
  struct part part;       /* once settled; behind it the id's bytes */
};

/* Entries live until the tally ends, so they are cut from large chunks. */
struct chunk {
  struct chunk *next;
  size_t used, size;  /* of the bytes that follow */
};

#define CHUNK_SIZE ((size_t)64 << 10)

/* Room for something temporary. */
struct buffer {
  char *bytes;
  size_t size;
};

/* When the record being added was made. */
struct moment {
  bool known;
  double at;
  int64_t local;   /* whole seconds of local time, as if it were UTC */
  int32_t offset;
};

struct tally {
  struct tally_declaration declaration;
  /* our own copies of what it points to */
  char *name[TALLY_MAX_DIMENSIONS];
  char *condition_name[TALLY_MAX_CONDITIONS];
  struct buffer wanted[TALLY_MAX_CONDITIONS];  /* the values as parts of a key; `size` is where they end */
  struct zone *zone;
  struct zone_span span;
  struct moment moment;
  bool uses_context, uses_time;
  uint64_t secret[2];
  size_t part_size;
  struct hash_table by_key;
  struct tally_group **group;
  size_t groups, room;
  struct tally_group *total;
  struct hash_table by_id;
  struct chunk *chunks;
  uint64_t ids[STATE_COUNT];  /* how many there are in each state */
  uint64_t fates[FATE_COUNT];     /* of the records that would count */
  uint64_t duplicates, conflicts;
  struct part *part;          /* of the record being added */
  struct buffer line, id, key, text;
  char reason[200];
};

static const char no_memory[] = "not enough memory";

static bool make_room (struct buffer *b, size_t size) {
  if (size <= b->size) return true;
  size_t bigger = size > 2 * b->size ? size : 2 * b->size;
  char *bytes = (char *)malloc(bigger);  /* not realloc: what was in it is no longer needed */
  if (bytes == NULL) return false;
  free(b->bytes);
  b->bytes = bytes;
  b->size = bigger;
  return true;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/*
** A key is made of one part for each dimension: a byte that says what it is, then 's' a length (4 bytes) and the
** characters, or 8 bytes: 'i' an integer, 'n' a double, 'b' a boolean, or (two numbers of 4 bytes) an hour, day, week or
** month since 1970 and an hour's offset.
*/
#define TIME_TAGS "hdwm"  /* in the order of enum zone_unit */
#define KEY_PART 16       /* enough for any part but a string's characters, and for "unknown" */

static char *put_string (char *out, const char *raw, size_t raw_length) {
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

static char *put_plain (char *out, const char *text, size_t size) {
  const uint32_t length = (uint32_t)size;
  *out = 's';
  memcpy(out + 1, &length, 4);
  if (size > 0) memcpy(out + 5, text, size);
  return out + 5 + size;
}

static size_t part_length (const char *part) {
  uint32_t length;
  memcpy(&length, part + 1, 4);
  return *part == 's' ? 5 + (size_t)length : 9;
}

/* As a record would have the value. */
static char *put_key (char *out, const struct tally_key *k) {
  static const double limit = 9223372036854775808.0;
  const bool whole = k->type == TALLY_NUMBER && k->number >= -limit && k->number < limit && k->number == floor(k->number);
  const int64_t integer = whole ? (int64_t)k->number : k->integer;
  if (k->type == TALLY_STRING) return put_plain(out, k->text, k->length);
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

static bool read_instant (const char *json, double *seconds) {
  size_t length;
  if (*json != '"') return false;
  json = json_string(json, &length);
  return instant_parse(json, length, seconds);
}

/* ---- making and freeing ------------------------------------------------------------------------------------------ */

static bool is_money (const struct tally_measure *m) {
  return m->kind == TALLY_SPEND || (m->kind == TALLY_SUM && field_info[m->field].type == TYPE_MONEY);
}

static size_t words (const struct tally_measure *m) { return is_money(m) ? 2 : 1; }

static void free_group (const struct tally *t, struct tally_group *g) {
  if (g == NULL) return;
  for (int i = 0; i < t->declaration.measures; i++)
    if (t->declaration.measure[i].kind == TALLY_SPREAD) histogram_free(&g->cell[i].of.spread);
  free(g);
}

static struct tally_group *make_group (const struct tally *t, uint32_t hash, const char *key, size_t length) {
  size_t size = offsetof(struct tally_group, cell) + (size_t)t->declaration.measures * sizeof (struct cell);
  struct tally_group *g = (struct tally_group *)calloc(1, size + length);
  if (g == NULL) return NULL;
  char *copy = (char *)g + size;
  if (length > 0) memcpy(copy, key, length);
  g->node.key = copy;
  g->node.length = (uint32_t)length;
  g->node.hash = hash;
  return g;
}

static bool is_time (const struct tally_dimension *d) { return d->kind >= TALLY_HOUR && d->kind <= TALLY_MONTH; }

/* Note what the dimension needs of a record, and keep a copy of its name. */
static bool copy_dimension (struct tally *t, struct tally_dimension *d, char **name) {
  if (is_time(d)) t->uses_time = true;
  if (d->kind != TALLY_CONTEXT) return true;
  t->uses_context = true;
  if ((*name = (char *)malloc(d->length + 1)) == NULL) return false;
  memcpy(*name, d->name, d->length);
  d->name = *name;
  return true;
}

static bool copy_values (struct buffer *wanted, const struct tally_condition *c) {
  size_t room = 1;
  for (int i = 0; i < c->values; i++) room += KEY_PART + c->value[i].length;
  if (!make_room(wanted, room)) return false;
  char *end = wanted->bytes;
  for (int i = 0; i < c->values; i++) end = put_key(end, &c->value[i]);
  wanted->size = (size_t)(end - wanted->bytes);
  return true;
}

/* What the declaration points to is the caller's; keep our own. */
static bool copy_declaration (struct tally *t) {
  struct tally_declaration *d = &t->declaration;
  t->uses_time = d->period.limited;
  if (d->zone && (t->zone = zone_copy(d->zone)) == NULL) return false;
  for (int i = 0; i < d->dimensions; i++)
    if (!copy_dimension(t, &d->dimension[i], &t->name[i])) return false;
  for (int i = 0; i < d->conditions; i++) {
    struct tally_condition *c = &d->condition[i];
    if (!copy_dimension(t, &c->dimension, &t->condition_name[i]) || !copy_values(&t->wanted[i], c)) return false;
  }
  return true;
}

struct tally *tally_new (const struct tally_declaration *declaration, const uint64_t secret[2]) {
  struct tally *t = (struct tally *)calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  t->declaration = *declaration;
  t->secret[0] = secret[0];
  t->secret[1] = secret[1];
  t->part_size = offsetof(struct part, word);
  for (int i = 0; i < declaration->measures; i++)
    t->part_size += words(&declaration->measure[i]) * sizeof (uint64_t);
  t->total = make_group(t, 0, NULL, 0);
  t->part = (struct part *)malloc(t->part_size);
  if (t->total && t->part && copy_declaration(t)) return t;
  tally_free(t);
  return NULL;
}

void tally_free (struct tally *t) {
  if (t == NULL) return;
  for (size_t i = 0; i < t->groups; i++) free_group(t, t->group[i]);
  free_group(t, t->total);
  free(t->group);
  free(t->part);
  hash_free(&t->by_key);
  hash_free(&t->by_id);
  for (struct chunk *c = t->chunks, *next; c; c = next) {
    next = c->next;
    free(c);
  }
  free(t->line.bytes);
  free(t->id.bytes);
  free(t->key.bytes);
  free(t->text.bytes);
  for (int i = 0; i < TALLY_MAX_DIMENSIONS; i++) free(t->name[i]);
  for (int i = 0; i < TALLY_MAX_CONDITIONS; i++) {
    free(t->condition_name[i]);
    free(t->wanted[i].bytes);
  }
  zone_free(t->zone);
  free(t);
}

/* ---- the group of a record --------------------------------------------------------------------------------------- */

/* Work out when the record was made, if that matters. */
static void read_moment (struct tally *t, const struct record *r) {
  double seconds;
  const char *created_at = record_member(r, FIELD_created_at);
  if (!t->uses_time) return;
  t->moment.known = created_at != NULL && read_instant(created_at, &seconds);
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
  if (is_time(d)) return put_time(out, (enum zone_unit)(d->kind - TALLY_HOUR), &t->moment);
  switch (d->kind) {
    case TALLY_CONTEXT: return put_value(out, r->context ? json_member(r->text + r->context, d->name, d->length) : NULL);
    default: return put_value(out, record_state(r, d->field) == VALUE_PRESENT ? record_member(r, d->field) : NULL);
  }
}

static struct tally_group *add_group (struct tally *t, uint32_t hash, const char *key, size_t length) {
  if (t->groups == t->room) {
    size_t room = t->room ? t->room * 2 : 16;
    struct tally_group **bigger = (struct tally_group **)realloc(t->group, room * sizeof *bigger);
    if (bigger == NULL) return NULL;
    t->group = bigger;
    t->room = room;
  }
  if (!hash_reserve(&t->by_key)) return NULL;
  struct tally_group *g = make_group(t, hash, key, length);
  if (g == NULL) return NULL;
  hash_insert(&t->by_key, &g->node);
  t->group[t->groups++] = g;
  return g;
}

/* The record's group, made when it is the first one in it; NULL and the reason when that cannot be. t->key has room. */
static struct tally_group *find_group (struct tally *t, const struct record *r, const char **why) {
  const struct tally_declaration *d = &t->declaration;
  *why = no_memory;
  char *end = t->key.bytes;
  for (int i = 0; i < d->dimensions; i++) end = put_dimension(t, end, &d->dimension[i], r);
  size_t length = (size_t)(end - t->key.bytes);
  uint32_t hash = (uint32_t)hash_bytes(t->secret, t->key.bytes, length);
  struct hash_node *node = hash_find(&t->by_key, hash, t->key.bytes, length);
  if (node) return (struct tally_group *)(void *)node;
  if (t->groups < TALLY_MAX_GROUPS) return add_group(t, hash, t->key.bytes, length);
  snprintf(t->reason, sizeof t->reason, "there are %d groups already, and no room for another", TALLY_MAX_GROUPS);
  *why = t->reason;
  return NULL;
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
  const char *end = is_time(d) ? put_shown(t->key.bytes, (enum zone_unit)(d->kind - TALLY_HOUR), &t->moment)
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

static enum fate judge (struct tally *t, const struct record *r) {
  const struct tally_declaration *d = &t->declaration;
  for (int i = 0; i < d->conditions; i++)
    if (!holds(t, i, r)) return FATE_FILTERED;
  if (!d->period.limited) return FATE_COUNTED;
  if (!t->moment.known) return FATE_UNDATED;
  return is_in_period(&d->period, &t->moment) ? FATE_COUNTED : FATE_FILTERED;
}

/* ---- what a record adds ------------------------------------------------------------------------------------------ */

static bool attempt_failed (const char *response) {
  double number;
  const char *status = *response == '{' ? json_member(response, "status", 6) : NULL;
  if (status == NULL) return false;
  if (*status == 'n') return true;
  return json_is_number(status) && !(json_double(status, &number) && number >= 200 && number < 300);
}

static uint64_t failed_attempts (const struct record *r) {
  uint64_t count = 0;
  const char *p = record_member(r, FIELD_provider_responses), *response;
  if (p == NULL || *p != '[') return 0;
  while (json_next_item(&p, &response)) count += attempt_failed(response);
  return count;
}

static bool store_money (uint64_t *word, const struct money *m) {
  word[0] = m->low;
  word[1] = m->high;
  return true;
}

static bool read_sum (int field, const char *json, uint64_t *word) {
  struct money money;
  int64_t integer;
  if (json == NULL || !json_is_number(json)) return false;
  if (field_info[field].type == TYPE_MONEY)
    return money_parse(&money, json) != MONEY_OVERFLOW && store_money(word, &money);
  if (!json_integer(json, &integer)) return false;
  *word = (uint64_t)integer;
  return true;
}

static bool read_spread (int field, const char *json, uint64_t *word) {
  double number;
  int64_t integer;
  if (json == NULL || !json_is_number(json) || !json_double(json, &number)) return false;
  if (field_info[field].type == TYPE_INTEGER && !json_integer(json, &integer)) return false;
  int bucket = histogram_bucket(number);
  *word = (uint64_t)bucket;
  return bucket >= 0;
}

/* Read the record's value into its words; false where it has none. */
static bool read_value (const struct tally_measure *m, const struct record *r, uint64_t *word) {
  struct money spend;
  const char *cancelled;
  switch (m->kind) {
    case TALLY_SPEND: return record_spend(r, &spend) == NULL && store_money(word, &spend);
    case TALLY_SUM: return read_sum(m->field, record_member(r, m->field), word);
    case TALLY_SPREAD: return read_spread(m->field, record_member(r, m->field), word);
    case TALLY_FAILED_ATTEMPTS: *word = failed_attempts(r); return true;
    default:
      cancelled = record_member(r, FIELD_cancelled);
      *word = cancelled && *cancelled == 't';
      return true;
  }
}

/* Fill in t->part. */
static bool read_part (struct tally *t, const struct record *r, const char **why) {
  uint64_t *word = t->part->word;
  const size_t longest = (size_t)r->length + KEY_PART + ZONE_TEXT_SIZE;
  *why = no_memory;
  if (!make_room(&t->key, longest * (size_t)(t->declaration.dimensions + 1))) return false;
  memset(t->part, 0, t->part_size);
  read_moment(t, r);
  t->part->fate = judge(t, r);
  if (t->part->fate != FATE_COUNTED) return true;
  t->part->group = find_group(t, r, why);
  if (t->part->group == NULL) return false;
  for (int i = 0; i < t->declaration.measures; i++) {
    const struct tally_measure *m = &t->declaration.measure[i];
    if (read_value(m, r, word)) t->part->present |= (uint32_t)1 << i;
    word += words(m);
  }
  return true;
}

/* ---- adding it, and taking it back ------------------------------------------------------------------------------- */

/* Integers are summed up in 128 bits too: no number of records can make them overflow. */
static struct money amount (const struct tally_measure *m, const uint64_t *word) {
  struct money value = { word[0], word[0] >> 63 ? UINT64_MAX : 0 };
  if (is_money(m)) value.high = word[1];
  return value;
}

static bool change_sum (struct money *sum, const struct money *value, bool adding) {
  return adding ? money_add(sum, value) : money_subtract(sum, value);
}

/* Whether the change is possible; after this it cannot fail. */
static bool prepare (struct tally *t, struct tally_group *g, const struct part *p, bool adding, const char **why) {
  const uint64_t *word = p->word;
  for (int i = 0; i < t->declaration.measures; i++) {
    const struct tally_measure *m = &t->declaration.measure[i];
    const struct money value = amount(m, word);
    word += words(m);
    if (!(p->present >> i & 1)) continue;
    if (m->kind == TALLY_SPREAD) {
      *why = no_memory;
      if (!histogram_reserve(&g->cell[i].of.spread, (int)value.low)) return false;
    } else {
      struct money sum = g->cell[i].of.sum;
      *why = "a sum would be beyond the range of money";
      if (!change_sum(&sum, &value, adding)) return false;
    }
  }
  return true;
}

static void change (struct tally *t, struct tally_group *g, const struct part *p, bool adding) {
  const uint64_t *word = p->word;
  const uint32_t one = adding ? 1 : UINT32_MAX;  /* which is -1 in this type's arithmetic */
  g->generations += one;
  for (int i = 0; i < t->declaration.measures; i++) {
    const struct tally_measure *m = &t->declaration.measure[i];
    const struct money value = amount(m, word);
    struct cell *cell = &g->cell[i];
    word += words(m);
    if (!(p->present >> i & 1)) continue;
    cell->values += one;
    if (m->kind != TALLY_SPREAD) change_sum(&cell->of.sum, &value, adding);
    else if (adding) histogram_add(&cell->of.spread, (int)value.low);
    else histogram_remove(&cell->of.spread, (int)value.low);
  }
}

static bool count_part (struct tally *t, const struct part *p, bool adding, const char **why) {
  const bool counted = p->fate == FATE_COUNTED;
  if (counted && (!prepare(t, p->group, p, adding, why) || !prepare(t, t->total, p, adding, why))) return false;
  if (counted) change(t, p->group, p, adding);
  if (counted) change(t, t->total, p, adding);
  t->fates[p->fate] += adding ? 1 : UINT64_MAX;  /* which is -1 in this type's arithmetic */
  return true;
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

static void *allocate (struct tally *t, size_t size) {
  size = (size + 7) / 8 * 8;
  struct chunk *c = t->chunks;
  if (c == NULL || size > c->size - c->used) {
    size_t bytes = size > CHUNK_SIZE ? size : CHUNK_SIZE;
    if ((c = (struct chunk *)malloc(sizeof *c + bytes)) == NULL) return NULL;
    c->next = t->chunks;
    c->used = 0;
    c->size = bytes;
    t->chunks = c;
  }
  void *start = (char *)(c + 1) + c->used;
  c->used += size;
  return start;
}

/* What is known of the id: at first, nothing. NULL: no memory. */
static struct entry *find_entry (struct tally *t, const char *id, size_t length) {
  uint32_t hash = (uint32_t)hash_bytes(t->secret, id, length);
  struct hash_node *node = hash_find(&t->by_id, hash, id, length);
  if (node) return (struct entry *)(void *)node;
  size_t size = offsetof(struct entry, part) + t->part_size;
  struct entry *e = hash_reserve(&t->by_id) ? (struct entry *)allocate(t, size + length) : NULL;
  if (e == NULL) return NULL;
  memset(e, 0, size);
  char *copy = (char *)e + size;
  memcpy(copy, id, length);
  e->node.key = copy;
  e->node.length = (uint32_t)length;
  e->node.hash = hash;
  hash_insert(&t->by_id, &e->node);
  t->ids[STATE_NEW]++;
  return e;
}

/* States only rise. */
static void raise_state (struct tally *t, struct entry *e, enum state state) {
  if (e->state >= state) return;
  t->ids[e->state]--;
  t->ids[state]++;
  e->state = state;
}

/* The characters of an id; NULL where it is none, or (with *length 1) where there is no memory. */
static const char *read_id (struct tally *t, const char *json, size_t *length) {
  *length = 0;
  if (json == NULL || *json != '"') return NULL;
  json = json_string(json, length);
  if (*length == 0) return NULL;
  if (memchr(json, '\\', *length) == NULL) return json;
  if (!make_room(&t->id, *length)) {
    *length = 1;
    return NULL;
  }
  *length = json_unescape(t->id.bytes, json, *length);
  return t->id.bytes;
}

/* Where the record does not say its id, the ledger line around it does. */
static const char *id_value (const struct record *r) {
  const char *id = record_member(r, FIELD_id), *outer = json_space(r->text);
  if (id && *id == '"' && id[1] != '"') return id;
  return r->text + r->answer == outer ? NULL : json_member(outer, "settled", 7);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

/* Copy the object at p without the white space between its tokens; out has room for all of it. As json_minify does, but
   finding the object's end on the way: this is done for every record. Returns the length. */
static size_t copy_object (char *out, const char *p) {
  char *start = out;
  int open = 0;
  do {
    switch (*p) {
      case ' ': case '\t': case '\n': case '\r': p++; continue;
      case '{': case '[': open++; break;
      case '}': case ']': open--; break;
      case '"':
        do {
          if (*p == '\\') *out++ = *p++;
          *out++ = *p++;
        } while (*p != '"');
        break;
      default: break;
    }
    *out++ = *p++;
  } while (open > 0);
  return (size_t)(out - start);
}

/* A number for all of the record that matters here: its text and, where groups come from it, the context. White space
   between tokens does not count. False when there is no memory. */
static bool hash_text (struct tally *t, const struct record *r, uint64_t *hash) {
  static const uint64_t no_secret[2] = { 0, 0 };  /* the same hash in every run, since it decides what counts */
  if (!make_room(&t->text, (size_t)r->length * 2)) return false;
  size_t length = copy_object(t->text.bytes, r->text + r->object);
  if (t->uses_context && r->context) length += copy_object(t->text.bytes + length, r->text + r->context);
  *hash = hash_bytes(no_secret, t->text.bytes, length);
  return true;
}

/* Count the record, and no longer the one that had its id before. */
static bool replace (struct tally *t, struct entry *e, const struct record *r, const char **why) {
  bool before = e->state == STATE_SETTLED;
  if (!read_part(t, r, why) || (before && !count_part(t, &e->part, false, why))) return false;
  if (!count_part(t, t->part, true, why)) {
    const char *none;
    if (before) count_part(t, &e->part, true, &none);  /* succeeds: it was there a moment ago */
    return false;
  }
  memcpy(&e->part, t->part, t->part_size);
  return true;
}

static bool settle (struct tally *t, struct entry *e, const struct record *r, const char **why) {
  double at = -HUGE_VAL;
  uint64_t text;
  *why = no_memory;
  if (!hash_text(t, r, &text)) return false;
  if (r->at && !read_instant(r->text + r->at, &at)) at = -HUGE_VAL;
  bool again = e->state == STATE_SETTLED, same = again && text == e->text;
  bool later = !again || at > e->at || (at == e->at && text > e->text);
  if (later && !same && !replace(t, e, r, why)) return false;
  if (again) t->duplicates++;
  if (again && !same && !e->differs) {
    e->differs = true;
    t->conflicts++;
  }
  if (later) {
    e->at = at;
    e->text = text;
  }
  raise_state(t, e, STATE_SETTLED);
  return true;
}

bool tally_add (struct tally *t, const struct record *r, const char **why) {
  size_t length;
  *why = "there is no room for more than 4294967295 records";
  if (t->total->generations == UINT32_MAX) return false;
  const char *id = read_id(t, id_value(r), &length);
  *why = no_memory;
  if (id == NULL) return length == 0 && read_part(t, r, why) && count_part(t, t->part, true, why);
  struct entry *e = find_entry(t, id, length);
  return e != NULL && settle(t, e, r, why);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static bool is_blank (const char *line, size_t length) {
  while (length > 0 && memchr(" \t\r\n", line[length - 1], 4)) length--;
  return length == 0;
}

static enum tally_line malformed (struct tally *t, const struct record *r, const struct json_check *error,
                                  const char **why) {
  size_t at = (size_t)(error->at - r->text);
  const char *what = at >= r->length ? "the text ends too early" : error->message;
  snprintf(t->reason, sizeof t->reason, "not a JSON object: %s, at byte %lu", what, (unsigned long)at + 1);
  *why = t->reason;
  return TALLY_MALFORMED;
}

/* A file may hold any JSON. What has no member of a record is none, though decode would take it for an empty one; where
   a ledger says that it is an answer, it is. */
static enum tally_line add_generation (struct tally *t, const struct record *r, const char **why) {
  int field = 0;
  while (field < FIELD_COUNT && r->member[field] == 0) field++;
  *why = "a JSON object, but no generation record";
  if (field == FIELD_COUNT && r->text + r->answer == json_space(r->text)) return TALLY_REFUSED;
  return tally_add(t, r, why) ? TALLY_GENERATION : TALLY_REFUSED;
}

static enum tally_line add_unsettled (struct tally *t, const char *id_json, enum state state, const char **why) {
  size_t length;
  const char *id = read_id(t, id_json, &length);
  *why = id || length ? no_memory : "a ledger line without an id";
  struct entry *e = id ? find_entry(t, id, length) : NULL;
  if (e == NULL) return TALLY_REFUSED;
  raise_state(t, e, state);
  return state == STATE_FAILED ? TALLY_FAILED : TALLY_OPEN;
}

static enum tally_line refuse (const char **why, const char *reason) {
  *why = reason;
  return TALLY_REFUSED;
}

enum tally_line tally_add_line (struct tally *t, const char *line, size_t length, const char **why) {
  struct json_check error;
  const char *part = NULL;
  if (is_blank(line, length)) return TALLY_BLANK;
  if (length > RECORD_MAX_TEXT) return refuse(why, "longer than 64 MiB");
  if (!make_room(&t->line, sizeof (struct record) + length)) return refuse(why, no_memory);
  struct record *r = (struct record *)(void *)t->line.bytes;
  r->length = (uint32_t)length;
  memcpy(r->text, line, length);
  r->text[length] = '\0';
  switch (record_index(r, &part, &error)) {
    case RECORD_GENERATION: return add_generation(t, r, why);
    case RECORD_FAILED: return add_unsettled(t, json_member(json_space(r->text), "failed", 6), STATE_FAILED, why);
    case RECORD_OPEN: return add_unsettled(t, part, STATE_OPEN, why);
    case RECORD_API_ERROR: return refuse(why, "an API error, no record");
    default: return malformed(t, r, &error, why);
  }
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

size_t tally_groups (const struct tally *t) { return t->groups; }

const struct tally_group *tally_group (const struct tally *t, size_t i) { return t->group[i]; }

const struct tally_group *tally_total (const struct tally *t) { return t->total; }

uint32_t tally_generations (const struct tally_group *g) { return g->generations; }

uint32_t tally_sum (const struct tally_group *g, int measure, struct money *sum) {
  *sum = g->cell[measure].of.sum;
  return g->cell[measure].values;
}

bool tally_quantile (const struct tally *t, const struct tally_group *g, int measure, int percent, double *value) {
  const struct cell *cell = &g->cell[measure];
  uint64_t rank = ((uint64_t)cell->values * (uint64_t)percent + 99) / 100;
  if (cell->values == 0) return false;
  int bucket = histogram_rank(&cell->of.spread, rank ? rank : 1);
  *value = histogram_value(bucket, field_info[t->declaration.measure[measure].field].type == TYPE_INTEGER);
  return true;
}

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

struct tally_counts tally_counts (const struct tally *t) {
  struct tally_counts counts = { t->ids[STATE_FAILED], t->ids[STATE_OPEN], t->duplicates, t->conflicts,
                                 t->fates[FATE_FILTERED], t->fates[FATE_UNDATED] };
  return counts;
}

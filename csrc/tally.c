#define _POSIX_C_SOURCE 200809L  /* pread */
#define _FILE_OFFSET_BITS 64
#include "tally_private.h"

#include "plain.h"
#include "utc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char tally_no_memory[] = "not enough memory";
#define SPELT(number) #number
#define SPELT_VALUE(number) SPELT(number)
const char tally_full[] = "there are " SPELT_VALUE(TALLY_MAX_GROUPS) " groups already, and no room for another";

bool buffer_reserve (struct buffer *b, size_t size) {
  if (size <= b->size) return true;
  const size_t grown = b->size + b->size / 4, bigger = size > grown ? size : grown;
  char *bytes = (char *)malloc(bigger);  /* not realloc: what was in it is no longer needed */
  if (bytes == NULL) return false;
  free(b->bytes);
  b->bytes = bytes;
  b->size = bigger;
  return true;
}

void *buffer_list (void *list, size_t count, size_t *room, size_t size) {
  if (count < *room) return list;
  const size_t more = *room ? *room * 2 : 16;
  void *bigger = realloc(list, more * size);
  if (bigger != NULL) *room = more;
  return bigger;
}

/* ---- making and freeing ------------------------------------------------------------------------------------------ */

/* Note what the dimension needs of a record, and keep a copy of its name. */
static bool copy_dimension (struct tally *t, struct tally_dimension *d, char **name) {
  if (dimension_is_time(d)) t->uses_time = true;
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
  if (!buffer_reserve(wanted, room)) return false;
  char *end = wanted->bytes;
  for (int i = 0; i < c->values; i++) end = key_of_value(end, &c->value[i]);
  wanted->size = (size_t)(end - wanted->bytes);
  return true;
}

static bool copy_conditions (struct tally *t) {
  struct tally_declaration *d = &t->declaration;
  for (int i = 0; i < d->conditions; i++) {
    struct tally_condition *c = &d->condition[i];
    if (!copy_dimension(t, &c->dimension, &t->condition_name[i]) || !copy_values(&t->wanted[i], c)) return false;
  }
  return true;
}

/* What the declaration points to is the caller's; keep our own. */
static bool copy_declaration (struct tally *t) {
  struct tally_declaration *d = &t->declaration;
  t->uses_time = d->period.limited;
  for (int i = 0; i < d->measures; i++) t->uses_time = t->uses_time || measure_is_time(&d->measure[i]);
  if (d->zone && (t->zone = zone_copy(d->zone)) == NULL) return false;
  for (int s = 0; s < d->sets; s++)
    for (int i = 0; i < d->set[s].dimensions; i++)
      if (!copy_dimension(t, &d->set[s].dimension[i], &t->name[s][i])) return false;
  return copy_conditions(t);
}

/* Where in a part the values of the measures are. */
static void place_measures (struct tally *t) {
  size_t words = 0;
  t->requests_measure = -1;
  for (int i = 0; i < t->declaration.measures; i++) {
    const struct tally_measure *m = &t->declaration.measure[i];
    t->word_at[i] = (uint8_t)words;
    words += t->words[i] = (uint8_t)measure_words(m);
    if (m->kind == TALLY_SPREAD) t->spread[t->spreads++] = (uint8_t)i;
    if (m->kind == TALLY_REQUESTS) t->requests_measure = i;
  }
  t->facts_size = offsetof(struct facts, part.word) + words * sizeof (uint64_t);
}

static struct tally *make_tally (const struct tally_declaration *declaration, const uint64_t secret[2]) {
  struct tally *t = (struct tally *)calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  t->declaration = *declaration;
  t->secret[0] = secret[0];
  t->secret[1] = secret[1];
  t->resolved = true;
  t->dimensions = 1;
  for (int s = 0; s < declaration->sets; s++)
    if (declaration->set[s].dimensions > t->dimensions) t->dimensions = declaration->set[s].dimensions;
  place_measures(t);
  t->total = group_make(t, 0, 0, NULL, 0);
  t->now = (struct facts *)calloc(1, t->facts_size);
  t->other = (struct facts *)calloc(1, t->facts_size);
  if (t->total && t->now && t->other) return t;
  tally_free(t);
  return NULL;
}

struct tally *tally_new (const struct tally_declaration *declaration, const uint64_t secret[2]) {
  struct tally *t = make_tally(declaration, secret);
  if (t == NULL || copy_declaration(t)) return t;
  tally_free(t);
  return NULL;
}

/* The values that conditions want are no longer in the declaration, but in `wanted`. */
static bool copy_wanted (struct tally *t, const struct tally *from) {
  for (int i = 0; i < t->declaration.conditions; i++) {
    t->declaration.condition[i].values = 0;
    if (!buffer_reserve(&t->wanted[i], from->wanted[i].size + 1)) return false;
    memcpy(t->wanted[i].bytes, from->wanted[i].bytes, from->wanted[i].size);
    t->wanted[i].size = from->wanted[i].size;
  }
  return true;
}

struct tally *tally_sibling (const struct tally *from) {
  struct tally_declaration d = from->declaration;
  for (int i = 0; i < d.conditions; i++) d.condition[i].values = 0;
  d.zone = from->zone;
  struct tally *t = tally_new(&d, from->secret);
  if (t == NULL || copy_wanted(t, from)) return t;
  tally_free(t);
  return NULL;
}

void facts_free (struct facts *f) {
  if (f == NULL) return;
  free(f->part.attempt);
  free(f->shown);
  free(f);
}

static void free_names (struct tally *t) {
  for (int s = 0; s < TALLY_MAX_SETS; s++)
    for (int i = 0; i < TALLY_MAX_DIMENSIONS; i++) free(t->name[s][i]);
  for (int i = 0; i < TALLY_MAX_CONDITIONS; i++) {
    free(t->condition_name[i]);
    free(t->wanted[i].bytes);
  }
}

void tally_free (struct tally *t) {
  if (t == NULL) return;
  for (int s = 0; s < TALLY_MAX_SETS; s++) group_free_set(t, &t->set[s]);
  group_free(t, t->total);
  for (size_t i = 0; i < t->providers; i++) free(t->provider[i]);
  free(t->provider);
  hash_free(&t->by_provider);
  for (int i = 0; i < t->dearest_count; i++) free(t->dearest[i].text);
  free(t->requests.list);
  sightings_free(&t->seen);
  for (int i = 0; i < t->sources; i++) close(t->source[i]);
  free(t->source);
  for (size_t i = 0; i < t->kept_count; i++) facts_free(t->kept[i]);
  free(t->kept);
  free(t->now);
  free(t->other);
  free(t->attempt);
  free(t->other_attempt);
  free(t->line.bytes);
  free(t->again.bytes);
  free(t->copy.bytes);
  free(t->key.bytes);
  free(t->text.bytes);
  free(t->shown.bytes);
  free_names(t);
  zone_free(t->zone);
  free(t);
}

int tally_add_source (struct tally *t, int fd) {
  if (t->sources >= TALLY_MAX_SOURCES) return TALLY_TOO_MANY;
  int *more = (int *)realloc(t->source, ((size_t)t->sources + 1) * sizeof *more);
  if (more == NULL) return TALLY_NO_MEMORY;
  t->source = more;
  t->source[t->sources] = fd;
  return t->sources++;
}

int tally_sources (const struct tally *t) { return t->sources; }

/* ---- the groups of a record -------------------------------------------------------------------------------------- */

static bool find_groups (struct tally *t, const struct record *r, struct part *part, const char **why) {
  for (int s = 0; s < t->declaration.sets; s++) {
    size_t length = key_of_record(t, &t->declaration.set[s], r);
    if ((part->group[s] = group_find(t, &t->set[s], t->key.bytes, length, why)) == NULL) return false;
  }
  return true;
}

/* ---- the providers of a record's attempts ------------------------------------------------------------------------ */

/* The provider_name of an attempt. t->key has room for it. */
static const char *name_of (struct tally *t, const char *response, size_t *length) {
  const char *name = *response == '{' ? json_member(response, "provider_name", 13) : NULL;
  *length = 7;
  if (name == NULL || *name != '"') return "unknown";
  name = json_string(name, length);
  *length = json_unescape(t->key.bytes, name, *length);
  return t->key.bytes;
}

static bool read_attempt (struct tally *t, const char *response, size_t i, const char **why) {
  size_t length;
  const char *name = name_of(t, response, &length);
  *why = tally_no_memory;
  struct attempt *list = (struct attempt *)buffer_list(t->attempt, i, &t->attempt_room, sizeof *list);
  if (list == NULL) return false;
  t->attempt = list;
  struct attempt *a = &t->attempt[i];
  memset(a, 0, sizeof *a);
  a->failed = attempt_failed(response);
  if (a->failed && !attempt_latency(response, &a->latency)) memset(&a->latency, 0, sizeof a->latency);
  return (a->provider = provider_find(t, name, length, why)) != NULL;
}

static bool read_attempts (struct tally *t, const struct record *r, struct part *part, const char **why) {
  const char *p = record_member(r, FIELD_provider_responses), *response;
  part->attempts = 0;
  if (t->declaration.health && p != NULL && *p == '[')
    while (json_next_item(&p, &response))
      if (!read_attempt(t, response, part->attempts++, why)) return false;
  part->attempt = t->attempt;
  return true;
}

static void count_attempt (const struct attempt *a, bool adding) {
  struct provider *p = a->provider;
  const uint64_t one = adding ? 1 : UINT64_MAX;  /* which is -1 in this type's arithmetic */
  p->attempts += one;
  if (a->failed) p->failed += one;
  if (adding) money_sum_add(&p->latency, &a->latency);
  else money_sum_subtract(&p->latency, &a->latency);
}

/* ---- adding what a record adds, and taking it back --------------------------------------------------------------- */

void requests_push (struct requests *q, uint64_t hash, uint32_t group, int32_t count) {
  const struct request one = { hash, group, count };
  q->list[q->count++] = one;
}

bool requests_reserve (struct requests *q, size_t more) {
  if (more <= q->room - q->count) return true;
  size_t room = q->room + q->room / 2 + 64 + more;
  struct request *list = (struct request *)realloc(q->list, room * sizeof *list);
  if (list == NULL) return false;
  q->list = list;
  q->room = room;
  return true;
}

/* Integers are summed up in 192 bits too: no number of records can make them overflow. */
static struct money amount (const uint64_t *word, int words) {
  struct money value = { word[0], words == 2 ? word[1] : word[0] >> 63 ? UINT64_MAX : 0 };
  return value;
}

/* Make sure that the change is possible. */
static bool prepare_group (const struct tally *t, struct tally_group *g, const struct part *p) {
  for (int i = 0; i < t->spreads; i++) {
    const int measure = t->spread[i], bucket = (int)p->word[t->word_at[measure]];
    if ((p->present >> measure & 1) && !histogram_reserve(&g->cell[measure].of.spread, bucket)) return false;
  }
  return true;
}

void cell_add_time (struct cell *cell, const struct tally_measure *m, double time) {
  const bool first = cell->values == 0;
  if (first || (m->kind == TALLY_FIRST ? time < cell->of.time : time > cell->of.time)) cell->of.time = time;
}

static void change_time (struct tally *t, struct cell *cell, const struct tally_measure *m, const uint64_t *word, bool adding) {
  double time;
  memcpy(&time, word, sizeof time);
  if (adding) cell_add_time(cell, m, time);
  else if (time == cell->of.time) t->stale = true;
}

static void change_cell (struct tally *t, struct cell *cell, int i, const uint64_t *word, bool adding) {
  const struct tally_measure *m = &t->declaration.measure[i];
  const struct money value = amount(word, t->words[i]);
  switch (m->kind) {
    case TALLY_SPREAD:
      if (adding) histogram_add(&cell->of.spread, (int)*word);
      else histogram_remove(&cell->of.spread, (int)*word);
      break;
    case TALLY_FIRST: case TALLY_LAST: change_time(t, cell, m, word, adding); break;
    case TALLY_REQUESTS: break;
    default:
      if (adding) money_sum_add(&cell->of.sum, &value);
      else money_sum_subtract(&cell->of.sum, &value);
  }
  cell->values += adding ? 1 : UINT32_MAX;  /* which is -1 in this type's arithmetic */
}

static void change_group (struct tally *t, struct tally_group *g, const struct part *p, bool adding) {
  g->generations += adding ? 1 : UINT32_MAX;
  for (int i = 0; i < t->declaration.measures; i++)
    if (p->present >> i & 1) change_cell(t, &g->cell[i], i, &p->word[t->word_at[i]], adding);
}

/* The request of a record is one of the total's, and of its group's in each set. */
static void change_requests (struct tally *t, const struct part *p, bool adding) {
  if (t->requests_measure < 0) return;
  const uint64_t hash = p->word[t->word_at[t->requests_measure]];
  requests_push(&t->requests, hash, t->total->serial, adding ? 1 : -1);
  for (int s = 0; s < t->declaration.sets; s++) requests_push(&t->requests, hash, p->group[s]->serial, adding ? 1 : -1);
}

static bool prepare (struct tally *t, const struct part *p, bool adding, const char **why) {
  *why = "there is no room for more than 4294967295 records";
  if (adding && t->total->generations == UINT32_MAX) return false;
  *why = tally_no_memory;
  for (int s = 0; s < t->declaration.sets; s++)
    if (!prepare_group(t, p->group[s], p)) return false;
  return t->requests_measure < 0 || requests_reserve(&t->requests, TALLY_MAX_SETS + 1);
}

bool part_count (struct tally *t, const struct part *p, bool adding, const char **why) {
  if (p->fate == FATE_COUNTED) {
    if (!prepare(t, p, adding, why)) return false;
    for (int s = 0; s < t->declaration.sets; s++) change_group(t, p->group[s], p, adding);
    change_requests(t, p, adding);
    t->total->generations += adding ? 1 : UINT32_MAX;  /* the rest of it is added up from a set's groups, see tally_merge.c */
    for (size_t i = 0; i < p->attempts; i++) count_attempt(&p->attempt[i], adding);
  }
  t->fates[p->fate] += adding ? 1 : UINT64_MAX;
  return true;
}

/* ---- what a line says -------------------------------------------------------------------------------------------- */

/* The characters of an id, which may be in t->text; NULL where it is none, or (with *length 1) where there is no memory. */
static const char *read_id (struct tally *t, const char *json, size_t *length) {
  *length = 0;
  if (json == NULL || *json != '"') return NULL;
  json = json_string(json, length);
  if (*length == 0) return NULL;
  if (memchr(json, '\\', *length) == NULL) return json;
  if (!buffer_reserve(&t->text, *length)) {
    *length = 1;
    return NULL;
  }
  *length = json_unescape(t->text.bytes, json, *length);
  return t->text.bytes;
}

static uint64_t second_hash (const struct tally *t, const char *id, size_t length) {
  const uint64_t secret[2] = { t->secret[1] ^ UINT64_C(0x9e3779b97f4a7c15), t->secret[0] };
  return hash_bytes(secret, id, length);
}

/* Copy the string at p, 32 bytes at once where that can be. `out` has room for 32 more. */
static char *copy_string (char *out, const char **p, const char *end) {
  const char *q = *p;
  *out++ = *q++;
  while (*q != '"') {
    const size_t run = plain_run(q, end);
    if (run > 0) {
      memcpy(out, q, 32);
      out += run;
      q += run;
    } else {
      if (*q == '\\') *out++ = *q++;
      *out++ = *q++;
    }
  }
  *out++ = *q++;
  *p = q;
  return out;
}

/* Copy the object at p without the white space between its tokens; out has room for all of it and 32 bytes more. As json_minify
   does, but finding the object's end on the way: this is done for many records. Returns the length. */
static size_t copy_object (char *out, const char *p, const char *end) {
  char *start = out;
  int open = 0;
  do {
    switch (*p) {
      case '"': out = copy_string(out, &p, end); continue;
      case ' ': case '\t': case '\n': case '\r': p++; continue;
      case '{': case '[': open++; break;
      case '}': case ']': open--; break;
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
  const char *end = r->text + r->length;
  if (!buffer_reserve(&t->text, (size_t)r->length * (t->uses_context ? 2 : 1) + 32)) return false;
  size_t length = copy_object(t->text.bytes, r->text + r->object, end);
  if (t->uses_context && r->context) length += copy_object(t->text.bytes + length, r->text + r->context, end);
  *hash = hash_bytes(no_secret, t->text.bytes, length);
  return true;
}

static bool read_part (struct tally *t, const struct record *r, uint64_t unique, struct part *part, const char **why) {
  *why = tally_no_memory;
  memset(part->group, 0, sizeof part->group);
  part->attempts = 0;
  part->attempt = NULL;
  part->present = 0;
  if (!key_reserve(t, r, t->dimensions)) return false;
  key_read_moment(t, r);
  part->fate = key_judge(t, r);
  if (part->fate != FATE_COUNTED) return true;
  if (!find_groups(t, r, part, why) || !read_attempts(t, r, part, why)) return false;
  part_read_values(t, part, r, unique);
  return true;
}

/* Without an id, a record's place stands for it. */
static uint64_t unique_of (const struct tally *t, uint64_t place) {
  return place == TALLY_KEEP ? WHERE_KEPT | t->kept_count : place;
}

/* By whom: the hash of a sighting, and the other one where somebody wants it. False: no memory. */
static bool read_hashes (struct tally *t, const char *id_json, uint64_t unique, uint64_t *hash, uint64_t *second) {
  size_t length;
  const char *id = read_id(t, id_json, &length);
  if (id == NULL && length > 0) return false;
  if (id == NULL) id = (const char *)&unique, length = sizeof unique;
  *hash = hash_bytes(t->secret, id, length);
  if (second) *second = second_hash(t, id, length);
  return true;
}

/* When and by whom: all of the facts but part and text. The hash of the sighting comes back. False: no memory. */
static bool read_identity (struct tally *t, struct facts *f, const char *id_json, const char *at, uint64_t unique,
                           uint64_t *hash) {
  if (!read_hashes(t, id_json, unique, hash, &f->id)) return false;
  if (at == NULL || !key_utc(at, &f->at)) f->at = -HUGE_VAL;
  f->has_instant = false;
  return true;
}

bool facts_read (struct tally *t, struct facts *f, const struct record *r, bool text, uint64_t place, uint64_t *hash,
                 const char **why) {
  *why = tally_no_memory;
  f->state = STATE_SETTLED;
  f->text = 0;
  return read_identity(t, f, record_id(r), r->at ? r->text + r->at : NULL, unique_of(t, place), hash)
    && (!text || hash_text(t, r, &f->text)) && read_part(t, r, unique_of(t, place), &f->part, why);
}

static const char *member_of (const char *json, const char *name) {
  return json && *json == '{' ? json_member(json, name, strlen(name)) : NULL;
}

static bool read_money (const char *json, struct money *amount) {
  return json && json_is_number(json) && money_parse(amount, json) != MONEY_OVERFLOW;
}

/* What the response itself said about its cost, in a note: the `usage` of a completion. With the caller's own key `cost` is but
   OpenRouter's fee, as in the record (spend.h); without one the upstream cost is in it already, where it is told. */
static bool read_instant_cost (const struct record *r, struct money *cost) {
  const char *instant = member_of(json_space(r->text), "instant"), *is_byok = member_of(instant, "is_byok");
  struct money upstream;
  if (!read_money(member_of(instant, "cost"), cost)) return false;
  if (is_byok == NULL || *is_byok == 'f') return true;
  return *is_byok == 't' && read_money(member_of(member_of(instant, "cost_details"), "upstream_inference_cost"), &upstream)
    && money_add(cost, &upstream);
}

bool facts_read_open (struct tally *t, struct facts *f, const struct record *r, const char *id_json, enum state state,
                      uint64_t *hash, const char **why) {
  *why = tally_no_memory;
  f->state = state;
  f->text = 0;
  f->part.attempts = 0;
  f->part.fate = FATE_FILTERED;
  if (!read_identity(t, f, id_json, json_member(json_space(r->text), "at", 2), 0, hash)) return false;
  f->has_instant = state == STATE_OPEN && read_instant_cost(r, &f->instant);
  return true;
}

/* ---- keeping it -------------------------------------------------------------------------------------------------- */

static struct facts *copy_facts (const struct tally *t, const struct facts *f) {
  struct facts *copy = (struct facts *)malloc(t->facts_size);
  if (copy == NULL) return NULL;
  memcpy(copy, f, t->facts_size);
  copy->shown = NULL;
  copy->part.attempt = NULL;
  const size_t size = f->part.attempts * sizeof *f->part.attempt;
  if (size == 0) return copy;
  copy->part.attempt = (struct attempt *)malloc(size);
  if (copy->part.attempt) {
    memcpy(copy->part.attempt, f->part.attempt, size);
    return copy;
  }
  free(copy);
  return NULL;
}

/* Keep facts; r is NULL, or what a list of the dearest may show. */
static bool keep (struct tally *t, const struct facts *f, const struct record *r) {
  struct facts **list = (struct facts **)buffer_list(t->kept, t->kept_count, &t->kept_room, sizeof *list);
  if (list == NULL) return false;
  t->kept = list;
  struct facts *copy = copy_facts(t, f);
  if (copy && r && t->declaration.dearest > 0 && f->part.fate == FATE_COUNTED
      && (copy->shown = dearest_text(t, r, &copy->shown_length)) == NULL) {
    facts_free(copy);
    return false;
  }
  if (copy == NULL) return false;
  t->kept[t->kept_count++] = copy;
  return true;
}

static void forget_last (struct tally *t) { facts_free(t->kept[--t->kept_count]); }

static uint64_t place_of (const struct tally *t, uint64_t place) {
  return place == TALLY_KEEP ? WHERE_KEPT | (t->kept_count - 1) : place;
}

static void see (struct tally *t, uint64_t hash, uint64_t place, enum state state) {
  sightings_push(&t->seen, hash, place_of(t, place) | (uint64_t)state << 60);
  t->resolved = false;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

/* What is read again when it has to be need not be known now. */
static bool read_record (struct tally *t, const struct record *r, uint64_t place, uint64_t *hash, const char **why) {
  struct facts *f = t->now;
  const char *at = r->at ? r->text + r->at : NULL;
  *why = tally_no_memory;
  f->state = STATE_SETTLED;
  if (place != TALLY_KEEP) {
    if (!read_hashes(t, record_id(r), place, hash, NULL)) return false;
  } else if (!read_identity(t, f, record_id(r), at, unique_of(t, place), hash) || !hash_text(t, r, &f->text)) {
    return false;
  }
  return read_part(t, r, unique_of(t, place), &f->part, why);
}

static bool add_record (struct tally *t, const struct record *r, uint64_t place, const char **why) {
  uint64_t hash;
  char *text = NULL;
  size_t length = 0;
  if (!read_record(t, r, place, &hash, why)) return false;
  const bool wanted = dearest_wants(t, &t->now->part);
  if (wanted && (text = dearest_text(t, r, &length)) == NULL) return false;
  if (!sightings_reserve(&t->seen, 1) || (place == TALLY_KEEP && !keep(t, t->now, r))) {
    free(text);
    return false;
  }
  if (!part_count(t, &t->now->part, true, why)) {
    if (place == TALLY_KEEP) forget_last(t);
    free(text);
    return false;
  }
  if (wanted) dearest_add(t, &t->now->part, place_of(t, place), text, length);
  see(t, hash, place, STATE_SETTLED);
  return true;
}

bool tally_add (struct tally *t, const struct record *r, const char **why) { return add_record(t, r, TALLY_KEEP, why); }

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static enum tally_line refuse (const char **why, const char *reason) {
  *why = reason;
  return TALLY_REFUSED;
}

static enum tally_line add_generation (struct tally *t, const struct record *r, uint64_t place, const char **why) {
  if (add_record(t, r, place, why)) return TALLY_GENERATION;
  return *why == tally_full ? TALLY_FULL : TALLY_REFUSED;
}

static enum tally_line add_unsettled (struct tally *t, const struct record *r, const char *id_json, enum state state,
                                      uint64_t place, const char **why) {
  uint64_t hash;
  if (!facts_read_open(t, t->now, r, id_json, state, &hash, why)) return TALLY_REFUSED;
  if (!sightings_reserve(&t->seen, 1) || (place == TALLY_KEEP && !keep(t, t->now, NULL))) return refuse(why, tally_no_memory);
  see(t, hash, place, state);
  return state == STATE_FAILED ? TALLY_FAILED : TALLY_OPEN;
}

struct record *tally_index (struct tally *t, const char *line, size_t length, const char **part, struct json_check *error,
                            enum record_kind *kind) {
  if (!buffer_reserve(&t->line, sizeof (struct record) + length)) return NULL;
  struct record *r = (struct record *)(void *)t->line.bytes;
  r->length = (uint32_t)length;
  memcpy(r->text, line, length);
  r->text[length] = '\0';
  *kind = record_index(r, part, error);
  return r;
}

enum tally_line tally_add_line (struct tally *t, const char *line, size_t length, uint64_t place, const char **why) {
  struct json_check error;
  enum record_kind kind;
  const char *part = NULL;
  if (record_is_blank(line, length)) return TALLY_BLANK;
  if (length > RECORD_MAX_TEXT) return refuse(why, RECORD_TOO_LONG);
  const struct record *r = tally_index(t, line, length, &part, &error, &kind);
  if (r == NULL) return refuse(why, tally_no_memory);
  *why = record_refusal(r, kind, part, &error, t->reason);
  if (*why != NULL) return kind == RECORD_INVALID ? TALLY_MALFORMED : TALLY_REFUSED;
  if (kind == RECORD_GENERATION) return add_generation(t, r, place, why);
  if (kind == RECORD_OPEN && record_is_closed(r)) return TALLY_BLANK;
  const char *id = record_unsettled_id(r, kind, part);
  return add_unsettled(t, r, id, kind == RECORD_FAILED ? STATE_FAILED : STATE_OPEN, place, why);
}

/* ---- reading a line again ---------------------------------------------------------------------------------------- */

#define READ_SIZE ((size_t)4 << 10)

enum reading tally_read_again (struct tally *t, uint64_t place, struct buffer *into, const char **line, size_t *length) {
  const size_t source = (size_t)(place >> 46);
  const uint64_t offset = place & TALLY_MAX_OFFSET;
  if (source >= (size_t)t->sources) return CHANGED;
  for (size_t size = READ_SIZE; size <= 2 * RECORD_MAX_TEXT; size *= 8) {
    if (!buffer_reserve(into, size)) return NO_MEMORY;
    size_t have = 0;
    for (ssize_t n = 1; n > 0 && have < size; have += (size_t)n) {
      n = pread(t->source[source], into->bytes + have, size - have, (off_t)(offset + have));
      if (n < 0) return CHANGED;
    }
    const char *end = (const char *)memchr(into->bytes, '\n', have);
    if (end == NULL && have == size) continue;
    const size_t bom = json_bom(into->bytes, have);
    *line = into->bytes + bom;
    *length = (end ? (size_t)(end - into->bytes) : have) - bom;
    return READ;
  }
  return CHANGED;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

size_t tally_groups (const struct tally *t, int set) { return t->set[set].groups; }

const struct tally_group *tally_group (const struct tally *t, int set, size_t i) { return t->set[set].group[i]; }

const struct tally_group *tally_total (const struct tally *t) { return t->total; }

const struct zone *tally_zone (const struct tally *t) { return t->zone; }

uint32_t tally_generations (const struct tally_group *g) { return g->generations; }

uint32_t tally_sum (const struct tally_group *g, int measure, struct money_sum *sum) {
  *sum = g->cell[measure].of.sum;
  return g->cell[measure].values;
}

bool tally_time (const struct tally_group *g, int measure, double *unix_seconds) {
  *unix_seconds = g->cell[measure].of.time;
  return g->cell[measure].values > 0;
}

bool tally_quantile (const struct tally *t, const struct tally_group *g, int measure, int percent, double *value) {
  const struct cell *cell = &g->cell[measure];
  uint64_t rank = ((uint64_t)cell->values * (uint64_t)percent + 99) / 100;
  if (cell->values == 0) return false;
  int bucket = histogram_rank(&cell->of.spread, rank ? rank : 1);
  *value = histogram_value(bucket, field_info[t->declaration.measure[measure].field].type == TYPE_INTEGER);
  return true;
}

const struct histogram *tally_histogram (const struct tally_group *g, int measure) { return &g->cell[measure].of.spread; }

const char *tally_dearest (const struct tally *t, int i, size_t *length) {
  if (i >= t->dearest_count || i >= t->declaration.dearest) return NULL;
  *length = t->dearest[i].length;
  return t->dearest[i].text;
}

bool tally_provider (const struct tally *t, size_t i, struct tally_provider *provider) {
  if (i >= t->providers) return false;
  const struct provider *p = t->provider[i];
  provider->name = p->node.key;
  provider->length = p->node.length;
  provider->attempts = p->attempts;
  provider->failed = p->failed;
  provider->failed_latency = p->latency;
  return true;
}

struct tally_counts tally_counts (const struct tally *t) {
  struct tally_counts counts = t->counts;
  counts.filtered = t->fates[FATE_FILTERED];
  counts.undated = t->fates[FATE_UNDATED];
  counts.changed += t->unseen;
  return counts;
}

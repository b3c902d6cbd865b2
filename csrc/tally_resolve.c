#include "tally_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- facts of a sighting ----------------------------------------------------------------------------------------- */

/* A line that was read again; `text` is NULL where its facts were kept instead. */
struct line {
  const char *text;
  size_t length;
};

static enum reading read_line (struct tally *t, const struct sighting *s, struct buffer *into, struct line *line) {
  line->text = NULL;
  return s->where & WHERE_KEPT ? READ : tally_read_again(t, WHERE_PLACE(s->where), into, &line->text, &line->length);
}

/* Fill in *into, `text` where that matters; or where the facts were kept, *facts is these. A line of another id, which was never
   added, must not be taken back. */
static enum reading understand (struct tally *t, const struct sighting *s, const struct line *line, bool text, struct facts *into,
                                const struct facts **facts) {
  uint64_t hash;
  struct json_check error;
  enum record_kind kind;
  const char *part = NULL, *why = NULL;
  *facts = line->text ? into : t->kept[WHERE_PLACE(s->where)];
  if (line->text == NULL) return READ;
  const struct record *r = tally_index(t, line->text, line->length, &part, &error, &kind);
  if (r == NULL) return NO_MEMORY;
  const enum state state = kind == RECORD_GENERATION ? STATE_SETTLED : kind == RECORD_FAILED ? STATE_FAILED : STATE_OPEN;
  if (kind == RECORD_INVALID || kind == RECORD_API_ERROR || state != WHERE_STATE(s->where)) return CHANGED;
  if (state != STATE_SETTLED) part = record_unsettled_id(r, kind, part);
  const bool fine = state == STATE_SETTLED ? facts_read(t, into, r, text, WHERE_PLACE(s->where), &hash, &why)
                                           : facts_read_open(t, into, r, part, state, &hash, &why);
  return !fine ? NO_MEMORY : hash == s->hash ? READ : CHANGED;
}

static enum reading look (struct tally *t, const struct sighting *s, bool text, struct facts *into, const struct facts **facts) {
  struct line line;
  const enum reading what = read_line(t, s, &t->again, &line);
  return what == READ ? understand(t, s, &line, text, into, facts) : what;
}

/* It is no longer needed. */
static void drop (struct tally *t, uint64_t where) {
  if (!(where & WHERE_KEPT)) return;
  facts_free(t->kept[WHERE_PLACE(where)]);
  t->kept[WHERE_PLACE(where)] = NULL;
}

/* ---- two sightings of one id ------------------------------------------------------------------------------------- */

/* Whether b counts rather than a, of the same state. */
static bool is_better (const struct facts *a, const struct facts *b) {
  if (b->has_instant != a->has_instant) return b->has_instant;
  if (b->at != a->at) return b->at > a->at;
  if (b->text != a->text) return b->text > a->text;
  return b->has_instant && (b->instant.high != a->instant.high ? b->instant.high > a->instant.high
                                                               : b->instant.low > a->instant.low);
}

static uint64_t place_of_dearest (uint64_t where) { return WHERE_PLACE(where) | (where & WHERE_KEPT); }

/* Take a record back. t->now and t->other may be read anew after it. */
static bool take_back (struct tally *t, uint64_t where, const struct facts *f) {
  const char *why;
  if (!part_count(t, &f->part, false, &why)) return false;
  dearest_remove(t, place_of_dearest(where));
  return true;
}

/* Whether two records add the same to the same groups. */
static bool add_the_same (const struct tally *t, const struct part *a, const struct part *b) {
  if (a->fate != b->fate || a->present != b->present || memcmp(a->group, b->group, sizeof a->group) != 0) return false;
  for (int i = 0; i < t->declaration.measures; i++) {
    const size_t at = t->word_at[i], size = t->words[i] * sizeof a->word[0];
    if ((a->present >> i & 1) && memcmp(&a->word[at], &b->word[at], size) != 0) return false;
  }
  return true;
}

/* Of the sightings at i and at j, which are of one id, leave one at i. */
static bool settle_pair (struct tally *t, struct sighting *i, const struct sighting *j, const struct facts *a,
                         const struct facts *b) {
  const bool both = a->state == STATE_SETTLED && b->state == STATE_SETTLED;
  const uint64_t differed = i->where & WHERE_DIFFERS, differed_too = j->where & WHERE_DIFFERS;
  const uint64_t differ = differed | differed_too | (both && a->text != b->text ? WHERE_DIFFERS : 0);
  const bool second = a->state != b->state ? b->state > a->state : is_better(a, b);
  const uint64_t winner = second ? j->where : i->where, loser = second ? i->where : j->where;
  const bool stale = t->stale;
  if (both && !take_back(t, loser, second ? a : b)) return false;
  if (both && add_the_same(t, &a->part, &b->part)) t->stale = stale || dearest_missing(t);  /* times are those of the winner */
  if (both) t->counts.duplicates++;
  t->counts.conflicts += (differ != 0) - (differed != 0) - (uint64_t)(differed_too != 0);  /* one for each id */
  drop(t, loser);
  i->where = winner | differ;
  return true;
}

/* The attempts of facts that were read are in the tally: let the next reading use other room. */
static void keep_attempts (struct tally *t) {
  struct attempt *attempt = t->attempt;
  const size_t room = t->attempt_room;
  t->attempt = t->other_attempt;
  t->attempt_room = t->other_attempt_room;
  t->other_attempt = attempt;
  t->other_attempt_room = room;
}

enum pair { ONE_ID, OTHER_ID, FIRST_CHANGED, SECOND_CHANGED, PAIR_FAILED };

/* Whether both say the same to the last byte, as the lines of a ledger and its copy do. */
static bool are_copies (const struct sighting *i, const struct line *a, const struct sighting *j, const struct line *b) {
  return a->text != NULL && b->text != NULL && WHERE_STATE(i->where) == WHERE_STATE(j->where) && a->length == b->length
    && memcmp(a->text, b->text, a->length) == 0;
}

static enum pair compare (struct tally *t, struct sighting *i, const struct sighting *j) {
  struct line line, other;
  const struct facts *a, *b;
  enum reading first = read_line(t, i, &t->again, &line), second = read_line(t, j, &t->copy, &other);
  if (first == READ && second == READ && are_copies(i, &line, j, &other)) {
    second = understand(t, j, &other, false, t->now, &b);  /* it is enough to look at the one that is taken back */
    a = b;
  } else {
    if (first == READ) first = understand(t, i, &line, true, t->now, &a);
    keep_attempts(t);
    if (first == READ && second == READ) second = understand(t, j, &other, true, t->other, &b);
  }
  if (first == NO_MEMORY || second == NO_MEMORY) return PAIR_FAILED;
  if (first == CHANGED || second == CHANGED) return first == CHANGED ? FIRST_CHANGED : SECOND_CHANGED;
  if (a->id != b->id) return OTHER_ID;
  return settle_pair(t, i, j, a, b) ? ONE_ID : PAIR_FAILED;
}

/* How many of those that are left may count twice, as they cannot be compared any more. */
static bool count_changed (struct tally *t, const struct sighting *run, size_t count) {
  const struct facts *f;
  size_t changed = 0;
  for (size_t i = 0; i < count; i++) {
    const enum reading what = look(t, &run[i], false, t->now, &f);
    if (what == NO_MEMORY) return false;
    changed += what == CHANGED;
  }
  t->counts.changed += changed < count ? changed : count - 1;
  return true;
}

/* Sightings with the same hash: *count of them, of which those that stay come to stand first. */
static bool settle_run (struct tally *t, struct sighting *run, size_t *count) {
  bool changed = false;
  for (size_t i = 0; i < *count; i++) {
    for (size_t j = i + 1; j < *count; ) {
      const enum pair what = compare(t, &run[i], &run[j]);
      if (what == PAIR_FAILED) return false;
      changed = changed || what == FIRST_CHANGED || what == SECOND_CHANGED;
      if (what == FIRST_CHANGED) break;
      if (what == ONE_ID) run[j] = run[--*count];
      else j++;
    }
  }
  return !changed || count_changed(t, run, *count);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

/* When there is no memory in the midst of it, what was not looked at yet stays where it is. */
static bool settle_all (struct tally *t) {
  struct sightings *seen = &t->seen;
  size_t kept = 0, i = 0;
  bool fine = true;
  while (fine && i < seen->count) {
    size_t end = i + 1, count;
    while (end < seen->count && seen->list[end].hash == seen->list[i].hash) end++;
    count = end - i;
    if (count > 1) fine = settle_run(t, seen->list + i, &count);
    if (kept != i) memmove(seen->list + kept, seen->list + i, count * sizeof *seen->list);
    kept += count;
    i = end;
  }
  memmove(seen->list + kept, seen->list + i, (seen->count - i) * sizeof *seen->list);
  seen->count -= i - kept;
  return fine;
}

/* What became of ids without a record. */
static bool count_open (struct tally *t) {
  const struct facts *f;
  t->counts.failed = t->counts.open = t->counts.instant_unknown = 0;
  memset(&t->counts.instant_cost, 0, sizeof t->counts.instant_cost);
  for (size_t i = 0; i < t->seen.count; i++) {
    const enum state state = WHERE_STATE(t->seen.list[i].where);
    if (state == STATE_FAILED) t->counts.failed++;
    if (state != STATE_OPEN) continue;
    t->counts.open++;
    const enum reading what = look(t, &t->seen.list[i], false, t->now, &f);
    if (what == NO_MEMORY) return false;
    if (what == READ && f->has_instant) money_sum_add(&t->counts.instant_cost, &f->instant);
    else t->counts.instant_unknown++;
  }
  return true;
}

/* ---- first, last and dearest, when one of them was taken back ---------------------------------------------------- */

static void forget_times (struct tally *t, struct tally_group *g) {
  for (int i = 0; i < t->declaration.measures; i++)
    if (measure_is_time(&t->declaration.measure[i])) g->cell[i].values = 0;
}

static void forget_extremes (struct tally *t) {
  for (int s = 0; s < t->declaration.sets; s++)
    for (size_t i = 0; i < t->set[s].groups; i++) forget_times(t, t->set[s].group[i]);
  for (int i = 0; i < t->dearest_count; i++) free(t->dearest[i].text);
  t->dearest_count = 0;
  t->dearest_beyond = false;
}

static void add_times (struct tally *t, struct tally_group *g, const struct part *p) {
  for (int i = 0; i < t->declaration.measures; i++) {
    const struct tally_measure *m = &t->declaration.measure[i];
    if (!(p->present >> i & 1) || !measure_is_time(m)) continue;
    double time;
    memcpy(&time, &p->word[t->word_at[i]], sizeof time);
    cell_add_time(&g->cell[i], m, time);
    g->cell[i].values++;
  }
}

static bool add_dearest (struct tally *t, uint64_t where, const struct facts *f) {
  if (!dearest_wants(t, &f->part)) return true;
  size_t length = f->shown_length;
  char *text;
  if (where & WHERE_KEPT) {
    if ((text = (char *)malloc(length)) != NULL) memcpy(text, f->shown, length);
  } else {
    text = dearest_text(t, (const struct record *)(const void *)t->line.bytes, &length);  /* which was read a moment ago */
  }
  if (text == NULL) return false;
  dearest_add(t, &f->part, place_of_dearest(where), text, length);
  return true;
}

static bool find_extremes (struct tally *t) {
  const struct facts *f;
  t->unseen = 0;
  forget_extremes(t);
  for (size_t i = 0; i < t->seen.count; i++) {
    const uint64_t where = t->seen.list[i].where;
    if (WHERE_STATE(where) != STATE_SETTLED) continue;
    const enum reading what = look(t, &t->seen.list[i], false, t->now, &f);
    if (what == NO_MEMORY) return false;
    if (what == CHANGED) t->unseen++;
    if (what == CHANGED || f->part.fate != FATE_COUNTED) continue;
    for (int s = 0; s < t->declaration.sets; s++) add_times(t, f->part.group[s], &f->part);
    if (!add_dearest(t, where, f)) return false;
  }
  t->stale = false;
  return true;
}

/* ---- whether a line is what counts -------------------------------------------------------------------------------- */

static size_t first_sighting (const struct sightings *seen, uint64_t hash) {
  size_t low = 0, high = seen->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (seen->list[middle].hash < hash) low = middle + 1;
    else high = middle;
  }
  return low;
}

/* Whether none of the sightings with the hash is one of the same id that counts rather than t->now. */
static bool is_best (struct tally *t, uint64_t hash, bool *best) {
  const struct sightings *seen = &t->seen;
  const struct facts *f;
  *best = false;
  keep_attempts(t);
  for (size_t i = first_sighting(seen, hash); i < seen->count && seen->list[i].hash == hash; i++) {
    const enum reading what = look(t, &seen->list[i], true, t->other, &f);
    if (what == NO_MEMORY) return false;
    if (what == READ && f->id == t->now->id) *best = f->state == STATE_SETTLED && !is_better(t->now, f);
  }
  return true;
}

bool tally_line_counts (struct tally *t, const char *line, size_t length, bool *counts) {
  struct json_check check;
  enum record_kind kind;
  const char *part = NULL, *why;
  uint64_t hash;
  *counts = false;
  if (length > RECORD_MAX_TEXT) return true;
  const struct record *r = tally_index(t, line, length, &part, &check, &kind);
  if (r == NULL) return false;
  if (kind != RECORD_GENERATION || record_refusal(r, kind, part, &check, t->reason) != NULL) return true;
  const bool has_id = record_id(r) != NULL;
  if (!facts_read(t, t->now, r, true, TALLY_KEEP, &hash, &why)) return why == tally_full;  /* it is in no group */
  *counts = t->now->part.fate == FATE_COUNTED;
  return !*counts || !has_id || is_best(t, hash, counts);
}

/* ---- distinct requests ------------------------------------------------------------------------------------------- */

static int by_group_and_hash (const void *a, const void *b) {
  const struct request *x = (const struct request *)a, *y = (const struct request *)b;
  if (x->group != y->group) return x->group < y->group ? -1 : 1;
  return x->hash == y->hash ? 0 : x->hash < y->hash ? -1 : 1;
}

/* Those that are left, once each. */
static void join_requests (struct requests *q) {
  size_t kept = 0;
  if (q->count > 0) qsort(q->list, q->count, sizeof *q->list, by_group_and_hash);
  for (size_t i = 0, end; i < q->count; i = end) {
    struct request one = q->list[i];
    for (end = i + 1; end < q->count && by_group_and_hash(&q->list[end], &one) == 0; end++) one.count += q->list[end].count;
    if (one.count > 0) q->list[kept++] = one;
  }
  q->count = kept;
}

static void set_requests (struct tally_group *g, int measure, uint64_t count) {
  memset(&g->cell[measure].of.sum, 0, sizeof g->cell[measure].of.sum);
  g->cell[measure].of.sum.low = count;
}

/* Groups of a set are in the order of their serial numbers. */
static struct tally_group *group_of (const struct tally *t, uint32_t serial) {
  for (int s = 0; s < t->declaration.sets && serial > 0; s++) {
    size_t low = 0, high = t->set[s].groups;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (t->set[s].group[middle]->serial < serial) low = middle + 1;
      else high = middle;
    }
    if (low < t->set[s].groups && t->set[s].group[low]->serial == serial) return t->set[s].group[low];
  }
  return t->total;
}

static void count_requests (struct tally *t) {
  const int measure = t->requests_measure;
  const struct requests *q = &t->requests;
  if (measure < 0) return;
  join_requests(&t->requests);
  for (int s = 0; s < t->declaration.sets; s++)
    for (size_t i = 0; i < t->set[s].groups; i++) set_requests(t->set[s].group[i], measure, 0);
  for (size_t i = 0, end; i < q->count; i = end) {
    for (end = i + 1; end < q->count && q->list[end].group == q->list[i].group; ) end++;
    set_requests(group_of(t, q->list[i].group), measure, end - i);
  }
}

bool tally_resolve (struct tally *t) {
  if (t->resolved) return true;
  t->counts.changed = 0;  /* they are found again, as they are all left */
  sightings_sort(&t->seen);
  if (!settle_all(t) || !count_open(t) || (t->stale && !find_extremes(t)) || !total_add_up(t)) return false;
  count_requests(t);
  t->resolved = true;
  return true;
}

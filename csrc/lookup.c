#include "lookup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE SIZE_MAX
#define LEAST_TIME 1.0  /* seconds that an attempt gets, where the deadline is not very near */
#define OLD_ID 3600.0  /* seconds after which a missing record is not "not written yet" any more */

enum order { BY_DUE, BY_DEADLINE, ORDERS };

struct entry {
  struct entry *next;     /* in its hash bucket */
  double submitted, wait_until, started;
  double at[ORDERS];      /* when it is due, and its deadline */
  size_t place[ORDERS];   /* in the heaps; NOWHERE while it is on the wire */
  uint64_t order;         /* ids due at the same time go in the order they came */
  uint64_t start;         /* number of its last request */
  size_t slot;
  int attempts, brief;    /* requests sent; failures of kinds that are asked again briefly */
  enum kind kind;         /* of its last failure */
  enum resource resource;
  uint32_t hash;
  uint32_t length;
  char id[1];
};

/* A heap of the waiting ids. It has room for all that are open, so that nothing but a submit can run out of memory. */
struct heap {
  struct entry **entry;
  size_t count;
  enum order by;
};

struct lookup {
  struct lookup_config config;
  struct pace pace;
  struct lookup_stats stats;
  size_t open, on_wire;
  size_t room;            /* for so many ids; it grows up to the window */
  uint64_t order, random;
  bool stopped;           /* the key is no good: nothing more is asked until the window is empty */
  struct entry *ended;    /* what lookup_drop removes */
  size_t *free_slot;      /* those from `open` on are free */
  size_t bucket_mask;
  struct entry **bucket;
  struct heap heap[ORDERS];
};

/* ---- ids ------------------------------------------------------------------------------------------------------- */

/* 1: as it is in a URL; 2: percent-encoded there. All others are in no id. */
static const unsigned char id_character[256] = {
  ['-'] = 1, ['.'] = 1, ['_'] = 1, ['~'] = 1, [':'] = 2, ['/'] = 2,
  ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
  ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1,
  ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1,
  ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1,
  ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,
  ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1,
  ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

bool lookup_id_valid (const char *id, size_t length) {
  if (length == 0 || length > LOOKUP_ID_MAX) return false;
  for (size_t i = 0; i < length; i++)
    if (!id_character[(unsigned char)id[i]]) return false;
  return true;
}

static const struct {
  const char *prefix, *path;
} resources[] = { [RESOURCE_RECORD] = { "", "/generation?id=" },
                  [RESOURCE_CONTENT] = { "content ", "/generation/content?id=" },
                  [RESOURCE_FEEDBACK] = { "feedback ", "/generation/feedback" },
                  [RESOURCE_ACTIVITY] = { "activity ", "/activity?date=" },
                  [RESOURCE_ANALYTICS] = { "analytics ", "/analytics/query" } };

enum resource lookup_resource (const char *key, size_t length, const char **id, size_t *id_length) {
  int r = RESOURCE_ANALYTICS;
  size_t n = strlen(resources[r].prefix);
  while (length < n || memcmp(key, resources[r].prefix, n) != 0) n = strlen(resources[--r].prefix);
  *id = key + n;
  *id_length = length - n;
  return (enum resource)r;
}

bool lookup_posts (enum resource resource) { return resource == RESOURCE_FEEDBACK || resource == RESOURCE_ANALYTICS; }

enum resource lookup_target (char out[LOOKUP_TARGET_SIZE], const char *key, size_t key_length) {
  static const char hex[] = "0123456789ABCDEF", key_hash[] = "&api_key_hash=";
  const char *id;
  size_t length;
  enum resource r = lookup_resource(key, key_length, &id, &length);
  char *p = out;
  for (const char *c = resources[r].path; *c; c++) *p++ = *c;
  if (lookup_posts(r)) length = 0;
  const char *colon = r == RESOURCE_ACTIVITY ? (const char *)memchr(id, ':', length) : NULL;
  for (size_t i = 0; i < length && i < LOOKUP_ID_MAX; i++) {
    if (id + i == colon) {
      for (const char *c = key_hash; *c; c++) *p++ = *c;
      continue;
    }
    if (id_character[(unsigned char)id[i]] == 1) {
      *p++ = id[i];
      continue;
    }
    *p++ = '%';
    *p++ = hex[(unsigned char)id[i] >> 4];
    *p++ = hex[(unsigned char)id[i] & 15];
  }
  *p = '\0';
  return r;
}

/* The Unix time in gen-<ten digits>-…, or a negative number. */
static double id_created (const char *id, size_t length) {
  double created = 0;
  if (length < 15 || memcmp(id, "gen-", 4) != 0 || id[14] != '-') return -1;
  for (int i = 4; i < 14; i++) {
    if (id[i] < '0' || id[i] > '9') return -1;
    created = created * 10 + (id[i] - '0');
  }
  return created;
}

/* ---- hash of all ids in the window ----------------------------------------------------------------------------- */

static uint32_t hash_id (const char *id, size_t length) {  /* FNV-1a */
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)id[i]) * 16777619u;
  return hash;
}

static struct entry **find (const struct lookup *l, const char *id, size_t length) {
  uint32_t hash = hash_id(id, length);
  struct entry **at = &l->bucket[hash & l->bucket_mask];
  for (; *at != NULL; at = &(*at)->next)
    if ((*at)->hash == hash && (*at)->length == length && memcmp((*at)->id, id, length) == 0) break;
  return at;
}

/* ---- heaps of the waiting ids: the next one due first, and the next deadline first ------------------------------- */

static bool before (const struct heap *h, const struct entry *a, const struct entry *b) {
  double x = a->at[h->by], y = b->at[h->by];
  return x < y || (x <= y && a->order < b->order);
}

static void heap_put (struct heap *h, size_t i, struct entry *e) {
  h->entry[i] = e;
  e->place[h->by] = i;
}

static void heap_up (struct heap *h, size_t i, struct entry *e) {
  for (; i > 0 && before(h, e, h->entry[(i - 1) / 2]); i = (i - 1) / 2) heap_put(h, i, h->entry[(i - 1) / 2]);
  heap_put(h, i, e);
}

static void heap_down (struct heap *h, size_t i, struct entry *e) {
  for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
    if (child + 1 < h->count && before(h, h->entry[child + 1], h->entry[child])) child++;
    if (!before(h, h->entry[child], e)) break;
    heap_put(h, i, h->entry[child]);
  }
  heap_put(h, i, e);
}

static void heap_remove (struct heap *h, struct entry *e) {
  size_t i = e->place[h->by];
  struct entry *last = h->entry[--h->count];
  e->place[h->by] = NOWHERE;
  if (last == e) return;
  if (i > 0 && before(h, last, h->entry[(i - 1) / 2])) heap_up(h, i, last);
  else heap_down(h, i, last);
}

static bool waits (const struct entry *e) { return e->place[BY_DUE] != NOWHERE; }

static void start_waiting (struct lookup *l, struct entry *e, double due) {
  e->at[BY_DUE] = due;
  e->order = l->order++;
  for (int by = 0; by < ORDERS; by++) heap_up(&l->heap[by], l->heap[by].count++, e);
}

static void stop_waiting (struct lookup *l, struct entry *e) {
  for (int by = 0; by < ORDERS; by++) heap_remove(&l->heap[by], e);
}

/* The first of those that wait. */
static struct entry *first (const struct lookup *l, enum order by) {
  return l->heap[by].count > 0 ? l->heap[by].entry[0] : NULL;
}

/* ---- the window ------------------------------------------------------------------------------------------------ */

#define FIRST_ROOM 64

static bool grow_slots (struct lookup *l, size_t room) {
  size_t *slots = (size_t *)realloc(l->free_slot, room * sizeof *slots);
  if (slots == NULL) return false;
  l->free_slot = slots;
  return true;
}

static bool grow_heap (struct heap *h, size_t room) {
  struct entry **entries = (struct entry **)realloc(h->entry, room * sizeof *entries);
  if (entries == NULL) return false;
  h->entry = entries;
  return true;
}

/* Spread the entries over twice as many buckets, or make the first ones. */
static bool grow_buckets (struct lookup *l, size_t room) {
  size_t buckets = 16;
  while (buckets < room) buckets *= 2;
  struct entry **bucket = (struct entry **)calloc(buckets, sizeof *bucket);
  if (bucket == NULL) return false;
  for (size_t i = 0; l->bucket != NULL && i <= l->bucket_mask; i++)
    for (struct entry *e = l->bucket[i], *next; e != NULL; e = next) {
      next = e->next;
      e->next = bucket[e->hash & (buckets - 1)];
      bucket[e->hash & (buckets - 1)] = e;
    }
  free(l->bucket);
  l->bucket = bucket;
  l->bucket_mask = buckets - 1;
  return true;
}

/* Room for twice as many ids. An engine of a wide window that is hardly used stays small. */
static bool grow (struct lookup *l) {
  size_t room = l->room ? 2 * l->room : FIRST_ROOM;
  if (room > l->config.window) room = l->config.window;
  bool ok = grow_slots(l, room) && grow_buckets(l, room);
  for (int by = 0; ok && by < ORDERS; by++) ok = grow_heap(&l->heap[by], room);
  if (!ok) return false;
  while (l->room < room) {
    l->free_slot[l->room] = l->room;
    l->room++;
  }
  return true;
}

struct lookup *lookup_new (const struct lookup_config *config) {
  struct lookup *l = (struct lookup *)calloc(1, sizeof *l);
  if (l == NULL) return NULL;
  l->config = *config;
  l->random = config->seed;
  pace_init(&l->pace, config->concurrency, config->rate);
  for (int by = 0; by < ORDERS; by++) l->heap[by].by = (enum order)by;
  if (grow(l)) return l;
  lookup_free(l);
  return NULL;
}

void lookup_free (struct lookup *l) {
  if (l == NULL) return;
  for (size_t i = 0; l->bucket != NULL && i <= l->bucket_mask; i++)
    for (struct entry *e = l->bucket[i], *next; e != NULL; e = next) {
      next = e->next;
      free(e);
    }
  free(l->bucket);
  free(l->free_slot);
  for (int by = 0; by < ORDERS; by++) free(l->heap[by].entry);
  histogram_free(&l->stats.seconds);
  free(l);
}

size_t lookup_open (const struct lookup *l) { return l->open; }

/* Twice what can be on the wire: after a round of answers the next round is there. A full window would be slower, for the
   processor's caches are small. */
bool lookup_is_hungry (const struct lookup *l, double now) {
  const struct heap *due = &l->heap[BY_DUE];
  return due->count < 2 * l->config.concurrency || due->entry[0]->at[BY_DUE] > now;
}
size_t lookup_on_wire (const struct lookup *l) { return l->on_wire; }
size_t lookup_limit (const struct lookup *l) { return pace_limit(&l->pace); }
const struct lookup_stats *lookup_stats (const struct lookup *l) { return &l->stats; }

static double default_wait (const struct lookup *l, const char *id, size_t length, double now) {
  double created = id_created(id, length);
  return created >= 0 && l->config.epoch + now - created > OLD_ID ? 0 : l->config.wait;
}

/* Given once more: the more patient one decides. */
static void share (struct lookup *l, struct entry *e, double wait_until, double deadline) {
  if (e->wait_until < wait_until) e->wait_until = wait_until;
  if (e->at[BY_DEADLINE] >= deadline) return;
  e->at[BY_DEADLINE] = deadline;
  if (waits(e)) heap_down(&l->heap[BY_DEADLINE], e->place[BY_DEADLINE], e);
}

enum lookup_status lookup_submit (struct lookup *l, const char *key, size_t length, double now, double wait, double deadline,
                                  double delay, size_t *slot) {
  const char *id;
  size_t id_length;
  enum resource resource = lookup_resource(key, length, &id, &id_length);
  if (!lookup_id_valid(id, id_length)) return LOOKUP_BAD_ID;
  double wait_until = now + (wait >= 0 ? wait : default_wait(l, id, id_length, now));
  double until = now + (deadline >= 0 ? deadline : l->config.deadline);
  struct entry **at = find(l, key, length);
  if (*at != NULL) {
    share(l, *at, wait_until, until);
    *slot = (*at)->slot;
    return LOOKUP_SHARED;
  }
  if (l->open >= l->config.window) return LOOKUP_FULL;
  if (l->open == l->room) {
    if (!grow(l)) return LOOKUP_NO_MEMORY;
    at = find(l, key, length);  /* in a bucket that is elsewhere now */
  }
  struct entry *e = (struct entry *)calloc(1, sizeof *e + length);
  if (e == NULL) return LOOKUP_NO_MEMORY;
  if (l->open == 0) l->stopped = false;
  *slot = e->slot = l->free_slot[l->open++];
  memcpy(e->id, key, length);
  e->length = (uint32_t)length;
  e->hash = hash_id(key, length);
  e->resource = resource;
  e->submitted = now;
  e->wait_until = wait_until;
  e->at[BY_DEADLINE] = until;
  *at = e;
  start_waiting(l, e, now + delay);
  return LOOKUP_ACCEPTED;
}

static void remove_entry (struct lookup *l, struct entry **at) {
  struct entry *e = *at;
  *at = e->next;
  l->free_slot[--l->open] = e->slot;
  free(e);
}

static double next_start (const struct lookup *l) {
  const struct entry *e = first(l, BY_DUE);
  if (l->stopped || e == NULL || l->on_wire >= pace_limit(&l->pace)) return HUGE_VAL;
  double ready = pace_ready(&l->pace);
  return ready > e->at[BY_DUE] ? ready : e->at[BY_DUE];
}

/* Whether the server wants no request before its deadline. */
static bool is_held_too_long (const struct lookup *l, const struct entry *e) {
  return l->pace.hold_until >= e->at[BY_DEADLINE];
}

double lookup_due (const struct lookup *l) {
  const struct entry *e = first(l, BY_DEADLINE);
  if (e == NULL) return HUGE_VAL;
  if (l->stopped || is_held_too_long(l, e)) return -HUGE_VAL;
  double start = next_start(l);
  return e->at[BY_DEADLINE] < start ? e->at[BY_DEADLINE] : start;
}

bool lookup_next (const struct lookup *l, double now, struct lookup_request *request) {
  if (next_start(l) > now) return false;
  const struct entry *e = first(l, BY_DUE);
  double left = e->at[BY_DEADLINE] - now;
  request->slot = e->slot;
  request->id = e->id;
  request->length = e->length;
  request->timeout = left < l->config.timeout ? left : l->config.timeout;
  if (request->timeout < 0.001) request->timeout = 0.001;
  return true;
}

void lookup_take (struct lookup *l, double now) {
  struct entry *e = first(l, BY_DUE);
  stop_waiting(l, e);
  e->attempts++;
  e->started = now;
  e->start = pace_start(&l->pace, now);
  l->on_wire++;
}

/* [0, 1), from SplitMix64: the same on every machine, and as good from the seeds 0 and 1 as from any other. */
static double next_random (struct lookup *l) {
  uint64_t z = l->random += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static void fill_verdict (struct lookup_verdict *v, const struct entry *e, enum lookup_action action, enum kind kind,
                          double now) {
  v->slot = e->slot;
  v->action = action;
  v->kind = kind;
  v->why = NULL;
  v->delay = 0;
  v->attempts = e->attempts;
  v->seconds = now - e->started;
  v->elapsed = now - e->submitted;
}

/* An attempt needs some time of its own: cut off at once, it would say "timeout" instead of what is wrong. */
static double last_start (const struct entry *e) {
  double deadline = e->at[BY_DEADLINE], share_of_all = (deadline - e->submitted) / 8;
  return deadline - (share_of_all < LEAST_TIME ? share_of_all : LEAST_TIME);
}

/* Seconds until this id is asked for again, negative: never. */
static double next_delay (struct lookup *l, struct entry *e, enum kind kind, double retry_after, double now) {
  const struct retry_policy *policy = &l->config.retry;
  double random = next_random(l);
  int failures = e->attempts;
  if (kind_rule(kind) == RETRY_BRIEFLY) failures = ++e->brief;
  if (kind == KIND_rate_limited) {  /* holds up everybody, whatever becomes of this id */
    pace_refuse(&l->pace, e->start);
    if (l->pace.strikes > failures) failures = l->pace.strikes;
    pace_hold(&l->pace, now, retry_pause(policy, failures, retry_after, random));
  } else if (e->resource == RESOURCE_FEEDBACK) {
    return -1;
  }
  const struct retry_times times = { e->submitted, now, e->wait_until, last_start(e) };
  return retry_delay(policy, kind, failures, retry_after, random, &times);
}

static void count_answer (struct lookup *l, const struct entry *e, enum kind kind, double now) {
  int bucket = histogram_bucket(now - e->started);
  l->stats.attempts[kind]++;
  if (bucket >= 0 && histogram_reserve(&l->stats.seconds, bucket)) histogram_add(&l->stats.seconds, bucket);
  if (kind == KIND_settled) l->stats.settled++;
}

/* The server has answered, and not that there are too many requests. */
static bool is_accepted (enum kind kind) {
  switch (kind) {
    case KIND_settled: case KIND_auth: case KIND_payment: case KIND_forbidden: case KIND_not_found: case KIND_bad_request:
    case KIND_server: case KIND_bad_answer: case KIND_wrong_id: case KIND_too_large: return true;
    default: return false;
  }
}

bool lookup_is_on_wire (const struct lookup *l, const char *id, size_t length) {
  const struct entry *e = *find(l, id, length);
  return e != NULL && !waits(e);
}

bool lookup_answer (struct lookup *l, const char *id, size_t length, enum kind kind, double retry_after, double now,
                    struct lookup_verdict *verdict) {
  struct entry **at = find(l, id, length), *e = *at;
  if (e == NULL || waits(e)) return false;
  l->on_wire--;
  count_answer(l, e, kind, now);
  e->kind = kind;
  if (kind_rule(kind) == RETRY_STOP) l->stopped = true;
  if (is_accepted(kind)) pace_accept(&l->pace);
  double delay = kind == KIND_settled ? -1 : next_delay(l, e, kind, retry_after, now);
  fill_verdict(verdict, e, kind == KIND_settled ? LOOKUP_SETTLED : delay >= 0 ? LOOKUP_RETRY : LOOKUP_FAILED, kind, now);
  if (delay >= 0) {
    l->stats.retried++;
    verdict->delay = delay;
    /* after a 429 everybody waits; whoever was refused keeps his place in the queue */
    bool keeps_place = kind == KIND_rate_limited && now + delay <= l->pace.hold_until;
    start_waiting(l, e, keeps_place ? e->at[BY_DUE] : now + delay);
  } else {
    if (kind != KIND_settled) l->stats.failed++;
    remove_entry(l, at);
  }
  return true;
}

/* What becomes of the id with the next deadline if it gets no other attempt; KIND_settled: it may get one. What it was told
   last says more than why there is no time left. */
static enum kind kind_of_late (const struct lookup *l, const struct entry *e, double now, const char **why) {
  bool held = is_held_too_long(l, e);
  if (!held && e->at[BY_DEADLINE] > now) return KIND_settled;
  if (e->attempts > 0) return e->kind;
  *why = held ? "the server wants no request before this one's deadline" : "its turn did not come before its deadline";
  return held ? KIND_rate_limited : KIND_timeout;
}

bool lookup_ended (struct lookup *l, double now, struct lookup_request *id, struct lookup_verdict *verdict) {
  struct entry *e = first(l, l->stopped ? BY_DUE : BY_DEADLINE);
  const char *why = NULL;
  if (e == NULL) return false;
  enum kind kind = l->stopped ? KIND_unresolved : kind_of_late(l, e, now, &why);
  if (kind == KIND_settled) return false;
  id->slot = e->slot;
  id->id = e->id;
  id->length = e->length;
  id->timeout = 0;
  fill_verdict(verdict, e, LOOKUP_FAILED, kind, now);
  verdict->why = why;
  l->ended = e;
  return true;
}

void lookup_drop (struct lookup *l) {
  struct entry *e = l->ended;
  l->stats.failed++;
  stop_waiting(l, e);
  remove_entry(l, find(l, e->id, e->length));
}

bool lookup_cancel (struct lookup *l, const char *id, size_t length, double now, struct lookup_verdict *verdict) {
  struct entry **at = find(l, id, length), *e = *at;
  if (e == NULL) return false;
  fill_verdict(verdict, e, LOOKUP_FAILED, KIND_cancelled, now);
  if (waits(e)) stop_waiting(l, e);
  else l->on_wire--;
  l->stats.failed++;
  remove_entry(l, at);
  return true;
}

double lookup_retry_after (const struct lookup *l, const char *retry_after_ms, const char *retry_after, double now) {
  return retry_after_seconds(retry_after_ms, retry_after, l->config.epoch + now);
}

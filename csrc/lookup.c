#include "lookup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOT_IN_HEAP SIZE_MAX
#define LEAST_TIME 1.0  /* seconds that an attempt gets, where the deadline is not very near */
#define OLD_ID 3600.0  /* seconds after which a missing record is not "not written yet" any more */

struct entry {
  struct entry *next;     /* in its hash bucket */
  double submitted, due, wait_until, deadline;
  uint64_t order;         /* ids due at the same time go in the order they came */
  size_t heap_index;      /* NOT_IN_HEAP: on the wire */
  int attempts, brief;    /* requests sent; failures of kinds that are asked again briefly */
  uint32_t hash;
  uint32_t length;
  char id[1];
};

struct lookup {
  struct lookup_config config;
  size_t open, on_wire, waiting;
  uint64_t order, random;
  bool stopped;           /* the key is no good: nothing more is asked until the window is empty */
  size_t bucket_mask;
  struct entry **bucket;
  struct entry **heap;    /* room for the whole window, so that nothing but a submit can run out of memory */
};

/* ---- ids ------------------------------------------------------------------------------------------------------- */

static bool unreserved (char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'
         || c == '~';
}

bool lookup_id_valid (const char *id, size_t length) {
  if (length == 0 || length > LOOKUP_ID_MAX) return false;
  for (size_t i = 0; i < length; i++)
    if (!unreserved(id[i]) && id[i] != ':' && id[i] != '/') return false;
  return true;
}

size_t lookup_target (char out[LOOKUP_TARGET_SIZE], const char *id, size_t length) {
  static const char path[] = "/generation?id=", hex[] = "0123456789ABCDEF";
  char *p = out;
  memcpy(p, path, sizeof path - 1);
  p += sizeof path - 1;
  for (size_t i = 0; i < length && i < LOOKUP_ID_MAX; i++) {
    if (unreserved(id[i])) {
      *p++ = id[i];
      continue;
    }
    *p++ = '%';
    *p++ = hex[(unsigned char)id[i] >> 4];
    *p++ = hex[(unsigned char)id[i] & 15];
  }
  *p = '\0';
  return (size_t)(p - out);
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

/* ---- heap of the waiting ids, the next one due first ----------------------------------------------------------- */

static bool before (const struct entry *a, const struct entry *b) {
  return a->due < b->due || (a->due <= b->due && a->order < b->order);
}

static void heap_put (struct lookup *l, size_t i, struct entry *e) {
  l->heap[i] = e;
  e->heap_index = i;
}

static void heap_up (struct lookup *l, size_t i, struct entry *e) {
  for (; i > 0 && before(e, l->heap[(i - 1) / 2]); i = (i - 1) / 2) heap_put(l, i, l->heap[(i - 1) / 2]);
  heap_put(l, i, e);
}

static void heap_down (struct lookup *l, size_t i, struct entry *e) {
  for (size_t child; (child = 2 * i + 1) < l->waiting; i = child) {
    if (child + 1 < l->waiting && before(l->heap[child + 1], l->heap[child])) child++;
    if (!before(l->heap[child], e)) break;
    heap_put(l, i, l->heap[child]);
  }
  heap_put(l, i, e);
}

static void heap_add (struct lookup *l, struct entry *e, double due) {
  e->due = due;
  e->order = l->order++;
  heap_up(l, l->waiting++, e);
}

static struct entry *heap_take (struct lookup *l) {
  struct entry *first = l->heap[0], *last = l->heap[--l->waiting];
  if (l->waiting > 0) heap_down(l, 0, last);
  first->heap_index = NOT_IN_HEAP;
  return first;
}

/* ---- the window ------------------------------------------------------------------------------------------------ */

struct lookup *lookup_new (const struct lookup_config *config) {
  struct lookup *l = (struct lookup *)calloc(1, sizeof *l);
  size_t buckets = 16;
  if (l == NULL) return NULL;
  while (buckets < config->window) buckets *= 2;
  l->config = *config;
  l->random = config->seed;
  l->bucket_mask = buckets - 1;
  l->bucket = (struct entry **)calloc(buckets, sizeof *l->bucket);
  l->heap = (struct entry **)calloc(config->window, sizeof *l->heap);
  if (l->bucket != NULL && l->heap != NULL) return l;
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
  free(l->heap);
  free(l);
}

size_t lookup_open (const struct lookup *l) { return l->open; }
size_t lookup_on_wire (const struct lookup *l) { return l->on_wire; }

static double default_wait (const struct lookup *l, const char *id, size_t length, double now) {
  double created = id_created(id, length);
  return created >= 0 && l->config.epoch + now - created > OLD_ID ? 0 : l->config.wait;
}

enum lookup_status lookup_submit (struct lookup *l, const char *id, size_t length, double now, double wait, double deadline) {
  if (!lookup_id_valid(id, length)) return LOOKUP_BAD_ID;
  double wait_until = now + (wait >= 0 ? wait : default_wait(l, id, length, now));
  double until = now + (deadline >= 0 ? deadline : l->config.deadline);
  struct entry **at = find(l, id, length);
  if (*at != NULL) {  /* the more patient one decides */
    if ((*at)->wait_until < wait_until) (*at)->wait_until = wait_until;
    if ((*at)->deadline < until) (*at)->deadline = until;
    return LOOKUP_SHARED;
  }
  if (l->open >= l->config.window) return LOOKUP_FULL;
  struct entry *e = (struct entry *)calloc(1, sizeof *e + length);
  if (e == NULL) return LOOKUP_NO_MEMORY;
  if (l->open++ == 0) l->stopped = false;
  memcpy(e->id, id, length);
  e->length = (uint32_t)length;
  e->hash = hash_id(id, length);
  e->submitted = now;
  e->wait_until = wait_until;
  e->deadline = until;
  *at = e;
  heap_add(l, e, now);
  return LOOKUP_ACCEPTED;
}

static void remove_entry (struct lookup *l, struct entry **at) {
  struct entry *e = *at;
  *at = e->next;
  free(e);
  l->open--;
}

bool lookup_next (const struct lookup *l, double now, struct lookup_request *request) {
  if (lookup_due(l) > now) return false;
  const struct entry *e = l->heap[0];
  double left = e->deadline - now;
  request->id = e->id;
  request->length = e->length;
  request->timeout = left < l->config.timeout ? left : l->config.timeout;
  if (request->timeout < 0.001) request->timeout = 0.001;
  return true;
}

void lookup_take (struct lookup *l) {
  heap_take(l)->attempts++;
  l->on_wire++;
}

double lookup_due (const struct lookup *l) {
  bool blocked = l->stopped || l->waiting == 0 || l->on_wire >= l->config.concurrency;
  return blocked ? HUGE_VAL : l->heap[0]->due;
}

/* [0, 1), from SplitMix64: the same on every machine, and as good from the seeds 0 and 1 as from any other. */
static double next_random (struct lookup *l) {
  uint64_t z = l->random += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static void fill_verdict (struct lookup_verdict *v, const struct entry *e, enum lookup_action action, enum kind kind, double now) {
  v->action = action;
  v->kind = kind;
  v->delay = 0;
  v->attempts = e->attempts;
  v->elapsed = now - e->submitted;
}

/* An attempt needs some time of its own: cut off at once, it would say "timeout" instead of what is wrong. */
static double last_start (const struct entry *e) {
  double share = (e->deadline - e->submitted) / 8;
  return e->deadline - (share < LEAST_TIME ? share : LEAST_TIME);
}

bool lookup_answer (struct lookup *l, const char *id, size_t length, enum kind kind, double retry_after, double now,
                    struct lookup_verdict *verdict) {
  struct entry **at = find(l, id, length), *e = *at;
  if (e == NULL || e->heap_index != NOT_IN_HEAP) return false;
  l->on_wire--;
  if (kind_rule(kind) == RETRY_STOP) l->stopped = true;
  int failures = kind_rule(kind) == RETRY_BRIEFLY ? ++e->brief : e->attempts;
  double delay = kind == KIND_settled ? -1
      : retry_delay(&l->config.retry, kind, failures, retry_after, next_random(l), now, e->wait_until, last_start(e));
  if (delay >= 0) {
    fill_verdict(verdict, e, LOOKUP_RETRY, kind, now);
    verdict->delay = delay;
    heap_add(l, e, now + delay);
    return true;
  }
  fill_verdict(verdict, e, kind == KIND_settled ? LOOKUP_SETTLED : LOOKUP_FAILED, kind, now);
  remove_entry(l, at);
  return true;
}

bool lookup_unresolved (const struct lookup *l, double now, struct lookup_request *id, struct lookup_verdict *verdict) {
  if (!l->stopped || l->waiting == 0) return false;
  const struct entry *e = l->heap[0];
  id->id = e->id;
  id->length = e->length;
  id->timeout = 0;
  fill_verdict(verdict, e, LOOKUP_FAILED, KIND_unresolved, now);
  return true;
}

void lookup_drop (struct lookup *l) {
  struct entry *e = heap_take(l);
  remove_entry(l, find(l, e->id, e->length));
}

double lookup_retry_after (const struct lookup *l, const char *retry_after_ms, const char *retry_after, double now) {
  return retry_after_seconds(retry_after_ms, retry_after, l->config.epoch + now);
}

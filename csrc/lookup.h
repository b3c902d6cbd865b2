/*
** lookup: the engine. It holds a window of ids, says which to ask for next and when, and decides what an answer means for
** its id. It does no I/O and knows no clock: `now` is any clock in finite seconds that does not go back, the seed an argument,
** so that the same calls always give the same schedule. libcurl and nginx drive it alike.
**
** An id is WAITING (in the heap, until its due time) or ON THE WIRE (from lookup_take until lookup_answer),
** and leaves the window with its verdict. Each id is in the window once.
*/
#ifndef lookup_h
#define lookup_h

#include "retry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOKUP_ID_MAX 128
#define LOOKUP_TARGET_SIZE (32 + 3 * LOOKUP_ID_MAX)

struct lookup_config {
  size_t window;          /* ids accepted and unanswered */
  size_t concurrency;     /* ids on the wire */
  double timeout;         /* seconds for one attempt */
  double deadline;        /* seconds for one id, over everything */
  double wait;            /* seconds during which a 404 means "not written yet" (0 for ids more than an hour old) */
  struct retry_policy retry;
  double epoch;           /* the Unix time at which `now` is 0 */
  uint64_t seed;          /* of the jitter */
};

enum lookup_status { LOOKUP_ACCEPTED, LOOKUP_SHARED, LOOKUP_FULL, LOOKUP_BAD_ID, LOOKUP_NO_MEMORY };

enum lookup_action { LOOKUP_SETTLED, LOOKUP_RETRY, LOOKUP_FAILED };

struct lookup_verdict {
  enum lookup_action action;
  enum kind kind;
  double delay;     /* LOOKUP_RETRY: seconds until the next attempt */
  int attempts;     /* requests sent for this id so far */
  double elapsed;   /* seconds since it was submitted */
};

struct lookup_request {
  const char *id;     /* valid until its verdict */
  size_t length;
  double timeout;     /* seconds this attempt may take */
};

struct lookup;

struct lookup *lookup_new (const struct lookup_config *config);  /* NULL: no memory */
void lookup_free (struct lookup *l);

/* Letters, digits and - . _ ~ : / up to 128 bytes: every form of id seen so far, and nothing that means something in a
   URL's query or a header. */
bool lookup_id_valid (const char *id, size_t length);

/* Take an id into the window. SHARED: it is there already and will be answered once, after the longer `wait` and `deadline`
   of the two. A negative `wait` or `deadline` means the configured one. */
enum lookup_status lookup_submit (struct lookup *l, const char *id, size_t length, double now, double wait, double deadline);

/* The next id to ask for now, if any. Nothing has happened until lookup_take, so that a caller can get ready first. */
bool lookup_next (const struct lookup *l, double now, struct lookup_request *request);

/* Put that id on the wire. Only after lookup_next was true. */
void lookup_take (struct lookup *l);

/* When lookup_next will have something: now or later, infinite while only answers can change that. */
double lookup_due (const struct lookup *l);

/* What the answer to an id on the wire (KIND_settled or a failure) leads to. False: no such id on the wire. */
bool lookup_answer (struct lookup *l, const char *id, size_t length, enum kind kind, double retry_after, double now,
                    struct lookup_verdict *verdict);

/* After a verdict whose rule is RETRY_STOP: an id that will not be asked any more, if there is one, and its verdict. It
   stays in the window until lookup_drop. */
bool lookup_unresolved (const struct lookup *l, double now, struct lookup_request *id, struct lookup_verdict *verdict);

/* Remove that id. Only after lookup_unresolved was true. */
void lookup_drop (struct lookup *l);

size_t lookup_open (const struct lookup *l);     /* ids in the window */
size_t lookup_on_wire (const struct lookup *l);  /* ids asked for and not answered */

/* The request for an id: path and query behind the base URL. Returns its length. */
size_t lookup_target (char out[LOOKUP_TARGET_SIZE], const char *id, size_t length);

/* Retry-After as the configured clock sees it: see retry_after_seconds. */
double lookup_retry_after (const struct lookup *l, const char *retry_after_ms, const char *retry_after, double now);

#endif

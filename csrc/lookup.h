/*
** lookup: the engine. It holds a window of ids, says which to ask for next and when, and decides what an answer means for
** its id. It does no I/O and knows no clock: `now` is any clock in finite seconds that does not go back, the seed an argument,
** so that the same calls always give the same schedule. libcurl and nginx drive it alike.
**
** An id is WAITING (in the heaps, until its due time) or ON THE WIRE (from lookup_take until lookup_answer),
** and leaves the window with its verdict. Each id is in the window once.
**
** What is asked about an id is its record; with a prefix, "content ID" or "feedback ID", it is the other resources of a
** generation, which are entries of their own. Feedback is sent again after a 429 alone: the server may have taken it before
** anything else went wrong. "activity DAY" and "activity DAY:KEYHASH" are what the account, or one key of it, used on a day;
** "analytics NAME" is a question in the body, which changes nothing.
*/
#ifndef lookup_h
#define lookup_h

#include "histogram.h"
#include "pace.h"
#include "retry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOKUP_ID_MAX 128
#define LOOKUP_KEY_MAX (LOOKUP_ID_MAX + 10)  /* an id with its prefix */
#define LOOKUP_TARGET_SIZE (32 + 3 * LOOKUP_ID_MAX)

enum resource { RESOURCE_RECORD, RESOURCE_CONTENT, RESOURCE_FEEDBACK, RESOURCE_ACTIVITY, RESOURCE_ANALYTICS };

struct lookup_config {
  size_t window;          /* ids accepted and unanswered */
  size_t concurrency;     /* ids on the wire */
  double rate;            /* requests per second, 0: as they come */
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
  size_t slot;      /* of the id, see lookup_submit */
  enum lookup_action action;
  enum kind kind;
  const char *why;  /* where the kind does not say it all, else NULL */
  double delay;     /* LOOKUP_RETRY: seconds until the next attempt */
  int attempts;     /* requests sent for this id so far */
  double seconds;   /* that the last one took */
  double elapsed;   /* seconds since it was submitted */
};

/* Everything since lookup_new. */
struct lookup_stats {
  uint64_t attempts[KIND_COUNT];   /* requests answered, by what their answers were */
  uint64_t settled, failed, retried;
  struct histogram seconds;        /* that attempts took */
};

struct lookup_request {
  size_t slot;
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

/* What a key asks for, and the id in it. */
enum resource lookup_resource (const char *key, size_t length, const char **id, size_t *id_length);

/* Take an id into the window, to be asked for after `delay` seconds; `wait` and `deadline` count from now all the same.
   SHARED: it is there already and will be answered once, after the longer `wait` and `deadline` of the two, and is asked for
   when it would have been. A negative `wait` or `deadline` means the configured one. *slot is a number from 0 to window - 1
   that is the id's as long as it is in the window. */
enum lookup_status lookup_submit (struct lookup *l, const char *id, size_t length, double now, double wait, double deadline,
                                  double delay, size_t *slot);

/* The next id to ask for now, if any. Nothing has happened until lookup_take, so that a caller can get ready first. */
bool lookup_next (const struct lookup *l, double now, struct lookup_request *request);

/* Put that id on the wire. Only after lookup_next was true. */
void lookup_take (struct lookup *l, double now);

/* When lookup_next or lookup_ended will have something; HUGE_VAL: not before an answer, -HUGE_VAL: at once. */
double lookup_due (const struct lookup *l);

bool lookup_is_on_wire (const struct lookup *l, const char *id, size_t length);

/* What the answer to an id on the wire (KIND_settled or a failure) leads to. False: no such id on the wire. */
bool lookup_answer (struct lookup *l, const char *id, size_t length, enum kind kind, double retry_after, double now,
                    struct lookup_verdict *verdict);

/* An id that will not be asked any more, if there is one, and its verdict: after a kind whose rule is RETRY_STOP, or because
   its deadline passed, or will pass before the server wants to be asked again. It stays in the window until lookup_drop. */
bool lookup_ended (struct lookup *l, double now, struct lookup_request *id, struct lookup_verdict *verdict);

/* Remove that id. Only after lookup_ended was true. */
void lookup_drop (struct lookup *l);

/* Forget an id, wherever it is; false: it is not in the window. What was on the wire has no answer any more. */
bool lookup_cancel (struct lookup *l, const char *id, size_t length, double now, struct lookup_verdict *verdict);

size_t lookup_open (const struct lookup *l);     /* ids in the window */
bool lookup_is_hungry (const struct lookup *l, double now);  /* few ids are due: who has more should hand them over */
size_t lookup_on_wire (const struct lookup *l);  /* ids asked for and not answered */
size_t lookup_limit (const struct lookup *l);    /* the most on the wire for now */
const struct lookup_stats *lookup_stats (const struct lookup *l);

/* The request for an id: path and query behind the base URL. */
enum resource lookup_target (char out[LOOKUP_TARGET_SIZE], const char *id, size_t length);

/* Whether it is to be POSTed, with what it is about in its body. */
bool lookup_posts (enum resource resource);

/* Retry-After as the configured clock sees it: see retry_after_seconds. */
double lookup_retry_after (const struct lookup *l, const char *retry_after_ms, const char *retry_after, double now);

#endif

/*
** retry: what an answer means and when to ask again. Pure functions: no clock, no state, no randomness of their own.
** The table of kinds and statuses is kinds.def.
*/
#ifndef retry_h
#define retry_h

#include <stdbool.h>
#include <stdint.h>

enum kind {
  KIND_settled,  /* no error: the record is here */
#define KIND(name, retry, meaning) KIND_##name,
#include "kinds.def"
  KIND_COUNT
};

enum retry_rule { RETRY_ALWAYS, RETRY_WAIT, RETRY_BRIEFLY, RETRY_LATER, RETRY_NEVER, RETRY_STOP };

const char *kind_name (enum kind kind);
const char *kind_meaning (enum kind kind);
enum retry_rule kind_rule (enum kind kind);
int kind_find (const char *name);  /* or -1 */

/* Whether asking for the same id again, later, may succeed. */
bool kind_retryable (enum kind kind);

/* The kind of an HTTP status other than 200. */
enum kind kind_of_status (int status);

struct retry_policy {
  bool enabled;               /* false: one attempt for each id */
  double base, factor, cap;   /* delays in seconds: up to base * factor^(n-1), at most cap */
};

/* Seconds to wait after `failures` failed attempts, at least 1. `random` is in [0, 1); `retry_after` is what the server asked
   for, in seconds, negative for nothing. */
double retry_pause (const struct retry_policy *policy, int failures, double retry_after, double random);

/* Of one id, all on one clock, in seconds. */
struct retry_times {
  double submitted, now;
  double wait_until;  /* until when a 404 means "not written yet" */
  double last_start;  /* no attempt starts after it: a longer delay gives up at once */
};

/* Seconds from `now` to the next attempt after `failures` failed ones, or a negative number: give up. For a kind that is asked
   again briefly, only failures of such kinds are counted. */
double retry_delay (const struct retry_policy *policy, enum kind kind, int failures, double retry_after, double random,
                    const struct retry_times *t);

/* Seconds a server asks for in `retry-after-ms` or `retry-after` (a number of seconds, or an HTTP date, which is compared
   with `unix_now`), a day at most; negative when neither can be read. Either may be NULL. */
double retry_after_seconds (const char *retry_after_ms, const char *retry_after, double unix_now);

#endif

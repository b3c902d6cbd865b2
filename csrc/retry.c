#include "retry.h"

#include "json.h"
#include "utc.h"

#include <math.h>
#include <string.h>

static const struct {
  const char *name, *meaning;
  enum retry_rule rule;
} kinds[KIND_COUNT] = {
  { "settled", "the record", RETRY_NEVER },
#define KIND(name, retry, meaning) { #name, meaning, RETRY_##retry },
#include "kinds.def"
};

static const struct {
  int first, last;
  enum kind kind;
} statuses[] = {
#define STATUS(first, last, kind) { first, last, KIND_##kind },
#include "kinds.def"
};

#define BRIEF_FAILURES 3

/* A record is usually written within a second, so "not yet" is asked again faster than a failure. */
static const struct retry_policy not_yet = { true, 0.4, 1.6, 8.0 };

/* What is still not there comes minutes or hours late, if ever, and is asked for the more seldom the longer it has waited:
   it is found late by a quarter of its wait at most, and a whole day of waiting is some 70 requests. */
#define LONG_WAIT 64.0     /* seconds */
#define LATE 0.25          /* of the time waited so far */
#define LATEST 3600.0      /* seconds */
#define LATE_SPREAD 0.125  /* of the delay, downwards, so that ids that came together do not stay together */

const char *kind_name (enum kind kind) { return kinds[kind].name; }
const char *kind_meaning (enum kind kind) { return kinds[kind].meaning; }
enum retry_rule kind_rule (enum kind kind) { return kinds[kind].rule; }

int kind_find (const char *name) {
  for (int i = 0; i < KIND_COUNT; i++)
    if (strcmp(kinds[i].name, name) == 0) return i;
  return -1;
}

bool kind_retryable (enum kind kind) {
  enum retry_rule rule = kind_rule(kind);
  return rule != RETRY_NEVER && rule != RETRY_STOP;
}

enum kind kind_of_status (int status) {
  size_t i = 0;
  while (i < sizeof statuses / sizeof statuses[0] - 1 && (status < statuses[i].first || status > statuses[i].last)) i++;
  return statuses[i].kind;
}

/* Full jitter: anywhere between nothing and the step, so that ids that failed together do not come back together. */
static double backoff (const struct retry_policy *policy, int failures, double random) {
  double step = policy->base > 0 ? policy->base * pow(policy->factor, failures - 1) : 0;
  return random * (step < policy->cap ? step : policy->cap);
}

/* What the server asks for is the least; a little more spreads those it asked at the same time. */
static double at_least (double delay, double retry_after) { return retry_after >= 0 ? retry_after + delay / 4 : delay; }

double retry_pause (const struct retry_policy *policy, int failures, double retry_after, double random) {
  return at_least(backoff(policy, failures, random), retry_after);
}

/* The least delay of a record that is not there after so many seconds. */
static double late (double waited, double random) {
  if (waited < LONG_WAIT) return 0;
  double delay = LATE * waited;
  return (delay < LATEST ? delay : LATEST) * (1 - LATE_SPREAD * random);
}

static double not_yet_delay (int failures, double retry_after, double random, double waited) {
  double soon = at_least(not_yet.base / 2 + backoff(&not_yet, failures, random), retry_after);
  double later = late(waited, random);
  return soon > later ? soon : later;
}

double retry_delay (const struct retry_policy *policy, enum kind kind, int failures, double retry_after, double random,
                    const struct retry_times *t) {
  enum retry_rule rule = kind_rule(kind);
  double delay, now = t->now, limit = t->last_start;
  if (!policy->enabled || rule == RETRY_LATER || !kind_retryable(kind)) return -1;
  if (rule == RETRY_BRIEFLY && failures >= BRIEF_FAILURES) return -1;
  if (rule == RETRY_WAIT) {
    delay = not_yet_delay(failures, retry_after, random, now - t->submitted);
    if (t->wait_until < limit) limit = t->wait_until;
    /* the last look is at the very end of the wait, not somewhere before it */
    if (now < limit && now + delay > limit) delay = limit - now;
  } else {
    delay = retry_pause(policy, failures, retry_after, random);
  }
  return now < limit && now + delay <= limit + 1e-6 ? delay : -1;
}

#define LONGEST_RETRY_AFTER 86400.0  /* seconds: a server that asks for more is asked once a day all the same */

/* A plain number, or -1. */
static double number_of (const char *text) {
  double value;
  const char *start = json_space(text);
  struct json_check check = { start + strlen(start), NULL, NULL };
  if (!json_is_number(start)) return -1;
  const char *end = json_check_value(start, 0, &check);
  return end && json_space(end) == check.end && json_double(start, &value) && value >= 0 ? value : -1;
}

static double asked_for (const char *retry_after_ms, const char *retry_after, double unix_now) {
  double value = retry_after_ms ? number_of(retry_after_ms) : -1, when;
  if (value >= 0) return value / 1000;
  if (retry_after == NULL) return -1;
  value = number_of(retry_after);
  if (value >= 0) return value;
  if (!utc_http_date(retry_after, &when)) return -1;
  return when > unix_now ? when - unix_now : 0;
}

double retry_after_seconds (const char *retry_after_ms, const char *retry_after, double unix_now) {
  double seconds = asked_for(retry_after_ms, retry_after, unix_now);
  return seconds > LONGEST_RETRY_AFTER ? LONGEST_RETRY_AFTER : seconds;
}

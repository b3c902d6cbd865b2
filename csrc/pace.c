#include "pace.h"

#define BURST 0.1           /* seconds' worth of requests that may come at once, after a pause */
#define GROWTH 0.3          /* of the limit, for each round of requests */
#define LONGEST_HOLD 3600.0

void pace_init (struct pace *p, size_t concurrency, double rate) {
  const struct pace fresh = { concurrency, rate > 0 ? 1 / rate : 0, (double)concurrency, 0, 0, 0, -1e300, -1e300 };
  *p = fresh;
}

size_t pace_limit (const struct pace *p) { return (size_t)p->limit; }

/* The bucket as the time at which it will be full again: each request moves that on by an interval, and may start when it is
   at most a burst away. */
double pace_ready (const struct pace *p) {
  double burst = BURST > p->interval ? BURST - p->interval : 0;
  double bucket = p->full_at - burst;
  return bucket > p->hold_until ? bucket : p->hold_until;
}

uint64_t pace_start (struct pace *p, double now) {
  if (p->full_at < now) p->full_at = now;
  p->full_at += p->interval;
  return p->starts++;
}

void pace_accept (struct pace *p) {
  p->strikes = 0;
  p->limit += GROWTH / p->limit;
  if (p->limit > (double)p->concurrency) p->limit = (double)p->concurrency;
}

bool pace_refuse (struct pace *p, uint64_t start) {
  if (start < p->slowed_at) return false;
  p->slowed_at = p->starts;
  p->strikes++;
  p->limit = p->limit > 2 ? p->limit / 2 : 1;
  return true;
}

void pace_hold (struct pace *p, double now, double seconds) {
  double until = now + (seconds < LONGEST_HOLD ? seconds : LONGEST_HOLD);
  if (until > p->hold_until) p->hold_until = until;
}

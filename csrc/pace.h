/*
** pace: how fast a client may ask. A token bucket keeps to `rate`; answers of 429 make everybody wait and halve the number of
** requests on the wire, answers of any other kind let it grow back, by one for each three rounds of requests (additive increase,
** multiplicative decrease, as TCP does it; three, because each step too far costs everybody a pause). Pure: no clock of its own.
*/
#ifndef pace_h
#define pace_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pace {
  size_t concurrency;    /* the most on the wire, ever */
  double interval;       /* seconds between requests, in the mean; 0: no rate is set */
  double limit;          /* the most on the wire for now, 1 … concurrency */
  int strikes;           /* slowed down that many times in a row */
  uint64_t starts, slowed_at;
  double hold_until, full_at;
};

/* `rate` in requests per second, 0 for none. The bucket holds a tenth of a second's worth, or one request. */
void pace_init (struct pace *p, size_t concurrency, double rate);

size_t pace_limit (const struct pace *p);
double pace_ready (const struct pace *p);              /* when the next request may start */
uint64_t pace_start (struct pace *p, double now);      /* one starts: its number, for pace_refuse */
void pace_accept (struct pace *p);                     /* an answer that is no 429 */

/* A 429 to the request with this number. What was sent before the client slowed down says nothing new: only the first of
   them counts. Returns whether this one does. */
bool pace_refuse (struct pace *p, uint64_t start);

/* Nobody asks for so many seconds, an hour at most whatever a server says; what was held longer before stays so. */
void pace_hold (struct pace *p, double now, double seconds);

#endif

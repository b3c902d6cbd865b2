/*
** curl_events: libcurl's sockets in one epoll descriptor, for a client with many requests that mostly wait, and for other
** event loops, which wait for that descriptor. Linux only; elsewhere events_on fails.
*/
#ifndef curl_events_h
#define curl_events_h

#include <curl/curl.h>
#include <stdbool.h>

struct events {
  CURLM *multi;
  int epoll;          /* -1: off */
  double timer;       /* when libcurl wants to be called, on events_now's clock; negative: not at all */
};

double events_now (void);  /* seconds, on the clock of core.now */

/* Watch the sockets by epoll from now on, also those of requests under way. False: that cannot be had. */
bool events_on (struct events *e, CURLM *multi);
void events_off (struct events *e);

/* Seconds until events_wait has something to do even if no socket has; negative: never. */
double events_timeout (const struct events *e);

/* Wait up to `seconds` for sockets or libcurl's timer, and let libcurl go on; false when it fails, for lack of memory. */
bool events_wait (struct events *e, double seconds);

#endif

#define _POSIX_C_SOURCE 200809L  /* clock_gettime */
#define CURL_DISABLE_DEPRECATION  /* of curl_multi_socket_all, see events_on */
#include "curl_events.h"

#include <math.h>
#include <time.h>
#include <unistd.h>

double events_now (void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double events_timeout (const struct events *e) {
  if (e->timer < 0) return -1;
  double left = e->timer - events_now();
  return left > 0 ? left : 0;
}

static int on_timer (CURLM *multi, long milliseconds, void *context) {
  struct events *e = (struct events *)context;
  (void)multi;
  e->timer = milliseconds < 0 ? -1 : events_now() + (double)milliseconds / 1000;
  return 0;
}

#ifdef __linux__
#include <sys/epoll.h>

#define EVENTS_AT_ONCE 64

static int on_socket (CURL *easy, curl_socket_t socket, int what, void *context, void *known) {
  struct events *e = (struct events *)context;
  struct epoll_event event = { 0, { 0 } };
  (void)easy;
  event.data.fd = socket;
  if (what != CURL_POLL_OUT) event.events |= EPOLLIN;
  if (what != CURL_POLL_IN) event.events |= EPOLLOUT;
  if (what == CURL_POLL_REMOVE) epoll_ctl(e->epoll, EPOLL_CTL_DEL, socket, &event);
  else if (known) epoll_ctl(e->epoll, EPOLL_CTL_MOD, socket, &event);
  else {
    epoll_ctl(e->epoll, EPOLL_CTL_ADD, socket, &event);
    curl_multi_assign(e->multi, socket, e);
  }
  return 0;
}

/* curl_multi_socket_all is old, and the one function that tells of the sockets that are open already. */
bool events_on (struct events *e, CURLM *multi) {
  int running;
  if (e->epoll >= 0 && e->multi == multi) return true;
  e->multi = multi;
  e->timer = -1;
  if (e->epoll < 0 && (e->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) return false;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, e);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, e);
  curl_multi_socket_all(multi, &running);
  return true;
}

static bool act (struct events *e, const struct epoll_event *event) {
  int running, what = 0;
  if (event->events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP)) what |= CURL_CSELECT_IN;
  if (event->events & EPOLLOUT) what |= CURL_CSELECT_OUT;
  if (event->events & EPOLLERR) what |= CURL_CSELECT_ERR;
  return curl_multi_socket_action(e->multi, event->data.fd, what, &running) == CURLM_OK;
}

static bool act_on_timer (struct events *e) {
  int running;
  if (e->timer < 0 || e->timer > events_now()) return true;
  e->timer = -1;  /* libcurl sets it again where there is more to come */
  return curl_multi_socket_action(e->multi, CURL_SOCKET_TIMEOUT, 0, &running) == CURLM_OK;
}

bool events_wait (struct events *e, double seconds) {
  struct epoll_event event[EVENTS_AT_ONCE];
  double timer = events_timeout(e);
  if (timer >= 0 && timer < seconds) seconds = timer;
  int milliseconds = seconds > 1e6 ? 1000000000 : (int)ceil(seconds * 1000);
  int count = epoll_wait(e->epoll, event, EVENTS_AT_ONCE, milliseconds);
  for (int i = 0; i < count; i++)
    if (!act(e, &event[i])) return false;
  return act_on_timer(e);
}

void events_off (struct events *e) {
  if (e->epoll >= 0) close(e->epoll);
  e->epoll = -1;
}
#else
bool events_on (struct events *e, CURLM *multi) {
  (void)e, (void)multi, (void)on_timer;
  return false;
}
bool events_wait (struct events *e, double seconds) { (void)e, (void)seconds; return true; }
void events_off (struct events *e) { (void)e; }
#endif

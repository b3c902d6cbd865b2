/*
** curl_transport: requests over libcurl's multi interface. Requests in; status, two headers and the body out. Knows
** neither JSON nor Lua nor what the answers mean, and calls nobody back.
**
** A request has a tag of the caller's and takes a slot until transport_release; a slot keeps its easy handle, so connections
** and settings are reused.
** The key goes to the base URL's origin only: redirects are not followed. See curl_origin.h for what an origin may be.
**
** Up to EVENTS_FROM slots libcurl looks at all its sockets each time, which is the fastest where most of them are busy; from
** there on, or once somebody wants the descriptor, at those that epoll names.
*/
#ifndef curl_transport_h
#define curl_transport_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transport_options {
  const char *base_url;      /* scheme, host, perhaps port and path; or a unix socket */
  const char *api_key;       /* with `key_length` bytes */
  size_t key_length;
  const char *ca_file;       /* NULL: the system's */
  const char *proxy;         /* NULL: what the environment says, unless the base URL is on this machine; "": none */
  bool insecure;             /* plain http to any host */
  bool http2;                /* offer HTTP/2 to https servers */
  double connect_timeout;    /* seconds */
  size_t max_body;           /* bytes */
  size_t slots;              /* requests at once */
};

enum transport_fault {
  TRANSPORT_OK, TRANSPORT_NETWORK, TRANSPORT_TIMEOUT, TRANSPORT_TLS, TRANSPORT_TOO_LARGE, TRANSPORT_BAD_ANSWER
};

#define TRANSPORT_TAG_SIZE 160
#define TRANSPORT_VALUE_SIZE 64    /* of Retry-After; anything longer is none */
#define TRANSPORT_MESSAGE_SIZE 256

struct transport_answer {
  uint64_t number;             /* of the request, from 1 */
  size_t tag_length;
  enum transport_fault fault;
  bool reused;                 /* a connection that was there before */
  int status;
  const char *body;            /* as long as transport_first says this number */
  size_t length;
  char tag[TRANSPORT_TAG_SIZE];  /* of the request, with a NUL at its end */
  char retry_after[TRANSPORT_VALUE_SIZE], retry_after_ms[TRANSPORT_VALUE_SIZE];  /* headers; empty where there was none */
  char message[TRANSPORT_MESSAGE_SIZE];  /* of a fault */
};

struct transport;

/* NULL and *why on bad options (a text for the user, which never has the key in it) or without memory. */
struct transport *transport_new (const struct transport_options *options, const char **why);
void transport_free (struct transport *t);  /* gives up what is under way */

/* A process that forked since has the parent's connections: to use or close them would disturb the parent. All functions
   but this one and transport_free (which then frees nothing) are forbidden. */
bool transport_foreign (const struct transport *t);

/* Send a request for base URL + target ("/path?query", encoded), a POST of `body` (JSON) unless that is NULL; false when all
   slots are taken or there is no memory for it. */
bool transport_start (struct transport *t, const char *tag, size_t tag_length, const char *target, const char *body,
                      size_t body_length, double timeout);

/* Break the request with this tag off, if there is one; its slot is free. */
void transport_cancel (struct transport *t, const char *tag);

/* Move bytes, waiting up to `seconds` for something to happen. */
void transport_wait (struct transport *t, double seconds);

/* A descriptor that is readable when transport_wait(t, 0) has work, and the seconds after which it has anyway (negative:
   never). -1 where there is none. */
int transport_fd (struct transport *t);
double transport_timeout (struct transport *t);

/* A request that is over; the same one until it is released, or cancelled. transport_first is its number, 0: there is none. */
uint64_t transport_first (const struct transport *t);
bool transport_finished (struct transport *t, struct transport_answer *answer);
void transport_release (struct transport *t);  /* the one that transport_finished gave last */

#endif

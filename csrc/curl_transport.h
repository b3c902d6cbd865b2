/*
** curl_transport: GET requests over libcurl's multi interface. Requests in; status, two headers and the body out. Knows
** neither JSON nor Lua nor what the answers mean, and calls nobody back.
**
** A request takes a slot until transport_release; a slot keeps its easy handle, so connections and settings are reused.
** The key goes to the base URL's origin only: redirects are not followed, and plain http is for loopback addresses.
*/
#ifndef curl_transport_h
#define curl_transport_h

#include <stdbool.h>
#include <stddef.h>

struct transport_options {
  const char *base_url;      /* scheme, host, perhaps port and path */
  const char *api_key;       /* with `key_length` bytes */
  size_t key_length;
  const char *user_agent;
  const char *ca_file;       /* NULL: the system's */
  double connect_timeout;    /* seconds */
  size_t max_body;           /* bytes */
  size_t slots;              /* requests at once */
};

enum transport_fault { TRANSPORT_OK, TRANSPORT_NETWORK, TRANSPORT_TIMEOUT, TRANSPORT_TLS, TRANSPORT_TOO_LARGE };

struct transport_answer {
  size_t slot;
  enum transport_fault fault;
  const char *message;         /* of a fault */
  int status;
  const char *retry_after, *retry_after_ms;  /* headers of these names, NULL where there was none */
  const char *body;
  size_t length;
};

struct transport;

/* NULL and *why on bad options (a text for the user, which never has the key in it) or without memory. */
struct transport *transport_new (const struct transport_options *options, const char **why);
void transport_free (struct transport *t);  /* gives up what is under way */

/* Send a request for base URL + target ("/path?query", encoded) to *slot; false when libcurl has no memory for it. */
bool transport_start (struct transport *t, const char *target, double timeout, size_t *slot);

/* Move bytes, waiting up to `seconds` for something to happen. */
void transport_wait (struct transport *t, double seconds);

/* A request that is over; the same one until its slot is released. */
bool transport_finished (struct transport *t, struct transport_answer *answer);
void transport_release (struct transport *t, size_t slot);

#endif

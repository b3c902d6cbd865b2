#include "curl_transport.h"

#include "curl_events.h"
#include "curl_origin.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEADERS_MAX 65536    /* bytes of all headers of an answer */
#define BODY_FIRST_SIZE 4096
#define TARGET_SIZE 2048     /* bytes */
#define EVENTS_FROM 100      /* slots */

struct transfer {
  struct transport *owner;
  CURL *easy;
  struct transfer *next;     /* of those that are done, or of those that are free */
  bool busy, done, too_large;
  bool posts;                /* is set up for POST */
  bool whole_head;           /* all headers of the last answer came; before it there may be 1xx answers */
  uint64_t number;
  CURLcode result;
  char *body;
  size_t length, capacity, header_bytes;
  char retry_after[TRANSPORT_VALUE_SIZE], retry_after_ms[TRANSPORT_VALUE_SIZE];
  char error[CURL_ERROR_SIZE];
  size_t tag_length;
  char tag[TRANSPORT_TAG_SIZE];
};

struct transport {
  CURLM *multi;
  struct events events;
  struct origin origin;
  struct curl_slist *headers, *json_headers;  /* of GET and of POST */
  size_t max_body, slots;
  uint64_t requests;         /* started so far */
  struct transfer *transfer;
  struct transfer *free;
  struct transfer *done, **done_end;
  pid_t owner;               /* the process that made it */
};

/* ---- what libcurl calls ---------------------------------------------------------------------------------------- */

static size_t on_body (char *data, size_t one, size_t size, void *context) {
  struct transfer *x = (struct transfer *)context;
  (void)one;
  if (size > x->owner->max_body - x->length) {
    x->too_large = true;
    return 0;
  }
  if (x->length + size > x->capacity) {
    size_t capacity = x->capacity ? x->capacity : BODY_FIRST_SIZE;
    while (capacity < x->length + size) capacity *= 2;
    char *body = (char *)realloc(x->body, capacity);
    if (body == NULL) return 0;
    x->body = body;
    x->capacity = capacity;
  }
  memcpy(x->body + x->length, data, size);
  x->length += size;
  return size;
}

/* If the line is the header called `name`, keep its value. */
static void keep_header (char *value, const char *line, size_t size, const char *name) {
  size_t n = strlen(name);
  if (size <= n || line[n] != ':' || strncasecmp(line, name, n) != 0) return;
  const char *start = line + n + 1, *end = line + size;
  while (start < end && (*start == ' ' || *start == '\t')) start++;
  while (end > start && (unsigned char)end[-1] <= ' ') end--;
  if ((size_t)(end - start) >= TRANSPORT_VALUE_SIZE) return;
  memcpy(value, start, (size_t)(end - start));
  value[end - start] = '\0';
}

static size_t on_header (char *line, size_t one, size_t size, void *context) {
  struct transfer *x = (struct transfer *)context;
  (void)one;
  x->header_bytes += size;
  if (x->header_bytes > HEADERS_MAX) {
    x->too_large = true;
    return 0;
  }
  if (size > 5 && strncmp(line, "HTTP/", 5) == 0) x->whole_head = false;
  else if (*line == '\r' || *line == '\n') x->whole_head = true;
  if (size > 11 && (*line == 'r' || *line == 'R')) {
    keep_header(x->retry_after, line, size, "retry-after");
    keep_header(x->retry_after_ms, line, size, "retry-after-ms");
  }
  return size;
}

/* ---- making one ------------------------------------------------------------------------------------------------ */

static bool append (struct curl_slist **list, const char *header) {
  struct curl_slist *longer = curl_slist_append(*list, header);
  if (longer != NULL) *list = longer;
  return longer != NULL;
}

/* All headers but Host, in a list, and no "Accept: anything": libcurl puts those it makes itself together twice, byte by byte. */
static bool set_headers (struct curl_slist **list, const char *authorization) {
  return append(list, authorization) && append(list, "User-Agent: lua-openrouter") && append(list, "Accept-Encoding: gzip")
         && append(list, "Accept:");
}

static char *join (const char *a, const char *b, size_t b_length) {
  size_t a_length = strlen(a);
  char *both = (char *)malloc(a_length + b_length + 1);
  if (both == NULL) return NULL;
  memcpy(both, a, a_length);
  memcpy(both + a_length, b, b_length);
  both[a_length + b_length] = '\0';
  return both;
}

static const char *set_key (struct transport *t, const struct transport_options *o) {
  const char *key = o->api_key, *why = "not enough memory";
  for (size_t i = 0; i < o->key_length; i++)
    if ((unsigned char)key[i] <= ' ' || (unsigned char)key[i] >= 0x7F) return "the key has a space or control character in it";
  if (o->key_length == 0) return "the key is empty";
  char *authorization = join("Authorization: Bearer ", key, o->key_length);
  if (authorization && set_headers(&t->headers, authorization) && set_headers(&t->json_headers, authorization)
      && append(&t->json_headers, "Content-Type: application/json"))
    why = NULL;
  free(authorization);
  return why;
}

/* Programs that the caller starts must not hold connections open, nor be able to use them. */
static int on_connection (void *data, curl_socket_t socket, curlsocktype purpose) {
  (void)data;
  (void)purpose;
  return fcntl(socket, F_SETFD, FD_CLOEXEC) == 0 ? CURL_SOCKOPT_OK : CURL_SOCKOPT_ERROR;
}

/* For libcurl, to which 0 would mean its own default. */
static long milliseconds (double seconds) {
  return seconds < 0.001 ? 1 : seconds > 1e6 ? 1000000000L : (long)(seconds * 1000);
}

/* libcurl would look into the environment for each request again. */
static bool environment_has_proxy (void) {
  static const char *const names[] = { "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (getenv(names[i]) != NULL) return true;
  return false;
}

static bool set_options (struct transfer *x, const struct transport_options *o) {
  const struct origin *origin = &x->owner->origin;
  CURL *e = x->easy;
  bool ok = true;
#define SET(option, value) ok = curl_easy_setopt(e, option, value) == CURLE_OK && ok
  SET(CURLOPT_CURLU, origin->url);
  SET(CURLOPT_PRIVATE, x);
  SET(CURLOPT_ERRORBUFFER, x->error);
  SET(CURLOPT_WRITEFUNCTION, on_body);
  SET(CURLOPT_WRITEDATA, x);
  SET(CURLOPT_HEADERFUNCTION, on_header);
  SET(CURLOPT_HEADERDATA, x);
  SET(CURLOPT_SOCKOPTFUNCTION, on_connection);
  SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  SET(CURLOPT_HTTPHEADER, x->owner->headers);
  SET(CURLOPT_ACCEPT_ENCODING, "gzip");  /* every server has it; the body is counted as it is unpacked */
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(o->connect_timeout));
  SET(CURLOPT_HTTP_VERSION, o->http2 ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
  /* Wait for a connection that is being made, instead of making one for each request. Of plain HTTP libcurl would know only
     after the first answer that it cannot share. */
  if (o->http2 && origin->tls) SET(CURLOPT_PIPEWAIT, 1L);
  if (o->ca_file) SET(CURLOPT_CAINFO, o->ca_file);
  if (origin->unix_socket) SET(CURLOPT_UNIX_SOCKET_PATH, origin->unix_socket);
  if (o->proxy != NULL) {
    SET(CURLOPT_PROXY, o->proxy);
    SET(CURLOPT_NOPROXY, "");  /* what was asked for explicitly, $no_proxy does not switch off */
  } else if (origin->local || !environment_has_proxy()) {
    SET(CURLOPT_PROXY, "");    /* a key sent to this machine stays there */
    SET(CURLOPT_NOPROXY, "*");
  }
#undef SET
  return ok;
}

static bool make_transfer (struct transport *t, struct transfer *x, const struct transport_options *o) {
  x->owner = t;
  x->easy = curl_easy_init();
  x->next = t->free;
  t->free = x;
  return x->easy != NULL && set_options(x, o);
}

static bool make_multi (struct transport *t) {
  t->multi = curl_multi_init();
  return t->multi != NULL && curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)t->slots) == CURLM_OK
         && curl_multi_setopt(t->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)t->slots + 1) == CURLM_OK;
}

static bool make_transfers (struct transport *t, const struct transport_options *o) {
  t->transfer = (struct transfer *)calloc(o->slots, sizeof *t->transfer);
  if (t->transfer == NULL) return false;
  t->slots = o->slots;
  if (!make_multi(t)) return false;
  for (size_t i = o->slots; i-- > 0;)  /* so that the first slot is the first that is free */
    if (!make_transfer(t, &t->transfer[i], o)) return false;
  if (o->slots >= EVENTS_FROM) events_on(&t->events, t->multi);
  return true;
}

struct transport *transport_new (const struct transport_options *o, const char **why) {
  struct transport *t = (struct transport *)calloc(1, sizeof *t);
  *why = "not enough memory";
  if (t == NULL) return NULL;
  t->done_end = &t->done;
  t->max_body = o->max_body;
  t->owner = getpid();
  t->events.epoll = -1;
  if ((*why = origin_set(&t->origin, o->base_url, o->proxy, o->insecure)) == NULL
      && (*why = set_key(t, o)) == NULL) {
    if (make_transfers(t, o)) return t;
    *why = "not enough memory";
  }
  transport_free(t);
  return NULL;
}

bool transport_foreign (const struct transport *t) { return getpid() != t->owner; }

static void free_transfer (struct transfer *x, CURLM *multi) {
  if (x->easy && multi) curl_multi_remove_handle(multi, x->easy);
  curl_easy_cleanup(x->easy);
  free(x->body);
}

/* In another process even saying goodbye would do harm: TLS and HTTP/2 would say it on the parent's connections. */
void transport_free (struct transport *t) {
  if (t == NULL || transport_foreign(t)) return;
  for (struct transfer *x = t->transfer; x < t->transfer + t->slots; x++) free_transfer(x, t->multi);
  curl_multi_cleanup(t->multi);
  events_off(&t->events);
  curl_slist_free_all(t->headers);
  curl_slist_free_all(t->json_headers);
  origin_free(&t->origin);
  free(t->transfer);
  free(t);
}

/* ---- a request's life ------------------------------------------------------------------------------------------ */

/* The URL stays the same, so that libcurl need not take it apart each time in full. */
static bool set_target (struct transfer *x, const char *target) {
  char full[TARGET_SIZE];
  size_t prefix = strlen(x->owner->origin.prefix), length = strlen(target);
  if (prefix + length >= sizeof full) return false;
  memcpy(full, x->owner->origin.prefix, prefix);
  memcpy(full + prefix, target, length + 1);
  return curl_easy_setopt(x->easy, CURLOPT_REQUEST_TARGET, full) == CURLE_OK;
}

static void clear (struct transfer *x) {
  x->length = x->header_bytes = 0;
  x->too_large = x->whole_head = false;
  x->error[0] = x->retry_after[0] = x->retry_after_ms[0] = '\0';
}

/* A slot goes on asking as it did last. */
static bool set_method (struct transfer *x, const char *body, size_t length) {
  if (body == NULL && !x->posts) return true;
  bool ok = true;
#define SET(option, value) ok = curl_easy_setopt(x->easy, option, value) == CURLE_OK && ok
  SET(CURLOPT_POSTFIELDSIZE_LARGE, body ? (curl_off_t)length : (curl_off_t)-1);  /* first: without, 8 MB are copied at most */
  SET(CURLOPT_COPYPOSTFIELDS, body);
  if (body == NULL) SET(CURLOPT_HTTPGET, 1L);
  SET(CURLOPT_HTTPHEADER, body ? x->owner->json_headers : x->owner->headers);
  SET(CURLOPT_FRESH_CONNECT, body ? 1L : 0L);  /* where an old connection ends, libcurl would send it once more */
#undef SET
  x->posts = body != NULL || !ok;
  return ok;
}

static void add_done (struct transport *t, struct transfer *x, CURLcode result) {
  x->result = result;
  x->done = true;
  x->next = NULL;
  *t->done_end = x;
  t->done_end = &x->next;
}

/* libcurl 7.88 without memory may forget sockets and timers, or divide by the size of a table that it has freed: what is under
   way ends as that, and libcurl gets a new start. */
static bool start_over (struct transport *t) {
  for (struct transfer *x = t->transfer; t->multi != NULL && x < t->transfer + t->slots; x++)
    if (x->busy && !x->done) {
      curl_multi_remove_handle(t->multi, x->easy);
      add_done(t, x, CURLE_OUT_OF_MEMORY);
    }
  curl_multi_cleanup(t->multi);
  t->events.multi = NULL;  /* the new one may have the old one's address */
  if (!make_multi(t)) return false;
  if (t->events.epoll >= 0) events_on(&t->events, t->multi);
  return true;
}

bool transport_start (struct transport *t, const char *tag, size_t tag_length, const char *target, const char *body,
                      size_t body_length, double timeout) {
  struct transfer *x = t->free;
  if (x == NULL || tag_length >= TRANSPORT_TAG_SIZE || (t->multi == NULL && !start_over(t))) return false;
  clear(x);
  memcpy(x->tag, tag, tag_length);
  x->tag[tag_length] = '\0';
  x->tag_length = tag_length;
  if (!set_target(x, target) || !set_method(x, body, body_length)) return false;
  if (curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, milliseconds(timeout)) != CURLE_OK) return false;
  if (curl_multi_add_handle(t->multi, x->easy) != CURLM_OK) return false;
  t->free = x->next;
  x->busy = true;
  x->number = ++t->requests;
  return true;
}

static void free_slot (struct transport *t, struct transfer *x) {
  x->busy = x->done = false;
  x->next = t->free;
  t->free = x;
}

/* Whether libcurl had memory enough. */
static bool collect_done (struct transport *t) {
  bool enough = true;
  int left;
  for (CURLMsg *m; (m = curl_multi_info_read(t->multi, &left)) != NULL;) {
    char *private_pointer = NULL;
    if (m->msg != CURLMSG_DONE) continue;
    CURL *easy = m->easy_handle;
    CURLcode result = m->data.result;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private_pointer);
    struct transfer *x = (struct transfer *)(void *)private_pointer;
    curl_multi_remove_handle(t->multi, easy);
    add_done(t, x, result);
    enough = enough && result != CURLE_OUT_OF_MEMORY;
  }
  return enough;
}

static void go_on (struct transport *t, double seconds) {
  int running;
  bool enough = t->multi != NULL;
  if (enough && t->events.epoll >= 0) {
    enough = events_wait(&t->events, seconds);
  } else if (enough) {
    if (seconds > 0) curl_multi_poll(t->multi, NULL, 0, (int)milliseconds(seconds) + 1, NULL);
    enough = curl_multi_perform(t->multi, &running) == CURLM_OK;
  }
  if (t->multi != NULL) enough = collect_done(t) && enough;
  if (!enough) start_over(t);
}

void transport_wait (struct transport *t, double seconds) {
  go_on(t, 0);
  if (t->done == NULL && seconds > 0) go_on(t, seconds);
}

/* Requests may come to their end while libcurl tells of its sockets, of which the descriptor will not tell. */
int transport_fd (struct transport *t) {
  if (t->events.epoll >= 0) return t->events.epoll;
  if (!events_on(&t->events, t->multi)) return -1;
  if (t->multi != NULL && !collect_done(t)) start_over(t);
  return t->events.epoll;
}

double transport_timeout (struct transport *t) {
  long milliseconds_left = -1;
  if (t->done != NULL) return 0;
  if (t->events.epoll >= 0) return events_timeout(&t->events);
  curl_multi_timeout(t->multi, &milliseconds_left);
  return milliseconds_left < 0 ? -1 : (double)milliseconds_left / 1000;
}

/* What OpenSSL and GnuTLS say when the connection ends within the handshake; libcurl has no code of its own for it. */
static bool says_ended (const char *message) {
  return strstr(message, "SSL_ERROR_SYSCALL") || strstr(message, "unexpected eof") || strstr(message, "terminated");
}

/* A handshake that the peer broke off is a matter of the network; one that libcurl refused is one of trust. */
static enum transport_fault tls_fault (struct transfer *x) {
  long os_error = 0;
  curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &os_error);
  bool broken_off = x->result == CURLE_SSL_CONNECT_ERROR && (os_error != 0 || says_ended(x->error));
  return broken_off ? TRANSPORT_NETWORK : TRANSPORT_TLS;
}

static enum transport_fault fault_of (struct transfer *x, long status) {
  if (x->too_large) return TRANSPORT_TOO_LARGE;
  switch (x->result) {
    case CURLE_OK: return x->whole_head ? TRANSPORT_OK : TRANSPORT_NETWORK;
    case CURLE_OPERATION_TIMEDOUT: return TRANSPORT_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR: case CURLE_PEER_FAILED_VERIFICATION: case CURLE_SSL_CERTPROBLEM: case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE: case CURLE_SSL_ISSUER_ERROR: case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
      return tls_fault(x);
    case CURLE_BAD_CONTENT_ENCODING: return status == 200 ? TRANSPORT_BAD_ANSWER : TRANSPORT_OK;  /* without its body */
    default: return TRANSPORT_NETWORK;
  }
}

uint64_t transport_first (const struct transport *t) { return t->done ? t->done->number : 0; }

static const char *message_of (struct transfer *x) {
  if (strncmp(x->error, "Unsupported proxy", 17) == 0) x->error[17] = '\0';  /* and its URL, with the login */
  return x->error[0] ? x->error : x->result != CURLE_OK ? curl_easy_strerror(x->result) : "the headers were cut short";
}

bool transport_finished (struct transport *t, struct transport_answer *a) {
  struct transfer *x = t->done;
  long status = 0, connects = 0;
  if (x == NULL) return false;
  curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(x->easy, CURLINFO_NUM_CONNECTS, &connects);
  a->number = x->number;
  a->tag_length = x->tag_length;
  memcpy(a->tag, x->tag, x->tag_length + 1);
  if (x->result == CURLE_BAD_CONTENT_ENCODING) x->length = 0;
  a->fault = fault_of(x, status);
  a->message[0] = '\0';
  if (a->fault != TRANSPORT_OK) snprintf(a->message, sizeof a->message, "%s", message_of(x));
  a->reused = connects == 0 && (status != 0 || x->result == CURLE_OK);
  a->status = (int)status;
  strcpy(a->retry_after, x->retry_after);
  strcpy(a->retry_after_ms, x->retry_after_ms);
  a->body = x->length > 0 ? x->body : "";
  a->length = x->length;
  return true;
}

void transport_release (struct transport *t) {
  struct transfer *x = t->done;
  if (x == NULL) return;
  t->done = x->next;
  if (t->done == NULL) t->done_end = &t->done;
  free_slot(t, x);
}

static void forget_done (struct transport *t, struct transfer *x) {
  struct transfer **at = &t->done;
  while (*at != x) at = &(*at)->next;
  *at = x->next;
  if (x->next == NULL) t->done_end = at;
}

void transport_cancel (struct transport *t, const char *tag) {
  struct transfer *x = t->transfer, *end = t->transfer + t->slots;
  while (x < end && !(x->busy && strcmp(x->tag, tag) == 0)) x++;
  if (x == end) return;
  if (x->done) forget_done(t, x);
  else curl_multi_remove_handle(t->multi, x->easy);
  free_slot(t, x);
}

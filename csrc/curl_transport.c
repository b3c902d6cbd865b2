#include "curl_transport.h"

#if defined(__has_include)
#if !__has_include(<curl/curl.h>)
#error "libcurl's headers are missing: install libcurl4-openssl-dev (Debian, Ubuntu), libcurl-devel (Fedora) or curl (Homebrew)"
#endif
#endif
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADER_VALUE_MAX 64  /* of Retry-After; anything longer is none */
#define HEADERS_MAX 65536    /* bytes of all headers of an answer */
#define BASE_PATH_MAX 512    /* bytes of the base URL's path */
#define BODY_FIRST_SIZE 4096

struct transfer {
  struct transport *owner;
  CURL *easy;
  CURLU *url;
  struct transfer *next_done;
  size_t slot;
  bool busy, too_large;
  bool whole_head;           /* all headers of the last answer came; before it there may be 1xx answers */
  CURLcode result;
  char *body;
  size_t length, capacity, header_bytes;
  char retry_after[HEADER_VALUE_MAX], retry_after_ms[HEADER_VALUE_MAX];
  char error[CURL_ERROR_SIZE];
  char path[64];             /* set in url already */
};

struct transport {
  CURLM *multi;
  CURLU *base;
  char *base_path;           /* without a slash at its end */
  bool plain;                /* http, not https */
  struct curl_slist *headers;
  size_t max_body, slots;
  struct transfer *transfer;
  struct transfer *done, **done_end;
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
  if ((size_t)(end - start) >= HEADER_VALUE_MAX) return;
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

/* An address, not a name that a resolver might know better; libcurl itself looks after "localhost". */
static bool is_loopback (const char *host) {
  struct in_addr address;
  return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0
         || (strncmp(host, "127.", 4) == 0 && inet_pton(AF_INET, host, &address) == 1);
}

static bool has_part (CURLU *url, CURLUPart part) {
  char *value = NULL;
  bool there = curl_url_get(url, part, &value, 0) == CURLUE_OK;
  curl_free(value);
  return there;
}

static const char *check_origin (struct transport *t) {
  char *scheme = NULL, *host = NULL;
  const char *why = NULL;
  if (curl_url_get(t->base, CURLUPART_SCHEME, &scheme, 0) || curl_url_get(t->base, CURLUPART_HOST, &host, 0))
    why = "the base URL has no scheme or host";
  else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0) why = "the base URL must be https://";
  else if ((t->plain = strcmp(scheme, "http") == 0) && !is_loopback(host))
    why = "plain http:// would show the key to the network; it is for loopback addresses only, use https://";
  curl_free(scheme);
  curl_free(host);
  return why;
}

static const char *set_base (struct transport *t, const char *base_url) {
  if ((t->base = curl_url()) == NULL) return "not enough memory";
  if (curl_url_set(t->base, CURLUPART_URL, base_url, 0) != CURLUE_OK)
    return "the base URL is not a URL such as https://openrouter.ai/api/v1";
  if (has_part(t->base, CURLUPART_USER) || has_part(t->base, CURLUPART_PASSWORD))
    return "the base URL must not have a user name or password in it";
  if (has_part(t->base, CURLUPART_QUERY) || has_part(t->base, CURLUPART_FRAGMENT))
    return "the base URL must not have a query or fragment";
  if (curl_url_get(t->base, CURLUPART_PATH, &t->base_path, 0) != CURLUE_OK) return "not enough memory";
  for (size_t n = strlen(t->base_path); n > 0 && t->base_path[n - 1] == '/';) t->base_path[--n] = '\0';
  if (strlen(t->base_path) > BASE_PATH_MAX) return "the base URL is too long";
  return check_origin(t);
}

static const char *set_key (struct transport *t, const char *key, size_t length) {
  static const char prefix[] = "Authorization: Bearer ";
  for (size_t i = 0; i < length; i++)
    if ((unsigned char)key[i] <= ' ' || (unsigned char)key[i] >= 0x7F) return "the key has a space or control character in it";
  if (length == 0) return "the key is empty";
  char *header = (char *)malloc(sizeof prefix + length);
  if (header == NULL) return "not enough memory";
  memcpy(header, prefix, sizeof prefix - 1);
  memcpy(header + sizeof prefix - 1, key, length);
  header[sizeof prefix - 1 + length] = '\0';
  t->headers = curl_slist_append(NULL, header);
  memset(header, 0, sizeof prefix + length);
  free(header);
  return t->headers ? NULL : "not enough memory";
}

/* For libcurl, to which 0 would mean its own default. */
static long milliseconds (double seconds) {
  return seconds < 0.001 ? 1 : seconds > 1e6 ? 1000000000L : (long)(seconds * 1000);
}

static bool set_options (struct transfer *x, const struct transport_options *o) {
  CURL *e = x->easy;
  bool ok = true;
#define SET(option, value) ok = curl_easy_setopt(e, option, value) == CURLE_OK && ok
  SET(CURLOPT_CURLU, x->url);
  SET(CURLOPT_PRIVATE, x);
  SET(CURLOPT_ERRORBUFFER, x->error);
  SET(CURLOPT_WRITEFUNCTION, on_body);
  SET(CURLOPT_WRITEDATA, x);
  SET(CURLOPT_HEADERFUNCTION, on_header);
  SET(CURLOPT_HEADERDATA, x);
  SET(CURLOPT_HTTPHEADER, x->owner->headers);
  SET(CURLOPT_USERAGENT, o->user_agent);
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(o->connect_timeout));
  if (o->ca_file) SET(CURLOPT_CAINFO, o->ca_file);
  if (x->owner->plain) SET(CURLOPT_PROXY, "");  /* a key sent to loopback must stay there */
#undef SET
  return ok;
}

static bool make_transfer (struct transport *t, size_t slot, const struct transport_options *o) {
  struct transfer *x = &t->transfer[slot];
  x->owner = t;
  x->slot = slot;
  x->easy = curl_easy_init();
  x->url = curl_url_dup(t->base);
  return x->easy != NULL && x->url != NULL && set_options(x, o);
}

struct transport *transport_new (const struct transport_options *o, const char **why) {
  struct transport *t = (struct transport *)calloc(1, sizeof *t);
  *why = "not enough memory";
  if (t == NULL) return NULL;
  t->done_end = &t->done;
  t->max_body = o->max_body;
  if ((*why = set_base(t, o->base_url)) == NULL && (*why = set_key(t, o->api_key, o->key_length)) == NULL) {
    *why = "not enough memory";
    t->multi = curl_multi_init();
    t->transfer = (struct transfer *)calloc(o->slots, sizeof *t->transfer);
    t->slots = t->transfer ? o->slots : 0;
    bool ok = t->multi != NULL && t->transfer != NULL
              && curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)o->slots) == CURLM_OK;
    for (size_t i = 0; ok && i < t->slots; i++) ok = make_transfer(t, i, o);
    if (ok) {
      *why = NULL;
      return t;
    }
  }
  transport_free(t);
  return NULL;
}

void transport_free (struct transport *t) {
  if (t == NULL) return;
  for (size_t i = 0; i < t->slots; i++) {
    struct transfer *x = &t->transfer[i];
    if (x->easy && t->multi) curl_multi_remove_handle(t->multi, x->easy);
    curl_easy_cleanup(x->easy);
    curl_url_cleanup(x->url);
    free(x->body);
  }
  curl_multi_cleanup(t->multi);
  curl_slist_free_all(t->headers);
  curl_url_cleanup(t->base);
  curl_free(t->base_path);
  free(t->transfer);
  free(t);
}

/* ---- a request's life ------------------------------------------------------------------------------------------ */

/* Where the path ends and the query starts differs from base URL to base URL only; usually nothing but the query has to be set. */
static bool set_target (struct transfer *x, const char *target) {
  const char *question = strchr(target, '?');
  size_t length = question ? (size_t)(question - target) : strlen(target);
  if (length >= sizeof x->path) return false;
  if (strncmp(x->path, target, length) != 0 || x->path[length] != '\0') {
    char full[1024];
    if (snprintf(full, sizeof full, "%s%.*s", x->owner->base_path, (int)length, target) >= (int)sizeof full) return false;
    if (curl_url_set(x->url, CURLUPART_PATH, full, 0) != CURLUE_OK) return false;
    memcpy(x->path, target, length);
    x->path[length] = '\0';
  }
  return curl_url_set(x->url, CURLUPART_QUERY, question ? question + 1 : NULL, 0) == CURLUE_OK;
}

static void clear (struct transfer *x) {
  x->length = x->header_bytes = 0;
  x->too_large = x->whole_head = false;
  x->error[0] = x->retry_after[0] = x->retry_after_ms[0] = '\0';
}

bool transport_start (struct transport *t, const char *target, double timeout, size_t *slot) {
  struct transfer *x = t->transfer, *end = t->transfer + t->slots;
  while (x < end && x->busy) x++;
  if (x == end) return false;
  clear(x);
  if (!set_target(x, target) || curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, milliseconds(timeout)) != CURLE_OK) return false;
  if (curl_multi_add_handle(t->multi, x->easy) != CURLM_OK) return false;
  x->busy = true;
  *slot = x->slot;
  return true;
}

static void collect_done (struct transport *t) {
  int left;
  for (CURLMsg *m; (m = curl_multi_info_read(t->multi, &left)) != NULL;) {
    char *private_pointer = NULL;
    if (m->msg != CURLMSG_DONE) continue;
    CURL *easy = m->easy_handle;
    CURLcode result = m->data.result;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private_pointer);
    struct transfer *x = (struct transfer *)(void *)private_pointer;
    curl_multi_remove_handle(t->multi, easy);
    x->result = result;
    x->next_done = NULL;
    *t->done_end = x;
    t->done_end = &x->next_done;
  }
}

void transport_wait (struct transport *t, double seconds) {
  int running;
  curl_multi_perform(t->multi, &running);
  collect_done(t);
  if (t->done != NULL || seconds <= 0) return;
  curl_multi_poll(t->multi, NULL, 0, (int)milliseconds(seconds) + 1, NULL);
  curl_multi_perform(t->multi, &running);
  collect_done(t);
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

static enum transport_fault fault_of (struct transfer *x) {
  if (x->too_large) return TRANSPORT_TOO_LARGE;
  switch (x->result) {
    case CURLE_OK: return x->whole_head ? TRANSPORT_OK : TRANSPORT_NETWORK;
    case CURLE_OPERATION_TIMEDOUT: return TRANSPORT_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR: case CURLE_PEER_FAILED_VERIFICATION: case CURLE_SSL_CERTPROBLEM: case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE: case CURLE_SSL_ISSUER_ERROR: case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
      return tls_fault(x);
    default: return TRANSPORT_NETWORK;
  }
}

bool transport_finished (struct transport *t, struct transport_answer *a) {
  struct transfer *x = t->done;
  long status = 0;
  if (x == NULL) return false;
  curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
  a->slot = x->slot;
  a->fault = fault_of(x);
  a->message = x->error[0] ? x->error : x->result != CURLE_OK ? curl_easy_strerror(x->result) : "the headers were cut short";
  a->status = (int)status;
  a->retry_after = x->retry_after[0] ? x->retry_after : NULL;
  a->retry_after_ms = x->retry_after_ms[0] ? x->retry_after_ms : NULL;
  a->body = x->length > 0 ? x->body : "";
  a->length = x->length;
  return true;
}

void transport_release (struct transport *t, size_t slot) {
  struct transfer *x = t->done;
  if (x == NULL || x->slot != slot) return;
  t->done = x->next_done;
  if (t->done == NULL) t->done_end = &t->done;
  x->busy = false;
}

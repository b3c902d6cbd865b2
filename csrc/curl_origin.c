#include "curl_origin.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PREFIX_MAX_LENGTH 512  /* bytes */
#define SOCKET_MAX_LENGTH 107  /* what fits into a sockaddr_un */

static const char no_memory[] = "not enough memory";

/* An address, not a name that a resolver might know better; libcurl itself looks after "localhost". */
static bool is_loopback (const char *host) {
  struct in_addr address;
  return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0
         || (strncmp(host, "127.", 4) == 0 && inet_pton(AF_INET, host, &address) == 1);
}

/* Without memory to find out, it may be there. */
static bool has_part (CURLU *url, CURLUPart part) {
  char *value = NULL;
  CURLUcode result = curl_url_get(url, part, &value, 0);
  curl_free(value);
  return result == CURLUE_OK || result == CURLUE_OUT_OF_MEMORY;
}

static bool is_proxy_scheme (const char *scheme) {
  static const char *const known[] = { "http", "https", "socks4", "socks4a", "socks5", "socks5h" };
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strcasecmp(scheme, known[i]) == 0) return true;
  return false;
}

/* Whether requests through this proxy stay on this machine as far as it. */
static const char *check_proxy (const char *proxy, bool *local) {
  const char *why = NULL;
  char *scheme = NULL, *host = NULL;
  CURLU *url = curl_url();
  if (url == NULL) return no_memory;
  bool with_scheme = strstr(proxy, "://") != NULL;  /* libcurl takes http for granted, but not by every name of a host */
  if (curl_url_set(url, CURLUPART_URL, proxy, CURLU_DEFAULT_SCHEME | CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK
      || curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK
      || curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK || (with_scheme && !is_proxy_scheme(scheme)))
    why = "the proxy is not a URL such as http://127.0.0.1:3128 or socks5h://127.0.0.1:1080";
  else *local = is_loopback(host);
  curl_free(scheme);
  curl_free(host);
  curl_url_cleanup(url);
  return why;
}

static const char *check_origin (struct origin *o, const char *proxy, bool insecure) {
  char *scheme = NULL, *host = NULL;
  const char *why = NULL;
  bool proxy_local = true;
  if (proxy && *proxy) {
    if (o->unix_socket) return "a unix socket cannot be asked through a proxy";
    if ((why = check_proxy(proxy, &proxy_local)) != NULL) return why;
  }
  if (curl_url_get(o->url, CURLUPART_SCHEME, &scheme, 0) || curl_url_get(o->url, CURLUPART_HOST, &host, 0)) {
    why = "the base URL has no scheme or host";
  } else {
    bool plain = strcmp(scheme, "http") == 0;
    o->local = is_loopback(host);
    o->tls = !plain;
    if (!plain && strcmp(scheme, "https") != 0) why = "the base URL must be https://";
    else if (plain && !insecure && !o->local)
      why = "plain http:// would show the key to the network; it is for loopback addresses only, use https://";
    else if (plain && !insecure && !proxy_local)
      why = "plain http:// would show the key to the proxy; use https://";
  }
  curl_free(scheme);
  curl_free(host);
  return why;
}

/* http://unix:/run/api.sock:/api/v1, which libcurl wants as a socket and a URL. */
static const char *set_unix (struct origin *o, const char *socket) {
  const char *end = strchr(socket, ':');
  size_t length = end ? (size_t)(end - socket) : strlen(socket);
  if (*socket != '/' || length > SOCKET_MAX_LENGTH)
    return "the path of a unix socket must start with / and be short: http://unix:/run/api.sock:/api/v1";
  if ((o->unix_socket = (char *)calloc(1, length + 1)) == NULL) return no_memory;
  memcpy(o->unix_socket, socket, length);
  if (curl_url_set(o->url, CURLUPART_URL, "http://localhost/", 0) != CURLUE_OK) return no_memory;
  if (end && end[1] != '\0' && (end[1] != '/' || curl_url_set(o->url, CURLUPART_URL, end + 1, 0) != CURLUE_OK))
    return "what follows the unix socket must be a path: http://unix:/run/api.sock:/api/v1";
  return NULL;
}

static const char *set_url (struct origin *o, const char *base_url) {
  static const char prefix[] = "http://unix:";
  if ((o->url = curl_url()) == NULL) return no_memory;
  if (strncasecmp(base_url, prefix, sizeof prefix - 1) == 0) return set_unix(o, base_url + sizeof prefix - 1);
  return curl_url_set(o->url, CURLUPART_URL, base_url, 0) == CURLUE_OK
      ? NULL : "the base URL is not a URL such as https://openrouter.ai/api/v1";
}

/* Plain http through a proxy is asked for by whole URLs, which an origin understands as well. */
const char *origin_set (struct origin *o, const char *base_url, const char *proxy, bool insecure) {
  const char *why = set_url(o, base_url);
  if (why != NULL) return why;
  if (has_part(o->url, CURLUPART_USER) || has_part(o->url, CURLUPART_PASSWORD))
    return "the base URL must not have a user name or password in it";
  if (has_part(o->url, CURLUPART_QUERY) || has_part(o->url, CURLUPART_FRAGMENT))
    return "the base URL must not have a query or fragment";
  if ((why = check_origin(o, proxy, insecure)) != NULL) return why;
  bool proxied = !o->tls && (proxy ? *proxy != '\0' : !o->local);
  if (curl_url_get(o->url, proxied ? CURLUPART_URL : CURLUPART_PATH, &o->prefix, 0) != CURLUE_OK) return no_memory;
  for (size_t n = strlen(o->prefix); n > 0 && o->prefix[n - 1] == '/';) o->prefix[--n] = '\0';
  return strlen(o->prefix) > PREFIX_MAX_LENGTH ? "the base URL is too long" : NULL;
}

void origin_free (struct origin *o) {
  curl_url_cleanup(o->url);
  curl_free(o->prefix);
  free(o->unix_socket);
}

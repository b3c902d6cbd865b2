/*
** curl_origin: where the key may go. A base URL, taken apart and judged before anything is sent there: https, or plain http
** to this machine: a loopback address, or a unix socket, written as nginx does: http://unix:/run/api.sock:/api/v1
*/
#ifndef curl_origin_h
#define curl_origin_h

#if defined(__has_include)
#if !__has_include(<curl/curl.h>)
#error "libcurl's headers are missing: install libcurl4-openssl-dev (Debian, Ubuntu), libcurl-devel (Fedora) or curl (Homebrew)"
#endif
#endif
#include <curl/curl.h>
#include <stdbool.h>

struct origin {
  CURLU *url;        /* what libcurl shall ask */
  char *prefix;      /* of request targets: the path of the base URL, without a slash at its end */
  char *unix_socket; /* NULL: TCP */
  bool local;        /* on this machine */
  bool tls;
};

/* NULL, or why not: a text for the user. `proxy` may be NULL; with `insecure` plain http may go anywhere. */
const char *origin_set (struct origin *o, const char *base_url, const char *proxy, bool insecure);

void origin_free (struct origin *o);

#endif

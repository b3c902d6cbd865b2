/*
** http1: one answer after the other to GET requests over an HTTP/1.1 connection (RFC 9110, 9112), for drivers that bring
** the bytes themselves. Knows neither sockets nor Lua.
**
** Bytes go in as they come, and how they are cut makes no difference to what comes out. Every one of them may be meant to do
** harm: where two readers could disagree about where an answer ends, there is an error, not a guess.
*/
#ifndef http1_h
#define http1_h

#include "retry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP1_MAX_BODY ((size_t)32 << 20)
#define HTTP1_MAX_HEAD ((size_t)32 << 10)  /* all that is neither body nor chunk sizes: heads, trailers, chunk extensions */
#define HTTP1_MAX_INTERIM 16               /* 1xx answers before the one that counts */
#define HTTP1_MAX_KEPT ((size_t)64 << 10)  /* a larger buffer is not kept for the next answer */
#define HTTP1_MAX_VALUE 64                 /* bytes of a retry-after that are read */

enum http1_result { HTTP1_MORE, HTTP1_DONE, HTTP1_FAILED, HTTP1_NO_MEMORY };

enum http1_state {
  HTTP1_STATUS_LINE, HTTP1_FIELDS, HTTP1_LENGTH, HTTP1_CHUNK_SIZE, HTTP1_CHUNK_DATA, HTTP1_CHUNK_CR, HTTP1_CHUNK_LF,
  HTTP1_TRAILERS, HTTP1_UNTIL_CLOSED,
  HTTP1_COMPLETE, HTTP1_BROKEN, HTTP1_OUT_OF_MEMORY  /* from here on nothing is read until a reset */
};

struct http1 {
  char *buffer;          /* the body, and behind it what has come of a line that is not all here */
  size_t capacity, max_body;

  /* All below is zero at the start of an answer. */
  size_t length;         /* of the body so far */
  size_t partial;        /* of the line behind it */
  size_t left;           /* bytes to come of the body or the chunk; of a body without a length: still allowed */
  size_t head;           /* bytes that count against HTTP1_MAX_HEAD */
  uint64_t content_length;
  enum http1_state state;
  enum kind kind;        /* of the failure */
  int status, minor, interim;
  bool started, has_length, chunked, encoded, keep_alive, closing;
  char retry_after[HTTP1_MAX_VALUE + 1], retry_after_ms[HTTP1_MAX_VALUE + 1];  /* empty: not there */
  char message[100];     /* of the failure */
};

void http1_init (struct http1 *p, size_t max_body);  /* HTTP1_MAX_BODY at most */
void http1_free (struct http1 *p);   /* may be called twice, and used again */
void http1_reset (struct http1 *p);  /* for the next answer; keeps the buffer unless it is large */

/* The next bytes. HTTP1_DONE: status, the body (buffer, length) and the rest are there. HTTP1_FAILED: kind and message.
   Whatever comes behind the end changes nothing but http1_reusable. */
enum http1_result http1_feed (struct http1 *p, const char *bytes, size_t n);

/* The peer has closed the connection. Never HTTP1_MORE. */
enum http1_result http1_end (struct http1 *p);

/* Whether another request may be sent over the connection. */
bool http1_reusable (const struct http1 *p);

#endif

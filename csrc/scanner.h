/*
** scanner: the generation id and the `usage` object out of a response body that is on its way to somebody else. It sees the
** body in pieces of any size, one after the other, keeps nothing of it but these two, and allocates nothing.
**
** The body is one JSON object, or Server-Sent Events whose data are such objects; of anything else it sees nothing. What
** counts is a member of the object itself: a model may write whatever it likes into strings and into what is nested.
** It is no validator: a fault inside a value it has no use for may go unnoticed. One it does notice ends the body's scan, or
** makes the event count for nothing; what was complete before stays.
*/
#ifndef scanner_h
#define scanner_h

#include "lookup.h"
#include "money.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCANNER_MAX_USAGE 2048               /* bytes of a usage object, white space between its tokens not counted */
#define SCANNER_MAX_DEPTH ((uint32_t)1 << 30)  /* arrays and objects inside one another */
#define SCANNER_MAX_TOKEN (6 * LOOKUP_ID_MAX)  /* an id of which every character is spelt \u0067 */

enum scanner_body { SCANNER_UNKNOWN, SCANNER_JSON, SCANNER_SSE, SCANNER_OFF };

/* What the object itself has to go on with, nested values apart. */
enum scanner_expect {
  EXPECT_OBJECT, EXPECT_DONE, EXPECT_NAME_OR_END, EXPECT_NAME, EXPECT_COLON, EXPECT_VALUE, EXPECT_MORE_SCALAR, EXPECT_COMMA,
  EXPECT_SPACE,   /* it is closed */
  EXPECT_NOTHING  /* it is no object */
};

enum scanner_member { MEMBER_OTHER, MEMBER_ID, MEMBER_USAGE };
enum scanner_line { LINE_FIELD, LINE_DATA, LINE_IGNORED };
enum scanner_usage { USAGE_NONE, USAGE_FOUND, USAGE_TOO_LARGE, USAGE_NOT_JSON };

struct scanner {
  enum scanner_body body;
  unsigned bom;             /* bytes seen of the byte order mark; 3: it is over, or there was none */
  bool finished;

  /* the line of an event stream */
  enum scanner_line line;
  bool sure;                /* a field was seen that only an event stream has */
  bool after_cr;            /* a line feed here belongs to the line end before it */
  unsigned field_length;
  char field[5];

  /* the JSON object */
  enum scanner_expect expect;
  unsigned done;            /* characters of [DONE] that came */
  bool in_string;
  bool escaped;             /* the next character of the string is */
  uint32_t depth;           /* arrays and objects that are open */
  uint64_t objects;         /* which of the outer 64 are objects: bit 0 is the outermost */
  enum scanner_member member;
  bool keeps_token, keeps_usage, gap;
  bool too_large;           /* what is kept */

  /* found in this event, not to be had before it ends */
  size_t event_id_length;
  enum scanner_usage event_usage;

  /* found */
  bool id_reported;
  size_t id_length;         /* 0: none */
  enum scanner_usage usage_state;
  bool usage_checked;       /* that what is found is JSON */
  size_t cost;              /* where the value of its `cost` is; 0: it has none */
  int usage_kept;           /* which of the two below it is; the other one is being read */

  size_t usage_length[2], token_length;
  char id[LOOKUP_ID_MAX], token[SCANNER_MAX_TOKEN + 3], usage[2][SCANNER_MAX_USAGE + 1];
};

void scanner_init (struct scanner *s);

/* The next n bytes of the body. False: there is nothing more to find in it. */
bool scanner_feed (struct scanner *s, const char *bytes, size_t n);

/* The id, not terminated, or NULL. From then on it stays the same, even if the body has another one further on. */
const char *scanner_id (struct scanner *s, size_t *length);

/* USAGE_FOUND: the last usage object, checked, without white space between its tokens and with a NUL behind it. */
enum scanner_usage scanner_usage (struct scanner *s, const char **text, size_t *length);

/* That usage's `cost` as plain decimal text: its length, or 0 where it has none that is a number. */
size_t scanner_cost (struct scanner *s, char out[MONEY_TEXT_SIZE]);

/* The answer came to its end: the object was closed, or the data of the last event is [DONE]. */
bool scanner_finished (const struct scanner *s);

#endif

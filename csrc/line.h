/*
** line: the lines of a journal, which says what ids have been seen and not settled yet.
**
**   {"pending":"ID","open":true ,"at":"T","key":"NAME","context":{…}}                    an id was seen
**   {"note":"ID","open":true ,"at":"T","interrupted":true,"context":{…},"instant":{…}}   what the request's end added
**
** Members without a value are left out. A line is closed where it stands, by writing `false` over `true `: closing must not
** need room, which a full disk has not. The id comes first and its characters are plain, so that a line which was cut short
** still has it.
*/
#ifndef line_h
#define line_h

#include "quote.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_MAX_NAMES 16      /* of a context */
#define LINE_MAX_CONTEXT 1024  /* bytes of its text */
#define LINE_MAX_KEY 256
#define LINE_MAX_INSTANT 4096
#define LINE_MAX_MERGED 4096   /* bytes of several contexts in one */
#define LINE_SIZE 8192         /* no line that is written here is as long */

/* ---- a context ------------------------------------------------------------------------------------------------- */

enum line_type { LINE_STRING, LINE_BOOLEAN, LINE_INTEGER, LINE_NUMBER };

struct line_value {
  enum line_type type;
  bool boolean;
  int64_t integer;
  double number;
  const char *string;
  size_t length;
};

struct line_member {
  const char *name;
  size_t length;
  struct line_value value;
};

/* Of the members given, the first ones in the order of their names' bytes. Names and strings stay the caller's. */
struct line_context {
  struct line_member member[LINE_MAX_NAMES];
  int kept;
  size_t given;
  const char *beyond;  /* the first name for which there is no room, or NULL */
  size_t beyond_length;
};

#define LINE_PROBLEM_SIZE 256

/* What could not be kept, in words for a log; the first one counts. Empty when there is none. */
struct line_problem {
  char text[LINE_PROBLEM_SIZE];
};

/* `words` is about the member of this name, of a context. */
void line_complain (struct line_problem *problem, const char *name, size_t length, const char *words);

/* Give a member. The context is all zero at the start. */
void line_context_add (struct line_context *c, const char *name, size_t length, const struct line_value *value);

/* Write it as an object, nothing where it is empty; returns the length. */
size_t line_context_write (char out[LINE_MAX_CONTEXT], const struct line_context *c, struct line_problem *problem);

/* The members of two flat objects, of which either may be NULL, in one: a's, then those that b alone has; where both have
   one, b's value. What is no text of an object, is not flat, or does not fit, is left out. The texts end in a NUL. Returns
   the length, 0 for no member. */
size_t line_merge (char out[LINE_MAX_MERGED], const char *a, size_t a_length, const char *b, size_t b_length);

/* ---- a line ---------------------------------------------------------------------------------------------------- */

enum line_kind { LINE_NONE, LINE_PENDING, LINE_NOTE };

#define LINE_MARK_SIZE ((size_t)5)  /* of `true ` and `false` */
#define LINE_HEAD_SIZE 160          /* bytes in which a line's kind, id and mark are */

/* What a line says first, and what of it is left when it was cut short. */
struct line_head {
  enum line_kind kind;
  const char *id;
  size_t id_length;
  size_t mark;  /* where `true ` or `false` stands in the line; 0: the line was cut short before it, and is open */
  bool open;
};

/* False when it is no such line. The text need not be all of it, and need not end in a NUL. */
bool line_read_head (const char *text, size_t length, struct line_head *head);

struct line_text {
  const char *bytes;  /* NULL: not there */
  size_t length;
};

struct line {
  struct line_head head;
  double at;                 /* Unix time; not finite when it is not there */
  struct line_text key;      /* to be written: any text; as read: raw, with the escapes of JSON */
  struct line_text context;  /* objects, as they stand in the line */
  struct line_text instant;
  bool interrupted;
};

/* Write an open line, without a line end; head.mark does not matter. What is too long is left out. Returns the length. */
size_t line_write (char out[LINE_SIZE], const struct line *line, struct line_problem *problem);

/* False when it is none. Of a line that was cut short only the head is there. A NUL follows the text. */
bool line_read (const char *text, size_t length, struct line *line);

#endif

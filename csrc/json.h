/*
** json: JSON text (RFC 8259). Knows nothing of records, allocates nothing.
**
** Two phases. Checking (json_check_*) reads text nobody has looked at, enforces the whole grammar, UTF-8 and the depth
** limit, and says what is wrong and where. Reading (all the rest) takes text that has passed the check and trusts it.
** In both the text ends with a NUL at text + length: NUL is legal nowhere in JSON, so it stops every scan byte by byte;
** what looks at several bytes at once asks for the end, and never goes beyond it.
**
** The fast paths can be switched off one by one, for the specs that compare them with the simple one:
**   OPENROUTER_NO_SSE2           strings are searched and names compared 8 bytes at a time, not 32; nothing is plain (plain.h)
**   OPENROUTER_NO_WORDS          … and strings searched, names compared and the last bytes hashed byte by byte
**   OPENROUTER_NO_FAST_NUMBERS   every double comes from strtod, amounts and integers are read digit by digit
** (OPENROUTER_NO_PREDICTION is in record.c, OPENROUTER_NO_FIELD_HASH in fields.c.)
*/
#ifndef json_h
#define json_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JSON_MAX_DEPTH 128  /* arrays and objects inside one another; a record needs 4 */

/* A text being checked: where it ends, and what is wrong with it and where, once something is. */
struct json_check {
  const char *end;  /* the NUL */
  const char *message;
  const char *at;
};

/* ---- checking -------------------------------------------------------------------------------------------------- */

const char *json_pass_space (const char *p);

/* The first byte that is not white space: nearly always this one. */
static inline const char *json_space (const char *p) { return (unsigned char)*p > ' ' ? p : json_pass_space(p); }

/* The length of a byte order mark, which JSON must not have (RFC 8259, section 8.1), but files from Windows do; or 0. */
static inline size_t json_bom (const char *text, size_t length) {
  return length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

/* Check the value at p; return the byte after it, or NULL with the error filled in. `depth` is how many arrays and
   objects are open around it. */
const char *json_check_value (const char *p, int depth, struct json_check *check);

/* The same for a string whose opening quote is at p. */
const char *json_check_string (const char *p, struct json_check *check);

/*
** For callers that walk an object's members themselves while checking it. Start with p behind '{'. Returns true at a
** member: name (raw, without quotes) is set and *p is at its value, which the caller must check, leaving *p behind it.
** Returns false at the end (*p behind '}') or on an error (*p is NULL). All zero at the start.
*/
struct json_walk {
  const char *name;
  size_t name_length;
  bool inside;  /* a member has been read, so that a comma must come before the next */
};
bool json_check_member (const char **p, struct json_walk *walk, struct json_check *check);

/* Fill in the error and return NULL. */
const char *json_fail (struct json_check *check, const char *message, const char *at);

/* ---- reading checked text -------------------------------------------------------------------------------------- */

const char *json_skip (const char *p);  /* the byte after the value at p */

/* Whether the character at p is escaped, in a string of which the piece from `start` on is at hand: an odd number of
   backslashes stands before it. `start_escaped`: the piece begins with an escaped character. */
static inline bool json_is_escaped (const char *start, const char *p, bool start_escaped) {
  const char *q = p;
  while (q > start && q[-1] == '\\') q--;
  return ((p - q) % 2 != 0) != (q == start && start_escaped);
}

/* A string's raw characters between the quotes. */
const char *json_string (const char *p, size_t *length);

/* Write the characters a raw string stands for to out (room for `length` bytes); returns how many. */
size_t json_unescape (char *out, const char *raw, size_t length);

bool json_string_is (const char *raw, size_t raw_length, const char *text, size_t length);

/* Members of the object at the '{' in *p (then of the cursor left there); false at the end. */
bool json_next_member (const char **p, const char **name, size_t *name_length, const char **value);

/* Items of the array at the '[' in *p; false at the end. */
bool json_next_item (const char **p, const char **value);

/* The value of the last member called `name` in the object at p, or NULL. */
const char *json_member (const char *p, const char *name, size_t length);

static inline bool json_is_number (const char *p) { return *p == '-' || (*p >= '0' && *p <= '9'); }

/* "null", "boolean", "number", "string", "array" or "object" */
const char *json_kind (const char *p);

/* Copy the value without the white space between its tokens; out has room for all of it. Returns the length. */
size_t json_minify (char *out, const char *p, const char *end);

/* ---- numbers --------------------------------------------------------------------------------------------------- */

/* A number's parts: its significant digits with no zero at either end, and where the decimal point goes. */
struct json_decimal {
  bool negative;
  size_t digits;      /* how many significant digits; 0 for zero */
  const char *first;  /* the first of them; a point may stand in between */
  uint64_t leading;   /* the first 19 of them, or all, as an integer */
  int64_t exponent;   /* value = digits as an integer * 10^exponent; beyond +-10^12 it stays there */
};
void json_decimal (const char *p, struct json_decimal *d);

/* A number of up to 19 digits, leading zeros apart, with an exponent of up to 4: it is digits * 10^exponent, with whatever zeros
   it was spelt. False: it is a longer one. */
struct json_short {
  bool negative;
  uint64_t digits;
  int exponent;
};
bool json_short (const char *p, struct json_short *n);

/* Nearest double, ties to even, whatever the locale; false when it is beyond the range of a double. */
bool json_double (const char *p, double *value);

/* Exact integer however spelt (10, 10.0, 1e1); false when it is none or beyond 64 bits. */
bool json_integer (const char *p, int64_t *value);

#endif

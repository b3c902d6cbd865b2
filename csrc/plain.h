/*
** plain: what nearly all values of a record are (strings of ASCII without escapes, numbers of up to 15 digits before and behind
** the point without sign or exponent, true, false, null), passed inline in a few instructions, 32 bytes at a time. For json.c,
** record.c and tally.c. What is not plain, or too near the end of the text, is left to json.c's checks, which go byte by byte
** and know what is wrong with it.
*/
#ifndef plain_h
#define plain_h

#include "sse2.h"

#include <string.h>

/* So many bytes must be there from p on: a comma and a quote, and 32 more are looked at. */
#define PLAIN_AHEAD 34

#ifdef USES_SSE2

/* A bit for each of 16 bytes that does not stand for itself in a string: quotes, backslashes, control characters, and what is
   not ASCII (compared as signed, a byte of 0x80 or more is less than ' ' too). */
static inline unsigned plain_special16 (const char *p) {
  const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');
  const __m128i bytes = sse2_load(p);
  return (unsigned)_mm_movemask_epi8(_mm_or_si128(
    _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)), _mm_cmplt_epi8(bytes, space)));
}

/*
** A bit for each of 32 bytes. Most of a record is strings, and nearly all of them are plain, so this is where the time goes. Most
** strings end in 32 bytes: a loop over 16 takes as many instructions, and the processor guesses wrong how often it goes round.
*/
static inline unsigned plain_special (const char *p) { return plain_special16(p) | plain_special16(p + 16) << 16; }

/* How many bytes of a string are plain at p, up to 32 and where so many are there. */
static inline size_t plain_run (const char *p, const char *end) {
  if (end - p < 32) return 0;
  const unsigned special = plain_special(p);
  return special == 0 ? 32 : (size_t)__builtin_ctz(special);
}

/* The byte after the string whose first character is at p, or NULL. 32 bytes are there. */
static inline const char *plain_string (const char *p, const char *end) {
  do {
    const unsigned special = plain_special(p);
    if (special == 0) continue;
    p += __builtin_ctz(special);
    return *p == '"' ? p + 1 : NULL;
  } while (end - (p += 32) >= 32);
  return NULL;
}

/* How many digits stand at p, of 16 bytes. */
static inline int plain_digits (const char *p) {
  const __m128i value = _mm_sub_epi8(sse2_load(p), _mm_set1_epi8('0'));
  const __m128i no_digit = _mm_cmpeq_epi8(_mm_max_epu8(value, _mm_set1_epi8(10)), value);
  return __builtin_ctz((unsigned)_mm_movemask_epi8(no_digit) | 0x10000);
}

/* The byte after digits with a point among them or none, as nearly all numbers are, or NULL: without a loop, for processors
   cannot guess how long one is. */
static inline const char *plain_number (const char *p) {
  const int whole = plain_digits(p);
  if (whole == 0 || whole == 16 || (*p == '0' && whole > 1)) return NULL;
  p += whole;
  if (*p == '.') {
    const int places = plain_digits(p + 1);
    if (places == 0 || places == 16) return NULL;
    p += 1 + places;
  }
  return (*p | ('e' ^ 'E')) == 'e' ? NULL : p;
}

/* The byte after the value at p, or NULL. */
static inline const char *plain_value (const char *p, const char *end) {
  if (*p == '"') return plain_string(p + 1, end);
  if (*p == 'n') return memcmp(p, "null", 4) == 0 ? p + 4 : NULL;
  if (*p == 'f') return memcmp(p, "false", 5) == 0 ? p + 5 : NULL;
  if (*p == 't') return memcmp(p, "true", 4) == 0 ? p + 4 : NULL;
  return plain_number(p);
}

/* The byte after as many members of an object as are plain and have no white space between them. A member stands before p. */
static inline const char *plain_members (const char *p, const char *end) {
  while (end - p >= PLAIN_AHEAD && p[0] == ',' && p[1] == '"') {
    const char *value = plain_string(p + 2, end);
    if (value == NULL || *value != ':' || end - value <= PLAIN_AHEAD || (value = plain_value(value + 1, end)) == NULL) break;
    p = value;
  }
  return p;
}

#else

static inline size_t plain_run (const char *p, const char *end) {
  (void)p, (void)end;
  return 0;
}

static inline const char *plain_number (const char *p) {
  (void)p;
  return NULL;
}

static inline const char *plain_members (const char *p, const char *end) {
  (void)end;
  return p;
}

#endif

#endif

/*
** fields: the members of a generation record as data (see fields.def)
*/
#ifndef fields_h
#define fields_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum field {
#define FIELD(name, type, unit, nullable, presence, description) FIELD_##name,
#include "fields.def"
  FIELD_COUNT
};

enum response_field {
#define RESPONSE(name, type, unit, nullable, presence, description) RESPONSE_##name,
#include "fields.def"
  RESPONSE_COUNT
};

/* The first two read as strings. */
enum field_type { TYPE_STRING, TYPE_ENUM, TYPE_BOOLEAN, TYPE_INTEGER, TYPE_NUMBER, TYPE_MONEY, TYPE_LIST };

enum field_presence { PRESENCE_REQUIRED, PRESENCE_OPTIONAL, PRESENCE_RETIRED };

struct field_info {
  const char *name;
  size_t name_length;
  enum field_type type;
  const char *unit;  /* "USD", "ms", "tokens", "count" or "" */
  bool nullable;
  enum field_presence presence;
  const char *description;
};

extern const struct field_info field_info[FIELD_COUNT];
extern const struct field_info response_info[RESPONSE_COUNT];

/* A member's name as it stands in a record: ,"name": */
#define FIELD_SPELT 40  /* room for the longest, and for 32 bytes to be looked at whatever the length */
struct field_spelling {
  char text[FIELD_SPELT];
  uint32_t length;
  uint32_t beyond;  /* a bit for each of the first 32 bytes that is behind the name */
};
extern const struct field_spelling field_spelling[FIELD_COUNT];

/* "string", "boolean", "integer", "number" or "array": what a reader of the value gets */
const char *field_type_name (enum field_type type);

/* The bits by which 8 bytes differ. */
static inline uint64_t field_difference (const char *p, const char *q) {
  uint64_t a, b;
  memcpy(&a, p, 8);
  memcpy(&b, q, 8);
  return a ^ b;
}

/* Whether n bytes are the same, for the length of a name: four comparisons that may overlap, without a branch that would
   depend on n. */
static inline bool field_same (const char *p, const char *q, size_t n) {
#ifdef OPENROUTER_NO_WORDS
  return memcmp(p, q, n) == 0;
#endif
  if (n < 8 || n > 32) return memcmp(p, q, n) == 0;
  const size_t last = n - 8, second = last < 8 ? last : 8, third = last < 16 ? last : 16;
  return (field_difference(p, q) | field_difference(p + second, q + second) | field_difference(p + third, q + third)
          | field_difference(p + last, q + last)) == 0;
}

/* Index of the member called `name`, or -1. */
int field_find (const char *name, size_t length);
int response_find (const char *name, size_t length);

/* The values an ENUM is known to have: calls with n = 0, 1, … until NULL. */
const char *field_choice (const char *field, int n);

#endif

/*
** fields: the members of a generation record as data (see fields.def)
*/
#ifndef fields_h
#define fields_h

#include <stdbool.h>
#include <stddef.h>
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

enum field_type { TYPE_STRING, TYPE_ENUM /* these two read as strings */, TYPE_BOOLEAN, TYPE_INTEGER, TYPE_NUMBER, TYPE_MONEY, TYPE_LIST };

enum field_presence { PRESENCE_REQUIRED, PRESENCE_OPTIONAL, PRESENCE_RETIRED };

struct field_info {
  const char *name;
  size_t name_length;
  const char *spelt;  /* as it stands in a record: ,"name": */
  enum field_type type;
  const char *unit;  /* "USD", "ms", "tokens", "count" or "" */
  bool nullable;
  enum field_presence presence;
  const char *description;
};

extern const struct field_info field_info[FIELD_COUNT];
extern const struct field_info response_info[RESPONSE_COUNT];

/* "string", "boolean", "integer", "number" or "array": what a reader of the value gets */
const char *field_type_name (enum field_type type);

/* Whether n bytes are the same. A memcmp of constant size is a comparison of integers; two of them may overlap. */
static inline bool field_same (const char *p, const char *q, size_t n) {
  if (n < 8) return memcmp(p, q, n) == 0;
  if (n < 16) return memcmp(p, q, 8) == 0 && memcmp(p + n - 8, q + n - 8, 8) == 0;
  for (; n > 32; n -= 16, p += 16, q += 16)
    if (memcmp(p, q, 16) != 0) return false;
  return memcmp(p, q, 16) == 0 && memcmp(p + n - 16, q + n - 16, 16) == 0;
}

/* Index of the member called `name`, or -1. */
int field_find (const char *name, size_t length);
int response_find (const char *name, size_t length);

/* The values an ENUM is known to have: calls with n = 0, 1, … until NULL. */
const char *field_choice (const char *field, int n);

#endif

/*
** fields: the members of a generation record as data (see fields.def)
*/
#ifndef fields_h
#define fields_h

#include <stdbool.h>
#include <stddef.h>

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

/* "string", "boolean", "integer", "number" or "array": what a reader of the value gets */
const char *field_type_name (enum field_type type);

/* Index of the member called `name`, or -1. `guess` (any number) is tried first: members arrive in the table's order. */
int field_find (const char *name, size_t length, int guess);
int response_find (const char *name, size_t length);

/* The values an ENUM is known to have: calls with n = 0, 1, … until NULL. */
const char *field_choice (const char *field, int n);

#endif

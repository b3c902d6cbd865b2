#include "fields.h"

#include <string.h>

#define NULLABLE true
#define NOT_NULL false
#define ROW(name, type, unit, nullable, presence, description) \
  { #name, sizeof #name - 1, TYPE_##type, unit, nullable, PRESENCE_##presence, description },

const struct field_info field_info[FIELD_COUNT] = {
#define FIELD ROW
#include "fields.def"
};

const struct field_info response_info[RESPONSE_COUNT] = {
#define RESPONSE ROW
#include "fields.def"
};

static const struct {
  const char *field, *value;
} choices[] = {
#define CHOICE(field, value) { #field, value },
#include "fields.def"
};

const char *field_type_name (enum field_type type) {
  switch (type) {
    case TYPE_BOOLEAN: return "boolean";
    case TYPE_INTEGER: return "integer";
    case TYPE_NUMBER: case TYPE_MONEY: return "number";
    case TYPE_LIST: return "array";
    default: return "string";
  }
}

static bool named (const struct field_info *info, const char *name, size_t length) {
  return info->name_length == length && memcmp(info->name, name, length) == 0;
}

int field_find (const char *name, size_t length, int guess) {
  int start = guess >= 0 && guess < FIELD_COUNT ? guess : 0, i = start;
  do {
    if (named(&field_info[i], name, length)) return i;
    if (++i == FIELD_COUNT) i = 0;
  } while (i != start);
  return -1;
}

int response_find (const char *name, size_t length) {
  for (int i = 0; i < RESPONSE_COUNT; i++)
    if (named(&response_info[i], name, length))
      return i;
  return -1;
}

const char *field_choice (const char *field, int n) {
  for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++)
    if (strcmp(choices[i].field, field) == 0 && n-- == 0)
      return choices[i].value;
  return NULL;
}

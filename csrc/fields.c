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

#define SPELT(name) (sizeof #name + 3)
const struct field_spelling field_spelling[FIELD_COUNT] = {
#define FIELD(name, type, unit, nullable, presence, description) \
  { ",\"" #name "\":", SPELT(name), SPELT(name) < 32 ? UINT32_MAX << SPELT(name) % 32 : 0 },
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
  return info->name_length == length && field_same(info->name, name, length);
}

#ifndef OPENROUTER_NO_FIELD_HASH

#define SLOT(hash, name)
#include "slots.def"
#undef SLOT
#define SLOTS 128

/* The field + 1 whose name has this hash; 0: none. */
static const unsigned char slot[SLOTS] = {
#define SLOT(hash, name) [hash] = FIELD_##name + 1,
#include "slots.def"
};

int field_find (const char *name, size_t length) {
  const unsigned char *c = (const unsigned char *)name;
  if (length == 0) return -1;
  size_t hash = length * HASH_LENGTH + c[0] * (size_t)HASH_FIRST + c[length / 2] * (size_t)HASH_MIDDLE + c[length - 1];
  int field = slot[hash % SLOTS] - 1;
  return field >= 0 && named(&field_info[field], name, length) ? field : -1;
}

#else

int field_find (const char *name, size_t length) {
  for (int i = 0; i < FIELD_COUNT; i++)
    if (named(&field_info[i], name, length)) return i;
  return -1;
}

#endif

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

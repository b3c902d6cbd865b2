/*
** The same with simdjson On-Demand:  simdjson FILE PASSES fields|iterate|document
**
** "fields" asks for all 45 members in the order they are written in (find_field), which is the fastest way it has; "iterate" goes
** through the members as they come and finds out which is which, as has to be done when the order is not known. Both
** read every value: a double, an integer, a boolean or the characters. "document" parses the lines and reads nothing.
*/
#include <simdjson.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace od = simdjson::ondemand;

enum type { STRING, ENUM = STRING, BOOLEAN, INTEGER, NUMBER, MONEY = NUMBER, LIST };
enum presence { REQUIRED, OPTIONAL, RETIRED };
struct field { const char *name; size_t length; type what; presence presence_; };
static const field fields[] = {
#define FIELD(name, type, unit, nullable, presence, description) { #name, sizeof #name - 1, type, presence },
#include "fields.def"
};
static const int FIELDS = sizeof fields / sizeof fields[0];

static double sum;

static void read_value (const field &f, od::value value) {
  if (f.what == LIST) {
    for (auto item : value.get_array()) {
      od::object entry = item.get_object();
      for (auto member : entry) sum += (double)std::string_view(member.value().raw_json_token()).size() > 0;
    }
    return;
  }
  if (value.is_null()) return;
  switch (f.what) {
    case BOOLEAN: sum += value.get_bool(); break;
    case INTEGER: sum += (double)value.get_int64(); break;
    case NUMBER: sum += value.get_double(); break;
    default: sum += (double)std::string_view(value.get_string()).size();
  }
}

static const field *find (const char *name, size_t length) {  /* SLOT as in csrc/fields.c */
#define SLOT(hash, name)
#include "slots.def"
#undef SLOT
  enum names {
#define FIELD(name, type, unit, nullable, presence, description) FIELD_##name,
#include "fields.def"
  };
  static unsigned char slot[128];
  static bool filled = false;
  if (!filled) {
#define SLOT(hash, name) slot[hash] = FIELD_##name + 1;
#include "slots.def"
    filled = true;
  }
  const unsigned char *c = (const unsigned char *)name;
  if (length == 0) return nullptr;
  size_t hash = length * HASH_LENGTH + c[0] * HASH_FIRST + c[length / 2] * HASH_MIDDLE + c[length - 1];
  int i = slot[hash % 128] - 1;
  return i >= 0 && fields[i].length == length && memcmp(fields[i].name, name, length) == 0 ? &fields[i] : nullptr;
}

static void read_record (od::object data, char mode) {
  if (mode == 'f') {
    for (int i = 0; i < FIELDS; i++) {
      if (fields[i].presence_ == RETIRED) continue;
      read_value(fields[i], data.find_field(std::string_view(fields[i].name, fields[i].length)).value());
    }
    return;
  }
  for (auto member : data) {
    std::string_view name = member.unescaped_key();
    const field *f = find(name.data(), name.size());
    if (f != nullptr) read_value(*f, member.value());
  }
}

int main (int argc, char **argv) {
  if (argc < 4) return 2;
  auto text = simdjson::padded_string::load(argv[1]).value();
  od::parser parser;
  double best = 1e300;
  long count = 0;
  for (int pass = atoi(argv[2]); pass > 0; pass--) {
    auto start = std::chrono::steady_clock::now();
    count = 0;
    od::document_stream stream = parser.iterate_many(text, 1000000);
    for (auto doc : stream) {
      if (*argv[3] != 'd') read_record(doc["data"].get_object(), *argv[3]);
      count++;
    }
    double taken = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / (double)count;
    if (taken < best) best = taken;
  }
  printf("%.1f ns a record, %ld records, %g\n", best, count, sum);
  return 0;
}

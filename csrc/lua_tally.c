/*
** core.tally { dimensions = names, more = { names, … }, sums = names, spreads = names, zone = zone, since = seconds,
**   ["until"] = seconds, first_day = days, last_day = days, where = { { name, value, … }, … }, dearest = count,
**   health = boolean } -> tally
**
** A dimension is a field, "hour", "day", "week" or "month" (of the zone, or of UTC where there is none) or
** "context.<name>"; `more` are further sets of groups. A sum is one of those in `plain_sums` below or a field of money or
** integers; a spread is a field of numbers or integers; `where` has dimensions too. Whoever wants the dearest has "spend" as the
** first sum. report.lua checks the names before, so a wrong one here is a fault of the program and raises. Groups are numbered
** from 1 through all sets, group 0 is the total; sums and spreads by their place in the declaration.
*/
#include "lua_tally.h"

#include "lua_path.h"
#include "lua_record.h"
#include "histogram.h"
#include "lua_zone.h"
#include "tally_file.h"
#include "unpack.h"
#include "utc.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define TALLY_METATABLE "openrouter.tally"
#define READING_METATABLE "openrouter.reading"

struct handle {
  struct tally *tally;
  struct tally_declaration declaration;  /* what it points to is the caller's and gone after the constructor */
  bool reading;                          /* a file is being read into it */
  int sums;                              /* measures 0 … sums - 1; behind them the spreads */
};

static struct handle *check_handle (lua_State *L) {
  struct handle *h = (struct handle *)luaL_checkudata(L, 1, TALLY_METATABLE);
  luaL_argcheck(L, h->tally != NULL, 1, "a tally that was never made");
  luaL_argcheck(L, !h->reading, 1, "a file is being read into this tally");
  return h;
}

/* For reading: with one record for each id. */
static struct handle *check_resolved (lua_State *L) {
  struct handle *h = check_handle(L);
  if (!tally_resolve(h->tally)) luaL_error(L, "not enough memory");
  return h;
}

static int handle_gc (lua_State *L) {
  struct handle *h = (struct handle *)luaL_checkudata(L, 1, TALLY_METATABLE);
  tally_free(h->tally);
  h->tally = NULL;
  return 0;
}

/* ---- making one -------------------------------------------------------------------------------------------------- */

/* The string at place i (from 0) of the list on top of the stack; the list keeps it alive. */
static const char *name_at (lua_State *L, int i, size_t *length) {
  lua_rawgeti(L, -1, i + 1);
  if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "tally: a name must be a string");
  const char *name = lua_tolstring(L, -1, length);
  lua_pop(L, 1);
  return name;
}

/* Push the list called `list` of the declaration (argument 1) and return its length, `most` at most. */
static int push_names (lua_State *L, const char *list, int most) {
  lua_pushstring(L, list);
  lua_rawget(L, 1);  /* raw, as the names in it are used while more is read */
  luaL_checktype(L, -1, LUA_TTABLE);
  if (compat_rawlen(L, -1) > (size_t)most) luaL_error(L, "tally: more than %d %s", most, list);
  return (int)compat_rawlen(L, -1);
}

/* The kind of a dimension of time; TALLY_FIELD for another name. */
static enum tally_dimension_kind time_kind (const char *name) {
  static const char *const names[] = { "hour", "day", "week", "month" };
  for (int i = 0; i < 4; i++)
    if (strcmp(name, names[i]) == 0) return (enum tally_dimension_kind)(TALLY_HOUR + i);
  return TALLY_FIELD;
}

static void set_dimension (lua_State *L, struct tally_dimension *d, const char *name, size_t length) {
  static const char prefix[] = "context.";
  const size_t prefix_length = sizeof prefix - 1;
  d->kind = time_kind(name);
  d->field = field_find(name, length);
  if (d->kind != TALLY_FIELD) return;
  if (length > prefix_length && memcmp(name, prefix, prefix_length) == 0) {
    d->kind = TALLY_CONTEXT;
    d->name = name + prefix_length;
    d->length = length - prefix_length;
  } else if (d->field < 0 || field_info[d->field].type == TYPE_LIST) {
    luaL_error(L, "tally: no dimension is called '%s'", name);
  }
}

static const struct { const char *name; enum tally_measure_kind kind; } plain_sums[] = {
  { "spend", TALLY_SPEND }, { "spend_openrouter", TALLY_SPEND_OPENROUTER }, { "spend_upstream", TALLY_SPEND_UPSTREAM },
  { "charged", TALLY_CHARGED }, { "cancelled", TALLY_CANCELLED }, { "byok", TALLY_BYOK },
  { "failed_attempts", TALLY_FAILED_ATTEMPTS },
  { "failed_attempts_latency", TALLY_FAILED_LATENCY }, { "first", TALLY_FIRST }, { "last", TALLY_LAST },
  { "requests", TALLY_REQUESTS }
};

static void set_sum (lua_State *L, struct tally_measure *m, const char *name, size_t length) {
  for (size_t i = 0; i < sizeof plain_sums / sizeof plain_sums[0]; i++) {
    if (strcmp(name, plain_sums[i].name) != 0) continue;
    m->kind = plain_sums[i].kind;
    return;
  }
  m->kind = TALLY_SUM;
  m->field = field_find(name, length);
  if (m->field < 0 || (field_info[m->field].type != TYPE_MONEY && field_info[m->field].type != TYPE_INTEGER))
    luaL_error(L, "tally: '%s' cannot be summed up", name);
}

static void set_spread (lua_State *L, struct tally_measure *m, const char *name, size_t length) {
  m->kind = TALLY_SPREAD;
  m->field = field_find(name, length);
  if (m->field < 0 || (field_info[m->field].type != TYPE_NUMBER && field_info[m->field].type != TYPE_INTEGER))
    luaL_error(L, "tally: '%s' has no quantiles", name);
}

static void read_measures (lua_State *L, struct tally_declaration *d, const char *list,
                           void (*set) (lua_State *L, struct tally_measure *m, const char *name, size_t length)) {
  size_t length;
  int count = push_names(L, list, TALLY_MAX_MEASURES - d->measures);
  for (int i = 0; i < count; i++) {
    const char *name = name_at(L, i, &length);
    set(L, &d->measure[d->measures++], name, length);
  }
  lua_pop(L, 1);
}

static void read_zone (lua_State *L, struct tally_declaration *d) {
  lua_pushliteral(L, "zone");
  lua_rawget(L, 1);
  if (!lua_isnil(L, -1)) d->zone = zone_check(L, lua_gettop(L));
}

/* A number of the declaration, or what stands for none. */
static double read_limit (lua_State *L, struct tally_period *p, const char *name, double none) {
  lua_pushstring(L, name);
  lua_rawget(L, 1);
  if (lua_isnil(L, -1)) return none;
  p->limited = true;
  return luaL_checknumber(L, lua_gettop(L));
}

static void read_period (lua_State *L, struct tally_period *p) {
  static const double far = 1e15;  /* days and seconds */
  p->since = read_limit(L, p, "since", -HUGE_VAL);
  p->until = read_limit(L, p, "until", HUGE_VAL);
  const double first = read_limit(L, p, "first_day", -far), last = read_limit(L, p, "last_day", far);
  if (!(first >= -far && first <= far && last >= -far && last <= far)) luaL_error(L, "tally: no such day");
  p->first_day = (int64_t)first;
  p->last_day = (int64_t)last;
}

static void read_number (lua_State *L, struct tally_key *key) {
  key->type = TALLY_NUMBER;
  key->number = lua_tonumber(L, -1);
#if LUA_VERSION_NUM >= 503
  if (!lua_isinteger(L, -1)) return;
  key->type = TALLY_INTEGER;
  key->integer = lua_tointeger(L, -1);
#endif
}

/* The value on top of the stack. A list has the text of a number, which a Lua number may be unable to hold. */
static void read_value (lua_State *L, struct tally_key *key) {
  size_t length;
  switch (lua_type(L, -1)) {
    case LUA_TSTRING: key->type = TALLY_STRING; key->text = lua_tolstring(L, -1, &key->length); break;
    case LUA_TTABLE: key->type = TALLY_SPELT; key->text = name_at(L, 0, &length); break;
    case LUA_TNUMBER: read_number(L, key); break;
    case LUA_TBOOLEAN: key->type = TALLY_BOOLEAN; key->integer = lua_toboolean(L, -1); break;
    default: luaL_error(L, "tally: a condition must be a string, number or boolean");
  }
}

/* The condition on top of the stack: { name, value, … }. Its values are left there in its place. */
static void read_condition (lua_State *L, struct tally_condition *c, size_t most) {
  size_t length;
  luaL_checktype(L, lua_gettop(L), LUA_TTABLE);
  const size_t count = compat_rawlen(L, -1);
  if (count < 1 || count - 1 > most) luaL_error(L, "tally: no value, or more than %d", TALLY_MAX_VALUES);
  const char *name = name_at(L, 0, &length);
  set_dimension(L, &c->dimension, name, length);
  struct tally_key *value = (struct tally_key *)compat_newuserdata(L, count * sizeof *value);
  memset(value, 0, count * sizeof *value);
  lua_insert(L, -2);
  for (size_t i = 1; i < count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    read_value(L, &value[i - 1]);
    lua_pop(L, 1);  /* the list keeps it */
  }
  lua_pop(L, 1);
  c->value = value;
  c->values = (int)count - 1;
}

static void read_conditions (lua_State *L, struct tally_declaration *d) {
  size_t left = TALLY_MAX_VALUES;
  lua_pushliteral(L, "where");
  lua_rawget(L, 1);
  if (lua_isnil(L, -1)) return;
  const int list = lua_gettop(L), count = push_names(L, "where", TALLY_MAX_CONDITIONS);
  luaL_checkstack(L, count + 8, "too many conditions");
  for (int i = 0; i < count; i++) {
    struct tally_condition *c = &d->condition[d->conditions++];
    lua_rawgeti(L, list, i + 1);
    read_condition(L, c, left);
    left -= (size_t)c->values;
  }
}

/* The list of names on top of the stack as a set of dimensions. */
static void read_set (lua_State *L, struct tally_set *set) {
  size_t length;
  luaL_checktype(L, lua_gettop(L), LUA_TTABLE);
  if (compat_rawlen(L, -1) > TALLY_MAX_DIMENSIONS) luaL_error(L, "tally: more than %d dimensions", TALLY_MAX_DIMENSIONS);
  set->dimensions = (int)compat_rawlen(L, -1);
  for (int i = 0; i < set->dimensions; i++) {
    const char *name = name_at(L, i, &length);
    set_dimension(L, &set->dimension[i], name, length);
  }
}

static void read_sets (lua_State *L, struct tally_declaration *d) {
  push_names(L, "dimensions", TALLY_MAX_DIMENSIONS);
  read_set(L, &d->set[0]);
  lua_pop(L, 1);
  lua_pushliteral(L, "more");
  lua_rawget(L, 1);
  d->sets = 1;
  if (!lua_isnil(L, -1)) {
    luaL_checktype(L, -1, LUA_TTABLE);
    const int more = (int)compat_rawlen(L, -1);
    if (more > TALLY_MAX_SETS - 1) luaL_error(L, "tally: more than %d sets", TALLY_MAX_SETS);
    for (; d->sets <= more; d->sets++) {
      lua_rawgeti(L, -1, d->sets);
      read_set(L, &d->set[d->sets]);
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
}

static void read_lists (lua_State *L, struct tally_declaration *d) {
  lua_pushliteral(L, "dearest");
  lua_rawget(L, 1);
  lua_pushliteral(L, "health");
  lua_rawget(L, 1);
  d->health = lua_toboolean(L, -1);
  const lua_Number dearest = lua_tonumber(L, -2);
  if (!(dearest >= 0 && dearest <= TALLY_MAX_DEAREST)) luaL_error(L, "tally: no such number of the dearest");
  d->dearest = (int)dearest;
  if (d->dearest > 0 && (d->measures == 0 || d->measure[0].kind != TALLY_SPEND))
    luaL_error(L, "tally: the first sum must be spend");
  lua_pop(L, 2);
}

static void check_requests (lua_State *L, const struct tally_declaration *d) {
  int count = 0;
  for (int i = 0; i < d->measures; i++) count += d->measure[i].kind == TALLY_REQUESTS;
  if (count > 1) luaL_error(L, "tally: requests can be counted once");
}

/* Names, zone and values are left where they are safe until the tally has copies. */
static void read_declaration (lua_State *L, struct handle *h) {
  struct tally_declaration *d = &h->declaration;
  read_sets(L, d);
  read_measures(L, d, "sums", set_sum);
  h->sums = d->measures;
  check_requests(L, d);
  read_measures(L, d, "spreads", set_spread);
  read_lists(L, d);
  read_zone(L, d);
  read_period(L, &d->period);
  read_conditions(L, d);
}

static int new_tally (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  struct handle *h = (struct handle *)compat_newuserdata(L, sizeof *h);
  memset(h, 0, sizeof *h);
  luaL_getmetatable(L, TALLY_METATABLE);
  lua_setmetatable(L, -2);
  read_declaration(L, h);
  const uint64_t now = (uint64_t)time(NULL), secret[2] = { (uint64_t)(uintptr_t)h, now ^ (uint64_t)(uintptr_t)L << 16 };
  h->tally = tally_new(&h->declaration, secret);
  lua_settop(L, 2);
  return h->tally ? 1 : luaL_error(L, "not enough memory");
}

/* ---- adding ------------------------------------------------------------------------------------------------------ */

static int push_refusal (lua_State *L, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  return 2;
}

/* tally:add(record) -> true | nil, reason */
static int add_record (lua_State *L) {
  struct handle *h = check_handle(L);
  const char *why;
  if (!tally_add(h->tally, record_peek(L, 2), &why)) return push_refusal(L, why);
  lua_pushboolean(L, 1);
  return 1;
}

/* What add_line says of a line that fits, in the order of enum tally_line. They are upvalues: once a line has been added,
   there may be no memory to make a string. */
static const char *const line_names[] = { "blank", "generation", "failed", "open" };
enum { LINE_NAMES = sizeof line_names / sizeof line_names[0] };

/* tally:add_line(line) -> "generation" | "failed" | "open" | "blank" | nil, reason, whether the line is no JSON at all */
static int add_line (lua_State *L) {
  struct handle *h = check_handle(L);
  size_t length;
  const char *why = "", *line = luaL_checklstring(L, 2, &length);
  enum tally_line what = tally_add_line(h->tally, line, length, TALLY_KEEP, &why);
  if (what < TALLY_MALFORMED) {
    lua_pushvalue(L, lua_upvalueindex(1 + (int)what));
    return 1;
  }
  push_refusal(L, why);
  lua_pushboolean(L, what == TALLY_MALFORMED);
  return 3;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* tally:is_counted(line) -> boolean: whether the record in it is in a group, and not another one of its id */
static int is_counted (lua_State *L) {
  const struct handle *h = check_resolved(L);
  size_t length;
  const char *line = luaL_checklstring(L, 2, &length);
  bool counts;
  if (!tally_line_counts(h->tally, line, length, &counts)) return luaL_error(L, "not enough memory");
  lua_pushboolean(L, counts);
  return 1;
}

/* tally:groups([set]) -> how many groups the set has, those without records among them, and how many come before them */
static int count_groups (lua_State *L) {
  struct handle *h = check_resolved(L);
  const lua_Integer set = luaL_optinteger(L, 2, 1);
  size_t before = 0;
  luaL_argcheck(L, set >= 1 && set <= h->declaration.sets, 2, "no such set");
  for (int i = 0; i < set - 1; i++) before += tally_groups(h->tally, i);
  compat_integer(L, tally_groups(h->tally, (int)set - 1));
  compat_integer(L, before);
  return 2;
}

/* The group called for by argument 2, and its set, -1 for the total. */
static const struct tally_group *check_group (lua_State *L, const struct handle *h, int *set) {
  lua_Integer i = luaL_checkinteger(L, 2);
  *set = -1;
  if (i == 0) return tally_total(h->tally);
  luaL_argcheck(L, i > 0, 2, "no such group");
  for (*set = 0; *set < h->declaration.sets; ++*set) {
    const size_t count = tally_groups(h->tally, *set);
    if ((size_t)i <= count) return tally_group(h->tally, *set, (size_t)i - 1);
    i -= (lua_Integer)count;
  }
  luaL_argerror(L, 2, "no such group");
  return NULL;
}

static int check_place (lua_State *L, int argument, int count) {
  lua_Integer i = luaL_checkinteger(L, argument);
  luaL_argcheck(L, i >= 1 && i <= count, argument, "no such measure");
  return (int)i - 1;
}

/* tally:generations(group) -> how many records */
static int group_generations (lua_State *L) {
  int set;
  uint32_t count = tally_generations(check_group(L, check_resolved(L), &set));
  compat_integer(L, count);
  return 1;
}

static void push_key (lua_State *L, const struct tally_key *key) {
  switch (key->type) {
    case TALLY_STRING: lua_pushlstring(L, key->text, key->length); break;
    case TALLY_INTEGER: compat_integer(L, key->integer); break;
    case TALLY_NUMBER: lua_pushnumber(L, key->number); break;
    default: lua_pushboolean(L, key->integer != 0);
  }
}

/* tally:key(group) -> the value in each dimension of its set; nothing for the total */
static int group_key (lua_State *L) {
  struct handle *h = check_resolved(L);
  int set;
  const struct tally_group *g = check_group(L, h, &set);
  struct tally_key key;
  const char *cursor = NULL;
  const int count = set < 0 ? 0 : h->declaration.set[set].dimensions;
  luaL_checkstack(L, count, "too many dimensions");
  for (int i = 0; i < count; i++) {
    tally_next_key(g, &cursor, &key);
    push_key(L, &key);
  }
  return count;
}

/* What stands as if it were money, as a number, times a power of ten. */
static void push_scaled (lua_State *L, const struct money_sum *sum, const char *power) {
  char text[MONEY_SUM_TEXT_SIZE + 4];
  double number = 0;
  strcpy(text + money_sum_format(text, sum), power);
  json_double(text, &number);
  lua_pushnumber(L, number);
}

/* A sum of integers; a double where Lua's integers end. */
static void push_integer_sum (lua_State *L, const struct money_sum *sum) {
  const bool negative = sum->top < 0;
  const uint64_t rest = negative ? UINT64_MAX : 0;
  if ((uint64_t)sum->top == rest && sum->high == rest && sum->low >> 63 == (uint64_t)negative) {
    int64_t value;
    memcpy(&value, &sum->low, sizeof value);
    compat_integer(L, value);
    return;
  }
  push_scaled(L, sum, "e27");
}

static void push_money (lua_State *L, const struct money_sum *sum) {
  char text[MONEY_SUM_TEXT_SIZE];
  size_t length = money_sum_format(text, sum);
  lua_pushnumber(L, money_sum_double(sum));
  lua_pushlstring(L, text, length);
}

/* RFC 3339, in the zone of the tally; "" outside of the years 0 to 9999. */
static void push_time (lua_State *L, const struct zone *zone, double seconds) {
  char text[UTC_SIZE];
  struct zone_span span = { 0, 0, 0 };
  const int offset = zone ? zone_offset(zone, &span, (int64_t)floor(seconds)) : 0;
  const size_t length = utc_format(text, seconds + offset);
  const int minutes = (offset < 0 ? -offset : offset) / 60;
  if (zone == NULL || length == 0) lua_pushlstring(L, text, length);
  else lua_pushfstring(L, "%s%s%d%d:%d%d", (text[length - 1] = '\0', text), offset < 0 ? "-" : "+", minutes / 600,
                       minutes / 60 % 10, minutes % 60 / 10, minutes % 10);
}

/* tally:sum(group, place) -> how many records have a value, their sum [, exactly, where it is money]; of a time, Unix time and
   text */
static int group_sum (lua_State *L) {
  struct handle *h = check_resolved(L);
  int set;
  const struct tally_group *g = check_group(L, h, &set);
  int measure = check_place(L, 3, h->sums);
  const struct tally_measure *m = &h->declaration.measure[measure];
  struct money_sum sum;
  double seconds;
  uint32_t values = tally_sum(g, measure, &sum);
  compat_integer(L, values);
  switch (m->kind) {
    case TALLY_SPEND: case TALLY_SPEND_OPENROUTER: case TALLY_SPEND_UPSTREAM: case TALLY_CHARGED:
      push_money(L, &sum);
      return 3;
    case TALLY_FAILED_LATENCY: push_scaled(L, &sum, ""); return 2;
    case TALLY_FIRST: case TALLY_LAST:
      if (!tally_time(g, measure, &seconds)) return 1;
      lua_pushnumber(L, seconds);
      push_time(L, tally_zone(h->tally), seconds);
      return 3;
    default: break;
  }
  if (m->kind == TALLY_SUM && field_info[m->field].type == TYPE_MONEY) {
    push_money(L, &sum);
    return 3;
  }
  push_integer_sum(L, &sum);
  return 2;
}

static bool is_integer_spread (const struct handle *h, int measure) {
  return field_info[h->declaration.measure[measure].field].type == TYPE_INTEGER;
}

/* tally:quantile(group, place, percent) -> number, or nil where no record has a value */
static int group_quantile (lua_State *L) {
  struct handle *h = check_resolved(L);
  int set;
  const struct tally_group *g = check_group(L, h, &set);
  int measure = h->sums + check_place(L, 3, h->declaration.measures - h->sums);
  lua_Integer percent = luaL_checkinteger(L, 4);
  double value;
  luaL_argcheck(L, percent >= 0 && percent <= 100, 4, "not a percentage");
  if (!tally_quantile(h->tally, g, measure, (int)percent, &value)) return 0;
  if (is_integer_spread(h, measure) && value < 9007199254740992.0) compat_integer(L, value);
  else lua_pushnumber(L, value);
  return 1;
}

/* tally:histogram(group, place) -> { { from = , to = , count = }, … }, those with records, rising */
static int group_histogram (lua_State *L) {
  struct handle *h = check_resolved(L);
  int set, entries = 0;
  const struct tally_group *g = check_group(L, h, &set);
  const struct histogram *spread = tally_histogram(g, h->sums + check_place(L, 3, h->declaration.measures - h->sums));
  double from, to;
  lua_newtable(L);
  for (int i = spread->first; i < spread->first + spread->size; i++) {  /* a finalizer may make it begin earlier */
    const uint32_t count = spread->count[i - spread->first];
    if (count == 0) continue;
    histogram_bounds(i, &from, &to);
    lua_createtable(L, 0, 3);
    lua_pushnumber(L, from);
    lua_setfield(L, -2, "from");
    lua_pushnumber(L, to);
    lua_setfield(L, -2, "to");
    compat_integer(L, count);
    lua_setfield(L, -2, "count");
    lua_rawseti(L, -2, ++entries);
  }
  return 1;
}

/* tally:dearest() -> { text, … }: records with the members that a list shows, the greatest spend first */
static int list_dearest (lua_State *L) {
  struct handle *h = check_resolved(L);
  size_t length, room;
  const char *text;
  int i = 0;
  lua_newtable(L);
  while (tally_dearest(h->tally, i, &room) != NULL) {
    char *copy = (char *)compat_newuserdata(L, room);  /* see FINALIZERS in lua_compat.h */
    if ((text = tally_dearest(h->tally, i, &length)) != NULL && length <= room) {
      memcpy(copy, text, length);
      lua_pushlstring(L, copy, length);
      lua_rawseti(L, -3, ++i);
    }
    lua_pop(L, 1);
  }
  return 1;
}

static void push_count (lua_State *L, const char *name, uint64_t count) {
  compat_integer(L, count);
  lua_setfield(L, -2, name);
}

/* tally:providers() -> { { provider_name = , attempts = , failed_attempts = , failed_attempts_latency = ms }, … } */
static int list_providers (lua_State *L) {
  struct handle *h = check_resolved(L);
  struct tally_provider p;
  int entries = 0;
  lua_newtable(L);
  for (size_t i = 0; tally_provider(h->tally, i, &p); i++) {
    if (p.attempts == 0) continue;
    lua_createtable(L, 0, 4);
    lua_pushlstring(L, p.name, p.length);
    lua_setfield(L, -2, "provider_name");
    push_count(L, "attempts", p.attempts);
    push_count(L, "failed_attempts", p.failed);
    push_scaled(L, &p.failed_latency, "");
    lua_setfield(L, -2, "failed_attempts_latency");
    lua_rawseti(L, -2, ++entries);
  }
  return 1;
}

/* tally:counts() -> { failed =, pending =, duplicates =, … }; instant_cost is text, to the last digit */
static int push_counts (lua_State *L) {
  struct tally_counts counts = tally_counts(check_resolved(L)->tally);
  char text[MONEY_SUM_TEXT_SIZE];
  lua_createtable(L, 0, 9);
  push_count(L, "failed", counts.failed);
  push_count(L, "pending", counts.open);
  push_count(L, "instant_unknown", counts.instant_unknown);
  push_count(L, "duplicates", counts.duplicates);
  push_count(L, "conflicts", counts.conflicts);
  push_count(L, "filtered", counts.filtered);
  push_count(L, "undated", counts.undated);
  push_count(L, "changed", counts.changed);
  lua_pushlstring(L, text, money_sum_format(text, &counts.instant_cost));
  lua_setfield(L, -2, "instant_cost");
  return 1;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

struct reader {
  struct tally_reading *reading;  /* NULL once it has ended, so that files are closed without the collector */
  struct tally_read result;       /* from then on */
  struct handle *into;  /* in whose environment this is kept, so that it lives on */
};

static struct reader *check_reader (lua_State *L) {
  struct reader *r = (struct reader *)luaL_checkudata(L, 1, READING_METATABLE);
  luaL_argcheck(L, r->into != NULL && r->into->tally != NULL, 1, "a reading that never began");
  return r;
}

static void end_reading (struct reader *r) {
  if (r->reading == NULL) return;
  r->result = *tally_reading_result(r->reading);
  r->into->reading = false;
  tally_reading_free(r->reading);
  r->reading = NULL;
}

/* Also reading:close(), for who gives up: what it has not brought to the tally by then never gets there. */
static int reader_gc (lua_State *L) {
  end_reading((struct reader *)luaL_checkudata(L, 1, READING_METATABLE));
  return 0;
}

/* tally:read(path, threads) -> reading | nil, why, "missing" where there is no such file. Until it is done the tally is
   of no other use. */
static int read_file (lua_State *L) {
  struct handle *h = check_handle(L);
  const char *path = path_check(L, 2);
  const lua_Integer threads = luaL_checkinteger(L, 3);
  luaL_argcheck(L, threads >= 1 && threads <= TALLY_MAX_THREADS, 3, "no such number of threads");
  lua_settop(L, 2);
  struct reader *r = (struct reader *)compat_newuserdata(L, sizeof *r);
  memset(r, 0, sizeof *r);
  luaL_getmetatable(L, READING_METATABLE);
  lua_setmetatable(L, -2);
  lua_createtable(L, 1, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  compat_setuservalue(L, 3);
  r->reading = tally_reading_new(h->tally, path, (int)threads);
  if (r->reading == NULL) {
    const int reason = errno;
    push_refusal(L, unpack_strerror(reason));
    if (reason == ENOENT) lua_pushliteral(L, "missing");
    else lua_pushnil(L);
    return 3;
  }
  r->into = h;
  h->reading = true;
  return 1;
}

/* reading:step() -> true (call again, with a call of Lua's in between, where signals are seen), false: it is done;
   nil, why: it failed */
static int reader_step (lua_State *L) {
  struct reader *r = check_reader(L);
  const char *why = "";
  luaL_argcheck(L, r->reading != NULL, 1, "a reading that has ended");
  const enum tally_step what = tally_reading_step(r->reading, &why);
  if (what == TALLY_MORE || what == TALLY_SIGNAL) {
    lua_pushboolean(L, 1);
    return 1;
  }
  end_reading(r);
  if (what == TALLY_TROUBLE) return push_refusal(L, why);
  lua_pushboolean(L, 0);
  return 1;
}

static void push_notes (lua_State *L, const struct tally_read *result) {
  lua_createtable(L, result->notes, 0);
  for (int i = 0; i < result->notes; i++) {
    lua_createtable(L, 0, 2);
    push_count(L, "line", result->note[i].line);
    lua_pushstring(L, result->note[i].reason);
    lua_setfield(L, -2, "reason");
    lua_rawseti(L, -2, i + 1);
  }
}

/* reading:result() -> { records =, skipped =, notes = { { line =, reason = }, … }, done = bytes, size = bytes } */
static int reader_result (lua_State *L) {
  const struct reader *r = check_reader(L);
  const struct tally_read result = r->reading ? *tally_reading_result(r->reading) : r->result;
  lua_createtable(L, 0, 5);
  push_count(L, "records", result.records);
  push_count(L, "skipped", result.skipped);
  push_count(L, "done", result.done);
  push_count(L, "size", result.size);
  push_notes(L, &result);
  lua_setfield(L, -2, "notes");
  return 1;
}

static const luaL_Reg reader_metamethods[] = { { "__gc", reader_gc }, { NULL, NULL } };
static const luaL_Reg reader_methods[] = { { "step", reader_step }, { "result", reader_result },
                                           { "close", reader_gc }, { NULL, NULL } };

static const luaL_Reg functions[] = { { "tally", new_tally }, { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", handle_gc }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "add", add_record },
                                    { "add_line", add_line },
                                    { "is_counted", is_counted },
                                    { "groups", count_groups },
                                    { "generations", group_generations },
                                    { "key", group_key },
                                    { "sum", group_sum },
                                    { "quantile", group_quantile },
                                    { "histogram", group_histogram },
                                    { "dearest", list_dearest },
                                    { "providers", list_providers },
                                    { "counts", push_counts },
                                    { "read", read_file },
                                    { NULL, NULL } };

void tally_register (lua_State *L) {
  int module = lua_gettop(L);
  luaL_newmetatable(L, TALLY_METATABLE);
  compat_setfuncs(L, metamethods, 0);
  lua_pushliteral(L, TALLY_METATABLE);
  lua_setfield(L, -2, "__name");
  lua_newtable(L);
  for (int i = 0; i < LINE_NAMES; i++) lua_pushstring(L, line_names[i]);
  compat_setfuncs(L, methods, LINE_NAMES);
  lua_setfield(L, -2, "__index");
  luaL_newmetatable(L, READING_METATABLE);
  compat_setfuncs(L, reader_metamethods, 0);
  lua_newtable(L);
  compat_setfuncs(L, reader_methods, 0);
  lua_setfield(L, -2, "__index");
  lua_settop(L, module);
  compat_setfuncs(L, functions, 0);
}

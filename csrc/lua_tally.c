/*
** core.tally { dimensions = names, sums = names, spreads = names, zone = zone, since = seconds, ["until"] = seconds,
**   first_day = days, last_day = days, where = { { name, value, … }, … } } -> tally
**
** A dimension is a field, "hour", "day", "week" or "month" (of the zone, or of UTC where there is none) or
** "context.<name>"; a sum is "spend", "cancelled", "failed_attempts" or a field of money or integers; a spread is a field
** of numbers or integers; `where` has dimensions too. report.lua checks the names before, so a wrong one here is a fault of
** the program and raises. Groups are numbered from 1, group 0 is the total; sums and spreads by their place in the
** declaration.
*/
#include "lua_tally.h"

#include "lua_record.h"
#include "lua_zone.h"
#include "tally.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define TALLY_METATABLE "openrouter.tally"

struct handle {
  struct tally *tally;
  struct tally_declaration declaration;  /* what it points to is the caller's and gone after the constructor */
  int sums;                              /* measures 0 … sums - 1; behind them the spreads */
};

static struct handle *check_handle (lua_State *L) {
  struct handle *h = (struct handle *)luaL_checkudata(L, 1, TALLY_METATABLE);
  luaL_argcheck(L, h->tally != NULL, 1, "a tally that was never made");
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

static void set_sum (lua_State *L, struct tally_measure *m, const char *name, size_t length) {
  m->field = field_find(name, length);
  if (strcmp(name, "spend") == 0) m->kind = TALLY_SPEND;
  else if (strcmp(name, "cancelled") == 0) m->kind = TALLY_CANCELLED;
  else if (strcmp(name, "failed_attempts") == 0) m->kind = TALLY_FAILED_ATTEMPTS;
  else if (m->field >= 0 && (field_info[m->field].type == TYPE_MONEY || field_info[m->field].type == TYPE_INTEGER))
    m->kind = TALLY_SUM;
  else luaL_error(L, "tally: '%s' cannot be summed up", name);
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

static void read_value (lua_State *L, struct tally_key *key) {
  switch (lua_type(L, -1)) {
    case LUA_TSTRING: key->type = TALLY_STRING; key->text = lua_tolstring(L, -1, &key->length); break;
    case LUA_TNUMBER: key->type = TALLY_NUMBER; key->number = lua_tonumber(L, -1); break;
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

/* Zone and values are left on the stack, where they are safe until the tally has copies. */
static void read_declaration (lua_State *L, struct handle *h) {
  struct tally_declaration *d = &h->declaration;
  size_t length;
  d->dimensions = push_names(L, "dimensions", TALLY_MAX_DIMENSIONS);
  for (int i = 0; i < d->dimensions; i++) {
    const char *name = name_at(L, i, &length);
    set_dimension(L, &d->dimension[i], name, length);
  }
  lua_pop(L, 1);
  read_measures(L, d, "sums", set_sum);
  h->sums = d->measures;
  read_measures(L, d, "spreads", set_spread);
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
  enum tally_line what = tally_add_line(h->tally, line, length, &why);
  if (what < TALLY_MALFORMED) {
    lua_pushvalue(L, lua_upvalueindex(1 + (int)what));
    return 1;
  }
  push_refusal(L, why);
  lua_pushboolean(L, what == TALLY_MALFORMED);
  return 3;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* tally:groups() -> how many there are, those without records among them */
static int count_groups (lua_State *L) {
  size_t count = tally_groups(check_handle(L)->tally);
  compat_integer(L, count);
  return 1;
}

static const struct tally_group *check_group (lua_State *L, const struct tally *t) {
  lua_Integer i = luaL_checkinteger(L, 2);
  luaL_argcheck(L, i >= 0 && (size_t)i <= tally_groups(t), 2, "no such group");
  return i == 0 ? tally_total(t) : tally_group(t, (size_t)i - 1);
}

static int check_place (lua_State *L, int argument, int count) {
  lua_Integer i = luaL_checkinteger(L, argument);
  luaL_argcheck(L, i >= 1 && i <= count, argument, "no such measure");
  return (int)i - 1;
}

/* tally:generations(group) -> how many records */
static int group_generations (lua_State *L) {
  uint32_t count = tally_generations(check_group(L, check_handle(L)->tally));
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

/* tally:key(group) -> the value in each dimension; nothing for the total */
static int group_key (lua_State *L) {
  struct handle *h = check_handle(L);
  const struct tally_group *g = check_group(L, h->tally);
  struct tally_key key;
  const char *cursor = NULL;
  int count = g == tally_total(h->tally) ? 0 : h->declaration.dimensions;
  luaL_checkstack(L, count, "too many dimensions");
  for (int i = 0; i < count; i++) {
    tally_next_key(g, &cursor, &key);
    push_key(L, &key);
  }
  return count;
}

/* A sum of integers, in 128 bits; a double where Lua's integers end. */
static void push_integer_sum (lua_State *L, const struct money *sum) {
  bool negative = sum->high >> 63;
  bool fits = sum->high == (negative ? UINT64_MAX : 0) && sum->low >> 63 == (uint64_t)negative;
  if (fits) {
    int64_t value;
    memcpy(&value, &sum->low, sizeof value);
    compat_integer(L, value);
    return;
  }
  char text[MONEY_TEXT_SIZE + 4];  /* as if it were money, so 10^27 times too small */
  double number = 0;
  memcpy(text + money_format(text, sum), "e27", 4);
  json_double(text, &number);
  lua_pushnumber(L, number);
}

static void push_money (lua_State *L, const struct money *sum) {
  char text[MONEY_TEXT_SIZE];
  size_t length = money_format(text, sum);
  lua_pushnumber(L, money_double(sum));
  lua_pushlstring(L, text, length);
}

/* tally:sum(group, place) -> how many records have a value, their sum [, exactly, where it is money] */
static int group_sum (lua_State *L) {
  struct handle *h = check_handle(L);
  const struct tally_group *g = check_group(L, h->tally);
  int measure = check_place(L, 3, h->sums);
  const struct tally_measure *m = &h->declaration.measure[measure];
  struct money sum;
  uint32_t values = tally_sum(g, measure, &sum);
  compat_integer(L, values);
  if (m->kind == TALLY_SPEND || (m->kind == TALLY_SUM && field_info[m->field].type == TYPE_MONEY)) {
    push_money(L, &sum);
    return 3;
  }
  push_integer_sum(L, &sum);
  return 2;
}

/* tally:quantile(group, place, percent) -> number, or nil where no record has a value */
static int group_quantile (lua_State *L) {
  struct handle *h = check_handle(L);
  const struct tally_group *g = check_group(L, h->tally);
  int measure = h->sums + check_place(L, 3, h->declaration.measures - h->sums);
  lua_Integer percent = luaL_checkinteger(L, 4);
  double value;
  luaL_argcheck(L, percent >= 0 && percent <= 100, 4, "not a percentage");
  if (!tally_quantile(h->tally, g, measure, (int)percent, &value)) return 0;
  if (field_info[h->declaration.measure[measure].field].type == TYPE_INTEGER && value < 9007199254740992.0)
    compat_integer(L, value);
  else lua_pushnumber(L, value);
  return 1;
}

static void push_count (lua_State *L, const char *name, uint64_t count) {
  compat_integer(L, count);
  lua_setfield(L, -2, name);
}

/* tally:counts() -> { failed =, pending =, duplicates =, conflicts =, filtered =, undated = } */
static int push_counts (lua_State *L) {
  struct tally_counts counts = tally_counts(check_handle(L)->tally);
  lua_createtable(L, 0, 6);
  push_count(L, "failed", counts.failed);
  push_count(L, "pending", counts.open);
  push_count(L, "duplicates", counts.duplicates);
  push_count(L, "conflicts", counts.conflicts);
  push_count(L, "filtered", counts.filtered);
  push_count(L, "undated", counts.undated);
  return 1;
}

static const luaL_Reg functions[] = { { "tally", new_tally }, { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", handle_gc }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "add", add_record },
                                    { "add_line", add_line },
                                    { "groups", count_groups },
                                    { "generations", group_generations },
                                    { "key", group_key },
                                    { "sum", group_sum },
                                    { "quantile", group_quantile },
                                    { "counts", push_counts },
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
  lua_settop(L, module);
  compat_setfuncs(L, functions, 0);
}

#include "lua_generation.h"

#include "lua_record.h"
#include "lua_value.h"
#include "spend.h"

#include <stddef.h>
#include <string.h>

/* ---- members in wire order ------------------------------------------------------------------------------------- */

/* Push a list of the members' names, each once, in the order they first appear, and a table of where the last value of each
   is: so that going through all of them takes time in proportion to their number. */
static void push_names (lua_State *L, const struct record *r) {
  const char *p = r->text + r->object, *name, *value;
  size_t length;
  int count = 0;
  lua_newtable(L);
  lua_newtable(L);
  while (json_next_member(&p, &name, &length, &value)) {
    value_push_string(L, name, length);
    lua_pushvalue(L, -1);
    lua_rawget(L, -3);
    bool seen = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (!seen) {
      lua_pushvalue(L, -1);
      lua_rawseti(L, -4, ++count);
    }
    lua_pushnumber(L, (lua_Number)(value - r->text));
    lua_rawset(L, -3);
  }
}

/* The iterator: upvalues are the record, the names, where the values are, and the next one's place. */
static int next_member (lua_State *L) {
  int i = (int)lua_tointeger(L, lua_upvalueindex(4));
  lua_settop(L, 0);
  lua_pushinteger(L, i + 1);
  lua_replace(L, lua_upvalueindex(4));
  lua_rawgeti(L, lua_upvalueindex(2), i);
  if (lua_isnil(L, 1)) return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  struct record *r = (struct record *)lua_touserdata(L, 2);
  lua_pushvalue(L, 1);
  lua_rawget(L, lua_upvalueindex(3));
  size_t length, at = (size_t)lua_tonumber(L, -1);
  const char *name = lua_tolstring(L, 1, &length);
  record_push_value(L, 2, r, name, length, r->text + at);
  lua_pushvalue(L, 1);
  lua_insert(L, -2);
  return 2;
}

static int generation_pairs (lua_State *L) {
  const struct record *r = record_check(L, 1);
  lua_pushvalue(L, 1);
  push_names(L, r);
  lua_pushinteger(L, 1);
  lua_pushcclosure(L, next_member, 4);
  return 1;
}

static int generation_totable (lua_State *L) {
  const struct record *r = record_check(L, 1);
  const char *p = r->text + r->object, *name, *value;
  size_t length;
  lua_newtable(L);
  while (json_next_member(&p, &name, &length, &value)) {
    value_push_string(L, name, length);
    size_t plain_length;
    const char *plain = lua_tolstring(L, -1, &plain_length);
    int field = field_find(plain, plain_length);
    bool typed = field >= 0 && field_info[field].type != TYPE_LIST
                 && value_state(field_info[field].type, value) == VALUE_PRESENT;
    if (typed) value_push_typed(L, field_info[field].type, value);
    else value_push(L, value, true);
    lua_rawset(L, -3);
  }
  return 1;
}

/* Push checked JSON without the white space between its tokens. */
static int push_minified (lua_State *L, const char *p) {
  const char *end = json_skip(p);
  char *out = (char *)compat_newuserdata(L, (size_t)(end - p));
  lua_pushlstring(L, out, json_minify(out, p, end));
  lua_remove(L, -2);
  return 1;
}

static int generation_json (lua_State *L) {
  const struct record *r = record_check(L, 1);
  return push_minified(L, r->text + r->object);
}

/* The server's whole answer, which is what a ledger keeps. A bare record becomes one. */
static int generation_answer (lua_State *L) {
  const struct record *r = record_check(L, 1);
  push_minified(L, r->text + r->answer);
  if (r->answer != r->object) return 1;
  lua_pushfstring(L, "{\"data\":");
  lua_insert(L, -2);
  lua_pushliteral(L, "}");
  lua_concat(L, 3);
  return 1;
}

/* ---- one value by its path ------------------------------------------------------------------------------------- */

struct place {
  const char *value;               /* NULL: absent */
  const struct field_info *info;   /* what the schema says of it, NULL: nothing */
};

static const char *item_at (const char *array, lua_Number n) {
  const char *p = array, *value;
  for (lua_Number i = 1; json_next_item(&p, &value); i++)
    if (i >= n && i <= n) return value;
  return NULL;
}

static const char *step (lua_State *L, const char *value, int arg) {
  size_t length;
  if (lua_type(L, arg) == LUA_TNUMBER) return *value == '[' ? item_at(value, lua_tonumber(L, arg)) : NULL;
  const char *name = luaL_checklstring(L, arg, &length);
  return *value == '{' ? json_member(value, name, length) : NULL;
}

/* Follow the names and positions given as arguments 2, 3, … */
static struct place find_place (lua_State *L, const struct record *r) {
  static const struct field_info entry = { "", 0, TYPE_LIST, "", false, PRESENCE_OPTIONAL, "" };
  struct place place = { r->text + r->object, NULL };
  int last = lua_gettop(L);
  luaL_checkany(L, 2);
  for (int arg = 2; arg <= last; arg++)
    if (lua_type(L, arg) != LUA_TNUMBER) luaL_checkstring(L, arg);
  int first = 2;
  if (lua_type(L, 2) == LUA_TSTRING) {
    size_t length;
    const char *name = lua_tolstring(L, 2, &length);
    int field = field_find(name, length);
    if (field >= 0) {  /* the record knows where it is */
      place.value = record_member(r, field);
      first = 3;
    }
    bool responses = field == FIELD_provider_responses;
    if (last == 2 && field >= 0) place.info = &field_info[field];
    if (last == 3 && responses && lua_type(L, 3) == LUA_TNUMBER) place.info = &entry;
    if (last == 4 && responses && lua_type(L, 3) == LUA_TNUMBER && lua_type(L, 4) == LUA_TSTRING) {
      name = lua_tolstring(L, 4, &length);
      int known = response_find(name, length);
      if (known >= 0) place.info = &response_info[known];
    }
  }
  for (int arg = first; arg <= last && place.value != NULL; arg++) place.value = step(L, place.value, arg);
  return place;
}

static int generation_exact (lua_State *L) {
  struct record *r = record_peek(L, 1);
  struct place place = find_place(L, r);
  r->busy++;
  if (place.value == NULL) lua_pushnil(L);
  else lua_pushlstring(L, place.value, (size_t)(json_skip(place.value) - place.value));
  r->busy--;
  return 1;
}

/* What exact() gives of each item of a list, in one go: one by one it takes time by the square. */
static int generation_items (lua_State *L) {
  struct record *r = record_peek(L, 1);
  const char *p = find_place(L, r).value, *item;
  if (p == NULL || *p != '[') return 0;
  r->busy++;
  lua_newtable(L);
  for (int i = 1; json_next_item(&p, &item); i++) {
    lua_pushlstring(L, item, (size_t)(json_skip(item) - item));
    lua_rawseti(L, -2, i);
  }
  r->busy--;
  return 1;
}

static enum value_state place_state (const struct place *place) {
  if (place->value == NULL) return VALUE_ABSENT;
  if (*place->value == 'n') return VALUE_NULL;
  if (place->info == NULL) return VALUE_PRESENT;
  if (place->info->name_length == 0) return *place->value == '{' ? VALUE_PRESENT : VALUE_MISMATCH;
  return value_state(place->info->type, place->value);
}

static int generation_state (lua_State *L) {
  static const char *const names[] = { "value", "null", "absent", "mismatch" };
  struct place place = find_place(L, record_peek(L, 1));
  lua_pushstring(L, names[place_state(&place)]);
  return 1;
}

/* ---- what it cost, and what was said about it ------------------------------------------------------------------ */

static int generation_spend (lua_State *L) {
  struct money spend;
  char text[MONEY_TEXT_SIZE];
  const char *why = record_spend(record_peek(L, 1), &spend);
  if (why != NULL) {
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
  }
  lua_pushnumber(L, money_double(&spend));
  lua_pushlstring(L, text, money_format(text, &spend));
  return 2;
}

static int generation_context (lua_State *L) {
  const struct record *r = record_check(L, 1);
  if (r->context == 0) lua_pushnil(L);
  else value_push(L, r->text + r->context, false);
  return 1;
}

#define SELECT_MAX 200  /* upvalues of a C function end at 255 */

/* The members of a select: upvalue 1 of its function. The names of unknown ones are further upvalues. */
struct selection {
  int count;
  int field[SELECT_MAX];  /* -1: unknown */
};

/* select("model", …) -> function (record) -> values */
static int selected (lua_State *L) {
  const struct selection *s = (const struct selection *)lua_touserdata(L, lua_upvalueindex(1));
  struct record *r = record_peek(L, 1);
  int unknown = lua_upvalueindex(2);
  lua_settop(L, 1);
  if (s->count > LUA_MINSTACK - 8) luaL_checkstack(L, s->count + 8, "too many members");
  r->busy++;  /* the values are those of one text */
  for (int i = 0; i < s->count; i++) {
    if (s->field[i] >= 0) {
      record_push_member(L, 1, r, s->field[i]);
    } else {
      lua_pushvalue(L, unknown--);  /* the next upvalue is at the index below */
      lua_gettable(L, 1);
    }
  }
  r->busy--;
  return s->count;
}

static int generation_select (lua_State *L) {
  int count = lua_gettop(L);
  luaL_argcheck(L, count > 0, 1, "name of a member expected");
  luaL_argcheck(L, count <= SELECT_MAX, SELECT_MAX + 1, "too many members");
  luaL_checkstack(L, count + 4, "too many members");
  const size_t size = offsetof(struct selection, field) + (size_t)count * sizeof (int);
  struct selection *s = (struct selection *)compat_newuserdata(L, size);
  s->count = count;
  for (int i = 0; i < count; i++) {
    size_t length;
    const char *name = luaL_checklstring(L, i + 1, &length);
    s->field[i] = field_find(name, length);
    if (s->field[i] < 0) lua_pushvalue(L, i + 1);
  }
  lua_pushcclosure(L, selected, lua_gettop(L) - count);
  return 1;
}

/* ---- departures from the schema -------------------------------------------------------------------------------- */

#define QUOTED_MAX 60  /* bytes of a value shown in a violation */

/* Where violations go: a list at `list`, and how a member of the object at hand is called (a format with one %s). */
struct findings {
  lua_State *L;
  int list, count;
  const char *prefix;
};

static void add_finding (struct findings *f, const char *name, const char *expected, const char *got) {
  lua_State *L = f->L;
  lua_createtable(L, 0, 3);
  lua_pushfstring(L, "%s%s", f->prefix, name);
  lua_setfield(L, -2, "field");
  lua_pushstring(L, expected);
  lua_setfield(L, -2, "expected");
  lua_pushstring(L, got);
  lua_setfield(L, -2, "got");
  lua_rawseti(L, f->list, ++f->count);
}

/* Push the value as spelt, without white space and cut to a length that fits a line. */
static const char *push_shown (lua_State *L, const char *value) {
  size_t length;
  push_minified(L, value);
  const char *text = lua_tolstring(L, -1, &length);
  if (length <= QUOTED_MAX) return text;
  for (length = QUOTED_MAX; length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80;) length--;
  lua_pushlstring(L, text, length);
  lua_remove(L, -2);
  lua_pushliteral(L, "…");
  lua_concat(L, 2);
  return lua_tostring(L, -1);
}

static bool choice_known (const char *field, const char *value) {
  size_t length;
  const char *raw = json_string(value, &length), *choice;
  for (int i = 0; (choice = field_choice(field, i)) != NULL; i++)
    if (json_string_is(raw, length, choice, strlen(choice))) return true;
  return false;
}

static const char *push_choices (lua_State *L, const char *field) {
  const char *choice;
  lua_pushliteral(L, "");
  for (int i = 0; (choice = field_choice(field, i)) != NULL; i++) {
    lua_pushfstring(L, i ? ", %s" : "one of %s", choice);
    lua_concat(L, 2);
  }
  return lua_tostring(L, -1);
}

/* What is wrong with the value, pushed as a string; NULL (and nothing pushed) if nothing is. */
static const char *push_fault (lua_State *L, const struct field_info *info, const char *value) {
  struct money money;
  switch (value_state(info->type, value)) {
    case VALUE_MISMATCH:
      return lua_pushfstring(L, info->nullable ? "%s or null" : "%s", field_type_name(info->type));
    case VALUE_NULL:
      return info->nullable || info->presence == PRESENCE_RETIRED ? NULL : lua_pushfstring(L, "%s", field_type_name(info->type));
    case VALUE_PRESENT:
      if (info->type == TYPE_ENUM && !choice_known(info->name, value)) return push_choices(L, info->name);
      if (info->type != TYPE_MONEY) return NULL;
      switch (money_parse(&money, value)) {
        case MONEY_ROUNDED: return lua_pushfstring(L, "at most %d decimals", MONEY_PLACES);
        case MONEY_OVERFLOW: return lua_pushfstring(L, "an amount below 170 billion USD");
        default: return NULL;
      }
    default: return NULL;
  }
}

typedef int find_member (const char *name, size_t length);

/* One member: its name is on top of the stack, `seen` is the table of names below it. */
static void check_member (struct findings *f, int seen, const struct field_info *infos, int known, const char *value) {
  lua_State *L = f->L;
  const char *name = lua_tostring(L, -1);
  int top = lua_gettop(L);
  lua_pushvalue(L, top);
  lua_rawget(L, seen);
  if (!lua_isnil(L, -1)) add_finding(f, name, "each name once", "a second one");
  lua_pushvalue(L, top);
  lua_pushboolean(L, 1);
  lua_rawset(L, seen);
  if (known < 0) {
    add_finding(f, name, "no such member", json_kind(value));
  } else {
    const char *expected = push_fault(L, &infos[known], value);
    if (expected != NULL) add_finding(f, name, expected, push_shown(L, value));
  }
  lua_settop(L, top);
}

static void check_missing (struct findings *f, int seen, const struct field_info *infos, int count) {
  lua_State *L = f->L;
  for (int i = 0; i < count; i++) {
    if (infos[i].presence != PRESENCE_REQUIRED) continue;
    lua_getfield(L, seen, infos[i].name);
    if (lua_isnil(L, -1))
      add_finding(f, infos[i].name, lua_pushfstring(L, infos[i].nullable ? "%s or null" : "%s", field_type_name(infos[i].type)),
                  "absent");
    lua_settop(L, seen);
  }
}

static void check_object (struct findings *f, const char *object, const struct field_info *infos, int count, find_member *find) {
  lua_State *L = f->L;
  const char *p = object, *name, *value;
  size_t length;
  luaL_checkstack(L, 12, "too many violations");
  lua_newtable(L);
  int seen = lua_gettop(L);
  while (json_next_member(&p, &name, &length, &value)) {
    size_t plain_length;
    value_push_string(L, name, length);
    const char *plain = lua_tolstring(L, -1, &plain_length);
    check_member(f, seen, infos, find(plain, plain_length), value);
    lua_pop(L, 1);
  }
  check_missing(f, seen, infos, count);
  lua_pop(L, 1);
}

static void check_responses (struct findings *f, const struct record *r) {
  lua_State *L = f->L;
  const char *p = record_member(r, FIELD_provider_responses), *item;
  if (p == NULL || *p != '[') return;
  for (int i = 1; json_next_item(&p, &item); i++) {
    f->prefix = lua_pushfstring(L, "provider_responses[%d]", i);
    if (*item != '{') {
      add_finding(f, "", "object", push_shown(L, item));
      lua_pop(L, 1);
    } else {
      f->prefix = lua_pushfstring(L, "%s.", f->prefix);
      check_object(f, item, response_info, RESPONSE_COUNT, response_find);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
}

static int generation_violations (lua_State *L) {
  const struct record *r = record_check(L, 1);
  lua_newtable(L);
  struct findings f = { L, lua_gettop(L), 0, "" };
  check_object(&f, r->text + r->object, field_info, FIELD_COUNT, field_find);
  check_responses(&f, r);
  return 1;
}

static const luaL_Reg functions[] = { { "pairs", generation_pairs },
                                      { "exact", generation_exact },
                                      { "items", generation_items },
                                      { "state", generation_state },
                                      { "spend", generation_spend },
                                      { "context", generation_context },
                                      { "violations", generation_violations },
                                      { "totable", generation_totable },
                                      { "json", generation_json },
                                      { "answer", generation_answer },
                                      { "select", generation_select },
                                      { NULL, NULL } };

void generation_register (lua_State *L) {
  lua_newtable(L);
  compat_setfuncs(L, functions, 0);
  record_push_metatable(L);
  lua_getfield(L, -2, "pairs");
  lua_setfield(L, -2, "__pairs");  /* pairs(record), where Lua has it (5.2 on) */
  lua_pop(L, 1);
  lua_setfield(L, -2, "generation");
}

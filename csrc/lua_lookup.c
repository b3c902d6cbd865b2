#include "lua_lookup.h"

#include "lookup.h"
#include "lua_error.h"
#include "lua_record.h"

#include <math.h>
#include <stdio.h>

/* Upvalues of every function here: 1 the records' metatable, 2 the engines' own. */
#define ENGINE_UPVALUE lua_upvalueindex(2)

#define LARGEST_COUNT 1e6
#define LONGEST_TIME 1e12  /* seconds */
#define LARGEST_SEED 9007199254740992.0

struct engine {
  struct lookup *lookup;
};

static struct lookup *check_engine (lua_State *L) {
  struct engine *e = (struct engine *)compat_test(L, 1, ENGINE_UPVALUE);
  struct lookup *l = e ? e->lookup : NULL;
  if (l == NULL) compat_type_error(L, 1, "engine");
  return l;
}

static int engine_gc (lua_State *L) {
  struct engine *e = (struct engine *)compat_test(L, 1, ENGINE_UPVALUE);
  if (e == NULL) return compat_type_error(L, 1, "engine");
  lookup_free(e->lookup);
  e->lookup = NULL;
  return 0;
}

/* `now`: NaN or infinity would put the heap out of order for good. */
static double check_now (lua_State *L, int index) {
  double now = luaL_checknumber(L, index);
  luaL_argcheck(L, now >= -LONGEST_TIME && now <= LONGEST_TIME, index, "no point in time");
  return now;
}

/* ---- making one ------------------------------------------------------------------------------------------------ */

/* The number called `name` in the table on top of the stack. */
static double number_field (lua_State *L, const char *name, double least, double most) {
  lua_getfield(L, -1, name);
  double value = lua_tonumber(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER || !(value >= least && value <= most))
    luaL_error(L, "engine: %s must be a number from %f to %f", name, least, most);
  lua_pop(L, 1);
  return value;
}

static size_t count_field (lua_State *L, const char *name) {
  double count = number_field(L, name, 1, LARGEST_COUNT);
  return (size_t)count;
}

static void read_retry (lua_State *L, struct retry_policy *policy) {
  lua_getfield(L, -1, "retry");
  policy->enabled = lua_istable(L, -1);
  if (policy->enabled) {
    policy->base = number_field(L, "base", 0, LONGEST_TIME);
    policy->factor = number_field(L, "factor", 1, LARGEST_COUNT);
    policy->cap = number_field(L, "cap", 0, LONGEST_TIME);
  }
  lua_pop(L, 1);
}

static int engine_new (lua_State *L) {
  struct lookup_config c;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  c.window = count_field(L, "window");
  c.concurrency = count_field(L, "concurrency");
  c.timeout = number_field(L, "timeout", 0, LONGEST_TIME);
  c.deadline = number_field(L, "deadline", 0, LONGEST_TIME);
  c.wait = number_field(L, "wait", 0, LONGEST_TIME);
  c.epoch = number_field(L, "epoch", -LONGEST_TIME, LONGEST_TIME);
  double seed = number_field(L, "seed", 0, LARGEST_SEED);
  c.seed = (uint64_t)seed;
  read_retry(L, &c.retry);
  struct engine *e = (struct engine *)compat_newuserdata(L, sizeof *e);
  e->lookup = NULL;
  lua_pushvalue(L, ENGINE_UPVALUE);
  lua_setmetatable(L, -2);
  e->lookup = lookup_new(&c);
  return e->lookup ? 1 : luaL_error(L, "not enough memory");
}

/* ---- ids in ---------------------------------------------------------------------------------------------------- */

static int push_failure (lua_State *L, enum kind kind, const char *message) {
  lua_pushnil(L);
  error_push(L, kind, message);
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, "id");
  return 2;
}

static int engine_submit (lua_State *L) {
  struct lookup *l = check_engine(L);
  size_t length;
  luaL_checktype(L, 2, LUA_TSTRING);
  const char *id = lua_tolstring(L, 2, &length);
  double now = check_now(L, 3), wait = luaL_optnumber(L, 4, -1), deadline = luaL_optnumber(L, 5, -1);
  switch (lookup_submit(l, id, length, now, wait, deadline)) {
    case LOOKUP_ACCEPTED: lua_pushboolean(L, 1); return 1;
    case LOOKUP_SHARED: lua_pushboolean(L, 0); return 1;
    case LOOKUP_FULL: return push_failure(L, KIND_full, NULL);
    case LOOKUP_BAD_ID:
      return push_failure(L, KIND_bad_id, "an id is 1 to 128 letters, digits and any of - _ . : ~ /");
    default: return luaL_error(L, "not enough memory");
  }
}

static int id_valid (lua_State *L) {
  size_t length;
  const char *id = luaL_checklstring(L, 1, &length);
  lua_pushboolean(L, lookup_id_valid(id, length));
  return 1;
}

/* ---- requests out ---------------------------------------------------------------------------------------------- */

static int engine_next (lua_State *L) {
  struct lookup *l = check_engine(L);
  struct lookup_request request;
  char target[LOOKUP_TARGET_SIZE];
  luaL_checkstack(L, 4, "no room");
  if (!lookup_next(l, check_now(L, 2), &request)) return 0;
  lua_pushlstring(L, request.id, request.length);
  lua_pushlstring(L, target, lookup_target(target, request.id, request.length));
  lua_pushnumber(L, request.timeout);
  lookup_take(l);  /* last: should Lua run out of memory before, the id is still waiting */
  return 3;
}

static int engine_due (lua_State *L) {
  lua_pushnumber(L, lookup_due(check_engine(L)));
  return 1;
}

static int engine_open (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lookup_open(check_engine(L)));
  return 1;
}

static int engine_on_wire (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lookup_on_wire(check_engine(L)));
  return 1;
}

/* ---- answers in ------------------------------------------------------------------------------------------------ */

static bool has_known_member (const struct record *r) {
  for (int i = 0; i < FIELD_COUNT; i++)
    if (r->member[i]) return true;
  return false;
}

/* Whether the record says it is another one than asked for. One without an id cannot say so. */
static bool is_other (const struct record *r, const char *id, size_t length) {
  const char *value = record_member(r, FIELD_id);
  size_t raw_length;
  if (value == NULL || *value == 'n') return false;
  if (*value != '"') return true;
  const char *raw = json_string(value, &raw_length);
  return !json_string_is(raw, raw_length, id, length);
}

/* A 200: leaves the record or an error on the stack. */
static enum kind judge_record (lua_State *L, const char *id, size_t id_length, const char *body, size_t length) {
  enum kind kind = KIND_bad_answer;
  if (record_decode(L, body, length, RECORD_UPVALUE) != RECORD_GENERATION) {
    error_set_kind(L, kind);
    return kind;
  }
  const struct record *r = (const struct record *)lua_touserdata(L, -1);
  if (!has_known_member(r)) {
    lua_pop(L, 1);
    error_push(L, kind, "an object without any member of a generation record");
    return kind;
  }
  if (!is_other(r, id, id_length)) return KIND_settled;
  kind = KIND_wrong_id;
  error_push(L, kind, NULL);
  lua_insert(L, -2);
  lua_setfield(L, -2, "record");
  return kind;
}

/* Any other status: leaves an error on the stack, with the words of the body where it is the API's own. */
static enum kind judge_status (lua_State *L, int status, const char *body, size_t length) {
  enum kind kind = kind_of_status(status);
  if (record_decode(L, body, length, RECORD_UPVALUE) == RECORD_API_ERROR) {
    error_set_kind(L, kind);
  } else {
    lua_pop(L, 1);
    error_push(L, kind, status >= 300 && status < 400 ? "the server redirects, which is not followed; check the base URL" : NULL);
  }
  lua_pushinteger(L, status);
  lua_setfield(L, -2, "status");
  return kind;
}

/* Fields of the error on top of the stack. They are set before the engine is told, so that filling in the figures
   afterwards allocates nothing and no verdict can get lost. */
static void prepare_error (lua_State *L) {
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, "id");
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "attempts");
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "elapsed");
}

/* The record or error is on top of the stack: tell the engine and return what it says. */
static int conclude (lua_State *L, struct lookup *l, const char *id, size_t length, enum kind kind, double retry_after,
                     double now) {
  struct lookup_verdict v;
  if (kind != KIND_settled) prepare_error(L);
  if (!lookup_answer(l, id, length, kind, retry_after, now, &v)) return luaL_error(L, "engine: %s is not on the wire", id);
  if (v.action == LOOKUP_SETTLED) return 1;
  lua_pushinteger(L, v.attempts);
  lua_setfield(L, -2, "attempts");
  lua_pushnumber(L, v.elapsed);
  lua_setfield(L, -2, "elapsed");
  lua_pushnil(L);
  lua_insert(L, -2);
  if (v.action == LOOKUP_FAILED) return 2;
  lua_pushnumber(L, v.delay);
  return 3;
}

static const char *header (lua_State *L, int index, const char *name) {
  if (!lua_istable(L, index)) return NULL;
  lua_pushstring(L, name);
  lua_rawget(L, index);  /* raw: no metamethod may run while an answer is on its way to the engine */
  return lua_tostring(L, -1);  /* stays on the stack, and so alive */
}

static int engine_answer (lua_State *L) {
  struct lookup *l = check_engine(L);
  size_t id_length, body_length;
  const char *id = luaL_checklstring(L, 2, &id_length);
  int status = (int)luaL_checkinteger(L, 3);
  const char *body = luaL_checklstring(L, 5, &body_length);
  double now = check_now(L, 6), retry_after = -1;
  lua_settop(L, 6);
  luaL_checkstack(L, 20, "no room");
  if (status == 200) return conclude(L, l, id, id_length, judge_record(L, id, id_length, body, body_length), -1, now);
  if (lua_istable(L, 4)) {
    const char *ms = header(L, 4, "retry-after-ms");
    retry_after = lookup_retry_after(l, ms, header(L, 4, "retry-after"), now);
  }
  return conclude(L, l, id, id_length, judge_status(L, status, body, body_length), retry_after, now);
}

static int engine_fault (lua_State *L) {
  struct lookup *l = check_engine(L);
  size_t length;
  const char *id = luaL_checklstring(L, 2, &length);
  int kind = kind_find(luaL_checkstring(L, 3));
  const char *message = luaL_optstring(L, 4, NULL);
  double now = check_now(L, 5);
  luaL_argcheck(L, kind > KIND_settled, 3, "unknown kind");
  luaL_checkstack(L, 20, "no room");
  error_push(L, (enum kind)kind, message);
  return conclude(L, l, id, length, (enum kind)kind, -1, now);
}

static int engine_unresolved (lua_State *L) {
  struct lookup *l = check_engine(L);
  double now = check_now(L, 2);
  struct lookup_verdict v;
  struct lookup_request id;
  if (!lookup_unresolved(l, now, &id, &v)) return 0;
  lua_settop(L, 1);
  lua_pushlstring(L, id.id, id.length);
  error_push(L, v.kind, NULL);
  prepare_error(L);
  lua_pushinteger(L, v.attempts);
  lua_setfield(L, -2, "attempts");
  lua_pushnumber(L, v.elapsed);
  lua_setfield(L, -2, "elapsed");
  lookup_drop(l);
  return 2;
}

static const luaL_Reg methods[] = { { "submit", engine_submit },   { "next", engine_next },
                                    { "due", engine_due },         { "open", engine_open },
                                    { "on_wire", engine_on_wire }, { "answer", engine_answer },
                                    { "fault", engine_fault },     { "unresolved", engine_unresolved },
                                    { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", engine_gc }, { NULL, NULL } };
static const luaL_Reg functions[] = { { "engine", engine_new }, { "id_valid", id_valid }, { NULL, NULL } };

/* Put the functions into the table at `table`, with both upvalues. */
static void set_functions (lua_State *L, int table, const luaL_Reg *list, int records, int engines) {
  lua_pushvalue(L, table);
  lua_pushvalue(L, records);
  lua_pushvalue(L, engines);
  compat_setfuncs(L, list, 2);
  lua_pop(L, 1);
}

void lookup_register (lua_State *L) {
  int module = lua_gettop(L), records = module + 1, engines = module + 2, index = module + 3;
  record_push_metatable(L);
  lua_newtable(L);
  lua_newtable(L);
  set_functions(L, index, methods, records, engines);
  set_functions(L, engines, metamethods, records, engines);
  set_functions(L, module, functions, records, engines);
  lua_setfield(L, engines, "__index");
  lua_settop(L, module);
}

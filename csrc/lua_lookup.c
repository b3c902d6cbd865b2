#include "lua_lookup.h"

#include "lookup.h"
#include "lua_error.h"
#include "lua_record.h"
#include "lua_verdict.h"

#include <math.h>
#include <string.h>

#define ENGINE_METATABLE "openrouter.engine"

#define LARGEST_COUNT 1e6
#define LONGEST_TIME 1e12  /* seconds */
#define LEAST_RATE 1e-6    /* requests per second: one in a fortnight */
#define LARGEST_SEED 9007199254740992.0

struct engine {
  struct lookup *lookup;
};

struct lookup *engine_check (lua_State *L, int index) {
  struct engine *e = (struct engine *)compat_test(L, index, ENGINE_UPVALUE);
  struct lookup *l = e ? e->lookup : NULL;
  if (l == NULL) compat_type_error(L, index, "engine");
  return l;
}

static struct lookup *check_engine (lua_State *L) { return engine_check(L, 1); }

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
  const struct retry_policy once = { false, 0.5, 2, 30 };  /* its pauses are for the others, after a 429 */
  *policy = once;
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
  lua_getfield(L, -1, "rate");
  bool any_rate = !lua_isnil(L, -1);
  lua_pop(L, 1);
  c.rate = any_rate ? number_field(L, "rate", LEAST_RATE, LONGEST_TIME) : 0;
  read_retry(L, &c.retry);
  struct engine *e = (struct engine *)compat_newuserdata(L, sizeof *e);
  e->lookup = NULL;
  lua_pushvalue(L, ENGINE_UPVALUE);
  lua_setmetatable(L, -2);
  e->lookup = lookup_new(&c);
  return e->lookup ? 1 : luaL_error(L, "not enough memory");
}

/* ---- ids in ---------------------------------------------------------------------------------------------------- */

/* The id at index 2 is not taken. */
static int push_failure (lua_State *L, enum kind kind, const char *message) {
  lua_pushnil(L);
  error_push(L, kind, message);
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, "id");
  return 2;
}

/* Push the key of the id at index 2 and the resource at index 6; NULL: the id is none. No id has a space in it, so none can be
   taken for a key with a resource in front. */
static const char *push_key (lua_State *L, size_t *length) {
  static const char *const resources[] = { "record", "content", "feedback", "activity", "analytics", NULL };
  if (!lua_isnil(L, 6)) luaL_checktype(L, 6, LUA_TSTRING);
  int resource = luaL_checkoption(L, 6, "record", resources);
  const char *id = lua_tolstring(L, 2, length);
  if (!lookup_id_valid(id, *length)) return NULL;
  if (resource == RESOURCE_RECORD) lua_pushvalue(L, 2);
  else lua_pushfstring(L, "%s %s", resources[resource], id);
  return lua_tolstring(L, -1, length);
}

/* At index 7: in how many seconds the id is asked for first. Its wait and deadline count from now all the same. */
static int engine_submit (lua_State *L) {
  struct lookup *l = check_engine(L);
  size_t length, slot;
  luaL_checktype(L, 2, LUA_TSTRING);
  double now = check_now(L, 3), wait = luaL_optnumber(L, 4, -1), deadline = luaL_optnumber(L, 5, -1);
  double first = luaL_optnumber(L, 7, 0);
  luaL_argcheck(L, !isnan(wait), 4, "no time");
  luaL_argcheck(L, !isnan(deadline), 5, "no time");
  luaL_argcheck(L, first >= 0 && first <= LONGEST_TIME, 7, "no time");
  lua_settop(L, 7);
  const char *key = push_key(L, &length);
  enum lookup_status status = key ? lookup_submit(l, key, length, now, wait, deadline, first, &slot) : LOOKUP_BAD_ID;
  switch (status) {
    case LOOKUP_ACCEPTED: case LOOKUP_SHARED:
      lua_pushboolean(L, status == LOOKUP_ACCEPTED);
      lua_pushinteger(L, (lua_Integer)slot + 1);
      return 2;
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

/* Push the id of the request, and keep it for same_id: see FINALIZERS in lua_compat.h. */
static void push_id (lua_State *L, struct lookup_request *request, char kept[LOOKUP_KEY_MAX]) {
  memcpy(kept, request->id, request->length);
  request->id = kept;
  lua_pushlstring(L, kept, request->length);
}

static bool same_id (const struct lookup_request *a, const struct lookup_request *b) {
  return a->slot == b->slot && a->length == b->length && memcmp(a->id, b->id, a->length) == 0;
}

static int engine_next (lua_State *L) {
  struct lookup *l = check_engine(L);
  struct lookup_request request, still;
  char id[LOOKUP_KEY_MAX], target[LOOKUP_TARGET_SIZE];
  double now = check_now(L, 2);
  luaL_checkstack(L, 4, "no room");
  while (lookup_next(l, now, &request)) {
    lua_settop(L, 2);
    push_id(L, &request, id);
    lookup_target(target, id, request.length);
    lua_pushstring(L, target);
    lua_pushnumber(L, request.timeout);
    lua_pushinteger(L, (lua_Integer)request.slot + 1);
    if (!lookup_next(l, now, &still) || !same_id(&request, &still)) continue;
    lookup_take(l, now);  /* last: should Lua run out of memory before, the id is still waiting */
    return 4;
  }
  return 0;
}

static int engine_due (lua_State *L) {
  lua_pushnumber(L, lookup_due(check_engine(L)));
  return 1;
}

static int engine_open (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lookup_open(check_engine(L)));
  return 1;
}

static int engine_hungry (lua_State *L) {
  struct lookup *l = check_engine(L);
  lua_pushboolean(L, lookup_is_hungry(l, check_now(L, 2)));
  return 1;
}

static int engine_on_wire (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lookup_on_wire(check_engine(L)));
  return 1;
}

static int engine_limit (lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lookup_limit(check_engine(L)));
  return 1;
}

/* ---- answers in ------------------------------------------------------------------------------------------------ */

static const char *header (lua_State *L, int index, const char *name) {
  if (!lua_istable(L, index)) return NULL;
  lua_pushstring(L, name);
  lua_rawget(L, index);  /* raw: no metamethod may run while an answer is on its way to the engine */
  return lua_tostring(L, -1);  /* stays on the stack, and so alive */
}

static int push_verdict (lua_State *L, struct lookup *l, const char *key, size_t length, const struct reply *reply, double now) {
  size_t slot;
  enum kind kind = verdict_judge(L, key, length, reply);
  return verdict_push(L, l, key, length, kind, reply, now, &slot) ? 5 : luaL_error(L, "engine: %s is not on the wire", key);
}

static int engine_answer (lua_State *L) {
  struct lookup *l = check_engine(L);
  struct reply reply = { 0, KIND_settled, NULL, NULL, NULL, NULL, 0, 0 };
  size_t length;
  const char *key = luaL_checklstring(L, 2, &length);
  reply.status = (int)luaL_checkinteger(L, 3);
  reply.body = luaL_checklstring(L, 5, &reply.length);
  double now = check_now(L, 6);
  lua_settop(L, 6);
  luaL_checkstack(L, 4, "no room");
  reply.retry_after_ms = header(L, 4, "retry-after-ms");
  reply.retry_after = header(L, 4, "retry-after");
  return push_verdict(L, l, key, length, &reply, now);
}

static int engine_fault (lua_State *L) {
  struct lookup *l = check_engine(L);
  struct reply reply = { 0, KIND_settled, NULL, NULL, NULL, NULL, 0, 0 };
  size_t length;
  const char *key = luaL_checklstring(L, 2, &length);
  int kind = kind_find(luaL_checkstring(L, 3));
  reply.message = luaL_optstring(L, 4, NULL);
  double now = check_now(L, 5);
  luaL_argcheck(L, kind > KIND_settled, 3, "unknown kind");
  reply.fault = (enum kind)kind;
  return push_verdict(L, l, key, length, &reply, now);
}

/* ---- ids out, without an answer -------------------------------------------------------------------------------- */

static int engine_ended (lua_State *L) {
  struct lookup *l = check_engine(L);
  double now = check_now(L, 2);
  struct lookup_verdict v, last;
  struct lookup_request id, still;
  char kept[LOOKUP_KEY_MAX];
  luaL_checkstack(L, 8, "no room");
  while (lookup_ended(l, now, &id, &v)) {
    lua_settop(L, 2);
    push_id(L, &id, kept);
    error_push(L, v.kind, v.why);
    verdict_prepare(L, kept, id.length);
    if (!lookup_ended(l, now, &still, &last) || !same_id(&id, &still) || v.kind != last.kind) continue;
    verdict_finish(L, &last);
    lookup_drop(l);
    lua_pushinteger(L, (lua_Integer)last.slot + 1);
    return 3;
  }
  return 0;
}

bool engine_push_cancelled (lua_State *L, struct lookup *l, const char *id, size_t length, double now) {
  struct lookup_verdict v;
  luaL_checkstack(L, 8, "no room");
  error_push(L, KIND_cancelled, NULL);
  verdict_prepare(L, id, length);
  if (!lookup_cancel(l, id, length, now, &v)) return false;
  verdict_finish(L, &v);
  lua_pushinteger(L, (lua_Integer)v.slot + 1);
  return true;
}

static int engine_cancel (lua_State *L) {
  struct lookup *l = check_engine(L);
  size_t length;
  const char *id = luaL_checklstring(L, 2, &length);
  double now = check_now(L, 3);
  return engine_push_cancelled(L, l, id, length, now) ? 2 : 0;
}

/* ---- figures --------------------------------------------------------------------------------------------------- */

static void set_count (lua_State *L, const char *name, uint64_t count) {
  lua_pushinteger(L, (lua_Integer)count);
  lua_setfield(L, -2, name);
}

static void push_kinds (lua_State *L, const struct lookup_stats *s) {
  lua_newtable(L);
  for (int kind = 0; kind < KIND_COUNT; kind++)
    if (s->attempts[kind] > 0) set_count(L, kind_name((enum kind)kind), s->attempts[kind]);
}

static void set_number (lua_State *L, const char *name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

/* The octaves that have any values: { { from =, to =, count = }, … }, into the table on top of the stack. Returns the sum. */
static uint64_t set_octaves (lua_State *L, const struct histogram *h) {
  uint64_t sum = 0;
  int rows = 0;
  for (int i = h->first; i < h->first + h->size;) {  /* a finalizer may make it begin earlier */
    double from, to, start, end;
    uint64_t count = 0;
    histogram_octave(i, &from, &to);
    do {
      count += h->count[i++ - h->first];
      histogram_octave(i, &start, &end);
    } while (i < h->first + h->size && start <= from);
    if (count == 0) continue;
    sum += count;
    lua_newtable(L);
    set_number(L, "from", from);
    set_number(L, "to", to);
    set_count(L, "count", count);
    lua_rawseti(L, -2, ++rows);
  }
  return sum;
}

static void push_histogram (lua_State *L, const struct histogram *h) {
  static const struct { const char *name; double share; } quantile[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p95", 0.95 },
                                                                          { "p99", 0.99 } };
  lua_newtable(L);
  uint64_t count = set_octaves(L, h);
  set_count(L, "count", count);
  for (size_t i = 0; count > 0 && i < sizeof quantile / sizeof quantile[0]; i++) {
    double rank = ceil(quantile[i].share * (double)count);
    set_number(L, quantile[i].name, histogram_value(histogram_rank(h, (uint64_t)rank), false));
  }
}

static int engine_stats (lua_State *L) {
  struct lookup *l = check_engine(L);
  const struct lookup_stats *s = lookup_stats(l);
  uint64_t attempts = 0;
  for (int kind = 0; kind < KIND_COUNT; kind++) attempts += s->attempts[kind];
  lua_newtable(L);
  set_count(L, "attempts", attempts);
  set_count(L, "settled", s->settled);
  set_count(L, "failed", s->failed);
  set_count(L, "retried", s->retried);
  set_count(L, "open", lookup_open(l));
  set_count(L, "on_wire", lookup_on_wire(l));
  set_count(L, "limit", lookup_limit(l));
  push_kinds(L, s);
  lua_setfield(L, -2, "kinds");
  push_histogram(L, &s->seconds);
  lua_setfield(L, -2, "latency");
  return 1;
}

static const luaL_Reg methods[] = { { "submit", engine_submit },   { "next", engine_next },     { "due", engine_due },
                                    { "answer", engine_answer },   { "fault", engine_fault },   { "ended", engine_ended },
                                    { "cancel", engine_cancel },   { "open", engine_open },     { "limit", engine_limit },
                                    { "on_wire", engine_on_wire }, { "stats", engine_stats },
                                    { "hungry", engine_hungry },   { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", engine_gc }, { NULL, NULL } };
static const luaL_Reg functions[] = { { "engine", engine_new }, { "id_valid", id_valid }, { NULL, NULL } };

/* Put the functions into the table on top of the stack, with both upvalues. */
static void set_functions (lua_State *L, const luaL_Reg *list) {
  record_push_metatable(L);
  luaL_getmetatable(L, ENGINE_METATABLE);
  compat_setfuncs(L, list, 2);
}

void lookup_register (lua_State *L) {
  luaL_newmetatable(L, ENGINE_METATABLE);  /* if not new, perhaps half-made: memory may have run out */
  set_functions(L, metamethods);
  lua_newtable(L);
  set_functions(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  set_functions(L, functions);
}

void engine_push_metatable (lua_State *L) { luaL_getmetatable(L, ENGINE_METATABLE); }

#include "lua_http1.h"

#include "http1.h"

#include <string.h>

#define PARSER_METATABLE "openrouter.http1"

/* Every function has the metatable as its upvalue: looking it up by name would cost more than most calls do. */
#define PARSER_UPVALUE lua_upvalueindex(1)

static struct http1 *check_parser (lua_State *L) {
  struct http1 *p = (struct http1 *)compat_test(L, 1, PARSER_UPVALUE);
  if (p == NULL) compat_type_error(L, 1, "http1 parser");
  return p;
}

static int parser_gc (lua_State *L) {
  http1_free(check_parser(L));
  return 0;
}

static int parser_new (lua_State *L) {
  lua_Number size = luaL_checknumber(L, 1);
  luaL_argcheck(L, size >= 0 && size <= (lua_Number)HTTP1_MAX_BODY && size == (lua_Number)(size_t)size, 1,
                "no whole number of bytes up to 32 MiB");
  struct http1 *p = (struct http1 *)compat_newuserdata(L, sizeof *p);
  http1_init(p, (size_t)size);
  lua_pushvalue(L, PARSER_UPVALUE);
  lua_setmetatable(L, -2);
  return 1;
}

static int push_result (lua_State *L, const struct http1 *p, enum http1_result result) {
  if (result == HTTP1_NO_MEMORY) return luaL_error(L, "not enough memory");
  if (result == HTTP1_FAILED) {
    const struct http1 failed = *p;
    lua_pushnil(L);
    lua_pushstring(L, kind_name(failed.kind));
    lua_pushstring(L, failed.message);
    return 3;
  }
  lua_pushboolean(L, result == HTTP1_DONE);
  return 1;
}

static int parser_feed (lua_State *L) {
  struct http1 *p = check_parser(L);
  size_t n;
  luaL_checktype(L, 2, LUA_TSTRING);
  const char *bytes = lua_tolstring(L, 2, &n);
  return push_result(L, p, http1_feed(p, bytes, n));
}

static int parser_finish (lua_State *L) {
  struct http1 *p = check_parser(L);
  return push_result(L, p, http1_end(p));
}

static int parser_started (lua_State *L) {
  lua_pushboolean(L, check_parser(L)->started);
  return 1;
}

static int parser_reusable (lua_State *L) {
  lua_pushboolean(L, http1_reusable(check_parser(L)));
  return 1;
}

static int parser_reset (lua_State *L) {
  http1_reset(check_parser(L));
  return 0;
}

static void set_header (lua_State *L, const char *name, const char *value) {
  if (*value == '\0') return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

/* Most answers have neither, and need no table. */
static void push_headers (lua_State *L, const struct http1 *p) {
  if (*p->retry_after == '\0' && *p->retry_after_ms == '\0') {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, 0, 2);
  set_header(L, "retry-after", p->retry_after);
  set_header(L, "retry-after-ms", p->retry_after_ms);
}

/* See FINALIZERS in lua_compat.h. Most bodies fit on the stack, so that no userdata has to be made for them. */
static int parser_answer (lua_State *L) {
  struct http1 *p = check_parser(L);
  char small[MOST_ON_STACK], *body = small;
  const size_t room = p->length;
  if (room > sizeof small) body = (char *)compat_newuserdata(L, room);
  if (p->state != HTTP1_COMPLETE || p->length > room) return luaL_error(L, "the answer is not complete");
  const struct http1 answer = *p;
  if (answer.length > 0) memcpy(body, answer.buffer, answer.length);
  lua_pushinteger(L, answer.status);
  push_headers(L, &answer);
  lua_pushlstring(L, body, answer.length);
  return 3;
}

static const luaL_Reg metamethods[] = { { "__gc", parser_gc }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "feed", parser_feed },     { "finish", parser_finish },     { "started", parser_started },
                                    { "answer", parser_answer }, { "reusable", parser_reusable }, { "reset", parser_reset },
                                    { NULL, NULL } };
static const luaL_Reg functions[] = { { "http1", parser_new }, { NULL, NULL } };

/* Put the functions into the table on top of the stack, with the metatable as their upvalue. */
static void set_functions (lua_State *L, const luaL_Reg *list) {
  luaL_getmetatable(L, PARSER_METATABLE);
  compat_setfuncs(L, list, 1);
}

void http1_register (lua_State *L) {
  luaL_newmetatable(L, PARSER_METATABLE);  /* if not new, perhaps half-made: memory may have run out */
  set_functions(L, metamethods);
  lua_newtable(L);
  set_functions(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  set_functions(L, functions);
}

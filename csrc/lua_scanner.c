#include "lua_scanner.h"

#include "scanner.h"

#include <string.h>

#define SCANNER_METATABLE "openrouter.scanner"
#define SCANNER_UPVALUE lua_upvalueindex(1)

static struct scanner *check_scanner (lua_State *L) {
  struct scanner *s = (struct scanner *)compat_test(L, 1, SCANNER_UPVALUE);
  if (s == NULL) compat_type_error(L, 1, "scanner");
  return s;
}

const char *scanner_instant (lua_State *L, int index, size_t *length) {
  const char *text = NULL;
  if (!lua_isuserdata(L, index)) return NULL;
  luaL_getmetatable(L, SCANNER_METATABLE);
  struct scanner *s = (struct scanner *)compat_test(L, index, lua_gettop(L));
  lua_pop(L, 1);
  if (s == NULL) {
    compat_type_error(L, index, "scanner");
    return NULL;
  }
  return scanner_usage(s, &text, length) == USAGE_FOUND ? text : NULL;
}

static int new_scanner (lua_State *L) {
  struct scanner *s = (struct scanner *)compat_newuserdata(L, sizeof *s);
  scanner_init(s);
  lua_pushvalue(L, SCANNER_UPVALUE);
  lua_setmetatable(L, -2);
  return 1;
}

static int feed (lua_State *L) {
  struct scanner *s = check_scanner(L);
  size_t length;
  luaL_checktype(L, 2, LUA_TSTRING);
  const char *chunk = lua_tolstring(L, 2, &length);
  lua_pushboolean(L, scanner_feed(s, chunk, length));
  return 1;
}

static int feed_bytes (void *scanner, const char *bytes, size_t length) {
  return scanner_feed((struct scanner *)scanner, bytes, length);
}

/* core.scanner_feed() -> the address of feed_bytes */
static int push_feed_bytes (lua_State *L) {
  int (*function) (void *, const char *, size_t) = feed_bytes;
  void *address = NULL;
  memcpy(&address, &function, sizeof function);  /* ISO C converts no function to a pointer to data, POSIX means it to work */
  lua_pushlightuserdata(L, address);
  return 1;
}

static int push_id (lua_State *L) {
  size_t length;
  char copy[LOOKUP_ID_MAX];  /* see FINALIZERS in lua_compat.h */
  const char *id = scanner_id(check_scanner(L), &length);
  if (id == NULL) lua_pushnil(L);
  else lua_pushlstring(L, (const char *)memcpy(copy, id, length), length);
  return 1;
}

static int push_usage (lua_State *L) {
  const char *text = NULL;
  char copy[SCANNER_MAX_USAGE];
  size_t length = 0;
  enum scanner_usage state = scanner_usage(check_scanner(L), &text, &length);
  if (state == USAGE_FOUND) {
    lua_pushlstring(L, (const char *)memcpy(copy, text, length), length);
    return 1;
  }
  lua_pushnil(L);
  if (state == USAGE_NONE) return 1;
  lua_pushstring(L, state == USAGE_TOO_LARGE ? "too large" : "not JSON");
  return 2;
}

static int push_cost (lua_State *L) {
  char text[MONEY_TEXT_SIZE];
  size_t length = scanner_cost(check_scanner(L), text);
  if (length == 0) lua_pushnil(L);
  else lua_pushlstring(L, text, length);
  return 1;
}

static int finished (lua_State *L) {
  lua_pushboolean(L, scanner_finished(check_scanner(L)));
  return 1;
}

static int reset (lua_State *L) {
  scanner_init(check_scanner(L));
  return 0;
}

static const luaL_Reg functions[] = { { "scanner", new_scanner }, { "scanner_feed", push_feed_bytes }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "feed", feed },      { "id", push_id },        { "usage", push_usage },
                                    { "cost", push_cost }, { "finished", finished }, { "reset", reset },
                                    { NULL, NULL } };

void scanner_register (lua_State *L) {
  luaL_newmetatable(L, SCANNER_METATABLE);
  lua_newtable(L);
  lua_pushvalue(L, -2);
  compat_setfuncs(L, methods, 1);
  lua_setfield(L, -2, "__index");
  compat_setfuncs(L, functions, 1);
}

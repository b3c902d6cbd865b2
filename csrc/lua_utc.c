#include "lua_utc.h"

#include "utc.h"

static int timestamp (lua_State *L) {
  char text[UTC_SIZE];
  size_t length = utc_format(text, luaL_checknumber(L, 1));
  luaL_argcheck(L, length > 0, 1, "not in the years 0 to 9999");
  lua_pushlstring(L, text, length);
  return 1;
}

static int parse_time (lua_State *L) {
  size_t length;
  double seconds;
  const char *text = luaL_checklstring(L, 1, &length);
  if (!utc_parse(text, length, &seconds)) return 0;
  lua_pushnumber(L, seconds);
  return 1;
}

static const luaL_Reg functions[] = { { "timestamp", timestamp }, { "parse_time", parse_time }, { NULL, NULL } };

void utc_register (lua_State *L) { compat_setfuncs(L, functions, 0); }

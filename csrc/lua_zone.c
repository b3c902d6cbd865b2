#include "lua_zone.h"

#include "zone_file.h"

#include <math.h>
#include <string.h>

#define ZONE_METATABLE "openrouter.zone"

struct handle {
  struct zone *zone;
};

const struct zone *zone_check (lua_State *L, int index) {
  struct handle *h = (struct handle *)luaL_checkudata(L, index, ZONE_METATABLE);
  luaL_argcheck(L, h->zone != NULL, index, "a zone that was never read");
  return h->zone;
}

static int handle_gc (lua_State *L) {
  struct handle *h = (struct handle *)luaL_checkudata(L, 1, ZONE_METATABLE);
  zone_free(h->zone);
  h->zone = NULL;
  return 0;
}

static int open_zone (lua_State *L) {
  size_t length;
  const char *why, *directory = luaL_checkstring(L, 1), *name = luaL_checklstring(L, 2, &length);
  struct handle *h = (struct handle *)compat_newuserdata(L, sizeof *h);
  h->zone = NULL;
  luaL_getmetatable(L, ZONE_METATABLE);
  lua_setmetatable(L, -2);
  if (zone_is_name(name, length) && (h->zone = zone_open(directory, name, &why)) != NULL) return 1;
  lua_pushnil(L);
  if (!zone_is_name(name, length) || why == NULL) return 1;
  lua_pushstring(L, why);
  return 2;
}

static int64_t check_seconds (lua_State *L, int index) {
  lua_Number seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds >= -7e10 && seconds <= 3e11, index, "too far away");
  return (int64_t)floor(seconds);
}

static int zone_lua_offset (lua_State *L) {
  struct zone_span span = { 0, 0, 0 };
  lua_pushinteger(L, zone_offset(zone_check(L, 1), &span, check_seconds(L, 2)));
  return 1;
}

static int zone_lua_utc (lua_State *L) {
  lua_pushnumber(L, (lua_Number)zone_utc(zone_check(L, 1), check_seconds(L, 2)));
  return 1;
}

static int zone_show (lua_State *L) {
  struct zone_span span = { 0, 0, 0 };
  const struct zone *z = zone_check(L, 1);
  const int64_t seconds = check_seconds(L, 2);
  const int32_t offset = zone_offset(z, &span, seconds);
  for (int unit = ZONE_HOUR; unit <= ZONE_MONTH; unit++) {
    char text[ZONE_TEXT_SIZE];
    size_t length = zone_format(text, (enum zone_unit)unit, zone_number((enum zone_unit)unit, seconds + offset), offset);
    lua_pushlstring(L, text, length);
  }
  return 4;
}

static const luaL_Reg functions[] = { { "zone", open_zone }, { NULL, NULL } };
static const luaL_Reg metamethods[] = { { "__gc", handle_gc }, { NULL, NULL } };
static const luaL_Reg methods[] = { { "offset", zone_lua_offset },
                                    { "utc", zone_lua_utc },
                                    { "show", zone_show },
                                    { NULL, NULL } };

void zone_register (lua_State *L) {
  int module = lua_gettop(L);
  luaL_newmetatable(L, ZONE_METATABLE);
  compat_setfuncs(L, metamethods, 0);
  lua_pushliteral(L, ZONE_METATABLE);
  lua_setfield(L, -2, "__name");
  lua_newtable(L);
  compat_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_settop(L, module);
  compat_setfuncs(L, functions, 0);
}

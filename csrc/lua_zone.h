/*
** lua_zone: a struct zone as a Lua userdata, for lua/openrouter/zone.lua and core.tally
*/
#ifndef lua_zone_h
#define lua_zone_h

#include "lua_compat.h"
#include "zone.h"

/* The zone at an index of the stack; raises where there is none. */
const struct zone *zone_check (lua_State *L, int index);

/* Add core.zone to the module table on top of the stack. */
void zone_register (lua_State *L);

#endif

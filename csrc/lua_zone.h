/*
** lua_zone: a struct zone as a Lua userdata, for lua/openrouter/zone.lua and core.tally
**
**   zone = core.zone(directory, name)  -> zone | nil, reason | nil: there is none of that name
**   zone:offset(seconds)               -> seconds east of UTC
**   zone:utc(local seconds)            -> when clocks show that for the first time, or more where they skip it
**   zone:show(seconds)                 -> its hour, day, week and month
**
** Seconds are since 1970, of the years 0 to 9999 and about.
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

/*
** lua_tally: a struct tally as a Lua userdata, for lua/openrouter/report.lua
*/
#ifndef lua_tally_h
#define lua_tally_h

#include "lua_compat.h"

/* Add core.tally to the module table on top of the stack. */
void tally_register (lua_State *L);

#endif

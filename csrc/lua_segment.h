/*
** lua_segment: segments of a journal for Lua
*/
#ifndef lua_segment_h
#define lua_segment_h

#include "lua_compat.h"

/* Add core.new_segment, adopt_segment and remove_stale to the module table on top of the stack. */
void segment_register (lua_State *L);

#endif

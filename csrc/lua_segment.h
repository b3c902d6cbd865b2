/*
** lua_segment: segments of a journal for Lua, and what is needed to keep a directory of them
*/
#ifndef lua_segment_h
#define lua_segment_h

#include "lua_compat.h"

/* Add core.new_segment, adopt_segment, list_directory, make_directory and remove_stale to the module table on top of the
   stack. */
void segment_register (lua_State *L);

#endif

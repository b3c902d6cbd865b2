/*
** lua_directory: what is at a path, for Lua: names in a directory, kinds, modes and owners
*/
#ifndef lua_directory_h
#define lua_directory_h

#include "lua_compat.h"

/* Add core.list_directory, make_directory, file_status, set_mode, real_path and act_as_owner to the module table on top of
   the stack. */
void directory_register (lua_State *L);

#endif

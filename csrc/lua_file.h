/*
** lua_file: core.lines, core.append_file, core.shared_file and core.modified
*/
#ifndef lua_file_h
#define lua_file_h

#include "lua_compat.h"

/* Add them to the module table on top of the stack. */
void file_register (lua_State *L);

#endif

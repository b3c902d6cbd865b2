/*
** lua_file: core.lines and core.append_file
*/
#ifndef lua_file_h
#define lua_file_h

#include "lua_compat.h"

/* Add core.lines and core.append_file to the module table on top of the stack. */
void file_register (lua_State *L);

#endif

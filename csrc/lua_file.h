/*
** lua_file: core.lines, core.append_file, core.shared_file and core.modified
*/
#ifndef lua_file_h
#define lua_file_h

#include "lua_compat.h"

#include <string.h>

/* The path at `index`. One with a NUL byte in it would be another one to C. */
static inline const char *path_check (lua_State *L, int index) {
  size_t length;
  const char *path = luaL_checklstring(L, index, &length);
  luaL_argcheck(L, strlen(path) == length, index, "a path must not have a NUL byte in it");
  return path;
}

/* Add them to the module table on top of the stack. */
void file_register (lua_State *L);

#endif

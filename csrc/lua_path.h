/*
** lua_path: paths from Lua
*/
#ifndef lua_path_h
#define lua_path_h

#include "lua_compat.h"

#include <string.h>

/* The path at `index`. One with a NUL byte in it would be another one to C. */
static inline const char *path_check (lua_State *L, int index) {
  size_t length;
  const char *path = luaL_checklstring(L, index, &length);
  luaL_argcheck(L, strlen(path) == length, index, "a path must not have a NUL byte in it");
  return path;
}

#endif

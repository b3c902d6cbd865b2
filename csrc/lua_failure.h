/*
** lua_failure: what the system refused, as functions that deal with files return it
*/
#ifndef lua_failure_h
#define lua_failure_h

#include "lua_compat.h"

#include <stdbool.h>

/* Push nil, "path: why", and a word where a caller acts on it ("locked", "missing" or "exists") or nil; errno says which. */
int failure_push (lua_State *L, const char *path);

/* Push true, or that. */
int failure_push_outcome (lua_State *L, bool fine, const char *path);

#endif

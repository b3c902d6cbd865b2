/*
** lua_generation: the functions of the Lua module openrouter.generation
*/
#ifndef lua_generation_h
#define lua_generation_h

#include "lua_compat.h"

/* Set core.generation in the module table on top of the stack, and __pairs of the records. */
void generation_register (lua_State *L);

#endif

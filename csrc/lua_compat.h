/*
** lua_compat: all that differs between Lua 5.1 (LuaJIT) and 5.4, in one place. Only what PUC 5.1 exports is used there,
** so that one module serves LuaJIT, OpenResty and plain 5.1.
*/
#ifndef lua_compat_h
#define lua_compat_h

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

#if defined(__GNUC__)
#define MODULE_EXPORT __attribute__((visibility("default")))
#else
#define MODULE_EXPORT
#endif

#if LUA_VERSION_NUM >= 502
#define compat_rawlen lua_rawlen
#define compat_integer(L, i) lua_pushinteger(L, (lua_Integer)(i))
#else
#define compat_rawlen lua_objlen
#define compat_integer(L, i) lua_pushnumber(L, (lua_Number)(i))  /* lua_Integer may have 32 bits */
#endif

/*
** FINALIZERS. Whenever Lua makes a value it may run some program's __gc first, LuaJIT even before it copies the bytes of a
** string. That may call anything here, for the very object at hand. So across a call that makes a value nothing points to
** memory that an object of ours may give back or write to: what is needed of it is copied to the C stack, or to a userdata
** made for it. And what was found out is looked at again before the object is changed accordingly.
*/
#define MOST_ON_STACK 4096  /* bytes that are copied to the C stack; more go to a userdata */

/* One table of Lua values that belong to a userdata. Before 5.2 that is its environment, which starts out as a table
   shared with others: callers set their own before they read it. */
#if LUA_VERSION_NUM >= 504
#define compat_newuserdata(L, size) lua_newuserdatauv(L, size, 1)
#define compat_getuservalue(L, i) lua_getiuservalue(L, i, 1)
#define compat_setuservalue(L, i) lua_setiuservalue(L, i, 1)
#elif LUA_VERSION_NUM >= 502
#define compat_newuserdata lua_newuserdata
#define compat_getuservalue lua_getuservalue
#define compat_setuservalue lua_setuservalue
#else
#define compat_newuserdata lua_newuserdata
#define compat_getuservalue lua_getfenv
#define compat_setuservalue lua_setfenv
#endif

/* Put the functions into the table on top of the stack; the `upvalues` values above it are shared by all of them. */
static inline void compat_setfuncs (lua_State *L, const luaL_Reg *functions, int upvalues) {
  luaL_checkstack(L, upvalues + 1, "too many upvalues");
  for (; functions->name != NULL; functions++) {
    for (int i = 0; i < upvalues; i++) lua_pushvalue(L, -upvalues);
    lua_pushcclosure(L, functions->func, upvalues);
    lua_setfield(L, -(upvalues + 2), functions->name);
  }
  lua_pop(L, upvalues);
}

/* The userdata at `index` if its metatable is the one at `metatable` (an upvalue, or an absolute index), else NULL. */
static inline void *compat_test (lua_State *L, int index, int metatable) {
  if (!lua_isuserdata(L, index) || !lua_getmetatable(L, index)) return NULL;
  int same = lua_rawequal(L, -1, metatable);
  lua_pop(L, 1);
  return same ? lua_touserdata(L, index) : NULL;
}

/* Raise the usual "bad argument" error for a value that is not a `wanted`. */
static inline int compat_type_error (lua_State *L, int index, const char *wanted) {
  return luaL_argerror(L, index, lua_pushfstring(L, "%s expected, got %s", wanted, luaL_typename(L, index)));
}

#endif

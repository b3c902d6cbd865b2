/*
** meter: what an operation costs, counted and not timed, as a Lua module for spec/hostile_shapes_spec.lua.
**
** Instructions are valgrind's: under callgrind each call of `mark` writes how many there were since `zero`, under the given
** name. Memory is what Lua's allocator has handed out.
*/
#include <lauxlib.h>
#include <lua.h>
#include <valgrind/callgrind.h>

#include <malloc.h>

static lua_Alloc allocate;
static void *allocate_data;
static size_t used, peak;  /* bytes above what there was when the module was loaded; below zero it wraps around, and back */

static void *count (void *data, void *block, size_t old_size, size_t new_size) {
  void *result = allocate(data, block, old_size, new_size);
  if (block == NULL) old_size = 0;  /* it says what kind of object will be there */
  if (result != NULL || new_size == 0) used += new_size - old_size;
  if ((ptrdiff_t)used > (ptrdiff_t)peak) peak = used;
  return result;
}

/* meter.start() -> bytes in use, from where `peak` counts */
static int start (lua_State *L) {
  peak = used;
  lua_pushnumber(L, (lua_Number)(ptrdiff_t)used);
  return 1;
}

/* meter.used() -> bytes in use */
static int read_used (lua_State *L) {
  lua_pushnumber(L, (lua_Number)(ptrdiff_t)used);
  return 1;
}

/* meter.peak() -> the most bytes in use since meter.start() */
static int read_peak (lua_State *L) {
  lua_pushnumber(L, (lua_Number)(ptrdiff_t)peak);
  return 1;
}

/* meter.heap() -> bytes in use that malloc gave, to whomever */
static int read_heap (lua_State *L) {
  struct mallinfo2 info = mallinfo2();
  lua_pushnumber(L, (lua_Number)(info.uordblks + info.hblkhd));
  return 1;
}

static int zero (lua_State *L) {
  (void)L;
  CALLGRIND_ZERO_STATS;
  return 0;
}

static int mark (lua_State *L) {
  CALLGRIND_DUMP_STATS_AT(luaL_checkstring(L, 1));
  return 0;
}

int luaopen_meter (lua_State *L);
int luaopen_meter (lua_State *L) {
  static const luaL_Reg functions[] = { { "start", start }, { "used", read_used }, { "peak", read_peak },
                                        { "heap", read_heap }, { "zero", zero },
                                        { "mark", mark }, { NULL, NULL } };
  allocate = lua_getallocf(L, &allocate_data);
  lua_setallocf(L, count, allocate_data);
  lua_newtable(L);
  for (const luaL_Reg *f = functions; f->name != NULL; f++) {
    lua_pushcfunction(L, f->func);
    lua_setfield(L, -2, f->name);
  }
  return 1;
}

/*
** Fuzz target of the decoder: any text. First csrc/json.c, record.c, fields.c, money.c and spend.c as users have them are
** compared with the same without their fast paths (summary.h); then decode.lua uses the whole module as a program does.
*/
#include "fuzz.h"
#include "lua_compat.h"
#include "summary.h"

#include <lualib.h>

#define STATE_RUNS 5000   /* texts before a new Lua state */
#define COLLECT_RUNS 50   /* … before its garbage is collected */

int luaopen_openrouter_core (lua_State *L);

/* ---- with and without fast paths --------------------------------------------------------------------------------- */

static void same_number (const struct number_summary *a, const struct number_summary *b) {
  CHECK(a->is_double == b->is_double && a->bits == b->bits);
  CHECK(a->is_integer == b->is_integer && a->integer == b->integer);
  CHECK(a->status == b->status && a->low == b->low && a->high == b->high);
}

static void compare_builds (const char *text, size_t length) {
  static struct summary fast, simple;
  summarize(&fast, text, length);
  simple_summarize(&simple, text, length);
  CHECK(fast.kind == simple.kind && fast.byte == simple.byte && fast.part == simple.part);
  CHECK((fast.message == NULL) == (simple.message == NULL));
  CHECK(fast.message == NULL || strcmp(fast.message, simple.message) == 0);
  CHECK(fast.object == simple.object && fast.answer == simple.answer);
  CHECK(fast.context == simple.context && fast.at == simple.at);
  for (int i = 0; i < FIELD_COUNT; i++) {
    CHECK(fast.field[i].at == simple.field[i].at && fast.field[i].state == simple.field[i].state);
    same_number(&fast.field[i].number, &simple.field[i].number);
  }
  CHECK(fast.has_spend == simple.has_spend && fast.spend_low == simple.spend_low && fast.spend_high == simple.spend_high);
  CHECK(fast.values == simple.values);
}

/* ---- the module ------------------------------------------------------------------------------------------------- */

static int traceback (lua_State *L) {
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

static void must_succeed (lua_State *L, int status) {
  if (status == LUA_OK) return;
  fprintf(stderr, "%s\n", lua_tostring(L, -1));
  abort();
}

/* The text of decode.lua, read once: it may be edited while a fuzzer runs. */
static const char *script (size_t *length) {
  static char text[1 << 16];
  static size_t size;
  if (size == 0) {
    FILE *file = fopen("fuzz/decode.lua", "rb");
    CHECK(file != NULL);
    size = fread(text, 1, sizeof text, file);
    CHECK(size > 0 && size < sizeof text);
    fclose(file);
  }
  *length = size;
  return text;
}

/* A state with the function that decode.lua returns on top of its stack, the error handler below it. */
static lua_State *new_state (void) {
  size_t length;
  const char *text = script(&length);
  lua_State *L = luaL_newstate();
  CHECK(L != NULL);
  luaL_openlibs(L);
  luaL_requiref(L, "openrouter.core", luaopen_openrouter_core, 0);
  lua_settop(L, 0);
  lua_pushcfunction(L, traceback);
  must_succeed(L, luaL_loadbuffer(L, text, length, "@fuzz/decode.lua"));
  must_succeed(L, lua_pcall(L, 0, 1, 1));
  return L;
}

static void use_module (const char *text, size_t length) {
  static lua_State *L;
  static int runs;
  if (runs == STATE_RUNS) {
    lua_close(L);
    L = NULL;
    runs = 0;
  }
  if (L == NULL) L = new_state();
  lua_pushvalue(L, 2);
  lua_pushlstring(L, text, length);
  must_succeed(L, lua_pcall(L, 1, 0, 1));
  if (++runs % COLLECT_RUNS == 0) lua_gc(L, LUA_GCCOLLECT, 0);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size) {
  char *text = block_new(size + 1);
  if (size > 0) memcpy(text, data, size);
  text[size] = '\0';
  compare_builds(text, size);
  use_module(text, size);
  free(text);
  return 0;
}

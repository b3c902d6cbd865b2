/*
** lua_core: the module openrouter.core, everything that needs libc alone; the files in lua/openrouter give it its public face.
*/
#define _DEFAULT_SOURCE  /* _SC_NPROCESSORS_ONLN, TIOCGWINSZ */
#include "fields.h"
#include "lua_directory.h"
#include "lua_error.h"
#include "lua_file.h"
#include "lua_generation.h"
#include "lua_http1.h"
#include "lua_line.h"
#include "lua_lookup.h"
#include "lua_record.h"
#include "lua_scanner.h"
#include "lua_segment.h"
#include "lua_tally.h"
#include "lua_utc.h"
#include "lua_value.h"
#include "lua_zone.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static void push_string_field (lua_State *L, const char *name, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

static void push_choices (lua_State *L, const char *field) {
  const char *choice;
  lua_newtable(L);
  for (int i = 0; (choice = field_choice(field, i)) != NULL; i++) {
    lua_pushstring(L, choice);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "choices");
}

/* The field table for Lua: a list of { name, type, unit, nullable, presence, description, choices }. */
static void push_fields (lua_State *L, const struct field_info *infos, int count) {
  static const char *const presence[] = { "required", "optional", "retired" };
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_createtable(L, 0, 8);
    push_string_field(L, "name", infos[i].name);
    push_string_field(L, "type", field_type_name(infos[i].type));
    push_string_field(L, "unit", infos[i].unit);
    push_string_field(L, "presence", presence[infos[i].presence]);
    push_string_field(L, "description", infos[i].description);
    lua_pushboolean(L, infos[i].nullable);
    lua_setfield(L, -2, "nullable");
    if (infos[i].type == TYPE_ENUM) push_choices(L, infos[i].name);
    lua_rawseti(L, -2, i + 1);
  }
}

static void push_kinds (lua_State *L) {
  static const char *const rules[] = { "always", "wait", "briefly", "later", "never", "stop" };
  lua_newtable(L);
  for (int i = KIND_settled + 1; i < KIND_COUNT; i++) {
    lua_createtable(L, 0, 4);
    push_string_field(L, "name", kind_name((enum kind)i));
    push_string_field(L, "meaning", kind_meaning((enum kind)i));
    push_string_field(L, "retry", rules[kind_rule((enum kind)i)]);
    lua_pushboolean(L, kind_retryable((enum kind)i));
    lua_setfield(L, -2, "retryable");
    lua_rawseti(L, -2, i);
  }
}

static int push_clock (lua_State *L, clockid_t clock) {
  struct timespec t = { 0, 0 };
  clock_gettime(clock, &t);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
  return 1;
}

/* now() -> seconds on a clock that never goes back; unix_time() -> seconds since 1970 */
static int now (lua_State *L) { return push_clock(L, CLOCK_MONOTONIC); }
static int unix_time (lua_State *L) { return push_clock(L, CLOCK_REALTIME); }

/* is_terminal(descriptor) -> boolean */
static int is_terminal (lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* fill_standard_files(): put what gives and takes nothing where standard input, output or error is closed. A file opened later
   would get that number, and whatever is said would be written into it. */
static int fill_standard_files (lua_State *L) {
  (void)L;
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) break;
  return 0;
}

/* terminal_width(descriptor) -> columns | nil: it does not say, or is none */
static int terminal_width (lua_State *L) {
  struct winsize size;
  if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 0;
  lua_pushinteger(L, size.ws_col);
  return 1;
}

/* processors() -> how many this machine has at work, 64 at most */
static int processors (lua_State *L) {
  const long count = sysconf(_SC_NPROCESSORS_ONLN);
  lua_pushinteger(L, count < 1 ? 1 : count > 64 ? 64 : (lua_Integer)count);
  return 1;
}

static const luaL_Reg functions[] = { { "quote", value_quote },
                                      { "number_text", value_number_text },
                                      { "now", now },
                                      { "unix_time", unix_time },
                                      { "is_terminal", is_terminal },
                                      { "fill_standard_files", fill_standard_files },
                                      { "terminal_width", terminal_width },
                                      { "processors", processors },
                                      { NULL, NULL } };
static const luaL_Reg record_functions[] = { { "decode", record_lua_decode },
                                             { "read_record", record_lua_read },
                                             { NULL, NULL } };

MODULE_EXPORT int luaopen_openrouter_core (lua_State *L);
MODULE_EXPORT int luaopen_openrouter_core (lua_State *L) {
  lua_newtable(L);
  compat_setfuncs(L, functions, 0);
  record_push_metatable(L);
  compat_setfuncs(L, record_functions, 1);
  directory_register(L);
  generation_register(L);
  lookup_register(L);
  file_register(L);
  http1_register(L);
  utc_register(L);
  line_register(L);
  segment_register(L);
  tally_register(L);
  zone_register(L);
  scanner_register(L);
  error_push_metatable(L);
  lua_setfield(L, -2, "error_metatable");
  push_fields(L, field_info, FIELD_COUNT);
  lua_setfield(L, -2, "fields");
  push_fields(L, response_info, RESPONSE_COUNT);
  lua_setfield(L, -2, "response_fields");
  push_kinds(L);
  lua_setfield(L, -2, "kinds");
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  return 1;
}

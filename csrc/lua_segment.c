#include "lua_segment.h"

#include "lua_failure.h"
#include "lua_path.h"
#include "lua_line.h"
#include "segment.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define SEGMENT_METATABLE "openrouter.segment"
#define SEGMENT_UPVALUE lua_upvalueindex(1)

/* ---- opening and closing --------------------------------------------------------------------------------------- */

static struct segment *check_any (lua_State *L) {
  struct segment *s = (struct segment *)compat_test(L, 1, SEGMENT_UPVALUE);
  if (s == NULL) compat_type_error(L, 1, "segment");
  return s;
}

static struct segment *check_open (lua_State *L) {
  struct segment *s = check_any(L);
  if (s->fd < 0) luaL_error(L, "attempt to use a closed segment");
  return s;
}

static int push_segment (lua_State *L, int open (struct segment *s, const char *path)) {
  const char *path = path_check(L, 1);
  struct segment *s = (struct segment *)compat_newuserdata(L, sizeof *s);
  memset(s, 0, sizeof *s);
  s->fd = -1;
  lua_pushvalue(L, SEGMENT_UPVALUE);
  lua_setmetatable(L, -2);
  return open(s, path) == 0 ? 1 : failure_push(L, path);
}

/* core.new_segment(path) -> segment | nil, message, "exists" | "locked" */
static int new_segment (lua_State *L) { return push_segment(L, segment_create); }

/* core.adopt_segment(path) -> segment | nil, message, "locked" | "missing" */
static int adopt_segment (lua_State *L) { return push_segment(L, segment_adopt); }

/* segment:close(), also of a closed one */
static int close_segment (lua_State *L) {
  segment_close(check_any(L));
  return 0;
}

/* segment:remove() -> true | nil, message */
static int remove_segment (lua_State *L) {
  struct segment *s = check_open(L);
  return failure_push_outcome(L, segment_remove(s) == 0, s->path);
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

static int64_t check_offset (lua_State *L, int index) {
  lua_Number offset = luaL_checknumber(L, index);
  luaL_argcheck(L, offset >= 0 && offset <= 9007199254740992.0 && offset == floor(offset), index, "no place in a file");
  return (int64_t)offset;
}

/* segment:append(text) -> offset | nil, message */
static int append (lua_State *L) {
  struct segment *s = check_open(L);
  size_t length;
  int64_t offset;
  luaL_checktype(L, 2, LUA_TSTRING);
  const char *text = lua_tolstring(L, 2, &length);
  luaL_argcheck(L, memchr(text, '\n', length) == NULL, 2, "more than one line");
  if (segment_append(s, text, length, &offset) != 0) return failure_push(L, s->path);
  compat_integer(L, offset);
  return 1;
}

/* Straight from the arguments to the file: a string in between would be one more that looks like all others, see
   lua_scanner.h. */
static int append_composed (lua_State *L, size_t compose (lua_State *, int, char *, struct line_problem *)) {
  struct segment *s = check_open(L);
  char text[LINE_SIZE];
  struct line_problem problem = { "" };
  int64_t offset;
  size_t length = compose(L, 2, text, &problem);
  if (length == 0) {
    lua_pushnil(L);
    lua_pushliteral(L, "no valid id");
    return 2;
  }
  if (segment_append(s, text, length, &offset) != 0) return failure_push(L, s->path);
  compat_integer(L, offset);
  if (problem.text[0] == '\0') return 1;
  lua_pushstring(L, problem.text);
  return 2;
}

/* segment:pending(id, key, context) -> offset, problem | nil, message */
static int append_pending (lua_State *L) { return append_composed(L, line_compose_pending); }

/* segment:note(id, interrupted, context, instant) -> offset, problem | nil, message */
static int append_note (lua_State *L) { return append_composed(L, line_compose_note); }

/* segment:read(offset) -> text | nil, message */
static int read_line (lua_State *L) {
  struct segment *s = check_open(L);
  char text[SEGMENT_MAX_LINE];
  size_t length;
  if (segment_read(s, check_offset(L, 2), text, &length) != 0) return failure_push(L, s->path);
  lua_pushlstring(L, text, length);
  return 1;
}

/* segment:close_line(offset) -> true | nil, message */
static int close_line (lua_State *L) {
  struct segment *s = check_open(L);
  return failure_push_outcome(L, segment_close_line(s, check_offset(L, 2)) == 0, s->path);
}

/* segment:open_lines(from, most_bytes) -> { offset1, text1, offset2, text2, ... }, next | nil, message */
static int open_lines (lua_State *L) {
  struct segment *s = check_open(L);
  struct segment_scan scan;
  struct segment_line line;
  int64_t from = check_offset(L, 2), most = check_offset(L, 3);
  int status, n = 0;
  luaL_argcheck(L, most > 0, 3, "no bytes");
  lua_newtable(L);
  segment_scan(&scan, s, from, from + most);
  while ((status = segment_scan_next(&scan, &line)) == 1) {
    compat_integer(L, line.offset);
    lua_rawseti(L, -2, ++n);
    lua_pushlstring(L, line.text, line.length);
    lua_rawseti(L, -2, ++n);
  }
  if (status != 0) return failure_push(L, s->path);
  int64_t next = segment_scan_rest(&scan);
  if (next >= 0) compat_integer(L, next);
  else lua_pushnil(L);
  return 2;
}

/* segment:size() -> bytes */
static int size (lua_State *L) {
  compat_integer(L, check_open(L)->end);
  return 1;
}

/* segment:compact() -> { [old offset] = new offset, ... } of the open lines | nil, message. The table is made first: running
   out of memory after the files were exchanged would leave the caller with offsets into the old one. */
static int compact (lua_State *L) {
  struct segment *s = check_open(L);
  struct segment_scan scan;
  struct segment_line line;
  int64_t to = 0;
  int status;
  lua_newtable(L);
  segment_scan(&scan, s, 0, s->end);
  while ((status = segment_scan_next(&scan, &line)) == 1) {
    compat_integer(L, line.offset);
    compat_integer(L, to);
    lua_rawset(L, -3);
    to += (int64_t)line.length + 1;
  }
  return status == 0 && segment_compact(s, to) == 0 ? 1 : failure_push(L, s->path);
}

/* core.remove_stale(path) -> true if removed | false */
static int remove_stale (lua_State *L) {
  const char *path = path_check(L, 1);
  const size_t length = strlen(path), suffix = sizeof SEGMENT_SUFFIX - 1;
  luaL_argcheck(L, length > suffix && strcmp(path + length - suffix, SEGMENT_SUFFIX) == 0, 1, "must end in " SEGMENT_SUFFIX);
  lua_pushboolean(L, segment_remove_stale(path));
  return 1;
}

static const luaL_Reg metamethods[] = { { "__gc", close_segment }, { NULL, NULL } };
static const luaL_Reg methods[] = {
  { "append", append }, { "pending", append_pending }, { "note", append_note }, { "read", read_line },
  { "close_line", close_line }, { "open_lines", open_lines }, { "size", size }, { "compact", compact },
  { "remove", remove_segment }, { "close", close_segment }, { NULL, NULL }
};
static const luaL_Reg makers[] = { { "new_segment", new_segment }, { "adopt_segment", adopt_segment }, { NULL, NULL } };
static const luaL_Reg functions[] = { { "remove_stale", remove_stale }, { NULL, NULL } };

static void set_functions (lua_State *L, const luaL_Reg *list) {
  luaL_getmetatable(L, SEGMENT_METATABLE);
  compat_setfuncs(L, list, 1);
}

void segment_register (lua_State *L) {
  luaL_newmetatable(L, SEGMENT_METATABLE);
  set_functions(L, metamethods);
  lua_newtable(L);
  set_functions(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  set_functions(L, makers);
  compat_setfuncs(L, functions, 0);
}

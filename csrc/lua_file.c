#include "lua_file.h"

#include "file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READER_METATABLE "openrouter.reader"
#define WRITER_METATABLE "openrouter.writer"

/* nil, "path: reason", errno name where a caller acts on it */
static int push_failure (lua_State *L, const char *path) {
  int reason = errno;
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", path, strerror(reason));
  if (reason == EWOULDBLOCK) lua_pushliteral(L, "locked");
  else if (reason == ENOENT) lua_pushliteral(L, "missing");
  else lua_pushnil(L);
  return 3;
}

/* ---- core.lines(path) -> iterator of line, number, whole | nil, message ---------------------------------------- */

static int reader_gc (lua_State *L) {
  file_reader_close((struct file_reader *)luaL_checkudata(L, 1, READER_METATABLE));
  return 0;
}

static int nothing (lua_State *L) {
  (void)L;
  return 0;
}

/* The next line. Ctrl-C makes Lua raise an error at its next call, so after a signal there has to be one. */
static enum file_line next_line (lua_State *L, struct file_reader *r, const char **line, size_t *length) {
  enum file_line what;
  while ((what = file_reader_next(r, line, length)) == FILE_INTERRUPTED) {
    lua_pushcfunction(L, nothing);
    lua_call(L, 0, 0);
  }
  return what;
}

/* The iterator. A line too long to be read comes as false. A read error ends it with nil and a message. */
static int reader_next (lua_State *L) {
  struct file_reader *r = (struct file_reader *)lua_touserdata(L, lua_upvalueindex(1));
  const char *line = NULL;
  size_t length = 0;
  if (r->fd < 0) return 0;
  enum file_line what = next_line(L, r, &line, &length);
  if (what == FILE_ERROR) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", lua_tostring(L, lua_upvalueindex(2)), strerror(errno));
    file_reader_close(r);
    return 2;
  }
  if (what == FILE_END) {
    file_reader_close(r);
    return 0;
  }
  if (what == FILE_TOO_LONG) lua_pushboolean(L, 0);
  else lua_pushlstring(L, line, length);
  compat_integer(L, r->number);
  lua_pushboolean(L, what == FILE_LINE);
  return 3;
}

static int lines (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct file_reader *r = (struct file_reader *)compat_newuserdata(L, sizeof *r);
  memset(r, 0, sizeof *r);
  r->fd = -1;
  luaL_getmetatable(L, READER_METATABLE);
  lua_setmetatable(L, -2);
  if (file_reader_open(r, path) != 0) return push_failure(L, path);
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, reader_next, 2);
  return 1;
}

/* ---- core.append_file(path) -> writer | nil, message, "locked" ------------------------------------------------- */

struct writer {
  int fd;
  int torn;  /* the last line is in the file in part: end it before the next one */
};

static struct writer *check_writer (lua_State *L) {
  struct writer *w = (struct writer *)luaL_checkudata(L, 1, WRITER_METATABLE);
  if (w->fd < 0) luaL_error(L, "attempt to use a closed file");
  return w;
}

static int writer_gc (lua_State *L) {
  struct writer *w = (struct writer *)luaL_checkudata(L, 1, WRITER_METATABLE);
  if (w->fd >= 0) close(w->fd);
  w->fd = -1;
  return 0;
}

/* writer:append(line) -> true | nil, message. The line end is added here. */
static int writer_append (lua_State *L) {
  struct writer *w = check_writer(L);
  size_t length, written;
  luaL_checktype(L, 2, LUA_TSTRING);
  lua_settop(L, 2);
  lua_pushliteral(L, "\n");
  lua_concat(L, 2);
  const char *line = lua_tolstring(L, 2, &length);
  if (w->torn && file_append(w->fd, "\n", 1, &written) == 0) w->torn = 0;
  if (!w->torn && file_append(w->fd, line, length, &written) == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (written > 0) w->torn = 1;
  lua_pushnil(L);
  lua_pushstring(L, strerror(errno));
  return 2;
}

/* writer:size() -> bytes; 0 for what is no file on a disk, such as a pipe */
static int writer_size (lua_State *L) {
  compat_integer(L, file_size(check_writer(L)->fd));
  return 1;
}

/* writer:close() -> true | nil, message. Returns when what was appended is on the disk. */
static int writer_close (lua_State *L) {
  struct writer *w = check_writer(L);
  int fd = w->fd;
  w->fd = -1;
  if (file_close(fd) == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, strerror(errno));
  return 2;
}

static int append_file (lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct writer *w = (struct writer *)compat_newuserdata(L, sizeof *w);
  w->fd = -1;
  w->torn = 0;
  luaL_getmetatable(L, WRITER_METATABLE);
  lua_setmetatable(L, -2);
  w->fd = file_open_append(path);
  return w->fd < 0 ? push_failure(L, path) : 1;
}

static const luaL_Reg no_methods[] = { { NULL, NULL } };
static const luaL_Reg functions[] = { { "lines", lines }, { "append_file", append_file }, { NULL, NULL } };
static const luaL_Reg writer_methods[] = {
  { "append", writer_append }, { "size", writer_size }, { "close", writer_close }, { NULL, NULL }
};

static void make_metatable (lua_State *L, const char *name, lua_CFunction gc, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  compat_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

void file_register (lua_State *L) {
  make_metatable(L, READER_METATABLE, reader_gc, no_methods);
  make_metatable(L, WRITER_METATABLE, writer_gc, writer_methods);
  compat_setfuncs(L, functions, 0);
}

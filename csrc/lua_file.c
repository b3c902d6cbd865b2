#include "lua_file.h"

#include "file.h"
#include "file_reader.h"
#include "file_shared.h"
#include "lua_failure.h"
#include "lua_path.h"
#include "unpack.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READER_METATABLE "openrouter.reader"
#define WRITER_METATABLE "openrouter.writer"
#define SHARED_METATABLE "openrouter.shared_writer"

/* true, or nil and the reason in errno */
static int push_outcome (lua_State *L, bool done) {
  int reason = errno;
  if (done) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, strerror(reason));
  return 2;
}

/* ---- core.lines(path) -> iterator of line, number, whole, bytes to read if that is known | nil, message ---------- */

struct lines {
  struct file_reader reader;
  const char *program;  /* that unpacks the file, or NULL */
  pid_t pid;
};

/* False when the file could not be unpacked to its end. */
static bool close_lines (struct lines *l) {
  file_reader_close(&l->reader);
  const bool packed = l->program != NULL;
  const pid_t pid = l->pid;
  l->pid = 0;
  return !packed || pid == 0 || unpack_ended(pid);
}

static int lines_gc (lua_State *L) {
  close_lines((struct lines *)luaL_checkudata(L, 1, READER_METATABLE));
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

static int lines_failed (lua_State *L, const char *why) {
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", lua_tostring(L, lua_upvalueindex(2)), why);
  return 2;
}

/* The end of what is not all: "damaged", and the last line that was there (the first one where there was none). */
static int lines_damaged (lua_State *L, uint64_t number) {
  lines_failed(L, UNPACK_FAILED);
  lua_pushliteral(L, "damaged");
  compat_integer(L, number ? number : 1);
  return 4;
}

/* Push the line, which a finalizer may write over by calling the iterator: see FINALIZERS in lua_compat.h. */
static void push_line (lua_State *L, const struct file_reader *r, const char *line, size_t length) {
  char small[MOST_ON_STACK], *copy = small;
  const uint64_t number = r->number;
  if (length > sizeof small) copy = (char *)compat_newuserdata(L, length);
  if (r->fd < 0 || r->number != number) luaL_error(L, "the file was read on while its next line was taken");
  memcpy(copy, line, length);
  lua_pushlstring(L, copy, length);
}

/* The iterator. A line too long to be read comes as false. A read error ends it with nil and a message. */
static int next_of_lines (lua_State *L) {
  struct lines *l = (struct lines *)lua_touserdata(L, lua_upvalueindex(1));
  const char *line = NULL;
  size_t length = 0;
  if (l->reader.fd < 0) return 0;
  enum file_line what = next_line(L, &l->reader, &line, &length);
  if (what == FILE_ERROR) {
    const int reason = errno;
    close_lines(l);
    return lines_failed(L, unpack_strerror(reason));
  }
  if (what == FILE_END) return close_lines(l) ? 0 : lines_damaged(L, l->reader.number);
  const uint64_t number = l->reader.number;
  if (what == FILE_TOO_LONG) lua_pushboolean(L, 0);
  else push_line(L, &l->reader, line, length);
  compat_integer(L, number);
  lua_pushboolean(L, what == FILE_LINE);
  return 3;
}

/* Let what is compressed be unpacked; false: errno says why not. */
static bool unpack_lines (struct lines *l) {
  l->program = unpack_program(l->reader.fd);
  if (l->program == NULL) return true;
  const int output = unpack_start(l->program, l->reader.fd, &l->pid);
  if (output < 0) return false;
  close(l->reader.fd);
  l->reader.fd = output;
  return true;
}

static int lines (lua_State *L) {
  const char *path = path_check(L, 1);
  struct lines *l = (struct lines *)compat_newuserdata(L, sizeof *l);
  memset(l, 0, sizeof *l);
  l->reader.fd = -1;
  luaL_getmetatable(L, READER_METATABLE);
  lua_setmetatable(L, -2);
  if (file_reader_open(&l->reader, path) != 0 || !unpack_lines(l)) return failure_push(L, path);
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, next_of_lines, 2);
  const int64_t size = l->program == NULL ? file_size(l->reader.fd) : 0;
  if (size == 0) return 1;
  compat_integer(L, size - lseek(l->reader.fd, 0, SEEK_CUR));  /* what stdin is may be read in part already */
  return 2;
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
  bool done = !w->torn && file_append(w->fd, line, length, &written) == 0;
  if (!done && written > 0) w->torn = 1;
  return push_outcome(L, done);
}

/* writer:size() -> bytes; 0 for what is no file on a disk, such as a pipe */
static int writer_size (lua_State *L) {
  compat_integer(L, file_size(check_writer(L)->fd));
  return 1;
}

/* writer:is_named(path) -> whether the path names the file, as it did when it was opened */
static int writer_is_named (lua_State *L) {
  lua_pushboolean(L, file_is_named(check_writer(L)->fd, path_check(L, 2)));
  return 1;
}

/* writer:close() -> true | nil, message. Returns when what was appended is on the disk. */
static int writer_close (lua_State *L) {
  struct writer *w = check_writer(L);
  int fd = w->fd;
  w->fd = -1;
  return push_outcome(L, file_close(fd) == 0);
}

static int append_file (lua_State *L) {
  const char *path = path_check(L, 1);
  struct writer *w = (struct writer *)compat_newuserdata(L, sizeof *w);
  w->fd = -1;
  w->torn = 0;
  luaL_getmetatable(L, WRITER_METATABLE);
  lua_setmetatable(L, -2);
  w->fd = file_open_append(path);
  return w->fd < 0 ? failure_push(L, path) : 1;
}

/* ---- core.shared_file(path) -> writer | nil, message ------------------------------------------------------------ */

/* What the userdata holds: NULL once it is closed. */
static struct file_shared **check_handle (lua_State *L) {
  return (struct file_shared **)luaL_checkudata(L, 1, SHARED_METATABLE);
}

static struct file_shared *check_shared (lua_State *L) {
  struct file_shared *s = *check_handle(L);
  if (s == NULL) luaL_error(L, "attempt to use a closed file");
  return s;
}

static int shared_gc (lua_State *L) {
  struct file_shared **handle = check_handle(L);
  if (*handle != NULL) file_shared_drop(*handle);
  *handle = NULL;
  return 0;
}

/* writer:append(line) -> true | nil, message. The line end is added here. */
static int shared_append (lua_State *L) {
  struct file_shared *s = check_shared(L);
  size_t length;
  luaL_checktype(L, 2, LUA_TSTRING);
  const char *line = lua_tolstring(L, 2, &length);
  return push_outcome(L, file_shared_append(s, line, length) == 0);
}

/* writer:size() -> bytes, as above */
static int shared_size (lua_State *L) {
  compat_integer(L, file_shared_size(check_shared(L)));
  return 1;
}

/* writer:sync() -> true | nil, message. What was appended is on its way to the disk, or will be behind what is. */
static int shared_sync (lua_State *L) { return push_outcome(L, file_shared_sync(check_shared(L)) == 0); }

/* writer:synced() -> true when nothing is on its way any more, false while something is; nil, message, once, when it failed */
static int shared_synced (lua_State *L) {
  enum file_synced how = file_shared_synced(check_shared(L));
  if (how == FILE_UNSYNCED) return push_outcome(L, false);
  lua_pushboolean(L, how == FILE_SYNCED);
  return 1;
}

/* writer:close() -> true | nil, message. Returns when what was appended is on the disk. */
static int shared_close (lua_State *L) {
  struct file_shared *s = check_shared(L);
  *check_handle(L) = NULL;
  return push_outcome(L, file_shared_close(s) == 0);
}

static int shared_file (lua_State *L) {
  const char *path = path_check(L, 1);
  struct file_shared **handle = (struct file_shared **)compat_newuserdata(L, sizeof *handle);
  *handle = NULL;
  luaL_getmetatable(L, SHARED_METATABLE);
  lua_setmetatable(L, -2);
  *handle = file_shared_open(path);
  return *handle == NULL ? failure_push(L, path) : 1;
}

/* ---- core.modified(path) -> Unix seconds | nil ------------------------------------------------------------------- */

static int modified (lua_State *L) {
  double seconds;
  if (file_modified(path_check(L, 1), &seconds)) lua_pushnumber(L, (lua_Number)seconds);
  else lua_pushnil(L);
  return 1;
}

static const luaL_Reg no_methods[] = { { NULL, NULL } };
static const luaL_Reg functions[] = {
  { "lines", lines }, { "append_file", append_file }, { "shared_file", shared_file }, { "modified", modified }, { NULL, NULL }
};
static const luaL_Reg writer_methods[] = {
  { "append", writer_append }, { "size", writer_size }, { "is_named", writer_is_named }, { "close", writer_close },
  { NULL, NULL }
};
static const luaL_Reg shared_methods[] = {
  { "append", shared_append }, { "size", shared_size },   { "sync", shared_sync },
  { "synced", shared_synced }, { "close", shared_close }, { NULL, NULL }
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
  make_metatable(L, READER_METATABLE, lines_gc, no_methods);
  make_metatable(L, WRITER_METATABLE, writer_gc, writer_methods);
  make_metatable(L, SHARED_METATABLE, shared_gc, shared_methods);
  compat_setfuncs(L, functions, 0);
}

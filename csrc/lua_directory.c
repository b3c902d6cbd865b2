#define _XOPEN_SOURCE 700  /* seteuid, realpath */
#include "lua_directory.h"

#include "lua_failure.h"
#include "lua_path.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY_METATABLE "openrouter.directory"

/* ---- what is in one ---------------------------------------------------------------------------------------------- */

static int directory_gc (lua_State *L) {
  DIR **directory = (DIR **)luaL_checkudata(L, 1, DIRECTORY_METATABLE);
  if (*directory) closedir(*directory);
  *directory = NULL;
  return 0;
}

static int compare (const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Put the strings of the array at `index` in the order of their bytes, whatever the locale. */
static void sort_names (lua_State *L, int index, int count) {
  const char **names = (const char **)compat_newuserdata(L, ((size_t)count + 1) * sizeof *names);
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, index, i + 1);
    names[i] = lua_tostring(L, -1);  /* which is in the array, as long as it is needed */
    lua_pop(L, 1);
  }
  qsort(names, (size_t)count, sizeof *names, compare);
  for (int i = 0; i < count; i++) {
    lua_pushstring(L, names[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* core.list_directory(path) -> names, in order, without "." and ".." | nil, message, "missing" */
static int list_directory (lua_State *L) {
  const char *path = path_check(L, 1);
  struct dirent *entry;
  int count = 0;
  lua_settop(L, 1);
  DIR **directory = (DIR **)compat_newuserdata(L, sizeof *directory);
  *directory = NULL;
  luaL_getmetatable(L, DIRECTORY_METATABLE);
  lua_setmetatable(L, -2);
  lua_newtable(L);
  if ((*directory = opendir(path)) == NULL) return failure_push(L, path);
  while (errno = 0, (entry = readdir(*directory)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    lua_pushstring(L, entry->d_name);
    lua_rawseti(L, 3, ++count);
  }
  if (errno != 0) return failure_push(L, path);
  closedir(*directory);
  *directory = NULL;
  sort_names(L, 3, count);
  return 1;
}

/* core.make_directory(path) -> true, also if it is there | nil, message. With mode 0700. */
static int make_directory (lua_State *L) {
  const char *path = path_check(L, 1);
  struct stat status;
  bool made = mkdir(path, 0700) == 0;
  if (!made && errno == EEXIST) {
    made = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    errno = ENOTDIR;
  }
  return failure_push_outcome(L, made, path);
}

/* ---- whose a file is --------------------------------------------------------------------------------------------- */

static const char *kind_of_file (mode_t mode) { return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : "other"; }

/* core.file_status(path) -> "file" | "directory" | "other", mode bits, owner's name or number | nil, message, "missing" */
static int file_status (lua_State *L) {
  const char *path = path_check(L, 1);
  struct stat status;
  if (stat(path, &status) != 0) return failure_push(L, path);
  char number[24];
  snprintf(number, sizeof number, "%lu", (unsigned long)status.st_uid);
  const struct passwd *owner = getpwuid(status.st_uid);
  lua_pushstring(L, kind_of_file(status.st_mode));
  compat_integer(L, status.st_mode & 07777);
  lua_pushstring(L, owner ? owner->pw_name : number);
  return 3;
}

/* core.set_mode(path, bits) -> true | nil, message */
static int set_mode (lua_State *L) {
  const char *path = path_check(L, 1);
  return failure_push_outcome(L, chmod(path, (mode_t)luaL_checkinteger(L, 2)) == 0, path);
}

/* core.real_path(path) -> the path without links in it | nil, message. Of a link that leads to nothing, where that would be. */
static int real_path (lua_State *L) {
  const char *path = path_check(L, 1), *slash = strrchr(path, '/');
  char real[PATH_MAX];
  if (realpath(path, real) != NULL) {
    lua_pushstring(L, real);
    return 1;
  }
  const ssize_t length = readlink(path, real, sizeof real);
  if (length < 0 || (size_t)length == sizeof real) return failure_push(L, path);
  lua_pushlstring(L, path, slash && real[0] != '/' ? (size_t)(slash + 1 - path) : 0);  /* it is from its own folder */
  lua_pushlstring(L, real, (size_t)length);
  lua_concat(L, 2);
  return 1;
}

/* core.act_as_owner(path) -> whether that changed who we are | nil, message. What root makes among the files of others, these
   others could not write to, and they could make root write elsewhere by a link. */
static int act_as_owner (lua_State *L) {
  const char *path = path_check(L, 1);
  struct stat status;
  if (stat(path, &status) != 0) return failure_push(L, path);
  bool change = geteuid() == 0 && status.st_uid != 0;
  if (change && (setegid(status.st_gid) != 0 || seteuid(status.st_uid) != 0)) return failure_push(L, path);
  lua_pushboolean(L, change);
  return 1;
}

static const luaL_Reg functions[] = {
  { "list_directory", list_directory }, { "make_directory", make_directory }, { "file_status", file_status },
  { "set_mode", set_mode }, { "real_path", real_path }, { "act_as_owner", act_as_owner }, { NULL, NULL }
};

void directory_register (lua_State *L) {
  luaL_newmetatable(L, DIRECTORY_METATABLE);
  lua_pushcfunction(L, directory_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  compat_setfuncs(L, functions, 0);
}

#define _POSIX_C_SOURCE 200809L  /* PATH_MAX */
#include "lua_failure.h"

#include "segment.h"
#include "unpack.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static const char *word_for (int reason) {
  switch (reason) {
    case EWOULDBLOCK: return "locked";
    case ENOENT: return "missing";
    case EEXIST: return "exists";
    default: return NULL;
  }
}

int failure_push (lua_State *L, const char *path) {
  const int reason = errno;
  const size_t length = strlen(path);
  char own[PATH_MAX];  /* the path of an object may go with it (see FINALIZERS in lua_compat.h); no file has a longer one */
  if (length < sizeof own) path = (const char *)memcpy(own, path, length + 1);
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", path,
                  reason == SEGMENT_NO_LINE ? "no line of a journal starts there" : unpack_strerror(reason));
  lua_pushstring(L, word_for(reason));
  return 3;
}

int failure_push_outcome (lua_State *L, bool fine, const char *path) {
  if (!fine) return failure_push(L, path);
  lua_pushboolean(L, 1);
  return 1;
}

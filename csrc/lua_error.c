#include "lua_error.h"

#include "json.h"
#include "lua_value.h"

#include <string.h>

void error_push_metatable (lua_State *L) {
  luaL_newmetatable(L, ERROR_METATABLE);
}

/* Whether the message of the table on top says no more than the kind it has so far. */
static bool says_its_kind (lua_State *L) {
  lua_getfield(L, -1, "message");
  lua_getfield(L, -2, "kind");
  const char *message = lua_tostring(L, -2), *name = lua_tostring(L, -1);
  int kind = name ? kind_find(name) : -1;
  bool same = message && kind >= 0 && strcmp(message, kind_meaning((enum kind)kind)) == 0;
  lua_pop(L, 2);
  return same;
}

void error_set_kind (lua_State *L, enum kind kind) {
  if (says_its_kind(L)) {
    lua_pushstring(L, kind_meaning(kind));
    lua_setfield(L, -2, "message");
  }
  lua_pushstring(L, kind_name(kind));
  lua_setfield(L, -2, "kind");
  lua_pushboolean(L, kind_retryable(kind));
  lua_setfield(L, -2, "retryable");
}

void error_push (lua_State *L, enum kind kind, const char *message) {
  lua_createtable(L, 0, 8);
  lua_pushstring(L, message ? message : kind_meaning(kind));
  lua_setfield(L, -2, "message");
  error_set_kind(L, kind);
  error_push_metatable(L);
  lua_setmetatable(L, -2);
}

/* Copy a member of the JSON object to the error table on top if it is of the wanted kind. */
static void copy_member (lua_State *L, const char *object, const char *name, const char *kind) {
  const char *value = json_member(object, name, strlen(name));
  if (value == NULL || strcmp(json_kind(value), kind) != 0 || strncmp(value, "\"\"", 2) == 0) return;
  value_push(L, value, false);
  lua_setfield(L, -2, name);
}

void error_fill_from_api (lua_State *L, const char *error) {
  if (*error == '"') {
    value_push(L, error, false);
    lua_setfield(L, -2, "message");
    return;
  }
  copy_member(L, error, "message", "string");
  copy_member(L, error, "code", "number");
  copy_member(L, error, "code", "string");
  copy_member(L, error, "metadata", "object");
}

void error_fill_from_ledger (lua_State *L, const char *error_object) {
  copy_member(L, error_object, "kind", "string");
  lua_getfield(L, -1, "kind");
  int kind = kind_find(lua_tostring(L, -1));
  lua_pop(L, 1);
  if (kind > KIND_settled) error_set_kind(L, (enum kind)kind);
  copy_member(L, error_object, "message", "string");
  copy_member(L, error_object, "status", "number");
  copy_member(L, error_object, "attempts", "number");
}

#include "lua_record.h"

#include "lua_error.h"
#include "lua_value.h"
#include "retry.h"

#include <stdio.h>
#include <string.h>

struct record *record_refuse (lua_State *L, int index) {
  compat_type_error(L, index, "generation record");
  return NULL;
}

const struct record *record_check (lua_State *L, int index) {
  struct record *r = record_peek(L, index);
  r->pinned = true;
  return r;
}

/* ---- members --------------------------------------------------------------------------------------------------- */

/* Key of the table below in the uservalue: an address, which no table that others fill can have (on 5.1 the environment
   a record starts with is `package`, or the globals). */
static char decoded_key;

/* Push the table of the record's decoded lists and objects, by name. Made on first use: most records never need one. */
static void push_decoded (lua_State *L, int index) {
  compat_getuservalue(L, index);
  lua_pushlightuserdata(L, &decoded_key);
  if (lua_istable(L, -2)) {
    lua_rawget(L, -2);
    if (lua_istable(L, -1)) {
      lua_remove(L, -2);
      return;
    }
    lua_pop(L, 1);
  } else {
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  lua_newtable(L);  /* the uservalue; before 5.2 it replaces an environment shared with other userdata */
  lua_newtable(L);
  lua_pushlightuserdata(L, &decoded_key);
  lua_pushvalue(L, -2);
  lua_rawset(L, -4);
  lua_insert(L, -2);
  compat_setuservalue(L, index);
}

/* Push the list or object called `name` as a table, the same one every time. */
static void push_kept (lua_State *L, int index, const char *name, size_t length, const char *value, bool responses) {
  push_decoded(L, index);
  lua_pushlstring(L, name, length);
  lua_pushvalue(L, -1);
  lua_rawget(L, -3);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    if (responses) value_push_typed(L, TYPE_LIST, value);
    else value_push(L, value, false);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, -5);
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
}

static void push_string (lua_State *L, struct record *r, const char *value) {
  r->busy++;
  value_push_json_string(L, value);
  r->busy--;
}

static void push_list (lua_State *L, int index, struct record *r, const struct field_info *info, const char *value) {
  r->pinned = true;
  push_kept(L, index, info->name, info->name_length, value, true);
}

void record_push_member (lua_State *L, int index, struct record *r, int field) {
  const struct field_info *info = &field_info[field];
  const char *value = record_member(r, field);
  if (value == NULL) lua_pushnil(L);
  else if (*value == '"' && info->type <= TYPE_ENUM) push_string(L, r, value);
  else if (*value == '[' && info->type == TYPE_LIST) push_list(L, index, r, info, value);
  else value_push_typed(L, info->type, value);
}

static void push_unknown (lua_State *L, int index, const char *name, size_t length, const char *value) {
  if (value == NULL) lua_pushnil(L);
  else if (*value == '{' || *value == '[') push_kept(L, index, name, length, value, false);
  else value_push(L, value, false);
}

void record_push_value (lua_State *L, int index, struct record *r, const char *name, size_t length, const char *value) {
  int field = field_find(name, length);
  if (field >= 0) record_push_member(L, index, r, field);
  else push_unknown(L, index, name, length, value);
}

/* record[name] */
static int record_index_name (lua_State *L) {
  struct record *r = record_peek(L, 1);
  size_t length;
  if (lua_type(L, 2) != LUA_TSTRING) return 0;
  const char *name = lua_tolstring(L, 2, &length);
  int field = field_find(name, length);
  if (field >= 0) {
    record_push_member(L, 1, r, field);
  } else {
    r->pinned = true;
    push_unknown(L, 1, name, length, json_member(r->text + r->object, name, length));
  }
  return 1;
}

static int record_new_index (lua_State *L) {
  record_peek(L, 1);
  return luaL_error(L, "a generation record cannot be changed (generation.totable gives a copy that can)");
}

/* The id as spelt in JSON, where no control character stands for itself. */
static int record_tostring (lua_State *L) {
  const struct record *r = record_check(L, 1);
  size_t length;
  if (record_state(r, FIELD_id) != VALUE_PRESENT) {
    lua_pushliteral(L, "generation without id");
    return 1;
  }
  const char *id = json_string(record_member(r, FIELD_id), &length);
  lua_pushliteral(L, "generation ");
  lua_pushlstring(L, id, length);
  lua_concat(L, 2);
  return 1;
}

/* ---- decoding -------------------------------------------------------------------------------------------------- */

static void push_invalid (lua_State *L, const struct record *r, const struct json_check *error) {
  char message[RECORD_REASON];
  const size_t byte = record_complaint(r, error, message);
  error_push(L, KIND_bad_answer, message);
  compat_integer(L, byte);
  lua_setfield(L, -2, "byte");
}

static void push_api_error (lua_State *L, const char *part) {
  const char *code = *part == '{' ? json_member(part, "code", 4) : NULL;
  int64_t status = 0;
  if (code == NULL || !json_is_number(code) || !json_integer(code, &status) || status < 400 || status > 599) status = 0;
  enum kind kind = kind_of_status((int)status);
  error_push(L, kind, NULL);
  error_fill_from_api(L, part);
}

static void push_error (lua_State *L, const struct record *r, enum record_kind kind, const char *part,
                        const struct json_check *error) {
  switch (kind) {
    case RECORD_API_ERROR: push_api_error(L, part); break;
    case RECORD_FAILED:
      error_push(L, KIND_unresolved, "a ledger line of a lookup that failed");
      if (*part == '{') error_fill_from_ledger(L, part);
      break;
    case RECORD_OPEN: error_push(L, KIND_unresolved, "a ledger line of a lookup that is still open"); break;
    default: push_invalid(L, r, error);
  }
}

void record_put_text (struct record *r, const char *text, size_t length) {
  r->length = (uint32_t)length;
  memcpy(r->text, text, length);
  r->text[length] = '\0';
}

static enum record_kind put_text (struct record *r, const char *text, size_t length, const char **part,
                                  struct json_check *check) {
  record_put_text(r, text, length);
  return record_index(r, part, check);
}

struct record *record_push_room (lua_State *L, size_t length) {
  struct record *r = (struct record *)compat_newuserdata(L, sizeof *r + length);
  r->magic = 0;
  r->capacity = (uint32_t)length;
  r->busy = 0;
  r->pinned = false;
  return r;
}

/* r is on top of the stack. */
static void become_record (lua_State *L, struct record *r, int metatable) {
  r->magic = RECORD_MAGIC;
  lua_pushvalue(L, metatable);
  lua_setmetatable(L, -2);
}

enum record_kind record_decode_room (lua_State *L, int metatable) {
  struct record *r = (struct record *)lua_touserdata(L, -1);
  const char *part = NULL;
  struct json_check error;
  enum record_kind kind = record_index(r, &part, &error);
  if (kind == RECORD_GENERATION) {
    become_record(L, r, metatable);
    return kind;
  }
  push_error(L, r, kind, part, &error);
  lua_remove(L, -2);
  return kind;
}

enum record_kind record_decode (lua_State *L, const char *text, size_t length, int metatable) {
  if (length > RECORD_MAX_TEXT) {
    error_push(L, KIND_too_large, "the text is longer than 64 MiB");
    return RECORD_INVALID;
  }
  record_put_text(record_push_room(L, length), text, length);
  return record_decode_room(L, metatable);
}

static bool is_free (const struct record *r, size_t length) { return !r->pinned && r->busy == 0 && length <= r->capacity; }

/* So that nobody takes the record that was there for another one. */
static void make_empty (struct record *r) {
  const char *part;
  struct json_check check;
  if (is_free(r, 2)) put_text(r, "{}", 2, &part, &check);
}

/* Decode into a record that exists. False, and it is as it was or empty, where it is not for that or the text holds none. */
static bool decode_again (struct record *r, const char *text, size_t length) {
  const char *part;
  struct json_check check;
  if (!is_free(r, length)) return false;
  if (put_text(r, text, length, &part, &check) == RECORD_GENERATION) return true;
  make_empty(r);
  return false;
}

int record_lua_decode (lua_State *L) {
  size_t length;
  luaL_checktype(L, 1, LUA_TSTRING);
  const char *text = lua_tolstring(L, 1, &length);
  struct record *r = lua_isnoneornil(L, 2) ? NULL : record_peek(L, 2);
  lua_settop(L, 2);
  if (r != NULL && decode_again(r, text, length)) return 1;
  if (record_decode(L, text, length, RECORD_UPVALUE) == RECORD_GENERATION) return 1;
  if (r != NULL) make_empty(r);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

static int push_reason (lua_State *L, const char *reason) {
  lua_pushnil(L);
  if (reason) lua_pushstring(L, reason);
  return reason ? 2 : 1;
}

int record_lua_read (lua_State *L) {
  char room[RECORD_REASON];
  const char *part = NULL, *reason;
  struct json_check check;
  size_t length;
  const char *line = lua_tolstring(L, 1, &length);
  struct record *given = lua_isnoneornil(L, 3) ? NULL : record_peek(L, 3), *r = given;
  if (line == NULL || length > RECORD_MAX_TEXT) return push_reason(L, RECORD_TOO_LONG);
  if (record_is_blank(line, length)) return push_reason(L, NULL);
  lua_settop(L, 3);
  if (r == NULL || !is_free(r, length)) r = record_push_room(L, length);
  const enum record_kind kind = put_text(r, line, length, &part, &check);
  reason = record_refusal(r, kind, part, &check, room);
  if (kind == RECORD_GENERATION && reason == NULL) {
    if (r != given) become_record(L, r, RECORD_UPVALUE);
    return 1;
  }
  if (given) make_empty(given);
  return push_reason(L, kind == RECORD_INVALID && !lua_toboolean(L, 2) ? RECORD_TORN : reason);
}

static const luaL_Reg metamethods[] = { { "__index", record_index_name },
                                        { "__newindex", record_new_index },
                                        { "__tostring", record_tostring },
                                        { NULL, NULL } };

void record_push_metatable (lua_State *L) {
  luaL_newmetatable(L, RECORD_METATABLE);
  compat_setfuncs(L, metamethods, 0);
  lua_pushliteral(L, "openrouter.generation");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
}

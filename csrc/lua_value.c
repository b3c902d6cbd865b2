#include "lua_value.h"

#include "json.h"
#include "record.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void value_push_string (lua_State *L, const char *raw, size_t length) {
  if (memchr(raw, '\\', length) == NULL) {
    lua_pushlstring(L, raw, length);
    return;
  }
  char *text = (char *)compat_newuserdata(L, length);  /* owned by Lua, so an error below leaks nothing */
  lua_pushlstring(L, text, json_unescape(text, raw, length));
  lua_remove(L, -2);
}

static void push_json_string (lua_State *L, const char *json) {
  size_t length;
  const char *raw = json_string(json, &length);
  value_push_string(L, raw, length);
}

static void push_number (lua_State *L, const char *json) {
  const char *p = json;
  int64_t integer;
  double number;
  while (*p == '-' || (*p >= '0' && *p <= '9')) p++;
  bool plain = *p != '.' && *p != 'e' && *p != 'E';
  if (plain && json_integer(json, &integer)) {
    compat_integer(L, integer);
    return;
  }
  json_double(json, &number);  /* beyond a double's range it is infinite; the exact text is in the record */
  lua_pushnumber(L, number);
}

static void push_object (lua_State *L, const char *json, bool keep_null) {
  const char *p = json, *name, *value;
  size_t length;
  lua_newtable(L);
  while (json_next_member(&p, &name, &length, &value)) {
    value_push_string(L, name, length);
    value_push(L, value, keep_null);
    lua_rawset(L, -3);
  }
}

static void push_array (lua_State *L, const char *json, bool keep_null) {
  const char *p = json, *value;
  lua_newtable(L);
  for (int i = 1; json_next_item(&p, &value); i++) {
    value_push(L, value, keep_null);
    lua_rawseti(L, -2, i);
  }
}

void value_push (lua_State *L, const char *json, bool keep_null) {
  luaL_checkstack(L, 8, "value nested too deeply");
  switch (*json) {
    case '{': push_object(L, json, keep_null); break;
    case '[': push_array(L, json, keep_null); break;
    case '"': push_json_string(L, json); break;
    case 't': case 'f': lua_pushboolean(L, *json == 't'); break;
    case 'n':
      if (keep_null) lua_pushlightuserdata(L, NULL);
      else lua_pushnil(L);
      break;
    default: push_number(L, json);
  }
}

/* One entry of provider_responses: known members have their schema's type or are nil, like a record's own. */
static void push_response (lua_State *L, const char *json) {
  const char *p = json, *name, *value;
  size_t length;
  lua_newtable(L);
  while (json_next_member(&p, &name, &length, &value)) {
    value_push_string(L, name, length);
    size_t plain_length;
    const char *plain = lua_tolstring(L, -1, &plain_length);
    int known = response_find(plain, plain_length);
    if (known < 0) value_push(L, value, false);
    else if (value_state(response_info[known].type, value) != VALUE_PRESENT) lua_pushnil(L);
    else value_push_typed(L, response_info[known].type, value);
    lua_rawset(L, -3);
  }
}

static void push_responses (lua_State *L, const char *json) {
  const char *p = json, *value;
  lua_newtable(L);
  for (int i = 1; json_next_item(&p, &value); i++) {
    if (*value != '{') continue;  /* no entry; its place stays empty so that the others keep theirs */
    push_response(L, value);
    lua_rawseti(L, -2, i);
  }
}

void value_push_typed (lua_State *L, enum field_type type, const char *json) {
  int64_t integer = 0;
  double number = 0;
  switch (type) {
    case TYPE_BOOLEAN: lua_pushboolean(L, *json == 't'); break;
    case TYPE_INTEGER:
      json_integer(json, &integer);
      compat_integer(L, integer);
      break;
    case TYPE_NUMBER: case TYPE_MONEY:
      json_double(json, &number);
      lua_pushnumber(L, number);
      break;
    case TYPE_LIST: push_responses(L, json); break;
    default: push_json_string(L, json);
  }
}

/* ---- Lua to JSON ------------------------------------------------------------------------------------------------ */

/* Length of the well-formed UTF-8 character at p, or 0. The check trusts no byte at or behind the NUL. */
static size_t utf8_length (const char *p) {
  struct json_error error;
  char one[8] = { '"' };
  size_t n = 0;
  while (n < 4 && p[n] != '\0' && (n == 0 || ((unsigned char)p[n] & 0xC0) == 0x80)) n++;
  memcpy(one + 1, p, n);
  for (; n > 0; n--) {
    one[n + 1] = '"';
    one[n + 2] = '\0';
    if (json_check_string(one, &error) == one + n + 2) return n;
  }
  return 0;
}

static void add_escaped (luaL_Buffer *b, unsigned char c) {
  static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
  const char *known = c ? strchr(plain, c) : NULL;
  char code[8];
  luaL_addchar(b, '\\');
  if (known) {
    luaL_addchar(b, letter[known - plain]);
    return;
  }
  snprintf(code, sizeof code, "u%04x", c);
  luaL_addstring(b, code);
}

static void add_quoted (luaL_Buffer *b, const char *text, size_t length) {
  luaL_addchar(b, '"');
  for (size_t i = 0; i < length;) {
    unsigned char c = (unsigned char)text[i];
    size_t n = c < 0x80 ? 1 : utf8_length(text + i);
    if (c < 0x20 || c == '"' || c == '\\' || c == 0x7F) add_escaped(b, c);
    else if (n == 0) luaL_addlstring(b, "\xEF\xBF\xBD", 3);
    else luaL_addlstring(b, text + i, n);
    i += n ? n : 1;
  }
  luaL_addchar(b, '"');
}

int value_quote (lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  luaL_Buffer b;
  lua_settop(L, 1);
  luaL_buffinit(L, &b);
  add_quoted(&b, text, length);
  luaL_pushresult(&b);
  return 1;
}

/* The fewest digits that read back the same; a locale's decimal comma becomes a point. */
static void shortest (double number, char *out, size_t size) {
  double back;
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(out, size, "%.*g", digits, number);
    for (char *p = out; *p; p++)
      if (*p == ',') *p = '.';
    if (json_double(out, &back) && back == number) return;
  }
}

int value_number_text (lua_State *L) {
  char text[40];
  double number = luaL_checknumber(L, 1);
  luaL_argcheck(L, isfinite(number), 1, "JSON has no such number");
#if LUA_VERSION_NUM >= 503
  if (lua_isinteger(L, 1)) snprintf(text, sizeof text, "%lld", (long long)lua_tointeger(L, 1));
  else
#endif
    shortest(number, text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}

#include "lua_value.h"

#include "json.h"
#include "quote.h"
#include "record.h"

#include <math.h>
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

void value_push_json_string (lua_State *L, const char *json) {
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
    case '"': value_push_json_string(L, json); break;
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
    else value_push_typed(L, response_info[known].type, value);
    lua_rawset(L, -3);
  }
}

void value_push_responses (lua_State *L, const char *json) {
  const char *p = json, *value;
  lua_newtable(L);
  for (int i = 1; json_next_item(&p, &value); i++) {
    if (*value != '{') continue;  /* no entry; its place stays empty so that the others keep theirs */
    push_response(L, value);
    lua_rawseti(L, -2, i);
  }
}

/* ---- Lua to JSON ------------------------------------------------------------------------------------------------ */

int value_quote (lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length), *end = text + length;
  luaL_Buffer b;
  char part[512];
  lua_settop(L, 1);
  luaL_buffinit(L, &b);
  luaL_addchar(&b, '"');
  while (text < end) luaL_addlstring(&b, part, quote_characters(part, sizeof part, &text, end));
  luaL_addchar(&b, '"');
  luaL_pushresult(&b);
  return 1;
}

int value_number_text (lua_State *L) {
  char text[QUOTE_NUMBER_SIZE];
  double number = luaL_checknumber(L, 1);
  luaL_argcheck(L, isfinite(number), 1, "JSON has no such number");
#if LUA_VERSION_NUM >= 503
  if (lua_isinteger(L, 1)) quote_integer(text, lua_tointeger(L, 1));
  else
#endif
    quote_number(text, number);
  lua_pushstring(L, text);
  return 1;
}

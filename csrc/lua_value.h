/*
** lua_value: checked JSON to Lua values, and a few Lua values to JSON
*/
#ifndef lua_value_h
#define lua_value_h

#include "fields.h"
#include "json.h"
#include "lua_compat.h"

#include <stdbool.h>

/* Push any value. Integers are integers where Lua has them and they fit. null is nil (so absent from its table), or with
   `keep_null` the light userdata NULL (openrouter.null, the same as cjson.null). */
void value_push (lua_State *L, const char *json, bool keep_null);

/* Push a raw string (the characters between the quotes) with its escapes undone. */
void value_push_string (lua_State *L, const char *raw, size_t length);

/* The same for a string with its quotes. */
void value_push_json_string (lua_State *L, const char *json);

/* Push an array as provider_responses. */
void value_push_responses (lua_State *L, const char *json);

/* Push a value as its type in the schema says; nil where it is null or of another type. In the header, because it is most of
   what reading a member takes. */
static inline void value_push_typed (lua_State *L, enum field_type type, const char *json) {
  int64_t integer;
  double number;
  switch (type) {
    case TYPE_INTEGER:
      if (!json_is_number(json) || !json_integer(json, &integer)) break;
      compat_integer(L, integer);
      return;
    case TYPE_NUMBER: case TYPE_MONEY:
      if (!json_is_number(json) || !json_double(json, &number)) break;
      lua_pushnumber(L, number);
      return;
    case TYPE_BOOLEAN:
      if (*json != 't' && *json != 'f') break;
      lua_pushboolean(L, *json == 't');
      return;
    case TYPE_LIST:
      if (*json != '[') break;
      value_push_responses(L, json);
      return;
    default:
      if (*json != '"') break;
      value_push_json_string(L, json);
      return;
  }
  lua_pushnil(L);
}

/* core.quote(string) -> the string as JSON; invalid UTF-8 becomes U+FFFD. */
int value_quote (lua_State *L);

/* core.number_text(number) -> its shortest JSON spelling; raises for one that is not finite. */
int value_number_text (lua_State *L);

#endif

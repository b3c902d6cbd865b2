/*
** lua_value: checked JSON to Lua values, and a few Lua values to JSON
*/
#ifndef lua_value_h
#define lua_value_h

#include "fields.h"
#include "lua_compat.h"

#include <stdbool.h>

/* Push any value. Integers are integers where Lua has them and they fit. null is nil (so absent from its table), or with
   `keep_null` the light userdata NULL (openrouter.null, the same as cjson.null). */
void value_push (lua_State *L, const char *json, bool keep_null);

/* Push a raw string (the characters between the quotes) with its escapes undone. */
void value_push_string (lua_State *L, const char *raw, size_t length);

/* Push a value as its type in the schema says; nil where it is NULL, null, or of another type. A LIST is pushed as
   provider_responses. */
void value_push_typed (lua_State *L, enum field_type type, const char *json);

/* core.quote(string) -> the string as JSON; invalid UTF-8 becomes U+FFFD. */
int value_quote (lua_State *L);

/* core.number_text(number) -> its shortest JSON spelling; raises for one that is not finite. */
int value_number_text (lua_State *L);

#endif

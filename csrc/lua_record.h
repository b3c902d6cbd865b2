/*
** lua_record: a struct record as a Lua userdata. Every C function that takes records has their metatable as its first
** upvalue, which makes the check of an argument one pointer comparison.
*/
#ifndef lua_record_h
#define lua_record_h

#include "lua_compat.h"
#include "record.h"

#define RECORD_UPVALUE lua_upvalueindex(1)

/* The record at `index`; raises "bad argument" for anything else. For functions with the metatable as upvalue 1. */
struct record *record_check (lua_State *L, int index);

/*
** Decode the text. Pushes the record and returns RECORD_GENERATION, or pushes an error table and returns what the text is
** instead. `metatable` is where the records' metatable is on the stack (absolute, or an upvalue).
*/
enum record_kind record_decode (lua_State *L, const char *text, size_t length, int metatable);

/* Push the value of a known member: its schema's type or nil. `index` is where the record is (for provider_responses,
   which is decoded once and kept). */
void record_push_member (lua_State *L, int index, const struct record *r, int field);

/* The same for any member, of which `value` is the (last) value. */
void record_push_value (lua_State *L, int index, const struct record *r, const char *name, size_t length, const char *value);

/* Push the metatable, making it when needed. */
void record_push_metatable (lua_State *L);

/* core.decode(text) -> record | nil, error */
int record_lua_decode (lua_State *L);

#endif

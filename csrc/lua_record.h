/*
** lua_record: a struct record as a Lua userdata. The check of an argument is what most of a member's reading consists of; a
** userdata is a record when it is large enough and begins with RECORD_MAGIC, which costs a third of looking at metatables.
*/
#ifndef lua_record_h
#define lua_record_h

#include "lua_compat.h"
#include "record.h"

#define RECORD_UPVALUE lua_upvalueindex(1)  /* the metatable, in functions that make records */

/*
** The record at `index`; raises "bad argument" for anything else.
**
** core.decode(text, record) writes over the record's text, and can be called from a finalizer, so in the middle of anything that
** allocates. record_check pins the record, which rules that out for good: what was read from it stays true. record_peek does
** not, for functions that are done with the text before they ask Lua for memory, and that are worth it: those of a loop over
** many records.
*/
const struct record *record_check (lua_State *L, int index);
struct record *record_refuse (lua_State *L, int index);  /* raises */
static inline struct record *record_peek (lua_State *L, int index) {
  struct record *r = (struct record *)lua_touserdata(L, index);
  /* a light userdata has no length */
  return r && compat_rawlen(L, index) >= sizeof *r && r->magic == RECORD_MAGIC ? r : record_refuse(L, index);
}

/*
** Decode the text. Pushes the record and returns RECORD_GENERATION, or pushes an error table and returns what the text is
** instead. `metatable` is where the records' metatable is on the stack (absolute, or an upvalue).
*/
enum record_kind record_decode (lua_State *L, const char *text, size_t length, int metatable);

/* Push the value of a known member: its schema's type or nil. `index` is where the record is (for provider_responses,
   which is decoded once and kept). */
void record_push_member (lua_State *L, int index, struct record *r, int field);

/* The same for any member, of which `value` is the (last) value. The record is pinned. */
void record_push_value (lua_State *L, int index, struct record *r, const char *name, size_t length, const char *value);

/* Push the metatable, making it when needed. */
void record_push_metatable (lua_State *L);

/* For functions with the records' metatable as upvalue 1: core.decode(text [, record]) -> record | nil, error. The record given is used again if it has room for the text and is
   not pinned; an error leaves it empty then. */
int record_lua_decode (lua_State *L);

#endif

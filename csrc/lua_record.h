/*
** lua_record: a struct record as a Lua userdata. The check of an argument is what most of a member's reading consists of; a
** userdata is a record when it is large enough and begins with RECORD_MAGIC, which costs a third of looking at metatables.
*/
#ifndef lua_record_h
#define lua_record_h

#include "lua_compat.h"
#include "record.h"

#define RECORD_METATABLE "openrouter.generation"
#define RECORD_UPVALUE lua_upvalueindex(1)  /* the records' metatable, in functions that make some */

/*
** The record at `index`; raises "bad argument" for anything else. Its size is checked because Lua does not clear memory: what a
** collected record has left begins with the magic number too.
**
** core.decode(text, record) writes over the record's text, and can be called from a finalizer, so in the middle of anything that
** allocates. record_check pins the record, which rules that out for good: what was read from it stays true. record_peek does
** not, for the functions of a loop over many records: they ask Lua for no memory while they look at the text, or make the record
** busy for as long. (An error in between leaves it busy, and so only unfit for being used again.)
*/
const struct record *record_check (lua_State *L, int index);
struct record *record_refuse (lua_State *L, int index);  /* raises */
static inline struct record *record_peek (lua_State *L, int index) {
  struct record *r = (struct record *)lua_touserdata(L, index);
  size_t size = r ? compat_rawlen(L, index) : 0;  /* 0 for a light one, too */
  return size >= sizeof *r && r->magic == RECORD_MAGIC && size == sizeof *r + r->capacity ? r : record_refuse(L, index);
}

/*
** Decode the text. Pushes the record and returns RECORD_GENERATION, or pushes an error table and returns what the text is
** instead. `metatable` is where the records' metatable is on the stack (absolute, or an upvalue).
*/
enum record_kind record_decode (lua_State *L, const char *text, size_t length, int metatable);

/* The same in steps, for a text that may be gone after the first (see FINALIZERS in lua_compat.h): push a userdata with room for
   a text, RECORD_MAX_TEXT at most, which is no record yet; put a text there that fits into that room; decode it. The userdata
   is on top of the stack then, and an error takes its place. */
struct record *record_push_room (lua_State *L, size_t length);
void record_put_text (struct record *r, const char *text, size_t length);
enum record_kind record_decode_room (lua_State *L, int metatable);

/* Push the value of a known member: its schema's type or nil. `index` is where the record is (for provider_responses,
   which is decoded once and kept). */
void record_push_member (lua_State *L, int index, struct record *r, int field);

/* The same for any member, of which `value` is the (last) value. The record is pinned. */
void record_push_value (lua_State *L, int index, struct record *r, const char *name, size_t length,
                        const char *value);

/* Push the metatable, making it when needed. */
void record_push_metatable (lua_State *L);

/* core.decode(text [, record]) -> record | nil, error. The record given is used again where it has room for the text and is
   neither pinned nor busy; if it is neither, an error leaves it empty. The metatable is upvalue 1. */
int record_lua_decode (lua_State *L);

/* core.read_record(line, whole [, record]) -> record | nil, reason | nil. A line as core.lines gives it (false: too long) by the
   rules of record_refusal; a reason there is only for what has to be told. The record given is as in core.decode. */
int record_lua_read (lua_State *L);

#endif

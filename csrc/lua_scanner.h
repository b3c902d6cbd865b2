/*
** lua_scanner: the scanner of response bodies for Lua.
**
**   scanner = core.scanner()
**   scanner:feed(chunk)  -> true | false    false: there is nothing more to find, however the body goes on
**   scanner:id()         -> id | nil        once given, it stays the same
**   scanner:usage()      -> text | nil [, "too large" | "not JSON"]
**   scanner:cost()       -> text | nil      the cost in that usage, as plain decimal text
**   scanner:finished()   -> boolean         the answer came to its end
**   scanner:reset()                         as new
**
**   core.scanner_feed()  -> the address of int (*)(void *scanner, const char *bytes, size_t length), which does as feed: for
**                           LuaJIT's FFI, where a body comes as bytes. Many similar strings are what LuaJIT is bad at: they
**                           have the same hash, and each new one is compared with all of them.
*/
#ifndef lua_scanner_h
#define lua_scanner_h

#include "lua_compat.h"

/* Add core.scanner and core.scanner_feed to the module table on top of the stack. */
void scanner_register (lua_State *L);

/* The usage text of the scanner at `index`, or NULL; raises for what is neither a scanner nor nil. */
const char *scanner_instant (lua_State *L, int index, size_t *length);

#endif

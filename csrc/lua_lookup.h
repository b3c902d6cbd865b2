/*
** lua_lookup: the engine for Lua. Whoever moves the bytes (libcurl, cosockets) drives it with the same calls:
**
**   engine = core.engine { window =, concurrency =, timeout =, deadline =, wait =, epoch =, seed =,
**                          retry = { base =, factor =, cap = } or false }          seconds throughout
**   engine:submit(id, now [, wait [, deadline]])  -> true | false (in the window already) | nil, error
**   engine:next(now)                              -> id, target, timeout | nil
**   engine:due()                                  -> when next() has something; math.huge: not before an answer
**   engine:answer(id, status, headers, body, now) -> record | nil, error, delay (asked again) | nil, error (final)
**   engine:fault(id, kind, message, now)          -> the last two of these
**   engine:unresolved(now)                        -> id, error | nil          after an error of kind auth or payment
**   engine:open(), engine:on_wire()               -> counts
**
** headers: a table with lower-case names, or nil; retry-after and retry-after-ms are looked at.
*/
#ifndef lua_lookup_h
#define lua_lookup_h

#include "lua_compat.h"

/* Add core.engine and core.id_valid to the module table on top of the stack. */
void lookup_register (lua_State *L);

#endif

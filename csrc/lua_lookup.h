/*
** lua_lookup: the engine for Lua. Whoever moves the bytes (libcurl, cosockets) drives it with the same calls:
**
**   engine = core.engine { window =, concurrency =, timeout =, deadline =, wait =, epoch =, seed =, rate = number or nil,
**                          retry = { base =, factor =, cap = } or false }          seconds throughout
**   engine:submit(id, now [, wait [, deadline [, resource [, first]]]])
**                                                 -> true | false (in the window already), slot | nil, error
**   engine:next(now)                              -> id, target, timeout, slot | nil
**   engine:ended(now)                             -> id, error, slot | nil    ids that get no (other) attempt
**   engine:due()                                  -> when either has something; math.huge: not before an answer,
**                                                    -math.huge: at once
**   engine:answer(id, status, headers, body, now) -> record | nil, error | nil, delay (asked again) | nil, attempt, seconds
**   engine:fault(id, kind, message, now)          -> the same
**   engine:cancel(id, now)                        -> error, slot | nil        nil: not in the window
**   engine:open(), engine:on_wire()               -> counts
**   engine:hungry(now)                            -> whether few ids are due, so that it is time for more
**   engine:limit()                                -> requests on the wire at most, for now
**   engine:stats()                                -> totals, see client:stats() in client.lua
**
** slot: a number from 1 to `window`, the id's own while it is in the window. resource: nil, "content", "feedback", "activity"
** or "analytics"; the other calls know such an id as "content ID": see lookup.h. first: seconds until the first attempt (0).
** headers: a table with lower-case names, or nil; retry-after and retry-after-ms are looked at.
*/
#ifndef lua_lookup_h
#define lua_lookup_h

#include "lookup.h"
#include "lua_compat.h"

/* Add core.engine and core.id_valid to the module table on top of the stack. */
void lookup_register (lua_State *L);

/* For functions elsewhere that take an engine: it, or an error. They have its metatable as their second upvalue. */
#define ENGINE_UPVALUE lua_upvalueindex(2)
struct lookup *engine_check (lua_State *L, int index);

/* Cancel the id and push what engine:cancel returns; false: it is not in the window. The last values are made before it goes. */
bool engine_push_cancelled (lua_State *L, struct lookup *l, const char *id, size_t length, double now);
void engine_push_metatable (lua_State *L);  /* nil before lookup_register */

#endif

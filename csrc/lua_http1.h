/*
** lua_http1: the parser of HTTP answers for Lua, for drivers that read from sockets of their own:
**
**   parser = core.http1(max_body)   max_body: bytes, up to 32 MiB
**   parser:feed(bytes)              -> true (the answer is complete) | false (there is more to come) | nil, kind, message
**   parser:finish()                 -> true | nil, kind, message    the peer has closed the connection
**   parser:started()                -> whether any byte has come since the last reset
**   parser:answer()                 -> status, headers, body        of a complete answer; anything else is misuse
**   parser:reusable()               -> whether the connection may be used for another request
**   parser:reset()                  for the next answer
**
** headers: nil, or a table with retry-after, retry-after-ms or both. A failure stays until the reset.
*/
#ifndef lua_http1_h
#define lua_http1_h

#include "lua_compat.h"

/* Add core.http1 to the module table on top of the stack. */
void http1_register (lua_State *L);

#endif

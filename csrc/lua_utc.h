/*
** lua_utc: points in time as text, for Lua
**
**   core.timestamp(seconds) -> "2026-11-21T06:26:57.123Z"; seconds since 1970, raises outside the years 0 to 9999
**   core.parse_time(text)   -> seconds since 1970 | nil: the text is no RFC 3339 date and time
*/
#ifndef lua_utc_h
#define lua_utc_h

#include "lua_compat.h"

/* Add them to the module table on top of the stack. */
void utc_register (lua_State *L);

#endif

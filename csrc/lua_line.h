/*
** lua_line: the text of journal lines for Lua
*/
#ifndef lua_line_h
#define lua_line_h

#include "lua_compat.h"

/* Add core.context_text, merge_contexts, timestamp, difference, pending_line, note_line and open_line to the module table on
   top of the stack. */
void line_register (lua_State *L);

#endif

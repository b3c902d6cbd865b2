/*
** lua_line: the text of journal lines for Lua
*/
#ifndef lua_line_h
#define lua_line_h

#include "line.h"
#include "lua_compat.h"

/* Add core.context_text, merge_contexts, difference, instant, pending_line, note_line and open_line to the module table on top
   of the stack. */
void line_register (lua_State *L);

/* Write the line of the arguments from the index `first` on: id, key, context, or id, interrupted, context, instant (text, or a
   scanner that has it). Returns its length, 0: no valid id. What is wrong with the context is a problem, and no error. */
size_t line_compose_pending (lua_State *L, int first, char out[LINE_SIZE], struct line_problem *problem);
size_t line_compose_note (lua_State *L, int first, char out[LINE_SIZE], struct line_problem *problem);

#endif

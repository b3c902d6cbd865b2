/*
** lua_error: what went wrong in the world (not misuse, which raises) as a table with fields, printable as one line
*/
#ifndef lua_error_h
#define lua_error_h

#include "lua_compat.h"
#include "retry.h"

#define ERROR_METATABLE "openrouter.error"

/* Push a new error { kind =, message =, retryable = }; without a message it gets the kind's meaning. The metatable gets
   its __tostring from lua/openrouter/errors.lua. */
void error_push (lua_State *L, enum kind kind, const char *message);

/* Change what kind of error the table on top of the stack is, and its message where that was only the kind's meaning. */
void error_set_kind (lua_State *L, enum kind kind);

/* Fill code, message and metadata of the error table on top of the stack from the `error` of an API answer: an object, or
   a string, which is the message. */
void error_fill_from_api (lua_State *L, const char *error);

/* The same from the error object of a failed ledger line: kind, status, message, attempts. */
void error_fill_from_ledger (lua_State *L, const char *error_object);

/* core.error_metatable */
void error_push_metatable (lua_State *L);

#endif

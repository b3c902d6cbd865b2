/*
** lua_verdict: what an answer means for its id, as Lua values: the record or the error, and when it is asked for again
*/
#ifndef lua_verdict_h
#define lua_verdict_h

#include "lookup.h"
#include "lua_compat.h"

/* What came back for a request. */
struct reply {
  int status;                                /* HTTP; 0: there is no complete answer */
  enum kind fault;                           /* … but this */
  const char *message;                       /* … in words, or NULL */
  const char *retry_after_ms, *retry_after;  /* headers, NULL where there were none */
  const char *body;                          /* in a string of Lua's; NULL: it is in `room` */
  size_t length;
  int room;                                  /* where on the stack that is, see record_push_room */
};

/* What the reply is: pushes the record or the error. It is not changed, and the engine is not told, so that the same can be done
   again. The running function has the records' metatable as RECORD_UPVALUE. */
enum kind verdict_judge (lua_State *L, const char *key, size_t length, const struct reply *reply);

/*
** Tell the engine, with what was judged on top of the stack, and have five values in its place: record or nil, error or nil,
** delay in seconds (asked again) or nil, the number of the attempt, the seconds it took. *slot is that of the id. Makes no value
** that needs memory. False, and nothing has changed: the key is not on the wire.
*/
bool verdict_push (lua_State *L, struct lookup *l, const char *key, size_t length, enum kind kind, const struct reply *reply,
                   double now, size_t *slot);

/* For errors that come without an answer. Into the error on top of the stack: its id; room for the figures, so that to fill
   them in after the engine has been told allocates nothing; the figures. */
void verdict_set_id (lua_State *L, const char *key, size_t length);
void verdict_prepare (lua_State *L, const char *key, size_t length);
void verdict_finish (lua_State *L, const struct lookup_verdict *v);

#endif

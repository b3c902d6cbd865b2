#include "lua_verdict.h"

#include "lua_error.h"
#include "lua_record.h"

static bool has_known_member (const struct record *r) {
  for (int i = 0; i < FIELD_COUNT; i++)
    if (r->member[i]) return true;
  return false;
}

/* Whether the record says it is another one than asked for. One without an id cannot say so. */
static bool is_other (const struct record *r, const char *id, size_t length) {
  const char *value = record_member(r, FIELD_id);
  size_t raw_length;
  if (value == NULL || *value == 'n') return false;
  if (*value != '"') return true;
  const char *raw = json_string(value, &raw_length);
  return !json_string_is(raw, raw_length, id, length);
}

static enum record_kind decode (lua_State *L, const struct reply *reply) {
  if (reply->body != NULL) return record_decode(L, reply->body, reply->length, RECORD_UPVALUE);
  lua_pushvalue(L, reply->room);
  return record_decode_room(L, RECORD_UPVALUE);
}

/* A 200: leaves the record or an error on the stack. */
static enum kind judge_record (lua_State *L, const char *key, size_t key_length, const struct reply *reply) {
  enum kind kind = KIND_bad_answer;
  const char *id;
  size_t id_length;
  enum resource resource = lookup_resource(key, key_length, &id, &id_length);
  if (decode(L, reply) != RECORD_GENERATION) {
    error_set_kind(L, kind);
    return kind;
  }
  const struct record *r = (const struct record *)lua_touserdata(L, -1);
  if (resource >= RESOURCE_FEEDBACK || (resource == RESOURCE_CONTENT && r->object != r->answer)) return KIND_settled;
  if (resource == RESOURCE_CONTENT) {
    lua_pop(L, 1);
    error_push(L, kind, "an object without data");
    return kind;
  }
  if (!has_known_member(r)) {
    lua_pop(L, 1);
    error_push(L, kind, "an object without any member of a generation record");
    return kind;
  }
  if (!is_other(r, id, id_length)) return KIND_settled;
  kind = KIND_wrong_id;
  error_push(L, kind, NULL);
  lua_insert(L, -2);
  lua_setfield(L, -2, "record");
  return kind;
}

/* Any other status: leaves an error on the stack, with the words of the body where it is the API's own. */
static enum kind judge_status (lua_State *L, const struct reply *reply) {
  int status = reply->status;
  enum kind kind = kind_of_status(status);
  const char *words = NULL;
  if (status >= 300 && status < 400) words = "the server redirects, which is not followed; check the base URL";
  if (status == 407) words = "the proxy wants a login";  /* and may repeat the one it got */
  if (words == NULL && decode(L, reply) == RECORD_API_ERROR) {
    error_set_kind(L, kind);
  } else {
    if (words == NULL) lua_pop(L, 1);
    error_push(L, kind, words);
  }
  lua_pushinteger(L, status);
  lua_setfield(L, -2, "status");
  return kind;
}

static enum kind judge (lua_State *L, const char *key, size_t length, const struct reply *reply) {
  if (reply->status == 200) return judge_record(L, key, length, reply);
  if (reply->status != 0) return judge_status(L, reply);
  error_push(L, reply->fault, reply->message);
  return reply->fault;
}

void verdict_set_id (lua_State *L, const char *key, size_t length) {
  size_t id_length;
  const char *id;
  lookup_resource(key, length, &id, &id_length);
  lua_pushlstring(L, id, id_length);
  lua_setfield(L, -2, "id");
}

void verdict_prepare (lua_State *L, const char *key, size_t length) {
  verdict_set_id(L, key, length);
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "attempts");
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "elapsed");
}

void verdict_finish (lua_State *L, const struct lookup_verdict *v) {
  lua_pushinteger(L, v->attempts);
  lua_setfield(L, -2, "attempts");
  lua_pushnumber(L, v->elapsed);
  lua_setfield(L, -2, "elapsed");
}

enum kind verdict_judge (lua_State *L, const char *key, size_t length, const struct reply *reply) {
  luaL_checkstack(L, 20, "no room");
  enum kind kind = judge(L, key, length, reply);
  if (kind != KIND_settled) verdict_prepare(L, key, length);
  return kind;
}

bool verdict_push (lua_State *L, struct lookup *l, const char *key, size_t length, enum kind kind, const struct reply *reply,
                   double now, size_t *slot) {
  struct lookup_verdict v;
  double retry_after = -1;
  if (reply->status != 200 && reply->status != 0)
    retry_after = lookup_retry_after(l, reply->retry_after_ms, reply->retry_after, now);
  if (!lookup_answer(l, key, length, kind, retry_after, now, &v)) return false;
  *slot = v.slot;
  if (v.action == LOOKUP_SETTLED) {
    lua_pushnil(L);
    lua_pushnil(L);
  } else {
    verdict_finish(L, &v);
    lua_pushnil(L);
    lua_insert(L, -2);
    if (v.action == LOOKUP_FAILED) lua_pushnil(L);
    else lua_pushnumber(L, v.delay);
  }
  lua_pushinteger(L, v.attempts);
  lua_pushnumber(L, v.seconds);
  return true;
}

/*
** lua_curl: the module openrouter.curl. It pairs an engine (core.engine), which decides, with libcurl, which moves bytes, in C:
** this is the inner loop of the client.
**
**   transport = curl.transport { base_url =, api_key =, connect_timeout =, max_body =, slots =,
**                                ca_file =, proxy =, insecure =, http2 = }       the last line may be nil
**                                                   | nil, message
**   transport:drive(engine, seconds, bodies)  send what is due and wait up to `seconds` for answers
**                              -> true: engine:ended() has something, in which case it did not wait
**                              bodies: what to POST, by slot
**   transport:receive(engine)  -> slot, status or nil, reused, then what engine:answer returns | nil   nothing has come, or it
**                              is closed
**   transport:cancel(engine, id) -> what engine:cancel returns
**   transport:fd(), transport:timeout()       -> number | nil
**   transport:check()          raises in a process that forked; so does everything above but receive
**   transport:close()
**   curl.VERSION               -> libcurl's version and that of its TLS library
**
** libcurl never calls Lua: answers are gathered in C and picked up here, so no Lua error can cross it. The sources of the
** engine are linked into this module as well as into openrouter.core; what belongs to Lua (metatables) they share by name.
*/
#include "curl_events.h"
#include "curl_transport.h"
#include "lua_lookup.h"
#include "lua_record.h"
#include "lua_verdict.h"

#include <string.h>

#define TRANSPORT_METATABLE "openrouter.transport"

#define LONGEST_TIME 1e12          /* seconds */
#define LARGEST_BODY 33554432.0    /* bytes; half of what a line of a ledger may have, see file_reader.h */
#define MOST_SLOTS 10000.0
#define UNSTARTED_PAUSE 0.01       /* seconds */

struct handle {
  struct transport *transport;
};

static struct transport *check_transport (lua_State *L) {
  struct handle *h = (struct handle *)luaL_checkudata(L, 1, TRANSPORT_METATABLE);
  if (h->transport == NULL) luaL_error(L, "attempt to use a closed transport");
  return h->transport;
}

/* Before anything that touches a connection. */
static struct transport *check_own_transport (lua_State *L) {
  struct transport *t = check_transport(L);
  if (transport_foreign(t)) luaL_error(L, "this client was made before the process forked; make one of its own here");
  return t;
}

static int transport_close (lua_State *L) {
  struct handle *h = (struct handle *)luaL_checkudata(L, 1, TRANSPORT_METATABLE);
  transport_free(h->transport);
  h->transport = NULL;
  return 0;
}

/* Fields of the table at index 1; strings stay on the stack, and so alive, until the transport is made. */
static const char *string_option (lua_State *L, const char *name) {
  size_t length;
  lua_getfield(L, 1, name);
  const char *value = lua_tolstring(L, -1, &length);
  if (value && strlen(value) != length) luaL_error(L, "transport: %s has a NUL byte in it", name);
  return value;
}

static double number_option (lua_State *L, const char *name, double most) {
  lua_getfield(L, 1, name);
  double value = lua_tonumber(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER || !(value >= 0 && value <= most))
    luaL_error(L, "transport: %s must be a number from 0 to %f", name, most);
  return value;
}

static bool flag_option (lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  return lua_toboolean(L, -1);
}

static int transport_make (lua_State *L) {
  struct transport_options o;
  const char *why = NULL;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  o.base_url = string_option(L, "base_url");
  lua_getfield(L, 1, "api_key");
  o.api_key = lua_tolstring(L, -1, &o.key_length);
  o.ca_file = string_option(L, "ca_file");
  o.proxy = string_option(L, "proxy");
  o.insecure = flag_option(L, "insecure");
  o.http2 = flag_option(L, "http2");
  o.connect_timeout = number_option(L, "connect_timeout", LONGEST_TIME);
  double max_body = number_option(L, "max_body", LARGEST_BODY), slots = number_option(L, "slots", MOST_SLOTS);
  o.max_body = (size_t)max_body;
  o.slots = (size_t)slots;
  if (o.base_url == NULL || o.api_key == NULL) return luaL_error(L, "transport: base_url and api_key must be strings");
  struct handle *h = (struct handle *)compat_newuserdata(L, sizeof *h);
  h->transport = NULL;
  luaL_getmetatable(L, TRANSPORT_METATABLE);
  lua_setmetatable(L, -2);
  h->transport = transport_new(&o, &why);
  if (h->transport != NULL) return 1;
  lua_pushnil(L);
  lua_pushstring(L, why);
  return 2;
}

/* Start what is due. An id stays where it is until its request is on its way. Returns the seconds after which to try again what
   could not be started, as memory ran out. */
static double start_due (lua_State *L, struct transport *t, struct lookup *l, double now) {
  struct lookup_request request;
  char target[LOOKUP_TARGET_SIZE];
  while (lookup_next(l, now, &request)) {
    const char *body = NULL;
    size_t length = 0;
    if (lookup_posts(lookup_target(target, request.id, request.length))) {
      lua_rawgeti(L, 4, (int)request.slot + 1);
      body = lua_tolstring(L, -1, &length);
    }
    bool started = transport_start(t, request.id, request.length, target, body, length, request.timeout);
    lua_settop(L, 4);
    if (!started) return UNSTARTED_PAUSE;
    lookup_take(l, now);
  }
  return lookup_due(l) - now;
}

static int transport_lua_drive (lua_State *L) {
  struct transport *t = check_own_transport(L);
  struct lookup *l = engine_check(L, 2);
  struct lookup_request request;
  struct lookup_verdict verdict;
  double seconds = luaL_checknumber(L, 3), now = events_now();
  luaL_checktype(L, 4, LUA_TTABLE);
  lua_settop(L, 4);
  double due = start_due(L, t, l, now);
  transport_wait(t, due < seconds ? due : seconds);
  lua_pushboolean(L, lookup_ended(l, events_now(), &request, &verdict));
  return 1;
}

static enum kind kind_of_fault (enum transport_fault fault) {
  switch (fault) {
    case TRANSPORT_TIMEOUT: return KIND_timeout;
    case TRANSPORT_TLS: return KIND_tls;
    case TRANSPORT_TOO_LARGE: return KIND_too_large;
    case TRANSPORT_BAD_ANSWER: return KIND_bad_answer;
    default: return KIND_network;
  }
}

/* The first answer to an id that is on the wire; the others were cancelled. */
static bool next_answer (struct handle *h, const struct lookup *l, struct transport_answer *a) {
  while (h->transport != NULL && transport_finished(h->transport, a)) {
    if (lookup_is_on_wire(l, a->tag, a->tag_length)) return true;
    transport_release(h->transport);
  }
  return false;
}

/* Whether it is still there after values were made: see FINALIZERS in lua_compat.h. */
static bool is_first (const struct handle *h, const struct transport_answer *a) {
  return h->transport != NULL && transport_first(h->transport) == a->number;
}

static void fill_reply (struct reply *reply, const struct transport_answer *a) {
  const struct reply filled = { a->fault == TRANSPORT_OK ? a->status : 0, kind_of_fault(a->fault),
                                a->fault == TRANSPORT_TOO_LARGE ? NULL : a->message,  /* that kind says it all */
                                a->retry_after_ms[0] ? a->retry_after_ms : NULL, a->retry_after[0] ? a->retry_after : NULL,
                                NULL, 0, 3 };
  *reply = filled;
}

/* The answer is released last: if Lua runs out of memory before, it is still there for the next call. */
static int transport_lua_receive (lua_State *L) {
  struct handle *h = (struct handle *)luaL_checkudata(L, 1, TRANSPORT_METATABLE);
  struct lookup *l = engine_check(L, 2);
  struct transport_answer a;
  struct reply reply;
  size_t slot;
  luaL_checkstack(L, 30, "no room");
  while (next_answer(h, l, &a)) {
    lua_settop(L, 2);
    struct record *r = record_push_room(L, a.length);
    if (!is_first(h, &a)) continue;
    record_put_text(r, a.body, a.length);
    fill_reply(&reply, &a);
    lua_pushnil(L);  /* for the slot */
    if (reply.status) lua_pushinteger(L, reply.status);
    else lua_pushnil(L);
    lua_pushboolean(L, a.reused);
    enum kind kind = verdict_judge(L, a.tag, a.tag_length, &reply);
    if (!is_first(h, &a) || !verdict_push(L, l, a.tag, a.tag_length, kind, &reply, events_now(), &slot)) continue;
    transport_release(h->transport);
    lua_pushinteger(L, (lua_Integer)slot + 1);
    lua_replace(L, 4);
    return 8;
  }
  return 0;
}

static int transport_lua_check (lua_State *L) {
  check_own_transport(L);
  return 0;
}

static int transport_lua_cancel (lua_State *L) {
  struct handle *h = (struct handle *)luaL_checkudata(L, 1, TRANSPORT_METATABLE);
  struct lookup *l = engine_check(L, 2);
  size_t length;
  const char *id = luaL_checklstring(L, 3, &length);
  if (h->transport != NULL) check_own_transport(L);
  if (!engine_push_cancelled(L, l, id, length, events_now())) return 0;
  if (h->transport != NULL) transport_cancel(h->transport, id);
  return 2;
}

static int transport_lua_fd (lua_State *L) {
  int fd = transport_fd(check_own_transport(L));
  if (fd < 0) return 0;
  lua_pushinteger(L, fd);
  return 1;
}

static int transport_lua_timeout (lua_State *L) {
  double seconds = transport_timeout(check_own_transport(L));
  if (seconds < 0) return 0;
  lua_pushnumber(L, seconds);
  return 1;
}

static const luaL_Reg methods[] = { { "drive", transport_lua_drive },     { "receive", transport_lua_receive },
                                    { "cancel", transport_lua_cancel },   { "fd", transport_lua_fd },
                                    { "timeout", transport_lua_timeout }, { "close", transport_close },
                                    { "check", transport_lua_check },
                                    { NULL, NULL } };
static const luaL_Reg functions[] = { { "transport", transport_make }, { NULL, NULL } };

MODULE_EXPORT int luaopen_openrouter_curl (lua_State *L);
MODULE_EXPORT int luaopen_openrouter_curl (lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "openrouter.core");  /* makes the metatables */
  lua_call(L, 1, 0);
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return luaL_error(L, "libcurl cannot be initialised");
  luaL_newmetatable(L, TRANSPORT_METATABLE);  /* if not new, perhaps half-made: memory may have run out */
  lua_pushcfunction(L, transport_close);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  luaL_getmetatable(L, RECORD_METATABLE);  /* as core has filled it: the functions linked into this module would keep a
                                              record's tables elsewhere than core's, which has the others */
  engine_push_metatable(L);
  compat_setfuncs(L, methods, 2);
  lua_setfield(L, -2, "__index");
  lua_newtable(L);
  compat_setfuncs(L, functions, 0);
  const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);  /* curl_version() would start up LDAP, too */
  lua_pushfstring(L, "libcurl/%s %s", info->version, info->ssl_version ? info->ssl_version : "without TLS");
  lua_setfield(L, -2, "VERSION");
  return 1;
}

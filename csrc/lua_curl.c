/*
** lua_curl: the module openrouter.curl, requests over libcurl for Lua
**
**   transport = curl.transport { base_url =, api_key =, user_agent =, ca_file =, connect_timeout =, max_body =, slots = }
**                                                   | nil, message
**   transport:start(target, timeout)  -> slot | nil   nil: libcurl has no memory for it
**   transport:wait(seconds)
**   transport:finished()              -> slot, status, headers or nil, body
**                                      | slot, nil, kind of fault, message
**                                      | nil            nothing is finished
**   transport:close()
**   curl.VERSION                      -> libcurl's version and that of its TLS library
**
** libcurl never calls Lua: answers are gathered in C and picked up here, so no Lua error can cross it.
*/
#include "curl_transport.h"
#include "lua_compat.h"

#include <curl/curl.h>
#include <string.h>

#define TRANSPORT_METATABLE "openrouter.transport"

#define LONGEST_TIME 1e12          /* seconds */
#define LARGEST_BODY 33554432.0    /* bytes; half of what a line of a ledger may have, see file.h */
#define MOST_SLOTS 10000.0

struct handle {
  struct transport *transport;
};

static struct transport *check_transport (lua_State *L) {
  struct handle *h = (struct handle *)luaL_checkudata(L, 1, TRANSPORT_METATABLE);
  if (h->transport == NULL) luaL_error(L, "attempt to use a closed transport");
  return h->transport;
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

static int transport_make (lua_State *L) {
  struct transport_options o;
  const char *why = NULL;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  o.base_url = string_option(L, "base_url");
  lua_getfield(L, 1, "api_key");
  o.api_key = lua_tolstring(L, -1, &o.key_length);
  o.user_agent = string_option(L, "user_agent");
  o.ca_file = string_option(L, "ca_file");
  o.connect_timeout = number_option(L, "connect_timeout", LONGEST_TIME);
  double max_body = number_option(L, "max_body", LARGEST_BODY), slots = number_option(L, "slots", MOST_SLOTS);
  o.max_body = (size_t)max_body;
  o.slots = (size_t)slots;
  if (o.base_url == NULL || o.api_key == NULL || o.user_agent == NULL)
    return luaL_error(L, "transport: base_url, api_key and user_agent must be strings");
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

static int transport_lua_start (lua_State *L) {
  struct transport *t = check_transport(L);
  size_t slot;
  if (!transport_start(t, luaL_checkstring(L, 2), luaL_checknumber(L, 3), &slot)) return 0;
  lua_pushinteger(L, (lua_Integer)slot + 1);
  return 1;
}

static int transport_lua_wait (lua_State *L) {
  transport_wait(check_transport(L), luaL_checknumber(L, 2));
  return 0;
}

static void push_headers (lua_State *L, const struct transport_answer *a) {
  if (a->retry_after == NULL && a->retry_after_ms == NULL) {
    lua_pushnil(L);
    return;
  }
  lua_newtable(L);
  lua_pushstring(L, a->retry_after);
  lua_setfield(L, -2, "retry-after");
  lua_pushstring(L, a->retry_after_ms);
  lua_setfield(L, -2, "retry-after-ms");
}

/* The slot is released last: if Lua runs out of memory before, the answer is still there for the next call. */
static int transport_lua_finished (lua_State *L) {
  static const char *const kinds[] = { NULL, "network", "timeout", "tls", "too_large" };
  struct transport *t = check_transport(L);
  struct transport_answer a;
  if (!transport_finished(t, &a)) return 0;
  lua_pushinteger(L, (lua_Integer)a.slot + 1);
  if (a.fault == TRANSPORT_OK) {
    lua_pushinteger(L, a.status);
    push_headers(L, &a);
    lua_pushlstring(L, a.body, a.length);
  } else {
    lua_pushnil(L);
    lua_pushstring(L, kinds[a.fault]);
    if (a.fault == TRANSPORT_TOO_LARGE) lua_pushnil(L);  /* the kind says it all */
    else lua_pushstring(L, a.message);
  }
  transport_release(t, a.slot);
  return 4;
}

static const luaL_Reg methods[] = { { "start", transport_lua_start },
                                    { "wait", transport_lua_wait },
                                    { "finished", transport_lua_finished },
                                    { "close", transport_close },
                                    { NULL, NULL } };
static const luaL_Reg functions[] = { { "transport", transport_make }, { NULL, NULL } };

MODULE_EXPORT int luaopen_openrouter_curl (lua_State *L);
MODULE_EXPORT int luaopen_openrouter_curl (lua_State *L) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return luaL_error(L, "libcurl cannot be initialised");
  if (luaL_newmetatable(L, TRANSPORT_METATABLE)) {
    lua_pushcfunction(L, transport_close);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    compat_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
  }
  lua_newtable(L);
  compat_setfuncs(L, functions, 0);
  const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);  /* curl_version() would start up LDAP, too */
  lua_pushfstring(L, "libcurl/%s %s", info->version, info->ssl_version ? info->ssl_version : "without TLS");
  lua_setfield(L, -2, "VERSION");
  return 1;
}

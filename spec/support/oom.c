/*
** Runs a batch of lookups once for each allocation it makes, with that one failing, or that one and the four after it:
**
**   oom URL        of examples/sandbox; LUA_PATH says where openrouter's Lua files are
**
** Memory comes from three sources, and each is let fail by itself: Lua's, libcurl's, and that of the C files in csrc/, which are
** part of this program. Whatever fails, an error must be an orderly one, the same calls must succeed once there is memory,
** every id must end once and as it ends otherwise, and nothing may be left allocated. Built by spec/oom_spec.lua.
*/
#define _GNU_SOURCE  /* MAP_ANONYMOUS */
#include "failing_memory.h"

#include <curl/curl.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int luaopen_openrouter_core (lua_State *L);
int luaopen_openrouter_curl (lua_State *L);

#define WORKERS 16       /* processes; most of a run is waiting for the sandbox */
#define PATIENCE 30      /* seconds after which a run that hangs is ended; nothing is measured by it */
#define MOST_STEPS 10000 /* of a run */
#define IN_A_ROW 5
#define WRONG 3          /* status of a worker that has said what */

/* ---- the batch ------------------------------------------------------------------------------------------------- */

/*
** A chunk that takes the base URL, the run's number, whether one of its ids is to be "not written yet" at first, and whether
** libcurl's sockets are to be watched by way of the client's descriptor. It returns two functions: `step` does the next thing
** and is called until it returns true, again where it raised; `verdict` then says what is wrong, or nothing. What a step gets,
** it keeps where no memory is needed for it: otherwise losing it would be this program's fault.
*/
static const char script[] =
  "local url, run, waits, by_descriptor = ...\n"
  "local wanted, got, names = {}, {}, { submitted = {}, given = {} }\n"
  "local function id_list(list, ...)\n"
  "  for i = 1, select('#', ...), 2 do\n"
  "    local id, ends = select(i, ...)\n"
  "    id = id:format(run)\n"
  "    list[#list + 1], wanted[id], got[id] = id, ends, false\n"
  "  end\n"
  "end\n"
  "id_list(names.submitted, 'gen-%d-a', 'record', 'gen-once-500-%d', 'record',\n"
  "  waits and 'gen-once-404-%d' or 'gen-once-502-%d', 'record')\n"
  "id_list(names.given, 'gen-%d-b', 'record', 'gen-html-%d', 'bad_answer', 'gen-status-403-%d', 'forbidden',\n"
  "  'gen-other-%d', 'wrong_id', 'gen-%d-c', 'record', 'not an id %d', 'bad_id')\n"
  "local last = ('gen-%d-d'):format(run)\n"
  "local options = { base_url = url, api_key = 'sk-or-sandbox', concurrency = 4, window = 5, wait = 3,\n"
  "  timeout = 2, deadline = 15, retry = { base = 0.001, factor = 1, cap = 0.001 } }\n"
  "local openrouter, client, each, twice\n"
  "local submitted, collected = 0, 0\n"
  "local steps = {\n"
  "  function() openrouter = require 'openrouter'; return true end,\n"
  "  function()\n"
  "    local made, err = openrouter.client(options)\n"
  "    client = made\n"
  "    if not client and type(err.kind) ~= 'string' then error('no kind: ' .. tostring(err)) end\n"
  "    return client\n"
  "  end,\n"
  "  function() if by_descriptor and client.fd then client:fd() end return true end,\n"
  "  function()\n"
  "    if not client:submit(names.submitted[submitted + 1]) then return false end\n"
  "    submitted = submitted + 1\n"
  "    return submitted == #names.submitted\n"
  "  end,\n"
  "  function() each = client:each(names.given); return true end,\n"
  "  function()\n"
  "    local id, gen, err = each()\n"
  "    if not id then return true end\n"
  "    if got[id] then twice = id end\n"
  "    got[id] = gen or err\n"
  "    return false\n"
  "  end,\n"
  "  function()\n"
  "    for id, gen, err in client:poll(10) do\n"
  "      if got[id] then twice = id end\n"
  "      got[id] = gen or err\n"
  "      collected = collected + 1\n"
  "    end\n"
  "    return collected >= submitted\n"
  "  end,\n"
  "  function() got[last] = client:get(last) or false; return got[last] end,\n"
  "  function() client:close(); return true end,\n"
  "}\n"
  "wanted[last], got[last] = 'record', false\n"
  "local at = 1\n"
  "local function step()\n"
  "  if steps[at]() then at = at + 1 end\n"
  "  return at > #steps\n"
  "end\n"
  "local function verdict()\n"
  "  if twice then return twice .. ' ended twice' end\n"
  "  for id, ends in pairs(wanted) do\n"
  "    local came = got[id]\n"
  "    if not came then return id .. ' never ended' end\n"
  "    if came.id ~= id then return id .. ' came as ' .. tostring(came.id) end\n"
  "    if (came.kind or 'record') ~= ends then return id .. ' must be ' .. ends .. ': ' .. tostring(came) end\n"
  "  end\n"
  "end\n"
  "return step, verdict\n";

/* ---- one run --------------------------------------------------------------------------------------------------- */

static int complain (const char *what) {
  static const char *const names[] = { "our", "Lua's", "libcurl's" };
  fprintf(stderr, "%s allocations %ld to %ld failing: %s\n", names[failing], first, last, what);
  return 1;
}

static lua_State *start (const char *url, long run) {
  lua_State *L = lua_newstate(lua_memory, NULL);
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_openrouter_core);
  lua_setfield(L, -2, "openrouter.core");
  lua_pushcfunction(L, luaopen_openrouter_curl);
  lua_setfield(L, -2, "openrouter.curl");
  lua_pop(L, 1);
  if (luaL_loadbuffer(L, script, sizeof script - 1, "=script") != LUA_OK) complain(lua_tostring(L, -1));
  lua_pushstring(L, url);
  lua_pushinteger(L, run);
  lua_pushboolean(L, run / WORKERS % 8 == 0);  /* that takes its time, and is asked again no other way than the rest */
  lua_pushboolean(L, run / WORKERS % 2 == 1);
  if (lua_pcall(L, 4, 2, 0) != LUA_OK) complain(lua_tostring(L, -1));
  return L;
}

/* Call `step`, at 1, until it is through. */
static int go_through (lua_State *L) {
  for (int i = 0; i < MOST_STEPS; i++) {
    long before = injected;
    lua_pushvalue(L, 1);
    bool raised = lua_pcall(L, 0, 1, 0) != LUA_OK, done = !raised && lua_toboolean(L, -1);
    if (raised) {
      const char *message = lua_tostring(L, -1);
      if (message == NULL || strstr(message, "not enough memory") == NULL) return complain(message ? message : "no message");
      if (injected == before) return complain("there was memory, and it was said that there was not");
    }
    lua_pop(L, 1);
    if (done) return 0;
  }
  return complain("does not end");
}

static int run_once (const char *url, long run) {
  static const char *const left[] = { "blocks of ours are left", "blocks of Lua are left", "blocks of libcurl are left" };
  lua_State *L = start(url, run);
  alarm(PATIENCE);
  asked = injected = 0;
  armed = true;
  int wrong = go_through(L);
  armed = false;
  lua_settop(L, 2);
  if (!wrong) {
    if (lua_pcall(L, 0, 1, 0) != LUA_OK || !lua_isnil(L, -1)) wrong = complain(lua_tostring(L, -1));
  }
  lua_close(L);
  alarm(0);
  for (int source = 0; source < SOURCES; source++) {
    if (live[source] != 0) wrong = complain(left[source]);
    live[source] = 0;
  }
  return wrong;
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

/* What a worker leaves for its parent to read. */
struct findings {
  long injected[SOURCES];
  bool wrong;
  enum source failing;  /* of the run it is at */
  long first, last;
};

/* Every WORKERSth run of each sweep, until none of its allocations has failed. */
static void work (struct findings *f, const char *url, int worker) {
  static const long lengths[] = { 1, IN_A_ROW };
  prctl(PR_SET_PDEATHSIG, SIGKILL);  /* nobody waits for what is found then */
  for (int s = 0; s < SOURCES; s++)
    for (size_t n = 0; n < sizeof lengths / sizeof lengths[0]; n++)
      for (first = 1 + worker, injected = 1; injected > 0; first += WORKERS) {
        f->failing = failing = (enum source)s;
        f->first = first;
        f->last = last = first + lengths[n] - 1;
        if (run_once(url, lengths[n] * 1000000L + s * 100000L + first) != 0) f->wrong = true;
        f->injected[s] += injected;
      }
}

static int judge (const struct findings *f, pid_t worker) {
  char how[60];
  int status;
  waitpid(worker, &status, 0);
  if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != WRONG)) {
    failing = f->failing;
    first = f->first;
    last = f->last;
    snprintf(how, sizeof how, "%s %d", WIFSIGNALED(status) ? "ended by signal" : "ended with status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    complain(how);
  }
  return status != 0;
}

int main (int argc, char **argv) {
  struct findings *all = (struct findings *)mmap(NULL, WORKERS * sizeof *all, PROT_READ | PROT_WRITE,
                                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t worker[WORKERS];
  long sum[SOURCES] = { 0 };
  int wrong = 0;
  if (argc != 2 || all == MAP_FAILED) return 2;
  if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, curl_release, curl_realloc, curl_copy, curl_calloc)) return 2;
  for (int i = 0; i < WORKERS; i++)
    if ((worker[i] = fork()) == 0) {
      work(&all[i], argv[1], i);
      exit(all[i].wrong ? WRONG : 0);
    }
  for (int i = 0; i < WORKERS; i++) {
    wrong |= judge(&all[i], worker[i]);
    for (int s = 0; s < SOURCES; s++) sum[s] += all[i].injected[s];
  }
  printf("%ld failures injected (lua %ld, libcurl %ld, ours %ld)\n", sum[FROM_LUA] + sum[FROM_CURL] + sum[FROM_OURS],
         sum[FROM_LUA], sum[FROM_CURL], sum[FROM_OURS]);
  return wrong || sum[FROM_LUA] == 0 || sum[FROM_CURL] == 0 || sum[FROM_OURS] == 0;
}

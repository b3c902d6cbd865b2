/*
** Runs each case of decode_oom.lua (decoding, what is asked of records, tallies) once for each allocation it makes, with that
** one failing, and again with all from that one on failing until the call has returned:
**
**   decode_oom CASES     LUA_PATH says where openrouter's Lua files are
**
** Lua's memory and ours (that of the C files in csrc/, which are part of this program) fail separately. Whatever fails, an
** error must be the orderly one, the same call must succeed once there is memory, all that can then be seen must be as it is
** when nothing fails, and nothing may be left allocated. A Lua state goes through all the failures of a case, and is then
** closed as it is, with records, tallies and iterators alive. Built by spec/decode_oom_spec.lua for PUC Lua 5.4, PUC Lua 5.1
** and LuaJIT, whose states can have an allocator of ours where it was built with GC64, as it is on x86-64 and arm64. LuaJIT's
** own compiler is off: when an allocation fails within code it has compiled, it reads the stack before it has written it
** back, and crashes.
*/
#define _GNU_SOURCE  /* MAP_ANONYMOUS */
#include "failing_memory.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#if defined(USE_LUAJIT)
#include <luajit.h>
#endif
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int luaopen_openrouter_core (lua_State *L);

#define WORKERS 4  /* processes */
#define WRONG 3    /* status of a worker that has said what */
#define NAME_SIZE 80
#define SPARE 2    /* blocks that Lua may have more after a failure: 5.4 keeps call infos and strings by address */

/* ---- one run --------------------------------------------------------------------------------------------------- */

static char *chunk;  /* the cases, compiled */
static size_t chunk_size;

/* What a worker leaves for its parent to read. */
struct findings {
  long injected[SOURCES];
  int cases;
  char name[NAME_SIZE];  /* of the case it is at, */
  enum source failing;   /* and what fails in it */
  long first, last;
};
static struct findings *here;

static int complain (const struct findings *f, const char *what) {
  static const char *const names[] = { "our", "Lua's" };
  if (f->first == 0) fprintf(stderr, "%s: %s\n", f->name, what);
  else fprintf(stderr, f->first == f->last ? "%s, %s allocation %ld failing: %s\n"
                                           : "%s, %s allocations from %ld on failing: %s\n",
               f->name, names[f->failing], f->first, what);
  return 1;
}

enum { PREPARE = 1, CALL, WHOLE, BETWEEN, SHOW };  /* where these functions are on the stack */

static void give_up (const char *why) {
  complain(here, why ? why : "no message");
  exit(WRONG);
}

/* A state with all the cases. */
static lua_State *start (void) {
  lua_State *L = lua_newstate(lua_memory, NULL);
  if (L == NULL) give_up("no Lua state");
  luaL_openlibs(L);
#if defined(USE_LUAJIT)
  luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
#endif
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  lua_pushcfunction(L, luaopen_openrouter_core);
  lua_setfield(L, -2, "openrouter.core");
  lua_settop(L, 0);
  if (luaL_loadbuffer(L, chunk, chunk_size, "cases") != 0 || lua_pcall(L, 0, 1, 0) != 0) give_up(lua_tostring(L, -1));
  return L;
}

/* Objects that nothing has happened to yet, and the functions that deal with them; false where there is no such case. */
static bool prepare (lua_State *L, int number) {
  lua_settop(L, PREPARE);
  lua_pushvalue(L, PREPARE);
  lua_pushinteger(L, number);
  if (lua_pcall(L, 1, LUA_MULTRET, 0) != 0) give_up(lua_tostring(L, -1));
  if (lua_gettop(L) == PREPARE) return false;
  snprintf(here->name, sizeof here->name, "%s", lua_tostring(L, -1));
  lua_settop(L, SHOW);
  lua_gc(L, LUA_GCCOLLECT, 0);
  return true;
}

/* Call one of the case's functions and leave what it returns on the stack, or the message. False where it raised. */
static bool call (lua_State *L, int function) {
  lua_settop(L, SHOW);
  lua_pushvalue(L, function);
  return lua_pcall(L, 0, LUA_MULTRET, 0) == 0;
}

/* Make one string of it. */
static bool show (lua_State *L) {
  lua_pushvalue(L, SHOW);
  lua_insert(L, SHOW + 1);
  return lua_pcall(L, lua_gettop(L) - SHOW - 1, 1, 0) == 0;
}

/* What a case comes to where nothing fails. */
struct outcome {
  char *result, *whole;
  long blocks;  /* that Lua has afterwards, after a collection */
};

static char *copy (lua_State *L) {
  const char *text = lua_tostring(L, -1);
  return text ? strdup(text) : NULL;
}

static long collected (lua_State *L) {
  lua_settop(L, PREPARE);
  for (int i = 0; i < 12; i++) lua_gc(L, LUA_GCCOLLECT, 0);  /* 5.4 gives up half of its spare call infos each time */
  return live[FROM_LUA];
}

static int close_state (lua_State *L) {
  lua_close(L);
  int wrong = 0;
  if (live[FROM_OURS] != 0) wrong = complain(here, "blocks of ours are left");
  if (live[FROM_LUA] != 0) wrong = complain(here, "blocks of Lua are left");
  live[FROM_OURS] = live[FROM_LUA] = 0;
  return wrong;
}

static int compare (lua_State *L, bool ok, const char *wanted, const char *what) {
  const char *got = lua_tostring(L, -1);
  if (ok && got != NULL && strcmp(got, wanted) == 0) return 0;
  complain(here, what);
  fprintf(stderr, "it is: %s\nand must be: %s\n", got ? got : "no string", wanted);
  return 1;
}

/* The case without a failure: false where there is none of that number. */
static bool expect (int number, struct outcome *o) {
  here->first = here->last = 0;
  lua_State *L = start();
  bool there = prepare(L, number);
  if (there) {
    bool ok = call(L, CALL) && show(L);
    o->result = copy(L);
    ok = ok && call(L, CALL) && call(L, WHOLE);
    o->whole = copy(L);
    if (!ok || o->result == NULL || o->whole == NULL) give_up(lua_tostring(L, -1));
    o->blocks = collected(L);
  }
  if (close_state(L) != 0) exit(WRONG);
  return there;
}

static int judge_failure (lua_State *L) {
  const char *message = lua_tostring(L, -1);
  if (message == NULL || strstr(message, "not enough memory") == NULL) return complain(here, message ? message : "no message");
  if (injected == 0) return complain(here, "there was memory, and it was said that there was not");
  if (!lua_toboolean(L, BETWEEN)) return 0;
  if (!call(L, BETWEEN) || lua_type(L, SHOW + 1) == LUA_TSTRING) return complain(here, lua_tostring(L, -1));
  return 0;
}

static int run_once (lua_State *L, int number, const struct outcome *o) {
  prepare(L, number);
  asked = injected = 0;
  armed = true;
  bool ok = call(L, CALL);
  armed = false;
  int wrong = ok ? compare(L, show(L), o->result, "came to something else") : judge_failure(L);
  if (!wrong) wrong = compare(L, call(L, CALL) && show(L), o->result, "comes to something else afterwards");
  if (!wrong) wrong = compare(L, call(L, WHOLE), o->whole, "is another afterwards");
  return wrong;
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

static int sweep (lua_State *L, int number, const struct outcome *o, enum source source, bool all_from) {
  int wrong = 0;
  here->failing = failing = source;
  for (first = 1, injected = 1; injected > 0 && !wrong; first++) {  /* after one that is wrong, the next would be, too */
    last = all_from ? 1000000000 : first;
    here->first = first;
    here->last = last;
    wrong = run_once(L, number, o);
    here->injected[source] += injected;
  }
  if (!wrong && collected(L) > o->blocks + SPARE) wrong = complain(here, "Lua has more blocks than before");
  return wrong;
}

/* Every WORKERSth case. */
static int work (int worker) {
  int wrong = 0;
  struct outcome o;
  prctl(PR_SET_PDEATHSIG, SIGKILL);  /* nobody waits for what is found then */
  for (int number = 1 + worker; expect(number, &o); number += WORKERS) {
    lua_State *L = start();
    here->cases++;
    for (int source = FROM_OURS; source <= FROM_LUA; source++)
      for (int all_from = 0; all_from < 2; all_from++)
        wrong |= sweep(L, number, &o, (enum source)source, all_from);
    wrong |= close_state(L);
    free(o.result);
    free(o.whole);
  }
  return wrong;
}

static int judge (const struct findings *f, pid_t worker) {
  char how[60];
  int status;
  waitpid(worker, &status, 0);
  if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != WRONG)) {
    snprintf(how, sizeof how, "%s %d", WIFSIGNALED(status) ? "ended by signal" : "ended with status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    complain(f, how);
  }
  return status != 0;
}

/* Compile the cases once and for all. */
static bool load_cases (const char *path) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  lua_getglobal(L, "string");
  lua_getfield(L, -1, "dump");
  if (luaL_loadfile(L, path) != 0 || lua_pcall(L, 1, 1, 0) != 0) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    return false;
  }
  const char *code = lua_tolstring(L, -1, &chunk_size);
  chunk = (char *)realloc(NULL, chunk_size);
  memcpy(chunk, code, chunk_size);
  lua_close(L);
  return true;
}

int main (int argc, char **argv) {
  struct findings *all = (struct findings *)mmap(NULL, WORKERS * sizeof *all, PROT_READ | PROT_WRITE,
                                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t worker[WORKERS];
  long sum[SOURCES] = { 0 };
  int wrong = 0, count = 0;
  if (argc != 2 || all == MAP_FAILED || !load_cases(argv[1])) return 2;
  for (int i = 0; i < WORKERS; i++) {
    here = &all[i];
    if ((worker[i] = fork()) == 0) exit(work(i) ? WRONG : 0);
  }
  for (int i = 0; i < WORKERS; i++) {
    wrong |= judge(&all[i], worker[i]);
    count += all[i].cases;
    for (int s = FROM_OURS; s <= FROM_LUA; s++) sum[s] += all[i].injected[s];
  }
  printf("%ld failures injected into %d cases (lua %ld, ours %ld)\n", sum[FROM_LUA] + sum[FROM_OURS], count, sum[FROM_LUA],
         sum[FROM_OURS]);
  return wrong || sum[FROM_LUA] == 0 || sum[FROM_OURS] == 0;
}

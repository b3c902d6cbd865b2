/*
** Closes Lua states in which records, clients, tallies, scanners, parsers and files are alive, made in every order there is,
** and with finalizers that use them:
**
**   closing CASES DIRECTORY     CASES: closing.lua; LUA_PATH says where openrouter's Lua files are
**
** Nothing may crash, finalizers must get the truth or an orderly error, and neither memory (Lua's, libcurl's, ours) nor a
** descriptor may be left. Built by spec/lifetime_spec.lua for PUC Lua 5.4, PUC Lua 5.1 and LuaJIT, the C files in csrc/ with it.
*/
#define _GNU_SOURCE  /* MAP_ANONYMOUS */
#include "failing_memory.h"

#include <curl/curl.h>
#include <dirent.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int luaopen_openrouter_core (lua_State *L);
int luaopen_openrouter_curl (lua_State *L);

#define WORKERS 4      /* processes */
#define MOST_KINDS 10
#define WRONG 3        /* status of a worker that has said what */

/* ---- one order ------------------------------------------------------------------------------------------------- */

/* What a worker leaves for its parent to read. */
struct findings {
  long orders, answered, refused;
};
static struct findings *here;
static char order_name[4 * MOST_KINDS];
static bool wrong;

static void complain (const char *what) {
  fprintf(stderr, "made in the order %s: %s\n", order_name, what);
  wrong = true;
}

/* say(what), see closing.lua */
static int say (lua_State *L) {
  const char *what = lua_tostring(L, 1);
  if (what != NULL && strcmp(what, "answered") == 0) here->answered++;
  else if (what != NULL && strcmp(what, "refused") == 0) here->refused++;
  else complain(what ? what : "no words");
  return 0;
}

/* A port that takes connections, and whatever is sent over them. Nobody answers. */
static int port;

static void listen_in_silence (void) {
  struct sockaddr_in address = { 0 };
  socklen_t size = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 4096) != 0
      || getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
    perror("no port");
    exit(2);
  }
  port = ntohs(address.sin_port);
}

static int descriptors (void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static void preload (lua_State *L, const char *name, lua_CFunction open) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  lua_pushcfunction(L, open);
  lua_setfield(L, -2, name);
  lua_pop(L, 2);
}

/* Run the chunk and make an object of each kind. False where something could not be made. */
static bool fill (lua_State *L, const char *cases, const char *directory, const int *order, int *kinds) {
  luaL_openlibs(L);
  preload(L, "openrouter.core", luaopen_openrouter_core);
  preload(L, "openrouter.curl", luaopen_openrouter_curl);
  if (luaL_loadfile(L, cases) != 0) return false;
  lua_pushstring(L, directory);
  lua_pushinteger(L, port);
  lua_pushcfunction(L, say);
  if (lua_pcall(L, 3, 2, 0) != 0) return false;
  *kinds = (int)lua_tointeger(L, 1);
  for (int i = 0; order != NULL && i < *kinds; i++) {
    lua_pushvalue(L, 2);
    lua_pushinteger(L, order[i]);
    if (lua_pcall(L, 1, 0, 0) != 0) return false;
  }
  return true;
}

static void run_once (const char *cases, const char *directory, const int *order, int kinds) {
  static const char *const left[] = { "blocks of ours are left", "blocks of Lua are left", "blocks of libcurl are left" };
  int before = descriptors();
  char path[4096], *end = order_name;
  for (int i = 0; i < kinds; i++) end += snprintf(end, 4, "%s%d", i ? " " : "", order[i]);
  snprintf(path, sizeof path, "%s/%ld-%ld", directory, (long)getpid(), here->orders++);
  lua_State *L = lua_newstate(lua_memory, NULL);
  if (L == NULL || !fill(L, cases, path, order, &kinds)) complain(L ? lua_tostring(L, -1) : "no Lua state");
  if (L != NULL) lua_close(L);
  for (int source = 0; source < SOURCES; source++) {
    if (live[source] != 0) complain(left[source]);
    live[source] = 0;
  }
  if (descriptors() != before) complain("a descriptor is left open");
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

/* The next one in the order of dictionaries; false after the last. */
static bool permute (int *order, int count) {
  int i = count - 2, j = count - 1;
  while (i >= 0 && order[i] > order[i + 1]) i--;
  if (i < 0) return false;
  while (order[j] < order[i]) j--;
  int swapped = order[i];
  order[i] = order[j];
  order[j] = swapped;
  for (i++, j = count - 1; i < j; i++, j--) {
    swapped = order[i];
    order[i] = order[j];
    order[j] = swapped;
  }
  return true;
}

static int count_kinds (const char *cases, const char *directory) {
  int kinds = 0;
  lua_State *L = luaL_newstate();
  if (!fill(L, cases, directory, NULL, &kinds) || kinds > MOST_KINDS) {
    fprintf(stderr, "%s\n", kinds ? "too many kinds" : lua_tostring(L, -1));
    exit(2);
  }
  lua_close(L);
  live[FROM_OURS] = live[FROM_CURL] = 0;  /* what the modules have made once and for all */
  return kinds;
}

/* Every WORKERSth order. */
static void work (const char *cases, const char *directory, int kinds, int worker) {
  int order[MOST_KINDS], turn = 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);  /* nobody waits for what is found then */
  for (int i = 0; i < kinds; i++) order[i] = i + 1;
  do {
    if (turn++ % WORKERS == worker) run_once(cases, directory, order, kinds);
  } while (permute(order, kinds));
}

int main (int argc, char **argv) {
  struct findings *all = (struct findings *)mmap(NULL, WORKERS * sizeof *all, PROT_READ | PROT_WRITE,
                                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct findings sum = { 0, 0, 0 };
  pid_t worker[WORKERS];
  int status, failed = 0;
  if (argc != 3 || all == MAP_FAILED) return 2;
  if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, curl_malloc, curl_release, curl_realloc, curl_copy, curl_calloc)) return 2;
  listen_in_silence();
  int kinds = count_kinds(argv[1], argv[2]);
  for (int i = 0; i < WORKERS; i++) {
    here = &all[i];
    if ((worker[i] = fork()) == 0) {
      work(argv[1], argv[2], kinds, i);
      exit(wrong ? WRONG : 0);
    }
  }
  for (int i = 0; i < WORKERS; i++) {
    waitpid(worker[i], &status, 0);
    if (status != 0) failed = 1;
    if (!WIFEXITED(status)) fprintf(stderr, "ended by signal %d after %ld orders\n", WTERMSIG(status), all[i].orders);
    sum.orders += all[i].orders;
    sum.answered += all[i].answered;
    sum.refused += all[i].refused;
  }
  printf("%ld states closed, finalizers' calls: %ld answered, %ld refused\n", sum.orders, sum.answered, sum.refused);
  return failed;
}

/*
** What spec/support/sanitize loads into each process that it watches, ahead of all else:
**
** - Modules stay loaded, so that what is found at the end still has the names of their functions.
** - The process's own children start without what was preloaded into it: a shell or a python3 among them is nobody's concern.
**   Those that are to be watched are started by their wrappers, which preload it again.
** - A process that has changed its account can be looked into by its own, as LeakSanitizer does at the end.
** - LuaJIT takes its memory from malloc, block by block. Its own allocator gets pages from the system and gives out parts of
**   them, of which neither ASan nor valgrind knows. A state changes over when nginx makes it, and in luajit, whose
**   luaL_newstate cannot be replaced, when the wrapper calls `watch`.
*/
#define _GNU_SOURCE  /* RTLD_NEXT */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>

typedef struct lua_State lua_State;
typedef void *allocator (void *context, void *old, size_t old_size, size_t size);

/* In front of each block that malloc gave; what is in front of others is never its own address in disguise. */
struct mark {
  uintptr_t disguised;
  size_t unused;
};
#define DISGUISE ((uintptr_t)0x5DEECE66D15B4C93)

/* Where a state's blocks without a mark come from. Kept until the process ends, as the state needs it to the last. */
struct origin {
  allocator *function;
  void *context;
  struct origin *next;
};
static struct origin *origins;

__attribute__((constructor)) static void let_go (void) {
  unsetenv("LD_PRELOAD");
}

__attribute__((visibility("default"))) int dlclose (void *library);
__attribute__((visibility("default"))) int dlclose (void *library) {
  (void)library;
  return 0;
}

__attribute__((visibility("default"))) int seteuid (uid_t account);
__attribute__((visibility("default"))) int seteuid (uid_t account) {
  int (*real) (uid_t);
  *(void **)&real = dlsym(RTLD_NEXT, "seteuid");
  int result = real(account);
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  return result;
}

static struct mark *mark_of (void *block) {
  struct mark *m = (struct mark *)block - 1;
  return m->disguised == ((uintptr_t)block ^ DISGUISE) ? m : NULL;
}

/* Always another block, as realloc may choose to: who has kept the old one's address is to be found out. */
static void *allocate (void *context, void *old, size_t old_size, size_t size) {
  const struct origin *origin = (const struct origin *)context;
  char *new = NULL;
  if (size > 0) {
    struct mark *m = (struct mark *)malloc(sizeof *m + size);
    if (m == NULL) return NULL;
    new = (char *)(m + 1);
    m->disguised = (uintptr_t)new ^ DISGUISE;
    if (old != NULL) memcpy(new, old, old_size < size ? old_size : size);
  }
  if (old == NULL) return new;
  struct mark *m = mark_of(old);
  if (m != NULL) free(m);
  else origin->function(origin->context, old, old_size, 0);
  return new;
}

/*
** The pages the state is in: LuaJIT's own, from which it refers to all it has. Where a process ends without closing its state,
** as by os.exit, LeakSanitizer has to see that from there all is still within reach.
*/
static void register_pages (const lua_State *L) {
  void (*root) (const void *, size_t);
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  unsigned long from, to;
  *(void **)&root = dlsym(RTLD_DEFAULT, "__lsan_register_root_region");
  while (root != NULL && maps != NULL && fgets(line, sizeof line, maps) != NULL)
    if (sscanf(line, "%lx-%lx", &from, &to) == 2 && from <= (uintptr_t)L && (uintptr_t)L < to)
      root((const void *)(uintptr_t)from, to - from);
  if (maps != NULL) fclose(maps);
}

static void change_over (lua_State *L) {
  allocator *(*get) (lua_State *, void **);
  void (*set) (lua_State *, allocator *, void *);
  *(void **)&get = dlsym(RTLD_DEFAULT, "lua_getallocf");
  *(void **)&set = dlsym(RTLD_DEFAULT, "lua_setallocf");
  struct origin *origin = (struct origin *)malloc(sizeof *origin);
  if (origin == NULL) abort();
  origin->function = get(L, &origin->context);
  origin->next = origins;
  origins = origin;
  if (origin->function == allocate) return;  /* it has changed over before */
  register_pages(L);
  set(L, allocate, origin);
}

__attribute__((visibility("default"))) int luaopen_watch (lua_State *L);
__attribute__((visibility("default"))) int luaopen_watch (lua_State *L) {
  change_over(L);
  return 0;
}

/* A fault, by which the tools can show that they see one: a byte is read that has been given back. */
__attribute__((visibility("default"))) int luaopen_fault (lua_State *L);
__attribute__((visibility("default"))) int luaopen_fault (lua_State *L) {
  char *text = strdup("a text"), *volatile kept = text;
  volatile size_t length;
  (void)L;
  free(text);
  length = strlen(kept);
  return length > 0 ? 0 : 1;
}

/* nginx's module calls this one instead of LuaJIT's. */
__attribute__((visibility("default"))) lua_State *luaL_newstate (void);
__attribute__((visibility("default"))) lua_State *luaL_newstate (void) {
  lua_State *(*real) (void);
  *(void **)&real = dlsym(RTLD_NEXT, "luaL_newstate");
  lua_State *L = real != NULL ? real() : NULL;
  if (L != NULL) change_over(L);
  return L;
}

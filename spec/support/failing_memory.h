/*
** Memory that is counted, and can be made to fail: of Lua, of libcurl, and of the C files in csrc/ that are part of the program,
** compiled with -Dmalloc=ours_malloc and so on. For programs of one file, which include this first.
**
** While `armed`, the allocations from number `first` to `last` of the source `failing` fail.
*/
#undef malloc   /* defined on the command line, so that the other files call what is below */
#undef calloc
#undef realloc
#undef free

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum source { FROM_OURS, FROM_LUA, FROM_CURL, SOURCES };

static long live[SOURCES];  /* blocks */
static enum source failing;
static long asked, first, last;  /* of the failing source: allocations so far, and those that fail */
static long injected;
static bool armed;

static bool fails (enum source source) {
  if (!armed || source != failing) return false;
  asked++;
  if (asked < first || asked > last) return false;
  injected++;
  return true;
}

static void *allocate (enum source source, void *old, size_t size) {
  void *p = fails(source) ? NULL : realloc(old, size ? size : 1);
  if (p != NULL && old == NULL) live[source]++;
  return p;
}

static void release (enum source source, void *p) {
  if (p != NULL) live[source]--;
  free(p);
}

static void *zeroed (enum source source, size_t count, size_t size) {
  if (size > 0 && count > (size_t)-1 / size) return NULL;
  void *p = allocate(source, NULL, count * size);
  if (p != NULL) memset(p, 0, count * size);
  return p;
}

void *ours_malloc (size_t size);
void *ours_calloc (size_t count, size_t size);
void *ours_realloc (void *p, size_t size);
void ours_free (void *p);
void *ours_malloc (size_t size) { return allocate(FROM_OURS, NULL, size); }
void *ours_calloc (size_t count, size_t size) { return zeroed(FROM_OURS, count, size); }
void *ours_realloc (void *p, size_t size) { return allocate(FROM_OURS, p, size); }
void ours_free (void *p) { release(FROM_OURS, p); }

static inline void *curl_malloc (size_t size) { return allocate(FROM_CURL, NULL, size); }
static inline void *curl_calloc (size_t count, size_t size) { return zeroed(FROM_CURL, count, size); }
static inline void *curl_realloc (void *p, size_t size) { return allocate(FROM_CURL, p, size); }
static inline void curl_release (void *p) { release(FROM_CURL, p); }
static inline char *curl_copy (const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = (char *)allocate(FROM_CURL, NULL, size);
  return copy ? (char *)memcpy(copy, text, size) : NULL;
}

/* Lua relies on getting less memory than it has. */
static void *lua_memory (void *context, void *old, size_t old_size, size_t size) {
  (void)context;
  if (size == 0) {
    release(FROM_LUA, old);
    return NULL;
  }
  return old != NULL && size <= old_size ? realloc(old, size) : allocate(FROM_LUA, old, size);
}

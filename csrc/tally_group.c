#include "tally_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- groups ------------------------------------------------------------------------------------------------------ */

void group_free (const struct tally *t, struct tally_group *g) {
  if (g == NULL) return;
  for (int i = 0; i < t->declaration.measures; i++)
    if (t->declaration.measure[i].kind == TALLY_SPREAD) histogram_free(&g->cell[i].of.spread);
  free(g);
}

struct tally_group *group_make (const struct tally *t, uint32_t serial, uint32_t hash, const char *key, size_t length) {
  size_t size = offsetof(struct tally_group, cell) + (size_t)t->declaration.measures * sizeof (struct cell);
  struct tally_group *g = (struct tally_group *)calloc(1, size + length);
  if (g == NULL) return NULL;
  char *copy = (char *)g + size;
  if (length > 0) memcpy(copy, key, length);
  g->node.key = copy;
  g->node.length = (uint32_t)length;
  g->node.hash = hash;
  g->serial = serial;
  return g;
}

void group_free_set (const struct tally *t, struct group_set *s) {
  for (size_t i = 0; i < s->groups; i++) group_free(t, s->group[i]);
  free(s->group);
  hash_free(&s->by_key);
}

static struct tally_group *add_group (struct tally *t, struct group_set *s, uint32_t hash, const char *key, size_t length) {
  if (!hash_reserve(&s->by_key)) return NULL;
  struct tally_group **list = (struct tally_group **)buffer_list(s->group, s->groups, &s->room, sizeof *list);
  if (list == NULL) return NULL;
  s->group = list;
  struct tally_group *g = group_make(t, t->serial + 1, hash, key, length);
  if (g == NULL) return NULL;
  hash_insert(&s->by_key, &g->node);
  s->group[s->groups++] = g;
  t->serial++;
  return g;
}

struct tally_group *group_find (struct tally *t, struct group_set *s, const char *key, size_t length, const char **why) {
  uint32_t hash = (uint32_t)hash_bytes(t->secret, key, length);
  struct hash_node *node = hash_find(&s->by_key, hash, key, length);
  *why = tally_no_memory;
  if (node) return (struct tally_group *)(void *)node;
  if (s->groups < TALLY_MAX_GROUPS) return add_group(t, s, hash, key, length);
  *why = tally_full;
  return NULL;
}

/* ---- providers --------------------------------------------------------------------------------------------------- */

static struct provider *add_provider (struct tally *t, uint32_t hash, const char *name, size_t length) {
  if (!hash_reserve(&t->by_provider)) return NULL;
  struct provider **list = (struct provider **)buffer_list(t->provider, t->providers, &t->provider_room, sizeof *list);
  if (list == NULL) return NULL;
  t->provider = list;
  struct provider *p = (struct provider *)calloc(1, sizeof *p + length);
  if (p == NULL) return NULL;
  if (length > 0) memcpy(p + 1, name, length);
  p->node.key = (const char *)(p + 1);
  p->node.length = (uint32_t)length;
  p->node.hash = hash;
  hash_insert(&t->by_provider, &p->node);
  return t->provider[t->providers++] = p;
}

struct provider *provider_find (struct tally *t, const char *name, size_t length, const char **why) {
  uint32_t hash = (uint32_t)hash_bytes(t->secret, name, length);
  struct hash_node *node = hash_find(&t->by_provider, hash, name, length);
  *why = t->providers < TALLY_MAX_GROUPS ? tally_no_memory : tally_full;
  if (node) return (struct provider *)(void *)node;
  return t->providers < TALLY_MAX_GROUPS ? add_provider(t, hash, name, length) : NULL;
}

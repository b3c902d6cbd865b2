/*
** hash: SipHash-1-3, and a table of nodes found by the bytes of their key. The table owns no memory but its buckets:
** a node is part of whatever is kept under the key, and stays where it is. Nothing is ever taken out.
*/
#ifndef hash_h
#define hash_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Without the secret nobody can make keys that collide, so names that come from the net do no harm. */
uint64_t hash_bytes (const uint64_t secret[2], const char *bytes, size_t length);

struct hash_node {
  struct hash_node *next;  /* in the same bucket */
  const char *key;
  uint32_t length;
  uint32_t hash;
};

/* All zero is an empty table. */
struct hash_table {
  struct hash_node **bucket;
  size_t buckets;  /* 0 or a power of two */
  size_t nodes;
};

struct hash_node *hash_find (const struct hash_table *table, uint32_t hash, const char *key, size_t length);

/* Make sure that one more node can be put in; false when there is no memory for it. */
bool hash_reserve (struct hash_table *table);

/* Put in a node whose key, length and hash are set and not there yet, after hash_reserve. */
void hash_insert (struct hash_table *table, struct hash_node *node);

void hash_free (struct hash_table *table);

#endif

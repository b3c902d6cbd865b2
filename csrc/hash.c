#include "hash.h"

#include <stdlib.h>
#include <string.h>

/* ---- SipHash-1-3 (Aumasson and Bernstein, 2012) ----------------------------------------------------------------- */

static inline uint64_t rotate (uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline void sip_round (uint64_t v[4]) {
  v[0] += v[1];
  v[2] += v[3];
  v[1] = rotate(v[1], 13) ^ v[0];
  v[3] = rotate(v[3], 16) ^ v[2];
  v[0] = rotate(v[0], 32);
  v[2] += v[1];
  v[0] += v[3];
  v[1] = rotate(v[1], 17) ^ v[2];
  v[3] = rotate(v[3], 21) ^ v[0];
  v[2] = rotate(v[2], 32);
}

static void sip_word (uint64_t v[4], uint64_t word) {
  v[3] ^= word;
  sip_round(v);
  v[0] ^= word;
}

/* Bytes are taken with the first one lowest on any machine, since this hash decides which of two records counts. */
static inline uint64_t eight_bytes (const char *p) {
  const unsigned char *b = (const unsigned char *)p;
  return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 | (uint64_t)b[4] << 32
         | (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;  /* compilers make one load of it */
}

/* Those behind the last whole eight: where there are so many, eight bytes up to the end, less those that were taken before. */
static uint64_t last_bytes (const char *bytes, size_t length) {
  size_t count = length % 8;
  uint64_t word = 0;
#ifndef OPENROUTER_NO_WORDS
  if (length > 8 && count > 0) return eight_bytes(bytes + length - 8) >> (64 - 8 * count);
#endif
  for (const char *p = bytes + length; count > 0; count--) word = word << 8 | (unsigned char)*--p;
  return word;
}

uint64_t hash_bytes (const uint64_t secret[2], const char *bytes, size_t length) {
  uint64_t v[4] = { secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du,
                    secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u };
  for (size_t at = 0; at + 8 <= length; at += 8) sip_word(v, eight_bytes(bytes + at));
  sip_word(v, (uint64_t)length << 56 | last_bytes(bytes, length));
  v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

#define FIRST_BUCKETS 64

struct hash_node *hash_find (const struct hash_table *table, uint32_t hash, const char *key, size_t length) {
  if (table->buckets == 0) return NULL;
  struct hash_node *node = table->bucket[hash & (table->buckets - 1)];
  while (node && !(node->hash == hash && node->length == length && memcmp(node->key, key, length) == 0))
    node = node->next;
  return node;
}

static void link_node (struct hash_table *table, struct hash_node *node) {
  struct hash_node **bucket = &table->bucket[node->hash & (table->buckets - 1)];
  node->next = *bucket;
  *bucket = node;
}

/* Twice the buckets, whenever there is a node for each. */
bool hash_reserve (struct hash_table *table) {
  if (table->nodes < table->buckets) return true;
  struct hash_table bigger = { NULL, table->buckets ? table->buckets * 2 : FIRST_BUCKETS, table->nodes };
  bigger.bucket = (struct hash_node **)calloc(bigger.buckets, sizeof *bigger.bucket);
  if (bigger.bucket == NULL) return false;
  for (size_t i = 0; i < table->buckets; i++) {
    for (struct hash_node *node = table->bucket[i], *next; node; node = next) {
      next = node->next;
      link_node(&bigger, node);
    }
  }
  free(table->bucket);
  *table = bigger;
  return true;
}

void hash_insert (struct hash_table *table, struct hash_node *node) {
  link_node(table, node);
  table->nodes++;
}

void hash_free (struct hash_table *table) {
  free(table->bucket);
  table->bucket = NULL;
  table->buckets = table->nodes = 0;
}

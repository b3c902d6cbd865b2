/*
** What the fuzz targets share: a check that ends the program, and ways to cut an input into pieces.
*/
#ifndef fuzz_h
#define fuzz_h

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* An assert that no -DNDEBUG takes away. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

static inline void check_failed (const char *file, int line, const char *condition) {
  fprintf(stderr, "%s:%d: this does not hold: %s\n", file, line, condition);
  abort();
}

/* A block of just this size. */
static inline char *block_new (size_t size) {
  char *block = (char *)malloc(size > 0 ? size : 1);
  CHECK(block != NULL);
  return block;
}

/* Bytes at the very end of a block, so that a read beyond them is found. Returns where they are. */
static inline const char *block_put (char *block, size_t block_size, const uint8_t *data, size_t size) {
  char *start = block + (block_size - size);
  if (size > 0) memcpy(start, data, size);
  return start;
}

/* Sizes of pieces come from the input itself, read from its front or from its end: a fuzzer can change how a text is cut
   by what it puts behind it. */
enum cut { CUT_NOT, CUT_BYTES, CUT_FROM_FRONT, CUT_FROM_END, CUTS };

/* How long the piece that starts at `at` is; at least 1. */
static inline size_t cut_size (enum cut cut, const uint8_t *data, size_t size, size_t at) {
  size_t left = size - at, n = left;
  if (cut == CUT_BYTES) n = 1;
  else if (cut == CUT_FROM_FRONT) n = 1 + data[at] % 16u;
  else if (cut == CUT_FROM_END) n = 1 + data[left - 1] % 64u;
  return n < left ? n : left;
}

#endif

/*
** Reads time zone files that were cut short at every length, and that had bytes changed: whatever is taken must answer
** without a fault. Built with sanitizers by spec/zone_spec.lua:  zone_hostile CHANGED FILE…
*/
#include "zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 88172645463325252u;

static uint32_t chance (uint32_t n) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (uint32_t)(seed >> 32) % n;
}

static long taken, refused;

/* In a block of exactly this size, so that a byte read behind it is found. */
static void try_bytes (const unsigned char *bytes, size_t length) {
  const char *why;
  unsigned char *copy = (unsigned char *)malloc(length ? length : 1);
  memcpy(copy, bytes, length);
  struct zone *z = zone_read(copy, length, &why);
  free(copy);
  if (z == NULL) {
    refused++;
    if (why == NULL || *why == '\0') exit(2);
    return;
  }
  taken++;
  struct zone_span span = { 0, 0, 0 };
  struct zone *twin = zone_copy(z);
  zone_free(z);
  for (int64_t t = -62167219200; t < 253402300800; t += 7000000000 + chance(100000000)) {
    const int32_t offset = zone_offset(twin, &span, t);
    if (offset < -8 * 86400 || offset > 8 * 86400 || span.from > t || span.until <= t) exit(3);
    if (zone_utc(twin, t + offset) > t) exit(4);
  }
  zone_free(twin);
}

int main (int argc, char **argv) {
  static unsigned char bytes[ZONE_MAX_FILE], changed[ZONE_MAX_FILE];
  for (int i = 2; i < argc; i++) {
    FILE *file = fopen(argv[i], "rb");
    if (file == NULL) return 1;
    const size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t n = 0; n <= length; n++) try_bytes(bytes, n);
    for (long n = atol(argv[1]); n > 0; n--) {
      memcpy(changed, bytes, length);
      const size_t rule = length > 40 ? length - 40 : 0;  /* the end, where each byte means something, as often as the rest */
      for (uint32_t j = chance(3) + 1; j > 0; j--) {
        const size_t at = chance(2) ? chance((uint32_t)length) : rule + chance((uint32_t)(length - rule));
        changed[at] = chance(2) ? (unsigned char)chance(256) : (unsigned char)",M.0123456789/-+<>J:"[chance(20)];
      }
      try_bytes(changed, length);
    }
  }
  printf("%ld taken, %ld refused\n", taken, refused);
  return 0;
}

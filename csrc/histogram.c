#include "histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SUB_BUCKETS 64
#define LOWEST_EXPONENT (-20)  /* a millionth of a millisecond */
#define HIGHEST_EXPONENT 64
#define BUCKETS (1 + (HIGHEST_EXPONENT - LOWEST_EXPONENT) * SUB_BUCKETS)  /* bucket 0 is for 0 */
#define GROWTH 32              /* buckets come by that many, so that a window is rarely moved */

/* Bucket 1 starts at 2^-20. frexp gives a fraction in [0.5, 1): value = fraction * 2^exponent. */
int histogram_bucket (double value) {
  int exponent;
  if (!(value >= 0) || value >= ldexp(1, HIGHEST_EXPONENT)) return -1;
  if (value < ldexp(1, LOWEST_EXPONENT)) return 0;
  double fraction = frexp(value, &exponent);
  return 1 + (exponent - 1 - LOWEST_EXPONENT) * SUB_BUCKETS + (int)((fraction - 0.5) * 2 * SUB_BUCKETS);
}

double histogram_value (int bucket, bool integers) {
  if (bucket == 0) return 0;
  int octave = (bucket - 1) / SUB_BUCKETS, part = (bucket - 1) % SUB_BUCKETS;
  double middle = ldexp(SUB_BUCKETS + part + 0.5, octave + LOWEST_EXPONENT - 6);  /* 2^6 sub-buckets */
  return integers ? floor(middle) : middle;
}

void histogram_bounds (int bucket, double *from, double *to) {
  int octave = (bucket - 1) / SUB_BUCKETS, part = (bucket - 1) % SUB_BUCKETS;
  *from = bucket == 0 ? 0 : ldexp(SUB_BUCKETS + part, octave + LOWEST_EXPONENT - 6);
  *to = bucket == 0 ? ldexp(1, LOWEST_EXPONENT) : ldexp(SUB_BUCKETS + part + 1, octave + LOWEST_EXPONENT - 6);
}

void histogram_octave (int bucket, double *from, double *to) {
  int octave = (bucket - 1) / SUB_BUCKETS;
  *from = bucket == 0 ? 0 : ldexp(1, octave + LOWEST_EXPONENT);
  *to = bucket == 0 ? ldexp(1, LOWEST_EXPONENT) : *from * 2;
}

bool histogram_reserve (struct histogram *h, int bucket) {
  int first = bucket / GROWTH * GROWTH, end = first + GROWTH;
  if (h->size > 0 && first >= h->first && end <= h->first + h->size) return true;
  if (h->size > 0 && h->first < first) first = h->first;
  if (h->size > 0 && h->first + h->size > end) end = h->first + h->size;
  uint32_t *count = (uint32_t *)calloc((size_t)(end - first), sizeof *count);
  if (count == NULL) return false;
  if (h->size > 0) memcpy(count + (h->first - first), h->count, h->size * sizeof *count);
  free(h->count);
  h->count = count;
  h->first = (uint16_t)first;
  h->size = (uint16_t)(end - first);
  return true;
}

bool histogram_reserve_all (struct histogram *h, const struct histogram *other) {
  return other->size == 0 || (histogram_reserve(h, other->first) && histogram_reserve(h, other->first + other->size - 1));
}

void histogram_merge (struct histogram *h, const struct histogram *other) {
  for (int i = 0; i < other->size; i++) h->count[other->first + i - h->first] += other->count[i];
}

void histogram_clear (struct histogram *h) {
  if (h->size > 0) memset(h->count, 0, h->size * sizeof *h->count);
}

void histogram_add (struct histogram *h, int bucket) { h->count[bucket - h->first]++; }

void histogram_remove (struct histogram *h, int bucket) { h->count[bucket - h->first]--; }

int histogram_rank (const struct histogram *h, uint64_t rank) {
  int i = 0;
  for (uint64_t below = h->count[0]; below < rank; below += h->count[i]) i++;
  return h->first + i;
}

void histogram_free (struct histogram *h) {
  free(h->count);
  h->count = NULL;
  h->size = 0;
}

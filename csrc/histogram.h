/*
** histogram: how values spread, in bounded memory. Buckets are log-linear: 64 of equal width in each power of two.
**
** A quantile is the middle of the bucket that the value of that rank fell into, hence within 1/128 of the true value;
** where all values are integers it is one too, and the true one below 128. Below 2^-20 everything counts as 0.
** Adding and removing are exact opposites, so the result depends on the values alone, not on their order.
*/
#ifndef histogram_h
#define histogram_h

#include <stdbool.h>
#include <stdint.h>

/* Room grows with the span of the values seen, from half an octave (128 bytes) to at most 22 kB. */
struct histogram {
  uint32_t *count;   /* of the buckets first … first + size - 1 */
  uint16_t first;
  uint16_t size;
};

/* The bucket of a value; -1 for what is not recorded: negative, 2^64 and above, not a number. */
int histogram_bucket (double value);

/* Make sure that the bucket has room; false when there is no memory, and nothing has changed. */
bool histogram_reserve (struct histogram *h, int bucket);

bool histogram_reserve_all (struct histogram *h, const struct histogram *other);  /* all buckets of the other */

void histogram_add (struct histogram *h, int bucket);     /* after histogram_reserve */
void histogram_remove (struct histogram *h, int bucket);  /* what was added before */

void histogram_clear (struct histogram *h);  /* its room stays */

void histogram_merge (struct histogram *h, const struct histogram *other);  /* after histogram_reserve_all */

/* The bucket of the value with this rank, 1 for the smallest; there must be that many. */
int histogram_rank (const struct histogram *h, uint64_t rank);

/* What stands for the values of a bucket. */
double histogram_value (int bucket, bool integers);

/* The bounds of a bucket: values from *from to less than *to. */
void histogram_bounds (int bucket, double *from, double *to);

/* The power of two that a bucket is part of: values from *from to less than *to. */
void histogram_octave (int bucket, double *from, double *to);

void histogram_free (struct histogram *h);

#endif

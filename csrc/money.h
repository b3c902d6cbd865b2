/*
** money: exact amounts in USD. Fixed point at 10^-27 in 128 bits, two's complement, so up to 1.7 * 10^11 USD.
** Why 27 places: a double printed by a server needs that many for the smallest token prices in use.
*/
#ifndef money_h
#define money_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MONEY_PLACES 27
#define MONEY_TEXT_SIZE 48  /* sign, 12 digits, point, 27 digits, NUL, rounded up */

struct money {
  uint64_t low;
  uint64_t high;  /* the top bit is the sign */
};

enum money_status { MONEY_EXACT, MONEY_ROUNDED, MONEY_OVERFLOW };

/* Read a checked JSON number. Digits beyond the 27th place are rounded half-even (MONEY_ROUNDED). */
enum money_status money_parse (struct money *value, const char *number);

/* False on overflow; sum is then unchanged. */
bool money_add (struct money *sum, const struct money *value);
bool money_subtract (struct money *sum, const struct money *value);

/* ---- sums ------------------------------------------------------------------------------------------------------ */

/* A sum of up to 2^63 amounts, which nothing can make too large. All zero is 0. */
struct money_sum {
  uint64_t low, high;
  int64_t top;
};

#define MONEY_SUM_TEXT_SIZE 64

void money_sum_add (struct money_sum *sum, const struct money *value);
void money_sum_subtract (struct money_sum *sum, const struct money *value);
void money_sum_merge (struct money_sum *sum, const struct money_sum *other);
size_t money_sum_format (char out[MONEY_SUM_TEXT_SIZE], const struct money_sum *sum);
double money_sum_double (const struct money_sum *sum);

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* Plain decimal text, no exponent, no needless zeros: "0.00003452", "-1", "0". Returns its length. */
size_t money_format (char out[MONEY_TEXT_SIZE], const struct money *value);

/* The nearest double. */
double money_double (const struct money *value);

#endif

#include "money.h"

#include "json.h"

#include <string.h>

/* A magnitude while it is read or written: 32-bit limbs, lowest first. Portable where there is no 128-bit type. One that is
   read has four, a sum that is written all six. */
#define LIMBS 6
struct wide {
  uint32_t limb[LIMBS];
};

static const uint32_t power[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000 };

/* w = w * factor + term; false when it no longer fits */
static bool wide_scale (struct wide *w, uint32_t factor, uint32_t term) {
  uint64_t carry = term;
  for (int i = 0; i < 4; i++) {
    carry += (uint64_t)w->limb[i] * factor;
    w->limb[i] = (uint32_t)carry;
    carry >>= 32;
  }
  return carry == 0;
}

static bool wide_scale_power (struct wide *w, int64_t places) {
  for (; places > 9; places -= 9)
    if (!wide_scale(w, power[9], 0)) return false;
  return wide_scale(w, power[places], 0);
}

static uint32_t wide_divide (struct wide *w, uint32_t divisor) {
  uint64_t rest = 0;
  for (int i = LIMBS - 1; i >= 0; i--) {
    rest = rest << 32 | w->limb[i];
    w->limb[i] = (uint32_t)(rest / divisor);
    rest %= divisor;
  }
  return (uint32_t)rest;
}

static bool is_negative (const struct money *m) { return m->high >> 63; }

static void negate (struct money *m) {
  m->low = ~m->low + 1;
  m->high = ~m->high + (m->low == 0);
}

/* Take the first n significant digits of the number; *p is left at the digit behind them. */
static bool take_digits (struct wide *w, const char **p, int64_t n) {
  while (n > 0) {
    uint32_t chunk = 0;
    int size = 0;
    for (; size < 9 && n > 0; ++*p) {
      if (**p == '.') continue;
      chunk = chunk * 10 + (uint32_t)(**p - '0');
      size++;
      n--;
    }
    if (!wide_scale(w, power[size], chunk)) return false;
  }
  return true;
}

/* Whether the dropped digits, of which p is the first and `count` are left, round the kept ones away from zero. */
static bool rounds_up (const char *p, int64_t count, bool odd) {
  if (*p == '.') p++;
  if (*p != '5') return *p > '5';
  return count > 1 || odd;  /* the last significant digit is never 0, so any digit behind the 5 means "more than half" */
}

#if defined(__SIZEOF_INT128__) && !defined(OPENROUTER_NO_FAST_NUMBERS)

/* Nearly all amounts: up to 19 digits with up to 27 places. False: look at it digit by digit. */
static bool parse_short (struct money *value, const char *number) {
  static const uint64_t power_of_10[] = {
    1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u, UINT64_C(10000000000),
    UINT64_C(100000000000), UINT64_C(1000000000000), UINT64_C(10000000000000), UINT64_C(100000000000000),
    UINT64_C(1000000000000000), UINT64_C(10000000000000000), UINT64_C(100000000000000000), UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000)
  };
  enum { HIGHEST = 19 };
  struct json_short n;
  if (!json_short(number, &n) || n.exponent < -MONEY_PLACES || n.exponent > 0) return false;
  const int shift = n.exponent + MONEY_PLACES, more = shift > HIGHEST ? shift - HIGHEST : 0;
  __extension__ unsigned __int128 amount = n.digits;
  amount *= power_of_10[more];
  if (amount >= power_of_10[HIGHEST]) return false;  /* the product has 38 digits at most, which 127 bits hold */
  amount *= power_of_10[shift - more];
  value->low = (uint64_t)amount;
  value->high = (uint64_t)(amount >> 64);
  if (n.negative) negate(value);
  return true;
}

#else

static bool parse_short (struct money *value, const char *number) {
  (void)value, (void)number;
  return false;
}

#endif

enum money_status money_parse (struct money *value, const char *number) {
  if (parse_short(value, number)) return MONEY_EXACT;
  struct json_decimal d;
  struct wide w = { { 0, 0, 0, 0, 0, 0 } };
  enum money_status status = MONEY_EXACT;
  json_decimal(number, &d);
  int64_t shift = d.exponent + MONEY_PLACES;                    /* places to add, or to drop when negative */
  int64_t kept = (int64_t)d.digits + (shift < 0 ? shift : 0);   /* digits that stay */
  if (d.digits > 0 && (int64_t)d.digits + shift > 39) return MONEY_OVERFLOW;
  if (d.digits > 0 && kept >= 0) {
    const char *p = d.first;
    if (!take_digits(&w, &p, kept)) return MONEY_OVERFLOW;
    if (shift > 0 && !wide_scale_power(&w, shift)) return MONEY_OVERFLOW;
    if (shift < 0 && rounds_up(p, (int64_t)d.digits - kept, w.limb[0] & 1) && !wide_scale(&w, 1, 1)) return MONEY_OVERFLOW;
  }
  if (d.digits > 0 && shift < 0) status = MONEY_ROUNDED;
  if (w.limb[3] >> 31) return MONEY_OVERFLOW;
  value->low = (uint64_t)w.limb[1] << 32 | w.limb[0];
  value->high = (uint64_t)w.limb[3] << 32 | w.limb[2];
  if (d.negative) negate(value);
  return status;
}

bool money_add (struct money *sum, const struct money *value) {
  struct money result;
  result.low = sum->low + value->low;
  result.high = sum->high + value->high + (result.low < sum->low);
  if (is_negative(sum) == is_negative(value) && is_negative(&result) != is_negative(sum)) return false;
  *sum = result;
  return true;
}

bool money_subtract (struct money *sum, const struct money *value) {
  struct money opposite = *value;
  negate(&opposite);  /* the smallest amount has no opposite, but money_parse never gives it */
  return money_add(sum, &opposite);
}

/* ---- sums ------------------------------------------------------------------------------------------------------ */

void money_sum_merge (struct money_sum *sum, const struct money_sum *other) {
  sum->low += other->low;
  const uint64_t carry = sum->low < other->low, high = sum->high + carry;
  const uint64_t carried = high < carry;
  sum->high = high + other->high;
  sum->top = (int64_t)((uint64_t)sum->top + (uint64_t)other->top + carried + (sum->high < other->high));
}

static struct money_sum widened (const struct money *value) {
  const struct money_sum wide = { value->low, value->high, is_negative(value) ? -1 : 0 };
  return wide;
}

void money_sum_add (struct money_sum *sum, const struct money *value) {
  const struct money_sum wide = widened(value);
  money_sum_merge(sum, &wide);
}

static struct money_sum opposite_sum (const struct money_sum *sum) {
  struct money_sum opposite = { ~sum->low + 1, ~sum->high, (int64_t)~(uint64_t)sum->top };
  if (opposite.low == 0 && ++opposite.high == 0) opposite.top = (int64_t)((uint64_t)opposite.top + 1);
  return opposite;
}

void money_sum_subtract (struct money_sum *sum, const struct money *value) {
  const struct money_sum wide = widened(value), opposite = opposite_sum(&wide);
  money_sum_merge(sum, &opposite);
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

#define DIGITS (9 * 7)  /* 192 bits have 58 */

size_t money_sum_format (char out[MONEY_SUM_TEXT_SIZE], const struct money_sum *sum) {
  char digits[DIGITS] = "";
  const bool negative = sum->top < 0;
  const struct money_sum m = negative ? opposite_sum(sum) : *sum;
  struct wide w = { { (uint32_t)m.low, (uint32_t)(m.low >> 32), (uint32_t)m.high, (uint32_t)(m.high >> 32),
                      (uint32_t)m.top, (uint32_t)((uint64_t)m.top >> 32) } };
  for (int end = DIGITS; end > 0; end -= 9) {
    uint32_t chunk = wide_divide(&w, power[9]);
    for (int i = end - 1; i >= end - 9; i--, chunk /= 10) digits[i] = (char)('0' + chunk % 10);
  }
  int first = 0, point = DIGITS - MONEY_PLACES, last = DIGITS - 1;
  while (first < point - 1 && digits[first] == '0') first++;
  while (last >= point && digits[last] == '0') last--;
  char *p = out;
  if (negative) *p++ = '-';
  memcpy(p, digits + first, (size_t)(point - first));
  p += point - first;
  if (last >= point) {
    *p++ = '.';
    memcpy(p, digits + point, (size_t)(last - point + 1));
    p += last - point + 1;
  }
  *p = '\0';
  return (size_t)(p - out);
}

size_t money_format (char out[MONEY_TEXT_SIZE], const struct money *value) {
  char text[MONEY_SUM_TEXT_SIZE];
  const struct money_sum wide = widened(value);
  size_t length = money_sum_format(text, &wide);
  memcpy(out, text, length + 1);
  return length;
}

double money_sum_double (const struct money_sum *sum) {
  char text[MONEY_SUM_TEXT_SIZE];
  double number = 0;
  money_sum_format(text, sum);
  json_double(text, &number);
  return number;
}

double money_double (const struct money *value) {
  const struct money_sum wide = widened(value);
  return money_sum_double(&wide);
}

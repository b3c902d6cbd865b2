/*
** Compares json_double with strtod, bit for bit, and json_integer with a check on the digits as text, over generated
** decimals of every kind that is hard to read. The process meanwhile has a locale, whose decimal comma must change nothing;
** what is compared with is read under the locale "C".
**
**   numbers COUNT SEED LOCALE
**
** Prints how many of each class were compared. Exit status: 1 at the first difference, with the text; 9 where the system
** has no such locale; 2 on misuse.
*/
#define _GNU_SOURCE  /* strtod_l */
#include "json.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- chance ---------------------------------------------------------------------------------------------------- */

static uint64_t chance;

/* splitmix64 */
static uint64_t any (void) {
  uint64_t z = chance += UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
  return z ^ z >> 31;
}

static uint64_t below (uint64_t n) { return n >> 32 ? any() % n : (any() >> 32) * n >> 32; }
static int between (int low, int high) { return low + (int)below((uint64_t)(high - low + 1)); }
static bool one_in (uint64_t n) { return below(n) == 0; }

/* So many bits, the top one set; 0 of them is 0. */
static uint64_t bits (int count) { return count == 0 ? 0 : any() >> (64 - count) | (uint64_t)1 << (count - 1); }

/* ---- a decimal, and its spelling ------------------------------------------------------------------------------- */

#define DIGITS 1300

/* digits * 10^exponent */
struct decimal {
  char digit[DIGITS];
  int count;
  int64_t exponent;
};

static char block[8192];  /* a text stands at the end of it, so that a sanitizer sees what reads on */

static void set (struct decimal *d, uint64_t n, int64_t exponent) {
  d->count = sprintf(d->digit, "%llu", (unsigned long long)n);
  d->exponent = exponent;
}

static void set_digits (struct decimal *d, int count, int64_t exponent) {
  for (int i = 0; i < count; i++) d->digit[i] = (char)('0' + below(10));
  d->count = count;
  d->exponent = exponent;
}

static void append (struct decimal *d, int count, char digit) {
  for (; count > 0 && d->count < DIGITS - 1; count--, d->exponent--) d->digit[d->count++] = digit;
}

/* One more or one less in the last place. */
static void step (struct decimal *d, int by) {
  int i = d->count - 1;
  char end = by > 0 ? '9' : '0', start = by > 0 ? '0' : '9';
  for (; i >= 0 && d->digit[i] == end; i--) d->digit[i] = start;
  if (i >= 0) d->digit[i] = (char)(d->digit[i] + by);
  else if (by > 0) {
    memmove(d->digit + 1, d->digit, (size_t)d->count++);
    d->digit[0] = '1';
  }
}

/* Keep the first `count` digits. */
static void cut (struct decimal *d, int count) {
  if (count >= d->count) return;
  d->exponent += d->count - count;
  d->count = count;
}

static char *put_exponent (char *p, int64_t exponent) {
  *p++ = one_in(2) ? 'e' : 'E';
  if (exponent < 0) *p++ = '-';
  else if (one_in(2)) *p++ = '+';
  if (one_in(16))
    for (int zeros = between(1, 30); zeros > 0; zeros--) *p++ = '0';
  return p + sprintf(p, "%lld", (long long)(exponent < 0 ? -exponent : exponent));
}

/* How many of the digits (zeros in front of them included) go behind the point. */
static int64_t choose_places (const struct decimal *d) {
  switch (below(8)) {
    case 0: case 1: return 0;
    case 2: return d->count - 1;
    case 3: return (int64_t)below((uint64_t)d->count + 1);
    case 4: return d->count + between(0, 40);
    default: return d->exponent < -400 ? d->count - 1 : d->exponent < 0 ? -d->exponent : 0;  /* no exponent, if possible */
  }
}

/* Spell it as JSON in one of the many ways, at the end of the block. */
static const char *spell (struct decimal *d) {
  char text[4096], *p = text;
  const char *digit = d->digit;
  if (one_in(8)) append(d, one_in(8) ? between(1, 300) : between(1, 12), '0');
  while (d->count > 1 && *digit == '0') digit++, d->count--;
  memmove(d->digit, digit, (size_t)d->count);
  int64_t places = choose_places(d), exponent = d->exponent + places;
  if (one_in(5)) *p++ = '-';
  if (places >= d->count) {
    *p++ = '0';
    *p++ = '.';
    for (int64_t zeros = places - d->count; zeros > 0; zeros--) *p++ = '0';
    memcpy(p, d->digit, (size_t)d->count);
    p += d->count;
  } else {
    memcpy(p, d->digit, (size_t)(d->count - places));
    p += d->count - places;
    if (d->digit[0] != '0' && exponent > 0 && exponent < 400 && places == 0 && one_in(2))
      for (; exponent > 0; exponent--) *p++ = '0';
    if (places > 0) {
      *p++ = '.';
      memcpy(p, d->digit + d->count - places, (size_t)places);
      p += places;
    }
  }
  if (exponent != 0 || one_in(8)) p = put_exponent(p, exponent);

  /* what stands behind a number, and more digits behind that, which are none of its own */
  if (!one_in(4)) {
    *p++ = ",}] \t\r\n"[below(7)];
    for (int junk = between(0, 20); junk > 0; junk--) *p++ = "0123456789.e-+,\""[below(16)];
  }
  *p++ = '\0';
  size_t length = (size_t)(p - text);
  return (const char *)memcpy(block + sizeof block - length, text, length);
}

/* ---- doubles as decimals --------------------------------------------------------------------------------------- */

static locale_t plain;  /* "C" */

static double from_bits (uint64_t b) {
  double value;
  memcpy(&value, &b, sizeof value);
  return value;
}

static uint64_t bits_of (double value) {
  uint64_t b;
  memcpy(&b, &value, sizeof b);
  return b;
}

/* So many significant digits of the number, which is positive and finite. */
static void print_digits (struct decimal *d, double value, int count) {
  char text[64], *p = text;
  snprintf(text, sizeof text, "%.*e", count - 1, value);
  d->count = 0;
  for (; *p != 'e'; p++)
    if (*p >= '0' && *p <= '9') d->digit[d->count++] = *p;  /* whatever the point is */
  d->exponent = strtol(p + 1, NULL, 10) - (count - 1);
}

/* The fewest digits that read back the same, of at least 15. */
static void print_shortest (struct decimal *d, double value) {
  for (int count = 15; count <= 17; count++) {
    char text[64];
    print_digits(d, value, count);
    memcpy(text, d->digit, (size_t)d->count);
    sprintf(text + d->count, "e%d", (int)d->exponent);
    if (bits_of(strtod_l(text, NULL, plain)) == bits_of(value)) break;
  }
  while (d->count > 1 && d->digit[d->count - 1] == '0') d->count--, d->exponent++;
}

/* Powers of 5 and 2 in full, nine digits in a limb, the lowest first. */
#define LIMBS 90
#define BASE 1000000000
struct large {
  int count;
  uint32_t limb[LIMBS];
};
static struct large power5[1076], power2[972];

static void scale (struct large *n, uint32_t factor, uint32_t carry) {
  uint64_t rest = carry;
  for (int i = 0; i < n->count; i++) {
    rest += (uint64_t)n->limb[i] * factor;
    n->limb[i] = (uint32_t)(rest % BASE);
    rest /= BASE;
  }
  while (rest > 0) {
    n->limb[n->count++] = (uint32_t)(rest % BASE);
    rest /= BASE;
  }
}

static void make_powers (struct large *power, int count, uint32_t base) {
  power[0].count = 1;
  power[0].limb[0] = 1;
  for (int i = 1; i < count; i++) {
    power[i] = power[i - 1];
    scale(&power[i], base, 0);
  }
}

/* Every digit of m * 2^exponent, m below 2^54. */
static void expand (struct decimal *d, uint64_t m, int exponent) {
  const struct large *power = exponent < 0 ? &power5[-exponent] : &power2[exponent];
  struct large n = *power, high = *power;
  scale(&n, (uint32_t)(m & 0x7FFFFFF), 0);
  scale(&high, (uint32_t)(m >> 27), 0);
  scale(&high, 1 << 27, 0);
  uint32_t carry = 0;
  while (n.count < high.count) n.limb[n.count++] = 0;
  for (int i = 0; i < n.count; i++) {
    uint32_t sum = n.limb[i] + (i < high.count ? high.limb[i] : 0) + carry;
    carry = sum >= BASE;
    n.limb[i] = sum % BASE;
  }
  if (carry) n.limb[n.count++] = 1;
  while (n.count > 1 && n.limb[n.count - 1] == 0) n.count--;
  d->count = 0;
  for (int i = n.count - 1; i >= 0; i--) {
    uint32_t limb = n.limb[i];
    for (int j = 8; j >= 0; j--, limb /= 10) d->digit[d->count + j] = (char)('0' + limb % 10);
    d->count += 9;
  }
  d->exponent = exponent < 0 ? exponent : 0;
}

/* In full: the double with these bits (its sign left out), or the place halfway to the next one. */
static void expand_double (struct decimal *d, uint64_t b, bool halfway) {
  int exponent = (int)(b >> 52 & 0x7FF);
  uint64_t m = b & ((UINT64_C(1) << 52) - 1);
  if (exponent > 0) m |= UINT64_C(1) << 52;
  else exponent = 1;
  exponent -= 1075;
  if (halfway) expand(d, 2 * m + 1, exponent - 1);
  else expand(d, m, exponent);
}

/* Bits of a finite positive double, of a size in use or of any. */
static uint64_t any_double (void) {
  uint64_t b;
  do b = any() >> 1;
  while (b >> 52 == 0x7FF);
  if (one_in(2)) b = (b & ((UINT64_C(1) << 52) - 1)) | (uint64_t)between(1023 - 100, 1023 + 100) << 52;
  return b;
}

/* ---- classes --------------------------------------------------------------------------------------------------- */

static void random_17 (struct decimal *d) { print_digits(d, from_bits(any_double()), 17); }

static void random_shortest (struct decimal *d) { print_shortest(d, from_bits(any_double())); }

static void random_digits (struct decimal *d) {
  set_digits(d, between(1, 25), one_in(4) ? between(-350, 330) : between(-40, 40));
}

/* Move away from an exact place by as little as can be said, at about 800 digits or far behind them. */
static void disturb (struct decimal *d) {
  switch (below(8)) {
    case 0: case 1: break;
    case 2: step(d, 1); break;
    case 3: step(d, -1); break;
    case 4: append(d, between(1, 30), '0'); break;
    case 5:
      append(d, between(0, 400), '0');
      append(d, 1, (char)('0' + between(1, 9)));
      break;
    case 6:
      append(d, between(795, 805) - d->count, '0');
      append(d, 1, '1');
      break;
    default:
      step(d, -1);
      append(d, one_in(2) ? between(1, 30) : between(790, 810) - d->count, '9');
  }
}

static void halfway_in_full (struct decimal *d) {
  expand_double(d, any_double(), !one_in(8));
  disturb(d);
}

/* As many digits of it as others have, so that one has to look closely. */
static void halfway_cut (struct decimal *d) {
  expand_double(d, any_double(), true);
  cut(d, one_in(4) ? between(15, 100) : between(15, 22));
  if (one_in(2)) step(d, 1);
}

static void subnormal (struct decimal *d) {
  uint64_t b = one_in(4) ? (UINT64_C(1) << 52) + below(5) - 2 : bits(between(0, 52));
  switch (below(4)) {
    case 0: print_digits(d, from_bits(b), 17); break;
    case 1: print_digits(d, from_bits(b), between(1, 17)); break;
    case 2:
      expand_double(d, b, true);
      cut(d, between(15, 40));
      break;
    default:
      expand_double(d, b, true);
      disturb(d);
  }
}

#define LARGEST (UINT64_C(0x7FF) << 52)  /* bits of the first double there is not */

static void overflow (struct decimal *d) {
  if (one_in(4)) {
    set_digits(d, between(1, 30), 0);
    d->exponent = between(305, 312) - d->count;
    return;
  }
  expand_double(d, LARGEST - 1 - (one_in(2) ? 0 : below(4)), !one_in(4));
  if (one_in(2)) cut(d, between(15, 309));
  disturb(d);
}

static void underflow (struct decimal *d) {
  if (one_in(4)) {
    set_digits(d, between(1, 30), 0);
    d->exponent = between(-327, -322) - d->count;
    return;
  }
  expand_double(d, below(4), true);
  if (one_in(2)) cut(d, between(1, 700));
  disturb(d);
}

/* Where one multiplication or division of doubles is right, and next to it. */
static void clinger (struct decimal *d) {
  static const int seams[] = { -24, -23, -22, -21, -1, 0, 1, 21, 22, 23, 24, 36, 37, 38 };
  uint64_t m = one_in(2) ? (UINT64_C(1) << 53) + (uint64_t)between(-9, 9) : bits(between(1, 55));
  if (one_in(4)) m = bits(between(1, 20));
  set(d, m, one_in(2) ? seams[below(14)] : between(-30, 40));
}

/* 15 to 20 digits and an exponent at the end of what 128 bits hold. */
static void exponent_27 (struct decimal *d) {
  static const int seams[] = { -29, -28, -27, -26, -23, -22, 22, 23, 26, 27, 28, 29 };
  if (one_in(2)) set_digits(d, between(15, 20), 0);
  else set(d, bits(between(50, 64)), 0);
  d->exponent = one_in(2) ? seams[below(12)] : between(-32, 32);
}

static uint64_t five_to (int n) {
  uint64_t product = 1;
  while (n-- > 0) product *= 5;
  return product;
}

/* x with x * odd = 1 modulo 2^64 */
static uint64_t inverse (uint64_t odd) {
  uint64_t x = odd;
  for (int i = 0; i < 6; i++) x *= 2 - odd * x;
  return x;
}

static uint64_t low_bits (int count) { return count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1; }

/* As close to halfway as integers of 64 bits times 10^q come: m * 5^q = ...1000...001 with 53 bits before them. */
static void close_product (struct decimal *d) {
  int q = between(0, 27);
  uint64_t five = five_to(q), inverted = inverse(five);
  int most = (int)fmin(64, 11 + 2.32192809488736 * q);
  for (int tries = 0; tries < 3000; tries++) {
    int k = between(one_in(4) ? 1 : most / 2, most);
    uint64_t target = (UINT64_C(1) << (k - 1)) + (uint64_t)between(-40, 40);
    uint64_t m = target * inverted & low_bits(k);
    double low = ldexp(1, 52 + k) / (double)five, high = fmin(2 * low, 18446744073709547520.0), period = ldexp(1, k);
    double first = ceil((low - (double)m) / period), last = floor((high - (double)m) / period);
    if (first < 0) first = 0;
    if (last < first) continue;
    if (k < 64) m += ((uint64_t)first + below((uint64_t)(last - first) + 1)) << k;
    set(d, m, q);
    return;
  }
  set(d, bits(64), q);
}

static void multiply (uint64_t a, uint64_t b, uint64_t *high, uint64_t *low) {
  uint64_t a0 = a & UINT32_MAX, a1 = a >> 32, b0 = b & UINT32_MAX, b1 = b >> 32;
  uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (middle & UINT32_MAX);
  *low = a * b;
  *high = a1 * b1 + (middle >> 32) + (other >> 32);
}

/* The same for quotients: m * 2^s = half * 5^q + r with half of 54 bits, odd, and r next to nothing. */
static void close_quotient (struct decimal *d) {
  int q = between(1, 27), s_least = (int)ceil(2.32192809488736 * q - 10), s = between(s_least < 1 ? 1 : s_least, 53);
  uint64_t five = five_to(q), r = (uint64_t)(2 * between(-9, 9) + 1), high, low;
  uint64_t half = (0 - r) * inverse(five) & low_bits(s);
  half |= bits(54) & ~low_bits(s);
  multiply(half, five, &high, &low);
  low += r;
  high += (r >> 63) ? (low >= r ? UINT64_MAX : 0) : low < r;
  set(d, low >> s | high << (64 - s), -q);
}

/* Halfway, with few digits; and next to it. */
static void short_tie (struct decimal *d) {
  uint64_t m;
  int q;
  if (one_in(2)) {  /* m * 10^q is 54 bits and zeros */
    q = between(0, 22);
    uint64_t least = (UINT64_C(1) << 53) / five_to(q) + 1;
    m = (least + below(least)) | 1;
    int room = 0;
    while (room < 63 && m >> (63 - room) == 0) room++;
    m <<= between(0, room);
  } else {  /* as is m / 10^q */
    q = -between(0, 4);
    m = (bits(54) | 1) * five_to(-q);
  }
  set(d, m + (one_in(2) ? 0 : (uint64_t)between(-1, 1)), q);
}

/* Mantissas at the ends of 53, 63 and 64 bits and of 19 and 20 digits. */
static void wide (struct decimal *d) {
  static const uint64_t seams[] = { UINT64_C(1) << 53, UINT64_C(1) << 54, UINT64_C(1) << 62, UINT64_C(1) << 63, UINT64_MAX - 9,
                                    UINT64_C(1000000000000000000), UINT64_C(9999999999999999990),
                                    UINT64_C(10000000000000000000), UINT64_C(9223372036854775807) };
  switch (below(4)) {
    case 0:
      set(d, UINT64_C(1844674407370955), 0);
      for (int i = 0; i < 4; i++) append(d, 1, (char)('0' + below(10)));  /* on both sides of 2^64 */
      if (one_in(4)) append(d, between(1, 5), (char)('0' + below(10)));
      break;
    case 1: set_digits(d, between(18, 21), 0); break;
    default: set(d, seams[below(9)] + (uint64_t)between(-9, 9), 0);
  }
  d->exponent = one_in(3) ? 0 : between(-45, 45);
}

static void zeros (struct decimal *d) {
  if (one_in(4)) set(d, 0, between(-400, 400));
  else set_digits(d, between(1, 20), between(-340, 320));
  if (one_in(2)) {
    int room = DIGITS - 400 - d->count;
    append(d, between(0, room), '0');  /* the exponent makes up for them */
  }
  if (one_in(2)) {
    int inside = between(1, 400);
    append(d, inside, '0');
    append(d, 1, (char)('0' + below(10)));
  }
}

static void exponents (struct decimal *d) {
  static const int64_t seams[] = { 999999999999, 1000000000000, 9999999999999, INT32_MAX, (int64_t)INT32_MAX + 1, UINT32_MAX,
                                   (int64_t)UINT32_MAX + 1, INT64_MAX / 100, 308, 309, 310, 323, 324, 325, 99999, 100000 };
  set_digits(d, between(1, 30), seams[below(16)]);
  if (one_in(8)) set(d, 0, seams[below(16)]);
  if (one_in(2)) d->exponent = -d->exponent;
}

/* Tokens times their price, added up as servers do. */
static void cost (struct decimal *d) {
  static const double prices[] = { 3e-6, 1.5e-5, 2.5e-7, 8e-8, 1.1e-6, 6e-7, 7.5e-5, 1e-9, 3.75e-6, 3e-7 };
  double price = prices[below(10)], value = (double)below(200000) * price + (double)below(5000) * price * 5;
  if (one_in(4)) value *= 0.0525;
  if (one_in(2)) print_shortest(d, value);
  else print_digits(d, value, 17);
}

/* Around the ends of 64 bits, with zeros and exponents that take each other away. */
static void integers (struct decimal *d) {
  if (one_in(2)) set(d, (uint64_t)INT64_MAX + (uint64_t)between(-3, 4), 0);
  else if (one_in(2)) set_digits(d, between(1, 20), 0);
  else set(d, bits(between(0, 64)), 0);
  if (one_in(2)) append(d, between(1, 25), '0');
  if (one_in(4)) d->exponent += between(-3, 20);
}

static const struct {
  const char *name;
  void (*make) (struct decimal *);
  int percent;
} classes[] = {
  { "any bits, 17 digits", random_17, 9 },
  { "any bits, shortest", random_shortest, 8 },
  { "any 1 to 25 digits", random_digits, 10 },
  { "halfway, in full", halfway_in_full, 4 },
  { "halfway, cut", halfway_cut, 6 },
  { "subnormal", subnormal, 5 },
  { "around the largest", overflow, 2 },
  { "around the smallest", underflow, 2 },
  { "2^53 and 10^22", clinger, 10 },
  { "exponents around 27", exponent_27, 9 },
  { "close products", close_product, 6 },
  { "close quotients", close_quotient, 6 },
  { "short ties", short_tie, 4 },
  { "19 digits and 64 bits", wide, 6 },
  { "zeros", zeros, 3 },
  { "exponents", exponents, 1 },
  { "costs", cost, 5 },
  { "integers", integers, 4 },
};
#define CLASSES ((int)(sizeof classes / sizeof *classes))

/* ---- the comparison -------------------------------------------------------------------------------------------- */

/* What json_integer has to say, found without arithmetic: the digits are written out, which is possible for few. */
static bool integer_by_text (const char *text, int64_t *value) {
  static char digits[200000];
  static const char *const limit[] = { "9223372036854775807", "9223372036854775808" };
  bool negative = *text == '-', zero = true;
  size_t n = 0, places = 0;
  bool fraction = false;
  for (text += negative; (*text >= '0' && *text <= '9') || *text == '.'; text++) {
    if (*text == '.') {
      fraction = true;
      continue;
    }
    if (*text != '0') zero = false;
    if (!zero) digits[n++] = *text;
    places += fraction;
  }
  *value = 0;
  if (zero) return true;
  bool down = false;
  unsigned long exponent = 0;
  if (*text == 'e' || *text == 'E') {
    text++;
    down = *text == '-';
    if (*text == '-' || *text == '+') text++;
    for (; *text >= '0' && *text <= '9'; text++)
      if (exponent < 100000000) exponent = exponent * 10 + (unsigned long)(*text - '0');
  }
  if (down) places += exponent;  /* digits to take off the end, all of them zeros */
  else
    for (; exponent > 0 && places > 0; exponent--) places--;
  for (; places > 0 && n > 0; places--)
    if (digits[--n] != '0') return false;
  if (!down)
    for (; exponent > 0 && n <= 19; exponent--) digits[n++] = '0';
  digits[n] = '\0';
  if (n > 19 || (n == 19 && strcmp(digits, limit[negative]) > 0)) return false;
  unsigned long long magnitude = strtoull(digits, NULL, 10);
  *value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
  return true;
}

static int differ (const char *kind, const char *text, const char *what) {
  printf("%s: %s\n%s\n", kind, text, what);
  return 1;
}

static int compare (const char *kind, const char *text) {
  char what[200];
  double ours = 0, theirs = strtod_l(text, NULL, plain);
  bool finite = json_double(text, &ours);
  if (bits_of(ours) != bits_of(theirs) || finite != (bool)isfinite(theirs)) {
    snprintf(what, sizeof what, "json_double: %a (%s), strtod: %a", ours, finite ? "true" : "false", theirs);
    return differ(kind, text, what);
  }
  int64_t integer = 0, same = 0;
  bool is = json_integer(text, &integer), should = integer_by_text(text, &same);
  if (is != should || (is && integer != same)) {
    snprintf(what, sizeof what, "json_integer: %s %lld, should be: %s %lld", is ? "true" : "false", (long long)integer,
             should ? "true" : "false", (long long)same);
    return differ(kind, text, what);
  }
  return 0;
}

/* Numbers longer than any buffer, with an exponent that makes up for their zeros. */
static int compare_long (void) {
  for (int i = 0; i < 60; i++) {
    int zeros = i < 30 ? between(900, 12000) : between(90000, 130000), off = between(-330, 310);
    static char text[130100];
    char *p = text;
    if (one_in(2)) {
      p += sprintf(p, "0.");
      memset(p, '0', (size_t)zeros);
      p += zeros;
      p += sprintf(p, "%llue%d", (unsigned long long)any(), zeros + off);
    } else {
      p += sprintf(p, "%llu", (unsigned long long)bits(between(1, 64)));
      memset(p, '0', (size_t)zeros);
      p += zeros;
      p += sprintf(p, "%se-%d", one_in(2) ? "" : one_in(2) ? ".5" : "1", zeros + off);
    }
    if (compare("long", text) != 0) return 1;
  }
  return 0;
}

int main (int argc, char **argv) {
  static struct decimal d;
  long counts[CLASSES] = { 0 };
  int schedule[100], filled = 0;
  if (argc != 4) return 2;
  long count = strtol(argv[1], NULL, 10);
  chance = strtoull(argv[2], NULL, 10);
  if (setlocale(LC_ALL, argv[3]) == NULL) return 9;
  plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (plain == (locale_t)0) return 2;
  make_powers(power5, 1076, 5);
  make_powers(power2, 972, 2);
  for (int c = 0; c < CLASSES; c++)
    for (int i = 0; i < classes[c].percent; i++) schedule[filled++] = c;
  if (compare_long() != 0) return 1;
  for (long i = 0; i < count; i++) {
    int c = schedule[i % filled];
    classes[c].make(&d);
    if (compare(classes[c].name, spell(&d)) != 0) return 1;
    counts[c]++;
  }
  printf("decimal point: %s\n", localeconv()->decimal_point);
  for (int c = 0; c < CLASSES; c++) printf("%ld %s\n", counts[c], classes[c].name);
  return 0;
}

#include "json.h"

#include "plain.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is rare, or long, stays out of the functions that call it for every value, which then need no stack. */
#if defined(__GNUC__)
#define NOT_INLINE __attribute__((noinline))
#else
#define NOT_INLINE
#endif

/* ---- checking -------------------------------------------------------------------------------------------------- */

const char *json_fail (struct json_check *check, const char *message, const char *at) {
  check->message = message;
  check->at = at;
  return NULL;
}

const char *json_pass_space (const char *p) {
  while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') p++;
  return p;
}

static bool is_digit (char c) { return c >= '0' && c <= '9'; }

static int hex_value (char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* The four hex digits at p, or -1. A NUL is no hex digit, so this never reads past the end. */
static int hex4 (const char *p) {
  int code = 0;
  for (int i = 0; i < 4; i++) {
    int digit = hex_value(p[i]);
    if (digit < 0) return -1;
    code = code * 16 + digit;
  }
  return code;
}

/* p is at the backslash */
static const char *check_escape (const char *p, struct json_check *check) {
  if (p[1] != '\0' && strchr("\"\\/bfnrt", p[1])) return p + 2;
  if (p[1] != 'u') return json_fail(check, "unknown escape in a string", p);
  int code = hex4(p + 2);
  if (code < 0) return json_fail(check, "\\u needs four hex digits", p);
  if (code >= 0xDC00 && code <= 0xDFFF) return json_fail(check, "lone low surrogate", p);
  if (code < 0xD800 || code > 0xDBFF) return p + 6;
  int low = p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
  if (low < 0xDC00 || low > 0xDFFF) return json_fail(check, "lone high surrogate", p);
  return p + 12;
}

static bool continues (unsigned char c) { return (c & 0xC0) == 0x80; }

/* One character of two to four bytes: well-formed UTF-8 as in table 3-7 of the Unicode standard, so neither overlong
   forms nor surrogates nor anything above U+10FFFF. */
static const char *check_utf8 (const char *p, struct json_check *check) {
  const unsigned char *s = (const unsigned char *)p;
  if (s[0] >= 0xC2 && s[0] <= 0xDF && continues(s[1])) return p + 2;
  if ((s[0] & 0xF0) == 0xE0 && continues(s[1]) && continues(s[2]) && !(s[0] == 0xE0 && s[1] < 0xA0)
      && !(s[0] == 0xED && s[1] > 0x9F))
    return p + 3;
  if (s[0] >= 0xF0 && s[0] <= 0xF4 && continues(s[1]) && continues(s[2]) && continues(s[3])
      && !(s[0] == 0xF0 && s[1] < 0x90) && !(s[0] == 0xF4 && s[1] > 0x8F))
    return p + 4;
  return json_fail(check, "not UTF-8", p);
}

/* What stands for itself in a string and needs no second look: ASCII but for quotes, backslashes and control characters. */
#define P 1, 1, 1, 1, 1, 1, 1, 1
static const unsigned char plain[256] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                          0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1, P, P, P, P, P, P,
                                          1, 1, 1, 1, 0, 1, 1, 1, P, P, P, P };
#undef P

#if defined(USES_SSE2)

static inline const char *pass_plain (const char *p, const char *end) {
  for (; end - p >= 32; p += 32) {
    const unsigned special = plain_special(p);
    if (special != 0) return p + __builtin_ctz(special);
  }
  while (plain[(unsigned char)*p]) p++;
  return p;
}

#elif !defined(OPENROUTER_NO_WORDS)

/* The same for 8 bytes in one integer, in whatever order the machine has them. x - 1 & ~x has the top bit of a byte that is
   zero; a borrow can set the bit of another byte too, but only where there is a zero byte as well. */
static inline const char *pass_plain (const char *p, const char *end) {
  const uint64_t ones = 0x0101010101010101, top = 0x8080808080808080;
  for (; end - p >= 8; p += 8) {
    uint64_t x;
    memcpy(&x, p, 8);
    const uint64_t quote = x ^ (ones * '"'), backslash = x ^ (ones * '\\');
    const uint64_t special = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | (x - ones * ' ') | x;
    if (special & top) break;
  }
  while (plain[(unsigned char)*p]) p++;
  return p;
}

#else

static inline const char *pass_plain (const char *p, const char *end) {
  (void)end;
  while (plain[(unsigned char)*p]) p++;
  return p;
}

#endif

/* From a character on that is not plain to the end of the string. */
static NOT_INLINE const char *check_not_plain (const char *p, struct json_check *check) {
  for (;; p = pass_plain(p, check->end)) {
    unsigned char c = (unsigned char)*p;
    if (c == '"') return p + 1;
    if (c == '\\') p = check_escape(p, check);
    else if (c >= 0x80) p = check_utf8(p, check);
    else return json_fail(check, "control character in a string", p);
    if (p == NULL) return NULL;
  }
}

static inline const char *check_string (const char *p, struct json_check *check) {
  p = pass_plain(p + 1, check->end);
  return *p == '"' ? p + 1 : check_not_plain(p, check);
}

const char *json_check_string (const char *p, struct json_check *check) { return check_string(p, check); }

static const char *skip_digits (const char *p) {
  while (is_digit(*p)) p++;
  return p;
}

static NOT_INLINE const char *check_number (const char *p, struct json_check *check) {
  const char *start = p, *end = check->end - p >= PLAIN_AHEAD ? plain_number(p) : NULL;
  if (end != NULL) return end;
  if (*p == '-') p++;
  if (!is_digit(*p)) return json_fail(check, "a digit must follow the minus", p);
  if (*p == '0' && is_digit(p[1])) return json_fail(check, "a number must not start with 0", start);
  p = skip_digits(p);
  if (*p == '.') {
    if (!is_digit(p[1])) return json_fail(check, "a digit must follow the point", p + 1);
    p = skip_digits(p + 1);
  }
  if (*p == 'e' || *p == 'E') {
    p++;
    if (*p == '+' || *p == '-') p++;
    if (!is_digit(*p)) return json_fail(check, "the exponent has no digits", p);
    p = skip_digits(p);
  }
  return p;
}

static inline const char *check_word (const char *p, const char *word, int length, struct json_check *check) {
  if (check->end - p < length || memcmp(p, word, (size_t)length) != 0)
    return json_fail(check, "a value must stand here", p);
  return p + length;
}

bool json_check_member (const char **p, struct json_walk *walk, struct json_check *check) {
  const char *s = json_space(*p);
  *p = NULL;
  if (*s == '}') {
    *p = s + 1;
    return false;
  }
  if (walk->inside) {
    if (*s != ',') return json_fail(check, "',' or '}' must follow a member", s);
    s = json_space(s + 1);
  }
  walk->inside = true;
  if (*s != '"') return json_fail(check, "a member must start with its name in quotes", s);
  walk->name = s + 1;
  if ((s = check_string(s, check)) == NULL) return false;
  walk->name_length = (size_t)(s - 1 - walk->name);
  s = json_space(s);
  if (*s != ':') return json_fail(check, "':' must follow a member's name", s);
  *p = json_space(s + 1);
  return true;
}

static NOT_INLINE const char *check_object (const char *p, int depth, struct json_check *check) {
  struct json_walk walk = { NULL, 0, false };
  for (p++; json_check_member(&p, &walk, check);) {
    if ((p = json_check_value(p, depth, check)) == NULL) return NULL;
    p = plain_members(p, check->end);
  }
  return p;
}

static NOT_INLINE const char *check_array (const char *p, int depth, struct json_check *check) {
  p = json_space(p + 1);
  if (*p == ']') return p + 1;
  for (;;) {
    if ((p = json_check_value(json_space(p), depth, check)) == NULL) return NULL;
    p = json_space(p);
    if (*p == ']') return p + 1;
    if (*p != ',') return json_fail(check, "',' or ']' must follow an item", p);
    p++;
  }
}

const char *json_check_value (const char *p, int depth, struct json_check *check) {
  switch (*p) {
    case '"': return check_string(p, check);
    case 't': return check_word(p, "true", 4, check);
    case 'f': return check_word(p, "false", 5, check);
    case 'n': return check_word(p, "null", 4, check);
    case '{': case '[':
      if (depth >= JSON_MAX_DEPTH) return json_fail(check, "nested too deeply", p);
      return *p == '{' ? check_object(p, depth + 1, check) : check_array(p, depth + 1, check);
    default:
      if (!json_is_number(p)) return json_fail(check, "a value must stand here", p);
      return check_number(p, check);
  }
}

/* ---- reading checked text -------------------------------------------------------------------------------------- */

const char *json_string (const char *p, size_t *length) {
  const char *start = p + 1, *quote = strchr(start, '"');
  while (quote[-1] == '\\' && json_is_escaped(start, quote, false)) quote = strchr(quote + 1, '"');
  *length = (size_t)(quote - start);
  return start;
}

static const char *skip_string (const char *p) {
  size_t length;
  const char *start = json_string(p, &length);
  return start + length + 1;
}

/* A number or a word ends where none of their characters stands. */
static const char *skip_plain (const char *p) {
  while (is_digit(*p) || (*p >= 'a' && *p <= 'z') || *p == '.' || *p == '-' || *p == '+' || *p == 'E') p++;
  return p;
}

const char *json_skip (const char *p) {
  int open = 0;
  do {
    switch (*p) {
      case '"': p = skip_string(p); continue;
      case '{': case '[': open++; break;
      case '}': case ']': open--; break;
      case ',': case ':': case ' ': case '\n': case '\r': case '\t': break;
      default: p = skip_plain(p); continue;
    }
    p++;
  } while (open > 0);
  return p;
}

static size_t put_utf8 (char *out, unsigned code) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  if (code < 0x800) {
    out[0] = (char)(0xC0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3F));
    return 2;
  }
  if (code < 0x10000) {
    out[0] = (char)(0xE0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3F));
    out[2] = (char)(0x80 | (code & 0x3F));
    return 3;
  }
  out[0] = (char)(0xF0 | code >> 18);
  out[1] = (char)(0x80 | (code >> 12 & 0x3F));
  out[2] = (char)(0x80 | (code >> 6 & 0x3F));
  out[3] = (char)(0x80 | (code & 0x3F));
  return 4;
}

/* The character an escape stands for; *p is at the backslash and moves behind the escape. */
static unsigned escaped (const char **p) {
  static const char letter[] = "bfnrt", meaning[] = "\b\f\n\r\t";
  char c = (*p)[1];
  *p += 2;
  if (c == 'u') {
    unsigned code = (unsigned)hex4(*p);
    *p += 4;
    if (code >= 0xD800 && code <= 0xDBFF) {
      code = 0x10000 + ((code - 0xD800) << 10) + ((unsigned)hex4(*p + 2) - 0xDC00);
      *p += 6;
    }
    return code;
  }
  const char *known = strchr(letter, c);
  return (unsigned char)(known ? meaning[known - letter] : c);
}

size_t json_unescape (char *out, const char *raw, size_t length) {
  const char *end = raw + length;
  char *start = out;
  while (raw < end) {
    if (*raw == '\\') out += put_utf8(out, escaped(&raw));
    else *out++ = *raw++;
  }
  return (size_t)(out - start);
}

bool json_string_is (const char *raw, size_t raw_length, const char *text, size_t length) {
  if (raw_length < length) return false;  /* what an escape stands for is shorter than the escape */
  if (memchr(raw, '\\', raw_length) == NULL) return raw_length == length && memcmp(raw, text, length) == 0;
  const char *end = raw + raw_length, *text_end = text + length;
  while (raw < end) {
    char one[4];
    size_t n = 1;
    if (*raw == '\\') n = put_utf8(one, escaped(&raw));
    else one[0] = *raw++;
    if ((size_t)(text_end - text) < n || memcmp(one, text, n) != 0) return false;
    text += n;
  }
  return text == text_end;
}

bool json_next_member (const char **p, const char **name, size_t *name_length, const char **value) {
  const char *s = json_space(*p);
  if (*s == '{' || *s == ',') s = json_space(s + 1);
  if (*s == '}') return false;
  *name = json_string(s, name_length);
  s = json_space(*name + *name_length + 1);
  *value = json_space(s + 1);
  *p = json_skip(*value);
  return true;
}

bool json_next_item (const char **p, const char **value) {
  const char *s = json_space(*p);
  if (*s == '[' || *s == ',') s = json_space(s + 1);
  if (*s == ']') return false;
  *value = s;
  *p = json_skip(s);
  return true;
}

const char *json_member (const char *p, const char *name, size_t length) {
  const char *found = NULL, *raw, *value;
  size_t raw_length;
  while (json_next_member(&p, &raw, &raw_length, &value))
    if (json_string_is(raw, raw_length, name, length)) found = value;
  return found;
}

const char *json_kind (const char *p) {
  switch (*p) {
    case '"': return "string";
    case '{': return "object";
    case '[': return "array";
    case 't': case 'f': return "boolean";
    case 'n': return "null";
    default: return "number";
  }
}

size_t json_minify (char *out, const char *p, const char *end) {
  char *start = out;
  while ((p = json_space(p)) < end) {
    const char *next = *p == '"' ? skip_string(p) : p + 1;
    memcpy(out, p, (size_t)(next - p));
    out += next - p;
    p = next;
  }
  return (size_t)(out - start);
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

#define LEADING_DIGITS 19  /* as many as always fit in 64 bits */
#define EXPONENT_LIMIT 1000000000000

static int64_t read_exponent (const char *p) {
  bool negative = *p == '-';
  int64_t value = 0;
  if (*p == '+' || *p == '-') p++;
  for (; is_digit(*p); p++)
    if (value < EXPONENT_LIMIT) value = value * 10 + (*p - '0');
  return negative ? -value : value;
}

static void add_leading (struct json_decimal *d, int digit) {
  if (d->digits++ < LEADING_DIGITS) d->leading = d->leading * 10 + (uint64_t)digit;
}

void json_decimal (const char *p, struct json_decimal *d) {
  memset(d, 0, sizeof *d);
  d->negative = *p == '-';
  if (d->negative) p++;
  size_t zeros = 0;  /* seen since the last other digit: significant only if another one comes */
  int64_t places = 0;
  bool fraction = false;
  for (; is_digit(*p) || *p == '.'; p++) {
    if (*p == '.') {
      fraction = true;
      continue;
    }
    if (fraction) places++;
    if (*p == '0') {
      if (d->digits > 0) zeros++;
      continue;
    }
    if (d->digits == 0) d->first = p;
    for (; zeros > 0; zeros--) add_leading(d, 0);
    add_leading(d, *p - '0');
  }
  if (d->digits == 0) return;
  d->exponent = (int64_t)zeros - places + (*p == 'e' || *p == 'E' ? read_exponent(p + 1) : 0);
}

/*
** The slow road: strtod, given the digits as an integer and an exponent, so that no locale's decimal point matters.
** 800 significant digits decide any double; a longer text is cut there, with one more digit to say "and a bit more".
*/
static double double_by_strtod (const struct json_decimal *d) {
  char text[840];
  size_t n = 0;
  const char *p = d->first;
  for (; n < d->digits && n < 800; p++)
    if (*p != '.') text[n++] = *p;
  int64_t exponent = d->exponent + (int64_t)(d->digits - n);
  if (d->digits > n) {
    text[n++] = '1';
    exponent--;
  }
  if (exponent > 100000) exponent = 100000;  /* certain overflow and, below, certain underflow */
  if (exponent < -100000) exponent = -100000;
  int sign = exponent < 0;
  uint32_t rest = (uint32_t)(sign ? -exponent : exponent);
  char *end = text + n;
  *end++ = 'e';
  *end++ = sign ? '-' : '+';
  for (uint32_t unit = 100000; unit > 0; unit /= 10) *end++ = (char)('0' + rest / unit % 10);
  *end = '\0';
  return strtod(text, NULL);
}

static double slow_double (const char *p) {
  struct json_decimal d;
  json_decimal(p, &d);
  double value = d.digits > 0 ? double_by_strtod(&d) : 0.0;
  return d.negative ? -value : value;
}

/* Take the digits at *p into n; returns how many there were. */
static inline ptrdiff_t take_digits (const char **p, uint64_t *n) {
  const char *first = *p, *q = first;
  uint64_t value = *n;
  for (unsigned digit; (digit = (unsigned)(unsigned char)*q - '0') <= 9; q++) value = value * 10 + digit;
  *n = value;
  *p = q;
  return q - first;
}

bool json_short (const char *p, struct json_short *n) {
  n->negative = *p == '-';
  n->digits = 0;
  n->exponent = 0;
  if (n->negative) p++;
  if (*p == '0') p++;
  ptrdiff_t count = take_digits(&p, &n->digits);
  if (*p == '.') {
    const char *point = ++p;
    if (count == 0)
      while (*p == '0') p++;
    count += take_digits(&p, &n->digits);
    if (p - point > 9999) return false;
    n->exponent = (int)(point - p);
  }
  if (*p == 'e' || *p == 'E') {
    uint64_t exponent = 0;
    bool negative = *++p == '-';
    if (*p == '-' || *p == '+') p++;
    if (take_digits(&p, &exponent) > 4) return false;
    n->exponent += negative ? -(int)exponent : (int)exponent;
  }
  return count <= LEADING_DIGITS;
}

#ifndef OPENROUTER_NO_FAST_NUMBERS

/* Powers of ten that a double holds exactly: one multiplication or division by them rounds once, hence correctly. That needs
   doubles that are computed as doubles, which the 8087's are not. */
#if FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 1
#define EXACT_POWERS 22
#else
#define EXACT_POWERS -1
#endif
static const double exact_power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

#ifdef __SIZEOF_INT128__

__extension__ typedef unsigned __int128 wide;

/* Powers of five that fit into 64 bits. */
static const uint64_t power_of_5[] = {
  1u, 5u, 25u, 125u, 625u, 3125u, 15625u, 78125u, 390625u, 1953125u, 9765625u, 48828125u, 244140625u, 1220703125u,
  UINT64_C(6103515625), UINT64_C(30517578125), UINT64_C(152587890625), UINT64_C(762939453125), UINT64_C(3814697265625),
  UINT64_C(19073486328125), UINT64_C(95367431640625), UINT64_C(476837158203125), UINT64_C(2384185791015625),
  UINT64_C(11920928955078125), UINT64_C(59604644775390625), UINT64_C(298023223876953125), UINT64_C(1490116119384765625),
  UINT64_C(7450580596923828125)
};
#define POWERS_OF_5 ((int)(sizeof power_of_5 / sizeof power_of_5[0]))

static int bit_length (wide n) {
  uint64_t high = (uint64_t)(n >> 64);
  return high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)n);
}

/* The double nearest to n * 2^exponent, ties to even; `more`: it is a little more than n. n has 53 bits at least if so. */
static double round_wide (wide n, bool more, int exponent) {
  int excess = bit_length(n) - 53;
  if (excess <= 0) return ldexp((double)(uint64_t)n, exponent);
  wide half = (wide)1 << (excess - 1), rest = n & (half + half - 1);
  uint64_t kept = (uint64_t)(n >> excess);
  if (rest > half || (rest == half && (more || kept & 1))) kept++;
  return ldexp((double)kept, exponent + excess);
}

/* 10^e is 5^e * 2^e, and the latter is only a matter of the exponent, so one multiplication or division of integers is exact
   for 27 places either way: for all prices, as 17-digit doubles too. */
static bool wide_double (const struct json_short *n, double *value) {
  if (n->exponent <= -POWERS_OF_5 || n->exponent >= POWERS_OF_5) return false;
  if (n->exponent >= 0) {
    *value = round_wide((wide)n->digits * power_of_5[n->exponent], false, n->exponent);
  } else {
    int shift = 128 - bit_length(n->digits);
    wide dividend = (wide)n->digits << shift, quotient = dividend / power_of_5[-n->exponent];
    *value = round_wide(quotient, quotient * power_of_5[-n->exponent] != dividend, n->exponent - shift);
  }
  return true;
}

#endif

static bool fast_double (const struct json_short *n, double *value) {
  if (n->digits == 0) *value = 0.0;
  else if (n->digits <= (uint64_t)1 << 53 && n->exponent >= 0 && n->exponent <= EXACT_POWERS)
    *value = (double)n->digits * exact_power[n->exponent];
  else if (n->digits <= (uint64_t)1 << 53 && n->exponent < 0 && n->exponent >= -EXACT_POWERS)
    *value = (double)n->digits / exact_power[-n->exponent];
#ifdef __SIZEOF_INT128__
  else return wide_double(n, value);
#else
  else return false;
#endif
  return true;
}

#endif

bool json_double (const char *p, double *value) {
#ifndef OPENROUTER_NO_FAST_NUMBERS
  struct json_short n;
  if (json_short(p, &n) && fast_double(&n, value)) {
    if (n.negative) *value = -*value;
    return true;
  }
#endif
  *value = slow_double(p);
  return isfinite(*value);
}

static NOT_INLINE bool slow_integer (const char *p, int64_t *value) {
  struct json_decimal d;
  json_decimal(p, &d);
  if (d.digits > LEADING_DIGITS || d.exponent < 0 || d.exponent > 18) return false;
  uint64_t n = d.leading, limit = (uint64_t)INT64_MAX + (d.negative ? 1 : 0);
  for (int64_t i = 0; i < d.exponent; i++) {
    if (n > limit / 10) return false;
    n *= 10;
  }
  if (n > limit) return false;
  *value = !d.negative ? (int64_t)n : n > 0 ? -(int64_t)(n - 1) - 1 : 0;
  return true;
}

bool json_integer (const char *p, int64_t *value) {
#ifdef OPENROUTER_NO_FAST_NUMBERS
  return slow_integer(p, value);
#endif
  const char *end = p + (*p == '-');
  uint64_t digits = 0;
  ptrdiff_t count = take_digits(&end, &digits);
  /* of what can follow a number only these are its own */
  if (count >= LEADING_DIGITS || *end == '.' || (*end | ('e' ^ 'E')) == 'e') return slow_integer(p, value);
  *value = *p == '-' ? -(int64_t)digits : (int64_t)digits;
  return true;
}

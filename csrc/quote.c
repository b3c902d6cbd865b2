#include "quote.h"

#include "json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- strings --------------------------------------------------------------------------------------------------- */

#define LONGEST 6  /* bytes that one character becomes: \u001f */

static bool is_plain (unsigned char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }

static size_t escape (char out[LONGEST + 1], unsigned char c) {
  static const char meaning[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
  const char *known = c ? strchr(meaning, c) : NULL;
  if (known == NULL) return (size_t)snprintf(out, LONGEST + 1, "\\u%04x", c);
  out[0] = '\\';
  out[1] = letter[known - meaning];
  return 2;
}

/* Length of the well-formed UTF-8 character at p, or 0. */
static size_t utf8_length (const char *p, const char *end) {
  char one[8] = { '"' };
  size_t n = 0;
  while (n < 4 && p + n < end && (n == 0 || ((unsigned char)p[n] & 0xC0) == 0x80)) n++;
  memcpy(one + 1, p, n);
  for (; n > 0; n--) {
    one[n + 1] = '"';
    one[n + 2] = '\0';
    struct json_check check = { one + n + 2, NULL, NULL };
    if (json_check_string(one, &check) == one + n + 2) return n;
  }
  return 0;
}

/* The character at *p, which is not plain; *p moves behind it. */
static size_t character (char out[LONGEST + 1], const char **p, const char *end) {
  unsigned char c = (unsigned char)**p;
  size_t n = c < 0x80 ? 0 : utf8_length(*p, end);
  if (n > 0) {
    memcpy(out, *p, n);
    *p += n;
    return n;
  }
  ++*p;
  if (c < 0x80) return escape(out, c);
  memcpy(out, "\xEF\xBF\xBD", 3);
  return 3;
}

size_t quote_characters (char *out, size_t size, const char **text, const char *end) {
  const char *p = *text;
  size_t n = 0;
  while (p < end && n < size) {
    if (is_plain((unsigned char)*p)) {
      out[n++] = *p++;
      continue;
    }
    char one[LONGEST + 1];
    const char *next = p;
    size_t length = character(one, &next, end);
    if (length > size - n) break;
    memcpy(out + n, one, length);
    n += length;
    p = next;
  }
  *text = p;
  return n;
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

size_t quote_integer (char out[QUOTE_NUMBER_SIZE], int64_t number) {
  char digits[QUOTE_NUMBER_SIZE], *p = digits + sizeof digits;
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  do *--p = (char)('0' + rest % 10);
  while (rest /= 10);
  if (number < 0) *--p = '-';
  size_t length = (size_t)(digits + sizeof digits - p);
  memcpy(out, p, length);
  out[length] = '\0';
  return length;
}

/* A locale's decimal separator, which may be more than one byte, becomes a point. */
static void set_point (char *text) {
  char *out = text;
  for (const char *p = text; *p; p++) {
    if (strchr("+-0123456789e", *p)) *out++ = *p;
    else if (out == text || out[-1] != '.') *out++ = '.';
  }
  *out = '\0';
}

size_t quote_number (char out[QUOTE_NUMBER_SIZE], double number) {
  double back;
  if (fabs(number) < 1e15 && number == floor(number) && (number != 0 || !signbit(number)))
    return quote_integer(out, (int64_t)number);  /* the same text sooner */
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(out, QUOTE_NUMBER_SIZE, "%.*g", digits, number);
    set_point(out);
    if (json_double(out, &back) && back == number) break;
  }
  return strlen(out);
}

/* ---- a place --------------------------------------------------------------------------------------------------- */

bool place_put (struct place *to, const char *bytes, size_t length) {
  if (length > to->size - to->length) return false;
  if (length > 0) memcpy(to->bytes + to->length, bytes, length);
  to->length += length;
  return true;
}

bool place_put_string (struct place *to, const char *text, size_t length) {
  const char *end = text + length;
  size_t before = to->length;
  if (place_put(to, "\"", 1)) {
    to->length += quote_characters(to->bytes + to->length, to->size - to->length, &text, end);
    if (text == end && place_put(to, "\"", 1)) return true;
  }
  to->length = before;
  return false;
}

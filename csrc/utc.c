#include "utc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Years start in March here, so that a leap day comes last. */
int64_t utc_days (int64_t year, int month, int day) {
  year -= month <= 2;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t year_of_era = year - era * 400;
  int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static int days_in_month (int year, int month) {
  static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return days[month - 1] + (month == 2 && leap);
}

/* The two digits at p, or -1. */
static int two_digits (const char *p) {
  const unsigned tens = (unsigned char)p[0] - (unsigned)'0', ones = (unsigned char)p[1] - (unsigned)'0';
  return tens <= 9 && ones <= 9 ? (int)(tens * 10 + ones) : -1;
}

static bool make (int year, int month, int day, int hour, int minute, int second, double *out) {
  if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) return false;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return false;
  *out = (double)(utc_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second);
  return true;
}

/* Decimals of a second, to the microsecond; the rest is passed over. */
static bool fraction (const char **p, const char *end, double *value) {
  int micro = 0, places = 0;
  const char *first = *p + 1, *q = first;
  *value = 0;
  if (**p != '.') return true;
  for (; q < end && *q >= '0' && *q <= '9'; q++)
    if (places < 6) micro = micro * 10 + (*q - '0'), places++;
  for (; places < 6; places++) micro *= 10;
  *p = q;
  *value = micro / 1e6;
  return q > first;
}

/* Z or +hh:mm and nothing behind it, in seconds east of UTC. */
static bool offset (const char *p, const char *end, int *seconds) {
  *seconds = 0;
  if (end - p == 1) return *p == 'Z' || *p == 'z';
  if (end - p != 6 || (*p != '+' && *p != '-') || p[3] != ':') return false;
  const int hour = two_digits(p + 1), minute = two_digits(p + 4);
  *seconds = (*p == '-' ? -1 : 1) * (hour * 3600 + minute * 60);
  return hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59;
}

bool utc_parse (const char *text, size_t length, double *out) {
  const char *t = text, *end = text + length;
  int east;
  double part;
  if (length < sizeof "2026-11-21T06:26:57Z" - 1) return false;
  const char *p = text + 19;  /* behind the seconds */
  if (t[4] != '-' || t[7] != '-' || t[13] != ':' || t[16] != ':') return false;
  if (t[10] != 'T' && t[10] != 't' && t[10] != ' ') return false;
  const int century = two_digits(t), year = two_digits(t + 2);
  if (century < 0 || year < 0 || !fraction(&p, end, &part) || !offset(p, end, &east)) return false;
  if (!make(century * 100 + year, two_digits(t + 5), two_digits(t + 8), two_digits(t + 11), two_digits(t + 14),
            two_digits(t + 17), out))
    return false;
  *out += part - east;
  return true;
}

bool utc_http_date (const char *text, double *out) {
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  char name[4], end[4];
  int day, year, hour, minute, second;
  if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %3[A-Z]", &day, name, &year, &hour, &minute, &second, end)
      != 7 || strcmp(end, "GMT") != 0 || strlen(name) != 3)
    return false;
  const char *month = strstr(months, name);
  if (month == NULL || (month - months) % 3 != 0) return false;
  return make(year, (int)(month - months) / 3 + 1, day, hour, minute, second, out);
}

struct utc_date utc_date (int64_t days) {
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  int64_t day_of_era = days - era * 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int month = (int)(5 * day_of_year + 2) / 153;
  struct utc_date date = { year_of_era + era * 400, month < 10 ? month + 3 : month - 9,
                               (int)day_of_year - (153 * month + 2) / 5 + 1 };
  date.year += date.month <= 2;
  return date;
}

static char *put_number (char *p, int64_t number, int digits, char behind) {
  for (int i = digits - 1; i >= 0; i--, number /= 10) p[i] = (char)('0' + number % 10);
  p[digits] = behind;
  return p + digits + 1;
}

/* Microseconds since the second began. A double holds them until 2242, if not exactly: they are rounded, or what utc_parse
   made of .123 would be .122999; after that a double holds milliseconds. Never to the next second, which has not begun. */
static int64_t microseconds (double unix_seconds) {
  static const double year_2242 = 8589934592.0;
  const double part = unix_seconds - floor(unix_seconds);
  const int64_t micro = (int64_t)floor(part * 1e6 + (unix_seconds < year_2242 ? 0.5 : 50.5));
  return micro < 1000000 ? micro : 999999;
}

size_t utc_format (char out[UTC_SIZE], double unix_seconds) {
  static const double year_0 = -62167219200.0, year_10000 = 253402300800.0;
  if (!(unix_seconds >= year_0 && unix_seconds < year_10000)) return 0;
  const int64_t second = (int64_t)floor(unix_seconds) - (int64_t)year_0;  /* from there on, as all days are after it */
  const struct utc_date date = utc_date((int64_t)floor(floor(unix_seconds) / 86400));
  char *p = put_number(out, date.year, 4, '-');
  p = put_number(p, date.month, 2, '-');
  p = put_number(p, date.day, 2, 'T');
  p = put_number(p, second / 3600 % 24, 2, ':');
  p = put_number(p, second / 60 % 60, 2, ':');
  p = put_number(p, second % 60, 2, '.');
  p = put_number(p, microseconds(unix_seconds) / 1000, 3, 'Z');
  *p = '\0';
  return (size_t)(p - out);
}

/*
** utc: points in time, as seconds since 1970-01-01T00:00:00Z and as text
*/
#ifndef utc_h
#define utc_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTC_SIZE 32

/* RFC 3339 date and time, any offset, any number of decimals (kept to the microsecond). The whole text must be one. */
bool utc_parse (const char *text, size_t length, double *unix_seconds);

/* The HTTP date in a Retry-After header: "Sun, 06 Nov 1994 08:49:37 GMT". */
bool utc_http_date (const char *text, double *unix_seconds);

/* Days since 1970-01-01 of a date in the Gregorian calendar, and the date of such a day. */
int64_t utc_days (int64_t year, int month, int day);
struct utc_date { int64_t year; int month, day; };
struct utc_date utc_date (int64_t days);

/* "2026-11-21T06:26:57.123Z", the millisecond that has begun. Returns the length, 0 outside the years 0 to 9999. */
size_t utc_format (char out[UTC_SIZE], double unix_seconds);

#endif

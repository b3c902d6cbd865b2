/*
** zone: local time in the zones of the IANA time zone database, from the files that systems have of them (TZif, RFC
** 8536, versions 1 to 4), and the hours, days, weeks and months that people there count in.
**
** Nothing is kept between calls: a zone never changes, so threads may share it, and what a caller found last is in a
** struct zone_span of its own.
*/
#ifndef zone_h
#define zone_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZONE_MAX_NAME 64
#define ZONE_MAX_FILE ((size_t)256 << 10)  /* the largest there are have 4 kB */

struct zone;

/* Names are made of letters, digits, '_', '-' and '+', in parts between single slashes. So none leads out of a directory. */
bool zone_is_name (const char *name, size_t length);

/* The zone whose file has these bytes (zone_file.h finds it). NULL, and the reason. */
struct zone *zone_read (const unsigned char *bytes, size_t length, const char **why);

struct zone *zone_copy (const struct zone *z);  /* NULL: no memory */
void zone_free (struct zone *z);

/* A stretch of time without a change of the offset: from <= t < until. All zero: none. */
struct zone_span {
  int64_t from, until;
  int32_t offset;
};

/* Seconds east of UTC at a time of the years -9999 to 99999; `span` is where the last one was, and makes others near it
   cheap. */
int32_t zone_offset (const struct zone *z, struct zone_span *span, int64_t unix_seconds);

/* When clocks there show a local time for the first time, or go on behind it where they skip it. Local times count as if they
   were UTC: seconds since 1970-01-01 00:00. */
int64_t zone_utc (const struct zone *z, int64_t local);

/* ---- the calendar ------------------------------------------------------------------------------------------------ */

enum zone_unit { ZONE_HOUR, ZONE_DAY, ZONE_WEEK, ZONE_MONTH };

/* The hour, day, week (from Monday) or month that a local time is in, counted from the one of 1970-01-01 00:00. */
int64_t zone_number (enum zone_unit unit, int64_t local);

#define ZONE_TEXT_SIZE 48

/* "2026-11-01 14:00+01:00", "2026-11-01", "2026-W44" (of ISO 8601), "2026-11"; years are in -999 to 99999. The offset keeps
   the two hours apart that have the same name when clocks are put back; only hours show it. Returns the length. */
size_t zone_format (char out[ZONE_TEXT_SIZE], enum zone_unit unit, int64_t number, int32_t offset);

#endif

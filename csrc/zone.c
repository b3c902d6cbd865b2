#include "zone.h"

#include "utc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

enum change_kind { MONTH_WEEK_DAY, JULIAN, ZERO_BASED };

/* When clocks are changed, in every year: a day, and seconds after its local midnight. */
struct change {
  enum change_kind kind;
  int month, week, day;  /* of the others only the day: 1 to 365 without February 29; 0 to 365 with it */
  int32_t time;
};

/* What holds after the last transition of the file. */
struct rule {
  int32_t standard, summer;   /* offsets */
  bool changes;
  struct change start, end;   /* of summer time */
};

struct transition {
  int64_t when;
  int32_t offset;  /* from then on */
};

/* One block of memory, without pointers, so that a copy is a copy of the bytes. */
struct zone {
  size_t size;
  int32_t first;     /* offset before the first transition */
  bool has_rule;
  struct rule rule;
  size_t count;
  struct transition transition[1];
};

static const char no_memory[] = "not enough memory";

/* ---- the rule at the end of a file, as in the variable TZ of POSIX: "CET-1CEST,M3.5.0,M10.5.0/3" --------------------- */

static bool expect (const char **p, char c) {
  if (**p != c) return false;
  ++*p;
  return true;
}

static bool is_letter (char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
static bool is_digit (char c) { return c >= '0' && c <= '9'; }

static bool read_number (const char **p, int least, int most, int *number) {
  if (!is_digit(**p)) return false;
  for (*number = 0; is_digit(**p); ++*p) {
    *number = *number * 10 + (**p - '0');
    if (*number > most) return false;
  }
  return *number >= least;
}

/* What it is called does not matter here, but the name tells where the offset begins. */
static bool pass_name (const char **p) {
  const bool quoted = expect(p, '<');
  const char *start = *p;
  while (is_letter(**p) || (quoted && (is_digit(**p) || **p == '+' || **p == '-'))) ++*p;
  return *p - start >= 3 && (!quoted || expect(p, '>'));
}

/* [+-]h[:mm[:ss]] in seconds */
static bool read_time (const char **p, int most_hours, int32_t *seconds) {
  int hour, minute = 0, second = 0;
  const bool negative = **p == '-';
  if (negative || **p == '+') ++*p;
  if (!read_number(p, 0, most_hours, &hour)) return false;
  if (expect(p, ':')) {
    if (!read_number(p, 0, 59, &minute)) return false;
    if (expect(p, ':') && !read_number(p, 0, 59, &second)) return false;
  }
  *seconds = (int32_t)(hour * 3600 + minute * 60 + second) * (negative ? -1 : 1);
  return true;
}

/* POSIX counts offsets to the west. */
static bool read_offset (const char **p, int32_t *east) {
  if (!read_time(p, 24, east)) return false;
  *east = -*east;
  return true;
}

static bool read_change (const char **p, struct change *c) {
  bool fine;
  if (!expect(p, ',')) return false;
  if (expect(p, 'M')) {
    c->kind = MONTH_WEEK_DAY;
    fine = read_number(p, 1, 12, &c->month) && expect(p, '.') && read_number(p, 1, 5, &c->week) && expect(p, '.')
           && read_number(p, 0, 6, &c->day);
  } else {
    c->kind = expect(p, 'J') ? JULIAN : ZERO_BASED;
    fine = read_number(p, c->kind == JULIAN ? 1 : 0, 365, &c->day);
  }
  c->time = 7200;
  return fine && (!expect(p, '/') || read_time(p, 167, &c->time));
}

static bool read_rule (struct rule *r, const char *p) {
  if (!pass_name(&p) || !read_offset(&p, &r->standard)) return false;
  r->changes = *p != '\0';
  if (!r->changes) return true;
  if (!pass_name(&p)) return false;
  r->summer = r->standard + 3600;
  if (*p != ',' && !read_offset(&p, &r->summer)) return false;
  return read_change(&p, &r->start) && read_change(&p, &r->end) && *p == '\0';
}

/* ---- reading a file ----------------------------------------------------------------------------------------------- */

struct reader {
  const unsigned char *p;
  size_t left;
};

/* What the header of a block says there is in it. */
struct counts {
  int version;
  uint32_t uts, standards, leaps, times, types, characters;
};

#define HEADER_SIZE 44
#define MAX_RULE 128  /* bytes of a footer */

static uint32_t read_uint32 (const unsigned char *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t read_signed (const unsigned char *p, size_t size) {
  uint64_t bits = read_uint32(p);
  if (size == 8) bits = bits << 32 | read_uint32(p + 4);
  else if (bits >> 31) bits |= UINT64_C(0xFFFFFFFF00000000);
  int64_t value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* The next `size` bytes; NULL where there are fewer. */
static const unsigned char *take (struct reader *r, uint64_t size) {
  const unsigned char *start = r->p;
  if (size > r->left) return NULL;
  r->p += size;
  r->left -= (size_t)size;
  return start;
}

static const char *read_header (struct reader *r, struct counts *c) {
  const unsigned char *h = take(r, HEADER_SIZE);
  if (h == NULL || memcmp(h, "TZif", 4) != 0) return "it is no time zone file";
  if (h[4] != 0 && (h[4] < '2' || h[4] > '9')) return "its version does not exist";
  c->version = h[4] ? h[4] - '0' : 1;
  c->uts = read_uint32(h + 20);
  c->standards = read_uint32(h + 24);
  c->leaps = read_uint32(h + 28);
  c->times = read_uint32(h + 32);
  c->types = read_uint32(h + 36);
  c->characters = read_uint32(h + 40);
  return NULL;
}

/* Nothing here can overflow: every count has 32 bits. */
static uint64_t block_size (const struct counts *c, size_t time_size) {
  return (uint64_t)c->times * (time_size + 1) + (uint64_t)c->types * 6 + c->characters
         + (uint64_t)c->leaps * (time_size + 4) + c->standards + c->uts;
}

static const char *check_counts (const struct counts *c) {
  if (c->types == 0 || c->types > 256 || c->characters == 0) return "it has no local time";
  if ((c->uts && c->uts != c->types) || (c->standards && c->standards != c->types)) return "its counts do not match";
  if (c->leaps) return "it counts leap seconds, which no time here does";
  return NULL;
}

/* All offsets there are must be possible, and named by a string that ends. */
static const char *check_types (const unsigned char *type, const struct counts *c) {
  const unsigned char *name = type + (size_t)c->types * 6;
  for (uint32_t i = 0; i < c->types; i++, type += 6) {
    const int64_t offset = read_signed(type, 4);
    if (offset < -89999 || offset > 93599) return "an offset from UTC is more than a day";
    if (type[4] > 1 || type[5] >= c->characters) return "a local time is broken";
    if (memchr(name + type[5], 0, c->characters - type[5]) == NULL) return "a name is broken";
  }
  return NULL;
}

static const char *read_transitions (struct zone *z, const unsigned char *block, const struct counts *c, size_t time_size) {
  const unsigned char *index = block + (size_t)c->times * time_size, *type = index + c->times;
  z->count = c->times;
  z->first = (int32_t)read_signed(type, 4);
  for (uint32_t i = 0; i < c->times; i++) {
    struct transition *t = &z->transition[i];
    t->when = read_signed(block + i * time_size, time_size);
    if (i > 0 && t->when <= t[-1].when) return "its transitions are out of order";
    if (index[i] >= c->types) return "a transition leads to no local time";
    t->offset = (int32_t)read_signed(type + (size_t)index[i] * 6, 4);
  }
  return NULL;
}

/* "\n" rule "\n", where the rule may be empty. */
static bool read_footer (struct zone *z, struct reader *r) {
  char rule[MAX_RULE];
  if (r->left < 2 || *r->p != '\n') return false;
  const unsigned char *start = r->p + 1, *end = (const unsigned char *)memchr(start, '\n', r->left - 1);
  if (end == NULL || end - start >= MAX_RULE) return false;
  memcpy(rule, start, (size_t)(end - start));
  rule[end - start] = '\0';
  z->has_rule = end > start;
  return !z->has_rule || (strlen(rule) == (size_t)(end - start) && read_rule(&z->rule, rule));
}

/* The block that counts: of a file of version 1 the only one, else the second, whose times have 64 bits. */
static const char *find_block (struct reader *r, struct counts *c, size_t *time_size, const unsigned char **block) {
  static const char too_short[] = "it ends too early";
  const char *why = read_header(r, c);
  *time_size = 4;
  if (why == NULL && c->version > 1) {
    const int version = c->version;
    if (take(r, block_size(c, 4)) == NULL) return too_short;
    why = read_header(r, c);
    if (why == NULL && c->version != version) why = "it is of two versions";
    *time_size = 8;
  }
  if (why == NULL) why = check_counts(c);
  if (why) return why;
  *block = take(r, block_size(c, *time_size));
  return *block ? check_types(*block + (size_t)c->times * (*time_size + 1), c) : too_short;
}

struct zone *zone_read (const unsigned char *bytes, size_t length, const char **why) {
  struct reader r = { bytes, length };
  struct counts c;
  size_t time_size;
  const unsigned char *block;
  if ((*why = find_block(&r, &c, &time_size, &block)) != NULL) return NULL;
  const size_t size = sizeof (struct zone) + c.times * sizeof (struct transition);
  struct zone *z = (struct zone *)calloc(1, size);
  *why = no_memory;
  if (z == NULL) return NULL;
  z->size = size;
  *why = read_transitions(z, block, &c, time_size);
  if (*why == NULL && c.version > 1 && !read_footer(z, &r)) *why = "its rule for times to come is broken";
  if (*why == NULL) return z;
  free(z);
  return NULL;
}

struct zone *zone_copy (const struct zone *z) {
  struct zone *copy = (struct zone *)malloc(z->size);
  return copy ? (struct zone *)memcpy(copy, z, z->size) : NULL;
}

void zone_free (struct zone *z) { free(z); }

/* ---- names ------------------------------------------------------------------------------------------------------ */

bool zone_is_name (const char *name, size_t length) {
  bool part = false;  /* a part has begun */
  if (length > ZONE_MAX_NAME) return false;
  for (size_t i = 0; i < length; i++) {
    const char c = name[i];
    const bool sign = c == '-' || c == '+' || c == '_';
    if (c == '/' ? !part : !is_letter(c) && !is_digit(c) && !(sign && part)) return false;
    part = c != '/';
  }
  return part;
}

/* ---- offsets ------------------------------------------------------------------------------------------------------- */

static int64_t divide_down (int64_t a, int64_t b) { return (a >= 0 ? a : a - b + 1) / b; }

static int days_of_month (int64_t year, int month) {
  const int64_t next = month < 12 ? utc_days(year, month + 1, 1) : utc_days(year + 1, 1, 1);
  return (int)(next - utc_days(year, month, 1));
}

/* The last of the fifth weeks may be the fourth. */
static int64_t day_of_month_week (const struct change *c, int64_t year) {
  const int64_t first = utc_days(year, c->month, 1);
  const int weekday = (int)(first + 4 - divide_down(first + 4, 7) * 7);  /* 1970 began on a Thursday */
  int day = (c->day - weekday + 7) % 7 + 7 * (c->week - 1);
  if (day >= days_of_month(year, c->month)) day -= 7;
  return first + day;
}

/* The local time of the change in that year. */
static int64_t change_in (const struct change *c, int64_t year) {
  const int64_t new_year = utc_days(year, 1, 1);
  int64_t day = new_year + c->day;
  if (c->kind == MONTH_WEEK_DAY) day = day_of_month_week(c, year);
  if (c->kind == JULIAN) day -= !(c->day >= 60 && days_of_month(year, 2) == 29);
  return day * 86400 + c->time;
}

/* A change to summer time or back. Of two at the same time the start counts: that is how summer time all year is written. */
static void consider (struct zone_span *span, int64_t t, int64_t when, int32_t offset, bool is_start) {
  if (when > t && when < span->until) span->until = when;
  if (when > t || when < span->from || (when == span->from && !is_start)) return;
  span->from = when;
  span->offset = offset;
}

/* A change may be a week away from the day it is said of, and so in the year before or after. */
static void apply_rule (const struct rule *r, struct zone_span *span, int64_t t) {
  span->offset = r->standard;
  if (!r->changes) return;
  const int64_t year = utc_date(divide_down(t + r->standard, 86400)).year;
  for (int64_t y = year - 2; y <= year + 2; y++) {
    consider(span, t, change_in(&r->start, y) - r->standard, r->summer, true);
    consider(span, t, change_in(&r->end, y) - r->summer, r->standard, false);
  }
}

/* How many transitions there have been at time t. */
static size_t transitions_until (const struct zone *z, int64_t t) {
  size_t low = 0, high = z->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (z->transition[middle].when <= t) low = middle + 1;
    else high = middle;
  }
  return low;
}

/* The rule holds after the last transition, from the first change on that it makes: some files have one that should say the
   same as that transition, and does not. */
static void find_span (const struct zone *z, struct zone_span *span, int64_t t) {
  const size_t passed = transitions_until(z, t);
  const struct transition first = { INT64_MIN, z->first }, *last = passed > 0 ? &z->transition[passed - 1] : &first;
  span->from = INT64_MIN;
  span->until = passed < z->count ? z->transition[passed].when : INT64_MAX;
  if (passed == z->count && z->has_rule) apply_rule(&z->rule, span, t);
  if (passed > 0 ? span->from > last->when : z->count == 0 && z->has_rule) return;
  span->from = last->when;
  span->offset = last->offset;
}

int32_t zone_offset (const struct zone *z, struct zone_span *span, int64_t t) {
  if (t < span->from || t >= span->until) find_span(z, span, t);
  return span->offset;
}

int64_t zone_utc (const struct zone *z, int64_t local) {
  struct zone_span span = { 0, 0, 0 };
  int64_t t = local - 93600;  /* no zone is so far east */
  for (;;) {
    int64_t at = local - zone_offset(z, &span, t);
    if (at < t) at = t;  /* skipped at this transition */
    if (at < span.until) return at;
    t = span.until;
  }
}

/* ---- the calendar --------------------------------------------------------------------------------------------------- */

int64_t zone_number (enum zone_unit unit, int64_t local) {
  const int64_t day = divide_down(local, 86400);
  struct utc_date date;
  switch (unit) {
    case ZONE_HOUR: return divide_down(local, 3600);
    case ZONE_DAY: return day;
    case ZONE_WEEK: return divide_down(day + 3, 7);  /* 1970 began on a Thursday */
    default:
      date = utc_date(day);
      return (date.year - 1970) * 12 + date.month - 1;
  }
}

static char *put (char *p, int64_t number, int digits) {
  for (int i = digits - 1; i >= 0; i--, number /= 10) p[i] = (char)('0' + number % 10);
  return p + digits;
}

/* A time at the end of the year 9999 is in the next one somewhere. */
static char *put_year (char *p, int64_t year) {
  return year >= 0 && year <= 9999 ? put(p, year, 4) : p + snprintf(p, 8, "%05d", (int)year);
}

static char *put_date (char *p, int64_t days) {
  const struct utc_date date = utc_date(days);
  p = put_year(p, date.year);
  *p++ = '-';
  p = put(p, date.month, 2);
  *p++ = '-';
  return put(p, date.day, 2);
}

/* Before 1972 some offsets have seconds. */
static char *put_offset (char *p, int32_t offset) {
  const int32_t seconds = offset < 0 ? -offset : offset;
  *p++ = offset < 0 ? '-' : '+';
  p = put(p, seconds / 3600, 2);
  *p++ = ':';
  p = put(p, seconds / 60 % 60, 2);
  if (seconds % 60 == 0) return p;
  *p++ = ':';
  return put(p, seconds % 60, 2);
}

static char *put_hour (char *p, int64_t hour, int32_t offset) {
  const int64_t day = divide_down(hour, 24);
  p = put_date(p, day);
  *p++ = ' ';
  p = put(p, hour - day * 24, 2);
  memcpy(p, ":00", 3);
  return put_offset(p + 3, offset);
}

/* A week belongs to the year of its Thursday. */
static char *put_week (char *p, int64_t week) {
  const int64_t thursday = week * 7, year = utc_date(thursday).year;
  p = put_year(p, year);
  memcpy(p, "-W", 2);
  return put(p + 2, (thursday - utc_days(year, 1, 1)) / 7 + 1, 2);
}

static char *put_month (char *p, int64_t month) {
  p = put_year(p, divide_down(month, 12) + 1970);
  *p++ = '-';
  return put(p, month - divide_down(month, 12) * 12 + 1, 2);
}

size_t zone_format (char out[ZONE_TEXT_SIZE], enum zone_unit unit, int64_t number, int32_t offset) {
  char *end;
  switch (unit) {
    case ZONE_HOUR: end = put_hour(out, number, offset); break;
    case ZONE_DAY: end = put_date(out, number); break;
    case ZONE_WEEK: end = put_week(out, number); break;
    default: end = put_month(out, number);
  }
  *end = '\0';
  return (size_t)(end - out);
}

/*
** tally: generation records added up by group. Counts, exact sums and histograms, the same to the last digit in whatever
** order the records come, and from however many files and threads.
**
** A group is known by what the record has in each dimension: a string, number or boolean, or the hour, day, week or month
** of created_at in a zone. Where that is null, absent or of the wrong type it counts as the string "unknown", so a row's
** key is never there twice. A tally may have several sets of groups, in each of which every record is once.
**
** The same id counts once. Where records of one id differ, the one settled last counts (`at` of its ledger line; a record
** without it is older than any with), of two settled at the same time the one whose text has the greater hash. Records are
** added as they come; tally_resolve finds those of one id and takes all but one back. For that an id costs 16 bytes where its
** record can be read again from a file; else what it had added is kept, about 200 bytes.
**
** Filters look at the record that counts. One that they leave out is in no group and in no sum, but remembered: when another
** record of its id comes to count, that one is judged anew, and the other way round.
**
** A function that fails leaves the tally as it was, to all who read it.
*/
#ifndef tally_h
#define tally_h

#include "record.h"
#include "zone.h"

#define TALLY_MAX_GROUPS 1000000
#define TALLY_MAX_SETS 5
#define TALLY_MAX_DIMENSIONS 16
#define TALLY_MAX_CONDITIONS 16
#define TALLY_MAX_VALUES 1000  /* of all conditions together: they are compared one by one */
#define TALLY_MAX_MEASURES 64  /* as many as a uint64_t has bits; there are 39 today */
#define TALLY_MAX_DEAREST 32
#define TALLY_MAX_SOURCES 16384

enum tally_dimension_kind {
  TALLY_FIELD,    /* a known member that is no list */
  TALLY_HOUR,     /* of created_at, in the zone of the tally; in the order of enum zone_unit */
  TALLY_DAY,
  TALLY_WEEK,
  TALLY_MONTH,
  TALLY_CONTEXT   /* a member of the ledger line's context */
};

struct tally_dimension {
  enum tally_dimension_kind kind;
  int field;          /* of TALLY_FIELD */
  const char *name;   /* of TALLY_CONTEXT */
  size_t length;
};

struct tally_set {
  int dimensions;
  struct tally_dimension dimension[TALLY_MAX_DIMENSIONS];
};

/* "Failed" is an entry of provider_responses with a status that is null (no answer) or a number other than 2xx; without a
   status, or with one of the wrong type, nothing is known of the attempt. */
enum tally_measure_kind {
  TALLY_SPEND,            /* record_spend; records where it is unknown have no value */
  TALLY_SPEND_OPENROUTER, /* of that, what OpenRouter charged; no value where the spend has none */
  TALLY_SPEND_UPSTREAM,   /* … and what the provider did, with the caller's own key: 0 without one */
  TALLY_CHARGED,          /* record_cost, also where the spend is unknown */
  TALLY_SUM,              /* of a MONEY or INTEGER field; a null, absent, mismatched or too large one is no value */
  TALLY_CANCELLED,        /* 1 for records that were cancelled, 0 for the others */
  TALLY_BYOK,             /* 1 for records with is_byok true, 0 for the others */
  TALLY_FAILED_ATTEMPTS,
  TALLY_FAILED_LATENCY,   /* ms that failed attempts took, summed up exactly, like money; no value where none has a latency */
  TALLY_FIRST,            /* created_at of the first record and the last: Unix time */
  TALLY_LAST,
  TALLY_REQUESTS,         /* distinct values of request_id; a record without one is a request of its own. Once at most */
  TALLY_SPREAD            /* histogram of an INTEGER or NUMBER field */
};

struct tally_measure {
  enum tally_measure_kind kind;
  int field;  /* of TALLY_SUM and TALLY_SPREAD */
};

enum tally_key_type {
  TALLY_STRING, TALLY_INTEGER, TALLY_NUMBER, TALLY_BOOLEAN,
  TALLY_SPELT  /* a number as records spell it; of conditions alone */
};

/* What a record has in a dimension. */
struct tally_key {
  enum tally_key_type type;
  const char *text;   /* of TALLY_STRING and TALLY_SPELT; points into the group or to `shown` */
  size_t length;
  int64_t integer;    /* of TALLY_INTEGER and TALLY_BOOLEAN */
  double number;      /* of TALLY_NUMBER */
  char shown[ZONE_TEXT_SIZE];  /* an hour, day, week or month */
};

/* Only records count that have one of these values in the dimension, as tally_next_key gives them: "unknown" for none. */
struct tally_condition {
  struct tally_dimension dimension;
  int values;
  const struct tally_key *value;
};

/* Only records count that were made in it: since <= created_at < until, on a day of the zone from the first to the last. */
struct tally_period {
  bool limited;  /* false: at any time, or never; nothing else here is looked at */
  double since, until;
  int64_t first_day, last_day;  /* since 1970-01-01 */
};

/* What to add up. What is not asked for costs nothing. Start from one that is all zero. */
struct tally_declaration {
  const struct zone *zone;  /* NULL: UTC */
  int sets;                 /* one at least */
  struct tally_set set[TALLY_MAX_SETS];
  int measures;
  struct tally_measure measure[TALLY_MAX_MEASURES];
  struct tally_period period;
  int conditions;
  struct tally_condition condition[TALLY_MAX_CONDITIONS];
  int dearest;              /* how many of the generations with the greatest spend are wanted; TALLY_MAX_DEAREST at most */
  bool health;              /* whether providers' attempts are counted */
};

struct tally;

/* NULL: no memory. Keeps copies of all that the declaration points to. The secret (any two numbers) keeps hostile names
   from slowing it down; no result depends on it. */
struct tally *tally_new (const struct tally_declaration *declaration, const uint64_t secret[2]);
void tally_free (struct tally *t);

/* ---- adding ----------------------------------------------------------------------------------------------------- */

/* Where a line stands, so that it can be read again: in a source, at an offset. */
#define TALLY_KEEP UINT64_MAX  /* nowhere: keep what it adds */
static inline uint64_t tally_place (int source, uint64_t offset) { return (uint64_t)source << 46 | offset; }
#define TALLY_MAX_OFFSET ((UINT64_C(1) << 46) - 1)

/* A source: a file that stays open until the tally ends, which closes it. Its number, or why not. */
enum { TALLY_NO_MEMORY = -1, TALLY_TOO_MANY = -2 };
int tally_add_source (struct tally *t, int fd);
int tally_sources (const struct tally *t);

/* False and the reason (in the tally, until the next call) where the record cannot be added. */
bool tally_add (struct tally *t, const struct record *record, const char **why);

enum tally_line {
  TALLY_BLANK,      /* nothing but white space, or a journal's line whose id has come to its end */
  TALLY_GENERATION, /* an API answer, a settled line or a bare record */
  TALLY_FAILED,     /* of a ledger: a lookup that was given up */
  TALLY_OPEN,       /* of a ledger: a lookup that is pending */
  TALLY_MALFORMED,  /* not counted: no JSON object */
  TALLY_REFUSED,    /* not counted: see the reason */
  TALLY_FULL        /* not counted, as it would be one group (or provider) too many */
};

extern const char tally_full[];  /* the reason for TALLY_FULL */

/* Add one line of a file. An id that failed or is open counts as such while no record of it is there; settled beats
   failed and failed beats open, whatever the order. */
enum tally_line tally_add_line (struct tally *t, const char *line, size_t length, uint64_t place, const char **why);

/* An empty tally of the same kind, for another thread; it knows the sources by number. NULL: no memory. */
struct tally *tally_sibling (const struct tally *t);

/* Add all that a sibling has. It keeps nothing (all its lines had a place), and can only be freed afterwards. False and the
   reason: nothing was added. */
bool tally_merge (struct tally *t, struct tally *sibling, const char **why);

/* Find records of one id, and let one of them count. To be called before anything is read. False: no memory; call again. */
bool tally_resolve (struct tally *t);

/* After that: whether the record of a line is in a group, because it passes the filters and no other record of its id counts
   instead. Of lines that say the same of an id each is; one without an id counts for itself. False: no memory. */
bool tally_line_counts (struct tally *t, const char *line, size_t length, bool *counts);

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct tally_group;

/* Groups of a set in the order they first appeared. One whose records were all replaced by others has no generations left. */
size_t tally_groups (const struct tally *t, int set);
const struct tally_group *tally_group (const struct tally *t, int set, size_t i);
const struct tally_group *tally_total (const struct tally *t);

const struct zone *tally_zone (const struct tally *t);  /* NULL: UTC */

uint32_t tally_generations (const struct tally_group *g);

/* How many of the group's records have a value for the measure; *sum (not of a TALLY_SPREAD or a time) is what they add up
   to. Of integers it is the integer itself, not a fixed-point number; so it is of TALLY_REQUESTS. */
uint32_t tally_sum (const struct tally_group *g, int measure, struct money_sum *sum);

/* Of TALLY_FIRST and TALLY_LAST; false where no record has a time. */
bool tally_time (const struct tally_group *g, int measure, double *unix_seconds);

/* The value (of a TALLY_SPREAD) that `percent` of the records do not exceed, by nearest rank; false where none has one. */
bool tally_quantile (const struct tally *t, const struct tally_group *g, int measure, int percent, double *value);

struct histogram;
const struct histogram *tally_histogram (const struct tally_group *g, int measure);

/* The group's value in the next dimension. *cursor is NULL at the start; call once for each dimension. */
void tally_next_key (const struct tally_group *g, const char **cursor, struct tally_key *key);

/* The i-th dearest generation, as a record with the members that matter for a list. NULL behind the last. */
const char *tally_dearest (const struct tally *t, int i, size_t *length);

/* A provider that was called. False behind the last. */
struct tally_provider {
  const char *name;  /* "unknown" where an attempt has none */
  size_t length;
  uint64_t attempts, failed;
  struct money_sum failed_latency;  /* ms, as if it were money */
};
bool tally_provider (const struct tally *t, size_t i, struct tally_provider *provider);

struct tally_counts {
  uint64_t failed;      /* ids that have a failed line and no record */
  uint64_t open;        /* ids that have nothing but a pending or note line */
  uint64_t instant_unknown;     /* … of which not even the response said what it cost */
  struct money_sum instant_cost; /* what the responses of the others said */
  uint64_t duplicates;  /* records beyond the first of an id */
  uint64_t conflicts;   /* ids with records that differ */
  uint64_t filtered;    /* records that would count, were it not for a condition or the period */
  uint64_t undated;     /* … and of which nobody knows whether they are in the period */
  uint64_t changed;     /* records that may count twice, as their file was changed meanwhile */
};
struct tally_counts tally_counts (const struct tally *t);

#endif

/* What the files of the tally share: tally_key.c (what a record is grouped and chosen by), tally_part.c (what it adds),
   tally_group.c (groups and providers), tally_dearest.c, tally.c (adding and taking back), tally_resolve.c (records of one
   id), tally_merge.c (adding up groups and whole tallies). Nobody else includes it. */
#ifndef tally_private_h
#define tally_private_h

#include "hash.h"
#include "histogram.h"
#include "sightings.h"
#include "tally.h"

/* Room for something temporary. */
struct buffer {
  char *bytes;
  size_t size;
};

/* One measure of one group. */
struct cell {
  uint32_t values;  /* how many records had one */
  union {
    struct money_sum sum;
    struct histogram spread;
    double time;
  } of;
};

struct tally_group {
  struct hash_node node;  /* first, so that a node found is the group */
  uint32_t serial;        /* 0 for the total, the others are counted through all sets */
  uint32_t generations;
  struct cell cell[1];    /* one for each measure; behind them the key's bytes */
};

struct group_set {
  struct hash_table by_key;
  struct tally_group **group;
  size_t groups, room;
};

/* A provider whose attempts are counted; behind it its name. */
struct provider {
  struct hash_node node;  /* first */
  uint64_t attempts, failed;
  struct money_sum latency;
};

/* Whether a record counts, and why not. */
enum fate { FATE_COUNTED, FATE_FILTERED, FATE_UNDATED, FATE_COUNT };

struct attempt {
  struct provider *provider;
  bool failed;
  struct money latency;  /* 0 where it is not known, or did not fail */
};

/* What one record adds. */
struct part {
  struct tally_group *group[TALLY_MAX_SETS];  /* NULL unless it counts */
  enum fate fate;
  struct attempt *attempt;
  size_t attempts;
  uint64_t present;  /* bit i: measure i has a value */
  uint64_t word[1];  /* the values one after the other: two words for money, one for an integer, a bucket, a time, a hash */
};

enum state { STATE_NONE, STATE_OPEN, STATE_FAILED, STATE_SETTLED };

/* What a line says of an id. */
struct facts {
  enum state state;
  double at;           /* when it was settled (or noted), or -infinity */
  uint64_t id;         /* another hash of the id than that of its sighting */
  uint64_t text;       /* of the record, which decides between two */
  bool has_instant;    /* of an open one: whether the response said what it cost */
  struct money instant;
  char *shown;         /* for a list of the dearest; NULL unless kept */
  size_t shown_length;
  struct part part;    /* of a settled one; last, as its size depends on the measures */
};

/* A sighting's `where`: flags, the state, and the place of the line or the number of the facts that are kept. */
#define WHERE_KEPT (UINT64_C(1) << 63)
#define WHERE_DIFFERS (UINT64_C(1) << 62)  /* records of the id with another text were there */
#define WHERE_STATE(where) ((enum state)((where) >> 60 & 3))
#define WHERE_PLACE(where) ((where) & ((UINT64_C(1) << 60) - 1))

struct dearest {
  struct money spend;
  uint64_t place;  /* with WHERE_KEPT where it is the number of kept facts */
  char *text;
  size_t length;
};

/* More than are ever wanted, so that those which are taken back leave enough. */
#define MOST_DEAREST (2 * TALLY_MAX_DEAREST)

/* A request of a group, and in how many records more it was added than taken back. */
struct request {
  uint64_t hash;
  uint32_t group;
  int32_t count;
};

struct requests {
  struct request *list;
  size_t count, room;
};

/* When the record being added was made. */
struct moment {
  bool known;
  double at;
  int64_t local;   /* whole seconds of local time, as if it were UTC */
  int32_t offset;
};

struct tally {
  struct tally_declaration declaration;
  /* our own copies of what it points to */
  char *name[TALLY_MAX_SETS][TALLY_MAX_DIMENSIONS];
  char *condition_name[TALLY_MAX_CONDITIONS];
  struct buffer wanted[TALLY_MAX_CONDITIONS];  /* the values as parts of a key; `size` is where they end */
  struct zone *zone;
  struct zone_span span;
  struct moment moment;
  bool uses_context, uses_time;
  int dimensions;                              /* of the largest set, 1 at least, as conditions have */
  uint64_t secret[2];
  size_t facts_size;
  uint8_t word_at[TALLY_MAX_MEASURES], words[TALLY_MAX_MEASURES];  /* of each measure in a part: the first, and how many */
  uint8_t spread[TALLY_MAX_MEASURES];         /* the measures that are spreads */
  int spreads, requests_measure;              /* -1: none */
  struct group_set set[TALLY_MAX_SETS];
  uint32_t serial;
  struct tally_group *total;  /* only its number of generations is kept up to date, see total_add_up */
  struct hash_table by_provider;
  struct provider **provider;
  size_t providers, provider_room;
  struct dearest dearest[MOST_DEAREST];  /* falling */
  int dearest_count;
  bool dearest_beyond;        /* there was one for which there was no room */
  struct requests requests;
  struct sightings seen;
  int *source;                /* file descriptors */
  int sources;
  struct facts **kept;        /* NULL for one that is no longer needed */
  size_t kept_count, kept_room;
  bool resolved;
  bool stale;                 /* something was taken back that was the first, last or dearest: look at all records again */
  uint64_t unseen;            /* records that could not be looked at then, as their file was changed */
  struct tally_counts counts; /* all but those by fate */
  uint64_t fates[FATE_COUNT]; /* of the records that would count */
  struct facts *now, *other;  /* of lines being looked at */
  struct attempt *attempt;    /* of the record being looked at */
  size_t attempt_room;
  struct attempt *other_attempt;  /* … of the other one, where two are looked at */
  size_t other_attempt_room;
  struct buffer line, key, text, shown, again, copy;
  char reason[RECORD_REASON];
};

/* Room for that many bytes; what was in it is lost when it grows. False: no memory. */
bool buffer_reserve (struct buffer *b, size_t size);

/* A list of things of that size with room for one more: itself, or a larger one in its place. NULL: no memory. */
void *buffer_list (void *list, size_t count, size_t *room, size_t size);

/* ---- tally_key.c ----------------------------------------------------------------------------------------------- */

#define KEY_PART 16  /* enough for any part of a key but a string's characters, and for "unknown" */

bool dimension_is_time (const struct tally_dimension *d);

/* Write a value that a condition wants, as a record would have it. Returns the end. */
char *key_of_value (char *out, const struct tally_key *value);

/* A JSON string as a Unix time. */
bool key_utc (const char *json, double *seconds);

/* Work out when the record was made, if that matters. */
void key_read_moment (struct tally *t, const struct record *r);

/* Make room in t->key for the record's value in each of so many dimensions. */
bool key_reserve (struct tally *t, const struct record *r, int dimensions);

/* Write the record's key in a set to t->key; returns its length. */
size_t key_of_record (const struct tally *t, const struct tally_set *set, const struct record *r);

/* Whether the record counts. */
enum fate key_judge (struct tally *t, const struct record *r);

/* ---- tally_part.c ---------------------------------------------------------------------------------------------- */

bool measure_is_money (const struct tally_measure *m);
bool measure_is_time (const struct tally_measure *m);
size_t measure_words (const struct tally_measure *m);

/* Fill in the values of the measures. `unique` stands for a request that has no name. */
void part_read_values (const struct tally *t, struct part *part, const struct record *r, uint64_t unique);

/* Attempts at providers: whether one failed, and the latency of one. */
bool attempt_failed (const char *response);
bool attempt_latency (const char *response, struct money *ms);

/* ---- tally_group.c --------------------------------------------------------------------------------------------- */

struct tally_group *group_make (const struct tally *t, uint32_t serial, uint32_t hash, const char *key, size_t length);
void group_free (const struct tally *t, struct tally_group *g);  /* which may be NULL */
void group_free_set (const struct tally *t, struct group_set *s);

/* The group with this key, made when it is the first; NULL and the reason when that cannot be. */
struct tally_group *group_find (struct tally *t, struct group_set *s, const char *key, size_t length, const char **why);
struct provider *provider_find (struct tally *t, const char *name, size_t length, const char **why);

/* ---- tally_dearest.c ------------------------------------------------------------------------------------------- */

/* Whether the record may be one of the dearest. */
bool dearest_wants (struct tally *t, const struct part *part);

/* Let it be one, if it is; `text`, which is taken over, is what a list shows of it. */
void dearest_add (struct tally *t, const struct part *part, uint64_t place, char *text, size_t length);
void dearest_insert (struct tally *t, const struct dearest *one);
void dearest_remove (struct tally *t, uint64_t place);
bool dearest_missing (const struct tally *t);  /* so many were removed that others have to be looked for */

/* What a list shows of a record: a copy of the members that matter. NULL: no memory. */
char *dearest_text (struct tally *t, const struct record *r, size_t *length);

/* ---- tally_merge.c --------------------------------------------------------------------------------------------- */

/* Every record that counts is in one group of each set, so the total need not be kept up to date while they are added: it is
   what the groups of any set add up to, and the set with the fewest is taken. False: no memory. */
bool total_add_up (struct tally *t);

/* ---- tally.c --------------------------------------------------------------------------------------------------- */

extern const char tally_no_memory[];

/* Look at a line that stands at a place (or is to be kept): fill in facts; *hash is that of its sighting. False and the reason
   when that cannot be. `text`: its text matters, too. */
bool facts_read (struct tally *t, struct facts *f, const struct record *r, bool text, uint64_t place, uint64_t *hash,
                 const char **why);
bool facts_read_open (struct tally *t, struct facts *f, const struct record *r, const char *id_json, enum state state,
                      uint64_t *hash, const char **why);

/* Add what the record adds, or take it back. False and the reason: nothing was changed. */
bool part_count (struct tally *t, const struct part *part, bool adding, const char **why);

/* A line, indexed in t->line. NULL: no memory. */
struct record *tally_index (struct tally *t, const char *line, size_t length, const char **part, struct json_check *error,
                            enum record_kind *kind);

/* The line at a place, in a buffer. CHANGED: it cannot be read any more, or is too long to have been one. */
enum reading { READ, CHANGED, NO_MEMORY };
enum reading tally_read_again (struct tally *t, uint64_t place, struct buffer *into, const char **line, size_t *length);

void facts_free (struct facts *f);

bool requests_reserve (struct requests *q, size_t more);
void requests_push (struct requests *q, uint64_t hash, uint32_t group, int32_t count);

/* The first or last time of a cell. */
void cell_add_time (struct cell *cell, const struct tally_measure *m, double time);

#endif

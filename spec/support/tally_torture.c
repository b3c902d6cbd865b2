/*
** Runs a tally once for each allocation it makes, with that one failing: nothing may be lost, added twice or leaked, and
** what was refused can be added again. Once with lines that are kept, once with lines of a file that two siblings share, once
** with a file that is read as a whole, where what is refused is told.
** Built by spec/tally_spec.lua.
*/
#define _POSIX_C_SOURCE 200809L
#undef malloc   /* defined on the command line, so that the other files call what is below */
#undef calloc
#undef realloc

#include "tally_file.h"
#include "zone_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long countdown = -1;  /* the allocation that fails; none when negative */

static int fails (void) {
  if (countdown < 0 || countdown-- > 0) return 0;
  errno = ENOMEM;
  return 1;
}

void *failing_malloc (size_t size);
void *failing_calloc (size_t count, size_t size);
void *failing_realloc (void *p, size_t size);
void *failing_malloc (size_t size) { return fails() ? NULL : malloc(size); }
void *failing_calloc (size_t count, size_t size) { return fails() ? NULL : calloc(count, size); }
void *failing_realloc (void *p, size_t size) { return fails() ? NULL : realloc(p, size); }

#define IDS 50

/* Two lines for each id, the second one newer and in another group. The ids are so long that they fill several chunks. */
static int make_line (char *out, size_t size, int i) {
  int id = i / 2, newer = i % 2;
  return snprintf(out, size,
                  "{\"settled\":\"gen-%01499d\",\"at\":\"2026-11-20T10:00:0%dZ\",\"context\":{\"u\":%d},\"answer\":{\"data\":{"
                  "\"id\":\"\\u0067en-%01499d\",\"created_at\":\"2026-10-25T0%d:30:00Z\",\"model\":\"m%d\",\"usage\":0.%d,"
                  "\"latency\":%d,\"request_id\":\"r%d\","
                  "\"provider_responses\":[{\"provider_name\":\"p%d\",\"status\":%d,\"latency\":%d.5}]}}}",
                  id, newer, (id + newer * id % 2) % 3, id, id % 4, newer ? id % 40 : 50 + id, id + 1,
                  (id + 1) * (newer ? 7 : 100000), id % 7, id % 3, id % 2 ? 200 : 500, id);
}

static struct zone *zone;

/* Users 0 and 1 alone count: of some ids the first record does, of some the second, of some both. */
static struct tally *start (void) {
  static const uint64_t secret[2] = { 1, 2 };
  struct tally_key user[2];
  struct tally_declaration d;
  memset(&d, 0, sizeof d);
  memset(user, 0, sizeof user);
  user[0].type = user[1].type = TALLY_NUMBER;
  user[1].number = 1;
  d.zone = zone;
  d.conditions = 1;
  d.condition[0].dimension.kind = TALLY_CONTEXT;
  d.condition[0].dimension.name = "u";
  d.condition[0].dimension.length = 1;
  d.condition[0].values = 2;
  d.condition[0].value = user;
  d.sets = 2;
  d.set[0].dimensions = 3;
  d.set[1].dimensions = 1;
  d.set[1].dimension[0].kind = TALLY_DAY;
  d.dearest = 3;
  d.health = true;
  d.set[0].dimension[0].kind = TALLY_FIELD;
  d.set[0].dimension[0].field = FIELD_model;
  d.set[0].dimension[1].kind = TALLY_CONTEXT;
  d.set[0].dimension[1].name = "u";
  d.set[0].dimension[1].length = 1;
  d.set[0].dimension[2].kind = TALLY_HOUR;
  d.measures = 5;
  d.measure[0].kind = TALLY_SPEND;
  d.measure[1].kind = TALLY_SPREAD;
  d.measure[1].field = FIELD_latency;
  d.measure[2].kind = TALLY_FIRST;
  d.measure[3].kind = TALLY_REQUESTS;
  d.measure[4].kind = TALLY_FAILED_LATENCY;
  return tally_new(&d, secret);
}

static size_t print_group (const struct tally *t, const struct tally_group *g, int dimensions, char *out, size_t size) {
  char text[MONEY_SUM_TEXT_SIZE], lost[MONEY_SUM_TEXT_SIZE], *end = out;
  struct money_sum sum, requests, latency;
  struct tally_key model = { TALLY_STRING, "", 0, 0, 0, "" }, context = model, hour = model;
  const char *cursor = NULL;
  double p50 = -1, first = -1;
  uint32_t values = tally_sum(g, 0, &sum);
  if (dimensions) tally_next_key(g, &cursor, &model);
  if (dimensions > 1) tally_next_key(g, &cursor, &context);
  if (dimensions > 1) tally_next_key(g, &cursor, &hour);
  money_sum_format(text, &sum);
  tally_quantile(t, g, 1, 50, &p50);
  tally_time(g, 2, &first);
  tally_sum(g, 3, &requests);
  tally_sum(g, 4, &latency);
  money_sum_format(lost, &latency);
  end += snprintf(out, size, "%.*s %d %.*s: %u %u %s %.17g %.17g %d %s\n", (int)model.length, model.text, (int)context.integer,
                  (int)hour.length, hour.text, tally_generations(g), values, text, p50, first, (int)requests.low, lost);
  return (size_t)(end - out);
}

static size_t print_set (const struct tally *t, int set, int dimensions, char *out, size_t size) {
  size_t used = 0;
  for (size_t i = 0; i < tally_groups(t, set); i++)
    if (tally_generations(tally_group(t, set, i)) > 0)
      used += print_group(t, tally_group(t, set, i), dimensions, out + used, size - used);
  return used;
}

/* All there is to read, as one text. */
static void print_tally (const struct tally *t, char *out, size_t size) {
  struct tally_provider provider;
  size_t used = print_group(t, tally_total(t), 0, out, size), length;
  used += print_set(t, 0, 3, out + used, size - used);
  used += print_set(t, 1, 1, out + used, size - used);
  const char *dearest;
  for (int i = 0; (dearest = tally_dearest(t, i, &length)) != NULL; i++)
    used += (size_t)snprintf(out + used, size - used, "%.*s\n", (int)length - 1500, dearest + 1500);
  for (size_t i = 0; tally_provider(t, i, &provider); i++)
    if (provider.attempts > 0)
      used += (size_t)snprintf(out + used, size - used, "%.*s %d %d\n", (int)provider.length, provider.name,
                               (int)provider.attempts, (int)provider.failed);
  struct tally_counts counts = tally_counts(t);
  snprintf(out + used, size - used, "%d %d %d %d", (int)counts.duplicates, (int)counts.conflicts, (int)counts.filtered,
           (int)counts.changed);
}

static void expect_no_memory (const char *why) {
  if (strcmp(why, "not enough memory") != 0) exit(2);
}

static void add (struct tally *t, const char *line, size_t length, uint64_t place) {
  const char *why;
  while (tally_add_line(t, line, length, place, &why) != TALLY_GENERATION) expect_no_memory(why);
}

static struct tally *sibling (const struct tally *t) {
  struct tally *s = tally_sibling(t);
  if (s == NULL) expect_no_memory("not enough memory");
  return s ? s : tally_sibling(t);
}

static void merge (struct tally *t, struct tally *from) {
  const char *why;
  while (!tally_merge(t, from, &why)) expect_no_memory(why);
  tally_free(from);
}

/* All lines, those of the file by two siblings in turn. */
static void fill (struct tally *t, FILE *file) {
  char line[4000];
  uint64_t offset = 0;
  int source = -1;
  struct tally *part[2] = { t, t };
  if (file) {
    while ((source = tally_add_source(t, dup(fileno(file)))) < 0) {}
    part[0] = sibling(t);
    part[1] = sibling(t);
  }
  for (int i = 0; i < 2 * IDS; i++) {
    size_t length = (size_t)make_line(line, sizeof line, i);
    add(part[i % 2 ^ i / 2 % 2], line, length, file ? tally_place(source, offset) : TALLY_KEEP);
    offset += length + 1;
  }
  if (file) merge(t, part[1]);
  if (file) merge(t, part[0]);
}

/* How many of the lines are what counts. */
static int count_lines (struct tally *t) {
  char line[4000];
  int count = 0;
  for (int i = 0; i < 2 * IDS; i++) {
    const size_t length = (size_t)make_line(line, sizeof line, i);
    bool counts = false;
    while (!tally_line_counts(t, line, length, &counts)) {}
    count += counts;
  }
  return count;
}

/* Fill a tally, trying again what was refused; returns whether an allocation failed. */
static int run (long failing, FILE *file, char *out, size_t size) {
  countdown = failing;
  struct tally *t = start();
  if (t == NULL) expect_no_memory("not enough memory");
  if (t == NULL) t = start();
  fill(t, file);
  while (!tally_resolve(t)) {}
  const int lines = count_lines(t), failed = countdown < 0;
  countdown = -1;
  print_tally(t, out, size);
  const size_t length = strlen(out);
  snprintf(out + length, size - length, "%d lines count\n", lines);
  tally_free(t);
  return failed;
}

static FILE *make_file (void) {
  char line[4000];
  FILE *file = tmpfile();
  for (int i = 0; file && i < 2 * IDS; i++) fprintf(file, "%.*s\n", make_line(line, sizeof line, i), line);
  if (file == NULL || fflush(file) != 0) exit(3);
  return file;
}

/* Returns how many allocations failed in turn; -1 when something came out that should not have. */
static long torture (FILE *file, const char *expected) {
  static char got[1 << 16];
  long failing = 0;
  while (run(failing, file, got, sizeof got)) {
    if (strcmp(expected, got) != 0) {
      fprintf(stderr, "with allocation %ld failing:\n%s\ninstead of\n%s\n", failing, got, expected);
      return -1;
    }
    failing++;
  }
  return failing;
}

/* What a reading says of itself must be true: every line was added or is told, and why. Returns whether all were added. */
static bool read_all (struct tally_reading *r) {
  const char *why = NULL;
  const struct tally_read *result = tally_reading_result(r);
  enum tally_step step;
  do step = tally_reading_step(r, &why);
  while (step == TALLY_MORE);
  if (step == TALLY_TROUBLE && strcmp(why, strerror(ENOMEM)) != 0) expect_no_memory(why);
  if (step == TALLY_DONE && result->records + result->skipped != 2 * IDS) exit(4);
  for (int i = 0; i < result->notes; i++) expect_no_memory(result->note[i].reason);
  const bool all = step == TALLY_DONE && result->skipped == 0;
  tally_reading_free(r);
  return all;
}

/* Read the file as a whole; sets *all when every line was added. Returns whether an allocation failed. */
static int run_reading (long failing, const char *path, char *out, size_t size, bool *all) {
  struct tally *t = start();
  countdown = failing;
  struct tally_reading *r = tally_reading_new(t, path, 1);
  if (r == NULL && errno != ENOMEM) exit(5);
  *all = r && read_all(r);
  const int failed = countdown < 0;
  countdown = -1;
  if (!tally_resolve(t)) exit(6);
  print_tally(t, out, size);
  tally_free(t);
  return failed;
}

static long torture_reading (FILE *file) {
  static char expected[1 << 16], got[1 << 16];
  char path[32];
  bool all;
  long failing = 0;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(file));
  run_reading(-1, path, expected, sizeof expected, &all);
  while (run_reading(failing, path, got, sizeof got, &all)) {
    if (all && strcmp(expected, got) != 0) return -1;
    failing++;
  }
  return all && strcmp(expected, got) == 0 ? failing : -1;
}

/* The first argument is the file of a zone. */
int main (int argc, char **argv) {
  static char expected[1 << 16], of_file[1 << 16];
  const char *why;
  char *slash = argc > 1 ? strrchr(argv[1], '/') : NULL;
  if (slash == NULL) return 1;
  *slash = '\0';
  zone = zone_open(argv[1], slash + 1, &why);
  if (zone == NULL) return 1;
  FILE *file = make_file();
  run(-1, NULL, expected, sizeof expected);
  run(-1, file, of_file, sizeof of_file);
  const long kept = torture(NULL, expected), read = torture(file, of_file), whole = torture_reading(file);
  zone_free(zone);
  fclose(file);
  printf("%ld allocations failed in turn\n", kept + read + whole);
  return kept > 100 && read > 100 && whole > 100 ? 0 : 1;
}

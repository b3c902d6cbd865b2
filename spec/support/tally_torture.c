/*
** Runs a tally once for each allocation it makes, with that one failing: nothing may be lost, added twice or leaked, and
** what was refused can be added again. Built by spec/tally_spec.lua.
*/
#undef malloc   /* defined on the command line, so that the other files call what is below */
#undef calloc
#undef realloc

#include "tally.h"
#include "zone_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long countdown = -1;  /* the allocation that fails; none when negative */

static int fails (void) { return countdown >= 0 && countdown-- == 0; }

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
                  "\"id\":\"\\u0067en-%01499d\",\"created_at\":\"2026-10-25T0%d:30:00Z\",\"model\":\"m%d\",\"usage\":0.%d,\"latency\":%d}}}",
                  id, newer, (id + newer * id % 2) % 3, id, id % 4, newer ? id % 40 : 50 + id, id + 1, (id + 1) * (newer ? 7 : 100000));
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
  d.dimensions = 3;
  d.dimension[0].kind = TALLY_FIELD;
  d.dimension[0].field = FIELD_model;
  d.dimension[1].kind = TALLY_CONTEXT;
  d.dimension[1].name = "u";
  d.dimension[1].length = 1;
  d.dimension[2].kind = TALLY_HOUR;
  d.measures = 2;
  d.measure[0].kind = TALLY_SPEND;
  d.measure[1].kind = TALLY_SPREAD;
  d.measure[1].field = FIELD_latency;
  return tally_new(&d, secret);
}

static size_t print_group (const struct tally *t, const struct tally_group *g, int dimensions, char *out, size_t size) {
  char text[MONEY_TEXT_SIZE], *end = out;
  struct money sum;
  struct tally_key model = { TALLY_STRING, "", 0, 0, 0, "" }, context = model, hour = model;
  const char *cursor = NULL;
  double p50 = -1;
  uint32_t values = tally_sum(g, 0, &sum);
  if (dimensions) tally_next_key(g, &cursor, &model);
  if (dimensions) tally_next_key(g, &cursor, &context);
  if (dimensions) tally_next_key(g, &cursor, &hour);
  money_format(text, &sum);
  tally_quantile(t, g, 1, 50, &p50);
  end += snprintf(out, size, "%.*s %d %.*s: %u %u %s %.17g\n", (int)model.length, model.text, (int)context.integer,
                  (int)hour.length, hour.text, tally_generations(g), values, text, p50);
  return (size_t)(end - out);
}

/* All there is to read, as one text. */
static void print_tally (const struct tally *t, char *out, size_t size) {
  size_t used = print_group(t, tally_total(t), 0, out, size);
  for (size_t i = 0; i < tally_groups(t); i++)
    if (tally_generations(tally_group(t, i)) > 0)
      used += print_group(t, tally_group(t, i), 3, out + used, size - used);
  struct tally_counts counts = tally_counts(t);
  snprintf(out + used, size - used, "%d %d %d", (int)counts.duplicates, (int)counts.conflicts, (int)counts.filtered);
}

/* Fill a tally, trying again what was refused; returns whether anything was. */
static int run (long failing, char *out, size_t size) {
  char line[4000];
  const char *why;
  countdown = failing;
  struct tally *t = start();
  int refused = t == NULL;
  if (t == NULL) t = start();
  for (int i = 0; i < 2 * IDS; i++) {
    size_t length = (size_t)make_line(line, sizeof line, i);
    if (tally_add_line(t, line, length, &why) == TALLY_GENERATION) continue;
    refused = 1;
    if (strcmp(why, "not enough memory") != 0 || tally_add_line(t, line, length, &why) != TALLY_GENERATION) exit(2);
  }
  countdown = -1;
  print_tally(t, out, size);
  tally_free(t);
  return refused;
}

/* The first argument is the file of a zone. */
int main (int argc, char **argv) {
  static char expected[1 << 16], got[1 << 16];
  const char *why;
  char *slash = argc > 1 ? strrchr(argv[1], '/') : NULL;
  if (slash == NULL) return 1;
  *slash = '\0';
  zone = zone_open(argv[1], slash + 1, &why);
  if (zone == NULL) return 1;
  long failing = 0;
  run(-1, expected, sizeof expected);
  while (run(failing, got, sizeof got)) {
    if (strcmp(expected, got) != 0) {
      fprintf(stderr, "with allocation %ld failing:\n%s\ninstead of\n%s\n", failing, got, expected);
      return 1;
    }
    failing++;
  }
  zone_free(zone);
  printf("%ld allocations failed in turn\n", failing);
  return failing > 100 ? 0 : 1;
}

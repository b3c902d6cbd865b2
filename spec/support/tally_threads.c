/*
** Reads a file into a tally by four threads, with groups, a zone, conditions and all else that siblings might share, and looks
** at what came out. Built with ThreadSanitizer by spec/tally_spec.lua.  tally_threads FILE ZONEINFO ZONE
*/
#include "tally_file.h"
#include "zone_file.h"

#include <stdio.h>
#include <string.h>

static struct tally *start (const struct zone *zone) {
  static const uint64_t secret[2] = { 1, 2 };
  static struct tally_declaration d;
  static struct tally_key wanted;
  wanted.text = "a";
  wanted.length = 1;
  d.zone = zone;
  d.sets = 2;
  d.set[0].dimensions = d.set[1].dimensions = 1;
  d.set[0].dimension[0].kind = TALLY_FIELD;
  d.set[0].dimension[0].field = FIELD_model;
  d.set[1].dimension[0].kind = TALLY_HOUR;
  d.conditions = 1;
  d.condition[0].dimension.kind = TALLY_FIELD;
  d.condition[0].dimension.field = FIELD_external_user;
  d.condition[0].values = 1;
  d.condition[0].value = &wanted;
  d.measures = 4;
  d.measure[0].kind = TALLY_SPEND;
  d.measure[1].kind = TALLY_SPREAD;
  d.measure[1].field = FIELD_latency;
  d.measure[2].kind = TALLY_FIRST;
  d.measure[3].kind = TALLY_REQUESTS;
  d.dearest = 5;
  d.health = true;
  return tally_new(&d, secret);
}

int main (int argc, char **argv) {
  const char *why = "";
  struct zone *zone = argc == 4 ? zone_open(argv[2], argv[3], &why) : NULL;
  struct tally *t = zone ? start(zone) : NULL;
  struct tally_reading *r = t ? tally_reading_new(t, argv[1], 4) : NULL;
  enum tally_step step = TALLY_TROUBLE;
  if (r == NULL) return 1;
  do step = tally_reading_step(r, &why);
  while (step == TALLY_MORE || step == TALLY_SIGNAL);
  tally_reading_free(r);
  if (step != TALLY_DONE || !tally_resolve(t)) return 1;
  printf("%lu records in %lu models, %lu of them repeated\n", (unsigned long)tally_generations(tally_total(t)),
         (unsigned long)tally_groups(t, 0), (unsigned long)tally_counts(t).duplicates);
  tally_free(t);
  zone_free(zone);
  return 0;
}

#include "tally_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static bool reserve_spreads (const struct tally *t, struct tally_group *to, const struct tally_group *from) {
  for (int i = 0; i < t->spreads; i++)
    if (!histogram_reserve_all(&to->cell[t->spread[i]].of.spread, &from->cell[t->spread[i]].of.spread)) return false;
  return true;
}

static void merge_cell (const struct tally_measure *m, struct cell *to, const struct cell *from) {
  if (from->values == 0) return;
  switch (m->kind) {
    case TALLY_SPREAD: histogram_merge(&to->of.spread, &from->of.spread); break;
    case TALLY_FIRST: case TALLY_LAST: cell_add_time(to, m, from->of.time); break;
    case TALLY_REQUESTS: break;
    default: money_sum_merge(&to->of.sum, &from->of.sum);
  }
  to->values += from->values;
}

static void merge_group (const struct tally *t, struct tally_group *to, const struct tally_group *from) {
  to->generations += from->generations;
  for (int i = 0; i < t->declaration.measures; i++) merge_cell(&t->declaration.measure[i], &to->cell[i], &from->cell[i]);
}

/* ---- the total --------------------------------------------------------------------------------------------------- */

static void clear_cell (struct cell *cell, enum tally_measure_kind kind) {
  if (kind == TALLY_SPREAD) histogram_clear(&cell->of.spread);
  else memset(&cell->of, 0, sizeof cell->of);
  cell->values = 0;
}

bool total_add_up (struct tally *t) {
  const struct group_set *s = &t->set[0];
  for (int i = 1; i < t->declaration.sets; i++)
    if (t->set[i].groups < s->groups) s = &t->set[i];
  for (size_t i = 0; i < s->groups; i++)
    if (!reserve_spreads(t, t->total, s->group[i])) return false;
  for (int i = 0; i < t->declaration.measures; i++) clear_cell(&t->total->cell[i], t->declaration.measure[i].kind);
  t->total->generations = 0;
  for (size_t i = 0; i < s->groups; i++) merge_group(t, t->total, s->group[i]);
  return true;
}

/* ---- tallies ----------------------------------------------------------------------------------------------------- */

/* Make the groups of the sibling that are not there yet, with room for what it has; note for each which one it is. */
static bool prepare_set (struct tally *t, int s, const struct tally *from, struct tally_group **to, const char **why) {
  for (size_t i = 0; i < from->set[s].groups; i++) {
    const struct tally_group *g = from->set[s].group[i];
    struct tally_group *same = group_find(t, &t->set[s], g->node.key, g->node.length, why);
    if (same == NULL) return false;
    to[g->serial] = same;
  }
  return true;
}

static bool prepare_merge (struct tally *t, const struct tally *from, struct tally_group **to, const char **why) {
  to[0] = t->total;
  *why = "there is no room for more than 4294967295 records";
  if ((uint64_t)t->total->generations + from->total->generations > UINT32_MAX) return false;
  for (int s = 0; s < t->declaration.sets; s++)
    if (!prepare_set(t, s, from, to, why)) return false;
  for (size_t i = 0; i < from->providers; i++)
    if (provider_find(t, from->provider[i]->node.key, from->provider[i]->node.length, why) == NULL) return false;
  *why = tally_no_memory;
  for (int s = 0; s < t->declaration.sets; s++)
    for (size_t i = 0; i < from->set[s].groups; i++)
      if (!reserve_spreads(t, to[from->set[s].group[i]->serial], from->set[s].group[i])) return false;
  return sightings_reserve(&t->seen, from->seen.count) && requests_reserve(&t->requests, from->requests.count);
}

static void merge_providers (struct tally *t, const struct tally *from) {
  const char *none;
  for (size_t i = 0; i < from->providers; i++) {
    const struct provider *p = from->provider[i];
    struct provider *same = provider_find(t, p->node.key, p->node.length, &none);
    same->attempts += p->attempts;
    same->failed += p->failed;
    money_sum_merge(&same->latency, &p->latency);
  }
}

static void merge_lists (struct tally *t, struct tally *from, struct tally_group *const *to) {
  for (int i = 0; i < from->dearest_count; i++) dearest_insert(t, &from->dearest[i]);
  t->dearest_beyond = t->dearest_beyond || from->dearest_beyond;
  from->dearest_count = 0;
  for (size_t i = 0; i < from->requests.count; i++) {
    const struct request *q = &from->requests.list[i];
    requests_push(&t->requests, q->hash, to[q->group]->serial, q->count);
  }
  for (size_t i = 0; i < from->seen.count; i++) sightings_push(&t->seen, from->seen.list[i].hash, from->seen.list[i].where);
  if (from->seen.count > 0) t->resolved = false;
}

bool tally_merge (struct tally *t, struct tally *from, const char **why) {
  *why = tally_no_memory;
  struct tally_group **to = (struct tally_group **)calloc((size_t)from->serial + 1, sizeof *to);
  if (to == NULL) return false;
  const bool fine = prepare_merge(t, from, to, why);
  if (fine) {
    t->total->generations += from->total->generations;
    for (int s = 0; s < t->declaration.sets; s++)
      for (size_t i = 0; i < from->set[s].groups; i++)
        merge_group(t, to[from->set[s].group[i]->serial], from->set[s].group[i]);
    merge_providers(t, from);
    merge_lists(t, from, to);
    for (int i = 0; i < FATE_COUNT; i++) t->fates[i] += from->fates[i];
  }
  free(to);
  return fine;
}

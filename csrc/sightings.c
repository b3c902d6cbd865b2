#include "sightings.h"

#include <stdlib.h>

#define FIRST_ROOM 256
#define SMALL 24  /* so few are sorted by insertion */

bool sightings_reserve (struct sightings *s, size_t more) {
  if (more <= s->room - s->count) return true;
  size_t room = s->room + s->room / 2 + FIRST_ROOM;
  if (room < s->count + more) room = s->count + more;
  struct sighting *list = (struct sighting *)realloc(s->list, room * sizeof *list);
  if (list == NULL) return false;
  s->list = list;
  s->room = room;
  return true;
}

void sightings_push (struct sightings *s, uint64_t hash, uint64_t where) {
  s->list[s->count].hash = hash;
  s->list[s->count++].where = where;
}

void sightings_free (struct sightings *s) { free(s->list); }

static void insertion_sort (struct sighting *list, size_t count) {
  for (size_t i = 1; i < count; i++) {
    const struct sighting one = list[i];
    size_t j = i;
    for (; j > 0 && list[j - 1].hash > one.hash; j--) list[j] = list[j - 1];
    list[j] = one;
  }
}

/* By one byte of the hash after the other, from the highest: each is swapped to its place. Hashes are spread evenly, so three
   bytes do for millions; where all have the same hash there is no byte left. */
static void radix_sort (struct sighting *list, size_t count, int shift) {
  size_t next[256], end[256], at = 0;
  if (count <= SMALL) {
    insertion_sort(list, count);
    return;
  }
  for (int i = 0; i < 256; i++) end[i] = 0;
  for (size_t i = 0; i < count; i++) end[list[i].hash >> shift & 255]++;
  for (int i = 0; i < 256; i++) {
    next[i] = at;
    at += end[i];
    end[i] = at;
  }
  for (int i = 0; i < 256; i++) {
    while (next[i] < end[i]) {
      const struct sighting one = list[next[i]];
      const int byte = (int)(one.hash >> shift & 255);
      list[next[i]] = list[next[byte]];
      list[next[byte]++] = one;
    }
  }
  if (shift == 0) return;
  for (size_t i = 0, start = 0; i < 256; start = end[i++]) radix_sort(list + start, end[i] - start, shift - 8);
}

void sightings_sort (struct sightings *s) { radix_sort(s->list, s->count, 56); }

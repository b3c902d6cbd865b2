/*
** sightings: where each id was seen, in 16 bytes. Ids are known by a hash: those with the same one stand side by side once the
** list is sorted, and whoever finds two has to look whether they are of the same id.
*/
#ifndef sightings_h
#define sightings_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sighting {
  uint64_t hash;
  uint64_t where;
};

/* All zero is an empty one. */
struct sightings {
  struct sighting *list;
  size_t count, room;
};

bool sightings_reserve (struct sightings *s, size_t more);  /* false: no memory */
void sightings_push (struct sightings *s, uint64_t hash, uint64_t where);  /* after sightings_reserve */
void sightings_sort (struct sightings *s);  /* by hash, where they stand: it takes no memory */
void sightings_free (struct sightings *s);

#endif

/*
** zone_file: zones by their names, from the files that the system has of them
*/
#ifndef zone_file_h
#define zone_file_h

#include "zone.h"

/* The zone of this name, which zone_is_name, in a directory such as /usr/share/zoneinfo. NULL, and the reason; no reason
   where there is no zone of the name. */
struct zone *zone_open (const char *directory, const char *name, const char **why);

#endif

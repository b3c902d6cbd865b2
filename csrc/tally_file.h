/*
** tally_file: whole files into a tally. One that can be read anywhere is read by several threads at once, each of them a stretch
** after the other; what comes through a pipe, or was compressed, by the calling thread alone. What comes out is the same.
*/
#ifndef tally_file_h
#define tally_file_h

#include "tally.h"

#define TALLY_MAX_THREADS 64
#define TALLY_MAX_NOTES 10  /* skipped lines that are told one by one */

struct tally_note {
  uint64_t line;  /* from 1 */
  char reason[200];
};

struct tally_read {
  uint64_t records, skipped;  /* repeated records are records too */
  int notes;
  struct tally_note note[TALLY_MAX_NOTES];  /* the first ones of what was skipped */
  uint64_t done, size;        /* bytes so far, and of the whole file; size 0: not known */
};

struct tally_reading;

/*
** Begin. path "-" is standard input. The tally must not be used by others until the reading ends. NULL: errno says why, and
** unpack_strerror what that is.
** Compressed files (by gzip, xz, zstd or bzip2, known by their first bytes) go through the program of that name.
*/
struct tally_reading *tally_reading_new (struct tally *t, const char *path, int threads);

enum tally_step { TALLY_MORE, TALLY_DONE, TALLY_SIGNAL, TALLY_TROUBLE };

/* Go on for a moment. TALLY_SIGNAL: a signal came, nothing is lost. TALLY_TROUBLE: *why says what; what was read before it is
   in the tally. */
enum tally_step tally_reading_step (struct tally_reading *r, const char **why);

const struct tally_read *tally_reading_result (const struct tally_reading *r);

/* Lines that are not in the tally by then never get there. */
void tally_reading_free (struct tally_reading *r);

#endif

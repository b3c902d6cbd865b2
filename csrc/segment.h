/*
** segment: one process's file of a journal, locked for as long as the process lives. Whoever gets the lock of a segment
** knows that its process is gone, and is the only one to write to it from then on.
**
** Lines are added at the end and closed where they stand (see line.h). A compaction puts a file of the open lines alone in
** the segment's place. Nothing is synced: this outlives the process, whichever way it ends, not the machine.
** What is in the file may be damaged all the same, since others have disks, editors and bugs.
*/
#ifndef segment_h
#define segment_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_MAX_LINE ((size_t)16 << 10)  /* a longer one is taken for one that was cut short there */
#define SEGMENT_SUFFIX ".tmp"                /* behind the name of a file that a compaction writes */

struct segment {
  int fd;          /* -1: closed */
  char *path;
  int64_t end;     /* where the next line goes */
  bool torn;       /* the last line has no end yet */
  bool remains;    /* bytes of a write that failed are behind the end */
};

/* All functions that return -1 (or false, where said) leave the reason in errno. */
#define SEGMENT_NO_LINE ENOMSG  /* the reason when no such line starts there */

/* Make a new file and lock it. EEXIST: there is one. EWOULDBLOCK: another process took its lock at once. */
int segment_create (struct segment *s, const char *path);

/* Take what a process left behind. EWOULDBLOCK: it lives. ENOENT: there is none, or no more. */
int segment_adopt (struct segment *s, const char *path);

void segment_close (struct segment *s);

/* Unlink it, then close it. It stays open when that fails. */
int segment_remove (struct segment *s);

/* Add a line (without its end, which may not be in it) in one write; all of it, or nothing. */
int segment_append (struct segment *s, const char *line, size_t length, int64_t *offset);

/* The line there without its end, as far as SEGMENT_MAX_LINE. */
int segment_read (const struct segment *s, int64_t offset, char out[SEGMENT_MAX_LINE], size_t *length);

/* Close the line there; no harm when it is closed. One that was cut short before its mark loses its first byte. */
int segment_close_line (struct segment *s, int64_t offset);

/* The open lines that start in a part of the file, in order. */
struct segment_scan {
  const struct segment *segment;
  int64_t limit;             /* where lines are no longer of that part */
  int64_t offset;            /* of buffer[0] in the file */
  size_t at, filled;         /* what is read and not looked at is buffer[at..filled) */
  bool passing_over;         /* in the middle of a line */
  bool at_end;
  char buffer[2 * SEGMENT_MAX_LINE];
};

void segment_scan (struct segment_scan *scan, const struct segment *s, int64_t from, int64_t limit);

struct segment_line {
  int64_t offset;
  const char *text;  /* valid until the next call, without its end */
  size_t length;
};

/* 1: a line. 0: no more of them in this part. -1: the file cannot be read. */
int segment_scan_next (struct segment_scan *scan, struct segment_line *line);

/* After the last line of a part: where the next one starts, or -1 when that was the last. */
int64_t segment_scan_rest (const struct segment_scan *scan);

/* Put a file of the open lines, `size` bytes by a scan just before, in the place of this one. Either that, or nothing. */
int segment_compact (struct segment *s, int64_t size);

/* Unlink what a compaction left behind, a file whose lock is free; false when it was not there, or not free. */
bool segment_remove_stale (const char *path);

#endif

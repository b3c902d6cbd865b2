/*
** file_reader: the lines of a file that other processes may be writing to
*/
#ifndef file_reader_h
#define file_reader_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_MAX_LINE ((size_t)64 << 20)  /* a longer line is passed over and reported as too long */

struct file_reader {
  int fd;
  bool at_end;
  bool passing_over;            /* in the middle of a line that is too long */
  char *buffer;
  size_t capacity, start, end;  /* bytes read and not handed out are buffer[start..end) */
  uint64_t number;              /* lines handed out */
  bool anywhere;                /* the descriptor's own position is neither used nor moved, but `at` */
  uint64_t at;                  /* bytes read since the beginning of the file */
};

enum file_line { FILE_LINE, FILE_LAST_LINE, FILE_TOO_LONG, FILE_END, FILE_ERROR, FILE_INTERRUPTED };

/* path "-" is standard input. -1: errno says why. */
int file_reader_open (struct file_reader *r, const char *path);
void file_reader_close (struct file_reader *r);

/* Read on from an offset of a regular file. For a reader that is all zero but its descriptor, which others may use too. */
void file_reader_seek (struct file_reader *r, uint64_t offset);
uint64_t file_reader_offset (const struct file_reader *r);  /* where the next line starts */

/* Drop what is left of a line, reading no further than a little behind the limit. False: failed, or a signal came, as errno
   says. */
bool file_reader_skip (struct file_reader *r, uint64_t limit);

/* The next line without its end, followed by a NUL, valid until the next call. FILE_LAST_LINE: it has no line end, as if
   cut short. FILE_TOO_LONG: passed over, nothing to read. FILE_INTERRUPTED: by a signal, or in a line so long that one should
   be looked for; nothing is lost, call again. */
enum file_line file_reader_next (struct file_reader *r, const char **line, size_t *length);

#endif

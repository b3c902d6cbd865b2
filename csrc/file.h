/*
** file: lines of JSON in files that other processes may be writing to. One line is one append; what a crash or a full
** disk left half-written is never glued to the next line, and a reader sees it as one bad line.
*/
#ifndef file_h
#define file_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_MAX_LINE ((size_t)64 << 20)  /* a longer line is passed over and reported as too long */

/* All functions that return -1 (or false, where said) leave the reason in errno. */

/* Open for appending, made with mode 0600 where it is not there. Takes a lock for as long as the file is open; when
   another process has it, errno is EWOULDBLOCK. Adds a line end when the last line has none. */
int file_open_append (const char *path);

/* Append a line (which ends in '\n') in one write. On failure `*written` bytes of it may be in the file. */
int file_append (int fd, const char *line, size_t length, size_t *written);

/* Bytes in the file; 0 for what is no regular file. */
int64_t file_size (int fd);

/* To the disk, then closed. */
int file_close (int fd);

struct file_reader {
  int fd;
  bool at_end;
  bool passing_over;            /* in the middle of a line that is too long */
  char *buffer;
  size_t capacity, start, end;  /* bytes read and not handed out are buffer[start..end) */
  uint64_t number;              /* lines handed out */
};

enum file_line { FILE_LINE, FILE_LAST_LINE, FILE_TOO_LONG, FILE_END, FILE_ERROR, FILE_INTERRUPTED };

/* path "-" is standard input */
int file_reader_open (struct file_reader *r, const char *path);
void file_reader_close (struct file_reader *r);

/* The next line without its end, followed by a NUL, valid until the next call. FILE_LAST_LINE: it has no line end, as if
   cut short. FILE_TOO_LONG: passed over, nothing to read. FILE_INTERRUPTED: by a signal; nothing is lost, call again. */
enum file_line file_reader_next (struct file_reader *r, const char **line, size_t *length);

#endif

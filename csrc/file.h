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

/* Unix seconds of the last change; false when it cannot be told. */
bool file_modified (const char *path, double *seconds);

/*
** A file that several processes append to at the same time. There is no lock: each line is one write at the end, and each
** append looks first whether the path still names the file (it may have been rotated away) and how its last line ends.
** Nothing waits for the disk but the last two functions.
*/
struct file_shared;
struct file_shared *file_shared_open (const char *path);  /* NULL on failure */

/* Append the line, to which its end is added. On failure nothing of it counts: what may be there in part is ended by the next
   append of any process. EBUSY: the disk is so slow that the files rotated away before are still on their way to it. */
int file_shared_append (struct file_shared *s, const char *line, size_t length);

int64_t file_shared_size (const struct file_shared *s);

/* Begin to bring everything appended so far to the disk. While that is under way already, it is done once more afterwards. */
int file_shared_sync (struct file_shared *s);

enum file_synced { FILE_UNSYNCED = -1, FILE_SYNCING, FILE_SYNCED };
enum file_synced file_shared_synced (struct file_shared *s);  /* FILE_UNSYNCED: it failed, which is said once */

/* To the disk, then closed and freed. file_shared_drop only waits for what is under way, as libc's thread refers to it. */
int file_shared_close (struct file_shared *s);
void file_shared_drop (struct file_shared *s);

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

/* path "-" is standard input */
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

#define _GNU_SOURCE  /* flock */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE ((size_t)64 << 10)

/* ---- writing --------------------------------------------------------------------------------------------------- */

/* Close, keeping the errno of what went wrong before. */
static int give_up (int fd) {
  int reason = errno;
  close(fd);
  errno = reason;
  return -1;
}

int64_t file_size (int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? status.st_size : 0;
}

/* A file that does not end in a line end was left by a write that failed: end that line before the next one starts. */
static int heal_end (int fd) {
  int64_t size = file_size(fd);
  char last;
  size_t written;
  if (size == 0) return 0;
  if (pread(fd, &last, 1, (off_t)size - 1) != 1) return -1;
  return last == '\n' ? 0 : file_append(fd, "\n", 1, &written);
}

int file_open_append (const char *path) {
  int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 || heal_end(fd) != 0) return give_up(fd);
  return fd;
}

int file_append (int fd, const char *line, size_t length, size_t *written) {
  *written = 0;
  while (*written < length) {
    ssize_t n = write(fd, line + *written, length - *written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    *written += (size_t)n;
  }
  return 0;
}

int file_close (int fd) {
  /* EINVAL, EROFS: not a file that can be synced, such as a pipe or a device */
  if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS) return give_up(fd);
  return close(fd);
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

int file_reader_open (struct file_reader *r, const char *path) {
  memset(r, 0, sizeof *r);
  r->fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
  if (r->fd < 0) return -1;
  struct stat status;
  if (fstat(r->fd, &status) == 0 && S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    give_up(r->fd);
    r->fd = -1;
    return -1;
  }
  return 0;
}

void file_reader_close (struct file_reader *r) {
  if (r->fd >= 0) close(r->fd);
  free(r->buffer);
  r->buffer = NULL;
  r->fd = -1;
}

/* Make room for READ_SIZE more bytes and a NUL. */
static bool make_room (struct file_reader *r) {
  if (r->start > 0) {
    memmove(r->buffer, r->buffer + r->start, r->end - r->start);
    r->end -= r->start;
    r->start = 0;
  }
  if (r->capacity - r->end > READ_SIZE) return true;
  size_t capacity = r->capacity ? r->capacity * 2 : READ_SIZE * 2;
  char *buffer = (char *)realloc(r->buffer, capacity);
  if (buffer == NULL) return false;
  r->buffer = buffer;
  r->capacity = capacity;
  return true;
}

static enum file_line failure (void) { return errno == EINTR ? FILE_INTERRUPTED : FILE_ERROR; }

/* Read some more; false on an error, or a signal. */
static bool fill (struct file_reader *r) {
  ssize_t n;
  if (!make_room(r)) return false;
  n = read(r->fd, r->buffer + r->end, READ_SIZE);
  if (n < 0) return false;
  if (n == 0) r->at_end = true;
  r->end += (size_t)n;
  return true;
}

static enum file_line hand_out (struct file_reader *r, const char **line, size_t *length, size_t size, enum file_line what) {
  *line = r->buffer + r->start;
  *length = size;
  r->buffer[r->start + size] = '\0';  /* where the line end was, or the room kept for it */
  r->start += size + (what == FILE_LINE);
  r->number++;
  return what;
}

/* Drop everything up to the next line end. */
static enum file_line pass_over (struct file_reader *r) {
  r->passing_over = true;
  for (;;) {
    char *end = (char *)memchr(r->buffer + r->start, '\n', r->end - r->start);
    r->start = end ? (size_t)(end - r->buffer) + 1 : r->end;
    if (end != NULL || r->at_end) break;
    if (!fill(r)) return failure();
  }
  r->passing_over = false;
  r->number++;
  return FILE_TOO_LONG;
}

enum file_line file_reader_next (struct file_reader *r, const char **line, size_t *length) {
  size_t seen = 0;
  if (r->passing_over) return pass_over(r);
  for (;;) {
    size_t have = r->end - r->start;
    char *end = have > seen ? (char *)memchr(r->buffer + r->start + seen, '\n', have - seen) : NULL;
    if (end != NULL) return hand_out(r, line, length, (size_t)(end - (r->buffer + r->start)), FILE_LINE);
    if (r->at_end) return have > 0 ? hand_out(r, line, length, have, FILE_LAST_LINE) : FILE_END;
    if (have > FILE_MAX_LINE) return pass_over(r);
    seen = have;
    if (!fill(r)) return failure();
  }
}

#define _GNU_SOURCE  /* O_CLOEXEC, pread */
#define _FILE_OFFSET_BITS 64
#include "file_reader.h"

#include "json.h"
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE ((size_t)64 << 10)
#define PASS_SIZE ((uint64_t)64 << 20)  /* of a line that is too long, before the caller has a chance to see a signal */

int file_reader_open (struct file_reader *r, const char *path) {
  memset(r, 0, sizeof *r);
  r->fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
  if (r->fd < 0) return -1;
  struct stat status;
  if (fstat(r->fd, &status) == 0 && S_ISDIR(status.st_mode)) {
    close(r->fd);
    r->fd = -1;
    errno = EISDIR;
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

void file_reader_seek (struct file_reader *r, uint64_t offset) {
  r->anywhere = true;
  r->at = offset;
  r->start = r->end = 0;
  r->number = 0;
  r->at_end = r->passing_over = false;
}

uint64_t file_reader_offset (const struct file_reader *r) { return r->at - (r->end - r->start); }

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
  n = r->anywhere ? pread(r->fd, r->buffer + r->end, READ_SIZE, (off_t)r->at) : read(r->fd, r->buffer + r->end, READ_SIZE);
  if (n < 0) return false;
  if (n > 0 && r->at == 0 && !r->anywhere && unpack_kind(r->buffer, (size_t)n) != NULL) {
    errno = ESPIPE;  /* what is a file has been looked at before */
    return false;
  }
  if (n == 0) r->at_end = true;
  r->end += (size_t)n;
  r->at += (uint64_t)n;
  return true;
}

static enum file_line hand_out (struct file_reader *r, const char **line, size_t *length, size_t size, enum file_line what) {
  const size_t bom = json_bom(r->buffer + r->start, size);  /* at its beginning, or where two files were put together */
  *line = r->buffer + r->start + bom;
  *length = size - bom;
  r->buffer[r->start + size] = '\0';  /* where the line end was, or the room kept for it */
  r->start += size + (what == FILE_LINE);
  r->number++;
  return what;
}

bool file_reader_skip (struct file_reader *r, uint64_t limit) {
  for (;;) {
    const size_t have = r->end - r->start;
    const char *end = have > 0 ? (const char *)memchr(r->buffer + r->start, '\n', have) : NULL;
    r->start = end ? (size_t)(end - r->buffer) + 1 : r->end;
    if (end != NULL || r->at_end || file_reader_offset(r) >= limit) return true;
    if (!fill(r)) return false;
  }
}

/* Drop everything up to the next line end, which may never come. */
static enum file_line pass_over (struct file_reader *r) {
  r->passing_over = true;
  if (!file_reader_skip(r, r->at + PASS_SIZE)) return failure();
  if (!r->at_end && r->buffer[r->start - 1] != '\n') return FILE_INTERRUPTED;
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

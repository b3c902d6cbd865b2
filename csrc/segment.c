#define _GNU_SOURCE  /* flock, O_NOFOLLOW */
#include "segment.h"

#include "file.h"
#include "line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- having the lock ------------------------------------------------------------------------------------------- */

#define ATTEMPTS 8  /* at a file that changes under its name just then */

/* 1: the path names this very file. 0: another one. -1: none, or it cannot be told. */
static int is_named (const char *path, int fd) {
  struct stat ours, named;
  if (fstat(fd, &ours) != 0 || lstat(path, &named) != 0) return -1;
  return ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

static int lock (int fd) {
  struct stat status;
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) return -1;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) return 0;
  errno = EINVAL;
  return -1;
}

/* Open and lock what the path names. Between the two, its owner may have put another file there, or have removed it: a lock
   on what has no name any more protects nothing. */
static int open_locked (const char *path, int flags) {
  for (int i = 0; i < ATTEMPTS; i++) {
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
    if (fd < 0) return -1;
    if (lock(fd) != 0) {
      if ((flags & O_CREAT) && errno != EWOULDBLOCK) unlink(path);  /* no locks in this file system */
      return file_give_up(fd);
    }
    if (is_named(path, fd) == 1) return fd;
    close(fd);
  }
  errno = EWOULDBLOCK;
  return -1;
}

static int start (struct segment *s, const char *path, int fd) {
  memset(s, 0, sizeof *s);
  s->fd = -1;
  if (fd < 0) return -1;
  s->path = (char *)malloc(strlen(path) + 1);
  if (s->path == NULL) return file_give_up(fd);
  strcpy(s->path, path);
  s->fd = fd;
  return 0;
}

int segment_create (struct segment *s, const char *path) { return start(s, path, open_locked(path, O_CREAT | O_EXCL)); }

int segment_adopt (struct segment *s, const char *path) {
  struct stat status;
  char last = '\n';
  if (start(s, path, open_locked(path, 0)) != 0) return -1;
  if (fstat(s->fd, &status) == 0) {
    s->end = status.st_size;
    if (s->end == 0 || pread(s->fd, &last, 1, (off_t)s->end - 1) == 1) {
      s->torn = last != '\n';
      return 0;
    }
  }
  int reason = errno;
  segment_close(s);
  errno = reason;
  return -1;
}

void segment_close (struct segment *s) {
  if (s->fd >= 0) close(s->fd);
  free(s->path);
  s->fd = -1;
  s->path = NULL;
}

int segment_remove (struct segment *s) {
  int named = is_named(s->path, s->fd);
  if (named < 0 && errno != ENOENT) return -1;
  if (named == 1 && unlink(s->path) != 0) return -1;
  segment_close(s);  /* only now: whoever gets the lock must find nothing under the name */
  return 0;
}

bool segment_remove_stale (const char *path) {
  int fd = open_locked(path, 0);
  if (fd < 0) return false;
  bool removed = unlink(path) == 0;
  close(fd);
  return removed;
}

/* ---- reading and writing --------------------------------------------------------------------------------------- */

static int write_at (int fd, const char *bytes, size_t length, int64_t offset) {
  while (length > 0) {
    ssize_t n = pwrite(fd, bytes, length, (off_t)offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    bytes += n;
    length -= (size_t)n;
    offset += n;
  }
  return 0;
}

/* What there is at this place, as much as fits; fewer bytes at the end only. */
static ssize_t read_at (int fd, char *out, size_t size, int64_t offset) {
  size_t length = 0;
  while (length < size) {
    ssize_t n = pread(fd, out + length, size - length, (off_t)(offset + (int64_t)length));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    length += (size_t)n;
  }
  return (ssize_t)length;
}

/* Bytes of a line that is in the file in part are cut off, so that a shorter one does not end in them. */
static bool cut_off_remains (struct segment *s) {
  if (s->remains && ftruncate(s->fd, (off_t)s->end) == 0) s->remains = false;
  return !s->remains;
}

int segment_append (struct segment *s, const char *line, size_t length, int64_t *offset) {
  char bytes[SEGMENT_MAX_LINE + 2];
  size_t before = s->torn ? 1 : 0;
  errno = EMSGSIZE;
  if (length > SEGMENT_MAX_LINE || !cut_off_remains(s)) return -1;
  bytes[0] = '\n';  /* of the line before, where its process could not */
  memcpy(bytes + before, line, length);
  bytes[before + length] = '\n';
  if (write_at(s->fd, bytes, before + length + 1, s->end) != 0) {
    int reason = errno;
    s->remains = true;
    cut_off_remains(s);
    errno = reason;
    return -1;
  }
  *offset = s->end + (int64_t)before;
  s->end += (int64_t)(before + length + 1);
  s->torn = false;
  return 0;
}

/* Where blocks of the file were lost, there are zeros, which end a line too. */
static const char *line_end (const char *p, size_t length) {
  const char *end = (const char *)memchr(p, '\n', length);
  const char *zero = (const char *)memchr(p, '\0', end ? (size_t)(end - p) : length);
  return zero ? zero : end;
}

/* Read from the start of a line on, after the byte before it, which is at out[0]. Returns how many bytes of lines follow. */
static ssize_t read_line_start (const struct segment *s, int64_t offset, char *out, size_t size) {
  errno = SEGMENT_NO_LINE;
  if (offset < 0 || offset >= s->end) return -1;
  out[0] = '\n';
  size_t before = offset > 0;
  int64_t rest = s->end - offset + (int64_t)before;
  size_t wanted = rest < (int64_t)(size - 1 + before) ? (size_t)rest : size - 1 + before;
  ssize_t n = read_at(s->fd, out + 1 - before, wanted, offset - (int64_t)before);
  if (n < 0) return -1;
  errno = SEGMENT_NO_LINE;
  bool starts = n > (ssize_t)before && (out[0] == '\n' || out[0] == '\0');
  return starts ? n - (ssize_t)before : -1;
}

int segment_read (const struct segment *s, int64_t offset, char out[SEGMENT_MAX_LINE], size_t *length) {
  char bytes[1 + SEGMENT_MAX_LINE];
  ssize_t n = read_line_start(s, offset, bytes, sizeof bytes);
  if (n < 0) return -1;
  const char *end = line_end(bytes + 1, (size_t)n);
  *length = end ? (size_t)(end - bytes) - 1 : (size_t)n;
  memcpy(out, bytes + 1, *length);
  return 0;
}

int segment_close_line (struct segment *s, int64_t offset) {
  char bytes[1 + LINE_HEAD_SIZE];
  struct line_head head;
  ssize_t n = read_line_start(s, offset, bytes, sizeof bytes);
  if (n < 0) return -1;
  if (!line_read_head(bytes + 1, (size_t)n, &head)) {
    errno = SEGMENT_NO_LINE;
    return -1;
  }
  if (!head.open) return 0;
  if (head.mark == 0) return write_at(s->fd, " ", 1, offset);
  return write_at(s->fd, "false", LINE_MARK_SIZE, offset + (int64_t)head.mark);
}

/* ---- the open lines -------------------------------------------------------------------------------------------- */

void segment_scan (struct segment_scan *scan, const struct segment *s, int64_t from, int64_t limit) {
  scan->segment = s;
  scan->limit = limit;
  scan->offset = from > 0 ? from - 1 : 0;
  scan->at = scan->filled = 0;
  scan->passing_over = from > 0;  /* from the byte before on: a line end, unless this is the middle of a line */
  scan->at_end = false;
}

static int64_t place (const struct segment_scan *scan) { return scan->offset + (int64_t)scan->at; }

int64_t segment_scan_rest (const struct segment_scan *scan) {
  bool over = place(scan) >= scan->segment->end || (scan->at_end && scan->at == scan->filled);
  return over ? -1 : place(scan);
}

static bool fill (struct segment_scan *scan) {
  memmove(scan->buffer, scan->buffer + scan->at, scan->filled - scan->at);
  scan->offset += (int64_t)scan->at;
  scan->filled -= scan->at;
  scan->at = 0;
  int64_t rest = scan->segment->end - (scan->offset + (int64_t)scan->filled);
  size_t wanted = sizeof scan->buffer - scan->filled;
  if (rest < (int64_t)wanted) wanted = rest > 0 ? (size_t)rest : 0;
  ssize_t n = read_at(scan->segment->fd, scan->buffer + scan->filled, wanted, scan->offset + (int64_t)scan->filled);
  if (n < 0) return false;
  scan->filled += (size_t)n;
  scan->at_end = n == 0;
  return true;
}

/* The next line of any kind; of one that is too long, its beginning. */
static int next_line (struct segment_scan *scan, struct segment_line *line) {
  for (;;) {
    while (!scan->passing_over && scan->at < scan->filled && scan->buffer[scan->at] == '\0') scan->at++;
    const char *p = scan->buffer + scan->at;
    size_t have = scan->filled - scan->at, most = have < SEGMENT_MAX_LINE ? have : SEGMENT_MAX_LINE;
    if (place(scan) >= scan->limit) return 0;
    const char *end = have > 0 ? line_end(p, have > most ? most + 1 : most) : NULL;
    if (end == NULL && have <= SEGMENT_MAX_LINE && !scan->at_end) {
      if (!fill(scan)) return -1;
      continue;
    }
    if (have == 0) return 0;
    bool passed = scan->passing_over;
    line->offset = place(scan);
    line->text = p;
    line->length = end ? (size_t)(end - p) : most;
    scan->at += line->length + (end != NULL);
    scan->passing_over = end == NULL;
    if (!passed) return 1;
  }
}

int segment_scan_next (struct segment_scan *scan, struct segment_line *line) {
  struct line_head head;
  int status;
  while ((status = next_line(scan, line)) == 1) {
    if (line_read_head(line->text, line->length, &head) && head.open) return 1;
  }
  return status;
}

/* ---- compaction ------------------------------------------------------------------------------------------------ */

struct copy {
  int fd;
  int64_t offset;  /* of what is in the buffer */
  size_t length;
  char buffer[2 * SEGMENT_MAX_LINE];
};

static int flush (struct copy *c) {
  if (write_at(c->fd, c->buffer, c->length, c->offset) != 0) return -1;
  c->offset += (int64_t)c->length;
  c->length = 0;
  return 0;
}

/* Copy the open lines to another file; returns how many bytes they were. */
static int64_t copy_open_lines (const struct segment *s, int fd) {
  struct segment_scan scan;
  struct segment_line line;
  struct copy c;
  int status;
  c.fd = fd;
  c.offset = 0;
  c.length = 0;
  segment_scan(&scan, s, 0, s->end);
  while ((status = segment_scan_next(&scan, &line)) == 1) {
    if (sizeof c.buffer - c.length < line.length + 1 && flush(&c) != 0) return -1;
    memcpy(c.buffer + c.length, line.text, line.length);
    c.length += line.length;
    c.buffer[c.length++] = '\n';
  }
  return status == 0 && flush(&c) == 0 ? c.offset : -1;
}

static int replace (struct segment *s, const char *path, int fd, int64_t size) {
  int64_t copied = copy_open_lines(s, fd);
  if (copied >= 0 && copied != size) errno = EIO;  /* the file changes under our lock */
  if (copied == size && rename(path, s->path) == 0) return 0;
  int reason = errno;
  unlink(path);
  errno = reason;
  return file_give_up(fd);
}

int segment_compact (struct segment *s, int64_t size) {
  char path[4096];
  int n = snprintf(path, sizeof path, "%s" SEGMENT_SUFFIX, s->path);
  errno = ENAMETOOLONG;
  if (n < 0 || n >= (int)sizeof path) return -1;
  errno = ESTALE;
  if (is_named(s->path, s->fd) == 0) return -1;  /* that file is somebody else's now */
  segment_remove_stale(path);
  int fd = open_locked(path, O_CREAT | O_EXCL);
  if (fd < 0 || replace(s, path, fd, size) != 0) return -1;
  close(s->fd);  /* only now: until the rename, the old file's lock is the one that others try */
  s->fd = fd;
  s->end = size;
  s->torn = s->remains = false;
  return 0;
}

#define _GNU_SOURCE  /* flock */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int file_give_up (int fd) {
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
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 || heal_end(fd) != 0) return file_give_up(fd);
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

bool file_is_named (int fd, const char *path) {
  struct stat ours, named;
  if (fstat(fd, &ours) != 0 || !S_ISREG(ours.st_mode)) return true;
  return stat(path, &named) == 0 && named.st_dev == ours.st_dev && named.st_ino == ours.st_ino;
}

bool file_is_sync_failure (int reason) { return reason != 0 && reason != EINVAL && reason != EROFS; }

int file_close (int fd) { return fsync(fd) != 0 && file_is_sync_failure(errno) ? file_give_up(fd) : close(fd); }

bool file_modified (const char *path, double *seconds) {
  struct stat status;
  if (stat(path, &status) != 0) return false;
  *seconds = (double)status.st_mtim.tv_sec + (double)status.st_mtim.tv_nsec / 1e9;
  return true;
}

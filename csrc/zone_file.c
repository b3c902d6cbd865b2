#define _POSIX_C_SOURCE 200809L
#include "zone_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char no_memory[] = "not enough memory";

/* How many bytes were read; 0 and the reason where that is no file of a zone. */
static size_t read_all (int fd, unsigned char *bytes, const char **why) {
  size_t length = 0;
  ssize_t n;
  *why = "it cannot be read";
  while ((n = read(fd, bytes + length, ZONE_MAX_FILE - length)) != 0) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return 0;
    length += (size_t)n;
  }
  *why = "it is no time zone file";
  return length < ZONE_MAX_FILE ? length : 0;
}

static struct zone *read_zone (int fd, const char **why) {
  unsigned char *bytes = (unsigned char *)malloc(ZONE_MAX_FILE);
  *why = no_memory;
  if (bytes == NULL) return NULL;
  const size_t length = read_all(fd, bytes, why);
  struct zone *z = length ? zone_read(bytes, length, why) : NULL;
  free(bytes);
  return z;
}

struct zone *zone_open (const char *directory, const char *name, const char **why) {
  const size_t size = strlen(directory) + strlen(name) + 2;
  struct stat status;
  struct zone *z = NULL;
  char *path = (char *)malloc(size);
  *why = no_memory;
  if (path == NULL) return NULL;
  snprintf(path, size, "%s/%s", directory, name);
  const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);  /* a pipe in its place must not hold us up */
  const int reason = errno;
  free(path);
  *why = reason == ENOENT || reason == ENOTDIR ? NULL : "it cannot be read";
  if (fd < 0) return NULL;
  *why = NULL;  /* "Europe" is a directory and no zone */
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) z = read_zone(fd, why);
  close(fd);
  return z;
}

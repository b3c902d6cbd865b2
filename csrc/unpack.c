#define _GNU_SOURCE  /* pipe2, where it is close-on-exec at once; environ */
#define _FILE_OFFSET_BITS 64
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *unpack_kind (const char *begin, size_t length) {
  static const struct { const char *program; size_t at; const char *magic; size_t length; } known[] = {
    { "gzip", 0, "\x1f\x8b", 2 }, { "xz", 0, "\xfd" "7zXZ", 5 }, { "zstd", 0, "\x28\xb5\x2f\xfd", 4 }, { "bzip2", 4, "1AY&SY", 6 }
  };
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (length >= known[i].at + known[i].length && memcmp(begin + known[i].at, known[i].magic, known[i].length) == 0)
      return known[i].program;
  return NULL;
}

const char *unpack_program (int fd) {
  char begin[12];
  const ssize_t length = pread(fd, begin, sizeof begin, 0);
  return length > 0 ? unpack_kind(begin, (size_t)length) : NULL;
}

static int spawn (pid_t *pid, const char *program, int in, int out) {
  char name[16], how[] = "-dc", *arguments[] = { name, how, NULL };
  posix_spawn_file_actions_t actions;
  snprintf(name, sizeof name, "%s", program);
  int reason = posix_spawn_file_actions_init(&actions);
  if (reason != 0) return reason;
  reason = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  if (reason == 0) reason = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  if (reason == 0) reason = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  if (reason == 0) reason = posix_spawnp(pid, name, &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  return reason;
}

int unpack_start (const char *program, int fd, pid_t *pid) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  const int reason = spawn(pid, program, fd, ends[1]);
  close(ends[1]);
  if (reason == 0) return ends[0];
  close(ends[0]);
  errno = reason == ENOENT ? ENOEXEC : reason;
  return -1;
}

const char *unpack_strerror (int reason) {
  switch (reason) {
    case ENOEXEC: return "it is compressed, and the program that unpacks it (gzip, xz, zstd or bzip2) is not there";
    case ESPIPE: return "it is compressed, which is unpacked from a file and not from a pipe: put gunzip (or unxz, unzstd, "
                        "bunzip2) before it";
    default: return strerror(reason);
  }
}

bool unpack_ended (pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return true;
  return status == 0;
}

#define _GNU_SOURCE  /* O_CLOEXEC, pread */
#include "file_shared.h"

#include "file.h"

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- bringing a file to the disk in the background --------------------------------------------------------------- */

/* An open file. It must not move while a sync is under way, since a thread of libc has the address of the block. */
struct synced_file {
  int fd;           /* -1: none */
  bool unsynced;    /* written to since the last sync began */
  bool wanted;      /* a sync is to begin as soon as none is under way */
  bool under_way;
  pid_t process;    /* the one whose thread it is: a child made by fork has none, and would wait for ever */
  struct aiocb block;
};

static int begin_sync (struct synced_file *f) {
  memset(&f->block, 0, sizeof f->block);
  f->block.aio_fildes = f->fd;
  f->block.aio_sigevent.sigev_notify = SIGEV_NONE;
  f->wanted = false;
  if (aio_fsync(O_SYNC, &f->block) != 0) return file_is_sync_failure(errno) ? -1 : 0;
  f->process = getpid();
  f->under_way = true;
  f->unsynced = false;
  return 0;
}

/* What became of the sync under way: 0, or why it failed, or EINPROGRESS. */
static int sync_result (struct synced_file *f) {
  int reason = f->process == getpid() ? aio_error(&f->block) : ECANCELED;
  if (reason == EINPROGRESS) return reason;
  aio_return(&f->block);
  f->under_way = false;
  return file_is_sync_failure(reason) ? reason : 0;
}

/* Wait for the sync under way, if one is; why it failed, or 0. */
static int finish_sync (struct synced_file *f) {
  const struct aiocb *const blocks[] = { &f->block };
  int reason = 0;
  while (f->under_way && (reason = sync_result(f)) == EINPROGRESS) aio_suspend(blocks, 1, NULL);
  return reason;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

#define MOST_FILES 4  /* the one written to, and those rotated away that are not on the disk yet */

struct file_shared {
  struct synced_file file[MOST_FILES];
  struct synced_file *current;
  dev_t device;  /* of the current file, as the path's own may change */
  ino_t inode;
  int failure;   /* why a sync failed, until that is told */
  char path[1];
};

/* See what became of a file's sync and begin the next one. A file rotated away is closed when it is on the disk. */
static void advance (struct file_shared *s, struct synced_file *f) {
  int reason = f->under_way ? sync_result(f) : 0;
  if (reason == EINPROGRESS) return;
  if (reason == 0 && f->wanted && begin_sync(f) != 0) reason = errno;
  if (reason != 0) s->failure = reason;
  if (f == s->current || f->under_way) return;
  close(f->fd);
  f->fd = -1;
}

static void advance_all (struct file_shared *s) {
  for (int i = 0; i < MOST_FILES; i++)
    if (s->file[i].fd >= 0) advance(s, &s->file[i]);
}

static struct synced_file *free_place (struct file_shared *s) {
  for (int i = 0; i < MOST_FILES; i++)
    if (s->file[i].fd < 0) return &s->file[i];
  errno = EBUSY;
  return NULL;
}

/* Open what the path names, and make it the current file. What the one before still owes the disk is begun at once. */
static int open_anew (struct file_shared *s, struct stat *status) {
  struct synced_file *f = free_place(s), *before = s->current;
  if (f == NULL) return -1;
  int fd = open(s->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
  if (fd < 0) return -1;
  if (fstat(fd, status) != 0) return file_give_up(fd);
  memset(f, 0, sizeof *f);
  f->fd = fd;
  s->current = f;
  s->device = status->st_dev;
  s->inode = status->st_ino;
  if (before == NULL) return 0;
  before->wanted = before->unsynced;
  advance(s, before);
  return 0;
}

static bool is_current (const struct file_shared *s, const struct stat *status) {
  return status->st_dev == s->device && status->st_ino == s->inode;
}

/* Whether somebody's last line, in front of `end`, has no end. When the file has grown since, it is being written just now.
   Where that cannot be read it may have none: an empty line too many does no harm. */
static bool is_torn (int fd, off_t end) {
  char last;
  bool ended = end == 0 || (pread(fd, &last, 1, end - 1) == 1 && last == '\n');
  return !ended && file_size(fd) == end;
}

static int write_line (int fd, const char *line, size_t length, bool torn) {
  struct iovec parts[3];
  memset(parts, 0, sizeof parts);
  parts[0].iov_len = torn;
  parts[0].iov_base = parts[2].iov_base = (void *)(uintptr_t)"\n";  /* only read; the type has no const */
  parts[1].iov_base = (void *)(uintptr_t)line;
  parts[1].iov_len = length;
  parts[2].iov_len = 1;
  ssize_t n;
  do n = writev(fd, parts, 3);
  while (n < 0 && errno == EINTR);
  if (n == (ssize_t)(torn + length + 1)) return 0;
  if (n >= 0) errno = ENOSPC;  /* cut short: only the next write would say why, and this is nearly always the reason */
  return -1;
}

/*
** A process killed in its write leaves a torn line, perhaps just behind the end that this one saw: its own line is glued to
** that one then. So see where it went, which is where others wrote only if the end has moved. -1: it cannot be told.
*/
static int is_glued (int fd, off_t seen_end, const char *line, size_t length) {
  char there[33];
  off_t start = lseek(fd, 0, SEEK_CUR) - (off_t)length - 1;
  size_t head = length < sizeof there - 1 ? length : sizeof there - 1;
  if (start == seen_end || start <= 0) return 0;
  errno = EIO;  /* of a file that somebody has cut */
  if (pread(fd, there, head + 1, start - 1) != (ssize_t)head + 1) return -1;
  return there[0] != '\n' && memcmp(there + 1, line, head) == 0;
}

int file_shared_append (struct file_shared *s, const char *line, size_t length) {
  struct stat status;
  advance_all(s);
  if ((stat(s->path, &status) != 0 || !is_current(s, &status)) && open_anew(s, &status) != 0) return -1;
  int fd = s->current->fd;
  bool is_file = S_ISREG(status.st_mode), torn = is_file && is_torn(fd, status.st_size);
  s->current->unsynced = true;
  if (write_line(fd, line, length, torn) != 0) return -1;
  int glued = torn || !is_file ? 0 : is_glued(fd, status.st_size, line, length);
  return glued > 0 ? write_line(fd, line, length, true) : glued;
}

struct file_shared *file_shared_open (const char *path) {
  struct stat status;
  size_t length = strlen(path);
  struct file_shared *s = (struct file_shared *)calloc(1, sizeof *s + length);
  if (s == NULL) return NULL;
  memcpy(s->path, path, length);
  for (int i = 0; i < MOST_FILES; i++) s->file[i].fd = -1;
  if (open_anew(s, &status) == 0) return s;
  free(s);
  return NULL;
}

int64_t file_shared_size (const struct file_shared *s) { return file_size(s->current->fd); }

int file_shared_sync (struct file_shared *s) {
  struct synced_file *f = s->current;
  advance_all(s);
  f->wanted = f->under_way;
  return f->under_way ? 0 : begin_sync(f);
}

enum file_synced file_shared_synced (struct file_shared *s) {
  bool under_way = false;
  advance_all(s);
  if (s->failure != 0) {
    errno = s->failure;
    s->failure = 0;
    return FILE_UNSYNCED;
  }
  for (int i = 0; i < MOST_FILES; i++) under_way = under_way || (s->file[i].fd >= 0 && s->file[i].under_way);
  return under_way ? FILE_SYNCING : FILE_SYNCED;
}

int file_shared_close (struct file_shared *s) {
  int failure = s->failure;
  for (int i = 0; i < MOST_FILES; i++) {
    if (s->file[i].fd < 0) continue;
    int reason = finish_sync(&s->file[i]);
    if (file_close(s->file[i].fd) != 0) reason = errno;
    if (reason != 0) failure = reason;
  }
  free(s);
  errno = failure;
  return failure ? -1 : 0;
}

void file_shared_drop (struct file_shared *s) {
  for (int i = 0; i < MOST_FILES; i++) {
    if (s->file[i].fd < 0) continue;
    finish_sync(&s->file[i]);
    close(s->file[i].fd);
  }
  free(s);
}

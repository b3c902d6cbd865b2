/*
** file: lines of JSON in a file that one process at a time appends to. One line is one append; what a crash or a full disk
** left half-written is never glued to the next line, and a reader sees it as one bad line.
*/
#ifndef file_h
#define file_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All functions that return -1 (or false, where said) leave the reason in errno. */

/* Open for appending, made with mode 0600 where it is not there. Takes a lock for as long as the file is open; when
   another process has it, errno is EWOULDBLOCK. Adds a line end when the last line has none. */
int file_open_append (const char *path);

/* Append a line (which ends in '\n') in one write. On failure `*written` bytes of it may be in the file. */
int file_append (int fd, const char *line, size_t length, size_t *written);

/* Bytes in the file; 0 for what is no regular file. */
int64_t file_size (int fd);

/* Whether the path names this file, as it did when it was opened; true of what is no regular file. */
bool file_is_named (int fd, const char *path);

/* To the disk, then closed. */
int file_close (int fd);

/* Whether this errno of a sync is a failure. That there is nothing to sync, as of a pipe or a device, is none; nor is 0. */
bool file_is_sync_failure (int reason);

/* Close what came to nothing, keeping the errno that says why: -1. */
int file_give_up (int fd);

/* Unix seconds of the last change; false when it cannot be told. */
bool file_modified (const char *path, double *seconds);

#endif

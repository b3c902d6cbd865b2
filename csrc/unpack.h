/*
** unpack: reading what gzip, xz, zstd or bzip2 have packed, through the program of that name.
*/
#ifndef unpack_h
#define unpack_h

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define UNPACK_FAILED "it cannot be unpacked, or not to the end: it is damaged or cut short"

/* The program that unpacks what begins so, or NULL. */
const char *unpack_kind (const char *begin, size_t length);

/* The program that unpacks what the regular file begins with, or NULL. Its position does not move. */
const char *unpack_program (int fd);

/* Start it. Returns the descriptor to read from, which ends when the program does; -1: errno says why. Where the program is not
   installed that is ENOEXEC: ENOENT would say that the file is missing. */
int unpack_start (const char *program, int fd, pid_t *pid);

/* As strerror, for errors of opening or reading a file that may have to be unpacked. */
const char *unpack_strerror (int reason);

/* Wait for it to end, after its output was read or closed. False: it failed, so what it gave is not all. True where that
   cannot be known, as the process ignores SIGCHLD. */
bool unpack_ended (pid_t pid);

#endif

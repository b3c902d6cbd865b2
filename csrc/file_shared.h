/*
** file_shared: a file that several processes append to at the same time. There is no lock: each line is one write at the end,
** and each append looks first whether the path still names the file (it may have been rotated away) and how its last line
** ends. Nothing waits for the disk but the last two functions.
*/
#ifndef file_shared_h
#define file_shared_h

#include <stddef.h>
#include <stdint.h>

/* Functions that return -1 leave the reason in errno. */

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

#endif

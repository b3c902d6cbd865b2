#define _GNU_SOURCE  /* F_DUPFD_CLOEXEC */
#define _FILE_OFFSET_BITS 64
#include "tally_file.h"

#include "file_reader.h"
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((uint64_t)4 << 20)        /* what a thread takes at a time */
#define STEP ((uint64_t)16 << 20)        /* for each thread, until the caller has a say */
#define STREAM_STEP ((uint64_t)8 << 20)
#define SMALL_FILE (64 << 10)            /* not worth a descriptor that stays open */
#define NO_ROOM (-1)                     /* too many groups: which are there depends on which came first, so none are right */
#define MOST_OPEN 500                    /* files that are held open, or half as many as a process may have */

/* A thread, or the caller as one. */
struct worker {
  struct tally_reading *reading;
  struct tally *tally;           /* the caller's, or a sibling */
  struct file_reader reader;
  uint64_t records, skipped;
  int notes;
  uint64_t noted[TALLY_MAX_NOTES];  /* chunk of a note, whose line is counted from the chunk's start */
  struct tally_note note[TALLY_MAX_NOTES];
  int trouble;                   /* errno, or NO_ROOM */
  bool running;
  pthread_t thread;
};

struct tally_reading {
  struct tally *tally;
  bool streams;
  int source;                    /* of what is read anywhere */
  int file;                      /* of what is compressed: the file itself; else -1 */
  pid_t program;                 /* … and who unpacks it; 0: nobody */
  const char *program_name;
  pthread_mutex_t lock;
  uint64_t next, end;            /* chunks: the one that is to be read next, and where this step ends */
  uint64_t chunks;
  uint32_t *lines;               /* of each chunk */
  int workers;
  struct tally_read result;
  struct worker worker[1];       /* with room for as many as were asked for */
};

/* ---- one line ---------------------------------------------------------------------------------------------------- */

static void note (struct worker *w, uint64_t chunk, uint64_t line, const char *reason) {
  w->skipped++;
  if (w->notes == TALLY_MAX_NOTES) return;
  w->noted[w->notes] = chunk;
  w->note[w->notes].line = line;
  snprintf(w->note[w->notes++].reason, sizeof w->note[0].reason, "%s", reason);
}

static void add_line (struct worker *w, enum file_line kind, const char *line, size_t length, uint64_t place, uint64_t chunk) {
  const char *why = RECORD_TOO_LONG;
  enum tally_line what = TALLY_REFUSED;
  if (kind != FILE_TOO_LONG) what = tally_add_line(w->tally, line, length, place, &why);
  if (what == TALLY_GENERATION) w->records++;
  if (what == TALLY_FULL) w->trouble = NO_ROOM;
  if (what == TALLY_MALFORMED && kind == FILE_LAST_LINE) why = RECORD_TORN;
  if (what == TALLY_MALFORMED || what == TALLY_REFUSED) note(w, chunk, w->reader.number, why);
}

/* ---- what can be read anywhere ----------------------------------------------------------------------------------- */

/* A line belongs to the chunk that its first byte is in. */
static void read_chunk (struct worker *w, uint64_t chunk) {
  const uint64_t start = chunk * CHUNK, end = start + CHUNK;
  const char *line = NULL;
  size_t length = 0;
  enum file_line what = FILE_LINE;
  file_reader_seek(&w->reader, start > 0 ? start - 1 : 0);
  while (start > 0 && !file_reader_skip(&w->reader, end)) {  /* the end of the one before */
    if (errno == EINTR) continue;
    w->trouble = errno;
    return;
  }
  while (what != FILE_END && what != FILE_LAST_LINE && w->trouble == 0
         && (w->reader.passing_over || file_reader_offset(&w->reader) < end)) {
    const uint64_t offset = file_reader_offset(&w->reader);
    what = file_reader_next(&w->reader, &line, &length);
    if (what == FILE_ERROR) w->trouble = errno;
    if (what == FILE_ERROR || what == FILE_END) break;
    if (what != FILE_INTERRUPTED) add_line(w, what, line, length, tally_place(w->reading->source, offset), chunk);
  }
  w->reading->lines[chunk] = (uint32_t)w->reader.number;
}

static bool take_chunk (struct tally_reading *r, uint64_t *chunk) {
  pthread_mutex_lock(&r->lock);
  const bool there = r->next < r->end;
  if (there) *chunk = r->next++;
  pthread_mutex_unlock(&r->lock);
  return there;
}

static void *work (void *context) {
  struct worker *w = (struct worker *)context;
  uint64_t chunk;
  while (w->trouble == 0 && take_chunk(w->reading, &chunk)) read_chunk(w, chunk);
  return NULL;
}

/* Signals are the caller's. */
static void start_threads (struct tally_reading *r) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (int i = 1; i < r->workers; i++)
    r->worker[i].running = pthread_create(&r->worker[i].thread, NULL, work, &r->worker[i]) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void join_threads (struct tally_reading *r) {
  for (int i = 1; i < r->workers; i++) {
    if (r->worker[i].running) pthread_join(r->worker[i].thread, NULL);
    r->worker[i].running = false;
  }
}

static bool read_chunks (struct tally_reading *r) {
  const uint64_t more = STEP / CHUNK * (uint64_t)r->workers;
  r->end = r->chunks - r->next > more ? r->next + more : r->chunks;
  start_threads(r);
  work(&r->worker[0]);
  join_threads(r);
  r->result.done = r->next * CHUNK < r->result.size ? r->next * CHUNK : r->result.size;
  return r->next < r->chunks;
}

/* ---- what comes one after the other ------------------------------------------------------------------------------ */

static enum file_line read_stream (struct tally_reading *r) {
  struct worker *w = &r->worker[0];
  const uint64_t end = w->reader.at + STREAM_STEP;
  const char *line = NULL;
  size_t length = 0;
  enum file_line what = FILE_LINE;
  while (w->reader.at < end && w->trouble == 0 && (what == FILE_LINE || what == FILE_TOO_LONG)) {
    what = file_reader_next(&w->reader, &line, &length);
    if (what == FILE_ERROR) w->trouble = errno;
    if (what <= FILE_TOO_LONG) add_line(w, what, line, length, TALLY_KEEP, 0);
  }
  const off_t packed = r->file >= 0 ? lseek(r->file, 0, SEEK_CUR) : (off_t)w->reader.at;
  r->result.done = packed > 0 ? (uint64_t)packed : 0;
  return what == FILE_LAST_LINE ? FILE_LINE : what;
}

/* Let the program unpack fd; false: errno says why. */
static bool unpack (struct tally_reading *r, int fd) {
  const int output = unpack_start(r->program_name, fd, &r->program);
  if (output < 0) return false;
  r->file = fd;
  r->worker[0].reader.fd = output;
  return true;
}

static bool program_ended (struct tally_reading *r) {
  const pid_t pid = r->program;
  r->program = 0;
  return pid == 0 || unpack_ended(pid);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

/* Threads that cannot be had are done without. */
static void add_workers (struct tally_reading *r, int threads) {
  while (r->workers < threads && (uint64_t)r->workers < r->chunks) {
    struct worker *w = &r->worker[r->workers];
    if ((w->tally = tally_sibling(r->tally)) == NULL) return;
    w->reading = r;
    w->reader.fd = r->worker[0].reader.fd;
    r->workers++;
  }
}

static bool may_stay_open (const struct tally *t) {
  const long limit = sysconf(_SC_OPEN_MAX);
  return tally_sources(t) < (limit > 0 && limit / 2 < MOST_OPEN ? limit / 2 : MOST_OPEN);
}

static bool prepare_chunks (struct tally_reading *r, int fd, int threads) {
  r->chunks = (r->result.size + CHUNK - 1) / CHUNK;
  r->lines = (uint32_t *)calloc((size_t)r->chunks + 1, sizeof *r->lines);
  r->source = r->lines ? tally_add_source(r->tally, fd) : TALLY_NO_MEMORY;
  errno = r->source == TALLY_TOO_MANY ? EMFILE : ENOMEM;
  if (r->source < 0) return false;
  r->worker[0].reader.fd = fd;
  add_workers(r, threads);
  return true;
}

/* Takes over fd where it returns true. */
static bool prepare (struct tally_reading *r, int fd, bool is_input, int threads) {
  struct stat status;
  if (fstat(fd, &status) != 0) return false;
  if (S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    return false;
  }
  const bool regular = S_ISREG(status.st_mode) && (!is_input || lseek(fd, 0, SEEK_CUR) == 0)
    && (uint64_t)status.st_size < TALLY_MAX_OFFSET;
  if (S_ISREG(status.st_mode)) r->result.size = (uint64_t)status.st_size;
  if (regular && (r->program_name = unpack_program(fd)) != NULL) {
    r->streams = true;
    return unpack(r, fd);
  }
  if (regular && status.st_size > SMALL_FILE && may_stay_open(r->tally)) return prepare_chunks(r, fd, threads);
  r->streams = true;
  r->worker[0].reader.fd = fd;
  return true;
}

struct tally_reading *tally_reading_new (struct tally *t, const char *path, int threads) {
  const bool is_input = strcmp(path, "-") == 0;
  const int fd = is_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  const size_t more = (size_t)(threads - 1) * sizeof (struct worker);
  struct tally_reading *r = (struct tally_reading *)calloc(1, sizeof *r + more);
  int reason = ENOMEM;
  if (r != NULL) {
    r->tally = r->worker[0].tally = t;
    r->worker[0].reading = r;
    r->workers = 1;
    r->file = -1;
    r->worker[0].reader.fd = -1;
    pthread_mutex_init(&r->lock, NULL);
    if (prepare(r, fd, is_input, threads)) return r;
    reason = errno;
    tally_reading_free(r);
  }
  close(fd);
  errno = reason;
  return NULL;
}

void tally_reading_free (struct tally_reading *r) {
  if (r == NULL) return;
  if (r->streams) file_reader_close(&r->worker[0].reader);
  else free(r->worker[0].reader.buffer);
  program_ended(r);
  if (r->file >= 0) close(r->file);
  for (int i = 1; i < r->workers; i++) {
    free(r->worker[i].reader.buffer);
    tally_free(r->worker[i].tally);
  }
  pthread_mutex_destroy(&r->lock);
  free(r->lines);
  free(r);
}

/* Keep the note among the first ones. */
static void merge_note (struct tally_read *result, const struct tally_note *n) {
  int i = result->notes;
  if (i == TALLY_MAX_NOTES && n->line > result->note[i - 1].line) return;
  if (i < TALLY_MAX_NOTES) result->notes++;
  else i--;
  for (; i > 0 && result->note[i - 1].line > n->line; i--) result->note[i] = result->note[i - 1];
  result->note[i] = *n;
}

static void merge_notes (struct tally_reading *r) {
  uint64_t lines = 0;  /* before the chunk */
  for (uint64_t chunk = 0; chunk < r->chunks || (r->streams && chunk == 0); chunk++) {
    for (int i = 0; i < r->workers; i++)
      for (int n = 0; n < r->worker[i].notes; n++)
        if (r->worker[i].noted[n] == chunk) {
          r->worker[i].note[n].line += lines;
          merge_note(&r->result, &r->worker[i].note[n]);
        }
    if (!r->streams) lines += r->lines[chunk];
  }
}

/* Everything into the caller's tally. What was compressed and is damaged, or is still being written, counts as far as it goes. */
static enum tally_step finish (struct tally_reading *r, const char **why) {
  int trouble = 0;
  bool merged = true;
  const uint64_t lines = r->worker[0].reader.number;
  if (r->worker[0].trouble == 0 && !program_ended(r)) note(&r->worker[0], 0, lines ? lines : 1, UNPACK_FAILED);
  merge_notes(r);
  for (int i = 0; i < r->workers; i++) {
    struct worker *w = &r->worker[i];
    if (i > 0 && !tally_merge(r->tally, w->tally, why)) {
      merged = false;
      continue;
    }
    r->result.records += w->records;
    r->result.skipped += w->skipped;
    if (w->trouble) trouble = w->trouble;
  }
  if (trouble) *why = trouble == NO_ROOM ? tally_full : unpack_strerror(trouble);
  return merged && trouble == 0 ? TALLY_DONE : TALLY_TROUBLE;
}

enum tally_step tally_reading_step (struct tally_reading *r, const char **why) {
  if (r->streams) {
    const enum file_line what = read_stream(r);
    if (what == FILE_INTERRUPTED) return TALLY_SIGNAL;
    return what == FILE_END || r->worker[0].trouble ? finish(r, why) : TALLY_MORE;
  }
  bool more = read_chunks(r);
  for (int i = 0; i < r->workers; i++) more = more && r->worker[i].trouble == 0;
  return more ? TALLY_MORE : finish(r, why);
}

const struct tally_read *tally_reading_result (const struct tally_reading *r) { return &r->result; }

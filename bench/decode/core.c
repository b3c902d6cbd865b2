/*
** The decoder alone, without Lua:  core FILE PASSES index|values|none [SKIP]
**
** Reads FILE (a record a line) into memory, then goes through all of it PASSES times. "index" decodes each record; "values" reads
** every member on top, as a double, an integer, a boolean or where its characters are; "none" only finds and copies the lines,
** which is what the others do too. Prints nanoseconds a record, of the fastest pass.
*/
#define _POSIX_C_SOURCE 200809L
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double sum;  /* of everything read, so that nothing is left out */

static void read_value (int field, const char *value) {
  size_t length;
  int64_t integer;
  double number;
  if (value == NULL || *value == 'n') return;
  switch (field_info[field].type) {
    case TYPE_BOOLEAN: sum += *value == 't'; break;
    case TYPE_INTEGER: sum += json_is_number(value) && json_integer(value, &integer) ? (double)integer : 0; break;
    case TYPE_NUMBER: case TYPE_MONEY: sum += json_is_number(value) && json_double(value, &number) ? number : 0; break;
    case TYPE_LIST: sum += *value == '['; break;
    default:
      if (*value != '"') break;
      json_string(value, &length);
      sum += (double)length;
  }
}

static void decode (struct record *r, const char *line, size_t length, const char *mode) {
  const char *part = NULL;
  struct json_check check;
  r->length = (uint32_t)length;
  memcpy(r->text, line, length);
  r->text[length] = '\0';
  if (*mode == 'n') return;
  if (record_index(r, &part, &check) != RECORD_GENERATION) abort();
  sum += r->object;
  if (*mode == 'v')
    for (int i = 0; i < FIELD_COUNT; i++) read_value(i, record_member(r, i));
}

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static char *read_file (const char *path, size_t *length) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) exit(2);
  fseek(file, 0, SEEK_END);
  *length = (size_t)ftell(file);
  rewind(file);
  char *text = (char *)malloc(*length + 1);
  if (text == NULL || fread(text, 1, *length, file) != *length) exit(2);
  fclose(file);
  return text;
}

int main (int argc, char **argv) {
  size_t length;
  if (argc < 4) return 2;
  char *text = read_file(argv[1], &length), *end = text + length;
  struct record *r = (struct record *)malloc(sizeof *r + length);
  double best = 1e300;
  long count = 0;
  for (int pass = atoi(argv[2]); pass > 0; pass--) {
    double start = now();
    count = 0;
    for (char *p = text, *newline; p < end && (newline = (char *)memchr(p, '\n', (size_t)(end - p))); p = newline + 1) {
      decode(r, p, (size_t)(newline - p), argv[3]);
      count++;
    }
    double taken = (now() - start) / (double)count;
    if (taken < best) best = taken;
  }
  printf("%.1f ns a record, %ld records, %g\n", best, count, sum);
  free(r);
  free(text);
  return 0;
}

/*
** Holds money_parse, money_add, money_subtract, money_format and money_double to the lines of costs.py (COUNT SEED) on
** standard input. The one argument is a locale, whose decimal comma must change nothing.
**
** Prints how many amounts were exact, rounded and beyond the range, and how many sums did not fit. Exit status: 1 at the
** first difference, with the line; 9 where the system has no such locale; 2 on misuse.
*/
#include "money.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum column { AMOUNT, VERDICT, VALUE, WHAT, FITS, SUM, DOUBLE, COLUMNS };

static const char *const verdicts[] = { "exact", "rounded", "overflow" };  /* as enum money_status */

static bool split (char *line, char *column[COLUMNS]) {
  char *newline = strchr(line, '\n');
  if (newline == NULL) return false;
  *newline = '\0';
  for (int i = 0; i < COLUMNS; i++) {
    column[i] = line;
    line += strcspn(line, "\t");
    if (*line == '\0') return i == COLUMNS - 1;
    if (i == AMOUNT) line++;  /* the tab stays: something stands behind a number in JSON */
    else *line++ = '\0';
  }
  return false;
}

/* What is wrong, or NULL. */
static const char *check (char *column[COLUMNS], struct money *sum, enum money_status *status, bool *fits) {
  struct money value;
  char text[MONEY_TEXT_SIZE];
  *fits = true;
  *status = money_parse(&value, column[AMOUNT]);
  if (strcmp(column[VERDICT], verdicts[*status]) != 0) return verdicts[*status];
  if (*status == MONEY_OVERFLOW) return NULL;
  if (money_format(text, &value) != strlen(text)) return "money_format says another length";
  if (strcmp(column[VALUE], text) != 0) return "another value";
  switch (*column[WHAT]) {
    case '+': *fits = money_add(sum, &value); break;
    case '-': *fits = money_subtract(sum, &value); break;
    default: *sum = value;
  }
  if (*fits != (*column[FITS] == '1')) return *fits ? "the sum fits" : "the sum does not fit";
  if (money_format(text, sum) != strlen(text)) return "money_format says another length of the sum";
  if (strcmp(column[SUM], text) != 0) return "another sum";
  double number = money_double(sum);
  uint64_t bits;
  memcpy(&bits, &number, sizeof bits);
  return bits == strtoull(column[DOUBLE], NULL, 16) ? NULL : "another double";
}

int main (int argc, char **argv) {
  static char line[65536], copy[65536];
  char *column[COLUMNS];
  long counts[3] = { 0, 0, 0 }, refused = 0;
  struct money sum = { 0, 0 };
  if (argc != 2) return 2;
  if (setlocale(LC_ALL, argv[1]) == NULL) return 9;
  while (fgets(line, sizeof line, stdin) != NULL) {
    strcpy(copy, line);
    enum money_status status;
    bool fits;
    if (!split(line, column)) return 2;
    const char *wrong = check(column, &sum, &status, &fits);
    if (wrong != NULL) {
      printf("%s: %s", wrong, copy);
      return 1;
    }
    counts[status]++;
    refused += !fits;
  }
  printf("%ld exact, %ld rounded, %ld overflow; %ld sums too large\n", counts[0], counts[1], counts[2], refused);
  return 0;
}

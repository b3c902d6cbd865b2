/*
** quote: strings and numbers as JSON text, put into a place of fixed size. Allocates nothing.
*/
#ifndef quote_h
#define quote_h

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTE_NUMBER_SIZE 40

/* The characters of *text up to `end` as they stand between the quotes of a JSON string, as many as fit in out[size].
   *text is left at the first that did not. What is no UTF-8 becomes U+FFFD. Returns the length. */
size_t quote_characters (char *out, size_t size, const char **text, const char *end);

/* The fewest digits that read back as the same double, which must be finite. Returns the length. */
size_t quote_number (char out[QUOTE_NUMBER_SIZE], double number);
size_t quote_integer (char out[QUOTE_NUMBER_SIZE], int64_t number);

/* A place that is being filled. Each function puts all it is given, or returns false and leaves the place as it was. */
struct place {
  char *bytes;
  size_t length, size;
};

bool place_put (struct place *to, const char *bytes, size_t length);
bool place_put_string (struct place *to, const char *text, size_t length);  /* as a JSON string, with its quotes */

#endif

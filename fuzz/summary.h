/*
** summary: all that the decoder finds in a text, for comparing two builds of it. summary.c is compiled with the decoder as
** users have it, and once more, as simple_summarize, with the decoder whose fast paths are switched off.
*/
#ifndef summary_h
#define summary_h

#include "record.h"

struct number_summary {
  bool is_double, is_integer;
  uint64_t bits;  /* of the double */
  int64_t integer;
  enum money_status status;
  uint64_t low, high;  /* of the money */
};

struct summary {
  enum record_kind kind;
  const char *message;  /* of RECORD_INVALID, like byte */
  size_t byte, part, object, answer, context, at;
  struct {
    size_t at;  /* 0: absent */
    enum value_state state;
    struct number_summary number;
  } field[FIELD_COUNT];
  bool has_spend;
  uint64_t spend_low, spend_high;
  uint64_t values;  /* a hash of every value, name and number in the text */
};

/* text[length] is a NUL */
void summarize (struct summary *out, const char *text, size_t length);
void simple_summarize (struct summary *out, const char *text, size_t length);

#endif

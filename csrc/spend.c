#include "spend.h"

static bool figure (const struct record *r, int field) { return record_state(r, field) == VALUE_PRESENT; }

/* What is in the range of money is a figure, so that nearly always one look is enough. */
const char *record_cost (const struct record *r, struct money *cost) {
#ifndef OPENROUTER_NO_FAST_NUMBERS
  const char *json = record_member(r, FIELD_total_cost);
  if (json && json_is_number(json) && money_parse(cost, json) != MONEY_OVERFLOW) return NULL;
#endif
  int field = figure(r, FIELD_total_cost) ? FIELD_total_cost : FIELD_usage;
  if (!figure(r, field)) return "neither total_cost nor usage has a figure";
  if (money_parse(cost, record_member(r, field)) == MONEY_OVERFLOW) return "the cost is beyond the range of money";
  return NULL;
}

static const char *upstream_cost (const struct record *r, struct money *upstream) {
  if (!figure(r, FIELD_upstream_inference_cost)) return "is_byok without an upstream_inference_cost";
  if (money_parse(upstream, record_member(r, FIELD_upstream_inference_cost)) == MONEY_OVERFLOW)
    return "the upstream cost is beyond the range of money";
  return NULL;
}

/* Both parts, and their sum where somebody wants it. */
static const char *read_parts (const struct record *r, struct money *cost, struct money *upstream, struct money *sum) {
  const char *why = record_cost(r, cost);
  const struct money nothing = { 0, 0 };
  *upstream = nothing;
  if (why == NULL) {
    switch (record_state(r, FIELD_is_byok)) {
      case VALUE_ABSENT: break;
      case VALUE_PRESENT:
        if (*record_member(r, FIELD_is_byok) == 't') why = upstream_cost(r, upstream);
        break;
      default: why = "is_byok is neither true nor false";
    }
  }
  *sum = *cost;
  if (why == NULL && !money_add(sum, upstream)) why = "the upstream cost is beyond the range of money";
  return why;
}

const char *record_spend (const struct record *r, struct money *spend) {
  struct money cost, upstream;
  return read_parts(r, &cost, &upstream, spend);
}

const char *record_spend_parts (const struct record *r, struct money *cost, struct money *upstream) {
  struct money sum;
  return read_parts(r, cost, upstream, &sum);
}

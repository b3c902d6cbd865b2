#include "spend.h"

static bool figure (const struct record *r, int field) { return record_state(r, field) == VALUE_PRESENT; }

static const char *base_cost (const struct record *r, struct money *cost) {
  int field = figure(r, FIELD_total_cost) ? FIELD_total_cost : FIELD_usage;
  if (!figure(r, field)) return "neither total_cost nor usage has a figure";
  if (money_parse(cost, record_member(r, field)) == MONEY_OVERFLOW) return "the cost is beyond the range of money";
  return NULL;
}

static const char *add_upstream (const struct record *r, struct money *spend) {
  struct money upstream;
  if (!figure(r, FIELD_upstream_inference_cost)) return "is_byok without an upstream_inference_cost";
  if (money_parse(&upstream, record_member(r, FIELD_upstream_inference_cost)) == MONEY_OVERFLOW
      || !money_add(spend, &upstream))
    return "the upstream cost is beyond the range of money";
  return NULL;
}

const char *record_spend (const struct record *r, struct money *spend) {
  const char *why = base_cost(r, spend);
  if (why != NULL) return why;
  switch (record_state(r, FIELD_is_byok)) {
    case VALUE_ABSENT: return NULL;
    case VALUE_PRESENT: return *record_member(r, FIELD_is_byok) == 't' ? add_upstream(r, spend) : NULL;
    default: return "is_byok is neither true nor false";
  }
}

#include "tally_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tally that wants them has spend as its first measure. */
static bool spend_of (const struct part *part, struct money *spend) {
  spend->low = part->word[0];
  spend->high = part->word[1];
  return part->fate == FATE_COUNTED && (part->present & 1);
}

static int compare_money (const struct money *a, const struct money *b) {
  const uint64_t sign = UINT64_C(1) << 63, high_a = a->high ^ sign, high_b = b->high ^ sign;
  if (high_a != high_b) return high_a < high_b ? -1 : 1;
  return a->low == b->low ? 0 : a->low < b->low ? -1 : 1;
}

/* One that is left out is never dearer than any in the list. So once there was one, the list does not grow at its end: what
   comes there may be less dear than what was left out. */
bool dearest_wants (struct tally *t, const struct part *part) {
  struct money spend;
  const int count = t->dearest_count;
  if (t->declaration.dearest == 0 || !spend_of(part, &spend)) return false;
  if (count < MOST_DEAREST && !t->dearest_beyond) return true;
  t->dearest_beyond = true;
  return count > 0 && compare_money(&spend, &t->dearest[count - 1].spend) >= 0;
}

/* Whether the first is dearer; of two that cost the same, the one whose text is greater, so that the order they came in does
   not matter. */
static bool is_dearer (const struct dearest *a, const struct dearest *b) {
  const int by_spend = compare_money(&a->spend, &b->spend);
  if (by_spend != 0) return by_spend > 0;
  const int by_text = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
  return by_text != 0 ? by_text > 0 : a->length > b->length;
}

void dearest_insert (struct tally *t, const struct dearest *one) {
  int i = t->dearest_count;
  const bool full = i == MOST_DEAREST;
  t->dearest_beyond = t->dearest_beyond || full;
  if (t->dearest_beyond && (i == 0 || !is_dearer(one, &t->dearest[i - 1]))) {
    free(one->text);
    return;
  }
  if (full) free(t->dearest[--i].text);
  else t->dearest_count++;
  for (; i > 0 && is_dearer(one, &t->dearest[i - 1]); i--) t->dearest[i] = t->dearest[i - 1];
  t->dearest[i] = *one;
}

void dearest_add (struct tally *t, const struct part *part, uint64_t place, char *text, size_t length) {
  struct dearest one = { { 0, 0 }, place, text, length };
  spend_of(part, &one.spend);
  dearest_insert(t, &one);
}

bool dearest_missing (const struct tally *t) {
  return t->dearest_beyond && t->dearest_count < t->declaration.dearest;
}

void dearest_remove (struct tally *t, uint64_t place) {
  int i = 0;
  while (i < t->dearest_count && t->dearest[i].place != place) i++;
  if (i == t->dearest_count) return;
  free(t->dearest[i].text);
  t->dearest_count--;
  memmove(&t->dearest[i], &t->dearest[i + 1], (size_t)(t->dearest_count - i) * sizeof t->dearest[0]);
  if (dearest_missing(t)) t->stale = true;
}

static char *append (char *out, const char *text, size_t length) {
  memcpy(out, text, length);
  return out + length;
}

char *dearest_text (struct tally *t, const struct record *r, size_t *length) {
  static const int shown[] = { FIELD_id, FIELD_created_at, FIELD_model, FIELD_provider_name, FIELD_external_user,
                               FIELD_native_tokens_prompt, FIELD_native_tokens_completion, FIELD_total_cost, FIELD_usage,
                               FIELD_is_byok, FIELD_upstream_inference_cost };
  enum { SHOWN = sizeof shown / sizeof shown[0], LONGEST_NAME = 40 };
  if (!buffer_reserve(&t->shown, (size_t)r->length + SHOWN * LONGEST_NAME + 3)) return NULL;
  char *end = append(t->shown.bytes, "{", 1);
  for (int i = 0; i < SHOWN; i++) {
    const char *json = record_member(r, shown[i]);
    if (json == NULL || *json == '{' || *json == '[') continue;
    end += sprintf(end, "%s\"%s\":", end[-1] == '{' ? "" : ",", field_info[shown[i]].name);
    end = append(end, json, (size_t)(json_skip(json) - json));
  }
  end = append(end, "}", 1);
  *length = (size_t)(end - t->shown.bytes);
  char *copy = (char *)malloc(*length);
  return copy ? (char *)memcpy(copy, t->shown.bytes, *length) : NULL;
}

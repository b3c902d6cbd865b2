#include "tally_private.h"

#include "spend.h"

#include <string.h>

bool measure_is_money (const struct tally_measure *m) {
  switch (m->kind) {
    case TALLY_SPEND: case TALLY_SPEND_OPENROUTER: case TALLY_SPEND_UPSTREAM: case TALLY_CHARGED: case TALLY_FAILED_LATENCY:
      return true;
    default: return m->kind == TALLY_SUM && field_info[m->field].type == TYPE_MONEY;
  }
}

bool measure_is_time (const struct tally_measure *m) { return m->kind == TALLY_FIRST || m->kind == TALLY_LAST; }

size_t measure_words (const struct tally_measure *m) { return measure_is_money(m) ? 2 : 1; }

/* ---- attempts ---------------------------------------------------------------------------------------------------- */

bool attempt_failed (const char *response) {
  double number;
  const char *status = *response == '{' ? json_member(response, "status", 6) : NULL;
  if (status == NULL) return false;
  if (*status == 'n') return true;
  return json_is_number(status) && !(json_double(status, &number) && number >= 200 && number < 300);
}

bool attempt_latency (const char *response, struct money *ms) {
  const char *latency = *response == '{' ? json_member(response, "latency", 7) : NULL;
  return latency && json_is_number(latency) && *latency != '-' && money_parse(ms, latency) != MONEY_OVERFLOW;
}

static const char *attempts_of (const struct record *r) {
  const char *p = record_member(r, FIELD_provider_responses);
  return p != NULL && *p == '[' ? p : NULL;
}

static uint64_t failed_attempts (const struct record *r) {
  uint64_t count = 0;
  const char *p = attempts_of(r), *response;
  if (p == NULL) return 0;
  while (json_next_item(&p, &response)) count += attempt_failed(response);
  return count;
}

static bool failed_latency (const struct record *r, struct money *sum) {
  struct money ms;
  bool known = false;
  const char *p = attempts_of(r), *response;
  memset(sum, 0, sizeof *sum);
  if (p == NULL) return false;
  while (json_next_item(&p, &response))
    if (attempt_failed(response) && attempt_latency(response, &ms) && money_add(sum, &ms)) known = true;
  return known;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool store_money (uint64_t *word, const struct money *m) {
  word[0] = m->low;
  word[1] = m->high;
  return true;
}

static bool read_sum (int field, const char *json, uint64_t *word) {
  struct money money;
  int64_t integer;
  if (json == NULL || !json_is_number(json)) return false;
  if (field_info[field].type == TYPE_MONEY)
    return money_parse(&money, json) != MONEY_OVERFLOW && store_money(word, &money);
  if (!json_integer(json, &integer)) return false;
  *word = (uint64_t)integer;
  return true;
}

static bool read_spread (int field, const char *json, uint64_t *word) {
  double number;
  int64_t integer;
  if (json == NULL || !json_is_number(json) || !json_double(json, &number)) return false;
  if (field_info[field].type == TYPE_INTEGER && !json_integer(json, &integer)) return false;
  int bucket = histogram_bucket(number);
  *word = (uint64_t)bucket;
  return bucket >= 0;
}

static bool read_spend (enum tally_measure_kind kind, const struct record *r, uint64_t *word) {
  struct money cost, upstream;
  if (kind == TALLY_SPEND) return record_spend(r, &cost) == NULL && store_money(word, &cost);
  return record_spend_parts(r, &cost, &upstream) == NULL
    && store_money(word, kind == TALLY_SPEND_UPSTREAM ? &upstream : &cost);
}

static bool is_true (const struct record *r, int field) {
  const char *json = record_member(r, field);
  return json && *json == 't';
}

static uint64_t request_hash (const struct tally *t, const struct record *r, uint64_t unique) {
  size_t length;
  const char *json = record_member(r, FIELD_request_id);
  if (json == NULL || *json != '"') return hash_bytes(t->secret, (const char *)&unique, sizeof unique);
  json = json_string(json, &length);
  if (memchr(json, '\\', length) == NULL) return hash_bytes(t->secret, json, length);
  length = json_unescape(t->key.bytes, json, length);  /* which has room for all of the record */
  return hash_bytes(t->secret, t->key.bytes, length);
}

static bool read_value (const struct tally *t, const struct tally_measure *m, const struct record *r, uint64_t unique,
                        uint64_t *word) {
  struct money value;
  switch (m->kind) {
    case TALLY_SPEND: case TALLY_SPEND_OPENROUTER: case TALLY_SPEND_UPSTREAM: return read_spend(m->kind, r, word);
    case TALLY_CHARGED: return record_cost(r, &value) == NULL && store_money(word, &value);
    case TALLY_SUM: return read_sum(m->field, record_member(r, m->field), word);
    case TALLY_SPREAD: return read_spread(m->field, record_member(r, m->field), word);
    case TALLY_CANCELLED: *word = is_true(r, FIELD_cancelled); return true;
    case TALLY_BYOK: *word = is_true(r, FIELD_is_byok); return true;
    case TALLY_FAILED_ATTEMPTS: *word = failed_attempts(r); return true;
    case TALLY_FAILED_LATENCY: return failed_latency(r, &value) && store_money(word, &value);
    case TALLY_REQUESTS: *word = request_hash(t, r, unique); return true;
    default:
      if (t->moment.known) memcpy(word, &t->moment.at, sizeof *word);
      return t->moment.known;
  }
}

void part_read_values (const struct tally *t, struct part *part, const struct record *r, uint64_t unique) {
  part->present = 0;
  for (int i = 0; i < t->declaration.measures; i++)
    if (read_value(t, &t->declaration.measure[i], r, unique, &part->word[t->word_at[i]])) part->present |= (uint64_t)1 << i;
}

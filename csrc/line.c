#include "line.h"

#include "json.h"
#include "lookup.h"
#include "utc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- a context ------------------------------------------------------------------------------------------------- */

void line_complain (struct line_problem *problem, const char *name, size_t length, const char *words) {
  char shown[64];
  if (problem->text[0] != '\0') return;
  size_t n = quote_characters(shown, sizeof shown, &name, name + length);  /* a log wants no control characters */
  snprintf(problem->text, sizeof problem->text, "context: %.*s %s", (int)n, shown, words);
}

static int compare (const char *a, size_t a_length, const char *b, size_t b_length) {
  int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
  return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

static void note_beyond (struct line_context *c, const char *name, size_t length) {
  if (c->beyond != NULL && compare(c->beyond, c->beyond_length, name, length) <= 0) return;
  c->beyond = name;
  c->beyond_length = length;
}

void line_context_add (struct line_context *c, const char *name, size_t length, const struct line_value *value) {
  int at = c->kept;
  c->given++;
  while (at > 0 && compare(c->member[at - 1].name, c->member[at - 1].length, name, length) > 0) at--;
  if (at == LINE_MAX_NAMES) {
    note_beyond(c, name, length);
    return;
  }
  if (c->kept == LINE_MAX_NAMES) {
    c->kept--;
    note_beyond(c, c->member[c->kept].name, c->member[c->kept].length);
  }
  memmove(&c->member[at + 1], &c->member[at], (size_t)(c->kept - at) * sizeof c->member[0]);
  c->member[at].name = name;
  c->member[at].length = length;
  c->member[at].value = *value;
  c->kept++;
}

static bool put_value (struct place *to, const struct line_value *value) {
  char number[QUOTE_NUMBER_SIZE];
  switch (value->type) {
    case LINE_STRING: return place_put_string(to, value->string, value->length);
    case LINE_BOOLEAN: return value->boolean ? place_put(to, "true", 4) : place_put(to, "false", 5);
    case LINE_INTEGER: return place_put(to, number, quote_integer(number, value->integer));
    default: return place_put(to, number, quote_number(number, value->number));
  }
}

/* Put a member behind the others of an object whose '{' is in the place; it stays as it was where that does not fit. */
static bool put_member (struct place *to, const struct line_member *member) {
  size_t before = to->length;
  if ((before == 1 || place_put(to, ",", 1)) && place_put_string(to, member->name, member->length) && place_put(to, ":", 1)
      && put_value(to, &member->value))
    return true;
  to->length = before;
  return false;
}

/* Whether two names are one in JSON, where whatever is no UTF-8 looks the same. */
static bool same_name (const struct line_member *a, const struct line_member *b) {
  const char *p = a->name, *q = b->name, *p_end = p + a->length, *q_end = q + b->length;
  char one[16], other[16];
  while (p < p_end && q < q_end) {
    size_t n = quote_characters(one, sizeof one, &p, p_end);
    if (quote_characters(other, sizeof other, &q, q_end) != n || memcmp(one, other, n) != 0) return false;
  }
  return p == p_end && q == q_end;
}

static bool is_twice (const struct line_context *c, int i) {
  for (int j = 0; j < i; j++)
    if (same_name(&c->member[j], &c->member[i])) return true;
  return false;
}

size_t line_context_write (char out[LINE_MAX_CONTEXT], const struct line_context *c, struct line_problem *problem) {
  struct place to = { out, 0, LINE_MAX_CONTEXT - 1 };
  char words[80];
  place_put(&to, "{", 1);
  for (int i = 0; i < c->kept; i++) {
    bool twice = is_twice(c, i);
    if (!twice && put_member(&to, &c->member[i])) continue;
    snprintf(words, sizeof words, twice ? "is there twice" : "does not fit, %d bytes at most", LINE_MAX_CONTEXT);
    line_complain(problem, c->member[i].name, c->member[i].length, words);
  }
  if (c->beyond != NULL) {
    snprintf(words, sizeof words, "is one too many: %lu names, %d at most", (unsigned long)c->given, LINE_MAX_NAMES);
    line_complain(problem, c->beyond, c->beyond_length, words);
  }
  if (to.length == 1) return 0;
  out[to.length] = '}';
  return to.length + 1;
}

/* ---- two contexts in one --------------------------------------------------------------------------------------- */

#define MOST_MERGED 64  /* members that are looked at in either, so that damage costs no time */

static const char *checked_object (const char *text, size_t length) {
  if (text == NULL || *text != '{' || length > LINE_MAX_MERGED) return NULL;
  struct json_check check = { text + length, NULL, NULL };
  return json_check_value(text, 0, &check) == text + length ? text : NULL;
}

/* The last value of this name that a flat object may have. */
static const char *flat_member (const char *object, const char *name, size_t length) {
  const char *p = object, *found = NULL, *raw, *value;
  size_t raw_length;
  while (object != NULL && json_next_member(&p, &raw, &raw_length, &value))
    if (strchr("{[n", *value) == NULL && json_string_is(raw, raw_length, name, length)) found = value;
  return found;
}

/* The bytes of a member as they are: those behind the place's end are there for the object to be read back. */
static bool put_raw (struct place *to, const char *raw, size_t length, const char *value) {
  size_t before = to->length;
  if ((before == 1 || place_put(to, ",", 1)) && place_put(to, "\"", 1) && place_put(to, raw, length)
      && place_put(to, "\":", 2) && place_put(to, value, (size_t)(json_skip(value) - value))) {
    memcpy(to->bytes + to->length, "}", 2);
    return true;
  }
  to->length = before;
  memcpy(to->bytes + to->length, "}", 2);
  return false;
}

static void merge_members (struct place *to, const char *object, const char *a, const char *b) {
  const char *p = object, *raw, *value;
  char name[LINE_MAX_MERGED];
  size_t raw_length;
  for (int i = 0; i < MOST_MERGED && object != NULL && json_next_member(&p, &raw, &raw_length, &value); i++) {
    size_t length = json_unescape(name, raw, raw_length);
    if (flat_member(to->bytes, name, length) != NULL) continue;
    value = flat_member(b, name, length);
    if (value == NULL) value = flat_member(a, name, length);
    if (value != NULL) put_raw(to, raw, raw_length, value);
  }
}

size_t line_merge (char out[LINE_MAX_MERGED], const char *a, size_t a_length, const char *b, size_t b_length) {
  struct place to = { out, 1, LINE_MAX_MERGED - 2 };
  a = checked_object(a, a_length);
  b = checked_object(b, b_length);
  memcpy(out, "{}", 3);
  merge_members(&to, a, a, b);
  merge_members(&to, b, a, b);
  return to.length == 1 ? 0 : to.length + 1;
}

/* ---- a line ---------------------------------------------------------------------------------------------------- */

static bool starts_with (const char *p, const char *end, const char *what, size_t length) {
  return (size_t)(end - p) >= length && memcmp(p, what, length) == 0;
}

#define STARTS_WITH(p, end, what) starts_with(p, end, what, sizeof what - 1)
#define PENDING "{\"pending\":\""
#define NOTE "{\"note\":\""
#define OPEN "\"" ",\"open\":"

bool line_read_head (const char *text, size_t length, struct line_head *head) {
  const char *p = text, *end = text + length;
  memset(head, 0, sizeof *head);
  if (STARTS_WITH(p, end, PENDING)) p += sizeof PENDING - 1;
  else if (STARTS_WITH(p, end, NOTE)) p += sizeof NOTE - 1;
  else return false;
  size_t most = (size_t)(end - p) < LOOKUP_ID_MAX + 1 ? (size_t)(end - p) : LOOKUP_ID_MAX + 1;
  const char *quote = (const char *)memchr(p, '"', most);
  if (quote == NULL || !lookup_id_valid(p, (size_t)(quote - p))) return false;
  head->kind = text[2] == 'p' ? LINE_PENDING : LINE_NOTE;
  head->id = p;
  head->id_length = (size_t)(quote - p);
  head->open = !STARTS_WITH(quote, end, OPEN "false");
  if (!head->open || STARTS_WITH(quote, end, OPEN "true ")) head->mark = (size_t)(quote - text) + sizeof OPEN - 1;
  return true;
}

#define PUT(to, literal) place_put(to, literal, sizeof literal - 1)

/* JSON has these between tokens only, where a space does as well. */
static void blank (char *text, size_t length, char c) {
  for (char *p = text; (p = (char *)memchr(p, c, length - (size_t)(p - text))) != NULL;) *p = ' ';
}

static void put_instant (struct place *to, const struct line_text *instant) {
  PUT(to, ",\"instant\":");
  char *text = to->bytes + to->length;
  memcpy(text, instant->bytes, instant->length);
  blank(text, instant->length, '\n');
  blank(text, instant->length, '\r');
  blank(text, instant->length, '\t');
  to->length += instant->length;
}

static bool fits (const struct line_text *text, size_t most, const char *name, struct line_problem *problem) {
  if (text->bytes != NULL && text->length <= most) return true;
  if (text->bytes != NULL && problem->text[0] == '\0')
    snprintf(problem->text, sizeof problem->text, "%s: longer than %lu bytes", name, (unsigned long)most);
  return false;
}

size_t line_write (char out[LINE_SIZE], const struct line *line, struct line_problem *problem) {
  struct place to = { out, 0, LINE_SIZE };
  char time[UTC_SIZE];
  size_t length = utc_format(time, line->at);
  if (line->head.kind == LINE_PENDING) PUT(&to, PENDING);
  else PUT(&to, NOTE);
  place_put(&to, line->head.id, line->head.id_length);
  PUT(&to, OPEN "true ");
  if (length > 0) {
    PUT(&to, ",\"at\":");
    place_put_string(&to, time, length);
  }
  if (fits(&line->key, LINE_MAX_KEY, "key", problem)) {
    PUT(&to, ",\"key\":");
    place_put_string(&to, line->key.bytes, line->key.length);
  }
  if (line->interrupted) PUT(&to, ",\"interrupted\":true");
  if (fits(&line->context, LINE_MAX_CONTEXT, "context", problem)) {
    PUT(&to, ",\"context\":");
    place_put(&to, line->context.bytes, line->context.length);
  }
  if (fits(&line->instant, LINE_MAX_INSTANT, "instant", problem)) put_instant(&to, &line->instant);
  PUT(&to, "}");
  return to.length;
}

static bool is_name (const char *name, size_t length, const char *wanted) {
  return json_string_is(name, length, wanted, strlen(wanted));
}

/* Of several members of one name the last counts. */
static void read_text (const char *value, char first, struct line_text *text) {
  text->bytes = NULL;
  if (*value != first) return;
  text->bytes = value;
  if (first == '"') text->bytes = json_string(value, &text->length);
  else text->length = (size_t)(json_skip(value) - value);
}

bool line_read (const char *text, size_t length, struct line *line) {
  struct json_check check = { text + length, NULL, NULL };
  struct line_text at = { NULL, 0 };
  size_t name_length;
  memset(line, 0, sizeof *line);
  line->at = HUGE_VAL;
  if (!line_read_head(text, length, &line->head)) return false;
  const char *end = json_check_value(text, 0, &check);
  if (end == NULL || json_space(end) != text + length) return true;
  for (const char *p = text, *name, *value; json_next_member(&p, &name, &name_length, &value);) {
    if (is_name(name, name_length, "at")) read_text(value, '"', &at);
    else if (is_name(name, name_length, "key")) read_text(value, '"', &line->key);
    else if (is_name(name, name_length, "context")) read_text(value, '{', &line->context);
    else if (is_name(name, name_length, "instant")) read_text(value, '{', &line->instant);
    else if (is_name(name, name_length, "interrupted")) line->interrupted = *value == 't';
  }
  if (at.bytes == NULL || !utc_parse(at.bytes, at.length, &line->at)) line->at = HUGE_VAL;
  return true;
}

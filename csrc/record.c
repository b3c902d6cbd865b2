#include "record.h"

#include "plain.h"

#include <stdio.h>
#include <string.h>

/* Members of the outermost object that say what the text is. */
enum mark { MARK_settled, MARK_data, MARK_answer, MARK_error, MARK_pending, MARK_note, MARK_failed, MARK_context,
            MARK_at, MARK_NAMES, MARK_answer_data = MARK_NAMES, MARK_COUNT };

static const char *const mark_name[MARK_NAMES] = { "settled", "data", "answer", "error", "pending", "note", "failed",
                                                   "context", "at" };

static int find_mark (const char *raw, size_t length) {
  for (int i = 0; i < MARK_NAMES; i++)
    if (json_string_is(raw, length, mark_name[i], strlen(mark_name[i]))) return i;
  return -1;
}

/* A member's name may be spelt with escapes, of up to 6 bytes a character; no known name has more than 40. */
static int find_field (const char *raw, size_t length) {
  char name[40 * 6];
  int field = field_find(raw, length);
  if (field >= 0 || length > sizeof name || memchr(raw, '\\', length) == NULL) return field;
  return field_find(name, json_unescape(name, raw, length));
}

static uint32_t offset_of (const struct record *r, const char *p) { return p ? (uint32_t)(p - r->text) : 0; }

#if defined(USES_SSE2) && !defined(OPENROUTER_NO_PREDICTION)

/* Whether the name at p is spelt like this; `first`: with whatever stands before its quote. */
static inline bool is_spelt (const char *p, const struct field_spelling *s, bool first) {
  return (sse2_same(p, s->text) | s->beyond | first) == UINT32_MAX
         && (s->length <= 32 || memcmp(p + 32, s->text + 32, s->length - 32) == 0);
}

/*
** Index members as long as they are those of the table from *next on, and plain: nearly all of a record is, so this loop is what
** decoding takes. Returns where it stopped, behind a member or (`first`) at the '{' that it began with.
*/
static inline const char *index_plain (struct record *r, const char *p, int *next, bool first, const char *end) {
  const struct field_spelling *s = field_spelling + *next;
  int field = *next;
  if (end - p < FIELD_SPELT || memcmp(p + 1, s->text + 1, 4) != 0) return p;  /* soon, where members are in another order */
  for (; field < FIELD_COUNT && end - p >= FIELD_SPELT + PLAIN_AHEAD && is_spelt(p, s, first); field++, s++) {
    const char *value = p + s->length, *after = plain_value(value, end);
    if (after == NULL) break;
    r->member[field] = (uint32_t)(value - r->text);
    p = after;
    first = false;
  }
  *next = field;
  return p;
}

#else

static const char *index_plain (struct record *r, const char *p, int *next, bool first, const char *end) {
  (void)r, (void)next, (void)first, (void)end;
  return p;
}

#endif

#ifndef OPENROUTER_NO_PREDICTION

/*
** Members mostly come in the table's order, and then a name need not be looked for, only compared. If the next member is
** called as `field` is, its value, else NULL (and where there is white space before the comma, but none behind: that is rare, and
** the name is looked for). p is behind the member before. Without white space one comparison does it.
*/
static inline const char *pass_expected (const char *p, int field, const char *end) {
  const struct field_spelling *s = &field_spelling[field];
  const size_t n = s->length;
  if ((size_t)(end - p) >= n && memcmp(p, s->text, 4) == 0 && field_same(p, s->text, n)) return json_space(p + n);
  p = json_space(p);
  if (*p != ',' || p[1] == '"') return NULL;
  p = json_space(p + 1);
  return (size_t)(end - p) >= n && field_same(p, s->text + 1, n - 1) ? json_space(p + n - 1) : NULL;
}

#else

static const char *pass_expected (const char *p, int field, const char *end) {
  (void)p, (void)field, (void)end;
  return NULL;
}

#endif

/* What pass_member finds besides fields; -1 is field_find's. */
enum { UNKNOWN = -1, END = -2 };

#define NOT_INDEXED UINT32_MAX  /* as `object`: none yet; no text is that long */

/* Pass the next member, whatever it is: *field is which one, UNKNOWN or END. Returns its value, or what json_check_member
   leaves at the end. */
static const char *pass_member (const char *p, struct json_walk *walk, int *field, struct json_check *check) {
  *field = END;
  if (json_check_member(&p, walk, check)) *field = find_field(walk->name, walk->name_length);
  return p;
}

/* Check the object at p and note where its known members' values are. */
static const char *index_members (struct record *r, const char *p, int depth, struct json_check *check) {
  struct json_walk walk = { NULL, 0, false };
  int next = 0;
  r->object = offset_of(r, p);
  memset(r->member, 0, sizeof r->member);
  for (bool first = true;; first = false) {
    if (next < FIELD_COUNT) p = index_plain(r, p, &next, first, check->end);
    if (first) {
      walk.inside = next > 0;
      if (next == 0) p++, next = FIELD_COUNT;
    }
    const char *value = next < FIELD_COUNT ? pass_expected(p, next, check->end) : NULL;
    if (value == NULL) {
      int field;
      value = pass_member(p, &walk, &field, check);
      if (field == END) return value;
      if (field == UNKNOWN) {
        if ((p = json_check_value(value, depth, check)) == NULL) return NULL;
        continue;
      }
      next = field;
    }
    if ((p = json_check_value(value, depth, check)) == NULL) return NULL;
    r->member[next++] = (uint32_t)(value - r->text);
  }
}

/* The depth from which a ledger line's answer is counted: less than outside, so that whatever was decoded can be read back. */
#define INSIDE_ANSWER 0

/* Check the object at p and mark its members. A `data` object is indexed on the way, as it is nearly always the record;
   so is that of a ledger line's `answer`, one level down. */
static const char *scan (struct record *r, const char *p, int depth, const char *mark[], struct json_check *check) {
  struct json_walk walk = { NULL, 0, false };
  for (p++; json_check_member(&p, &walk, check);) {
    int found = find_mark(walk.name, walk.name_length);
    if (depth == INSIDE_ANSWER && found != MARK_data) found = -1;
    if (found == MARK_answer) mark[MARK_answer_data] = NULL;  /* that of an answer before this one */
    if (found >= 0) mark[depth == INSIDE_ANSWER ? MARK_answer_data : found] = p;
    if (found == MARK_data && *p == '{') p = index_members(r, p, depth + 1, check);
    else if (found == MARK_answer && *p == '{') p = scan(r, p, INSIDE_ANSWER, mark, check);
    else p = json_check_value(p, depth, check);
    if (p == NULL) return NULL;
  }
  return p;
}

static bool is_object (const char *p) { return p != NULL && *p == '{'; }

/* The text has passed the check already, so indexing an object of it that is not the one indexed last cannot fail,
   with the depth counted from the least it was checked with. */
static void choose_object (struct record *r, const char *answer, const char *object) {
  struct json_check none = { r->text + r->length, NULL, NULL };
  r->answer = offset_of(r, answer);
  if (r->object != offset_of(r, object)) index_members(r, object, INSIDE_ANSWER, &none);
}

/* A settled line: its answer holds the record, in a `data` object or bare. */
static void choose_answer (struct record *r, const char *mark[]) {
  const char *data = mark[MARK_answer_data];
  r->context = is_object(mark[MARK_context]) ? offset_of(r, mark[MARK_context]) : 0;
  r->at = offset_of(r, mark[MARK_at]);
  choose_object(r, mark[MARK_answer], is_object(data) ? data : mark[MARK_answer]);
}

static enum record_kind choose (struct record *r, const char *outer, const char *mark[], const char **part) {
  if (mark[MARK_settled] && is_object(mark[MARK_answer])) {
    choose_answer(r, mark);
    return RECORD_GENERATION;
  }
  if (is_object(mark[MARK_data])) {
    choose_object(r, outer, mark[MARK_data]);
    return RECORD_GENERATION;
  }
  if (mark[MARK_failed]) {
    *part = is_object(mark[MARK_error]) ? mark[MARK_error] : mark[MARK_failed];
    return RECORD_FAILED;
  }
  if (is_object(mark[MARK_error]) || (mark[MARK_error] && *mark[MARK_error] == '"')) {
    *part = mark[MARK_error];
    return RECORD_API_ERROR;
  }
  if (mark[MARK_pending] || mark[MARK_note]) {
    *part = mark[MARK_pending] ? mark[MARK_pending] : mark[MARK_note];
    return RECORD_OPEN;
  }
  choose_object(r, outer, outer);
  return RECORD_GENERATION;
}

enum record_kind record_index (struct record *r, const char **part, struct json_check *check) {
  const char *mark[MARK_COUNT] = { NULL };
  check->end = r->text + r->length;
  r->object = NOT_INDEXED;
  r->answer = r->context = r->at = 0;
  const char *outer = json_space(r->text), *p = NULL;
  if (outer == r->text + r->length) json_fail(check, "the text is empty", outer);
  else if (memcmp(r->text, "\xFF\xFE", 2) == 0 || memcmp(r->text, "\xFE\xFF", 2) == 0)
    json_fail(check, "it is UTF-16, and must be UTF-8", r->text);
  else if (*outer == '{') p = scan(r, outer, 1, mark, check);
  else if ((p = json_check_value(outer, 0, check)) != NULL) p = json_fail(check, "not an object", outer);
  if (p == NULL) return RECORD_INVALID;
  p = json_space(p);
  if (p != r->text + r->length) {
    json_fail(check, "text follows the end of the object", p);
    return RECORD_INVALID;
  }
  return choose(r, outer, mark, part);
}

/* ---- lines of files ---------------------------------------------------------------------------------------------- */

/* What has no member of a record is none, though decode takes it for an empty one; where a ledger says that it is an answer, it
   is. */
static bool is_generation (const struct record *r) {
  int field = 0;
  while (field < FIELD_COUNT && r->member[field] == 0) field++;
  return field < FIELD_COUNT || r->text + r->answer != json_space(r->text);
}

size_t record_complaint (const struct record *r, const struct json_check *check, char *room) {
  const size_t at = (size_t)(check->at - r->text);
  const char *what = at >= r->length ? "the text ends too early" : check->message;
  if (r->length == 0) what = "the text is empty";
  snprintf(room, RECORD_REASON, "not a JSON object: %s, at byte %lu", what, (unsigned long)at + 1);
  return at + 1;
}

static const char *some_id (const char *json) { return json && *json == '"' && json[1] != '"' ? json : NULL; }

const char *record_id (const struct record *r) {
  const char *id = some_id(record_member(r, FIELD_id)), *outer = json_space(r->text);
  return id || r->text + r->answer == outer ? id : some_id(json_member(outer, "settled", 7));
}

const char *record_unsettled_id (const struct record *r, enum record_kind kind, const char *part) {
  return some_id(kind == RECORD_FAILED ? json_member(json_space(r->text), "failed", 6) : part);
}

bool record_is_blank (const char *line, size_t length) {
  while (length > 0 && memchr(" \t\r\n", line[length - 1], 4)) length--;
  return length == 0;
}

bool record_is_closed (const struct record *r) {
  const char *open = json_member(json_space(r->text), "open", 4);
  return open && *open == 'f';
}

const char *record_refusal (const struct record *r, enum record_kind kind, const char *part, const struct json_check *check,
                            char *room) {
  switch (kind) {
    case RECORD_GENERATION: return is_generation(r) ? NULL : "a JSON object, but no generation record";
    case RECORD_API_ERROR: return "an API error, no record";
    case RECORD_OPEN: case RECORD_FAILED:
      if (kind == RECORD_OPEN && record_is_closed(r)) return NULL;
      return record_unsettled_id(r, kind, part) ? NULL : "a ledger line without an id";
    default:
      record_complaint(r, check, room);
      return room;
  }
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool is_type (enum field_type type, const char *value) {
  int64_t integer;
  double number;
  switch (type) {
    case TYPE_STRING: case TYPE_ENUM: return *value == '"';
    case TYPE_BOOLEAN: return *value == 't' || *value == 'f';
    case TYPE_INTEGER: return json_is_number(value) && json_integer(value, &integer);
    case TYPE_NUMBER: case TYPE_MONEY: return json_is_number(value) && json_double(value, &number);
    default: return *value == '[';
  }
}

enum value_state value_state (enum field_type type, const char *value) {
  if (value == NULL) return VALUE_ABSENT;
  if (*value == 'n') return VALUE_NULL;
  return is_type(type, value) ? VALUE_PRESENT : VALUE_MISMATCH;
}

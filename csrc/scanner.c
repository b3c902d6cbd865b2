#include "scanner.h"

#include "json.h"

#include <string.h>

static const char done_mark[] = "[DONE]";
#define DONE_LENGTH (sizeof done_mark - 1)

static bool is_space (char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* ---- keeping --------------------------------------------------------------------------------------------------- */

/* Append to the token or the usage being read; from the first piece that does not fit on, it is too large. */
static void append (struct scanner *s, const char *p, size_t n) {
  char *text = s->keeps_usage ? s->usage[!s->usage_kept] : s->token + 1;
  size_t *length = s->keeps_usage ? &s->usage_length[!s->usage_kept] : &s->token_length;
  size_t room = (s->keeps_usage ? SCANNER_MAX_USAGE : SCANNER_MAX_TOKEN) - *length;
  if (s->too_large || n > room) {
    s->too_large = true;
    return;
  }
  memcpy(text + *length, p, n);
  *length += n;
}

static void start_token (struct scanner *s) {
  s->keeps_token = true;
  s->too_large = false;
  s->token_length = 0;
}

static void start_usage (struct scanner *s) {
  s->keeps_usage = true;
  s->too_large = s->gap = false;
  s->usage_length[!s->usage_kept] = 0;
}

static bool is_structure (char c) { return c != '\0' && strchr("{}[],:\"", c) != NULL; }

/* Append what stands outside strings. Where white space was dropped between two words or numbers, one space stays: else the
   two would become one, and JSON what was none. */
static void append_outside (struct scanner *s, const char *p, size_t n) {
  size_t length = s->usage_length[!s->usage_kept];
  if (n == 0) return;
  if (s->gap && length > 0 && !is_structure(s->usage[!s->usage_kept][length - 1]) && !is_structure(*p)) append(s, " ", 1);
  s->gap = false;
  append(s, p, n);
}

/* ---- members --------------------------------------------------------------------------------------------------- */

/* Make the token a JSON string, checked; false: it is none, or too long. */
static bool check_token (struct scanner *s) {
  struct json_check check = { s->token + s->token_length + 2, NULL, NULL };
  if (s->too_large) return false;
  s->token[0] = s->token[s->token_length + 1] = '"';
  s->token[s->token_length + 2] = '\0';
  return json_check_string(s->token, &check) != NULL;
}

/* Whether the token is this word, however spelt. Most names are no word of ours, and plain: those are not checked. */
static bool token_is (struct scanner *s, const char *word, size_t length) {
  const char *raw = s->token + 1;
  if (s->token_length == length) return !s->too_large && memcmp(raw, word, length) == 0;
  if (s->token_length < length || memchr(raw, '\\', s->token_length) == NULL) return false;
  return check_token(s) && json_string_is(raw, s->token_length, word, length);
}

static void name_ended (struct scanner *s) {
  /* in an event stream the first id is the one */
  bool wants_id = s->body == SCANNER_JSON ? !s->id_reported : s->id_length == 0;
  s->keeps_token = false;
  s->expect = EXPECT_COLON;
  if (token_is(s, "usage", 5)) s->member = MEMBER_USAGE;
  else s->member = wants_id && token_is(s, "id", 2) ? MEMBER_ID : MEMBER_OTHER;
}

/* Copy the token to s->id, if it is the id of a generation. Returns its length, else 0. */
static size_t take_id (struct scanner *s) {
  char text[SCANNER_MAX_TOKEN];
  if (!check_token(s)) return 0;
  size_t length = json_unescape(text, s->token + 1, s->token_length);
  if (length < 4 || memcmp(text, "gen-", 4) != 0 || !lookup_id_valid(text, length)) return 0;
  memcpy(s->id, text, length);
  return length;
}

static void keep_usage (struct scanner *s, enum scanner_usage state) {
  s->usage_state = state;
  s->usage_kept = !s->usage_kept;
  s->usage_checked = false;
}

/* Of several members of one name the last counts, here as everywhere: one that is no id unsays the id before it. */
static void id_ended (struct scanner *s) {
  bool told = s->body == SCANNER_JSON && s->id_reported;  /* while this one was on its way */
  size_t length = s->keeps_token && !told ? take_id(s) : 0;
  s->keeps_token = false;
  if (told) return;
  if (s->body == SCANNER_JSON) s->id_length = length;
  else s->event_id_length = length;
}

static void usage_ended (struct scanner *s) {
  enum scanner_usage state = !s->keeps_usage ? USAGE_NONE : s->too_large ? USAGE_TOO_LARGE : USAGE_FOUND;
  if (s->keeps_usage) s->usage[!s->usage_kept][s->usage_length[!s->usage_kept]] = '\0';
  s->keeps_usage = false;
  if (s->body == SCANNER_SSE) s->event_usage = state;
  else if (state == USAGE_NONE) s->usage_state = state;
  else keep_usage(s, state);
}

static void value_ended (struct scanner *s) {
  s->expect = EXPECT_COMMA;
  if (s->member == MEMBER_ID) id_ended(s);
  else if (s->member == MEMBER_USAGE) usage_ended(s);
}

/* ---- the object ------------------------------------------------------------------------------------------------ */

static void start_object (struct scanner *s) {
  s->expect = EXPECT_OBJECT;
  s->done = 0;
  s->depth = 0;
  s->in_string = s->keeps_token = s->keeps_usage = false;
  s->event_id_length = 0;
  s->event_usage = USAGE_NONE;
}

static void fail (struct scanner *s) {
  s->expect = EXPECT_NOTHING;
  if (s->body == SCANNER_JSON) s->body = SCANNER_OFF;
}

static void end_object (struct scanner *s) {
  s->expect = EXPECT_SPACE;
  if (s->body != SCANNER_JSON) return;
  s->finished = true;
  s->body = SCANNER_OFF;
}

static void open_bracket (struct scanner *s, char c) {
  uint64_t bit = s->depth < 64 ? (uint64_t)1 << s->depth : 0;
  if (s->depth == SCANNER_MAX_DEPTH) {
    fail(s);
    return;
  }
  if (c == '{') s->objects |= bit;
  else s->objects &= ~bit;
  s->depth++;
}

/* Only called with depth > 0. */
static void close_bracket (struct scanner *s, char c) {
  s->depth--;
  if (s->depth < 64 && (s->objects >> s->depth & 1) != (c == '}')) fail(s);
  else if (s->depth == 1) value_ended(s);
  else if (s->depth == 0) end_object(s);
}

static void open_string (struct scanner *s) {
  s->in_string = true;
  s->escaped = false;
}

static void string_ended (struct scanner *s) {
  s->in_string = false;
  if (s->depth > 1) return;
  if (s->expect == EXPECT_VALUE) value_ended(s);
  else name_ended(s);
}

/* To the end of the string. Only quotes are looked for, and what stands before them, so that a long one costs little. */
static const char *pass_string (struct scanner *s, const char *start, const char *end) {
  const char *p = start, *quote;
  while ((quote = (const char *)memchr(p, '"', (size_t)(end - p))) != NULL && json_is_escaped(start, quote, s->escaped))
    p = quote + 1;
  const char *next = quote ? quote + 1 : end;
  /* the quotes belong to a usage, and not to a token */
  if (s->keeps_usage) append(s, start, (size_t)(next - start));
  else if (s->keeps_token) append(s, start, (size_t)((quote ? quote : end) - start));
  if (quote != NULL) string_ended(s);
  else s->escaped = json_is_escaped(start, end, s->escaped);
  return next;
}

/* What matters in a nested value, strings apart. */
enum { PLAIN, SPACE, QUOTE, OPEN, CLOSE };
static const unsigned char sort[256] = { [' '] = SPACE, ['\t'] = SPACE, ['\n'] = SPACE, ['\r'] = SPACE, ['"'] = QUOTE,
                                         ['{'] = OPEN,  ['['] = OPEN,   ['}'] = CLOSE,  [']'] = CLOSE };

/* To the next string, bracket or white space in a nested value, and over its first character. */
static const char *pass_nested (struct scanner *s, const char *start, const char *end) {
  const char *p = start;
  while (p < end && sort[(unsigned char)*p] == PLAIN) p++;
  int what = p < end ? sort[(unsigned char)*p] : PLAIN;
  const char *next = what == PLAIN ? p : p + 1;
  if (s->keeps_usage) append_outside(s, start, (size_t)((what == SPACE ? p : next) - start));
  switch (what) {
    case SPACE: s->gap = true; break;
    case QUOTE: open_string(s); break;
    case OPEN: open_bracket(s, *p); break;
    case CLOSE: close_bracket(s, *p); break;
    default: break;
  }
  return next;
}

static bool is_scalar (char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' || c == 'E';
}

static void start_value (struct scanner *s, char c) {
  if (c == '"') {
    if (s->member == MEMBER_ID) start_token(s);
    open_string(s);
  } else if (c == '{' || c == '[') {
    open_bracket(s, c);
    if (s->member == MEMBER_USAGE && c == '{') {
      start_usage(s);
      append(s, "{", 1);
    }
  } else if (is_scalar(c)) {
    s->expect = EXPECT_MORE_SCALAR;
  } else {
    fail(s);
  }
}

static void start_name (struct scanner *s, char c) {
  if (c != '"') {
    fail(s);
    return;
  }
  start_token(s);
  open_string(s);
}

/* The data of the last event. White space may stand around it, not in it. */
static void pass_done (struct scanner *s, char c) {
  if (s->done < DONE_LENGTH && c == done_mark[s->done]) s->done++;
  else if (s->done < DONE_LENGTH || !is_space(c)) fail(s);
}

/* A character of the object itself, or around it. */
static void pass_character (struct scanner *s, char c) {
  if (s->expect == EXPECT_DONE) {
    pass_done(s, c);
    return;
  }
  if (s->expect == EXPECT_MORE_SCALAR) {
    if (is_scalar(c)) return;
    value_ended(s);
  }
  if (is_space(c)) return;
  switch (s->expect) {
    case EXPECT_OBJECT:
      s->expect = c == '{' ? EXPECT_NAME_OR_END : EXPECT_DONE;
      if (c == '{') open_bracket(s, c);
      else pass_done(s, c);
      break;
    case EXPECT_NAME_OR_END:
      if (c == '}') close_bracket(s, c);
      else start_name(s, c);
      break;
    case EXPECT_NAME: start_name(s, c); break;
    case EXPECT_COLON:
      if (c == ':') s->expect = EXPECT_VALUE;
      else fail(s);
      break;
    case EXPECT_VALUE: start_value(s, c); break;
    case EXPECT_COMMA:
      if (c == ',') s->expect = EXPECT_NAME;
      else if (c == '}') close_bracket(s, c);
      else fail(s);
      break;
    default: fail(s);
  }
}

static void pass_json (struct scanner *s, const char *p, const char *end) {
  while (p < end && s->expect != EXPECT_NOTHING && s->body != SCANNER_OFF) {
    if (s->in_string) p = pass_string(s, p, end);
    else if (s->depth > 1) p = pass_nested(s, p, end);
    else pass_character(s, *p++);
  }
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

static void end_event (struct scanner *s) {
  if (s->expect == EXPECT_SPACE) {
    if (s->event_id_length > 0) s->id_length = s->event_id_length;
    if (s->event_usage != USAGE_NONE) keep_usage(s, s->event_usage);
  } else if (s->expect == EXPECT_DONE && s->done == DONE_LENGTH) {
    s->finished = true;
    s->body = SCANNER_OFF;
  }
  start_object(s);
}

/* The lines of an event's data are joined by a line feed, which may stand anywhere in JSON but in a string. Before the first
   of them it does no harm; neither does the space behind the colon, which is not data. */
static void start_data (struct scanner *s) {
  static const char feed[] = "\n";
  if (s->in_string) fail(s);
  pass_json(s, feed, feed + 1);
  s->line = LINE_DATA;
}

/* Whether an event stream's field can begin like the one at hand; `whole`: whether it is one. A comment's has no name. */
static bool known_field (const struct scanner *s, bool whole) {
  static const char *const names[] = { "", "data", "event", "id", "retry" };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    size_t length = strlen(names[i]);
    if (whole ? length != s->field_length : length < s->field_length) continue;
    if (memcmp(names[i], s->field, s->field_length) == 0) return true;
  }
  return false;
}

/* The field's name is complete. */
static void field_ended (struct scanner *s) {
  if (!s->sure && !known_field(s, true)) s->body = SCANNER_OFF;
  s->sure = true;
  s->line = LINE_IGNORED;
  if (s->field_length == 4 && memcmp(s->field, "data", 4) == 0) start_data(s);
}

static const char *pass_field (struct scanner *s, const char *p, const char *end) {
  while (p < end && s->line == LINE_FIELD) {
    char c = *p++;
    if (c == ':') field_ended(s);
    else if (s->field_length == sizeof s->field) s->line = LINE_IGNORED;
    else s->field[s->field_length++] = c;
  }
  if (!s->sure && (s->line == LINE_IGNORED || !known_field(s, false))) s->body = SCANNER_OFF;
  return p;
}

/* A piece of a line, without the line end. */
static void pass_line (struct scanner *s, const char *p, const char *end) {
  if (s->line == LINE_FIELD) p = pass_field(s, p, end);
  if (s->line == LINE_DATA) pass_json(s, p, end);
}

/* An empty line ends the event; one without a colon is all name. */
static void end_line (struct scanner *s) {
  if (s->line == LINE_FIELD) {
    if (s->field_length > 0) field_ended(s);
    else end_event(s);
  }
  s->line = LINE_FIELD;
  s->field_length = 0;
}

static const char *find (const char *p, char c, const char *end) {
  const char *found = (const char *)memchr(p, c, (size_t)(end - p));
  return found ? found : end;
}

static void pass_events (struct scanner *s, const char *p, const char *end) {
  const char *feed = NULL;  /* the next line feed; not looked for again for every carriage return before it */
  while (p < end && s->body == SCANNER_SSE) {
    if (s->after_cr && *p == '\n') p++;
    s->after_cr = false;
    if (feed == NULL || feed < p) feed = find(p, '\n', end);
    const char *line_end = find(p, '\r', feed);
    pass_line(s, p, line_end);
    if (line_end == end || s->body != SCANNER_SSE) return;
    end_line(s);
    s->after_cr = *line_end == '\r';
    p = line_end + 1;
  }
}

/* ---- the body -------------------------------------------------------------------------------------------------- */

void scanner_init (struct scanner *s) {
  memset(s, 0, offsetof(struct scanner, id));  /* the texts have lengths */
}

/* To the first character that is neither white space nor of a byte order mark at the very start. It tells what the body is;
   an event stream has yet to make sure. */
static const char *pass_start (struct scanner *s, const char *p, const char *end) {
  static const char bom[] = "\xEF\xBB\xBF";
  for (; p < end; p++) {
    if (s->bom < 3 && *p == bom[s->bom]) {
      s->bom++;
      continue;
    }
    if (s->bom == 0) s->bom = 3;
    if (s->bom == 3 && is_space(*p)) continue;
    s->body = s->bom < 3 ? SCANNER_OFF : *p == '{' ? SCANNER_JSON : SCANNER_SSE;
    break;
  }
  return p;
}

bool scanner_feed (struct scanner *s, const char *bytes, size_t n) {
  const char *end = bytes + n;
  if (s->body == SCANNER_UNKNOWN) bytes = pass_start(s, bytes, end);
  if (s->body == SCANNER_JSON) pass_json(s, bytes, end);
  else if (s->body == SCANNER_SSE) pass_events(s, bytes, end);
  return s->body != SCANNER_OFF;
}

/* ---- results --------------------------------------------------------------------------------------------------- */

const char *scanner_id (struct scanner *s, size_t *length) {
  if (s->id_length == 0) return NULL;
  s->id_reported = true;
  *length = s->id_length;
  return s->id;
}

/* Check the usage and find its cost on the way. */
static bool check_usage (struct scanner *s) {
  const char *text = s->usage[s->usage_kept], *p = text + 1, *value;
  const char *end = text + s->usage_length[s->usage_kept];
  struct json_walk walk = { NULL, 0, false };
  struct json_check check = { end, NULL, NULL };
  s->cost = 0;
  while (json_check_member(&p, &walk, &check)) {
    value = p;
    if ((p = json_check_value(value, 1, &check)) == NULL) return false;
    if (json_string_is(walk.name, walk.name_length, "cost", 4)) s->cost = (size_t)(value - text);
  }
  return p == end;
}

enum scanner_usage scanner_usage (struct scanner *s, const char **text, size_t *length) {
  *text = s->usage[s->usage_kept];
  *length = s->usage_length[s->usage_kept];
  if (s->usage_state == USAGE_FOUND && !s->usage_checked && !check_usage(s)) s->usage_state = USAGE_NOT_JSON;
  s->usage_checked = true;
  return s->usage_state;
}

size_t scanner_cost (struct scanner *s, char out[MONEY_TEXT_SIZE]) {
  const char *text;
  size_t length;
  struct money money;
  if (scanner_usage(s, &text, &length) != USAGE_FOUND || s->cost == 0 || !json_is_number(text + s->cost)) return 0;
  return money_parse(&money, text + s->cost) == MONEY_OVERFLOW ? 0 : money_format(out, &money);
}

bool scanner_finished (const struct scanner *s) {
  return s->finished || (s->expect == EXPECT_DONE && s->done == DONE_LENGTH);
}

#define _POSIX_C_SOURCE 200809L  /* clock_gettime */
#include "lua_line.h"

#include "json.h"
#include "line.h"
#include "lookup.h"
#include "lua_scanner.h"
#include "lua_value.h"
#include "money.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- a context ------------------------------------------------------------------------------------------------- */

/* The member whose value cannot be kept, the first by name so that it does not depend on the table's own order. */
struct unfit {
  const char *name;
  size_t length;
  const char *got;  /* NULL: a number that is not finite */
};

/* The value on top of the stack; false when a context cannot hold it. */
static bool read_value (lua_State *L, struct line_value *value) {
  memset(value, 0, sizeof *value);
  switch (lua_type(L, -1)) {
    case LUA_TSTRING:
      value->type = LINE_STRING;
      value->string = lua_tolstring(L, -1, &value->length);
      return true;
    case LUA_TBOOLEAN:
      value->type = LINE_BOOLEAN;
      value->boolean = lua_toboolean(L, -1);
      return true;
    case LUA_TNUMBER:
      value->type = LINE_NUMBER;
      value->number = lua_tonumber(L, -1);
#if LUA_VERSION_NUM >= 503
      if (lua_isinteger(L, -1)) {
        value->type = LINE_INTEGER;
        value->integer = lua_tointeger(L, -1);
      }
#endif
      return isfinite(value->number);
    default: return false;
  }
}

static void note_unfit (lua_State *L, struct unfit *unfit, const char *name, size_t length) {
  size_t least = unfit->name && unfit->length < length ? unfit->length : length;
  int order = unfit->name ? memcmp(unfit->name, name, least) : 1;
  if (order < 0 || (order == 0 && unfit->length <= length)) return;
  unfit->name = name;
  unfit->length = length;
  unfit->got = lua_type(L, -1) == LUA_TNUMBER ? NULL : luaL_typename(L, -1);
}

static void complain (struct line_problem *problem, const struct unfit *unfit) {
  char words[100] = "must be a finite number";
  if (unfit->name == NULL) return;
  if (unfit->got) snprintf(words, sizeof words, "must be a string, boolean or number, not a %s", unfit->got);
  line_complain(problem, unfit->name, unfit->length, words);
}

/* A key that is no string is shown by its type, or as the number it is; it stays what it is, as lua_next wants it. */
static void complain_about_key (lua_State *L, struct line_problem *problem, int index) {
  char shown[QUOTE_NUMBER_SIZE];
  const char *type = luaL_typename(L, index);
  size_t length = lua_type(L, index) == LUA_TNUMBER ? quote_number(shown, lua_tonumber(L, index)) : 0;
  if (length > 0) line_complain(problem, shown, length, "must be a string, as every name");
  else line_complain(problem, type, strlen(type), "must be a string, as every name");
}

/* The text of the table at `index`, or of nothing where it is nil; returns its length. What a context cannot hold is left
   out, never an error: the line it is for must be written. The strings are the table's, which stays on the stack. */
static size_t context_text (lua_State *L, int index, char out[LINE_MAX_CONTEXT], struct line_problem *problem) {
  struct line_context context;
  struct line_value value;
  struct unfit unfit = { NULL, 0, NULL };
  if (lua_isnoneornil(L, index)) return 0;
  luaL_checktype(L, index, LUA_TTABLE);
  memset(&context, 0, sizeof context);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) {
      complain_about_key(L, problem, -2);
      continue;
    }
    size_t length;
    const char *name = lua_tolstring(L, -2, &length);
    if (read_value(L, &value)) line_context_add(&context, name, length, &value);
    else note_unfit(L, &unfit, name, length);
  }
  complain(problem, &unfit);
  return line_context_write(out, &context, problem);
}

/* Push a text and what is wrong with it, each nil where there is none. */
static int push_text (lua_State *L, const char *text, size_t length, const struct line_problem *problem) {
  if (length > 0) lua_pushlstring(L, text, length);
  else lua_pushnil(L);
  if (problem->text[0] != '\0') lua_pushstring(L, problem->text);
  else lua_pushnil(L);
  return 2;
}

/* core.context_text(context) -> text | nil, problem */
static int context_text_of (lua_State *L) {
  char text[LINE_MAX_CONTEXT];
  struct line_problem problem = { "" };
  size_t length = context_text(L, 1, text, &problem);
  return push_text(L, text, length, &problem);
}

/* ---- amounts ----------------------------------------------------------------------------------------------------- */

/* The argument is the text of a JSON number and nothing else, and an amount that can be had. */
static bool read_amount (lua_State *L, int index, struct money *amount) {
  size_t length;
  if (lua_type(L, index) != LUA_TSTRING) return false;
  const char *text = lua_tolstring(L, index, &length);
  struct json_check check = { text + length, NULL, NULL };
  return json_is_number(text) && json_check_value(text, 0, &check) == text + length
         && money_parse(amount, text) != MONEY_OVERFLOW;
}

/* core.difference(a, b) -> a - b, to the 27 places money has | nil */
static int difference (lua_State *L) {
  struct money a, b;
  char text[MONEY_TEXT_SIZE];
  if (!read_amount(L, 1, &a) || !read_amount(L, 2, &b) || !money_subtract(&a, &b)) lua_pushnil(L);
  else lua_pushlstring(L, text, money_format(text, &a));
  return 1;
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

static double now (void) {
  struct timespec t = { 0, 0 };
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check_text (lua_State *L, int index, struct line_text *text) {
  if (lua_isnoneornil(L, index)) return;
  luaL_checktype(L, index, LUA_TSTRING);
  text->bytes = lua_tolstring(L, index, &text->length);
}

/* Finish the line, whose id is the argument `first` and whose context is the one at `context`: its length, 0: no valid id. */
static size_t compose (lua_State *L, int first, int context, struct line *line, char out[LINE_SIZE],
                       struct line_problem *problem) {
  char context_bytes[LINE_MAX_CONTEXT];
  line->head.id = luaL_checklstring(L, first, &line->head.id_length);
  line->context.length = context_text(L, context, context_bytes, problem);
  if (line->context.length > 0) line->context.bytes = context_bytes;
  line->at = now();
  return lookup_id_valid(line->head.id, line->head.id_length) ? line_write(out, line, problem) : 0;
}

size_t line_compose_pending (lua_State *L, int first, char out[LINE_SIZE], struct line_problem *problem) {
  struct line line;
  memset(&line, 0, sizeof line);
  line.head.kind = LINE_PENDING;
  check_text(L, first + 1, &line.key);
  return compose(L, first, first + 2, &line, out, problem);
}

size_t line_compose_note (lua_State *L, int first, char out[LINE_SIZE], struct line_problem *problem) {
  struct line line;
  memset(&line, 0, sizeof line);
  line.head.kind = LINE_NOTE;
  line.interrupted = lua_toboolean(L, first + 1);
  if (lua_isuserdata(L, first + 3)) line.instant.bytes = scanner_instant(L, first + 3, &line.instant.length);
  else check_text(L, first + 3, &line.instant);
  return compose(L, first, first + 2, &line, out, problem);
}

static int push_line (lua_State *L, size_t compose_line (lua_State *, int, char *, struct line_problem *)) {
  char text[LINE_SIZE];
  struct line_problem problem = { "" };
  size_t length = compose_line(L, 1, text, &problem);
  if (length > 0) return push_text(L, text, length, &problem);
  lua_pushnil(L);
  lua_pushliteral(L, "no valid id");
  return 2;
}

/* core.pending_line(id, key, context) -> text, problem | nil, problem */
static int pending_line (lua_State *L) { return push_line(L, line_compose_pending); }

/* core.note_line(id, interrupted, context, instant) -> text, problem | nil, problem. instant: text, or a scanner that has it. */
static int note_line (lua_State *L) { return push_line(L, line_compose_note); }

static void push_part (lua_State *L, const struct line_text *text) {
  if (text->bytes) lua_pushlstring(L, text->bytes, text->length);
  else lua_pushnil(L);
}

/* core.open_line(text) -> kind, id, at, key, context, instant, interrupted, open | nil */
static int open_line (lua_State *L) {
  struct line line;
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  if (!line_read(text, length, &line)) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushstring(L, line.head.kind == LINE_PENDING ? "pending" : "note");
  lua_pushlstring(L, line.head.id, line.head.id_length);
  if (isfinite(line.at)) lua_pushnumber(L, line.at);
  else lua_pushnil(L);
  if (line.key.bytes) value_push_string(L, line.key.bytes, line.key.length);
  else lua_pushnil(L);
  push_part(L, &line.context);
  push_part(L, &line.instant);
  lua_pushboolean(L, line.interrupted);
  lua_pushboolean(L, line.head.open);
  return 8;
}

/* core.instant(text) -> text on one line, the text of its `cost` where that is a number | nil: it is no JSON object */
static int instant (lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  struct json_check check = { text + length, NULL, NULL };
  if (*text != '{' || json_check_value(text, 0, &check) != text + length) {
    lua_pushnil(L);
    return 1;
  }
  lua_settop(L, 1);
  if (strpbrk(text, "\r\n") != NULL) {
    luaL_gsub(L, text, "\r", " ");
    text = luaL_gsub(L, lua_tostring(L, -1), "\n", " ");
  }
  const char *cost = json_member(text, "cost", 4);
  if (cost != NULL && json_is_number(cost)) lua_pushlstring(L, cost, (size_t)(json_skip(cost) - cost));
  else lua_pushnil(L);
  return 2;
}

/* core.merge_contexts(a, b) -> text | nil */
static int merge_contexts (lua_State *L) {
  struct line_text a = { NULL, 0 }, b = { NULL, 0 };
  char merged[LINE_MAX_MERGED];
  check_text(L, 1, &a);
  check_text(L, 2, &b);
  size_t length = line_merge(merged, a.bytes, a.length, b.bytes, b.length);
  if (length > 0) lua_pushlstring(L, merged, length);
  else lua_pushnil(L);
  return 1;
}

static const luaL_Reg functions[] = {
  { "context_text", context_text_of }, { "merge_contexts", merge_contexts }, { "difference", difference },
  { "pending_line", pending_line }, { "note_line", note_line }, { "open_line", open_line }, { "instant", instant },
  { NULL, NULL }
};

void line_register (lua_State *L) { compat_setfuncs(L, functions, 0); }

/*
** record: a generation record as an index into its own text. Decoding checks the text once and notes where each known
** member's value starts; nothing is converted or thrown away, so the record is as exact as what the server sent.
*/
#ifndef record_h
#define record_h

#include "fields.h"
#include "json.h"
#include "money.h"

#include <stdint.h>

#define RECORD_MAX_TEXT ((size_t)64 << 20)  /* longer texts are refused, not indexed */

/* A userdata that begins with this is a record, if its size is right too: a number drawn by lot, anew when the layout changes
   in another way than by a field. */
#define RECORD_MAGIC (UINT64_C(0x9D3A6C27F1E85B04) + FIELD_COUNT)

/* Offsets are from `text`; 0 means "not there", since no value can start at the first byte but the whole. */
struct record {
  uint64_t magic;
  uint32_t length;
  uint32_t capacity;            /* length that `text` has room for; for who decodes into the same record again */
  uint32_t object;              /* the record's '{' */
  uint32_t answer;              /* the server's answer around it: '{' of {"data":…}, or of the record itself */
  uint32_t context;             /* of a ledger line: what was said about the request */
  uint32_t at;                  /* …: when it was settled */
  uint32_t member[FIELD_COUNT]; /* value of each known member, the last one where a name comes twice */
  uint32_t busy;                /* how many functions are reading the text at the moment: it is not written over meanwhile */
  bool pinned;                  /* somebody relies on the text: it is not written over any more */
  char text[1];                 /* `length` bytes and a NUL */
};

/* What a text turned out to be. */
enum record_kind {
  RECORD_GENERATION,
  RECORD_INVALID,    /* not JSON, or no object: `check` says why */
  RECORD_API_ERROR,  /* {"error":{…}}, or "error":"…" as gateways write it: `part` is that object or string */
  RECORD_OPEN,       /* a pending or note line of a ledger: `part` is the id */
  RECORD_FAILED      /* a failed line of a ledger: `part` is its error object (or the id where it has none) */
};

/*
** Index record->text (length and text are set, the rest is filled in). Taken in this order: a settled line's answer; a
** `data` object; a failed line (its `error` is ours, not the server's); an `error`; pending and note lines; else
** the object itself. `part` and `check` are set as the kind says.
*/
enum record_kind record_index (struct record *record, const char **part, struct json_check *check);

/*
** A line of a file may be anything. Why there is nothing in it that could be used, or NULL: there is a generation record, an id
** that has none, or nothing, as in a line of a journal that is closed. `room` is for RECORD_REASON bytes.
*/
#define RECORD_REASON 200
#define RECORD_TOO_LONG "longer than 64 MiB"
#define RECORD_TORN "torn: the file ends within this line"  /* for one that is RECORD_INVALID, and has no line end */
const char *record_refusal (const struct record *record, enum record_kind kind, const char *part, const struct json_check *check,
                            char *room);

/* What a RECORD_INVALID text is called; the byte it went wrong at, from 1, comes back. */
size_t record_complaint (const struct record *record, const struct json_check *check, char *room);

/* A generation's id as JSON: a string with something in it; that of the ledger line where the record says none. Or NULL. */
const char *record_id (const struct record *record);

/* The id that a RECORD_OPEN or RECORD_FAILED line says, as JSON: a string with something in it, or NULL. */
const char *record_unsettled_id (const struct record *record, enum record_kind kind, const char *part);

bool record_is_blank (const char *line, size_t length);

/* Whether a RECORD_OPEN line is one of a journal whose id has come to its end elsewhere. */
bool record_is_closed (const struct record *record);

enum value_state { VALUE_PRESENT, VALUE_NULL, VALUE_ABSENT, VALUE_MISMATCH };

/* Whether the value (NULL: absent) is what the schema says. An integer may be spelt 10.0; a number must fit a double. */
enum value_state value_state (enum field_type type, const char *value);

/* The value of a known member, or NULL. */
static inline const char *record_member (const struct record *record, int field) {
  return record->member[field] ? record->text + record->member[field] : NULL;
}
static inline enum value_state record_state (const struct record *record, int field) {
  return value_state(field_info[field].type, record_member(record, field));
}

#endif

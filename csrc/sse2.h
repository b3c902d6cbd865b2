/*
** sse2: whether text is looked at 16 bytes at a time (strings and numbers in json.c, names in record.c), and with what.
*/
#ifndef sse2_h
#define sse2_h

#if defined(__SSE2__) && defined(__GNUC__) && !defined(OPENROUTER_NO_SSE2) && !defined(OPENROUTER_NO_WORDS)
#define USES_SSE2
#include <emmintrin.h>

static inline __m128i sse2_load (const char *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }

/* A bit for each of 32 bytes at p that is the same at q. */
static inline unsigned sse2_same (const char *p, const char *q) {
  const __m128i low = _mm_cmpeq_epi8(sse2_load(p), sse2_load(q)), high = _mm_cmpeq_epi8(sse2_load(p + 16), sse2_load(q + 16));
  return (unsigned)_mm_movemask_epi8(low) | (unsigned)_mm_movemask_epi8(high) << 16;
}

#endif
#endif

/*
** spend: what a generation really cost the people who made it, in USD.
**
** cost is total_cost, else usage (they are equal wherever both were seen). With the caller's own provider key
** (is_byok) OpenRouter charges only its fee, and the provider's bill, upstream_inference_cost, comes on top. Where a
** needed figure is missing the spend is unknown, which is never the same as free.
**
**      total_cost        usage        is_byok             upstream_inference_cost   spend
**  1   figure            any          false               any                       total_cost
**  2   figure            any          absent              any                       total_cost
**  3   figure            any          true                figure                    total_cost + upstream
**  4   figure            any          true                0                         total_cost
**  5   figure            any          true                null                      unknown
**  6   figure            any          true                absent or mismatched      unknown
**  7   figure            any          null                any                       unknown
**  8   figure            any          mismatched          any                       unknown
**  9   none              figure       false or absent     any                       usage
** 10   none              figure       true                figure                    usage + upstream
** 11   none              none         any                 any                       unknown
** 12   beyond the range of money.h in any figure used, or in the sum              unknown
**
** "none" is null, absent or mismatched. 4 to 8 hold for usage too where it stands in for total_cost. Source: OpenRouter's
** usage accounting and BYOK pages, 2026-08.
*/
#ifndef spend_h
#define spend_h

#include "record.h"

/* NULL and the spend, or why it is unknown. */
const char *record_spend (const struct record *record, struct money *spend);

/* The same in its two parts: what OpenRouter charged, and what the provider did with the caller's own key, 0 without one. */
const char *record_spend_parts (const struct record *record, struct money *cost, struct money *upstream);

/* NULL and the cost, which OpenRouter charged whether or not the provider's bill is known; or why it is unknown. */
const char *record_cost (const struct record *record, struct money *cost);

#endif

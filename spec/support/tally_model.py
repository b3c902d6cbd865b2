#!/usr/bin/env python3
"""What tallies must come to, worked out another way: python3 tally_model.py FILE '[{"by":["day"],"tz":"Europe/Berlin"}]'

FILE has one ledger line, API answer or record a line, no two of one id settled at the same time. Prints a Lua chunk for
each tally, followed by a line "--". Sums are decimal text; quantiles are the true values by nearest rank. A tally may have
"since" and "until" (local or not), and "where": [["model", "a", "b"], …]."""
import json
import sys
import zoneinfo
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal, getcontext

getcontext().prec = 120
RANGE = Decimal(2) ** 127 / Decimal(10) ** 27
UNIT = Decimal(10) ** -27

MONEY = ["total_cost", "usage", "cache_discount", "upstream_inference_cost"]
TOKENS = ["tokens_prompt", "tokens_completion", "native_tokens_prompt", "native_tokens_completion",
          "native_tokens_completion_images", "native_tokens_reasoning", "native_tokens_cached"]
COUNTS = ["num_media_prompt", "num_input_audio_prompt", "num_media_completion", "num_search_results", "num_fetches",
          "num_video_prompt", "num_media_generations"]
SPREADS = ["latency", "generation_time", "moderation_latency"] + TOKENS
STRINGS = ["created_at", "model", "provider_name", "origin", "external_user"]



def week(at):
    year, number, _ = at.isocalendar()
    return f"{year:04}-W{number:02}"


TIMES = {
    "hour": lambda at: at.isoformat(" ")[:14] + "00" + at.isoformat()[-6:],
    "day": lambda at: at.strftime("%Y-%m-%d"),
    "week": week,
    "month": lambda at: at.strftime("%Y-%m"),
}


def is_number(v):
    return isinstance(v, (int, Decimal)) and not isinstance(v, bool)


def integer(v):
    return int(v) if is_number(v) and v == int(v) and -2**63 <= v < 2**63 else None


def money(v):
    if not is_number(v):
        return None
    v = Decimal(v).quantize(UNIT, ROUND_HALF_EVEN)
    return v if abs(v) < RANGE else None


def charged(r):
    return money(r.get("total_cost" if is_number(r.get("total_cost")) else "usage"))


def spend(r):
    cost = charged(r)
    if cost is None:
        return None
    byok = r.get("is_byok", False)
    if not isinstance(byok, bool):
        return None
    if not byok:
        return cost
    upstream = money(r.get("upstream_inference_cost"))
    if upstream is None or abs(cost + upstream) >= RANGE:
        return None
    return cost + upstream


def failed_attempts(r):
    responses = r.get("provider_responses")
    count = 0
    for response in responses if isinstance(responses, list) else []:
        if isinstance(response, dict) and "status" in response:
            status = response["status"]
            count += status is None or is_number(status) and not 200 <= status < 300
    return count


def attempts(r):
    """(provider, failed, latency or None) of each."""
    out = []
    responses = r.get("provider_responses")
    for a in responses if isinstance(responses, list) else []:
        a = a if isinstance(a, dict) else {}
        status, latency, name = a.get("status", ""), a.get("latency"), a.get("provider_name")
        failed = status is None or is_number(status) and not 200 <= status < 300
        known = is_number(latency) and latency >= 0 and not str(latency).startswith("-")
        out.append((name if isinstance(name, str) else "unknown", failed, money(latency) if known else None))
    return out


def parts(r):
    """What OpenRouter and what the provider charged, where the spend is known."""
    if spend(r) is None:
        return None, None
    upstream = money(r.get("upstream_inference_cost")) if r.get("is_byok") is True else Decimal(0)
    return spend(r) - upstream, upstream


def sums(r):
    lost = [ms for _, failed, ms in attempts(r) if failed and ms is not None]
    cost, upstream = parts(r)
    values = {"spend": spend(r), "cancelled": int(r.get("cancelled") is True), "failed_attempts": failed_attempts(r),
              "charged": charged(r), "spend_openrouter": cost, "spend_upstream": upstream,
              "byok": int(r.get("is_byok") is True),
              "failed_attempts_latency": sum(lost) if lost else None}
    for name in MONEY:
        values[name] = money(r.get(name))
    for name in TOKENS + COUNTS:
        values[name] = integer(r.get(name))
    return values


def spread_value(r, name):
    v = r.get(name)
    if not is_number(v) or v < 0 or (name in TOKENS and integer(v) is None):
        return None
    return Decimal(v)


def made_at(r, tz):
    try:
        return datetime.fromisoformat(r["created_at"]).astimezone(zoneinfo.ZoneInfo(tz))
    except (KeyError, TypeError, ValueError):
        return None


def dimension(name, r, context, tz):
    if name in TIMES:
        at = made_at(r, tz)
        return "s:" + (TIMES[name](at) if at else "unknown")
    if name.startswith("context."):
        v = context.get(name[8:])
    else:
        v = r.get(name)
        right = isinstance(v, str) if name in STRINGS else isinstance(v, bool) if name in ("streamed", "cancelled") \
            else integer(v) is not None
        v = v if right else None
    if isinstance(v, bool):
        return "b:true" if v else "b:false"
    if isinstance(v, str):
        return "s:" + v
    if is_number(v):
        return "n:" + repr(float(v))
    return "s:unknown"


def instant_cost(said):
    if not isinstance(said, dict) or not is_number(said.get("cost")) or said.get("is_byok", False) not in (True, False):
        return None
    if not said.get("is_byok"):
        return money(said["cost"])
    details = said.get("cost_details")
    upstream = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    return money(said["cost"]) + money(upstream) if is_number(upstream) else None


def read(path):
    settled, alone, failed, opened, texts, duplicates = {}, [], set(), {}, {}, 0
    for line in open(path, encoding="utf-8"):
        o = json.loads(line, parse_float=Decimal)
        if "failed" in o:
            failed.add(o["failed"])
            continue
        if "pending" in o or "note" in o:
            cost = instant_cost(o.get("instant"))
            note = (cost is not None, datetime.fromisoformat(o["at"]), cost)
            name = o.get("pending", o.get("note"))
            opened[name] = max(opened.get(name, note), note)
            continue
        at, context, answer = float("-inf"), {}, o
        if "settled" in o:
            at, context, answer = datetime.fromisoformat(o["at"]).timestamp(), o.get("context", {}), o["answer"]
        r = answer["data"] if isinstance(answer.get("data"), dict) else answer
        name = r.get("id", o.get("settled"))
        if not isinstance(name, str):
            alone.append((r, context))
            continue
        duplicates += name in settled
        texts.setdefault(name, set()).add(repr((r, context)))
        if name not in settled or at > settled[name][0]:
            settled[name] = (at, r, context)
    records = alone + [(r, context) for _, r, context in settled.values()]
    waiting = [note for name, note in opened.items() if name not in failed and name not in settled]
    counts = {"failed": len(failed - set(settled)), "pending": len(waiting), "changed": 0,
              "instant_unknown": sum(not known for known, _, _ in waiting),
              "instant_cost": quote(decimal_text(sum(cost for known, _, cost in waiting if known))),
              "duplicates": duplicates, "conflicts": sum(len(t) > 1 for t in texts.values())}
    return records, counts


def quote(text):
    return '"' + "".join("\\%03d" % b for b in text.encode()) + '"'


def decimal_text(v):
    text = format(Decimal(v), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def instant(text, tz):
    """Of a local time the first instant when clocks show it or more, found by looking at every minute."""
    at = datetime.fromisoformat(text)
    if at.tzinfo:
        return at
    minute = at.replace(tzinfo=timezone.utc) - timedelta(hours=27)
    while minute.astimezone(zoneinfo.ZoneInfo(tz)).replace(tzinfo=None) < at:
        minute += timedelta(minutes=1)
    return minute


def key_text(v):
    if isinstance(v, bool):
        return "b:true" if v else "b:false"
    return "s:" + v if isinstance(v, str) else "n:" + repr(float(v))


def judge(job, r, context, bounds):
    """Whether a record counts, is filtered or undated."""
    tz = job.get("tz", "UTC")
    for name, *values in job.get("where", []):
        if dimension(name, r, context, tz) not in [key_text(v) for v in values]:
            return "filtered"
    at = made_at(r, tz)
    if at is None:
        return "undated" if bounds else "counted"
    for (option, bound) in bounds.items():
        is_day = len(job[option]) == 10
        value = at.strftime("%Y-%m-%d") if is_day else at
        if value < bound if option == "since" else value > bound if is_day else value >= bound:
            return "filtered"
    return "counted"


def measured(r):
    at, request = made_at(r, "UTC"), r.get("request_id")
    alone = {"first": at.timestamp() if at else None, "requests": request if isinstance(request, str) else object()}
    return sums(r), {name: spread_value(r, name) for name in SPREADS}, alone, attempts(r)


def group_text(key, records):
    """Records are as `measured` returns them."""
    out = ["key={%s}" % ",".join(quote(k) for k in key), "generations=%d" % len(records)]
    for name in sums({}):
        values = [row[name] for row, *_ in records if row[name] is not None]
        out.append("[%s]={values=%d,sum=%s}" % (quote(name), len(values), quote(decimal_text(sum(values)))))
    for name in SPREADS:
        values = sorted(spreads[name] for _, spreads, *_ in records if spreads[name] is not None)
        if values:
            at = {p: values[max(-(-p * len(values) // 100), 1) - 1] for p in (1, 50, 90, 95, 99, 100)}
            out.append("[%s]={%s}" % (quote(name + " spread"), ",".join("[%d]=%r" % (p, float(v)) for p, v in at.items())))
    times = [alone["first"] for _, _, alone, _ in records if alone["first"] is not None]
    for name, time in ("first", min(times, default=0)), ("last", max(times, default=0)):
        out.append("%s={values=%d,sum=%r}" % (name, len(times), time))
    out.append("requests={values=%d,sum=%d}" % (len(records), len({alone["requests"] for _, _, alone, _ in records})))
    return "{%s}" % ",".join(out)


def providers_text(records):
    rows = {}
    for *_, tried in records:
        for name, failed, ms in tried:
            row = rows.setdefault(name, [0, 0, Decimal(0)])
            row[0] += 1
            row[1] += failed
            row[2] += ms if failed and ms is not None else 0
    return ",".join("[%s]={%d,%d,%r}" % (quote(name), a, f, float(ms)) for name, (a, f, ms) in rows.items())


def dearest_text(records):
    spends = sorted((row["spend"] for row, *_ in records if row["spend"] is not None), reverse=True)
    return ",".join(quote(decimal_text(v)) for v in spends[:10])


def tally_text(job, records, counts):
    groups = {}
    bounds = {o: job[o] if len(job[o]) == 10 else instant(job[o], job.get("tz", "UTC"))
              for o in ("since", "until") if o in job}
    fates = [judge(job, r, context, bounds) for r, context, _ in records]
    counts = dict(counts, filtered=fates.count("filtered"), undated=fates.count("undated"))
    records = [record for record, fate in zip(records, fates) if fate == "counted"]
    for r, context, values in records:
        groups.setdefault(tuple(dimension(n, r, context, job.get("tz", "UTC")) for n in job["by"]), []).append(values)
    everything = [values for _, _, values in records]
    return "{providers={%s},dearest={%s},total=%s,\ncounts={%s},\ngroups={%s}}" % (
        providers_text(everything), dearest_text(everything), group_text((), everything), ",".join("%s=%s" % item for item in counts.items()),
        ",\n".join(group_text(k, g) for k, g in groups.items()))


def main():
    records, counts = read(sys.argv[1])
    records = [(r, context, measured(r)) for r, context in records]
    for job in json.loads(sys.argv[2]):  # a chunk for each, as LuaJIT takes but so many constants in one
        print("return %s\n--" % tally_text(job, records, counts))


main()

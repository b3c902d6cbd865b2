"""Runs each job's proxies in turn, round by round, and prints what logging costs. `run` starts it, with the servers up and
all it needs to know in the environment.
"""
import os
import platform
import re
import subprocess
import sys
import time
from statistics import median

import faults
from load import MODEL_CALL, SLOW_CALL, Wrk, probe, stream, window
from proxy import Failed, Proxy

QUICK = bool(os.environ["QUICK"])
WIDTH = 110


def full(in_full, in_quick):
    return in_quick if QUICK else in_full


# ---- numbers ------------------------------------------------------------------------------------------------------------


def percentile(numbers, percent):
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def lag(counts, percent):
    """Milliseconds, from the settle lag's histogram: between the bounds of a bucket as if its ids were spread evenly."""
    found = []
    for name, count in counts.items():
        bound = re.match(r'settle_lag_seconds_bucket\{le="(.*)"\}$', name)
        if bound:
            found.append((float(bound.group(1)), count))
    total, seen, lower = sum(count for _, count in found), 0, 0.0
    for bound, count in sorted(found):
        if count and seen + count >= total * percent / 100:
            return 1e3 * (lower + (bound - lower) * (total * percent / 100 - seen) / count)
        seen, lower = seen + count, bound
    raise Failed("no record came")


def settled(counts):
    return sum(count for name, count in counts.items() if name.startswith("generations_total"))


# ---- the table ----------------------------------------------------------------------------------------------------------


def row(label, *columns):
    print(("  %-32s%9s%9s   %-27s%s" % (label, *(columns + ("",) * 4)[:4])).rstrip(), flush=True)


def spread(numbers, form):
    return "%s [%s..%s]" % tuple(form % number for number in (median(numbers), min(numbers), max(numbers)))


def verdict(text, met):
    return "%s  %s" % (text, "met" if met else "NOT MET")


def compare(label, off, on, form="%.1f", goal=None):
    """off, on: a number for each round. The goal is for the median of the differences in a round."""
    more = [b - a for a, b in zip(off, on)]
    judged = verdict("<= %g" % goal, median(more) <= goal) if goal is not None else ""
    row(label, form % median(off), form % median(on), spread(more, form.replace("%", "%+")), judged)


def heading(name, title):
    print("\n%s: %s" % (name, title), flush=True)


def take_turns(rounds, modes):
    """modes: name -> a function that measures. name -> its results, by round."""
    results = {name: [] for name in modes}
    for _ in range(rounds):
        for name, measure in modes.items():
            results[name].append(measure())
    return results


def of(results, name):
    return [result[name] for result in results]


# ---- the jobs -----------------------------------------------------------------------------------------------------------


def saturation():
    heading("saturation", "wrk with 32 connections, the upstream answers at once; worker CPU, us per proxied request")

    def measure(*proxy):
        with Proxy(*proxy) as it:
            return window(it, MODEL_CALL, 32, full(1.5, 1), full(10, 2))
    found = take_turns(full(5, 2), {
        "off": lambda: measure(False),
        "capture": lambda: measure(True, "first = 3600"),
        "everything": lambda: measure(True),
    })
    off = of(found["off"], "us")
    compare("capture, journal, variables", off, of(found["capture"], "us"), goal=10)
    print("    (first = 3600: no record is asked for meanwhile; the window is full, and ids wait on disk)")
    compare("everything", off, of(found["everything"], "us"))
    last = found["everything"][-1]
    counts, after = last["counts"], last["after"]
    share = 100 / counts["captured_total"]
    print("    (for 100 ids seen, %.0f records came, and %.0f ids found the window full: those wait on disk for a later\n"
          "    turn, %d at the end; %d are in memory; none was lost)" % (
              settled(counts) * share, counts.get("overflow_total", 0) * share, after["parked"], after["open"]))


def load():
    heading("load", "wrk with 40 connections, the upstream takes 100 ms; everything logged and settled")

    def measure(logging):
        with Proxy(logging) as it:
            return window(it, SLOW_CALL, 40, full(3, 2), full(10, 2))
    found = take_turns(full(5, 2), {"off": lambda: measure(False), "on": lambda: measure(True)})
    off, on = found["off"], found["on"]
    compare("worker CPU, us per request", of(off, "us"), of(on, "us"), goal=130)
    compare("a request takes, ms: p50", of(off, "p50"), of(on, "p50"), "%.2f")
    compare("                     p99", of(off, "p99"), of(on, "p99"), "%.2f")
    counts = of(on, "counts")
    lags = [lag(count, 50) for count in counts]
    row("settle lag, ms: p50", "", "%.1f" % median(lags), spread(lags, "%.1f"), verdict("<= 5", median(lags) <= 5))
    lags = [lag(count, 99) for count in counts]
    row("                p99", "", "%.1f" % median(lags), spread(lags, "%.1f"))
    connections = [result["after"]["connections"] for result in on]
    lookups = median(result["after"]["requests_total"] for result in on)
    row("connections made for lookups", "", "%d" % median(connections), "%d lookups" % lookups)
    per_id = [count["requests_total"] / settled(count) for count in counts]
    row("lookups per record", "", "%.2f" % median(per_id), spread(per_id, "%.2f"))


def heartbeat():
    heading("heartbeat", "a timer that wants to be woken every 1 ms, at the same load; from one beat to the next, ms")

    def measure(logging):
        with Proxy(logging, heartbeat=True) as it:
            gaps = window(it, SLOW_CALL, 40, full(2, 2), full(10, 2))["gaps"]
            return {name: percentile(gaps, percent) / 1e3 for name, percent in (("p50", 50), ("p99.9", 99.9), ("max", 100))}
    found = take_turns(full(3, 1), {"off": lambda: measure(False), "on": lambda: measure(True)})
    for name in "p50", "p99.9", "max":
        compare(name, of(found["off"], name), of(found["on"], name), "%.2f")


def measure_fault(fault):
    with Proxy(**fault.proxy) as it:
        seconds = full(4, 2)
        with Wrk(it, SLOW_CALL, 40, int(seconds) + 1):
            time.sleep(0.4)
            taken = probe(seconds)
            stats = it.stats() if it.logging else {}
        fault.check(stats)
        return {"p99": percentile(taken, 99) / 1e3, "worst": max(taken) / 1e3, "stats": stats}


def measure_faults():
    """fault -> its results, by round, or why it cannot be brought about here."""
    found = {fault: [] for fault in faults.every()}
    for _ in range(full(3, 1)):
        for fault, results in found.items():
            if isinstance(results, list):
                try:
                    results.append(measure_fault(fault))
                except (faults.Impossible, Failed) as why:
                    found[fault] = why
    return found


def print_fault(fault, results):
    worst, stats = of(results, "worst"), results[-1]["stats"]
    row(fault.name, "%.2f" % median(of(results, "p99")), "%.2f" % median(worst), spread(worst, "%.2f"),
        "%d, %d" % (stats.get("captured_total", 0), stats.get("lost_total", 0)) if stats else "")


def all_faults():
    heading("faults", "another location of the same worker, asked 200 times a second at the same load, logging on; ms")
    row("", "p99", "worst", "worst, median [min..max]", "ids seen, lost")
    failed = 0
    for fault, results in measure_faults().items():
        if isinstance(results, faults.Impossible):
            print("  %s: skipped: %s" % (fault.name, results))
        elif isinstance(results, Failed):
            failed += 1
            print("  %s: FAILED: %s" % (fault.name, results))
        else:
            print_fault(fault, results)
    if failed:
        raise Failed("%d of the faults" % failed)


def streaming():
    heading("stream", "200 events, 10 ms apart, through an otherwise idle proxy; from making one to having it, us")

    def measure(logging):
        with Proxy(logging) as it:
            stream()    # to connect to the upstream, and to get warm
            taken = stream()
            if len(taken) != 200:
                raise Failed("%d events came" % len(taken))
            if logging and it.stats().get("captured_total") != 2:
                raise Failed("the streams were not logged")
            return {"p50": percentile(taken, 50), "p99": percentile(taken, 99)}
    found = take_turns(full(5, 1), {"off": lambda: measure(False), "on": lambda: measure(True)})
    for name in "p50", "p99":
        off, on = of(found["off"], name), of(found["on"], name)
        compare(name, off, on, "%.0f")
    off, on = of(found["off"], "p50"), of(found["on"], "p50")
    more, noise = median(b - a for a, b in zip(off, on)), max(off) - min(off)
    if len(off) > 2:
        row("p50's difference within off's spread", "%.0f" % noise, "%+.0f" % more, "", verdict("yes", more <= noise))


JOBS = {"saturation": saturation, "load": load, "heartbeat": heartbeat, "faults": all_faults, "stream": streaming}


# ---- what it is all measured with ---------------------------------------------------------------------------------------


def version(command, pattern, form="%s"):
    try:
        text = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True).stdout
    except OSError:
        return None
    found = re.search(pattern, text)
    return form % found.group() if found else None


def print_versions():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"^model name\s*: (.*)", file.read(), re.MULTILINE)
    proxy_cpu, other_cpu = os.environ["PROXY_CPU"], os.environ["OTHER_CPU"]
    facts = [
        time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        model.group(1) if model else platform.machine(),
        "one core for everything, so that times say little" if proxy_cpu == other_cpu
        else "the proxy's worker on core %s, all others on core %s" % (proxy_cpu, other_cpu),
        version(["git", "describe", "--always", "--dirty"], r"\A[\w.-]+\n\Z", "lua-openrouter %s"),
        version([os.environ["NGINX"], "-v"], r"nginx/\S+"),
        version(["wrk", "-v"], r"\Awrk \S+"),
        "Python " + platform.python_version(),
    ]
    line = ""
    for fact in (re.sub(r"\s+", " ", fact).strip() for fact in facts if fact):
        if line and len(line) + 3 + len(fact) > WIDTH:
            print(line)
            line = ""
        line += (" | " if line else "") + fact
    print(line)


def main():
    print_versions()
    print("rounds in turn, each with a new nginx; medians; differences in a round")
    print()
    row("", "off", "on", "on - off [min..max]", "goal")
    good = True
    for name, job in JOBS.items():
        if os.environ["ONLY"] and name not in os.environ["ONLY"].split(","):
            continue
        try:
            job()
        except Failed as why:
            good = False
            print("  FAILED: %s" % why, flush=True)
    sys.exit(0 if good else 1)


main()

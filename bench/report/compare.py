#!/usr/bin/env python3
"""Runs the programs of bench/report in turn, compares what they say, and prints the ratios of their times. README.md tells
what is measured."""
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

FILE, WORK = sys.argv[1:3]
HERE = "bench/report"
LUA, ROUNDS = os.environ["LUA"], int(os.environ["ROUNDS"])
JQ_RECORDS = 20000  # it would take minutes for all

RECORDS = int(re.search(r"(\d+)\.jsonl$", FILE).group(1))


def run(command, cpus):
    """Seconds and output."""
    taskset = ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[:cpus]))]
    start = time.monotonic()
    with subprocess.Popen(taskset + command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        output, errors = child.communicate()
    taken = time.monotonic() - start
    if child.returncode != 0:
        sys.exit("bench/report: FAILED: %s\n%s%s" % (" ".join(command), output, errors))
    return taken, output


def peak(command):
    """The most memory a command of ours had, in MB, as it says itself."""
    done = subprocess.run(command + ["peak"], capture_output=True, text=True, check=True)
    return int(re.search(r"VmHWM:\s*(\d+) kB", done.stderr).group(1)) / 1024


def figures(output):
    """(model, day) -> the other columns as numbers."""
    rows = {}
    for line in output.splitlines():
        model, day, *values = re.split(r"\t", line)
        rows[model, day] = [float(v) for v in values]
    return rows


def check(name, theirs, ours):
    """That they add up the same: counts and sums, and quantiles as far as ours are exact."""
    if set(theirs) != set(ours):
        sys.exit(f"bench/report: {name} has other groups")
    for key, values in theirs.items():
        for i, value in enumerate(values):
            slack = (0, 1e-9, 0, 0, 1 / 128, 1 / 128)[i] * abs(value)
            if abs(value - ours[key][i]) > slack:
                sys.exit(f"bench/report: {name} says {value}, not {ours[key][i]}, in column {i} of {key}")


def print_row(name, taken, records):
    middle = statistics.median(taken)
    print("  %-44s %8.3f s [%.3f..%.3f]  %9.0f records/s" % (name, middle, min(taken), max(taken), records / middle))


def print_ratio(title, above, below, goal=None, most=False):
    ratios = [a / b for a, b in zip(above, below)]
    middle = statistics.median(ratios)
    met = "" if goal is None else "goal %s %g: %s" % ("<=" if most else ">=", goal,
                                                      "met" if (middle <= goal if most else middle >= goal) else "NOT MET")
    print("  %-44s %8.2f [%.2f..%.2f]  %s" % (title, middle, min(ratios), max(ratios), met))


def main():
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        print(re.search(r"model name\s*: (.*)", cpuinfo.read()).group(1), "-", ROUNDS, "rounds, medians [least..most]")
    with open(FILE, encoding="utf-8") as whole, open(f"{WORK}/jq.jsonl", "w", encoding="utf-8") as part:
        for _ in range(min(JQ_RECORDS, RECORDS)):
            part.write(whole.readline())
    few = min(JQ_RECORDS, RECORDS)
    rows = {  # name -> command, processors, the row whose figures it has to have
        "ours, 1 thread": ([LUA, f"{HERE}/ours.lua", "1", FILE], 1, None),
        "ours, 2 threads": ([LUA, f"{HERE}/ours.lua", "2", FILE], 2, "ours, 1 thread"),
        "a Lua loop over openrouter.records": ([LUA, f"{HERE}/loop.lua", "records", FILE], 1, "ours, 1 thread"),
        "a Lua loop over lua-cjson": ([LUA, f"{HERE}/loop.lua", "cjson", FILE], 1, "ours, 1 thread"),
        "Python": ([sys.executable, f"{HERE}/loop.py", FILE], 1, "ours, 1 thread"),
        "wc -l": (["wc", "-l", FILE], 1, None),
        "ours, 1 thread, few records": ([LUA, f"{HERE}/ours.lua", "1", f"{WORK}/jq.jsonl"], 1, None),
    }
    if os.environ["NODE_MISSING"]:
        print("Node and DuckDB are skipped: " + os.environ["NODE_MISSING"])
    else:
        rows["Node"] = (["node", f"{WORK}/loop.mjs", FILE], 2, "ours, 1 thread")
        rows["DuckDB, 1 thread"] = (["node", f"{WORK}/duckdb.mjs", "1", FILE], 1, "ours, 1 thread")
        rows["DuckDB, 2 threads"] = (["node", f"{WORK}/duckdb.mjs", "2", FILE], 2, "ours, 1 thread")
    if shutil.which("jq"):
        rows["jq, few records"] = (["jq", "-nr", "-f", f"{HERE}/loop.jq", f"{WORK}/jq.jsonl"], 1, "ours, 1 thread, few records")
    outputs = {}
    run(["wc", "-l", FILE], 1)  # which leaves it in the page cache
    taken = {name: [] for name in rows}
    for turn in range(ROUNDS):
        for name, (command, cpus, same) in rows.items():
            seconds, outputs[name] = run(command, cpus)
            taken[name].append(seconds)
            if same and turn == 0:
                check(name, figures(outputs[name]), figures(outputs[same]))
    print(f"\n{RECORDS} records by model and day: count, spend, two token sums, p50 and p95 of latency; process start included")
    for name, values in taken.items():
        print_row(name, values, few if "few records" in name else RECORDS)
    print()
    one, two = taken["ours, 1 thread"], taken["ours, 2 threads"]
    print_ratio("lua-cjson loop / ours", taken["a Lua loop over lua-cjson"], one, 20)
    print_ratio("Python / ours", taken["Python"], one, 20)
    if "Node" in taken:
        print_ratio("Node / ours", taken["Node"], one, 20)
        print_ratio("DuckDB / ours, 1 thread", taken["DuckDB, 1 thread"], one, 3.5)
        print_ratio("DuckDB / ours, 2 threads", taken["DuckDB, 2 threads"], two, 3.5)
    if "jq, few records" in taken:
        print_ratio("jq / ours", taken["jq, few records"], taken["ours, 1 thread, few records"], 100)
    print_ratio("ours / wc -l", one, taken["wc -l"], 5, most=True)
    print_ratio("ours, 1 thread / 2 threads", one, two, 1.6)
    print_ratio("lua-cjson loop / loop over openrouter.records", taken["a Lua loop over lua-cjson"],
                taken["a Lua loop over openrouter.records"], 5)
    used, ids = peak(rows["ours, 1 thread"][0]), RECORDS * 16 / 2**20
    print("  %-44s %8.1f MB, of which %.1f are for ids   goal <= 8 beyond: %s" % (
        "most memory, 1 thread", used, ids, "met" if used - ids <= 8 else "NOT MET"))


main()

#!/usr/bin/env python3
"""Runs what bench/decode/run has built, in turn, and prints the ratios. README.md tells what is measured."""
import os
import re
import shutil
import statistics
import subprocess
import sys

TOP, WORK = sys.argv[1:3]
QUICK, ONLY = bool(os.environ["QUICK"]), [name for name in os.environ["ONLY"].split(",") if name]
ROUNDS, PASSES = (3, "2") if QUICK else (9, "5")
CPU = min(os.sched_getaffinity(0))


def wanted(name):
    return not ONLY or name in ONLY


def run(command, abi=None):
    environment = dict(os.environ)
    if abi:
        environment["LUA_CPATH"] = f"{TOP}/build/{abi}/?.so;;"
    done = subprocess.run(["taskset", "-c", str(CPU)] + command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("bench/decode: FAILED: %s\n%s%s" % (" ".join(command), done.stdout, done.stderr))
    return done.stdout


def nanoseconds(command, abi=None):
    return float(re.match(r"([\d.]+) ns a record", run(command, abi)).group(1))


def verdict(ratio, goal, most):
    """`most`: the ratio should be at most the goal, else at least."""
    if goal is None:
        return ""
    met = ratio <= goal if most else ratio >= goal
    return "goal %s %.1f: %s" % ("<=" if most else ">=", goal, "met" if met else "NOT MET")


def in_turn(rows):
    """rows: name -> (command, abi). Each round runs all of them; name -> list of nanoseconds."""
    for command, abi in rows.values():
        nanoseconds(command, abi)  # a warm-up
    taken = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, (command, abi) in rows.items():
            taken[name].append(nanoseconds(command, abi))
    return taken


def print_ratio(title, above, below, goal=None, most=False):
    ratios = [a / b for a, b in zip(above, below)]
    middle = statistics.median(ratios)
    print("  %-46s %6.2f [%.2f..%.2f]   %s" % (title, middle, min(ratios), max(ratios), verdict(middle, goal, most)))


def print_times(taken):
    for name, values in taken.items():
        print("  %-46s %8.0f ns [%.0f..%.0f]" % (name, statistics.median(values), min(values), max(values)))


def core_job():
    print("\nThe core against simdjson On-Demand%s: time of ours / time of simdjson, every value found and numbers converted by both"
          % os.environ["SIMDJSON_VERSION"])
    if os.environ["SIMDJSON_MISSING"]:
        print("  skipped: " + os.environ["SIMDJSON_MISSING"])
        return
    for order, mode, what in (("minified", "fields", "find_field in order"), ("shuffled", "iterate", "its field iteration"),
                              ("python", "iterate", "its field iteration"), ("pretty", "iterate", "its field iteration")):
        file = f"{WORK}/{order}.jsonl"
        taken = in_turn({
            f"{order}: ours, decoded only": ([f"{WORK}/core", file, PASSES, "index"], None),
            f"{order}: ours": ([f"{WORK}/core", file, PASSES, "values"], None),
            f"{order}: simdjson, {what}": ([f"{WORK}/simdjson", file, PASSES, mode], None),
        })
        print_times(taken)
        alone, ours, theirs = taken.values()
        print_ratio(f"{order}: ours / {what}", ours, theirs, 1.0, most=True)
        print_ratio(f"{order}: the same, values left for later", alone, theirs)


def callgrind(command, abi=None):
    environment = dict(os.environ)
    if abi:
        environment["LUA_CPATH"] = f"{TOP}/build/{abi}/?.so;;"
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"] + command, env=environment,
                          capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def per_record(command, abi=None):
    """Instructions for each of the 2,000 records by which the two files differ; @ stands for 1000 or 3000."""
    few, many = (callgrind([word.replace("@", n) for word in command], abi) for n in ("1000", "3000"))
    return (many - few) / 2000


def instructions_job():
    print("\nInstructions a record (callgrind), finding and copying the line included")
    if not shutil.which("valgrind"):
        print("  skipped: valgrind is not installed")
        return
    for order, mode, goal in (("minified", "index", 7500), ("minified", "values", None), ("python", "index", None),
                              ("pretty", "index", None), ("shuffled", "index", None)):
        count = per_record([f"{WORK}/core", f"{WORK}/{order}.@.jsonl", "1", mode])
        print("  %-46s %8.0f   %s" % (f"core, {order}: {'decode' if mode == 'index' else 'decode and read all'}", count,
                                      verdict(count, goal, True)))
    if not os.environ["SIMDJSON_MISSING"]:
        count = per_record([f"{WORK}/simdjson.avx2", f"{WORK}/minified.@.jsonl", "1", "fields"])
        print("  %-46s %8.0f" % ("simdjson (AVX2), find_field in order, read all", count))
    base = per_record([os.environ["LUA"], "bench/decode/ours.lua", "none", f"{WORK}/minified.@.jsonl", "1"], "5.4")
    counts = {}
    for mode in ("cjson", "decode", "cjson+10", "decode+10", "select+10", "cjson+4", "reuse+4"):
        counts[mode] = per_record([os.environ["LUA"], "bench/decode/ours.lua", mode, f"{WORK}/minified.@.jsonl", "1"], "5.4") - base
        print("  %-46s %8.0f" % (f"Lua 5.4: {mode}, reading the line apart", counts[mode]))


def lua_job(title, interpreter, abi):
    print(f"\n{title} against lua-cjson: time of lua-cjson / time of ours")
    file = f"{WORK}/minified.jsonl"
    modes = ("cjson", "decode", "cjson+10", "decode+10", "select+10", "cjson+4", "reuse+4", "cjson+45", "decode+45")
    taken = in_turn({mode: ([interpreter, "bench/decode/ours.lua", mode, file, PASSES], abi) for mode in modes})
    print_times(taken)
    is_goal = abi == "5.4"
    for name, theirs, ours, goal in (("decode", "cjson", "decode", 10), ("decode, 10 members by index", "cjson+10", "decode+10", 5),
                                     ("decode, 10 members by select", "cjson+10", "select+10", 7),
                                     ("into the same record, 4 numbers by select", "cjson+4", "reuse+4", 13),
                                     ("decode, all 45 members by index", "cjson+45", "decode+45", None)):
        print_ratio(name, taken[theirs], taken[ours], goal if is_goal else None)


def access_job():
    print("\nReading one member, the loop's own time taken off")
    for name, interpreter, abi in (("Lua 5.4", os.environ["LUA"], "5.4"), ("LuaJIT, C calls not compiled", os.environ["LUAJIT"], "5.1")):
        print(f"  {name}")
        times = {}
        for _ in range(ROUNDS):
            for line in run([interpreter, "bench/decode/access.lua", f"{WORK}/minified.jsonl"], abi).splitlines():
                what, value = re.match(r"(.*?) +(-?[\d.]+) ns", line).groups()
                times.setdefault(what, []).append(float(value))
        for what, values in times.items():
            print("    %-24s %6.1f ns [%.1f..%.1f]" % (what, statistics.median(values), min(values), max(values)))
        if abi == "5.4":
            table = statistics.median(times["a member of a table"])
            for what in ("an integer", "an amount"):
                value = statistics.median(times[what])
                print("    %-24s %s" % (what, verdict(value, 30, True).replace("30.0", "30 ns")))
                print("    %-24s %4.1f times a table's   %s" % (what, value / table, verdict(value / table, 5, True)))


def memory_job():
    print("\nMemory of a record held (Lua heap)")
    for name, interpreter, abi in (("Lua 5.4", os.environ["LUA"], "5.4"), ("LuaJIT", os.environ["LUAJIT"], "5.1")):
        told = run([interpreter, "bench/decode/ours.lua", "memory", f"{WORK}/minified.jsonl"], abi).strip()
        ours, text = (int(n) for n in re.search(r"(\d+) with ours, of which (\d+)", told).groups())
        print("  %-8s %s   beyond the text: %s" % (name, told, verdict(ours - text, 300, True)))


def node_job():
    print("\nNode, 10 members read: time of theirs / time of decode and 10 members by index in Lua 5.4")
    if os.environ["SDK_MISSING"]:
        print("  skipped: " + os.environ["SDK_MISSING"])
        return
    file, lua = f"{WORK}/minified.1000.jsonl", os.environ["LUA"]
    taken = in_turn({
        "ours by index": ([lua, "bench/decode/ours.lua", "decode+10", file, "30"], "5.4"),
        "ours by select": ([lua, "bench/decode/ours.lua", "select+10", file, "30"], "5.4"),
        "Node, JSON.parse": (["node", f"{TOP}/build/bench/node.mjs", "parse", file, "30"], None),
        "the SDK's generationResponseFromJSON": (["node", f"{TOP}/build/bench/node.mjs", "sdk", file, "15"], None),
    })
    print_times(taken)
    ours, select, parse, sdk = taken.values()
    print_ratio("the SDK's parse / ours by index", sdk, ours, 8)
    print_ratio("JSON.parse / ours by index", parse, ours, 1.3)
    print_ratio("JSON.parse / ours by select", parse, select)


with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
    print(re.search(r"model name\s*: (.*)", cpuinfo.read()).group(1), "- on one core,", ROUNDS, "rounds, medians [least..most]")
if wanted("core"):
    core_job()
if wanted("instructions"):
    instructions_job()
if wanted("lua"):
    lua_job("Lua 5.4", os.environ["LUA"], "5.4")
if wanted("luajit"):
    lua_job("LuaJIT", os.environ["LUAJIT"], "5.1")
if wanted("access"):
    access_job()
if wanted("memory"):
    memory_job()
if wanted("node"):
    node_job()

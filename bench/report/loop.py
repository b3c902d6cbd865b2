"""python3 loop.py FILE: the same by json and dictionaries"""
import json
import math
import sys

groups = {}
for line in open(sys.argv[1], encoding="utf-8"):
    gen = json.loads(line)["data"]
    group = groups.setdefault((gen["model"], gen["created_at"][:10]), [0, 0.0, 0, 0, []])
    group[0] += 1
    group[1] += gen["total_cost"]
    group[2] += gen["native_tokens_prompt"]
    group[3] += gen["native_tokens_completion"]
    group[4].append(gen["latency"])
for (model, day), (generations, spend, prompt, completion, latencies) in groups.items():
    latencies.sort()
    p50, p95 = (latencies[max(math.ceil(len(latencies) * p / 100), 1) - 1] for p in (50, 95))
    print(model, day, generations, "%.12g" % spend, prompt, completion, p50, p95, sep="\t")

"""Who asks the proxy: wrk, and two small programs for what wrk does not do."""
import os
import re
import subprocess
import sys
import time

from proxy import Failed, WORK, port

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL_CALL = "/api/v1/chat/completions"
SLOW_CALL = "/api/v1/slow/chat/completions"
STREAM = "/api/v1/stream/chat/completions"


class Wrk:
    """with Wrk(proxy, path, connections, seconds) as wrk: …    When the block is left, wrk.result has what came of it."""

    def __init__(self, proxy, path, connections, seconds):
        command = ["wrk", "-t1", "-c%d" % connections, "-d%d" % seconds, "--timeout", "30", "-s", WORK + "/requests.lua"]
        self.process = subprocess.Popen(command + [proxy.url(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, universal_newlines=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.process.kill()
        output = self.process.communicate()[0]
        if kind:
            return
        result = re.search("^RESULT (.*)", output, re.MULTILINE)
        if not result:
            raise Failed("wrk: " + output.strip())
        self.result = {name: float(value) for name, value in (pair.split("=") for pair in result.group(1).split())}
        if self.result["failed"]:
            raise Failed("%d requests failed" % self.result["failed"])


def window(proxy, path, connections, warm_up, seconds):
    """Load the proxy, and look at it when it has settled down: what happened in `seconds`."""
    with Wrk(proxy, path, connections, int(warm_up + seconds) + 1) as wrk:
        time.sleep(warm_up)
        before = proxy.stats() if proxy.logging else {}
        proxy.gaps()
        requests, cpu = proxy.requests(), proxy.cpu()
        time.sleep(seconds)
        cpu, requests = proxy.cpu() - cpu, proxy.requests() - requests - 1    # to ask for their number is one
        gaps = proxy.gaps()
        after = proxy.stats() if proxy.logging else {}
    counts = {name: after[name] - before.get(name, 0) for name in after}
    logged = counts.get("captured_total", 0)
    if proxy.logging and logged < requests * 0.95:
        raise Failed("%d of %d requests were logged" % (logged, requests))
    if not requests or after.get("lost_total"):
        raise Failed("%d requests, %d ids lost" % (requests, after.get("lost_total", 0)))
    return {"us": cpu / requests * 1e6, "requests": requests, "p50": wrk.result["p50"] / 1e3, "p99": wrk.result["p99"] / 1e3,
            "gaps": gaps, "counts": counts, "after": after}


def _numbers(program, *arguments):
    done = subprocess.run([sys.executable, HERE + "/" + program, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    if done.returncode:
        raise Failed("%s: %s" % (program, (done.stderr.strip() or "it failed").splitlines()[-1]))
    return [float(line) for line in done.stdout.split()]


def probe(seconds):
    """Microseconds that each answer of the second location took."""
    return _numbers("probe.py", port("TEST_PORT"), "/static", seconds)


def stream():
    """Microseconds that each event of a stream was under way."""
    return _numbers("stream.py", port("PROXY_PORT"), STREAM)

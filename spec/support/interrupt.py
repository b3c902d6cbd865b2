"""Press Ctrl-C: run a command in a process group of its own, as a terminal does, and send all of it SIGINT.

    interrupt.py FILE LINES COMMAND...    once FILE has that many lines; exits with the command's status,
    which is 137 where it goes on for 20 s all the same
"""
import os
import signal
import subprocess
import sys
import time


def lines_in(path):
    try:
        with open(path, "rb") as file:
            return file.read().count(b"\n")
    except FileNotFoundError:
        return 0


def own_group():
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell may have started us deaf to it


path, lines = sys.argv[1], int(sys.argv[2])
process = subprocess.Popen(sys.argv[3:], preexec_fn=own_group)
deadline = time.monotonic() + 20
while lines_in(path) < lines and process.poll() is None and time.monotonic() < deadline:
    time.sleep(0.005)
try:
    os.killpg(process.pid, signal.SIGINT)
except ProcessLookupError:
    pass
try:
    status = process.wait(timeout=20)
except subprocess.TimeoutExpired:  # it did not listen
    os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
sys.exit(128 - status if status < 0 else status)

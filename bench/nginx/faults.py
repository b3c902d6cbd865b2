"""What can go wrong around a proxy that logs: how to bring it about, and how to see that it did go wrong."""
import os
import shutil
import subprocess

from proxy import Failed, port


class Impossible(Exception):
    """It cannot be brought about here."""


class Fault:
    def __init__(self, name, happened=None, **proxy):
        self.name = name
        self.happened = happened
        self.proxy = dict({"logging": True}, **proxy)

    def check(self, stats):
        if self.happened and not self.happened(stats):
            raise Failed("it did not come about")


def some_settled(stats):
    return any(name.startswith("generations_total") for name in stats)


def none_settled(stats):
    return stats.get("captured_total") and not some_settled(stats)


def some_unwritten(stats):
    return stats.get("unwritten")


def retried(kind):
    return lambda stats: none_settled(stats) and stats.get('retries_total{reason="%s"}' % kind)


def read_only(directory):
    if os.environ["ACCOUNT"]:
        shutil.chown(directory, "root")
    os.chmod(directory, 0o555)
    return []


# $1 is the directory, and the rest a command. The mount is in a namespace of its own, and gone with the last who is in it.
FULL = 'd=$1; shift; mount -t tmpfs -o size=1m,mode=0777 tmpfs "$d" && head -c 960k /dev/zero >"$d/filler" && exec "$@"'


def full_disk(directory):
    """A file system of 1 MiB, soon full. Without root it takes a user namespace, where that is allowed."""
    namespace = ["--mount"] if os.environ["ACCOUNT"] else ["--mount", "--map-root-user"]
    command = ["unshare", *namespace, "sh", "-c", FULL, "sh", directory]
    try:
        subprocess.run(command + ["true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=True)
    except (OSError, subprocess.CalledProcessError):
        raise Impossible("no file system can be mounted here")
    return command


def every():
    return [
        Fault("none, and logging off", logging=False),
        Fault("none", some_settled),
        Fault("API refuses connections", retried("network"), api_port=port("CLOSED_PORT")),
        Fault("API never answers", retried("timeout"), api="/hanging/v1", start="timeout = 0.5"),
        Fault("API answers 429", retried("rate_limited"), api="/busy/v1"),
        Fault("name server never answers", none_settled, host="silent.openrouter.ai", start="timeout = 0.5"),
        Fault("disk full", some_unwritten, prepare=full_disk),
        Fault("directory not writable", some_unwritten, prepare=read_only),
    ]

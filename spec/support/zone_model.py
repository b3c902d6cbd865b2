#!/usr/bin/env python3
"""Local times of every zone there is, by Python's zoneinfo: python3 zone_model.py DIRECTORY

Prints for each zone of DIRECTORY a line "= NAME", then "SECONDS|HOUR|DAY|WEEK|MONTH" for the second before, of and after
each change of its offset, and for random instants from 1970 to 2100. Zones with the same bytes come once."""
import os
import random
import struct
import sys
import zoneinfo
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
END = 4102444800  # 2100
WEEK = 7 * 86400
RANDOM = 250      # instants of each zone
YEARS = 4         # after the last change in the file, which are looked through for more


def local(zone, t):
    return (EPOCH + timedelta(seconds=t)).astimezone(zone)


def offset_text(delta):
    seconds = round(delta.total_seconds())
    sign, seconds = "-" if seconds < 0 else "+", abs(seconds)
    text = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}"
    return text + (f":{seconds % 60:02}" if seconds % 60 else "")


def names(at):
    """Hour, day, week and month of a local time."""
    year, week, _ = at.isocalendar()
    day = f"{at.year:04}-{at.month:02}-{at.day:02}"
    return f"{day} {at.hour:02}:00{offset_text(at.utcoffset())}", day, f"{year:04}-W{week:02}", day[:7]


def stored(data):
    """The instants that a file lists: only when to look, not what to find there."""
    counts = struct.unpack(">6L", data[20:44])
    isut, isstd, leap, time, kind, char = counts
    second = 44 + time * 5 + kind * 6 + char + leap * 8 + isstd + isut
    count, = struct.unpack(">L", data[second + 32:second + 36])
    return [t for t in struct.unpack(f">{count}q", data[second + 44:second + 44 + 8 * count]) if t > -50000000000]


def found(zone, start, end):
    """Changes of the offset between two instants, by looking."""
    for t in range(start, end, WEEK):
        low, high = t, t + WEEK
        if local(zone, low).utcoffset() == local(zone, high).utcoffset():
            continue
        while high - low > 1:
            middle = (low + high) // 2
            if local(zone, middle).utcoffset() == local(zone, low).utcoffset():
                low = middle
            else:
                high = middle
        yield high


def main():
    directory = sys.argv[1]
    zoneinfo.reset_tzpath([directory])
    seen = set()
    chance = random.Random(1)
    for name in sorted(zoneinfo.available_timezones()):
        with open(os.path.join(directory, name), "rb") as file:
            data = file.read()
        if data in seen:
            continue
        seen.add(data)
        zone = zoneinfo.ZoneInfo(name)
        changes = stored(data)
        start = max([1000000000] + changes[-1:]) + chance.randrange(0, 1500000000)
        changes.extend(found(zone, start, start + YEARS * 52 * WEEK))
        instants = {t + d for t in changes for d in (-1, 0, 1)} | {chance.randrange(0, END) for _ in range(RANDOM)}
        print("=", name)
        for t in sorted(instants):
            print(t, *names(local(zone, t)), sep="|")


if __name__ == "__main__":
    main()

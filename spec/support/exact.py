#!/usr/bin/env python3
"""Reads JSON files independently of the project: every value by its path, exactly as it is spelt.

    exact.py FILE...   ->   one line for each value in each file: ["FILE", [path...], "text"]

A path counts items from 1, as Lua does. Members come in the order of the file; a name that comes twice comes twice.
"""
import json
import re
import sys

SPACE = re.compile(r"[ \t\n\r]*")
decoder = json.JSONDecoder(strict=True)


def skip(text, at):
    return SPACE.match(text, at).end()


def members(text, at, decoder=decoder):
    """Yields (name, start, end, value) for the members of the object, or (place, ...) for the items of the array, at `at`."""
    is_object = text[at] == "{"
    at = skip(text, at + 1)
    place = 0
    while text[at] not in "}]":
        place += 1
        key = place
        if is_object:
            key, at = json.decoder.scanstring(text, at + 1, True)
            if text[at] != ":":
                at = skip(text, at)
            assert text[at] == ":"
            at += 1
            if text[at] <= " ":
                at = skip(text, at)
        value, end = decoder.raw_decode(text, at)
        yield key, at, end, value
        at = end
        if text[at] <= " ":
            at = skip(text, at)
        if text[at] == ",":
            at += 1
            if text[at] <= " ":
                at = skip(text, at)


def walk(file, text, path, start, end):
    print(json.dumps([file, path, text[start:end]], ensure_ascii=False))
    if text[start] in "{[":
        for key, inner_start, inner_end, _ in members(text, start):
            walk(file, text, path + [key], inner_start, inner_end)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8", newline="") as source:
            body = source.read()
        first = skip(body, 0)
        _, last = decoder.raw_decode(body, first)
        assert skip(body, last) == len(body), name
        walk(name, body, [], first, last)

#!/usr/bin/env python3
"""Texts for openrouter.decode, and what each of them comes to by Python's json and decimals, for spec/differential_spec.lua.

    differential.py COUNT SEED integers|doubles

`integers` for a Lua that has them, `doubles` for one where every number is a double. Each text comes as

    TEXT PATHS READING NAME\n     bytes in each of the three parts, and what kind of text it is
    text, paths (JSON), reading

and after the last one `end`, with the number of times each rule was needed, as JSON. A reading is "refused" for what is no
JSON object, "none" for what holds no record, else everything that can be asked of the record; see read().
"""
import json
import math
import re
import sys

import costs
from exact import members, skip

# Where we are to differ from what Python's json makes of a text, and why. Everything else has to be the same.
RULES = {
    "no such word": "NaN and Infinity are none of JSON's",
    "lone surrogate": "it is no character, so UTF-8, which is what Lua gets, has no bytes for it",
    "not UTF-8": "RFC 8259 section 8.1; Python would guess at UTF-16 and UTF-32",
    "too deep": "128 arrays and objects inside one another; a record needs 4",
    "answer apart": "a ledger line's answer is counted by itself, as what fitted when it came has to be readable later",
    "no object": "a record is an object",
    "which object": "the answer of a settled line, a data object, no record where there is an error; else the outermost one",
    "last one": "of several members of one name the last one counts, in the place of the first; Python says so too, by dict",
    "mismatch": "a known member of another type than the schema's reads as nil; exact and totable have it",
    "integral": "a count is the integer it is worth, however it is spelt: 10.0 or 1e1",
    "double": "a cost or a time is a double, even if it is spelt without a point",
    "64 bits": "an integer beyond them is the nearest double, as there is no larger integer in Lua",
    "infinite": "a number beyond all doubles: a known member is a mismatch, any other one infinite (exact has its digits)",
    "nil": "null reads as nil, which is no value in a table: it is absent, or leaves its place in a list empty",
    "no entry": "what is no object among provider_responses is no call to a provider; the others keep their places",
    "all doubles": "before Lua 5.3 an integer is the double next to it",
}
used = dict.fromkeys(RULES, 0)


def rule(name):
    used[name] += 1


# ---- the field table --------------------------------------------------------------------------------------------------

with open("csrc/fields.def", encoding="utf-8") as table:
    ENTRIES = re.findall(r"^(FIELD|RESPONSE)\((\w+), (\w+),", table.read(), re.MULTILINE)
FIELDS = {name: kind for which, name, kind in ENTRIES if which == "FIELD"}
RESPONSES = {name: kind for which, name, kind in ENTRIES if which == "RESPONSE"}

# ---- reading ----------------------------------------------------------------------------------------------------------


class Number(str):
    """A number, as it is spelt."""


class Object(list):
    """An object's members, as pairs."""


class Refused(Exception):
    pass


def no_word(_):
    rule("no such word")
    raise Refused


decoder = json.JSONDecoder(object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=no_word)
TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^ \t\r\n"]+')
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
BRACKETS = re.compile(r"[^][{}]+")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
DECIMAL = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?")
DEPTH = 128
INT64 = range(-(2**63), 2**63)
integers = True


def minify(text):
    return "".join(TOKEN.findall(text))


def depth(text):
    """How many arrays and objects are inside one another, the outermost one included; or more, where it is below the limit."""
    openings = text.count("{") + text.count("[")
    if openings < DEPTH:
        return openings
    now = most = 0
    for bracket in BRACKETS.sub("", STRING.sub("", text)):
        now += 1 if bracket in "{[" else -1
        most = max(most, now)
    return most


# What is shown of a value: "nil", "null", "true", "i10" (an integer), "d1.5" (a double, with all it has), "s5:bytes" (with
# their number), "{key=value;...}" in the order of the keys.


def show_integer(number):
    if integers:
        return f"i{number}"
    rule("all doubles")
    return f"d{float(number):.17g}"


def show_double(text):
    return f"d{float(text):.17g}"


def show_string(text):
    return f"s{len(text) if text.isascii() else len(text.encode())}:{text}"


def show_number(text):
    """Of a member nothing is known of: an integer where it is spelt as one."""
    if text.lstrip("-").isdecimal():
        if len(text) <= 20 and int(text) in INT64:
            return show_integer(int(text))
        rule("64 bits")
    number = float(text)
    if math.isinf(number):
        rule("infinite")
    return show_double(text)


def show_table(items):
    return "{" + "".join(f"{key}={value};" for key, value in items if value is not None) + "}"


def last_ones(pairs):
    by_name = dict(pairs)
    if len(by_name) < len(pairs):
        rule("last one")
    return by_name


def show(value, null=None):
    """None for nil. `null` is what to show for one."""
    if value is None:
        if null is None:
            rule("nil")
        return null
    kind = type(value)
    if kind is str:
        return show_string(value)
    if kind is Number:
        return show_number(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is Object:
        return show_table((show_string(name), show(item, null)) for name, item in sorted(last_ones(value).items()))
    return show_table((show_integer(i), show(item, null)) for i, item in enumerate(value, 1))


def integer(text):
    """What it is worth, if that is an integer of 64 bits."""
    sign, whole, fraction, exponent = DECIMAL.fullmatch(text).groups()
    digits = (whole + (fraction or "")).lstrip("0")
    if not digits:
        return 0
    zeros = len(digits) - len(digits.rstrip("0"))
    places = int(exponent or 0) - len(fraction or "") + zeros
    if places < 0 or len(digits) - zeros + places > 19:
        return None
    number = int(sign + digits.rstrip("0")) * 10**places
    return number if number in INT64 else None


def show_typed(kind, value):
    """What a known member reads as; None for nil, which it is if the type is another one."""
    shown = None
    if kind in ("STRING", "ENUM"):
        shown = show_string(value) if type(value) is str else None
    elif kind == "BOOLEAN":
        shown = show(value) if type(value) is bool else None
    elif kind == "LIST":
        shown = show_responses(value) if type(value) is list else None
    elif type(value) is Number and kind == "INTEGER":
        number = integer(value)
        if number is not None:
            shown = show_integer(number)
            if not value.lstrip("-").isdecimal():
                rule("integral")
    elif type(value) is Number:
        if math.isfinite(float(value)):
            shown = show_double(value)
            if value.lstrip("-").isdecimal():
                rule("double")
        else:
            rule("infinite")
    if shown is None and value is not None:
        rule("mismatch")
    return shown


def show_responses(entries):
    return show_table((show_integer(i), show_response(entry)) for i, entry in enumerate(entries, 1))


def show_response(entry):
    if type(entry) is not Object:
        rule("no entry")
        return None
    return show_table(
        (show_string(name), show_typed(RESPONSES[name], value) if name in RESPONSES else show(value))
        for name, value in sorted(last_ones(entry).items())
    )


def state(kind, value):
    """`kind` is None where nothing is known of the member, and OBJECT for an entry of provider_responses."""
    if value is None:
        return "null"
    if kind is None:
        return "value"
    if kind == "OBJECT":
        return "value" if type(value) is Object else "mismatch"
    return "value" if show_typed(kind, value) is not None else "mismatch"


# ---- spend ------------------------------------------------------------------------------------------------------------


def money(text):
    """Units of 10^-27 USD, or None beyond 128 bits. The number is one that fits a double."""
    exponent = int(DECIMAL.fullmatch(text).group(4) or 0)
    if abs(exponent) > 5000:
        return 0  # as the digits are fewer than that
    units, _ = costs.units(text)
    return units if -costs.LIMIT < units < costs.LIMIT else None


def spend(by_name):
    """(units, None) or (None, why), by the table in csrc/spend.h."""

    def figure(name):
        value = by_name.get(name)
        return value if type(value) is Number and math.isfinite(float(value)) else None

    cost = figure("total_cost") or figure("usage")
    if cost is None:
        return None, "neither total_cost nor usage has a figure"
    units = money(cost)
    if units is None:
        return None, "the cost is beyond the range of money"
    byok = by_name.get("is_byok", False)
    if type(byok) is not bool:
        return None, "is_byok is neither true nor false"
    if byok:
        upstream = figure("upstream_inference_cost")
        if upstream is None:
            return None, "is_byok without an upstream_inference_cost"
        more = money(upstream)
        if more is None or not -costs.LIMIT <= units + more < costs.LIMIT:
            return None, "the upstream cost is beyond the range of money"
        units += more
    return units, None


# ---- which object is the record ---------------------------------------------------------------------------------------


def which(last):
    """Of an object with these members: "answer", "data", "itself", or None where there is no record."""
    if "settled" in last and type(last.get("answer")) is Object:
        return "answer"
    if type(last.get("data")) is Object:
        return "data"
    if type(last.get("error")) in (Object, str) or not {"failed", "pending", "note"}.isdisjoint(last):
        return None
    return "itself"


def choose(text, start, end):
    """Where the record begins and ends, the same of the answer around it, and the context; None where there is no record."""
    places, last = {}, {}
    for name, first, behind, value in members(text, start, decoder):
        places[name], last[name] = (first, behind), value
    found = which(last)
    if found != "itself":
        rule("which object")
    if found is None:
        return None
    if found != "answer":
        return places.get("data") if found == "data" else (start, end), (start, end), None
    context = last.get("context")
    answer = record = places["answer"]
    for name, first, behind, value in members(text, answer[0], decoder):
        if name == "data":
            record = (first, behind) if type(value) is Object else answer
    return record, answer, context if type(context) is Object else None


def too_deep(text, start):
    if depth(text) <= DEPTH:
        return False
    for name, at, end, value in members(text, start, decoder):
        if name == "answer" and type(value) is Object:
            if depth(text[at:end]) > DEPTH + 1:
                return True
            rule("answer apart")
        elif depth(text[at:end]) > DEPTH - 1:
            return True
    return False


# ---- one text ---------------------------------------------------------------------------------------------------------


def parse(raw):
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        rule("not UTF-8")
        raise Refused from None
    start = skip(text, 0)
    try:
        whole, end = decoder.raw_decode(text, start)
    except (json.JSONDecodeError, RecursionError):
        raise Refused from None
    if skip(text, end) != len(text):
        raise Refused
    if SURROGATE.search(text):
        try:
            json.dumps(whole, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            rule("lone surrogate")
            raise Refused from None
    if type(whole) is not Object:
        rule("no object")
        raise Refused
    if too_deep(text, start):
        rule("too deep")
        raise Refused
    return text, start, end


ABSENT = {name: f"{name} nil absent nil" for name in FIELDS}


def read(raw):
    """The paths to ask for, and the reading: one thing in a line, in the order in which the spec asks for them."""
    try:
        text, start, end = parse(raw)
    except Refused:
        return [], "refused"
    chosen = choose(text, start, end)
    if chosen is None:
        return [], "none"
    (at, end), answer, context = chosen
    by_name, spelt, places = {}, {}, {}
    for name, first, behind, value in members(text, at, decoder):
        if name in by_name:
            rule("last one")
        by_name[name], spelt[name], places[name] = value, text[first:behind], first
    lines, paths = [], []

    # every field: its value, state and exact text
    for name, kind in FIELDS.items():
        if name in by_name:
            value = by_name[name]
            lines.append(f"{name} {show_typed(kind, value) or 'nil'} {state(kind, value)} {spelt[name]}")
        else:
            lines.append(ABSENT[name])

    # pairs
    for name, value in by_name.items():
        shown = show_typed(FIELDS[name], value) if name in FIELDS else show(value)
        lines.append(f"{show_string(name)} {shown or 'nil'}")

    # totable
    lines.append(
        show_table(
            (show_string(name), (FIELDS.get(name, "LIST") != "LIST" and show_typed(FIELDS[name], value)) or show(value, "null"))
            for name, value in sorted(by_name.items())
        )
    )

    # what is behind a path: its state and exact text
    def ask(path, kind, value, exact):
        paths.append(path)
        lines.append(f"{state(kind, value)} {exact}")

    for name, value in by_name.items():
        if name not in FIELDS:
            ask([name], None, value, spelt[name])
        if type(value) in (list, Object):
            ask_inside(ask, paths, lines, text, [name], places[name])

    # everything else
    record = minify(text[at:end])
    whole = minify(text[slice(*answer)]) if answer[0] != at else '{"data":' + record + "}"
    lines.append(record)
    lines.append(whole)
    lines.append("generation " + spelt["id"][1:-1] if type(by_name.get("id")) is str else "generation without id")
    lines.append(show(context) if context is not None else "nil")
    units, why = spend(by_name)
    lines.append(f"nil {why}" if units is None else f"d{units / 10**27:.17g} {costs.plain(units)}")

    # whether it reads back from a ledger line, and the record by itself
    by_itself = which(by_name) == "itself" and not too_deep(record, 0)
    lines.append(f"{depth(whole) <= DEPTH + 1} {by_itself}".lower())
    return paths, "\n".join(lines)


def ask_inside(ask, paths, lines, text, path, at):
    """The items of a list, or the members of an object; of an entry of provider_responses, which has types, those too."""
    last = {}
    for key, first, end, value in members(text, at, decoder):
        last[key] = (first, text[first:end], value)
    responses = path == ["provider_responses"] and text[at] == "["
    entry = len(path) == 2 and path[0] == "provider_responses" and type(path[1]) is int and text[at] == "{"
    for i, (key, (first, exact, value)) in enumerate(last.items()):
        if i >= 10 and i < len(last) - 1:
            continue  # of a long list the ends are enough
        ask(path + [key], "OBJECT" if responses else RESPONSES.get(key) if entry else None, value, exact)
        if len(path) < 3 and type(value) in (list, Object):
            ask_inside(ask, paths, lines, text, path + [key], first)
    paths.append(path + [len(last) + 1 if text[at] == "[" else "no such name"])
    lines.append("absent nil")


# ---- writing: chance ----------------------------------------------------------------------------------------------------

rng = costs.rng
chance, choice = costs.chance, costs.pick


def below(low, high=None):
    """As rng.randrange, but fast; for small numbers."""
    return costs.below(low, high) if high is not None else int(chance() * low)


FILLER = "".join(chr(c) for c in range(32, 127) if chr(c) not in '"\\') * 4

# ---- writing: strings, spelt as in JSON but for the quotes ----------------------------------------------------------------

SPECIAL = (
    r'\" \\ \/ \b \f \n \r \t \u0041 \u0000 \u001f \u007F \u0080 \u00e9 \u07ff \u0800 \u20AC \uD7FF \uE000 \uffff'
    r" \uD83D\uDE00 \ud800\udc00 \uDBFF\uDFFF \u0022 \u005C \u002f"
).split() + [chr(c) for c in (0x7F, 0x80, 0xE9, 0x7FF, 0x800, 0x2028, 0x20AC, 0xCFFF, 0xD7FF, 0xE000, 0xFEFF, 0xFFFD, 0xFFFF)]
SPECIAL += [chr(c) for c in (0x10000, 0x1F600, 0x3FFFF, 0x40000, 0xFFFFF, 0x100000, 0x10FFFF)] + ["{", "}", "[", "]", ",", ":"]
LENGTHS = [n + d for n in (0, 8, 16, 24, 32, 48, 64, 96, 128) for d in (-2, -1, 0, 1, 2) if n + d >= 0]
WORDS = (
    "openai/gpt-4o gen-1767225600-AbCdEfGhIjKlMnOpQrSt 2026-11-20T10:00:00.000Z stop length https://example.org/ completions"
    " europe flex priority global true null 0 1e5"
).split()


def filler(length):
    at = below(len(FILLER) // 4)
    text = FILLER[at : at + length]
    return text if len(text) == length else (text * (length // len(text) + 1))[:length]


def one_special(special, length, offset):
    return filler(offset) + special + filler(max(0, length - offset))


def spelling():
    die = below(8)
    if die < 2:
        return choice(WORDS)
    if die == 2:
        return filler(below(40))
    if die == 3:
        length = choice(LENGTHS)
        return one_special(choice(SPECIAL), length, below(length + 1))
    if die == 4:
        return "".join(choice(SPECIAL) for _ in range(below(6)))
    if die == 5:
        return "".join(choice(SPECIAL) + filler(below(20)) for _ in range(below(4)))
    if die == 6 and chance() < 0.5:  # backslashes in a row, a quote behind some of them
        return filler(below(20)) + "\\\\" * below(12) + choice(["", "", '\\"', '\\"\\\\', "\\u005c", "x", filler(below(20))])
    if die == 6:
        return "".join(chr(code) for code in (below(32, 0x3000) for _ in range(below(20))) if chr(code) not in '"\\')
    return ""


def escaped(name):
    """The same name with an escape or several in it."""
    most = choice([0.1, 0.5, 1])
    return "".join(choice([f"\\u{ord(c):04x}", f"\\u{ord(c):04X}"]) if chance() < most else c for c in name)


# ---- writing: numbers -----------------------------------------------------------------------------------------------------


def any_double():
    while True:
        number = costs.struct.unpack("<d", rng.randbytes(8))[0]
        if math.isfinite(number):
            return number


def spelt_double():
    number = choice([any_double, costs.bill, lambda: chance() * 10 ** below(-12, 6), lambda: float(below(100000))])()
    return choice([repr, costs.javascript, lambda x: f"{x:.17g}", lambda x: f"{x:.17e}", lambda x: f"{x:E}"])(number)


EXTREMES = (
    "0 -0 0.0 -0.0 0e0 -0E-5 0e999999999999 0.000 1 -1 10 10.0 1e1 1E+1 100e-1 1.0e0 10.5 1e-1 0.5 -7.0 120e-1 125e-1"
    " 2147483647 2147483648 -2147483648 -2147483649 4294967295 4294967296 9007199254740991 9007199254740992 9007199254740993"
    " 9007199254740993.0 -9007199254740993 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809"
    " 9223372036854775807.0 922337203685477580.7e1 9223372036854775808e0 18446744073709551615 18446744073709551616 1e18 1e19 1e20"
    " 1e22 1e23 123456789012345678901234567890 1.7976931348623157e308 1.7976931348623158e308 1.7976931348623159e308 1e308 1e309"
    " -1e400 1e999999999999999999999 1e-999999999999999999999 5e-324 4.9406564584124654e-324 2.4703282292062327e-324 2e-324"
    " 2.2250738585072014e-308 2.2250738585072011e-308 1e-400 0.1 0.2 0.3 3.452e-05 4.2e-7 1e-27 1e-28 5e-28 1.5e-27 170141183460"
    " 170141183460.469231731687303715884105727 170141183460.469231731687303715884105728 1.8e11 200 404 529"
).split()


def long_number():
    digits = str(rng.randrange(1, 10 ** below(300, 420)))
    point = below(len(digits) + 1)
    if point == 0:
        return "0." + digits + choice(["", "e200", "e-20", "E+5"])
    return digits[:point] + ("." + digits[point:] if digits[point:] else "") + choice(["", "e-300", f"e-{point}", "e-100", "E+1"])


def any_digits():
    text = str(rng.randrange(10 ** below(1, 22)))
    if chance() < 0.5:
        text += "." + str(rng.randrange(10 ** below(1, 22)))
    if chance() < 0.3:
        text += choice("eE") + choice(["", "+", "-"]) + str(below(40))
    return text


def number():
    die = below(10)
    if die < 3:
        text = spelt_double()
    elif die < 5:
        text = str(below(10 ** below(1, 7)))
    elif die < 8:
        text = choice(EXTREMES)
    elif die == 8:
        text = any_digits()
    else:
        text = long_number() if chance() < 0.3 else any_digits()
    return "-" + text if chance() < 0.1 and text[0] != "-" else text


def count():
    return str(below(10 ** below(1, 7))) if chance() < 0.7 else choice(EXTREMES)


def cost():
    return choice(costs.MAKERS)() if chance() < 0.6 else number()


# ---- writing: values, as lists of tokens ----------------------------------------------------------------------------------


def quoted(text):
    return ['"' + text + '"']


def joined(brackets, parts):
    tokens = [brackets[0]]
    for part in parts:
        tokens += part
        tokens.append(",")
    if len(tokens) > 1:
        tokens.pop()
    tokens.append(brackets[1])
    return tokens


def array(items):
    return joined("[]", items)


def object_of(pairs):
    return joined("{}", [quoted(name) + [":"] + value for name, value in pairs])


def anything(depth):
    die = below(10 if depth > 0 else 6)
    if die < 2:
        return quoted(spelling())
    if die < 4:
        return [number()]
    if die < 6:
        return [choice(["null", "true", "false"])]
    if die < 8:
        return array(anything(depth - 1) for _ in range(choice([0, 1, 1, 2, 3, 9])))
    return object_of((any_name(), anything(depth - 1)) for _ in range(choice([0, 1, 1, 2, 3])))


def right(kind):
    if kind in ("STRING", "ENUM"):
        return quoted(spelling())
    if kind == "BOOLEAN":
        return [choice(["true", "false"])]
    if kind == "LIST":
        return array(entry() for _ in range(choice([0, 1, 1, 2, 5])))
    return [count() if kind == "INTEGER" else cost() if kind == "MONEY" else number()]


def value_for(kind):
    die = chance()
    if die < 0.75:
        return right(kind)
    return ["null"] if die < 0.85 else anything(2)


def any_name():
    if chance() < 0.3:
        return choice(["x", "y", "data", "id", "status", "answer", ""])
    return spelling()


NEAR = [near for name in FIELDS for near in (name[:-1], name[1:], name + "s", name.upper(), name + "\\u0000", " " + name)]


def member_name(names):
    """One of these names or another one, spelt in one way or another."""
    die = chance()
    if die < 0.85:
        name = choice(names)
        return name, escaped(name) if chance() < 0.05 else name
    if die < 0.9:
        return None, choice(NEAR)
    return None, any_name()


def entry():
    if chance() < 0.1:
        return anything(1)
    pairs = []
    for _ in range(choice([0, 2, 4, 8, 10])):
        name, spelt = member_name(list(RESPONSES))
        pairs.append((spelt, value_for(RESPONSES[name]) if name else anything(2)))
    return object_of(pairs)


NAMES = list(FIELDS)
PLACE = {name: i for i, name in enumerate(NAMES)}


def record():
    how = below(20)
    if how == 0:  # as the service writes it
        names = NAMES[:]
    else:
        names = sorted(rng.sample(NAMES, below(24) if how < 14 else below(6)), key=PLACE.get)
    if how in (1, 2, 3, 4):
        rng.shuffle(names)
    elif how in (5, 6):
        names.reverse()
    pairs = [(escaped(name) if chance() < 0.03 else name, value_for(FIELDS[name])) for name in names]
    for _ in range(choice([0, 0, 1, 2, 5])):
        name, spelt = member_name(NAMES)
        pairs.insert(below(len(pairs) + 1), (spelt, value_for(FIELDS[name]) if name else anything(3)))
    if chance() < 0.2 and pairs:  # once more
        spelt, value = choice(pairs)
        pairs.insert(below(len(pairs) + 1), (spelt, choice([value, ["null"], anything(1)])))
    return object_of(pairs)


# ---- writing: whole texts -------------------------------------------------------------------------------------------------


def context():
    return object_of((any_name(), choice([quoted(spelling()), [number()], ["true"]])) for _ in range(below(4)))


AROUND = ["error", "pending", "note", "failed", "context", "at", "settled", "answer", "data", "x", "user_id"]


def odd(tokens):
    """A record among members that have a say in which object it is."""
    parts = [(choice(AROUND), anything(1)) for _ in range(below(4))]
    parts.insert(below(len(parts) + 1), (choice(["data", "data", "answer", "error", "x"]), tokens))
    if chance() < 0.3:
        parts.append((choice(["data", "answer"]), choice([tokens, ["null"], object_of([("data", tokens)]), anything(1)])))
    return object_of((escaped(name) if chance() < 0.05 else name, value) for name, value in parts)


def settled(answer):
    parts = [("settled", quoted("gen-1")), ("at", quoted("2026-11-21T00:00:00.000Z")), ("context", context()), ("answer", answer)]
    if chance() < 0.2:
        rng.shuffle(parts)
    if chance() < 0.2:
        parts.insert(below(5), (choice(AROUND), anything(1)))
    if chance() < 0.1:
        parts.insert(below(5), ("answer", choice([object_of([("data", anything(1))]), object_of([("id", ['"b"'])]), ["null"]])))
    return object_of(parts)


def document():
    tokens = record()
    die = below(20)
    if die < 9:
        return object_of([("data", tokens)])
    if die < 12:
        return tokens
    if die < 16:
        return settled(object_of([("data", tokens)]))
    if die == 16:
        return settled(choice([tokens, odd(tokens)]))
    return odd(tokens)


NO_SPACE = ["\f", "\v", "\b", "\0", "\x1f", "\x7f", "\x85", "\xa0", "\u2028", "\u3000", "\ufeff"]
NO_SPACE += ["\\n", "\\", "/**/", "//\n", "#", ";", "x", "1", '""']
GAPS = ["", "", "", "", " ", "\n", "\t", "\r", "\r\n", "  ", " \n\t\r ", " " * 7, " " * 8, " " * 16, "\n" + " " * 31, "\t" * 33]


def with_space(tokens):
    style = below(8)
    if style < 3:
        return "".join(tokens)
    if style == 3:  # as Python writes
        return "".join({",": ", ", ":": ": "}.get(token, token) for token in tokens)
    if style < 6:
        return "".join(gap + token for gap, token in zip(rng.choices(GAPS, k=len(tokens)), tokens)) + choice(GAPS)
    out, level, step, line = [], 0, choice(["  ", "    ", "\t"]), choice(["\n", "\r\n"])
    for token in tokens:
        if token in ("}", "]"):
            level -= 1
            out.append(line + step * level)
        out.append(token)
        if token in ("{", "["):
            level += 1
        if token in ("{", "[", ","):
            out.append(line + step * level)
        elif token == ":":
            out.append(" ")
    return "".join(out) + line


def around(value):
    """Such a value in some place, for texts that are about one value."""
    name = choice(["x", "model", "total_cost", "latency", "provider_responses", "id"])
    return choice(
        ['{"data":{"%s":%s}}', '{"%s":%s}', '{"%s":[1,%s]}', '{"data":{"a":1,"%s": %s ,"id":"b"}}', '{"%s":{"y":%s}}',
         '{"settled":"a","answer":{"data":{"%s":%s}}}', '{"data":{"provider_responses":[{"%s":%s}]}}']
    ) % (name, value)


def bad_space():
    """Something between two tokens, or in the place of one."""
    tokens = object_of([(choice(NAMES), anything(1)) for _ in range(below(1, 4))])
    at = below(len(tokens) + 1)
    tokens[at : at + choice([0, 0, 1])] = [choice(NO_SPACE)]
    return "".join(tokens)


def strings_at_offsets():
    """One character at every place of a string of some length: as items, as members' values and as names."""
    special, length = choice(SPECIAL), below(80)
    texts = [one_special(special, length, offset) for offset in range(length + 1)]
    names = iter(rng.sample([name for name, kind in FIELDS.items() if kind == "STRING"], 12))
    pairs = [(name, quoted(choice(texts))) for name in names]
    pairs.append(("x", array(quoted(text) for text in texts)))
    pairs += [(choice(texts), [str(i)]) for i in range(5)]
    return with_space(choice([object_of(pairs), object_of([("data", object_of(pairs))])]))


BAD_BYTES = [
    bytes.fromhex(word)
    for word in (
        "00 01 0a 1f 80 bf c080 c1bf c2 df c328 e08080 e09fbf e282 e228a1 e28228 eda080 edbfbf efbf f0808080 f08fbfbf f09f98"
        " f0288cbc f09028bc f0908c28 f4908080 f5808080 f888808080 fe ff"
    ).split()
]
BAD_ESCAPES = (
    r"\ud800 \uDBFF \udc00 \uDFFF \ud800\u0041 \ud800\ud800 \ud800\n \ud800x \udc00\ud800 \uD834\u \uD834\uDD \uD834\uDD1 \u \u1"
    r" \u12 \u123 \u12g4 \ug123 \u-123 \u+123 \U0041 \x41 \' \0 \a \v \e \N"
).split()
BAD_NUMBERS = (
    "- + +1 -+1 --1 01 -01 00 -00 0123 1. -1. 1.e5 .5 -.5 1e 1E+ 1e- 1e+- 1e5.5 1.5.5 1..5 0x10 1_000 1,5 ,1 1e5e5 1f 1L 0b1 ١ １"
    " 1٢ NaN -NaN Infinity -Infinity inf nan 1e١ 1.٣ ½"
).split()
BAD_WORDS = (
    "tru true1 True TRUE truee fals falsee False nul nulll Null None none undefined t f n nan yes ' '' 'a' // /**/ # , ,, : ; [ ]"
    ' { } [, [1, [1,] [,1] [1,,2] [1 2] {, {"a" {"a": {"a":} {"a":1,} {,"a":1} {"a":1,,"b":2} {"a":1 "b":2} {"a" 1} {a:1} {1:2}'
    ' {"a":1]} [1} "a "a\\" a" ""a'
).split(" ")


def bad_character():
    """One byte of it is wrong, in the way a look at some bits does not see."""
    code = choice([below(0x80, 0x800), below(0x800, 0xD800), below(0xE000, 0x10000), below(0x10000, 0x110000)])
    whole = bytearray(chr(code).encode())
    whole[below(len(whole))] = choice(b"(\x7f\x80\xbf\xc0\xc1\xc2\xe0\xe2\xed\xf0\xf4\xf5\xff") if chance() < 0.9 else below(256)
    return bytes(whole)


def bad_hex():
    digits = list(choice(["0041", "00e9", "20AC", "FfFf", "0000", "d83D", "DE00"]))
    digits[below(4)] = choice("/:@G`g -+x.\"\\")
    return choice(["\\u", "\\ud83d\\u"]) + "".join(digits)


def bad_string():
    length = choice(LENGTHS)
    offset = below(length + 1)
    bad = choice([lambda: choice(BAD_BYTES), bad_character, lambda: choice(BAD_ESCAPES).encode(), lambda: bad_hex().encode()])()
    start = (choice(SPECIAL) if chance() < 0.3 else "") + filler(offset)
    text = b'"' + start.encode() + bad + filler(length - offset).encode() + b'"'
    if chance() < 0.2:  # as a name
        return around("{\0:1}").encode().replace(b"\0", text)
    return around("\0").encode().replace(b"\0", text)


def deep():
    brackets = choice([("[", "]"), ('{"a":', "}"), ('{"answer":', "}"), ('{"data":', "}"), ('[{"a":', "}]"), ("[1,", ",2]")])
    levels = (DEPTH + below(-4, 4)) // (2 if brackets[0].startswith("[{") else 1)
    body = brackets[0] * levels + choice(["1", "[]", "{}", "null", '"x"', '"[[[["']) + brackets[1] * levels
    places = (
        '%s [%s] {"x":%s} {"x":%s,"x":1} {"data":{"x":%s}} {"data":{"provider_responses":%s}} {"answer":%s}'
        ' {"settled":1,"answer":%s} {"settled":1,"answer":{"x":%s}} {"settled":1,"answer":{"data":{"x":%s,"id":"a"}}}'
        ' {"settled":1,"x":%s,"answer":{}} {"answer":%s,"answer":{"data":{}},"settled":1}'
    ).split()
    return choice(places) % body


NASTY = [bytes([c]) for c in b'\0"\\{}[],:0123456789.eE+-u \t\n\r/tfn\x7f\x80\xbf\xc2\xe2\xed\xf0\xf4\xff']
NASTY += [b"\\u", b'","', b"null", b"\xef\xbb\xbf"]
OTHERS = ["", " ", "{}", "{} x", "{}{}", "\ufeff{}", "[{}]", "{}\0", "nul"]


def damaged(raw):
    """One byte is another, is missing or too many, or the end is."""
    at = below(len(raw) + 1)
    die = below(12)
    if die > 9:  # what holds the rest together
        at = choice([i for i, byte in enumerate(raw) if byte in b'{}[],:"'] or [0])
        return raw[:at] + bytes([choice([below(256), choice(b'{}[],:";=(')])]) + raw[at + 1 :]
    if die < 4:
        return raw[:at] + (choice(NASTY) if die < 3 else bytes([below(256)])) + raw[at + 1 :]
    if die < 6:
        return raw[:at] + choice(NASTY) + raw[at:]
    if die < 8:
        return raw[:at] + raw[at + 1 :]
    if die == 8:
        return raw[:at]
    end = min(len(raw), at + below(1, 20))
    return raw[:at] + raw[end:] if chance() < 0.5 else raw[:end] + raw[at:]


def texts(count):
    """(kind, bytes)"""
    base = [b"{}"]
    for i in range(count):
        die = i % 100
        if die < 58:
            raw = with_space(document()).encode()
            base = [raw] + base[:3]
            yield "record", raw
        elif die < 60:
            yield "offsets", strings_at_offsets().encode()
        elif die < 62:
            yield "bad space", bad_space().encode()
        elif die < 70:
            yield "bad string", bad_string()
        elif die < 74:
            yield "bad number", around(choice(BAD_NUMBERS)).encode()
        elif die < 77:
            yield "bad value", around(choice(BAD_WORDS)).encode()
        elif die < 79:
            yield "deep", deep().encode()
        elif die < 80:
            yield "other", choice([with_space(anything(2))] + OTHERS).encode()
        else:
            yield "damaged", damaged(choice(base))


def main():
    global integers
    amount, seed, integers = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "integers"
    rng.seed(seed)
    out = open(sys.stdout.fileno(), "wb", buffering=2**20, closefd=False)
    for kind, raw in texts(amount):
        paths, reading = read(raw)
        parts = [raw, json.dumps(paths).encode(), reading.encode()]
        out.write(("%d %d %d %s\n" % (*map(len, parts), kind)).encode())
        out.writelines(parts)
        out.write(b"\n")
    if integers:
        del used["all doubles"]
    out.write(("end %s\n" % json.dumps(used)).encode())
    out.close()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Amounts of money and what they come to, worked out with Python's decimals.

    costs.py COUNT            for spec/spend_spec.lua: lines of five columns, apart by tabs:
      total_cost   upstream_inference_cost   both as JSON numbers
      total        the first one in units of 10^-27 USD, ties to even, as plain text; "-" beyond 128 bits
      sum          of both, each rounded by itself; "-" where one of them or the sum is beyond 128 bits
      rounded      1 where the first one has more than 27 decimals, else 0

    costs.py COUNT SEED       for spec/support/amounts.c: one amount in a line, and what becomes of a running sum:
      amount       as a JSON number
      verdict      "exact", "rounded" to 27 decimals, or "overflow": beyond 128 bits; nothing is done then
      value        as plain text; "-" on overflow
      what         is done with it: "+", "-", or "=" (the sum starts again with it)
      fits         1; 0 where the sum would leave 128 bits, and stays as it is
      sum          as plain text
      double       nearest to the sum, as its 64 bits
"""
import random
import struct
import sys
from decimal import ROUND_HALF_EVEN, Context, Decimal

CONTEXT = Context(prec=5000, Emin=-999999, Emax=999999, rounding=ROUND_HALF_EVEN)
PLACES = 27
LIMIT = 2**127
rng = random.Random(20261121)


def units(text):
    """(rounded units, whether anything was lost)"""
    exact = CONTEXT.scaleb(Decimal(text), PLACES)
    whole = int(exact.to_integral_value(rounding=ROUND_HALF_EVEN))
    return whole, exact != whole


def plain(count):
    digits = str(abs(count)).rjust(PLACES + 1, "0")
    text = (digits[:-PLACES] + "." + digits[-PLACES:]).rstrip("0").rstrip(".")
    return "-" + text if count < 0 else text


def javascript(number):
    """How JSON.stringify spells a double."""
    shortest = repr(number)
    mantissa, _, exponent = shortest.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    digits, _, fraction = mantissa.lstrip("-").partition(".")
    point = len(digits) + (int(exponent) if exponent else 0)
    all_digits = (digits + ("" if fraction == "0" else fraction)).lstrip("0")
    point -= len(digits + ("" if fraction == "0" else fraction)) - len(all_digits)
    all_digits = all_digits.rstrip("0")
    if not all_digits:
        return "0"
    n, k = point, len(all_digits)
    if k <= n <= 21:
        body = all_digits + "0" * (n - k)
    elif 0 < n <= 21:
        body = all_digits[:n] + "." + all_digits[n:]
    elif -6 < n <= 0:
        body = "0." + "0" * -n + all_digits
    else:
        body = all_digits[0] + ("." + all_digits[1:] if k > 1 else "") + "e" + ("+" if n > 0 else "-") + str(abs(n - 1))
    assert float(sign + body) == number
    return sign + body


chance = rng.random


def pick(items):
    """As rng.choice, but fast."""
    return items[int(chance() * len(items))]


def below(low, high):
    """As rng.randrange, but fast; for small numbers."""
    return low + int(chance() * (high - low))


def digits(count):
    return str(rng.randrange(10**count)).rjust(count, "0")


def signed(text):
    return "-" + text if chance() < 0.2 else text


def bill():
    """Tokens times the price of a token, as a server adds it up in doubles."""
    price = pick([3e-6, 1.5e-5, 2.5e-7, 8e-8, 1.1e-6, 6e-7, 7.5e-5, 1e-9]) * pick([1, 0.1, 0.25, 0.5, 1.25])
    return below(1, 200000) * price + below(0, 5000) * price * 5


def spelt_double():
    number = pick([bill, lambda: chance() * 10 ** below(-12, 6), lambda: rng.uniform(-1, 1)])()
    return pick([repr, javascript])(number)


def many_digits():
    return signed(str(rng.randrange(0, 10**below(1, 11))) + "." + digits(below(1, 60)))


def scientific():
    mantissa = str(below(1, 10)) + pick(["", "." + digits(below(1, 40))])
    return signed(mantissa + pick("eE") + pick(["", "-", "-", "-"]) + str(below(0, 34)))


def tie():
    """Around half a unit of the last place, with digits before it, as one number or with an exponent."""
    kept = digits(below(1, 28)).rjust(27, "0")
    rest = pick(["5", "50", "500000", "5" + "0" * 60 + "1", "4" + "9" * 60, "25", "75", "5" + digits(5), "4" + digits(5)])
    whole = str(pick([0, 0, 1, 7, 170141183459]))
    if chance() < 0.5:
        return signed(whole + "." + kept + rest)
    return signed((whole + kept).lstrip("0") + "." + rest + "e-27") if (whole + kept).strip("0") else signed("0." + rest + "e-27")


def edge():
    """Around the largest amount there is, and around what makes 128 bits begin again."""
    count = LIMIT * pick([1, 1, 1, 2, 4]) - 1 + below(-3, 4)
    text = plain(count) if chance() < 0.4 else plain(count) + pick(["4", "5", "50", "500001", "6", "9" * 30])
    if "." in text and chance() < 0.3:
        text = text.replace(".", "") + "e-" + str(len(text) - text.index(".") - 1)
    return signed(text)


def scaled_edge():
    """Around the largest amount as few digits and an exponent that makes up for the others."""
    places = below(0, 40)
    digits_left = abs(LIMIT * pick([1, 1, 2]) // 10**places + below(-2, 3))
    return signed(str(digits_left) + pick(["", ".0"]) + "e" + str(places - PLACES))


def wide():
    """Digits around the ends of machine words and of 19 places, wherever the point is."""
    whole = pick([2**53, 2**63, 2**64, 10**18, 10**19, 2**127 // 10**27, 2**96]) + below(-5, 6)
    return signed(str(whole) + "e" + str(below(-50, 12)))


def spread():
    """Up to 45 digits, some of them behind the 27th place."""
    text = str(rng.randrange(1, 10 ** below(1, 46)))
    exponent = -below(20, 50)
    if chance() < 0.5:
        point = rng.randrange(1, len(text) + 1)
        return signed(text[:point] + ("." + text[point:] if text[point:] else "") + "e" + str(exponent + len(text) - point))
    return signed(text + "E" + str(exponent))


FIXED = (
    "0 -0 0.0 -0.0 0e5 0E-999 0.000e999999 1 -1 10 1e0 1E+2 100000000000 170141183460 1.7e11 1.8e11 1e12 -1e12 1e30 1e300 1e308"
    " 1e-27 -1e-27 1e-28 5e-28 -5e-28 5.000001e-28 4.999999e-28 1.5e-27 2.5e-27 -2.5e-27 9.5e-28 9.99e-28 1e-300 1e-400 -1e-400"
    " 0.1 0.2 0.3 0.00003452 3.452e-05 3.452e-5 4.2e-7 0.000000000000000000000000001"
    " 1000000000000000000000000000000000000000e-39 0.00000000000000000000000000000000000000000000000000000001e56"
).split()
MAKERS = [spelt_double, spelt_double, many_digits, scientific, tie, tie, edge, scaled_edge, wide, spread]
LARGEST = plain(LIMIT - 1)


def line(total, upstream):
    one, lost = units(total)
    other, _ = units(upstream)
    fits = -LIMIT < one < LIMIT
    both = fits and -LIMIT < other < LIMIT and -LIMIT <= one + other < LIMIT
    return "\t".join([total, upstream, plain(one) if fits else "-", plain(one + other) if both else "-", "1" if lost else "0"])


def pairs(count):
    yield from (line(text, pick(FIXED)) for text in FIXED)
    yield from (line("-" + LARGEST, upstream) for upstream in ("-1e-27", "-2e-27", "1e-27"))
    yield from (line(LARGEST, upstream) for upstream in ("1e-27", "-1e-27", "5e-28"))
    for _ in range(count - len(FIXED) - 6):
        yield line(pick(MAKERS)(), pick(MAKERS)())


def amounts(count):
    """Amounts with what is done with each."""
    yield from (("=", "-" + LARGEST), ("+", "-1e-27"), ("+", "-1e-27"), ("-", "1e-27"), ("-", "-1e-27"), ("+", "1"))
    yield from (("=", LARGEST), ("+", "1e-27"), ("-", "-1e-27"), ("+", "5e-28"), ("-", "-" + LARGEST), ("-", "1e-27"))
    yield from (("+", text) for text in FIXED)
    yield from (("-", text) for text in FIXED)
    for _ in range(count - 12 - 2 * len(FIXED)):
        yield pick("++++++++++++----=") if chance() < 0.2 else "+", pick(MAKERS)()


def running(count):
    total = 0
    one = 10**PLACES
    for what, text in amounts(count):
        value, lost = units(text)
        if not -LIMIT < value < LIMIT:
            yield f"{text}\toverflow\t-\t{what}\t0\t-\t-"
            continue
        wanted = total + value if what == "+" else total - value if what == "-" else value
        fits = -LIMIT <= wanted < LIMIT
        total = wanted if fits else total
        bits = struct.pack(">d", total / one).hex()
        yield f"{text}\t{'rounded' if lost else 'exact'}\t{plain(value)}\t{what}\t{int(fits)}\t{plain(total)}\t{bits}"


if __name__ == "__main__":
    count = int(sys.argv[1])
    if len(sys.argv) > 2:
        rng.seed(int(sys.argv[2]))
    with open(sys.stdout.fileno(), "w", buffering=2**20, closefd=False) as out:  # in large pieces, whatever PYTHONUNBUFFERED says
        out.writelines(row + "\n" for row in (running if len(sys.argv) > 2 else pairs)(count))

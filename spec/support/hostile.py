"""A server that answers as badly as the id asked for wants it, on raw sockets.

    hostile.py READY        lines "port NAME NUMBER", when all ports listen; certificates and events go beside that file

Ids are BEHAVIOUR or BEHAVIOUR.anything, with or without gen- in front; the functions called on_… below are the behaviours,
on_good gives the record.
What no request led to has a member `stray`, whatever id it claims to have.

Ports: http and tls take requests, tls with right.pem (127.0.0.1, 0.0.0.0, localhost, api.test), tls_wrong with wrong.pem
(another host), tls_expired with expired.pem, tls_unknown with a certificate by unknown_ca.pem; hasty is as http, but its
first connection hears an answer before it has asked, and the real one later (see Signal); silent never says anything,
slammed closes every connection at once, closed does not listen, elsewhere is a good server that nobody should ask.

The ports h2_… speak HTTP/2 over TLS with right.pem. They do not read what they are asked: each spoils the first answer it
ever gives, and gives the record "good.1" ever after.

The ports proxy (HTTP), proxy_login (the same, for visitor:let-me-in only) and socks (SOCKS5) look for every host on
127.0.0.1. What their clients send goes to the file "proxied" as well, byte by byte.

Each event is a line of the file "events", written before the client can know of it: "accept PORT CONNECTION", "ask PORT
CONNECTION ID", "answer PORT CONNECTION ID" (just before the last byte of an answer, or before the connection is closed
without one), "relay PORT CONNECTION HOST:PORT HOW" (what a proxy is asked for: HOW is "connect", "get" or "socks", followed by
"key" where it sees an Authorization header and by "login" where it sees a Proxy-Authorization), "refuse PORT CONNECTION",
"close PORT CONNECTION".
"""

import base64
import email.utils
import gzip
import itertools
import json
import os
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import zlib

directory = os.path.dirname(sys.argv[1])
ports = {}
connections = itertools.count(1)
asked = {}
asked_lock = threading.Lock()
events = os.open(os.path.join(directory, "events"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
proxied = os.open(os.path.join(directory, "proxied"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


class Gone(Exception):
    """The connection is to be closed, or is closed already."""


NONSENSE = b"\x17\x03\x03\x00\x40" + b"?" * 64    # what looks like a TLS record with data


class Tls:
    """The server's end of TLS over a socket, by hand: what goes over the wire can be spoilt."""

    def __init__(self, sock, context):
        self.sock, self.inward, self.outward = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inward, self.outward, server_side=True)
        self.fileno, self.setsockopt, self.close = sock.fileno, sock.setsockopt, sock.close
        self.step(self.tls.do_handshake)

    def step(self, call, *arguments):
        while True:
            try:
                return call(*arguments)
            except ssl.SSLWantReadError:
                self.flush()    # or both sides would wait
                data = self.sock.recv(65536)
                if not data:
                    raise Gone
                self.inward.write(data)
            except ssl.SSLZeroReturnError:
                return b""
            finally:
                self.flush()

    def flush(self):
        if self.outward.pending:
            self.sock.sendall(self.outward.read())

    def recv(self, size):
        return self.step(self.tls.read, size)

    def sendall(self, data):
        if data:
            self.step(self.tls.write, data)

    def alert(self):
        """A fatal alert, as the peer would get it had it sent such nonsense."""
        self.inward.write(NONSENSE)
        try:
            self.tls.read(1)
        except ssl.SSLError:
            self.flush()

    def notify(self):
        """The proper end: close_notify."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            self.flush()


class Connection:
    def __init__(self, name, sock):
        self.name, self.sock, self.number, self.buffer = name, sock, next(connections), b""
        self.id = self.head = self.path = ""

    def event(self, what, *more):
        os.write(events, " ".join([what, self.name, str(self.number), *more]).encode() + b"\n")

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def request(self):
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise Gone
            self.buffer += data
            if not self.buffer.startswith(b"GET "):
                self.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                raise Gone
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.head = head.decode("latin-1") + "\r\n"
        target = self.head.split(" ")[1]
        self.path, query = urllib.parse.urlsplit(target)[2:4]
        self.id = urllib.parse.parse_qs(query).get("id", ["?"])[0]
        self.event("ask", self.id)

    def header(self, name):
        found = re.search(r"(?mi)^" + name + r": *(.*?)\r$", self.head)
        return found.group(1) if found else ""

    def answer(self, status, body, headers="", length=None):
        """A whole answer, at once."""
        body = body if isinstance(body, bytes) else body.encode()
        head = "HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body) if length is None else length, headers)
        self.finish(head.encode() + body)

    def finish(self, last):
        self.event("answer", self.id)
        self.send(last)

    def reset(self):
        """Leave without a goodbye: RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.leave()

    def leave(self):
        """Close, having answered nothing, or no more than that."""
        self.event("answer", self.id)
        raise Gone

    def pause(self, seconds):
        """Wait, but not for somebody who is gone."""
        if select.select([self.sock], [], [], seconds)[0]:
            self.leave()


def record(id, more=""):
    return '{"data":{"id":"%s","total_cost":0.0015,"model":"test/model"%s}}' % (id, more)


def stray(id):
    """An answer nobody asked for, which looks like one to the question `id`."""
    body = record(id, ',"stray":true')
    return "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def next_good(c):
    """The id to ask for after X.rest: good.rest"""
    return ("gen-" if c.id.startswith("gen-") else "") + "good." + c.id.partition(".")[2]


def times_asked(id):
    with asked_lock:
        asked[id] = asked.get(id, 0) + 1
        return asked[id]


class Signal:
    """Somebody waits until the id now.NAME is asked for, does something, and only then that one gets its answer."""
    named = {}

    def __init__(self):
        self.given, self.heard = threading.Event(), threading.Event()

    def of(c):
        with asked_lock:
            return Signal.named.setdefault(c.id.partition(".")[2], Signal())

    def wait(self):
        if not self.given.wait(10):
            raise Gone


# ---- good answers, oddly sent

def on_good(c):
    c.answer("200 OK", record(c.id), "Content-Type: application/json\r\n")


def on_held(c):
    c.pause(0.03)
    on_good(c)


def on_nap(c):
    c.pause(0.25)
    on_good(c)


def on_heard(c):
    """What the request said, in the member `heard`."""
    c.answer("200 OK", record(c.id, ',"heard":' + json.dumps(c.head)))


def on_chunked(c):
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    body = record(c.id)
    for i in range(0, len(body), 7):
        piece = body[i:i + 7]
        c.send("%x;extension=1\r\n%s\r\n" % (len(piece), piece))
    c.finish(b"0\r\nTrailer: yes\r\n\r\n")


def on_bytewise(c):
    body = record(c.id)
    text = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    for i in range(len(text) - 1):
        c.send(text[i])
    c.finish(text[-1].encode())


def on_oldstyle(c):
    """HTTP/1.0: the body ends with the connection."""
    c.finish(("HTTP/1.0 200 OK\r\n\r\n" + record(c.id)).encode())
    raise Gone


def on_hints(c):
    c.send("HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n" * 3)
    on_good(c)


def on_excess(c):
    """Bytes of another answer behind this one."""
    body, other = record(c.id), record("good.stolen")
    c.finish(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
              % (len(body), body, len(other), other)).encode())


def on_poison(c):
    """Two answers at once: the second is for the next id, if the same connection is used for it."""
    body = record(c.id)
    c.finish(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) + stray(next_good(c))).encode())


def on_poisonchunked(c):
    body = record(c.id)
    c.finish(("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
              % (len(body), body) + stray(next_good(c))).encode())


def on_unasked(c):
    """A second answer long after the first, on an idle connection. See Signal."""
    on_good(c)
    sign = Signal.of(c)
    sign.wait()
    c.send(stray(next_good(c)))
    sign.heard.set()


def on_parting(c):
    """The connection is kept, to all appearances, and then closed while it is idle. See Signal."""
    on_good(c)
    sign = Signal.of(c)
    sign.wait()
    c.sock.close()
    sign.heard.set()
    raise Gone


def on_now(c):
    sign = Signal.of(c)
    sign.given.set()
    sign.heard.wait(10)
    on_good(c)


def on_hangup(c):
    """The connection is kept, to all appearances, and closed at once."""
    on_good(c)
    raise Gone


def on_lastword(c):
    """The connection is kept, to all appearances, and closed when the next request is there."""
    on_good(c)
    c.request()
    c.leave()


def on_lastreset(c):
    on_good(c)
    c.request()
    c.reset()


def on_unlimited(c):
    """The body ends with the connection, by a mere FIN: over TLS nobody can tell whether it is whole."""
    c.finish(("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + record(c.id)).encode())
    raise Gone


def on_unlimitedhalf(c):
    """The same with half a record."""
    body = record(c.id)
    c.finish(("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body[:len(body) // 2]).encode())
    raise Gone


def on_notified(c):
    """As unlimited, but TLS says that this is the end."""
    c.finish(("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + record(c.id)).encode())
    if isinstance(c.sock, Tls):
        c.sock.notify()
    raise Gone


def on_oldkept(c):
    """HTTP/1.0 with a connection that stays."""
    body = record(c.id)
    c.finish(("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)).encode())


def on_folded(c):
    """A header in two lines, as it was once allowed."""
    on_lengths(c, "X-Folded: one\r\n two\r\n\tthree\r\nContent-Length: {whole}\r\n")


def on_exactly(c):
    """exactly.N: a body of N bytes."""
    size = int(c.id.split(".")[1])
    body = record(c.id)
    c.answer("200 OK", body + " " * (size - len(body)))


# ---- compressed answers

def compressed(form, data):
    """form: zlib's windowBits, which are gzip + 16, zlib or - raw."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, form)
    return compressor.compress(data) + compressor.flush()


def on_zipped(c):
    c.answer("200 OK", gzip.compress(record(c.id).encode()), "Content-Encoding: gzip\r\n")


def on_xzipped(c):
    c.answer("200 OK", gzip.compress(record(c.id).encode()), "content-encoding:X-GZIP\r\n")


def on_zippedchunked(c):
    c.send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
    for byte in gzip.compress(record(c.id).encode()):
        c.send(b"1\r\n" + bytes([byte]) + b"\r\n")
    c.finish(b"0\r\n\r\n")


def on_deflated(c):
    c.answer("200 OK", compressed(15, record(c.id).encode()), "Content-Encoding: deflate\r\n")


def on_rawdeflated(c):
    """Without zlib's frame, as some servers have always had it."""
    c.answer("200 OK", compressed(-15, record(c.id).encode()), "Content-Encoding: deflate\r\n")


def on_identity(c):
    c.answer("200 OK", record(c.id), "Content-Encoding: identity\r\n")


def on_stacked(c):
    """stacked.N: compressed N times, all named in one header"""
    times, body = int(c.id.split(".")[1]), record(c.id).encode()
    for _ in range(times):
        body = gzip.compress(body)
    c.answer("200 OK", body, "Content-Encoding: %s\r\n" % ", ".join(["gzip"] * times))


def on_layered(c):
    """layered.N: compressed N times, each in a header of its own"""
    times, body = int(c.id.split(".")[1]), record(c.id).encode()
    for _ in range(times):
        body = gzip.compress(body)
    c.answer("200 OK", body, "Content-Encoding: gzip\r\n" * times)


def on_zippedexactly(c):
    """zippedexactly.N: N bytes, once unpacked"""
    c.answer("200 OK", gzip.compress(record(c.id).encode().ljust(int(c.id.split(".")[1]))), "Content-Encoding: gzip\r\n")


def bomb(id):
    """100 MB of spaces and a record, in 100 kB."""
    block, crc, tail = b" " * (1 << 20), 0, record(id).encode()
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush no block knows of those before it, so that one can be had a hundred times.
    blocks = (compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)) * 100
    for _ in range(100):
        crc = zlib.crc32(block, crc)
    end = compressor.compress(tail) + compressor.flush()
    return (b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + blocks + end
            + struct.pack("<II", zlib.crc32(tail, crc), 100 * len(block) + len(tail)))


def on_bomb(c):
    c.answer("200 OK", bomb(c.id), "Content-Encoding: gzip\r\n")


def on_bombchunked(c):
    body = bomb(c.id)
    c.send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body))
    c.finish(body + b"\r\n0\r\n\r\n")


def on_bombtwice(c):
    """100 MB in some hundred bytes."""
    c.answer("200 OK", gzip.compress(bomb(c.id)), "Content-Encoding: gzip, gzip\r\n")


def on_zipcrc(c):
    """Every byte of the record, and a checksum that is not theirs."""
    body = bytearray(gzip.compress(record(c.id).encode()))
    body[-8] ^= 1
    c.answer("200 OK", bytes(body), "Content-Encoding: gzip\r\n")


def on_ziphalf(c):
    """Half of it, which says it is all."""
    body = gzip.compress(record(c.id).encode())
    c.answer("200 OK", body[:len(body) // 2], "Content-Encoding: gzip\r\n")


def on_zipcut(c):
    """Half of it, and then nobody is there."""
    body = gzip.compress(record(c.id).encode())
    c.send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body))
    c.send(body[:len(body) // 2])
    c.leave()


def on_zipnever(c):
    """Says gzip and is not."""
    c.answer("200 OK", record(c.id), "Content-Encoding: gzip\r\n")


def on_zipempty(c):
    c.answer("200 OK", "", "Content-Encoding: gzip\r\n")


def on_ziperror(c):
    """An error body that cannot be unpacked either."""
    c.answer("503 So", b"\x1f\x8b\x08\0\0\0\0\0\0\xff????", "Content-Encoding: gzip\r\n")


def on_zippederror(c):
    c.answer("400 So", gzip.compress(b'{"error":{"code":400,"message":"told so, packed"}}'), "Content-Encoding: gzip\r\n")


def on_unheardof(c):
    c.answer("200 OK", record(c.id), "Content-Encoding: x-unheard-of\r\n")


# ---- good answers, after a while

def on_flaky(c):
    """flaky.NNN: 500 to 599 the first two times."""
    if times_asked(c.id) <= 2:
        c.answer(c.id.split(".")[1] + " Oops", '{"error":{"code":500,"message":"later"}}')
    else:
        on_good(c)


def on_fresh(c):
    if times_asked(c.id) == 1:
        c.answer("404 Not Found", '{"error":{"code":404,"message":"Resource not found"}}')
    else:
        on_good(c)


def on_again(c):
    """again.HEADER.VALUE: 429 with that header the first time."""
    if times_asked(c.id) == 1:
        _, name, value = c.id.split(".", 2)
        c.answer("429 Too Many Requests", '{"error":{"code":429,"message":"slow down"}}', "%s: %s\r\n" % (name, value))
    else:
        on_good(c)


def on_dated(c):
    """429 with a date two seconds away the first time."""
    if times_asked(c.id) == 1:
        date = email.utils.formatdate(time.time() + 2, usegmt=True)
        c.answer("429 Too Many Requests", "", "Retry-After: %s\r\n" % date)
    else:
        on_good(c)


# ---- refusals

def on_elsewhere(c):
    """elsewhere: 404, as a web site says it that is none of the API"""
    c.answer("404 Not Found", "<!DOCTYPE html><title>404</title>")


def on_status(c):
    """status.NNN"""
    status = c.id.split(".")[1]
    c.answer(status + " So", '{"error":{"code":%s,"message":"told so"}}' % status)


def on_latefail(c):
    """500, after others have had time to be answered"""
    c.pause(0.25)
    c.answer("500 So", '{"error":{"code":500,"message":"told so"}}')


def on_unknown(c):
    c.answer("404 Not Found", '{"error":{"code":404,"message":"no such behaviour"}}')


def on_echo(c):
    """What was sent, the key with it, in all the places an error body has."""
    key = c.header("Authorization")
    c.answer("400 Bad Request", '{"error":{"code":"%s","message":"bad header: %s","metadata":{"sent":["%s"],"%s":1}}}'
             % (key, key, key, key))


def on_redirect(c):
    """redirect, or redirect.NNN"""
    status = c.id.partition(".")[2] or "302"
    c.answer(status + " So", "", "Location: http://127.0.0.1:%d/api/v1/generation?id=%s\r\n" % (ports["elsewhere"], c.id))


def on_redirectown(c):
    """To the same origin, where the record would be."""
    c.answer("302 So", "", "Location: /api/v1/generation?id=%s\r\n" % next_good(c))


# ---- no records

def on_html(c):
    c.answer("200 OK", "<!DOCTYPE html><title>Checking your browser</title>", "Content-Type: text/html\r\n")


def on_empty(c):
    c.answer("200 OK", "")


def on_nothing(c):
    """200 without a length and without a body."""
    c.finish(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    raise Gone


def on_truncated(c):
    """Half a record that says it is all."""
    body = record(c.id)
    c.answer("200 OK", body[:len(body) // 2])


def on_other(c):
    c.answer("200 OK", record("good.other"))


def on_gzip(c):
    c.answer("200 OK", b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "Content-Encoding: gzip\r\n")


def on_bodyless(c):
    """bodyless.NNN.rest: a status that has no body, with one that looks like the answer for good.NNN.rest"""
    body = stray(next_good(c))
    c.answer(c.id.split(".")[1] + " So", body)


# ---- too much

def on_mass(c):
    """100 MB, as announced."""
    body = b" " * 65536
    c.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1600 * len(body)))
    for _ in range(1599):
        c.send(body)
    c.finish(body)


def on_masschunked(c):
    """100 MB in whole chunks."""
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1600):
        c.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
    c.finish(b"0\r\n\r\n")


def on_massunlimited(c):
    c.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    for _ in range(1600):
        c.send(b" " * 65536)
    c.leave()


def on_huge(c):
    c.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    for _ in range(1000):
        c.send(b" " * 65536)
    c.leave()


def on_endless(c):
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        c.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
    c.leave()


def on_flood(c):
    c.send("HTTP/1.1 200 OK\r\n")
    for i in range(1000000):
        c.send("X-Header-%d: %s\r\n" % (i, "x" * 1000))
    c.leave()


def on_longline(c):
    c.send("HTTP/1.1 200 OK\r\nX-Header: ")
    for _ in range(1000):
        c.send(b"x" * 65536)
    c.leave()


def on_hintflood(c):
    while True:
        c.send("HTTP/1.1 100 Continue\r\nX: %s\r\n\r\n" % ("x" * 1000))


# ---- no HTTP

def on_close(c):
    c.leave()


def on_reset(c):
    c.reset()


def on_resethead(c):
    c.send("HTTP/1.1 200 OK\r\nContent-Le")
    c.reset()


def on_resetbody(c):
    body = record(c.id)
    c.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body[:len(body) // 2]))
    c.reset()


def on_resetchunked(c):
    body = record(c.id)
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s" % (len(body), body[:len(body) // 2]))
    c.reset()


def on_alert(c):
    """Over TLS: half the record and a fatal alert."""
    body = record(c.id)
    c.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body[:len(body) // 2]))
    if isinstance(c.sock, Tls):
        c.sock.alert()
    c.leave()


def on_spoilt(c):
    """Over TLS: half the record and something that is not from us."""
    body = record(c.id)
    c.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body[:len(body) // 2]))
    if isinstance(c.sock, Tls):
        c.sock.sock.sendall(NONSENSE)
    c.leave()


def on_cut(c):
    body = record(c.id)
    c.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body[:-1]))
    c.leave()


def on_cutchunk(c):
    """Every byte of the record, but not the end of the body."""
    body = record(c.id)
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body))
    c.leave()


def on_badchunk(c):
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n" + record(c.id))
    c.leave()


def on_overchunk(c):
    """A chunk of more bytes than can be counted."""
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + "f" * 17 + "\r\n" + record(c.id))
    c.leave()


def on_minuschunk(c):
    c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n" + record(c.id))
    c.leave()


def on_cuthead(c):
    c.send("HTTP/1.1 200 OK\r\nContent-Le")
    c.leave()


def on_hintcut(c):
    c.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le")
    c.leave()


def on_garbage(c):
    c.send(b"\x00\xff\x80 SSH-2.0-OpenSSH_9.2\r\n\r\n" + record(c.id).encode())
    c.leave()


def on_preface(c):
    """How a client starts HTTP/2."""
    c.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    c.leave()


def on_frames(c):
    """HTTP/2 where HTTP/1.1 was asked for."""
    c.send(frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, OK) + frame(DATA, END_STREAM, 1, record(c.id).encode()))
    c.leave()


def on_upgrade(c):
    """A switch to HTTP/2 that nobody wanted."""
    c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    on_frames(c)


def on_future(c):
    c.send("HTTP/7.3 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    c.leave()


def on_headless(c):
    """The record alone, as HTTP/0.9 had it."""
    c.send(record(c.id))
    c.leave()


# ---- lengths that cannot be, or that contradict each other

def on_lengths(c, headers="Content-Length: {half}\r\nContent-Length: {whole}\r\n"):
    body = record(c.id)
    c.finish(("HTTP/1.1 200 OK\r\n" + headers.format(whole=len(body), half=len(body) // 2) + "\r\n" + body).encode())


def on_lengthstoo(c):
    on_lengths(c, "Content-Length: {whole}\r\nContent-Length: {half}\r\n")


def on_twice(c):
    on_lengths(c, "Content-Length: {whole}\r\nContent-Length: {whole}\r\n")


def on_minus(c):
    on_lengths(c, "Content-Length: -{whole}\r\n")


def on_overlength(c):
    on_lengths(c, "Content-Length: 99999999999999999999{whole}\r\n")


def on_wordlength(c):
    on_lengths(c, "Content-Length: all\r\n")


def on_foldedlength(c):
    on_lengths(c, "Content-Length:\r\n {whole}\r\n")


def on_nul(c):
    on_lengths(c, "X-Nul: a\0b\r\nContent-Length: {whole}\r\n")


def on_both(c):
    """A length and chunks: the chunks count."""
    body = record(c.id)
    c.finish(("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
              % (len(body), body)).encode())


# ---- no hurry

def on_slow(c):
    c.pause(30)
    on_good(c)


def on_stalled(c):
    body = record(c.id)
    c.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body[:10]))
    c.pause(30)
    c.leave()


def on_drip(c):
    """A byte now and then, for ever: never idle, never done."""
    c.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        c.send(" ")
        c.pause(0.02)


def on_driphead(c):
    """The same with headers."""
    c.send("HTTP/1.1 200 OK\r\n")
    while True:
        c.send("X: y\r\n")
        c.pause(0.02)


# ---- HTTP/2

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INTERNAL_ERROR, REFUSED_STREAM = b"\0\0\0\2", b"\0\0\0\7"
OK = b"\x88"    # :status 200, as HPACK has it


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header for HPACK whose name is number `name` of its table, 15 to 127."""
    return bytes([0x0F, name - 15, len(value)]) + value


def h2_good(c, stream, more=b""):
    body = record("good.1").encode()
    c.send(frame(HEADERS, END_HEADERS, stream, OK + more) + frame(DATA, END_STREAM, stream, body))


def h2_half(c, stream, more=b""):
    body = record("good.1").encode()
    c.send(frame(HEADERS, END_HEADERS, stream, OK + more) + frame(DATA, 0, stream, body[:len(body) // 2]))
    return body[len(body) // 2:]


def h2_reset(c, stream):
    h2_half(c, stream)
    c.send(frame(RST_STREAM, 0, stream, INTERNAL_ERROR))


def h2_refused(c, stream):
    """Never looked at: it may be asked again at once."""
    c.send(frame(RST_STREAM, 0, stream, REFUSED_STREAM))


def h2_stalled(c, stream):
    h2_half(c, stream)


def h2_cut(c, stream):
    h2_half(c, stream)
    raise Gone


def h2_short(c, stream):
    """A length, and the end before it."""
    h2_good(c, stream, literal(28, b"1000"))


def h2_long(c, stream):
    """A length, and more than that."""
    h2_good(c, stream, literal(28, b"5"))


def h2_goaway(c, stream):
    """Nothing was looked at, and the connection ends."""
    c.send(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
    raise Gone


def h2_farewell(c, stream):
    """No more after this one, but this one to its end."""
    rest = h2_half(c, stream)
    c.send(frame(GOAWAY, 0, 0, struct.pack(">II", stream, 0)) + frame(DATA, END_STREAM, stream, rest))


def h2_text(c, stream):
    """HTTP/1.1 after all."""
    c.send(stray("good.1"))


def h2_junk(c, stream):
    c.send(b"\xff" * 100)


def h2_endless(c, stream):
    """A body without end, and without a look at how much of it may be sent."""
    c.send(frame(HEADERS, END_HEADERS, stream, OK))
    for _ in range(10000):
        c.send(frame(DATA, 0, stream, b" " * 16384))


def h2_bomb(c, stream):
    body = bomb("good.1")
    c.send(frame(HEADERS, END_HEADERS, stream, OK + literal(26, b"gzip")))
    for i in range(0, len(body), 16384):
        c.send(frame(DATA, END_STREAM if i + 16384 >= len(body) else 0, stream, body[i:i + 16384]))


def h2_zipped(c, stream):
    body = gzip.compress(record("good.1").encode())
    c.send(frame(HEADERS, END_HEADERS, stream, OK + literal(26, b"gzip")) + frame(DATA, END_STREAM, stream, body))


def h2_flood(c, stream):
    """Headers without end."""
    c.send(frame(HEADERS, 0, stream, OK))
    for _ in range(10000):
        c.send(frame(CONTINUATION, 0, stream, literal(60, b"x" * 100) * 100))


def h2_pushed(c, stream):
    """The answer to a question that was not asked, for the next one."""
    c.send(frame(PUSH_PROMISE, END_HEADERS, stream, struct.pack(">I", 2) + b"\x82\x84\x87"))
    h2_good(c, stream)


def h2_strange(c, stream):
    """An answer on a stream that nobody opened."""
    h2_good(c, stream + 100)


def h2_hints(c, stream):
    c.send(frame(HEADERS, END_HEADERS, stream, b"\x08\x03103") * 3)
    h2_good(c, stream)


def h2_pings(c, stream):
    c.send(frame(PING, 0, 0, b"12345678") * 1000)
    h2_good(c, stream)


def h2_listen(c, answer):
    """Take frames, and answer what is a whole request."""
    while True:
        while len(c.buffer) < 9 or len(c.buffer) < 9 + int.from_bytes(c.buffer[:3], "big"):
            data = c.sock.recv(65536)
            if not data:
                raise Gone
            c.buffer += data
        size, kind, flags = int.from_bytes(c.buffer[:3], "big"), c.buffer[3], c.buffer[4]
        stream = int.from_bytes(c.buffer[5:9], "big")
        c.buffer = c.buffer[9 + size:]
        if kind == SETTINGS and not flags & ACK:
            c.send(frame(SETTINGS, ACK, 0))
        if kind == HEADERS:
            c.event("ask")
            (answer if times_asked(c.name) == 1 else h2_good)(c, stream)


def h2_talk(answer):
    def talk_to(c):
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        while len(c.buffer) < len(preface):
            data = c.sock.recv(65536)
            if not data:
                raise Gone
            c.buffer += data
        c.buffer = c.buffer[len(preface):]
        c.send(frame(SETTINGS, 0, 0))
        h2_listen(c, answer)
    return talk_to


H2 = {name: globals()["h2_" + name] for name in
      ("reset", "refused", "stalled", "cut", "short", "long", "goaway", "farewell", "text", "junk", "endless", "bomb", "zipped",
       "flood", "pushed", "strange", "hints", "pings")}


# ---- proxies

def relay(c, other):
    """Everything, both ways, until either side has enough."""
    def back():
        try:
            while data := other.recv(65536):
                c.sock.sendall(data)
        except OSError:
            pass
        try:
            c.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    threading.Thread(target=back, daemon=True).start()


def tunnel(c, other):
    other.sendall(c.buffer)
    relay(c, other)
    try:
        while data := c.sock.recv(65536):
            os.write(proxied, data)
            other.sendall(data)
    finally:
        other.close()


def proxy(c):
    """An HTTP proxy: CONNECT, and GET with whole URLs."""
    other = None
    while True:
        while b"\r\n\r\n" not in c.buffer:
            data = c.sock.recv(65536)
            if not data:
                raise Gone
            os.write(proxied, data)
            c.buffer += data
        head, c.buffer = c.buffer.split(b"\r\n\r\n", 1)
        c.head = head.decode("latin-1") + "\r\n"
        method, target, _ = c.head.split(" ", 2)
        parts = urllib.parse.urlsplit(target if method == "GET" else "//" + target)
        saw = [method.lower()] + [word for name, word in [("Authorization", "key"), ("Proxy-Authorization", "login")]
                                  if c.header(name)]
        c.event("relay", parts.netloc, *saw)
        if c.name == "proxy_login" and c.header("Proxy-Authorization") != LOGIN:
            c.event("refuse")
            refuse(c)
            continue
        if method == "CONNECT":
            other = socket.create_connection(("127.0.0.1", parts.port))
            c.send("HTTP/1.1 200 Go ahead\r\n\r\n")
            return tunnel(c, other)
        if not other:
            other = socket.create_connection(("127.0.0.1", parts.port or 80))
            relay(c, other)
        headers = "".join(line for line in c.head.split("\r\n", 1)[1].splitlines(True) if not line.lower().startswith("proxy-"))
        other.sendall(("GET %s?%s HTTP/1.1\r\n%s\r\n" % (parts.path, parts.query, headers)).encode("latin-1"))


def refuse(c):
    """Not without repeating what was sent."""
    sent = c.header("Proxy-Authorization")
    plain = base64.b64decode(sent.rpartition(" ")[2]).decode("latin-1")
    body = json.dumps({"error": {"code": 407, "message": "not for %s (%s)" % (sent, plain)}})
    c.send('HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: %d\r\n\r\n%s'
           % (len(body), body))


LOGIN = "Basic " + base64.b64encode(b"visitor:let-me-in").decode()


def socks(c):
    """SOCKS5 for everybody."""
    def take(size):
        data = b""
        while len(data) < size:
            more = c.sock.recv(size - len(data))
            if not more:
                raise Gone
            data += more
        os.write(proxied, data)
        return data
    take(take(2)[1])
    c.send(b"\5\0")
    kind = take(4)[3]
    if kind == 3:
        host = take(take(1)[0]).decode("latin-1")
    else:
        host = socket.inet_ntop(*((socket.AF_INET, take(4)) if kind == 1 else (socket.AF_INET6, take(16))))
    port = int.from_bytes(take(2), "big")
    c.event("relay", "%s:%d" % (host, port), "socks")
    other = socket.create_connection(("127.0.0.1", port))
    c.send(b"\5\0\0\1" + b"\0" * 6)
    tunnel(c, other)


# ---- connections

BEHAVIOURS = {name[3:]: function for name, function in globals().items() if name.startswith("on_")}


def talk(c):
    while True:
        c.request()
        known = c.path in ("/api/v1/generation", "/generation")
        BEHAVIOURS.get(c.id.removeprefix("gen-").split(".")[0] if known else "", on_unknown)(c)


def silent(c):
    while c.sock.recv(65536):
        pass


def slammed(c):
    raise Gone


def hasty(c):
    if times_asked("hasty") == 1:
        c.send(stray("good.1"))
        c.request()
        sign = Signal.of(c)
        sign.wait()
        on_good(c)
        sign.heard.set()
    talk(c)


# ---- certificates

HERE = "IP:127.0.0.1,IP:0.0.0.0,DNS:localhost,DNS:api.test"


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def request(name, subject, alternative, *kind):
    """A key, and a certificate for it, or with kind = () the wish to have one."""
    openssl("req", *kind, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + subject,
            "-addext", "subjectAltName=" + alternative, "-keyout", name + ".key", "-out", name)


def context(name, protocols=("http/1.1",)):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(os.path.join(directory, name), os.path.join(directory, name + ".key"))
    if protocols:
        made.set_alpn_protocols(protocols)
    return made


def certificates():
    """What each TLS port shows."""
    request("right.pem", "localhost", HERE, "-x509", "-days", "2")
    request("wrong.pem", "example.org", "DNS:example.org", "-x509", "-days", "2")
    request("unknown_ca.pem", "nobody's CA", "DNS:ca.test", "-x509", "-days", "2")
    request("unknown.pem", "localhost", HERE)
    request("expired.pem", "localhost", HERE)
    os.rename(os.path.join(directory, "unknown.pem"), os.path.join(directory, "unknown.csr"))
    os.rename(os.path.join(directory, "expired.pem"), os.path.join(directory, "expired.csr"))
    openssl("x509", "-req", "-in", "unknown.csr", "-CA", "unknown_ca.pem", "-CAkey", "unknown_ca.pem.key", "-CAcreateserial",
            "-days", "2", "-copy_extensions", "copy", "-out", "unknown.pem")
    # Only `openssl ca` can date back, and it wants to keep books.
    with open(os.path.join(directory, "ca.cnf"), "w") as config:
        config.write("[ca]\ndefault_ca = ca\ndatabase = ca.index\nrand_serial = yes\nnew_certs_dir = .\n"
                     "default_md = sha256\npolicy = policy\ncopy_extensions = copy\n[policy]\ncommonName = supplied\n")
    open(os.path.join(directory, "ca.index"), "w").close()
    openssl("ca", "-config", "ca.cnf", "-batch", "-notext", "-selfsign", "-keyfile", "expired.pem.key", "-in", "expired.csr",
            "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-out", "expired.pem")


def serve(c, talk_to, tls):
    try:
        if tls:
            c.sock = Tls(c.sock, tls)
        talk_to(c)
    except (Gone, OSError):
        pass
    finally:
        c.event("close")
        c.sock.close()


def accept(name, listener, talk_to, tls):
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)    # what is sent is there
        c = Connection(name, sock)
        c.event("accept")
        threading.Thread(target=serve, args=(c, talk_to, tls), daemon=True).start()


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    certificates()
    right, h2 = context("right.pem"), context("right.pem", ["h2"])
    listeners = [("http", talk, None), ("elsewhere", talk, None), ("silent", silent, None), ("slammed", slammed, None),
                 ("hasty", hasty, None), ("proxy", proxy, None), ("proxy_login", proxy, None), ("socks", socks, None),
                 ("tls", talk, right), ("tls_wrong", talk, context("wrong.pem")), ("tls_expired", talk, context("expired.pem")),
                 ("tls_unknown", talk, context("unknown.pem")), ("closed", None, None)]
    listeners += [("h2_" + name, h2_talk(answer), h2) for name, answer in H2.items()]
    for name, talk_to, tls in listeners:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        ports[name] = listener.getsockname()[1]
        if talk_to:
            listener.listen(512)
            threading.Thread(target=accept, args=(name, listener, talk_to, tls), daemon=True).start()
        else:
            globals()["unheard"] = listener    # bound, so that nobody else gets the port
    with open(sys.argv[1] + ".new", "w") as ready:
        ready.writelines("port %s %d\n" % item for item in ports.items())
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    while True:
        time.sleep(3600)


main()

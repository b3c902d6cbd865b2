"""A server that answers as badly as the id asked for wants it, on raw sockets.

    hostile.py READY        lines "port NAME NUMBER", when all ports listen; certificates and events go beside that file

Ids are BEHAVIOUR or BEHAVIOUR.anything; the functions called on_… below are the behaviours, on_good gives the record.

Ports: http and tls take requests, tls with right.pem (127.0.0.1), tls_wrong with wrong.pem (another host); silent never says
anything, slammed closes every connection at once, closed does not listen, elsewhere is a good server that nobody should ask.

Each event is a line of the file "events", written before the client can know of it: "accept PORT CONNECTION", "ask PORT
CONNECTION ID", "answer PORT CONNECTION ID" (just before the last byte of an answer, or before the connection is closed
without one), "close PORT CONNECTION".
"""

import email.utils
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

directory = os.path.dirname(sys.argv[1])
ports = {}
connections = itertools.count(1)
asked = {}
asked_lock = threading.Lock()
events = os.open(os.path.join(directory, "events"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


class Gone(Exception):
    """The connection is to be closed, or is closed already."""


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


def times_asked(id):
    with asked_lock:
        asked[id] = asked.get(id, 0) + 1
        return asked[id]


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
    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


def on_exactly(c):
    """exactly.N: a body of N bytes."""
    size = int(c.id.split(".")[1])
    body = record(c.id)
    c.answer("200 OK", body + " " * (size - len(body)))


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
    c.answer("400 Bad Request", '{"error":{"code":"%s","message":"bad header: %s","metadata":{"sent":["%s"]}}}' % (key, key, key))


def on_redirect(c):
    c.answer("302 Found", "", "Location: http://127.0.0.1:%d/api/v1/generation?id=%s\r\n" % (ports["elsewhere"], c.id))


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


# ---- too much

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
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
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


def on_cuthead(c):
    c.send("HTTP/1.1 200 OK\r\nContent-Le")
    c.leave()


def on_hintcut(c):
    c.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le")
    c.leave()


def on_garbage(c):
    c.send(b"\x00\xff\x80 SSH-2.0-OpenSSH_9.2\r\n\r\n" + record(c.id).encode())
    c.leave()


def on_headless(c):
    """The record alone, as HTTP/0.9 had it."""
    c.send(record(c.id))
    c.leave()


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


# ---- connections

BEHAVIOURS = {name[3:]: function for name, function in globals().items() if name.startswith("on_")}


def talk(c):
    while True:
        c.request()
        known = c.path in ("/api/v1/generation", "/generation")
        BEHAVIOURS.get(c.id.split(".")[0] if known else "", on_unknown)(c)


def silent(c):
    while c.sock.recv(65536):
        pass


def slammed(c):
    raise Gone


def certificate(name, subject, alternative):
    path = os.path.join(directory, name)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=" + subject, "-addext", "subjectAltName=" + alternative,
                    "-keyout", path + ".key", "-out", path], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, path + ".key")
    return context


def serve(c, talk_to, context):
    try:
        c.event("accept")
        if context:
            c.sock = context.wrap_socket(c.sock, server_side=True)
        talk_to(c)
    except (Gone, OSError):
        pass
    finally:
        c.event("close")
        c.sock.close()


def accept(name, listener, talk_to, context):
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(Connection(name, sock), talk_to, context), daemon=True).start()


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    right = certificate("right.pem", "localhost", "IP:127.0.0.1,DNS:localhost")
    wrong = certificate("wrong.pem", "example.org", "DNS:example.org")
    for name, talk_to, context in [("http", talk, None), ("elsewhere", talk, None), ("silent", silent, None),
                                   ("slammed", slammed, None), ("tls", talk, right), ("tls_wrong", talk, wrong),
                                   ("closed", None, None)]:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        ports[name] = listener.getsockname()[1]
        if talk_to:
            listener.listen(512)
            threading.Thread(target=accept, args=(name, listener, talk_to, context), daemon=True).start()
        else:
            globals()["unheard"] = listener    # bound, so that nobody else gets the port
    with open(sys.argv[1] + ".new", "w") as ready:
        ready.writelines("port %s %d\n" % item for item in ports.items())
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    while True:
        time.sleep(3600)


main()

"""A name server for specs, over UDP and TCP on one port of 127.0.0.1.

    dns.py READY        the port's number, when both listen

openrouter.ai and all of .test have the address 127.0.0.1, and none of any other kind. Names that begin with "silent." are
never answered; no other name exists.
"""

import os
import socket
import socketserver
import struct
import sys
import threading

A, CLASS_IN = 1, 1
RESPONSE, RECURSION_DESIRED, RECURSION_AVAILABLE = 0x8000, 0x0100, 0x0080
NOT_IMPLEMENTED, NO_SUCH_NAME = 4, 3
OPERATION = 0x7800
HEADER = struct.Struct(">HHHHHH")    # id, flags, and how many: questions, answers, authorities, additional records


def question(query):
    """Its name in lower case, its type and class, and where it ends in the query. Raises where there is none."""
    labels, at = [], HEADER.size
    while query[at]:
        length = query[at]
        if length > 63 or at + length + 1 >= len(query):
            raise ValueError("no name")
        labels.append(query[at + 1 : at + 1 + length].lower())
        at += length + 1
    kind, family = struct.unpack_from(">HH", query, at + 1)
    return b".".join(labels), kind, family, at + 5


def answer(query):
    """The response to a query; None where there is to be none."""
    try:
        number, flags, questions, _, _, _ = HEADER.unpack_from(query)
        name, kind, family, end = question(query)
    except (ValueError, IndexError, struct.error):
        return None
    if flags & RESPONSE or questions != 1 or name.startswith(b"silent."):
        return None
    code, addresses = 0, b""
    if flags & OPERATION:
        code = NOT_IMPLEMENTED
    elif name != b"openrouter.ai" and not name.endswith(b".test"):
        code = NO_SUCH_NAME
    elif (kind, family) == (A, CLASS_IN):
        # 0xc00c: the name that stands behind the header
        addresses = struct.pack(">HHHIH", 0xC00C, A, CLASS_IN, 60, 4) + socket.inet_aton("127.0.0.1")
    flags = RESPONSE | flags & (OPERATION | RECURSION_DESIRED) | RECURSION_AVAILABLE | code
    return HEADER.pack(number, flags, 1, 1 if addresses else 0, 0, 0) + query[HEADER.size : end] + addresses


class OverUdp(socketserver.BaseRequestHandler):
    def handle(self):
        query, sock = self.request
        response = answer(query)
        if response:
            sock.sendto(response, self.client_address)


class OverTcp(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            (length,) = struct.unpack(">H", head)
            query = self.rfile.read(length)
            if len(query) < length:
                return
            response = answer(query)
            if response:
                self.wfile.write(struct.pack(">H", len(response)) + response)


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, address):
        pass    # a client that went away


def listen():
    """A server of each kind on the same port, which the one may have free and the other not."""
    for _ in range(100):
        udp = socketserver.UDPServer(("127.0.0.1", 0), OverUdp)
        try:
            return udp, TcpServer(udp.server_address, OverTcp)
        except OSError:
            udp.server_close()
    sys.exit("dns: found no free port")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: dns.py READY")
    ready = sys.argv[1]
    udp, tcp = listen()
    threading.Thread(target=tcp.serve_forever, daemon=True).start()
    with open(ready + ".new", "w") as file:
        file.write("%d\n" % udp.server_address[1])
    os.rename(ready + ".new", ready)
    udp.serve_forever()


if __name__ == "__main__":
    main()

"""Read a stream of events that tell when they were made, and say how long each was under way.

    stream.py PORT PATH        microseconds, one line each
"""
import re
import socket
import sys
import time

STAMP = re.compile(rb'"content":"(\d+\.\d+)"')
BODY = b'{"model":"anthropic/claude-sonnet-5","stream":true}'


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    head = "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % (path, len(BODY))
    taken, text = [], b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(head.encode() + BODY)
        while b"[DONE]" not in text:
            part = sock.recv(65536)
            now = time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
            if not part:
                sys.exit("the stream ended too early")
            text += part
            end = 0
            for stamp in STAMP.finditer(text):
                taken.append(now - float(stamp.group(1)))
                end = stamp.end()
            text = text[end:]
    print("\n".join("%.1f" % microseconds for microseconds in taken))


main()

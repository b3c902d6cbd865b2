"""Ask for something that takes no time, 200 times a second over one connection, and tell how long each answer took.

    probe.py PORT PATH SECONDS        microseconds, one line each
"""
import socket
import sys
import time

EVERY = 0.005


def main():
    port, path, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    request = ("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path).encode()
    taken = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = time.monotonic()
        turn = start
        while turn < start + seconds:
            time.sleep(max(0, turn - time.monotonic()))
            begin = time.monotonic()
            sock.sendall(request)
            answer = b""
            while not answer.endswith(b"here\n"):
                part = sock.recv(4096)
                if not part:
                    sys.exit("the connection was closed")
                answer += part
            end = time.monotonic()
            taken.append((end - begin) * 1e6)
            turn = max(turn + EVERY, end)    # who was kept waiting does not make up for it
    print("\n".join("%.0f" % microseconds for microseconds in taken))


main()

#!/usr/bin/env python3
"""A server of answers that somebody wrote down: the request for /PATH gets the file PATH, with - for each /, of the directory
given, whose first line is the status; without such a file a page that says 404. What was asked is added to the file `asked`.

    canned.py DIRECTORY READY    READY gets the base URL once requests are answered
"""
import http.server
import os
import sys
import urllib.parse

directory, ready = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        with open(os.path.join(directory, "asked"), "a") as asked:
            asked.write("%s %s %s\n" % (self.command, self.path, body))
        path = urllib.parse.urlsplit(self.path).path.strip("/").replace("/", "-")
        try:
            with open(os.path.join(directory, path), "rb") as file:
                status, text = file.read().split(b"\n", 1)
        except FileNotFoundError:
            status, text = b"404", b"<html>gone</html>"
        self.send_response(int(status))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(ready + ".new", "w") as file:
    file.write("http://127.0.0.1:%d\n" % server.server_port)
os.rename(ready + ".new", ready)
server.serve_forever()

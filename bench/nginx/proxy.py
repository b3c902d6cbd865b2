"""The proxy that is measured: a real nginx with the configuration of examples/nginx, as it is printed there but for paths,
ports and the account; with logging, or without what openrouter.nginx asks for.
"""
import os
import re
import shutil
import subprocess
import time
import urllib.request

WORK = os.environ["WORK"]
PRINTED = "examples/nginx/nginx.conf"
TICKS = os.sysconf("SC_CLK_TCK")

# What is there for the benchmark alone, in both modes. Asking it is the second location that must not wait.
TEST_SERVER = """
  server {
    listen 127.0.0.1:%(test)s;
    access_log off;
    default_type text/plain;
    location = /static { return 200 "here\\n"; }
    location = /status { stub_status; }
    location = /pid { content_by_lua_block { ngx.print(ngx.worker.pid()) } }
    location = /gaps { content_by_lua_block { ngx.print(require("heartbeat").report()) } }
    location = /stats {
      content_by_lua_block {
        for name, value in pairs(require("openrouter.nginx").stats()) do ngx.say(name, " ", value) end
      }
    }
  }
"""
OF_THE_BENCHMARK = """
  lua_package_path "%(work)s/lua/?.lua;%(work)s/lua/?/init.lua;%(work)s/?.lua;;";
  lua_package_cpath "%(work)s/lua/?.so;;";
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
"""
# One of the blocks by which a request is logged
IN_REQUEST = re.compile(r"^ *(header_filter|body_filter|log)_by_lua_block +\{.*\}\n", re.MULTILINE)
AT_START = re.compile(r"init_worker_by_lua_block \{.*?\n  \}", re.DOTALL)


class Failed(Exception):
    pass


def port(name):
    return int(os.environ[name])


def replace(text, old, new, times=1):
    """That the example has been changed must not go unnoticed: then something else than it would be measured."""
    if text.count(old) != times:
        raise Failed("%s does not have this %d times any more: %s" % (PRINTED, times, old))
    return text.replace(old, new)


def configuration(logging, start, heartbeat, directory, user):
    with open(PRINTED) as file:
        text = file.read()
    for module in "ndk_http_module.so", "ngx_http_lua_module.so":
        text = replace(text, "modules/" + module, os.environ["MODULES"] + "/" + module)
    text = replace(text, "user www-data;", user)
    text = replace(text, "worker_processes auto;", "worker_processes 1; daemon off;")
    text = replace(text, "pid /run/nginx.pid;", "pid proxy.pid;")
    text = replace(text, "/var/log/nginx/error.log", "error.log")
    text = replace(text, "/var/log/nginx/access.log", "access.log")
    text = replace(text, "/etc/ssl/certs/ca-certificates.crt", WORK + "/cert.pem", 2)
    text = replace(text, "resolver 127.0.0.53 ", "resolver 127.0.0.1:%d " % port("DNS_PORT"))
    text = replace(text, "server openrouter.ai:443;", "server 127.0.0.1:%d;" % port("API_PORT"))
    text = replace(text, "listen 127.0.0.1:8080;", "listen 127.0.0.1:%d;" % port("PROXY_PORT"))
    text = replace(text, 'start { dir = "/var/log/nginx/openrouter" }', 'start { dir = "%s", %s }' % (directory, start))
    if not logging:
        text, in_request = IN_REQUEST.subn("", text)
        text, at_start = AT_START.subn("init_worker_by_lua_block { }", text)
        if (in_request, at_start) != (3, 1):
            raise Failed("%s has %d and %d blocks for logging, and not 3 and 1" % (PRINTED, in_request, at_start))
    if heartbeat:
        text = replace(text, "init_worker_by_lua_block {", 'init_worker_by_lua_block { require("heartbeat").start()')
    text = replace(text, "\nhttp {\n", "\nhttp {" + OF_THE_BENCHMARK % {"work": WORK})
    return text.rstrip()[:-1] + TEST_SERVER % {"test": port("TEST_PORT")} + "}\n"


def fetch(path):
    with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port("TEST_PORT"), path), timeout=30) as answer:
        return answer.read().decode()


class Proxy:
    """with Proxy(logging=True) as proxy: …    It serves at the beginning, and nothing of it is there at the end.

    start: further options for start(), as Lua; api, api_port, host: where the records are; prepare: a function that is given
    the directory of the ledger before nginx starts, and returns a command to start it by, or [].
    """

    def __init__(self, logging, start="", api="/api/v1", api_port=None, host="openrouter.ai", heartbeat=False, prepare=None):
        self.logging = logging
        self.start = 'base_url = "https://%s:%d%s", %s' % (host, api_port or port("API_PORT"), api, start)
        self.heartbeat = heartbeat
        self.prepare = prepare
        self.directory = WORK + "/ledger"

    def __enter__(self):
        self.master = None
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        os.mkdir(self.directory)
        account, user = os.environ["ACCOUNT"], ""
        if account:
            user = "user %s;" % account
            shutil.chown(self.directory, account.split()[0])
        prefix = self.prepare(self.directory) if self.prepare else []
        if "--map-root-user" in prefix:
            user = "user root root;"
        with open(WORK + "/proxy.conf", "w") as file:
            file.write(configuration(self.logging, self.start, self.heartbeat, self.directory, user))
        nginx = [os.environ["NGINX"], "-p", WORK, "-c", "proxy.conf", "-e", "stderr"]
        command = prefix + ["taskset", "-c", os.environ["PROXY_CPU"], *nginx]
        with open(WORK + "/proxy.errors", "w") as errors:
            self.master = subprocess.Popen(command, stdout=errors, stderr=errors, stdin=subprocess.DEVNULL)
        self.worker = self._wait()

    def _wait(self):
        for _ in range(200):
            try:
                return int(fetch("/pid"))
            except OSError:
                time.sleep(0.05)
            if self.master.poll() is not None:
                break
        with open(WORK + "/proxy.errors") as file:
            raise Failed("nginx does not start: " + file.read().strip())

    def __exit__(self, *_):
        while self.master and self.master.poll() is None:    # nginx sleeps on over a signal that reaches it while it starts
            self.master.terminate()
            try:
                self.master.wait(0.5)
            except subprocess.TimeoutExpired:
                pass
        shutil.rmtree(self.directory)
        for name in "access.log", "error.log":
            if os.path.exists(WORK + "/" + name):
                os.remove(WORK + "/" + name)

    def cpu(self):
        """Seconds of CPU that the worker has had, of all its threads."""
        with open("/proc/%d/stat" % self.worker) as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def requests(self):
        """How many requests were proxied so far; those that this class makes are not."""
        numbers = re.findall(r"\d+", fetch("/status"))
        return int(numbers[3])

    def stats(self):
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in fetch("/stats").splitlines())}

    def gaps(self):
        return [int(gap) for gap in fetch("/gaps").split()]

    def url(self, path):
        return "http://127.0.0.1:%d%s" % (port("PROXY_PORT"), path)

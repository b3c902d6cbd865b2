#!/bin/sh
# A real nginx in a process group of its own, of which nothing stays behind: the half of proxy.lua that has the processes.
#
#   spec/support/proxy.sh WORK PORT READY    "PID PORT" when it serves: PID is the master's, and the number of the group
#
# WORK/nginx.conf.in is its configuration, in which @PORT@ stands for PORT or, where that is empty, for a port that is free.
# Runs until the last process of nginx is gone, which may be long after the master; told to end, it ends them all.
set -u

die () {
  echo "proxy: $*" >&2
  exit 1
}

[ $# -eq 3 ] || die "usage: $0 WORK PORT READY"
work=$1 port=$2 ready=$3
PATH=$PATH:/usr/sbin:/usr/local/sbin    # nginx is there, and the PATH of ordinary users is not
nginx=${NGINX:-nginx}
command -v "$nginx" >/dev/null || die "needs nginx: apt-get install nginx"
unset LUA_PATH LUA_CPATH    # modules come from where the configuration says
umask 022

# The processes of nginx that live. Zombies do not: a dead master's workers may have nobody to bury them. The first process
# has no group yet when it has just been forked.
processes () {
  cat /proc/[0-9]*/stat 2>/dev/null | awk -v group="$!" '
    { pid = $1; sub(/^.*\) /, "") }
    (pid == group || $3 == group) && $1 !~ /[ZX]/ { print pid }'
}

# Again and again: nginx sleeps on over a signal that reaches it while it starts, until the next one. Who has been stopped by
# a signal, or hangs, hears SIGKILL alone.
end_nginx () {
  [ "${!:-}" ] || return 0
  signal=TERM tries=0
  while pids=$(processes) && [ "$pids" ]; do
    # shellcheck disable=SC2086    # words are what is wanted
    kill -s "$signal" $pids 2>/dev/null
    tries=$((tries + 1))
    [ "$tries" -lt 40 ] || signal=KILL
    sleep 0.05
  done
}

stop () {
  trap '' INT TERM HUP PIPE
  trap - EXIT
  end_nginx
  cat "$work/stderr" >&2 2>/dev/null
  exit "$1"
}
trap 'stop 0' INT TERM HUP PIPE
trap 'stop $?' EXIT

# A port below the range of outgoing connections that nothing here uses. Only starting nginx proves it free.
unused_port () {
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v start="$(od -An -N2 -tu2 /dev/urandom)" '
    { n = split($2, address, ":"); used[address[n]] = 1 }
    END { for (port = 20000 + start % 12000; sprintf("%04X", port) in used; port++); print port }'
}

start () {    # PORT; false where it is taken
  sed -e "s|@PORT@|$1|" "$work/nginx.conf.in" >"$work/nginx.conf"
  rm -f "$work/nginx.pid"
  setsid "$nginx" -p "$work" -c nginx.conf -e stderr -g 'daemon off;' 2>"$work/stderr" &
  until [ -s "$work/nginx.pid" ]; do    # written when it listens
    # nginx would go on trying for a while
    if grep -qs 'Address already in use' "$work/stderr"; then
      end_nginx
      return 1
    fi
    kill -0 "$!" 2>/dev/null || die "nginx does not start"
    sleep 0.02
  done
  { echo "$! $1" >"$ready.$$" && mv "$ready.$$" "$ready"; } || die "cannot write $ready"
}

if [ "$port" ]; then
  start "$port" || die "port $port is taken"
else
  tries=0
  until start "$(unused_port)"; do
    tries=$((tries + 1))
    [ "$tries" -lt 10 ] || die "found no free port"
  done
fi

wait "$!"
while [ "$(processes)" ]; do sleep 0.05; done

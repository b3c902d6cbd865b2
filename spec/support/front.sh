#!/bin/sh
# A web server as they are in front of APIs, for specs of what goes over the wire: serve records until ended.
#
#   spec/support/front.sh READY     lines "NAME VALUE" when it serves; all else is made in that file's directory
#
# READY says: http, h2, h1, goaway (ports of 127.0.0.1: plain, HTTP/2 and HTTP/1.1 over TLS, HTTP/2 with five requests per
# connection), ipv6 (a port of ::1, where there is one), socket (a path, plain HTTP) and certificate (a path). At each of them
# /api/v1/generation?id=ID gives a record of that id, and /zipped/api/v1/generation?id=ID does with gzip for who accepts it.
# The file `requests` gets a line per answer, see front.conf.in. Needs nginx alone, none of its modules, and no root.
set -u

die () {
  echo "front: $*" >&2
  exit 1
}

[ $# -eq 1 ] || die "usage: $0 READY"
ready=$1
here=$(cd "$(dirname "$0")" && pwd) || exit 1
work=$(cd "$(dirname "$ready")" && pwd) || exit 1
PATH=$PATH:/usr/sbin:/usr/local/sbin    # nginx is there, and the PATH of ordinary users is not
nginx=${NGINX:-nginx}

# Again and again: nginx sleeps on over a signal that reaches it while it starts, until the next one.
end_nginx () {
  [ "${!:-}" ] || return 0
  while kill -TERM "$!" 2>/dev/null; do sleep 0.05; done
}

stop () {
  trap '' INT TERM HUP PIPE
  trap - EXIT
  end_nginx
  cat "$work/errors" >&2 2>/dev/null
  exit "$1"
}
trap 'stop 0' INT TERM HUP PIPE
trap 'stop $?' EXIT

command -v "$nginx" >/dev/null || die "needs nginx: apt-get install nginx"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -addext 'subjectAltName=IP:127.0.0.1,IP:0.0.0.0,IP:::1,DNS:localhost,DNS:api.test' \
  -keyout "$work/front.pem.key" -out "$work/front.pem" 2>/dev/null || die "cannot make a certificate"

user=''
if [ "$(id -u)" -eq 0 ]; then
  name=www-data
  id "$name" >/dev/null 2>&1 || name=nobody
  user="user $name $(id -gn "$name");"
  chmod 711 "$work"    # the worker is not root, and opens the socket's directory
fi

# Shape and order as the API has them; nginx puts in the id, which stands in URLs as it is.
record='{"data":{"id":"$arg_id","request_id":"req-front-1","model":"test/model","provider_name":"Front","api_type":"completions",'
record=$record'"created_at":"2026-01-02T03:04:05.678Z","is_byok":false,"cancelled":false,"streamed":true,"finish_reason":"stop",'
record=$record'"total_cost":0.0015,"usage":0.0015,"upstream_inference_cost":null,"cache_discount":null,'
record=$record'"native_tokens_prompt":10,"native_tokens_completion":25,"tokens_prompt":10,"tokens_completion":25,'
record=$record'"latency":1250,"generation_time":1200}}'
cat >"$work/record" <<EOF
location = /api/v1/generation { return 200 '$record'; }
location = /zipped/api/v1/generation { gzip on; return 200 '$record'; }
location / { return 404 '{"error":{"message":"Not Found","code":404}}'; }
EOF

# Five ports below the range of outgoing connections that nothing here uses. Only starting nginx proves them free.
unused_ports () {
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v start="$(od -An -N2 -tu2 /dev/urandom)" '
    { n = split($2, address, ":"); used[address[n]] = 1 }
    END {
      for (port = 20000 + start % 12000; found < 5; port++)
        if (!(sprintf("%04X", port) in used)) { printf "%s%d", found++ ? " " : "", port }
      print ""
    }'
}

start () {    # http h2 h1 goaway ipv6; false where a port is taken
  ipv6=''
  if grep -qs '^0\{31\}1 ' /proc/net/if_inet6; then ipv6="listen [::1]:$5 ipv6only=on;"; fi
  rm -f "$work/socket" "$work/nginx.pid"
  sed -e "s|@HTTP@|$1|" -e "s|@H2@|$2|" -e "s|@H1@|$3|" -e "s|@GOAWAY@|$4|" -e "s|@IPV6@|$ipv6|" -e "s|@USER@|$user|" \
    -e "s|@WORK@|$work|" "$here/front.conf.in" >"$work/front.conf"
  "$nginx" -p "$work" -c front.conf -e stderr 2>"$work/errors" &
  until [ -s "$work/nginx.pid" ]; do    # written when all its ports listen
    # nginx would go on trying for a while
    if grep -qs 'Address already in use' "$work/errors"; then
      end_nginx
      : >"$work/errors"
      return 1
    fi
    kill -0 "$!" 2>/dev/null || die "nginx does not start"
    sleep 0.02
  done
  {
    echo "http $1" && echo "h2 $2" && echo "h1 $3" && echo "goaway $4"
    [ -z "$ipv6" ] || echo "ipv6 $5"
    echo "socket $work/socket" && echo "certificate $work/front.pem"
  } >"$ready.$$" && mv "$ready.$$" "$ready" || die "cannot write $ready"
}

tries=0
# shellcheck disable=SC2046    # words are what is wanted
until start $(unused_ports); do
  tries=$((tries + 1))
  [ "$tries" -lt 10 ] || die "found no free ports"
done

wait "$!"
die "nginx ended by itself"

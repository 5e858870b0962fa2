#!/bin/sh
# Runs a command in another node of this multi-node job, as rsh and ssh do: batchyard-rsh [OPTION...] HOST COMMAND...
# MPI launchers start their daemons with it. The command runs under the node's agent: in that node's environment,
# directory and limits, and it ends with it. Input, output, errors and exit code are passed through.
# Needs nothing but POSIX sh and FIFOs, in a directory that all nodes share: the one of this script.
dir=${0%/*}

fail() {
    echo "batchyard-rsh: $*" >&2
    exit 255
}

while [ $# -gt 0 ]; do
    case $1 in
        --) shift; break ;;
        -[BbcDEeFIiJLlmOoPpQRSWw]) shift 2 ;; # options of ssh and rsh that have a value
        -*) shift ;;
        *) break ;;
    esac
done
[ $# -ge 2 ] || fail "give the address of a node, and a command"
host=${1#*@}
shift

node=
while read -r address number name; do
    case $host in
        "$address" | "$name") node=$number; break ;;
    esac
done <"$dir/hosts"
[ -n "$node" ] || fail "$host is no node of this job; its nodes are in $dir/hosts"

# The main node runs before the others are launched.
until [ -e "$dir/$node.up" ]; do
    [ ! -e "$dir/$node.gone" ] || fail "node $node ($host) $(cat "$dir/$node.gone")"
    sleep 0.1 2>/dev/null || sleep 1
done

umask 000 # nodes may have different users; nothing but the nodes gets into the directory above
number=0
until mkdir "$dir/request.$$.$number" 2>/dev/null; do
    number=$((number + 1))
    [ $number -lt 1000 ] || fail "$dir takes no requests any more"
done
request=$dir/request.$$.$number
printf '%s\n' "$*" >"$request/command"
mkfifo "$request/in" "$request/out" "$request/err" "$request/code" || fail "no FIFO can be made in $request"

exec 5<&0 6<>"$request/code"
cat <"$request/out" 5<&- 6<&- &
output=$!
cat <"$request/err" >&2 5<&- 6<&- &
errors=$!
cat <&5 >"$request/in" 2>/dev/null 6<&- &
input=$!
# Read and write, so that this never blocks; one line is written at once.
echo "$request" 1<>"$dir/$node.requests"
{
    until [ -e "$dir/$node.gone" ]; do sleep 1; done
    echo gone >&6
} </dev/null >/dev/null 2>&1 5<&- &
watch=$!

read -r code <&6
kill "$watch" "$input" 2>/dev/null
if [ "$code" = gone ]; then
    kill "$output" "$errors" 2>/dev/null
    rm -rf "$request"
    fail "node $node ($host) $(cat "$dir/$node.gone")"
fi
wait "$output" "$errors"
rm -rf "$request"
exit "$code"

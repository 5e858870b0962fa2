#!/bin/sh
# The agent of one node of a multi-node job: agent DIRECTORY NODE [COMMAND...]
# Runs the commands that batchyard-rsh asks for, each with the input, output and errors of the one that asks. With a
# COMMAND, the agent is its child process, and ends with it; without, the agent runs alone (in a container, beside the
# container's own command).
dir=$1
node=$2
shift 2

run() {
    { sh -c "$(cat "$1/command")"; code=$?; } <"$1/in" >"$1/out" 2>"$1/err"
    echo "$code" >"$1/code"
}

serve() {
    mkdir "$dir/$node.agent" 2>/dev/null || exit 0 # there is one already
    exec 3<>"$dir/$node.requests"
    : >"$dir/$node.up"
    while read -r request <&3; do
        run "$request" 3<&- &
    done
}

if [ $# -eq 0 ]; then
    serve
    exit 0
fi
serve </dev/null >/dev/null 2>&1 &
exec "$@"

#!/bin/sh
# Regenerate requirements/*.txt from requirements/*.in: every version pinned, every published file's hash listed.
# Usage: scripts/lock.sh [pip-compile options, such as --upgrade or --upgrade-package boto3]
#
# The oldest supported Python resolves, since it needs the most packages (backports); newer ones need a subset.
# No index, host or link of this machine's pip configuration may reach the files: the --no-emit options see to that.
set -eu
cd "$(dirname "$0")/.."

PIP_TOOLS_VERSION=7.6.2
python=${PYTHON:-python3.11}
if [ "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" != 3.11 ]; then
    echo "lock.sh: $python is not Python 3.11, the oldest supported version; set PYTHON to one." >&2
    exit 1
fi

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check "pip-tools==$PIP_TOOLS_VERSION"

export CUSTOM_COMPILE_COMMAND=scripts/lock.sh
for name in build base gpu otel apprise dev mpi; do
    echo "Locking requirements/$name.txt"
    "$tools/bin/pip-compile" --quiet --allow-unsafe --generate-hashes --strip-extras \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
        --output-file "requirements/$name.txt" "$@" "requirements/$name.in"
done

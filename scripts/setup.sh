#!/bin/sh
# Make the virtual environment .venv with everything that running, testing and checking Batchyard needs.
# Every package is pinned and its hash checked. Does nothing, at once, when .venv is up to date.
# PYTHON names the interpreter to use; without it the newest supported one on PATH is taken.
set -eu
cd "$(dirname "$0")/.."

OLDEST="3.11"
CANDIDATES="python3.13 python3.12 python3.11 python3"
VENV=.venv
STAMP=$VENV/.setup-done
INPUTS="pyproject.toml requirements/build.txt requirements/dev.txt scripts/setup.sh"

step() { echo "setup: $*"; }
fail() {
    for line in "$@"; do echo "setup: $line" >&2; done
    exit 1
}

# What .venv was made for. It does not survive being moved, and another interpreter needs another environment.
place() { echo "$(pwd -P) ${PYTHON:-any}"; }

stamp() {
    place
    cat $INPUTS | cksum
}

is_recent_enough() { # a name may exist and still not run (version manager shims), so ask it
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_recent_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python $OLDEST or newer."
        echo "$PYTHON"
        return
    fi
    for name in $CANDIDATES; do
        if is_recent_enough "$name"; then
            echo "$name"
            return
        fi
    done
    fail "Batchyard needs Python $OLDEST or newer, and none of these is one: $CANDIDATES." \
        "Install one, or say where it is: make setup PYTHON=/path/to/python3.11"
}

has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Debian and Ubuntu take venv out of python3 and ship it as a package of its own.
provide_venv() {
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    package=python$version-venv
    if [ "$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$version" ]; then
        package=python3-venv
    fi
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "$1 has no venv module. Install your system's venv package for Python $version, then try again."
    fi
    if [ "$(id -u)" != 0 ]; then
        fail "$1 has no venv module. Type this, then try again:" \
            "" \
            "    sudo apt-get update && sudo apt-get install -y $package"
    fi
    step "Python $version lacks venv: installing $package with apt-get"
    apt_get update
    apt_get install -y --no-install-recommends "$package"
    has_venv "$1" || fail "$package is installed, but $1 still has no venv module; set PYTHON to another interpreter."
}

apt_get() { # quiet when it works, whole when it does not
    if ! said=$(DEBIAN_FRONTEND=noninteractive apt-get -q "$@" 2>&1 </dev/null); then
        echo "$said" >&2
        fail "apt-get $* failed; its output is above."
    fi
}

# Twice quiet: errors only, and those whole.
pip() { "$VENV/bin/python" -m pip --quiet --quiet --disable-pip-version-check --no-input "$@"; }

if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(stamp)" ] && is_recent_enough "$VENV/bin/python"; then
    exit 0
fi
# Two set-ups at once would spoil each other's work: the second waits, and then finds all done.
if [ -z "${SETUP_LOCKED:-}" ] && command -v flock >/dev/null 2>&1; then
    exec env SETUP_LOCKED=1 flock .setup.lock scripts/setup.sh
fi

usable_venv() { # made here, for this interpreter, and with a pip that runs: bring it up to date instead of making it anew
    is_recent_enough "$VENV/bin/python" && "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || return 1
    [ ! -f "$STAMP" ] || [ "$(head -n 1 "$STAMP")" = "$(place)" ]
}

if ! usable_venv; then
    python=$(choose_python)
    has_venv "$python" || provide_venv "$python"
    step "making $VENV with $("$python" -c 'import sys; print("Python %d.%d.%d" % sys.version_info[:3], sys.executable)')"
    "$python" -m venv --clear "$VENV"
fi
step "installing $(grep -c '^[a-z].*==' requirements/dev.txt) locked packages, hashes checked (a minute or two)"
pip install --require-hashes -r requirements/build.txt -r requirements/dev.txt
step "installing batchyard"
pip install --no-build-isolation --no-deps --editable .
stamp >"$STAMP"
step "done"

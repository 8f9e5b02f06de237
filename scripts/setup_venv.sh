#!/bin/sh
# Make the virtual environment $1 with the Python $2 and install air3d into it for development, with the extras $3
# (names with commas between, or nothing), as constraints.txt pins it.
# Run by `make setup` from the root of the checkout.
set -eu
venv=$1
python=$2
extras=dev${3:+,$3}

fail() {
    echo "air3d: error: $1" >&2
    exit 2
}

command -v "$python" >/dev/null 2>&1 || fail "'$python' was not found; install Python 3.11 or newer, or name it: make setup PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is Python $("$python" -c 'import platform; print(platform.python_version())'), air3d needs 3.11 or newer; name one: make setup PYTHON=python3.12"

# An environment whose Python has gone or is too old is made anew.
if [ -e "$venv" ] && ! "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    rm -rf "$venv"
fi
if [ ! -e "$venv" ]; then
    echo "air3d: making $venv"
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        # Debian and Ubuntu split venv from Python.
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            echo "air3d: installing the system package $package"
            apt-get update -q >/dev/null 2>&1 || true
            DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$package" >/dev/null 2>&1 || true
        fi
        "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || fail "$python has no venv module; apt-get install $package"
    fi
    "$python" -m venv "$venv" || fail "'$python -m venv $venv' failed, see above"
fi

echo "air3d: installing the packages that constraints.txt pins (some minutes the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$extras]" ||
    fail "pip could not install the packages, see above; run 'make setup' again"

#!/bin/sh
# Makes .venv and installs Tidemill into it, once for each state of pyproject.toml and constraints.txt.
#
#   scripts/venv.sh train       what the loop needs
#   scripts/venv.sh train,dev   and what the checks need
#
# The stamp is written last: a run that was cut off is done again, a finished one needs no network.
set -eu
cd "$(dirname "$0")/.."
extras=$1
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV 2>/dev/null || true

fail() {
    printf 'error: %s\n       %s\n' "$1" "$2" >&2
    exit 1
}

# The stamp names everything the installation depends on, the checkout's own place included (editable installs keep it).
stamp=".venv/.tidemill-$(printf '%s' "$extras" | tr ',' '-')"
state=$({ pwd; cat pyproject.toml constraints.txt; } | cksum)
for done in "$stamp" .venv/.tidemill-train-dev; do
    if [ -x .venv/bin/python ] && [ "$(cat "$done" 2>/dev/null)" = "$state" ]; then
        exit 0
    fi
done

python=
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "no Python 3.11 or newer found" "install one, or name it:  make demo PYTHON=/path/to/python3.11"

# A .venv that was cut off while it was made, or that was moved here with the checkout, is made anew.
if ! .venv/bin/python -c 'import os, sys; raise SystemExit(os.path.realpath(sys.prefix) != os.path.realpath(".venv"))' 2>/dev/null ||
    ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    printf 'making .venv with %s\n' "$("$python" --version)" >&2
    rm -rf .venv
    "$python" -m venv .venv ||
        fail "$python could not make a virtual environment" "on Debian and Ubuntu:  apt-get install python3-venv"
fi
printf 'installing tidemill[%s] (once; about 2.5 GB unpacked, two to five minutes)\n' "$extras" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]" --constraint constraints.txt ||
    fail "the installation did not finish" "check the network and run the same command again"
printf '%s\n' "$state" >"$stamp"

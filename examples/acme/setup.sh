#!/bin/sh
# Prepares the sample company: Node packages into node_modules, the Python SDK into .venv.
# Safe to run again; does only what is missing or out of date.
set -eu
cd "$(dirname "$0")"

need() {
    command -v "$1" >/dev/null || { echo "acme: $1 is needed ($2) and was not found" >&2; exit 1; }
}
need node "version 20 or later"
need npm "comes with Node"
need python3 "version 3.10 or later, with venv"

if ! cmp -s package-lock.json node_modules/.installed; then
    echo "acme: installing the Node packages of examples/acme"
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.installed
fi
if ! cmp -s requirements.txt .venv/.installed; then
    echo "acme: installing the Python packages of examples/acme"
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
    cp requirements.txt .venv/.installed
fi
echo "acme: ready"

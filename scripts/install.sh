#!/usr/bin/env bash
# Makes the virtual environment FOLDER and installs WHAT in it: install.sh FOLDER WHAT
set -euo pipefail

folder=$1 what=$2 python=${PYTHON:-python3}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$python" -m venv "$folder"
if ! "$folder/bin/python" -m pip --disable-pip-version-check --quiet install --retries 2 --editable "$what" >"$log" 2>&1; then
    reason=$(grep -m 1 -o 'Temporary failure in name resolution\|Network is unreachable\|Connection refused\|timed out' "$log" ||
        grep '^ERROR' "$log" | tail -n 1)
    echo "install: pip cannot fetch what netrecon needs (${reason:-see pip install $what}); this needs a network, or a mirror in PIP_INDEX_URL" >&2
    exit 1
fi

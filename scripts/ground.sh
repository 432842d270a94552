# shellcheck shell=bash
# What the commands of scripts/ share; sourced from the root of the checkout. Owns: where .dev/ is, which Python is
# used, how a step is shown. Must never start anything by being sourced.

DEV=${NEUROSPHERE_DEV_DIR:-$PWD/.dev}
case $DEV in /*) ;; *) DEV=$PWD/$DEV ;; esac

die() { echo "$*" >&2; exit 1; }

note() { printf '%-52s %s\n' "$1" "$2"; }

# step NAME COMMAND...: runs it with its output in the log, shows the name and the seconds it took.
step() {
    local name=$1 log=$DEV/setup.log from=$EPOCHREALTIME
    shift
    printf '%-52s ' "$name"
    mkdir -p "$DEV"
    set +e # bash forgets errexit inside a condition, so the step is not run in one
    (set -e; "$@") >>"$log" 2>&1 </dev/null 9>&-
    local code=$?
    set -e
    if ((code)); then
        echo "failed"
        echo "--- the end of $log:" >&2
        tail -n 25 "$log" >&2
        exit 1
    fi
    seconds_since "$from"
}

# The decimal sign of EPOCHREALTIME follows the locale; microseconds do not.
seconds_since() {
    local tenths=$(((${EPOCHREALTIME//[.,]/} - ${1//[.,]/} + 50000) / 100000))
    echo "$((tenths / 10)).$((tenths % 10)) s"
}

# A Python of 3.10 to 3.14, for which the Postgres wheel exists.
python_of_ours() {
    if [ -z "${PYTHON_FOUND:-}" ]; then
        local candidate
        for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python3.10; do
            if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
                PYTHON_FOUND=$candidate
                break
            fi
        done
    fi
    "${PYTHON_FOUND:?no Python 3.10 to 3.14 found; name one with PYTHON=/path/to/python3}" "$@"
}

# That Python's pip; where it has none (Debian without python3-pip), the wheel of pip that Debian packs, which runs as
# it is and needs no root to be fetched.
pip_of_ours() {
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    if python_of_ours -m pip --version >/dev/null 2>&1; then
        python_of_ours -m pip "$@"
    else
        [ -e "$DEV/pip.whl" ] || fetch_pip
        python_of_ours "$DEV/pip.whl/pip" "$@"
    fi
}

fetch_pip() {
    local folder
    folder=$(mktemp -d)
    fetch_debian "$folder/tree" python3-pip-whl
    cp "$folder"/tree/usr/share/python-wheels/pip-*.whl "$DEV/pip.whl"
    rm -rf "$folder"
}

# fetch_debian FOLDER PACKAGE...: unpacks Debian's packages below FOLDER, as they are; needs no root.
fetch_debian() {
    local tree=$1 folder file
    shift
    folder=$(mktemp -d)
    chmod 755 "$folder"
    if [ "$(id -u)" = 0 ]; then apt-get update -qq; fi
    mkdir -p "$tree"
    (cd "$folder" && apt-get download -qq "$@" && for file in *.deb; do dpkg-deb -x "$file" "$tree"; done) ||
        die "$* could not be fetched from Debian: run apt-get update (or apt-get install $*) as root, then retry"
    rm -rf "$folder"
}

# Postgres refuses to run as root, so root runs it as another user.
server_user() { if id postgres >/dev/null 2>&1; then echo postgres; else echo neurosphere-pg; fi; }

as_server() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && runuser -u "$(server_user)" -- env -u LC_ALL LANG=C.UTF-8 "$@")
    else
        env -u LC_ALL LANG=C.UTF-8 "$@"
    fi
}

# Where the server's files are: below .dev/, or below /var/tmp when the server's user cannot get there (/root/…).
postgres_home() {
    if [ -z "${POSTGRES_HOME_FOUND:-}" ]; then
        POSTGRES_HOME_FOUND=$DEV/postgres
        if [ "$(id -u)" = 0 ] && ! reachable_by_server "$DEV"; then
            POSTGRES_HOME_FOUND=/var/tmp/neurosphere-$(printf %s "$DEV" | sha256sum | cut -c1-12)
        fi
    fi
    echo "$POSTGRES_HOME_FOUND"
}

# True when every folder on the way lets strangers pass.
reachable_by_server() {
    local at=$1 mode
    while [ "$at" != / ]; do
        if [ -e "$at" ]; then
            mode=$(stat -Lc %a "$at")
            ((8#$mode & 1)) || return 1
        fi
        at=$(dirname "$at")
    done
}

title() { printf '\n== %s\n' "$*"; }

# use_environment DATABASE: what scripts/setup generated; variables that are already set win.
use_environment() {
    # shellcheck source=/dev/null
    DATABASE_NAME=$1 source "$DEV/env"
}

target_dir() { echo "${CARGO_TARGET_DIR:-target}"; }

#!/usr/bin/env bash
# Sets up everything in .venv: system libraries where this user may install them, then packages.
# Runs in a second when nothing has changed. PYTHON=python3.12 chooses the interpreter.
# `./install.sh --with-browser` also installs Chromium where it may, for the tests of the review page.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf 'install: %s\n' "$*" >&2; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.10 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  say "needs Python 3.10, 3.11 or 3.12 with venv (Debian, Ubuntu: apt-get install python3-venv); PYTHON=/path/to/python chooses one"
  exit 1
}

# Shared libraries that wheels load, and what CHOLMOD is compiled against, as Debian packages.
missing_system_packages() {
  local pair libraries
  libraries=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p)
  for pair in libusb-1.0.so.0=libusb-1.0-0 libGL.so.1=libgl1 libgomp.so.1=libgomp1 \
    libEGL.so.1=libegl1 libX11.so.6=libx11-6 libopenblas.so.0=libopenblas0; do
    grep -q "${pair%%=*}" <<<"$libraries" || echo "${pair#*=}"
  done
  [ -e /usr/include/suitesparse/cholmod.h ] || [ -e /usr/include/cholmod.h ] || echo libsuitesparse-dev
  command -v cc >/dev/null || echo build-essential
}

# The tests of the review page drive this browser; without it they are skipped, and say so.
install_browser() {
  command -v chromium >/dev/null && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing chromium"
    apt-get update -qq &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null &&
      return 0
  fi
  say "no chromium: the tests of the review page in a browser are skipped"
}

install_system_packages() {
  local missing as_root=()
  missing=$(missing_system_packages | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    as_root=(sudo -n)
    sudo -n true 2>/dev/null || as_root=(false)
  fi
  if command -v apt-get >/dev/null && "${as_root[@]}" true; then
    say "installing system libraries: $missing"
    # shellcheck disable=SC2086
    "${as_root[@]}" apt-get update -qq &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null &&
      return 0
  fi
  say "system libraries are missing; run: sudo apt-get install $missing"
  exit 1
}

install_packages() {
  local python=$1 stamp=.venv/installed wanted
  wanted=$(cat pyproject.toml constraints.txt unpinned-packages.txt install.sh | cksum)
  if [ -x .venv/bin/python ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then return; fi
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  say "installing packages into .venv (minutes the first time)"
  .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt pip setuptools
  .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps -r unpinned-packages.txt
  echo "$wanted" >$stamp
}

python=$(find_python)
install_system_packages
install_packages "$python"
if [ "${1:-}" = --with-browser ]; then install_browser; fi

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

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
  command -v apt-get >/dev/null && as_root true 2>/dev/null
}

apt_install() {
  as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The tests of the review page drive this browser; without it they are skipped, and say so.
install_browser() {
  local name
  for name in chromium chromium-browser chrome; do
    if command -v "$name" >/dev/null; then return; fi
  done
  if may_install; then
    say "installing chromium"
    apt_install chromium && return
  fi
  say "no chromium: the tests of the review page in a browser are skipped"
}

install_system_packages() {
  local missing
  missing=$(missing_system_packages | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  if may_install; then
    say "installing system libraries: $missing"
    # shellcheck disable=SC2086
    apt_install $missing && return 0
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
  # In the mode "compat" this folder is on Python's path. By default an import hook would find the
  # package, which is asked last: where the current folder holds a clone called fg3d_builder, that
  # would be taken for the package, and be empty.
  .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
    --config-settings editable_mode=compat -e '.[dev]'
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps -r unpinned-packages.txt
  echo "$wanted" >$stamp
}

case ${1:-} in
  "" | --with-browser) ;;
  *) say "unknown option $1; there is --with-browser alone"; exit 2 ;;
esac
python=$(find_python)
install_system_packages
install_packages "$python"
if [ "${1:-}" = --with-browser ]; then install_browser; fi

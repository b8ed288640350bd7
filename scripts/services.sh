#!/usr/bin/env bash
# Installs the servers the test suite starts for itself. Never fails: what cannot be had is named,
# and its tests skip by name (or fail with REQUIRE_SERVICES=1).
set -u

missing=()
have() { PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null 2>&1; }
have redis-server || missing+=(redis-server)
have mariadbd || missing+=(mariadb-server)
have etcd || missing+=(etcd-server)
have cc || missing+=(gcc libc6-dev)  # for the wall clock that tests set
have chromium || missing+=(chromium)

if [ ${#missing[@]} -eq 0 ]; then
    echo "services: all installed"
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "services: not installed, and only root on Debian can do it here: ${missing[*]}"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true
for package in "${missing[@]}"; do
    # A policy that denies keeps the package from starting a server of its own.
    if RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1; then
        echo "services: installed $package"
    else
        echo "services: could not install $package"
    fi
done

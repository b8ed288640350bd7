"""Debian packages of the peers and tools; installed where root and apt-get are at hand.

What cannot be had is named, and the run goes on without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = {
    "nginx": "/usr/sbin/nginx",
    "libnginx-mod-http-lua": "/usr/lib/nginx/modules/ngx_http_lua_module.so",
    "lua-resty-core": "/usr/share/lua/5.1/resty/core.lua",
    "haproxy": "/usr/sbin/haproxy",
    "redis-server": "/usr/bin/redis-server",
    "wrk": "/usr/bin/wrk",
}
"""Package to a file that shows it is installed."""


def install_packages() -> None:
    """Install what is missing, without starting any of it."""
    missing = [name for name, file in PACKAGES.items() if not Path(file).exists()]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"not installed, and only root on Debian can do it here: {', '.join(missing)}")
        return
    _apt("update", "-qq")
    for name in missing:
        done = _apt("install", "-y", "-qq", "--no-install-recommends", name)
        print(f"{'installed' if done else 'could not install'} {name}", flush=True)


def _apt(*words: str) -> bool:
    # With this run level the packages' scripts start no server of their own.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    return not subprocess.run(
        ["apt-get", *words], env=environment, capture_output=True, check=False
    ).returncode

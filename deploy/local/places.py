"""Where the embedded platform keeps what outlives one run."""

import os
import pwd
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path


def cache_dir(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Directory for downloaded jars and start-up caches; nothing in it is needed to keep data.

    A relative ``XDG_CACHE_HOME`` is ignored, as the XDG specification asks.
    """
    xdg = Path(environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():
        return xdg / "headrace"
    home = _home(environ)
    return home / ("Library/Caches" if platform == "darwin" else ".cache") / "headrace"


def _home(environ: Mapping[str, str]) -> Path:
    home = Path(environ.get("HOME", ""))
    if home.is_absolute():
        return home
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # containers run under user ids that no passwd entry knows
        return Path(tempfile.gettempdir()) / f"headrace-{os.getuid()}"

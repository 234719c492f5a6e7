"""Addresses of other systems: secrets come from the environment, and are never shown."""

import os
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from anomalign.errors import InputError
from anomalign.storage.urls import redacted

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expand(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Put the values of environment variables in place of ``${NAME}``.

    Raises
    ------
    InputError
        A variable is not set, or its name is none.
    """
    if "${" in VARIABLE.sub("", text):
        raise InputError("an address holds ${ without the name of a variable and }; write ${NAME}")

    def value(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise InputError(
                f"{redacted(text)}: the environment variable {match[1]} is not set; set it, or change the URL"
            )
        return environment[match[1]]

    return VARIABLE.sub(value, text)


def split(url: str, schemes: tuple[str, ...], name: str = "") -> SplitResult:
    """Take the address of another system apart.

    Parameters
    ----------
    url : str
    schemes : tuple of str
        Those that are allowed.
    name : str
        What errors call the address: one that holds values of variables is never shown itself.

    Raises
    ------
    InputError
        The scheme is another, there is no host, or the port is no number.
    """
    name = name or redacted(url)
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is read only now
    except ValueError:
        raise InputError(f"{name}: not a URL; a host, or a port from 0 to 65535, is wrong") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise InputError(f"{name}: needs {' or '.join(f'{scheme}://HOST' for scheme in schemes)}")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise InputError(f"{name}: holds a space or a control character, or a variable in it does; encode it with %")
    return parts


def shown(url: str) -> str:
    """The address without user, password and query, as logs and pages show it; two receivers never share one."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

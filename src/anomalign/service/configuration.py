"""How a service is run, checked as a whole before anything is opened."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from anomalign.backbones import CPU
from anomalign.errors import InputError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.service.security.requests import is_loopback

LEAST_UPLOAD_BYTES = 64 * 1024
MOST_DAYS = 36_500


def bank_name(path: Path) -> str:
    """What a bank is called: its folder's name, without ``.bank``."""
    return path.resolve().name.removesuffix(".bank")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A folder whose new files are inspected against a bank."""

    folder: Path
    bank: str


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How a service is run.

    Attributes
    ----------
    banks : tuple of Path
        Folders; the last part of a path, without ``.bank``, is the bank's name.
    data : Path
        Folder of pictures, and of the records where no `database` is given.
    database : str
        URL of the records; empty: a file in `data`.
    host, port
        To listen at. Other addresses than the loopback's need a `token_file`.
    token_file : Path, optional
        Who may sign in; without it everybody on this machine may do everything.
    host_names : tuple of str
        Names that the service goes by, beside those of the loopback.
    proxies : tuple of str
        Addresses or networks beside 127.0.0.1; believed when they say whom they ask for, and whether by HTTPS.
    watches : tuple of Watch
    preset : str
    target_fpr : float, optional
        Where no admin has chosen another.
    provider : str
        What runs the networks.
    keep_bytes : int
        Of pictures; the oldest go first.
    keep_days : int, optional
        Of records; older ones are forgotten. Without it none are.
    max_upload_bytes : int
        Of one request.
    max_pixels : int
        Of one image, checked before it is decoded.
    waiting : int
        Images that may wait; more are refused.

    Raises
    ------
    InputError
        Values that do not go together; it says which and why.
    """

    banks: tuple[Path, ...]
    data: Path
    database: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    token_file: Path | None = None
    host_names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    watches: tuple[Watch, ...] = ()
    preset: str = "default"
    target_fpr: float | None = None
    provider: str = CPU
    keep_bytes: int = 10 * 10**9
    keep_days: int | None = None
    max_upload_bytes: int = 64 * 10**6
    max_pixels: int = MAX_PIXELS
    waiting: int = 64

    def __post_init__(self) -> None:
        self._check_reach()
        if not self.banks:
            raise InputError("no bank given; name the folder of one, or several")
        names = list(self.names)
        for name in names:
            if not name or not name.isprintable():
                raise InputError(f"{self.names[name]}: a bank of this name cannot be served; rename its folder")
        if len(names) < len(self.banks):
            raise InputError("two of the banks go by the same name; rename the folder of one")
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise InputError(f"proxies: {proxy!r} is not an IP address or network ({error})") from error
        for watch in self.watches:
            if watch.bank not in names:
                raise InputError(f"watches: {watch.folder}: no bank {watch.bank!r}; served are {', '.join(names)}")
        if self.max_upload_bytes < LEAST_UPLOAD_BYTES:
            raise InputError(f"max_upload_bytes is {self.max_upload_bytes}; needs {LEAST_UPLOAD_BYTES} at least")
        if self.keep_days is not None and not 1 <= self.keep_days <= MOST_DAYS:
            raise InputError(f"keep_days is {self.keep_days}; must lie between 1 and {MOST_DAYS}")
        if self.waiting < 1:
            raise InputError(f"waiting is {self.waiting}; must be at least 1")

    @property
    def names(self) -> dict[str, Path]:
        """Banks by name."""
        return {bank_name(path): path for path in self.banks}

    @property
    def only_loopback(self) -> bool:
        """Whether the service can be reached from this machine alone."""
        return is_loopback(self.host)

    @property
    def database_url(self) -> str:
        """URL of the records."""
        return self.database or f"sqlite:///{self.data.resolve() / 'records.sqlite'}"

    def _check_reach(self) -> None:
        if self.token_file is not None:
            return
        if not self.only_loopback:
            raise InputError(
                f"host {self.host} can be reached from other machines; this needs a token_file: "
                "`anomalign token add FILE NAME --role admin` makes one"
            )
        if self.host_names:
            raise InputError(
                "host_names lets other machines reach this service; this needs a token_file: "
                "`anomalign token add FILE NAME --role admin` makes one"
            )

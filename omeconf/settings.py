"""omeconf.toml -> Settings: one table of name, default, unit and meaning.

Each table of the file is a frozen dataclass here; the text under a field is its meaning. An
unknown name, or a value of the wrong kind, is an error that names the file and the setting.
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omeconf.errors import BadSettings


@dataclass(frozen=True, slots=True)
class Token:
    """One token of the API, besides the one in Server.xml."""

    name: str
    """Shows as the author of its revisions."""
    sha256: str
    """Hex digest of the token."""
    role: Literal["read", "write", "admin"] = "read"


@dataclass(frozen=True, slots=True)
class Api:
    """Who may do what, and where."""

    listen: str = ""
    """HOST:PORT instead of every listener taken from Server.xml; "" leaves those."""
    virtual_hosts: Literal["read-only", "read-write"] = "read-only"
    """Whether virtual hosts are created and deleted over the API, or only by hand."""
    compat: Literal["0.21", "0.12"] = "0.21"
    """Whose forms of messages /v1 speaks."""
    max_body_bytes: int = 1048576
    max_waiting: int = 256
    """So many requests may wait for the writer; more are answered with 503."""
    header_timeout_s: float = 10.0
    """A client that has not sent its request line and headers by then is cut off."""
    body_timeout_s: float = 30.0
    """A client that pauses for so long within a body is cut off."""
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Watch:
    """Manual edits."""

    settle_s: float = 0.1
    """A file counts as saved when nothing happened to it for so long."""
    vanished_s: float = 2.0
    """A missing file may be on its way back for so long."""
    look_every_s: float = 2.0
    """How often to look without having been told."""
    adopt: Literal["auto"] = "auto"
    """Valid manual edits are taken up by themselves."""


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """How many revisions to keep; the newest, and those that run, always are."""

    keep: int = 1000
    keep_days: int = 400


@dataclass(frozen=True, slots=True)
class Reload:
    """When, and how long."""

    quiet_s: float = 0.0
    """Wait for so long without a further change before a reload."""
    longest_wait_s: float = 5.0
    """But never longer than this."""
    wait_s: float = 10.0
    """How long a request waits for its reload before it answers "pending"."""
    on_failure: Literal["revert", "keep"] = "revert"
    """What becomes of revisions made over the API when their reload fails."""
    on_failure_manual: Literal["keep", "revert"] = "keep"
    """And of manual edits; in a group those are revisions as any other."""
    backoff_s: float = 1.0
    """How long to wait before a failed or unreachable reload is tried again; twice as long each
    time, up to longest_backoff_s."""
    longest_backoff_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Hook:
    """One reload hook."""

    run: tuple[str, ...] = ()
    """The command and its arguments; no shell."""
    use: Literal["", "systemd", "engine"] = ""
    """A built-in hook instead of a command: restart a unit, or the engine's own REST API."""
    unit: str = ""
    """The unit that the built-in hook systemd restarts."""
    on: tuple[str, ...] = ("application", "virtualHost", "server")
    """The scopes it serves."""
    per: Literal["", "item", "plan"] = ""
    """One call for each thing (the default), or one for all (the default of systemd)."""
    timeout_s: float = 30.0
    retries: int = 2
    """How often a failed call is repeated before it counts as failed."""


@dataclass(frozen=True, slots=True)
class Health:
    """How to know that the engine is well after a reload."""

    run: tuple[str, ...] = ()
    timeout_s: float = 10.0
    after_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine whose configuration this is."""

    release: str = "0.21"
    env_file: str = ""
    """NAME=value lines: the engine's environment, for ${env:...}; unknown without it."""
    config_dir: str = ""
    """The engine's own folder, in which the last good configuration is published for it."""
    mode: Literal["live", "plain"] = "live"
    """live: the published file has no virtual hosts, they are made over the engine's API; plain:
    it has everything, and the engine restarts as a whole."""
    url: str = ""
    """Where the engine's own API listens, http://127.0.0.1:18081; "" if it has none."""
    token_file: str = ""
    """The file with the token of the engine's own API."""
    compare_every_s: float = 30.0
    """How often everything that the engine runs is compared with what it was given; whether it
    is there at all, every [watch] look_every_s."""
    on_drift: Literal["show", "repair"] = "show"
    """What to do when the engine runs something else than it was given."""


@dataclass(frozen=True, slots=True)
class FleetTls:
    """PEM files with which etcd is spoken to over https."""

    ca: str = ""
    """Whom to trust; "": whom the system trusts."""
    certificate: str = ""
    """Who we are, if etcd asks for that."""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The group that this daemon is a member of; none without endpoints."""

    endpoints: tuple[str, ...] = ()
    """URLs of etcd: http://10.0.0.1:2379; several are tried in turn."""
    group: str = "default"
    """Members of one group run one configuration."""
    node: str = ""
    """The name of this member, another for each; "": the name of the host."""
    labels: tuple[str, ...] = ()
    """What `order` names: "edge", "zone=a"."""
    user: str = ""
    password_file: str = ""
    tls: FleetTls = FleetTls()
    timeout_s: float = 5.0
    """How long one call to etcd may take."""
    lease_s: float = 10.0
    """A member of which nothing was heard for so long is away; another drives then."""
    on_manual: Literal["propose", "keep", "repair"] = "propose"
    """A manual edit goes to the group; or stays on this member only, and is shown; or is put
    right, and kept in the state folder."""
    rollout: Literal["auto", "manual"] = "auto"
    """Whether a new revision is rolled out by itself, or by `omeconf fleet rollout`."""
    canary: int = 1
    """So many members go first; 0: none does."""
    max_unavailable: int = 1
    """So many members at once after that."""
    order: tuple[str, ...] = ()
    """Labels: whose members go first, second, ...; who has none of them goes last."""
    vote_s: float = 30.0
    """A member whose check takes longer is skipped."""
    apply_s: float = 120.0
    """A member that is not healthy after so long has failed."""
    soak_s: float = 0.0
    """How long each batch must stay healthy before the next."""
    confirm_s: float = 60.0
    """A member goes back when nobody has driven the rollout for so long."""


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, and how."""

    format: Literal["auto", "text", "logfmt", "json", "journal"] = "auto"
    """auto: into systemd's journal with fields where it runs us, else text to stderr."""
    reads: bool = False
    """Whether requests that change nothing have a line too; they are answered more slowly then."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All of omeconf.toml; every default is usable."""

    api: Api = Api()
    watch: Watch = Watch()
    history: HistorySettings = HistorySettings()
    reload: Reload = Reload()
    hooks: tuple[Hook, ...] = ()
    health: Health = Health()
    engine: Engine = Engine()
    fleet: Fleet = Fleet()
    log: Log = Log()


_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"

LEAST_LEASE_S, MOST_LEASE_S = 2, 3600
"""Of a member that is away for longer than the most nobody would hear in time."""

MOST = 10**12
"""No number may be larger: seconds, bytes, revisions."""

SCOPES = ("application", "virtualHost", "server")


def load(path: Path | None) -> Settings:
    """Read omeconf.toml; all defaults without one. Raises BadSettings."""
    if path is None:
        return Settings()
    try:
        text = path.read_text()
    except OSError as error:
        raise BadSettings(f"cannot read {path}: {error.strerror}") from error
    return parse(text, file=str(path))


def parse(text: str, *, file: str = "omeconf.toml") -> Settings:
    """The settings in a text. Raises BadSettings, naming what is wrong."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{file}: {error}") from error
    try:
        settings: Settings = _build(Settings, tables, "")
        for number, hook in enumerate(settings.hooks, 1):
            _check_hook(hook, f"hooks {number}")
        trouble = trouble_with_engine(settings)
        if "fleet" in tables and not trouble:
            trouble = _trouble_with_fleet(settings.fleet)
        if trouble:
            raise _Wrong(trouble)
    except _Wrong as error:
        raise BadSettings(f"{file}: {error}") from None
    return settings


def read_env(path: Path) -> dict[str, str]:
    """The variables in a file of NAME=value lines. Raises BadSettings."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise BadSettings(f"cannot read {path}: {error.strerror}") from error
    found: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[name.removeprefix("export ").strip()] = value[1:-1] if quoted else value
    return found


class _Wrong(Exception):
    """A setting that cannot be used; its text says which and why."""


def _check_hook(hook: Hook, where: str) -> None:
    if bool(hook.run) == bool(hook.use):
        raise _Wrong(f'{where}: give either run = [...] or use = "systemd" or "engine"')
    if hook.use == "systemd" and not hook.unit:
        raise _Wrong(f'{where}: use = "systemd" needs unit = "..."')
    for scope in hook.on:
        if scope not in SCOPES:
            raise _Wrong(f'{where}.on: "{scope}" is not one of {", ".join(SCOPES)}')


def trouble_with_engine(settings: Settings) -> str:
    """Why [engine] and the hooks that use it cannot be used together; "" if they can."""
    engine = settings.engine
    uses = any(hook.use == "engine" for hook in settings.hooks)
    if (uses or engine.url) and not (engine.url and engine.token_file):
        return "engine: give url and token_file of the engine's own API"
    if engine.url and not re.fullmatch(r"http://[^/\s]+:[0-9]+/?", engine.url):
        return f'engine.url must be like "http://127.0.0.1:18081", not "{engine.url}"'
    if uses and engine.mode == "plain":
        return (
            'engine.mode must be "live" for use = "engine": what the engine reads from its file is '
            "read-only to its API"
        )
    return ""


def _trouble_with_fleet(fleet: Fleet) -> str:
    for name, value in (("group", fleet.group), ("node", fleet.node)):
        if (value or name == "group") and not re.fullmatch(_NAME, value):
            return f'fleet.{name} must be letters, digits, ".", "-" or "_", not "{value}"'
    if not fleet.endpoints:
        return 'fleet.endpoints must be given, like ["http://10.0.0.1:2379"]; or leave out [fleet]'
    for url in fleet.endpoints:
        if "@" in url:  # it is shown, and logged
            return "fleet.endpoints must have no password in it: give user and password_file"
        if not re.fullmatch(r"https?://[^/\s]+:[0-9]+/?", url):
            return f'fleet.endpoints must be like "http://10.0.0.1:2379", not "{url}"'
    if bool(fleet.user) != bool(fleet.password_file):
        return "fleet: give user and password_file, or none of them"
    if bool(fleet.tls.certificate) != bool(fleet.tls.key):
        return "fleet.tls: give certificate and key, or none of them"
    plain = [url for url in fleet.endpoints if not url.startswith("https:")]
    if plain and fleet.tls != FleetTls():
        return f"fleet.tls is of no use for {plain[0]}: give https:// in fleet.endpoints"
    if not fleet.timeout_s:
        return "fleet.timeout_s must be more than 0"
    if not LEAST_LEASE_S <= fleet.lease_s <= MOST_LEASE_S:
        return f"fleet.lease_s must be {LEAST_LEASE_S} to {MOST_LEASE_S}"
    if fleet.confirm_s < fleet.lease_s:
        return "fleet.confirm_s must not be less than lease_s: another has to take over within it"
    return "" if fleet.max_unavailable else "fleet.max_unavailable must be 1 or more"


def _build(kind: type[Any], table: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    for name in table:
        if name not in hints:
            known = ", ".join(hints)
            raise _Wrong(f'there is no setting "{where}{name}"; there is: {known}')
    values = {name: _value(hints[name], value, f"{where}{name}") for name, value in table.items()}
    try:
        return kind(**values)
    except TypeError:
        missing = [
            field.name
            for field in dataclasses.fields(kind)
            if field.default is dataclasses.MISSING and field.name not in values
        ]
        raise _Wrong(f"{where.rstrip('.')}: {', '.join(missing)} must be given") from None


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            shown = ", ".join(f'"{choice}"' for choice in choices if choice)
            raise _Wrong(f"{where} must be one of {shown}")
        return value
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, list):
            raise _Wrong(f"{where} must be a list")
        return tuple(_value(inner, each, where) for each in value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise _Wrong(f"{where} must be a table")
        return _build(hint, value, f"{where}.")
    if isinstance(hint, types.UnionType):
        hint = typing.get_args(hint)[0]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
        raise _Wrong(f"{where} must be {names[hint]}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < 0:
            raise _Wrong(f"{where} may not be negative")
        if not math.isfinite(value):
            raise _Wrong(f"{where} must be a finite number, not {value}")
        if value > MOST:
            raise _Wrong(f"{where} must be {MOST} or less")
    return value

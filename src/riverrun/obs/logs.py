"""One event, one line, with fields: text on a terminal, JSON otherwise.

The standard library's logging carries the events, so that uvicorn's own go the same way.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TextIO

REQUEST_ID: ContextVar[str] = ContextVar("riverrun_request_id", default="")

PASSWORD = re.compile(r"(://[^/:@?#]*:).*@")
SECRET_PARAMETER = re.compile(
    r"([?&;][^=&;]*(?:pass|pwd|token|secret|key|sig|credential)[^=&;]*=)[^&;]*", re.IGNORECASE
)
BARE = re.compile(r"[\w.:/@%+,*~-]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Log:
    """`Log(__name__).info("migration applied", step=12, took_ms=340)`."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        self._emit(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._emit(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._emit(logging.WARNING, event, fields)

    def error(self, event: str, *, error: BaseException | None = None, **fields: object) -> None:
        """With `error`, its traceback belongs to the event."""
        self._emit(logging.ERROR, event, fields, error)

    def _emit(
        self,
        level: int,
        event: str,
        fields: Mapping[str, object],
        error: BaseException | None = None,
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", event, exc_info=error, extra={"fields": fields})


def masked(uri: str) -> str:
    """The URI as it may be shown: passwords and secret-looking parameters become ***."""
    return SECRET_PARAMETER.sub(r"\1***", PASSWORD.sub(r"\1***@", uri))


def configure_logs(level: str, form: str, *, stream: TextIO | None = None) -> None:
    """Sends every event of at least `level` to `stream` (stderr). `form` is auto, text or json."""
    target = sys.stderr if stream is None else stream
    as_text = form == "text" or (form == "auto" and target.isatty())
    output = logging.StreamHandler(target)
    output.setFormatter(TextLines() if as_text else JsonLines())
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(output)
    root.setLevel(level.upper())
    # uvicorn tells its life in six lines that say nothing about ours.
    quiet = logging.DEBUG if level == "debug" else max(root.level, logging.WARNING)
    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(quiet)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = dict(getattr(record, "fields", {}))
    if request_id := REQUEST_ID.get():
        fields["request_id"] = request_id
    return fields


class JsonLines(logging.Formatter):
    """Keys `time` (UTC), `level`, `event` and `logger`, then the event's own."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": utc(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
            "logger": record.name,
            **fields_of(record),
        }
        if record.exc_info and record.exc_info[0]:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, separators=(",", ":"))


class TextLines(logging.Formatter):
    """For eyes: a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        event = CONTROL.sub(escaped, record.getMessage().strip())
        fields = "".join(f" {name}={shown(value)}" for name, value in fields_of(record).items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock}.{int(record.msecs):03d} {record.levelname.lower():7} {event}{fields}"
        if record.exc_info and record.exc_info[0]:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


def utc(seconds: float) -> str:
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"


def shown(value: object) -> str:
    text = str(value)
    return text if BARE.fullmatch(text) else json.dumps(text)


def escaped(found: re.Match[str]) -> str:
    """A stranger's line break must not start a line of ours."""
    return json.dumps(found[0])[1:-1]

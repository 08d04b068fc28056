"""Logs: one JSON object a line, on stderr.

Neither addresses of clients, nor queries, tokens, or anything of an image get here:
what is logged is written out below, field by field.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import datetime, timezone
from typing import IO, Any

__all__ = ["Log", "quieten_uvicorn"]


class Log:
    """Writes lines of JSON.

    Parameters
    ----------
    stream
        Where to; by default stderr.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream

    def write(self, event: str, **fields: Any) -> None:
        """Write a line; `fields` must not hold what came from a client."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        known = {key: value for key, value in fields.items() if value is not None}
        line = json.dumps({"time": now, "event": event, **known})
        stream = self._stream or sys.stderr
        try:
            with _LOCK:
                # the end of the line with it: threads write between two writes
                stream.write(f"{line}\n")
                stream.flush()
        except (OSError, ValueError):
            pass  # a closed pipe is no reason to stop serving

    def failure(self, ex: BaseException, **fields: Any) -> None:
        """Write where something unforeseen happened, but not the error's text.

        The text may quote what a client sent.
        """
        frames = traceback.extract_tb(ex.__traceback__)[-6:]
        places = [f"{frame.filename}:{frame.lineno}" for frame in frames]
        self.write("failure", error=type(ex).__name__, places=places, **fields)


_LOCK = threading.Lock()


class _ToLog(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        # the template, not what was filled in, nor errors, which may quote clients
        text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        line = text.partition("\n")[0]
        self._log.write("uvicorn", level=record.levelname.lower(), text=line)


def quieten_uvicorn(log: Log) -> None:
    """Have uvicorn's warnings written as all else is, and nothing else of it."""
    logger = logging.getLogger("uvicorn.error")
    logger.handlers = [_ToLog(log)]
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False

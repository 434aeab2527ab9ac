"""How the collector's log lines look."""

from __future__ import annotations

import sys

import structlog

__all__ = ["configure_logs"]


def configure_logs() -> None:
    """Log to the standard error: for people on a terminal, as JSON lines elsewhere."""
    people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer(),
        ],
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
    )

"""How many digits after the point a currency has (ISO 4217)."""

from __future__ import annotations

from typing import Final

__all__ = ["MOST_DIGITS", "minor_digits"]

_DIGITS: Final = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF"), 0
    ),
    **dict.fromkeys(("XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}

#: The most that any currency has.
MOST_DIGITS: Final = 4


def minor_digits(currency: str) -> int:
    """Return the number of digits after the point: 2 for most, 0 for the yen, 3 for some dinars."""
    return _DIGITS.get(currency, 2)

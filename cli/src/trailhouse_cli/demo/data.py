"""The data of the demo: the diabetes study that ships with scikit-learn, cut into two real slices.

The model is trained on patients under 55. "Production" is the patients from 55 on: another population of the same
study, with the same columns; nothing about it is simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CATEGORICAL", "DATASET_ID", "NUMERIC", "PROJECT", "TARGET", "production_slice", "training_slice"]

PROJECT: Final = "diabetes"
DATASET_ID: Final = "demo/diabetes"
TARGET: Final = "progression"
NUMERIC: Final = ["age", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
CATEGORICAL: Final = ["sex"]
_PRODUCTION_AGE_YEARS: Final = 55


def _study() -> pd.DataFrame:
    """Return the 442 patients: age in years, sex, body mass index, blood pressure, six serum values, progression."""
    from sklearn.datasets import load_diabetes  # noqa: PLC0415 - slow, and only the demo needs it

    frame: pd.DataFrame = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": TARGET})
    frame["sex"] = frame["sex"].map({1.0: "a", 2.0: "b"})
    return frame


def training_slice() -> pd.DataFrame:
    """Return the patients under 55."""
    study = _study()
    return study[study["age"] < _PRODUCTION_AGE_YEARS].reset_index(drop=True)


def production_slice() -> pd.DataFrame:
    """Return the patients from 55 on."""
    study = _study()
    return study[study["age"] >= _PRODUCTION_AGE_YEARS].reset_index(drop=True)

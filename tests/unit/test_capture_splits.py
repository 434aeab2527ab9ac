"""Splitters tell how they split, and memberships have a digest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn import model_selection

from trailhouse.capture.splits import describe_splitter, membership_digest


@pytest.mark.parametrize(
    ("splitter", "scheme", "seed", "settings"),
    [
        (
            model_selection.KFold(5, shuffle=True, random_state=3),
            "k-fold",
            3,
            {"n_splits": "5", "shuffle": "true", "random_state": "3"},
        ),
        (model_selection.StratifiedKFold(4), "stratified-k-fold", None, {"n_splits": "4"}),
        (model_selection.GroupKFold(3), "group-k-fold", None, {"n_splits": "3"}),
        (model_selection.StratifiedGroupKFold(3), "stratified-group-k-fold", None, {}),
        (model_selection.TimeSeriesSplit(n_splits=3, gap=2), "time", None, {"n_splits": "3", "gap": "2"}),
        (model_selection.ShuffleSplit(2, test_size=0.25, random_state=1), "shuffle", 1, {"test_size": "0.25"}),
        (model_selection.StratifiedShuffleSplit(2, random_state=np.int64(1)), "stratified-shuffle", 1, {}),
        (model_selection.GroupShuffleSplit(2), "group-shuffle", None, {"n_splits": "2"}),
        (
            model_selection.RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=1),
            "repeated-stratified-k-fold",
            1,
            {"n_splits": "3", "n_repeats": "2"},
        ),
        (model_selection.LeaveOneOut(), "leave-one-out", None, {}),
        (model_selection.LeavePOut(2), "leave-p-out", None, {"p": "2"}),
        (model_selection.PredefinedSplit([0, 1, -1]), "predefined", None, {"test_fold": "[0,1,-1]"}),
        (
            {"test_size": 0.2, "random_state": 4, "stratify": None},
            "hold-out",
            4,
            {"test_size": "0.2", "stratify": "null"},
        ),
        ({"scheme": "time", "cutoff": "2026-01-01"}, "time", None, {"cutoff": '"2026-01-01"'}),
        (model_selection.KFold(shuffle=True, random_state=np.random.RandomState(0)), "k-fold", None, {}),
        (5, "k-fold", None, {"n_splits": "5"}),
        ("by customer", "by customer", None, {}),
        (None, "", None, {}),
    ],
)
def test_a_splitter_tells_scheme_settings_and_seed(
    splitter: Any, scheme: str, seed: int | None, settings: dict[str, str]
) -> None:
    """What two runs must share to be comparable."""
    found = describe_splitter(splitter)
    assert (scheme, seed) == (found["split_scheme"], found["split_seed"])
    assert settings.items() <= found["split_settings"].items()


def test_a_splitter_of_ones_own_is_named_by_its_class() -> None:
    """What follows the conventions tells its settings too."""

    class ByCustomer:
        def __init__(self, folds: int) -> None:
            self.folds = folds

    found = describe_splitter(ByCustomer(3))
    assert found["split_scheme"] == "by-customer"
    assert found["split_settings"]["folds"] == "3"
    assert found["split_settings"]["class"].endswith('ByCustomer"')
    assert describe_splitter(object())["split_settings"].get("folds", {}) == {}


def test_members_have_the_same_digest_in_whatever_form_and_order() -> None:
    """Row numbers as any kind of array, or a mask over all rows."""
    rows = [4, 1, 7]
    mask = np.isin(np.arange(10), rows)
    forms: list[Any] = [
        rows,
        sorted(rows),
        tuple(rows),
        np.array(rows, "int32"),
        pd.Index(rows),
        pd.Series(rows),
        pl.Series(rows),
        pa.array(rows),
        pa.chunked_array([rows]),
        mask,
        mask.tolist(),
        iter(rows),
    ]
    assert len({membership_digest(form) for form in forms}) == 1
    assert membership_digest(rows).startswith("sha256:")


def test_other_members_have_another_digest() -> None:
    """One more, one less, one twice, and identifiers instead of numbers."""
    others: list[Any] = [[1, 2], [1, 2, 3], [1, 2, 2], ["1", "2"], [], ["a,b"], ["a", "b"]]
    assert len(others) == len({membership_digest(members) for members in others})


def test_members_that_cannot_be_listed_have_none() -> None:
    """Nothing is better than something wrong."""
    assert membership_digest(3) == ""

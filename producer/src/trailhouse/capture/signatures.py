"""What goes into a model and what comes out of it: names, types in Arrow's words, shapes."""

from __future__ import annotations

from typing import Any

from trailhouse.capture.feature_lineage import input_names
from trailhouse.capture.json_values import clean_text
from trailhouse.capture.tables import Table, arrow_type_name, read_table

__all__ = ["describe_input", "describe_output"]

#: How many rows of an example are predicted to see what comes out.
ROWS_PREDICTED = 8
MOST_FIELDS = 4096
ANY_LENGTH = -1


def describe_input(model: Any, example: Any) -> list[dict[str, Any]]:
    """Return a field for each column of the example, or for each column that the fitted model names.

    An unnamed array is one field with the shape of a row; so is the input of a model that only counts its columns.
    """
    table = _table(example)
    if table is not None and table.format != "numpy":
        return [_field(column.name, column.type) for column in table.columns[:MOST_FIELDS]]
    if table is not None and hasattr(example, "shape"):
        return [_field("input", arrow_type_name(example.dtype), list(example.shape[1:]))]
    names = input_names(model)
    if names is None:
        return []
    if getattr(model, "feature_names_in_", None) is None:
        return [_field("input", "", [len(names)])]
    return [_field(name, "") for name in names[:MOST_FIELDS]]


def describe_output(model: Any, example: Any) -> list[dict[str, Any]]:
    """Return what predict gives for a few rows of the example; without one, what the classes of a classifier tell."""
    predicted = _predicted(model, example)
    if predicted is not None and hasattr(predicted, "dtype") and hasattr(predicted, "shape"):
        kind = arrow_type_name(predicted.dtype) if hasattr(predicted.dtype, "kind") else str(predicted.dtype)
        fields = [_field("prediction", kind or "string", list(predicted.shape[1:]))]
    else:
        classes = _get(model, "classes_")
        if classes is None or not hasattr(classes, "dtype"):
            return []
        fields = [_field("prediction", arrow_type_name(classes.dtype) or "string")]
    classes = _get(model, "classes_")
    if classes is not None and hasattr(classes, "__len__") and callable(_get(model, "predict_proba")):
        fields.append(_field("probability", "double", [len(classes)]))
    return fields


def _predicted(model: Any, example: Any) -> Any:
    predict = _get(model, "predict")
    if example is None or not callable(predict):
        return None
    try:
        return predict(example[:ROWS_PREDICTED])
    except Exception:  # noqa: BLE001  a property that raises is a property that is not there
        return None


def _table(example: Any) -> Table | None:
    if example is None:
        return None
    try:
        return read_table(example)
    except Exception:  # noqa: BLE001  a property that raises is a property that is not there
        return None


def _get(model: Any, name: str) -> Any:
    try:
        return getattr(model, name, None)
    except Exception:  # noqa: BLE001  a property that raises is a property that is not there
        return None


def _field(name: str, kind: str, shape: list[int] | None = None) -> dict[str, Any]:
    lengths = [ANY_LENGTH if length is None else int(length) for length in shape or []]
    return {"name": clean_text(name), "type": kind, "shape": lengths}

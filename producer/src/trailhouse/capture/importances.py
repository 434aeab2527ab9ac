"""How much each feature matters to a model, as the model itself measured it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trailhouse.capture.json_values import clean_text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Booster", "booster_of", "importances_of"]


@dataclass(frozen=True)
class Booster:
    """The trees inside a gradient-boosted model."""

    names: tuple[str, ...]
    """Names of its features; f0, f1, … where it has none."""
    gains: dict[str, float]
    """Mean gain of the splits on each feature, by name; 0 for one that no tree splits on."""


def importances_of(model: Any, names: Sequence[str]) -> tuple[dict[str, float], str]:  # noqa: PLR0911  a way a kind
    """Return importance by feature and how it was measured; nothing where the model says none for these features.

    `gain`: mean gain of the splits (XGBoost) or their total (LightGBM, `total_gain`). `impurity`: scikit-learn's trees,
    mean decrease of impurity. `coefficient`: of a linear model; with several outputs `mean_absolute_coefficient`.
    """
    try:
        booster = booster_of(model)
        if booster is not None:
            method = "total_gain" if _is_lightgbm(model) else "gain"
            gains = [booster.gains.get(name, 0.0) for name in booster.names]
            return (dict(zip(names, gains, strict=True)), method) if len(gains) == len(names) else ({}, "")
        own = getattr(model, "feature_importances_", None)
        if own is not None:
            return _by_name(names, own), "impurity" if type(model).__module__.startswith("sklearn.") else "model"
        coefficients = getattr(model, "coef_", None)
        if coefficients is None:
            return {}, ""
        if hasattr(coefficients, "toarray"):
            coefficients = coefficients.toarray()
        if coefficients.ndim == 1:
            return _by_name(names, coefficients), "coefficient"
        if len(coefficients) == 1:
            return _by_name(names, coefficients[0]), "coefficient"
        return _by_name(names, abs(coefficients).mean(axis=0)), "mean_absolute_coefficient"
    except Exception:  # noqa: BLE001  not fitted, or a linear booster
        return {}, ""


def booster_of(model: Any) -> Booster | None:
    """Return the booster of an XGBoost or LightGBM model, native or in its scikit-learn wrapper; else None."""
    try:
        if callable(getattr(model, "get_booster", None)):
            model = model.get_booster()
        elif hasattr(model, "booster_"):
            model = model.booster_
        if callable(getattr(model, "get_score", None)):
            count = int(model.num_features())
            own = model.feature_names
            names = tuple(clean_text(str(n)) for n in own) if own else tuple(f"f{place}" for place in range(count))
            gains = model.get_score(importance_type="gain")
            return Booster(names, {clean_text(str(name)): _number(gain) for name, gain in gains.items()})
        if _is_lightgbm(model) and callable(getattr(model, "feature_name", None)):
            names = tuple(clean_text(str(name)) for name in model.feature_name())
            gains = model.feature_importance(importance_type="gain").tolist()
            return Booster(names, dict(zip(names, map(float, gains), strict=True)))
    except Exception:  # noqa: BLE001  not fitted, or a linear booster
        return None
    return None


def _is_lightgbm(model: Any) -> bool:
    return type(model).__module__.startswith("lightgbm")


def _number(gain: Any) -> float:
    return float(sum(gain) / len(gain)) if isinstance(gain, list) else float(gain)


def _by_name(names: Sequence[str], values: Any) -> dict[str, float]:
    listed = [float(value) for value in values]
    return dict(zip(names, listed, strict=True)) if len(listed) == len(names) else {}

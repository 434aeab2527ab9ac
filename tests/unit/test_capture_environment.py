"""The process, its packages, flags and secrets."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from envelopes import in_envelope
from trailhouse.capture.environment import container_image_digest, describe_environment, describe_start, mask_secrets
from trailhouse_schemas.events import RunStarted

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "sha256:" + "ab" * 32


def test_a_process_is_described_as_it_was_started(tmp_path: Path) -> None:
    """Script and arguments, as another process sees them from its inside."""
    script = tmp_path / "train.py"
    script.write_text(
        "import json\nfrom trailhouse.capture.environment import describe_start\nprint(json.dumps(describe_start()))\n"
    )
    ran = subprocess.run(
        [sys.executable, str(script), "--lr", "0.1", "--password", "hunter2"],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(ran.stdout)
    assert [sys.executable, str(script), "--lr", "0.1", "--password", "***"] == found["command"]
    assert str(script) == found["entry_point"]
    assert platform.python_version() == found["python_version"]
    assert platform.machine() in found["platform"]


def test_the_fields_are_those_of_the_event() -> None:
    """Both halves together validate as part of a RunStarted."""
    in_envelope(RunStarted, describe_start() | describe_environment(seeds={"numpy": 3}))


def test_packages_are_those_that_importlib_knows() -> None:
    """The quick way to names and versions finds what the slow way finds."""
    expected = {
        re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower(): found.version
        for found in reversed(list(importlib.metadata.distributions()))
    }
    assert expected == describe_environment()["packages"]


def test_flags_and_seeds_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment, from PyTorch where the program uses it, and from the user, who wins."""
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch = SimpleNamespace(
        initial_seed=lambda: 11,
        are_deterministic_algorithms_enabled=lambda: True,
        backends=SimpleNamespace(cudnn=SimpleNamespace(deterministic=True, benchmark=False, version=lambda: 90100)),
        get_float32_matmul_precision=lambda: "highest",
        version=SimpleNamespace(cuda="12.4", hip=None),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    found = describe_environment(seeds={"torch": 12})
    assert found["seeds"] == {"PYTHONHASHSEED": 7, "torch": 12}
    expected = {
        "PYTHONHASHSEED": "7",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "torch.deterministic_algorithms": "true",
        "torch.cudnn.deterministic": "true",
        "torch.cudnn.benchmark": "false",
        "torch.float32_matmul_precision": "highest",
    }
    assert expected.items() <= found["determinism"].items()
    assert {"cuda": "12.4", "cudnn": "90100"}.items() <= found["drivers"].items()


def test_nothing_is_imported_by_looking() -> None:
    """A process that does not use pandas or PyTorch does not use them afterwards either."""
    code = (
        "import sys\n"
        "from trailhouse.capture import environment, git, values, datasets, models, splits, artifacts\n"
        "environment.describe_environment(); models.describe_model(object(), model_id='m')\n"
        "heavy = {'pandas', 'polars', 'pyarrow', 'sklearn', 'torch', 'xgboost', 'numpy', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"


def test_the_image_is_found_where_the_environment_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest alone, or an image reference with one."""
    monkeypatch.setenv("CONTAINER_IMAGE", f"registry.example.com/train@{DIGEST}")
    assert container_image_digest() == DIGEST
    monkeypatch.setenv("TRAILHOUSE_IMAGE_DIGEST", DIGEST.replace("ab", "cd"))
    assert DIGEST.replace("ab", "cd") == container_image_digest()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("--password hunter2", "--password ***"),
        ("--db-password=hunter2", "--db-password=***"),
        ("--api-key sk-123", "--api-key ***"),
        ("--apiKey=abc", "--apiKey=***"),
        ("token=abc", "token=***"),
        ("db.secret=abc", "db.secret=***"),
        ("key=abc", "key=***"),
        ("AWS_SECRET_ACCESS_KEY=abc", "AWS_SECRET_ACCESS_KEY=***"),
        ("--wandb_api_key=abc", "--wandb_api_key=***"),
        ("--hf-token hf_abcdefghijklmnopqrst", "--hf-token ***"),
        ("s3://user:pass@host/x", "s3://***@host/x"),
        ("https://host/x?token=abc&y=1", "https://host/x?token=***&y=1"),
        ("uri=https://u:p@host/x?sig=1&auth=2", "uri=https://***@host/x?sig=1&auth=***"),
        ("ghp_abcdefghijklmnopqrstuvwxyz", "***"),
        ("--name run-AKIAABCDEFGHIJKLMNOP", "--name run-***"),
    ],
)
def test_secrets_are_masked(command: str, expected: str) -> None:
    """What looks like a secret is not sent anywhere."""
    assert expected.split() == mask_secrets(command.split())


@pytest.mark.parametrize(
    "command",
    [
        "--max-tokens 4096",
        "--num_tokens=512",
        "--tokenizer=bert-base",
        "--author me",
        "--keyboard qwerty",
        "--token-dropout 0.1",
        "--eos_token </s>",
        "pad_token=<pad>",
        "--auth none",
        "--lr=0.1",
        "data/keys.csv",
        "user@host:path",
    ],
)
def test_settings_that_only_sound_like_secrets_stay(command: str) -> None:
    """A masked hyper-parameter would be lost for every comparison."""
    assert command.split() == mask_secrets(command.split())


def test_a_header_is_masked() -> None:
    """An authorization header is one argument."""
    assert mask_secrets(["-H", "Authorization: Bearer abc.def"]) == ["-H", "Authorization: Bearer ***"]

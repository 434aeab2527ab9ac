"""Asking for permission: decided against what the control spools hold, recorded, and denied wherever it cannot know."""

from __future__ import annotations

import io
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fastavro import schemaless_reader

import trailhouse
from trailhouse import access
from trailhouse.errors import GrantError, PermissionDeniedError, PolicyUnavailableError
from trailhouse.recorder import new_id
from trailhouse_schemas import wire
from trailhouse_schemas.events import PermissionChanged
from trailhouse_schemas.spool import Spool, SpooledEvent, spool_files
from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, grants that are read anew at every decision, and nothing left open."""
    for name in [name for name in os.environ if name.startswith("TRAILHOUSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRAILHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("TRAILHOUSE_FLUSH_INTERVAL_SECONDS", "0.02")
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_REFRESH_SECONDS", "0")
    trailhouse.finish_all()
    access.forget_grants()
    yield tmp_path
    trailhouse.finish_all()
    access.forget_grants()


def write(home: Path, *changes: dict[str, Any], retained: bool = True, value: bytes | None = None) -> Path:
    """Write statements to a control spool of their own, each appended one second after the one before."""
    producer_id = new_id()
    with Spool.create(home / "control", producer_id, retained=retained) as spool:
        for sequence, change in enumerate(changes):
            spool.append(
                [
                    SpooledEvent(
                        sequence,
                        "permission_changed",
                        "key",
                        int(NOW.timestamp()) * 1_000_000 + change.pop("second", sequence) * 1_000_000,
                        value or encoded(producer_id, sequence, change),
                    )
                ]
            )
        return spool.path


def encoded(producer_id: str, sequence: int, change: dict[str, Any]) -> bytes:
    """A statement as it stands in a spool; words that the model would refuse are put in behind its back."""
    envelope = {"occurred_at": NOW, "producer_id": producer_id, "sequence": sequence, "project": "", "run_id": ""}
    envelope |= {"attempt": 0, "rank": 0, "world_size": 1, "host": "", "principal": ""}
    plain = {"grant_id": "g", "change": "granted", "grantee": "alice", "actions": ["read"], "resource": "dataset:*"}
    event = PermissionChanged.model_validate(envelope | plain).model_dump() | change
    return wire.encode(latest("permission_changed"), event)


def recorded(home: Path) -> list[dict[str, Any]]:
    """The decisions that are in the spools, decoded."""
    trailhouse.finish_all()
    found: list[dict[str, Any]] = []
    for path in spool_files(home / "spool"):
        with Spool.open(path) as spool:
            for event in spool.read("access_decided"):
                body = io.BytesIO(event.value[wire.SINGLE_OBJECT_HEADER_BYTES :])
                found.append(schemaless_reader(body, latest("access_decided").parsed, None))  # type: ignore[arg-type]
    return found


def test_a_grant_counts_as_soon_as_grant_has_returned_and_a_revocation_likewise() -> None:
    """Without waiting for anything."""
    assert not trailhouse.authorize("alice", "read", "dataset:x")
    grant_id = trailhouse.grant("alice", "read", "dataset:*")
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert decision
    assert decision.grant_ids == [grant_id]
    trailhouse.revoke(grant_id, reason="enough")
    assert not trailhouse.authorize("alice", "read", "dataset:x")


def test_every_decision_is_recorded_with_what_determined_it(home: Path) -> None:
    """Allowed or denied, with purpose, policy and time of decision."""
    grant_id = trailhouse.grant("alice", ["read", "train"], "dataset:*")
    yes = trailhouse.authorize("alice", "train", "dataset:x", purpose="retraining")
    no = trailhouse.authorize("eve", "train", "dataset:x")
    rows = recorded(home)
    assert [(row["subject"], row["decision"], row["purpose"], row["grant_ids"]) for row in rows] == [
        ("alice", "allow", "retraining", [grant_id]),
        ("eve", "deny", "", []),
    ]
    assert [row["occurred_at"] for row in rows] == [yes.moment, no.moment]
    assert {row["policy_digest"] for row in rows} == {yes.policy_digest} == {no.policy_digest}
    assert rows[1]["reason"] == no.reason == "Denied: no grant allows eve to train dataset:x"


def test_a_decision_within_a_run_belongs_to_the_run(home: Path) -> None:
    """So that it is known which run was allowed to."""
    with trailhouse.start_run(project="sales") as run:
        trailhouse.authorize("alice", "read", "dataset:x")
    (row,) = recorded(home)
    assert (row["project"], row["run_id"]) == ("sales", run.run_id)


def test_a_grant_that_is_given_within_a_run_is_kept_with_the_others(home: Path) -> None:
    """The run's own spool forgets what has landed; grants must not be forgotten."""
    with trailhouse.start_run(project="sales"):
        trailhouse.grant("alice", "read", "dataset:*")
        assert trailhouse.authorize("alice", "read", "dataset:x")
    assert [Spool.open(path).event_types() for path in spool_files(home / "control")] == [
        ["heartbeat_sent", "permission_changed"]
    ]


def test_without_any_source_of_grants_all_is_denied() -> None:
    """And the reason says how to get one."""
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert "Grants are not known" in decision.reason
    assert "trailhouse grant" in decision.reason
    assert decision.policy_digest == ""


def test_a_spool_that_cannot_be_read_denies_all(home: Path) -> None:
    """The other spools may be fine; the deny may be in this one."""
    write(home, {})
    assert trailhouse.authorize("alice", "read", "dataset:x")
    broken = home / "control" / f"{new_id()}.spool"
    broken.write_bytes(b"this is no database" * 100)
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert broken.name in decision.reason


def test_a_spool_that_forgets_what_has_landed_denies_all(home: Path) -> None:
    """Nobody can know what was in it."""
    write(home, {})
    write(home, retained=False)
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert "does not keep what has landed" in decision.reason


def test_a_directory_that_everybody_may_write_to_denies_all(home: Path) -> None:
    """Anybody could have given themselves a grant."""
    write(home, {})
    directory = home / "control"
    directory.chmod(directory.stat().st_mode | stat.S_IWOTH)
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert "everybody may write" in decision.reason


@pytest.mark.parametrize("value", [b"", b"\xc3\x01", b"\xc3\x01" + b"?" * 20, b"\x00\x00\x00\x00\x07abc", b"garbage"])
def test_a_statement_that_cannot_be_decoded_denies_all_until_it_is_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch, value: bytes
) -> None:
    """The reason names it, and the setting that passes over it."""
    write(home, {})
    bad = write(home, {}, value=value or b"\x00")
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    place = f"{bad.name.removesuffix('.spool')}:0"
    assert f"TRAILHOUSE_PERMISSION_IGNORE={place}" in decision.reason
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_IGNORE", f"other:1 {place}")
    assert trailhouse.authorize("alice", "read", "dataset:x")


def test_a_truncated_statement_and_one_with_bytes_left_over_deny_all(home: Path) -> None:
    """Neither is what was written."""
    whole = encoded(new_id(), 0, {})
    for value in (whole[:-3], whole + b"\x00"):
        path = write(home, {}, value=value)
        assert not trailhouse.authorize("alice", "read", "dataset:x")
        path.unlink()


def test_an_event_of_another_type_among_the_statements_denies_all(home: Path) -> None:
    """It says of itself what it is, whatever the spool says."""
    body = encoded(new_id(), 0, {})[wire.SINGLE_OBJECT_HEADER_BYTES :]
    write(home, {}, value=latest("access_decided").header + body)
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert "trailhouse.AccessDecided" in decision.reason


def test_a_word_that_is_not_understood_denies_all_until_the_grant_is_revoked(home: Path) -> None:
    """The command that takes it back works nevertheless."""
    write(home, {}, {"grant_id": "odd", "effect": "perhaps"})
    assert not trailhouse.authorize("alice", "read", "dataset:x")
    trailhouse.revoke("odd", reason="nobody knows what it means")
    assert trailhouse.authorize("alice", "read", "dataset:x")


def test_spools_are_read_in_order_of_time_not_of_their_names(home: Path) -> None:
    """A revocation in an older producer's spool is later when it was appended later."""
    write(home, {"change": "revoked", "second": 10})
    write(home, {"second": 5})
    assert not trailhouse.authorize("alice", "read", "dataset:x")
    write(home, {"second": 15})
    assert trailhouse.authorize("alice", "read", "dataset:x")


def test_grants_that_cannot_be_read_again_count_until_they_are_too_old(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then all is denied; and when they can be read again, all is as before."""
    seconds = [1000.0]
    monkeypatch.setattr(access, "_seconds", lambda: seconds[0])
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_REFRESH_SECONDS", "5")
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_MAX_AGE_SECONDS", "60")
    write(home, {})
    assert trailhouse.authorize("alice", "read", "dataset:x")
    (home / "control").rename(home / "away")
    seconds[0] += 59
    assert trailhouse.authorize("alice", "read", "dataset:x")
    seconds[0] += 1
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert "60 s ago is too old" in decision.reason
    (home / "away").rename(home / "control")
    seconds[0] += 5
    assert trailhouse.authorize("alice", "read", "dataset:x")


def test_grants_are_read_again_when_the_refresh_interval_is_over(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before: what is revoked elsewhere may count for so long."""
    seconds = [1000.0]
    monkeypatch.setattr(access, "_seconds", lambda: seconds[0])
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_REFRESH_SECONDS", "5")
    write(home, {"second": 0})
    assert trailhouse.authorize("alice", "read", "dataset:x")
    write(home, {"change": "revoked", "second": 1})
    seconds[0] += 4.9
    assert trailhouse.authorize("alice", "read", "dataset:x")
    seconds[0] += 0.1
    assert not trailhouse.authorize("alice", "read", "dataset:x")


def test_a_grant_expires_between_two_readings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Expiry goes by the moment of the decision, not of the reading."""
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_REFRESH_SECONDS", "3600")
    end = datetime.now(UTC) + timedelta(hours=1)
    write(home, {"expires_at": end})
    moments = iter([end - timedelta(microseconds=1), end])

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return next(moments)

    monkeypatch.setattr(access, "datetime", Clock)
    assert trailhouse.authorize("alice", "read", "dataset:x")
    assert not trailhouse.authorize("alice", "read", "dataset:x")


def test_a_decision_that_cannot_be_recorded_is_a_denial(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be audited is not allowed."""
    write(home, {})

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no more threads")

    monkeypatch.setattr(access, "emit", fail)
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert decision.reason == "Denied: it cannot be recorded (no more threads)"


def test_settings_that_cannot_be_read_deny_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And raise nothing into the program that asks."""
    write(home, {})
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_REFRESH_SECONDS", "soon")
    assert not trailhouse.authorize("alice", "read", "dataset:x")


def test_nothing_that_is_handed_in_raises(home: Path) -> None:
    """Whatever it is, it is denied."""
    write(home, {"grantee": "None", "actions": ["*"], "resource": "*"})
    for odd in ("", "\ud800", None, 7, b"alice", "a" * 100_000, "alice\x00"):
        assert not trailhouse.authorize(odd, "read", "dataset:*")  # type: ignore[arg-type]
        assert not trailhouse.authorize("eve", odd, odd)  # type: ignore[arg-type]


def test_require_raises_with_the_decision_where_authorize_denies(home: Path) -> None:
    """It is a PermissionError, too."""
    write(home, {})
    assert trailhouse.require("alice", "read", "dataset:x").allowed
    with pytest.raises(PermissionDeniedError, match=r"eve may not read dataset:x\. Denied: no grant") as caught:
        trailhouse.require("eve", "read", "dataset:x")
    assert isinstance(caught.value, PermissionError)
    assert not caught.value.decision


def test_a_forked_child_decides_for_itself(home: Path) -> None:
    """Even when it was forked while another thread was deciding."""
    write(home, {})
    assert trailhouse.authorize("alice", "read", "dataset:x")
    held = threading.Event()
    done = threading.Event()

    def hold() -> None:
        with access._Known.lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if trailhouse.authorize("alice", "read", "dataset:x") else 1)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_spools_of_control_facts_that_somebody_has_open_can_be_read(home: Path) -> None:
    """A writer in the middle of a transaction is no reason to deny."""
    path = write(home, {})
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        assert trailhouse.authorize("alice", "read", "dataset:x")
    finally:
        connection.close()


HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("UPDATE events SET message_key = 'other'")
print("open", flush=True)
time.sleep(60)
"""

AS_SOMEBODY_ELSE = """
import os, sys, trailhouse
from trailhouse import access
trailhouse.authorize("warm", "up", "imports")
trailhouse.finish_all()
os.environ["TRAILHOUSE_HOME"] = sys.argv[1]
os.environ["TRAILHOUSE_SPOOL"] = sys.argv[2]
os.setgid(65534)
os.setuid(65534)
assert not os.access(sys.argv[1] + "/control", os.W_OK)
print(trailhouse.authorize("alice", "read", "dataset:x").reason)
os._exit(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("writer", ["gone", "there", "killed"])
def test_the_right_to_read_the_control_directory_is_enough(home: Path, tmp_path: Path, writer: str) -> None:
    """Training processes need none to write there, whether or not a writer has the spool open or died with it open."""
    for directory in (home, *home.parents):
        if directory.stat().st_uid == os.getuid() and not directory.stat().st_mode & stat.S_IXOTH:
            directory.chmod(0o755)
    spool_of_child = tmp_path / "spool-of-child"
    spool_of_child.mkdir()
    path = write(home, {})
    holder = None
    if writer != "gone":
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        if writer == "killed":
            holder.kill()
            holder.wait(30)
    try:
        child = subprocess.run(
            [sys.executable, "-c", AS_SOMEBODY_ELSE, str(home), str(spool_of_child)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "HOME": str(home), "TRAILHOUSE_HOME": str(tmp_path / "elsewhere")},
        )
    finally:
        if holder is not None:
            holder.kill()
            holder.wait(30)
    assert child.stdout.strip() == "Allowed by grant g directly", child.stdout + child.stderr
    assert not (home / "control").stat().st_mode & stat.S_IWOTH


@pytest.mark.parametrize(
    ("arguments", "fields", "said"),
    [
        (("", "read", "dataset:x"), {}, "Grantee ''"),
        (("a*", "read", "dataset:x"), {}, "Grantee 'a\\*'"),
        ((" a", "read", "dataset:x"), {}, "Grantee ' a'"),
        (("a", [], "dataset:x"), {}, "Actions \\[\\]"),
        (("a", [""], "dataset:x"), {}, "Actions"),
        (("a", "read", ""), {}, "Resource ''"),
        (("a", "read", "x"), {}, "Resource 'x'"),
        (("a", "read", "dataset:"), {}, "Resource 'dataset:'"),
        (("a", "member", "group:*"), {}, "member of 'group:\\*'"),
        (("a", "member", "dataset:x"), {}, "member of 'dataset:x'"),
        (("a", "read", "dataset:x"), {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "is past"),
        (("a", "read", "dataset:x"), {"expires_at": datetime(2920, 1, 1)}, "no time zone"),  # noqa: DTZ001 - the case
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(arguments: Any, fields: Any, said: str) -> None:
    """Before anything is written."""
    with pytest.raises(GrantError, match=said):
        trailhouse.grant(*arguments, **fields)


def test_where_kafka_does_not_answer_all_is_denied_and_nothing_is_granted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon, and not after the time that the end of a run may take."""
    monkeypatch.setenv("TRAILHOUSE_KAFKA", "127.0.0.1:9")
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_TIMEOUT_SECONDS", "0.5")
    monkeypatch.setenv("TRAILHOUSE_FINISH_TIMEOUT_SECONDS", "0.5")
    with pytest.raises(PolicyUnavailableError, match=r"Kafka at 127\.0\.0\.1:9"):
        trailhouse.grant("alice", "read", "dataset:*")
    with pytest.raises(PolicyUnavailableError, match=r"Kafka at 127\.0\.0\.1:9"):
        trailhouse.revoke("g")
    assert not (home / "spool").exists()
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert "start it, or set TRAILHOUSE_KAFKA" in decision.reason


def test_an_unknown_grant_and_one_that_was_revoked_cannot_be_revoked(home: Path) -> None:
    """The error names the grant."""
    write(home, {})
    with pytest.raises(GrantError, match="Grant 'nope' is not known"):
        trailhouse.revoke("nope")
    trailhouse.revoke("g")
    with pytest.raises(GrantError, match="Grant 'g' was revoked on"):
        trailhouse.revoke("g")

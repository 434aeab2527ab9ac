"""Keys go where Kafka's own clients would send them."""

from __future__ import annotations

import pytest

from trailhouse.partitions import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "expected"),
    [  # org.apache.kafka.common.utils.UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(key: bytes, expected: int) -> None:
    """The same figures as in the test of Kafka's own clients."""
    assert murmur2(key) == expected % 2**32


def test_a_partition_is_one_of_the_topics() -> None:
    """For every key, of any length."""
    assert {partition_of("k" * n, 6) for n in range(100)} <= set(range(6))

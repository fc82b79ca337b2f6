import pytest

from schemas.identities import (
    SERVING,
    alert_fingerprint,
    artifact_digest,
    canary_position,
    candidate_id,
    derived_id,
    episode_id,
    murmur2,
    partition_of,
    payload_hash,
    prediction_id,
    run_id,
    shadow_slot,
)

# org.apache.kafka.common.utils.UtilsTest, testMurmur2
KAFKA_VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("data", "signed"), KAFKA_VECTORS.items())
def test_murmur2_agrees_with_kafka(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


def test_a_partition_is_the_positive_hash_modulo_their_number() -> None:
    assert partition_of(b"21", 4) == (-973932308 & 0x7FFFFFFF) % 4
    assert {partition_of(str(i).encode(), 6) for i in range(200)} == set(range(6))


@pytest.mark.parametrize(
    ("made", "golden"),
    [
        (prediction_id("depot-north", "e-1", "parcel-late", SERVING), "3e9a3f08f8d7e626d7cc8714ada6fa73"),
        (prediction_id("depot-north", "e-1", "parcel-late", shadow_slot(3)), "19128c933dc3e6ef651369597aa1f63c"),
        (alert_fingerprint("parcel-late", "performance", "feature:weight"), "0c8ec799b3aa3a356c0a0f69dd52b43b"),
        (episode_id("ab", "2024-06-01T00:00:00Z"), "539cd8ac680ad721f5a5d04a973e84f4"),
        (run_id("r-1"), "2444721aef01bb85e08b919111f198a9"),
        (candidate_id(run_id("r-1")), "92470a3bdf7f64bf93f6b9d8c2815d8e"),
        (derived_id("retrain", "ab", "2024-06-01T00:00:00Z"), "0b94eb1c5899b206efae4387db057685"),
        (payload_hash(b"{}"), "2afb9b83f9314e5d029766197f539792"),
        (artifact_digest(b"onnx"), "87e93f89f2be0db364e8be052f79f389e6c2da239831922e24513288af522a43"),
    ],
)
def test_an_identity_never_changes(made: str, golden: str) -> None:
    assert made == golden


def test_a_canary_position_never_changes() -> None:
    assert canary_position("parcel-late", "parcel-17") == 0.8419380055944083


def test_fields_cannot_run_into_each_other() -> None:
    assert prediction_id("a", "bc", "m", SERVING) != prediction_id("ab", "c", "m", SERVING)
    assert derived_id("a", "") != derived_id("", "a") != derived_id("a")


def test_kinds_of_identities_do_not_meet() -> None:
    assert episode_id("a", "b") != derived_id("a", "b")
    assert run_id("a") != derived_id("a")

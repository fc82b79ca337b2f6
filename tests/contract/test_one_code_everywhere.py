"""A fault has one code everywhere: the edge and validation, which do not know each other, say the same of the same body."""

import pytest
from bad_input.records import BODIES, BadBody
from ingestion_scene import EdgeScene
from validation_scene import Scene, label, raw


@pytest.mark.parametrize("row", BODIES, ids=lambda row: row.name)
async def test_the_edge_and_validation_give_the_same_reasons(row: BadBody) -> None:
    told = (await EdgeScene().post(row.body, f"/v1/{row.kind}s")).json()["reasons"]
    [(_, rejection)] = Scene().outcomes((label if row.kind == "label" else raw)(row.body, row.name))
    if row.code == "too_large":  # the edge stops reading at the cap, so it cannot say how many bytes there are
        told[0]["observed"] = rejection["reasons"][0]["observed"]
    assert told == rejection["reasons"]

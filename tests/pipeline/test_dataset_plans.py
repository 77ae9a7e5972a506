"""What goes into a dataset: splits, shards and donors, from nothing but ids and qualities."""

from __future__ import annotations

import dataclasses

from fg3d_builder.config import ShardConfig, TransformConfig
from fg3d_builder.pipeline.dataset import DonorDraws, Member, draw_all_donors, plan_shards
from fg3d_builder.transform.donors import ATTEMPTS, DONATED_PARTS

SHARDS = ShardConfig(samples_per_shard=3, test_fraction=0.3, split_salt="a")
SHAPES = TransformConfig(shapes_per_capture=2)


def members(subjects: int = 12, captures: int = 2) -> list[Member]:
    """Captures ``s00-0``, ``s00-1``, ...: the second of each subject is the better one."""
    return [
        Member(f"s{subject:02d}-{number}", f"s{subject:02d}", f"chunk-{subject}", True, number / 9)
        for subject in range(subjects)
        for number in range(captures)
    ]


def test_every_capture_is_in_one_shard_of_its_subjects_split() -> None:
    places = {m.capture_id: f"{i % 7} {m.capture_id}" for i, m in enumerate(members())}
    plan = plan_shards(reversed(members()), SHARDS, places)
    names = [name for pairs in plan.values() for name, _ in pairs]
    assert sorted(names) == [member.capture_id for member in members()]
    for shard, pairs in plan.items():
        assert pairs == sorted(pairs, key=lambda pair: places[pair[0]])
        assert 0 < len(pairs) <= SHARDS.samples_per_shard
        for name, chunk in pairs:
            (member,) = (m for m in members() if m.capture_id == name)
            assert (shard.split("-")[0], chunk) == (member.split(SHARDS), member.chunk)
    splits = [shard.split("-")[0] for shard in plan]
    assert set(splits) == {"train", "test"}
    # Only the last shard of a split has room left.
    full = [len(pairs) == 3 for pairs in plan.values()]
    assert all(full[i] for i in range(len(full) - 1) if splits[i] == splits[i + 1])


def test_donors_are_other_training_subjects() -> None:
    drawn = draw_all_donors(members(), SHARDS, SHAPES)
    train = {m.subject_id: m for m in members() if m.split(SHARDS) == "train"}
    assert set(drawn.faces) == set(train)
    assert set(drawn.draws) == {m.capture_id for m in members() if m.subject_id in train}
    for name, shapes in drawn.draws.items():
        assert [len(attempts) for attempts in shapes] == [ATTEMPTS] * 2
        for donors in (donors for attempts in shapes for donors in attempts):
            assert tuple(donors) == DONATED_PARTS
            assert set(donors.values()) <= set(train) - {name[:3]}


def test_a_subjects_face_is_its_best_neutral_one() -> None:
    plain = members(captures=3)
    best = draw_all_donors(plain, SHARDS, SHAPES).faces
    assert all(name.endswith("-2") for name, _ in best.values())
    moved = [dataclasses.replace(m, neutral=not m.capture_id.endswith("-2")) for m in plain]
    best = draw_all_donors(moved, SHARDS, SHAPES).faces
    assert all(name.endswith("-1") for name, _ in best.values())


def test_too_few_subjects_give_no_shapes() -> None:
    everybody = dataclasses.replace(SHARDS, test_fraction=0.0)
    few = draw_all_donors(members(len(DONATED_PARTS)), everybody, SHAPES)
    assert (len(few.faces), few.draws) == (len(DONATED_PARTS), {})
    enough = draw_all_donors(members(len(DONATED_PARTS) + 1), everybody, SHAPES)
    assert len(enough.draws) == 2 * (len(DONATED_PARTS) + 1)
    off = dataclasses.replace(SHAPES, shapes_per_capture=0)
    assert draw_all_donors(members(), SHARDS, off).draws == {}


def test_the_draws_of_a_chunk_are_known_by_whose_faces_they_take() -> None:
    drawn = draw_all_donors(members(), SHARDS, SHAPES)
    name = min(drawn.draws)
    keys = {member.capture_id: f"key of {member.capture_id}" for member in members()}
    keys["other"] = "key of the other"
    mine, identity = drawn.of_captures([name, "absent"], keys)
    assert mine == {name: drawn.draws[name]}
    takers = {s for tries in mine[name] for donors in tries for s in donors.values()}
    others = {subject: ("other", "chunk") for subject in drawn.faces if subject not in takers}
    same = DonorDraws({**drawn.faces, **others}, drawn.draws)
    assert same.of_captures([name], keys) == (mine, identity)
    taken = {min(takers): ("other", "chunk")}
    changed = DonorDraws({**drawn.faces, **taken}, drawn.draws)
    assert changed.of_captures([name], keys)[1] != identity
    retaken = {**keys, drawn.faces[min(takers)][0]: "another key"}
    assert drawn.of_captures([name], retaken)[1] != identity

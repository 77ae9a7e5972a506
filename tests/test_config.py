"""Presets: what is read, what is refused, and what a digest depends on."""

from __future__ import annotations

import configparser
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from fg3d_builder.config import (
    BuildConfig,
    FitConfig,
    ReviewConfig,
    StiffnessLevel,
    digest,
    from_table,
    load_preset,
    to_table,
    toml_text,
)
from fg3d_builder.errors import ConfigError

PRESETS = sorted((Path(__file__).resolve().parents[1] / "tasks").glob("*.toml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "preset.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_of_the_project_can_be_read(path: Path) -> None:
    config = load_preset(path)
    assert config.name == path.stem
    assert 0 < config.shards.test_fraction < 1


def test_nested_tables_and_lists(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [[sources]]
        kind = "scan"
        path = "scans"
        views = [[0, 30], [10.5, -20]]
        sensor = { kind = "time_of_flight", seed = 3 }
        [registration]
        levels = [{ stiffness = 5, edge_weight = 1.5, iterations = 2 }]
        """,
    )
    config = load_preset(path)
    assert config.sources[0].views == ((0.0, 30.0), (10.5, -20.0))
    assert config.sources[0].sensor.seed == 3
    assert config.registration.levels == (StiffnessLevel(5.0, 1.5, 2),)


def test_paths_count_from_the_preset(tmp_path: Path) -> None:
    text = """
    [facemodel]
    model = "models/a.h5"
    [landmarks]
    weights = "weights.pth"
    [[sources]]
    kind = "folder"
    path = "../data"
    """
    config = load_preset(write(tmp_path, text))
    assert config.sources[0].path == str((tmp_path / "../data").resolve())
    assert config.facemodel.model == str(tmp_path / "models/a.h5")
    assert config.landmarks.weights == str(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chunk_sise = 3", "chunk_sise: no such setting; did you mean chunk_size?"),
        ("chunk_size = 'a'", 'chunk_size = "a": expected a whole number from 1 to 100,000'),
        ("chunk_size = true", "chunk_size = true: expected a whole number from 1 to 100,000"),
        ("chunk_size = 0", "chunk_size = 0: expected a whole number from 1 to 100,000"),
        (f"chunk_size = 1{'0' * 400}", "expected a whole number from 1 to 100,000"),
        ("max_failure_rate = nan", "max_failure_rate = nan: expected a number from 0 to 1"),
        ("max_failure_rate = inf", "max_failure_rate = inf: expected a number from 0 to 1"),
        ("name = ''", 'name = "": expected a text that can name a folder'),
        ("name = '../up'", 'name = "../up": expected'),
        ("name = '..'", 'name = "..": expected'),
        ("fit = 3", "fit = 3: expected a table"),
        ("[fit]\niteration = 3", "fit.iteration: no such setting; did you mean iterations?"),
        ("[fit]\ndepth_sigma_mm = -2", "fit.depth_sigma_mm = -2: expected a number more than 0"),
        ("detector = 'mediapipe'", "detector: no such setting; did you mean landmarks.detector?"),
        (
            "[landmarks]\ndetector = 'dlib'",
            'landmarks.detector = "dlib": expected "mediapipe", "face-alignment" or "annotation"',
        ),
        (
            "[fullview]\nmethod = 'fullview'",
            'fullview.method = "fullview": expected "full_view" or "face_profiling"; '
            'did you mean "full_view"?',
        ),
        ("[shards]\nimage_format = 'webp'", 'shards.image_format = "webp": expected "jpeg" or'),
        ("[shards]\nimage_size = 9999", "shards.image_size = 9999: expected a whole number from"),
        ("[shards]\ntest_fraction = 1.7", "shards.test_fraction = 1.7: expected a number from 0"),
        ("[registration]\nlevels = []", "registration.levels = []: expected a list of 1 to 100"),
        (
            "[registration]\nlevels = [{ stiffness = 0, edge_weight = 1, iterations = 2 }]",
            "registration.levels[0].stiffness = 0: expected a number more than 0",
        ),
        (
            "[registration]\nlevels = [{ stiffness = 1, iterations = 2 }]",
            "registration.levels[0].edge_weight: missing; expected a number from 0",
        ),
        (
            "[fullview]\nyaw_steps_deg = [15, -5]",
            "fullview.yaw_steps_deg[1] = -5: expected a number more than 0",
        ),
        (
            "[fullview]\nanchor_bands = [0.5, 0.2, 1]",
            "fullview.anchor_bands = [0.5, 0.2, 1]: expected a list of 3 values that rise, each a",
        ),
        ("[fullview]\nanchor_bands = [1]", "fullview.anchor_bands = [1]: expected a list of 3"),
        ("[facemodel]\nmodel = 'ict'", 'facemodel.path: missing; model = "ict" needs'),
        ("[facemodel]\nmodel = 'defualt'", 'did you mean "default"?'),
        ("[texture]\nvertices = 9", "texture.min_vertices = 300: more than vertices = 9"),
        ("name = ", "is no valid TOML"),
        ("chunk_size = 2\nchunk_size = 3", "is no valid TOML: Cannot overwrite a value (at line 3"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, f"sources = [{{}}]\n{text}")
    with pytest.raises(ConfigError) as caught:
        load_preset(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_size = [640]", "sources[0].image_size = [640]: expected a list of 2 values"),
        ("image_size = [640, 9]", "sources[0].image_size[1] = 9: expected a whole number from 64"),
        ("kind = 'mirror'", 'sources[0].kind = "mirror": expected "folder", "scan", "synthetic"'),
        ("kind = 'folder'", 'sources[0].path: missing; kind "folder" needs a folder'),
        ("licence = 'mine'", 'sources[0].licence = "mine": kind "synthetic" has that of the pop'),
        ("path = 'mine'", 'sources[0].path = "mine": kind "synthetic" reads no files; write kind'),
        ("include = []", "sources[0].include = []: expected a list of 1 to"),
        ("sensor = { strength = -1 }", "sources[0].sensor.strength = -1: expected a number from 0"),
        ("views = [[0, 0], [0, 0]]", "sources[0].views names [0.0, 0.0] twice"),
        ("views = [[0, 0, 0]]", "sources[0].views[0] = [0, 0, 0]: expected a list of 2 values"),
        ("kind = 'scan'\npath = \"a\\u0000b\"", "sources[0].path ="),
    ],
)
def test_mistakes_in_sources_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_preset(write(tmp_path, f"[[sources]]\n{text}"))
    assert message in str(caught.value)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = "chunk_size = 0\nnmae = 'x'\n[shards]\ntest_fraction = 1.7\n[[sources]]\nseed = -1"
    with pytest.raises(ConfigError, match="4 problems") as caught:
        load_preset(write(tmp_path, text))
    assert [line.split()[0].rstrip(":") for line in str(caught.value).splitlines()[1:]] == [
        "chunk_size",
        "nmae",
        "shards.test_fraction",
        "sources[0].seed",
    ]


def test_a_preset_without_sources_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sources: missing; write \[\[sources\]\].*fg3d new"):
        load_preset(write(tmp_path, "name = 'x'"))
    with pytest.raises(ConfigError, match=r"sources = \[\]: expected a list of 1 to"):
        load_preset(write(tmp_path, "sources = []"))


def test_what_is_no_text_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it is a folder"):
        load_preset(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\x89PNG\r\n\xff")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        load_preset(tmp_path / "binary.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match="no regular file"):
        load_preset(tmp_path / "pipe.toml")
    (tmp_path / "circle").symlink_to("circle")
    config = load_preset(write(tmp_path, "[[sources]]\nkind = 'scan'\npath = 'circle'"))
    assert config.sources[0].path == str(tmp_path / "circle")
    with pytest.raises(ConfigError, match=r"nested too deep|no valid TOML"):
        load_preset(write(tmp_path, "a = " + "[" * 100_000))


def test_presets_of_the_project_are_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_preset("tasks/demo.toml").name == "demo"
    with pytest.raises(ConfigError, match=r"cannot read preset tasks/none\.toml"):
        load_preset("tasks/none.toml")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/demo.toml").write_text('name = "mine"\nsources = [{}]')
    assert load_preset("tasks/demo.toml").name == "mine"


def test_digests_are_those_of_before() -> None:
    """Constraints beside the fields change no digest: builds of earlier versions stay valid.

    `FullViewConfig.looks` and a smaller `ShardConfig.samples_per_shard` did change them.
    """
    # The threshold of quality is measured, and changes when it is measured again.
    review = ReviewConfig(min_quality=0.11)
    assert digest(replace(BuildConfig(), review=review)) == "16d66c42d4a1"
    demo = load_preset(PRESETS[0].with_name("demo.toml"))
    assert digest(replace(demo, review=review)) == "f6dd3ca6314e"


def test_missing_preset_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read preset .*none\.toml"):
        load_preset(tmp_path / "none.toml")


def test_a_preset_written_out_is_the_same_configuration(tmp_path: Path) -> None:
    config = load_preset(PRESETS[0])
    assert config.sources[0].sensor
    config = replace(config, max_failure_rate=1e-7)
    config = replace(config, transform=replace(config.transform, salt='odd "name" \\ ä'))
    path = write(tmp_path, toml_text(config, "two\nlines"))
    assert load_preset(path) == config
    assert path.read_text(encoding="utf-8").startswith("# two\n# lines\n")


def test_table_round_trip() -> None:
    config = BuildConfig(name="x", fit=FitConfig(iterations=3))
    assert from_table(BuildConfig, to_table(config), "table") == config


def test_digest_depends_on_every_value_and_on_nothing_else() -> None:
    base = BuildConfig()
    assert digest(base) == digest(BuildConfig())
    assert digest(base) != digest(replace(base, fit=FitConfig(iterations=16)))
    assert digest("a", "b") != digest("ab")
    assert digest(1) != digest("1")


def test_luigi_finds_what_its_configuration_names() -> None:
    project = Path(__file__).resolve().parents[1]
    settings = configparser.ConfigParser()
    settings.read(project / "luigi.cfg", encoding="utf-8")
    assert settings["core"].getboolean("local_scheduler")
    assert (project / settings["core"]["logging_conf_file"]).is_file()
    assert load_preset(project / settings["BuildFG3D"]["preset"]).name == "demo"


def test_damaged_presets_are_refused_or_right(tmp_path: Path) -> None:
    """300 presets with flipped bits, lost bytes and odd values: a sentence or legal settings."""
    rng = random.Random(0)
    whole = toml_text(BuildConfig(), "every setting").encode()
    texts = [*(path.read_bytes() for path in PRESETS), whole]
    odd = [b"nan", b"-1", b"1e999", b"[]", b"{}", b'""', b"true", b"[[[[", b"2020-01-01", b"\xff"]
    file, refused = tmp_path / "p.toml", 0
    for _ in range(300):
        data = bytearray(rng.choice(texts))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            change = rng.randrange(3)
            if change == 0:
                data[place] ^= 1 << rng.randrange(8)
            elif change == 1:
                del data[place : place + rng.randrange(1, 30)]
            else:
                data[place:place] = rng.choice(odd)
        file.write_bytes(bytes(data))
        try:
            config = load_preset(file)
        except ConfigError:
            refused += 1
        else:
            assert from_table(BuildConfig, to_table(config), "again") == config
    assert 100 < refused < 300

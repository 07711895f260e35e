import re
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverrun.artifacts.contract import InvalidArtifactPath
from riverrun.artifacts.paths import (
    DECODING_ROUNDS_MAX,
    PATH_BYTES_MAX,
    SEGMENT_BYTES_MAX,
    SEGMENTS_MAX,
    fully_decoded,
    safe_file_path,
    safe_path,
)
from riverrun.errors import InvalidParameterValue


def encoded(path: str, times: int) -> str:
    """Every byte percent-encoded, and then the percent signs, again and again."""
    if times == 0:
        return path
    escape = "%" + "25" * (times - 1)
    return "".join(f"{escape}{byte:02x}" for byte in path.encode())


def refused(path: str) -> str:
    with pytest.raises(InvalidParameterValue, match=r"^Invalid path: ") as error:
        safe_path(path)
    return error.value.message


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b/c.txt",
        "100%.txt",
        "100%25.txt",
        "a%20b.txt",
        "50%zz",
        "a b.txt",
        " leading and trailing ",
        "é.txt",
        "日本語/モデル",
        "e\u0301",
        "...",
        "a..b",
        "..a",
        ".hidden",
        "-rf",
        "~",
        "$HOME",
        "a?b",
        "a:b",
        "metrics/c:/x",
        "a;b",
        "a&b=c",
        "*",
        "%ff",
        "%c0%ae%c0%ae/x",  # An overlong form of `..`, which is not UTF-8.
        "1/0123456789abcdef0123456789abcdef/artifacts/model/MLmodel",
    ],
)
def test_a_plain_path_is_kept_as_it_is(path: str):
    assert safe_path(path) == path
    assert safe_file_path(path) == path


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("", ""),
        (".", ""),
        ("./", ""),
        ("a/", "a"),
        ("a//b", "a/b"),
        ("a/./b", "a/b"),
        ("./a", "a"),
        ("a//./", "a"),
    ],
)
def test_empty_segments_and_dots_are_dropped(path: str, plain: str):
    assert safe_path(path) == plain


@pytest.mark.parametrize("path", ["", ".", "a/", "a//", "a/.", "a%2f", "a%252f", "a/%2e"])
def test_a_file_to_write_needs_a_name(path: str):
    with pytest.raises(InvalidArtifactPath) as error:
        safe_file_path(path)
    assert error.value.message == "Invalid path: a file name is missing at the end"


@pytest.mark.parametrize("times", range(5))
@pytest.mark.parametrize("path", ["..", "../x", "a/..", "a/../b", "a/b/../../../etc/passwd"])
def test_dots_that_climb_are_refused_however_encoded(path: str, times: int):
    assert refused(path.replace("..", encoded("..", times))) == "Invalid path: it contains '..'"


@pytest.mark.parametrize("path", ["..%2f..%2fetc/passwd", "%2e%2e/x", "1/%252e%252e/x", ".%2e/x"])
def test_dots_that_climb_are_refused_half_encoded(path: str):
    assert refused(path) == "Invalid path: it contains '..'"


@pytest.mark.parametrize(
    "path", ["/", "/etc/passwd", "//host/share", "%2fetc/passwd", "%252Fetc/passwd"]
)
def test_an_absolute_path_is_refused(path: str):
    assert refused(path) == "Invalid path: it is absolute, expected a relative path"


@pytest.mark.parametrize(
    "path",
    ["C:", "c:/Windows", "C%3A/x", "file:///etc/passwd", "file:/etc/passwd", "s3://bucket/x"],
)
def test_a_drive_or_scheme_is_refused(path: str):
    assert refused(path) == "Invalid path: it is absolute, expected a relative path"


@pytest.mark.parametrize("path", ["\\", "..\\x", "a\\..\\b", "C:\\x", "%5c..%5cx", "\\\\host\\x"])
def test_a_backslash_is_refused(path: str):
    assert refused(path) == "Invalid path: it contains a backslash"


@pytest.mark.parametrize("path", ["a#b", "#", "a%23b", "a%2523b", "x#/../../etc/passwd"])
def test_a_fragment_is_refused(path: str):
    assert refused(path) == "Invalid path: it contains '#'"


@pytest.mark.parametrize("character", ["\0", "\n", "\r", "\t", "\x1b", "\x7f", "\x85"])
def test_a_control_character_is_refused(character: str):
    assert refused(f"a{character}b") == "Invalid path: it contains a control character"


@pytest.mark.parametrize("character", ["\0", "\n", "\x7f", "\x85"])
def test_an_encoded_one_is_part_of_a_name_unless_the_name_climbs_before_it(character: str):
    for written in (quote(character), quote(quote(character))):
        assert safe_path(f"a{written}b") == f"a{written}b"
        assert refused(f"a/..{written}b") == "Invalid path: it contains '..'"


@pytest.mark.parametrize("step", [step for step in range(100) if step != 23])
def test_images_of_2_x_clients_keep_their_names(step: int):
    name = f"images/loss%step%{step}%timestamp%1795232756411%0e3c5f17.png"
    assert safe_path(name) == name


def test_a_lone_surrogate_is_refused():
    assert refused("a\udcff") == "Invalid path: not valid Unicode"


def test_encoding_without_end_is_refused():
    kept = "%" + "25" * (DECODING_ROUNDS_MAX - 2) + "41"
    assert safe_path(kept) == kept
    assert fully_decoded(kept) == "A"
    assert refused("%25" + kept[1:]) == "Invalid path: percent-encoded more than 9 times"
    assert refused("%" + "25" * 100 + "2e") == "Invalid path: percent-encoded more than 9 times"


def test_lengths_have_limits():
    assert safe_path("x" * SEGMENT_BYTES_MAX)
    assert refused("x" * (SEGMENT_BYTES_MAX + 1)) == (
        "Invalid path: a segment is longer than 255 bytes"
    )
    assert refused("é" * 128) == "Invalid path: a segment is longer than 255 bytes"
    assert safe_path("/".join(["x" * 99] * 40 + ["y" * 96]))
    assert refused("/".join(["x" * 99] * 41)) == f"Invalid path: longer than {PATH_BYTES_MAX} bytes"
    assert safe_path("/".join(["x"] * SEGMENTS_MAX))
    assert refused("/".join(["x"] * (SEGMENTS_MAX + 1))) == "Invalid path: more than 100 segments"


@given(st.text(alphabet=st.sampled_from("./\\%25eEfFcC#:ab~\0"), max_size=40))
def test_what_passes_stays_below_its_root_after_any_number_of_decodings(raw: str):
    try:
        path = safe_path(raw)
    except InvalidArtifactPath:
        return
    assert safe_path(path) == path
    for form in (path, fully_decoded(path)):
        assert not form.startswith("/")
        assert not {"..", "\\", "#"} & set(re.split("[/\0]", form))
    assert all(segment not in {"", ".", ".."} for segment in path.split("/") if path)


@given(st.text(max_size=60))
def test_any_text_is_either_safe_or_refused(raw: str):
    with suppress(InvalidArtifactPath):
        safe_path(raw).encode()


# Each attack that was ever published against this protocol's path handling, by its number.
def test_cve_2023_1177_a_path_that_climbs_out_of_the_artifact_folder():
    assert refused("../../../../../etc/passwd")


def test_cve_2023_6018_a_write_to_an_absolute_path():
    with pytest.raises(InvalidArtifactPath):
        safe_file_path("/root/.ssh/authorized_keys")


def test_cve_2023_6730_dots_encoded_twice():
    assert refused("%252e%252e%252f%252e%252e%252fetc%252fpasswd")


def test_cve_2023_6831_a_deletion_with_encoded_dots():
    assert refused("%2E%2E/%2E%2E/home/victim")


def test_cve_2023_6977_a_file_uri_as_path():
    assert refused("file:///etc/passwd")


def test_cve_2024_0520_a_file_name_that_climbs():
    with pytest.raises(InvalidArtifactPath):
        safe_file_path("data/../../../tmp/poc.txt")


def test_cve_2024_1558_a_traversal_behind_encoded_slashes():
    assert refused("..%2F..%2F..%2Fetc%2Fpasswd")


def test_cve_2024_1560_a_deletion_decoded_once_more_than_checked():
    assert refused("%25252e%25252e/%25252e%25252e/x")


def test_cve_2024_3848_a_traversal_behind_a_fragment():
    assert refused("#/../../../etc/passwd")


def test_cve_2025_11201_a_traversal_in_a_model_path():
    assert refused("models/../../../app/start.py")


def test_cve_2026_2033_a_traversal_in_the_artifact_route():
    assert refused("0/..%5c..%5cwindows/win.ini")
    assert refused("0/....//../../etc/passwd")

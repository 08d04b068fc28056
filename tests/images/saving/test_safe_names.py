from __future__ import annotations

import unicodedata

import pytest

from orangecontrib.imagemining.images.saving.names import (
    UniqueNames,
    comparable,
    name_of,
    safe_name,
    split_ending,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cell", "cell"),
        ("a.1", "a.1"),
        ("Žlutý kůň 猫 🐈", "Žlutý kůň 猫 🐈"),
        ('a<b>c:d"e/f\\g|h?i*j', "a_b_c_d_e_f_g_h_i_j"),
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("..", "image"),
        ("", "image"),
        ("   ", "image"),
        (" . ", "image"),
        ("a. . ", "a"),
        (" a b ", "a b"),
        (".hidden", "_hidden"),
        ("a\tb\nc\0d\x1b\x7f", "a b c_d__"),
        ("a\u00a0b\u2028c", "a b c"),
        # a name that looks as if it ended in .png, and an invisible mark
        ("cell\u202egnp.exe\ufeff", "cellgnp.exe"),
        ("e\u0301", "\u00e9"),
        # an accent that an invisible mark kept from its letter
        ("e\u202e\u0301", "\u00e9"),
        ("half \ud83d pair", "half _ pair"),
        ("nobody \uffff", "nobody _"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("con", "_con"),
        ("NUL", "_NUL"),
        ("aux.1", "_aux.1"),
        ("Com1", "_Com1"),
        ("COM¹", "_COM¹"),
        ("lpt9 .x", "_lpt9 .x"),
        ("conin$", "_conin$"),
        ("COM10", "COM10"),
        ("console", "console"),
    ],
)
def test_names_are_safe(text: str, name: str) -> None:
    assert safe_name(text, "image") == name
    assert safe_name(name, "image") == name  # a safe one stays


def test_names_that_some_system_takes_for_one() -> None:
    for first, second in [
        ("Cell.PNG", "cell.png"),
        ("\u00c9.png", "e\u0301.png"),
        ("Straße", "STRASSE"),
        ("ſ", "S"),
        ("Σας", "σασ"),
        ("I", "ı"),
        ("\u212a", "k"),
        ("می\u200cخواهم", "میخواهم"),
    ]:
        assert comparable(first) == comparable(second)
    assert len({comparable(name) for name in ("a", "b", "é", "e", "ä", "a ")}) == 6


def test_endings() -> None:
    assert split_ending("a.1.JPG") == ("a.1", ".JPG")
    assert split_ending("a.1") == ("a.1", "")
    assert split_ending("notes.txt") == ("notes.txt", "")
    assert split_ending(".png") == (".png", "")


def test_names_of_sources() -> None:
    assert name_of("/a/b.1.png") == "b.1.png"
    assert name_of("http://x.org/a/b%20c.png?size=1#top") == "b c.png"
    assert name_of("http://x.org/a%2Fb.png") == "a/b.png"
    assert name_of("http://x.org/a/") == "a"
    assert name_of("http://x.org") == ""
    assert name_of("http://[x") == ""
    assert name_of("data:image/png;base64,AA/BB") == ""


def test_equal_names_are_numbered() -> None:
    names = UniqueNames()
    claimed = [names.claim(stem, (".png",)) for stem in ("a", "A", "a", "b", "a (2)")]
    assert claimed == ["a", "A (2)", "a (3)", "b", "a (2) (2)"]
    # another ending makes another name
    assert names.claim("a", (".jpg",)) == "a"
    assert names.claim("a", (".JPG",)) == "a (2)"
    assert names.claim("é", (".png",)) == "é"
    assert names.claim(unicodedata.normalize("NFD", "É"), (".png",)).endswith(" (2)")


def test_a_name_whose_ending_is_not_known_yet() -> None:
    names = UniqueNames()
    assert names.claim("a", (".png",)) == "a"
    assert names.claim("a", (".jpg", ".png")) == "a (2)"
    assert names.claim("b", (".jpg", ".png")) == "b"
    assert names.claim("b", (".png",)) == "b (2)"
    assert names.claim("b", (".jpg", ".png")) == "b (3)"


def test_reserved_and_avoided_names() -> None:
    names = UniqueNames("Manifest.csv")
    assert names.claim("manifest", (".csv",)) == "manifest (2)"
    assert names.claim("manifest.csv") == "manifest.csv (2)"
    assert names.claim("a", (".png",), {"a.png", "a (2).png"}) == "a (3)"


@pytest.mark.parametrize("letter", ["a", "ž", "猫", "🐈"])
def test_long_names_are_cut_between_letters(letter: str) -> None:
    names = UniqueNames()
    long = letter * 300
    claimed = [names.claim(long, (".png",)) for _ in range(11)]
    full = [f"{name}.png" for name in claimed]
    assert len(set(full)) == 11
    for name in full:
        assert 250 < len(name.encode()) <= 255
        assert set(name.partition(" ")[0].partition(".")[0]) == {letter}
    assert claimed[10].endswith(" (11)")
    # room for the longest ending that it may get
    assert len(names.claim("b" * 300, (".png", ".jpeg"))) == 250


def test_many_equal_names_take_no_time_to_speak_of() -> None:
    names = UniqueNames()
    for _ in range(20_000):  # counting from 1 each time would take minutes
        last = names.claim("image", (".png",))
    assert last == "image (20000)"

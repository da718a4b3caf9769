"""What the command line says to people who mistype, forget or combine what does not go together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.commands import Run


def said(ctgi: Run, *arguments: object) -> str:
    """The one message of a command that is refused."""
    done = ctgi(*arguments)
    assert done.code == 2, done
    assert done.out == ""
    return " ".join(done.err.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["index", "people", "--out", ""],
        ["index", "people", "--out="],
        ["search", "x", "-g", ""],
        ["caption", "people", "-o", ""],
        ["threads", "list", "--config", ""],
    ],
)
def test_an_empty_place_is_not_the_working_directory(ctgi: Run, people: Path, work: Path, arguments: list[str]) -> None:
    """As of a variable that is not set: --out "$GALLERY"."""
    before = sorted(work.iterdir())
    assert "is empty, perhaps from a variable that is not set" in said(ctgi, *arguments)
    assert sorted(work.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (
            ["search", "x", "-b", "anwser_question=templates"],
            "'anwser_question'; did you mean answer_question?",
        ),
        (["search", "x", "-b", "image=templates"], "did you mean images?"),
        (["search", "x", "--profile", "papre"], "did you mean paper?"),
        (["index", ".", "-b", "search_gallery=openclip:ViT-B-16,openai"], "did you mean open_clip?"),
        (["evaluate", "--data", "rstpp", "--root", "."], "did you mean rstp?"),
        (["train", "irr"], "did you mean irra?"),
        (
            ["train", "irra", "--data", "rstp", "--root", ".", "--set", "optim.lrr=1"],
            "optim.lrr: no such setting; did you mean lr?",
        ),
    ],
)
def test_what_was_meant_is_suggested(ctgi: Run, arguments: list[str], meant: str) -> None:
    assert meant in said(ctgi, *arguments)


def test_a_misspelled_backend_is_told(ctgi: Run, people: Path) -> None:
    done = ctgi("caption", people, "-b", "reconstruct_caption=template", "--limit", 1)
    assert done.code == 2
    assert "unknown backend 'template'; did you mean templates?" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("toml", "meant"),
    [
        ("[mti]\nlambda = 0.5", "mti.lambda: no such setting; did you mean lam?"),
        ("[mti]\ntop = 5", "mti.top: no such setting; did you mean k?"),
        ("[bindngs]\nanswer_question = 'templates'", "bindngs: no such setting; did you mean bindings?"),
        ("[endpoints.lab]\nbase_urll = 'x'", "endpoints.lab.base_urll: no such setting; did you mean base_url?"),
        ("[mti]\nzzzz = 5", "mti.zzzz: no such setting: expected k, xi, lam"),
        ("profile = 'opena'", "did you mean openai?"),
    ],
)
def test_keys_of_ctgi_toml_are_suggested(ctgi: Run, toml: str, meant: str) -> None:
    Path("ctgi.toml").write_text(toml)
    assert meant in said(ctgi, "tools", "list")


def test_variables_are_suggested_and_those_of_others_left_alone(ctgi: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTGI_DATA_OF_MY_LAB", "x")
    assert ctgi("tools", "list").code == 0
    monkeypatch.setenv("CTGI_PROFIL", "paper")
    assert "CTGI_PROFIL: no such setting; did you mean CTGI_PROFILE?" in said(ctgi, "tools", "list")
    monkeypatch.delenv("CTGI_PROFIL")
    monkeypatch.setenv("CTGI_MTI__LAMBDA", "0.5")
    assert "mti.lambda: no such setting; did you mean lam?" in said(ctgi, "tools", "list")


@pytest.mark.parametrize(
    ("arguments", "meant"), [(["serch", "x"], "Did you mean 'search'"), (["search", "x", "--jsn"], "--json")]
)
def test_commands_and_options_are_suggested(ctgi: Run, arguments: list[str], meant: str) -> None:
    assert meant in said(ctgi, *arguments)


def test_a_query_without_quotes_is_explained(ctgi: Run, people: Path) -> None:
    words = said(ctgi, "search", "woman", "with", "red", "bag", "-g", people)
    assert words == 'ctgi: put the description in quotes: ctgi search "woman with red bag"'


def test_a_data_set_is_named_once_as_an_option_or_as_before_as_a_bare_word(ctgi: Run) -> None:
    for named in (["--data", "rstp"], ["rstp"]):
        assert "none: no data_captions.json here" in said(ctgi, "evaluate", *named, "--root", "none")
    for named, why in (([], "no data sets named"), (["cuhk", "--data", "rstp"], "2 data sets named")):
        assert f"{why}: give one --data" in said(ctgi, "evaluate", *named, "--root", ".")
        assert f"{why}: give one --data" in said(ctgi, "ablate", *named, "--root", ".", "--captions", "c.jsonl")


def test_train_names_all_that_is_missing(ctgi: Run) -> None:
    assert "give --data and --root" in said(ctgi, "train", "irra")
    assert "give --root" in said(ctgi, "train", "irra", "--data", "rstp")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("search x --no-mti -i", "--interactive: without effect with --no-mti"),
        ("search x --no-mti --top 5 --lam 0.5 --xi 0 --rounds 1", "--top, --lam, --xi, --rounds: without effect"),
        ("search x --thread t", "--thread: without effect without --interactive"),
        ("search x -i --xi 0.5", "--xi: without effect where you answer"),
        ("search x --relevant a*", "--relevant: without effect without --html or --montage"),
        ("caption . --images-root .", "--images-root: without effect without --export"),
        ("caption . --annotations a.json --keep-human", "--annotations, --keep-human: without effect without --export"),
        ("caption . --export rstp --keep-human", "--keep-human: without effect without --annotations"),
        ("caption . --dry-run --shard 1/2", "--shard: without effect with --dry-run"),
        ("evaluate rstp --root . --top 5 --xi 0", "--top, --xi: without effect without MTI: add --mti"),
        ("evaluate rstp --root . --mti-variant icl", "--mti-variant: without effect without MTI"),
        ("index . --check --rebuild", "--rebuild: without effect with --check"),
        ("trace show last --images .", "--images: without effect without --html"),
        ("trace show last --html a.html --json", "--json: without effect with --html"),
        ("trace diff last last --images .", "--images: without effect without --html"),
    ],
)
def test_options_without_effect_are_refused(ctgi: Run, arguments: str, words: str) -> None:
    assert words in said(ctgi, *arguments.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "search x -g nowhere --html none/page.html",
            "--html none/page.html: there is no folder none: create it first",
        ),
        ("search x -g nowhere --html .", "--html .: is a folder: name a file in it"),
        ("search x -g nowhere --montage x.gif", "--montage x.gif: expected a name that ends in .png or .jpg"),
        ("search x -g nowhere --montage none/x.png", "no folder none"),
        ("evaluate rstp --root nowhere --html none/a.html", "no folder none"),
        ("trace show last --html none/a.html", "no folder none"),
        ("graph mti --png x.jpg", "--png x.jpg: expected a name that ends in .png"),
    ],
)
def test_places_are_checked_before_any_work(ctgi: Run, arguments: str, words: str) -> None:
    assert words in said(ctgi, *arguments.split())


def test_annotations_are_read_before_any_image_is_captioned(ctgi: Run, people: Path) -> None:
    Path("a.json").write_text("{}")
    words = said(ctgi, "caption", people, "--export", "rstp", "--annotations", "a.json")
    assert "expected a list of objects" in words
    assert not Path("captions.jsonl").exists()


@pytest.mark.parametrize(("name", "kind"), [("m.png", "PNG"), ("m.JPG", "JPEG"), ("m.jpeg", "JPEG"), ("m", "PNG")])
def test_a_montage_is_of_the_kind_that_its_name_says(
    ctgi: Run, people: Path, tiny_clip: Path, name: str, kind: str
) -> None:
    bind = ["-b", f"search_gallery=open_clip:local-dir:{tiny_clip}"]
    assert ctgi("search", "a man", "-g", people, *bind, "--no-mti", "--montage", name).code == 0
    with Image.open(name) as picture:
        assert picture.format == kind


def test_a_configuration_beside_images_is_named_and_not_used(ctgi: Run, people: Path, tiny_clip: Path) -> None:
    (people / "ctgi.toml").write_text('[bindings]\nsearch_gallery = "python:theirs:encoder"\n')
    bind = ["-b", f"search_gallery=open_clip:local-dir:{tiny_clip}"]
    for command in (("index", people), ("search", "a man", "-g", people, "--no-mti")):
        done = ctgi(*command, *bind)
        assert done.code == 0, done.err
        assert f"{people}/ctgi.toml is not used" in "".join(done.err.split("\n"))
    Path("ctgi.toml").symlink_to(people / "ctgi.toml")
    assert "is not used" not in ctgi("index", people, *bind).err


def test_the_gallery_that_was_looked_in_is_named(ctgi: Run, people: Path, tiny_clip: Path) -> None:
    assert ctgi("index", people, "-b", f"search_gallery=open_clip:local-dir:{tiny_clip}").code == 0
    assert str(people) in ctgi("threads", "list").err.replace("\n", "")
    assert ctgi("threads", "list", "-g", people).err == ""


def outside(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A shell command with CTGI standing for the command line."""
    program = f"'{sys.executable}' -c 'from ctgi.cli import main; main()'"
    return subprocess.run(
        ["bash", "-c", command.replace("CTGI", program)],
        env={**os.environ, **variables}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_closed_or_full_output_is_no_traceback() -> None:
    left = outside("CTGI tools list | true; echo ${PIPESTATUS[0]}")
    assert (left.stderr, left.stdout.strip() in ("0", "1")) == ("", True)
    for unbuffered in ("", "1"):
        full = outside("CTGI tools list --json > /dev/full", PYTHONUNBUFFERED=unbuffered)
        assert full.returncode == 2
        assert full.stderr.startswith("ctgi: the result cannot be written to standard output (No space left on device)")
        assert full.stderr.count("\n") == 1
    closed = outside("CTGI tools list >&-")
    assert (closed.returncode, closed.stderr) == (0, "")
    ascii_only = outside("CTGI threads show Zoë -g .", PYTHONIOENCODING="ascii")
    assert ascii_only.returncode == 2
    assert "Traceback" not in ascii_only.stderr

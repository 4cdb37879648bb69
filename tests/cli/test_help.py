"""What `--help` says: every option of every command, in groups, with the same words for the same things."""

import contextlib
import io
import re
from pathlib import Path

import pytest
import typer

from vidswap.cli.app import app
from vidswap.cli.console import VOICE
from vidswap.cli.joblist import Row


def commands():
    """Names and click commands, those of groups as `weights add`."""
    whole = typer.main.get_command(app)
    found = {}
    for name, command in whole.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {n}": c for n, c in inner.items()} if inner else {name: command}
    return found


COMMANDS = commands()
ROOT = Path(__file__).parents[2]
WITHOUT_WORDS_OF_OURS = {"--help", "--install-completion", "--show-completion"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name):
    for parameter in COMMANDS[name].params:
        if not WITHOUT_WORDS_OF_OURS & {*parameter.opts}:
            assert getattr(parameter, "help", None), f"{name} {parameter.opts}"


@pytest.mark.parametrize("name", COMMANDS)
def test_no_help_has_brackets_which_rich_would_take_for_markup(name):
    texts = [COMMANDS[name].help, *(getattr(p, "help", "") or "" for p in COMMANDS[name].params)]
    assert not [text for text in texts if "[" in text]


@pytest.mark.parametrize("name", ["swap", "run", "reenact", "batch", "edit-regions"])
def test_commands_that_run_take_the_same_options_of_a_run(name):
    taken = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert taken >= {"--executor", "--ray-address", "--workers", "--device", "--segment-frames", "--on-error"}
    assert taken >= {"--strict", "--stall-timeout", "--segment-timeout", "--profile", "--fresh", "--json"}
    assert taken >= {"--codec", "--crf", "--bitrate", "--preset", "--pixel-format", "--quality", "--disclose"}
    assert taken >= {"--start", "--end", "--input-rate", "--video-stream"}


def test_every_option_that_the_pages_name_is_there():
    there = {o for command in COMMANDS.values() for p in command.params for o in (*p.opts, *p.secondary_opts)}
    # Of ray, kubectl and the benchmarks.
    others = {"--head", "--port", "--dashboard-host", "--dashboard-agent-listen-port", "--from-literal", "--generate"}
    others |= {"--write", "--version", "--help"}
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        named = {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text())}
        assert named <= there | others, f"{page.name}: {sorted(named - there - others)}"


def test_every_key_of_a_job_is_on_its_page():
    page = (ROOT / "docs" / "command.md").read_text()
    assert not [key for key in Row.model_fields if f"`{key}`" not in page]


def test_options_stand_under_headings(vidswap):
    told = vidswap("swap", "--help")[1]
    places = [told.index(heading) for heading in ("Faces", "What is read", "What is written", "How it runs")]
    assert places == sorted(places)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_for_a_shell_is_shown(shell, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit, typer.Exit):
        app(["--show-completion", shell], standalone_mode=False, prog_name="vidswap")
    assert "_VIDSWAP_COMPLETE" in shown.getvalue()
    VOICE.json = VOICE.quiet = False

"""What all verbs share: help with examples, errors in one line, exit codes, completion, a light start, pages."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from huggingface_hub.errors import HTTPError

from ginets.cli import main
from ginets.cli.app import APP, SECTIONS
from ginets.cli.command import PassedOn, Training, Verb, spread
from ginets.cli.errors import in_one_line
from ginets.models import FlagError


ROOT = Path(__file__).parents[2]
GROUP = typer.main.get_command(APP)
VERBS = [name for names in SECTIONS.values() for name in names]


def all_commands(group=GROUP, words=()):
    """The words of each verb that has no verbs below it, and its command."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = {" ".join(words): command for words, command in all_commands()}


def refused(capsys, *words: str) -> str:
    """The line on stderr; the exit code is 2."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    out, error = capsys.readouterr()
    assert ended.value.code == 2 and error.count("\n") == 1 and out == ""
    return error


def test_the_verbs_of_the_specification_are_there():
    wanted = """run train eval generate heatmap relevance plot sweep bench check-leak convert fold to-lora publish verify
        serve ui chat list env recipes glue squad"""
    assert set(VERBS) == set(wanted.split())


@pytest.mark.parametrize("words", [name for name, each in COMMANDS.items() if not isinstance(each, Training)])
def test_help_and_its_examples(words, capsys):
    assert main([*words.split(), "--help"]) == 0
    text = capsys.readouterr().out
    head, _, examples = text.partition("Examples:\n")
    assert text.startswith(f"Usage: ginets {words}") and COMMANDS[words].help.partition("\n")[0][:40] in text
    lines = [line.strip() for line in examples.splitlines()]
    assert lines and all(line.startswith("ginets ") for line in lines)
    if type(COMMANDS[words]) is Verb:
        assert "--debug" in head


@pytest.mark.parametrize("words", COMMANDS)
def test_examples_are_understood(words):
    """Their options exist, with values of the right kind: they get as far as a verb that would run."""
    examples = re.sub(r"\\\n\s*", "", COMMANDS[words].epilog.partition("Examples:\n")[2])
    for line in filter(None, map(str.strip, examples.splitlines())):
        _, *given = shlex.split(line, comments=True)
        group = GROUP
        while hasattr(group, "commands"):
            group, given = group.commands[given[0]], given[1:]
            if not given:
                break
        if not hasattr(group, "commands"):
            group.make_context(group.name, given).close()


@pytest.mark.parametrize("verb,task", [("glue", None), ("squad", None), ("train", "nlg")])
def test_training_verbs_show_the_arguments_of_their_recipes(verb, task, capsys):
    with pytest.raises(SystemExit) as ended:
        main([each for each in (verb, task, "--help") if each])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert text.index("Examples:") < text.index("--gi_query_side") and "--learning_rate" in text


def test_without_a_verb_the_verbs_are_listed(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in VERBS) and "\n  models " not in text
    assert all(f"\n{section}:\n" in text for section in SECTIONS)


@pytest.mark.parametrize("words,message", [
    (["nonsense"], "ginets: error: No such command 'nonsense'. See `ginets --help`."),
    (["publsh"], "Did you mean 'publish'?"),
    (["env", "--nonsense"], "ginets env: error: No such option: --nonsense. See `ginets env --help`."),
    (["env", "surplus"], "unexpected extra argument(s) (surplus)"),
    (["eval"], "ginets eval: error: Missing command"),
    (["eval", "poetry"], "ginets eval: error: No such command 'poetry'"),
    (["train", "poetry"], "ginets train: error: No such command 'poetry'"),
    (["fold", "a"], "ginets fold: error: Missing argument 'ADAPTER'"),
    (["list", "songs"], "'songs' is not one of 'models', 'families', 'methods', 'recipes', 'tasks'"),
    (["generate", "m", "--task", "text", "--data", "a", "--output", "b", "--limit", "x"], "'--limit'"),
    (["sweep", "a.yaml", "--list", "--dry-run"], "--list and --dry-run exclude each other"),
    (["publish", "run", "--as-lora", "--fold"], "--as-lora and --fold exclude each other"),
    (["bench", "nonsense"], "ginets bench: error: No such command 'nonsense'"),
    (["verify", "/no/such/folder"], "ginets verify: error: there is no folder '/no/such/folder'"),
])  # fmt: skip
def test_wrong_usage_is_one_line_and_exit_code_2(words, message, capsys):
    assert message in refused(capsys, *words)


def raising(error: Exception):
    def function(*given, **options):
        raise error

    return function


@pytest.mark.parametrize("error,code,message", [
    (FlagError("inhibition_level", 1.5, "0 <= p < 1"), 2, "error: config flag `inhibition_level` is 1.5; allowed: 0 <= p < 1."),
    (ValueError("two\nlines"), 2, "error: two lines"),
    (ImportError("`x` is not installed"), 2, "error: `x` is not installed"),
    (HTTPError("no route to host"), 2, "error: no route to host"),
    (KeyError("x"), 1, "unexpected KeyError: 'x' (--debug shows where"),
    (RuntimeError("shapes"), 1, "unexpected RuntimeError: shapes"),
])  # fmt: skip
def test_errors_are_one_line_and_a_traceback_with_debug(error, code, message, monkeypatch, capsys):
    monkeypatch.setattr("ginets.hub.verify.verify", raising(error))
    for words, lines in ((["verify", "x"], 1), (["verify", "x", "--debug"], 5)):
        with pytest.raises(SystemExit) as ended:
            main(words)
        said = capsys.readouterr().err
        assert ended.value.code == code and said.count("\n") >= lines
        assert said.splitlines()[-1].startswith("ginets verify: ") and message in said.splitlines()[-1]
        assert ("Traceback" in said and "in function" in said) == (lines > 1)
        assert lines > 1 or said.count("\n") == 1


@pytest.mark.parametrize("words", [words for words, each in COMMANDS.items() if type(each) is Verb])
def test_every_verb_has_debug(words):
    assert "debug" in {param.name for param in COMMANDS[words].params}


def test_debug_of_training_verbs(tmp_path, capsys):
    """A recipe says its errors itself; the traceback comes from what it says them of."""
    words = ["glue", "--model_name_or_path", str(tmp_path / "none"), "--task_name", "mrpc", "--output_dir", "x"]
    for extra, traceback in ([], False), (["--debug"], True):
        with pytest.raises(SystemExit) as ended:
            main([*words, *extra])
        said = capsys.readouterr().err
        assert ended.value.code == 2 and ("Traceback" in said) == traceback and "run_glue: error: " in said


def test_which_debug_is_ours():
    assert Training.take_debug(["--debug", "--seed", "3"]) == (True, ["--seed", "3"])
    assert Training.take_debug(["--seed", "3", "--debug"]) == (True, ["--seed", "3"])
    theirs = ["--debug", "underflow_overflow", "--seed", "3"]
    assert Training.take_debug(theirs) == (False, theirs)
    assert Training.take_debug([]) == (False, [])
    assert PassedOn.take_debug(["--debug", "script.py", "--debug"]) == (True, ["script.py", "--debug"])
    assert PassedOn.take_debug(["script.py", "--debug"]) == (False, ["script.py", "--debug"])


def test_a_reader_that_goes_away_is_no_error():
    with pytest.raises(BrokenPipeError), in_one_line("ginets"):
        raise BrokenPipeError


def test_lists_after_one_option():
    lists = {"--layers", "--format"}
    words = ["a", "--layers", "1", "-1", "2.5", "--head", "3", "b", "--format", "png", "--layers", "4"]
    assert spread(words, lists) == [
        *("a", "--layers", "1", "--layers", "-1", "--layers", "2.5", "--head", "3", "b", "--format", "png"),
        *("--layers", "4"),
    ]
    assert spread(["--layers"], lists) == ["--layers"] and spread([], lists) == []


LIGHT = """
import sys
from ginets.cli import main
try:
    main({words!r})
except SystemExit:
    pass
print([name for name in ("torch", "transformers", "peft", "datasets", "matplotlib", "huggingface_hub", "numpy") if name in sys.modules])
"""


@pytest.mark.parametrize(
    "words", [["--help"], ["serve", "--help"], ["generate", "--help"], ["nonsense"], ["recipes", "list"]]
)
def test_help_imports_nothing_heavy(words):
    run = subprocess.run([sys.executable, "-c", LIGHT.format(words=words)], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "[]", run.stdout[-500:] + run.stderr[-500:]


def complete(words: str, shell: str = "bash") -> str:
    """What the shell is told when Tab is pressed after `words`."""
    environment = os.environ | {
        "_GINETS_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "_TYPER_COMPLETE_ARGS": words,
    }
    environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    run = subprocess.run([sys.executable, "-m", "ginets.cli"], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_completion():
    assert complete("ginets ver").split() == ["verify"]
    assert set(complete("ginets eval ").split()) == {"squad", "nlg", "math"}
    assert "--as-lora" in complete("ginets publish --as")
    assert set(complete("ginets serve m --dtype ").split()) == {"float32", "bfloat16", "float16"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell):
    environment = os.environ | {"_GINETS_COMPLETE": f"source_{shell}"}
    run = subprocess.run([sys.executable, "-m", "ginets.cli"], capture_output=True, text=True, env=environment)
    assert run.returncode == 0 and "_GINETS_COMPLETE" in run.stdout and "ginets" in run.stdout
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=run.stdout, text=True).returncode == 0


def test_pages_are_what_the_help_says():
    """`make pages` writes them."""
    from ginets.cli.pages import pages

    folder = ROOT / "docs" / "cli"
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")} == pages()


def commands_of(page: Path) -> list[str]:
    """The `ginets …` lines of its code blocks, without synopses."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL))
    lines = re.findall(r"^ginets (.+)$", fenced, flags=re.MULTILINE)
    lines += re.findall(r"^    ginets (.+)$", text, flags=re.MULTILINE)
    return [line for line in lines if not re.search(r"\[|\||…", line)]


PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/methods/*.md"))]


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=lambda page: page.stem)
def test_commands_in_the_docs_are_understood(page):
    """Verb and options of each exist."""
    for line in commands_of(page):
        command, words = GROUP, shlex.split(line, comments=True)
        while hasattr(command, "commands"):
            assert words and words[0] in command.commands, line
            command, words = command.commands[words[0]], words[1:]
        try:
            command.make_context(command.name, words).close()
        except typer.TyperException as error:
            pytest.fail(f"ginets {line}: {error.format_message()}")


def test_env(capsys):
    assert main(["env", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    import torch
    import transformers

    assert facts["transformers"] == transformers.__version__ and facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads() and facts["typer"] == typer.__version__
    assert {"ginets", "python", "platform", "processor", "cores", "accelerator", "peft", "gradio"} <= facts.keys()
    assert main(["env"]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^{re.escape(name)} +\S", text, flags=re.MULTILINE) for name in facts)
    private = [str(Path.home()), str(ROOT), str(Path(torch.__file__).parent), os.uname().nodename, sys.executable]
    assert not [each for each in private if len(each) > 1 and each in text]


def test_list(capsys):
    assert main(["list", "--json"]) == 0
    kinds = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert kinds == ["models", "families", "methods", "recipes", "tasks"]
    for kind, name in zip(kinds, ("bert-tiny-gi", "llama_ina", "aflora", "glue/aflora/mrpc", "eval nlg"), strict=True):
        assert main(["list", kind, "--json"]) == 0
        assert name in [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert main(["list", "models", "nothing*"]) == 1 and capsys.readouterr().out == ""
    assert main(["list", "models", "bert*"]) == 0
    listed = capsys.readouterr().out
    assert main(["models", "bert*"]) == 0 and capsys.readouterr().out == listed != ""


def test_recipes(tmp_path, monkeypatch, capsys):
    assert main(["recipes", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows} == {
        path.relative_to(ROOT / "recipes").with_suffix("").as_posix() for path in ROOT.glob("recipes/**/*.yaml")
    }
    source = (ROOT / "recipes" / "glue" / "aflora" / "mrpc.yaml").read_text(encoding="utf-8")
    assert main(["recipes", "show", "glue/aflora/mrpc"]) == 0 and capsys.readouterr().out == source
    monkeypatch.chdir(tmp_path)
    for arguments, target in (([], "mrpc.yaml"), (["mine.yaml"], "mine.yaml")):
        assert main(["recipes", "copy", "glue/aflora/mrpc", *arguments]) == 0
        assert capsys.readouterr().out.strip() == target and Path(target).read_text(encoding="utf-8") == source
    Path("mine.yaml").write_text("changed")
    assert "mine.yaml is there" in refused(capsys, "recipes", "copy", "glue/aflora/mrpc", "mine.yaml")
    assert Path("mine.yaml").read_text() == "changed"
    assert main(["recipes", "copy", "glue/aflora/mrpc", "mine.yaml", "--overwrite"]) == 0
    assert Path("mine.yaml").read_text(encoding="utf-8") == source
    capsys.readouterr()
    assert "did you mean glue/aflora/mrpc" in refused(capsys, "recipes", "show", "glue/aflora/mprc")
    assert "glue/adalora/mrpc" in refused(capsys, "recipes", "show", "mrpc")


def test_uses_of_recipes_are_commands(capsys):
    """What `list` says of a recipe names it as its verb knows it."""
    from ginets.recipes.recipe_files import recipe_path
    from ginets.sweep.grid import find

    assert main(["recipes", "list", "--json"]) == 0
    for row in json.loads(capsys.readouterr().out):
        folder = row["name"].split("/")[0]
        *verb, last = row["use"].split()
        if verb[-1] == "--recipe":
            assert verb[-2] == folder and recipe_path(last, folder).is_file()
        elif verb[0] == "ginets":
            assert find(last).is_file()


def test_json_of_verify(monkeypatch, capsys):
    from types import SimpleNamespace

    report = SimpleNamespace(right=["a"], wrong=["b"])
    monkeypatch.setattr("ginets.hub.verify.verify", lambda *given: report)
    assert main(["verify", "x", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"right": ["a"], "wrong": ["b"]}


def test_ui_hands_its_options_on(monkeypatch, capsys):
    import inspect

    import ginets.ui

    given = {}
    signature = inspect.signature(ginets.ui.launch)
    monkeypatch.setattr(
        "ginets.ui.launch", lambda *words, **named: given.update(signature.bind(*words, **named).arguments)
    )
    monkeypatch.setattr("ginets.extras.require", lambda *words, **named: None)
    assert main(["ui", "a", "NAME=b", "--port", "0", "--device", "cpu", "--enable-training"]) == 0
    assert given["models"] == ["a", "NAME=b"] and given["host"] == "127.0.0.1" and given["open_browser"] is False
    assert (given["port"], given["device"], given["enable_training"], given["server"]) == (0, "cpu", True, None)
    assert "give either MODEL or --server" in refused(capsys, "ui")
    assert "give either MODEL or --server" in refused(capsys, "ui", "a", "--server", "http://127.0.0.1:8000")

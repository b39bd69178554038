"""The mistakes that an author makes in a method's file: each is answered in one line that names the file, before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from methods.contract.loading import load_method
from methods.contract.registry import method_names
from tests.conftest import TINY
from tests.trust.asking import Answer, ask

HONEST = '''"""Mine: a method of the user's own."""
import dataclasses
from pydantic import BaseModel, Field
from methods.contract import FeatureMethod, MethodConfig, SessionStrategy, TrainConfig


class Mine(SessionStrategy):
    title = "Mine"
'''


def planned(folder: Path, text: str, methods: str = "mine", name: str = "mine") -> Answer:
    """What --plan says when this is a method's file. Nothing is trained by it."""
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return ask("--methods", methods, "--protocol", str(TINY), "--plan", "--results", str(folder.parent / "results"))


def with_lines(*lines: str) -> str:
    return HONEST + "".join(f"    {line}\n" for line in lines)


FACTS = [
    ("title = ''", "title of Mine must be"),
    ("title = 'x' * 300", "title of Mine must have at most 100 letters"),
    (f"title = '{'x' * 101}'", "title of Mine must have at most 100 letters"),
    *((f"title = 'Mine{mark}'", f"title of Mine must not have {mark}") for mark in "†‡§*|<>"),
    ("title = 'ICaRL'.replace('I', 'i')", "title of Mine must not be 'iCaRL', which is that of methods/icarl.py"),
    ("title = 'iCaRL'", "title of Mine must not be 'iCaRL', which is that of methods/icarl.py"),
    ("presets = {1: {}}", "presets of Mine must have names"),
    ("presets = {'a': {}, 'b': 3}", "presets of Mine must map each name to a mapping of fields of Config (got 'b': 3)"),
    ("presets = {'a': {}, 'b': {1: 2}}", "presets of Mine must map each name to a mapping of fields of Config (got 'b': {1: 2})"),
    *((f"presets = {{'a': {{}}, {name!r}: {{}}}}", "presets of Mine must have names") for name in ("a:b", "a@b", "a,b", "a/b", "a b", "")),
    ("group = 'lecnet'", "group of Mine must not be lecnet, which is the name of a method"),
    ("group = 'mine'", "group of Mine must not be mine, which is the name of a method"),
    ("group = 'digits'", "group of Mine must not be digits, which is the name of a protocol"),
    ("trains = 'some'", "trains of Mine must be one of 'none', 'last_block', 'all' (got 'some')"),
    ("trains = ['all']", "trains of Mine must be one of"),
    ("trains_rows = 'newest'", "trains_rows of Mine must be one of 'all', 'new' (got 'newest')"),
    ("needs = 'money'", "needs of Mine must be one of '', 'network', 'lengths', 'texts' (got 'money')"),
    ("version = '2'", "version of Mine must be a whole number, at least 1 (got '2')"),
    ("version = 0", "version of Mine must be a whole number, at least 1 (got 0)"),
    ("version = True", "version of Mine must be a whole number, at least 1 (got True)"),
    ("memory_budget = '5'", "memory_budget of Mine must be a whole number, at least 0, or None for all images (got '5')"),
    ("memory_budget = -1", "memory_budget of Mine must be a whole number, at least 0"),
    ("def budget(self, config, sessions): return 0", "Mine.budget must be a class method"),
    ("def most_numbers(self, config, sessions, width): return 0", "Mine.most_numbers must be a class method"),
    ("def after_session(self, session): pass", "Mine.after_session must take (self), as it is called with"),
    ("def scores(self): pass", "Mine.scores must take (self, features), as it is called with"),
    ("base = None", "base of Mine must be the name of a base kind, or a mapping of presets to such names (got None)"),
    ("base = {'default': 3}", "base of Mine must be the name of a base kind"),
    ("base = 'cosin'", "base of Mine: no base kind named 'cosin'. Did you mean 'cosine'?"),
    ("base = {'default': 'cosin'}", "base of Mine: no base kind named 'cosin'. Did you mean 'cosine'?"),
    ("base = {'defualt': 'cosine'}", "base of Mine: no preset named 'defualt'. Did you mean 'default'?"),
    ("bases = {'cosin': {}}", "bases of Mine: no base kind named 'cosin'"),
    ("bases = None", "bases of Mine must be a mapping of base kinds to values of their Config (got None)"),
    ("bases = {'cosine': 3}", "bases of Mine must be a mapping of base kinds to values of their Config"),
    ("def __init__(self, config): self.config = config", "Mine.__init__ must take context and config by name; leave it out"),
    ("def __init__(self): pass", "Mine.__init__ must take context and config by name; leave it out"),
    ("migrations = [1]", "migrations of Mine must be a mapping of versions to functions"),
]
CONFIGS = [
    ("Config = None", "Config of Mine must be a class that derives from TrainConfig or MethodConfig"),
    ("Config = dataclasses.make_dataclass('Config', ['lr'])", "Config of Mine must be a class that derives from"),
    ("class Config(BaseModel): lr: float = 0.1", "Config of Mine must be a class that derives from"),
    ("class Config(TrainConfig): own: float", "Config.own of Mine needs a default"),
    ("class Config(TrainConfig): own: set[int] = {1}", "Config.own of Mine must not be a set, whose order differs from process to process"),
    ("class Config(TrainConfig): own: frozenset[str] | None = None", "Config.own of Mine must not be a set"),
    ("class Config(TrainConfig): own: dict[str, set[str]] = {}", "Config.own of Mine must not be a set"),
    ("class Config(TrainConfig): milestones: tuple[int, ...] = (3,); schedule: str = 'cosine'", "Config of Mine cannot be made of its"),
    ("class Config(TrainConfig): own: object = object()", "Config of Mine cannot be made of its"),
    (
        "class Config(TrainConfig): own: int = 'wide'",
        "Config of Mine cannot be made of its defaults, written to a record and read again: own",
    ),
    ("class Config(TrainConfig): own: int = Field(3, ge=5)", "Config of Mine cannot be made of its defaults"),
    ("class Config(MethodConfig): epochs: int = 3", "Config of Mine must derive from TrainConfig: it has epochs"),
    (
        "Config = MethodConfig\n    def trainable(self): return []",
        "Config of Mine must derive from TrainConfig: trainable() is called only",
    ),
    ("def load(self): pass", "Mine.load must have another name"),
    ("Config = MethodConfig\n    def session_loss(self): return 0", "Config of Mine must derive from TrainConfig: session_loss() is"),
]


@pytest.mark.parametrize(("line", "said"), [*FACTS, *CONFIGS])
def test_what_a_class_says_wrongly(line: str, said: str, own_methods: Path) -> None:
    answer = planned(own_methods, with_lines(line))
    assert answer.fault(said) == ""
    assert str(own_methods / "mine.py") in answer.err


HOOKS = [
    ("def leran(self, features, labels)", "learn"),
    ("def score(self, features)", "scores"),
    ("def after_sesion(self)", "after_session"),
    ("def aftersession(self)", "after_session"),
    ("def session_los(self)", "session_loss"),
    ("def foward(self)", "forward"),
    ("def trainables(self)", "trainable"),
    ("def setmodes(self)", "set_modes"),
]


@pytest.mark.parametrize(("line", "meant"), HOOKS)
def test_a_hook_that_nothing_would_call(line: str, meant: str, own_methods: Path) -> None:
    answer = planned(own_methods, with_lines(f"{line}: pass").replace("Mine(SessionStrategy)", "Mine(FeatureMethod)"))
    name = line.split("(")[0].removeprefix("def ")
    assert answer.fault(f"{own_methods / 'mine.py'}: Mine.{name} is no hook. Did you mean {meant!r}?") == ""


@pytest.mark.parametrize("line", ["preset = {}", "memory_budgets = 3", "class config(TrainConfig): pass", "verison = 2"])
def test_an_attribute_that_nothing_would_read(line: str, own_methods: Path) -> None:
    answer = planned(own_methods, with_lines(line))
    assert answer.fault("Did you mean") == "" and str(own_methods / "mine.py") in answer.err


def test_a_hook_may_take_more_than_it_is_given(own_methods: Path) -> None:
    """What counts is how the suite calls it, and not how another class of the author's defines it."""
    (own_methods / "_parent.py").write_text(
        HONEST.replace("Mine", "Parent") + "    def helper(self, x): pass\n    def scores(self, *args, **kwargs): pass\n"
    )
    lines = ["def scores(self, features, *, weight=1.0): pass", "def helper(self): pass", "def after_session(self, *rest): pass"]
    text = with_lines(*lines).replace("class Mine(SessionStrategy)", "class Mine(Parent)")
    text = text.replace("\n\nclass Mine", "\nfrom methods._parent import Parent\n\n\nclass Mine")
    assert planned(own_methods, text).status == 0


def test_helpers_have_names_of_their_own(own_methods: Path) -> None:
    helpers = ("_score", "_leran", "means_of", "session_rows", "embed_anchors", "teacher", "draw_batches", "rows_of")
    lines = ["class Config(MethodConfig): some: bool | None = None; both: tuple[bool, ...] = (True, False)"]
    text = with_lines(*lines, *(f"def {name}(self): pass" for name in helpers))
    assert planned(own_methods, "\ufeff" + text).status == 0, "with a byte order mark, as some editors write it"
    assert ask("--methods", "mine", "--set", "mine.some=true", "--protocol", str(TINY), "--plan").status == 0


def test_a_file_that_leaves_python(own_methods: Path) -> None:
    for line, why in (("sys.exit()", "SystemExit"), ("sys.exit(0)", "SystemExit: 0"), ("raise SystemExit('so')", "SystemExit: so")):
        answer = planned(own_methods, f"{HONEST}\nimport sys\n{line}\n")
        assert answer.fault(f"{own_methods / 'mine.py'} cannot be imported: {why} (line 11)") == ""


def test_a_method_that_hides_a_group(own_methods: Path) -> None:
    answer = planned(own_methods, HONEST, "modern", "modern")
    assert answer.fault(f"{own_methods / 'modern.py'}: must have another name: modern is a group of methods") == ""


def test_a_group_is_written_out(own_methods: Path) -> None:
    """The list would show the method among all others, and its rows would stand on the group's page."""
    text = '"""Mine."""\nfrom methods.teen import Teen\n\n\nclass Mine(Teen):\n    title = "Mine"\n'
    assert planned(own_methods, text).fault(f"{own_methods / 'mine.py'}: Mine must write out its group") == ""
    (own_methods / "mine.py").unlink()
    assert planned(own_methods, text.replace("Mine", "Yours") + '    group = "modern"\n', "yours", "yours").status == 0


def test_who_was_there_first_is_not_blamed(own_methods: Path) -> None:
    """A file of the user's takes the title of one method and hides the group of another; both can still be named."""
    (own_methods / "modern.py").write_text(HONEST.replace('"Mine"', '"iCaRL"'), encoding="utf-8")
    assert planned(own_methods, HONEST, "icarl,teen,mine").status == 0


def test_the_list_names_a_method_that_cannot_be_read(own_methods: Path) -> None:
    (own_methods / "mine.py").write_text(with_lines("presets = {1: {}}"), encoding="utf-8")
    answer = ask("--list")
    assert answer.status == 0 and "presets of Mine must" in " ".join(answer.out.split())


def test_the_suites_own_methods_pass() -> None:
    assert len([load_method(name) for name in method_names()]) >= 29

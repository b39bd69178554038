"""Values of settings: what --set may say, and which of class, preset, recipe and command line wins."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.planning.plan import parse_overrides
from benchmarks.system.errors import UsageError
from methods.contract.registry import MethodError
from protocols.schema import Protocol
from tests.benchmarks.planning.conftest import runs_of, with_recipe


def test_overrides_are_yaml_values() -> None:
    variants = [("ft_cnn", "topic", None), ("lecnet", "code", None)]
    texts = ["ft_cnn.milestones=[3, 5]", "ft_cnn.batch=null", "lecnet:code.tau_clamp=true", "lecnet.gamma=0.7"]
    assert parse_overrides(texts, variants) == {
        "ft_cnn": {"milestones": [3, 5], "batch": None},
        "lecnet:code": {"tau_clamp": True},
        "lecnet": {"gamma": 0.7},
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("lecnet", "METHOD.FIELD=VALUE"),
        ("gamma=0.6", "METHOD.FIELD=VALUE"),
        ("lecnet.=0.6", "METHOD.FIELD=VALUE"),
        (".gamma=0.6", "METHOD.FIELD=VALUE"),
        ("lecnet.gamma", "METHOD.FIELD=VALUE"),
        ("lecnt.gamma=0.6", "Did you mean 'lecnet'"),
        ("lecnet:papr.gamma=0.6", "Did you mean 'lecnet:paper'"),
        ("proto.mean=unit", "'proto' is not among the methods to run; add it to --methods"),
        ("alice.margin=1", "'alice' is not among the methods to run; add it to --methods"),
        ("lecnet:code.gamma=1", "'lecnet:code' is not among the methods to run; add it to --methods"),
        ("virtual.augment.cutout=3", "'cutout' is within 'augment', which is set as a whole: --set 'virtual.augment={cutout: ...}'"),
        ("lecnet.cosine=1", "unknown key 'cosine'."),
        ("lecnet.gamma=[0.6", "lecnet.gamma"),
        ("lecnet.gama=0.6", "'gama'. Did you mean 'gamma'"),
        ("lecnet.gamma=high", "gamma"),
        ("lecnet.gamma=", "gamma"),
        ("lecnet.gamma=[0.6]", "gamma"),
        ("lecnet.gamma={a: 1}", "gamma"),
        ("lecnet.lr=-1", "lr"),
        ("lecnet.lr=0", "lr"),
        ("lecnet.epochs=2.5", "epochs"),
        ("lecnet.batch=0", "batch"),
        ("lecnet.batch_norm=sometimes", "batch_norm"),
        ("lecnet.milestones=[a]", "milestones"),
        ("lecnet.tau_clamp=perhaps", "tau_clamp"),
    ],
)
def test_bad_overrides_are_one_line_that_names_the_field(text: str, named: str, tiny: Protocol) -> None:
    with pytest.raises(UsageError) as caught:
        runs_of(tiny, "lecnet", [text])
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["lecnet.gamma=.nan", "lecnet.gamma=.inf", "lecnet.lr=.inf", "lecnet.distill_weight=-.inf"])
def test_a_value_that_is_no_number_is_refused_before_training(text: str, tiny: Protocol) -> None:
    """NaN equals nothing, so such a run would never count as done; and JSON has neither."""
    with pytest.raises(UsageError, match=text.partition("=")[0].partition(".")[2]):
        runs_of(tiny, "lecnet", [text])


@pytest.mark.parametrize("text", ["lecnet.lr=yes", "lecnet.epochs=true"])
def test_yes_is_not_a_rate(text: str, tiny: Protocol) -> None:
    """YAML reads yes, on and true as a truth value, which must not become 1."""
    with pytest.raises(UsageError):
        runs_of(tiny, "lecnet", [text])


def test_precedence_class_preset_recipe_command_line(tiny: Protocol) -> None:
    plain = with_recipe(tiny, methods={})
    assert [run.config["gamma"] for run in runs_of(plain, "lecnet,lecnet:code")] == [0.8, 0.6], "class's default; preset's"
    by_recipe = with_recipe(tiny, methods={"lecnet": {"gamma": 0.5, "lr": 0.3}, "lecnet:code": {"gamma": 0.4}})
    assert [run.config["gamma"] for run in runs_of(by_recipe, "lecnet,lecnet:code")] == [0.5, 0.4]
    assert [run.config["lr"] for run in runs_of(by_recipe, "lecnet,lecnet:code")] == [0.3, 0.3], "the preset's .005 gives way"
    assert [run.config["gamma"] for run in runs_of(by_recipe, "lecnet,lecnet:code", ["lecnet.gamma=0.2"])] == [0.2, 0.2]
    both = ["lecnet:code.gamma=0.1", "lecnet.gamma=0.2"]
    assert [run.config["gamma"] for run in runs_of(by_recipe, "lecnet,lecnet:code", both)] == [0.2, 0.1], "the narrower wins"
    assert [run.overrides for run in runs_of(by_recipe, "lecnet,lecnet:code", both)] == [{"gamma": 0.2}, {"gamma": 0.1}]


def test_settings_that_nobody_changed_are_the_classes(tiny: Protocol) -> None:
    (run,) = runs_of(with_recipe(tiny, methods={}), "lecnet:code")
    assert run.config["tau_init"] == 0.0
    assert run.config["ratio_weight"] == 0.1
    assert run.config["momentum"] == 0.9
    assert run.overrides == {}
    assert "momentum" in run.defaults, "which it names"
    assert "gamma" not in run.defaults, "the preset's"
    assert run.base == "projected", "the preset names its base"


@pytest.mark.parametrize(
    ("methods", "named"),
    [
        ({"lecnt": {"gamma": 0.5}}, "'lecnet'"),
        ({"lecnet": {"gama": 0.5}}, "'gamma'"),
        ({"lecnet": {"gamma": "high"}}, "gamma"),
        ({"lecnet:papr": {"gamma": 0.5}}, "paper"),
    ],
    ids=["method", "field", "value", "preset"],
)
def test_a_recipe_that_sets_what_is_not_there(methods: dict[str, Any], named: str, tiny: Protocol) -> None:
    with pytest.raises((UsageError, MethodError)) as caught:
        runs_of(with_recipe(tiny, methods=methods), "lecnet")
    assert "fast" in str(caught.value), "says which recipe"
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)

"""The collapse watch says what it sees once, when it begins."""

import pytest

from fastgan.collapse import is_collapsed, watch


def record(epoch, deviation=0.2, real=0.6, fake=0.4, cost=0.7):
    return {
        "epoch": epoch,
        "sample_deviation": deviation,
        "real_probability": real,
        "fake_probability": fake,
        "discriminator_cost": cost,
        "generator_cost": cost,
    }


def kinds(*records):
    return [finding.kind for finding in watch(records)]


def test_a_healthy_run_says_nothing():
    assert kinds(record(1), record(2)) == []


def test_helvetica():
    assert kinds(record(1), record(2, deviation=0.0199)) == ["collapse"]
    assert kinds(record(1), record(2, deviation=0.02)) == []
    message = watch([record(2, deviation=0.001)])[0].message
    assert "Helvetica" in message
    assert "0.0010" in message


def test_the_first_epoch_proves_nothing():
    assert kinds(record(1, deviation=0.0)) == []
    # but the second is the first that can be told
    assert kinds(record(1, deviation=0.0), record(2, deviation=0.0)) == ["collapse"]


def test_it_is_told_when_it_begins_and_again_after_a_recovery():
    dark, light = {"deviation": 0.0}, {}
    assert kinds(record(1), record(2, **dark), record(3, **dark)) == []
    assert kinds(record(2, **dark), record(3, **light), record(4, **dark)) == ["collapse"]


def test_saturation_takes_three_epochs_on_end():
    sure = {"real": 0.999, "fake": 0.001}
    assert kinds(record(1, **sure), record(2, **sure)) == []
    assert kinds(record(1, **sure), record(2, **sure), record(3, **sure)) == ["saturated"]
    four = [record(epoch, **sure) for epoch in (1, 2, 3, 4)]
    assert kinds(*four) == []  # told already
    assert kinds(record(1, **sure), record(2), record(3, **sure)) == []


@pytest.mark.parametrize("value", [None, float("nan")])
def test_what_is_no_number_is_not_certain(value):
    lost = [record(epoch, real=value, fake=value) for epoch in (1, 2, 3)]
    assert kinds(*lost) == []
    half = [record(epoch, real=0.999, fake=value) for epoch in (1, 2, 3)]
    assert kinds(*half) == []


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_divergence(value):
    assert kinds(record(1), record(2, cost=value)) == ["diverged"]
    assert kinds(record(1), record(2, deviation=value)) == ["diverged"]


def test_is_collapsed():
    assert is_collapsed(record(2, deviation=0.01))
    assert not is_collapsed(record(1, deviation=0.01))
    assert not is_collapsed(record(2, deviation=None))


def test_a_recipe_may_give_its_generator_longer():
    dark = [record(epoch, deviation=0.0) for epoch in range(1, 6)]
    assert not is_collapsed(dark[3], 5)
    assert is_collapsed(dark[4], 5)
    assert watch(dark[:4], 5) == []
    assert [finding.kind for finding in watch(dark, 5)] == ["collapse"]

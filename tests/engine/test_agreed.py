"""What the ranks compare."""

from attached import attach
from layerdropback.engine.agreed import facts_of_attachment, facts_of_epoch
from zoo import ZOO


def facts(strategy="uniform"):
    ldb, _ = attach(ZOO["mlp"].model(), strategy, seed=3)
    return facts_of_attachment(ldb._engine.target, ldb.settings)


def test_settings_and_layers_are_compared():
    here = facts()
    assert here == facts()
    assert here != facts("truncate")
    assert (here["seed"], here["strategy"]["name"]) == (3, "uniform")


def test_steps_and_knowledge_are_compared():
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model)
    before = facts_of_epoch(ldb._engine.windows)
    entry.train(ldb, model, optimizer, [0, 1], 2)
    after = facts_of_epoch(ldb._engine.windows)
    assert (before["epoch"], before["step"], before["drop_steps"]) == (None, 0, 0)
    assert (after["epoch"], after["step"], after["drop_steps"]) == (1, 4, 2)
    assert before["seed"] == after["seed"] == 0
    learned = "what was learned (a digest)"
    assert before[learned] != after[learned]

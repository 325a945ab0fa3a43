from benchmarks.int4_settings import SWEEP, label, pareto_front


def test_each_setting_has_a_name_of_its_own():
    assert len({label(settings) for settings in SWEEP}) == len(SWEEP)
    assert label({"mode": "INT4_SYM", "group_size": -1, "ratio": 1.0, "awq": True}) == "INT4_SYM-channel-r1.0-awq"


def test_the_front_has_what_nothing_else_beats():
    rows = [
        {"settings": "small", "mb": 1, "kl": 0.3},
        {"settings": "close", "mb": 3, "kl": 0.1},
        {"settings": "between", "mb": 2, "kl": 0.2},
        {"settings": "beaten", "mb": 2, "kl": 0.25},
        {"settings": "worst", "mb": 4, "kl": 0.4},
    ]
    assert pareto_front(rows, lambda row: row["mb"]) == {"small", "between", "close"}


def test_settings_that_are_equal_are_both_on_the_front():
    rows = [{"settings": name, "mb": 1, "kl": 0.3} for name in ("one", "other")]
    assert pareto_front(rows, lambda row: row["mb"]) == {"one", "other"}

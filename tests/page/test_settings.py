from page.settings import generation_settings


def test_the_panel_sends_numbers_as_floats():
    settings = generation_settings(0.5, 0.9, 40.0, 1.1, 128.0, -1.0)
    assert settings["top_k"] == 40 and settings["max_new_tokens"] == 128 and settings["seed"] is None
    assert generation_settings(0.5, 0.9, 40.0, 1.1, 128.0, 7.0)["seed"] == 7
    assert generation_settings(0.5, 0.9, 40.0, 1.1, 128.0, None)["seed"] is None

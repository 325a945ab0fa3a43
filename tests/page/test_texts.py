from llm_chatbot.page.texts import recognised
from llm_chatbot.texts import translate


def test_an_error_is_said_in_the_language_of_the_page():
    found = recognised("The model's chat template refuses: no system role; try without a system prompt.")
    assert found == {"key": "error_template_refuses", "values": {"reason": "no system role"}}
    assert "no system role" in translate("ja", "error_template_refuses", reason="no system role")
    assert recognised("Something else.") == {"text": "Something else."}

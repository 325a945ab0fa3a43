from llm_chatbot.tools.offers import named
from llm_chatbot.tools.tool import ServerTool


def names(*tools: tuple[str, str]) -> list[str]:
    return [offered.function for offered in named([ServerTool(server, name) for server, name in tools])]


def test_a_tool_has_its_own_name_and_its_servers_where_two_have_the_same():
    assert names(("a", "read"), ("b", "write")) == ["read", "write"]
    assert names(("a", "read"), ("b", "read")) == ["a_read", "b_read"]


def test_names_have_the_characters_and_the_length_of_a_function_and_no_two_are_the_same():
    assert names(("a", "files/read.all")) == ["files_read_all"]
    assert names(("a", "読む")) == ["__"]
    assert names(("a.b", "read"), ("a_b", "read")) == ["a_b_read", "a_b_read_2"]
    assert [len(name) for name in names(("a", "x" * 99), ("a", "x" * 98))] == [64, 62]

"""page/web/exchange/transfer.js in a real browser: every format that can be imported, and the way back."""

import copy
import json
from typing import Any

import pytest
from playwright.sync_api import Page

READ = """(content) => {
    try {
        return transfer.fromFile(content, { temperature: "number", system_prompt: "string" });
    } catch (error) {
        if (!(error instanceof transfer.BadFile)) throw error;
        return error.key;
    }
}"""


def read(page: Page, content: Any) -> Any:
    return page.evaluate(READ, content if isinstance(content, str) else json.dumps(content))


def conversations(page: Page, content: Any) -> list[dict[str, Any]]:
    """The conversations that are read, the same when they are read again."""
    found = read(page, content)
    assert ids(read(page, content)["conversations"]) == ids(found["conversations"])
    return found["conversations"]


def ids(found: list[dict[str, Any]]) -> list[Any]:
    return [(it["id"], [message["id"] for message in it["messages"]]) for it in found]


def tree(conversation: dict[str, Any]) -> list[tuple[int, str, str]]:
    """For each message the place of its parent (-1: none), its role and its content."""
    places = {message["id"]: place for place, message in enumerate(conversation["messages"])}
    assert all(message["conversation"] == conversation["id"] for message in conversation["messages"])
    assert all(message["finish_reason"] for message in conversation["messages"] if message["role"] == "assistant")
    return [(places.get(it["parent"], -1), it["role"], it["content"]) for it in conversation["messages"]]


def leaf(conversation: dict[str, Any]) -> str:
    return next(it["content"] for it in conversation["messages"] if it["id"] == conversation["leaf"])


OWN: dict[str, Any] = {
    "id": "c1",
    "name": "Name",
    "created": 1000,
    "updated": 2000,
    "pinned": True,
    "leaf": "m3",
    "settings": {"temperature": 0.5},
    "model": ["smollm2-135m-instruct", "INT4", "CPU"],
    "messages": [
        {
            "id": "m1",
            "conversation": "c1",
            "parent": None,
            "role": "user",
            "content": "Question\n## User\n\\## Assistant",
            "created": 1001,
            "attachments": [{"name": "a.txt", "text": "attached", "tokens": 2}],
        },
        {
            "id": "m2",
            "conversation": "c1",
            "parent": "m1",
            "role": "assistant",
            "content": "One",
            "created": 1002,
            "figures": {"completion_tokens": 1},
            "finish_reason": "stop",
            "model": "a · INT4",
            "tokens": [{"id": 1, "text": "One", "logprob": -0.5, "top": []}],
        },
        {
            "id": "m3",
            "conversation": "c1",
            "parent": "m1",
            "role": "assistant",
            "content": "Other",
            "created": 1003,
            "finish_reason": "cancelled",
        },
    ],
}


def test_what_is_exported_comes_back_as_it_was(modules: Page):
    settings = {"system_prompt": "Be brief.", "temperature": 0}
    presets = [{"id": "p", "name": "Brief", "settings": settings, "updated": 1}]
    prompts = [{"id": "q", "name": "short", "text": "Shorter, for {{whom}}.", "updated": 1}]
    content = {"conversations": [OWN], "presets": presets, "prompts": prompts}
    exported = modules.evaluate("(all) => transfer.toJSON(all)", content)
    assert json.loads(exported)["format"] == "llm-chatbot" and json.loads(exported)["version"] == 2
    assert read(modules, exported) == content


def test_an_answer_that_was_not_finished_is_not_asked_for_again(modules: Page):
    unfinished = copy.deepcopy(OWN)
    del unfinished["messages"][2]["finish_reason"]
    (found,) = conversations(modules, {"conversations": [unfinished]})
    assert found["messages"][2]["finish_reason"] == "interrupted"


def test_of_a_file_only_what_fits_is_taken(modules: Page):
    hostile = copy.deepcopy(OWN) | {"name": 5, "settings": "x", "model": [1], "leaf": "nowhere", "created": "x"}
    hostile["messages"][0] |= {"attachments": [{"name": 1}], "figures": "x", "__proto__": {"a": 1}, "html": "<b>"}
    circle = {"id": "x", "parent": "y", "role": "user", "content": "x"}
    hostile["messages"] += [circle, circle | {"id": "y", "parent": "x"}, {"role": "system"}, None, {"id": "z"}]
    (found,) = conversations(modules, {"conversations": [hostile, None, 5, {"id": 1}]})
    assert (found["name"], found["settings"], found["model"], found["leaf"]) == ("", {}, None, "m3")
    assert [message["id"] for message in found["messages"]] == ["m1", "m2", "m3"]
    assert not {"attachments", "figures", "html"} & set(found["messages"][0])


def test_presets_are_checked_as_in_a_file_of_their_own(modules: Page):
    presets = [
        {"id": "p", "name": " Brief ", "settings": {"temperature": 1, "system_prompt": 5, "x": 1}},
        {"name": "no id", "settings": {}},
        {"id": "q", "name": "", "settings": {}},
    ]
    taken = [{"id": "p", "name": "Brief", "settings": {"temperature": 1}, "updated": 0}]
    assert read(modules, {"presets": presets}) == {"conversations": [], "presets": taken, "prompts": []}
    assert read(modules, {"presets": presets[1:]}) == "bad_import"


FIRST: dict[str, Any] = {
    "id": "abc",
    "name": "Old",
    "updated": 1700000000000,
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "figures": {"completion_tokens": 3, "finish_reason": "stop"}},
        {"role": "user", "content": "More"},
        {"role": "assistant", "content": "Cut", "figures": {"completion_tokens": 3, "finish_reason": None}},
    ],
}


def test_files_of_the_first_version_can_be_imported(modules: Page):
    (found,) = conversations(modules, {"conversations": [FIRST]})
    assert (found["id"], found["name"], found["updated"]) == ("abc", "Old", 1700000000000)
    expected = [(-1, "user", "Hi"), (0, "assistant", "Hello"), (1, "user", "More"), (2, "assistant", "Cut")]
    assert tree(found) == expected and leaf(found) == "Cut"
    assert [it.get("finish_reason") for it in found["messages"]] == [None, "stop", None, "interrupted"]


def test_a_later_file_of_the_same_conversation_adds_only_what_is_new(modules: Page):
    earlier = FIRST | {"messages": FIRST["messages"][:2]}
    (one,), (other,) = (
        conversations(modules, {"conversations": [earlier]}),
        conversations(modules, {"conversations": [FIRST]}),
    )
    assert [it["id"] for it in other["messages"][:2]] == [it["id"] for it in one["messages"]]


def test_markdown_comes_back_with_lines_that_look_like_headings(modules: Page):
    path = [OWN["messages"][0] | {"attachments": []}, OWN["messages"][2]]
    text = modules.evaluate("(path) => transfer.toMarkdown('My\\nname', path)", path)
    assert text.startswith("# My name\n\n## User\n\nQuestion\n\\## User\n\\\\## Assistant\n\n## Assistant\n\nOther")
    (found,) = conversations(modules, text)
    assert found["name"] == "My name"
    assert tree(found) == [(-1, "user", path[0]["content"]), (0, "assistant", "Other")]
    assert ids(conversations(modules, text.replace("\n", "\r\n"))) == ids([found])


def test_markdown_holds_the_attached_text(modules: Page):
    text = modules.evaluate("(path) => transfer.toMarkdown('a', path)", OWN["messages"][:1])
    assert "a.txt:\n\n```\nattached\n```\n\nQuestion" in text


URL = "data:image/png;base64,aGk="


def test_markdown_brings_pictures_back_and_only_those_that_it_holds(modules: Page):
    pictures = [{"name": "a [1].png", "text": "", "picture": URL}, {"name": "b.png", "text": "", "picture": URL}]
    path = [OWN["messages"][0] | {"attachments": pictures, "content": "What?"}]
    text = modules.evaluate("(path) => transfer.toMarkdown('a', path)", path)
    assert f"## User\n\n![a  1 .png]({URL})\n\n![b.png]({URL})\n\nWhat?" in text
    (found,) = conversations(modules, text)
    assert found["messages"][0]["content"] == "What?"
    assert [it["picture"] for it in found["messages"][0]["attachments"]] == [URL, URL]
    (other,) = conversations(modules, text.replace(URL, "https://example.org/a.png"))
    assert "attachments" not in other["messages"][0] and "example.org" in other["messages"][0]["content"]


def test_nothing_but_a_picture_itself_is_taken_for_one(modules: Page):
    for address in ("https://example.org/a.png", "data:text/html;base64,aGk=", "javascript:alert(1)", 5):
        message = OWN["messages"][0] | {"attachments": [{"name": "a.png", "text": "", "picture": address}]}
        (found,) = conversations(modules, {"conversations": [OWN | {"messages": [message]}]})
        assert "attachments" not in found["messages"][0], address


OPEN_WEBUI = [
    {
        "id": "chat-1",
        "title": "Trip",
        "pinned": True,
        "created_at": 1700000000,
        "updated_at": 1700000100,
        "chat": {
            "title": "Trip",
            "models": ["llama3.2"],
            "params": {"system": "Be kind."},
            "history": {
                "currentId": "a2",
                "messages": {
                    "u1": {
                        "id": "u1",
                        "parentId": None,
                        "childrenIds": ["a1", "a2"],
                        "role": "user",
                        "content": "Where?",
                        "timestamp": 1700000001,
                        "files": [
                            {"type": "file", "name": "map.txt", "file": {"data": {"content": "north"}}},
                            {"type": "image", "url": URL},
                        ],
                    },
                    "a1": {"id": "a1", "parentId": "u1", "role": "assistant", "content": "There.", "model": "llama3.2"},
                    "a2": {
                        "id": "a2",
                        "parentId": "u1",
                        "role": "assistant",
                        "content": '<details type="reasoning" done="true" duration="2">\n<summary>Thought for 2 seconds'
                        "</summary>\n&gt; 1 &lt; 2\n&gt; so\n</details>\nHere.",
                    },
                },
            },
        },
    }
]


def test_chats_of_open_webui_can_be_imported(modules: Page):
    (found,) = conversations(modules, OPEN_WEBUI)
    assert (found["id"], found["name"], found["pinned"], found["created"]) == ("chat-1", "Trip", True, 1700000000000)
    assert found["settings"] == {"system_prompt": "Be kind."}
    answer = "<think>\n1 < 2\nso\n</think>\n\nHere."
    assert tree(found) == [(-1, "user", "Where?"), (0, "assistant", "There."), (0, "assistant", answer)]
    assert leaf(found) == answer
    picture = {"name": "picture", "text": "", "picture": URL}
    assert found["messages"][0]["attachments"] == [{"name": "map.txt", "text": "north"}, picture]
    assert found["messages"][1]["model"] == "llama3.2" and found["messages"][0]["created"] == 1700000001000
    (copied,) = conversations(modules, [OPEN_WEBUI[0] | {"id": "chat-2"}])
    assert not {it["id"] for it in copied["messages"]} & {it["id"] for it in found["messages"]}


def chatgpt_node(own: str, parent: str | None, role: str | None = None, *parts: Any, **message: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": list(parts)}
    whole = {"id": own, "author": {"role": role}, "create_time": 1700000001.5, "content": content, **message}
    return {own: {"id": own, "parent": parent, "children": [], "message": whole if role else None}}


def test_conversations_of_chatgpt_can_be_imported(modules: Page):
    mapping = {
        **chatgpt_node("root", None),
        **chatgpt_node("system", "root", "system", ""),
        **chatgpt_node("hidden", "system", "user", "profile", metadata={"is_visually_hidden_from_conversation": True}),
        **chatgpt_node("u1", "hidden", "user", "Plot it"),
        **chatgpt_node(
            "t1",
            "u1",
            "assistant",
            content={"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "Hm."}]},
        ),
        **chatgpt_node("a1", "t1", "assistant", "I look."),
        **chatgpt_node("call", "a1", "assistant", "search()", recipient="browser"),
        **chatgpt_node("tool", "call", "tool", "result"),
        **chatgpt_node("a2", "tool", "assistant", "Done.", metadata={"model_slug": "gpt-4o"}),
        **chatgpt_node("a3", "u1", "assistant", "Other."),
        **chatgpt_node(
            "u2",
            "a2",
            "user",
            content={"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, "This?"]},
        ),
    }
    file = [{"title": "Plots", "create_time": 1700000000.25, "update_time": 1700000009, "current_node": "u2"}]
    (found,) = conversations(modules, [file[0] | {"conversation_id": "cg-1", "mapping": mapping}])
    assert tree(found) == [
        (-1, "user", "Plot it"),
        (0, "assistant", "<think>\nHm.\n</think>\n\nI look.\n\nDone."),
        (0, "assistant", "Other."),
        (1, "user", "[image]\n\nThis?"),
    ]
    assert (found["id"], found["name"], found["created"]) == ("cg-1", "Plots", 1700000000250)
    assert found["messages"][1]["model"] == "gpt-4o" and leaf(found).endswith("This?")


LM_STUDIO = {
    "name": "Local",
    "pinned": False,
    "createdAt": 1716387912345,
    "systemPrompt": "Answer in rhymes.",
    "messages": [
        {
            "currentlySelected": 0,
            "versions": [{"type": "singleStep", "role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        },
        {
            "currentlySelected": 1,
            "versions": [
                {
                    "type": "multiStep",
                    "role": "assistant",
                    "senderInfo": {"senderName": "qwen3"},
                    "steps": [{"type": "contentBlock", "content": [{"type": "text", "text": text}]}],
                }
                for text in ("First", "Second")
            ],
        },
        {
            "currentlySelected": 0,
            "versions": [{"type": "singleStep", "role": "user", "content": [{"type": "text", "text": "More"}]}],
        },
        {
            "currentlySelected": 0,
            "versions": [
                {
                    "type": "multiStep",
                    "role": "assistant",
                    "steps": [
                        {
                            "type": "contentBlock",
                            "style": {"type": "thinking"},
                            "content": [{"type": "text", "text": "Hm."}],
                        },
                        {"type": "contentBlock", "content": [{"type": "text", "text": "Yes"}]},
                        {"type": "debugInfoBlock", "debugInfo": "x"},
                    ],
                }
            ],
        },
    ],
}


def test_conversations_of_lm_studio_can_be_imported(modules: Page):
    (found,) = conversations(modules, LM_STUDIO)
    assert tree(found) == [
        (-1, "user", "Hello"),
        (0, "assistant", "First"),
        (0, "assistant", "Second"),
        (2, "user", "More"),
        (3, "assistant", "<think>\nHm.\n</think>\n\nYes"),
    ]
    assert found["settings"] == {"system_prompt": "Answer in rhymes."} and found["created"] == 1716387912345
    assert found["messages"][1]["model"] == "qwen3" and leaf(found).endswith("Yes")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", "[1, null]", "null", "text without headings", '{"conversations": "x"}', "\0\1",
     '[{"chat": {"history": {"messages": {}}}}]',
     '[{"chat": {"history": {"messages": {"a": {"content": 5, "files": 1}}}}}]',
     '[{"mapping": {"a": {"message": {"author": 5, "content": {"content_type": "text", "parts": "x"}}}}}]',
     '[{"mapping": {"a": {"parent": "a", "message": {"author": {"role": "user"}, "content": null}}}}]',
     '{"messages": [{"versions": [null, {"steps": 5}]}, null]}', '{"conversations": [{"id": "a", "messages": []}]}',
     "[" * 100_000],
    ids=range(16),
)  # fmt: skip
def test_a_file_without_conversations_is_one_sentence(modules: Page, content: str):
    assert read(modules, content) == "bad_import"


def test_deep_and_circular_trees_are_read(modules: Page):
    long = {f"m{i}": {"parentId": f"m{i - 1}" if i else None, "role": "user" if i % 2 == 0 else "assistant",
                      "content": str(i)} for i in range(5000)}  # fmt: skip
    (found,) = conversations(modules, [{"id": "a", "chat": {"history": {"messages": long, "currentId": "m4999"}}}])
    assert len(found["messages"]) == 5000 and leaf(found) == "4999"
    circle = {"a": {"parentId": "b", "role": "system"}, "b": {"parentId": "a", "role": "tool"},
              "c": {"parentId": "a", "role": "user", "content": "kept"}}  # fmt: skip
    (found,) = conversations(modules, [{"id": "a", "chat": {"history": {"messages": circle, "currentId": "b"}}}])
    assert tree(found) == [(-1, "user", "kept")]

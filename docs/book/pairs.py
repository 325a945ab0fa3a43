"""Search in Chinese and Japanese by pairs of neighbouring characters, for which no dictionary is needed.

Sphinx splits Chinese with jieba, which is not kept any more, and doesn't split what is asked for.
"""

import re
from collections.abc import Iterator

# Chinese characters, kana and the marks between them. JavaScript reads these escapes too.
CJK = r"\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
RUN = re.compile(f"[{CJK}]+|[^\\W{CJK}]+")


def terms(text: str) -> Iterator[str]:
    """The words of a text; of a run of Chinese or Japanese each character, and each pair of neighbours."""
    for match in RUN.finditer(text):
        run = match[0]
        if is_cjk(run):
            yield from run
            yield from (run[place : place + 2] for place in range(len(run) - 1))
        else:
            yield run


def is_cjk(run: str) -> bool:
    return re.match(f"[{CJK}]", run) is not None


# The terms of what is asked for, in the browser: of a run of several characters only the pairs. A page has to have all.
SPLIT_QUERY = rf"""
function splitQuery(query) {{
  const pairs = (run) => Array.from({{ length: run.length - 1 }}, (_, place) => run.slice(place, place + 2));
  const runs = query.match(/[{CJK}]+|(?:(?![{CJK}])[\p{{L}}\p{{N}}_])+/gu) ?? [];
  return runs.flatMap((run) => (/^[{CJK}]{{2}}/.test(run) ? pairs(run) : [run]));
}}
"""

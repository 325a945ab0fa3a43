"""Words that don't tell what a question is about: English words of grammar, and how Chinese and Japanese ask."""

_WORDS = (
    "a about after all also am an and any are as at be been before being both but by can could did do does doing "
    "don for from get had has have having he her here him his how i if in into is it its itself just let like ll "
    "make may me more most much must my need no not of off often on once one only or other our out over own re s "
    "same she should so some such t tell than that the their them then there these they this those through to too "
    "under up us use used using ve very want was we were what when where whether which while who whom whose why "
    "please will with without would you your "
    "什么 怎么 怎样 如何 哪个 哪些 哪里 为何 多少 可以 我们 你们 他们 请问 这个 那个 是否 有没 没有 "
    "何故 何処 誰が 教え 下さ"
)
STOP_WORDS = frozenset(_WORDS.split())

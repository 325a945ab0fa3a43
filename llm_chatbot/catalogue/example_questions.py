"""Questions to try a model with, in its language."""

EXAMPLE_QUESTIONS: dict[str, tuple[str, ...]] = {
    "en": (
        "Hello! What can you help me with?",
        "Name the capital of France.",
        "Explain in two sentences what a language model does.",
        "What is Python used for?",
        "Tell me the story of Cinderella in one sentence.",
        "Name three mistakes that beginners make when they write code.",
        "Write a short poem about a laptop that learned to talk.",
    ),
    "zh": (
        "你好！你能帮我做些什么？",
        "中国的首都是哪里？",
        "请用两句话解释一下什么是语言模型。",
        "Python 可以用来做什么？",
        "请用一句话讲讲灰姑娘的故事。",
        "请说出初学者写代码时常犯的三个错误。",
        "写一首小诗，主题是一台学会说话的笔记本电脑。",
    ),
    "ja": (
        "こんにちは！どんなことを手伝ってもらえますか？",
        "日本の首都はどこですか？",
        "言語モデルとは何か、二文で説明してください。",
        "Pythonは何に使われていますか？",
        "シンデレラの物語を一文で教えてください。",
        "プログラミング初心者がよくする間違いを三つ挙げてください。",
        "話すことを覚えたノートパソコンについて、短い詩を書いてください。",
    ),
}

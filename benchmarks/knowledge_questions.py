"""Questions on documentation that comes with Python and this project, and questions that it doesn't answer.

Each has a regular expression that a passage with the answer matches. They were written from the documentation, in other
words than its own where there are others, before any search was tried on them.
"""

# Python's language reference, the module `pydoc_data.topics`.
PYTHON = {
    "How do I skip the rest of a loop's body and go on with the next item?": "continues with the next cycle",
    "How can I leave a loop early?": "terminates the nearest enclosing loop",
    "Which statement does nothing at all?": "is a null operation",
    "How do I change a module's variable from inside a function?": "impossible to assign to a global",
    "How does an inner function assign to a variable of the function around it?": "previously bound variables",
    "How is a function without a name written?": "create\\s+anonymous functions",
    "When are assertions switched off?": "optimi[sz]ation is requested|__debug__",
    "Can I throw an error again that I have just caught?": "re-raises the exception",
    "How do I say that one exception was the reason for another?": "exception chaining",
    "Which values count as false?": "constants defined to be false",
    "In what order are several powers in a row computed?": "evaluated from\\s+right to left",
    "How do I write a complex number?": "complex number with a real part of 0\\.0",
    "What are the three dots for?": "exactly one ellipsis object",
    "What happens when a key is given twice in a dictionary literal?": "same key\\s+multiple times",
    "What do two underscores at the beginning of a name do in a class?": "private name|mangled",
    "How do I make an object usable in a with block?": "__enter__",
    "Which method is called when an attribute isn't found?": "__getattr__",
    "How do I make my own class behave as a function that is called?": "object\\.__call__|called as a\\s+function",
    "How do I define what len() returns for my class?": "object\\.__len__",
    "How can instances take less memory by not having a dict?": "reserves space for the declared|saved over using",
    "What is a metaclass good for?": "uses for\\s+metaclasses|for metaclasses are",
    "Can a default value of a parameter be remembered between calls?": "[Dd]efault parameter values?",
    "How do I force callers to name an argument?": "keyword-only|keyword only",
    "How can a function take any number of positional arguments?": '\\*identifier|"\\*args"|excess positional',
    "What runs no matter whether an exception was raised?": "specifies a .cleanup. handler",
    "How do I catch several errors of a group at once?": "except\\*",
    "How do I compare two objects for being the very same one?": "object’s identity|test for an object",
    "Why is a comparison such as a < b < c allowed?": "chained arbitrarily",
    "How do I test whether an item is in a list?": "test for membership",
    "Which operators bind the strongest?": "precedence",
    "How do I remove a name or an element?": "Deletion of a name",
    "How do I take every second element of a sequence?": "to \\*j\\* with step|extended slic|stride",
    "How do I replace part of a string by another?": "occurrences of substring \\*old\\*",
    "How do I split text at line breaks?": "breaking at line\\s+boundaries",
    "How do I remove blanks at both ends of a string?": "leading\\s+and\\s+trailing\\s+characters\\s+removed",
    "How do I pad a number with zeros on its left?": "ASCII\\s+[“\"]?'?0'? digits|zfill|zero[- ]padding",
    "How do I show a number as a percentage?": "Percentage",
    "How do I show a large number with thousands separators?": "thousands separator",
    "How do I put an expression into a string literal?": "formatted string literal|f-string",
    "How do I write a backslash without escaping it?": "raw string",
    "Which quotes may a text over several lines have?": "triple-quoted",
    "How do I make a generator?": "generator function",
    "How does a coroutine wait for another?": "Suspend the execution of",
    "How do I loop over an asynchronous iterator?": "async for",
    "How do I set a breakpoint?": "[Ss]et a break",
    "How do I go a line further in the debugger, over functions?": "execution until the next line",
    "How do I start the debugger after a crash?": "post-mortem",
    "What does import do when a module was loaded already?": "sys\\.modules|already been imported",
    "How do I import from a module in the same package?": "relative import|leading dots",
    "How do I match the shape of data in a case?": "mapping pattern|sequence pattern|structural pattern",
    "What happens to a loop's variable when the list is empty?": "will not have been assigned to",
    "When is the else clause of a loop executed?": 'else[”"]? clause, if present, is executed',
    "How do I add two lists in place?": "in-place|[Aa]ugmented assignment",
    "How do I swap bits to the right?": "shift",
    "What differs between a mutable and an immutable object?": "value of some objects can change|\\*mutable\\*",
    "How are objects that nobody uses freed?": "garbage[- ]collected",
    "How do I get a value from a dict with a fallback?": "return the value for \\*key\\*.*default|Return the value for",
    "How do I merge one dictionary into another?": "Update the dictionary with",
    "How do I sort a list in place?": "sorts the list in place",
    "How can a class say which attributes exist when they are listed?": "__dir__",
}

# This project's notebook in Japanese and Chinese.
JAPANESE = {
    "会話はどこに保存されますか": "会話は.{0,40}ブラウザ|ブラウザーにだけ",
    "温度を下げると何が起きますか": "temperature が低い",
    "KVキャッシュはなぜ必要ですか": "なぜ KV キャッシュ",
    "モデルのファイルの大きさはどれくらいですか": "98 MB",
    "層はいくつありますか": "30 の層",
    "チャットテンプレートとは何ですか": "チャットテンプレート\\*?がそれ",
    "貪欲デコードとは": "貪欲",
    "速度の上限は何で決まりますか": "メモリー帯域幅",
    "圧縮の誤差はどう測りますか": "KL",
    "複数の会話を同時に動かすとどうなりますか": "会話が多いほど",
    "使い終わったら何を消せばよいですか": "後片付け",
    "空白のある単語はどのように分けられますか": "単語は直前の空白と一組",
}
CHINESE = {
    "对话保存在哪里？": "只保存在你的浏览器",
    "温度低的时候会怎样？": "温度低时",
    "为什么需要KV缓存？": "为什么需要 KV 缓存",
    "模型文件有多大？": "98 MB",
    "模型有多少层？": "30 层",
    "什么是聊天模板？": "聊天模板\\*?把它",
    "贪心解码是什么意思？": "贪心解码",
    "速度的上限取决于什么？": "内存带宽",
    "怎样衡量压缩带来的误差？": "KL",
    "同时进行多个对话会变慢吗？": "对话越多",
    "用完以后怎样删除文件？": "清理",
    "单词前的空格怎么处理？": "单词连同它前面的空格",
}

# What none of it answers.
UNANSWERED = """
How long do I bake a chocolate cake?
Who won the football world cup in 1998?
What is the capital of Mongolia?
How do I treat a sprained ankle?
When should tomatoes be planted?
Which train goes from Vienna to Salzburg?
How tall is Mount Kilimanjaro?
What is the rent of a flat in Lisbon?
Who painted the ceiling of the Sistine Chapel?
How do I change the oil of a car?
Which vaccines does a puppy need?
What does a notary cost when I buy a house?
How many calories does a banana have?
When was the French Revolution?
How do I tune a violin?
What is the boiling point of ethanol?
Which visa do I need for Brazil?
How do I knit a scarf?
What is the deadline of my tax return?
How often should I water a cactus?
Which wine goes with salmon?
How do I remove a red wine stain from a carpet?
Who is the king of Sweden?
How far is the moon?
What are the side effects of ibuprofen?
How do I fold a fitted sheet?
What is the vacation policy of our company?
Who signed the lease for the office in Hamburg?
How much did we sell in the third quarter?
When does the kindergarten close in summer?
""".strip().splitlines()
UNANSWERED_JAPANESE = [
    "富士山の高さは何メートルですか",
    "今日の天気はどうですか",
    "カレーの作り方を教えてください",
    "大阪行きの電車は何時ですか",
]
UNANSWERED_JAPANESE += ["犬の予防接種はいつですか", "確定申告の期限はいつですか"]
UNANSWERED_CHINESE = [
    "长城有多长？",
    "明天天气怎么样？",
    "怎样做红烧肉？",
    "去上海的火车几点开？",
    "小狗什么时候打疫苗？",
    "报税的截止日期是哪天？",
]

"""The words of the lesson's figures, controls and tables in the notebook's language.

The three notebooks have the same code, in English; `say` looks up what a reader sees of its results.
"""

from llm_chatbot.lesson.front_end import notebook_language

# English: (Japanese, Chinese).
WORDS = {
    # Controls
    "Model:": ("モデル：", "模型："),
    "Prepare {}": ("{} を用意する", "准备 {}"),
    "Take OpenVINO's own INT4": ("OpenVINO 公式の INT4 を使う", "使用 OpenVINO 发布的 INT4"),
    "Device:": ("デバイス：", "设备："),
    "Run:": ("実行する版：", "运行版本："),
    "temperature": ("temperature", "temperature（温度）"),
    "top-k (0: all)": ("top-k（0：すべて）", "top-k（0：全部）"),
    "repetition penalty": ("repetition penalty", "repetition penalty（重复惩罚）"),
    # Tables
    "parameters": ("パラメーター数", "参数数量"),
    "gated": ("gated", "gated"),
    "yes": ("はい", "是"),
    "16-bit original": ("元の 16 ビット", "原来的 16 位"),
    "compression rate": ("圧縮率", "压缩率"),
    "bits per weight": ("重み 1 個のビット数", "每个权重的位数"),
    "memory, MB": ("メモリー（MB）", "内存（MB）"),
    "loading, s": ("読み込み（秒）", "加载（秒）"),
    "reading a prompt, tokens/s": ("プロンプトを読む速さ（トークン/秒）", "读提示词（词元/秒）"),
    "writing, tokens/s": ("書く速さ（トークン/秒）", "写（词元/秒）"),
    "KL divergence": ("KL", "KL 散度"),
    "same likeliest token": ("最有力のトークンが同じ割合", "最可能的词元相同的比例"),
    "FDT, tokens": ("FDT（トークン）", "FDT（词元）"),
    "at most, tokens/s": ("上限（トークン/秒）", "上限（词元/秒）"),
    "measured, tokens/s": ("実測（トークン/秒）", "实测（词元/秒）"),
    "GB per token": ("1 トークンあたりの GB", "每个词元的 GB"),
    "reading speed": ("読む速さに届くか", "达到阅读速度"),
    "first token, ms": ("最初のトークン（ミリ秒）", "第一个词元（毫秒）"),
    "tokens like the CPU's": ("CPU と同じトークン", "与 CPU 相同的词元"),
    # Figures
    "size, MB": ("大きさ（MB）", "大小（MB）"),
    "KL divergence from 16 bits, nats": ("16 ビット版からの KL（nat）", "与 16 位版本的 KL 散度（nat）"),
    "{:.0f} tokens/s": ("{:.0f} トークン/秒", "{:.0f} 词元/秒"),
    "{}: {} characters, {} tokens": ("{}：{} 文字、{} トークン", "{}：{} 个字符，{} 个词元"),
    "probability": ("確率", "概率"),
    "the model's": ("モデルの確率", "模型给出的"),
    "after the settings": ("設定を適用した後", "应用设置之后"),
    "without the cache": ("キャッシュなし", "没有缓存"),
    "with the cache": ("キャッシュあり", "有缓存"),
    "tokens so far": ("ここまでのトークン数", "已有的词元数"),
    "ms for the next token": ("次のトークンまでのミリ秒", "下一个词元所需毫秒"),
    "turn 1": ("1 回目", "第一轮"),
    "turn 2": ("2 回目", "第二轮"),
    "somebody else": ("別の人", "另一个人"),
    "from the cache": ("キャッシュから", "来自缓存"),
    "read anew": ("新たに読む", "重新读取"),
    "code": ("コード", "编码"),
    "weight": ("重み", "权重"),
    "in 16 bits": ("16 ビット", "16 位"),
    "in 4 bits": ("4 ビット", "4 位"),
    "8 bits": ("8 ビット", "8 位"),
    "4 bits": ("4 ビット", "4 位"),
    "error": ("誤差", "误差"),
}
LANGUAGES = ("ja", "zh")


def say(text: str) -> str:
    """A text in the notebook's language; one that is not among `WORDS` stays as it is."""
    language = notebook_language()
    return WORDS[text][LANGUAGES.index(language)] if language in LANGUAGES and text in WORDS else text

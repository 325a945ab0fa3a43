// The browser's part of the page: the conversations, which are saved only here, and the language.
// `page_script` in server.py starts it as `chatPage`. Gradio calls `chatPage.attach` when the element of the list
// exists; `trigger("select", …)` opens a conversation.

// texts: {language: {key: text}}, see texts.py. lessThan: the spelling of "<" in messages, see view.py.
function startChatPage({ texts, lessThan }) {
  const PREFIX = "llm-chatbot.conversation.";
  const LANGUAGE = "llm-chatbot.language";
  const CURRENT = "llm-chatbot.current"; // of this tab

  // The language: the one that was chosen, or the browser's.
  const known = (code) => (code in texts ? code : "en");
  let language = known(localStorage.getItem(LANGUAGE) || navigator.language.slice(0, 2));

  // Gradio has no public way to change the language of its own texts and of `gr.I18n`: this is what its settings page calls.
  async function speak(chosen) {
    language = known(chosen);
    localStorage.setItem(LANGUAGE, language);
    document.documentElement.lang = language;
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const core = loaded.find((name) => /\/assets\/core-[^/]*\.js$/.test(name));
    if (core) (await import(core)).changeLocale(language === "zh" ? "zh-CN" : language);
    build();
    return language;
  }

  // Called when the page has loaded.
  function greet() {
    if (localStorage.getItem(LANGUAGE)) return speak(language);
    document.documentElement.lang = language;
    build();
    return language;
  }

  // The original text of a message, to copy and edit: undoes what `bubbles` in view.py does to it.
  const original = (text) => text.replace(/\n\n<small>[^\n]*<\/small>$/, "").replaceAll(lessThan, "<");

  // Corrects Gradio's markup for keyboards and screen readers, and the text of a message that is edited.
  function repair() {
    document.querySelectorAll("#conversation textarea").forEach((node) => {
      if (original(node.value) === node.value) return;
      node.value = original(node.value);
      node.dispatchEvent(new Event("input"));
    });
    document.querySelectorAll("#conversation .examples[role=list]").forEach((node) => node.setAttribute("role", "group"));
    document.querySelectorAll("#conversation pre:not([tabindex])").forEach((node) => node.setAttribute("tabindex", "0"));
  }
  new MutationObserver(repair).observe(document.documentElement, { childList: true, subtree: true });

  if (navigator.clipboard) {
    const write = navigator.clipboard.writeText.bind(navigator.clipboard);
    navigator.clipboard.writeText = (text) => write(original(text));
  }

  // The storage: an entry for each conversation, {id, name, updated, messages: [{role, content, figures}]}.
  const read = (key) => {
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch {
      return null;
    }
  };
  const stored = (id) => read(PREFIX + id);
  const all = () =>
    Object.keys(localStorage)
      .filter((key) => key.startsWith(PREFIX))
      .map(read)
      .filter(isConversation)
      .sort((one, other) => other.updated - one.updated);

  const isMessage = (message) =>
    message && ["user", "assistant"].includes(message.role) && typeof message.content === "string";
  const isConversation = (it) =>
    it && typeof it.id === "string" && Array.isArray(it.messages) && it.messages.length > 0 && it.messages.every(isMessage);

  function put(conversation) {
    try {
      localStorage.setItem(PREFIX + conversation.id, JSON.stringify(conversation));
    } catch {
      say("storage_full");
    }
  }

  const removed = new Set(); // an answer may still arrive for one of them

  function save({ id, messages }) {
    if (removed.has(id)) return;
    sessionStorage.setItem(CURRENT, id);
    const before = stored(id);
    if (messages.length === 0) localStorage.removeItem(PREFIX + id);
    else if (JSON.stringify(before?.messages) !== JSON.stringify(messages))
      put({ id, name: before?.name ?? "", updated: Date.now(), messages });
    draw();
  }

  const nameOf = (conversation) => conversation.name || conversation.messages[0].content.trim().slice(0, 80);

  // The list.
  let element, trigger, search, list, status;
  let renamed = null;

  function text(key, values = {}) {
    const singular = values.count === 1 ? texts[language][`${key}_one`] : undefined;
    return Object.entries(values).reduce((line, [name, value]) => line.replace(`{${name}}`, value), singular ?? texts[language][key]);
  }
  const say = (key, values) => {
    if (status) status.textContent = text(key, values);
  };

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes))
      name.startsWith("on") ? node.addEventListener(name.slice(2), value) : node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  const icon = (path) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    svg.innerHTML = `<path d="${path}"/>`;
    return svg;
  };
  const PLUS = "M12 5v14M5 12h14";
  const PEN = "M4 20h4L19 9l-4-4L4 16z";
  const BIN = "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13";

  function attach(root, props, fire, watch) {
    [element, trigger] = [root.querySelector(".library"), fire];
    build();
    watch("value", () => props.value && save(props.value));
    window.addEventListener("storage", draw); // another tab of this page
    const current = stored(sessionStorage.getItem(CURRENT));
    if (isConversation(current)) open(current);
  }

  function build() {
    const panels = { "library-panel": "conversations", "settings-panel": "settings" };
    for (const [id, key] of Object.entries(panels))
      document.querySelector(`#${id} .toggle-button`)?.setAttribute("aria-label", text(key));
    search = make("input", { type: "search", placeholder: text("search"), "aria-label": text("search"), oninput: draw });
    list = make("ul", { "aria-label": text("conversations") });
    status = make("p", { role: "status", class: "status" });
    const file = make("input", { type: "file", accept: ".json,.md", hidden: "", "aria-label": text("import") });
    file.addEventListener("change", () => file.files.length && file.files[0].text().then(load).then(() => (file.value = "")));
    element.replaceChildren(
      make("h2", {}, text("conversations")),
      make("button", { class: "new", onclick: () => open(null) }, icon(PLUS), text("new_conversation")),
      search,
      list,
      make(
        "div",
        { class: "transfer" },
        make("button", { onclick: exportJSON }, text("export_json")),
        make("button", { onclick: exportMarkdown }, text("export_markdown")),
        make("button", { onclick: () => file.click() }, text("import")),
        file,
      ),
      status,
    );
    draw();
  }

  function draw() {
    if (renamed) return;
    const sought = search.value.trim().toLowerCase();
    const conversations = all();
    const found = conversations.filter((it) =>
      [nameOf(it), ...it.messages.map((message) => message.content)].some((line) => line.toLowerCase().includes(sought)),
    );
    list.replaceChildren(...found.map(item));
    if (found.length === 0)
      list.append(make("li", { class: "empty" }, text(conversations.length ? "nothing_found" : "no_conversations")));
  }

  function item(conversation) {
    const name = nameOf(conversation);
    const isCurrent = conversation.id === sessionStorage.getItem(CURRENT);
    return make(
      "li",
      isCurrent ? { class: "current" } : {},
      make("button", { class: "open", title: name, "aria-current": isCurrent, onclick: () => open(conversation) }, name),
      make("button", { class: "icon", "aria-label": `${text("rename")}: ${name}`, onclick: (event) => rename(event, conversation) }, icon(PEN)),
      make("button", { class: "icon", "aria-label": `${text("delete")}: ${name}`, onclick: () => remove(conversation) }, icon(BIN)),
    );
  }

  function open(conversation) {
    status.textContent = "";
    trigger("select", { id: conversation?.id ?? null, messages: conversation?.messages ?? [], language });
  }

  function rename(event, conversation) {
    const input = make("input", { type: "text", value: nameOf(conversation), "aria-label": text("name") });
    const finish = (keep) => {
      if (renamed !== conversation.id) return;
      renamed = null;
      const latest = stored(conversation.id); // an answer may have arrived in the meantime
      if (keep && latest) put({ ...latest, name: input.value.trim() });
      draw();
    };
    input.addEventListener("keydown", ({ key }) => {
      if (key === "Enter" || key === "Escape") finish(key === "Enter");
    });
    input.addEventListener("blur", () => finish(true));
    renamed = conversation.id;
    event.currentTarget.parentElement.replaceChildren(input);
    input.select();
  }

  function remove(conversation) {
    if (!confirm(`${text("confirm_delete")}\n${nameOf(conversation)}`)) return;
    removed.add(conversation.id);
    localStorage.removeItem(PREFIX + conversation.id);
    if (conversation.id === sessionStorage.getItem(CURRENT)) open(null);
    draw();
  }

  // Files. In Markdown, each message has a heading; a line of a message that looks like one is escaped with a backslash.
  const HEADINGS = { user: "## User", assistant: "## Assistant" };

  function download(name, type, content) {
    const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  function exportJSON() {
    download("conversations.json", "application/json", JSON.stringify({ conversations: all() }, null, 2));
  }

  function exportMarkdown() {
    const conversation = stored(sessionStorage.getItem(CURRENT));
    if (!conversation) return say("no_conversations");
    const escaped = (content) => content.replace(/^(\\*## (User|Assistant))$/gm, "\\$1");
    const parts = conversation.messages.map(({ role, content }) => `${HEADINGS[role]}\n\n${escaped(content)}\n`);
    const name = nameOf(conversation).replace(/\s+/g, " ");
    download("conversation.md", "text/markdown", [`# ${name}\n`, ...parts].join("\n"));
  }

  function fromMarkdown(content) {
    const [head, ...parts] = content.replace(/\r\n/g, "\n").split(/^## (User|Assistant)$/m);
    const messages = [];
    for (let i = 0; i < parts.length; i += 2)
      messages.push({
        role: parts[i].toLowerCase(),
        content: parts[i + 1].trim().replace(/^\\(\\*## (User|Assistant))$/gm, "$1"),
      });
    return [{ id: "-", name: head.replace(/^# /, "").trim(), messages }];
  }

  function fromJSON(content) {
    try {
      const { conversations } = JSON.parse(content);
      return Array.isArray(conversations) ? conversations : [];
    } catch {
      return [];
    }
  }

  // `crypto.randomUUID` exists only with https and on localhost.
  const newId = () => Date.now().toString(36) + Math.random().toString(36).slice(2);

  function load(content) {
    const conversations = (content.trimStart().startsWith("{") ? fromJSON(content) : fromMarkdown(content)).filter(isConversation);
    if (conversations.length === 0) return say("bad_import");
    const now = Date.now();
    conversations.forEach(({ name, messages, updated }) =>
      put({ id: newId(), name: typeof name === "string" ? name : "", updated: Number(updated) || now, messages }),
    );
    draw();
    say("imported", { count: conversations.length });
  }

  return { attach, greet, speak };
}

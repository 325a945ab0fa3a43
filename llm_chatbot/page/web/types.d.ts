// The shapes of what the page stores, sends and gets. Times are milliseconds since 1970.

/** Of an element. `onclick` and such are listeners. null, undefined and false leave an attribute out. */
export interface Attributes {
  // biome-ignore lint/suspicious/noExplicitAny: a listener knows its event
  [listener: `on${string}`]: ((event: any) => unknown) | undefined;
  [name: string]: unknown;
}

/** Of an element; null, undefined and false are none. */
export type Child = Node | string | number | boolean | null | undefined;

/** Name, precision and device of a model. */
export type ModelKey = [name: string, precision: string, device: string];

/** The names of a server and of its tool. */
export type ToolKey = [server: string, tool: string];

/** A call that an answer asks for: see page/calls.py. */
export interface ToolCall {
  id: string;
  /** What the model calls the tool. */
  name: string;
  server: string;
  tool: string;
  /** JSON text, as it is shown and sent. */
  arguments: string;
  /** It is still being written. */
  begun?: boolean;
}

/** The plural forms of each text by its key: see llm_chatbot/texts. */
export type Texts = Record<string, Partial<Record<Intl.LDMLPluralRule, string>>>;

/** What is filled into a text of the page: see `text` in common/dom.js. */
export type TextValues = Record<string, unknown>;

/** An error as the page says it: the key of a text with its values, or a sentence that has no key. */
export interface PageError {
  key?: string;
  values?: TextValues;
  text?: string;
}

/** Of a conversation or a preset: only what differs from the defaults. */
export interface Settings {
  system_prompt?: string;
  thinking?: boolean;
  effort?: string;
  /** At most so many tokens of reasoning. */
  thinking_budget?: number;
  /** "Look inside": the answer comes with `tokens`. */
  probabilities?: boolean;
  max_new_tokens?: number;
  /** Ids of the collections whose passages answers are given, with spaces between. */
  collections?: string;
  /** The tools that answers may ask for, as the JSON text of a list: see tools/chosen.js. */
  tools?: string;
  /** The id of the preset that the others came from. */
  preset?: string;
  /** temperature and the other numbers that the server describes, see `NumberSetting`. */
  [name: string]: string | number | boolean | undefined;
}

export interface Conversation {
  id: string;
  /** Given by hand; empty: none was. */
  name: string;
  /** Written by the model. Without one, the list shows how the first question begins. */
  title?: string;
  created: number;
  updated?: number;
  pinned: boolean;
  /** The folder of the list that it is in; "" and none: in no folder. */
  folder?: string;
  archived?: boolean;
  /** Id of the last message of the branch that was shown last; null: not known. */
  leaf: string | null;
  settings: Settings;
  /** null: the server's own. */
  model: ModelKey | null;
  /** The tools that are called in it without asking. It is neither exported nor imported: nobody else allows a call. */
  allowed?: ToolKey[];
  /** When it was deleted, which can be undone for a while. */
  removed?: number;
  /** It is kept in this tab's memory alone, and gone with it. */
  temporary?: boolean;
  /** Not in the store yet. */
  isNew?: boolean;
}

/** As it is exported and imported. */
export type WholeConversation = Conversation & { messages: Message[] };

/**
 * "tool": a call that was decided on, with its result as the content. A "summary" stands for the messages from the
 * first one to its parent; one without content was deleted.
 */
export type Role = "user" | "assistant" | "tool" | "summary";

/**
 * Messages are only ever added. An answer's content grows until it has a `finish_reason`; from then on it is fixed. So
 * what several tabs write never conflicts: their messages have ids of their own.
 */
export interface Message {
  id: string;
  conversation: string;
  /** Id of the message before it; null: a first one. Siblings are versions of each other. */
  parent: string | null;
  role: Role;
  content: string;
  created: number;
  /**
   * "stop", "length", "cancelled", "stopped", "interrupted" or "error"; of an answer that asks for calls "tool_calls"; of
   * a call "failed" where its tool says so, and "refused". An answer or a call without one is still expected from the
   * server, under the message's own id.
   */
  finish_reason?: string;
  figures?: Figures;
  /** What the model that answered is called. */
  model?: string;
  /** Of a question. */
  attachments?: Attachment[];
  tokens?: Token[];
  /** Of the conversation's collections, which the answer was given; empty: none fitted. */
  passages?: QuotedPassage[];
  /** Those that the answer asks for. */
  calls?: ToolCall[];
  /** Of a message with a result: the call. */
  call?: ToolCall;
  /** So many characters of the result were left out. */
  cut?: number;
  /** Why tools were not offered that were chosen. */
  not_offered?: PageError[];
  /** The tool that the answer has to call. */
  forced?: ToolKey;
  /** The text that the answer had to continue. */
  begun?: string;
  /** It was asked for with another model or other settings than its conversation has. */
  asked?: Partial<Pick<Conversation, "settings" | "model">>;
  /** Id of the answer that this one is a longer version of. */
  continues?: string;
  /** An answer that a person changed. */
  edited?: boolean;
  error?: PageError;
  /** So many of the oldest turns did not fit into the context. */
  left_out?: number;
  /** Instead of so many of the first messages, the model read a summary of them. */
  summarised?: number;
  /** 1 while the answer is expected: an index of the store finds it by this. */
  open?: 1;
  /** It is not in the store, for this reason. Never stored itself. */
  unsaved?: StorageFailure;
}

/** Why something could not be saved: the key of a text. */
export type StorageFailure = "storage_full" | "storage_failed";

/** A file whose text goes in with a question, or a picture. */
export interface Attachment {
  name: string;
  /** Of a picture "". */
  text: string;
  /** Estimated. */
  tokens?: number;
  /** Of the whole file, where only parts of it are in `text`. */
  of?: number;
  /** A data URL with the bytes that the model gets. */
  picture?: string;
  /** Width and height of the picture in pixels. */
  size?: [number, number];
  /** Those of the file, where it was scaled down. */
  from?: [number, number];
}

/** A file of a message that is being written. */
export interface DraftFile extends Attachment {
  /** The text of the whole file, where only parts of it are chosen. */
  whole?: string;
  chosen?: string[];
}

/** The text, its probability, and the likeliest texts at this place with theirs. */
export type Token = [text: string, probability: number, top: [text: string, probability: number][]];

/** Of an answer; times are seconds. */
export interface Figures {
  prompt_tokens?: number;
  cached_tokens?: number;
  completion_tokens?: number;
  tokens_per_second?: number;
  time_to_first_token?: number;
  context_length?: number | null;
  /** In the queue and for the model. */
  waited?: number;
  /** By a draft model, if there is one. */
  drafted_tokens?: number;
  accepted_tokens?: number;
  draft_gain?: number;
}

/** The server's part of an answer that is expected. Without any of it, the server doesn't have the question yet. */
export interface AnswerState {
  phase?: "waiting" | "loading" | "reading" | "writing" | "calling" | "ended" | "no_room";
  version?: number;
  /** In the queue, from 1. */
  place?: number;
  /** Tokens of the prompt, and the seconds left at the speed so far. */
  reading?: { read: number; total: number; seconds: number | null };
  /** `text` takes the place of all from this character on. */
  from?: number;
  text?: string;
  /** `tokens` take the place of all from this index on. */
  tokens_from?: number;
  tokens?: Token[];
  finish_reason?: string | null;
  figures?: Figures;
  model?: string;
  left_out?: number;
  summarised?: number;
  passages?: QuotedPassage[];
  calls?: ToolCall[];
  cut?: number;
  not_offered?: PageError[];
  error?: PageError;
}

/** How an answer or a call ended. */
export type AnswerEnd = Pick<
  Message,
  | "finish_reason"
  | "figures"
  | "model"
  | "left_out"
  | "summarised"
  | "error"
  | "tokens"
  | "passages"
  | "calls"
  | "cut"
  | "not_offered"
  | "unsaved"
>;

/** An answer from the moment that it is expected until it has ended and been saved. */
export interface LiveAnswer {
  message: Message;
  content: string;
  tokens: Token[];
  state: AnswerState;
  /** Of `state`; -1: none yet. */
  version: number;
  /** The server has the question. */
  isAsked: boolean;
  /** Not to be asked before this time. */
  askAt: number;
  /** So many times, the question couldn't be read from the store. */
  unread: number;
  savedAt: number;
  ended: (AnswerEnd & { content: string }) | null;
}

/** A system prompt and settings under a name. */
export interface Preset {
  id: string;
  name: string;
  settings: Settings;
  updated: number;
}

/** A text under a name, which `/name` in the box brings. */
export interface Prompt {
  id: string;
  name: string;
  text: string;
  updated: number;
}

/** The types of the settings that a preset may have, by their names. */
export type KnownSettings = Record<string, "string" | "number" | "boolean">;

/** What the store tells: `conversation` and `message` are ids, `value` is the name of a stored value. */
export interface Change {
  conversation?: string;
  message?: string;
  /** The message is an answer that has not ended. */
  grows?: boolean;
  value?: string;
  /** Something could not be saved. */
  error?: StorageFailure;
}

/** A setting of the conversation as the server describes it; `maximum` null: none. */
export interface NumberSetting {
  name: string;
  default: number | "";
  minimum: number;
  maximum: number | null;
  step: number;
}

/** A model that the server has loaded. */
export interface LoadedModel {
  key: ModelKey;
  title: string;
  context_length: number | null;
  system_prompt: string;
  language: string;
  /** What it is good for, by language; surely in English. */
  description: Record<string, string>;
  /** Another server answers. */
  remote: boolean;
  /** Its template can switch reasoning on and off. */
  thinking: boolean;
  /** Its template knows how much effort goes into reasoning. */
  effort: boolean;
  /** Its template has tools; others are told of them in words. */
  tools: boolean;
  /** About how many tokens a picture takes; 0: it reads none. */
  picture_tokens: number;
}

/** A model that can be loaded: see page/model_choices.py. */
export interface ModelChoice {
  title: string;
  name: string;
  precision: string;
  /** The precision for people to read. */
  label: string;
  /** Of the weights, in bytes. */
  size: number | null;
  context: number | null;
  tokens_per_second: number | null;
  /** It is in memory. */
  loaded: boolean;
  /** How long loading it takes, as far as it is known. */
  load_seconds: number | null;
  /** It reads pictures, on the CPU. */
  pictures: boolean;
}

/** What /page/state says. */
export interface ServerState {
  /** The one that answers where a conversation has none. */
  model: LoadedModel;
  /** Those that can be loaded. */
  models: ModelChoice[];
  devices: string[];
  settings: NumberSetting[];
  /** Their names by their codes. */
  languages: Record<string, string>;
  /** Questions to begin with, by language. */
  examples: Record<string, string[]>;
  /** "Get a model" is there. */
  get_models: boolean;
  /** There are collections. */
  knowledge: boolean;
  /** There are tools, which whoever asks may use. */
  tools: boolean;
  login: boolean;
  /** The server's address that the request arrived at. */
  arrived: string;
}

/** A model that can be converted: see convert/facts/model_facts.py. Sizes are bytes. */
export interface ModelFacts {
  name: string;
  /** "catalogue", "gguf", "hub", "folder", or "converted" where only the result is known. */
  source: string;
  /** By language; surely in English. */
  descriptions?: Record<string, string>;
  license?: string;
  gated?: boolean;
  parameters?: number | null;
  /** Tokens that it was trained for. */
  context?: number | null;
  /** Of the checkpoint, where it isn't there yet. */
  download: number;
  /** The 4-bit folder that OpenVINO publishes of it. */
  openvino_id?: string | null;
  variants: Record<string, ModelVariant>;
  /** The precision that it is converted to where nobody names one. */
  precision: string;
  /** The figures of the variants that were measured on this machine, by precision. */
  measured: Record<string, VariantFigures>;
  error?: PageError;
}

export interface ModelVariant {
  /** The precision for people to read. */
  label: string;
  converted: boolean;
  weights: number;
  /** What its conversion needs. */
  disk: number;
  memory: number;
  /** The memory of a conversation by the length of its context in tokens. */
  chat: Record<number, number>;
}

export interface VariantFigures {
  size_mb: number;
  bits_per_weight: number;
  /** Kullback-Leibler divergence from FP16. */
  kl: number;
  decode_tps: number;
}

export interface FreeSpace {
  disk: number;
  memory: number;
}

/** How far a conversion or a measurement is: see page/get_model.py. */
export interface ConversionState {
  name: string;
  /** null: the model's variants are measured. */
  precision: string | null;
  phase: "running" | "done" | "failed" | "cancelled";
  /** In the converter's words. */
  step: string;
  done: number;
  total: number | null;
  unit: string;
  error?: PageError | null;
}

/** A passage that an answer was given: see knowledge/prompt.py. */
export interface QuotedPassage {
  number: number;
  collection: string;
  document: number;
  name: string;
  /** "page", "slide" or "sheet" with its number or name as the label; "": the file has lines. */
  kind: "" | "page" | "slide" | "sheet";
  label: string;
  /** Those above it, from the highest. */
  heading: string;
  first_line: number;
  last_line: number;
  start: number;
  end: number;
  text: string;
}

/** A collection: see page/knowledge.py. */
export interface Collection {
  id: string;
  name: string;
  /** "": it is searched by words alone. */
  encoder: string;
  documents: number;
  passages: number;
  /** Of its files that could not be read. */
  errors: PageError[];
  update: { running: boolean; done: number; total: number; name: string; error: PageError | null } | null;
}

/** What the requests about collections answer. */
export interface KnowledgeState {
  collections: Collection[];
  /** Paths of the server's machine may be typed. */
  folders: boolean;
  result?: string | null;
}

/** A server of tools: see page/tools.py. */
export interface ToolServer {
  name: string;
  state: "starting" | "running" | "failed";
  tools: { name: string; description: string }[];
  error: PageError | null;
}

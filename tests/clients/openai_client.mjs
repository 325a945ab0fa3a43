// The openai client for JavaScript.
import OpenAI from "openai";
import { ENCODER, FUNCTION, matches, MESSAGES, MODEL, report, SCHEMA, URL } from "./checks.mjs";

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: "none", maxRetries: 0 });
const asked = { model: MODEL, messages: MESSAGES };

await report({
  chat: async () => (await client.chat.completions.create(asked)).choices[0].message.content.length > 0,
  stream: async () => {
    let count = 0;
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
      count += chunk.choices[0]?.delta.content ? 1 : 0;
    return count > 1;
  },
  tools: async () => {
    const tools = [{ type: "function", function: FUNCTION }];
    const answer = await client.chat.completions.create({ ...asked, tools, tool_choice: "required" });
    return matches(JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments));
  },
  structured: async () => {
    const response_format = { type: "json_schema", json_schema: { name: "answer", schema: SCHEMA } };
    const answer = await client.chat.completions.create({ ...asked, response_format });
    return matches(JSON.parse(answer.choices[0].message.content));
  },
  responses: async () =>
    (await client.responses.create({ model: MODEL, input: MESSAGES[0].content })).output_text.length > 0,
  embeddings: async () => (await client.embeddings.create({ model: ENCODER, input: ["a", "b"] })).data.length === 2,
});

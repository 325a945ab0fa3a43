// The AI SDK with its provider for OpenAI-compatible servers.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, jsonSchema, streamText, tool } from "ai";
import { ENCODER, FUNCTION, matches, MESSAGES, MODEL, report, SCHEMA, URL } from "./checks.mjs";

const server = createOpenAICompatible({ name: "local", baseURL: `${URL}/v1`, supportsStructuredOutputs: true });
const asked = { model: server(MODEL), prompt: MESSAGES[0].content, maxRetries: 0 };

await report({
  chat: async () => (await generateText(asked)).text.length > 0,
  stream: async () => {
    let count = 0;
    for await (const part of streamText(asked).textStream) count += part.length ? 1 : 0;
    return count > 1;
  },
  tools: async () => {
    const weather = tool({ description: FUNCTION.description, inputSchema: jsonSchema(SCHEMA) });
    const answer = await generateText({ ...asked, tools: { weather }, toolChoice: "required" });
    return matches(answer.toolCalls[0].input);
  },
  structured: async () => matches((await generateObject({ ...asked, schema: jsonSchema(SCHEMA) })).object),
  embeddings: async () => {
    const model = server.textEmbeddingModel(ENCODER);
    return (await embedMany({ model, values: ["a", "b"], maxRetries: 0 })).embeddings.length === 2;
  },
});

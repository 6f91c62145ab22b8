// The official Node client: one call of a kind, and how it ended for whoever made it. The words are endings.py's.
import OpenAI from "openai";

const TOKENS = 16;
// llama.cpp's own field, carried because both sides speak one language: the answer goes on to its last token.
const WHOLE_LENGTH = { ignore_eos: true };

// Base and key come from OPENAI_BASE_URL and OPENAI_API_KEY, as the client reads them.
export const client = new OpenAI({ maxRetries: 0, timeout: 60_000 });

const messages = (prompt) => [{ role: "user", content: prompt }];

async function stream(model, prompt, progress) {
  const { data, response } = await client.chat.completions
    .create({ model, messages: messages(prompt), max_tokens: TOKENS, stream: true, ...WHOLE_LENGTH })
    .withResponse();
  progress.answered(response.headers);
  let finish = null;
  for await (const chunk of data) {
    for (const choice of chunk.choices) {
      finish = choice.finish_reason ?? finish;
      if (choice.delta.content) {
        progress.pieces += 1;
        if (progress.pieces === 1) progress.begun();
      }
    }
  }
  return finish !== null;
}

async function chat(model, prompt, progress) {
  const { data, response } = await client.chat.completions
    .create({ model, messages: messages(prompt), max_tokens: TOKENS, ...WHOLE_LENGTH })
    .withResponse();
  progress.answered(response.headers);
  return Boolean(data.choices[0].message.content && data.choices[0].finish_reason);
}

async function completion(model, prompt, progress) {
  const { data, response } = await client.completions
    .create({ model, prompt, max_tokens: TOKENS, ...WHOLE_LENGTH })
    .withResponse();
  progress.answered(response.headers);
  return Boolean(data.choices[0].text && data.choices[0].finish_reason);
}

async function embeddings(model, prompt, progress) {
  const { data, response } = await client.embeddings.create({ model, input: [prompt, "another"] }).withResponse();
  progress.answered(response.headers);
  return data.data.length === 2 && data.data.every((one) => one.embedding.length > 0);
}

const CALLS = { stream, chat, completion, embeddings };

// `begun` is called at the first content of a stream.
export async function call(kind, model, prompt, begun = () => {}) {
  const progress = { pieces: 0, backend: "", request_id: "", begun };
  progress.answered = (headers) => {
    progress.backend = headers.get("x-gateway-backend") ?? "";
    progress.request_id = headers.get("x-request-id");
  };
  const ending = { client: "node", kind, outcome: "whole", error: "" };
  try {
    ending.outcome = (await CALLS[kind](model, prompt, progress)) ? "whole" : "silent";
  } catch (error) {
    if (error.headers) progress.answered(error.headers);
    ending.outcome = progress.pieces ? "broken" : "failed";
    ending.error = String(error.code ?? error.error?.code ?? error.constructor.name);
  }
  const { pieces, backend, request_id } = progress;
  return { ...ending, pieces, backend, request_id };
}

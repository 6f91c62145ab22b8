// `ai`, which calls its tool by itself, with @ai-sdk/openai (both of its APIs) and @ai-sdk/anthropic.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { heard, main, MOST_TOKENS, result, script, THINKING_TOKENS } from "./asking.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false; // it prints them among what is told
const thoughtful = ["thinking", "thinking, stream", "thinking, tools", "thinking, tools, stream"];
const kinds = {
  chat: {
    family: "gpt-5-mini",
    model: ({ url, key, model }) => createOpenAI({ baseURL: `${url}/v1`, apiKey: key }).chat(model),
    leavesOut: Object.fromEntries(thoughtful.map((name) => [name, "@ai-sdk/openai reads no thoughts of chat completions"])),
  },
  responses: {
    family: "gpt-5-mini",
    model: ({ url, key, model }) => createOpenAI({ baseURL: `${url}/v1`, apiKey: key }).responses(model),
    options: { openai: { store: false } },
    thinking: { openai: { store: false, reasoningEffort: "medium", reasoningSummary: "auto", include: ["reasoning.encrypted_content"] } },
  },
  anthropic: {
    family: "claude-sonnet-4-5",
    model: ({ url, key, model }) => createAnthropic({ baseURL: `${url}/v1`, apiKey: key })(model),
    thinking: { anthropic: { thinking: { type: "enabled", budgetTokens: THINKING_TOKENS } } },
  },
};

const weather = tool({
  description: script.tool.description,
  inputSchema: jsonSchema(script.tool.schema),
  execute: async (given) => result(given),
});

function client({ model, options, thinking, ...kind }) {
  function talk(wish) {
    const messages = [];
    return {
      async say(content) {
        messages.push({ role: "user", content });
        const asked = {
          model: model(wish),
          system: script.system,
          messages,
          maxOutputTokens: MOST_TOKENS,
          maxRetries: 0,
          stopWhen: stepCountIs(4),
          providerOptions: wish.thinking ? thinking : options,
          ...(wish.tools && { tools: { [script.tool.name]: weather } }),
        };
        const came = heard();
        let done;
        if (wish.stream) {
          let broken;
          done = streamText({ ...asked, onError: ({ error }) => (broken = error) });
          for await (const part of done.fullStream) came.pieces += part.type === "text-delta";
          if (broken) throw broken;
        } else {
          done = await generateText(asked);
        }
        const steps = await done.steps;
        messages.push(...(await done.response).messages);
        came.text = await done.text;
        came.thought = steps.map((step) => step.reasoningText ?? "").join("");
        came.calls = steps.flatMap((step) => step.toolCalls).map((call) => ({ id: call.toolCallId, name: call.toolName, arguments: call.input }));
        came.finish = await done.finishReason;
        const used = await done.usage;
        came.used = [used.inputTokens, used.outputTokens];
        return came;
      },
    };
  }
  return {
    ...kind,
    ends: ["stop", "tool-calls"],
    refusals: { 400: APICallError, 401: APICallError, 404: APICallError, 429: APICallError },
    refusal: (error) => [error.statusCode, error.message],
    talk,
    round: (wish, ask) => talk(wish).say(ask),
  };
}

await main(Object.fromEntries(Object.entries(kinds).map(([name, kind]) => [name, client(kind)])));

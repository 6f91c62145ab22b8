// `openai`: chat completions, and responses without anything stored.
import OpenAI from "openai";
import { heard, main, script, TIMEOUT_MS } from "./asking.mjs";

const { name, description, schema: parameters } = script.tool;
const client = ({ url, key }) => new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0, timeout: TIMEOUT_MS });
const errors = {
  refusals: {
    400: OpenAI.BadRequestError,
    401: OpenAI.AuthenticationError,
    404: OpenAI.NotFoundError,
    429: OpenAI.RateLimitError,
  },
  refusal: (error) => [error.status, error.message],
};

const chat = {
  ...errors,
  family: "gpt-5-mini",
  ends: ["stop", "tool_calls"],
  talk(wish) {
    const openai = client(wish);
    const messages = [{ role: "system", content: script.system }];
    async function ask(...more) {
      messages.push(...more);
      const asked = { model: wish.model, messages };
      if (wish.tools) asked.tools = [{ type: "function", function: { name, description, parameters } }];
      if (wish.thinking) asked.reasoning_effort = "medium";
      const came = heard();
      let whole;
      if (wish.stream) {
        // The client's own way to read a stream, which throws where the stream is not whole.
        const stream = openai.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
        for await (const chunk of stream) {
          for (const { delta } of chunk.choices) {
            came.pieces += Boolean(delta.content || delta.tool_calls);
            came.thought += delta.reasoning_content ?? "";
          }
        }
        whole = await stream.finalChatCompletion();
      } else {
        whole = await openai.chat.completions.create(asked);
      }
      const [{ message, finish_reason: finish }] = whole.choices;
      messages.push(message);
      came.text = message.content ?? "";
      came.thought ||= message.reasoning_content ?? "";
      came.calls = (message.tool_calls ?? []).map((call) => ({
        id: call.id,
        name: call.function.name,
        arguments: JSON.parse(call.function.arguments),
      }));
      came.finish = finish;
      came.used = [whole.usage?.prompt_tokens, whole.usage?.completion_tokens];
      return came;
    }
    return {
      say: (content) => ask({ role: "user", content }),
      give: (results) => ask(...results.map(([call, content]) => ({ role: "tool", tool_call_id: call.id, content }))),
    };
  },
};

const responses = {
  ...errors,
  family: "gpt-5-mini",
  ends: ["completed", "completed"],
  talk(wish) {
    const openai = client(wish);
    const input = [];
    async function ask(...more) {
      input.push(...more);
      const asked = { model: wish.model, input, instructions: script.system, store: false };
      if (wish.tools) asked.tools = [{ type: "function", name, description, parameters, strict: false }];
      if (wish.thinking) Object.assign(asked, { reasoning: { effort: "medium", summary: "auto" }, include: ["reasoning.encrypted_content"] });
      const came = heard();
      let whole;
      if (wish.stream) {
        const stream = openai.responses.stream(asked);
        for await (const event of stream) came.pieces += event.type === "response.output_text.delta";
        whole = await stream.finalResponse();
      } else {
        whole = await openai.responses.create(asked);
      }
      for (const item of whole.output) {
        // The stream's helper adds what it parsed.
        const { parsed_arguments: _, ...given } = item;
        input.push(given);
        if (item.type === "message") came.text += item.content.map((part) => part.text ?? "").join("");
        if (item.type === "reasoning") came.thought += item.summary.map((part) => part.text).join("");
        if (item.type === "function_call") came.calls.push({ id: item.call_id, name: item.name, arguments: JSON.parse(item.arguments) });
      }
      came.finish = whole.status;
      came.used = [whole.usage?.input_tokens, whole.usage?.output_tokens];
      return came;
    }
    return {
      say: (content) => ask({ role: "user", content }),
      give: (results) => ask(...results.map(([call, output]) => ({ type: "function_call_output", call_id: call.id, output }))),
    };
  },
};

await main({ chat, responses });

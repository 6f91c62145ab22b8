// `@anthropic-ai/sdk`: messages.
import Anthropic from "@anthropic-ai/sdk";
import { heard, main, MOST_TOKENS, script, THINKING_TOKENS, TIMEOUT_MS } from "./asking.mjs";

const { name, description, schema: input_schema } = script.tool;

const messages = {
  family: "claude-sonnet-4-5",
  ends: ["end_turn", "tool_use"],
  refusals: {
    400: Anthropic.BadRequestError,
    401: Anthropic.AuthenticationError,
    404: Anthropic.NotFoundError,
    429: Anthropic.RateLimitError,
  },
  refusal: (error) => [error.status, error.message],
  talk(wish) {
    const anthropic = new Anthropic({ baseURL: wish.url, apiKey: wish.key, maxRetries: 0, timeout: TIMEOUT_MS });
    const said = [];
    async function ask(content) {
      said.push({ role: "user", content });
      const asked = { model: wish.model, max_tokens: MOST_TOKENS, system: script.system, messages: said };
      if (wish.tools) asked.tools = [{ name, description, input_schema }];
      if (wish.thinking) asked.thinking = { type: "enabled", budget_tokens: THINKING_TOKENS };
      const came = heard();
      let whole;
      if (wish.stream) {
        const stream = anthropic.messages.stream(asked);
        for await (const event of stream) came.pieces += event.type === "content_block_delta";
        whole = await stream.finalMessage();
      } else {
        whole = await anthropic.messages.create(asked);
      }
      said.push({ role: "assistant", content: whole.content });
      for (const block of whole.content) {
        if (block.type === "text") came.text += block.text;
        if (block.type === "thinking") came.thought += block.thinking;
        if (block.type === "tool_use") came.calls.push({ id: block.id, name: block.name, arguments: block.input });
      }
      came.finish = whole.stop_reason;
      came.used = [whole.usage.input_tokens, whole.usage.output_tokens];
      return came;
    }
    return {
      say: ask,
      give: (results) => ask(results.map(([call, content]) => ({ type: "tool_result", tool_use_id: call.id, content }))),
    };
  },
};

await main({ messages });

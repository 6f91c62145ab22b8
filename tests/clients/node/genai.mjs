// `@google/genai`: generateContent.
import { ApiError, GoogleGenAI } from "@google/genai";
import { heard, main, script, TIMEOUT_MS } from "./asking.mjs";

const { name, description, schema: parametersJsonSchema } = script.tool;

const generate = {
  family: "gemini-2.5-flash",
  ends: ["STOP", "STOP"],
  refusals: { 400: ApiError, 401: ApiError, 404: ApiError, 429: ApiError },
  refusal: (error) => [error.status, error.message],
  talk(wish) {
    const google = new GoogleGenAI({ apiKey: wish.key, httpOptions: { baseUrl: wish.url, timeout: TIMEOUT_MS } });
    const contents = [];
    async function ask(...parts) {
      contents.push({ role: "user", parts });
      const config = { systemInstruction: script.system };
      if (wish.tools) config.tools = [{ functionDeclarations: [{ name, description, parametersJsonSchema }] }];
      if (wish.thinking) config.thinkingConfig = { includeThoughts: true };
      const asked = { model: wish.model, contents, config };
      const came = heard();
      const chunks = [];
      if (wish.stream) {
        for await (const chunk of await google.models.generateContentStream(asked)) chunks.push(chunk);
        came.pieces = chunks.length;
      } else {
        chunks.push(await google.models.generateContent(asked));
      }
      const told = chunks.flatMap((chunk) => chunk.candidates?.[0]?.content?.parts ?? []);
      contents.push({ role: "model", parts: told });
      for (const part of told) {
        if (part.functionCall) {
          const { id, name: called, args } = part.functionCall;
          came.calls.push({ id: id ?? `unnamed ${came.calls.length}`, own: id, name: called, arguments: args });
        } else if (part.thought) {
          came.thought += part.text ?? "";
        } else {
          came.text += part.text ?? "";
        }
      }
      const last = chunks.at(-1);
      came.finish = last.candidates?.[0]?.finishReason;
      came.used = [last.usageMetadata?.promptTokenCount, last.usageMetadata?.candidatesTokenCount];
      return came;
    }
    return {
      say: (text) => ask({ text }),
      give: (results) =>
        ask(...results.map(([call, output]) => ({ functionResponse: { id: call.own, name: call.name, response: { output } } }))),
    };
  },
};

await main({ generate });

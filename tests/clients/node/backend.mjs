// The places behind the gateway: aimock, which speaks every provider's language, answering after script.json.
// Prints "listening on PORT" and serves until its standard input ends.
import { readFileSync } from "node:fs";
import { LLMock } from "@copilotkit/aimock";

const script = JSON.parse(readFileSync(new URL("../script.json", import.meta.url)));
const { input, output } = script.usage;
// Each language reads the names it knows.
const usage = {
  prompt_tokens: input,
  completion_tokens: output,
  input_tokens: input,
  output_tokens: output,
  promptTokenCount: input,
  candidatesTokenCount: output,
};
// Strict: a model that can't think has no thoughts, and a tool's result without the signed thought before it is a 400.
const mock = new LLMock({ host: "127.0.0.1", port: 0, chunkSize: 7, strict: true, journalMaxEntries: 100 });

const text = (content) => (typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join(""));
// JSON with its letters as they are, whichever way it was written.
const plain = (words) => {
  try {
    return JSON.stringify(JSON.parse(words));
  } catch {
    return words;
  }
};
const asked = (request) => text(request.messages.findLast((one) => one.role === "user")?.content);
const asks = (words) => ({ predicate: (request) => request._endpointType !== "embedding" && asked(request).includes(words) });
const turn = (request) => request.messages.slice(request.messages.findLastIndex((one) => one.role === "user") + 1);
const results = (request) => turn(request).filter((one) => one.role === "tool");
const says = (content, more) => ({ content, usage, ...more });

// Gemini ends an answer with calls like any other; aimock's own word for it is none of Gemini's.
const calls = (request, ...toolCalls) => ({ toolCalls, usage, ...(request.model.startsWith("gemini") && { finishReason: "STOP" }) });

// What is wrong with the first so many results that came back, "" where each call has its own.
function wrong(request, many = script.tool.calls.length) {
  const made = turn(request).flatMap((one) => one.tool_calls ?? []);
  const came = results(request);
  const expected = Object.entries(script.tool.results).slice(0, many);
  if (made.length !== expected.length) return `${made.length} calls in ${JSON.stringify(turn(request))}`;
  for (const [city, result] of expected) {
    const call = made.find((one) => JSON.parse(one.function.arguments).city === city);
    if (call?.function.name !== script.tool.name) return `no call for ${city} in ${JSON.stringify(made)}`;
    const own = came.filter((one) => plain(text(one.content)).includes(result));
    if (own.length !== 1) return `no result for ${city} in ${JSON.stringify(came)}`;
    if (made.some((one) => one.id === own[0].tool_call_id) && own[0].tool_call_id !== call.id)
      return `the result for ${city} is given to another call`;
  }
  return "";
}

function weather(request, more) {
  if (results(request).length > 0) return says(wrong(request) || script.tool.text);
  if (!request.tools?.some((tool) => tool.function.name === script.tool.name)) return says(`no tool in ${JSON.stringify(request.tools)}`);
  return { ...calls(request, ...script.tool.calls.map((call) => ({ name: script.tool.name, arguments: call }))), ...more };
}

// The same, one call after the other.
function steps(request) {
  const many = results(request).length;
  const trouble = many > 0 && wrong(request, many);
  if (trouble) return says(trouble);
  if (many === script.tool.calls.length) return says(script.tool.text);
  return calls(request, { name: script.tool.name, arguments: script.tool.calls[many] });
}

const thought = (words) => ({ reasoning: words, reasoningSignature: script.signature });
const system = (request) => request.messages.filter((one) => one.role === "system").map((one) => text(one.content)).join("\n");

mock.on(asks(script.plain.ask), (request) =>
  says(system(request).includes(script.system) ? script.plain.text : `no system prompt in ${JSON.stringify(request.messages)}`),
);
mock.on(asks(script.again.ask), (request) =>
  says(
    request.messages.some((one) => one.role === "assistant" && text(one.content).includes(script.thinking.text))
      ? script.again.text
      : `no earlier answer in ${JSON.stringify(request.messages)}`,
  ),
);
mock.on(asks(script.thoughtful_tools.ask), (request) => weather(request, thought(script.thoughtful_tools.thought)));
mock.on(asks(script.tool.ask), (request) => weather(request));
mock.on(asks(script.steps.ask), steps);
mock.on(asks(script.thinking.ask), says(script.thinking.text, thought(script.thinking.thought)));
for (const { ask, status, type, message } of Object.values(script.errors)) {
  mock.on(asks(ask), { error: { message: message ?? ask, type }, status });
}

// An agent's task, done with whichever of its tools can do it.
const task = new RegExp(script.agent.ask.replace("{words}", "([^']+)").replace("{file}", "(\\S+)"));
const whole = (request) => request.messages.filter((one) => one.role === "user").map((one) => text(one.content)).join("\n");
const tools = {
  Write: (words, file) => ({ file_path: file, content: words }),
  exec_command: (words, file) => ({ cmd: `printf '%s' '${words}' > '${file}'` }),
  shell_command: (words, file) => ({ command: `printf '%s' '${words}' > '${file}'` }),
  shell: (words, file) => ({ command: ["sh", "-c", `printf '%s' '${words}' > '${file}'`] }),
};
mock.on({ predicate: (request) => request._endpointType !== "embedding" && task.test(whole(request)) }, (request) => {
  const [, words, file] = task.exec(whole(request));
  if (request.messages.some((one) => one.role === "tool")) return says(script.agent.text);
  const known = request.tools?.map((tool) => tool.function.name).find((name) => name in tools);
  if (known === undefined) return says(`none of ${JSON.stringify(request.tools?.map((tool) => tool.function.name))} can write`);
  return calls(request, { name: known, arguments: tools[known](words, file) });
});
mock.on({ predicate: () => true }, (request) => says(`nobody expected ${JSON.stringify(request.messages).slice(0, 500)}`));

// Counting, which aimock has not.
const counts = (path, answer) =>
  mock.mount(path, {
    handleRequest: async (request, response, pathname) => {
      if (pathname !== "/") return false;
      request.resume();
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
      return true;
    },
  });
counts("/v1beta/models/gemini-2.5-flash:countTokens", { totalTokens: script.counted });
counts("/v1/messages/count_tokens", { input_tokens: script.counted });

await mock.start();
console.log(`listening on ${mock.port}`);
process.stdin.on("end", () => mock.stop().then(() => process.exit(0))).resume();

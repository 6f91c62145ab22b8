// One call of each kind, looked at closely: `one_of_each.mjs MODEL` prints what came back as one JSON line.
import { client } from "./calls.mjs";

const [model] = process.argv.slice(2);
const ask = { model, messages: [{ role: "user", content: "Say hello." }], max_tokens: 8, ignore_eos: true };
const seen = {};

seen.models = (await client.models.list()).data.map((one) => one.id);

const whole = await client.chat.completions.create(ask);
seen.chat = { finish: whole.choices[0].finish_reason, text: whole.choices[0].message.content, usage: whole.usage.completion_tokens };

const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
seen.stream = { text: "", finish: null, usage: null };
for await (const chunk of stream) {
  for (const choice of chunk.choices) {
    seen.stream.text += choice.delta.content ?? "";
    seen.stream.finish = choice.finish_reason ?? seen.stream.finish;
  }
  seen.stream.usage = chunk.usage?.completion_tokens ?? seen.stream.usage;
}

// The client's own way to read a stream, which throws where the stream is not whole.
const runner = client.chat.completions.stream(ask);
seen.runner = { finish: (await runner.finalChatCompletion()).choices[0].finish_reason };

const completion = await client.completions.create({ model, prompt: "Once upon", max_tokens: 8, ignore_eos: true });
seen.completion = { finish: completion.choices[0].finish_reason, text: completion.choices[0].text };

const embeddings = await client.embeddings.create({ model, input: ["hello", "world"] });
seen.embeddings = embeddings.data.map((one) => one.embedding.length);

try {
  await client.chat.completions.create({ ...ask, model: "nobody-serves-this" });
} catch (error) {
  seen.unknown = { name: error.constructor.name, status: error.status, code: error.code, param: error.param };
}

try {
  await client.withOptions({ apiKey: "sk-gw-not-a-key" }).chat.completions.create(ask);
} catch (error) {
  seen.denied = { name: error.constructor.name, status: error.status, code: error.code };
}

process.stdout.write(`${JSON.stringify(seen)}\n`);

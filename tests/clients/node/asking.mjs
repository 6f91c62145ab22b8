// What every Node client is asked, and what must come of it, by script.json; the same as python/asking.py.
//
//     node CLIENT.mjs KIND URL KEY PLACES
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

export const script = JSON.parse(readFileSync(new URL("../script.json", import.meta.url)));
export const MOST_TOKENS = 4096;
export const THINKING_TOKENS = 2048;
export const TIMEOUT_MS = 30_000;
const UNKNOWN = "nobody-serves-this";
const WRONG_KEY = "sk-gw-wrong-0123456789abcdef";
const FEWEST_PIECES = 3;
// What a place may lack, by the word in the names of its cases.
const WORDS = { streams: "stream", thoughts: "thinking" };

// What a client made of an answer; `used` are tokens in and out, `pieces` counts a stream's.
export const heard = () => ({ text: "", thought: "", calls: [], finish: "", used: null, pieces: 0 });

// What the tool says.
export const result = ({ city }) => script.tool.results[city];

function same(what, got, expected) {
  if (!isDeepStrictEqual(got, expected)) throw new Trouble(`${what}: ${JSON.stringify(got)} is not ${JSON.stringify(expected)}`);
}

class Trouble extends Error {}

// Ask, give the results, hear the answer. Whoever calls tools for its users has a `round` of its own.
async function round(client, wish, ask) {
  const talk = client.talk(wish);
  let came = await talk.say(ask);
  const { calls, thought } = came;
  while (came.calls.length > 0) {
    same("finish", came.finish, client.ends[1]);
    came = await talk.give(came.calls.map((call) => [call, result(call.arguments)]));
    if (came.calls !== calls) calls.push(...came.calls);
  }
  same("last finish", came.finish, client.ends[0]);
  return { calls, thought, text: came.text };
}

async function weather(client, wish, ask) {
  const done = await (client.round ?? ((...given) => round(client, ...given)))(wish, ask);
  same(
    "calls",
    done.calls.map((call) => [call.name, call.arguments]),
    script.tool.calls.map((one) => [script.tool.name, one]),
  );
  same("ids", new Set(done.calls.map((call) => call.id).filter(Boolean)).size, script.tool.calls.length);
  same("text", done.text, script.tool.text);
  return done;
}

// Everything that one client is asked at one place, by name.
function cases(client, url, key, place, first) {
  const wish = (more) => ({ url, key, model: `${client.family}-via-${place.language}`, ...more });

  async function answer(stream) {
    const came = await client.talk(wish({ stream })).say(script.plain.ask);
    same("text", came.text, script.plain.text);
    same("finish", came.finish, client.ends[0]);
    if (!("usage" in place.lacks)) same("usage", came.used, [script.usage.input, script.usage.output]);
    if (stream) same("in pieces", came.pieces >= FEWEST_PIECES, true);
  }

  async function thinking(stream) {
    const talk = client.talk(wish({ stream, thinking: true }));
    const came = await talk.say(script.thinking.ask);
    same("thought", came.thought, script.thinking.thought);
    same("text", came.text, script.thinking.text);
    same("again", (await talk.say(script.again.ask)).text, script.again.text);
  }

  async function thoughtful(stream) {
    const asked = script.thoughtful_tools;
    same("thought", (await weather(client, wish({ stream, tools: true, thinking: true }), asked.ask)).thought, asked.thought);
  }

  async function refused({ status, message = "", ask, ...more }) {
    let came;
    try {
      came = await client.talk(wish(more)).say(ask);
    } catch (error) {
      if (!(error instanceof client.refusals[status])) throw error;
      const [told, words] = client.refusal(error);
      same("status", told, status);
      if (!words.includes(message)) throw new Trouble(`${JSON.stringify(message)} is not in ${JSON.stringify(words)}`);
      return;
    }
    throw new Trouble(`answered: ${JSON.stringify(came)}`);
  }

  const { bad, busy } = script.errors;
  const all = {
    plain: () => answer(false),
    stream: () => answer(true),
    tools: () => weather(client, wish({ tools: true }), script.tool.ask),
    "tools, stream": () => weather(client, wish({ stream: true, tools: true }), script.tool.ask),
    steps: () => weather(client, wish({ tools: true }), script.steps.ask),
    "steps, stream": () => weather(client, wish({ stream: true, tools: true }), script.steps.ask),
    thinking: () => thinking(false),
    "thinking, stream": () => thinking(true),
    "thinking, tools": () => thoughtful(false),
    "thinking, tools, stream": () => thoughtful(true),
    bad: () => refused(bad),
    busy: () => refused(busy),
    "bad, stream": () => refused({ ...bad, stream: true }),
  };
  if (first) {
    all.unknown = () => refused({ status: 404, ask: script.plain.ask, model: UNKNOWN });
    all.denied = () => refused({ status: 401, ask: script.plain.ask, key: WRONG_KEY });
  }
  const lacks = Object.keys(place.lacks).map((feature) => WORDS[feature]);
  const left = Object.keys(client.leavesOut ?? {});
  return Object.entries(all).filter(([name]) => !left.includes(name) && !lacks.some((word) => word && name.includes(word)));
}

export async function main(clients) {
  const [kind, url, key, places] = process.argv.slice(2);
  process.stdout.write(`${JSON.stringify({ left_out: clients[kind].leavesOut ?? {} })}\n`);
  for (const [number, place] of JSON.parse(places).entries()) {
    for (const [name, run] of cases(clients[kind], url, key, place, number === 0)) {
      let trouble = "";
      try {
        await run();
      } catch (error) {
        trouble = error instanceof Trouble ? error.message : `${error?.name}: ${error?.message} ${error?.stack?.split("\n")[1]?.trim() ?? ""}`;
      }
      process.stdout.write(`${JSON.stringify({ place: place.language, case: name, trouble })}\n`);
    }
  }
}

// Calls without a pause, in lanes: `keep_on.mjs MODEL LANES KIND,KIND…`. A line for each question, each first content
// and each ending; stops when its standard input ends, after the calls that are under way.
import { call } from "./calls.mjs";

const [model, lanes, kinds] = process.argv.slice(2);
const turns = kinds.split(",");
let stopped = false;
let calls = 0;

const say = (event, fields = {}) => process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);

process.stdin.on("end", () => (stopped = true)).resume();

async function lane() {
  for (let turn = 0; !stopped; turn += 1) {
    const kind = turns[turn % turns.length];
    calls += 1;
    say("asked");
    say("ended", { ending: await call(kind, model, `${kind}: number ${calls}`, () => say("begun")) });
  }
}

await Promise.all(Array.from({ length: Number(lanes) }, lane));

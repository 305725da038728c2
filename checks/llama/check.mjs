// Loads an exported GGUF with llama.cpp (the prebuilt one of npm's node-llama-cpp) and compares it
// with what understory computes: `node check.mjs MODEL.gguf expected.json`.
//
// CHECK_MODULES names the folder with node_modules. Log-probabilities are compared, over the whole
// vocabulary at every position of the prompt, then the greedy continuation, token for token.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modelPath, expectedPath] = process.argv.slice(2);
const expected = JSON.parse(readFileSync(expectedPath, "utf8"));
const require = createRequire(join(process.env.CHECK_MODULES, "check.mjs"));
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")));

// llama.cpp multiplies in another order: a few hundred roundings of f32; its GELU is a table of
// halves, and for Falcon it takes the approximation by tanh.
const TOLERANCE = 1e-3;
const TOLERANCE_OF_GELU = 5e-3;
const tally = { passed: 0, failed: 0 };

// One thread: several spin while they wait, and on a busy machine they wait for long.
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: 1 });
const model = await llama.loadModel({ modelPath });
const cache = { experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" };
const context = await model.createContext({ contextSize: 512, threads: 1, flashAttention: false, ...cache });
const sequence = context.getSequence();

const ids = Array.from(model.tokenize(expected.prompt));
check("the prompt has the same tokens", same(ids, expected.ids), `${ids} / ${expected.ids}`);

const begins = model.tokens.shouldPrependBosToken ? [model.tokens.bos] : [];
check("a text begins the same", same(begins, expected.prefix), `${begins} / ${expected.prefix}`);

const generateNext = { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } };
const steps = await sequence.controlledEvaluate(expected.ids.map((id) => [id, { generateNext }]));
let apart = 0;
steps.forEach((step, at) => {
  const ours = logProbabilities(expected.logits[at]);
  check.counted = step.next.probabilities.size;
  for (const [id, probability] of step.next.probabilities) {
    apart = Math.max(apart, Math.abs(Math.log(probability) - ours[id]));
  }
});
const vocabulary = expected.logits[0].length;
check("it tells every token's probability", check.counted === vocabulary, `${check.counted} of ${vocabulary}`);
const gelu = /^(falcon|gemma)/.test(model.fileInfo.metadata.general.architecture);
const tolerance = gelu ? TOLERANCE_OF_GELU : TOLERANCE;
check(`log-probabilities within ${tolerance}`, apart <= tolerance, `apart by ${apart}`);
console.log(`largest difference of log-probabilities: ${apart.toExponential(2)}`);

await sequence.clearHistory();
const greedy = [];
for await (const id of sequence.evaluate(expected.ids, { temperature: 0 })) {
  greedy.push(id);
  if (greedy.length >= expected.greedy.length) break;
}
check("the greedy tokens are the same", same(greedy, expected.greedy), `${greedy} / ${expected.greedy}`);
check("and so is the text", model.detokenize(greedy) === expected.text, model.detokenize(greedy));

await llama.dispose();
console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exit(tally.failed ? 1 : 0);

function logProbabilities(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return logits.map((logit) => logit - most - Math.log(sum));
}

function same(a, b) {
  return a.length === b.length && a.every((x, i) => x === b[i]);
}

function check(name, holds, otherwise) {
  tally[holds ? "passed" : "failed"] += 1;
  console.log(holds ? `ok      ${name}` : `FAILED  ${name}: ${otherwise}`);
}

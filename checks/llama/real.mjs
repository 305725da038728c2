// Compares what understory and llama.cpp (the prebuilt one of npm's node-llama-cpp) say about a real
// text, for one GGUF: `node real.mjs MODEL.gguf TEXT EXAMPLES [TOKENS] [TOKENS_F32] [GREEDY]`.
//
// EXAMPLES is the folder of the model crate's built examples; CHECK_MODULES names the folder with
// node_modules. The ids come from llama.cpp, so that tokenizers play no part.
//
// Both programs make the inputs of quantized products integers of 8 bits. The least difference before
// that turns some of them over, so single tokens differ about as much as from inputs in f32. Two
// comparisons keep that apart from everything else:
// - With inputs in f32 on both sides (ours of the quantized file; llama.cpp's of the same weights
//   written as F32) only the order of additions differs, a few hundred roundings: close bounds.
// - With 8-bit inputs on both sides, each is a distance from the same f32 values. Ours must not be
//   farther away than llama.cpp is, and the two no farther apart than both distances together.
//
// Greedy texts must be the same, or part where the lead of the chosen logits is small beside the
// differences seen over the text: of 48 tokens one with a difference of several deviations is no
// wonder, and two logits differ, each in two programs.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modelPath, textPath, examples, count = "2048", countF32 = count, greedyTokens = "48"] = process.argv.slice(2);
const require = createRequire(join(process.env.CHECK_MODULES, "check.mjs"));
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")));

// Largest and mean difference and that of the logarithm of perplexity: a few hundred roundings of f32
// in a logit of some tens, and on the way to it. Where a model has GELU, llama.cpp looks it up in a
// table of f16, whose inputs and outputs have 11 bits.
const F32_APART = { largest: 2e-3, mean: 1e-4, shift: 5e-5 };
const F16_TABLE = { largest: 5e-2, mean: 3e-3, shift: 3e-4 };
// A sample of 2,000 tokens tells the mean distance to within some per cent.
const NOT_FARTHER = 1.15;
const LEAD = 6;
const PROMPTS = 4;
const PROMPT = 96;

const tally = { passed: 0, failed: 0 };
const folder = mkdtempSync(join(tmpdir(), "understory-real-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const wide = join(folder, "f32.gguf");
execFileSync(join(examples, "widen"), [modelPath, wide]);

const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: 1 });
const theirs = await theirsOf(modelPath, Number(count));
const theirsF32 = await theirsOf(wide, Number(countF32));
const { ids, prompts } = theirs;
const ours = oursOf(ids);
const oursF32 = oursOf(theirsF32.ids, "--f32");
const some = (values) => values.slice(0, theirsF32.logProbs.length);

const arithmetic = compare("f32 inputs, against llama.cpp on the same weights in F32", oursF32.logProbs, theirsF32.logProbs);
const bound = theirs.architecture.startsWith("gemma") ? F16_TABLE : F32_APART;
check(`f32 inputs: log-probabilities apart by at most ${bound.largest}, ${bound.mean} on average`,
  arithmetic.largest <= bound.largest && arithmetic.mean <= bound.mean);
check(`f32 inputs: perplexity agrees to within ${bound.shift} of it`, Math.abs(arithmetic.shift) <= bound.shift);
const rounding = compare("8-bit inputs, against llama.cpp's", ours.logProbs, theirs.logProbs);
const away = compare("  llama.cpp's 8-bit inputs, against its f32", some(theirs.logProbs), theirsF32.logProbs);
const oursAway = compare("  our 8-bit inputs, against our f32", some(ours.logProbs), oursF32.logProbs);
check("8-bit inputs: ours lose no more than llama.cpp's", oursAway.mean <= NOT_FARTHER * away.mean);
check("8-bit inputs: no farther apart than both roundings explain", rounding.mean <= oursAway.mean + away.mean);
check("8-bit inputs: perplexities agree within the rounding", Math.abs(rounding.shift) <= 5 * rounding.deviation / Math.sqrt(ids.length));
partings("f32 inputs", oursF32.texts, theirsF32.texts, LEAD * arithmetic.deviation);
partings("8-bit inputs", ours.texts, theirs.texts, LEAD * rounding.deviation);
await llama.dispose();
console.log(`${tally.passed} passed, ${tally.failed} failed`);
process.exit(tally.failed ? 1 : 0);

// What llama.cpp says: log-probabilities of the text, and greedy texts with their two likeliest.
async function theirsOf(path, tokens) {
  const model = await llama.loadModel({ modelPath: path });
  const cache = { experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" };
  const context = await model.createContext({ contextSize: tokens + 64, threads: 1, batchSize: 512, flashAttention: false, ...cache });
  const sequence = context.getSequence();
  const ids = Array.from(model.tokenize(readFileSync(textPath, "utf8"))).slice(0, tokens);
  const prompts = Array.from({ length: PROMPTS }, (_, i) => ids.slice(i * PROMPT, (i + 1) * PROMPT));
  const greedy = { token: true, options: { temperature: 0 } };
  const input = ids.map((id, at) => {
    const logits = { filter: { tokens: ids.slice(at + 1, at + 2), includeSelected: true } };
    return [id, { generateNext: { ...greedy, totalLogitWeight: true, logits } }];
  });
  const steps = await sequence.controlledEvaluate(input);
  const logProbs = steps.slice(0, -1).map(({ next: { token, logits, totalLogitWeight } }, at) =>
    logits.get(ids[at + 1]) - logits.get(token) - Math.log(totalLogitWeight));
  const texts = [];
  for (const prompt of prompts) {
    await sequence.clearHistory();
    const tops = [];
    for (let tokens = prompt; tops.length < Number(greedyTokens); tokens = [tops.at(-1)[0]]) {
      const last = { generateNext: { ...greedy, logits: { filter: { tokens: [], includeTop: 2 } } } };
      const steps = await sequence.controlledEvaluate(tokens.map((id, at) => at + 1 < tokens.length ? id : [id, last]));
      tops.push(Array.from(steps.at(-1).next.logits).flat());
    }
    texts.push(tops);
  }
  const { architecture } = model.fileInfo.metadata.general;
  await context.dispose();
  await model.dispose();
  return { architecture, ids, prompts, logProbs, texts };
}

// The same of ours. llama.cpp's Node.js package adds up the vocabulary in f32, so ours does too.
function oursOf(ids, ...options) {
  const said = logProbs(ids, "--f32-sums", ...options).find((line) => line[0] === "log_probs");
  const tops = (prompt) => logProbs(prompt, "--greedy", greedyTokens, ...options).filter((line) => line[0] === "top");
  const texts = prompts.map((prompt) => tops(prompt).map((line) => line.slice(1).map(Number)));
  return { logProbs: said.slice(1).map(Number), texts };
}

function logProbs(tokens, ...options) {
  const file = join(folder, "ids");
  writeFileSync(file, tokens.join(" "));
  const quiet = { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 26 };
  const said = execFileSync(join(examples, "log_probs"), [modelPath, file, ...options], quiet);
  return said.split("\n").map((line) => line.split(" "));
}

function compare(name, a, b) {
  const apart = a.map((x, at) => Math.abs(x - b[at])).sort((x, y) => x - y);
  const mean = (values) => values.reduce((x, y) => x + y, 0) / values.length;
  const found = { mean: mean(apart), largest: apart.at(-1), shift: mean(a) - mean(b), deviation: Math.sqrt(mean(apart.map((x) => x * x))) };
  const perplexity = (values) => Math.exp(-mean(values)).toFixed(4);
  const number = (x) => x < 0.01 ? x.toExponential(2) : x.toFixed(4);
  console.log(`${name}: ${apart.length} tokens, log-probabilities apart by ${number(found.mean)} on average, ` +
    `${number(apart[apart.length >> 1])} in the middle, ${number(found.largest)} at most; perplexity ${perplexity(a)} and ${perplexity(b)}`);
  if (a.length !== b.length || !apart.every(Number.isFinite)) throw new Error(`${name}: ${a.length} and ${b.length} numbers`);
  return found;
}

// Where greedy texts part, and by how little the two chosen logits lead there.
function partings(name, ours, theirs, limit) {
  ours.forEach((tops, text) => {
    const at = tops.findIndex((top, i) => top[0] !== theirs[text][i][0]);
    if (at < 0) {
      const lead = Math.min(...tops.map((top) => top[1] - top[3]));
      check(`${name}, greedy text ${text + 1}: the same ${tops.length} tokens (least lead ${lead.toFixed(4)})`, true);
      return;
    }
    const [a, b] = [tops[at], theirs[text][at]];
    const say = (top) => `${top[0]} at ${top[1].toFixed(4)} before ${top[2]} at ${top[3].toFixed(4)}`;
    const lead = Math.max(a[1] - a[3], b[1] - b[3]);
    check(`${name}, greedy text ${text + 1} parts at token ${at}: ours ${say(a)}, llama.cpp's ${say(b)}; lead ${lead.toFixed(4)}, at most ${limit.toFixed(4)} allowed`, lead <= limit);
  });
}

function check(name, holds) {
  tally[holds ? "passed" : "failed"] += 1;
  console.log(`${holds ? "ok    " : "FAILED"}  ${name}`);
}

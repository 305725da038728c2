// Compares what understory and llama.cpp (the prebuilt one of npm's node-llama-cpp) say about a real
// text, for one GGUF: `node real.mjs MODEL.gguf TEXT LOG_PROBS [TOKENS]`.
//
// LOG_PROBS is the built example `log_probs`; CHECK_MODULES names the folder with node_modules. The
// ids come from llama.cpp, so that tokenizers play no part. Both programs make the inputs of quantized
// products integers of 8 bits, and the least difference before that turns some of them over: single
// tokens differ as much as from inputs in f32, which `log_probs --f32` shows. What must agree is the
// mean of the log-probabilities, hence the perplexity.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modelPath, textPath, program, count = "192"] = process.argv.slice(2);
const require = createRequire(join(process.env.CHECK_MODULES, "check.mjs"));
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")));

const MEAN_APART = 0.3;
const SHIFT = 0.05;

const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: 1 });
const model = await llama.loadModel({ modelPath });
const cache = { experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" };
const contextSize = Number(count) + 64;
const context = await model.createContext({ contextSize, threads: 1, flashAttention: false, ...cache });
const ids = Array.from(model.tokenize(readFileSync(textPath, "utf8"))).slice(0, Number(count));

const generateNext = { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } };
const steps = await context.getSequence().controlledEvaluate(ids.map((id) => [id, { generateNext }]));
const theirs = steps.slice(0, -1).map((step, at) => Math.log(step.next.probabilities.get(ids[at + 1])));
await llama.dispose();

const ours = logProbabilities(ids);
const apart = theirs.map((x, at) => Math.abs(x - ours[at]));
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const [average, shift] = [mean(apart), mean(ours) - mean(theirs)];
console.log(`${ids.length} tokens: log-probabilities apart by ${average.toFixed(5)} on average, ${Math.max(...apart).toFixed(4)} at most; ` +
  `perplexity ${Math.exp(-mean(ours)).toFixed(4)}, llama.cpp's ${Math.exp(-mean(theirs)).toFixed(4)}`);
const good = ours.length === theirs.length && average < MEAN_APART && Math.abs(shift) < SHIFT;
console.log(good ? "1 passed, 0 failed" : "0 passed, 1 failed");
process.exit(good ? 0 : 1);

function logProbabilities(tokens) {
  const folder = mkdtempSync(join(tmpdir(), "understory-real-"));
  const file = join(folder, "ids");
  writeFileSync(file, tokens.join(" "));
  const said = execFileSync(program, [modelPath, file], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 26 });
  rmSync(folder, { recursive: true });
  return said.split("\n").find((line) => line.startsWith("log_probs ")).split(" ").slice(1).map(Number);
}

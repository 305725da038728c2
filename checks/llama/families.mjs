// Compares what understory and llama.cpp (the prebuilt one of npm's node-llama-cpp) compute for the
// small random models of every family that llama.cpp's own converter wrote:
// `node families.mjs EXAMPLES MODEL.gguf…`.
//
// EXAMPLES is the folder of the model crate's built examples; CHECK_MODULES names the folder with
// node_modules. llama.cpp gets the same weights as F32: with others it rounds its inputs.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const [examples, ...models] = process.argv.slice(2);
const require = createRequire(join(process.env.CHECK_MODULES, "check.mjs"));
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")));

const TOKENS = 40;
const VOCABULARY = 64;
// Largest difference of a log-probability. Where a model has GELU, llama.cpp looks it up in a table
// of f16; for Falcon it also takes the form with tanh, where the model was made with the exact one.
const bound = (family) => /gemma|falcon/.test(family) ? 1e-2 : 5e-5;

const folder = mkdtempSync(join(tmpdir(), "understory-families-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: 1 });
const ids = Array.from({ length: TOKENS }, (_, i) => (i * 11 + i * i * 5) % VOCABULARY);
writeFileSync(join(folder, "ids"), ids.join(" "));
let failed = 0;
for (const path of models) {
  const wide = join(folder, "f32.gguf");
  execFileSync(join(examples, "widen"), [path, wide]);
  const { family, logProbs } = await theirs(wide);
  const said = execFileSync(join(examples, "log_probs"), [path, join(folder, "ids")], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const ours = said.split("\n")[0].split(" ").slice(1).map(Number);
  const apart = Math.max(...logProbs.map((x, at) => Math.abs(x - ours[at])));
  const good = ours.length === logProbs.length && apart <= bound(family);
  failed += good ? 0 : 1;
  console.log(`${good ? "ok    " : "FAILED"}  ${basename(path)} (${family}): apart by ${apart.toExponential(2)} at most, ${bound(family)} allowed`);
}
await llama.dispose();
console.log(`${models.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);

async function theirs(modelPath) {
  const model = await llama.loadModel({ modelPath });
  const cache = { experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" };
  const context = await model.createContext({ contextSize: TOKENS + 8, threads: 1, flashAttention: false, ...cache });
  const input = ids.map((id) => [id, { generateNext: { options: { temperature: 0 }, logits: true } }]);
  const steps = await context.getSequence().controlledEvaluate(input);
  const logProbs = steps.slice(0, -1).map(({ next: { logits } }, at) => {
    const values = Array.from(logits.values());
    const most = Math.max(...values);
    const sum = values.reduce((total, logit) => total + Math.exp(logit - most), 0);
    return logits.get(ids[at + 1]) - most - Math.log(sum);
  });
  const family = model.fileInfo.metadata.general.architecture;
  await context.dispose();
  await model.dispose();
  return { family, logProbs };
}

// The prompt box: sends text, streams the continuation, says which model wrote it.

import { byId, h, hashChip, setText, show } from "./dom.js";
import { plain, plural, whole } from "./format.js";

const NUMBERS = ["temperature", "max_tokens", "top_p", "top_k", "min_p", "seed"];

/** Wires up the form. */
export function makePrompt() {
  const form = byId("prompt-form");
  const text = byId("prompt");
  let running = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return;
    const prompt = text.value || text.placeholder;
    text.value = prompt;
    running = new AbortController();
    busy(true);
    try {
      await ask(request(form, prompt), running.signal);
    } catch (error) {
      note(error.name === "AbortError" ? "Stopped." : error.message, error.name !== "AbortError");
    } finally {
      running = null;
      busy(false);
    }
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  byId("prompt-stop").addEventListener("click", () => {
    running?.abort();
    text.focus();
  });
  if (/Mac|iPhone|iPad/.test(navigator.platform)) byId("prompt-keys").firstElementChild.textContent = "⌘";
}

function request(form, prompt) {
  const fields = new FormData(form);
  return { prompt, ...Object.fromEntries(NUMBERS.map((name) => [name, Number(fields.get(name))])) };
}

function busy(on) {
  show(byId("prompt-stop"), on);
  byId("prompt-go").disabled = on;
  byId("answer").setAttribute("aria-busy", String(on));
}

function note(message, bad = false) {
  const element = byId("answer-note");
  element.classList.toggle("bad", bad);
  setText(element, message);
}

async function ask(body, signal) {
  const answer = byId("answer");
  const written = h("span", { class: "written" });
  answer.replaceChildren(h("span", { class: "given", text: body.prompt }), written);
  note("Waiting for the model…");
  const response = await fetch("/api/generate", {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
  });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({ error: `the run answered ${response.status}` }));
    throw new Error(sentence(problem.error));
  }
  for await (const { name, data } of events(response.body)) {
    if (name === "token") {
      written.append(plain(data.text));
      answer.scrollTop = answer.scrollHeight;
      note("Writing…");
    } else if (name === "progress") {
      note(`Loading the model… ${whole(Math.floor((100 * data.done) / Math.max(data.total, 1)))} %`);
    } else if (name === "done") {
      byId("answer-note").replaceChildren(
        "Written by ", hashChip(data.root), `, ${plural(data.tokens, "token")} at ${whole(data.tokens_per_s)} tokens/s`);
      return;
    } else if (name === "error") {
      throw new Error(sentence(data.message));
    }
  }
  throw new Error("The run went away before the text was complete.");
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

/** Server-sent events of a response body; EventSource itself can only GET. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const field = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
      const data = field("data").join("\n");
      if (data) yield { name: field("event")[0] ?? "message", data: JSON.parse(data) };
    }
  }
}

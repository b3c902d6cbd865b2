// The same with Node:  node node.mjs parse|sdk FILE PASSES. `run` copies it to where the SDK is installed.
import { readFileSync } from "node:fs";

const [mode, file, passes] = process.argv.slice(2);
const text = readFileSync(file);
const lines = []; // each decoded by itself: slices of one string would have two bytes a character, for those of a few records
for (let at = 0, end; (end = text.indexOf(10, at)) >= 0; at = end + 1) lines.push(text.toString("utf8", at, end));
let sum = 0;

function ten(g) {
  return g.model.length + g.total_cost + g.provider_name.length + g.latency + g.native_tokens_prompt +
    g.native_tokens_completion + g.is_byok + g.finish_reason.length + g.created_at.length + g.id.length;
}

function tenOfSdk(g) {
  return g.model.length + g.totalCost + g.providerName.length + g.latency + g.nativeTokensPrompt +
    g.nativeTokensCompletion + g.isByok + g.finishReason.length + g.createdAt.length + g.id.length;
}

let work = (line) => ten(JSON.parse(line).data);
if (mode === "sdk") {
  const { generationResponseFromJSON } = await import("@openrouter/sdk/models");
  work = (line) => {
    const result = generationResponseFromJSON(line);
    if (!result.ok) throw result.error;
    return tenOfSdk(result.value.data);
  };
}

let best = Infinity;
for (let pass = 0; pass < Number(passes); pass++) {
  const start = process.cpuUsage();
  for (const line of lines) sum += work(line);
  const { user, system } = process.cpuUsage(start);
  best = Math.min(best, user + system);
}
if (!(sum > 0)) throw new Error("nothing was read");
console.log((best / lines.length * 1000).toFixed(1), "ns a record");

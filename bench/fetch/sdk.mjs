// The official SDK: node sdk.mjs BASE_URL REQUESTS CONCURRENCY. `run` copies it to where the SDK is installed.
import { OpenRouter } from "@openrouter/sdk";

const [serverURL, requests, concurrency] = process.argv.slice(2);
const client = new OpenRouter({ apiKey: process.env.OPENROUTER_API_KEY, serverURL, retryConfig: { strategy: "none" } });
let next = 0, records = 0, total = 0;

async function worker() {
  while (next < Number(requests)) {
    const id = "gen-1792000000-" + String(next++).padStart(20, "0");
    const { data } = await client.generations.getGeneration({ id });
    if (data.id !== id) throw new Error(`asked for ${id}, got ${data.id}`);
    total += data.totalCost;
    records++;
  }
}

await Promise.all(Array.from({ length: Number(concurrency) }, worker));
if (!(total > 0)) throw new Error("the records cost nothing");
console.log(records, "records");

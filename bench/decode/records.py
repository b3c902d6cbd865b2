#!/usr/bin/env python3
"""Writes records like those of the API, one a line:  records.py COUNT ORDER > FILE

ORDER is how they are written: minified, python (": " and ", "), pretty (indented, kept on one line with \\r for line ends),
or shuffled (minified, members in another order in every record). The records are the same whatever the order, and the
same in every run: 45 members, one to three provider_responses, a fifth of the costs with 16 or 17 digits, one record in fifty
with escapes or text that is not ASCII.
"""
import json
import random
import sys

PROVIDERS = ["Anthropic", "Amazon Bedrock", "Google", "Azure", "OpenAI", "DeepInfra", "Together", "Fireworks", "Novita", "Groq"]
MODELS = [
    "anthropic/claude-sonnet-4.5-20250929", "openai/gpt-5-2025-08-07", "google/gemini-2.5-flash", "x-ai/grok-4-07-09",
    "deepseek/deepseek-chat-v3.1", "meta-llama/llama-3.3-70b-instruct", "qwen/qwen3-235b-a22b-07-25", "mistralai/mistral-small-3.2",
]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def token(rng, length):
    return "".join(rng.choice(LETTERS) for _ in range(length))


def uuid(rng):
    digits = "%032x" % rng.getrandbits(128)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def response(rng, model, status):
    entry = {
        "endpoint_id": uuid(rng), "id": "msg_" + token(rng, 20), "is_byok": False, "latency": rng.randrange(80, 4000),
        "model_permaslug": model, "provider_name": rng.choice(PROVIDERS), "status": status,
    }
    if status != 200:
        del entry["id"]
    return entry


def record(rng, number):
    model = rng.choice(MODELS)
    second = 1793000000 + number
    prompt, completion = rng.randrange(10, 20000), rng.randrange(1, 3000)
    cost = round(prompt * 3e-7 + completion * 1.5e-6, 8)
    if rng.random() < 0.2:
        cost = prompt * 3e-7 * 1.1 + completion * 1.5e-6 / 3
    failed = rng.choices([0, 1, 2], [80, 15, 5])[0]
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
    if rng.random() < 0.02:
        agent = rng.choice(["caf\u00e9/1.0 \u6771\u4eac", "say \"hi\"\n\tand C:\\temp"])
    return {
        "created_at": "2026-11-%02dT%02d:%02d:%02d.%06d+00:00" % (second // 86400 % 28 + 1, second // 3600 % 24,
                                                                 second // 60 % 60, second % 60, rng.randrange(10**6)),
        "model": model, "app_id": rng.randrange(1, 10**6), "external_user": "user-%d" % rng.randrange(1000),
        "streamed": rng.random() < 0.8, "cancelled": rng.random() < 0.02, "latency": rng.randrange(100, 9000),
        "moderation_latency": None, "generation_time": rng.randrange(100, 60000), "tokens_prompt": prompt,
        "tokens_completion": completion, "native_tokens_prompt": prompt + 3, "native_tokens_completion": completion + 2,
        "native_tokens_completion_images": 0, "native_tokens_reasoning": completion // 3, "native_tokens_cached": prompt // 2,
        "num_media_prompt": None, "num_input_audio_prompt": None, "num_media_completion": 0, "num_search_results": None,
        "origin": "https://app.example.com/", "is_byok": False, "finish_reason": "stop", "native_finish_reason": "end_turn",
        "usage": cost, "router": None,
        "provider_responses": [response(rng, model, 429) for _ in range(failed)] + [response(rng, model, 200)],
        "api_type": "completions", "id": "gen-%d-%s" % (second, token(rng, 20)), "upstream_id": "msg_" + token(rng, 24),
        "total_cost": cost, "cache_discount": None, "upstream_inference_cost": 0, "provider_name": rng.choice(PROVIDERS),
        "user_agent": agent, "http_referer": "https://app.example.com/", "request_id": "req-%d-%s" % (second, token(rng, 20)),
        "session_id": None, "num_fetches": None, "web_search_engine": None, "response_cache_source_id": None,
        "service_tier": "standard", "preset_id": None, "data_region": "global", "workspace_id": uuid(rng),
    }


def main():
    count, order = int(sys.argv[1]), sys.argv[2]
    rng, shuffling = random.Random(20261130), random.Random(7)
    for number in range(count):
        data = record(rng, number)
        if order == "shuffled":
            items = list(data.items())
            shuffling.shuffle(items)
            data = dict(items)
        if order == "python":
            text = json.dumps({"data": data}, ensure_ascii=False)
        elif order == "pretty":
            text = json.dumps({"data": data}, ensure_ascii=False, indent=2).replace("\n", "\r")
        else:
            text = json.dumps({"data": data}, ensure_ascii=False, separators=(",", ":"))
        print(text)


sys.stdout.reconfigure(encoding="utf-8")
main()

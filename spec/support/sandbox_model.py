#!/usr/bin/env python3
"""What the sandbox (examples/sandbox) knows about a generation id, computed a second time and independently of it.

record(id) is the record as a dict in wire order; money is the text the server prints. content(id) is the content's `data`. As a
command, with ids on stdin:

    sandbox_model.py            one line {"id", "model", "day", "spend"} per id, spend as exact decimal text or null
    sandbox_model.py --total    COUNT PRICED UNPRICED TOTAL
    sandbox_model.py --content  one line per id, its content's `data`
    sandbox_model.py --activity what GET /activity says of these ids, all days of them, in the order of the ids
"""
import datetime
import decimal
import hashlib
import json
import re
import sys
import uuid

decimal.getcontext().prec = 60    # the default of 28 digits would round sums

MODELS = """
anthropic/claude-sonnet-5-20260511        3e-6    1.5e-5  reasoning Anthropic, Amazon Bedrock, Google, Azure
google/gemini-3.5-flash                   3e-7    2.5e-6  reasoning Google, Google AI Studio
deepseek/deepseek-v4-0715                 2.7e-7  4.1e-7  reasoning DeepSeek, DeepInfra, Novita, SiliconFlow
openai/gpt-5.5-mini-2026-04-21            2.5e-7  2e-6    reasoning OpenAI, Azure
qwen/qwen3.6-plus                         3.25e-7 1.95e-6 reasoning Alibaba
openai/gpt-5.5-2026-04-21                 1.25e-6 1e-5    reasoning OpenAI, Azure
x-ai/grok-5-fast                          2e-7    5e-7    reasoning xAI
anthropic/claude-haiku-5-20260618         1e-6    5e-6    chat      Anthropic, Amazon Bedrock, Google
meta-llama/llama-4-scout-17b-16e-instruct 8e-8    3e-7    chat      DeepInfra, Groq, Together, Cerebras
openai/gpt-oss-120b                       4e-8    1.9e-7  reasoning Cerebras, Groq, Fireworks, DeepInfra
moonshotai/kimi-k3-0905                   3.8e-7  1.52e-6 chat      Moonshot AI, Fireworks, Novita
anthropic/claude-opus-5-20260723          5e-6    2.5e-5  reasoning Anthropic, Amazon Bedrock, Azure
google/gemini-3.5-pro                     1.25e-6 1e-5    reasoning Google, Google AI Studio
z-ai/glm-5.1-20260407                     6e-7    2.2e-6  reasoning Z.AI, SiliconFlow, GMICloud
mistralai/mistral-medium-4                4e-7    2e-6    chat      Mistral
openai/text-embedding-3-small             2e-8    0       embedding OpenAI, Azure
minimax/minimax-m3                        2.55e-7 1.02e-6 reasoning Minimax, Novita
meta-llama/llama-3.3-70b-instruct:free    0       0       chat      Venice, Crusoe
amazon/nova-2-lite-v1                     6e-8    2.4e-7  chat      Amazon Bedrock
mistralai/mistral-small-3.2-24b-instruct  5e-8    1e-7    chat      Mistral, Parasail, DeepInfra
qwen/qwen3-embedding-8b                   1e-8    0       embedding DeepInfra, Nebius
cohere/command-a-03-2025                  2.5e-6  1e-5    chat      Cohere
nousresearch/hermes-5-70b                 1.3e-7  4e-7    chat      Nebius, Together
sao10k/l3.3-euryale-70b                   6.5e-7  7.5e-7  chat      Infermatic, DeepInfra
"""
MODELS = [line.split(None, 4) for line in MODELS.strip().splitlines()]

USERS = """ada amir anke ben bianca chen chloe dmitri elena emeka farid fiona goran greta hana hugo ines ivan jonas kaori
lars leila mateo mina nadia noor olga oscar paolo priya quinn rosa samir sofia tariq tess uma viktor wanda yusuf""".split()

APPS = [
    (2872617, "https://helpdesk.example.com", "https://helpdesk.example.com/"),
    (1204418, "https://shop.example.net", "https://shop.example.net/search"),
    (3390052, "https://notebook.example.org", "https://notebook.example.org/"),
    (918830, "https://codereview.example.dev", "https://codereview.example.dev/"),
    (4015577, "https://translate.example.com", "https://translate.example.com/batch"),
]
AGENTS = [
    "lua-resty-http/0.17.2 (Lua) ngx_lua/10023",
    "OpenAI/Python 2.8.1",
    "OpenAI/JS 6.9.0",
    "python-httpx/0.28.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "curl/8.14.1",
]
WORKSPACES = [
    "550e8400-e29b-41d4-a716-446655440000",
    "0f8b1c52-7c1e-4d2a-9a57-3f1f6f0c2b11",
    "c2d9e7a4-5b36-4f80-8e0d-91aa3b7c6d42",
]
NATIVE_FINISH = {
    ("anthropic", "stop"): "end_turn", ("anthropic", "length"): "max_tokens", ("anthropic", "tool_calls"): "tool_use",
    ("google", "stop"): "STOP", ("google", "length"): "MAX_TOKENS", ("google", "tool_calls"): "STOP",
}
UPSTREAM_PREFIX = {"anthropic": "msg_01", "cohere": "", "amazon": ""}

TALKS = [    # asked, thought, answered
    ("Why is the invoice for May twice the usual one?", "The plan changed in the middle of May.",
     "It covers two plans: the old one until the 12th, and the new one from then on."),
    ('Translate "good night" into German.', "A set phrase.", '"Gute Nacht". Schöne Träume!'),
    ("Name three colours, one per line.", "Red,\ngreen,\nblue.", "red\ngreen\nblue"),
    ("A Lua function that adds two numbers, please.", "a + b",
     "```lua\nlocal function add (a, b)\n\treturn a + b\nend\n```"),
    ("Is 91 a prime?", "9 × 9 < 91 < 10 × 10, so trying 2, 3, 5 and 7 is enough.", "No: 91 = 7 × 13."),
    ("¿Qué hora es en Tokio?", "No clock here \\ no tool for it.", "No puedo ver ningún reloj 🕰."),
]
RAW = {429: "Too many requests", 500: "Internal error", 502: "Bad gateway", 503: "Overloaded"}

DRAWS = """
model provider day clock micro_high micro_low spelling ratio
prompt_1 prompt_2 completion_1 completion_2 cached cached_share written written_share
reasons reasoning byok fee upstream cancelled total attempts
failed_1 failed_2 again wait_1 wait_2 latency_1 latency_2 moderation
speed user_known user app agent router session finish
streamed tier region workspace preset media search fetches
hex_1 hex_2 hex_3 hex_4 hex_5 hex_6 hex_7 hex_8
""".split()

OCTOBER = int(datetime.datetime(2026, 10, 1, tzinfo=datetime.timezone.utc).timestamp())


def draw(id):
    numbers = []
    for block in range(len(DRAWS) // 8):
        digest = hashlib.md5((id if block == 0 else "%s#%d" % (id, block)).encode()).digest()
        numbers += [int.from_bytes(digest[i : i + 2], "big") for i in range(0, 16, 2)]
    return dict(zip(DRAWS, numbers))


def pick(n, values):
    return values[n * len(values) >> 16]


def skewed(n):
    return n * n >> 16


def chance(n, permille):
    return n * 1000 < permille << 16


def size(n1, n2, lo, doublings):
    whole, rest = divmod((n1 + n2) * doublings, 1 << 17)
    return (lo << whole) * ((1 << 17) + rest) >> 17


def money(x):
    """A double as JavaScript prints it: the digits of repr, but an exponent from 1e-7 only and without padding."""
    if x is None:
        return None
    if x == int(x):
        return str(int(x))
    text = repr(x)
    if abs(x) >= 1e-6:
        return format(decimal.Decimal(text), "f")
    mantissa, exponent = text.split("e")
    return "%se%d" % (mantissa, int(exponent))


def instant(id, n):
    second = re.match(r"gen-(\d{10})-", id)
    second = int(second[1]) if second else OCTOBER + (n["day"] << 16 | n["clock"]) % (30 * 86400)
    micro = (n["micro_high"] << 16 | n["micro_low"]) % 1000000
    text = datetime.datetime.fromtimestamp(second, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return second, text + (".%03dZ" % (micro // 1000) if n["spelling"] < 1 << 15 else ".%06d+00:00" % micro)


def attempts(n, slug, providers, is_byok, tier, latency, upstream_id):
    if chance(n["attempts"], 20):
        return None
    calls = []
    if chance(n["attempts"], 100):
        for i in ("1", "2") if n["again"] < 1 << 15 else ("1",):
            wait = n["wait_" + i]
            calls.append((pick(n["failed_" + i], [429, 500, 502, 503, None]), 50 + wait % 4000, pick(wait, providers), None))
    calls.append((200, latency, pick(n["provider"], providers), upstream_id))
    entries = []
    for status, wait, provider, call_id in calls:
        entry = {"endpoint_id": str(uuid.UUID(hashlib.md5(("%s %s" % (slug, provider)).encode()).hexdigest()))}
        if call_id:
            entry["id"] = call_id
        entry.update(is_byok=is_byok, latency=wait, model_permaslug=slug, provider_name=provider)
        if tier in ("priority", "flex"):
            entry["routed_service_tier"] = tier
        entry["status"] = status
        entries.append(entry)
    return entries


def record(id):
    n = draw(id)
    slug, prompt_price, completion_price, kind, providers = pick(skewed(n["model"]), MODELS)
    prompt_price, completion_price, providers = float(prompt_price), float(completion_price), providers.split(", ")
    vendor = slug.split("/")[0]
    embedding = kind == "embedding"
    second, created_at = instant(id, n)

    prompt = size(n["prompt_1"], n["prompt_2"], 58, 10)
    completion = 0 if embedding else size(n["completion_1"], n["completion_2"], 4, 11)
    cached = prompt * n["cached_share"] >> 16 if not embedding and chance(n["cached"], 300) else 0
    written = 0
    if vendor == "anthropic" and cached == 0 and chance(n["written"], 250):
        written = prompt * n["written_share"] >> 16
    reasoning = completion * n["reasoning"] >> 16 if kind == "reasoning" and chance(n["reasons"], 700) else 0

    # in this order: regrouped, the last digits change
    prompt_cost = (prompt - cached) * prompt_price + cached * prompt_price / 10 + written * prompt_price / 4
    list_cost = prompt_cost + completion * completion_price
    discount = None
    if cached and prompt_price:
        discount = cached * prompt_price - cached * prompt_price / 10
    if written and prompt_price:
        discount = -(written * prompt_price / 4)
    is_byok = chance(n["byok"], 60)
    if is_byok:
        usage = 0.0 if chance(n["fee"], 333) else list_cost / 20
        upstream = None if chance(n["upstream"], 125) else list_cost
    else:
        usage = list_cost
        upstream = 0.0 if n["upstream"] < 1 << 15 else None

    cancelled = not embedding and chance(n["cancelled"], 30)
    finish = native_finish = None
    if not embedding and not cancelled:
        finish = "stop" if chance(n["finish"], 720) else "tool_calls" if chance(n["finish"], 920) else "length"
        native_finish = NATIVE_FINISH.get((vendor, finish), finish)
    hexes = "".join("%04x" % n["hex_%d" % i] for i in range(1, 9))
    upstream_id = None if embedding else UPSTREAM_PREFIX.get(vendor, "chatcmpl-") + hexes[:24]
    latency = size(n["latency_1"], n["latency_2"], 120, 6)
    app = (None, "", None) if chance(n["app"], 150) else pick(n["app"], APPS)
    searched = chance(n["search"], 30)
    tier = "priority" if chance(n["tier"], 40) else "flex" if chance(n["tier"], 80) else None
    if tier is None and chance(n["tier"], 250):
        tier = "default"

    result = {
        "created_at": created_at,
        "model": slug,
        "app_id": app[0],
        "external_user": None if chance(n["user_known"], 300) else pick(skewed(n["user"]), USERS),
        "streamed": not embedding and (cancelled or chance(n["streamed"], 650)),
        "cancelled": cancelled,
        "latency": latency,
        "moderation_latency": 20 + n["moderation"] % 181 if chance(n["moderation"], 40) else None,
        "generation_time": completion * 1000 // (20 + n["speed"] % 131) + 40,
        "tokens_prompt": prompt * (70 + n["ratio"] % 61) // 100,
        "tokens_completion": completion * (70 + n["ratio"] // 61 % 61) // 100,
        "native_tokens_prompt": prompt,
        "native_tokens_completion": completion,
        "native_tokens_completion_images": 0 if vendor == "google" else None,
        "native_tokens_reasoning": None if embedding else reasoning,
        "native_tokens_cached": None if embedding else cached,
        "num_media_prompt": 1 + n["media"] % 3 if chance(n["media"], 50) else None,
        "num_input_audio_prompt": None,
        "num_media_completion": None if embedding else 0,
        "num_search_results": 1 + n["search"] % 10 if searched else None,
        "origin": app[1],
        "is_byok": is_byok,
        "finish_reason": finish,
        "native_finish_reason": native_finish,
        "usage": money(usage),
        "router": "openrouter/auto" if chance(n["router"], 50) else None,
        "provider_responses": attempts(n, slug, providers, is_byok, tier, latency, upstream_id),
        "api_type": "embeddings" if embedding else "completions",
        "id": id,
        "upstream_id": upstream_id,
        "total_cost": money(usage),
        "cache_discount": money(discount),
        "upstream_inference_cost": money(upstream),
        "provider_name": pick(n["provider"], providers),
        "user_agent": pick(n["agent"], AGENTS),
        "http_referer": app[2],
        "request_id": "req-%d-%s" % (second, hexes[12:]),
        "session_id": "session-%04d" % (n["session"] % 500) if chance(n["session"], 200) else None,
        "num_fetches": n["fetches"] % 4 if chance(n["fetches"], 100) else None,
        "web_search_engine": pick(n["fetches"], ["exa", "firecrawl", "parallel"]) if searched else None,
        "response_cache_source_id": None,
        "service_tier": tier,
        "preset_id": "a9e8d400-592a-494f-908c-375efa66cafd" if chance(n["preset"], 20) else None,
        "data_region": "global" if chance(n["region"], 800) else "europe",
        "workspace_id": pick(n["workspace"], WORKSPACES),
    }
    if not is_byok and chance(n["total"], 10):
        del result["total_cost"]
    return failed(result) if "-failed-" in id else result


def failed(r):
    r.update(finish_reason="error", native_finish_reason=None, cancelled=False, upstream_id=None, cache_discount=None)
    r.update(tokens_completion=0, native_tokens_completion=0, generation_time=40)
    for name, nothing in ("native_tokens_reasoning", 0), ("usage", "0"), ("total_cost", "0"), ("upstream_inference_cost", "0"):
        if r.get(name) is not None:
            r[name] = nothing
    if r["provider_responses"]:
        r["provider_responses"][-1]["status"] = 502
        r["provider_responses"][-1].pop("id", None)
    return r


def failure(name, status, provider):
    if status is None:
        return {name: 524, "message": "Request timed out. Please try again later.", "provider_name": provider, "raw": None}
    raw = json.dumps({"error": {"code": status, "message": RAW[status]}}, separators=(",", ":"))
    return {name: status, "message": "Provider returned error", "provider_name": provider, "raw": raw}


def content(id):
    r = record(id)
    digest = hashlib.md5((id + "#content").encode()).digest()
    talk, ticket, prompt, system = (int.from_bytes(digest[i : i + 2], "big") for i in range(0, 8, 2))
    asked, thought, answered = pick(talk, TALKS)
    asked = "Ticket %d: %s" % (ticket, asked)

    if r["api_type"] == "embeddings" or chance(prompt, 100):
        given = {"prompt": asked}
    else:
        messages = [{"role": "system", "content": "You answer tickets."}] if chance(system, 400) else []
        if r["num_media_prompt"] is None:
            messages.append({"role": "user", "content": asked})
        else:
            urls = ["https://images.example.com/%d.png" % (i + 1) for i in range(r["num_media_prompt"])]
            images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
            messages.append({"role": "user", "content": [{"type": "text", "text": asked}] + images})
        given = {"messages": messages}

    completion = answered if r["finish_reason"] == "stop" else None
    if r["cancelled"] or r["finish_reason"] == "length":
        completion = answered.split(" ")[0]
    error = None
    if r["finish_reason"] == "error":
        error = failure("status", 502, r["provider_name"])
        before = (r["provider_responses"] or [])[:-1]
        error["previous_errors"] = [failure("code", call["status"], call["provider_name"]) for call in before]
    output = {"completion": completion, "reasoning": thought if r["native_tokens_reasoning"] else None}
    return {"input": given, "output": output, "error": error}


def activity(ids):
    rows = {}
    for id in ids:
        r = record(id)
        slug, provider, day = r["model"], r["provider_name"], r["created_at"][:10]
        row = rows.setdefault((day, slug, provider), {
            "date": day, "model": re.sub(r"-\d{4}[\d-]*$", "", slug), "model_permaslug": slug,
            "endpoint_id": str(uuid.UUID(hashlib.md5(("%s %s" % (slug, provider)).encode()).hexdigest())),
            "provider_name": provider, "usage": 0.0, "byok_usage_inference": 0.0, "requests": 0, "prompt_tokens": 0,
            "completion_tokens": 0, "reasoning_tokens": 0})
        row["usage"] += float(r["usage"])    # doubles in this order, as the sandbox adds them up
        row["byok_usage_inference"] += float(r["upstream_inference_cost"] or 0) if r["is_byok"] else 0
        row["requests"] += 1
        row["prompt_tokens"] += r["native_tokens_prompt"]
        row["completion_tokens"] += r["native_tokens_completion"]
        row["reasoning_tokens"] += r["native_tokens_reasoning"] or 0
    return list(rows.values())


def spend(r):
    """Decimal, or None where the record does not tell."""
    cost = r.get("total_cost")
    if cost is None:
        cost = r.get("usage")
    if cost is None:
        return None
    is_byok = r.get("is_byok", False)
    if is_byok is False:
        return decimal.Decimal(cost)
    upstream = r.get("upstream_inference_cost")
    if is_byok is not True or upstream is None:
        return None
    return decimal.Decimal(cost) + decimal.Decimal(upstream)


def plain(amount):
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def main(arguments):
    if arguments not in ([], ["--total"], ["--content"], ["--activity"]):
        sys.exit("usage: sandbox_model.py [--total | --content | --activity] <IDS")
    ids = sys.stdin.read().split()
    if arguments == ["--activity"]:
        print(json.dumps(activity(ids)))
        return
    if arguments == ["--content"]:
        for id in ids:
            print(json.dumps(content(id), separators=(",", ":")))
        return
    count, priced, total = 0, 0, decimal.Decimal(0)
    for id in ids:
        r = record(id)
        amount = spend(r)
        count += 1
        if amount is not None:
            priced += 1
            total += amount
        if not arguments:
            text = None if amount is None else plain(amount)
            line = {"id": id, "model": r["model"], "day": r["created_at"][:10], "spend": text}
            print(json.dumps(line, separators=(",", ":")))
    if arguments:
        print(count, priced, count - priced, plain(total))


if __name__ == "__main__":
    main(sys.argv[1:])

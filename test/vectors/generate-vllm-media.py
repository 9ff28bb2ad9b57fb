"""Writes vllm-media.json: chats with images, and the text that vLLM has before the first of them.

Usage: test/real-engine/install.sh FOLDER, npm ci, then
    FOLDER/venv/bin/python test/vectors/generate-vllm-media.py FOLDER/model

The model is a made one of the Qwen2-VL kind; its processor turns an image into placeholder tokens.
"""

import asyncio
import base64
import io
import json
import os
import pathlib
import shutil
import sys
import tempfile

os.environ.update(
    HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", VLLM_LOGGING_LEVEL="ERROR", VLLM_NO_USAGE_STATS="1"
)

import vllm
from PIL import Image
from vllm.engine.arg_utils import EngineArgs
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.renderers import renderer_from_config
from vllm.renderers.online_renderer import OnlineRenderer

ROOT = pathlib.Path(__file__).resolve().parents[2]
VISION_START, VISION_END, IMAGE = 151652, 151653, 151655
CONFIG = {
    "architectures": ["Qwen2VLForConditionalGeneration"],
    "model_type": "qwen2_vl",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "vision_start_token_id": VISION_START,
    "vision_end_token_id": VISION_END,
    "vision_token_id": 151654,
    "image_token_id": IMAGE,
    "video_token_id": 151656,
    "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
    "vision_config": {"depth": 2, "embed_dim": 64, "hidden_size": 64, "num_heads": 4, "patch_size": 14},
}
PROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2VLProcessor",
    "min_pixels": 3136,
    "max_pixels": 100352,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
}
# One that loops over parts, and one that prints contents, whose images come before the texts.
TEMPLATES = {
    "parts": """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}{% if part.type == 'image' %}
{{- '<|vision_start|><|image_pad|><|vision_end|>' }}{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}<|im_start|>assistant
""",
    "content": """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content | trim }}<|im_end|>
{% endfor %}<|im_start|>assistant
""",
}


def bodies():
    png = io.BytesIO()
    Image.new("RGB", (60, 60)).save(png, "PNG")
    url = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
    image = {"type": "image_url", "image_url": {"url": url}}
    text = lambda words: {"type": "text", "text": words}
    user = lambda content: {"role": "user", "content": content}
    turns = [{"role": "system", "content": "Look closely. " * 9}, user("first " * 30), {"role": "assistant", "content": "fine"}]
    yield [*turns, user([text("look at this: "), image, text(" what?")]), {"role": "assistant", "content": "it"}, user([image])]
    yield [user([image, text("x" * 99)])]
    yield [user([text("word " * 40), text(" more"), image, image, text("behind")])]
    yield [*turns, user([text("no image")]), {"role": "assistant", "content": ""}, user([image, text("x")])]


async def main(model):
    folder = tempfile.mkdtemp()
    for file in pathlib.Path(model).glob("tokenizer*"):
        shutil.copy(file, folder)
    (pathlib.Path(folder) / "config.json").write_text(json.dumps(CONFIG))
    (pathlib.Path(folder) / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    config = EngineArgs(model=folder, load_format="dummy", max_model_len=8192).create_engine_config()
    renderer = renderer_from_config(config)
    tokenizer = renderer.get_tokenizer()
    cases = []
    for name, template in TEMPLATES.items():
        online = OnlineRenderer(
            model_config=config.model_config,
            renderer=renderer,
            request_logger=None,
            chat_template=template,
            chat_template_content_format="auto",
        )
        for messages in bodies():
            body = {"model": "m", "messages": messages}
            _, (engine_input,) = await online.render_chat(ChatCompletionRequest.model_validate(json.loads(json.dumps(body))))
            ids = list(engine_input["prompt_token_ids"])
            cases.append(
                {
                    "template": name,
                    "body": json.dumps(body),
                    "before": tokenizer.decode(ids[: ids.index(VISION_START)]),
                }
            )
    shutil.rmtree(folder)
    file = ROOT / "test/vectors/vllm-media.json"
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    head = json.dumps({"library": f"vllm {vllm.__version__}", "templates": TEMPLATES}, ensure_ascii=False)
    file.write_text(head[:-1] + ', "cases": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""Records kvstream/1 files from vLLM's own KV cache code, without a model (format: README.md here).

Usage: PYTHONHASHSEED=0 python generate-streams.py SCENARIO OUTPUT.jsonl [SEED]
Needs an installed vLLM (test/real-engine/install.sh). Prefix cache, block pool, hashing, event
structs, their encoder and every `hit_tokens` are the engine's; only the loop that admits requests,
splits prompts into chunks and invents output tokens is ours.
"""

import base64
import json
import os
import random
import sys
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Group:
    """One KV cache group: `full`, `sliding`, `mamba`, `mamba-align` or `chunked`."""

    kind: str = "full"
    block: int = 16
    window: int = 0


@dataclass(frozen=True)
class Pod:
    groups: tuple[Group, ...] = (Group(),)
    blocks: int = 300
    rank: int = 0


@dataclass(frozen=True)
class Scenario:
    pods: tuple[Pod, ...]
    block: int
    requests: int = 80
    seed: int = 1
    int_hashes: bool = True
    lora: float = 0.0
    salt: float = 0.0
    images: float = 0.0
    aligned: float = 0.2
    tokens: int = 400
    chunk: int = 256
    algorithm: str = "sha256_cbor"
    match_unit: int = 0


def pods(count, blocks, *groups):
    return tuple(Pod(groups or (Group(),), blocks + 40 * i, i) for i in range(count))


MIXED = dict(lora=0.3, salt=0.3, images=0.15)
SCENARIOS = {
    "b32": Scenario(pods(2, 90, Group(block=32)), 32, **MIXED),
    "b64": Scenario(pods(2, 60, Group(block=64)), 64, tokens=900, **MIXED),
    "b128": Scenario(pods(2, 50, Group(block=128)), 128, tokens=2000, chunk=512, **MIXED),
    "b16-under-64": Scenario(pods(2, 200), 64, tokens=600, **MIXED),
    "b24": Scenario(pods(2, 90, Group(block=24)), 24, **MIXED),
    "mixed-16-64": Scenario(
        (Pod(blocks=200), Pod((Group(block=64),), 50, 1)), 16, requests=90, aligned=0.4, **MIXED
    ),
    "mixed-32-48": Scenario(
        (Pod((Group(block=32),), 100), Pod((Group(block=48),), 80, 3)), 16, aligned=0.4, **MIXED
    ),
    "mixed-16-64-at-64": Scenario(
        (Pod(blocks=200), Pod((Group(block=64),), 50, 1)), 64, aligned=0.4, **MIXED
    ),
    "bytes": Scenario(pods(2, 150), 16, int_hashes=False, **MIXED),
    "bytes-xxhash": Scenario(pods(2, 150), 16, int_hashes=False, algorithm="xxhash_cbor", **MIXED),
    "duplicates": Scenario(pods(2, 120), 16, aligned=0.9, tokens=200, **MIXED),
    "churn": Scenario(pods(1, 45), 16, requests=150, tokens=500),
    "images": Scenario(pods(2, 150), 16, images=0.6, lora=0.2, salt=0.2),
    "sliding-100": Scenario(pods(2, 220, Group(), Group("sliding", 16, 100)), 16),
    "sliding-10": Scenario(pods(2, 220, Group(), Group("sliding", 16, 10)), 16),
    "sliding-1": Scenario(pods(2, 220, Group(), Group("sliding", 16, 1)), 16),
    "sliding-17-18": Scenario(
        pods(2, 280, Group(), Group("sliding", 16, 17), Group("sliding", 16, 18)), 16, **MIXED
    ),
    "sliding-40-333": Scenario(
        pods(2, 280, Group(), Group("sliding", 16, 40), Group("sliding", 16, 333)), 16, **MIXED
    ),
    "sliding-first": Scenario(pods(2, 220, Group("sliding", 16, 50), Group()), 16, **MIXED),
    "sliding-b32-w90": Scenario(
        pods(2, 120, Group(block=32), Group("sliding", 32, 90)), 32, **MIXED
    ),
    "two-full": Scenario(pods(2, 220, Group(), Group()), 16),
    "full16-sliding32": Scenario(pods(2, 200, Group(), Group("sliding", 32, 70)), 16),
    "full32-sliding16": Scenario(pods(2, 200, Group(block=32), Group("sliding", 16, 70)), 16),
    "full32-sliding16-at-32": Scenario(pods(2, 200, Group(block=32), Group("sliding", 16, 70)), 32),
    "full64-sliding16": Scenario(
        pods(2, 160, Group(block=64), Group("sliding", 16, 20)), 16, tokens=600
    ),
    "full16-sliding64": Scenario(
        pods(2, 160, Group(), Group("sliding", 64, 65)), 16, tokens=600
    ),
    "mamba": Scenario(pods(2, 220, Group(), Group("mamba", 16)), 16, **MIXED),
    "mamba-first": Scenario(pods(2, 220, Group("mamba", 16), Group()), 16, **MIXED),
    "mamba-align": Scenario(pods(2, 150, Group(), Group("mamba-align", 16)), 16, **MIXED),
    "mamba-align-64": Scenario(
        pods(2, 100, Group(block=64), Group("mamba-align", 64)), 64, tokens=900, **MIXED
    ),
    "mamba-fine": Scenario(
        pods(2, 150, Group(block=16), Group("mamba-align", 64)), 16, tokens=600
    ),
    "mamba-unit": Scenario(
        pods(2, 100, Group(block=64), Group("mamba-align", 64)), 16, tokens=700, match_unit=16
    ),
    "mamba-unit-tight": Scenario(
        pods(2, 40, Group(block=64), Group("mamba-align", 64)), 16, tokens=700, match_unit=16
    ),
    "tight-full64-sliding16": Scenario(
        pods(2, 70, Group(block=64), Group("sliding", 16, 40)),
        16,
        requests=50,
        tokens=400,
        **MIXED,
    ),
    "tight-full128-sliding32": Scenario(
        pods(2, 60, Group(block=128), Group("sliding", 32, 60)), 32, tokens=1400, **MIXED
    ),
    "tight-sliding-40-333": Scenario(
        pods(2, 110, Group(), Group("sliding", 16, 40), Group("sliding", 16, 333)),
        16,
        requests=50,
        tokens=300,
        **MIXED,
    ),
    "tight-full16-sliding48": Scenario(
        pods(2, 70, Group(), Group("sliding", 48, 70)), 16, **MIXED
    ),
    "tight-mamba": Scenario(pods(2, 70, Group(), Group("mamba", 16)), 16, tokens=300, **MIXED),
    "tight-mamba-align": Scenario(
        pods(2, 60, Group(), Group("mamba-align", 16)), 16, chunk=100, **MIXED
    ),
    "chunked": Scenario(pods(2, 220, Group(), Group("chunked", 16, 128)), 16),
    "only-sliding": Scenario(pods(2, 90, Group("sliding", 16, 100)), 16),
    "only-mamba": Scenario(pods(2, 90, Group("mamba", 16)), 16),
}


def spec_of(group):
    import torch
    from vllm.v1 import kv_cache_interface as kv

    shape = dict(num_kv_heads=1, head_size=1, dtype=torch.float32)
    if group.kind == "full":
        return kv.FullAttentionSpec(block_size=group.block, **shape)
    if group.kind == "sliding":
        return kv.SlidingWindowSpec(block_size=group.block, sliding_window=group.window, **shape)
    if group.kind == "chunked":
        return kv.ChunkedLocalAttentionSpec(
            block_size=group.block, attention_chunk_size=group.window, **shape
        )
    mode = "align" if group.kind == "mamba-align" else "all"
    return kv.MambaSpec(
        block_size=group.block, shapes=((1,),), dtypes=(torch.float32,), mamba_cache_mode=mode
    )


class Engine:
    """One engine process: the engine's KV cache manager under a small scheduling loop."""

    def __init__(self, name, pod, scenario):
        import math

        from vllm.utils.hashing import get_hash_fn_by_name
        from vllm.v1.core.kv_cache_manager import KVCacheManager
        from vllm.v1.core.kv_cache_utils import get_request_block_hasher
        from vllm.v1.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec

        self.name, self.pod, self.chunk = name, pod, scenario.chunk
        sizes = [group.block for group in pod.groups]
        self.unit = math.lcm(*sizes)
        self.is_aligned = any(group.kind == "mamba-align" for group in pod.groups)
        # As resolve_kv_cache_block_sizes: other mamba modes hash at the scheduler's block size.
        is_coarse = any(group.kind == "mamba" for group in pod.groups)
        hash_block = self.unit if is_coarse else scenario.match_unit or math.gcd(*sizes)
        self.hash_block = hash_block
        groups = [KVCacheGroupSpec([f"layer.{i}"], spec_of(g)) for i, g in enumerate(pod.groups)]
        self.manager = KVCacheManager(
            KVCacheConfig(num_blocks=pod.blocks, kv_cache_tensors=[], kv_cache_groups=groups),
            max_model_len=8192,
            scheduler_block_size=self.unit,
            hash_block_size=hash_block,
            max_in_flight_tokens=scenario.chunk,
            enable_kv_cache_events=True,
        )
        algorithm = get_hash_fn_by_name(scenario.algorithm)
        self.hasher = get_request_block_hasher(hash_block, algorithm)
        self.waiting, self.running, self.sequence = [], [], 0
        self.preemptions = 0

    def hit_tokens(self, request):
        return self.manager.get_computed_blocks(request)[1]

    def new_tokens(self, request, computed):
        """Size of the next chunk; states of `align` models are kept where chunks end."""
        count = min(request.num_tokens - computed, self.chunk)
        if not self.is_aligned or computed >= max(request.num_prompt_tokens, request.num_tokens - 1):
            return count
        # The rules of the engine's scheduler for such models, without speculative tokens.
        end, unit, start = computed + count, self.unit, computed
        if end < request.num_tokens:
            end = max(end // unit * unit, start + 1)
        stops = (
            (start // unit + 1) * unit if start % unit else 0,
            (request.num_tokens - 1) // unit * unit,
            (request.num_prompt_tokens - 1) // self.hash_block * self.hash_block,
        )
        return min([end, *(stop for stop in stops if start < stop < end)]) - start

    def step(self, next_token):
        """One engine step; returns the requests that finished in it."""
        self.manager.new_step_starts()
        scheduled = []
        for request in list(self.running):
            if request not in self.running:
                continue
            count = self.new_tokens(request, request.num_computed_tokens)
            while self.manager.allocate_slots(request, count) is None:
                victim = self.running.pop()
                self.manager.free(victim)
                victim.num_computed_tokens = 0
                self.preemptions += 1
                self.waiting.insert(0, victim)
                scheduled = [entry for entry in scheduled if entry[0] is not victim]
                if victim is request:
                    break
            else:
                scheduled.append((request, count))
        while self.waiting and len(self.running) < 4:
            request = self.waiting[0]
            blocks, computed, boundary = self.manager.get_computed_blocks(request)
            request.shared_prefix_boundary = boundary
            count = self.new_tokens(request, computed)
            fits = self.manager.allocate_slots(
                request, count, computed, blocks, full_sequence_must_fit=True
            )
            if fits is None:
                break
            self.waiting.pop(0)
            request.num_computed_tokens = computed
            self.running.append(request)
            scheduled.append((request, count))
        # The worker copies shared partial blocks; then both ends are released.
        _, retained = self.manager.take_kv_cache_block_copies()
        self.manager.block_pool.free_blocks(retained)
        finished = []
        for request, count in scheduled:
            request.num_computed_tokens += count
            if request.num_computed_tokens < request.num_tokens:
                continue
            request.append_output_token_ids(next_token())
            if request.num_output_tokens >= request.max_tokens:
                self.running.remove(request)
                self.manager.free(request)
                finished.append(request)
        return finished

    @property
    def is_idle(self):
        return not self.waiting and not self.running


class Recorder:
    def __init__(self, scenario, output):
        import msgspec
        from vllm.utils.hashing import get_hash_fn_by_name
        from vllm.v1.core import kv_cache_utils

        kv_cache_utils.init_none_hash(get_hash_fn_by_name(scenario.algorithm))
        self.scenario, self.output = scenario, output
        self.random = random.Random(scenario.seed)
        self.encoder = msgspec.msgpack.Encoder()
        self.engines = [self.start(i) for i in range(len(scenario.pods))]
        self.last_sequence = {engine.name: -1 for engine in self.engines}
        self.prompts, self.now, self.hits = [], 1.7e9, 0
        self.families = [self.text(self.random.randrange(16, scenario.tokens)) for _ in range(6)]
        self.write_header(kv_cache_utils.NONE_HASH)

    def start(self, index):
        return Engine(f"pod-{index}", self.scenario.pods[index], self.scenario)

    def text(self, count):
        return [self.random.randrange(32000) for _ in range(count)]

    def line(self, kind, **fields):
        self.output.write(json.dumps({"type": kind, **fields}, separators=(",", ":")) + "\n")

    def write_header(self, none_hash):
        import vllm

        def describe(group):
            return f"{group.kind}(block {group.block}, window {group.window})"

        groups = self.scenario.pods[0].groups
        self.line(
            "header",
            format="kvstream/1",
            engine="vllm",
            engine_version=vllm.__version__,
            block_size=self.scenario.block,
            hash_algo=self.scenario.algorithm,
            PYTHONHASHSEED=os.environ.get("PYTHONHASHSEED"),
            int_block_hashes=self.scenario.int_hashes,
            none_hash=none_hash.hex(),
            kv_cache_groups=[describe(group) for group in groups],
            pods=[
                {
                    "name": engine.name,
                    "topic": f"kv@{engine.name}@tiny",
                    "num_gpu_blocks": engine.pod.blocks,
                    "block_size": engine.pod.groups[0].block,
                    "data_parallel_rank": engine.pod.rank,
                }
                for engine in self.engines
            ],
            workload_seed=self.scenario.seed,
        )

    def publish(self, engine):
        from vllm.distributed.kv_events import KVEventBatch

        events = engine.manager.take_events()
        if not events:
            return
        self.now += self.random.random()
        batch = KVEventBatch(ts=self.now, events=events, data_parallel_rank=engine.pod.rank)
        payload = base64.b64encode(self.encoder.encode(batch)).decode()
        topic = f"kv@{engine.name}@tiny"
        self.line("frame", pod=engine.name, topic=topic, seq=engine.sequence, payload=payload)
        self.last_sequence[engine.name] = engine.sequence
        engine.sequence += 1

    def next_prompt(self):
        """Token ids, LoRA, salt, images of the next request."""
        choice, scenario = self.random.random(), self.scenario
        if self.prompts and choice < 0.35:
            tokens, *rest = self.random.choice(self.prompts[-12:])
            tokens = tokens + self.text(self.random.randrange(1, 80))
        elif self.prompts and choice < 0.5:
            tokens, *rest = self.random.choice(self.prompts[-12:])
            tokens = tokens[: self.random.randrange(1, len(tokens) + 1)]
        else:
            tokens = self.random.choice(self.families)
            tokens = tokens + self.text(self.random.randrange(0, scenario.tokens // 2))
            adapter = self.random.choice(["sql", "chat"])
            rest = [
                adapter if self.random.random() < scenario.lora else None,
                self.random.choice(["tenant-1", "sql"])
                if self.random.random() < scenario.salt
                else None,
                self.images(len(tokens)) if self.random.random() < scenario.images else [],
            ]
        if self.random.random() < 0.2 and rest[2]:
            rest = [rest[0], rest[1], []]
        tokens = tokens[: scenario.tokens * 2]
        if self.random.random() < scenario.aligned and len(tokens) > scenario.block:
            unit = max(group.block for pod in scenario.pods for group in pod.groups)
            tokens = tokens[: max(unit, len(tokens) // unit * unit) + self.random.choice([0, 0, 1])]
        return tokens, *rest

    def images(self, count):
        """Two items at most, as (identifier, offset, length)."""
        if count < 60:
            return []
        first = self.random.randrange(0, count // 2)
        second = self.random.randrange(first + 20, count - 12)
        return [(self.random.choice("ab") * 64, first, 20), ("c" * 64, second, 12)]

    def request(self, name, engine, prompt):
        from vllm.lora.request import LoRARequest
        from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange
        from vllm.sampling_params import SamplingParams
        from vllm.v1.request import Request

        tokens, adapter, salt, images = prompt
        lora = adapter and LoRARequest(adapter, 1 + (adapter == "sql"), f"/adapters/{adapter}")
        features = [
            MultiModalFeatureSpec(None, "image", identifier, PlaceholderRange(offset, length))
            for identifier, offset, length in images
            if offset + length <= len(tokens)
        ]
        return Request(
            request_id=name,
            prompt_token_ids=list(tokens),
            sampling_params=SamplingParams(max_tokens=1 + self.random.randrange(40)),
            pooling_params=None,
            lora_request=lora or None,
            cache_salt=salt,
            mm_features=features,
            block_hasher=engine.hasher,
        )

    def probe(self, name, prompt):
        """What every engine would reuse now. The format has no field for images: text only."""
        tokens, adapter, salt, _ = prompt
        text = (tokens, adapter, salt, [])
        hits = {e.name: e.hit_tokens(self.request(name, e, text)) for e in self.engines}
        self.hits += sum(hits.values())
        fields = {"id": name, "token_ids": tokens}
        if adapter:
            fields.update(lora_name=adapter, lora_path=f"/adapters/{adapter}")
        if salt:
            fields.update(cache_salt=salt)
        self.line("probe", **fields, hit_tokens=hits, last_seq=dict(self.last_sequence))

    def steps(self, engine, count):
        for _ in range(count):
            if engine.is_idle:
                return
            for request in engine.step(lambda: self.random.randrange(32000)):
                self.prompts.append((list(request.all_token_ids), *request.prompt_rest))
                self.line("finish", pod=engine.name, id=request.request_id)
            self.publish(engine)

    def reset(self, engine):
        self.steps(engine, 500)
        assert engine.manager.reset_prefix_cache(), "an idle engine can be reset"
        self.line("reset", pod=engine.name)
        self.publish(engine)

    def restart(self, index):
        self.engines[index] = self.start(index)
        name = self.engines[index].name
        self.last_sequence[name] = -1
        self.line("restart", pod=name)

    def run(self):
        count = self.scenario.requests
        for i in range(count):
            name, prompt = f"r{i}", self.next_prompt()
            self.probe(name, prompt)
            engine = self.random.choice(self.engines)
            request = self.request(name, engine, prompt)
            request.prompt_rest = prompt[1:]
            engine.waiting.append(request)
            self.line("submit", id=name, pod=engine.name)
            for other in self.engines:
                self.steps(other, self.random.randrange(0, 12))
            if i == count * 2 // 5:
                self.reset(self.engines[0])
            if i == count * 3 // 5:
                self.restart(len(self.engines) - 1)
        preemptions = sum(engine.preemptions for engine in self.engines)
        print(f"hit tokens {self.hits}, preemptions {preemptions}", file=sys.stderr)


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in SCENARIOS:
        sys.exit(f"{__doc__}\nScenarios: {' '.join(SCENARIOS)}")
    scenario = SCENARIOS[sys.argv[1]]
    if len(sys.argv) == 4:
        scenario = replace(scenario, seed=int(sys.argv[3]))
    os.environ["VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES"] = "1" if scenario.int_hashes else "0"
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    with open(sys.argv[2], "w") as output:
        Recorder(scenario, output).run()


if __name__ == "__main__":
    main()

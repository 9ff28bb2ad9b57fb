// Every hard bound of the program, with its unit and its reason.

/** Bytes of one request body: 128k tokens of text with tools fit four times over. */
export const BODY_BYTES_MAX: number = 32 * 1024 * 1024;
/** Bytes of all request bodies held at once; beyond it requests are refused with 503. */
export const BODY_STORE_BYTES: number = 512 * 1024 * 1024;
/** Requests held at once, streams included. */
export const REQUESTS_IN_FLIGHT_MAX = 8192;
/** Bytes of a request head; Node's own default. */
export const HEADER_BYTES_MAX: number = 16 * 1024;
/** Header lines of a request. */
export const HEADER_COUNT_MAX = 100;
/** A client must have sent its head within this; 2,000 slow clients were cheap, not free. */
export const HEADERS_TIMEOUT_MS = 10_000;
/** A client must have sent its whole request within this. */
export const REQUEST_TIMEOUT_MS = 60_000;
/** A client that reads nothing for this long is cut. */
export const CLIENT_STALL_TIMEOUT_MS = 60_000;
/** Nesting of a JSON body; `JSON.parse` of deep nests blocks a thread for seconds. */
export const JSON_DEPTH_MAX = 64;
/** Object keys in a JSON body: a million distinct keys block a thread for 5 s. */
export const JSON_KEYS_MAX = 10_000;
/**
 * Values in a JSON body, numbers outside what a template is given left out (prompts may be lists of
 * token ids): each `{}` of three bytes becomes about 90, so that a body costs less than the largest.
 */
export const JSON_VALUES_MAX = 262_144;
/** Steps of one chat template: thousands of messages fit many times over, an endless loop does not. */
export const TEMPLATE_STEPS_MAX = 2_097_152;
/** Tokens of one prompt that are matched; longer prompts are routed by load. */
export const PROMPT_TOKENS_MAX = 1_048_576;
/** Characters of a text that is tokenised: four per token; longer ones are routed by load. */
export const PROMPT_CHARACTERS_MAX: number = 4 * PROMPT_TOKENS_MAX;
/** Different images, audio and video of one prompt that have a key: engines take far fewer. */
export const MEDIA_KEYS_MAX = 32;
/** Bytes of one tokenizer's exact prefix cache in one prompt worker: about 100k chunks of 1 KiB. */
export const PREFIX_STORE_BYTES: number = 64 * 1024 * 1024;
/** Tokenizers a prompt worker holds at once, 50-130 MB each; the least recently used goes. */
export const TOKENIZERS_MAX = 8;
/** Answers of an engine's /tokenize kept per prompt worker. */
export const ENGINE_TOKENIZE_CACHE_ENTRIES = 256;
/** An engine's /tokenize must answer within this, else the request is routed by load. */
export const ENGINE_TOKENIZE_TIMEOUT_MS = 2000;
/** Handles encoded in one task of the prompt pool. */
export const ENCODE_BATCH_MAX = 32;
/** Endpoint slots and virtual endpoint ids there can ever be. */
export const ENDPOINTS_MAX = 1024;
/** KV groups of one engine, group 0 included. */
export const KV_GROUPS_MAX = 8;
/** Bytes of one event frame; a legal batch of 8,192 ids is far smaller. */
export const EVENT_FRAME_BYTES_MAX: number = 4 * 1024 * 1024;
/** Bytes at which ZeroMQ cuts the connection; between the two a frame is counted as malformed. */
export const EVENT_MESSAGE_BYTES_MAX: number = 4 * EVENT_FRAME_BYTES_MAX;
/** Nesting of an event frame: batch, events, event, extra keys, key, pair. */
export const EVENT_DEPTH_MAX = 8;
/** Dropped generations of one publisher not swept yet: each keeps a virtual id from the others. */
export const GENERATIONS_UNSWEPT_MAX = 3;
/** Engine blocks remembered of one publisher, all tiers; a JS map ends at 2^24 entries. */
export const ENGINE_BLOCKS_MAX = 8_000_000;
/** Bytes of an engine block's extra keys kept until its canonical block is whole; beyond, a digest. */
export const TAIL_EXTRA_BYTES_MAX = 512;
/** Engine blocks that one canonical block is made of: usually 16 pages of one token at most. */
export const BLOCK_PARTS_MAX = 128;
/** Tokens of a canonical block; engines' largest, of hybrid models, have about 2,000. */
export const BLOCK_SIZE_MAX = 4096;
/** Namespaces (adapter and cache salt) whose seeds the portable core keeps per publisher. */
export const NAMESPACES_KEPT = 1024;
/** Characters of a namespace whose seed is kept; of a longer one it is computed each time. */
export const NAMESPACE_LENGTH_KEPT = 256;
/** Frames waiting for one publisher in an event worker; overflow is a gap. */
export const EVENT_QUEUE_FRAMES_MAX = 10_000;
/** Bytes of frames waiting for one publisher. */
export const EVENT_QUEUE_BYTES_MAX: number = 64 * 1024 * 1024;
/** Endpoints tried for one request, the first included. */
export const ATTEMPTS_MAX = 3;
/** Retries per second a fleet may add on top of a fifth of its requests. */
export const RETRY_BUDGET_PER_SECOND = 10;
export const RETRY_BUDGET_RATIO = 0.2;
/** Decisions kept for /debug/decisions. */
export const DECISIONS_KEPT = 1000;
/** Distinct values of the `model` label; the rest is `other`. */
export const MODEL_LABELS_MAX = 1000;
/** Characters of a client's request id. */
export const REQUEST_ID_LENGTH_MAX = 128;
/** Sessions whose endpoint is remembered by one policy; the least recently used is forgotten. */
export const SESSIONS_MAX = 100_000;
/** Characters of a session's id; a longer one is no session. */
export const SESSION_ID_LENGTH_MAX = 256;
/** Lifetime of a speculative residency. */
export const SPECULATIVE_TTL_MS = 2000;
/** Speculative residencies held at once; oldest are overwritten. */
export const SPECULATIVE_ENTRIES: number = 256 * 1024;
/** Bytes of a scraped /metrics or probed JSON body. */
export const ENGINE_BODY_BYTES_MAX: number = 8 * 1024 * 1024;
/** Models and adapters of the whole fleet; each has an index and a tokenizer reference for good. */
export const FLEET_MODELS_MAX = 4096;
/** Blocks of one endpoint's routing history: 67 M tokens; 45 bytes each, as they come into use. */
export const HISTORY_BLOCKS_MAX: number = 4 * 1024 * 1024;
/** Blocks of a prompt that a routing history takes in at once, so that the main thread stays free. */
export const HISTORY_SLICE_BLOCKS = 1024;
/** Tokens that an engine is taken to hold while it does not tell: an 80 GB card with a middling model. */
export const HISTORY_TOKENS_DEFAULT: number = 256 * 1024;

//! Limits, error table and shared-memory offsets, generated from `src/contracts` by
//! `npm run generate`. Do not edit.

/// Every hard bound of the program (`limits.ts` gives unit and reason).
pub mod limits {
    pub const ATTEMPTS_MAX: usize = 3;
    pub const BLOCK_PARTS_MAX: usize = 128;
    pub const BLOCK_SIZE_MAX: usize = 4096;
    pub const BODY_BYTES_MAX: usize = 33_554_432;
    pub const BODY_STORE_BYTES: usize = 536_870_912;
    pub const CLIENT_STALL_TIMEOUT_MS: usize = 60_000;
    pub const DECISIONS_KEPT: usize = 1000;
    pub const ENCODE_BATCH_MAX: usize = 32;
    pub const ENDPOINTS_MAX: usize = 1024;
    pub const ENGINE_BLOCKS_MAX: usize = 8_000_000;
    pub const ENGINE_BODY_BYTES_MAX: usize = 8_388_608;
    pub const ENGINE_TOKENIZE_CACHE_ENTRIES: usize = 256;
    pub const ENGINE_TOKENIZE_TIMEOUT_MS: usize = 2000;
    pub const EVENT_DEPTH_MAX: usize = 8;
    pub const EVENT_FRAME_BYTES_MAX: usize = 4_194_304;
    pub const EVENT_MESSAGE_BYTES_MAX: usize = 16_777_216;
    pub const EVENT_QUEUE_BYTES_MAX: usize = 67_108_864;
    pub const EVENT_QUEUE_FRAMES_MAX: usize = 10_000;
    pub const FLEET_MODELS_MAX: usize = 4096;
    pub const GENERATIONS_UNSWEPT_MAX: usize = 3;
    pub const HEADERS_TIMEOUT_MS: usize = 10_000;
    pub const HEADER_BYTES_MAX: usize = 16_384;
    pub const HEADER_COUNT_MAX: usize = 100;
    pub const HISTORY_BLOCKS_MAX: usize = 4_194_304;
    pub const HISTORY_SLICE_BLOCKS: usize = 1024;
    pub const HISTORY_TOKENS_DEFAULT: usize = 262_144;
    pub const JSON_DEPTH_MAX: usize = 64;
    pub const JSON_KEYS_MAX: usize = 10_000;
    pub const JSON_VALUES_MAX: usize = 262_144;
    pub const KV_GROUPS_MAX: usize = 8;
    pub const MEDIA_KEYS_MAX: usize = 32;
    pub const MODEL_LABELS_MAX: usize = 1000;
    pub const NAMESPACES_KEPT: usize = 1024;
    pub const NAMESPACE_LENGTH_KEPT: usize = 256;
    pub const PREFIX_STORE_BYTES: usize = 67_108_864;
    pub const PROMPT_CHARACTERS_MAX: usize = 4_194_304;
    pub const PROMPT_TOKENS_MAX: usize = 1_048_576;
    pub const REQUESTS_IN_FLIGHT_MAX: usize = 8192;
    pub const REQUEST_ID_LENGTH_MAX: usize = 128;
    pub const REQUEST_TIMEOUT_MS: usize = 60_000;
    pub const RETRY_BUDGET_PER_SECOND: usize = 10;
    pub const RETRY_BUDGET_RATIO: f64 = 0.2;
    pub const SESSIONS_MAX: usize = 100_000;
    pub const SESSION_ID_LENGTH_MAX: usize = 256;
    pub const SPECULATIVE_ENTRIES: usize = 262_144;
    pub const SPECULATIVE_TTL_MS: usize = 2000;
    pub const TAIL_EXTRA_BYTES_MAX: usize = 512;
    pub const TEMPLATE_STEPS_MAX: usize = 2_097_152;
    pub const TOKENIZERS_MAX: usize = 8;
}

/// Encode records, speculative residencies, publisher counters (`shared-layout.ts`).
pub mod shared {
    pub mod record {
        pub const GENERATION: usize = 0;
        pub const BODY_OFFSET: usize = 1;
        pub const BODY_BYTES: usize = 2;
        pub const KEYS_OFFSET: usize = 3;
        pub const KEYS_CAPACITY: usize = 4;
        pub const STATE: usize = 5;
        pub const ERROR_CODE: usize = 6;
        pub const NO_MATCH_REASON: usize = 7;
        pub const FLAGS: usize = 8;
        pub const PRIORITY: usize = 9;
        pub const PROMPT_TOKENS: usize = 10;
        pub const TOTAL_BLOCKS: usize = 11;
        pub const BLOCK_SIZE: usize = 12;
        pub const KEY_COUNT: usize = 13;
        pub const MODEL: usize = 14;
        pub const MODEL_OFFSET: usize = 15;
        pub const MODEL_BYTES: usize = 16;
        pub const INDEX_EPOCH: usize = 17;
        pub const PARSE_MICROS: usize = 18;
        pub const RENDER_MICROS: usize = 19;
        pub const TOKENIZE_MICROS: usize = 20;
        pub const HASH_MICROS: usize = 21;
        pub const MATCH_MICROS: usize = 22;
        pub const PATCH_COUNT: usize = 23;
        pub const PATCHES: usize = 24;
        pub const DETAIL_BYTES: usize = 40;
        pub const DETAIL: usize = 41;
        pub const PARAM_BYTES: usize = 105;
        pub const PARAM: usize = 106;
        pub const WRITING: usize = 122;
        pub const MEDIA_COUNT: usize = 123;
        pub const MEDIA_LEFT_OUT: usize = 124;
        pub const MEDIA: usize = 128;
        pub const HEAD_WORDS: usize = 192;
    }
    pub const RECORD_DETAIL_BYTES_MAX: usize = 256;
    pub mod record_endpoint_arrays {
        pub const USABLE_BLOCKS: usize = 0;
        pub const RAW_BLOCKS: usize = 1;
        pub const SPECULATIVE_BLOCKS: usize = 2;
        pub const TIER_BLOCKS: usize = 3;
        pub const WORDS: usize = 7;
    }
    pub const RECORD_PARAM_BYTES_MAX: usize = 64;
    pub const RECORD_PATCHES_MAX: usize = 8;
    pub mod request_memory {
        pub const ENDPOINT_CAPACITY: usize = 0;
        pub const SPECULATIVE_UNTIL: usize = 1;
        pub const HEAD_BYTES: usize = 112;
    }
    pub mod speculative {
        pub const KEY_LOW: usize = 0;
        pub const EXPIRY: usize = 32;
        pub const KEY_HIGH: usize = 64;
        pub const SLOT: usize = 96;
        pub const ROW_WORDS: usize = 128;
    }
    pub const SPECULATIVE_ROW: usize = 32;
}

/// The block index (`index-layout.ts`).
pub mod index {
    pub mod bucket {
        pub const LOCK: usize = 0;
        pub const OVERFLOW: usize = 1;
        pub const SLOTS: usize = 2;
        pub const WORDS: usize = 16;
    }
    pub const BUCKETS_MAX: usize = 33_554_432;
    pub const BUCKET_SLOTS: usize = 7;
    pub const DISPLACEMENT_MAX: usize = 255;
    pub const DISPLACEMENT_SHIFT: usize = 24;
    pub const HISTORY_WRITER_ID: usize = 63;
    pub const INDEX_LAYOUT_VERSION: usize = 2;
    pub const INDEX_MAGIC: usize = 1_481_199_703;
    pub const INDEX_WRITERS_MAX: usize = 64;
    pub const LOAD_FACTOR: f64 = 0.6;
    pub mod masks {
        pub const OPENED: usize = 0;
        pub const ALIVE: usize = 1;
        pub const WINDOWED: usize = 2;
        pub const DROPPED: usize = 3;
        pub const STRIPPING: usize = 4;
        pub const COUNT: usize = 5;
    }
    pub const OWNER_COUNT_MASK: usize = 1_048_575;
    pub const OWNER_COUNT_SHIFT: usize = 11;
    pub const OWNER_SLOT_MASK: usize = 2047;
    pub mod preamble {
        pub const MAGIC: usize = 0;
        pub const VERSION: usize = 1;
        pub const BUCKET_COUNT: usize = 2;
        pub const ENDPOINT_CAPACITY: usize = 3;
        pub const SET_CAPACITY: usize = 4;
        pub const INTERN_CAPACITY: usize = 5;
        pub const STATE: usize = 6;
        pub const WRITERS: usize = 7;
        pub const ENDPOINTS: usize = 8;
        pub const MASKS: usize = 9;
        pub const SET_META: usize = 10;
        pub const INTERN: usize = 11;
        pub const SET_BITS: usize = 12;
        pub const BUCKETS: usize = 13;
        pub const WORDS: usize = 16;
    }
    pub const SET_ID_MASK: usize = 16_777_215;
    pub mod set_meta {
        pub const HASH: usize = 0;
        pub const STAMP: usize = 1;
        pub const WORDS: usize = 2;
    }
    pub mod slot {
        pub const TAG: usize = 0;
        pub const SET: usize = 1;
        pub const WORDS: usize = 2;
    }
    pub mod state {
        pub const EPOCH: usize = 0;
        pub const SUSPENDED: usize = 1;
        pub const SETS_GENERATION: usize = 2;
        pub const INTERN_LOCK: usize = 32;
        pub const SETS_USED: usize = 33;
        pub const SETS_FRESH: usize = 34;
        pub const SETS_FREE: usize = 35;
        pub const SETS_WANTED: usize = 36;
        pub const SWEEP_LOCK: usize = 64;
        pub const SWEEP_ACTIVE: usize = 65;
        pub const SWEEP_CURSOR: usize = 66;
        pub const SWEEP_CYCLE: usize = 67;
        pub const SETS_KEPT: usize = 68;
        pub const WORDS: usize = 96;
    }
    pub mod virtual_endpoint {
        pub const OWNER: usize = 0;
        pub const WINDOWS: usize = 1;
        pub const ALIGNMENT: usize = 8;
        pub const WORDS: usize = 16;
    }
    pub const VIRTUAL_ID_BITS: usize = 10;
    pub const VIRTUAL_ID_MASK: usize = 1023;
    pub mod writer {
        pub const BLOCKS: usize = 0;
        pub const REJECTED: usize = 1;
        pub const WORDS: usize = 32;
    }
}

/// Routes by their number.
pub const ROUTES: [&str; 8] = [
    "chat-completions",
    "completions",
    "passthrough",
    "local",
    "vllm-generate",
    "sglang-generate",
    "messages",
    "responses",
];

/// Reasons by their number.
pub const NO_MATCH_REASONS: [&str; 13] = [
    "no-tokenizer",
    "tokenizer-unproven",
    "block-size-unknown",
    "extra-keys",
    "several-prompts",
    "over-limit",
    "below-one-block",
    "encoder-failed",
    "not-a-prompt",
    "index-cold",
    "no-match",
    "policy-without-prefixes",
    "prompt-not-read",
];

/// Headers of one connection (`header-names.ts`).
pub const OWN_HEADERS: [&str; 15] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "host",
    "content-length",
    "accept-encoding",
    "content-encoding",
    "x-request-id",
];

/// Headers that steer routers.
pub const RESERVED_PREFIXES: [&str; 6] = [
    "x-gateway-destination-endpoint",
    "x-warmpath-",
    "x-data-parallel-",
    "x-prefiller-",
    "x-encoder-",
    "x-kv-cache-source-",
];

/// Headers that are for the router alone.
pub const WISH_PREFIXES: [&str; 4] = [
    "x-llm-d-",
    "x-gateway-inference-",
    "x-gateway-model-name-rewrite",
    "x-gateway-destination-endpoint-subset",
];

/// Headers that make a request telling.
pub const TELLING_HEADERS: [&str; 9] = [
    "x-session-token",
    "x-session-id",
    "x-claude-code-session-id",
    "x-session-affinity",
    "session-id",
    "session_id",
    "epp-profile",
    "x-llm-d-model-name-rewrite",
    "x-gateway-model-name-rewrite",
];

/// The gateway's header with a say.
pub const ENDPOINT_SUBSET_HEADER: &str = "x-gateway-destination-endpoint-subset";

/// Asks for another model.
pub const MODEL_REWRITE_HEADER: &str = "x-llm-d-model-name-rewrite";

/// As llm-d spelled it.
pub const OLD_MODEL_REWRITE_HEADER: &str = "x-gateway-model-name-rewrite";

/// The name with an underscore.
pub const SESSION_OF_OLD_CODEX: &str = "session_id";

/// One row of the error table (`errors.ts`); `kind` is `error.type` of the body.
pub struct ErrorDefinition {
    pub code: &'static str,
    pub status: u16,
    pub source: &'static str,
    pub kind: &'static str,
    pub dropped: Option<&'static str>,
}

/// Errors by their number.
pub const ERRORS: [ErrorDefinition; 27] = [
    ErrorDefinition {
        code: "invalid_json",
        status: 400,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "invalid_body",
        status: 400,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "duplicate_field",
        status: 400,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "body_too_deep",
        status: 400,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "template_not_allowed",
        status: 400,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "template_failed",
        status: 400,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "context_length_exceeded",
        status: 400,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "model_not_found",
        status: 404,
        source: "client",
        kind: "not_found_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "route_not_found",
        status: 404,
        source: "client",
        kind: "not_found_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "method_not_allowed",
        status: 405,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "request_timeout",
        status: 408,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "body_too_large",
        status: 413,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "unsupported_encoding",
        status: 415,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "headers_too_large",
        status: 431,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "overloaded",
        status: 429,
        source: "router",
        kind: "rate_limit_error",
        dropped: Some("rejected-saturated"),
    },
    ErrorDefinition {
        code: "internal_error",
        status: 500,
        source: "router",
        kind: "router_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "no_endpoints",
        status: 503,
        source: "router",
        kind: "router_error",
        dropped: Some("rejected-no-endpoints"),
    },
    ErrorDefinition {
        code: "too_many_requests",
        status: 503,
        source: "router",
        kind: "router_error",
        dropped: Some("rejected-saturated"),
    },
    ErrorDefinition {
        code: "shutting_down",
        status: 503,
        source: "router",
        kind: "router_error",
        dropped: Some("rejected-shutting-down"),
    },
    ErrorDefinition {
        code: "endpoint_unreachable",
        status: 502,
        source: "endpoint",
        kind: "endpoint_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "endpoint_bad_response",
        status: 502,
        source: "endpoint",
        kind: "endpoint_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "endpoint_timeout",
        status: 504,
        source: "endpoint",
        kind: "endpoint_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "endpoint_stalled",
        status: 504,
        source: "endpoint",
        kind: "endpoint_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "endpoint_disconnected",
        status: 502,
        source: "endpoint",
        kind: "endpoint_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "malformed_request",
        status: 400,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "profile_not_found",
        status: 400,
        source: "client",
        kind: "invalid_request_error",
        dropped: None,
    },
    ErrorDefinition {
        code: "deadline_exceeded",
        status: 504,
        source: "router",
        kind: "router_error",
        dropped: None,
    },
];

/// Numbers of the errors.
pub mod error {
    pub const INVALID_JSON: usize = 0;
    pub const INVALID_BODY: usize = 1;
    pub const DUPLICATE_FIELD: usize = 2;
    pub const BODY_TOO_DEEP: usize = 3;
    pub const TEMPLATE_NOT_ALLOWED: usize = 4;
    pub const TEMPLATE_FAILED: usize = 5;
    pub const CONTEXT_LENGTH_EXCEEDED: usize = 6;
    pub const MODEL_NOT_FOUND: usize = 7;
    pub const ROUTE_NOT_FOUND: usize = 8;
    pub const METHOD_NOT_ALLOWED: usize = 9;
    pub const REQUEST_TIMEOUT: usize = 10;
    pub const BODY_TOO_LARGE: usize = 11;
    pub const UNSUPPORTED_ENCODING: usize = 12;
    pub const HEADERS_TOO_LARGE: usize = 13;
    pub const OVERLOADED: usize = 14;
    pub const INTERNAL_ERROR: usize = 15;
    pub const NO_ENDPOINTS: usize = 16;
    pub const TOO_MANY_REQUESTS: usize = 17;
    pub const SHUTTING_DOWN: usize = 18;
    pub const ENDPOINT_UNREACHABLE: usize = 19;
    pub const ENDPOINT_BAD_RESPONSE: usize = 20;
    pub const ENDPOINT_TIMEOUT: usize = 21;
    pub const ENDPOINT_STALLED: usize = 22;
    pub const ENDPOINT_DISCONNECTED: usize = 23;
    pub const MALFORMED_REQUEST: usize = 24;
    pub const PROFILE_NOT_FOUND: usize = 25;
    pub const DEADLINE_EXCEEDED: usize = 26;
}

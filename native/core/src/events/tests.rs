//! State machines of what lies behind a publisher, each against a plain model.

mod chain;
mod engine_blocks;
mod engine_map;
mod model;
mod world;

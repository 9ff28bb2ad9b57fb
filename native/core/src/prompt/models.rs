//! The servable models as encoders need them, and their tokenizers, each loaded once for all
//! threads. A new set of models replaces the old one as a whole. Used by encode.rs and encoder.rs.

#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, scope};

use serde::Deserialize;

use super::prefix_store::PrefixStore;
use super::tokenize::LoadedTokenizer;
use crate::keys::namespace_seed;
use crate::layout::limits::TOKENIZERS_MAX;

/// Tokenizers held at once: one copy serves every thread, where the portable core has one per
/// worker within TOKENIZERS_MAX.
const TOKENIZERS_HELD_MAX: usize = 4 * TOKENIZERS_MAX;

/// A ModelDescriptor of the contract.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelDescriptor {
    pub index: u32,
    pub id: String,
    pub pool: String,
    pub adapter: String,
    pub tokenizer: Option<TokenizerSource>,
    pub proven: bool,
    /// False where no plugin of the policy looks at prefixes.
    pub matched: bool,
    /// Whether bodies that name no model mean this one.
    pub implied: bool,
    pub block_size: Option<usize>,
    pub max_model_len: Option<u64>,
}

#[derive(Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TokenizerSource {
    Configured {
        directory: PathBuf,
    },
    NpmPackage {
        directory: PathBuf,
    },
    ModelRoot {
        directory: PathBuf,
    },
    HuggingFaceCache {
        directory: PathBuf,
    },
    /// The engine's /tokenize, which JavaScript asks.
    Engine {},
}

impl TokenizerSource {
    /// Where its files are; null for an engine.
    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Configured { directory }
            | Self::NpmPackage { directory }
            | Self::ModelRoot { directory }
            | Self::HuggingFaceCache { directory } => Some(directory),
            Self::Engine {} => None,
        }
    }
}

/// Reads descriptors from JSON, as JavaScript sends them.
pub fn parse_models(json: &str) -> Result<Vec<ModelDescriptor>, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

pub struct TokenizerEntry {
    pub tokenizer: LoadedTokenizer,
    pub store: PrefixStore,
}

/// Where a model's token ids come from.
pub enum Tokenizing {
    Unknown,
    Engine,
    /// Null when its files cannot be loaded.
    Files(Option<Arc<TokenizerEntry>>),
}

pub struct Model {
    pub index: u32,
    pub id: String,
    pub pool: String,
    pub adapter: String,
    pub tokenizing: Tokenizing,
    pub proven: bool,
    /// False where no plugin of the policy looks at prefixes.
    pub matched: bool,
    pub block_size: Option<usize>,
    pub max_model_len: Option<u64>,
    /// Key of the chain of a request without cache salt.
    pub seed: u64,
}

/// One set of models.
#[derive(Default)]
pub struct Models {
    by_id: HashMap<String, Arc<Model>>,
    by_index: HashMap<u32, Arc<Model>>,
}

impl Models {
    pub fn named(&self, id: &str) -> Option<&Model> {
        self.by_id.get(id).map(Arc::as_ref)
    }

    pub fn at(&self, index: u32) -> Option<&Model> {
        self.by_index.get(&index).map(Arc::as_ref)
    }
}

/// Makes sets of models; keeps what is loaded from one to the next.
pub struct ModelLoader {
    secret: u64,
    held: HashMap<PathBuf, Arc<TokenizerEntry>>,
}

impl ModelLoader {
    pub fn new(secret: u64) -> Self {
        Self {
            secret,
            held: HashMap::new(),
        }
    }

    /// Loads what is new; takes seconds. Tells `problem` what could not be loaded, or only slowly.
    /// Directories that failed are tried again with the next set.
    pub fn load(&mut self, descriptors: Vec<ModelDescriptor>, problem: &dyn Fn(String)) -> Models {
        let mut tried: HashMap<PathBuf, Option<Arc<TokenizerEntry>>> = HashMap::new();
        let models = self.models(descriptors, |directory| {
            if let Some(known) = tried.get(directory) {
                return known.clone();
            }
            let entry = self.entry(directory, tried.len(), problem);
            tried.insert(directory.to_owned(), entry.clone());
            entry
        });
        let loaded = tried
            .into_iter()
            .filter_map(|(name, entry)| Some((name, entry?)));
        self.held = loaded.collect();
        models
    }

    /// What can be used of a set at once, while `load` works on it; null when that is all of it.
    /// Models whose tokenizer is not held yet are unproven in it.
    pub fn loaded(&self, descriptors: &[ModelDescriptor]) -> Option<Models> {
        let is_missing = |descriptor: &ModelDescriptor| {
            let source = descriptor.tokenizer.as_ref();
            let directory = source.and_then(TokenizerSource::directory);
            directory.is_some_and(|directory| !self.held.contains_key(directory))
        };
        if !descriptors.iter().any(is_missing) {
            return None;
        }
        let mut usable = descriptors.to_vec();
        for descriptor in &mut usable {
            descriptor.proven &= !is_missing(descriptor);
        }
        Some(self.models(usable, |directory| self.held.get(directory).cloned()))
    }

    fn models(
        &self,
        descriptors: Vec<ModelDescriptor>,
        mut entry: impl FnMut(&Path) -> Option<Arc<TokenizerEntry>>,
    ) -> Models {
        let mut models = Models::default();
        for descriptor in descriptors {
            let source = descriptor.tokenizer.as_ref();
            let tokenizing = match source.map(TokenizerSource::directory) {
                None => Tokenizing::Unknown,
                Some(None) => Tokenizing::Engine,
                Some(Some(directory)) => Tokenizing::Files(entry(directory)),
            };
            let implied = descriptor.implied;
            let model = Arc::new(self.model(descriptor, tokenizing));
            if implied {
                // No model's id is empty.
                models.by_id.insert(String::new(), Arc::clone(&model));
            }
            models.by_index.insert(model.index, Arc::clone(&model));
            models.by_id.insert(model.id.clone(), model);
        }
        models
    }

    fn model(&self, descriptor: ModelDescriptor, tokenizing: Tokenizing) -> Model {
        Model {
            seed: namespace_seed(self.secret, &descriptor.pool, &descriptor.adapter, ""),
            index: descriptor.index,
            id: descriptor.id,
            pool: descriptor.pool,
            adapter: descriptor.adapter,
            tokenizing,
            proven: descriptor.proven,
            matched: descriptor.matched,
            block_size: descriptor.block_size.filter(|size| *size > 0),
            max_model_len: descriptor.max_model_len,
        }
    }

    fn entry(
        &self,
        directory: &Path,
        others: usize,
        problem: &dyn Fn(String),
    ) -> Option<Arc<TokenizerEntry>> {
        if let Some(held) = self.held.get(directory) {
            return Some(Arc::clone(held));
        }
        if others >= TOKENIZERS_HELD_MAX {
            let name = directory.display();
            problem(format!(
                "{name}: more than {TOKENIZERS_HELD_MAX} tokenizers are in use"
            ));
            return None;
        }
        match load_apart(directory) {
            Ok(tokenizer) => {
                if let Some(why) = &tokenizer.slow_because {
                    problem(format!("the slow tokenizer is used: {why}"));
                }
                Some(Arc::new(TokenizerEntry {
                    tokenizer,
                    store: PrefixStore::default(),
                }))
            }
            Err(why) => {
                problem(why);
                None
            }
        }
    }
}

/// Loads on a thread of its own, because the old library keeps what it has tokenised in the thread
/// for as long as that lives, also after the tokenizer has gone.
fn load_apart(directory: &Path) -> Result<LoadedTokenizer, String> {
    let named = |problem: &dyn std::fmt::Display| format!("{}: {problem}", directory.display());
    scope(|scope| {
        let thread = Builder::new().name("wp-tokenizer".to_owned());
        let thread = thread.spawn_scoped(scope, || LoadedTokenizer::load(directory));
        let thread = thread.map_err(|error| named(&error))?;
        let lost = |_| Err(named(&"loading it panicked"));
        thread.join().unwrap_or_else(lost)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn descriptors(tokenizer: &str) -> Vec<ModelDescriptor> {
        let json = format!(
            r#"[{{"index":3,"id":"m","pool":"m","adapter":"","tokenizer":{tokenizer},
                "proven":true,"matched":true,"implied":false,"blockSize":16,"maxModelLen":null}}]"#
        );
        parse_models(&json).unwrap()
    }

    #[test]
    fn a_model_is_known_but_unproven_while_its_tokenizer_is_not_held() {
        let mut loader = ModelLoader::new(1);
        let missing = descriptors(r#"{"kind":"configured","directory":"/nowhere"}"#);
        let models = loader.loaded(&missing).unwrap();
        let model = models.named("m").unwrap();
        assert_eq!((model.index, model.proven), (3, false));
        // What was tried and is not there is told by `load`, and is no proof of anything either.
        let problems = std::cell::RefCell::new(Vec::new());
        let models = loader.load(missing, &|problem| problems.borrow_mut().push(problem));
        assert_eq!(problems.borrow().len(), 1);
        let model = models.at(3).unwrap();
        assert!(matches!(model.tokenizing, Tokenizing::Files(None)));
    }

    #[test]
    fn a_set_that_needs_no_files_is_used_as_a_whole() {
        let loader = ModelLoader::new(1);
        for tokenizer in ["null", r#"{"kind":"engine"}"#] {
            assert!(loader.loaded(&descriptors(tokenizer)).is_none());
        }
    }
}

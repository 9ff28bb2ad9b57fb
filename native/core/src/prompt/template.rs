//! Runs Jinja chat templates with Python's semantics: minijinja parses and interprets, output and
//! the ~ operator print as Python does, tojson and trim are Python's. Called by render.rs; one
//! compiled template serves all threads.

#![deny(clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use minijinja::machinery::{
    CodeGenerator, Instruction, Instructions, Vm, WhitespaceConfig, ast, make_string_output, parse,
};
use minijinja::value::{Kwargs, Rest};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};

use super::python_print::{DumpOptions, dumps, print_text, text_of};
use super::python_strings::{self, Side, strip};
use super::strftime::{LocalTime, strftime};
use super::values::JsonMap;
use crate::layout::limits::TEMPLATE_STEPS_MAX;

/// The template called raise_exception: the request is at fault, not the router.
#[derive(Debug)]
pub struct TemplateRefusal(pub String);

impl fmt::Display for TemplateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateRefusal {}

/// Why nothing was rendered.
#[derive(Debug)]
pub enum RenderFailure {
    /// The template refused the messages.
    Refused(String),
    /// The template could not be run: not the client's fault.
    Failed(String),
}

/// Longest range() a template may ask for, Jinja's own sandbox limit.
const RANGE_MAX: i64 = 100_000;
/// The filter ~ is compiled to; no template can spell its name.
const CONCAT: &str = "(concat)";
/// Instructions look this filter up by name, not by a local number.
const NO_LOCAL: u8 = u8::MAX;

pub struct CompiledTemplate {
    environment: Environment<'static>,
    instructions: Instructions<'static>,
    blocks: BTreeMap<&'static str, Instructions<'static>>,
    /// The source as it was compiled.
    pub source: &'static str,
}

impl CompiledTemplate {
    /// Compiles a template, and shows its syntax tree to `inspect`.
    pub fn compile(
        source: &str,
        now: fn() -> LocalTime,
        inspect: impl FnOnce(&ast::Stmt<'static>),
    ) -> Result<Self, String> {
        let source = kept(&without_generation(source));
        let whitespace = WhitespaceConfig {
            keep_trailing_newline: false,
            lstrip_blocks: true,
            trim_blocks: true,
        };
        let tree = parse(source, "chat_template", Default::default(), whitespace)
            .map_err(|error| format!("{error:#}"))?;
        inspect(&tree);
        let mut generator = CodeGenerator::new("chat_template", source);
        generator.compile_stmt(&tree);
        let (mut instructions, blocks) = generator.finish();
        for at in 0..instructions.len() as u32 {
            if let Some(instruction @ Instruction::StringConcat) = instructions.get_mut(at) {
                *instruction = Instruction::ApplyFilter(CONCAT, Some(2), NO_LOCAL);
            }
        }
        Ok(Self {
            environment: environment(now),
            instructions,
            blocks,
            source,
        })
    }

    pub fn render(&self, variables: JsonMap, size_hint: usize) -> Result<String, RenderFailure> {
        let mut text = String::with_capacity(size_hint);
        let mut output = make_string_output(&mut text);
        let run = Vm::new(&self.environment).eval(
            &self.instructions,
            Value::from_object(variables),
            &self.blocks,
            &mut output,
            AutoEscape::None,
        );
        match run {
            Ok(_) => {
                drop(output);
                Ok(text)
            }
            Err(error) => Err(failure(&error)),
        }
    }
}

fn failure(error: &Error) -> RenderFailure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(TemplateRefusal(message)) = error.downcast_ref() {
            return RenderFailure::Refused(message.clone());
        }
        cause = error.source();
    }
    if error.kind() == ErrorKind::OutOfFuel {
        return RenderFailure::Failed(format!(
            "the chat template takes more than {TEMPLATE_STEPS_MAX} steps for this request"
        ));
    }
    RenderFailure::Failed(format!("the chat template failed: {error:#}"))
}

/// A template's text for good: compiled code borrows it. Each text is kept once, however often its
/// model is loaded, so what is kept is bounded by the models there are.
fn kept(source: &str) -> &'static str {
    static KEPT: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    if let Some(known) = kept.get(source) {
        return known;
    }
    let source: &'static str = Box::leak(source.to_owned().into_boxed_str());
    kept.insert(source);
    source
}

/// `generation` only marks spans for training; as an always-true `if` it trims the same whitespace.
fn without_generation(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let name_at = tag_name_at(tag);
        let (open, named) = tag.split_at(name_at);
        let word = ["generation", "endgeneration"]
            .into_iter()
            .find(|word| named.strip_prefix(word).is_some_and(closes_tag));
        out.push_str(open);
        rest = match word {
            Some(word) => {
                out.push_str(if word.starts_with('e') {
                    "endif"
                } else {
                    "if true"
                });
                named.get(word.len()..).unwrap_or_default()
            }
            None => named,
        };
    }
    out + rest
}

fn tag_name_at(tag: &str) -> usize {
    let after = tag.get(2..).unwrap_or_default();
    let after = after.strip_prefix(['-', '+']).unwrap_or(after);
    tag.len() - after.trim_start().len()
}

fn closes_tag(text: &str) -> bool {
    let text = text.trim_start();
    text.strip_prefix(['-', '+'])
        .unwrap_or(text)
        .starts_with("%}")
}

fn environment(now: fn() -> LocalTime) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(TEMPLATE_STEPS_MAX as u64));
    environment.set_formatter(|out, _state, value| print_text(value, out).map_err(Error::from));
    environment.set_unknown_method_callback(python_strings::call_method);
    environment.add_filter(CONCAT, |left: &Value, right: &Value| -> String {
        let mut text = text_of(left);
        // Writing to a String cannot fail.
        let _ = print_text(right, &mut text);
        text
    });
    environment.add_filter("string", |value: &Value| text_of(value));
    environment.add_filter(
        "trim",
        |value: &Value, characters: Option<String>| -> String {
            strip(&text_of(value), characters.as_deref(), Side::Both).to_owned()
        },
    );
    environment.add_filter("join", |value: &Value, separator: Option<String>| {
        python_strings::join(&separator.unwrap_or_default(), Some(value))
    });
    environment.add_filter("tojson", tojson);
    environment.add_function(
        "raise_exception",
        |message: &Value| -> Result<Value, Error> {
            let text = text_of(message);
            let error = Error::new(ErrorKind::InvalidOperation, "the template refused");
            Err(error.with_source(TemplateRefusal(text)))
        },
    );
    environment.add_function("strftime_now", move |format: &Value| {
        strftime(&now(), &text_of(format))
    });
    environment.add_function("range", range);
    environment
}

fn tojson(value: &Value, ascii: Option<Value>, options: Kwargs) -> Result<String, Error> {
    let separators: Option<Value> = options.get("separators")?;
    let ascii = options.get::<Option<Value>>("ensure_ascii")?.or(ascii);
    let indent = options.get::<Option<Value>>("indent")?;
    let sort_keys = options.get::<Option<Value>>("sort_keys")?;
    let separators = separators.filter(|list| !list.is_none()).map(|list| {
        let part = |at| text_of(&list.get_item_by_index(at).unwrap_or_default());
        (part(0), part(1))
    });
    let options = DumpOptions {
        indent: indent.and_then(|value| usize::try_from(value).ok()),
        ensure_ascii: ascii.is_some_and(|value| value.is_true()),
        separators,
        sort_keys: sort_keys.is_some_and(|value| value.is_true()),
    };
    let dumped = if value.is_undefined() {
        Err("Object of type Undefined is not JSON serializable".to_owned())
    } else {
        dumps(value, &options)
    };
    dumped.map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
}

fn range(numbers: Rest<i64>) -> Result<Value, Error> {
    let (start, stop, step) = match **numbers {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] if step != 0 => (start, stop, step),
        _ => return Err(Error::from(ErrorKind::MissingArgument)),
    };
    let span = i128::from(stop) - i128::from(start);
    let step = i128::from(step);
    let length = (span + step - step.signum()) / step;
    if length > i128::from(RANGE_MAX) {
        let problem = format!("range too big, the sandbox allows {RANGE_MAX}");
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    let numbers = (0..length.max(0)).map(|at| Value::from((i128::from(start) + at * step) as i64));
    Ok(Value::from(numbers.collect::<Vec<_>>()))
}

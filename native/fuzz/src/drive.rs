//! Runs a target over inputs and over mutations of them. A finding is told with everything that is
//! needed to see it again, and the input is written to a file; an input that takes longer than any
//! honest one ends the process, because a hang is a finding too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::random::Random;
use crate::{INPUT_BYTES_MAX, Target, mutate};

/// Time one input may take; honest ones take milliseconds, on a machine however busy.
const HANG: Duration = Duration::from_secs(120);

/// Length of most inputs that are mutated.
const USUAL_BYTES_MAX: usize = 2048;

/// A seed to tell: `WARMPATH_FUZZ_SEED`, or the time.
pub fn seed() -> u64 {
    let given = std::env::var("WARMPATH_FUZZ_SEED");
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    given
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| now.map_or(1, |now| now.as_nanos() as u64))
}

/// The target's seeds, then the files of `corpus/<name>` with their order fixed by their names.
pub fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let mut inputs = (target.seeds)();
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    inputs.extend(files.iter().map(|file| std::fs::read(file).unwrap()));
    inputs
}

/// Runs every input as it is, then mutations until the time is over; how many runs that were.
pub fn run(target: &Target, inputs: &[Vec<u8>], seed: u64, duration: Duration) -> u64 {
    let watch = Watch::start(target.name);
    let mut runs = 0;
    for input in inputs.iter().filter(|input| input.len() <= INPUT_BYTES_MAX) {
        watch.run(target, input, seed);
        runs += 1;
    }
    let end = Instant::now() + duration;
    let mut random = Random(seed);
    let mut input = Vec::new();
    while Instant::now() < end && !inputs.is_empty() {
        input.clear();
        input.extend_from_slice(pick(inputs, &mut random));
        let other = &inputs[random.below(inputs.len())];
        mutate::mutate(&mut input, other, target.words, &mut random);
        watch.run(target, &input, seed);
        runs += 1;
    }
    runs
}

/// One of the inputs, mostly a short one: those run by the thousand, and cut ones are soon refused.
fn pick<'i>(inputs: &'i [Vec<u8>], random: &mut Random) -> &'i [u8] {
    let mut picks = (0..8).map(|_| &inputs[random.below(inputs.len())]);
    let short = picks.find(|input| input.len() <= USUAL_BYTES_MAX);
    short.unwrap_or(&inputs[random.below(inputs.len())])
}

/// An input and when it began.
type Running = Option<(Instant, Vec<u8>)>;

/// What is being run, for the thread that looks for hangs.
struct Watch {
    current: Arc<Mutex<Running>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(name: &'static str) -> Self {
        let current: Arc<Mutex<Running>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let (watched, is_over) = (Arc::clone(&current), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_secs(1));
                let held = watched.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((began, input)) = held.as_ref()
                    && began.elapsed() > HANG
                {
                    eprintln!("{name} hangs on {}", kept(name, input));
                    std::process::exit(1);
                }
            }
        });
        Self {
            current,
            over,
            thread: Some(thread),
        }
    }

    fn run(&self, target: &Target, input: &[u8], seed: u64) {
        let set = |now| *self.current.lock().unwrap_or_else(PoisonError::into_inner) = now;
        set(Some((Instant::now(), input.to_vec())));
        let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
        set(None);
        if result.is_err() {
            let (name, file) = (target.name, kept(target.name, input));
            panic!("{name}: a property does not hold, seed {seed}, input in {file}");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Writes a finding to a file and names it.
fn kept(name: &str, input: &[u8]) -> String {
    let unique = Random(input.iter().fold(input.len() as u64, |hash, byte| {
        Random(hash ^ u64::from(*byte)).next()
    }))
    .next();
    let file = std::env::temp_dir().join(format!("warmpath-fuzz-{name}-{unique:016x}"));
    match std::fs::write(&file, input) {
        Ok(()) => file.display().to_string(),
        Err(error) => format!("no file ({error}): {input:02x?}"),
    }
}

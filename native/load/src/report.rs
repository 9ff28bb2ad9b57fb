//! What a load counted, and its one line of JSON.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::process::Usage;

const PERCENTILES: [f64; 9] = [0.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0];
/// Longest latency that is told apart, a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Kinds of failure kept by name.
const FAILURES_MAX: usize = 16;

pub struct Tally {
    /// Only what ends while this is set counts.
    pub measuring: bool,
    /// Requests under way.
    pub open: u64,
    requests: u64,
    chunks: u64,
    /// Reads that chunks came in: fewer than chunks where a proxy has put some together.
    reads: u64,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<String, u64>,
    latency: Option<Histogram<u64>>,
    /// From the request to the first chunk of its stream.
    first_chunk: Option<Histogram<u64>>,
    chunk_latency: Option<Histogram<u64>>,
}

impl Tally {
    pub fn new() -> Self {
        let histogram = || Histogram::new_with_max(LATENCY_NS_MAX, 3).ok();
        Self {
            measuring: false,
            open: 0,
            requests: 0,
            chunks: 0,
            reads: 0,
            statuses: BTreeMap::new(),
            failures: BTreeMap::new(),
            latency: histogram(),
            first_chunk: histogram(),
            chunk_latency: histogram(),
        }
    }

    /// A complete answer.
    pub fn answered(&mut self, status: u16, latency_ns: u64) {
        if self.measuring {
            self.requests += 1;
            *self.statuses.entry(status).or_default() += 1;
            record(&mut self.latency, latency_ns);
        }
    }

    pub fn first_chunk(&mut self, latency_ns: u64) {
        if self.measuring {
            record(&mut self.first_chunk, latency_ns);
        }
    }

    pub fn chunk(&mut self, latency_ns: u64) {
        if self.measuring {
            self.chunks += 1;
            record(&mut self.chunk_latency, latency_ns);
        }
    }

    pub fn read(&mut self) {
        self.reads += u64::from(self.measuring);
    }

    /// Failures count while warming up, too: none is expected ever.
    pub fn failed(&mut self, reason: &str) {
        let known = self.failures.contains_key(reason) || self.failures.len() < FAILURES_MAX;
        let name = if known { reason } else { "other" };
        *self.failures.entry(name.to_owned()).or_default() += 1;
    }
}

fn record(histogram: &mut Option<Histogram<u64>>, value: u64) {
    if let Some(histogram) = histogram {
        histogram.saturating_record(value);
    }
}

/// Prints everything; `processes` is what the measured ones used, `own` the generator itself.
pub fn print(tally: &Tally, elapsed_ns: u64, processes: Usage, own: Usage, idle_bytes: u64) {
    let statuses = tally
        .statuses
        .iter()
        .map(|(status, count)| format!("\"{status}\":{count}"));
    let failures = tally.failures.iter();
    let failures = failures.map(|(reason, count)| format!("\"{}\":{count}", plain(reason)));
    println!(
        "{{\"elapsedNs\":{elapsed_ns},\"requests\":{},\"chunks\":{},\"reads\":{},\"open\":{},\
         \"statuses\":{{{}}},\"failures\":{{{}}},\"latencyNs\":{},\"firstChunkNs\":{},\
         \"chunkLatencyNs\":{},\"cpuNs\":{},\"mainThreadNs\":{},\"residentBytes\":{},\
         \"idleResidentBytes\":{idle_bytes},\"generatorCpuNs\":{}}}",
        tally.requests,
        tally.chunks,
        tally.reads,
        tally.open,
        statuses.collect::<Vec<_>>().join(","),
        failures.collect::<Vec<_>>().join(","),
        percentiles(tally.latency.as_ref()),
        percentiles(tally.first_chunk.as_ref()),
        percentiles(tally.chunk_latency.as_ref()),
        processes.cpu_ns,
        processes.main_thread_ns,
        processes.resident_bytes,
        own.cpu_ns,
    );
}

fn plain(text: &str) -> String {
    text.replace(['"', '\\'], "'")
}

fn percentiles(histogram: Option<&Histogram<u64>>) -> String {
    let Some(histogram) = histogram.filter(|histogram| !histogram.is_empty()) else {
        return "null".to_owned();
    };
    let one = |percent: f64| format!("\"{percent}\":{}", histogram.value_at_percentile(percent));
    let all = PERCENTILES.map(one).join(",");
    format!(
        "{{\"count\":{},\"mean\":{:.0},{all}}}",
        histogram.len(),
        histogram.mean()
    )
}

#[cfg(test)]
mod tests {
    use super::{Tally, percentiles};

    #[test]
    fn only_what_ends_while_measuring_counts_but_failures_always_do() {
        let mut tally = Tally::new();
        tally.answered(200, 1000);
        tally.failed("connect");
        tally.measuring = true;
        tally.answered(200, 2000);
        tally.chunk(5);
        assert_eq!((tally.requests, tally.chunks), (1, 1));
        assert_eq!(tally.failures.get("connect"), Some(&1));
        assert!(percentiles(tally.latency.as_ref()).contains("\"count\":1"));
        assert_eq!(percentiles(tally.first_chunk.as_ref()), "null");
    }
}

//! Streams put together from events: as many are counted as were put in, usage is what its event
//! said, and the border is seen, wherever the bytes are cut.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Under miri every byte takes thousands of times as long.
const EVENTS_MAX: usize = if cfg!(miri) { 5 } else { 12 };
const LONG_PAYLOAD: &str = if cfg!(miri) {
    "[a-z]{90,110}"
} else {
    "[a-z]{900,1100}"
};

#[derive(Clone, Debug)]
struct Event {
    /// Payloads, each a line of its own; none for a comment.
    data: Vec<String>,
    is_named: bool,
    has_blank: bool,
    has_returns: bool,
}

impl Event {
    fn text(&self) -> String {
        let end = if self.has_returns { "\r\n" } else { "\n" };
        let colon = if self.has_blank { "data: " } else { "data:" };
        let name = if self.is_named {
            "event: delta"
        } else {
            ": data: no"
        };
        let data = self.data.iter().map(|payload| format!("{colon}{payload}"));
        let lines: Vec<String> = std::iter::once(name.to_owned()).chain(data).collect();
        lines.join(end) + end + end
    }
}

fn event() -> impl Strategy<Value = Event> {
    let payload = prop_oneof![
        4 => "[a-z{}\\[\\]\", :\\\\]{0,30}",
        1 => Just(r#"{"text":"\"usage\":{ data: "}"#.to_owned()),
        1 => LONG_PAYLOAD,
    ];
    (vec(payload, 0..3), any::<[bool; 3]>()).prop_map(
        |(data, [is_named, has_blank, has_returns])| Event {
            data,
            is_named,
            has_blank,
            has_returns,
        },
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    let count = || prop_oneof![0..100_000_i64, Just(9_007_199_254_740_991)];
    (count(), count(), count()).prop_map(|(prompt_tokens, completion_tokens, cached_tokens)| {
        Usage {
            prompt_tokens,
            completion_tokens,
            cached_tokens,
        }
    })
}

fn usage_text(usage: &Usage) -> String {
    format!(
        "\"usage\" : {{\"prompt_tokens\":{},\"completion_tokens\":{},\"prompt_tokens_details\":\
         {{\"cached_tokens\":{}}}}}",
        usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens
    )
}

fn scanned(kind: Kind, text: &str, cuts: &[usize]) -> AnswerScan {
    let mut scan = AnswerScan::new(kind);
    let mut rest = text.as_bytes();
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, left) = rest.split_at((*cut).min(rest.len()));
        scan.push(piece);
        rest = left;
    }
    scan
}

proptest! {
    #[test]
    fn events_that_were_put_in_are_counted(
        events in vec(event(), 0..EVENTS_MAX),
        usage in proptest::option::of(usage()),
        is_done in any::<bool>(),
        is_cut_short in any::<bool>(),
        cuts in vec(1..2000_usize, 1..6),
    ) {
        let mut text: String = events.iter().map(Event::text).collect();
        let mut count = events.iter().filter(|event| !event.data.is_empty()).count();
        if let Some(usage) = &usage {
            text += &format!("data: {{\"choices\":[],{}}}\n\n", usage_text(usage));
            count += 1;
        }
        if is_done {
            text += "data: [DONE]\n\n";
        }
        if is_cut_short {
            text += "data: half";
            count += 1;
        }
        for cuts in [&cuts[..], &[1], &[text.len().max(1)]] {
            let scan = scanned(Kind::Events, &text, cuts);
            prop_assert_eq!(scan.chunks(), count as u64, "cuts {:?}", cuts);
            prop_assert_eq!(scan.at_event_boundary(), !is_cut_short);
            prop_assert_eq!(scan.usage(), usage.unwrap_or(NO_USAGE));
        }
    }

    #[test]
    fn usage_behind_a_long_answer_is_found(
        usage in usage(),
        length in 0..40_000_usize,
        cuts in vec(1..20_000_usize, 1..6),
    ) {
        let answer = "x".repeat(length);
        let text = format!("{{\"choices\":[{{\"text\":\"{answer}\"}}],{}}}", usage_text(&usage));
        prop_assert_eq!(scanned(Kind::Json, &text, &cuts).usage(), usage);
    }
}

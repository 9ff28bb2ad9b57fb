//! Reading and rendering of single bodies: what is refused, and what templates print.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use warmpath_core::layout::ERRORS;
use warmpath_core::layout::limits::JSON_VALUES_MAX;
use warmpath_core::prepare::Route;
use warmpath_core::prompt::json_tape::Tape;
use warmpath_core::prompt::messages::Source;
use warmpath_core::prompt::parse::{Prompt, parse_request};
use warmpath_core::prompt::render::{ChatRenderer, TemplateSet};
use warmpath_core::prompt::strftime::LocalTime;
use warmpath_core::prompt::template::RenderFailure;

const MESSAGES: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

fn now() -> LocalTime {
    LocalTime {
        year: 2026,
        month: 0,
        day: 5,
        hour: 9,
        minute: 7,
        second: 3,
        day_of_week: 1,
        day_of_year: 4,
    }
}

fn rendered(template: &str, body: &str) -> Result<String, RenderFailure> {
    let templates = TemplateSet {
        text: template.to_owned(),
        tool_use: None,
    };
    let renderer = ChatRenderer::new(&templates, &[], now).unwrap();
    let mut tape = Tape::default();
    let request = parse_request(body.as_bytes(), Route::ChatCompletions, &mut tape).unwrap();
    let Prompt::Chat(chat) = request.prompt else {
        panic!("no chat");
    };
    renderer.render_chat(
        Source {
            text: body,
            tape: &tape,
        },
        &chat,
    )
}

/// Renders with `chat_template_kwargs`.
fn printed(template: &str, kwargs: &str) -> String {
    rendered(
        template,
        &format!(r#"{{{MESSAGES},"chat_template_kwargs":{kwargs}}}"#),
    )
    .unwrap()
}

#[test]
fn numbers_and_keys_are_printed_as_python_prints_what_the_client_wrote() {
    let values = r#"{"b":1.0,"1":[1e5,1E-7,12345678901234567890,-0.0,0.1,1e16,5,-0,1e400,340282366920938463463374607431768211456],"a":2,"b":3}"#;
    assert_eq!(
        printed("{{ v | tojson }}", &format!(r#"{{"v":{values}}}"#)),
        r#"{"b": 3, "1": [100000.0, 1e-07, 12345678901234567890, -0.0, 0.1, 1e+16, 5, 0, inf, 340282366920938463463374607431768211456], "a": 2}"#,
    );
}

#[test]
fn output_prints_as_python_str_does() {
    let kwargs = r#"{"t":true,"n":null,"l":["a",1,"it's"],"d":{"k":[false]},"f":2.5}"#;
    assert_eq!(
        printed(
            "{{ t }} {{ n }} {{ l }} {{ d }} {{ f }} {{ missing }}|{{ 1 ~ t ~ n }}",
            kwargs
        ),
        r#"True None ['a', 1, "it's"] {'k': [False]} 2.5 |1TrueNone"#,
    );
}

#[test]
fn string_methods_take_the_arguments_python_gives_them() {
    let cases = [
        (r"{{ s.strip('\n') }}", r#"{"s":"\n  a \n"}"#, "  a "),
        (
            r"{{ s.lstrip('\n') }}|{{ s.rstrip('x') }}",
            r#"{"s":"\n ax"}"#,
            " ax|\n a",
        ),
        (
            "{{ s | trim }}|{{ s | length }}",
            r#"{"s":"\u001c😀\ufeff "}"#,
            "😀\u{feff}|4",
        ),
        (
            "{{ '-'.join(l) }}{{ s.removeprefix('a') }}",
            r#"{"l":["x",1],"s":"ab"}"#,
            "x-1b",
        ),
        (
            "{{ s.splitlines() }}{{ s.find('b') }}",
            r#"{"s":"é\r\nb"}"#,
            "['é', 'b']3",
        ),
        (
            "{{ l[::-1] }}{{ l[1:] | length }}",
            r#"{"l":[1,2,3]}"#,
            "[3, 2, 1]2",
        ),
    ];
    for (template, kwargs, expected) in cases {
        assert_eq!(printed(template, kwargs), expected, "{template}");
    }
}

#[test]
fn tojson_follows_json_dumps_with_every_option() {
    let kwargs = r#"{"v":{"b":"é<","a":[1,{}],"c":[]},"lone":"\ud83d"}"#;
    let cases = [
        ("{{ v | tojson }}", r#"{"b": "é<", "a": [1, {}], "c": []}"#),
        (
            "{{ v | tojson(indent=2, sort_keys=true) }}",
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": \"é<\",\n  \"c\": []\n}",
        ),
        (
            "{{ v | tojson(ensure_ascii=true, separators=(',', ':')) }}",
            r#"{"b":"\u00e9<","a":[1,{}],"c":[]}"#,
        ),
        ("{{ lone | tojson }}{{ lone }}", "\"\\ud83d\"\u{fffd}"),
    ];
    for (template, expected) in cases {
        assert_eq!(printed(template, kwargs), expected);
    }
}

#[test]
fn equality_dates_loops_and_generation_blocks() {
    let kwargs = r#"{"a":null,"l":[{"k":1}],"m":[{"k":1.0}],"n":1}"#;
    let cases = [
        (
            "{{ a == none }} {{ x == none }} {{ l == m }} {{ 1 == 1.0 }} {{ n == '1' }}",
            "True False True True False",
        ),
        (
            "{{ strftime_now('%d %B %Y, %a %-d %b %H:%M:%S %j %Q%') }}",
            "05 January 2026, Mon 5 Jan 09:07:03 005 %Q%",
        ),
        (
            "a\n{%- generation -%}\n  b\n{%- endgeneration -%}\nc",
            "abc",
        ),
        (
            "{% for i in range(9) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "012",
        ),
        (
            "{{ range(2, 9, 3) | list }}{{ range(3, 0, -1) | list }}",
            "[2, 5, 8][3, 2, 1]",
        ),
    ];
    for (template, expected) in cases {
        assert_eq!(printed(template, kwargs), expected);
    }
}

#[test]
fn refusals_of_the_template_are_told_from_its_faults() {
    let body = format!("{{{MESSAGES}}}");
    let refusing = "{{ raise_exception('roles must alternate') }}";
    let refused = rendered(refusing, &body);
    assert!(matches!(refused, Err(RenderFailure::Refused(text)) if text == "roles must alternate"));
    let macros = "{% macro f() %}{{ raise_exception('inside') }}{% endmacro %}{{ f() }}";
    assert!(
        matches!(rendered(macros, &body), Err(RenderFailure::Refused(text)) if text == "inside")
    );
    assert!(matches!(
        rendered("{{ nothing() }}", &body),
        Err(RenderFailure::Failed(_))
    ));
    let huge = rendered("{{ range(10 ** 9) }}", &body);
    assert!(matches!(huge, Err(RenderFailure::Failed(_))));
}

#[test]
fn a_template_that_does_not_end_is_ended() {
    let body = format!("{{{MESSAGES}}}");
    let open = "{% for a in range(90000) %}".repeat(4);
    let close = "{% endfor %}".repeat(4);
    for inner in ["", "{% set b = a %}"] {
        let Err(RenderFailure::Failed(why)) = rendered(&format!("{open}{inner}{close}"), &body)
        else {
            panic!("it ended");
        };
        assert!(why.contains("more than 2097152 steps"), "{why}");
    }
    let recursive = "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}";
    let ended = rendered(recursive, &body);
    assert!(matches!(ended, Err(RenderFailure::Failed(_))));
    // What may depend on the time is not learned by rendering it hundreds of times.
    let long = "{# strftime_now #}{% for a in range(90000) %}{% endfor %}x";
    assert_eq!(rendered(long, &body).unwrap(), "x");
}

fn refused(body: &[u8], route: Route) -> String {
    let refusal = parse_request(body, route, &mut Tape::default()).unwrap_err();
    assert!(!refusal.detail.is_empty());
    let code = ERRORS[refusal.code].code;
    format!("{code} {}", refusal.param.unwrap_or_default())
        .trim()
        .to_owned()
}

#[test]
fn what_is_not_json_or_too_much_of_it_is_refused() {
    let bodies = [
        "",
        "{",
        "{\"a\":1,}",
        "{\"a\":01}",
        "nonsense",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":1.}",
    ];
    for body in bodies {
        assert_eq!(
            refused(body.as_bytes(), Route::ChatCompletions),
            "invalid_json",
            "{body}"
        );
    }
    for body in ["[1]", "\"x\"", "null"] {
        assert_eq!(
            refused(body.as_bytes(), Route::ChatCompletions),
            "invalid_body",
            "{body}"
        );
    }
    assert_eq!(refused(b"{\"\xff\"}", Route::Completions), "invalid_json");
    let marked = format!("\u{feff}{{{MESSAGES}}}");
    assert_eq!(
        refused(marked.as_bytes(), Route::ChatCompletions),
        "invalid_json"
    );
    let deep = "[".repeat(5_000_000);
    assert_eq!(
        refused(deep.as_bytes(), Route::ChatCompletions),
        "body_too_deep"
    );
    let keys: Vec<String> = (0..10_001).map(|at| format!("\"k{at}\":1")).collect();
    let keys = format!("{{{}}}", keys.join(","));
    assert_eq!(
        refused(keys.as_bytes(), Route::ChatCompletions),
        "body_too_deep"
    );
    // The values of the body, of its message and of the list count too.
    for (items, is_refused) in [(JSON_VALUES_MAX - 6, false), (JSON_VALUES_MAX - 5, true)] {
        for item in ["{}", "0", "\"\"", "null", "true"] {
            let list = vec![item; items].join(",");
            let body = format!("{{{MESSAGES},\"documents\":[{list}]}}");
            let mut tape = Tape::default();
            let read = parse_request(body.as_bytes(), Route::ChatCompletions, &mut tape);
            let code = read.err().map(|refusal| ERRORS[refusal.code].code);
            assert_eq!(
                code,
                is_refused.then_some("body_too_deep"),
                "{items} {item}"
            );
        }
    }
    let twice = format!("{{\"model\":\"a\",\"mod\\u0065l\":\"b\",{MESSAGES}}}");
    assert_eq!(
        refused(twice.as_bytes(), Route::ChatCompletions),
        "duplicate_field model"
    );
}

#[test]
fn a_million_token_ids_take_little_more_than_their_bytes() {
    let ids: Vec<String> = (0..1_000_000)
        .map(|id: u32| (id % 50_000).to_string())
        .collect();
    let body = format!("{{\"prompt\":[{}]}}", ids.join(" , "));
    let mut tape = Tape::default();
    let request = parse_request(body.as_bytes(), Route::Completions, &mut tape).unwrap();
    assert!(matches!(request.prompt, Prompt::Tokens(ids) if ids.len() == 1_000_000));
    assert!(tape.members.len() == 1);
}

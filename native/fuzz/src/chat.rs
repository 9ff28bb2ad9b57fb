//! Chat templates: any body that parses as a chat is rendered, refused by the template, or fails
//! with a reason, and chats that are put together without the template read as the template's.

use std::sync::OnceLock;

use warmpath_core::prepare::Route;
use warmpath_core::prompt::json_tape::Tape;
use warmpath_core::prompt::messages::Source;
use warmpath_core::prompt::parse::{Chat, Prompt, parse_request};
use warmpath_core::prompt::render::{ChatRenderer, TemplateSet};
use warmpath_core::prompt::strftime::LocalTime;
use warmpath_core::prompt::template::RenderFailure;

use crate::Target;
use crate::body::chats;
use crate::seeds::golden;

/// Input: a byte that chooses the template and the API, then a body.
pub const TARGET: Target = Target {
    name: "chat",
    run,
    seeds,
    words: &[
        "{\"role\":\"user\",\"content\":\"a\"},",
        "{\"role\":\"assistant\",\"content\":\"b\"},",
        "{\"role\":\"system\",\"content\":\" s \"},",
        "{\"role\":\"tool\",\"content\":\"t\",\"tool_call_id\":\"1\"},",
        "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}],",
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],",
        "\"chat_template_kwargs\":{\"enable_thinking\":false},",
        "\"add_generation_prompt\":false,",
        "\"continue_final_message\":true,",
        "<think>",
        "</think>",
        "<tool_response>",
        "null",
        "[]",
        "1e5",
        "\\ud83d",
        "{{ 1 }}",
    ],
};

/// A template that prints whatever it is given, in every way.
const PRINTS_ALL: &str = "{{ messages }}{% for m in messages %}{{ m | tojson }}{{ m.role ~ m.content }}\
{% for k in m %}{{ k }}{% endfor %}{{ m.content | trim }}{% endfor %}{{ tools | tojson(indent=2) }}\
{{ documents }}{{ enable_thinking }}{% for i in range(messages | length) %}{{ i }}{% endfor %}";
/// A template that refuses and loops.
const STRICT: &str = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('roles must alternate') }}{% endif %}[{{ m.role }}]{{ m.content | trim }}\
{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

const ROUTES: [Route; 3] = [Route::ChatCompletions, Route::Messages, Route::Responses];

fn renderers() -> &'static [ChatRenderer] {
    static ALL: OnceLock<Vec<ChatRenderer>> = OnceLock::new();
    ALL.get_or_init(|| {
        let golden = golden("chat-templates-qwen.json");
        let known = golden["templates"].as_object().unwrap().values();
        let known = known.map(|one| one["chat_template"].as_str().unwrap());
        let renderer = |text: &str| {
            let templates = TemplateSet {
                text: text.to_owned(),
                tool_use: None,
            };
            let specials = [("bos_token".to_owned(), "<s>".to_owned())];
            ChatRenderer::new(&templates, &specials, || NOW).unwrap()
        };
        known.chain([PRINTS_ALL, STRICT]).map(renderer).collect()
    })
}

const NOW: LocalTime = LocalTime {
    year: 2026,
    month: 0,
    day: 5,
    hour: 9,
    minute: 7,
    second: 3,
    day_of_week: 1,
    day_of_year: 4,
};

fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let choice = usize::from(*choice);
    let renderer = &renderers()[choice % renderers().len()];
    let route = ROUTES[choice / renderers().len() % ROUTES.len()];
    let Some(by_template) = rendered(bytes, route, |source, chat| {
        renderer.render_by_template(source, chat)
    }) else {
        return;
    };
    // What is around the texts is learned the second time and used the third.
    for _ in 0..3 {
        let usual = rendered(bytes, route, |source, chat| {
            renderer.render_chat(source, chat)
        });
        assert_eq!(
            usual.as_ref(),
            Some(&by_template),
            "put together unlike the template"
        );
    }
}

/// Reads the body anew, as every request is, and renders it; null when it is no chat.
fn rendered(
    bytes: &[u8],
    route: Route,
    render: impl FnOnce(Source<'_>, &Chat) -> Result<String, RenderFailure>,
) -> Option<Result<String, String>> {
    let mut tape = Tape::default();
    let request = parse_request(bytes, route, &mut tape).ok()?;
    let Prompt::Chat(chat) = request.prompt else {
        return None;
    };
    let own = || std::str::from_utf8(bytes).expect("an accepted body is UTF-8");
    let text = request.made.as_deref().unwrap_or_else(own);
    let source = Source { text, tape: &tape };
    Some(outcome(render(source, &chat)))
}

fn outcome(rendered: Result<String, RenderFailure>) -> Result<String, String> {
    rendered.map_err(|failure| match failure {
        RenderFailure::Refused(reason) | RenderFailure::Failed(reason) => {
            assert!(!reason.is_empty());
            reason
        }
    })
}

fn seeds() -> Vec<Vec<u8>> {
    let mut bodies = chats();
    let turn = r#"{"role":"user","content":" a\n"},{"role":"assistant","content":"b"},"#;
    let deep = format!("{}1{}", r#"{"a":["#.repeat(25), "]}".repeat(25));
    let texts = [
        format!(r#"{{"messages":[{}{{"role":"user","content":"c"}}]}}"#, turn.repeat(12)),
        format!(r#"{{"messages":[{}{{"role":"user","content":"c"}}]}}"#, turn.repeat(700)),
        format!(r#"{{"messages":[{{"role":"user","content":"c"}}],"tools":[{deep}]}}"#),
        format!(r#"{{"messages":[{{"role":"user","content":"c","x":{deep}}}]}}"#),
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},"b",{}]}]}"#.to_owned(),
        r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1.0}"}}]}]}"#.to_owned(),
        r#"{"messages":[{"role":"user","content":"\ud83d"},{"role":"assistant","content":"\ude00"}],"continue_final_message":true,"add_generation_prompt":false}"#.to_owned(),
        r#"{"messages":[{"role":"assistant","content":"<think>\n\na</think>\n\n"},{"role":"user","content":"<tool_response>x</tool_response>"}]}"#.to_owned(),
    ];
    bodies.extend(texts.map(String::into_bytes));
    let given = |choice: u8| {
        bodies
            .iter()
            .map(move |body| [&[choice], &body[..]].concat())
    };
    (0..12).flat_map(given).collect()
}

//! Every decision is an event on the span of the call that it was made for.

use std::{
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex},
};

use mesh_policy::values;
use mesh_rpc::{Code, resend::Resend};
use tokio::time::sleep;
use tracing::{
    Event, Instrument as _, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::support::{
    Script, call, code, failure, lost, millis, pushed_back, refused, retries, safe, success,
};

#[tokio::test(start_paused = true)]
async fn why_a_call_was_repeated_or_not_can_be_read_on_its_span() {
    let seen = Seen::default();
    let _default = mesh_testkit::hear(seen.clone());
    let (retries, resend) = (retries(1), Resend::default().endpoints(2));
    let script = Script::new([refused(), lost(), pushed_back(Code::Unavailable, "-1")]);

    let work = async {
        let told = call("told");
        let answer = retries
            .run(&told, safe(), |attempt| resend.run(attempt, |attempt| script.answer(attempt)));
        assert_eq!(code(answer.await).await, Code::Unavailable);
    };
    work.instrument(tracing::error_span!("call")).await;

    let events = seen.events();
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(events[0].starts_with("call: an attempt that was not seen is sent again attempt=1"));
    assert!(
        events[1].starts_with("call: a failed attempt is followed by another attempt=2 pause=")
    );
    assert_eq!(events[2], "call: not repeated attempt=2 reason=\"pushback\"");
}

#[tokio::test(start_paused = true)]
async fn what_became_of_a_hedge_can_be_read_on_the_span() {
    let hedged =
        safe().hedge(values::Hedge { min_samples: 1, max_share: 1.0, ..Default::default() });
    let retries = retries(1);
    let script = Script::slow([(millis(10), success())]);
    retries.run(&call("hedge"), hedged, |attempt| script.answer(attempt)).await.unwrap();
    sleep(millis(100)).await;
    let seen = Seen::default();
    let _default = mesh_testkit::hear(seen.clone());
    let script = Script::slow([(millis(900), success()), (millis(1), success())]);

    let work = async {
        let told = call("hedge");
        retries.run(&told, hedged, |attempt| script.answer(attempt)).await.unwrap();
    };
    work.instrument(tracing::error_span!("call")).await;

    let told = [
        "call: a hedge is sent attempt=2",
        "call: a hedge won attempt=2",
        "call: an attempt is given up attempt=1",
    ];
    assert_eq!(seen.events(), told);
}

/// Notes events and the span that they lie on.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    names: Vec<&'static str>,
    entered: Vec<u64>,
    events: Vec<String>,
}

impl Seen {
    fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().events.clone()
    }
}

impl Subscriber for Seen {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() || metadata.target().starts_with("mesh_rpc")
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut notes = self.0.lock().unwrap();
        notes.names.push(span.metadata().name());
        span::Id::from_u64(notes.names.len() as u64)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let mut notes = self.0.lock().unwrap();
        let span = notes.entered.last().map_or("none", |id| notes.names[*id as usize - 1]);
        let event = format!("{span}: {}{}", text.message, text.fields);
        notes.events.push(event);
    }

    fn enter(&self, span: &span::Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, _span: &span::Id) {
        self.0.lock().unwrap().entered.pop();
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            write!(self.fields, " {}={value:?}", field.name()).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_last_attempt_says_nothing_of_those_before_it() {
    let refused = async |failures: u32| {
        let call = call("vouched");
        let retries = retries(1);
        let answer = retries.run(&call, safe(), |attempt| async move {
            let code = if attempt.number() > failures {
                Code::ResourceExhausted
            } else {
                Code::Unavailable
            };
            let mut response = failure(code)?;
            let refused = http::HeaderValue::from_static("OVERLOADED");
            response.headers_mut().insert("x-mesh-refusal", refused);
            Ok(response)
        });
        answer.await.unwrap().headers().contains_key("x-mesh-refusal")
    };

    assert!(refused(0).await, "it is the only one");
    assert!(!refused(1).await, "the first may have been processed");
}

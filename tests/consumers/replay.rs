//! Asks a provider again what a consumer once asked, and expects what the consumer relied on.

use async_nats::jetstream::{self, consumer};
use futures::StreamExt as _;
use mesh_testkit::eventually;
use meshctl::contracts::{Recording, Step};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use super::{
    ear::{POOL, Refusal, json as in_json, rpc},
    names::{Names, fits, pattern},
    stories::{Part, Story},
};
use crate::shop::Shop;

/// What a provider does not keep of a recorded story.
pub async fn replay(shop: &Shop, story: &Story, recording: &Recording) -> Vec<String> {
    let recorded = recording.stories.iter().find(|it| it.name == story.name);
    let Some(recorded) = recorded else {
        return vec![format!("{}: “{}” is not recorded", story.consumer, story.name)];
    };
    let mut names = (story.given)(shop).await;
    if story.part == Part::Events {
        names = names.with(&(story.tell)(shop, &names).await.names);
    }
    let mut faults = Vec::new();
    for step in &recorded.steps {
        let of = match step {
            Step::Answered { rpc, .. } | Step::Refused { rpc, .. } => rpc,
            Step::Heard { event, .. } => event,
        };
        for fault in again(shop, step, &mut names).await {
            faults.push(format!("{}, “{}”: {of}: {fault}", story.consumer, story.name));
        }
    }
    faults
}

/// One step; what is not as it was.
async fn again(shop: &Shop, step: &Step, names: &mut Names) -> Vec<String> {
    match step {
        Step::Answered { rpc: path, request, fields } => {
            match ask(shop, path, &names.show(request)).await {
                Ok(answer) => wrong(fields, &in_json(&answer), names),
                Err(refusal) => vec![format!("refused with {refusal:?}")],
            }
        }
        Step::Refused { rpc: path, request, code, reason, metadata } => {
            match ask(shop, path, &names.show(request)).await {
                Ok(_) => vec![format!("not refused with {reason}")],
                Err(refusal) => {
                    let mut faults = Vec::new();
                    if (refusal.code, &refusal.reason) != (code.as_str(), reason) {
                        faults.push(format!("refused with {refusal:?}, not {code} {reason}"));
                    }
                    for (key, value) in metadata {
                        let expected = names.show(&json!(value));
                        let found = refusal.metadata.get(key).map(|found| json!(found));
                        if !fits(&expected, found.as_ref()) {
                            faults.push(format!("{reason} has {key} {found:?}, not {expected}"));
                        }
                    }
                    faults
                }
            }
        }
        Step::Heard { event, fields } => {
            wrong(fields, &in_json(&published(shop, event, names).await), names)
        }
    }
}

/// The fields that are not as a consumer relied on them.
fn wrong(
    fields: &std::collections::BTreeMap<String, Value>,
    message: &Value,
    names: &Names,
) -> Vec<String> {
    let found = |path: &str| pattern(message, path, names);
    let wrong = fields.iter().filter(|(path, value)| !fits(value, found(path).as_ref()));
    wrong.map(|(path, value)| format!("{path} is {:?}, not {value}", found(path))).collect()
}

async fn ask(shop: &Shop, path: &str, request: &Value) -> Result<DynamicMessage, Refusal> {
    let rpc = rpc(path);
    let bytes = rpc.request(request).encode_to_vec();
    match rpc.send(shop, bytes.into()).await {
        Ok(answer) => Ok(DynamicMessage::decode(rpc.output.clone(), answer).unwrap()),
        Err(status) => Err(Refusal::of(&status).unwrap_or_else(|| panic!("{path}: {status:?}"))),
    }
}

/// The event of this kind about the story, as its publisher's stream has it.
async fn published(shop: &Shop, kind: &str, names: &Names) -> DynamicMessage {
    let descriptor = POOL.get_message_by_name(kind).unwrap();
    let client = mesh_local::connect_nats(&shop.platform.operator_nats()).await.unwrap();
    let stream = kind.split('.').nth(1).unwrap();
    let stream = jetstream::new(client).get_stream(stream).await.unwrap();
    eventually(&format!("{kind} to be published"), async || {
        let config =
            consumer::pull::Config { filter_subject: kind.to_owned(), ..Default::default() };
        let consumer = stream.create_consumer(config).await.ok()?;
        let mut messages = consumer.fetch().max_messages(10_000).messages().await.ok()?;
        while let Some(Ok(message)) = messages.next().await {
            let decoded = DynamicMessage::decode(descriptor.clone(), message.payload.clone());
            let decoded = decoded.unwrap();
            if names.occur_in(&in_json(&decoded).to_string()) {
                return Some(decoded);
            }
        }
        None
    })
    .await
}

//! Clients that were built from what was published last (`proto/published/shop.binpb`) and know nothing
//! that has come since: each of their calls is answered, and says to them what it says to others.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MethodDescriptor, ReflectMessage as _,
    Value,
};
use tonic::Code;

use super::{
    call::{Rpc, ours, rpcs},
    samples::sample,
};
use crate::shop::Shop;

/// Of what is not there that is an answer, too: what every subscriber takes is no dead letter.
const NOT_THERE: [&str; 1] = ["mesh.operator.v1.DeadLettersService/GetDeadLetter"];

static PUBLISHED: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let set = include_bytes!("../../proto/published/shop.binpb");
    DescriptorPool::decode(set.as_slice()).unwrap()
});

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_only_what_was_published_is_answered_as_everybody_is() {
    let shop = Shop::with_storefront().await;
    let now = rpcs();
    let services = PUBLISHED.services().filter(|service| ours(service.full_name()));
    let (mut problems, mut asked) = (Vec::new(), 0);
    for method in services.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let path = format!("{}/{}", method.parent_service().full_name(), method.name());
        asked += 1;
        match now.iter().find(|rpc| rpc.path == path) {
            Some(rpc) => problems.extend(ask(&shop, rpc, &method).await),
            None => problems.push(format!("{path} is gone")),
        }
    }
    println!("{asked} published RPCs");
    assert!(asked > 50, "{asked}");
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    shop.platform.shutdown().await;
}

/// Asks as an old client does, and reads as it does. Returns what it cannot get over.
async fn ask(shop: &Shop, rpc: &Rpc, method: &MethodDescriptor) -> Vec<String> {
    let json = sample(shop, &rpc.path).await;
    // What it does not know it does not send.
    let known = DeserializeOptions::new().deny_unknown_fields(false);
    let request = DynamicMessage::deserialize_with_options(method.input(), json, &known).unwrap();
    match rpc.send(shop, request.encode_to_vec().into()).await {
        Err(status) if NOT_THERE.contains(&&*rpc.path) && status.code() == Code::NotFound => {
            Vec::new()
        }
        Err(status) => vec![format!("{} of {request}: {status:?}", rpc.path)],
        Ok(bytes) => {
            let old = DynamicMessage::decode(method.output(), bytes.clone()).unwrap();
            let new = DynamicMessage::decode(rpc.output.clone(), bytes).unwrap();
            let mut lost = Vec::new();
            compare(&old, &new, &rpc.path, &mut lost);
            lost
        }
    }
}

/// Notes what an old client does not read as a new one does.
fn compare(old: &DynamicMessage, new: &DynamicMessage, place: &str, lost: &mut Vec<String>) {
    for field in old.descriptor().fields() {
        let place = format!("{place} {}", field.name());
        match (old.get_field(&field).as_ref(), new.get_field_by_name(field.name()).as_deref()) {
            (_, None) => lost.push(format!("{place} is gone")),
            (Value::List(old), Some(Value::List(new))) if old.len() == new.len() => {
                old.iter().zip(new).for_each(|(old, new)| differ(old, new, &place, lost));
            }
            (old, Some(new)) => differ(old, new, &place, lost),
        }
    }
}

fn differ(old: &Value, new: &Value, place: &str, lost: &mut Vec<String>) {
    match (old, new) {
        (Value::Message(old), Value::Message(new)) => compare(old, new, place, lost),
        (old, new) if old == new => {}
        (old, new) => lost.push(format!("{place} was {old} and is {new}")),
    }
}

//! What goes from hop to hop that no handler touches.

use mesh_echo::Echo;
use mesh_policy::values;
use mesh_runtime::ServiceConfig;
use tonic::{Request, metadata::MetadataMap};

use crate::{
    hop::Hop,
    support::{Callee, Stack, config, read},
};

#[tokio::test]
async fn baggage_that_is_allowed_reaches_the_last_hop() {
    let leaf = Callee::start(Echo::new(|asked| async move { Ok(baggage(&asked.metadata)) })).await;
    let leaf_stack = Stack::new("leaf", &[leaf.address]);
    let allows = ServiceConfig { baggage: vec!["tenant".to_owned()], ..config() };
    let middle = Hop::to(&leaf_stack);
    let middle = Callee::with(middle, values::Server::default(), allows, |server| server).await;
    let middle_stack = Stack::new("middle", &[middle.address]);

    let mut request = Request::new(read(""));
    request.metadata_mut().insert("baggage", "tenant=blue,card=4242".parse().unwrap());
    let answer = middle_stack.client().read(request).await.unwrap().into_inner().text;
    let nothing = middle_stack.client().read(read("")).await.unwrap().into_inner().text;

    assert_eq!((answer.as_str(), nothing.as_str()), ("tenant=blue", "none"));
}

fn baggage(metadata: &MetadataMap) -> String {
    let baggage = metadata.get("baggage");
    baggage.map_or("none", |value| value.to_str().unwrap()).to_owned()
}

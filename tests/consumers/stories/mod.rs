//! What consumers do, and by which end one sees that they were told what they rely on.
//!
//! A story has to end by itself, whatever the consumer was not told, and in the same way each time.

mod events;
mod orders;
mod payments;
mod storefront;

use futures::future::LocalBoxFuture;
use serde_json::{Value, json};
use shop::{
    catalog::v1::{CreateProductRequest, Product},
    common::v1::Money,
};
use tonic::Status;

use super::{
    ear::{Refusal, rpc},
    names::Names,
};
use crate::shop::{Shop, uuid};

/// Which of what a consumer hears a story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Calls,
    Events,
}

/// Something that a consumer does.
pub struct Story {
    pub consumer: &'static str,
    pub name: &'static str,
    pub part: Part,
    /// Whether telling it changes nothing, so that what was there is there the next time.
    pub only_reads: bool,
    /// Sets up what has to be there before.
    pub given: for<'a> fn(&'a Shop) -> LocalBoxFuture<'a, Names>,
    pub tell: for<'a> fn(&'a Shop, &'a Names) -> LocalBoxFuture<'a, Told>,
}

/// How a story ended.
pub struct Told {
    /// What is to be seen at the consumer.
    pub outcome: Value,
    /// What it was about, beside what was given.
    pub names: Names,
}

/// All of them, those of one consumer one after the other.
pub fn stories() -> Vec<Story> {
    let mut all = orders::stories();
    all.extend(payments::stories());
    all.extend(storefront::stories());
    all.extend(events::stories());
    all.sort_by_key(|story| story.consumer);
    all
}

/// An answer as JSON, or why there is none.
fn shown(path: &str, answer: Result<bytes::Bytes, Status>) -> Value {
    match answer {
        Ok(bytes) => {
            let output = rpc(path).output.clone();
            let message = prost_reflect::DynamicMessage::decode(output, bytes).unwrap();
            super::ear::json(&message)
        }
        Err(status) => refused(&status),
    }
}

fn refused(status: &Status) -> Value {
    let (reason, metadata) =
        Refusal::of(status).map(|it| (it.reason, it.metadata)).unwrap_or_default();
    json!({ "code": mesh_rpc::code_name(status.code()), "reason": reason, "metadata": metadata })
}

/// Asks the consumer, and shows what it says.
async fn ask(shop: &Shop, path: &str, request: Value) -> Value {
    let rpc = rpc(path);
    let bytes = prost::Message::encode_to_vec(&rpc.request(&request));
    shown(path, rpc.send(shop, bytes.into()).await)
}

/// A product that costs 12.50, of which there are so many pieces.
async fn product(shop: &Shop, pieces: i64) -> Product {
    let price = Money { currency_code: "EUR".to_owned(), units: 12, nanos: 500_000_000 };
    let request = CreateProductRequest {
        request_id: uuid(),
        sku: format!("T-{}", uuid().to_uppercase()),
        name: "Kettle".to_owned(),
        description: "Boils".to_owned(),
        price: Some(price),
        ..Default::default()
    };
    let made = shop.catalog().create_product(request).await.unwrap().into_inner().product.unwrap();
    if pieces > 0 {
        shop.receive(&made.sku, pieces).await;
    }
    made
}

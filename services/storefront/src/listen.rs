//! Hears what every replica has to forget: the catalog's announcements, and what operators purge.
//!
//! Events are heard as they are published, by no durable consumer: what was missed while the broker
//! was away is made up for by doubting all that is kept when it is back.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::Message;
use futures::{FutureExt as _, StreamExt as _, stream::select_all};
use mesh_events::{Nats, hint_subject};
use mesh_runtime::Service;
use prost::Message as _;
use shop::catalog::v1::{ProductArchived, ProductCreated, ProductUpdated};
use tokio::time::sleep;

use crate::products::Products;

const CREATED: &str = "shop.catalog.v1.ProductCreated";
const UPDATED: &str = "shop.catalog.v1.ProductUpdated";
const ARCHIVED: &str = "shop.catalog.v1.ProductArchived";
/// How long to wait before a broker is asked again that refused.
const PAUSE: Duration = Duration::from_millis(250);

/// Listens as long as the service runs.
pub fn start(service: &Service, nats: &Nats, products: Products) {
    let (nats, stopped) = (nats.clone(), service.stopped());
    let listen = async move {
        loop {
            nats.connected().await;
            if let Err(error) = listen(&nats, &products).await {
                tracing::warn!(%error, "changes of the catalog are not heard");
                sleep(PAUSE).await;
            }
            products.missed();
        }
    };
    let listen = stopped.run_until_cancelled_owned(listen).map(|_: Option<()>| ());
    service.spawn("catalog listener", listen);
}

/// Tells every replica, this one too, to purge what begins with `prefix`.
pub async fn purge_everywhere(nats: &Nats, prefix: &str) -> anyhow::Result<()> {
    let told = nats.client().publish(hint(), prefix.to_owned().into()).await;
    told.context("the other replicas are not told")
}

/// Where replicas tell each other the beginning of keys that are purged.
fn hint() -> String {
    hint_subject("storefront")
}

/// Listens until the connection is lost.
async fn listen(nats: &Nats, products: &Products) -> anyhow::Result<()> {
    let connection = nats.connection();
    let mut heard = Vec::new();
    for subject in [CREATED, UPDATED, ARCHIVED, &hint()] {
        heard.push(nats.client().subscribe(subject.to_owned()).await?);
    }
    nats.client().flush().await?;
    let mut heard = select_all(heard);
    // What was kept before may be older than the first that is heard.
    products.missed();
    loop {
        tokio::select! {
            message = heard.next() => match message {
                Some(message) => take(&message, products),
                None => return Ok(()),
            },
            () = nats.lost(connection) => return Ok(()),
        }
    }
}

fn take(message: &Message, products: &Products) {
    let body = message.payload.clone();
    let sku = match message.subject.as_str() {
        CREATED => ProductCreated::decode(body).map(|event| event.sku),
        UPDATED => ProductUpdated::decode(body).map(|event| event.sku),
        ARCHIVED => ProductArchived::decode(body).map(|event| event.sku),
        _hint => {
            products.purge(&String::from_utf8_lossy(&body));
            return;
        }
    };
    match sku {
        Ok(sku) => products.changed(&sku),
        // Of an event that cannot be read anything may have changed.
        Err(error) => {
            tracing::warn!(subject = %message.subject, %error, "event not understood");
            products.missed();
        }
    }
}

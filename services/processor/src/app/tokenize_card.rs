//! Keeps a card under a token.

use futures::FutureExt as _;
use mesh_log::{Database, transact};
use sha2::{Digest as _, Sha256};
use time::{Month, OffsetDateTime};
use uuid::Uuid;

use super::Error;
use crate::{
    domain::{CardNumber, Refusal},
    store::cards::{self, Card},
};

/// A card as its owner gives it.
#[derive(Clone, Debug)]
pub struct TokenizeCard {
    pub request_id: Uuid,
    pub number: CardNumber,
    pub expiry_month: Month,
    pub expiry_year: i32,
}

/// The cards that have a token.
pub struct Cards {
    db: Database,
    key: Vec<u8>,
}

impl Cards {
    /// Reads the key of the digests.
    pub async fn open(db: Database) -> sqlx::Result<Self> {
        let key = cards::key(&mut *db.pool().acquire().await?).await?;
        Ok(Self { db, key })
    }

    /// Keeps a card under a new token, or returns the card that this `request_id` made.
    pub async fn tokenize(&self, command: TokenizeCard) -> Result<Card, Error> {
        let expires = (command.expiry_year, command.expiry_month);
        let behaviour = command.number.behaviour(expires, OffsetDateTime::now_utc().date());
        let card = Card {
            token: format!("card_{}", Uuid::new_v4().simple()),
            digest: self.digest(&command),
            last_digits: command.number.last_digits().to_owned(),
        };
        let request_id = command.request_id;
        transact(&self.db, "tokenize_card", move |tx| {
            async move {
                if cards::insert(tx, request_id, &card, behaviour).await? {
                    return Ok(card);
                }
                let first = cards::by_request(tx, request_id).await?;
                if first.digest != card.digest {
                    return Err(Refusal::ContentDiffers.into());
                }
                Ok(first)
            }
            .boxed()
        })
        .await
    }

    /// Two nested hashes, each keyed: without the key a number cannot be found by trying.
    fn digest(&self, card: &TokenizeCard) -> Vec<u8> {
        let month = u8::from(card.expiry_month);
        let content = format!("{}/{month}/{}", card.number.expose(), card.expiry_year);
        let inner = Sha256::new().chain_update(&self.key).chain_update(content).finalize();
        Sha256::new().chain_update(&self.key).chain_update(inner).finalize().to_vec()
    }
}

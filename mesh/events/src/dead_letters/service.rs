//! What the operator sees of dead letters, and does about them.

use std::{collections::HashSet, fmt, panic::AssertUnwindSafe};

use futures::FutureExt as _;
use mesh_log::Database;
use mesh_proto::operator::v1 as proto;
use mesh_rpc::{Code, ErrorDetails, Fault, Fields, Invalid, page_token};
use mesh_runtime::Service;
use tonic::{Request, Response, Status};

use super::{
    Reason,
    store::{self, Kept},
};
use crate::{Claim, Consumer, HandleError};
use proto::dead_letters_service_server::{DeadLettersService, DeadLettersServiceServer};

const DOMAIN: &str = "operator.mesh";
/// What a page token is bound to.
const LIST: &str = "mesh.operator.v1.DeadLettersService/ListDeadLetters";
/// Keys of events are UUIDs; somebody else's may be longer.
const LONGEST_KEY: usize = 200;

/// Serves the dead letters of `db`; `consumers` are those that can try them again.
pub fn dead_letters_service(
    service: &Service,
    db: &Database,
    consumers: Vec<Consumer>,
) -> DeadLettersServiceServer<impl DeadLettersService + use<>> {
    DeadLettersServiceServer::new(Operator { service: service.name(), db: db.clone(), consumers })
}

struct Operator {
    service: &'static str,
    db: Database,
    consumers: Vec<Consumer>,
}

#[tonic::async_trait]
impl DeadLettersService for Operator {
    async fn list_dead_letters(
        &self,
        request: Request<proto::ListDeadLettersRequest>,
    ) -> Result<Response<proto::ListDeadLettersResponse>, Status> {
        self.list(&request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn get_dead_letter(
        &self,
        request: Request<proto::GetDeadLetterRequest>,
    ) -> Result<Response<proto::GetDeadLetterResponse>, Status> {
        self.get(&request.into_inner()).await.map(Response::new).map_err(to_status)
    }

    async fn redrive_dead_letters(
        &self,
        request: Request<proto::RedriveDeadLettersRequest>,
    ) -> Result<Response<proto::RedriveDeadLettersResponse>, Status> {
        self.redrive(&request.into_inner()).await.map(Response::new).map_err(to_status)
    }
}

impl Operator {
    async fn list(
        &self,
        request: &proto::ListDeadLettersRequest,
    ) -> Result<proto::ListDeadLettersResponse, Refusal> {
        let mut fields = Fields::default();
        let page = fields.page(LIST, request.page_size, &request.page_token);
        let after = page.after.as_deref().map_or(Ok(0), str::parse);
        if after.is_err() {
            fields.refuse_page_token();
        }
        let after: i64 = fields.finish(after.unwrap_or_default())?;
        let limit = i64::try_from(page.size).expect("pages are small");
        let mut letters = store::page(&self.db, after, limit + 1).await?;
        let more = letters.len() > page.size;
        letters.truncate(page.size);
        let next = letters.last().filter(|_| more);
        let next = next.map(|last| page_token(LIST, &last.position.to_string()));
        Ok(proto::ListDeadLettersResponse {
            dead_letters: letters.iter().map(summary).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    async fn get(
        &self,
        request: &proto::GetDeadLetterRequest,
    ) -> Result<proto::GetDeadLetterResponse, Refusal> {
        let mut fields = Fields::default();
        let event_id = fields.uuid("event_id", &request.event_id);
        let consumer = self.consumer(&mut fields, &request.stream);
        let (consumer, event_id) = fields.finish((consumer, event_id))?;
        let stream = consumer.map_or("", Consumer::stream);
        let kept = store::get(&self.db, stream, event_id).await?;
        let kept = kept.ok_or(Refusal::NotFound)?;
        let body = kept.envelope.body.clone();
        let dead_letter = proto::DeadLetter { body, ..summary(&kept) };
        Ok(proto::GetDeadLetterResponse { dead_letter: Some(dead_letter) })
    }

    /// Tries dead letters in order. One that fails holds its key; other keys go on.
    async fn redrive(
        &self,
        request: &proto::RedriveDeadLettersRequest,
    ) -> Result<proto::RedriveDeadLettersResponse, Refusal> {
        let mut fields = Fields::default();
        let consumer = self.consumer(&mut fields, &request.stream);
        let key = fields.text("key", &request.key, 0..=LONGEST_KEY);
        let (Some(consumer), key) = fields.finish((consumer, key))? else {
            return Err(Refusal::NotFound);
        };
        let key = Some(key.as_str()).filter(|key| !key.is_empty());
        let mut response = proto::RedriveDeadLettersResponse::default();
        let (mut position, mut held) = (0, HashSet::new());
        while let Some(kept) = store::next(&self.db, consumer.stream(), key, position).await? {
            position = kept.position;
            if held.contains(&kept.key) {
                continue;
            }
            match self.apply(consumer, &kept).await {
                Ok(()) => response.applied += 1,
                Err(error) => {
                    store::failed_again(&self.db, position, &error).await?;
                    if response.error.is_empty() {
                        response.error = error;
                    }
                    // Without a key nothing waits behind it.
                    if !kept.key.is_empty() {
                        held.insert(kept.key);
                    }
                }
            }
        }
        let remaining = store::remaining(&self.db, consumer.stream(), key).await?;
        response.remaining = i32::try_from(remaining).unwrap_or(i32::MAX);
        tracing::info!(
            service = self.service,
            stream = consumer.stream(),
            applied = response.applied,
            remaining,
            "dead letters redriven"
        );
        Ok(response)
    }

    /// The consumer of a stream, which this service may not have.
    fn consumer(&self, fields: &mut Fields, stream: &str) -> Option<&Consumer> {
        let found = self.consumers.iter().find(|consumer| consumer.stream() == stream);
        if found.is_none() {
            fields.refuse(
                "stream",
                "STREAM_UNKNOWN",
                "must be a stream that this service consumes",
            );
        }
        found
    }

    async fn apply(&self, consumer: &Consumer, kept: &Kept) -> Result<(), String> {
        let event = kept.envelope.event()?;
        let claim = Claim::redrive(consumer.stream(), kept.event_id);
        let handled = consumer.handler().handle(event, claim.clone());
        match AssertUnwindSafe(handled).catch_unwind().await {
            Ok(handled) => handled.map_err(|error: HandleError| error.to_string())?,
            Err(_) => return Err("the handler panicked".to_owned()),
        }
        // A handler that had nothing to do takes no claim.
        let settled: sqlx::Result<bool> =
            mesh_log::transact(&self.db, "dead_letter_settled", move |tx| {
                async move { claim.take(tx).await }.boxed()
            })
            .await;
        settled.map(drop).map_err(|error| error.to_string())
    }
}

fn summary(kept: &Kept) -> proto::DeadLetter {
    let reason = match kept.reason {
        Reason::Undecodable => proto::DeadLetterReason::Undecodable,
        Reason::Failed => proto::DeadLetterReason::Failed,
        Reason::Expired => proto::DeadLetterReason::Expired,
        Reason::Behind => proto::DeadLetterReason::Behind,
    };
    proto::DeadLetter {
        stream: kept.envelope.stream.clone(),
        event_id: kept.event_id.to_string(),
        sequence: kept.envelope.sequence,
        r#type: kept.envelope.subject.clone(),
        key: kept.key.clone(),
        reason: reason.into(),
        error: kept.error.clone(),
        attempts: kept.attempts,
        create_time: Some(prost_types::Timestamp {
            seconds: kept.at.unix_timestamp(),
            nanos: i32::try_from(kept.at.nanosecond()).expect("less than a second"),
        }),
        body: bytes::Bytes::new(),
    }
}

/// Why a request of the operator is refused.
#[derive(Debug)]
enum Refusal {
    Invalid(Invalid),
    NotFound,
    Database(sqlx::Error),
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::NotFound => f.write_str("there is no such dead letter"),
            Self::Database(_) => f.write_str("the database is unavailable"),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}

impl Fault for Refusal {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(invalid) => invalid.code(),
            Self::NotFound => Code::NotFound,
            Self::Database(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.reason(),
            Self::NotFound => "DEAD_LETTER_NOT_FOUND",
            Self::Database(_) => "DATABASE_UNAVAILABLE",
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        match self {
            Self::Invalid(invalid) => invalid.describe(details),
            Self::NotFound => {
                details.add_bad_request_violation("event_id", self.to_string());
            }
            Self::Database(_) => (),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn to_status(refusal: Refusal) -> Status {
    mesh_rpc::status(DOMAIN, &refusal)
}

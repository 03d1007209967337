//! `mesh.operator.v1.SagasService`: what an operator sees of sagas, and can do about parked ones.

use std::time::Duration;

use futures::FutureExt as _;
use mesh_log::{Change, Recorded, Stored, SubmitError, requests};
use mesh_proto::operator::v1 as pb;
use mesh_proto::operator::v1::sagas_service_server::{SagasService, SagasServiceServer};
use mesh_rpc::{Fault, Fields, Invalid, Page, page_token};
use prost_types::Timestamp;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::{Code, Request, Response, Status};
use tonic_types::ErrorDetails;
use uuid::Uuid;

use crate::{Describe, Engine, Saga};

const SERVICE: &str = "mesh.operator.v1.SagasService";

/// What an operator can do about a parked saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Go on where it stopped, with a new time limit.
    Retry,
    /// Undo what was done.
    Compensate,
    /// End it by a person's word.
    Resolve {
        /// What was done and why.
        note: String,
    },
}

/// A saga that an operator can act on.
pub trait Operated: Describe {
    /// The change that a command makes, and the state after it; none if the saga is not parked, or
    /// cannot go that way.
    fn operate(
        &self,
        id: Uuid,
        state: &Self::State,
        command: &Command,
    ) -> Option<(Self::State, Change<Self::Companion>)>;

    /// What a recorded event says, for a person.
    fn tell(&self, event: &Recorded) -> String;
}

/// The operator service for the sagas of one engine; `domain` is that of its errors.
pub fn sagas_service<S: Operated>(
    engine: Engine<S>,
    domain: &'static str,
) -> SagasServiceServer<impl SagasService> {
    SagasServiceServer::new(Api { engine, domain })
}

struct Api<S: Saga> {
    engine: Engine<S>,
    domain: &'static str,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("there is no such saga")]
    NotFound,
    #[error("the saga is not parked, or cannot go that way")]
    NotParked,
    #[error("this request_id was used for other content")]
    Differs,
    #[error("the saga was changed meanwhile, ask again")]
    Changed,
    #[error("the saga cannot be read")]
    Broken(#[from] crate::Broken),
    #[error(transparent)]
    NotDone(#[from] SubmitError),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::NotDone(error.into())
    }
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(invalid) => invalid.code(),
            Self::NotFound => Code::NotFound,
            Self::NotParked | Self::Differs => Code::FailedPrecondition,
            Self::Changed => Code::Aborted,
            Self::Broken(_) => Code::Internal,
            Self::NotDone(error) => Code::from_i32(error.code()),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(invalid) => invalid.reason(),
            Self::NotFound => "SAGA_NOT_FOUND",
            Self::NotParked => "SAGA_NOT_PARKED",
            Self::Differs => "REQUEST_CONTENT_DIFFERS",
            Self::Changed => "SAGA_CHANGED",
            Self::Broken(_) => "SAGA_UNREADABLE",
            Self::NotDone(error) => error.reason(),
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        let field = match self {
            Self::Invalid(invalid) => return invalid.describe(details),
            Self::NotFound | Self::NotParked | Self::Changed => "saga_id",
            Self::Differs => "request_id",
            Self::Broken(_) | Self::NotDone(_) => return,
        };
        details.add_bad_request_violation(field, self.to_string());
    }
}

#[tonic::async_trait]
impl<S: Operated> SagasService for Api<S> {
    async fn list_sagas(
        &self,
        request: Request<pb::ListSagasRequest>,
    ) -> Result<Response<pb::ListSagasResponse>, Status> {
        self.list(request.into_inner()).await.map(Response::new).map_err(|e| self.status(&e))
    }

    async fn get_saga(
        &self,
        request: Request<pb::GetSagaRequest>,
    ) -> Result<Response<pb::GetSagaResponse>, Status> {
        let mut fields = Fields::default();
        let id = fields.uuid("saga_id", &request.get_ref().saga_id);
        let asked = fields.finish(id).map_err(|invalid| self.status(&invalid.into()))?;
        let saga = self.get(asked).await.map_err(|e| self.status(&e))?;
        Ok(Response::new(pb::GetSagaResponse { saga: Some(saga) }))
    }

    async fn retry_saga(
        &self,
        request: Request<pb::RetrySagaRequest>,
    ) -> Result<Response<pb::RetrySagaResponse>, Status> {
        let request = request.into_inner();
        let asked = Asked::new("RetrySaga", &request.request_id, &request.saga_id, &request);
        let saga = self.operate(asked, Command::Retry).await.map_err(|e| self.status(&e))?;
        Ok(Response::new(pb::RetrySagaResponse { saga: Some(saga) }))
    }

    async fn compensate_saga(
        &self,
        request: Request<pb::CompensateSagaRequest>,
    ) -> Result<Response<pb::CompensateSagaResponse>, Status> {
        let request = request.into_inner();
        let asked = Asked::new("CompensateSaga", &request.request_id, &request.saga_id, &request);
        let saga = self.operate(asked, Command::Compensate).await.map_err(|e| self.status(&e))?;
        Ok(Response::new(pb::CompensateSagaResponse { saga: Some(saga) }))
    }

    async fn resolve_saga(
        &self,
        request: Request<pb::ResolveSagaRequest>,
    ) -> Result<Response<pb::ResolveSagaResponse>, Status> {
        let request = request.into_inner();
        let mut asked = Asked::new("ResolveSaga", &request.request_id, &request.saga_id, &request);
        let note = asked.fields.text("note", &request.note, 1..=2000);
        let saga =
            self.operate(asked, Command::Resolve { note }).await.map_err(|e| self.status(&e))?;
        Ok(Response::new(pb::ResolveSagaResponse { saga: Some(saga) }))
    }
}

/// Who asks for what.
struct Asked {
    fields: Fields,
    saga: Uuid,
    key: requests::Key,
    digest: [u8; 16],
}

impl Asked {
    fn new<M: prost::Message>(method: &str, request_id: &str, saga_id: &str, request: &M) -> Self {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", request_id);
        let saga = fields.uuid("saga_id", saga_id);
        let key = requests::Key::new(&format!("{SERVICE}/{method}"), "", request_id);
        Self { fields, saga, key, digest: requests::digest(request) }
    }
}

impl<S: Operated> Api<S> {
    fn status(&self, error: &Error) -> Status {
        mesh_rpc::status(self.domain, error)
    }

    async fn list(&self, request: pb::ListSagasRequest) -> Result<pb::ListSagasResponse, Error> {
        let mut fields = Fields::default();
        let wanted = pb::SagaState::try_from(request.state).unwrap_or_else(|_| {
            fields.refuse("state", "ENUM_UNKNOWN", "must be a state of a saga");
            pb::SagaState::Unspecified
        });
        let query = format!("{SERVICE}/ListSagas {}", wanted.as_str_name());
        let Page { after, size } = fields.page(&query, request.page_size, &request.page_token);
        let begin = after.as_deref().map(place_of);
        if begin == Some(None) {
            fields.refuse_page_token();
        }
        let mut after = fields.finish(begin.flatten())?;
        let mut sagas = Vec::new();
        loop {
            let batch = self.engine.streams().list_awake(after, size as i64 + 1).await?;
            let is_last = batch.len() <= size;
            for (id, woke, stored) in batch {
                let saga = self.shown(id, &stored)?;
                if wanted == pb::SagaState::Unspecified || saga.state() == wanted {
                    if sagas.len() == size {
                        let next = after.map(|after| page_token(&query, &place(after)));
                        let next_page_token = next.unwrap_or_default();
                        return Ok(pb::ListSagasResponse { sagas, next_page_token });
                    }
                    sagas.push(saga);
                }
                after = Some((woke, id));
            }
            if is_last {
                return Ok(pb::ListSagasResponse { sagas, next_page_token: String::new() });
            }
        }
    }

    async fn get(&self, id: Uuid) -> Result<pb::Saga, Error> {
        let stored = self.engine.streams().load(id).await?.ok_or(Error::NotFound)?;
        let events = self.engine.streams().events(id, 0).await?;
        let event = |event: &Recorded| pb::SagaEvent {
            version: event.version,
            r#type: event.kind.clone(),
            time: Some(timestamp(event.at)),
            text: self.engine.saga().tell(event),
        };
        let mut saga = self.shown(id, &stored)?;
        saga.events = events.iter().map(event).collect();
        Ok(saga)
    }

    async fn operate(&self, asked: Asked, command: Command) -> Result<pb::Saga, Error> {
        let Asked { fields, saga: id, key, digest } = asked;
        fields.finish(())?;
        let engine = self.engine.clone();
        let db = engine.streams().database().clone();
        let changed = mesh_log::transact(&db, "operate", move |tx| {
            async move { operate(tx, &engine, id, &command, key, digest).await }.boxed()
        })
        .await?;
        if let Some((version, state)) = changed {
            self.engine.streams().announce(id, version);
            self.engine.drive(id, state);
        }
        self.get(id).await
    }

    fn shown(&self, id: Uuid, stored: &Stored) -> Result<pb::Saga, Error> {
        let standing = self.engine.saga().describe(&self.engine.saga().decode(id, stored)?);
        let state = match &standing {
            standing if standing.ended => pb::SagaState::Ended,
            standing if standing.parked => pb::SagaState::Parked,
            standing if standing.back => pb::SagaState::Compensating,
            _ => pb::SagaState::Forward,
        };
        Ok(pb::Saga {
            saga_id: id.to_string(),
            state: state.into(),
            step: standing.step,
            reason: standing.reason,
            version: stored.version,
            owner: stored.owner.map(|owner| owner.to_string()).unwrap_or_default(),
            create_time: Some(timestamp(stored.created_at)),
            age: stored.awake_for.and_then(|age: Duration| age.try_into().ok()),
            events: Vec::new(),
        })
    }
}

/// Changes a saga in the caller's transaction; none if an earlier request with the key did.
async fn operate<S: Operated>(
    tx: &mut PgConnection,
    engine: &Engine<S>,
    id: Uuid,
    command: &Command,
    key: requests::Key,
    digest: [u8; 16],
) -> Result<Option<(i32, S::State)>, Error> {
    // The lock first: a request that is being carried out has recorded its key when it is free.
    let stored = engine.streams().load_in(tx, id).await?;
    if let Some(seen) = requests::find(tx, &[key]).await?.get(&key) {
        return if seen.digest == digest { Ok(None) } else { Err(Error::Differs) };
    }
    let stored = stored.ok_or(Error::NotFound)?;
    let state = engine.saga().decode(id, &stored)?;
    let (state, mut change) = engine.saga().operate(id, &state, command).ok_or(Error::NotParked)?;
    change.owner = engine.owner();
    let version = change.expected + i32::try_from(change.events.len()).unwrap_or(0);
    match engine.streams().commit_in(tx, change).await? {
        mesh_log::Outcome::Accepted(_) | mesh_log::Outcome::Already(_) => (),
        _ => return Err(Error::Changed),
    }
    requests::record(tx, &[(key, requests::Seen { digest, thing: id, version })]).await?;
    Ok(Some((version, state)))
}

/// A place in the list: when the last saga of the page woke, in nanoseconds, and its id.
fn place((woke, id): (OffsetDateTime, Uuid)) -> String {
    format!("{}.{id}", woke.unix_timestamp_nanos())
}

fn place_of(text: &str) -> Option<(OffsetDateTime, Uuid)> {
    let (nanos, id) = text.split_once('.')?;
    let woke = OffsetDateTime::from_unix_timestamp_nanos(nanos.parse().ok()?).ok()?;
    Some((woke, Uuid::parse_str(id).ok()?))
}

fn timestamp(at: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: at.unix_timestamp(), nanos: at.nanosecond().cast_signed() }
}

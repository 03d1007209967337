//! `mesh.operator.v1.SagasService`: what an operator sees of sagas, and can do about parked ones.

use std::{collections::HashMap, time::Duration};

use futures::FutureExt as _;
use mesh_log::{Change, Recorded, Stored, requests};
use mesh_proto::operator::v1 as pb;
use mesh_proto::operator::v1::sagas_service_server::{SagasService, SagasServiceServer};
use mesh_rpc::Fault;
use prost_types::Timestamp;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::{Code, Request, Response, Status};
use tonic_types::ErrorDetails;
use uuid::Uuid;

use crate::{Describe, Engine, Saga};

/// How many sagas a page holds unless asked otherwise, and at most.
const PAGE: (i32, i32) = (50, 1000);

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
    #[error("{field}: {problem}")]
    Invalid { field: &'static str, problem: &'static str },
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
    #[error("the database is unavailable")]
    Database(#[from] sqlx::Error),
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::NotParked | Self::Differs => Code::FailedPrecondition,
            Self::Changed => Code::Aborted,
            Self::Broken(_) => Code::Internal,
            Self::Database(_) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "INVALID_REQUEST",
            Self::NotFound => "SAGA_NOT_FOUND",
            Self::NotParked => "SAGA_NOT_PARKED",
            Self::Differs => "REQUEST_CONTENT_DIFFERS",
            Self::Changed => "SAGA_CHANGED",
            Self::Broken(_) => "SAGA_UNREADABLE",
            Self::Database(_) => "DATABASE_UNAVAILABLE",
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        if let Self::Invalid { field, problem } = self {
            details.add_bad_request_violation(*field, *problem);
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        HashMap::new()
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
        let saga = self.get(&request.get_ref().saga_id).await.map_err(|e| self.status(&e))?;
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
        let asked = Asked::new("ResolveSaga", &request.request_id, &request.saga_id, &request);
        if !(1..=2000).contains(&request.note.chars().count()) {
            let problem = "must have 1 to 2000 characters";
            return Err(self.status(&Error::Invalid { field: "note", problem }));
        }
        let command = Command::Resolve { note: request.note };
        let saga = self.operate(asked, command).await.map_err(|e| self.status(&e))?;
        Ok(Response::new(pb::ResolveSagaResponse { saga: Some(saga) }))
    }
}

/// Who asked for what, parsed.
struct Asked(Result<(Uuid, requests::Key, [u8; 16]), Error>);

impl Asked {
    fn new<M: prost::Message>(method: &str, request_id: &str, saga_id: &str, request: &M) -> Self {
        let parse = || {
            let request_id = uuid("request_id", request_id)?;
            let saga_id = uuid("saga_id", saga_id)?;
            let method = format!("mesh.operator.v1.SagasService/{method}");
            let key = requests::Key::new(&method, "", request_id);
            Ok((saga_id, key, requests::digest(request)))
        };
        Self(parse())
    }
}

impl<S: Operated> Api<S> {
    fn status(&self, error: &Error) -> Status {
        mesh_rpc::status(self.domain, error)
    }

    async fn list(&self, request: pb::ListSagasRequest) -> Result<pb::ListSagasResponse, Error> {
        let wanted = pb::SagaState::try_from(request.state)
            .map_err(|_| Error::Invalid { field: "state", problem: "is no state of a saga" })?;
        let size = page_size(request.page_size)?;
        let mut after = page_token(&request.page_token)?;
        let mut sagas = Vec::new();
        let mut next_page_token = String::new();
        'pages: loop {
            let page = self.engine.streams().list_awake(after, size as i64 + 1).await?;
            let last_page = page.len() <= size;
            for (id, woke, stored) in page.into_iter().take(size) {
                if sagas.len() == size {
                    next_page_token = token(after);
                    break 'pages;
                }
                after = Some((woke, id));
                let saga = self.shown(id, &stored)?;
                if wanted == pb::SagaState::Unspecified || saga.state() == wanted {
                    sagas.push(saga);
                }
            }
            if last_page {
                break;
            }
            if sagas.len() == size {
                next_page_token = token(after);
                break;
            }
        }
        Ok(pb::ListSagasResponse { sagas, next_page_token })
    }

    async fn get(&self, saga_id: &str) -> Result<pb::Saga, Error> {
        let id = uuid("saga_id", saga_id)?;
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
        let (id, key, digest) = asked.0?;
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
        self.get(&id.to_string()).await
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
    let stored = engine.streams().load_in(tx, id).await?.ok_or(Error::NotFound)?;
    if let Some(seen) = requests::find(tx, &[key]).await?.get(&key) {
        return if seen.digest == digest { Ok(None) } else { Err(Error::Differs) };
    }
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

fn uuid(field: &'static str, text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::Invalid { field, problem: "must be a UUID" })
}

fn page_size(size: i32) -> Result<usize, Error> {
    match size {
        0 => Ok(PAGE.0 as usize),
        size if size < 0 => {
            Err(Error::Invalid { field: "page_size", problem: "must not be negative" })
        }
        size => Ok(size.min(PAGE.1) as usize),
    }
}

/// A place in the list: when the last saga of the page woke, in nanoseconds, and its id.
fn token(after: Option<(OffsetDateTime, Uuid)>) -> String {
    after.map(|(woke, id)| format!("{}.{id}", woke.unix_timestamp_nanos())).unwrap_or_default()
}

fn page_token(token: &str) -> Result<Option<(OffsetDateTime, Uuid)>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let parse = || {
        let (nanos, id) = token.split_once('.')?;
        let woke = OffsetDateTime::from_unix_timestamp_nanos(nanos.parse().ok()?).ok()?;
        Some((woke, Uuid::parse_str(id).ok()?))
    };
    let problem = "is no token of this list";
    parse().map(Some).ok_or(Error::Invalid { field: "page_token", problem })
}

fn timestamp(at: OffsetDateTime) -> Timestamp {
    Timestamp { seconds: at.unix_timestamp(), nanos: at.nanosecond().cast_signed() }
}

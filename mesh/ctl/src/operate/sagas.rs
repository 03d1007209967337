//! Sagas: which there are, and what to do with one that is parked.

use anyhow::Result;
use mesh_proto::operator::v1::{
    CompensateSagaRequest, GetSagaRequest, ListSagasRequest, ResolveSagaRequest, RetrySagaRequest,
    Saga, SagaState,
};
use serde_json::{Value, json};
use tonic::Status;
use uuid::Uuid;

use super::{Answers, Counter, Desk, Held, PAGE, request, required, word, written_time};

impl Desk {
    /// The sagas that have not ended, of every service, oldest first; only those in one state if
    /// one is given.
    pub async fn sagas(&self, state: Option<SagaState>) -> Answers<Saga> {
        self.ask_all(async |counter| list(counter, state).await).await.each()
    }

    /// One saga with every step that it recorded.
    pub async fn saga(&self, saga_id: &str) -> Result<Held<Saga>> {
        self.ask_holder(&what(saga_id), async |counter| {
            let message = GetSagaRequest { saga_id: saga_id.to_owned() };
            let answer = counter.sagas.clone().get_saga(request(message)).await?;
            required(answer.into_inner().saga)
        })
        .await
    }

    /// Lets a parked saga go on where it stopped.
    pub async fn retry(&self, saga_id: &str) -> Result<Held<Saga>> {
        let message = RetrySagaRequest { request_id: request_id(), saga_id: saga_id.to_owned() };
        self.ask_holder(&what(saga_id), async |counter| {
            let answer = counter.sagas.clone().retry_saga(request(message.clone())).await?;
            required(answer.into_inner().saga)
        })
        .await
    }

    /// Turns a parked saga back.
    pub async fn compensate(&self, saga_id: &str) -> Result<Held<Saga>> {
        let message =
            CompensateSagaRequest { request_id: request_id(), saga_id: saga_id.to_owned() };
        self.ask_holder(&what(saga_id), async |counter| {
            let answer = counter.sagas.clone().compensate_saga(request(message.clone())).await?;
            required(answer.into_inner().saga)
        })
        .await
    }

    /// Ends a parked saga by a person's word.
    pub async fn resolve(&self, saga_id: &str, note: &str) -> Result<Held<Saga>> {
        let message = ResolveSagaRequest {
            request_id: request_id(),
            saga_id: saga_id.to_owned(),
            note: note.to_owned(),
        };
        self.ask_holder(&what(saga_id), async |counter| {
            let answer = counter.sagas.clone().resolve_saga(request(message.clone())).await?;
            required(answer.into_inner().saga)
        })
        .await
    }
}

async fn list(counter: &Counter, state: Option<SagaState>) -> Result<Vec<Saga>, Status> {
    let mut sagas = Vec::new();
    let mut page_token = String::new();
    loop {
        let state = state.unwrap_or(SagaState::Unspecified).into();
        let message = ListSagasRequest { state, page_size: PAGE, page_token };
        let page = counter.sagas.clone().list_sagas(request(message)).await?.into_inner();
        sagas.extend(page.sagas);
        if page.next_page_token.is_empty() {
            return Ok(sagas);
        }
        page_token = page.next_page_token;
    }
}

fn what(saga_id: &str) -> String {
    format!("a saga {saga_id}")
}

fn request_id() -> String {
    Uuid::now_v7().to_string()
}

/// Where a saga stands, in one word.
pub fn state_word(saga: &Saga) -> String {
    word(saga.state().as_str_name(), "SAGA_STATE_")
}

/// A saga as JSON, with its events if it has any.
pub fn saga_json(held: &Held<Saga>) -> Value {
    let saga = &held.thing;
    let mut value = json!({
        "service": held.service,
        "saga_id": saga.saga_id,
        "state": state_word(saga),
        "step": saga.step,
        "reason": saga.reason,
        "version": saga.version,
        "owner": saga.owner,
        "create_time": saga.create_time.as_ref().map(|time| written_time(time.seconds)),
        "age_seconds": saga.age.as_ref().map(|age| age.seconds),
    });
    if !saga.events.is_empty() {
        let events = saga.events.iter().map(|event| {
            json!({
                "version": event.version,
                "type": event.r#type,
                "time": event.time.as_ref().map(|time| written_time(time.seconds)),
                "text": event.text,
            })
        });
        value["events"] = events.collect();
    }
    value
}

#[cfg(test)]
mod tests {
    use mesh_proto::operator::v1::SagaEvent;

    use super::*;

    #[test]
    fn a_saga_is_told_with_its_service_and_its_events() {
        let saga = Saga {
            saga_id: "id".to_owned(),
            state: SagaState::Parked.into(),
            events: vec![SagaEvent {
                version: 3,
                text: "declined".to_owned(),
                ..Default::default()
            }],
            ..Saga::default()
        };

        let value = saga_json(&Held { service: "orders".to_owned(), thing: saga });

        assert_eq!((&value["service"], &value["state"]), (&json!("orders"), &json!("parked")));
        assert_eq!(value["events"][0]["text"], "declined");
    }
}

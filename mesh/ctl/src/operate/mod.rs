//! What an operator does: look at sagas and dead letters, and move those that are stuck.

mod dead_letters;
mod sagas;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::join_all;
use mesh_proto::operator::v1::dead_letters_service_client::DeadLettersServiceClient;
use mesh_proto::operator::v1::sagas_service_client::SagasServiceClient;
use mesh_rpc::{Channel, timeout_request};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::{Code, Request, Status};

use crate::caller::Caller;
use crate::persist::said;

pub use dead_letters::{dead_letter_json, reason_word};
pub use sagas::{saga_json, state_word};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Entries of one page.
const PAGE: i32 = 500;

/// Something that one service holds.
#[derive(Clone, Debug)]
pub struct Held<T> {
    /// The service.
    pub service: String,
    /// The thing.
    pub thing: T,
}

/// What the services answered that could be asked.
#[derive(Debug)]
pub struct Answers<T> {
    /// In the order of the services.
    pub held: Vec<Held<T>>,
    /// Of each of the others, why it gave no answer.
    pub silent: Vec<String>,
}

/// The services that an operator looks after.
#[derive(Debug)]
pub struct Desk {
    services: Vec<Counter>,
}

/// One service's operator contracts. Not every service has them.
#[derive(Debug)]
struct Counter {
    service: String,
    sagas: SagasServiceClient<Channel>,
    dead_letters: DeadLettersServiceClient<Channel>,
}

impl<T> Answers<T> {
    /// The answers, if everybody gave one.
    pub fn complete(self) -> Result<Vec<Held<T>>> {
        if !self.silent.is_empty() {
            bail!("{}", self.silent.join("; "));
        }
        Ok(self.held)
    }
}

impl<T> Answers<Vec<T>> {
    /// Each thing by itself.
    fn each(self) -> Answers<T> {
        let held = self.held.into_iter().flat_map(|Held { service, thing }| {
            thing.into_iter().map(move |thing| Held { service: service.clone(), thing })
        });
        Answers { held: held.collect(), silent: self.silent }
    }
}

impl Desk {
    /// Opens a desk for services and the addresses of their replicas; `caller` sits at it.
    pub fn open(
        caller: &Caller,
        services: impl IntoIterator<Item = (String, Vec<SocketAddr>)>,
    ) -> Result<Desk> {
        let channels = caller.channels()?;
        let mut counters = Vec::new();
        for (service, addresses) in services {
            let channel = channels.to(&service, &addresses)?;
            counters.push(Counter {
                service,
                sagas: SagasServiceClient::new(channel.clone()),
                dead_letters: DeadLettersServiceClient::new(channel),
            });
        }
        Ok(Desk { services: counters })
    }

    /// Asks every service that has the contract, all at once: one that hangs holds up no other.
    async fn ask_all<T>(&self, ask: impl AsyncFn(&Counter) -> Result<T, Status>) -> Answers<T> {
        let ask = &ask;
        let asked =
            self.services.iter().map(|counter| async move { (counter, ask(counter).await) });
        let mut answers = Answers { held: Vec::new(), silent: Vec::new() };
        for (counter, answer) in join_all(asked).await {
            match answer {
                Ok(thing) => answers.held.push(Held { service: counter.service.clone(), thing }),
                Err(status) if status.code() == Code::Unimplemented => {}
                Err(status) => {
                    answers.silent.push(format!("{} says {}", counter.service, said(&status)));
                }
            }
        }
        answers
    }

    /// Asks one service after the other for the one that holds a thing.
    async fn ask_holder<T>(
        &self,
        what: &str,
        ask: impl AsyncFn(&Counter) -> Result<T, Status>,
    ) -> Result<Held<T>> {
        let mut refusals = Vec::new();
        for counter in &self.services {
            match ask(counter).await {
                Ok(thing) => return Ok(Held { service: counter.service.clone(), thing }),
                Err(status) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => {}
                // The holder may be another one.
                Err(status) => refusals.push(format!("{} says {}", counter.service, said(&status))),
            }
        }
        if refusals.is_empty() {
            bail!("no service has {what}");
        }
        bail!("{}", refusals.join("; "))
    }
}

fn request<T>(message: T) -> Request<T> {
    timeout_request(message, PATIENCE)
}

/// A field that must be there.
fn required<T>(field: Option<T>) -> Result<T, Status> {
    field.ok_or_else(|| {
        Status::with_details(Code::DataLoss, "the answer is empty", bytes::Bytes::new())
    })
}

/// `SAGA_STATE_PARKED` without its prefix, in small letters.
pub fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()
}

/// A moment in RFC 3339, to the second.
pub fn written_time(unix_seconds: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(unix_seconds).ok();
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{word, written_time};

    #[test]
    fn enum_names_and_times_are_written_for_people() {
        assert_eq!(word("SAGA_STATE_PARKED", "SAGA_STATE_"), "parked");
        assert_eq!(written_time(0), "1970-01-01T00:00:00Z");
    }
}

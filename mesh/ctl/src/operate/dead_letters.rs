//! Dead letters: events that a service could not apply, and trying them again.

use std::fmt::Write as _;

use anyhow::Result;
use mesh_proto::operator::v1::{
    DeadLetter, GetDeadLetterRequest, ListDeadLettersRequest, RedriveDeadLettersRequest,
    RedriveDeadLettersResponse,
};
use serde_json::{Value, json};
use tonic::Status;

use super::{Answers, Counter, Desk, Held, PAGE, request, required, word, written_time};

impl Desk {
    /// The dead letters of every service, in the order of their streams.
    pub async fn dead_letters(&self) -> Answers<DeadLetter> {
        self.ask_all(async |counter| list(counter).await).await.each()
    }

    /// One dead letter with its body.
    pub async fn dead_letter(&self, stream: &str, event_id: &str) -> Result<Held<DeadLetter>> {
        let what = format!("a dead letter {event_id} of stream {stream}");
        self.ask_holder(&what, async |counter| {
            let message =
                GetDeadLetterRequest { stream: stream.to_owned(), event_id: event_id.to_owned() };
            let answer = counter.dead_letters.clone().get_dead_letter(request(message)).await?;
            required(answer.into_inner().dead_letter)
        })
        .await
    }

    /// Tries the dead letters of a stream again, or of one key, in every service of the desk.
    pub async fn redrive(
        &self,
        stream: &str,
        key: &str,
    ) -> Result<Vec<Held<RedriveDeadLettersResponse>>> {
        self.ask_all(async |counter| {
            let message =
                RedriveDeadLettersRequest { stream: stream.to_owned(), key: key.to_owned() };
            let answer =
                counter.dead_letters.clone().redrive_dead_letters(request(message)).await?;
            Ok(answer.into_inner())
        })
        .await
        .complete()
    }
}

async fn list(counter: &Counter) -> Result<Vec<DeadLetter>, Status> {
    let mut letters = Vec::new();
    let mut page_token = String::new();
    loop {
        let message = ListDeadLettersRequest { page_size: PAGE, page_token };
        let mut client = counter.dead_letters.clone();
        let page = client.list_dead_letters(request(message)).await?.into_inner();
        letters.extend(page.dead_letters);
        if page.next_page_token.is_empty() {
            return Ok(letters);
        }
        page_token = page.next_page_token;
    }
}

/// Why an event is a dead letter, in one word.
pub fn reason_word(letter: &DeadLetter) -> String {
    word(letter.reason().as_str_name(), "DEAD_LETTER_REASON_")
}

/// A dead letter as JSON; its body, if it has one, in hexadecimal digits.
pub fn dead_letter_json(held: &Held<DeadLetter>) -> Value {
    let letter = &held.thing;
    let mut value = json!({
        "service": held.service,
        "stream": letter.stream,
        "event_id": letter.event_id,
        "sequence": letter.sequence,
        "type": letter.r#type,
        "key": letter.key,
        "reason": reason_word(letter),
        "error": letter.error,
        "attempts": letter.attempts,
        "create_time": letter.create_time.as_ref().map(|time| written_time(time.seconds)),
    });
    if !letter.body.is_empty() {
        value["body"] = json!(letter.body.iter().fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        }));
    }
    value
}

#[cfg(test)]
mod tests {
    use mesh_proto::operator::v1::DeadLetterReason;

    use super::*;

    #[test]
    fn a_dead_letter_is_told_with_its_reason_and_body() {
        let letter = DeadLetter {
            stream: "shipping".to_owned(),
            reason: DeadLetterReason::Undecodable.into(),
            body: bytes::Bytes::from_static(&[0, 255]),
            ..DeadLetter::default()
        };

        let value = dead_letter_json(&Held { service: "orders".to_owned(), thing: letter });

        assert_eq!((&value["reason"], &value["body"]), (&json!("undecodable"), &json!("00ff")));
    }
}

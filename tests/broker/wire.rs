//! A client of the broker that says one line after the other, and collects what is refused.

use std::collections::BTreeSet;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::attempts::{Attempt, Verb};

/// So many lines are sent before their answers are read.
const AT_ONCE: usize = 200;

pub struct Wire {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Wire {
    /// Connects with the user and password of a URL.
    pub async fn connect(url: &str) -> Wire {
        let (credentials, address) = url.strip_prefix("nats://").unwrap().split_once('@').unwrap();
        let (user, password) = credentials.split_once(':').unwrap();
        let (read, write) = TcpStream::connect(address).await.unwrap().into_split();
        let mut wire = Wire { read: BufReader::new(read), write };
        let connect = serde_json::json!({ "verbose": false, "user": user, "pass": password });
        wire.say(&format!("CONNECT {connect}\r\n")).await;
        assert_eq!(wire.answers().await, BTreeSet::new());
        wire
    }

    /// Tries all of it, and returns what was refused, as the attempts are shown.
    pub async fn try_all(&mut self, attempts: &[Attempt]) -> BTreeSet<String> {
        let mut refused = BTreeSet::new();
        for some in attempts.chunks(AT_ONCE) {
            let line = |(n, attempt): (usize, &Attempt)| match attempt.verb {
                Verb::Publish => format!("PUB {} 0\r\n\r\n", attempt.subject),
                // Given up at once, so that nothing is heard by it.
                Verb::Subscribe => format!("SUB {} {n}\r\nUNSUB {n}\r\n", attempt.subject),
            };
            let lines: String = some.iter().enumerate().map(line).collect();
            self.say(&lines).await;
            refused.extend(self.answers().await);
        }
        refused
    }

    /// What the broker has refused, up to now.
    async fn answers(&mut self) -> BTreeSet<String> {
        self.say("PING\r\n").await;
        let mut refused = BTreeSet::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.read.read_line(&mut line).await.unwrap(), 0, "the broker hangs up");
            if line.starts_with("PONG") {
                return refused;
            }
            if let Some(error) = line.strip_prefix("-ERR ") {
                let subject = error.split('"').nth(1);
                let subject = subject.unwrap_or_else(|| panic!("the broker says {error}"));
                let is_publish = error.contains("Violation for Publish to");
                let verb = if is_publish { Verb::Publish } else { Verb::Subscribe };
                refused.insert(Attempt::shown_as(verb, subject));
            }
        }
    }

    async fn say(&mut self, text: &str) {
        self.write.write_all(text.as_bytes()).await.unwrap();
    }
}

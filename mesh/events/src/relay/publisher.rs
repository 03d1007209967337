//! One uninterrupted run of the relay, from a cursor on.

use std::{fmt, future::IntoFuture as _, time::Duration};

use async_nats::jetstream::{
    context::{PublishError, PublishErrorKind},
    message::PublishMessage,
    publish::PublishAck,
};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use mesh_log::{Database, LogRow, Reader};
use mesh_runtime::crash;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::{Work, cursor, cursor::Cursor, hint_subject};
use crate::envelope;

/// How many messages may wait for their acknowledgement at once.
const IN_FLIGHT: usize = 256;
/// How many rows are read from the log at once.
const READ_AHEAD: usize = 256;
/// How long the log stays unread if nobody says that it has grown.
const POLL: Duration = Duration::from_millis(200);
/// How often a busy log is read at most: in batches, since every read is a round trip and every
/// lone message a write of its own to the broker. What follows a silence is read at once.
const PACE: Duration = Duration::from_millis(40);
/// How often the stream is compared with what was published, and noted.
const CHECK: Duration = Duration::from_secs(2);

/// What comes back for one message: the sequence that it was to get, its row, the broker's word.
type Acked = (u64, i64, Result<PublishAck, PublishError>);

/// Publishes rows in order until something is in doubt.
pub(super) struct Publisher<'a> {
    work: &'a Work,
    /// The connection over which the cursor was read.
    connection: u64,
    /// What the broker has acknowledged.
    stored: Cursor,
    /// Sequence that the last message sent is to get.
    sent: u64,
    /// Its message id; none before the first one of this run.
    previous: Option<String>,
    noted: i64,
    flight: FuturesOrdered<BoxFuture<'static, Acked>>,
}

/// Why a run of the relay ended.
#[derive(Debug)]
pub(super) enum Interrupted {
    Disconnected,
    /// The broker did not store a message, or did not say so.
    Refused(PublishError),
    /// The broker knows the message of this row under a sequence at which it is not.
    DuplicateElsewhere {
        position: i64,
    },
    /// The stream is not what was published: deleted, made anew, restored, or written by others.
    StreamChanged,
    Broker(String),
}

impl<'a> Publisher<'a> {
    pub(super) fn new(work: &'a Work, stored: Cursor, connection: u64) -> Self {
        let sent = stored.sequence;
        work.gauges.found(stored.position);
        Self {
            work,
            connection,
            stored,
            sent,
            previous: None,
            noted: -1,
            flight: FuturesOrdered::new(),
        }
    }

    /// Log position of the last row that the broker has acknowledged.
    pub(super) fn position(&self) -> i64 {
        self.stored.position
    }

    /// Publishes until something is in doubt; says what.
    pub(super) async fn run(&mut self) -> Interrupted {
        let (sender, mut rows) = mpsc::channel(READ_AHEAD);
        let _reader = AbortOnDropHandle::new(tokio::spawn(read(
            self.work.clone(),
            self.stored.position,
            sender,
        )));
        let mut check = tokio::time::interval(CHECK);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (nats, connection) = (self.work.nats.clone(), self.connection);
        loop {
            let done = tokio::select! {
                biased;
                () = nats.lost(connection) => Err(Interrupted::Disconnected),
                Some(acked) = self.flight.next() => self.acknowledged(acked),
                _ = check.tick() => self.check().await,
                Some(row) = rows.recv(), if self.flight.len() < IN_FLIGHT => self.send(row).await,
            };
            if let Err(interrupted) = done {
                return interrupted;
            }
        }
    }

    async fn send(&mut self, row: LogRow) -> Result<(), Interrupted> {
        crash::point("relay", "before_publish");
        let mut message = PublishMessage::build()
            .headers(envelope::headers(self.work.service, &row))
            .payload(row.body)
            .expected_stream(self.work.stream)
            .expected_last_sequence(self.sent);
        // The sequence alone leaves a hole if somebody else's message takes the place of one of
        // ours: that one is refused, but the next one would fit.
        if let Some(previous) = self.previous.replace(row.id.to_string()) {
            message = message.expected_last_message_id(previous);
        }
        let ack = self
            .work
            .nats
            .jetstream()
            .send_publish(row.kind, message)
            .await
            .map_err(Interrupted::Refused)?
            .into_future();
        self.sent += 1;
        let (expected, position) = (self.sent, row.seq);
        self.flight.push_back(Box::pin(async move { (expected, position, ack.await) }));
        Ok(())
    }

    fn acknowledged(&mut self, (expected, position, ack): Acked) -> Result<(), Interrupted> {
        let ack = ack.map_err(Interrupted::Refused)?;
        if ack.sequence != expected {
            return Err(if ack.duplicate {
                Interrupted::DuplicateElsewhere { position }
            } else {
                Interrupted::StreamChanged
            });
        }
        crash::point("relay", "after_publish");
        (self.stored.sequence, self.stored.position) = (expected, position);
        self.work.gauges.published(position);
        Ok(())
    }

    /// Compares the stream with what was published, and writes the note.
    async fn check(&mut self) -> Result<(), Interrupted> {
        let broker = |error: &dyn fmt::Display| Interrupted::Broker(error.to_string());
        let stream = self.work.nats.jetstream().get_stream_no_info(self.work.stream).await;
        let stream = stream.map_err(|error| broker(&error))?;
        let info = stream.get_info().await.map_err(|error| broker(&error))?;
        let last = info.state.last_sequence;
        if info.created != self.stored.created || last < self.stored.sequence || last > self.sent {
            return Err(Interrupted::StreamChanged);
        }
        if self.stored.position > self.noted {
            match cursor::write_note(&self.work.db, self.work.stream, &self.stored).await {
                Ok(()) => self.noted = self.stored.position,
                Err(error) => tracing::warn!(%error, "relay cannot note its position"),
            }
        }
        Ok(())
    }
}

/// Reads the public rows after `position` into `rows`, woken by commits here and elsewhere.
async fn read(work: Work, position: i64, rows: mpsc::Sender<LogRow>) {
    let limit = i64::try_from(READ_AHEAD).expect("a small constant");
    let mut reader = Reader::new(&work.db, position);
    let mut wake = work.db.wake().waiter();
    let _hints = AbortOnDropHandle::new(tokio::spawn(hear_hints(work.clone(), work.db.clone())));
    loop {
        let begun = Instant::now();
        match reader.next(limit).await {
            Ok(found) => {
                let is_all = found.len() < READ_AHEAD;
                for row in found.into_iter().filter(|row| row.public) {
                    if rows.send(row).await.is_err() {
                        return;
                    }
                }
                if is_all {
                    wake.wait(POLL).await;
                    tokio::time::sleep_until(begun + PACE).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "relay cannot read the log");
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

/// Passes on what replicas that stand by say about their commits.
async fn hear_hints(work: Work, db: Database) {
    let subject = hint_subject(work.service);
    match work.nats.client().subscribe(subject).await {
        Ok(mut hints) => {
            while hints.next().await.is_some() {
                db.wake().notify();
            }
        }
        // Polling serves as well.
        Err(error) => tracing::warn!(%error, "relay cannot hear hints"),
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("the broker is away"),
            Self::Refused(error)
                if matches!(
                    error.kind(),
                    PublishErrorKind::WrongLastSequence | PublishErrorKind::WrongLastMessageId
                ) =>
            {
                f.write_str("the stream ends elsewhere")
            }
            Self::Refused(error) => write!(f, "a message was refused: {error}"),
            Self::DuplicateElsewhere { position } => {
                write!(f, "log position {position} was taken for a duplicate")
            }
            Self::StreamChanged => f.write_str("the stream has changed"),
            Self::Broker(error) => write!(f, "the broker does not answer as expected: {error}"),
        }
    }
}

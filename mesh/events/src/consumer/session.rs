//! One uninterrupted run of a consumer: pull, keep order, acknowledge.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_nats::{
    Subject,
    jetstream::{
        AckKind, Message,
        consumer::{Info, PullConsumer, pull},
    },
};
use futures::StreamExt as _;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Trouble, Work,
    delivery::{End, Lanes},
    durable::PULL_EXPIRY,
    recovery::{Inquiry, Recovery},
};
use crate::{dead_letters, envelope::Envelope};

/// How often the broker must show during a pull that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often the broker is asked about the consumer, while recovering and afterwards.
const INQUIRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How long an attempt that runs may go on when the session ends.
const PARTING: Duration = Duration::from_secs(5);

/// The messages of a consumer that are delivered and not acknowledged, and what happens to them.
pub(super) struct Session {
    work: Arc<Work>,
    /// The connection over which the consumer was opened: behind another one may be a broker that
    /// has lost messages.
    connection: u64,
    consumer: PullConsumer,
    /// None once the session ends.
    messages: Option<pull::Stream>,
    /// Sequence of the consumer's last delivery: a gap means that one was lost on its way.
    delivered: u64,
    recovery: Option<Recovery>,
    inquiry: Inquiry,
    held: BTreeMap<u64, Held>,
    lanes: Lanes,
    /// Per key what is being delivered and what waits for it, in stream order.
    queues: HashMap<String, VecDeque<u64>>,
    running: JoinSet<(u64, End)>,
    settled: u64,
}

/// A message in hand.
struct Held {
    reply: Option<Subject>,
    envelope: Envelope,
    deliveries: i64,
    /// The key that it waits for; none if it has none.
    lane: Option<String>,
}

impl Session {
    pub(super) async fn open(
        work: &Arc<Work>,
        connection: u64,
        consumer: PullConsumer,
        info: &Info,
    ) -> Result<Self, Trouble> {
        let messages = consumer
            .stream()
            .max_messages_per_batch(work.options.in_flight)
            .heartbeat(HEARTBEAT)
            .expires(PULL_EXPIRY)
            .messages()
            .await
            .map_err(Trouble::broker)?;
        let lanes = Lanes {
            work: Arc::clone(work),
            permits: Arc::new(Semaphore::new(work.options.lanes)),
            ending: CancellationToken::new(),
        };
        if info.num_ack_pending > 0 {
            tracing::info!(
                stream = work.stream,
                pending = info.num_ack_pending,
                "consumer waits for what was not acknowledged"
            );
        }
        Ok(Self {
            work: Arc::clone(work),
            connection,
            inquiry: Inquiry::every(INQUIRY.0, &consumer),
            consumer,
            messages: Some(messages),
            delivered: info.delivered.consumer_sequence,
            recovery: Some(Recovery::new(info, work.options.ack_wait)),
            held: BTreeMap::new(),
            lanes,
            queues: HashMap::new(),
            running: JoinSet::new(),
            settled: 0,
        })
    }

    /// Works until something is in doubt, the lease is lost, or the service has stopped.
    pub(super) async fn run(
        &mut self,
        lost: &CancellationToken,
        stopped: &CancellationToken,
    ) -> String {
        let mut progress = tokio::time::interval(self.work.options.ack_wait / 3);
        progress.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        if let Err(why) = self.recover(None).await {
            return why;
        }
        let (nats, connection) = (self.work.nats.clone(), self.connection);
        loop {
            let done = tokio::select! {
                biased;
                () = lost.cancelled() => Err("the lease is lost".to_owned()),
                () = stopped.cancelled() => Err("the service has stopped".to_owned()),
                () = nats.lost(connection) => Err("the broker is away".to_owned()),
                Some(ended) = self.running.join_next() => match ended {
                    Ok((sequence, end)) => { self.ended(sequence, end).await; Ok(()) }
                    Err(error) => Err(format!("a delivery ended: {error}")),
                },
                _ = progress.tick() => { self.tell_all(AckKind::Progress).await; Ok(()) }
                message = next(&mut self.messages) => match message {
                    Some(Ok(message)) => self.received(message).await,
                    Some(Err(error)) => Err(error.to_string()),
                    None => Err("the pull ended".to_owned()),
                },
                info = self.inquiry.next() => match info {
                    Ok(info) => self.informed(&info).await,
                    Err(error) => Err(error),
                },
            };
            if let Err(why) = done {
                return why;
            }
        }
    }

    async fn received(&mut self, message: Message) -> Result<(), String> {
        let info = message.info().map_err(|error| error.to_string())?;
        if info.consumer_sequence != self.delivered + 1 {
            return Err(format!(
                "delivery {} followed {}: others were lost",
                info.consumer_sequence, self.delivered
            ));
        }
        self.delivered = info.consumer_sequence;
        let (sequence, deliveries) = (info.stream_sequence, info.delivered);
        let message = message.message;
        if let Some(held) = self.held.get_mut(&sequence) {
            // Delivered again while it waits here: the newest delivery is the one to acknowledge.
            held.reply = message.reply;
            return Ok(());
        }
        let envelope = Envelope {
            stream: self.work.stream.to_owned(),
            sequence,
            subject: message.subject.to_string(),
            headers: message.headers.unwrap_or_default(),
            body: message.payload,
        };
        let lane = (!envelope.key().is_empty()).then(|| envelope.key().to_owned());
        self.held.insert(sequence, Held { reply: message.reply, envelope, deliveries, lane });
        if self.recovery.is_some() {
            return self.recover(None).await;
        }
        self.enqueue(sequence);
        Ok(())
    }

    async fn informed(&mut self, info: &Info) -> Result<(), String> {
        let unacknowledged = u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX);
        self.work.gauges.lag(info.num_pending.saturating_add(unacknowledged));
        self.recover(Some(info)).await
    }

    /// Begins to handle once everything older has come back.
    async fn recover(&mut self, latest: Option<&Info>) -> Result<(), String> {
        let held = |last| self.held.range(..=last).count();
        if self.recovery.as_ref().is_some_and(|recovery| recovery.is_done(held, latest)) {
            self.recovery = None;
            // Whoever led before may have set events aside since the first look.
            let keys = dead_letters::keys(&self.work.db, self.work.stream).await;
            *self.work.blocked() = keys.map_err(|error| error.to_string())?;
            self.inquiry = Inquiry::every(INQUIRY.1, &self.consumer);
            for sequence in self.held.keys().copied().collect::<Vec<_>>() {
                self.enqueue(sequence);
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, sequence: u64) {
        let Some(held) = self.held.get(&sequence) else { return };
        let first = match &held.lane {
            None => true,
            Some(key) => {
                let queue = self.queues.entry(key.clone()).or_default();
                queue.push_back(sequence);
                queue.len() == 1
            }
        };
        if first {
            self.deliver(sequence);
        }
    }

    fn deliver(&mut self, sequence: u64) {
        let Some(held) = self.held.get(&sequence) else { return };
        let delivery = self.lanes.clone().deliver(held.envelope.clone(), held.deliveries);
        self.running.spawn(async move { (sequence, delivery.await) });
    }

    /// Acknowledges what is settled, and lets the next event of its key have its turn.
    async fn ended(&mut self, sequence: u64, end: End) {
        if end == End::Abandoned {
            return;
        }
        mesh_runtime::crash::point("consumer", "before_ack");
        let Some(held) = self.held.remove(&sequence) else { return };
        // Not confirmed: if it is lost the event comes back, and the inbox knows it.
        self.tell(&held, AckKind::Ack).await;
        self.settled += 1;
        let Some(key) = held.lane else { return };
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.pop_front();
        match queue.front().copied() {
            Some(next) => self.deliver(next),
            None => {
                self.queues.remove(&key);
            }
        }
    }

    async fn tell_all(&self, kind: AckKind) {
        for held in self.held.values() {
            self.tell(held, kind).await;
        }
    }

    async fn tell(&self, held: &Held, kind: AckKind) {
        // While the broker is away the client's queue would fill up, and then hold us up.
        if let Some(reply) = held.reply.clone()
            && self.work.nats.is_connected()
        {
            let sent = self.work.nats.client().publish(reply, kind.into()).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "acknowledgement not sent");
            }
        }
    }

    /// Lets attempts that run come to their end, and gives the rest back. Says how many events
    /// were settled in this session.
    pub(super) async fn end(mut self, give_back: bool) -> u64 {
        self.lanes.ending.cancel();
        // First, so that nothing that is given back comes here again.
        self.messages = None;
        let parting = async {
            while let Some(Ok((sequence, end))) = self.running.join_next().await {
                self.queues.clear();
                self.ended(sequence, end).await;
            }
        };
        let _ = tokio::time::timeout(PARTING, parting).await;
        self.running.shutdown().await;
        if give_back {
            self.tell_all(AckKind::Nak(None)).await;
        }
        if self.work.nats.is_connected() {
            let _ = tokio::time::timeout(HEARTBEAT, self.work.nats.client().flush()).await;
        }
        self.settled
    }
}

async fn next(
    messages: &mut Option<pull::Stream>,
) -> Option<Result<Message, async_nats::jetstream::consumer::pull::MessagesError>> {
    messages.as_mut()?.next().await
}

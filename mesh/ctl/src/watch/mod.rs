//! One order, step by step, slowly enough to follow, with a kill in the middle.
//!
//! Nothing is acted: every line is a record of the order's stream, or something that was done to a
//! process. To give people time, the service whose step is next is stopped (SIGSTOP) until they have
//! read the step before; meanwhile its caller waits, as it would for any slow service. So it is known
//! exactly whom a kill hits, and in the middle of what.

mod hold;
mod proof;
mod purchase;
mod steps;
mod story;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mesh_local::Declaration;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::audit::{self, Places};
use crate::doors::Doors;
use hold::Holder;
pub use hold::{Find, Process, can_hold};
pub use proof::Proof;
use purchase::Purchase;
pub use steps::{STEPS, Step, Target};
use story::{Event, Reader, Record, now};
pub use story::{Kind, Moment};

/// Who is killed is killed in the middle of a call: so long the call has had to arrive.
const CALLED: Duration = Duration::from_millis(100);
/// How long the shop may take to come to rest after the order.
const REST: Duration = Duration::from_secs(15);

/// The shop to order in.
pub struct Shop {
    /// Where customers go.
    pub doors: Doors,
    /// Where everything is recorded.
    pub places: Places,
    /// What the services declare.
    pub declarations: Vec<Declaration>,
    /// Finds processes.
    pub find: Find,
}

/// How the story is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time between two steps.
    pub pace: Duration,
    /// Who is killed, and when.
    pub kill: Option<Target>,
    /// Draws another order.
    pub seed: u64,
}

/// How the story ends.
#[derive(Clone, Debug, Serialize)]
pub struct Ending {
    /// The order.
    pub order_id: String,
    /// Whether it was confirmed.
    pub confirmed: bool,
    /// Why the story was told to its end only; empty if it was not.
    pub stopped_because: String,
    /// Every moment.
    pub moments: Vec<Moment>,
    /// What every service says about the order.
    pub proofs: Vec<Proof>,
    /// Whether the whole shop is right.
    pub shop_clean: bool,
    /// How many rules that means.
    pub shop_rules: usize,
}

/// Orders, and tells how it goes on. A message on `kills` kills whoever is next.
pub async fn run(
    shop: Shop,
    options: Options,
    kills: mpsc::Receiver<()>,
    tell: impl FnMut(&Moment),
) -> Result<Ending> {
    let Shop { doors, places, declarations, find } = shop;
    let holder = Holder::new(find)?;
    let purchase = Purchase::prepare(&doors, options.seed).await?;
    let mut telling = Telling {
        holder,
        options,
        kills,
        tell,
        begun: 0.0,
        moments: Vec::new(),
        confirmed: false,
        ended: None,
        killed: None,
        done: None,
    };
    let order = telling.follow(&purchase, &places).await?;
    let Telling { moments, confirmed, ended, holder, .. } = telling;
    // From here on everybody is free.
    drop(holder);
    let proofs = proof::proofs(&places, order, &purchase.lines).await?;
    let report = audit::run(&places, audit::Options::new(declarations).waiting(REST)).await?;
    Ok(Ending {
        order_id: order.to_string(),
        confirmed,
        stopped_because: ended.unwrap_or_default(),
        moments,
        proofs,
        shop_clean: report.clean,
        shop_rules: report.checks.len(),
    })
}

struct Telling<T> {
    holder: Holder,
    options: Options,
    kills: mpsc::Receiver<()>,
    tell: T,
    /// When the order was recorded.
    begun: f64,
    moments: Vec<Moment>,
    confirmed: bool,
    /// Why the order left its way, if it did.
    ended: Option<String>,
    /// Who was killed in the step that is under way.
    killed: Option<&'static str>,
    /// The last step that is done.
    done: Option<usize>,
}

impl<T: FnMut(&Moment)> Telling<T> {
    /// Returns once the order's last step is done.
    async fn follow(&mut self, purchase: &Purchase, places: &Places) -> Result<Uuid> {
        let can_hold = can_hold(&self.holder.find);
        if let (false, Some(target)) = (can_hold, self.options.kill) {
            bail!(
                "cannot kill {target} exactly: services share a process; take the shop down and \
                 start it without --in-process"
            );
        }
        let held = |index: usize, options: &Options| {
            let before_kill = options.kill.is_some_and(|target| index <= target.step);
            can_hold && (before_kill || !options.pace.is_zero())
        };
        if held(0, &self.options) {
            self.holder.hold(STEPS[0].service)?;
        }
        let placed = purchase.place().await?;
        let mut reader = Reader::new(&places.orders, placed.order)?;
        for (index, step) in STEPS.iter().enumerate() {
            if index == 0 {
                self.until(&mut reader, &placed.text, None).await?;
            }
            if held(index, &self.options) {
                self.offer(index, step).await?;
            }
            if index + 1 < STEPS.len() && held(index + 1, &self.options) {
                self.holder.hold(STEPS[index + 1].service)?;
            }
            self.holder.release(step.service);
            self.until(&mut reader, &placed.text, Some(index)).await?;
            self.killed = None;
            if self.ended.is_some() {
                break;
            }
        }
        Ok(placed.order)
    }

    /// The moment before a step: its service is called and held. Somebody may be killed.
    async fn offer(&mut self, index: usize, step: &'static Step) -> Result<()> {
        let text = format!("is asked to {}", step.doing);
        self.say(now(), step.service, Kind::Next, Some(step.name), text);
        let target = self.options.kill.filter(|target| target.step == index);
        let least = if target.is_some() { CALLED } else { Duration::ZERO };
        let until = Instant::now() + self.options.pace.max(least);
        let victim = tokio::select! {
            () = sleep_until(until) => target.map(|target| target.victim),
            Some(()) = self.kills.recv() => Some(step.service),
        };
        match victim {
            Some(victim) => self.kill(victim, step).await,
            None => Ok(()),
        }
    }

    async fn kill(&mut self, victim: &'static str, step: &'static Step) -> Result<()> {
        let killed = self.holder.kill(victim)?;
        let when = now();
        let text = format!("killed with kill -9, pid {}", list(&killed));
        self.say(when, victim, Kind::Killed, Some(step.name), text);
        self.killed = Some(victim);
        // Whoever was killed cannot come back ready while somebody that it needs is held.
        let new = self
            .holder
            .back(victim, &killed)
            .await
            .with_context(|| format!("the story stops at the step {}", step.name))?;
        // Servers do not say when they are ready; who needs them finds out.
        let ready = if ["postgres", "nats"].contains(&victim) { "" } else { "ready " };
        let after = now() - when;
        let text = format!("started again, pid {}, {ready}after {after:.1} s", list(&new));
        self.say(now(), victim, Kind::Back, Some(step.name), text);
        Ok(())
    }

    /// Tells what is recorded until this step is done (or the order placed), or the order ends.
    async fn until(
        &mut self,
        reader: &mut Reader,
        placed: &str,
        step: Option<usize>,
    ) -> Result<()> {
        loop {
            if step.is_some() && self.done >= step {
                return Ok(());
            }
            for Record { at, event, .. } in reader.next().await? {
                match event {
                    Event::Placed => {
                        self.begun = at;
                        self.say(at, "orders", Kind::Recorded, None, placed.to_owned());
                    }
                    Event::Done(done) => {
                        self.done = self.done.max(Some(done));
                        self.tell_done(at, &STEPS[done]);
                        self.pause_if_nobody_is_held().await;
                    }
                    Event::Confirmed => {
                        self.confirmed = true;
                        let text = "order confirmed: the customer has bought".to_owned();
                        self.say(at, "orders", Kind::Recorded, None, text);
                    }
                    Event::Ends(why) => {
                        self.say(at, "orders", Kind::Recorded, None, format!("order {why}"));
                        self.ended = Some(why);
                        return Ok(());
                    }
                    Event::Other(text) => self.say(at, "orders", Kind::Recorded, None, text),
                }
            }
            if step.is_none() {
                return Ok(());
            }
        }
    }

    fn tell_done(&mut self, at: f64, step: &'static Step) {
        let more = match self.killed {
            None => "",
            Some("nats") => ", though the broker was gone; what was to be announced waits",
            Some(_) => ", by asking again under the same key",
        };
        let text = format!("{}{more}", step.done);
        self.say(at, step.service, Kind::Recorded, Some(step.name), text);
    }

    /// Where services share a process nobody can be held: then what has happened is told slowly.
    async fn pause_if_nobody_is_held(&self) {
        if !self.holder.holds() {
            sleep(self.options.pace).await;
        }
    }

    fn say(
        &mut self,
        time: f64,
        service: &str,
        kind: Kind,
        step: Option<&'static str>,
        text: String,
    ) {
        let begun = if self.begun == 0.0 { time } else { self.begun };
        let at = (time - begun).max(0.0);
        let moment = Moment { at, service: service.to_owned(), kind, step, text };
        (self.tell)(&moment);
        self.moments.push(moment);
    }
}

fn list(pids: &[u32]) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

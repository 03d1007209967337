//! The walk itself.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use meshctl::rollout::{Measured, Routes, Rules, Steps, judge};

use super::fleet::{Fleet, Reading};
use super::{Hold, Hurt, Record, Report, Shop, Step, Why, put_back};
use crate::commands::Ending;
use crate::state::State;

/// How often sidecars are asked what they have counted.
const LOOK: Duration = Duration::from_millis(250);

/// How fast it goes.
#[derive(Clone, Debug)]
pub struct Pace {
    pub steps: Steps,
    /// How long each step lasts at least.
    pub hold: Duration,
    /// How long a step may wait for enough calls.
    pub patience: Duration,
    /// How long the new program may take to be well.
    pub wait: Duration,
}

/// A walk of one service.
#[derive(Debug)]
pub struct Walk<'a> {
    pub shop: &'a Shop,
    pub hold: &'a Hold,
    pub routes: &'a Routes,
    pub rules: &'a Rules,
    pub pace: &'a Pace,
    /// Hears of each step that went well.
    pub tell: fn(&Step),
}

/// Where a walk is.
#[derive(Debug)]
struct Way {
    record: RefCell<Record>,
    steps: RefCell<Vec<Step>>,
    /// The sidecars, and what they had counted before the first call.
    counted: RefCell<Option<(Fleet, Reading)>>,
    /// The old version's calls, of the last step that had enough of them.
    compared: RefCell<Measured>,
    /// Whether the new process has had its first calls.
    warm: Cell<bool>,
}

impl Walk<'_> {
    /// Starts the program as the new version and gives it more and more calls, as long as it breaks no
    /// rule. If it does, or somebody wishes an end, everything is put back.
    ///
    /// # Errors
    /// The program is not well, before anything was applied; or not everything could be put back.
    pub async fn go(&self, program: &Path, ending: &mut Ending) -> Result<Report> {
        let version = self.routes.new_version().to_owned();
        let way = Way {
            record: Record { version, applied: false, share: 0, done: false }.into(),
            steps: RefCell::default(),
            counted: RefCell::default(),
            compared: RefCell::default(),
            warm: Cell::default(),
        };
        self.hold.write(&way.record.borrow())?;
        let joined = tokio::select! {
            joined = self.shop.join(self.routes, program, self.pace.wait) => Some(joined),
            () = ending.wished() => None,
        };
        let why = match joined {
            Some(Err(error)) => {
                self.hold.forget()?;
                return Err(error);
            }
            Some(Ok(())) => tokio::select! {
                ended = self.walk(&way) => ended.unwrap_or_else(|error| Some(Why::Failed(error))),
                () = ending.wished() => Some(Why::Interrupted),
            },
            None => Some(Why::Interrupted),
        };
        self.end(&way, why).await
    }

    /// All steps; why it does not go on, if it does not.
    async fn walk(&self, way: &Way) -> Result<Option<Why>> {
        let (service, version) = (self.routes.service(), self.routes.new_version());
        let process = self.shop.process(service, version)?;
        let process = process.with_context(|| format!("{service} {version} has left"))?;
        let fleet = Fleet::of(&State::load(&self.shop.home)?, service);
        self.apply(way, 0).await?;
        fleet.know(self.routes, process.grpc).await?;
        let base = fleet.first().await?;
        way.counted.replace(Some((fleet.clone(), base.clone())));
        let mut last = base;
        for percent in self.pace.steps.iter() {
            let begun = Instant::now();
            let start = fleet.read(&last).await;
            self.apply(way, percent).await?;
            fleet.route(self.routes, percent).await?;
            match self.step(way, &fleet, &start).await {
                Err(why) => return Ok(Some(why)),
                Ok((new, now)) => {
                    let step = Step::of(percent, &new, &way.compared.borrow(), begun.elapsed());
                    (self.tell)(&step);
                    way.steps.borrow_mut().push(step);
                    last = now;
                }
            }
        }
        Ok(None)
    }

    /// Gives the new version this share; whoever comes after us knows.
    async fn apply(&self, way: &Way, percent: u32) -> Result<()> {
        let record = Record { applied: true, share: percent, ..way.record.borrow().clone() };
        self.hold.write(&record)?;
        way.record.replace(record);
        self.shop.apply(&self.routes.at(percent)?).await
    }

    /// One step: until it has lasted long enough and enough calls came, or a rule is broken.
    async fn step(
        &self,
        way: &Way,
        fleet: &Fleet,
        start: &Reading,
    ) -> Result<(Measured, Reading), Why> {
        let (begun, mut now) = (Instant::now(), start.clone());
        // The first calls of a process warm it up: how long they take says nothing.
        let mut timed_from = way.warm.get().then(|| start.clone());
        loop {
            tokio::time::sleep(LOOK).await;
            now = fleet.read(&now).await;
            let of = |version: &str| {
                let since = |from: &Reading| now.since(from, self.routes.service(), version);
                let timed = timed_from.as_ref().map(since).unwrap_or_default();
                since(start).timed_as(timed)
            };
            let (new, old) = (of(self.routes.new_version()), of(self.routes.old_version()));
            if old.timed() >= self.rules.fewest {
                way.compared.replace(old);
            }
            if let Some(broken) = judge(self.rules, &new, &way.compared.borrow()) {
                return Err(Why::Broken(broken));
            }
            let (fewest, within) = (self.rules.fewest, begun.elapsed());
            if timed_from.is_none() && new.calls >= fewest {
                way.warm.set(true);
                timed_from = Some(now.clone());
                continue;
            }
            let enough = new.timed() >= fewest;
            if enough && within >= self.pace.hold {
                return Ok((new, now));
            }
            if !enough && within > self.pace.patience.max(self.pace.hold) {
                return Err(Why::TooFew { calls: new.all(), fewest, within });
            }
        }
    }

    /// Leaves it as it is if nothing is wrong; else puts everything back.
    async fn end(&self, way: &Way, why: Option<Why>) -> Result<Report> {
        let record = way.record.borrow().clone();
        let (share, counted) = (record.share, way.counted.take());
        let new = match (&why, &counted) {
            (Some(_), counted) => {
                let counted = counted.as_ref().map(|(fleet, base)| (fleet, base));
                put_back(self.shop, self.hold, self.routes, &record, counted).await?
            }
            (None, Some((fleet, base))) => {
                self.hold.write(&Record { done: true, ..record })?;
                fleet.read(base).await.since(base, self.routes.service(), self.routes.new_version())
            }
            (None, None) => Measured::default(),
        };
        Ok(Report {
            service: self.routes.service().to_owned(),
            old: self.routes.old_version().to_owned(),
            version: self.routes.new_version().to_owned(),
            done: why.is_none(),
            step: share,
            rule: why.as_ref().map(Why::word),
            hurt: Hurt::of(&new, why.as_ref().and_then(Why::limit)),
            why: why.map(|why| why.to_string()),
            steps: way.steps.take(),
        })
    }
}

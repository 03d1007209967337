//! A service that ends while a step is under way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{FutureExt as _, future::BoxFuture};
use mesh_log::{Awake, Change, Event, Stored, Streams};
use mesh_runtime::{Secret, Service, ServiceConfig};
use mesh_saga::{Answer, Broken, Describe, Engine, Next, Patience, Saga, Standing, Verdict};
use tokio::sync::Semaphore;
use uuid::Uuid;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../log/migrations");
const STEPS: u8 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_step_under_way_is_finished_and_recorded_and_no_other_begun() {
    let database = mesh_testkit::Database::empty("log", &MIGRATIONS).await;
    let callee = Arc::new(Callee::default());
    let (service, engine) = start(&database, &callee).await;
    let id = Uuid::now_v7();
    let begun = begun(id, engine.owner());
    engine.streams().commit(begun).await.unwrap();
    engine.drive(id, State { version: 1, done: 0 });
    mesh_testkit::eventually("the step to be called", async || callee.called() == 1).await;

    service.stop();
    mesh_testkit::eventually("no step to be begun any more", async || engine.is_closing()).await;
    assert!(!service.stopped().is_cancelled(), "it waits for the step");
    callee.answers.add_permits(STEPS.into());
    service.finish().await;

    assert_eq!((callee.called(), callee.given_up()), (1, 0));
    let (service, engine) = start(&database, &callee).await;
    mesh_testkit::eventually("the next process to go on", async || callee.called() == 3).await;
    mesh_testkit::eventually("the saga to end", async || {
        let stored = engine.streams().load(id).await.unwrap().unwrap();
        stored.version == 1 + i32::from(STEPS)
    })
    .await;
    assert_eq!(callee.given_up(), 0, "each step was called once");
    service.stop();
    service.finish().await;
}

async fn start(
    database: &mesh_testkit::Database,
    callee: &Arc<Callee>,
) -> (Service, Engine<Climb>) {
    let config = ServiceConfig {
        database_url: Some(Secret::new(database.url())),
        log_level: "off".to_owned(),
        ..ServiceConfig::default()
    };
    let service = Service::begin("log", &config).await.unwrap();
    let db = mesh_log::connect(&service, &config, &MIGRATIONS).await.unwrap();
    let streams = Streams::start(&db, &service);
    let engine = Engine::start(&service, streams, Climb(Arc::clone(callee)));
    (service, engine)
}

/// Whoever does the steps: answers when it may, and counts who did not wait for it.
struct Callee {
    called: AtomicUsize,
    answered: AtomicUsize,
    under_way: AtomicUsize,
    answers: Semaphore,
}

impl Default for Callee {
    fn default() -> Self {
        let none = AtomicUsize::default;
        let answers = Semaphore::new(0);
        Self { called: none(), answered: none(), under_way: none(), answers }
    }
}

impl Callee {
    fn called(&self) -> usize {
        self.called.load(Ordering::SeqCst)
    }

    /// How many callers went away without an answer.
    fn given_up(&self) -> usize {
        let gone = self.called() - self.answered.load(Ordering::SeqCst);
        gone - self.under_way.load(Ordering::SeqCst)
    }

    async fn step(&self) -> Answer {
        self.called.fetch_add(1, Ordering::SeqCst);
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let _under_way = UnderWay(self);
        self.answers.acquire().await.unwrap().forget();
        self.answered.fetch_add(1, Ordering::SeqCst);
        Answer::Done
    }
}

struct UnderWay<'c>(&'c Callee);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A saga of some steps, one like the other.
struct Climb(Arc<Callee>);

#[derive(Clone)]
struct State {
    version: i32,
    done: u8,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Climbed {}

impl prost::Name for Climbed {
    const NAME: &'static str = "Climbed";
    const PACKAGE: &'static str = "lab.v1";
}

impl Saga for Climb {
    type State = State;
    type Step = u8;
    type Companion = ();

    fn decode(&self, _: Uuid, stored: &Stored) -> Result<State, Broken> {
        Ok(State { version: stored.version, done: stored.state[0] })
    }

    fn next(&self, state: &State) -> Next<u8> {
        if state.done == STEPS { Next::Rest } else { Next::Call(state.done, Patience::Endless) }
    }

    fn label(&self, _: &u8) -> &'static str {
        "climb"
    }

    fn call<'a>(&'a self, _: Uuid, _: &'a State, _: &'a u8) -> BoxFuture<'a, Answer> {
        self.0.step().boxed()
    }

    fn record(&self, id: Uuid, state: &State, _: &u8, _: &Verdict) -> (State, Change) {
        let next = State { version: state.version + 1, done: state.done + 1 };
        let awake = if next.done == STEPS { Awake::No } else { Awake::Yes };
        (next.clone(), change(id, state.version, next.done, awake))
    }
}

impl Describe for Climb {
    fn describe(&self, state: &State) -> Standing {
        let (step, reason) = ("climb".to_owned(), String::new());
        Standing { parked: false, back: false, ended: state.done == STEPS, step, reason }
    }
}

fn begun(id: Uuid, owner: Option<Uuid>) -> Change {
    Change { owner, ..change(id, 0, 0, Awake::Yes) }
}

fn change(key: Uuid, expected: i32, done: u8, awake: Awake) -> Change {
    Change {
        label: "climb",
        key,
        expected,
        state: vec![done],
        awake,
        owner: None,
        events: vec![Event::public(&Climbed {})],
        companion: (),
    }
}

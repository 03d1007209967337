//! Durable orchestration: a saga is the stream that it runs on.
//!
//! A saga's steps are events of its own stream. Recording the outcome of one step *is* recording
//! the intent of the next, in one change with one version: whoever changes the stream meanwhile (a
//! customer who cancels, another replica) makes the engine's next change conflict, and the engine
//! loads the stream and goes on from what it says now.
//!
//! The engine knows no business. A [`Saga`] says what is [`next`](Saga::next) in a state, how a
//! step is [`call`](Saga::call)ed, and what an outcome [`record`](Saga::record)s; all but the call
//! are pure. What the engine adds is patience: it repeats a step whose outcome is unknown, with
//! the same key, until the step's time is up; it resumes after a crash; it takes over the streams
//! of a dead replica.
//!
//! ```
//! use futures::{FutureExt as _, future::BoxFuture};
//! use mesh_log::{Change, Event};
//! use mesh_saga::{Answer, Broken, Describe, Next, Patience, Saga, Standing, Verdict};
//! use uuid::Uuid;
//!
//! /// A saga with one step: tell somebody, and record that it was told.
//! struct Tell;
//!
//! #[derive(Clone)]
//! struct Told {
//!     version: i32,
//!     done: bool,
//! }
//!
//! #[derive(Clone, PartialEq, prost::Message)]
//! struct WasTold {}
//! impl prost::Name for WasTold {
//!     const NAME: &'static str = "WasTold";
//!     const PACKAGE: &'static str = "stranger.v1";
//! }
//!
//! impl Saga for Tell {
//!     type State = Told;
//!     type Step = ();
//!     type Companion = ();
//!
//!     fn decode(&self, _: Uuid, stored: &mesh_log::Stored) -> Result<Told, Broken> {
//!         Ok(Told { version: stored.version, done: !stored.state.is_empty() })
//!     }
//!     fn next(&self, state: &Told) -> Next<()> {
//!         if state.done { Next::Rest } else { Next::Call((), Patience::Endless) }
//!     }
//!     fn label(&self, _: &()) -> &'static str {
//!         "tell"
//!     }
//!     fn call<'a>(&'a self, _: Uuid, _: &'a Told, _: &'a ()) -> BoxFuture<'a, Answer> {
//!         async { Answer::Done }.boxed() // an RPC whose key is UUIDv5(stream, "tell")
//!     }
//!     fn record(&self, id: Uuid, state: &Told, _: &(), _: &Verdict) -> (Told, Change) {
//!         let told = Told { version: state.version + 1, done: true };
//!         let change = Change {
//!             label: "tell",
//!             key: id,
//!             expected: state.version,
//!             state: vec![1],
//!             awake: mesh_log::Awake::No,
//!             owner: None,
//!             events: vec![Event::public(&WasTold {})],
//!             companion: (),
//!         };
//!         (told, change)
//!     }
//! }
//!
//! impl Describe for Tell {
//!     fn describe(&self, state: &Told) -> Standing {
//!         Standing { parked: false, back: false, ended: state.done, step: "tell".into(), reason: String::new() }
//!     }
//! }
//! ```
#![warn(missing_docs)]

mod backoff;
mod drive;
mod engine;
mod metrics;
mod operator;
mod saga;

pub use engine::Engine;
pub use operator::{Command, Operated, sagas_service};
pub use saga::{Answer, Broken, Describe, Next, Patience, Saga, Standing, Verdict};

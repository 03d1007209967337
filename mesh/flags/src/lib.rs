//! Switches that are turned while services run: for everybody, for a percentage of the users, or for
//! one of them.
//!
//! A flag is declared by the service that asks it, in its `mesh.toml`: what it does, and what holds
//! until somebody says otherwise. What operators say is kept in a key-value bucket of the broker,
//! [`BUCKET`], with who said it, when and why ([`Board`]); every replica follows the bucket.
//!
//! ```
//! use mesh_flags::{Flags, Rule};
//!
//! let declared = r#"
//!     service = "pages"
//!     [[flags]]
//!     name = "stock"
//!     default = true
//!     what = "pages show whether there is any"
//! "#;
//! let flags = Flags::declared("pages", &[declared])?;
//! let stock = flags.flag("stock")?;
//! assert!(stock.is_on(Some("ada")), "nothing was heard: as declared");
//! assert!(flags.flag("stcok").unwrap_err().to_string().contains("stock"));
//!
//! // A user stays on the side that they are on: one more percent adds users, and takes none away.
//! let half = Rule::percent(50)?;
//! let more = Rule::percent(51)?;
//! for user in ["ada", "grace", "joan"] {
//!     assert!(more.decide("pages.stock", Some(user)) >= half.decide("pages.stock", Some(user)));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Without the broker** holds what was heard last; who never heard anything goes by what is declared.
//! Both say so, on the health condition `flags` and the gauge `mesh_flags_age_seconds`.
#![warn(missing_docs)]

mod board;
mod change;
mod declared;
mod flag;
mod follow;
mod rule;

pub use board::{Board, NotKept};
pub use change::Change;
pub use declared::Malformed;
pub use flag::{Flag, Flags, Undeclared};
pub use rule::{BadRule, Rule, place};

/// The bucket's name. Its keys are flags, `<service>.<name>`.
pub const BUCKET: &str = "flags";

/// How many changes of a flag are kept.
pub const HISTORY: i64 = 64;

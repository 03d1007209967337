//! What accounts and sessions are. Pure: no clock, no I/O, no protobuf, no SQL.

mod email;
mod refusal;
mod session;
mod texts;
mod user;

pub use email::Email;
pub use refusal::Refusal;
pub use session::{Refreshed, Session};
pub use texts::{is_language, is_phone};
pub use user::{Changes, MailKind, SessionEnd, State, User, UserEvent};

//! What a card processor decides. Pure: no clock, no database, no wire.

mod card;
mod charge;

pub use card::{Behaviour, CardNumber};
pub use charge::{Authorization, Charge, Refusal, State};
